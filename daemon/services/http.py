"""HTTP to one service: deadlines, retries, size limits; every failure is a ServiceError.

Redirects are never followed: aiohttp would send the service's key header on to the other origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Self, TypeVar, get_origin

import aiohttp
import pydantic

from daemon import errors
from daemon.services.verdict import JSON, Head, date_of, failed, verdict

_MIB = 1024 * 1024
_CHUNK = 256 * 1024
_Model = TypeVar("_Model")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retries and timeouts, in seconds.

    Attributes:
        attempts: per exchange.
        base: maximum delay before the second attempt; it doubles with each further one.
        cap: maximum delay, even if the service asks for a longer one.
        reply: for a whole small exchange.
        listing: for a whole large exchange. Radarr needs 9 s for 20,000 films on two idle cores,
            Sonarr 36 s for 5,000 series, nearly all of it before the first byte.
        silence: between two pieces of a reply, the first included.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 10.0
    reply: float = 60.0
    listing: float = 900.0
    silence: float = 180.0


@dataclass(slots=True)
class CallStats:
    """Call statistics of a service.

    Attributes:
        waiting: exchanges in progress.
    """

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waiting: int = 0

    def since(self, earlier: CallStats) -> dict[str, float]:
        """What was asked since an earlier reading of the same meter."""
        return {
            "calls": self.calls - earlier.calls,
            "bytes": self.bytes - earlier.bytes,
            "seconds": round(self.seconds - earlier.seconds, 3),
        }


class Reply(NamedTuple):
    """A small reply, read completely.

    Attributes:
        status: 200, 204, or one that was asked for.
        headers: case-insensitive.
        cookies: set by the reply; they are not stored here.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: str = ""


