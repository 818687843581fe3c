"""A download's progress in the tracker's format. Pure."""

from __future__ import annotations

from typing import Final

from daemon.domain import RequestState
from daemon.pending import Gauges
from daemon.plan.pending.cases import RANK, Judgement

_UNITS: Final = ("B", "KB", "MB", "GB", "TB")
_STEP: Final = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MOST_DAYS: Final = 99


def gauges(judged: Judgement, state: RequestState) -> Gauges:
    """The progress of a title; a pack of episodes counts once."""
    if state is not RequestState.DOWNLOADING:
        return Gauges(1.0 if RANK[state] > RANK[RequestState.DOWNLOADING] else None)
    units = {
        unit.download: unit
        for view in judged.views
        for unit in view.units
        if unit.state is RequestState.DOWNLOADING
    }.values()
    known = [(unit.progress, unit.size or 1) for unit in units if unit.progress is not None]
    size = sum(weight for _, weight in known)
    progress = sum(part * weight for part, weight in known) / size if size else None
    speeds = [unit.speed for unit in units if unit.speed is not None]
    etas = [unit.eta for unit in units if unit.eta is not None]
    return Gauges(
        None if progress is None else min(1.0, max(0.0, progress)),
        speed_text(sum(speeds)) if speeds else None,
        eta_text(max(etas)) if etas else None,
    )


def _scaled(size: float) -> str:
    at = 0
    while size >= _STEP and at < len(_UNITS) - 1:
        size, at = size / _STEP, at + 1
    return f"{size:.1f} {_UNITS[at]}"


def speed_text(per_second: int) -> str:
    """Bytes per second, such as `4.8 MB/s`."""
    return f"{_scaled(per_second)}/s"


def size_text(size: int | None) -> str | None:
    """Bytes, such as `12.3 GB`."""
    return _scaled(size) if size else None


def eta_text(seconds: int) -> str | None:
    """A duration in its two largest units, such as `2m 20s`; None if unknown."""
    if seconds < 0 or seconds > _MOST_DAYS * _DAY:
        return None
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m {seconds % _MINUTE}s"
    if seconds < _DAY:
        return f"{seconds // _HOUR}h {seconds % _HOUR // _MINUTE}m"
    return f"{seconds // _DAY}d {seconds % _DAY // _HOUR}h"
