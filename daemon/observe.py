"""Asks all services at once for what is around the library, then streams the library itself."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import ne

from daemon.clients.arr import ArrClient
from daemon.clients.jellyfin import SERVICE as JELLYFIN
from daemon.clients.jellyfin import Counts, JellyfinClient, Page, Server
from daemon.domain import (
    INCOMPLETE,
    Activity,
    ArrIndex,
    Defect,
    Gap,
    LibraryItem,
    MediaType,
    Reading,
    Sources,
)
from daemon.errors import ServiceError

_MOST_PROBES = 100
_PROBES_AT_ONCE = 4
_READINGS = 2


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of all configured services."""

    jellyfin: JellyfinClient
    radarr: ArrClient | None = None
    sonarr: ArrClient | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known before the library is read.

    Attributes:
        proven: ids of series that have an episode to play, most of them but not all.
        listed: by service, how many titles Radarr and Sonarr have.
        folders_away: by service, the root folders that Radarr and Sonarr cannot reach.
    """

    server: Server
    activity: Activity
    counts: Counts
    proven: frozenset[str]
    sources: Sources
    versions: dict[str, str]
    gaps: tuple[Gap, ...] = ()
    defects: tuple[Defect, ...] = ()
    listed: dict[str, int] = field(default_factory=dict)
    folders_away: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def survey(services: Services, library: str | None = None) -> Survey:
    """Ask everything but the library itself, all services at the same time.

    Radarr or Sonarr failing leaves a gap.

    Args:
        services: whom to ask.
        library: id of the only library whose series matter; None means all.

    Raises:
        ServiceError: Jellyfin cannot be asked; without it nothing can be said.
    """
    async with _first_error() as group:
        asked = group.create_task(_jellyfin(services.jellyfin, library))
        answers = [group.create_task(_arr(arr)) for arr in (services.radarr, services.sonarr)]
    server, activity, counts, proven = asked.result()
    arrs = [answer.result() for answer in answers]
    return Survey(
        server=server,
        activity=activity,
        counts=counts,
        proven=proven,
        sources=Sources(
            radarr=arrs[0].ids,
            sonarr=arrs[1].ids,
            counts_by_sonarr=services.sonarr is not None,
            locations=tuple(place for folder in activity.libraries for place in folder.locations),
        ),
        versions={JELLYFIN: server.version} | arrs[0].version | arrs[1].version,
        gaps=tuple(gap for arr in arrs for gap in arr.gaps),
        defects=tuple(defect for arr in arrs for defect in arr.defects),
        listed=arrs[0].listed | arrs[1].listed,
        folders_away=arrs[0].folders_away | arrs[1].folders_away,
    )


async def _jellyfin(
    jellyfin: JellyfinClient, library: str | None
) -> tuple[Server, Activity, Counts, frozenset[str]]:
    """The state is read first: a scan that starts later must not go unseen."""
    server = await jellyfin.server()
    activity = await jellyfin.activity()
    counts = await jellyfin.counts()
    proven = await jellyfin.series_with_episodes(first_only=True, library=library)
    return server, activity, counts, proven


@dataclass(frozen=True, slots=True)
class _Arr:
    ids: ArrIndex | None = None
    version: dict[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    defects: tuple[Defect, ...] = ()
    listed: dict[str, int] = field(default_factory=dict)
    folders_away: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def _arr(client: ArrClient | None) -> _Arr:
    if client is None:
        return _Arr()
    try:
        version = await client.version()
        listing = await client.listing()
    except ServiceError as error:
        return _Arr(gaps=(Gap(error.service, error.kind, str(error)),))
    name = client.http.service
    found = _Arr(listing.ids, {name: version}, (), tuple(listing.defects), {name: listing.records})
    with contextlib.suppress(ServiceError):  # good to know, no more
        found.folders_away[name] = await client.folders_away()
    return found


@dataclass(slots=True)
class _Attempt:
    """One reading of the whole listing.

    Attributes:
        ids: hashes of the Jellyfin ids read, doubles included; only their number counts.
    """

    ids: array[int] = field(default_factory=lambda: array("q"))
    totals: list[int] = field(default_factory=list)
    sound: bool = True
    titles: int = 0

    def add(self, page: Page) -> None:
        """Note a page that has been read."""
        self.ids.extend(hash(defect.ref) for defect in page.defects if defect.lost)
        self.sound &= not page.foreign and all(defect.ref for defect in page.defects)
        if page.total is not None:
            self.totals.append(page.total)
        ordered = sorted(self.ids)
        self.titles = bool(ordered) + sum(map(ne, ordered, islice(ordered, 1, None)))

    @property
    def complete(self) -> bool:
        """Every title that the server counted was read, and it counted the same throughout."""
        return self.sound and {self.titles} == set(self.totals)


class Library:
    """Reads the library once, or twice where the first reading is not complete.

    Args:
        jellyfin: whom to ask.
        seen: what is known already.
        page_size: titles a reply; each further reply costs the server a sort of everything.
        pictures: ask which titles have a poster.
        only: id of the one library to read, which tells nothing of the others; None means all.
        progress: told the number of titles read so far.
    """

    def __init__(
        self,
        jellyfin: JellyfinClient,
        seen: Survey,
        page_size: int,
        *,
        pictures: bool,
        only: str | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._jellyfin = jellyfin
        self._seen = seen
        self._page_size = page_size
        self._pictures = pictures
        self._only = only
        self._progress = progress
        self._attempt = _Attempt()
        self._doubtful: dict[str, LibraryItem] = {}
        self._scanning = seen.activity.scanning
        self._read_any = False
        self.defects: list[Defect] = []
        self.gaps: list[Gap] = []

    @property
    def reading(self) -> Reading:
        """How the reading went; final once `items` is exhausted."""
        return Reading(
            complete=self._attempt.complete and not self.gaps and self._only is None,
            scanning=self._scanning,
            titles=self._attempt.titles,
            broken=frozenset(defect.ref for defect in self.defects if defect.lost),
        )

    async def items(self) -> AsyncGenerator[list[LibraryItem], None]:
        """The library, as it streams in; series that are not proven yet come last.

        Raises:
            ServiceError: not one title could be read.
        """
        for number in range(1, _READINGS + 1):
            self._attempt, self.defects = _Attempt(), []
            async with contextlib.aclosing(self._pages(final=number == _READINGS)) as pages:
                async for items in pages:
                    yield self._playable(items)
            if self._attempt.complete or self.gaps:
                break
        self._note_what_is_missing()
        yield await self._judged()
        await self._look_again()

    async def _pages(self, *, final: bool) -> AsyncGenerator[list[LibraryItem], None]:
        """All pages; a failure that the next reading may not meet ends them quietly."""
        try:
            start, known = 0, -1
            while self._attempt.titles > known:
                known = self._attempt.titles
                page = Page()
                async with contextlib.aclosing(self._page(page, start)) as pieces:
                    async for items in pieces:
                        yield items
                start += page.rows
                if start >= (page.total or 0):
                    return
        except ServiceError as error:
            if error.status is None and not final:
                return
            if not self._read_any:
                raise
            self._miss(error)

    async def _page(self, page: Page, start: int) -> AsyncGenerator[list[LibraryItem], None]:
        reply = self._jellyfin.page(
            page, start, self._page_size, pictures=self._pictures, library=self._only
        )
        try:
            async with contextlib.aclosing(reply) as pieces:
                async for items in pieces:
                    self._attempt.ids.extend(hash(item.jellyfin_id) for item in items)
                    self._progress(len(self._attempt.ids))
                    self._read_any = self._read_any or bool(items)
                    yield items
        finally:
            self._attempt.add(page)
            self.defects.extend(page.defects)

    def _playable(self, items: Iterable[LibraryItem]) -> list[LibraryItem]:
        """The items that can be judged; a series that nothing proves yet is put aside."""
        judged = []
        for item in items:
            if item.media_type is MediaType.MOVIE:
                judged.append(item)
            elif item.jellyfin_id in self._seen.proven:
                judged.append(replace(item, available=True))
            else:
                self._doubtful[item.jellyfin_id] = item
        return judged

    async def _judged(self) -> list[LibraryItem]:
        """The doubtful series, after each was asked for, or all episodes where that is cheaper."""
        try:
            proven = await prove(self._jellyfin, self._doubtful)
        except ServiceError as error:
            self._miss(error)
            return []
        return [
            replace(item, available=item.jellyfin_id in proven) for item in self._doubtful.values()
        ]

    async def _look_again(self) -> None:
        """A scan that began meanwhile may have left half-made rows in the listing."""
        try:
            after = await self._jellyfin.activity()
        except ServiceError as error:
            self._miss(error)
        else:
            self._scanning = self._scanning or after.scanning

    def _miss(self, error: ServiceError) -> None:
        self.gaps.append(Gap(error.service, error.kind, str(error)))

    def _note_what_is_missing(self) -> None:
        if self._attempt.complete or self.gaps:
            return
        counted = ", then ".join(str(total) for total in sorted(set(self._attempt.totals)))
        detail = f"read {self._attempt.titles} titles where Jellyfin counts {counted or 'none'}"
        self.gaps.append(Gap(JELLYFIN, INCOMPLETE, f"{detail}; the next run reads it anew"))


async def prove(jellyfin: JellyfinClient, doubtful: Collection[str]) -> frozenset[str]:
    """Which of the series have an episode to play; asked for one by one unless they are many.

    Raises:
        ServiceError: Jellyfin cannot be asked.
    """
    if len(doubtful) > _MOST_PROBES:
        return await jellyfin.series_with_episodes(first_only=False)
    at_once = asyncio.Semaphore(_PROBES_AT_ONCE)

    async def probe(series_id: str) -> str | None:
        async with at_once:
            return series_id if await jellyfin.has_episode(series_id) else None

    async with _first_error() as group:
        probes = [group.create_task(probe(series_id)) for series_id in doubtful]
    return frozenset(found for task in probes if (found := task.result()) is not None)


@contextlib.asynccontextmanager
async def _first_error() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first service's error itself, not a group of them."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except* ServiceError as errors:
        failures = errors.exceptions
    else:
        return
    raise failures[0]
