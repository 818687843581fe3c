"""What a transaction costs does not grow with the file, also beside another writer.

Counted are the steps of SQLite's own machine, which are the same on every computer: a scan of the
requests would take some for each row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.apply.writer import PlanWriter
from daemon.domain import (
    Absent,
    Add,
    Decision,
    Evidence,
    Fate,
    Held,
    Ids,
    Missed,
    Plan,
    Rule,
    TrackedRequest,
    Trigger,
    Update,
)
from daemon.reasons import Reason
from daemon.report.result import RunStats
from daemon.snapshot import Texts
from daemon.store import Store, evidence, history, open_store, plans, syncing, undo
from daemon.store.database import Transaction
from daemon.store.history import Decided
from tests.builders import ACTOR, NOW, a_request, an_item, begun, change, jellyfin_id

SMALL, LARGE = 500, 8_000
BATCH = 100
AT = "2026-11-01 12:00:00.000000"

Change = Callable[[Transaction], Any]


@dataclass
class Steps:
    """Counts the steps of a transaction, in hundreds."""

    hundreds: int = 0

    def __call__(self) -> int:
        """A hundred more; nought lets SQLite go on."""
        self.hundreds += 1
        return 0


@contextmanager
def counted(transaction: Transaction) -> Iterator[Steps]:
    """The steps from here on."""
    steps = Steps()
    transaction.set_progress_handler(steps, 100)
    yield steps
    transaction.set_progress_handler(None, 100)


async def filled(store: Store, count: int) -> None:
    """Rows of films, every third without any id of a provider."""

    def fill(transaction: Transaction) -> None:
        transaction.executemany(
            "INSERT INTO requests (title, media_type, state, tmdb_id, jellyfin_id, requested_by,"
            f" created_at, updated_at, state_changed_at) VALUES (?, 'MOVIE', 'AVAILABLE', ?, ?,"
            f" 'somebody', '{AT}', '{AT}', '{AT}')",
            [(f"Old {n}", n if n % 3 else None, jellyfin_id(f"old {n}")) for n in range(1, count)],
        )

    await store.write(fill)


def additions(*, ids: bool) -> list[Decision]:
    """New films, all with ids or all without."""
    return [
        Add(an_item(f"new {n}", ids=Ids(tmdb=10**6 + n) if ids else Ids())) for n in range(BATCH)
    ]


def updates() -> list[Decision]:
    """Films that become known to Radarr."""
    item = an_item("new")
    fills = {"radarr_id": 5}
    return [Update(item, Reason.FILL, n, fills) for n in range(1, BATCH + 1)]


def gone() -> Sequence[Absent]:
    """Films that are to be removed."""
    rows = (
        a_request(n, ids=Ids(tmdb=n) if n % 3 else Ids(), jellyfin_id=jellyfin_id(f"old {n}"))
        for n in range(1, 51)
    )
    return [Absent(row, Fate.REMOVE) for row in rows]


def missed() -> Evidence:
    """Films that a reading did not show."""
    rows = (a_request(n, seen=True) for n in range(1, BATCH + 1))
    return Evidence(missed=[Missed(row, library_away=False) for row in rows])


async def cost(path: Path, count: int, kind: str) -> int:
    """The hundreds of steps that a transaction takes in a file of that many rows."""
    async with open_store(path, clock=lambda: NOW) as store:
        await filled(store, count)
        number = await begun(store)
        since = await store.write(syncing.concurrent_writes)
        changes: dict[str, Change] = {
            "with ids": partial(
                syncing.apply,
                run_id=number,
                actor=ACTOR,
                decisions=additions(ids=True),
                since=since,
            ),
            "without ids": partial(
                syncing.apply,
                run_id=number,
                actor=ACTOR,
                decisions=additions(ids=False),
                since=since,
            ),
            "updates": partial(
                syncing.apply, run_id=number, actor=ACTOR, decisions=updates(), since=since
            ),
            "removals": partial(syncing.remove, run_id=number, actor=ACTOR, rows=gone()),
            "evidence": partial(evidence.note, found=missed()),
        }
        change(
            path,
            "INSERT INTO requests (title, media_type, state, created_at, updated_at,"
            f" state_changed_at) VALUES ('Another', 'MOVIE', 'REQUESTED', '{AT}', '{AT}', '{AT}')",
        )

        def work(transaction: Transaction) -> int:
            with counted(transaction) as steps:
                changes[kind](transaction)
            return steps.hundreds

        return await store.write(work)


class Watched:
    """A store that notes how many rows the largest of its transactions has written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.most = 0

    async def write(self, change: Callable[..., Any], *args: Any) -> Any:
        """Write, and count."""

        def counting(transaction: Transaction) -> Any:
            before = transaction.total_changes
            result = change(transaction, *args)
            self.most = max(self.most, transaction.total_changes - before)
            return result

        return await self._store.write(counting)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


