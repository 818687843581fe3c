"""A pretend qBittorrent 5.3: its ways in, and its torrents with what has changed of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.pretend.wire import new_application, template

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from tests.pretend.pipeline import Download, Pipeline

USERNAME = "admin"
COOKIE = "QBT_SID_8080"

_LOGIN = "/api/v2/auth/login"
_MAX_FAILURES = 5
_BANNED = "Your IP address has been banned after too many failed authentication attempts."
_SPEED = 5_000_000


def application(pipeline: Pipeline, *, api_key: str) -> web.Application:
    """Make a service that answers like qBittorrent 5.3.0; the key is the password, too."""
    server = _Server(pipeline, api_key)
    made = new_application(server.guard(), {})
    made.router.add_post(_LOGIN, server.log_in)
    made.router.add_get("/api/v2/app/version", server.show_version, allow_head=False)
    made.router.add_get("/api/v2/sync/maindata", server.show_main, allow_head=False)
    return made


class _Server:
    """What it answers, and to whom; a session knows what it was told last."""

    def __init__(self, pipeline: Pipeline, key: str) -> None:
        self._pipeline = pipeline
        self._key = key
        self._failures = 0
        self._sessions: dict[str, dict[int, dict[str, Any]]] = {}

    def guard(self) -> Middleware:
        """Let in who has the key or a session, and anybody who wants to log in."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            bearer = request.headers.get("Authorization") == f"Bearer {self._key}"
            known = COOKIE in request.cookies and self._session(request) in self._sessions
            if bearer or known or request.path == _LOGIN:
                return await handler(request)
            return _plain("Forbidden", 403)

        return guard

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Begin a session; after five wrong passwords there is none."""
        if self._failures >= _MAX_FAILURES:
            return _plain(_BANNED, 403)
        form = await request.post()
        if (form.get("username"), form.get("password")) != (USERNAME, self._key):
            self._failures += 1
            return _plain("Unauthorized", 401)
        self._failures = 0
        session = secrets.token_urlsafe(24)
        self._sessions[session] = {}
        cookie = f"{COOKIE}={session}; HttpOnly; SameSite=Lax; path=/"
        return web.Response(status=204, headers={"Set-Cookie": cookie})

    async def show_version(self, _: web.Request) -> web.StreamResponse:
        """The version."""
        return _plain("v5.3.0")

    async def show_main(self, request: web.Request) -> web.StreamResponse:
        """Everything, or what has changed."""
        known = self._sessions.setdefault(self._session(request), {})
        asked = int(request.query.get("rid", 0))
        torrents = {one.hash: _torrent(one) for one in self._pipeline.downloads.values()}
        status = "connected" if self._pipeline.connected else "disconnected"
        state = {**template("qbittorrent_state"), "connection_status": status}
        whole = {"full_update": True, "torrents": torrents}
        news = _changes(known[asked], torrents) if asked in known else whole
        known.clear()
        known[asked + 1] = torrents
        return web.json_response({"rid": asked + 1, "server_state": state, **news})

    def _session(self, request: web.Request) -> str:
        """The one of a key has a name that no cookie has."""
        return request.cookies.get(COOKIE, " ")


def _plain(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What is new of each torrent, and which are gone; what is empty is left out."""
    news = {
        number: {
            key: value for key, value in one.items() if before.get(number, {}).get(key) != value
        }
        for number, one in now.items()
    }
    told: dict[str, Any] = {"torrents": {number: one for number, one in news.items() if one}}
    told |= {"torrents_removed": [number for number in before if number not in now]}
    return {key: value for key, value in told.items() if value}


def _torrent(download: Download) -> dict[str, Any]:
    """A torrent; its hash is its key, and not in it."""
    left = int(download.size * (1 - download.progress))
    runs = download.state in {"downloading", "forcedDL"}
    return {
        **template("qbittorrent_torrent"),
        "name": download.release,
        "category": download.instance,
        "infohash_v1": download.hash,
        "state": download.state,
        "progress": download.progress,
        "dlspeed": _SPEED if runs else 0,
        "eta": left // _SPEED if runs else 8_640_000,
        "size": download.size,
        "total_size": download.size,
        "amount_left": left,
        "completed": download.size - left,
    }
