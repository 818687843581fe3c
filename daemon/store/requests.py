"""The tracker's tables: its column formats, what is read of them, and what is written to them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final, NamedTuple

from daemon.columns import COLUMNS, FILLABLE, REFRESHED
from daemon.domain import (
    SYNC_USER,
    Actor,
    Add,
    Deletion,
    Ids,
    ItemError,
    LibraryItem,
    MediaType,
    RequestState,
    TrackedRequest,
    Update,
    Value,
    fingerprint,
)
from daemon.errors import SchemaMismatchError
from daemon.identity import file_name, jellyfin_id, same
from daemon.reasons import Reason
from daemon.store import audit, evidence, history
from daemon.store.audit import AuditEvent
from daemon.store.clock import Moment
from daemon.store.database import Connection, Transaction
from daemon.store.history import Decided

SERVICE: Final = "Tracker"

_NEEDED: Final = {
    "requests": {
        *("id", "state", "requested_by", "created_at", "updated_at", "state_changed_at"),
        *(column.name for column in COLUMNS if not column.optional),
    },
    "timeline_events": {
        *("id", "request_id", "service", "event_type", "state", "details", "timestamp"),
    },
}
_MAX_NAMED: Final = 5
_SUBJECT: Final = re.compile(r"(?:TABLE|ON) (\w+)")
_PATH: Final = [column.name for column in REFRESHED].index("final_path")
_OTHER_SERVICE: Final = {MediaType.MOVIE: "sonarr_id", MediaType.TV: "radarr_id"}


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """See that a file with tables is a tracker's.

    Raises:
        SchemaMismatchError: it is the database of another program; its tables are named.
    """
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    tables = [name for (name,) in found if not name.startswith("sqlite_")]
    if tables and "requests" not in tables:
        told = ", ".join(tables[:_MAX_NAMED]) + (", ..." if len(tables) > _MAX_NAMED else "")
        raise SchemaMismatchError(
            f"this is another program's database: it has the tables {told} and no requests;"
            " set database to the tracker's own file"
        )


def create(connection: sqlite3.Connection) -> None:
    """Make the tracker's tables where they are absent; what is there is never altered."""
    script = (resources.files("daemon.store") / "tracker.sql").read_text(encoding="utf-8")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for statement in script.split(";\n"):
        subject = _SUBJECT.search(statement)
        if subject is not None and (subject[1],) not in tables:
            connection.execute(statement)


