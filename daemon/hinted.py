"""Observes only the titles that were hinted at, with as few calls as that takes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from daemon.clients.arr import ArrClient
from daemon.clients.jellyfin import MOST_IDS, JellyfinClient, Page
from daemon.domain import ArrIndex, Defect, Gap, LibraryItem, MediaType, Sources
from daemon.errors import ServiceError
from daemon.observe import Services, prove

_ID = re.compile("[0-9a-f]{32}")
_MOST_FILMS = 5
_SONARR_REST = 600.0
"""Seconds between two readings of Sonarr's list for hints; it costs Sonarr up to 18 s."""


@dataclass(slots=True)
class Hinted:
    """What was found of the hinted titles."""

    items: list[LibraryItem] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


async def look(jellyfin: JellyfinClient, hints: Iterable[str]) -> Hinted:
    """The hinted movies and series; an episode stands for its series, and proves it.

    What is no id is passed over: of ids that it cannot read Jellyfin makes a question for all.

    Raises:
        ServiceError: Jellyfin cannot be asked.
    """
    spelled = (hint.replace("-", "").lower() for hint in hints)
    wanted = {hint for hint in spelled if _ID.fullmatch(hint)}
    found, proven = Hinted(), set[str]()
    asked: set[str] = set()
    while more := sorted(wanted - asked):
        for ids in _groups(more):
            page = Page()
            answer = await jellyfin.look_up(ids, page)
            found.items.extend(answer.items)
            found.defects.extend(page.defects)
            proven |= answer.proven
        asked |= wanted
        wanted |= proven  # the series of an episode that came without it
    found.items = await _playable(jellyfin, found.items, proven)
    return found


def _groups(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MOST_IDS):
        yield ids[start : start + MOST_IDS]


async def _playable(
    jellyfin: JellyfinClient, items: list[LibraryItem], proven: set[str]
) -> list[LibraryItem]:
    series = {item.jellyfin_id for item in items if item.media_type is MediaType.TV}
    proven = proven | await prove(jellyfin, series - proven)
    return [
        replace(item, available=item.jellyfin_id in proven) if item.jellyfin_id in series else item
        for item in items
    ]


class ArrMemory:
    """What Radarr and Sonarr were last seen to hold, so that a hint need not ask for their lists.

    Args:
        services: the clients.
        clock: seconds, of a clock that does not jump.
    """

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._sonarr: ArrIndex | None = None
        self._sonarr_read = -_SONARR_REST
        self._locations: tuple[str, ...] = ()

    def remember(self, sources: Sources) -> None:
        """Keep what a full run has read."""
        self._locations = sources.locations
        if sources.sonarr is not None:
            self._sonarr = _as_remembered(sources.sonarr)
            self._sonarr_read = self._clock()

    async def sources(self, found: Hinted) -> Sources:
        """What the two hold of the found titles; what cannot be read is noted as a gap."""
        films = [item for item in found.items if item.media_type is MediaType.MOVIE]
        series = [item for item in found.items if item.media_type is MediaType.TV]
        return Sources(
            radarr=await self._of_radarr(films, found),
            sonarr=await self._of_sonarr(series, found),
            locations=self._locations,
            counts_by_sonarr=self._services.sonarr is not None,
        )

    async def _of_radarr(self, films: list[LibraryItem], found: Hinted) -> ArrIndex | None:
        radarr = self._services.radarr
        numbers = {film.ids.tmdb for film in films if film.ids.tmdb is not None}
        if radarr is None or not numbers:
            return None
        try:
            if len(numbers) > _MOST_FILMS:
                return (await radarr.listing()).ids
            answers = [(await radarr.of_tmdb(number)).ids.by_tmdb for number in sorted(numbers)]
        except ServiceError as error:
            found.gaps.append(Gap(error.service, error.kind, str(error)))
            return None
        return ArrIndex(by_tmdb={key: n for answer in answers for key, n in answer.items()})

    async def _of_sonarr(self, series: list[LibraryItem], found: Hinted) -> ArrIndex | None:
        known = self._sonarr
        unknown = [item for item in series if known is None or known.find(item.ids) is None]
        rested = self._clock() - self._sonarr_read >= _SONARR_REST
        if self._services.sonarr is not None and unknown and rested:
            return await self._read_sonarr(self._services.sonarr, found)
        return self._sonarr

    async def _read_sonarr(self, sonarr: ArrClient, found: Hinted) -> ArrIndex | None:
        self._sonarr_read = self._clock()
        try:
            fresh = (await sonarr.listing()).ids
        except ServiceError as error:
            found.gaps.append(Gap(error.service, error.kind, str(error)))
            return self._sonarr
        self._sonarr = _as_remembered(fresh)
        return fresh


def _as_remembered(index: ArrIndex) -> ArrIndex:
    """What was true some minutes ago identifies a title, but proves nothing absent."""
    return replace(index, whole=False)
