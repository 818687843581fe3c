"""The words of the pages."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from daemon.domain import Actor, Ids, Scope, Trigger
from daemon.reasons import BRIEF, FindingKind
from daemon.report.health import ServiceHealth
from daemon.report.progress import Phase, Progress
from daemon.services.http import CallStats
from daemon.settings import Sync
from daemon.store.attention import Finding
from daemon.store.glance import Dashboard, PlanSummary
from daemon.store.history import Line, Run
from daemon.triggers.queue import QueuedRun
from daemon.triggers.schedule import Job, JobRun
from daemon.web import view
from tests.builders import NOW, an_item, our_request, planned

HOUR = timedelta(hours=1)
EMPTY = Dashboard([], None, None, None, [], {})
MIXED = "3 removals and 1 unlinked id on hold; nothing was removed"
PLAN = PlanSummary(
    *(7, "open", NOW.isoformat(), None, None, 312, 312, 0),
    reasons=["nothing is left of /films", "b", "c"],
)


def full(outcome: str = "ok", **result: Any) -> Run:
    """A full run that has ended."""
    times = (NOW.isoformat(), NOW.isoformat())
    return Run(1, "cli", "somebody", *times, outcome, {"total_scanned": 4812, **result})


def a_line(outcome: str = "ok", kind: str = "full", seconds: float = 9.0, **counts: int) -> Line:
    """A run that began now, and took so long."""
    ended = (NOW + timedelta(seconds=seconds)).isoformat()
    none = dict.fromkeys((*BRIEF, "errors", "total_scanned"), 0)
    times = (NOW.isoformat(), ended)
    return Line(7, "cli", kind, "somebody", *times, outcome, {**none, **counts})


def facts(last: Run | None = None, checked: timedelta = HOUR, **given: Any) -> view.Facts:
    """How things stand: in sync, unless something else is given."""
    run = full() if last is None else last
    glance = EMPTY._replace(full=run, checked=(NOW - checked).isoformat())
    values: dict[str, Any] = {
        "glance": glance,
        "running": None,
        "waiting": None,
        "services": {},
        "stuck": 0.0,
    }
    return view.Facts(now=NOW, every=6 * HOUR, **{**values, **given})


def ticket(*, began: datetime | None = NOW, **progress: Any) -> QueuedRun:
    """A full run that alice asked for."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    where = Progress(progress.pop("phase", Phase.READING), **progress)
    return QueuedRun(9, Trigger.ADMIN, Actor("user", "alice"), Scope(), future, began, where)


GUARD: list[dict[str, Any]] = [
    {"name": "mode", "value": "guarded", "limit": "guarded", "about": "", "why": ""},
    {"name": "evidence", "value": 2, "limit": 1200, "about": "2 readings", "why": "they wait"},
    {"name": "share", "value": 1200, "limit": 4000, "about": "/films", "why": "too many"},
]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"removed": 2, "watched": 1198}, "1,200 titles missing: 2 removed, 1,198 watched."),
        ({"held": 2, "watched": 1198}, "1,200 titles missing: 2 held, 1,198 watched."),
        ({}, "1,200 titles missing: left as they are."),
    ],
)
def test_the_guard_says_what_became_of_what_is_missing(counts: dict[str, int], words: str) -> None:
    """In one sentence of the run's own counts, and rule by rule."""
    none: dict[str, Any] = {"removed": 0, "held": 0, "watched": 0}
    report = view.guarded(full(kind="full", guard=GUARD, **{**none, **counts}))
    assert report is not None
    assert report.words == words
    assert [(one.what, one.value, one.limit, one.says) for one in report.rules] == [
        ("Removal mode", "guarded", "guarded", "passes"),
        ("Missing from 2 readings", "2 of 1,200 titles", "all of them", "waits"),
        ("Missing in /films", "1,200", "at most 4,000", "holds"),
    ]


def test_every_rule_of_the_guard_has_words() -> None:
    """Those that a run looks at before it can judge, and those that it judges by."""
    film = our_request(an_item("film", library="/films"), seen=True, library="/films")
    other = our_request(an_item("other", ids=Ids(7)), 2, seen=True, library="/films")
    plan = planned([an_item("film", library="/films")], [film, other])
    names = {rule.name for rule in plan.guard}
    assert {"unusable", "trusted", "total", "week", "share", "mode"} <= names
    told = [{**rule._asdict(), "why": ""} for rule in plan.guard]
    none: dict[str, Any] = {"removed": 0, "held": 0, "watched": 0}
    report = view.guarded(full(kind="full", guard=told, **none))
    assert report is not None
    assert len(report.rules) == len(plan.guard)


def away(name: str) -> dict[str, ServiceHealth]:
    """A service that does not answer."""
    return {name: ServiceHealth(name, up=False, problem=f"{name} is off")}


