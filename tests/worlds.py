"""A small world for tests: pretend services, a tracker's file, and a clock that a test moves."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.apply.run import SyncService
from daemon.domain import Actor, Scope, Trigger
from daemon.observe.sources import Services
from daemon.opening import open_services, options
from daemon.reasons import Count
from daemon.report.result import SyncResult
from daemon.services.http import RetryPolicy
from daemon.settings import Settings
from daemon.store import Store, open_store
from daemon.store.clock import Moment
from tests.builders import configured
from tests.pretend import PretendServices, World
from tests.pretend.library import Movie

ADMIN = Actor("admin", "alice")


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so; the wall clock can be set without time passing."""

    now: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)
    steady: float = 1000.0
    boot: str = "first boot"

    def pass_by(self, time: timedelta) -> None:
        """Let time pass."""
        self.now += time
        self.steady += time.total_seconds()

    def wall(self) -> datetime:
        """The time of the clock on the wall."""
        return self.now

    def moment(self) -> Moment:
        """This moment."""
        return Moment(self.boot, self.steady, self.now.timestamp())


@dataclass(slots=True)
class Place:
    """Everything that a scenario needs."""

    services: PretendServices
    client: Services
    store: Store
    service: SyncService
    clock: Clock
    path: Path
    results: list[SyncResult] = field(default_factory=list)

    @property
    def world(self) -> World:
        """What the pretend services answer from."""
        return self.services.world

    async def sync(self, scope: Scope | None = None) -> SyncResult:
        """One run."""
        result = await self.service.run(Trigger.CLI, ADMIN, scope)
        self.results.append(result)
        return result

    def rows(self, columns: str = "title", table: str = "requests", where: str = "1") -> list[Any]:
        """Rows of the tracker's file, single values unpacked."""
        with closing(sqlite3.connect(self.path)) as connection:
            found = connection.execute(f"SELECT {columns} FROM {table} WHERE {where}").fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def execute(self, statement: str, *values: Any) -> None:
        """Be the tracker and write something."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)


@asynccontextmanager
async def a_place(folder: Path, world: World | None = None, **removal: Any) -> AsyncIterator[Place]:
    """A world, and a tracker's file in a folder."""
    async with PretendServices(world) as services:
        settings = configured(services, folder / "tracker.db", removal=removal)
        async with another_process(services, settings) as place:
            yield place


def films(count: int) -> list[Movie]:
    """Films that are told apart by their numbers."""
    return [Movie.named(f"Film {n}", 1950 + n % 50, {"Tmdb": str(1000 + n)}) for n in range(count)]


@asynccontextmanager
async def with_films(folder: Path, count: int) -> AsyncIterator[Place]:
    """Films that are tracked, all known to Radarr."""
    world = World()
    for film in films(count):
        world.movies[film.jellyfin_id] = film
        world.radarr_knows(film)
    async with a_place(folder, world) as place:
        assert (await place.sync()).stats[Count.ADDED] == count
        yield place


@asynccontextmanager
async def another_process(
    services: PretendServices, settings: Settings, clock: Clock | None = None
) -> AsyncIterator[Place]:
    """The store and the service as a fresh process has them."""
    clock = clock or Clock()
    patience = RetryPolicy(attempts=1, reply=5, listing=5, silence=2)
    async with (
        open_store(settings.database, clock=clock.wall, moment=clock.moment) as store,
        open_services(settings, patience) as clients,
    ):
        service = SyncService(clients, store, options(settings))
        yield Place(services, clients, store, service, clock, settings.database)
