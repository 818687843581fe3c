"""The demo: a media library, a tracker that starts empty, and the daemon between the two."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp

from daemon.app import run
from daemon.report import words
from daemon.settings import Settings
from tests.pretend import PretendServices
from tests.pretend.catalogue import world
from tests.pretend.jellyfin import ADMIN
from tests.pretend.library import LONG_AGO, Episode, Movie, jellyfin_id

_COLUMNS: Final = (
    *("id", "media_type", "state", "title", "year", "tmdb_id", "tvdb_id", "imdb_id"),
    *("radarr_id", "sonarr_id"),
)
_MAX_ROWS: Final = 8
_GRACE: Final = 2.0
"""Seconds that a title has to be missing before it is removed; a day where it is meant."""


class Demo:
    """Tells the story on a stream, by what the daemon's own HTTP face says.

    Args:
        services: the pretend media stack.
        settings: of the daemon.
        url: where the daemon is.
        session: to ask it with.
        stream: where the story is told.
    """

    def __init__(
        self,
        services: PretendServices,
        settings: Settings,
        url: str,
        session: aiohttp.ClientSession,
        stream: TextIO,
    ) -> None:
        self._world = services.world
        self._pipeline = services.pipeline
        self._settings = settings
        self._url = url
        self._session = session
        self._stream = stream
        self._known: list[tuple[Any, ...]] = []

    async def tell(self) -> None:
        """From the first run to the last.

        Raises:
            RuntimeError: the daemon did not do what the story says.
        """
        await self._first_run()
        await self._a_film_arrives()
        await self._a_request_takes_its_way()
        await self._things_change()
        await self._a_disk_goes_away()
        await self._a_film_is_deleted()

    async def _first_run(self) -> None:
        self._say("A library of films and series, and a tracker that knows nothing of it.")
        result = await self._sync("The first run adds what can be watched, with all ids:")
        self._expect(result["outcome"] == "ok", result)
        self._show_news()
        await self._sync("And once more, to see that nothing is done twice:")

    async def _a_film_arrives(self) -> None:
        film = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"})
        self._world.add_movie(film)
        self._say("\nA film arrives, and with it Jellyfin's webhook.")
        secret = self._settings.webhook.secret
        headers = {"X-Library-Sync-Secret": secret.get_secret_value() if secret else ""}
        hint = {"NotificationType": "ItemAdded", "ItemType": "Movie", "ItemId": film.jellyfin_id}
        async with self._session.post(f"{self._url}/hooks/jellyfin", json=hint, headers=headers):
            pass
        async with asyncio.timeout(60):
            while not self._tracks("The Lodger"):
                await asyncio.sleep(0.05)
        self._show_news()

    async def _a_request_takes_its_way(self) -> None:
        self._say("\nA film that the library does not have, from the request to the shelf.")
        film = Movie.named("The General Line", 1929, {"Tmdb": "42511", "Imdb": "tt0020451"})
        pipeline = self._pipeline
        wish = pipeline.request(film)
        await self._is_at(film, "REQUESTED", "somebody asks for it in Seerr")
        pipeline.approve(wish)
        await self._is_at(film, "APPROVED", "it is approved, and Seerr hands it to Radarr")
        download = pipeline.grab(wish)
        await self._is_at(film, "GRABBING", "Radarr has found a release")
        pipeline.advance(download, 0.6)
        await self._is_at(film, "DOWNLOADING", "qBittorrent downloads it")
        pipeline.advance(download, 1)
        await self._is_at(film, "DOWNLOADED", "the download is complete")
        pipeline.take_in(download)
        await self._is_at(
            film, "IMPORTING", "Radarr has imported it, and Jellyfin does not show it yet"
        )
        self._world.add_movie(film)
        pipeline.complete(wish)
        await self._sync("And Jellyfin has it, which alone makes it available:")
        self._expect(self._state(film) == "AVAILABLE", {"state": self._state(film)})
        self._show_news()

    async def _is_at(self, film: Movie, state: str, words: str) -> None:
        """Have a pass made over what is on its way, and tell where it is."""
        result = await self._post("/admin/sync", kind="pending")
        self._expect(self._state(film) == state, result)
        said = self._one("download_progress, download_speed, download_eta", film)
        progress, speed, left = said or (None, None, None)
        more = f" ({progress:.0%}, {speed}, {left} left)" if progress and speed else ""
        self._say(f"  {state.lower():<12} {words}{more}")

    async def _things_change(self) -> None:
        self._say("\nA file is replaced, an empty series gets its first episode, and Radarr")
        self._say("learns of films that it did not have.")
        [old] = [film for film in self._world.movies.values() if film.title == "Metropolis"]
        self._world.remove(old.jellyfin_id)
        path = old.path.replace(".mkv", " [restored].mkv")
        number = jellyfin_id("Movie", path)
        ids = dict(old.provider_ids)
        self._world.add_movie(Movie(number, old.title, old.year, ids, "", path, LONG_AGO))
        [empty] = [series for series in self._world.series.values() if not series.episodes]
        self._world.add_episode(empty.jellyfin_id, Episode(1, 1))
        known = {kept.movie.jellyfin_id for kept in self._world.radarr.values()}
        for film in [film for n, film in self._world.movies.items() if n not in known]:
            self._world.radarr_knows(film)
        await self._sync("The next run follows:")
        self._show_news()

    async def _a_disk_goes_away(self) -> None:
        self._say("\nThe disk with all films goes away, and Jellyfin forgets them.")
        self._world.library_offline("Movies")
        await self._sync("They are only watched at first:")
        await asyncio.sleep(_GRACE)
        held = await self._sync("Then so many are missing that nothing is changed:")
        self._expect(held["outcome"] == "held" and held["removed"] == 0, held)
        self._world.library_online("Movies")
        back = await self._sync("The disk is back, and the plan is dropped by itself:")
        self._expect(back["outcome"] == "ok" and back["held"] == 0, back)

    async def _a_film_is_deleted(self) -> None:
        self._say("\nOne film is really deleted.")
        [film] = [film for film in self._world.movies.values() if film.title == "Detour"]
        self._world.remove(film.jellyfin_id)
        await self._sync("It is watched:")
        await asyncio.sleep(_GRACE)
        result = await self._sync("And removed, once there is enough evidence:")
        self._expect(result["removed"] == 1 and not self._tracks("Detour"), result)
        undone = await self._post(f"/admin/runs/{result['run_id']}/undo")
        [title] = undone["titles"]
        self._say(f"\nOne call brings {title['title']} back as {title['target']}.")
        self._expect(self._tracks("Detour"), undone)

    async def _sync(self, chapter: str) -> dict[str, Any]:
        self._say(f"\n{chapter}\n")
        result = await self._post("/admin/sync")
        for line in words.result(result):
            self._say(f"  {line}")
        return result

    async def _post(self, path: str, **body: str) -> dict[str, Any]:
        token = self._settings.http.admin_token
        headers = {"Authorization": f"Bearer {token.get_secret_value() if token else ''}"}
        async with self._session.post(self._url + path, json=body, headers=headers) as reply:
            document: dict[str, Any] = await reply.json()
        return document

    def _rows(self) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self._settings.database)) as connection:
            found = f"SELECT {', '.join(_COLUMNS)} FROM requests"
            return connection.execute(found).fetchall()

    def _one(self, columns: str, film: Movie) -> tuple[Any, ...] | None:
        with contextlib.closing(sqlite3.connect(self._settings.database)) as connection:
            found = connection.execute(
                f"SELECT {columns} FROM requests WHERE title = ?", (film.title,)
            ).fetchone()
        return None if found is None else tuple(found)

    def _state(self, film: Movie) -> str | None:
        found = self._one("state", film)
        return None if found is None else str(found[0])

    def _tracks(self, title: str) -> bool:
        return any(title in row for row in self._rows())

    def _show_news(self) -> None:
        """The rows that are new or have changed since they were shown last."""
        rows = self._rows()
        self._say("")
        for line in _table([row for row in rows if row not in self._known]):
            self._say(f"  {line}")
        self._known = rows

    def _expect(self, as_told: bool, found: dict[str, Any]) -> None:
        if not as_told:
            raise RuntimeError(f"the story went another way: {found}")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _table(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    yield from words.table(_COLUMNS, rows[-_MAX_ROWS:])
    if len(rows) > _MAX_ROWS:
        yield f"and {len(rows) - _MAX_ROWS} more"


def _settings(services: PretendServices, database: Path, port: int) -> Settings:
    return Settings.model_validate(
        {
            **services.sections(),
            "database": database,
            "sync": {"on_start": False},
            "removal": {"grace": f"{_GRACE}s"},
            "webhook": {"secret": secrets.token_hex(8), "quiet": "0.2s"},
            "http": {"port": port, "admin_token": secrets.token_hex(8)},
        }
    )


@contextlib.asynccontextmanager
async def _daemon(settings: Settings) -> AsyncIterator[str]:
    """The real daemon, in this process; gives its address."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(settings, stop, ready.set_result))

    def ended(done: asyncio.Task[None]) -> None:
        if not ready.done():
            ready.set_exception(done.exception() or RuntimeError("the daemon ended at once"))

    task.add_done_callback(ended)
    try:
        yield await ready
    finally:
        stop.set()
        await task


