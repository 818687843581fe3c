"""The schedule: jobs that only enqueue work, and a guard against clock changes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from daemon import errors
from daemon.domain import IMPLAUSIBLE, INCOMPLETE, SCANNING, Actor, Outcome, Trigger
from daemon.logs import logger
from daemon.report.result import SyncResult
from daemon.services import qbittorrent, seerr, shoko
from daemon.settings import Sync
from daemon.triggers.queue import Worker

_log = logger(__name__)
_SYSTEM: Final = Actor("system", "schedule")
_RETRY_DELAYS: Final = (60.0, 300.0, 900.0)
_RETRYABLE: Final = {SCANNING, INCOMPLETE, IMPLAUSIBLE} | {
    error.kind
    for error in (
        errors.StoreBusyError,
        errors.DiskFullError,
        errors.UnreachableError,
        errors.StartingError,
        errors.BrokenServiceError,
        errors.TimedOutError,
        errors.CutShortError,
    )
}
_STARTING: Final = {
    errors.UnreachableError.kind,
    errors.StartingError.kind,
    errors.BrokenServiceError.kind,
}
"""What a service that is being started answers, or does not."""
_MISROUTED: Final = {errors.WrongServiceError.kind, errors.NotJsonError.kind}
"""What a proxy answers for a service that it does not know yet; at other times, a wrong address."""

_ASKED_BY_PASSES: Final = frozenset({seerr.SERVICE, qbittorrent.SERVICE, shoko.SERVICE})
_STARTS_WITHIN: Final = timedelta(minutes=15)
_DRIFT: Final = 30.0
_JITTER: Final = 10
_NIGHT: Final = CronTrigger(hour=3, minute=40, jitter=1200, timezone=UTC)

_MAX_HISTORY: Final = 10
PAUSABLE: Final = ("full", "quick")
"""The jobs that can be paused."""

Work = Callable[[], Awaitable[str]]
"""What a job does; returns its result in words."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One execution of a job."""

    at: datetime
    seconds: float
    words: str
    good: bool


@dataclass(slots=True)
class Job:
    """A scheduled job.

    Attributes:
        paused: until it is resumed or the daemon restarts.
        done: the latest executions, newest last; full runs are in the history instead.
    """

    work: Work
    paused: bool = False
    done: deque[JobRun] = field(default_factory=lambda: deque(maxlen=_MAX_HISTORY))


