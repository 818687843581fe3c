"""The worker: one run at a time, one waiting that all share, and what ends a run early."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.domain import MAX_HINTS, Outcome, Scope, Trigger
from daemon.errors import StoreError
from daemon.reasons import Count
from daemon.report.progress import Phase, Progress
from daemon.report.result import SyncResult
from daemon.triggers.queue import QueuedRun
from tests.builders import ACTOR, change, jellyfin_id, rows
from tests.pretend import Fault, World
from tests.running import Stand, until, working

ENDLESS = Fault("/System/Info/Public", stall=60)
A_MOMENT = Fault("/System/Info/Public", stall=0.2)
RUNS = "SELECT id, trigger, outcome FROM sync_runs ORDER BY id"


async def begun(stand: Stand, fault: Fault = ENDLESS, scope: Scope = Scope()) -> QueuedRun:
    """A run that waits for Jellyfin."""
    stand.services.calls("jellyfin").clear()
    stand.services.fault("jellyfin", fault)
    ticket = stand.worker.enqueue(Trigger.INTERVAL, ACTOR, scope)
    await until(lambda: stand.services.calls("jellyfin"))
    return ticket


async def test_what_is_asked_during_a_run_shares_one_next_run(tmp_path: Path) -> None:
    """One interval, twenty hooks and an admin are two runs, and the second covers everything."""
    async with working(tmp_path) as stand:
        first = await begun(stand, A_MOMENT)
        hooks = [Scope(frozenset({jellyfin_id(number)})) for number in range(20)]
        tickets = {stand.worker.enqueue(Trigger.WEBHOOK, ACTOR, hook) for hook in hooks}
        tickets |= {stand.worker.enqueue(Trigger.ADMIN, ACTOR)}
        [second] = tickets
        results = await asyncio.gather(first.result, second.result)
        await stand.idle()
        assert [(one.run_id, one.kind) for one in results if one] == [(1, "full"), (2, "full")]
        assert rows(stand.path, RUNS) == [(1, "interval", "ok"), (2, "webhook", "ok")]


def hints(first: int, end: int) -> Scope:
    """So many hints, told by their numbers."""
    return Scope(frozenset(map(str, range(first, end))))


@pytest.mark.parametrize(
    ("scopes", "joined"),
    [
        ([Scope(frozenset("a")), Scope(frozenset("b"))], Scope(frozenset("ab"))),
        ([Scope(frozenset("a")), Scope()], Scope()),
        ([Scope(), Scope(frozenset("a"))], Scope()),
        ([Scope(library="x"), Scope(library="x")], Scope(library="x")),
        ([Scope(library="x"), Scope(library="y")], Scope()),
        ([Scope(library="x"), Scope(frozenset("a"))], Scope()),
        ([Scope(), Scope(library="x")], Scope()),
        ([hints(0, 2000), hints(2000, MAX_HINTS)], hints(0, MAX_HINTS)),
        ([hints(0, 2000), hints(1000, MAX_HINTS + 1)], Scope()),
        (
            [Scope(approved=frozenset({1}), merges=frozenset({7, 8})), hints(0, 1)],
            Scope(approved=frozenset({1}), merges=frozenset({7, 8})),
        ),
        (
            [Scope(unlinks=frozenset({1})), Scope(unlinks=frozenset({2}))],
            Scope(unlinks=frozenset({1, 2})),
        ),
        (
            [Scope(identified=frozenset({1})), Scope(approved=frozenset({2}))],
            Scope(identified=frozenset({1}), approved=frozenset({2})),
        ),
    ],
)
async def test_the_shared_run_covers_what_each_asked_for(
    tmp_path: Path, scopes: list[Scope], joined: Scope
) -> None:
    """Hints add up to a few thousand, with a full run they are one, and no approval is lost."""
    async with working(tmp_path) as stand:
        tickets = [stand.worker.enqueue(Trigger.WEBHOOK, ACTOR, scope) for scope in scopes]
        assert [joined, joined] == [ticket.scope for ticket in tickets]


async def test_a_waiting_run_that_is_cancelled_never_begins(tmp_path: Path) -> None:
    """Whoever waits is told that nothing came of it, and the running one goes on."""
    async with working(tmp_path) as stand:
        running = await begun(stand, A_MOMENT)
        waiting = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        assert stand.worker.cancel(waiting.number)
        assert await waiting.result is None
        assert await running.result
        assert rows(stand.path, RUNS) == [(1, "interval", "ok")]
        assert (await stand.run()).outcome is Outcome.OK


async def test_cancelling_twice_is_cancelling_once(tmp_path: Path) -> None:
    """The second time must not disturb the run's orderly end, nor the worker."""
    async with working(tmp_path) as stand:
        running = await begun(stand)
        while not running.result.done():
            stand.worker.cancel(running.number)
            await asyncio.sleep(0)
        result = running.result.result()
        assert result is not None
        assert result.outcome is Outcome.INTERRUPTED
        assert rows(stand.path, RUNS) == [(1, "interval", "interrupted")]
        assert (await stand.run()).outcome is Outcome.OK


