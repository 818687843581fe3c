"""Who may: an administrator by a token of Jellyfin's, or whoever knows the configured token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from daemon.apply import tell_audit
from daemon.clients.jellyfin import JellyfinClient, Standing
from daemon.domain import Actor
from daemon.errors import ServiceError, StoreError
from daemon.logs import logger
from daemon.settings import Http
from daemon.store import AuditEvent, Store
from daemon.web.address import house
from daemon.web.problems import ACTOR, ADDRESS, STRANGER, Problem, unavailable

_MINUTE: Final = 60.0
_MOST_FAILURES: Final = 10
_MOST_ADDRESSES: Final = 4096
_MOST_NOTES: Final = 60
_MOST_KNOWN: Final = 256
_AT_ONCE: Final = 4
_DOWN_FOR: Final = 2.0
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
_TOKEN: Final = re.compile(r"[0-9A-Za-z-]{1,128}")
_IN_HEADER: Final = re.compile(r'(?:^|[\s,])Token="?([^",]*)"?')
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="library-sync"'}
_VERDICTS: Final = {
    Standing.USER: (403, "this user of Jellyfin is no administrator"),
    Standing.BARRED: (403, "Jellyfin does not let this user in at present"),
    Standing.API_KEY: (403, "this is an API key of Jellyfin's, and belongs to nobody"),
    Standing.UNKNOWN: (401, "this token is not known"),
}
_log = logger(__name__)


@dataclass(slots=True)
class _Minute:
    ends: float
    failures: int = 0
    noted: set[str] = field(default_factory=set)


class Failures:
    """Failures by address, in minutes that begin with the first; the oldest are forgotten first.

    Args:
        most: failures that are borne in a minute.
        now: seconds of a clock that never jumps.
    """

    def __init__(self, most: int = _MOST_FAILURES, now: Callable[[], float] = time.monotonic):
        self._most = most
        self._now = now
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()
        self._everybody = _Minute(0)

    def count(self, address: str) -> None:
        """Note a failure."""
        self._minute(address).failures += 1

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0 if it may now."""
        minute = self._minutes.get(house(address))
        if minute is None or minute.failures < self._most:
            return 0
        return max(0, math.ceil(minute.ends - self._now()))

    def worth_noting(self, address: str, action: str) -> bool:
        """Whether it is this address' first such refusal of the minute, and not one of a flood."""
        if self._everybody.ends <= self._now():
            self._everybody = _Minute(self._now() + _MINUTE)
        minute = self._minute(address)
        if action in minute.noted or self._everybody.failures >= _MOST_NOTES:
            return False
        minute.noted.add(action)
        self._everybody.failures += 1
        return True

    def _minute(self, address: str) -> _Minute:
        key = house(address)
        minute = self._minutes.get(key)
        if minute is None or minute.ends <= self._now():
            self._minutes.pop(key, None)
            minute = self._minutes[key] = _Minute(self._now() + _MINUTE)
            if len(self._minutes) > _MOST_ADDRESSES:
                self._minutes.popitem(last=False)
        return minute


class Gate:
    """Lets administrators in.

    Args:
        jellyfin: the configured server, which knows its users.
        store: its audit is told of refusals.
        http: holds the configured token.
        failures: of the addresses.
        now: seconds of a clock that never jumps.
    """

    def __init__(
        self,
        jellyfin: JellyfinClient,
        store: Store,
        http: Http,
        failures: Failures,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jellyfin = jellyfin
        self._store = store
        self._failures = failures
        self._now = now
        token = http.admin_token
        self._own = None if token is None else _digest(token.get_secret_value())
        self._known: OrderedDict[bytes, tuple[float, Actor]] = OrderedDict()
        self._asking = asyncio.Semaphore(_AT_ONCE)
        self._down_until = 0.0

    async def admit(self, request: web.Request) -> None:
        """Let an administrator in, whose name the request then bears.

        Raises:
            Problem: 401, 403 or 429, and 503 where it cannot be known.
        """
        address = request[ADDRESS]
        try:
            self._limit(address)
            if request.headers.get("Sec-Fetch-Site", "").lower() in _ELSEWHERE:
                raise Problem(403, "pages of other sites may not ask for this")
            request[ACTOR] = await self._identify(request, address)
        except Problem as problem:
            await self._note(request, problem)
            raise

    async def _identify(self, request: web.Request, address: str) -> Actor:
        scheme, token = _proof(request)
        if scheme == "bearer":
            if self._own is not None and hmac.compare_digest(self._own, _digest(token)):
                return Actor("token", "admin token")
        elif _TOKEN.fullmatch(token):
            return await self._by_jellyfin(request, token, address)
        self._failures.count(address)
        status, reason = _VERDICTS[Standing.UNKNOWN]
        raise Problem(status, reason if scheme else _HOW, headers=_CHALLENGE)

    async def _by_jellyfin(self, request: web.Request, token: str, address: str) -> Actor:
        digest = _digest(token)
        if (known := self._remembered(digest)) is not None:
            return known
        async with self._asking:
            if (known := self._remembered(digest)) is not None:
                return known
            self._limit(address)
            bearer = await self._asked(token)
        request[ACTOR] = Actor("user", bearer.name) if bearer.name else STRANGER
        if bearer.standing is not Standing.ADMINISTRATOR:
            self._failures.count(address)
            status, reason = _VERDICTS[bearer.standing]
            raise Problem(status, reason, headers=_CHALLENGE if status == _UNKNOWN else None)
        self._known[digest] = (self._now() + _MINUTE, request[ACTOR])
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return request[ACTOR]
