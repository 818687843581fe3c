"""Two writers of one file: the tracker works on its rows while a run writes."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain import Decision, Ids, Skip
from daemon.reasons import Reason
from daemon.store import Store, audit, open_store, syncing
from daemon.store.syncing import ConcurrentWrites
from tests.builders import ACTOR, an_item, begun, decide, jellyfin_id, rows

LIBRARY = [
    an_item(1, ids=Ids(1, 11)),
    an_item(2, ids=Ids(2)),
    an_item(3, ids=Ids(None, 13)),
    an_item(4, ids=Ids()),
]
FORMS: dict[int, list[dict[str, Any]]] = {
    1: [{"tmdb_id": 1}, {"tvdb_id": 11}, {"tmdb_id": 1, "tvdb_id": 11, "year": 1950}],
    2: [{"tmdb_id": 2}, {"tmdb_id": 2, "jellyfin_id": jellyfin_id(2)}],
    3: [{"tvdb_id": 13, "overview": "Theirs"}],
    4: [{"jellyfin_id": jellyfin_id(4)}],
}
"""The ways in which the tracker may come to know the library's titles."""

MARKS = "(tmdb_id = ?1 OR tvdb_id = ?2 OR jellyfin_id = ?3)"

acts = st.tuples(
    st.sampled_from(["nothing", "add", "add", "edit", "delete", "replace", "adopt"]),
    st.integers(1, 4),
    st.integers(0, 2),
)


class Tracker:
    """The other program, which knows what it has written."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._theirs: dict[int, dict[str, Any]] = {}
        self._others = count(900)

    def act(self, what: str, title: int, form: int) -> None:
        """Do something with one of the library's titles, or with its row."""
        item = LIBRARY[title - 1]
        known = (item.ids.tmdb, item.ids.tvdb, item.jellyfin_id)
        query = f"SELECT id FROM requests WHERE {MARKS}"
        [number] = self._connection.execute(query, known).fetchone() or [None]
        if what == "add" and number is None:
            self._insert(None, FORMS[title][form % len(FORMS[title])])
        elif what not in {"nothing", "add"} and number is not None:
            self._change(what, number)

    def _change(self, what: str, number: int) -> None:
        if what == "edit":
            self._connection.execute("UPDATE requests SET year = 1901 WHERE id = ?", (number,))
        elif what == "adopt":
            adopt = "UPDATE requests SET requested_by = 'Ann' WHERE id = ?"
            self._connection.execute(adopt, (number,))
        else:
            self._connection.execute("DELETE FROM requests WHERE id = ?", (number,))
            self._theirs.pop(number, None)
            if what == "replace":
                self._insert(number, {"tvdb_id": next(self._others)})
        self._remember()

    def _insert(self, number: int | None, values: dict[str, Any]) -> None:
        at = "2026-01-01 00:00:00.000000"
        row = {"id": number, "title": "Theirs", "media_type": "MOVIE", "state": "AVAILABLE"}
        row |= dict.fromkeys(("created_at", "updated_at", "state_changed_at"), at) | values
        names = ", ".join(row)
        statement = f"INSERT INTO requests ({names}) VALUES ({', '.join('?' * len(row))})"
        self._connection.execute(statement, (*row.values(),))
        self._remember()

    def _remember(self) -> None:
        for number, row in self._rows():
            self._theirs[number] = row

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        query = "SELECT * FROM requests WHERE requested_by IS NOT 'Library Sync'"
        cursor = self._connection.execute(query)
        names = [column[0] for column in cursor.description]
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            yield row["id"], {name: value for name, value in row.items() if value is not None}

    def lost(self) -> dict[int, dict[str, Any]]:
        """The rows of the tracker that lost a value or got another one."""
        now = dict(self._rows())
        return {n: row for n, row in self._theirs.items() if not row.items() <= now[n].items()}


async def plan(store: Store) -> tuple[list[Decision], ConcurrentWrites]:
    """What is to be done about the library as the tracker is now, and when that was."""
    since = await store.write(syncing.concurrent_writes)
    return decide(LIBRARY, (await store.read(syncing.tracked)).rows), since


async def play(path: Path, before: list[Any], meanwhile: list[Any]) -> None:
    """A run with the tracker acting before it and between its transactions, then a quiet run."""
    async with open_store(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            tracker = Tracker(connection)
            for act in before:
                tracker.act(*act)
            run_id = await begun(store)
            decisions, since = await plan(store)
            for number, act in enumerate(meanwhile):
                tracker.act(*act)
                batch = decisions[number : number + 1]
                await store.write(syncing.apply, run_id, ACTOR, batch, since)
            assert tracker.lost() == {}
            assert doubles(path) == []
            await store.write(syncing.apply, run_id, ACTOR, *await plan(store))
            assert tracker.lost() == {}
        assert doubles(path) == []
        assert {type(one) for one in (await plan(store))[0]} == {Skip}
        assert (await store.read(audit.verify)).broken_at is None
    tracked = [rows(path, f"SELECT 1 FROM requests WHERE {MARKS}", *ids) for ids in known()]
    assert tracked == [[(1,)]] * len(LIBRARY)


def known() -> list[tuple[Any, ...]]:
    """What identifies each of the library's titles."""
    return [(item.ids.tmdb, item.ids.tvdb, item.jellyfin_id) for item in LIBRARY]


def doubles(path: Path) -> list[tuple[Any, ...]]:
    """Ids that two rows have."""
    found = []
    for column in ("tmdb_id", "tvdb_id", "jellyfin_id"):
        query = f"SELECT {column} FROM requests GROUP BY 1 HAVING COUNT({column}) > 1"
        found += rows(path, query)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(acts, max_size=4), st.lists(acts, min_size=4, max_size=4))
def test_two_writers_neither_double_nor_overwrite(before: list[Any], meanwhile: list[Any]) -> None:
    """Whatever the tracker does meanwhile: nothing is there twice, none of its values is lost."""
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(play(Path(name, "tracker.db"), before, meanwhile))


@pytest.mark.parametrize("between", [1, 2])
async def test_a_title_that_gets_the_number_of_a_deleted_row_is_not_added_again(
    path: Path, between: int
) -> None:
    """The last row's number is given again once it is deleted, before the next batch or later."""
    async with open_store(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            tracker = Tracker(connection)
            tracker.act("add", 4, 0)
            run_id, (decisions, since) = await begun(store), await plan(store)
            tracker.act("delete", 4, 0)
            if between == 2:
                await store.write(syncing.apply, run_id, ACTOR, decisions[:1], since)
            tracker.act("add", 1, 0)
            await store.write(syncing.apply, run_id, ACTOR, decisions, since)
    assert doubles(path) == []


async def test_a_title_that_the_tracker_adds_meanwhile_is_not_added_again(path: Path) -> None:
    """The check is inside the transaction; a series with a film's number is no film."""
    async with open_store(path) as store:
        run_id = await begun(store)
        decisions, since = await plan(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            tracker = Tracker(connection)
            tracker.act("add", 1, 0)
            tracker.act("add", 2, 0)
            connection.execute("UPDATE requests SET media_type = 'TV' WHERE tmdb_id = 2")
        applied = await store.write(syncing.apply, run_id, ACTOR, decisions, since)
    assert applied == {Reason.ADD: 2, Reason.ADD_WITHOUT_IDS: 1, Reason.ADDED_CONCURRENTLY: 1}
    assert rows(path, "SELECT requested_by FROM requests WHERE tmdb_id = 1") == [(None,)]
