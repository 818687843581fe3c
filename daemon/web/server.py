"""The listening socket: how many connections there may be, and how long a request may take to come.

Somebody who opens thousands of them, or sends a head byte by byte, must not keep others out.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from daemon.errors import AddressError
from daemon.logs import logger
from daemon.settings import Http, netloc
from daemon.web.address import rate_limit_key
from daemon.web.problems import ProblemProtocol
from daemon.web.routes import Dependencies

_BACKLOG: Final = 128
"""Connections that may arrive together; whatever is over that comes again a second later."""
_SHUTDOWN_SECONDS: Final = 0.4
_IDLE_SECONDS: Final = 75.0
_LOG_INTERVAL: Final = 60.0
_REMEDIES: Final = {
    errno.EADDRINUSE: "stop the program that uses it, or set another http.port",
    errno.EACCES: "set an http.port above 1023",
}
_ANOTHER_HOST: Final = "set http.host to an address that this machine has, e.g. 127.0.0.1 or ::1"
_log = logger(__name__)


class Connections:
    """How many connections are open, in all and of each address.

    Args:
        parts: has the limits, and the proxies, client connections are those of many people.
    """

    def __init__(self, parts: Dependencies) -> None:
        self.head = parts.limits.head
        self._limits = parts.limits
        self._now = parts.monotonic
        self._trusted = parts.settings.http.trusted_proxies
        self._open: Counter[str] = Counter()
        self._refused = 0
        self._tell_at = 0.0

    def admit(self, address: str) -> bool:
        """Count a connection, unless there are too many."""
        client = rate_limit_key(address)
        of_one = self._open[client] >= self._limits.connections_of_one
        if self._open.total() >= self._limits.connections or (of_one and not self._proxy(address)):
            self._refuse(address)
            return False
        self._open[client] += 1
        return True

    def release(self, address: str) -> None:
        """A connection that was admitted has ended."""
        client = rate_limit_key(address)
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    def _proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _refuse(self, address: str) -> None:
        """Refuse a connection; logged at most once a minute."""
        self._refused += 1
        if self._now() >= self._tell_at:
            _log.warning("http.connections_refused", refused=self._refused, source_ip=address)
            self._refused, self._tell_at = 0, self._now() + _LOG_INTERVAL


class Connection(ProblemProtocol):
    """One connection, ended where a request's head does not arrive in time."""

    def __init__(self, connections: Connections, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._connections = connections
        self._address: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, unless there are too many."""
        address = str((transport.get_extra_info("peername") or ("unknown",))[0])
        if not self._connections.admit(address):
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            return
        self._address = address
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release the connection's slot."""
        if self._address is None:
            return
        self._connections.release(self._address)
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive data; the first bytes after a request begin the next head."""
        if self._address is None:
            return
        if not self._requests and self._deadline is None:
            self._expect_a_head()
        super().data_received(data)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A head has arrived; its request has no deadline here."""
        self._stop_waiting()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    def _expect_a_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._connections.head, self.force_close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@web.middleware
async def while_served(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: tell the connection that a request is being answered."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await handler(request)
    with connection.serving():
        return await handler(request)


@asynccontextmanager
async def listening(application: web.Application, parts: Dependencies) -> AsyncIterator[str]:
    """Serve on the configured address; gives the URL, and ends within a second.

    Raises:
        AddressError: the address cannot be listened on.
    """
    runner = web.AppRunner(application, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    http = parts.settings.http
    try:
        server = await _server(runner, http, Connections(parts))
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://{netloc(http.host, port)}{http.base_path}"
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _server(runner: web.AppRunner, http: Http, connections: Connections) -> asyncio.Server:
    manager, loop = runner.server, asyncio.get_running_loop()
    if manager is None:
        raise RuntimeError("the runner was not set up")

    def accepted() -> Connection:
        return Connection(
            connections,
            manager,
            loop=loop,
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_SHUTDOWN_SECONDS,
        )

    try:
        return await loop.create_server(accepted, http.host, http.port, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None)
        where = netloc(http.host, http.port)
        what = f"cannot listen on {where}: {reason or 'this is no host'}"
        raise AddressError(f"{what}; {_REMEDIES.get(number, _ANOTHER_HOST)}") from None
