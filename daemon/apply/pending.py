"""One pass over titles on their way: read the services, decide purely, write what has changed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from structlog.contextvars import bound_contextvars

from daemon.domain import Actor, Ids, MediaType, RequestState, Trigger
from daemon.logs import logger
from daemon.observe.hints import ArrCache
from daemon.observe.pipeline import PipelineReader
from daemon.observe.sources import Problems, Services
from daemon.pending import Attention, Imported, PendingPlan, PendingPolicy
from daemon.pipeline import Pipeline
from daemon.plan.pending import plan_pending
from daemon.reasons import Count, Reason
from daemon.report.health import Health
from daemon.report.result import RunStats, SyncResult
from daemon.services.http import CallStats
from daemon.store import Store, attention, pending
from daemon.store.audit import AuditEvent

_MOVING: Final = frozenset(
    {
        *(RequestState.GRABBING, RequestState.DOWNLOADING, RequestState.DOWNLOADED),
        *(RequestState.IMPORTING, RequestState.ANIME_MATCHING),
    }
)
_SYSTEM: Final = Actor("system", "library-sync")
_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class PassResult:
    """How a pass ended.

    Attributes:
        run_id: its number in the history; None where nothing changed.
        attention: what needs attention.
        moving: something is being grabbed, downloaded or imported.
        imported: titles that were imported and that Jellyfin may show now.
    """

    result: SyncResult
    run_id: int | None
    attention: Sequence[Attention] = ()
    moving: bool = False
    downloading: bool = False
    imported: frozenset[Imported] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        told = [{**one._asdict(), "kind": one.kind.value} for one in self.attention]
        return {**self.result.as_dict(), "run_id": self.run_id, "attention": told}


@dataclass(slots=True)
class _Seen:
    """What the latest pass saw, for progress updates until the next one."""

    pipeline: Pipeline
    known: pending.Known


@dataclass(slots=True)
class _Pass:
    """The state of one pass."""

    trigger: Trigger
    actor: Actor
    meters: dict[str, CallStats]
    within: int | None = None
    problems: Problems = field(default_factory=Problems)
    began: float = field(default_factory=time.monotonic)


class PendingService:
    """Makes passes, one at a time; they may overlap with a run.

    Args:
        known: the cached contents of Radarr and Sonarr.
        health: updated with how the services answered.
        number: allocates a run's number; None leaves that to the file.

    Attributes:
        last: how the latest pass ended; None before the first.
        on_change: called after a visible change was written.
    """

    def __init__(
        self,
        services: Services,
        store: Store,
        known: ArrCache,
        policy: PendingPolicy,
        health: Health,
        number: Callable[[], int] | None = None,
    ) -> None:
        self._services = services
        self._store = store
        self._policy = policy
        self._health = health
        self._number = number
        self._reader = PipelineReader(services, known)
        self._titles: list[tuple[MediaType, Ids]] = []
        self._turn = asyncio.Lock()
        self._seen: _Seen | None = None
        self.last: PassResult | None = None
        self.on_change: Callable[[], None] = lambda: None

    async def run(self, trigger: Trigger, actor: Actor, within: int | None = None) -> PassResult:
        """Read, decide and write once.

        Args:
            within: the number of a full run that has read the library, and ends with this pass.

        Raises:
            StoreError: the tracker's file could not be read or written.
        """
        async with self._turn:
            one = _Pass(trigger, actor, self._meters(), within)
            self.last = await self._pass(one)
            self._note_health(one)
            return self.last

    async def progress(self) -> None:
        """Update the progress of downloads, without deciding anything."""
        async with self._turn:
            if self._seen is None:
                return
            problems = Problems()
            torrents = await self._reader.torrents(problems)
            if torrents is None or torrents.torrents is None:
                return
            seen, now = self._seen, await self._store.read(pending.now)
            pipeline = replace(seen.pipeline, torrents=torrents)
            known = seen.known
            plan = await asyncio.to_thread(
                plan_pending, pipeline, known.rows, known.memory, self._policy, now
            )
            if not pending.is_shown_anew(plan, known):
                return
            await self._store.write(pending.show, plan, known)
            self.on_change()
            self._seen.known = known._replace(gauges={**known.gauges, **plan.gauges})

    async def _pass(self, one: _Pass) -> PassResult:
        known = await self._store.read(pending.known, self._titles)
        expected = await self._store.read(pending.confirmed_seerr)
        pipeline = await self._reader.read(known.rows, (), one.problems, expected)
        self._titles = [(each.media_type, each.ids) for each in pipeline.seerr.requests or ()]
        known = await self._store.read(pending.known, self._titles)
        if one.within is not None:
            known = known._replace(memory=replace(known.memory, ready=True))
        now = await self._store.read(pending.now)
        plan = await asyncio.to_thread(
            plan_pending, pipeline, known.rows, known.memory, self._policy, now
        )
        if not expected and self._reader.seerr:
            event = AuditEvent("seerr.known", _SYSTEM, target=f"seerr {self._reader.seerr}")
            await self._store.write(
                attention.confirm, "seerr", self._reader.seerr, event, only=True
            )
        number, done = await self._written(one, plan, known)
        self._seen = _Seen(pipeline, known)
        return self._result(one, plan, number, done)

    async def _written(
        self, one: _Pass, plan: PendingPlan, known: pending.Known
    ) -> tuple[int | None, Counter[Reason]]:
        if not (pending.is_written(plan) or pending.needs_keeping(plan, known)):
            return None, Counter()
        number = one.within
        if number is None and self._number and pending.is_written(plan):
            number = self._number()

        def result(run_id: int, done: Counter[Reason]) -> dict[str, Any]:
            return self._summary(one, plan, run_id, done).as_dict()

        within = one.within is not None
        run = pending.PassRun(number, one.trigger, one.actor, result, within)
        number, done = await self._store.write(pending.apply, plan, known, run)
        self.on_change()
        if number is not None:
            stats = RunStats(done)
            with bound_contextvars(run_id=number, trigger=one.trigger.value):
                _log.info(
                    "pending.changed",
                    awaited=stats[Count.AWAITED],
                    moved=stats[Count.MOVED],
                    withdrawn=stats[Count.WITHDRAWN],
                )
        return number, done

    def _result(
        self, one: _Pass, plan: PendingPlan, number: int | None, done: Counter[Reason]
    ) -> PassResult:
        states = {kept.written for kept in plan.kept.values()} | {new.state for new in plan.adds}
        return PassResult(
            self._summary(one, plan, number, done),
            number,
            plan.attention,
            moving=bool(states & _MOVING),
            downloading=RequestState.DOWNLOADING in states,
            imported=plan.imported,
        )

    def _summary(
        self, one: _Pass, plan: PendingPlan, number: int | None, done: Counter[Reason]
    ) -> SyncResult:
        problems, titles = one.problems, len(plan.kept) + len(plan.adds)
        stats = RunStats(done, titles, gaps=problems.gaps, defects=problems.defects)
        calls = {name: meter.since(one.meters[name]) for name, meter in self._meters().items()}
        calls = {name: made for name, made in calls.items() if made["calls"]}
        seconds = time.monotonic() - one.began
        return SyncResult(stats.outcome, stats, number, round(seconds * 1000), calls, "pending")

    def _note_health(self, one: _Pass) -> None:
        """Mark services as up that were asked and did not fail."""
        bad = {gap.service: gap for gap in one.problems.gaps if gap.of_service}
        for name, meter in self._services.meters.items():
            if name in bad:
                self._health.bad(bad[name])
            elif meter.calls > one.meters[name].calls:
                self._health.good(name)

    def _meters(self) -> dict[str, CallStats]:
        return {name: replace(meter) for name, meter in self._services.meters.items()}
