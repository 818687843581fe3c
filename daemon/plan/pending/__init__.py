"""What becomes of open requests and of the rows that this program made for them. Pure.

One function over what all services said in one pass. Rows that the tracker made itself are never
touched, and no row is ever called available here: that is Jellyfin's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import Fate
from daemon.pending import PendingMemory, PendingPlan, PendingPolicy, PendingRow, Withdrawal
from daemon.pipeline import Pipeline
from daemon.plan.pending.asking import questions
from daemon.plan.pending.attention import of_services
from daemon.plan.pending.followed import FollowedRows
from daemon.plan.pending.joined import Joined, is_followed
from daemon.plan.pending.newcomers import Newcomers
from daemon.plan.pending.withdrawals import judge_missing

__all__ = ["plan_pending", "questions"]


def plan_pending(
    pipeline: Pipeline,
    rows: Sequence[PendingRow],
    memory: PendingMemory,
    policy: PendingPolicy,
    now: datetime,
) -> PendingPlan:
    """Decide about every open request, and about every row of ours that is on its way.

    Args:
        pipeline: what the services said.
        rows: of the tracker, at least all of titles that are requested or followed.
        memory: what is known beside them.
        policy: how to decide.
        now: aware UTC; compared only with times that services gave.
    """
    joined = Joined(pipeline, rows, now)
    ours = [row for row in rows if is_followed(row)]
    followed = FollowedRows(joined)
    for row in ours:
        followed.follow(row)
    calls = [*followed.attention]
    withdrawals: list[Withdrawal] = []
    verdicts = judge_missing(followed.missing, len(followed.kept), memory, policy.removal)
    for withdrawal, call in verdicts:
        withdrawals.append(withdrawal)
        calls += [call] if call else []
        if withdrawal.fate is Fate.REMOVE:
            del followed.kept[withdrawal.row_id]
    newcomers = Newcomers(joined, memory)
    newcomers.gather(policy.limit - len(followed.kept))
    return PendingPlan(
        adds=newcomers.rows,
        changes=followed.changes,
        kept=followed.kept,
        gauges=followed.gauges,
        withdrawals=withdrawals,
        gives_way=followed.gives_way,
        passed_over=newcomers.passed_over,
        attention=[*calls, *newcomers.attention, *of_services(pipeline, ours)],
        imported=frozenset(followed.imported),
    )
