"""The demo, as `make demo` starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.builders import rows

ROOT = Path(__file__).parents[2]


async def test_the_demo_tells_its_story(tmp_path: Path) -> None:
    """It needs no configuration, and keeps the tracker's file where it is told to."""
    kept = tmp_path / "kept.db"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.pretend", "--once", "--port", "0", "--keep", str(kept)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    told = [
        "In sync:",
        "downloading  qBittorrent",
        "now available",
        "Held:",
        "relinked",
        "removed",
        "brings Detour back",
    ]
    assert [words for words in told if words not in said.decode()] == []
    assert rows(kept, "SELECT COUNT(*) FROM requests") == [(43,)]