@pytest.mark.parametrize("steps", range(4))
async def test_a_run_can_be_cancelled_while_it_begins(tmp_path: Path, steps: int) -> None:
    """Before its first step, or while its row is being written: the worker lives on."""
    async with working(tmp_path) as stand:
        ticket = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        with stand.feed.subscription() as events:
            await events.queue.get()
        for _ in range(steps):
            await asyncio.sleep(0)
        assert stand.worker.cancel(ticket.number)
        await ticket.result
        assert (await stand.run()).outcome is Outcome.OK

        result = await ticket.result
        assert result is not None
        assert result.outcome is Outcome.INTERRUPTED
        assert (await stand.run()).outcome is Outcome.OK


async def test_whoever_heard_of_a_beginning_hears_of_the_end(tmp_path: Path) -> None:
    """Also where a run is cancelled before its first step."""
    async with working(tmp_path) as stand:
        with stand.feed.subscription() as events:
            ticket = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
            await events.queue.get()
            stand.worker.cancel(ticket.number)
            told = await events.queue.get()
        assert told is not None
        assert (told.kind, told.data["outcome"]) == ("done", "interrupted")


async def test_a_run_at_its_end_cannot_be_cancelled(tmp_path: Path) -> None:
    """What is written as good would be told as cancelled otherwise."""
    async with working(tmp_path) as stand:
        ticket = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        await until(lambda: stand.service.ending)
        assert not stand.worker.cancel(ticket.number)
        result = await ticket.result
        assert result is not None
        assert result.outcome is Outcome.OK


async def test_an_error_reaches_whoever_waits(tmp_path: Path) -> None:
    """Where not even the run's own row can be written, all are told and the worker lives on."""
    async with working(tmp_path) as stand:
        told: list[SyncResult] = []
        stand.worker.on_end.append(told.append)
        change(stand.path, "ALTER TABLE sync_runs RENAME TO away")
        ticket = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        waiters = [asyncio.create_task(one(ticket)) for one in (_result, _result)]
        errors = await asyncio.gather(*waiters, return_exceptions=True)
        assert [StoreError, StoreError] == [type(error) for error in errors]
        change(stand.path, "ALTER TABLE away RENAME TO sync_runs")
        assert (await stand.run()).outcome is Outcome.OK
        outcomes = [(one.run_id, one.outcome) for one in told]
        assert outcomes == [(1, Outcome.FAILED), (2, Outcome.OK)]
        kinds = [event.kind for event in stand.feed.since(0) or []]
        assert [kinds.count("started"), kinds.count("done")] == [2, 2]


async def _result(ticket: QueuedRun) -> SyncResult | None:
    return await ticket.result


async def test_a_waiter_that_goes_away_takes_nothing_with_it(tmp_path: Path) -> None:
    """Its run ends all the same, and so does the next."""
    async with working(tmp_path) as stand:
        ticket = await begun(stand, A_MOMENT)
        waiter = asyncio.create_task(_result(ticket))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait({waiter})
        assert (await stand.run()).outcome is Outcome.OK
        assert rows(stand.path, RUNS) == [(1, "interval", "ok"), (2, "admin", "ok")]


async def test_the_end_of_serving_ends_the_run(tmp_path: Path) -> None:
    """It is kept as interrupted, and all who wait are told that the worker stopped."""
    async with working(tmp_path) as stand:
        running = await begun(stand)
        waiting = stand.worker.enqueue(Trigger.ADMIN, ACTOR)
        stand.serving.cancel()
        await asyncio.wait({stand.serving})
        assert stand.serving.cancelled()
        assert [running.result.result(), waiting.result.result()] == [None, None]
        assert rows(stand.path, RUNS) == [(1, "interval", "interrupted")]


