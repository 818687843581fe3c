"""Tracked titles: found and explained."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from daemon.explain import sentences
from daemon.web.frame import Answer, Visit
from daemon.web.models import TitleRef
from daemon.web.pages.base import Pages, read
from daemon.web.problems import Problem


class TitlePages(Pages):
    """The pages of titles."""

    def readable(self) -> Iterator[tuple[str, Answer, bool]]:
        """Addresses, what answers there, and whether only administrators may see it."""
        yield "/status/titles", self._titles, False
        yield "/status/titles/{request_id}", self._title, False

    async def _titles(self, visit: Visit) -> web.StreamResponse:
        text = visit.request.query.get("q", "").strip()[:200]
        found = await self._parts.store.found(text) if text else []
        return self._page(visit, "titles.html", text=text, found=found)

    async def _title(self, visit: Visit) -> web.StreamResponse:
        given = visit.request.match_info["request_id"]
        number = read(TitleRef, {"request_id": given}, 404).request_id
        if (facts := await self._parts.store.facts(number)) is None:
            raise Problem(404, f"There is no request {number}.")
        because = [*sentences(facts, self._parts.service.removal)]
        return self._page(visit, "title.html", facts=facts, because=because)
