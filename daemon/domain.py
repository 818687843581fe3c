"""The vocabulary: frozen values and enumerations, free of any I/O library."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

OUR_NAME = "Library Sync"
"""What stands in `requested_by` of the rows that this program added."""

Column = int | str | None
"""A value of a tracker column."""

FILLABLE = (
    *("jellyfin_id", "tmdb_id", "tvdb_id", "imdb_id", "radarr_id", "sonarr_id"),
    *("year", "overview", "poster_url"),
)
"""The tracker's columns that may be filled where they are NULL."""


class MediaType(StrEnum):
    """What a title is; the values are the tracker's own names."""

    MOVIE = "MOVIE"
    TV = "TV"


class RequestState(StrEnum):
    """Where a tracked request stands; the values are the tracker's own names."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    GRABBING = "GRABBING"
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    IMPORTING = "IMPORTING"
    ANIME_MATCHING = "ANIME_MATCHING"
    AVAILABLE = "AVAILABLE"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    MATCH_FAILED = "MATCH_FAILED"


_HALF, _LOW = 32, 2**32 - 1
"""Two numbers of 31 bits stand in one of 64."""


class Ids(NamedTuple):
    """A title's ids at the providers, the strongest first; a number alone says nothing."""

    tmdb: int | None = None
    tvdb: int | None = None
    imdb: str | None = None

    @property
    def known(self) -> bool:
        """Whether any provider knows the title."""
        return self.tmdb is not None or self.tvdb is not None or self.imdb is not None


@dataclass(frozen=True, slots=True)
class LibraryItem:
    """One Jellyfin movie or series, as observed now.

    Attributes:
        jellyfin_id: 32 lower-case hex digits.
        created_at: when Jellyfin saw the file first, aware UTC; None if it does not say.
        available: there is something to play.
        poster: whether Jellyfin has a primary image; None if it was not asked.
    """

    jellyfin_id: str
    media_type: MediaType
    title: str
    year: int | None = None
    ids: Ids = Ids()
    overview: str | None = None
    path: str | None = None
    created_at: datetime | None = None
    available: bool = True
    poster: bool | None = None


class Absence(NamedTuple):
    """How often and for how long a title has been missing from complete readings.

    Attributes:
        waited: time that surely passed since the first; a clock that jumps only shortens it.
        since: when that was, for people to read.
    """

    sightings: int
    waited: timedelta
    since: datetime


@dataclass(frozen=True, slots=True)
class TrackedRequest:
    """One row of the tracker's requests, as far as the planner needs it.

    Attributes:
        state: None where the row is not understood; such a row is never touched.
        arr_id: Radarr's id of a film, Sonarr's of a series.
        missing: the fillable columns that are NULL.
        ours: the row was added by this program.
        face: `fingerprint` of title, year and overview; only for rows of ours.
        poster: whether the address of a poster stands there that is Jellyfin's own for the row's
            item; None if it is another one.
        seasons: those that were requested; empty for all.
        seen: we have seen the title in the library ourselves.
        library: the library's location that it was seen in.
        absence: what is known of its being missing; None while it is there.
    """

    id: int
    media_type: MediaType
    state: RequestState | None
    ids: Ids = Ids()
    jellyfin_id: str | None = None
    arr_id: int | None = None
    missing: frozenset[str] = frozenset()
    ours: bool = False
    face: int = 0
    poster: bool | None = False
    seasons: frozenset[int] = frozenset()
    seen: bool = False
    library: str | None = None
    absence: Absence | None = None


def fingerprint(*values: Column) -> int:
    """Values as one number that is valid within this process, in place of long texts."""
    return hash(values)


class IdTable:
    """Many ids with the number that each stands for, in a tenth of a dictionary's memory.

    IMDb ids are told by their digits. Filled with `add`, and only then asked.
    """

    __slots__ = ("_pairs", "_sorted")

    def __init__(self) -> None:
        self._pairs = array("q")
        self._sorted = True

    def add(self, value: int | str, number: int) -> None:
        """Note an id; of two notes the lower number counts. What is no such id is left out."""
        if (key := _digits(value)) is not None:
            self._pairs.append(key << _HALF | number)
            self._sorted = False

    def __len__(self) -> int:
        return len(self._pairs)

    def get(self, value: int | str) -> int | None:
        """The number of an id; None if it is not known."""
        if not self._sorted:
            self._pairs, self._sorted = array("q", sorted(self._pairs)), True
        if (key := _digits(value)) is None:
            return None
        place = bisect_left(self._pairs, key << _HALF)
        found = place < len(self._pairs) and self._pairs[place] >> _HALF == key
        return self._pairs[place] & _LOW if found else None

    def items(self) -> Iterator[tuple[int, int]]:
        """The ids as numbers, with what they stand for."""
        return ((pair >> _HALF, pair & _LOW) for pair in self._pairs)


