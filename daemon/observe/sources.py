"""Asks all services concurrently for everything but the library itself."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from daemon.domain import ItemError, SourceFailure
from daemon.errors import DaemonError, ServiceError, UnforeseenError
from daemon.logs import logger
from daemon.services.arr import ArrClient
from daemon.services.http import CallStats, ServiceHttp
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import Counts, EpisodeList, JellyfinClient, Server
from daemon.snapshot import Activity, Report

_log = logger(__name__)
_T = TypeVar("_T")


class Service(Protocol):
    """One configured instance of a service, named by `http.service`."""

    http: ServiceHttp

    async def check(self) -> str:
        """Describe what answers there, in plain words.

        Raises:
            ServiceError: it does not answer, or it is another service.
        """


_Client = TypeVar("_Client", bound=Service)


@contextlib.contextmanager
def error_boundary(service: Service) -> Iterator[None]:
    """Contain an unexpected exception as a failure of one service.

    Raises:
        UnforeseenError: in its place; the traceback is in the log.
    """
    try:
        yield
    except DaemonError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a service sends is its own failure
        name, kind = service.http.service, type(error).__name__
        stack = "".join(traceback.format_exception(error, limit=-16))
        text = str(error)
        _log.error(
            "service.unexpected_error", source=name, error_kind=kind, error=text, stack=stack
        )
        raise UnforeseenError(name, service.http.url, kind) from None


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of all configured instances; Jellyfin is iterated first."""

    jellyfin: JellyfinClient
    others: tuple[Service, ...] = ()

    def __iter__(self) -> Iterator[Service]:
        yield self.jellyfin
        yield from self.others

    def of(self, kind: type[_Client]) -> list[_Client]:
        """The instances of one kind, the primary ones first."""
        return [one for one in self.others if isinstance(one, kind)]

    @property
    def meters(self) -> dict[str, CallStats]:
        """Call statistics by instance name."""
        return {one.http.service: one.http.meter for one in self}


@dataclass(slots=True)
class Problems:
    """Collects failed requests and broken records."""

    gaps: list[SourceFailure] = field(default_factory=list)
    defects: list[ItemError] = field(default_factory=list)

    def miss(self, error: ServiceError) -> None:
        """Record the failure of a service, once."""
        gap = SourceFailure(error.service, error.kind, str(error))
        if gap not in self.gaps:
            self.gaps.append(gap)

    def take(self, report: Report) -> Report:
        """Record the gaps and defects of a report; returns the report."""
        self.gaps.extend(gap for gap in report.gaps if gap not in self.gaps)
        self.defects.extend(report.defects)
        return report

    async def part(self, of: Service, question: Awaitable[_T], otherwise: _T) -> _T:
        """A service's answer, or a default after an unexpected exception."""
        try:
            with error_boundary(of):
                return await question
        except UnforeseenError as error:
            self.miss(error)
            return otherwise

    async def optional(self, question: Awaitable[_T]) -> _T | None:
        """The answer to an optional question; None if it failed."""
        try:
            return await question
        except ServiceError as error:
            self.miss(error)
            return None


@dataclass(frozen=True, slots=True)
class Sources:
    """What the services said, apart from the library itself.

    Attributes:
        counts: None if Jellyfin did not say.
        first: the episodes numbered 1; None if Jellyfin did not say.
        distrust: why nothing may be considered gone, in plain words; "" if it may.
        reports: one of every other instance.
    """

    server: Server
    activity: Activity
    counts: Counts | None
    first: EpisodeList | None
    distrust: str
    reports: tuple[Report, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Versions by instance name, as far as known."""
        theirs = {one.instance: one.version for one in self.reports if one.version}
        return {JELLYFIN: self.server.version, **theirs}


async def collect_sources(
    services: Services,
    problems: Problems,
    expected: str | None = None,
    library: str | None = None,
) -> Sources:
    """Ask all services concurrently for everything but the library itself.

    Args:
        services: the ones to ask.
        problems: collects failures.
        expected: id of the known server; None before the first.
        library: id of the only library whose series matter; None means all.

    Raises:
        ServiceError: Jellyfin cannot be asked.
    """
    async with first_error() as group:
        asked = group.create_task(_jellyfin(services.jellyfin, problems, library))
        answers = [group.create_task(_report(arr)) for arr in services.of(ArrClient)]
    server, activity, counts, first, owner = asked.result()
    return Sources(
        server=server,
        activity=activity,
        counts=counts,
        first=first,
        distrust=distrusted(server, expected) or owner,
        reports=tuple(problems.take(answer.result()) for answer in answers),
    )


async def _report(arr: ArrClient) -> Report:
    try:
        with error_boundary(arr):
            return await arr.report()
    except UnforeseenError as error:
        return replace(arr.unknown, gaps=(SourceFailure(error.service, error.kind, str(error)),))


def distrusted(server: Server, expected: str | None) -> str:
    """Why a server is not the known one; "" if it is."""
    if expected is None or server.id == expected:
        return ""
    return (
        f"this is another Jellyfin server ({server.id}) than before ({expected}); nothing is"
        " removed or relinked until an admin says that it is the right one"
    )


async def _jellyfin(
    jellyfin: JellyfinClient, problems: Problems, library: str | None
) -> tuple[Server, Activity, Counts | None, EpisodeList | None, str]:
    """Ask Jellyfin; the scan state comes first, so that a later scan is noticed."""
    server = await jellyfin.server()
    owner = await _owner(jellyfin, problems)
    activity = await jellyfin.activity()
    counts = await problems.optional(jellyfin.counts())
    first = await problems.optional(jellyfin.first_episodes(library))
    return server, activity, counts, first, owner


async def _owner(jellyfin: JellyfinClient, problems: Problems) -> str:
    """Why the key may not see everything; "" for a real API key."""
    try:
        person = await jellyfin.owner()
    except ServiceError as error:
        problems.miss(error)
        return "Jellyfin did not say whose key this is"
    if person is None:
        return ""
    return (
        f"the API key is the token of a person ({person}), who may not see everything; make an API"
        " key in Jellyfin's dashboard; until then nothing is removed or relinked"
    )


@contextlib.asynccontextmanager
async def first_error() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first service's error instead of a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except* ServiceError as errors:
        failures = errors.exceptions
    else:
        return
    raise failures[0]


async def gather_limited(
    values: list[str], ask: Callable[[str], Awaitable[_T]], at_once: int = 4
) -> list[_T]:
    """Ask one question about many values, with limited concurrency.

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
