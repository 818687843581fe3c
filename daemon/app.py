"""The composition root: opens what is needed, builds the objects in order, closes in reverse."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from daemon.apply.pending import PendingService
from daemon.apply.run import SyncService
from daemon.errors import DaemonError
from daemon.logs import logger
from daemon.observe.sources import Services
from daemon.opening import open_services, options, pending_policy
from daemon.report.health import Health
from daemon.report.notify import Notifications
from daemon.report.progress import Feed
from daemon.settings import Settings
from daemon.store import Store, audit, history, open_store
from daemon.triggers.heartbeat import Heartbeat, Notifier
from daemon.triggers.hints import HintDebouncer
from daemon.triggers.pending import PendingWatch
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from daemon.triggers.schedule import Schedule
from daemon.web import Dependencies, served

_log = logger(__name__)


class Serving(Protocol):
    """A part of the daemon that works in the background until it is cancelled."""

    async def serve(self) -> None:
        """Run forever."""


async def run(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[[str], None] = lambda _: None,
    notifier: Notifier | None = None,
) -> None:
    """Run the daemon until `stop` is set; `ready` gets the URL once everything is up.

    Raises:
        DaemonError: it cannot start.
        ExceptionGroup: a background task failed.
    """
    _log.info("daemon.starting")
    notifier = notifier or Notifier()
    async with open_store(settings.database) as store, open_services(settings) as services:
        for number in await store.write(history.interrupt_stale):
            _log.warning("run.abandoned", run=number)
        next_run = await store.read(history.next_number)
        parts, background = assemble(settings, store, services, next_run, notifier)
        # What was made so far stays; to look through it for garbage would stop the loop for 40 ms.
        gc.freeze()
        async with _first_of_ours(), asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[Any]] = [group.create_task(p.serve()) for p in background]
            async with served(parts) as url:
                parts.schedule.start()
                notifier.ready(parts.heartbeat.status)
                # A machine that sleeps at night would never verify its audit.
                tasks.append(group.create_task(parts.schedule.run_job("housekeeping")))
                _log.info("daemon.ready", url=url)
                ready(url)
                await stop.wait()
                _log.info("daemon.stopping")
                notifier.stopping()
                parts.schedule.stop()
            for task in tasks:
                task.cancel()
    _log.info("daemon.stopped")


def assemble(
    settings: Settings, store: Store, services: Services, next_run: int, notifier: Notifier
) -> tuple[Dependencies, tuple[Serving, ...]]:
    """Build the daemon: the web's dependencies, and the background tasks."""
    feed, health = Feed(), Health(services.meters)
    service = SyncService(services, store, options(settings), health)
    worker = Worker(service, feed, next_run)
    quick = QuickCheck(services.jellyfin, service, worker)
    schedule = Schedule(
        worker, settings.sync, quick=quick.check, housekeeping=partial(_housekeeping, store)
    )
    hints = HintDebouncer(
        worker, service, store, partial(schedule.run_job, "quick"), settings.webhook
    )
    watch: PendingWatch | None = None
    if settings.seerr is not None:  # it alone tells what is requested
        policy, number = pending_policy(settings), worker.take_number
        passes = PendingService(services, store, service.arrs, policy, health, number)
        passes.on_change = partial(feed.publish, "pending", {})
        service.passes = passes
        watch = PendingWatch(passes, settings.pending, settings.sync.quick, hints.on_import)
    notifications = Notifications(settings.notify, f"{settings.http.address}/status")
    heartbeat = Heartbeat(worker, notifier)
    worker.on_start.append(notifications.began)
    worker.on_end.extend((schedule.on_run_end, notifications.ended))
    health.changed.append(notifications.changed)
    parts = Dependencies(
        settings=settings,
        store=store,
        worker=worker,
        service=service,
        feed=feed,
        health=health,
        hints=hints,
        services=services,
        heartbeat=heartbeat,
        schedule=schedule,
        pending=watch,
    )
    background = (worker, schedule, hints, notifications, heartbeat)
    return parts, background if watch is None else (*background, watch)


async def _housekeeping(store: Store) -> str:
    await history.housekeep(store)
    verdict = await store.read(audit.verify)
    store.audit_ok = verdict.broken_at is None
    if store.audit_ok:
        _log.info("audit.verified", events=verdict.events, head=verdict.head)
        return "old details pruned, the audit is intact"
    _log.error("audit.broken", events=verdict.events, broken_at=verdict.broken_at)
    return "details of old runs forgotten, but the audit is broken"


@asynccontextmanager
async def _first_of_ours() -> AsyncIterator[None]:
    """Raise the DaemonError inside an exception group, if there is one."""
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
