"""Rows that go: deletion logs, merged rows, what may be undone, and what is counted of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain import (
    Absence,
    Absent,
    Actor,
    Add,
    Evidence,
    Fate,
    Held,
    HeldKind,
    Ids,
    MediaType,
    Missed,
    RemovalPolicy,
    TrackedRequest,
)
from daemon.reasons import FindingKind, Reason
from daemon.report.explain import sentences
from daemon.store import (
    Store,
    attention,
    audit,
    evidence,
    open_store,
    plans,
    search,
    syncing,
    titles,
    undo,
)
from daemon.store.audit import AuditEvent
from daemon.store.clock import moment
from daemon.store.plans import PlanState
from tests.builders import ACTOR, NOW, an_item, begun, change, jellyfin_id, rows
from tests.worlds import Clock

WEEK = timedelta(days=7)
ADMIN = Actor("admin", "alice")
LATER = (
    *("jellyfin_id", "sonarr_id", "radarr_id", "shoko_series_id", "jellyseerr_id"),
    *("qbit_hash", "poster_url", "year", "deleted_by_username"),
)
"""Columns of the tracker's deletion logs that not all of its versions have."""


@pytest.fixture
async def clock() -> Clock:
    """A clock that the test moves."""
    return Clock(NOW)


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    """A new file, open."""
    async with open_store(path, clock=clock.wall, moment=clock.moment) as opened:
        yield opened


async def tracked(store: Store, *numbers: int) -> list[TrackedRequest]:
    """Films of ours with these TMDB numbers, seen in a library."""
    run_id = await begun(store)
    adds = [Add(an_item(n, ids=Ids(n), library="/films", path=f"/films/{n}")) for n in numbers]
    await store.write(syncing.apply, run_id, ACTOR, adds)
    return (await store.read(syncing.tracked)).rows


def gone(*requests: TrackedRequest, why: str = "") -> list[Absent]:
    """Rows that are to be removed."""
    return [Absent(row, Fate.REMOVE, why) for row in requests]


def as_dicts(path: Path, table: str) -> list[tuple[Any, ...]]:
    """All of a table."""
    return rows(path, f"SELECT * FROM {table} ORDER BY id")


@pytest.mark.parametrize("absent", [(), ("qbit_hash",), LATER])
async def test_a_removal_is_logged_as_far_as_the_file_has_room(
    path: Path, store: Store, absent: tuple[str, ...]
) -> None:
    """Older versions of the tracker keep less of a deleted title; an undo brings it back."""
    [row] = await tracked(store, 603)
    for column in absent:
        change(path, f"ALTER TABLE deletion_logs DROP COLUMN {column}")
    before = as_dicts(path, "requests"), as_dicts(path, "timeline_events")
    run_id = await begun(store)
    applied = await store.write(syncing.remove, run_id, ACTOR, gone(row))
    assert (applied[Reason.REMOVE], as_dicts(path, "requests")) == (1, [])
    logged = "SELECT title, media_type, tmdb_id, source, status, is_anime FROM deletion_logs"
    assert rows(path, logged) == [("Title of 603", "MOVIE", 603, "JELLYFIN", "COMPLETE", 0)]
    [undone] = await undo.undo_run(store, run_id, ADMIN)
    assert undone.done
    assert (as_dicts(path, "requests"), as_dicts(path, "timeline_events")) == before
    assert as_dicts(path, "deletion_logs") == []


