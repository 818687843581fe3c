"""What an administrator decides: about held plans, what was removed, and what needs attention.

The page and the API both call these functions, and each records its audit event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from aiohttp import web

from daemon.domain import HeldKind, Scope, Trigger
from daemon.reasons import Action
from daemon.store import attention, history, plans, search, titles
from daemon.store.attention import Finding
from daemon.store.audit import AuditEvent
from daemon.store.plans import HeldTitle, PlanState
from daemon.store.undo import Undone, undo_run
from daemon.triggers.queue import QueuedRun
from daemon.web import models
from daemon.web.models import RequestModel, RunRef, SettleBody
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest, reply


async def approve(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Let a held plan be carried out: its titles removed, its ids of Radarr or Sonarr taken away.

    Only as far as that still is to be done: a full run begins, which looks at the library as it is
    now; the reply names it.
    """
    number, parts = call.query.run_id, call.site.parts
    plan = await parts.store.read(plans.one, number)
    await _close(call, PlanState.APPROVED)
    held = plan.titles if plan else []
    scope = Scope(approved=_rows(held, HeldKind.REMOVE), unlinks=_rows(held, HeldKind.UNLINK))
    ticket = parts.worker.enqueue(Trigger.ADMIN, call.actor, scope)
    return call.accepted(ticket.status, ticket.number)


def _rows(held: Iterable[HeldTitle], kind: HeldKind) -> frozenset[int]:
    return frozenset(one.request_id for one in held if one.kind == kind)


