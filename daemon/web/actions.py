"""What an administrator decides, over HTTP: the page and the API both call these functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiohttp import web

from daemon.apply import decisions
from daemon.apply.decisions import Decided
from daemon.domain import Trigger
from daemon.store import history
from daemon.store.audit import AuditEvent
from daemon.store.plans import PlanState
from daemon.store.undo import Undone, undo_run
from daemon.triggers.queue import QueuedRun
from daemon.web import models
from daemon.web.models import RequestModel, RunRef, SettleBody
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest, reply


async def approve(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Approve a held plan: its titles are removed, its Radarr or Sonarr ids unlinked.

    Only what still applies is done: a full run starts and checks the library as it is
    now; the reply names it.
    """
    ticket = await approved(call)
    return call.accepted(ticket.status, ticket.number)


async def approved(call: ApiRequest[RunRef, RequestModel]) -> QueuedRun:
    """The same, shared by the API and the page; gives the run that does it."""
    parts, age = call.site.parts, call.site.parts.settings.removal.hold_for
    event = _of_plan(call, PlanState.APPROVED)
    scope = await decisions.approve(parts.store, call.query.run_id, event, age)
    return parts.worker.enqueue(Trigger.ADMIN, call.actor, scope)


async def discard(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Discard a held plan; the same titles are not held again until they change."""
    parts, number, state = call.site.parts, call.query.run_id, PlanState.DISCARDED
    age = parts.settings.removal.hold_for
    await decisions.close(parts.store, number, state, _of_plan(call, state), age)
    return reply(models.Settled(number, state))


def _of_plan(call: ApiRequest[RunRef, RequestModel], state: PlanState) -> AuditEvent:
    number = call.query.run_id
    return call.event(f"plan.{state.value}", f"plan {number}", number)


async def undo(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Undo what a run removed, merged, relinked and promoted.

    Titles are undone one by one: one whose row has changed since is left as it is, with a reason.
    """
    return reply(models.UndoneRun(call.query.run_id, await take_back(call)))


async def take_back(call: ApiRequest[RunRef, RequestModel]) -> list[Undone]:
    """Shared by the API and the page.

    Raises:
        Problem: 404, there is no such run.
    """
    number, store = call.query.run_id, call.site.parts.store
    if await store.read(history.run, number) is None:
        raise Problem(404, f"there is no run {number}")
    done = await undo_run(store, number, call.actor)
    await call.record("run.undone", f"run {number}", number)
    return done


class Done(NamedTuple):
    """The outcome of an action.

    Attributes:
        said: the code of the note shown on the page.
        ticket: of the run that sees to it; None where none has to.
    """

    said: str
    ticket: QueuedRun | None = None

    @property
    def run_id(self) -> int | None:
        """The number of that run."""
        return self.ticket.number if self.ticket else None


async def settle(call: ApiRequest[RequestModel, SettleBody]) -> web.StreamResponse:
    """Act on one finding of `GET /admin/attention`.

    If a run is needed, the reply is 202 and names it.
    """
    asked = call.body
    done = await settled(call, asked.do, asked.kind, asked.target)
    told = models.SettledFinding(asked.do, asked.kind, asked.target, done.run_id)
    return reply(told) if done.run_id is None else call.accepted(told, done.run_id)


async def settled(call: ApiRequest[Any, Any], verb: str, kind: str, target: str) -> Done:
    """Shared by the API and the page.

    Raises:
        RefusedError: the finding is gone, or the action does not apply to it.
    """
    parts = call.site.parts
    found = await decisions.settle(parts.store, parts.service.removal, verb, kind, target)
    return await carried_out(call, found)


async def look(call: ApiRequest[Any, Any], target: str, jellyfin_id: str | None) -> Done:
    """Have a run look at one title, which the audit is to name `target`.

    Raises:
        RefusedError: Jellyfin has no id for it.
    """
    return await carried_out(call, decisions.look(target, jellyfin_id))


async def carried_out(call: ApiRequest[Any, Any], decided: Decided) -> Done:
    """Write what was decided, and have a run or a pass see to it."""
    parts, ticket = call.site.parts, None
    if decided.scope is not None:
        ticket = parts.worker.enqueue(Trigger.ADMIN, call.actor, decided.scope)
    number = ticket.number if ticket else None
    event = call.event(decided.action, decided.target, number, decided.reason or None)
    await parts.store.write(decided.write, event)  # in line before whatever the run writes or reads
    if decided.passes and parts.pending is not None:
        parts.pending.hint()
    return Done(decided.said, ticket)