async def test_an_empty_text_is_no_value(path: Path, store: Store) -> None:
    """As early versions of the tracker wrote it: such rows go, come back and need ids as others."""
    await tracked(store, 603, 604)
    change(path, "UPDATE requests SET tmdb_id = '', tvdb_id = '', imdb_id = '', jellyfin_id = ''")
    found = (await store.read(syncing.tracked)).rows
    needs = await store.read(attention.findings, RemovalPolicy())
    assert {one.request_id for one in needs if one.kind == FindingKind.WITHOUT_IDS} == {1, 2}
    facts = await store.read(titles.facts, 1)
    assert facts is not None
    assert (facts.tracked["tmdb_id"], facts.tracked["jellyfin_id"]) == (None, None)
    run_id = await begun(store)
    assert await store.write(syncing.remove, run_id, ACTOR, gone(found[0])) == {Reason.REMOVE: 1}
    known = await store.read(search.untracked, found_title := "Title of 603")
    assert [one.title for one in known] == [found_title]
    [undone] = await undo.undo_run(store, run_id, ADMIN)
    assert (undone.done, undone.why) == (True, "")


async def test_a_row_whose_number_was_given_away_comes_back_under_a_new_one(
    path: Path, store: Store
) -> None:
    """With its own children, and without a trace of either title in the other's story."""
    [row] = await tracked(store, 603)
    run_id = await begun(store)
    await store.write(syncing.remove, run_id, ACTOR, gone(row))
    [other] = await tracked(store, 604)
    assert other.id == row.id  # SQLite gives the highest number again
    strangers = as_dicts(path, "timeline_events")
    [undone] = await undo.undo_run(store, run_id, ADMIN)
    assert (undone.done, undone.moved_to) == (True, row.id + 1)
    assert "request 2" in undone.why
    told = "SELECT requests.id, title, details FROM requests JOIN timeline_events"
    told += " ON request_id = requests.id ORDER BY requests.id"
    assert [(number, title) for number, title, _ in rows(path, told)] == [
        (1, "Title of 604"),
        (2, "Title of 603"),
    ]
    assert strangers[0] in as_dicts(path, "timeline_events")
    event = "SELECT target, json_extract(after, '$.request_id') FROM sync_audit"
    assert rows(path, f"{event} WHERE action = 'title.undone'") == [("request 1", 2)]
    facts = await store.read(titles.facts, other.id)
    assert facts is not None
    assert not any("taken back" in line for line in sentences(facts, RemovalPolicy()))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET state = 'REQUESTED'",
        "UPDATE requests SET tmdb_id = 604",
        "UPDATE requests SET media_type = 'TV'",
        "UPDATE requests SET jellyfin_id = 'x'",
        "DELETE FROM requests",
    ],
)
async def test_a_row_that_is_another_one_by_now_is_not_removed(
    path: Path, store: Store, statement: str
) -> None:
    """The tracker may have changed it since the plan was made, or used its number anew."""
    [row] = await tracked(store, 603)
    change(path, statement)
    left = as_dicts(path, "requests")
    assert (await store.write(syncing.remove, await begun(store), ACTOR, gone(row))) == {}
    assert as_dicts(path, "requests") == left
    assert as_dicts(path, "deletion_logs") == []


# --- merging -------------------------------------------------------------------------------------


async def test_rows_of_ours_become_one_and_that_can_be_undone(path: Path, store: Store) -> None:
    """The first stays as it is; of the others everything is kept in the audit."""
    await tracked(store, 603, 604, 605)
    before = as_dicts(path, "requests"), as_dicts(path, "timeline_events")
    run_id = await begun(store)
    applied = await store.write(syncing.merge, run_id, ACTOR, (2, 1, 3))
    assert applied[Reason.MERGE] == 2
    assert as_dicts(path, "requests") == before[0][:1]
    assert as_dicts(path, "timeline_events") == before[1][:1]
    assert as_dicts(path, "deletion_logs") == []
    assert rows(path, "SELECT request_id FROM sync_titles") == [(1,)]
    events = (await store.read(audit.events, None, 2)).rows
    assert [(one.action, one.target, one.after) for one in events] == [
        ("title.merged", "request 3", {"merged_into": 1}),
        ("title.merged", "request 2", {"merged_into": 1}),
    ]
    undone = await undo.undo_run(store, run_id, ADMIN)
    assert [one.done for one in undone] == [True, True]
    assert (as_dicts(path, "requests"), as_dicts(path, "timeline_events")) == before
    assert (await store.read(audit.verify)).broken_at is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET requested_by = 'Ann' WHERE id = 1",
        "UPDATE requests SET requested_by = 'Ann' WHERE id = 2",
        "UPDATE requests SET requested_by = NULL WHERE id = 2",
        "DELETE FROM requests WHERE id = 1",
        "DELETE FROM requests WHERE id = 2",
    ],
)
async def test_only_rows_that_are_all_ours_are_merged(
    path: Path, store: Store, statement: str
) -> None:
    """Somebody else's row stays, and so do the others beside it."""
    await tracked(store, 603, 604)
    change(path, statement)
    left = as_dicts(path, "requests")
    assert (await store.write(syncing.merge, await begun(store), ACTOR, (1, 2))) == {}
    assert as_dicts(path, "requests") == left


