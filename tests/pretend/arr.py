"""Pretend Radarr 6 and Sonarr 4: their lists, streamed as the very text that they send."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from tests.pretend.wire import empty, new_application, reply, template

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tests.pretend.library import RadarrMovie, SonarrSeason, SonarrSeries, Title, World

_JSON = {"Content-Type": "application/json; charset=utf-8", "Vary": "Accept-Encoding"}
_PING = {
    "Cache-Control": "max-age=31536000, public",
    "Last-Modified": "Fri, 20 Nov 2026 08:00:00 GMT",
}
_BATCH = 100
_BYTES_PER_FILE = 1_234_567_890

# A value that is nothing but a hole stands in the template as "=%(name)s": its quotes go.
_BARE_HOLE = re.compile(r'"=(%\(\w+\)s\d*)"')
_ESCAPED = re.compile("[\U00010000-\U0010ffff\u2028\u2029]")


class _Kind(NamedTuple):
    """What tells Radarr from Sonarr.

    Attributes:
        provider: whose id of a title `lookup` asks for.
        title: a record's title.
        text: the text of a record.
    """

    name: str
    noun: str
    lookup: str
    provider: str
    holds: str
    title: Callable[[Any], Title]
    text: Callable[[Any], str]


def application(world: World, instance: str, *, api_key: str) -> web.Application:
    """Make a service that answers like Radarr 6.0.3 or Sonarr 4.0.19.

    Args:
        world: what it answers from.
        instance: the name of its section, e.g. `radarr` or `radarr_4k`.
        api_key: that opens it.
    """
    kind = _KINDS[instance.partition("_")[0]]
    status = template(f"{kind.name}_status")
    headers = {
        "Cache-Control": "no-cache, no-store",
        "Expires": "-1",
        "Pragma": "no-cache",
        "X-Application-Version": status["version"],
    }

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Api-Key", "").strip()
        if request.path.startswith("/api") and given != api_key:
            return empty(401)
        return await handler(request)

    async def ping(request: web.Request) -> web.StreamResponse:
        return await reply(request, [_document({"status": "OK"})], {**_JSON, **_PING})

    async def show_status(request: web.Request) -> web.StreamResponse:
        return await reply(request, [_document(status)], {**_JSON, **headers})

    async def show_list(request: web.Request) -> web.StreamResponse:
        texts = _records(kind, world.known_to(instance), request.query.get(kind.lookup))
        return await reply(request, _array(texts), {**_JSON, **headers})

    async def show_folders(request: web.Request) -> web.StreamResponse:
        return await reply(request, [_document(_roots(kind, world))], {**_JSON, **headers})

    async def show_one(request: web.Request) -> web.StreamResponse:
        one = world.known_to(instance).get(int(request.match_info["number"]))
        return await _shown(request, kind.text(one) if one else None, {**_JSON, **headers})

    made = new_application(guard, headers)
    made.router.add_get("/ping", ping, allow_head=False)
    made.router.add_get("/api/v3/system/status", show_status, allow_head=False)
    made.router.add_get("/api/v3/rootfolder", show_folders, allow_head=False)
    made.router.add_get(f"/api/v3/{kind.noun}", show_list, allow_head=False)
    made.router.add_get(f"/api/v3/{kind.noun}/{{number:\\d+}}", show_one, allow_head=False)
    return made


def _records(kind: _Kind, known: dict[int, Any], wanted: str | None) -> Iterator[str]:
    """The text of all records, or of those with the id that is looked up."""
    for one in tuple(known.values()):
        if wanted in (None, kind.title(one).provider_ids[kind.provider]):
            yield kind.text(one)


async def _shown(
    request: web.Request, text: str | None, headers: dict[str, str]
) -> web.StreamResponse:
    if text is None:
        missing = {"title": "Not Found", "status": 404}
        return await reply(request, [_document(missing)], headers, 404)
    return await reply(request, [textwrap.dedent(text).encode()], headers)


def _roots(kind: _Kind, world: World) -> list[dict[str, object]]:
    """The root folders; of one that cannot be reached no room is told."""
    mine = [at for at in world.folders.values() if at.collection_type == kind.holds]
    room = {"freeSpace": 77_106_839_552, "unmappedFolders": []}
    return [
        {"path": at.path, "accessible": False, "id": number}
        if at.name in world.offline
        else {"path": at.path, "accessible": True, **room, "id": number}
        for number, at in enumerate(mine, 1)
    ]


def _document(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def _array(records: Iterator[str]) -> Iterator[bytes]:
    joint = "[\n"
    while batch := list(islice(records, _BATCH)):
        yield (joint + ",\n".join(batch)).encode()
        joint = ",\n"
    yield b"[]" if joint == "[\n" else b"\n]"


def _movie(known: RadarrMovie) -> str:
    files = int(known.has_file)
    return _form("radarr_movie", _absent(known.movie, movieFile=known.has_file), indent=2) % {
        **_common(known.id, known.movie),
        "path": _text(known.movie.path.rpartition("/")[0]),
        "has_file": _flag(known.has_file),
        "file_id": (known.id + 100) * files,
        "files": files,
        "size": _BYTES_PER_FILE * files,
        "groups": _groups(files, indent=6),
    }


def _series(known: SonarrSeries) -> str:
    seasons = ",\n".join(map(_season, known.seasons))
    text = _form("sonarr_series", _absent(known.series, statistics=bool(seasons)), indent=2) % {
        **_common(known.id, known.series),
        **_statistics(known.seasons, indent=6),
        "path": _text(known.series.path),
        "tvdb": known.series.provider_ids["Tvdb"],
        "seasons": f"[\n{seasons}\n    ]" if seasons else "[]",
        "seasons_counted": sum(season.number > 0 for season in known.seasons),
    }
    anime = known.series.library == "Anime"
    return text.replace('"seriesType": "standard"', '"seriesType": "anime"') if anime else text


def _season(season: SonarrSeason) -> str:
    return _form("sonarr_season", frozenset(), indent=6) % {
        **_statistics([season], indent=10),
        "number": season.number,
        "monitored": _flag(season.monitored),
    }


def _statistics(seasons: Sequence[SonarrSeason], *, indent: int) -> dict[str, object]:
    files = sum(season.files for season in seasons)
    aired = sum(season.aired for season in seasons)
    percent = 100 * files / aired if aired else 0
    return {
        "files": files,
        "aired": aired,
        "total": sum(season.total for season in seasons),
        "size": _BYTES_PER_FILE * files,
        "groups": _groups(files, indent=indent),
        "percent": int(percent) if percent == int(percent) else percent,
    }


def _common(number: int, title: Title) -> dict[str, object]:
    return {
        "id": number,
        "title": _text(title.title),
        "sort_title": _text(title.title.lower()),
        "slug": "".join(filter(str.isalnum, title.title.lower())),
        "year": title.year or 0,
        "imdb": title.provider_ids.get("Imdb"),
        "tmdb": title.provider_ids.get("Tmdb", 0),
        "overview": _text(title.overview),
        "root": f"/media/{title.library.lower()}",
    }


def _absent(title: Title, **optional: bool) -> frozenset[str]:
    present = {"imdbId": "Imdb" in title.provider_ids, **optional}
    return frozenset(key for key, there in present.items() if not there)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _groups(files: int, *, indent: int) -> str:
    pad = " " * indent
    return f'[\n{pad}  "PD"\n{pad}]' if files else "[]"


def _text(value: str) -> str:
    """Escape a text as they do: like JSON, non-ASCII raw, but surrogate pairs beyond the BMP."""
    quoted = json.dumps(value, ensure_ascii=False)[1:-1]
    return quoted if quoted.isascii() else _ESCAPED.sub(_escape, quoted)


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1].upper().replace("\\U", "\\u")


@cache
def _form(name: str, absent: frozenset[str], *, indent: int) -> str:
    """Write a reply's template once, with holes to be filled by the % operator."""
    record = {key: value for key, value in template(name).items() if key not in absent}
    text = _BARE_HOLE.sub(r"\1", json.dumps(record, indent=2, ensure_ascii=False))
    return textwrap.indent(text, " " * indent)


_KINDS = {
    "radarr": _Kind("radarr", "movie", "tmdbId", "Tmdb", "movies", attrgetter("movie"), _movie),
    "sonarr": _Kind("sonarr", "series", "tvdbId", "Tvdb", "tvshows", attrgetter("series"), _series),
}
