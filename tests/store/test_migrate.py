"""Our own tables, beside those of whoever owns the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import SchemaMismatchError, StoreError
from daemon.store import open_store, open_store_readonly, plans, requests, syncing
from daemon.store.migrate import migrations
from tests.builders import change, files, rows


def test_the_steps_are_numbered_without_a_hole() -> None:
    """Every installation takes the same steps in the same order."""
    assert [step.number for step in migrations()] == [*range(1, len(migrations()) + 1)]


async def test_the_files_own_version_is_not_touched(path: Path) -> None:
    """The number in a file's header belongs to whoever made the file."""
    change(path, "PRAGMA user_version = 42")
    async with open_store(path):
        pass
    assert rows(path, "PRAGMA user_version") == [(42,)]
    assert rows(path, "SELECT number FROM sync_migrations") == [
        (step.number,) for step in migrations()
    ]


async def test_migrating_twice_is_nothing(path: Path) -> None:
    """A second start changes no byte of the file."""
    async with open_store(path):
        pass
    before = files(path.parent)
    async with open_store(path):
        pass
    assert files(path.parent) == before


async def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    """What a newer program wrote is not understood, so nothing is written to it."""
    async with open_store(path):
        pass
    change(path, "INSERT INTO sync_migrations (number) VALUES (999)")
    before = files(path.parent)
    with pytest.raises(SchemaMismatchError, match="newer"):
        async with open_store(path):
            pass
    assert files(path.parent) == before


def as_version_1(path: Path) -> None:
    """A file as version 1.0 left it: with its tables, a missing title and a held plan."""
    with closing(sqlite3.connect(path)) as connection, connection:
        requests.create(connection)
        connection.execute(
            "CREATE TABLE sync_migrations ("
            " number INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
        )
        for step in migrations()[:4]:
            connection.executescript(step.sql)
            connection.execute("INSERT INTO sync_migrations (number) VALUES (?)", (step.number,))
        at = "2026-11-19 12:00:00.000000"
        connection.execute(
            "INSERT INTO requests (id, title, media_type, state, tmdb_id, requested_by,"
            " created_at, updated_at, state_changed_at)"
            f" VALUES (1, 'Old', 'MOVIE', 'AVAILABLE', 603, 'Library Sync', '{at}', '{at}', '{at}')"
        )
        connection.execute("INSERT INTO sync_titles VALUES (1, ?, '/films')", (at,))
        connection.execute(
            "INSERT INTO sync_absences VALUES (1, '2026-11-19T12:00:00+00:00', 2, 3600, 'x', 1, 1)"
        )
        connection.execute("INSERT INTO sync_plans VALUES (1, 'open', ?, 'x', NULL, NULL)", (at,))
        connection.execute(
            "INSERT INTO sync_held VALUES (1, 1, 'MOVIE', 'Old', '/films', 'why', ?, 2)", (at,)
        )


async def test_a_file_of_version_1_is_brought_up_to_date(path: Path) -> None:
    """What it knew of missing titles and of held plans is kept as it was meant."""
    as_version_1(path)
    async with open_store(path) as store:
        tracked = await store.read(syncing.tracked)
        [row] = tracked.rows
        assert (row.seen, row.library) == (True, "/films")
        assert row.absence is not None
        assert (row.absence.sightings, row.absence.library_away) == (2, False)
        plan = await store.read(plans.one, 1)
        assert plan is not None
        assert [title.kind for title in plan.titles] == ["remove"]
        assert (tracked.server, tracked.removed_lately) == (None, 0)
    numbers = [step.number for step in migrations()]
    assert rows(path, "SELECT number FROM sync_migrations") == [(number,) for number in numbers]


async def test_a_file_of_version_1_can_be_looked_at(path: Path) -> None:
    """A dry run or a check of a new version reads it before any run has written to it."""
    as_version_1(path)
    before = files(path.parent)
    async with open_store_readonly(path, foreign=True) as store:
        tracked = await store.read(syncing.tracked)
    assert [row.absence is not None for row in tracked.rows] == [True]
    assert tracked.server is None
    assert files(path.parent) == before


async def test_a_file_without_our_tables_is_not_asked_for_what_is_in_them(path: Path) -> None:
    """Who wants the history is told to sync once, instead of something about tables."""
    as_version_1(path)
    with pytest.raises(StoreError, match="sync once"):
        async with open_store_readonly(path):
            pass
