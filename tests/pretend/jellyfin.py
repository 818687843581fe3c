"""Pretend Jellyfin 10.11: who may ask, and what each route answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.pretend import connect
from tests.pretend.connect import Connections
from tests.pretend.items import Ask, encode, listing
from tests.pretend.library import Folder, World, overridden
from tests.pretend.wire import empty, new_application, reply, template

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_JSON = {"Content-Type": "application/json; charset=utf-8", "Vary": "Accept-Encoding"}
_TEXT = {"Content-Type": "text/plain"}
_HEALTH = {
    **_TEXT,
    "Cache-Control": "no-store, no-cache",
    "Expires": "Thu, 01 Jan 1970 00:00:00 GMT",
    "Pragma": "no-cache",
    "Vary": "Accept-Encoding",
}
_OPEN = frozenset(
    {
        *("/health", "/System/Info/Public", "/Users/AuthenticateByName"),
        *("/Users/AuthenticateWithQuickConnect", "/QuickConnect/Initiate", "/QuickConnect/Connect"),
    }
)
_FOR_ADMINISTRATORS = ("/ScheduledTasks", "/Library/VirtualFolders", "/Auth/Keys", "/Plugins")
_CODE = {"Secret": "AB" * 32, "Code": "123456"}
_REQUEST_LINE_LIMIT = 8192
_PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 3">'
    b'<path fill="#44546a" d="M0 0h2v3H0z"/><path fill="#fff" d="M.7 1v1l.8-.5z"/></svg>'
)
_PUBLIC = 7  # so many keys of the server's description, the last ones, are for everybody
_PAIR = re.compile(r'(\w+)="?([^",]*)"?')
_PROBLEMS = {
    400: ("15.5.1", "Bad Request"),
    404: ("15.5.5", "Not Found"),
    415: ("15.5.16", "Unsupported Media Type"),
}


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in; without a name it is an API key: an administrator, but no user."""

    name: str
    password: str
    token: str
    administrator: bool = False

    @property
    def id(self) -> str:
        """The user's id: 32 hex digits."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name).hex


ADMIN = Account("admin", "admin-password", "a1" * 16, administrator=True)
VIEWER = Account("viewer", "viewer-password", "b2" * 16)

_CALLER = web.RequestKey("CALLER", Account)


def application(
    world: World,
    connections: Connections | None = None,
    *,
    api_key: str,
    accounts: Iterable[Account] = (ADMIN, VIEWER),
) -> web.Application:
    """Make a service that answers like Jellyfin 10.11.11.

    It takes a key or token only in `Authorization: MediaBrowser Token="..."`, as 12.0 does.
    """
    connections = connections or Connections()
    service = _Jellyfin(world, connections, api_key, tuple(accounts))
    made = new_application(service.guard, {})
    routes = {
        "/health": service.health,
        "/System/Info/Public": service.public_info,
        "/System/Info": service.info,
        "/Items": service.items,
        "/Items/Counts": service.counts,
        "/ScheduledTasks": service.tasks,
        "/Library/VirtualFolders": service.folders,
        "/Users/Me": service.me,
        "/Users": service.users,
        "/Items/{jellyfin_id}/Images/Primary": service.picture,
    }
    for path, handler in routes.items():
        made.router.add_get(path, handler, allow_head=False)
    made.router.add_post("/Users/AuthenticateByName", service.sign_in)
    made.router.add_post("/Users/AuthenticateWithQuickConnect", service.sign_in_by_code)
    made.router.add_post("/QuickConnect/Initiate", service.begin_code)
    made.router.add_get("/QuickConnect/Connect", service.code, allow_head=False)
    made.router.add_post("/Sessions/Logout", service.sign_out)
    connect.extend_jellyfin(made, connections)
    return made


class _Jellyfin:
    def __init__(
        self, world: World, connections: Connections, api_key: str, accounts: tuple[Account, ...]
    ) -> None:
        self._world = world
        self._connections = connections
        self._accounts = accounts
        key = Account("", "", api_key, administrator=True)
        self._callers = {account.token: account for account in (*accounts, key)}

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        line = f"{request.method} {request.raw_path} HTTP/1.1\r\n"
        if len(line) > _REQUEST_LINE_LIMIT:
            return empty(414, {"Connection": "close"})
        if request.path in _OPEN or request.match_info.http_exception is not None:
            return await handler(request)
        token = _credentials(request).get("Token", "")
        caller = self._callers.get(token)
        if any(token == one["AccessToken"] for one in self._connections.keys):
            caller = Account("", "", token, administrator=True)
        if caller is None:
            return empty(401)
        if request.path.startswith(_FOR_ADMINISTRATORS) and not caller.administrator:
            return empty(403)
        request[_CALLER] = caller
        return await handler(request)

    async def health(self, request: web.Request) -> web.StreamResponse:
        return await reply(request, [b"Healthy"], _HEALTH)

    async def public_info(self, request: web.Request) -> web.StreamResponse:
        return await _answer(request, dict(list(self._description().items())[-_PUBLIC:]))

    async def info(self, request: web.Request) -> web.StreamResponse:
        return await _answer(request, self._description())

    async def items(self, request: web.Request) -> web.StreamResponse:
        try:
            ask = Ask.read(request.query, person=bool(request[_CALLER].name))
        except ValueError:
            return await _problem(request, 400)
        if ask.fails:
            return await _failure(request, 500)
        return await reply(request, listing(self._world, ask), _JSON)

    async def counts(self, request: web.Request) -> web.StreamResponse:
        person = bool(request[_CALLER].name)
        series = self._world.listed_series(person=person)
        numbers = {
            "MovieCount": len(self._world.listed_movies(person=person)),
            "SeriesCount": len(series),
            "EpisodeCount": sum(not one.virtual for show in series for one in show.episodes),
        }
        return await _answer(request, {**template("jellyfin_counts"), **numbers})

    async def tasks(self, request: web.Request) -> web.StreamResponse:
        scan = {**template("jellyfin_task"), "State": "Running"}
        idle = {name: scan[name] for name in scan if name != "CurrentProgressPercentage"}
        idle["State"] = "Idle"
        other = {**idle, "Name": "Optimize database", "Key": "OptimizeDatabaseTask"}
        tasks = [other, scan if self._world.scanning else idle, *self._world.tasks_extra]
        tasks += connect.tasks(self._connections)
        return await _answer(request, tasks)

    async def folders(self, request: web.Request) -> web.StreamResponse:
        libraries = map(_folder, self._world.folders.values())
        return await _answer(request, [*libraries, *self._world.folders_extra])

    async def picture(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["jellyfin_id"]
        title = self._world.movies.get(number) or self._world.series.get(number)
        if title is None or not title.has_poster:
            return await _problem(request, 404)
        return await reply(request, [_PICTURE], {"Content-Type": "image/svg+xml"})

    async def me(self, request: web.Request) -> web.StreamResponse:
        caller = request[_CALLER]
        if not caller.name:
            return await _problem(request, 400)
        return await _answer(request, _user(caller, self._server_id))

    async def users(self, request: web.Request) -> web.StreamResponse:
        users = [_user(account, self._server_id) for account in self._accounts]
        return await _answer(request, users)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            return await _problem(request, 415)
        client = _credentials(request)
        if not {"Client", "Device", "DeviceId", "Version"} <= client.keys():
            return await _failure(request, 400)
        given = await request.json()
        for account in self._accounts:
            if (given.get("Username"), given.get("Pw")) == (account.name, account.password):
                return await _answer(request, _session(account, client, self._server_id))
        return await _failure(request, 401)

    async def begin_code(self, request: web.Request) -> web.StreamResponse:
        if self._connections.code_allowed_by is None:
            return empty(401)
        return await _answer(request, {**_CODE, "Authenticated": False})

    async def code(self, request: web.Request) -> web.StreamResponse:
        allowed = bool(self._connections.code_allowed_by)
        return await _answer(request, {**_CODE, "Authenticated": allowed})

    async def sign_in_by_code(self, request: web.Request) -> web.StreamResponse:
        by = self._connections.code_allowed_by
        account = next(one for one in self._accounts if one.name == by)
        return await _answer(request, _session(account, _credentials(request), self._server_id))

    async def sign_out(self, _: web.Request) -> web.StreamResponse:
        return empty(204)

    @property
    def _server_id(self) -> str:
        return self._world.server_id or str(template("jellyfin_info")["Id"])

    def _description(self) -> dict[str, Any]:
        return {**template("jellyfin_info"), "Id": self._server_id}


async def _answer(request: web.Request, value: object, status: int = 200) -> web.StreamResponse:
    return await reply(request, [encode(value)], _JSON, status)


async def _failure(request: web.Request, status: int) -> web.StreamResponse:
    return await reply(request, [b"Error processing request."], _TEXT, status)


async def _problem(request: web.Request, status: int) -> web.StreamResponse:
    section, title = _PROBLEMS[status]
    document = {
        "type": f"https://tools.ietf.org/html/rfc9110#section-{section}",
        "title": title,
        "status": status,
        "traceId": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00",
    }
    return await _answer(request, document, status)


def _credentials(request: web.Request) -> dict[str, str]:
    scheme, _, pairs = request.headers.get("Authorization", "").partition(" ")
    return dict(_PAIR.findall(pairs)) if scheme.lower() == "mediabrowser" else {}


def _folder(folder: Folder) -> dict[str, Any]:
    options = template("jellyfin_folder_options")
    places = folder.paths or (folder.path,)
    told = {
        "Name": folder.name,
        "Locations": places,
        "CollectionType": folder.collection_type,
        "LibraryOptions": {
            **options,
            "PathInfos": [{"Path": place} for place in places],
            "EnableAutomaticSeriesGrouping": folder.merges_series,
        },
        "ItemId": folder.jellyfin_id,
        **({"RefreshProgress": 0} if folder.refresh_status == "Active" else {}),
        "RefreshStatus": folder.refresh_status,
    }
    return overridden(told, folder.raw)


def _user(account: Account, server_id: str) -> dict[str, Any]:
    user = template("jellyfin_user")
    policy = {**user["Policy"], "IsAdministrator": account.administrator}
    whose = {"Name": account.name, "ServerId": server_id, "Id": account.id}
    return {**user, **whose, "Policy": policy}


def _session(account: Account, client: dict[str, str], server_id: str) -> dict[str, Any]:
    session = {
        **template("jellyfin_session"),
        "UserId": account.id,
        "UserName": account.name,
        "Client": client["Client"],
        "DeviceName": client["Device"],
        "DeviceId": client["DeviceId"],
        "ApplicationVersion": client["Version"],
        "ServerId": server_id,
    }
    return {
        "User": _user(account, server_id),
        "SessionInfo": session,
        "AccessToken": account.token,
        "ServerId": server_id,
    }
