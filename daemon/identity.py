"""Comparing ids and paths: one function per kind. Pure."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from daemon.domain import Ids, MediaType

_JELLYFIN_ID: Final = re.compile("[0-9a-f]{32}")
_IMDB: Final = re.compile("tt[0-9]{5,12}")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_MAX_DIGITS: Final = 18
"""Any number with this many digits fits a 64-bit column."""


def jellyfin_id(text: object) -> str | None:
    """A Jellyfin id in canonical form: 32 lower-case hex digits; None if malformed.

    The API uses that form, webhook templates have dashes (seen on 10.11.11).
    """
    if not isinstance(text, str):
        return None
    if _JELLYFIN_ID.fullmatch(text):
        return text
    text = text.replace("-", "").lower()
    return text if _JELLYFIN_ID.fullmatch(text) else None


# --- places ------------------------------------------------------------------------------------


def place(path: str) -> tuple[str, ...]:
    r"""A path as comparable parts: `/media/tv/` equals `/media/tv`, and `D:\TV` equals `d:\tv`.

    Case matters, except in Windows paths: those with a drive letter or of a network share.
    """
    share = path.startswith(("\\\\", "//"))
    windows = share or _DRIVE.match(path) is not None
    text = path.replace("\\", "/").casefold() if windows else path
    parts = (part for part in text.split("/") if part not in {"", "."})
    root = "//" if share else "/" if text.startswith("/") else ""
    return (root, *parts)


def file_name(path: str) -> str:
    """The file name of a path of any system; "" if there is none."""
    path = path.rstrip("/\\")
    return path[max(path.rfind("/"), path.rfind("\\")) + 1 :]


class Places:
    """Finds the library location that contains a path.

    Args:
        locations: as Jellyfin writes them; empty ones are ignored.
    """

    def __init__(self, locations: Iterable[str]) -> None:
        known = {place(text): text for text in locations if text.strip()}
        # The longest first, so that of nested locations the inner one is found.
        self._known = sorted(known.items(), key=lambda one: -len(one[0]))
        self._prefixes = [("/".join(("", *parts[1:], "")), text) for parts, text in self._known]
        self._windows = any(parts[0] != "/" for parts, _ in self._known)

    def find(self, path: str | None) -> str | None:
        """The location that contains a path; None if none does."""
        if not path:
            return None
        if not self._windows and "//" not in path and "/./" not in path:
            inside = path if path.endswith("/") else f"{path}/"
            for prefix, text in self._prefixes:
                if inside.startswith(prefix):
                    return text
            return None
        parts = place(path)
        return next((text for known, text in self._known if parts[: len(known)] == known), None)


# --- ids of the providers ----------------------------------------------------------------------


class Parsed(NamedTuple):
    """A title's parsed provider ids.

    Attributes:
        unusable: providers with a malformed id.
        contradicting: providers with two different ids.
    """

    ids: Ids
    unusable: tuple[str, ...] = ()
    contradicting: tuple[str, ...] = ()


def number_id(text: str) -> int | None:
    """An id of TMDB or TVDB; None if malformed or too large for a column."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        return None
    return int(text) or None


def imdb_id(text: str) -> str | None:
    """An IMDb id in lower case; None if malformed."""
    text = text.strip().lower()
    return text if _IMDB.fullmatch(text) else None


_PARSERS: Final[dict[str, tuple[int, Callable[[str], int | str | None]]]] = {
    "tmdb": (0, number_id),
    "themoviedb": (0, number_id),
    "tvdb": (1, number_id),
    "thetvdb": (1, number_id),
    "imdb": (2, imdb_id),
}
"""By a provider's name in lower case. Shokofin writes `TheMovieDb` and `TheTVDB`."""

_KNOWN: Final = {name: _PARSERS[name.lower()] for name in ("Tmdb", "Tvdb", "Imdb")}
"""The same by the names that Jellyfin itself writes."""


def provider_ids(given: Mapping[str, object]) -> Parsed:
    """The usable ids of a title; malformed values are ignored.

    Names are case-insensitive. Values come unvalidated from file names and .nfo files: padded,
    empty, not a number, or too large for a column (all seen on Jellyfin 10.11).
    """
    found: list[int | str | None] = [None, None, None]
    unusable: list[str] = []
    contradicting: list[str] = []
    for name, value in given.items():
        if (known := _KNOWN.get(name) or _PARSERS.get(name.lower())) is None or value == "":
            continue
        position, parse = known
        parsed = parse(value) if isinstance(value, str) else None
        if parsed is None:
            unusable.append(name)
        elif found[position] is None or found[position] == parsed:
            found[position] = parsed
        else:
            contradicting.append(name)
    return Parsed(Ids(*found), tuple(unusable), tuple(contradicting))  # type: ignore[arg-type]


def shoko_series(given: Mapping[str, object]) -> int | None:
    """Shoko's id of a title, written by Shokofin; not used to identify titles.

    For a series that combines several of Shoko's, it is the main one.
    """
    told = [value for name, value in given.items() if name.lower() == "shoko series"]
    found = {number_id(value) for value in told if isinstance(value, str)} if told else ()
    return next(iter(found)) if len(found) == 1 else None


_MOVIE_ORDER: Final = (0, 1, 2)
_OWN_KEY: Final = {MediaType.MOVIE: 0, MediaType.TV: 1}
"""The provider whose ids are the primary key of Radarr (TMDB) and Sonarr (TVDB)."""


def same(media_type: MediaType, some: Ids, others: Ids) -> bool | None:
    """Whether two sets of ids are one title, by the strongest provider known to both.

    For a series TMDB and TVDB are equally strong, since TMDB counts some series as seasons of
    another one: either that differs keeps two titles apart.

    Returns:
        None if no provider is known to both.
    """
    if media_type is MediaType.TV:
        strong = [_equal(some[at], others[at]) for at in (0, 1)]
        if False in strong:
            return False
        return True if True in strong else _equal(some[2], others[2])
    verdicts = (_equal(some[at], others[at]) for at in _MOVIE_ORDER)
    return next((one for one in verdicts if one is not None), None)


