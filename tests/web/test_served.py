"""The server: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession

from daemon.errors import AddressError
from daemon.settings import Http
from daemon.web import Dependencies, served
from tests.pretend import Fault
from tests.running import until
from tests.web.support import AS_ADMIN, SLOWLY, Stand, standing


def elsewhere(parts: Dependencies, host: str, port: int) -> Dependencies:
    """The same parts on another address."""
    http = Http(host=host, port=port)
    return replace(parts, settings=parts.settings.model_copy(update={"http": http}))


async def refusal(parts: Dependencies) -> str:
    """What is said of an address that cannot be listened on."""
    with pytest.raises(AddressError) as caught:
        async with served(parts):
            pass
    return str(caught.value)


async def test_a_port_that_is_taken_is_one_clear_line(stand: Stand) -> None:
    """With the address, the reason and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = await refusal(elsewhere(stand.parts, "127.0.0.1", port))
    assert words.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use; ")
    assert "http.port" in words


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "a..b", "x" * 70])
async def test_a_host_that_is_not_ours_is_one_clear_line(stand: Stand, host: str) -> None:
    """Whether it is unknown, somebody else's or no host at all."""
    words = await refusal(elsewhere(stand.parts, host, 0))
    assert words.startswith(f"cannot listen on {host}:0: ")


async def test_an_ipv6_address_is_served_too(stand: Stand) -> None:
    """Its URL has the brackets that a browser needs."""
    async with served(elsewhere(stand.parts, "::1", 0)) as url:
        assert url.startswith("http://[::1]:")
        async with stand.session.get(f"{url}/healthz") as reply:
            assert reply.status == 200


async def test_everything_is_below_the_base_path(tmp_path: Path) -> None:
    """And nothing beside it."""
    async with standing(tmp_path, base_path="/media/sync") as stand:
        assert stand.url.endswith("/media/sync")
        assert (await stand.ask("GET", "/healthz")).status == 200
        root = stand.url.removesuffix("/media/sync")
        async with stand.session.get(f"{root}/healthz") as reply:
            assert reply.status == 404
        document = (await stand.ask("GET", "/openapi.json")).json
        assert document["servers"] == [{"url": "/media/sync"}]


async def test_it_ends_within_a_second_whoever_is_connected(stand: Stand) -> None:
    """Listeners, whoever waits for a run and idle connections do not hold up the end."""
    stand.services.fault("jellyfin", Fault(SLOWLY, stall=60, times=None))
    async with ClientSession(headers=AS_ADMIN) as session:
        async with served(elsewhere(stand.parts, "127.0.0.1", 0)) as url:
            streams = [await session.get(f"{url}/admin/sync/events") for _ in range(20)]
            waiting = asyncio.create_task(session.post(f"{url}/admin/sync"))
            await until(lambda: stand.parts.worker.running)
            began = time.monotonic()
        assert time.monotonic() - began < 1
        answer = await waiting
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        for stream in streams:
            assert (await stream.content.read()).count(b"event: snapshot") == 1
    assert stand.parts.worker.running
