"""What the configuration is to hold: found out by asking, carried out by writing and telling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from daemon.settings import Key, credentials
from daemon.setup.services import kind

ADDRESS: Final = ("http", "public_url")
HOST: Final = ("http", "host")
PORT: Final = ("http", "port")
SECRET: Final = ("webhook", "secret")
JELLYFIN_KEY: Final = ("jellyfin", "api_key")
DATABASE: Final = ("database",)
_DEFAULTS: Final[dict[Key, str]] = {HOST: "127.0.0.1", PORT: "8765"}
_ARRS: Final = ("radarr", "sonarr")


class Wanted:
    """The values.

    Attributes:
        known: what it holds by now, of whatever source.
        values: what it shall hold.
    """

    def __init__(self, known: Mapping[Key, str], values: Mapping[Key, str] | None = None) -> None:
        self.known = dict(known)
        self.values = dict(values or {})

    def __getitem__(self, key: Key) -> str:
        """A value, with the default where there is none."""
        return self.values.get(key) or self.known.get(key) or _DEFAULTS.get(key, "")

    @property
    def differs(self) -> dict[Key, str]:
        """What is to be written."""
        before = {**_DEFAULTS, **self.known}
        return {k: v for k, v in self.values.items() if before.get(k) != v}

    @property
    def arrs(self) -> list[str]:
        """The sections of every Radarr and Sonarr."""
        return [key[0] for key in self.values if key[1:] == ("url",) and kind(key[0]) in _ARRS]

    def service(self, section: str) -> tuple[str, str, str]:
        """What it takes to reach a service: its section, address and key."""
        return section, self[section, "url"], self[section, "api_key"]


def is_secret(key: Key) -> bool:
    """Whether it is kept in a file of its own."""
    return key in credentials(key[0])
