"""One service over HTTP: deadlines, retries, size caps, and every failure as one of our errors.

Redirects are never followed: aiohttp would send the service's key header on to the other origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import pydantic

from daemon.errors import (
    BrokenServiceError,
    CutShortError,
    NotJsonError,
    RefusedKeyError,
    RejectedError,
    ServiceError,
    StartingError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
    WrongServiceError,
)

_MIB = 1024 * 1024
_CHUNK = 256 * 1024
_JSON = "application/json"
_OK = 200
_NO_CONTENT = 204
_STARTING = 503
_REFUSED = frozenset({401, 403})
_ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})
_PASSING = frozenset({408, 429, *range(500, 600)})
_Model = TypeVar("_Model")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a service is waited for; all times in seconds.

    Attributes:
        attempts: how often one exchange is tried.
        base: the longest pause before the second attempt; it doubles with each further one.
        cap: the longest pause ever, also where the service asks for a longer one.
        reply: for a whole small exchange.
        listing: for a whole large exchange. Radarr needs 9 s for 20,000 films on two idle cores,
            Sonarr 36 s for 5,000 series, nearly all of it before the first byte.
        silence: between two pieces of a reply, the first included.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 10.0
    reply: float = 60.0
    listing: float = 900.0
    silence: float = 180.0


@dataclass(slots=True)
class CallStats:
    """What was asked of a service.

    Attributes:
        waiting: exchanges that wait for it just now.
    """

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waiting: int = 0

    def since(self, earlier: CallStats) -> dict[str, float]:
        """What was asked since an earlier reading of the same meter."""
        return {
            "calls": self.calls - earlier.calls,
            "bytes": self.bytes - earlier.bytes,
            "seconds": round(self.seconds - earlier.seconds, 3),
        }


class Reply(NamedTuple):
    """A small reply in one piece.

    Attributes:
        status: 200, 204, or one that was asked for.
        headers: by their names in any case.
        cookies: that it sets, as they are sent back; they are not kept here.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """A reply's status and headers, as far as a verdict needs them.

    Attributes:
        retry_after: in seconds; Jellyfin writes `005`, and a date is taken as "no number given".
    """

    status: int
    content_type: str = ""
    retry_after: float | None = None
    location: str = ""


def verdict(service: str, url: str, head: Head, wanted: str = _JSON) -> ServiceError | None:
    """What a reply's head means, before its body is looked at; None if it is good.

    While Jellyfin starts, it answers 503 with and without Retry-After, and once a lone 500 (seen on
    10.11). Its 401 is a verdict even then. Radarr and Sonarr answer 404 without a body where the
    other one's path is asked for, and a redirect where their URL base is missing.
    """
    status = head.status
    if status == _NO_CONTENT:
        return None
    if status == _OK:
        return (
            None
            if head.content_type.startswith(wanted)  # Jellyfin adds `; profile=…` or `; charset=…`
            else NotJsonError(service, url, _not_json(head), status=status)
        )
    if status in _REFUSED:
        return RefusedKeyError(service, url, f"HTTP {status}", status=status)
    if status in _ELSEWHERE:
        return WrongServiceError(
            service, url, f"HTTP {status}", hint=_base(url, head), status=status
        )
    if status not in _PASSING:
        return RejectedError(service, url, f"HTTP {status}", status=status)
    kind = StartingError if status == _STARTING else BrokenServiceError
    return kind(service, url, f"HTTP {status}", status=status, retry_after=head.retry_after)


def _not_json(head: Head) -> str:
    return f"{head.content_type.partition(';')[0] or 'nothing'} instead of JSON"


def _base(url: str, head: Head) -> str | None:
    """Radarr and Sonarr redirect to the same path under their URL base, which tells that base."""
    path, wanted = urlsplit(url).path, urlsplit(head.location).path
    if wanted.endswith(path) and (base := wanted.removesuffix(path)):
        return f"its URL base is {base}: the configured address must end in that"
    return None


