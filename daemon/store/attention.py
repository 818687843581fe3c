"""Findings that need attention, and which of them are ignored."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from daemon.domain import DISTRUSTED, Absence, HeldKind, Outcome, RemovalMode, RemovalPolicy
from daemon.pending import Attention
from daemon.reasons import REASONS, Action, FindingKind, Kind, Meaning, Reason, words
from daemon.store import audit, evidence, history, plans, stuck
from daemon.store.audit import AuditEvent
from daemon.store.database import Connection, Transaction
from daemon.store.plans import HeldPart, PlanOf

_MAX: Final = 100
_NEVER_IGNORED: Final = frozenset(
    {FindingKind.HELD, FindingKind.LEAVING, FindingKind.PROBLEM, FindingKind.SERVER}
)
"""A title that may go, or one that could not be read, is nothing to look away from."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs, or may soon need, attention.

    Attributes:
        request_id: the tracked row, if it is about one alone.
        what: what is so, in plain words.
        todo: what to do about it.
        jellyfin_id: the item that it was found at, if it was at one.
        action: what an admin can have done about it, e.g. "merge"; "" where that is nothing.
        request_ids: all rows that it is about.
        subject: what it is about where that is neither a row nor an item.
        reason: what has to stay the same for it to stay ignored; `what` itself unless that grows.
        target: what it is about, as the audit names it.
    """

    kind: FindingKind
    title: str
    request_id: int | None
    what: str
    todo: str
    jellyfin_id: str | None = None
    media_type: str | None = None
    action: str = ""
    request_ids: tuple[int, ...] = ()
    subject: str = ""
    reason: str = field(default="", repr=False)
    target: str = field(init=False)

    def __post_init__(self) -> None:
        row = "" if self.request_id is None else f"request {self.request_id}"
        item = "" if self.jellyfin_id is None else self._item
        object.__setattr__(self, "reason", self.reason or self.what)
        object.__setattr__(self, "target", row or item or self.subject or "library")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target, and how version 1.0 named it."""
        return (self.target,) if self.jellyfin_id is None else (self.target, self._item)

    @property
    def _item(self) -> str:
        return f"item {self.jellyfin_id}"

    @property
    def ignorable(self) -> bool:
        """Whether somebody may ignore it."""
        return self.kind not in _NEVER_IGNORED


def findings(
    connection: Connection, policy: RemovalPolicy, *, ignored: bool = False
) -> list[Finding]:
    """The open findings, most urgent first, each kind capped; or the ignored ones.

    An ignored finding counts again once its reason changes.
    """
    rows = connection.execute("SELECT kind, target, reason FROM sync_ignored").fetchall()
    known, most = {(*row,) for row in rows}, _MAX + len(rows)
    found = [
        *_held(connection),
        *_server(connection),
        *_unread(connection),
        *_on_the_way(connection),
        *_leaving(connection, policy),
        *_kept(connection),
        *_decided(connection, most),
        *_without_ids(connection, most),
        *_copies(connection),
    ]
    return [one for one in found if _is_among(one, known) is ignored]


def _is_among(one: Finding, known: set[tuple[Any, ...]]) -> bool:
    return any((one.kind, target, one.reason) in known for target in one.targets)


def ignore(transaction: Transaction, finding: Finding, event: AuditEvent) -> None:
    """Ignore a finding, as long as its reason stays the same."""
    unignore(transaction, finding, event)
    at, by = transaction.clock.now().isoformat(), event.actor.name
    transaction.execute(
        "INSERT INTO sync_ignored (kind, target, reason, at, by) VALUES (?, ?, ?, ?, ?)",
        (finding.kind, finding.target, finding.reason, at, by),
    )


def unignore(transaction: Transaction, finding: Finding, event: AuditEvent) -> None:
    """Stop ignoring it."""
    transaction.executemany(
        "DELETE FROM sync_ignored WHERE kind = ? AND target = ?",
        [(finding.kind, target) for target in finding.targets],
    )
    audit.append(transaction, event)


