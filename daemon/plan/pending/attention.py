"""Findings about titles on their way, and when they become due. Pure.

A title is stuck if none of its evidence has changed for long enough. Services are quoted
in their own words. Times are lower bounds, so setting a clock can only delay a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from daemon.domain import RequestState
from daemon.pending import Attention, AttentionKind, Followed, PendingRow, Timer
from daemon.pipeline import OTHER_SEERR, Pipeline, SeerrRequest, SeerrStatus
from daemon.plan.pending.cases import Judgement
from daemon.plan.pending.precedence import DOUBT, is_confirmed, seen
from daemon.plan.pending.resting import WANTED
from daemon.plan.pending.units import FETCHING, Alert, is_blocked

_AFTER: Final = {
    AttentionKind.NOT_SENT: timedelta(minutes=15),
    AttentionKind.NOT_IN_ARR: timedelta(minutes=15),
    AttentionKind.QUEUE: DOUBT,
    AttentionKind.TORRENT: DOUBT,
    AttentionKind.DOWNLOAD_GONE: DOUBT,
    AttentionKind.NOT_IN_QUEUE: DOUBT,
    AttentionKind.FAILED: DOUBT,
}
"""Minimum duration of a finding, in two passes at least; others need just two passes."""

APPROVAL: Final = timedelta(days=7)

_STUCK: Final = {
    RequestState.APPROVED: (AttentionKind.NOTHING_FOUND, timedelta(days=7)),
    RequestState.GRABBING: (AttentionKind.STALLED, timedelta(hours=1)),
    RequestState.DOWNLOADING: (AttentionKind.STALLED, timedelta(hours=6)),
    RequestState.DOWNLOADED: (AttentionKind.NOT_IMPORTED, timedelta(minutes=30)),
    RequestState.IMPORTING: (AttentionKind.NOT_IN_JELLYFIN, timedelta(minutes=30)),
    RequestState.ANIME_MATCHING: (AttentionKind.NOT_MATCHED, timedelta(minutes=60)),
}
"""By state, how long without any change until a title is stuck."""

_SHOKO_GIVES_UP: Final = timedelta(days=15)
_SEEN, _SHOWN, _FADING = "seen", "shown", "fading"


def timers(state: RequestState, kept: Followed, judged: Judgement) -> dict[str, Timer]:
    """The timers of a row after this pass, except its doubt."""
    found = {"evidence": seen(kept.timers.get("evidence"), _evidence(state, judged))}
    for alert in judged.alerts:
        if alert.download is None:
            found[alert.kind] = seen(kept.timers.get(alert.kind), "")
    return found | _imports(kept, judged)


def _evidence(state: RequestState, judged: Judgement) -> str:
    """The evidence of movement; for a download only its progress."""
    unit = judged.unit
    if state in {RequestState.GRABBING, RequestState.DOWNLOADING} and unit is not None:
        return f"{state} {unit.download} {int((unit.progress or 0) * 1000)}"
    return f"{state} {unit.download if unit else None} {judged.why}"


def _imports(kept: Followed, judged: Judgement) -> dict[str, Timer]:
    """Downloads with a blocked import; the queue's state flips with every refresh."""
    now = {alert.download: alert.sentence for alert in judged.alerts if alert.download}
    found: dict[str, Timer] = {}
    for download in judged.known:
        name = f"import:{download}"
        before = kept.timers.get(name)
        phase, _, sentence = before.value.partition(":") if before else ("", "", "")
        if download in now:
            later = _SEEN if before is None else _SHOWN
            found[name] = seen(before, f"{later}:{now[download]}")
        elif phase == _SHOWN:
            found[name] = Timer(f"{_FADING}:{sentence}")
    return found


def of_row(
    row: PendingRow,
    state: RequestState,
    judged: Judgement,
    measured: Mapping[str, Timer],
    requests: Iterable[SeerrRequest],
    now: datetime,
) -> Iterator[Attention]:
    """The findings about one row."""
    said: set[AttentionKind] = set()
    for kind, service, sentence in _confirmed_alerts(judged, measured):
        said.add(kind)
        yield Attention(kind, service, sentence, row.title, row.id)
    if state is RequestState.REQUESTED:
        pending = [one.created_at for one in requests if one.status is SeerrStatus.PENDING]
        since = min(pending, default=now)
        if now - since >= APPROVAL:
            sentence = f"has been waiting for approval for {(now - since).days} days"
            kind = AttentionKind.WAITS_FOR_APPROVAL
            yield Attention(kind, "Seerr", sentence, row.title, row.id)
    elif not said and (stuck := _stuck(state, judged, measured)):
        yield Attention(stuck[0], *stuck[1:], row.title, row.id)


