"""What is counted between passes: by two clocks, in the file, whatever happens to either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.apply.pending import PendingService
from daemon.domain import RemovalPolicy, Trigger
from daemon.observe.hints import ArrCache
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from daemon.store import attention
from tests.builders import ACTOR, configured
from tests.pretend import PretendServices
from tests.pretend.library import Movie
from tests.running import a_world
from tests.worlds import Clock, Place, another_process

FILM = Movie.named("The Lodger", 1927, {"Tmdb": "2760"})
DAY, MINUTES = timedelta(days=1), timedelta(minutes=5)


@dataclass
class Life:
    """The services and the file, which outlive each process."""

    folder: Path
    services: PretendServices
    clock: Clock

    @asynccontextmanager
    async def process(self) -> AsyncIterator[tuple[Place, PendingService]]:
        """One that knows what is in the file, and nothing else."""
        settings = configured(self.services, self.folder / "tracker.db")
        async with another_process(self.services, settings, self.clock) as place:
            arrs, health = ArrCache(place.client), Health(place.client.meters)
            yield (
                place,
                PendingService(place.client, place.store, arrs, PendingPolicy(), health),
            )

    async def state(self) -> str | None:
        """That of the film after a pass of a process of its own; None if it has no row."""
        async with self.process() as (place, passes):
            await passes.run(Trigger.INTERVAL, ACTOR)
            found = place.rows("state", where="title = 'The Lodger'")
            return found[0] if found else None

    async def calls(self) -> list[str]:
        """What somebody is called for, by its words."""
        async with self.process() as (place, _):
            found = await place.store.read(attention.findings, RemovalPolicy())
        return [one.what for one in found if one.kind in {"blocked", "stuck"}]


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """After a first full run."""
    async with PretendServices(a_world(), besides=("seerr", "qbittorrent")) as services:
        made = Life(tmp_path, services, Clock(now=datetime.now(UTC)))
        async with made.process() as (place, _):
            await place.sync()
        yield made


async def test_a_doubt_is_counted_over_processes(life: Life) -> None:
    """Each pass is one of a new process; the second look has to be some minutes after the first."""
    wish = life.services.pipeline.request(FILM)
    assert await life.state() == "REQUESTED"
    life.services.pipeline.withdraw(wish)
    assert await life.state() == "REQUESTED"
    assert await life.state() == "REQUESTED"
    life.clock.pass_by(MINUTES)
    assert await life.state() is None


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
async def test_a_clock_that_jumps_withdraws_nothing(life: Life, jump: timedelta) -> None:
    """It can only delay: the least of what two clocks say has passed."""
    wish = life.services.pipeline.request(FILM)
    await life.state()
    life.services.pipeline.withdraw(wish)
    await life.state()
    life.clock.now += jump
    assert await life.state() == "REQUESTED"
    life.clock.pass_by(MINUTES)
    await life.state()
    life.clock.pass_by(MINUTES)
    assert await life.state() is None


async def test_what_was_waited_before_a_restart_of_the_machine_is_not_lost(life: Life) -> None:
    """The uptime begins anew, so that the wall's clock alone tells; the doubt goes on."""
    wish = life.services.pipeline.request(FILM)
    await life.state()
    life.services.pipeline.withdraw(wish)
    await life.state()
    life.clock.pass_by(MINUTES)
    life.clock.boot, life.clock.steady = "second boot", 1.0
    await life.state()
    life.clock.pass_by(MINUTES)
    assert await life.state() is None


async def test_what_stands_still_is_counted_over_processes_and_not_by_a_jump(life: Life) -> None:
    """A download that has not moved for six hours; a clock that is set makes none of it."""
    pipeline = life.services.pipeline
    wish = pipeline.request(FILM)
    pipeline.approve(wish)
    pipeline.advance(pipeline.grab(wish), 0.5)
    for _ in range(2):
        assert await life.state() == "DOWNLOADING"
    life.clock.now += timedelta(hours=12)
    assert await life.state() == "DOWNLOADING"
    assert await life.calls() == []
    for _ in range(7):
        life.clock.pass_by(timedelta(hours=1))
        assert await life.state() == "DOWNLOADING"
    [call] = await life.calls()
    assert "qBittorrent" in call or "Radarr" in call
