"""Logging in with a Jellyfin account, by Quick Connect or with the admin token; and out again."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from daemon.domain import Actor
from daemon.errors import ServiceError, StoreError, TimedOutError
from daemon.logs import logger
from daemon.services.jellyfin_auth import QuickConnect, TokenOwner, TokenStatus
from daemon.store import audit
from daemon.store.audit import AuditEvent
from daemon.web.auth import ADMIN_TOKEN, Credential, RateLimiter
from daemon.web.frame import PageRequest, Renderer
from daemon.web.problems import ACTOR, ADDRESS, ANONYMOUS, Problem
from daemon.web.routes import Context
from daemon.web.sessions import Sessions

_MAX_CONCURRENT: Final = 4
_MAX_CODES: Final = 64
_LONGEST: Final = 512
_NEXT: Final = re.compile(r"/status(?!.*\.\.)(/[A-Za-z0-9/.-]*)?(\?[A-Za-z0-9=&%+._:-]*)?")
_DENIED: Final = {
    TokenStatus.UNKNOWN: "Jellyfin does not know this name with this password.",
    TokenStatus.BARRED: "Jellyfin does not let this user in at present.",
}
_AWAY: Final = "Jellyfin cannot be asked at present who you are. Try again in a moment."
_BROKEN: Final = "Jellyfin does not answer as it should. The log says why, or `library-sync check`."
_UNWRITTEN: Final = "The tracker's file cannot be written, so nobody can log in. See the log."
_OFF: Final = "Quick Connect is switched off in Jellyfin. Log in with name and password."
_EXPIRED: Final = "This code is not valid any more. Begin again."
_ENDED: Final = "Your login has expired. Nothing was done; log in again."
_NOTED: Final = {401: "session.refused", 429: "access.limited"}
_log = logger(__name__)


_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class _Code:
    """A Quick Connect login in progress.

    Attributes:
        cookie: the value given to the browser.
        asked: when Jellyfin was last polled, by the monotonic clock.
    """

    begun: QuickConnect
    cookie: str
    asked: float


class Login:
    """The pages for people who are not logged in.

    Args:
        device: this daemon's name in Jellyfin's list of devices.
    """

    def __init__(
        self, site: Context, frame: Renderer, sessions: Sessions, failures: RateLimiter, device: str
    ) -> None:
        self._parts = site.parts
        self._admin_auth = site.admin_auth
        self._frame = frame
        self._sessions = sessions
        self._failures = failures
        self._accounts = site.parts.services.jellyfin.accounts
        self._device = device
        self._asking = asyncio.Semaphore(_MAX_CONCURRENT)
        self._codes: OrderedDict[str, _Code] = OrderedDict()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The form."""
        if self._sessions.find(request) is not None:
            return self._frame.to(_next(request))
        ended = request.query.get("why") == "ended" or self._sessions.ended(request)
        return self._form(request, 200, _ENDED if ended else "")

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Log in with name and password, which are passed on to Jellyfin and not kept."""
        return await self._guarded(request, self._enter)

    async def enter_with_token(self, request: web.Request) -> web.StreamResponse:
        """Log in with the configured admin token; it works while Jellyfin is away."""
        return await self._guarded(request, self._enter_with_token)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Request a code; it counts like a failure, since each creates state in Jellyfin."""
        return await self._guarded(request, self._begin)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """Show the code until it is approved, then the page that was requested."""
        return await self._guarded(request, self._wait)

    async def leave(self, visit: PageRequest) -> web.StreamResponse:
        """Log out."""
        reply = self._frame.to("/login")
        self._sessions.end(visit.request, reply)
        await self._record(visit.request, "session.closed", "")
        return reply

    async def _guarded(self, request: web.Request, answer: _Answer) -> web.StreamResponse:
        """Every failure shows the form again with a message above it."""
        try:
            return await answer(request)
        except Problem as problem:
            await self._note(request, problem)
            return self._form(request, problem.status, problem.detail)
        except ServiceError as error:
            _log.warning("auth.unavailable", error_kind=error.kind, error=str(error))
            passing = error.retryable or isinstance(error, TimedOutError)
            return self._form(request, 503, _AWAY if passing else _BROKEN)
        except StoreError as error:
            _log.error("audit.write_failed", error_kind=error.kind, error=str(error))
            return self._form(request, 503, _UNWRITTEN)

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        if self._sessions.find(request) is not None:
            return self._frame.to(_next(request))
        form = await self._frame.form(request) or {}
        name, password = form.get("user", ""), form.get("password", "")
        if not name or max(len(name), len(password)) > _LONGEST:
            raise Problem(400, "Enter your Jellyfin name and password.")
        async with self._asking:
            self._limit(request, Credential.PASSWORD)
            bearer = await self._accounts.log_in(name, password, self._device)
        return await self._let_in(request, bearer)

    async def _enter_with_token(self, request: web.Request) -> web.StreamResponse:
        form = await self._frame.form(request) or {}
        if not self._admin_auth.is_admin_token(form.get("secret", "")):
            self._limit(request, Credential.ADMIN_TOKEN)
            self._failures.count(request[ADDRESS], Credential.ADMIN_TOKEN)
            raise Problem(401, "This is not the admin token.")
        return await self._opened(request, ADMIN_TOKEN, admin=True)

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        await self._frame.form(request)
        self._limit(request, Credential.CODE)
        self._failures.count(request[ADDRESS], Credential.CODE)
        if (begun := await self._accounts.quick_connect(self._device)) is None:
            raise Problem(409, _OFF)
        name = secrets.token_urlsafe(6)
        reply = self._frame.to("/login/quick", code=name, next=_next(request))
        cookie = self._sessions.begin_code(request, reply, name)
        self._codes[name] = _Code(begun, cookie, self._parts.monotonic())
        if len(self._codes) > _MAX_CODES:
            self._codes.popitem(last=False)
        return reply

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("code", "")
        code = self._codes.get(name)
        if code is None or not self._sessions.owns_code(request, name, code.cookie):
            raise Problem(410, _EXPIRED)
        if (bearer := await self._allowed(code)) is None:
            return self._frame.page(request, "quick.html", code=code.begun.code)
        self._codes.pop(name, None)
        if bearer.standing is TokenStatus.UNKNOWN:
            raise Problem(410, _EXPIRED)
        return await self._let_in(request, bearer)

    async def _allowed(self, code: _Code) -> TokenOwner | None:
        """Who approved the code; Jellyfin is polled at most once a second."""
        now = self._parts.monotonic()
        if now < code.asked + 1:
            return None
        code.asked = now
        try:
            return await self._accounts.quick_connected(code.begun.secret, self._device)
        except ServiceError as error:  # the code is still good when Jellyfin is back
            _log.warning("auth.unavailable", error_kind=error.kind, error=str(error))
            return None

    def _limit(self, request: web.Request, credential: Credential) -> None:
        if wait := self._failures.wait(request[ADDRESS], credential):
            raise Problem(429, f"Too many failed logins. Try again in {wait} seconds.")

    async def _let_in(self, request: web.Request, bearer: TokenOwner) -> web.StreamResponse:
        if bearer.standing in _DENIED:
            self._failures.count(request[ADDRESS], Credential.PASSWORD)
            raise Problem(401, _DENIED[bearer.standing])
        admin = bearer.standing is TokenStatus.ADMINISTRATOR
        who = Actor("user", bearer.name)
        return await self._opened(request, who, admin=admin, user_id=bearer.user_id)

    async def _opened(
        self, request: web.Request, actor: Actor, *, admin: bool, user_id: str = ""
    ) -> web.StreamResponse:
        """Somebody is logged in from now on; the page that they wanted follows."""
        request[ACTOR] = actor
        await self._record(request, "session.opened", "administrator" if admin else "user")
        reply = self._frame.to(_next(request))
        self._sessions.begin(request, reply, actor, admin=admin, user_id=user_id)
        return reply

    async def _note(self, request: web.Request, problem: Problem) -> None:
        action = _NOTED.get(problem.status)
        if action and self._failures.worth_noting(request[ADDRESS], action):
            with suppress(StoreError):  # whoever is refused is told so, and that is in the log
                await self._record(request, action, problem.detail)

    async def _record(self, request: web.Request, action: str, reason: str) -> None:
        """The typed name is not recorded: people type passwords into the wrong field."""
        actor, after = request.get(ACTOR, ANONYMOUS), {"address": request[ADDRESS]}
        event = AuditEvent(action, actor, target="page", reason=reason or None, after=after)
        await self._parts.store.write(audit.append, event)

    def _form(self, request: web.Request, status: int, said: str) -> web.StreamResponse:
        visitor = self._sessions.anonymous_id(request)
        token = self._sessions.form(visitor)
        reply = self._frame.page(
            request,
            "login.html",
            status=status,
            said=said,
            next=_next(request),
            login=token,
            has_admin_token=self._admin_auth.has_admin_token,
        )
        self._sessions.set_anonymous_cookie(request, reply, visitor)
        return reply


def _next(request: web.Request) -> str:
    """Where to go after the login: always a page of this daemon (no open redirect)."""
    wanted = request.query.get("next", "")
    return wanted if _NEXT.fullmatch(wanted) else "/status"
