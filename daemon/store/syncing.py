"""What a run reads from the file, and how it writes its decisions, batch by batch."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

from daemon.domain import (
    Absent,
    Actor,
    Add,
    Conflict,
    Decision,
    Deletion,
    InstanceId,
    ItemError,
    LibraryItem,
    Skip,
    TrackedRequest,
    Update,
)
from daemon.reasons import Reason
from daemon.store import attention, audit, history, instance_ids, migrate, requests
from daemon.store.database import Connection, Transaction, data_version
from daemon.store.history import Decided
from daemon.store.writing import Writer

_WEEK: Final = timedelta(days=7)


class Tracked(NamedTuple):
    """The tracker's rows, and what of them is not understood.

    Attributes:
        deletions: made in the tracker's dashboard.
        removed_lately: rows that were removed in the last seven days without an admin's word.
        server: id of the known Jellyfin server, set by the first run or an admin.
        instance_ids: by instance beside the primary ones, the number of each row's title there.
        lacking: columns that this version of the tracker does not have.
    """

    rows: list[TrackedRequest]
    defects: list[ItemError]
    deletions: Sequence[Deletion] = ()
    removed_lately: int = 0
    server: str | None = None
    instance_ids: Mapping[str, Mapping[int, int]] = {}
    lacking: frozenset[str] = frozenset()


@dataclass(slots=True)
class ConcurrentWrites:
    """Detects concurrent writes since a plan's rows were read; by default, since ever.

    Attributes:
        version: of the data, and of what other parts of this program wrote, at the last look.
        last: the last row then.
        newcomers: rows that others have made.
    """

    version: tuple[int, int] = (-1, 0)
    last: requests.Last = field(default_factory=requests.Last)
    newcomers: list[requests.ConcurrentRow] = field(default_factory=list)

    def look(self, transaction: Transaction) -> list[requests.ConcurrentRow]:
        """The rows added by others; queried only if somebody has written since."""
        version = (data_version(transaction), transaction.passes)
        if version != self.version:
            self.newcomers += requests.newcomers(transaction, self.last)
            self.last = requests.last_row(transaction)
            self.version = version
        return self.newcomers


def concurrent_writes(transaction: Transaction) -> ConcurrentWrites:
    """Start watching, before the rows are read, on the writing connection."""
    version = (data_version(transaction), transaction.passes)
    return ConcurrentWrites(version, requests.last_row(transaction))


def tracked(
    connection: Connection, items: Sequence[LibraryItem] | None = None, public_url: str = ""
) -> Tracked:
    """The tracker's rows, as far as the planner needs them.

    Args:
        items: only the rows that one of these could belong to; None for all.
        public_url: of Jellyfin, which the addresses of its posters begin with.
    """
    rows, defects = requests.tracked(connection, items, public_url)
    deleted = requests.deletions(connection)
    if migrate.version(connection) is None:
        return Tracked(rows, defects, deleted, lacking=requests.lacking(connection))
    since = connection.clock.now() - _WEEK
    lately = audit.taken_since(connection, since, Reason.REMOVE.meaning.audit)
    confirms = requests.has_table(connection, "sync_confirmed")
    server = attention.confirmed_server(connection) if confirms else None
    ids = instance_ids.known(connection, None if items is None else {row.id for row in rows})
    lacking = requests.lacking(connection)
    return Tracked(rows, defects, deleted, lately, server, ids, lacking)


def apply(
    transaction: Transaction,
    run_id: int,
    actor: Actor,
    decisions: Sequence[Decision],
    since: ConcurrentWrites | None = None,
    on_commit: Callable[[Counter[Reason]], None] = lambda _: None,
) -> Counter[Reason]:
    """Write a batch of decisions: rows, timeline, audit and history.

    Args:
        since: started before the decisions' rows were read; rows added later are left alone.
        on_commit: gets the result even if the caller is cancelled.

    Returns:
        How many of each reason were done.
    """
    since = since or ConcurrentWrites()
    writer = Writer(transaction, run_id, actor, since.look(transaction))
    added = writer.add([one for one in decisions if isinstance(one, Add)])
    for decision in decisions:
        if isinstance(decision, Update):
            writer.update(decision)
    further = ((number, one) for number, add in added for one in add.instance_ids.items())
    instance_ids.note(transaction, [InstanceId(number, *one) for number, one in further])
    done = writer.record(*(_named(transaction, one) for one in _attention(decisions)))
    if added:
        since.last = requests.last_row(transaction)
    transaction.after_commit(lambda: on_commit(done))
    return done


def remove(
    transaction: Transaction, run_id: int, actor: Actor, rows: Sequence[Absent]
) -> Counter[Reason]:
    """Remove rows that have not changed since they were read."""
    writer = Writer(transaction, run_id, actor)
    for row in rows:
        writer.remove(row.request, _why(row))
    return writer.record()


def merge(
    transaction: Transaction, run_id: int, actor: Actor, rows: Sequence[int]
) -> Counter[Reason]:
    """Merge several rows added by this program into one."""
    writer = Writer(transaction, run_id, actor)
    writer.merge(rows)
    return writer.record()


def note_doubles(transaction: Transaction, run_id: int, doubles: Sequence[tuple[int, ...]]) -> None:
    """Record which rows added by this program are one title."""
    history.note(transaction, run_id, [_double(transaction, rows) for rows in doubles])


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


def _attention(decisions: Iterable[Decision]) -> Iterable[Decided]:
    for one in decisions:
        if isinstance(one, Conflict):
            rows = ", ".join(str(number) for number in one.request_ids)
            details = "; ".join(filter(None, (one.details, rows and f"requests {rows}")))
            alone = one.request_ids[0] if len(one.request_ids) == 1 else None
            yield Decided.about(one.reason, one.item, alone, details)
        elif isinstance(one, Skip) and one.reason.kept:
            yield Decided.about(one.reason, one.item, one.request_id, one.details)


def _named(connection: sqlite3.Connection, one: Decided) -> Decided:
    """The title of an entry; without an item, its row's."""
    if one.title or one.request_id is None:
        return one
    row = connection.execute(
        "SELECT media_type, title, jellyfin_id FROM requests WHERE id = ?", (one.request_id,)
    ).fetchone()
    return one if row is None else one._replace(media_type=row[0], title=row[1], jellyfin_id=row[2])
