"""How many titles and runs there are, for the metrics."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from daemon.domain import Outcome
from daemon.store import history
from daemon.store.database import Connection, data_version

_BOUNDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, math.inf)


class Figures(NamedTuple):
    """Totals of the file.

    Attributes:
        titles: how many, by media type and state in the tracker's own words.
        ended: how many runs, by trigger, outcome and kind.
        within: of runs that were not interrupted, how many took at most so many seconds; passes
            over titles on their way are written down at their end, and have no duration here.
        seconds: their total duration.
        last_good: when the latest successful full run ended.
    """

    titles: Mapping[tuple[str, ...], int]
    ended: Mapping[tuple[str, ...], int]
    within: Mapping[float, int]
    seconds: float
    last_good: datetime | None


class Counter:
    """Caches the totals until somebody writes to the file."""

    def __init__(self) -> None:
        self._version = -1
        self._figures: Figures | None = None

    def count(self, connection: Connection) -> Figures:
        """How many there are now."""
        version = data_version(connection)
        if self._figures is None or version != self._version:
            self._figures = _counted(connection)
            self._version = version
        return self._figures


def _counted(connection: sqlite3.Connection) -> Figures:
    took = "(julianday(ended_at) - julianday(started_at)) * 86400"
    within = ", ".join(f"COALESCE(SUM({took} <= ?), 0)" for _ in _BOUNDS)
    seconds, *numbers = connection.execute(
        f"SELECT COALESCE(SUM({took}), 0), {within} FROM sync_runs"
        " WHERE kind <> 'pending' AND outcome NOT IN (?, ?)",
        (*_BOUNDS, Outcome.RUNNING.value, Outcome.INTERRUPTED.value),
    ).fetchone()
    last = history.latest_full(connection, Outcome.OK)
    return Figures(
        titles=_grouped(connection, "media_type, state", "requests"),
        ended=_grouped(connection, "trigger, outcome, kind", "sync_runs WHERE ended_at NOT NULL"),
        within=dict(zip(_BOUNDS, numbers, strict=True)),
        seconds=seconds,
        last_good=datetime.fromisoformat(last.ended_at) if last and last.ended_at else None,
    )


def _grouped(connection: sqlite3.Connection, by: str, rows: str) -> dict[tuple[str, ...], int]:
    found = connection.execute(f"SELECT {by}, COUNT(*) FROM {rows} GROUP BY {by}")
    return {tuple(map(str, labels)): count for *labels, count in found}
