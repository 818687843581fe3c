"""Undoes a run's changes, from the previous values kept in the audit.

Each title by itself: where the row is not as that run left it any more, it stays as it is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from daemon.domain import Actor
from daemon.reasons import UNDONE, Reason
from daemon.store import audit, pending
from daemon.store.audit import AuditEvent
from daemon.store.database import Store, Transaction

_MERGED: Final = Reason.MERGE.meaning.audit
_GONE: Final = {reason.meaning.audit for reason in (Reason.REMOVE, Reason.MERGE, Reason.WITHDRAW)}
_BATCH: Final = 50
_NEWEST: Final = 2**62
_CHILDREN: Final = ("timeline_events", "episodes")


@dataclass(frozen=True, slots=True)
class Undone:
    """The result of undoing one title.

    Attributes:
        target: the row, e.g. "request 12".
        done: it was restored.
        why: why not, or its new number, in plain words.
        moved_to: the row's new number, if the tracker has given the old one to another title.
    """

    target: str
    title: str
    action: str
    done: bool
    why: str = ""
    moved_to: int | None = None


class _RefusedError(Exception):
    """The row has changed since the run; the text says how."""


async def undo_run(store: Store, run_id: int, actor: Actor) -> list[Undone]:
    """Undo a run, newest change first, title by title."""
    done: list[Undone] = []
    below: int | None = _NEWEST
    while below is not None:
        part, below = await store.write(_undo_part, run_id, actor, below)
        done += part
    return done


def _undo_part(
    transaction: Transaction, run_id: int, actor: Actor, below: int
) -> tuple[list[Undone], int | None]:
    """The next titles, and where those after them begin; None where there are no more."""
    marks = ", ".join("?" * len(UNDONE))
    rows = transaction.execute(
        "SELECT seq, action, target, before, after FROM sync_audit"
        f" WHERE run_id = ? AND action IN ({marks}) AND seq < ? ORDER BY seq DESC LIMIT ?",
        (run_id, *UNDONE, below, _BATCH),
    ).fetchall()
    done = [_undone(transaction, *row[1:]) for row in rows]
    audit.append(transaction, *(_event(one, run_id, actor) for one in done))
    return done, rows[-1][0] if len(rows) == _BATCH else None


def _event(one: Undone, run_id: int, actor: Actor) -> AuditEvent:
    what = f"{one.action} of run {run_id}"
    if one.done:
        after = {"request_id": one.moved_to} if one.moved_to else None
        return AuditEvent("title.undone", actor, run_id, one.target, what, after=after)
    return AuditEvent("undo.refused", actor, run_id, one.target, f"{what}: {one.why}")


def _undone(connection: Transaction, action: str, target: str, before: str, after: str) -> Undone:
    title, moved_to = target, None
    connection.execute("SAVEPOINT one_title")
    try:
        was, became = json.loads(before), json.loads(after)
        number = int(target.removeprefix("request "))
        if action in _GONE:
            title, restored = _restore(connection, was, became, alone=action != _MERGED)
            moved_to = restored if restored != number else None
        else:
            title = _revert(connection, number, was, became)
    except _RefusedError as error:
        connection.execute("ROLLBACK TO one_title")
        return Undone(target, title, action, done=False, why=str(error))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, sqlite3.Error):
        connection.execute("ROLLBACK TO one_title")
        return Undone(target, title, action, done=False, why="what was kept of it is unusable")
    finally:
        connection.execute("RELEASE one_title")
    why = f"as request {moved_to}: the tracker has given its number away" if moved_to else ""
    return Undone(target, title, action, done=True, why=why, moved_to=moved_to)


def _restore(
    connection: Transaction,
    was: Mapping[str, Any],
    became: Mapping[str, Any],
    *,
    alone: bool,
) -> tuple[str, int]:
    """Restore a removed row with its children; it must be seen again to become missing.

    Returns its title and its number, a new one if the old one was reused.

    Args:
        was: its rows by table.
        became: what was written instead.
        alone: refuse if its title has another row.
    """
    [row] = was["requests"]
    if alone:
        _refuse_if_tracked(connection, row)
    number = _insert(connection, "requests", row)
    for table in _CHILDREN:
        for child in was[table]:
            _insert(connection, table, {**child, "request_id": number})
    for kept in was.get("sync_pending", ()):
        pending.follow_again(connection, number, kept, restored=True)
    log = became.get("deletion_log_id")
    connection.execute("DELETE FROM deletion_sync_events WHERE deletion_log_id = ?", (log,))
    connection.execute("DELETE FROM deletion_logs WHERE id = ?", (log,))
    return str(row["title"]), number


def _refuse_if_tracked(connection: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    found = connection.execute(
        "SELECT id FROM requests WHERE media_type = ?"
        " AND (tmdb_id = ? OR tvdb_id = ? OR jellyfin_id = ?) LIMIT 1",
        (row["media_type"], *(row[name] or None for name in ("tmdb_id", "tvdb_id", "jellyfin_id"))),
    ).fetchone()
    if found:
        raise _RefusedError(f"the title is tracked again, as request {found[0]}")


def _revert(
    connection: Transaction, number: int, was: dict[str, Any], became: dict[str, Any]
) -> str:
    """Restore a changed row's previous values; one that was on its way is followed again."""
    episodes, event = was.pop("episodes", []), became.pop("event_id", None)
    followed = was.pop("sync_pending", [])
    names = _known(connection, "requests", was)
    found = connection.execute(
        f"SELECT title, {', '.join(names)} FROM requests WHERE id = ?", (number,)
    ).fetchone()
    if found is None:
        raise _RefusedError("the row is gone")
    if list(found[1:]) != [became[name] for name in names]:
        raise _RefusedError("the row has changed since")
    assignments = ", ".join(f"{name} = ?" for name in names)
    values = [was[name] for name in names]
    connection.execute(f"UPDATE requests SET {assignments} WHERE id = ?", (*values, number))
    for episode, state in episodes:
        changed = connection.execute(
            "UPDATE episodes SET state = ? WHERE id = ? AND request_id = ? AND state = 'AVAILABLE'",
            (state, episode, number),
        )
        if not changed.rowcount:
            raise _RefusedError("its episodes have changed since")
    for kept in followed:
        pending.follow_again(connection, number, kept)
    if event is not None:
        connection.execute(
            "DELETE FROM timeline_events WHERE id = ? AND request_id = ?", (event, number)
        )
    return str(found[0])


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int:
    """Insert a row again, under a new number if its own is taken."""
    names = _known(connection, table, row)
    if connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (row["id"],)).fetchone():
        names.remove("id")
    marks = ", ".join("?" * len(names))
    written = connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row[name] for name in names]
    )
    return int(written.lastrowid or 0)


def _known(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> list[str]:
    """The kept columns that the table still has."""
    columns = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
    return [name for name in row if name in columns]
