"""The vocabulary: frozen values and enumerations, free of any I/O library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from daemon.reasons import Reason

SYNC_USER = "Library Sync"
"""`requested_by` of the rows that this program added."""

Value = int | str | None
"""A value of a tracker column."""


class MediaType(StrEnum):
    """The type of a title; the values are the tracker's names."""

    MOVIE = "MOVIE"
    TV = "TV"


class RequestState(StrEnum):
    """The state of a request; the values are the tracker's names."""

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
    """A title's provider ids, strongest first; meaningless without the media type."""

    tmdb: int | None = None
    tvdb: int | None = None
    imdb: str | None = None

    @property
    def known(self) -> bool:
        """Whether there is any provider id."""
        return self.tmdb is not None or self.tvdb is not None or self.imdb is not None


class LibraryItem(NamedTuple):
    """One Jellyfin movie or series, as observed now.

    Attributes:
        jellyfin_id: 32 lower-case hex digits.
        path: a film's file, a series' folder.
        library: the location of the library that the path lies in.
        created_at: Jellyfin's DateCreated, aware UTC; None if unknown.
        available: there is something to play; None if unknown.
        poster: whether Jellyfin has a primary image; None if it was not asked.
        contradicting: providers for which it has two different ids.
        shoko: Shoko's id of its series, if Shokofin provides it.
        unchanged: title, year, overview and path equal those of its managed row, and
            the long ones are left out.
        texts: handle of path and overview in `Texts`; 0 if they are here.
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
    """How often and for how long a title was missing in complete readings.

    Attributes:
        waited: lower bound of the time since the first.
        since: when the first was, for people.
        library_away: its library was not listed, or empty, in one of them.
    """

    sightings: int
    waited: timedelta
    since: datetime
    library_away: bool = False


class TrackedRequest(NamedTuple):
    """One row of the tracker's requests, as far as the planner needs it.

    Attributes:
        state: None if the row is not understood; such a row is never touched.
        arr_id: the primary Radarr's id of a film, the primary Sonarr's of a series.
        missing: the fillable columns that are NULL.
        managed: the row was added by this program.
        metadata_hash: `value_hash` of title, year, overview and path; only of managed rows.
        file: `value_hash` of the file's name; only of missing rows, else 0.
        poster: whether the poster's URL is Jellyfin's for the row's
            item; None if it is some other URL.
        seasons: requested ones; empty for all, None if not understood.
        episodes: how many the tracker counts for the request; None if unknown.
        seen: this program has seen the title in the library.
        library: location of the library where it was seen.
        absence: evidence of its absence; None while it is present.
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
        """Whether it is waiting to become available."""
        return self.state is not None and self.state is not RequestState.AVAILABLE


class Deletion(NamedTuple):
    """A title deleted in the tracker's dashboard, without a request since.

    Attributes:
        id: of the tracker's deletion log.
        age: lower bound of the time since then.
        files_too: its files were to be deleted too, not only its entry in the list.
        overruled: an admin resumed tracking it.
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
    """The tracker's data for one run.

    Attributes:
        requests: every row; in a hinted run those that may belong to the hinted items.
        deletions: made in the tracker's dashboard.
        removed_lately: rows removed in the last seven days without an admin's approval.
        replaced: missing rows with an upgrade in progress.
        approved: rows whose removal an admin has approved.
        unlinks: rows whose Radarr or Sonarr id an admin has approved to remove.
        identified: rows whose new identity an admin has confirmed.
        merges: managed rows whose merge an admin has approved.
        instance_ids: by further instance, each request's title id there.
        lacking: columns that this version of the tracker does not have.
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
    lacking: frozenset[str] = frozenset()


def value_hash(*values: Value) -> int:
    """A hash of values, valid within this process, in place of long texts."""
    return hash(values)