def confirm(
    transaction: Transaction, kind: str, target: str, event: AuditEvent, *, only: bool = False
) -> None:
    """Store an admin's confirmation; `only` replaces earlier ones of that kind."""
    if only:
        transaction.execute("DELETE FROM sync_confirmed WHERE kind = ?", (kind,))
    transaction.execute(
        "INSERT OR REPLACE INTO sync_confirmed (kind, target, at, by) VALUES (?, ?, ?, ?)",
        (kind, target, transaction.clock.now().isoformat(), event.actor.name),
    )
    audit.append(transaction, event)


def forget(transaction: Transaction, kind: str, event: AuditEvent) -> None:
    """Forget what was said of a kind."""
    transaction.execute("DELETE FROM sync_confirmed WHERE kind = ?", (kind,))
    audit.append(transaction, event)


def confirmed_server(connection: sqlite3.Connection) -> str | None:
    """Id of the known Jellyfin server, set by the first run or an admin."""
    row = connection.execute("SELECT target FROM sync_confirmed WHERE kind = 'server'").fetchone()
    return None if row is None else str(row[0])


_HELD: Final = {
    HeldKind.REMOVE: (
        "it would be removed",
        "approve or discard plan {}; if a disk is away, bring it back instead",
    ),
    HeldKind.UNLINK: (
        "its Radarr or Sonarr id would be unlinked",
        "approve or discard plan {}; if that list is to come back, let it come back first",
    ),
}


def _held(connection: sqlite3.Connection) -> Iterator[Finding]:
    """One for each library and reason of the plan that waits for an admin."""
    plan = plans.standing(connection)
    if plan is None or plan.kept:
        return
    for part in plans.parts(connection, plan.run_id)[:_MAX]:
        what, todo = _HELD[part.kind]
        told = part.evidence.removeprefix(f"{part.subject} ")
        told = f"{what}: {part.why}" if part.number == 1 else told
        yield _of_part(FindingKind.HELD, plan, part, told, todo.format(plan.run_id))


