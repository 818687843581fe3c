"""Hints: gathered until it is quiet, turned into one run, and looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain import Ids, MediaType
from daemon.report.progress import Feed
from daemon.services.webhooks import ImportEvent, LibraryEvent
from daemon.settings import Webhook
from daemon.store import history
from daemon.triggers.hints import HintDebouncer, RetryDelays, due
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from tests.builders import jellyfin_id
from tests.pretend.library import Episode, Movie, Series, World
from tests.running import until
from tests.worlds import Place, a_place

HURRY = RetryDelays(again=(0.05, 0.1, 0.1), after_import=(0.05, 0.2, 0.4, 5, 30))
QUIET = Webhook(quiet=timedelta(seconds=0.05), at_most=timedelta(seconds=0.3))
CALM = Webhook(quiet=timedelta(seconds=1), at_most=timedelta(seconds=60))
"""For what has to come within the wait, on a slow machine, too."""


@dataclass(slots=True)
class Station:
    """An hints at work."""

    place: Place
    worker: Worker
    hints: HintDebouncer
    looks: list[float] = field(default_factory=list)

    def hint(self, *ids: str, kind: str = "ItemAdded", server: str = "") -> bool:
        """A webhook comes in."""
        return self.hints.add(LibraryEvent(kind, frozenset(ids), server))

    async def settled(self, runs: int) -> None:
        """Wait until so many runs have ended."""
        await until(lambda: len(self.runs()) >= runs and not self.works)

    @property
    def works(self) -> bool:
        """Whether a run goes or waits."""
        return bool(self.worker.running or self.worker.waiting)

    async def asked(self) -> None:
        """Wait until Jellyfin is asked once more."""
        calls = self.place.services.calls("jellyfin")
        before = len(calls)
        await until(lambda: len(calls) > before)

    async def idle(self) -> None:
        """Wait until nothing is to be looked at again."""
        await until(lambda: not (self.hints._again or self.works))

    def runs(self) -> list[tuple[str, str]]:
        """The runs that have ended, by kind and outcome."""
        return self.place.rows("kind, outcome", "sync_runs", "outcome != 'running'")


@asynccontextmanager
async def a_station(folder: Path, world: World, webhook: Webhook = QUIET) -> AsyncIterator[Station]:
    """A place with a worker and an hints that are in a hurry."""
    async with a_place(folder, world) as place:
        await place.sync()
        worker = Worker(place.service, Feed(), await place.store.read(history.next_number))
        quick = QuickCheck(place.client.jellyfin, place.service, worker)
        place.service.server_id = "ours"
        hints = HintDebouncer(worker, place.service, place.store, quick.check, webhook, HURRY)
        tasks = [asyncio.create_task(part.serve()) for part in (worker, hints)]
        try:
            yield Station(place, worker, hints)
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
    """Two calls of Jellyfin, which say who it is and what the title is, and one of Radarr."""
    new = film(2)
    station.place.world.add_movie(new)
    for service in ("jellyfin", "radarr", "sonarr"):
        station.place.services.calls(service).clear()
    station.hint(new.jellyfin_id)
    await station.settled(2)
    assert "Film 2" in station.place.rows()
    assert [len(station.place.services.calls(s)) for s in ("jellyfin", "radarr", "sonarr")] == [
        2,
        1,
        0,
    ]
    lag = station.hints.statistics.figures.lag_p99_s
    assert lag is not None
    assert 0 < lag < 60


async def test_a_season_pack_is_one_run_and_one_row(tmp_path: Path) -> None:
    """Two dozen episodes that come one by one are one series."""
    show, world = Series.named("A show", 1990, {"Tvdb": "77"}), World()
    world.add_series(show)
    async with a_station(tmp_path, world, CALM) as station:
        for number in range(1, 25):
            world.add_episode(show.jellyfin_id, Episode(1, number))
            station.hint(jellyfin_id(number), show.jellyfin_id)
            await asyncio.sleep(0.005)
        await station.settled(2)
        assert station.runs() == [("full", "ok"), ("hinted", "ok")]
        assert station.place.rows(where="media_type = 'TV'") == ["A show"]


async def test_a_steady_stream_of_hints_does_not_wait_for_ever(station: Station) -> None:
    """After the longest wait a run begins, though hints keep coming."""
    station.place.world.add_movie(film(2))
    while "Film 2" not in station.place.rows():
        station.hint(film(2).jellyfin_id)
        await asyncio.sleep(0.01)


async def test_hints_of_another_server_are_counted_and_ignored(station: Station) -> None:
    """Two servers with one plugin configuration do not mix."""
    assert not station.hint(jellyfin_id(1), server="theirs")
    assert station.hint(jellyfin_id(1), server="ours")
    assert station.hints.statistics.foreign == 1


async def test_a_flood_is_looked_at_piece_by_piece(station: Station) -> None:
    """Of a few thousand hints five hundred at a time, one run at a time, and all in the end."""
    new = [film(number) for number in range(1000, 2200)]
    for one in new:
        station.place.world.add_movie(one)
    for one in new:
        station.hint(one.jellyfin_id)
    await station.settled(4)
    assert station.runs() == [("full", "ok"), *[("hinted", "ok")] * 3]
    assert len(station.place.rows()) == 1 + len(new)
    asked = [call.query for call in station.place.services.calls("jellyfin")]
    looked = [query.partition("Ids=")[2].count(",") + 1 for query in asked if "Ids=" in query]
    assert (max(looked), sum(looked)) == (150, 1200)


async def test_a_flood_takes_little_memory(station: Station) -> None:
    """Of a hundred thousand ids and more those that came first are kept."""
    for number in range(100_200):
        station.hint(f"{number:032x}")
    assert len(station.hints._hints) == 100_000


async def test_hints_are_looked_at_one_run_at_a_time(station: Station) -> None:
    """However many come while a run looks, no second one waits beside it."""
    for number in range(1200):
        station.hint(jellyfin_id(number))
    beside = False
    while len(station.runs()) < 4:
        beside |= bool(station.worker.running and station.worker.waiting)
        await asyncio.sleep(0.001)
    assert not beside


async def test_a_title_that_is_not_there_to_watch_yet_is_looked_at_again(station: Station) -> None:
    """The sender says nothing when the ids or the first episode arrive later."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    station.hint(show.jellyfin_id)
    await station.settled(3)
    assert station.place.rows(where="media_type = 'TV'") == []
    station.place.world.add_episode(show.jellyfin_id, Episode(1, 1))
    await station.settled(4)
    await until(lambda: station.place.rows(where="media_type = 'TV'"))


