"""Files that the daemon cannot use: one line, the exit code, and whether it is started again."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from daemon.store import open_store
from tests.builders import rows
from tests.hosts import BOUND, STRANGER, Host, a_host, restarted, why_not
from tests.pretend import World
from tests.running import a_world, until
from tests.test_daemon import CONSISTENT, RUNS, SOON, Place, Running, a_place

CREDENTIAL: Final = "jellyfin_api_key"
NEED: Final = f"uid {os.geteuid()} must be able to read and write the file and its directory"
TOKEN: Final = "an-admin-t0ken"
TITLES: Final = 1000
Damage = Callable[[Path], object]


async def refused(place: Place, code: int, **environ: str) -> str:
    """The one line of a daemon that ends with this code; the log has nothing but its start."""
    ended, log, complaints = await place.ended("run", **environ)
    assert ended == code
    assert [json.loads(line)["event"] for line in log.splitlines()] in ([], ["daemon.starting"])
    [line] = complaints.splitlines()
    return line


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A configured place with a film and a series."""
    async with a_place(tmp_path, a_world()) as made:
        yield made


@pytest.fixture
def bound(place: Place) -> Place:
    """A place whose daemons are bound by permissions, also where the tests are root's."""
    if os.geteuid() == 0:
        if reason := why_not(*BOUND, "true"):
            pytest.skip(reason)
        place.within = BOUND
    return place


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.touch(mode=0), "cannot be read: Permission denied; it must be a file"),
        (lambda file: file.mkdir(), "cannot be read: Is a directory; it must be a file that uid"),
        (lambda file: file.parent.chmod(0), "cannot be read: Permission denied; it must be a file"),
        (lambda file: file.touch(), ": jellyfin.api_key is empty; fill it in or leave it out"),
        (
            lambda file: file.write_bytes(b"\x7fELF canary \xff"),
            "is not UTF-8 text; save it as UTF-8",
        ),
        (lambda file: file.write_bytes(b"canary\0canary"), "it must be the secret alone"),
    ],
    ids=["unreadable", "directory", "closed directory", "empty", "binary", "with a NUL"],
)
async def test_a_credential_that_cannot_be_used(bound: Place, damage: Damage, words: str) -> None:
    """It is named with what is wanted, never quoted; only a person can help, so it stays down."""
    credentials = bound.folder / "credentials"
    credentials.mkdir()
    damage(credentials / CREDENTIAL)
    line = await refused(bound, 78, CREDENTIALS_DIRECTORY=str(credentials))
    credentials.chmod(0o700)
    assert line.startswith(f"library-sync: credential file {CREDENTIAL}")
    assert words in line
    assert "canary" not in line
    assert not restarted(78)


@pytest.fixture
async def bereft(bound: Place) -> AsyncIterator[Place]:
    """A place whose tracker's file lies in a directory of its own, and is used already."""
    state = bound.folder / "state"
    state.mkdir()
    bound.configure(database=str(state / "tracker.db"))
    async with open_store(state / "tracker.db"):
        pass
    yield bound
    state.chmod(0o700)


def given_away(path: Path, mode: int) -> None:
    """Make it a stranger's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(path, STRANGER, STRANGER)
    path.chmod(mode)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.parent.chmod(0o500),
        lambda file: [one.unlink() for one in file.parent.iterdir()] + [file.parent.chmod(0o500)],
        lambda file: file.parent.chmod(0),
        lambda file: file.chmod(0o400),
        lambda file: given_away(file, 0o600),
        lambda file: given_away(file, 0o644),
        lambda file: given_away(file.parent, 0o700),
        lambda file: given_away(file.parent, 0o755),
    ],
    ids=[
        *("directory", "directory, no file yet", "closed directory", "file"),
        *("a stranger's file", "a stranger's file to read", "a stranger's directory"),
        "a stranger's directory to look into",
    ],
)
async def test_a_tracker_file_without_permission(bereft: Place, damage: Damage) -> None:
    """It is named with who needs what; only a person can help. `check` says the same."""
    file = bereft.folder / "state/tracker.db"
    damage(file)
    line = await refused(bereft, 77)
    assert str(file) in line
    assert line.endswith(f"; {NEED}")
    assert not restarted(77)
    code, found, complaints = await bereft.ended("check")
    assert (code, complaints) == (1, "")
    [bad] = [line for line in found.splitlines() if line.startswith("BAD ")]
    assert bad.startswith("BAD file: ")
    assert bad.endswith(f"; {NEED}")


async def test_a_backup_to_a_place_without_permission(bereft: Place) -> None:
    """The place is named, with who needs what; or that there is no such place."""
    bereft.folder.joinpath("closed").mkdir(mode=0)
    for target, ends, what in (("closed", 77, NEED), ("nowhere", 1, "or correct the path")):
        code, _, complaints = await bereft.ended("backup", f"{target}/copy.db")
        [line] = complaints.splitlines()
        assert (code, f"{target}/copy.db" in line, line.endswith(what)) == (ends, True, True)
    bereft.folder.joinpath("closed").chmod(0o700)


# --- a disk of one's own ---------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Host]:
    """A host on which one can mount."""
    if reason := why_not("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"):  # noqa: S108  # its own
        pytest.skip(reason)
    with a_host("--mount") as made:
        yield made


class Disk:
    """A small disk that holds the tracker's file."""

    def __init__(self, place: Place, host: Host) -> None:
        self._place = place
        self._host = host
        self._point = place.folder / "disk"
        self._point.mkdir()
        self.database = self._point / "tracker.db"
        place.within = host.within

    def configure(self, **sections: Any) -> None:
        """Let the daemon use it, and let itself be asked."""
        http = {"port": 0, "admin_token": TOKEN}
        self._place.configure(database=str(self.database), http=http, **sections)

    def mount(self, options: str) -> None:
        """Put it there."""
        self._host.say("mount", "-t", "tmpfs", "-o", options, "tmpfs", self._point)

    def remount(self, options: str) -> None:
        """Let it be otherwise from now on."""
        self._host.say("mount", "-o", f"remount,{options}", self._point)

    def fill(self) -> None:
        """Leave no room on it."""
        self._host.say("sh", "-c", 'cat /dev/zero >"$0/filler" 2>/dev/null || :', self._point)


