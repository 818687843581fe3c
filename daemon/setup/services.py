"""The services that are set up: where they usually are, and how an address and a key are tried."""

from __future__ import annotations

from typing import Any, Final

from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin import JellyfinClient
from daemon.services.seerr import SeerrClient

PORTS: Final = {"jellyfin": 8096, "radarr": 7878, "sonarr": 8989, "seerr": 5055}
"""Where each listens unless told otherwise, by the first word of its section."""

_PATHS: Final = {"radarr": "/ping", "sonarr": "/ping", "seerr": "/api/v1/status"}
_BRIEFLY: Final = RetryPolicy(attempts=1, reply=5.0, silence=5.0)
_PATIENCE: Final = RetryPolicy(attempts=1, reply=120.0, silence=120.0)
"""The test of a webhook that gets nowhere ends after 100 seconds."""


def kind(section: str) -> str:
    """What a section is one of: `radarr_4k` is a `radarr`."""
    return section.partition("_")[0]


def label(section: str) -> str:
    """What people call it."""
    return section.replace("_", " ").capitalize()


def client(section: str, url: str, key: str = "") -> ServiceHttp:
    """How to reach it; without a key it is only greeted."""
    name, value = "X-Api-Key", key
    if section == "jellyfin":
        name, value = "Authorization", f'MediaBrowser Token="{key}"'
    return ServiceHttp(
        label(section), url, {name: value} if key else {}, _PATIENCE if key else _BRIEFLY
    )


async def greet(section: str, url: str) -> None:
    """Try an address; Radarr and Sonarr do not tell who they are without a key.

    Raises:
        ServiceError: nothing of this kind answers there.
    """
    async with client(section, url) as http:
        if section == "jellyfin":
            await JellyfinClient(http).server()
        else:
            await http.get(_PATHS[kind(section)], dict[str, Any])


async def check(section: str, url: str, key: str) -> str:
    """Try a key: the version, and what else the service tells of itself.

    Raises:
        ServiceError: the key is refused, or the service is another one.
    """
    async with client(section, url, key) as http:
        if section == "jellyfin":
            return await JellyfinClient(http).check()
        if section == "seerr":
            return await SeerrClient(http).check()
        return await ArrClient(http, APPLICATIONS[kind(section)]).check()
