"""Queries of the pages, each by an index: a page costs the same at any size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from daemon.domain import HeldKind, Outcome
from daemon.reasons import UNDONE, Count, Group, Kind, Reason
from daemon.store import history, plans
from daemon.store.history import Line, Run
from daemon.store.plans import HeldPart, PlanState
from daemon.store.rows import page
from daemon.store.search import like

STRIP: Final = 40
"""Runs that are shown at a glance."""

_RECENTLY_ADDED: Final = 8
_LATEST: Final = 10
_JOBS: Final = {"full": "kind", "webhook": "trigger"}
_DECIDED: Final[Mapping[str, Sequence[Reason]]] = {
    group: [reason for reason in Reason if group in reason.meaning.groups] for group in Group
}
SHOWN: Final = tuple(group for group in Group if group is not Group.ERROR)
"""Errors may name addresses and folders; what else a run came to is shown to everybody."""

_FILM: Final = (
    "(SELECT tmdb_id FROM requests WHERE id = request_id"
    " AND media_type = 'MOVIE' AND radarr_id NOT NULL)"
)
"""By which Radarr's pages know the film of a row, if it is one that Radarr has."""

_TAKEN_BACK: Final = "title.undone"


class PlanSummary(NamedTuple):
    """A held plan in numbers: titles, of which some would be removed, others unlinked."""

    run_id: int
    state: str
    at: str
    settled_by: str | None
    settled_at: str | None
    titles: int
    removals: int
    unlinks: int
    reasons: list[str]
    parts: Sequence[HeldPart] = ()

    @property
    def waits(self) -> bool:
        """Whether the plan is still open."""
        return self.state == PlanState.OPEN


class AddedTitle(NamedTuple):
    """A title that a run has added."""

    title: str
    media_type: str
    request_id: int | None
    run_id: int


class Dashboard(NamedTuple):
    """What the status page shows.

    Attributes:
        lines: the newest runs, the newest first.
        full: the latest full run that has ended, with its result.
        checked: when the library was last read completely, as ISO text.
        plan: the plan that waits.
        recently_added: the titles that were added last.
        jobs: the newest finished runs by job: full runs, and those started by webhooks.
    """

    lines: list[Line]
    full: Run | None
    checked: str | None
    plan: PlanSummary | None
    recently_added: list[AddedTitle]
    jobs: dict[str, list[Line]]


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


@dataclass(frozen=True, slots=True)
class Entry:
    """One title on a run's page; fields that do not apply are None.

    Attributes:
        tmdb_id: of a film that Radarr has, which its pages know it by.
        changes: by column, the values before and after.
        would: what the plan would do to a held title.
        by: who undid the change; `at` is when.
    """

    seq: int
    kind: str
    title: str | None
    media_type: str | None = None
    request_id: int | None = None
    jellyfin_id: str | None = None
    tmdb_id: int | None = None
    reason: str = ""
    details: str | None = None
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    library: str | None = None
    why: str = ""
    since: str = ""
    sightings: int = 0
    would: str = ""
    by: str = ""
    at: str = ""


class RunView(NamedTuple):
    """One run for people.

    Attributes:
        run: as the history has it.
        counts: of what is kept of it, by group.
        group: the wanted one.
        rows: the wanted ones of the group; `more` is where the rest of them begins.
        plan: the plan that it held, without its titles; None if it held none.
        kept: whether the decisions are not forgotten yet.
        undoable: how many titles can still be undone, by action.
        cancelled_by: who cancelled the run; None if nobody did.
    """

    run: Run
    counts: dict[Group, int]
    group: Group
    rows: list[Entry]
    more: int | None
    plan: PlanSummary | None
    kept: bool
    undoable: dict[str, int]
    cancelled_by: str | None


def glance(connection: sqlite3.Connection) -> Dashboard:
    """What the status page shows now."""
    newest = history.lines(connection, limit=STRIP).rows
    waiting = plans.open_plan(connection)
    ends = (*history.DECIDED, Outcome.FAILED, Outcome.INTERRUPTED)
    return Dashboard(
        lines=newest,
        full=history.latest_full(connection, *ends),
        checked=history.read_as_a_whole(connection),
        plan=None if waiting is None else plan(connection, waiting),
        recently_added=_recently_added(
            connection, [line.id for line in newest if line.counts[Count.ADDED]]
        ),
        jobs={job: history.ended(connection, _LATEST, of, job) for job, of in _JOBS.items()},
    )


def plan(connection: sqlite3.Connection, run_id: int | None = None) -> PlanSummary | None:
    """The plan of a run, or the one that waits; None if there is none."""
    number = plans.open_plan(connection) if run_id is None else run_id
    head = None if number is None else plans.head(connection, number)
    if number is None or head is None:
        return None
    parts = plans.parts(connection, number)
    removals = sum(one.number for one in parts if one.kind is HeldKind.REMOVE)
    titles = sum(one.number for one in parts)
    reasons = [*dict.fromkeys(one.why for one in parts)]
    settled = (head.settled_by, head.settled_at)
    counts = (titles, removals, titles - removals)
    return PlanSummary(number, head.state, head.at, *settled, *counts, reasons, parts)


def _recently_added(connection: sqlite3.Connection, run_ids: Iterable[int]) -> list[AddedTitle]:
    found: list[AddedTitle] = []
    for run_id in run_ids:
        rows = connection.execute(
            "SELECT title, media_type, request_id, run_id FROM sync_decisions"
            f" WHERE run_id = ? AND kind = '{Kind.ADD}' ORDER BY seq DESC LIMIT ?",
            (run_id, _RECENTLY_ADDED - len(found)),
        )
        found += [AddedTitle(*row) for row in rows]
        if len(found) == _RECENTLY_ADDED:
            break
    return found


