"""The tracker's columns and formats: what is written to its tables, and what is understood."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from daemon.domain import (
    Add,
    Decision,
    Ids,
    MediaType,
    Skip,
    Update,
)
from daemon.errors import SchemaMismatchError
from daemon.reasons import Reason
from daemon.store import Store, open_store, syncing
from tests.builders import (
    ACTOR,
    NOW,
    a_report,
    added,
    an_item,
    begun,
    change,
    decide,
    jellyfin_id,
    rows,
)

SEEN = datetime(2026, 3, 1, 23, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
OLDEST = (
    *("id INTEGER NOT NULL PRIMARY KEY", "title VARCHAR(500) NOT NULL"),
    *("media_type VARCHAR(5) NOT NULL", "state VARCHAR(13) NOT NULL", "jellyseerr_id INTEGER"),
    *("tmdb_id INTEGER", "tvdb_id INTEGER", "qbit_hash VARCHAR(100)", "sonarr_id INTEGER"),
    *("radarr_id INTEGER", "shoko_series_id INTEGER", "download_progress FLOAT"),
    *("download_speed VARCHAR(50)", "download_eta VARCHAR(50)", "quality VARCHAR(100)"),
    *("indexer VARCHAR(100)", "download_path VARCHAR(1000)", "final_path VARCHAR(1000)"),
    *("jellyfin_id VARCHAR(100)", "requested_by VARCHAR(100)", "poster_url VARCHAR(500)"),
    *("year INTEGER", "season INTEGER", "episode INTEGER", "created_at DATETIME NOT NULL"),
    *("updated_at DATETIME NOT NULL", "state_changed_at DATETIME NOT NULL"),
)
"""The columns of the tracker's first published version."""


async def apply(store: Store, *decisions: Decision) -> Counter[Reason]:
    """Write decisions as one batch of a run that has just read the tracker."""
    run_id = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    return await store.write(syncing.apply, run_id, ACTOR, decisions, since)


async def planned(store: Store, *items: Any) -> list[Decision]:
    """What would be done about the items as the tracker is now."""
    return decide(items, (await store.read(syncing.tracked)).rows)


def request(path: Path, number: int = 1) -> dict[str, Any]:
    """A request's columns that are not NULL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM requests WHERE id = ?", (number,)).fetchone()
    return {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118


def insert(path: Path, **values: Any) -> None:
    """A row as the tracker makes it, for a film that somebody wants."""
    at = "2026-01-01 00:00:00.000000"
    row: dict[str, Any] = {
        "title": "Theirs",
        "media_type": "MOVIE",
        "state": "AVAILABLE",
        "requested_by": "Ann",
        **dict.fromkeys(("created_at", "updated_at", "state_changed_at"), at),
        **values,
    }
    marks = ", ".join("?" * len(row))
    change(path, f"INSERT INTO requests ({', '.join(row)}) VALUES ({marks})", *row.values())


async def test_a_new_film_is_written_as_the_tracker_wants_it(path: Path, store: Store) -> None:
    """Names in upper case, moments naive in UTC with six digits, the title's times its own."""
    item = an_item(ids=Ids(603, 12, "tt0133093"), path="/m/film.mkv", created_at=SEEN)
    await apply(store, Add(item, radarr_id=7, poster_url="http://media.test/p"))
    assert request(path) == {
        "id": 1,
        "title": "Title of item",
        "media_type": "MOVIE",
        "state": "AVAILABLE",
        "tmdb_id": 603,
        "tvdb_id": 12,
        "imdb_id": "tt0133093",
        "radarr_id": 7,
        "final_path": "/m/film.mkv",
        "jellyfin_id": "447b7147e84be512208dcc0995d67ebc",
        "requested_by": "Library Sync",
        "poster_url": "http://media.test/p",
        "year": 1999,
        "overview": "What it is about.",
        "created_at": "2026-03-01 21:30:00.123456",
        "updated_at": "2026-03-01 21:30:00.123456",
        "state_changed_at": "2026-03-01 21:30:00.123456",
        "available_at": "2026-03-01 21:30:00.123456",
    }
    event = ("library_sync", "Import", "AVAILABLE", "Synced from library", None)
    assert rows(path, "SELECT * FROM timeline_events") == [
        (1, 1, *event, "2026-03-01 21:30:00.123456")
    ]


