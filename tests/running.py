"""A worker at work on the pretend services, for the tests of what starts and steers runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.apply.run import SyncService
from daemon.domain import Scope, Trigger
from daemon.report.progress import Feed
from daemon.report.result import SyncResult
from daemon.triggers.queue import Worker
from tests.builders import ACTOR, a_sync
from tests.pretend import PretendServices, Service, World
from tests.pretend.library import Episode, Movie, Series

METROPOLIS = Movie.named("Metropolis", 1927, {"Tmdb": "19"})
SHOW = Series.named("The Show", 1962, {"Tmdb": "1930", "Tvdb": "71471"})


def a_world(*movies: Movie, episodes: int = 1) -> World:
    """A film and a series, in the library since long ago, and whatever else is given."""
    world = World()
    for movie in (METROPOLIS, *movies):
        world.movies[movie.jellyfin_id] = movie
        world.radarr_knows(movie)
    show = Series.named(SHOW.title, 1962, SHOW.provider_ids)
    show.episodes.extend(Episode(1, 1 + at) for at in range(episodes))
    world.series[show.jellyfin_id] = show
    world.sonarr_knows(show)
    return world


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens; pytest's own timeout ends what never does."""
    while not condition():
        await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Stand:
    """A worker that serves, and what is around it."""

    path: Path
    services: PretendServices
    service: SyncService
    feed: Feed
    worker: Worker
    serving: asyncio.Task[None]

    @property
    def world(self) -> World:
        """What the services answer from."""
        return self.services.world

    async def run(self, scope: Scope = Scope()) -> SyncResult:
        """One run, to its end."""
        result = await self.worker.enqueue(Trigger.ADMIN, ACTOR, scope).result
        assert result is not None
        return result

    async def idle(self) -> None:
        """Wait until nothing runs or waits."""
        await until(lambda: not (self.worker.running or self.worker.waiting))

    def asked(self, service: Service) -> list[str]:
        """The paths and queries that a service was asked for since the last look."""
        calls = self.services.calls(service)
        paths = [f"{call.path}?{call.query}" for call in calls]
        calls.clear()
        return paths


@asynccontextmanager
async def working(folder: Path, world: World | None = None, **options: Any) -> AsyncIterator[Stand]:
    """A worker that serves until the end; `options` are those of a run."""
    path, feed = folder / "tracker.db", Feed()
    async with (
        PretendServices(world or a_world()) as services,
        a_sync(services, path, **options) as service,
    ):
        worker = Worker(service, feed, 1)
        serving = asyncio.create_task(worker.serve())
        try:
            yield Stand(path, services, service, feed, worker, serving)
        finally:
            serving.cancel()
            await asyncio.wait({serving})