@dataclass(slots=True)
class ServiceHttp:
    """The connection to one service, an async context manager.

    Every failure, also in the middle of a reply, is a ServiceError.

    Args:
        url: where it is, its URL base included, without a slash at the end.
        jitter: a random number below 1, which spreads the attempts of many clients.

    Attributes:
        meter: what was asked so far.
        date: the service's own clock in its latest good reply, aware UTC.
    """

    service: str
    url: str
    headers: Mapping[str, str]
    patience: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    meter: CallStats = field(default_factory=CallStats)
    date: datetime | None = None
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", **self.headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self.patience.silence),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self, path: str, model: type[_Model], query: Mapping[str, str] | None = None
    ) -> _Model:
        """A small reply (8 MiB at most) as a value of `model`."""
        return self._parsed(path, model, (await self.read(path, query)).body)

    async def read(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        also: Collection[int] = (),
        cap: int = 8 * _MIB,
    ) -> Reply:
        """A reply of at most `cap` bytes; `also` are statuses that are an answer as well."""
        sent: dict[str, Any] = {"params": query, "headers": headers, "also": also}
        return await self._whole("GET", path, self.patience.attempts, cap, **sent)

    async def post(
        self, path: str, model: type[_Model], body: Mapping[str, str] | None = None
    ) -> _Model:
        """Send JSON, or nothing; the reply is as small as that of `get`, and may be no content.

        It is never tried again: a service that did not answer may have done it all the same.
        """
        text = (await self._whole("POST", path, json=body)).body
        return self._parsed(path, model, text or b"null")

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        also: Collection[int] = (),
    ) -> Reply:
        """Send JSON, or nothing, once; whatever the reply's content type.

        Raises:
            ServiceError: one of its kinds, unless the status is one of `also`.
        """
        return await self._whole(method, path, wanted="", json=body, params=query, also=also)

    async def submit(self, path: str, form: Mapping[str, str]) -> Reply:
        """Send a form, once; whatever the reply's content type."""
        return await self._whole("POST", path, wanted="", data=form)

    async def picture(self, path: str, query: Mapping[str, str]) -> tuple[str, bytes]:
        """A picture of at most 1 MiB, with its content type; asked for once."""
        asking: dict[str, Any] = {"params": query, "headers": {"Accept": "image/*"}}
        reply = await self._whole("GET", path, cap=_MIB, wanted="image/", **asking)
        return reply.headers["Content-Type"].partition(";")[0], reply.body

    def _parsed(self, path: str, model: type[_Model], body: bytes) -> _Model:
        # The first error is enough: those of each of a million elements would take a gigabyte.
        listed = get_origin(model) is list
        kind: Any = Annotated[model, pydantic.FailFast()] if listed else model
        try:
            adapter: pydantic.TypeAdapter[_Model] = pydantic.TypeAdapter(kind)
            return adapter.validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise self._unexpected(path, body, first) from None

    def _unexpected(self, path: str, body: bytes, error: Mapping[str, Any]) -> errors.ServiceError:
        if not body.strip():
            return self.not_json(path, "an empty reply")
        if error["type"] != "json_invalid":
            place = ".".join(map(str, error["loc"]))
            where = f" at {place}" if place else ""
            return self.not_json(path, f"unexpected JSON: {error['msg']}{where}")
        if (why := str(error["ctx"]["error"])).startswith("EOF"):
            return errors.CutShortError(self.service, self.url + path, "the reply ends too early")
        return self.not_json(path, f"no JSON: {why}")

    def stream(
        self, path: str, query: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A large reply in pieces, as they arrive; the deadline holds for the whole of it."""
        return self._exchange(path, query, seconds or self.patience.listing)

    def not_json(self, path: str, detail: str) -> errors.NotJsonError:
        """The error for a body that is not what this service sends."""
        return errors.NotJsonError(self.service, self.url + path, detail)

    def not_found(self, path: str) -> errors.WrongServiceError:
        """The error for a 404 that is not how this service says that something is unknown."""
        return errors.WrongServiceError(self.service, self.url + path, "HTTP 404", status=404)

    @contextlib.asynccontextmanager
    async def _exchange(
        self, path: str, query: Mapping[str, str] | None, seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The deadline is laid on each wait: around a `yield` it would cancel the caller's work."""
        url = self.url + path
        deadline = asyncio.get_running_loop().time() + seconds
        async with contextlib.AsyncExitStack() as stack:
            async with self._wait(url, deadline):
                reply = await self._opened(stack, "GET", url, self.patience.attempts, params=query)
            yield self._chunks(reply, url, 4096 * _MIB, deadline)

    async def _whole(
        self, method: str, path: str, attempts: int = 1, cap: int = 8 * _MIB, **sent: Any
    ) -> Reply:
        url = self.url + path
        deadline = asyncio.get_running_loop().time() + self.patience.reply
        async with contextlib.AsyncExitStack() as stack:
            async with self._wait(url, deadline):
                reply = await self._opened(stack, method, url, attempts, **sent)
            pieces = self._chunks(reply, url, cap, deadline)
            body = b"".join([piece async for piece in pieces])
        cookies = "; ".join(f"{one.key}={one.value}" for one in reply.cookies.values())
        return Reply(reply.status, reply.headers, body, cookies)

    @contextlib.asynccontextmanager
    async def _wait(self, url: str, deadline: float) -> AsyncIterator[None]:
        """One wait for the service: measured, limited, and with its failures as our errors."""
        started = time.monotonic()
        self.meter.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                yield
        except (TimeoutError, aiohttp.ClientError, UnicodeError) as error:
            raise failed(self.service, url, error) from None
        finally:
            self.meter.waiting -= 1
            self.meter.seconds += time.monotonic() - started

    async def _opened(
        self, stack: contextlib.AsyncExitStack, method: str, url: str, attempts: int, **sent: Any
    ) -> aiohttp.ClientResponse:
        """A good reply whose body is still to come; tried again while that can help."""
        for attempt in itertools.count(1):
            try:
                return await self._attempt(stack, method, url, **sent)
            except errors.ServiceError as error:
                if attempt >= attempts or not error.retryable:
                    raise
                await self.sleep(self._pause(attempt, error.retry_after))
        raise AssertionError  # pragma: no cover - the count never ends

    def _pause(self, attempt: int, asked: float | None) -> float:
        spread = self.patience.base * 2.0 ** (attempt - 1) * (0.5 + self.jitter() / 2)
        return min(max(spread, asked or 0.0), self.patience.cap)

    async def _attempt(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        url: str,
        wanted: str = JSON,
        also: Collection[int] = (),
        **sent: Any,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the client was not entered")
        self.meter.calls += 1
        try:
            asked = self._session.request(method, url, allow_redirects=False, **sent)
            reply = await stack.enter_async_context(asked)
        except aiohttp.ServerTimeoutError:
            raise
        except aiohttp.ClientConnectionError as error:
            raise failed(self.service, url, error) from None
        failure = verdict(self.service, url, Head.of(reply.status, reply.headers), wanted)
        if failure is not None and reply.status not in also:
            reply.close()
            raise failure
        self.date = date_of(reply.headers)
        return reply

    async def _chunks(
        self, reply: aiohttp.ClientResponse, url: str, cap: int, deadline: float
    ) -> AsyncIterator[bytes]:
        size = 0
        while True:
            async with self._wait(url, deadline):
                chunk = await reply.content.read(_CHUNK)
            if not chunk:
                return
            size += len(chunk)
            self.meter.bytes += len(chunk)
            if size > cap:
                raise errors.TooLargeError(self.service, url, f"over {cap // _MIB} MiB")
            yield chunk
