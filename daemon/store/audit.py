"""The audit: who changed what, when and why; append-only and hash-chained.

A changed or missing row breaks the chain at its place. A tail that was cut off leaves a sound
chain, which is why every event also becomes a log line with its hash once it is committed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

from daemon.domain import Actor
from daemon.logs import logger
from daemon.store.database import Transaction
from daemon.store.rows import Page, Timestamp, page, where

_log = logger(__name__)

APPROVED: Final = "approved by an admin"
"""What the reason of a removal begins with that an admin has approved."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One audit event.

    Attributes:
        action: a stable dotted word, e.g. "title.fill".
        target: what it was done to, e.g. "request 12".
        before: the values that were there, by column.
        after: the values that are there now, by column.
    """

    action: str
    actor: Actor
    run_id: int | None = None
    target: str | None = None
    reason: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """A filter of events; None matches all.

    Attributes:
        actor: the actor's name.
        since: not before this, aware.
        until: before this, aware.
    """

    action: str | None = None
    actor: str | None = None
    run_id: int | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_EVENT: Final = AuditFilter()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A stored event; its hash covers all but the last two fields."""

    seq: int
    at: Timestamp
    actor_kind: str
    actor_name: str
    action: str
    run_id: int | None
    target: str | None
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    prev_hash: str
    hash: str


_FIRST: Final = "0" * 64
_ALL: Final = [one.name for one in fields(AuditEntry)]
_HASHED: Final = _ALL[:-2]
_INSERT: Final = f"INSERT INTO sync_audit ({', '.join(_ALL)}) VALUES ({', '.join('?' * len(_ALL))})"
_SELECT: Final = f"SELECT {', '.join(_ALL)} FROM sync_audit"


class ChainCheck(NamedTuple):
    """The result of verifying the chain.

    Attributes:
        events: how many were checked.
        broken_at: the `seq` of the first event that does not fit; None if all do.
        head: the last good hash.
    """

    events: int
    broken_at: int | None
    head: str


def taken_since(connection: sqlite3.Connection, since: datetime, action: str) -> int:
    """How many rows had this done since then, unapproved by an admin and not undone."""
    [removed] = connection.execute(
        "SELECT COUNT(*) FROM sync_audit AS gone WHERE action = ? AND at >= ?"
        " AND IFNULL(reason, '') NOT LIKE ? AND NOT EXISTS ("
        "SELECT 1 FROM sync_audit AS back WHERE back.target = gone.target"
        " AND back.run_id = gone.run_id AND back.seq > gone.seq AND back.action = 'title.undone')",
        (action, _stamp(since), f"{APPROVED}%"),
    ).fetchone()
    return int(removed)


def append(transaction: Transaction, *events: AuditEvent) -> None:
    """Add events to the chain; each is logged after the commit."""
    at = transaction.clock.now().isoformat(timespec="microseconds")
    seq, previous = _head(transaction)
    for event in events:
        seq += 1
        values = (
            seq,
            at,
            *event.actor,
            event.action,
            event.run_id,
            event.target,
            event.reason,
            _json(event.before),
            _json(event.after),
        )
        digest = _digest(previous, values)
        transaction.execute(_INSERT, (*values, previous, digest))
        transaction.after_commit(partial(_log_event, seq, event, digest))
        previous = digest


def _log_event(seq: int, event: AuditEvent, digest: str) -> None:
    _log.info("audit.recorded", seq=seq, action=event.action, target=event.target, hash=digest)


def verify(connection: sqlite3.Connection) -> ChainCheck:
    """Walk the whole chain."""
    events, previous = 0, _FIRST
    for row in connection.execute(f"{_SELECT} ORDER BY seq"):
        *values, prev_hash, digest = row
        events += 1
        fits = values[0] == events and prev_hash == previous
        if not fits or digest != _digest(previous, tuple(values)):
            return ChainCheck(events, values[0], previous)
        previous = digest
    return ChainCheck(events, None, previous)


def after(connection: sqlite3.Connection, seq: int, limit: int) -> list[AuditEntry]:
    """The events after a `seq`, oldest first."""
    rows = connection.execute(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    return [_entry(row) for row in rows]


def events(
    connection: sqlite3.Connection,
    before: int | None = None,
    limit: int = 50,
    wanted: AuditFilter = EVERY_EVENT,
) -> Page[AuditEntry]:
    """The newest matching events below a `seq`, newest first."""
    condition, given = where(
        {
            "seq < ?": before,
            "action = ?": wanted.action,
            "actor_name = ?": wanted.actor,
            "run_id = ?": wanted.run_id,
            "target = ?": wanted.target,
            "at >= ?": _stamp(wanted.since),
            "at < ?": _stamp(wanted.until),
        }
    )
    rows = connection.execute(
        f"{_SELECT} WHERE {condition} ORDER BY seq DESC LIMIT ?", (*given, limit + 1)
    )
    return page([_entry(row) for row in rows], limit, lambda one: one.seq)


class RowName(NamedTuple):
    """What the row of an event is called; `request_id` is None where it is not there any more."""

    title: str
    year: int | None
    request_id: int | None


def names(connection: sqlite3.Connection, entries: Sequence[AuditEntry]) -> dict[str, RowName]:
    """By target, what the rows of events are called, those that were removed included."""
    found: dict[str, RowName] = {}
    for one in entries:
        target = one.target or ""
        if not target.startswith("request ") or target in found:
            continue
        gone = ((one.before or {}).get("requests") or [None])[0]
        row = connection.execute(
            "SELECT title, year, id FROM requests WHERE id = ?",
            (target.removeprefix("request "),),
        ).fetchone()
        if gone is not None:  # its number may be another title's by now
            same = row is not None and row[0] == gone.get("title")
            number = row[2] if same else None
            found[target] = RowName(str(gone.get("title")), gone.get("year"), number)
        elif row is not None:
            found[target] = RowName(*row)
    return found


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def _entry(row: Sequence[Any]) -> AuditEntry:
    *known, before, after, prev_hash, digest = row
    was, became = (None if text is None else json.loads(text) for text in (before, after))
    return AuditEntry(*(*known, was, became, prev_hash, digest))


def _head(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute(
        "SELECT seq, hash FROM sync_audit ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return row or (0, _FIRST)


def _digest(previous: str, values: tuple[Any, ...]) -> str:
    record = json.dumps(
        dict(zip(_HASHED, values, strict=True)), sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256((previous + record).encode()).hexdigest()


def _json(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else json.dumps(values, sort_keys=True, separators=(",", ":"))
