"""What becomes of open requests and of the rows that this program made for them. Pure.

One function over what all services said in one pass. Rows that the tracker made itself are never
touched, and no row is ever called available here: that is Jellyfin's word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from daemon.domain import Fate, Ids, MediaType, RemovalMode, RequestState, Value
from daemon.pending import (
    Attention,
    AttentionKind,
    Change,
    Followed,
    Gauges,
    GivesWay,
    NewRow,
    PassedOver,
    PassReason,
    PendingMemory,
    PendingPlan,
    PendingPolicy,
    PendingRow,
    Questions,
    TimelineEvent,
    Timer,
    Withdrawal,
)
from daemon.pipeline import Pipeline, SeerrMedia, SeerrRequest, SeerrStatus
from daemon.plan import attention
from daemon.plan.gauges import gauges, gigabytes
from daemon.plan.precedence import DOUBT, is_ripe, seen, settle
from daemon.plan.stages import RANK, ByIds, Case, Judgement, Places, grab_of, judge

_OPEN: Final = frozenset({SeerrStatus.PENDING, SeerrStatus.APPROVED, SeerrStatus.FAILED})
_HASH_LENGTHS: Final = frozenset({40, 64})
_WORDS: Final = {
    RequestState.REQUESTED: "Requested",
    RequestState.APPROVED: "Approved",
    RequestState.GRABBING: "Grab",
    RequestState.DOWNLOADING: "Started",
    RequestState.DOWNLOADED: "Complete",
    RequestState.IMPORTING: "Import",
    RequestState.ANIME_MATCHING: "Import",
    RequestState.FAILED: "Failed",
}
"""The tracker's own words for events of its timeline."""


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
    return _Pass(pipeline, rows, memory, policy, now).plan()


def questions(
    pipeline: Pipeline, rows: Sequence[PendingRow], memory: PendingMemory, now: datetime
) -> Questions:
    """What has to be asked beside the lists before `plan_pending`, of the same values."""
    return _Pass(pipeline, rows, memory, PendingPolicy(), now).questions()


class _Missing(NamedTuple):
    """A row of ours whose requests are gone, and the evidence for it with this pass."""

    row: PendingRow
    timer: Timer