# --- what was removed lately ---------------------------------------------------------------------


async def test_what_was_removed_without_an_admins_word_is_counted_for_a_week(
    store: Store, clock: Clock
) -> None:
    """What an admin approved does not count, nor what was brought back."""

    async def lately() -> int:
        return (await store.read(syncing.tracked)).removed_lately

    one, two, three, four = await tracked(store, 1, 2, 3, 4)
    assert await lately() == 0
    first = await begun(store)
    await store.write(syncing.remove, first, ACTOR, gone(one, two))
    assert await lately() == 2
    await store.write(
        syncing.remove, await begun(store), ACTOR, gone(three, why="an admin approved it")
    )
    assert await lately() == 2
    await undo.undo_run(store, first, ADMIN)
    assert await lately() == 0
    clock.pass_by(timedelta(days=5))
    await store.write(syncing.remove, await begun(store), ACTOR, gone(four))
    assert await lately() == 1
    clock.pass_by(WEEK + timedelta(seconds=1))
    assert await lately() == 0


@pytest.mark.parametrize("why", ["", "an admin approved it"])
async def test_an_undo_takes_back_only_what_was_counted(
    store: Store, clock: Clock, why: str
) -> None:
    """What is brought back of an older run, or of an approved one, makes no room for others."""
    one, two, three = await tracked(store, 1, 2, 3)
    first = await begun(store)
    await store.write(syncing.remove, first, ACTOR, gone(one, two, why=why))
    clock.pass_by(timedelta() if why else timedelta(days=8))
    await undo.undo_run(store, first, ADMIN)
    await store.write(syncing.remove, await begun(store), ACTOR, gone(three))
    assert (await store.read(syncing.tracked)).removed_lately == 1


async def test_what_is_removed_again_after_an_undo_counts_again(store: Store) -> None:
    """Each removal is one."""
    [row] = await tracked(store, 1)
    first, second = await begun(store), await begun(store)
    await store.write(syncing.remove, first, ACTOR, gone(row))
    await undo.undo_run(store, first, ADMIN)
    await store.write(syncing.remove, second, ACTOR, gone(row))
    assert (await store.read(syncing.tracked)).removed_lately == 1


# --- evidence ------------------------------------------------------------------------------------


async def test_what_is_missing_is_counted_with_where_it_was(store: Store, clock: Clock) -> None:
    """A library that was away once stays noted; a title that is seen again starts anew."""
    [row] = await tracked(store, 603)
    assert (row.seen, row.library, row.absence) == (True, "/films", None)
    for away in (False, True, False):
        [row] = (await store.read(syncing.tracked)).rows
        await store.write(evidence.note, Evidence(missed=[Missed(row, library_away=away)]))
        clock.pass_by(timedelta(hours=1))
    [row] = (await store.read(syncing.tracked)).rows
    assert row.absence == Absence(3, timedelta(hours=3), NOW, library_away=True)
    await store.write(evidence.note, Evidence(returned=[row.id]))
    [row] = (await store.read(syncing.tracked)).rows
    assert row.absence is None
    await store.write(evidence.note, Evidence(seen=[(row.id, "/elsewhere")]))
    [row] = (await store.read(syncing.tracked)).rows
    assert row.library == "/elsewhere"