@pytest.mark.parametrize(
    ("given", "state", "words", "why"),
    [
        (facts(), "ok", "In sync: 4,812 titles", ""),
        (facts(full(total_scanned=1)), "ok", "In sync: 1 title", ""),
        (facts(glance=EMPTY), "never", "Never synced", ""),
        (facts(running=ticket()), "running", "Running: full sync", ""),
        (facts(glance=EMPTY, running=ticket()), "running", "Running: full sync", ""),
        (
            facts(full("failed", error_details=["x is off", "y"])),
            "failed",
            "The last sync failed",
            "x is off",
        ),
        (facts(services=away("Sonarr")), "partial", "Degraded: Sonarr is away", "Sonarr is off"),
        (
            facts(services=away("Radarr") | away("Sonarr")),
            "partial",
            "Degraded: Radarr and Sonarr are away",
            "Radarr is off",
        ),
        (
            facts(checked=31 * HOUR),
            "partial",
            "Stale: the last good sync was 31 h ago",
            "A sync is expected every 6 h.",
        ),
        (facts(checked=12 * HOUR), "ok", "In sync: 4,812 titles", ""),
        (
            facts(full("partial", gaps=[{"detail": "it scans"}])),
            "partial",
            "Partly in sync: 4,812 titles",
            "it scans",
        ),
        (
            facts(full("interrupted")),
            "partial",
            "The last sync was interrupted",
            "The next one will do the rest.",
        ),
        (
            facts(full(watched=3, guard=[{**GUARD[2], "why": ""}])),
            "ok",
            "In sync: 4,812 titles; 3 missing, waiting for more evidence",
            "",
        ),
        (
            facts(full(watched=30, guard=GUARD)),
            "partial",
            "30 titles missing, nothing removed; 4,812 titles in sync",
            "too many",
        ),
        (facts(paused=True), "partial", "In sync: 4,812 titles. The full sync is paused", ""),
        (
            facts(full("failed"), paused=True),
            "failed",
            "The last sync failed. The full sync is paused",
            "",
        ),
        (
            facts(running=ticket(), glance=EMPTY._replace(plan=PLAN)),
            "held",
            "312 removals on hold; nothing was removed",
            "",
        ),
        (
            facts(glance=EMPTY._replace(plan=PLAN._replace(removals=0, unlinks=312))),
            "held",
            "312 unlinked ids on hold; nothing was unlinked",
            "",
        ),
        (
            facts(glance=EMPTY._replace(plan=PLAN._replace(removals=3, unlinks=1))),
            "held",
            MIXED,
            "",
        ),
        (
            facts(full(watched=30, guard=[{**GUARD[2], "name": "week", "why": "too many lately"}])),
            "partial",
            "30 titles missing, nothing removed; 4,812 titles in sync",
            "too many lately",
        ),
    ],
)
def test_the_verdict_says_what_matters_most(
    given: view.Facts, state: str, words: str, why: str
) -> None:
    """What needs a person comes first, what heals by itself after it."""
    assert view.verdict(given) == (state, words, why)


def test_a_run_that_goes_tells_where_it_is() -> None:
    """What, why, which step, how far, and what waits behind it."""
    found = view.current_run(facts(running=ticket(done=3, total=9), waiting=ticket(began=None)))
    assert found is not None
    names = ("what", "why", "done", "total", "next", "stuck", "ends")
    assert tuple(getattr(found, name) for name in names) == (
        "full sync",
        "alice",
        3,
        9,
        9,
        "",
        None,
    )
    assert [place for _, place in found.steps] == ["done", "current", "todo"]
    assert view.current_run(facts()) is None


def test_a_run_that_waits_has_done_no_step() -> None:
    """It is shown while it waits for the one before it to end."""
    found = view.current_run(facts(waiting=ticket(began=None)))
    assert found is not None
    assert [place for _, place in found.steps] == ["todo"] * 3


@pytest.mark.parametrize(
    ("seconds", "waiting", "said"),
    [
        (60.0, 1, ""),
        (61.0, 1, "No progress for 1 min while reading the library: waiting for Jellyfin."),
        (
            61.0,
            0,
            "No progress for 1 min while reading the library: waiting for the tracker's file.",
        ),
    ],
)
def test_a_run_that_does_not_move_says_what_it_waits_for(
    seconds: float, waiting: int, said: str
) -> None:
    """After a minute."""
    asked = {"Jellyfin": CallStats(waiting=waiting), "Radarr": CallStats()}
    found = view.current_run(facts(running=ticket(), stuck=seconds, asked=asked))
    assert found is not None
    assert found.stuck == said


@pytest.mark.parametrize(
    ("phase", "waiting", "up", "cell"),
    [
        (Phase.ASKING, 1, True, ("running", "waiting, 2 calls so far")),
        (Phase.ASKING, 0, False, ("running", "2 calls so far")),
        (Phase.READING, 1, True, ("running", "waiting, 2 calls so far")),
        (Phase.READING, 0, True, ("ok", "2 calls so far")),
        (Phase.READING, 0, False, ("failed", "away")),
    ],
)
def test_a_run_that_goes_tells_of_each_service(
    phase: Phase, waiting: int, up: bool, cell: tuple[str, str]
) -> None:
    """What it was asked since the run began, once all were asked whether it answered."""
    given = facts(
        running=ticket(phase=phase),
        services={"Radarr": ServiceHealth("Radarr", up=up)},
        asked={"Radarr": CallStats(calls=9, waiting=waiting)},
        calls_before={"Radarr": CallStats(calls=7)},
    )
    found = view.current_run(given)
    assert found is not None
    cells = {one.name: (one.state, one.words) for one in found.cells}
    assert (cells["Radarr"], cells["Sonarr"]) == (cell, ("never", "not configured"))


