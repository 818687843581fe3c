"""The tracker's tables: their schema, column formats, and queries."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final, NamedTuple

from daemon.columns import COLUMNS, FILLABLE, REFRESHED
from daemon.domain import (
    SYNC_USER,
    Deletion,
    Ids,
    ItemError,
    LibraryItem,
    MediaType,
    RequestState,
    TrackedRequest,
    Value,
    value_hash,
)
from daemon.errors import SchemaMismatchError
from daemon.identity import file_name, jellyfin_id
from daemon.store import evidence
from daemon.store.clock import Moment
from daemon.store.database import Connection

SERVICE: Final = "Tracker"
GAUGES: Final = ("download_progress", "download_speed", "download_eta")
"""Columns with the progress of a download."""

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
_TEXTS: Final = 12
_POSTER: Final = _TEXTS + len(REFRESHED)
_PATH: Final = _TEXTS + [column.name for column in REFRESHED].index("final_path")
_SEEN: Final = _POSTER + 1
_OTHER_SERVICE: Final = {MediaType.MOVIE: "sonarr_id", MediaType.TV: "radarr_id"}


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Check that a file with tables is a tracker's.

    Raises:
        SchemaMismatchError: it is the database of another program; its tables are named.
            Or its `requests` are not of the shape that can be written.
    """
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    tables = [name for (name,) in found if not name.startswith("sqlite_")]
    if tables and "requests" not in tables:
        told = ", ".join(tables[:_MAX_NAMED]) + (", ..." if len(tables) > _MAX_NAMED else "")
        raise SchemaMismatchError(
            f"this is another program's database: it has the tables {told} and no requests;"
            " set database to the tracker's own file"
        )
    for table in _NEEDED.keys() & set(tables):
        _check_shape(connection, table)


def create(connection: sqlite3.Connection) -> None:
    """Create the tracker's tables if absent; existing ones are never altered."""
    script = (resources.files("daemon.store") / "tracker.sql").read_text(encoding="utf-8")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for statement in script.split(";\n"):
        subject = _SUBJECT.search(statement)
        if subject is not None and (subject[1],) not in tables:
            connection.execute(statement)


def check(connection: sqlite3.Connection) -> frozenset[str]:
    """The columns of `requests`, after checking that both tables can be written.

    Raises:
        SchemaMismatchError: a needed column is absent, or an unknown one requires a value.
    """
    for table in _NEEDED:
        _check_shape(connection, table)
    return columns(connection)


def _check_shape(connection: sqlite3.Connection, table: str) -> None:
    needed = _NEEDED[table]
    shape = {row[1]: row for row in connection.execute(f"PRAGMA table_info({table})")}
    if missing := sorted(needed - shape.keys()):
        raise SchemaMismatchError(f"the table {table} lacks {', '.join(missing)}")
    for name, (_, _, _, insists, default, key) in shape.items():
        if insists and default is None and not key and name not in needed:
            raise SchemaMismatchError(f"the table {table} insists on a value for {name}")


def columns(connection: sqlite3.Connection, table: str = "requests") -> frozenset[str]:
    """The names of a table's columns; empty if there is no such table."""
    return frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


def lacking(connection: sqlite3.Connection) -> frozenset[str]:
    """The columns of a title that this version of the tracker does not have."""
    return frozenset(column.name for column in COLUMNS) - columns(connection)


def moment(value: datetime) -> str:
    """A time in the tracker's format: UTC without an offset, which its pages require."""
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
    """Converts rows of the tracker to values, and collects what it does not understand."""

    def __init__(
        self, columns: frozenset[str], now: Moment, remembered: Sequence[str] | None
    ) -> None:
        self.defects: list[ItemError] = []
        self._now = now
        self._fillable = [name for name in FILLABLE if name in columns]
        self._missing: dict[tuple[MediaType, int], frozenset[str]] = {}
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
            " + ".join(
                f"(IFNULL({name}, '') = '') * {1 << at}" for at, name in enumerate(self._fillable)
            ),
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

    def rows(self, values: tuple[Any, ...]) -> Iterable[TrackedRequest]:
        """The row; twice if its media type is unknown, so that it protects both titles."""
        number, media_type, state, tmdb, tvdb, imdb, item, *rest = values[:_TEXTS]
        radarr_id, sonarr_id, asked, episodes, ours = rest
        seen, library, sightings = values[_SEEN : _SEEN + 3]
        kind, known = understood(media_type, state)
        ids = _ids(tmdb, tvdb, imdb)
        if known is None or kind is None or ids is None:
            self.defects.append(_not_understood(number, media_type, state))
            known = None
        gone = None if sightings is None else evidence.absence(values[_SEEN + 2 : -1], self._now)
        poster, path = values[_POSTER], values[_PATH] if gone else None
        row = TrackedRequest(  # by position: by name it takes five times as long
            number,
            kind or MediaType.MOVIE,
            known,
            ids or Ids(positive(tmdb), positive(tvdb), _text(imdb)),
            jellyfin_id(item) or _text(item),
            positive(sonarr_id if kind is MediaType.TV else radarr_id),
            self._names(kind or MediaType.MOVIE, values[-1]),
            bool(ours),
            value_hash(*values[_TEXTS:_POSTER]) if ours else 0,
            value_hash(file_name(path)) if path else 0,
            None if poster is None else bool(poster),
            _NO_SEASONS if asked is None else seasons(asked),
            None if episodes is None else positive(episodes),
            bool(seen),
            self._libraries.setdefault(library, library),
            gone,
        )
        return (row,) if kind else (row, self._as_series(row, sonarr_id, values[-1]))

    def _as_series(self, row: TrackedRequest, sonarr_id: object, nulls: int) -> TrackedRequest:
        names = self._names(MediaType.TV, nulls)
        return row._replace(media_type=MediaType.TV, arr_id=positive(sonarr_id), missing=names)

    def _names(self, media_type: MediaType, nulls: int) -> frozenset[str]:
        """Interned sets: rows share few patterns of NULLs."""
        if (found := self._missing.get((media_type, nulls))) is None:
            names = {name for at, name in enumerate(self._fillable) if nulls >> at & 1}
            found = frozenset(names - {_OTHER_SERVICE[media_type]})
            self._missing[media_type, nulls] = found
        return found


