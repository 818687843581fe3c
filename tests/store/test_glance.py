"""What the pages read: right, and by an index whatever the size."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain import (
    Absent,
    Add,
    Conflict,
    Decision,
    Fate,
    Held,
    Ids,
    Outcome,
    RemovalPolicy,
    Skip,
    TrackedRequest,
    Trigger,
    Update,
)
from daemon.reasons import Group, Reason
from daemon.store import (
    Store,
    attention,
    glance,
    history,
    on_the_way,
    plans,
    search,
    syncing,
    titles,
    undo,
)
from daemon.store.audit import AuditEvent
from daemon.store.database import Connection
from daemon.store.glance import Wanted
from daemon.store.history import RunFilter
from daemon.store.plans import PlanState
from tests.builders import ACTOR, NOW, an_item, begun, change

WEEK = timedelta(days=7)
ORDERED = {"sync_plans", "sync_absences USING INDEX sync_absences_since", "sync_ignored"}
"""Walked from one end to the first few rows; of what is ignored, each row is somebody's click."""

LIMITED = {"sync_pending", "sync_attention"}
"""As long as `pending.limit` allows: a row for each title on its way, and what is said of it."""


async def ended(
    store: Store, outcome: Outcome = Outcome.OK, kind: str = "full", **told: int
) -> int:
    """The number of a run that has come to its end."""
    number = await store.write(history.begin, Trigger.ADMIN, ACTOR, kind=kind)
    await store.write(history.finish, number, outcome, told)
    return number


async def added(store: Store, *names: str) -> int:
    """The number of a run that added these titles."""
    number = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    items = [an_item(name, title=name, ids=Ids(at)) for at, name in enumerate(names, 600)]
    await store.write(syncing.apply, number, ACTOR, [Add(item) for item in items], since)
    await store.write(history.finish, number, Outcome.OK, {"added": len(names)})
    return number


async def tracked(store: Store, number: int) -> TrackedRequest:
    """One row as the planner gets it."""
    return next(row for row in (await store.read(syncing.tracked)).rows if row.id == number)


async def test_an_empty_file_has_nothing_to_show(store: Store) -> None:
    """No run, no plan and no title is a state like any other."""
    assert await store.read(glance.glance) == (
        [],
        None,
        None,
        None,
        [],
        {"full": [], "webhook": []},
    )
    assert await store.read(glance.view, 1, Wanted()) is None
    assert await store.read(search.tracked, "a") == []


async def test_the_strip_has_the_newest_runs_with_what_they_came_to(store: Store) -> None:
    """Forty of them, the newest first; a run that goes has counts of nothing."""
    for _ in range(45):
        await ended(store, added=3, removed=1, held=2, errors=4, promoted=5, total_scanned=6)
    await begun(store)
    lines = (await store.read(glance.glance)).lines
    assert [line.id for line in lines] == [*range(46, 6, -1)]
    names = ("added", "removed", "held", "errors", "promoted", "total_scanned")
    told = [(line.outcome, *(line.counts[name] for name in names)) for line in lines[:2]]
    assert told == [("running", 0, 0, 0, 0, 0, 0), ("ok", 3, 1, 2, 4, 5, 6)]


async def test_the_verdict_is_that_of_the_latest_full_run(store: Store) -> None:
    """Looks at single titles, and the run that is going, say nothing of the whole library."""
    await ended(store, Outcome.PARTIAL, total_scanned=7)
    failed = await ended(store, Outcome.FAILED)
    await ended(store, kind="hinted")
    await begun(store)
    found = await store.read(glance.glance)
    assert found.full is not None
    assert (found.full.id, found.full.outcome) == (failed, "failed")


def guard(**why: str) -> list[dict[str, str]]:
    """What the removal guard told; a rule holds where a reason is given."""
    return [{"name": name, "why": why.get(name, "")} for name in ("mode", "complete", "idle")]


@pytest.mark.parametrize(
    ("outcome", "rules", "whole"),
    [
        (Outcome.OK, [], True),
        (Outcome.HELD, guard(mode="ask"), True),
        (Outcome.PARTIAL, guard(mode="off"), True),
        (Outcome.PARTIAL, guard(complete="the library was not read to its end"), False),
        (Outcome.PARTIAL, guard(idle="it scanned"), False),
        (Outcome.PARTIAL, [], False),
        (Outcome.FAILED, [], False),
    ],
)
async def test_the_library_was_read_as_a_whole_where_absence_would_have_shown(
    path: Path, store: Store, outcome: Outcome, rules: list[dict[str, str]], *, whole: bool
) -> None:
    """Then the status page and the page of a title say so, with one truth."""
    await added(store, "a")
    for number, (end, told) in enumerate(((Outcome.OK, []), (outcome, rules)), 2):
        await store.write(history.begin, Trigger.ADMIN, ACTOR)
        await store.write(history.finish, number, end, {"guard": told})
        change(path, f"UPDATE sync_runs SET ended_at = 'then {number}' WHERE id = ?", number)
    await ended(store, kind="hinted")
    facts = await store.read(titles.facts, 1)
    assert facts is not None
    assert facts.checked == (await store.read(glance.glance)).checked
    assert facts.checked == ("then 3" if whole else "then 2")


