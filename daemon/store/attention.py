"""What needs somebody, and what of it somebody has chosen to ignore."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from daemon.domain import Absence, RemovalMode, RemovalPolicy, SkipReason
from daemon.removal import outstanding
from daemon.store import evidence, plans
from daemon.store.evidence import Moment

_MOST: Final = 100
_NEVER_IGNORED: Final = frozenset({"held", "leaving", "problem"})
"""A title that may go, or one that could not be read, is nothing to look away from."""


class Finding(NamedTuple):
    """Something that needs, or may soon need, somebody.

    Attributes:
        kind: "held", "leaving", "conflict" and the like.
        request_id: the tracked row, if there is one.
        what: what is so, in plain words.
        todo: what to do about it.
        jellyfin_id: the item that it was found at, if it was at one.
    """

    kind: str
    title: str
    request_id: int | None
    what: str
    todo: str
    jellyfin_id: str | None = None

    @property
    def target(self) -> str:
        """What it is about, as the audit names it."""
        if self.jellyfin_id is not None:
            return f"item {self.jellyfin_id}"
        return "library" if self.request_id is None else f"request {self.request_id}"

    @property
    def ignorable(self) -> bool:
        """Whether somebody may ignore it."""
        return self.kind not in _NEVER_IGNORED


def attention(
    connection: sqlite3.Connection, policy: RemovalPolicy, now: Moment, *, ignored: bool = False
) -> list[Finding]:
    """What needs somebody now, the most urgent first, each kind capped; or what is ignored of it.

    Whatever is ignored counts again once it is found for another reason.
    """
    rows = connection.execute("SELECT kind, target, reason FROM sync_ignored").fetchall()
    known, most = {(*row,) for row in rows}, _MOST + len(rows)
    found = [
        *_held(connection),
        *_unread(connection),
        *_leaving(connection, policy, now),
        *_decided(connection, most),
        *_without_ids(connection, most),
        *_copies(connection),
    ]
    return [one for one in found if ((one.kind, one.target, one.what) in known) is ignored]


def ignore(connection: sqlite3.Connection, finding: Finding, by: str, at: datetime) -> None:
    """Let a finding that counts count no more, as long as its reason stays the same."""
    connection.execute(
        "INSERT INTO sync_ignored (kind, target, reason, at, by) VALUES (?, ?, ?, ?, ?)",
        (finding.kind, finding.target, finding.what, at.isoformat(), by),
    )


def heed(connection: sqlite3.Connection, finding: Finding) -> None:
    """Let it count again."""
    connection.execute(
        "DELETE FROM sync_ignored WHERE kind = ? AND target = ?", (finding.kind, finding.target)
    )


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
    number, result = _latest(connection, "'ok', 'partial', 'held', 'failed'")
    details = result.get("error_details", ())
    todo = "see to what it names; the next full run tells whether it is well again"
    return [Finding("problem", f"run {number}", None, str(one), todo) for one in details[:_MOST]]


def _copies(connection: sqlite3.Connection) -> list[Finding]:
    """How many items the latest full run passed over; which ones is not kept."""
    number, result = _latest(connection, "'ok', 'partial', 'held'")
    copies = result.get("skip_reasons", {}).get(SkipReason.DUPLICATE, 0)
    what = f"items in Jellyfin that are further copies of tracked titles: {copies:,}"
    todo = "nothing if several versions are meant; else delete or merge them in Jellyfin"
    return [Finding("duplicates", f"run {number}", None, what, todo)] if copies else []


def _latest(connection: sqlite3.Connection, outcomes: str) -> tuple[int, dict[str, Any]]:
    """The latest full run that ended like that, and its result; 0 and nothing before the first."""
    row = connection.execute(
        "SELECT id, result FROM sync_runs WHERE id = (SELECT MAX(id) FROM sync_runs"
        f" WHERE kind = 'full' AND outcome IN ({outcomes}))"
    ).fetchone()
    return (row[0], json.loads(row[1])) if row else (0, {})


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
            listings = "listing" if missing.sightings == 1 else "listings"
            what = f"nothing to play of it in {missing.sightings} complete {listings} since"
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


def _decided(connection: sqlite3.Connection, most: int) -> list[Finding]:
    """What the latest full run could not settle."""
    rows = connection.execute(
        "SELECT reason, title, request_id, details, jellyfin_id FROM sync_decisions WHERE run_id ="
        " (SELECT MAX(id) FROM sync_runs WHERE kind = 'full'"
        "  AND outcome IN ('ok', 'partial', 'held'))"
        " AND kind IN ('conflict', 'skip') ORDER BY reason, title LIMIT ?",
        (most * 3,),
    )
    found = []
    for reason, title, request_id, details, jellyfin_id in rows:
        kind, what, todo = _KINDS.get(reason, (reason, reason.replace("_", " "), "look at it"))
        told = f"{what} ({details})" if details else what
        found.append(Finding(kind, title, request_id, told, todo, jellyfin_id))
    return found


def _without_ids(connection: sqlite3.Connection, most: int) -> list[Finding]:
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(requests)")}
    imdb = " AND imdb_id IS NULL" if "imdb_id" in columns else ""
    rows = connection.execute(
        # The plus keeps SQLite off the index of tvdb_id, in which every film would be looked at.
        "SELECT title, id FROM requests WHERE state = 'AVAILABLE' AND tmdb_id IS NULL"
        f" AND +tvdb_id IS NULL{imdb} ORDER BY id DESC LIMIT ?",
        (most,),
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
