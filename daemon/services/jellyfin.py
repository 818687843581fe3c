"""Jellyfin: the library, what in it can be played, and whether the server is at work on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import pydantic

from daemon import errors
from daemon.domain import Defects, ItemError, LibraryItem, MediaType, TrackedRequest, value_hash
from daemon.identity import Places, jellyfin_id, provider_ids, shoko_series
from daemon.services.http import ServiceHttp
from daemon.services.jellyfin_auth import BRIEFLY, JellyfinAuth
from daemon.services.listing import reading
from daemon.services.records import (
    Broken,
    Int32,
    RecordReader,
    Taken,
    salvaged,
)
from daemon.snapshot import Activity, Episode, LibraryFolder, Texts

SERVICE: Final = "Jellyfin"
_TYPES: Final = {"Movie": MediaType.MOVIE, "Series": MediaType.TV}
_YEARS: Final = range(1870, 2200)
"""Anything else in a year's place is none: dates and negative numbers were seen there."""

_PLAIN: Final = {
    "Recursive": "true",
    "CollapseBoxSetItems": "false",  # else 12.0 hides every title that is in a collection
    "EnableUserData": "false",
}
_LISTING: Final = {
    **_PLAIN,
    "IncludeItemTypes": "Movie,Series",
    "Fields": "ProviderIds,Path,Overview,DateCreated",
    "ExcludeLocationTypes": "Virtual",
}
_EPISODES: Final = {
    **_PLAIN,
    "IncludeItemTypes": "Episode",
    "EnableImages": "false",
    "SortBy": "SeriesSortName",  # six times cheaper for the server than its default order
}
_FIRST_EPISODES: Final = {**_EPISODES, "IsMissing": "false", "IndexNumber": "1"}
_SEASONS: Final = {**_PLAIN, "IncludeItemTypes": "Season", "EnableImages": "false"}

MAX_IDS: Final = 150
"""Titles that are asked for by their ids at once; together they cost the server as much as one."""

_PICTURES: Final = {"EnableImages": "true", "EnableImageTypes": "Primary", "ImageTypeLimit": "1"}
_LOOKED_UP: Final = {**_LISTING, **_PICTURES, "IncludeItemTypes": "Movie,Series,Episode"}
_SAVED: Final = {
    **_PLAIN,
    "IncludeItemTypes": "Movie,Series,Episode",
    "ExcludeLocationTypes": "Virtual",
    "EnableImages": "false",
}
_HOLD_TITLES: Final = {None, "movies", "tvshows", "mixed"}
_NO_PICTURES: Final = {"EnableImages": "false"}
_LONGEST: Final = 64
"""Letters of a server's id or version."""


class _Row(msgspec.Struct, gc=False):
    """A movie or a series as Jellyfin lists it; nulls are left out by the server."""

    Id: str
    Type: str
    Name: str = ""
    ProviderIds: dict[str, object] = {}
    ProductionYear: int | None = None
    Overview: str | None = None
    Path: str | None = None
    DateCreated: str | None = None
    LocationType: str | None = None
    IsPlaceHolder: bool | None = None
    ImageTags: dict[str, object] | None = None
    SeriesId: str | None = None


class _LookedUp(_Row, gc=False):
    """One that was asked for by its id, which may be an episode."""

    ParentIndexNumber: Int32 | None = None
    IndexNumber: Int32 | None = None
    IndexNumberEnd: Int32 | None = None
    PremiereDate: str | None = None


class _Saved(msgspec.Struct, gc=False):
    """A row that the server saved lately."""

    Id: str
    Type: str
    SeriesId: str | None = None


class _Episode(msgspec.Struct, gc=False):
    """An episode by its place; a file may hold several.

    From first sight until Jellyfin has read the file, `SeriesId` and the numbers are null (seen on
    10.11.11).
    """

    SeriesId: str | None = None
    ParentIndexNumber: Int32 | None = None
    IndexNumber: Int32 | None = None
    IndexNumberEnd: Int32 | None = None
    PremiereDate: str | None = None
    LocationType: str | None = None
    IsPlaceHolder: bool | None = None


class _Season(msgspec.Struct, gc=False):
    Id: str
    SeriesId: str | None = None
    IndexNumber: Int32 | None = None


class _Envelope(msgspec.Struct, gc=False):
    """ListingContext every list of items; the total is that of all pages."""

    Items: Taken
    TotalRecordCount: Int32


class _Ref(msgspec.Struct, gc=False):
    """What can be told of a broken row."""

    Id: str | None = None


_Count = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
_Label = Annotated[str, pydantic.Field(min_length=1, max_length=200)]


