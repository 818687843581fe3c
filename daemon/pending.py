"""Rows of titles on their way: their kept state, and a pass's decisions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Self

from daemon.domain import Deletion, Fate, Ids, MediaType, RemovalPolicy, RequestState, Value
from daemon.reasons import Action

_IN_LIBRARY: Final = "check that its folder is in a library of Jellyfin"


class Timer(NamedTuple):
    """In how many passes, and for how long, a value has been the same.

    Attributes:
        value: the value; a different one restarts the timer.
        waited: lower bound of the time since the first of these passes.
    """

    value: str
    sightings: int = 1
    waited: timedelta = timedelta()


_LOST_REQUESTS = "see whether Seerr lost its requests, or have it withdrawn"
_RIGHT_SEERR = "correct its address, or confirm that this Seerr is the right one"


class AttentionKind(StrEnum):
    """What somebody may have to look at, the most urgent first, with what they are to do.

    Attributes:
        blocks: nothing goes on until somebody acts; otherwise it only takes long.
        grows: its sentence says how long it has been so.
        action: what an admin can do about it here; "" if nothing.
    """

    todo: str
    blocks: bool
    grows: bool
    action: str

    def __new__(
        cls, code: str, todo: str, blocks: bool = True, grows: bool = False, action: str = ""
    ) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.todo, member.blocks, member.grows, member.action = todo, blocks, grows, action
        return member

    OTHER_SEERR = "other_seerr", _RIGHT_SEERR, True, False, Action.CONFIRM
    WITHDRAWAL_HELD = "withdrawal_held", _LOST_REQUESTS, True, False, Action.WITHDRAW
    CLIENT_AWAY = "client_away", "bring the download client back"
    FAILED = "failed", "search for another release, or fetch it by hand"
    SEERR_FAILED = "seerr_failed", "retry the request in Seerr"
    IMPORT = "import", "import the download by hand, or remove it"
    UNKNOWN_DOWNLOAD = "unknown_download", "import the download by hand, or remove it"
    TORRENT = "torrent", "check the torrent in the download client"
    QUEUE = "queue", "check the download"
    DOWNLOAD_GONE = "download_gone", "search again; its download is gone"
    NOT_IN_QUEUE = "not_in_queue", "see whether the download client still has it"
    IGNORED = "ignored", "import the download by hand, or search again"
    NOT_IN_ARR = "not_in_arr", "add it there, or delete its request"
    NOT_SENT = "not_sent", "check the connection in Seerr's settings, and retry the request"
    SEERR_AVAILABLE = "seerr_says_available", "clear its data in Seerr, and request it again"
    NOT_MONITORED = "not_monitored", "monitor it, or delete its request"
    RELEASE_HELD = "release_held", "bring the download client back"
    TOO_MANY = "too_many", "raise pending.limit, or close old requests in Seerr"
    NOT_IN_JELLYFIN = "not_in_jellyfin", _IN_LIBRARY, False, True
    NOT_IMPORTED = "not_imported", "see why it is not imported", False, True
    NOT_MATCHED = "not_matched", "link the file in Shoko", False, True
    STALLED = "stalled", "remove the download, and search for another release", False, True
    NOTHING_FOUND = "nothing_found", "search by hand, or wait", False, True
    WAITS_FOR_APPROVAL = "waits_for_approval", "approve or decline it in Seerr", False, True


ATTENTION_KINDS: Mapping[str, AttentionKind] = {kind.value: kind for kind in AttentionKind}
"""By their codes, as the file has them."""


class Attention(NamedTuple):
    """A finding about a title on its way, in a sentence.

    Attributes:
        service: its source.
        sentence: in the service's own words, if it has any.
        title: what it is about; "" for a whole service.
        row_id: None if the title has no row.
        request_id: Seerr's id, if the title has no row.
    """

    kind: AttentionKind
    service: str
    sentence: str
    title: str = ""
    row_id: int | None = None
    request_id: int | None = None


class Said(NamedTuple):
    """What a service says of a title on its way.

    Attributes:
        words: its last ones; "" if it never said anything.
        since: when it began to say so.
        silent: since when it could not be asked; None while it answers.
    """

    service: str
    words: str
    since: datetime
    silent: datetime | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """The state of a managed row, kept from one pass to the next.

    Attributes:
        written: the state that was written last.
        requests: Seerr's ids of the requests that the row represents.
        download: the id of the download on which its state is based.
        known: ids of all downloads seen for it.
        filed: its state is based on a file that Radarr or Sonarr has.
        progress: the maximum seen, from 0 to 1.
        why: a note on the state, in plain words.
        restored: an admin undid its withdrawal, so it is never withdrawn again.
        calls: its open findings, which stand while nothing newer is known.
        timers: by what they measure; `unknown` is since when services have failed.
        said: what each service says of it.
    """

    written: RequestState
    requests: frozenset[int] = frozenset()
    download: str | None = None
    known: frozenset[str] = frozenset()
    filed: bool = False
    progress: float = 0.0
    why: str = ""
    restored: bool = False
    calls: tuple[Attention, ...] = ()
    timers: Mapping[str, Timer] = field(default_factory=dict)
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingRow:
    """One row of the tracker's requests, as far as passes need it.

    Attributes:
        state: None where the row is not understood.
        seasons: requested ones; empty for all, None if not understood.
        seerr_id: `jellyseerr_id`.
        arr_id: the primary Radarr's id of a film, the primary Sonarr's of a series.
        is_anime: the tracker's own mark.
        linked: it names an item of Jellyfin, which has some of the title at least.
        followed: None for a row of somebody else, which is never touched.
    """

    id: int
    media_type: MediaType
    ids: Ids
    title: str
    state: RequestState | None
    seasons: frozenset[int] | None = frozenset()
    seerr_id: int | None = None
    arr_id: int | None = None
    is_anime: bool = False
    linked: bool = False
    followed: Followed | None = None


@dataclass(frozen=True, slots=True)
class PendingMemory:
    """What is known besides the rows.

    Attributes:
        ready: a full run has completed, so what Jellyfin has is tracked.
        deletions: made in the tracker's dashboard.
        approved: rows whose withdrawal an admin has approved.
        withdrawn_lately: rows withdrawn in the last seven days without an admin's approval.
    """

    ready: bool = True
    deletions: Sequence[Deletion] = ()
    approved: frozenset[int] = frozenset()
    withdrawn_lately: int = 0


@dataclass(frozen=True, slots=True)
class PendingPolicy:
    """The policy of a pass.

    Attributes:
        removal: whether rows are withdrawn at all, and how many at once.
        limit: maximum rows on their way; the newest requests get them.
    """

    removal: RemovalPolicy = field(default_factory=RemovalPolicy)
    limit: int = 500


class TimelineEvent(NamedTuple):
    """An entry of the tracker's timeline.

    Attributes:
        service: as the tracker writes it, such as `radarr`.
        kind: the tracker's word, such as `Grab`.
        at: when it happened; None for now.
    """

    state: RequestState
    service: str
    kind: str
    details: str
    at: datetime | None = None


class Gauges(NamedTuple):
    """A download's progress in the tracker's format; None if there is nothing to show.

    Attributes:
        progress: from 0 to 1.
        speed: such as `4.8 MB/s`.
        eta: such as `2m 20s`.
    """

    progress: float | None = None
    speed: str | None = None
    eta: str | None = None


@dataclass(frozen=True, slots=True)
class NewRow:
    """Add a row for a request of Seerr.

    Attributes:
        created_at: when it was requested.
        seasons: in order; empty for a film.
        arr_id: the primary's id, only if the request is for the primary.
        columns: of its download: `qbit_hash`, `quality`, `indexer`, `file_size`, `release_group`.
    """

    media_type: MediaType
    ids: Ids
    title: str
    state: RequestState
    created_at: datetime
    seerr_id: int
    followed: Followed
    year: int | None = None
    overview: str | None = None
    poster_url: str | None = None
    requested_by: str | None = None
    seasons: tuple[int, ...] = ()
    arr_id: int | None = None
    columns: Mapping[str, Value] = field(default_factory=dict)
    gauges: Gauges = field(default_factory=Gauges)
    events: tuple[TimelineEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Move a managed row to another state, or update its columns.

    Attributes:
        before: the state in which it was read.
        state: the same if only columns change; then there is no event.
        columns: changed values, apart from state, gauges and times.
    """

    row_id: int
    before: RequestState
    state: RequestState
    columns: Mapping[str, Value] = field(default_factory=dict)
    event: TimelineEvent | None = None


