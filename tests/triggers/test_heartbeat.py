"""The heartbeat: how late the loop is, what systemd hears, and when it hears nothing any more."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.domain import Trigger
from daemon.triggers.heartbeat import Heartbeat, Notifier
from daemon.triggers.queue import Worker
from tests.builders import ACTOR
from tests.pretend import Fault
from tests.running import until, working
from tests.triggers.test_sdnotify import heard, listening

WATCHDOG = "200000"
"""Microseconds."""

BEAT = 0.05
"""Seconds between two beats with that watchdog, a quarter of it."""


@asynccontextmanager
async def beating(
    folder: Path, worker: Worker, watchdog: str = WATCHDOG
) -> AsyncIterator[tuple[Heartbeat, socket.socket]]:
    """A pulse that beats, and what systemd hears of it."""
    address = str(folder / "notify")
    with listening(address) as systemd:
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": watchdog})
        pulse = Heartbeat(worker, notifier)
        beats = asyncio.create_task(pulse.serve())
        try:
            yield pulse, systemd
        finally:
            beats.cancel()
            await asyncio.wait({beats})


async def collected(systemd: socket.socket, enough: Callable[[list[str]], object]) -> list[str]:
    """What is heard until it is enough."""
    messages: list[str] = []

    def more() -> object:
        messages.extend(heard(systemd))
        return enough(messages)

    await until(more)
    return messages


async def test_the_watchdog_is_fed_from_the_loop_that_works(tmp_path: Path) -> None:
    """Four times as often as it wants, and not while the loop is blocked."""
    async with working(tmp_path) as stand, beating(tmp_path, stand.worker) as (pulse, systemd):
        await collected(systemd, lambda messages: messages.count("WATCHDOG=1") >= 3)
        time.sleep(4 * BEAT)  # noqa: ASYNC251  # to block the loop is what this is about
        assert heard(systemd) == []
        await until(lambda: pulse.lag >= 2 * BEAT)
        assert "WATCHDOG=1" in await collected(systemd, lambda messages: messages)


async def test_a_run_that_is_stuck_is_given_up(tmp_path: Path) -> None:
    """The loop still turns, but systemd hears nothing more and starts the daemon anew."""
    async with working(tmp_path) as stand, beating(tmp_path, stand.worker) as (_, systemd):
        stand.services.fault("jellyfin", Fault("/System/Info/Public", stall=60))
        stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        await until(lambda: stand.services.calls("jellyfin"))
        await collected(systemd, lambda messages: "WATCHDOG=1" in messages)
        stand.worker._last_progress -= 1200
        heard(systemd)
        await asyncio.sleep(4 * BEAT)
        assert "WATCHDOG=1" not in heard(systemd)
        stand.worker._last_progress += 1100
        await collected(systemd, lambda messages: "WATCHDOG=1" in messages)


async def test_the_status_is_told_in_plain_words_and_once(tmp_path: Path) -> None:
    """What goes on, and how the last run went; only when it changes."""
    async with working(tmp_path) as stand, beating(tmp_path, stand.worker) as (pulse, systemd):
        first = await collected(systemd, lambda messages: len(messages) >= 4)
        stand.services.fault("jellyfin", Fault("/System/Info/Public", stall=20 * BEAT))
        await stand.run()
        await stand.idle()
        messages = first + await collected(systemd, lambda messages: "Idle" in str(messages))
        told = [message for message in messages if message.startswith("STATUS=")]
        assert told[:2] == ["STATUS=Waiting for the first run", "STATUS=Run 1: asking the services"]
        # On a slow machine a beat may fall into one of the phases that follow.
        assert {"STATUS=Run 1:"} >= {one[:13] for one in told[1:-1]}
        assert told[-1] == "STATUS=Idle; run 1 ok, 2 titles"
        assert len({*told}) == len(told)
        assert pulse.status == "Idle; run 1 ok, 2 titles"
