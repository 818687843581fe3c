"""Finding titles, telling a row's own story, and what is known of those that are not tracked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.domain import (
    Absent,
    Add,
    Conflict,
    Decision,
    Fate,
    Ids,
    MediaType,
    Outcome,
    Skip,
    Trigger,
    Update,
)
from daemon.reasons import Reason
from daemon.store import Store, history, search, syncing, titles, undo
from daemon.store.rows import document
from daemon.store.search import folded
from tests.builders import ACTOR, an_item, change, jellyfin_id

LOG = (
    "INSERT INTO deletion_logs (title, media_type, tmdb_id, is_anime, source, deleted_by_username,"
    " status, initiated_at)"
    " VALUES (?, 'MOVIE', ?, 0, ?, 'carol', 'COMPLETE', '2026-11-19 10:00:00')"
)
REUSED = (
    "INSERT INTO requests (id, title, media_type, state, tmdb_id, requested_by, created_at,"
    " updated_at, state_changed_at) VALUES (1, 'Other', 'MOVIE', 'AVAILABLE', 999, ?, ?, ?, ?)"
)


async def ran(store: Store, *decisions: Decision) -> int:
    """The number of a full run that came to this."""
    number = await store.write(history.begin, Trigger.ADMIN, ACTOR)
    since = await store.write(syncing.concurrent_writes)
    await store.write(syncing.apply, number, ACTOR, decisions, since)
    await store.write(history.finish, number, Outcome.OK, {})
    return number


def a_film(title: str, tmdb: int) -> Add:
    """An addition."""
    return Add(an_item(title, title=title, ids=Ids(tmdb)))


async def removed(store: Store, number: int = 1) -> int:
    """The number of a run that removed a row."""
    run = await store.write(history.begin, Trigger.ADMIN, ACTOR)
    [row] = [row for row in (await store.read(syncing.tracked)).rows if row.id == number]
    await store.write(syncing.remove, run, ACTOR, [Absent(row, Fate.REMOVE)])
    await store.write(history.finish, run, Outcome.OK, {})
    return run


# --- finding ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Häxan", "haxan"),
        ("Ha\N{COMBINING DIAERESIS}xan", "haxan"),
        ("ÉTÉ", "ete"),
        ("Straße", "strasse"),
        ("Blåbærlund Øl", "blabaerlund ol"),
        ("桃太郎", "桃太郎"),
        (None, ""),
    ],
)
def test_a_text_is_compared_without_case_and_accents(text: str | None, plain: str) -> None:
    """Composed letters and decomposed ones are the same."""
    assert folded(text) == plain


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("haxan", ["Häxan"]),
        ("HÄXAN", ["Häxan"]),
        ("ha\N{COMBINING DIAERESIS}xan", ["Häxan"]),
        ("amélie", ["Amelie", "Amélie et moi"]),
        ("AMELIE", ["Amelie", "Amélie et moi"]),
        ("\N{COMBINING DIAERESIS}", []),
    ],
)
async def test_titles_are_found_without_case_and_accents(
    store: Store, text: str, names: list[str]
) -> None:
    """Whole titles come first."""
    titles = ("Häxan", "Amélie et moi", "Amelie", "Metropolis")
    await ran(store, *(a_film(title, at) for at, title in enumerate(titles, 100)))
    assert [one.title for one in await store.read(search.tracked, text)] == names


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("1", "request number"),
        ("603", "TMDB id"),
        ("70603", "TVDB id"),
        ("tt0133093", "IMDb id"),
        ("TT0133093", "IMDb id"),
        (jellyfin_id("x").upper(), "Jellyfin id"),
        ("matrix", "title"),
    ],
)
async def test_a_title_is_found_by_any_of_its_ids(store: Store, text: str, by: str) -> None:
    """And it is said by which."""
    ids = Ids(603, 70603, "tt0133093")
    await ran(store, Add(an_item("x", title="The Matrix", ids=ids)))
    [row] = await store.read(search.tracked, text)
    assert (row.id, row.title, row.by) == (1, "The Matrix", by)


async def test_a_number_means_ids_before_titles(store: Store) -> None:
    """A request's own comes first."""
    await ran(store, a_film("one", 2), a_film("two", 3), a_film("2 Days", 9))
    assert [(hit.id, hit.by) for hit in await store.read(search.tracked, "2")] == [
        (2, "request number"),
        (1, "TMDB id"),
        (3, "title"),
    ]


