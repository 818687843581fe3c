"""What the services say about titles on their way: requested, grabbed, downloaded, imported. Pure.

States of Radarr, Sonarr and qBittorrent are kept verbatim, since newer versions add some:
the planner treats an unknown one as no evidence. Every part says when it was
read; one that could not be read is None, which is not the same as empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple

from daemon.domain import Ids, MediaType

OTHER_SEERR = "this is another Seerr than before"


class SeerrStatus(IntEnum):
    """The status of a request in Seerr; the values are Seerr's."""

    NOT_UNDERSTOOD = 0
    PENDING = 1
    APPROVED = 2
    DECLINED = 3
    FAILED = 4
    COMPLETED = 5


class SeerrMedia(IntEnum):
    """The status of a title in Seerr; the values are Seerr's.

    Jellyseerr before 2.6 has no `DELETED`, and Overseerr neither that nor `BLOCKLISTED`.
    """

    NOT_UNDERSTOOD = 0
    UNKNOWN = 1
    PENDING = 2
    PROCESSING = 3
    PARTIALLY_AVAILABLE = 4
    AVAILABLE = 5
    BLOCKLISTED = 6
    DELETED = 7


@dataclass(frozen=True, slots=True)
class SeerrRequest:
    """One open request of Seerr.

    Attributes:
        ids: of its media; TVDB's only if Seerr knows it.
        media: the status of its title, in 4K for a request in 4K.
        sent: Seerr has sent its title to a Radarr or Sonarr: `externalServiceId`,
            or `externalServiceId4k` for a request in 4K, is not null.
        seasons: the requested ones; empty for a film.
        requested_by: the display name only.
        created_at: aware UTC.
    """

    id: int
    media_type: MediaType
    ids: Ids
    status: SeerrStatus
    media: SeerrMedia
    created_at: datetime
    requested_by: str | None = None
    seasons: frozenset[int] = frozenset()
    is_4k: bool = False
    sent: bool = False


class SeerrTitle(NamedTuple):
    """What Seerr knows of a film or series (`/movie/{tmdb}`, `/tv/{tmdb}`)."""

    title: str
    year: int | None = None
    overview: str | None = None
    poster_url: str | None = None
    tvdb: int | None = None


@dataclass(frozen=True, slots=True)
class SeerrReport:
    """The open requests of Seerr: pending, failed and approved ones, read in this order.

    Attributes:
        requests: distinct, as last seen; None if Seerr failed.
        whole: they are complete: a request that is not among them is not open, or its
            title is blocklisted.
        asked: the status of requests looked up by id, None if Seerr answered
            404; failed lookups are left out.
        titles: those looked up, by TMDB id.
        distrust: why it cannot justify a withdrawal, in plain words, such as another Seerr at that
            address; "" if it can be trusted.
    """

    requests: Sequence[SeerrRequest] | None = None
    whole: bool = False
    asked: Mapping[int, SeerrStatus | None] = field(default_factory=dict)
    titles: Mapping[tuple[MediaType, int], SeerrTitle] = field(default_factory=dict)
    distrust: str = ""
    read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One record of `queue/details`; Sonarr has one for each episode of a download.

    Attributes:
        arr_id: the instance's id of the film or series; None for an unknown title.
        episode_id: the instance's id of the episode; None for a film.
        status: of the download, such as `downloading`, `paused`, `warning`, `delay`.
        tracked_state: of its import, such as `importPending`; "" for a held release.
        tracked_status: `ok`, `warning` or `error`; "" for a held release.
        messages: `errorMessage`, then the texts of `statusMessages`, or their titles if
            they have no text.
        size: bytes of the whole download; 0 if unknown.
        left: bytes still to come.
        download_id: the download client's, in upper case; None for a held release.
        torrent: whether the protocol is that of torrents.
        added: when this instance grabbed it; None if it did not.
        title: the release's name, all that is known of an unknown title.
        client: the download client's name in the instance.
    """

    arr_id: int | None
    status: str
    tracked_state: str = ""
    tracked_status: str = ""
    messages: tuple[str, ...] = ()
    size: int = 0
    left: int = 0
    download_id: str | None = None
    torrent: bool = True
    added: datetime | None = None
    episode_id: int | None = None
    season: int | None = None
    quality: str | None = None
    indexer: str | None = None
    title: str = ""
    client: str | None = None


class HistoryKind(StrEnum):
    """The type of a history event; the values are those of Radarr and Sonarr.

    `IMPORTED` stands for `seriesFolderImported`, too, and `FILE_DELETED` for films and episodes.
    """

    GRABBED = "grabbed"
    IMPORTED = "downloadFolderImported"
    FAILED = "downloadFailed"
    IGNORED = "downloadIgnored"
    FILE_DELETED = "fileDeleted"
    OTHER = ""


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One event of `history/since`; Sonarr has one for each episode.

    Attributes:
        date: by the instance's clock, aware UTC.
        download_id: in upper case; None if there is none, as for a manual import.
        reason: why a file was deleted, such as `Upgrade` or `MissingFromDisk`.
        size: bytes of the release.
        torrent: whether a grab went to a torrent client; None if unknown.
        client: the download client's name in the instance, if known.
    """

    kind: HistoryKind
    arr_id: int
    date: datetime
    episode_id: int | None = None
    season: int | None = None
    download_id: str | None = None
    reason: str | None = None
    quality: str | None = None
    indexer: str | None = None
    release_group: str | None = None
    size: int | None = None
    torrent: bool | None = None
    client: str | None = None


