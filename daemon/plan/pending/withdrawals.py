"""Withdrawal of managed rows whose request is gone. Pure.

A withdrawal is a removal. It takes a complete list from Seerr, a lookup of each request by
id, nothing on its way in any instance, two passes, and a plausible number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from daemon.domain import Fate, RemovalMode, RemovalPolicy
from daemon.pending import (
    Attention,
    AttentionKind,
    PendingMemory,
    PendingRow,
    Timer,
    Withdrawal,
)
from daemon.pipeline import SeerrStatus
from daemon.plan.pending.cases import Case, Judgement
from daemon.plan.pending.joined import Joined, kept, numbers_of
from daemon.plan.pending.precedence import DOUBT, is_confirmed, seen

TIMER: Final = "withdrawn"
_GONE: Final = frozenset({None, SeerrStatus.DECLINED})


class Missing(NamedTuple):
    """A row without an open request, according to this pass.

    Attributes:
        timer: in how many passes, and for how long.
        why: in plain words.
    """

    row: PendingRow
    timer: Timer
    why: str


def missing(row: PendingRow, case: Case, judged: Judgement, joined: Joined) -> Missing | None:
    """The evidence that a row's requests are gone; None if uncertain."""
    seerr, numbers = joined.pipeline.seerr, numbers_of(row)
    silent = joined.places.silent(row.media_type, row.ids)
    proven = joined.listed and not seerr.distrust and not silent
    if case.requests or kept(row).restored or not (proven and numbers) or judged.held:
        return None
    left = numbers - joined.reused(row)
    if not all(seerr.asked.get(one, SeerrStatus.APPROVED) in _GONE for one in left):
        return None
    why = "its request is gone or declined"
    searching = [view.service for view in judged.views if view.title.monitored]
    if searching:
        why = f"{why}; {searching[0]} is still searching"
    return Missing(row, seen(kept(row).timers.get(TIMER), ""), why)


def judge_missing(
    found: Sequence[Missing], followed: int, memory: PendingMemory, policy: RemovalPolicy
) -> Iterator[tuple[Withdrawal, Attention | None]]:
    """Decide about all missing rows together.

    Args:
        found: the missing rows.
        followed: how many managed rows there are.
        memory: approvals, and recent withdrawals.
        policy: thresholds.
    """
    open_ = [one for one in found if one.row.id not in memory.approved]
    confirmed = [one for one in open_ if is_confirmed(one.timer, DOUBT)]
    limit = policy.total_limit(followed)
    against = ""
    if len(open_) > limit or memory.withdrawn_lately + len(confirmed) > limit:
        against = f"{len(open_)} of {followed} requests are gone at once"
    elif policy.mode is RemovalMode.ASK:
        against = "removals are to be approved"
    for one in found:
        if one not in open_:
            yield Withdrawal(one.row.id, Fate.REMOVE, "an admin approved it"), None
        elif one not in confirmed or policy.mode is RemovalMode.OFF:
            yield Withdrawal(one.row.id, Fate.WATCH, one.why), None
        elif against:
            sentence = f"{one.why}; held, since {against}"
            kind = AttentionKind.WITHDRAWAL_HELD
            call = Attention(kind, "Seerr", sentence, one.row.title, one.row.id)
            yield Withdrawal(one.row.id, Fate.HOLD, against), call
        else:
            yield Withdrawal(one.row.id, Fate.REMOVE, one.why), None
