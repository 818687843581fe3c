"""An administrator's decisions about held plans and findings.

The page, the API and the command line call these functions, so that each decision means the same
everywhere. They see to nothing themselves: they say which run does, and what the audit is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from daemon.domain import HeldKind, RemovalPolicy, Scope
from daemon.errors import NotFoundError, RefusedError
from daemon.reasons import Action, FindingKind
from daemon.store import Store, attention, audit, plans, search, titles
from daemon.store.attention import Finding
from daemon.store.audit import AuditEvent
from daemon.store.database import Transaction
from daemon.store.plans import HeldTitle, PlanState

_Write = Callable[[Transaction, AuditEvent], Any]


def _record(transaction: Transaction, event: AuditEvent) -> None:
    audit.append(transaction, event)


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of a decision.

    Attributes:
        said: the code of what was done.
        action: of its audit event, as are `target` and `reason`.
        scope: of the run that carries it out; None if none is needed.
        passes: a pass over titles on their way carries it out.
        write: stores the decision with its audit event.
    """

    said: str
    action: str
    target: str
    reason: str
    scope: Scope | None = None
    passes: bool = False
    write: _Write = _record


_Verb = Callable[[Store, Finding], Awaitable[Decided]]


async def approve(store: Store, number: int, event: AuditEvent, age: timedelta) -> Scope:
    """Approve a held plan; a full run carries out what still applies.

    Raises:
        NotFoundError: the run holds no plan.
        RefusedError: its plan is no longer open.
    """
    plan = await store.read(plans.one, number)
    await close(store, number, PlanState.APPROVED, event, age)
    held = plan.titles if plan else []
    return Scope(approved=_rows(held, HeldKind.REMOVE), unlinks=_rows(held, HeldKind.UNLINK))


def _rows(held: Iterable[HeldTitle], kind: HeldKind) -> frozenset[int]:
    return frozenset(one.request_id for one in held if one.kind == kind)


async def close(
    store: Store, number: int, state: PlanState, event: AuditEvent, age: timedelta
) -> None:
    """Discard a held plan; the same titles are not held again until they change.

    Raises:
        NotFoundError: the run holds no plan.
        RefusedError: its plan is no longer open.
    """
    if await store.read(plans.one, number) is None:
        raise NotFoundError(f"run {number} holds no plan")
    if not await store.write(plans.settle, number, state, event, age):
        raise RefusedError(f"the plan of run {number} is no longer open")


async def settle(store: Store, policy: RemovalPolicy, verb: str, kind: str, target: str) -> Decided:
    """Act on a finding.

    Raises:
        RefusedError: the finding is gone, or the action does not apply to it.
    """
    finding = await _finding(store, policy, verb, kind, target)
    if finding is None or verb not in _VERBS:
        raise RefusedError("This finding no longer exists. Nothing was done.")
    if verb not in _ALWAYS and verb != finding.action:
        raise RefusedError("This action does not apply here. Nothing was done.")
    return await _VERBS[verb](store, finding)


async def _finding(
    store: Store, policy: RemovalPolicy, verb: str, kind: str, target: str
) -> Finding | None:
    """The finding; only ignored ones can be restored, both can be rechecked."""
    for ignored in {"restore": (True,), "recheck": (False, True)}.get(verb, (False,)):
        for one in await store.read(attention.findings, policy, ignored=ignored):
            if (one.kind, one.target) == (kind, target):
                return one
    return None


async def _ignore(_: Store, finding: Finding) -> Decided:
    if not finding.ignorable:
        raise RefusedError("This cannot be ignored. Nothing was done.")
    write = partial(_of_finding, attention.ignore, finding)
    return Decided("ignored", "finding.ignored", finding.target, finding.what, write=write)


async def _restore(_: Store, finding: Finding) -> Decided:
    write = partial(_of_finding, attention.unignore, finding)
    return Decided("restored", "finding.restored", finding.target, finding.what, write=write)


