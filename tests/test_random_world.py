"""A world that goes wrong at random, and an oracle that knows what is really on the disks."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain import (
    Actor,
    Ids,
    LibraryItem,
    MediaType,
    Policy,
    Reading,
    RemovalPolicy,
    Sources,
    Trigger,
)
from daemon.reconcile import Planner
from daemon.removal import judge
from daemon.store import Store, open_store
from tests.builders import NOW, jellyfin_id
from tests.worlds import Clock

STEPS = 2_500
ACTOR = Actor("system", "random")
POLICY = RemovalPolicy(sightings=2, grace=timedelta(hours=24))
DISKS = ("/media/a", "/media/b")


class RandomWorld:
    """Films on two disks. What the server shows is not always what is there."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.files: dict[int, tuple[str, int]] = {}
        self.away: set[str] = set()
        self.unlisted: set[str] = set()
        self.scanning = False
        self.clock = Clock()
        for number in range(1, 61):
            self.files[number] = (DISKS[number % 2], 0)

    def step(self) -> None:
        """One thing happens."""
        events: list[tuple[int, Callable[[], object]]] = [
            (30, self._time_passes),
            (6, self._a_film_arrives),
            (4, self._a_film_is_deleted),
            (6, self._a_film_is_upgraded),
            (4, self._a_film_moves),
            (3, lambda: self.away.add(self.dice.choice(DISKS))),
            (6, self.away.clear),
            (2, lambda: self.unlisted.add(self.dice.choice(DISKS))),
            (5, self.unlisted.clear),
            (4, self._the_scan_begins_or_ends),
            (2, self._the_clock_jumps),
            (2, self._the_machine_restarts),
        ]
        weights, actions = zip(*events, strict=True)
        self.dice.choices(actions, weights)[0]()

    def _time_passes(self) -> None:
        self.clock.pass_by(timedelta(hours=self.dice.uniform(0.1, 15)))

    def _a_film_arrives(self) -> None:
        self.files[max(self.files) + 1] = (self.dice.choice(DISKS), 0)

    def _a_film_is_deleted(self) -> None:
        if len(self.files) > 50:
            del self.files[self.dice.choice(list(self.files))]

    def _a_film_is_upgraded(self) -> None:
        number = self.dice.choice(list(self.files))
        disk, version = self.files[number]
        self.files[number] = (disk, version + 1)

    def _a_film_moves(self) -> None:
        number = self.dice.choice(list(self.files))
        _, version = self.files[number]
        self.files[number] = (self.dice.choice(DISKS), version + 1)

    def _the_scan_begins_or_ends(self) -> None:
        self.scanning = not self.scanning

    def _the_clock_jumps(self) -> None:
        self.clock.now += timedelta(hours=self.dice.uniform(-200, 200))

    def _the_machine_restarts(self) -> None:
        self.clock.boot = str(self.dice.random())
        self.clock.steady = self.dice.uniform(1, 100)

    def shown(self) -> tuple[list[LibraryItem], Reading]:
        """What a listing shows, and how far it can be trusted; sometimes it is cut or half."""
        hidden = self.away | self.unlisted
        items = [
            _item(number, disk, version)
            for number, (disk, version) in self.files.items()
            if disk not in hidden
        ]
        self.dice.shuffle(items)
        complete = self.dice.random() > 0.2
        if not complete:
            items = items[: self.dice.randrange(len(items) + 1)]
        if self.scanning:  # half-made rows, and some that are missing for a moment
            items = [item for item in items if self.dice.random() > 0.3]
        return items, Reading(complete, self.scanning, len(items))


def _item(number: int, disk: str, version: int) -> LibraryItem:
    return LibraryItem(
        jellyfin_id=jellyfin_id((number, disk, version)),
        media_type=MediaType.MOVIE,
        title=f"Film {number}",
        ids=Ids(tmdb=number),
        path=f"{disk}/Film {number}.{version}.mkv",
        created_at=NOW,
    )


async def one_run(world: RandomWorld, store: Store) -> list[int]:
    """Observe, plan, apply; returns the numbers of the films whose rows were removed."""
    items, reading = world.shown()
    listed = tuple(disk for disk in DISKS if disk not in world.unlisted)
    tracked = await store.tracked()
    planner = Planner(tracked.rows, Sources(locations=listed), Policy("http://media.test"))
    decisions = [*planner.decide(items), *planner.finish(reading)]
    run = await store.begin_run(Trigger.CLI, ACTOR)
    await store.apply(run, ACTOR, decisions)
    if not (reading.proves_absence and reading.titles):
        return []
    evidence = planner.evidence()
    verdict = judge(evidence.absent, planner.population(), listed, POLICY)
    await store.note_evidence(evidence)
    await store.remove(run, ACTOR, verdict.remove)
    await store.hold(run, verdict.held, timedelta(days=7))
    return [row.ids.tmdb or 0 for row in verdict.remove]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.timeout(300)
async def test_no_row_goes_whose_film_is_on_a_disk(seed: int, tmp_path: Path) -> None:
    """Whatever goes wrong, a film that is there keeps its row; what is deleted goes in the end."""
    world = RandomWorld(seed)
    removed = 0
    path = tmp_path / "tracker.db"
    async with open_store(path, clock=world.clock.wall, moment=world.clock.moment) as store:
        for step in range(STEPS):
            world.step()
            if step % 2:
                gone = await one_run(world, store)
                assert not [number for number in gone if number in world.files]
                removed += len(gone)
        world.away.clear()
        world.unlisted.clear()
        rows = {row.ids.tmdb for row in (await store.tracked()).rows}
    assert removed > 0
    assert rows >= {number for number in world.files if number <= 60}
