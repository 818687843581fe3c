"""Values for the planner's tests: series and their episodes, libraries on disks, and plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from daemon.domain import (
    Absence,
    Absent,
    Conflict,
    Decision,
    Fate,
    Ids,
    LibraryItem,
    MediaType,
    Plan,
    Policy,
    RemovalPolicy,
    RequestState,
    TrackedRequest,
    Tracker,
)
from daemon.plan import plan
from daemon.snapshot import Episode, Episodes, Reading, Report, Snapshot
from tests.builders import COMPLETE, NOW, POLICY, a_report, a_request, an_item, jellyfin_id

MOVIE, TV = MediaType.MOVIE, MediaType.TV
APPROVED = RequestState.APPROVED
DISK = "/media/movies"

_T = TypeVar("_T")


# --- series --------------------------------------------------------------------------------------


def a_series(name: object = "item", **overrides: Any) -> LibraryItem:
    """An available series that TVDB knows."""
    return an_item(name, **{"media_type": TV, "ids": Ids(tvdb=81189), **overrides})


def a_series_request(number: int = 1, *seasons: int, **overrides: Any) -> TrackedRequest:
    """A series of which seasons were requested, or all, and that is not available yet."""
    values: dict[str, Any] = {
        "media_type": TV,
        "ids": Ids(tvdb=81189),
        "state": APPROVED,
        "seasons": frozenset(seasons),
    }
    return a_request(number, **{**values, **overrides})


def a_sonarr(titles: dict[int, Ids] | None, **overrides: Any) -> Report:
    """The complete list of a Sonarr."""
    return a_report(titles, media_type=TV, **overrides)


def files(
    numbers: Iterable[int], season: int | None = 1, *, playable: bool | None = True
) -> Episodes:
    """A file of each of these episodes."""
    return Episodes([Episode(season, number, playable=playable) for number in numbers])


def together(*parts: Episodes) -> Episodes:
    """What one copy has of several seasons."""
    rows = [row for part in parts for row in part.rows]
    numbers = {row.season for row in rows if row.season is not None}
    return Episodes(rows, frozenset(numbers).union(*(part.seasons for part in parts)))


# --- plans ---------------------------------------------------------------------------------------


def sees(
    items: Sequence[LibraryItem],
    requests: Sequence[TrackedRequest] = (),
    reports: Sequence[Report] = (),
    episodes: Mapping[LibraryItem, Episodes] | None = None,
    reading: Reading = COMPLETE,
    **tracker: Any,
) -> Plan:
    """The plan of one run that looked at the episodes of some series."""
    found = {item.jellyfin_id: rows for item, rows in (episodes or {}).items()}
    locations = tuple({item.library for item in items if item.library})
    snapshot = Snapshot(items, reading, reports, locations, found)
    return plan(snapshot, Tracker(requests, **tracker), POLICY)


def numbers_of(decision: Decision) -> tuple[int, ...]:
    """The requests that a decision is about."""
    if isinstance(decision, Conflict):
        return decision.request_ids
    if isinstance(decision, Absent):
        return (decision.request.id,)
    number = getattr(decision, "request_id", None)
    return () if number is None else (number,)


def about(plan: Plan | Sequence[Decision], number: int) -> list[Decision]:
    """What is decided of one request, the duplicates of its title left out."""
    decisions = plan.decisions if isinstance(plan, Plan) else plan
    return [one for one in decisions if number in numbers_of(one) and not _is_copy(one)]


def _is_copy(decision: Decision) -> bool:
    return getattr(decision, "reason", None) == "duplicate"


def only(kind: type[_T], plan: Plan | Sequence[Decision]) -> list[_T]:
    """The decisions of one kind."""
    decisions = plan.decisions if isinstance(plan, Plan) else plan
    return [one for one in decisions if isinstance(one, kind)]


# --- libraries of which titles are missing --------------------------------------------------------


def film(number: int, library: str | None = DISK, **overrides: Any) -> LibraryItem:
    """A film of a library."""
    return an_item(number, **{"ids": Ids(tmdb=number), "library": library, **overrides})


def row(number: int, library: str | None = DISK, **overrides: Any) -> TrackedRequest:
    """The request of a film that was seen in a library."""
    values = {"ids": Ids(tmdb=number), "jellyfin_id": jellyfin_id(number)}
    return a_request(number, seen=True, library=library, **{**values, **overrides})


def missed(number: int, library: str | None = DISK, **overrides: Any) -> TrackedRequest:
    """One that an earlier reading, long enough ago, has missed, too."""
    return row(number, library, **{"absence": missing_for(), **overrides})


def missing_for(sightings: int = 1, hours: float = 24, *, away: bool = False) -> Absence:
    """What earlier readings have noted of a row."""
    return Absence(sightings, timedelta(hours=hours), NOW, away)


def swept(
    there: Sequence[TrackedRequest],
    gone: Sequence[TrackedRequest],
    policy: RemovalPolicy | None = None,
    **others: Any,
) -> Plan:
    """The plan of a reading that shows the films of some rows, and not those of others.

    Whatever is not said otherwise: all libraries are listed, and nothing else is in them.
    """
    items = [film(one.id, one.library, ids=one.ids) for one in there]
    items.extend(others.pop("extra", ()))
    libraries = {one.library for one in (*there, *gone) if one.library is not None}
    reading = replace(others.pop("reading", COMPLETE), titles=len(items))
    locations = tuple(others.pop("locations", sorted(libraries)))
    snapshot = Snapshot(items, reading, locations=locations)
    how = Policy(POLICY.public_url, policy or RemovalPolicy())
    return plan(snapshot, Tracker([*there, *gone], **others), how)


def fates(plan: Plan) -> dict[Fate, list[int]]:
    """By fate, the numbers of the absent requests."""
    found: dict[Fate, list[int]] = {}
    for one in only(Absent, plan):
        found.setdefault(one.fate, []).append(one.request.id)
    return {fate: sorted(numbers) for fate, numbers in found.items()}


def removed(plan: Plan) -> list[int]:
    """The numbers of the requests that are removed."""
    return fates(plan).get(Fate.REMOVE, [])


def held(plan: Plan) -> list[int]:
    """The numbers of the requests whose removal waits for an admin."""
    return fates(plan).get(Fate.HOLD, [])


def watched(plan: Plan) -> list[int]:
    """The numbers of the requests that wait for more evidence."""
    return fates(plan).get(Fate.WATCH, [])
