"""What is known of single titles: for explaining one, and for listing those that need somebody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

from daemon.domain import Absence, RemovalMode, RemovalPolicy
from daemon.removal import outstanding
from daemon.store import evidence, plans
from daemon.store.evidence import Moment

_MOST: Final = 100
_DIGITS: Final = 19
_TITLE: Final = (
    *("id", "title", "media_type", "state", "year", "tmdb_id", "tvdb_id", "imdb_id"),
    *("jellyfin_id", "radarr_id", "sonarr_id", "requested_by", "created_at", "available_at"),
)
_DECISION: Final = ("run_id", "kind", "reason", "details", "started_at", "outcome")
_EVENT: Final = ("at", "action", "actor_name", "run_id", "reason")


class Finding(NamedTuple):
    """Something that needs, or may soon need, somebody.

    Attributes:
        kind: "held", "leaving", "conflict" and the like.
        request_id: the tracked row, if there is one.
        what: what is so, in plain words.
        todo: what to do about it.
    """

    kind: str
    title: str
    request_id: int | None
    what: str
    todo: str


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
        "decisions": _decisions(connection, request_id, tracked.get("jellyfin_id")),
        "history": _history(connection, request_id),
    }


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


def attention(connection: sqlite3.Connection, policy: RemovalPolicy, now: Moment) -> list[Finding]:
    """What needs somebody now, the most urgent first, each kind capped."""
    return [
        *_held(connection),
        *_unread(connection),
        *_leaving(connection, policy, now),
        *_decided(connection),
        *_without_ids(connection),
    ]


def _held(connection: sqlite3.Connection) -> list[Finding]:
    if (run_id := plans.open_plan(connection)) is None:
        return []
    todo = f"approve or discard plan {run_id}; if a disk is away, bring it back instead"
    return [
        Finding("held", one["title"], one["request_id"], one["why"], todo)
        for one in plans.titles(connection, run_id, _MOST)
    ]


def _unread(connection: sqlite3.Connection) -> list[Finding]:
    """What the latest full run met that was not as it should be, the broken items among it."""
    row = connection.execute(
        "SELECT id, result FROM sync_runs WHERE id = (SELECT MAX(id) FROM sync_runs"
        " WHERE kind = 'full' AND outcome IN ('ok', 'partial', 'held', 'failed'))"
    ).fetchone()
    details = json.loads(row[1]).get("error_details", ()) if row else ()
    todo = "see to what it names; the next full run tells whether it is well again"
    return [Finding("problem", f"run {row[0]}", None, str(one), todo) for one in details[:_MOST]]


def _leaving(
    connection: sqlite3.Connection, policy: RemovalPolicy, now: Moment
) -> Iterator[Finding]:
    rows = connection.execute(
        f"SELECT requests.title, requests.id, {', '.join(evidence.COLUMNS[2:])}"
        " FROM sync_absences JOIN sync_titles USING (request_id)"
        " JOIN requests ON requests.id = sync_titles.request_id"
        " AND requests.created_at = sync_titles.created_at ORDER BY since LIMIT ?",
        (_MOST,),
    )
    for title, number, *columns in rows:
        if (missing := evidence.absence(columns, now)) is not None:
            what = f"nothing to play of it in {missing.sightings} complete listings since"
            what = f"{what} {missing.since:%Y-%m-%d %H:%M} UTC; {_countdown(missing, policy)}"
            todo = "nothing if it was deleted; else see why Jellyfin does not show it"
            yield Finding("leaving", title, number, what, todo)


def _countdown(missing: Absence, policy: RemovalPolicy) -> str:
    if policy.mode is RemovalMode.OFF:
        return "it stays, as removals are switched off"
    more, left = outstanding(missing.sightings, missing.waited, policy)
    end = "put to an admin" if policy.mode is RemovalMode.ASK else "removed"
    return f"{end} after {more} more, {left.total_seconds() / 3600:.0f} h from now at the earliest"


_KINDS: Final = {
    "ids_point_to_different_titles": (
        "conflict",
        "its ids belong to different requests",
        "correct the ids in Jellyfin, or merge the requests in the tracker",
    ),
    "row_not_understood": (
        "not_understood",
        "the tracker's row has a state, type or id that is not known",
        "upgrade library-sync, or correct the row",
    ),
    "not_available": (
        "nothing_to_play",
        "Jellyfin lists it, but there is no file to play",
        "add an episode or the film, or delete its empty folder",
    ),
    "requested_seasons_incomplete": (
        "incomplete",
        "not all requested episodes are there",
        "nothing; it becomes available with the last of them",
    ),
    "still_read_by_jellyfin": (
        "being_read",
        "Jellyfin has no ids for it yet",
        "nothing, it is looked at again; if it stays, identify it in Jellyfin",
    ),
}


def _decided(connection: sqlite3.Connection) -> list[Finding]:
    """What the latest full run could not settle."""
    rows = connection.execute(
        "SELECT reason, title, request_id, details FROM sync_decisions WHERE run_id ="
        " (SELECT MAX(id) FROM sync_runs WHERE kind = 'full'"
        "  AND outcome IN ('ok', 'partial', 'held'))"
        " AND kind IN ('conflict', 'skip') ORDER BY reason, title LIMIT ?",
        (_MOST * 3,),
    )
    found = []
    for reason, title, request_id, details in rows:
        kind, what, todo = _KINDS.get(reason, (reason, reason.replace("_", " "), "look at it"))
        told = f"{what} ({details})" if details else what
        found.append(Finding(kind, title, request_id, told, todo))
    return found


def _without_ids(connection: sqlite3.Connection) -> list[Finding]:
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(requests)")}
    imdb = " AND imdb_id IS NULL" if "imdb_id" in columns else ""
    rows = connection.execute(
        # The plus keeps SQLite off the index of tvdb_id, in which every film would be looked at.
        "SELECT title, id FROM requests WHERE state = 'AVAILABLE' AND tmdb_id IS NULL"
        f" AND +tvdb_id IS NULL{imdb} ORDER BY id DESC LIMIT ?",
        (_MOST,),
    )
    return [
        Finding(
            "without_ids",
            title,
            number,
            "no provider knows it",
            "identify it in Jellyfin; the ids follow by themselves",
        )
        for title, number in rows
    ]
