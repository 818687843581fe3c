"""The columns of the tracker's requests that are written from a title, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from daemon.domain import Ids, LibraryItem, Value


class Known(Protocol):
    """What is known of a title now; values are computed lazily."""

    @property
    def item(self) -> LibraryItem:
        """The canonical copy."""

    @property
    def full(self) -> LibraryItem:
        """The canonical copy with its long texts."""

    @property
    def ids(self) -> Ids:
        """The ids of all copies."""

    @property
    def radarr_id(self) -> int | None:
        """A film's id in the primary Radarr."""

    @property
    def sonarr_id(self) -> int | None:
        """A series' id in the primary Sonarr."""

    @property
    def poster_url(self) -> str | None:
        """The poster's URL, if there is one."""


class Column(NamedTuple):
    """One column of a new row.

    Attributes:
        fills: it is filled if NULL.
        refreshes: in a managed row it follows Jellyfin.
        long: it is not shown on a title's page.
        optional: older versions of the tracker do not have it.
    """

    name: str
    read: Callable[[Known], Value]
    fills: bool = True
    refreshes: bool = False
    long: bool = False
    optional: bool = False


COLUMNS: Final = (
    Column("title", lambda known: known.item.title, fills=False, refreshes=True),
    Column("year", lambda known: known.item.year, refreshes=True),
    Column("overview", lambda known: known.full.overview, refreshes=True, long=True, optional=True),
    Column("final_path", lambda known: known.full.path, refreshes=True, long=True, optional=True),
    Column("media_type", lambda known: known.item.media_type.value, fills=False),
    Column("tmdb_id", lambda known: known.ids.tmdb),
    Column("tvdb_id", lambda known: known.ids.tvdb),
    Column("imdb_id", lambda known: known.ids.imdb, optional=True),
    Column("jellyfin_id", lambda known: known.item.jellyfin_id),
    Column("radarr_id", lambda known: known.radarr_id),
    Column("sonarr_id", lambda known: known.sonarr_id),
    Column("shoko_series_id", lambda known: known.item.shoko, optional=True),
    Column("poster_url", lambda known: known.poster_url),
)
"""Refreshed columns are in the order of `LibraryItem.metadata_hash`."""

FILLABLE: Final = {column.name: column for column in COLUMNS if column.fills}
REFRESHED: Final = tuple(column for column in COLUMNS if column.refreshes)
