"""Transactions, locks and failures of one SQLite file."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from daemon.errors import (
    StoreBusyError,
    StoreError,
    StorePermissionError,
)
from daemon.store import Store, history, open_store, open_store_readonly, requests
from daemon.store.database import Transaction, opened, opened_readonly
from tests.builders import change, files, rows

_HOLDS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO numbers VALUES (-1)")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute(sys.argv[3])
"""
_DIES = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO numbers VALUES (2)")
os.kill(os.getpid(), 9)
"""
_LEAVES = """
import asyncio, pathlib, sys
from daemon.store import history, open_store
async def main():
    async with open_store(pathlib.Path(sys.argv[1])) as store:
        asyncio.get_running_loop().create_task(store.read(history.runs, None, 1))
        exec(sys.argv[2])
asyncio.run(main())
"""
_OPENS = """
import asyncio, pathlib, sys
from daemon.errors import StoreError
from daemon.store import open_store
async def main():
    async with open_store(pathlib.Path(sys.argv[1])): pass
try:
    asyncio.run(main())
except StoreError as error:
    print(type(error).__name__, error)
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that has got as far as to say so."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        yield running
        running.kill()


def ended(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Another process that has come to its end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)  # noqa: S603


@pytest.fixture
def numbers(path: Path) -> Path:
    """A WAL file with a table of somebody else."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        requests.create(connection)
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.execute("INSERT INTO numbers VALUES (1)")
    return path


@contextmanager
def nobody() -> Iterator[None]:
    """Root may do everything, so it acts for somebody who may not."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def insert(connection: sqlite3.Connection, count: int = 40) -> None:
    """Work of many statements."""
    for number in range(count):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))


async def test_a_cancelled_writer_leaves_no_transaction_open(numbers: Path) -> None:
    """Wherever it strikes, the batch is there whole or not at all, and its owner is told which."""
    dice = random.Random(7)
    told: list[None] = []
    cancelled = 0

    def insert_and_tell(transaction: Transaction) -> None:
        insert(transaction)
        transaction.after_commit(lambda: told.append(None))

    async with opened(numbers) as database:
        with closing(sqlite3.connect(numbers, timeout=0, isolation_level=None)) as tracker:
            for _ in range(150):
                writing = asyncio.create_task(database.write(insert_and_tell))
                await asyncio.sleep(dice.uniform(0, 0.0008))
                writing.cancel()
                await asyncio.wait({writing})
                cancelled += writing.cancelled()
                tracker.execute("BEGIN IMMEDIATE")
                tracker.execute("ROLLBACK")
    assert rows(numbers, "SELECT COUNT(*) - 1 FROM numbers") == [(40 * len(told),)]
    assert len(told) > 0
    assert cancelled > 0


async def test_a_failing_transaction_leaves_nothing(numbers: Path) -> None:
    """What fails in the middle is rolled back and not told; the next transaction is a new one."""
    told: list[int] = []

    def fails(transaction: Transaction) -> None:
        insert(transaction)
        transaction.after_commit(lambda: told.append(1))
        raise LookupError

    async with opened(numbers) as database:
        with pytest.raises(LookupError):
            await database.write(fails)
        await database.write(lambda connection: insert(connection, 1))
    assert rows(numbers, "SELECT number FROM numbers") == [(1,), (0,)]
    assert told == []


async def test_another_writer_is_waited_for(numbers: Path) -> None:
    """A lock that is held for longer than one attempt, but not for ever, only costs time."""
    async with opened(numbers) as database:
        with process(_HOLDS, numbers, 1.3, "COMMIT"):
            await database.write(lambda connection: insert(connection, 1))
    assert rows(numbers, "SELECT number FROM numbers") == [(1,), (-1,), (0,)]


async def test_waiting_for_another_writer_has_an_end(numbers: Path) -> None:
    """Beyond the budget the file is called busy; nothing was written, and the loop never stood."""
    turns = 0
    async with opened(numbers, budget=0.1) as database:
        with process(_HOLDS, numbers, 60, "ROLLBACK"):
            writing = asyncio.ensure_future(database.write(insert))
            while not writing.done():
                await asyncio.sleep(0.005)
                turns += 1
    assert isinstance(writing.exception(), StoreBusyError)
    assert turns > 5
    assert rows(numbers, "SELECT number FROM numbers") == [(1,)]


