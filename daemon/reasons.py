"""Every reason of a decision with its metadata; a new one is one member of `Reason`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Kind(StrEnum):
    """The kind of a decision, as kept in the history."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"
    MERGE = "merge"
    DOUBLE = "double"
    CONFLICT = "conflict"
    SKIP = "skip"


class Action(StrEnum):
    """An admin's actions on findings; the last three apply to most of them."""

    MERGE = "merge"
    CONFIRM = "confirm"
    REMOVE = "remove"
    UNLINK = "unlink"
    TRACK_AGAIN = "track_again"
    WITHDRAW = "withdraw"
    IGNORE = "ignore"
    RESTORE = "restore"
    RECHECK = "recheck"


class _Worded(StrEnum):
    """A stable code with words for people."""

    words: str

    def __new__(cls, code: str, words: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.words = words
        return member


class Count(_Worded):
    """A count of a run by its key in the result; the words follow the number."""

    ADDED = "added", "added"
    FILLED = "filled", "filled in"
    REFRESHED = "refreshed", "refreshed"
    RELINKED = "relinked", "relinked"
    PROMOTED = "promoted", "now available"
    REMOVED = "removed", "removed"
    MERGED = "merged", "merged into another row of the same title"
    HELD = "held", "on hold until an admin approves"
    WATCHED = "watched", "missing, waiting for more evidence"
    AWAITED = "awaited", "added because requested"
    MOVED = "moved", "moved on"
    WITHDRAWN = "withdrawn", "withdrawn because the request is gone"
    CONFLICTS = "conflicts", "in conflict"
    WITHOUT_IDS = "without_ids", "added without any provider id"
    SKIPPED = "skipped", "left as they are"


UPDATED = (Count.FILLED, Count.REFRESHED, Count.RELINKED)
"""Counts that are shown as one number."""


class Group(StrEnum):
    """A tab on the page of a run, in order: its code, its label, and the text when it is empty."""

    label: str
    words: str

    def __new__(cls, code: str, label: str, words: str) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.label, member.words = label, words
        return member

    ADDED = "added", "added", "Nothing was added."
    CHANGED = "changed", "changed", "Nothing was changed."
    AVAILABLE = "available", "now available", "No requested title became available."
    GONE = "gone", "removed", "Nothing was removed."
    MERGED = "merged", "merged", "No rows were merged."
    HELD = "held", "on hold", "Nothing is on hold."
    RESTORED = "restored", "undone", "Nothing in this run was undone."
    LINKED = "linked", "relinked", "No link was replaced."
    UNMATCHED = "unmatched", "without clear ids", "Every title was matched."
    DOUBLES = "doubles", "duplicate rows", "No title has more than one row added by Library Sync."
    SKIPPED = "skipped", "left out", "No title was left out."
    ERROR = "error", "errors", "Nothing went wrong."


class FindingKind(_Worded):
    """A kind of finding: its code in the file and the API, and its heading."""

    HELD = "held", "held"
    SERVER = "server", "another server"
    PROBLEM = "problem", "problems"
    BLOCKED = "blocked", "blocked on its way"
    STUCK = "stuck", "stuck on its way"
    LEAVING = "leaving", "missing, not yet removed"
    KEPT = "kept", "missing, and kept"
    IDENTIFIED = "identified", "now another title"
    CONFLICT = "conflict", "sources disagree"
    DOUBLE = "double", "tracked twice"
    UNLINK_HELD = "unlink_held", "ids kept for now"
    LEFT_OUT = "left_out", "deleted in the dashboard"
    NEVER_SEEN = "never_seen", "never seen"
    NOT_UNDERSTOOD = "not_understood", "not understood"
    UNKNOWN = "unknown", "availability unknown"
    NOTHING_TO_PLAY = "nothing_to_play", "nothing to play"
    WAITING = "waiting", "completeness unknown"
    INCOMPLETE = "incomplete", "incomplete"
    BEING_READ = "being_read", "without ids yet"
    WITHOUT_IDS = "without_ids", "without ids"
    DUPLICATES = "duplicates", "duplicates"
    OTHER = "other", "other"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The metadata of a reason.

    Attributes:
        words: for one title, or after a number of titles.
        finding: its kind of finding; None if it needs no attention.
        what: the text of the finding, by which it stays ignored.
        todo: what to do about it.
        action: what an admin can do about it here; "" if nothing.
        counts: the run's counts that include it.
        groups: the tabs on a run's page that show it.
        audit: its audit action; "" if nothing is written.
        undone: the noun of what can be undone; "" if nothing.
        retried: the title is checked again soon.
    """

    code: str
    words: str
    finding: FindingKind | None = None
    what: str = ""
    todo: str = ""
    action: str = ""
    kind: Kind = Kind.SKIP
    counts: tuple[Count, ...] = (Count.SKIPPED,)
    groups: tuple[Group, ...] = (Group.SKIPPED,)
    audit: str = ""
    undone: str = ""
    retried: bool = False


def _update(code: str, words: str, count: Count, group: Group, undone: str = "") -> Meaning:
    audit, kind = f"title.{code}", Kind.UPDATE
    return Meaning(code, words, None, "", "", "", kind, (count,), (group,), audit, undone)


class Reason(StrEnum):
    """The reason of a decision: its code in the file and the API; most urgent first."""

    _value_: str
    meaning: Meaning

    def __new__(cls, meaning: Meaning) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, meaning.code)
        member._value_ = meaning.code
        member.meaning = meaning
        return member

    @property
    def kept(self) -> bool:
        """Whether the history keeps it."""
        return self.meaning.kind is not Kind.SKIP or self.meaning.finding is not None

    ADD = Meaning(
        "available_and_not_tracked",
        "in the library and not tracked, so added",
        kind=Kind.ADD,
        counts=(Count.ADDED,),
        groups=(Group.ADDED,),
        audit="titles.added",
    )
    ADD_WITHOUT_IDS = Meaning(
        "available_without_ids",
        "in the library and not tracked, so added; without any provider id",
        kind=Kind.ADD,
        counts=(Count.ADDED, Count.WITHOUT_IDS),
        groups=(Group.ADDED, Group.UNMATCHED),
        audit="titles.added",
    )
    PROMOTE = _update("promote", "now available", Count.PROMOTED, Group.AVAILABLE, "changed state")
    RELINK = _update(
        "relink",
        "relinked because an id was proven wrong",
        Count.RELINKED,
        Group.LINKED,
        "replaced link",
    )
    REFRESH = _update("refresh", "texts updated", Count.REFRESHED, Group.CHANGED)
    FILL = _update("fill", "missing values filled in", Count.FILLED, Group.CHANGED)
    REMOVE = Meaning(
        "gone_from_the_library",
        "missing from the library, so removed",
        kind=Kind.REMOVE,
        counts=(Count.REMOVED,),
        groups=(Group.GONE,),
        audit="title.removed",
        undone="removed title",
    )
    MERGE = Meaning(
        "merged",
        "merged into another row of the same title",
        kind=Kind.MERGE,
        counts=(Count.MERGED,),
        groups=(Group.MERGED,),
        audit="title.merged",
        undone="merged row",
    )
    AWAIT = Meaning(
        "requested_and_not_tracked",
        "requested and not tracked, so added",
        kind=Kind.ADD,
        counts=(Count.AWAITED,),
        groups=(Group.ADDED,),
        audit="title.awaited",
    )
    MOVE = Meaning(
        "on_its_way",
        "further on its way",
        kind=Kind.UPDATE,
        counts=(Count.MOVED,),
        groups=(Group.CHANGED,),
        audit="title.state",
        undone="changed state",
    )
    WITHDRAW = Meaning(
        "request_gone",
        "withdrawn because the request is gone",
        kind=Kind.REMOVE,
        counts=(Count.WITHDRAWN,),
        groups=(Group.GONE,),
        audit="title.withdrawn",
        undone="withdrawn request",
    )
    GIVE_WAY = Meaning(
        "on_its_way_twice",
        "removed because another row is on its way",
        kind=Kind.REMOVE,
        counts=(Count.MERGED,),
        groups=(Group.MERGED,),
        audit="title.gave_way",
    )
    REIDENTIFIED = Meaning(
        "identified_as_another_title",
        "its item in Jellyfin was another title by then",
        FindingKind.IDENTIFIED,
        "its item in Jellyfin is now another title",
        "correct the item in Jellyfin, or confirm that the row is now this title",
        Action.CONFIRM,
        kind=Kind.CONFLICT,
        counts=(Count.CONFLICTS,),
        groups=(Group.UNMATCHED,),
    )
    DIFFERENT_TITLES = Meaning(
        "ids_point_to_different_titles",
        "its ids belonged to different requests",
        FindingKind.CONFLICT,
        "its ids belong to different requests",
        "correct the ids in Jellyfin, or merge the requests in the tracker",
        kind=Kind.CONFLICT,
        counts=(Count.CONFLICTS,),
        groups=(Group.UNMATCHED,),
    )
    CONTRADICTING = Meaning(
        "ids_contradict_each_other",
        "Jellyfin had two different ids of one provider for it",
        FindingKind.CONFLICT,
        "Jellyfin has two different ids of one provider for it",
        "correct the ids in Jellyfin",
        kind=Kind.CONFLICT,
        counts=(Count.CONFLICTS,),
        groups=(Group.UNMATCHED,),
    )
    DOUBLE = Meaning(
        "tracked_twice",
        "tracked more than once by Library Sync",
        FindingKind.DOUBLE,
        "Library Sync tracks it more than once",
        "have its rows merged into the first one",
        Action.MERGE,
        kind=Kind.DOUBLE,
        counts=(),
        groups=(Group.DOUBLES,),
    )
    UNLINK_HELD = Meaning(
        "unlink_held",
        "Radarr or Sonarr id gone together with many others, kept for now",
        FindingKind.UNLINK_HELD,
        "its Radarr or Sonarr id would be unlinked, with many others",
        "nothing if that list comes back; otherwise unlink it",
        Action.UNLINK,
    )
    DELETED_IN_TRACKER = Meaning(
        "deleted_in_the_tracker",
        "deleted in the tracker's dashboard, so left out",
        FindingKind.LEFT_OUT,
        "somebody deleted it in the tracker's dashboard, and Jellyfin still lists it",
        "nothing if that was meant; else have it tracked again",
        Action.TRACK_AGAIN,
    )
    NEVER_SEEN = Meaning(
        "available_but_never_seen",
        "tracked as available, never seen in the library",
        FindingKind.NEVER_SEEN,
        "it is tracked as available, but was never seen in the library",
        "see why Jellyfin does not show it, or have it removed from the tracker",
        Action.REMOVE,
    )
    NOT_UNDERSTOOD = Meaning(
        "row_not_understood",
        "row not understood, so left alone",
        FindingKind.NOT_UNDERSTOOD,
        "the tracker's row has a state, type or id that is not known",
        "upgrade library-sync, or correct the row",
    )
    AVAILABILITY_UNKNOWN = Meaning(
        "availability_unknown",
        "unknown whether there is anything to play",
        FindingKind.UNKNOWN,
        "it is unknown whether there is anything to play",
        "nothing, it is checked again; if it stays, see the problems here and Jellyfin's log",
        retried=True,
    )
    NOT_AVAILABLE = Meaning(
        "not_available",
        "nothing to play yet",
        FindingKind.NOTHING_TO_PLAY,
        "Jellyfin lists it, but there is no file to play",
        "add an episode or the film, or delete its empty folder",
        retried=True,
    )
    EARLIER_STATE = Meaning(
        "tracked_in_an_earlier_state",
        "requested, unknown whether it is complete",
        FindingKind.WAITING,
        "it was requested, and it is unknown whether it is complete",
        "nothing, it is checked again; if it stays, fix what the brackets name",
        retried=True,
    )
    SEASONS_INCOMPLETE = Meaning(
        "requested_seasons_incomplete",
        "requested, not all episodes there yet",
        FindingKind.INCOMPLETE,
        "not all requested episodes are there",
        "nothing; it becomes available with the last of them",
    )
    SCAN_IN_PROGRESS = Meaning(
        "still_read_by_jellyfin",
        "still being scanned by Jellyfin",
        FindingKind.BEING_READ,
        "Jellyfin has no ids for it yet",
        "nothing, it is checked again; if it stays, identify it in Jellyfin",
        groups=(Group.UNMATCHED,),
        retried=True,
    )
    ALREADY_RIGHT = Meaning("already_right", "already right")
    DUPLICATE = Meaning("duplicate", "further copies of a title")
    ADDED_CONCURRENTLY = Meaning("tracked_meanwhile", "added by somebody else in the meantime")
    HELD = Meaning("held", "on hold until an admin approves", counts=(Count.HELD,))
    WATCHED = Meaning("watched", "missing, waiting for more evidence", counts=(Count.WATCHED,))
    NOT_IN_LIBRARY = Meaning("not_in_the_library", "requested, not in the library yet")


REASONS: Mapping[str, Reason] = {reason.value: reason for reason in Reason}
"""Reasons by code; a file written by another version may have others."""

UNDONE: Mapping[str, str] = {
    one.meaning.audit: one.meaning.undone for one in Reason if one.meaning.undone
}
"""What can be undone of a run: audit action to noun."""

GONE: tuple[str, ...] = tuple(
    reason.meaning.audit
    for reason in Reason
    if reason.meaning.audit and reason.meaning.kind in {Kind.REMOVE, Kind.MERGE}
)
"""Audit actions after which a row's number can be reused."""

_WRITTEN = {reason.meaning.counts[0] for reason in Reason if reason.meaning.audit}
BRIEF: tuple[str, ...] = (
    *(Count.ADDED, "updated"),
    *(count for count in Count if count in _WRITTEN - {Count.ADDED, *UPDATED}),
    Count.HELD,
)
"""The counts of a run's short summary."""


def words(code: str) -> str:
    """The words for a reason's code; an unknown code is shown as it is."""
    return REASONS[code].meaning.words if code in REASONS else code.replace("_", " ")
