"""What commands and the daemon open alike: the tracker's file and the clients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from daemon.apply.pending import PendingService
from daemon.apply.quick import saved_since_full_run
from daemon.apply.run import Options, Publish, SyncService
from daemon.domain import Actor, Trigger
from daemon.errors import SettingsError
from daemon.observe.hints import ArrCache
from daemon.observe.sources import Service, Services
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from daemon.report.result import SyncResult, nothing_new
from daemon.services import qbittorrent, seerr, shoko
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import JellyfinClient
from daemon.settings import Qbittorrent, Settings
from daemon.store import Store, history, open_store, open_store_readonly
from daemon.store.database import is_there

_USUAL = RetryPolicy()
_Entered = Callable[[str, str, dict[str, str], RetryPolicy], Awaitable[ServiceHttp]]
"""Opens the way to a service: its name, its address, our headers, and how long to wait."""


@asynccontextmanager
async def open_sync(settings: Settings) -> AsyncIterator[SyncService]:
    """A service for runs, with the tracker's file locked for this process.

    Raises:
        StoreError: the file cannot be used.
    """
    async with open_both(settings) as (_, service):
        yield service


@asynccontextmanager
async def open_both(settings: Settings) -> AsyncIterator[tuple[Store, SyncService]]:
    """Like `open_sync`, and the store, to write an admin's decisions.

    Raises:
        StoreError: the file cannot be used.
    """
    async with open_store(settings.database) as store, open_services(settings) as services:
        await store.write(history.interrupt_stale)
        service = SyncService(services, store, options(settings))
        if settings.seerr is not None:
            arrs, policy = service.arrs, pending_policy(settings)
            service.passes = PendingService(services, store, arrs, policy, service.health)
        yield store, service


async def quick_look(settings: Settings, actor: Actor, publish: Publish) -> SyncResult:
    """Check what Jellyfin has saved since the latest full run, without a daemon.

    Raises:
        ServiceError: Jellyfin cannot be asked.
        StoreError: the file cannot be used.
    """
    began = time.monotonic()
    async with open_store(settings.database) as store, open_services(settings) as services:
        await store.write(history.interrupt_stale)
        scope = await saved_since_full_run(services.jellyfin, store)
        if scope is None:
            return nothing_new(time.monotonic() - began)
        service = SyncService(services, store, options(settings))
        return await service.run(Trigger.CLI, actor, scope, publish=publish)


@asynccontextmanager
async def open_pending(settings: Settings) -> AsyncIterator[PendingService]:
    """A service for passes, with the tracker's file locked for this process.

    Raises:
        SettingsError: Seerr is not configured.
        StoreError: the file cannot be used.
    """
    if settings.seerr is None:
        raise SettingsError("seerr is not configured, and requests come from Seerr only")
    async with open_store(settings.database) as store, open_services(settings) as services:
        policy, health = pending_policy(settings), Health(services.meters)
        yield PendingService(services, store, ArrCache(services), policy, health)


@asynccontextmanager
async def open_preview(settings: Settings) -> AsyncIterator[SyncService]:
    """A service for dry runs only; no file is created or changed."""
    async with AsyncExitStack() as stack:
        store: Store | None = None
        if is_there(settings.database):
            looked_at = open_store_readonly(settings.database, foreign=True)
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


def pending_policy(settings: Settings) -> PendingPolicy:
    """How passes over titles on their way decide, as configured."""
    return PendingPolicy(settings.removal.policy, settings.pending.limit)
