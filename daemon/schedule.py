"""When to look: jobs that only ask for work, and a guard for a clock that jumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from daemon.domain import IMPLAUSIBLE, INCOMPLETE, SCANNING, Actor, Outcome, Trigger
from daemon.errors import (
    BrokenServiceError,
    CutShortError,
    DiskFullError,
    StartingError,
    StoreBusyError,
    TimedOutError,
    UnreachableError,
)
from daemon.logs import logger
from daemon.result import SyncResult
from daemon.settings import Sync
from daemon.worker import Worker

_log = logger(__name__)
_SYSTEM: Final = Actor("system", "schedule")
_PAUSES: Final = (60.0, 300.0, 900.0)
_HEALING: Final = {SCANNING, INCOMPLETE, IMPLAUSIBLE} | {
    error.kind
    for error in (
        StoreBusyError,
        DiskFullError,
        UnreachableError,
        StartingError,
        BrokenServiceError,
        TimedOutError,
        CutShortError,
    )
}
_DRIFT: Final = 30.0
_JITTER: Final = 10
_NIGHT: Final = CronTrigger(hour=3, minute=40, jitter=1200, timezone=UTC)

Job = Callable[[], Awaitable[None]]


class Schedule:
    """The jobs of the daemon.

    Args:
        worker: does the runs.
        sync: how often.
        quick: the quick look.
        housekeeping: what is done at night.
        pauses: seconds before a run that failed is tried again; after the last, the same again.
        clock: the time now, aware UTC.
    """

    def __init__(
        self,
        worker: Worker,
        sync: Sync,
        *,
        quick: Job,
        housekeeping: Job,
        pauses: Sequence[float] = _PAUSES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._worker = worker
        self._sync = sync
        self._pauses = pauses
        self._clock = clock
        self._failures = 0
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._repeat("full", self._full, sync.every)
        if sync.quick:
            self._repeat("quick", quick, sync.quick)
        self._scheduler.add_job(housekeeping, _NIGHT, id="housekeeping")

    def start(self) -> None:
        """Begin, with a full run at once where that is wanted."""
        self._scheduler.start()
        if self._sync.on_start:
            self._worker.ask(Trigger.START, _SYSTEM)

    def stop(self) -> None:
        """Ask for nothing more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    @property
    def next_run(self) -> datetime | None:
        """When the next full run is due by itself; None before the start and after the stop."""
        jobs = (self._scheduler.get_job(name) for name in ("full", "retry"))
        times = [getattr(job, "next_run_time", None) for job in jobs]
        return min((time for time in times if time), default=None)

    def ran(self, result: SyncResult) -> None:
        """Told how a run ended: what can heal by itself is tried again before the interval.

        A hinted run that failed has lost its hints, which a full one makes up for.
        """
        lost = result.outcome is Outcome.FAILED and not self._scheduler.get_job("retry")
        if result.outcome is Outcome.INTERRUPTED or (result.kind != "full" and not lost):
            return
        if result.outcome is Outcome.OK or not _passing(result):
            self._failures = 0
            if self._scheduler.get_job("retry"):
                self._scheduler.remove_job("retry")
            return
        pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1
        due = self._clock() + timedelta(seconds=pause)
        self._scheduler.add_job(self._retry, DateTrigger(due), id="retry", replace_existing=True)
        _log.debug("run.retry_planned", seconds=pause)

    async def serve(self) -> None:
        """Watch the clock, forever.

        A job waits for a moment of the wall clock: set back by hours, it would be late by hours.
        """
        loop = asyncio.get_running_loop()
        drift = time.time() - loop.time()
        while True:
            await asyncio.sleep(_DRIFT)
            now = time.time() - loop.time()
            if abs(now - drift) > _DRIFT:
                _log.warning("clock.jumped", seconds=round(now - drift))
                self.clock_jumped()
            drift = now

    def clock_jumped(self) -> None:
        """Let no job wait for longer than its interval from now."""
        now, pause = self._clock(), timedelta(seconds=self._pauses[-1])
        longest = {"full": self._sync.every, "quick": self._sync.quick, "retry": pause}
        for name, every in longest.items():
            job = self._scheduler.get_job(name)
            if job and job.next_run_time > now + every:
                job.modify(next_run_time=now + every)
        self._scheduler.wakeup()

    def _repeat(self, name: str, job: Job, every: timedelta) -> None:
        trigger = IntervalTrigger(seconds=int(every.total_seconds()), timezone=UTC, jitter=_JITTER)
        self._scheduler.add_job(job, trigger, id=name)

    async def _full(self) -> None:
        self._worker.ask(Trigger.INTERVAL, _SYSTEM)

    async def _retry(self) -> None:
        self._worker.ask(Trigger.RETRY, _SYSTEM)


def _passing(result: SyncResult) -> bool:
    """Whether something was missing that can come back by itself."""
    failure = [result.tally.failure] if result.tally.failure else []
    return any(gap.kind in _HEALING for gap in (*result.tally.gaps, *failure))