async def test_each_job_has_its_latest_runs(store: Store) -> None:
    """Ten at most that have ended, the newest first: full ones, and those of webhooks."""
    for _ in range(11):
        await ended(store)
    hook = await store.write(history.begin, Trigger.WEBHOOK, ACTOR, kind="hinted")
    await store.write(history.finish, hook, Outcome.OK, {"added": 2})
    await begun(store)
    jobs = (await store.read(glance.glance)).jobs
    assert [line.id for line in jobs["full"]] == [*range(11, 1, -1)]
    assert [(line.id, line.counts["added"]) for line in jobs["webhook"]] == [(hook, 2)]


async def test_the_titles_added_last_come_first(store: Store) -> None:
    """At most eight, over as many runs as it takes."""
    await added(store, *"abcdef")
    await added(store, *"uvwxyz")
    lately = (await store.read(glance.glance)).recently_added
    assert [one.title for one in lately] == [*"zyxwvu", *"fe"]
    assert (lately[0].run_id, lately[-1].run_id, lately[0].media_type) == (2, 1, "MOVIE")


async def test_a_plan_that_waits_is_told_with_its_reasons(store: Store) -> None:
    """How many titles, the reason of most of them first; a settled plan does not wait."""
    run = await added(store, "a", "b", "c")
    held = [Held(await tracked(store, at), why) for at, why in ((1, "x"), (2, "y"), (3, "y"))]
    await plans.hold(store, run, held, WEEK)
    plan = (await store.read(glance.glance)).plan
    assert plan is not None
    assert (plan.run_id, plan.titles, plan.reasons) == (run, 3, ["y", "x"])
    event = AuditEvent("plan.discarded", ACTOR)
    await store.write(plans.settle, run, PlanState.DISCARDED, event, WEEK)
    assert (await store.read(glance.glance)).plan is None


async def test_runs_are_listed_in_pages_and_by_outcome(store: Store) -> None:
    """Beginning below a number, the newest first."""
    for outcome in (Outcome.OK, Outcome.FAILED) * 3:
        await ended(store, outcome)
    for before, ids, more in ((6, [5, 4], 4), (3, [2, 1], None)):
        page = await store.read(history.lines, before, 2)
        assert ([line.id for line in page.rows], page.next) == (ids, more)
    failed = await store.read(history.lines, None, 9, RunFilter(Outcome.FAILED))
    assert [line.id for line in failed.rows] == [6, 4, 2]


async def test_a_run_shows_its_decisions_in_groups(store: Store) -> None:
    """Added, changed with what it was before and after, and what needs somebody."""
    await added(store, "film")
    number = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    film = an_item("film", ids=Ids(600))
    decisions: list[Decision] = [
        Update(film, Reason.FILL, 1, {"tvdb_id": 12}),
        Conflict(an_item("two"), (1, 2)),
        Skip(film, Reason.NOT_AVAILABLE),
    ]
    await store.write(syncing.apply, number, ACTOR, decisions, since)
    found = await store.read(glance.view, number, Wanted())
    assert found is not None
    counts = {"changed": 1, "unmatched": 1, "skipped": 1}
    assert {name: count for name, count in found.counts.items() if count} == counts
    assert (found.group, found.kept) == ("changed", True)
    assert [one.changes for one in found.rows] == [{"tvdb_id": (None, 12)}]
    conflict, skip = ("conflict", "requests 1, 2"), ("skip", None)
    for group, (kind, details) in (("unmatched", conflict), ("skipped", skip)):
        needs = await store.read(glance.view, number, Wanted(group))
        assert needs is not None
        assert [(one.kind, one.details) for one in needs.rows] == [(kind, details)]


async def test_a_title_without_ids_is_added_and_unmatched(store: Store) -> None:
    """It counts in both groups, as both are so."""
    number = await begun(store)
    since = await store.write(syncing.concurrent_writes)
    await store.write(
        syncing.apply, number, ACTOR, [Add(an_item("bare", title="bare", ids=Ids()))], since
    )
    for group in ("added", "unmatched"):
        found = await store.read(glance.view, number, Wanted(group))
        assert found is not None
        assert [one.title for one in found.rows] == ["bare"]


