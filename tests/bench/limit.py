"""The limit: streams, decodes and inserts the same rows as library-sync, and does nothing else.

No checks, no plan, no audit, no history, no second thread, and only the shapes that the bench's own
services send. What library-sync takes beyond this is what its care costs.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec

from tests.bench.measure import KEY, peak_memory

_PAGE = 20_000
_BATCH = 500
_KINDS = {"Movie": "MOVIE", "Series": "TV"}
_EPISODES = (
    "/Items?Recursive=true&IncludeItemTypes=Episode&IsMissing=false&IndexNumber=1"
    "&EnableImages=false"
)
_LISTING = (
    "/Items?Recursive=true&IncludeItemTypes=Movie,Series&ExcludeLocationTypes=Virtual"
    "&Fields=ProviderIds,Path,Overview,DateCreated&EnableImages={}&StartIndex={}&Limit={}"
)
_REQUEST = (
    "INSERT INTO requests (id, title, media_type, tmdb_id, tvdb_id, imdb_id, jellyfin_id,"
    " radarr_id, sonarr_id, poster_url, year, overview, final_path, created_at, updated_at,"
    " state_changed_at, available_at, state, requested_by)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?14,?14,?14,?14,'AVAILABLE','Library Sync')"
)
_EVENT = (
    "INSERT INTO timeline_events (request_id, service, event_type, state, details, timestamp)"
    " VALUES (?, 'library_sync', 'Import', 'AVAILABLE', 'Synced from library', ?)"
)
_INDENTED = (b"\n  },\n  {", b"\n]")
_MINIFIED = (b'},{"Name":', b'],"TotalRecordCount":')
_Row = TypeVar("_Row")


class _Known(msgspec.Struct, gc=False, rename="camel"):
    id: int
    tmdb_id: int = 0
    tvdb_id: int = 0


class _Episode(msgspec.Struct, gc=False):
    SeriesId: str
    LocationType: str


class _Ids(msgspec.Struct, gc=False):
    Tmdb: str
    Tvdb: str | None = None
    Imdb: str | None = None


class _Title(msgspec.Struct, gc=False):
    Id: str
    Type: str
    Name: str
    ProviderIds: _Ids
    DateCreated: str
    Path: str
    LocationType: str
    ProductionYear: int | None = None
    Overview: str | None = None
    ImageTags: dict[str, str] | None = None


async def _stream(
    session: aiohttp.ClientSession, url: str, row: type[_Row], marks: tuple[bytes, bytes]
) -> AsyncIterator[list[_Row]]:
    """The rows of a list, given what stands between two of them and what ends it."""
    decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
    between, end = marks
    width = between.index(b",")
    async with session.get(url) as reply:
        await reply.content.readuntil(b"[")
        rest: bytes = b""
        async for piece in reply.content.iter_any():
            rest += piece
            if (cut := rest.rfind(between)) >= 0:
                yield decoder.decode(b"[%b]" % rest[: cut + width])
                rest = rest[cut + width + 1 :]
    yield decoder.decode(b"[%b]" % rest[: rest.rindex(end)])


class _Limit:
    def __init__(self, urls: dict[str, str], connection: sqlite3.Connection) -> None:
        self._urls = urls
        self._connection = connection
        rows = connection.execute("SELECT media_type, tmdb_id FROM requests").fetchall()
        self._tracked = {kind: {tmdb for k, tmdb in rows if k == kind} for kind in _KINDS.values()}
        self._last = len(rows)
        self._pending: list[tuple[_Title, str]] = []
        self._radarr: dict[int, int] = {}
        self._sonarr: dict[int, int] = {}

    async def run(self) -> None:
        headers = {"X-Api-Key": KEY, "Authorization": f'MediaBrowser Token="{KEY}"'}
        radarr, sonarr, jellyfin = (self._urls[name] for name in ("radarr", "sonarr", "jellyfin"))
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            async for movies in _stream(session, f"{radarr}/api/v3/movie", _Known, _INDENTED):
                self._radarr.update([(movie.tmdb_id, movie.id) for movie in movies])
            async for series in _stream(session, f"{sonarr}/api/v3/series", _Known, _INDENTED):
                self._sonarr.update([(one.tvdb_id, one.id) for one in series])
            playable: set[str] = set()
            async for episodes in _stream(session, jellyfin + _EPISODES, _Episode, _MINIFIED):
                playable.update(e.SeriesId for e in episodes if e.LocationType == "FileSystem")
            start, read, pictures = 0, 0, "false" if self._last else "true"
            while read == start:
                page = jellyfin + _LISTING.format(pictures, start, _PAGE)
                async for titles in _stream(session, page, _Title, _MINIFIED):
                    read += len(titles)
                    self._take([t for t in titles if t.Type == "Movie" or t.Id in playable])
                start += _PAGE
        self._insert()

    def _take(self, titles: list[_Title]) -> None:
        for title in titles:
            kind = _KINDS[title.Type]
            if int(title.ProviderIds.Tmdb) not in self._tracked[kind]:
                self._pending.append((title, kind))
        while len(self._pending) >= _BATCH:
            self._insert()

    def _insert(self) -> None:
        rows = list(self._rows(self._pending[:_BATCH]))
        del self._pending[:_BATCH]
        if rows:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_REQUEST, rows)
            self._connection.executemany(_EVENT, [(row[0], row[-1]) for row in rows])
            self._connection.execute("COMMIT")

    def _rows(self, titles: list[tuple[_Title, str]]) -> Iterator[tuple[Any, ...]]:
        for title, kind in titles:
            self._last += 1
            ids = title.ProviderIds
            tmdb, tvdb = int(ids.Tmdb), int(ids.Tvdb) if ids.Tvdb else None
            poster = f"{self._urls['jellyfin']}/Items/{title.Id}/Images/Primary"
            yield (
                *(self._last, title.Name, kind, tmdb, tvdb, ids.Imdb, title.Id),
                self._radarr.get(tmdb) if kind == "MOVIE" else None,
                self._sonarr.get(tvdb) if tvdb else None,
                poster if title.ImageTags else None,
                *(title.ProductionYear, title.Overview, title.Path),
                title.DateCreated[:26].replace("T", " "),
            )


def main(urls: dict[str, str], database: str) -> None:
    """Run once on a file, which is made if it is absent."""
    new = not Path(database).exists()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        if new:
            schema = resources.files("daemon.store") / "tracker.sql"
            connection.executescript(schema.read_text(encoding="utf-8"))
        asyncio.run(_Limit(urls, connection).run())
    print(json.dumps({"peak": peak_memory()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
