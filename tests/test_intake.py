"""Hints: gathered until it is quiet, turned into one run, and looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.clients.hooks import Coming, Note
from daemon.demo.library import Episode, Movie, Series, World
from daemon.domain import MOST_HINTS, Ids, MediaType
from daemon.intake import Intake, Pauses, due
from daemon.progress import Feed
from daemon.quick import Quick
from daemon.settings import Webhook
from daemon.worker import Worker
from tests.builders import jellyfin_id
from tests.worlds import Place, a_place

HURRY = Pauses(again=(0.05, 0.1, 0.1), coming=(0.05, 0.2, 0.4))
QUIET = Webhook(quiet=timedelta(seconds=0.05), at_most=timedelta(seconds=0.3))


@dataclass(slots=True)
class Station:
    """An intake at work."""

    place: Place
    worker: Worker
    intake: Intake
    looks: list[float] = field(default_factory=list)

    def hint(self, *ids: str, kind: str = "ItemAdded", server: str = "") -> bool:
        """A webhook comes in."""
        return self.intake.take(Note(kind, frozenset(ids), server))

    async def settled(self, runs: int, patience: float = 5.0) -> None:
        """Wait until so many runs have ended."""
        async with asyncio.timeout(patience):
            while len(self.runs()) < runs or self.worker.running or self.worker.waiting:
                await asyncio.sleep(0.01)

    def runs(self) -> list[tuple[str, str]]:
        """The runs that have ended, by kind and outcome."""
        return self.place.rows("kind, outcome", "sync_runs", "outcome != 'running'")


@asynccontextmanager
async def a_station(folder: Path, world: World) -> AsyncIterator[Station]:
    """A place with a worker and an intake that are in a hurry."""
    async with a_place(folder, world) as place:
        await place.sync()
        worker = Worker(place.service, Feed(), await place.store.next_run())
        quick = Quick(place.client.jellyfin, place.service, worker)
        intake = Intake(worker, place.store, quick.look, QUIET, lambda: "ours", HURRY)
        tasks = [asyncio.create_task(part.serve()) for part in (worker, intake)]
        try:
            yield Station(place, worker, intake)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    """A library of one film that is tracked."""
    world = World()
    world.add_movie(film(1))
    async with a_station(tmp_path, world) as station:
        yield station


def film(number: int) -> Movie:
    """One film."""
    return Movie.named(f"Film {number}", 1950, {"Tmdb": str(1000 + number)})


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.1, 20), st.floats(0.1, 100))
def test_hints_wait_for_quiet_but_never_for_long(
    moments: list[float], quiet: float, at_most: float
) -> None:
    """They are due once it was quiet, and never later than the longest wait after the first."""
    first, last = min(moments), max(moments)
    when = due(first, last, quiet, at_most)
    assert when <= first + at_most
    assert when == last + quiet or when == first + at_most


async def test_a_film_is_tracked_right_after_its_hint(station: Station) -> None:
    """One call of Jellyfin and one of Radarr are enough."""
    new = film(2)
    station.place.world.add_movie(new)
    for service in ("jellyfin", "radarr", "sonarr"):
        station.place.services.calls(service).clear()
    station.hint(new.jellyfin_id)
    await station.settled(2)
    assert "Film 2" in station.place.rows()
    assert [len(station.place.services.calls(s)) for s in ("jellyfin", "radarr", "sonarr")] == [
        1,
        1,
        0,
    ]
    assert station.intake.statistics.as_dict()["lag_p99_s"] < 1


async def test_a_season_pack_is_one_run_and_one_row(station: Station) -> None:
    """Two dozen episodes that come one by one are one series."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    for number in range(1, 25):
        station.place.world.add_episode(show.jellyfin_id, Episode(1, number))
        station.hint(jellyfin_id(number), show.jellyfin_id)
        await asyncio.sleep(0.005)
    await station.settled(2)
    assert station.runs() == [("full", "ok"), ("hinted", "ok")]
    assert station.place.rows(where="media_type = 'TV'") == ["A show"]


async def test_a_steady_stream_of_hints_does_not_wait_for_ever(station: Station) -> None:
    """After the longest wait a run begins, though hints keep coming."""
    station.place.world.add_movie(film(2))
    for _ in range(60):
        station.hint(film(2).jellyfin_id)
        await asyncio.sleep(0.01)
    assert "Film 2" in station.place.rows()


async def test_hints_of_another_server_are_counted_and_ignored(station: Station) -> None:
    """Two servers with one plugin configuration do not mix."""
    assert not station.hint(jellyfin_id(1), server="theirs")
    assert station.hint(jellyfin_id(1), server="ours")
    assert station.intake.statistics.foreign == 1


async def test_a_flood_becomes_a_full_run_and_takes_no_memory(station: Station) -> None:
    """Ten thousand hints at once are looked at as a whole."""
    for number in range(10_000):
        station.hint(jellyfin_id(number))
    assert len(station.intake._hints) <= MOST_HINTS + 1
    await station.settled(2)
    assert station.runs() == [("full", "ok"), ("full", "ok")]


async def test_a_title_that_is_not_there_to_watch_yet_is_looked_at_again(station: Station) -> None:
    """The sender says nothing when the ids or the first episode arrive later."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    station.hint(show.jellyfin_id)
    await station.settled(3)
    assert station.place.rows(where="media_type = 'TV'") == []
    station.place.world.add_episode(show.jellyfin_id, Episode(1, 1))
    await station.settled(4)
    async with asyncio.timeout(3):
        while not station.place.rows(where="media_type = 'TV'"):
            await asyncio.sleep(0.02)


async def test_a_title_that_never_comes_is_left_to_the_interval(station: Station) -> None:
    """Looking again ends by itself."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    station.hint(show.jellyfin_id)
    await station.settled(5)
    await asyncio.sleep(0.3)
    assert len(station.runs()) == 5


async def test_an_import_is_looked_for_until_jellyfin_has_it(station: Station) -> None:
    """It is found by its provider's id in what Jellyfin saved lately."""
    station.intake.expect(Coming("Download", MediaType.MOVIE, Ids(tmdb=1002)))
    await asyncio.sleep(0.1)
    station.place.world.add_movie(film(2))
    async with asyncio.timeout(5):
        while "Film 2" not in station.place.rows():
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    assert station.intake._coming == {}


async def test_hints_during_a_full_run_wait_for_the_next_one(station: Station) -> None:
    """The run that is going may have read the library before."""
    station.place.world.add_movie(film(2))
    station.hint(film(2).jellyfin_id)
    await asyncio.sleep(0.06)
    station.place.world.add_movie(film(3))
    station.hint(film(3).jellyfin_id)
    await station.settled(3)
    assert {"Film 2", "Film 3"} <= set(station.place.rows())


async def test_what_came_in_is_counted_by_kind(station: Station) -> None:
    """Until the first one the state says so."""
    statistics = station.intake.statistics
    assert statistics.as_dict()["state"] == "never received"
    station.hint(jellyfin_id(1))
    station.hint(jellyfin_id(1), kind="ItemDeleted")
    told = statistics.as_dict()
    assert (told["state"], told["last_kind"]) == ("receiving", "ItemDeleted")
    assert told["last_24h"] == {"ItemAdded": 1, "ItemDeleted": 1}
