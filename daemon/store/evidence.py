"""Evidence: which titles were seen in the library, and how long some are missing.

Only what changes is written: a title once when it is first seen, and a row a reading for what is
missing. Time is counted so that a clock that jumps can only delay a removal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from daemon.domain import Absence, Evidence, Missed
from daemon.store.clock import Moment
from daemon.store.database import Transaction

SEEN = (
    "LEFT JOIN sync_titles ON sync_titles.request_id = requests.id"
    " AND sync_titles.created_at = requests.created_at"
    " LEFT JOIN sync_absences ON sync_absences.request_id = sync_titles.request_id"
)
"""Joins what we know of a row; the tracker reuses numbers, so the row's age has to fit too."""

COLUMNS = (
    *("sync_titles.request_id IS NOT NULL", "sync_titles.library"),
    *("sync_absences.sightings", "sync_absences.waited", "sync_absences.since"),
    *("sync_absences.library_away", "sync_absences.boot", "sync_absences.monotonic"),
    "sync_absences.wall",
)


def columns(connection: sqlite3.Connection) -> Sequence[str] | None:
    """`COLUMNS` as this file has them; None if this program never wrote to it."""
    known = {name for _, name, *_ in connection.execute("PRAGMA table_info(sync_absences)")}
    if not known:
        return None
    later = "sync_absences.library_away"  # absent in a file of version 1.0 that is only looked at
    return ["0" if name == later and "library_away" not in known else name for name in COLUMNS]


def absence(values: Sequence[object], now: Moment) -> Absence | None:
    """The absence described by all but the first two of `COLUMNS`."""
    sightings, waited, since, away, *then = values
    if sightings is None:
        return None
    passed = float(waited) + now.elapsed_since(Moment(*then))  # type: ignore[arg-type]
    began = datetime.fromisoformat(str(since))
    return Absence(int(sightings), timedelta(seconds=passed), began, bool(away))  # type: ignore[call-overload]


def note(transaction: Transaction, found: Evidence) -> None:
    """Store the evidence of one reading."""
    saw(transaction, found.seen)
    _returned(transaction, found.returned)
    _missed(transaction, found.missed)
    transaction.executemany(
        "UPDATE sync_absences SET library_away = 1 WHERE request_id = ? AND NOT library_away",
        [(number,) for number in found.away],
    )


def saw(transaction: Transaction, rows: Sequence[tuple[int, str | None]]) -> None:
    """Note rows that were seen in the library, with its location."""
    transaction.executemany(
        "INSERT OR REPLACE INTO sync_titles (request_id, created_at, library)"
        " SELECT id, created_at, ?2 FROM requests WHERE id = ?1",
        rows,
    )
    _returned(transaction, [number for number, _ in rows])  # of a row that had this number before


def _returned(transaction: Transaction, rows: Sequence[int]) -> None:
    """Forget that rows were missing."""
    transaction.executemany(
        "DELETE FROM sync_absences WHERE request_id = ?", [(number,) for number in rows]
    )


def _missed(transaction: Transaction, found: Sequence[Missed]) -> None:
    """Count one more complete reading without these rows."""
    at, moment = transaction.clock.now(), transaction.clock.moment()
    transaction.executemany(
        "INSERT OR REPLACE INTO sync_absences"
        " (request_id, since, sightings, waited, library_away, boot, monotonic, wall)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row.id,
                (row.absence.since if row.absence else at).isoformat(),
                (row.absence.sightings if row.absence else 0) + 1,
                row.absence.waited.total_seconds() if row.absence else 0.0,
                away or (row.absence is not None and row.absence.library_away),
                *moment,
            )
            for row, away in found
        ],
    )


def forget(transaction: Transaction, request_id: int) -> None:
    """Forget a row's evidence: it must be seen again before it can be missing."""
    for table in ("sync_titles", "sync_absences", "sync_instance_ids"):
        transaction.execute(f"DELETE FROM {table} WHERE request_id = ?", (request_id,))
