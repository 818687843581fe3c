"""Search for titles, tracked or not: by name, ignoring case and accents, or by any id."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from daemon.reasons import Kind
from daemon.store import history, requests
from daemon.store.attention import Finding
from daemon.store.database import Connection
from daemon.store.rows import columns, first, values

_MAX: Final = 100
_FEW: Final = 10
_DIGITS: Final = 19


class Sort(StrEnum):
    """Orders of a list of titles."""

    NEWEST = "newest"
    TITLE = "title"
    YEAR = "year"


_ORDER: Final = {
    Sort.NEWEST: "requests.id DESC",
    Sort.TITLE: "title COLLATE NOCASE, requests.id",
    Sort.YEAR: "year DESC, requests.id DESC",
}


@dataclass(frozen=True, slots=True)
class TitleFilter:
    """Which rows; what is empty does not narrow.

    Attributes:
        text: a part of the title, a year, or any id.
        problems: only such that need somebody, or are missing.
    """

    text: str = ""
    media_type: str = ""
    state: str = ""
    library: str = ""
    problems: bool = False
    sort: Sort = Sort.NEWEST


class TitleRow(NamedTuple):
    """A row of a list of titles.

    Attributes:
        by: what of it was looked for, e.g. `TMDB id`; "" where nothing was.
        problem: somebody has to see to it, or it is missing.
    """

    id: int
    title: str
    media_type: str
    state: str
    year: int | None
    library: str | None
    by: str
    problem: bool


_COLUMNS: Final = ", ".join(f"requests.{name}" for name in TitleRow._fields[:5])
_IDS: Final = (
    ("requests.id = :number", "request number"),
    ("tmdb_id = :number", "TMDB id"),
    ("tvdb_id = :number", "TVDB id"),
    ("lower(imdb_id) = :text", "IMDb id"),
    ("lower(replace(jellyfin_id, '-', '')) = :hex", "Jellyfin id"),
    ("jellyseerr_id = :number", "request number in Seerr"),
)
"""Ids that may be looked for, the likeliest first."""

_WITH_PROBLEMS: Final = (
    "SELECT request_id FROM sync_absences"
    " UNION SELECT row_id FROM sync_attention WHERE row_id NOT NULL"
    f" UNION SELECT request_id FROM sync_decisions WHERE run_id = {history.LATEST}"
    f" AND kind IN ('{Kind.CONFLICT}', '{Kind.SKIP}', '{Kind.DOUBLE}') AND request_id NOT NULL"
)
_NAME_AND_YEAR: Final = re.compile(r"(.+?)\s+\(?([0-9]{4})\)?")

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
    """A text folded for comparison: no case, no accents, in one Unicode form."""
    apart = unicodedata.normalize("NFKD", str(text or "").casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return bare.translate(_LETTERS)


def tracked(connection: sqlite3.Connection, text: str) -> list[TitleRow]:
    """The rows that match a title or an id, best matches first."""
    return listed(connection, TitleFilter(text, sort=Sort.TITLE), 0, _MAX)


def listed(
    connection: sqlite3.Connection, wanted: TitleFilter, skip: int, limit: int
) -> list[TitleRow]:
    """Rows of the tracker, those that a text means most likely first."""
    place, by, term, order = "0", [""], "1", _ORDER[wanted.sort]
    if wanted.text:
        means = [*_means(connection)]
        whens = " ".join(f"WHEN {one} THEN {at}" for at, (one, _) in enumerate(means))
        place, by = f"CASE {whens} END", [name for _, name in means]
        term = f"({' OR '.join(one for one, _ in means)})"
        order = f"place, folded(title) = :folded DESC, {order}"
    narrowed = {
        "requests.media_type = :kind": wanted.media_type,
        "requests.state = :state": wanted.state,
        "sync_titles.library = :library": wanted.library,
        f"requests.id IN ({_WITH_PROBLEMS})": wanted.problems,
    }
    terms = " AND ".join([term, *(one for one, given in narrowed.items() if given)])
    rows = connection.execute(
        f"SELECT {_COLUMNS}, sync_titles.library, {place} AS place FROM requests"
        " LEFT JOIN sync_titles ON sync_titles.request_id = requests.id"
        f" WHERE {terms} ORDER BY {order} LIMIT :limit OFFSET :skip",
        {
            **(_wanted(wanted.text) if wanted.text else {}),
            "kind": wanted.media_type,
            "state": wanted.state,
            "library": wanted.library,
            "limit": limit,
            "skip": skip,
        },
    ).fetchall()
    troubled = _troubled(connection, [row[0] for row in rows])
    return [TitleRow(*(*row, by[at], row[0] in troubled)) for *row, at in rows]


def _troubled(connection: sqlite3.Connection, numbers: Sequence[int]) -> set[int]:
    """Those of some rows that need somebody, or are missing."""
    rows = connection.execute(
        f"SELECT value FROM json_each(?) WHERE value IN ({_WITH_PROBLEMS})", (json.dumps(numbers),)
    )
    return {number for (number,) in rows}


def libraries(connection: sqlite3.Connection) -> list[str]:
    """The folders in which titles were seen."""
    rows = connection.execute(
        "SELECT DISTINCT library FROM sync_titles WHERE library NOT NULL ORDER BY library"
    )
    return [str(library) for (library,) in rows]


def _means(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """What a text may mean, as a condition and in words; the likeliest first."""
    there = requests.columns(connection)
    for term, name in _IDS:
        if "imdb_id" in there or "imdb_id" not in term:
            yield term, name
    yield f"year = :year AND {_named(connection, ':name')}", "title and year"
    yield _named(connection), "title"
    yield "year = :number", "year"


def _named(connection: sqlite3.Connection, pattern: str = ":pattern") -> str:
    """A condition that a title contains the text; ASCII needs no function."""
    connection.create_function("folded", 1, folded, deterministic=True)
    return (
        "CASE WHEN length(title) = length(CAST(title AS BLOB)) THEN title ELSE folded(title) END"
        f" LIKE {pattern} ESCAPE '\\'"
    )


def _wanted(text: str) -> dict[str, Any]:
    """The search text in each column's format."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1
    plain = folded(text) or text
    named = _NAME_AND_YEAR.fullmatch(plain)
    return {
        "number": number,
        "text": text.lower(),
        "hex": text.replace("-", "").lower(),
        "folded": plain,
        "pattern": like(plain),
        "name": like(named[1] if named else plain),
        "year": int(named[2]) if named else -1,
    }


