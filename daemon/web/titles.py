"""Single titles: why one is tracked as it is, and which need somebody."""

from __future__ import annotations

from aiohttp import web

from daemon.explain import sentences
from daemon.web.models import Asked, TitleRef
from daemon.web.problems import Problem
from daemon.web.routes import Call


async def title(call: Call[TitleRef, Asked]) -> web.StreamResponse:
    """What is tracked of a title, since when and why, and what would change it."""
    parts = call.site.parts
    facts = await parts.store.facts(call.query.request_id)
    if facts is None:
        raise Problem(404, f"there is no request {call.query.request_id}")
    because = [*sentences(facts, parts.service.removal)]
    return web.json_response({**facts, "because": because})


async def attention(call: Call[Asked, Asked]) -> web.StreamResponse:
    """What needs somebody now, the most urgent first, each with what to do."""
    parts = call.site.parts
    found = await parts.store.attention(parts.service.removal)
    return web.json_response({"findings": [finding._asdict() for finding in found]})