def view(connection: sqlite3.Connection, run_id: int, wanted: Wanted) -> RunView | None:
    """One run, filtered; None if there is no such run."""
    run = history.run(connection, run_id)
    if run is None:
        return None
    held = plan(connection, run_id)
    counts = _counts(connection, run)
    counts[Group.HELD] = held.titles if held else 0
    asked = (one for one in wanted.groups if one == wanted.group)
    nonempty = (one for one in wanted.groups if counts[one])
    group = next(asked, None) or next(nonempty, wanted.groups[0])
    read = {Group.HELD: _held, Group.RESTORED: _restored, Group.ERROR: _errors}.get(group, _decided)
    rows = read(connection, run, replace(wanted, group=group, limit=wanted.limit + 1))
    shown = page(rows, wanted.limit, lambda one: one.seq)
    kept, undoable = history.keeps(connection, run_id), _undoable(connection, run_id)
    cancelled_by = _cancelled_by(connection, run_id)
    return RunView(run, counts, group, *shown, held, kept, undoable, cancelled_by)


def _cancelled_by(connection: sqlite3.Connection, run_id: int) -> str | None:
    row = connection.execute(
        "SELECT actor_name FROM sync_audit WHERE target = ? AND action = 'run.cancelled'",
        (f"run {run_id}",),
    ).fetchone()
    return row[0] if row else None


def _counts(connection: sqlite3.Connection, run: Run) -> dict[Group, int]:
    """How many titles each group has, except the held ones."""
    found = connection.execute(
        "SELECT reason, COUNT(*) FROM sync_decisions WHERE run_id = ? GROUP BY reason", (run.id,)
    )
    reasons = dict(found.fetchall())
    [restored] = connection.execute(
        "SELECT COUNT(*) FROM sync_audit WHERE run_id = ? AND action = ?", (run.id, _TAKEN_BACK)
    ).fetchone()
    counts = {one: sum(reasons.get(reason, 0) for reason in _DECIDED[one]) for one in Group}
    return {**counts, Group.RESTORED: restored, Group.ERROR: (run.result or {}).get("errors", 0)}


def _decided(connection: sqlite3.Connection, run: Run, wanted: Wanted) -> list[Entry]:
    reasons = _DECIDED[wanted.group]
    names = "seq, kind, title, media_type, request_id, jellyfin_id"
    rows = connection.execute(
        f"SELECT {names}, {_FILM}, reason, details FROM sync_decisions WHERE run_id = ?"
        f" AND seq > ? AND reason IN ({', '.join('?' * len(reasons))})"
        " AND COALESCE(title, '') LIKE ? ESCAPE '\\' ORDER BY seq LIMIT ?",
        (run.id, wanted.after, *reasons, like(wanted.text), wanted.limit),
    )
    entries = [Entry(*row) for row in rows]
    changes = _changes(connection, run.id, entries)
    return [replace(one, changes=changes.get(one.request_id, {})) for one in entries]


def _held(connection: sqlite3.Connection, run: Run, wanted: Wanted) -> list[Entry]:
    names = ("title", "media_type", "request_id", "library", "why", "since", "sightings")
    rows = connection.execute(
        f"SELECT {', '.join(names)}, {_FILM}, kind FROM sync_held WHERE run_id = ?"
        " AND request_id > ? AND title LIKE ? ESCAPE '\\' ORDER BY request_id LIMIT ?",
        (run.id, wanted.after, like(wanted.text), wanted.limit),
    )
    named = (dict(zip((*names, "tmdb_id", "would"), row, strict=True)) for row in rows)
    return [Entry(one["request_id"], Group.HELD, **one) for one in named]


def _restored(connection: sqlite3.Connection, run: Run, wanted: Wanted) -> list[Entry]:
    """What was undone of a run, from the audit."""
    rows = connection.execute(
        "SELECT done.seq, COALESCE(title, done.target), media_type, id, done.actor_name, done.at"
        " FROM sync_audit AS done LEFT JOIN requests"
        " ON id = IFNULL(json_extract(done.after, '$.request_id'),"
        " CAST(SUBSTR(done.target, 9) AS INTEGER))"  # what follows on "request "
        " WHERE done.run_id = ? AND done.action = ? AND done.seq > ?"
        " AND COALESCE(title, done.target) LIKE ? ESCAPE '\\' ORDER BY done.seq LIMIT ?",
        (run.id, _TAKEN_BACK, wanted.after, like(wanted.text), wanted.limit),
    )
    return [
        Entry(seq, Group.RESTORED, title, kind, number, by=by, at=at)
        for seq, title, kind, number, by, at in rows
    ]


def _errors(_: sqlite3.Connection, run: Run, wanted: Wanted) -> list[Entry]:
    """The errors of a run."""
    told = enumerate((run.result or {}).get("error_details", ()), 1)
    fits = [(seq, text) for seq, text in told if wanted.text.lower() in text.lower()]
    rows = [Entry(seq, Group.ERROR, text) for seq, text in fits if seq > wanted.after]
    return rows[: wanted.limit]


def _changes(
    connection: sqlite3.Connection, run_id: int, entries: Iterable[Entry]
) -> dict[int | None, dict[str, tuple[Any, Any]]]:
    """By request, each column before and after, from the audit."""
    targets = [f"request {one.request_id}" for one in entries if one.kind == Kind.UPDATE]
    if not targets:
        return {}
    rows = connection.execute(
        "SELECT target, before, after FROM sync_audit WHERE run_id = ? AND before NOT NULL"
        f" AND target IN ({', '.join('?' * len(targets))}) ORDER BY seq",
        (run_id, *targets),
    )
    found: dict[int | None, dict[str, tuple[Any, Any]]] = {}
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
