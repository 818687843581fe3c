"""When passes run: often while something is moving, at once on a webhook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.apply.pending import PassResult, PendingService
from daemon.domain import Actor, Ids, MediaType, Trigger
from daemon.errors import DaemonError
from daemon.logs import logger
from daemon.services.webhooks import ImportEvent
from daemon.settings import Pending

_SYSTEM: Final = Actor("system", "library-sync")
_WEBHOOK_DELAY: Final = 2.0
"""Seconds from a webhook to the pass: what it tells of is not in the lists at once."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_log = logger(__name__)


class PendingWatch:
    """Runs passes over titles on their way.

    Args:
        idle: between two passes while nothing moves.
        on_import: called with imports, so that Jellyfin is checked.
    """

    def __init__(
        self,
        service: PendingService,
        pending: Pending,
        idle: timedelta,
        on_import: Callable[[ImportEvent], None],
    ) -> None:
        self._service = service
        self._every = pending.every.total_seconds()
        self._progress = pending.progress.total_seconds()
        self._idle = max(idle.total_seconds(), self._every)
        self._on_import = on_import
        self._hinted = asyncio.Event()
        self._reported: dict[tuple[MediaType, Ids], datetime] = {}

    def hint(self) -> None:
        """Request a pass soon."""
        self._hinted.set()

    async def serve(self) -> None:
        """Run passes when due, forever."""
        while True:
            hinted = self._hinted.is_set()
            self._hinted.clear()
            last = None
            try:
                last = await self.look(Trigger.WEBHOOK if hinted else Trigger.INTERVAL, _SYSTEM)
            except DaemonError as error:
                _log.warning("pending.failed", error_kind=error.kind, error=str(error))
            await self._wait(last)

    async def look(self, trigger: Trigger, actor: Actor) -> PassResult:
        """Make a pass now, and report what was imported since the one before.

        Raises:
            StoreError: the tracker's file could not be read or written.
        """
        last = await self._service.run(trigger, actor)
        self._report(last)
        return last

    def _report(self, last: PassResult) -> None:
        """Report each import once, also if a service is temporarily down."""
        for media_type, ids, at in last.imported:
            latest, before = at or _LONG_AGO, self._reported.get((media_type, ids))
            if before is None or latest > before:
                self._reported[media_type, ids] = latest
                self._on_import(ImportEvent("pending", media_type, ids))
        if not last.result.stats.gaps:
            there = {(one.media_type, one.ids) for one in last.imported}
            self._reported = {one: at for one, at in self._reported.items() if one in there}

    async def _wait(self, last: PassResult | None) -> None:
        """Wait for the next pass, updating the progress of downloads."""
        due = time.monotonic() + (self._every if last and last.moving else self._idle)
        step = self._progress if last and last.downloading else self._idle
        while (left := due - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(step, left)):
                    await self._hinted.wait()
                    await asyncio.sleep(_WEBHOOK_DELAY)
            if self._hinted.is_set():
                return
            if step < left:
                with suppress(DaemonError):  # the next pass tells of it
                    await self._service.progress()
