"""Sets up the services: webhooks, and Jellyfin's API keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pydantic

from daemon.errors import RejectedError
from daemon.services.http import Reply, ServiceHttp

APP: Final = "Library Sync"
PLUGIN: Final = "71552a5a5c5c4350a2aeebe451a30173"
Document = Mapping[str, Any]
_NOTIFICATION: Final = "/api/v3/notification"
_ADDED, _ACCEPTED = 201, 202
_FAILED: Final = frozenset({400, 500})
_TASKS: Final = frozenset({"WebhookItemAdded", "WebhookItemDeleted"})


class _Flaw(msgspec.Struct):
    propertyName: str = ""
    errorMessage: str = ""


class _Failure(msgspec.Struct):
    """A validation error; its `description` is a stack trace (seen on Radarr 6.0)."""

    message: str


class ArrConnect:
    """The connections of one Radarr or Sonarr, Settings, Connect; all may raise ServiceError."""

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http

    async def entries(self) -> list[Document]:
        """The existing entries; passwords are masked."""
        return [*await self.http.get(_NOTIFICATION, list[dict[str, Any]])]

    async def template(self) -> Document:
        """An empty webhook entry."""
        path = f"{_NOTIFICATION}/schema"
        for one in await self.http.get(path, list[dict[str, Any]]):
            if one.get("implementation") == "Webhook":
                return one
        raise self.http.not_json(path, "it knows no webhooks")

    async def test(self, entry: Document) -> None:
        """Send a test webhook; a masked password stands for the stored one."""
        await self._send("POST", f"{_NOTIFICATION}/test", entry)

    async def save(self, entry: Document) -> None:
        """Add or replace an entry; the service tests it before saving."""
        if "id" in entry:
            await self._send("PUT", f"{_NOTIFICATION}/{entry['id']}", entry)
        else:
            await self._send("POST", _NOTIFICATION, entry)

    async def remove(self, number: int) -> None:
        """Remove an entry."""
        await self.http.send("DELETE", f"{_NOTIFICATION}/{number}")

    async def _send(self, method: str, path: str, entry: Document) -> None:
        also = {_ADDED, _ACCEPTED, *_FAILED}
        reply = await self.http.send(method, path, entry, also=also)
        if reply.status in _FAILED:
            raise self._failure(path, reply)

    def _failure(self, path: str, reply: Reply) -> RejectedError:
        name = self.http.service
        hint = f"{name} must reach this machine at that address: check it, and what lies between"
        try:
            if reply.status == max(_FAILED):
                said = msgspec.json.decode(reply.body, type=_Failure).message
            else:
                flaws = msgspec.json.decode(reply.body, type=list[_Flaw])
                said = "; ".join(f"{one.propertyName}: {one.errorMessage}" for one in flaws)
                if all(one.propertyName != "Url" for one in flaws):
                    hint = RejectedError.hint
        except msgspec.DecodeError:
            said = f"HTTP {reply.status}"
        where = self.http.url + path
        return RejectedError(name, where, said, hint=hint, status=reply.status)


class _Key(pydantic.BaseModel):
    AccessToken: str
    AppName: str | None = None
    DateCreated: str


class _Keys(pydantic.BaseModel):
    Items: list[_Key]


class _Plugin(pydantic.BaseModel):
    Id: str
    Status: str = ""


class _Task(pydantic.BaseModel):
    Id: str
    Key: str | None = None
    LastExecutionResult: dict[str, Any] | None = None


class JellyfinConnect:
    """Jellyfin's API keys and its Webhook plugin; all questions may raise ServiceError.

    Args:
        http: with an API key, or an administrator's login.
    """

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http

    async def key(self) -> str | None:
        """The newest API key with this program's name."""
        keys = (await self.http.get("/Auth/Keys", _Keys)).Items
        ours = sorted((one for one in keys if one.AppName == APP), key=lambda one: one.DateCreated)
        return ours[-1].AccessToken if ours else None

    async def make_key(self) -> str:
        """Create an API key and look it up, since the reply does not contain it."""
        await self.http.send("POST", "/Auth/Keys", query={"app": APP})
        if (key := await self.key()) is None:
            raise self.http.not_json("/Auth/Keys", "the key that was made is not in the list")
        return key

    async def remove_key(self, key: str) -> None:
        """Revoke a key, possibly the one in use."""
        await self.http.send("DELETE", f"/Auth/Keys/{key}")

    async def plugin(self) -> str:
        """The status of the Webhook plugin, e.g. "Active" or "Restart"; "" if not installed."""
        found = await self.http.get("/Plugins", list[_Plugin])
        ours = (one.Status for one in found if one.Id.replace("-", "").lower() == PLUGIN)
        return next(ours, "")

    async def configuration(self) -> Document:
        """The plugin's whole configuration."""
        return await self.http.get(f"/Plugins/{PLUGIN}/Configuration", dict[str, Any])

    async def configure(self, document: Document) -> None:
        """Replace the plugin's whole configuration; in force at once."""
        await self.http.send("POST", f"/Plugins/{PLUGIN}/Configuration", document)

    async def armed(self) -> bool:
        """Whether the plugin sends already; if it does not, both its tasks are run once.

        Jellyfin runs a task that never ran an hour after its start only (seen on 10.11); once it
        has run by hand, every 90 seconds from the next start on.
        """
        tasks = await self.http.get("/ScheduledTasks", list[_Task])
        idle = [one.Id for one in tasks if one.Key in _TASKS and one.LastExecutionResult is None]
        for number in idle:
            await self.http.send("POST", f"/ScheduledTasks/Running/{number}")
        return not idle
