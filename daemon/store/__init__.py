"""The tracker's file behind one face: no SQL, transaction or column format leaves here."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from daemon.domain import (
    Actor,
    Add,
    Conflict,
    Decision,
    Defect,
    LibraryItem,
    Outcome,
    Skip,
    SkipReason,
    TrackedRequest,
    Trigger,
    Update,
)
from daemon.errors import StoreError
from daemon.store import audit, migrate, requests, runs
from daemon.store.audit import AuditEvent, AuditFilter, Link, Verdict
from daemon.store.database import (
    BUSY_BUDGET,
    Database,
    locked,
    opened,
    opened_to_look,
    refuse_network,
)
from daemon.store.runs import Decided, RunCounts

__all__ = [
    "ATTENTION",
    "Applied",
    "AuditEvent",
    "AuditFilter",
    "Counted",
    "Link",
    "RunCounts",
    "Store",
    "Tracked",
    "Verdict",
    "open_store",
    "open_store_to_look",
]

ATTENTION = frozenset({SkipReason.NOT_UNDERSTOOD, SkipReason.STILL_READ})
"""Skips that are kept in the history, because somebody may ask about them."""


class Tracked(NamedTuple):
    """What the tracker holds now, and what of it is not understood."""

    rows: list[TrackedRequest]
    defects: list[Defect]


class Counted(NamedTuple):
    """How many there are.

    Attributes:
        titles: by media type and state, in the tracker's own words.
    """

    titles: dict[tuple[str, str], int]
    runs: RunCounts


@dataclass(slots=True)
class Applied:
    """What a batch of decisions came to.

    Attributes:
        added: titles with a new row.
        passed: items that were overtaken by the tracker itself.
        links: the audit events, for the log.
    """

    added: int = 0
    filled: int = 0
    refreshed: int = 0
    passed: list[LibraryItem] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


class Store:
    """Reads and writes the tracker's file. Made by `open_store` or `open_store_to_look`.

    Args:
        database: the file.
        columns: those of the tracker's requests; empty in a file without them.
        clock: the time now, aware UTC.
    """

    def __init__(
        self, database: Database, columns: frozenset[str], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._columns = columns
        self._clock = clock
        self._version = -1

    async def tracked(self, items: Sequence[LibraryItem] | None = None) -> Tracked:
        """The tracker's rows, as far as the planner needs them.

        Args:
            items: only the rows that one of these could belong to; None for all.
        """
        if self._columns:
            self._version = await self._database.write(_data_version)
        return Tracked(
            *await self._database.read(lambda connection: requests.tracked(connection, items))
        )

    async def next_run(self) -> int:
        """The number that the next run will have."""
        return await self._database.read(runs.next_number)

    async def begin_run(
        self, trigger: Trigger, actor: Actor, *, pictures: bool, number: int | None = None
    ) -> int:
        """Note that a run has begun; returns its number, the given one if there is one."""
        now = self._clock()
        return await self._database.write(
            lambda connection: runs.begin(
                connection, number, trigger, actor, now, pictures=pictures
            )
        )

    async def apply(self, run_id: int, actor: Actor, decisions: Sequence[Decision]) -> Applied:
        """Write a batch of decisions in one short transaction: rows, timeline, audit and history.

        Raises:
            StoreError: nothing of the batch was written.
        """
        return await self._database.write(
            lambda connection: self._apply(connection, run_id, actor, decisions)
        )

    async def finish_run(
        self, run_id: int, outcome: Outcome, result: dict[str, Any], events: Sequence[AuditEvent]
    ) -> list[Link]:
        """Note how a run ended in the history, and what of it belongs into the audit."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> list[Link]:
            runs.finish(connection, run_id, outcome, result, now)
            runs.prune(connection)
            return audit.append(connection, events, now)

        return await self._database.write(work)

    async def interrupt_stale(self) -> list[int]:
        """Close the runs that a dead process left open; returns their numbers."""
        now = self._clock()
        return await self._database.write(lambda connection: runs.interrupt_stale(connection, now))

    async def pictures_wanted(self) -> bool:
        """Whether the next reading should ask which titles have a poster."""
        return await self._database.read(runs.pictures_wanted)

    async def latest_runs(self, limit: int) -> list[dict[str, Any]]:
        """The newest runs, the newest first."""
        return await self._database.read(lambda connection: runs.latest(connection, limit))

    async def run(self, run_id: int) -> dict[str, Any] | None:
        """One run with the decisions that are kept of it; None if there is none."""
        return await self._database.read(lambda connection: runs.one(connection, run_id))

    async def latest_audit(self, limit: int) -> list[dict[str, Any]]:
        """The newest audit events, the newest first."""
        return await self._database.read(lambda connection: audit.latest(connection, limit))

    async def runs_page(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        """The newest runs, the newest first, beginning below a number; None begins at the top."""
        return await self._database.read(lambda connection: runs.page(connection, before, limit))

    async def run_page(self, run_id: int, after: int, limit: int) -> dict[str, Any] | None:
        """One run with some of the decisions kept of it, those above a `seq`; None if unknown."""

        def work(connection: sqlite3.Connection) -> dict[str, Any] | None:
            run = runs.head(connection, run_id)
            if run is None:
                return None
            return {**run, "decisions": runs.decided(connection, run_id, after, limit)}

        return await self._database.read(work)

    async def audit_page(
        self, wanted: AuditFilter, before: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """The newest wanted events, the newest first, beginning below a `seq`."""
        return await self._database.read(
            lambda connection: audit.page(connection, wanted, before, limit)
        )

    async def counted(self, bounds: Sequence[float]) -> Counted:
        """How many titles and runs there are.

        Args:
            bounds: of the runs' duration in seconds, rising; the last one is infinite.
        """

        def work(connection: sqlite3.Connection) -> Counted:
            titles = connection.execute(
                "SELECT media_type, state, COUNT(*) FROM requests GROUP BY 1, 2"
            )
            found = {(str(media), str(state)): count for media, state, count in titles}
            return Counted(found, runs.counted(connection, bounds))

        return await self._database.read(work)

    async def record(self, event: AuditEvent) -> list[Link]:
        """Add one event to the audit."""
        now = self._clock()
        return await self._database.write(lambda connection: audit.append(connection, [event], now))

    async def verify_audit(self) -> Verdict:
        """Walk the audit's chain of hashes."""
        return await self._database.read(audit.verify)

    async def housekeep(self) -> None:
        """What is good for the file now and then: forget old details, renew the statistics."""

        def work(connection: sqlite3.Connection) -> None:
            runs.prune(connection)
            connection.execute("PRAGMA optimize")

        await self._database.write(work)

    async def backup(self, target: Path) -> None:
        """Copy the file as it is now.

        Raises:
            StoreError: the target is there already, or cannot be written.
        """
        if target.exists():
            raise StoreError(f"{target} is there already")
        await self._database.copy_to(target)

    async def sound(self) -> str:
        """What SQLite's own quick check of the file says; "ok" if all is well."""
        return await self._database.read(
            lambda connection: str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        )

    def _apply(
        self,
        connection: sqlite3.Connection,
        run_id: int,
        actor: Actor,
        decisions: Sequence[Decision],
    ) -> Applied:
        now = self._clock()
        overtaken = _data_version(connection) != self._version
        writer = requests.Writer(connection, self._columns, now)
        writer.add([one for one in decisions if isinstance(one, Add)], check=overtaken)
        for decision in decisions:
            if isinstance(decision, Update):
                writer.update(decision, actor, run_id)
        written = writer.written
        runs.note(connection, run_id, [*_decided(written), *_attention(decisions)])
        events = [*_added_event(written, actor, run_id), *written.events]
        reasons = [update.reason.value for _, update in written.updated]
        return Applied(
            added=len(written.added),
            filled=reasons.count("fill"),
            refreshed=reasons.count("refresh"),
            passed=written.passed,
            links=audit.append(connection, events, now),
        )


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when somebody else has written to the file."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _added_event(written: requests.Written, actor: Actor, run_id: int) -> list[AuditEvent]:
    """One event for all rows of a batch, or a first run would pay for a hash a title."""
    if not written.added:
        return []
    after = {
        "request_ids": [number for number, _ in written.added],
        "jellyfin_ids": [add.item.jellyfin_id for _, add in written.added],
    }
    return [AuditEvent("titles.added", actor, run_id, after=after)]


def _decided(written: requests.Written) -> Iterable[Decided]:
    for number, add in written.added:
        yield _entry("add", "available_and_not_tracked", add.item, number)
    for number, update in written.updated:
        names = ", ".join(sorted({*update.fills, *update.replaces}))
        yield _entry("update", update.reason.value, update.item, number, names)


def _attention(decisions: Iterable[Decision]) -> Iterable[Decided]:
    for one in decisions:
        if isinstance(one, Conflict):
            rows = ", ".join(str(number) for number in one.request_ids)
            yield _entry("conflict", "ids_point_to_different_titles", one.item, None, rows)
        elif isinstance(one, Skip) and one.reason in ATTENTION:
            yield _entry("skip", one.reason.value, one.item, one.request_id)


def _entry(
    kind: str, reason: str, item: LibraryItem, number: int | None, details: str | None = None
) -> Decided:
    return Decided(
        kind, reason, item.media_type.value, item.title, item.jellyfin_id, number, details
    )


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def open_store(
    path: Path, *, clock: Callable[[], datetime] = _now, busy_budget: float = BUSY_BUDGET
) -> AsyncIterator[Store]:
    """The tracker's file, made if it is absent, held for this process alone.

    A file that somebody else made is copied once before it is written to for the first time.

    Raises:
        AlreadyRunningError: another process holds it.
        SchemaMismatchError: its tables are not of the known shape.
        StoreError: it cannot be used.
    """
    refuse_network(path)
    existed = path.exists()
    with locked(path):
        async with opened(path, budget=busy_budget) as database:
            if existed and await database.read(migrate.version) is None:
                await _copy_once(database, path)
            columns = await database.write(_prepare)
            yield Store(database, columns, clock)


async def _copy_once(database: Database, path: Path) -> None:
    copy = path.with_name(path.name + ".before-library-sync")
    if not copy.exists():
        await database.copy_to(copy)


def _prepare(connection: sqlite3.Connection) -> frozenset[str]:
    requests.create(connection)
    columns = requests.check(connection)
    migrate.migrate(connection)
    return columns


@contextlib.asynccontextmanager
async def open_store_to_look(
    path: Path, *, clock: Callable[[], datetime] = _now
) -> AsyncIterator[Store]:
    """The tracker's file for reading only, beside a running daemon if need be.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise StoreError(f"there is no file {path}")
    async with opened_to_look(path) as database:
        yield Store(database, frozenset(), clock)
