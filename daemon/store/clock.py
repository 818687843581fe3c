"""Clocks: the wall clock, and a lower bound of elapsed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    """A point in time that yields a lower bound of the time elapsed since another.

    Attributes:
        boot: names the uptime that `monotonic` counts in.
        monotonic: lower bound of the seconds since about the machine's start.
        wall: seconds of the clock that people can set.
    """

    boot: str
    monotonic: float
    wall: float

    def elapsed_since(self, earlier: Moment) -> float:
        """A lower bound of the seconds elapsed since an earlier moment."""
        wall = self.wall - earlier.wall
        steady = self.monotonic - (earlier.monotonic if self.boot == earlier.boot else 0.0)
        return max(0.0, min(wall, steady))


@lru_cache(1)
def _boot(file: Path) -> tuple[str, float]:
    """The id of this boot, and the offset of its clock.

    A process that cannot read the boot id counts from its own start.
    """
    try:
        boot = file.read_text(encoding="ascii").strip()
    except OSError:
        return f"process {time.time_ns()}", time.monotonic()
    return boot, 0.0


def moment(boot_id: Path = _BOOT_ID) -> Moment:
    """The current moment."""
    boot, begin = _boot(boot_id)
    return Moment(boot, time.monotonic() - begin, time.time())


class Clock(NamedTuple):
    """The time: aware in UTC, and as a moment."""

    now: Callable[[], datetime]
    moment: Callable[[], Moment]


SYSTEM: Final = Clock(lambda: datetime.now(UTC), moment)
