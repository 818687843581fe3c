"""Hinted runs: how few calls they take, and what they may not conclude."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from daemon.domain import LibraryItem, Outcome, Scope, TrackedRequest
from daemon.observe.hints import ArrCache, look
from daemon.observe.sources import Problems, Services
from daemon.reasons import Count, Reason
from daemon.report.result import SyncResult
from daemon.services.jellyfin import ListingContext
from daemon.snapshot import Snapshot
from tests.builders import a_request, change, jellyfin_id, rows
from tests.pretend import Fault, World
from tests.pretend.library import Episode, Movie, Series, SonarrSeason
from tests.pretend.library import jellyfin_id as made_id
from tests.running import METROPOLIS, SHOW, Stand, a_world, working

BARE = Movie.named("Home Video", 2020, {})
EPISODE = made_id("Episode", SHOW.episode_path(Episode(1, 1)))
TITLES = "SELECT title FROM requests ORDER BY title"
AT = "2026-01-02 03:04:05.000000"


def services(stand: Stand) -> Services:
    """The clients of the stand."""
    return stand.service._services


async def hinted(stand: Stand, *ids: str) -> SyncResult:
    """One hinted run."""
    return await stand.run(Scope(frozenset(ids)))


async def looked(stand: Stand, *ids: str, problems: Problems | None = None) -> Snapshot:
    """What a look at some ids finds."""

    async def nothing(_: Sequence[LibraryItem]) -> Sequence[TrackedRequest]:
        return []

    return await look(services(stand), ids, nothing, ListingContext(), problems or Problems())


def wanted(stand: Stand, show: Series, seasons: str | None = None, **more: object) -> None:
    """A request for a series that somebody made in the tracker."""
    values = {
        "title": show.title,
        "media_type": "TV",
        "state": "DOWNLOADING",
        "tvdb_id": int(show.provider_ids["Tvdb"]),
        "requested_seasons": seasons,
        "requested_by": "Ann",
        **dict.fromkeys(("created_at", "updated_at", "state_changed_at"), AT),
        **more,
    }
    marks = ", ".join("?" * len(values))
    names = ", ".join(values)
    change(stand.path, f"INSERT INTO requests ({names}) VALUES ({marks})", *values.values())


def state(stand: Stand) -> list[tuple[str]]:
    """The states of the series that are tracked."""
    return rows(stand.path, "SELECT state FROM requests WHERE media_type = 'TV'")


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
        found = await looked(stand, *world.movies)
        asked = stand.asked("jellyfin")
        assert {item.jellyfin_id for item in found.items} == set(world.movies)
        assert ["/Items"] * calls == [path.partition("?")[0] for path in asked]


@pytest.mark.parametrize(
    ("hints", "calls"),
    [([SHOW.jellyfin_id, EPISODE], 1), ([EPISODE], 2), ([SHOW.jellyfin_id], 3)],
)
async def test_a_series_is_proven_by_its_episode(
    tmp_path: Path, hints: list[str], calls: int
) -> None:
    """One that comes with it costs no call; without it the seasons are asked about."""
    async with working(tmp_path) as stand:
        found = await looked(stand, *hints)
        assert len(stand.asked("jellyfin")) == calls
        [show] = found.items
        assert (show.jellyfin_id, show.available) == (SHOW.jellyfin_id, True)


@pytest.mark.parametrize(("count", "calls"), [(1, 3), (5, 7), (6, 2), (60, 2)])
async def test_many_series_are_proven_together(tmp_path: Path, count: int, calls: int) -> None:
    """Up to five by their seasons, more of them by one list of all first episodes."""
    world = series(count)
    async with working(tmp_path, world) as stand:
        found = await looked(stand, *world.series)
        assert len(stand.asked("jellyfin")) == calls
        assert [item.available for item in found.items] == [True] * count


async def test_a_series_of_which_nothing_was_found_may_have_something(tmp_path: Path) -> None:
    """If it is tracked as there nothing is said of it; another one is looked at again."""
    world = a_world(episodes=0)
    async with working(tmp_path, world) as stand:
        [untracked] = (await looked(stand, SHOW.jellyfin_id)).items
        wanted(stand, SHOW, state="AVAILABLE")
        result = await hinted(stand, SHOW.jellyfin_id)
        assert untracked.available is False
        assert +result.stats.counts == {Reason.AVAILABILITY_UNKNOWN: 1}
        assert result.stats.early == {SHOW.jellyfin_id}


@pytest.mark.parametrize("hint", ["", "abc", "é" * 32, "../../etc", f"{'a' * 31}g", "a" * 33])
async def test_what_is_no_id_is_not_asked_for(tmp_path: Path, hint: str) -> None:
    """Of ids that it cannot read Jellyfin makes a question for everything."""
    async with working(tmp_path) as stand:
        found = await looked(stand, hint)
        assert ([*found.items], found.reading.asked) == ([], frozenset())
        assert stand.asked("jellyfin") == []


@pytest.mark.parametrize("dashes", [False, True])
async def test_an_id_is_one_id_however_it_is_written(tmp_path: Path, *, dashes: bool) -> None:
    """Webhook templates write it with dashes and in capitals."""
    number = METROPOLIS.jellyfin_id.upper()
    written = f"{number[:8]}-{number[8:12]}-{number[12:]}" if dashes else number
    async with working(tmp_path) as stand:
        found = await looked(stand, written, METROPOLIS.jellyfin_id)
        assert [item.title for item in found.items] == [METROPOLIS.title]
        assert found.reading.asked == frozenset({METROPOLIS.jellyfin_id})


async def test_a_broken_record_is_not_gone(tmp_path: Path) -> None:
    """It was asked for and is there, whatever is wrong with it."""
    world = World()
    unnamed = Movie(METROPOLIS.jellyfin_id, *("", 1927, {}, "", "/x.mkv", METROPOLIS.created_at))
    world.movies[unnamed.jellyfin_id] = unnamed
    problems = Problems()
    async with working(tmp_path, world) as stand:
        found = await looked(stand, unnamed.jellyfin_id, problems=problems)
        assert ([*found.items], len(problems.defects)) == ([], 1)
        assert found.reading.broken == {unnamed.jellyfin_id}
        assert not found.reading.proves_gone(unnamed.jellyfin_id)


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


async def test_what_a_full_run_just_read_of_sonarr_is_enough(tmp_path: Path) -> None:
    """A series that Sonarr had then costs it nothing."""
    async with working(tmp_path, a_world(episodes=0)) as stand:
        await stand.run()
        stand.asked("sonarr")
        stand.world.add_episode(SHOW.jellyfin_id, Episode(1, 1))
        await hinted(stand, SHOW.jellyfin_id)
        assert stand.asked("sonarr") == []
        assert rows(stand.path, "SELECT sonarr_id FROM requests WHERE media_type = 'TV'") == [(1,)]


async def test_sonarrs_list_is_read_at_most_once_in_a_minute(tmp_path: Path) -> None:
    """And it is never asked for one series, which costs it as much as the list."""
    moment = 0.0
    world, problems = series(3), Problems()
    first, second, third = world.series.values()
    async with working(tmp_path, world) as stand:
        memory = ArrCache(services(stand), clock=lambda: moment)
        found = await looked(stand, first.jellyfin_id)
        await memory.reports(found.items, problems)
        assert stand.asked("sonarr") == ["/api/v3/series?"]
        for show in (second, third):
            world.sonarr_knows(show)
        found = await looked(stand, second.jellyfin_id, third.jellyfin_id)
        moment = 59.0
        _, known = await memory.reports(found.items, problems)
        assert stand.asked("sonarr") == []
        assert known.titles is not None
        assert known.titles.find(found.items[0].ids) is None
        moment = 60.0
        _, known = await memory.reports(found.items, problems)
        assert stand.asked("sonarr") == ["/api/v3/series?"]
        assert known.titles is not None
        assert {known.titles.find(item.ids) for item in found.items} == {1, 2}
        assert (known.whole, known.counts) == (True, {1: {1: 1}, 2: {1: 1}})
        _, again = await memory.reports(found.items, problems)
        assert stand.asked("sonarr") == []
        assert (again.titles, again.counts, again.whole) == (known.titles, known.counts, False)
        assert (known.remembered, again.remembered) == (False, False)


async def test_numbers_are_not_taken_from_what_a_failing_sonarr_said_before(tmp_path: Path) -> None:
    """By now they may be another title's; episodes are counted by it still."""
    async with working(tmp_path, a_world(episodes=0)) as stand:
        await stand.run()
        stand.services.fault("sonarr", Fault(times=None, status=500))
        await stand.run()
        stand.world.add_episode(SHOW.jellyfin_id, Episode(1, 1))
        await stand.run()
        number = "SELECT sonarr_id FROM requests WHERE media_type = 'TV'"
        assert rows(stand.path, number) == [(None,)]
        stand.services.mend("sonarr")
        await stand.run()
        assert rows(stand.path, number) == [(1,)]