class _Task(pydantic.BaseModel):
    Key: str
    State: str


class _Folder(pydantic.BaseModel):
    Name: str
    RefreshStatus: str
    ItemId: str = ""
    CollectionType: str | None = None


class _Person(pydantic.BaseModel):
    Name: _Label


class _Counts(pydantic.BaseModel):
    MovieCount: _Count
    SeriesCount: _Count
    EpisodeCount: _Count


class Counts(NamedTuple):
    """What the server counts; cheap for it at any size of the library."""

    movies: int
    series: int
    episodes: int

    @property
    def titles(self) -> int:
        """Movies and series together."""
        return self.movies + self.series


class Server(NamedTuple):
    """Which Jellyfin it is."""

    id: str
    version: str


class LookUp(NamedTuple):
    """What was found of given ids.

    Attributes:
        proven: ids of the series of those episodes that can be played.
        series: ids of the series of all those episodes.
        whole: all that the server found could be read, so that what is not in it is not there.
        episodes: those that have a number, by their series.
    """

    items: list[LibraryItem]
    proven: frozenset[str]
    series: frozenset[str]
    whole: bool
    episodes: Mapping[str, Sequence[Episode]]


@dataclass(slots=True)
class EpisodeList:
    """What a list of episodes says; each row counts for the series that its own SeriesId names.

    Attributes:
        rows: by series, those of the series that were wanted.
        proven: ids of the series that have an episode to play.
        unread: rows that do not say yet which series they belong to.
        whole: all that the server counts could be read.
        partial: series of which rows may be missing.
    """

    rows: dict[str, list[Episode]] = field(default_factory=dict)
    proven: set[str] = field(default_factory=set)
    unread: int = 0
    whole: bool = False
    partial: set[str] = field(default_factory=set)


class SeasonRef(NamedTuple):
    """A season of a series; the number is None where Jellyfin has none for it."""

    id: str
    series_id: str
    number: int | None


class Saved(NamedTuple):
    """What was saved lately.

    Attributes:
        ids: of movies, series and episodes, and of the episodes' series.
        counts: the saved ones by their kind, as far as they were listed.
        total: all that were saved, also those beyond the limit.
    """

    ids: frozenset[str]
    counts: Counts
    total: int


@dataclass(slots=True)
class Page:
    """One reply of the listing; filled while it is read, whole once `total` is known.

    Attributes:
        rows: how many rows it held, the broken ones included.
        foreign: rows of a type that was not asked for.
        broken: ids of the rows that could not be used.
        nameless: rows that could not be used and do not even say which item they are.
        total: titles in the library as the server counts them; None until the reply has ended.
    """

    rows: int = 0
    foreign: int = 0
    nameless: int = 0
    total: int | None = None
    broken: set[str] = field(default_factory=set)
    defects: Defects = field(default_factory=Defects)

    def lose(self, number: str, reason: str) -> None:
        """Note a row that could not be used."""
        self.broken.add(number)
        self.defects.note(ItemError(SERVICE, number, reason))

    def note(self, number: str, reason: str) -> None:
        """Note a value that could not be used, of a row that could."""
        self.defects.note(ItemError(SERVICE, number, reason, lost=False))


