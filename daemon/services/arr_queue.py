"""Radarr and Sonarr: queue, history and details of titles on their way.

The queue is a cache, refreshed once a minute and after each grab and import. It is empty while
they cannot reach their download client, and in the first half minute after a start (seen on Radarr
6 and Sonarr 4): an empty queue alone proves nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import msgspec
import pydantic

from daemon.domain import Ids, MediaType
from daemon.pipeline import (
    ArrEpisode,
    ArrSeason,
    ArrTitle,
    HistoryEvent,
    HistoryKind,
    QueueEntry,
)
from daemon.services.http import ServiceHttp
from daemon.services.listing import Found, UnusableError, decoded, listed, moment
from daemon.services.records import Int32

_CLIENT_CHECKS: Final = {"DownloadClientCheck", "DownloadClientStatusCheck"}
_TORRENTS: Final = {"1": False, "2": True, "usenet": False, "torrent": True}
_KINDS: Final = {
    "seriesFolderImported": HistoryKind.IMPORTED,
    "movieFolderImported": HistoryKind.IMPORTED,
    "movieFileDeleted": HistoryKind.FILE_DELETED,
    "episodeFileDeleted": HistoryKind.FILE_DELETED,
}
_PLACES: Final = ("movieId", "seriesId", "episodeId", "downloadId")
_STANDING: Final = ("tmdbId", "tvdbId", "monitored", "hasFile", "seasons")
_MAGNET: Final = re.compile(r"magnet:[^\s\])]*", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"(\w+://)(?:[^\s/@]*@)?([^\s/?#\])]*)[^\s\])]*")
_KEY: Final = re.compile(r"\b(\w*(?:key|token|pass|passwd|password)=)[^\s&;\])]+", re.IGNORECASE)


class _Named(msgspec.Struct, gc=False):
    name: str | None = None


class _Quality(msgspec.Struct, gc=False):
    quality: _Named | None = None


class _Message(msgspec.Struct, gc=False):
    title: str | None = None
    messages: list[str] = []


class _Entry(msgspec.Struct, gc=False):
    """A queue record; a download that matches no title has no title id."""

    status: str
    id: int = 0
    title: str = ""
    movieId: Int32 | None = None
    seriesId: Int32 | None = None
    episodeId: Int32 | None = None
    seasonNumber: Int32 | None = None
    trackedDownloadState: str = ""
    trackedDownloadStatus: str = ""
    statusMessages: list[_Message] = []
    errorMessage: str | None = None
    size: float = 0
    sizeleft: float = 0
    downloadId: str | None = None
    protocol: str = ""
    added: datetime | None = None
    downloadClient: str | None = None
    indexer: str | None = None
    quality: _Quality | None = None


class _Data(msgspec.Struct, gc=False):
    """The needed part of an event's data, which also contain the indexer's passkey."""

    indexer: str | None = None
    releaseGroup: str | None = None
    size: str | None = None
    reason: str | None = None
    protocol: str | None = None
    downloadClientName: str | None = None


class _Place(msgspec.Struct, gc=False):
    seasonNumber: Int32 | None = None


class _Event(msgspec.Struct, gc=False):
    eventType: str
    date: datetime
    id: int = 0
    movieId: Int32 | None = None
    seriesId: Int32 | None = None
    episodeId: Int32 | None = None
    downloadId: str | None = None
    quality: _Quality | None = None
    episode: _Place | None = None
    data: _Data | None = None


class _Episode(msgspec.Struct, gc=False):
    id: Int32
    seasonNumber: Int32
    episodeNumber: Int32
    hasFile: bool = False
    monitored: bool = True
    airDateUtc: datetime | None = None
    lastSearchTime: datetime | None = None


class _File(msgspec.Struct, gc=False):
    path: str | None = None
    dateAdded: datetime | None = None


class _Health(pydantic.BaseModel):
    source: str = ""
    message: str = ""


class _Status(pydantic.BaseModel):
    startTime: datetime


class _Image(msgspec.Struct, gc=False):
    coverType: str = ""
    remoteUrl: str | None = None


class _Counts(msgspec.Struct, gc=False):
    episodeFileCount: int = 0
    episodeCount: int = 0
    totalEpisodeCount: int = 0


class _Season(msgspec.Struct, gc=False):
    """A season; without any episode it has no statistics (seen on Sonarr 4)."""

    seasonNumber: int
    monitored: bool = False
    statistics: _Counts = msgspec.field(default_factory=_Counts)


class _Title(msgspec.Struct, gc=False):
    """A film or a series; 0 and "" mean unknown."""

    id: Int32
    title: str = ""
    tmdbId: Int32 = 0
    tvdbId: Int32 = 0
    imdbId: str = ""
    year: int = 0
    overview: str = ""
    images: list[_Image] = []
    monitored: bool = True
    hasFile: bool = False
    isAvailable: bool | None = None
    lastSearchTime: datetime | None = None
    movieFile: _File | None = None
    seasons: list[_Season] = []
    seriesType: str = ""


class ArrQueueClient:
    """Queries about titles on their way; every method may raise ServiceError."""

    def __init__(self, http: ServiceHttp, media_type: MediaType) -> None:
        self.http = http
        self.media_type = media_type
        self._noun = "movie" if media_type is MediaType.MOVIE else "series"

    async def queue(self) -> Found[QueueEntry]:
        """The whole queue, unknown titles included; it is not paged."""
        return await listed(self.http, "/api/v3/queue/details", {}, _Entry, _queued, _PLACES)

    async def history(self, since: datetime) -> Found[HistoryEvent]:
        """The history since a time, oldest first."""
        # A time without its zone is taken for the server's own local time (seen on Sonarr 4).
        query = {"date": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if self.media_type is MediaType.TV:
            query["includeEpisode"] = "true"  # tells the season
        return await listed(self.http, "/api/v3/history/since", query, _Event, _happened, _PLACES)

    async def episodes(self, series: int) -> Found[ArrEpisode]:
        """All episodes of a series, by Sonarr's id."""
        query = {"seriesId": str(series)}
        return await listed(self.http, "/api/v3/episode", query, _Episode, _episode)

    async def files(self, series: int, since: datetime) -> tuple[str, ...]:
        """Paths of a series' files added since a time, newest first."""
        query = {"seriesId": str(series)}
        path = "/api/v3/episodefile"
        rows = (await listed(self.http, path, query, _File, lambda row: row)).values
        found = [(added, row.path) for row in rows if (added := moment(row.dateAdded)) and row.path]
        return tuple(path for added, path in sorted(found, reverse=True) if added >= since)

    async def title(self, number: int) -> ArrTitle | None:
        """The film or series with the instance's id; None if absent (6 ms for a series)."""
        path = f"/api/v3/{self._noun}/{number}"
        reply = await self.http.read(path, also={HTTPStatus.NOT_FOUND})
        if reply.status != HTTPStatus.NOT_FOUND:
            return _title(decoded(self.http, path, reply.body, _Title, _STANDING))
        if not reply.body:  # so it answers where it does not know the path
            raise self.http.not_found(path)
        return None

    async def film(self, tmdb: int) -> ArrTitle | None:
        """Radarr's film with a TMDB id; None if absent (0.04 s)."""
        path, query = "/api/v3/movie", {"tmdbId": str(tmdb)}
        found = await listed(self.http, path, query, _Title, _title, _STANDING)
        if not found.whole:
            raise self.http.not_json(path, found.defects[0].reason)
        return found.values[0] if found.values else None

    async def client_problems(self) -> tuple[str, ...]:
        """Health messages about unreachable download clients."""
        found = await self.http.get("/api/v3/health", list[_Health])
        return tuple(_shown(one.message) for one in found if one.source in _CLIENT_CHECKS)

    async def started(self) -> datetime | None:
        """When it was started, aware UTC."""
        return moment((await self.http.get("/api/v3/system/status", _Status)).startTime)


