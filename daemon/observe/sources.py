"""Asks every service at once for what is around the library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from daemon.domain import ItemError, SourceFailure
from daemon.errors import ServiceError
from daemon.services.arr import ArrClient
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import Counts, EpisodeList, JellyfinClient, Server
from daemon.snapshot import Activity, Report

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of all configured services."""

    jellyfin: JellyfinClient
    radarr: ArrClient | None = None
    sonarr: ArrClient | None = None

    @property
    def arrs(self) -> tuple[ArrClient, ...]:
        """Every configured Radarr and Sonarr."""
        return tuple(one for one in (self.radarr, self.sonarr) if one is not None)


@dataclass(slots=True)
class Problems:
    """What could not be asked, and what was broken in the answers."""

    gaps: list[SourceFailure] = field(default_factory=list)
    defects: list[ItemError] = field(default_factory=list)

    def miss(self, error: ServiceError) -> None:
        """Note a service that could not be asked, once."""
        gap = SourceFailure(error.service, error.kind, str(error))
        if gap not in self.gaps:
            self.gaps.append(gap)

    async def helped(self, question: Awaitable[_T]) -> _T | None:
        """The answer to a question that the rest can do without; None where it failed."""
        try:
            return await question
        except ServiceError as error:
            self.miss(error)
            return None


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known before the library is read.

    Attributes:
        counts: None where Jellyfin did not tell.
        first: the episodes numbered 1; None where Jellyfin did not tell.
        distrust: why nothing may be called gone, in plain words; "" if it can be trusted.
        reports: one of every configured Radarr and Sonarr.
        listed: by service, how many titles Radarr and Sonarr have.
        folders_away: by service, the root folders that Radarr and Sonarr cannot reach.
    """

    server: Server
    activity: Activity
    counts: Counts | None
    first: EpisodeList | None
    distrust: str
    reports: tuple[Report, ...]
    versions: dict[str, str]
    listed: dict[str, int] = field(default_factory=dict)
    folders_away: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def survey(
    services: Services,
    problems: Problems,
    expected: str | None = None,
    library: str | None = None,
) -> Survey:
    """Ask everything but the library itself, all services at the same time.

    Args:
        services: whom to ask.
        problems: gets what could not be asked.
        expected: id of the server that is known; None before the first.
        library: id of the only library whose series matter; None means all.

    Raises:
        ServiceError: Jellyfin cannot be asked; without it nothing can be said.
    """
    async with first_error() as group:
        asked = group.create_task(_jellyfin(services.jellyfin, problems, library))
        answers = [group.create_task(_arr(arr, problems)) for arr in services.arrs]
    server, activity, counts, first, owner = asked.result()
    arrs = [answer.result() for answer in answers]
    return Survey(
        server=server,
        activity=activity,
        counts=counts,
        first=first,
        distrust=distrusted(server, expected) or owner,
        reports=tuple(arr.report for arr in arrs),
        versions={JELLYFIN: server.version}
        | {arr.report.instance: arr.version for arr in arrs if arr.version},
        listed={arr.report.instance: arr.records for arr in arrs if arr.records is not None},
        folders_away={arr.report.instance: arr.away for arr in arrs if arr.away is not None},
    )


def distrusted(server: Server, expected: str | None) -> str:
    """Why a server is not the one that is known; "" if it is."""
    if expected is None or server.id == expected:
        return ""
    return (
        f"this is another Jellyfin server ({server.id}) than before ({expected}); nothing is"
        " removed or linked anew until an admin says that it is the right one"
    )


async def _jellyfin(
    jellyfin: JellyfinClient, problems: Problems, library: str | None
) -> tuple[Server, Activity, Counts | None, EpisodeList | None, str]:
    """The state is read first: a scan that starts later must not go unseen."""
    server = await jellyfin.server()
    owner = await _owner(jellyfin, problems)
    activity = await jellyfin.activity()
    counts = await problems.helped(jellyfin.counts())
    first = await problems.helped(jellyfin.first_episodes(library))
    return server, activity, counts, first, owner


async def _owner(jellyfin: JellyfinClient, problems: Problems) -> str:
    """Why the key may not show everything; "" for a real API key."""
    try:
        person = await jellyfin.owner()
    except ServiceError as error:
        problems.miss(error)
        return "Jellyfin did not tell whose key this is"
    if person is None:
        return ""
    return (
        f"the API key is the token of a person ({person}), who may not see everything; make an API"
        " key in Jellyfin's dashboard; until then nothing is removed or linked anew"
    )


@dataclass(frozen=True, slots=True)
class _Arr:
    report: Report
    version: str = ""
    records: int | None = None
    away: tuple[str, ...] | None = None


async def _arr(client: ArrClient, problems: Problems) -> _Arr:
    name = client.http.service
    unknown = Report(name, client.media_type)
    try:
        version = await client.version()
        listing = await client.listing()
    except ServiceError as error:
        problems.miss(error)
        return _Arr(unknown)
    problems.defects.extend(listing.defects)
    report = replace(unknown, titles=listing.titles, whole=listing.whole, counts=listing.counts)
    away: tuple[str, ...] | None = None
    with contextlib.suppress(ServiceError):  # good to know, no more
        away = await client.folders_away()
    return _Arr(report, version, listing.records, away)


@contextlib.asynccontextmanager
async def first_error() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first service's error itself, not a group of them."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except* ServiceError as errors:
        failures = errors.exceptions
    else:
        return
    raise failures[0]


async def each(
    values: list[str], ask: Callable[[str], Awaitable[_T]], at_once: int = 4
) -> list[_T]:
    """The answers to one question about many values, a few at once.

    Raises:
        ServiceError: one of them failed.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(value: str) -> _T:
        async with gate:
            return await ask(value)

    async with first_error() as group:
        tasks = [group.create_task(one(value)) for value in values]
    return [task.result() for task in tasks]