def _digits(value: int | str) -> int | None:
    """An id as a number of 31 bits; None if it is none."""
    if isinstance(value, str):
        digits = value.removeprefix("tt")
        value = int(digits) if digits.isascii() and digits.isdigit() else -1
    return value if 0 <= value <= _LOW >> 1 else None


Table = Mapping[int | str, int] | IdTable


@dataclass(frozen=True, slots=True)
class ArrIndex:
    """The ids under which Radarr or Sonarr keeps its titles, by the providers' ids.

    Attributes:
        seasons: by Sonarr's id, the number of episodes that each season has, aired or not.
        whole: it is the service's complete list, so that what is not in it is not there.
    """

    by_tmdb: Table = field(default_factory=dict)
    by_tvdb: Table = field(default_factory=dict)
    by_imdb: Table = field(default_factory=dict)
    seasons: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    whole: bool = False

    def find(self, ids: Ids) -> int | None:
        """The service's own id of a title, by its strongest id that the service knows."""
        for table, value in zip((self.by_tmdb, self.by_tvdb, self.by_imdb), ids, strict=True):
            if value is not None and (found := table.get(value)) is not None:
                return found
        return None

    def has_lost(self, media_type: MediaType, ids: Ids) -> bool:
        """Whether the service surely does not keep a title: by the id that all its titles have.

        An empty list proves nothing: a service that was set up anew has one, too.
        """
        film = media_type is MediaType.MOVIE
        own, index = (ids.tmdb, self.by_tmdb) if film else (ids.tvdb, self.by_tvdb)
        return self.whole and len(index) > 0 and own is not None and self.find(ids) is None


@dataclass(frozen=True, slots=True)
class Sources:
    """What is known around the library; None where it is unknown, which is never the same as empty.

    Attributes:
        locations: where the libraries' files are, without a separator at the end.
        counts_by_sonarr: there is a Sonarr, which says how many episodes a season has.
    """

    radarr: ArrIndex | None = None
    sonarr: ArrIndex | None = None
    locations: tuple[str, ...] = ()
    counts_by_sonarr: bool = False

    def library_of(self, path: str | None) -> str | None:
        """The location that a path lies in, the longest that fits."""
        fits = [place for place in self.locations if path and _lies_in(path, place)]
        return max(fits, key=len) if len(fits) > 1 else fits[0] if fits else None


def _lies_in(path: str, place: str) -> bool:
    return path.startswith(place) and path[len(place) : len(place) + 1] in {"/", "\\"}


class Seasons(NamedTuple):
    """The episodes of a series by season, as Jellyfin shows them now.

    Attributes:
        there: those that can be played.
        known: those that it knows of, the missing ones included.
    """

    there: Mapping[int, int]
    known: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the planner is to decide.

    Attributes:
        public_url: where people's browsers reach Jellyfin, without a slash at its end.
    """

    public_url: str

    def poster_url(self, item: LibraryItem) -> str | None:
        """The address of an item's poster, where Jellyfin has one."""
        return self.address(item.jellyfin_id) if item.poster else None

    def address(self, jellyfin_id: str) -> str:
        """Where the poster of an item is, if it has one."""
        return f"{self.public_url}/Items/{jellyfin_id}/Images/Primary"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the reading of the library went.

    Attributes:
        complete: every title that the server counted was read.
        scanning: the server was at work on its library before or after.
        titles: distinct titles read.
        broken: Jellyfin ids of rows that could not be used; those titles are there all the same.
    """

    complete: bool
    scanning: bool
    titles: int = 0
    broken: frozenset[str] = frozenset()

    @property
    def proves_absence(self) -> bool:
        """Whether what is not in it is not in the library."""
        return self.complete and not self.scanning


class LibraryFolder(NamedTuple):
    """One of Jellyfin's libraries, and where its files are; the id only if it can hold titles."""

    name: str
    locations: tuple[str, ...]
    id: str = ""


class Activity(NamedTuple):
    """What the server is doing.

    Attributes:
        scanning: it is at work on a library, so that rows may stand there half-made.
    """

    scanning: bool
    libraries: tuple[LibraryFolder, ...] = ()


class SkipReason(StrEnum):
    """Why nothing is written for a library item."""

    ALREADY_RIGHT = "already_right"
    DUPLICATE = "duplicate"
    NOT_AVAILABLE = "not_available"
    STILL_READ = "still_read_by_jellyfin"
    EARLIER_STATE = "tracked_in_an_earlier_state"
    SEASONS_INCOMPLETE = "requested_seasons_incomplete"
    NOT_UNDERSTOOD = "row_not_understood"
    TRACKED_MEANWHILE = "tracked_meanwhile"


