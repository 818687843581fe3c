"""Asks the services about one tracked title at this moment, each with one or few cheap calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.domain import LibraryItem, MediaType, RequestState, TrackedRequest
from daemon.errors import ServiceError
from daemon.identity import jellyfin_id
from daemon.observe.hints import look
from daemon.observe.sources import Problems, Services
from daemon.plan.seasons import by_season
from daemon.services.arr import ArrClient
from daemon.services.jellyfin import Around

_PATIENCE: Final = 8.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one service says of a title.

    Attributes:
        words: in plain words, also why it could not be asked.
        good: whether that is as it is tracked; None if it could not be asked.
        have: by season, the episodes that can be played; only Jellyfin tells.
        total: by season, the episodes that there are, aired or not.
    """

    service: str
    words: str
    good: bool | None = None
    have: Mapping[int, int] = field(default_factory=dict)
    total: Mapping[int, int] = field(default_factory=dict)


async def ask(services: Services, tracked: Mapping[str, Any]) -> list[Answer]:
    """What Jellyfin says of a row of the tracker, and Radarr of a film or Sonarr of a series.

    A service that fails, or is not quick, is an answer, too.
    """
    questions = [_patiently(services.jellyfin.name, _jellyfin(services, tracked))]
    for arr in services.arrs:
        if arr.media_type == tracked["media_type"]:
            ask_it = _radarr if arr.media_type is MediaType.MOVIE else _sonarr
            questions.append(_patiently(arr.name, ask_it(arr, tracked)))
    return await asyncio.gather(*questions)


async def _patiently(service: str, question: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question
    except TimeoutError:
        return Answer(service, f"It did not answer within {_PATIENCE:.0f} s.")
    except ServiceError as error:
        return Answer(service, str(error))


async def _jellyfin(services: Services, tracked: Mapping[str, Any]) -> Answer:
    service, number = services.jellyfin.http.service, jellyfin_id(tracked["jellyfin_id"])
    if number is None:
        return Answer(service, "It was not asked: the row has no id of Jellyfin's.")
    problems = Problems()
    row = _as_open(tracked, number)

    async def rows(_: Sequence[LibraryItem]) -> Sequence[TrackedRequest]:
        return [row]

    found = await look(services, [number], rows, Around(), problems)
    if not found.items:
        broken = "; ".join(defect.reason for defect in problems.defects)
        words = f"it cannot be used: {broken}" if broken else "there is nothing under this id"
        return Answer(service, f"Jellyfin answers: {words}.", good=False)
    item = found.items[0]
    have, total = by_season(found.episodes.get(item.jellyfin_id))
    differing = [*_differing(item, tracked)]
    said = ". ".join([f"{item.title}: {_THERE[item.available]}", *differing]) + "."
    good = False if differing else item.available
    return Answer(service, said, good=good, have=have, total=total)


_THERE: Final = {
    True: "there is something to play",
    False: "nothing to play was found",
    None: "whether there is something to play could not be told",
}


def _as_open(tracked: Mapping[str, Any], number: str) -> TrackedRequest:
    """The row as one that waits for all of its seasons, so that these are counted."""
    return TrackedRequest(
        id=tracked["id"],
        media_type=MediaType(tracked["media_type"]),
        state=RequestState.REQUESTED,
        jellyfin_id=number,
    )


def _differing(item: LibraryItem, tracked: Mapping[str, Any]) -> Iterator[str]:
    for name, value in item.ids._asdict().items():
        there = tracked.get(f"{name}_id")
        if None not in {value, there} and str(value).lower() != str(there).lower():
            yield f"Its {name.upper()} id there is {value}, not {there}"


async def _radarr(radarr: ArrClient, tracked: Mapping[str, Any]) -> Answer:
    tmdb, number = tracked["tmdb_id"], tracked["radarr_id"]
    if tmdb is None:
        return Answer("Radarr", "It was not asked: it finds a film by its TMDB id alone.")
    found = await radarr.of_tmdb(tmdb)
    words = "It does not have the film" if found is None else f"It has the film as number {found}"
    return Answer("Radarr", words + _unlike(found, number), good=found == number)


async def _sonarr(sonarr: ArrClient, tracked: Mapping[str, Any]) -> Answer:
    """Only by its own number: any other question costs it as much as its whole list."""
    number, tvdb = tracked["sonarr_id"], tracked["tvdb_id"]
    if number is None:
        return Answer("Sonarr", "It was not asked: the row has no number of Sonarr's.")
    found = await sonarr.one(number)
    if found is None:
        return Answer("Sonarr", f"It has no series {number}.", good=False)
    same = tvdb in {None, found.tvdbId}
    other = "" if same else f", which is TVDB {found.tvdbId}, not {tvdb}"
    counted = ((one.seasonNumber, one.statistics) for one in found.seasons)
    total = {season: numbers.totalEpisodeCount for season, numbers in counted if numbers}
    words = f"It has {found.title} as number {number}{other}."
    return Answer("Sonarr", words, good=same, total=total)


def _unlike(found: int | None, number: int | None) -> str:
    return "." if found == number or number is None else f"; the row says {number}."