class _Pass:
    """One pass over everything."""

    def __init__(
        self,
        pipeline: Pipeline,
        rows: Sequence[PendingRow],
        memory: PendingMemory,
        policy: PendingPolicy,
        now: datetime,
    ) -> None:
        self.pipeline, self.rows, self.memory = pipeline, rows, memory
        self.policy, self.now = policy, now
        self.places = Places(pipeline)
        self.rows_of = ByIds((row.media_type, row.ids, row) for row in rows)
        self.holdings = ByIds((one.media_type, one.ids, one) for one in pipeline.library)
        seerr = pipeline.seerr
        self.listed = seerr.requests is not None and seerr.whole
        self.by_id = {request.id: request for request in seerr.requests or ()}
        self.titles: defaultdict[tuple[MediaType, int], list[SeerrRequest]] = defaultdict(list)
        for request in seerr.requests or ():
            if request.ids.tmdb is not None and request.status in _OPEN:
                self.titles[request.media_type, request.ids.tmdb].append(request)
        self.by_title = ByIds(
            (one.media_type, one.ids, one) for group in self.titles.values() for one in group
        )
        self.adds: list[NewRow] = []
        self.changes: list[Change] = []
        self.kept: dict[int, Followed] = {}
        self.gauges: dict[int, Gauges] = {}
        self.gives_way: list[GivesWay] = []
        self.passed_over: list[PassedOver] = []
        self.attention: list[Attention] = []
        self.missing: list[_Missing] = []
        self.imported: set[tuple[MediaType, Ids]] = set()

    def plan(self) -> PendingPlan:
        followed = [row for row in self.rows if _is_followed(row)]
        for row in followed:
            if other := self._double(row):
                self.gives_way.append(GivesWay(row.id, other.id))
            else:
                self._follow(row)
        withdrawals = self._withdrawals()
        self._add_rows(len(self.kept))
        self.attention += attention.of_services(self.pipeline, followed)
        return PendingPlan(
            self.adds,
            self.changes,
            self.kept,
            self.gauges,
            withdrawals,
            self.gives_way,
            self.passed_over,
            self.attention,
            frozenset(self.imported),
        )

    # --- rows of ours ---------------------------------------------------------------------------

    def _double(self, row: PendingRow) -> PendingRow | None:
        """Another row of the same title on its way: two would break every webhook for it."""
        others = [
            other
            for other in self.rows_of.find(row.media_type, row.ids)
            if other.id != row.id and other.state not in {None, RequestState.AVAILABLE}
        ]
        theirs = [other for other in others if other.followed is None]
        older = [other for other in others if other.id < row.id]
        return next(iter(theirs or older), None)

    def _case(self, row: PendingRow) -> Case:
        kept = _kept(row)
        requests = self.by_title.find(row.media_type, row.ids)
        asked = self.pipeline.seerr.asked
        statuses = {request.status for request in requests}
        statuses |= {
            status
            for number in _numbers(row, kept) - self.by_id.keys()
            if (status := asked.get(number)) is not None
        }
        seasons = (row.seasons or frozenset()).union(*(one.seasons for one in requests))
        return Case(
            row.media_type,
            row.ids,
            requests,
            frozenset(statuses),
            self._missing_seasons(row.media_type, row.ids, seasons),
            kept,
            self.listed,
        )

    def _missing_seasons(
        self, media_type: MediaType, ids: Ids, seasons: frozenset[int]
    ) -> frozenset[int]:
        """The seasons that Jellyfin does not have as a whole; all where it has each of them."""
        there = frozenset().union(
            *(one.seasons or () for one in self.holdings.find(media_type, ids))
        )
        return seasons - there or seasons

    def _judged(self, case: Case) -> Judgement:
        return judge(case, self.pipeline, self.places, self.now)

    def _follow(self, row: PendingRow) -> None:
        """Decide about one row of ours that is alone with its title."""
        state, kept, case = row.state, _kept(row), self._case(row)
        assert state is not None  # noqa: S101 - a row that is not understood is not followed
        judged = self._judged(case)
        if self._is_gone(row, kept, case) and not judged.held:
            self._note_missing(row, kept)
            return
        step = settle(row, state, kept, judged)
        measured = attention.timers(step.state, kept, judged)
        if step.doubt is not None:
            measured["doubt"] = step.doubt
        later = _later(kept, state, step.state, judged, measured, case.requests)
        self.kept[row.id] = later
        self._change(row, state, step.state, judged, case)
        if judged.state is step.state:
            self.gauges[row.id] = gauges(judged, step.state)
        self.attention += attention.of_row(
            row, step.state, judged, measured, case.requests, self.now
        )
        self.attention += self._completed(row, case, judged)
        if later.filed or (judged.imported - kept.known):
            self.imported.add((row.media_type, row.ids))

    def _completed(self, row: PendingRow, case: Case, judged: Judgement) -> Iterator[Attention]:
        """A request that Seerr counts as done though nobody has what it asks for."""
        certain = row.media_type in self.places.whole and not self.places.away[row.media_type]
        if case.statuses == {SeerrStatus.COMPLETED} and not judged.held and certain:
            sentence = "Seerr counts the request as completed, and nobody has it"
            kind = AttentionKind.SEERR_AVAILABLE
            yield Attention(kind, "Seerr", sentence, row.title, row.id)

    def _change(
        self,
        row: PendingRow,
        before: RequestState,
        state: RequestState,
        judged: Judgement,
        case: Case,
    ) -> None:
        columns = self._columns(row, judged, case)
        event = None
        if state is not before:
            event = _event(before, state, judged)
        if event or columns:
            self.changes.append(Change(row.id, before, state, columns, event))

    def _columns(self, row: PendingRow, judged: Judgement, case: Case) -> dict[str, Value]:
        """Columns that get another value: of a new download, of seasons, of the primary's id."""
        kept, unit = _kept(row), judged.unit
        columns: dict[str, Value] = {}
        if unit is not None and unit.download and unit.download != kept.download:
            columns |= _download(judged)
        asked = frozenset().union(*(one.seasons for one in case.requests))
        if row.media_type is MediaType.TV and row.seasons and not asked <= row.seasons:
            columns |= _seasons(row.seasons | asked)
        if row.arr_id is None and (number := _primary(judged)) is not None:
            columns["radarr_id" if row.media_type is MediaType.MOVIE else "sonarr_id"] = number
        return columns

    # --- rows whose request is gone -------------------------------------------------------------

    def _is_gone(self, row: PendingRow, kept: Followed, case: Case) -> bool:
        """Whether a whole reading and each request's own number say that nobody waits any more."""
        if case.requests or kept.restored or not self.listed or self.pipeline.seerr.distrust:
            return False
        asked = self.pipeline.seerr.asked
        numbers = _numbers(row, kept)
        if self.places.away[row.media_type] or not numbers:
            return False
        return all(asked.get(one, SeerrStatus.APPROVED) in _WITHDRAWN for one in numbers)

    def _note_missing(self, row: PendingRow, kept: Followed) -> None:
        timer = seen(kept.timers.get("withdrawn"), "")
        self.missing.append(_Missing(row, timer))
        self.kept[row.id] = replace(kept, timers={"withdrawn": timer})

    def _withdrawals(self) -> list[Withdrawal]:
        """What becomes of the missing, by the same rules as what is missing in the library."""
        removal, approved = self.policy.removal, self.memory.approved
        open_ = [one for one in self.missing if one.row.id not in approved]
        limit = removal.total_limit(len(self.kept))
        ripe = [one for one in open_ if is_ripe(one.timer, DOUBT)]
        over = ""
        if len(open_) > limit or self.memory.withdrawn_lately + len(ripe) > limit:
            over = f"{len(open_)} of {len(self.kept)} requests are gone at once"
        elif removal.mode is RemovalMode.ASK:
            over = "removals are to be approved"
        return [self._withdrawal(one, over, ripe=one in ripe) for one in self.missing]

    def _withdrawal(self, missing: _Missing, over: str, *, ripe: bool) -> Withdrawal:
        row = missing.row
        if row.id in self.memory.approved:
            fate, why = Fate.REMOVE, "an admin approved it"
        elif not ripe or self.policy.removal.mode is RemovalMode.OFF:
            fate, why = Fate.WATCH, "its request is gone or declined"
        elif over:
            fate, why = Fate.HOLD, over
            kind = AttentionKind.WITHDRAWAL_HELD
            sentence = f"its request is gone or declined; held, since {over}"
            self.attention.append(Attention(kind, "Seerr", sentence, row.title, row.id))
        else:
            fate, why = Fate.REMOVE, "its request is gone or declined"
        if fate is Fate.REMOVE:
            del self.kept[row.id]
        return Withdrawal(row.id, fate, why)

    # --- requests without a row -----------------------------------------------------------------

    def _add_rows(self, there: int) -> None:
        """Give rows to the newest requests that have none, as many as there may be."""
        found: list[NewRow] = []
        for request in self.pipeline.seerr.requests or ():
            if request.status not in _OPEN or request.ids.tmdb is None:
                odd = SeerrStatus.NOT_UNDERSTOOD is request.status or request.ids.tmdb is None
                reason = PassReason.NOT_UNDERSTOOD if odd else PassReason.NOT_OPEN
                self.passed_over.append(PassedOver(request.id, reason))
        for group in self.titles.values():
            passed = {request.id: self._passed(request) for request in group}
            self.passed_over += (PassedOver(one, why) for one, why in passed.items() if why)
            waiting = [request for request in group if passed[request.id] is None]
            if waiting and (row := self._new_row(waiting)):
                found.append(row)
        found.sort(key=lambda row: row.created_at, reverse=True)
        room = max(0, self.policy.limit - there)
        self.adds += found[:room]
        self.passed_over += (PassedOver(row.seerr_id, PassReason.LIMIT) for row in found[room:])
        if found[room:]:
            sentence = f"{len(found) - room} open requests are not tracked: more than may be shown"
            self.attention.append(Attention(AttentionKind.TOO_MANY, "Seerr", sentence))

    def _passed(self, request: SeerrRequest) -> PassReason | None:
        """Why a request gets no row; None where it may get one."""
        if not (self.listed and self.memory.ready):
            return PassReason.LIBRARY_UNKNOWN if self.listed else PassReason.UNCERTAIN
        if request.media is SeerrMedia.BLOCKLISTED:
            return PassReason.NOT_OPEN
        if request.media_type is MediaType.TV and not request.seasons:
            return PassReason.NOT_UNDERSTOOD
        rows = self.rows_of.find(request.media_type, request.ids)
        on_way = any(row.state is not RequestState.AVAILABLE for row in rows)
        if on_way or any(row.seerr_id == request.id for row in self.rows):
            return PassReason.TRACKED
        if in_library := self._in_library(request, rows):
            return in_library
        return PassReason.DELETED_IN_TRACKER if self._is_deleted(request) else None

    def _in_library(self, request: SeerrRequest, rows: Sequence[PendingRow]) -> PassReason | None:
        holdings = self.holdings.find(request.media_type, request.ids)
        if not (rows or holdings):
            return None
        if request.media_type is MediaType.MOVIE:
            return PassReason.IN_LIBRARY
        asked = (row.seasons or frozenset() for row in rows)
        whole = frozenset().union(*asked, *(one.seasons or () for one in holdings))
        if request.seasons <= whole:
            return PassReason.IN_LIBRARY
        known = any(one.seasons is not None for one in holdings)
        return None if known or not self._has_all(request) else PassReason.LIBRARY_UNKNOWN

    def _has_all(self, request: SeerrRequest) -> bool:
        """Whether a Sonarr has all files of what is asked for, so that Jellyfin may have, too."""
        case = Case(request.media_type, request.ids, [request], seasons=request.seasons)
        unit = self._judged(case).unit
        return unit is not None and unit.filed

    def _is_deleted(self, request: SeerrRequest) -> bool:
        """Whether somebody deleted it in the tracker's dashboard after it was requested."""
        return any(
            deletion.media_type is request.media_type
            and not deletion.overruled
            and self.now - deletion.age > request.created_at
            and _is_same(request.media_type, deletion.ids, request.ids)
            for deletion in self.memory.deletions
        )

    def _new_row(self, requests: Sequence[SeerrRequest]) -> NewRow | None:
        """The row of a title; the oldest request that is not in 4K speaks for it."""
        first = min(requests, key=lambda one: (one.is_4k, one.created_at, one.id))
        seasons = frozenset().union(*(one.seasons for one in requests))
        statuses = frozenset(one.status for one in requests)
        missing = self._missing_seasons(first.media_type, first.ids, seasons)
        case = Case(first.media_type, first.ids, requests, statuses, missing, listed=True)
        judged = self._judged(case)
        about, state = self._about(first, judged), judged.state
        there = self._is_said_to_be_there(first, judged)
        if about is None or state is None or there:
            reason = PassReason.TITLE_UNKNOWN if state else PassReason.UNCERTAIN
            reason = PassReason.SEERR_AVAILABLE if there else reason
            self.passed_over += (PassedOver(one.id, reason) for one in requests)
            return None
        numbers = frozenset(one.id for one in requests)
        measured = attention.timers(state, Followed(state), judged)
        row = replace(
            about,
            state=state,
            created_at=first.created_at,
            seerr_id=first.id,
            requested_by=first.requested_by,
            seasons=tuple(sorted(seasons)),
            arr_id=_primary(judged),
            columns=_download(judged),
            gauges=gauges(judged, state),
            events=_first_events(first, judged, state),
            followed=_later(Followed(state, numbers), state, state, judged, measured, requests),
        )
        self._call_about(row, judged, measured, requests)
        return row

    def _call_about(
        self,
        new: NewRow,
        judged: Judgement,
        measured: Mapping[str, Timer],
        requests: Sequence[SeerrRequest],
    ) -> None:
        """What is to be said of a title at once, though its row has no number yet."""
        row = PendingRow(0, new.media_type, new.ids, new.title, new.state)
        said = attention.of_row(row, new.state, judged, measured, requests, self.now)
        self.attention += (one._replace(row_id=None, request_id=new.seerr_id) for one in said)
        if judged.unit is not None and judged.unit.filed:
            self.imported.add((new.media_type, new.ids))

    def _is_said_to_be_there(self, request: SeerrRequest, judged: Judgement) -> bool:
        """Whether Seerr alone counts a film as available, so that nobody will look for it."""
        there = request.media is SeerrMedia.AVAILABLE and request.media_type is MediaType.MOVIE
        if not (there and request.status is SeerrStatus.APPROVED and not judged.views):
            return False
        known = self.pipeline.seerr.titles.get((request.media_type, request.ids.tmdb or 0))
        if request.media_type in self.places.whole:
            kind, sentence = (
                AttentionKind.SEERR_AVAILABLE,
                "Seerr has it as available; nobody has it",
            )
            title = known.title if known else ""
            self.attention.append(Attention(kind, "Seerr", sentence, title, request_id=request.id))
        return True

    def _about(self, request: SeerrRequest, judged: Judgement) -> NewRow | None:
        """A row with the title's texts and ids, from the instance that knows it or from Seerr."""
        known = self.pipeline.seerr.titles.get((request.media_type, request.ids.tmdb or 0))
        found = judged.views[0].title if judged.views else None
        source = found or known
        if source is None or not source.title:
            return None
        tvdb = request.ids.tvdb or (found.ids.tvdb if found else known.tvdb if known else None)
        ids = Ids(request.ids.tmdb, tvdb, request.ids.imdb or (found.ids.imdb if found else None))
        return NewRow(
            request.media_type,
            ids,
            source.title,
            RequestState.REQUESTED,
            request.created_at,
            request.id,
            Followed(RequestState.REQUESTED),
            year=source.year,
            overview=source.overview,
            poster_url=source.poster_url,
        )

    # --- questions ------------------------------------------------------------------------------

    def questions(self) -> Questions:
        requests: set[int] = set()
        health: set[str] = set()
        again: set[tuple[str, int]] = set()
        episodes: set[tuple[str, int]] = set()
        for row in self.rows:
            if not _is_followed(row):
                continue
            case = self._case(row)
            judged = self._judged(case)
            if self.listed:
                requests |= _numbers(row, _kept(row)) - self.by_id.keys()
            back = judged.state is None or RANK[judged.state] < RANK.get(row.state, 0)  # type: ignore[arg-type]
            unlisted = judged.unit is not None and judged.unit.service == "qbittorrent"
            for view in judged.views:
                if back or unlisted or not view.entries:
                    health.add(view.arr.instance)
                if view.title.read_at is not None:
                    again.add((view.arr.instance, view.title.arr_id))
                moves = bool(view.arr.queue and view.entries) or bool(view.events)
                if row.media_type is MediaType.TV and moves:
                    episodes.add((view.arr.instance, view.title.arr_id))
        return Questions(
            frozenset(requests),
            frozenset(self._nameless()),
            frozenset(health),
            frozenset(again),
            frozenset(episodes),
        )

    def _nameless(self) -> Iterator[tuple[MediaType, int]]:
        """Titles of open requests that neither a row nor an instance has a name for."""
        for (media_type, tmdb), group in self.titles.items():
            ids = group[0].ids
            if not (self.rows_of.find(media_type, ids) or self.places.find(media_type, ids)):
                yield media_type, tmdb


