"""The heartbeat: measures how late the event loop is, and tells systemd how the daemon is doing.

It beats in the loop that does the work, so that a stuck loop, or a run that does not move any
more, is found out and restarted.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

from daemon.triggers.queue import Worker

_INTERVAL: Final = 0.5
_STUCK: Final = 1200.0
"""Seconds without progress after which a run is given up; a listing may take 900 of them."""


class Notifier:
    """Sends sd_notify messages; does nothing if systemd did not ask for them.

    Args:
        environ: where NOTIFY_SOCKET and WATCHDOG_USEC are looked up.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = environ.get("WATCHDOG_USEC", "")

    @property
    def watchdog_seconds(self) -> float | None:
        """The interval of systemd's watchdog; None if disabled."""
        return int(self._watchdog) / 1e6 if self._watchdog.isdecimal() else None

    def ready(self, status: str) -> None:
        """Notify that the daemon is ready."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Set systemd's status text."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Ping systemd's watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Notify that the daemon is stopping."""
        self._send("STOPPING=1\nSTATUS=Stopping")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0)
            try:
                channel.sendto(message.encode(), self._address)
            except OSError:
                return  # a full or vanished socket can be ignored, and the next message comes


class Heartbeat:
    """Measures the event loop's lag and pings systemd.

    Attributes:
        lag: seconds by which the latest heartbeat was late.
    """

    def __init__(self, worker: Worker, notifier: Notifier) -> None:
        self._worker = worker
        self._notifier = notifier
        self._last_status = ""
        self.lag = 0.0

    async def serve(self) -> None:
        """Run forever."""
        loop = asyncio.get_running_loop()
        every = min(_INTERVAL, (self._notifier.watchdog_seconds or _INTERVAL) / 4)
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            self.lag = max(0.0, loop.time() - due)
            if self._worker.stuck_seconds < _STUCK:
                self._notifier.alive()
            self._report()

    def _report(self) -> None:
        status = self.status
        if status != self._last_status:
            self._notifier.status(status)
            self._last_status = status

    @property
    def status(self) -> str:
        """What the daemon is doing, in plain words."""
        if (running := self._worker.running) is not None:
            return f"Run {running.number}: {running.progress.phase.value}"
        if (last := self._worker.last) is None:
            return "Waiting for the first run"
        return f"Idle; run {last.run_id} {last.outcome.value}, {last.stats.scanned} titles"
