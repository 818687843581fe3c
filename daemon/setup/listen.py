"""Listens where the daemon will, while Radarr and Sonarr send their tests there."""

from __future__ import annotations

import errno
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from daemon.errors import ServiceError, SettingsError
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.settings import netloc
from daemon.setup.plan import HEADER
from daemon.web.auth import secret_of_authorization

_LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where it is asked, not heard
_BRIEFLY: Final = RetryPolicy(attempts=1, reply=3.0, silence=3.0)


@dataclass(slots=True)
class Arrivals:
    """Which webhooks have arrived.

    Attributes:
        paths: where they were sent to.
        daemon: the daemon itself listens, so that they are not seen here.
    """

    paths: set[str] = field(default_factory=set)
    daemon: bool = False

    def take(self, url: str) -> bool:
        """Whether one to this address has arrived since the last time, as far as can be told."""
        path = urlsplit(url).path
        ours = {one for one in self.paths if path.endswith(one)}  # a proxy may take a part away
        self.paths -= ours
        return bool(ours) or self.daemon


@asynccontextmanager
async def listening(host: str, port: int, path: str, secret: str) -> AsyncIterator[Arrivals]:
    """Listen until the end; where the daemon listens already, it is left to that.

    Args:
        host: as configured.
        port: as configured.
        path: before that of a webhook, as configured.
        secret: that a webhook must carry, as its password.

    Raises:
        SettingsError: the address cannot be listened on, or the daemon does not know the secret.
    """
    arrivals = Arrivals()

    async def take(request: web.Request) -> web.Response:
        if not hmac.compare_digest(secret_of_authorization(request).encode(), secret.encode()):
            return web.Response(status=401)
        arrivals.paths.add(request.path)
        return web.json_response({"taken": ""})

    application = web.Application()
    application.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            local = f"http://{netloc(_LOCAL.get(host, host), port)}{path}"
            if error.errno != errno.EADDRINUSE or not await _is_daemon(local, secret):
                what = os.strerror(error.errno or 0)
                raise SettingsError(f"{host} port {port} cannot be listened on: {what}") from None
            arrivals.daemon = True
        yield arrivals
    finally:
        await runner.cleanup()


async def _is_daemon(local: str, secret: str) -> bool:
    """Whether it is the daemon that listens there, by a webhook of no meaning."""
    refused = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    hook = {"NotificationType": "Generic"}
    try:
        async with ServiceHttp("Library Sync", local, {HEADER: secret}, _BRIEFLY) as http:
            reply = await http.send("POST", "/hooks/jellyfin", hook, also=refused)
    except ServiceError:
        return False
    if reply.status in refused:
        what = "Library Sync runs with its former configuration; restart it, then run setup again"
        raise SettingsError(what)
    return reply.status == HTTPStatus.NO_CONTENT