def _of_finding(
    write: Callable[[Transaction, Finding, AuditEvent], None],
    finding: Finding,
    transaction: Transaction,
    event: AuditEvent,
) -> None:
    write(transaction, finding, event)


async def _recheck(store: Store, finding: Finding) -> Decided:
    jellyfin_id = finding.jellyfin_id
    if jellyfin_id is None and finding.request_id is not None:
        facts = await store.read(titles.facts, finding.request_id)
        jellyfin_id = facts.jellyfin_id if facts else None
    return look(finding.target, jellyfin_id)


def look(target: str, jellyfin_id: str | None) -> Decided:
    """Recheck one title.

    Raises:
        RefusedError: Jellyfin has no id for it.
    """
    if jellyfin_id is None:
        raise RefusedError("Jellyfin has no id for it; the next full sync looks for it.")
    return Decided("rechecked", "title.rechecked", target, "", Scope(frozenset({jellyfin_id})))


def _for_a_run(said: str, action: str, scope: Callable[[frozenset[int]], Scope]) -> _Verb:
    """Enqueue a run for the rows of the finding."""

    async def decide(_: Store, finding: Finding) -> Decided:
        rows = frozenset(finding.request_ids)
        return Decided(said, action, finding.target, finding.what, scope(rows))

    return decide


async def _withdraw(_: Store, finding: Finding) -> Decided:
    def write(transaction: Transaction, event: AuditEvent) -> None:
        for row in finding.request_ids:
            attention.confirm(transaction, "withdrawal", str(row), event)

    about = (finding.target, finding.what)
    return Decided("withdrawing", "withdrawal.approved", *about, passes=True, write=write)


async def _confirm(store: Store, finding: Finding) -> Decided:
    """Confirm that a server is the right one, or that a row is now another title."""
    about = (finding.target, finding.what)
    if finding.kind == FindingKind.SERVER:
        write = _kept("server", finding.subject.removeprefix("server "), only=True)
        return Decided("confirmed", "server.confirmed", *about, Scope(), write=write)
    if finding.kind == FindingKind.BLOCKED:
        return Decided("withdrawing", "seerr.confirmed", *about, passes=True, write=_forget_seerr)
    return await _identified(store, finding)


def _forget_seerr(transaction: Transaction, event: AuditEvent) -> None:
    """The next Seerr that answers becomes the known one."""
    attention.forget(transaction, "seerr", event)


async def _track_again(store: Store, finding: Finding) -> Decided:
    if (log := await store.read(search.deletion, finding)) is None:
        raise RefusedError("The tracker's log has no such deletion. Nothing was done.")
    reason = f"{finding.title}: {finding.what}"
    write = _kept("track_again", str(log))
    return Decided("tracking", "tracking.resumed", finding.target, reason, Scope(), write=write)


def _kept(kind: str, target: str, *, only: bool = False) -> _Write:
    def write(transaction: Transaction, event: AuditEvent) -> None:
        attention.confirm(transaction, kind, target, event, only=only)

    return write


_identified: Final = _for_a_run(
    "confirmed", "identity.confirmed", lambda rows: Scope(identified=rows)
)
_ALWAYS: Final = frozenset({Action.IGNORE, Action.RESTORE, Action.RECHECK})
_VERBS: Final[dict[str, _Verb]] = {
    Action.IGNORE: _ignore,
    Action.RESTORE: _restore,
    Action.RECHECK: _recheck,
    Action.MERGE: _for_a_run("merging", "merge.approved", lambda rows: Scope(merges=rows)),
    Action.CONFIRM: _confirm,
    Action.REMOVE: _for_a_run("removing", "removal.approved", lambda rows: Scope(approved=rows)),
    Action.UNLINK: _for_a_run("unlinking", "unlink.approved", lambda rows: Scope(unlinks=rows)),
    Action.WITHDRAW: _withdraw,
    Action.TRACK_AGAIN: _track_again,
}
