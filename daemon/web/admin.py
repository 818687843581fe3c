"""The admin API: runs and dry runs, their history, titles and the audit."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from daemon.domain import Outcome, Trigger
from daemon.report.explain import linked, sentences
from daemon.report.result import SyncResult, nothing_new
from daemon.store import history, plans, titles
from daemon.store.attention import findings
from daemon.store.audit import AuditFilter, events
from daemon.store.history import Run, RunFilter
from daemon.store.rows import extended
from daemon.triggers.queue import QueuedRun
from daemon.web import models
from daemon.web.problems import Problem, unavailable
from daemon.web.routes import ApiRequest, Context, Dependencies, PlainRequest, reply

_TRACKER: Final = "Tracker"


async def sync(call: ApiRequest[models.SyncQuery, models.SyncBody]) -> web.StreamResponse:
    """Reconcile the whole library now, or show what that would write.

    The run begins after this call, and calls during a run share the next one. It goes on if the
    client leaves. The reply is 200 also where something could not be read; `outcome` tells.
    A quick look asks for a run where Jellyfin has saved anything. A pass over titles on their way
    waits for no run, and is always waited for.
    """
    if call.body.dry_run and call.body.kind != "full":
        raise Problem(409, "a dry run is always a full one")
    if call.body.kind == "pending":
        return await _passed(call)
    if call.body.kind == "quick":
        return await _looked(call)
    if call.body.dry_run:
        await call.record("sync.previewed", "library")
        preview = call.site.parts.worker.preview()
        return _ended(await _result(call.site, preview, "the dry run"))
    ticket = call.site.parts.worker.enqueue(Trigger.ADMIN, call.actor)
    await call.record("sync.asked", f"run {ticket.number}", ticket.number)
    if not call.query.wait:
        return call.accepted(ticket.status, ticket.number)
    return _ended(await _result(call.site, ticket.result, f"run {ticket.number}"))


async def _passed(call: ApiRequest[models.SyncQuery, models.SyncBody]) -> web.StreamResponse:
    if (watch := call.site.parts.pending) is None:
        raise Problem(409, "seerr is not configured, and requests come from Seerr only")
    done = await watch.look(Trigger.ADMIN, call.actor)
    await call.record("sync.asked", "titles on their way", done.run_id)
    return reply(done.as_dict())


async def _looked(call: ApiRequest[models.SyncQuery, models.SyncBody]) -> web.StreamResponse:
    parts = call.site.parts
    await call.record("sync.asked", "quick check")
    done = await parts.schedule.run_job("quick")
    if not done.good:
        raise Problem(502, done.words)
    if (ticket := parts.worker.waiting or parts.worker.running) is None:
        return reply(nothing_new(done.seconds).as_dict())
    if not call.query.wait:
        return call.accepted(ticket.status, ticket.number)
    return _ended(await _result(call.site, ticket.result, f"run {ticket.number}"))


async def _result(site: Context, end: asyncio.Future[SyncResult | None], what: str) -> SyncResult:
    """How a run ended; shielded, since other callers wait for the same result."""
    closing = asyncio.ensure_future(site.closing.wait())
    try:
        waited: set[asyncio.Future[Any]] = {end, closing}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        closing.cancel()
    result = end.result() if end.done() else None
    if result is None:
        raise unavailable(f"{what} was cancelled, or the daemon is being stopped")
    return result


def _ended(result: SyncResult) -> web.Response:
    document = result.as_dict()
    if result.outcome is Outcome.INTERRUPTED:
        raise Problem(409, "the run was cancelled", more={"result": document})
    if result.outcome is not Outcome.FAILED:
        return reply(document)
    detail = "; ".join(document["error_details"][:1]) or "the run failed"
    gap = result.stats.failure
    if gap is not None and gap.service == _TRACKER:
        raise unavailable(detail, result=document)
    raise Problem(502, detail, more={"result": document})


async def state(call: PlainRequest) -> web.StreamResponse:
    """The last, the running, the waiting and the next run."""
    return reply(await current(call.site.parts))


async def current(parts: Dependencies) -> models.SyncState:
    """The last, running, waiting and next run, as in `GET /admin/sync`."""
    runs, _ = await parts.store.read(history.runs, None, 2)
    worker, next_run = parts.worker, parts.schedule.next_run
    return models.SyncState(
        now=parts.clock().isoformat(),
        last=next((run for run in runs if run.outcome != Outcome.RUNNING), None),
        running=worker.running.status if worker.running else None,
        waiting=worker.waiting.status if worker.waiting else None,
        next_run=next_run.isoformat() if next_run else None,
    )


async def runs(call: ApiRequest[models.RunsQuery, models.RequestModel]) -> web.StreamResponse:
    """The history of runs, the newest first."""
    query = call.query
    wanted = RunFilter(**query.model_dump(exclude={"before", "limit"}))
    found = await call.site.parts.store.read(history.runs, query.before, query.limit, wanted)
    return reply(models.Runs(*found))


async def run(call: ApiRequest[models.RunQuery, models.RequestModel]) -> web.StreamResponse:
    """One run, with those of its decisions that changed something or need attention."""
    query, parts = call.query, call.site.parts
    ticket = _ticket(parts, query.run_id)
    found = await parts.store.read(history.run, query.run_id) or (ticket and _unwritten(ticket))
    if found is None:
        raise _unknown(query.run_id)
    kept = await parts.store.read(history.decisions, query.run_id, query.after, query.limit)
    plan = await parts.store.read(plans.one, query.run_id)
    progress = ticket and ticket.status
    more = {"progress": progress, "plan": plan, "decisions": kept.rows, "next_after": kept.next}
    return reply(extended(models.RunDetail, found, **more))


def _ticket(parts: Dependencies, number: int) -> QueuedRun | None:
    tickets = (parts.worker.running, parts.worker.waiting)
    return next((one for one in tickets if one and one.number == number), None)


def _unwritten(ticket: QueuedRun) -> Run:
    """A run that has no row yet."""
    live = ticket.status
    asked = (live.trigger, live.actor, live.started_at)
    return Run(ticket.number, *asked, ended_at=None, outcome=live.state, result=None)


async def cancel(call: ApiRequest[models.RunRef, models.RequestModel]) -> web.StreamResponse:
    """Cancel a run: a running one stops after its current batch, a queued one never starts."""
    number, parts = call.query.run_id, call.site.parts
    ticket = _ticket(parts, number)
    if ticket is None and await parts.store.read(history.run, number) is None:
        raise _unknown(number)
    document = ticket and ticket.status
    if not parts.worker.cancel(number):
        raise Problem(409, f"run {number} is neither running nor queued")
    await call.record("run.cancelled", f"run {number}", number)
    return reply(document, 202)


async def title(call: ApiRequest[models.TitleRef, models.RequestModel]) -> web.StreamResponse:
    """What is tracked of a title, since when and why, and what would change it."""
    parts = call.site.parts
    facts = await parts.store.read(titles.facts, call.query.request_id)
    if facts is None:
        raise Problem(404, f"there is no request {call.query.request_id}")
    because = [*sentences(facts, parts.service.removal)]
    told = linked(facts, parts.settings.instances)
    return reply(extended(models.TitleDetail, told, because=because))


async def attention(
    call: ApiRequest[models.AttentionQuery, models.RequestModel],
) -> web.StreamResponse:
    """Findings that need attention, the most urgent first, each with what to do."""
    parts = call.site.parts
    found = await parts.store.read(findings, parts.service.removal, ignored=call.query.ignored)
    return reply(models.Attention(found))


async def audit(call: ApiRequest[models.AuditQuery, models.RequestModel]) -> web.StreamResponse:
    """Who did what, when and why, the newest first."""
    query = call.query
    wanted = AuditFilter(**query.model_dump(exclude={"before", "limit"}))
    found = await call.site.parts.store.read(events, query.before, query.limit, wanted)
    return reply(models.Audit(*found))


def _unknown(number: int) -> Problem:
    return Problem(404, f"there is no run {number}")
