"""The feed: who is told what, what is remembered, and that nobody waits for a slow listener."""

from __future__ import annotations

import asyncio

import pytest

from daemon.report.progress import Event, Feed, Subscription

REMEMBERED = 256
WAITING = 128


def published(feed: Feed, count: int) -> None:
    """Let so many things happen."""
    for number in range(1, count + 1):
        feed.publish("progress", {"done": number})


async def heard(listener: Subscription) -> list[int]:
    """The ids of all events until the listener is sent home."""
    return [event.id async for event in listener.events(60) if event]


async def test_every_listener_is_told_everything_from_then_on() -> None:
    """Ids grow by one; what came before the listener did is not told."""
    feed = Feed()
    feed.publish("started", {"run_id": 7})
    with feed.subscription() as early, feed.subscription() as late:
        assert feed.listeners == 2
        feed.publish("progress", {"done": 1})
        feed.publish("done", {"added": 1})
        feed.close()
        expected = [Event(2, "progress", {"done": 1}), Event(3, "done", {"added": 1})]
        assert expected == [event async for event in early.events(60)]
        assert await heard(late) == [2, 3]
    assert feed.last_id == 3


@pytest.mark.parametrize(
    ("count", "seen", "missed"),
    [
        (0, 0, []),
        (3, 0, [1, 2, 3]),
        (3, 2, [3]),
        (3, 3, []),
        (REMEMBERED, 0, [*range(1, REMEMBERED + 1)]),
        (REMEMBERED + 1, 1, [*range(2, REMEMBERED + 2)]),
        (REMEMBERED + 1, 0, None),
        (3, 4, None),
        (3, -1, None),
    ],
)
def test_what_was_missed_is_told_whole_or_not_at_all(
    count: int, seen: int, missed: list[int] | None
) -> None:
    """Too long away, or from another life of the daemon: only a new snapshot helps."""
    feed = Feed()
    published(feed, count)
    since = feed.since(seen)
    assert missed == (since if since is None else [event.id for event in since])


async def test_a_slow_listener_is_dropped_and_nobody_else() -> None:
    """It gets what was kept for it, then its end; publishing never waits."""
    feed = Feed()
    with feed.subscription() as slow, feed.subscription() as quick:
        published(feed, WAITING)
        assert feed.listeners == 2
        first = [quick.queue.get_nowait() for _ in range(WAITING)]
        published(feed, 2)
        assert (feed.listeners, slow.dropped, quick.dropped) == (1, True, False)
        assert [*range(1, WAITING + 1)] == await heard(slow)
        assert [*range(1, WAITING + 1)] == [event.id for event in first if event]
        feed.close()
        assert await heard(quick) == [WAITING + 1, WAITING + 2]


async def test_closing_sends_everybody_home() -> None:
    """Who waits for an event goes at once, and who comes later is not let in."""
    feed = Feed()
    with feed.subscription() as waits:
        leaving = asyncio.create_task(heard(waits))
        await asyncio.sleep(0)
        feed.close()
        assert await leaving == []
        with feed.subscription() as late:
            feed.publish("progress", {})
            assert await heard(late) == []
    assert feed.listeners == 0


async def test_a_listener_is_told_that_nothing_happens() -> None:
    """So that its connection is not taken for a dead one."""
    feed = Feed()
    with feed.subscription() as waits:
        events = waits.events(0.01)
        assert await anext(events) is None
        feed.publish("progress", {})
        assert await anext(events) == Event(1, "progress", {})
