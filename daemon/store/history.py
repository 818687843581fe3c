"""The history of runs: how each went, and what it decided that somebody may ask about."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from daemon.domain import Actor, LibraryItem, Outcome, Trigger
from daemon.reasons import Reason
from daemon.store import audit
from daemon.store.audit import AuditEvent
from daemon.store.database import Connection, Transaction, data_version

_KEPT: Final = 200
"""Runs whose decisions are kept; the runs themselves are kept for good."""

_COLUMNS: Final = ("id", "trigger", "actor", "started_at", "ended_at", "outcome", "result")
_DECIDED: Final = (
    *("kind", "reason", "media_type", "title", "jellyfin_id", "request_id", "details"),
)


_HIGHEST: Final = 2**63 - 1
_BOUNDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, math.inf)


class Decided(NamedTuple):
    """One decision that changed something or needs somebody's attention."""

    reason: Reason
    media_type: str | None
    title: str | None
    jellyfin_id: str | None
    request_id: int | None = None
    details: str | None = None

    @classmethod
    def about(
        cls,
        reason: Reason,
        item: LibraryItem | None,
        number: int | None,
        details: str | None = None,
    ) -> Self:
        """A decision about an item, a row or both."""
        if item is None:
            return cls(reason, None, None, None, number, details)
        return cls(reason, item.media_type.value, item.title, item.jellyfin_id, number, details)


class RunFilter(NamedTuple):
    """Which runs; None does not narrow.

    Attributes:
        since: begun not before this, aware UTC.
        until: begun before this, aware UTC.
    """

    outcome: Outcome | None = None
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None

    def where(self, before: int | None) -> tuple[str, list[object]]:
        """A condition for these runs below a number, and its values."""
        terms: dict[str, object] = {
            "id < ?": _HIGHEST if before is None else before,
            "outcome = ?": self.outcome,
            "trigger = ?": self.trigger,
            "started_at >= ?": self.since and _stamp(self.since),
            "started_at < ?": self.until and _stamp(self.until),
        }
        given = {term: value for term, value in terms.items() if value is not None}
        return " AND ".join(given), [*given.values()]


EVERY_RUN: Final = RunFilter()


def next_number(connection: sqlite3.Connection) -> int:
    """The number that the next run will have; numbers are never used twice."""
    known = "SELECT seq FROM sqlite_sequence WHERE name = 'sync_runs'"
    return int((connection.execute(known).fetchone() or (0,))[0]) + 1


def begin(
    transaction: Transaction,
    trigger: Trigger,
    actor: Actor,
    *,
    kind: str = "full",
    pictures: bool = False,
    number: int | None = None,
) -> int:
    """Note that a run has begun; returns its number, the given one if there is one.

    One that is still open, because the disk was too full to note its end, is closed.
    """
    interrupt_stale(transaction)
    at = transaction.clock.now()
    cursor = transaction.execute(
        "INSERT INTO sync_runs (id, trigger, kind, actor, started_at, outcome, pictures)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, trigger.value, kind, actor.name, _stamp(at), Outcome.RUNNING.value, pictures),
    )
    return int(cursor.lastrowid or 0)


def note(transaction: Transaction, run_id: int, decided: Iterable[Decided]) -> None:
    """Keep decisions of a run."""
    [first] = transaction.execute(
        "SELECT COALESCE(MAX(seq), 0) + 1 FROM sync_decisions WHERE run_id = ?", (run_id,)
    ).fetchone()
    names = ", ".join(_DECIDED)
    marks = ", ".join("?" * (len(_DECIDED) + 2))
    transaction.executemany(
        f"INSERT INTO sync_decisions (run_id, seq, {names}) VALUES ({marks})",
        ((run_id, seq, one.reason.meaning.kind, *one) for seq, one in enumerate(decided, first)),
    )


def finish(
    transaction: Transaction,
    run_id: int,
    outcome: Outcome,
    result: dict[str, Any],
    *events: AuditEvent,
) -> None:
    """Note how a run ended, and its audit event."""
    counts = [result.get(name, 0) for name in ("added", "updated", "unpictured")]
    transaction.execute(
        "UPDATE sync_runs SET ended_at = ?, outcome = ?, added = ?, updated = ?, unpictured = ?,"
        " result = ? WHERE id = ?",
        (_stamp(transaction.clock.now()), outcome.value, *counts, json.dumps(result), run_id),
    )
    prune(transaction)
    audit.append(transaction, *events)


def interrupt_stale(transaction: Transaction) -> list[int]:
    """Close the runs that a dead process left open; returns their numbers.

    Such a run crashed before it recorded whether it added titles without asking for their pictures.
    """
    at = transaction.clock.now()
    rows = transaction.execute(
        "UPDATE sync_runs SET outcome = ?, ended_at = ?, unpictured = 1 - pictures"
        " WHERE outcome = ? RETURNING id",
        (Outcome.INTERRUPTED.value, _stamp(at), Outcome.RUNNING.value),
    )
    return [number for (number,) in rows.fetchall()]


def prune(transaction: Transaction) -> None:
    """Forget the decisions of old runs."""
    [newest] = transaction.execute("SELECT COALESCE(MAX(id), 0) FROM sync_runs").fetchone()
    transaction.execute("DELETE FROM sync_decisions WHERE run_id <= ?", (newest - _KEPT,))


def housekeep(transaction: Transaction) -> None:
    """What is good for the file now and then: forget old details, renew the statistics."""
    prune(transaction)
    transaction.execute("PRAGMA optimize")


