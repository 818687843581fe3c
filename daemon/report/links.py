"""Links to a title at the providers of its ids and in the services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from daemon.domain import MediaType, Value

_PROVIDERS: Final = {
    ("tmdb_id", MediaType.MOVIE): "https://www.themoviedb.org/movie/",
    ("tmdb_id", MediaType.TV): "https://www.themoviedb.org/tv/",
    ("tvdb_id", MediaType.MOVIE): "https://www.thetvdb.com/dereferrer/movie/",
    ("tvdb_id", MediaType.TV): "https://www.thetvdb.com/dereferrer/series/",
    ("imdb_id", MediaType.MOVIE): "https://www.imdb.com/title/",
    ("imdb_id", MediaType.TV): "https://www.imdb.com/title/",
}
_SEERR: Final = {MediaType.MOVIE: "/movie/", MediaType.TV: "/tv/"}


def of_id(column: str, value: Value, media_type: Value) -> str | None:
    """The page of a provider for an id; None for ids that no provider has."""
    page = _PROVIDERS.get((column, MediaType(str(media_type))))
    return None if page is None or value in {None, ""} else page + quote(str(value), safe="")


def in_jellyfin(public_url: str, item: Value) -> str | None:
    """The item's page in Jellyfin."""
    return f"{public_url}/web/#/details?id={quote(str(item), safe='')}" if item else None


def in_seerr(public_url: str | None, tracked: Mapping[str, Value]) -> str | None:
    """The title's page in Seerr, which goes by TMDB's number alone."""
    tmdb = tracked.get("tmdb_id")
    if not public_url or tmdb is None:
        return None
    return f"{public_url}{_SEERR[MediaType(str(tracked['media_type']))]}{tmdb}"
