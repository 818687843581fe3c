"""The removal guard: which absent titles are removed, watched or held. Pure.

Absent does not mean deleted: a disk may be unmounted, a library half read. Each rule can
only keep a row, never lose one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from daemon.domain import (
    Absent,
    Fate,
    Held,
    Missed,
    RemovalMode,
    RemovalPolicy,
    Rule,
    TrackedRequest,
    Tracker,
    value_hash,
)
from daemon.identity import file_name, place
from daemon.snapshot import Reading, Snapshot

_Place = tuple[str, ...]


class RemovalDecisions(NamedTuple):
    """The guard's decisions about absent rows.

    Attributes:
        fates: one decision per row.
        missed: evidence to record.
        held: rows that wait for an admin.
        rules: the rules and their results.
    """

    fates: list[Absent]
    missed: list[Missed]
    held: list[Held]
    rules: tuple[Rule, ...]


def proof(reading: Reading, requests: Iterable[TrackedRequest]) -> tuple[Rule, ...]:
    """The rules by which a reading can prove absence: all must pass."""
    unusable = reading.nameless
    if reading.broken:
        known = {row.jellyfin_id for row in requests}
        unusable += sum(broken not in known for broken in reading.broken)
    idle = not reading.scanning
    at_work = "" if idle else "Jellyfin was scanning its library, so rows may be incomplete"
    cut = "" if reading.complete else "the library was not read to its end"
    empty = "" if reading.titles else "Jellyfin lists no title at all"
    other = f"{unusable} records could not be used, which may be any title" if unusable else ""
    return (
        Rule("complete", reading.complete, limit=True, why=cut),
        Rule("idle", idle, limit=True, why=at_work),
        Rule("titles", reading.titles, 1, why=empty),
        Rule("unusable", unusable, 0, why=other),
        Rule("trusted", not reading.distrust, limit=True, why=reading.distrust),
    )


def judge(
    absent: Sequence[TrackedRequest],
    there: Mapping[str | None, int],
    snapshot: Snapshot,
    tracker: Tracker,
    policy: RemovalPolicy,
    leads: Mapping[int, int],
) -> RemovalDecisions:
    """Decide about rows that a complete reading of an idle, trusted server lacks.

    Args:
        absent: those rows, with the evidence of earlier readings.
        there: how many tracked titles are in each library, by its location.
        snapshot: what was read.
        tracker: what an admin has approved, and what was removed recently.
        policy: thresholds.
        leads: for titles with several requests, the one that counts.
    """
    libraries = _Libraries(snapshot, there)
    replaced = [row for row in absent if row.id in tracker.replaced - tracker.approved]
    absent = [_reset_evidence(row, libraries) for row in absent if row not in replaced]
    missed = [Missed(row, library_away=not libraries.is_there(row)) for row in absent]
    open_ = [row for row in absent if row.id not in tracker.approved]
    eligible = [row for row in open_ if _is_eligible(row, policy)]
    rules = [
        *_rules(
            _titles(open_, leads),
            _titles(eligible, leads),
            _titles(absent, leads),
            libraries,
            tracker,
            policy,
        )
    ]
    doubts = {place(rule.about): rule.why for rule in reversed(rules) if rule.about and rule.why}
    general = next((rule.why for rule in rules if rule.name in _GENERAL and rule.why), "")
    names = _names_of_unknown(snapshot)
    held: list[Held] = []
    fates = [Absent(row, Fate.WATCH, _REPLACED) for row in replaced]
    for row in absent:
        why = _held_because(row, doubts, general, names)
        if row.id in tracker.approved:
            fates.append(Absent(row, Fate.REMOVE, "an admin approved it"))
        elif row not in eligible or policy.mode is RemovalMode.OFF:
            fates.append(Absent(row, Fate.WATCH, _waiting(row, policy)))
        elif why:
            fates.append(Absent(row, Fate.HOLD, why))
            held.append(Held(row, why))
        else:
            fates.append(Absent(row, Fate.REMOVE))
    return RemovalDecisions(fates, missed, held, tuple(rules))


_REPLACED = "its file is being replaced by a better one"
_GENERAL = frozenset({"mode", "listed", "share", "total", "week"})
"""If one of these rules fails, nothing is removed: titles may have moved elsewhere."""


class _Libraries:
    """The libraries as they are now, and the number of tracked titles in each."""

    def __init__(self, snapshot: Snapshot, tracked: Mapping[str | None, int]) -> None:
        self.listed = {place(text) for text in snapshot.locations}
        self.filled = {place(text) for text in {item.library for item in snapshot.items} if text}
        self.tracked: Counter[_Place] = Counter()
        for library, number in tracked.items():
            self.tracked[place(library or "")] += number

    @property
    def total(self) -> int:
        return self.tracked.total()

    def is_there(self, row: TrackedRequest) -> bool:
        """Whether a row's library is listed and not empty; an unknown one counts as present."""
        return row.library is None or place(row.library) in self.listed & self.filled


