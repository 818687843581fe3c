"""Which additional questions a pass needs besides the lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import MediaType
from daemon.pending import PendingRow, Questions
from daemon.pipeline import Pipeline
from daemon.plan.pending.cases import RANK
from daemon.plan.pending.joined import Joined, is_followed


def questions(pipeline: Pipeline, rows: Sequence[PendingRow], now: datetime) -> Questions:
    """The additional questions before `plan_pending`, from the same input."""
    joined = Joined(pipeline, rows, now)
    requests: set[int] = set()
    health: set[str] = set()
    again: set[tuple[str, int]] = set()
    episodes: set[tuple[str, int]] = set()
    followed = [(row.state, joined.case(row)) for row in rows if is_followed(row)]
    if joined.listed:
        requests.update(*(joined.unlisted(row) for row in rows if is_followed(row)))
    for state, case in [*followed, *((None, case) for case in joined.untracked())]:
        judged = joined.judged(case)
        known = state in RANK and judged.state is not None
        back = known and RANK[judged.state] < RANK[state]  # type: ignore[index]
        for view in judged.views:
            place = (view.arr.instance, view.title.arr_id)
            health |= {view.arr.instance} if back or view.misses else set()
            again |= {place} if view.title.read_at is not None else set()
            moves = bool(view.entries or view.events) and case.media_type is MediaType.TV
            episodes |= {place} if moves else set()
    return Questions(
        frozenset(requests),
        frozenset(joined.nameless()),
        frozenset(health),
        frozenset(again),
        frozenset(episodes),
    )
