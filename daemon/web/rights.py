"""What logged-in people may do: confirmed with Jellyfin once a minute."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from daemon.domain import Actor
from daemon.errors import ServiceError
from daemon.logs import logger
from daemon.services.jellyfin_auth import TokenOwner, TokenStatus
from daemon.web.problems import Problem, unavailable
from daemon.web.sessions import Session, Sessions

_GOOD_FOR: Final = 60.0
_ASK_AGAIN_AFTER: Final = 2.0
_READERS_ASK_AGAIN_AFTER: Final = 30.0
"""Pages are of the file alone: a Jellyfin that hangs must not keep each of them waiting."""

_SAFE: Final = frozenset({"GET", "HEAD"})
_GONE: Final = frozenset({TokenStatus.BARRED, TokenStatus.UNKNOWN})
_UNKNOWN: Final = TokenOwner(TokenStatus.UNKNOWN)
_log = logger(__name__)


class EndedError(Problem):
    """The session has expired."""


class Rights:
    """Authenticates sessions, with rights confirmed within the last minute.

    While Jellyfin is down, people who are logged in can read but not act.

    Args:
        users: asks Jellyfin for all accounts, by their ids.
    """

    def __init__(
        self,
        sessions: Sessions,
        users: Callable[[], Awaitable[Mapping[str, TokenOwner]]],
        now: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._now = now
        self._asking = asyncio.Lock()
        self._failed = -math.inf

    async def session(self, request: web.Request) -> Session | None:
        """The session of a request; None if there is none, or Jellyfin has ended it.

        Raises:
            Problem: 503, Jellyfin cannot confirm that they may still act.
        """
        session = self._sessions.find(request)
        if session is None or self._is_fresh(session):
            return session
        reads = request.method in _SAFE
        pause = _READERS_ASK_AGAIN_AFTER if reads else _ASK_AGAIN_AFTER
        async with self._asking:
            if not self._is_fresh(session) and self._now() >= self._failed + pause:
                await self._confirm()
        if not self._is_fresh(session) and not reads:
            raise unavailable("Jellyfin cannot be asked at present whether you still may do this.")
        return self._sessions.find(request)

    async def administrator(self, request: web.Request) -> Actor | None:
        """The administrator of a session cookie, for reading only: browsers send it unasked.

        Raises:
            Problem: 401, the login has ended; 403, it is a plain user's. That is no attack.
        """
        if request.method not in _SAFE:
            return None
        session = await self.session(request)
        if session is None and self._sessions.ended(request):
            raise EndedError(401, "this login has ended; log in again at /login")
        if session is not None and not session.admin:
            raise Problem(403, "only administrators of Jellyfin may see this")
        return None if session is None else session.actor

    def _is_fresh(self, session: Session) -> bool:
        return not session.user_id or self._now() < session.confirmed + _GOOD_FOR

    async def _confirm(self) -> None:
        """Confirm the rights of all sessions with one request."""
        try:
            users = await self._users()
        except ServiceError as error:
            _log.warning("auth.unavailable", error_kind=error.kind, error=str(error))
            self._failed = self._now()
            return
        for session in self._sessions.of_users():
            status = users.get(session.user_id, _UNKNOWN).standing
            session.admin = status is TokenStatus.ADMINISTRATOR
            session.confirmed = self._now()
            if status in _GONE:
                session.ends = self._now()