async def test_many_dry_runs_at_once_are_two(tmp_path: Path) -> None:
    """One that goes, and one more that all share who asked meanwhile; nothing is written."""
    async with working(tmp_path) as stand:
        stand.services.fault("jellyfin", A_MOMENT)
        first = stand.worker.preview()
        await until(lambda: stand.services.calls("jellyfin"))
        [second] = {stand.worker.preview() for _ in range(50)}
        results = await asyncio.gather(first, second)
        assert [one and one.stats[Count.ADDED] for one in results] == [2, 2]
        assert first is not second
        assert rows(stand.path, RUNS) == []


async def test_runs_and_dry_runs_wait_for_each_other(tmp_path: Path) -> None:
    """A dry run that is asked for during a run shows the plan of after it, and the other way."""
    async with working(tmp_path) as stand:
        run = await begun(stand, A_MOMENT)
        preview = stand.worker.preview()
        after = await preview
        assert run.result.done()
        assert after is not None
        assert (after.plan, after.stats.scanned) == ([], 2)
        stand.services.calls("jellyfin").clear()
        stand.services.fault("jellyfin", A_MOMENT)
        preview = stand.worker.preview()
        await until(lambda: stand.services.calls("jellyfin"))
        await stand.run()
        assert preview.done()


async def test_a_dry_run_that_is_stopped_is_told_so(tmp_path: Path) -> None:
    """Nobody is left waiting at the end, whether it goes or waits."""
    async with working(tmp_path) as stand:
        stand.services.fault("jellyfin", ENDLESS)
        going = stand.worker.preview()
        await until(lambda: stand.services.calls("jellyfin"))
        waiting = stand.worker.preview()
    assert (await going, await waiting) == (None, None)


async def test_the_batch_in_hand_is_committed_before_the_end(tmp_path: Path) -> None:
    """Whoever stops the worker while a batch waits for the file finds it written and counted."""
    async with working(tmp_path) as stand:
        await begun(stand, Fault("/Items?", query="StartIndex", stall=0.3))
        await until(lambda: any("StartIndex" in call for call in stand.asked("jellyfin")))
        with closing(sqlite3.connect(stand.path)) as tracker, tracker:
            tracker.execute("BEGIN IMMEDIATE")
            await until(lambda: stand.service._store and stand.service._store._turn.locked())
            stand.serving.cancel()
            await asyncio.sleep(0.1)
        await asyncio.wait({stand.serving})
        written = "SELECT count(*) FROM requests UNION ALL SELECT count(*) FROM timeline_events"
        assert rows(stand.path, written) == [(2,), (2,)]
        ended = "SELECT outcome, added FROM sync_runs"
        assert rows(stand.path, ended) == [("interrupted", 2)]


async def test_progress_is_told_after_the_commit(tmp_path: Path) -> None:
    """What an event claims is in the file already when it is told."""
    world = World.of_size(movies=120)
    async with working(tmp_path, world, batch_size=50) as stand:
        claims: list[tuple[int, int]] = []

        async def listen() -> None:
            with stand.feed.subscription() as listener:
                async for event in listener.events(60):
                    [(count,)] = rows(stand.path, "SELECT count(*) FROM requests")
                    if event and event.data.get("phase") == Phase.FINISHING:
                        claims.append((event.data["done"], count))

        listening = asyncio.create_task(listen())
        await stand.run()
        stand.feed.close()
        await listening
        assert max(claims) == (120, 120)
        assert all(done <= count for done, count in claims)


async def test_of_one_phase_only_the_first_and_the_last_step_are_told_at_once(
    tmp_path: Path,
) -> None:
    """A thousand listeners need not hear of every batch; what is asked for is always exact."""
    async with working(tmp_path) as stand:
        ticket = await begun(stand)
        with stand.feed.subscription() as place:
            for done in range(101):
                stand.worker.on_progress(Progress(Phase.READING, done, 100))
                assert ticket.progress.done == done
            told = [place.queue.get_nowait() for _ in range(place.queue.qsize())]
        steps = [event.data["done"] for event in told if event is not None]
        assert (steps[0], steps[-1]) == (0, 100)
        assert len(steps) < 10