async def test_a_title_is_looked_at_again_until_it_is_there(station: Station) -> None:
    """However often that takes; the last pause is that of all later looks."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    station.hint(show.jellyfin_id)
    await station.settled(7)
    station.place.world.add_episode(show.jellyfin_id, Episode(1, 1))
    await until(lambda: station.place.rows(where="media_type = 'TV'"))
    await station.idle()
    assert station.hints._again == {}


async def test_a_title_that_is_gone_is_not_looked_at_again(station: Station) -> None:
    """Nothing is left to wait for."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    station.place.world.add_series(show)
    station.hint(show.jellyfin_id)
    await station.settled(3)
    station.place.world.remove(show.jellyfin_id)
    await station.idle()
    runs = len(station.runs())
    await asyncio.sleep(0.3)
    assert (len(station.runs()), station.hints._again) == (runs, {})


async def test_a_scan_that_never_ends_does_not_hold_hints_up(station: Station) -> None:
    """A title that has its ids is tracked at once, and one that has none as soon as it has."""
    world = station.place.world
    world.scanning = True
    bare = replace(film(3), provider_ids={})
    for one in (film(2), bare):
        world.add_movie(one)
        station.hint(one.jellyfin_id)
    await station.settled(4)
    assert station.place.rows() == ["Film 1", "Film 2"]
    world.add_movie(film(3))
    await until(lambda: "Film 3" in station.place.rows())


async def test_everything_that_came_too_early_is_looked_at_again(station: Station) -> None:
    """Also of more titles than one look is for; a few hundred in each."""
    world = station.place.world
    bare = [replace(film(number), provider_ids={}) for number in range(1000, 1700)]
    for one in bare:
        world.add_movie(one)
        station.hint(one.jellyfin_id)
    await station.settled(3)
    for one in bare:
        world.add_movie(film(int(one.title.split()[1])))
    await until(lambda: len(station.place.rows()) == 1 + len(bare))


async def test_an_import_is_looked_for_until_jellyfin_has_it(station: Station) -> None:
    """It is found by its provider's id in what Jellyfin saved lately."""
    station.hints.on_import(ImportEvent("Download", MediaType.MOVIE, Ids(tmdb=1002)))
    await station.asked()
    station.place.world.add_movie(film(2))
    await until(lambda: "Film 2" in station.place.rows())
    await until(lambda: station.hints._imports == {})


async def test_an_import_is_not_taken_for_another_title_that_shares_a_weak_id(
    station: Station,
) -> None:
    """A row that shares its IMDb id, and has another TMDB id, says nothing of the import."""
    world = station.place.world
    world.add_movie(replace(film(5), provider_ids={"Tmdb": "1005", "Imdb": "tt0000009"}))
    await station.place.sync()
    station.hints.on_import(ImportEvent("Download", MediaType.MOVIE, Ids(1002, None, "tt0000009")))
    await station.asked()
    world.add_movie(replace(film(2), provider_ids={"Tmdb": "1002", "Imdb": "tt0000009"}))
    await until(lambda: "Film 2" in station.place.rows())


async def test_a_copy_of_a_further_instance_is_looked_for_until_its_number_is_kept(
    tmp_path: Path,
) -> None:
    """That the title is available already says nothing of the copy that was imported now."""
    world = World(further={"radarr_4k": {}})
    world.add_movie(film(1))
    async with a_station(tmp_path, world) as station:
        coming = ImportEvent("Download", MediaType.MOVIE, Ids(tmdb=1001), "Radarr 4k")
        station.hints.on_import(coming)
        station.hints.on_import(coming._replace(instance=""))
        await until(lambda: [*station.hints._imports] == [coming])
        world.radarr_knows(film(1), number=70, instance="radarr_4k")
        world.add_movie(film(1))
        await until(lambda: station.place.rows("number", "sync_instance_ids") == [70])
        assert station.place.rows("radarr_id") == [None]


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
    statistics = station.hints.statistics
    assert statistics.figures.state == "never received"
    station.hint(jellyfin_id(1))
    station.hint(jellyfin_id(1), kind="ItemDeleted")
    told = statistics.figures
    assert (told.state, told.last_kind) == ("receiving", "ItemDeleted")
    assert told.last_24h == {"ItemAdded": 1, "ItemDeleted": 1}
