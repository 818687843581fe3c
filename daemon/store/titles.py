"""What is known of single titles: finding them, and explaining one, tracked or not."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from daemon.columns import COLUMNS
from daemon.domain import SYNC_USER, Value
from daemon.store import attention, evidence, history, instance_ids, requests
from daemon.store.attention import Finding
from daemon.store.database import Connection
from daemon.store.rows import Timestamp, columns, first, values

_MAX: Final = 100
_FEW: Final = 10
_DIGITS: Final = 19
_TITLE: Final = (
    *("id", "state", "requested_by", "created_at", "state_changed_at", "available_at"),
    *(column.name for column in COLUMNS if not column.long),
)
_MOMENTS: Final = 30


# --- finding ---------------------------------------------------------------------------------
_OF_ANOTHER: Final = (
    "action = 'title.undone' AND IFNULL(json_extract(after, '$.request_id') <> ?, 0)"
)
"""A removed row that came back under another number, because this one was given away."""


class Hit(NamedTuple):
    """A row that was found.

    Attributes:
        by: what of it was looked for, e.g. "title" or "TMDB id".
    """

    request_id: int
    by: str


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


def search(connection: sqlite3.Connection, text: str) -> list[Hit]:
    """The rows that a title or one of their ids means, the likeliest first."""
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(requests)")}
    ids = [one for one in _IDS if "imdb_id" in columns or "imdb_id" not in one[0]]
    place = " ".join(f"WHEN {term} THEN {at}" for at, (term, _) in enumerate(ids))
    rows = connection.execute(
        f"SELECT id, CASE {place} ELSE {len(ids)} END AS place FROM requests"
        f" WHERE {' OR '.join(term for term, _ in ids)} OR {_named(connection)}"
        " ORDER BY place, folded(title) = :folded DESC, title LIMIT :most",
        {**_wanted(text), "most": _MAX},
    )
    return [Hit(number, ids[at][1] if at < len(ids) else "title") for number, at in rows]


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
    wanted = folded(text) or text
    return {
        "number": number,
        "text": text.lower(),
        "hex": text.replace("-", "").lower(),
        "folded": wanted,
        "pattern": like(wanted),
    }


def like(text: str) -> str:
    """A pattern for whatever holds the text; a backslash is its escape."""
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, "\\" + sign)
    return f"%{text}%"


# --- a row -----------------------------------------------------------------------------------


class _Birth(NamedTuple):
    """Where a row's own story begins; its number may have been another title's before.

    Attributes:
        seq: of the audit; what is above it is the row's.
        run_id: of the first run that may have decided about it.
        at: nothing from before it is the row's, as ISO text.
    """

    seq: int = 0
    run_id: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """How often, and for how many hours at least, complete readings did not show a title."""

    sightings: int
    waited_hours: float


@dataclass(frozen=True, slots=True)
class InstanceTitle:
    """A Radarr or Sonarr that has a title; the primary one goes by its service's own name.

    Attributes:
        number: the instance's own; it says nothing of any other instance.
        url: of the title there, for people.
    """

    name: str
    number: Value
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PastDecision:
    """What a run decided about a title."""

    run_id: int
    kind: str
    reason: str
    details: str | None
    started_at: Timestamp
    outcome: str


@dataclass(frozen=True, slots=True)
class PastEvent:
    """What the audit has of a title."""

    at: Timestamp
    action: str
    actor_name: str
    run_id: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that wrote a value, and when."""

    run_id: int | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class SeasonCount:
    """How many episodes of a season the tracker knows of, and how many of them are available."""

    season: int
    have: int
    total: int


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """What the tracker's own timeline has of a title."""

    timestamp: str
    service: str
    event_type: str
    state: str
    details: str | None


@dataclass(frozen=True, slots=True)
class TitleFacts:
    """What is known of a tracked title.

    Attributes:
        tracked: its row, by column.
        checked: when the library was last read as a whole.
        decisions: of runs, about the row or its item as a whole, the newest first.
        history: of the audit, the newest first.
        origins: by column, the run that wrote the value that stands there now.
    """

    tracked: Mapping[str, Value]
    seen: bool = False
    library: str | None = None
    missing: Missing | None = None
    missing_since: str | None = None
    checked: str | None = None
    instances: Sequence[InstanceTitle] = ()
    decisions: Sequence[PastDecision] = ()
    history: Sequence[PastEvent] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    seasons: Sequence[SeasonCount] = ()
    timeline: Sequence[TimelineEvent] = ()
    needs: Sequence[Finding] = ()

    @property
    def jellyfin_id(self) -> str | None:
        """The item in Jellyfin that the row names."""
        found = self.tracked.get("jellyfin_id")
        return None if found is None else str(found)


def facts(connection: Connection, request_id: int) -> TitleFacts | None:
    """Everything that the file knows of one row; None if there is no such row."""
    there = requests.columns(connection)
    names = [name for name in _TITLE if name in there]
    row = connection.execute(
        f"SELECT {', '.join(f'requests.{name}' for name in names)}, {', '.join(evidence.COLUMNS)}"
        f" FROM requests {evidence.SEEN} WHERE requests.id = ?",
        (request_id,),
    ).fetchone()
    if row is None:
        return None
    seen, library, *absence = row[len(names) :]
    missing = evidence.absence(absence, connection.clock.moment())
    tracked = {
        name: None if value == "" else value for name, value in zip(names, row, strict=False)
    }
    birth = _birth(connection, request_id, tracked)
    return TitleFacts(
        tracked,
        bool(seen),
        library,
        missing and Missing(missing.sightings, round(missing.waited.total_seconds() / 3600, 1)),
        missing and missing.since.isoformat(),
        history.read_as_a_whole(connection),
        [*_instances(connection, request_id, tracked)],
        _decisions(connection, request_id, tracked, birth),
        _history(connection, request_id, birth),
        _origins(connection, request_id, tracked, birth),
        _seasons(connection, request_id),
        _timeline(connection, request_id),
        attention.of_row(connection, request_id),
    )