class JellyfinClient:
    """Asks with an API key, which sees every library.

    Only the modern header proves the key: 12.0 refuses all other ways (seen on 12.0-rc5). A user's
    id is never sent with a listing, which can make it twenty times dearer for the server.
    What cannot be asked is a ServiceError, and says nothing about what was asked for.
    """

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http
        self.accounts = JellyfinAuth(http)
        self._has_api_key = False

    async def server(self) -> Server:
        """Which server answers, once it is ready.

        Raises:
            StartingError: it is there, but not ready.
            WrongServiceError: it is something else.
            ServiceError: one of its other kinds.
        """
        path = "/System/Info/Public"
        info = await self.http.get(path, dict[str, Any])
        where = (SERVICE, self.http.url + path)
        if "startupWizardCompleted" in info:  # the start-up server writes camelCase (seen on 10.11)
            raise errors.StartingError(*where, "it is still starting")
        ours = info.get("ProductName") == "Jellyfin Server"
        number, version = info.get("Id"), info.get("Version")
        if not (ours and isinstance(number, str) and number and isinstance(version, str)):
            raise errors.WrongServiceError(*where, "this is no Jellyfin")
        if info.get("StartupWizardCompleted") is not True:
            raise errors.RejectedError(*where, "not set up yet", hint="finish its set-up wizard")
        return Server(number[:_LONGEST], version[:_LONGEST])

    async def activity(self) -> Activity:
        """Whether the server is at work on its libraries, and which libraries it has.

        A library's own scan and what the file monitor finds show in the folders only, a scan of
        everything in the task (seen on 10.11). What is not understood may be a scan.
        """
        tasks = await self.http.get("/ScheduledTasks", list[Any])
        folders = await self.http.get("/Library/VirtualFolders", list[Any])
        busy, odd = _scan_task(tasks)
        libraries = []
        for one in folders:
            folder = _parsed(_Folder, one)
            if folder is None:
                odd.append("a library that Jellyfin does not describe as usual")
            elif folder.RefreshStatus != "Idle":
                busy = True
            libraries.append(_library(one, folder))
        return Activity(busy or bool(odd), tuple(libraries), tuple(odd))

    async def owner(self) -> str | None:
        """The user whose token our key is; None for a real API key.

        An administrator's own token passes every other call, and does not see what is hidden from
        that user. `/Users/Me` answers an API key with 400 (seen on 10.11.11 and 12.0-rc5). What
        was once an API key is not checked again.
        """
        if self._has_api_key:
            return None
        try:
            return (await self.http.get("/Users/Me", _Person)).Name
        except errors.RejectedError as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise
        self._has_api_key = True
        return None

    async def check(self) -> str:
        """The version of the server, what it is doing, and what it has.

        Raises:
            NotAnApiKeyError: the key is a user's token.
            ServiceError: one of its other kinds.
        """
        server, activity, counts = await self.server(), await self.activity(), await self.counts()
        if (person := await self.owner()) is not None:
            raise errors.NotAnApiKeyError(
                SERVICE, self.http.url, f"the key is the token of {person}"
            )
        state = "scanning its library now" if activity.scanning else "idle"
        libraries = ", ".join(folder.name for folder in activity.libraries) or "no library"
        return (
            f"{server.version}, {state}; {counts.movies} movies and {counts.series} series"
            f" in {libraries}"
        )

    async def counts(self) -> Counts:
        """How many titles and episodes there are, without the virtual ones."""
        found = await self.http.get("/Items/Counts", _Counts)
        return Counts(found.MovieCount, found.SeriesCount, found.EpisodeCount)

    async def page(
        self,
        page: Page,
        start: int,
        limit: int,
        around: ListingContext,
        *,
        pictures: bool,
        library: str | None = None,
    ) -> AsyncGenerator[list[LibraryItem], None]:
        """Stream movies and series from `start` on, at most `limit`.

        Availability of series is not known here; their episodes prove it. For an id that is
        no longer a library the server lists everything (read in the source of 10.11).
        """
        images = _PICTURES if pictures else _NO_PICTURES
        query = {**_LISTING, **images, "StartIndex": str(start), "Limit": str(limit)}
        query |= {} if library is None else {"ParentId": library}
        async with aclosing(self._rows(query, _Row, page)) as pieces:
            async for rows in pieces:
                yield [*_items(rows, page, around)]

    async def look_up(
        self, ids: Sequence[str], page: Page, around: ListingContext | None = None
    ) -> LookUp:
        """Look up movies, series and episodes by id, with posters; at most 150 ids.

        The server refuses a request line of over 8 KiB. Ids that it does not know are absent from
        the reply, and if it can parse none of them it drops the filter, so none may be malformed.
        """
        query = {**_LOOKED_UP, "Ids": ",".join(ids)}
        titles: list[_Row | Broken] = []
        episodes: list[_LookedUp] = []
        async with aclosing(self._rows(query, _LookedUp, page)) as pieces:
            async for rows in pieces:
                for row in rows:
                    one = salvaged(row, _LookedUp)[0] if isinstance(row, Broken) else row
                    if one is not None and one.Type == "Episode":
                        episodes.append(one)
                    else:
                        titles.append(row)
        series = {number for row in episodes if (number := jellyfin_id(row.SeriesId))}
        found = EpisodeList()
        for row in episodes:
            _note_episode(found, row, series)
        return LookUp(
            list(_items(titles, page, around or ListingContext())),
            frozenset(found.proven),
            frozenset(series),
            whole=not page.nameless and len(titles) + len(episodes) == page.total,
            episodes=found.rows,
        )

    async def saved_since(self, moment: datetime, limit: int) -> Saved:
        """What was saved since a time of the server's clock: additions and changes, no losses.

        `MinDateLastSavedForUser` works on every version; it is about the item
        itself: it finds a new episode, but not its series.
        """
        since = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {**_SAVED, "MinDateLastSavedForUser": since, "Limit": str(limit)}
        page = Page()
        saved: list[_Saved] = []
        async with aclosing(self._rows(query, _Saved, page)) as pieces:
            async for rows in pieces:
                saved.extend(row for row in rows if isinstance(row, _Saved))
        named = (jellyfin_id(text) for row in saved for text in (row.Id, row.SeriesId))
        ids = frozenset(found for found in named if found)
        kinds = Counter(row.Type for row in saved)
        counts = Counts(kinds["Movie"], kinds["Series"], kinds["Episode"])
        return Saved(ids, counts, page.total or 0)

    async def first_episodes(self, library: str | None = None) -> EpisodeList:
        """Episodes numbered 1, a tenth of all, which prove most series."""
        return await self._episodes(_FIRST_EPISODES, library)

    async def episodes(self, wanted: Collection[str], library: str | None = None) -> EpisodeList:
        """All episodes of the wanted series, or those in one library, the missing ones included."""
        return await self._episodes(_EPISODES, library, wanted)

    async def episodes_of_season(self, season_id: str, wanted: Collection[str]) -> EpisodeList:
        """The episodes of one season, the missing ones included.

        `ParentId` of a season asks for its children. That of a series does not: it compares a copy
        of the series' key, which is stale until the next scan, and in a library that merges series
        it answers those of other folders (seen on 10.11.11 and 12.0-rc5).
        """
        return await self._episodes(_EPISODES, season_id, wanted)

    async def seasons(self) -> list[SeasonRef]:
        """All seasons of all series, in one list."""
        found: list[SeasonRef] = []
        async with aclosing(self._rows(_SEASONS, _Season, Page())) as pieces:
            async for rows in pieces:
                for row in rows:
                    one, _ = salvaged(row, _Season) if isinstance(row, Broken) else (row, [])
                    ids = one and (jellyfin_id(one.Id), jellyfin_id(one.SeriesId))
                    if one and ids and ids[0] and ids[1]:
                        found.append(SeasonRef(ids[0], ids[1], one.IndexNumber))
        return found

    async def poster(self, jellyfin_id: str) -> tuple[str, bytes]:
        """An item's poster in a small size, with its content type.

        Raises:
            ServiceError: there is none, or Jellyfin cannot be asked.
        """
        async with ServiceHttp(SERVICE, self.http.url, self.http.headers, BRIEFLY) as http:
            path = f"/Items/{quote(jellyfin_id, safe='')}/Images/Primary"
            return await http.picture(path, {"maxHeight": "360"})

    async def _episodes(
        self, query: dict[str, str], parent: str | None, wanted: Collection[str] = ()
    ) -> EpisodeList:
        query = query if parent is None else {**query, "ParentId": parent}
        found, page, read = EpisodeList(), Page(), 0
        async with aclosing(self._rows(query, _Episode, page)) as pieces:
            async for rows in pieces:
                for row in rows:
                    one, _ = salvaged(row, _Episode) if isinstance(row, Broken) else (row, [])
                    if one is not None:
                        read += 1
                        _note_episode(found, one, wanted)
        found.whole = read == page.total
        return found

    async def _rows(
        self, query: dict[str, str], shape: type[Any], page: Page
    ) -> AsyncGenerator[list[Any], None]:
        reader = RecordReader(shape, "Items")
        async with self.http.stream("/Items", query) as chunks:
            with reading(self.http, "/Items"):
                async for chunk in chunks:
                    if rows := reader.feed(chunk):
                        yield rows
                rows, envelope = reader.close(_Envelope)
        page.total = envelope.TotalRecordCount
        yield rows


