"""The composition root of the daemon: builds its objects in order, closes them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from daemon.apply.opening import open_services, options
from daemon.apply.run import SyncService
from daemon.errors import DaemonError
from daemon.logs import logger
from daemon.observe.sources import Services
from daemon.report.health import Health
from daemon.report.notify import Notifications
from daemon.report.progress import Feed
from daemon.report.sdnotify import Notifier
from daemon.settings import Settings
from daemon.store import Store, open_store
from daemon.triggers.heartbeat import Heartbeat
from daemon.triggers.hints import HintDebouncer
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from daemon.triggers.schedule import Schedule
from daemon.web import Dependencies, served

_log = logger(__name__)


class Serving(Protocol):
    """A part that works until it is cancelled."""

    async def serve(self) -> None:
        """Work."""


class Daemon:
    """The long-running process, its objects in the order in which they are made.

    Args:
        settings: the configuration.
        store: the tracker's file.
        services: the clients.
        next_run: the number of the first run.
        notifier: tells systemd.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        services: Services,
        next_run: int,
        notifier: Notifier,
    ) -> None:
        self._notifier = notifier
        self._store = store
        self._feed = Feed()
        health = Health(services.meters)
        service = SyncService(services, store, options(settings), health)
        self._worker = Worker(service, self._feed, next_run)
        quick = QuickCheck(services.jellyfin, service, self._worker)
        self._schedule = Schedule(
            self._worker, settings.sync, quick=quick.look, housekeeping=self._housekeeping
        )
        self._worker.ended.append(self._schedule.ran)
        self._intake = HintDebouncer(
            self._worker,
            store,
            lambda: self._schedule.do("quick"),
            settings.webhook,
            lambda: service.server_id,
        )
        self._notifications = Notifications(settings.notify, f"{settings.http.address}/status")
        self._worker.began.append(self._notifications.began)
        self._worker.ended.append(self._notifications.ended)
        health.changed.append(self._notifications.changed)
        self._pulse = Heartbeat(self._worker, notifier)
        self._parts = Dependencies(
            settings=settings,
            store=store,
            worker=self._worker,
            service=service,
            feed=self._feed,
            health=health,
            intake=self._intake,
            services=services,
            loop_lag=lambda: self._pulse.lag,
            schedule=self._schedule,
            clock=lambda: datetime.now(UTC),
        )

    async def serve(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Work until told to stop; a part that dies ends it all.

        Args:
            stop: set by whoever wants the end.
            ready: told the address once everything is up.
        """
        async with _first_of_ours(), asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[Any]] = [
                group.create_task(part.serve()) for part in self._serving()
            ]
            async with served(self._parts) as url:
                self._schedule.start()
                self._notifier.ready(self._pulse.status)
                # A machine that sleeps at night would never verify its audit.
                tasks.append(group.create_task(self._schedule.do("housekeeping")))
                _log.info("daemon.ready", url=url)
                ready(url)
                await stop.wait()
                _log.info("daemon.stopping")
                self._notifier.stopping()
                self._schedule.stop()
            for task in tasks:
                task.cancel()

    def _serving(self) -> tuple[Serving, ...]:
        """The parts that work in the background."""
        background = (self._schedule, self._intake, self._notifications, self._pulse)
        return (self._worker, *background)

    async def _housekeeping(self) -> str:
        await self._store.housekeep()
        verdict = await self._store.verify_audit()
        if verdict.broken_at is None:
            _log.info("audit.verified", events=verdict.events, head=verdict.head)
            return "details of old runs forgotten, the audit is whole"
        _log.error("audit.broken", events=verdict.events, broken_at=verdict.broken_at)
        return "details of old runs forgotten, but the audit is broken"


@contextlib.asynccontextmanager
async def _first_of_ours() -> AsyncIterator[None]:
    """Out of a group of errors, the one that a person can do something about."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(DaemonError)
        if ours is None or others is not None:
            raise
        failure = ours.exceptions[0]
    else:
        return
    raise failure


async def run(
    settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] = lambda _: None
) -> None:
    """Run the daemon until `stop` is set.

    Raises:
        DaemonError: it cannot start.
        ExceptionGroup: one of its parts died.
    """
    _log.info("daemon.starting")
    async with open_store(settings.database) as store, open_services(settings) as services:
        for number in await store.interrupt_stale():
            _log.warning("run.interrupted_before", run=number)
        daemon = Daemon(settings, store, services, await store.next_run(), Notifier())
        # What was made so far stays; to look through it for garbage would stop the loop for 40 ms.
        gc.freeze()
        await daemon.serve(stop, ready)
    _log.info("daemon.stopped")
