"""The state of titles without a download: wanted, unmonitored, not sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from daemon.domain import MediaType, RequestState
from daemon.pending import AttentionKind
from daemon.pipeline import ArrSeason, SeerrMedia, SeerrStatus
from daemon.plan.pending.cases import Case, Judgement
from daemon.plan.pending.downloads import TitleView
from daemon.plan.pending.places import Places
from daemon.plan.pending.units import Alert

WANTED: Final = "wanted"
"""The note on a title that an instance is searching for."""

_FRESH: Final = timedelta(minutes=5)
"""How long an instance's cached answer is good enough for a finding."""

_OPEN: Final = frozenset({SeerrStatus.PENDING, SeerrStatus.APPROVED, SeerrStatus.FAILED})


def at_rest(case: Case, views: Sequence[TitleView], places: Places) -> Judgement:
    """The judgement of a title without a relevant download or file."""
    if not views:
        return _by_seerr(case, places)
    judged = _best([_film(view) if _is_film(case) else _series(case, view) for view in views])
    if judged.unit is None and not case.statuses & _OPEN:
        nobody = not judged.held and not places.silent(case.media_type, case.ids)
        return Judgement(None, alerts=_completed(case) if nobody else (), held=judged.held)
    if judged.state is RequestState.APPROVED and case.is_pending:
        searching = f"; {views[0].service} searches already" if judged.why == WANTED else ""
        why = f"waits for approval{searching}"
        return Judgement(RequestState.REQUESTED, why, "jellyseerr", held=judged.held)
    return judged


def _is_film(case: Case) -> bool:
    return case.media_type is MediaType.MOVIE


def _best(found: Sequence[Judgement]) -> Judgement:
    """The best instance: one that has all files, else one that is searching."""
    filed = (one for one in found if one.unit is not None)
    looking = (one for one in found if not one.alerts)
    return next(filed, None) or next(looking, found[0])


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
    """A finding, based on a fresh answer or confirmed by an earlier finding."""
    read_at, kept = view.title.read_at, view.followed
    stale = read_at is not None and view.now - read_at > _FRESH
    called = kept and any(call.kind is AttentionKind.NOT_MONITORED for call in kept.calls)
    if stale and not called:
        return ()
    return (Alert(AttentionKind.NOT_MONITORED, view.service, sentence, at_once=True),)


def counts(view: TitleView) -> dict[int, ArrSeason]:
    """The counts of wanted seasons, without specials if all are wanted."""
    return {
        number: season
        for number, season in view.title.seasons.items()
        if (number in view.seasons if view.seasons else number > 0)
    }


def _series(case: Case, view: TitleView) -> Judgement:
    seasons = counts(view)
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
        why = "everything monitored that has aired is available"
        why = why if held else "not aired yet"
    return Judgement(RequestState.APPROVED, why, view.tag, alerts=alerts, held=held)


def _not_monitored(case: Case, view: TitleView, missing: Sequence[int]) -> tuple[Alert, ...]:
    """The finding for seasons that Sonarr does not monitor or know."""
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
    """The judgement by Seerr alone of a title that no instance knows."""
    silent = places.silent(case.media_type, case.ids)
    if silent and case.followed is not None:
        # Not known to those that answer, which says nothing of what the others have of it.
        pending = case.followed.written is RequestState.REQUESTED
        if not pending or SeerrStatus.APPROVED not in case.statuses:
            return Judgement(None)
    certain = case.media_type in places.whole and not silent
    if SeerrStatus.APPROVED in case.statuses:
        alerts = (_not_there(case),) if certain and case.requests else ()
        return Judgement(RequestState.APPROVED, "approved", "jellyseerr", alerts=alerts)
    if SeerrStatus.FAILED in case.statuses and silent:
        return Judgement(None)
    judged = _by_word(case)
    return judged if judged.state or not certain else replace(judged, alerts=_completed(case))


def _by_word(case: Case) -> Judgement:
    """Seerr's status of a title that nobody has and that is not approved."""
    if SeerrStatus.FAILED in case.statuses:
        sentence = "Seerr could not send the request"
        alert = Alert(AttentionKind.SEERR_FAILED, "Seerr", sentence, at_once=True)
        return Judgement(RequestState.FAILED, sentence, "jellyseerr", alerts=(alert,))
    if SeerrStatus.PENDING in case.statuses:
        return Judgement(RequestState.REQUESTED, "waits for approval", "jellyseerr")
    return Judgement(None)


def _completed(case: Case) -> tuple[Alert, ...]:
    """The finding for a completed request whose content nobody has."""
    if case.statuses != {SeerrStatus.COMPLETED}:
        return ()
    sentence = "Seerr counts the request as completed, and nobody has it"
    return (Alert(AttentionKind.SEERR_AVAILABLE, "Seerr", sentence, at_once=True),)


def _not_there(case: Case) -> Alert:
    """Why an approved title is in no instance, according to Seerr."""
    approved = [one for one in case.requests if one.status is SeerrStatus.APPROVED]
    service = "Radarr" if _is_film(case) else "Sonarr"
    if any(one.media is SeerrMedia.AVAILABLE for one in approved):
        what = "film" if _is_film(case) else "series"
        sentence = f"Seerr counts the {what} as available and sent nothing"
        return Alert(AttentionKind.SEERR_AVAILABLE, "Seerr", sentence, at_once=True)
    if any(one.sent for one in approved):
        sentence = f"approved and sent, but not in {service} any more"
        return Alert(AttentionKind.NOT_IN_ARR, "Seerr", sentence)
    return Alert(AttentionKind.NOT_SENT, "Seerr", "approved but never sent")