def _kept(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What an admin keeps though it is missing."""
    plan = plans.standing(connection)
    if plan is None or not plan.kept:
        return
    since = f" since {plan.settled_at[:16]}" if plan.settled_at else ""
    what = f"kept by {plan.settled_by}{since}, until others are missing, too"
    for part in plans.parts(connection, plan.run_id)[:_MAX]:
        if part.kind is HeldKind.REMOVE:
            todo = "nothing; or bring back what is missing"
            yield _of_part(FindingKind.KEPT, plan, part, what, todo)


def _of_part(kind: FindingKind, plan: PlanOf, part: HeldPart, what: str, todo: str) -> Finding:
    title, row = (part.title, part.first) if part.number == 1 else (part.subject, None)
    return Finding(kind, title, row, what, todo, subject=f"plan {plan.run_id} {title}")


def _server(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Another Jellyfin server than the known one, unless confirmed since."""
    number, result = _latest(connection, *history.DECIDED)
    server = str(result.get("server") or "")
    right = confirmed_server(connection)
    if result.get("server_known", True) or not server or right == server:
        return
    before = f" ({right})" if right else ""
    what = f"Jellyfin's address leads to another server ({server}) than before{before}; nothing is"
    what = f"{what} removed or relinked"
    todo = "correct the address, or confirm that this server is the right one"
    kind, run, subject = FindingKind.SERVER, f"run {number}", f"server {server}"
    yield Finding(kind, run, None, what, todo, action=Action.CONFIRM, subject=subject)


def _unread(connection: sqlite3.Connection) -> list[Finding]:
    """Problems of the latest full run, including broken items."""
    number, result = _latest(connection, *history.DECIDED, Outcome.FAILED)
    details = result.get("error_details", ())
    if not result.get("server_known", True):  # which is a finding of its own
        own = {gap["detail"] for gap in result.get("gaps", ()) if gap["kind"] == DISTRUSTED}
        details = [one for one in details if one not in own]
    todo = "fix what it names; the next full run checks it again"
    return [
        Finding(FindingKind.PROBLEM, f"run {number}", None, str(one), todo)
        for one in details[:_MAX]
    ]


def _on_the_way(connection: sqlite3.Connection, row: int | None = None) -> list[Finding]:
    """Titles on their way that are blocked or stuck, in the words of the services."""
    groups: dict[tuple[object, ...], list[tuple[Attention, str]]] = {}
    for call, since in stuck.standing(connection, row):
        subject = call.row_id or call.request_id or (call.service, call.title)
        groups.setdefault((not call.kind.blocks, call.row_id, subject), []).append((call, since))
    return [*map(_call, groups.values())][:_MAX]


def _call(group: Sequence[tuple[Attention, str]]) -> Finding:
    """What is said of one title, or of one service, as one finding."""
    calls = [call for call, _ in group]
    first = calls[0]
    since = min(at for _, at in group)[:16].replace("T", " ")
    said = "; ".join(f"{one.service}: {one.sentence}" for one in calls)
    number = f"request {first.request_id} of Seerr" if first.request_id else ""
    return Finding(
        FindingKind.BLOCKED if first.kind.blocks else FindingKind.STUCK,
        first.title or number or first.service,
        first.row_id,
        f"{said} (since {since} UTC)",
        "; ".join(dict.fromkeys(one.kind.todo for one in calls)),
        action=next((one.kind.action for one in calls if one.kind.action), ""),
        request_ids=() if first.row_id is None else (first.row_id,),
        subject=number or " ".join(filter(None, (first.service, first.title))),
        reason=stuck.reasons(calls),
    )


def _copies(connection: sqlite3.Connection) -> list[Finding]:
    """How many duplicate items the latest full run skipped."""
    number, result = _latest(connection, *history.DECIDED)
    copies = result.get("skip_reasons", {}).get(Reason.DUPLICATE, 0)
    what = f"items in Jellyfin that are further copies of tracked titles: {copies:,}"
    todo = "nothing if several versions are meant; else delete or merge them in Jellyfin"
    return [Finding(FindingKind.DUPLICATES, f"run {number}", None, what, todo)] if copies else []


def _latest(connection: sqlite3.Connection, *outcomes: Outcome) -> tuple[int, dict[str, Any]]:
    """The latest full run with these outcomes, and its result; 0 and {} if there is none."""
    run = history.latest_full(connection, *outcomes)
    return (run.id, run.result or {}) if run else (0, {})


def _leaving(connection: Connection, policy: RemovalPolicy) -> Iterator[Finding]:
    """Titles that are missing and wait for more evidence, except held and kept ones."""
    plan = plans.standing(connection)
    rows = connection.execute(
        f"SELECT requests.title, requests.id, {', '.join(evidence.COLUMNS[2:])}"
        " FROM sync_absences JOIN sync_titles USING (request_id)"
        " JOIN requests ON requests.id = sync_titles.request_id"
        " AND requests.created_at = sync_titles.created_at"
        " WHERE NOT EXISTS (SELECT 1 FROM sync_held WHERE sync_held.run_id = ?"
        "  AND sync_held.request_id = requests.id AND (? OR kind = 'remove'))"
        " ORDER BY since LIMIT ?",
        (plan and plan.run_id, bool(plan and not plan.kept), _MAX),
    )
    for title, number, *columns in rows:
        if (missing := evidence.absence(columns, connection.clock.moment())) is not None:
            listings = "listing" if missing.sightings == 1 else "listings"
            what = f"nothing to play of it in {missing.sightings} complete {listings} since"
            what = f"{what} {missing.since:%Y-%m-%d %H:%M} UTC; {_countdown(missing, policy)}"
            todo = "nothing if it was deleted; else see why Jellyfin does not show it"
            yield Finding(FindingKind.LEAVING, title, number, what, todo)


def _countdown(missing: Absence, policy: RemovalPolicy) -> str:
    if policy.mode is RemovalMode.OFF:
        return "it stays, as removals are switched off"
    more, left = policy.outstanding(missing.sightings, missing.waited)
    end = "queued for approval" if policy.mode is RemovalMode.ASK else "removed"
    return f"{end} after {more} more, {left.total_seconds() / 3600:.0f} h from now at the earliest"


_URGENCY: Final = {reason: at for at, reason in enumerate(REASONS)}
_OPEN: Final = f"kind IN ('{Kind.CONFLICT}', '{Kind.SKIP}', '{Kind.DOUBLE}')"
_OTHERS: Final = re.compile(r"requests ([0-9, ]+)$")
_NAME: Final = "(SELECT title FROM requests WHERE id = request_id)"


class _Row(NamedTuple):
    """A decision that needs attention; `tracked` is the current title of its row."""

    reason: str
    media_type: str | None
    title: str | None
    request_id: int | None
    details: str | None
    jellyfin_id: str | None
    tracked: str | None


_COLUMNS: Final = ", ".join((*_Row._fields[:-1], _NAME))


def _decided(connection: sqlite3.Connection, most: int) -> list[Finding]:
    """Open decisions of the latest full run."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM ("
        "SELECT *, ROW_NUMBER() OVER (PARTITION BY reason ORDER BY title) AS place"
        f" FROM sync_decisions WHERE run_id = {history.LATEST} AND {_OPEN})"
        " WHERE place <= ? ORDER BY reason, place",
        (most,),
    )
    found = _findings(connection, [_Row(*row) for row in rows])
    if plans.open_plan(connection) is not None:  # which tells of them
        found = (one for one in found if one.kind is not FindingKind.UNLINK_HELD)
    return [*dict.fromkeys(found)]


def of_row(connection: sqlite3.Connection, request_id: int) -> list[Finding]:
    """What the latest full run could not settle about one row, or a pass called a person for."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM sync_decisions WHERE run_id = {history.LATEST}"
        f" AND {_OPEN} AND (request_id = ? OR kind <> '{Kind.SKIP}')",
        (request_id,),
    )
    found = _findings(connection, [_Row(*row) for row in rows])
    decided = dict.fromkeys(one for one in found if request_id in one.request_ids)
    return [*_on_the_way(connection, request_id), *decided]


