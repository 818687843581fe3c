"""Asks the services about one tracked title at this moment, each with one or few cheap calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.clients.arr import ArrClient
from daemon.clients.jellyfin import JellyfinClient
from daemon.domain import Ids, LibraryItem, MediaType
from daemon.errors import ServiceError
from daemon.hinted import look
from daemon.observe import Services

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
    questions = [_patiently(services.jellyfin.http.service, _jellyfin(services.jellyfin, tracked))]
    film = tracked["media_type"] == MediaType.MOVIE
    if film and services.radarr is not None:
        questions.append(_patiently("Radarr", _radarr(services.radarr, tracked)))
    if not film and services.sonarr is not None:
        questions.append(_patiently("Sonarr", _sonarr(services.sonarr, tracked)))
    return await asyncio.gather(*questions)


async def _patiently(service: str, question: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question
    except TimeoutError:
        return Answer(service, f"It did not answer within {_PATIENCE:.0f} s.")
    except ServiceError as error:
        return Answer(service, str(error))


async def _jellyfin(jellyfin: JellyfinClient, tracked: Mapping[str, Any]) -> Answer:
    service, number = jellyfin.http.service, tracked["jellyfin_id"]
    if number is None:
        return Answer(service, "It was not asked: the row has no id of Jellyfin's.")
    found = await look(jellyfin, [number])
    if not found.items:
        broken = "; ".join(defect.reason for defect in found.defects)
        words = f"it cannot be used: {broken}" if broken else "there is nothing under this id"
        return Answer(service, f"Jellyfin answers: {words}.", good=False)
    item = found.items[0]
    series = item.media_type is MediaType.TV
    seasons = await jellyfin.seasons(item.jellyfin_id) if series else None
    differing = [*_differing(item, tracked)]
    words = "there is something to play" if item.available else "there is nothing to play"
    return Answer(
        service,
        ". ".join([f"{item.title}: {words}", *differing]) + ".",
        good=item.available and not differing,
        have=seasons.there if seasons else {},
        total=seasons.known if seasons else {},
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
    found = (await radarr.of_tmdb(tmdb)).ids.find(Ids(tmdb))
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
