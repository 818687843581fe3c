"""One run: observe, plan, apply, and the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from structlog.contextvars import bound_contextvars

from daemon.clients.http import Meter
from daemon.clients.jellyfin import MOST_IDS, Page
from daemon.clients.jellyfin import SERVICE as JELLYFIN
from daemon.domain import (
    Actor,
    Add,
    Decision,
    Gap,
    Outcome,
    Policy,
    RequestState,
    Skip,
    TrackedRequest,
    Trigger,
    Update,
)
from daemon.errors import ServiceError, StoreError
from daemon.logs import logger
from daemon.observe import Library, Services, survey
from daemon.progress import Phase, Progress
from daemon.reconcile import Planner
from daemon.result import SCANNING, SyncResult, Tally, planned
from daemon.store import ATTENTION, AuditEvent, Link, Store, Tracked

_log = logger(__name__)
_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Options:
    """How a run works.

    Attributes:
        public_url: where people's browsers reach Jellyfin, without a slash at its end.
        page_size: titles a reply of Jellyfin.
        batch_size: titles a transaction.
    """

    public_url: str
    page_size: int = 20_000
    batch_size: int = 500


@dataclass(slots=True)
class _Run:
    """What one run carries with it; without a number it is a dry run, which collects its plan."""

    actor: Actor
    pictures: bool
    number: int | None = None
    plan: list[dict[str, Any]] | None = None
    tally: Tally = field(default_factory=Tally)
    pending: list[Decision] = field(default_factory=list)
    unpictured: list[Add] = field(default_factory=list)
    done: int = 0
    total: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)


class SyncService:
    """Keeps the tracker true to the library, one run at a time.

    Args:
        services: the clients.
        store: the tracker's file; None stands for a tracker without any row, for dry runs only.
        options: how a run works.
        publish: told of progress, after what it tells was committed.
    """

    def __init__(
        self,
        services: Services,
        store: Store | None,
        options: Options,
        publish: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._services = services
        self._store = store
        self._options = options
        self._policy = Policy(options.public_url)
        self._publish = publish

    async def run(self, trigger: Trigger, actor: Actor) -> SyncResult:
        """Reconcile once, and write what was decided.

        Raises:
            StoreError: not even the run's own row could be written.
        """
        store = self._writable()
        pictures = await store.pictures_wanted()
        number = await store.begin_run(trigger, actor, pictures=pictures)
        run = _Run(actor, pictures, number, meters=self._meters())
        with bound_contextvars(run_id=number, trigger=trigger.value):
            _log.info("run.started", actor=actor.name)
            try:
                await self._guarded(run)
            except asyncio.CancelledError:
                await self._end(run, Outcome.INTERRUPTED)
                raise
            return await self._end(run, run.tally.outcome)

    async def preview(self) -> SyncResult:
        """Reconcile once without writing anything; the result holds the plan."""
        run = _Run(Actor("system", "preview"), pictures=False, plan=[], meters=self._meters())
        await self._guarded(run)
        return self._result(run, run.tally.outcome)

    def _writable(self) -> Store:
        if self._store is None:
            raise StoreError("there is no tracker's file to write to")
        return self._store

    async def _guarded(self, run: _Run) -> None:
        try:
            await self._reconcile(run)
        except (ServiceError, StoreError) as error:
            run.tally.failure = Gap(getattr(error, "service", "Tracker"), error.kind, str(error))

    async def _reconcile(self, run: _Run) -> None:
        self._publish(Progress(Phase.ASKING))
        seen = await survey(self._services)
        run.total, run.versions = seen.counts.titles, seen.versions
        run.tally.gaps.extend(seen.gaps)
        tracked = await self._store.tracked() if self._store else Tracked([], [])
        run.tally.defects.extend((*tracked.defects, *seen.defects))
        # Tens of thousands of rows are indexed: in a thread, so that the loop answers meanwhile.
        planner = await asyncio.to_thread(Planner, tracked.rows, seen.sources, self._policy)
        library = Library(
            self._services.jellyfin, seen, self._options.page_size, pictures=run.pictures
        )
        await self._read(run, library, planner)
        self._judge(run, library, tracked.rows)

    async def _read(self, run: _Run, library: Library, planner: Planner) -> None:
        """Decide and write while the library streams in, then what only the whole can tell."""
        try:
            async with aclosing(library.items()) as pieces:
                async for items in pieces:
                    await self._take(run, planner.decide(items))
            self._publish(Progress(Phase.FINISHING, run.done, run.total))
            waited = await asyncio.to_thread(list, planner.finish(library.reading))
            for start in range(0, len(waited), self._options.batch_size):
                await self._take(run, waited[start : start + self._options.batch_size])
        finally:
            run.tally.scanned = library.reading.titles
            run.tally.defects.extend(library.defects)
            run.tally.gaps.extend(library.gaps)
        await self._picture(run)
        await self._write(run)

    def _judge(self, run: _Run, library: Library, rows: list[TrackedRequest]) -> None:
        """What the reading as a whole says of its own worth."""
        if library.reading.scanning:
            detail = "Jellyfin is at work on its library; titles without ids wait"
            run.tally.gaps.append(Gap(JELLYFIN, SCANNING, detail))
        tracked = any(row.state is RequestState.AVAILABLE for row in rows)
        if library.reading.titles == 0 and tracked:
            detail = (
                "Jellyfin lists no title at all, though some are tracked; is its storage there?"
            )
            run.tally.gaps.append(Gap(JELLYFIN, "implausible", detail))

    async def _take(self, run: _Run, decisions: list[Decision]) -> None:
        run.tally.count(decisions)
        run.done += len(decisions)
        if run.plan is not None:
            run.tally.plan(decisions)
            run.plan.extend(planned(decisions))
            return
        for decision in decisions:
            _tell(decision)
            if isinstance(decision, Add) and decision.item.poster is None:
                self._put_aside(run, decision)
            elif _worth_keeping(decision):
                run.pending.append(decision)
            if len(run.pending) >= self._options.batch_size:
                await self._write(run)
        self._publish(Progress(Phase.READING, run.done, run.total))

    def _put_aside(self, run: _Run, add: Add) -> None:
        """A few new titles wait for their pictures; many are written without."""
        run.unpictured.append(add)
        if run.tally.unpictured or len(run.unpictured) > MOST_IDS:
            run.tally.unpictured += len(run.unpictured)
            run.pending.extend(run.unpictured)
            run.unpictured.clear()

    async def _picture(self, run: _Run) -> None:
        """Ask which of the titles that wait have a poster, and let them go."""
        waiting, run.unpictured = run.unpictured, []
        if not waiting:
            return
        try:
            ids = [add.item.jellyfin_id for add in waiting]
            found = await self._services.jellyfin.items(ids, Page())
        except ServiceError as error:
            run.tally.unpictured += len(waiting)
            run.tally.gaps.append(Gap(error.service, error.kind, str(error)))
            found = []
        posters = {item.jellyfin_id: self._policy.poster_url(item) for item in found}
        run.pending.extend(
            replace(add, poster_url=posters.get(add.item.jellyfin_id)) for add in waiting
        )

    async def _write(self, run: _Run) -> None:
        if not run.pending or run.number is None:
            return
        batch, run.pending = run.pending, []
        applied = await self._writable().apply(run.number, run.actor, batch)
        run.tally.wrote(applied.added, applied.filled, applied.refreshed, len(applied.passed))
        _tell_audit(applied.links)

    async def _end(self, run: _Run, outcome: Outcome) -> SyncResult:
        """Note how the run ended: in the history, in the audit, and in one line of the log."""
        result = self._result(run, outcome)
        document = result.as_dict()
        for problem in document["error_details"][:_MOST_LINES]:
            _log.warning("run.problem", problem=problem)
        event = AuditEvent(
            "run.ended", run.actor, run.number, reason=outcome.value, after=_counts(document)
        )
        if run.number is not None:
            try:
                links = await self._writable().finish_run(run.number, outcome, document, event)
            except StoreError as error:
                _log.error("run.not_recorded", error_kind=error.kind, error=str(error))
            else:
                _tell_audit(links)
        level = _log.info if outcome is Outcome.OK else _log.warning
        level("run.done", **_flat(document))
        return result

    def _result(self, run: _Run, outcome: Outcome) -> SyncResult:
        return SyncResult(
            outcome=outcome,
            tally=run.tally,
            run_id=run.number,
            duration_ms=round((time.monotonic() - run.began) * 1000),
            calls={name: meter.since(run.meters[name]) for name, meter in self._meters().items()},
            versions=run.versions,
            plan=run.plan,
        )

    def _meters(self) -> dict[str, Meter]:
        """A reading of every service's meter."""
        clients = (self._services.jellyfin, self._services.radarr, self._services.sonarr)
        return {c.http.service: replace(c.http.meter) for c in clients if c is not None}


def _worth_keeping(decision: Decision) -> bool:
    """Whether it is written, or somebody may have to look at it."""
    return not isinstance(decision, Skip) or decision.reason in ATTENTION


def _tell(decision: Decision) -> None:
    reason = decision.reason.value if isinstance(decision, Skip | Update) else None
    _log.debug(
        f"title.{type(decision).__name__.lower()}",
        jellyfin_id=decision.item.jellyfin_id,
        title=decision.item.title,
        reason=reason,
    )


def _tell_audit(links: Iterable[Link]) -> None:
    for link in links:
        _log.info(
            "audit.recorded", seq=link.seq, action=link.action, target=link.target, hash=link.hash
        )


def _counts(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if isinstance(value, int)}


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """The result as fields of one log line: no lists, and the calls by their service."""
    line = {key: value for key, value in document.items() if not isinstance(value, list | dict)}
    del line["run_id"]
    for service, calls in document["calls"].items():
        line |= {f"{service.lower()}_{name}": value for name, value in calls.items()}
    return line | {f"skipped_{reason}": n for reason, n in document["skip_reasons"].items()}
