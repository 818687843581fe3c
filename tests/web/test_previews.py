"""Dry runs: never two at once, never begun beside a run."""

from __future__ import annotations

import asyncio

import pytest

from daemon.web.previews import Previews
from daemon.web.problems import Problem
from tests.pretend import Fault
from tests.running import until
from tests.web.support import SLOWLY, Stand

DRY = {"dry_run": True}


async def test_many_dry_runs_at_once_are_two(stand: Stand) -> None:
    """One that goes, and one more that all share who asked meanwhile."""
    previews = Previews(stand.parts.service, stand.parts.worker)
    stand.services.fault("jellyfin", Fault(SLOWLY, stall=0.1))
    first = asyncio.create_task(previews.ask())
    await until(stand.readings)
    results = await asyncio.gather(*(previews.ask() for _ in range(50)))
    assert ((await first).stats.added, len({id(result) for result in results})) == (2, 1)
    assert stand.readings() == 2


async def test_a_dry_run_waits_for_the_run_that_is_going(stand: Stand) -> None:
    """So its plan is that of after the run."""
    stand.services.fault("jellyfin", Fault(SLOWLY, stall=0.2))
    await stand.ask("POST", "/admin/sync?wait=false")
    await until(lambda: stand.parts.worker.running)
    answer = await stand.ask("POST", "/admin/sync", json=DRY)
    assert (answer.json["plan"], answer.json["total_scanned"]) == ([], 2)


async def test_who_shares_a_dry_run_that_is_stopped_is_told(stand: Stand) -> None:
    """They are not left waiting, and whoever asks then gets a plan."""
    previews = Previews(stand.parts.service, stand.parts.worker)
    await stand.ask("POST", "/admin/sync?wait=false")
    first, second = (asyncio.create_task(previews.ask()) for _ in range(2))
    await until(lambda: previews._next)
    first.cancel()
    with pytest.raises(Problem, match="not finished"):
        await second
    assert (await previews.ask()).stats.scanned == 2
