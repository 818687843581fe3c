"""The quick check: two small calls that detect changes of the library.

It works as long as Jellyfin answers, also while a scan goes on and on: what was saved is looked at
by its ids. Only what needs the whole list waits until the server is idle.
"""

from __future__ import annotations

from typing import Final

from daemon.apply.quick import MAX_SAVED, OVERLAP, is_much
from daemon.apply.run import Baseline, SyncService
from daemon.domain import Actor, Scope, SourceFailure, Trigger
from daemon.errors import ServiceError
from daemon.logs import logger
from daemon.observe.sources import error_boundary
from daemon.report.words import count
from daemon.services.jellyfin import Counts, JellyfinClient, Saved
from daemon.triggers.queue import Worker

_log = logger(__name__)
_SYSTEM: Final = Actor("system", "quick check")


class QuickCheck:
    """Enqueues a run if something has changed."""

    def __init__(self, jellyfin: JellyfinClient, service: SyncService, worker: Worker) -> None:
        self._jellyfin = jellyfin
        self._service = service
        self._worker = worker

    async def check(self) -> str:
        """Check once; returns the result in words.

        Does nothing while a run is queued or running, or before the library was read.

        Raises:
            ServiceError: Jellyfin cannot be asked.
        """
        baseline = self._service.baseline
        if self._worker.running or self._worker.waiting:
            return "a run is queued or running, and will see what is new"
        try:
            with error_boundary(self._jellyfin):
                if baseline is None:
                    await self._jellyfin.server()
                    return "nothing to compare with until a full sync has read the library"
                words = await self._changes(baseline)
        except ServiceError as error:
            self._service.health.bad(SourceFailure(error.service, error.kind, str(error)))
            _log.debug("quick_check.failed", error_kind=error.kind, error=str(error))
            raise
        self._service.health.good(self._jellyfin.http.service)
        return words

    async def _changes(self, baseline: Baseline) -> str:
        saved = await self._jellyfin.saved_since(baseline.date - OVERLAP, MAX_SAVED)
        date = self._jellyfin.http.date or baseline.date
        counts = await self._jellyfin.counts()
        if baseline.counts is None or not _accounted_for(baseline.counts, counts, saved):
            self._service.rescan_wanted = True
        if self._service.rescan_wanted and not (await self._jellyfin.activity()).scanning:
            ticket = self._worker.enqueue(Trigger.QUICK, _SYSTEM)
            return f"a full sync is needed: run {ticket.number}"
        self._service.baseline = Baseline(date, counts)
        _log.debug("quick_check.done", saved=saved.total)
        later = " and a full sync follows once Jellyfin is idle" * self._service.rescan_wanted
        if is_much(saved):
            ticket = self._worker.enqueue(Trigger.QUICK, _SYSTEM)
            return f"{saved.total:,} items were saved: run {ticket.number} reads the library"
        if not saved.ids:
            return f"nothing has changed{later}"
        ticket = self._worker.enqueue(Trigger.QUICK, _SYSTEM, Scope(saved.ids))
        return f"run {ticket.number} looks at {count(saved.total, 'saved item')}{later}"


def _accounted_for(before: Counts, now: Counts, saved: Saved) -> bool:
    """Whether the saved items explain the new counts; a loss is never explained."""
    return all(
        old <= new <= old + arrived
        for old, new, arrived in zip(before, now, saved.counts, strict=True)
    )
