"""Seerr, Jellyseerr and Overseerr: open requests and the names of titles.

An unchanged list is a 304. Email addresses are never read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

import msgspec
import pydantic

from daemon.domain import Ids, ItemError, MediaType
from daemon.errors import RefusedKeyError, StartingError
from daemon.pipeline import SeerrMedia, SeerrRequest, SeerrStatus, SeerrTitle
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.listing import Found, UnusableError, decoded, kept, moment, reading
from daemon.services.records import Int32, RecordReader, Taken

SERVICE: Final = "Seerr"
PATIENCE: Final = RetryPolicy(attempts=2, reply=25.0, listing=25.0, silence=25.0)
"""Before it answers a list, Seerr waits for each Sonarr and then each Radarr up to 10 s."""

_API: Final = "/api/v1"
_OPEN: Final = ("pending", "failed", "approved")
"""This order finds a request twice if it is approved in between; another would miss it."""

_PAGE: Final = 200
_MAX_PAGES: Final = 50
_POSTERS: Final = "https://image.tmdb.org/t/p/w500"
_TYPES: Final = {"movie": MediaType.MOVIE, "tv": MediaType.TV}
_Status = TypeVar("_Status", SeerrStatus, SeerrMedia)


class _Season(msgspec.Struct, gc=False):
    seasonNumber: Int32 | None = None


class _User(msgspec.Struct, gc=False):
    displayName: str | None = None


class _Media(msgspec.Struct, gc=False):
    """Seerr's media record; malformed values count as unknown."""

    tmdbId: object = None
    tvdbId: object = None
    imdbId: object = None
    status: object = None
    status4k: object = None
    externalServiceId: object = None
    externalServiceId4k: object = None


class _Request(msgspec.Struct, gc=False):
    """A request; it has no title, and no seasons for a film."""

    id: Int32
    type: str
    createdAt: datetime
    media: _Media
    status: object = None
    is4k: bool = False
    seasons: list[_Season] = []
    requestedBy: _User | None = None


class _PageInfo(msgspec.Struct, gc=False):
    results: int


class _Envelope(msgspec.Struct, gc=False):
    pageInfo: _PageInfo
    results: Taken


class _One(msgspec.Struct, gc=False):
    status: object


class _Miss(msgspec.Struct, gc=False):
    """The reply for a missing request; that for an unknown path has `errors` too."""

    message: str
    errors: list[msgspec.Raw] | None = None


class _External(msgspec.Struct, gc=False):
    tvdbId: object = None


class _Detail(msgspec.Struct, gc=False):
    """A film has a title and a release date, a series a name and the date of its first airing."""

    title: str | None = None
    name: str | None = None
    releaseDate: str | None = None
    firstAirDate: str | None = None
    overview: str | None = None
    posterPath: str | None = None
    externalIds: _External | None = None


class _Version(pydantic.BaseModel):
    version: str
    commitTag: str


class _Public(pydantic.BaseModel):
    initialized: bool
    vapidPublic: str = ""