async def test_a_cancelled_wait_for_another_writer_ends_soon(
    numbers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is told to stop does not sit the budget out, and leaves no complaint behind."""
    async with opened(numbers, budget=60) as database:
        with process(_HOLDS, numbers, 60, "ROLLBACK"), pytest.raises(TimeoutError):
            await asyncio.wait_for(database.write(insert), 0.1)
    assert rows(numbers, "SELECT number FROM numbers") == [(1,)]
    assert caplog.messages == []


@pytest.mark.parametrize("state", ["at rest", "being written", "left by a killed process"])
async def test_looking_changes_nothing(numbers: Path, state: str) -> None:
    """A look at a WAL file makes no file and changes no byte, and shows what is committed."""
    with ExitStack() as stack:
        if state == "being written":
            stack.enter_context(process(_HOLDS, numbers, 60, "ROLLBACK"))
        elif state != "at rest":
            ended(_DIES, numbers)
        before = files(numbers.parent)
        async with opened_readonly(numbers) as database:
            seen = await database.read(
                lambda connection: connection.execute("SELECT number FROM numbers").fetchall()
            )
            during = files(numbers.parent)
            with pytest.raises(StoreError):
                await database.write(insert)
        after = files(numbers.parent)
    assert seen == ([(1,), (2,)] if "killed" in state else [(1,)])
    assert (during, after) == (before, before)


async def test_many_cancelled_waits_end_as_soon_as_one(numbers: Path) -> None:
    """They do not queue for the file one after the other, each with an attempt of its own."""
    async with opened(numbers, budget=60) as database:
        with process(_HOLDS, numbers, 60, "ROLLBACK"):
            writing = [asyncio.create_task(database.write(insert)) for _ in range(100)]
            await asyncio.sleep(1)
            for one in writing:
                one.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait(writing)
    assert all(one.cancelled() for one in writing)
    assert rows(numbers, "SELECT number FROM numbers") == [(1,)]


async def test_a_write_that_only_waits_for_its_turn_is_done_though_cancelled(
    numbers: Path,
) -> None:
    """Nobody holds the file; so what was begun is ended whole."""
    async with opened(numbers) as database:
        first = asyncio.create_task(database.write(lambda connection: insert(connection, 20_000)))
        second = asyncio.create_task(database.write(lambda connection: insert(connection, 1)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({first, second})
    assert rows(numbers, "SELECT count(*) FROM numbers") == [(20_002,)]


async def test_a_full_disk_is_named_and_costs_only_the_batch(numbers: Path) -> None:
    """What was committed stays, and the process lives."""
    async with opened(numbers) as database:

        def fills(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA max_page_count = 3")
            connection.execute("INSERT INTO numbers VALUES (zeroblob(100000))")

        with pytest.raises(StoreError, match="full"):
            await database.write(fills)
    assert rows(numbers, "SELECT number FROM numbers") == [(1,)]


@pytest.mark.parametrize(("offset", "count"), [(0, 100), (100, 5000)])
async def test_a_damaged_file_is_refused_and_not_written(
    numbers: Path, offset: int, count: int
) -> None:
    """What is no SQLite file, or a broken one, is named as that and stays as it is."""
    content = numbers.read_bytes()
    damaged = content[:offset] + b"\xa5" * count + content[offset + count :]
    numbers.write_bytes(damaged)
    with pytest.raises(StoreError, match="damaged"):
        async with open_store(numbers):
            pass
    assert numbers.read_bytes() == damaged


async def test_a_file_that_is_not_there_cannot_be_looked_at(path: Path) -> None:
    """Looking makes no file."""
    with pytest.raises(StoreError, match="no file"):
        async with open_store_readonly(path):
            pass
    assert files(path.parent) == {}


@pytest.mark.parametrize("mode", [0o555, 0o777])
async def test_a_file_that_must_not_be_written_is_named(numbers: Path, mode: int) -> None:
    """Without permission for the directory or the file the error says so."""
    with tempfile.TemporaryDirectory() as name:  # that of the tests is for their user only
        target = Path(name, "tracker.db")
        target.write_bytes(numbers.read_bytes())
        target.chmod(0o444)
        target.parent.chmod(mode)
        with nobody(), pytest.raises(StorePermissionError, match="Permission denied"):
            async with open_store(target):
                pass
        target.parent.chmod(0o755)


@pytest.mark.parametrize("way", ["pass", "raise SystemExit(0)", "raise LookupError"])
def test_a_process_ends_whatever_happens_in_it(path: Path, way: str) -> None:
    """The threads of the connections do not keep a process alive."""
    assert ended(_LEAVES, path, way).returncode == ("Error" in way)


async def test_a_strangers_file_is_copied_once_before_it_is_written(numbers: Path) -> None:
    """The copy is the file as it was, and stays so even if somebody goes back to it."""
    copy = numbers.with_name("tracker.db.before-library-sync")
    async with open_store(numbers):
        pass
    assert rows(copy, "SELECT name FROM sqlite_master WHERE name LIKE 'sync%'") == []
    numbers.write_bytes(copy.read_bytes())
    change(numbers, "INSERT INTO numbers VALUES (2)")
    async with open_store(numbers):
        pass
    assert rows(copy, "SELECT number FROM numbers") == [(1,)]


def test_a_copy_that_was_not_finished_is_no_copy(numbers: Path) -> None:
    """A disk that fills up while the copy is made stops everything, and the next start copies."""
    change(numbers, "INSERT INTO numbers VALUES (zeroblob(300000))")
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
    assert "DiskFullError" in ended(limit + _OPENS, numbers).stdout
    assert ended(_OPENS, numbers).stdout == ""
    copy = numbers.with_name("tracker.db.before-library-sync")
    assert rows(copy, "SELECT COUNT(*) FROM numbers") == [(2,)]


async def test_what_writes_cannot_be_read_with(path: Path) -> None:
    """The type checker says so before, and the reading connection where nobody asked it."""
    async with open_store(path) as store:
        with pytest.raises(StoreError):
            await store.read(history.interrupt_stale)  # type: ignore[arg-type]
        assert await store.write(history.interrupt_stale) == []
        assert await store.write(history.next_number) == 1


class _Rows(list[int]):
    """Rows whose end can be seen."""


async def test_what_was_read_is_not_kept(store: Store) -> None:
    """All rows of a large run would stay in memory until the file is read again."""
    rows = await store.read(lambda _: _Rows([1]))
    seen = weakref.ref(rows)
    del rows
    assert seen() is None
