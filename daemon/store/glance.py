"""What the pages show of the file, each read by an index: a page costs the same at any size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from daemon.reasons import BRIEF, UNDONE, Group, Reason
from daemon.store import history, plans, titles
from daemon.store.history import EVERY_RUN, RunFilter

STRIP: Final = 40
"""Runs that are shown at a glance."""

_LATELY: Final = 8
_LATEST: Final = 10
_JOBS: Final = {"full": "kind = 'full'", "webhook": "trigger = 'webhook'"}
_LINE: Final = (
    *("id", "trigger", "kind", "actor", "started_at", "ended_at", "outcome", "added", "updated"),
)
_IN_RESULT: Final = (*BRIEF[2:], "errors", "total_scanned")
_ENTRY: Final = (
    *("seq", "kind", "reason", "media_type", "title", "request_id", "details", "jellyfin_id"),
)
_DECIDED: Final[Mapping[str, Sequence[Reason]]] = {
    group: [reason for reason in Reason if group in reason.meaning.groups] for group in Group
}
SHOWN: Final = tuple(group for group in Group if group is not Group.ERROR)
"""Errors may name addresses and folders; what else a run came to is shown to everybody."""

_FOUND: Final = ("id", "title", "media_type", "state", "year")
_FILM: Final = (
    "(SELECT tmdb_id FROM requests WHERE id = request_id"
    " AND media_type = 'MOVIE' AND radarr_id NOT NULL)"
)
"""By which Radarr's pages know the film of a row, if it is one that Radarr has."""

_TAKEN_BACK: Final = "title.undone"