async def test_a_file_of_an_older_tracker_has_no_imdb_ids(store: Store, path: Path) -> None:
    """It is searched all the same."""
    await ran(store, a_film("Metropolis", 19))
    change(path, "ALTER TABLE requests DROP COLUMN imdb_id")
    assert [hit.by for hit in await store.read(search.tracked, "metro")] == ["title"]


# --- the story of a row ----------------------------------------------------------------------


async def story(store: Store) -> tuple[list[int], list[str], list[str]]:
    """Of row 1: the runs that decided about it, what was done to it, and the ids that are ours."""
    facts = await store.read(titles.facts, 1)
    assert facts is not None
    runs = [one.run_id for one in facts.decisions]
    return runs, [one.action for one in facts.history], sorted(facts.origins)


async def grown(store: Store) -> None:
    """Row 1 was added and filled."""
    await ran(store, a_film("Metropolis", 19))
    item = an_item("Metropolis", title="Metropolis", ids=Ids(19, 5))
    await ran(store, Update(item, Reason.FILL, 1, {"tvdb_id": 5}))


async def test_a_row_tells_its_own_story(store: Store) -> None:
    """However old the title is by its file."""
    await grown(store)
    assert await story(store) == ([2, 1], ["title.fill"], ["tvdb_id"])


async def test_a_number_that_was_given_to_a_request_of_somebody_tells_nothing_of_before(
    store: Store, path: Path
) -> None:
    """The tracker deleted the row, and gave its number away later."""
    await grown(store)
    change(path, "DELETE FROM requests")
    at = "2026-11-20 13:00:00.000000"  # an hour after what the store calls now
    change(path, REUSED, "carol", at, at, at)
    change(path, "UPDATE requests SET tvdb_id = 5")
    assert await story(store) == ([], [], [])


async def test_a_number_that_we_gave_again_tells_nothing_of_before(
    store: Store, path: Path
) -> None:
    """The newer title is older by its file than all that happened."""
    await grown(store)
    for table in ("requests", "timeline_events"):
        change(path, f"DELETE FROM {table}")
    old = an_item("Old", title="Old", ids=Ids(7, 5), created_at=datetime(2001, 1, 1, tzinfo=UTC))
    await ran(store, Add(old))
    assert await story(store) == ([3], [], [])


async def test_what_we_removed_is_not_told_of_the_next_row_of_that_number(
    store: Store, path: Path
) -> None:
    """Also where that row says to be older."""
    await grown(store)
    await removed(store)
    change(path, REUSED, "carol", *["2001-01-01 00:00:00.000000"] * 3)
    assert await story(store) == ([], [], [])


async def test_what_was_undone_is_the_same_story(store: Store) -> None:
    """The row is back, and all that happened to it is told."""
    await grown(store)
    await undo.undo_run(store, await removed(store), ACTOR)
    runs, done, _ = await story(store)
    assert (runs, done) == ([3, 2, 1], ["title.undone", "title.removed", "title.fill"])
    again = await removed(store)
    await undo.undo_run(store, again, ACTOR)
    assert len((await story(store))[1]) == 5


async def test_what_was_decided_of_another_row_of_the_title_is_not_told(store: Store) -> None:
    """Each request has its own reason; what is said of the item goes for all."""
    await ran(store, a_film("Metropolis", 19))
    item = an_item("Metropolis", title="Metropolis")
    await ran(
        store,
        Skip(item, Reason.SEASONS_INCOMPLETE, 2),
        Conflict(item, (1, 2), Reason.CONTRADICTING, "two ids of Tmdb"),
    )
    facts = await store.read(titles.facts, 1)
    assert facts is not None
    assert [one.reason for one in facts.decisions] == [
        "ids_contradict_each_other",
        "available_and_not_tracked",
    ]
    [need] = facts.needs
    assert (need.kind, need.request_ids) == ("conflict", (1, 2))


