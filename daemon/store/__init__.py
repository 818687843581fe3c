"""The tracker's file: each query and each change is one function.

`Store` runs them: `await store.read(query, ...)` on one snapshot, `await store.write(change, ...)`
as one transaction. No SQL or column format leaves here.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

from daemon.errors import StoreError
from daemon.store import migrate, requests
from daemon.store.clock import SYSTEM, Clock, Moment
from daemon.store.database import (
    BUSY_BUDGET,
    Store,
    Transaction,
    is_there,
    opened,
    opened_readonly,
    wal_of,
)
from daemon.store.file import held, resolved

__all__ = ["Store", "open_store", "open_store_readonly"]


@contextlib.asynccontextmanager
async def open_store(
    path: Path,
    *,
    clock: Callable[[], datetime] = SYSTEM.now,
    moment: Callable[[], Moment] = SYSTEM.moment,
    busy_budget: float = BUSY_BUDGET,
) -> AsyncIterator[Store]:
    """Open the tracker's file, created if absent and locked for this process.

    A file made by another program is copied once before the first write.

    Raises:
        AlreadyRunningError: another process holds it.
        SchemaMismatchError: its tables are not of the known shape.
        StoreError: it cannot be used.
    """
    path = resolved(path)  # a lock beside a link to the file would not be met by the next one
    existed = is_there(path)
    with held(path) as file:
        if existed:  # not a byte of another program's database may change
            async with opened_readonly(path) as look:
                await look.read(requests.refuse_foreign)
        async with opened(path, Clock(clock, moment), budget=busy_budget, file=file) as store:
            if existed and await store.read(migrate.version) is None:
                await store.copy_beside(".before-library-sync", once=True)
            await store.write(_prepare)
            file.add(wal_of(path))
            yield store


def _prepare(transaction: Transaction) -> None:
    requests.create(transaction)
    requests.check(transaction)
    migrate.migrate(transaction)


@contextlib.asynccontextmanager
async def open_store_readonly(
    path: Path, *, immutable: bool = True, foreign: bool = False
) -> AsyncIterator[Store]:
    """Open the tracker's file read-only, also while a daemon is running.

    Args:
        immutable: make no file beside it, as SQLite would; not for what takes long, like a copy.
        foreign: the tables of this version of the program may be absent.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    if not is_there(path):
        raise StoreError(f"there is no file {path}")
    async with opened_readonly(resolved(path), immutable=immutable) as store:
        if not (foreign or await store.read(migrate.is_current)):
            raise StoreError("library-sync has not worked on this file yet; sync once")
        yield store
