"""Pretend Jellyfin's great query: which rows `GET /Items` answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from tests.pretend.library import Movie, Series, World
from tests.pretend.rows import EpisodeRow, Item, Part, SeasonRow, write

_BATCH = 250
_TITLES = frozenset({"movie", "series"})
_TYPES = frozenset({"movie", "series", "season", "episode", "boxset", "folder", "video"})
_FIELDS = frozenset({"DateCreated", "Path", "Overview", "ProviderIds"})
_IMAGES = frozenset({"ImageTags", "BackdropImageTags"})
_GUID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a query asks for.

    Attributes:
        missing: only what has no file, or only what has one.
        number: of the episode or season.
        season: of the episode.
        hidden: the keys that its rows shall not have.
        person: somebody asks who may not see everything.
    """

    types: frozenset[str]
    ids: frozenset[str]
    recursive: bool
    parent: str
    missing: bool | None
    number: int | None
    season: int | None
    since: datetime | None
    hidden: frozenset[str]
    start: int
    limit: int | None
    person: bool = False

    @classmethod
    def read(cls, query: Mapping[str, str], *, person: bool = False) -> Self:
        """Read a query as Jellyfin does: names and enum values in any case, unknown ones dropped.

        Raises:
            ValueError: a number or a date cannot be read.
        """
        given = {name.lower(): value for name, value in query.items()}
        ids = frozenset(_words(given, "ids", drop="-"))
        since = given.get("mindatelastsavedforuser") or given.get("mindatelastsaved")
        limit = int(given.get("limit") or -1)
        return cls(
            types=_words(given, "includeitemtypes") & _TYPES,
            ids=frozenset(filter(_GUID.fullmatch, ids)),
            recursive=given.get("recursive", "").lower() == "true",
            parent=given.get("parentid", "").replace("-", "").lower(),
            missing=_missing(given),
            number=int(given["indexnumber"]) if "indexnumber" in given else None,
            season=int(given["parentindexnumber"]) if "parentindexnumber" in given else None,
            since=datetime.fromisoformat(since).astimezone(UTC) if since else None,
            hidden=_hidden(given),
            start=int(given.get("startindex") or 0),
            limit=limit if limit >= 0 else None,
            person=person,
        )

    @property
    def fails(self) -> bool:
        """Whether 10.11.11 breaks on it: all types at once meet a row that it cannot build."""
        return self.recursive and not self.types and not self.ids

    @property
    def lists_titles(self) -> bool:
        """Whether it is the listing of films and series."""
        return self.recursive and bool(self.types) and self.types <= _TITLES

    def matches(self, world: World, part: Part) -> bool:
        """Say whether an episode or a season is asked for, wherever it is."""
        return (
            (self.number is None or part.number == self.number)
            and (self.season is None or part.season == self.season)
            and (self.missing is None or part.missing == self.missing)
            and (not self.since or world.saved(part.id, part.series) >= self.since)
            and (not self.ids or part.id in self.ids)
        )


def listing(world: World, ask: Ask) -> Iterator[bytes]:
    """Write the reply in pieces; which rows are in it is settled before the first of them."""
    found = select(world, ask)
    page = found[ask.start :][: ask.limit]
    total = len(found) + (world.extra_total if ask.lists_titles else 0)
    yield b'{"Items":['
    for at in range(0, len(page), _BATCH):
        rows = [write(world, item, ask.hidden) for item in page[at : at + _BATCH]]
        yield (b"," if at else b"") + encode(rows)[1:-1]
    yield b'],"TotalRecordCount":%d,"StartIndex":%d}' % (total, ask.start)


def encode(value: object) -> bytes:
    """Write JSON as Jellyfin does: minified, ASCII only, markup escaped."""
    text = json.dumps(value, separators=(",", ":"))
    for sign in "<>&'":
        text = text.replace(sign, f"\\u{ord(sign):04X}")
    return text.encode("ascii")


def select(world: World, ask: Ask) -> list[Item]:
    """Find all rows that a query matches: titles by name, then seasons and episodes by series.

    A season or episode is found by its id only if its type is asked for. Without `Recursive` only
    the libraries themselves are there.
    """
    if not (ask.recursive or ask.ids):
        return [] if ask.types or ask.parent else list(world.folders.values())
    return [*_titles(world, ask), *_parts(world, ask)]


