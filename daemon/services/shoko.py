"""Shoko: the state of imported files, and what blocks it.

Until it has started, it answers 503 to any request with a key; a 401 is always
about the key (seen on 5.3 and 6.0).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import msgspec
import pydantic

from daemon.errors import (
    BrokenServiceError,
    NotJsonError,
    RejectedError,
    ServiceError,
    StartingError,
    WrongServiceError,
)
from daemon.pipeline import ShokoMatch, ShokoReport
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.listing import Found, listed

SERVICE: Final = "Shoko"
PATIENCE: Final = RetryPolicy(attempts=2, reply=15.0, listing=15.0, silence=15.0)

_API: Final = "/api/v3"
_OLDEST: Final = 5
_OFFLINE: Final = {"NoInterfaces", "NoGateways", "LocalOnly", "PartialInternet"}
_WAITING: Final = {ShokoMatch.UNRECOGNIZED, ShokoMatch.FETCHING}
_SEPARATORS: Final = re.compile(r"[/\\]+")


class _Status(pydantic.BaseModel):
    State: str
    StartupMessage: str | None = None


class _Server(pydantic.BaseModel):
    Version: str


class _Version(pydantic.BaseModel):
    Server: _Server


class _User(pydantic.BaseModel):
    ID: int


class _Connectivity(pydantic.BaseModel):
    NetworkAvailability: str = ""
    IsAniDBUdpBanned: bool = False
    IsAniDBHttpBanned: bool = False


class _Ids(msgspec.Struct, gc=False):
    ID: int | None = None


class _Series(msgspec.Struct, gc=False):
    SeriesID: _Ids


class _File(msgspec.Struct, gc=False):
    """A file; `SeriesIDs` is absent unless requested."""

    ID: int
    SeriesIDs: list[_Series] | None = None
    IsIgnored: bool = False


class ShokoClient:
    """One Shoko, with its key in `apikey`; every method may raise ServiceError."""

    def __init__(self, http: ServiceHttp) -> None:
        self.http = http

    async def check(self) -> str:
        """What is found there, once the key is proven; a user without rights has a good one."""
        if (error := await self._not_started()) is not None:
            raise error
        path = f"{_API}/Init/Version"
        version = (await self.http.get(path, _Version)).Server.Version
        major = version.partition(".")[0]
        if not major.isdecimal() or int(major) < _OLDEST:
            detail = f"version {version} is older than {_OLDEST}"
            raise WrongServiceError(SERVICE, self.http.url + path, detail, hint="update it")
        await self.http.get(f"{_API}/User/Current", _User)
        return f"version {version}"

    async def report(self, paths: Iterable[str]) -> ShokoReport:
        """The state of files, by the paths that Radarr and Sonarr report.

        A path that fails is left out; if all fail, the error is raised. What
        blocks it is asked only if a file is waiting.
        """
        files: dict[str, ShokoMatch] = {}
        failure: ServiceError | None = None
        for path in paths:
            try:
                files[path] = await self._match(path)
            except StartingError as error:
                raise await self._not_started() or error from None
            except (RejectedError, BrokenServiceError, NotJsonError) as error:
                failure = error
        if failure is not None and not files:
            raise failure
        waits = not _WAITING.isdisjoint(files.values())
        return ShokoReport(files=files, blocked=await self._blocked() if waits else "")

    async def _match(self, path: str) -> ShokoMatch:
        end = _end(path)
        hits = await self._hits(end)
        other = unicodedata.normalize("NFD", end)
        if other == end:
            other = unicodedata.normalize("NFC", end)
        if not hits.values and hits.whole and other != end:
            hits = await self._hits(other)
        return _judged(hits)

    async def _hits(self, end: str) -> Found[_File]:
        """The files whose path has this suffix; versions 5 and 6 name series ids differently."""
        query = {"path": end, "includeXRefs": "true", "include": "XRefs", "limit": "2"}
        path = f"{_API}/File/PathEndsWith"
        return await listed(self.http, path, query, _File, lambda file: file, ("SeriesIDs",))

    async def _blocked(self) -> str:
        """Why it cannot ask AniDB now, in plain words; "" if it can, or unknown."""
        try:
            found = await self.http.get(f"{_API}/Init/Connectivity", _Connectivity)
        except ServiceError:
            return ""
        if found.IsAniDBUdpBanned or found.IsAniDBHttpBanned:
            return "AniDB has banned Shoko for some hours"
        if found.NetworkAvailability in _OFFLINE:
            return "Shoko does not reach the internet"
        return ""

    async def _not_started(self) -> ServiceError | None:
        """Why it has not started, known without a key; None if it has."""
        status = await self.http.get(f"{_API}/Init/Status", _Status)
        said = f": {status.StartupMessage}" if status.StartupMessage else ""
        match status.State:
            case "Started":
                return None
            case "Failed":
                hint = "see its log; it needs attention"
                return BrokenServiceError(
                    SERVICE, self.http.url, f"it failed to start{said}", hint=hint
                )
            case "Waiting":
                hint = "open its page in a browser, and set it up"
                return StartingError(SERVICE, self.http.url, "it is not set up yet", hint=hint)
            case _:
                return StartingError(SERVICE, self.http.url, f"it is starting{said}")


def _end(path: str) -> str:
    """The folder and the file name with leading slash: a bare suffix matches other files."""
    return "/" + "/".join(_SEPARATORS.split(path)[-2:]).lstrip("/")


def _judged(hits: Found[_File]) -> ShokoMatch:
    if not hits.whole or len({file.ID for file in hits.values}) > 1:
        return ShokoMatch.UNKNOWN
    if not hits.values:
        return ShokoMatch.UNSEEN
    file = hits.values[0]
    if file.SeriesIDs is None or file.IsIgnored:
        return ShokoMatch.UNKNOWN
    if not file.SeriesIDs:
        return ShokoMatch.UNRECOGNIZED
    known = any(one.SeriesID.ID for one in file.SeriesIDs)
    return ShokoMatch.MATCHED if known else ShokoMatch.FETCHING
