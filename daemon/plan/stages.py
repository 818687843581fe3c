"""How far a requested title has come: what all instances, and then Seerr, say of it. Pure.

A film is as far as its most advanced download. Of a series what moves is told, since a season whose
first episode is imported is not nearly there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar

from daemon.domain import Ids, MediaType, RequestState
from daemon.pending import AttentionKind, Followed
from daemon.pipeline import (
    ArrPipeline,
    ArrSeason,
    ArrTitle,
    HistoryEvent,
    HistoryKind,
    Pipeline,
    SeerrMedia,
    SeerrRequest,
    SeerrStatus,
)
from daemon.plan.downloads import Alert, TitleView, Unit

RANK: Final = {
    RequestState.REQUESTED: 0,
    RequestState.APPROVED: 1,
    RequestState.FAILED: 1,
    RequestState.GRABBING: 2,
    RequestState.DOWNLOADING: 3,
    RequestState.DOWNLOADED: 4,
    RequestState.IMPORTING: 5,
    RequestState.ANIME_MATCHING: 6,
}
"""How far each state is; those that only the tracker writes are in none."""

MOVES: Final = (
    RequestState.DOWNLOADING,
    RequestState.GRABBING,
    RequestState.ANIME_MATCHING,
    RequestState.IMPORTING,
    RequestState.DOWNLOADED,
)
"""Of a series: the first of these that any of its downloads is in."""

_FRESH: Final = timedelta(minutes=5)
"""What an instance said of a title is good enough for so long to call a person."""

WANTED: Final = "wanted"
"""What is said of a title that an instance looks for."""

_T = TypeVar("_T")


class ByIds(Generic[_T]):
    """Things by the ids of their titles, found by the own key of Radarr or Sonarr first.

    TMDB's numbers of series are shared, so there one answers only where it is unambiguous.
    """

    def __init__(self, members: Iterable[tuple[MediaType, Ids, _T]]) -> None:
        self._own: defaultdict[Hashable, list[_T]] = defaultdict(list)
        self._other: defaultdict[Hashable, list[tuple[Ids, _T]]] = defaultdict(list)
        for media_type, ids, member in members:
            own, other = _keys(media_type, ids)
            if own is not None:
                self._own[media_type, own].append(member)
            if other is not None:
                self._other[media_type, other].append((ids, member))

    def find(self, media_type: MediaType, ids: Ids) -> list[_T]:
        """All that are of a title."""
        own, other = _keys(media_type, ids)
        if own is not None and (found := self._own.get((media_type, own))):
            return list(found)
        rest = self._other.get((media_type, other), []) if other is not None else []
        if own is not None:  # those that have an own key have another one
            rest = [one for one in rest if _keys(media_type, one[0])[0] is None]
        titles = {_keys(media_type, one[0])[0] for one in rest}
        return [member for _, member in rest] if len(titles) == 1 else []


def _keys(media_type: MediaType, ids: Ids) -> tuple[int | None, int | None]:
    if media_type is MediaType.MOVIE:
        return ids.tmdb, ids.tvdb
    return ids.tvdb, ids.tmdb


class Place(NamedTuple):
    """A title in an instance, with its part of the history."""

    arr: ArrPipeline
    title: ArrTitle
    history: Sequence[HistoryEvent]


class Places:
    """Where requested titles are in Radarrs and Sonarrs.

    Attributes:
        away: by media type, names of the instances that could not be asked, or not wholly.
        whole: the media types of which every instance gave its complete list.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.away: dict[MediaType, tuple[str, ...]] = {}
        self.whole: set[MediaType] = set()
        self._instances: dict[MediaType, list[ArrPipeline]] = {}
        found: list[tuple[MediaType, Ids, Place]] = []
        for media_type in MediaType:
            arrs = self._instances[media_type] = pipeline.of(media_type)
            self.away[media_type] = tuple(
                arr.instance for arr in arrs if None in (arr.queue, arr.history, arr.titles)
            )
            if arrs and all(arr.whole and arr.titles is not None for arr in arrs):
                self.whole.add(media_type)
            for arr in arrs:
                history = _by_title(arr)
                found += (
                    (media_type, title.ids, Place(arr, title, history.get(title.arr_id, ())))
                    for title in arr.titles or ()
                )
        self._found = ByIds(found)

    def find(self, media_type: MediaType, ids: Ids) -> list[Place]:
        """The instances that know a title, the primary first."""
        return self._found.find(media_type, ids)

    def is_alone(self, arr: ArrPipeline) -> bool:
        """Whether there is no other instance of its kind."""
        return len(self._instances[arr.media_type]) == 1


