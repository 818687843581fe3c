"""Hinted runs: how few calls they take, and what they may not conclude."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.demo import Fault, World
from daemon.demo.library import Episode, Movie, Series
from daemon.demo.library import jellyfin_id as made_id
from daemon.domain import Outcome, Scope, SkipReason, Sources
from daemon.hinted import ArrMemory, Hinted, look
from daemon.observe import Services
from daemon.result import SyncResult
from tests.builders import jellyfin_id, rows
from tests.running import METROPOLIS, SHOW, Stand, a_world, working

BARE = Movie.named("Home Video", 2020, {})
EPISODE = made_id("Episode", SHOW.episode_path(Episode(1, 1)))
TITLES = "SELECT title FROM requests ORDER BY title"


def services(stand: Stand) -> Services:
    """The clients of the stand."""
    return stand.service._services


async def hinted(stand: Stand, *ids: str) -> SyncResult:
    """One hinted run."""
    return await stand.run(Scope(frozenset(ids)))


def films(count: int) -> World:
    """So many films, all known to Radarr."""
    return a_world(
        *(Movie.named(f"Film {at}", 1930, {"Tmdb": str(1000 + at)}) for at in range(count - 1))
    )


def series(count: int) -> World:
    """So many series, none of them known to Sonarr."""
    world = World()
    for at in range(count):
        show = Series.named(f"Series {at}", 1960, {"Tvdb": str(500 + at)})
        show.episodes.append(Episode(1, 1))
        world.series[show.jellyfin_id] = show
    return world


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (150, 1), (151, 2), (301, 3)])
async def test_films_are_asked_for_in_groups(tmp_path: Path, count: int, calls: int) -> None:
    """A hundred and fifty ids are one call."""
    world = films(count)
    async with working(tmp_path, world) as stand:
        found = await look(services(stand).jellyfin, world.movies)
        asked = stand.asked("jellyfin")
        assert {item.jellyfin_id for item in found.items} == set(world.movies)
        assert ["/Items"] * calls == [path.partition("?")[0] for path in asked]


@pytest.mark.parametrize(
    ("hints", "calls"),
    [([SHOW.jellyfin_id, EPISODE], 1), ([EPISODE], 2), ([SHOW.jellyfin_id], 2)],
)
async def test_a_series_is_proven_by_its_episode(
    tmp_path: Path, hints: list[str], calls: int
) -> None:
    """One that comes with it costs no call, and without it is asked for; an episode alone does."""
    async with working(tmp_path) as stand:
        found = await look(services(stand).jellyfin, hints)
        assert len(stand.asked("jellyfin")) == calls
        [show] = found.items
        assert (show.jellyfin_id, show.available) == (SHOW.jellyfin_id, True)


@pytest.mark.parametrize("hint", ["", "abc", "é" * 32, "../../etc", f"{'a' * 31}g", "a" * 33])
async def test_what_is_no_id_is_not_asked_for(tmp_path: Path, hint: str) -> None:
    """Of ids that it cannot read Jellyfin makes a question for everything."""
    async with working(tmp_path) as stand:
        assert await look(services(stand).jellyfin, [hint]) == Hinted()
        assert stand.asked("jellyfin") == []


@pytest.mark.parametrize("count", [1, 5, 6])
async def test_radarr_is_asked_for_each_of_a_few_films(tmp_path: Path, count: int) -> None:
    """Up to five of them; for more its list is one call for all."""
    world = films(count)
    async with working(tmp_path, world) as stand:
        await hinted(stand, *world.movies)
        numbers = [film.provider_ids["Tmdb"] for film in world.movies.values()]
        singly = [f"/api/v3/movie?tmdbId={number}" for number in numbers]
        expected = singly if count <= 5 else ["/api/v3/movie?"]
        assert sorted(expected) == sorted(stand.asked("radarr"))
        assert stand.asked("sonarr") == []
        assert rows(stand.path, "SELECT count(radarr_id) FROM requests") == [(count,)]


async def test_what_a_full_run_read_of_sonarr_is_enough(tmp_path: Path) -> None:
    """A series that Sonarr had then costs it nothing."""
    async with working(tmp_path, a_world(episodes=0)) as stand:
        await stand.run()
        stand.asked("sonarr")
        stand.world.add_episode(SHOW.jellyfin_id, Episode(1, 1))
        await hinted(stand, SHOW.jellyfin_id)
        assert stand.asked("sonarr") == []
        assert rows(stand.path, "SELECT sonarr_id FROM requests WHERE media_type = 'TV'") == [(1,)]


async def test_sonarrs_list_is_read_at_most_once_in_ten_minutes(tmp_path: Path) -> None:
    """And it is never asked for one series, which costs it as much as the list."""
    moment = 0.0
    world = series(3)
    first, second, third = world.series.values()
    async with working(tmp_path, world) as stand:
        memory = ArrMemory(services(stand), clock=lambda: moment)
        found = await look(services(stand).jellyfin, [first.jellyfin_id])
        await memory.sources(found)
        assert stand.asked("sonarr") == ["/api/v3/series?"]
        for show in (second, third):
            world.sonarr_knows(show)
        found = await look(services(stand).jellyfin, [second.jellyfin_id, third.jellyfin_id])
        moment = 599.0
        known = await memory.sources(found)
        assert stand.asked("sonarr") == []
        assert known.sonarr is not None
        assert known.sonarr.find(found.items[0].ids) is None
        moment = 600.0
        known = await memory.sources(found)
        assert stand.asked("sonarr") == ["/api/v3/series?"]
        assert known.sonarr is not None
        assert [known.sonarr.find(item.ids) for item in found.items] == [1, 2]
        assert known.sonarr.whole
        again = await memory.sources(found)
        assert stand.asked("sonarr") == []
        assert again.sonarr is not None
        assert not again.sonarr.whole


async def test_a_sonarr_that_fails_is_left_alone_as_well(tmp_path: Path) -> None:
    """What it held before stays known, and the failure is noted."""
    async with working(tmp_path) as stand:
        memory = ArrMemory(services(stand))
        stand.services.fault("sonarr", Fault(times=None, status=401))
        found = await look(services(stand).jellyfin, [SHOW.jellyfin_id])
        for _ in range(2):
            assert await memory.sources(found) == Sources(counts_by_sonarr=True)
        assert len(stand.asked("sonarr")) == 1
        assert [gap.service for gap in found.gaps] == ["Sonarr"]


async def test_an_absent_title_is_not_removed(tmp_path: Path) -> None:
    """Neither one that went nor one that never was: only a complete reading proves that."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.remove(METROPOLIS.jellyfin_id)
        never = jellyfin_id("never")
        found = await look(services(stand).jellyfin, [METROPOLIS.jellyfin_id, never])
        assert found.items == []
        result = await hinted(stand, METROPOLIS.jellyfin_id, never)
        assert (result.outcome, result.tally.scanned) == (Outcome.OK, 0)
        assert result.tally.guard == ()
        assert rows(stand.path, TITLES) == [(METROPOLIS.title,), (SHOW.title,)]


async def test_a_title_without_ids_waits(tmp_path: Path) -> None:
    """Jellyfin may be about to find them; the next full run takes it as it is."""
    async with working(tmp_path) as stand:
        stand.world.movies[BARE.jellyfin_id] = BARE
        result = await hinted(stand, BARE.jellyfin_id)
        assert result.tally.skipped[SkipReason.STILL_READ] == 1
        assert rows(stand.path, TITLES) == []
        await stand.run()
        assert (BARE.title,) in rows(stand.path, TITLES)
