"""Held plans and what was removed: approve, discard, undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from daemon.domain import HeldKind, Scope, Trigger
from daemon.store import history, plans
from daemon.store.plans import PlanState
from daemon.store.undo import Undone, undo_run
from daemon.web.models import RequestModel, RunRef
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest


async def approve(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Let a held plan be carried out: its titles removed, its ids of Radarr or Sonarr taken away.

    Only as far as that still is to be done: a full run begins, which looks at the library as it is
    now; the reply names it.
    """
    number, parts = call.query.run_id, call.site.parts
    plan = await parts.store.read(plans.one, number)
    await _settle(call, PlanState.APPROVED)
    held = plan["titles"] if plan else []
    scope = Scope(approved=_rows(held, HeldKind.REMOVE), unlinks=_rows(held, HeldKind.UNLINK))
    ticket = parts.worker.ask(Trigger.ADMIN, call.actor, scope)
    where = f"{parts.settings.http.base_path}/admin/runs/{ticket.number}"
    return web.json_response(ticket.as_dict(), status=202, headers={"Location": where})


def _rows(held: Iterable[Mapping[str, Any]], kind: HeldKind) -> frozenset[int]:
    return frozenset(int(one["request_id"]) for one in held if one["kind"] == kind)


async def discard(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Forget a held plan; the same titles are not held again until they change."""
    await _settle(call, PlanState.DISCARDED)
    return web.json_response({"run_id": call.query.run_id, "state": PlanState.DISCARDED.value})


async def undo(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Take back what a run removed, merged, relinked and promoted.

    Each title by itself: one whose row has changed since stays as it is, and says why.
    """
    titles = await take_back(call)
    document = {"run_id": call.query.run_id, "titles": [one._asdict() for one in titles]}
    return web.json_response(document)


async def take_back(call: ApiRequest[RunRef, RequestModel]) -> list[Undone]:
    """The same, shared by the API and the page.

    Raises:
        Problem: 404, there is no such run.
    """
    number, store = call.query.run_id, call.site.parts.store
    if await store.read(history.run_page, number, 0, 1) is None:
        raise Problem(404, f"there is no run {number}")
    done = await store.write(undo_run, number, call.actor)
    await call.record("run.undone", f"run {number}", number)
    return done


async def _settle(call: ApiRequest[RunRef, RequestModel], state: PlanState) -> None:
    number, parts = call.query.run_id, call.site.parts
    if await parts.store.read(plans.one, number) is None:
        raise Problem(404, f"run {number} holds no plan")
    age = parts.settings.removal.hold_for
    event = call.event(f"plan.{state.value}", f"plan {number}", number)
    if not await parts.store.write(plans.settle, number, state, event, age):
        raise Problem(409, f"the plan of run {number} does not wait any more")