def _by_title(arr: ArrPipeline) -> Mapping[int, Sequence[HistoryEvent]]:
    found: defaultdict[int, list[HistoryEvent]] = defaultdict(list)
    for event in arr.history or ():
        found[event.arr_id].append(event)
    return found


@dataclass(frozen=True, slots=True)
class Case:
    """One title that somebody waits for.

    Attributes:
        requests: the open ones of it.
        statuses: what is known of all requests that it is waited for by, listed or asked for.
        seasons: that are waited for; empty for all, and for a film.
        followed: what is kept of the row of ours, if there is one.
        listed: Seerr's open requests are known.
    """

    media_type: MediaType
    ids: Ids
    requests: Sequence[SeerrRequest] = ()
    statuses: frozenset[SeerrStatus] = frozenset()
    seasons: frozenset[int] = frozenset()
    followed: Followed | None = None
    listed: bool = True

    @property
    def is_pending(self) -> bool:
        """Whether all that is known to wait for it waits for approval."""
        return self.statuses == {SeerrStatus.PENDING}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a title has come.

    Attributes:
        state: None where nothing tells.
        unit: what the state rests on; None where no download and no file does.
        alerts: of any of its downloads.
        known: ids of all downloads that are seen now.
        imported: ids of downloads that have been imported.
        away: services that the state may rest on and that could not be asked, or not believed.
        held: something of it is in an instance: a download, a grab, or a file.
        views: the instances that count.
    """

    state: RequestState | None
    why: str = ""
    service: str = "library_sync"
    unit: Unit | None = None
    alerts: tuple[Alert, ...] = ()
    known: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()
    away: tuple[str, ...] = ()
    held: bool = False
    views: Sequence[TitleView] = field(default_factory=tuple)


def judge(case: Case, pipeline: Pipeline, places: Places, now: datetime) -> Judgement:
    """How far a title has come, by everything that was said of it."""
    views = _views(case, pipeline, places, now)
    units = [unit for view in views for unit in view.units]
    best = _best(units, case)
    base = _at_rest(case, views, places)
    alerts = [alert for unit in units for alert in unit.alerts]
    if best is None or case.media_type is MediaType.TV:
        alerts += base.alerts
    if best is not None and _others_wait(best, views):
        best = None
    best = best or base.unit
    state, why, service = base.state, base.why, base.service
    if best is not None:
        state, why, service = best.state, best.why, best.service
    if state is RequestState.APPROVED and case.is_pending:
        state = RequestState.REQUESTED
    return Judgement(
        state,
        why,
        service,
        best,
        tuple(dict.fromkeys(alerts)),
        frozenset(unit.download for unit in units if unit.download),
        frozenset().union(*(view.imported for view in views)),
        _away(case, pipeline, places, views, best),
        held=bool(units) or base.held or any(view.events or view.entries for view in views),
        views=views,
    )


def _views(case: Case, pipeline: Pipeline, places: Places, now: datetime) -> Sequence[TitleView]:
    """The title in the instances that count: those of the wanted resolution, if any knows it."""
    found = places.find(case.media_type, case.ids)
    if case.requests:
        in_4k = all(request.is_4k for request in case.requests)
        found = [place for place in found if place.arr.is_4k == in_4k] or found
    return [
        TitleView(
            arr=place.arr,
            title=place.title,
            now=now,
            seasons=case.seasons,
            alone=places.is_alone(place.arr),
            torrents=pipeline.torrents,
            shoko=pipeline.shoko,
            followed=case.followed,
            history=place.history,
        )
        for place in found
    ]


def _best(units: Sequence[Unit], case: Case) -> Unit | None:
    """The unit that tells how far the title is; of equal ones the row's own."""
    own = case.followed.download if case.followed else None
    if case.media_type is MediaType.MOVIE:
        return max(units, key=lambda unit: (RANK[unit.state], unit.download == own), default=None)
    order = {state: at for at, state in enumerate(MOVES)}
    return min(
        units,
        key=lambda unit: (order.get(unit.state, len(order)), unit.download != own),
        default=None,
    )


