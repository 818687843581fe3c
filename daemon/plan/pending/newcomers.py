"""Decides which open requests without a row get one, and why others do not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daemon.domain import Ids, MediaType, RequestState
from daemon.pending import (
    Attention,
    AttentionKind,
    Followed,
    NewRow,
    PassedOver,
    PassReason,
    PendingMemory,
    PendingRow,
)
from daemon.pipeline import SeerrMedia, SeerrRequest, SeerrStatus, SeerrTitle
from daemon.plan.pending import attention, written
from daemon.plan.pending.cases import Case, Judgement
from daemon.plan.pending.gauges import gauges
from daemon.plan.pending.joined import OPEN, Joined
from daemon.plan.pending.places import ByIds
from daemon.plan.pending.precedence import remembered
from daemon.plan.pending.sayings import sayings


class Newcomers:
    """The open requests of one pass without a row.

    Attributes:
        rows: to add.
        passed_over: requests that get none.
        attention: findings about either.
    """

    def __init__(self, joined: Joined, memory: PendingMemory) -> None:
        self._joined, self._memory = joined, memory
        self.rows: list[NewRow] = []
        self.passed_over: list[PassedOver] = []
        self._deleted = ByIds(
            (one.media_type, one.ids, one) for one in memory.deletions if not one.overruled
        )
        self.attention: list[Attention] = []

    def gather(self, room: int) -> None:
        """Give rows to the newest requests, up to the limit."""
        for request in self._joined.pipeline.seerr.requests or ():
            odd = request.status is SeerrStatus.NOT_UNDERSTOOD or request.ids.tmdb is None
            if odd or request.status not in OPEN:
                self._pass(request, PassReason.NOT_UNDERSTOOD if odd else PassReason.NOT_OPEN)
        for group in self._joined.titles.values():
            waiting = [request for request in group if not self._is_passed(request)]
            if waiting:
                self._add(waiting)
        self.rows.sort(key=lambda row: (row.created_at, row.seerr_id), reverse=True)
        over, self.rows = self.rows[max(0, room) :], self.rows[: max(0, room)]
        self.passed_over += (PassedOver(row.seerr_id, PassReason.LIMIT) for row in over)
        if over:
            sentence = f"{len(over)} open requests are not tracked: more than may be shown"
            self.attention.append(Attention(AttentionKind.TOO_MANY, "Seerr", sentence))

    # --- who gets none --------------------------------------------------------------------------

    def _pass(self, request: SeerrRequest, reason: PassReason) -> None:
        self.passed_over.append(PassedOver(request.id, reason))

    def _is_passed(self, request: SeerrRequest) -> bool:
        reason = self._reason(request)
        if reason is not None:
            self._pass(request, reason)
        return reason is not None

    def _reason(self, request: SeerrRequest) -> PassReason | None:
        """Why a request gets no row; None if it may get one."""
        if not self._joined.listed:
            return PassReason.UNCERTAIN
        if not self._memory.ready:
            return PassReason.LIBRARY_UNKNOWN
        if request.media is SeerrMedia.BLOCKLISTED:
            return PassReason.NOT_OPEN
        if request.media_type is MediaType.TV and not request.seasons:
            return PassReason.NOT_UNDERSTOOD
        rows = self._joined.rows_of(request.media_type, request.ids)
        if any(
            row.state is not RequestState.AVAILABLE or row.seerr_id == request.id
            for row in self._joined.rows_sharing(request.media_type, request.ids)
        ):
            return PassReason.TRACKED
        deleted = PassReason.DELETED_IN_TRACKER if self._is_deleted(request) else None
        return self._in_library(request, rows) or deleted

    def _in_library(self, request: SeerrRequest, rows: Sequence[PendingRow]) -> PassReason | None:
        holdings = self._joined.holdings(request.media_type, request.ids)
        if not (rows or holdings):
            return None
        if request.media_type is MediaType.MOVIE:
            return PassReason.IN_LIBRARY
        whole = frozenset().union(
            *(row.seasons or () for row in rows), *(one.seasons or () for one in holdings)
        )
        if request.seasons <= whole:
            return PassReason.IN_LIBRARY
        known = any(one.seasons is not None for one in holdings)
        return None if known or not self._has_all(request) else PassReason.LIBRARY_UNKNOWN

    def _has_all(self, request: SeerrRequest) -> bool:
        """Whether a Sonarr has all requested files, so Jellyfin may have them too."""
        statuses = frozenset({request.status})
        case = Case(request.media_type, request.ids, [request], statuses, request.seasons)
        unit = self._joined.judged(case).unit
        return unit is not None and unit.filed

    def _is_deleted(self, request: SeerrRequest) -> bool:
        """Whether somebody deleted it in the tracker's dashboard after it was requested."""
        return any(
            self._joined.now - deletion.age > request.created_at
            for deletion in self._deleted.find(request.media_type, request.ids)
        )

    # --- who gets one ---------------------------------------------------------------------------

    def _add(self, requests: Sequence[SeerrRequest]) -> None:
        """Add one row for a title, from its oldest request, preferably not 4K."""
        first = min(requests, key=lambda one: (one.is_4k, one.created_at, one.id))
        case = self._joined.new_case(requests)
        judged = self._joined.judged(case)
        state, about = judged.state, self._about(first, judged)
        if self._joined.places.is_unread(case.media_type, case.ids):
            state = None  # its turn comes with one of the next passes
        reason = PassReason.UNCERTAIN if state is None else PassReason.TITLE_UNKNOWN
        if self._is_said_to_be_there(first, judged):
            reason, about = PassReason.SEERR_AVAILABLE, None
        if state is None or about is None:
            for request in requests:
                self._pass(request, reason)
            return
        begun = Followed(state, frozenset(one.id for one in requests))
        measured = attention.timers(state, begun, judged)
        begun = replace(begun, said=sayings(begun, case, judged, self._joined))
        row = PendingRow(0, first.media_type, first.ids, about.title, state)
        found = attention.of_row(row, state, judged, measured, requests, self._joined.now)
        calls = tuple(one._replace(row_id=None, request_id=first.id) for one in found)
        self.attention += calls
        kept = remembered(begun, state, judged, measured, calls)
        number = written.primary(judged, case, self._joined.places)
        self.rows.append(_row(requests, first, state, about, judged, kept, number))

    def _is_said_to_be_there(self, request: SeerrRequest, judged: Judgement) -> bool:
        """Whether only Seerr counts a film as available, so nobody will search for it."""
        there = request.media is SeerrMedia.AVAILABLE and request.media_type is MediaType.MOVIE
        if not (there and request.status is SeerrStatus.APPROVED and not judged.views):
            return False
        if self._joined.is_certain(request.media_type):
            known = self._about(request, judged)
            kind, title = AttentionKind.SEERR_AVAILABLE, known.title if known else ""
            sentence = "Seerr counts the film as available, and nobody has it"
            self.attention.append(Attention(kind, "Seerr", sentence, title, request_id=request.id))
        return True

    def _about(self, request: SeerrRequest, judged: Judgement) -> SeerrTitle | None:
        """A title's texts, from an instance or Seerr; None if it has no name."""
        known = self._joined.pipeline.seerr.titles.get((request.media_type, request.ids.tmdb or 0))
        if judged.views:
            found = judged.views[0].title
            known = SeerrTitle(
                found.title, found.year, found.overview, found.poster_url, found.ids.tvdb
            )
        return known if known and known.title else None


def _row(
    requests: Sequence[SeerrRequest],
    first: SeerrRequest,
    state: RequestState,
    about: SeerrTitle,
    judged: Judgement,
    kept: Followed,
    arr_id: int | None,
) -> NewRow:
    asked = frozenset().union(*(one.seasons for one in requests))
    imdb = first.ids.imdb or next((view.title.ids.imdb for view in judged.views), None)
    return NewRow(
        media_type=first.media_type,
        ids=Ids(first.ids.tmdb, first.ids.tvdb or about.tvdb, imdb),
        title=about.title,
        state=state,
        created_at=first.created_at,
        seerr_id=first.id,
        followed=kept,
        year=about.year,
        overview=about.overview,
        poster_url=about.poster_url,
        requested_by=first.requested_by,
        seasons=tuple(sorted(asked)),
        arr_id=arr_id,
        columns=written.download(judged),
        gauges=gauges(judged, state),
        events=written.begun(first, judged, state),
    )
