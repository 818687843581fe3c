"""One run: observe, plan, apply, and the result."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from structlog.contextvars import bound_contextvars

from daemon.apply.pending import PendingService
from daemon.apply.writer import DryRun, Pictures, PlanWriter, log_decisions
from daemon.domain import (
    DISTRUSTED,
    IMPLAUSIBLE,
    SCANNING,
    Actor,
    LibraryItem,
    Outcome,
    Policy,
    RemovalPolicy,
    Scope,
    SourceFailure,
    TrackedRequest,
    Tracker,
    Trigger,
)
from daemon.errors import ServiceError, StoreError
from daemon.identity import Places
from daemon.logs import logger
from daemon.observe.episodes import EpisodeQuestions
from daemon.observe.hints import ArrCache, look
from daemon.observe.library import CountMismatch, Library
from daemon.observe.sources import (
    Problems,
    Services,
    Sources,
    collect_sources,
    distrusted,
    error_boundary,
)
from daemon.observe.upgrades import Upgrades
from daemon.plan import copies_of_series, plan
from daemon.report.health import Health
from daemon.report.progress import Phase, Progress
from daemon.report.result import RunStats, SyncResult
from daemon.services.http import CallStats
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import Counts, ListingContext
from daemon.snapshot import LibraryFolder, Reading, Snapshot, Texts
from daemon.store import Store, attention, history, syncing
from daemon.store.audit import AuditEvent
from daemon.store.syncing import Tracked

_log = logger(__name__)
_SYSTEM = Actor("system", "library-sync")
_MAX_LINES = 20
_SHUTDOWN_GRACE = 1.5
_PIECE = 5_000

Publish = Callable[[Progress], None]


def _ignore_progress(_: Progress) -> None:
    """Discard progress."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a run works.

    Attributes:
        public_url: where people's browsers reach Jellyfin, without a slash at its end.
        page_size: titles per reply of Jellyfin.
        batch_size: titles per transaction.
        removal: what it takes to remove a title.
        plan_age: after which a held plan is stale.
        configuration: a fingerprint of the settings.
    """

    public_url: str
    page_size: int = 20_000
    batch_size: int = 500
    removal: RemovalPolicy = field(default_factory=RemovalPolicy)
    plan_age: timedelta = timedelta(days=7)
    configuration: str = ""


class Baseline(NamedTuple):
    """The state of the library when it was last read.

    Attributes:
        date: the server's own clock then, aware UTC.
        counts: None if the server did not say.
    """

    date: datetime
    counts: Counts | None


@dataclass(slots=True)
class _Run:
    """The state of one run."""

    stats: RunStats
    writer: PlanWriter | DryRun
    publish: Publish
    pictures: bool = False
    scope: Scope = field(default_factory=Scope)
    done: int = 0
    total: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    meters: dict[str, CallStats] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    entered: dict[Phase, float] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def count_problems(self) -> None:
        """Count the problems so far and start collecting again."""
        self.stats.gaps.extend(self.problems.gaps)
        self.stats.defects.extend(self.problems.defects)
        self.problems = Problems()

    def phases(self) -> dict[str, float]:
        """How many seconds each phase took, the last one up to now."""
        ends = pairwise([*self.entered.values(), time.monotonic()])
        return {phase: round(b - a, 3) for phase, (a, b) in zip(self.entered, ends, strict=True)}


class SyncService:
    """Keeps the tracker true to the library; the caller must not let runs overlap.

    Args:
        store: the tracker's file; None stands for a tracker without any row, for dry runs only.
        health: updated with how the services answered.

    Attributes:
        health: how the services answered last.
        calls_before: each service's call statistics when the latest run started.
        libraries: those that Jellyfin had at the latest full reading; none before.
        server_id: of the Jellyfin that was read last; None before.
        arrs: what Radarr and Sonarr were last seen to hold.
        upgrades: titles whose file makes way for a better one.
        baseline: of the last full reading; None before the first.
        passes: what a full run ends with; None without a Seerr, which tells what is requested.
        rescan_wanted: the last full reading was made during a scan and should be repeated.
        cancel_requested: set to cancel the current run.
        ending: the current run is being recorded and cannot be cancelled any more.
    """

    def __init__(
        self,
        services: Services,
        store: Store | None,
        options: Options,
        health: Health | None = None,
    ) -> None:
        self._services = services
        self._store = store
        self._options = options
        self._policy = Policy(options.public_url, options.removal)
        self.health = health or Health(self._meters())
        self.arrs = ArrCache(services)
        self.upgrades = Upgrades(services)
        self._places = Places(())
        self._distrust = "the library was not read yet"
        self.calls_before = self._meters()
        self.libraries: tuple[LibraryFolder, ...] = ()
        self.server_id: str | None = None
        self.baseline: Baseline | None = None
        self.passes: PendingService | None = None
        self.rescan_wanted = False
        self._disagreement: CountMismatch | None = None
        self._copies: Mapping[str, frozenset[str]] = {}
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
        publish: Publish = _ignore_progress,
    ) -> SyncResult:
        """Reconcile once, and write what was decided; without a scope, all of it.

        `publish` gets progress after each commit.

        Raises:
            StoreError: the run's own row could not be written.
        """
        store, scope = self._writable(), scope or Scope()
        store.check_file()
        pictures = scope.kind == "full" and await store.read(history.pictures_wanted)
        try:
            number = await store.write(
                history.begin, trigger, actor, pictures=pictures, kind=scope.kind, number=number
            )
        except asyncio.CancelledError:
            async with _shutdown_deadline():
                await store.write(history.interrupt_stale)  # the row was written all the same
            raise
        stats = RunStats()
        size, age = self._options.batch_size, self._options.plan_age
        writer = PlanWriter(store, (number, actor), size, stats, age)
        run = _Run(stats, writer, publish, pictures, scope, meters=self._meters())
        self.calls_before = run.meters
        with bound_contextvars(run_id=number, trigger=trigger.value):
            _log.info("run.started", actor=actor.name, kind=scope.kind)
            try:
                await self._guarded(run)
                await self._follow_up(run, number, trigger, actor)
            except asyncio.CancelledError:
                if not self.cancel_requested:
                    async with _shutdown_deadline():
                        await self._end(run, Outcome.INTERRUPTED, number, actor)
                    raise
                return await self._end(run, Outcome.INTERRUPTED, number, actor)
            return await self._end(run, stats.outcome, number, actor)

    async def preview(self, publish: Publish = _ignore_progress) -> SyncResult:
        """Reconcile once without writing anything; the result holds the plan."""
        stats = RunStats()
        writer = DryRun(stats)
        run = _Run(stats, writer, publish, meters=self._meters())
        await self._guarded(run)
        return replace(self._result(run, stats.outcome, None), plan=writer.entries)

    def _writable(self) -> Store:
        if self._store is None:
            raise StoreError("there is no tracker's file to write to")
        return self._store

    async def _guarded(self, run: _Run) -> None:
        try:
            with _gc_paused():
                await self._observe(run)
        except (ServiceError, StoreError) as error:
            service = error.service if isinstance(error, ServiceError) else "Tracker"
            run.stats.failure = SourceFailure(service, error.kind, str(error))
        self._note_health(run)

    async def _follow_up(self, run: _Run, number: int, trigger: Trigger, actor: Actor) -> None:
        """End a full run with a pass: what it promoted is no longer on its way."""
        if self.passes is None or run.scope.kind != "full" or run.stats.failure is not None:
            return
        try:
            done = (await self.passes.run(trigger, actor, within=number)).result.stats
        except StoreError as error:
            run.stats.failure = SourceFailure("Tracker", error.kind, str(error))
            return
        run.stats.counts.update(done.counts)
        run.stats.gaps.extend(done.gaps)
        run.stats.defects.extend(done.defects)

    async def _observe(self, run: _Run) -> None:
        self._publish_progress(run, Phase.ASKING)
        await (self._full(run) if run.scope.hints is None else self._hinted(run, run.scope.hints))

    async def _full(self, run: _Run) -> None:
        """Read everything, plan, and write the plan."""
        tracked = await self._tracked(run)
        problems = run.problems
        try:
            with error_boundary(self._services.jellyfin):
                seen = await self._collect_sources(run, problems, tracked.server)
                date = self._services.jellyfin.http.date
                snapshot = await self._snapshot(run, seen, tracked, problems)
            seen = replace(seen, first=None)  # of 20,000 series 3 MB
        finally:
            run.count_problems()
        self._note_health(run)
        self._judge(run, snapshot.reading, tracked.rows)
        await self._carry_out(run, snapshot, tracked)
        if isinstance(run.writer, PlanWriter) and run.scope.library is None:
            self._copies = copies_of_series(snapshot.items, tracked.rows)
            await self._remember(seen, snapshot.reading, date, tracked.server)
        await _release_memory(snapshot.items, tracked.rows)

    async def _collect_sources(self, run: _Run, problems: Problems, known: str | None) -> Sources:
        seen = await collect_sources(self._services, problems, known, run.scope.library)
        counted = seen.counts is not None and run.scope.library is None
        run.total = seen.counts.titles if counted and seen.counts else None
        run.versions = seen.versions
        self.libraries, self.server_id = seen.activity.libraries, seen.server.id
        self._distrust = seen.distrust
        run.stats.listed = {
            one.instance: one.listed for one in seen.reports if one.listed is not None
        }
        run.stats.folders_away = {
            one.instance: one.folders_away for one in seen.reports if one.folders_away is not None
        }
        run.stats.server, run.stats.server_known = seen.server.id, known in {None, seen.server.id}
        return seen

    async def _snapshot(
        self, run: _Run, seen: Sources, tracked: Tracked, problems: Problems
    ) -> Snapshot:
        """The library as it is now, and whether the server was scanning."""
        jellyfin = self._services.jellyfin
        self._publish_progress(run, Phase.READING)
        known = await asyncio.to_thread(_comparable, tracked.rows)
        texts, proven = Texts(), seen.first.proven if seen.first else ()
        library = Library(
            jellyfin,
            ListingContext(Places(seen.activity.locations), known, texts, proven),
            self._options.page_size,
            problems,
            pictures=run.pictures,
            only=run.scope.library,
            known=self._disagreement,
            progress=lambda done: self._progress(run, done),
        )
        items: list[LibraryItem] = []
        try:
            items = await library.read()
        finally:
            run.stats.scanned = len(items)
        self._disagreement = library.count_mismatch
        counted = seen.counts.episodes if seen.counts else 0
        questions = EpisodeQuestions(jellyfin, problems, counted, run.scope.library)
        looked = await questions.look(items, tracked.rows, proven)
        after = await problems.optional(jellyfin.activity())
        scanning = seen.activity.scanning or after is None or after.scanning
        reading = library.reading(scanning=scanning, distrust=seen.distrust)
        run.stats.scanned = reading.titles
        odd = (*seen.activity.odd, *(after.odd if after else ()))
        self._note_state(run, reading, odd)
        around = (self.arrs.instead(seen.reports), seen.activity.locations)
        return Snapshot(looked.items, reading, *around, looked.episodes, texts)

    def _note_state(self, run: _Run, reading: Reading, odd: Sequence[str]) -> None:
        if reading.scanning:
            detail = "Jellyfin is scanning its library; titles without ids wait"
            detail = f"{odd[0]}, so it may be scanning its library" if odd else detail
            run.stats.gaps.append(SourceFailure(JELLYFIN, SCANNING, detail))
        if reading.distrust:
            run.stats.gaps.append(SourceFailure(JELLYFIN, DISTRUSTED, reading.distrust))

    async def _carry_out(self, run: _Run, snapshot: Snapshot, tracked: Tracked) -> None:
        """Plan in a thread, which keeps the event loop responsive, and write the plan."""
        run.done, run.total = 0, None
        self._publish_progress(run, Phase.FINISHING)
        tracker = Tracker(
            tracked.rows,
            tracked.deletions,
            tracked.removed_lately,
            await self._replaced(run, snapshot, tracked),
            approved=run.scope.approved,
            unlinks=run.scope.unlinks,
            identified=run.scope.identified,
            merges=run.scope.merges,
            instance_ids=tracked.instance_ids,
            lacking=tracked.lacking,
        )
        decided = await asyncio.to_thread(plan, snapshot, tracker, self._policy)
        await asyncio.to_thread(run.stats.count, decided)
        await asyncio.to_thread(log_decisions, decided.decisions)
        if isinstance(run.writer, PlanWriter) and run.scope.kind != "library":
            pictures = Pictures(self._services.jellyfin, self._policy)
            decided = await pictures.of(decided, run.stats)
        run.done, run.total = 0, len(decided.decisions)
        await run.writer.write(decided, snapshot.texts, lambda done: self._wrote(run, done))
        if run.stats.waiting_plan is not None:
            _log.warning("run.held", plan=run.stats.waiting_plan, titles=len(decided.held))
        await _release_memory(decided.decisions)

    async def _replaced(self, run: _Run, snapshot: Snapshot, tracked: Tracked) -> frozenset[int]:
        """Rows that are missing only because their file is being upgraded."""
        if not snapshot.reading.proves_absence:
            return frozenset()
        there = {item.jellyfin_id for item in snapshot.items}
        missing = [
            row
            for row in tracked.rows
            if row.is_available and row.seen and row.jellyfin_id not in there
        ]
        problems = Problems()
        found = await self.upgrades.of(missing, tracked.instance_ids, problems)
        run.stats.gaps.extend(problems.gaps)
        run.stats.defects.extend(problems.defects)
        return found

    async def _remember(
        self, seen: Sources, reading: Reading, date: datetime | None, known: str | None
    ) -> None:
        """Keep the baseline and caches, but only of what this run acted on."""
        self.arrs.remember(seen.reports)
        self._places = Places(seen.activity.locations)
        if date is not None:
            self.baseline = Baseline(date, seen.counts)
        self.rescan_wanted = reading.scanning
        if known is None:
            event = AuditEvent("server.known", _SYSTEM, target=f"server {seen.server.id}")
            store, server = self._writable(), seen.server.id
            await store.write(attention.confirm, "server", server, event, only=True)

    async def _hinted(self, run: _Run, hints: frozenset[str]) -> None:
        """Observe hinted titles only; that proves nothing about the absence of others.

        Scanning is assumed instead of asked for, so titles without ids wait.
        """
        problems, around = run.problems, ListingContext(self._places)
        tracked = Tracked([], [])

        async def rows(items: Sequence[LibraryItem]) -> Sequence[TrackedRequest]:
            nonlocal tracked
            tracked = await self._tracked(run, items)
            return tracked.rows

        try:
            with error_boundary(self._services.jellyfin):
                server = await self._services.jellyfin.server()
                snapshot = await look(self._services, hints, rows, around, problems, self._copies)
            reports = await self.arrs.reports(snapshot.items, problems)
        finally:
            run.count_problems()
        self._note_health(run)
        distrust = distrusted(server, tracked.server) or self._distrust
        reading = replace(snapshot.reading, distrust=distrust)
        run.total = run.stats.scanned = len(snapshot.items)
        await self._carry_out(run, replace(snapshot, reading=reading, reports=reports), tracked)

    async def _tracked(self, run: _Run, items: Sequence[LibraryItem] | None = None) -> Tracked:
        url = self._policy.public_url
        if self._store is None:
            return Tracked([], [])
        if isinstance(run.writer, PlanWriter):
            run.writer.since = await self._store.write(syncing.concurrent_writes)
        tracked = await self._store.read(syncing.tracked, items, url)
        run.stats.defects.extend(tracked.defects)
        return tracked

    def _progress(self, run: _Run, done: int) -> None:
        run.done = done
        self._publish_progress(run, Phase.READING)

    def _wrote(self, run: _Run, done: int) -> None:
        run.done = done
        self._publish_progress(run, Phase.FINISHING)

    def _publish_progress(self, run: _Run, phase: Phase) -> None:
        """Publish how many titles are read, then how many decisions are done."""
        run.entered.setdefault(phase, time.monotonic())
        told = (run.stats, run.problems)
        errors = sum(len(one.gaps) + len(one.defects) for one in told)
        run.publish(Progress(phase, run.done, run.total, errors))

    def _judge(self, run: _Run, reading: Reading, rows: Sequence[TrackedRequest]) -> None:
        """Judge how far the reading can be trusted."""
        if reading.complete and reading.titles == 0 and any(row.is_available for row in rows):
            detail = "Jellyfin lists no title, though some are tracked; is its storage there?"
            run.stats.gaps.append(SourceFailure(JELLYFIN, IMPLAUSIBLE, detail))

    def _note_health(self, run: _Run) -> None:
        """Mark services as up that were asked and did not fail."""
        failure = (run.stats.failure,) if run.stats.failure else ()
        bad = {gap.service: gap for gap in (*run.stats.gaps, *failure) if gap.of_service}
        for name, meter in self._meters().items():
            if name in bad:
                self.health.bad(bad[name])
            elif meter.calls > run.meters[name].calls:
                self.health.good(name, run.versions.get(name, ""))

    async def _end(self, run: _Run, outcome: Outcome, number: int, actor: Actor) -> SyncResult:
        """Record how the run ended: in the history, in the audit, and in one log line."""
        self.ending = True
        result = self._result(run, outcome, number)
        document = result.as_dict()
        for problem in document["error_details"][:_MAX_LINES]:
            _log.warning("run.problem", problem=problem)
        counts = {key: value for key, value in document.items() if type(value) is int}
        event = AuditEvent("run.ended", actor, number, reason=outcome.value, after=counts)
        told = [] if outcome is Outcome.OK and not run.stats.wrote_any else [event]
        try:
            await self._writable().write(history.finish, number, outcome, document, *told)
        except StoreError as error:
            _log.error("run.write_failed", error_kind=error.kind, error=str(error))
        level = _log.info if outcome is Outcome.OK else _log.warning
        level("run.done", **_flat(document))
        return result

    def _result(self, run: _Run, outcome: Outcome, number: int | None) -> SyncResult:
        return SyncResult(
            outcome=outcome,
            stats=run.stats,
            run_id=number,
            duration_ms=round((time.monotonic() - run.began) * 1000),
            calls={name: meter.since(run.meters[name]) for name, meter in self._meters().items()},
            kind=run.scope.kind,
            versions=run.versions,
            configuration=self._options.configuration,
            phases=run.phases(),
        )

    def _meters(self) -> dict[str, CallStats]:
        """A snapshot of every service's call statistics."""
        return {name: replace(meter) for name, meter in self._services.meters.items()}


