"""The quick look: what it asks, and which run it finds worth asking for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.domain import Outcome, RemovalPolicy, Scope, Trigger
from daemon.errors import ServiceError
from daemon.services.jellyfin import Counts
from daemon.store import history
from daemon.triggers.quick import QuickCheck
from tests.builders import ACTOR, change, rows
from tests.pretend import Fault, World
from tests.pretend.library import Episode, Movie
from tests.running import METROPOLIS, SHOW, Stand, a_world, working

KIDS = Movie.named("The Kid", 1921, {"Tmdb": "10098"})
RUNS = "SELECT trigger, json_extract(result, '$.kind'), outcome FROM sync_runs ORDER BY id"
FIRST = ("admin", "full", "ok")
HINTED = ("quick", "hinted", "ok")
FULL = ("quick", "full", "ok")
SERVER, SAVED, COUNTS = "/System/Info/Public", "/Items", "/Items/Counts"
TASKS, FOLDERS = "/ScheduledTasks", "/Library/VirtualFolders"
HALF_A_MINUTE = timedelta(seconds=30)


async def said(stand: Stand) -> str:
    """What one look says that it came to."""
    words = await quick(stand).check()
    await stand.idle()
    return words


async def looked(stand: Stand) -> list[str]:
    """The paths that one look asked Jellyfin for, whatever run comes of it."""
    stand.asked("jellyfin")
    await quick(stand).check()
    paths = [path.partition("?")[0] for path in stand.asked("jellyfin")]
    await stand.idle()
    return paths


def quick(stand: Stand) -> QuickCheck:
    """The quick look."""
    return QuickCheck(stand.service._services.jellyfin, stand.service, stand.worker)


def titles(stand: Stand) -> set[str]:
    """What is tracked."""
    return {title for (title,) in rows(stand.path, "SELECT title FROM requests")}


async def test_where_nothing_changed_two_calls_are_all(tmp_path: Path) -> None:
    """Nothing saved and the counts as before: no run, not even a row in the history."""
    async with working(tmp_path) as stand:
        await stand.run()
        assert await looked(stand) == [SAVED, COUNTS]
        assert await looked(stand) == [SAVED, COUNTS]
        assert rows(stand.path, RUNS) == [FIRST]


async def test_a_film_that_was_saved_is_looked_at(tmp_path: Path) -> None:
    """By a hinted run; the next look compares with what this one found."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.add_movie(KIDS)
        assert await looked(stand) == [SAVED, COUNTS]
        assert rows(stand.path, RUNS) == [FIRST, HINTED]
        assert titles(stand) == {METROPOLIS.title, SHOW.title, KIDS.title}
        assert stand.service.baseline is not None
        assert stand.service.baseline.counts == Counts(2, 1, 1)


async def test_an_episode_that_was_saved_makes_its_series_available(tmp_path: Path) -> None:
    """The series itself was not saved by that."""
    async with working(tmp_path, a_world(episodes=0)) as stand:
        await stand.run()
        assert titles(stand) == {METROPOLIS.title}
        stand.world.add_episode(SHOW.jellyfin_id, Episode(1, 1))
        assert await looked(stand) == [SAVED, COUNTS]
        assert rows(stand.path, RUNS) == [FIRST, HINTED]
        assert titles(stand) == {METROPOLIS.title, SHOW.title}


async def test_a_loss_asks_for_a_full_run(tmp_path: Path) -> None:
    """No title that was saved can explain it."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.remove(METROPOLIS.jellyfin_id)
        assert await looked(stand) == [SAVED, COUNTS, TASKS, FOLDERS]
        assert rows(stand.path, RUNS) == [FIRST, FULL]
        assert await looked(stand) == [SAVED, COUNTS]


async def test_a_full_run_waits_while_the_library_is_at_work(tmp_path: Path) -> None:
    """Each look then also asks whether it is over, and the first that finds it so begins it."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.remove(METROPOLIS.jellyfin_id)
        stand.world.scanning = True
        assert await looked(stand) == [SAVED, COUNTS, TASKS, FOLDERS]
        assert await looked(stand) == [SAVED, COUNTS, TASKS, FOLDERS]
        assert rows(stand.path, RUNS) == [FIRST]
        stand.world.scanning = False
        assert await looked(stand) == [SAVED, COUNTS, TASKS, FOLDERS]
        assert rows(stand.path, RUNS) == [FIRST, FULL]
        assert await looked(stand) == [SAVED, COUNTS]


async def test_a_scan_that_never_ends_does_not_hold_the_looks_up(tmp_path: Path) -> None:
    """What was saved is looked at by its ids; only what needs a full reading waits."""
    async with working(tmp_path) as stand:
        stand.world.scanning = True
        await stand.run()
        assert stand.service.rescan_wanted
        stand.world.add_movie(KIDS)
        assert "looks at 1 saved item and a full sync follows once" in await said(stand)
        assert titles(stand) == {METROPOLIS.title, SHOW.title, KIDS.title}
        stand.world.scanning = False
        assert await said(stand) == "a full sync is needed: run 3"


async def test_a_total_that_never_agrees_does_not_hold_the_looks_up(tmp_path: Path) -> None:
    """What a reading was compared with is known all the same, and the library is read once."""
    world = a_world()
    world.extra_total = 3
    async with working(tmp_path, world) as stand:
        first, second = await stand.run(), await stand.run()
        listings = [path for path in stand.asked("jellyfin") if "StartIndex=0" in path]
        assert ([first.outcome, second.outcome], len(listings)) == ([Outcome.PARTIAL] * 2, 2 + 1)
        assert await looked(stand) == [SAVED, COUNTS]
        stand.world.add_movie(KIDS)
        assert await said(stand) == "run 3 looks at 1 saved item"
        assert titles(stand) == {METROPOLIS.title, SHOW.title, KIDS.title}


