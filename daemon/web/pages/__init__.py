"""The pages; they read only the file, so they work while every service is down."""

from __future__ import annotations

import hashlib

from aiohttp import web

from daemon.web.auth import RateLimiter
from daemon.web.frame import PageRequest, Renderer
from daemon.web.login import Login
from daemon.web.pages.attention import AttentionPages
from daemon.web.pages.audit import AuditPages
from daemon.web.pages.pending import PendingPages
from daemon.web.pages.runs import RunPages
from daemon.web.pages.status import StatusPages
from daemon.web.pages.titles import TitlePages
from daemon.web.problems import Problem
from daemon.web.rights import Rights
from daemon.web.routes import Context, Dependencies
from daemon.web.sessions import Sessions


def device_of(parts: Dependencies) -> str:
    """This daemon's stable device name."""
    file = str(parts.settings.database.resolve())
    return hashlib.sha256(f"library-sync {file}".encode()).hexdigest()[:32]


def add(
    application: web.Application,
    site: Context,
    sessions: Sessions,
    rights: Rights,
    failures: RateLimiter,
) -> None:
    """Serve the pages, too."""
    frame = Renderer(site, sessions, rights)

    async def root_page(_: PageRequest) -> web.StreamResponse:
        return frame.to("/status")

    router = application.router
    status = StatusPages(site, frame, router)
    for group in (RunPages, TitlePages, PendingPages, AttentionPages, AuditPages):
        group(site, frame, router)
    login = Login(site, frame, sessions, failures, device_of(site.parts))
    get, post, base = router.add_get, router.add_post, frame.base
    post(f"{base}/logout", frame.handler(login.leave, admin=False))
    get(f"{base}/login", login.show)
    post(f"{base}/login", login.enter)
    post(f"{base}/login/token", login.enter_with_token)
    get(f"{base}/login/quick", login.wait)
    post(f"{base}/login/quick", login.begin)
    get(f"{base}/status/static/{{name}}", frame.file)
    for root in {base or "/", f"{base}/", f"{base}/status/"}:
        get(root, frame.handler(root_page, admin=False))
    get(f"{base}/status/{{rest:.*}}", frame.handler(_nothing, admin=False))
    application.on_cleanup.append(status.close)


async def _nothing(_: PageRequest) -> web.StreamResponse:
    raise Problem(404, "There is no such page.")
