"""Authentication: an administrator by a token, and a sender of webhooks by the secret."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from aiohttp import web

from daemon.domain import Actor
from daemon.errors import ServiceError, StoreError
from daemon.logs import logger
from daemon.services.jellyfin_auth import JellyfinAuth, TokenOwner, TokenStatus
from daemon.settings import Http, Webhook
from daemon.store import Store, audit
from daemon.store.audit import AuditEvent
from daemon.web.address import rate_limit_key
from daemon.web.problems import ACTOR, ADDRESS, ANONYMOUS, Problem, unavailable
from daemon.web.rights import EndedError

_MINUTE: Final = 60.0
_MAX_ADDRESSES: Final = 4096
_MAX_NOTES: Final = 60
_MAX_KNOWN: Final = 256
_MAX_CONCURRENT: Final = 4
_RETRY_AFTER_DOWN: Final = 2.0
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})
_TOKEN: Final = re.compile(r"[0-9A-Za-z-]{1,128}")
_IN_HEADER: Final = re.compile(r'(?:^|[\s,])Token="?([^",]*)"?')
_HOW: Final = (
    "send an administrator's token of Jellyfin as X-Jellyfin-Token,"
    " or the configured admin token as Authorization: Bearer"
)
_NOTED: Final = {401: "access.refused", 403: "access.refused", 429: "access.limited"}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="library-sync"'}
_BASIC: Final = {"WWW-Authenticate": 'Basic realm="library-sync"'}
_VERDICTS: Final = {
    TokenStatus.USER: (403, "this user of Jellyfin is no administrator"),
    TokenStatus.BARRED: (403, "Jellyfin does not let this user in at present"),
    TokenStatus.API_KEY: (403, "this is a Jellyfin API key, which belongs to nobody"),
    TokenStatus.UNKNOWN: (401, "this token is not known"),
}
_log = logger(__name__)


class Credential(Enum):
    """A kind of credential; failures are counted per kind."""

    ADMIN_TOKEN = auto()
    JELLYFIN_TOKEN = auto()
    PASSWORD = auto()
    CODE = auto()
    WEBHOOK_SECRET = auto()


@dataclass(slots=True)
class _Minute:
    ends: float
    failures: int = 0
    noted: set[str] = field(default_factory=set)


class RateLimiter:
    """Limits failed attempts by address and credential, in windows of a minute.

    The oldest windows are dropped first, which bounds memory.

    Args:
        most: failures allowed per minute.
    """

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._minutes: OrderedDict[tuple[str, Credential | None], _Minute] = OrderedDict()
        self._everybody = _Minute(0)

    def count(self, address: str, credential: Credential) -> None:
        """Note a failure."""
        self._minute(address, credential).failures += 1

    def wait(self, address: str, credential: Credential) -> int:
        """Seconds until this address may try again with such a credential; 0 if it may now."""
        minute = self._minutes.get((rate_limit_key(address), credential))
        if minute is None or minute.failures < self._most:
            return 0
        return max(0, math.ceil(minute.ends - self._now()))

    def limit(self, request: web.Request, credential: Credential) -> None:
        """Reject a client that has failed too often.

        Raises:
            Problem: 429.
        """
        if wait := self.wait(request[ADDRESS], credential):
            raise Problem(429, "too many failures", headers={"Retry-After": str(wait)})

    def worth_noting(self, address: str, action: str) -> bool:
        """Whether this is the address' first such refusal of the minute, and not a flood."""
        if self._everybody.ends <= self._now():
            self._everybody = _Minute(self._now() + _MINUTE)
        minute = self._minute(address)
        if action in minute.noted or self._everybody.failures >= _MAX_NOTES:
            return False
        minute.noted.add(action)
        self._everybody.failures += 1
        return True

    def _minute(self, address: str, credential: Credential | None = None) -> _Minute:
        key = (rate_limit_key(address), credential)
        minute = self._minutes.get(key)
        if minute is None or minute.ends <= self._now():
            self._minutes.pop(key, None)
            minute = self._minutes[key] = _Minute(self._now() + _MINUTE)
            if len(self._minutes) > _MAX_ADDRESSES:
                self._minutes.popitem(last=False)
        return minute


ADMIN_TOKEN: Final = Actor("token", "admin token")
"""The actor of the configured token."""


