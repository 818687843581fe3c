"""Worlds that go wrong at random, over months: disks, scans, servers, clocks, people, numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.test_random_world import lives
from tests.torture.promises import promise

WORLDS, STEPS = 6, 1_200


@promise(
    "Whatever goes wrong, nothing false is said available, and what is on a disk keeps its row",
    f"{WORLDS} random worlds of {STEPS // 2:,} runs",
)
@pytest.mark.parametrize("seed", range(WORLDS))
async def test_random_worlds(seed: int, tmp_path: Path) -> None:
    """What is deleted goes in the end, too."""
    await lives(seed, tmp_path / "tracker.db", STEPS)