async def test_a_sonarr_that_takes_long_is_asked_less_often(tmp_path: Path) -> None:
    """Hints keep it busy for a twentieth of the time at the most."""
    moments = iter([0.0, 18.0, 18.0 + 359.0, 18.0 + 360.0, 18.0 + 361.0])
    async with working(tmp_path) as stand:
        memory, problems = ArrCache(services(stand), clock=lambda: next(moments)), Problems()
        found = await looked(stand, SHOW.jellyfin_id)
        asked = []
        for _ in range(3):
            await memory.reports(found.items, problems)
            asked.append(len(stand.asked("sonarr")))
        assert asked == [1, 0, 1]


async def test_a_sonarr_that_fails_is_left_alone_as_well(tmp_path: Path) -> None:
    """What it held before stays known, and the failure is noted."""
    async with working(tmp_path) as stand:
        memory, problems = ArrCache(services(stand)), Problems()
        stand.services.fault("sonarr", Fault(times=None, status=401))
        found = await looked(stand, SHOW.jellyfin_id)
        for _ in range(2):
            _, sonarr = await memory.reports(found.items, problems)
            assert (sonarr.titles, sonarr.whole) == (None, False)
        assert len(stand.asked("sonarr")) == 1
        assert [gap.service for gap in problems.gaps] == ["Sonarr"]


