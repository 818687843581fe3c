"""Random lives of requests while services are away, late or just started: nothing is made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest

from daemon.domain import RequestState
from daemon.pending import PendingPlan
from daemon.pipeline import (
    ArrPipeline,
    HistoryEvent,
    HistoryKind,
    Pipeline,
    QueueEntry,
    SeerrReport,
    SeerrStatus,
    Torrent,
    TorrentReport,
)
from tests.plan.lives import (
    GB,
    NOON,
    SEERR_AWAY,
    Life,
    a_film,
    a_series,
    an_arr,
    away,
    entry,
    episodes,
    film_request,
    seerr,
    series_request,
)

State = RequestState
PASS: Final = timedelta(seconds=45)
LIVES: Final = range(60)
NEVER: Final = {State.AVAILABLE, State.TIMEOUT, State.MATCH_FAILED}

EXPECTED: Final = {
    "pending": {State.REQUESTED},
    "wanted": {State.APPROVED},
    "grabbed": {State.GRABBING},
    "downloading": {State.DOWNLOADING},
    "done": {State.DOWNLOADED},
    "blocked": {State.DOWNLOADED},
    "importing": {State.IMPORTING},
    "file": {State.IMPORTING},
    "failed": {State.APPROVED, State.FAILED},
    "deleted": {State.APPROVED},
    "ignored": {State.APPROVED},
}
"""What is so in each stage of a life."""


@dataclass(frozen=True)
class Stage:
    """A stretch of a life.

    Attributes:
        name: one of `EXPECTED`.
        download: its download's id, "" for none.
        share: how far it has come, from 0 to 1.
    """

    name: str
    download: str = ""
    share: float = 0.0


def a_life(random: Random) -> list[Stage]:
    """What really happens to one request, pass by pass."""
    found = [Stage("pending")] * random.randint(0, 4) + [Stage("wanted")] * random.randint(1, 5)
    for generation in range(random.randint(1, 3)):
        last = random.random() < 0.5
        found += _generation(random, f"{random.getrandbits(64) + generation:040X}", last=last)
        if last:
            break
    return found + [found[-1]] * 6


def _generation(random: Random, download: str, *, last: bool) -> Iterator[Stage]:
    yield from [Stage("grabbed", download)] * random.randint(0, 3)
    passes = random.randint(1, 8)
    for number in range(1, passes + 1):
        yield Stage("downloading", download, number / (passes + 1))
    ends = ["blocked", "file"] if last else ["failed", "deleted", "ignored"]
    end = random.choice(ends)
    if last:
        yield from [Stage("done", download, 1.0)] * random.randint(1, 4)
        yield from [Stage("importing", download, 1.0)] * random.randint(0, 2) * (end == "file")
    yield from [Stage(end, download, 1.0 if last else 0.0)] * random.randint(5, 20)


class World:
    """What services say of a life: truly, late, or not at all.

    Attributes:
        season: it is a season of three episodes in one pack, instead of a film.
    """

    def __init__(self, random: Random, *, season: bool) -> None:
        self.random, self.season = random, season
        self.history: list[HistoryEvent] = []
        self.queues: list[list[QueueEntry]] = []
        self.past: list[Stage] = []

    def said(self, stage: Stage, life: Life, *, noise: float) -> Pipeline:
        """What they say in one pass; the more noise, the less of it."""
        self._happen(stage, life)
        self.queues.append(self._queue(stage))
        self.past.append(stage)
        arr, torrents = self._arr(stage, life), self._torrents(stage)
        report = self._seerr(stage)
        if self.random.random() < noise:
            arr, torrents, report = self._disturbed(arr, torrents, report, life)
        return Pipeline(report, [arr], torrents)

    @property
    def _slots(self) -> list[dict[str, Any]]:
        if self.season:
            return [{"episode_id": number, "season": 1} for number in (1, 2, 3)]
        return [{}]

    def _happen(self, stage: Stage, life: Life) -> None:
        """The history goes on when the stage is another one."""
        before = self.past[-1] if self.past else Stage("pending")
        kinds = []
        if stage.download != before.download and stage.download:
            kinds.append(HistoryKind.GRABBED)
        if stage.name != before.name:
            ends = {"failed": HistoryKind.FAILED, "ignored": HistoryKind.IGNORED}
            kinds += [ends[stage.name]] if stage.name in ends else []
            kinds += [HistoryKind.IMPORTED] if stage.name == "file" else []
        self.history += [
            HistoryEvent(kind, 1, life.now + PASS, download_id=stage.download, torrent=True, **slot)
            for kind in kinds
            for slot in self._slots
        ]

    def _queue(self, stage: Stage) -> list[QueueEntry]:
        words: dict[str, tuple[str, str]] = {
            "grabbed": ("queued", "downloading"),
            "downloading": ("downloading", "downloading"),
            "done": ("completed", "importPending"),
            "importing": ("completed", "importing"),
            "blocked": ("completed", self.random.choice(["importBlocked", "importPending"])),
        }
        if stage.name not in words:
            return []
        values: dict[str, Any] = {"left": int(GB * (1 - stage.share)), "size": GB}
        if stage.name == "blocked":
            values |= {"tracked_status": "warning", "messages": ("Sample",)}
        status, state = words[stage.name]
        values["download_id"] = stage.download
        return [entry(status, state, **{**values, **slot}) for slot in self._slots]

    def _arr(self, stage: Stage, life: Life) -> ArrPipeline:
        there = stage.name == "file"
        title = a_film(has_file=there)
        if self.season:
            counts = (3 if there else 0, 3, 3)
            title = a_series(counts, episodes=episodes("xxx" if there else "---"))
        return an_arr(
            title,
            queue=self.queues[-1],
            history=[*self.history],
            started=life.now - timedelta(hours=9),
        )

    def _torrents(self, stage: Stage) -> TorrentReport:
        if stage.name in {"pending", "wanted", "failed", "deleted"}:
            return TorrentReport({})
        state = "stalledUP" if stage.share == 1 else "downloading" if stage.share else "queuedDL"
        return TorrentReport({stage.download: Torrent(state, stage.share, 1, 1, GB)})

    def _seerr(self, stage: Stage) -> SeerrReport:
        status = SeerrStatus.PENDING if stage.name == "pending" else SeerrStatus.APPROVED
        make = series_request if self.season else film_request
        return seerr(make(status))

    def _disturbed(
        self, arr: ArrPipeline, torrents: TorrentReport, report: SeerrReport, life: Life
    ) -> tuple[ArrPipeline, TorrentReport, SeerrReport]:
        """One to four things go wrong."""
        late = replace(arr, queue=self.queues[-2:][0])
        arrs = [
            arr,
            late,
            away(arr),
            replace(arr, queue=[], client_problems=("Unable to communicate",)),
            replace(arr, queue=[], started=life.now),
            replace(arr, client_problems=None, started=None),
        ]
        checked = {
            download: Torrent("checkingResumeData", 0.0, size=one.size)
            for download, one in (torrents.torrents or {}).items()
        }
        half = replace(report, requests=(), whole=False)
        return (
            self.random.choice(arrs),
            self.random.choice([torrents, TorrentReport(), TorrentReport(checked)]),
            self.random.choice([report, SEERR_AWAY, half]),
        )


def lived(seed: int, *, season: bool, noise: float) -> tuple[Life, list[Stage]]:
    """A life from its request to its end; whatever the row says in it was so at some time."""
    random = Random(seed)
    world, life, stages = World(random, season=season), Life(), a_life(random)
    fair: set[State] = set()
    known = {""}
    for number, stage in enumerate(stages):
        calm = number == 0 or number > len(stages) - 6
        plan = life.look(world.said(stage, life, noise=0 if calm else noise), PASS)
        _check(plan, life)
        fair = fair | EXPECTED[stage.name]
        if stage.download not in known:  # it begins with its grab, seen or not
            fair, known = fair | {State.GRABBING}, known | {stage.download}
        state = life.state
        assert state in fair, f"pass {number}: {state}, though {stage} since {fair}"
        kept = life.row.followed
        if state in EXPECTED[stage.name] and kept and stage.download in {"", *kept.known}:
            fair = {state} if stage.name != "failed" else EXPECTED["failed"]
    return life, stages


def _check(plan: PendingPlan, life: Life) -> None:
    assert not {change.state for change in plan.changes} & NEVER
    assert plan.withdrawals == []
    assert len(life.rows) == 1


def _changes(stages: list[Stage]) -> int:
    """How often anything happened: stages, grabs, and the second step of each failure."""
    told = [(stage.name, stage.download) for stage in stages]
    steps = [other[0] for one, other in pairwise(told) if one != other]
    return len(steps) + steps.count("failed") + len({download for _, download in told if download})


@pytest.mark.parametrize("season", [False, True], ids=["film", "season"])
@pytest.mark.parametrize("noise", [0.0, 0.3, 0.7])
def test_a_disturbed_life_is_told_truly_and_briefly(noise: float, *, season: bool) -> None:
    """No step back that was none, no more writes than things that happened, and the right end."""
    for seed in LIVES:
        life, stages = lived(seed, season=season, noise=noise)
        assert life.state in EXPECTED[stages[-1].name], seed
        assert life.writes <= _changes(stages) + 1, (seed, life.events)


def test_an_hour_without_any_service_writes_nothing() -> None:
    """Neither Seerr nor Radarr nor the torrents can be asked, in mid-download."""
    life, _ = lived(3, season=False, noise=0.0)
    writes, state = life.writes, life.state
    dark = Pipeline(SEERR_AWAY, [away(an_arr(a_film()))], TorrentReport())
    for _ in range(80):
        life.look(dark, PASS)
    assert (life.writes, life.state) == (writes, state)
    assert life.now > NOON + timedelta(hours=1)