async def test_a_new_series_is_written_with_what_is_known(path: Path, store: Store) -> None:
    """What is not known stays NULL; a title without a date of its own came now."""
    item = an_item("show", media_type=MediaType.TV, ids=Ids(tvdb=5), year=None, overview=None)
    await apply(store, Add(item._replace(created_at=None), sonarr_id=3))
    now = "2026-11-20 12:00:00.000000"
    assert request(path) == {
        "id": 1,
        "title": "Title of show",
        "media_type": "TV",
        "state": "AVAILABLE",
        "tvdb_id": 5,
        "sonarr_id": 3,
        "jellyfin_id": jellyfin_id("show"),
        "requested_by": "Library Sync",
        **dict.fromkeys(("created_at", "updated_at", "state_changed_at", "available_at"), now),
    }


async def test_a_file_of_the_first_tracker_gets_what_it_has_room_for(path: Path) -> None:
    """Columns that the file lacks are left out, and its tables stay as they are."""
    change(path, f"CREATE TABLE requests ({', '.join(OLDEST)})")
    [(declared,)] = rows(path, "SELECT sql FROM sqlite_master WHERE name = 'requests'")
    item = an_item(ids=Ids(603, None, "tt0133093"), path="/m/film.mkv")
    async with open_store(path) as store:
        await apply(store, Add(item))
        assert await planned(store, item._replace(overview="Another")) != []
        insert(path, title="Half known", tmdb_id=604)
        half = an_item("half", ids=Ids(604, 9, "tt0234215"))
        await apply(store, *await planned(store, half))
    assert request(path)["final_path"] == "/m/film.mkv"
    assert {"imdb_id", "overview", "available_at"}.isdisjoint(request(path))
    assert request(path, 2)["tvdb_id"] == 9
    schema = "SELECT sql FROM sqlite_master WHERE tbl_name = 'requests'"
    assert rows(path, schema) == [(declared,)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([c for c in OLDEST if not c.startswith("tvdb_id")], "requests lacks tvdb_id"),
        ([*OLDEST, "colour TEXT NOT NULL"], "requests insists on a value for colour"),
    ],
)
async def test_a_file_of_another_shape_is_refused(
    path: Path, columns: list[str], words: str
) -> None:
    """A needed column that is absent, or an unknown one that wants a value, stops everything."""
    change(path, f"CREATE TABLE requests ({', '.join(columns)})")
    with pytest.raises(SchemaMismatchError, match=words):
        async with open_store(path):
            pass
    assert rows(path, "SELECT name FROM sqlite_master") == [("requests",)]


async def test_an_unknown_column_with_a_default_is_no_obstacle(path: Path) -> None:
    """A newer tracker may have columns that it fills by itself."""
    change(path, f"CREATE TABLE requests ({', '.join(OLDEST)}, colour TEXT NOT NULL DEFAULT 'x')")
    async with open_store(path) as store:
        await apply(store, Add(an_item()))
    assert request(path)["colour"] == "x"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"media_type": "movie", "tmdb_id": 603}, MediaType.MOVIE),
        ({"media_type": "SERIES", "tmdb_id": 603}, MediaType.TV),
        ({"state": "INDEXED", "tmdb_id": 603}, MediaType.MOVIE),
        ({"state": "", "tmdb_id": 603}, MediaType.MOVIE),
        ({"tmdb_id": "not a number", "jellyfin_id": jellyfin_id("item")}, MediaType.MOVIE),
        ({"tvdb_id": "n/a", "tmdb_id": 603}, MediaType.MOVIE),
    ],
)
async def test_a_row_that_is_not_understood_is_left_alone_and_named(
    path: Path, store: Store, values: dict[str, Any], kind: MediaType
) -> None:
    """It keeps every value, and its title is not added beside it."""
    insert(path, **values)
    before = rows(path, "SELECT * FROM requests")
    [defect] = (await store.read(syncing.tracked)).defects
    assert str(defect).startswith("Tracker request 1: ")
    decisions = await planned(store, an_item(media_type=kind))
    await apply(store, *decisions)
    assert added(decisions) == []
    assert rows(path, "SELECT * FROM requests") == before