def _findings(connection: sqlite3.Connection, rows: Sequence[_Row]) -> Iterator[Finding]:
    for row in sorted(rows, key=lambda row: _URGENCY.get(row.reason, len(_URGENCY))):
        numbers = _numbers(row)
        least = 2 if row.reason == Reason.DOUBLE else min(1, len(numbers))
        if len(_present(connection, numbers)) < least:
            continue  # what it was about is gone meanwhile
        if row.reason == Reason.REIDENTIFIED and row.request_id is None:
            continue  # each of its rows is a finding of its own
        yield _finding(row, numbers)


def _numbers(row: _Row) -> tuple[int, ...]:
    """The rows that a decision is about."""
    details, first = row.details or "", row.request_id
    if row.reason == Reason.DOUBLE:
        return (first or 0, *map(int, re.findall("[0-9]+", details)))
    others = _OTHERS.search(details)
    if first is None and others:
        return tuple(map(int, re.findall("[0-9]+", others[1])))
    return () if first is None else (first,)


def _present(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[int]:
    select = "SELECT 1 FROM requests WHERE id = ?"
    return [one for one in numbers if connection.execute(select, (one,)).fetchone()]


def _finding(row: _Row, numbers: tuple[int, ...]) -> Finding:
    code, item = row.reason, row.jellyfin_id
    of_another_version = Meaning(code, "", FindingKind.OTHER, words(code), "look at it")
    meaning = REASONS[code].meaning if code in REASONS else of_another_version
    rows = f"requests {', '.join(map(str, numbers))}"
    details = rows if code == Reason.DOUBLE else row.details
    if code == Reason.REIDENTIFIED and details:
        details = f"{row.title}: {_OTHERS.sub('', details).removesuffix('; ')}"
    return Finding(
        meaning.finding or FindingKind.OTHER,
        row.tracked or row.title or rows,
        row.request_id,
        f"{meaning.what} ({details})" if details else meaning.what,
        meaning.todo,
        item,
        row.media_type,
        meaning.action,
        numbers,
        "" if item or not numbers else rows,
    )


def _without_ids(connection: sqlite3.Connection, most: int) -> list[Finding]:
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(requests)")}
    imdb = " AND IFNULL(imdb_id, '') = ''" if "imdb_id" in columns else ""
    rows = connection.execute(
        # The function keeps SQLite off the index of tvdb_id, which would have every film.
        "SELECT title, id FROM requests WHERE state = 'AVAILABLE'"
        " AND (tmdb_id IS NULL OR tmdb_id = '')"
        f" AND IFNULL(tvdb_id, '') = ''{imdb} ORDER BY id DESC LIMIT ?",
        (most,),
    )
    return [
        Finding(
            FindingKind.WITHOUT_IDS,
            title,
            number,
            "no provider knows it",
            "identify it in Jellyfin; the ids follow by themselves",
        )
        for title, number in rows
    ]
