"""What is said of one title, and what would change it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.domain import RemovalMode, RemovalPolicy
from daemon.explain import sentences

LAST = {
    RemovalMode.GUARDED: "if few others are missing too.",
    RemovalMode.ASK: "if an admin approves.",
    RemovalMode.OFF: "removals are switched off.",
}


def facts(**more: Any) -> dict[str, Any]:
    """A film that is tracked and there, as the store tells of it."""
    tracked = {"id": 7, "title": "Metropolis", "state": "AVAILABLE", "radarr_id": 12}
    there = {"seen": True, "library": "/films", "missing": None, "missing_since": None}
    return {"tracked": tracked, "decisions": [], **there, **more}


@pytest.mark.parametrize("mode", [*RemovalMode])
def test_what_would_remove_a_title_is_as_the_settings_have_it(mode: RemovalMode) -> None:
    """Nothing is announced that the daemon will not do."""
    *_, last = sentences(facts(), RemovalPolicy(mode))
    assert last.endswith(LAST[mode])


def test_the_numbers_elsewhere_are_told() -> None:
    """Radarr's and Sonarr's, where there are any."""
    assert "Radarr has it as number 12." in [*sentences(facts(), RemovalPolicy())]


def test_a_missing_title_says_for_how_long() -> None:
    """How often it was missing, since when, and what is left until it goes."""
    missing = {"sightings": 1, "waited_hours": 23.0}
    told = facts(missing=missing, missing_since="2026-03-01T10:00:00+00:00")
    *_, presence, last = sentences(told, RemovalPolicy(grace=timedelta(hours=24)))
    assert presence == (
        "There has been nothing to play of it since 2026-03-01T10:00, in 1 complete reading."
    )
    assert "1 more complete reading and for 1 more hour," in last
