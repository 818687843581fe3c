"""Hosts that are not as they should be: namespaces, and a user whom permissions bind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

UNIT: Final = Path(__file__).parent.parent / "systemd/library-sync.service"
STRANGER: Final = 65534
"""A user whom the daemon's process is not."""

_POWERS: Final = "-dac_override,-dac_read_search"
BOUND: Final = ("setpriv", f"--inh-caps={_POWERS}", f"--bounding-set={_POWERS}")
"""Before a command: root without its power over permissions; another user could not read us."""


def why_not(*command: str) -> str:
    """What keeps a command that needs root from working here; empty if nothing does."""
    if os.geteuid() != 0:
        return "this needs root"
    if shutil.which(command[0]) is None:
        return f"there is no {command[0]}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    return done.stderr.strip() if done.returncode else ""


def restarted(code: int) -> bool:
    """Whether the unit would start the daemon again after this exit code."""
    unit = UNIT.read_text("utf-8")
    assert re.findall("^Restart=(.*)$", unit, re.MULTILINE) == ["always"]
    [prevented] = re.findall("^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    return str(code) not in prevented.split()


class Host:
    """Namespaces of their own, gone with whoever made them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @property
    def within(self) -> tuple[str, ...]:
        """What a command is put behind to be in them, in the directory where it would be."""
        return ("nsenter", f"--target={self._pid}", "--mount", "--net", "--wd=.", "--")

    def say(self, *command: str | Path) -> str:
        """Run a command in them that works, and give what it printed."""
        done = subprocess.run(  # noqa: S603  # the tests' own commands
            [*self.within, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@contextmanager
def a_host(*namespaces: str) -> Iterator[Host]:
    """A host that shares all but these namespaces, e.g. `--net`, with ours."""
    alone = ["setpriv", "--pdeathsig=KILL", "unshare", *namespaces, "sh", "-c", "echo; exec cat"]
    with subprocess.Popen(alone, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  # as above
        assert process.stdout is not None
        process.stdout.readline()  # they are there once it speaks
        try:
            yield Host(process.pid)
        finally:
            process.kill()
