"""What is on its way in the pretend world: requests in Seerr, downloads, and what came of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.pretend.library import Movie, RadarrMovie, Series, SonarrSeason, SonarrSeries, World

PENDING, APPROVED, DECLINED, FAILED, COMPLETED = range(1, 6)
"""The statuses of a request in Seerr."""

_UNKNOWN, _ASKED, _PROCESSING, _PARTLY, _AVAILABLE = range(1, 6)
_SIZE = 1_500_000_000


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(slots=True)
class Wish:
    """A request in Seerr; it may be changed at will.

    Attributes:
        title: the film or series; it need not be in Jellyfin.
        media: the status that Seerr has of the title.
        sent: the number that Radarr or Sonarr gave it, once it was sent there.
    """

    number: int
    title: Movie | Series
    status: int = PENDING
    seasons: tuple[int, ...] = ()
    requested_by: str = "reader"
    is_4k: bool = False
    media: int = _ASKED
    sent: int | None = None
    created_at: datetime = field(default_factory=_now)


@dataclass(slots=True)
class Download:
    """A torrent, in the queue of the Radarr or Sonarr that grabbed it until it is imported.

    Attributes:
        known: the number of the film or series there.
        season: of a pack; None for a film.
        state: qBittorrent's word.
        tracked: the word of Radarr or Sonarr for its import.
        messages: what speaks against its import.
        imported: it has left the queue.
    """

    hash: str
    instance: str
    known: int
    release: str
    season: int | None = None
    episodes: int = 1
    progress: float = 0.0
    state: str = "stalledDL"
    tracked: str = "downloading"
    messages: tuple[str, ...] = ()
    imported: bool = False
    size: int = _SIZE
    added: datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of a history; of a pack there is one for each episode."""

    kind: str
    download: Download
    date: datetime
    episode: int | None = None


@dataclass(slots=True)
class Pipeline:
    """Lets a title take its way: requested, approved, grabbed, downloaded, imported.

    Attributes:
        wishes: by number.
        downloads: by hash.
        history: the oldest first.
        connected: whether qBittorrent reaches anybody.
    """

    world: World
    wishes: dict[int, Wish] = field(default_factory=dict)
    downloads: dict[str, Download] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    connected: bool = True

    def request(self, title: Movie | Series, seasons: tuple[int, ...] = ()) -> Wish:
        """Let somebody ask for a title."""
        wish = Wish(max(self.wishes, default=0) + 1, title, seasons=seasons)
        self.wishes[wish.number] = wish
        return wish

    def approve(self, wish: Wish) -> None:
        """Let Seerr send it to Radarr, or to Sonarr, which monitor it from then on."""
        wish.status, wish.media = APPROVED, _PROCESSING
        if isinstance(wish.title, Movie):
            wish.sent = self.world.radarr_knows(wish.title, has_file=False).id
            return
        seasons = tuple(SonarrSeason(number, 0, 3, 3) for number in wish.seasons)
        wish.sent = self.world.sonarr_knows(wish.title, seasons=seasons).id

    def grab(self, wish: Wish) -> Download:
        """Let Radarr or Sonarr find it, and qBittorrent begin; of a series its first season."""
        if wish.sent is None:
            raise ValueError("it was not sent anywhere yet")
        film = isinstance(wish.title, Movie)
        release = f"{wish.title.title.replace(' ', '.')}.1080p.WEB-DL-PD"
        number = hashlib.sha1(release.encode(), usedforsecurity=False).hexdigest()
        download = Download(number, "radarr" if film else "sonarr", wish.sent, release)
        if not film:
            download.season, download.episodes = wish.seasons[0], 3
        self.downloads[number] = download
        self._happened("grabbed", download)
        return download

    def advance(self, download: Download, progress: float) -> None:
        """Let it come so far; a whole one waits for its import."""
        download.progress = progress
        whole = progress >= 1
        download.state = "stalledUP" if whole else "downloading"
        download.tracked = "importPending" if whole else "downloading"

    def take_in(self, download: Download) -> None:
        """Let Radarr or Sonarr import it; Jellyfin is not told."""
        download.imported = True
        self._happened("downloadFolderImported", download)
        known = self.world.known_to(download.instance)
        one = known[download.known]
        if isinstance(one, RadarrMovie):
            known[one.id] = replace(one, has_file=True)
        elif isinstance(one, SonarrSeries):
            seasons = (
                replace(season, files=season.total) if season.number == download.season else season
                for season in one.seasons
            )
            known[one.id] = replace(one, seasons=tuple(seasons))

    def upgrade(self, instance: str, number: int, ago: timedelta = timedelta()) -> None:
        """Let Radarr or Sonarr delete a file, since a better one is to be imported."""
        film = instance.startswith("radarr")
        gone = Download("", instance, number, "old", None if film else 1)
        kind = "movieFileDeleted" if film else "episodeFileDeleted"
        self.history.append(Event(kind, gone, _now() - ago, None if film else 1))

    def complete(self, wish: Wish) -> None:
        """Let Seerr notice that the title is there."""
        wish.status, wish.media = COMPLETED, _AVAILABLE

    def withdraw(self, wish: Wish) -> None:
        """Let somebody delete the request."""
        del self.wishes[wish.number]

    def _happened(self, kind: str, download: Download) -> None:
        self.history += [Event(kind, download, _now(), each) for each in episodes(download)]


def episodes(download: Download) -> list[int | None]:
    """The numbers of a download's episodes within its season; for a film none."""
    if download.season is None:
        return [None]
    return list(range(1, download.episodes + 1))


def episode_id(series: int, season: int, number: int) -> int:
    """Sonarr's number of an episode."""
    return series * 10_000 + season * 100 + number