async def tell(database: Path | None, port: int, stream: TextIO, *, once: bool) -> None:
    """Tell the story; then go on, until Ctrl-C, for whoever wants to look around.

    Args:
        database: where to keep the tracker's file; None forgets it.
        port: of the daemon; 0 takes a free one.
        stream: where it is told.
        once: end with the story.

    Raises:
        DaemonError: the daemon could not start.
        RuntimeError: the daemon did not do what the story says.
    """
    with tempfile.TemporaryDirectory(prefix="library-sync-demo-") as folder:
        path = database or Path(folder) / "tracker.db"
        async with PretendServices(world(), besides=("seerr", "qbittorrent")) as services:
            settings = _settings(services, path, port)
            async with _daemon(settings) as url, aiohttp.ClientSession() as session:
                await Demo(services, settings, url, session, stream).tell()
                if not once:
                    _invite(settings, url, stream)
                    await asyncio.Event().wait()


def _invite(settings: Settings, url: str, stream: TextIO) -> None:
    token = settings.http.admin_token
    key = token.get_secret_value() if token else ""
    who = f"user {ADMIN.name}, password {ADMIN.password}"
    print(f"\nThe page: {url}/status  ({who})", file=stream)
    print(f"By hand:  curl -X POST -H 'Authorization: Bearer {key}' {url}/admin/sync", file=stream)
    print("Ctrl-C ends it.", file=stream, flush=True)
