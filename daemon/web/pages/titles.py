"""Tracked titles: found and explained."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from daemon.domain import RequestState
from daemon.errors import ServiceError
from daemon.report import links, words
from daemon.report.explain import linked, of_untracked, sentences
from daemon.store import glance, search, titles
from daemon.store.glance import Wanted
from daemon.store.search import Sort, TitleFilter, Untracked
from daemon.store.titles import TitleFacts
from daemon.web import known
from daemon.web.actions import look
from daemon.web.frame import PageRequest
from daemon.web.models import RunRef, TitleRef, TitlesQuery
from daemon.web.pages.base import Pages, read
from daemon.web.problems import Problem

_PICTURE: Final = {
    "Cache-Control": "private, max-age=86400",
    "Content-Security-Policy": "default-src 'none'; sandbox",  # an SVG may hold a script
}
_NO_PICTURE: Final = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 3"/>'
_ROWS: Final = 50
_SOON: Final = 8.0
_RECHECKED: Final = "rechecked"
_TITLE: Final = "/status/titles/{request_id}"


class TitlePages(Pages):
    """The pages of titles."""

    def _serve(self) -> None:
        self._get("/status/titles", self._titles)
        self._get(_TITLE, self._title)
        self._get(f"{_TITLE}/poster", self._poster)
        self._post(f"{_TITLE}/recheck", self._recheck)

    async def _titles(self, visit: PageRequest) -> web.StreamResponse:
        filled = {name: value for name, value in visit.request.query.items() if value}
        query = read(TitlesQuery, filled, 400)
        wanted = TitleFilter(
            query.q.strip(),
            query.kind or "",
            query.state or "",
            query.library if visit.admin else "",
            problems=query.problems and visit.admin,
            sort=query.sort,
        )
        store, skip = self._parts.store, (query.page - 1) * _ROWS
        found = await store.read(search.listed, wanted, skip, _ROWS + 1)
        alone = wanted == TitleFilter(wanted.text) and wanted.text and query.page == 1
        others = await store.read(search.untracked, wanted.text) if alone else []
        given = query.model_dump(mode="json", exclude_defaults=True, exclude={"page"})
        return self._page(
            visit,
            "titles.html",
            text=wanted.text,
            wanted=wanted,
            given=given,
            found=found[:_ROWS],
            page=query.page,
            more=len(found) > _ROWS,
            states=[*RequestState],
            sorts=[*Sort],
            libraries=await store.read(search.libraries) if visit.admin else [],
            untracked=[(one, [*of_untracked(_seen_by(visit, one))]) for one in others],
        )

    async def _title(self, visit: PageRequest) -> web.StreamResponse:
        facts, settings = await self._title_facts(visit), self._parts.settings
        jellyfin = settings.jellyfin.public_url
        public = settings.seerr.public_url if settings.seerr else None
        seerr = links.in_seerr(public, facts.tracked)
        return self._page(
            visit,
            "title.html",
            facts=facts,
            because=[*sentences(facts, self._parts.service.removal)],
            sources=known.sources(linked(facts, settings.instances), jellyfin, seerr),
            ids=[*known.ids(facts, jellyfin)],
            **await self._looked(visit),
        )

    async def _looked(self, visit: PageRequest) -> dict[str, Any]:
        """What the recheck found, once its run has ended."""
        if not visit.admin or visit.request.query.get("said") != _RECHECKED:
            return {"run": None}
        number = read(RunRef, {"run_id": visit.request.query.get("run", "")}, 400).run_id
        found = await self._parts.store.read(glance.view, number, Wanted(limit=0))
        if found is None or found.run.result is None:
            return {"run": None}
        return {"run": found.run, "found": [*words.looked(found.run.result)], "note": None}

    async def _poster(self, visit: PageRequest) -> web.StreamResponse:
        """Jellyfin's picture, handed on: a browser need not reach Jellyfin itself."""
        facts = await self._title_facts(visit)
        try:
            kind, body = await self._parts.services.jellyfin.poster(facts.jellyfin_id or "-")
        except ServiceError:
            none = {**_PICTURE, "Cache-Control": "no-store"}
            return web.Response(body=_NO_PICTURE, content_type="image/svg+xml", headers=none)
        return web.Response(body=body, content_type=kind, headers=_PICTURE)

    async def _recheck(self, visit: PageRequest) -> web.StreamResponse:
        """Enqueue a recheck of the title; the page shows the result if it is ready soon."""
        facts = await self._title_facts(visit)
        number = facts.tracked["id"]
        done = await look(self._call(visit), f"request {number}", facts.jellyfin_id)
        if done.ticket is not None:
            await asyncio.wait({done.ticket.result}, timeout=_SOON)
        return self._frame.to(f"/status/titles/{number}", said=_RECHECKED, run=done.run_id)

    async def _title_facts(self, visit: PageRequest) -> TitleFacts:
        given = visit.request.match_info["request_id"]
        number = read(TitleRef, {"request_id": given}, 404).request_id
        if (facts := await self._parts.store.read(titles.facts, number)) is None:
            raise Problem(404, f"There is no request {number}.")
        return facts if visit.admin else replace(facts, library=None, needs=())


def _seen_by(visit: PageRequest, untracked: Untracked) -> Untracked:
    """Who deleted a title is for administrators alone."""
    deletion = untracked.deletion
    if visit.admin or deletion is None:
        return untracked
    return replace(untracked, deletion=replace(deletion, by=None))
