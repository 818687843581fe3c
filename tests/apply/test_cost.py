"""What a run costs, counted: calls, statements, SQLite's steps, Python's calls. Not one second."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import daemon
from daemon.reasons import Count
from daemon.store.database import Store
from tests.pretend import World
from tests.worlds import Place, a_place

TITLES = 1_000
_PACKAGE = str(Path(daemon.__file__).parent)
_STEPS = 100


class Cost(NamedTuple):
    """What one run took.

    Attributes:
        jellyfin: exchanges with it, as with the others.
        statements: that SQLite was given, on both connections.
        steps: instructions of SQLite's machine, in hundreds; each row that is looked at takes some.
        functions: calls of functions of the package, and turns of its generators.
    """

    jellyfin: float
    radarr: float
    sonarr: float
    statements: int
    steps: int
    functions: int

    def beyond(self, most: Cost) -> dict[str, tuple[float, float]]:
        """What is over its limit, with the limit."""
        pairs = zip(self._fields, zip(self, most, strict=True), strict=True)
        return {name: pair for name, pair in pairs if pair[0] > pair[1]}


@contextmanager
def _functions_counted() -> Iterator[Counter[str]]:
    """Count in this thread and in those that are begun meanwhile."""
    seen: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_PACKAGE):
            seen["functions"] += 1

    usual = sys.getprofile()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(usual)
        threading.setprofile(None)


async def _watch(store: Store, seen: Counter[str]) -> None:
    """Count what both connections are asked to do."""

    def stepped() -> None:
        seen["steps"] += 1

    def stated(_: str) -> None:
        seen["statements"] += 1

    connections: list[Any] = [store._writer, store._reader]
    for connection in connections:
        await connection.set_trace_callback(stated)
        await connection.set_progress_handler(stepped, _STEPS)


async def cost(place: Place, seen: Counter[str]) -> Cost:
    """Run once and count."""
    seen.clear()
    result = await place.sync()
    jellyfin, radarr, sonarr = (one["calls"] for one in result.calls.values())
    return Cost(jellyfin, radarr, sonarr, seen["statements"], seen["steps"], seen["functions"])


@pytest.fixture(scope="module")
def library() -> World:
    """800 films and 200 series, of which Radarr and Sonarr know nine in ten."""
    return World.of_size(movies=TITLES * 4 // 5, series=TITLES // 5, episodes_per_series=2)


@pytest.fixture
async def counted(tmp_path: Path, library: World) -> AsyncIterator[tuple[Place, Counter[str]]]:
    """An empty tracker beside the library, and what counts."""
    with _functions_counted() as seen:
        async with a_place(tmp_path, library) as place:
            await _watch(place.store, seen)
            yield place, seen


async def test_a_first_run_costs_what_it_must(counted: tuple[Place, Counter[str]]) -> None:
    """Each title is written with five statements, and takes some hundred calls in all."""
    place, seen = counted
    taken = await cost(place, seen)
    assert place.results[-1].stats[Count.ADDED] == TITLES
    assert taken.beyond(Cost(10, 3, 3, TITLES * 53 // 10, TITLES * 2, TITLES * 122)) == {}


async def test_a_run_in_which_nothing_changed_costs_little(
    counted: tuple[Place, Counter[str]],
) -> None:
    """No statement is made for a single title, and comparing one takes some fifty calls."""
    place, seen = counted
    await place.sync()
    taken = await cost(place, seen)
    assert place.results[-1].stats[Count.ADDED] == 0
    assert taken.beyond(Cost(9, 3, 3, 50, TITLES * 17 // 10, TITLES * 56)) == {}