@pytest.fixture
def disk(place: Place, host: Host) -> Disk:
    """A disk that is not there yet."""
    made = Disk(place, host)
    made.configure()
    return made


async def test_a_disk_that_is_mounted_read_only(place: Place, disk: Disk) -> None:
    """The file is named; only a person can help, whether it is there already or not."""
    disk.mount("ro")
    words = f"cannot open or write {disk.database}: Read-only file system; {NEED}"
    assert await refused(place, 77) == f"library-sync: {words}"
    disk.remount("rw")
    assert (await place.ended("sync"))[0] == 0
    disk.remount("ro")
    assert await refused(place, 77) == f"library-sync: {words}"
    assert not restarted(77)


@pytest.mark.parametrize("size", ["size=4k", "size=12k", "size=64k", "nr_inodes=1"])
async def test_a_disk_that_is_full_at_the_start(place: Place, disk: Disk, size: str) -> None:
    """It is named, and systemd tries again: once there is room, all is well by itself."""
    disk.mount(size)
    line = await refused(place, 1)
    assert line.startswith(f"library-sync: the disk of {disk.database} is full or broken: ")
    assert line.endswith("; make room there")
    assert restarted(1)
    disk.remount("size=16m,nr_inodes=100")
    daemon = await (await place.started()).ready()
    assert (await daemon.end())[0] == 0


async def asked(daemon: Running, method: str) -> tuple[int, dict[str, Any]]:
    """What it says of runs to an admin; a POST asks for one and waits."""
    url = daemon.logged("daemon.ready")[0]["url"]
    async with (
        ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.request(method, f"{url}/admin/sync") as reply,
    ):
        return reply.status, await reply.json(content_type=None)


async def test_a_disk_that_fills_up_in_mid_run(tmp_path: Path, host: Host) -> None:
    """The run fails with one line that says why; nothing is lost, and the daemon goes on.

    It tries again within a minute, and once there is room a run does what was left.
    """
    async with a_place(tmp_path, World.of_size(movies=TITLES)) as place:
        disk = Disk(place, host)
        disk.configure(sync={"batch_size": 50})
        disk.mount("size=1m")
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.logged("run.done"))
        [problem, done] = [line for line in daemon.log if line["level"] != "info"]
        assert problem["problem"].startswith(f"the disk of {disk.database} is full or broken: ")
        assert (done["event"], done["outcome"]) == ("run.done", "failed")
        assert 0 < done["added"] < TITLES
        _, state = await asked(daemon, "GET")
        pause = datetime.fromisoformat(state["next_run"]) - datetime.now(UTC)
        assert pause < timedelta(seconds=61)
        disk.remount("size=32m")
        status, result = await asked(daemon, "POST")
        assert (status, result["outcome"]) == (200, "ok")
        assert result["added"] == TITLES - done["added"]
        assert (await place.ended("backup", "copy.db"))[0] == 0
        assert rows(tmp_path / "copy.db", CONSISTENT) == [(TITLES,) * 5]
        assert rows(tmp_path / "copy.db", RUNS) == [("start", "failed"), ("admin", "ok")]
        assert (await daemon.end())[0] == 0


async def test_a_disk_without_any_room(place: Place, disk: Disk) -> None:
    """Whoever asks for a run is told why there is none, with one line; the end is in good order."""
    disk.mount("size=1m")
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    disk.fill()
    status, problem = await asked(daemon, "POST")
    await until(lambda: daemon.logged("run.start_failed"))
    [line] = [line for line in daemon.log if line["level"] != "info"]
    assert (status, line["error_kind"]) == (503, "disk_full")
    assert line["error"] == problem["detail"]
    assert line["error"].endswith("; make room there")
    code, seconds = await daemon.end()
    assert (code, seconds < SOON) == (0, True)