_WITHDRAWN: Final = frozenset({None, SeerrStatus.DECLINED})


def _is_followed(row: PendingRow) -> bool:
    """Whether a row is ours and on its way."""
    return row.followed is not None and row.state not in {None, RequestState.AVAILABLE}


def _kept(row: PendingRow) -> Followed:
    return row.followed or Followed(row.state or RequestState.REQUESTED)


def _numbers(row: PendingRow, kept: Followed) -> frozenset[int]:
    """Seerr's numbers of the requests that a row stands for."""
    return kept.requests or (frozenset({row.seerr_id}) if row.seerr_id else frozenset())


def _is_same(media_type: MediaType, some: Ids, others: Ids) -> bool:
    return bool(ByIds([(media_type, some, True)]).find(media_type, others))


def _later(
    kept: Followed,
    before: RequestState,
    state: RequestState,
    judged: Judgement,
    measured: Mapping[str, Timer],
    requests: Sequence[SeerrRequest],
) -> Followed:
    """What is kept of a row after this pass."""
    unit = judged.unit
    agrees = judged.state is state
    download, filed, progress = kept.download, kept.filed, kept.progress
    if agrees:
        filed = unit is not None and unit.filed
        if RANK[state] < RANK[RequestState.GRABBING]:
            download = None
        if unit is not None and unit.download and unit.download != download:
            download, progress = unit.download, 0.0
        progress = max(progress, (unit.progress if unit else None) or 0.0)
    return replace(
        kept,
        written=state if agrees or state is not before else kept.written,
        requests=kept.requests | {request.id for request in requests},
        download=download,
        known=kept.known | judged.known,
        filed=filed,
        progress=progress,
        why=judged.why if agrees else kept.why,
        timers=dict(measured),
    )


