"""The server: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from yarl import URL

from daemon.errors import AddressError
from daemon.settings import Http
from daemon.web import Dependencies, Limits, served
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


@asynccontextmanager
async def opened(url: str, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that say nothing."""
    where = URL(url)
    assert where.host is not None
    streams = [await asyncio.open_connection(where.host, where.port) for _ in range(count)]
    yield [reader for reader, _ in streams]
    for _, writer in streams:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def ended(readers: list[asyncio.StreamReader]) -> list[bool]:
    """Which of them the other side has closed by now."""
    return [reader.at_eof() or reader.exception() is not None for reader in readers]


async def test_one_address_cannot_have_all_connections(
    tmp_path: Path, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Whatever is over its share is refused at once, and the log tells of it in one line."""
    limits = Limits(connections=100, connections_of_one=5)
    async with (
        standing(tmp_path, limits=limits) as stand,
        ClientSession() as session,
        opened(stand.url, 9) as readers,
    ):
        await until(lambda: ended(readers) == [False] * 5 + [True] * 4)
        with pytest.raises(ClientConnectionError):
            await session.get(f"{stand.url}/healthz")
    told = [(line["refused"], line["source_ip"]) for line in lines("http.connections_refused")]
    assert told == [(1, "127.0.0.1")]


async def test_a_connection_that_ended_makes_place(tmp_path: Path) -> None:
    """The count goes down again."""
    async with standing(tmp_path, limits=Limits(connections_of_one=2)) as stand:
        for _ in range(5):
            async with ClientSession() as session, session.get(f"{stand.url}/healthz") as reply:
                assert reply.status == 200


async def test_a_trusted_proxy_may_have_many(tmp_path: Path) -> None:
    """Its connections are those of many people; all connections together are bounded still."""
    limits = Limits(connections=8, connections_of_one=2)
    async with (
        standing(tmp_path, limits=limits, trusted_proxies=["127.0.0.0/8"]) as stand,
        opened(stand.url, 10) as readers,
    ):
        await until(lambda: ended(readers) == [False] * 8 + [True] * 2)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_ends_its_connection(tmp_path: Path, sent: bytes) -> None:
    """Nor may one come byte by byte for ever, and not as the second one either."""
    async with standing(tmp_path, limits=Limits(head=0.3)) as stand:
        where = URL(stand.url)
        assert where.host is not None
        whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        for before in (b"", whole):
            reader, writer = await asyncio.open_connection(where.host, where.port)
            writer.write(before)
            if before:
                await reader.readuntil(b"\r\n\r\n")
                sent = sent or b"G"
            writer.write(sent)
            await reader.read()
            writer.close()


async def test_a_request_that_is_being_answered_is_waited_for(tmp_path: Path) -> None:
    """The limit is for its head alone: a run, or a stream of events, takes longer."""
    async with standing(tmp_path, limits=Limits(head=0.1)) as stand, stand.listening() as listener:
        await listener.next()
        await asyncio.sleep(0.4)
        stand.parts.feed.publish("progress", {})
        assert (await listener.next())["event"] == "progress"


async def test_it_ends_whoever_is_connected(stand: Stand) -> None:
    """Listeners, whoever waits for a run and idle connections do not hold up the end."""
    stand.services.fault("jellyfin", Fault(SLOWLY, stall=600, times=None))
    async with ClientSession(headers=AS_ADMIN) as session:
        async with served(elsewhere(stand.parts, "127.0.0.1", 0)) as url:
            streams = [await session.get(f"{url}/admin/sync/events") for _ in range(20)]
            waiting = asyncio.create_task(session.post(f"{url}/admin/sync"))
            await until(lambda: stand.parts.worker.running)
            began = time.monotonic()
        assert time.monotonic() - began < 30
        answer = await waiting
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        for stream in streams:
            assert (await stream.content.read()).count(b"event: snapshot") == 1
    assert stand.parts.worker.running
