"""What a title's page says of each source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.domain import SYNC_USER, Value
from daemon.store.titles import (
    InstanceTitle,
    Missing,
    Origin,
    PastDecision,
    TitleFacts,
)
from daemon.web import known

CHECKED = "2026-03-02T10:00:00+00:00"
LATER = "2026-03-02T11:00:00+00:00"


def facts(by: str = SYNC_USER, came: str = "2026-03-01 10:00:00", **more: Any) -> TitleFacts:
    """A series as the store tells of it; `came` as the tracker writes it."""
    tracked: dict[str, Value] = {
        "id": 7,
        "media_type": "TV",
        "state": "AVAILABLE",
        "requested_by": by,
    }
    tracked |= {"state_changed_at": came, "created_at": came, "sonarr_id": 3, "jellyfin_id": "ab"}
    instances = [InstanceTitle("Sonarr", 3, "http://sonarr/5")]
    there = {"seen": True, "library": "/tv", "checked": CHECKED, "instances": instances}
    return TitleFacts(tracked, **{**there, **more})


def decided(kind: str) -> PastDecision:
    """A decision of a run that began after the complete reading."""
    return PastDecision(9, kind, "fill", None, LATER, "ok")


@pytest.mark.parametrize(
    ("came", "kind", "at"),
    [
        ("2026-03-01 10:00:00", "skip", CHECKED),
        ("2026-03-02 10:30:00", "skip", None),
        ("2026-03-02 10:30:00", "add", LATER),
        ("2026-03-01 10:00:00", "update", LATER),
    ],
)
def test_when_it_was_last_there_is_only_said_where_it_is_sure(
    came: str, kind: str, at: str | None
) -> None:
    """At a complete reading that came after it, or when something was written for it."""
    _, jellyfin, _ = known.sources(facts(came=came, decisions=[decided(kind)]))
    assert (jellyfin.seen, jellyfin.at and jellyfin.at.isoformat()) == ("in the library", at)


def test_what_is_missing_is_so_since_the_first_time() -> None:
    """And how often."""
    missing = facts(missing=Missing(2, 3.0), missing_since=LATER)
    _, jellyfin, _ = known.sources(missing)
    assert jellyfin.seen == "missing from 2 complete readings, the first"
    assert jellyfin.at is not None
    assert jellyfin.at.isoformat() == LATER


def test_a_further_instance_that_has_it_is_a_source_too() -> None:
    """Under its name and with its number; the row's number is the primary's."""
    there = InstanceTitle("Sonarr anime", 40, "https://anime/add/new?term=tvdb:5")
    told = facts()
    told = replace(told, instances=[*told.instances, there])
    _, _, primary, further = known.sources(told)
    assert (primary.name, primary.id, primary.url) == ("Sonarr", 3, "http://sonarr/5")
    assert (further.name, further.id, further.url) == ("Sonarr anime", 40, there.url)
    unlinked = {**told.tracked, "sonarr_id": None}
    _, _, primary, further = known.sources(replace(told, tracked=unlinked, instances=[there]))
    assert (primary.seen, primary.url, further.seen) == ("not linked", None, "linked")


def test_an_id_has_a_source_where_this_program_wrote_it() -> None:
    """By the audit, else by the run that added the row; of others' rows nothing is said."""
    written = {"sonarr_id": Origin(4, LATER)}
    jellyfin, sonarr = known.ids(facts(origins=written, decisions=[decided("add")]))
    assert (sonarr.source, sonarr.run_id) == ("Sonarr", 4)
    assert (jellyfin.source, jellyfin.run_id) == ("Jellyfin", 9)
    jellyfin, sonarr = known.ids(facts(by="carol", origins=written))
    assert (jellyfin.source, sonarr.source) == ("", "Sonarr")
    assert next(known.ids(facts())).run_id is None
