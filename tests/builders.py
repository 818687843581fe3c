"""Values for tests: defaults that say nothing, and overrides that say what a test is about."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.clients.http import Patience
from daemon.demo import PretendServices
from daemon.domain import (
    Actor,
    Add,
    Decision,
    Ids,
    LibraryItem,
    MediaType,
    Policy,
    Reading,
    RequestState,
    Sources,
    TrackedRequest,
    Trigger,
    fingerprint,
)
from daemon.progress import Progress
from daemon.reconcile import Planner
from daemon.settings import Settings
from daemon.store import Store, open_store
from daemon.sync import Options, SyncService
from daemon.wiring import open_services

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = Policy(public_url="http://media.test")
COMPLETE = Reading(complete=True, scanning=False)
SCANNING = Reading(complete=True, scanning=True)
ACTOR = Actor("cli", "somebody")
QUICK = Patience(attempts=2, base=0.001, cap=0.002, reply=10, listing=10, silence=5)


def jellyfin_id(name: object) -> str:
    """An id of Jellyfin's shape."""
    return hashlib.md5(str(name).encode(), usedforsecurity=False).hexdigest()


def an_item(name: object = "item", **overrides: Any) -> LibraryItem:
    """An available film that TMDB knows."""
    values: dict[str, Any] = {
        "jellyfin_id": jellyfin_id(name),
        "media_type": MediaType.MOVIE,
        "title": f"Title of {name}",
        "year": 1999,
        "ids": Ids(tmdb=603),
        "overview": "What it is about.",
        "created_at": NOW,
    }
    return LibraryItem(**{**values, **overrides})


def a_request(number: int = 1, **overrides: Any) -> TrackedRequest:
    """An available film that somebody requested, with nothing missing."""
    values: dict[str, Any] = {
        "id": number,
        "media_type": MediaType.MOVIE,
        "state": RequestState.AVAILABLE,
        "ids": Ids(tmdb=603),
        "jellyfin_id": jellyfin_id("item"),
    }
    return TrackedRequest(**{**values, **overrides})


def our_request(item: LibraryItem, number: int = 1, **overrides: Any) -> TrackedRequest:
    """The row that this program would have made of an item."""
    values: dict[str, Any] = {
        "media_type": item.media_type,
        "ids": item.ids,
        "jellyfin_id": item.jellyfin_id,
        "ours": True,
        "face": fingerprint(item.title, item.year, item.overview),
        "poster": bool(item.poster),
    }
    return a_request(number, **{**values, **overrides})


def decide(
    items: list[LibraryItem],
    tracked: list[TrackedRequest] | None = None,
    sources: Sources | None = None,
    reading: Reading = COMPLETE,
) -> list[Decision]:
    """All decisions of one run."""
    planner = Planner(tracked or [], sources or Sources(), POLICY)
    return [*planner.decide(items), *planner.finish(reading)]


def added(decisions: list[Decision]) -> list[str]:
    """The titles that get a row."""
    return [one.item.title for one in decisions if isinstance(one, Add)]


def rows(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What another program reads of a file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def change(path: Path, statement: str, *values: object) -> None:
    """What another program writes to a file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def configured(services: PretendServices, database: Path, **others: Any) -> Settings:
    """The configuration of somebody who has all three services."""
    names = ("jellyfin", "radarr", "sonarr")
    parts = {
        name: {
            "url": getattr(services, f"{name}_url"),
            "api_key": getattr(services, f"{name}_key"),
        }
        for name in names
    }
    return Settings.model_validate({**parts, "database": database, **others})


@asynccontextmanager
async def a_sync(
    services: PretendServices,
    database: Path,
    publish: Callable[[Progress], None] = lambda _: None,
    **options: Any,
) -> AsyncIterator[SyncService]:
    """A service that can run, and does not wait long for what does not answer."""
    async with (
        open_store(database) as store,
        open_services(configured(services, database), QUICK) as clients,
    ):
        await store.interrupt_stale()
        yield SyncService(clients, store, Options(POLICY.public_url, **options), publish)


async def synced(services: PretendServices, database: Path, **options: Any) -> dict[str, Any]:
    """The result of one run of a process of its own."""
    async with a_sync(services, database, **options) as service:
        return (await service.run(Trigger.CLI, ACTOR)).as_dict()


def files(directory: Path) -> dict[str, bytes]:
    """Every file of a directory; of SQLite's shared memory, which is no data, only the name."""
    return {
        one.name: b"" if one.name.endswith("-shm") else one.read_bytes()
        for one in directory.iterdir()
    }


async def begun(store: Store, *, pictures: bool = False) -> int:
    """The number of a run that has just begun."""
    return await store.begin_run(Trigger.CLI, ACTOR, pictures=pictures)
