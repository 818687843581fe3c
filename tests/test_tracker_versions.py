"""Files of every version of the tracker are read, written, removed from and brought back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain import RemovalPolicy
from daemon.store import open_store, requests, undo
from tests.builders import ACTOR, change, rows, synced
from tests.pretend import PretendServices
from tests.pretend.library import Movie
from tests.running import METROPOLIS, SHOW, a_world

FIRST = (
    *("imdb_id", "is_anime", "alternate_titles", "match_failure_reason", "overview"),
    *("final_path", "requested_seasons", "total_episodes", "available_at", "vfs_rebuild_at"),
    "season",
)
"""Columns of requests that the tracker did not have at first, when it had 27."""

MIDDLE = ("vfs_rebuild_at", "alternate_titles")
OFTEN = RemovalPolicy(sightings=1, grace=timedelta())
AT = "2026-11-01 12:00:00.000000"


def _first(connection: sqlite3.Connection) -> None:
    """No log of deletions, no episodes, and fewer columns."""
    for table in ("deletion_sync_events", "deletion_logs", "episodes"):
        connection.execute(f"DROP TABLE {table}")
    for column in FIRST:
        connection.execute(f"ALTER TABLE requests DROP COLUMN {column}")


def _middle(connection: sqlite3.Connection) -> None:
    """A log of deletions that does not know the download yet."""
    connection.execute("ALTER TABLE deletion_logs DROP COLUMN qbit_hash")
    for column in MIDDLE:
        connection.execute(f"ALTER TABLE requests DROP COLUMN {column}")


def _newest(_: sqlite3.Connection) -> None:
    """As it is now."""


def made(path: Path, version: str) -> dict[str, str]:
    """Make a file of that version with a request; returns the statements of its tables."""
    with closing(sqlite3.connect(path)) as connection, connection:
        requests.create(connection)
        {"first": _first, "middle": _middle, "newest": _newest}[version](connection)
        connection.execute(
            "INSERT INTO requests (title, media_type, state, tmdb_id, tvdb_id, requested_by,"
            " created_at, updated_at, state_changed_at)"
            f" VALUES ('Metropolis', 'MOVIE', 'REQUESTED', 19, '', 'alice', '{AT}', '{AT}', '{AT}')"
        )
    return tables(path)


def tables(path: Path) -> dict[str, str]:
    """The statements of the tracker's own tables."""
    found = rows(path, "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sync%'")
    return dict(found)


@pytest.mark.parametrize("version", ["first", "middle", "newest"])
async def test_a_file_of_every_version_is_worked_on(tmp_path: Path, version: str) -> None:
    """A request is filled and promoted, a series added, a film removed, and brought back."""
    path = tmp_path / "tracker.db"
    before = made(path, version)
    film = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"})
    async with PretendServices(a_world(film)) as services:
        first = await synced(services, path, removal=OFTEN)
        assert (first["outcome"], first["added"], first["promoted"]) == ("ok", 2, 1)
        told = "SELECT title, state, tmdb_id, jellyfin_id FROM requests ORDER BY id"
        known = rows(path, told)
        assert known[0] == ("Metropolis", "AVAILABLE", 19, METROPOLIS.jellyfin_id)
        assert {row[0] for row in known} == {"Metropolis", SHOW.title, film.title}
        again = await synced(services, path, removal=OFTEN)
        assert (again["outcome"], again["added"], again["updated"]) == ("ok", 0, 0)
        assert again["skip_reasons"] == {"already_right": 3}
        services.world.remove(film.jellyfin_id)
        last = await synced(services, path, removal=OFTEN)
        assert (last["outcome"], last["removed"]) == ("ok", 1)
    async with open_store(path) as store:
        [back] = await undo.undo_run(store, last["run_id"], ACTOR)
    assert (back.done, rows(path, told)) == (True, known)
    after = tables(path)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("version", ["first", "middle", "newest"])
async def test_a_second_look_at_a_file_of_every_version_changes_nothing(
    tmp_path: Path, version: str
) -> None:
    """The tracker itself may have written between two runs."""
    path = tmp_path / "tracker.db"
    made(path, version)
    async with PretendServices(a_world()) as services:
        await synced(services, path)
        change(path, "UPDATE requests SET title = 'Metropolis (1927)' WHERE id = 1")
        before = rows(path, "SELECT * FROM requests ORDER BY id")
        await synced(services, path)
    assert rows(path, "SELECT * FROM requests ORDER BY id") == before