@pytest.mark.parametrize("table", ["timeline_events", "episodes"])
async def test_what_a_deleted_title_left_behind_does_not_show_on_a_new_one(
    path: Path, store: Store, table: str
) -> None:
    """A new row's number is beyond every number that an orphan names."""
    info = rows(path, f"PRAGMA table_info({table})")
    needed = [name for _, name, _, insists, _, key in info if insists and not key]
    values = ", ".join("77" for _ in needed)
    change(path, f"INSERT INTO {table} ({', '.join(needed)}) VALUES ({values})")
    await apply(store, Add(an_item(1, ids=Ids(1))), Add(an_item(2, ids=Ids(2))))
    assert rows(path, "SELECT id FROM requests") == [(78,), (79,)]


async def test_only_what_is_null_is_filled(path: Path, store: Store) -> None:
    """Somebody else's row gets what it lacks; its values, its state and its times stay."""
    insert(path, tmdb_id=603, year=1998, title="Their title")
    before = request(path)
    item = an_item(ids=Ids(603, None, "tt0133093"))
    await apply(store, *await planned(store, item))
    filled = {"imdb_id": "tt0133093", "overview": "What it is about."}
    assert request(path) == {**before, **filled, "jellyfin_id": item.jellyfin_id}


async def test_what_somebody_filled_meanwhile_is_kept(path: Path, store: Store) -> None:
    """A value that came after the plan was made is not overwritten."""
    insert(path, tmdb_id=603)
    decisions = await planned(store, an_item())
    change(path, "UPDATE requests SET year = 1900, overview = 'Theirs'")
    await apply(store, *decisions)
    assert (request(path)["year"], request(path)["overview"]) == (1900, "Theirs")


async def test_an_id_that_somebody_replaced_meanwhile_is_kept(path: Path, store: Store) -> None:
    """A relink holds for the id that was proven wrong, and for no other one."""
    insert(path, tmdb_id=603, jellyfin_id=jellyfin_id("gone"))
    decisions = await planned(store, an_item())
    assert [one.relinks["jellyfin_id"][0] for one in decisions if isinstance(one, Update)] == [
        jellyfin_id("gone")
    ]
    change(path, "UPDATE requests SET jellyfin_id = ?", jellyfin_id("theirs"))
    await apply(store, *decisions)
    assert request(path)["jellyfin_id"] == jellyfin_id("theirs")


async def test_a_state_that_somebody_changed_meanwhile_is_kept(path: Path, store: Store) -> None:
    """The tracker has heard of something since."""
    insert(path, tmdb_id=603, state="APPROVED")
    decisions = await planned(store, an_item())
    change(path, "UPDATE requests SET state = 'FAILED'")
    await apply(store, *decisions)
    assert request(path)["state"] == "FAILED"
    assert rows(path, "SELECT * FROM timeline_events") == []


async def test_what_was_seen_of_a_row_is_not_of_the_next_one_with_its_number(
    path: Path, store: Store
) -> None:
    """The tracker gives numbers again; only a row of the same age is the same row."""
    await apply(store, Add(an_item()))
    assert [row.seen for row in (await store.read(syncing.tracked)).rows] == [True]
    change(path, "DELETE FROM requests")
    insert(path, id=1, tmdb_id=604)
    assert [row.seen for row in (await store.read(syncing.tracked)).rows] == [False]


