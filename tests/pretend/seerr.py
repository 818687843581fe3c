"""A pretend Seerr 3.1: its lists of requests, single ones, and what titles are called."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.pretend.library import Movie
from tests.pretend.pipeline import APPROVED, FAILED, PENDING, Pipeline, Wish
from tests.pretend.wire import new_application, template

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_LISTS = {"pending": {PENDING}, "approved": {APPROVED}, "failed": {FAILED}, "all": set(range(1, 6))}
_OPEN_TO_ALL = {"/api/v1/status", "/api/v1/settings/public"}
_NO_ERRORS: dict[str, dict[str, list[object]]] = {"serviceErrors": {"radarr": [], "sonarr": []}}
_REFUSED = {"status": 403, "error": "You do not have permission to access this endpoint"}


def application(pipeline: Pipeline, *, api_key: str) -> web.Application:
    """Make a service that answers like Seerr 3.1.0."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return web.Response(status=307, headers={"Location": "/login"})
        if request.path in _OPEN_TO_ALL or request.headers.get("X-Api-Key") == api_key:
            return await handler(request)
        return _answer(request, _REFUSED, 403)

    seerr = _Seerr(pipeline)
    made = new_application(guard, {})
    made.router.add_get("/api/v1/status", _constant("seerr_status"))
    made.router.add_get("/api/v1/settings/public", _constant("seerr_public"))
    made.router.add_get("/api/v1/request", seerr.show_list)
    made.router.add_get("/api/v1/request/{number}", seerr.show_one)
    made.router.add_get("/api/v1/{kind:movie|tv}/{number}", seerr.show_title)
    return made


class _Seerr:
    """What it answers."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._wishes = pipeline.wishes

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        """A page of a list, the newest first."""
        wanted = _LISTS.get(request.query.get("filter", "all"))
        if wanted is None:
            return _answer(request, {"message": "should be equal to one of them"}, 400)
        take, skip = (int(request.query.get(name, at)) for name, at in (("take", 10), ("skip", 0)))
        newest = sorted(self._wishes.values(), key=lambda wish: -wish.number)
        found = [wish for wish in newest if wish.status in wanted]
        pages = -(-len(found) // take)
        info = {"pages": pages, "pageSize": take, "results": len(found), "page": skip // take + 1}
        results = [_request(wish) for wish in found[skip : skip + take]]
        return _answer(request, {"pageInfo": info, "results": results, **_NO_ERRORS})

    async def show_one(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        number = request.match_info["number"]
        wish = self._wishes.get(int(number)) if number.isdecimal() else None
        if wish is None:
            return _answer(request, {"message": "Request not found."}, 404)
        return _answer(request, _request(wish))

    async def show_title(self, request: web.Request) -> web.StreamResponse:
        """A film or a series that somebody has asked for."""
        for wish in self._wishes.values():
            if wish.title.provider_ids.get("Tmdb") == request.match_info["number"]:
                return _answer(request, _title(wish))
        return _answer(request, {"message": "Unable to retrieve movie."}, 500)


def _constant(name: str) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        return _answer(request, template(name))

    return show


def _answer(request: web.Request, document: object, status: int = 200) -> web.Response:
    """JSON with its tag; only the tag where the client has it already."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    tag = f'W/"{len(body):x}-{hashlib.sha1(body, usedforsecurity=False).hexdigest()[:27]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    headers = {"ETag": tag, "Content-Type": "application/json; charset=utf-8"}
    return web.Response(status=status, body=body, headers=headers)


def _time(wish: Wish) -> dict[str, str]:
    text = wish.created_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"createdAt": text, "updatedAt": text}


def _request(wish: Wish) -> dict[str, Any]:
    shape = template("seerr_request")
    four = "4k" if wish.is_4k else ""
    ids = wish.title.provider_ids
    media = {
        **shape["media"],
        "id": wish.number,
        "mediaType": "movie" if isinstance(wish.title, Movie) else "tv",
        "tmdbId": int(ids["Tmdb"]),
        "tvdbId": int(ids["Tvdb"]) if "Tvdb" in ids else None,
        f"status{four}": wish.media,
        f"serviceId{four}": None if wish.sent is None else 0,
        f"externalServiceId{four}": wish.sent,
        **_time(wish),
    }
    names = {"username": wish.requested_by, "displayName": wish.requested_by}
    seasons = [
        {
            **template("seerr_season"),
            "id": wish.number * 100 + number,
            "seasonNumber": number,
            "status": wish.status,
            **_time(wish),
        }
        for number in wish.seasons
    ]
    return {
        **shape,
        "id": wish.number,
        "status": wish.status,
        "type": media["mediaType"],
        "is4k": wish.is_4k,
        "media": media,
        "seasons": seasons,
        "seasonCount": len(seasons),
        "requestedBy": {**shape["requestedBy"], **names},
        **_time(wish),
    }


def _title(wish: Wish) -> dict[str, Any]:
    film, ids = isinstance(wish.title, Movie), wish.title.provider_ids
    external = {"imdbId": ids.get("Imdb")}
    names = {
        ("title" if film else "name"): wish.title.title,
        ("releaseDate" if film else "firstAirDate"): f"{wish.title.year}-06-01",
        "overview": wish.title.overview,
        "id": int(ids["Tmdb"]),
        "externalIds": external if film else {**external, "tvdbId": int(ids["Tvdb"])},
    }
    return {**template("seerr_movie" if film else "seerr_tv"), **names}