async def test_an_absent_title_is_not_removed(tmp_path: Path) -> None:
    """Neither one that went nor one that never was: only a complete reading proves that."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.remove(METROPOLIS.jellyfin_id)
        never = jellyfin_id("never")
        found = await looked(stand, METROPOLIS.jellyfin_id, never)
        assert [*found.items] == []
        result = await hinted(stand, METROPOLIS.jellyfin_id, never)
        assert (result.outcome, result.stats.scanned) == (Outcome.OK, 0)
        assert [rule.why for rule in result.stats.guard if rule.name == "complete"] != [""]
        assert rows(stand.path, TITLES) == [(METROPOLIS.title,), (SHOW.title,)]
        assert rows(stand.path, "SELECT * FROM sync_absences") == []


async def test_a_replaced_file_relinks_its_row_at_once(tmp_path: Path) -> None:
    """The id that its row names was asked for and is not there, while the title is."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.remove(METROPOLIS.jellyfin_id)
        new = Movie.named("Metropolis 2160p", 1927, METROPOLIS.provider_ids)
        stand.world.add_movie(new)
        result = await hinted(stand, new.jellyfin_id)
        assert (result.stats[Count.RELINKED], result.stats[Count.ADDED]) == (1, 0)
        films = "SELECT jellyfin_id, final_path FROM requests WHERE media_type = 'MOVIE'"
        assert rows(stand.path, films) == [(new.jellyfin_id, new.path)]


async def test_a_copy_beside_the_other_relinks_nothing(tmp_path: Path) -> None:
    """The row's own item was asked for, and is still there."""
    async with working(tmp_path) as stand:
        await stand.run()
        copy = Movie.named("Metropolis 2160p", 1927, METROPOLIS.provider_ids)
        stand.world.add_movie(copy)
        result = await hinted(stand, copy.jellyfin_id)
        assert (result.stats[Count.RELINKED], result.stats[Count.ADDED]) == (0, 0)
        films = "SELECT jellyfin_id FROM requests WHERE media_type = 'MOVIE'"
        assert rows(stand.path, films) == [(METROPOLIS.jellyfin_id,)]


async def test_the_last_episode_makes_a_series_available_at_once(tmp_path: Path) -> None:
    """Sonarr's remembered number of episodes is good enough, and it is not asked again."""
    world = a_world(episodes=2)
    [show] = world.series.values()
    world.sonarr_knows(show, seasons=(SonarrSeason(1, 2, 3, 3),))
    async with working(tmp_path, world) as stand:
        wanted(stand, SHOW, "1")
        await stand.run()
        assert state(stand) == [("DOWNLOADING",)]
        world.add_episode(SHOW.jellyfin_id, Episode(1, 3))
        stand.asked("sonarr")
        result = await hinted(stand, SHOW.jellyfin_id)
        assert (result.stats[Count.PROMOTED], state(stand)) == (1, [("AVAILABLE",)])
        assert stand.asked("sonarr") == []


async def test_an_episode_that_was_hinted_at_counts_before_a_scan_gives_it_a_season(
    tmp_path: Path,
) -> None:
    """A file beside the seasons' folders has its numbers at once, and its season only later."""
    world = a_world(episodes=2)
    [show] = world.series.values()
    world.sonarr_knows(show, seasons=(SonarrSeason(1, 2, 3, 3),))
    async with working(tmp_path, world) as stand:
        wanted(stand, SHOW, "1")
        await stand.run()
        last = Episode(1, 3, in_season_folder=False)
        world.add_episode(SHOW.jellyfin_id, last)
        await hinted(stand, SHOW.jellyfin_id)
        assert state(stand) == [("DOWNLOADING",)]
        await hinted(stand, made_id("Episode", SHOW.episode_path(last)))
        assert state(stand) == [("AVAILABLE",)]


