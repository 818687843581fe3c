"""The audit page."""

from __future__ import annotations

from aiohttp import web

from daemon.report import audited
from daemon.store import audit
from daemon.store.audit import AuditFilter
from daemon.web.frame import PageRequest
from daemon.web.models import AuditQuery
from daemon.web.pages.base import Pages, read


class AuditPages(Pages):
    """The page of the audit."""

    def _serve(self) -> None:
        self._get("/status/audit", self._audit, admin=True)

    async def _audit(self, visit: PageRequest) -> web.StreamResponse:
        given = {name: value for name, value in visit.request.query.items() if value}
        query = read(AuditQuery, given, 400)
        wanted = AuditFilter(**query.model_dump(exclude={"before", "limit"}))
        found = await self._parts.store.read(audit.events, query.before, query.limit, wanted)
        given.pop("before", None)
        names = await self._parts.store.read(audit.names, found.rows)
        return self._page(
            visit,
            "audit.html",
            groups=audited.grouped(found.rows, names),
            more=found.next,
            given=given,
        )