async def test_errors_are_a_group_for_those_who_may_see_them(store: Store) -> None:
    """In sentences that can be searched; for others not even by asking for it."""
    number = await store.write(history.begin, Trigger.ADMIN, ACTOR)
    told = {"errors": 2, "error_details": ["Jellyfin is away", "an item has no name"]}
    await store.write(history.finish, number, Outcome.FAILED, told)
    for text, after, fits in (("", 0, 2), ("JELLYFIN", 0, 1), ("", 1, 1), ("zz", 0, 0)):
        found = await store.read(glance.view, number, Wanted("error", text, after))
        assert found is not None
        assert (found.group, found.counts[Group.ERROR], len(found.rows)) == ("error", 2, fits)
    plain = await store.read(glance.view, number, Wanted("error", groups=glance.SHOWN))
    assert plain is not None
    assert (plain.group, plain.rows) == ("added", [])


async def test_a_film_of_radarrs_says_under_which_number(store: Store, path: Path) -> None:
    """Only one that Radarr has, as far as the tracker knows."""
    run = await added(store, "a", "b")
    change(path, "UPDATE requests SET radarr_id = 7 WHERE title = 'a'")
    found = await store.read(glance.view, run, Wanted("added"))
    assert found is not None
    assert [one.tmdb_id for one in found.rows] == [600, None]


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ["50%", "a_b", "axb"]), ("%", ["50%"]), ("a_b", ["a_b"]), ("AX", ["axb"]), ("é", [])],
)
async def test_a_search_takes_its_text_as_it_is(store: Store, text: str, names: list[str]) -> None:
    """No sign of it is a pattern; in a run, in a plan and among all titles."""
    run = await added(store, "50%", "a_b", "axb")
    await plans.hold(store, run, [Held(await tracked(store, at), "why") for at in (1, 2, 3)], WEEK)
    for group in ("added", "held"):
        found = await store.read(glance.view, run, Wanted(group, text))
        assert found is not None
        assert [one.title for one in found.rows] == names
    assert [one.title for one in await store.read(search.tracked, text)] == names


async def test_a_run_is_read_in_portions(store: Store) -> None:
    """Each begins above the `seq` that the last one ended with."""
    run = await added(store, *"abcde")
    await plans.hold(store, run, [Held(await tracked(store, at), "why") for at in (1, 2, 3)], WEEK)
    for group, names, more in (("added", "cd", 4), ("held", "c", None)):
        found = await store.read(glance.view, run, Wanted(group, after=2, limit=2))
        assert found is not None
        assert ([one.title for one in found.rows], found.more) == ([*names], more)


async def test_what_can_be_undone_is_counted_until_it_was(store: Store) -> None:
    """Removals and the like, less those that were taken back."""
    await added(store, "a", "b")
    run = await begun(store)
    await store.write(
        syncing.remove, run, ACTOR, [Absent(await tracked(store, at), Fate.REMOVE) for at in (1, 2)]
    )
    found = await store.read(glance.view, run, Wanted())
    assert found is not None
    assert (found.undoable, found.counts[Group.GONE]) == ({"title.removed": 2}, 2)
    await undo.undo_run(store, run, ACTOR)
    after = await store.read(glance.view, run, Wanted("restored", "a"))
    assert after is not None
    assert (after.undoable, after.counts[Group.RESTORED]) == ({}, 2)
    assert [(one.title, one.request_id, one.by) for one in after.rows] == [("a", 1, ACTOR.name)]


async def test_old_details_are_said_to_be_forgotten(store: Store, path: Path) -> None:
    """Of runs that are so far back that only the run itself is kept."""
    run = await added(store, "a")
    into = "INSERT INTO sync_runs (id, trigger, kind, actor, started_at, outcome)"
    for newest, kept in ((200, True), (201, False)):
        change(path, f"{into} VALUES (?, 'cli', 'full', 'x', '2026', 'ok')", newest)
        found = await store.read(glance.view, run, Wanted())
        assert found is not None
        assert found.kept is kept


async def test_no_page_scans_a_table(store: Store, path: Path) -> None:
    """Every question of the status page and of a run's page goes by an index."""
    run = await added(store, "a", "b")
    await plans.hold(store, run, [Held(await tracked(store, 1), "why")], WEEK)
    asked: list[str] = []
    with closing(Connection(path, isolation_level=None)) as connection:
        connection.set_trace_callback(asked.append)
        glance.glance(connection)
        attention.findings(connection, RemovalPolicy())
        on_the_way.listed(connection, 6)
        for wanted in (RunFilter(Outcome.OK), RunFilter(trigger=Trigger.CLI), RunFilter(since=NOW)):
            history.lines(connection, None, 30, wanted)
        for group in (*Group, ""):
            glance.view(connection, run, Wanted(group, "a"))
        connection.set_trace_callback(None)
        questions = [text for text in asked if text.startswith("SELECT")]
        steps = [
            step[3]
            for text in questions
            for step in connection.execute(f"EXPLAIN QUERY PLAN {text}")
        ]
    assert len(questions) > 20
    scans = {step.removeprefix("SCAN ") for step in steps if step.startswith("SCAN ")}
    scans -= {one for one in scans if one.startswith("(subquery")}  # of rows that an index found
    assert scans - {"CONSTANT ROW"} - ORDERED - LIMITED == set()
