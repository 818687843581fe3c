"""The vocabulary: frozen values and enumerations, free of any I/O library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from daemon.reasons import Reason

SYNC_USER = "Library Sync"
"""What stands in `requested_by` of the rows that this program added."""

Value = int | str | None
"""A value of a tracker column."""


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
        path: a film's file, a series' folder.
        library: the location of the library that the path lies in.
        created_at: when Jellyfin saw the file first, aware UTC; None if it does not say.
        available: there is something to play; None where that is not known.
        poster: whether Jellyfin has a primary image; None if it was not asked.
        contradicting: names of the providers that it carries with two different ids.
        shoko: Shoko's number of its series, where Shokofin tells.
        unchanged: title, year, overview and path are those of the row of ours that names it, and
            the long ones of them are left out.
        texts: where path and overview are kept instead of here; 0 where they are here.
    """

    jellyfin_id: str
    media_type: MediaType
    title: str
    year: int | None = None
    ids: Ids = Ids()
    overview: str | None = None
    path: str | None = None
    library: str | None = None
    created_at: datetime | None = None
    available: bool | None = True
    poster: bool | None = None
    contradicting: tuple[str, ...] = ()
    shoko: int | None = None
    unchanged: bool = False
    texts: int = 0

    @property
    def metadata_hash(self) -> int:
        """`value_hash` of title, year, overview and path."""
        return value_hash(self.title, self.year, self.overview, self.path)


class Absence(NamedTuple):
    """How often and for how long a title has been missing from complete readings.

    Attributes:
        waited: lower bound of the time since the first; a clock that jumps only shortens it.
        since: when that was, for people to read.
        library_away: its library was not listed, or empty, at one of them.
    """

    sightings: int
    waited: timedelta
    since: datetime
    library_away: bool = False


