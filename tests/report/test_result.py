"""What a run is counted as, and how that is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from daemon.domain import (
    SCANNING,
    Absent,
    Add,
    Conflict,
    Decision,
    Fate,
    Held,
    HeldKind,
    Ids,
    ItemError,
    Outcome,
    Plan,
    RequestState,
    Rule,
    Skip,
    SourceFailure,
    Update,
)
from daemon.reasons import Reason
from daemon.report.result import RunStats, SyncResult, planned
from tests.builders import a_request, an_item

GAP = SourceFailure("Radarr", "unreachable", "Radarr is away")
LOST = ItemError("Jellyfin", "b" * 32, "it has no name")
USED = ItemError("Jellyfin", "", "its Tmdb id is unusable", lost=False)


def told(stats: RunStats, **others: Any) -> dict[str, Any]:
    """The document of a result with these counts."""
    return SyncResult(stats.outcome, stats, 7, 12, {}, **others).as_dict()


@pytest.mark.parametrize(
    ("stats", "outcome", "details"),
    [
        (RunStats(), Outcome.OK, []),
        (RunStats(gaps=[GAP]), Outcome.PARTIAL, ["Radarr is away"]),
        (RunStats(defects=[LOST]), Outcome.PARTIAL, [f"Jellyfin {'b' * 32}: it has no name"]),
        (
            RunStats(defects=[USED]),
            Outcome.OK,
            ["Jellyfin item without an id: its Tmdb id is unusable"],
        ),
        (RunStats(gaps=[SourceFailure("Jellyfin", SCANNING, "at work")]), Outcome.PARTIAL, []),
        (RunStats(failure=GAP, gaps=[GAP]), Outcome.FAILED, ["Radarr is away"] * 2),
    ],
)
def test_whatever_is_missing_keeps_a_run_from_being_good(
    stats: RunStats, outcome: Outcome, details: list[str]
) -> None:
    """A gap or a lost item makes it PARTIAL, a failure FAILED; a scan alone is no error."""
    document = told(stats)
    assert (document["outcome"], document["error_details"]) == (outcome.value, details)
    assert document["errors"] == len(details)


def test_of_many_rules_those_that_hold_are_kept() -> None:
    """However many libraries there are, the report is bounded, and hides nothing that held."""
    rules = [Rule("share", 1, 1, f"/media/{at}", "gone" * (at == 99)) for at in range(100)]
    guard = told(RunStats(guard=(*rules,)))["guard"]
    assert (len(guard), guard[0]["about"]) == (50, "/media/99")


def test_the_first_keys_are_those_that_the_trackers_page_shows() -> None:
    """Their order is a contract; further keys come after them."""
    stats = RunStats(Counter({Reason.ADD: 3}), scanned=9)
    reasons = (Reason.DUPLICATE, Reason.DUPLICATE, Reason.ALREADY_RIGHT)
    stats.count(Plan([Skip(an_item(), reason) for reason in reasons]))
    document = told(stats)
    first = {"total_scanned": 9, "added": 3, "skipped": 3, "errors": 0, "error_details": []}
    assert [*document.items()][:5] == [*first.items()]
    assert document["skip_reasons"] == {"already_right": 1, "duplicate": 2}
    assert (document["run_id"], document["duration_ms"], document["dry_run"]) == (7, 12, False)


def test_many_errors_are_all_counted_but_not_all_told() -> None:
    """A library full of broken items does not make the result endless."""
    document = told(RunStats(defects=[LOST] * 103))
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
        Update(item, Reason.FILL, 1, {"year": 1, "imdb_id": "x"}),
        Update(item, Reason.REFRESH, 2, {}, {"title": "x"}),
        Update(item, Reason.RELINK, 3, {"year": 1}, {}, {"radarr_id": (7, None)}),
        Update(item, Reason.PROMOTE, 4, promotes=RequestState.REQUESTED),
        Conflict(item, (4, 9)),
        Conflict(None, (4,), Reason.REIDENTIFIED),
        Absent(gone, Fate.REMOVE, "why"),
        Absent(gone, Fate.WATCH),
        Absent(gone, Fate.HOLD),
        Skip(item, Reason.ALREADY_RIGHT, 1),
        Skip(None, Reason.NOT_IN_LIBRARY, 1),
    ]
    held = [Held(gone, "too many"), Held(gone, "all at once", HeldKind.UNLINK)]
    plan, stats = Plan(decisions, held=held), RunStats()
    stats.count(plan)
    stats.counts.update(one.reason for one in decisions if one.reason.meaning.audit)
    document = told(stats, plan=[*planned(plan)])
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
        (Reason.NOT_AVAILABLE, True),
        (Reason.AVAILABILITY_UNKNOWN, True),
        (Reason.SCAN_IN_PROGRESS, True),
        (Reason.EARLIER_STATE, True),
        (Reason.ALREADY_RIGHT, False),
        (Reason.DUPLICATE, False),
    ],
)
def test_what_came_too_early_is_remembered(reason: Reason, *, early: bool) -> None:
    """It is looked at again; what is said of a request alone is no item."""
    item, stats = an_item(), RunStats()
    stats.count(Plan([Skip(item, reason), Skip(None, reason, 1)]))
    assert stats.early == ({item.jellyfin_id} if early else set())
    assert stats.counts == {reason: 1}


def test_a_request_that_cannot_be_decided_yet_is_looked_at_again_whatever_it_gets() -> None:
    """Its values are written at once; that all of it is there is not known for that."""
    early, decided = an_item(), an_item()
    stats = RunStats()
    stats.count(
        Plan(
            [
                Update(early, Reason.FILL, 1, {"year": 1999}, undecided=True),
                Update(decided, Reason.FILL, 2, {"year": 1999}),
            ]
        )
    )
    assert stats.early == {early.jellyfin_id}
