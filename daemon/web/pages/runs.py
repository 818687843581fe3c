"""The pages of runs, and the actions on a run."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from aiohttp import web

from daemon.domain import Outcome, Trigger
from daemon.reasons import UNDONE, Group
from daemon.store import glance, history
from daemon.store.glance import SHOWN, RunView, Wanted
from daemon.store.history import RunFilter
from daemon.web import actions, admin, view
from daemon.web.frame import PageRequest
from daemon.web.models import RunQuery, RunsOfDays
from daemon.web.pages.base import RUN, Pages, read
from daemon.web.problems import Problem

_ROWS: Final = 50
_RUNS: Final = 30
_VERBS: Final = ("approve", "discard", "undo")


class RunPages(Pages):
    """The pages of runs."""

    def _serve(self) -> None:
        self._get("/status/runs", self._runs)
        self._get(RUN, self._run)
        self._get(f"{RUN}/{{verb:{'|'.join(_VERBS)}}}", self._confirm, admin=True)
        self._post(f"{RUN}/cancel", self._cancel)
        self._post(f"{RUN}/approve", self._approve)
        self._post(f"{RUN}/discard", self._discard)
        self._post(f"{RUN}/undo", self._undo)

    async def _runs(self, visit: PageRequest) -> web.StreamResponse:
        filled = {name: value for name, value in visit.request.query.items() if value}
        query = read(RunsOfDays, filled, 400)
        given = query.model_dump(mode="json", exclude_none=True)
        since, until = query.since, query.until and query.until + timedelta(days=1)
        wanted = RunFilter(query.outcome, query.trigger, _midnight(since), _midnight(until))
        lines, more = await self._parts.store.read(history.lines, query.before, _RUNS, wanted)
        days = {"since": since, "until": until}
        moments = {name: f"{day}T00:00:00Z" for name, day in days.items() if day}
        return self._page(
            visit,
            "runs.html",
            lines=lines,
            more=more,
            given={name: value for name, value in given.items() if name != "before"},
            same={**given, **moments, "limit": _RUNS},
            outcomes=[*Outcome],
            triggers=[*Trigger],
        )

    async def _run(self, visit: PageRequest) -> web.StreamResponse:
        number, query = self._run_id(visit), visit.request.query
        show, text = query.get("show", ""), query.get("q", "")[:200]
        after = read(RunQuery, {"run_id": str(number), **query}, 400).after
        groups = (*Group,) if visit.admin else SHOWN
        tickets = (self._parts.worker.waiting, self._parts.worker.running)
        queued = any(one is not None and one.number == number for one in tickets)
        found = await self._found(number, Wanted(show, text, after, _ROWS, groups))
        if found is None and queued:  # its row comes a moment after its start
            return self._page(visit, "waiting.html", number=number)
        if found is None:
            raise _unknown(number)
        running = view.current_run(self._facts(await self._parts.store.read(glance.glance)))
        return self._page(
            visit,
            "run.html",
            current_run=running if running and running.run_id == number else None,
            found=found,
            groups=groups,
            guard=view.guarded(found.run),
            rows=found.rows,
            text=text,
            more=found.more,
        )

    async def _confirm(self, visit: PageRequest) -> web.StreamResponse:
        number, verb = self._run_id(visit), visit.request.match_info["verb"]
        found = await self._view(number, Wanted(limit=0))
        if verb == "undo":
            possible = bool(found.undoable)
        else:
            possible = found.plan is not None and found.plan.waits
        return self._page(
            visit,
            "confirm.html",
            status=200 if possible else 409,
            verb=verb,
            found=found,
            possible=possible,
            nouns=UNDONE,
        )

    async def _cancel(self, visit: PageRequest) -> web.StreamResponse:
        await admin.cancel(self._call(visit, self._run_id(visit)))
        return self._frame.to("/status", said="cancelled", run=self._run_id(visit))

    async def _approve(self, visit: PageRequest) -> web.StreamResponse:
        ticket = await actions.approved(self._call(visit, self._run_id(visit)))
        return self._frame.to(f"/status/runs/{ticket.number}", said="approved", run=ticket.number)

    async def _discard(self, visit: PageRequest) -> web.StreamResponse:
        await actions.discard(self._call(visit, number := self._run_id(visit)))
        return self._frame.to(f"/status/runs/{number}", said="discarded")

    async def _undo(self, visit: PageRequest) -> web.StreamResponse:
        number = self._run_id(visit)
        titles = await actions.take_back(self._call(visit, number))
        return self._page(visit, "undone.html", number=number, titles=titles)

    async def _view(self, number: int, wanted: Wanted) -> RunView:
        if (found := await self._found(number, wanted)) is None:
            raise _unknown(number)
        return found

    async def _found(self, number: int, wanted: Wanted) -> RunView | None:
        return await self._parts.store.read(glance.view, number, wanted)


def _unknown(number: int) -> Problem:
    return Problem(404, f"There is no run {number}.")


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
