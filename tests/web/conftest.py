"""A served site for each test, and its log lines."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import logs
from tests.web.support import Stand, standing


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Serve a site with a small library."""
    async with standing(tmp_path) as made:
        yield made


@pytest.fixture
def lines() -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Give the log lines of an event so far."""
    stream = io.StringIO()
    logs.configure(format="json", level="info", secrets=(), version="1", stream=stream)

    def of(event: str) -> list[dict[str, Any]]:
        found = map(json.loads, stream.getvalue().splitlines())
        return [line for line in found if line["event"] == event]

    yield of
    logs.reset()
