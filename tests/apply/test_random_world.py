"""A world that goes wrong at random, and an oracle that knows what is on the disks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain import (
    Absent,
    Actor,
    Add,
    Fate,
    Ids,
    LibraryItem,
    MediaType,
    Plan,
    Policy,
    RemovalPolicy,
    TrackedRequest,
    Tracker,
    Trigger,
    Update,
)
from daemon.plan import open_series, plan, watched_series
from daemon.snapshot import Episode, Episodes, Reading, Report, Snapshot
from daemon.store import Store, evidence, history, open_store, plans, syncing
from tests.builders import NOW, a_report, an_item, change, rows
from tests.worlds import Clock

ACTOR = Actor("system", "random")
POLICY = Policy("http://media.test", RemovalPolicy(sightings=2, grace=timedelta(hours=24)))
DISKS = ("/media/a", "/media/b")
SEASONS = {1: 4, 2: 3}
TV = MediaType.TV


@dataclass(slots=True)
class Work:
    """A film, or a series with two seasons.

    Attributes:
        copies: by disk, which version of the file it has, and which episodes.
        shown_as: the number under which Jellyfin has identified it.
    """

    number: int
    media_type: MediaType
    shown_as: int
    copies: dict[str, tuple[int, set[tuple[int, int]]]] = field(default_factory=dict)

    def item(self, disk: str) -> LibraryItem:
        """What Jellyfin lists of one copy."""
        version, episodes = self.copies[disk]
        series = self.media_type is TV
        return an_item(
            (self.number, self.media_type, disk, "" if series else version),
            media_type=self.media_type,
            title=f"Work {self.number}",
            ids=ids_of(self.shown_as, self.media_type),
            path=f"{disk}/Work {self.number}.{version}.mkv",
            library=disk,
            created_at=NOW,
            available=bool(episodes) if series else True,
        )


def ids_of(number: int, media_type: MediaType) -> Ids:
    """The ids of a work at the providers; films and series share the numbers of TMDB."""
    return Ids(number, 1000 + number if media_type is TV else None, f"tt{number:07}")


class RandomWorld:
    """Works on two disks. What the server shows is not always what is there."""

    def __init__(self, seed: int, database: Path) -> None:
        self.dice = random.Random(seed)
        self.database = database
        self.works: dict[int, Work] = {}
        self.away: set[str] = set()
        self.unlisted: set[str] = set()
        self.scanning = self.other_server = self.radarr_away = False
        self.clock = Clock()
        for _ in range(60):
            self._a_work_arrives()
        self.main = {number: number for number in self.works}

    def step(self) -> None:
        """One thing happens."""
        events: list[tuple[int, Callable[[], object]]] = [
            (30, self._time_passes),
            (5, self._a_work_arrives),
            (4, self._a_work_is_deleted),
            (6, self._a_file_is_upgraded),
            (5, self._a_copy_is_made),
            (8, self._an_episode_comes_or_goes),
            (4, self._it_is_identified_anew),
            (8, self._all_is_identified_rightly),
            (5, self._somebody_requests),
            (2, self._the_app_doubles_a_row),
            (3, self._radarr_is_renumbered),
            (2, lambda: setattr(self, "radarr_away", not self.radarr_away)),
            (3, lambda: self.away.add(self.dice.choice(DISKS))),
            (6, self.away.clear),
            (2, lambda: self.unlisted.add(self.dice.choice(DISKS))),
            (5, self.unlisted.clear),
            (4, lambda: setattr(self, "scanning", not self.scanning)),
            (1, lambda: setattr(self, "other_server", True)),
            (4, self._all_is_well),
            (2, self._the_clock_jumps),
            (2, self._the_machine_restarts),
        ]
        weights, actions = zip(*events, strict=True)
        self.dice.choices(actions, weights)[0]()

    def _any(self) -> Work:
        return self.works[self.dice.choice(list(self.works))]

    def _time_passes(self) -> None:
        self.clock.pass_by(timedelta(hours=self.dice.uniform(0.1, 15)))

    def _a_work_arrives(self) -> None:
        number = max(self.works, default=0) + 1
        kind = self.dice.choice([MediaType.MOVIE, MediaType.MOVIE, TV])
        self.works[number] = Work(number, kind, number)
        self._put(self.works[number], self.dice.choice(DISKS))

    def _put(self, work: Work, disk: str) -> None:
        every = [(season, n) for season, count in SEASONS.items() for n in range(1, count + 1)]
        kept = {one for one in every if self.dice.random() > 0.2}
        work.copies[disk] = (0, kept if work.media_type is TV else set())

    def _a_work_is_deleted(self) -> None:
        if len(self.works) > 50:
            del self.works[self._any().number]

    def _a_file_is_upgraded(self) -> None:
        work = self._any()
        for disk, (version, episodes) in work.copies.items():
            work.copies[disk] = (version + 1, episodes)

    def _a_copy_is_made(self) -> None:
        self._put(self._any(), self.dice.choice(DISKS))

    def _an_episode_comes_or_goes(self) -> None:
        work = self._any()
        for _, episodes in work.copies.values():
            season = self.dice.choice(list(SEASONS))
            episodes ^= {(season, self.dice.randint(1, SEASONS[season]))}

    def _it_is_identified_anew(self) -> None:
        self._any().shown_as = self.dice.choice([self._any().number, 700 + self._any().number])

    def _all_is_identified_rightly(self) -> None:
        for work in self.works.values():
            work.shown_as = work.number

    def _somebody_requests(self) -> None:
        number = self.dice.randint(1, max(self.works) + 2)
        kind = self.works[number].media_type if number in self.works else MediaType.MOVIE
        seasons = self.dice.choice([None, "1", "2", "1,2"]) if kind is TV else None
        self._insert(number, kind, "APPROVED", None, seasons, "somebody")

    def _the_app_doubles_a_row(self) -> None:
        work = self._any()
        disk = self.dice.choice(list(work.copies))
        item = work.item(disk).jellyfin_id
        if work.media_type is MediaType.MOVIE and work.shown_as == work.number:
            self._insert(work.number, work.media_type, "AVAILABLE", item, None, "Library Sync")

    def _insert(self, number: int, kind: MediaType, *values: Any) -> None:
        state, item, seasons, by = values
        ids = ids_of(number, kind)
        at = f"2026-11-20 12:00:00.{self.dice.randrange(10**6):06}"
        change(
            self.database,
            "INSERT INTO requests (title, media_type, state, tmdb_id, tvdb_id, jellyfin_id,"
            " requested_seasons, requested_by, created_at, updated_at, state_changed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?4, ?, ?)".replace("?4", "?"),
            *(f"Work {number}", kind.value, state, ids.tmdb, ids.tvdb, item, seasons, by),
            *(at, at, at),
        )

    def _radarr_is_renumbered(self) -> None:
        numbers = list(self.main.values())
        self.dice.shuffle(numbers)
        self.main = dict(zip(self.main, numbers, strict=True))

    def _all_is_well(self) -> None:
        self.scanning = self.other_server = self.radarr_away = False
        self.away.clear()
        self.unlisted.clear()

    def is_there(self, row: TrackedRequest) -> bool:
        """Whether something of a row's own work is on a disk, as what Jellyfin takes it for."""
        work = self.works.get(row.ids.tmdb or 0)
        if work is None or work.media_type is not row.media_type or work.shown_as != work.number:
            return False
        return work.media_type is MediaType.MOVIE or any(
            episodes for _, episodes in work.copies.values()
        )

    def _the_clock_jumps(self) -> None:
        self.clock.now += timedelta(hours=self.dice.uniform(-200, 200))

    def _the_machine_restarts(self) -> None:
        self.clock.boot = str(self.dice.random())
        self.clock.steady = self.dice.uniform(1, 100)

    def shown(self, tracked: Iterable[TrackedRequest]) -> Snapshot:
        """What the services say, and how far it can be trusted; sometimes it is cut or half."""
        hidden = self.away | self.unlisted
        pairs = [
            (work, disk)
            for work in self.works.values()
            for disk in work.copies
            if disk not in hidden and not (self.other_server and work.number % 3)
        ]
        self.dice.shuffle(pairs)
        complete = self.dice.random() > 0.2
        if not complete:
            pairs = pairs[: self.dice.randrange(len(pairs) + 1)]
        if self.scanning:  # half-made rows, and some that are missing for a moment
            pairs = [pair for pair in pairs if self.dice.random() > 0.3]
        items = [work.item(disk) for work, disk in pairs]
        rows_of = {item.jellyfin_id: pair for item, pair in zip(items, pairs, strict=True)}
        wanted = {*open_series(items, tracked), *watched_series(items, tracked)}
        distrust = "another server" if self.other_server else ""
        return Snapshot(
            items,
            Reading(complete, self.scanning, len(items), distrust=distrust),
            self._reports(),
            tuple(disk for disk in DISKS if disk not in self.unlisted),
            {one: _episodes(*rows_of[one]) for one in wanted},
        )

    def _reports(self) -> list[Report]:
        films = {n: ids_of(number, MediaType.MOVIE) for number, n in self.main.items()}
        more = {500 + number: ids_of(number, MediaType.MOVIE) for number in self.main}
        series = {500 + n: ids_of(n, TV) for n in range(1, 1000 + max(self.works))}
        counts = dict.fromkeys(series, SEASONS)
        reports = [
            a_report(None if self.radarr_away else films),
            a_report(more, instance="Radarr 4K", primary=False),
            a_report(series, media_type=TV, counts=counts, instance="Sonarr 4K", primary=False),
            a_report({}, media_type=TV),
        ]
        self.dice.shuffle(reports)
        return reports


