"""The heartbeat: measures how late the event loop is, and tells systemd that it is not stuck.

It beats in the loop that does the work, so that a stuck loop, or a run that does not move any
more, is found out and restarted.
"""

from __future__ import annotations

import asyncio
from typing import Final

from daemon.report.sdnotify import Notifier
from daemon.triggers.queue import Worker

_BEAT: Final = 0.5
_STUCK: Final = 1200.0
"""Seconds without progress after which a run is given up; a listing may take 900 of them."""


class Heartbeat:
    """Beats until it is cancelled.

    Attributes:
        lag: seconds by which the latest beat was late.
    """

    def __init__(self, worker: Worker, notifier: Notifier) -> None:
        self._worker = worker
        self._notifier = notifier
        self._said = ""
        self.lag = 0.0

    async def serve(self) -> None:
        """Beat, forever."""
        loop = asyncio.get_running_loop()
        every = min(_BEAT, (self._notifier.watchdog_seconds or _BEAT) / 4)
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            self.lag = max(0.0, loop.time() - due)
            if self._worker.stuck_seconds < _STUCK:
                self._notifier.alive()
            self._tell()

    def _tell(self) -> None:
        status = self.status
        if status != self._said:
            self._notifier.status(status)
            self._said = status

    @property
    def status(self) -> str:
        """What the daemon is doing, in plain words."""
        if (running := self._worker.running) is not None:
            return f"Run {running.number}: {running.progress.phase.value}"
        if (last := self._worker.last) is None:
            return "Waiting for the first run"
        return f"Idle; run {last.run_id} {last.outcome.value}, {last.stats.scanned} titles"
