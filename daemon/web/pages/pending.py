"""Titles on their way: requested, and not in the library yet."""

from __future__ import annotations

from aiohttp import web

from daemon.store import on_the_way
from daemon.web.frame import PageRequest
from daemon.web.pages.base import Pages


class PendingPages(Pages):
    """The page of titles on their way."""

    def _serve(self) -> None:
        self._get("/status/pending", self._listed)

    async def _listed(self, visit: PageRequest) -> web.StreamResponse:
        found = await self._parts.store.read(on_the_way.listed)
        return self._page(visit, "pending.html", found=found)
