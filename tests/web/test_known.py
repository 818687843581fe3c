"""What a title's page says of each source."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.domain import SYNC_USER
from daemon.web import known

CHECKED = "2026-03-02T10:00:00+00:00"
LATER = "2026-03-02T11:00:00+00:00"


def facts(by: str = SYNC_USER, came: str = "2026-03-01 10:00:00", **more: Any) -> dict[str, Any]:
    """A series as the store tells of it; `came` as the tracker writes it."""
    tracked = {"id": 7, "media_type": "TV", "state": "AVAILABLE", "requested_by": by}
    tracked |= {"state_changed_at": came, "created_at": came, "sonarr_id": 3, "jellyfin_id": "ab"}
    there = {"seen": True, "library": "/tv", "missing": None, "missing_since": None}
    kept: dict[str, Any] = {"checked": CHECKED, "decisions": [], "origins": {}, "seasons": []}
    kept["instances"] = [{"name": "Sonarr", "number": 3, "url": "http://sonarr/5"}]
    return {"tracked": tracked, **there, **kept, **more}


def decided(kind: str) -> dict[str, Any]:
    """A decision of a run that began after the complete reading."""
    return {"kind": kind, "run_id": 9, "started_at": LATER}


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
    missing = facts(missing={"sightings": 2, "waited_hours": 3.0}, missing_since=LATER)
    _, jellyfin, _ = known.sources(missing)
    assert jellyfin.seen == "missing from 2 complete readings, the first"
    assert jellyfin.at is not None
    assert jellyfin.at.isoformat() == LATER


def test_a_further_instance_that_has_it_is_a_source_too() -> None:
    """Under its name and with its number; the row's number is the primary's."""
    there = {"name": "Sonarr anime", "number": 40, "url": "https://anime/add/new?term=tvdb:5"}
    told = facts()
    told["instances"] = [*told["instances"], there]
    _, _, primary, further = known.sources(told)
    assert (primary.name, primary.id, primary.url) == ("Sonarr", 3, "http://sonarr/5")
    assert (further.name, further.id, further.url) == ("Sonarr anime", 40, there["url"])
    told["tracked"]["sonarr_id"] = None
    _, _, primary, further = known.sources({**told, "instances": [there]})
    assert (primary.seen, primary.url, further.seen) == ("not linked", None, "linked")


def test_an_id_has_a_source_where_this_program_wrote_it() -> None:
    """By the audit, else by the run that added the row; of others' rows nothing is said."""
    written = {"sonarr_id": {"run_id": 4, "at": LATER}}
    jellyfin, sonarr = known.ids(facts(origins=written, decisions=[decided("add")]))
    assert (sonarr.source, sonarr.run_id) == ("Sonarr", 4)
    assert (jellyfin.source, jellyfin.run_id) == ("Jellyfin", 9)
    jellyfin, sonarr = known.ids(facts(by="carol", origins=written))
    assert (jellyfin.source, sonarr.source) == ("", "Sonarr")
    assert next(known.ids(facts())).run_id is None


def test_a_season_is_whole_or_partly_there_or_not_at_all() -> None:
    """By the tracker's own episodes; specials have a name."""
    counted = [{"season": n, "have": have, "total": 2} for n, have in enumerate((0, 1, 2))]
    seasons = known.seasons(facts(seasons=counted))
    assert seasons == [("Specials", 0, 2), ("Season 1", 1, 2), ("Season 2", 2, 2)]
    assert [one.state for one in seasons] == ["never", "partial", "ok"]
