"""What is said of one title, and what would change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.domain import RemovalMode, RemovalPolicy, Value
from daemon.pending import Said
from daemon.reasons import FindingKind
from daemon.report.explain import linked, of_untracked, sentences
from daemon.settings import Settings
from daemon.store.attention import Finding
from daemon.store.on_the_way import OnTheWay
from daemon.store.plans import PlanOf
from daemon.store.search import DeletedTitle, LeftOut, Removal, Untracked
from daemon.store.titles import InstanceTitle, Missing, PastDecision, PastEvent, TitleFacts

LAST = {
    RemovalMode.GUARDED: "if few others are missing too.",
    RemovalMode.ASK: "if an admin approves.",
    RemovalMode.OFF: "removals are switched off.",
}


TRACKED: dict[str, Value] = {
    "id": 7,
    "title": "Metropolis",
    "state": "AVAILABLE",
    "tmdb_id": 19,
}
INSTANCES = [InstanceTitle("Radarr", 12), InstanceTitle("Radarr 4k", 3)]
THERE = TitleFacts(TRACKED, seen=True, library="/films", instances=INSTANCES)
"""A film that is tracked and there, as the store tells of it."""


@pytest.mark.parametrize("mode", [*RemovalMode])
def test_what_would_remove_a_title_is_as_the_settings_have_it(mode: RemovalMode) -> None:
    """Nothing is announced that the daemon will not do."""
    *_, last = sentences(THERE, RemovalPolicy(mode))
    assert last.endswith(LAST[mode])


def test_the_numbers_elsewhere_are_told() -> None:
    """Those of each Radarr and Sonarr that has it."""
    told = [*sentences(THERE, RemovalPolicy())]
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
    known = TitleFacts(tracked, instances=[InstanceTitle(name, 1) for name in names])
    assert [one.url for one in linked(known, settings.instances).instances] == urls


def test_a_missing_title_says_for_how_long() -> None:
    """How often it was missing, since when, and what is left until it goes."""
    missing = Missing(1, 23.0)
    told = replace(THERE, missing=missing, missing_since="2026-03-01T10:00:00+00:00")
    *_, presence, last = sentences(told, RemovalPolicy(grace=timedelta(hours=24)))
    assert presence == (
        "There has been nothing to play since 2026-03-01T10:00, in 1 complete reading."
    )
    assert "1 more complete reading and for 1 more hour," in last


def test_what_needs_somebody_is_said() -> None:
    """With what to do about it."""
    what = "Library Sync tracks it more than once"
    needs = [Finding(FindingKind.DOUBLE, "Metropolis", 7, what, "merge them")]
    told = [*sentences(replace(THERE, needs=needs), RemovalPolicy())]
    assert "Now Library Sync tracks it more than once: merge them." in told


def test_what_was_taken_back_is_said() -> None:
    """Or the latest decision would seem to hold still."""
    gone = PastDecision(3, "remove", "gone_from_the_library", None, "2026-03-01T10:00:00", "ok")
    back = PastEvent("2026-03-01T11:00:00", "title.undone", "eve", 3, None)
    told = replace(THERE, decisions=[gone], history=[back], seen=False)
    said = " ".join(sentences(told, RemovalPolicy()))
    assert "so removed); eve took that back at 2026-03-01T11:00, so it is as before" in said
    assert "No complete reading of the library has shown it since 2026-03-01T11:00." in said
    assert "In run 3" not in said


@pytest.mark.parametrize(
    ("state", "words", "last"),
    [
        ("open", "held in the plan of run 4, for an admin to decide.", "approves that plan"),
        ("discarded", "kept by eve since 2026-03-02T10:00, until others", "removed by itself."),
    ],
)
def test_a_plan_is_said_once_and_nothing_contradicts_it(state: str, words: str, last: str) -> None:
    """What waits for an admin, or was decided by one, does not count down."""
    plan = PlanOf(4, state, "eve", "2026-03-02T10:00:00")
    told = replace(THERE, missing=Missing(3, 99.0), missing_since="2026-03-01T10:00", held=plan)
    *_, said, end = sentences(told, RemovalPolicy())
    assert words in said
    assert last in end
    assert "more complete reading" not in f"{said} {end}"


def test_a_title_on_its_way_says_who_says_what_and_since_when() -> None:
    """And of a service that does not answer, since when nothing is known of it."""
    at = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)
    said = (Said("Seerr", "request 3: approved", at), Said("Radarr", "searches for it", at, at))
    known = ("downloading", 0.42, "4.8 MB/s", "2m 20s", said)
    row = (7, "Metropolis", "MOVIE", 1927, "DOWNLOADING", "2026-03-01", "eve", "2026-03-01 14:00")
    facts = TitleFacts({**TRACKED, "state": "DOWNLOADING"}, pending=OnTheWay(*row, None, *known))
    told = [*sentences(facts, RemovalPolicy())]
    assert told[1:-1] == [
        "On its way since 2026-03-01 14:00: downloading, 42% downloaded (4.8 MB/s, 2m 20s left).",
        "Seerr: request 3: approved, since 2026-03-01T14:02.",
        "Since 2026-03-01T14:02 Radarr is not known; its last word was “searches for it”.",
    ]


LOG = DeletedTitle(*(1, "Metropolis", "MOVIE", None, "DASHBOARD", "carol", "2026-03-01 10:00:00.5"))
OFF = LeftOut(
    *("Metropolis", "MOVIE", None, 4, "deleted_in_the_tracker"),
    *("it was taken off the list there", "2026-03-02T10:00:00"),
)
OURS = replace(LOG, removal=Removal(7, "gone"))


@pytest.mark.parametrize(
    ("deletion", "decision", "words"),
    [
        (LOG, None, "It was deleted in the tracker's dashboard at 2026-03-01T10:00 by carol."),
        (replace(LOG, by=None, source="SONARR"), None, "It was deleted by the tracker at 2026"),
        (
            OURS,
            None,
            "in run 7: gone; undo run 7 to",
        ),
        (
            OURS,
            None,
            "as soon as the library has it.",
        ),
        (LOG, OFF, "deleted in the tracker's dashboard, so left out (it was"),
        (LOG, OFF, "stays out unless an admin has it tracked again"),
        (
            None,
            replace(OFF, reason="not_available"),
            "2026-03-02T10:00: nothing to play yet",
        ),
    ],
)
def test_a_title_without_a_row_says_why(
    deletion: DeletedTitle | None, decision: LeftOut | None, words: str
) -> None:
    """Deleted by somebody, removed by us, left out."""
    first, *told = of_untracked(Untracked("Metropolis", "MOVIE", None, decision, deletion))
    assert first == "Metropolis is not tracked."
    assert words in " ".join(told)
