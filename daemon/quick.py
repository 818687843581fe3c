"""The quick look: two small calls that tell whether anything in the library has changed."""

from __future__ import annotations

from datetime import timedelta

from daemon.clients.jellyfin import Counts, JellyfinClient, Saved
from daemon.domain import MOST_HINTS, Actor, Gap, Scope, Trigger
from daemon.errors import ServiceError
from daemon.logs import logger
from daemon.report import count
from daemon.sync import Baseline, SyncService
from daemon.worker import Worker

_log = logger(__name__)
_SYSTEM = Actor("system", "quick look")
_OVERLAP = timedelta(seconds=30)


class Quick:
    """Asks for a run where one is worth it.

    Args:
        jellyfin: whom to ask.
        service: knows what the library was like when it was last read as a whole.
        worker: does the runs.
    """

    def __init__(self, jellyfin: JellyfinClient, service: SyncService, worker: Worker) -> None:
        self._jellyfin = jellyfin
        self._service = service
        self._worker = worker

    async def look(self) -> str:
        """Look once, and say what it came to.

        Pointless while a run goes, or before the library was read as a whole.

        Raises:
            ServiceError: Jellyfin cannot be asked.
        """
        baseline = self._service.baseline
        if self._worker.running or self._worker.waiting:
            return "a run goes or waits, and sees what is new"
        if baseline is None:
            return "nothing to compare with until a full sync has read the whole library"
        try:
            words = await (
                self._once_idle() if self._service.rescan_wanted else self._changes(baseline)
            )
        except ServiceError as error:
            self._service.health.bad(Gap(error.service, error.kind, str(error)))
            _log.debug("quick.failed", error_kind=error.kind, error=str(error))
            raise
        self._service.health.good(self._jellyfin.http.service)
        return words

    async def _changes(self, baseline: Baseline) -> str:
        saved = await self._jellyfin.saved_since(baseline.date - _OVERLAP, MOST_HINTS)
        date = self._jellyfin.http.date or baseline.date
        counts = await self._jellyfin.counts()
        if saved.total > MOST_HINTS or not _explained(baseline.counts, counts, saved):
            self._service.rescan_wanted = True
            return await self._once_idle()
        self._service.baseline = Baseline(date, counts)
        _log.debug("quick.looked", saved=saved.total)
        if not saved.ids:
            return "nothing has changed"
        ticket = self._worker.ask(Trigger.QUICK, _SYSTEM, Scope(saved.ids))
        return f"run {ticket.number} looks at {count(saved.total, 'saved item')}"

    async def _once_idle(self) -> str:
        """A full run; while the server is at work on its library the next look sees to it."""
        if (await self._jellyfin.activity()).scanning:
            return "a full sync is needed, and begins once Jellyfin has done with its library"
        ticket = self._worker.ask(Trigger.QUICK, _SYSTEM)
        return f"a full sync is needed: run {ticket.number}"


def _explained(before: Counts, now: Counts, saved: Saved) -> bool:
    """Whether what was saved accounts for what was gained; a loss is never accounted for."""
    return all(
        old <= new <= old + arrived
        for old, new, arrived in zip(before, now, saved.counts, strict=True)
    )
