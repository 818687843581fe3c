"""Pretend Jellyfin's great query: which rows `GET /Items` answers, and how a row is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from daemon.demo.library import Episode, Folder, Movie, Series, World, jellyfin_id
from daemon.demo.wire import template

_BATCH = 250
_RUN_TIME_TICKS = 57_000_000_000
_TYPES = frozenset({"movie", "series", "season", "episode", "boxset", "folder", "video"})
_FIELDS = frozenset({"DateCreated", "Path", "Overview", "ProviderIds"})
_IMAGES = frozenset({"ImageTags", "BackdropImageTags"})
_GUID = re.compile("[0-9a-f]{32}")


class EpisodeRow(NamedTuple):
    """An episode together with the series that it belongs to."""

    series: Series
    episode: Episode


Item = Movie | Series | EpisodeRow | Folder


@dataclass(frozen=True, slots=True)
class Ask:
    """What a query asks for; `hidden` are the keys that its rows shall not have."""

    types: frozenset[str]
    ids: frozenset[str]
    recursive: bool
    parent: str
    missing: bool | None
    number: int | None
    since: datetime | None
    hidden: frozenset[str]
    start: int
    limit: int | None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
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
            since=datetime.fromisoformat(since).astimezone(UTC) if since else None,
            hidden=_hidden(given),
            start=int(given.get("startindex") or 0),
            limit=limit if limit >= 0 else None,
        )

    @property
    def fails(self) -> bool:
        """Whether 10.11.11 breaks on it: all types at once meet a row that it cannot build."""
        return self.recursive and not self.types and not self.ids


def listing(world: World, ask: Ask) -> Iterator[bytes]:
    """Write the reply in pieces; which rows are in it is settled before the first of them."""
    found = select(world, ask)
    page = found[ask.start :][: ask.limit]
    yield b'{"Items":['
    for at in range(0, len(page), _BATCH):
        rows = [_row(item, ask.hidden) for item in page[at : at + _BATCH]]
        yield (b"," if at else b"") + encode(rows)[1:-1]
    yield b'],"TotalRecordCount":%d,"StartIndex":%d}' % (len(found), ask.start)


def encode(value: object) -> bytes:
    """Write JSON as Jellyfin does: minified, ASCII only, markup escaped."""
    text = json.dumps(value, separators=(",", ":"))
    for sign in "<>&'":
        text = text.replace(sign, f"\\u{ord(sign):04X}")
    return text.encode("ascii")


def select(world: World, ask: Ask) -> list[Item]:
    """Find all rows that a query matches: titles by name, then episodes by series; no other order.

    An episode is found by its id only if its type is asked for. Without `Recursive` only the
    libraries themselves are there.
    """
    if not (ask.recursive or ask.ids):
        return [] if ask.types or ask.parent else list(world.folders.values())
    return [*_titles(world, ask), *_episodes(world, ask)]


def _titles(world: World, ask: Ask) -> Iterator[Movie | Series]:
    types = ask.types or {"movie", "series"}
    movies = world.listed_movies() if "movie" in types else []
    series = world.listed_series() if "series" in types else []
    if ask.missing or ask.number is not None:
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


def _episodes(world: World, ask: Ask) -> Iterator[EpisodeRow]:
    all_series = world.listed_series() if "episode" in ask.types else []
    shelf = _library(world, ask.parent)
    for series in all_series:
        if ask.parent and ask.parent != series.jellyfin_id and series.library != shelf:
            continue
        for episode in series.episodes:
            if (
                (ask.number is None or episode.number == ask.number)
                and (ask.missing is None or episode.virtual == ask.missing)
                and (not ask.since or world.saved(series.key(episode), series) >= ask.since)
                and (not ask.ids or _episode_id(series, episode) in ask.ids)
            ):
                yield EpisodeRow(series, episode)


def _library(world: World, parent: str) -> str | None:
    named = (folder.name for folder in world.folders.values() if folder.jellyfin_id == parent)
    return next(named, None)


def _row(item: Item, hidden: frozenset[str]) -> dict[str, Any]:
    match item:
        case EpisodeRow():
            row = _episode_row(item.series, item.episode)
        case Folder():
            row = _folder_row(item)
        case _:
            row = _title_row(item)
    return {
        key: value
        for key, value in row.items()
        if key not in hidden and (value is not None or key == "ChannelId")
    }


def _title_row(title: Movie | Series) -> dict[str, Any]:
    film = isinstance(title, Movie)
    probed = film and not title.placeholder and not title.path.endswith(".strm")
    return {
        **_head(title.title, title.jellyfin_id),
        "DateCreated": _stamp(title.created_at),
        "Container": title.path.rpartition(".")[2] if probed else None,
        "Path": title.path,
        "ChannelId": None,
        "Overview": title.overview or None,
        "RunTimeTicks": _RUN_TIME_TICKS if probed else None,
        "ProductionYear": title.year,
        "IsPlaceHolder": title.placeholder or None,
        "ProviderIds": dict(sorted(title.provider_ids.items())),
        "IsFolder": not film,
        "Type": type(title).__name__,
        "VideoType": "VideoFile" if film else None,
        "AirDays": None if film else [],
        "ImageTags": {"Primary": title.jellyfin_id} if title.has_poster else {},
        **_tail("Video" if film else "Unknown"),
    }


def _episode_row(series: Series, episode: Episode) -> dict[str, Any]:
    probed = not (episode.placeholder or episode.virtual)
    path = series.episode_path(episode)
    return {
        **_head(path.rpartition("/")[2].removesuffix(".mkv"), jellyfin_id("Episode", path)),
        "DateCreated": _stamp(series.created_at),
        "Container": "mkv" if probed else None,
        "Path": None if episode.virtual else path,
        "ChannelId": None,
        "RunTimeTicks": _RUN_TIME_TICKS if probed else None,
        "ProductionYear": series.year if probed else None,
        "IsPlaceHolder": episode.placeholder or None,
        "IndexNumber": episode.number,
        "ParentIndexNumber": episode.season,
        "ProviderIds": {},
        "IsFolder": False,
        "Type": "Episode",
        "SeriesName": series.title,
        "SeriesId": series.jellyfin_id,
        "SeasonId": jellyfin_id("Season", series.season_path(episode.season)),
        "SeasonName": f"Season {episode.season}" if episode.season else "Specials",
        "VideoType": "Dvd" if episode.placeholder else "VideoFile",
        "ImageTags": {},
        **_tail("Video", "Virtual" if episode.virtual else "FileSystem"),
    }


def _folder_row(folder: Folder) -> dict[str, Any]:
    return {
        **_head(folder.name, folder.jellyfin_id),
        "ChannelId": None,
        "ProviderIds": {},
        "IsFolder": True,
        "Type": "Folder",
        "ImageTags": {},
        **_tail("Unknown"),
    }


def _head(name: str, identity: str) -> dict[str, Any]:
    return {"Name": name, "ServerId": template("jellyfin_info")["Id"], "Id": identity}


def _tail(media_type: str, location: str = "FileSystem") -> dict[str, Any]:
    return {
        "BackdropImageTags": [],
        "ImageBlurHashes": {},
        "LocationType": location,
        "MediaType": media_type,
    }


def _episode_id(series: Series, episode: Episode) -> str:
    return jellyfin_id("Episode", series.episode_path(episode))


def _stamp(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"


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
