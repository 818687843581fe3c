"""Titles on their way, for people: state, since when, and what each service says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from daemon.pending import Said
from daemon.store import pending, requests, stuck
from daemon.store.rows import Timestamp

_COLUMNS: Final = (
    *("id", "title", "media_type", "year", "state", "state_changed_at", "requested_by"),
    *("created_at", "requested_seasons"),
)
_ORDER: Final = (
    "CASE state WHEN 'FAILED' THEN 0 WHEN 'DOWNLOADING' THEN 1 WHEN 'GRABBING' THEN 1"
    " WHEN 'DOWNLOADED' THEN 2 WHEN 'IMPORTING' THEN 2 WHEN 'ANIME_MATCHING' THEN 2"
    " WHEN 'APPROVED' THEN 3 ELSE 4 END, state_changed_at DESC, requests.id"
)


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """A requested title that is not in the library yet.

    Attributes:
        since: when it entered its state.
        why: a note on the state.
        progress: from 0 to 1; None where nothing is downloaded.
        speed: such as `4.8 MB/s`, as the tracker has it; `left` such as `2m 20s`.
        said: what each service says of it.
        calls: what somebody has to do about it, in the words of the services.
    """

    id: int
    title: str
    media_type: str
    year: int | None
    state: str
    since: Timestamp
    requested_by: str | None
    created_at: Timestamp
    seasons: str | None
    why: str
    progress: float | None
    speed: str | None
    left: str | None
    said: tuple[Said, ...] = ()
    calls: tuple[str, ...] = ()


def listed(connection: sqlite3.Connection, limit: int = -1) -> list[OnTheWay]:
    """All titles on their way, moving ones first; a limit of -1 means no limit."""
    calls: dict[int | None, list[str]] = {}
    for call, _ in stuck.standing(connection):
        calls.setdefault(call.row_id, []).append(f"{call.service}: {call.sentence}")
    return [*_found(connection, "state <> 'AVAILABLE'", (), limit, calls)]


def of_row(connection: sqlite3.Connection, request_id: int) -> OnTheWay | None:
    """One title on its way; None if the row is not followed."""
    told = [
        f"{call.service}: {call.sentence}" for call, _ in stuck.standing(connection, request_id)
    ]
    term = "requests.id = ? AND state <> 'AVAILABLE'"
    return next(_found(connection, term, (request_id,), 1, {request_id: told}), None)


def _found(
    connection: sqlite3.Connection,
    term: str,
    given: tuple[int, ...],
    limit: int,
    calls: dict[int | None, list[str]],
) -> Iterator[OnTheWay]:
    there = requests.columns(connection)
    names = [
        f"requests.{name}" if name in there else f"NULL AS {name}"
        for name in (*_COLUMNS, *requests.GAUGES)
    ]
    rows = connection.execute(
        f"SELECT {', '.join(names)}, followed FROM sync_pending CROSS JOIN requests"
        " ON requests.id = request_id AND requests.created_at = sync_pending.created_at"
        f" WHERE {term} ORDER BY {_ORDER} LIMIT ?",
        (*given, limit),
    )
    for *known, progress, speed, left, text in rows:
        followed = pending.followed_of(text)
        shown = (followed.why, progress, speed, left, followed.said)
        yield OnTheWay(*(*known, *shown, tuple(calls.get(known[0], ()))))