@dataclass(frozen=True, slots=True)
class TrackedRequest:
    """One row of the tracker's requests, as far as the planner needs it.

    Attributes:
        state: None where the row is not understood; such a row is never touched.
        arr_id: the primary Radarr's id of a film, the primary Sonarr's of a series.
        missing: the fillable columns that are NULL.
        managed: the row was added by this program.
        metadata_hash: `value_hash` of title, year, overview and path; only for rows of ours.
        file: `value_hash` of the file's name; only for rows that are missing, else 0.
        poster: whether the address of a poster stands there that is Jellyfin's own for the row's
            item; None if it is another one.
        seasons: those that were requested; empty for all, None where they are not understood.
        episodes: how many the tracker counts of what was requested; None if it does not.
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
    managed: bool = False
    metadata_hash: int = 0
    file: int = 0
    poster: bool | None = False
    seasons: frozenset[int] | None = frozenset()
    episodes: int | None = None
    seen: bool = False
    library: str | None = None
    absence: Absence | None = None

    @property
    def is_available(self) -> bool:
        """Whether the tracker shows it as ready to watch."""
        return self.state is RequestState.AVAILABLE

    @property
    def is_open(self) -> bool:
        """Whether it waits to become available."""
        return self.state is not None and self.state is not RequestState.AVAILABLE


class Deletion(NamedTuple):
    """A title that somebody deleted in the tracker's dashboard, and that has no request any more.

    Attributes:
        id: of the tracker's deletion log.
        age: since then; never more than has passed.
        files_too: its files were to go as well; otherwise it was taken off the list only.
        overruled: an admin wants it tracked again.
    """

    id: int
    media_type: MediaType
    title: str
    ids: Ids
    jellyfin_id: str | None
    age: timedelta
    files_too: bool
    overruled: bool = False


@dataclass(frozen=True, slots=True)
class Tracker:
    """What the tracker's file says in one run.

    Attributes:
        requests: every row, or in a hinted run those that may belong to the items looked at.
        deletions: made in the tracker's dashboard.
        removed_lately: rows that were removed in the last seven days without an admin's word.
        replaced: rows that are missing while a file of theirs makes way for a better one.
        approved: rows whose removal an admin has approved.
        unlinks: rows whose id of Radarr or Sonarr may be taken away, as an admin has approved.
        identified: rows whose title is another one by now, as an admin has confirmed.
        merges: rows of ours that may become one row, as an admin has approved.
        instance_ids: by instance beside the primary ones, the number of each request's title there.
    """

    requests: Sequence[TrackedRequest] = ()
    deletions: Sequence[Deletion] = ()
    removed_lately: int = 0
    replaced: frozenset[int] = frozenset()
    approved: frozenset[int] = frozenset()
    unlinks: frozenset[int] = frozenset()
    identified: frozenset[int] = frozenset()
    merges: frozenset[int] = frozenset()
    instance_ids: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


def value_hash(*values: Value) -> int:
    """Values as one number that is valid within this process, in place of long texts."""
    return hash(values)


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
        limit_titles: may be missing, if that is more, but never over half of a library.
        limit_total_percent: of all tracked titles may go in a run, and in seven days.
    """

    mode: RemovalMode = RemovalMode.GUARDED
    sightings: int = 2
    grace: timedelta = timedelta(hours=24)
    limit_percent: int = 10
    limit_titles: int = 5
    limit_total_percent: int = 5

    def limit(self, titles: int) -> int:
        """How many of a library's titles may be missing."""
        return self._limit(titles, self.limit_percent)

    def total_limit(self, titles: int) -> int:
        """How many of all titles may go in a run, and in seven days."""
        return self._limit(titles, self.limit_total_percent)

    def _limit(self, titles: int, percent: int) -> int:
        """Nought and nought means that an admin is asked about everything."""
        if not (percent or self.limit_titles):
            return 0
        return max(1, titles * percent // 100, min(self.limit_titles, titles // 2))

    def outstanding(self, sightings: int, waited: timedelta) -> tuple[int, timedelta]:
        """How many more complete readings, and how much more time, until a title may go."""
        return max(1, self.sightings - sightings), max(timedelta(), self.grace - waited)


@dataclass(frozen=True, slots=True)
class Policy:
    """How the planner is to decide.

    Attributes:
        public_url: where people's browsers reach Jellyfin, without a slash at its end.
        removal: what it takes to remove a title.
    """

    public_url: str
    removal: RemovalPolicy = field(default_factory=RemovalPolicy)

    def poster_url(self, item: LibraryItem) -> str | None:
        """The address of an item's poster, where Jellyfin has one."""
        return self.address(item.jellyfin_id) if item.poster else None

    def address(self, jellyfin_id: str) -> str:
        """Where the poster of an item is, if it has one."""
        return f"{self.public_url}/Items/{jellyfin_id}/Images/Primary"


class Fate(StrEnum):
    """What becomes of a request whose title is not in the library any more."""

    REMOVE = "remove"
    HOLD = "hold"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Add:
    """The title is available and has no request.

    Attributes:
        radarr_id: the primary Radarr's, as `sonarr_id` is the primary Sonarr's.
        instance_ids: the title's numbers in further instances, by their names.
    """

    item: LibraryItem
    radarr_id: int | None = None
    sonarr_id: int | None = None
    poster_url: str | None = None
    instance_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def ids(self) -> Ids:
        """Of all its copies."""
        return self.item.ids

    @property
    def full(self) -> LibraryItem:
        """The item, with its long texts once it is to be written."""
        return self.item

    @property
    def reason(self) -> Reason:
        """Whether any provider knows it makes the difference."""
        return Reason.ADD if self.item.ids.known else Reason.ADD_WITHOUT_IDS


@dataclass(frozen=True, slots=True)
class Update:
    """A tracked row gets values.

    Attributes:
        item: the copy of the title that they come from.
        fills: columns that are NULL and become known.
        replaces: columns of a row of ours that now read otherwise.
        relinks: ids that are proven wrong, with what was there and what belongs there.
        promotes: the state that the row leaves for AVAILABLE.
        details: in plain words, what is worth knowing about it.
        undecided: whether it cannot be told yet that all that was asked for is there.
    """

    item: LibraryItem
    reason: Reason
    request_id: int
    fills: Mapping[str, Value] = field(default_factory=dict)
    replaces: Mapping[str, Value] = field(default_factory=dict)
    relinks: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    promotes: RequestState | None = None
    details: str | None = None
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is written for the item, or for the request; one of them may be None."""

    item: LibraryItem | None
    reason: Reason
    request_id: int | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A person has to look; nothing is written, and nothing of these titles is removed."""

    item: LibraryItem | None
    request_ids: tuple[int, ...]
    reason: Reason = Reason.DIFFERENT_TITLES
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A request whose title was in the library and is not there any more.

    Attributes:
        why: in plain words, what is said against its removal; "" where nothing is.
    """

    request: TrackedRequest
    fate: Fate
    why: str = ""

    @property
    def reason(self) -> Reason:
        """The one by which it is counted."""
        fates = {Fate.REMOVE: Reason.REMOVE, Fate.HOLD: Reason.HELD, Fate.WATCH: Reason.WATCHED}
        return fates[self.fate]


Decision = Add | Update | Skip | Conflict | Absent


class HeldKind(StrEnum):
    """What a held plan would do to a row."""

    REMOVE = "remove"
    UNLINK = "unlink"


class Held(NamedTuple):
    """A change that waits for an admin, and why."""

    request: TrackedRequest
    why: str
    kind: HeldKind = HeldKind.REMOVE


class Rule(NamedTuple):
    """One rule of the removal guard and what it found; what is decided follows from these alone.

    Attributes:
        name: the stable word for it.
        value: what is so.
        limit: what it is measured by.
        about: a library's location, or how much evidence it takes; "" for the run as a whole.
        why: what it holds against a removal; "" where it lets titles go.
    """

    name: str
    value: int | str
    limit: int | str
    about: str = ""
    why: str = ""


class Missed(NamedTuple):
    """A row that a complete reading did not show.

    Attributes:
        library_away: its library was not listed, or empty.
    """

    request: TrackedRequest
    library_away: bool


class InstanceId(NamedTuple):
    """The number of a request's title in an instance beside the primary ones; None if it has none.

    A number says nothing without its instance.
    """

    request_id: int
    instance: str
    number: int | None


class Evidence(NamedTuple):
    """What a reading says of the tracked rows as a whole.

    Attributes:
        seen: rows seen for the first time, or in another library, with the library's location.
        returned: rows that were missing and are there again.
        missed: rows that were seen before and are missing now; empty where it proves nothing.
        away: rows that were missing before, and whose library is away in a reading that proves
            nothing else.
        instance_ids: that are other ones than before.
    """

    seen: Sequence[tuple[int, str | None]] = ()
    returned: Sequence[int] = ()
    missed: Sequence[Missed] = ()
    away: Sequence[int] = ()
    instance_ids: Sequence[InstanceId] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to write, and why.

    Attributes:
        decisions: one for each request, and at least one for each item.
        evidence: what is noted of the rows that are there, and of those that are not.
        held: changes that wait for an admin.
        guard: what the removal guard looked at.
        doubles: rows of ours that are one title, and could be one row.
        merges: those of them that become one row, the first of each.
    """

    decisions: Sequence[Decision] = ()
    evidence: Evidence = field(default_factory=Evidence)
    held: Sequence[Held] = ()
    guard: tuple[Rule, ...] = ()
    doubles: Sequence[tuple[int, ...]] = ()
    merges: Sequence[tuple[int, ...]] = ()


class Trigger(StrEnum):
    """Why a run started."""

    START = "start"
    INTERVAL = "interval"
    QUICK = "quick"
    RETRY = "retry"
    WEBHOOK = "webhook"
    ADMIN = "admin"
    CLI = "cli"


MAX_HINTS = 3000
"""Titles that are looked at by their ids in one run; for more the whole list costs less."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at, and what an admin has approved for it.

    Attributes:
        hints: Jellyfin ids of movies, series and episodes to look at; None means everything.
        approved: rows that may be removed, if they are still absent.
        unlinks: rows whose id of Radarr or Sonarr may be taken away, if it is still proven gone.
        identified: rows that are another title by now, if their item still says so.
        merges: rows of ours that may become one, if they are still one title.
        library: id of the only library to look at; None means all.
    """

    hints: frozenset[str] | None = None
    approved: frozenset[int] = frozenset()
    unlinks: frozenset[int] = frozenset()
    identified: frozenset[int] = frozenset()
    merges: frozenset[int] = frozenset()
    library: str | None = None

    @property
    def kind(self) -> str:
        """The word for it."""
        if self.library is not None:
            return "library"
        return "full" if self.hints is None else "hinted"

    def merge(self, other: Scope) -> Scope:
        """What covers both."""
        both = Scope(
            approved=self.approved | other.approved,
            unlinks=self.unlinks | other.unlinks,
            identified=self.identified | other.identified,
            merges=self.merges | other.merges,
        )
        if self.hints is None or other.hints is None:
            return replace(both, library=self.library if self.library == other.library else None)
        hints = self.hints | other.hints
        return replace(both, hints=hints) if len(hints) <= MAX_HINTS else both


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


class ItemError(NamedTuple):
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


class Defects(list[ItemError]):
    """What was broken in a list, which may be broken throughout: the first thousand of each kind.

    What was lost makes a list incomplete, so that what is merely odd must not displace it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._room = {True: 1000, False: 1000}

    def note(self, error: ItemError) -> None:
        """Keep one, as long as there is room for its kind."""
        if self._room[error.lost]:
            self._room[error.lost] -= 1
            self.append(error)


SCANNING = "scanning"
INCOMPLETE = "incomplete"
IMPLAUSIBLE = "implausible"
MISCOUNTED = "miscounted"
DISTRUSTED = "distrusted"


class SourceFailure(NamedTuple):
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
        return self.kind not in {SCANNING, INCOMPLETE, IMPLAUSIBLE, MISCOUNTED, DISTRUSTED}
