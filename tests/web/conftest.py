"""A served site for each test, and its log lines."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import logs
from daemon.web import Limits
from tests.pretend.jellyfin import VIEWER
from tests.web.people import Person, somebody
from tests.web.support import Stand, standing


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Serve a site with a small library."""
    async with standing(tmp_path) as made:
        yield made


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Stand]:
    """Serve a site that one address may have many connections to."""
    async with standing(tmp_path, limits=Limits(connections_of_one=200)) as made:
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


@pytest.fixture
async def alice(stand: Stand) -> AsyncIterator[Person]:
    """Give an administrator who is logged in."""
    async with somebody(stand) as person:
        await person.log_in()
        yield person


@pytest.fixture
async def bob(stand: Stand) -> AsyncIterator[Person]:
    """Give a plain user who is logged in."""
    async with somebody(stand) as person:
        await person.log_in(VIEWER)
        yield person
