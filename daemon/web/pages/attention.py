"""What needs somebody, and what they do about it: ignore it, restore it, have it looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from daemon.apply import tell_audit
from daemon.store import Finding
from daemon.web import titles, view
from daemon.web.frame import Answer, Visit
from daemon.web.pages.base import Pages
from daemon.web.problems import Problem

_PATH: Final = "/status/attention"
_IGNORED: Final = "ignored"
_MOST: Final = 100


class AttentionPages(Pages):
    """The page of what needs somebody."""

    def readable(self) -> Iterator[tuple[str, Answer, bool]]:
        """Addresses, what answers there, and whether only administrators may see it."""
        yield _PATH, self._listed, True

    def writable(self) -> Iterator[tuple[str, Answer]]:
        """Addresses of forms."""
        yield _PATH, self._done

    async def _found(self, *, ignored: bool) -> list[Finding]:
        return await self._parts.store.attention(self._parts.service.removal, ignored=ignored)

    async def _listed(self, visit: Visit) -> web.StreamResponse:
        kind = visit.request.query.get("kind", "")
        needs = [*view.grouped(await self._found(ignored=False), _MOST)]
        ignored = await self._found(ignored=True)
        shown = [one for one in needs if kind in {"", one["kind"]}]
        if kind == _IGNORED:
            shown = [*view.grouped(ignored, _MOST)]
        aside = {"kind": _IGNORED, "name": _IGNORED, "number": len(ignored)}
        tabs = [*needs, aside] if ignored else needs
        return self._page(visit, "attention.html", tabs=tabs, shown=shown, kind=kind)

    async def _done(self, visit: Visit) -> web.StreamResponse:
        verbs = {"ignore": self._ignore, "restore": self._restore, "recheck": self._recheck}
        verb, _, named = visit.form.get("do", "").partition(" ")
        kind = visit.request.query.get("kind", "")
        found = await self._found(
            ignored=verb == "restore" or (verb == "recheck" and kind == _IGNORED)
        )
        finding = next((one for one in found if f"{one.kind} {one.target}" == named), None)
        if finding is None or verb not in verbs:
            raise Problem(409, "This is not found any more. Nothing was done.")
        told = await verbs[verb](visit, finding)
        return self._frame.to(_PATH, kind=kind, **told)

    async def _ignore(self, visit: Visit, finding: Finding) -> dict[str, object]:
        if not finding.ignorable:
            raise Problem(409, "This cannot be ignored. Nothing was done.")
        event = self._call(visit).event("finding.ignored", finding.target, reason=finding.what)
        tell_audit(await self._parts.store.ignore(finding, event, ignored=True))
        return {"said": "ignored"}

    async def _restore(self, visit: Visit, finding: Finding) -> dict[str, object]:
        event = self._call(visit).event("finding.restored", finding.target, reason=finding.what)
        tell_audit(await self._parts.store.ignore(finding, event, ignored=False))
        return {"said": "restored"}

    async def _recheck(self, visit: Visit, finding: Finding) -> dict[str, object]:
        jellyfin_id = finding.jellyfin_id
        if jellyfin_id is None and finding.request_id is not None:
            facts = await self._parts.store.facts(finding.request_id)
            jellyfin_id = facts["tracked"]["jellyfin_id"] if facts else None
        if jellyfin_id is None:
            raise Problem(409, "Jellyfin has no id for it; the next full sync looks for it.")
        number = await titles.look(self._call(visit), finding.target, jellyfin_id)
        return {"said": "rechecked", "run": number}