def _primary(judged: Judgement) -> int | None:
    """The primary's number of a title, where the primary is what counts for it."""
    return next((view.title.arr_id for view in judged.views if view.arr.primary), None)


def _download(judged: Judgement) -> dict[str, Value]:
    """The columns that tell of a download."""
    unit = judged.unit
    if unit is None or unit.download is None:
        return {}
    torrent = len(unit.download) in _HASH_LENGTHS
    columns: dict[str, Value] = {"qbit_hash": unit.download if torrent else None}
    if found := grab_of(judged):
        _, grab = found
        columns |= {
            "quality": grab.quality,
            "indexer": grab.indexer,
            "file_size": grab.size,
            "release_group": grab.release_group,
        }
    return columns


def _seasons(seasons: frozenset[int]) -> dict[str, Value]:
    ordered = sorted(seasons)
    return {"requested_seasons": ",".join(map(str, ordered)), "season": ordered[0]}


def _grab_event(judged: Judgement) -> TimelineEvent | None:
    if (found := grab_of(judged)) is None:
        return None
    view, grab = found
    parts = (grab.quality, f"from {grab.indexer}" if grab.indexer else None)
    text = " ".join(part for part in parts if part)
    details = ", ".join(part for part in (text, gigabytes(grab.size)) if part)
    return TimelineEvent(
        RequestState.GRABBING, view.tag, "Grab", details or "a release was grabbed", grab.date
    )


def _event(before: RequestState, state: RequestState, judged: Judgement) -> TimelineEvent:
    """The timeline's entry for a move."""
    if state is RequestState.GRABBING and (grab := _grab_event(judged)):
        return grab._replace(at=None)
    word = _WORDS[state]
    if RANK.get(before, 0) > RANK[state]:
        word = "Import" if not judged.alerts and judged.imported else "Failed"
    return TimelineEvent(state, judged.service, word, judged.why)


def _first_events(
    request: SeerrRequest, judged: Judgement, state: RequestState
) -> tuple[TimelineEvent, ...]:
    """What a new row's timeline begins with: what is known of the past, then what is so now."""
    who = f"by {request.requested_by}" if request.requested_by else "in Seerr"
    requested = TimelineEvent(
        RequestState.REQUESTED, "jellyseerr", "Requested", f"Requested {who}", request.created_at
    )
    if state is RequestState.REQUESTED:
        return (requested,)
    grab = _grab_event(judged)
    now = TimelineEvent(
        state, "library_sync", _WORDS[state], f"Found by Library Sync: {judged.why}"
    )
    if grab is None:
        return (requested, now)
    return (requested, grab) if state is RequestState.GRABBING else (requested, grab, now)
