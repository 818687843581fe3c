"""Joins Seerr's requests, the tracker's rows and Jellyfin's titles. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from daemon.domain import Ids, MediaType, RequestState
from daemon.pending import Followed, PendingRow
from daemon.pipeline import Holding, Pipeline, SeerrRequest, SeerrStatus
from daemon.plan.pending.cases import Case, Judgement
from daemon.plan.pending.places import ByIds, Places
from daemon.plan.pending.stages import judge

OPEN: Final = frozenset({SeerrStatus.PENDING, SeerrStatus.APPROVED, SeerrStatus.FAILED})
"""The states of an open request."""


class Joined:
    """Everything one pass knows, by title.

    Attributes:
        listed: Seerr's list of open requests is complete.
        titles: the open requests of each title, by TMDB id.
    """

    def __init__(self, pipeline: Pipeline, rows: Sequence[PendingRow], now: datetime) -> None:
        self.pipeline, self.rows, self.now = pipeline, rows, now
        self.places = Places(pipeline)
        self._rows = ByIds((row.media_type, row.ids, row) for row in rows)
        self._holdings = ByIds((one.media_type, one.ids, one) for one in pipeline.library)
        self._sharing: defaultdict[tuple[MediaType, int, int | str], list[PendingRow]] = (
            defaultdict(list)
        )
        for row in rows:
            for key in _keys(row.media_type, row.ids):
                self._sharing[key].append(row)
        self.listed = pipeline.seerr.requests is not None and pipeline.seerr.whole
        requests = pipeline.seerr.requests or ()
        self._listed = {request.id: request for request in requests}
        self.titles: defaultdict[tuple[MediaType, int], list[SeerrRequest]] = defaultdict(list)
        for request in requests:
            if request.ids.tmdb is not None and request.status in OPEN:
                self.titles[request.media_type, request.ids.tmdb].append(request)
        self._requests = ByIds(
            (one.media_type, one.ids, one) for group in self.titles.values() for one in group
        )

    def rows_of(self, media_type: MediaType, ids: Ids) -> list[PendingRow]:
        """All rows of a title."""
        return self._rows.find(media_type, ids)

    def rows_sharing(self, media_type: MediaType, ids: Ids) -> list[PendingRow]:
        """All rows that bear any of a title's ids: two on their way would break its webhooks."""
        return [row for key in _keys(media_type, ids) for row in self._sharing.get(key, ())]

    def holdings(self, media_type: MediaType, ids: Ids) -> list[Holding]:
        """What Jellyfin is known to have of a title."""
        return self._holdings.find(media_type, ids)

    def unlisted(self, row: PendingRow) -> frozenset[int]:
        """Ids of a row's requests that are not listed for its title."""
        numbers = numbers_of(row)
        return numbers - (self._listed.keys() - self.reused(row))

    def reused(self, row: PendingRow) -> frozenset[int]:
        """Ids of a row's requests that belong to another title by now."""
        listed = ((one, self._listed.get(one)) for one in numbers_of(row))
        return frozenset(one for one, request in listed if request and _is_other(row, request))

    def case(self, row: PendingRow) -> Case:
        """The case of a managed row."""
        requests = self._requests.find(row.media_type, row.ids)
        asked = self.pipeline.seerr.asked
        statuses = {request.status for request in requests}
        told = self.unlisted(row) - self.reused(row)
        statuses |= {status for one in told if (status := asked.get(one)) is not None}
        seasons = (row.seasons or frozenset()).union(*(one.seasons for one in requests))
        return Case(
            row.media_type,
            row.ids,
            requests,
            frozenset(statuses),
            self.missing_seasons(row.media_type, row.ids, seasons),
            row.followed,
            self.listed,
        )

    def new_case(self, requests: Sequence[SeerrRequest]) -> Case:
        """The case of a title's requests without a row."""
        media_type, ids = requests[0].media_type, requests[0].ids
        asked = frozenset().union(*(one.seasons for one in requests))
        return Case(
            media_type,
            ids,
            requests,
            frozenset(one.status for one in requests),
            self.missing_seasons(media_type, ids, asked),
        )

    def untracked(self) -> Iterator[Case]:
        """Titles of open requests without a row."""
        for (media_type, _), group in self.titles.items():
            if not self.rows_of(media_type, group[0].ids):
                yield self.new_case(group)

    def nameless(self) -> Iterator[tuple[MediaType, int]]:
        """TMDB ids of titles without a row whose name no instance knows."""
        for (media_type, tmdb), (first, *_) in self.titles.items():
            named = self.rows_of(media_type, first.ids)
            if not named and not self.places.find(media_type, first.ids):
                yield media_type, tmdb

    def missing_seasons(
        self, media_type: MediaType, ids: Ids, seasons: frozenset[int]
    ) -> frozenset[int]:
        """The seasons that Jellyfin lacks in part; all of them if it lacks none."""
        there = frozenset().union(*(one.seasons or () for one in self.holdings(media_type, ids)))
        return seasons - there or seasons

    def judged(self, case: Case) -> Judgement:
        """How far a title has come."""
        return judge(case, self.pipeline, self.places, self.now)

    def is_certain(self, media_type: MediaType) -> bool:
        """Whether it is certain that unknown titles are in no instance."""
        return media_type in self.places.whole and not self.places.away[media_type]


def is_followed(row: PendingRow) -> bool:
    """Whether a row is managed and on its way."""
    return row.followed is not None and row.state not in {None, RequestState.AVAILABLE}


def kept(row: PendingRow) -> Followed:
    """The kept state of a managed row."""
    assert row.followed is not None  # noqa: S101 - only asked of rows that are followed
    return row.followed


def numbers_of(row: PendingRow) -> frozenset[int]:
    """Seerr's ids of the requests that a managed row represents."""
    own = frozenset({row.seerr_id}) if row.seerr_id else frozenset()
    return (row.followed.requests if row.followed else frozenset()) or own


def _keys(media_type: MediaType, ids: Ids) -> Iterator[tuple[MediaType, int, int | str]]:
    """The ids of a title by which it can be mistaken for another one."""
    return ((media_type, at, one) for at, one in enumerate(ids[:2]) if one is not None)


def _is_other(row: PendingRow, request: SeerrRequest) -> bool:
    """Whether a request is certainly not of a row's title: no id that both have agrees."""
    pairs = [pair for pair in zip(row.ids, request.ids, strict=True) if None not in pair]
    differ = bool(pairs) and all(one != other for one, other in pairs)
    return row.media_type is not request.media_type or differ
