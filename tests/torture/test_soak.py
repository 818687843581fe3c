"""A long life in one process: nothing that one run opens or makes is left after it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.domain import Scope, Trigger
from daemon.web import Limits
from tests.builders import ACTOR
from tests.pretend import Fault
from tests.pretend.library import Movie
from tests.torture.promises import promise
from tests.web.support import Stand, standing

WARM, ROUNDS = 20, 70
RUNS_A_ROUND = 3
BLOCKS_A_ROUND = 100
"""Blocks of memory that a round may leave: the pretend world keeps some, a run that stays leaves
thousands."""

PATHS = ("/healthz", "/metrics", "/openapi.json", "/admin/runs", "/admin/attention", "/status")
REFUSED = {"X-Library-Sync-Secret": "wrong"}


class Held(NamedTuple):
    """What the process holds."""

    files: int
    threads: int
    tasks: int
    blocks: int


def held() -> Held:
    """Count it."""
    gc.collect()
    files = len([*Path("/proc/self/fd").iterdir()])
    tasks = len(asyncio.all_tasks())
    return Held(files, threading.active_count(), tasks, sys.getallocatedblocks())


async def live(stand: Stand, number: int) -> None:
    """Runs of every kind, one of them with failures, and somebody who looks at everything."""
    world, services = stand.services.world, stand.services
    film = Movie.named(f"Film {number}", 1999, {"Tmdb": str(1000 + number)})
    stand.clock.seconds += 3600  # what is counted for a minute is forgotten
    world.add_movie(film)
    await ran(stand, Scope(frozenset({film.jellyfin_id})))
    world.remove(film.jellyfin_id)
    await ran(stand, Scope())
    services.fault("radarr", Fault(times=None, status=401 + number % 4))
    services.fault("jellyfin", Fault("/Items?", times=None, status=403))
    await ran(stand, Scope())
    for service in ("jellyfin", "radarr", "sonarr"):
        services.mend(service)
        services.calls(service).clear()
    await stand.parts.schedule.run_job("quick")
    for path in PATHS:
        assert (await stand.ask("GET", path)).status == 200
    async with stand.listening() as listener:
        await listener.next()
    assert (await stand.ask("POST", "/hooks/jellyfin", REFUSED, data=b"{")).status == 401


async def ran(stand: Stand, scope: Scope) -> None:
    """One run to its end, however that is."""
    await stand.parts.worker.enqueue(Trigger.ADMIN, ACTOR, scope).result


@promise(
    "A process that works for long needs no more memory, files, threads or tasks for it",
    f"{RUNS_A_ROUND * ROUNDS} runs in one process",
)
async def test_a_long_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted after it has warmed up, and at its end."""
    monkeypatch.setattr(logging.root, "handlers", [])  # those of pytest keep every line
    counts = []
    async with standing(tmp_path, limits=Limits(failures=10**6)) as stand:
        for number in range(ROUNDS):
            await live(stand, number)
            counts.append(held())
    first, last = counts[WARM], counts[-1]
    assert last[:3] <= first[:3]
    assert last.blocks - first.blocks < BLOCKS_A_ROUND * (ROUNDS - WARM)
