"""A tracker's file for the tests of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.store import Store, open_store
from tests.builders import NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is; it is not there yet."""
    return tmp_path / "tracker.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    """A new file, open, at a fixed moment."""
    async with open_store(path, clock=lambda: NOW) as opened:
        yield opened
