"""Jellyfin: the library, what in it can be played, and whether the server is at work on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from http import HTTPStatus
from operator import attrgetter
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import pydantic

from daemon import __version__
from daemon.clients.http import Patience, ServiceHttp
from daemon.clients.records import Broken, Int32, MalformedError, RecordReader
from daemon.domain import Activity, Defect, Ids, LibraryFolder, LibraryItem, MediaType, Seasons
from daemon.errors import (
    RefusedKeyError,
    RejectedError,
    ServiceError,
    StartingError,
    WrongServiceError,
)

SERVICE: Final = "Jellyfin"
_TYPES: Final = {"Movie": MediaType.MOVIE, "Series": MediaType.TV}
_LONGEST: Final = 19
"""Digits: any shorter number fits a column of 64 bits."""
_IMDB = re.compile("tt[0-9]{5,12}")

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
    "IsMissing": "false",
    "EnableImages": "false",
    "SortBy": "SeriesSortName",  # six times cheaper for the server than its default order
}

MOST_IDS: Final = 150
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
_BRIEFLY: Final = Patience(attempts=1, reply=5.0, silence=5.0)


class _Row(msgspec.Struct, gc=False):
    """A movie or a series as Jellyfin lists it; nulls are left out by the server."""

    Id: str
    Type: str
    Name: str
    ProviderIds: dict[str, str]
    ProductionYear: Int32 | None = None
    Overview: str | None = None
    Path: str | None = None
    DateCreated: str | None = None
    LocationType: str | None = None
    IsPlaceHolder: bool | None = None
    ImageTags: dict[str, str] | None = None
    SeriesId: str | None = None


class _Saved(msgspec.Struct, gc=False):
    """A row that the server saved lately."""

    Id: str
    Type: str
    SeriesId: str | None = None


class _Episode(msgspec.Struct, gc=False):
    """An episode, as far as it proves its series."""

    SeriesId: str | None = None
    LocationType: str | None = None
    IsPlaceHolder: bool | None = None


@dataclass(slots=True)
class _Episodes:
    """What a list of episodes says.

    Attributes:
        proven: ids of the series of those that can be played.
        read: how many could be read.
        all_read: that is as many as the server counts.
    """

    proven: set[str] = field(default_factory=set)
    read: int = 0
    all_read: bool = False


class _Numbered(msgspec.Struct, gc=False):
    """An episode by its place; a file may hold several."""

    ParentIndexNumber: int | None = None
    IndexNumber: int | None = None
    IndexNumberEnd: int | None = None
    LocationType: str | None = None
    IsPlaceHolder: bool | None = None


class _Envelope(msgspec.Struct, gc=False):
    """Around every list of items; the total is that of all pages."""

    Items: list[msgspec.Raw]
    TotalRecordCount: int


class _Ref(msgspec.Struct, gc=False):
    """What can be told of a broken row."""

    Id: str | None = None


class _Named(pydantic.BaseModel):
    Key: str = ""
    State: str = "Idle"


class _Folder(pydantic.BaseModel):
    Name: str
    ItemId: str = ""
    CollectionType: str | None = None
    Locations: tuple[str, ...] = ()
    RefreshStatus: str = "Idle"


class _Policy(pydantic.BaseModel):
    IsAdministrator: pydantic.StrictBool
    IsDisabled: pydantic.StrictBool = False


class _User(pydantic.BaseModel):
    Name: str
    Policy: _Policy

    @property
    def bearer(self) -> Bearer:
        admin = self.Policy.IsAdministrator and not self.Policy.IsDisabled
        return Bearer(Standing.ADMINISTRATOR if admin else Standing.USER, self.Name)


class _Counts(pydantic.BaseModel):
    MovieCount: int
    SeriesCount: int
    EpisodeCount: int


class Counts(NamedTuple):
    """What the server counts; cheap for it at any size of the library."""

    movies: int
    series: int
    episodes: int

    @property
    def titles(self) -> int:
        """Movies and series together."""
        return self.movies + self.series


class Standing(Enum):
    """What a token is good for."""

    ADMINISTRATOR = auto()
    USER = auto()
    BARRED = auto()
    API_KEY = auto()
    UNKNOWN = auto()


_STANDINGS: Final = {400: Standing.API_KEY, 401: Standing.UNKNOWN, 403: Standing.BARRED}


class Bearer(NamedTuple):
    """Whose a token is; the name is "" where it belongs to nobody."""

    standing: Standing
    name: str = ""


class _Login(pydantic.BaseModel):
    AccessToken: str
    User: _User


class _Connect(pydantic.BaseModel):
    Authenticated: pydantic.StrictBool
    Secret: str = pydantic.Field(pattern="^[0-9A-Za-z]{1,128}$")
    Code: str


class QuickConnect(NamedTuple):
    """A login that somebody has to allow on a device where they are logged in already.

    Attributes:
        code: what they type there; six digits (seen on 10.11.11).
        secret: what the login is asked for with.
        allowed: whether they did.
    """

    code: str
    secret: str
    allowed: bool


class Server(NamedTuple):
    """Which Jellyfin it is."""

    id: str
    version: str


class LookUp(NamedTuple):
    """What was found of given ids.

    Attributes:
        proven: ids of the series of those episodes that can be played.
    """

    items: list[LibraryItem]
    proven: frozenset[str]


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
        total: titles in the library as the server counts them; None until the reply has ended.
    """

    rows: int = 0
    foreign: int = 0
    total: int | None = None
    defects: list[Defect] = field(default_factory=list)


