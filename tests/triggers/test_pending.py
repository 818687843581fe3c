"""Passes that are made by themselves, and what follows what they see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from daemon.apply.pending import PendingService
from daemon.apply.run import Options, SyncService
from daemon.domain import Trigger
from daemon.opening import open_services
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from daemon.report.progress import Feed
from daemon.services.webhooks import ImportEvent
from daemon.settings import Pending, Webhook
from daemon.store import history, open_store
from daemon.triggers.hints import HintDebouncer, RetryDelays
from daemon.triggers.pending import PendingWatch
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from tests.builders import ACTOR, QUICK, configured, rows
from tests.pretend import Fault, PretendServices
from tests.pretend.library import Episode, Movie, Series
from tests.running import a_world, until

FILM = Movie.named("The Lodger", 1927, {"Tmdb": "2760"})
STATE = "SELECT state FROM requests WHERE title = ?"
HURRY = RetryDelays(again=(0.05,), after_import=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


class Life:
    """A daemon in a hurry, as far as titles on their way go."""

    def __init__(self, path: Path, services: PretendServices, watch: PendingWatch) -> None:
        self.path = path
        self.services = services
        self.watch = watch
        self.imports: list[ImportEvent] = []

    def states(self, title: str) -> list[str]:
        """The states of a title's rows."""
        return [state for (state,) in rows(self.path, STATE, title)]


@asynccontextmanager
async def living(folder: Path, every: float = 0.05) -> AsyncIterator[Life]:
    """With a Seerr, after a first full run."""
    path = folder / "tracker.db"
    async with (
        PretendServices(a_world(), besides=("seerr", "qbittorrent")) as services,
        open_store(path) as store,
        open_services(configured(services, path), QUICK) as clients,
    ):
        service = SyncService(clients, store, Options("http://media.test"))
        await service.run(Trigger.CLI, ACTOR)
        worker = Worker(service, Feed(), await store.read(history.next_number))
        quick = QuickCheck(clients.jellyfin, service, worker)
        quiet = Webhook(quiet=timedelta(0), at_most=timedelta(0))
        hints = HintDebouncer(worker, service, store, quick.check, quiet, HURRY)
        policy, health = PendingPolicy(), Health(clients.meters)
        passes = PendingService(clients, store, service.arrs, policy, health, worker.take_number)
        span = timedelta(seconds=every)
        pending = Pending.model_construct(every=span, progress=span, limit=500)

        def on_import(event: ImportEvent) -> None:
            life.imports.append(event)
            hints.on_import(event)

        watch = PendingWatch(passes, pending, span, on_import)
        life = Life(path, services, watch)
        tasks = [asyncio.create_task(part.serve()) for part in (worker, hints, watch)]
        try:
            yield life
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_the_last_requested_episode_is_available_right_after_jellyfin_has_it(
    tmp_path: Path,
) -> None:
    """No webhook comes: the import is seen in the history, and Jellyfin is looked at for it."""
    show = Series.named("Fantômas", 1913, {"Tmdb": "71", "Tvdb": "72"})
    async with living(tmp_path) as life:
        pipeline, world = life.services.pipeline, life.services.world
        wish = pipeline.request(show, (1,))
        pipeline.approve(wish)
        await until(lambda: life.states(show.title) == ["APPROVED"])
        download = pipeline.grab(wish)
        pipeline.advance(download, 1)
        await until(lambda: life.states(show.title) == ["DOWNLOADED"])
        pipeline.take_in(download)
        await until(lambda: life.states(show.title) == ["IMPORTING"])
        for number in (1, 2):
            show.episodes.append(Episode(1, number))
        world.add_series(show)
        await asyncio.sleep(0.1)
        assert life.states(show.title) == ["IMPORTING"]
        world.add_episode(show.jellyfin_id, Episode(1, 3))
        await until(lambda: life.states(show.title) == ["AVAILABLE"])


async def test_an_import_is_handed_over_once(tmp_path: Path) -> None:
    """However many passes see it, and although a service is away in between."""
    async with living(tmp_path) as life:
        pipeline = life.services.pipeline
        wish = pipeline.request(FILM)
        pipeline.approve(wish)
        download = pipeline.grab(wish)
        pipeline.advance(download, 1)
        pipeline.take_in(download)
        await until(lambda: life.imports)
        for name in ("radarr", "seerr"):
            life.services.fault(name, Fault(status=503, times=None))
            await asyncio.sleep(0.5)
            life.services.mend(name)
            await asyncio.sleep(0.5)
        assert [one.ids.tmdb for one in life.imports] == [2760]
        assert life.states(FILM.title) == ["IMPORTING"]
        asked = life.services.calls("jellyfin")
        await asyncio.sleep(0.5)
        asked.clear()
        await asyncio.sleep(0.5)
        assert asked == []


async def test_each_episode_that_is_imported_is_handed_over(tmp_path: Path) -> None:
    """A later one of a series whose earlier one Jellyfin does not show yet, too."""
    show = Series.named("Fantômas", 1913, {"Tmdb": "71", "Tvdb": "72"})
    async with living(tmp_path) as life:
        pipeline = life.services.pipeline
        wish = pipeline.request(show, (1,))
        pipeline.approve(wish)
        download = pipeline.grab(wish)
        pipeline.advance(download, 1)
        await until(lambda: life.states(show.title) == ["DOWNLOADED"])
        pipeline.take_in(download)
        await until(lambda: len(life.imports) == 1)
        await asyncio.sleep(1.1)  # the history counts whole seconds
        pipeline.take_in(download)
        await until(lambda: len(life.imports) == 2)
        await asyncio.sleep(0.3)
        assert len(life.imports) == 2
