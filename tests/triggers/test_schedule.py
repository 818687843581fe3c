"""The schedule, lived through in seconds: intervals, retries, and clocks that jump."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import time_machine

from daemon.apply.run import Publish, SyncService
from daemon.domain import (
    IMPLAUSIBLE,
    INCOMPLETE,
    SCANNING,
    Actor,
    Outcome,
    Scope,
    SourceFailure,
    Trigger,
)
from daemon.errors import StoreError
from daemon.report.progress import Feed
from daemon.report.result import RunStats, SyncResult
from daemon.settings import Sync
from daemon.triggers.queue import Worker
from daemon.triggers.schedule import Schedule
from tests.builders import NOW, rows
from tests.pretend import Fault
from tests.running import METROPOLIS, until, working

Act = Callable[["Life"], object]
MINUTE, HOUR, DAY = 60, 3600, 86_400
JITTER = 11  # seconds that an interval may be longer, rounded
SLACK = 60  # seconds by which a job may be late, for jitter and the watch over the clock
QUICK = "quick"


class _Selector(selectors.SelectSelector):
    """Waits not at all, but says how long it would have."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass."""
        self._passed(timeout or 0.0)
        return super().select(0)


class Clocks(asyncio.SelectorEventLoop):
    """A loop whose hours pass at once, and the wall's clock with them."""

    def __init__(self, wall: time_machine.Traveller) -> None:
        self.now = 0.0
        self.wall = wall
        super().__init__(_Selector(self.pass_by))

    def time(self) -> float:
        """Seconds since the loop was made, however the wall's clock jumps."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let the time pass for both clocks."""
        self.now += seconds
        self.wall.shift(seconds)


class Ended(SyncService):
    """Runs that are over at once and end as they are told to, the last one again and again."""

    def __init__(self, ends: Sequence[SyncResult], note: Callable[[str], None]) -> None:
        self._ends = [*ends]
        self._note = note

    async def run(
        self,
        trigger: Trigger,
        actor: Actor,
        scope: Scope | None = None,
        number: int | None = None,
        publish: Publish = print,
    ) -> SyncResult:
        """End."""
        del actor, scope, number, publish
        self._note(trigger)
        return self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]


def a_result(
    outcome: Outcome = Outcome.OK, kind: str = "", *, failed: bool = False, of: str = "full"
) -> SyncResult:
    """How a run ended, and what was missing."""
    gap = SourceFailure("Jellyfin", kind, "in words")
    stats = RunStats(failure=gap) if failed else RunStats(gaps=[gap] if kind else [])
    return SyncResult(outcome, stats, 1, 0, {}, kind=of)


OK = a_result()
AWAY = a_result(Outcome.FAILED, "unreachable", failed=True)


class Life:
    """A daemon's days.

    Attributes:
        happened: what was done, and after how many seconds.
    """

    def __init__(self, ends: Sequence[SyncResult], clocks: Clocks, sync: dict[str, Any]) -> None:
        self.clocks = clocks
        self.happened: list[tuple[int, str]] = []
        self.worker = Worker(Ended(ends, self.note), Feed(), 1)
        self.schedule = Schedule(
            self.worker,
            Sync.model_validate({"every": "6h", "quick": "0", **sync}),
            quick=self._look,
            housekeeping=_nothing,
        )
        self.worker.on_end.append(self.schedule.on_run_end)

    def note(self, what: str) -> None:
        """Remember what happens now."""
        self.happened.append((round(self.clocks.now), what))

    async def _look(self) -> str:
        self.note(QUICK)
        return "nothing has changed"

    def times(self, *which: str) -> list[int]:
        """When these things happened; every run if none is named."""
        wanted = which or (Trigger.START, Trigger.INTERVAL, Trigger.RETRY)
        return [when for when, what in self.happened if what in wanted]

    async def last(self, seconds: float, at: dict[float, Act]) -> None:
        """Live so long; `at` says what befalls it and when."""
        serving = [asyncio.create_task(part.serve()) for part in (self.worker, self.schedule)]
        self.schedule.start()
        for when, happens in at.items():
            asyncio.get_running_loop().call_later(when, happens, self)
        await asyncio.sleep(seconds)
        self.schedule.stop()
        for task in serving:
            task.cancel()
        await asyncio.wait(serving)


