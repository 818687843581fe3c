"""One run: observe, plan, apply, and the result."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from structlog.contextvars import bound_contextvars

from daemon.apply import Applier, Pictures, Plan, tell_audit
from daemon.clients.http import Meter
from daemon.clients.jellyfin import SERVICE as JELLYFIN
from daemon.clients.jellyfin import Counts
from daemon.domain import (
    IMPLAUSIBLE,
    SCANNING,
    Actor,
    Decision,
    Evidence,
    Gap,
    LibraryFolder,
    LibraryItem,
    Outcome,
    Policy,
    Reading,
    RemovalPolicy,
    RequestState,
    Scope,
    Seasons,
    TrackedRequest,
    Trigger,
)
from daemon.errors import ServiceError, StoreError
from daemon.health import Health
from daemon.hinted import ArrMemory, look
from daemon.logs import logger
from daemon.observe import Library, Services, Survey, survey
from daemon.progress import Phase, Progress
from daemon.reconcile import Planner
from daemon.removal import judge, proof
from daemon.result import SyncResult, Tally
from daemon.store import AuditEvent, Store, Tracked

_log = logger(__name__)
_MOST_LINES = 20
_LAST_WORDS = 1.5
_MOST_SERIES = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How a run works.

    Attributes:
        public_url: where people's browsers reach Jellyfin, without a slash at its end.
        page_size: titles a reply of Jellyfin.
        batch_size: titles a transaction.
        removal: what it takes to remove a title.
        plan_age: after which a held plan is stale.
        configuration: a short word that is another one for every other configuration.
    """

    public_url: str
    page_size: int = 20_000
    batch_size: int = 500
    removal: RemovalPolicy = field(default_factory=RemovalPolicy)
    plan_age: timedelta = timedelta(days=7)
    configuration: str = ""


class Baseline(NamedTuple):
    """What the library was like when it was last read as a whole.

    Attributes:
        date: the server's own clock then, aware UTC.
    """

    date: datetime
    counts: Counts


@dataclass(slots=True)
class _Run:
    """What one run carries with it."""

    tally: Tally
    hand: Applier | Plan
    pictures: bool = False
    scope: Scope = field(default_factory=Scope)
    done: int = 0
    total: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    entered: dict[Phase, float] = field(default_factory=dict)

    def phases(self) -> dict[str, float]:
        """How many seconds each phase took, the last one up to now."""
        ends = pairwise([*self.entered.values(), time.monotonic()])
        return {phase: round(b - a, 3) for phase, (a, b) in zip(self.entered, ends, strict=True)}


