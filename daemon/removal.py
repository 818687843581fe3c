"""The removal guard: what may go, what has to wait, and what a person has to look at. Pure.

A title that is absent is no title that is gone: a disk may be away, a library may be half read.
Each rule here can only keep a row, never lose one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
    missing = Counter(row.library for row in open_)
    held, free = [], []
    for row in ripe:
        why = _objection(row, missing, population, frozenset(listed), policy)
        (held.append(Held(row, why)) if why else free.append(row))
    if held:  # where one library looks wrong, nothing goes in any other either
        held.extend(Held(row, "held together with the others of this run") for row in free)
        free = []
    return Verdict(remove + free, held, watched)


def _but(rows: Sequence[TrackedRequest], approved: frozenset[int]) -> list[TrackedRequest]:
    return [row for row in rows if row.id not in approved]


def _is_ripe(row: TrackedRequest, policy: RemovalPolicy) -> bool:
    """Whether it was missing often enough and for long enough, this reading included."""
    if row.absence is None:
        return policy.sightings <= 1 and not policy.grace
    return row.absence.sightings + 1 >= policy.sightings and row.absence.waited >= policy.grace


def _objection(
    row: TrackedRequest,
    missing: Mapping[str | None, int],
    population: Mapping[str | None, int],
    listed: frozenset[str],
    policy: RemovalPolicy,
) -> str:
    if row.library is None or row.library not in listed:
        return f"its library ({row.library or 'unknown'}) is not listed by Jellyfin any more"
    gone, tracked = missing[row.library], population.get(row.library, 0)
    limit = max(policy.limit_titles, tracked * policy.limit_percent // 100)
    if gone > limit:
        return f"{gone} of {tracked} titles are missing in {row.library}; is its disk there?"
    return "removals are to be approved" if policy.mode is RemovalMode.ASK else ""
