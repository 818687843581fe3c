"""The removal guard: what may go, what has to wait, and what a person has to look at. Pure.

A title that is absent is no title that is gone: a disk may be away, a library may be half read.
Each rule here can only keep a row, never lose one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from daemon.domain import RemovalMode, RemovalPolicy, TrackedRequest


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
    """

    remove: list[TrackedRequest]
    held: list[Held]
    watched: list[TrackedRequest]


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
    if policy.mode is RemovalMode.OFF:
        return Verdict([row for row in absent if row.id in approved], [], _but(absent, approved))
    remove = [row for row in absent if row.id in approved]
    open_ = _but(absent, approved)
    ripe = [row for row in open_ if _is_ripe(row, policy)]
    watched = [row for row in open_ if not _is_ripe(row, policy)]
    doubts = _doubts(open_, population, frozenset(listed), policy)
    # Where one library looks wrong, nothing goes in any other: its titles may have moved there.
    others = f"held with others: {next(iter(doubts.values()))}" if doubts else _asked(policy)
    held = [Held(row, why) for row in ripe if (why := doubts.get(row.library) or others)]
    return Verdict(remove if held else remove + ripe, held, watched)


def _but(rows: Sequence[TrackedRequest], approved: frozenset[int]) -> list[TrackedRequest]:
    return [row for row in rows if row.id not in approved]


def _is_ripe(row: TrackedRequest, policy: RemovalPolicy) -> bool:
    """Whether it was missing often enough and for long enough, this reading included."""
    if row.absence is None:
        return policy.sightings <= 1 and not policy.grace
    return row.absence.sightings + 1 >= policy.sightings and row.absence.waited >= policy.grace


def _asked(policy: RemovalPolicy) -> str:
    return "removals are to be approved" if policy.mode is RemovalMode.ASK else ""


def _doubts(
    absent: Sequence[TrackedRequest],
    population: Mapping[str | None, int],
    listed: frozenset[str],
    policy: RemovalPolicy,
) -> dict[str | None, str]:
    """Why a library's missing titles may not be gone, for each library that looks wrong."""
    missing = Counter(row.library for row in absent)
    return {
        library: why
        for library, gone in missing.items()
        if (why := _doubt(library, gone, population.get(library, 0), listed, policy))
    }


def _doubt(
    library: str | None, gone: int, tracked: int, listed: frozenset[str], policy: RemovalPolicy
) -> str:
    if library is None or library not in listed:
        return f"its library ({library or 'unknown'}) is not listed by Jellyfin any more"
    if gone >= tracked:
        return f"nothing is left of {library}; is its disk there?"
    if gone > max(policy.limit_titles, tracked * policy.limit_percent // 100):
        return f"{gone} of {tracked} titles are missing in {library}; is its disk there?"
    return ""


def outstanding(sightings: int, waited: timedelta, policy: RemovalPolicy) -> tuple[int, timedelta]:
    """How many more complete readings, and how much more time, it takes until a title may go."""
    return max(1, policy.sightings - sightings), max(timedelta(), policy.grace - waited)
