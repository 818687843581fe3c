"""The audit: complete, in one transaction with what it tells of, and changed by nobody unseen."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from daemon.domain import Actor, Add, Decision, Ids, Update
from daemon.errors import StoreError
from daemon.reasons import Reason
from daemon.store import Store, audit, syncing
from daemon.store.audit import AuditEvent, ChainCheck, append, verify
from daemon.store.database import Transaction
from tests.builders import ACTOR, an_item, begun, change, rows

_TABLES = ("requests", "timeline_events", "sync_audit", "sync_decisions")


def films(*numbers: int) -> list[Decision]:
    """Additions of films with these TMDB numbers."""
    return [Add(an_item(number, ids=Ids(number))) for number in numbers]


async def five_events(store: Store) -> list[str]:
    """The hashes of a chain of five events, oldest first."""
    run_id = await begun(store)
    for number in range(1, 6):
        await store.write(syncing.apply, run_id, ACTOR, films(number))
    events = await store.read(audit.after, 0, 9)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    return [event.hash for event in events]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The audit's lines of the log, oldest first."""
    lines = (record.msg for record in caplog.records)
    return [one for one in lines if isinstance(one, dict) and one["event"] == "audit.recorded"]


def note_something(transaction: Transaction, fails: Exception | None = None) -> str:
    """A change that knows nothing of the log."""
    append(transaction, AuditEvent("something.done", ACTOR, target="request 7"))
    if fails:
        raise fails
    return "done"


def open_to_changes(path: Path) -> None:
    """Take away what forbids changes, as somebody with the file in hands can."""
    change(path, "DROP TRIGGER sync_audit_no_update")
    change(path, "DROP TRIGGER sync_audit_no_delete")


