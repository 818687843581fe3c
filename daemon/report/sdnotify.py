"""Tells systemd how the daemon is doing, over the socket that systemd names in the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends notifications; does nothing where systemd did not ask for them.

    Args:
        environ: where NOTIFY_SOCKET and WATCHDOG_USEC are looked up.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = environ.get("WATCHDOG_USEC", "")

    @property
    def watchdog_seconds(self) -> float | None:
        """How often systemd wants to hear from the watchdog at the least; None if not at all."""
        return int(self._watchdog) / 1e6 if self._watchdog.isdecimal() else None

    def ready(self, status: str) -> None:
        """Say that the daemon serves now."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in plain words what the daemon is doing."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Say that the daemon is not stuck."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
        self._send("STOPPING=1\nSTATUS=Stopping")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0)
            try:
                channel.sendto(message.encode(), self._address)
            except OSError:
                return  # a full or vanished socket can be ignored, and the next message comes
