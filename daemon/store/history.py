"""The history of runs: how each went, and the decisions worth keeping."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from daemon.domain import Actor, LibraryItem, Outcome, Trigger
from daemon.reasons import BRIEF, Reason
from daemon.store import audit
from daemon.store.audit import AuditEvent
from daemon.store.database import Store, Transaction
from daemon.store.rows import Page, Timestamp, columns, page, values, where

_KEPT: Final = 200
"""Runs whose decisions are kept; the runs themselves are kept for good."""

_PRUNED_AT_ONCE: Final = 2000
_COUNTS: Final = (*BRIEF, "errors", "total_scanned")
DECIDED: Final = (Outcome.OK, Outcome.PARTIAL, Outcome.HELD)
"""How a run ended that decided about everything."""
LATEST: Final = (
    "(SELECT MAX(id) FROM sync_runs WHERE kind = 'full' AND outcome IN ('ok', 'partial', 'held'))"
)
"""The number of the latest full run that did, for a query."""

PROOF: Final = frozenset({"complete", "idle", "titles", "unusable", "trusted"})
"""Rules of the removal guard without which nothing can be said of what is absent."""


_INT64_MAX: Final = 2**63 - 1


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


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a title, and why."""

    seq: int
    kind: str
    reason: str
    media_type: str | None
    title: str | None
    jellyfin_id: str | None
    request_id: int | None
    details: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the history; its result is None until it ends."""

    id: int
    trigger: str
    actor: str
    started_at: Timestamp | None
    ended_at: Timestamp | None
    outcome: str
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Line:
    """A run with its counts: those of `BRIEF`, errors, and titles read."""

    id: int
    trigger: str
    kind: str
    actor: str
    started_at: str
    ended_at: str | None
    outcome: str
    counts: Mapping[str, int]


class RunFilter(NamedTuple):
    """A filter of runs; None matches all.

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
        return where(
            {
                "id < ?": _INT64_MAX if before is None else before,
                "outcome = ?": self.outcome,
                "trigger = ?": self.trigger,
                "started_at >= ?": self.since and _stamp(self.since),
                "started_at < ?": self.until and _stamp(self.until),
            }
        )


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
    """Record that a run has started; returns its number, the given one if there is one.

    One that is still open, because the disk was too full to note its end, is closed; but a pass
    over titles on their way, which begins and ends in one transaction, may meet a run at work.
    """
    if kind != "pending":
        interrupt_stale(transaction)
    at = transaction.clock.now()
    cursor = transaction.execute(
        "INSERT INTO sync_runs (id, trigger, kind, actor, started_at, outcome, pictures)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, trigger.value, kind, actor.name, _stamp(at), Outcome.RUNNING.value, pictures),
    )
    return int(cursor.lastrowid or 0)


def discard(transaction: Transaction, run_id: int) -> None:
    """Take back the beginning of a run that has found nothing to do."""
    transaction.execute("DELETE FROM sync_runs WHERE id = ?", (run_id,))


def note(transaction: Transaction, run_id: int, decided: Iterable[Decided]) -> None:
    """Keep decisions of a run."""
    [first] = transaction.execute(
        "SELECT COALESCE(MAX(seq), 0) + 1 FROM sync_decisions WHERE run_id = ?", (run_id,)
    ).fetchone()
    names = columns(Decision)
    marks = ", ".join("?" * (names.count(",") + 2))
    transaction.executemany(
        f"INSERT INTO sync_decisions (run_id, {names}) VALUES ({marks})",
        ((run_id, seq, one.reason.meaning.kind, *one) for seq, one in enumerate(decided, first)),
    )


def finish(
    transaction: Transaction,
    run_id: int,
    outcome: Outcome,
    result: dict[str, Any],
    *events: AuditEvent,
) -> None:
    """Record how a run ended, with its audit event."""
    counts = [result.get(name, 0) for name in ("added", "updated", "unpictured")]
    transaction.execute(
        "UPDATE sync_runs SET ended_at = ?, outcome = ?, added = ?, updated = ?, unpictured = ?,"
        " result = ? WHERE id = ?",
        (_stamp(transaction.clock.now()), outcome.value, *counts, json.dumps(result), run_id),
    )
    prune(transaction)
    audit.append(transaction, *events)


def interrupt_stale(transaction: Transaction) -> list[int]:
    """Close the runs left open by a crashed process; returns their numbers.

    Such a run crashed before it recorded whether it added titles without asking for their pictures.
    """
    at = transaction.clock.now()
    rows = transaction.execute(
        "UPDATE sync_runs SET outcome = ?, ended_at = ?, unpictured = 1 - pictures"
        " WHERE outcome = ? RETURNING id",
        (Outcome.INTERRUPTED.value, _stamp(at), Outcome.RUNNING.value),
    )
    return [number for (number,) in rows.fetchall()]


def prune(transaction: Transaction) -> bool:
    """Forget decisions of old runs, a few thousand at a time; False once there are none left.

    Those of the latest full run are what needs attention, however many passes have followed it.
    """
    [newest] = transaction.execute("SELECT COALESCE(MAX(id), 0) FROM sync_runs").fetchone()
    done = transaction.execute(
        "DELETE FROM sync_decisions WHERE (run_id, seq) IN"
        f" (SELECT run_id, seq FROM sync_decisions WHERE run_id <= ? AND run_id IS NOT {LATEST}"
        " LIMIT ?)",
        (newest - _KEPT, _PRUNED_AT_ONCE),
    )
    return done.rowcount == _PRUNED_AT_ONCE


async def housekeep(store: Store) -> None:
    """Prune old details and refresh SQLite's statistics."""
    while await store.write(prune):
        pass
    await store.write(_renew_statistics)


