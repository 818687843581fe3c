"""What can be set up in the pretend services: Jellyfin's keys and plugin, webhooks."""

from __future__ import annotations

import base64
import copy
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.pretend.wire import empty, reply, template

PLUGIN = "71552a5a5c5c4350a2aeebe451a30173"
_JSON = {"Content-Type": "application/json; charset=utf-8", "Vary": "Accept-Encoding"}
_STARS = "********"


@dataclass
class Connections:
    """What somebody has set up.

    Attributes:
        keys: Jellyfin's API keys, as it lists them.
        plugin: the configuration of its Webhook plugin; None where that is not installed.
        plugin_status: of the plugin.
        tasks_ran: whether the plugin's tasks ever ran.
        code_allowed_by: whose account allowed the Quick Connect code; "" while nobody has, and
            None where Quick Connect is switched off.
        entries: by instance, the connections of each Radarr and Sonarr, passwords in clear.
    """

    keys: list[dict[str, Any]] = field(default_factory=list)
    plugin: dict[str, Any] | None = None
    plugin_status: str = "Active"
    tasks_ran: bool = True
    code_allowed_by: str | None = None
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def tasks(connections: Connections) -> list[dict[str, Any]]:
    """The tasks of the plugin, where it is there."""
    if connections.plugin is None:
        return []
    found = copy.deepcopy(template("jellyfin_webhook_tasks"))
    if not connections.tasks_ran:
        for one in found:
            del one["LastExecutionResult"]
    return list(found)


def extend_jellyfin(made: web.Application, connections: Connections) -> None:
    """Let Jellyfin list, make and remove keys, and configure its plugin."""

    async def keys(request: web.Request) -> web.StreamResponse:
        count = len(connections.keys)
        found = {"Items": connections.keys, "TotalRecordCount": count, "StartIndex": 0}
        return await _answer(request, found)

    async def make_key(request: web.Request) -> web.StreamResponse:
        made_at = f"2026-11-30T01:41:{len(connections.keys):02}.2857915Z"
        name, token = request.query["app"], secrets.token_hex(16)
        shape = template("jellyfin_key")
        connections.keys.append(
            {**shape, "AccessToken": token, "AppName": name, "DateCreated": made_at}
        )
        return empty(204)

    async def remove_key(request: web.Request) -> web.StreamResponse:
        gone = request.match_info["key"]
        connections.keys = [one for one in connections.keys if one["AccessToken"] != gone]
        return empty(204)

    async def plugins(request: web.Request) -> web.StreamResponse:
        webhook = {**template("jellyfin_plugin"), "Status": connections.plugin_status}
        return await _answer(request, [webhook] if connections.plugin is not None else [])

    async def configuration(request: web.Request) -> web.StreamResponse:
        return await _answer(request, connections.plugin)

    async def configure(request: web.Request) -> web.StreamResponse:
        connections.plugin = await request.json()
        return empty(204)

    async def run_task(_: web.Request) -> web.StreamResponse:
        return empty(204)

    made.router.add_get("/Auth/Keys", keys)
    made.router.add_post("/Auth/Keys", make_key)
    made.router.add_delete("/Auth/Keys/{key}", remove_key)
    made.router.add_get("/Plugins", plugins)
    made.router.add_get(f"/Plugins/{PLUGIN}/Configuration", configuration)
    made.router.add_post(f"/Plugins/{PLUGIN}/Configuration", configure)
    made.router.add_post("/ScheduledTasks/Running/{id}", run_task)


def extend_arr(made: web.Application, connections: Connections, instance: str) -> None:
    """Let a Radarr or Sonarr list, test, add, change and remove its connections."""
    entries = connections.entries.setdefault(instance, [])
    schema = template(f"{instance.partition('_')[0]}_webhook")

    async def listed(request: web.Request) -> web.StreamResponse:
        return await _answer(request, [_starred(one) for one in entries])

    async def templates(request: web.Request) -> web.StreamResponse:
        return await _answer(request, [{"implementation": "Email", "fields": []}, schema])

    async def test(request: web.Request) -> web.StreamResponse:
        given = _unstarred(await request.json(), entries)
        return await _tested(request, given) or await _answer(request, {})

    async def save(request: web.Request) -> web.StreamResponse:
        given = _unstarred(await request.json(), entries)
        number = int(request.match_info.get("number", 0)) or 1 + max(
            [one["id"] for one in entries], default=0
        )
        if any(one["name"] == given["name"] and one["id"] != number for one in entries):
            flaw = {"propertyName": "Name", "errorMessage": "Should be unique"}
            return await _answer(request, [{"isWarning": False, **flaw, "severity": "error"}], 400)
        if failure := await _tested(request, given):
            return failure
        given["id"] = number
        entries[:] = sorted(
            [*(one for one in entries if one["id"] != number), given], key=lambda one: one["id"]
        )
        return await _answer(request, _starred(given), 202 if request.method == "PUT" else 201)

    async def remove(request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        entries[:] = [one for one in entries if one["id"] != number]
        return await _answer(request, {})

    made.router.add_get("/api/v3/notification", listed)
    made.router.add_get("/api/v3/notification/schema", templates)
    made.router.add_post("/api/v3/notification/test", test)
    made.router.add_post("/api/v3/notification", save)
    made.router.add_put("/api/v3/notification/{number:\\d+}", save)
    made.router.add_delete("/api/v3/notification/{number:\\d+}", remove)


def _values(entry: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in entry["fields"]}


def _with_password(entry: dict[str, Any], password: object) -> dict[str, Any]:
    fields = [
        {**one, "value": password} if one["name"] == "password" and one.get("value") else one
        for one in entry["fields"]
    ]
    return {**entry, "fields": fields}


def _starred(entry: dict[str, Any]) -> dict[str, Any]:
    return _with_password(entry, _STARS)


def _unstarred(given: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Stars are the password that it has already."""
    if _values(given).get("password") != _STARS:
        return given
    before = next(one for one in entries if one["id"] == given["id"])
    return _with_password(given, _values(before)["password"])


async def _tested(request: web.Request, entry: dict[str, Any]) -> web.StreamResponse | None:
    """Send the test; what went wrong, if anything did."""
    values = _values(entry)
    proof = f"{values['username']}:{values['password'] or ''}"
    headers = {"Authorization": f"Basic {base64.b64encode(proof.encode()).decode()}"}
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(values["url"], json={"eventType": "Test"}) as answer,
        ):
            if answer.ok:
                return None
            flaw = {"propertyName": "Url", "errorMessage": f"Unable to post: {answer.status}"}
            return await _answer(request, [{"isWarning": False, **flaw, "severity": "error"}], 400)
    except aiohttp.ClientError:
        where = values["url"].split("/")[2]
        said = f"Connection refused ({where})"
        trace = f"System.Net.Http.HttpRequestException: {said}\n   at Socket.Connect() in /build"
        return await _answer(request, {"message": said, "description": trace}, 500)


async def _answer(request: web.Request, value: object, status: int = 200) -> web.StreamResponse:
    return await reply(request, [json.dumps(value, indent=2).encode()], _JSON, status)
