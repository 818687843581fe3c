"""A tracker over time: each story runs end to end, from a library to the tracker's file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.demo import Fault, PretendServices
from daemon.demo.library import (
    LONG_AGO,
    Episode,
    Folder,
    Movie,
    Series,
    World,
    jellyfin_id,
)
from daemon.domain import Outcome, RemovalPolicy, Scope, SkipReason
from daemon.store import AuditEvent, PlanState
from tests.worlds import ADMIN, Clock, Place, a_place, another_process, settings_of

DAY = timedelta(hours=25)
WEEK = timedelta(days=7)
SETTLED = AuditEvent("plan.settled", ADMIN)


def films(count: int) -> list[Movie]:
    """Films that are told apart by their numbers."""
    return [Movie.named(f"Film {n}", 1950 + n % 50, {"Tmdb": str(1000 + n)}) for n in range(count)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Twenty films that are tracked, all known to Radarr."""
    world = World()
    for film in films(20):
        world.movies[film.jellyfin_id] = film
        world.radarr_knows(film)
    async with a_place(tmp_path, world) as place:
        assert (await place.sync()).tally.added == 20
        yield place


def in_library(library: str, title: str, year: int | None, ids: dict[str, str]) -> Movie:
    """A film in another library than that of films."""
    path = f"/media/{library.lower()}/{title}.mkv"
    number = jellyfin_id("Movie", path)
    return Movie(number, title, year, ids, "", path, LONG_AGO, library=library)


class Renamed(Folder):
    """A library with another name at the same place."""

    @property
    def path(self) -> str:
        """Where the films are."""
        return "/media/movies"


async def days(place: Place, count: int) -> None:
    """A run a day."""
    for _ in range(count):
        await place.sync()
        place.clock.pass_by(DAY)


def lose(place: Place, title: str) -> Movie:
    """Delete a film in Jellyfin."""
    [film] = [film for film in place.world.movies.values() if film.title == title]
    place.world.remove(film.jellyfin_id)
    return film


async def test_a_deleted_film_is_watched_then_removed_then_brought_back(place: Place) -> None:
    """Day 1 it is missing, day 2 it is removed with a deletion log, and one call undoes that."""
    before = place.rows("*", where="title = 'Film 3'")
    events = place.rows("*", "timeline_events")
    lose(place, "Film 3")
    await days(place, 1)
    assert place.results[-1].tally.watched == 1
    assert len(place.rows()) == 20
    removing = await place.sync()
    assert (removing.tally.removed, removing.outcome) == (1, Outcome.OK)
    assert len(place.rows()) == 19
    assert place.rows("title, source, status, is_anime", "deletion_logs") == [
        ("Film 3", "JELLYFIN", "COMPLETE", 0)
    ]
    assert place.rows("service, status", "deletion_sync_events") == [
        ("jellyfin", "VERIFIED"),
        ("radarr", "SKIPPED"),
    ]
    assert len(place.rows("*", "timeline_events")) == 19
    assert place.path.with_name("tracker.db.before-removal").exists()
    [undone] = (await place.store.undo(removing.run_id or 0, ADMIN)).titles
    assert undone.done
    assert place.rows("*", where="title = 'Film 3'") == before
    assert sorted(place.rows("*", "timeline_events")) == sorted(events)
    assert place.rows("*", "deletion_logs") == []


