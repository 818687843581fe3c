"""The tracker's file behind one face: no SQL, transaction or column format leaves here."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from daemon.domain import (
    Absent,
    Actor,
    Add,
    Conflict,
    Decision,
    Deletion,
    Evidence,
    Held,
    InstanceId,
    ItemError,
    LibraryItem,
    Outcome,
    RemovalPolicy,
    Skip,
    TrackedRequest,
    Trigger,
    Update,
)
from daemon.errors import StoreError
from daemon.reasons import Reason
from daemon.store import (
    attention,
    audit,
    evidence,
    glance,
    instance_ids,
    migrate,
    plans,
    requests,
    runs,
    titles,
    undo,
)
from daemon.store.attention import Finding
from daemon.store.audit import AuditEvent, AuditFilter, Verdict
from daemon.store.database import (
    BUSY_BUDGET,
    Database,
    Transaction,
    is_there,
    locked,
    opened,
    opened_to_look,
    refuse_network,
)
from daemon.store.evidence import Moment
from daemon.store.glance import SHOWN, Dashboard, RunView, Wanted
from daemon.store.plans import PlanState
from daemon.store.runs import EVERY_RUN, Decided, RunCounts, RunFilter
from daemon.store.titles import Hit
from daemon.store.undo import Undone

__all__ = [
    "SHOWN",
    "Applied",
    "AuditEvent",
    "AuditFilter",
    "Counted",
    "Dashboard",
    "Finding",
    "Hit",
    "Moment",
    "PlanState",
    "RunCounts",
    "RunFilter",
    "RunView",
    "Store",
    "Tracked",
    "Undone",
    "Verdict",
    "Wanted",
    "is_there",
    "open_store",
    "open_store_to_look",
]

_BATCH = 2000
_WEEK = timedelta(days=7)
_T = TypeVar("_T")


class Tracked(NamedTuple):
    """What the tracker holds now, and what of it is not understood.

    Attributes:
        deletions: made in the tracker's dashboard.
        removed_lately: rows that were removed in the last seven days without an admin's word.
        server: id of the Jellyfin that an admin, or the first run, took for the right one.
        instance_ids: by instance beside the primary ones, the number of each row's title there.
    """

    rows: list[TrackedRequest]
    defects: list[ItemError]
    deletions: Sequence[Deletion] = ()
    removed_lately: int = 0
    server: str | None = None
    instance_ids: Mapping[str, Mapping[int, int]] = {}


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
    """

    added: int = 0
    filled: int = 0
    refreshed: int = 0
    relinked: int = 0
    promoted: int = 0
    removed: int = 0
    merged: int = 0
    passed: list[LibraryItem] = field(default_factory=list)


