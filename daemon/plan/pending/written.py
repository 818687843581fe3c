"""The written form of a title on its way: columns and timeline. Pure.

It must not contain keys: URLs, file names and other data of an indexer are left out.
"""

from __future__ import annotations

from typing import Final

from daemon.domain import RequestState, Value
from daemon.pending import TimelineEvent
from daemon.pipeline import HistoryEvent, SeerrRequest
from daemon.plan.pending.cases import RANK, Case, Judgement, grab_of
from daemon.plan.pending.downloads import TitleView
from daemon.plan.pending.gauges import size_text
from daemon.plan.pending.places import Places
from daemon.plan.pending.units import is_hash

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
"""The tracker's names of timeline events."""


def primary(judged: Judgement, case: Case, places: Places) -> int | None:
    """The primary's number of a title, where the primary is the instance that is asked for it.

    The tracker's dashboard deletes by that number, with the files: for a request in 4K that would
    be another film than the one that was asked for.
    """
    view = next((view for view in judged.views if view.arr.primary), None)
    if view is None or not case.requests:
        return None
    fits = view.arr.is_4k == case.in_4k or not places.offers(case.media_type, in_4k=case.in_4k)
    return view.title.arr_id if fits else None


def download(judged: Judgement) -> dict[str, Value]:
    """The columns of the download on which a state is based."""
    unit = judged.unit
    if unit is None or unit.download is None:
        return {}
    columns: dict[str, Value] = {"qbit_hash": unit.download if is_hash(unit.download) else None}
    if found := grab_of(judged):
        grab = found[1]
        columns |= {"quality": grab.quality, "indexer": grab.indexer}
        columns |= {"file_size": grab.size, "release_group": grab.release_group}
    return columns


def seasons(numbers: frozenset[int]) -> dict[str, Value]:
    """The columns of requested seasons."""
    ordered = sorted(numbers)
    return {"requested_seasons": ",".join(map(str, ordered)), "season": ordered[0]}


def moved(before: RequestState, state: RequestState, judged: Judgement) -> TimelineEvent:
    """The timeline entry for a transition."""
    found = grab_of(judged) if state is RequestState.GRABBING else None
    if found is not None:
        return _grabbed(*found)._replace(at=None)
    word = _WORDS[state]
    if RANK.get(before, 0) > RANK[state]:
        word = "Import" if judged.imported and not judged.alerts else "Failed"
    return TimelineEvent(state, judged.service, word, judged.why)


def begun(
    request: SeerrRequest, judged: Judgement, state: RequestState
) -> tuple[TimelineEvent, ...]:
    """The initial timeline of a new row: known past events, then the current state."""
    who = f"by {request.requested_by}" if request.requested_by else "in Seerr"
    requested = TimelineEvent(
        RequestState.REQUESTED, "jellyseerr", "Requested", f"Requested {who}", request.created_at
    )
    if state is RequestState.REQUESTED:
        return (requested,)
    details = f"Found by Library Sync: {judged.why}"
    now = TimelineEvent(state, "library_sync", _WORDS[state], details)
    if (found := grab_of(judged)) is None:
        return (requested, now)
    grab = _grabbed(*found)
    return (requested, grab) if state is RequestState.GRABBING else (requested, grab, now)


def _grabbed(view: TitleView, grab: HistoryEvent) -> TimelineEvent:
    source = f"from {grab.indexer}" if grab.indexer else None
    text = " ".join(part for part in (grab.quality, source) if part)
    details = ", ".join(part for part in (text, size_text(grab.size)) if part)
    return TimelineEvent(
        RequestState.GRABBING, view.tag, "Grab", details or "a release was grabbed", grab.date
    )