def _others_wait(best: Unit, views: Sequence[TitleView]) -> bool:
    """Whether a download that came to nothing leaves episodes that others are wanted for."""
    if best.state is not RequestState.FAILED or views[0].arr.media_type is MediaType.MOVIE:
        return False
    failed = sum(view.failed for view in views)
    counts = [_counts(view) for view in views]
    return failed < max(sum(one.due - one.files for one in season.values()) for season in counts)


def _away(
    case: Case,
    pipeline: Pipeline,
    places: Places,
    views: Sequence[TitleView],
    unit: Unit | None,
) -> tuple[str, ...]:
    """Services whose word is missing, or cannot be believed, where a state would go back."""
    away = list(places.away[case.media_type])
    away += [view.arr.instance for view in views if not view.trusts_own()]
    if not case.listed and (unit is None or case.is_pending):
        away.append("seerr")
    if pipeline.torrents is not None and pipeline.torrents.torrents is None:
        away.append("qbittorrent")
    if pipeline.shoko is not None and pipeline.shoko.files is None:
        away.append("shoko")
    return tuple(dict.fromkeys(away))


# --- nothing is on its way ---------------------------------------------------------------------


_OPEN: Final = frozenset({SeerrStatus.PENDING, SeerrStatus.APPROVED, SeerrStatus.FAILED})


def _at_rest(case: Case, views: Sequence[TitleView], places: Places) -> Judgement:
    """How far a title is that no download and no single file speaks for."""
    if not views:
        return _by_seerr(case, places)
    film = case.media_type is MediaType.MOVIE
    judged = _film(views[0]) if film else _series(case, views[0])
    if judged.unit is None and not case.statuses & _OPEN:
        nobody = not judged.held and not places.away[case.media_type]
        return Judgement(None, alerts=_completed(case) if nobody else (), held=judged.held)
    if judged.state is RequestState.APPROVED and case.is_pending:
        searching = f"; {views[0].service} searches already" if judged.why == WANTED else ""
        why = f"waits for approval{searching}"
        return Judgement(RequestState.REQUESTED, why, "jellyseerr", held=judged.held)
    return judged


def _film(view: TitleView) -> Judgement:
    film = view.title
    if not film.monitored:
        sentence = "the film is not monitored"
        return Judgement(
            RequestState.APPROVED, sentence, view.tag, alerts=_unmonitored(view, sentence)
        )
    why = "not released yet" if film.released is False else WANTED
    return Judgement(RequestState.APPROVED, why, view.tag)


def _unmonitored(view: TitleView, sentence: str) -> tuple[Alert, ...]:
    """A call for a person, by a fresh word or by an older one that has called before."""
    read_at, kept = view.title.read_at, view.followed
    stale = read_at is not None and view.now - read_at > _FRESH
    called = kept and any(call.kind is AttentionKind.NOT_MONITORED for call in kept.calls)
    if stale and not called:
        return ()
    return (Alert(AttentionKind.NOT_MONITORED, view.service, sentence, at_once=True),)


def _counts(view: TitleView) -> dict[int, ArrSeason]:
    """The counts of the seasons that are waited for, without specials where all are."""
    return {
        number: season
        for number, season in view.title.seasons.items()
        if (number in view.seasons if view.seasons else number > 0)
    }


def _series(case: Case, view: TitleView) -> Judgement:
    seasons = _counts(view)
    short = {number: one for number, one in seasons.items() if one.files < max(one.total, 1)}
    if seasons and not short and view.seasons <= seasons.keys():
        unit = view.file()
        return Judgement(unit.state, unit.why, unit.service, unit, held=True)
    missing = sorted(
        {number for number, one in short.items() if not (one.monitored and view.title.monitored)}
        | (view.seasons - seasons.keys())
    )
    nothing = len(missing) == len(view.seasons | short.keys())
    if nothing and SeerrStatus.APPROVED not in case.statuses & _OPEN:
        return _by_word(case)
    alerts = _not_monitored(case, view, missing) if missing else ()
    held = any(one.files for one in seasons.values())
    due = [number for number, one in short.items() if one.files < one.due and number not in missing]
    if due:
        why = WANTED
    elif nothing:
        why = alerts[0].sentence if alerts else "approved"
    else:
        why = "everything monitored that has aired is there"
        why = why if held else "not aired yet"
    return Judgement(RequestState.APPROVED, why, view.tag, alerts=alerts, held=held)


