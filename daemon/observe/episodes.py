"""Finds out which series can be played, and which requested episodes are present.

A question about one series is never asked: see `JellyfinClient.episodes_of_season`. What a few
questions about seasons do not find may still exist; only a complete list proves absence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.domain import LibraryItem, MediaType, TrackedRequest
from daemon.observe.sources import Problems, gather_limited
from daemon.plan import open_series, watched_series
from daemon.services.jellyfin import EpisodeList, JellyfinClient, SeasonRef
from daemon.snapshot import Episode, Episodes

_MIN_QUESTIONS: Final = 30
_MAX_QUESTIONS: Final = 100
_EPISODES_A_QUESTION: Final = 120
"""A question about one season costs the server as much as this many list rows (10.11.11)."""

_UNREAD: Final = Episode(None)


@dataclass(slots=True)
class EpisodeReport:
    """The result.

    Attributes:
        items: the given items, with `available` set for series.
        episodes: by Jellyfin id, of series with open requests.
    """

    items: list[LibraryItem]
    episodes: dict[str, Episodes] = field(default_factory=dict)


@dataclass(slots=True)
class EpisodeQuestions:
    """Asks about the episodes of series, with few calls for any number of series.

    Args:
        counted: how many episodes the server has; 0 if unknown.
        library: id of the only library to read; None means all.
        certain: prove absence too, which takes one list of all episodes.
    """

    jellyfin: JellyfinClient
    problems: Problems
    counted: int = 0
    library: str | None = None
    certain: bool = True

    async def look(
        self,
        items: Sequence[LibraryItem],
        requests: Iterable[TrackedRequest],
        proven: Collection[str],
        known: Mapping[str, Sequence[Episode]] | None = None,
    ) -> EpisodeReport:
        """Ask what is needed about these items.

        Args:
            items: movies, and series of unknown availability.
            requests: those that may belong to the items.
            proven: ids of series known to be available.
            known: episodes that were already read, by series; they count even before a scan has put
                them into a season.
        """
        series = {
            item.jellyfin_id: _known(item, proven)
            for item in items
            if item.media_type is MediaType.TV
        }
        episodes = await self._look(series, requests, known or {})
        return EpisodeReport([series.get(item.jellyfin_id, item) for item in items], episodes)

    async def _look(
        self,
        series: dict[str, LibraryItem],
        requests: Iterable[TrackedRequest],
        known: Mapping[str, Sequence[Episode]],
    ) -> dict[str, Episodes]:
        """Episodes for open requests; availability is noted in `series`."""
        requests = [row for row in requests if row.media_type is MediaType.TV]
        wanted = open_series(series.values(), requests)
        unproven = {number for number, item in series.items() if not item.available}
        if not (wanted or unproven):
            return {}
        seasons = await self.problems.optional(self._seasons({*wanted, *unproven}))
        if seasons is None:
            return {}
        found = await self.problems.optional(self._found(wanted, unproven, seasons))
        if found is None:
            return {}
        for number in unproven & found.proven:
            series[number] = series[number]._replace(available=True)
        await self._note_absent(series, requests, found)
        return {
            number: Episodes(
                [*found.rows.get(number, ()), *known.get(number, ())],
                frozenset(one.number for one in seasons.get(number, ()) if one.number is not None),
                number in found.partial,
            )
            for number in wanted
        }

    async def _note_absent(
        self,
        series: dict[str, LibraryItem],
        requests: Iterable[TrackedRequest],
        found: EpisodeList,
    ) -> None:
        """Prove the absence of episodes of series where nothing was found."""
        watched = watched_series(series.values(), requests)
        asked = self._absent(watched, found) if self.certain and watched else None
        absent = await self.problems.optional(asked) if asked else None
        for number in [number for number, item in series.items() if not item.available]:
            unasked = number in watched or number in found.partial
            certain = not unasked or number in (absent or ())
            series[number] = series[number]._replace(available=False if certain else None)

    async def _seasons(self, series: Collection[str]) -> Mapping[str, list[SeasonRef]]:
        found: defaultdict[str, list[SeasonRef]] = defaultdict(list)
        for season in await self.jellyfin.seasons():
            if season.series_id in series:
                found[season.series_id].append(season)
        return found

    async def _found(
        self,
        wanted: Mapping[str, frozenset[int]],
        unproven: Collection[str],
        seasons: Mapping[str, Sequence[SeasonRef]],
    ) -> EpisodeList:
        """Episodes of the needed seasons, or of all series if those are too many."""
        keep = {*wanted, *unproven}
        series = {
            season.id: one
            for one in keep
            for season in seasons.get(one, ())
            if one in unproven or _matters(season, seasons[one], wanted[one])
        }
        if len(series) > self._max_questions:
            found = await self.jellyfin.episodes(keep, self.library)
            _note_doubts(found, keep)
            return found

        async def one(season: str) -> EpisodeList:
            asked = self.problems.optional(self.jellyfin.episodes_of_season(season, keep))
            answer = await asked or EpisodeList()
            _note_doubts(answer, [series[season]])
            return answer

        return _joined(await gather_limited(sorted(series), one))

    @property
    def _max_questions(self) -> int:
        worth = self.counted // _EPISODES_A_QUESTION
        return min(_MAX_QUESTIONS, max(_MIN_QUESTIONS, worth))

    async def _absent(self, watched: Collection[str], found: EpisodeList) -> frozenset[str]:
        """The series that certainly have nothing to play."""
        every = await self.jellyfin.episodes(watched, self.library)
        if not every.whole or every.unread:
            return frozenset()
        rows = {one: [*every.rows.get(one, ()), *found.rows.get(one, ())] for one in watched}
        return frozenset(
            one for one, shown in rows.items() if all(row.playable is False for row in shown)
        )


def _matters(season: SeasonRef, others: Sequence[SeasonRef], asked: frozenset[int]) -> bool:
    """Whether a season has to be counted; one without a number may hold anything."""
    if season.number is None or season.number in asked:
        return True
    alone = all(other.number in {0, None} for other in others)
    return not asked and (season.number > 0 or alone)


def _note_doubts(found: EpisodeList, series: Collection[str]) -> None:
    """Note unread rows, which may belong to any series that was asked about."""
    if not found.whole:
        found.partial.update(series)
    for one in series if found.unread else ():
        found.rows.setdefault(one, []).append(_UNREAD)


def _joined(answers: Iterable[EpisodeList]) -> EpisodeList:
    joined = EpisodeList()
    for one in answers:
        for series, rows in one.rows.items():
            joined.rows.setdefault(series, list[Episode]()).extend(rows)
        joined.proven |= one.proven
        joined.unread += one.unread
        joined.partial |= one.partial
    return joined


def _known(item: LibraryItem, proven: Collection[str]) -> LibraryItem:
    if item.media_type is MediaType.TV and not item.available and item.jellyfin_id in proven:
        return item._replace(available=True)
    return item
