"""What a pass has to ask beside the lists: few things, and only where they matter. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import MediaType
from daemon.pending import PendingRow, Questions
from daemon.pipeline import Pipeline
from daemon.plan.pending.cases import RANK
from daemon.plan.pending.joined import Joined, is_followed


def questions(pipeline: Pipeline, rows: Sequence[PendingRow], now: datetime) -> Questions:
    """What has to be asked beside the lists before `plan_pending`, of the same values."""
    joined = Joined(pipeline, rows, now)
    requests: set[int] = set()
    health: set[str] = set()
    again: set[tuple[str, int]] = set()
    episodes: set[tuple[str, int]] = set()
    for row in filter(is_followed, rows):
        judged = joined.judged(joined.case(row))
        requests |= joined.unlisted(row) if joined.listed else set()
        back = judged.state is not None and RANK[judged.state] < RANK.get(row.state, 0)  # type: ignore[arg-type]
        for view in judged.views:
            place = (view.arr.instance, view.title.arr_id)
            health |= {view.arr.instance} if back or view.misses else set()
            again |= {place} if view.title.read_at is not None else set()
            moves = bool(view.entries or view.events) and row.media_type is MediaType.TV
            episodes |= {place} if moves else set()
    titles = {
        (media_type, tmdb)
        for (media_type, tmdb), (first, *_) in joined.titles.items()
        if not joined.rows_of(media_type, first.ids)
        and not joined.places.find(media_type, first.ids)
    }
    return Questions(
        frozenset(requests),
        frozenset(titles),
        frozenset(health),
        frozenset(again),
        frozenset(episodes),
    )