def _equal(one: int | str | None, other: int | str | None) -> bool | None:
    return None if one is None or other is None else one == other


def merged(ids: Ids, others: Ids) -> Ids:
    """The first ids, completed by the others; the same object if nothing is added."""
    if ids == others:
        return ids
    whole = Ids(*(a if a is not None else b for a, b in zip(ids, others, strict=True)))  # type: ignore[arg-type]
    return ids if whole == ids else whole


# --- the ids that an instance of Radarr or Sonarr keeps its titles under -------------------------

_HALF, _LOW = 32, 2**32 - 1
_MAX: Final = 2**31 - 1
"""Two 31-bit numbers are packed into one 64-bit number."""


class _Pairs:
    """A multimap of 31-bit numbers, in a tenth of a dictionary's memory."""

    __slots__ = ("_pairs", "_sorted")

    def __init__(self, pairs: Iterable[int] = ()) -> None:
        self._pairs = array("q", pairs)
        self._sorted = False

    def add(self, key: int, value: int) -> None:
        self._pairs.append(key << _HALF | value)
        self._sorted = False

    def turned(self) -> _Pairs:
        """The same with each value as the key."""
        return _Pairs((one & _LOW) << _HALF | one >> _HALF for one in self._pairs)

    def has(self, key: int, value: int) -> bool:
        """Whether there is this very pair."""
        at = self._find(one := key << _HALF | value)
        return 0 < value <= _MAX and at < len(self._pairs) and self._pairs[at] == one

    def get(self, key: int) -> list[int]:
        """All values of a key."""
        found: list[int] = []
        at = self._find(key << _HALF)
        while at < len(self._pairs) and self._pairs[at] >> _HALF == key:
            found.append(self._pairs[at] & _LOW)
            at += 1
        return found

    def _find(self, one: int) -> int:
        if not self._sorted:
            self._pairs, self._sorted = array("q", sorted(self._pairs)), True
        return bisect_left(self._pairs, one)


class Catalogue:
    """The titles of one Radarr or Sonarr: its own id and the provider ids of each.

    Filled with `add` before the first query.

    Args:
        media_type: films for a Radarr, series for a Sonarr.
    """

    __slots__ = ("_by_id", "_by_number", "_nameless", "media_type", "size")

    def __init__(self, media_type: MediaType) -> None:
        self.media_type = media_type
        self.size = 0
        self._by_id = (_Pairs(), _Pairs(), _Pairs())
        self._by_number: dict[int, _Pairs] = {}  # made when it is asked for
        self._nameless: set[int] = set()

    def add(self, number: int, ids: Ids) -> None:
        """Add a title; ids over 31 bits are left out."""
        if not _fits(number):
            return
        self.size += 1
        named = False
        for by_id, value in zip(self._by_id, ids, strict=True):
            key = value if isinstance(value, int) else _digits(value)
            if 0 < key <= _MAX:
                by_id.add(key, number)
                named = True
        if not named:
            self._nameless.add(number)

    def find(self, ids: Ids) -> int | None:
        """The id of a title; None if it is absent or ambiguous."""
        found = self._candidates(ids)
        return found[0] if len(found) == 1 else None

    def is_ambiguous(self, ids: Ids) -> bool:
        """Whether several titles match."""
        return len(self._candidates(ids)) > 1

    def _candidates(self, ids: Ids) -> list[int]:
        """Matches by the primary key, else by the first other id with any match.

        A match by another id must not have a different primary key.
        """
        own = _OWN_KEY[self.media_type]
        if found := self._numbers(own, ids[own]):
            return found
        for at in (0, 1, 2):
            known = self._numbers(at, ids[at]) if at != own else []
            if found := [n for n in known if ids[own] is None or self._key(n, own) is None]:
                return found
        return []

    def holds(self, number: int, ids: Ids) -> bool | None:
        """Whether an id is a title's.

        Returns:
            False if the id is unknown or another title's, by the primary key or all common ids;
            None if that cannot be decided.
        """
        own = _OWN_KEY[self.media_type]
        if self._by_id[own].has(_digits(ids[own]), number):
            return True
        if not self._has(number):
            return False
        if ids[own] is not None and self._key(number, own) is not None:
            return False
        pairs = ((self._key(number, at), ids[at]) for at in (0, 1, 2))
        equal = [key == _digits(value) for key, value in pairs if None not in {key, value}]
        return any(equal) if equal else None

    def names_another(self, number: int, ids: Ids) -> bool:
        """Whether an id certainly belongs to another title."""
        return self._has(number) and self.holds(number, ids) is False

    def _has(self, number: int) -> bool:
        return number in self._nameless or any(self._keys(number, at) for at in (0, 1, 2))

    def _numbers(self, at: int, value: int | str | None) -> list[int]:
        return [] if value is None else self._by_id[at].get(_digits(value))

    def _key(self, number: int, at: int) -> int | None:
        return next(iter(self._keys(number, at)), None)

    def _keys(self, number: int, at: int) -> list[int]:
        if at not in self._by_number:
            self._by_number[at] = self._by_id[at].turned()
        return self._by_number[at].get(number)


def _digits(value: int | str | None) -> int:
    """An id as a number; of an IMDb id, its digits."""
    if isinstance(value, str):
        digits = value.removeprefix("tt")
        return int(digits) if digits.isascii() and digits.isdigit() else -1
    return -1 if value is None else value


def _fits(number: int) -> bool:
    return 0 < number <= _MAX