class SyncService:
    """Keeps the tracker true to the library; its caller sees to it that runs do not overlap.

    Args:
        services: the clients.
        store: the tracker's file; None stands for a tracker without any row, for dry runs only.
        options: how a run works.
        publish: told of progress, after what it tells was committed.
        health: told how the services answered.

    Attributes:
        health: how the services answered last.
        asked_before: what each service had been asked when the latest run began.
        libraries: those that Jellyfin had at the latest full reading; none before.
        server_id: of the Jellyfin that was read last; None before.
        baseline: of the last full reading; None before the first.
        rescan_wanted: the last full reading met a library at work, and should be done again.
        cancel_requested: the run that is going is to be ended by whoever sets this.
        ending: the run that is going has come to its end, and cannot be cancelled any more.
    """

    def __init__(
        self,
        services: Services,
        store: Store | None,
        options: Options,
        publish: Callable[[Progress], None] = lambda _: None,
        health: Health | None = None,
    ) -> None:
        self._services = services
        self._store = store
        self._options = options
        self._policy = Policy(options.public_url)
        self._publish = publish
        self.health = health or Health(self._meters())
        self._arrs = ArrMemory(services)
        self.asked_before = self._meters()
        self.libraries: tuple[LibraryFolder, ...] = ()
        self.server_id: str | None = None
        self.baseline: Baseline | None = None
        self.rescan_wanted = False
        self.cancel_requested = False
        self.ending = False

    @property
    def removal(self) -> RemovalPolicy:
        """What it takes to remove a title."""
        return self._options.removal

    async def run(
        self,
        trigger: Trigger,
        actor: Actor,
        scope: Scope | None = None,
        number: int | None = None,
    ) -> SyncResult:
        """Reconcile once, and write what was decided.

        Args:
            trigger: why.
            actor: who asked for it.
            scope: what to look at; None for everything.
            number: the run's, if it has one already.

        Raises:
            StoreError: not even the run's own row could be written.
        """
        store, scope = self._writable(), scope or Scope()
        pictures = scope.kind == "full" and await store.pictures_wanted()
        try:
            number = await store.begin_run(
                trigger, actor, pictures=pictures, kind=scope.kind, number=number
            )
        except asyncio.CancelledError:
            async with _last_words():
                await store.interrupt_stale()  # the row was written all the same
            raise
        tally = Tally()
        poster = Pictures(self._services.jellyfin, self._policy)
        size, age = self._options.batch_size, self._options.plan_age
        hand = Applier(store, (number, actor), size, poster, tally, age)
        run = _Run(tally, hand, pictures, scope, meters=self._meters())
        self.asked_before = run.meters
        with bound_contextvars(run_id=number, trigger=trigger.value):
            _log.info("run.started", actor=actor.name, kind=scope.kind)
            try:
                await self._guarded(run)
            except asyncio.CancelledError:
                if not self.cancel_requested:
                    async with _last_words():
                        await self._end(run, Outcome.INTERRUPTED, number, actor)
                    raise
                return await self._end(run, Outcome.INTERRUPTED, number, actor)
            return await self._end(run, tally.outcome, number, actor)

    async def preview(self) -> SyncResult:
        """Reconcile once without writing anything; the result holds the plan."""
        tally = Tally()
        plan = Plan(tally)
        run = _Run(tally, plan, meters=self._meters())
        await self._guarded(run)
        return replace(self._result(run, tally.outcome, None), plan=plan.entries)

    def _writable(self) -> Store:
        if self._store is None:
            raise StoreError("there is no tracker's file to write to")
        return self._store

    async def _guarded(self, run: _Run) -> None:
        try:
            with _no_collection():
                await self._observe(run)
        except (ServiceError, StoreError) as error:
            service = error.service if isinstance(error, ServiceError) else "Tracker"
            run.tally.failure = Gap(service, error.kind, str(error))
        self._note_health(run)

    async def _observe(self, run: _Run) -> None:
        self._tell(run, Phase.ASKING)
        await (self._full(run) if run.scope.hints is None else self._hinted(run))

    async def _full(self, run: _Run) -> None:
        only = run.scope.library
        seen = await self._survey(run)
        date = self._services.jellyfin.http.date
        tracked = await self._tracked(run)
        run.tally.defects.extend(seen.defects)
        planner = await self._planner(tracked, seen)
        library = Library(
            self._services.jellyfin,
            seen,
            self._options.page_size,
            pictures=run.pictures,
            only=only,
        )
        self._tell(run, Phase.READING)
        try:
            async with aclosing(library.items()) as pieces:
                async for items in pieces:
                    await self._take(run, planner.decide(items))
            await self._finish(run, planner, library.reading)
        finally:
            run.tally.scanned = library.reading.titles
            run.tally.defects.extend(library.defects)
            run.tally.gaps.extend(library.gaps)
        self._judge(run, library.reading, tracked.rows)
        evidence = planner.evidence()
        await run.hand.note(evidence)
        run.tally.guard = proof(library.reading)
        if not any(rule.why for rule in run.tally.guard):
            await self._settle(run, planner, evidence, seen.sources.locations)
        if isinstance(run.hand, Applier) and only is None:
            self._remember(seen, library.reading, date)

    async def _survey(self, run: _Run) -> Survey:
        seen = await survey(self._services, run.scope.library)
        run.total = None if run.scope.library else seen.counts.titles
        run.versions = seen.versions
        self.libraries, self.server_id = seen.activity.libraries, seen.server.id
        run.tally.gaps.extend(seen.gaps)
        run.tally.listed, run.tally.folders_away = seen.listed, seen.folders_away
        self._note_health(run)
        return seen

    def _remember(self, seen: Survey, reading: Reading, date: datetime | None) -> None:
        """Only what was acted on may spare a later run its work."""
        self._arrs.remember(seen.sources)
        if reading.complete and date is not None:
            self.baseline = Baseline(date, seen.counts)
        self.rescan_wanted = reading.scanning

    async def _hinted(self, run: _Run) -> None:
        """Only what was hinted at; it may add and fill, and proves nothing about what is absent.

        Whether the server scans is not asked, so that titles without ids wait as in a scan.
        """
        found = await look(self._services.jellyfin, run.scope.hints or ())
        run.total = run.tally.scanned = len(found.items)
        sources = await self._arrs.sources(found)
        run.tally.gaps.extend(found.gaps)
        run.tally.defects.extend(found.defects)
        self._note_health(run)
        planner = Planner((await self._tracked(run, found.items)).rows, sources, self._policy)
        await self._take(run, planner.decide(found.items))
        reading = Reading(complete=False, scanning=True, titles=len(found.items))
        await self._finish(run, planner, reading)
        await run.hand.note(planner.evidence())

    async def _settle(
        self, run: _Run, planner: Planner, evidence: Evidence, listed: tuple[str, ...]
    ) -> None:
        """What is absent is watched, held, or goes, as the evidence has it."""
        policy, approved = self._options.removal, run.scope.approved
        verdict = judge(evidence.absent, planner.population(), listed, policy, approved)
        run.tally.guard += verdict.rules
        run.tally.held, run.tally.watched = len(verdict.held), len(verdict.watched)
        await run.hand.settle(verdict)
        if run.tally.waiting_plan is not None:
            _log.warning("run.held", plan=run.tally.waiting_plan, titles=len(verdict.held))

    async def _tracked(self, run: _Run, items: list[LibraryItem] | None = None) -> Tracked:
        url = self._policy.public_url
        if self._store is None:
            return Tracked([], [])
        tracked = await self._store.tracked(items, url, to_write=isinstance(run.hand, Applier))
        run.tally.defects.extend(tracked.defects)
        return tracked

    async def _planner(self, tracked: Tracked, seen: Survey) -> Planner:
        """Tens of thousands of rows are indexed in a thread, so that the loop answers meanwhile."""
        return await asyncio.to_thread(Planner, tracked.rows, seen.sources, self._policy)

    async def _take(
        self, run: _Run, decisions: list[Decision], phase: Phase = Phase.READING
    ) -> None:
        await run.hand.take(decisions)
        run.done += len(decisions)
        self._tell(run, phase)

    def _tell(self, run: _Run, phase: Phase) -> None:
        """Tell how many titles are settled; what still waits to be written is not."""
        run.entered.setdefault(phase, time.monotonic())
        errors = len(run.tally.gaps) + len(run.tally.defects)
        self._publish(Progress(phase, run.done - run.hand.waiting, run.total, errors))

    async def _finish(self, run: _Run, planner: Planner, reading: Reading) -> None:
        """What only the whole can tell, then what is left to write."""
        self._tell(run, Phase.FINISHING)
        seasons = await self._seasons(run, planner)
        waited = await asyncio.to_thread(list, planner.finish(reading, seasons))
        for start in range(0, len(waited), self._options.batch_size):
            batch = waited[start : start + self._options.batch_size]
            await self._take(run, batch, Phase.FINISHING)
        await run.hand.finish()
        self._tell(run, Phase.FINISHING)

    async def _seasons(self, run: _Run, planner: Planner) -> dict[str, Seasons]:
        """What Jellyfin shows of the series that were requested; the first few of them a run."""
        wanted = planner.unfinished_series()[:_MOST_SERIES]
        try:
            return {found: await self._services.jellyfin.seasons(found) for found in wanted}
        except ServiceError as error:
            run.tally.gaps.append(Gap(error.service, error.kind, str(error)))
            return {}

    def _judge(self, run: _Run, reading: Reading, rows: list[TrackedRequest]) -> None:
        """What the reading as a whole says of its own worth."""
        if reading.scanning:
            detail = "Jellyfin is at work on its library; titles without ids wait"
            run.tally.gaps.append(Gap(JELLYFIN, SCANNING, detail))
        tracked = any(row.state is RequestState.AVAILABLE for row in rows)
        if reading.complete and reading.titles == 0 and tracked:
            detail = "Jellyfin lists no title, though some are tracked; is its storage there?"
            run.tally.gaps.append(Gap(JELLYFIN, IMPLAUSIBLE, detail))

    def _note_health(self, run: _Run) -> None:
        """A service that was asked and left no gap behind is well."""
        failure = (run.tally.failure,) if run.tally.failure else ()
        bad = {gap.service: gap for gap in (*run.tally.gaps, *failure) if gap.of_service}
        for name, meter in self._meters().items():
            if name in bad:
                self.health.bad(bad[name])
            elif meter.calls > run.meters[name].calls:
                self.health.good(name, run.versions.get(name, ""))

    async def _end(self, run: _Run, outcome: Outcome, number: int, actor: Actor) -> SyncResult:
        """Note how the run ended: in the history, in the audit, and in one line of the log."""
        self.ending = True
        result = self._result(run, outcome, number)
        document = result.as_dict()
        for problem in document["error_details"][:_MOST_LINES]:
            _log.warning("run.problem", problem=problem)
        counts = {key: value for key, value in document.items() if isinstance(value, int)}
        event = AuditEvent("run.ended", actor, number, reason=outcome.value, after=counts)
        told = [] if outcome is Outcome.OK and not run.tally.wrote_any else [event]
        try:
            links = await self._writable().finish_run(number, outcome, document, told)
        except StoreError as error:
            _log.error("run.not_recorded", error_kind=error.kind, error=str(error))
        else:
            tell_audit(links)
        level = _log.info if outcome is Outcome.OK else _log.warning
        level("run.done", **_flat(document))
        return result

    def _result(self, run: _Run, outcome: Outcome, number: int | None) -> SyncResult:
        return SyncResult(
            outcome=outcome,
            tally=run.tally,
            run_id=number,
            duration_ms=round((time.monotonic() - run.began) * 1000),
            calls={name: meter.since(run.meters[name]) for name, meter in self._meters().items()},
            kind=run.scope.kind,
            versions=run.versions,
            configuration=self._options.configuration,
            phases=run.phases(),
        )

    def _meters(self) -> dict[str, Meter]:
        """A reading of every service's meter."""
        clients = (self._services.jellyfin, self._services.radarr, self._services.sonarr)
        return {c.http.service: replace(c.http.meter) for c in clients if c is not None}


@asynccontextmanager
async def _last_words() -> AsyncIterator[None]:
    """Who stops us does not wait for long; a run left open is closed by the next one."""
    with suppress(TimeoutError, StoreError):
        async with asyncio.timeout(_LAST_WORDS):
            yield


@contextmanager
def _no_collection() -> Iterator[None]:
    """Looking for garbage among a hundred thousand rows stops the loop for a tenth of a second.

    A run makes no cycles, so that there is nothing to be found.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """The result as fields of one log line: no lists, and the calls by their service."""
    line = {key: value for key, value in document.items() if not isinstance(value, list | dict)}
    del line["run_id"], line["version"]  # which every line has
    for service, calls in document["calls"].items():
        line |= {f"{service.lower()}_{name}": value for name, value in calls.items()}
    return line | {f"skipped_{reason}": n for reason, n in document["skip_reasons"].items()}
