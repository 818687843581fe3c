"""Why a title is tracked as it is, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from daemon.domain import RemovalPolicy

_DONE = {
    "available_and_not_tracked": "it was in the library and not tracked, so it was added",
    "fill": "values that were missing were filled in",
    "refresh": "its texts were brought up to date",
    "relink": "an id that was proven wrong was replaced",
    "promote": "it was requested, and the library has it now",
    "gone_from_the_library": "it was gone from the library and was removed",
    "not_available": "Jellyfin lists it, but there is nothing to play",
    "still_read_by_jellyfin": "Jellyfin was still reading it",
    "requested_seasons_incomplete": "not all requested episodes are there",
    "row_not_understood": "its row is not understood and is left alone",
    "ids_point_to_different_titles": "its ids belong to different requests",
}


def sentences(facts: Mapping[str, Any], policy: RemovalPolicy) -> Iterator[str]:
    """What is so, why, and what would change it."""
    tracked = facts["tracked"]
    yield f"{tracked['title']} is {tracked['state']} as request {tracked['id']}."
    if (decision := next(iter(facts["decisions"]), None)) is not None:
        done = _DONE.get(decision["reason"], decision["reason"].replace("_", " "))
        details = f" ({decision['details']})" if decision["details"] else ""
        yield f"In run {decision['run_id']}, {decision['started_at'][:16]}, {done}{details}."
    yield from _presence(facts)
    yield _what_would_change(facts, policy)


def _presence(facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts["seen"]:
        yield "We have not seen it in the library ourselves."
    elif (missing := facts["missing"]) is not None:
        times = missing["sightings"]
        yield f"It is missing from the library since {facts['missing_since'][:16]}, {times} times."
    else:
        place = facts["library"] or "a place that is not known"
        yield f"The library had it at the last complete reading, in {place}."


def _what_would_change(facts: Mapping[str, Any], policy: RemovalPolicy) -> str:
    if facts["tracked"]["state"] != "AVAILABLE":
        return "It becomes AVAILABLE once Jellyfin has all of it that was requested."
    if not facts["seen"]:
        return "It is never removed before it was seen in the library once."
    missing = facts["missing"] or {"sightings": 0, "waited_hours": 0.0}
    more = max(1, policy.sightings - missing["sightings"])
    left = policy.grace - timedelta(hours=missing["waited_hours"])
    hours = max(0, round(left.total_seconds() / 3600))
    return (
        f"It is removed after being missing from {more} more complete readings"
        f" and for {hours} more hours, if few others are missing too."
    )
