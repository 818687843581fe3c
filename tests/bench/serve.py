"""Serves a large pretend library out of files, each rendered once, so that serving costs little.

It is the demo's Jellyfin, Radarr and Sonarr; only what is large is kept as bytes. Started with a
number of titles and an empty folder, it prints its addresses as JSON and serves until stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import textwrap
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tests.bench.measure import KEY
from tests.pretend import arr, jellyfin
from tests.pretend.items import Ask, listing
from tests.pretend.library import World

_PIECE = 64 * 1024
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_NAMES = '"alternateTitles": ['
_NAME = {"sourceType": "tmdb", "movieMetadataId": 1, "title": "Another Title of It", "id": 11}
_MORE_NAMES = 32  # they bring a record to the 9 KB that titles with many translations have
_PADDING = ",".join(["\n" + textwrap.indent(json.dumps(_NAME, indent=2), " " * 6)] * _MORE_NAMES)


def library(titles: int) -> World:
    """A library, the same for the same number: 80 % films, 20 % series, all of them available."""
    movies = titles * 4 // 5
    return World.of_size(
        movies=movies, series=titles - movies, episodes_per_series=20, overview_chars=550
    )


def _longer(records: Iterable[str]) -> Iterator[str]:
    for record in records:
        end = "\n    " if _NAMES + "]" in record else ","
        yield record.replace(_NAMES, _NAMES + _PADDING + end, 1)


def _large(world: World, request: web.Request) -> tuple[Hashable, Iterable[bytes]] | None:
    """The text of a large reply, to be rendered, and what it is known by; None for small ones."""
    if request.path == "/Items":
        ask = Ask.read(request.query)
        return ask, listing(world, ask)
    if request.path == "/api/v3/movie" and not request.query:
        return request.path, arr._array(_longer(map(arr._movie, world.radarr.values())))
    if request.path == "/api/v3/series" and not request.query:
        return request.path, arr._array(_longer(map(arr._series, world.sonarr.values())))
    return None


def _prepared(world: World, folder: Path, *, packed: bool) -> Middleware:
    """Answers what is large from files, in chunks as the real servers do."""
    files: dict[Hashable, Path] = {}
    headers = _JSON | ({"Content-Encoding": "gzip"} if packed else {})

    @web.middleware
    async def prepared(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (large := _large(world, request)) is None:
            return await handler(request)
        key, pieces = large
        if key not in files:
            files[key] = folder / f"{len(files)}.json"
            with gzip.open(files[key], "wb", 1) if packed else files[key].open("wb") as file:
                file.writelines(pieces)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with files[key].open("rb") as kept:
            while piece := kept.read(_PIECE):
                await response.write(piece)
        return response

    return prepared


async def _started(application: web.Application, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def main(titles: int, folder: Path, *, packed: bool) -> None:
    """Serve until stdin ends; the files stand behind each service's own check of the key."""
    world = library(titles)
    prepared = _prepared(world, folder, packed=packed)
    services = {"jellyfin": jellyfin.application(world, api_key=KEY)}
    services |= {name: arr.application(world, name, api_key=KEY) for name in ("radarr", "sonarr")}
    urls = {}
    async with AsyncExitStack() as stack:
        for name, application in services.items():
            application.middlewares.append(prepared)
            urls[name] = await _started(application, stack)
        print(json.dumps(urls), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("titles", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gzip", action="store_true", help="send everything large compressed")
    given = parser.parse_args()
    asyncio.run(main(given.titles, given.folder, packed=given.gzip))
