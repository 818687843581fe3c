"""A machine of its own: a real systemd as PID 1 in namespaces, for what only systemd can show."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SYSTEMD: Final = ROOT / "systemd"
_TOOLS: Final = ("unshare", "nsenter", "setpriv", "runuser", "flock", "ip", "dbus-daemon")
PYTHON: Final = "/usr/bin/python3"
"""The interpreter of the installed program; services do not see home directories."""


def call(*command: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code."""
    return subprocess.run(  # noqa: S603  # the tests' own commands
        command, capture_output=True, text=True, check=False, timeout=seconds
    )


def why_not_installable() -> str:
    """What keeps the installer from working here; empty if nothing does."""
    if os.getuid() != 0:
        return "the installer needs root"
    if shutil.which("systemd-sysusers") is None:
        return "there is no systemd-sysusers (package systemd)"
    probe = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if not Path(PYTHON).exists() or call(PYTHON, "-c", probe).returncode:
        return f"{PYTHON} 3.11 or newer with venv is not there (package python3-venv)"
    return ""


def why_not_bootable() -> str:
    """What keeps a machine from being booted here; empty if nothing does."""
    if not Path("/lib/systemd/systemd").exists():
        return "there is no systemd to boot (package systemd)"
    if not _groups().exists():
        return "there is no cgroup2 hierarchy"
    if missing := [name for name in _TOOLS if shutil.which(name) is None]:
        return f"{' and '.join(missing)} not there (packages util-linux, iproute2, dbus)"
    isolated = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork"]
    script = "mount --make-rprivate / && mount -t tmpfs tmpfs /tmp"
    if call(*isolated, "sh", "-c", script).returncode:
        return "namespaces cannot be made here"
    return ""


class Machine:
    """A booted machine; everything it does is gone with it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The number that its PID 1 has outside."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    @property
    def root(self) -> Path:
        """Its file system, seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever its exit code."""
        enter = ("nsenter", f"--target={self.pid}", "--all", "--root", "--wd", "--")
        return call(*enter, *command)

    def say(self, *command: str) -> str:
        """Run a command in it that works, and give what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def shows(self, name: str, unit: str = "library-sync.service") -> str:
        """What systemd says of a unit's property."""
        return self.say("systemctl", "show", "--value", f"--property={name}", unit)


def eventually(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def booted(stage: Path, scratch: Path) -> Iterator[Machine]:
    """A machine that has what was installed into a staging root.

    Args:
        stage: the staging root.
        scratch: an empty directory.
    """
    group = _groups() / f"library-sync-test-{os.getpid()}"
    group.mkdir()
    alone = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount"]  # gone with the tests, however
    script = [*alone, "sh", str(HERE / "boot.sh"), str(scratch), str(stage)]

    def enter() -> None:
        (group / "cgroup.procs").write_text("0")

    with subprocess.Popen(  # noqa: S603  # as above
        script,
        preexec_fn=enter,  # noqa: PLW1509  # nothing here has threads
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            machine = Machine(process)
            assert eventually(lambda: _is_up(machine), 30), "the machine did not boot"
            yield machine
        finally:
            process.kill()  # takes PID 1 with it, and so all of the machine
            process.wait()
            assert eventually(lambda: _removed(group)), f"{group} cannot be removed"


def _groups() -> Path:
    """Where the unified cgroup hierarchy is mounted."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return Path(next((line.split()[1] for line in lines if " cgroup2 " in line), "/nowhere"))


def _is_up(machine: Machine) -> bool:
    try:
        return machine.run("systemctl", "is-active", "bench.target").returncode == 0
    except (IndexError, FileNotFoundError):
        return False


def _removed(group: Path) -> bool:
    try:
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()
    except OSError:
        return False
    return True
