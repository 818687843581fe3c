"""Passes beside the original tracker: its webhooks and ours at once, on one file, at random."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.apply.pending import PendingService
from daemon.domain import Trigger
from daemon.observe.hints import ArrCache
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from tests.builders import ACTOR, configured, rows
from tests.pretend import PretendServices
from tests.pretend.library import Episode, Movie, Series
from tests.pretend.pipeline import Download, Wish
from tests.pretend.tracker import Title, Tracker
from tests.running import a_world, until
from tests.worlds import Clock, Place, another_process

FILMS = [Movie.named(f"Film {at}", 1930 + at, {"Tmdb": f"{9000 + at}"}) for at in range(3)]
_A_PASS = 0.06
"""Seconds that a pass takes here; whatever the tracker does falls anywhere within."""


@dataclass
class Town:
    """Everybody who writes to one file."""

    place: Place
    tracker: Tracker
    passes: PendingService
    ways: list[Way] = field(default_factory=list)

    async def look(self) -> None:
        """One pass of ours; what has to be true of the file is true afterwards."""
        await self.passes.run(Trigger.INTERVAL, ACTOR)
        self.check()

    def check(self) -> None:
        """The tracker can read all of it, and each title is on its way once."""
        active = "state NOT IN ('AVAILABLE', 'FAILED', 'TIMEOUT', 'MATCH_FAILED')"
        doubles = (
            f"SELECT tmdb_id FROM requests WHERE {active} GROUP BY tmdb_id HAVING COUNT(*) > 1"
        )
        assert rows(self.place.path, doubles) == []
        assert self.tracker.rows()
        assert self.tracker.rebuilt == 0
        states: dict[int, list[str]] = {}
        told = "SELECT request_id, state FROM timeline_events ORDER BY id"
        for number, state in rows(self.place.path, told):
            states.setdefault(number, []).append(state)
        for known in states.values():
            assert all(one != two for one, two in pairwise(known)), known


@dataclass
class Way:
    """The way of one title, a step at a time."""

    title: Title
    wish: Wish | None = None
    download: Download | None = None
    done: bool = False

    def step(self, town: Town) -> Callable[[], None] | None:
        """Let the next thing happen; gives the webhook that tells the tracker of it, if any."""
        pipeline, tracker = town.place.services.pipeline, town.tracker
        seasons = () if isinstance(self.title, Movie) else (1,)
        if self.wish is None:
            wish = self.wish = pipeline.request(self.title, seasons)
            return lambda: tracker.seerr_webhook(wish, approved=False)
        wish = self.wish
        if wish.sent is None:
            pipeline.approve(wish)
            return lambda: tracker.seerr_webhook(wish, approved=True)
        if self.download is None:
            download = self.download = pipeline.grab(wish)
            return lambda: tracker.arr_webhook("Grab", self.title, download)
        download = self.download
        if download.progress < 1:
            pipeline.advance(download, min(1.0, download.progress + 0.5))
            return None
        if not download.imported:
            pipeline.take_in(download)
            return lambda: tracker.arr_webhook("Download", self.title, download)
        if not self.done:
            self.done = True
            self._shown(town)
        return None

    def _shown(self, town: Town) -> None:
        if isinstance(self.title, Movie):
            town.place.world.add_movie(self.title)
            return
        town.place.world.add_series(self.title)
        for number in (1, 2, 3):
            town.place.world.add_episode(self.title.jellyfin_id, Episode(1, number))


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """With a Seerr and a qBittorrent, after a first full run; the clocks begin now."""
    clock = Clock(now=datetime.now(UTC))
    async with PretendServices(a_world(), besides=("seerr", "qbittorrent")) as services:
        settings = configured(services, folder / "tracker.db")
        async with another_process(services, settings, clock) as place:
            await place.sync()
            tracker = Tracker(
                place.path,
                services.pipeline,
                lambda: clock.now.replace(tzinfo=None),
                lambda title: any(
                    one.title == title
                    for one in (*place.world.movies.values(), *place.world.series.values())
                ),
            )
            arrs, health = ArrCache(place.client), Health(place.client.meters)
            passes = PendingService(place.client, place.store, arrs, PendingPolicy(), health)
            place.service.passes = passes
            yield Town(place, tracker, passes)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_comes_first_each_title_has_one_row_and_no_state_is_told_twice(
    tmp_path: Path, seed: int
) -> None:
    """Webhooks late, lost or in the middle of a pass; the tracker's polls and checks in between."""
    dice = random.Random(seed)
    show = Series.named("Fantômas", 1913, {"Tmdb": "71", "Tvdb": "72"})
    titles: list[Title] = [*FILMS, show]
    async with town(tmp_path) as here:
        ways = [Way(title) for title in titles]
        late: list[Callable[[], None]] = []
        acts: list[Callable[[], Awaitable[object] | None]] = [
            here.tracker.poll_torrents,
            here.tracker.check_stuck,
            here.tracker.fall_back,
            lambda: here.place.clock.pass_by(timedelta(seconds=dice.uniform(1, 400))),
            here.look,
            here.look,
            here.place.sync,
        ]

        async def at_once(*things: Callable[[], Awaitable[object] | None]) -> None:
            waits = [dice.uniform(0, _A_PASS) for _ in things]
            await asyncio.gather(*(_done(*one) for one in zip(things, waits, strict=True)))

        for _ in range(90):
            if (told := dice.choice(ways).step(here)) and dice.random() < 0.8:
                late.append(told)
            things = [dice.choice(acts) for _ in range(dice.randint(1, 2))]
            if late and dice.random() < 0.7:
                things.append(late.pop(dice.randrange(len(late))))
            await at_once(*dict.fromkeys(things))
            here.check()
        for way in ways:
            while not way.done:
                way.step(here)
        for _ in range(3):
            here.place.clock.pass_by(timedelta(minutes=3))
            await here.place.sync()
            here.tracker.fall_back()
        here.check()
        ends = rows(here.place.path, "SELECT title, state FROM requests WHERE tmdb_id > 70")
        assert {title for title, _ in ends} >= {title.title for title in titles}
        assert {state for title, state in ends if title in {one.title for one in titles}} == {
            "AVAILABLE"
        }
        assert here.tracker.timed_out == []


