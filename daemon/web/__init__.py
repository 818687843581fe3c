"""The admin HTTP: the table of its routes, and the server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from daemon.triggers.hints import WebhookStats
from daemon.triggers.queue import RunStatus
from daemon.web import actions, admin, hooks, machines, models, pages
from daemon.web.auth import AdminAuth, RateLimiter, WebhookAuth
from daemon.web.events import STREAM, events
from daemon.web.metrics import CONTENT_TYPE
from daemon.web.openapi import described
from daemon.web.problems import add_headers, request_middleware
from daemon.web.rights import Rights
from daemon.web.routes import Answer, Context, Dependencies, Limits, Replies, Route
from daemon.web.server import listening, while_served
from daemon.web.sessions import Sessions

__all__ = ["Dependencies", "Limits", "application", "served"]

_MAX_BYTES: Final = 64 * 1024


def _sync(path: str) -> Route:
    replies: Replies = {200: models.SyncResult, 202: RunStatus}
    return Route("POST", path, admin.sync, replies, (409, 502))


def _on_run(verb: str, answer: Answer, status: int, reply: type) -> Route:
    return Route("POST", f"/admin/runs/{{run_id}}/{verb}", answer, {status: reply}, (404, 409))


def _hook(sender: str, answer: Answer, problems: tuple[int, ...] = ()) -> Route:
    replies: Replies = {200: models.Taken, 202: models.Taken, 204: ""}
    return Route("POST", f"/hooks/{sender}", answer, replies, problems, admin=False, hook=True)


def _open(path: str, answer: Answer, replies: Replies) -> Route:
    return Route("GET", path, answer, replies, admin=False)


_SETTLED: Final = {200: models.SettledFinding, 202: models.SettledFinding}
ROUTES: Final = (
    _sync("/admin/sync"),
    _sync("/api/admin/sync/library"),
    Route("GET", "/admin/sync", admin.state, {200: models.SyncState}),
    Route("GET", "/admin/sync/events", events, {200: STREAM}),
    Route("GET", "/admin/runs", admin.runs, {200: models.Runs}),
    Route("GET", "/admin/runs/{run_id}", admin.run, {200: models.RunDetail}, (404,)),
    _on_run("cancel", admin.cancel, 202, RunStatus),
    _on_run("approve", actions.approve, 202, RunStatus),
    _on_run("discard", actions.discard, 200, models.Settled),
    _on_run("undo", actions.undo, 200, models.UndoneRun),
    Route("GET", "/admin/titles/{request_id}", admin.title, {200: models.TitleDetail}, (404,)),
    Route("GET", "/admin/attention", admin.attention, {200: models.Attention}),
    Route("POST", "/admin/attention", actions.settle, _SETTLED, (409,)),
    Route("GET", "/admin/hooks", hooks.state, {200: WebhookStats}),
    Route("POST", "/admin/hooks/test", hooks.test, {200: hooks.HookTest}, (409,)),
    _hook("jellyfin", hooks.jellyfin),
    _hook("radarr", hooks.arr),
    _hook("radarr/{name}", hooks.further_arr, (404,)),
    _hook("sonarr", hooks.arr),
    _hook("sonarr/{name}", hooks.further_arr, (404,)),
    _hook("seerr", hooks.seerr),
    Route("GET", "/admin/audit", admin.audit, {200: models.Audit}),
    _open("/healthz", machines.alive, {200: models.Alive}),
    _open("/readyz", machines.ready, {200: models.Ready, 503: models.Ready}),
    _open("/metrics", machines.metrics, {200: CONTENT_TYPE}),
    _open("/openapi.json", machines.description, {200: "application/json"}),
)


def application(parts: Dependencies) -> web.Application:
    """Everything that is served, under the base path; must be called in a running loop."""
    http = parts.settings.http
    failures = RateLimiter(parts.limits.failures, parts.monotonic)
    sessions = Sessions(pages.device_of(parts), http.base_path, parts.monotonic)
    rights = Rights(sessions, parts.services.jellyfin.accounts.users, parts.monotonic)
    site = Context(
        parts=parts,
        admin_auth=AdminAuth(
            parts.services.jellyfin.accounts,
            parts.store,
            http,
            failures,
            parts.monotonic,
            rights.administrator,
        ),
        webhook_auth=WebhookAuth(parts.settings.webhook, failures),
        closing=asyncio.Event(),
        boot=secrets.token_hex(4),
        description=described(ROUTES, http.base_path),
    )
    layers = [while_served, request_middleware(http.trusted_proxies)]
    made = web.Application(middlewares=layers, client_max_size=_MAX_BYTES)
    for route in ROUTES:
        add, path = made.router.add_route, http.base_path + route.path
        add(route.method, path, route.handler(site))
        if route.method == "GET" and STREAM not in route.replies.values():
            add("HEAD", path, route.handler(site))
    pages.add(made, site, sessions, rights, failures)
    made.on_response_prepare.append(add_headers)

    async def close(_: web.Application) -> None:
        site.closing.set()
        parts.feed.close()

    made.on_shutdown.append(close)
    return made


@asynccontextmanager
async def served(parts: Dependencies) -> AsyncIterator[str]:
    """Serve everything on the configured address; gives the URL, and ends within a second.

    Raises:
        AddressError: the address cannot be listened on.
    """
    async with listening(application(parts), parts) as url:
        yield url
