"""Who is logged in to the pages, kept in memory, and the tokens of their forms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from aiohttp import web

from daemon.domain import Actor
from daemon.web.problems import Problem

HOURS: Final = 12
"""How long a login lasts."""

_MAX: Final = 512
_FORMS: Final = 64
_SAFE: Final = frozenset({"GET", "HEAD"})
_MARK: Final = "s."
"""Begins the cookie of whoever is logged in, so that one which has ended can be told."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in.

    Attributes:
        ends: seconds of the clock that never jumps.
        used: the forms that were sent already, the latest few.
    """

    actor: Actor
    admin: bool
    ends: float
    used: deque[str] = field(default_factory=lambda: deque(maxlen=_FORMS))


class EndedError(Problem):
    """Somebody asks who was logged in, and is not any more."""


class Form(Enum):
    """What a form's token says."""

    GOOD = auto()
    USED = auto()
    FOREIGN = auto()


class Sessions:
    """The logins of one daemon; they end with it.

    Args:
        device: tells this daemon from others on the same host, which share its cookies.
        path: below which the cookie is sent.
        now: seconds of a clock that never jumps.
    """

    def __init__(self, device: str, path: str, now: Callable[[], float]) -> None:
        self.cookie = f"library_sync_{device[:8]}"
        self._path = path or "/"
        self._now = now
        self._key = secrets.token_bytes(32)
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def find(self, request: web.Request) -> Session | None:
        """Whoever asks, if they are logged in."""
        key = _digest(self._value(request))
        session = self._open.get(key)
        if session is not None and session.ends <= self._now():
            del self._open[key]
            return None
        return session

    def ended(self, request: web.Request) -> bool:
        """Whether somebody asks who was logged in, and is not any more."""
        return self._value(request).startswith(_MARK) and self.find(request) is None

    def administrator(self, request: web.Request) -> Actor | None:
        """The administrator who reads with a cookie; browsers send it unasked, so only to read.

        Raises:
            Problem: 401, the login has ended; 403, it is a plain user's. That is no attack.
        """
        if request.method not in _SAFE:
            return None
        if self.ended(request):
            raise EndedError(401, "this login has ended; log in again at /login")
        if (session := self.find(request)) is not None and not session.admin:
            raise Problem(403, "only administrators of Jellyfin may see this")
        return None if session is None else session.actor

    def begin(
        self, request: web.Request, reply: web.StreamResponse, actor: Actor, *, admin: bool
    ) -> None:
        """Log somebody in; their earlier cookie is worth nothing any more."""
        self._open.pop(_digest(self._value(request)), None)
        value = _MARK + secrets.token_urlsafe(32)
        self._open[_digest(value)] = Session(actor, admin, self._now() + HOURS * 3600)
        if len(self._open) > _MAX:
            self._open.popitem(last=False)
        self._set(request, reply, value)

    def end(self, request: web.Request, reply: web.StreamResponse) -> None:
        """Log somebody out."""
        self._open.pop(_digest(self._value(request)), None)
        reply.del_cookie(self.cookie, path=self._path)

    def visitor(self, request: web.Request) -> str:
        """What tells a browser from others before anybody is logged in; made if there is none."""
        value = self._value(request)
        return value if value and not value.startswith(_MARK) else secrets.token_urlsafe(24)

    def greet(self, request: web.Request, reply: web.StreamResponse, visitor: str) -> None:
        """Let a browser keep that."""
        self._set(request, reply, visitor)

    def form(self, owner: str) -> str:
        """A token for one form.

        Args:
            owner: the cookie that the form will come with.
        """
        nonce = secrets.token_urlsafe(9)
        return f"{nonce}.{self._seal(nonce, owner)}"

    def form_of(self, request: web.Request) -> str:
        """A token for one form of whoever is logged in."""
        return self.form(self._value(request))

    def judge(self, request: web.Request, token: str) -> Form:
        """Whether a form is one of ours for this browser, and was not sent before."""
        nonce, _, seal = token.partition(".")
        owner = self._value(request)
        fits = hmac.compare_digest(_bytes(seal), _bytes(self._seal(nonce, owner)))
        if not owner or not fits:
            return Form.FOREIGN
        session = self.find(request)
        if session is None:
            return Form.GOOD
        if nonce in session.used:
            return Form.USED
        session.used.append(nonce)
        return Form.GOOD

    def _seal(self, nonce: str, owner: str) -> str:
        return hmac.new(self._key, _bytes(f"{nonce}.{owner}"), hashlib.sha256).hexdigest()

    def _value(self, request: web.Request) -> str:
        return request.cookies.get(self.cookie, "")[:128]

    def _set(self, request: web.Request, reply: web.StreamResponse, value: str) -> None:
        reply.set_cookie(
            self.cookie,
            value,
            max_age=2 * HOURS * 3600,  # so that whose login has ended can be told so
            path=self._path,
            secure=_is_https(request),
            httponly=True,
            samesite="Strict",
        )


def _is_https(request: web.Request) -> bool:
    """What a stranger claims here makes only their own cookie stricter."""
    said = (request.headers.get("X-Forwarded-Proto", ""), request.headers.get("Origin", ""))
    return request.secure or any(one.strip().lower().startswith("https") for one in said)


def _digest(value: str) -> bytes:
    """The cookies themselves are not kept."""
    return hashlib.sha256(_bytes(value)).digest()


def _bytes(text: str) -> bytes:
    """A browser, or whoever plays one, may send bytes that are no text."""
    return text.encode("utf-8", "surrogateescape")
