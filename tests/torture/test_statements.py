"""A death at any SQL statement: what the file has then is what a life without it continues from."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from daemon.errors import StoreError
from daemon.store import Store, audit, history, undo
from tests.builders import configured, rows
from tests.pretend import PretendServices, World
from tests.pretend.library import Episode, Movie, Series
from tests.torture.promises import promise
from tests.worlds import ADMIN, Place, another_process, films

Act = Callable[[Place], Awaitable[object]]
WISH = Movie.named("Wish", 1931, {"Tmdb": "832"})
SHOW = Series.named("The Show", 1962, {"Tmdb": "1930", "Tvdb": "71471"})
TITLES = (
    "SELECT title, state, tmdb_id, jellyfin_id, radarr_id, requested_by, (SELECT count(*)"
    " FROM timeline_events WHERE request_id = requests.id) FROM requests ORDER BY title"
)
HELD = "SELECT count(*) FROM sync_plans WHERE state = 'open'"


def essence(path: Path) -> list[Any]:
    """What the file says, without its numbers and times."""
    deleted = rows(path, "SELECT title FROM deletion_logs ORDER BY title")
    return [rows(path, TITLES), deleted, rows(path, HELD)]


@dataclass
class Images:
    """Copies of the file as a death at each statement would leave it; equal ones are kept once."""

    path: Path
    folder: Path
    statements: int = 0
    kept: list[Path] = field(default_factory=list)
    _last: tuple[bytes, ...] = ()

    def take(self, _: str) -> None:
        """Called before each statement: what SQLite has written by then is what is left."""
        self.statements += 1
        files = [self.path, self.path.with_name(self.path.name + "-wal")]
        now = tuple(one.read_bytes() for one in files if one.exists())
        if now != self._last:
            self._last = now
            target = self.folder / str(len(self.kept))
            target.mkdir(parents=True)
            for one in files:
                if one.exists():
                    shutil.copy(one, target)
            self.kept.append(target / self.path.name)

    @asynccontextmanager
    async def of(self, store: Store) -> AsyncIterator[Images]:
        """Take one at each statement of whatever is written meanwhile."""
        assert store._writer is not None
        await store._writer.set_trace_callback(self.take)
        yield self
        await store._writer.set_trace_callback(None)  # type: ignore[arg-type]


def a_world() -> World:
    """Films, one of them requested, and a series."""
    world = World()
    for film in (WISH, *films(12)):
        world.add_movie(film)
        world.radarr_knows(film)
    world.add_series(SHOW)
    world.add_episode(SHOW.jellyfin_id, Episode(1, 1))
    return world


def somebody_requests(place: Place) -> None:
    """A row of a person, of a film that is there."""
    place.execute(
        "INSERT INTO requests (title, media_type, state, tmdb_id, requested_by, created_at,"
        " updated_at, state_changed_at) VALUES ('Wish', 'MOVIE', 'REQUESTED', 832, 'alice', ?1, ?1,"
        " ?1)",
        "2026-11-01 12:00:00.000000",
    )


def a_file_is_replaced(place: Place) -> None:
    """One film has a new Jellyfin id, one is gone, and one is new."""
    old, gone, *_ = films(12)
    place.world.remove(old.jellyfin_id)
    path = old.path.replace(".mkv", " [restored].mkv")
    place.world.add_movie(replace(old, jellyfin_id="ab" * 16, path=path))
    place.world.remove(gone.jellyfin_id)
    place.world.add_movie(Movie.named("New", 1999, {"Tmdb": "603"}))


def a_day_passes(place: Place) -> None:
    """Long enough for a removal."""
    place.clock.pass_by(timedelta(hours=25))


def many_go(place: Place) -> None:
    """More than may go without an admin's word."""
    for film in films(12)[4:]:
        place.world.remove(film.jellyfin_id)


async def run(place: Place) -> None:
    """One run."""
    await place.sync()


async def undo_last(place: Place) -> None:
    """Take the last run's changes back, unless that was done already."""
    [(number,)] = rows(place.path, "SELECT max(run_id) FROM sync_audit WHERE action LIKE 't%moved'")
    with suppress(StoreError):
        await undo.undo_run(place.store, number, ADMIN)


STORY: list[tuple[Callable[[Place], object], Act]] = [
    (somebody_requests, run),
    (a_file_is_replaced, run),
    (a_day_passes, run),
    (lambda _: None, undo_last),
    (many_go, run),
    (a_day_passes, run),
]
"""What happens, and what is done then; at each statement of the latter somebody may die."""


@promise(
    "Dying at any SQL statement of additions, changes, removals, an undo and a held plan leaves a"
    " file from which the next run comes to the same end",
    "every statement of a whole life",
)
async def test_a_death_at_every_statement(tmp_path: Path) -> None:
    """Rows, deletions and plans are in the end those of a life without a death."""
    deaths = statements = 0
    async with PretendServices(a_world()) as services:
        settings = configured(services, tmp_path / "tracker.db", sync={"batch_size": 1})
        async with another_process(services, settings) as place:
            for number, (happens, act) in enumerate(STORY):
                happens(place)
                async with Images(place.path, tmp_path / str(number)).of(place.store) as images:
                    await act(place)
                for image in images.kept:
                    await lives_on(place, image, act, essence(place.path))
                deaths += len(images.kept)
                statements += images.statements
    assert deaths >= 30
    assert statements >= 300


async def lives_on(place: Place, image: Path, act: Act, expected: list[Any]) -> None:
    """A process that starts with such a file does what was begun, and comes to the same end."""
    settings = configured(place.services, image)
    async with another_process(place.services, settings, replace(place.clock)) as again:
        await again.store.write(history.interrupt_stale)
        await act(again)
        assert (await again.store.read(audit.verify)).broken_at is None
    assert rows(image, "PRAGMA integrity_check") == [("ok",)]
    assert essence(image) == expected
    assert rows(image, "SELECT count(*) FROM sync_runs WHERE outcome = 'running'") == [(0,)]
