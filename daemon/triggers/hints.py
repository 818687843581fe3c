"""Debounces hints into runs, and retries titles that are not complete yet.

Hints live in memory only: a lost one costs latency, and every start begins with a full run.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Final

from daemon.apply.run import SyncService
from daemon.domain import Actor, LibraryItem, Scope, Trigger
from daemon.errors import StoreError
from daemon.identity import same
from daemon.logs import logger
from daemon.report.result import SyncResult
from daemon.services.webhooks import ImportEvent, LibraryEvent
from daemon.settings import Webhook
from daemon.store import Store, syncing
from daemon.triggers.queue import Worker

_log = logger(__name__)
_ACTOR: Final = Actor("system", "webhook")
_DAY: Final = 86_400.0
_MAX_PER_RUN: Final = 500
"""Titles of one look; the others are looked at in the next ones."""
_MAX_HINTS: Final = 100_000
"""Ids that are kept until they are looked at; what is more waits for a full run."""
_MAX_IMPORTS: Final = 2_000


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """When to check again for what cannot be played yet, in seconds.

    Attributes:
        again: delays between checks of a hinted title; the last one repeats.
        after_import: when Jellyfin is checked after an import.
    """

    again: tuple[float, ...] = (10.0, 30.0, 90.0, 270.0, 600.0)
    after_import: tuple[float, ...] = (
        *(5.0, 30.0, 60.0, 90.0, 120.0, 165.0, 210.0, 255.0, 300.0),
        *(420.0, 600.0),
    )


def due(first: float, last: float, quiet: float, at_most: float) -> float:
    """When debounced hints are due: `quiet` after the last, `at_most` after the first."""
    return min(last + quiet, first + at_most)


@dataclass(frozen=True, slots=True)
class WebhookStats:
    """Statistics of webhooks."""

    state: str
    last_at: str | None
    last_kind: str | None
    last_24h: dict[str, int]
    foreign: int
    lag_median_s: float | None
    lag_p99_s: float | None


@dataclass(slots=True)
class WebhookCounter:
    """Counts webhooks. Times are monotonic seconds, except `last_at`.

    Attributes:
        kinds: counts by kind for each hour of the last day.
        totals: counts by kind since startup.
        lags: seconds from a hint to its run's end, without the debounce delay.
    """

    last_at: datetime | None = None
    last_kind: str = ""
    foreign: int = 0
    kinds: deque[tuple[int, Counter[str]]] = field(default_factory=deque)
    totals: Counter[str] = field(default_factory=Counter)
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def count(self, kind: str) -> None:
        """Count one webhook."""
        self.last_at, self.last_kind = datetime.now(UTC), kind
        hour = int(time.monotonic() // 3600)
        if not self.kinds or self.kinds[-1][0] != hour:
            self.kinds.append((hour, Counter()))
        while self.kinds[0][0] <= hour - 24:
            self.kinds.popleft()
        self.kinds[-1][1][kind] += 1
        self.totals[kind] += 1

    @property
    def figures(self) -> WebhookStats:
        """The statistics as a value."""
        lags = sorted(self.lags)
        worst = lags[math.ceil(len(lags) * 0.99) - 1] if lags else None
        return WebhookStats(
            state="receiving" if self.last_at else "never received",
            last_at=self.last_at.isoformat() if self.last_at else None,
            last_kind=self.last_kind or None,
            last_24h=dict(sum((counter for _, counter in self.kinds), Counter())),
            foreign=self.foreign,
            lag_median_s=round(median(lags), 3) if lags else None,
            lag_p99_s=None if worst is None else round(worst, 3),
        )


class HintDebouncer:
    """Takes hints at any rate, with bounded memory."""

    def __init__(
        self,
        worker: Worker,
        service: SyncService,
        store: Store,
        quick: Callable[[], Awaitable[object]],
        webhook: Webhook,
        delays: RetryDelays | None = None,
    ) -> None:
        self._worker = worker
        self._service = service
        self._store = store
        self._quick = quick
        self._quiet = webhook.quiet.total_seconds()
        self._at_most = webhook.at_most.total_seconds()
        self._hints: set[str] = set()
        self._first = self._last = 0.0
        self._again: dict[str, tuple[float, int]] = {}
        self._imports: dict[ImportEvent, tuple[float, int]] = {}
        self._busy = False
        self._wakeup = asyncio.Event()
        self.statistics = WebhookCounter()
        self._delays = delays or RetryDelays()

    def add(self, note: LibraryEvent) -> bool:
        """Add a hint; False if it is from another Jellyfin server."""
        self.statistics.count(note.kind)
        ours = self._service.server_id
        if ours and note.server and note.server != ours:
            if not self.statistics.foreign:
                _log.warning("webhook.wrong_server", server=note.server, expected=ours)
            self.statistics.foreign += 1
            return False
        self._add(note.ids)
        return True

    def on_import(self, event: ImportEvent) -> None:
        """A title was imported: check for it until Jellyfin has it."""
        if len(self._imports) < _MAX_IMPORTS:
            self._imports[event] = (time.monotonic() + self._delays.after_import[0], 0)
            self._wakeup.set()

    async def serve(self) -> None:
        """Enqueue runs as hints become due, forever."""
        while True:
            wait = self._next() - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait) if wait < _DAY else None):
                    await self._wakeup.wait()
            self._wakeup.clear()
            self._enqueue_due(time.monotonic())
            await self._look_for_imports(time.monotonic())

    def _add(self, ids: Iterable[str]) -> None:
        now = time.monotonic()
        if not self._hints:
            self._first = now
        self._last = now
        if len(self._hints) < _MAX_HINTS:
            self._hints.update(ids)
        for found in ids:
            self._again.pop(found, None)
        self._wakeup.set()

    def _next(self) -> float:
        """When something is next due; infinity if nothing is."""
        if self._busy:
            return min((when for when, _ in self._imports.values()), default=float("inf"))
        gathered = due(self._first, self._last, self._quiet, self._at_most)
        moments = [when for when, _ in (*self._again.values(), *self._imports.values())]
        return min([*moments, *([gathered] if self._hints else [])], default=float("inf"))

    def _enqueue_due(self, now: float) -> None:
        """Enqueue a run for what is due, at most a few hundred titles, one run at a time."""
        if self._busy:
            return
        if self._hints and now >= due(self._first, self._last, self._quiet, self._at_most):
            taken = frozenset(islice(self._hints, _MAX_PER_RUN))
            self._hints -= taken
            self._enqueue(taken, now)
            return
        due_now = {found: n for found, (when, n) in self._again.items() if now >= when}
        if due_now:
            taken_again = dict(islice(due_now.items(), _MAX_PER_RUN))
            for found in taken_again:
                del self._again[found]
            self._enqueue(frozenset(taken_again), now, taken_again)

    def _enqueue(
        self, ids: frozenset[str], now: float, looks: Mapping[str, int] | None = None
    ) -> None:
        self._busy = True
        ticket = self._worker.enqueue(Trigger.WEBHOOK, _ACTOR, Scope(ids))
        ticket.result.add_done_callback(lambda done: self._on_result(done, now, ids, looks or {}))

    def _on_result(
        self,
        done: asyncio.Future[SyncResult | None],
        asked: float,
        ids: frozenset[str],
        looks: Mapping[str, int],
    ) -> None:
        """Schedule retries, with backoff, for titles that cannot be played yet."""
        self._busy = False
        self._wakeup.set()
        if done.cancelled() or done.exception() or (result := done.result()) is None:
            return
        now = time.monotonic()
        if not looks:
            self.statistics.lags.append(now - asked)
        early_ids = result.stats.early if result.kind == "hinted" else result.stats.early & ids
        for early in early_ids:
            look = min(looks.get(early, -1) + 1, len(self._delays.again) - 1)
            if len(self._again) < _MAX_HINTS:
                self._again.setdefault(early, (now + self._delays.again[look], look))

    async def _look_for_imports(self, now: float) -> None:
        due_now = {event: step for event, (when, step) in self._imports.items() if now >= when}
        try:
            missing = [event for event in due_now if not await self._has_arrived(event)]
        except StoreError as error:
            _log.warning("webhook.lookup_failed", error_kind=error.kind, error=str(error))
            missing = list(due_now)  # the run that they ask for tells
        moments = self._delays.after_import
        for event, step in due_now.items():
            del self._imports[event]
            if event in missing and step + 1 < len(moments):
                pause = moments[step + 1] - moments[step]
                self._imports[event] = (now + pause, step + 1)
        if missing:
            await self._quick()

    async def _has_arrived(self, event: ImportEvent) -> bool:
        """Whether all requests of the title are available; one season does not stand for another.

        A further instance's import has arrived once its id is stored.
        """
        item = LibraryItem("", event.media_type, "", ids=event.ids)
        tracked = await self._store.read(syncing.tracked, [item])
        kept = tracked.instance_ids.get(event.instance, {})
        mine = [
            row
            for row in tracked.rows
            if row.media_type is event.media_type
            and same(row.media_type, row.ids, event.ids) is True
        ]
        return bool(mine) and all(
            row.is_available and row.jellyfin_id and (not event.instance or row.id in kept)
            for row in mine
        )
