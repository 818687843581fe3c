"""What each service says about a title on its way, briefly, and since when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from daemon.domain import MediaType, RequestState
from daemon.pending import Followed, Said
from daemon.pipeline import Pipeline, SeerrRequest, SeerrStatus, ShokoMatch
from daemon.plan.pending.cases import RANK, Case, Judgement
from daemon.plan.pending.downloads import TitleView
from daemon.plan.pending.joined import Joined

_STATUS: Final = {
    SeerrStatus.PENDING: "waits for approval",
    SeerrStatus.APPROVED: "approved",
    SeerrStatus.FAILED: "could not be sent",
}
_MATCH: Final = {
    ShokoMatch.UNSEEN: "does not know the file",
    ShokoMatch.UNRECOGNIZED: "does not recognize the file",
    ShokoMatch.FETCHING: "fetches the anime's data",
    ShokoMatch.MATCHED: "knows the file",
}
_Words = tuple[str, str | None]
"""A service and its text; None if it is unavailable."""


def sayings(was: Followed, case: Case, judged: Judgement, joined: Joined) -> tuple[Said, ...]:
    """What each configured service says; an unavailable one keeps its last text."""
    before = {one.service: one for one in was.said}
    pipeline = joined.pipeline
    words = [
        ("Seerr", _seerr(case.requests) if joined.listed else None),
        *_instances(case, judged, pipeline),
        *_downloads(judged, pipeline),
        *_shoko(judged, pipeline),
        ("Jellyfin", _library(case, joined)),
    ]
    return tuple(_said(before.get(name), name, told, joined.now) for name, told in words)


def _said(before: Said | None, service: str, words: str | None, now: datetime) -> Said:
    """Merge with the last pass: unchanged texts and ongoing silence keep their time."""
    if words is None:
        last = before or Said(service, "", now)
        return last._replace(silent=last.silent or now)
    if before is not None and before.words == words:
        return before._replace(silent=None)
    return Said(service, words, now)


def _seerr(requests: Sequence[SeerrRequest]) -> str:
    told = [
        f"request {one.id}{f' by {one.requested_by}' if one.requested_by else ''}:"
        f" {_STATUS.get(one.status, 'not understood')}"
        for one in requests
    ]
    return "; ".join(told) or "no open request"


def _instances(case: Case, judged: Judgement, pipeline: Pipeline) -> Iterator[_Words]:
    views = {view.arr.instance: view for view in judged.views}
    for arr in pipeline.of(case.media_type):
        if None in (arr.queue, arr.history, arr.titles):
            yield arr.label, None
        elif (view := views.get(arr.instance)) is not None:
            yield arr.label, _instance(view)
        elif arr.whole:
            yield arr.label, "does not know it"


def _instance(view: TitleView) -> str:
    if view.units:
        return max(view.units, key=lambda unit: RANK[unit.state]).why
    if not view.title.monitored:
        return "has it, and does not monitor it"
    if view.arr.media_type is MediaType.MOVIE and view.title.released is False:
        return "waits for its release"
    return "searches for it"


def _downloads(judged: Judgement, pipeline: Pipeline) -> Iterator[_Words]:
    """The state of the row's torrent in qBittorrent."""
    report = pipeline.torrents
    if report is None or judged.unit is None or judged.unit.download is None:
        return
    found = (report.torrents or {}).get(judged.unit.download)
    words = found.state if found else "does not have the download"
    yield "qBittorrent", None if report.torrents is None else words


def _shoko(judged: Judgement, pipeline: Pipeline) -> Iterator[_Words]:
    """The least advanced Shoko state of its files."""
    files = {path for view in judged.views for path in view.title.files}
    if pipeline.shoko is None or not files:
        return
    known = pipeline.shoko.files
    told = [_MATCH[match] for match in _MATCH if match in {(known or {}).get(one) for one in files}]
    yield "Shoko", None if known is None or not told else pipeline.shoko.blocked or told[0]


def _library(case: Case, joined: Joined) -> str:
    rows = joined.rows_of(case.media_type, case.ids)
    found = [one.seasons for one in joined.holdings(case.media_type, case.ids)]
    found += [row.seasons for row in rows if row.state is RequestState.AVAILABLE]
    whole = sorted(frozenset().union(*(seasons or () for seasons in found)))
    if whole:
        return f"has {'season' if len(whole) == 1 else 'seasons'} {', '.join(map(str, whole))}"
    return "has some of it" if found or any(row.linked for row in rows) else "does not have it"