def _not_monitored(case: Case, view: TitleView, missing: Sequence[int]) -> tuple[Alert, ...]:
    """What to say of seasons that Sonarr looks for nothing of, or does not know."""
    if not view.title.monitored:
        sentence = "the series is not monitored"
    elif len(missing) == 1:
        unknown = missing[0] not in view.title.seasons
        sentence = f"season {missing[0]} is not {'known' if unknown else 'monitored'}"
    else:
        sentence = f"seasons {', '.join(map(str, missing))} are not monitored"
    approved = [one for one in case.requests if one.status is SeerrStatus.APPROVED]
    alerts = _unmonitored(view, sentence)
    if alerts and any(
        one.media is SeerrMedia.AVAILABLE and one.seasons & set(missing) for one in approved
    ):
        sentence = f"Seerr counts the series as available and sent nothing; {sentence} in Sonarr"
        return (Alert(AttentionKind.NOT_MONITORED, "Seerr", sentence, at_once=True),)
    return alerts


def _by_seerr(case: Case, places: Places) -> Judgement:
    """What Seerr alone tells of a title that no instance knows."""
    if places.away[case.media_type] and case.followed is not None:
        # Not known to those that answer, which says nothing of what the others have of it.
        pending = case.followed.written is RequestState.REQUESTED
        if not pending or SeerrStatus.APPROVED not in case.statuses:
            return Judgement(None)
    certain = case.media_type in places.whole and not places.away[case.media_type]
    if SeerrStatus.APPROVED in case.statuses:
        alerts = (_not_there(case),) if certain and case.requests else ()
        return Judgement(RequestState.APPROVED, "approved", "jellyseerr", alerts=alerts)
    if SeerrStatus.FAILED in case.statuses and places.away[case.media_type]:
        return Judgement(None)
    judged = _by_word(case)
    return judged if judged.state or not certain else replace(judged, alerts=_completed(case))


def _by_word(case: Case) -> Judgement:
    """What Seerr says of a title that nobody has and that it does not count as approved."""
    if SeerrStatus.FAILED in case.statuses:
        sentence = "Seerr could not send the request"
        alert = Alert(AttentionKind.SEERR_FAILED, "Seerr", sentence, at_once=True)
        return Judgement(RequestState.FAILED, sentence, "jellyseerr", alerts=(alert,))
    if SeerrStatus.PENDING in case.statuses:
        return Judgement(RequestState.REQUESTED, "waits for approval", "jellyseerr")
    return Judgement(None)


def _completed(case: Case) -> tuple[Alert, ...]:
    """What to say of a request that Seerr counts as done though nobody has what it asks for."""
    if case.statuses != {SeerrStatus.COMPLETED}:
        return ()
    sentence = "Seerr counts the request as completed, and nobody has it"
    return (Alert(AttentionKind.SEERR_AVAILABLE, "Seerr", sentence, at_once=True),)


def _not_there(case: Case) -> Alert:
    """Why an approved title is in no instance, as far as Seerr's words tell."""
    approved = [one for one in case.requests if one.status is SeerrStatus.APPROVED]
    service = "Radarr" if case.media_type is MediaType.MOVIE else "Sonarr"
    if any(one.media is SeerrMedia.AVAILABLE for one in approved):
        what = "film" if case.media_type is MediaType.MOVIE else "series"
        sentence = f"Seerr counts the {what} as available and sent nothing"
        return Alert(AttentionKind.SEERR_AVAILABLE, "Seerr", sentence, at_once=True)
    if any(one.sent for one in approved):
        sentence = f"approved and sent, but not in {service} any more"
        return Alert(AttentionKind.NOT_IN_ARR, "Seerr", sentence)
    return Alert(AttentionKind.NOT_SENT, "Seerr", "approved but never sent")


def grab_of(judged: Judgement) -> tuple[TitleView, HistoryEvent] | None:
    """The grab of the download that a state rests on, where the history has it."""
    if judged.unit is None or judged.unit.download is None:
        return None
    for view in judged.views:
        for events in view.events.values():
            for event in reversed(events):
                grabbed = event.kind is HistoryKind.GRABBED
                if grabbed and event.download_id == judged.unit.download:
                    return view, event
    return None