def keeps(connection: sqlite3.Connection, run_id: int) -> bool:
    """Whether the decisions of a run are not forgotten yet."""
    [newest] = connection.execute("SELECT COALESCE(MAX(id), 0) FROM sync_runs").fetchone()
    return bool(run_id > newest - _KEPT)


def pictures_wanted(connection: sqlite3.Connection) -> bool:
    """Whether the listing should say which titles have a poster, which makes it dearer.

    That is so as long as no run has asked, and after a run that added many without asking.
    """
    [since] = connection.execute(
        "SELECT COALESCE(MAX(id), 0) FROM sync_runs WHERE pictures = 1 AND outcome = ?",
        (Outcome.OK.value,),
    ).fetchone()
    found = connection.execute(
        "SELECT 1 FROM sync_runs WHERE id > ? AND unpictured > 0 LIMIT 1", (since,)
    ).fetchone()
    return not since or found is not None


def latest(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest runs, the newest first."""
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM sync_runs ORDER BY id DESC LIMIT ?",
        (limit,),
    )
    return [_run(row) for row in rows]


def runs(
    connection: sqlite3.Connection,
    before: int | None,
    limit: int,
    wanted: RunFilter = EVERY_RUN,
) -> list[dict[str, Any]]:
    """The newest of the wanted runs, the newest first, beginning below a number."""
    where, values = wanted.where(before)
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM sync_runs WHERE {where} ORDER BY id DESC LIMIT ?",
        (*values, limit),
    )
    return [_run(row) for row in rows]


def run_page(
    connection: sqlite3.Connection, run_id: int, after: int, limit: int
) -> dict[str, Any] | None:
    """One run with some of the decisions kept of it, those above a `seq`; None if unknown."""
    run = head(connection, run_id)
    return None if run is None else {**run, "decisions": decided(connection, run_id, after, limit)}


def decided(
    connection: sqlite3.Connection, run_id: int, after: int, limit: int
) -> list[dict[str, Any]]:
    """The kept decisions of a run in their order, beginning above a `seq`."""
    names = ("seq", *_DECIDED)
    rows = connection.execute(
        f"SELECT {', '.join(names)} FROM sync_decisions WHERE run_id = ? AND seq > ?"
        " ORDER BY seq LIMIT ?",
        (run_id, after, limit),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


class RunCounts(NamedTuple):
    """What the history comes to.

    Attributes:
        ended: how many runs, by trigger and outcome.
        within: of those that came to their own end, how many took at most so many seconds.
        seconds: what these took together.
        last_good: when the latest good full run ended; looks at single titles prove little.
    """

    ended: dict[tuple[str, str], int]
    within: dict[float, int]
    seconds: float
    last_good: datetime | None


class Counted(NamedTuple):
    """How many there are.

    Attributes:
        titles: by media type and state, in the tracker's own words.
    """

    titles: dict[tuple[str, str], int]
    runs: RunCounts


class Counter:
    """Counts titles and runs, again only after somebody has written."""

    def __init__(self) -> None:
        self._version = -1
        self._counted: Counted | None = None

    def count(self, connection: Connection) -> Counted:
        """How many there are now."""
        version = data_version(connection)
        if self._counted is None or version != self._version:
            self._counted = Counted(_titles(connection), _runs(connection))
            self._version = version
        return self._counted


def _titles(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute("SELECT media_type, state, COUNT(*) FROM requests GROUP BY 1, 2")
    return {(str(media_type), str(state)): count for media_type, state, count in rows}


def _runs(connection: sqlite3.Connection) -> RunCounts:
    ended = connection.execute(
        "SELECT trigger, outcome, COUNT(*) FROM sync_runs WHERE ended_at NOT NULL GROUP BY 1, 2"
    )
    took = "(julianday(ended_at) - julianday(started_at)) * 86400"
    within = ", ".join(f"COALESCE(SUM({took} <= ?), 0)" for _ in _BOUNDS)
    seconds, *numbers = connection.execute(
        f"SELECT COALESCE(SUM({took}), 0), {within} FROM sync_runs WHERE outcome NOT IN (?, ?)",
        (*_BOUNDS, Outcome.RUNNING.value, Outcome.INTERRUPTED.value),
    ).fetchone()
    last = connection.execute(
        "SELECT ended_at FROM sync_runs WHERE kind = 'full' AND outcome = ?"
        " ORDER BY id DESC LIMIT 1",
        (Outcome.OK.value,),
    ).fetchone()
    return RunCounts(
        ended={(trigger, outcome): count for trigger, outcome, count in ended},
        within=dict(zip(_BOUNDS, numbers, strict=True)),
        seconds=seconds,
        last_good=datetime.fromisoformat(last[0]) if last else None,
    )


def head(connection: sqlite3.Connection, run_id: int) -> dict[str, Any] | None:
    """One run without its decisions; None if there is no such run."""
    row = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM sync_runs WHERE id = ?",
        (run_id,),
    ).fetchone()
    return None if row is None else _run(row)


def one(connection: sqlite3.Connection, run_id: int) -> dict[str, Any] | None:
    """One run with its decisions; None if there is no such run."""
    run = head(connection, run_id)
    if run is None:
        return None
    rows = connection.execute(
        f"SELECT {', '.join(_DECIDED)} FROM sync_decisions WHERE run_id = ? ORDER BY seq",
        (run_id,),
    )
    return {**run, "decisions": [dict(zip(_DECIDED, row, strict=True)) for row in rows]}


def _run(row: tuple[Any, ...]) -> dict[str, Any]:
    run = dict(zip(_COLUMNS, row, strict=True))
    run["result"] = json.loads(run["result"]) if run["result"] else None
    return run


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