class Store:
    """Reads and writes the tracker's file. Made by `open_store` or `open_store_to_look`.

    Args:
        database: the file.
        columns: those of the tracker's requests; empty in a file without them.
        clock: the time now, aware UTC.
        moment: this moment, for telling how long a title has been missing.

    Attributes:
        audit_ok: what the latest check of the audit found; None before the first.
    """

    def __init__(
        self,
        database: Database,
        columns: frozenset[str],
        clock: Callable[[], datetime],
        moment: Callable[[], Moment] = evidence.moment,
    ) -> None:
        self._database = database
        self._columns = columns
        self._clock = clock
        self._moment = moment
        self._version = -1
        self._last = requests.Last()
        self._newcomers: list[requests.Newcomer] = []
        self.audit_ok: bool | None = None
        self._counted: tuple[tuple[int, tuple[float, ...]], Counted] | None = None

    async def tracked(
        self,
        items: Sequence[LibraryItem] | None = None,
        public_url: str = "",
        *,
        to_write: bool = False,
    ) -> Tracked:
        """The tracker's rows, as far as the planner needs them.

        Args:
            items: only the rows that one of these could belong to; None for all.
            public_url: of Jellyfin, which the addresses of its posters begin with.
            to_write: what is applied from now on was decided by these rows.
        """
        if to_write:
            self._newcomers = []
            self._version, self._last = await self._database.write(
                lambda connection: (_data_version(connection), requests.last_row(connection))
            )
        now, moment = self._clock(), self._moment()

        def read(connection: sqlite3.Connection) -> Tracked:
            rows, defects = requests.tracked(connection, moment, items, public_url)
            deleted = requests.deletions(connection, now)
            if migrate.version(connection) is None:
                return Tracked(rows, defects, deleted)
            lately = audit.removed_since(connection, now - _WEEK)
            ids = instance_ids.known(
                connection, None if items is None else {row.id for row in rows}
            )
            return Tracked(rows, defects, deleted, lately, _server(connection), ids)

        return await self._database.read(read)

    async def confirm(
        self, kind: str, target: str, event: AuditEvent, *, only: bool = False
    ) -> None:
        """Keep what an admin has said; `only` replaces all that was said of that kind.

        Raises:
            StoreError: it could not be written.
        """
        now = self._clock()

        def work(connection: Transaction) -> None:
            if only:
                connection.execute("DELETE FROM sync_confirmed WHERE kind = ?", (kind,))
            connection.execute(
                "INSERT OR REPLACE INTO sync_confirmed (kind, target, at, by) VALUES (?, ?, ?, ?)",
                (kind, target, now.isoformat(), event.actor.name),
            )
            audit.append(connection, [event], now)

        return await self._database.write(work)

    async def next_run(self) -> int:
        """The number that the next run will have."""
        return await self._database.read(runs.next_number)

    async def begin_run(
        self,
        trigger: Trigger,
        actor: Actor,
        *,
        pictures: bool = False,
        kind: str = "full",
        number: int | None = None,
    ) -> int:
        """Note that a run has begun; returns its number, the given one if there is one.

        One that is still open, because the disk was too full to note its end, is closed.
        """
        now = self._clock()

        def work(connection: sqlite3.Connection) -> int:
            runs.interrupt_stale(connection, now)
            return runs.begin(connection, number, trigger, actor, now, kind=kind, pictures=pictures)

        return await self._database.write(work)

    async def apply(
        self,
        run_id: int,
        actor: Actor,
        decisions: Sequence[Decision],
        told: Callable[[Applied], None] = lambda _: None,
    ) -> Applied:
        """Write a batch of decisions in one short transaction: rows, timeline, audit and history.

        Args:
            run_id: the run's number.
            actor: who asked for it.
            decisions: the batch.
            told: gets what it came to, even if the caller is cancelled meanwhile and does not.

        Raises:
            StoreError: nothing of the batch was written.
        """

        def work(connection: Transaction) -> Applied:
            applied = self._apply(connection, run_id, actor, decisions)
            connection.after_commit(lambda: told(applied))
            return applied

        return await self._database.write(work)

    async def note_evidence(self, found: Evidence) -> None:
        """Keep what a reading says of the rows as a whole; nothing where that is nothing.

        Raises:
            StoreError: it could not be written.
        """
        now, moment = self._clock(), self._moment()
        for start in range(0, len(found.seen), _BATCH):
            seen = found.seen[start : start + _BATCH]
            await self._database.write(lambda connection, rows=seen: evidence.saw(connection, rows))  # type: ignore[misc]
        if found.returned or found.missed or found.away:

            def work(connection: Transaction) -> None:
                evidence.returned(connection, found.returned)
                evidence.missed(connection, found.missed, now, moment)
                evidence.away(connection, found.away)

            await self._database.write(work)
        for start in range(0, len(found.instance_ids), _BATCH):
            ids = found.instance_ids[start : start + _BATCH]
            await self._database.write(partial(instance_ids.note, ids=ids))

    async def note_doubles(self, run_id: int, doubles: Sequence[tuple[int, ...]]) -> None:
        """Keep in the history which rows of ours are one title.

        Raises:
            StoreError: it could not be written.
        """
        if not doubles:
            return
        await self._database.write(
            lambda connection: runs.note(
                connection, run_id, [_double(connection, rows) for rows in doubles]
            )
        )

    async def merge(self, run_id: int, actor: Actor, rows: Sequence[int]) -> Applied:
        """Make one row of several of ours, in one short transaction.

        Raises:
            StoreError: nothing was written.
        """
        return await self._database.write(
            lambda connection: self._merge(connection, run_id, actor, rows)
        )

    async def remove(self, run_id: int, actor: Actor, rows: Sequence[Absent]) -> Applied:
        """Remove rows that are still as they were, in one short transaction.

        Raises:
            StoreError: nothing of the batch was written.
        """
        return await self._database.write(
            lambda connection: self._remove(connection, run_id, actor, rows)
        )

    async def copy_before_removal(self) -> None:
        """Copy the whole file; only the newest such copy is kept.

        Raises:
            StoreError: the copy cannot be made, so nothing may be removed.
        """
        await self._database.copy_beside(".before-removal")

    async def hold(self, run_id: int, held: Sequence[Held], age: timedelta) -> int | None:
        """Keep a plan of removals; returns the run whose plan waits for an admin, if one does.

        Args:
            run_id: of the run that holds them.
            held: an empty list closes the open plan.
            age: after which a plan is stale.
        """
        now = self._clock()
        return await self._database.write(
            lambda connection: plans.hold(connection, run_id, held, now, age)
        )

    async def plan(self, run_id: int) -> dict[str, Any] | None:
        """The plan that a run held, with its titles; None if it held none."""
        return await self._ours(lambda connection: plans.one(connection, run_id))

    async def open_plan(self) -> int | None:
        """The run whose plan waits for an admin; None if none does."""
        return await self._database.read(plans.open_plan)

    async def settle_plan(
        self, run_id: int, state: PlanState, event: AuditEvent, age: timedelta
    ) -> bool:
        """Close a plan that waits; False if it does not wait, or is stale by now.

        Args:
            run_id: whose plan it is.
            state: what becomes of it.
            event: of the audit, written with it; its actor has decided.
            age: after which a plan is stale.
        """
        now = self._clock()

        def work(connection: Transaction) -> bool:
            plans.expire(connection, now, age)
            settled = plans.settle(connection, run_id, state, event.actor.name, now)
            if settled:
                audit.append(connection, [event], now)
            return settled

        return await self._database.write(work)

    async def search(self, text: str) -> list[Hit]:
        """The rows that a title or any of their ids means, and which of these it was."""
        return await self._ours(lambda connection: titles.search(connection, text))

    async def untracked(self, text: str) -> list[dict[str, Any]]:
        """What is known of titles without a row that a text means."""
        return await self._ours(lambda connection: titles.untracked(connection, text))

    async def deletion(self, finding: Finding) -> int | None:
        """The entry of the tracker's deletion log by which a title is left out; None if unknown."""
        now = self._clock()
        what = (finding.media_type, finding.title, finding.jellyfin_id)
        return await self._ours(lambda connection: titles.deletion(connection, now, *what))

    async def found(self, text: str) -> list[dict[str, Any]]:
        """The same rows, with their titles, types, states and years, and what each was found by."""
        return await self._database.read(
            lambda connection: glance.found(connection, titles.search(connection, text))
        )

    async def glance(self) -> Dashboard:
        """How things stand, on one snapshot; as quick with a large file as with a small one."""
        return await self._database.read(glance.glance)

    async def lines(
        self, before: int | None, limit: int, wanted: RunFilter = EVERY_RUN
    ) -> list[dict[str, Any]]:
        """The newest runs with their counts, beginning below a number; None begins at the top."""
        return await self._database.read(
            lambda connection: glance.lines(connection, before, limit, wanted)
        )

    async def run_view(self, run_id: int, wanted: Wanted) -> RunView | None:
        """One run for people, on one snapshot; None if there is none."""
        return await self._database.read(lambda connection: glance.view(connection, run_id, wanted))

    async def facts(self, request_id: int) -> dict[str, Any] | None:
        """Everything that the file knows of one row; None if there is no such row."""
        now = self._moment()
        return await self._database.read(
            lambda connection: titles.facts(connection, request_id, now)
        )

    async def attention(self, policy: RemovalPolicy, *, ignored: bool = False) -> list[Finding]:
        """What needs somebody now, the most urgent first.

        Args:
            policy: tells when what is missing goes.
            ignored: what somebody chose to ignore instead.
        """
        now = self._moment()
        return await self._ours(
            lambda connection: attention.attention(connection, policy, now, ignored=ignored)
        )

    async def ignore(self, finding: Finding, event: AuditEvent, *, ignored: bool) -> None:
        """Ignore a finding, or stop ignoring it; the audit event tells who did that.

        Raises:
            StoreError: it could not be written.
        """
        now = self._clock()

        def work(connection: Transaction) -> None:
            attention.unignore(connection, finding)
            if ignored:
                attention.ignore(connection, finding, event.actor.name, now)
            audit.append(connection, [event], now)

        return await self._database.write(work)

    async def undo(self, run_id: int, actor: Actor) -> list[Undone]:
        """Take back what a run removed, relinked and promoted, title by title.

        Raises:
            StoreError: nothing was written.
        """
        now = self._clock()
        return await self._database.write(
            lambda connection: undo.undo(connection, run_id, actor, now)
        )

    async def finish_run(
        self, run_id: int, outcome: Outcome, result: dict[str, Any], events: Sequence[AuditEvent]
    ) -> None:
        """Note how a run ended in the history, and its audit event."""
        now = self._clock()

        def work(connection: Transaction) -> None:
            runs.finish(connection, run_id, outcome, result, now)
            runs.prune(connection)
            audit.append(connection, events, now)

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
        return await self._ours(lambda connection: runs.latest(connection, limit))

    async def run(self, run_id: int) -> dict[str, Any] | None:
        """One run with the decisions that are kept of it; None if there is none."""
        return await self._ours(lambda connection: runs.one(connection, run_id))

    async def latest_audit(self, limit: int) -> list[dict[str, Any]]:
        """The newest audit events, the newest first."""
        return await self._ours(lambda connection: audit.latest(connection, limit))

    async def audit_after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """The audit events above a `seq`, the oldest first."""
        return await self._ours(lambda connection: audit.after(connection, seq, limit))

    async def runs_page(
        self, before: int | None, limit: int, wanted: RunFilter = EVERY_RUN
    ) -> list[dict[str, Any]]:
        """The newest runs, the newest first, beginning below a number; None begins at the top."""
        return await self._database.read(
            lambda connection: runs.page(connection, before, limit, wanted)
        )

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
        """How many titles and runs there are; counted again only after somebody has written.

        Args:
            bounds: of the runs' duration in seconds, rising; the last one is infinite.
        """

        def work(connection: sqlite3.Connection) -> Counted:
            key = _data_version(connection), tuple(bounds)
            if self._counted is None or self._counted[0] != key:
                counted = Counted(_titles(connection), runs.counted(connection, bounds))
                self._counted = key, counted
            return self._counted[1]

        return await self._database.read(work)

    async def record(self, event: AuditEvent) -> None:
        """Add one event to the audit."""
        now = self._clock()
        return await self._database.write(lambda connection: audit.append(connection, [event], now))

    async def verify_audit(self) -> Verdict:
        """Walk the audit's chain of hashes."""
        verdict = await self._ours(audit.verify)
        self.audit_ok = verdict.broken_at is None
        return verdict

    async def housekeep(self) -> None:
        """What is good for the file now and then: forget old details, renew the statistics."""

        def work(connection: Transaction) -> None:
            runs.prune(connection)
            connection.execute("PRAGMA optimize")

        await self._database.write(work)

    async def backup(self, target: Path) -> None:
        """Copy the file as it is now.

        Raises:
            StoreError: the target is there already, or cannot be written.
        """
        if is_there(target):
            raise StoreError(f"{target} is there already")
        await self._database.copy_to(target)

    async def sound(self) -> str:
        """What SQLite's own quick check of the file says; "ok" if all is well."""
        return await self._database.read(
            lambda connection: str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        )

    async def _ours(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Read what is ours in the file; without a word about tables where it has nothing yet."""

        def read(connection: sqlite3.Connection) -> _T:
            if not migrate.is_current(connection):
                raise StoreError("library-sync has not worked on this file yet; sync once")
            return work(connection)

        return await self._database.read(read)

    def _apply(
        self,
        connection: Transaction,
        run_id: int,
        actor: Actor,
        decisions: Sequence[Decision],
    ) -> Applied:
        now = self._clock()
        self._look_for_newcomers(connection)
        writer = requests.Writer(connection, self._columns, now, self._newcomers)
        writer.add([one for one in decisions if isinstance(one, Add)])
        for decision in decisions:
            if isinstance(decision, Update):
                writer.update(decision, actor, run_id)
        written = writer.written
        instance_ids.note(
            connection,
            [
                InstanceId(number, *one)
                for number, add in written.added
                for one in add.instance_ids.items()
            ],
        )
        entries = (_named(connection, one) for one in (*_decided(written), *_attention(decisions)))
        runs.note(connection, run_id, entries)
        events = [*_added_event(written, actor, run_id), *written.events]
        if written.added:
            self._last = requests.last_row(connection)
        audit.append(connection, events, now)
        reasons = [update.reason.value for _, update in written.updated]
        return Applied(
            added=len(written.added),
            filled=reasons.count("fill"),
            refreshed=reasons.count("refresh"),
            relinked=reasons.count("relink"),
            promoted=reasons.count("promote"),
            passed=written.passed,
        )

    def _look_for_newcomers(self, connection: sqlite3.Connection) -> None:
        """One question a batch, and only where somebody else has written since the last one."""
        version = _data_version(connection)
        if version != self._version:
            self._newcomers += requests.newcomers(connection, self._columns, self._last)
            self._last = requests.last_row(connection)
            self._version = version

    def _remove(
        self,
        connection: Transaction,
        run_id: int,
        actor: Actor,
        rows: Sequence[Absent],
    ) -> Applied:
        now = self._clock()
        writer = requests.Writer(connection, self._columns, now)
        for row in rows:
            writer.remove(row, actor, run_id, _why(row))
        written = writer.written
        runs.note(connection, run_id, [_removed(Reason.REMOVE, *one) for one in written.removed])
        audit.append(connection, written.events, now)
        return Applied(removed=len(written.removed))

    def _merge(
        self, connection: Transaction, run_id: int, actor: Actor, rows: Sequence[int]
    ) -> Applied:
        now = self._clock()
        writer = requests.Writer(connection, self._columns, now)
        writer.merge(rows, actor, run_id)
        written = writer.written
        entries = [_removed(Reason.MERGE, *one) for one in written.merged]
        runs.note(connection, run_id, entries)
        audit.append(connection, written.events, now)
        return Applied(merged=len(written.merged))


def _server(connection: sqlite3.Connection) -> str | None:
    if not requests.has_table(connection, "sync_confirmed"):
        return None
    row = connection.execute("SELECT target FROM sync_confirmed WHERE kind = 'server'").fetchone()
    return None if row is None else str(row[0])


def _double(connection: sqlite3.Connection, rows: tuple[int, ...]) -> Decided:
    first, *others = rows
    media_type, title, item = connection.execute(
        "SELECT media_type, title, jellyfin_id FROM requests WHERE id = ?", (first,)
    ).fetchone() or (None, None, None)
    also = ", ".join(str(number) for number in others)
    return Decided(Reason.DOUBLE, media_type, title, item, first, also)


def _why(absent: Absent) -> str:
    row = absent.request
    sightings = (row.absence.sightings if row.absence else 0) + 1
    since = f" since {row.absence.since:%Y-%m-%d %H:%M} UTC" if row.absence else ""
    approved = f"{audit.APPROVED}: " if absent.why else ""
    return f"{approved}nothing to play of it in {sightings} complete listings of the library{since}"


def _removed(reason: Reason, number: int, row: dict[str, Any]) -> Decided:
    return Decided(reason, row["media_type"], row["title"], row["jellyfin_id"], number)


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when somebody else has written to the file."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _titles(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute("SELECT media_type, state, COUNT(*) FROM requests GROUP BY 1, 2")
    return {(str(media_type), str(state)): count for media_type, state, count in rows}


def _added_event(written: requests.Written, actor: Actor, run_id: int) -> list[AuditEvent]:
    """One event for all rows of a batch, or a first run would pay for a hash a title."""
    if not written.added:
        return []
    after = {
        "request_ids": [number for number, _ in written.added],
        "jellyfin_ids": [add.item.jellyfin_id for _, add in written.added],
    }
    return [AuditEvent(Reason.ADD.meaning.audit, actor, run_id, after=after)]


def _decided(written: requests.Written) -> Iterable[Decided]:
    for number, add in written.added:
        yield _entry(add.reason, add.item, number)
    for number, update in written.updated:
        names = ", ".join(sorted({*update.fills, *update.replaces, *update.relinks}))
        details = "; ".join(filter(None, (names, update.details)))
        yield _entry(update.reason, update.item, number, details)


def _attention(decisions: Iterable[Decision]) -> Iterable[Decided]:
    for one in decisions:
        if isinstance(one, Conflict):
            rows = ", ".join(str(number) for number in one.request_ids)
            details = "; ".join(filter(None, (one.details, rows and f"requests {rows}")))
            alone = one.request_ids[0] if len(one.request_ids) == 1 else None
            yield _entry(one.reason, one.item, alone, details)
        elif isinstance(one, Skip) and one.reason.kept:
            yield _entry(one.reason, one.item, one.request_id, one.details)


def _named(connection: sqlite3.Connection, one: Decided) -> Decided:
    """An entry about a request without an item is called as its row is."""
    if one.title or one.request_id is None:
        return one
    row = connection.execute(
        "SELECT media_type, title, jellyfin_id FROM requests WHERE id = ?", (one.request_id,)
    ).fetchone()
    return one if row is None else one._replace(media_type=row[0], title=row[1], jellyfin_id=row[2])


def _entry(
    reason: Reason, item: LibraryItem | None, number: int | None, details: str | None = None
) -> Decided:
    if item is None:
        return Decided(reason, None, None, None, number, details)
    return Decided(reason, item.media_type.value, item.title, item.jellyfin_id, number, details)


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def open_store(
    path: Path,
    *,
    clock: Callable[[], datetime] = _now,
    moment: Callable[[], Moment] = evidence.moment,
    busy_budget: float = BUSY_BUDGET,
) -> AsyncIterator[Store]:
    """The tracker's file, made if it is absent, held for this process alone.

    A file that somebody else made is copied once before it is written to for the first time.

    Raises:
        AlreadyRunningError: another process holds it.
        SchemaMismatchError: its tables are not of the known shape.
        StoreError: it cannot be used.
    """
    path = path.resolve()  # a lock beside a link to the file would not be met by the next one
    refuse_network(path)
    existed = is_there(path)
    with locked(path):
        async with opened(path, budget=busy_budget) as database:
            if existed and await database.read(migrate.version) is None:
                await database.copy_beside(".before-library-sync", once=True)
            columns = await database.write(_prepare)
            yield Store(database, columns, clock, moment)


def _prepare(connection: sqlite3.Connection) -> frozenset[str]:
    requests.create(connection)
    columns = requests.check(connection)
    migrate.migrate(connection)
    return columns


@contextlib.asynccontextmanager
async def open_store_to_look(
    path: Path, *, clock: Callable[[], datetime] = _now, still: bool = True
) -> AsyncIterator[Store]:
    """The tracker's file for reading only, beside a running daemon if need be.

    Args:
        path: of the file.
        clock: the time now, aware UTC.
        still: make no file beside it, as SQLite would; not for what takes long, like a copy.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    if not is_there(path):
        raise StoreError(f"there is no file {path}")
    async with opened_to_look(path.resolve(), still=still) as database:
        yield Store(database, frozenset(), clock)
