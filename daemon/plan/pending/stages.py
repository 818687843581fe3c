"""Judges how far a requested title has come, by all instances, then Seerr. Pure.

A film is as far as its most advanced download. A series shows what is moving, since a season whose
first episode is imported is far from complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import MediaType, RequestState
from daemon.pipeline import Pipeline
from daemon.plan.pending.cases import MOVES, RANK, Case, Judgement
from daemon.plan.pending.downloads import TitleView
from daemon.plan.pending.places import Places
from daemon.plan.pending.resting import at_rest, counts
from daemon.plan.pending.units import Unit, is_hash


def judge(case: Case, pipeline: Pipeline, places: Places, now: datetime) -> Judgement:
    """Judge a title by everything known about it."""
    views = _views(case, pipeline, places, now)
    units = [unit for view in views for unit in view.units]
    best = _best(units, case)
    base = at_rest(case, views, places)
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
    """The title in the relevant instances: those of the wanted resolution, if any."""
    found = places.find(case.media_type, case.ids)
    if case.requests:
        found = [place for place in found if place.arr.is_4k == case.in_4k] or found
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
            queue=place.queue,
            history=place.history,
        )
        for place in found
    ]


def _best(units: Sequence[Unit], case: Case) -> Unit | None:
    """The most significant unit; of equal ones the row's own."""
    own = case.followed.download if case.followed else None
    if case.media_type is MediaType.MOVIE:
        return max(units, key=lambda unit: (RANK[unit.state], unit.download == own), default=None)
    return min(
        units,
        key=lambda unit: (MOVES.index(unit.state), unit.download != own),
        default=None,
    )


def _others_wait(best: Unit, views: Sequence[TitleView]) -> bool:
    """Whether a lost download leaves episodes that still need others."""
    if best.state is not RequestState.FAILED or views[0].arr.media_type is MediaType.MOVIE:
        return False
    missing = (sum(season.due - season.files for season in counts(view).values()) for view in views)
    return sum(view.failed for view in views) < max(missing)


def _away(
    case: Case,
    pipeline: Pipeline,
    places: Places,
    views: Sequence[TitleView],
    unit: Unit | None,
) -> tuple[str, ...]:
    """Unavailable or untrusted services that could contradict a regression."""
    away = list(places.silent(case.media_type, case.ids))
    away += [view.arr.instance for view in views if not view.trusts_own()]
    if not case.listed and (unit is None or case.is_pending):
        away.append("seerr")
    own = case.followed.download if case.followed else None
    torrents, shoko = pipeline.torrents, pipeline.shoko
    if torrents is not None and torrents.torrents is None and (own is None or is_hash(own)):
        away.append("qbittorrent")
    if shoko is not None and shoko.files is None and any(view.title.anime for view in views):
        away.append("shoko")
    return tuple(dict.fromkeys(away))
