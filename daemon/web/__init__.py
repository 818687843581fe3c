"""The admin HTTP: the table of its routes, and the server."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from daemon.errors import AddressError
from daemon.settings import Http, netloc
from daemon.web import admin, hooks, machines, pages, plans, settle, titles
from daemon.web.auth import AdminAuth, RateLimiter
from daemon.web.events import STREAM, events
from daemon.web.metrics import CONTENT_TYPE
from daemon.web.models import (
    Alive,
    Attention,
    AttentionQuery,
    Audit,
    AuditQuery,
    Hooks,
    HookTest,
    QueuedRun,
    Ready,
    RequestModel,
    ResponseModel,
    RunDetail,
    RunQuery,
    RunRef,
    Runs,
    RunsQuery,
    SettleBody,
    Settled,
    SettledFinding,
    SyncBody,
    SyncQuery,
    SyncResult,
    SyncState,
    Taken,
    TitleFacts,
    TitleRef,
    UndoneRun,
)
from daemon.web.openapi import described
from daemon.web.problems import ProblemProtocol, dress, front
from daemon.web.rights import Rights
from daemon.web.routes import Context, Dependencies, Limits, Route
from daemon.web.sessions import Sessions

__all__ = ["Dependencies", "Limits", "application", "served"]

_JSON: Final = "application/json"
_MAX_BYTES: Final = 64 * 1024
_AT_ONCE: Final = 1024
"""Connections that may arrive together; whatever is over that comes again a second later."""
_LAST_WORDS: Final = 0.4
_IDLE_SECONDS: Final = 75.0
_REMEDIES: Final = {
    errno.EADDRINUSE: "stop what is there already, or set another http.port",
    errno.EACCES: "set an http.port above 1023",
}
_ANOTHER_HOST: Final = "set http.host to an address that this machine has, e.g. 127.0.0.1 or ::1"


def _sync(path: str) -> Route[SyncQuery, SyncBody]:
    replies: Mapping[int, type[BaseModel]] = {200: SyncResult, 202: QueuedRun}
    return Route("POST", path, admin.sync, SyncQuery, SyncBody, replies, (409, 502))


def _on_run(
    verb: str,
    answer: Callable[..., Awaitable[web.StreamResponse]],
    status: int,
    reply: type[ResponseModel],
) -> Route[RunRef, RequestModel]:
    path = f"/admin/runs/{{run_id}}/{verb}"
    return Route("POST", path, answer, RunRef, RequestModel, {status: reply}, (404, 409))


def _hook(
    sender: str, answer: Callable[..., Awaitable[web.StreamResponse]]
) -> Route[RequestModel, RequestModel]:
    replies: Mapping[int, type[BaseModel] | str] = {200: Taken, 202: Taken, 204: ""}
    return Route(
        "POST",
        f"/hooks/{sender}",
        answer,
        RequestModel,
        RequestModel,
        replies,
        admin=False,
        hook=True,
    )


ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    _sync("/admin/sync"),
    _sync("/api/admin/sync/library"),
    Route("GET", "/admin/sync", admin.state, RequestModel, RequestModel, {200: SyncState}),
    Route("GET", "/admin/sync/events", events, RequestModel, RequestModel, {200: STREAM}),
    Route("GET", "/admin/runs", admin.runs, RunsQuery, RequestModel, {200: Runs}),
    Route(
        "GET", "/admin/runs/{run_id}", admin.run, RunQuery, RequestModel, {200: RunDetail}, (404,)
    ),
    Route(
        "POST",
        "/admin/runs/{run_id}/cancel",
        admin.cancel,
        RunRef,
        RequestModel,
        {202: QueuedRun},
        (404, 409),
    ),
    _on_run("approve", plans.approve, 202, QueuedRun),
    _on_run("discard", plans.discard, 200, Settled),
    _on_run("undo", plans.undo, 200, UndoneRun),
    Route(
        "GET",
        "/admin/titles/{request_id}",
        titles.title,
        TitleRef,
        RequestModel,
        {200: TitleFacts},
        (404,),
    ),
    Route(
        "GET", "/admin/attention", titles.attention, AttentionQuery, RequestModel, {200: Attention}
    ),
    Route(
        "POST",
        "/admin/attention",
        settle.settle,
        RequestModel,
        SettleBody,
        {200: SettledFinding, 202: SettledFinding},
        (409,),
    ),
    Route("GET", "/admin/hooks", hooks.state, RequestModel, RequestModel, {200: Hooks}),
    Route(
        "POST", "/admin/hooks/test", hooks.test, RequestModel, RequestModel, {200: HookTest}, (409,)
    ),
    _hook("jellyfin", hooks.jellyfin),
    _hook("radarr", hooks.arr),
    _hook("sonarr", hooks.arr),
    Route("GET", "/admin/audit", admin.audit, AuditQuery, RequestModel, {200: Audit}),
    Route("GET", "/healthz", machines.alive, RequestModel, RequestModel, {200: Alive}, admin=False),
    Route(
        "GET",
        "/readyz",
        machines.ready,
        RequestModel,
        RequestModel,
        {200: Ready, 503: Ready},
        admin=False,
    ),
    Route(
        "GET",
        "/metrics",
        machines.metrics,
        RequestModel,
        RequestModel,
        {200: CONTENT_TYPE},
        admin=False,
    ),
    Route(
        "GET",
        "/openapi.json",
        machines.description,
        RequestModel,
        RequestModel,
        {200: _JSON},
        admin=False,
    ),
)


def application(parts: Dependencies) -> web.Application:
    """Everything that is served, under the base path; must be called in a running loop."""
    http = parts.settings.http
    failures = RateLimiter(parts.limits.failures, parts.monotonic)
    sessions = Sessions(pages.device_of(parts), http.base_path, parts.monotonic)
    rights = Rights(sessions, parts.services.jellyfin.users, parts.monotonic)
    site = Context(
        parts=parts,
        gate=AdminAuth(
            parts.services.jellyfin,
            parts.store,
            http,
            failures,
            parts.monotonic,
            rights.administrator,
        ),
        door=hooks.WebhookAuth(parts.settings.webhook, failures),
        closing=asyncio.Event(),
        boot=secrets.token_hex(4),
        description=described(ROUTES, http.base_path),
    )
    made = web.Application(middlewares=[front(http.trusted_proxies)], client_max_size=_MAX_BYTES)
    for route in ROUTES:
        add, path = made.router.add_route, http.base_path + route.path
        add(route.method, path, route.handler(site))
        if route.method == "GET" and STREAM not in route.replies.values():
            add("HEAD", path, route.handler(site))
    pages.add(made, site, sessions, rights, failures)
    made.on_response_prepare.append(dress)

    async def close(_: web.Application) -> None:
        site.closing.set()
        parts.feed.close()

    made.on_shutdown.append(close)
    return made


@asynccontextmanager
async def served(parts: Dependencies) -> AsyncIterator[str]:
    """Serve on the configured address; gives the URL, and ends within a second.

    Raises:
        AddressError: the address cannot be listened on.
    """
    runner = web.AppRunner(application(parts), shutdown_timeout=_LAST_WORDS)
    await runner.setup()
    http = parts.settings.http
    try:
        server = await _listening(runner, http)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://{netloc(http.host, port)}{http.base_path}"
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listening(runner: web.AppRunner, http: Http) -> asyncio.Server:
    manager, loop = runner.server, asyncio.get_running_loop()
    if manager is None:
        raise RuntimeError("the runner was not set up")

    def accepted() -> ProblemProtocol:
        return ProblemProtocol(
            manager,
            loop=loop,
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LAST_WORDS,
        )

    try:
        return await loop.create_server(accepted, http.host, http.port, backlog=_AT_ONCE)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None)
        where = netloc(http.host, http.port)
        what = f"cannot listen on {where}: {reason or 'this is no host'}"
        raise AddressError(f"{what}; {_REMEDIES.get(number, _ANOTHER_HOST)}") from None