def _head(reply: aiohttp.ClientResponse) -> Head:
    wait = reply.headers.get("Retry-After", "")
    return Head(
        reply.status,
        reply.headers.get("Content-Type", ""),
        float(wait) if wait.isascii() and wait.isdigit() else None,
        reply.headers.get("Location", ""),
    )


@dataclass(slots=True)
class ServiceHttp:
    """The one way to ask a service; the caller enters it and leaves it again.

    Args:
        service: the name people know.
        url: where it is, its URL base included, without a slash at the end.
        headers: what proves who we are; sent with every call.
        patience: how long to wait.
        sleep: waits between attempts.
        jitter: a random number below 1, which spreads the attempts of many clients.

    Attributes:
        meter: what was asked so far.
        date: the service's own clock in its latest good reply, aware UTC.
    """

    service: str
    url: str
    headers: Mapping[str, str]
    patience: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    meter: CallStats = field(default_factory=CallStats)
    date: datetime | None = None
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", **self.headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self.patience.silence),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self, path: str, model: type[_Model], query: Mapping[str, str] | None = None
    ) -> _Model:
        """A small reply (8 MiB at most) as a value of `model`.

        Raises:
            ServiceError: one of its kinds.
        """
        return self._parsed(path, model, (await self.read(path, query)).body)

    async def read(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        also: Collection[int] = (),
        cap: int = 8 * _MIB,
    ) -> Reply:
        """A reply as it came.

        Args:
            path: below the address.
            query: of the question.
            headers: besides those of every call.
            also: statuses that are an answer here, whatever the body.
            cap: bytes of the body, at most.

        Raises:
            ServiceError: one of its kinds.
        """
        sent: dict[str, Any] = {"params": query, "headers": headers, "also": also}
        return await self._whole("GET", path, self.patience.attempts, cap, **sent)

    async def post(
        self, path: str, model: type[_Model], body: Mapping[str, str] | None = None
    ) -> _Model:
        """Send JSON, or nothing; the reply is as small as that of `get`, and may be no content.

        It is never tried again: a service that did not answer may have done it all the same.

        Raises:
            ServiceError: one of its kinds.
        """
        text = (await self._whole("POST", path, json=body)).body
        return self._parsed(path, model, text or b"null")

    async def submit(self, path: str, form: Mapping[str, str]) -> Reply:
        """Send a form, once; whatever the reply's content type.

        Raises:
            ServiceError: one of its kinds.
        """
        return await self._whole("POST", path, wanted="", data=form)

    async def picture(self, path: str, query: Mapping[str, str]) -> tuple[str, bytes]:
        """A picture of at most 1 MiB, with its content type; asked for once.

        Raises:
            ServiceError: one of its kinds, also where the reply is no picture.
        """
        asking: dict[str, Any] = {"params": query, "headers": {"Accept": "image/*"}}
        reply = await self._whole("GET", path, cap=_MIB, wanted="image/", **asking)
        return reply.headers["Content-Type"].partition(";")[0], reply.body

    def _parsed(self, path: str, model: type[_Model], body: bytes) -> _Model:
        try:
            return pydantic.TypeAdapter(model).validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise self.not_json(path, f"unexpected JSON: {first['msg']}") from None

    def stream(
        self, path: str, query: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A large reply in pieces, as they arrive; the deadline holds for the whole of it.

        Args:
            path: below the address.
            query: of the question.
            seconds: until the deadline; by default those of a listing.

        Raises:
            ServiceError: one of its kinds, also in the middle of the pieces.
        """
        return self._exchange(path, query, seconds or self.patience.listing)

    def not_json(self, path: str, detail: str) -> NotJsonError:
        """The error for a body that is not what this service sends."""
        return NotJsonError(self.service, self.url + path, detail)

    def not_found(self, path: str) -> WrongServiceError:
        """The error for a 404 that is not how this service says that something is unknown."""
        return WrongServiceError(self.service, self.url + path, "HTTP 404", status=404)

    @contextlib.asynccontextmanager
    async def _exchange(
        self, path: str, query: Mapping[str, str] | None, seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The deadline is laid on each wait: around a `yield` it would cancel the caller's work."""
        url = self.url + path
        deadline = asyncio.get_running_loop().time() + seconds
        async with contextlib.AsyncExitStack() as stack:
            async with self._wait(url, deadline):
                reply = await self._opened(stack, "GET", url, self.patience.attempts, params=query)
            yield self._chunks(reply, url, 4096 * _MIB, deadline)

    async def _whole(
        self, method: str, path: str, attempts: int = 1, cap: int = 8 * _MIB, **sent: Any
    ) -> Reply:
        url = self.url + path
        deadline = asyncio.get_running_loop().time() + self.patience.reply
        async with contextlib.AsyncExitStack() as stack:
            async with self._wait(url, deadline):
                reply = await self._opened(stack, method, url, attempts, **sent)
            pieces = self._chunks(reply, url, cap, deadline)
            body = b"".join([piece async for piece in pieces])
        cookies = "; ".join(f"{one.key}={one.value}" for one in reply.cookies.values())
        return Reply(reply.status, reply.headers, body, cookies)

    @contextlib.asynccontextmanager
    async def _wait(self, url: str, deadline: float) -> AsyncIterator[None]:
        """One wait for the service: measured, limited, and with its failures as our errors."""
        started = time.monotonic()
        self.meter.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                yield
        except TimeoutError:
            raise TimedOutError(self.service, url, "no complete reply in time") from None
        except aiohttp.ClientPayloadError:
            raise CutShortError(self.service, url, "the connection ended in mid-reply") from None
        except aiohttp.ClientResponseError:
            raise WrongServiceError(self.service, url, "no proper HTTP is spoken there") from None
        except aiohttp.ClientError as error:
            raise UnreachableError(self.service, url, _reason(error)) from None
        finally:
            self.meter.waiting -= 1
            self.meter.seconds += time.monotonic() - started

    async def _opened(
        self, stack: contextlib.AsyncExitStack, method: str, url: str, attempts: int, **sent: Any
    ) -> aiohttp.ClientResponse:
        """A good reply whose body is still to come; tried again while that can help."""
        for attempt in itertools.count(1):
            try:
                return await self._attempt(stack, method, url, **sent)
            except ServiceError as error:
                if attempt >= attempts or not error.retryable:
                    raise
                await self.sleep(self._pause(attempt, error.retry_after))
        raise AssertionError  # pragma: no cover - the count never ends

    def _pause(self, attempt: int, asked: float | None) -> float:
        spread = self.patience.base * 2.0 ** (attempt - 1) * (0.5 + self.jitter() / 2)
        return min(max(spread, asked or 0.0), self.patience.cap)

    async def _attempt(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        url: str,
        wanted: str = _JSON,
        also: Collection[int] = (),
        **sent: Any,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the client was not entered")
        self.meter.calls += 1
        try:
            asked = self._session.request(method, url, allow_redirects=False, **sent)
            reply = await stack.enter_async_context(asked)
        except aiohttp.ServerTimeoutError:
            raise
        except aiohttp.ClientConnectionError as error:
            raise UnreachableError(self.service, url, _reason(error)) from None
        failure = verdict(self.service, url, _head(reply), wanted)
        if failure is not None and reply.status not in also:
            reply.close()
            raise failure
        self.date = _date(reply)
        return reply

    async def _chunks(
        self, reply: aiohttp.ClientResponse, url: str, cap: int, deadline: float
    ) -> AsyncIterator[bytes]:
        size = 0
        while True:
            async with self._wait(url, deadline):
                chunk = await reply.content.read(_CHUNK)
            if not chunk:
                return
            size += len(chunk)
            self.meter.bytes += len(chunk)
            if size > cap:
                raise TooLargeError(self.service, url, f"over {cap // _MIB} MiB")
            yield chunk


def _date(reply: aiohttp.ClientResponse) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers.get("Date", "")).replace(tzinfo=UTC)
    except ValueError:
        return None


def _reason(error: aiohttp.ClientError) -> str:
    """What a person can use of a connection error; never the URL, which may hold a query."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        lost = error.os_error.errno == socket.EAI_AGAIN
        return "no name server answers" if lost else "the name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no https is spoken there"
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else "the connection failed"