async def test_a_double_is_told_of_each_of_its_rows(store: Store) -> None:
    """Also of those that are not the first one."""
    await ran(store, a_film("one", 2), a_film("two", 3), a_film("three", 4))
    run = await store.write(history.begin, Trigger.ADMIN, ACTOR)
    await store.write(syncing.note_doubles, run, [(1, 3)])
    await store.write(history.finish, run, Outcome.OK, {})
    told = {number: await store.read(titles.facts, number) for number in (1, 2, 3)}
    needs = {number: [one.kind for one in f.needs] for number, f in told.items() if f}
    assert needs == {1: ["double"], 2: [], 3: ["double"]}


# --- what is not tracked ---------------------------------------------------------------------


async def test_a_title_that_was_deleted_in_the_dashboard_is_known(store: Store, path: Path) -> None:
    """With who did it and when; by its title or its ids."""
    await ran(store)
    change(path, LOG, "Amélie", 194, "DASHBOARD")
    for text in ("amelie", "194"):
        [known] = await store.read(search.untracked, text)
        assert (known.title, known.decision) == ("Amélie", None)
        gone = known.deletion
        assert gone is not None
        told = (gone.source, gone.by, gone.at, gone.removal)
        assert told == ("DASHBOARD", "carol", "2026-11-19 10:00:00", None)
    assert await store.read(search.untracked, "nothing") == []


async def test_what_is_left_out_and_what_was_deleted_is_one_title(store: Store, path: Path) -> None:
    """What the latest full run said of it goes beside."""
    item = an_item("Amelie", title="Amélie")
    await ran(store, Skip(item, Reason.DELETED_IN_TRACKER, details="off the list"))
    change(path, LOG, "Amélie", 194, "DASHBOARD")
    [known] = await store.read(search.untracked, "amelie")
    assert known.decision is not None
    assert known.decision.reason == "deleted_in_the_tracker"
    assert known.deletion is not None
    assert known.deletion.source == "DASHBOARD"
    [by_item] = await store.read(search.untracked, item.jellyfin_id)
    assert by_item.title == "Amélie"


async def test_what_we_removed_names_its_run(store: Store) -> None:
    """So that it can be undone."""
    await ran(store, a_film("Metropolis", 19))
    run = await removed(store)
    [known] = await store.read(search.untracked, "metropolis")
    assert known.deletion is not None
    removal = known.deletion.removal
    assert removal is not None
    assert removal.run_id == run
    assert str(removal.reason).startswith("nothing to play of it i")


async def test_what_is_tracked_again_is_not_called_untracked(store: Store, path: Path) -> None:
    """An old entry of the log means the row of before."""
    await ran(store, a_film("Metropolis", 19), Skip(an_item("Metropolis"), Reason.NOT_AVAILABLE))
    change(path, LOG, "Metropolis", 19, "DASHBOARD")
    assert await store.read(search.untracked, "metropolis") == []


async def test_a_series_is_not_taken_for_the_film_of_the_same_name(
    store: Store, path: Path
) -> None:
    """Each has its own entry."""
    series = an_item("Fargo", title="Fargo", media_type=MediaType.TV, ids=Ids(60622))
    await ran(store, Skip(series, Reason.NOT_AVAILABLE))
    change(path, LOG, "Fargo", 275, "DASHBOARD")
    known = await store.read(search.untracked, "fargo")
    assert [(one.media_type, one.deletion is None) for one in known] == [
        ("TV", True),
        ("MOVIE", False),
    ]


async def test_a_file_without_such_a_log_knows_of_no_deletion(store: Store, path: Path) -> None:
    """Older versions of the tracker had none, or another one."""
    await ran(store)
    change(path, LOG, "Amélie", 194, "DASHBOARD")
    change(path, "ALTER TABLE deletion_logs DROP COLUMN deleted_by_username")
    [known] = await store.read(search.untracked, "amelie")
    assert known.deletion is not None
    assert known.deletion.by is None
    change(path, "DROP TABLE deletion_sync_events")
    change(path, "DROP TABLE deletion_logs")
    assert await store.read(search.untracked, "amelie") == []
    assert json.dumps(known, default=document)
