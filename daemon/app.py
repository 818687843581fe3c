"""The composition root: opens what is needed, builds the objects in order, closes in reverse."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Protocol

from daemon.apply.pending import PendingService
from daemon.apply.run import Options, SyncService
from daemon.errors import DaemonError
from daemon.logs import logger
from daemon.observe.hints import ArrMemory
from daemon.observe.sources import Service, Services
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from daemon.report.notify import Notifications
from daemon.report.progress import Feed
from daemon.services import qbittorrent, seerr, shoko
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import JellyfinClient
from daemon.settings import Qbittorrent, Settings
from daemon.store import Store, audit, history, open_store, open_store_to_look
from daemon.store.database import is_there
from daemon.triggers.heartbeat import Heartbeat, Notifier
from daemon.triggers.hints import HintDebouncer
from daemon.triggers.pending import PendingWatch
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from daemon.triggers.schedule import Schedule
from daemon.web import Dependencies, served

_log = logger(__name__)
_USUAL = RetryPolicy()
_Entered = Callable[[str, str, dict[str, str], RetryPolicy], Awaitable[ServiceHttp]]
"""Opens the way to a service: its name, its address, our headers, and how long to wait."""


class Serving(Protocol):
    """A part of the daemon that works in the background until it is cancelled."""

    async def serve(self) -> None:
        """Work."""


async def run(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[[str], None] = lambda _: None,
    notifier: Notifier | None = None,
) -> None:
    """Run the daemon until `stop` is set; `ready` hears the address once everything is up.

    Raises:
        DaemonError: it cannot start.
        ExceptionGroup: one of its parts died.
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
                tasks.append(group.create_task(parts.schedule.do("housekeeping")))
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
    """Build the daemon: what the web shows and steers, and what serves in the background."""
    feed, health = Feed(), Health(services.meters)
    service = SyncService(services, store, options(settings), health)
    worker = Worker(service, feed, next_run)
    quick = QuickCheck(services.jellyfin, service, worker)
    schedule = Schedule(
        worker, settings.sync, quick=quick.look, housekeeping=partial(_housekeeping, store)
    )
    hints = HintDebouncer(worker, service, store, partial(schedule.do, "quick"), settings.webhook)
    watch: PendingWatch | None = None
    if settings.seerr is not None:  # it alone tells what is requested
        policy, number = pending_policy(settings), worker.take_number
        passes = PendingService(services, store, service.arrs, policy, health, number)
        watch = PendingWatch(passes, settings.pending, settings.sync.quick, hints.expect)
        worker.ended.append(watch.ran)
    notifications = Notifications(settings.notify, f"{settings.http.address}/status")
    heartbeat = Heartbeat(worker, notifier)
    worker.began.append(notifications.began)
    worker.ended.extend((schedule.ran, notifications.ended))
    health.changed.append(notifications.changed)
    parts = Dependencies(
        settings=settings,
        store=store,
        worker=worker,
        service=service,
        feed=feed,
        health=health,
        intake=hints,
        services=services,
        heartbeat=heartbeat,
        schedule=schedule,
        pending=watch,
    )
    background = (worker, schedule, hints, notifications, heartbeat)
    return parts, background if watch is None else (*background, watch)


def pending_policy(settings: Settings) -> PendingPolicy:
    """How passes over titles on their way decide, as configured."""
    return PendingPolicy(settings.removal.policy, settings.pending.limit)


async def _housekeeping(store: Store) -> str:
    await history.housekeep(store)
    verdict = await store.read(audit.verify)
    store.audit_ok = verdict.broken_at is None
    if store.audit_ok:
        _log.info("audit.verified", events=verdict.events, head=verdict.head)
        return "details of old runs forgotten, the audit is whole"
    _log.error("audit.broken", events=verdict.events, broken_at=verdict.broken_at)
    return "details of old runs forgotten, but the audit is broken"


@asynccontextmanager
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


@asynccontextmanager
async def open_sync(settings: Settings) -> AsyncIterator[SyncService]:
    """A service that can run, with the tracker's file held for this process.

    Raises:
        StoreError: the file cannot be used.
    """
    async with open_store(settings.database) as store, open_services(settings) as services:
        await store.write(history.interrupt_stale)
        yield SyncService(services, store, options(settings))


@asynccontextmanager
async def open_pending(settings: Settings) -> AsyncIterator[PendingService]:
    """A service that can make passes, with the tracker's file held for this process.

    Raises:
        StoreError: the file cannot be used.
    """
    async with open_store(settings.database) as store, open_services(settings) as services:
        policy, health = pending_policy(settings), Health(services.meters)
        yield PendingService(services, store, ArrMemory(services), policy, health)


@asynccontextmanager
async def open_preview(settings: Settings) -> AsyncIterator[SyncService]:
    """A service that can only preview; no file is made or changed."""
    async with AsyncExitStack() as stack:
        store: Store | None = None
        if is_there(settings.database):
            looked_at = open_store_to_look(settings.database, foreign=True)
            store = await stack.enter_async_context(looked_at)
        services = await stack.enter_async_context(open_services(settings))
        yield SyncService(services, store, options(settings))


@asynccontextmanager
async def open_services(
    settings: Settings, patience: RetryPolicy | None = None
) -> AsyncIterator[Services]:
    """The clients of all configured instances."""
    jellyfin = settings.jellyfin
    proof = f'MediaBrowser Token="{jellyfin.api_key.get_secret_value()}"'
    async with AsyncExitStack() as stack:

        async def entered(
            name: str, url: str, headers: dict[str, str], usual: RetryPolicy = _USUAL
        ) -> ServiceHttp:
            http = ServiceHttp(name, url, headers, patience or usual)
            return await stack.enter_async_context(http)

        library = JellyfinClient(await entered(JELLYFIN, jellyfin.url, {"Authorization": proof}))
        others: list[Service] = []
        for one in settings.instances:
            http = await entered(one.label, one.url, {"X-Api-Key": one.api_key.get_secret_value()})
            kind = APPLICATIONS[one.kind]
            others.append(ArrClient(http, kind, primary=one.primary, is_4k=one.is_4k))
        if (part := settings.seerr) is not None:
            key = {"X-Api-Key": part.api_key.get_secret_value()}
            http = await entered(seerr.SERVICE, part.url, key, seerr.PATIENCE)
            others.append(seerr.SeerrClient(http))
        if settings.qbittorrent is not None:
            others.append(await _qbittorrent(settings.qbittorrent, entered))
        if (part := settings.shoko) is not None:
            key = {"apikey": part.api_key.get_secret_value()}
            http = await entered(shoko.SERVICE, part.url, key, shoko.PATIENCE)
            others.append(shoko.ShokoClient(http))
        yield Services(library, tuple(others))


async def _qbittorrent(part: Qbittorrent, entered: _Entered) -> qbittorrent.QbittorrentClient:
    key = {"Authorization": f"Bearer {part.api_key.get_secret_value()}"} if part.api_key else {}
    http = await entered(qbittorrent.SERVICE, part.url, key, qbittorrent.PATIENCE)
    password = part.password.get_secret_value() if part.password else ""
    return qbittorrent.QbittorrentClient(http, part.username or "", password)


def options(settings: Settings) -> Options:
    """How runs work, as configured."""
    return Options(
        public_url=settings.jellyfin.public_url,
        page_size=settings.sync.page_size,
        batch_size=settings.sync.batch_size,
        removal=settings.removal.policy,
        plan_age=settings.removal.hold_for,
        configuration=settings.fingerprint,
    )
