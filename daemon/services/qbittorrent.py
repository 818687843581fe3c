"""qBittorrent: the progress of torrents; by API key, by login, or without either.

A wrong password is sent once: after five the address is banned for an hour, and Radarr and
Sonarr often share ours. Names, trackers and magnet links, which contain passkeys, are not read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from daemon.errors import RefusedKeyError, ServiceError, WrongServiceError
from daemon.pipeline import Torrent, TorrentReport
from daemon.services.http import Reply, RetryPolicy, ServiceHttp
from daemon.services.listing import decoded
from daemon.services.records import Broken, salvaged

SERVICE: Final = "qBittorrent"
PATIENCE: Final = RetryPolicy(attempts=2, reply=15.0, listing=15.0, silence=15.0)

_API: Final = "/api/v2"
_CAP: Final = 64 * 1024 * 1024  # a torrent takes 1.7 KB
_BAN: Final = 3600.0
_UNKNOWN_ETA: Final = 8_640_000
_HOST: Final = (
    "its Web UI refuses this host name or port: use the port that it listens on itself, and see"
    " its server domains"
)


class _Torrent(msgspec.Struct, gc=False):
    """A torrent, or its changed fields."""

    state: str | msgspec.UnsetType = msgspec.UNSET
    progress: float | msgspec.UnsetType = msgspec.UNSET
    dlspeed: int | msgspec.UnsetType = msgspec.UNSET
    eta: int | msgspec.UnsetType = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET


class _Server(msgspec.Struct, gc=False):
    connection_status: str | None = None


class _Main(msgspec.Struct, gc=False):
    """A full reply, or a delta to an earlier one of this session."""

    rid: int
    full_update: bool = False
    torrents: dict[str, msgspec.Raw] = {}
    torrents_removed: list[str] = []
    server_state: _Server | None = None


class _Refusal(NamedTuple):
    """Why no request is made, until a monotonic time."""

    detail: str
    hint: str
    until: float = math.inf


class QbittorrentClient:
    """One qBittorrent; every method may raise ServiceError.

    Args:
        http: how to reach it, with its API key as a bearer token if there is one.
        username: for the login; no login if this and the password are empty.
    """

    def __init__(
        self,
        http: ServiceHttp,
        username: str = "",
        password: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        self._form = {"username": username, "password": password}
        self._clock = clock
        self._cookies = ""
        self._refusal: _Refusal | None = None
        self._rid = 0
        self._torrents: dict[str, _Torrent] = {}
        self._connected = True

    async def check(self) -> str:
        """What is found there."""
        path = f"{_API}/app/version"
        version = (await self._ask(path)).body.decode("ascii", "replace").removeprefix("v")
        if not version[:1].isdecimal():
            raise self._wrong(path, "this is something else")
        return f"version {version}"

    async def torrents(self) -> TorrentReport:
        """All torrents of all categories; later replies are deltas."""
        path = f"{_API}/sync/maindata"
        asked, reply = self._rid, await self._ask(path, {"rid": str(self._rid)})
        vital = ("torrents", "torrents_removed", "full_update")
        main = decoded(self.http, path, reply.body, _Main, vital)
        if main.full_update or asked == 0:
            self._torrents.clear()
        self._rid = main.rid
        for removed in main.torrents_removed:
            self._torrents.pop(removed, None)
        for number, raw in main.torrents.items():
            self._merge(number, raw)
        if main.server_state and (status := main.server_state.connection_status):
            self._connected = status != "disconnected"
        shown = {number.upper(): _shown(one) for number, one in self._torrents.items()}
        return TorrentReport(torrents=shown, connected=self._connected)

    def _merge(self, number: str, raw: msgspec.Raw) -> None:
        """Merge a torrent's changes; malformed ones make its state unknown."""
        kept = self._torrents.setdefault(number, _Torrent())
        try:
            news = msgspec.json.decode(raw, type=_Torrent)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            salvage, _ = salvaged(Broken(bytes(raw), str(error)), _Torrent)
            news = salvage or _Torrent()
            news.state = ""
            self._rid = 0  # the next reply is whole again
        for name in _Torrent.__struct_fields__:
            if (value := getattr(news, name)) is not msgspec.UNSET:
                setattr(kept, name, value)

    async def _ask(self, path: str, query: dict[str, str] | None = None) -> Reply:
        """A reply, after a login if needed; an expired session is renewed once."""
        if self._refusal and self._clock() < self._refusal.until:
            raise RefusedKeyError(
                SERVICE, self.http.url, self._refusal.detail, hint=self._refusal.hint
            )
        self._refusal = None
        logs_in = any(self._form.values())
        if logs_in and not self._cookies:
            await self._log_in()
        try:
            return await self._get(path, query)
        except RefusedKeyError:
            if not logs_in:
                hint = "API keys exist since 5.2" if self.http.headers else "set up a login for it"
                detail = "it rejects this login"
                raise self._refuse(detail, hint, self._clock() + _BAN) from None
        await self._log_in()
        return await self._get(path, {"rid": "0"} if query else None)

    async def _get(self, path: str, query: dict[str, str] | None) -> Reply:
        headers = {"Cookie": self._cookies} if self._cookies else None
        also = {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}
        reply = await self.http.read(path, query, headers, also, _CAP)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise self._wrong(path, "HTTP 401", _HOST)
        self._cookies = reply.cookies or self._cookies
        return reply

    async def _log_in(self) -> None:
        """Log in.

        It answers 200 and "Ok." or "Fails." before 5.2, since then 204 or 401; 403 is the ban.
        """
        self._cookies, self._rid = "", 0
        path = f"{_API}/auth/login"
        try:
            reply = await self.http.submit(path, self._form)
        except RefusedKeyError as error:
            raise await self._refused(error) from None
        if reply.body == b"Fails.":
            raise self._wrong_password()
        if not reply.cookies and reply.body != b"Ok.":
            raise self._wrong(path, "this is something else")
        self._cookies = reply.cookies

    async def _refused(self, error: RefusedKeyError) -> ServiceError:
        """Classify a refusal: before 5.2 a 401 is about the Host header, not the login."""
        if error.status == HTTPStatus.FORBIDDEN:
            detail = "it has banned this address for an hour after too many wrong passwords"
            return self._refuse(detail, "wait, and see who sends them", self._clock() + _BAN)
        try:
            await self._get(f"{_API}/app/version", None)
        except WrongServiceError as wrong:
            return wrong
        except ServiceError:
            pass
        return self._wrong_password()

    def _wrong_password(self) -> RefusedKeyError:
        hint = "correct it in the configuration; until then it is not sent again"
        return self._refuse("the user name or the password is wrong", hint)

    def _refuse(self, detail: str, hint: str, until: float = math.inf) -> RefusedKeyError:
        self._refusal = _Refusal(detail, hint, until)
        return RefusedKeyError(SERVICE, self.http.url, detail, hint=hint)

    def _wrong(self, path: str, detail: str, hint: str | None = None) -> WrongServiceError:
        return WrongServiceError(SERVICE, self.http.url + path, detail, hint=hint)


def _shown(torrent: _Torrent) -> Torrent:
    eta = torrent.eta if isinstance(torrent.eta, int) else _UNKNOWN_ETA
    return Torrent(
        state=torrent.state if isinstance(torrent.state, str) else "",
        progress=min(max(torrent.progress or 0.0, 0.0), 1.0),
        speed=max(torrent.dlspeed or 0, 0),
        eta=eta if 0 <= eta < _UNKNOWN_ETA else None,
        size=max(torrent.size or 0, 0),
    )