async def test_a_batch_of_additions_is_one_event(
    path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the run, the rows and their Jellyfin ids; a hash for every title would be dear."""
    caplog.set_level("INFO", logger="daemon")
    run_id = await begun(store)
    await store.write(syncing.apply, run_id, ACTOR, films(1, 2))
    [line] = logged(caplog)
    [event] = (await store.read(audit.events, None, 5)).rows
    assert asdict(event) == {
        "seq": 1,
        "at": "2026-11-20T12:00:00.000000+00:00",
        "actor_kind": "cli",
        "actor_name": "somebody",
        "action": "titles.added",
        "run_id": run_id,
        "target": None,
        "reason": None,
        "before": None,
        "after": {
            "request_ids": [1, 2],
            "jellyfin_ids": [an_item(1).jellyfin_id, an_item(2).jellyfin_id],
        },
        "prev_hash": "0" * 64,
        "hash": line["hash"],
    }
    assert rows(path, "SELECT COUNT(*) FROM requests") == [(2,)]


async def test_every_changed_title_is_an_event_with_what_was_and_what_is(store: Store) -> None:
    """Only the columns that really changed are in it, as they were and as they are."""
    run_id, item = await begun(store), an_item()
    await store.write(syncing.apply, run_id, ACTOR, [Add(item)])
    updates = [
        Update(item, Reason.FILL, 1, {"tvdb_id": 12, "year": 1900}),
        Update(item, Reason.REFRESH, 1, {}, {"title": "New", "year": 1999}),
        Update(item, Reason.FILL, 1, {"tvdb_id": 13}),
    ]
    await store.write(syncing.apply, run_id, ACTOR, updates)
    names = ("action", "target", "reason", "before", "after")
    newest = [
        tuple(getattr(event, name) for name in names)
        for event in (await store.read(audit.events, None, 2)).rows
    ]
    about = ("request 1", item.jellyfin_id)
    assert newest == [
        ("title.refresh", *about, {"title": item.title}, {"title": "New"}),
        ("title.fill", *about, {"tvdb_id": None}, {"tvdb_id": 12}),
    ]


async def test_rows_timeline_and_audit_come_together_or_not_at_all(
    path: Path, store: Store
) -> None:
    """A failure in the middle of a batch leaves nothing of the batch anywhere."""
    run_id = await begun(store)
    await store.write(syncing.apply, run_id, ACTOR, films(1))
    before = [rows(path, f"SELECT * FROM {table}") for table in _TABLES]
    change(
        path,
        "CREATE TRIGGER full BEFORE INSERT ON sync_audit BEGIN SELECT RAISE(ABORT, 'no room'); END",
    )
    with pytest.raises(StoreError, match="no room"):
        await store.write(syncing.apply, run_id, ACTOR, films(2, 3))
    assert [rows(path, f"SELECT * FROM {table}") for table in _TABLES] == before


async def test_whatever_a_change_appends_is_logged_after_its_commit(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """With its place and hash, and without the change or its caller doing anything for it."""
    caplog.set_level("INFO", logger="daemon")
    assert await store.write(note_something) == "done"
    [event], [line] = (await store.read(audit.events, None, 5)).rows, logged(caplog)
    names = ("seq", "action", "target", "hash")
    assert [line[name] for name in names] == [getattr(event, name) for name in names]


async def test_what_was_rolled_back_is_never_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither at once nor by the next transaction: the log would know of a hash too many."""
    caplog.set_level("INFO", logger="daemon")
    with pytest.raises(LookupError):
        await store.write(note_something, LookupError())
    assert logged(caplog) == []
    await store.write(note_something)
    assert [line["seq"] for line in logged(caplog)] == [1]


async def test_the_events_of_a_cancelled_caller_are_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """What was committed is in the log, even if nobody waits for it any more."""
    caplog.set_level("INFO", logger="daemon")
    begun, goes_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        begun.set()
        goes_on.wait(5)
        note_something(transaction)

    writing = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(begun.wait, 5)
    writing.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert [line["action"] for line in logged(caplog)] == ["something.done"]


@pytest.mark.parametrize(
    "statement", ["UPDATE sync_audit SET reason = ''", "DELETE FROM sync_audit"]
)
async def test_an_event_cannot_be_changed_or_deleted(
    path: Path, store: Store, statement: str
) -> None:
    """The table refuses, whoever asks."""
    await five_events(store)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        change(path, statement)


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE sync_audit SET actor_name = 'nobody' WHERE seq = 3", 3),
        ("UPDATE sync_audit SET after = replace(after, '3', '4') WHERE seq = 3", 3),
        ("UPDATE sync_audit SET at = '2020' WHERE seq = 1", 1),
        ("UPDATE sync_audit SET hash = 'x' WHERE seq = 5", 5),
        ("UPDATE sync_audit SET prev_hash = 'x' WHERE seq = 2", 2),
        ("DELETE FROM sync_audit WHERE seq = 1", 2),
        ("DELETE FROM sync_audit WHERE seq = 4", 5),
        ("UPDATE sync_audit SET seq = seq + 1 WHERE seq = 5", 6),
    ],
)
async def test_a_changed_or_missing_event_is_found_at_its_place(
    path: Path, store: Store, statement: str, broken_at: int
) -> None:
    """The chain breaks where it was touched, even by somebody who removed the guards."""
    await five_events(store)
    open_to_changes(path)
    assert (await store.read(audit.verify)).broken_at is None
    change(path, statement)
    assert (await store.read(audit.verify)).broken_at == broken_at


async def test_a_cut_tail_shows_only_beside_the_log(path: Path, store: Store) -> None:
    """The table alone looks sound, but its head is not the hash that was logged last."""
    hashes = await five_events(store)
    assert await store.read(audit.verify) == ChainCheck(5, None, hashes[4])
    open_to_changes(path)
    change(path, "DELETE FROM sync_audit WHERE seq = 5")
    assert await store.read(audit.verify) == ChainCheck(4, None, hashes[3])


def test_any_text_can_be_recorded() -> None:
    """What people or servers write neither breaks an event nor its hash."""
    connection = Transaction(":memory:")
    odd = "\ud800 \x00 ' \" \u2028 \n 千"
    values: dict[str, Any] = {"title": odd, "year": None, "tmdb_id": 2**63 - 1}
    connection.executescript(
        "CREATE TABLE sync_audit (seq INTEGER PRIMARY KEY, at, actor_kind, actor_name, action,"
        " run_id, target, reason, before, after, prev_hash, hash)"
    )
    append(connection, AuditEvent("title.fill", Actor("cli", "Zoë\n"), before=values))
    [(before,)] = connection.execute("SELECT before FROM sync_audit").fetchall()
    assert json.loads(before) == values
    assert verify(connection).broken_at is None
    connection.close()