class Dashboard(NamedTuple):
    """How things stand.

    Attributes:
        lines: the newest runs, the newest first.
        full: the latest full run that came to an end of its own, with its result.
        checked: when the library was last read as a whole, as ISO text.
        plan: the plan that waits: its run, when it was made, the main reasons, and how many titles,
            of which some would be removed and the others would lose an id.
        lately: the titles that were added last.
        jobs: the newest runs that have ended, by job: full runs, and those that webhooks began.
    """

    lines: list[dict[str, Any]]
    full: dict[str, Any] | None
    checked: str | None
    plan: dict[str, Any] | None
    lately: list[dict[str, Any]]
    jobs: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions of a run.

    Attributes:
        group: one of `groups`; any other stands for the first of them that has anything.
        text: that the title must hold.
        after: only those with a higher `seq`.
        groups: those that may be shown.
    """

    group: str = ""
    text: str = ""
    after: int = 0
    limit: int = 50
    groups: tuple[Group, ...] = (*Group,)


class RunView(NamedTuple):
    """One run for people.

    Attributes:
        run: as the history has it.
        counts: of what is kept of it, by group.
        group: the wanted one.
        rows: the wanted decisions; those that changed a row say what it was before and after.
        plan: the plan that it held, without its titles; None if it held none.
        kept: whether the decisions are not forgotten yet.
        undoable: titles that can be taken back, by action; those that were already are not in it.
    """

    run: dict[str, Any]
    counts: dict[Group, int]
    group: Group
    rows: list[dict[str, Any]]
    plan: dict[str, Any] | None
    kept: bool
    undoable: dict[str, int]


def glance(connection: sqlite3.Connection) -> Dashboard:
    """How things stand now."""
    newest = lines(connection, None, STRIP)
    waiting = plans.open_plan(connection)
    return Dashboard(
        lines=newest,
        full=_latest_full(connection, ("ok", "partial", "held", "failed", "interrupted")),
        checked=(_latest_full(connection, ("ok", "partial", "held")) or {}).get("ended_at"),
        plan=None if waiting is None else _plan(connection, waiting),
        lately=_lately(connection, [line["id"] for line in newest if line["added"]]),
        jobs={name: _ended(connection, which) for name, which in _JOBS.items()},
    )


def lines(
    connection: sqlite3.Connection,
    before: int | None,
    limit: int,
    wanted: RunFilter = EVERY_RUN,
) -> list[dict[str, Any]]:
    """The newest of the wanted runs with their counts, beginning below a number."""
    where, values = wanted.where(before)
    return _lines(connection, where, (*values, limit))


def _ended(connection: sqlite3.Connection, which: str) -> list[dict[str, Any]]:
    return _lines(connection, f"{which} AND ended_at NOT NULL", (_LATEST,))


def _lines(
    connection: sqlite3.Connection, where: str, values: Sequence[object]
) -> list[dict[str, Any]]:
    paths = ", ".join(f"'$.{name}'" for name in _IN_RESULT)
    rows = connection.execute(
        f"SELECT {', '.join(_LINE)}, json_extract(result, {paths}) FROM sync_runs"
        f" WHERE {where} ORDER BY id DESC LIMIT ?",
        values,
    )
    return [_line(*row) for row in rows]


def _line(*row: Any) -> dict[str, Any]:
    *values, counts = row
    numbers = json.loads(counts) if counts else [0] * len(_IN_RESULT)
    told = {name: number or 0 for name, number in zip(_IN_RESULT, numbers, strict=True)}
    return {**dict(zip(_LINE, values, strict=True)), **told}


def _latest_full(connection: sqlite3.Connection, outcomes: Sequence[str]) -> dict[str, Any] | None:
    """By one seek for each outcome; a plain ORDER BY would walk over all the runs in between."""
    seek = "(SELECT MAX(id) FROM sync_runs WHERE kind = 'full' AND outcome = ?)"
    found = connection.execute(f"SELECT {', '.join(seek for _ in outcomes)}", [*outcomes])
    numbers = [number for number in found.fetchone() if number is not None]
    return history.head(connection, max(numbers)) if numbers else None


def _plan(connection: sqlite3.Connection, run_id: int) -> dict[str, Any] | None:
    head = plans.head(connection, run_id)
    if head is None:
        return None
    rows = connection.execute(
        "SELECT why, COUNT(*), SUM(kind = 'unlink') FROM sync_held WHERE run_id = ?"
        " GROUP BY why ORDER BY 2 DESC",
        (run_id,),
    ).fetchall()
    titles, unlinks = (sum(row[at] for row in rows) for at in (1, 2))
    counts = {"titles": titles, "removals": titles - unlinks, "unlinks": unlinks}
    return {**head, **counts, "reasons": [why for why, *_ in rows]}


def _lately(connection: sqlite3.Connection, run_ids: Iterable[int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for run_id in run_ids:
        rows = connection.execute(
            "SELECT title, media_type, request_id FROM sync_decisions"
            " WHERE run_id = ? AND kind = 'add' ORDER BY seq DESC LIMIT ?",
            (run_id, _LATELY - len(found)),
        )
        names = ("title", "media_type", "request_id")
        found += [{**dict(zip(names, row, strict=True)), "run_id": run_id} for row in rows]
        if len(found) == _LATELY:
            break
    return found


def view(connection: sqlite3.Connection, run_id: int, wanted: Wanted) -> RunView | None:
    """One run as far as it is wanted; None if there is no such run."""
    run = history.head(connection, run_id)
    if run is None:
        return None
    plan = _plan(connection, run_id)
    counts = _counts(connection, run)
    counts[Group.HELD] = plan["titles"] if plan else 0
    asked = (one for one in wanted.groups if one == wanted.group)
    nonempty = (one for one in wanted.groups if counts[one])
    group = next(asked, None) or next(nonempty, wanted.groups[0])
    read = {Group.HELD: _held, Group.RESTORED: _restored, Group.ERROR: _errors}.get(group, _decided)
    rows = read(connection, run, replace(wanted, group=group))
    kept, undoable = history.keeps(connection, run_id), _undoable(connection, run_id)
    return RunView(run, counts, group, rows, plan, kept, undoable)


def _counts(connection: sqlite3.Connection, run: Mapping[str, Any]) -> dict[Group, int]:
    """How many there are of each group, but for what is held."""
    found = connection.execute(
        "SELECT reason, COUNT(*) FROM sync_decisions WHERE run_id = ? GROUP BY reason", (run["id"],)
    )
    reasons = dict(found.fetchall())
    [restored] = connection.execute(
        "SELECT COUNT(*) FROM sync_audit WHERE run_id = ? AND action = ?", (run["id"], _TAKEN_BACK)
    ).fetchone()
    counts = {one: sum(reasons.get(reason, 0) for reason in _DECIDED[one]) for one in Group}
    return {**counts, Group.RESTORED: restored, Group.ERROR: (run["result"] or {}).get("errors", 0)}


def _decided(
    connection: sqlite3.Connection, run: Mapping[str, Any], wanted: Wanted
) -> list[dict[str, Any]]:
    reasons, run_id = _DECIDED[wanted.group], run["id"]
    rows = connection.execute(
        f"SELECT {', '.join(_ENTRY)}, {_FILM} FROM sync_decisions WHERE run_id = ? AND seq > ?"
        f" AND reason IN ({', '.join('?' * len(reasons))})"
        " AND COALESCE(title, '') LIKE ? ESCAPE '\\' ORDER BY seq LIMIT ?",
        (run_id, wanted.after, *reasons, titles.like(wanted.text), wanted.limit),
    )
    entries = [dict(zip((*_ENTRY, "tmdb_id"), row, strict=True)) for row in rows]
    changes = _changes(connection, run_id, entries)
    return [{**one, "changes": changes.get(one["request_id"], {})} for one in entries]


def _held(
    connection: sqlite3.Connection, run: Mapping[str, Any], wanted: Wanted
) -> list[dict[str, Any]]:
    names = ("request_id", "media_type", "title", "library", "why", "since", "sightings", "kind")
    rows = connection.execute(
        f"SELECT {', '.join(names)}, {_FILM} FROM sync_held WHERE run_id = ? AND request_id > ?"
        " AND title LIKE ? ESCAPE '\\' ORDER BY request_id LIMIT ?",
        (run["id"], wanted.after, titles.like(wanted.text), wanted.limit),
    )
    held = [dict(zip((*names, "tmdb_id"), row, strict=True)) for row in rows]
    return [
        {**one, "seq": one["request_id"], "kind": Group.HELD, "would": one["kind"]} for one in held
    ]


def _restored(
    connection: sqlite3.Connection, run: Mapping[str, Any], wanted: Wanted
) -> list[dict[str, Any]]:
    """What was taken back of a run; the audit has it."""
    names = ("seq", "title", "media_type", "request_id", "by", "at")
    rows = connection.execute(
        "SELECT done.seq, COALESCE(title, done.target), media_type, id, done.actor_name, done.at"
        " FROM sync_audit AS done LEFT JOIN requests"
        " ON id = IFNULL(json_extract(done.after, '$.request_id'),"
        " CAST(SUBSTR(done.target, 9) AS INTEGER))"  # what follows on "request "
        " WHERE done.run_id = ? AND done.action = ? AND done.seq > ?"
        " AND COALESCE(title, done.target) LIKE ? ESCAPE '\\' ORDER BY done.seq LIMIT ?",
        (run["id"], _TAKEN_BACK, wanted.after, titles.like(wanted.text), wanted.limit),
    )
    return [{**dict(zip(names, row, strict=True)), "kind": Group.RESTORED} for row in rows]


def _errors(_: sqlite3.Connection, run: Mapping[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """What could not be read or used, in sentences."""
    told = enumerate((run["result"] or {}).get("error_details", ()), 1)
    fits = [(seq, text) for seq, text in told if wanted.text.lower() in text.lower()]
    rows = [
        {"seq": seq, "kind": Group.ERROR, "title": text} for seq, text in fits if seq > wanted.after
    ]
    return rows[: wanted.limit]


def _changes(
    connection: sqlite3.Connection, run_id: int, entries: Iterable[Mapping[str, Any]]
) -> dict[int, dict[str, tuple[Any, Any]]]:
    """By request, what each column was and became; the audit has it."""
    targets = [f"request {one['request_id']}" for one in entries if one["kind"] == "update"]
    if not targets:
        return {}
    rows = connection.execute(
        "SELECT target, before, after FROM sync_audit WHERE run_id = ? AND before NOT NULL"
        f" AND target IN ({', '.join('?' * len(targets))}) ORDER BY seq",
        (run_id, *targets),
    )
    found: dict[int, dict[str, tuple[Any, Any]]] = {}
    for target, before, after in rows:
        was, became = json.loads(before), json.loads(after)
        pairs = {name: (old, became.get(name)) for name, old in was.items() if name in became}
        found.setdefault(int(target.removeprefix("request ")), {}).update(pairs)
    return found


def _undoable(connection: sqlite3.Connection, run_id: int) -> dict[str, int]:
    actions = (*UNDONE, _TAKEN_BACK)
    rows = connection.execute(
        "SELECT action, reason, COUNT(*) FROM sync_audit WHERE run_id = ?"
        f" AND action IN ({', '.join('?' * len(actions))})"
        " GROUP BY action, CASE action WHEN ? THEN reason END",
        (run_id, *actions, _TAKEN_BACK),
    )
    left = dict.fromkeys(UNDONE, 0)
    for action, reason, number in rows:
        undone = action == _TAKEN_BACK
        name = str(reason).partition(" ")[0] if undone else action
        left[name] = left.get(name, 0) + (-number if undone else number)
    return {name: number for name, number in left.items() if number > 0}


def found(connection: sqlite3.Connection, text: str) -> list[dict[str, Any]]:
    """The rows that a text means, the likeliest first, and what each was found by."""
    hits = titles.search(connection, text)
    select = f"SELECT {', '.join(_FOUND)} FROM requests WHERE id = ?"
    rows = ((connection.execute(select, (hit.request_id,)).fetchone(), hit.by) for hit in hits)
    return [{**dict(zip(_FOUND, row, strict=True)), "by": by} for row, by in rows if row]
