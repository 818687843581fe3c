"""A pretend media stack on loopback, for the demo and the tests."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from daemon.settings import netloc
from tests.pretend import arr, arr_pipeline, connect, jellyfin, qbittorrent, seerr
from tests.pretend.connect import Connections
from tests.pretend.library import World
from tests.pretend.pipeline import Pipeline
from tests.pretend.wire import CALLS, FAULTS, Call, Fault

__all__ = ["Call", "Fault", "PretendServices", "Service", "World"]

Service = str
"""A section of the configuration, e.g. `jellyfin`, `radarr_4k` or `seerr`."""

_LINE_LIMIT = 65_536  # longer than Jellyfin's own, which answers for itself
_PATIENCE = 0.02  # seconds for open connections when leaving


class PretendServices:
    """The services on free ports of one address, from entering to leaving the context.

    Each has a `…_url` without a slash at the end, inside the context only, and a `…_key`, a new one
    each time; those of an instance that the world has further begin with its name.

    Attributes:
        world: what they answer from; changes show at once.
        pipeline: what is on its way there.
        connections: what somebody has set up in them.
    """

    jellyfin_url: str
    radarr_url: str
    sonarr_url: str
    jellyfin_key: str
    radarr_key: str
    sonarr_key: str
    seerr_url: str
    seerr_key: str
    qbittorrent_url: str
    qbittorrent_key: str

    def __init__(
        self,
        world: World | None = None,
        host: str = "127.0.0.1",
        besides: Collection[Service] = (),
    ) -> None:
        """Make them.

        Args:
            world: that they answer from.
            host: where they listen.
            besides: of `seerr` and `qbittorrent`, those that are there.
        """
        self._host = host
        self.world = World() if world is None else world
        self.pipeline = Pipeline(self.world)
        self.connections = Connections()
        names = ("jellyfin", "radarr", "sonarr", *self.world.further, *besides)
        keys = {name: secrets.token_hex(16) for name in names}
        for name, key in keys.items():
            setattr(self, f"{name}_key", key)
        self._applications: dict[Service, web.Application] = {
            name: self._application(name, key) for name, key in keys.items()
        }
        self._running = AsyncExitStack()

    def _application(self, name: Service, key: str) -> web.Application:
        match name:
            case "jellyfin":
                return jellyfin.application(self.world, self.connections, api_key=key)
            case "seerr":
                return seerr.application(self.pipeline, api_key=key)
            case "qbittorrent":
                return qbittorrent.application(self.pipeline, api_key=key)
            case _:
                made = arr.application(self.world, name, api_key=key)
                arr_pipeline.extend(made, self.pipeline, name)
                connect.extend_arr(made, self.connections, name)
                return made

    def sections(self) -> dict[Service, dict[str, str]]:
        """Give the configuration of somebody who has all of them."""
        return {
            name: {"url": getattr(self, f"{name}_url"), "api_key": getattr(self, f"{name}_key")}
            for name in self._applications
        }

    def calls(self, service: Service) -> list[Call]:
        """Give the calls that a service has had; clear the list to count anew."""
        return self._applications[service][CALLS]

    def fault(self, service: Service, fault: Fault) -> None:
        """Let something go wrong; of several faults that fit, the one given first comes first."""
        self._applications[service][FAULTS].append(fault)

    def mend(self, service: Service) -> None:
        """Take back all faults of a service."""
        self._applications[service][FAULTS].clear()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for name, application in self._applications.items():
                setattr(self, f"{name}_url", await _serve(application, self._host, stack))
            self._running = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._running.aclose()


async def _serve(application: web.Application, host: str, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=_PATIENCE, max_line_size=_LINE_LIMIT
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, 0)
    await site.start()
    return f"http://{netloc(host, runner.addresses[0][1])}"
