"""Values for tests: defaults that say nothing, and overrides that say what a test is about."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.apply.run import Options, SyncService
from daemon.domain import (
    Actor,
    Add,
    Decision,
    Ids,
    LibraryItem,
    MediaType,
    Plan,
    Policy,
    RequestState,
    TrackedRequest,
    Tracker,
    Trigger,
)
from daemon.identity import Catalogue
from daemon.opening import open_services
from daemon.plan import plan
from daemon.services.http import RetryPolicy
from daemon.settings import Settings
from daemon.snapshot import Reading, Report, Snapshot
from daemon.store import Store, history, open_store
from tests.pretend import PretendServices

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = Policy(public_url="http://media.test")
COMPLETE = Reading(complete=True, scanning=False, titles=1)
SCANNING = Reading(complete=True, scanning=True, titles=1)
ACTOR = Actor("cli", "somebody")
QUICK = RetryPolicy(attempts=2, base=0.001, cap=0.002, reply=10, listing=10, silence=5)


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
        **overrides,
    }
    return LibraryItem(**values)


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
        "managed": True,
        "metadata_hash": item.metadata_hash,
        "poster": bool(item.poster),
    }
    return a_request(number, **{**values, **overrides})


def a_report(
    titles: dict[int, Ids] | None, *, media_type: MediaType = MediaType.MOVIE, **overrides: Any
) -> Report:
    """The complete list of a Radarr, or of a Sonarr, by its own numbers; None if it is away."""
    values: dict[str, Any] = {"instance": "Radarr", "whole": titles is not None}
    if media_type is MediaType.TV:
        values["instance"] = "Sonarr"
    if titles is not None:
        values["titles"] = Catalogue(media_type)
        for number, ids in titles.items():
            values["titles"].add(number, ids)
    return Report(media_type=media_type, **{**values, **overrides})


def a_snapshot(*items: LibraryItem, reading: Reading = COMPLETE, **overrides: Any) -> Snapshot:
    """A complete reading of an idle server."""
    return Snapshot(items, reading, **overrides)


def planned(
    items: Sequence[LibraryItem],
    tracked: Sequence[TrackedRequest] = (),
    reports: Sequence[Report] = (),
    reading: Reading = COMPLETE,
    **tracker: Any,
) -> Plan:
    """The plan of one run."""
    locations = tuple({item.library for item in items if item.library})
    snapshot = Snapshot(items, reading, reports, locations)
    return plan(snapshot, Tracker(tracked, **tracker), POLICY)


def decide(
    items: Sequence[LibraryItem],
    tracked: Sequence[TrackedRequest] = (),
    reports: Sequence[Report] = (),
    reading: Reading = COMPLETE,
    **tracker: Any,
) -> list[Decision]:
    """All decisions of one run."""
    return [*planned(items, tracked, reports, reading, **tracker).decisions]


def added(decisions: Sequence[Decision]) -> list[str]:
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
    """The configuration of somebody who has all of these services."""
    return Settings.model_validate({**services.sections(), "database": database, **others})


@asynccontextmanager
async def a_sync(
    services: PretendServices,
    database: Path,
    **options: Any,
) -> AsyncIterator[SyncService]:
    """A service that can run, and does not wait long for what does not answer."""
    async with (
        open_store(database) as store,
        open_services(configured(services, database), QUICK) as clients,
    ):
        await store.write(history.interrupt_stale)
        yield SyncService(clients, store, Options(POLICY.public_url, **options))


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
    return await store.write(history.begin, Trigger.CLI, ACTOR, pictures=pictures)