def _qualified(column: str) -> str:
    """A qualified name: our own tables share column names."""
    return f"requests.{column}" if column in {"id", "created_at"} else column


def _present(name: str, columns: frozenset[str]) -> str:
    """A column that older versions of the tracker do not have."""
    return name if name in columns else "NULL"


def seasons(text: object) -> frozenset[int] | None:
    """Requested seasons, written as 1 or 1,2,3; None if malformed."""
    if text is None or text == "":
        return _NO_SEASONS
    parts = str(text).split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        return None
    return frozenset(int(part) for part in parts)


_NO_SEASONS: Final = frozenset[int]()


def _ids(tmdb: object, tvdb: object, imdb: object) -> Ids | None:
    """A row's ids; None where one is of another shape.

    The first version of the tracker wrote an empty text for an id that is not known.
    """
    tmdb, tvdb = None if tmdb == "" else tmdb, None if tvdb == "" else tvdb
    if not isinstance(tmdb, int | None) or not isinstance(tvdb, int | None):
        return None
    text = imdb.lower() if isinstance(imdb, str) else None
    return Ids(
        tmdb if tmdb and tmdb > 0 else None, tvdb if tvdb and tvdb > 0 else None, text or None
    )


def positive(value: object) -> int | None:
    """A positive number as an id; None otherwise."""
    return value if isinstance(value, int) and value > 0 else None


def _text(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and value else None


_MEDIA_TYPES: Final[dict[object, MediaType]] = {member.value: member for member in MediaType}
_STATES: Final[dict[object, RequestState]] = {member.value: member for member in RequestState}


def understood(media_type: object, state: object) -> tuple[MediaType | None, RequestState | None]:
    """A row's media type and state; None for an unknown word."""
    return _MEDIA_TYPES.get(media_type), _STATES.get(state)


def _not_understood(number: int, media_type: object, state: object) -> ItemError:
    reason = f"media type {media_type!r}, state {state!r} or an id is not understood; left alone"
    return ItemError(SERVICE, f"request {number}", reason, lost=False)


def deletions(connection: Connection) -> list[Deletion]:
    """Titles whose latest deletion was in the tracker's dashboard, newest first.

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
            ids = Ids(positive(tmdb), positive(tvdb))
            over = str(number) in overruled
            age = _age(at, connection.clock.now())
            found.append(Deletion(number, kind, title, ids, number_there, age, bool(files), over))
        known |= keys
    return found


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table; a file opened read-only may be of an older version."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(known, (name,)).fetchone() is not None


def _age(at: object, now: datetime) -> timedelta:
    """How long ago that was; zero if it is in the future or malformed."""
    try:
        then = datetime.fromisoformat(str(at))
    except ValueError:
        return timedelta()
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(timedelta(), now - then)


# --- what came since ------------------------------------------------------------------------


class ConcurrentRow(NamedTuple):
    """A row added by another program during a run."""

    media_type: MediaType
    ids: Ids
    jellyfin_id: str | None


class Last(NamedTuple):
    """The last row: its number, and what distinguishes it from a later row reusing it."""

    id: int = 0
    media_type: str = ""
    title: str = ""
    created_at: str = ""
    tmdb_id: int | None = None
    tvdb_id: int | None = None
    jellyfin_id: str | None = None


def newcomers(connection: sqlite3.Connection, last: Last) -> list[ConcurrentRow]:
    """The rows after a known last row; all rows if that one is gone.

    SQLite reuses the numbers of the last rows once they are deleted.
    """
    above = last.id if _row_at(connection, "id = ?", last.id) == last else 0
    names = f"media_type, tmdb_id, tvdb_id, {_present('imdb_id', columns(connection))}, jellyfin_id"
    return [
        ConcurrentRow(kind, Ids(positive(tmdb), positive(tvdb), _text(imdb)), jellyfin_id(item))
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
