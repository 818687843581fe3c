"""What a run is counted as, and how that is told."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.domain import (
    SCANNING,
    Absent,
    Add,
    Conflict,
    ConflictReason,
    Decision,
    Defect,
    Fate,
    Gap,
    Held,
    HeldKind,
    Ids,
    Outcome,
    Plan,
    RequestState,
    Rule,
    Skip,
    SkipReason,
    Update,
    UpdateReason,
)
from daemon.result import SyncResult, Tally, planned
from tests.builders import a_request, an_item

GAP = Gap("Radarr", "unreachable", "Radarr is away")
LOST = Defect("Jellyfin", "b" * 32, "it has no name")
USED = Defect("Jellyfin", "", "its Tmdb id is unusable", lost=False)


def told(tally: Tally, **others: Any) -> dict[str, Any]:
    """The document of a result with these counts."""
    return SyncResult(tally.outcome, tally, 7, 12, {}, **others).as_dict()


@pytest.mark.parametrize(
    ("tally", "outcome", "details"),
    [
        (Tally(), Outcome.OK, []),
        (Tally(gaps=[GAP]), Outcome.PARTIAL, ["Radarr is away"]),
        (Tally(defects=[LOST]), Outcome.PARTIAL, [f"Jellyfin {'b' * 32}: it has no name"]),
        (
            Tally(defects=[USED]),
            Outcome.OK,
            ["Jellyfin item without an id: its Tmdb id is unusable"],
        ),
        (Tally(gaps=[Gap("Jellyfin", SCANNING, "at work")]), Outcome.PARTIAL, []),
        (Tally(failure=GAP, gaps=[GAP]), Outcome.FAILED, ["Radarr is away"] * 2),
    ],
)
def test_whatever_is_missing_keeps_a_run_from_being_good(
    tally: Tally, outcome: Outcome, details: list[str]
) -> None:
    """A gap or a lost item makes it PARTIAL, a failure FAILED; a scan alone is no error."""
    document = told(tally)
    assert (document["outcome"], document["error_details"]) == (outcome.value, details)
    assert document["errors"] == len(details)


def test_of_many_rules_those_that_hold_are_kept() -> None:
    """However many libraries there are, the report is bounded, and hides nothing that held."""
    rules = [Rule("share", 1, 1, f"/media/{at}", "gone" * (at == 99)) for at in range(100)]
    guard = told(Tally(guard=(*rules,)))["guard"]
    assert (len(guard), guard[0]["about"]) == (50, "/media/99")


def test_the_first_keys_are_those_that_the_trackers_page_shows() -> None:
    """Their order is a contract; further keys come after them."""
    tally = Tally(scanned=9, added=3)
    reasons = (SkipReason.DUPLICATE, SkipReason.DUPLICATE, SkipReason.ALREADY_RIGHT)
    tally.count(Plan([Skip(an_item(), reason) for reason in reasons]))
    document = told(tally)
    first = {"total_scanned": 9, "added": 3, "skipped": 3, "errors": 0, "error_details": []}
    assert [*document.items()][:5] == [*first.items()]
    assert document["skip_reasons"] == {"already_right": 1, "duplicate": 2}
    assert (document["run_id"], document["duration_ms"], document["dry_run"]) == (7, 12, False)


def test_many_errors_are_all_counted_but_not_all_told() -> None:
    """A library full of broken items does not make the result endless."""
    document = told(Tally(defects=[LOST] * 103))
    assert document["errors"] == 103
    assert document["error_details"][-1] == "and 3 more"
    assert len(document["error_details"]) == 101


def test_decisions_are_counted_and_planned_by_what_they_would_do() -> None:
    """A dry run tells what would be written and what is in conflict, and passes over the rest."""
    item, bare = an_item(), an_item("bare", ids=Ids())
    gone = a_request(8, library="/films")
    decisions: list[Decision] = [
        Add(item),
        Add(bare),
        Update(item, UpdateReason.FILL, 1, {"year": 1, "imdb_id": "x"}),
        Update(item, UpdateReason.REFRESH, 2, {}, {"title": "x"}),
        Update(item, UpdateReason.RELINK, 3, {"year": 1}, {}, {"radarr_id": (7, None)}),
        Update(item, UpdateReason.PROMOTE, 4, promotes=RequestState.REQUESTED),
        Conflict(item, (4, 9)),
        Conflict(None, (4,), ConflictReason.IDENTIFIED_ANEW),
        Absent(gone, Fate.REMOVE, "why"),
        Absent(gone, Fate.WATCH),
        Absent(gone, Fate.HOLD),
        Skip(item, SkipReason.ALREADY_RIGHT, 1),
        Skip(None, SkipReason.NOT_IN_LIBRARY, 1),
    ]
    held = [Held(gone, "too many"), Held(gone, "all at once", HeldKind.UNLINK)]
    plan, tally = Plan(decisions, held=held), Tally()
    tally.count(plan)
    for decision in decisions:
        tally.would_write(decision)
    document = told(tally, plan=[*planned(plan)])
    counts = ("added", "without_ids", "filled", "refreshed", "relinked", "updated", "promoted")
    assert [document[name] for name in counts] == [2, 1, 1, 1, 1, 3, 1]
    others = ("conflicts", "removed", "watched", "held", "skipped")
    assert [document[name] for name in others] == [2, 1, 1, 2, 1]
    about = {"media_type": "MOVIE", "title": item.title, "jellyfin_id": item.jellyfin_id}
    row = {"request_id": 8, "library": "/films"}
    other = {"media_type": "MOVIE", "title": bare.title, "jellyfin_id": bare.jellyfin_id}
    assert document["plan"] == [
        {"decision": "add", **about},
        {"decision": "add", **other},
        {"decision": "fill", **about, "columns": ["imdb_id", "year"]},
        {"decision": "refresh", **about, "columns": ["title"]},
        {"decision": "relink", **about, "columns": ["radarr_id", "year"]},
        {"decision": "promote", **about, "columns": []},
        {"decision": "conflict", **about, "request_ids": [4, 9]},
        {"decision": "conflict", "request_ids": [4]},
        {"decision": "remove", **row, "why": "why"},
        {"decision": "hold", **row, "why": "too many", "kind": "remove"},
        {"decision": "hold", **row, "why": "all at once", "kind": "unlink"},
    ]
    assert document["dry_run"] is True


@pytest.mark.parametrize(
    ("reason", "early"),
    [
        (SkipReason.NOT_AVAILABLE, True),
        (SkipReason.AVAILABILITY_UNKNOWN, True),
        (SkipReason.STILL_READ, True),
        (SkipReason.EARLIER_STATE, True),
        (SkipReason.ALREADY_RIGHT, False),
        (SkipReason.DUPLICATE, False),
    ],
)
def test_what_came_too_early_is_remembered(reason: SkipReason, *, early: bool) -> None:
    """It is looked at again; what is said of a request alone is no item."""
    item, tally = an_item(), Tally()
    tally.count(Plan([Skip(item, reason), Skip(None, reason, 1)]))
    assert tally.early == ({item.jellyfin_id} if early else set())
    assert tally.skipped == {reason: 1}
