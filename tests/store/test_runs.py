"""The history of runs, and what is remembered of their decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.domain import (
    Add,
    Conflict,
    Decision,
    Ids,
    Outcome,
    Skip,
    Trigger,
    Update,
)
from daemon.reasons import Reason
from daemon.store import Store, history, open_store, syncing
from daemon.store.figures import Counter
from daemon.store.history import Run
from tests.builders import ACTOR, NOW, an_item, begun, rows

STARTED = "2026-11-20T12:00:00.000+00:00"


async def ended(store: Store, outcome: Outcome, *, pictures: bool = False, **counts: int) -> int:
    """The number of a run that has come to its end."""
    number = await begun(store, pictures=pictures)
    await store.write(history.finish, number, outcome, counts)
    return number


async def test_a_run_is_written_down_from_its_beginning_to_its_end(store: Store) -> None:
    """Who started it, why, when, how it went and what came of it; an unknown run is None."""
    number = await begun(store)
    begin = Run(1, "cli", "somebody", STARTED, None, "running", None)
    assert await store.read(history.run, number) == begin
    await store.write(history.finish, number, Outcome.OK, {"added": 3})
    end = replace(begin, ended_at=STARTED, outcome="ok", result={"added": 3})
    assert (await store.read(history.runs, None, 5)).rows == [end]
    assert await store.read(history.run, 99) is None


async def test_what_changed_something_or_needs_somebody_is_kept(store: Store) -> None:
    """Additions, updates, conflicts and what was left undone can be explained later."""
    number = await begun(store)
    film, other = an_item("film"), an_item("other", ids=Ids(604))
    decisions: list[Decision] = [
        Add(film),
        Update(film, Reason.FILL, 1, {"tvdb_id": 12, "imdb_id": "tt0133093"}),
        Conflict(other, (4, 9)),
        Skip(other, Reason.SCAN_IN_PROGRESS),
        Skip(other, Reason.NOT_UNDERSTOOD, 7),
        Skip(film, Reason.ALREADY_RIGHT, 1),
    ]
    await store.write(syncing.apply, number, ACTOR, decisions)
    await store.write(syncing.apply, number, ACTOR, [Skip(film, Reason.SCAN_IN_PROGRESS)])
    kept = await store.read(history.decisions, number)
    names = ("kind", "reason", "jellyfin_id", "request_id", "details")
    assert [tuple(getattr(one, name) for name in names) for one in kept.rows] == [
        ("add", "available_and_not_tracked", film.jellyfin_id, 1, None),
        ("update", "fill", film.jellyfin_id, 1, "imdb_id, tvdb_id"),
        ("conflict", "ids_point_to_different_titles", other.jellyfin_id, None, "requests 4, 9"),
        ("skip", "still_read_by_jellyfin", other.jellyfin_id, None, None),
        ("skip", "row_not_understood", other.jellyfin_id, 7, None),
        ("skip", "still_read_by_jellyfin", film.jellyfin_id, None, None),
    ]


async def test_the_decisions_of_old_runs_are_forgotten(path: Path, store: Store) -> None:
    """Two hundred runs can be explained; the runs themselves are kept for good."""
    for _ in range(203):
        number = await begun(store)
        await store.write(syncing.apply, number, ACTOR, [Skip(an_item(), Reason.SCAN_IN_PROGRESS)])
        await store.write(history.finish, number, Outcome.OK, {})
    kept = "SELECT COUNT(DISTINCT run_id), MIN(run_id) FROM sync_decisions"
    assert rows(path, kept) == [(200, 4)]
    assert len((await store.read(history.runs, None, 999)).rows) == 203


async def test_a_run_of_a_dead_process_is_closed(path: Path) -> None:
    """The next start finds it open, says so, and leaves the others as they are."""
    async with open_store(path, clock=lambda: NOW) as store:
        await ended(store, Outcome.OK)
        dead = await begun(store)
    async with open_store(path, clock=lambda: NOW) as store:
        assert await store.write(history.interrupt_stale) == [dead]
        assert await store.write(history.interrupt_stale) == []
        outcomes = [(run.id, run.outcome) for run in (await store.read(history.runs, None, 5)).rows]
    assert outcomes == [(2, "interrupted"), (1, "ok")]


async def test_a_run_whose_end_could_not_be_noted_is_closed_by_the_next(store: Store) -> None:
    """On a full disk not even that may be possible, and there is only one run at a time."""
    await begun(store)
    await begun(store)
    outcomes = [(run.id, run.outcome) for run in (await store.read(history.runs, None, 5)).rows]
    assert outcomes == [(2, "running"), (1, "interrupted")]


async def test_a_pass_that_changed_something_leaves_a_run_at_work_alone(store: Store) -> None:
    """It may be made beside a full run, and is over as soon as it is written down."""
    await begun(store)
    await store.write(history.begin, Trigger.WEBHOOK, ACTOR, kind="pending")
    outcomes = [run.outcome for run in (await store.read(history.runs, None, 5)).rows]
    assert outcomes == ["running", "running"]


async def test_what_the_latest_full_run_decided_is_kept(store: Store) -> None:
    """It is what needs attention, however many other runs have followed it since."""
    numbers = [await ended(store, Outcome.OK) for _ in range(2)]
    for number in numbers:
        await store.write(
            syncing.apply, number, ACTOR, [Skip(an_item("film"), Reason.SCAN_IN_PROGRESS)]
        )
    for _ in range(201):
        number = await store.write(history.begin, Trigger.WEBHOOK, ACTOR, kind="pending")
        await store.write(history.finish, number, Outcome.OK, {})
    await history.housekeep(store)
    kept = [len((await store.read(history.decisions, number)).rows) for number in numbers]
    assert kept == [0, 1]
    assert [await store.read(history.keeps, number) for number in numbers] == [False, True]


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([], True),
        ([(Outcome.OK, True, 0)], False),
        ([(Outcome.PARTIAL, True, 0)], True),
        ([(Outcome.OK, True, 0), (Outcome.OK, False, 0)], False),
        ([(Outcome.OK, True, 0), (Outcome.OK, False, 151)], True),
        ([(Outcome.OK, True, 0), (Outcome.OK, False, 151), (Outcome.OK, True, 0)], False),
        ([(Outcome.OK, True, 0), (None, False, 0)], True),
        ([(Outcome.OK, True, 0), (None, True, 0)], False),
    ],
)
async def test_pictures_are_asked_for_as_long_as_titles_may_lack_them(
    store: Store, runs: list[tuple[Outcome | None, bool, int]], *, wanted: bool
) -> None:
    """Until a good run asked, and after any that added titles, or died, without asking."""
    for outcome, pictures, unpictured in runs:
        if outcome is None:
            await begun(store, pictures=pictures)
            await store.write(history.interrupt_stale)
        else:
            await ended(store, outcome, pictures=pictures, unpictured=unpictured)
    assert await store.read(history.pictures_wanted) is wanted


async def test_a_look_at_single_titles_is_no_good_run(store: Store) -> None:
    """The alert on the last good run would stay silent while every full run fails."""
    full = await store.write(history.begin, Trigger.INTERVAL, ACTOR)
    await store.write(history.finish, full, Outcome.FAILED, {})
    hinted = await store.write(history.begin, Trigger.WEBHOOK, ACTOR, kind="hinted")
    await store.write(history.finish, hinted, Outcome.OK, {})
    assert (await store.read(Counter().count)).last_good is None
