"""Writes decisions to the tracker's tables as the tracker would, each with its audit event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from daemon.columns import COLUMNS
from daemon.domain import (
    SYNC_USER,
    Actor,
    Add,
    Ids,
    LibraryItem,
    MediaType,
    RequestState,
    TrackedRequest,
    Update,
    Value,
)
from daemon.identity import same
from daemon.reasons import Reason
from daemon.store import audit, evidence, history
from daemon.store.audit import AuditEvent
from daemon.store.database import Transaction
from daemon.store.history import Decided
from daemon.store.requests import GAUGES, ConcurrentRow, columns, moment, positive

_TIMES: Final = ("created_at", "updated_at", "state_changed_at", "available_at")
_ADD_EVENT: Final = (
    "INSERT INTO timeline_events (request_id, service, event_type, state, details, timestamp)"
    " VALUES (?, 'library_sync', 'Import', 'AVAILABLE', 'Synced from library', ?)"
)


_Mark = tuple[MediaType, int, int | str]


class Writer:
    """Writes decisions of a run.

    Args:
        newcomers: rows added by others since the plan was made.
    """

    def __init__(
        self,
        transaction: Transaction,
        run_id: int,
        actor: Actor,
        newcomers: Sequence[ConcurrentRow] = (),
    ) -> None:
        self._newcomers: dict[_Mark, list[ConcurrentRow]] = {}
        for row in newcomers:
            for mark in _marks(row.media_type, row.ids, row.jellyfin_id):
                self._newcomers.setdefault(mark, []).append(row)
        self._connection, self._run_id, self._actor = transaction, run_id, actor
        self._columns = known = columns(transaction)
        self._now = transaction.clock.now()
        self._reads = [column.read for column in COLUMNS if column.name in known]
        names = [column.name for column in COLUMNS if column.name in known]
        times = [name for name in _TIMES if name in known]
        self._add_request = (
            f"INSERT INTO requests (state, requested_by, {', '.join(('id', *times, *names))})"
            f" VALUES ('AVAILABLE', '{SYNC_USER}', ?1{', ?2' * len(times)}"
            f"{''.join(f', ?{at}' for at in range(3, len(names) + 3))})"
        )
        self._decided: list[Decided] = []
        self._events: list[AuditEvent] = []
        self._overtaken = 0

    def record(self, *others: Decided) -> Counter[Reason]:
        """Record what was done and decided, in history and audit.

        Returns:
            How many of each reason were done.
        """
        history.note(self._connection, self._run_id, (*self._decided, *others))
        audit.append(self._connection, *self._events)
        done = Counter(one.reason for one in self._decided)
        if self._overtaken:
            done[Reason.ADDED_CONCURRENTLY] = self._overtaken
        return done

    def _audit(
        self,
        reason: Reason,
        number: int,
        why: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        action, target = reason.meaning.audit, f"request {number}"
        event = AuditEvent(action, self._actor, self._run_id, target, why, before, after)
        self._events.append(event)

    def add(self, adds: Sequence[Add]) -> list[tuple[int, Add]]:
        """Insert the titles that are still untracked, with their timeline events.

        One audit event covers all of them: a first run must not compute a hash per title.
        """
        if self._newcomers:
            adds = [add for add in adds if not self._tracked_meanwhile(add.item)]
        if not adds:
            return []
        numbered = list(enumerate(adds, self._next_id()))
        times = [moment(add.item.created_at or self._now) for add in adds]
        rows = [
            (number, at, *(read(add) for read in self._reads))
            for (number, add), at in zip(numbered, times, strict=True)
        ]
        self._connection.executemany(self._add_request, rows)
        events = [(number, at) for (number, _), at in zip(numbered, times, strict=True)]
        self._connection.executemany(_ADD_EVENT, events)
        evidence.saw(self._connection, [(number, add.item.library) for number, add in numbered])
        self._decided += [Decided.about(add.reason, add.item, number) for number, add in numbered]
        after = {
            "request_ids": [number for number, _ in numbered],
            "jellyfin_ids": [add.item.jellyfin_id for add in adds],
        }
        event = AuditEvent(Reason.ADD.meaning.audit, self._actor, self._run_id, after=after)
        self._events.append(event)
        return numbered

    def update(self, update: Update) -> None:
        """Write one title's values if they still apply; values of others never change."""
        values = {**update.fills, **update.replaces}
        values |= {name: new for name, (_, new) in update.relinks.items()}
        columns = [name for name in values if name in self._columns]
        row = self._row_of(update, columns)
        changes = {} if row is None else self._changes(update, row, values)
        if row is None or not changes:
            self._overtaken += 1
            return
        before: dict[str, Any] = {name: row[name] for name in changes}
        after: dict[str, Any] = dict(changes)
        self._set(row["id"], changes)
        if "state" in changes:
            before["episodes"], after["event_id"] = self._promoted(row["id"])
            before["sync_pending"] = self._whole("sync_pending", "request_id", row["id"])
        names = ", ".join(sorted({*update.fills, *update.replaces, *update.relinks}))
        details = "; ".join(filter(None, (names, update.details)))
        self._decided.append(Decided.about(update.reason, update.item, row["id"], details))
        self._audit(update.reason, row["id"], update.item.jellyfin_id, before, after)

    def _changes(
        self, update: Update, row: dict[str, Any], values: dict[str, Value]
    ) -> dict[str, Value]:
        """The changes that still apply to the row as it is now."""
        changes: dict[str, Value] = {}
        for name in row.keys() & values.keys() & self._columns:
            old, new = row[name], values[name]
            if name in update.relinks:
                writable = _same(old, update.relinks[name][0])
            elif name in update.replaces:
                writable = row["requested_by"] == SYNC_USER and old != new
            else:
                writable = old is None or old == ""
            if writable:
                changes[name] = new
        if update.promotes is not None and row["state"] == update.promotes.value:
            now = moment(self._now)
            changes |= {"state": RequestState.AVAILABLE.value, "state_changed_at": now}
            changes |= dict.fromkeys(("updated_at", "available_at"), now)
            changes |= {name: None for name in GAUGES if row.get(name) is not None}
        return {name: value for name, value in changes.items() if name in self._columns}

    def _set(self, number: int, changes: Mapping[str, Value]) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in changes)
        self._connection.execute(
            f"UPDATE requests SET {assignments} WHERE id = :id", {**changes, "id": number}
        )

    def _promoted(self, number: int) -> tuple[list[list[Any]], int]:
        """Set all episodes available, as the tracker does; returns their previous states."""
        episodes = self._connection.execute(
            "SELECT id, state FROM episodes WHERE request_id = ?", (number,)
        ).fetchall()
        available = RequestState.AVAILABLE.value
        self._connection.execute(
            "UPDATE episodes SET state = ? WHERE request_id = ?", (available, number)
        )
        cursor = self._connection.execute(
            "INSERT INTO timeline_events"
            " (request_id, service, event_type, state, details, timestamp)"
            " VALUES (?, 'library_sync', 'Verified', ?, 'Found in the library', ?)",
            (number, available, moment(self._now)),
        )
        return [list(episode) for episode in episodes], int(cursor.lastrowid or 0)

    def remove(self, gone: TrackedRequest, why: str) -> None:
        """Remove a row as the tracker does: deletion log, children, then the row.

        A row that has changed since the decision stays.
        """
        row = self._whole("requests", "id", gone.id)
        if row and _still(row[0], gone):
            before = self._taken_out(Reason.REMOVE, row[0])
            after = {"deletion_log_id": self._log_deletion(row[0], why)}
            self._audit(Reason.REMOVE, gone.id, why, before, after)

    def merge(self, numbers: Sequence[int]) -> None:
        """Keep the first of several rows of one title, if all are still managed by us."""
        first, *others = sorted(numbers)
        rows = {number: self._whole("requests", "id", number) for number in (first, *others)}
        if not all(row and row[0]["requested_by"] == SYNC_USER for row in rows.values()):
            return
        for number in others:
            before, after = self._taken_out(Reason.MERGE, rows[number][0]), {"merged_into": first}
            why = f"the same title as request {first}"
            self._audit(Reason.MERGE, number, why, before, after)

    def _taken_out(self, reason: Reason, row: Mapping[str, Any]) -> dict[str, Any]:
        """Delete a row from all tables; returns what they held."""
        number = row["id"]
        about = (row["media_type"], row["title"], row["jellyfin_id"], number)
        self._decided.append(Decided(reason, *about))
        before: dict[str, Any] = {"requests": [row]}
        for table in ("timeline_events", "episodes"):
            before[table] = self._whole(table, "request_id", number)
            self._connection.execute(f"DELETE FROM {table} WHERE request_id = ?", (number,))
        self._connection.execute("DELETE FROM requests WHERE id = ?", (number,))
        evidence.forget(self._connection, number)
        return before

    def _whole(self, table: str, column: str, value: int) -> list[dict[str, Any]]:
        found = self._connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,))
        names = [description[0] for description in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def _log_deletion(
        self, row: Mapping[str, Any], why: str, source: str = "JELLYFIN", told_by: str = "jellyfin"
    ) -> int:
        """Write the deletion log; its events say that nothing was deleted in any service.

        Args:
            source: the tracker's word for the origin.
            told_by: the service that says so.
        """
        now = moment(self._now)
        copied = (
            *("title", "media_type", "tmdb_id", "tvdb_id", "jellyfin_id", "sonarr_id"),
            *("radarr_id", "shoko_series_id", "jellyseerr_id", "qbit_hash", "poster_url", "year"),
        )
        values = {name: row.get(name) for name in copied} | {
            "is_anime": row.get("is_anime") or 0,
            "source": source,
            "deleted_by_username": SYNC_USER,
            "status": "COMPLETE",
            "initiated_at": now,
            "completed_at": now,
        }
        table = self._connection.execute("PRAGMA table_info(deletion_logs)")
        present = {name for _, name, *_ in table}  # older versions of the tracker have fewer
        values = {name: value for name, value in values.items() if name in present}
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        cursor = self._connection.execute(
            f"INSERT INTO deletion_logs ({names}) VALUES ({marks})", values
        )
        number = int(cursor.lastrowid or 0)
        arr = "radarr" if row["media_type"] == MediaType.MOVIE.value else "sonarr"
        events = [(told_by, "VERIFIED", why), (arr, "SKIPPED", "Nothing is deleted there")]
        self._connection.executemany(
            "INSERT INTO deletion_sync_events"
            " (deletion_log_id, service, status, details, timestamp) VALUES (?, ?, ?, ?, ?)",
            [(number, *event, now) for event in events],
        )
        return number

    def _next_id(self) -> int:
        """The next number, above any orphan's, which would otherwise attach to the new row."""
        [number] = self._connection.execute(
            "SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM requests),"
            " (SELECT COALESCE(MAX(request_id), 0) FROM timeline_events),"
            " (SELECT COALESCE(MAX(request_id), 0) FROM episodes))"
        ).fetchone()
        return int(number) + 1

    def _tracked_meanwhile(self, item: LibraryItem) -> bool:
        for mark in _marks(item.media_type, item.ids, item.jellyfin_id):
            for row in self._newcomers.get(mark, ()):
                agrees = same(row.media_type, row.ids, item.ids)
                if agrees or (agrees is None and row.jellyfin_id == item.jellyfin_id):
                    self._overtaken += 1
                    return True
        return False

    def _row_of(self, update: Update, columns: list[str]) -> dict[str, Any] | None:
        """The row as it is now; None if it is gone, another title, or no longer managed."""
        item = update.item
        always = ["id", "media_type", "requested_by", "state", *_known(item).keys() & self._columns]
        always += ["state_changed_at", "updated_at"] + ["available_at"] * self._has_available_at
        always += [name for name in GAUGES if name in self._columns]
        names = [*dict.fromkeys([*always, *columns])]
        query = f"SELECT {', '.join(names)} FROM requests WHERE "
        found = self._connection.execute(query + "id = ?", (update.request_id,))
        if (values := found.fetchone()) is None:
            return None
        row = dict(zip(names, values, strict=True))
        right = row["media_type"] == item.media_type.value
        return row if right and _is_of(row, update) else None

    @property
    def _has_available_at(self) -> bool:
        return "available_at" in self._columns


def _marks(media_type: MediaType, ids: Ids, item: str | None) -> Iterator[_Mark]:
    """The ids by which two rows can be one title."""
    for place, value in enumerate((*ids, item)):
        if value is not None:
            yield media_type, place, value


def _known(item: LibraryItem) -> dict[str, Value]:
    """The ids that may identify the item's row, strongest first."""
    ids = item.ids
    return {
        "tmdb_id": ids.tmdb,
        "tvdb_id": ids.tvdb,
        "imdb_id": ids.imdb,
        "jellyfin_id": item.jellyfin_id,
    }


def _is_of(row: Mapping[str, Any], update: Update) -> bool:
    """Row numbers are reused, so the strongest id that both have must agree.

    An id that the update replaces must be the one that it replaces.
    """
    for name, value in _known(update.item).items():
        expected = update.relinks[name][0] if name in update.relinks else value
        if expected is not None and row.get(name) not in {None, ""}:
            return _same(row[name], expected)
    return False


def _same(stored: object, expected: Value) -> bool:
    """Whether a stored id is the expected one; Jellyfin's may stand there with dashes."""
    if isinstance(stored, str) and isinstance(expected, str):
        return stored.replace("-", "").lower() == expected.replace("-", "").lower()
    return (stored or None) == expected


def _still(row: Mapping[str, Any], gone: TrackedRequest) -> bool:
    """Whether a row is unchanged: the tracker may have modified it, or reused its number."""
    return (
        row["state"] == RequestState.AVAILABLE.value
        and row["media_type"] == gone.media_type.value
        and (positive(row["tmdb_id"]), positive(row["tvdb_id"])) == gone.ids[:2]
        and _same(row["jellyfin_id"], gone.jellyfin_id)
    )
