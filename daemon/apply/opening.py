"""What commands and the daemon share: the clients, the tracker's file, and a run over both."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from daemon.apply.run import Options, SyncService
from daemon.domain import RemovalMode, RemovalPolicy
from daemon.observe.sources import Services, Source
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import JellyfinClient
from daemon.settings import Settings
from daemon.store import Store, is_there, open_store, open_store_to_look


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, patience: RetryPolicy | None = None
) -> AsyncIterator[Services]:
    """The clients of all configured instances."""
    patience = patience or RetryPolicy()
    jellyfin = settings.jellyfin
    proof = f'MediaBrowser Token="{jellyfin.api_key.get_secret_value()}"'
    http = ServiceHttp(JELLYFIN, jellyfin.url, {"Authorization": proof}, patience)
    async with contextlib.AsyncExitStack() as stack:
        library = JellyfinClient(await stack.enter_async_context(http))
        sources: list[Source] = []
        for one in settings.instances:
            key = {"X-Api-Key": one.api_key.get_secret_value()}
            http = ServiceHttp(one.label, one.url, key, patience)
            http = await stack.enter_async_context(http)
            sources.append(ArrClient(http, APPLICATIONS[one.kind], primary=one.primary))
        yield Services(library, tuple(sources))


def removal_policy(settings: Settings) -> RemovalPolicy:
    """What it takes to remove a title, as configured."""
    removal = settings.removal
    return RemovalPolicy(
        mode=RemovalMode(removal.mode),
        sightings=removal.sightings,
        grace=removal.grace,
        limit_percent=removal.limit_percent,
        limit_titles=removal.limit_titles,
        limit_total_percent=removal.limit_total_percent,
    )


def options(settings: Settings) -> Options:
    """How runs work, as configured."""
    return Options(
        public_url=settings.jellyfin.public_url,
        page_size=settings.sync.page_size,
        batch_size=settings.sync.batch_size,
        removal=removal_policy(settings),
        plan_age=settings.removal.hold_for,
        configuration=settings.fingerprint,
    )


@contextlib.asynccontextmanager
async def open_sync(
    settings: Settings,
) -> AsyncIterator[SyncService]:
    """A service that can run, with the tracker's file held for this process.

    Raises:
        StoreError: the file cannot be used.
    """
    async with open_store(settings.database) as store, open_services(settings) as services:
        await store.interrupt_stale()
        yield SyncService(services, store, options(settings))


@contextlib.asynccontextmanager
async def open_preview(
    settings: Settings,
) -> AsyncIterator[SyncService]:
    """A service that can only preview; no file is made or changed."""
    async with contextlib.AsyncExitStack() as stack:
        store: Store | None = None
        if is_there(settings.database):
            store = await stack.enter_async_context(open_store_to_look(settings.database))
        services = await stack.enter_async_context(open_services(settings))
        yield SyncService(services, store, options(settings))
