"""Notifications: on change only, to receivers of several kinds, and a dead man's switch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from daemon.domain import Outcome, SourceFailure
from daemon.reasons import Reason
from daemon.report.health import Health
from daemon.report.notify import Message, Notifications, payload
from daemon.report.result import RunStats, SyncResult
from daemon.settings import Notify
from tests.running import until

PAGE = "http://nas.test/status"


@dataclass
class Receiver:
    """A server that keeps what it gets."""

    notifications: Notifications
    got: list[tuple[str, str, Any]] = field(default_factory=list)

    async def settled(self, count: int) -> list[tuple[str, str, Any]]:
        """Wait until so many requests came in, and see that no more do."""
        await until(lambda: len(self.got) >= count)
        await asyncio.sleep(0.05)
        return self.got


@asynccontextmanager
async def a_receiver(*, ping: bool = False, status: int = 200) -> AsyncIterator[Receiver]:
    """A receiver, and notifications that are sent to it."""
    got: list[tuple[str, str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        got.append((request.method, request.path, body))
        return web.Response(status=status)

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    where: dict[str, Any] = {"ping_url": f"{url}/uuid"} if ping else {"url": f"{url}/hook"}
    notifications = Notifications(Notify.model_validate(where), PAGE)
    task = asyncio.create_task(notifications.serve())
    try:
        yield Receiver(notifications, got)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await runner.cleanup()


def a_result(
    outcome: Outcome = Outcome.OK, *, kind: str = "full", plan: int | None = None
) -> SyncResult:
    """How a run ended."""
    failure = SourceFailure("Jellyfin", "unreachable", "nothing answers")
    stats = RunStats(Counter({Reason.HELD: 3} if plan else {}), scanned=9, waiting_plan=plan)
    stats.failure = failure if outcome is Outcome.FAILED else None
    return SyncResult(outcome, stats, 7, 1, {}, kind)


def titles(got: list[tuple[str, str, Any]]) -> list[str]:
    """The titles of the messages that came."""
    return [body["title"].removeprefix("Library Sync: ") for _, _, body in got]


async def test_a_good_run_is_no_news() -> None:
    """Nobody is told that all is well."""
    async with a_receiver() as receiver:
        for _ in range(3):
            receiver.notifications.ended(a_result())
        assert await receiver.settled(0) == []


async def test_two_failures_in_a_row_are_told_once_and_so_is_their_end() -> None:
    """One alone is not worth it, and the third says nothing new."""
    async with a_receiver() as receiver:
        receiver.notifications.ended(a_result(Outcome.FAILED))
        receiver.notifications.ended(a_result())
        for _ in range(4):
            receiver.notifications.ended(a_result(Outcome.FAILED))
        receiver.notifications.ended(a_result())
        assert titles(await receiver.settled(2)) == ["Runs fail", "Runs succeed again"]
        assert receiver.got[0][2]["text"] == "nothing answers"


async def test_a_held_plan_is_told_once_with_where_to_approve_it() -> None:
    """The same plan waits for days without a further word."""
    async with a_receiver() as receiver:
        for _ in range(3):
            receiver.notifications.ended(a_result(Outcome.HELD, plan=12))
        receiver.notifications.ended(a_result())
        receiver.notifications.ended(a_result(Outcome.HELD, plan=15))
        assert titles(await receiver.settled(2)) == ["Removals are held"] * 2
        assert f"{PAGE}/runs/12" in receiver.got[0][2]["text"]


async def test_a_service_that_goes_and_comes_back_is_told_each_time() -> None:
    """On change only."""
    async with a_receiver() as receiver:
        health = Health(["Sonarr"])
        health.changed.append(receiver.notifications.changed)
        health.good("Sonarr")
        for _ in range(3):
            health.bad(SourceFailure("Sonarr", "unreachable", "nothing answers; see that it runs"))
        health.good("Sonarr")
        health.good("Sonarr")
        assert titles(await receiver.settled(2)) == ["Sonarr is away", "Sonarr is back"]


async def test_the_dead_mans_switch_hears_of_every_full_run() -> None:
    """That it began, and how it ended; hinted and interrupted runs are none of its business."""
    async with a_receiver(ping=True) as receiver:
        for outcome in (Outcome.OK, Outcome.FAILED, Outcome.INTERRUPTED):
            receiver.notifications.began("full")
            receiver.notifications.ended(a_result(outcome))
        receiver.notifications.began("hinted")
        receiver.notifications.ended(a_result(kind="hinted"))
        got = await receiver.settled(5)
        assert [path for _, path, _ in got] == [
            "/uuid/start",
            "/uuid",
            "/uuid/start",
            "/uuid/fail",
            "/uuid/start",
        ]
        assert {method for method, _, _ in got} == {"GET"}


@pytest.mark.parametrize(
    ("shape", "url", "body"),
    [
        ("json", "http://x/y", {"title": "t", "text": "w"}),
        ("ntfy", "http://x", {"topic": "y", "title": "t", "message": "w"}),
        ("gotify", "http://x/y", {"title": "t", "message": "w", "priority": 5}),
        ("discord", "http://x/y", {"content": "**t**\nw"}),
        ("apprise", "http://x/y", {"title": "t", "body": "w", "type": "info"}),
    ],
)
def test_each_receiver_gets_the_shape_that_it_wants(
    shape: str, url: str, body: dict[str, Any]
) -> None:
    """As its own documentation has it."""
    request = payload(shape, "http://x/y", Message("t", "w"))
    assert (request.url, request.body) == (url, body)


async def test_a_receiver_that_refuses_is_a_line_of_the_log_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The address may hold a token."""
    async with a_receiver(status=403) as receiver:
        receiver.notifications.ended(a_result(Outcome.HELD, plan=1))
        await until(lambda: "notify.refused" in caplog.text)
    assert "127.0.0.1" not in caplog.text


async def test_a_receiver_that_is_away_delays_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Messages wait in a queue of bounded length, and are dropped beyond it."""
    notifications = Notifications(
        Notify.model_validate({"url": "http://127.0.0.1:9/token5ecret"}), PAGE
    )
    for number in range(150):
        notifications.ended(a_result(Outcome.HELD, plan=number + 1))
    assert "notify.dropped" in caplog.text
    task = asyncio.create_task(notifications.serve())
    await until(lambda: "notify.failed" in caplog.text)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert "token5ecret" not in caplog.text
