"""Asks every service at once for what is around the library."""

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
    """One configured instance of a service; `http.service` is what everybody calls it."""

    http: ServiceHttp

    async def check(self) -> str:
        """What is found there, in plain words.

        Raises:
            ServiceError: it does not answer, or another service does.
        """


_Client = TypeVar("_Client", bound=Service)


@contextlib.contextmanager
def error_boundary(service: Service) -> Iterator[None]:
    """The last net: what nobody foresaw ends what is asked of one service, and nothing else.

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
    """The clients of all configured instances; iterated over, Jellyfin comes first."""

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
        """What each instance was asked so far, by its name."""
        return {one.http.service: one.http.meter for one in self}


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

    def take(self, report: Report) -> Report:
        """Note what an instance could not say; gives its report back."""
        self.gaps.extend(gap for gap in report.gaps if gap not in self.gaps)
        self.defects.extend(report.defects)
        return report

    async def part(self, of: Service, question: Awaitable[_T], otherwise: _T) -> _T:
        """What one service says, or another value where it fails in a way that nobody foresaw."""
        try:
            with error_boundary(of):
                return await question
        except UnforeseenError as error:
            self.miss(error)
            return otherwise

    async def optional(self, question: Awaitable[_T]) -> _T | None:
        """The answer to a question that the rest can do without; None where it failed."""
        try:
            return await question
        except ServiceError as error:
            self.miss(error)
            return None


@dataclass(frozen=True, slots=True)
class Sources:
    """What is known before the library is read.

    Attributes:
        counts: None where Jellyfin did not tell.
        first: the episodes numbered 1; None where Jellyfin did not tell.
        distrust: why nothing may be called gone, in plain words; "" if it can be trusted.
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
        """Those that are known, by the instance's name."""
        theirs = {one.instance: one.version for one in self.reports if one.version}
        return {JELLYFIN: self.server.version, **theirs}


async def collect_sources(
    services: Services,
    problems: Problems,
    expected: str | None = None,
    library: str | None = None,
) -> Sources:
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
    counts = await problems.optional(jellyfin.counts())
    first = await problems.optional(jellyfin.first_episodes(library))
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


async def gather_limited(
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
