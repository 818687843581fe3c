"""What systemd is told, over real datagram sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.triggers.heartbeat import Notifier


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A socket like systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(0)
        yield channel


def heard(channel: socket.socket) -> list[str]:
    """All messages so far."""
    messages = []
    try:
        while True:
            messages.append(channel.recv(4096).decode())
    except BlockingIOError:
        return messages


def told(notifier: Notifier) -> None:
    """Say everything there is to say."""
    notifier.ready("Waiting for the first run")
    notifier.status("Run 1: finishing · fertig")
    notifier.alive()
    notifier.stopping()


EVERYTHING = [
    "READY=1\nSTATUS=Waiting for the first run",
    "STATUS=Run 1: finishing · fertig",
    "WATCHDOG=1",
    "STOPPING=1\nSTATUS=Stopping",
]


def test_a_socket_in_the_file_system(tmp_path: Path) -> None:
    """Each message is one datagram."""
    path = str(tmp_path / "notify")
    with listening(path) as channel:
        told(Notifier({"NOTIFY_SOCKET": path}))
        assert heard(channel) == EVERYTHING


def test_an_abstract_socket(tmp_path: Path) -> None:
    """Its name begins with @ in the environment, and with a zero byte in the kernel."""
    name = f"library-sync{tmp_path}"
    with listening(f"\0{name}") as channel:
        told(Notifier({"NOTIFY_SOCKET": f"@{name}"}))
        assert heard(channel) == EVERYTHING


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens", "/" + "long" * 50])
def test_nobody_listens(address: str) -> None:
    """Without systemd, or after it, everything is said to nobody, without an error."""
    told(Notifier({"NOTIFY_SOCKET": address}))
    told(Notifier({}))


def test_a_full_socket_does_not_hold_up_anything(tmp_path: Path) -> None:
    """What systemd does not read in time is lost, not waited for."""
    path = str(tmp_path / "notify")
    with listening(path) as channel:
        notifier = Notifier({"NOTIFY_SOCKET": path})
        for _ in range(1000):
            notifier.alive()
        assert 0 < len(heard(channel)) < 1000


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("60000000", 60.0), ("250000", 0.25), ("", None), ("soon", None), ("-1", None), ("²", None)],
)
def test_how_often_the_watchdog_wants_to_be_fed(given: str, seconds: float | None) -> None:
    """It says so in microseconds; what is no number asks for nothing."""
    assert Notifier({"WATCHDOG_USEC": given}).watchdog_seconds == seconds