async def test_a_library_that_was_away_in_between_stays_noted(store: Store) -> None:
    """Also by a reading that proves nothing else; only of what was missing already."""
    [row] = await tracked(store, 603)
    await store.write(evidence.note, Evidence(away=[row.id]))
    assert (await store.read(syncing.tracked)).rows[0].absence is None
    await store.write(evidence.note, Evidence(missed=[Missed(row, library_away=False)]))
    await store.write(evidence.note, Evidence(away=[row.id]))
    assert (await store.read(syncing.tracked)).rows[0].absence == Absence(
        1, timedelta(), NOW, library_away=True
    )


def test_a_process_that_does_not_know_its_boot_counts_from_its_own_start(tmp_path: Path) -> None:
    """Else the time that a machine was up would be taken for time that a row was missing."""
    unknown = moment(tmp_path / "none")
    assert unknown.monotonic < 1
    boot = tmp_path / "boot_id"
    boot.write_text("a boot\n")
    known = moment(boot)
    assert (known.boot, known.monotonic > 1) == ("a boot", True)


# --- held plans ----------------------------------------------------------------------------------


async def test_a_held_plan_tells_what_it_would_do_to_each_row(store: Store) -> None:
    """The same rows are another plan if something else would be done to them."""
    one, two = await tracked(store, 1, 2)
    first = await begun(store)
    unlinks = [Held(row, "both at once", HeldKind.UNLINK) for row in (one, two)]
    assert await plans.hold(store, first, unlinks, WEEK) == first
    plan = await store.read(plans.one, first)
    assert plan is not None
    told = [(title.request_id, title.kind, title.why) for title in plan.titles]
    assert told == [(1, "unlink", "both at once"), (2, "unlink", "both at once")]
    assert await plans.hold(store, await begun(store), unlinks, WEEK) == first
    third = await begun(store)
    assert await plans.hold(store, third, [Held(one, "x"), Held(two, "x")], WEEK) == third
    plan = await store.read(plans.one, third)
    assert plan is not None
    assert {title.kind for title in plan.titles} == {"remove"}


async def test_a_discarded_plan_is_not_held_again(store: Store) -> None:
    """Until something else is held, or nothing was for a while."""
    one, two = await tracked(store, 1, 2)
    first = await begun(store)
    held = [Held(one, "x", HeldKind.UNLINK)]
    await plans.hold(store, first, held, WEEK)
    event = AuditEvent("plan.settled", ADMIN)
    assert await store.write(plans.settle, first, PlanState.DISCARDED, event, WEEK)
    assert await plans.hold(store, await begun(store), held, WEEK) is None
    again = await begun(store)
    assert await plans.hold(store, again, [*held, Held(two, "x")], WEEK) == again


# --- deleted in the tracker ----------------------------------------------------------------------


def log_deletion(path: Path, *services: tuple[str, str], **values: Any) -> None:
    """A title that somebody deleted in the tracker's dashboard, and what became of it."""
    row = {
        "title": "Theirs",
        "media_type": "MOVIE",
        "is_anime": 0,
        "source": "DASHBOARD",
        "status": "COMPLETE",
        "initiated_at": "2026-11-20 10:00:00.000000",
        **values,
    }
    marks = ", ".join("?" * len(row))
    statement = f"INSERT INTO deletion_logs ({', '.join(row)}) VALUES ({marks})"
    change(path, statement, *row.values())
    [(number,)] = rows(path, "SELECT MAX(id) FROM deletion_logs")
    for service, status in services:
        change(
            path,
            "INSERT INTO deletion_sync_events (deletion_log_id, service, status, timestamp)"
            " VALUES (?, ?, ?, '2026-11-20 10:00:00.000000')",
            *(number, service, status),
        )