class JellyfinClient:
    """Asks with an API key, which sees every library.

    Only the modern header proves the key: 12.0 refuses all other ways (seen on 12.0-rc5). A user's
    id is never sent with a listing, which can make it twenty times dearer for the server.
    """

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http

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
            raise StartingError(*where, "it is still starting")
        if info.get("ProductName") != "Jellyfin Server":
            raise WrongServiceError(*where, "this is no Jellyfin")
        if info.get("StartupWizardCompleted") is not True:
            raise RejectedError(*where, "not set up yet", hint="finish its set-up wizard")
        return Server(str(info.get("Id")), str(info.get("Version")))

    async def who_is(self, token: str) -> Bearer:
        """Whose a token is, asked with that token alone.

        Nothing of ours is sent along: our key would speak for it, and a device or version would
        overwrite those of the user's own device. An API key is answered 400, a user whom the
        server keeps out for now 403, and any other token 401 (seen on 10.11.11).

        Args:
            token: as the server gives it to its users; it must not hold a quotation mark.

        Raises:
            ServiceError: Jellyfin cannot be asked, which says nothing about the token.
        """
        proof = {"Authorization": f'MediaBrowser Token="{token}"'}
        try:
            async with ServiceHttp(SERVICE, self.http.url, proof, _BRIEFLY) as http:
                user = await http.get("/Users/Me", _User)
        except (RefusedKeyError, RejectedError) as error:
            if (standing := _STANDINGS.get(error.status or 0)) is None:
                raise
            return Bearer(standing)
        return user.bearer

    async def log_in(self, name: str, password: str, device: str) -> Bearer:
        """Who it is that has this name and password; the password goes no further.

        What the server gives for it is handed back at once. A wrong password and an unknown name
        are both 401, a user whom the server keeps out 403 (seen on 10.11.11).

        Args:
            name: as typed.
            password: as typed.
            device: the same at each login of one daemon, or the server's list of devices grows.

        Raises:
            ServiceError: Jellyfin cannot be asked.
        """
        given = {"Username": name, "Pw": password}
        return await self._login("/Users/AuthenticateByName", given, device)

    async def quick_connect(self, device: str) -> QuickConnect | None:
        """Begin a login without a password; None where the server has that switched off (401).

        Raises:
            ServiceError: Jellyfin cannot be asked.
        """
        try:
            async with self._as_device(device) as http:
                begun = await http.post("/QuickConnect/Initiate", _Connect)
        except RefusedKeyError:
            return None
        return QuickConnect(begun.Code, begun.Secret, begun.Authenticated)

    async def quick_connected(self, secret: str, device: str) -> Bearer | None:
        """Who has allowed such a login by now; None as long as nobody has.

        A secret that was never given, or over ten minutes ago, is 404 (seen on 10.11.11).

        Raises:
            ServiceError: Jellyfin cannot be asked.
        """
        try:
            async with self._as_device(device) as http:
                asked = {"secret": secret}
                state = await http.get("/QuickConnect/Connect", _Connect, asked)
        except WrongServiceError:
            return Bearer(Standing.UNKNOWN)
        if not state.Authenticated:
            return None
        return await self._login("/Users/AuthenticateWithQuickConnect", {"Secret": secret}, device)

    async def _login(self, path: str, given: Mapping[str, str], device: str) -> Bearer:
        try:
            async with self._as_device(device) as http:
                login = await http.post(path, _Login, given)
        except RefusedKeyError as error:
            barred = error.status == HTTPStatus.FORBIDDEN
            return Bearer(Standing.BARRED if barred else Standing.UNKNOWN)
        proof = {"Authorization": f'MediaBrowser Token="{login.AccessToken}"'}
        with suppress(ServiceError):  # then it stays valid, and nobody knows it
            async with ServiceHttp(SERVICE, self.http.url, proof, _BRIEFLY) as http:
                await http.post("/Sessions/Logout", type(None))
        return login.User.bearer

    def _as_device(self, device: str) -> ServiceHttp:
        """All four are demanded (seen on 10.11.11); our key would make us somebody else."""
        pairs = {
            "Client": "Library Sync",
            "Device": "Library Sync",
            "DeviceId": device,
            "Version": __version__,
        }
        proof = ", ".join(f'{name}="{value}"' for name, value in pairs.items())
        headers = {"Authorization": f"MediaBrowser {proof}"}
        return ServiceHttp(SERVICE, self.http.url, headers, _BRIEFLY)

    async def activity(self) -> Activity:
        """Whether the server is at work on its libraries, and which libraries it has.

        A library's own scan and what the file monitor finds show in the folders only, a scan of
        everything in the task (seen on 10.11).
        """
        tasks = await self.http.get("/ScheduledTasks", list[_Named])
        folders = await self.http.get("/Library/VirtualFolders", list[_Folder])
        task = any(task.Key == "RefreshLibrary" and task.State != "Idle" for task in tasks)
        busy = [folder.Name for folder in folders if folder.RefreshStatus != "Idle"]
        return Activity(
            scanning=task or bool(busy),
            libraries=tuple(
                LibraryFolder(
                    folder.Name,
                    folder.Locations,
                    folder.ItemId if folder.CollectionType in _HOLD_TITLES else "",
                )
                for folder in folders
            ),
        )

    async def counts(self) -> Counts:
        """How many titles and episodes there are, without the virtual ones."""
        found = await self.http.get("/Items/Counts", _Counts)
        return Counts(found.MovieCount, found.SeriesCount, found.EpisodeCount)

    async def page(
        self, page: Page, start: int, limit: int, *, pictures: bool, library: str | None = None
    ) -> AsyncGenerator[list[LibraryItem], None]:
        """Movies and series from `start` on, at most `limit`, while the reply streams in.

        A series comes as not available: that has to be proven by its episodes. Of an id that is no
        library any more the server makes a question for all (read in the source of 10.11).
        """
        images = _PICTURES if pictures else _NO_PICTURES
        query = {**_LISTING, **images, "StartIndex": str(start), "Limit": str(limit)}
        query |= {} if library is None else {"ParentId": library}
        async with aclosing(self._rows(query, _Row, page)) as pieces:
            async for rows in pieces:
                yield list(_items(rows, page))

    async def look_up(self, ids: Sequence[str], page: Page) -> LookUp:
        """Given movies, series and episodes as they are now, with pictures; at most 150 ids.

        The server refuses a request line of over 8 KiB. Ids that it does not know are absent from
        the reply, and if it can read none of them it forgets the filter, so none may be malformed.
        """
        query = {**_LOOKED_UP, "Ids": ",".join(ids)}
        titles: list[_Row | Broken] = []
        episodes: list[_Row] = []
        async with aclosing(self._rows(query, _Row, page)) as pieces:
            async for rows in pieces:
                for row in rows:
                    of_series = isinstance(row, _Row) and row.Type == "Episode"
                    (episodes if of_series else titles).append(row)
        proven = {row.SeriesId for row in episodes if row.SeriesId and _playable(row)}
        return LookUp(list(_items(titles, page)), frozenset(proven))

    async def saved_since(self, moment: datetime, limit: int) -> Saved:
        """What was saved since a moment of the server's own clock: arrivals and changes, no losses.

        `MinDateLastSavedForUser` is the spelling that works on every version; it is about the item
        itself, so that a series which got an episode is not in it, but the episode is.
        """
        since = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {**_SAVED, "MinDateLastSavedForUser": since, "Limit": str(limit)}
        page = Page()
        saved: list[_Saved] = []
        async with aclosing(self._rows(query, _Saved, page)) as pieces:
            async for rows in pieces:
                saved.extend(row for row in rows if isinstance(row, _Saved))
        ids = frozenset(found for row in saved for found in (row.Id, row.SeriesId) if found)
        kinds = Counter(row.Type for row in saved)
        counts = Counts(kinds["Movie"], kinds["Series"], kinds["Episode"])
        return Saved(ids, counts, page.total or 0)

    async def series_with_episodes(
        self, *, first_only: bool, library: str | None = None
    ) -> frozenset[str]:
        """The ids of series that have an episode to play.

        Args:
            first_only: look only at episodes numbered 1, a tenth of all; that proves most series.
            library: id of the only library to look at; None means all.

        Raises:
            ServiceError: of all episodes, not every one could be read: the others prove nothing.
        """
        query = {**_EPISODES, "IndexNumber": "1"} if first_only else _EPISODES
        query = query if library is None else {**query, "ParentId": library}
        found = await self._episodes(query)
        if not first_only and not found.all_read:
            raise self.http.not_json("/Items", "not every episode could be read")
        return frozenset(found.proven)

    async def seasons(self, series_id: str) -> Seasons:
        """The episodes of one series, the missing ones that Jellyfin knows of included."""
        query = {**_EPISODES, "ParentId": series_id}
        del query["IsMissing"]
        there, known = Counter[int](), Counter[int]()
        async with aclosing(self._rows(query, _Numbered, Page())) as pieces:
            async for rows in pieces:
                for row in rows:
                    if isinstance(row, _Numbered) and row.ParentIndexNumber is not None:
                        number = _episodes_in(row)
                        known[row.ParentIndexNumber] += number
                        there[row.ParentIndexNumber] += number if _playable(row) else 0
        return Seasons(there, known)

    async def poster(self, jellyfin_id: str) -> tuple[str, bytes]:
        """An item's picture in a small size, with its content type.

        Raises:
            ServiceError: there is none, or Jellyfin cannot be asked.
        """
        async with ServiceHttp(SERVICE, self.http.url, self.http.headers, _BRIEFLY) as http:
            path = f"/Items/{quote(jellyfin_id, safe='')}/Images/Primary"
            return await http.picture(path, {"maxHeight": "360"})

    async def has_episode(self, series_id: str) -> bool:
        """Whether one series has an episode to play; nearly always its first ones tell.

        Raises:
            ServiceError: none can be played of those that could be read, and some could not.
        """
        query = {**_EPISODES, "ParentId": series_id}
        found = await self._episodes({**query, "Limit": "5"})
        if not found.proven and not found.all_read:
            found = await self._episodes(query)
        if not found.proven and not found.all_read:
            raise self.http.not_json("/Items", "not every episode of a series could be read")
        return bool(found.proven)

    async def _episodes(self, query: dict[str, str]) -> _Episodes:
        found, page = _Episodes(), Page()
        async with aclosing(self._rows(query, _Episode, page)) as pieces:
            async for rows in pieces:
                found.read += sum(isinstance(row, _Episode) for row in rows)
                found.proven.update(_proven(rows))
        found.all_read = found.read == page.total
        return found

    async def _rows(
        self, query: dict[str, str], shape: type[Any], page: Page
    ) -> AsyncGenerator[list[Any], None]:
        reader = RecordReader(shape, _Envelope, attrgetter("Items"))
        async with self.http.stream("/Items", query) as chunks:
            try:
                async for chunk in chunks:
                    if rows := reader.feed(chunk):
                        yield rows
                rows, envelope = reader.close()
            except MalformedError as error:
                raise self.http.not_json("/Items", f"the list is not whole: {error}") from None
        page.total = envelope.TotalRecordCount
        yield rows


