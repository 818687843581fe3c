"""What needs somebody, and what is ignored of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from daemon.domain import (
    Add,
    Conflict,
    Decision,
    Evidence,
    Held,
    HeldKind,
    Ids,
    Missed,
    Outcome,
    RemovalPolicy,
    Skip,
    Trigger,
)
from daemon.reasons import Reason
from daemon.store import Store, attention, audit, evidence, history, plans, syncing
from daemon.store.attention import Finding
from daemon.store.audit import AuditEvent
from daemon.store.plans import PlanState
from tests.builders import ACTOR, an_item, begun, change

POLICY = RemovalPolicy()
WEEK = timedelta(days=7)
SERVERS: dict[str, Any] = {"server": "new", "server_known": False}


async def ran(
    store: Store,
    decisions: Sequence[Decision] = (),
    doubles: Sequence[tuple[int, ...]] = (),
    **result: Any,
) -> int:
    """The number of a full run that came to this."""
    number = await store.write(history.begin, Trigger.ADMIN, ACTOR)
    since = await store.write(syncing.concurrent_writes)
    await store.write(syncing.apply, number, ACTOR, decisions, since)
    await store.write(syncing.note_doubles, number, doubles)
    await store.write(history.finish, number, Outcome.PARTIAL, result)
    return number


async def films(store: Store, *titles: str) -> None:
    """Films that were added."""
    await ran(store, [Add(an_item(at, title=at, ids=Ids(n))) for n, at in enumerate(titles, 1)])


async def found(store: Store, *decisions: Decision, **more: Any) -> list[Finding]:
    """What the next full run leaves to somebody."""
    await ran(store, decisions, **more)
    return await store.read(attention.findings, POLICY)


async def test_what_is_ignored_hides_nothing_else(store: Store) -> None:
    """Only so many of a kind are listed, and those that are ignored do not take up the room."""
    number = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    adds = [Add(an_item(at, ids=Ids())) for at in range(120)]
    await store.write(syncing.apply, number, ACTOR, adds, since)
    first = await store.read(attention.findings, POLICY)
    for finding in first:
        event = AuditEvent("finding.ignored", ACTOR, target=finding.target)
        await store.write(attention.ignore, finding, event)
    left = await store.read(attention.findings, POLICY)
    assert (len(first), len(left)) == (100, 20)
    assert {one.target for one in (*first, *left)} == {f"request {at}" for at in range(1, 121)}
    assert len(await store.read(attention.findings, POLICY, ignored=True)) == 100
    assert len((await store.read(audit.events, None, 200)).rows) == 101


async def test_each_kind_is_capped_by_itself(store: Store) -> None:
    """Thousands of stale rows hide no conflict, and what is urgent comes first."""
    await films(store, *(f"film {at}" for at in range(1, 151)))
    skips = [Skip(None, Reason.NEVER_SEEN, at) for at in range(1, 151)]
    odd = Conflict(an_item("odd"), (1, 2))
    kinds = [one.kind for one in await found(store, *skips, odd)]
    assert kinds == ["conflict", *["never_seen"] * 100]


async def test_a_row_that_is_gone_needs_nobody(store: Store, path: Path) -> None:
    """Nor do doubles of which one is left."""
    await films(store, "a", "b")
    assert len(await found(store, Skip(None, Reason.NEVER_SEEN, 1), doubles=[(1, 2)])) == 2
    change(path, "DELETE FROM requests WHERE id = 1")
    assert await store.read(attention.findings, POLICY) == []


async def test_doubles_name_all_rows(store: Store) -> None:
    """The first is whose name they go by."""
    await films(store, "a", "b", "c")
    [double] = await found(store, doubles=[(1, 2, 3)])
    assert (double.title, double.target, double.action) == ("a", "request 1", "merge")
    assert double.request_ids == (1, 2, 3)
    assert double.what == "Library Sync tracks it more than once (requests 1, 2, 3)"


async def test_a_conflict_without_an_item_goes_by_its_rows(store: Store) -> None:
    """Two such conflicts are two findings."""
    await films(store, "a", "b", "c", "d")
    told = await found(store, Conflict(None, (1, 2)), Conflict(None, (3, 4)))
    assert [(one.title, one.target) for one in told] == [
        ("requests 1, 2",) * 2,
        ("requests 3, 4",) * 2,
    ]


async def test_an_item_that_is_another_title_is_told_once_for_each_row(store: Store) -> None:
    """Though the new title and the old one each are decided about."""
    await films(store, "a", "b")
    item = an_item("new", title="New")
    anew = Reason.REIDENTIFIED
    told = await found(
        store,
        Conflict(item, (1, 2), anew, "TMDB 1 became 9; TMDB 2 became 9"),
        Conflict(item, (1,), anew, "TMDB 1 became 9"),
        Conflict(item, (2,), anew, "TMDB 2 became 9"),
    )
    assert [(one.title, one.target, one.request_ids) for one in told] == [
        ("a", "request 1", (1,)),
        ("b", "request 2", (2,)),
    ]
    assert told[0].what == "its item in Jellyfin is now another title (New: TMDB 1 became 9)"


async def test_another_server_is_a_finding_until_it_is_confirmed(store: Store) -> None:
    """It is told as that, not as a problem, and cannot be ignored."""
    gap = {"service": "Jellyfin", "kind": "distrusted", "detail": "this is another server"}
    await store.write(
        attention.confirm, "server", "old", AuditEvent("server.known", ACTOR), only=True
    )
    details = ["this is another server", "Radarr is away"]
    told = await found(store, **SERVERS, gaps=[gap], error_details=details)
    assert [(one.kind, one.target) for one in told] == [
        ("server", "server new"),
        ("problem", "library"),
    ]
    assert "another server (new) than before (old)" in told[0].what
    assert (told[0].ignorable, told[1].what) == (False, "Radarr is away")
    await store.write(
        attention.confirm, "server", "new", AuditEvent("server.confirmed", ACTOR), only=True
    )
    assert [one.kind for one in await store.read(attention.findings, POLICY)] == ["problem"]


async def test_a_server_of_an_older_version_of_the_history_is_none(store: Store) -> None:
    """Its results say nothing of a server."""
    assert await found(store) == []


async def test_what_is_held_says_what_would_become_of_it(store: Store) -> None:
    """And is listed once, though it is missing, too."""
    await films(store, "a", "b", "c")
    rows = (await store.read(syncing.tracked)).rows
    run = await ran(store, [Skip(an_item("b"), Reason.UNLINK_HELD, 2, "29 of 30")])
    await store.write(
        evidence.note, Evidence([], [], [Missed(row, library_away=False) for row in rows])
    )
    held = [Held(rows[0], "its disk is away"), Held(rows[1], "29 of 30", HeldKind.UNLINK)]
    await plans.hold(store, run, held, WEEK)
    told = await store.read(attention.findings, POLICY)
    assert [(one.kind, one.request_id) for one in told] == [
        ("held", 1),
        ("held", 2),
        ("leaving", 3),
    ]
    assert [one.what for one in told[:2]] == [
        "it would be removed: its disk is away",
        "its Radarr or Sonarr id would be unlinked: 29 of 30",
    ]


async def test_a_hold_is_one_card_for_a_library_with_its_evidence(store: Store) -> None:
    """Nothing of it stands twice; and after an admin's word to keep it, nothing counts down."""
    await films(store, "a", "b", "c")
    rows = (await store.read(syncing.tracked)).rows
    await store.write(evidence.note, Evidence([(row.id, "/films") for row in rows], [], []))
    rows = (await store.read(syncing.tracked)).rows
    run = await ran(store, folders_away={"Radarr": ["/films"], "Sonarr": ["/tv"]})
    await store.write(
        evidence.note, Evidence([], [], [Missed(row, library_away=False) for row in rows])
    )
    await plans.hold(store, run, [Held(row, "its disk is away") for row in rows[:2]], WEEK)
    held, leaving = await store.read(attention.findings, POLICY)
    assert (held.kind, held.title, held.request_id) == ("held", "2 films in /films", None)
    assert held.what == (
        "are missing. Radarr cannot reach that folder either. Nothing was removed. Its disk is away"
    )
    assert (leaving.kind, leaving.request_id) == ("leaving", 3)
    event = AuditEvent("plan.discarded", ACTOR, run, f"plan {run}")
    assert await store.write(plans.settle, run, PlanState.DISCARDED, event, WEEK)
    leaving, kept = await store.read(attention.findings, POLICY)
    assert (leaving.kind, leaving.request_id) == ("leaving", 3)
    assert (kept.kind, kept.title) == ("kept", "2 films in /films")
    assert kept.what.startswith(f"kept by {ACTOR.name} since 20")
    assert kept.what.endswith(", until others are missing, too")
