"""A local service that answers what a test writes for it, and replies of real ones to answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import ClientResponse

from daemon.services.http import RetryPolicy, ServiceHttp

KEY = "c0ffee5ecre7"
JSON = {"Content-Type": "application/json; charset=utf-8"}
QUICK = RetryPolicy(attempts=1, reply=5.0, listing=5.0, silence=5.0)
Act = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def cases(table: dict[str, tuple[Any, ...]]) -> list[Any]:
    """Parameters of a test, each set under its name."""
    return [pytest.param(*values, id=name) for name, values in table.items()]


def recorded(service: str, name: str) -> Any:
    """One recorded document of a service, as JSON."""
    return json.loads(text_of(service, name))


def text_of(service: str, name: str) -> bytes:
    """One recorded document of a service, byte for byte."""
    return (Path(__file__).parent / "recorded" / service / f"{name}.json").read_bytes()


def exchanged(service: str, name: str) -> bytes:
    """A whole reply of a recorded exchange."""
    said = recorded(service, "exchanges")[name]
    return reply(said["status"], said["body"].encode(), said["headers"])


def reply(status: int = 200, body: bytes = b"", headers: dict[str, str] = JSON) -> bytes:
    """A whole reply as it stands on the wire."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return f"HTTP/1.1 {status} Whatever\r\n".encode() + "\r\n".join(lines).encode() + body


def chunked(*pieces: bytes, whole: bool = True, headers: dict[str, str] = JSON) -> bytes:
    """A reply in chunks; without its last one it was cut."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    end = b"0\r\n\r\n" if whole else b""
    return f"HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + end


@dataclass(frozen=True)
class Asked:
    """One request that arrived; names of headers are in lower case."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str = ""


@dataclass
class Upstream:
    """A real local server: one act a call, the last one again and again.

    Attributes:
        acts: what is written, or does the writing; the connection ends with it. Or what chooses
            the act for a request.
        asked: the requests so far.
        called: set by the first request.
        idle: set while no connection is open.
    """

    acts: list[Act] | Callable[[Asked], Act]
    asked: list[Asked] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _open: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    def _act(self, asked: Asked) -> Act:
        if callable(self.acts):
            return self.acts(asked)
        return self.acts[min(len(self.asked), len(self.acts)) - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.idle.clear()
        try:
            asked = await _asked(reader)
            self.asked.append(asked)
            self.called.set()
            await _until_gone(self._act(asked), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._open -= 1
            if not self._open:
                self.idle.set()


async def _until_gone(act: Act, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if isinstance(act, bytes):
        writer.write(act)
        return await writer.drain()
    acting = [asyncio.ensure_future(act(writer)), asyncio.ensure_future(reader.read())]
    try:
        await asyncio.wait(acting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in acting:
            one.cancel()
        await asyncio.gather(*acting, return_exceptions=True)


async def _asked(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, _, rest = head.partition("\r\n")
    url = urlsplit(line.split(" ")[1])
    headers = {name.lower(): value for name, value in Parser().parsestr(rest).items()}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(url.path, dict(parse_qsl(url.query)), headers, body.decode())


class Pauses(list[float]):
    """Notes how long a client would have slept."""

    async def __call__(self, seconds: float) -> None:
        """Sleep not at all."""
        self.append(seconds)
        await asyncio.sleep(0)


def http(url: str, service: str = "Radarr", patience: RetryPolicy = QUICK) -> ServiceHttp:
    """A client that sleeps not at all and jitters evenly."""
    return ServiceHttp(
        service, url, {"X-Api-Key": KEY}, patience, sleep=Pauses(), jitter=lambda: 0.5
    )


def slept(client: ServiceHttp) -> list[float]:
    """How long such a client would have slept, pause by pause."""
    assert isinstance(client.sleep, Pauses)
    return list(client.sleep)


class OfflineReply(ClientResponse):
    """The reply that `aioresponses` has to build: it does not give what aiohttp 3.14 asks for."""

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **{"stream_writer": SimpleNamespace(output_size=0), **values})