async def test_only_a_row_of_ours_is_refreshed(path: Path, store: Store) -> None:
    """A row that somebody took over keeps its title, even if that happened after the plan."""
    early = an_item(title="film.2160p.x265", overview=None)
    await apply(store, Add(early))
    decisions = await planned(store, an_item(title="The Film"))
    change(path, "UPDATE requests SET requested_by = 'Ann'")
    passed = await apply(store, *decisions)
    assert (passed[Reason.REFRESH], passed[Reason.ADDED_CONCURRENTLY]) == (0, 1)
    change(path, "UPDATE requests SET requested_by = 'Library Sync'")
    assert (await apply(store, *decisions))[Reason.REFRESH] == 1
    assert request(path)["title"] == "The Film"


@pytest.mark.parametrize(
    "stranger",
    [
        {"tmdb_id": 604},
        {"tmdb_id": 603, "media_type": "TV"},
        {"tvdb_id": 999},
        {"jellyfin_id": jellyfin_id("another")},
    ],
)
async def test_a_row_that_took_over_a_number_is_passed_over(
    path: Path, store: Store, stranger: dict[str, Any]
) -> None:
    """The tracker gives numbers of deleted rows again, so a row has to prove which title it is."""
    item = an_item(ids=Ids(603, 12))
    insert(path, tmdb_id=603)
    decisions = await planned(store, item)
    assert [type(one) for one in decisions] == [Update]
    change(path, "DELETE FROM requests")
    insert(path, **stranger)
    before = request(path)
    applied = await apply(store, *decisions)
    assert applied == {Reason.ADDED_CONCURRENTLY: 1}
    assert request(path) == before


async def test_of_several_copies_the_elder_gets_the_row(path: Path, store: Store) -> None:
    """In whatever order they come; the row then stays with the copy that it names."""
    elder = an_item("elder", created_at=NOW - timedelta(days=9), path="/old")
    newer = an_item("newer", path="/new")
    await apply(store, *await planned(store, newer, elder))
    linked = "SELECT jellyfin_id, final_path FROM requests"
    assert rows(path, linked) == [(elder.jellyfin_id, "/old")]
    eldest = an_item("eldest", created_at=NOW - timedelta(days=99), path="/older")
    await apply(store, *await planned(store, newer, elder, eldest))
    assert rows(path, linked) == [(elder.jellyfin_id, "/old")]


async def test_ids_compare_however_they_are_written(path: Path, store: Store) -> None:
    """Dashes and capitals in somebody's Jellyfin or IMDb id do not make another title."""
    dashed = str(UUID(jellyfin_id("item"))).upper()
    insert(path, jellyfin_id=dashed, imdb_id="TT0133093")
    item = an_item(ids=Ids(603, None, "tt0133093"))
    await apply(store, *await planned(store, item))
    assert rows(path, "SELECT tmdb_id, jellyfin_id, imdb_id FROM requests") == [
        (603, dashed, "TT0133093")
    ]


async def test_an_empty_text_is_no_id(path: Path, store: Store) -> None:
    """The first version of the tracker wrote one where it knew none; it is filled like NULL."""
    insert(path, tmdb_id=603, tvdb_id="", jellyfin_id="", imdb_id="", year=1999)
    [row], defects = (await store.read(syncing.tracked))[:2]
    assert (row.ids, row.jellyfin_id, defects) == (Ids(603), None, [])
    assert {"tvdb_id", "imdb_id", "jellyfin_id"} <= row.missing
    item = an_item(ids=Ids(603, 12, "tt0133093"))
    await apply(store, *await planned(store, item))
    ids = "SELECT tmdb_id, tvdb_id, imdb_id, jellyfin_id FROM requests"
    assert rows(path, ids) == [(603, 12, "tt0133093", item.jellyfin_id)]


