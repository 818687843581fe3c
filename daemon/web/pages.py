"""The pages for people, of the file alone; they work while every service is down."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from daemon.domain import Outcome, Trigger
from daemon.explain import sentences
from daemon.store import SHOWN, AuditFilter, Glance, PlanState, RunView, Wanted
from daemon.web import admin, hooks, plans, view
from daemon.web.auth import Failures
from daemon.web.frame import Frame, Visit
from daemon.web.login import Login
from daemon.web.models import Asked, AuditQuery, RunQuery, RunRef, RunsQuery, TitleRef
from daemon.web.problems import Problem
from daemon.web.routes import Call, Parts, Site
from daemon.web.sessions import Sessions

_Model = TypeVar("_Model", bound=Asked)
_FEW: Final = 3
_ROWS: Final = 50
_RUNS: Final = 30
_PLANNED: Final = 300
_PORTION: Final = 2000
_SOON: Final = 2.0
_VERBS: Final = ("approve", "discard", "undo")
_COLUMNS: Final = ("kind", "reason", "media_type", "title", "request_id", "jellyfin_id", "details")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_EXPORTS: Final = {"json": "application/json", "csv": "text/csv"}


def device_of(parts: Parts) -> str:
    """This daemon's own name for other programs, the same after every start."""
    file = str(parts.settings.database.resolve())
    return hashlib.sha256(f"library-sync {file}".encode()).hexdigest()[:32]


def add(application: web.Application, site: Site, sessions: Sessions, failures: Failures) -> None:
    """Serve the pages, too."""
    frame = Frame(site, sessions)
    pages = _Pages(site, frame)
    login = Login(site, frame, sessions, failures, device_of(site.parts))
    get, post = application.router.add_get, application.router.add_post
    base = frame.base
    for path, answer, for_admins in pages.readable():
        get(base + path, frame.handler(answer, admin=for_admins))
    for path, answer in pages.writable():
        post(base + path, frame.handler(answer, admin=True))
    post(f"{base}/logout", frame.handler(login.leave, admin=False))
    get(f"{base}/login", login.show)
    post(f"{base}/login", login.enter)
    get(f"{base}/login/quick", login.wait)
    post(f"{base}/login/quick", login.begin)
    get(f"{base}/status/static/{{name}}", frame.file)
    get(f"{base}/status/{{rest:.*}}", frame.handler(pages.nothing, admin=False))
    for root in {base or "/", f"{base}/"}:
        get(root, frame.handler(pages.root, admin=False))
    application.on_cleanup.append(pages.close)


