"""A whole site on the pretend services: real file, real worker, real server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession

from daemon.app import assemble
from daemon.opening import open_services
from daemon.store import audit, history, open_store
from daemon.triggers.heartbeat import Notifier
from daemon.triggers.queue import Worker
from daemon.triggers.schedule import Schedule
from daemon.web import Dependencies, Limits, served
from tests.answer import Answer
from tests.builders import NOW, configured
from tests.pretend import PretendServices, World
from tests.pretend.jellyfin import ADMIN
from tests.running import a_world

HOOK_SECRET = "hook-secret-0123456789"
ADMIN_TOKEN = "admin-token-5ecret"
AS_ADMIN = {"X-Jellyfin-Token": ADMIN.token}
AS_CRON = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SLOWLY = "/System/Info/Public"


@dataclass
class Clock:
    """A clock that only a test moves."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """The seconds now."""
        return self.seconds


@dataclass(frozen=True)
class Stand:
    """A site that is served, and what is around it."""

    services: PretendServices
    parts: Dependencies
    url: str
    session: ClientSession
    clock: Clock
    file: Path

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] = AS_ADMIN, **request: Any
    ) -> Answer:
        """Ask once, as an administrator unless other headers are given."""
        async with self.session.request(
            method, self.url + path, headers=headers, **request
        ) as reply:
            return await Answer.of(reply)

    @asynccontextmanager
    async def listening(self, headers: Mapping[str, str] | None = None) -> AsyncIterator[Listener]:
        """A client of the event stream."""
        sent = {**AS_ADMIN, **(headers or {})}
        async with self.session.get(self.url + "/admin/sync/events", headers=sent) as reply:
            assert reply.status == 200
            yield Listener(reply)

    async def audited(self, *actions: str) -> list[dict[str, Any]]:
        """The audit events of these actions, the oldest first."""
        events = (await self.parts.store.read(audit.events, None, 1000)).rows
        return [asdict(event) for event in reversed(events) if event.action in actions]

    def spoil(self) -> None:
        """Make the tracker's file unusable."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("DROP TABLE sync_runs")

    def asked_who(self) -> int:
        """How often Jellyfin was asked for somebody's name."""
        return self.calls("/Users/Me")

    def readings(self) -> int:
        """How many readings of the library began."""
        return self.calls(SLOWLY)

    def calls(self, path: str) -> int:
        """How often Jellyfin was asked for a path."""
        return [call.path for call in self.services.calls("jellyfin")].count(path)


@dataclass
class Listener:
    """Reads server-sent events."""

    reply: ClientResponse
    comments: list[str] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """The next event: its id, its kind, its data."""
        while True:
            block = await self.reply.content.readuntil(b"\n\n")
            lines = [line.partition(": ")[::2] for line in block.decode().strip().split("\n")]
            if lines[0][0] == "id":
                fields = dict(lines)
                return {**fields, "data": json.loads(fields["data"])}
            self.comments.append(block.decode())


async def _nothing() -> str:
    return "nothing was done"


class Planned(Schedule):
    """A schedule that is never started, so that nothing is done by itself."""

    def __init__(self, parts: Dependencies, planned: Callable[[], datetime | None]) -> None:
        sync, quick = parts.settings.sync, parts.schedule.jobs["quick"].work
        super().__init__(parts.worker, sync, quick=quick, housekeeping=_nothing, clock=lambda: NOW)
        self._planned = planned

    def next_of(self, name: str) -> datetime | None:
        """When a job would be due."""
        return None if name == "retry" or self.jobs[name].paused else self._planned()


@asynccontextmanager
async def standing(
    folder: Path,
    *,
    limits: Limits | None = None,
    next_run: Callable[[], datetime | None] = lambda: NOW + timedelta(hours=6),
    hook_secret: str | None = HOOK_SECRET,
    world: World | None = None,
    besides: Collection[str] = (),
    **http: Any,
) -> AsyncIterator[Stand]:
    """The daemon, but only its queue and site at work; `http` are settings of that section."""
    async with PretendServices(world or a_world(), besides=besides) as services:
        web = {"port": 0, "admin_token": ADMIN_TOKEN, **http}
        settings = configured(
            services, folder / "tracker.db", http=web, webhook={"secret": hook_secret}
        )
        async with (
            open_store(settings.database, clock=lambda: NOW) as store,
            open_services(settings) as clients,
            ClientSession() as session,
        ):
            clock = Clock()
            parts, _ = assemble(
                settings, store, clients, await store.read(history.next_number), Notifier({})
            )
            parts.heartbeat.lag = 0.25
            parts = replace(
                parts,
                schedule=Planned(parts, next_run),
                clock=lambda: NOW,
                limits=limits or Limits(),
                monotonic=clock,
            )
            async with _serving(parts.worker), served(parts) as url:
                yield Stand(services, parts, url, session, clock, settings.database)


@asynccontextmanager
async def _serving(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
