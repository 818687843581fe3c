"""State transitions of managed rows: forward at once, back only on doubled evidence. Pure.

A state stands until another one is certain: a service that is down, a server that
has just started, or a list that is a minute old, move nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

from daemon.domain import MediaType, RequestState
from daemon.pending import Attention, AttentionKind, Followed, PendingRow, Timer
from daemon.plan.pending.cases import RANK, Judgement

DOUBT: Final = timedelta(seconds=120)
"""Minimum time between the passes that it takes to move back."""

_GIVEN_UP: Final = frozenset({RequestState.TIMEOUT, RequestState.MATCH_FAILED, RequestState.FAILED})
"""States in which the tracker gave up; only new evidence moves them."""

_STICKY: Final = frozenset(
    {RequestState.DOWNLOADING, RequestState.DOWNLOADED, RequestState.IMPORTING}
)
_PROGRESS: Final = 0.01


class Step(NamedTuple):
    """A transition of a row's state.

    Attributes:
        state: the new state.
        doubt: evidence against a state that stays for now; None if there is none.
    """

    state: RequestState
    doubt: Timer | None = None


def seen(timer: Timer | None, value: str) -> Timer:
    """The timer after one more pass with a value."""
    if timer is None or timer.value != value:
        return Timer(value)
    return timer._replace(sightings=timer.sightings + 1)


def is_confirmed(timer: Timer, wait: timedelta) -> bool:
    """Whether a value was stable for at least two passes and long enough (debounce)."""
    return timer.sightings > 1 and timer.waited >= wait


def settle(row: PendingRow, state: RequestState, kept: Followed, judged: Judgement) -> Step:
    """The transition of a managed row, given what the services say now."""
    wanted = judged.state
    before = kept.timers.get("doubt")
    if wanted is None:
        return Step(state, before)
    if wanted is state:
        return Step(state)
    if state is not kept.written:
        return Step(wanted if _is_newer(state, wanted, kept, judged) else state)
    if _is_forward(state, wanted) or _is_explained(row, state, kept, judged):
        return Step(wanted)
    if judged.away:
        return Step(state, before)
    if _stays(state, wanted, kept, judged):
        return Step(state)
    doubt = seen(before, wanted)
    return Step(wanted) if is_confirmed(doubt, DOUBT) else Step(state, doubt)


def _is_forward(state: RequestState, wanted: RequestState) -> bool:
    failed = state is RequestState.APPROVED and wanted is RequestState.FAILED
    return failed or RANK[wanted] > RANK[state]


def _is_newer(state: RequestState, wanted: RequestState, kept: Followed, judged: Judgement) -> bool:
    """Whether there is newer evidence than the tracker's own change of the row."""
    if state not in _GIVEN_UP:
        return _is_forward(state, wanted)
    unit = judged.unit
    if unit is not None and unit.download and unit.download not in kept.known:
        return True
    grown = unit is not None and (unit.progress or 0.0) >= kept.progress + _PROGRESS
    return grown or RANK[wanted] > RANK[kept.written]


def _is_explained(row: PendingRow, state: RequestState, kept: Followed, judged: Judgement) -> bool:
    """Whether an earlier state is certain, and nothing was lost."""
    unit = judged.unit
    if state is RequestState.ANIME_MATCHING:
        return unit is not None and unit.matched
    if kept.filed:
        return False
    if unit is not None and (unit.ignored or (unit.download and unit.download not in kept.known)):
        return True
    return row.media_type is MediaType.TV and kept.download in judged.imported


def _stays(state: RequestState, wanted: RequestState, kept: Followed, judged: Judgement) -> bool:
    """Whether one download merely regressed, as queues do after each refresh."""
    unit = judged.unit
    same = unit is not None and unit.download is not None and unit.download == kept.download
    if not same or state not in _STICKY:
        return False
    assert unit is not None  # noqa: S101 - mypy does not see that `same` says so
    blocked = any(alert.kind is AttentionKind.IMPORT for alert in unit.alerts)
    if state is RequestState.IMPORTING and blocked:
        return False
    return not (unit.active and wanted is RequestState.DOWNLOADING)


def is_unknown(state: RequestState, kept: Followed, judged: Judgement) -> bool:
    """Whether a state stands only because services are unavailable."""
    if judged.state is None:
        return not judged.alerts
    return judged.state is not state and state is kept.written and bool(judged.away)


def remembered(
    kept: Followed,
    state: RequestState,
    judged: Judgement,
    measured: Mapping[str, Timer],
    calls: tuple[Attention, ...],
) -> Followed:
    """The kept state of a row after a pass; judgement data only if the row agrees."""
    known = replace(kept, known=kept.known | judged.known, calls=calls, timers=dict(measured))
    if judged.state is not state:
        return known
    unit = judged.unit
    filed = unit is not None and unit.filed
    download, progress = kept.download, kept.progress
    if filed or RANK[state] < RANK[RequestState.GRABBING]:
        download = None
    if unit is not None and unit.download is not None and unit.download != download:
        download, progress = unit.download, 0.0
    return replace(
        known,
        written=state,
        download=download,
        filed=filed,
        progress=max(progress, (unit.progress if unit else None) or 0.0),
        why=judged.why,
    )
