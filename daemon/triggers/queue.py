"""The run queue: single-flight, with one queued run and one dry run shared by all callers.

Callers never join the running one: it may have read the library before their change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from daemon.apply.run import SyncService
from daemon.domain import Actor, Outcome, Scope, SourceFailure, Trigger
from daemon.errors import DaemonError, FileReplacedError
from daemon.logs import logger
from daemon.report.progress import Feed, Phase, Progress
from daemon.report.result import RunStats, SyncResult
from daemon.store.rows import Timestamp

_log = logger(__name__)
_MIN_INTERVAL: Final = 0.2
"""Minimum seconds between two progress events of a phase."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A queued or running run."""

    run_id: int
    state: Literal["waiting", "running"]
    trigger: str
    actor: str
    kind: str
    started_at: Timestamp | None
    phase: str
    done: int
    total: int | None
    errors: int


@dataclass(eq=False, slots=True)
class QueuedRun:
    """A queued run.

    Attributes:
        number: the run's, allocated before it starts.
        started_at: when it started; None while queued.
        result: set when it has ended; None if it was cancelled without a result.
    """

    number: int
    trigger: Trigger
    actor: Actor
    scope: Scope
    result: asyncio.Future[SyncResult | None]
    started_at: datetime | None = None
    progress: Progress = field(default_factory=lambda: Progress(Phase.ASKING))

    @property
    def status(self) -> RunStatus:
        """The run's public status."""
        progress, began = self.progress, self.started_at
        return RunStatus(
            run_id=self.number,
            state="running" if began else "waiting",
            trigger=self.trigger.value,
            actor=self.actor.name,
            kind=self.scope.kind,
            started_at=began.isoformat() if began else None,
            phase=progress.phase.value,
            done=progress.done,
            total=progress.total,
            errors=progress.errors,
        )


class Worker:
    """Executes queued runs.

    Args:
        feed: gets events after their commit.

    Attributes:
        on_start: called with each run's kind.
        on_end: called with each run's result.
    """

    def __init__(self, service: SyncService, feed: Feed, next_number: int) -> None:
        self._service = service
        self._feed = feed
        self._next_number = next_number
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[SyncResult] | None = None
        self._preview: asyncio.Future[SyncResult | None] | None = None
        self._last_progress = self._published = time.monotonic()
        self.running: QueuedRun | None = None
        self.waiting: QueuedRun | None = None
        self.last: SyncResult | None = None
        self.on_start: list[Callable[[str], None]] = []
        self.on_end: list[Callable[[SyncResult], None]] = []

    def enqueue(self, trigger: Trigger, actor: Actor, scope: Scope = Scope()) -> QueuedRun:
        """The next run, shared by all callers since the current one started."""
        if self.waiting is None:
            future = asyncio.get_running_loop().create_future()
            self.waiting = QueuedRun(self.take_number(), trigger, actor, scope, future)
            self._wanted.set()
        else:
            self.waiting.scope = self.waiting.scope.merge(scope)
        return self.waiting

    def take_number(self) -> int:
        """Allocate a run number for a pass."""
        self._next_number += 1
        return self._next_number - 1

    def preview(self) -> asyncio.Future[SyncResult | None]:
        """The result of the next dry run, shared by all callers; None if cancelled."""
        if self._preview is None:
            self._preview = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._preview

    def cancel(self, number: int) -> bool:
        """Cancel a running or queued run; False if it is neither."""
        if self.waiting is not None and self.waiting.number == number:
            _resolve(self.waiting.result, None)
            self.waiting = None
            return True
        if self.running is None or self.running.number != number or self._task is None:
            return False
        if not self._service.cancel_requested:  # a second time would disturb its orderly end
            if self._service.ending:
                return False
            self._service.cancel_requested = True
            self._task.cancel()
        return True

    @property
    def stuck_seconds(self) -> float:
        """Seconds since the current run made progress; 0 if none is running."""
        return time.monotonic() - self._last_progress if self.running else 0.0

    def on_progress(self, progress: Progress) -> None:
        """Take a run's progress, after its commit."""
        self._last_progress = time.monotonic()
        if self.running is None:
            return
        news = progress.phase is not self.running.progress.phase or progress.done == progress.total
        self.running.progress = progress
        if news or self._last_progress - self._published >= _MIN_INTERVAL:
            self._published = self._last_progress
            self._feed.publish("progress", asdict(self.running.status))

    async def serve(self) -> None:
        """Execute runs until cancelled; the current run then ends first."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if self.waiting is not None:
                    await self._execute(self.waiting)
                if self._preview is not None:
                    await self._dry_run(self._preview)
        finally:
            if self.waiting is not None:
                _resolve(self.waiting.result, None)
            if self._preview is not None:
                _resolve(self._preview, None)

    async def _execute(self, ticket: QueuedRun) -> None:
        self.running, self.waiting = ticket, None
        self._service.cancel_requested = self._service.ending = False
        self._last_progress = time.monotonic()
        ticket.started_at = datetime.now(UTC)
        self._feed.publish("started", asdict(ticket.status))
        for listener in self.on_start:
            listener(ticket.scope.kind)
        asked = (ticket.trigger, ticket.actor, ticket.scope, ticket.number)
        self._task = asyncio.create_task(self._service.run(*asked, self.on_progress))
        try:
            result = await self._task
            _resolve(ticket.result, result)
            self._publish_result(result)
        except DaemonError as error:
            _resolve(ticket.result, error)
            self._publish_result(_start_failed(ticket, error))
            if isinstance(error, FileReplacedError):
                raise  # only a new start opens the file that is there now
        except asyncio.CancelledError:
            serving = asyncio.current_task()
            if serving is None or serving.cancelling():
                raise
            # Only the run was cancelled, before it began.
            result = _empty_result(ticket, Outcome.INTERRUPTED, RunStats())
            _resolve(ticket.result, result)
            self._publish_result(result)
        finally:
            _resolve(ticket.result, None)
            self._task, self.running = None, None

    async def _dry_run(self, end: asyncio.Future[SyncResult | None]) -> None:
        self._preview = None
        try:
            _resolve(end, await self._service.preview())
        finally:
            _resolve(end, None)

    def _publish_result(self, result: SyncResult) -> None:
        self.last = result
        self._feed.publish("done", result.as_dict())
        for listener in self.on_end:
            listener(result)


def _resolve(
    asked: asyncio.Future[SyncResult | None], end: SyncResult | DaemonError | None
) -> None:
    """Resolve a future, unless its waiter was cancelled."""
    if asked.done():
        return
    if isinstance(end, DaemonError):
        asked.set_exception(end)
        asked.exception()  # mark as retrieved: there may be no waiter
    else:
        asked.set_result(end)


def _start_failed(ticket: QueuedRun, error: DaemonError) -> SyncResult:
    """The result of a run whose own row could not be written."""
    _log.error("run.start_failed", run=ticket.number, error_kind=error.kind, error=str(error))
    failure = SourceFailure("Tracker", error.kind, str(error))
    return _empty_result(ticket, Outcome.FAILED, RunStats(failure=failure))


def _empty_result(ticket: QueuedRun, outcome: Outcome, stats: RunStats) -> SyncResult:
    return SyncResult(outcome, stats, ticket.number, 0, {}, ticket.scope.kind)
