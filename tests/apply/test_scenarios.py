"""A tracker over time: each story runs end to end, from a library to the tracker's file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain import Absent, Fate, Ids, MediaType, Outcome, RemovalPolicy, Scope
from daemon.reasons import Count, Reason
from daemon.store import attention, audit, plans, syncing, undo
from daemon.store.audit import AuditEvent
from daemon.store.plans import PlanState
from tests.builders import configured
from tests.pretend import Fault, PretendServices
from tests.pretend.jellyfin import ADMIN as ADMINISTRATOR
from tests.pretend.library import (
    ABSENT,
    LONG_AGO,
    Episode,
    Folder,
    Movie,
    Series,
    SonarrSeason,
    World,
    jellyfin_id,
)
from tests.worlds import ADMIN, Clock, Place, a_place, another_process, films, with_films

DAY = timedelta(hours=25)
WEEK = timedelta(days=7)
SETTLED = AuditEvent("plan.settled", ADMIN)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Twenty films that are tracked, all known to Radarr."""
    async with with_films(tmp_path, 20) as place:
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
    assert place.results[-1].stats[Count.WATCHED] == 1
    assert len(place.rows()) == 20
    removing = await place.sync()
    assert (removing.stats[Count.REMOVED], removing.outcome) == (1, Outcome.OK)
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
    [undone] = await undo.undo_run(place.store, removing.run_id or 0, ADMIN)
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
    assert holding(place) == ["Jellyfin was scanning its library, so rows may be incomplete"]
    place.world.scanning = False
    place.world.library_offline("Movies")
    place.world.add_movie(in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"}))
    await days(place, 2)
    assert place.results[-1].stats[Count.HELD] == 20
    assert holding(place) == [
        "nothing is left of /media/movies; is its disk there?",
        "20 of all 21 titles are missing at once",
        "with 0 removed in the last seven days it would be 20 of 21",
    ]


def holding(place: Place) -> list[str]:
    """What the rules of the guard held against removals in the latest run."""
    return [rule["why"] for rule in place.results[-1].as_dict()["guard"] if rule["why"]]


async def test_an_undone_removal_stays_until_there_is_new_evidence(place: Place) -> None:
    """A title that was brought back has to be seen again before it can be missed again."""
    film = lose(place, "Film 3")
    await days(place, 2)
    await undo.undo_run(place.store, place.results[-1].run_id or 0, ADMIN)
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
    assert (held.outcome, held.stats[Count.REMOVED], held.stats[Count.HELD]) == (
        Outcome.HELD,
        0,
        20,
    )
    assert len(place.rows()) == 21
    plan = await place.store.read(plans.one, held.stats.waiting_plan or 0)
    assert plan is not None
    assert len(plan.titles) == 20
    assert plan.titles[0].why.endswith("is its disk there?")
    place.world.library_online("Movies")
    back = await place.sync()
    assert (back.outcome, back.stats[Count.WATCHED]) == (Outcome.OK, 0)
    plan = await place.store.read(plans.one, plan.run_id)
    assert plan is not None
    assert plan.state == PlanState.RESOLVED
    assert place.rows("*", "sync_absences") == []


async def test_a_held_plan_is_kept_once_and_not_anew_with_each_run(place: Place) -> None:
    """The same titles wait under the run that held them first."""
    place.world.library_offline("Movies")
    place.world.add_movie(in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"}))
    await days(place, 5)
    plans = {result.stats.waiting_plan for result in place.results[-3:]}
    assert len(plans) == 1
    assert place.rows("state", "sync_plans") == ["open"]


async def test_an_approved_plan_is_checked_against_the_library_now(place: Place) -> None:
    """What came back meanwhile stays; the rest goes."""
    lost = [lose(place, f"Film {n}") for n in range(10)]
    await days(place, 3)
    plan = place.results[-1].stats.waiting_plan or 0
    place.world.add_movie(lost[0])
    held = await place.store.read(plans.one, plan)
    assert held is not None
    approved = frozenset(title.request_id for title in held.titles)
    assert await place.store.write(plans.settle, plan, PlanState.APPROVED, SETTLED, WEEK)
    result = await place.sync(Scope(approved=approved))
    assert result.stats[Count.REMOVED] == 9
    assert "Film 0" in place.rows()
    assert not await place.store.write(plans.settle, plan, PlanState.APPROVED, SETTLED, WEEK)


async def test_a_discarded_plan_is_not_held_again_until_it_changes(place: Place) -> None:
    """An admin who says no is not asked the same every day."""
    for number in range(8):
        lose(place, f"Film {number}")
    await days(place, 3)
    plan = place.results[-1].stats.waiting_plan or 0
    assert await place.store.write(plans.settle, plan, PlanState.DISCARDED, SETTLED, WEEK)
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
    plan = place.results[-1].stats.waiting_plan or 0
    place.clock.pass_by(timedelta(days=8))
    assert not await place.store.write(plans.settle, plan, PlanState.APPROVED, SETTLED, WEEK)
    anew = (await place.sync()).stats.waiting_plan
    assert anew not in {None, plan}


async def test_an_upgraded_film_is_the_same_title_under_its_new_id(place: Place) -> None:
    """Another file name gives Jellyfin's item a new id; the row follows, and is not removed."""
    old = lose(place, "Film 5")
    new = in_library("Anime", "Film 5", old.year, old.provider_ids)
    place.world.add_movie(new)
    result = await place.sync()
    assert result.stats[Count.RELINKED] == 1
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [new.jellyfin_id]
    [event] = place.rows("before, after", "sync_audit", "action = 'title.relink'")
    assert json.loads(event[0])["jellyfin_id"] == old.jellyfin_id
    assert json.loads(event[1])["jellyfin_id"] == new.jellyfin_id
    await days(place, 4)
    assert len(place.rows()) == 20
    [undone] = await undo.undo_run(place.store, result.run_id or 0, ADMIN)
    assert undone.done
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [old.jellyfin_id]


async def test_a_film_that_moved_to_another_library_counts_there(place: Place) -> None:
    """It is not missing, and belongs to its new library from then on."""
    old = lose(place, "Film 5")
    place.world.add_movie(in_library("Anime", "Film 5", old.year, old.provider_ids))
    await days(place, 3)
    number = place.rows("id", where="title = 'Film 5'")[0]
    assert place.rows("library", "sync_titles", f"request_id = {number}") == ["/media/anime"]
    assert place.results[-1].stats[Count.WATCHED] == 0


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
    plan = await place.store.read(plans.one, place.results[-1].stats.waiting_plan or 0)
    assert plan is not None
    assert "not listed by Jellyfin any more" in plan.titles[0].why


async def test_radarr_set_up_anew_gives_every_film_its_new_number(place: Place) -> None:
    """A stale number made the tracker delete the wrong film; it is replaced at once."""
    place.world.radarr.clear()
    await place.sync()
    assert None not in place.rows("radarr_id")
    for film in reversed(list(place.world.movies.values())):
        place.world.radarr_knows(film)
    result = await place.sync()
    assert result.stats[Count.RELINKED] == 20
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
    assert (await place.sync()).stats.counts[Reason.DUPLICATE] == 1
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
        assert (result.stats[Count.PROMOTED], result.stats[Count.ADDED]) == (1, 0)
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
        assert result.stats[Count.PROMOTED] == 1
        assert place.rows("state") == place.rows("state", "episodes") == ["AVAILABLE"]
        undone = await undo.undo_run(place.store, result.run_id or 0, ADMIN)
        assert [one.done for one in undone] == [True]
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
    assert all(result.stats[Count.REMOVED] == 0 for result in place.results)


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
    tracked = await place.store.read(syncing.tracked)
    [row] = [row for row in tracked.rows if row.absence]
    place.execute("UPDATE requests SET state = 'REQUESTED' WHERE id = ?", row.id)
    applied = await place.store.write(syncing.remove, 2, ADMIN, [Absent(row, Fate.REMOVE)])
    assert applied[Reason.REMOVE] == 0
    assert len(place.rows()) == 20


async def test_a_broken_before_image_undoes_nothing(place: Place) -> None:
    """What was kept of a title is checked before it is believed."""
    lose(place, "Film 3")
    await days(place, 2)
    place.execute("DROP TRIGGER sync_audit_no_update")
    place.execute("UPDATE sync_audit SET before = '{}' WHERE action = 'title.removed'")
    [undone] = await undo.undo_run(place.store, place.results[-1].run_id or 0, ADMIN)
    assert (undone.done, undone.why) == (False, "what was kept of it is unusable")
    assert len(place.rows()) == 19


async def test_a_title_that_is_tracked_again_is_not_brought_back_twice(place: Place) -> None:
    """The undo is refused for that title, and says so."""
    lose(place, "Film 3")
    await days(place, 2)
    request(place, "Film 3", "MOVIE", "REQUESTED", tmdb_id=1003)
    [undone] = await undo.undo_run(place.store, place.results[-1].run_id or 0, ADMIN)
    assert not undone.done
    assert undone.why.startswith("the title is tracked again")


async def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    """A daemon that is restarted every day still sees what is gone."""
    world = World()
    for film in films(20):
        world.movies[film.jellyfin_id] = film
    clock = Clock()
    async with PretendServices(world) as services:
        settings = configured(services, tmp_path / "tracker.db")
        for day in range(3):
            async with another_process(services, settings, clock) as place:
                result = await place.sync()
                assert result.stats[Count.REMOVED] == (1 if day == 2 else 0)
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
    assert await place.store.read(attention.findings, RemovalPolicy()) == []
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
    assert result.stats.gaps
    assert place.service.baseline is before
    assert not place.service.rescan_wanted


async def test_an_undo_tells_the_audit_of_every_title(place: Place) -> None:
    """Of the refused ones, too."""
    lose(place, "Film 3")
    await days(place, 2)
    run = place.results[-1].run_id or 0
    request(place, "Film 3", "MOVIE", "REQUESTED", tmdb_id=1003)
    await undo.undo_run(place.store, run, ADMIN)
    assert [event.action for event in (await place.store.read(audit.events, None, 1)).rows] == [
        "undo.refused"
    ]
    place.execute("DELETE FROM requests WHERE state = 'REQUESTED'")
    await undo.undo_run(place.store, run, ADMIN)
    newest = (await place.store.read(audit.events, None, 2)).rows
    assert [event.action for event in newest] == ["title.undone", "undo.refused"]
    assert (await place.store.read(audit.verify)).broken_at is None


# --- who answers, and what may be said by it -----------------------------------------------------


async def replaced(place: Place, title: str) -> tuple[Movie, Movie]:
    """A film whose file got another name, and with it another id; before and after."""
    old = lose(place, title)
    new = in_library("Movies", f"{title} 2160p", old.year, old.provider_ids)
    place.world.add_movie(new)
    return old, new


async def test_another_server_adds_but_neither_removes_nor_relinks(place: Place) -> None:
    """Until an admin says that it is the right one; then what is missing is missing."""
    place.world.server_id = "f" * 32
    lose(place, "Film 3")
    old, new = await replaced(place, "Film 5")
    place.world.add_movie(films(21)[20])
    await days(place, 4)
    assert len(place.rows()) == 21
    assert place.rows("jellyfin_id", where="title = 'Film 5'") == [old.jellyfin_id]
    assert place.rows("*", "sync_absences") == []
    gaps = [gap.kind for gap in place.results[-1].stats.gaps]
    assert (gaps, place.results[-1].stats.server_known) == (["distrusted"], False)
    confirmed = AuditEvent("server.confirmed", ADMIN, target="f" * 32)
    await place.store.write(attention.confirm, "server", "f" * 32, confirmed, only=True)
    await days(place, 3)
    assert len(place.rows()) == 20
    assert place.rows("jellyfin_id", where="tmdb_id = 1005") == [new.jellyfin_id]


async def test_the_first_server_is_taken_for_the_right_one(place: Place) -> None:
    """That is kept in the file, and told by the audit."""
    [(kind, target)] = place.rows("kind, target", "sync_confirmed")
    assert (kind, target) == ("server", place.service.server_id)
    [told] = place.rows("target", "sync_audit", "action = 'server.known'")
    assert told.endswith(target)


async def test_a_persons_token_adds_and_promotes_but_neither_removes_nor_relinks(
    tmp_path: Path,
) -> None:
    """An administrator's own token passes every call, and does not see what is hidden."""
    world, clock = World(), Clock()
    for film in films(20):
        world.movies[film.jellyfin_id] = film
    async with PretendServices(world) as services:
        key = services.jellyfin_key
        async with another_process(
            services, configured(services, tmp_path / "tracker.db"), clock
        ) as place:
            await place.sync()
        services.jellyfin_key = ADMINISTRATOR.token
        settings = configured(services, tmp_path / "tracker.db")
        async with another_process(services, settings, clock) as place:
            hidden = next(film for film in world.movies.values() if film.title == "Film 3")
            world.hidden.add(hidden.jellyfin_id)
            old, copy = await replaced(place, "Film 5")
            new = films(22)[20:]
            for film in new:
                world.add_movie(film)
            request(place, "Film 21", "MOVIE", "REQUESTED", tmdb_id=1021)
            await days(place, 4)
            assert len(place.rows()) == 22
            assert place.rows("state", where="tmdb_id = 1021") == ["AVAILABLE"]
            assert place.rows("jellyfin_id", where="title = 'Film 5'") == [old.jellyfin_id]
            assert {gap.kind for gap in place.results[-1].stats.gaps} == {"distrusted"}
            hinted = await place.sync(Scope(frozenset({copy.jellyfin_id})))
            assert hinted.stats[Count.RELINKED] == 0
        services.jellyfin_key = key
        settings = configured(services, tmp_path / "tracker.db")
        async with another_process(services, settings, clock) as place:
            assert (await place.sync()).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("raw", "kept", "gone"),
    [
        ({"Name": None}, ["Film 3"], ["Film 4"]),
        ({"LocationType": "Remote"}, ["Film 3"], ["Film 4"]),
        ({"LocationType": ABSENT}, ["Film 3"], ["Film 4"]),
        ({"Id": None}, ["Film 3", "Film 4"], []),
        ({"Id": "f" * 32, "Name": None}, ["Film 3", "Film 4"], []),
    ],
    ids=["no name", "an odd place", "no place", "no id", "no row has its id"],
)
async def test_what_cannot_be_used_is_not_gone(
    place: Place, raw: dict[str, object], kept: list[str], gone: list[str]
) -> None:
    """A record that names a tracked row keeps that; one that names none may be any title."""
    [film] = [film for film in place.world.movies.values() if film.title == "Film 3"]
    film.raw.update(raw)
    lose(place, "Film 4")
    await days(place, 3)
    there = place.rows()
    assert [title in there for title in (*kept, *gone)] == [True] * len(kept) + [False] * len(gone)


@pytest.mark.parametrize("location", ["/media/movies/", "/media//movies", "/", "/media"])
async def test_a_place_is_one_place_however_it_is_written(tmp_path: Path, location: str) -> None:
    """A slash more or less does not make another library, and nothing is held for it."""
    world = World()
    world.folders["Movies"].paths = (location,)
    for film in films(20):
        world.movies[film.jellyfin_id] = film
    async with a_place(tmp_path, world) as place:
        await place.sync()
        lose(place, "Film 3")
        await days(place, 3)
        assert place.results[-1].stats[Count.HELD] == 0
        assert len(place.rows()) == 19


# --- series --------------------------------------------------------------------------------------


def a_show(number: int, *episodes: Episode) -> Series:
    """A series with these episodes."""
    show = Series.named(f"Show {number}", 1990, {"Tvdb": str(7000 + number)})
    show.episodes.extend(episodes)
    return show


def wanted(place: Place, show: Series, seasons: str | None = None, **more: object) -> None:
    """A request for a series."""
    tvdb = int(show.provider_ids["Tvdb"])
    values = {"tvdb_id": tvdb, "requested_seasons": seasons, **more}
    request(place, show.title, "TV", str(values.pop("state", "REQUESTED")), **values)


async def test_a_series_whose_key_is_stale_is_never_taken_for_gone(tmp_path: Path) -> None:
    """In a library that merges series a question about a new one finds nothing until the scan."""
    world = World()
    world.folders["TV"].merges_series = True
    async with a_place(tmp_path, world) as place:
        for number in range(1, 5):
            world.add_series(a_show(number, Episode(1, 2), Episode(1, 3)))
        await days(place, 4)
        assert len(world.stale) == 4
        assert place.rows("state") == ["AVAILABLE"] * 4
        assert place.rows("*", "sync_absences") == []


async def test_a_series_that_lost_its_last_episode_goes(tmp_path: Path) -> None:
    """The list of all episodes is proof enough."""
    world = World()
    for number in range(1, 21):
        world.add_series(a_show(number, Episode(1, 1)))
    async with a_place(tmp_path, world) as place:
        await place.sync()
        next(iter(world.series.values())).episodes.clear()
        await days(place, 3)
        assert len(place.rows()) == 19


async def test_many_requested_series_are_all_judged(tmp_path: Path) -> None:
    """However many of them are incomplete, each run looks at every one of them."""
    world = World()
    shows = [a_show(number, Episode(1, 1), Episode(1, 2)) for number in range(120)]
    for show in shows:
        world.add_series(show)
        world.sonarr_knows(show, seasons=(SonarrSeason(1, 2, 3, 3),))
    for show in shows[100:]:
        show.episodes.append(Episode(1, 3))
    async with a_place(tmp_path, world) as place:
        for show in shows:
            wanted(place, show, "1")
        result = await place.sync()
        assert (result.stats[Count.PROMOTED], result.outcome) == (20, Outcome.OK)
        assert result.calls["Jellyfin"]["calls"] <= 12
        result = await place.sync()
        assert result.stats.counts[Reason.SEASONS_INCOMPLETE] == 100


INCOMPLETE = {
    "a second file of an episode": [Episode(1, 1), Episode(1, 2), Episode(1, 2, version="4K")],
    "a range that was read wrongly": [Episode(1, 1, end=45)],
    "missing ones that are known": [Episode(1, 1), Episode(1, 2), Episode(1, 3, virtual=True)],
    "a stub": [Episode(1, 1), Episode(1, 2), Episode(1, 3, placeholder=True)],
    "an odd place": [Episode(1, 1), Episode(1, 2), Episode(1, 3, location="Remote")],
    "another season": [Episode(1, 1), Episode(1, 2), Episode(2, 3)],
}


@pytest.mark.parametrize("episodes", INCOMPLETE.values(), ids=INCOMPLETE)
@pytest.mark.parametrize("by_sonarr", [True, False])
async def test_two_of_three_episodes_are_not_all(
    tmp_path: Path, episodes: list[Episode], *, by_sonarr: bool
) -> None:
    """Whatever makes them look like three, and whoever says how many there are."""
    show, world = a_show(1, *episodes), World()
    world.add_series(show)
    if by_sonarr:
        world.sonarr_knows(show, seasons=(SonarrSeason(1, 2, 3, 3),))
    async with a_place(tmp_path, world) as place:
        wanted(place, show, "1", total_episodes=3)
        await days(place, 2)
        assert place.rows("state") == ["REQUESTED"]
        show.episodes[:] = [Episode(1, 1, end=2), Episode(1, 3)]
        await place.sync()
        assert place.rows("state") == ["AVAILABLE"]


async def test_copies_of_a_series_complete_each_other(tmp_path: Path) -> None:
    """A season in one folder and a season in the other are two seasons; two halves are not four."""
    one, world = a_show(1, Episode(1, 1), Episode(1, 2)), World()
    path = "/media/anime/Show 1"
    other = Series(
        jellyfin_id("Series", path),
        *("Show 1", 1990, one.provider_ids, "", path, LONG_AGO),
        library="Anime",
        episodes=[Episode(1, 1), Episode(1, 2)],
    )
    for show in (one, other):
        world.add_series(show)
    world.sonarr_knows(one, seasons=(SonarrSeason(1, 2, 3, 3), SonarrSeason(2, 1, 1, 1)))
    async with a_place(tmp_path, world) as place:
        wanted(place, one, "1,2")
        await place.sync()
        assert place.rows("state") == ["REQUESTED"]
        other.episodes[:] = [Episode(1, 3), Episode(2, 1)]
        await place.sync()
        assert place.rows("state") == ["AVAILABLE"]


# --- what a person has to settle -----------------------------------------------------------------


async def test_numbers_that_vanish_at_once_wait_for_an_admin(place: Place) -> None:
    """A Radarr that was set up anew lacks nearly all; what an admin approves is taken away."""
    [kept] = [film for film in place.world.movies.values() if film.title == "Film 7"]
    place.world.radarr.clear()
    place.world.radarr_knows(kept, number=500)
    held = await place.sync()
    assert (held.outcome, held.stats[Count.HELD], held.stats[Count.RELINKED]) == (
        Outcome.HELD,
        19,
        1,
    )
    assert None not in place.rows("radarr_id")
    plan = await place.store.read(plans.one, held.stats.waiting_plan or 0)
    assert plan is not None
    assert {title.kind for title in plan.titles} == {"unlink"}
    rows = frozenset(title.request_id for title in plan.titles)
    result = await place.sync(Scope(unlinks=rows))
    assert (result.outcome, result.stats[Count.RELINKED]) == (Outcome.OK, 19)
    assert place.rows("radarr_id", where="radarr_id IS NOT NULL") == [500]


async def test_rows_of_ours_for_one_title_are_listed_and_merged_on_demand(place: Place) -> None:
    """Both are kept alike until an admin has them merged."""
    place.execute(
        "INSERT INTO requests (title, media_type, state, tmdb_id, requested_by, is_anime,"
        " created_at, updated_at, state_changed_at) VALUES ('Film 3', 'MOVIE', 'AVAILABLE', 1003,"
        f" 'Library Sync', 0, '{AT}', '{AT}', '{AT}')"
    )
    result = await place.sync()
    [first] = place.rows("id", where="title = 'Film 3' AND id < 21")
    told = place.rows("request_id, details", "sync_decisions", "kind = 'double'")
    assert told == [(first, "21")]
    ids = "COUNT(DISTINCT jellyfin_id), COUNT(jellyfin_id)"
    assert place.rows(ids, where="tmdb_id = 1003") == [(1, 2)]
    result = await place.sync(Scope(merges=frozenset({first, 21})))
    assert (result.stats[Count.MERGED], result.stats[Count.REMOVED]) == (1, 0)
    assert place.rows("id", where="tmdb_id = 1003") == [first]
    [undone] = await undo.undo_run(place.store, result.run_id or 0, ADMIN)
    assert undone.done
    assert len(place.rows("id", where="tmdb_id = 1003")) == 2


async def test_a_film_that_is_identified_anew_is_a_conflict(place: Place) -> None:
    """Its row is not missing and gets no second one; an admin may confirm the new identity."""
    place.execute("UPDATE requests SET requested_by = 'Ann' WHERE title = 'Film 3'")
    [film] = [film for film in place.world.movies.values() if film.title == "Film 3"]
    film.provider_ids["Tmdb"] = "4711"
    await days(place, 4)
    assert len(place.rows()) == 20
    assert place.rows("tmdb_id", where="title = 'Film 3'") == [1003]
    assert place.results[-1].stats[Count.CONFLICTS] > 0
    [number] = place.rows("id", where="title = 'Film 3'")
    await place.sync(Scope(identified=frozenset({number})))
    assert place.rows("tmdb_id", where="title = 'Film 3'") == [4711]
    assert (await place.sync()).stats[Count.CONFLICTS] == 0


@pytest.mark.parametrize(("service", "files_too"), [("radarr", True), ("jellyfin", False)])
async def test_what_was_deleted_in_the_dashboard_is_not_added_again(
    place: Place, service: str, *, files_too: bool
) -> None:
    """If its files were to go, only once they are surely still there; else by an admin's word."""
    place.execute("DELETE FROM timeline_events WHERE request_id = 3")
    place.execute("DELETE FROM requests WHERE id = 3")
    deleted = f"{place.clock.now.replace(tzinfo=None).isoformat(' ')}.000000"
    [title] = {film.title for film in place.world.movies.values()} - {*place.rows()}
    place.execute(
        "INSERT INTO deletion_logs (title, media_type, tmdb_id, is_anime, source, status,"
        " initiated_at) VALUES (?, 'MOVIE', ?, 0, 'DASHBOARD', 'COMPLETE', ?)",
        *(title, 1000 + int(title.split()[1]), deleted),
    )
    place.execute(
        "INSERT INTO deletion_sync_events (deletion_log_id, service, status, timestamp)"
        " VALUES (1, ?, 'CONFIRMED', ?)",
        *(service, deleted),
    )
    result = await place.sync()
    assert (result.stats[Count.ADDED], result.stats.counts[Reason.DELETED_IN_TRACKER]) == (0, 1)
    place.clock.pass_by(timedelta(hours=2))
    assert (await place.sync()).stats[Count.ADDED] == int(files_too)
    if not files_too:
        again = AuditEvent("tracking.resumed", ADMIN)
        await place.store.write(attention.confirm, "track_again", "1", again)
        assert (await place.sync()).stats[Count.ADDED] == 1


async def test_a_library_that_was_away_begins_its_evidence_anew(place: Place) -> None:
    """What was missing with all of it proves nothing once it is back."""
    other = in_library("Anime", "Elsewhere", 1960, {"Tmdb": "5"})
    place.world.add_movie(other)
    place.world.library_offline("Movies")
    await days(place, 3)
    assert place.results[-1].stats[Count.HELD] == 20
    place.world.library_online("Movies")
    lose(place, "Film 3")
    result = await place.sync()
    assert (result.stats[Count.REMOVED], result.stats[Count.WATCHED]) == (0, 1)
    place.clock.pass_by(DAY)
    assert (await place.sync()).stats[Count.REMOVED] == 1


@pytest.mark.parametrize("told", ["history", "webhook"])
async def test_a_file_that_makes_way_for_a_better_one_makes_nothing_absent(
    place: Place, told: str
) -> None:
    """The old one is deleted first, and Jellyfin may forget the title for the whole copy."""
    film = films(20)[3]
    [number] = [kept.id for kept in place.world.radarr.values() if kept.movie.title == film.title]
    place.world.remove(film.jellyfin_id)
    if told == "history":
        place.services.pipeline.upgrade("radarr", number)
    else:
        place.service.upgrades.note(MediaType.MOVIE, Ids(tmdb=1003))
    for _ in range(3):
        result = await place.sync()
        assert (result.stats[Count.WATCHED], result.stats[Count.REMOVED]) == (1, 0)
        place.clock.pass_by(DAY)
    assert place.rows("*", "sync_absences") == []
    place.world.add_movie(film)
    assert (await place.sync()).outcome is Outcome.OK
    assert film.title in place.rows()


async def test_an_upgrade_is_believed_for_six_hours(place: Place) -> None:
    """What is away for longer is away; nor is an upgrade of another title one of this."""
    film, other = films(20)[3], films(20)[4]
    numbers = {kept.movie.title: kept.id for kept in place.world.radarr.values()}
    place.world.remove(film.jellyfin_id)
    place.services.pipeline.upgrade("radarr", numbers[film.title], timedelta(hours=6, minutes=1))
    place.services.pipeline.upgrade("radarr", numbers[other.title])
    place.services.pipeline.upgrade("sonarr", numbers[film.title])
    place.service.upgrades.note(MediaType.TV, Ids(tmdb=1003))
    await place.sync()
    place.clock.pass_by(DAY)
    assert (await place.sync()).stats[Count.REMOVED] == 1


async def test_histories_are_asked_only_while_something_is_missing(place: Place) -> None:
    """A library that is whole costs no call."""
    await place.sync()
    for name in ("radarr", "sonarr"):
        paths = [call.path for call in place.services.calls(name)]
        assert not [path for path in paths if "history" in path]


async def test_shokos_number_is_filled_in_where_there_is_none(tmp_path: Path) -> None:
    """Of rows that have a Jellyfin id; a number that the tracker has written is left as it is."""
    world = World()
    ids = {"Tmdb": "1001", "Shoko Series": "41", "Shoko File": "9"}
    film = Movie.named("Akira", 1988, ids)
    world.add_movie(film)
    async with a_place(tmp_path, world) as place:
        await place.sync()
        assert place.rows("shoko_series_id") == [41]
        for kept, filled in ((None, 41), (9, 9)):
            place.execute("UPDATE requests SET shoko_series_id = ?", kept)
            await place.sync()
            assert place.rows("shoko_series_id") == [filled]
