"""A pretend Jellyfin, Radarr and Sonarr on loopback, for the demo and the tests."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from daemon.settings import netloc
from tests.pretend import arr, jellyfin
from tests.pretend.library import World
from tests.pretend.wire import CALLS, FAULTS, Call, Fault

__all__ = ["Call", "Fault", "PretendServices", "Service", "World"]

Service = Literal["jellyfin", "radarr", "sonarr"]

_LINE_LIMIT = 65_536  # longer than Jellyfin's own, which answers for itself
_PATIENCE = 0.02  # seconds for open connections when leaving


class PretendServices:
    """The three services on free ports of one address, from entering to leaving the context.

    Attributes:
        world: what they answer from; changes show at once.
        jellyfin_url: without a slash at the end; the three are there inside the context only.
        radarr_url: the same.
        sonarr_url: the same.
        jellyfin_key: the API key, a new one for each instance, as are the other two.
        radarr_key: the same.
        sonarr_key: the same.
    """

    jellyfin_url: str
    radarr_url: str
    sonarr_url: str

    def __init__(self, world: World | None = None, host: str = "127.0.0.1") -> None:
        self._host = host
        self.world = World() if world is None else world
        self.jellyfin_key, self.radarr_key, self.sonarr_key = (
            secrets.token_hex(16) for _ in range(3)
        )
        self._applications: dict[Service, web.Application] = {
            "jellyfin": jellyfin.application(self.world, api_key=self.jellyfin_key),
            "radarr": arr.radarr(self.world, api_key=self.radarr_key),
            "sonarr": arr.sonarr(self.world, api_key=self.sonarr_key),
        }
        self._running = AsyncExitStack()

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
            self.jellyfin_url, self.radarr_url, self.sonarr_url = [
                await _serve(one, self._host, stack) for one in self._applications.values()
            ]
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