def _comparable(rows: Sequence[TrackedRequest]) -> Mapping[str, TrackedRequest]:
    """By Jellyfin id, the rows whose texts need not be kept in memory if unchanged.

    Not of an item named by several managed rows, nor of a title of which any row lacks a text:
    that has to be at hand.
    """
    hungry: set[tuple[object, ...]] = set()
    for row in rows:
        if not row.missing.isdisjoint({"overview", "final_path"}):
            hungry.update((row.media_type, *one) for one in _identities(row))
    named = Counter(row.jellyfin_id for row in rows if row.managed)
    return {
        row.jellyfin_id: row
        for row in rows
        if row.jellyfin_id
        and row.managed
        and named[row.jellyfin_id] == 1
        and not (hungry and any((row.media_type, *one) in hungry for one in _identities(row)))
    }


def _identities(row: TrackedRequest) -> list[tuple[object, object]]:
    ids = [(at, value) for at, value in enumerate(row.ids) if value is not None]
    return [*ids, ("item", row.jellyfin_id)]


async def _release_memory(*lists: object) -> None:
    """Free long lists in pieces: all at once would block the event loop for 0.1 s."""
    for values in lists:
        while isinstance(values, list) and values:
            del values[-_PIECE:]
            await asyncio.sleep(0)


@asynccontextmanager
async def _shutdown_deadline() -> AsyncIterator[None]:
    """Shutdown has a deadline; a run left open is closed by the next one."""
    with suppress(TimeoutError, StoreError):
        async with asyncio.timeout(_SHUTDOWN_GRACE):
            yield


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause garbage collection, which would block the event loop for a tenth of a second.

    A run creates no cycles, so there is nothing to collect.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """The result as flat fields of one log line, calls by service."""
    line = {key: value for key, value in document.items() if not isinstance(value, list | dict)}
    del line["run_id"], line["version"]  # which every line has
    for service, calls in document["calls"].items():
        field = service.lower().replace(" ", "_")
        line |= {f"{field}_{name}": value for name, value in calls.items()}
    return line | {f"skipped_{reason}": n for reason, n in document["skip_reasons"].items()}
