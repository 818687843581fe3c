"""The tracker's file on its disk: where it may not lie, who holds it, whether it is still there."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import (
    AlreadyRunningError,
    FileReplacedError,
    SchemaMismatchError,
    StoreError,
)
from daemon.report.check import check_file
from daemon.store import open_store
from daemon.store.file import held, refuse_place
from tests.builders import change, files, rows
from tests.store.test_database import process

_HOLDS = """
import pathlib, sys, time
from daemon.store.file import held
with held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_holds_a_file(path: Path) -> None:
    """A second process is refused, and the kernel frees the file when the first one dies."""
    with process(_HOLDS, path) as other:
        with pytest.raises(AlreadyRunningError), held(path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
        with held(path):
            pass


def test_a_file_is_held_by_whatever_name_it_is_opened(path: Path, tmp_path: Path) -> None:
    """It is the file that is locked, not something beside it that somebody may delete."""
    link = tmp_path / "elsewhere"
    link.symlink_to(path)
    with process(_HOLDS, path):
        for beside in path.parent.glob("tracker.db?*"):
            beside.unlink()
        with pytest.raises(AlreadyRunningError), held(link):
            pass


async def test_the_file_that_is_held_can_be_written(path: Path) -> None:
    """By us and by other programs in turn: its lock is none of SQLite's."""
    async with open_store(path):
        change(path, "CREATE TABLE others (number INTEGER)")
    assert rows(path, "SELECT COUNT(*) FROM others") == [(0,)]


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ("//nas/media /tank cifs rw 0 0", True),
        ("nas:/v /tank nfs4 rw 0 0\n/dev/sda / ext4 rw 0 0", True),
        ("nas: /tank fuse.sshfs rw 0 0", True),
        (r"C:\134 /tank 9p rw 0 0", True),
        (r"//nas/media /tank/my\040films cifs rw 0 0", True),
        ("/dev/sda / ext4 rw 0 0", False),
        ("nas:/v / nfs rw 0 0\n/dev/sda /tank ext4 rw 0 0", False),
        ("/dev/sda / ext4 rw 0 0\nnas:/v / nfs rw 0 0", True),
        ("//nas/media /tan cifs rw 0 0", False),
        ("", False),
    ],
)
def test_a_network_file_system_is_refused(mounts: str, *, refused: bool) -> None:
    """The nearest mount point above the file decides, also one with a blank in its name."""
    path = Path("/tank/my films/tracker.db")
    if refused:
        with pytest.raises(StoreError, match="network"):
            refuse_place(path, mounts)
    else:
        refuse_place(path, mounts)


def test_a_file_that_is_mounted_by_itself_is_refused() -> None:
    """The `-wal` beside it stays outside, as with a single file in a container's volumes."""
    mounts = "/dev/sda / ext4 rw 0 0\n/dev/sda /data/tracker.db ext4 rw 0 0"
    with pytest.raises(StoreError, match="mount its directory instead"):
        refuse_place(Path("/data/tracker.db"), mounts)
    refuse_place(Path("/data/other.db"), mounts)


def test_a_hard_link_is_refused(path: Path) -> None:
    """Whoever opens the other name does not see what was written last."""
    path.touch()
    os.link(path, path.with_name("other.db"))
    with pytest.raises(StoreError, match="hard link"), held(path):
        pass


def test_a_directory_is_named(tmp_path: Path) -> None:
    """Instead of a disk that is said to be broken."""
    with pytest.raises(StoreError, match="is a directory"), held(tmp_path):
        pass


async def test_what_is_no_ordinary_file_is_named(path: Path) -> None:
    """Instead of a disk that is said to be broken."""
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no ordinary file"):
        async with open_store(path):
            pass


async def test_links_that_lead_in_a_circle_are_named(path: Path) -> None:
    """By the system's words for it, to whoever opens the file and to whoever looks at it."""
    path.symlink_to(path)
    with pytest.raises(StoreError, match="symbolic links"):
        async with open_store(path):
            pass
    assert "symbolic links" in (await check_file(path)).text


async def test_requests_of_another_program_are_not_touched(path: Path) -> None:
    """The table's name alone does not make a file the tracker's."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY, url TEXT)")
    before = files(path.parent)
    with pytest.raises(SchemaMismatchError, match="the table requests lacks created_at"):
        async with open_store(path):
            pass
    assert files(path.parent) == before
    assert "the table requests lacks created_at" in (await check_file(path)).text


@pytest.mark.parametrize("tables", [["Movies", "Series"], [f"Table{n}" for n in range(9)]])
async def test_another_programs_database_is_refused_and_not_touched(
    path: Path, tables: list[str]
) -> None:
    """A mistyped path: its tables are named, and no byte of it changes."""
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    before = files(path.parent)
    with pytest.raises(SchemaMismatchError, match=f"{tables[0]}, {tables[1]}.* no requests"):
        async with open_store(path):
            pass
    assert files(path.parent) == before
    finding = await check_file(path)
    assert (finding.good, "another program's database" in finding.text) == (False, True)


async def test_an_empty_file_becomes_a_trackers(path: Path) -> None:
    """As one that is not there."""
    path.touch()
    async with open_store(path):
        pass
    assert rows(path, "SELECT COUNT(*) FROM requests") == [(0,)]


def _replaced(path: Path) -> None:
    other = path.with_name("restored.db")
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(other)) as copy:
        connection.backup(copy)
    other.replace(path)


def _without_its_wal(path: Path) -> None:
    """What somebody does who takes it for a lock that was left behind."""
    path.with_name("tracker.db-wal").unlink()


@pytest.mark.parametrize("damage", [Path.unlink, _replaced, _without_its_wal])
async def test_a_file_that_is_another_one_by_now_is_noticed(
    path: Path, damage: Callable[[Path], None]
) -> None:
    """What is written to the open one is in no file that anybody finds."""
    async with open_store(path) as store:
        store.check_file()
        damage(path)
        with pytest.raises(FileReplacedError):
            store.check_file()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
async def test_copies_are_for_those_who_may_read_the_original(path: Path, mode: int) -> None:
    """Those that are made by ourselves, and one that somebody asked for."""
    async with open_store(path):
        pass
    path.chmod(mode)
    async with open_store(path) as store:
        await store.backup(path.with_name("backup.db"))
        await store.copy_beside(".before-removal")
    copies = (path.with_name("backup.db"), path.with_name("tracker.db.before-removal"))
    assert [stat.S_IMODE(copy.stat().st_mode) for copy in copies] == [mode, mode]


async def test_what_a_large_write_leaves_beside_the_file_is_small(path: Path) -> None:
    """The `-wal` file is cut after a checkpoint."""
    async with open_store(path) as store:

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE large (data BLOB)")
            connection.executemany("INSERT INTO large VALUES (zeroblob(1000000))", [()] * 20)

        def empty(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM large")

        await store.write(write)
        wal = path.with_name("tracker.db-wal")
        assert wal.stat().st_size > 8 * 2**20
        for _ in range(2):  # the one after a checkpoint begins the file anew, and cuts it
            await store.write(empty)
        assert wal.stat().st_size <= 4 * 2**20
