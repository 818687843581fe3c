"""What the file knows of one row: its history, and where its values come from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from daemon.columns import COLUMNS
from daemon.domain import SYNC_USER, Value
from daemon.reasons import GONE
from daemon.store import (
    attention,
    evidence,
    history,
    instance_ids,
    on_the_way,
    plans,
    requests,
)
from daemon.store.attention import Finding
from daemon.store.database import Connection
from daemon.store.on_the_way import OnTheWay
from daemon.store.plans import PlanOf
from daemon.store.rows import Timestamp, columns, values

_MAX: Final = 100
_FEW: Final = 10
_DIGITS: Final = 19
_TITLE: Final = (
    *("id", "state", "requested_by", "created_at", "state_changed_at", "available_at"),
    *(column.name for column in COLUMNS if not column.long),
)
_MOMENTS: Final = 30
_OF_ANOTHER: Final = (
    "action = 'title.undone' AND IFNULL(json_extract(after, '$.request_id') <> ?, 0)"
)
"""A removed row that came back under another number, because this one was given away."""


class _Birth(NamedTuple):
    """Where a row's own history begins; its number may have been reused.

    Attributes:
        seq: of the audit; what is above it is the row's.
        run_id: of the first run that may have decided about it.
        at: when it begins, as ISO text.
    """

    seq: int = 0
    run_id: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """In how many complete readings, and for how many hours at least, a title is missing."""

    sightings: int
    waited_hours: float


@dataclass(frozen=True, slots=True)
class InstanceTitle:
    """A Radarr or Sonarr that has a title; the primary one goes by its service's own name.

    Attributes:
        number: the instance's own id, meaningless for any other instance.
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
    """An entry of the tracker's timeline."""

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
        pending: where it is on its way, if it is requested and followed.
        held: the latest plan that it was held in, while that still says something of it.
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
    pending: OnTheWay | None = None
    held: PlanOf | None = None

    @property
    def jellyfin_id(self) -> str | None:
        """The item in Jellyfin that the row names."""
        found = self.tracked.get("jellyfin_id")
        return None if found is None else str(found)


def facts(connection: Connection, request_id: int) -> TitleFacts | None:
    """Everything known about one row; None if there is no such row."""
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
        on_the_way.of_row(connection, request_id),
        plans.of_row(connection, request_id) if missing else None,
    )


def _instances(
    connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value]
) -> Iterator[InstanceTitle]:
    """The instances that have it, the primary ones (whose ids the row holds) first."""
    for name in ("Radarr", "Sonarr"):
        if (number := tracked.get(f"{name.lower()}_id")) is not None:
            yield InstanceTitle(name, number)
    for name, numbers in instance_ids.known(connection, [request_id]).items():
        yield InstanceTitle(name, numbers[request_id])


def _birth(connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value]) -> _Birth:
    """From its addition if we added it, else from its own creation time.

    The creation time of a row that we added is its file's, often long before.
    """
    gone, added = _gone(connection, request_id), _added(connection, request_id)
    made = "" if tracked["requested_by"] == SYNC_USER else _iso(tracked["created_at"])
    return _Birth(max(gone.seq, added.seq), max(gone.run_id, added.run_id), made)


def _gone(connection: sqlite3.Connection, number: int) -> _Birth:
    """After the latest removal of a row of this number that was not undone."""
    marks = ", ".join("?" * len(GONE))
    rows = connection.execute(
        f"SELECT seq, run_id, action FROM sync_audit WHERE target = ? AND (action IN ({marks})"
        " OR action = 'title.undone'"
        f" AND substr(reason, 1, instr(reason || ' ', ' ') - 1) IN ({marks}))"
        f" AND NOT ({_OF_ANOTHER}) ORDER BY seq DESC",
        (f"request {number}", *GONE, *GONE, number),
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
    """At the latest addition of a row of this number; one event covers a whole batch."""
    row = connection.execute(
        "SELECT seq, run_id FROM sync_audit WHERE action = 'titles.added' AND EXISTS"
        " (SELECT 1 FROM json_each(after, '$.request_ids') WHERE value = ?)"
        " ORDER BY at DESC LIMIT 1",
        (number,),
    ).fetchone()
    return _Birth(*row) if row else _Birth()


def _iso(text: object) -> str:
    """A time of the tracker in the audit's format; "" if it is not a time."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return ""
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="microseconds")


def _decisions(
    connection: sqlite3.Connection, request_id: int, tracked: Mapping[str, Value], birth: _Birth
) -> list[PastDecision]:
    """Decisions about the row or its item."""
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
    """By column, the run that wrote its current value, if known."""
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