def lived(
    seconds: float,
    at: dict[float, Act] | None = None,
    ends: Sequence[SyncResult] = (OK,),
    **sync: Any,
) -> Life:
    """A life of so many seconds."""
    with time_machine.travel(NOW, tick=False) as wall:
        clocks = Clocks(wall)
        with asyncio.Runner(loop_factory=lambda: clocks) as runner:
            life = Life(ends, clocks, sync)
            runner.run(life.last(seconds, at or {}))
    return life


def jump(hours: float) -> Act:
    """Somebody sets the wall's clock."""
    return lambda life: life.clocks.wall.shift(timedelta(hours=hours))


def test_a_life_begins_with_a_full_run_and_repeats_it() -> None:
    """At once, then every interval, each time a few seconds late at the most."""
    life = lived(DAY + MINUTE)
    assert life.times(Trigger.START) == [0]
    assert len(life.times(Trigger.INTERVAL)) == 4
    assert all(0 <= when - at * 6 * HOUR <= SLACK for at, when in enumerate(life.times()))


def test_the_first_run_can_wait_for_the_interval() -> None:
    """Where `on_start` is false, nothing is asked for at the start."""
    [first] = lived(6 * HOUR + MINUTE, on_start=False).times()
    assert 6 * HOUR <= first <= 6 * HOUR + SLACK


def test_the_quick_look_has_its_own_interval() -> None:
    """Every five minutes, each a few seconds more at the most; with 0 there is none."""
    looks = [0, *lived(HOUR, quick="5m").times(QUICK)]
    pauses = [after - before for before, after in pairwise(looks)]
    assert len(pauses) >= 11
    assert all(5 * MINUTE <= pause <= 5 * MINUTE + JITTER for pause in pauses)
    assert len({round(pause) for pause in pauses}) > 1  # houses do not all ask in one second
    assert lived(DAY, quick="0").times(QUICK) == []


@pytest.mark.parametrize("back", [-0.05, -3, -24])
@pytest.mark.parametrize("when", [MINUTE, 3 * HOUR, 6 * HOUR - MINUTE, 7 * HOUR])
def test_a_clock_set_back_delays_a_run_by_no_more_than_the_interval(
    back: float, when: float
) -> None:
    """The next full run and the next quick look come within an interval and a minute."""
    life = lived(when + 7 * HOUR, at={when: jump(back)}, quick="5m")
    full = min(one for one in life.times() if one > when)
    quick = min(one for one in life.times(QUICK) if one > when)
    assert full <= when + 6 * HOUR + SLACK
    assert quick <= when + 5 * MINUTE + SLACK
    assert life.schedule.next_run is None


def test_a_clock_set_back_delays_a_retry_by_no_more_than_the_longest_pause() -> None:
    """Fifteen minutes and one, where the clock went back by hours."""
    _, retry = lived(HOUR, at={30: jump(-3)}, ends=[AWAY, OK]).times()
    assert retry <= 30 + 15 * MINUTE + SLACK


def test_a_clock_set_forward_makes_one_run() -> None:
    """All that fell due in a day is one run and one look, soon; then the interval goes on."""
    life = lived(8 * HOUR, at={HOUR: jump(24)}, quick="3h")
    [look] = [when for when in life.times(QUICK) if when <= HOUR + SLACK]
    assert look >= HOUR
    start, *others = life.times()
    assert start == 0
    assert len(others) == 2
    assert HOUR <= others[0] <= HOUR + SLACK
    assert others[1] <= others[0] + 6 * HOUR + SLACK


@pytest.mark.parametrize("seconds", [2, 20 * MINUTE])
def test_a_loop_that_is_blocked_loses_no_run(seconds: float) -> None:
    """What falls due meanwhile is done right afterwards, once."""
    due = 6 * HOUR
    blocked = {due - 1.0: lambda life: life.clocks.pass_by(1 + JITTER + seconds)}
    life = lived(due + HOUR, at=blocked)
    assert life.times(Trigger.INTERVAL) == [due + JITTER + seconds]


@pytest.mark.parametrize(
    "result",
    [
        *(a_result(Outcome.FAILED, kind, failed=True) for kind in ("timed_out", "cut_short")),
        *(a_result(Outcome.FAILED, kind, failed=True) for kind in ("store_busy", "disk_full")),
        *(a_result(Outcome.PARTIAL, kind) for kind in (SCANNING, INCOMPLETE, IMPLAUSIBLE)),
        a_result(Outcome.PARTIAL, "unreachable"),
    ],
    ids=lambda result: f"{result.outcome}-{[*result.stats.gaps, result.stats.failure][0].kind}",
)
def test_what_can_heal_is_tried_again(result: SyncResult) -> None:
    """After 1, 5, 15 and again 15 minutes, until it is well; then the interval takes over."""
    life = lived(2 * HOUR, ends=[*[result] * 4, OK])
    assert life.times(Trigger.START, Trigger.RETRY) == [0, 60, 360, 1260, 2160]