@pytest.mark.parametrize(
    ("took", "left"), [((), None), ((30,), 20), ((10, 30, 90), 20), ((5, 5), None)]
)
def test_the_end_is_guessed_from_the_runs_before(took: tuple[int, ...], left: int | None) -> None:
    """The median of those of its kind that went well; nothing is guessed once it is longer."""
    began = NOW - timedelta(seconds=10)
    lines = [
        a_line(outcome, kind, n)
        for seconds in took
        for kind, outcome, n in (("full", "ok", seconds), ("full", "failed", 999), ("x", "ok", 999))
    ]
    found = view.current_run(facts(running=ticket(began=began), glance=EMPTY._replace(lines=lines)))
    assert found is not None
    assert found.ends == (None if left is None else NOW + timedelta(seconds=left))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.012, "12 ms"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7200, "2 h"),
        (171_000, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_a_length_of_time_is_said_in_its_largest_unit(seconds: float, words: str) -> None:
    """Days from two on."""
    assert view.span(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (-5, "in a moment"), (90, "1 min ago"), (-7200, "in 2 h")],
)
def test_a_moment_is_said_by_its_distance(seconds: float, words: str) -> None:
    """The coming ones, too."""
    assert view.ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-13-01"])
def test_what_is_no_time_is_none(text: str | None) -> None:
    """The tracker's file may hold anything."""
    assert view.moment(text) is None


def test_a_time_without_a_zone_is_utc() -> None:
    """That is how the tracker writes it."""
    assert view.moment("2026-11-20 12:00:00.000000") == NOW


def test_a_runs_counts_are_few_words() -> None:
    """Only what is not nothing."""
    assert view.summary(a_line()) == "nothing new"
    assert view.summary(a_line(added=1234, errors=1)) == "1,234 added, 1 problem"


async def work() -> str:
    """Do nothing."""
    return ""


def test_each_job_tells_how_it_went_and_when_it_comes() -> None:
    """A run of the file, a look of this process, what is paused, and what never happened."""
    line = a_line("partial", added=3, updated=1, promoted=1, errors=2)
    glance = EMPTY._replace(jobs={"full": [line, line], "webhook": []})
    jobs = {name: Job(work) for name in ("full", "quick", "housekeeping")}
    jobs["quick"].paused = True
    jobs["quick"].done.append(JobRun(NOW, 0.5, "nothing has changed", good=True))
    found = {one.name: one for one in view.jobs(glance, jobs, lambda _: NOW + HOUR, Sync())}
    full, quick = found["full"], found["quick"]
    assert (full.plan, full.next, full.spark) == ("every 6 h", NOW + HOUR, "0,1.0 60,1.0")
    assert full.last is not None
    told = (full.last.run, full.last.counts, full.last.errors, full.last.took)
    assert told == (7, "+3 ~2 \N{MINUS SIGN}0", 2, 9.0)
    assert quick.last is not None
    assert (quick.paused, quick.last.words) == (True, "nothing has changed")
    assert (found["webhook"].next, found["housekeeping"].last) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "points"),
    [([], ""), ([3], ""), ([1, 2], "0,8.0 60,1.0"), ([0, 0, 0], "0,15.0 30,15.0 60,15.0")],
)
def test_durations_become_a_line(seconds: list[float], points: str) -> None:
    """As high as the longest; one alone is no line."""
    assert view.spark(seconds) == points


def test_findings_are_counted_by_kind() -> None:
    """In the order of their urgency, with the first few of each."""
    a, b = FindingKind.LEAVING, FindingKind.CONFLICT
    found = [Finding(kind, str(at), at, "", "") for at, kind in enumerate([b, a, b, b])]
    grouped = [*view.grouped(found, 2)]
    assert [(one.name, one.number, len(one.rows)) for one in grouped] == [
        ("sources disagree", 3, 2),
        ("missing, not yet removed", 1, 1),
    ]


@pytest.mark.parametrize(
    ("code", "run", "said"),
    [
        ("asked", "7", "Run 7 is starting."),
        ("asked", "<b>", "Run  is starting."),
        ("<b>", "7", ""),
        ("already", "", "This form was already sent. Nothing was done twice."),
    ],
)
def test_a_note_says_only_what_is_known(code: str, run: str, said: str) -> None:
    """An address is anybody's to write."""
    assert view.note(code, run) == said


@pytest.mark.parametrize(
    ("trigger", "why"), [("admin", "alice"), ("interval", "the schedule"), ("odd", "odd")]
)
def test_a_run_has_a_reason(trigger: str, why: str) -> None:
    """Whoever asked, or what did."""
    assert view.cause(trigger, "alice") == why