class AdminAuth:
    """Authenticates administrators.

    Args:
        store: refusals are recorded in its audit.
        cookie: the administrator who is logged in to the pages and reads.
    """

    def __init__(
        self,
        jellyfin: JellyfinAuth,
        store: Store,
        http: Http,
        failures: RateLimiter,
        now: Callable[[], float],
        cookie: Callable[[web.Request], Awaitable[Actor | None]],
    ) -> None:
        self._jellyfin = jellyfin
        self._store = store
        self._failures = failures
        self._now = now
        self._cookie = cookie
        token = http.admin_token
        self._own = None if token is None else _digest(token.get_secret_value())
        self._known: OrderedDict[bytes, tuple[float, Actor]] = OrderedDict()
        self._asking = asyncio.Semaphore(_MAX_CONCURRENT)
        self._down_until = 0.0

    @property
    def has_admin_token(self) -> bool:
        """Whether one is configured."""
        return self._own is not None

    def is_admin_token(self, token: str) -> bool:
        """Whether this is the configured one; it takes as long for every other one."""
        return self._own is not None and hmac.compare_digest(self._own, _digest(token))

    async def authenticate(self, request: web.Request) -> None:
        """Authenticate an administrator; sets the request's actor.

        Raises:
            Problem: 401, 403 or 429, and 503 where Jellyfin cannot be asked.
        """
        try:
            refuse_other_sites(request)
            request[ACTOR] = await self._identify(request)
        except Problem as problem:
            if problem.status in _NOTED and not isinstance(problem, EndedError):
                await self._note(request, _NOTED[problem.status], problem.detail)
            raise

    async def _identify(self, request: web.Request) -> Actor:
        scheme, token = _proof(request)
        if not scheme:
            if (reader := await self._cookie(request)) is not None:
                return reader
            raise Problem(401, _HOW, headers=_CHALLENGE)
        if scheme != "bearer":
            return await self._by_jellyfin(request, token)
        if self.is_admin_token(token):
            return ADMIN_TOKEN
        raise self._refusal(request, Credential.ADMIN_TOKEN, TokenStatus.UNKNOWN)

    def _refusal(
        self, request: web.Request, credential: Credential, status: TokenStatus
    ) -> Problem:
        """Count a failure; a correct secret is accepted even while the address is limited."""
        self._failures.limit(request, credential)
        self._failures.count(request[ADDRESS], credential)
        return Problem(*_VERDICTS[status], headers=_CHALLENGE)

    async def _by_jellyfin(self, request: web.Request, token: str) -> Actor:
        if not _TOKEN.fullmatch(token):
            raise self._refusal(request, Credential.JELLYFIN_TOKEN, TokenStatus.UNKNOWN)
        digest = _digest(token)
        if (known := self._remembered(digest)) is not None:
            return known
        async with self._asking:
            if (known := self._remembered(digest)) is not None:
                return known
            # A question costs Jellyfin something: an unknown token is not asked about in a flood.
            if digest not in self._known:
                self._failures.limit(request, Credential.JELLYFIN_TOKEN)
            bearer = await self._asked(token)
            self._known.pop(digest, None)
        actor = Actor("user", bearer.name) if bearer.name else ANONYMOUS
        if bearer.standing is not TokenStatus.ADMINISTRATOR:
            request[ACTOR] = actor
            raise self._refusal(request, Credential.JELLYFIN_TOKEN, bearer.standing)
        self._known[digest] = (self._now() + _MINUTE, actor)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return actor

    def _remembered(self, digest: bytes) -> Actor | None:
        until, actor = self._known.get(digest, (0.0, ANONYMOUS))
        return actor if until > self._now() else None

    async def _asked(self, token: str) -> TokenOwner:
        """The owner of a token; after a failure Jellyfin is left alone for a moment."""
        if self._now() >= self._down_until:
            try:
                return await self._jellyfin.who_is(token)
            except ServiceError as error:
                _log.warning("auth.unavailable", error_kind=error.kind, error=str(error))
                self._down_until = self._now() + _RETRY_AFTER_DOWN
        raise unavailable("Jellyfin cannot be asked at present who you are")

    async def _note(self, request: web.Request, action: str, reason: str) -> None:
        address = request[ADDRESS]
        if not self._failures.worth_noting(address, action):
            return
        resource = request.match_info.route.resource
        target = f"{request.method} {resource.canonical if resource else '-'}"
        event = AuditEvent(
            action, request[ACTOR], target=target, reason=reason, after={"address": address}
        )
        try:
            await self._store.write(audit.append, event)
        except StoreError as error:
            _log.error("audit.write_failed", error_kind=error.kind, error=str(error))


def refuse_other_sites(request: web.Request) -> None:
    """Reject cross-site requests, by fetch metadata (CSRF)."""
    if request.headers.get("Sec-Fetch-Site", "").lower() in _OTHER_SITES:
        raise Problem(403, "cross-site requests are not allowed")


def _proof(request: web.Request) -> tuple[str, str]:
    """The authentication scheme and the credential; the scheme is "" if there is none."""
    if (token := request.headers.get("X-Jellyfin-Token")) is not None:
        return "mediabrowser", token
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return "bearer", rest.strip()
    found = _IN_HEADER.search(rest) if scheme.lower() == "mediabrowser" else None
    return ("mediabrowser", found[1]) if found else ("", "")


def _digest(token: str) -> bytes:
    """A digest of fixed length, for constant-time comparison; headers may hold any bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class WebhookAuth:
    """Authenticates senders of webhooks by a secret in a header, never in the URL.

    Args:
        webhook: holds the secret; without one nobody is let in.
    """

    def __init__(self, webhook: Webhook, failures: RateLimiter) -> None:
        secret = webhook.secret
        self._digest = None if secret is None else _digest(secret.get_secret_value())
        self._failures = failures

    def authenticate(self, request: web.Request) -> None:
        """Authenticate a sender: by its own header, a bearer token, or a Basic password.

        Raises:
            Problem: 401, 403 where no secret is configured, and 429.
        """
        if self._digest is None:
            raise Problem(403, "set webhook.secret in the configuration first")
        given = (request.headers.get("X-Library-Sync-Secret", ""), secret_of_authorization(request))
        if not any(hmac.compare_digest(self._digest, _digest(one)) for one in given):
            self._failures.limit(request, Credential.WEBHOOK_SECRET)
            self._failures.count(request[ADDRESS], Credential.WEBHOOK_SECRET)
            raise Problem(401, "the secret is missing or wrong", headers=_BASIC)


def secret_of_authorization(request: web.Request) -> str:
    """A bearer, or the password of Basic; "" if there is neither."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password
