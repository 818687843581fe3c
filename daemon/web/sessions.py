"""Who is logged in to the pages, kept in memory, and the tokens of their forms."""

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
"""Begins the cookie of whoever is logged in, so that one which has ended can be told."""


class Form(Enum):
    """What a form's token says."""

    GOOD = auto()
    USED = auto()
    FOREIGN = auto()


@dataclass(slots=True)
class Session:
    """Somebody who is logged in.

    Attributes:
        user_id: of their account in Jellyfin; "" for whoever has none.
        ends: seconds of the clock that never jumps, as all times here.
        confirmed: when Jellyfin last said what they may do.
        sent: numbers of the forms that were sent already; below `oldest` none is taken any more.
    """

    actor: Actor
    admin: bool
    user_id: str
    ends: float
    confirmed: float
    sent: set[int] = field(default_factory=set)
    oldest: int = 0

    def take(self, number: int) -> Form:
        """Take a form that is ours, once."""
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
    """The logins of one daemon; they end with it.

    Args:
        device: tells this daemon from others on the same host, which share its cookies.
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

    def begin(
        self,
        request: web.Request,
        reply: web.StreamResponse,
        actor: Actor,
        *,
        admin: bool,
        user_id: str = "",
    ) -> None:
        """Log somebody in; their earlier cookie is worth nothing any more."""
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
        """The logins of people who have an account in Jellyfin."""
        return [session for session in self._open.values() if session.user_id]

    def forget(self, request: web.Request) -> None:
        """End the login of whoever asks, if they have one."""
        self._open.pop(_digest(self._value(request)), None)

    def anonymous_id(self, request: web.Request) -> str:
        """What tells a browser from others before anybody is logged in; made if there is none."""
        value = self._value(request)
        return value if value and not value.startswith(_MARK) else secrets.token_urlsafe(24)

    def set_anonymous_cookie(
        self, request: web.Request, reply: web.StreamResponse, visitor: str
    ) -> None:
        """Let a browser keep that."""
        self._set(request, reply, visitor)

    def begin_code(self, request: web.Request, reply: web.StreamResponse, name: str) -> str:
        """Give a browser a cookie for one login by code; returns its value.

        It is always a new one: another program of this host may have planted any that is there.
        """
        value = secrets.token_urlsafe(32)
        self._set(request, reply, value, f"_{name}")
        return value

    def owns_code(self, request: web.Request, name: str, value: str) -> bool:
        """Whether it is the browser that was given that."""
        given = request.cookies.get(f"{self.cookie}_{name}", "")
        return hmac.compare_digest(_bytes(given), _bytes(value))

    def form(self, owner: str) -> str:
        """A token for one form, which will come with the cookie of its owner."""
        number = str(next(self._numbers))
        return f"{number}.{self._sign(number, owner)}"

    def form_of(self, request: web.Request) -> str:
        """A token for one form of whoever is logged in."""
        return self.form(self._value(request))

    def check_form(self, request: web.Request, token: str) -> Form:
        """Whether a form is one of ours for this browser, and was not sent before."""
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
    """What a stranger claims here makes only their own cookie stricter."""
    said = (request.headers.get("X-Forwarded-Proto", ""), request.headers.get("Origin", ""))
    return request.secure or any(one.strip().lower().startswith("https") for one in said)


def _digest(value: str) -> bytes:
    """The cookies themselves are not kept."""
    return hashlib.sha256(_bytes(value)).digest()


def _bytes(text: str) -> bytes:
    """A browser, or whoever plays one, may send bytes that are no text."""
    return text.encode("utf-8", "surrogateescape")