@pytest.mark.parametrize("kind", ["unreachable", "starting", "broken"])
def test_a_service_that_starts_is_asked_every_minute(kind: str) -> None:
    """For a quarter of an hour; whatever does not answer for longer is asked ever less often."""
    starting = a_result(Outcome.FAILED, kind, failed=True)
    life = lived(HOUR, ends=[*[starting] * 4, OK], quick="0")
    assert life.times(Trigger.START, Trigger.RETRY) == [0, 60, 120, 180, 240]
    life = lived(HOUR, ends=[starting], quick="0")
    minutes = [when / 60 for when in life.times(Trigger.START, Trigger.RETRY)]
    assert minutes == [*range(16), 20, 35, 50]


def test_an_attempt_of_an_admin_does_not_put_a_retry_off() -> None:
    """It failed as well, and the next retry comes when it was due."""
    failed = a_result(Outcome.FAILED, "timed_out", failed=True)
    life = lived(20 * MINUTE, ends=[failed, failed, OK], at={300: ran(failed)}, quick="0")
    assert life.times(Trigger.START, Trigger.RETRY) == [0, 60, 360]


def test_whatever_reaches_jellyfin_brings_a_retry_forward() -> None:
    """A quick look or a hint that it answered shows that it is there now."""
    life = lived(HOUR, ends=[AWAY, OK], at={30: ran(a_result(of="hinted"))}, quick="0")
    assert life.times() == [0, 30]


@pytest.mark.parametrize("kind", ["refused_key", "schema_mismatch"])
def test_what_cannot_heal_is_left_to_the_interval(kind: str) -> None:
    """A refused key stays refused until somebody does something."""
    life = lived(5 * HOUR, ends=[a_result(Outcome.FAILED, kind, failed=True)])
    assert life.times() == [0]


@pytest.mark.parametrize("kind", ["wrong_service", "not_json"])
def test_a_proxy_that_does_not_know_its_service_yet_is_asked_every_minute(kind: str) -> None:
    """After a power cut all start together; after a quarter of an hour the address is wrong."""
    wrong = a_result(Outcome.FAILED, kind, failed=True)
    life = lived(HOUR, ends=[*[wrong] * 4, OK], quick="0")
    assert life.times(Trigger.START, Trigger.RETRY) == [0, 60, 120, 180, 240]
    life = lived(5 * HOUR, ends=[wrong], quick="0")
    assert life.times() == [minute * 60 for minute in range(16)]
    life = lived(HOUR + 5 * MINUTE, ends=[OK], at={HOUR: ran(wrong)}, quick="0")
    assert life.times() == [0]


def test_a_good_run_ends_the_retries() -> None:
    """The next trouble begins with a minute again."""
    away = a_result(Outcome.FAILED, "timed_out", failed=True)
    life = lived(2 * HOUR, ends=[away, away, OK, OK], at={HOUR: ran(away)})
    assert life.times(Trigger.START, Trigger.RETRY) == [0, 60, 360, HOUR + 60]


def ran(result: SyncResult) -> Act:
    """Another run ends just now."""
    return lambda life: life.schedule.on_run_end(result)


@pytest.mark.parametrize(
    "result",
    [
        a_result(Outcome.INTERRUPTED),
        a_result(Outcome.FAILED, "unreachable", failed=True, of="hinted"),
    ],
    ids=lambda result: f"{result.kind}-{result.outcome}",
)
def test_other_runs_leave_a_planned_retry_alone(result: SyncResult) -> None:
    """They say nothing of the whole library."""
    life = lived(HOUR, ends=[AWAY, OK], at={30: ran(result)})
    assert life.times() == [0, 60]


def test_what_passes_ask_by_themselves_does_not_repeat_a_full_run() -> None:
    """The library was read; a Seerr that is away for days does not cost Jellyfin a listing."""
    gap = SourceFailure("Seerr", "unreachable", "in words")
    away = SyncResult(Outcome.PARTIAL, RunStats(gaps=[gap]), 1, 0, {})
    assert lived(HOUR, ends=[away]).times() == [0]


def test_hints_that_were_lost_are_made_up_for() -> None:
    """A hinted run that failed is followed by a full one, though the last full one was well."""
    lost = a_result(Outcome.FAILED, "unreachable", failed=True, of="hinted")
    life = lived(HOUR, at={600: ran(lost)})
    assert life.times() == [0, 660]