def _renew_statistics(transaction: Transaction) -> None:
    transaction.execute("PRAGMA analysis_limit = 400")  # or a large table takes a second
    transaction.execute("PRAGMA optimize")


def keeps(connection: sqlite3.Connection, run_id: int) -> bool:
    """Whether the decisions of a run are still kept."""
    found = connection.execute(f"SELECT COALESCE(MAX(id), 0), {LATEST} FROM sync_runs")
    newest, latest = found.fetchone()
    return bool(run_id > newest - _KEPT or run_id == latest)


def pictures_wanted(connection: sqlite3.Connection) -> bool:
    """Whether the listing should include posters, which makes it more expensive.

    True until a run has asked for them, and after a run that added many without.
    """
    [since] = connection.execute(
        "SELECT COALESCE(MAX(id), 0) FROM sync_runs WHERE pictures = 1 AND outcome = ?",
        (Outcome.OK.value,),
    ).fetchone()
    found = connection.execute(
        "SELECT 1 FROM sync_runs WHERE id > ? AND unpictured > 0 LIMIT 1", (since,)
    ).fetchone()
    return not since or found is not None


def runs(
    connection: sqlite3.Connection,
    before: int | None = None,
    limit: int = 50,
    wanted: RunFilter = EVERY_RUN,
) -> Page[Run]:
    """The newest matching runs below a number, newest first."""
    condition, given = wanted.where(before)
    found = connection.execute(
        f"SELECT {columns(Run)} FROM sync_runs WHERE {condition} ORDER BY id DESC LIMIT ?",
        (*given, limit + 1),
    )
    return page([_run(row) for row in found], limit, lambda one: one.id)


def lines(
    connection: sqlite3.Connection,
    before: int | None = None,
    limit: int = 50,
    wanted: RunFilter = EVERY_RUN,
) -> Page[Line]:
    """The newest of the wanted runs, with their counts only."""
    condition, given = wanted.where(before)
    return page(_lines(connection, condition, (*given, limit + 1)), limit, lambda one: one.id)


def ended(connection: sqlite3.Connection, limit: int, column: str, value: str) -> list[Line]:
    """The newest finished runs of one kind or trigger."""
    return _lines(connection, f"{column} = ? AND ended_at NOT NULL", (value, limit))


def _lines(connection: sqlite3.Connection, condition: str, given: Sequence[object]) -> list[Line]:
    paths = ", ".join(f"'$.{name}'" for name in _COUNTS)
    found = connection.execute(
        f"SELECT {columns(Line, 'counts')}, json_extract(result, {paths}) FROM sync_runs"
        f" WHERE {condition} ORDER BY id DESC LIMIT ?",
        given,
    )
    return [_line(*row) for row in found]


def _line(*row: Any) -> Line:
    *known, text = row
    numbers = json.loads(text) if text else [0] * len(_COUNTS)
    counts = {name: number or 0 for name, number in zip(_COUNTS, numbers, strict=True)}
    return Line(*(*known, counts))


def run(connection: sqlite3.Connection, run_id: int) -> Run | None:
    """One run; None if there is no such run."""
    found = connection.execute(f"SELECT {columns(Run)} FROM sync_runs WHERE id = ?", (run_id,))
    return next(map(_run, found), None)


def folders_away(connection: sqlite3.Connection, run_id: int) -> dict[str, Sequence[str]]:
    """By service, the folders that it could not reach in a run."""
    found = run(connection, run_id)
    return dict((found.result or {}).get("folders_away", {})) if found else {}


def decisions(
    connection: sqlite3.Connection, run_id: int, after: int = 0, limit: int = 200
) -> Page[Decision]:
    """The kept decisions of a run after a `seq`, in order; a limit of -1 means no limit."""
    found = connection.execute(
        f"SELECT {columns(Decision)} FROM sync_decisions WHERE run_id = ? AND seq > ?"
        " ORDER BY seq LIMIT ?",
        (run_id, after, limit + 1 if limit >= 0 else limit),
    )
    rows = values(Decision, found)
    return page(rows, limit if limit >= 0 else len(rows), lambda one: one.seq)


def latest_full(connection: sqlite3.Connection, *outcomes: Outcome) -> Run | None:
    """The latest full run with one of these outcomes; None if there is none.

    One index seek per outcome: a plain ORDER BY would scan all the runs in between.
    """
    seek = "(SELECT MAX(id) FROM sync_runs WHERE kind = 'full' AND outcome = ?)"
    found = connection.execute(f"SELECT {', '.join(seek for _ in outcomes)}", outcomes)
    numbers = [number for row in found for number in row if number is not None]
    return run(connection, max(numbers)) if numbers else None


def read_as_a_whole(connection: sqlite3.Connection) -> str | None:
    """When the library was last read completely, so that absence was proven.

    A successful run was such a reading; a partial one only if the removal guard says so.
    """
    good = latest_full(connection, Outcome.OK, Outcome.HELD)
    partial = connection.execute(
        "SELECT ended_at, result FROM sync_runs WHERE kind = 'full' AND outcome = ? AND id > ?"
        " ORDER BY id DESC LIMIT ?",
        (Outcome.PARTIAL, good.id if good else 0, _KEPT),
    )
    proofs = (
        str(ended) for ended, result in partial if _proves_absence(json.loads(result or "{}"))
    )
    return next(proofs, good.ended_at if good else None)


def _proves_absence(result: Mapping[str, Any]) -> bool:
    guard = result.get("guard") or ()
    return bool(guard) and not any(rule["why"] for rule in guard if rule["name"] in PROOF)


def _run(row: Sequence[Any]) -> Run:
    *known, result = row
    return Run(*(*known, json.loads(result) if result else None))


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