async def _done(thing: Callable[[], Awaitable[object] | None], wait: float) -> None:
    """The tracker is another process, so that its share is a thread's, and comes at any time."""
    if not asyncio.iscoroutinefunction(thing):
        await asyncio.sleep(wait)
    found = thing() if asyncio.iscoroutinefunction(thing) else await asyncio.to_thread(thing)
    if isinstance(found, Awaitable):
        await found


async def test_what_is_on_its_way_for_long_begins_now_for_the_tracker(tmp_path: Path) -> None:
    """A film at 60 % of a download of days ago is not given up by its checker."""
    async with town(tmp_path) as here:
        way = Way(FILMS[0])
        for _ in range(4):
            way.step(here)
        here.place.clock.pass_by(timedelta(days=3))
        await here.look()
        found = rows(here.place.path, "SELECT state FROM requests WHERE title = ?", "Film 0")
        assert found == [("DOWNLOADING",)]
        here.place.clock.pass_by(timedelta(hours=23))
        here.tracker.check_stuck()
        assert here.tracker.timed_out == []


async def test_a_row_that_the_tracker_gave_up_stands_until_something_moves(tmp_path: Path) -> None:
    """No flicker between its word and ours; then the row goes on."""
    async with town(tmp_path) as here:
        way = Way(FILMS[0])
        for _ in range(4):
            way.step(here)
        await here.look()
        here.place.clock.pass_by(timedelta(hours=25))
        here.tracker.check_stuck()
        state = "SELECT state FROM requests WHERE title = 'Film 0'"
        assert rows(here.place.path, state) == [("TIMEOUT",)]
        for _ in range(3):
            here.place.clock.pass_by(timedelta(minutes=5))
            await here.look()
        assert rows(here.place.path, state) == [("TIMEOUT",)]
        assert way.download is not None
        here.place.services.pipeline.advance(way.download, 0.8)
        await here.look()
        assert rows(here.place.path, state) == [("DOWNLOADING",)]


@pytest.mark.parametrize("kind", ["Grab", "request"])
async def test_a_webhook_that_is_taken_in_the_middle_of_a_pass_comes_first(
    tmp_path: Path, kind: str
) -> None:
    """What the pass has decided by then is looked at again where it is written."""
    async with town(tmp_path) as here:
        way = Way(FILMS[0])
        told = way.step(here)
        if kind == "Grab":
            await here.look()
            way.step(here)
            await here.look()
            told = way.step(here)
        assert told is not None
        runs = "SELECT id, kind, outcome FROM sync_runs ORDER BY id"
        before = rows(here.place.path, runs)
        with closing(sqlite3.connect(here.place.path, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")  # so that the pass can read, and not write
            calls = here.place.services.calls("qbittorrent")
            calls.clear()
            looking = asyncio.create_task(here.look())
            await until(lambda: calls)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(here.tracker.within, other, told)
            other.commit()
        await looking
        assert here.passes.last is not None
        assert (here.passes.last.run_id, here.passes.last.result.run_id) == (None, None)
        assert rows(here.place.path, runs) == before
        of_film = "request_id IN (SELECT id FROM requests WHERE title = 'Film 0')"
        states = f"SELECT state FROM timeline_events WHERE {of_film} ORDER BY id"
        found = rows(here.place.path, states)
        expected = ["REQUESTED", "APPROVED", "GRABBING"] if kind == "Grab" else ["REQUESTED"]
        assert [state for (state,) in found] == expected
