"""Radarr and Sonarr: under which of their own ids they keep a title."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import msgspec
import pydantic

from daemon.clients.http import ServiceHttp
from daemon.clients.records import Broken, Int32, MalformedError, RecordReader
from daemon.domain import ArrIndex, Defect, IdTable
from daemon.errors import WrongServiceError


class _Status(pydantic.BaseModel):
    appName: str = ""
    version: str = ""


class _Root(pydantic.BaseModel):
    path: str
    accessible: bool = True


class _Counted(msgspec.Struct, gc=False):
    totalEpisodeCount: int = 0


class _Season(msgspec.Struct, gc=False):
    """A season; without any episode it has no statistics (seen on Sonarr 4)."""

    seasonNumber: int
    statistics: _Counted | None = None


class _Record(msgspec.Struct, gc=False):
    """A film or a series; 0 and "" stand for an unknown id (seen on Radarr 6 and Sonarr 4)."""

    id: Int32
    tmdbId: Int32 = 0
    tvdbId: Int32 = 0
    imdbId: str = ""
    seasons: list[_Season] = []


class _Total(pydantic.BaseModel):
    totalEpisodeCount: int = 0


class _SeasonOfOne(pydantic.BaseModel):
    seasonNumber: int
    statistics: _Total | None = None


class OneSeries(pydantic.BaseModel):
    """A series of Sonarr's by itself; a TVDB id of 0 is none."""

    title: str
    tvdbId: int = 0
    seasons: list[_SeasonOfOne] = []


class _Ref(msgspec.Struct, gc=False):
    id: Int32 | None = None


class _Index:
    """Gathers the ids of a list; of two records with one id the first counts."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._tables = (IdTable(), IdTable(), IdTable())
        self._seasons: dict[int, dict[int, int]] = {}
        self._shapes: dict[tuple[tuple[int, int], ...], dict[int, int]] = {}
        self._defects: list[Defect] = []
        self._records = 0

    def add(self, records: list[_Record | Broken]) -> None:
        self._records += len(records)
        for record in records:
            if isinstance(record, Broken):
                self._defects.append(Defect(self._service, _ref(record.raw), record.reason))
                continue
            ids: tuple[int | str, ...] = (record.tmdbId, record.tvdbId, record.imdbId)
            for table, value in zip(self._tables, ids, strict=True):
                if value:
                    table.add(value, record.id)
            counted = tuple(
                (season.seasonNumber, season.statistics.totalEpisodeCount)
                for season in record.seasons
                if season.statistics is not None
            )
            if counted:  # most series are of few shapes, so that the shapes are shared
                shape = self._shapes.setdefault(counted, dict(counted))
                self._seasons[record.id] = shape

    def listing(self, *, whole: bool) -> Listing:
        by_tmdb, by_tvdb, by_imdb = self._tables
        whole = whole and not self._defects
        ids = ArrIndex(by_tmdb, by_tvdb, by_imdb, self._seasons, whole=whole)
        return Listing(ids, self._defects, self._records)


def _ref(raw: bytes) -> str:
    try:
        number = msgspec.json.decode(raw, type=_Ref).id
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        number = None
    return "" if number is None else str(number)


class Listing(NamedTuple):
    """What one list said, what in it was broken, and how many records it had."""

    ids: ArrIndex
    defects: list[Defect]
    records: int


class ArrClient:
    """One Radarr or Sonarr.

    Both answer with one list that cannot be paged or narrowed; it is read as it streams in, and
    only the ids are kept.

    Args:
        http: how to reach it; its `service` is the name that the server must own up to.
        path: of the list.
    """

    def __init__(self, http: ServiceHttp, path: str) -> None:
        self.http = http
        self._path = path

    async def version(self) -> str:
        """The version of the service.

        Raises:
            WrongServiceError: it is another service, e.g. Sonarr where Radarr should be.
            ServiceError: one of its other kinds.
        """
        path = "/api/v3/system/status"
        status = await self.http.get(path, _Status)
        if status.appName != self.http.service:
            name = status.appName or "something else"
            raise WrongServiceError(self.http.service, self.http.url + path, f"this is {name}")
        return status.version

    async def listing(self) -> Listing:
        """Everything that the service keeps, as an index of ids."""
        return await self._listed({})

    async def folders_away(self) -> tuple[str, ...]:
        """The root folders that the service itself cannot reach now."""
        folders = await self.http.get("/api/v3/rootfolder", list[_Root])
        return tuple(folder.path for folder in folders if not folder.accessible)

    async def of_tmdb(self, number: int) -> Listing:
        """What Radarr keeps under one TMDB id; for Sonarr such a question costs as much as all."""
        return await self._listed({"tmdbId": str(number)})

    async def one(self, number: int) -> OneSeries | None:
        """The series that Sonarr has under its own number, which costs it 6 ms; None if none."""
        try:
            return await self.http.get(f"{self._path}/{number}", OneSeries)
        except WrongServiceError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _listed(self, query: dict[str, str]) -> Listing:
        index = _Index(self.http.service)
        reader = RecordReader(_Record, list[msgspec.Raw], lambda records: records)
        async with self.http.stream(self._path, query) as chunks:
            try:
                async for chunk in chunks:
                    index.add(reader.feed(chunk))
                index.add(reader.close()[0])
            except MalformedError as error:
                raise self.http.not_json(self._path, f"the list is not whole: {error}") from None
        return index.listing(whole=not query)


def radarr(http: ServiceHttp) -> ArrClient:
    """A client of Radarr."""
    return ArrClient(http, "/api/v3/movie")


def sonarr(http: ServiceHttp) -> ArrClient:
    """A client of Sonarr."""
    return ArrClient(http, "/api/v3/series")
