"""What Jellyfin has saved recently, and whether that takes a full run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain import MAX_HINTS, Outcome, Scope
from daemon.services.jellyfin import JellyfinClient, Saved
from daemon.store import Store, history

OVERLAP: Final = timedelta(seconds=30)
MAX_SAVED: Final = 20_000
"""Rows of 320 bytes that are read at once; a scan can save every title anew."""


def is_much(saved: Saved) -> bool:
    """Whether reading the whole library is cheaper than asking for each title."""
    return saved.total > MAX_SAVED or len(saved.ids) > MAX_HINTS


async def saved_since_full_run(jellyfin: JellyfinClient, store: Store) -> Scope | None:
    """The scope of a run for what was saved since the latest full run; None if nothing was.

    Losses are not detected: that takes the counts of an earlier reading.

    Raises:
        ServiceError: Jellyfin cannot be asked.
    """
    run = await store.read(history.latest_full, Outcome.OK, Outcome.PARTIAL, Outcome.HELD)
    if run is None or run.started_at is None:
        return Scope()
    await jellyfin.server()
    now = datetime.now(UTC)
    behind = (jellyfin.http.date or now) - now
    since = datetime.fromisoformat(run.started_at) + behind - OVERLAP
    saved = await jellyfin.saved_since(since, MAX_SAVED)
    if is_much(saved):
        return Scope()
    return Scope(saved.ids) if saved.ids else None
