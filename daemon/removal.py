"""The removal guard: what may go, what has to wait, and what a person has to look at. Pure.

A title that is absent is no title that is gone: a disk may be away, a library may be half read.
Each rule here can only keep a row, never lose one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from daemon.domain import Reading, RemovalMode, RemovalPolicy, TrackedRequest


class Rule(NamedTuple):
    """One rule of the guard and what it found; what is decided follows from these alone.

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


class Held(NamedTuple):
    """A row that would be removed, were it not for a reason that a person can overrule."""

    row: TrackedRequest
    why: str


class Verdict(NamedTuple):
    """What is to become of the absent rows.

    Attributes:
        remove: may go now.
        held: wait for an admin.
        watched: wait for more evidence.
        rules: that it comes from.
    """

    remove: list[TrackedRequest]
    held: list[Held]
    watched: list[TrackedRequest]
    rules: tuple[Rule, ...]


def proof(reading: Reading) -> tuple[Rule, ...]:
    """Whether what a reading did not show may be called absent: only if every rule lets it."""
    idle = not reading.scanning
    at_work = "" if idle else "Jellyfin was at work on its library, where rows stand half-made"
    cut = "" if reading.complete else "the library was not read to its end"
    empty = "" if reading.titles else "Jellyfin lists no title at all"
    return (
        Rule("complete", reading.complete, limit=True, why=cut),
        Rule("idle", idle, limit=True, why=at_work),
        Rule("titles", reading.titles, 1, why=empty),
    )


def judge(
    absent: Sequence[TrackedRequest],
    population: Mapping[str | None, int],
    listed: Iterable[str],
    policy: RemovalPolicy,
    approved: frozenset[int] = frozenset(),
) -> Verdict:
    """Decide about rows that a complete reading of an idle server did not show.

    Args:
        absent: those rows, with the evidence of earlier readings.
        population: available titles that were seen in each library, by its location.
        listed: the locations that the server lists now.
        policy: what it takes.
        approved: rows that an admin has approved to go.
    """
    remove = [row for row in absent if row.id in approved]
    open_ = [row for row in absent if row.id not in approved]
    ripe = [row for row in open_ if _is_ripe(row, policy)]
    mode, evidence = _mode(policy), _evidence(len(remove) + len(ripe), len(absent), policy)
    libraries = (*_libraries(open_, population, frozenset(listed), policy),)
    rules = (mode, evidence, *libraries)
    if policy.mode is RemovalMode.OFF:
        return Verdict(remove, [], open_, rules)
    doubts = {rule.about: rule.why for rule in reversed(libraries) if rule.why}
    first = next((rule.why for rule in libraries if rule.why), "")
    # Where one library looks wrong, nothing goes in any other: its titles may have moved there.
    others = f"held with others: {first}" if first else mode.why
    held = [Held(row, why) for row in ripe if (why := doubts.get(_place(row)) or others)]
    watched = [row for row in open_ if not _is_ripe(row, policy)]
    return Verdict(remove if held else remove + ripe, held, watched, rules)


def _place(row: TrackedRequest) -> str:
    return row.library or "unknown"


def _is_ripe(row: TrackedRequest, policy: RemovalPolicy) -> bool:
    """Whether it was missing often enough and for long enough, this reading included."""
    if row.absence is None:
        return policy.sightings <= 1 and not policy.grace
    return row.absence.sightings + 1 >= policy.sightings and row.absence.waited >= policy.grace


def _mode(policy: RemovalPolicy) -> Rule:
    why = {RemovalMode.ASK: "removals are to be approved", RemovalMode.OFF: "removals are off"}
    return Rule("mode", policy.mode, RemovalMode.GUARDED, why=why.get(policy.mode, ""))


def _evidence(ripe: int, absent: int, policy: RemovalPolicy) -> Rule:
    hours = policy.grace.total_seconds() / 3600
    readings = f"{policy.sightings} complete reading{'s' if policy.sightings > 1 else ''}"
    why = f"{absent - ripe} of {absent} titles wait for more evidence" if ripe < absent else ""
    return Rule("evidence", ripe, absent, f"{readings}, {hours:g} h", why)


def _libraries(
    absent: Sequence[TrackedRequest],
    population: Mapping[str | None, int],
    listed: frozenset[str],
    policy: RemovalPolicy,
) -> Iterator[Rule]:
    """Whether missing titles may be gone, for each library that misses any."""
    for library, gone in Counter(row.library for row in absent).items():
        place, is_listed = library or "unknown", library in listed
        lost = f"its library ({place}) is not listed by Jellyfin any more"
        yield Rule("listed", is_listed, limit=True, about=place, why="" if is_listed else lost)
        yield _share(place, gone, population.get(library, 0), policy)


def _share(library: str, gone: int, tracked: int, policy: RemovalPolicy) -> Rule:
    """However small a library is, something of it has to be left."""
    share = max(policy.limit_titles, tracked * policy.limit_percent // 100)
    limit = max(0, min(share, tracked - 1))
    missing = f"{gone} of {tracked} titles are missing in {library}"
    what = f"nothing is left of {library}" if gone >= tracked else missing
    why = f"{what}; is its disk there?" if gone > limit else ""
    return Rule("share", gone, limit, library, why)


def outstanding(sightings: int, waited: timedelta, policy: RemovalPolicy) -> tuple[int, timedelta]:
    """How many more complete readings, and how much more time, it takes until a title may go."""
    return max(1, policy.sightings - sightings), max(timedelta(), policy.grace - waited)
