"""Finding titles, tracked or not: by name without case and accents, or by any of their ids."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from daemon.reasons import Kind
from daemon.store import history, requests
from daemon.store.attention import Finding
from daemon.store.database import Connection
from daemon.store.rows import columns, first, values

_MAX: Final = 100
_FEW: Final = 10
_DIGITS: Final = 19


class FoundTitle(NamedTuple):
    """A row of the tracker.

    Attributes:
        by: what of it was looked for, e.g. "title" or "TMDB id".
    """

    id: int
    title: str
    media_type: str
    state: str
    year: int | None
    by: str


_COLUMNS: Final = ", ".join(FoundTitle._fields[:-1])
_IDS: Final = (
    ("id = :number", "request number"),
    ("tmdb_id = :number", "TMDB id"),
    ("tvdb_id = :number", "TVDB id"),
    ("lower(imdb_id) = :text", "IMDb id"),
    ("lower(replace(jellyfin_id, '-', '')) = :hex", "Jellyfin id"),
)
"""Ids that may be looked for, the likeliest first."""

_LETTERS: Final = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ħ": "h",
    }
)
"""Letters that Unicode does not take apart."""


def folded(text: object) -> str:
    """A text without case and accents, however its letters are composed."""
    apart = unicodedata.normalize("NFKD", str(text or "").casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return bare.translate(_LETTERS)


def tracked(connection: sqlite3.Connection, text: str) -> list[FoundTitle]:
    """The rows that a title or one of their ids means, the likeliest first."""
    there = requests.columns(connection)
    ids = [one for one in _IDS if "imdb_id" in there or "imdb_id" not in one[0]]
    place = " ".join(f"WHEN {term} THEN {at}" for at, (term, _) in enumerate(ids))
    rows = connection.execute(
        f"SELECT {_COLUMNS}, CASE {place} ELSE {len(ids)} END AS place FROM requests"
        f" WHERE {' OR '.join(term for term, _ in ids)} OR {_named(connection)}"
        " ORDER BY place, folded(title) = :folded DESC, title LIMIT :most",
        {**_wanted(text), "most": _MAX},
    )
    by = [*(name for _, name in ids), "title"]
    return [FoundTitle(*(*row, by[at])) for *row, at in rows]


def _named(connection: sqlite3.Connection) -> str:
    """The condition that a title holds the wanted text; plain letters need no function."""
    connection.create_function("folded", 1, folded, deterministic=True)
    return (
        "CASE WHEN length(title) = length(CAST(title AS BLOB)) THEN title ELSE folded(title) END"
        " LIKE :pattern ESCAPE '\\'"
    )


def _wanted(text: str) -> dict[str, Any]:
    """What is looked for, as each column has it."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1
    plain = folded(text) or text
    return {
        "number": number,
        "text": text.lower(),
        "hex": text.replace("-", "").lower(),
        "folded": plain,
        "pattern": like(plain),
    }


def like(text: str) -> str:
    """A pattern for whatever holds the text; a backslash is its escape."""
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, "\\" + sign)
    return f"%{text}%"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A title that the latest full run left out, and why."""

    title: str
    media_type: str | None
    jellyfin_id: str | None
    run_id: int
    reason: str
    details: str | None
    started_at: str


@dataclass(frozen=True, slots=True)
class Removal:
    """The run of ours that removed a row, and why."""

    run_id: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class DeletedTitle:
    """An entry of the tracker's deletion log; `removal` if it is ours."""

    id: int
    title: str
    media_type: str | None
    jellyfin_id: str | None
    source: str
    by: str | None
    at: str
    removal: Removal | None = None


@dataclass(frozen=True, slots=True)
class Untracked:
    """A title without a row; what runs said of it, and how it was deleted, where that is known."""

    title: str
    media_type: str | None
    jellyfin_id: str | None
    decision: LeftOut | None = None
    deletion: DeletedTitle | None = None


