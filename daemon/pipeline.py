"""What the services say about titles on their way: requested, grabbed, downloaded, imported. Pure.

Words of Radarr, Sonarr and qBittorrent are kept as they come, since newer versions have new ones:
the planner takes a word that it does not know for no evidence at all. Every part says when it was
read; one that could not be read is None, which is never the same as empty.
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
    """The status of a request in Seerr; the values are its own numbers."""

    NOT_UNDERSTOOD = 0
    PENDING = 1
    APPROVED = 2
    DECLINED = 3
    FAILED = 4
    COMPLETED = 5


class SeerrMedia(IntEnum):
    """The status of a title in Seerr; the values are its own numbers.

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
        ids: of its media; TVDB's only where Seerr knows it.
        media: the status of its title, in 4K for a request in 4K.
        sent: Seerr has handed its title to a Radarr or Sonarr at some time: `externalServiceId`,
            or `externalServiceId4k` for a request in 4K, is not null.
        seasons: that are asked for; empty for a film.
        requested_by: the display name, and nothing else of that person.
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
        requests: each once, as last seen; None if Seerr could not be asked.
        whole: they are all of them, so that a request that is not among them is not open, or its
            title is blocklisted.
        asked: the status of requests that were asked for by their ids, None where Seerr answered
            404; what could not be asked is left out.
        titles: those that were asked for, by TMDB's number.
        distrust: why nothing may be withdrawn by it, in plain words, such as another Seerr at that
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
        arr_id: the instance's number of the film or series; None if the download fits none.
        episode_id: the instance's number of the episode; None for a film.
        status: the word for the download, such as `downloading`, `paused`, `warning`, `delay`.
        tracked_state: the word for its import, such as `importPending`; "" for a held release.
        tracked_status: `ok`, `warning` or `error`; "" for a held release.
        messages: `errorMessage`, then the texts of `statusMessages`, each with its title where
            it has no text of its own.
        size: bytes of the whole download; 0 where that is not known yet.
        left: of them, still to come.
        download_id: the download client's, in upper case; None for a held release.
        torrent: whether the protocol is that of torrents.
        added: when this instance grabbed it; None if it did not grab it itself.
        title: the release's name, which is all that is known of an unknown one.
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
    """What an event of the history tells; the values are the words of Radarr and Sonarr.

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
        download_id: in upper case; None where there is none, as on an import by hand.
        reason: why a file was deleted, such as `Upgrade` or `MissingFromDisk`.
        size: bytes of the release.
        torrent: whether a grab went to a torrent client; None where that is not said.
        client: the download client's name in the instance, where it is said.
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
        aired: when, or None if that is not known; aware UTC.
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
        has_file: of a film; a series tells by its seasons and episodes.
        released: `isAvailable` of a film; None for a series.
        searched: `lastSearchTime` of a film, aware UTC.
        seasons: by their numbers; empty for a film.
        episodes: None unless they were asked for.
        anime: its `seriesType` is anime; of a film, where the configuration says so.
        files: paths of what was imported and Jellyfin may not show yet, where they were asked for.
        read_at: when this was said; None for now. What the history tells since then is newer.
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
    """What one Radarr or Sonarr says of titles on their way; read in the order of the fields.

    An import in between is then seen twice, never missed.

    Attributes:
        instance: its name, such as `radarr` or `radarr_4k`.
        media_type: films from a Radarr, series from a Sonarr.
        primary: the tracker's rows hold its ids.
        queue: the whole list, of unknown titles, too; None if it could not be asked.
        queue_whole: every entry of it could be read, so that what is not among them is not there.
        history: all events since `history_since`, which is the last 30 days or more, in their
            order; what earlier passes have read of them included. None if it could not be asked.
        titles: at least those of open requests and tracked rows that it knows; None if it could
            not be asked.
        whole: a requested title that is not among them is not known to it.
        unread: wanted titles of which it is not known yet whether it has them, and what.
        client_problems: messages of health about download clients that cannot be reached
            (`DownloadClientCheck`, `DownloadClientStatusCheck`); None if that was not asked.
        started: when the instance was started, aware UTC; None if that was not asked.
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
        state: its word, such as `stalledDL`.
        progress: from 0 to 1; while a torrent is checked, that of the check.
        speed: bytes per second.
        eta: seconds; None where it is not known.
        size: bytes; 0 where a magnet link has no metadata yet.
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
        torrents: by hash in upper case, as `download_id`; None if they could not be asked.
        connected: `connection_status` is not `disconnected`.
    """

    torrents: Mapping[str, Torrent] | None = None
    connected: bool = True
    read_at: datetime | None = None


class ShokoMatch(StrEnum):
    """How far Shoko has come with a file."""

    UNSEEN = "unseen"
    UNRECOGNIZED = "unrecognized"
    FETCHING = "fetching"
    MATCHED = "matched"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ShokoReport:
    """What Shoko says of imported files.

    Attributes:
        files: by the path that Radarr or Sonarr gave; a file that could not be asked for is left
            out. None if Shoko is not configured or could not be asked.
        blocked: why it cannot ask AniDB now, in plain words, such as a ban; "" if it can.
    """

    files: Mapping[str, ShokoMatch] | None = None
    blocked: str = ""
    read_at: datetime | None = None


class Holding(NamedTuple):
    """What Jellyfin is known to have of a title.

    Attributes:
        seasons: that are there as a whole; None where that is not known. Empty for a film.
    """

    media_type: MediaType
    ids: Ids
    seasons: frozenset[int] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What all services said in one pass over the titles on their way.

    Attributes:
        arrs: one of every configured Radarr and Sonarr.
        torrents: None if no qBittorrent is configured.
        shoko: None if it is not configured.
        library: titles that Jellyfin has, wholly or in part, as far as the last full run knows.
    """

    seerr: SeerrReport
    arrs: Sequence[ArrPipeline] = ()
    torrents: TorrentReport | None = None
    shoko: ShokoReport | None = None
    library: Sequence[Holding] = ()

    def of(self, media_type: MediaType) -> list[ArrPipeline]:
        """The instances for films, or for series, the primary first."""
        found = (arr for arr in self.arrs if arr.media_type is media_type)
        return sorted(found, key=lambda arr: (not arr.primary, arr.instance))
