"""Observes hinted titles and their copies, with few calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from daemon.domain import Ids, LibraryItem, MediaType, TrackedRequest
from daemon.errors import ServiceError
from daemon.identity import Catalogue, jellyfin_id
from daemon.observe.episodes import EpisodeQuestions
from daemon.observe.sources import Problems, Services, error_boundary
from daemon.services.arr import ArrClient
from daemon.services.jellyfin import MAX_IDS, JellyfinClient, ListingContext, Page
from daemon.snapshot import Episode, Reading, Report, Snapshot

_MAX_FILMS = 5
"""Up to this many films Radarr is asked one by one."""

_MAX_UNPROVEN = 5
"""Series that are proven one by one; beyond that one list of first episodes is read."""

_SONARR_REST = 60.0
_SONARR_SHARE = 20.0
"""Sonarr's list is read for hints after a minute at the earliest, and after 20 times as long as it
took: it costs a large Sonarr up to 18 s, so that this keeps it busy for a twentieth at the most."""

Tracked = Callable[[Sequence[LibraryItem]], Awaitable[Sequence[TrackedRequest]]]
"""Returns the requests that may belong to items."""


@dataclass(slots=True)
class _Found:
    """What was found for the requested ids.

    Attributes:
        answered: the ids whose answer was complete.
    """

    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    items: dict[str, LibraryItem] = field(default_factory=dict)
    proven: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    episodes: dict[str, list[Episode]] = field(default_factory=dict)


async def look(
    services: Services,
    hints: Iterable[str],
    tracked: Tracked,
    around: ListingContext,
    problems: Problems,
    copies: Mapping[str, frozenset[str]] | None = None,
) -> Snapshot:
    """The hinted movies and series and the copies that their requests name.

    An episode stands for its series, and proves it. Malformed ids are skipped: for ids that it
    cannot parse, Jellyfin returns everything. `copies` are the other items of titles, by their
    ids, as they were known last.

    Raises:
        ServiceError: Jellyfin cannot be asked.
    """
    jellyfin, found = services.jellyfin, _Found()
    wanted = {known for hint in hints if (known := jellyfin_id(hint))}
    requests: Sequence[TrackedRequest] = ()
    while wanted - found.asked:
        await _ask(jellyfin, wanted, found, around, problems)
        # Each item that is found can have requests, and each of these can name another item.
        requests = await tracked(list(found.items.values()))
        wanted |= {row.jellyfin_id for row in requests if row.jellyfin_id}
        wanted |= {one for item in found.items for one in (copies or {}).get(item, ())}
    items = list(found.items.values())
    proven = await _proven(jellyfin, items, found.proven, problems)
    questions = EpisodeQuestions(jellyfin, problems, certain=False)
    looked = await questions.look(items, requests, proven, found.episodes)
    reading = Reading(
        complete=False,
        scanning=True,
        titles=len(items),
        broken=frozenset(found.broken),
        asked=frozenset(found.answered),
    )
    return Snapshot(looked.items, reading, episodes=looked.episodes)


async def _ask(
    jellyfin: JellyfinClient,
    wanted: set[str],
    found: _Found,
    around: ListingContext,
    problems: Problems,
) -> None:
    """Look ids up, and then the series of those that are episodes."""
    while more := sorted(wanted - found.asked):
        for ids in _groups(more):
            page = Page()
            answer = await jellyfin.look_up(ids, page, around)
            found.items.update((item.jellyfin_id, item) for item in answer.items)
            found.broken |= page.broken
            problems.defects.extend(page.defects)
            found.answered.update(ids if answer.whole else ())
            found.proven |= answer.proven
            for series, rows in answer.episodes.items():
                found.episodes.setdefault(series, []).extend(rows)
            wanted = wanted | answer.series
        found.asked.update(more)


def _groups(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MAX_IDS):
        yield ids[start : start + MAX_IDS]


async def _proven(
    jellyfin: JellyfinClient,
    items: Iterable[LibraryItem],
    proven: set[str],
    problems: Problems,
) -> Collection[str]:
    series = {item.jellyfin_id for item in items if item.media_type is MediaType.TV}
    if len(series - proven) <= _MAX_UNPROVEN:
        return proven
    first = await problems.optional(jellyfin.first_episodes())
    return proven | first.proven if first else proven


class ArrCache:
    """Caches the lists of Radarr and Sonarr, which hinted runs use instead of reading them."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._known: dict[str, Report] = {}
        self._next: dict[str, float] = {}

    def remember(self, reports: Iterable[Report]) -> None:
        """Cache what a full run has read."""
        for report in reports:
            if report.titles is not None and not report.remembered:
                self._known[report.instance] = replace(report, whole=False)
                self._next[report.instance] = self._clock() + _SONARR_REST

    def instead(self, reports: Iterable[Report]) -> tuple[Report, ...]:
        """The reports, with cached ones in place of those that are missing."""
        return tuple(
            one if one.titles is not None else _outdated(self._known.get(one.instance, one))
            for one in reports
        )

    async def reports(self, items: Iterable[LibraryItem], problems: Problems) -> tuple[Report, ...]:
        """What each instance has of the given titles; failures become gaps."""
        items = list(items)
        found = []
        for arr in self._services.of(ArrClient):
            mine = [item for item in items if item.media_type is arr.media_type]
            films = arr.media_type is MediaType.MOVIE
            found.append(await (self._of_radarr if films else self._of_sonarr)(arr, mine, problems))
        return tuple(found)

    async def _of_radarr(
        self, radarr: ArrClient, films: list[LibraryItem], problems: Problems
    ) -> Report:
        numbers = {film.ids.tmdb for film in films if film.ids.tmdb is not None}
        if not numbers:
            return radarr.unknown
        titles = Catalogue(radarr.media_type)
        try:
            with error_boundary(radarr):
                if len(numbers) > _MAX_FILMS:
                    return replace(radarr.unknown, titles=(await radarr.listing()).titles)
                for number in sorted(numbers):
                    if (held := await radarr.of_tmdb(number)) is not None:
                        titles.add(held, Ids(number))
        except ServiceError as error:
            problems.miss(error)
            return radarr.unknown
        return replace(radarr.unknown, titles=titles)

    async def _of_sonarr(
        self, sonarr: ArrClient, series: list[LibraryItem], problems: Problems
    ) -> Report:
        known = self._known.get(sonarr.name, sonarr.unknown)
        began = self._clock()
        if not series or began < self._next.get(sonarr.name, began):
            return known
        try:
            with error_boundary(sonarr):
                listing = await sonarr.listing()
        except ServiceError as error:
            problems.miss(error)
            known = listing = _outdated(known)
        self._known[sonarr.name] = replace(listing, whole=False)
        self._rest(sonarr.name, began)
        return listing

    def _rest(self, name: str, began: float) -> None:
        now = self._clock()
        self._next[name] = now + max(_SONARR_REST, _SONARR_SHARE * (now - began))


def _outdated(report: Report) -> Report:
    """A cached report: good for counts, while its ids may be another title's by now."""
    return replace(report, whole=False, remembered=report.titles is not None)