class RemovalMode(StrEnum):
    """What happens to titles that are permanently missing."""

    GUARDED = "guarded"
    ASK = "ask"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class RemovalPolicy:
    """Thresholds of the removal guard.

    Attributes:
        sightings: complete readings without it, this one included.
        grace: minimum time since the first of them.
        limit_percent: maximum share of a library's titles that may be missing.
        limit_titles: maximum number, if larger, but never over half of a library.
        limit_total_percent: maximum share of all titles, in a run and in seven days.
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
        """How many of all titles may be removed in a run, and in seven days."""
        return self._limit(titles, self.limit_total_percent)

    def _limit(self, titles: int, percent: int) -> int:
        """The limit; if both settings are 0, every removal is held."""
        if not (percent or self.limit_titles):
            return 0
        return max(1, titles * percent // 100, min(self.limit_titles, titles // 2))

    def outstanding(self, sightings: int, waited: timedelta) -> tuple[int, timedelta]:
        """The remaining complete readings and time until a title may be removed."""
        return max(1, self.sightings - sightings), max(timedelta(), self.grace - waited)


@dataclass(frozen=True, slots=True)
class Policy:
    """The planner's policy.

    Attributes:
        public_url: Jellyfin's URL for browsers, without a trailing slash.
        removal: thresholds of the removal guard.
    """

    public_url: str
    removal: RemovalPolicy = field(default_factory=RemovalPolicy)

    def poster_url(self, item: LibraryItem) -> str | None:
        """The URL of an item's poster, if it has one."""
        return self.address(item.jellyfin_id) if item.poster else None

    def address(self, jellyfin_id: str) -> str:
        """The URL where an item's poster would be."""
        return f"{self.public_url}/Items/{jellyfin_id}/Images/Primary"


class Fate(StrEnum):
    """What happens to a request whose title is absent."""

    REMOVE = "remove"
    HOLD = "hold"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Add:
    """Add a request for an available title without one.

    Attributes:
        radarr_id: the primary Radarr's, as `sonarr_id` is the primary Sonarr's.
        instance_ids: the title's ids in further instances, by name.
    """

    item: LibraryItem
    radarr_id: int | None = None
    sonarr_id: int | None = None
    poster_url: str | None = None
    instance_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def ids(self) -> Ids:
        """The ids of all its copies."""
        return self.item.ids

    @property
    def full(self) -> LibraryItem:
        """The item with its long texts."""
        return self.item

    @property
    def reason(self) -> Reason:
        """The reason, which depends on whether it has any provider id."""
        return Reason.ADD if self.item.ids.known else Reason.ADD_WITHOUT_IDS


