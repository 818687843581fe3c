"""What a title's page says of each source."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.apply.recheck import Answer
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


def test_an_id_has_a_source_where_this_program_wrote_it() -> None:
    """By the audit, else by the run that added the row; of others' rows nothing is said."""
    written = {"sonarr_id": {"run_id": 4, "at": LATER}}
    jellyfin, sonarr = known.ids(facts(origins=written, decisions=[decided("add")]))
    assert (sonarr.source, sonarr.run_id) == ("Sonarr", 4)
    assert (jellyfin.source, jellyfin.run_id) == ("Jellyfin", 9)
    jellyfin, sonarr = known.ids(facts(by="carol", origins=written))
    assert (jellyfin.source, sonarr.source) == ("", "Sonarr")
    assert next(known.ids(facts())).run_id is None


def test_episodes_are_counted_by_who_knows_best() -> None:
    """Jellyfin says which are there, Sonarr how many there are; else the tracker does."""
    jellyfin = Answer("Jellyfin", "", good=True, have={1: 3}, total={0: 1, 1: 4})
    sonarr = Answer("Sonarr", "", good=True, total={1: 8, 2: 6})
    tracker = facts(seasons=[{"season": 1, "have": 1, "total": 2}])
    both = known.seasons(tracker, [jellyfin, sonarr])
    assert both == [("Specials", 0, 1), ("Season 1", 3, 8), ("Season 2", 0, 6)]
    assert [one.state for one in both] == ["never", "partial", "never"]
    away = known.seasons(tracker, [Answer("Jellyfin", "away"), sonarr])
    assert away == [("Season 1", None, 8), ("Season 2", None, 6)]
    assert known.seasons(tracker, []) == [("Season 1", 1, 2)]
