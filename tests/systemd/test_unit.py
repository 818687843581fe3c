"""The unit and what comes with it, as systemd's own tools judge them, without running it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from daemon.settings import credentials
from tests.systemd.machine import SYSTEMD, call

_UNIT = "library-sync.service"
_DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))


@pytest.fixture(params=[[], *([one] for one in _DROP_INS), _DROP_INS], ids=len)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A root with the unit and none, one or all of the drop-ins, and a program to start."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze (package systemd)")
    units = tmp_path / "etc/systemd/system"
    extra = units / f"{_UNIT}.d"
    extra.mkdir(parents=True)
    text = (SYSTEMD / _UNIT).read_text()
    (units / _UNIT).write_text(text.replace("/opt/library-sync/bin/library-sync", "/bin/true"))
    for drop_in in request.param:
        shutil.copy(drop_in, extra)
    return tmp_path


def test_exposure(root: Path) -> None:
    """The sandbox is worth 1.0 or better, also with the drop-ins."""
    analyze = ("systemd-analyze", f"--root={root}", "security", "--offline=true", "--no-pager")
    done = call(*analyze, "--threshold=10", _UNIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert call(*analyze, "--threshold=8", _UNIT).returncode == 1


def test_verify(root: Path) -> None:
    """There is nothing in it that systemd would complain of."""
    done = call("systemd-analyze", "verify", "--man=no", root / "etc/systemd/system" / _UNIT)
    assert (done.returncode, done.stderr) == (0, "")


def test_verify_can_fail(root: Path) -> None:
    """A misspelt setting would be found."""
    unit = root / "etc/systemd/system" / _UNIT
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHmoe="))
    assert "ProtectHmoe" in call("systemd-analyze", "verify", "--man=no", unit).stderr


def test_credentials() -> None:
    """Every secret that the program takes as a credential is handed over, under that name."""
    handed = re.findall(r"^LoadCredential=(\w+):library-sync\.(\w+)$", _read(_UNIT), re.MULTILINE)
    assert handed == [(name, name) for name in credentials().values()]


def _read(name: str) -> str:
    return (SYSTEMD / name).read_text()
