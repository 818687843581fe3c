"""The installer in a staging root: what it puts where, again, back, and away."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from daemon import __version__
from tests.systemd.machine import HERE, ROOT, SYSTEMD, call

_INSTALL = SYSTEMD / "install"


def _files(root: Path) -> dict[str, tuple[int, float]]:
    """Every file outside the program, and what would tell a change."""
    found = [path for path in root.rglob("*") if "opt" not in path.parts and path.is_file()]
    stats = {str(path.relative_to(root)): path.stat() for path in found}
    return {name: (stat.st_mode & 0o7777, stat.st_mtime) for name, stat in stats.items()}


@pytest.fixture
def copy(stage: Path, tmp_path: Path) -> Path:
    """A staging root of one's own."""
    return shutil.copytree(stage, tmp_path / "root", symlinks=True)


def test_program(stage: Path) -> None:
    """The program is there, with its dependencies and nothing to install more of them."""
    program = stage / "opt/library-sync"
    version = call(program / "bin/python", "-I", "-m", "daemon", "--version")
    assert version.stdout == f"library-sync {__version__}\n"
    assert (program / "bin/library-sync").read_text().startswith("#!/opt/library-sync/bin/python\n")
    assert not (program / "bin/pip").exists()


def test_files(stage: Path) -> None:
    """Each file has its place and its mode."""
    modes = {name: mode for name, (mode, _) in _files(stage).items() if name.startswith("etc/")}
    accounts = ("group", "gshadow", "passwd", "shadow", ".pwd.lock")
    assert {n: m for n, m in modes.items() if n.removeprefix("etc/") not in accounts} == {
        "etc/library-sync/config.yaml": 0o640,
        "etc/systemd/system/library-sync.service": 0o644,
        "etc/sysusers.d/library-sync.conf": 0o644,
        "etc/tmpfiles.d/library-sync.conf": 0o644,
    }
    assert (stage / "etc/credstore").stat().st_mode & 0o7777 == 0o700
    assert (stage / "etc/library-sync").stat().st_mode & 0o7777 == 0o750
    assert (stage / "etc/passwd").read_text().startswith("library-sync:x:")


def test_again(stage: Path) -> None:
    """Installing what is there already changes nothing."""
    before = _files(stage)
    done = call(_INSTALL, "--root", stage)
    assert (done.returncode, done.stdout) == (0, "all is up to date\n")
    assert _files(stage) == before


def test_configuration_stays(copy: Path) -> None:
    """An upgrade does not touch the configuration, and renews a unit that was edited."""
    config = copy / "etc/library-sync/config.yaml"
    config.write_text("jellyfin: {url: http://media.lan}\n")
    unit = copy / "etc/systemd/system/library-sync.service"
    unit.write_text("")
    assert call(_INSTALL, "--root", copy).returncode == 0
    assert config.read_text() == "jellyfin: {url: http://media.lan}\n"
    assert unit.read_text() == (SYSTEMD / "library-sync.service").read_text()


def test_rollback(copy: Path) -> None:
    """Going back brings the program before the upgrade; going back again, the newer one."""
    assert call(_INSTALL, "--root", copy, "--rollback").stdout == "back to library-sync 0.0.1\n"
    again = call(_INSTALL, "--root", copy, "--rollback")
    assert again.stdout == f"back to library-sync {__version__}\n"


def test_nothing_to_go_back_to(tmp_path: Path) -> None:
    """Without a program before, going back says so and changes nothing."""
    refused = call(_INSTALL, "--root", tmp_path, "--rollback")
    assert (refused.returncode, "to go back to" in refused.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_uninstall(copy: Path) -> None:
    """Removing it leaves what is the admin's: configuration, secrets, data."""
    (copy / "etc/credstore/library-sync.jellyfin_api_key").write_text("secret")
    (copy / "var/lib/library-sync").mkdir(parents=True)
    (copy / "var/lib/library-sync/tracker.db").write_text("data")
    assert call(_INSTALL, "--root", copy, "--uninstall").returncode == 0
    assert list((copy / "opt").iterdir()) == []
    left = [name for name in _files(copy) if "library-sync" in name]
    assert sorted(left) == [
        "etc/credstore/library-sync.jellyfin_api_key",
        "etc/library-sync/config.yaml",
        "var/lib/library-sync/tracker.db",
    ]


@pytest.mark.parametrize("action", [[], ["--uninstall"]])
def test_dry_run(stage: Path, tmp_path: Path, action: list[str]) -> None:
    """A dry run says what it would do, and does nothing."""
    before = _files(stage)
    for root in (stage, tmp_path):
        done = call(_INSTALL, "--dry-run", "--root", root, *action)
        assert (done.returncode, "would run: " in done.stdout) == (0, True)
    assert list(tmp_path.iterdir()) == []
    assert _files(stage) == before


@pytest.mark.parametrize("there", [True, False], ids=["upgrade", "first time"])
def test_dry_run_of_a_new_program(tmp_path: Path, there: bool) -> None:
    """Only a program that is there is said to be kept."""
    program = tmp_path / "opt/library-sync"
    if there:
        program.mkdir(parents=True)
    told = call(_INSTALL, "--dry-run", "--root", tmp_path).stdout.splitlines()
    assert told[0] == f"would make {program} from requirements.lock"
    assert (f"would keep the one there as {program}.previous" in told) == there


def test_no_interpreter(tmp_path: Path) -> None:
    """An interpreter that is not there is refused, with how to name another one."""
    done = call("env", f"PYTHON={tmp_path}/python3", _INSTALL, "--root", tmp_path)
    assert (done.returncode, "PYTHON=/path/to/python3" in done.stderr) == (1, True)


def test_hidden_interpreter(tmp_path: Path) -> None:
    """An interpreter in a home directory, which the service would not see, is refused."""
    if not os.path.realpath(sys.executable).startswith(("/root/", "/home/")):
        pytest.skip("the interpreter of these tests is not in a home directory")
    done = call("env", f"PYTHON={sys.executable}", _INSTALL, "--root", tmp_path)
    assert (done.returncode, "lies in a home directory" in done.stderr) == (1, True)


def test_shell() -> None:
    """The scripts have none of the shell's usual traps in them."""
    if shutil.which("shellcheck") is None:
        pytest.skip("there is no shellcheck (package shellcheck)")
    scripts = [_INSTALL, SYSTEMD / "wheel", SYSTEMD / "library-sync", HERE / "boot.sh"]
    done = call("shellcheck", *scripts)
    assert (done.returncode, done.stdout) == (0, "")


def test_make() -> None:
    """`make install` is the installer, and hands its options on."""
    done = call("make", "-s", "-C", ROOT, "--dry-run", "install", "OPTIONS=--dry-run")
    assert done.stdout == "systemd/install --dry-run\n"