def check(connection: sqlite3.Connection) -> frozenset[str]:
    """The columns of `requests`, after both tables proved to be of a shape that can be written.

    Raises:
        SchemaMismatchError: a needed column is absent, or an unknown one insists on a value.
    """
    for table, needed in _NEEDED.items():
        shape = {row[1]: row for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing := sorted(needed - shape.keys()):
            raise SchemaMismatchError(f"the table {table} lacks {', '.join(missing)}")
        for name, (_, _, _, insists, default, key) in shape.items():
            if insists and default is None and not key and name not in needed:
                raise SchemaMismatchError(f"the table {table} insists on a value for {name}")
    return columns(connection)


def columns(connection: sqlite3.Connection, table: str = "requests") -> frozenset[str]:
    """The names of a table's columns; none where there is no such table."""
    return frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


def moment(value: datetime) -> str:
    """A moment as the tracker writes it: UTC without saying so, or its pages break."""
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(" ", "microseconds").removesuffix("+00:00")


# --- reading ---------------------------------------------------------------------------------


def tracked(
    connection: Connection,
    items: Sequence[LibraryItem] | None = None,
    public_url: str = "",
) -> tuple[list[TrackedRequest], list[ItemError]]:
    """The rows, as far as the planner needs them, and those that are not understood.

    Args:
        items: only the rows that one of these could belong to; None for all.
        public_url: of Jellyfin, which the addresses of its posters begin with.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "requests" not in tables:
        return [], []
    reader = _Reader(check(connection), connection.clock.moment(), evidence.columns(connection))
    where, values = ("", {}) if items is None else reader.narrowed(items)
    found = connection.execute(
        reader.query + where, {"ours": SYNC_USER, "public_url": public_url, **values}
    )
    rows = [row for values_ in found for row in reader.rows(values_)]
    return rows, reader.defects


class _Reader:
    """Turns rows of the tracker into values; keeps what it met that it does not understand."""

    def __init__(
        self, columns: frozenset[str], now: Moment, remembered: Sequence[str] | None
    ) -> None:
        self.defects: list[ItemError] = []
        self._now = now
        self._fillable = [name for name in FILLABLE if name in columns]
        self._missing: dict[tuple[Any, ...], frozenset[str]] = {}
        self._libraries: dict[str | None, str | None] = {}
        self._imdb_id = imdb_id = _present("imdb_id", columns)
        texts = (_present(column.name, columns) for column in REFRESHED)
        picture = (
            "CASE WHEN poster_url IS NULL THEN 0"
            " WHEN poster_url = :public_url || '/Items/' || jellyfin_id || '/Images/Primary' THEN 1"
            " END"
        )
        # Of others' rows the texts matter only where they are missing.
        shown = "requested_by IS :ours"
        shown += " OR sync_absences.request_id IS NOT NULL" if remembered else ""
        asked = (_present(name, columns) for name in ("requested_seasons", "total_episodes"))
        selected = (
            *("id", "media_type", "state", "tmdb_id", "tvdb_id", imdb_id, "jellyfin_id"),
            *("radarr_id", "sonarr_id", *asked, "requested_by IS :ours"),
            *(f"CASE WHEN {shown} THEN {name} END" for name in (*texts, picture)),
            *(remembered or ("NULL",) * len(evidence.COLUMNS)),
            *(f"IFNULL({name}, '') = ''" for name in self._fillable),
        )
        joined = evidence.SEEN if remembered else ""
        self.query = f"SELECT {', '.join(map(_qualified, selected))} FROM requests {joined}"

    def narrowed(self, items: Sequence[LibraryItem]) -> tuple[str, dict[str, str]]:
        """The condition that a row carries an id of one of the items."""
        wanted: dict[str, list[Value]] = {
            "tmdb_id": [item.ids.tmdb for item in items],
            "tvdb_id": [item.ids.tvdb for item in items],
            f"lower({self._imdb_id})": [item.ids.imdb for item in items],
            "lower(replace(jellyfin_id, '-', ''))": [item.jellyfin_id for item in items],
        }
        lists = {
            f"ids{n}": json.dumps([v for v in ids if v]) for n, ids in enumerate(wanted.values())
        }
        terms = (
            f"{column} IN (SELECT value FROM json_each(:{name}))"
            for column, name in zip(wanted, lists, strict=True)
        )
        return f" WHERE {' OR '.join(terms)}", lists

    def rows(self, values: tuple[Any, ...]) -> Iterator[TrackedRequest]:
        """The row; twice if its media type is not understood, so that it hides both titles."""
        number, media_type, state, tmdb, tvdb, imdb, item, *rest = values
        radarr_id, sonarr_id, seasons, episodes, ours, *rest = rest
        texts, (poster, *rest) = rest[: len(REFRESHED)], rest[len(REFRESHED) :]
        seen, library, *absence = rest[: len(evidence.COLUMNS)]
        nulls, path = rest[len(evidence.COLUMNS) :], texts[_PATH]
        kind = _MEDIA_TYPES.get(media_type)
        known = _STATES.get(state)
        if known is None or kind is None or not _are_ids(tmdb, tvdb):
            self.defects.append(_not_understood(number, media_type, state))
            known = None
        gone = evidence.absence(absence, self._now)
        for each in (kind,) if kind else MediaType:
            yield TrackedRequest(
                id=number,
                media_type=each,
                state=known,
                ids=Ids(_positive(tmdb), _positive(tvdb), _text(imdb)),
                jellyfin_id=jellyfin_id(item) or _text(item),
                arr_id=_positive(radarr_id if each is MediaType.MOVIE else sonarr_id),
                missing=self._names(each, tuple(nulls)),
                ours=bool(ours),
                face=fingerprint(*texts) if ours else 0,
                file=fingerprint(file_name(path)) if gone and path else 0,
                poster=None if poster is None else bool(poster),
                seasons=_seasons(seasons),
                episodes=_positive(episodes),
                seen=bool(seen),
                library=self._libraries.setdefault(library, library),
                absence=gone,
            )

    def _names(self, media_type: MediaType, nulls: tuple[int, ...]) -> frozenset[str]:
        """Rows share few patterns of NULLs, so the sets are shared too."""
        key = (media_type, nulls)
        if key not in self._missing:
            names = {name for name, null in zip(self._fillable, nulls, strict=True) if null}
            self._missing[key] = frozenset(names - {_OTHER_SERVICE[media_type]})
        return self._missing[key]


def _qualified(column: str) -> str:
    """Our tables have columns of the same names."""
    return f"requests.{column}" if column in {"id", "created_at"} else column


def _present(name: str, columns: frozenset[str]) -> str:
    """A column that older versions of the tracker do not have."""
    return name if name in columns else "NULL"


def _seasons(text: object) -> frozenset[int] | None:
    """The tracker writes them as 1 or 1,2,3; None if that is not what stands there."""
    if text is None or text == "":
        return _NO_SEASONS
    parts = str(text).split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        return None
    return frozenset(int(part) for part in parts)


_NO_SEASONS: Final = frozenset[int]()


def _are_ids(*values: object) -> bool:
    """The first version of the tracker wrote an empty text for an id that is not known."""
    return all(value is None or value == "" or isinstance(value, int) for value in values)


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _text(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and value else None


_MEDIA_TYPES: Final[dict[object, MediaType]] = {member.value: member for member in MediaType}
_STATES: Final[dict[object, RequestState]] = {member.value: member for member in RequestState}


def _not_understood(number: int, media_type: object, state: object) -> ItemError:
    reason = f"media type {media_type!r}, state {state!r} or an id is not understood; left alone"
    return ItemError(SERVICE, f"request {number}", reason, lost=False)


def deletions(connection: Connection) -> list[Deletion]:
    """Titles whose latest deletion was made in the tracker's dashboard, the newest first.

    The app deletes through Radarr and Sonarr what it has their ids for, and says so in an event of
    each; without one of those the title was only taken off its list.
    """
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(deletion_logs)")}
    needed = {"source", "media_type", "initiated_at", "tmdb_id", "tvdb_id"}
    if not (needed <= columns and has_table(connection, "deletion_sync_events")):
        return []
    overruled: set[str] = set()
    if has_table(connection, "sync_confirmed"):
        again = "SELECT target FROM sync_confirmed WHERE kind = 'track_again'"
        overruled.update(target for (target,) in connection.execute(again))
    item = "jellyfin_id" if "jellyfin_id" in columns else "NULL"
    rows = connection.execute(
        f"SELECT id, media_type, title, tmdb_id, tvdb_id, {item}, source, initiated_at, EXISTS ("
        "SELECT 1 FROM deletion_sync_events WHERE deletion_log_id = deletion_logs.id"
        " AND service IN ('radarr', 'sonarr')"
        " AND status IN ('PENDING', 'ACKNOWLEDGED', 'CONFIRMED', 'VERIFIED', 'FAILED'))"
        " FROM deletion_logs ORDER BY id DESC"
    )
    found: list[Deletion] = []
    known: set[tuple[object, ...]] = set()
    for number, media_type, title, tmdb, tvdb, jellyfin, source, at, files in rows:
        kind = _MEDIA_TYPES.get(media_type)
        number_there = jellyfin_id(jellyfin)
        keys = {(kind, "tmdb", tmdb), (kind, "tvdb", tvdb), (kind, "item", number_there)}
        keys = {key for key in keys if key[2]}
        if kind is not None and source == "DASHBOARD" and not keys & known:
            ids = Ids(_positive(tmdb), _positive(tvdb))
            over = str(number) in overruled
            age = _age(at, connection.clock.now())
            found.append(Deletion(number, kind, title, ids, number_there, age, bool(files), over))
        known |= keys
    return found


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table; one that is only looked at may be of an older version."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(known, (name,)).fetchone() is not None


def _age(at: object, now: datetime) -> timedelta:
    """How long ago that was; nothing where it lies ahead or is not understood."""
    try:
        then = datetime.fromisoformat(str(at))
    except ValueError:
        return timedelta()
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(timedelta(), now - then)


# --- writing ---------------------------------------------------------------------------------


_TIMES: Final = ("created_at", "updated_at", "state_changed_at", "available_at")
_ADD_EVENT: Final = (
    "INSERT INTO timeline_events (request_id, service, event_type, state, details, timestamp)"
    " VALUES (?, 'library_sync', 'Import', 'AVAILABLE', 'Synced from library', ?)"
)


_Mark = tuple[MediaType, int, int | str]


class Newcomer(NamedTuple):
    """A row that somebody else has made while a run was going on."""

    media_type: MediaType
    ids: Ids
    jellyfin_id: str | None


class Last(NamedTuple):
    """The last row: its number, and what tells it from a later row that was given that number."""

    id: int = 0
    media_type: str = ""
    title: str = ""
    created_at: str = ""
    tmdb_id: int | None = None
    tvdb_id: int | None = None
    jellyfin_id: str | None = None


def newcomers(connection: sqlite3.Connection, last: Last) -> list[Newcomer]:
    """The rows after what was the last one; all of them where that is not there any more.

    SQLite gives the numbers of the last rows again once these are deleted.
    """
    above = last.id if _row_at(connection, "id = ?", last.id) == last else 0
    names = f"media_type, tmdb_id, tvdb_id, {_present('imdb_id', columns(connection))}, jellyfin_id"
    return [
        Newcomer(kind, Ids(_positive(tmdb), _positive(tvdb), _text(imdb)), jellyfin_id(item))
        for media_type, tmdb, tvdb, imdb, item in connection.execute(
            f"SELECT {names} FROM requests WHERE id > ?", (above,)
        )
        if (kind := _MEDIA_TYPES.get(media_type)) is not None
    ]


def last_row(connection: sqlite3.Connection) -> Last:
    """The row with the highest number."""
    return _row_at(connection, "id = (SELECT MAX(id) FROM requests)") or Last()


def _row_at(connection: sqlite3.Connection, where: str, *values: int) -> Last | None:
    query = f"SELECT {', '.join(Last._fields)} FROM requests WHERE {where}"
    row = connection.execute(query, values).fetchone()
    return None if row is None else Last(*row)


class Writer:
    """Writes decisions of a run.

    Args:
        newcomers: rows that somebody else has made since the plan was.
    """

    def __init__(
        self,
        transaction: Transaction,
        run_id: int,
        actor: Actor,
        newcomers: Sequence[Newcomer] = (),
    ) -> None:
        self._newcomers: dict[_Mark, list[Newcomer]] = {}
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
        """Keep in history and audit what was done, and what else was decided.

        Returns:
            How much was done, by its reason.
        """
        history.note(self._connection, self._run_id, (*self._decided, *others))
        audit.append(self._connection, *self._events)
        done = Counter(one.reason for one in self._decided)
        if self._overtaken:
            done[Reason.TRACKED_MEANWHILE] = self._overtaken
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

        One audit event tells of all of them, or a first run would pay for a hash a title.
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
        """Write one title's values where they still hold; other people's values never change."""
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
        names = ", ".join(sorted({*update.fills, *update.replaces, *update.relinks}))
        details = "; ".join(filter(None, (names, update.details)))
        self._decided.append(Decided.about(update.reason, update.item, row["id"], details))
        self._audit(update.reason, row["id"], update.item.jellyfin_id, before, after)

    def _changes(
        self, update: Update, row: dict[str, Any], values: dict[str, Value]
    ) -> dict[str, Value]:
        """What still is to be written, against the row as it is now."""
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
        return {name: value for name, value in changes.items() if name in self._columns}

    def _set(self, number: int, changes: Mapping[str, Value]) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in changes)
        self._connection.execute(
            f"UPDATE requests SET {assignments} WHERE id = :id", {**changes, "id": number}
        )

    def _promoted(self, number: int) -> tuple[list[list[Any]], int]:
        """The tracker sets all episodes of an available series; returns what they were before."""
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
        """Remove a row the tracker's own way: a deletion log, then its children, then itself.

        One that is not as it was when that was decided stays.
        """
        row = self._whole("requests", "id", gone.id)
        if row and _still(row[0], gone):
            before = self._taken_out(Reason.REMOVE, row[0])
            after = {"deletion_log_id": self._log_deletion(row[0], why)}
            self._audit(Reason.REMOVE, gone.id, why, before, after)

    def merge(self, numbers: Sequence[int]) -> None:
        """Leave the first of several rows of one title, if all of them are still ours."""
        first, *others = sorted(numbers)
        rows = {number: self._whole("requests", "id", number) for number in (first, *others)}
        if not all(row and row[0]["requested_by"] == SYNC_USER for row in rows.values()):
            return
        for number in others:
            before, after = self._taken_out(Reason.MERGE, rows[number][0]), {"merged_into": first}
            why = f"the same title as request {first}"
            self._audit(Reason.MERGE, number, why, before, after)

    def _taken_out(self, reason: Reason, row: Mapping[str, Any]) -> dict[str, Any]:
        """What stood of a row in all tables, from which it is gone now."""
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

    def _log_deletion(self, row: Mapping[str, Any], why: str) -> int:
        """Nothing is deleted anywhere else, which the events say for each service."""
        now = moment(self._now)
        copied = (
            *("title", "media_type", "tmdb_id", "tvdb_id", "jellyfin_id", "sonarr_id"),
            *("radarr_id", "shoko_series_id", "jellyseerr_id", "qbit_hash", "poster_url", "year"),
        )
        values = {name: row.get(name) for name in copied} | {
            "is_anime": row.get("is_anime") or 0,
            "source": "JELLYFIN",
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
        events = [("jellyfin", "VERIFIED", why), (arr, "SKIPPED", "Nothing is deleted there")]
        self._connection.executemany(
            "INSERT INTO deletion_sync_events"
            " (deletion_log_id, service, status, details, timestamp) VALUES (?, ?, ?, ?, ?)",
            [(number, *event, now) for event in events],
        )
        return number

    def _next_id(self) -> int:
        """Past every number that an orphan names: it would show on the new title."""
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
        """The row as it is now; None if it is gone, is another title, or is not ours any more."""
        item = update.item
        always = ["id", "media_type", "requested_by", "state", *_known(item).keys() & self._columns]
        always += ["state_changed_at", "updated_at"] + ["available_at"] * self._has_available_at
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
    """What two rows of one title can share."""
    for place, value in enumerate((*ids, item)):
        if value is not None:
            yield media_type, place, value


def _known(item: LibraryItem) -> dict[str, Value]:
    """What may identify the item's row, the strongest first."""
    ids = item.ids
    return {
        "tmdb_id": ids.tmdb,
        "tvdb_id": ids.tvdb,
        "imdb_id": ids.imdb,
        "jellyfin_id": item.jellyfin_id,
    }


def _is_of(row: Mapping[str, Any], update: Update) -> bool:
    """Numbers of deleted rows are given again, so the strongest id that both have must agree.

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
    """Whether a row is what it was: the tracker may have changed it, or used its number anew."""
    return (
        row["state"] == RequestState.AVAILABLE.value
        and row["media_type"] == gone.media_type.value
        and (_positive(row["tmdb_id"]), _positive(row["tvdb_id"])) == gone.ids[:2]
        and _same(row["jellyfin_id"], gone.jellyfin_id)
    )
