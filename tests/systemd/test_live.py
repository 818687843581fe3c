"""The unit under a real systemd: ready, watched, restarted or not, and with its secrets kept."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.systemd.machine import SYSTEMD, Machine, eventually

_UNIT = "library-sync.service"
_CREDENTIALS = f"/run/credentials/{_UNIT}"
_PYTHON = "/opt/library-sync/bin/python"


@pytest.fixture
def running(machine: Machine) -> Machine:
    """The machine with the service at rest after its first run, and never restarted by systemd."""
    shown = [machine.shows(name) for name in ("ActiveState", "NRestarts")]
    if shown != ["active", "0"]:
        machine.say("systemctl", "restart", _UNIT)
    assert eventually(lambda: machine.shows("StatusText").startswith("Idle")), "no first run"
    return machine


def _config(machine: Machine) -> Path:
    return machine.root / "etc/library-sync/config.yaml"


@contextmanager
def _changed(machine: Machine, text: str) -> Iterator[None]:
    """The configuration reads otherwise for a while."""
    config = _config(machine)
    before = config.read_text()
    config.write_text(text)
    try:
        yield
    finally:
        config.write_text(before)


def test_ready_and_status(running: Machine) -> None:
    """A started service is ready, and its status says how the latest run went."""
    assert running.shows("ActiveState") == "active"
    assert re.fullmatch(r"Idle; run \d+ ok, \d+ titles", running.shows("StatusText"))


def test_journal(running: Machine) -> None:
    """Each line of the service is one JSON object in the journal."""
    invocation = running.shows("InvocationID")
    entries = running.say(
        *("journalctl", "--output=json", "--identifier=library-sync"),
        f"_SYSTEMD_INVOCATION_ID={invocation}",
    )
    lines = [json.loads(json.loads(entry)["MESSAGE"]) for entry in entries.splitlines()]
    assert {"daemon.ready", "run.done"} <= {line["event"] for line in lines}
    assert {line["service"] for line in lines} == {"library-sync"}


def test_secrets(running: Machine) -> None:
    """Only the service can read its secrets; one that was not given is left out."""
    listed = running.say("find", _CREDENTIALS, "-printf", "%U %m %f\n").splitlines()
    user = running.say("id", "-u", "library-sync")
    assert sorted(listed) == [
        f"{user} 400 jellyfin_api_key",
        f"{user} 400 radarr_api_key",
        f"{user} 500 {_UNIT}",
    ]
    for user, path in (
        ("nobody", f"{_CREDENTIALS}/jellyfin_api_key"),
        ("nobody", "/etc/library-sync/config.yaml"),
        ("library-sync", "/etc/credstore/library-sync.jellyfin_api_key"),
    ):
        refused = running.run("runuser", "-u", user, "--", "cat", path)
        assert refused.stderr == f"cat: {path}: Permission denied\n"


def test_exposure(running: Machine) -> None:
    """What systemd itself thinks of the running service's sandbox is 1.0 or better."""
    running.say("systemd-analyze", "security", "--no-pager", "--threshold=10", _UNIT)


def test_verify(running: Machine) -> None:
    """The installed unit has nothing that systemd would complain of."""
    done = running.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{_UNIT}")
    assert (done.returncode, done.stderr) == (0, "")


def test_watchdog(running: Machine) -> None:
    """A daemon that is stuck is killed and started anew."""
    running.say("systemctl", "kill", f"--signal={signal.SIGSTOP.value}", _UNIT)
    assert eventually(lambda: running.shows("NRestarts") == "1")
    assert eventually(lambda: running.shows("ActiveState") == "active")
    told = running.say("journalctl", "--output=cat", f"--unit={_UNIT}")
    assert f"{_UNIT}: Failed with result 'watchdog'." in told


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_died(running: Machine, number: str) -> None:
    """A daemon that died, or was ended by somebody else than systemd, is started anew."""
    running.say("systemctl", "restart", _UNIT)
    running.say("systemctl", "kill", f"--signal={number}", _UNIT)
    assert eventually(lambda: running.shows("NRestarts") == "1")
    assert eventually(lambda: running.shows("ActiveState") == "active")


def test_time_in_the_sandbox(running: Machine) -> None:
    """Which boot it is cannot be read there, so each process counts from its own start."""
    tell = "from daemon.store.clock import moment; m = moment(); print(m.boot, m.monotonic)"
    inside = ("nsenter", f"--target={running.shows('MainPID')}", "--mount", _PYTHON, "-c", tell)
    boots = []
    for _ in range(2):
        word, boot, since = running.say(*inside).split()
        boots.append(boot)
        assert (word, float(since) < 60) == ("process", True)
    assert boots[0] != boots[1]


