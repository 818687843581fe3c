"""What the services said in one run; each part says whether it is complete. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from daemon.domain import ItemError, LibraryItem, MediaType, SourceFailure
from daemon.identity import Catalogue


class LibraryFolder(NamedTuple):
    """One of Jellyfin's libraries, and where its files are; the id only if it can hold titles."""

    name: str
    locations: tuple[str, ...]
    id: str = ""


class Activity(NamedTuple):
    """What the server is doing.

    Attributes:
        scanning: it is at work on a library, or may be, so that rows may stand there half-made.
        odd: in plain words, what of its answer is not understood.
    """

    scanning: bool
    libraries: tuple[LibraryFolder, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def locations(self) -> tuple[str, ...]:
        """Where the files of all libraries are."""
        return tuple(place for folder in self.libraries for place in folder.locations)


class Episode(NamedTuple):
    """A row of an episode, for a file or for one that Jellyfin knows to be missing.

    Attributes:
        season: None where episodes are numbered without seasons.
        number: None where the episode goes by its date.
        end: the last number of a file that holds several.
        date: the day it was aired, as text.
        playable: it can be played; None where that is not understood.
    """

    season: int | None
    number: int | None = None
    end: int | None = None
    date: str | None = None
    playable: bool | None = True

    @property
    def is_read(self) -> bool:
        """Whether Jellyfin has read the file yet: at first it has neither number nor date."""
        return self.number is not None or self.date is not None


class Episodes(NamedTuple):
    """The episodes of one Jellyfin series, as far as they were asked for.

    Attributes:
        rows: those whose own SeriesId names it, the missing ones that are known included.
        seasons: numbers of all its seasons.
        partial: some rows could not be read.
    """

    rows: Sequence[Episode]
    seasons: frozenset[int] = frozenset()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How the reading of the library went.

    Attributes:
        complete: every title that the server counted was read.
        scanning: the server was at work on its library before or after, or may have been.
        titles: distinct titles read.
        broken: Jellyfin ids of records that could not be used; those titles are there all the same.
        nameless: records that could not be used and do not even say which item they are about.
        asked: Jellyfin ids that were asked for one by one; None where everything was.
        distrust: why nothing may be called gone by it, in plain words; "" if it can be trusted.
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
        """Whether what is not in it is not in the library."""
        whole = self.asked is None and self.complete and not self.scanning
        return whole and not self.nameless and not self.distrust

    def proves_gone(self, jellyfin_id: str) -> bool:
        """Whether an item that was not read is gone; of several looked at, only one asked for."""
        if jellyfin_id in self.broken:
            return False
        return self.proves_absence or (
            self.asked is not None and jellyfin_id in self.asked and not self.distrust
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What one instance of Radarr or Sonarr said.

    Attributes:
        instance: its name, e.g. "Radarr" or "Radarr 4k".
        media_type: films from a Radarr, series from a Sonarr.
        primary: its numbers are the ones that the tracker's rows hold.
        titles: what it keeps; None where that is unknown, which is never the same as nothing.
        whole: it is the complete list as it is now, so that what is not in it is not there.
        remembered: it is what the instance said some time ago.
        counts: by its own number, all episodes of each season, aired or not, monitored or not.
        version: of the service; "" where it did not say.
        listed: how many titles its list has, the broken ones included; None if it was not read.
        folders_away: root folders that the instance cannot reach; None where it did not say.
        gaps: what could not be asked.
        defects: what in its list was broken.
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

    They are most of what an item takes, and are needed once, when its row is written: so 100,000
    titles are 60 MB less. They are best taken out in the order in which they were put in.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._pending: list[str] = []
        self._size = 0
        self._taken: tuple[int, list[str]] = (-1, [])

    def without(self, item: LibraryItem) -> LibraryItem:
        """The item, its long texts kept here."""
        return replace(item, path=None, overview=None, texts=self.put(item.path, item.overview))

    def put(self, path: str | None, overview: str | None) -> int:
        """Keep the texts of an item; returns where they are, which is never 0."""
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
        return replace(item, path=path or None, overview=overview or None, texts=0)

    def _block(self, number: int) -> list[str]:
        if number == len(self._blocks):
            return self._pending
        if self._taken[0] != number:
            text = zlib.decompress(self._blocks[number]).decode("utf-8", "surrogatepass")
            self._taken = number, text.split(_BETWEEN)
        return self._taken[1]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The library and what is around it, as observed in one run.

    Attributes:
        items: each distinct movie and series once.
        reports: one of every configured Radarr and Sonarr.
        locations: where the libraries are that the server lists now.
        episodes: by Jellyfin id, of the series that were asked about.
        texts: long ones of the items.
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
