"""Migrates our own tables; the file's `user_version` belongs to the tracker."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from daemon.errors import SchemaMismatchError


class Migration(NamedTuple):
    """One numbered step."""

    number: int
    sql: str


def migrations() -> list[Migration]:
    """Every step, in order; a file's name begins with its number."""
    folder = resources.files("daemon.store") / "migrations"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        Migration(int(name.split("_")[0]), (folder / name).read_text(encoding="utf-8"))
        for name in files
    ]


def version(connection: sqlite3.Connection) -> int | None:
    """The number of the last step; None if this program never wrote to the file."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sync_migrations'"
    if connection.execute(known).fetchone() is None:
        return None
    [number] = connection.execute("SELECT COALESCE(MAX(number), 0) FROM sync_migrations").fetchone()
    return int(number)


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether every step is taken."""
    return (version(connection) or 0) >= migrations()[-1].number


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing steps inside the caller's transaction.

    Raises:
        SchemaMismatchError: a newer program has written to this file.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS sync_migrations ("
        " number INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
    )
    done = version(connection) or 0
    steps = migrations()
    if done > steps[-1].number:
        raise SchemaMismatchError("a newer version of library-sync wrote to this file; upgrade")
    for step in steps:
        if step.number > done:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute("INSERT INTO sync_migrations (number) VALUES (?)", (step.number,))


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit the transaction that this runs in."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