class UpdateReason(StrEnum):
    """Why a row that is there is written to."""

    FILL = "fill"
    REFRESH = "refresh"
    RELINK = "relink"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True)
class Add:
    """The item is available and not tracked.

    Attributes:
        library: the location of the library that it lies in.
    """

    item: LibraryItem
    radarr_id: int | None = None
    sonarr_id: int | None = None
    poster_url: str | None = None
    library: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A tracked row gets values.

    Attributes:
        request_id: the row; None for one that this run added, which `added_as` names.
        added_as: the Jellyfin id with which this run added the row.
        fills: columns that are NULL and become known.
        replaces: columns of a row of ours that now read otherwise.
        relinks: ids that are proven wrong, with what was there and what belongs there.
        promotes: the state that the row leaves for AVAILABLE.
    """

    item: LibraryItem
    reason: UpdateReason
    request_id: int | None
    fills: Mapping[str, Column] = field(default_factory=dict)
    replaces: Mapping[str, Column] = field(default_factory=dict)
    relinks: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)
    promotes: RequestState | None = None
    added_as: str | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is written for the item."""

    item: LibraryItem
    reason: SkipReason
    request_id: int | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The item's ids point to different titles; a person has to look."""

    item: LibraryItem
    request_ids: tuple[int, ...]


Decision = Add | Update | Skip | Conflict


class Evidence(NamedTuple):
    """What a reading says of the tracked rows as a whole.

    Attributes:
        seen: rows seen for the first time, or in another library, with the library's location.
        returned: rows that were missing and are there again.
        absent: rows that were seen before and are missing now; empty where it proves nothing.
    """

    seen: list[tuple[int, str | None]]
    returned: list[int]
    absent: list[TrackedRequest]


class RemovalMode(StrEnum):
    """What happens to titles that are gone for good."""

    GUARDED = "guarded"
    ASK = "ask"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class RemovalPolicy:
    """What it takes to remove a title.

    Attributes:
        sightings: complete readings without it, this one included.
        grace: that must have passed since the first of them.
        limit_percent: of a library's tracked titles may be missing.
        limit_titles: may be missing, if that is more.
    """

    mode: RemovalMode = RemovalMode.GUARDED
    sightings: int = 2
    grace: timedelta = timedelta(hours=24)
    limit_percent: int = 10
    limit_titles: int = 5


class Trigger(StrEnum):
    """Why a run started."""

    START = "start"
    INTERVAL = "interval"
    QUICK = "quick"
    RETRY = "retry"
    WEBHOOK = "webhook"
    ADMIN = "admin"
    CLI = "cli"


MOST_HINTS = 500
"""Titles that are looked at one by one; more of them are a full run's affair."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at.

    Attributes:
        hints: Jellyfin ids of movies, series and episodes to look at; None means everything.
        approved: rows that an admin has approved to be removed, if they are still absent.
        library: id of the only library to look at; None means all.
    """

    hints: frozenset[str] | None = None
    approved: frozenset[int] = frozenset()
    library: str | None = None

    @property
    def kind(self) -> str:
        """The word for it."""
        if self.library is not None:
            return "library"
        return "full" if self.hints is None else "hinted"

    def joined(self, other: Scope) -> Scope:
        """What covers both."""
        approved = self.approved | other.approved
        if self.hints is None or other.hints is None:
            library = self.library if self.library == other.library else None
            return Scope(None, approved, library)
        hints = self.hints | other.hints
        return Scope(hints if len(hints) <= MOST_HINTS else None, approved)


class Outcome(StrEnum):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    HELD = "held"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Actor(NamedTuple):
    """Who asked for something.

    Attributes:
        kind: "system", "cli" and the like.
        name: for people to read.
    """

    kind: str
    name: str


class Defect(NamedTuple):
    """One broken thing in an otherwise good reading.

    Attributes:
        ref: what it is about, e.g. a Jellyfin id; "" if even that is broken.
        reason: in plain words.
        lost: the item was left out; otherwise it was used without the broken value.
    """

    service: str
    ref: str
    reason: str
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.service} {self.ref or 'item without an id'}: {self.reason}"


SCANNING = "scanning"
INCOMPLETE = "incomplete"
IMPLAUSIBLE = "implausible"


class Gap(NamedTuple):
    """A source that could not be read, or not wholly.

    Attributes:
        kind: the stable word for machines, an error's `kind`.
        detail: in plain words, with what to do.
    """

    service: str
    kind: str
    detail: str

    @property
    def of_service(self) -> bool:
        """Whether the service itself failed, rather than the library being in motion."""
        return self.kind not in {SCANNING, INCOMPLETE, IMPLAUSIBLE}
