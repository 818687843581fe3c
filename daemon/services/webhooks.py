"""Parses webhook bodies, without I/O; a webhook is a reason to look, never a fact."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

import msgspec

from daemon.domain import Ids, MediaType
from daemon.identity import imdb_id, jellyfin_id

_LIBRARY: Final = frozenset({"ItemAdded", "ItemDeleted"})
_COMING: Final = frozenset({"Download", "MovieAdded", "SeriesAdd", "Rename"})
_REPLACING: Final = frozenset({"MovieFileDelete", "EpisodeFileDelete"})
_MOVING: Final = frozenset(
    {
        *("Grab", "Download", "ManualInteractionRequired", "MovieAdded", "SeriesAdd"),
        *("MovieDelete", "SeriesDelete", *_REPLACING),
    }
)
_OF_A_SERIES: Final = frozenset({"Season", "Episode"})
"""With a deleted series come hooks of its seasons that do not name it (seen on 12.0-rc5)."""
_ALL: Final = "switch on “Send All Properties” in the plugin"
_CONNECT: Final = "this address is for the webhooks of Radarr and Sonarr"
_T = TypeVar("_T")


class HookError(ValueError):
    """The body is not such a webhook's; the text says what is wrong and what to do."""


class LibraryEvent(NamedTuple):
    """A webhook about the library.

    Attributes:
        kind: the sender's event type, e.g. "ItemAdded".
        ids: Jellyfin ids to look at.
        server: id of the sending Jellyfin server; "" if unknown.
    """

    kind: str
    ids: frozenset[str]
    server: str


class ImportEvent(NamedTuple):
    """A title imported by Radarr or Sonarr, which Jellyfin will have soon.

    Attributes:
        instance: the name of a further instance; "" for the primary one.
    """

    kind: str
    media_type: MediaType
    ids: Ids
    instance: str = ""


class ArrEvent(NamedTuple):
    """A webhook of Radarr or Sonarr.

    Attributes:
        kind: the sender's event type, e.g. "Grab".
        media_type: of the title; None if it names none.
        upgrade: a file was deleted for an upgrade.
    """

    kind: str
    media_type: MediaType | None = None
    ids: Ids = Ids()
    upgrade: bool = False

    @property
    def moves(self) -> bool:
        """Whether a title on its way may have moved."""
        return self.kind in _MOVING

    @property
    def coming(self) -> ImportEvent | None:
        """The import that Jellyfin will have soon; None if there is none."""
        if self.kind not in _COMING or self.media_type is None or not self.ids.known:
            return None
        return ImportEvent(self.kind, self.media_type, self.ids)


class _Jellyfin(msgspec.Struct, gc=False):
    NotificationType: str = ""
    ItemType: str = ""
    ItemId: str = ""
    SeriesId: str = ""
    ServerId: str = ""


class _Title(msgspec.Struct, gc=False):
    """A title's ids; a malformed one is ignored."""

    tmdbId: object = None
    tvdbId: object = None
    imdbId: object = None


class _Arr(msgspec.Struct, gc=False):
    eventType: str = ""
    deleteReason: object = None
    movie: _Title | None = None
    series: _Title | None = None


def jellyfin_note(body: bytes) -> LibraryEvent | None:
    """Parse a webhook of Jellyfin's plugin; None if it is not about the library.

    An episode's provider ids are its own, not its series', so none are taken. Ids come with and
    without dashes, and malformed ids are dropped: they would make Jellyfin list everything.

    Raises:
        HookError: the body is something else.
    """
    hook = _decoded(body, _Jellyfin, _ALL)
    if not hook.NotificationType:
        raise HookError(f"NotificationType is missing; {_ALL}")
    if hook.NotificationType not in _LIBRARY:
        return None
    given = (hook.SeriesId,) if hook.ItemType == "Season" else (hook.ItemId, hook.SeriesId)
    ids = frozenset(found for text in given if (found := jellyfin_id(text)) is not None)
    if not ids and hook.ItemType not in _OF_A_SERIES:
        raise HookError(f"ItemId is missing or no id; {_ALL}")
    return LibraryEvent(hook.NotificationType, ids, jellyfin_id(hook.ServerId) or "")


def arr_note(body: bytes) -> ArrEvent:
    """Parse a webhook of Radarr's or Sonarr's Connect; a test carries plausible ids.

    Raises:
        HookError: the body is something else.
    """
    hook = _decoded(body, _Arr, _CONNECT)
    if not hook.eventType:
        raise HookError(f"eventType is missing; {_CONNECT}")
    if (title := hook.movie or hook.series) is None:
        return ArrEvent(hook.eventType)
    media_type = MediaType.MOVIE if hook.movie else MediaType.TV
    ids = Ids(_number(title.tmdbId), _number(title.tvdbId), imdb_id(str(title.imdbId)))
    upgrade = hook.eventType in _REPLACING and hook.deleteReason == "upgrade"
    return ArrEvent(hook.eventType, media_type, ids, upgrade)


def _number(given: object) -> int | None:
    """A positive 32-bit id; larger ones would not fit a column."""
    return given if type(given) is int and 0 < given < 2**31 else None


def _decoded(body: bytes, shape: type[_T], advice: str) -> _T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise HookError(f"unexpected JSON: {error}; {advice}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise HookError(f"the body is no JSON; {advice}") from None
