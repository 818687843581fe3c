"""The admin HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from daemon.clients.jellyfin import JellyfinClient
from daemon.health import Health
from daemon.progress import Feed
from daemon.settings import Settings
from daemon.store import Store
from daemon.sync import SyncService
from daemon.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What the HTTP face shows and steers."""

    settings: Settings
    store: Store
    worker: Worker
    service: SyncService
    feed: Feed
    health: Health
    jellyfin: JellyfinClient
    loop_lag: Callable[[], float]
    next_run: Callable[[], datetime | None]
    clock: Callable[[], datetime]


@asynccontextmanager
async def served(parts: Parts) -> AsyncIterator[str]:
    """Serve."""
    yield f"http://{parts.settings.http.host}:{parts.settings.http.port}"
