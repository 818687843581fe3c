"""Progress as server-sent events: a snapshot, then changes."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from aiohttp import web

from daemon.report.progress import Event
from daemon.web.admin import current
from daemon.web.problems import Problem
from daemon.web.routes import Context, PlainRequest, as_json

STREAM: Final = "text/event-stream"
_RETRY_MS: Final = 3000
_NO_NEWS: Final = ": still here\n\n"
_HEADERS: Final = {"Content-Type": STREAM, "X-Accel-Buffering": "no"}


async def events(call: PlainRequest) -> web.StreamResponse:
    """Progress as server-sent events.

    First comes `snapshot`, the reply of `GET /admin/sync`; or, after a Last-Event-ID whose
    successors are all remembered, those. Then `started`, `progress` and `done` of runs, and
    `pending` where a title on its way has moved or come further, each with its id,
    and a comment where nothing happens for a while. A listener that does not keep up is dropped.
    """
    site, request = call.site, call.request
    feed = site.parts.feed
    reply = web.StreamResponse(headers=_HEADERS)
    with feed.subscription() as place:
        missed = feed.since(_last_seen(request, site.boot))
        snapshot = await current(site.parts) if missed is None else None
        seen = feed.last_id
        first = [Event(seen, "snapshot", snapshot)] if missed is None else missed
        await reply.prepare(request)
        try:
            text = "".join(_written(event, site.boot) for event in first)
            await _send(reply, f"retry: {_RETRY_MS}\n\n{text}", site)
            async for event in place.events(site.parts.limits.heartbeat):
                if event is None or event.id > seen:
                    await site.admin_auth.authenticate(request)
                    await _send(reply, _written(event, site.boot) if event else _NO_NEWS, site)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except (ConnectionError, Problem):
            pass  # the listener has gone, or may not listen any more
    return reply


def _last_seen(request: web.Request, boot: str) -> int:
    """The id of the last event a returning listener saw; -1 if of another process."""
    given = re.fullmatch(rf"{boot}-(\d{{1,18}})", request.headers.get("Last-Event-ID", ""))
    return int(given[1]) if given else -1


def _written(event: Event, boot: str) -> str:
    return f"id: {boot}-{event.id}\nevent: {event.kind}\ndata: {as_json(event.data)}\n\n"


async def _send(reply: web.StreamResponse, text: str, site: Context) -> None:
    async with asyncio.timeout(site.parts.limits.drain):
        await reply.write(text.encode())
