"""How pretend Jellyfin writes the rows of its great query."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from tests.pretend.library import Episode, Folder, Movie, Series, World, overridden
from tests.pretend.wire import template

_RUN_TIME_TICKS = 57_000_000_000
_WRITTEN_AS_NULL = frozenset({"ChannelId", "SeriesId", "SeasonId"})


class EpisodeRow(NamedTuple):
    """An episode, the series that it belongs to, and whether its season is known."""

    series: Series
    episode: Episode
    in_season: bool

    @property
    def id(self) -> str:
        """Its Jellyfin id."""
        return self.series.key(self.episode)

    @property
    def number(self) -> int | None:
        """Its number, as soon as it is read."""
        return None if self.episode.unread else self.episode.number

    @property
    def season(self) -> int | None:
        """Its season's number, as soon as it is read."""
        return None if self.episode.unread else self.episode.season

    @property
    def missing(self) -> bool:
        """Whether there is no file."""
        return self.episode.virtual

    @property
    def of_series(self) -> bool:
        """Whether it knows its series already."""
        return self.episode.unread < 2

    @property
    def folder(self) -> tuple[str, int | None] | None:
        """The season that it is in: the series' id, and the season's number."""
        return (self.series.jellyfin_id, self.episode.season) if self.in_season else None


class SeasonRow(NamedTuple):
    """A season of a series; it may have no folder, or nothing but missing episodes."""

    series: Series
    number: int | None
    has_folder: bool
    missing: bool

    @property
    def id(self) -> str:
        """Its Jellyfin id."""
        return self.series.season_id(self.number)

    @property
    def season(self) -> None:
        """A season is in no other one."""

    @property
    def of_series(self) -> bool:
        """Whether it knows its series already, which every season does."""
        return True

    @property
    def folder(self) -> None:
        """A season is in no other one."""


Part = EpisodeRow | SeasonRow
Item = Movie | Series | Part | Folder


def write(world: World, item: Item, hidden: frozenset[str]) -> dict[str, Any]:
    """Write one row, without the keys that are hidden."""
    head = {"ServerId": world.server_id or template("jellyfin_info")["Id"]}
    row = {"Name": None, **head, **_written(item)}
    kept = {
        key: value for key, value in row.items() if value is not None or key in _WRITTEN_AS_NULL
    }
    if isinstance(item, Movie | Series):
        kept = overridden(kept, item.raw)
    return {key: value for key, value in kept.items() if key not in hidden}


def _written(item: Item) -> dict[str, Any]:
    match item:
        case EpisodeRow():
            return _episode_row(item)
        case SeasonRow():
            return _season_row(item)
        case Folder():
            return _folder_row(item)
        case _:
            return _title_row(item)


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
        **_tail("Video" if film else "Unknown", title.location),
    }


def _episode_row(row: EpisodeRow) -> dict[str, Any]:
    series, episode = row.series, row.episode
    probed = not (episode.placeholder or episode.virtual)
    path = series.episode_path(episode)
    return {
        **_head(path.rpartition("/")[2].removesuffix(".mkv"), row.id),
        "DateCreated": _stamp(series.created_at),
        "Container": "mkv" if probed else None,
        "PremiereDate": _midnight(episode.premiered),
        "Path": None if episode.virtual else path,
        "ChannelId": None,
        "RunTimeTicks": _RUN_TIME_TICKS if probed else None,
        "ProductionYear": series.year if probed else None,
        "IsPlaceHolder": episode.placeholder or None,
        "IndexNumber": row.number,
        "IndexNumberEnd": None if episode.unread else episode.end,
        "ParentIndexNumber": row.season,
        "ProviderIds": {},
        "IsFolder": False,
        "Type": "Episode",
        **_belonging(row),
        "VideoType": "Dvd" if episode.placeholder else "VideoFile",
        "ImageTags": {},
        **_tail("Video", _location(episode)),
    }


def _belonging(row: EpisodeRow) -> dict[str, Any]:
    """Tell its series and season; ids that are not known yet are null, names are absent."""
    if not row.of_series:
        return {"SeriesId": None, "SeasonId": None}
    # A file outside of a season's folder has its season's name from its number alone.
    number = row.episode.season if row.in_season else row.season
    return {
        "SeriesName": row.series.title,
        "SeriesId": row.series.jellyfin_id,
        "SeasonId": row.series.season_id(row.episode.season) if row.in_season else None,
        "SeasonName": _season_name(number),
    }


def _season_row(row: SeasonRow) -> dict[str, Any]:
    return {
        **_head(_season_name(row.number), row.id),
        "DateCreated": _stamp(row.series.created_at),
        "Path": row.series.season_path(row.number) if row.has_folder else None,
        "ChannelId": None,
        "IndexNumber": row.number,
        "ProviderIds": {},
        "IsFolder": True,
        "Type": "Season",
        "SeriesName": row.series.title,
        "SeriesId": row.series.jellyfin_id,
        "ImageTags": {},
        **_tail("Unknown", "FileSystem" if row.has_folder else "Virtual"),
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
    return {"Name": name, "Id": identity}


def _tail(media_type: str, location: str | None = "FileSystem") -> dict[str, Any]:
    return {
        "BackdropImageTags": [],
        "ImageBlurHashes": {},
        "LocationType": location,
        "MediaType": media_type,
    }


def _season_name(number: int | None) -> str:
    return "Specials" if number == 0 else f"Season {'Unknown' if number is None else number}"


def _location(episode: Episode) -> str | None:
    return "Virtual" if episode.virtual and episode.location == "FileSystem" else episode.location


def _midnight(day: date | None) -> str | None:
    return _stamp(datetime.combine(day, time(), UTC)) if day else None


def _stamp(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"