async def test_what_requests_name_is_looked_at_however_long_the_chain(tmp_path: Path) -> None:
    """A request of an item names another one, whose request names a third."""
    world = films(3)
    first, second, third = world.movies
    named = {first: second, second: third}

    async def tracked(items: Sequence[LibraryItem]) -> Sequence[TrackedRequest]:
        found = [named[item.jellyfin_id] for item in items if item.jellyfin_id in named]
        return [a_request(at, jellyfin_id=one) for at, one in enumerate(found)]

    async with working(tmp_path, world) as stand:
        snapshot = await look(services(stand), [first], tracked, ListingContext(), Problems())
    assert {item.jellyfin_id for item in snapshot.items} == {first, second, third}


async def test_a_hinted_copy_brings_the_other_copies_of_its_title(tmp_path: Path) -> None:
    """Episodes of a series count over all of its copies, of which a request names one."""
    world = a_world(episodes=2)
    [one] = world.series.values()
    other = Series.named("Another copy", 1960, SHOW.provider_ids)
    other.episodes.append(Episode(1, 3))
    world.add_series(other)
    world.sonarr_knows(one, seasons=(SonarrSeason(1, 2, 4, 4),))
    async with working(tmp_path, world) as stand:
        wanted(stand, SHOW, "1", jellyfin_id=SHOW.jellyfin_id)
        await stand.run()
        assert state(stand) == [("DOWNLOADING",)]
        world.add_episode(SHOW.jellyfin_id, Episode(1, 4))
        await hinted(stand, SHOW.jellyfin_id)
        assert state(stand) == [("AVAILABLE",)]


@pytest.mark.parametrize("unread", [2, 1])
async def test_an_episode_that_is_still_read_promotes_nothing(tmp_path: Path, unread: int) -> None:
    """The run says that it was too early, so that the series is looked at again."""
    world = a_world(episodes=2)
    [show] = world.series.values()
    world.sonarr_knows(show, seasons=(SonarrSeason(1, 2, 3, 3),))
    async with working(tmp_path, world) as stand:
        wanted(stand, SHOW, "1")
        await stand.run()
        world.add_episode(SHOW.jellyfin_id, Episode(1, 3, unread=unread))
        result = await hinted(stand, SHOW.jellyfin_id)
        assert (result.stats[Count.PROMOTED], state(stand)) == (0, [("DOWNLOADING",)])


async def test_without_sonarr_an_unread_episode_leaves_it_open(tmp_path: Path) -> None:
    """Two of two that are read are not all, while a third is being read."""
    world = a_world(episodes=2)
    world.sonarr.clear()
    async with working(tmp_path, world) as stand:
        world.add_episode(SHOW.jellyfin_id, Episode(1, 3, unread=2))
        wanted(stand, SHOW, "1")
        await stand.run()
        assert state(stand) == [("DOWNLOADING",)]
        [show] = world.series.values()
        show.episodes[-1] = Episode(1, 3)
        await stand.run()
        assert state(stand) == [("AVAILABLE",)]


async def test_a_requested_film_is_available_at_once(tmp_path: Path) -> None:
    """Every request for it, whoever made it."""
    async with working(tmp_path) as stand:
        for name in ("Ann", "Bob"):
            film = {"media_type": "MOVIE", "tmdb_id": 19, "tvdb_id": None}
            wanted(stand, SHOW, None, **film, requested_by=name)
        result = await hinted(stand, METROPOLIS.jellyfin_id)
        assert (result.stats[Count.PROMOTED], result.stats[Count.ADDED]) == (2, 0)


async def test_another_server_adds_but_relinks_nothing(tmp_path: Path) -> None:
    """That an id is not there says nothing of the library that is known."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.server_id = "f" * 32
        stand.world.remove(METROPOLIS.jellyfin_id)
        new = Movie.named("Metropolis 2160p", 1927, METROPOLIS.provider_ids)
        other = Movie.named("Sunrise", 1927, {"Tmdb": "631"})
        stand.world.add_movie(new)
        stand.world.add_movie(other)
        result = await hinted(stand, new.jellyfin_id, other.jellyfin_id)
        assert (result.stats[Count.RELINKED], result.stats[Count.ADDED]) == (0, 1)
        films = "SELECT jellyfin_id FROM requests WHERE title = 'Metropolis'"
        assert rows(stand.path, films) == [(METROPOLIS.jellyfin_id,)]


async def test_a_title_without_ids_waits(tmp_path: Path) -> None:
    """Jellyfin may be about to find them; the next full run takes it as it is."""
    async with working(tmp_path) as stand:
        stand.world.movies[BARE.jellyfin_id] = BARE
        result = await hinted(stand, BARE.jellyfin_id)
        assert result.stats.counts[Reason.SCAN_IN_PROGRESS] == 1
        assert rows(stand.path, TITLES) == []
        await stand.run()
        assert (BARE.title,) in rows(stand.path, TITLES)
