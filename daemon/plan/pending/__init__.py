"""Plans passes: decides about open requests and the rows added for them. Pure.

One function of everything the services said in one pass. The tracker's own rows are never
touched, and no row becomes available here: only Jellyfin decides that.
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
    """Decide about every open request and every managed row on its way.

    Args:
        pipeline: what the services said.
        rows: of the tracker, at least those of requested and followed titles.
        memory: what else is known.
        policy: the policy of the pass.
        now: aware UTC; compared only with times of services.
    """
    joined = Joined(pipeline, rows, now)
    ours = [row for row in rows if is_followed(row)]
    followed = FollowedRows(joined)
    for row in ours:
        followed.follow(row)
    followed.kept.update(
        (row.id, row.followed) for row in rows if row.followed is not None and row.state is None
    )
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
