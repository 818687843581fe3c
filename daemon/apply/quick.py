"""What Jellyfin has saved lately, and whether to read all of the library for it."""

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
    """Whether to read the whole library costs less than to ask for each title."""
    return saved.total > MAX_SAVED or len(saved.ids) > MAX_HINTS


async def saved_since_full_run(jellyfin: JellyfinClient, store: Store) -> Scope | None:
    """What a run has to look at that follows the latest full one; None where that is nothing.

    Losses are not seen: only a process that saw what was there before could tell.

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
