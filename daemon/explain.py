"""Why a title is tracked as it is, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from daemon.domain import RemovalMode, RemovalPolicy
from daemon.removal import outstanding
from daemon.report import count

_DONE = {
    "available_and_not_tracked": "it was in the library and not tracked, so it was added",
    "available_without_ids": "it was in the library and not tracked, so it was added without ids",
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
    yield from _links(tracked)
    yield from _presence(facts)
    yield _what_would_change(facts, policy)


def _links(tracked: Mapping[str, Any]) -> Iterator[str]:
    """Through these ids the tracker deletes files, so that they are worth a look."""
    for name in ("radarr", "sonarr"):
        if (number := tracked.get(f"{name}_id")) is not None:
            yield f"{name.capitalize()} has it as number {number}."


def _presence(facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts["seen"]:
        yield "We have not seen it in the library ourselves."
    elif (missing := facts["missing"]) is not None:
        times = count(missing["sightings"], "complete reading")
        since = facts["missing_since"][:16]
        yield f"There has been nothing to play of it since {since}, in {times}."
    else:
        place = f", in {facts['library']}" if facts["library"] else ""
        yield f"The library had it at the last complete reading{place}."


def _what_would_change(facts: Mapping[str, Any], policy: RemovalPolicy) -> str:
    if facts["tracked"]["state"] != "AVAILABLE":
        return "It becomes AVAILABLE once Jellyfin has all of it that was requested."
    if not facts["seen"]:
        return "It is never removed before it was seen in the library once."
    if policy.mode is RemovalMode.OFF:
        return "It stays, whatever is missing: removals are switched off."
    missing = facts["missing"] or {"sightings": 0, "waited_hours": 0.0}
    waited = timedelta(hours=missing["waited_hours"])
    more, left = outstanding(missing["sightings"], waited, policy)
    hours = round(left.total_seconds() / 3600)
    ask = policy.mode is RemovalMode.ASK
    return (
        f"It is removed after being missing from {count(more, 'more complete reading')}"
        f" and for {count(hours, 'more hour')}, if"
        f" {'an admin approves' if ask else 'few others are missing too'}."
    )