@dataclass(frozen=True, slots=True)
class Update:
    """Update a tracked row.

    Attributes:
        item: the copy that the values come from.
        fills: values for columns that are NULL.
        replaces: changed values of a managed row.
        relinks: ids that are proven wrong, before and after.
        promotes: the state from which the row becomes AVAILABLE.
        details: a note in plain words.
        undecided: it is not known yet whether the request is complete.
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
    """Write nothing for the item or the request; one of them may be None."""

    item: LibraryItem | None
    reason: Reason
    request_id: int | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A conflict for a person: nothing of these titles is written or removed."""

    item: LibraryItem | None
    request_ids: tuple[int, ...]
    reason: Reason = Reason.DIFFERENT_TITLES
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A request whose title is no longer in the library.

    Attributes:
        why: the objection to its removal, in plain words; "" if there is none.
    """

    request: TrackedRequest
    fate: Fate
    why: str = ""

    @property
    def reason(self) -> Reason:
        """The reason by which it is counted."""
        fates = {Fate.REMOVE: Reason.REMOVE, Fate.HOLD: Reason.HELD, Fate.WATCH: Reason.WATCHED}
        return fates[self.fate]


Decision = Add | Update | Skip | Conflict | Absent


class HeldKind(StrEnum):
    """What a held plan would do to a row."""

    REMOVE = "remove"
    UNLINK = "unlink"


class Held(NamedTuple):
    """A change on hold until an admin decides, and why."""

    request: TrackedRequest
    why: str
    kind: HeldKind = HeldKind.REMOVE


class Rule(NamedTuple):
    """One rule of the removal guard with its result; decisions follow from these alone.

    Attributes:
        name: a stable code.
        value: what was found.
        limit: the threshold.
        about: a library's location, or the required evidence; "" for the whole run.
        why: the objection to a removal; "" if the rule passes.
    """

    name: str
    value: int | str
    limit: int | str
    about: str = ""
    why: str = ""


class Missed(NamedTuple):
    """A row that is missing in a complete reading.

    Attributes:
        library_away: its library was not listed, or empty.
    """

    request: TrackedRequest
    library_away: bool


class InstanceId(NamedTuple):
    """The id of a request's title in a further instance; None if it has none.

    An id is meaningless without its instance.
    """

    request_id: int
    instance: str
    number: int | None


class Evidence(NamedTuple):
    """Evidence about tracked rows from one reading.

    Attributes:
        seen: rows seen for the first time, or in another library, with the library's location.
        returned: rows that were missing and are back.
        missed: rows that are missing now; empty if the reading proves no absence.
        away: missing rows whose library is away, in a reading that proves
            no absence.
        instance_ids: changed ones.
    """

    seen: Sequence[tuple[int, str | None]] = ()
    returned: Sequence[int] = ()
    missed: Sequence[Missed] = ()
    away: Sequence[int] = ()
    instance_ids: Sequence[InstanceId] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will write, and why.

    Attributes:
        decisions: one for each request, and at least one for each item.
        evidence: evidence of presence and absence to record.
        held: changes on hold.
        guard: the rules of the removal guard.
        doubles: managed rows that are one title and could be merged.
        merges: those of them to merge into the first of each.
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
"""Maximum titles looked up by id in one run; beyond that the whole list is cheaper."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run covers, and what an admin has approved for it.

    Attributes:
        hints: Jellyfin ids of movies, series and episodes; None means everything.
        approved: rows that may be removed if still absent.
        unlinks: rows whose Radarr or Sonarr id may be removed if still proven gone.
        identified: rows confirmed to be another title, if their item still says so.
        merges: managed rows that may be merged if still one title.
        library: id of the only library to read; None means all.
    """

    hints: frozenset[str] | None = None
    approved: frozenset[int] = frozenset()
    unlinks: frozenset[int] = frozenset()
    identified: frozenset[int] = frozenset()
    merges: frozenset[int] = frozenset()
    library: str | None = None

    @property
    def kind(self) -> str:
        """The kind of run."""
        if self.library is not None:
            return "library"
        return "full" if self.hints is None else "hinted"

    def merge(self, other: Scope) -> Scope:
        """A scope that covers both."""
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
    """The outcome of a run."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    HELD = "held"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Actor(NamedTuple):
    """Who caused something.

    Attributes:
        kind: "system", "cli" and the like.
        name: for people to read.
    """

    kind: str
    name: str


class ItemError(NamedTuple):
    """One broken record or value in an otherwise good reading.

    Attributes:
        ref: what it is about, e.g. a Jellyfin id; "" if even that is broken.
        reason: in plain words.
        lost: the item was left out; otherwise only the value was dropped.
    """

    service: str
    ref: str
    reason: str
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.service} {self.ref or 'item without an id'}: {self.reason}"


class Defects(list[ItemError]):
    """Collects the defects of a list, capped at a thousand of each kind.

    Lost records make a list incomplete, so odd values must not displace them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._room = {True: 1000, False: 1000}

    def note(self, error: ItemError) -> None:
        """Add a defect, unless its kind is full."""
        if self._room[error.lost]:
            self._room[error.lost] -= 1
            self.append(error)


SCANNING = "scanning"
INCOMPLETE = "incomplete"
IMPLAUSIBLE = "implausible"
MISCOUNTED = "miscounted"
DISTRUSTED = "distrusted"


class SourceFailure(NamedTuple):
    """A source that could not be read completely.

    Attributes:
        kind: a stable code, an error's `kind`.
        detail: in plain words, with what to do.
    """

    service: str
    kind: str
    detail: str

    @property
    def of_service(self) -> bool:
        """Whether the service itself failed, rather than the library changing."""
        return self.kind not in {SCANNING, INCOMPLETE, IMPLAUSIBLE, MISCOUNTED, DISTRUSTED}
