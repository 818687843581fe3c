"""Routes: what each takes, returns and requires, and how its requests are parsed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_type_hints

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from daemon.apply.run import SyncService
from daemon.domain import Actor
from daemon.observe.sources import Services
from daemon.report.health import Health
from daemon.report.progress import Feed
from daemon.settings import Settings
from daemon.store import Store, audit
from daemon.store.audit import AuditEvent
from daemon.store.figures import Counter
from daemon.store.rows import document
from daemon.triggers.heartbeat import Heartbeat
from daemon.triggers.hints import HintDebouncer
from daemon.triggers.pending import PendingWatch
from daemon.triggers.queue import Worker
from daemon.triggers.schedule import Schedule
from daemon.web.auth import AdminAuth, WebhookAuth
from daemon.web.models import RequestModel
from daemon.web.problems import ACTOR, ADDRESS, Problem

_Query = TypeVar("_Query", bound=RequestModel)
_Body = TypeVar("_Body", bound=RequestModel)
_Model = TypeVar("_Model", bound=RequestModel)
_JSON: Final = "application/json"
_MAX_FLAWS: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts and limits; all times in seconds.

    Attributes:
        body: for a request's body to arrive.
        drain: for a listener to take what it is sent.
        heartbeat: between two signs of life to a listener.
        failures: allowed from one address in a minute.
        head: for the head of a request to arrive.
        connections: that may be open, in all.
        connections_of_one: from one address that is not a trusted proxy.
    """

    body: float = 10.0
    drain: float = 10.0
    heartbeat: float = 15.0
    failures: int = 10
    head: float = 10.0
    connections: int = 256
    connections_of_one: int = 32


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the web package depends on.

    Attributes:
        clock: the time now, aware UTC.
        monotonic: seconds of a clock that never jumps.
        counter: of runs and titles, for the figures.
    """

    settings: Settings
    store: Store
    worker: Worker
    service: SyncService
    feed: Feed
    health: Health
    hints: HintDebouncer
    services: Services
    heartbeat: Heartbeat
    schedule: Schedule
    pending: PendingWatch | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits = field(default_factory=Limits)
    monotonic: Callable[[], float] = time.monotonic
    counter: Counter = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Context:
    """The dependencies, and what one application adds to them.

    Attributes:
        closing: set when the application ends.
        boot: distinguishes this process' event ids from those of an earlier one.
        description: the OpenAPI document.
    """

    parts: Dependencies
    admin_auth: AdminAuth
    webhook_auth: WebhookAuth
    closing: asyncio.Event
    boot: str
    description: bytes


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[_Query, _Body]):
    """One authenticated and parsed request."""

    site: Context
    request: web.Request
    query: _Query
    body: _Body
    raw: bytes = b""

    @property
    def actor(self) -> Actor:
        """Who sent the request."""
        return self.request[ACTOR]

    def event(
        self, action: str, target: str, run_id: int | None = None, reason: str | None = None
    ) -> AuditEvent:
        """An audit event with actor and address, for the transaction of the change it records."""
        after = {"address": self.request[ADDRESS]}
        return AuditEvent(action, self.actor, run_id, target, reason, after=after)

    def accepted(self, document: object, run_id: int) -> web.Response:
        """A 202 reply that names the run and where to follow it."""
        where = f"{self.site.parts.settings.http.base_path}/admin/runs/{run_id}"
        return reply(document, 202, Location=where)

    async def record(
        self, action: str, target: str, run_id: int | None = None, reason: str | None = None
    ) -> None:
        """Leave an audit event.

        Raises:
            StoreError: it could not be written.
        """
        event = self.event(action, target, run_id, reason)
        await self.site.parts.store.write(audit.append, event)


PlainRequest = ApiRequest[RequestModel, RequestModel]
"""A request without a query and without a body."""


as_json = partial(json.dumps, default=document)
"""Writes what the store gives as JSON, too."""


def reply(value: object, status: int = 200, **headers: str) -> web.Response:
    """An answer in JSON."""
    return web.json_response(value, status=status, headers=headers, dumps=as_json)


Answer = Callable[[ApiRequest[Any, Any]], Awaitable[web.StreamResponse]]
Replies = Mapping[int, type | str]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    Attributes:
        path: below the base path; names in braces are fields of `query`.
        answer: the handler; its docstring is its description, and its signature says what it takes.
        replies: by status, a model or another media type than JSON.
        problems: the statuses of its own problem documents.
        admin: only for administrators.
        hook: only for senders of webhooks; the body is passed on raw.
    """

    method: Literal["GET", "POST"]
    path: str
    answer: Answer
    replies: Replies
    problems: tuple[int, ...] = ()
    admin: bool = True
    hook: bool = False

    @property
    def query(self) -> type[RequestModel]:
        """What the address holds."""
        return _taken(self.answer)[0]

    @property
    def body(self) -> type[RequestModel]:
        """What is sent in JSON; `RequestModel` itself if nothing is."""
        return _taken(self.answer)[1]

    def handler(self, site: Context) -> Handler:
        """The request handler: authenticates, parses, answers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self.hook:
                site.webhook_auth.authenticate(request)
            elif self.admin:
                await site.admin_auth.authenticate(request)
            query = _query(self.query, request)
            seconds = site.parts.limits.body
            if self.hook:
                raw = await _text(request, seconds)
                return await self.answer(ApiRequest(site, request, query, self.body(), raw))
            body = await _body(self.body, request if self.method == "POST" else None, seconds)
            return await self.answer(ApiRequest(site, request, query, body))

        return handle


@cache
def _taken(answer: Callable[..., object]) -> tuple[type[RequestModel], type[RequestModel]]:
    """The query and the body of the `ApiRequest` that a handler is annotated to take."""
    taken, _ = get_type_hints(answer).values()
    query, body = get_args(taken)
    return query, body


def _query(model: type[_Model], request: web.Request) -> _Model:
    given = dict(request.match_info)
    for name, value in request.query.items():
        if name in given:
            raise Problem(400, f"{name[:64]} is given more than once")
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _misread(error) from None


async def _body(model: type[_Model], request: web.Request | None, seconds: float) -> _Model:
    text = b""
    if request is not None and request.can_read_body:
        if request.content_type != _JSON:
            wanted = f"a body must be {_JSON}, and its Content-Type must say so"
            raise Problem(415, wanted, close=True)
        text = await _text(request, seconds)
    try:
        return model.model_validate_json(text or b"{}")
    except ValidationError as error:
        raise _misread(error) from None


async def _text(request: web.Request, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "the body did not arrive in time", close=True) from None


def _misread(error: ValidationError) -> Problem:
    flaws = error.errors(include_url=False, include_context=False, include_input=False)
    told = (
        f"{'.'.join(map(str, flaw['loc']))[:64]}: {flaw['msg']}".removeprefix(": ")
        for flaw in flaws[:_MAX_FLAWS]
    )
    return Problem(400, "; ".join(told))