def _shown(text: str) -> str:
    """A message of the service without keys: trackers have them in paths, indexers in queries."""
    text = _ADDRESS.sub(r"\1\2", _MAGNET.sub("a magnet link", text))
    return _KEY.sub(r"\1…", text)


def _messages(entry: _Entry) -> tuple[str, ...]:
    texts = [entry.errorMessage or ""]
    for message in entry.statusMessages:
        texts += message.messages or [message.title or ""]
    return tuple(dict.fromkeys(_shown(text) for text in texts if text))


def _quality(quality: _Quality | None) -> str | None:
    return quality.quality.name if quality and quality.quality else None


def _upper(download: str | None) -> str | None:
    return download.upper() if download else None


def _queued(entry: _Entry) -> QueueEntry:
    return QueueEntry(
        arr_id=entry.movieId or entry.seriesId,
        status=entry.status,
        tracked_state=entry.trackedDownloadState,
        tracked_status=entry.trackedDownloadStatus,
        messages=_messages(entry),
        size=int(entry.size),
        left=int(entry.sizeleft),
        download_id=_upper(entry.downloadId),
        torrent=entry.protocol == "torrent",
        added=moment(entry.added),
        episode_id=entry.episodeId,
        season=entry.seasonNumber,
        quality=_quality(entry.quality),
        indexer=entry.indexer,
        title=entry.title,
        client=entry.downloadClient,
    )


def _kind(word: str) -> HistoryKind:
    try:
        return _KINDS.get(word) or HistoryKind(word)
    except ValueError:
        return HistoryKind.OTHER


def _happened(event: _Event) -> HistoryEvent:
    number, date = event.movieId or event.seriesId, moment(event.date)
    if number is None or date is None:
        raise UnusableError("it is of no title, or of no time")
    data = event.data or _Data()
    return HistoryEvent(
        kind=_kind(event.eventType),
        arr_id=number,
        date=date,
        episode_id=event.episodeId,
        season=event.episode.seasonNumber if event.episode else None,
        download_id=_upper(event.downloadId),
        reason=data.reason,
        quality=_quality(event.quality),
        indexer=data.indexer,
        release_group=data.releaseGroup,
        size=int(data.size) if data.size and data.size.isdecimal() else None,
        torrent=_TORRENTS.get(data.protocol or ""),
        client=data.downloadClientName,
    )


def _episode(row: _Episode) -> ArrEpisode:
    return ArrEpisode(
        row.id,
        row.seasonNumber,
        row.episodeNumber,
        row.hasFile,
        row.monitored,
        moment(row.airDateUtc),
        moment(row.lastSearchTime),
    )


def _title(row: _Title) -> ArrTitle:
    posters = [image.remoteUrl for image in row.images if image.coverType == "poster"]
    file = row.movieFile.path if row.movieFile else None
    return ArrTitle(
        arr_id=row.id,
        ids=Ids(row.tmdbId or None, row.tvdbId or None, row.imdbId.lower() or None),
        title=row.title,
        year=row.year or None,
        overview=row.overview or None,
        poster_url=next((url for url in posters if url), None),
        monitored=row.monitored,
        has_file=row.hasFile,
        released=row.isAvailable,
        searched=moment(row.lastSearchTime),
        seasons={season.seasonNumber: _season(season) for season in row.seasons},
        anime=row.seriesType == "anime",
        files=(file,) if file else (),
    )


def _season(row: _Season) -> ArrSeason:
    counts = row.statistics
    return ArrSeason(
        row.monitored, counts.episodeFileCount, counts.episodeCount, counts.totalEpisodeCount
    )