class OpenRequests(NamedTuple):
    """The open requests.

    Attributes:
        requests: distinct, as last seen.
        defects: broken records.
        whole: the lists are complete.
    """

    requests: list[SeerrRequest]
    defects: list[ItemError]
    whole: bool


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a list, with its ETag."""

    found: Found[SeerrRequest]
    total: int
    tag: str


class SeerrClient:
    """One Seerr, with its key in `X-Api-Key`; every method may raise ServiceError."""

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http
        self._pages: dict[tuple[str, int], _Page] = {}

    async def check(self) -> str:
        """What is found there, once the key is proven; the version alone needs none."""
        found = await self.http.get(f"{_API}/status", _Version)
        await self._page("pending", 0)
        return f"version {found.version}"

    async def identity(self) -> str:
        """A stable identity of this Seerr; "" if it has none."""
        public = (await self.http.get(f"{_API}/settings/public", _Public)).vapidPublic
        return hashlib.sha256(public.encode()).hexdigest()[:32] if public else ""

    async def open_requests(self) -> OpenRequests:
        """All requests that are pending, failed or approved."""
        requests: dict[int, SeerrRequest] = {}
        defects: list[ItemError] = []
        whole = True
        for state in _OPEN:
            found, agrees = await self._list(state)
            requests.update((request.id, request) for request in found.values)
            defects += found.defects
            whole = whole and agrees and found.whole
        return OpenRequests(list(requests.values()), defects, whole)

    async def status_of(self, number: int) -> SeerrStatus | None:
        """The status of one request; None if Seerr no longer has it."""
        path = f"{_API}/request/{number}"
        reply = await self.http.read(path, also={HTTPStatus.NOT_FOUND})
        if reply.status != HTTPStatus.NOT_FOUND:
            return _known(SeerrStatus, decoded(self.http, path, reply.body, _One).status)
        try:
            known_path = msgspec.json.decode(reply.body, type=_Miss).errors is None
        except msgspec.DecodeError:
            known_path = False
        if not known_path:
            raise self.http.not_found(path)
        return None

    async def title(self, media_type: MediaType, tmdb: int) -> SeerrTitle:
        """A title's name and texts; a failure of TMDB is an error of Seerr."""
        noun = "movie" if media_type is MediaType.MOVIE else "tv"
        path = f"{_API}/{noun}/{tmdb}"
        return _title(decoded(self.http, path, (await self.http.read(path)).body, _Detail))

    async def _list(self, state: str) -> tuple[Found[SeerrRequest], bool]:
        """A list, and whether its counts agree; read twice if rows move meanwhile."""
        found, agrees = await self._once(state)
        return (found, agrees) if agrees else await self._once(state)

    async def _once(self, state: str) -> tuple[Found[SeerrRequest], bool]:
        """Every page up to the total of the latest one."""
        found: Found[SeerrRequest] = Found()
        first: int | None = None
        for number in range(_MAX_PAGES):
            page = await self._page(state, number * _PAGE)
            found.values.extend(page.found.values)
            found.defects.extend(page.found.defects)
            first = page.total if first is None else first
            if (number + 1) * _PAGE >= page.total:
                lost = sum(defect.lost for defect in found.defects)
                read = len({request.id for request in found.values}) + lost
                return found, read == first == page.total
        return found, False

    async def _page(self, state: str, skip: int) -> _Page:
        path = f"{_API}/request"
        query = {"take": str(_PAGE), "skip": str(skip), "filter": state}
        known = self._pages.get((state, skip))
        tag = {"If-None-Match": known.tag} if known and known.tag else None
        also = {HTTPStatus.NOT_MODIFIED} if tag else set()
        try:
            reply = await self.http.read(path, query, tag, also)
        except RefusedKeyError as error:
            raise await self._refusal(error) from None
        if known and reply.status == HTTPStatus.NOT_MODIFIED:
            return known
        found, total = self._decoded(path, reply.body)
        self._pages[state, skip] = page = _Page(found, total, reply.headers.get("ETag", ""))
        return page

    def _decoded(self, path: str, body: bytes) -> tuple[Found[SeerrRequest], int]:
        reader = RecordReader(_Request, "results")
        with reading(self.http, path):
            rows = reader.feed(body)
            last, envelope = reader.close(_Envelope)
        found = kept(SERVICE, [*rows, *last], _Request, _request, ("is4k", "seasons"))
        return found, envelope.pageInfo.results

    async def _refusal(self, error: RefusedKeyError) -> RefusedKeyError | StartingError:
        """403 is a wrong key, or the right one of a Seerr that nobody has set up yet."""
        public = await self.http.get(f"{_API}/settings/public", _Public)
        if public.initialized:
            return error
        hint = "sign in to it once, and set it up"
        return StartingError(SERVICE, self.http.url, "it is not set up yet", hint=hint)


def _known(kind: type[_Status], number: object) -> _Status:
    """A status by its number, or NOT_UNDERSTOOD."""
    try:
        return kind(number if type(number) is int else 0)
    except ValueError:
        return kind(0)


def _request(row: _Request) -> SeerrRequest:
    media_type, media, created = _TYPES.get(row.type), row.media, moment(row.createdAt)
    ids = Ids(_id(media.tmdbId), _id(media.tvdbId), _imdb(media.imdbId))
    if media_type is None or created is None or not ids.known:
        raise UnusableError("it is of no film and of no series, or of no time")
    seasons = frozenset(one.seasonNumber for one in row.seasons if one.seasonNumber is not None)
    if media_type is MediaType.TV and not seasons:
        raise UnusableError("it is of a series, and of none of its seasons")
    external = media.externalServiceId4k if row.is4k else media.externalServiceId
    return SeerrRequest(
        id=row.id,
        media_type=media_type,
        ids=ids,
        status=_known(SeerrStatus, row.status),
        media=_known(SeerrMedia, media.status4k if row.is4k else media.status),
        created_at=created,
        requested_by=_name(row.requestedBy),
        seasons=seasons,
        is_4k=row.is4k,
        sent=external is not None,
    )


def _id(given: object) -> int | None:
    return given if type(given) is int and 0 < given < 2**31 else None


def _imdb(given: object) -> str | None:
    return given.lower() if isinstance(given, str) and given else None


def _name(user: _User | None) -> str | None:
    """A user's display name; Seerr falls back to the email address, which is dropped."""
    name = user.displayName if user else None
    return (name or "").partition("@")[0].strip() or None


def _title(row: _Detail) -> SeerrTitle:
    date = row.releaseDate or row.firstAirDate or ""
    return SeerrTitle(
        title=row.title or row.name or "",
        year=int(date[:4]) if date[:4].isdecimal() else None,
        overview=row.overview or None,
        poster_url=_POSTERS + row.posterPath if row.posterPath else None,
        tvdb=_id(row.externalIds.tvdbId) if row.externalIds else None,
    )