async def test_a_run_keeps_what_the_guard_looked_at(place: Place) -> None:
    """Also where nothing was missing, and where nothing could be said of that."""
    await place.sync()
    assert holding(place) == []
    lose(place, "Film 3")
    await place.sync()
    assert holding(place) == ["1 of 1 titles wait for more evidence"]
    place.world.scanning = True
    await place.sync()
    assert holding(place) == ["Jellyfin was at work on its library, where rows stand half-made"]
    place.world.scanning = False
    place.world.library_offline("Movies")
    place.world.add_movie(in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"}))
    await days(place, 2)
    assert place.results[-1].tally.held == 20
    assert holding(place) == ["nothing is left of /media/movies; is its disk there?"]


def holding(place: Place) -> list[str]:
    """What the rules of the guard held against removals in the latest run."""
    return [rule["why"] for rule in place.results[-1].as_dict()["guard"] if rule["why"]]


async def test_an_undone_removal_stays_until_there_is_new_evidence(place: Place) -> None:
    """A title that was brought back has to be seen again before it can be missed again."""
    film = lose(place, "Film 3")
    await days(place, 2)
    await place.store.undo(place.results[-1].run_id or 0, ADMIN)
    await days(place, 4)
    assert len(place.rows()) == 20
    place.world.add_movie(film)
    await place.sync()
    place.world.remove(film.jellyfin_id)
    await days(place, 2)
    assert len(place.rows()) == 19


async def test_a_disk_that_is_away_holds_everything_and_lets_go_when_it_is_back(
    place: Place,
) -> None:
    """Nothing is changed while it is away, and the plan resolves by itself."""
    place.world.library_offline("Movies")
    other = in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"})
    place.world.add_movie(other)
    await days(place, 4)
    held = place.results[-1]
    assert (held.outcome, held.tally.removed, held.tally.held) == (Outcome.HELD, 0, 20)
    assert len(place.rows()) == 21
    plan = await place.store.plan(held.tally.waiting_plan or 0)
    assert plan is not None
    assert len(plan["titles"]) == 20
    assert plan["titles"][0]["why"].endswith("is its disk there?")
    place.world.library_online("Movies")
    back = await place.sync()
    assert (back.outcome, back.tally.watched) == (Outcome.OK, 0)
    plan = await place.store.plan(plan["run_id"])
    assert plan is not None
    assert plan["state"] == PlanState.RESOLVED
    assert place.rows("*", "sync_absences") == []


async def test_a_held_plan_is_kept_once_and_not_anew_with_each_run(place: Place) -> None:
    """The same titles wait under the run that held them first."""
    place.world.library_offline("Movies")
    place.world.add_movie(in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"}))
    await days(place, 5)
    plans = {result.tally.waiting_plan for result in place.results[-3:]}
    assert len(plans) == 1
    assert place.rows("state", "sync_plans") == ["open"]


async def test_an_approved_plan_is_checked_against_the_library_now(place: Place) -> None:
    """What came back meanwhile stays; the rest goes."""
    lost = [lose(place, f"Film {n}") for n in range(10)]
    await days(place, 3)
    plan = place.results[-1].tally.waiting_plan or 0
    place.world.add_movie(lost[0])
    held = await place.store.plan(plan)
    assert held is not None
    approved = frozenset(title["request_id"] for title in held["titles"])
    assert await place.store.settle_plan(plan, PlanState.APPROVED, SETTLED, WEEK)
    result = await place.sync(Scope(approved=approved))
    assert result.tally.removed == 9
    assert "Film 0" in place.rows()
    assert not await place.store.settle_plan(plan, PlanState.APPROVED, SETTLED, WEEK)


async def test_a_discarded_plan_is_not_held_again_until_it_changes(place: Place) -> None:
    """An admin who says no is not asked the same every day."""
    for number in range(8):
        lose(place, f"Film {number}")
    await days(place, 3)
    plan = place.results[-1].tally.waiting_plan or 0
    assert await place.store.settle_plan(plan, PlanState.DISCARDED, SETTLED, WEEK)
    await days(place, 2)
    lose(place, "Film 9")
    await days(place, 3)
    outcomes = [result.outcome for result in place.results[1:]]
    held, ok = Outcome.HELD, Outcome.OK
    assert outcomes == [ok, held, held, ok, ok, ok, held, held]
    assert len(place.rows()) == 20


async def test_a_plan_that_waited_too_long_is_stale_and_made_anew(place: Place) -> None:
    """What nobody approved within a week is not approved by accident later."""
    for number in range(8):
        lose(place, f"Film {number}")
    await days(place, 3)
    plan = place.results[-1].tally.waiting_plan or 0
    place.clock.pass_by(timedelta(days=8))
    assert not await place.store.settle_plan(plan, PlanState.APPROVED, SETTLED, WEEK)
    anew = (await place.sync()).tally.waiting_plan
    assert anew not in {None, plan}


async def test_an_upgraded_film_is_the_same_title_under_its_new_id(place: Place) -> None:
    """Another file name gives Jellyfin's item a new id; the row follows, and is not removed."""
    old = lose(place, "Film 5")
    new = in_library("Anime", "Film 5", old.year, old.provider_ids)
    place.world.add_movie(new)
    result = await place.sync()
    assert result.tally.relinked == 1
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [new.jellyfin_id]
    [event] = place.rows("before, after", "sync_audit", "action = 'title.relink'")
    assert json.loads(event[0])["jellyfin_id"] == old.jellyfin_id
    assert json.loads(event[1])["jellyfin_id"] == new.jellyfin_id
    await days(place, 4)
    assert len(place.rows()) == 20
    [undone] = (await place.store.undo(result.run_id or 0, ADMIN)).titles
    assert undone.done
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [old.jellyfin_id]


async def test_a_film_that_moved_to_another_library_counts_there(place: Place) -> None:
    """It is not missing, and belongs to its new library from then on."""
    old = lose(place, "Film 5")
    place.world.add_movie(in_library("Anime", "Film 5", old.year, old.provider_ids))
    await days(place, 3)
    number = place.rows("id", where="title = 'Film 5'")[0]
    assert place.rows("library", "sync_titles", f"request_id = {number}") == ["/media/anime"]
    assert place.results[-1].tally.watched == 0


async def test_a_renamed_library_loses_nothing(place: Place) -> None:
    """A library is its place on the disk, whatever its name."""
    place.world.folders["Films"] = Renamed(
        "Films", place.world.folders.pop("Movies").collection_type
    )
    await days(place, 3)
    assert len(place.rows()) == 20


async def test_a_library_removed_by_an_admin_is_held_for_approval(place: Place) -> None:
    """Its titles are gone from Jellyfin at once, but nobody said that the tracker shall forget."""
    place.world.add_movie(in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"}))
    await place.sync()
    for film in [film for film in place.world.movies.values() if film.library == "Movies"]:
        place.world.remove(film.jellyfin_id)
    del place.world.folders["Movies"]
    await days(place, 3)
    assert place.results[-1].outcome is Outcome.HELD
    assert len(place.rows()) == 21
    plan = await place.store.plan(place.results[-1].tally.waiting_plan or 0)
    assert plan is not None
    assert "not listed by Jellyfin any more" in plan["titles"][0]["why"]


async def test_radarr_set_up_anew_gives_every_film_its_new_number(place: Place) -> None:
    """A stale number made the tracker delete the wrong film; it is replaced at once."""
    place.world.radarr.clear()
    await place.sync()
    assert None not in place.rows("radarr_id")
    for film in reversed(list(place.world.movies.values())):
        place.world.radarr_knows(film)
    result = await place.sync()
    assert result.tally.relinked == 20
    numbers = {known.movie.title: number for number, known in place.world.radarr.items()}
    assert dict(place.rows("title, radarr_id")) == numbers


async def test_a_film_that_left_radarr_loses_its_number(place: Place) -> None:
    """A wrong id is worse than none; while Radarr is away, nothing is known."""
    number = place.rows("radarr_id", where="title = 'Film 4'")[0]
    del place.world.radarr[number]
    place.services.fault("radarr", Fault(status=500, times=None))
    await place.sync()
    assert place.rows("radarr_id", where="title = 'Film 4'") == [number]
    place.services.mend("radarr")
    await place.sync()
    assert place.rows("radarr_id", where="title = 'Film 4'") == [None]


async def test_two_libraries_hold_one_film_and_one_copy_is_lost(place: Place) -> None:
    """The row moves on to the copy that is left."""
    [old] = [film for film in place.world.movies.values() if film.title == "Film 5"]
    copy = in_library("Anime", "Film 5", old.year, old.provider_ids)
    place.world.add_movie(copy)
    assert (await place.sync()).tally.skipped[SkipReason.DUPLICATE] == 1
    place.world.remove(old.jellyfin_id)
    await days(place, 3)
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [copy.jellyfin_id]
    assert len(place.rows()) == 20


AT = "2026-01-02 03:04:05.000000"


def request(place: Place, title: str, media_type: str, state: str, **more: object) -> None:
    """A request that somebody made in the tracker."""
    values = {
        "title": title,
        "media_type": media_type,
        "state": state,
        "requested_by": "alice",
        **dict.fromkeys(("created_at", "updated_at", "state_changed_at"), AT),
        **more,
    }
    marks = ", ".join("?" * len(values))
    place.execute(f"INSERT INTO requests ({', '.join(values)}) VALUES ({marks})", *values.values())


async def test_a_first_run_leaves_somebodys_requests_as_they_are(tmp_path: Path) -> None:
    """Requests for what is not there stay; those for what is there are promoted, not doubled."""
    world = World()
    [there] = films(1)
    world.add_movie(there)
    async with a_place(tmp_path, world) as place:
        request(place, "There", "MOVIE", "FAILED", tmdb_id=1000)
        request(place, "Wanted", "MOVIE", "REQUESTED", tmdb_id=1001)
        result = await place.sync()
        assert (result.tally.promoted, result.tally.added) == (1, 0)
        await days(place, 5)
        assert place.rows("title, state, requested_by") == [
            ("There", "AVAILABLE", "alice"),
            ("Wanted", "REQUESTED", "alice"),
        ]
        assert place.rows("state, details", "timeline_events") == [
            ("AVAILABLE", "Found in the library")
        ]


async def test_a_requested_season_becomes_available_with_its_last_episode(tmp_path: Path) -> None:
    """Sonarr says how many there are, Jellyfin how many are there; an undo takes it all back."""
    show = Series.named("A show", 1990, {"Tvdb": "77"})
    show.episodes.extend(Episode(1, number) for number in range(1, 4))
    world = World()
    world.add_series(show)
    known = world.sonarr_knows(show)
    last = show.episodes.pop()
    async with a_place(tmp_path, world) as place:
        request(place, "A show", "TV", "DOWNLOADING", tvdb_id=77, requested_seasons="1")
        place.execute(
            "INSERT INTO episodes (request_id, season_number, episode_number, state, created_at,"
            f" updated_at) VALUES (1, 1, 1, 'IMPORTING', '{AT}', '{AT}')"
        )
        await days(place, 2)
        assert place.rows("state, sonarr_id") == [("DOWNLOADING", known.id)]
        assert place.rows("details", "sync_decisions", "kind = 'skip'") == ["2 of 3 episodes"]
        show.episodes.append(last)
        result = await place.sync()
        assert result.tally.promoted == 1
        assert place.rows("state") == place.rows("state", "episodes") == ["AVAILABLE"]
        undone = await place.store.undo(result.run_id or 0, ADMIN)
        assert [one.done for one in undone.titles] == [True]
        assert place.rows("state") == ["DOWNLOADING"]
        assert place.rows("state", "episodes") == ["IMPORTING"]
        assert place.rows("*", "timeline_events") == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/Items?", body=b'{"Items":[],"TotalRecordCount":0,"StartIndex":0}', times=None),
        Fault("/Items?", body=b'{"Items":[],"TotalRecordCount":20,"StartIndex":0}', times=None),
        Fault("/Items?", cut=3000, times=None),
        Fault("/Items?", cut=3000, clean=True, times=None),
        Fault("/Items?", status=500, times=None),
        Fault("/ScheduledTasks", status=500, times=None),
        Fault("/Library/VirtualFolders", body=b"[]", times=None),
    ],
    ids=["empty", "half", "cut", "cut cleanly", "broken", "no state", "no library listed"],
)
async def test_a_reply_that_is_not_the_library_removes_nothing(place: Place, fault: Fault) -> None:
    """Whatever Jellyfin says instead of its library, every row stays."""
    place.services.fault("jellyfin", fault)
    await days(place, 5)
    assert len(place.rows()) == 20
    assert all(result.tally.removed == 0 for result in place.results)


async def test_a_scan_that_is_going_removes_nothing(place: Place) -> None:
    """While the server is at work on its library its listing is no proof."""
    place.world.scanning = True
    lose(place, "Film 3")
    await days(place, 5)
    assert len(place.rows()) == 20
    assert place.rows("*", "sync_absences") == []


@pytest.mark.parametrize("jump", [timedelta(days=30), timedelta(days=-30)])
async def test_a_clock_that_jumps_can_only_delay(place: Place, jump: timedelta) -> None:
    """Time is what surely passed; the clock on the wall alone proves nothing."""
    lose(place, "Film 3")
    await place.sync()
    place.clock.now += jump
    await place.sync()
    await place.sync()
    assert len(place.rows()) == 20
    place.clock.boot, place.clock.steady = "second boot", 60.0
    place.clock.now += timedelta(days=60)
    await place.sync()
    assert len(place.rows()) == 20


async def test_a_row_that_the_tracker_changed_meanwhile_is_left_alone(place: Place) -> None:
    """Between the plan and its writing the row became another one."""
    lose(place, "Film 3")
    await days(place, 1)
    tracked = await place.store.tracked()
    [row] = [row for row in tracked.rows if row.absence]
    place.execute("UPDATE requests SET state = 'REQUESTED' WHERE id = ?", row.id)
    applied = await place.store.remove(2, ADMIN, [row])
    assert applied.removed == 0
    assert len(place.rows()) == 20


async def test_a_broken_before_image_undoes_nothing(place: Place) -> None:
    """What was kept of a title is checked before it is believed."""
    lose(place, "Film 3")
    await days(place, 2)
    place.execute("DROP TRIGGER sync_audit_no_update")
    place.execute("UPDATE sync_audit SET before = '{}' WHERE action = 'title.removed'")
    [undone] = (await place.store.undo(place.results[-1].run_id or 0, ADMIN)).titles
    assert (undone.done, undone.why) == (False, "what was kept of it is not usable")
    assert len(place.rows()) == 19


async def test_a_title_that_is_tracked_again_is_not_brought_back_twice(place: Place) -> None:
    """The undo is refused for that title, and says so."""
    lose(place, "Film 3")
    await days(place, 2)
    request(place, "Film 3", "MOVIE", "REQUESTED", tmdb_id=1003)
    [undone] = (await place.store.undo(place.results[-1].run_id or 0, ADMIN)).titles
    assert not undone.done
    assert undone.why.startswith("the title is tracked again")


async def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    """A daemon that is restarted every day still sees what is gone."""
    world = World()
    for film in films(20):
        world.movies[film.jellyfin_id] = film
    clock = Clock()
    async with PretendServices(world) as services:
        settings = settings_of(services, tmp_path / "tracker.db")
        for day in range(3):
            async with another_process(services, settings, clock) as place:
                result = await place.sync()
                assert result.tally.removed == (1 if day == 2 else 0)
                if day == 0:
                    lose(place, "Film 3")
            clock.pass_by(DAY)
            clock.boot, clock.steady = f"boot {day}", DAY.total_seconds()


@pytest.mark.parametrize("how", ["in a scan", "by a hint"])
async def test_whatever_run_sees_a_title_again_ends_its_absence(place: Place, how: str) -> None:
    """A title that came back for a moment starts from nothing when it is missing again."""
    film = lose(place, "Film 3")
    await days(place, 1)
    assert place.rows("sightings", "sync_absences") == [1]
    place.world.add_movie(film)
    place.world.scanning = how == "in a scan"
    await place.sync(Scope(frozenset({film.jellyfin_id})) if how == "by a hint" else None)
    assert place.rows("*", "sync_absences") == []
    place.world.scanning = False
    place.world.remove(film.jellyfin_id)
    await days(place, 1)
    assert len(place.rows()) == 20


async def test_a_number_that_the_tracker_gave_anew_has_no_absence(place: Place) -> None:
    """What was missing under it before says nothing of the title that has it now."""
    [last] = place.rows(where="id = 20")
    lose(place, last)
    await days(place, 1)
    [number] = place.rows("request_id", "sync_absences")
    place.execute("DELETE FROM timeline_events WHERE request_id = ?", number)
    place.execute("DELETE FROM requests WHERE id = ?", number)
    assert await place.store.attention(RemovalPolicy()) == []
    place.world.add_movie(in_library("Films", "New", 2020, {"Tmdb": "77"}))
    await place.sync()
    assert place.rows("id", where="title = 'New'") == [number]
    assert place.rows("*", "sync_absences") == []


async def test_two_rows_of_one_film_are_both_there(place: Place) -> None:
    """The one that the library does not speak of is not missing."""
    place.execute(
        "INSERT INTO requests (title, media_type, state, tmdb_id, jellyfin_id, created_at,"
        " updated_at, state_changed_at, is_anime) SELECT title, media_type, state, tmdb_id,"
        " jellyfin_id, created_at, updated_at, state_changed_at, is_anime FROM requests"
        " WHERE title = 'Film 3'"
    )
    place.execute(
        "INSERT INTO sync_titles (request_id, created_at, library)"
        " SELECT requests.id, requests.created_at, '/films' FROM requests WHERE id = 21"
    )
    await place.sync()
    await days(place, 5)
    assert len(place.rows()) == 21
    assert place.rows("*", "sync_absences") == []


async def test_a_dry_run_leaves_the_daemon_as_it_was(place: Place) -> None:
    """What it read is not what the tracker holds, so that no later run may build on it."""
    before = place.service.baseline
    place.world.scanning = True
    result = await place.service.preview()
    assert result.tally.gaps
    assert place.service.baseline is before
    assert not place.service.rescan_wanted


async def test_an_undo_tells_the_audit_of_every_title(place: Place) -> None:
    """Of the refused ones, too; and its events go to the log like all others."""
    lose(place, "Film 3")
    await days(place, 2)
    run = place.results[-1].run_id or 0
    request(place, "Film 3", "MOVIE", "REQUESTED", tmdb_id=1003)
    undoing = await place.store.undo(run, ADMIN)
    assert [link.action for link in undoing.links] == ["undo.refused"]
    place.execute("DELETE FROM requests WHERE state = 'REQUESTED'")
    undoing = await place.store.undo(run, ADMIN)
    assert [link.action for link in undoing.links] == ["title.undone"]
    assert (await place.store.verify_audit()).broken_at is None