@pytest.mark.parametrize(
    ("services", "files_too"),
    [
        ([], False),
        ([("jellyfin", "VERIFIED")], False),
        ([("radarr", "SKIPPED")], False),
        ([("radarr", "NOT_NEEDED"), ("jellyfin", "PENDING")], False),
        ([("radarr", "PENDING")], True),
        ([("sonarr", "CONFIRMED")], True),
        ([("radarr", "FAILED"), ("jellyfin", "VERIFIED")], True),
    ],
)
async def test_a_deletion_says_whether_the_files_were_to_go(
    path: Path, store: Store, services: list[tuple[str, str]], *, files_too: bool
) -> None:
    """The tracker deletes them through Radarr or Sonarr, or takes the title off its list only."""
    log_deletion(path, *services, tmdb_id=603, tvdb_id="", jellyfin_id="A" * 32)
    [deletion] = (await store.read(syncing.tracked)).deletions
    assert (deletion.media_type, deletion.ids) == (MediaType.MOVIE, Ids(603))
    assert (deletion.jellyfin_id, deletion.files_too) == ("a" * 32, files_too)
    assert (deletion.age, deletion.overruled) == (timedelta(hours=2), False)


@pytest.mark.parametrize(
    ("at", "age"),
    [
        ("2026-11-20 11:30:00.000000", timedelta(minutes=30)),
        ("2026-11-20T12:30:00+01:00", timedelta(minutes=30)),
        ("2026-11-21 12:00:00.000000", timedelta()),
        ("yesterday", timedelta()),
    ],
)
async def test_a_deletion_is_never_older_than_it_is(
    path: Path, store: Store, at: str, age: timedelta
) -> None:
    """A moment that lies ahead, or is not understood, is now."""
    log_deletion(path, tmdb_id=603, initiated_at=at)
    [deletion] = (await store.read(syncing.tracked)).deletions
    assert deletion.age == age


async def test_only_the_latest_deletion_of_a_title_counts(path: Path, store: Store) -> None:
    """One of ours after it, or one of the tracker's own sync, is the end of it."""
    log_deletion(path, tmdb_id=603)
    log_deletion(path, tmdb_id=603, source="JELLYFIN")
    log_deletion(path, tmdb_id=603, media_type="TV")
    log_deletion(path, tmdb_id=604, source="JELLYFIN")
    log_deletion(path, tmdb_id=604)
    found = (await store.read(syncing.tracked)).deletions
    assert [(one.media_type, one.ids.tmdb) for one in found] == [
        (MediaType.MOVIE, 604),
        (MediaType.TV, 603),
    ]


async def test_an_admin_can_have_a_deleted_title_tracked_again(path: Path, store: Store) -> None:
    """Their word is kept beside the deletion that it overrules."""
    log_deletion(path, tmdb_id=603)
    [deletion] = (await store.read(syncing.tracked)).deletions
    await store.write(
        attention.confirm, "track_again", str(deletion.id), AuditEvent("tracking.resumed", ADMIN)
    )
    [deletion] = (await store.read(syncing.tracked)).deletions
    assert deletion.overruled
    assert [one.action for one in (await store.read(audit.events, None, 1)).rows] == [
        "tracking.resumed"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE deletion_logs",
        "DROP TABLE deletion_sync_events",
        "ALTER TABLE deletion_logs DROP COLUMN jellyfin_id",
    ],
)
async def test_a_file_without_all_of_the_deletions_is_read(
    path: Path, store: Store, statement: str
) -> None:
    """Older versions of the tracker knew less of them, or nothing."""
    log_deletion(path, tmdb_id=603, jellyfin_id=jellyfin_id("item"))
    change(path, statement)
    found = (await store.read(syncing.tracked)).deletions
    assert [(one.ids, one.jellyfin_id) for one in found] == (
        [(Ids(603), None)] if "COLUMN" in statement else []
    )