def _confirmed_alerts(
    judged: Judgement, measured: Mapping[str, Timer]
) -> Iterator[tuple[AttentionKind, str, str]]:
    """Alerts that lasted for enough passes and long enough."""
    for alert in judged.alerts:
        timer = measured.get(alert.kind)
        if alert.download is None and timer is not None and _is_due(alert, timer):
            yield alert.kind, alert.service, alert.sentence
    service = judged.views[0].service if judged.views else ""
    for name, timer in sorted(measured.items()):
        phase, _, sentence = timer.value.partition(":")
        if name.startswith("import:") and phase in {_SHOWN, _FADING}:
            yield AttentionKind.IMPORT, service, sentence


def _is_due(alert: Alert, timer: Timer) -> bool:
    return alert.at_once or is_confirmed(timer, _AFTER.get(alert.kind, timedelta()))


def _stuck(
    state: RequestState, judged: Judgement, measured: Mapping[str, Timer]
) -> tuple[AttentionKind, str, str] | None:
    """The finding for a row without change for too long, if any."""
    timer = measured.get("evidence")
    if state not in _STUCK or timer is None:
        return None
    kind, after = _STUCK[state]
    if timer.waited < after or not _counts(kind, judged):
        return None
    service = judged.views[0].service if judged.views else "Seerr"
    return kind, service, _sentence(kind, service, judged, timer.waited)


def _counts(kind: AttentionKind, judged: Judgement) -> bool:
    """Whether a stuck title is a finding of its own rather than of its service."""
    if kind is AttentionKind.NOTHING_FOUND:
        return judged.why == WANTED
    torrents = judged.views[0].torrents if judged.views else None
    return kind is not AttentionKind.STALLED or torrents is None or torrents.connected


def _sentence(kind: AttentionKind, service: str, judged: Judgement, waited: timedelta) -> str:
    if kind is AttentionKind.NOTHING_FOUND:
        return f"nothing found for {waited.days} days"
    if kind is AttentionKind.STALLED:
        return f"no progress for {_span(waited)}: {judged.why}"
    if kind is AttentionKind.NOT_IMPORTED:
        return f"downloaded {_span(waited)} ago and not imported yet"
    unit = judged.unit
    if kind is AttentionKind.NOT_MATCHED:
        return _unmatched(judged, waited)
    if unit is None or not unit.filed:
        return f"its import has been going on for {_span(waited)}"
    if unit.service == "shoko":
        return judged.why
    files = judged.views[0].title.files if judged.views else ()
    return f"{service} has {files[0] if files else 'the file'}; is it in a library of Jellyfin?"


def _unmatched(judged: Judgement, waited: timedelta) -> str:
    blocked = judged.views[0].shoko.blocked if judged.views and judged.views[0].shoko else ""
    if blocked or judged.why == FETCHING:
        return blocked or FETCHING
    if waited >= _SHOKO_GIVES_UP:
        return "AniDB does not know this file, and Shoko no longer asks; link it by hand"
    return "AniDB does not know this file yet; Shoko asks again each day, or link it by hand"


def _span(waited: timedelta) -> str:
    minutes = int(waited.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"  # noqa: PLR2004


def of_services(pipeline: Pipeline, waiting: Iterable[PendingRow]) -> Iterator[Attention]:
    """Findings about a service as a whole, reported once instead of per title."""
    if pipeline.seerr.distrust == OTHER_SEERR:
        sentence = f"{OTHER_SEERR}, so nothing is withdrawn"
        yield Attention(AttentionKind.OTHER_SEERR, "Seerr", sentence)
    kinds = {row.media_type for row in waiting}
    for arr in pipeline.arrs:
        if arr.media_type in kinds:
            for problem in arr.client_problems or ():
                yield Attention(AttentionKind.CLIENT_AWAY, arr.label, problem)
    if kinds and pipeline.torrents is not None and not pipeline.torrents.connected:
        sentence = "qBittorrent has no connection to the network"
        yield Attention(AttentionKind.CLIENT_AWAY, "qBittorrent", sentence)
    yield from _unknown_downloads(pipeline)


def _unknown_downloads(pipeline: Pipeline) -> Iterator[Attention]:
    """Finished downloads of unknown titles, which no instance will import."""
    known = {
        entry.download_id
        for arr in pipeline.arrs
        for entry in arr.queue or ()
        if entry.arr_id is not None
    }
    said: set[str | None] = set()
    for arr in pipeline.arrs:
        for entry in arr.queue or ():
            if entry.arr_id is None and is_blocked(entry) and entry.download_id not in known | said:
                said.add(entry.download_id)
                sentence = "; ".join(entry.messages) or "it fits no title"
                kind = AttentionKind.UNKNOWN_DOWNLOAD
                yield Attention(kind, arr.label, f"{entry.title}: {sentence}", entry.title)
