"""Endpoints for machines: liveness, readiness, metrics and the API description."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from daemon.errors import StoreError
from daemon.store import history
from daemon.web import models
from daemon.web.metrics import CONTENT_TYPE, exposition
from daemon.web.routes import PlainRequest, reply

_PATIENCE: Final = 2.0


async def alive(_: PlainRequest) -> web.StreamResponse:
    """The process answers; nothing else is looked at."""
    return reply(models.Alive())


async def ready(call: PlainRequest) -> web.StreamResponse:
    """The tracker's file can be read, and Jellyfin answered the latest request."""
    parts, reasons = call.site.parts, []
    try:
        parts.store.check_file()
        async with asyncio.timeout(_PATIENCE):
            await parts.store.read(history.runs, None, 1)
    except StoreError as error:
        reasons.append(models.Reason("tracker", error.kind))
    except TimeoutError:
        reasons.append(models.Reason("tracker", "timed_out"))
    jellyfin = parts.health.services[parts.services.jellyfin.http.service]
    if jellyfin.up is False:
        reasons.append(models.Reason(jellyfin.name.lower(), jellyfin.kind))
    return reply(models.Ready(not reasons, reasons), 503 if reasons else 200)


async def metrics(call: PlainRequest) -> web.StreamResponse:
    """Prometheus metrics; they name no title or person, so no login is needed."""
    body = await exposition(call.site.parts)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def description(call: PlainRequest) -> web.StreamResponse:
    """This description."""
    return web.Response(body=call.site.description, content_type="application/json")
