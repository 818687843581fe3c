"""Titles on their way, followed by a process that is killed at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

from daemon.store import audit, open_store
from tests.apply.test_pending import later
from tests.builders import rows
from tests.pretend import PretendServices
from tests.pretend.library import Movie
from tests.running import a_world, until
from tests.test_daemon import Place

FILMS = [Movie.named(f"Film {at}", 1930 + at, {"Tmdb": f"{9000 + at}"}) for at in range(6)]
STATES = "SELECT title, state FROM requests WHERE tmdb_id >= 9000 ORDER BY title"


async def test_a_daemon_that_is_killed_at_any_moment_says_nothing_twice(tmp_path: Path) -> None:
    """Between passes and within them; what was counted goes on, and the file is whole."""
    dice = random.Random(17)
    besides = ("seerr", "qbittorrent")
    async with PretendServices(a_world(), besides=besides) as services, AsyncExitStack() as stack:
        place, pipeline = Place(tmp_path, services, stack), services.pipeline
        place.configure(pending={"every": "5s", "progress": "5s"})
        first = await (await place.started()).ready()
        await until(lambda: first.logged("run.done"))
        await first.end(signal.SIGKILL)
        wishes = [pipeline.request(film) for film in FILMS]
        for wish in wishes[1:]:
            pipeline.approve(wish)
        downloads = [pipeline.grab(wish) for wish in wishes[2:]]
        for number in range(6):
            for download in downloads:
                pipeline.advance(download, min(1.0, number / 6 + dice.random() / 6))
            calls = services.calls("seerr")
            calls.clear()
            running = await place.started()
            await until(lambda: calls)  # noqa: B023 - awaited at once
            await asyncio.sleep(dice.uniform(0, 0.4))
            await running.end(signal.SIGKILL)
        for download in downloads:
            pipeline.advance(download, 1)
        last = await (await place.started()).ready()
        expected = ["REQUESTED", "APPROVED", *["DOWNLOADED"] * 4]
        await until(lambda: [state for _, state in rows(place.database, STATES)] == expected)
        assert (await last.end())[0] == 0
        await is_whole(place.database)


async def is_whole(path: Path) -> None:
    """No state is told twice in a row, nothing is left open, and the audit is unbroken."""
    told: dict[int, list[str]] = {}
    events = "SELECT request_id, state FROM timeline_events ORDER BY id"
    for number, state in rows(path, events):
        told.setdefault(number, []).append(state)
    assert all(one != two for states in told.values() for one, two in pairwise(states))
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "SELECT id FROM sync_runs WHERE outcome = 'running'") == []
    async with open_store(path) as store:
        assert (await store.read(audit.verify)).broken_at is None


async def test_a_withdrawal_needs_its_second_look_also_of_a_daemon_that_was_killed(
    tmp_path: Path,
) -> None:
    """A kill in between neither hurries it nor begins it anew."""
    async with (
        PretendServices(a_world(), besides=("seerr",)) as services,
        AsyncExitStack() as stack,
    ):
        place = Place(tmp_path, services, stack)
        place.configure(pending={"every": "5s", "progress": "5s"})
        wish = services.pipeline.request(FILMS[0])
        daemon = await (await place.started()).ready()
        await until(lambda: rows(place.database, STATES))
        await daemon.end(signal.SIGKILL)
        services.pipeline.withdraw(wish)
        doubts = "SELECT 1 FROM sync_pending WHERE followed LIKE '%withdrawn%'"
        for _ in range(2):
            daemon = await (await place.started()).ready()
            await until(lambda: rows(place.database, doubts))
            await until(lambda: daemon.logged("run.done"))  # noqa: B023 - awaited at once
            await daemon.end(signal.SIGKILL)
            assert rows(place.database, STATES) == [("Film 0", "REQUESTED")]
        later(place.database, 300)
        daemon = await (await place.started()).ready()
        await until(lambda: not rows(place.database, STATES))
        assert (await daemon.end())[0] == 0