def test_stopped(running: Machine) -> None:
    """A stopped service ends by itself, and well."""
    running.say("systemctl", "stop", _UNIT)
    shown = [running.shows(name) for name in ("ActiveState", "Result", "ExecMainStatus")]
    assert shown == ["inactive", "success", "0"]


def test_bad_configuration(running: Machine) -> None:
    """A configuration that cannot be used is said in one line, and not tried again."""
    with _changed(running, "jellyfin: {url: http://127.0.0.1:1}\nsnyc: {every: 1h}\n"):
        assert running.run("systemctl", "restart", _UNIT).returncode == 1
        shown = [running.shows(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
        assert shown == ["failed", "78", "0"]
        assert not eventually(lambda: running.shows("NRestarts") != "0", 2)
    told = running.say("journalctl", "--output=cat", f"--unit={_UNIT}", "--identifier=library-sync")
    assert "line 2: snyc is not known; did you mean sync?" in told.splitlines()[-1]


def test_file_of_somebody_else(running: Machine) -> None:
    """A tracker's file that is not the service's is named in one line, and not tried again."""
    file = "/var/lib/library-sync/tracker.db"
    running.say("systemctl", "stop", _UNIT)
    running.say("chown", "root:root", file)
    running.say("chmod", "600", file)
    running.run("systemctl", "start", _UNIT)
    shown = [running.shows(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    assert shown == ["failed", "77", "0"]
    assert not eventually(lambda: running.shows("NRestarts") != "0", 2)
    told = running.say("journalctl", "--output=cat", f"--unit={_UNIT}", "--identifier=library-sync")
    user = running.say("id", "-u", "library-sync")
    assert told.splitlines()[-1].startswith(f"library-sync: cannot open or write {file}: ")
    assert f"; uid {user} must be able to read and write" in told.splitlines()[-1]
    running.say("chown", "library-sync:library-sync", file)
    running.say("systemctl", "start", _UNIT)


def test_busy(running: Machine) -> None:
    """While another process has the tracker's file, starting is tried again until it is free."""
    running.say("systemctl", "stop", _UNIT)
    file = "/var/lib/library-sync/tracker.db"
    running.say("systemd-run", "--unit=holder", "flock", file, "sleep", "60")
    running.run("systemctl", "start", _UNIT)
    assert running.shows("ExecMainStatus") == "75"
    assert eventually(lambda: int(running.shows("NRestarts")) >= 1)
    running.say("systemctl", "stop", "holder")
    assert eventually(lambda: running.shows("ActiveState") == "active")


def test_reach(running: Machine) -> None:
    """Private addresses are within reach of the service, those of the internet are not."""
    limits = running.say("systemctl", "show", "--property=IPAddressDeny,IPAddressAllow", _UNIT)
    given = [f"--property={line}" for line in limits.splitlines()]
    found = {}
    for address in ("192.168.1.10", "203.0.113.7"):
        running.say("ip", "address", "replace", f"{address}/32", "dev", "lo")
        probe = f"import socket; socket.create_connection(('{address}', 9), 0.5)"
        done = running.run(
            "systemd-run", "--quiet", "--wait", "--pipe", *given, _PYTHON, "-c", probe
        )
        found[address] = done.stderr.splitlines()[-1]
    assert "Connection refused" in found["192.168.1.10"]
    assert found["203.0.113.7"] == "TimeoutError: timed out"


_TRACKER = """
import sqlite3
from importlib import resources
file = sqlite3.connect("/var/lib/status-tracker/tracker.db", isolation_level=None)
file.execute("PRAGMA journal_mode = WAL")
if not file.execute("SELECT 1 FROM sqlite_master").fetchone():
    file.executescript(resources.files("daemon.store").joinpath("tracker.sql").read_text())
file.execute("CREATE TABLE IF NOT EXISTS own (id INTEGER)")
file.execute("INSERT INTO own VALUES (1)")
"""


def test_shared_file(running: Machine) -> None:
    """With the drop-in for it, the tracker and the service write to the same file."""
    directory = "/var/lib/status-tracker"
    as_tracker = ("runuser", "-u", "status-tracker", "--", _PYTHON, "-c", _TRACKER)
    running.say("systemd-sysusers", "--inline", f"u status-tracker - - {directory}")
    running.say("install", "-d", "-m2770", "-ostatus-tracker", "-gstatus-tracker", directory)
    running.say(*as_tracker)
    running.say("chmod", "660", f"{directory}/tracker.db")
    drop_in = running.root / f"etc/systemd/system/{_UNIT}.d/tracker-file.conf"
    shutil.copy(SYSTEMD / "drop-ins/tracker-file.conf", drop_in)
    with _changed(running, f"{_config(running).read_text()}database: {directory}/tracker.db\n"):
        running.say("systemctl", "daemon-reload")
        running.say("systemctl", "restart", _UNIT)
        assert eventually(lambda: running.shows("StatusText").startswith("Idle; run 1 ok"))
        running.say(*as_tracker)
        assert " start " in running.say("library-sync", "runs", "--last", "1")
    drop_in.unlink()
    running.say("systemctl", "daemon-reload")
    running.say("systemctl", "restart", _UNIT)


def test_command_before_the_service(machine: Machine) -> None:
    """A command works also where the service never ran."""
    machine.say("systemctl", "stop", _UNIT)
    machine.say("rm", "-rf", "/var/lib/library-sync")
    assert machine.say("library-sync", "check").startswith("ok  Jellyfin: ")


def test_commands(running: Machine) -> None:
    """A command sees what the service sees: its configuration, its secrets, its file."""
    assert running.say("library-sync", "check").splitlines()[0].startswith("ok  Jellyfin: ")
    assert " start " in running.say("library-sync", "runs", "--last", "1")
    assert running.run("library-sync", "runs", "999").returncode == 1


def test_setup(running: Machine) -> None:
    """What it writes has the owners and modes that the service needs; it knows the service."""
    answers, store = running.root / "root/answers.json", "/etc/credstore/library-sync."
    answers.write_text('{"http": {"public_url": "http://127.0.0.1:8765"}}')
    setup = ("library-sync", "setup", "--answers", "/root/answers.json")
    secrets = [f"{store}{name}" for name in ("webhook_secret", "admin_token")]
    files = ("/etc/library-sync/config.yaml", *secrets)
    try:
        with _changed(running, _config(running).read_text()):
            running.say("systemctl", "stop", _UNIT)
            said = running.say(*setup)
            assert "done  Radarr: add the webhook to http://127.0.0.1:8765/hooks/radarr" in said
            assert said.endswith("systemctl daemon-reload && systemctl enable --now library-sync")
            modes = running.say("stat", "--format=%a %U:%G", *files).splitlines()
            assert modes == ["640 root:library-sync", *["600 root:root"] * 2]
            running.say("systemctl", "start", _UNIT)
            assert eventually(lambda: running.shows("StatusText").startswith("Idle"))
            again = running.say(*setup)
            assert "done" not in again
            assert "ok    Radarr: its webhook leads to" in again
            assert "done  Radarr: remove" in running.say("library-sync", "setup", "--undo")
    finally:
        running.say("rm", "-f", *secrets, "/etc/library-sync/setup.json")
        running.say("systemctl", "restart", _UNIT)


def test_a_command_has_the_secrets_of_a_drop_in(running: Machine) -> None:
    """Wherever the unit takes a credential from, so does whatever is run like it."""
    key = "/etc/credstore/library-sync.jellyfin_api_key"
    drop_in = running.root / f"etc/systemd/system/{_UNIT}.d/elsewhere.conf"
    drop_in.write_text("[Service]\nLoadCredential=jellyfin_api_key:/root/key\n")
    running.say("mv", key, "/root/key")
    running.say("systemctl", "daemon-reload")
    try:
        assert running.say("library-sync", "check").startswith("ok  Jellyfin: ")
    finally:
        running.say("mv", "/root/key", key)
        drop_in.unlink()
        running.say("systemctl", "daemon-reload")


def test_check_sees_what_the_sandbox_closes(running: Machine) -> None:
    """A directory that the service could not write in is bad, though its owner could."""
    running.say("install", "-d", "-m2777", "/srv/tracker")
    file = "database: /srv/tracker/tracker.db\n"
    with _changed(running, _config(running).read_text() + file):
        found = running.run("library-sync", "check")
    assert (found.returncode, "/srv/tracker" in found.stdout) == (1, True)


def test_a_command_that_is_interrupted_leaves_nothing_behind(running: Machine) -> None:
    """Neither the command nor a unit of systemd goes on without anybody."""
    command = "timeout --signal=TERM 3 library-sync audit --follow > /tmp/followed"
    running.run("sh", "-c", command)
    units = ("systemctl", "list-units", "--plain", "--no-legend", "library-sync-command-*")
    assert eventually(lambda: running.say(*units) == "", 10)
