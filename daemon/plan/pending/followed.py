"""Decides about managed rows on their way in one pass. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from daemon.domain import MediaType, RequestState, Value
from daemon.pending import (
    Attention,
    Change,
    Followed,
    Gauges,
    GivesWay,
    Imported,
    PendingRow,
    Timer,
)
from daemon.pipeline import HistoryKind
from daemon.plan.pending import attention, written
from daemon.plan.pending.cases import Case, Judgement
from daemon.plan.pending.gauges import gauges
from daemon.plan.pending.joined import Joined, kept, numbers_of
from daemon.plan.pending.precedence import is_unknown, remembered, seen, settle
from daemon.plan.pending.sayings import sayings
from daemon.plan.pending.withdrawals import TIMER, Missing, missing

_RECENT: Final = timedelta(minutes=10)
"""How long after an import every pass triggers a check of Jellyfin."""


class FollowedRows:
    """The managed rows in one pass."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined
        self.changes: list[Change] = []
        self.kept: dict[int, Followed] = {}
        self.gauges: dict[int, Gauges] = {}
        self.gives_way: list[GivesWay] = []
        self.attention: list[Attention] = []
        self.missing: list[Missing] = []
        self.imported: set[Imported] = set()

    def follow(self, row: PendingRow) -> None:
        """Decide about one row."""
        if other := self._double(row):
            self.gives_way.append(GivesWay(row.id, other.id))
            return
        case = self._joined.case(row)
        judged = self._joined.judged(case)
        if row.is_anime and judged.state is RequestState.ANIME_MATCHING:
            # The tracker rebuilds the Shokofin folder for rows that it has marked and that wait.
            judged = replace(judged, state=RequestState.IMPORTING)
        if gone := missing(row, case, judged, self._joined):
            self.missing.append(gone)
            said = sayings(kept(row), case, judged, self._joined)
            self.kept[row.id] = replace(kept(row), timers={TIMER: gone.timer}, said=said)
        else:
            self._move(row, case, judged)

    def _double(self, row: PendingRow) -> PendingRow | None:
        """Another row of the title on its way: two would break every webhook for it."""
        others = [
            other
            for other in self._joined.rows_of(row.media_type, row.ids)
            if other.id != row.id and other.state not in {None, RequestState.AVAILABLE}
        ]
        theirs = [other for other in others if other.followed is None]
        return next(iter(theirs or [other for other in others if other.id < row.id]), None)

    def _move(self, row: PendingRow, case: Case, judged: Judgement) -> None:
        """Decide about a row with an open request."""
        before, was = row.state, kept(row)
        assert before is not None  # noqa: S101 - a row that is not understood is not followed
        state, doubt = settle(row, before, was, judged)
        unknown = is_unknown(state, was, judged)
        measured = dict(was.timers) if unknown else attention.timers(state, was, judged)
        measured.pop("doubt", None)
        measured |= self._unknown(row, was) | ({"doubt": doubt} if doubt else {})
        found = attention.of_row(row, state, judged, measured, case.requests, self._joined.now)
        stands = (one._replace(row_id=row.id, request_id=None) for one in was.calls)
        calls = tuple(stands if unknown else found)
        self.attention += calls
        after = remembered(was, state, judged, measured, calls)
        requests = frozenset(request.id for request in case.requests)
        said = sayings(was, case, judged, self._joined)
        self.kept[row.id] = replace(after, requests=numbers_of(row) | requests, said=said)
        event = written.moved(before, state, judged) if state is not before else None
        columns = self._columns(row, case, judged)
        if judged.state is state and (unit := judged.unit) and unit.download:
            columns |= written.download(judged) if unit.download != was.download else {}
        if event or columns:
            self.changes.append(Change(row.id, before, state, columns, event))
        if judged.state is state:
            self.gauges[row.id] = gauges(judged, state)
        latest = _latest_import(judged)
        if after.filed or (latest and self._joined.now - latest < _RECENT):
            self.imported.add(Imported(row.media_type, row.ids, latest))

    def _unknown(self, row: PendingRow, was: Followed) -> dict[str, Timer]:
        """Which services are unavailable, and since when."""
        away = list(self._joined.places.silent(row.media_type, row.ids))
        away += [] if self._joined.listed else ["seerr"]
        return {"unknown": seen(was.timers.get("unknown"), ", ".join(away))} if away else {}

    def _columns(self, row: PendingRow, case: Case, judged: Judgement) -> dict[str, Value]:
        """Changed columns, independent of the state."""
        columns: dict[str, Value] = {}
        asked = frozenset().union(*(one.seasons for one in case.requests))
        if row.media_type is MediaType.TV and row.seasons and not asked <= row.seasons:
            columns |= written.seasons(row.seasons | asked)
        number = written.primary(judged, case, self._joined.places)
        if row.arr_id is None and number is not None:
            columns["radarr_id" if row.media_type is MediaType.MOVIE else "sonarr_id"] = number
        return columns


def _latest_import(judged: Judgement) -> datetime | None:
    """When a title last had an import."""
    dates = (
        event.date
        for view in judged.views
        for events in view.events.values()
        for event in events
        if event.kind is HistoryKind.IMPORTED
    )
    return max(dates, default=None)