async def discard(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Forget a held plan; the same titles are not held again until they change."""
    await _close(call, PlanState.DISCARDED)
    return reply(models.Settled(call.query.run_id, PlanState.DISCARDED))


async def undo(call: ApiRequest[RunRef, RequestModel]) -> web.StreamResponse:
    """Take back what a run removed, merged, relinked and promoted.

    Each title by itself: one whose row has changed since stays as it is, and says why.
    """
    return reply(models.UndoneRun(call.query.run_id, await take_back(call)))


async def take_back(call: ApiRequest[RunRef, RequestModel]) -> list[Undone]:
    """The same, shared by the API and the page.

    Raises:
        Problem: 404, there is no such run.
    """
    number, store = call.query.run_id, call.site.parts.store
    if await store.read(history.run, number) is None:
        raise Problem(404, f"there is no run {number}")
    done = await undo_run(store, number, call.actor)
    await call.record("run.undone", f"run {number}", number)
    return done


async def _close(call: ApiRequest[RunRef, RequestModel], state: PlanState) -> None:
    number, parts = call.query.run_id, call.site.parts
    if await parts.store.read(plans.one, number) is None:
        raise Problem(404, f"run {number} holds no plan")
    age = parts.settings.removal.hold_for
    event = call.event(f"plan.{state.value}", f"plan {number}", number)
    if not await parts.store.write(plans.settle, number, state, event, age):
        raise Problem(409, f"the plan of run {number} is no longer open")


class Done(NamedTuple):
    """What was done.

    Attributes:
        said: the short name of the note that the page shows.
        run_id: the run that sees to it; None where none has to.
    """

    said: str
    run_id: int | None = None


async def settle(call: ApiRequest[RequestModel, SettleBody]) -> web.StreamResponse:
    """Have something done about one finding of `GET /admin/attention`.

    Where a run has to see to it, the reply is 202 and names that run.
    """
    asked = call.body
    done = await settled(call, asked.do, asked.kind, asked.target)
    told = models.SettledFinding(asked.do, asked.kind, asked.target, done.run_id)
    return reply(told) if done.run_id is None else call.accepted(told, done.run_id)


async def settled(call: ApiRequest[Any, Any], verb: str, kind: str, target: str) -> Done:
    """The same, shared by the API and the page.

    Raises:
        Problem: 409, it is not found any more, or that cannot be done about it.
    """
    finding = await _finding(call, verb, kind, target)
    if finding is None or verb not in _VERBS:
        raise Problem(409, "This finding no longer exists. Nothing was done.")
    if verb not in _ALWAYS and verb != finding.action:
        raise Problem(409, "This action does not apply here. Nothing was done.")
    return await _VERBS[verb](call, finding)


async def _finding(call: ApiRequest[Any, Any], verb: str, kind: str, target: str) -> Finding | None:
    """Only what is ignored can be restored; both can be looked at."""
    store, policy = call.site.parts.store, call.site.parts.service.removal
    for ignored in {"restore": (True,), "recheck": (False, True)}.get(verb, (False,)):
        for one in await store.read(attention.findings, policy, ignored=ignored):
            if (one.kind, one.target) == (kind, target):
                return one
    return None


async def _ignore(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    if not finding.ignorable:
        raise Problem(409, "This cannot be ignored. Nothing was done.")
    event = call.event("finding.ignored", finding.target, reason=finding.what)
    await call.site.parts.store.write(attention.ignore, finding, event)
    return Done("ignored")


async def _restore(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    event = call.event("finding.restored", finding.target, reason=finding.what)
    await call.site.parts.store.write(attention.unignore, finding, event)
    return Done("restored")


async def _recheck(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    jellyfin_id = finding.jellyfin_id
    if jellyfin_id is None and finding.request_id is not None:
        facts = await call.site.parts.store.read(titles.facts, finding.request_id)
        jellyfin_id = facts.jellyfin_id if facts else None
    return Done("rechecked", (await look(call, finding.target, jellyfin_id)).number)


async def _merge(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    number = _run(call, Scope(merges=frozenset(finding.request_ids)))
    await call.record("merge.approved", finding.target, number, finding.what)
    return Done("merging", number)


async def _remove(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    number = _run(call, Scope(approved=frozenset(finding.request_ids)))
    await call.record("removal.approved", finding.target, number, finding.what)
    return Done("removing", number)


async def _unlink(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    number = _run(call, Scope(unlinks=frozenset(finding.request_ids)))
    await call.record("unlink.approved", finding.target, number, finding.what)
    return Done("unlinking", number)


async def _confirm(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    """That the server is the right one by now, or that a row is another title."""
    if finding.kind == "server":
        event = call.event("server.confirmed", finding.target, reason=finding.what)
        server = finding.subject.removeprefix("server ")
        await _keep(call, "server", server, event, only=True)
        return Done("confirmed", _run(call, Scope()))
    number = _run(call, Scope(identified=frozenset(finding.request_ids)))
    await call.record("identity.confirmed", finding.target, number, finding.what)
    return Done("confirmed", number)


async def _track_again(call: ApiRequest[Any, Any], finding: Finding) -> Done:
    if (log := await call.site.parts.store.read(search.deletion, finding)) is None:
        raise Problem(409, "The tracker's log has no such deletion. Nothing was done.")
    reason = f"{finding.title}: {finding.what}"
    event = call.event("tracking.resumed", finding.target, reason=reason)
    await _keep(call, "track_again", str(log), event)
    return Done("tracking", _run(call, Scope()))


async def _keep(
    call: ApiRequest[Any, Any], kind: str, target: str, event: AuditEvent, *, only: bool = False
) -> None:
    await call.site.parts.store.write(attention.confirm, kind, target, event, only=only)


def _run(call: ApiRequest[Any, Any], scope: Scope) -> int:
    """The number of a full run that goes by what the admin has said."""
    return call.site.parts.worker.enqueue(Trigger.ADMIN, call.actor, scope).number


async def look(call: ApiRequest[Any, Any], target: str, jellyfin_id: str | None) -> QueuedRun:
    """Ask for a run that looks at one title, which the audit is to name `target`.

    Raises:
        Problem: 409, Jellyfin has no id for it.
    """
    if jellyfin_id is None:
        raise Problem(409, "Jellyfin has no id for it; the next full sync looks for it.")
    scope = Scope(frozenset({jellyfin_id}))
    ticket = call.site.parts.worker.enqueue(Trigger.ADMIN, call.actor, scope)
    await call.record("title.rechecked", target, ticket.number)
    return ticket


_ALWAYS: Final = frozenset({Action.IGNORE, Action.RESTORE, Action.RECHECK})
_VERBS: Final[dict[str, Callable[[ApiRequest[Any, Any], Finding], Awaitable[Done]]]] = {
    Action.IGNORE: _ignore,
    Action.RESTORE: _restore,
    Action.RECHECK: _recheck,
    Action.MERGE: _merge,
    Action.CONFIRM: _confirm,
    Action.REMOVE: _remove,
    Action.UNLINK: _unlink,
    Action.TRACK_AGAIN: _track_again,
}
