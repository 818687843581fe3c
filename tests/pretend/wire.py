"""What the pretend services share on the wire: counted calls, faults on demand, streams."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived; `path` and `query` are decoded."""

    method: str
    path: str
    query: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with calls; the fields may be combined.

    A client that reuses an idle connection may ask again by itself when it is dropped, so a
    dropped connection is best left to last (`times=None`).

    Attributes:
        path: the beginning of the path and query that it meets, e.g. "/Items?".
        query: text that the query must hold, e.g. "StartIndex=500".
        times: how many calls it meets; None means all.
        status: answer this instead; 200 if only a body is given.
        body: answer this instead of the real body; only with a status does None mean empty.
        headers: headers of that answer, e.g. Retry-After or Location.
        cut: let only so many bytes of the uncompressed body through, then drop the connection.
        clean: end a cut body properly instead, as if it were whole.
        stall: seconds to wait before the answer, or at the cut if there is one.
        drop: close the connection without an answer.
    """

    path: str = "/"
    query: str = ""
    times: int | None = 1
    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    clean: bool = False
    stall: float = 0
    drop: bool = False


CALLS = web.AppKey("CALLS", list[Call])
FAULTS = web.AppKey("FAULTS", list[Fault])
_FAULT = web.RequestKey("FAULT", Fault)


def new_application(guard: Middleware, miss_headers: Mapping[str, str]) -> web.Application:
    """Make an application that counts its calls and has faults on demand.

    Args:
        guard: decides who may pass; it runs after the faults.
        miss_headers: what an unknown route or method is answered with, besides an empty body.
    """
    application = web.Application(middlewares=[_front_door(miss_headers), guard])
    application[CALLS] = []
    application[FAULTS] = []
    application.on_response_prepare.append(_sign)
    return application


@cache
def template(name: str) -> Any:
    """Read one reply's shape and constant values; the caller must not change it."""
    return json.loads(files(__package__).joinpath("replies.json").read_text("utf-8"))[name]


def empty(status: int, headers: Mapping[str, str] = NO_HEADERS) -> web.Response:
    """Answer without a body: a length of 0 and no content type."""
    return web.Response(status=status, headers=headers)


async def reply(
    request: web.Request,
    pieces: Iterable[bytes],
    headers: Mapping[str, str],
    status: int = 200,
) -> web.StreamResponse:
    """Send a chunked body piece by piece; other requests are served between two pieces.

    It is compressed if the client takes gzip and the headers say that the reply varies by that.
    """
    fault = request.get(_FAULT, Fault())
    response = web.StreamResponse(status=status, headers=headers)
    pack = None
    if "Vary" in headers and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.headers["Content-Encoding"] = "gzip"
        pack = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=31)
    await response.prepare(request)
    try:
        await _send(response, _cut(pieces, fault.cut), pack)
        if fault.cut is not None:
            await asyncio.sleep(fault.stall)
            if not fault.clean:
                _hang_up(request)
                return response
        await response.write_eof(pack.flush() if pack else b"")
    except ConnectionError:
        _hang_up(request)
    return response


async def _send(response: web.StreamResponse, pieces: Iterable[bytes], pack: Any) -> None:
    for piece in pieces:
        # What a cut lets through must arrive, so nothing is kept back in the compressor.
        data = pack.compress(piece) + pack.flush(zlib.Z_SYNC_FLUSH) if pack else piece
        if data:
            await response.write(data)
        await asyncio.sleep(0)


def _cut(pieces: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:size]
        if size is not None:
            size = max(0, size - len(piece))
            if not size:
                return


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _front_door(miss_headers: Mapping[str, str]) -> Middleware:
    @web.middleware
    async def front_door(request: web.Request, handler: Handler) -> web.StreamResponse:
        request.app[CALLS].append(Call(request.method, request.path, request.query_string))
        fault = _due(request)
        try:
            return await (_misbehave(request, handler, fault) if fault else handler(request))
        except web.HTTPException as miss:
            allow = {name: miss.headers[name] for name in ("Allow",) if name in miss.headers}
            return empty(miss.status, {**miss_headers, **allow})

    return front_door


def _due(request: web.Request) -> Fault | None:
    faults = request.app[FAULTS]
    for at, fault in enumerate(faults):
        if request.path_qs.startswith(fault.path) and fault.query in request.query_string:
            if fault.times == 1:
                del faults[at]
            elif fault.times is not None:
                faults[at] = replace(fault, times=fault.times - 1)
            return fault
    return None


async def _misbehave(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    request[_FAULT] = fault
    if fault.cut is None:
        await asyncio.sleep(fault.stall)
    if fault.drop:
        _hang_up(request)
        return empty(500)
    if fault.status is None and fault.body is None:
        return await handler(request)
    status = fault.status or 200
    if not fault.body:
        return empty(status, fault.headers)
    headers = {"Content-Type": "application/json; charset=utf-8", **fault.headers}
    return await reply(request, [fault.body], headers, status)


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "Kestrel"
