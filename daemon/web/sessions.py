"""Sessions of the pages, kept in memory, and the CSRF tokens of their forms."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from aiohttp import web

from daemon.domain import Actor

HOURS: Final = 12
"""How long a login lasts."""

_MAX: Final = 512
_MAX_FORMS: Final = 64
_MARK: Final = "s."
"""Prefix of a session cookie, which tells an expired session from no session."""


class Form(Enum):
    """The result of checking a form's CSRF token."""

    GOOD = auto()
    USED = auto()
    FOREIGN = auto()


@dataclass(slots=True)
class Session:
    """One login.

    Attributes:
        user_id: of their Jellyfin account; "" if they have none.
        ends: seconds of the monotonic clock, as all times here.
        confirmed: when Jellyfin last said what they may do.
        sent: numbers of the forms already submitted; those below `oldest` are rejected.
    """

    actor: Actor
    admin: bool
    user_id: str
    ends: float
    confirmed: float
    sent: set[int] = field(default_factory=set)
    oldest: int = 0

    def take(self, number: int) -> Form:
        """Accept a form once."""
        if number in self.sent:
            return Form.USED
        if number < self.oldest:
            return Form.FOREIGN
        self.sent.add(number)
        if len(self.sent) > _MAX_FORMS:
            self.oldest = min(self.sent) + 1
            self.sent.remove(self.oldest - 1)
        return Form.GOOD


class Sessions:
    """The sessions of one daemon; they end with it.

    Args:
        device: distinguishes this daemon from others on the same host, which share cookies.
        path: below which the cookie is sent.
    """

    def __init__(self, device: str, path: str, now: Callable[[], float]) -> None:
        self.cookie = f"library_sync_{device[:8]}"
        self._path = path or "/"
        self._now = now
        self._key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def find(self, request: web.Request) -> Session | None:
        """The session of a request, if there is one."""
        key = _digest(self._value(request))
        session = self._open.get(key)
        if session is not None and session.ends <= self._now():
            del self._open[key]
            return None
        return session

    def ended(self, request: web.Request) -> bool:
        """Whether the request carries an expired session."""
        return self._value(request).startswith(_MARK) and self.find(request) is None

    def begin(
        self,
        request: web.Request,
        reply: web.StreamResponse,
        actor: Actor,
        *,
        admin: bool,
        user_id: str = "",
    ) -> None:
        """Log somebody in; their earlier cookie becomes invalid."""
        self.forget(request)
        value, now = _MARK + secrets.token_urlsafe(32), self._now()
        self._open[_digest(value)] = Session(actor, admin, user_id, now + HOURS * 3600, now)
        if len(self._open) > _MAX:
            self._open.popitem(last=False)
        self._set(request, reply, value)

    def end(self, request: web.Request, reply: web.StreamResponse) -> None:
        """Log somebody out."""
        self.forget(request)
        reply.del_cookie(self.cookie, path=self._path)

    def of_users(self) -> list[Session]:
        """The sessions of people with a Jellyfin account."""
        return [session for session in self._open.values() if session.user_id]

    def forget(self, request: web.Request) -> None:
        """End the session of a request, if there is one."""
        self._open.pop(_digest(self._value(request)), None)

    def anonymous_id(self, request: web.Request) -> str:
        """The anonymous id of a browser that is not logged in; created if there is none."""
        value = self._value(request)
        return value if value and not value.startswith(_MARK) else secrets.token_urlsafe(24)

    def set_anonymous_cookie(
        self, request: web.Request, reply: web.StreamResponse, visitor: str
    ) -> None:
        """Store the anonymous id in the browser."""
        self._set(request, reply, visitor)

    def begin_code(self, request: web.Request, reply: web.StreamResponse, name: str) -> str:
        """Give a browser a cookie for one login by code; returns its value.

        It is always a new one: another program of this host may have planted any that is there.
        """
        value = secrets.token_urlsafe(32)
        self._set(request, reply, value, f"_{name}")
        return value

    def owns_code(self, request: web.Request, name: str, value: str) -> bool:
        """Whether the browser holds the cookie of this code."""
        given = request.cookies.get(f"{self.cookie}_{name}", "")
        return hmac.compare_digest(_bytes(given), _bytes(value))

    def form(self, owner: str) -> str:
        """A CSRF token for one form of a cookie's owner."""
        number = str(next(self._numbers))
        return f"{number}.{self._sign(number, owner)}"

    def form_of(self, request: web.Request) -> str:
        """A CSRF token for one form of a session."""
        return self.form(self._value(request))

    def check_form(self, request: web.Request, token: str) -> Form:
        """Check a form's CSRF token against the browser and against reuse."""
        number, _, signature = token.partition(".")
        owner = self._value(request)
        fits = hmac.compare_digest(_bytes(signature), _bytes(self._sign(number, owner)))
        if not owner or not fits:
            return Form.FOREIGN
        session = self.find(request)
        return Form.GOOD if session is None else session.take(int(number))

    def _sign(self, number: str, owner: str) -> str:
        return hmac.new(self._key, _bytes(f"{number}.{owner}"), hashlib.sha256).hexdigest()

    def _value(self, request: web.Request) -> str:
        return request.cookies.get(self.cookie, "")[:128]

    def _set(
        self, request: web.Request, reply: web.StreamResponse, value: str, suffix: str = ""
    ) -> None:
        reply.set_cookie(
            self.cookie + suffix,
            value,
            max_age=2 * HOURS * 3600,  # so that whose login has ended can be told so
            path=self._path,
            secure=_is_https(request),
            httponly=True,
            samesite="Strict",
        )


def _is_https(request: web.Request) -> bool:
    """A forged header can only make the client's own cookie stricter."""
    said = (request.headers.get("X-Forwarded-Proto", ""), request.headers.get("Origin", ""))
    return request.secure or any(one.strip().lower().startswith("https") for one in said)


def _digest(value: str) -> bytes:
    """Only digests of cookies are kept."""
    return hashlib.sha256(_bytes(value)).digest()


def _bytes(text: str) -> bytes:
    """A client may send bytes that are not text."""
    return text.encode("utf-8", "surrogateescape")