class ArrEpisode(NamedTuple):
    """An episode as Sonarr knows it.

    Attributes:
        aired: aware UTC; None if unknown.
        searched: `lastSearchTime`, aware UTC.
    """

    id: int
    season: int
    number: int
    has_file: bool
    monitored: bool
    aired: datetime | None = None
    searched: datetime | None = None


class ArrSeason(NamedTuple):
    """A season's counts in Sonarr.

    Attributes:
        files: episodes that have a file.
        due: episodes that have aired and are monitored, or have a file.
        total: all episodes.
    """

    monitored: bool
    files: int
    due: int
    total: int


@dataclass(frozen=True, slots=True)
class ArrTitle:
    """A film of one Radarr, or a series of one Sonarr.

    Attributes:
        has_file: of a film; for a series see its seasons and episodes.
        released: `isAvailable` of a film; None for a series.
        searched: `lastSearchTime` of a film, aware UTC.
        seasons: by number; empty for a film.
        episodes: None unless they were requested.
        anime: its `seriesType` is anime; for a film, by the configuration.
        files: paths of imported files that Jellyfin may not show yet, if requested.
        read_at: when it was read; None for now. Later history events are newer.
    """

    arr_id: int
    ids: Ids
    title: str
    year: int | None = None
    overview: str | None = None
    poster_url: str | None = None
    monitored: bool = True
    has_file: bool = False
    released: bool | None = None
    searched: datetime | None = None
    seasons: Mapping[int, ArrSeason] = field(default_factory=dict)
    episodes: Sequence[ArrEpisode] | None = None
    anime: bool = False
    files: tuple[str, ...] = ()
    read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArrPipeline:
    """The report of one Radarr or Sonarr on titles on their way, read in this order.

    An import in between is then seen twice, never missed.

    Attributes:
        instance: its name, such as `radarr` or `radarr_4k`.
        media_type: films from a Radarr, series from a Sonarr.
        primary: the tracker's rows hold its ids.
        queue: the whole list, unknown titles included; None if the request failed.
        queue_whole: every entry could be read, so that the list proves absence.
        history: all events since `history_since`, which is the last 30 days or more, in their
            order, including those read by earlier passes. None if the request failed.
        titles: at least those of open requests and tracked rows that it knows; None if the
            request failed.
        whole: a requested title that is not among them is unknown to it.
        unread: wanted titles that could not be looked up yet.
        client_problems: messages of health about download clients that cannot be reached
            (`DownloadClientCheck`, `DownloadClientStatusCheck`); None if not requested.
        started: when the instance was started, aware UTC; None if not requested.
    """

    instance: str
    media_type: MediaType
    primary: bool = True
    is_4k: bool = False
    queue: Sequence[QueueEntry] | None = None
    queue_whole: bool = True
    history: Sequence[HistoryEvent] | None = None
    history_since: datetime | None = None
    titles: Sequence[ArrTitle] | None = None
    whole: bool = False
    unread: frozenset[Ids] = frozenset()
    client_problems: tuple[str, ...] | None = None
    started: datetime | None = None
    read_at: datetime | None = None

    @property
    def label(self) -> str:
        """What people call it: `Radarr`, `Radarr 4k`."""
        return self.instance.replace("_", " ").capitalize()


class Torrent(NamedTuple):
    """A torrent as qBittorrent shows it.

    Attributes:
        state: such as `stalledDL`.
        progress: from 0 to 1; while checking, that of the check.
        speed: bytes per second.
        eta: seconds; None if unknown.
        size: bytes; 0 while a magnet link has no metadata.
    """

    state: str
    progress: float
    speed: int = 0
    eta: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class TorrentReport:
    """All torrents of qBittorrent, in every category.

    Attributes:
        torrents: by hash in upper case, as `download_id`; None if the request failed.
        connected: `connection_status` is not `disconnected`.
    """

    torrents: Mapping[str, Torrent] | None = None
    connected: bool = True
    read_at: datetime | None = None


class ShokoMatch(StrEnum):
    """The state of a file in Shoko."""

    UNSEEN = "unseen"
    UNRECOGNIZED = "unrecognized"
    FETCHING = "fetching"
    MATCHED = "matched"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ShokoReport:
    """Shoko's report on imported files.

    Attributes:
        files: by the path that Radarr or Sonarr reported; failed lookups are left
            out. None if Shoko is not configured or the request failed.
        blocked: why it cannot ask AniDB, in plain words, such as a ban; "" if it can.
    """

    files: Mapping[str, ShokoMatch] | None = None
    blocked: str = ""
    read_at: datetime | None = None


class Holding(NamedTuple):
    """What Jellyfin is known to have of a title.

    Attributes:
        seasons: complete ones; None if unknown. Empty for a film.
    """

    media_type: MediaType
    ids: Ids
    seasons: frozenset[int] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What all services said in one pass over titles on their way.

    Attributes:
        arrs: one of every configured Radarr and Sonarr.
        torrents: None if no qBittorrent is configured.
        shoko: None if it is not configured.
        library: titles that Jellyfin has, completely or partly, as of the last full run.
    """

    seerr: SeerrReport
    arrs: Sequence[ArrPipeline] = ()
    torrents: TorrentReport | None = None
    shoko: ShokoReport | None = None
    library: Sequence[Holding] = ()

    def of(self, media_type: MediaType) -> list[ArrPipeline]:
        """The instances of a media type, the primary first."""
        found = (arr for arr in self.arrs if arr.media_type is media_type)
        return sorted(found, key=lambda arr: (not arr.primary, arr.instance))
