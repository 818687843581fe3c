"""What is found on a machine without asking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.setup import services
from daemon.setup.finding import is_here, keys, own_address
from tests.setup.support import ADMIN, free_port, newcomer

HERE = "http://127.0.0.1:7878"


def program(root: Path, number: int, command: str, key: str) -> None:
    """A running program in a container, as the kernel shows it."""
    directory = root / "proc" / str(number)
    (directory / "root/config").mkdir(parents=True)
    (directory / "cmdline").write_text(command.replace(" ", "\0"))
    text = f"<Config>\n  <Port>7878</Port>\n  <ApiKey>{key}</ApiKey>\n</Config>"
    (directory / "root/config/config.xml").write_text(text)


def test_a_running_program_shows_where_its_key_is(tmp_path: Path) -> None:
    """Also one in a container; other programs are left alone."""
    program(tmp_path, 10, "/app/radarr/bin/Radarr -nobrowser -data=/config", "aa11")
    program(tmp_path, 11, "/app/sonarr/bin/Sonarr -data=/config", "bb22")
    program(tmp_path, 12, "/usr/bin/python3 radarr -data=/config", "cc33")
    file = tmp_path / "proc/10/root/config/config.xml"
    assert [*keys("radarr", HERE, tmp_path)] == [("aa11", file)]
    assert [*keys("radarr", "http://192.0.2.1:7878", tmp_path)] == [], "it would leave the machine"


def test_a_program_that_is_not_running(tmp_path: Path) -> None:
    """Its file is in its usual place; what is no such file is passed over."""
    usual = tmp_path / "var/lib/sonarr/config.xml"
    usual.parent.mkdir(parents=True)
    usual.write_text("<Config><ApiKey>dd44</ApiKey></Config>")
    fifo = tmp_path / "var/lib/radarr/config.xml"
    fifo.parent.mkdir(parents=True)
    os.mkfifo(fifo)
    assert [*keys("sonarr", HERE, tmp_path)] == [("dd44", usual)]
    assert [*keys("radarr", HERE, tmp_path)] == []


def test_seerr_keeps_its_key_with_many_others(tmp_path: Path) -> None:
    """Its own is that of its main settings; under the names that it had before, too."""
    file = tmp_path / "opt/jellyseerr/config/settings.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"jellyfin": {"apiKey": "no"}, "main": {"apiKey": "ee55=="}}')
    (tmp_path / "var/lib/seerr").mkdir(parents=True)
    (tmp_path / "var/lib/seerr/settings.json").write_text("[]")
    assert [*keys("seerr", HERE, tmp_path)] == [("ee55==", file)]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:7878", True),
        ("http://localhost/radarr", True),
        (f"http://{own_address()}:1", True),
        ("http://192.0.2.1:7878", False),
        ("http://does-not-exist.invalid:7878", False),
    ],
)
def test_which_addresses_are_this_machines(url: str, here: bool) -> None:
    """By name or number."""
    assert is_here(url) is here


async def test_what_is_in_its_usual_place_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name and a password are enough then, and the file."""
    async with newcomer(tmp_path) as me:
        for name in ("jellyfin", "radarr", "sonarr"):
            port = int(getattr(me.services, f"{name}_url").rpartition(":")[2])
            monkeypatch.setitem(services.PORTS, name, port)
        me.config.write_text(f"http: {{port: {free_port()}}}\n")
        keys = [me.services.radarr_key, me.services.sonarr_key]
        assert await me.is_asked(*keys, "", *ADMIN.values())
        assert len(me.entries("sonarr")) == 1