@dataclass(frozen=True, slots=True)
class ListingContext:
    """What is known when the library is read.

    Attributes:
        places: tells which library a path lies in.
        tracked: by Jellyfin id, requests whose texts need not be kept where they are the same.
        texts: keeps the long texts of the items; None leaves them in the items.
        proven: ids of series known to be available.
    """

    places: Places = field(default_factory=lambda: Places(()))
    tracked: Mapping[str, TrackedRequest] = field(default_factory=dict)
    texts: Texts | None = None
    proven: Collection[str] = ()


def _items(
    rows: Iterable[_Row | Broken], page: Page, around: ListingContext
) -> Iterator[LibraryItem]:
    """The good items among the rows; what is broken is noted on the page."""
    for each in rows:
        page.rows += 1
        row, lost = (each, []) if isinstance(each, _Row) else salvaged(each, _Row)
        number = jellyfin_id(row.Id if row else _ref(each))
        if number is None:
            page.nameless += 1
            reason = "a record that does not say which item it is"
            page.defects.note(ItemError(SERVICE, "", reason))
        elif row is None:
            page.lose(number, each.reason if isinstance(each, Broken) else "")
        elif (media_type := _TYPES.get(row.Type)) is None:
            page.foreign += 1
            page.lose(number, f"a {row.Type} was not asked for")
        elif not row.Name.strip():
            page.lose(number, "it has no name")
        else:
            for name in lost:
                page.note(number, f"{_called(row)}: its {name} is not understood")
            yield _item(number, row, media_type, page, around)


