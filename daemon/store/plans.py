"""Held plans, which change nothing until an admin approves them."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from daemon.domain import Held, HeldKind
from daemon.store import audit, history
from daemon.store.audit import AuditEvent
from daemon.store.database import Store, Transaction, batched
from daemon.store.rows import columns, values


class PlanState(StrEnum):
    """The state of a held plan."""

    OPEN = "open"
    APPROVED = "approved"
    DISCARDED = "discarded"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class HeldTitle:
    """A title that would be removed or unlinked, and why it is held."""

    request_id: int
    media_type: str
    title: str
    library: str | None
    why: str
    since: str
    sightings: int
    kind: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A held plan: changes that wait, or waited, for an admin."""

    run_id: int
    state: str
    at: str
    fingerprint: str
    settled_by: str | None
    settled_at: str | None
    titles: list[HeldTitle]

    @property
    def waits(self) -> bool:
        """Whether the plan is still open."""
        return self.state == PlanState.OPEN


_THINGS: Final = {"MOVIE": ("film", "films"), "TV": ("series", "series")}


@dataclass(frozen=True, slots=True)
class HeldPart:
    """What a plan holds of one library for one reason.

    Attributes:
        kind: what would become of it.
        away: the Radarrs and Sonarrs that cannot reach its folder either.
        title: of the first one, whose number is `first`.
        counts: how many, by media type.
    """

    library: str | None
    kind: HeldKind
    why: str
    first: int
    title: str
    counts: Mapping[str, int]
    away: Sequence[str] = ()

    @property
    def number(self) -> int:
        """How many titles that are."""
        return sum(self.counts.values())

    @property
    def subject(self) -> str:
        """What it is about, such as `31 films in /media/movies`, or the ids of these."""
        told = [
            f"{number:,} {_THINGS.get(kind, ('title', 'titles'))[number != 1]}"
            for kind, number in sorted(self.counts.items())
        ]
        ids = "" if self.kind is HeldKind.REMOVE else "The ids of "
        return f"{ids}{' and '.join(told)}{f' in {self.library}' if self.library else ''}"

    @property
    def state(self) -> str:
        """What is so of it, and what was not done because of that."""
        verb = "is" if self.number == 1 else "are"
        if self.kind is HeldKind.UNLINK:
            return f"{verb} gone from Radarr's or Sonarr's list. Nothing was unlinked."
        away = f" {' and '.join(self.away)} cannot reach that folder either." if self.away else ""
        return f"{verb} missing.{away} Nothing was removed."

    @property
    def evidence(self) -> str:
        """All of it in sentences."""
        why = f" {self.why[0].upper()}{self.why[1:]}" if self.why else ""
        return f"{self.subject} {self.state}{why}"


@dataclass(frozen=True, slots=True)
class PlanOf:
    """The plan that a missing title waits in, or that an admin discarded to keep it."""

    run_id: int
    state: str
    settled_by: str | None = None
    settled_at: str | None = None

    @property
    def kept(self) -> bool:
        """Whether an admin keeps the title, until others are missing, too."""
        return self.state == PlanState.DISCARDED


_PLAN: Final = columns(Plan, "titles")


async def hold(store: Store, run_id: int, held: Sequence[Held], age: timedelta) -> int | None:
    """Hold a plan, unless the same titles are already held or were discarded.

    Its titles are written a few thousand at a time, and only then may it be approved.

    Args:
        held: what is held; an empty list closes the open plan.
        age: after which a plan is stale.

    Returns:
        The run whose plan is open now; None if none is.
    """
    mark = await asyncio.to_thread(_fingerprint, held)
    latest = await store.write(_current, age)
    if latest is not None and held and latest.fingerprint == mark:
        if latest.waits:
            return latest.run_id
        if latest.state == PlanState.DISCARDED:
            return None
    for part in batched(held):
        await store.write(_add_titles, run_id, part)
    return await store.write(_open, run_id if held else None, mark)


def _current(transaction: Transaction, age: timedelta) -> Plan | None:
    """The latest plan, which is stale by now if it is too old."""
    _expire(transaction, transaction.clock.now(), age)
    return _latest(transaction)


def _add_titles(transaction: Transaction, run_id: int, held: Sequence[Held]) -> None:
    at = transaction.clock.now()
    transaction.executemany(
        "INSERT INTO sync_held"
        " (run_id, request_id, media_type, title, library, why, since, sightings, kind)"
        " SELECT ?1, id, media_type, title, ?3, ?4, ?5, ?6, ?7 FROM requests WHERE id = ?2",
        [_entry(run_id, one, at) for one in held],
    )


def _open(transaction: Transaction, run_id: int | None, mark: str) -> int | None:
    """Let the plan of a run wait in place of any other; without one nothing waits any more."""
    at = transaction.clock.now()
    _settle_open(transaction, PlanState.SUPERSEDED if run_id else PlanState.RESOLVED, at)
    if run_id is None:
        transaction.execute(
            "UPDATE sync_plans SET fingerprint = '' WHERE state = ?", (PlanState.DISCARDED.value,)
        )
        return None
    transaction.execute(
        "INSERT INTO sync_plans (run_id, state, at, fingerprint) VALUES (?, ?, ?, ?)",
        (run_id, PlanState.OPEN.value, at.isoformat(), mark),
    )
    return run_id


