"""The demo: a media library, a tracker that starts empty, and what happens between the two."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from daemon import report
from daemon.demo import PretendServices, World
from daemon.demo.catalogue import world
from daemon.demo.library import Episode, Movie
from daemon.domain import Actor, Outcome, Trigger
from daemon.settings import Settings
from daemon.wiring import open_sync

_COLUMNS = "id, media_type, state, title, year, tmdb_id, tvdb_id, imdb_id, radarr_id, sonarr_id"
_MOST_ROWS = 12


class Demo:
    """Tells the story on a stream.

    Args:
        services: the pretend media stack.
        database: the tracker's file, which must not be there yet.
        stream: where it is told.
    """

    def __init__(self, services: PretendServices, database: Path, stream: TextIO) -> None:
        self._services = services
        self._database = database
        self._stream = stream
        self._settings = _settings(services, database)
        self.outcomes: list[Outcome] = []

    async def tell(self) -> None:
        """From the first run to the last."""
        self._say("A library of films and series, and a tracker that knows nothing of it.")
        await self._sync("The first run adds what can be watched, with all ids:")
        self._show(self._rows())
        before = self._rows()
        _let_things_happen(self._services.world)
        self._say("A film arrives, an empty series folder gets its first episode,")
        self._say("and Radarr learns of the films that it did not have.")
        await self._sync("The next run finds what changed:")
        self._show([row for row in self._rows() if row not in before])
        await self._sync("And once more, to see that nothing is done twice:")

    async def _sync(self, words: str) -> None:
        self._say(f"\n{words}\n")
        async with open_sync(self._settings) as service:
            result = await service.run(Trigger.CLI, Actor("cli", "demo"))
        self.outcomes.append(result.outcome)
        for line in report.result(result.as_dict()):
            self._say(f"  {line}")

    def _rows(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(f"SELECT {_COLUMNS} FROM requests").fetchall()  # noqa: S608

    def _show(self, rows: list[tuple[Any, ...]]) -> None:
        self._say("")
        for line in _table(rows):
            self._say(f"  {line}")
        self._say("")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _table(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    yield from report.table(_COLUMNS.split(", "), rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f"… and {len(rows) - _MOST_ROWS} more"


def _let_things_happen(world: World) -> None:
    world.add_movie(Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"}))
    [empty] = [series for series in world.series.values() if not series.episodes]
    world.add_episode(empty.jellyfin_id, Episode(1, 1))
    known = {kept.movie.jellyfin_id for kept in world.radarr.values()}
    for movie in list(world.movies.values()):
        if movie.jellyfin_id not in known:
            world.radarr_knows(movie)


def _settings(services: PretendServices, database: Path) -> Settings:
    return Settings.model_validate(
        {
            "jellyfin": {"url": services.jellyfin_url, "api_key": services.jellyfin_key},
            "radarr": {"url": services.radarr_url, "api_key": services.radarr_key},
            "sonarr": {"url": services.sonarr_url, "api_key": services.sonarr_key},
            "database": database,
        }
    )


async def tell(database: Path | None, stream: TextIO) -> bool:
    """Tell the story; returns whether every run went well.

    Args:
        database: where to keep the tracker's file; None forgets it.
        stream: where it is told.
    """
    with tempfile.TemporaryDirectory(prefix="library-sync-demo-") as folder:
        path = database or Path(folder) / "tracker.db"
        async with PretendServices(world()) as services:
            demo = Demo(services, path, stream)
            await demo.tell()
    return all(outcome is Outcome.OK for outcome in demo.outcomes)