class Schedule:
    """The jobs of the daemon.

    Args:
        delays: seconds before retries of a failed run; the last one repeats.

    Attributes:
        jobs: by name: full, quick, housekeeping.
    """

    def __init__(
        self,
        worker: Worker,
        sync: Sync,
        *,
        quick: Work,
        housekeeping: Work,
        delays: Sequence[float] = _RETRY_DELAYS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._worker = worker
        self._sync = sync
        self._delays = delays
        self._clock = clock
        self._failures = 0
        self._failing_since: datetime | None = None
        self._started = clock()
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        works = {"full": self._full, "quick": quick, "housekeeping": housekeeping}
        self.jobs = {name: Job(work) for name, work in works.items()}
        self._add("full", _every(sync.every))
        if sync.quick:
            self._add("quick", _every(sync.quick))
        self._add("housekeeping", _NIGHT)

    def start(self) -> None:
        """Start, with a full run if configured."""
        self._started = self._clock()
        self._scheduler.start()
        if self._sync.on_start:
            self._worker.enqueue(Trigger.START, _SYSTEM)

    def stop(self) -> None:
        """Stop scheduling."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    @property
    def next_run(self) -> datetime | None:
        """When the next full run is scheduled; None if not running."""
        times = [self.next_of(name) for name in ("full", "retry")]
        return min((time for time in times if time), default=None)

    def next_of(self, name: str) -> datetime | None:
        """When a job is next due; None if it is not scheduled."""
        return getattr(self._scheduler.get_job(name), "next_run_time", None)

    async def run_job(self, name: str) -> JobRun:
        """Run a job now and record the result."""
        job, at, began = self.jobs[name], self._clock(), time.monotonic()
        try:
            words, good = await job.work(), True
        except errors.DaemonError as error:
            words, good = str(error), False
            if not isinstance(error, errors.ServiceError):  # of which health tells, once
                _log.warning("job.failed", job=name, error_kind=error.kind, error=words)
        if name == "quick" and good:
            self._on_jellyfin_up()
        done = JobRun(at, time.monotonic() - began, words, good)
        job.done.append(done)
        return done

    def pause(self, name: str) -> None:
        """Pause a job; pausing the full run also cancels its retry."""
        self.jobs[name].paused = True
        if self._scheduler.get_job(name):
            self._scheduler.pause_job(name)
        if name == "full":
            self._cancel_retry()

    def resume(self, name: str) -> None:
        """Resume a paused job."""
        self.jobs[name].paused = False
        if self._scheduler.get_job(name):
            self._scheduler.resume_job(name)

    def on_run_end(self, result: SyncResult) -> None:
        """Schedule a retry after a transient failure.

        A failed hinted run has lost its hints, so a full run follows.
        """
        lost = result.outcome is Outcome.FAILED and not self._scheduler.get_job("retry")
        if result.kind != "full" and result.outcome in {Outcome.OK, Outcome.PARTIAL}:
            self._on_jellyfin_up()
        if result.outcome is Outcome.INTERRUPTED or (result.kind != "full" and not lost):
            return
        young = self._clock() - self._started < _STARTS_WITHIN
        passing = _MISROUTED if young else set()
        if result.outcome is Outcome.OK or not _failure_kinds(result) & (_RETRYABLE | passing):
            self._failures, self._failing_since = 0, None
            self._cancel_retry()
        elif not self.jobs["full"].paused:
            failure = result.stats.failure
            self._retry_later(starting=failure is not None and failure.kind in _STARTING | passing)

    def _retry_later(self, *, starting: bool) -> None:
        """Retry soon while a service may be starting, then with backoff.

        An earlier retry that is already scheduled is never postponed.
        """
        now, planned = self._clock(), self.next_of("retry")
        self._failing_since = (self._failing_since or now) if starting else None
        if self._failing_since is not None and now - self._failing_since < _STARTS_WITHIN:
            self._failures = 0
        due = now + timedelta(seconds=self._delays[min(self._failures, len(self._delays) - 1)])
        if planned is not None and planned <= due:
            return
        self._failures += 1
        self._scheduler.add_job(self._retry, DateTrigger(due), id="retry", replace_existing=True)
        _log.debug("run.retry_scheduled", seconds=round((due - now).total_seconds()))

    def _on_jellyfin_up(self) -> None:
        """Bring a pending retry forward, since Jellyfin answers again."""
        if self._failing_since is not None and self.next_of("retry") is not None:
            self._failing_since = None
            self._scheduler.modify_job("retry", next_run_time=self._clock())

    async def serve(self) -> None:
        """Watch for clock changes, forever.

        Jobs wait for a wall-clock time: a clock set back by hours would delay them by hours.
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
        """Reschedule jobs that would wait longer than their interval."""
        now, pause = self._clock(), timedelta(seconds=self._delays[-1])
        longest = {"full": self._sync.every, "quick": self._sync.quick, "retry": pause}
        for name, every in longest.items():
            due = self.next_of(name)
            if due and due > now + every:
                self._scheduler.modify_job(name, next_run_time=now + every)
        self._scheduler.wakeup()

    def _add(self, name: str, trigger: BaseTrigger) -> None:
        self._scheduler.add_job(self.run_job, trigger, [name], id=name)

    def _cancel_retry(self) -> None:
        if self._scheduler.get_job("retry"):
            self._scheduler.remove_job("retry")

    async def _full(self) -> str:
        return f"run {self._worker.enqueue(Trigger.INTERVAL, _SYSTEM).number}"

    async def _retry(self) -> None:
        self._worker.enqueue(Trigger.RETRY, _SYSTEM)


def _every(every: timedelta) -> IntervalTrigger:
    return IntervalTrigger(seconds=int(every.total_seconds()), timezone=UTC, jitter=_JITTER)


def _failure_kinds(result: SyncResult) -> set[str]:
    """The kinds of a run's failures, except those of passes, which repeat soon anyway."""
    failure = [result.stats.failure] if result.stats.failure else []
    gaps = (gap for gap in result.stats.gaps if gap.service not in _ASKED_BY_PASSES)
    return {gap.kind for gap in (*gaps, *failure)}