def like(text: str) -> str:
    """A LIKE pattern that contains the text, escaped by backslashes."""
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
    """The run that removed a row, and why."""

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
    """A title without a row: the last decision about it, and its deletion, if known."""

    title: str
    media_type: str | None
    jellyfin_id: str | None
    decision: LeftOut | None = None
    deletion: DeletedTitle | None = None


def untracked(connection: sqlite3.Connection, text: str) -> list[Untracked]:
    """Titles without a row that match a text."""
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
    """What the latest full run left out, apart from decisions about rows."""
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
    """Entries of the tracker's deletion log without a row, newest first."""
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
    """The run that wrote this entry of the log, if one did."""
    rows = connection.execute(
        "SELECT run_id, reason FROM sync_audit WHERE action = 'title.removed'"
        " AND json_extract(after, '$.deletion_log_id') = ? ORDER BY at DESC LIMIT 1",
        (log,),
    )
    return first(Removal, rows)


def deletion(connection: Connection, finding: Finding) -> int | None:
    """The entry of the deletion log that keeps a title of the library out."""
    logs = [one for one in requests.deletions(connection) if one.media_type == finding.media_type]
    item, name = finding.jellyfin_id, folded(finding.title)
    by_item = (one.id for one in logs if item and one.jellyfin_id == item)
    by_title = (one.id for one in logs if folded(one.title) == name)
    return next(by_item, None) or next(by_title, None)
