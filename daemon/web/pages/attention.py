"""The attention page and its actions."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.store import attention, glance, plans
from daemon.store.attention import Finding
from daemon.web import actions, view
from daemon.web.frame import PageRequest
from daemon.web.pages.base import Pages

_PATH: Final = "/status/attention"
_IGNORED: Final = "ignored"
_MAX: Final = 100


class AttentionPages(Pages):
    """The attention page."""

    def _serve(self) -> None:
        self._get(_PATH, self._listed, admin=True)
        self._post(_PATH, self._done)

    async def _found(self, *, ignored: bool) -> list[Finding]:
        return await self._parts.store.read(
            attention.findings, self._parts.service.removal, ignored=ignored
        )

    async def _listed(self, visit: PageRequest) -> web.StreamResponse:
        kind = visit.request.query.get("kind", "")
        needs = [*view.grouped(await self._found(ignored=False), _MAX)]
        ignored = await self._found(ignored=True)
        shown = [one for one in needs if kind in {"", one.kind}]
        if kind == _IGNORED:
            shown = [*view.grouped(ignored, _MAX)]
        aside = {"kind": _IGNORED, "name": _IGNORED, "number": len(ignored)}
        tabs = [*needs, aside] if ignored else needs
        store = self._parts.store
        plan = await store.read(glance.plan)
        held = await store.read(plans.titles, plan.run_id, _MAX) if plan else []
        return self._page(
            visit, "attention.html", tabs=tabs, shown=shown, kind=kind, plan=plan, held=held
        )

    async def _done(self, visit: PageRequest) -> web.StreamResponse:
        verb, _, named = visit.form.get("do", "").partition(" ")
        kind, _, target = named.partition(" ")
        done = await actions.settled(self._call(visit), verb, kind, target)
        shown = visit.request.query.get("kind", "")
        return self._frame.to(_PATH, kind=shown, said=done.said, run=done.run_id)