def _episodes(work: Work, disk: str) -> Episodes:
    _, there = work.copies[disk]
    return Episodes([Episode(*one) for one in sorted(there)], frozenset(SEASONS))


# --- the oracle ----------------------------------------------------------------------------------


def says_nothing_false(decided: Plan, snapshot: Snapshot, tracked: list[TrackedRequest]) -> None:
    """Whatever becomes AVAILABLE is shown, whole, under its own ids or its own Jellyfin id."""
    known = {row.id: row for row in tracked}
    for one in decided.decisions:
        if isinstance(one, Add):
            assert any(item.available and item.ids == one.item.ids for item in snapshot.items)
        elif isinstance(one, Update) and one.promotes:
            row = known[one.request_id]
            mine = [
                item
                for item in snapshot.items
                if item.available
                and item.media_type is row.media_type
                and (item.ids[:2] == row.ids[:2] or item.jellyfin_id == row.jellyfin_id)
            ]
            assert mine
            if row.media_type is TV:
                asked = row.seasons or frozenset(SEASONS)
                shown = {
                    (episode.season, episode.number)
                    for item in mine
                    for episode in snapshot.episodes[item.jellyfin_id].rows
                }
                assert all((s, n) in shown for s in asked for n in range(1, SEASONS[s] + 1))