def _titles(world: World, ask: Ask) -> Iterator[Movie | Series]:
    types = ask.types or _TITLES
    movies = world.listed_movies(person=ask.person) if "movie" in types else []
    series = world.listed_series(person=ask.person) if "series" in types else []
    if ask.missing or ask.number is not None or ask.season is not None:
        return
    shelf = _library(world, ask.parent)
    titles: list[Movie | Series] = [*movies, *series]
    for title in titles:
        if (
            (not ask.ids or title.jellyfin_id in ask.ids)
            and (not ask.parent or title.library == shelf)
            and (not ask.since or world.saved(title.jellyfin_id, title) >= ask.since)
        ):
            yield title


def _parts(world: World, ask: Ask) -> Iterator[Part]:
    """List seasons, then episodes; of a series never the missing ones, whatever is asked for."""
    parent, season = world.series.get(ask.parent), _season(world, ask.parent)
    if parent:
        ask = replace(ask, missing=False)
    all_series = _leads_to(world, ask, season)
    for kind, parts in (("season", _seasons), ("episode", _episodes)):
        for series in all_series if kind in ask.types else []:
            for part in parts(world, series):
                inside = part.of_series if parent else season in (None, part.folder)
                if inside and ask.matches(world, part):
                    yield part


def _leads_to(world: World, ask: Ask, season: tuple[str, int | None] | None) -> list[Series]:
    """Find the series that the parent leads to.

    From a series it is all that carry its key now; its own may still carry the key of before.
    For a person a season is asked in that way, too.
    """
    listed = world.listed_series(person=ask.person)
    if parent := world.series.get(ask.parent):
        key = world.presentation_key(parent)
        fresh = (one for one in listed if one.jellyfin_id not in world.stale)
        return [one for one in fresh if world.presentation_key(one) == key]
    if season:
        stale = world.stale if ask.person else ()
        return [one for one in listed if one.jellyfin_id == season[0] and season[0] not in stale]
    shelf = _library(world, ask.parent)
    return [one for one in listed if not ask.parent or one.library == shelf]


def _episodes(world: World, series: Series) -> Iterator[EpisodeRow]:
    for episode in series.episodes:
        yield EpisodeRow(series, episode, world.in_season(series, episode))


def _seasons(world: World, series: Series) -> Iterator[SeasonRow]:
    """List the seasons by number, then the one for what has no number."""
    placed = [one for one in series.episodes if world.in_season(series, one)]
    numbers = {one.season for one in placed}
    for number in sorted(numbers, key=lambda number: (number is None, number)):
        mine = [one for one in placed if one.season == number]
        has_folder = any(one.in_folder and not one.virtual for one in mine)
        yield SeasonRow(series, number, has_folder, all(one.virtual for one in mine))


def _library(world: World, parent: str) -> str | None:
    named = (folder.name for folder in world.folders.values() if folder.jellyfin_id == parent)
    return next(named, None)


def _season(world: World, parent: str) -> tuple[str, int | None] | None:
    """Find a season by its id: its series' id, and its number."""
    if not parent or parent in world.series:
        return None
    for series in world.series.values():
        for number in {episode.season for episode in series.episodes}:
            if series.season_id(number) == parent:
                return series.jellyfin_id, number
    return None


def _words(given: Mapping[str, str], name: str, drop: str = " ") -> frozenset[str]:
    return frozenset(given.get(name, "").replace(drop, "").lower().split(","))


def _missing(given: Mapping[str, str]) -> bool | None:
    if "virtual" in _words(given, "excludelocationtypes"):
        return False
    return {"true": True, "false": False}.get(given.get("ismissing", "").lower())


def _hidden(given: Mapping[str, str]) -> frozenset[str]:
    asked = _words(given, "fields")
    hidden = frozenset(name for name in _FIELDS if name.lower() not in asked)
    return hidden | _IMAGES if given.get("enableimages", "").lower() == "false" else hidden
