"""What is said of one title, and what would change it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.domain import RemovalMode, RemovalPolicy
from daemon.report.explain import linked, of_untracked, sentences
from daemon.settings import Settings

LAST = {
    RemovalMode.GUARDED: "if few others are missing too.",
    RemovalMode.ASK: "if an admin approves.",
    RemovalMode.OFF: "removals are switched off.",
}


def facts(**more: Any) -> dict[str, Any]:
    """A film that is tracked and there, as the store tells of it."""
    tracked = {"id": 7, "title": "Metropolis", "state": "AVAILABLE", "tmdb_id": 19}
    there = {"seen": True, "library": "/films", "missing": None, "missing_since": None}
    instances = [{"name": "Radarr", "number": 12}, {"name": "Radarr 4k", "number": 3}]
    return {"tracked": tracked, "decisions": [], "instances": instances, **there, **more}


@pytest.mark.parametrize("mode", [*RemovalMode])
def test_what_would_remove_a_title_is_as_the_settings_have_it(mode: RemovalMode) -> None:
    """Nothing is announced that the daemon will not do."""
    *_, last = sentences(facts(), RemovalPolicy(mode))
    assert last.endswith(LAST[mode])


def test_the_numbers_elsewhere_are_told() -> None:
    """Those of each Radarr and Sonarr that has it."""
    told = [*sentences(facts(), RemovalPolicy())]
    assert "Radarr has it as number 12." in told
    assert "Radarr 4k has it as number 3." in told


@pytest.mark.parametrize(
    ("tracked", "urls"),
    [
        ({"tmdb_id": 19}, ["http://films/movie/19", "https://uhd/movie/19", None]),
        ({"tmdb_id": None}, [None, None, None]),
    ],
)
def test_each_instance_has_an_address_of_its_own(
    tracked: dict[str, Any], urls: list[str | None]
) -> None:
    """Where people's browsers reach it; none where it goes by another id, or is not configured."""
    settings = Settings.model_validate(
        {
            "jellyfin": {"url": "http://jellyfin", "api_key": "x"},
            "radarr": {"url": "http://films", "api_key": "x"},
            "radarr_4k": {"url": "http://ten", "public_url": "https://uhd", "api_key": "x"},
        }
    )
    names = ("Radarr", "Radarr 4k", "Radarr long gone")
    known = {"tracked": tracked, "instances": [{"name": name, "number": 1} for name in names]}
    assert [one["url"] for one in linked(known, settings.instances)["instances"]] == urls


def test_a_missing_title_says_for_how_long() -> None:
    """How often it was missing, since when, and what is left until it goes."""
    missing = {"sightings": 1, "waited_hours": 23.0}
    told = facts(missing=missing, missing_since="2026-03-01T10:00:00+00:00")
    *_, presence, last = sentences(told, RemovalPolicy(grace=timedelta(hours=24)))
    assert presence == (
        "There has been nothing to play of it since 2026-03-01T10:00, in 1 complete reading."
    )
    assert "1 more complete reading and for 1 more hour," in last


def test_what_needs_somebody_is_said() -> None:
    """With what to do about it."""
    needs = [{"what": "Library Sync tracks it more than once", "todo": "merge them"}]
    told = [*sentences(facts(needs=needs), RemovalPolicy())]
    assert "Now Library Sync tracks it more than once: merge them." in told


def test_what_was_taken_back_is_said() -> None:
    """Or the latest decision would seem to hold still."""
    run = {"run_id": 3, "started_at": "2026-03-01T10:00:00", "details": None}
    back = {"run_id": 3, "at": "2026-03-01T11:00:00", "action": "title.undone", "actor_name": "eve"}
    told = facts(decisions=[{**run, "reason": "gone_from_the_library"}], history=[back], seen=False)
    said = " ".join(sentences(told, RemovalPolicy()))
    assert "so removed. What run 3 did to it was taken back at 2026-03-01T11:00." in said
    assert "We have not seen it in the library ourselves since." in said


LOG = {"at": "2026-03-01 10:00:00.5", "by": "carol", "source": "DASHBOARD", "removal": None}
OFF = {
    "run_id": 4,
    "started_at": "2026-03-02T10:00:00",
    "reason": "deleted_in_the_tracker",
    "details": "it was taken off the list there",
}


@pytest.mark.parametrize(
    ("deletion", "decision", "words"),
    [
        (LOG, None, "It was deleted in the tracker's dashboard at 2026-03-01T10:00 by carol."),
        ({**LOG, "by": None, "source": "SONARR"}, None, "It was deleted by the tracker at 2026"),
        (
            {**LOG, "removal": {"run_id": 7, "reason": "gone"}},
            None,
            "in run 7: gone; undo run 7 to",
        ),
        (
            {**LOG, "removal": {"run_id": 7, "reason": "gone"}},
            None,
            "as soon as the library has it.",
        ),
        (LOG, OFF, "deleted in the tracker's dashboard, so left out (it was"),
        (LOG, OFF, "stays out unless an admin has it tracked again"),
        (
            None,
            {**OFF, "reason": "not_available"},
            "2026-03-02T10:00: nothing to play yet",
        ),
    ],
)
def test_a_title_without_a_row_says_why(
    deletion: dict[str, Any] | None, decision: dict[str, Any] | None, words: str
) -> None:
    """Deleted by somebody, removed by us, left out."""
    first, *told = of_untracked({"title": "Metropolis", "deletion": deletion, "decision": decision})
    assert first == "Metropolis is not tracked."
    assert words in " ".join(told)