class Withdrawal(NamedTuple):
    """A managed row whose request is gone, and what happens to it."""

    row_id: int
    fate: Fate
    why: str = ""


class GivesWay(NamedTuple):
    """Remove a managed row in favour of another one of the same title."""

    row_id: int
    to: int


class Imported(NamedTuple):
    """A title of which something was imported, so that Jellyfin may show it by now.

    Attributes:
        at: when the latest of that was, by the instance's clock; None where no history tells.
    """

    media_type: MediaType
    ids: Ids
    at: datetime | None = None


class PassReason(StrEnum):
    """Why an open request gets no row."""

    TRACKED = "tracked"
    IN_LIBRARY = "in_the_library"
    LIBRARY_UNKNOWN = "library_not_read_yet"
    NOT_OPEN = "not_open"
    NOT_UNDERSTOOD = "not_understood"
    SEERR_AVAILABLE = "seerr_says_available"
    DELETED_IN_TRACKER = "deleted_in_the_tracker"
    TITLE_UNKNOWN = "title_not_known_yet"
    UNCERTAIN = "services_away"
    LIMIT = "limit"


class PassedOver(NamedTuple):
    """An open request that gets no row."""

    request_id: int
    reason: PassReason


@dataclass(frozen=True, slots=True)
class PendingPlan:
    """What a pass will write, and why.

    Attributes:
        kept: the state of each row that is still followed; others are dropped.
        gauges: of existing rows; without event or audit.
        imported: titles that were imported and that Jellyfin may show now.
    """

    adds: Sequence[NewRow] = ()
    changes: Sequence[Change] = ()
    kept: Mapping[int, Followed] = field(default_factory=dict)
    gauges: Mapping[int, Gauges] = field(default_factory=dict)
    withdrawals: Sequence[Withdrawal] = ()
    gives_way: Sequence[GivesWay] = ()
    passed_over: Sequence[PassedOver] = ()
    attention: Sequence[Attention] = ()
    imported: frozenset[Imported] = frozenset()


@dataclass(frozen=True, slots=True)
class Questions:
    """What a pass must ask besides the lists, before it can be planned.

    Attributes:
        requests: Seerr's ids of requests that are no longer listed.
        titles: TMDB ids of titles whose name is unknown.
        health: instances whose health and start time decide whether to trust their queue.
        arr_titles: films and series to read again, by instance and id.
        episodes: series whose episodes are needed, by instance and id.
    """

    requests: frozenset[int] = frozenset()
    titles: frozenset[tuple[MediaType, int]] = frozenset()
    health: frozenset[str] = frozenset()
    arr_titles: frozenset[tuple[str, int]] = frozenset()
    episodes: frozenset[tuple[str, int]] = frozenset()