def _items(rows: Iterable[_Row | Broken], page: Page) -> Iterator[LibraryItem]:
    """The good items among the rows; what is broken is noted on the page."""
    for row in rows:
        page.rows += 1
        if isinstance(row, Broken):
            page.defects.append(Defect(SERVICE, _ref(row.raw), row.reason))
        elif (media_type := _TYPES.get(row.Type)) is None:
            page.foreign += 1
            page.defects.append(Defect(SERVICE, row.Id, f"a {row.Type} was not asked for"))
        elif not row.Id or not row.Name.strip():
            page.defects.append(Defect(SERVICE, row.Id, "it has no id or no name"))
        else:
            yield _item(row, media_type, page.defects)


def _item(row: _Row, media_type: MediaType, defects: list[Defect]) -> LibraryItem:
    jellyfin_id = row.Id.replace("-", "").lower()
    ids, unusable = provider_ids(row.ProviderIds)
    defects.extend(
        Defect(SERVICE, jellyfin_id, f"its {name} id is unusable", lost=False) for name in unusable
    )
    return LibraryItem(
        jellyfin_id=jellyfin_id,
        media_type=media_type,
        title=row.Name,
        year=row.ProductionYear,
        ids=ids,
        overview=row.Overview or None,
        path=row.Path,
        created_at=_moment(row.DateCreated),
        available=media_type is MediaType.MOVIE and _playable(row),
        poster=None if row.ImageTags is None else "Primary" in row.ImageTags,
    )


