"""One SQLite file: one writing and one reading connection, transactions as functions, clear errors.

A transaction is one function that runs whole in the writer's thread. Spread over several awaits, a
cancelled task would leave it open and lock the tracker out of its own file.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from daemon.errors import (
    StoreBusyError,
    StoreError,
    StorePermissionError,
)
from daemon.store.clock import SYSTEM, Clock
from daemon.store.file import HeldFile, full, of_system

_P = ParamSpec("_P")
_T = TypeVar("_T")


BUSY_BUDGET: Final = 90.0
"""Seconds to wait for another writer; the tracker was seen to hold its lock for 65."""

_ATTEMPT: Final = 0.5
_MAX_WAL_BYTES: Final = 4 * 1024 * 1024
"""What is left of the `-wal` file after a checkpoint; a first run lets it grow to tens of it."""


def batched(values: Sequence[_T], size: int = 2000) -> Iterator[Sequence[_T]]:
    """Portions that a transaction can write without keeping other programs waiting."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Connection(sqlite3.Connection):
    """A connection with a clock, passed to queries."""

    clock = SYSTEM


class Transaction(Connection):
    """The writing connection, passed to the function that is one transaction.

    Attributes:
        passes: rows added by passes during a run; `data_version` shows other connections only.
    """

    passes = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hooks: list[Callable[[], None]] = []

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run a hook in the event loop after the commit.

        It runs even if the caller is cancelled, and never after a rollback.
        """
        self._hooks.append(hook)

    def run(self, change: Callable[[Transaction], _T]) -> tuple[_T, list[Callable[[], None]]]:
        """Run one transaction; returns its result and the hooks to run."""
        self._hooks = []
        self.execute("BEGIN IMMEDIATE")
        try:
            result = change(self)
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise
        return result, self._hooks


class Store:
    """Reads and writes one file; made by `opened`.

    Every method raises StoreError if the file cannot be used, and StoreBusyError if
    another program held its lock for longer than the budget.

    Attributes:
        audit_ok: what the latest check of the audit found; None before the first.
    """

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection | None,
        reader: aiosqlite.Connection,
        budget: float,
        file: HeldFile | None = None,
    ) -> None:
        self._path = path
        self._file = file
        self._writer = writer
        self._reader = reader
        self._budget = budget
        self._turn = asyncio.Lock()
        self._blocked = False
        self.audit_ok: bool | None = None

    async def write(
        self,
        change: Callable[Concatenate[Transaction, _P], _T],
        *args: _P.args,
        **options: _P.kwargs,
    ) -> _T:
        """Run a function as one transaction, shielded from cancellation of the caller."""
        stop = asyncio.Event()
        work = self._committed(lambda transaction: change(transaction, *args, **options), stop)
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({task})
            task.exception()  # nobody else will look at it, and asyncio complains of that
            raise

    async def read(
        self,
        query: Callable[Concatenate[Connection, _P], _T],
        *args: _P.args,
        **options: _P.kwargs,
    ) -> _T:
        """Run a read-only function on one snapshot of the file."""
        with _translate_errors(self._path):
            return await _in_thread(
                self._reader, _snapshot, lambda connection: query(connection, *args, **options)
            )

    def check_file(self) -> None:
        """Check that the configured path still names the open file.

        Raises:
            FileReplacedError: it names another file, or none: writes would be lost.
        """
        if self._file is not None:
            self._file.check()

    async def copy_to(self, target: Path) -> None:
        """Copy the file atomically with SQLite's backup API."""
        with _translate_errors(target):
            await _in_thread(self._reader, _backup, (self._path, target))

    async def backup(self, target: Path) -> None:
        """Copy the file to a path that must not exist."""
        if is_there(target):
            raise StoreError(f"{target} is there already")
        await self.copy_to(target)

    async def copy_beside(self, suffix: str, *, once: bool = False) -> None:
        """Copy the file to one next to it.

        Args:
            suffix: appended to the file's name.
            once: keep an existing copy; otherwise it is replaced.
        """
        target = self._path.with_name(self._path.name + suffix)
        if not (once and target.exists()):
            await self.copy_to(target)

    async def _committed(self, change: Callable[[Transaction], _T], stop: asyncio.Event) -> _T:
        run: Callable[..., tuple[_T, list[Callable[[], None]]]] = Transaction.run
        result, hooks = await self._while_busy(run, change, stop)
        for hook in hooks:
            hook()
        return result

    async def settle(self, prepare: Callable[[sqlite3.Connection, None], None]) -> None:
        """Prepare the writing connection, outside a transaction."""
        await self._while_busy(prepare, None, asyncio.Event())

    async def _while_busy(
        self, function: Callable[..., _T], argument: object, stop: asyncio.Event
    ) -> _T:
        """Run a function in the writer's thread, with retries while the file is locked."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._budget
        while True:
            try:
                # Only one waits in the thread: whoever is told to stop must not queue behind it.
                async with self._turn:
                    return await self._attempt(function, argument, stop)
            except StoreBusyError:
                if stop.is_set() or loop.time() >= deadline:
                    raise

    async def _attempt(
        self, function: Callable[..., _T], argument: object, stop: asyncio.Event
    ) -> _T:
        if self._writer is None:
            raise StoreError("the file was opened for reading only")
        if stop.is_set() and self._blocked:
            raise StoreBusyError
        self._blocked = False
        try:
            with _translate_errors(self._path):
                return await _in_thread(self._writer, function, argument)
        except StoreBusyError:
            self._blocked = True
            raise


def _snapshot(connection: Connection, query: Callable[[Connection], _T]) -> _T:
    connection.execute("BEGIN")
    try:
        return query(connection)
    finally:
        connection.execute("COMMIT")


def _backup(connection: sqlite3.Connection, files: tuple[Path, Path]) -> None:
    """Write to a temporary name first, so that the target is always complete."""
    original, target = files
    part = target.with_name(target.name + ".part")
    mode = stat.S_IMODE(original.stat().st_mode)
    try:
        part.touch(mode=0o600)  # at no time may somebody read it who may not read the original
        part.chmod(mode)
        with contextlib.closing(sqlite3.connect(part)) as copy:
            connection.backup(copy)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


async def _in_thread(
    connection: aiosqlite.Connection,
    function: Callable[..., _T],
    argument: object,
) -> _T:
    # aiosqlite offers no public way to run a function of ours in its thread, and splitting a
    # transaction over its awaitable methods is just what must not happen.
    # Its thread keeps what it returned last until its next job: of a run that were all its rows.
    box: list[_T] = []

    def job() -> None:
        box.append(function(connection._conn, argument))  # noqa: SLF001

    await connection._execute(job)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return box.pop()


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of ours, not a state of the file
    except sqlite3.Error as error:
        raise _store_error(path.absolute(), error) from error
    except OSError as error:
        raise of_system(path.absolute(), error) from None


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError()
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}:
        return StorePermissionError(f"{path} cannot be opened or written: {error}")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreError(f"{path} is damaged or no SQLite file: {error}; restore a backup")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return full(path, error)
    return StoreError(f"{path} cannot be used: {error}")


def quick_check(connection: sqlite3.Connection) -> str:
    """The result of SQLite's quick check; "ok" if there are no errors."""
    return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes whenever another connection writes to the file."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def is_there(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        StorePermissionError: its directory may not be looked into.
    """
    with _translate_errors(path):
        return path.exists()


@contextlib.asynccontextmanager
async def opened(
    path: Path,
    clock: Clock = SYSTEM,
    *,
    budget: float = BUSY_BUDGET,
    file: HeldFile | None = None,
) -> AsyncIterator[Store]:
    """Open the file for reading and writing; it is created if absent."""
    async with (
        _connected(path, "rwc", Transaction, clock) as writer,
        _connected(path, "rw", Connection, clock) as reader,
    ):
        store = Store(path, writer, reader, budget, file)
        await store.settle(_prepare)
        with _translate_errors(path):
            await _in_thread(reader, _set_readonly, None)
        yield store


@contextlib.asynccontextmanager
async def opened_readonly(path: Path, *, immutable: bool = True) -> AsyncIterator[Store]:
    """Open the file read-only; nothing in it changes and no file is created next to it.

    SQLite makes files beside a WAL database even to read it, unless told that nobody else has it
    open. Without a `-wal` file nobody has; but somebody may open it later, so that what takes
    long and has to be right, like a copy, asks for an ordinary look by `immutable=False`.
    """
    mode = "ro&immutable=1" if immutable and not wal_of(path).exists() else "ro"
    async with _connected(path, mode, Connection, SYSTEM) as reader:
        yield Store(path, None, reader, 0)


def wal_of(path: Path) -> Path:
    """Where SQLite keeps what was written last."""
    return path.with_name(path.name + "-wal")


@contextlib.asynccontextmanager
async def _connected(
    path: Path, mode: str, kind: type[Connection], clock: Clock
) -> AsyncIterator[aiosqlite.Connection]:
    def made(*args: Any, **options: Any) -> Connection:
        connection = kind(*args, **options)
        connection.clock = clock
        return connection

    uri = f"file:{quote(str(path))}?mode={mode}"
    connection = aiosqlite.connect(
        uri, uri=True, isolation_level=None, timeout=_ATTEMPT, factory=made
    )
    try:
        with _translate_errors(path):
            await connection
        yield connection
    finally:
        await connection.close()
        # Where opening failed its thread has yet to tell the loop, and must not find it closed.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001


def _prepare(connection: sqlite3.Connection, _: None) -> None:
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(f"PRAGMA journal_size_limit={_MAX_WAL_BYTES}").fetchone()


def _set_readonly(connection: sqlite3.Connection, _: None) -> None:
    connection.execute("PRAGMA query_only=ON")
