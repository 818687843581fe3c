"""Radarr and Sonarr: under which of their own ids they keep a title."""

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
    """What tells Radarr from Sonarr.

    Attributes:
        name: what it calls itself, whatever an instance of it is called.
        path: of its list.
        media_type: of what it keeps.
        page: of a title for people, by the id that `column` has. Sonarr's own pages go by a name
            that only it knows; its search finds what it has, and leads there.
    """

    name: str
    path: str
    media_type: MediaType
    page: str
    column: str

    def link(self, public_url: str, tracked: Mapping[str, Any]) -> str | None:
        """Where people find a title of the tracker in an instance."""
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
    """Gathers the ids and the counts of a list."""

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

    Both answer with one list that cannot be paged or narrowed; it is read as it streams in, and
    only the ids are kept.

    Args:
        http: how to reach it, under the instance's name.
        application: what must answer there.
        primary: its numbers are the ones that the tracker's rows hold.
        is_4k: it keeps what is in 4K.
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
        """The report of an instance that says nothing."""
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
        """Everything that it keeps, and the root folders that it cannot reach."""
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
        """Everything that it keeps, as an index of ids; a query narrows it."""
        path, found = self._application.path, _Reading(self)
        reader = RecordReader(_Record)
        async with self.http.stream(path, query) as chunks:
            with reading(self.http, path):
                async for chunk in chunks:
                    found.add(reader.feed(chunk))
                found.add(reader.close(list)[0])
        return found.report()

    async def folders_away(self) -> tuple[str, ...]:
        """The root folders that the service itself cannot reach now."""
        folders = await self.http.get("/api/v3/rootfolder", list[_Root])
        return tuple(folder.path for folder in folders if not folder.accessible)

    async def of_tmdb(self, tmdb: int) -> int | None:
        """Radarr's number of a film; Sonarr is not asked, it would read its whole list for that."""
        found = (await self.listing(tmdbId=str(tmdb))).titles
        return found.find(Ids(tmdb)) if found else None