def untracked(connection: sqlite3.Connection, text: str) -> list[Untracked]:
    """Titles without a row that a text means."""
    found: dict[tuple[object, ...], Untracked] = {}
    for left in _left_out(connection, text):
        found.setdefault(_key(left), Untracked(*_named_by(left), decision=left))
    for gone in _deleted(connection, text):
        known = found.setdefault(_key(gone), Untracked(*_named_by(gone)))
        if known.deletion is None:
            found[_key(gone)] = replace(known, deletion=gone)
    return [*found.values()][:_FEW]


def _named_by(one: LeftOut | DeletedTitle) -> tuple[str, str | None, str | None]:
    return one.title, one.media_type, one.jellyfin_id


def _key(one: LeftOut | DeletedTitle) -> tuple[object, ...]:
    return (one.media_type, folded(one.title))


def _left_out(connection: sqlite3.Connection, text: str) -> Iterator[LeftOut]:
    """What the latest full run left out, in which no row was meant."""
    rows = connection.execute(
        f"SELECT {columns(LeftOut)} FROM sync_decisions JOIN sync_runs ON sync_runs.id = run_id"
        f" WHERE run_id = {history.LATEST}"
        f" AND sync_decisions.kind IN ('{Kind.SKIP}', '{Kind.CONFLICT}')"
        " AND request_id IS NULL AND title NOT NULL"
        f" AND (jellyfin_id = :hex OR {_named(connection)})"
        " ORDER BY folded(title) = :folded DESC, title LIMIT :most",
        {**_wanted(text), "most": _FEW},
    )
    for one in values(LeftOut, rows):
        # A row that was made since, e.g. by a look at this title alone, is found as a row.
        if not _tracked(connection, one.media_type, None, None, one.jellyfin_id):
            yield one


def _deleted(connection: sqlite3.Connection, text: str) -> Iterator[DeletedTitle]:
    """What the tracker's own log tells of titles that have no row any more, the newest first."""
    there = requests.columns(connection, "deletion_logs")
    if not {"source", "media_type", "initiated_at", "tmdb_id", "tvdb_id"} <= there:
        return
    item, by = (
        name if name in there else "NULL" for name in ("jellyfin_id", "deleted_by_username")
    )
    rows = connection.execute(
        f"SELECT tmdb_id, tvdb_id, id, title, media_type, {item}, source, {by}, initiated_at"
        f" FROM deletion_logs WHERE {_named(connection)} OR tmdb_id = :number OR tvdb_id = :number"
        f" OR lower(replace({item}, '-', '')) = :hex ORDER BY id DESC LIMIT :most",
        {**_wanted(text), "most": _MAX},
    )
    for tmdb, tvdb, *known in rows:
        one = DeletedTitle(*known)
        if not _tracked(connection, one.media_type, tmdb, tvdb, one.jellyfin_id):
            yield replace(one, removal=_removal(connection, one.id))


def _tracked(connection: sqlite3.Connection, media_type: str | None, *ids: object) -> bool:
    found = connection.execute(
        "SELECT 1 FROM requests WHERE media_type = ?"
        " AND (tmdb_id = ? OR tvdb_id = ? OR jellyfin_id = ?) LIMIT 1",
        (media_type, *(value or None for value in ids)),
    )
    return found.fetchone() is not None


def _removal(connection: sqlite3.Connection, log: int) -> Removal | None:
    """Who left this entry in the log, if it was a run of ours."""
    rows = connection.execute(
        "SELECT run_id, reason FROM sync_audit WHERE action = 'title.removed'"
        " AND json_extract(after, '$.deletion_log_id') = ? ORDER BY at DESC LIMIT 1",
        (log,),
    )
    return first(Removal, rows)


def deletion(connection: Connection, finding: Finding) -> int | None:
    """The entry of the tracker's log by which a title of the library is left out."""
    logs = [one for one in requests.deletions(connection) if one.media_type == finding.media_type]
    item, name = finding.jellyfin_id, folded(finding.title)
    by_item = (one.id for one in logs if item and one.jellyfin_id == item)
    by_title = (one.id for one in logs if folded(one.title) == name)
    return next(by_item, None) or next(by_title, None)
