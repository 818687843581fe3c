"""Single titles: why one is tracked as it is, and which need somebody."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from daemon.domain import Scope, Trigger
from daemon.report.explain import linked, sentences
from daemon.store import titles
from daemon.store.attention import findings
from daemon.triggers.queue import QueuedRun
from daemon.web.models import AttentionQuery, RequestModel, TitleRef
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest


async def title(call: ApiRequest[TitleRef, RequestModel]) -> web.StreamResponse:
    """What is tracked of a title, since when and why, and what would change it."""
    parts = call.site.parts
    facts = await parts.store.read(titles.facts, call.query.request_id)
    if facts is None:
        raise Problem(404, f"there is no request {call.query.request_id}")
    because = [*sentences(facts, parts.service.removal)]
    return web.json_response({**linked(facts, parts.settings.instances), "because": because})


async def look(call: ApiRequest[Any, Any], target: str, jellyfin_id: str | None) -> QueuedRun:
    """Ask for a run that looks at one title, which the audit is to name `target`.

    Raises:
        Problem: 409, Jellyfin has no id for it.
    """
    if jellyfin_id is None:
        raise Problem(409, "Jellyfin has no id for it; the next full sync looks for it.")
    scope = Scope(frozenset({jellyfin_id}))
    ticket = call.site.parts.worker.ask(Trigger.ADMIN, call.actor, scope)
    await call.record("title.rechecked", target, ticket.number)
    return ticket


async def attention(call: ApiRequest[AttentionQuery, RequestModel]) -> web.StreamResponse:
    """What needs somebody now, the most urgent first, each with what to do."""
    parts = call.site.parts
    found = await parts.store.read(findings, parts.service.removal, ignored=call.query.ignored)
    return web.json_response({"findings": [finding.as_dict() for finding in found]})
