"""Held removals and what was removed: approve, discard, undo."""

from __future__ import annotations

from aiohttp import web

from daemon.apply import tell_audit
from daemon.domain import Scope, Trigger
from daemon.store import PlanState, Undone
from daemon.web.models import Asked, RunRef
from daemon.web.problems import Problem
from daemon.web.routes import Call


async def approve(call: Call[RunRef, Asked]) -> web.StreamResponse:
    """Let the titles of a held plan be removed, those that are still missing.

    A full run begins, which looks at the library as it is now; the reply names it.
    """
    number, parts = call.query.run_id, call.site.parts
    plan = await parts.store.plan(number)
    await _settle(call, PlanState.APPROVED)
    held = plan["titles"] if plan else []
    approved = frozenset(int(title["request_id"]) for title in held)
    ticket = parts.worker.ask(Trigger.ADMIN, call.actor, Scope(approved=approved))
    where = f"{parts.settings.http.base_path}/admin/runs/{ticket.number}"
    return web.json_response(ticket.as_dict(), status=202, headers={"Location": where})


async def discard(call: Call[RunRef, Asked]) -> web.StreamResponse:
    """Forget a held plan; the same titles are not held again until they change."""
    await _settle(call, PlanState.DISCARDED)
    return web.json_response({"run_id": call.query.run_id, "state": PlanState.DISCARDED.value})


async def undo(call: Call[RunRef, Asked]) -> web.StreamResponse:
    """Take back what a run removed, relinked and promoted.

    Each title by itself: one whose row has changed since stays as it is, and says why.
    """
    titles = await take_back(call)
    document = {"run_id": call.query.run_id, "titles": [one._asdict() for one in titles]}
    return web.json_response(document)


async def take_back(call: Call[RunRef, Asked]) -> list[Undone]:
    """The same, for whoever tells it otherwise.

    Raises:
        Problem: 404, there is no such run.
    """
    number, store = call.query.run_id, call.site.parts.store
    if await store.run_page(number, 0, 1) is None:
        raise Problem(404, f"there is no run {number}")
    done, links = await store.undo(number, call.actor)
    tell_audit(links)
    await call.record("run.undone", f"run {number}", number)
    return done


async def _settle(call: Call[RunRef, Asked], state: PlanState) -> None:
    number, parts = call.query.run_id, call.site.parts
    if await parts.store.plan(number) is None:
        raise Problem(404, f"run {number} holds no plan")
    age = parts.settings.removal.hold_for
    event = call.event(f"plan.{state.value}", f"plan {number}", number)
    links = await parts.store.settle_plan(number, state, event, age)
    if links is None:
        raise Problem(409, f"the plan of run {number} does not wait any more")
    tell_audit(links)
