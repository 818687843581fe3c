"""Webhooks: accepted at once and acted on later; their statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web

from daemon.services.webhooks import HookError, arr_note, jellyfin_note
from daemon.web.models import InstanceRef, RequestModel, Taken
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest, PlainRequest, reply

_Note = TypeVar("_Note")
_SECONDS: Final = 10.0
_NOTHING_TO_DO: Final = 204
_TEST: Final = b'{"NotificationType":"Generic"}'


async def jellyfin(call: PlainRequest) -> web.StreamResponse:
    """Take a hint of Jellyfin's webhook plugin; any content type will do."""
    if (note := _read(call, jellyfin_note)) is None:
        return web.Response(status=204)
    call.site.parts.hints.add(note)
    return reply(Taken(note.kind), 202)


async def arr(call: PlainRequest) -> web.StreamResponse:
    """Take news of Radarr's or Sonarr's Connect: a title is on its way, or in Jellyfin soon."""
    return _moved(call)


async def further_arr(call: ApiRequest[InstanceRef, RequestModel]) -> web.StreamResponse:
    """Take a webhook of a further instance; the path says which one, the body does not."""
    settings, path = call.site.parts.settings, call.request.path
    senders = {settings.http.base_path + one.hook: one.label for one in settings.instances}
    if path not in senders:
        known = ", ".join(senders) or "none"
        raise Problem(404, f"no instance of this name is configured; configured are {known}")
    return _moved(call, senders[path])


def _moved(call: ApiRequest[Any, Any], instance: str = "") -> web.StreamResponse:
    event, parts = _read(call, arr_note), call.site.parts
    if event.upgrade and event.media_type is not None:
        parts.service.upgrades.note(event.media_type, event.ids)
    if parts.pending is not None and event.moves:
        parts.pending.hint()
    elif event.coming is None:
        return reply(Taken(""))
    parts.hints.statistics.count(event.kind)
    if event.coming is not None:
        parts.hints.on_import(event.coming._replace(instance=instance))
    return reply(Taken(event.kind), 202)


async def seerr(call: PlainRequest) -> web.StreamResponse:
    """Take any word of Seerr for a reason to look at its requests; the body is not read.

    Its templates are made by people, and it never sends anything twice.
    """
    if (watch := call.site.parts.pending) is None:
        return reply(Taken(""), 202)
    watch.hint()
    call.site.parts.hints.statistics.count("Seerr")
    return reply(Taken("Seerr"), 202)


def _read(call: ApiRequest[Any, Any], understand: Callable[[bytes], _Note]) -> _Note:
    try:
        return understand(call.raw)
    except HookError as error:
        call.site.parts.hints.statistics.count("unreadable")
        raise Problem(400, str(error)) from None


async def state(call: PlainRequest) -> web.StreamResponse:
    """Recent webhooks, and the latency from a hint to its row."""
    return reply(call.site.parts.hints.statistics.figures)


@dataclass(frozen=True, slots=True)
class HookTest:
    """The result of a test webhook."""

    url: str
    good: bool
    detail: str


async def test(call: PlainRequest) -> web.StreamResponse:
    """Send a test webhook to this daemon's own public address and report the result."""
    return reply(await tested(call))


async def tested(call: PlainRequest) -> HookTest:
    """Shared by the API and the page.

    Raises:
        Problem: 409, webhooks are not set up.
    """
    settings = call.site.parts.settings
    if settings.webhook.secret is None:
        raise Problem(409, "webhook.secret is not set, so no webhook is accepted")
    url = f"{settings.http.address}/hooks/jellyfin"
    headers = {"X-Library-Sync-Secret": settings.webhook.secret.get_secret_value()}
    await call.record("hook.tested", url)
    return await _sent(url, headers)


async def _sent(url: str, headers: dict[str, str]) -> HookTest:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=_TEST, headers=headers, allow_redirects=False) as answer,
        ):
            good = answer.status == _NOTHING_TO_DO
            detail = "it arrived" if good else f"HTTP {answer.status} came back"
    except (aiohttp.ClientError, TimeoutError) as error:
        good, detail = False, f"it did not arrive: {type(error).__name__}"
    return HookTest(url, good, detail)