def pause(name: str) -> Act:
    """Somebody pauses a job."""
    return lambda life: life.schedule.pause(name)


def resume(name: str) -> Act:
    """Somebody resumes it."""
    return lambda life: life.schedule.resume(name)


def test_a_paused_job_waits_until_it_is_resumed() -> None:
    """It then comes when it is due; the others go on, and a clock that jumps wakes nothing."""
    at: dict[float, Act] = {
        HOUR: pause("full"),
        2 * HOUR: jump(-3),
        20 * HOUR: resume("full"),
    }
    life = lived(26 * HOUR + SLACK, at=at, quick="1h")
    [start, later, *_] = life.times()
    assert (start, later >= 20 * HOUR) == (0, True)
    assert len(life.times(QUICK)) >= 24


def test_a_paused_look_lets_the_full_run_go_on() -> None:
    """And is not paused for ever."""
    at: dict[float, Act] = {10: pause(QUICK), 5 * HOUR: resume(QUICK)}
    life = lived(6 * HOUR + SLACK, at=at, quick="30m")
    assert (len(life.times()), min(life.times(QUICK)) >= 5 * HOUR) == (2, True)


@pytest.mark.parametrize("when", [30.0, 10.0])
def test_a_paused_full_run_is_not_tried_again(when: float) -> None:
    """Neither one that was planned already, nor for a run that fails meanwhile."""
    life = lived(2 * HOUR, ends=[AWAY], at={when: pause("full"), 20.0: ran(AWAY)})
    assert life.times() == [0]
    assert life.schedule.jobs["full"].paused


def test_what_a_job_came_to_is_kept() -> None:
    """The latest ten times, in words; of one that failed, why."""

    async def fail() -> str:
        raise StoreError("the disk is full")

    life = lived(12 * HOUR, quick="30m")
    kept = life.schedule.jobs[QUICK].done
    assert ([one.words for one in kept], kept[-1].good) == (["nothing has changed"] * 10, True)
    life.schedule.jobs["housekeeping"].work = fail
    done = asyncio.run(life.schedule.run_job("housekeeping"))
    assert (done.good, "the disk is full" in done.words) == (False, True)
    assert [*life.schedule.jobs["housekeeping"].done] == [done]


def test_the_next_run_is_known() -> None:
    """It is the retry if one is planned, else the interval's; none before the start."""
    seen: list[float] = []

    def look(life: Life) -> None:
        assert life.schedule.next_run is not None
        seen.append((life.schedule.next_run - datetime.now(UTC)).total_seconds())

    life = lived(HOUR, ends=[AWAY, OK], at={10: look, 70: look})
    assert round(seen[0]) == 50
    assert 0 <= seen[1] + 70 - 6 * HOUR <= 10
    assert life.schedule.next_run is None


def test_before_the_start_no_run_is_known() -> None:
    """Nor is it an error to ask."""
    worker = Worker(Ended([OK], print), Feed(), 1)
    assert Schedule(worker, Sync(), quick=_nothing, housekeeping=_nothing).next_run is None


async def test_jellyfin_away_and_back_needs_nobody(tmp_path: Path) -> None:
    """The runs fail while it is away; soon after its return its titles are there."""
    async with working(tmp_path) as stand:
        schedule = Schedule(
            stand.worker, Sync(), quick=_nothing, housekeeping=_nothing, delays=(0.05, 0.1)
        )
        stand.worker.on_end.append(schedule.on_run_end)
        stand.services.fault("jellyfin", Fault(times=None, drop=True))
        schedule.start()
        await until(lambda: len(_outcomes(stand.path)) > 3)
        stand.services.mend("jellyfin")
        titles = "SELECT title FROM requests WHERE jellyfin_id = ?"
        await until(lambda: rows(stand.path, titles, METROPOLIS.jellyfin_id))
        await stand.idle()
        count = len(_outcomes(stand.path))
        assert [*["failed"] * (count - 1), "ok"] == _outcomes(stand.path)
        await asyncio.sleep(0.3)
        assert len(_outcomes(stand.path)) == count
        schedule.stop()


async def _nothing() -> str:
    """Do nothing."""
    return ""


def _outcomes(path: Path) -> list[str]:
    """How the runs ended that have."""
    ended = "SELECT outcome FROM sync_runs WHERE ended_at IS NOT NULL ORDER BY id"
    return [outcome for (outcome,) in rows(path, ended)]
