"""The status page and its actions."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from daemon.domain import Scope, Trigger
from daemon.snapshot import LibraryFolder
from daemon.store import attention, glance, on_the_way
from daemon.store.glance import Dashboard
from daemon.triggers.schedule import PAUSABLE, JobRun
from daemon.web import hooks, view
from daemon.web.frame import PageRequest
from daemon.web.pages.base import Pages
from daemon.web.problems import Problem

_FEW: Final = 3
_WAY: Final = 5
_PLANNED: Final = 300
_SOON: Final = 2.0


class StatusPages(Pages):
    """The status page, and what its buttons lead to."""

    _dry_run: asyncio.Task[dict[str, Any] | None] | None = None
    _look: asyncio.Task[JobRun] | None = None

    def _serve(self) -> None:
        self._get("/status", self._status)
        self._get("/status/preview", self._preview, admin=True)
        self._post("/status/sync", self._sync)
        self._post("/status/pause", self._pause)
        self._post("/status/resume", self._resume)
        self._post("/status/hooks/test", self._test_hook)

    async def _status(self, visit: PageRequest) -> web.StreamResponse:
        parts = self._parts
        seen, policy = await parts.store.read(glance.glance), parts.service.removal
        found = await parts.store.read(attention.findings, policy) if visit.admin else []
        schedule, sync, facts = parts.schedule, parts.settings.sync, self._facts(seen)
        return self._page(
            visit,
            "status.html",
            verdict=view.verdict(facts),
            current_run=view.current_run(facts),
            glance=seen,
            way=await parts.store.read(on_the_way.listed, _WAY + 1),
            sources=self._sources(seen) if visit.admin else [],
            needs=[one for one in view.grouped(found, _FEW) if one.kind != "held"],
            jobs=[*view.jobs(seen, schedule.jobs, self._due, sync)],
            pausable=PAUSABLE,
            libraries=[one for one in parts.service.libraries if one.id],
            **self._looked(visit),
            hook=parts.hints.statistics.figures,
            settings=parts.settings,
            sqlite=sqlite3.sqlite_version,
            audit_ok=parts.store.audit_ok,
        )

    def _due(self, job: str) -> datetime | None:
        schedule = self._parts.schedule
        return schedule.next_run if job == "full" else schedule.next_of(job)

    def _looked(self, visit: PageRequest) -> dict[str, Any]:
        """The note about the quick check that was just requested."""
        if not (visit.admin and self._look and visit.request.query.get("said") == "looked"):
            return {}
        words = self._look.result().words if self._look.done() else "Jellyfin has not answered yet"
        return {"note": f"Quick check: {words}."}

    def _sources(self, glance: Dashboard) -> list[view.ServiceView]:
        result = (glance.full.result if glance.full else None) or {}
        return [view.source(health, result) for health in self._parts.health.services.values()]

    async def _sync(self, visit: PageRequest) -> web.StreamResponse:
        worker, call, what = self._parts.worker, self._call(visit), visit.form.get("what")
        if what == "dry":
            await call.record("sync.previewed", "library")
            if self._dry_run is None or self._dry_run.done():
                self._dry_run = asyncio.create_task(self._previewed())
            return self._frame.to("/status/preview")
        if what == "quick":
            await call.record("quick.asked", "library")
            if self._look is None or self._look.done():
                self._look = asyncio.create_task(self._parts.schedule.run_job("quick"))
            await asyncio.wait({self._look}, timeout=_SOON)
            return self._frame.to("/status", said="looked")
        if what not in {"full", "library"}:
            raise Problem(400, "Unknown kind of sync. Nothing was done.")
        behind = worker.running is not None
        only = self._library(visit) if what == "library" else None
        ticket = worker.enqueue(Trigger.ADMIN, call.actor, Scope(library=only.id if only else None))
        reason = f"only {only.name}" if only else None
        await call.record("sync.asked", f"run {ticket.number}", ticket.number, reason)
        return self._frame.to("/status", said="queued" if behind else "asked", run=ticket.number)

    def _library(self, visit: PageRequest) -> LibraryFolder:
        given = visit.form.get("library", "")
        for one in self._parts.service.libraries:
            if one.id and one.id == given:
                return one
        raise Problem(400, "Jellyfin had no such library when it was last read.")

    async def _pause(self, visit: PageRequest) -> web.StreamResponse:
        self._parts.schedule.pause(job := _pausable(visit))
        await self._call(visit).record("job.paused", job)
        return self._frame.to("/status", said="paused")

    async def _resume(self, visit: PageRequest) -> web.StreamResponse:
        self._parts.schedule.resume(job := _pausable(visit))
        await self._call(visit).record("job.resumed", job)
        return self._frame.to("/status", said="resumed")

    async def _previewed(self) -> dict[str, Any] | None:
        """The shown part of a dry run; a large library's whole plan would stay in memory."""
        ended = await asyncio.shield(self._parts.worker.preview())
        if ended is None:
            return None
        result = ended.as_dict()
        plan = result.pop("plan")
        return {**result, "plan": plan[:_PLANNED], "planned": len(plan), "at": self._parts.clock()}

    async def _preview(self, visit: PageRequest) -> web.StreamResponse:
        if self._dry_run is None:
            return self._frame.to("/status")
        await asyncio.wait({self._dry_run}, timeout=_SOON)
        result = self._dry_run.result() if self._dry_run.done() else None
        return self._page(visit, "preview.html", result=result)

    async def _test_hook(self, visit: PageRequest) -> web.StreamResponse:
        return self._page(visit, "hook.html", outcome=await hooks.tested(self._call(visit)))

    async def close(self, _: web.Application) -> None:
        """Cancel background tasks."""
        for task in (self._dry_run, self._look):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})


def _pausable(visit: PageRequest) -> str:
    if (job := visit.form.get("job", "")) in PAUSABLE:
        return job
    raise Problem(400, "No such job can be paused.")