def away(requests: Iterable[TrackedRequest], snapshot: Snapshot) -> list[int]:
    """Missing rows whose library is not listed, or empty."""
    libraries = _Libraries(snapshot, {})
    return [row.id for row in requests if row.absence and not libraries.is_there(row)]


def _titles(rows: Iterable[TrackedRequest], leads: Mapping[int, int]) -> list[TrackedRequest]:
    """One row per title."""
    return list({leads.get(row.id, row.id): row for row in reversed([*rows])}.values())


def _reset_evidence(row: TrackedRequest, libraries: _Libraries) -> TrackedRequest:
    """Reset evidence from the time when the row's library was away."""
    away = row.absence is not None and row.absence.library_away
    return row._replace(absence=None) if away and libraries.is_there(row) else row


def _is_eligible(row: TrackedRequest, policy: RemovalPolicy) -> bool:
    """Whether a row was missing often and long enough, this reading included."""
    if row.absence is None:
        return policy.sightings <= 1 and not policy.grace
    return row.absence.sightings + 1 >= policy.sightings and row.absence.waited >= policy.grace


def _waiting(row: TrackedRequest, policy: RemovalPolicy) -> str:
    if policy.mode is RemovalMode.OFF:
        return "removals are off"
    seen = row.absence.sightings + 1 if row.absence else 1
    return f"missing from {seen} of {policy.sightings} complete readings"


def _held_because(
    row: TrackedRequest, doubts: dict[_Place, str], general: str, names: Collection[int]
) -> str:
    if row.library is None:
        return "its library is unknown, so its disk may be missing"
    if row.file and row.file in names:
        return "a file of the same name is in the library, and Jellyfin has no ids for it"
    own = doubts.get(place(row.library))
    return own or (f"held with others: {general}" if general else "")


def _names_of_unknown(snapshot: Snapshot) -> set[int]:
    """The names of files that Jellyfin has not identified."""
    unknown = (snapshot.texts.full(item) for item in snapshot.items if not item.ids.known)
    return {value_hash(file_name(item.path)) for item in unknown if item.path}


def _rules(
    open_: Sequence[TrackedRequest],
    eligible: Sequence[TrackedRequest],
    absent: Sequence[TrackedRequest],
    libraries: _Libraries,
    tracker: Tracker,
    policy: RemovalPolicy,
) -> Iterator[Rule]:
    yield _mode(policy)
    yield _evidence(len(absent) - len(open_) + len(eligible), len(absent), policy)
    known = sorted(row.library for row in open_ if row.library is not None)
    names = {place(text): text for text in known}
    lost = Counter(place(row.library) for row in open_ if row.library is not None)
    for where, gone in sorted(lost.items()):
        yield from _library(names[where], gone, libraries, policy)
    yield from _totals(len(open_), len(eligible), libraries.total, tracker.removed_lately, policy)


def _mode(policy: RemovalPolicy) -> Rule:
    why = {RemovalMode.ASK: "removals are to be approved", RemovalMode.OFF: "removals are off"}
    return Rule("mode", policy.mode, RemovalMode.GUARDED, why=why.get(policy.mode, ""))


def _evidence(eligible: int, absent: int, policy: RemovalPolicy) -> Rule:
    readings = f"{policy.sightings} complete reading{'s' if policy.sightings > 1 else ''}"
    why = (
        f"{absent - eligible} of {absent} titles wait for more evidence"
        if eligible < absent
        else ""
    )
    return Rule("evidence", eligible, absent, f"{readings}, {_in_words(policy.grace)}", why)


def _in_words(time: timedelta) -> str:
    """A duration in its largest unit."""
    seconds = time.total_seconds()
    units = ((3600, "h"), (60, "min"))
    size, name = next(((size, name) for size, name in units if seconds >= size), (1, "s"))
    return f"{seconds / size:g} {name}"


def _library(
    library: str, gone: int, libraries: _Libraries, policy: RemovalPolicy
) -> Iterator[Rule]:
    """The rules of a library with missing titles."""
    where = place(library)
    listed, tracked = where in libraries.listed, libraries.tracked[where]
    lost = f"its library ({library}) is not listed by Jellyfin any more"
    yield Rule("listed", listed, limit=True, about=library, why="" if listed else lost)
    limit = policy.limit(tracked)
    missing = f"{gone} of {tracked} titles are missing in {library}"
    empty = where not in libraries.filled or gone >= tracked
    what = f"nothing is left of {library}" if empty else missing
    why = f"{what}; is its disk there?" if empty or gone > limit else ""
    yield Rule("share", gone, limit, library, why)


def _totals(
    missing: int, eligible: int, tracked: int, recent: int, policy: RemovalPolicy
) -> Iterator[Rule]:
    """The rules over all libraries: missing in one run, removed in seven days."""
    limit = policy.total_limit(tracked)
    over = f"{missing} of all {tracked} titles are missing at once"
    yield Rule("total", missing, limit, why=over if missing > limit else "")
    many = (
        f"with {recent} removed in the last seven days it would be {recent + eligible} of {tracked}"
    )
    yield Rule(
        "week",
        recent + eligible,
        limit,
        why=many if eligible and recent + eligible > limit else "",
    )
