"""Radarr and Sonarr: their lists of titles, as ids."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import pydantic

from daemon.domain import Defects, Ids, ItemError, MediaType, SourceFailure
from daemon.errors import ServiceError, WrongServiceError
from daemon.identity import Catalogue
from daemon.services.http import ServiceHttp
from daemon.services.listing import reading
from daemon.services.records import Broken, Int32, RecordReader, salvaged
from daemon.snapshot import Report


class Application(NamedTuple):
    """The differences between Radarr and Sonarr.

    Attributes:
        name: its `appName`, whatever the instance is called.
        path: of the list of titles.
        media_type: of its titles.
        page: URL path of a title, by the id in `column`. Sonarr's own pages use a slug
            that only Sonarr knows; its search leads there.
    """

    name: str
    path: str
    media_type: MediaType
    page: str
    column: str

    def link(self, public_url: str, tracked: Mapping[str, Any]) -> str | None:
        """The URL of a tracked title in an instance."""
        known = tracked.get(self.column)
        return None if known is None else f"{public_url}{self.page}{known}"


APPLICATIONS: Final = {
    "radarr": Application("Radarr", "/api/v3/movie", MediaType.MOVIE, "/movie/", "tmdb_id"),
    "sonarr": Application(
        "Sonarr", "/api/v3/series", MediaType.TV, "/add/new?term=tvdb:", "tvdb_id"
    ),
}
"""By the first word of an instance's section in the configuration."""


class _Status(pydantic.BaseModel):
    appName: str = ""
    version: str = ""


class _Root(pydantic.BaseModel):
    path: str
    accessible: bool = True


class _Counted(msgspec.Struct, gc=False):
    totalEpisodeCount: Int32 = 0


class _Season(msgspec.Struct, gc=False):
    """A season; without any episode it has no statistics (seen on Sonarr 4)."""

    seasonNumber: Int32
    statistics: _Counted | None = None


class _Record(msgspec.Struct, gc=False):
    """A film or a series; 0 and "" stand for an unknown id (seen on Radarr 6 and Sonarr 4)."""

    id: Int32
    tmdbId: Int32 = 0
    tvdbId: Int32 = 0
    imdbId: str = ""
    seasons: list[_Season] = []


class _Ref(msgspec.Struct, gc=False):
    id: Int32 | None = None


class _Reading:
    """Collects ids and counts while a list is read."""

    def __init__(self, client: ArrClient) -> None:
        self._client = client
        self._titles = Catalogue(client.media_type)
        self._counts: dict[int, dict[int, int]] = {}
        self._shapes: dict[tuple[tuple[int, int], ...], dict[int, int]] = {}
        self._defects = Defects()
        self._records = 0

    def add(self, records: list[_Record | Broken]) -> None:
        self._records += len(records)
        for each in records:
            record, lost = (each, []) if isinstance(each, _Record) else salvaged(each, _Record)
            if record is None or record.id <= 0:
                reason = each.reason if isinstance(each, Broken) else "its number is none"
                self._defects.note(ItemError(self._client.name, _ref(each), reason))
                continue
            for name in lost:
                what = f"its {name} is not understood"
                self._defects.note(ItemError(self._client.name, str(record.id), what, lost=False))
            imdb = record.imdbId.lower() or None
            self._titles.add(record.id, Ids(record.tmdbId or None, record.tvdbId or None, imdb))
            self._count(record)

    def _count(self, record: _Record) -> None:
        counted = tuple(
            (season.seasonNumber, season.statistics.totalEpisodeCount)
            for season in record.seasons
            if season.statistics is not None
        )
        if counted:  # most series are of few shapes, so that the shapes are shared
            self._counts[record.id] = self._shapes.setdefault(counted, dict(counted))

    def report(self) -> Report:
        return replace(
            self._client.unknown,
            titles=self._titles,
            whole=not any(defect.lost for defect in self._defects),
            counts=self._counts,
            listed=self._records,
            defects=self._defects,
        )


def _ref(each: _Record | Broken) -> str:
    if isinstance(each, _Record):
        return str(each.id)
    try:
        number = msgspec.json.decode(each.raw, type=_Ref).id
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        number = None
    return "" if number is None else str(number)


class ArrClient:
    """One instance of Radarr or Sonarr.

    Both return one list that cannot be paged or filtered; it is parsed as it streams in, and
    only the ids are kept.

    Args:
        http: its connection, under the instance's name.
        application: which of the two must answer.
        primary: the tracker's rows hold its ids.
        is_4k: it manages 4K copies.
    """

    def __init__(
        self,
        http: ServiceHttp,
        application: Application,
        *,
        primary: bool = True,
        is_4k: bool = False,
    ) -> None:
        self.http = http
        self.name = http.service
        self.media_type = application.media_type
        self.primary = primary
        self.is_4k = is_4k
        self._application = application

    @property
    def unknown(self) -> Report:
        """The report of an instance that did not answer."""
        return Report(self.name, self.media_type, self.primary)

    async def check(self) -> str:
        """The version of the service.

        Raises:
            WrongServiceError: it is another service, e.g. Sonarr where Radarr should be.
            ServiceError: one of its other kinds.
        """
        path = "/api/v3/system/status"
        status = await self.http.get(path, _Status)
        if status.appName != self._application.name:
            name = status.appName or "something else"
            raise WrongServiceError(self.name, self.http.url + path, f"this is {name}")
        return status.version

    async def report(self) -> Report:
        """All its titles, and the root folders that it cannot reach."""
        try:
            version = await self.check()
            listing = await self.listing()
        except ServiceError as error:
            gap = SourceFailure(error.service, error.kind, str(error))
            return replace(self.unknown, gaps=(gap,))
        with contextlib.suppress(ServiceError):  # good to know, no more
            listing = replace(listing, folders_away=await self.folders_away())
        return replace(listing, version=version)

    async def listing(self, **query: str) -> Report:
        """All its titles as a catalogue of ids; a query filters them."""
        path, found = self._application.path, _Reading(self)
        reader = RecordReader(_Record)
        async with self.http.stream(path, query) as chunks:
            with reading(self.http, path):
                async for chunk in chunks:
                    found.add(reader.feed(chunk))
                found.add(reader.close(list)[0])
        return found.report()

    async def folders_away(self) -> tuple[str, ...]:
        """The root folders that the service cannot access."""
        folders = await self.http.get("/api/v3/rootfolder", list[_Root])
        return tuple(folder.path for folder in folders if not folder.accessible)

    async def of_tmdb(self, tmdb: int) -> int | None:
        """Radarr's id of a film; Sonarr would have to read its whole list for that."""
        found = (await self.listing(tmdbId=str(tmdb))).titles
        return found.find(Ids(tmdb)) if found else None
