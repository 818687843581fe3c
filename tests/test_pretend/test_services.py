"""Starting and stopping the three services together."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import ClientError, ClientSession

from tests.pretend import Fault, PretendServices, World
from tests.running import until
from tests.test_pretend.support import ask


async def test_three_services_with_keys_of_their_own(world: World) -> None:
    """Each has an address and a key; every instance has others."""
    async with PretendServices(world) as first, PretendServices(world) as second:
        urls = {
            url
            for services in (first, second)
            for url in (services.jellyfin_url, services.radarr_url, services.sonarr_url)
        }
        keys = {
            key
            for services in (first, second)
            for key in (services.jellyfin_key, services.radarr_key, services.sonarr_key)
        }
        names = [
            (await ask(first, service, "/api/v3/system/status")).json["appName"]
            for service in ("radarr", "sonarr")
        ]

    assert (len(urls), len(keys)) == (6, 6)
    assert names == ["Radarr", "Sonarr"]


async def test_the_world_may_change_while_they_run(services: PretendServices) -> None:
    """What is taken out of the world is gone from the next reply."""
    services.world.movies.clear()
    answer = await ask(services, "jellyfin", "/Items?Recursive=true&IncludeItemTypes=Movie")

    assert answer.text == '{"Items":[],"TotalRecordCount":0,"StartIndex":0}'


async def test_an_empty_world_by_default() -> None:
    """Without a world there is an empty one."""
    async with PretendServices() as services:
        answer = await ask(services, "radarr", "/api/v3/movie")

    assert answer.text == "[]"


async def test_leaving_does_not_wait_for_open_connections() -> None:
    """The context ends at once though a request stalls and another connection is idle."""
    async with ClientSession() as session:
        async with PretendServices() as services:
            services.fault("jellyfin", Fault("/Items", stall=30))
            async with session.get(services.sonarr_url + "/ping") as reply:
                await reply.read()
            stalled = asyncio.create_task(ask(services, "jellyfin", "/Items"))
            await until(lambda: services.calls("jellyfin"))
            started = time.monotonic()
        elapsed = time.monotonic() - started
        with pytest.raises(ClientError):
            await stalled

    assert elapsed < 15


async def test_nobody_answers_after_leaving() -> None:
    """The ports are closed when the context is left."""
    async with PretendServices() as services:
        pass

    with pytest.raises(ClientError):
        await ask(services, "radarr", "/ping")
