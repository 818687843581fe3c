"""Tracked titles: found and explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiohttp import web

from daemon.apply import recheck
from daemon.errors import ServiceError
from daemon.report.explain import of_untracked, sentences
from daemon.web import known, titles
from daemon.web.frame import Answer, PageRequest
from daemon.web.models import TitleRef
from daemon.web.pages.base import Pages, read
from daemon.web.problems import Problem

_PICTURE: Final = {
    "Cache-Control": "private, max-age=86400",
    "Content-Security-Policy": "default-src 'none'; sandbox",  # an SVG may hold a script
}
_NO_PICTURE: Final = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 3"/>'
_TITLE: Final = "/status/titles/{request_id}"


class TitlePages(Pages):
    """The pages of titles."""

    def readable(self) -> Iterator[tuple[str, Answer, bool]]:
        """Addresses, what answers there, and whether only administrators may see it."""
        yield "/status/titles", self._titles, False
        yield _TITLE, self._title, False
        yield f"{_TITLE}/poster", self._poster, False

    def writable(self) -> Iterator[tuple[str, Answer]]:
        """Addresses of forms."""
        yield f"{_TITLE}/recheck", self._recheck

    async def _titles(self, visit: PageRequest) -> web.StreamResponse:
        text = visit.request.query.get("q", "").strip()[:200]
        store = self._parts.store
        found = await store.found(text) if text else []
        others = await store.untracked(text) if text else []
        told = [{**one, "because": [*of_untracked(_seen_by(visit, one))]} for one in others]
        return self._page(visit, "titles.html", text=text, found=found, untracked=told)

    async def _title(self, visit: PageRequest) -> web.StreamResponse:
        return self._shown(visit, await self._facts(visit))

    async def _poster(self, visit: PageRequest) -> web.StreamResponse:
        """Jellyfin's picture, handed on: a browser need not reach Jellyfin itself."""
        tracked = (await self._facts(visit))["tracked"]
        try:
            kind, body = await self._parts.services.jellyfin.poster(tracked["jellyfin_id"] or "-")
        except ServiceError:
            none = {**_PICTURE, "Cache-Control": "no-store"}
            return web.Response(body=_NO_PICTURE, content_type="image/svg+xml", headers=none)
        return web.Response(body=body, content_type=kind, headers=_PICTURE)

    async def _recheck(self, visit: PageRequest) -> web.StreamResponse:
        """The same page, with what the services say of the title now."""
        tracked = (facts := await self._facts(visit))["tracked"]
        target, jellyfin_id = f"request {tracked['id']}", tracked["jellyfin_id"]
        number = await titles.look(self._call(visit), target, jellyfin_id)
        answers = await recheck.ask(self._parts.services, tracked)
        return self._shown(visit, facts, answers, number)

    async def _facts(self, visit: PageRequest) -> dict[str, Any]:
        given = visit.request.match_info["request_id"]
        number = read(TitleRef, {"request_id": given}, 404).request_id
        if (facts := await self._parts.store.facts(number)) is None:
            raise Problem(404, f"There is no request {number}.")
        return facts if visit.admin else {**facts, "library": None, "needs": []}

    def _shown(
        self,
        visit: PageRequest,
        facts: dict[str, Any],
        answers: Sequence[recheck.Answer] = (),
        number: int | None = None,
    ) -> web.Response:
        return self._page(
            visit,
            "title.html",
            facts=facts,
            because=[*sentences(facts, self._parts.service.removal)],
            sources=[*known.sources(facts)],
            ids=[*known.ids(facts)],
            seasons=known.seasons(facts, answers),
            answers=answers,
            looking=number,
        )


def _seen_by(visit: PageRequest, untracked: dict[str, Any]) -> dict[str, Any]:
    """Who deleted a title is for administrators alone."""
    deletion = untracked["deletion"]
    if visit.admin or deletion is None:
        return untracked
    return {**untracked, "deletion": {**deletion, "by": None}}
