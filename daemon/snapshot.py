"""What the services said in one run; each part says whether it is complete. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from daemon.domain import ItemError, LibraryItem, MediaType, SourceFailure
from daemon.identity import Catalogue


class LibraryFolder(NamedTuple):
    """One of Jellyfin's libraries, and where its files are; the id only if it can hold titles."""

    name: str
    locations: tuple[str, ...]
    id: str = ""


class Activity(NamedTuple):
    """The server's activity.

    Attributes:
        scanning: it is scanning a library, or may be, so rows may be incomplete.
        odd: what in its answer is not understood, in plain words.
    """

    scanning: bool
    libraries: tuple[LibraryFolder, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def locations(self) -> tuple[str, ...]:
        """The paths of all libraries."""
        return tuple(place for folder in self.libraries for place in folder.locations)


class Episode(NamedTuple):
    """An episode row, for a file or for an episode that Jellyfin knows is missing.

    Attributes:
        season: None if episodes are numbered without seasons.
        number: None if the episode is identified by its date.
        end: the last number in a file with several episodes.
        date: the air date, as text.
        playable: None if unknown.
    """

    season: int | None
    number: int | None = None
    end: int | None = None
    date: str | None = None
    playable: bool | None = True

    @property
    def is_read(self) -> bool:
        """Whether Jellyfin has parsed the file yet: at first there is no number or date."""
        return self.number is not None or self.date is not None


class Episodes(NamedTuple):
    """The episodes of one Jellyfin series, as far as they were requested.

    Attributes:
        rows: those whose own SeriesId names it, known missing ones included.
        seasons: numbers of all its seasons.
        partial: some rows could not be read.
    """

    rows: Sequence[Episode]
    seasons: frozenset[int] = frozenset()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading the library.

    Attributes:
        complete: every title that the server counts was read.
        scanning: the server was, or may have been, scanning before or after.
        titles: how many distinct titles were read.
        broken: Jellyfin ids of unusable records; those titles do exist.
        nameless: how many unusable records do not even have an id.
        asked: Jellyfin ids that were looked up; None if everything was read.
        distrust: why it cannot prove absence, in plain words; "" if it can be trusted.
    """

    complete: bool
    scanning: bool
    titles: int = 0
    broken: frozenset[str] = frozenset()
    nameless: int = 0
    asked: frozenset[str] | None = None
    distrust: str = ""

    @property
    def proves_absence(self) -> bool:
        """Whether a title missing here is missing in the library."""
        whole = self.asked is None and self.complete and not self.scanning
        return whole and not self.nameless and not self.distrust

    def proves_gone(self, jellyfin_id: str) -> bool:
        """Whether an item that was not read is gone; in a lookup, only a requested one."""
        if jellyfin_id in self.broken:
            return False
        return self.proves_absence or (
            self.asked is not None and jellyfin_id in self.asked and not self.distrust
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one instance of Radarr or Sonarr.

    Attributes:
        instance: its name, e.g. "Radarr" or "Radarr 4k".
        media_type: films from a Radarr, series from a Sonarr.
        primary: the tracker's rows hold its ids.
        titles: its titles; None if unknown, which is not the same as none.
        whole: it is the complete and current list, so it proves absence.
        remembered: it is from a cache.
        counts: by its own id, the number of all episodes per season, unaired and unmonitored too.
        version: of the service; "" if unknown.
        listed: how many titles its list has, broken ones included; None if it was not read.
        folders_away: root folders that the instance cannot reach; None if unknown.
        gaps: failed requests.
        defects: broken records of its list.
    """

    instance: str
    media_type: MediaType
    primary: bool = True
    titles: Catalogue | None = None
    whole: bool = False
    counts: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    remembered: bool = False
    version: str = ""
    listed: int | None = None
    folders_away: tuple[str, ...] | None = None
    gaps: Sequence[SourceFailure] = ()
    defects: Sequence[ItemError] = ()


_BLOCK: Final = 65_536
_PLACE: Final = 16
_BETWEEN: Final = "\0"


class Texts:
    """Paths and overviews of items, compressed in blocks of 64 KiB.

    They are most of an item's memory, and are needed once, when its row is written: this saves
    60 MB for 100,000 titles. Reading in insertion order is fastest.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._pending: list[str] = []
        self._size = 0
        self._taken: tuple[int, list[str]] = (-1, [])

    def without(self, item: LibraryItem) -> LibraryItem:
        """The item without its long texts, which are stored here."""
        return item._replace(path=None, overview=None, texts=self.put(item.path, item.overview))

    def put(self, path: str | None, overview: str | None) -> int:
        """Store the texts of an item; returns a handle, which is never 0."""
        kept = [(text or "").replace(_BETWEEN, "") for text in (path, overview)]
        number = (len(self._blocks) << _PLACE | len(self._pending) // 2) + 1
        self._pending += kept
        self._size += len(kept[0]) + len(kept[1])
        if self._size >= _BLOCK:
            text = _BETWEEN.join(self._pending).encode("utf-8", "surrogatepass")
            self._blocks.append(zlib.compress(text, 1))
            self._pending, self._size = [], 0
        return number

    def full(self, item: LibraryItem) -> LibraryItem:
        """The item with its long texts."""
        if not item.texts:
            return item
        block, place = (item.texts - 1) >> _PLACE, (item.texts - 1) & ((1 << _PLACE) - 1)
        path, overview = self._block(block)[place * 2 : place * 2 + 2]
        return item._replace(path=path or None, overview=overview or None, texts=0)

    def _block(self, number: int) -> list[str]:
        if number == len(self._blocks):
            return self._pending
        if self._taken[0] != number:
            text = zlib.decompress(self._blocks[number]).decode("utf-8", "surrogatepass")
            self._taken = number, text.split(_BETWEEN)
        return self._taken[1]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The library and the services' reports, as observed in one run.

    Attributes:
        items: each distinct movie and series once.
        reports: one of every configured Radarr and Sonarr.
        locations: paths of the libraries that the server lists now.
        episodes: by Jellyfin id of the series asked about.
        texts: the long texts of the items.
    """

    items: Sequence[LibraryItem] = ()
    reading: Reading = Reading(complete=False, scanning=True)
    reports: Sequence[Report] = ()
    locations: tuple[str, ...] = ()
    episodes: Mapping[str, Episodes] = field(default_factory=dict)
    texts: Texts = field(default_factory=Texts, compare=False)

    def of(self, media_type: MediaType) -> list[Report]:
        """The reports about films, or about series, the primary's first."""
        found = (report for report in self.reports if report.media_type is media_type)
        return sorted(found, key=lambda report: (not report.primary, report.instance))