def _instances(
    connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value]
) -> Iterator[InstanceTitle]:
    """Which Radarrs and Sonarrs have it, the primary ones first, whose numbers the row holds."""
    for name in ("Radarr", "Sonarr"):
        if (number := tracked.get(f"{name.lower()}_id")) is not None:
            yield InstanceTitle(name, number)
    for name, numbers in instance_ids.known(connection, [request_id]).items():
        yield InstanceTitle(name, numbers[request_id])


def _birth(connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value]) -> _Birth:
    """By its addition where we made it; by its own age where the tracker did.

    A row of ours is as old as its file says, which may be long before it was made.
    """
    gone, added = _gone(connection, request_id), _added(connection, request_id)
    made = "" if tracked["requested_by"] == SYNC_USER else _iso(tracked["created_at"])
    return _Birth(max(gone.seq, added.seq), max(gone.run_id, added.run_id), made)


def _gone(connection: sqlite3.Connection, number: int) -> _Birth:
    """Behind the latest removal of a row of this number that was not taken back."""
    rows = connection.execute(
        "SELECT seq, run_id, action FROM sync_audit WHERE target = ? AND (action IN"
        " ('title.removed', 'title.merged') OR action = 'title.undone' AND"
        " (reason LIKE 'title.removed%' OR reason LIKE 'title.merged%'))"
        f" AND NOT ({_OF_ANOTHER}) ORDER BY seq DESC",
        (f"request {number}", number),
    )
    back = 0
    for seq, run_id, action in rows:
        if action == "title.undone":
            back += 1
        elif back:
            back -= 1
        else:
            return _Birth(seq, run_id + 1)
    return _Birth()


def _added(connection: sqlite3.Connection, number: int) -> _Birth:
    """At the latest addition of a row of this number; one event tells of a whole batch."""
    row = connection.execute(
        "SELECT seq, run_id FROM sync_audit WHERE action = 'titles.added' AND EXISTS"
        " (SELECT 1 FROM json_each(after, '$.request_ids') WHERE value = ?)"
        " ORDER BY at DESC LIMIT 1",
        (number,),
    ).fetchone()
    return _Birth(*row) if row else _Birth()


def _iso(text: object) -> str:
    """A time of the tracker's as the audit writes it; "" where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return ""
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="microseconds")


def _decisions(
    connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value], birth: _Birth
) -> list[PastDecision]:
    """What runs decided about the row, or about its item as a whole."""
    rows = connection.execute(
        "SELECT run_id, sync_decisions.kind, reason, details, started_at, outcome"
        " FROM sync_decisions JOIN sync_runs ON sync_runs.id = run_id"
        " WHERE request_id = ? AND run_id >= ? AND IFNULL(ended_at, '9') >= ?"
        " OR request_id IS NULL AND jellyfin_id = ? ORDER BY run_id DESC, seq DESC LIMIT 10",
        (request_id, birth.run_id, birth.at, tracked["jellyfin_id"]),
    )
    return values(PastDecision, rows)


def _history(connection: sqlite3.Connection, request_id: int, birth: _Birth) -> list[PastEvent]:
    rows = connection.execute(
        f"SELECT {columns(PastEvent)} FROM sync_audit WHERE target = ? AND seq > ? AND at >= ?"
        f" AND NOT ({_OF_ANOTHER}) ORDER BY seq DESC LIMIT 10",
        (f"request {request_id}", birth.seq, birth.at, request_id),
    )
    return values(PastEvent, rows)


def _origins(
    connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value], birth: _Birth
) -> dict[str, Origin]:
    """By column, the run that wrote the value that stands there now, as far as that is known."""
    rows = connection.execute(
        "SELECT run_id, at, after FROM sync_audit WHERE target = ? AND seq > ? AND at >= ?"
        " AND after NOT NULL ORDER BY seq DESC LIMIT ?",
        (f"request {request_id}", birth.seq, birth.at, _MAX),
    )
    found: dict[str, Origin] = {}
    for run_id, at, after in rows:
        for name, value in json.loads(after).items():
            if tracked.get(name, ()) == value:
                found.setdefault(name, Origin(run_id, at))
    return found


def _seasons(connection: sqlite3.Connection, request_id: int) -> list[SeasonCount]:
    rows = connection.execute(
        "SELECT season_number, SUM(state = 'AVAILABLE'), COUNT(*) FROM episodes"
        " WHERE request_id = ? GROUP BY 1 ORDER BY 1",
        (request_id,),
    )
    return values(SeasonCount, rows)


def _timeline(connection: sqlite3.Connection, request_id: int) -> list[TimelineEvent]:
    rows = connection.execute(
        f"SELECT {columns(TimelineEvent)} FROM timeline_events WHERE request_id = ?"
        " ORDER BY timestamp DESC, id DESC LIMIT ?",
        (request_id, _MOMENTS),
    )
    return values(TimelineEvent, rows)


# --- what is not tracked ---------------------------------------------------------------------


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
        f" WHERE run_id = {history.LATEST} AND sync_decisions.kind IN ('skip', 'conflict')"
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