def _called(row: _Row) -> str:
    """A title as people can look for it."""
    return f"{row.Name} ({row.Path})" if row.Path else row.Name


def _item(
    number: str, row: _Row, media_type: MediaType, page: Page, around: ListingContext
) -> LibraryItem:
    ids, unusable, contradicting = provider_ids(row.ProviderIds)
    for name in unusable:
        page.note(number, f"{_called(row)}: its {name} id is unusable")
    film = media_type is MediaType.MOVIE
    available = _playable(row) if film else True if number in around.proven else None
    if film and available is None:
        page.note(
            number, f"{_called(row)}: its location type {row.LocationType!r} is not understood"
        )
    year = row.ProductionYear if row.ProductionYear in _YEARS else None
    overview, path, unchanged = row.Overview or None, row.Path, False
    if (known := around.tracked.get(number)) is not None:
        number = known.jellyfin_id or number
        ids = known.ids if known.ids == ids else ids
        if known.metadata_hash == value_hash(row.Name, year, overview, path):
            overview, path, unchanged = None, None, True
    texts = 0
    if around.texts is not None and not unchanged:
        overview, path, texts = None, None, around.texts.put(path, overview)
    library, created = around.places.find(row.Path), _moment(row.DateCreated)
    poster = None if row.ImageTags is None else "Primary" in row.ImageTags
    what = (number, media_type, row.Name, year, ids, overview, path, library, created, available)
    # By position: by name it takes five times as long, which counts for 100,000.
    return LibraryItem(
        *what, poster, contradicting, shoko_series(row.ProviderIds), unchanged, texts
    )


def _note_episode(found: EpisodeList, row: _Episode | _LookedUp, wanted: Collection[str]) -> None:
    series = jellyfin_id(row.SeriesId)
    if series is None:
        found.unread += 1
        return
    there = _playable(row)
    if there:
        found.proven.add(series)
    if series in wanted:
        date = row.PremiereDate[:10] if row.PremiereDate else None
        numbers = (row.ParentIndexNumber, row.IndexNumber, row.IndexNumberEnd)
        found.rows.setdefault(series, []).append(Episode(*numbers, date, there))


def _scan_task(tasks: Iterable[object]) -> tuple[bool, list[str]]:
    """Whether the task of a whole scan runs, and what of the tasks is not understood."""
    odd, known, busy = [], False, False
    for one in tasks:
        task = _parsed(_Task, one)
        if task is None:
            odd.append("a scheduled task that Jellyfin does not describe as usual")
        elif task.Key == "RefreshLibrary":
            known, busy = True, busy or task.State != "Idle"
    return busy, odd if known else [*odd, "Jellyfin names no task that scans the library"]


def _library(given: object, folder: _Folder | None) -> LibraryFolder:
    """A library as far as it is understood: where it is counts even where its name does not."""
    locations = given.get("Locations") if isinstance(given, dict) else None
    told = locations if isinstance(locations, list) else []
    places = [one for one in told if isinstance(one, str)]
    if folder is None:
        return LibraryFolder("", tuple(places))
    holds = folder.ItemId if folder.CollectionType in _HOLD_TITLES else ""
    return LibraryFolder(folder.Name, tuple(places), holds)


def _parsed(model: type[_Model], given: object) -> _Model | None:
    try:
        return model.model_validate(given, strict=True)
    except pydantic.ValidationError:
        return None


_Model = TypeVar("_Model", bound=pydantic.BaseModel)


def _moment(text: str | None) -> datetime | None:
    """Jellyfin writes up to seven digits of a second, and the year 1 for "never"."""
    try:
        moment = datetime.fromisoformat(text or "")
        if moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None


def _playable(row: _Row | _Episode) -> bool | None:
    """On disk, and no placeholder: a `.disc` stub is a file too (seen on 10.11).

    Returns:
        None where the server says something else: that is neither there nor gone.
    """
    if row.IsPlaceHolder or row.LocationType == "Virtual":
        return False
    return True if row.LocationType == "FileSystem" else None


def _ref(broken: _Row | Broken) -> str | None:
    try:
        return msgspec.json.decode(broken.raw, type=_Ref).Id if isinstance(broken, Broken) else None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
