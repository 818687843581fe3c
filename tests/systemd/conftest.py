"""What these tests share: the program installed into a staging root, and a machine that has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import (
    HERE,
    SYSTEMD,
    Machine,
    booted,
    call,
    why_not_bootable,
    why_not_installable,
)

# So that a test need not wait as long as an admin would.
_HASTE = "[Service]\nWatchdogSec=3\nRestartSec=1\n"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root into which an older program was put, and then this one installed."""
    if reason := why_not_installable():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("stage")
    old = root / "opt/library-sync/bin/python"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho library-sync 0.0.1\n")
    old.chmod(0o755)
    done = call(SYSTEMD / "install", "--root", root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def machine(stage: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine that runs the pretend services, and the daemon once it is started."""
    if reason := why_not_bootable():
        pytest.skip(reason)
    with booted(stage, tmp_path_factory.mktemp("machine")) as machine:
        machine.say("systemd-sysusers", "library-sync.conf")
        machine.say("systemd-tmpfiles", "--create", "library-sync.conf")
        python, script = "/opt/library-sync/bin/python", "/opt/pretend.py"
        shutil.copy(HERE / "pretend.py", machine.root / script[1:])
        shutil.copytree(HERE.parent / "pretend", machine.root / "opt/tests/pretend")
        machine.say("systemd-run", "--unit=pretend", "--service-type=notify", python, script)
        drop_in = machine.root / "etc/systemd/system/library-sync.service.d/haste.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(_HASTE)
        machine.say("systemctl", "daemon-reload")
        yield machine