@pytest.mark.parametrize(
    ("text", "seasons"),
    [
        (None, set()),
        ("", set()),
        ("1", {1}),
        ("1,2, 3", {1, 2, 3}),
        ("0", {0}),
        ("x", None),
        ("1,x", None),
        ("1;2", None),
        ("1,", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        (" ", None),
        ("[1, 2]", None),
    ],
)
async def test_requested_seasons_are_understood_or_never_promoted(
    path: Path, store: Store, text: str | None, seasons: set[int] | None
) -> None:
    """Whatever stands there otherwise may mean more than what is there to watch."""
    insert(
        path, media_type="TV", state="REQUESTED", tmdb_id=None, tvdb_id=5, requested_seasons=text
    )
    [row] = (await store.read(syncing.tracked)).rows
    assert row.seasons == seasons
    if seasons is None:
        show = an_item("show", media_type=MediaType.TV, ids=Ids(tvdb=5))
        sonarr = a_report({1: Ids(tvdb=5)}, media_type=MediaType.TV)
        decisions = decide([show], [row], [sonarr])
        await apply(store, *decisions)
        assert rows(path, "SELECT state FROM requests") == [("REQUESTED",)]


async def test_whoever_was_quicker_is_looked_for_once_a_batch(path: Path, store: Store) -> None:
    """By one question about the new rows, and by none where nobody else has written."""
    statements: list[str] = []
    run_id = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    await store.write(lambda connection: connection.set_trace_callback(statements.append))
    titles = [an_item(number, ids=Ids(number)) for number in range(1, 301)]

    async def written(start: int) -> tuple[int, int]:
        statements.clear()
        batch = [Add(one) for one in titles[start : start + 100]]
        applied = await store.write(syncing.apply, run_id, ACTOR, batch, since)
        asked = [one for one in statements if "FROM requests WHERE id >" in one]
        return len(asked), applied[Reason.ADD]

    assert await written(0) == (0, 100)
    insert(path, tmdb_id=150)
    insert(path, tmdb_id=250)
    assert await written(100) == (1, 99)
    assert await written(200) == (0, 99)
    assert rows(path, "SELECT COUNT(*) FROM requests WHERE tmdb_id IN (150, 250)") == [(2,)]


@pytest.mark.parametrize(
    ("theirs", "added_too"),
    [
        ({"tmdb_id": 603}, False),
        ({"tvdb_id": 12}, False),
        ({"imdb_id": "TT0133093"}, False),
        ({"jellyfin_id": str(UUID(jellyfin_id("item"))).upper()}, False),
        ({"tmdb_id": 603, "media_type": "TV"}, True),
        ({"tmdb_id": 604, "tvdb_id": 12}, True),
        ({"tmdb_id": 604, "jellyfin_id": jellyfin_id("item")}, True),
    ],
)
async def test_a_row_that_came_meanwhile_is_known_by_its_ids(
    path: Path, store: Store, theirs: dict[str, Any], *, added_too: bool
) -> None:
    """The strongest provider that knows both decides; without one Jellyfin's id does."""
    item = an_item(ids=Ids(603, 12, "tt0133093"))
    run_id = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    insert(path, **theirs)
    applied = await store.write(syncing.apply, run_id, ACTOR, [Add(item)], since)
    assert applied == {Reason.ADD if added_too else Reason.ADDED_CONCURRENTLY: 1}


async def test_every_request_of_a_title_gets_what_is_known(path: Path, store: Store) -> None:
    """However many people asked for it."""
    for name in ("Ann", "Bob", "Eve"):
        insert(path, requested_by=name, tmdb_id=603, state="REQUESTED")
    item = an_item(ids=Ids(603, None, "tt0133093"))
    applied = await apply(store, *await planned(store, item))
    assert (applied[Reason.PROMOTE], applied[Reason.ADD]) == (3, 0)
    ids = "SELECT DISTINCT state, imdb_id, jellyfin_id FROM requests"
    assert rows(path, ids) == [("AVAILABLE", "tt0133093", item.jellyfin_id)]
    [first, *others] = await planned(store, item)
    assert {type(one) for one in (first, *others)} == {Skip}
    assert {one.reason for one in (first, *others) if isinstance(one, Skip)} == {
        Reason.ALREADY_RIGHT
    }
