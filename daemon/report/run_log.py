"""The latest log lines of runs, kept in memory for whoever looks at a run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_KEPT: Final = 3000
_LONGEST: Final = 1000
_FRAME: Final = frozenset(
    {*("timestamp", "level", "event", "logger", "service", "version", "run_id", "trigger")}
)


class Line(NamedTuple):
    """One line of a run's log.

    Attributes:
        at: when, as ISO text in UTC.
        level: its name, in lower case.
        text: the event and its fields, cut where it is very long.
    """

    run_id: int
    at: str
    level: str
    text: str


class RunLogBuffer:
    """A ring of lines; an old one goes for each new one."""

    def __init__(self, most: int = _KEPT) -> None:
        self._kept: deque[Line] = deque(maxlen=most)

    def keep(self, fields: Mapping[str, Any]) -> None:
        """Remember a line, if it is one of a run; its fields hold no secret any more."""
        if isinstance(run_id := fields.get("run_id"), int):
            rest = (f"{name}={value}" for name, value in fields.items() if name not in _FRAME)
            text = " ".join([fields["event"], *rest])[:_LONGEST]
            self._kept.append(Line(run_id, fields["timestamp"], fields["level"], text))

    def of(self, run_id: int, level: str, most: int) -> list[Line]:
        """A run's latest lines of a level or above, the oldest first."""
        rank = logging.getLevelNamesMapping()
        loud = {name.lower() for name in rank if rank[name] >= rank[level.upper()]}
        fits = [one for one in [*self._kept] if one.run_id == run_id and one.level in loud]
        return fits[-most:]