def provider_ids(given: Mapping[str, str]) -> tuple[Ids, list[str]]:
    """The usable ids, and the names of the providers whose id is not usable.

    Names compare without case. Values come from file names and .nfo files unchecked: padded, empty,
    no number, or larger than any column (all seen on 10.11).
    """
    found: dict[str, int | str] = {}
    unusable = []
    for name, value in given.items():
        known, text = name.lower(), value.strip()
        if (parse := _PARSERS.get(known)) is None or not text:
            continue
        if (parsed := parse(text)) is None:
            unusable.append(name)
        else:
            found[known] = parsed
    return Ids(**found), unusable  # type: ignore[arg-type]


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < _LONGEST):
        return None
    return int(text) or None


def _imdb(text: str) -> str | None:
    return text.lower() if _IMDB.fullmatch(text.lower()) else None


_PARSERS: Final[dict[str, Callable[[str], int | str | None]]] = {
    "tmdb": _number,
    "tvdb": _number,
    "imdb": _imdb,
}


def _moment(text: str | None) -> datetime | None:
    """Jellyfin writes up to seven digits of a second, and the year 1 for "never"."""
    try:
        moment = datetime.fromisoformat(text or "")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None


def _playable(row: _Row | _Episode | _Numbered) -> bool:
    """On disk, and no placeholder: a `.disc` stub is a file too (seen on 10.11)."""
    return row.LocationType == "FileSystem" and not row.IsPlaceHolder


def _episodes_in(row: _Numbered) -> int:
    first, last = row.IndexNumber, row.IndexNumberEnd
    return last - first + 1 if first is not None and last is not None and last > first else 1


def _proven(rows: Iterable[_Episode | Broken]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, _Episode) and row.SeriesId and _playable(row):
            yield row.SeriesId


def _ref(raw: bytes) -> str:
    try:
        return (msgspec.json.decode(raw, type=_Ref).Id or "")[:64]
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ""