@pytest.mark.parametrize(("saved", "run"), [(500, HINTED), (3000, HINTED), (3001, FULL)])
async def test_very_many_changes_are_a_full_runs_affair(
    tmp_path: Path, saved: int, run: tuple[str, ...]
) -> None:
    """Up to three thousand titles are looked at by their ids; the whole list costs less then."""
    world = World.of_size(movies=3010, overview_chars=10)
    async with working(tmp_path, world) as stand:
        await stand.run()
        now = datetime.now(UTC)
        world.saved_at.update(dict.fromkeys([*world.movies][:saved], now))
        await looked(stand)
        assert rows(stand.path, RUNS) == [FIRST, run]


async def test_a_library_that_is_saved_anew_is_asked_for_in_bulk(tmp_path: Path) -> None:
    """As by each scan while a metadata provider is down: a few calls, and none for one series."""
    world = World.of_size(movies=60, series=60, episodes_per_series=3, overview_chars=10)
    async with working(tmp_path, world) as stand:
        await stand.run()
        world.saved_again()
        stand.asked("jellyfin")
        await quick(stand).check()
        await stand.idle()
        calls = stand.asked("jellyfin")
        assert rows(stand.path, RUNS) == [FIRST, HINTED]
        assert len(calls) <= 8
        assert not any("ParentId=" in call for call in calls)


async def test_one_library_is_read_alone(tmp_path: Path) -> None:
    """Its titles are added, nothing is missed, and what the looks compare with stays as it was."""
    async with working(tmp_path, removal=RemovalPolicy(sightings=1, grace=timedelta())) as stand:
        await stand.run()
        before = stand.service.baseline
        movies = next(one.id for one in stand.service.libraries if one.name == "Movies")
        stand.world.add_movie(KIDS)
        stand.world.remove(SHOW.jellyfin_id)
        stand.world.remove(METROPOLIS.jellyfin_id)
        stand.service.rescan_wanted = True
        stand.asked("jellyfin")
        result = await stand.run(Scope(library=movies))
        assert (result.kind, result.outcome, result.stats.scanned) == ("library", Outcome.OK, 1)
        listings = [path for path in stand.asked("jellyfin") if path.startswith("/Items?")]
        assert [f"ParentId={movies}" in path for path in listings if "&Ids=" not in path] == [
            True
        ] * 2
        assert titles(stand) == {METROPOLIS.title, SHOW.title, KIDS.title}
        assert rows(stand.path, "SELECT COUNT(*) FROM sync_absences") == [(0,)]
        assert (stand.service.baseline, stand.service.rescan_wanted) == (before, True)


@pytest.mark.parametrize("scope", [Scope(frozenset({KIDS.jellyfin_id})), Scope(library="x")])
async def test_only_a_full_run_brings_the_missing_pictures(tmp_path: Path, scope: Scope) -> None:
    """Another run in between does not make them forgotten."""
    async with working(tmp_path) as stand:
        await stand.run()
        change(stand.path, "UPDATE sync_runs SET pictures = 0, unpictured = 9")
        assert await stand.service._writable().read(history.pictures_wanted)
        await stand.run(scope)
        assert await stand.service._writable().read(history.pictures_wanted)


async def test_before_the_library_was_read_nothing_is_asked(tmp_path: Path) -> None:
    """There is nothing to compare with; that the server is there is worth to know all the same."""
    async with working(tmp_path) as stand:
        assert await looked(stand) == [SERVER]
        stand.services.fault("jellyfin", Fault("/Items?", times=None, status=500))
        await stand.run()
        assert await looked(stand) == [SERVER]
        assert [trigger for trigger, *_ in rows(stand.path, RUNS)] == ["admin"]


@pytest.mark.parametrize("path", ["/Items?", COUNTS])
async def test_a_look_that_fails_is_simply_the_next_one(tmp_path: Path, path: str) -> None:
    """What was saved meanwhile is found then."""
    async with working(tmp_path) as stand:
        await stand.run()
        stand.world.add_movie(KIDS)
        stand.services.fault("jellyfin", Fault(path, status=500, times=None))
        with pytest.raises(ServiceError):
            await looked(stand)
        stand.services.mend("jellyfin")
        assert rows(stand.path, RUNS) == [FIRST]
        await looked(stand)
        assert rows(stand.path, RUNS) == [FIRST, HINTED]


async def test_a_look_says_what_it_came_to(tmp_path: Path) -> None:
    """Whoever asked for it reads that."""
    async with working(tmp_path) as stand:
        assert "nothing to compare with" in await said(stand)
        await stand.run()
        assert await said(stand) == "nothing has changed"
        stand.world.add_movie(KIDS)
        assert await said(stand) == "run 2 looks at 1 saved item"
        stand.world.remove(METROPOLIS.jellyfin_id)
        stand.world.scanning = True
        later = " and a full sync follows once Jellyfin is idle"
        assert await said(stand) == f"run 3 looks at 1 saved item{later}"
        stand.world.scanning = False
        assert await said(stand) == "a full sync is needed: run 4"
        stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        assert "will see what is new" in await said(stand)


async def test_a_look_tells_how_jellyfin_is(tmp_path: Path) -> None:
    """Nothing else asks it for hours."""
    async with working(tmp_path) as stand:
        await stand.run()
        health = stand.service.health
        stand.services.fault("jellyfin", Fault(status=500, times=None))
        with pytest.raises(ServiceError):
            await looked(stand)
        assert (health.services["Jellyfin"].up, health.services["Radarr"].up) == (False, True)
        stand.services.mend("jellyfin")
        await looked(stand)
        assert health.services["Jellyfin"].up is True