ROWS = 6_000
BOUND = 4_500


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """Give a file with many films, all of them seen in the library, and a run."""
    async with open_store(tmp_path / "tracker.db", clock=lambda: NOW) as store:
        await filled(store, ROWS + 1)
        await begun(store)
        yield Watched(store)


def whole() -> list[TrackedRequest]:
    """All of them."""
    return [
        a_request(n, ids=Ids(tmdb=n), jellyfin_id=jellyfin_id(f"old {n}"))
        for n in range(1, ROWS + 1)
    ]


async def test_a_library_that_vanishes_is_noted_in_portions(watched: Watched) -> None:
    """What is missing, what is held, and what is there again."""
    rows = whole()
    store = cast("Store", watched)
    writer = PlanWriter(store, (1, ACTOR), 500, RunStats(), timedelta(days=7))
    missing = Evidence(missed=[Missed(row, library_away=True) for row in rows])
    rule = Rule("evidence", 1, 1)
    held = [Held(row, "its disk is away") for row in rows]
    await writer.write(Plan(evidence=missing, held=held, guard=(rule,)), Texts(), lambda _: None)
    assert 0 < watched.most <= BOUND
    plan = await store.read(plans.one, 1)
    assert plan is not None
    assert (plan.waits, len(plan.titles)) == (True, ROWS)
    numbers = [row.id for row in rows]
    seen = Evidence(seen=[(number, "/films") for number in numbers], returned=numbers)
    await writer.write(Plan(evidence=seen, guard=(rule,)), Texts(), lambda _: None)
    assert watched.most <= BOUND
    plan = await store.read(plans.one, 1)
    assert plan is not None
    assert not plan.waits


async def test_a_large_run_is_taken_back_in_portions(watched: Watched) -> None:
    """Removed a few at a time, and brought back a few at a time."""
    store, rows = cast("Store", watched), whole()[:300]
    gone_rows = [
        Absent(row._replace(ids=row.ids if row.id % 3 else Ids()), Fate.REMOVE) for row in rows
    ]
    writer = PlanWriter(store, (1, ACTOR), 500, RunStats(), timedelta(days=7))
    await writer.write(Plan(decisions=gone_rows), Texts(), lambda _: None)
    done = await undo.undo_run(store, 1, ACTOR)
    assert (len(done), all(one.done for one in done)) == (300, True)
    assert watched.most <= BOUND


async def test_old_decisions_are_forgotten_in_portions(watched: Watched) -> None:
    """A first run of many additions is forgotten by later runs and by night, all of it."""
    store = cast("Store", watched)
    decided = [Decided(Reason.ADD, "MOVIE", f"Title {n}", None, n) for n in range(ROWS)]
    await watched._store.write(history.note, 1, decided)
    await watched._store.write(history.begin, Trigger.CLI, ACTOR, number=900)
    await history.housekeep(store)
    assert watched.most <= BOUND
    left = await store.read(
        lambda connection: connection.execute("SELECT COUNT(*) FROM sync_decisions").fetchone()
    )
    assert left == (0,)


@pytest.mark.parametrize("kind", ["with ids", "without ids", "updates", "removals", "evidence"])
async def test_a_batch_costs_the_same_in_a_large_file(tmp_path: Path, kind: str) -> None:
    """Sixteen times the rows are no reason for more than a few steps of searching."""
    small = await cost(tmp_path / "small.db", SMALL, kind)
    large = await cost(tmp_path / "large.db", LARGE, kind)
    assert small > 0
    assert large <= small * 1.3 + 5