def loses_nothing(decided: Plan, world: RandomWorld) -> int:
    """No row goes whose own file is on a disk; returns how many go."""
    gone = [
        one.request
        for one in decided.decisions
        if isinstance(one, Absent) and one.fate is Fate.REMOVE
    ]
    assert not [row.id for row in gone if world.is_there(row)]
    return len(gone)


def keeps_no_wrong_number(world: RandomWorld, decided: Plan, snapshot: Snapshot) -> None:
    """After a whole list of Radarr no row of a film that is there names another film."""
    if world.radarr_away or world.other_server:
        return
    names = {n: number for number, n in world.main.items()}
    there = {item.ids.tmdb for item in snapshot.items if item.media_type is MediaType.MOVIE}
    touched = {one.request_id for one in decided.decisions if isinstance(one, Update)}
    query = "SELECT id, tmdb_id, radarr_id FROM requests WHERE radarr_id AND media_type = 'MOVIE'"
    for number, tmdb, radarr in rows(world.database, query):
        if tmdb in there and number in touched:
            assert names.get(radarr, tmdb) == tmdb


async def one_run(
    world: RandomWorld, store: Store, approved: frozenset[int] = frozenset()
) -> tuple[Plan, Snapshot]:
    """Observe, plan, apply, and plan again what was seen: nothing is left to be written."""
    run = await store.write(history.begin, Trigger.CLI, ACTOR)
    since = await store.write(syncing.concurrent_writes)
    tracked = await store.read(syncing.tracked, public_url=POLICY.public_url)
    snapshot = world.shown(tracked.rows)
    lately = tracked.removed_lately
    tracker = Tracker(tracked.rows, tracked.deletions, lately, approved=approved)
    decided = plan(snapshot, tracker, POLICY)
    says_nothing_false(decided, snapshot, tracked.rows)
    written = [one for one in decided.decisions if isinstance(one, Add | Update)]
    await store.write(syncing.apply, run, ACTOR, written, since)
    await store.write(evidence.note, decided.evidence)
    gone = [one for one in decided.decisions if isinstance(one, Absent) and one.fate is Fate.REMOVE]
    await store.write(syncing.remove, run, ACTOR, gone)
    await plans.hold(store, run, decided.held, timedelta(days=7))
    again = (await store.read(syncing.tracked, public_url=POLICY.public_url)).rows
    second = plan(snapshot, Tracker(again), POLICY)
    assert not [one for one in second.decisions if isinstance(one, Add | Update)]
    return decided, snapshot


async def lives(seed: int, path: Path, steps: int) -> None:
    """Whatever goes wrong, what is on a disk keeps its row; what is deleted goes in the end."""
    world = RandomWorld(seed, path)
    removed = 0
    async with open_store(path, clock=world.clock.wall, moment=world.clock.moment) as store:
        approved = frozenset[int]()
        for step in range(steps):
            world.step()
            if step % 2:
                decided, snapshot = await one_run(world, store, approved)
                removed += loses_nothing(decided, world)
                held = [one.request for one in decided.held]
                approved = frozenset(row.id for row in held if not world.is_there(row))
                keeps_no_wrong_number(world, decided, snapshot)
        there = {
            row.ids.tmdb for row in (await store.read(syncing.tracked)).rows if row.is_available
        }
    assert removed > 0
    first = [work for work in world.works.values() if work.number <= 60]
    assert there >= {work.number for work in first if work.media_type is MediaType.MOVIE}


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_false_is_said_and_nothing_is_lost(seed: int, tmp_path: Path) -> None:
    """In two worlds; torture has more of them, which live longer."""
    await lives(seed, tmp_path / "tracker.db", steps=600)