class _Pages:
    """The pages of whoever is logged in."""

    def __init__(self, site: Site, frame: Frame) -> None:
        self._site = site
        self._parts = site.parts
        self._frame = frame
        self._preview: asyncio.Task[dict[str, Any]] | None = None

    def readable(self) -> Iterator[tuple[str, Any, bool]]:
        """Addresses, what answers there, and whether only administrators may see it."""
        run = "/status/runs/{run_id}"
        yield "/status", self.status, False
        yield "/status/runs", self.runs, False
        yield run, self.run, False
        yield f"{run}/export.{{format}}", self.export, True
        yield f"{run}/{{verb:{'|'.join(_VERBS)}}}", self.confirm, True
        yield "/status/titles", self.titles, False
        yield "/status/titles/{request_id}", self.title, False
        yield "/status/attention", self.attention, True
        yield "/status/preview", self.preview, True
        yield "/status/audit", self.audit, True

    def writable(self) -> Iterator[tuple[str, Any]]:
        """Addresses of forms; all of them are for administrators."""
        run = "/status/runs/{run_id}"
        yield "/status/sync", self.sync
        yield "/status/hooks/test", self.test_hook
        yield f"{run}/cancel", self.cancel
        yield f"{run}/approve", self.approve
        yield f"{run}/discard", self.discard
        yield f"{run}/undo", self.undo

    async def root(self, _: Visit) -> web.StreamResponse:
        return self._frame.to("/status")

    async def nothing(self, _: Visit) -> web.StreamResponse:
        raise Problem(404, "There is no such page.")

    async def status(self, visit: Visit) -> web.StreamResponse:
        parts = self._parts
        glance = await parts.store.glance()
        found = await parts.store.attention(parts.service.removal) if visit.admin else []
        facts = view.Facts(
            now=parts.clock(),
            glance=glance,
            running=parts.worker.running,
            waiting=parts.worker.waiting,
            services=parts.health.services,
            stuck=parts.worker.stuck_seconds,
            every=parts.settings.sync.every,
        )
        return self._page(
            visit,
            "status.html",
            verdict=view.verdict(facts),
            going=view.going(facts),
            glance=glance,
            sources=self._sources(glance) if visit.admin else [],
            needs=[one for one in view.grouped(found, _FEW) if one["kind"] != "held"],
            next_run=parts.next_run(),
            hook=parts.intake.statistics.as_dict(),
            settings=parts.settings,
            sqlite=sqlite3.sqlite_version,
            audit_ok=parts.store.audit_ok,
        )

    def _sources(self, glance: Glance) -> list[dict[str, Any]]:
        result = (glance.full or {}).get("result") or {}
        return [
            {
                "health": health,
                "version": health.version or result.get("versions", {}).get(name, ""),
                "calls": result.get("calls", {}).get(name),
            }
            for name, health in self._parts.health.services.items()
        ]

    async def runs(self, visit: Visit) -> web.StreamResponse:
        query = dict(visit.request.query)
        outcome = query.pop("outcome", "")
        if outcome and outcome not in list(Outcome):
            raise Problem(400, "There is no such outcome.")
        before = _read(RunsQuery, query, 400).before
        only = Outcome(outcome) if outcome else None
        lines = await self._parts.store.lines(before, _RUNS + 1, only)
        page = lines[:_RUNS]
        more = page[-1]["id"] if len(lines) > _RUNS else None
        return self._page(
            visit, "runs.html", lines=page, more=more, outcome=outcome, outcomes=list(Outcome)
        )

    async def run(self, visit: Visit) -> web.StreamResponse:
        number, query = self._run_id(visit), visit.request.query
        show, text = query.get("show", ""), query.get("q", "")[:200]
        after = _read(RunQuery, {"run_id": str(number), **query}, 400).after
        group = show if show in SHOWN else None
        found = await self._view(number, Wanted(group, text, after, _ROWS + 1))
        page = found.rows[:_ROWS]
        more = page[-1]["seq"] if len(found.rows) > _ROWS else None
        return self._page(visit, "run.html", found=found, rows=page, text=text, more=more)

    async def export(self, visit: Visit) -> web.StreamResponse:
        number, kind = self._run_id(visit), visit.request.match_info["format"]
        if kind not in _EXPORTS:
            raise Problem(404, "There is no such page.")
        run = await self._view(number, Wanted(limit=0))
        name = f"library-sync-run-{number}.{kind}"
        reply = web.StreamResponse(
            headers={
                "Content-Type": f"{_EXPORTS[kind]}; charset=utf-8",
                "Content-Disposition": f'attachment; filename="{name}"',
            }
        )
        await reply.prepare(visit.request)
        pieces = _as_csv if kind == "csv" else _as_json
        async for text in pieces(run.run, self._entries(number)):
            await reply.write(text.encode())
        return reply

    async def _entries(self, number: int) -> AsyncIterator[list[dict[str, Any]]]:
        """All decisions of a run in portions, then the titles that it held."""
        after = 0
        while found := await self._parts.store.run_page(number, after, _PORTION):
            if not (decisions := found["decisions"]):
                break
            yield decisions
            after = decisions[-1]["seq"]
        plan = await self._parts.store.plan(number) or {"titles": []}
        yield [{**one, "kind": "held", "reason": one["why"]} for one in plan["titles"]]

    async def titles(self, visit: Visit) -> web.StreamResponse:
        text = visit.request.query.get("q", "").strip()[:200]
        found = await self._parts.store.found(text) if text else []
        return self._page(visit, "titles.html", text=text, found=found)

    async def title(self, visit: Visit) -> web.StreamResponse:
        given = visit.request.match_info["request_id"]
        number = _read(TitleRef, {"request_id": given}, 404).request_id
        if (facts := await self._parts.store.facts(number)) is None:
            raise Problem(404, f"There is no request {number}.")
        because = [*sentences(facts, self._parts.service.removal)]
        jellyfin = self._parts.settings.jellyfin.public_url
        return self._page(visit, "title.html", facts=facts, because=because, jellyfin=jellyfin)

    async def attention(self, visit: Visit) -> web.StreamResponse:
        kind = visit.request.query.get("kind", "")
        found = await self._parts.store.attention(self._parts.service.removal)
        needs = [*view.grouped(found, _ROWS * 2)]
        return self._page(visit, "attention.html", needs=needs, kind=kind)

    async def audit(self, visit: Visit) -> web.StreamResponse:
        given = {name: value for name, value in visit.request.query.items() if value}
        query = _read(AuditQuery, given, 400)
        wanted = AuditFilter(**query.model_dump(exclude={"before", "limit"}))
        events = await self._parts.store.audit_page(wanted, query.before, query.limit + 1)
        page = events[: query.limit]
        more = page[-1]["seq"] if len(events) > query.limit else None
        given.pop("before", None)
        return self._page(visit, "audit.html", events=page, more=more, given=given)

    async def sync(self, visit: Visit) -> web.StreamResponse:
        worker, call = self._parts.worker, self._call(visit)
        if visit.form.get("what") == "dry":
            await call.record("sync.previewed", "library")
            if self._preview is None or self._preview.done():
                self._preview = asyncio.create_task(self._previewed())
            return self._frame.to("/status/preview")
        behind = worker.running is not None
        ticket = worker.ask(Trigger.ADMIN, call.actor)
        await call.record("sync.asked", f"run {ticket.number}", ticket.number)
        return self._frame.to("/status", said="queued" if behind else "asked", run=ticket.number)

    async def _previewed(self) -> dict[str, Any]:
        """What is shown of a dry run; the whole plan of a large library would stay in memory."""
        result = (await self._site.previews.ask()).as_dict()
        plan = result.pop("plan")
        return {**result, "plan": plan[:_PLANNED], "planned": len(plan), "at": self._parts.clock()}

    async def preview(self, visit: Visit) -> web.StreamResponse:
        if self._preview is None:
            return self._frame.to("/status")
        await asyncio.wait({self._preview}, timeout=_SOON)
        result = self._preview.result() if self._preview.done() else None
        return self._page(visit, "preview.html", result=result)

    async def cancel(self, visit: Visit) -> web.StreamResponse:
        await admin.cancel(self._call(visit, self._run_id(visit)))
        return self._frame.to("/status", said="cancelled", run=self._run_id(visit))

    async def confirm(self, visit: Visit) -> web.StreamResponse:
        number, verb = self._run_id(visit), visit.request.match_info["verb"]
        found = await self._view(number, Wanted(limit=0))
        if verb == "undo":
            possible = bool(found.undoable)
        else:
            possible = found.plan is not None and found.plan["state"] == PlanState.OPEN
        return self._page(
            visit,
            "confirm.html",
            status=200 if possible else 409,
            verb=verb,
            found=found,
            possible=possible,
        )

    async def approve(self, visit: Visit) -> web.StreamResponse:
        await plans.approve(self._call(visit, number := self._run_id(visit)))
        return self._frame.to(f"/status/runs/{number}", said="approved")

    async def discard(self, visit: Visit) -> web.StreamResponse:
        await plans.discard(self._call(visit, number := self._run_id(visit)))
        return self._frame.to(f"/status/runs/{number}", said="discarded")

    async def undo(self, visit: Visit) -> web.StreamResponse:
        number = self._run_id(visit)
        titles = await plans.take_back(self._call(visit, number))
        return self._page(visit, "undone.html", number=number, titles=titles)

    async def test_hook(self, visit: Visit) -> web.StreamResponse:
        return self._page(visit, "hook.html", outcome=await hooks.tested(self._call(visit)))

    async def close(self, _: web.Application) -> None:
        if self._preview is not None:
            self._preview.cancel()
            await asyncio.wait({self._preview})

    def _page(self, visit: Visit, name: str, *, status: int = 200, **values: Any) -> web.Response:
        return self._frame.page(visit.request, name, status=status, **values)

    def _run_id(self, visit: Visit) -> int:
        return _read(RunRef, {"run_id": visit.request.match_info["run_id"]}, 404).run_id

    async def _view(self, number: int, wanted: Wanted) -> RunView:
        if (found := await self._parts.store.run_view(number, wanted)) is not None:
            return found
        waiting = self._parts.worker.waiting
        if waiting is not None and waiting.number == number:
            raise Problem(404, f"Run {number} has not begun: it waits for the one that is going.")
        raise Problem(404, f"There is no run {number}.")

    def _call(self, visit: Visit, run_id: int | None = None) -> Call[Any, Asked]:
        """The same request as the API takes it."""
        query = Asked() if run_id is None else RunRef(run_id=run_id)
        return Call(self._site, visit.request, query, Asked())


def _read(model: type[_Model], given: Mapping[str, str], status: int) -> _Model:
    try:
        return model.model_validate({k: v for k, v in given.items() if k in model.model_fields})
    except ValidationError:
        raise Problem(status, "There is nothing at this address.") from None


async def _as_json(
    run: Mapping[str, Any], portions: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[str]:
    yield f'{{"run": {json.dumps(run)}, "decisions": ['
    comma = ""
    async for portion in portions:
        for one in portion:
            yield f"{comma}\n{json.dumps(one)}"
            comma = ","
    yield "\n]}\n"


async def _as_csv(
    _: Mapping[str, Any], portions: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[str]:
    yield ",".join(_COLUMNS) + "\r\n"
    async for portion in portions:
        text = io.StringIO()
        rows = ([_cell(one.get(name)) for name in _COLUMNS] for one in portion)
        csv.writer(text).writerows(rows)
        yield text.getvalue()


def _cell(value: object) -> object:
    """A title may look like a formula, which a spreadsheet would carry out."""
    formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if formula else value