def _entry(run_id: int, held: Held, at: datetime) -> tuple[Any, ...]:
    row, absence = held.request, held.request.absence
    since = (absence.since if absence else at).isoformat()
    sightings = (absence.sightings if absence else 0) + 1
    return (run_id, row.id, row.library, held.why, since, sightings, held.kind.value)


def settle(
    transaction: Transaction, run_id: int, state: PlanState, event: AuditEvent, age: timedelta
) -> bool:
    """Close an open plan as the actor of an event; False if it is not open, or stale.

    Args:
        age: after which a plan is stale.
    """
    at = transaction.clock.now()
    _expire(transaction, at, age)
    cursor = transaction.execute(
        "UPDATE sync_plans SET state = ?, settled_by = ?, settled_at = ?"
        " WHERE run_id = ? AND state = ?",
        (state.value, event.actor.name, at.isoformat(), run_id, PlanState.OPEN.value),
    )
    if cursor.rowcount:
        audit.append(transaction, event)
    return cursor.rowcount == 1


def _expire(connection: sqlite3.Connection, at: datetime, age: timedelta) -> None:
    """Mark an old plan as stale; the next run makes a new one."""
    connection.execute(
        "UPDATE sync_plans SET state = ?, settled_at = ? WHERE state = ? AND at < ?",
        (PlanState.STALE.value, at.isoformat(), PlanState.OPEN.value, (at - age).isoformat()),
    )


def one(connection: sqlite3.Connection, run_id: int) -> Plan | None:
    """A plan with its titles; None if that run held none."""
    plan = head(connection, run_id)
    return None if plan is None else replace(plan, titles=titles(connection, run_id, -1))


def head(connection: sqlite3.Connection, run_id: int) -> Plan | None:
    """A plan without its titles; None if that run held none."""
    found = connection.execute(f"SELECT {_PLAN} FROM sync_plans WHERE run_id = ?", (run_id,))
    return next((Plan(*(*row, [])) for row in found), None)


def parts(connection: sqlite3.Connection, run_id: int) -> list[HeldPart]:
    """What a plan holds, by library and reason, the most first."""
    away = history.folders_away(connection, run_id)
    rows = connection.execute(
        "SELECT library, kind, why, media_type, MIN(request_id), title, COUNT(*) FROM sync_held"
        " WHERE run_id = ? GROUP BY library, kind, why, media_type",
        (run_id,),
    )
    found: dict[tuple[str | None, str, str], HeldPart] = {}
    for library, kind, why, media_type, first, title, number in rows:
        known = found.get((library, kind, why))
        counts = {**(known.counts if known else {}), media_type: number}
        names = [name for name, folders in away.items() if _covers(folders, library)]
        part = HeldPart(library, HeldKind(kind), why, first, title, counts, names)
        found[library, kind, why] = part
    return sorted(found.values(), key=lambda one: -one.number)


def _covers(folders: Sequence[str], library: str | None) -> bool:
    """Whether a library lies in one of these folders, or one of them in it."""
    paths = [f"{one.rstrip('/')}/" for one in folders]
    place = f"{(library or '').rstrip('/')}/"
    return library is not None and any(
        one.startswith(place) or place.startswith(one) for one in paths
    )


def standing(connection: sqlite3.Connection) -> PlanOf | None:
    """The plan that waits for an admin, or by which one keeps what is missing."""
    found = connection.execute(
        "SELECT run_id, state, settled_by, settled_at FROM sync_plans"
        " WHERE run_id = (SELECT MAX(run_id) FROM sync_plans) AND fingerprint <> ''"
        " AND state IN (?, ?)",
        (PlanState.OPEN.value, PlanState.DISCARDED.value),
    )
    return next((PlanOf(*row) for row in found), None)


def of_row(connection: sqlite3.Connection, request_id: int) -> PlanOf | None:
    """The same, if that plan is about this row."""
    plan = standing(connection)
    held = connection.execute(
        "SELECT 1 FROM sync_held WHERE run_id = ? AND request_id = ?",
        (plan and plan.run_id, request_id),
    )
    return plan if held.fetchone() else None


def titles(connection: sqlite3.Connection, run_id: int, limit: int) -> list[HeldTitle]:
    """The titles of a plan by their names; a limit of -1 is none."""
    found = connection.execute(
        f"SELECT {columns(HeldTitle)} FROM sync_held WHERE run_id = ? ORDER BY title LIMIT ?",
        (run_id, limit),
    )
    return values(HeldTitle, found)


def open_plan(connection: sqlite3.Connection) -> int | None:
    """The run whose plan is open; None if none is."""
    latest = _latest(connection)
    return latest.run_id if latest is not None and latest.waits else None


def _latest(connection: sqlite3.Connection) -> Plan | None:
    found = connection.execute(f"SELECT {_PLAN} FROM sync_plans ORDER BY run_id DESC LIMIT 1")
    return next((Plan(*(*row, [])) for row in found), None)


def _settle_open(connection: sqlite3.Connection, state: PlanState, at: datetime) -> None:
    connection.execute(
        "UPDATE sync_plans SET state = ?, settled_at = ? WHERE state = ?",
        (state.value, at.isoformat(), PlanState.OPEN.value),
    )


def _fingerprint(held: Sequence[Held]) -> str:
    """A fingerprint of the held rows, independent of their order."""
    marks = sorted(
        (one.request.id, "" if one.kind is HeldKind.REMOVE else one.kind) for one in held
    )
    text = ",".join(f"{number}{kind}" for number, kind in marks)
    return hashlib.sha256(text.encode()).hexdigest()
