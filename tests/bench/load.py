"""Loads the daemon over raw sockets from a process of its own, and prints what it saw as JSON.

Started with a load, the daemon's address and what the load wants. A load that lasts says once that
it has begun, and ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

_RECORDED = Path(__file__).parents[1] / "recorded/hooks/jellyfin.json"
_HOOK: dict[str, Any] = json.loads(
    json.loads(_RECORDED.read_text(encoding="utf-8"))["20_all_json_itemadded_movie"]["body"]
)
_SENDERS = 8
_PAUSE = 0.003
_AT_ONCE = 50

Seen = dict[str, Any]


def hook(item: str, **fields: str) -> bytes:
    """A webhook of Jellyfin's plugin with everything that it sends, about another item."""
    foreign = {"ServerId": "", "ItemId": item}
    return json.dumps({**_HOOK, **foreign, **fields}).encode()


def share(values: list[float], part: float) -> float:
    """The value that so large a part of all values does not exceed, e.g. 0.99."""
    return sorted(values)[math.ceil(len(values) * part) - 1]


def _request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: daemon", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    return await asyncio.open_connection(host, port, limit=1 << 22)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


async def hints(url: str, secret: str, number: str) -> Seen:
    """Send so many hints, pipelined on a few connections, each about another item."""
    headers = {"X-Library-Sync-Secret": secret, "Content-Type": "text/plain; charset=utf-8"}
    items = [f"{n:032x}" for n in range(int(number))]
    sent = [_request("POST", "/hooks/jellyfin", headers, hook(item)) for item in items]
    started = time.perf_counter()
    statuses = await asyncio.gather(*(_piped(url, sent[n::_SENDERS]) for n in range(_SENDERS)))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "taken": sum(one.count(202) for one in statuses)}


async def _piped(url: str, requests: list[bytes]) -> list[int]:
    reader, writer = await _connected(url)
    with closing(writer):
        writer.write(b"".join(requests))
        return [(await _answer(reader))[0] for _ in requests]


async def calls(url: str, token: str, number: str) -> Seen:
    """So many calls for a run at once, each on a connection of its own."""
    request = _request("POST", "/admin/sync", {"Authorization": f"Bearer {token}"})

    async def called(begin: asyncio.Barrier) -> tuple[int, int]:
        reader, writer = await _connected(url)
        with closing(writer):
            await begin.wait()
            writer.write(request)
            status, body = await _answer(reader)
            return status, json.loads(body)["run_id"]

    begin = asyncio.Barrier(int(number))
    answers = await asyncio.gather(*(called(begin) for _ in range(int(number))))
    good = [run for status, run in answers if status == 200]
    return {"good": len(good), "runs": len(set(good))}


async def listeners(url: str, token: str, number: str) -> Seen:
    """Hold so many event streams, and count those that are told the end of a run."""
    request = _request("GET", "/admin/sync/events", {"Authorization": f"Bearer {token}"})
    limit = asyncio.Semaphore(_AT_ONCE)
    told: list[float] = []

    async def held(begun: asyncio.Barrier) -> None:
        async with limit:
            reader, writer = await _connected(url)
            writer.write(request)
            await reader.readuntil(b"event: snapshot")
        await begun.wait()
        with closing(writer):
            await reader.readuntil(b"event: done")
            told.append(time.monotonic())

    begun = asyncio.Barrier(int(number) + 1)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(held(begun)) for _ in range(int(number))]
        await begun.wait()
        await _until_told_to_end()
        for task in tasks:
            task.cancel()
    return {"told": len(told), "spread": max(told, default=0.0) - min(told, default=0.0)}


async def probe(url: str) -> Seen:
    """Ask over and over whether the daemon lives, and how long that takes, in milliseconds."""
    reader, writer = await _connected(url)
    waits: list[float] = []
    ending = asyncio.ensure_future(_until_told_to_end())
    with closing(writer):
        while not ending.done():
            asked = time.perf_counter()
            writer.write(_request("GET", "/healthz", {}))
            await _answer(reader)
            waits.append((time.perf_counter() - asked) * 1000)
            await asyncio.sleep(_PAUSE)
    return {"asked": len(waits), "p99": share(waits, 0.99), "worst": max(waits)}


async def bare() -> Seen:
    """No load, but what bears as much as anything can: it reads hints, answers, and that is all."""

    async def taken(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"taken": ""}, status=202)

    application = web.Application()
    application.router.add_post("/hooks/jellyfin", taken)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await _until_told_to_end(url="http://{}:{}".format(*runner.addresses[0]))
    await runner.cleanup()
    return {}


async def _until_told_to_end(**more: str) -> None:
    print(json.dumps({"begun": True, **more}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


_LOADS: dict[str, Callable[..., Coroutine[Any, Any, Seen]]] = {
    load.__name__: load for load in (hints, calls, listeners, probe, bare)
}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_LOADS[sys.argv[1]](*sys.argv[2:]))))
