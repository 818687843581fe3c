"""What is known of single titles: finding them, and explaining one."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from typing import Any, Final

from daemon.store import evidence
from daemon.store.evidence import Moment

_MOST: Final = 100
_DIGITS: Final = 19
_TITLE: Final = (
    *("id", "title", "media_type", "state", "year", "tmdb_id", "tvdb_id", "imdb_id"),
    *("jellyfin_id", "radarr_id", "sonarr_id", "requested_by", "created_at", "state_changed_at"),
    *("available_at", "poster_url"),
)
_DECISION: Final = ("run_id", "kind", "reason", "details", "started_at", "outcome")
_EVENT: Final = ("at", "action", "actor_name", "run_id", "reason")
_TIMELINE: Final = ("timestamp", "service", "event_type", "state", "details")
_MOMENTS: Final = 30


def search(connection: sqlite3.Connection, text: str) -> list[int]:
    """The rows that a title, a request's number or a Jellyfin id means, the likeliest first."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1
    rows = connection.execute(
        "SELECT id FROM requests WHERE id = ?1 OR lower(replace(jellyfin_id, '-', '')) = ?2"
        " OR title LIKE ?3 ESCAPE '\\'"
        " ORDER BY id = ?1 DESC, lower(title) = lower(?4) DESC, title LIMIT ?5",
        (number, text.replace("-", "").lower(), like(text), text, _MOST),
    )
    return [found for (found,) in rows]


def like(text: str) -> str:
    """A pattern for whatever holds the text; a backslash is its escape."""
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, "\\" + sign)
    return f"%{text}%"


def facts(connection: sqlite3.Connection, request_id: int, now: Moment) -> dict[str, Any] | None:
    """Everything that the file knows of one row; None if there is no such row."""
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(requests)")}
    names = [name for name in _TITLE if name in columns]
    row = connection.execute(
        f"SELECT {', '.join(f'requests.{name}' for name in names)}, {', '.join(evidence.COLUMNS)}"
        f" FROM requests {evidence.SEEN} WHERE requests.id = ?",
        (request_id,),
    ).fetchone()
    if row is None:
        return None
    seen, library, *absence = row[len(names) :]
    missing = evidence.absence(absence, now)
    tracked = dict(zip(names, row, strict=False))
    return {
        "tracked": tracked,
        "seen": bool(seen),
        "library": library,
        "missing": None if missing is None else _missing(missing.sightings, missing.waited),
        "missing_since": None if missing is None else missing.since.isoformat(),
        "checked": _checked(connection),
        "decisions": _decisions(connection, request_id, tracked.get("jellyfin_id")),
        "history": _history(connection, request_id),
        "origins": _origins(connection, request_id, tracked),
        "seasons": _seasons(connection, request_id),
        "timeline": _timeline(connection, request_id),
    }


def _checked(connection: sqlite3.Connection) -> str | None:
    """When the library was last read to its end; what is not missing was in it then."""
    row = connection.execute(
        "SELECT ended_at FROM sync_runs WHERE id = (SELECT MAX(id) FROM sync_runs"
        " WHERE kind = 'full' AND outcome IN ('ok', 'held'))"
    ).fetchone()
    return row[0] if row else None


def _missing(sightings: int, waited: timedelta) -> dict[str, Any]:
    return {"sightings": sightings, "waited_hours": round(waited.total_seconds() / 3600, 1)}


def _decisions(
    connection: sqlite3.Connection, request_id: int, jellyfin_id: str | None
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT run_id, sync_decisions.kind, reason, details, started_at, outcome"
        " FROM sync_decisions JOIN sync_runs ON sync_runs.id = run_id"
        " WHERE request_id = ? OR jellyfin_id = ? ORDER BY run_id DESC, seq DESC LIMIT 10",
        (request_id, jellyfin_id),
    )
    return [dict(zip(_DECISION, row, strict=True)) for row in rows]


def _history(connection: sqlite3.Connection, request_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"SELECT {', '.join(_EVENT)} FROM sync_audit WHERE target = ? ORDER BY seq DESC LIMIT 10",
        (f"request {request_id}",),
    )
    return [dict(zip(_EVENT, row, strict=True)) for row in rows]


def _origins(
    connection: sqlite3.Connection, request_id: int, tracked: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """By column, the run that wrote the value that stands there now, as far as that is known."""
    rows = connection.execute(
        "SELECT run_id, at, after FROM sync_audit WHERE target = ? AND after NOT NULL"
        " ORDER BY seq DESC LIMIT ?",
        (f"request {request_id}", _MOST),
    )
    found: dict[str, dict[str, Any]] = {}
    for run_id, at, after in rows:
        for name, value in json.loads(after).items():
            if name in tracked and tracked[name] == value:
                found.setdefault(name, {"run_id": run_id, "at": at})
    return found


def _seasons(connection: sqlite3.Connection, request_id: int) -> list[dict[str, int]]:
    """How many episodes the tracker knows of, and how many of them are available."""
    rows = connection.execute(
        "SELECT season_number, SUM(state = 'AVAILABLE'), COUNT(*) FROM episodes"
        " WHERE request_id = ? GROUP BY 1 ORDER BY 1",
        (request_id,),
    )
    return [{"season": number, "have": have, "total": total} for number, have, total in rows]


def _timeline(connection: sqlite3.Connection, request_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"SELECT {', '.join(_TIMELINE)} FROM timeline_events WHERE request_id = ?"
        " ORDER BY timestamp DESC, id DESC LIMIT ?",
        (request_id, _MOMENTS),
    )
    return [dict(zip(_TIMELINE, row, strict=True)) for row in rows]
