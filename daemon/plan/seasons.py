"""Whether a series has all that was requested of it. Pure.

Episodes are sets of `(season, number)` over all copies, never rows: a second file of
an episode is not a second episode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from daemon.snapshot import Episode, Episodes

_SPECIALS: Final = 0
_GAPLESS: Final = (
    "no service counts its episodes; they are complete without gaps from the first one"
)


class Completeness(NamedTuple):
    """Whether all that was requested is present; the text says what is missing, or the basis.

    Attributes:
        whole: None where it is unknown.
    """

    whole: bool | None
    text: str = ""


_UNREAD: Final = Completeness(None, "Jellyfin has not read all of its files yet")


@dataclass(slots=True)
class _Season:
    """The distinct numbers of one season, or air dates if they have no numbers.

    Attributes:
        available: playable ones.
        known: all that Jellyfin knows, missing ones included.
        dated: they are identified by air date.
    """

    available: set[int | str] = field(default_factory=set)
    known: set[int | str] = field(default_factory=set)
    dated: bool = False


def completeness(
    requested: frozenset[int],
    copies: Iterable[Episodes],
    counts: Mapping[int, int] | None,
    at_least: int | None = None,
) -> Completeness:
    """Whether every requested season is complete.

    Args:
        requested: season numbers; empty for all but specials, unless there is nothing else.
        copies: the episodes of each copy of the series.
        counts: the number of all episodes per season, from Sonarr; None if no
            Sonarr knows the series, so that Jellyfin's knowledge is used.
        at_least: how many episodes the tracker counts for the request; None if unknown.
    """
    copies = list(copies)
    unread = any(not row.is_read for copy in copies for row in copy.rows)
    highest = dict.fromkeys(requested, at_least or 0) if len(requested) == 1 else {}
    seasons = _seasons(copies, counts, highest)
    listed = seasons if counts is None else {number for number, n in counts.items() if n}
    wanted = requested or _all_of(listed)
    if not wanted:
        return Completeness(whole=False, text="no episode of the requested seasons")
    one = at_least if len(wanted) == 1 else None
    if counts is not None:
        verdict = _by_counts(sorted(wanted), seasons, counts, one or 0)
        return _UNREAD if unread and not verdict.whole else verdict
    if unread:
        return _UNREAD
    if any(copy.partial for copy in copies):
        return Completeness(None, "not all of its episodes could be read in this run")
    if not requested and (missing := _missing_seasons(seasons)):
        text = f"no service counts its seasons, and season {missing[0]} is not there"
        return Completeness(whole=False, text=text)
    return _by_what_is_known(sorted(wanted), seasons, one or 0)


def _all_of(seasons: Iterable[int]) -> frozenset[int]:
    """All seasons except specials, unless there is nothing else."""
    every = frozenset(seasons)
    return every - {_SPECIALS} or every


def _missing_seasons(seasons: Iterable[int]) -> list[int]:
    """Gaps between the first and the last season."""
    numbers = {number for number in seasons if number > _SPECIALS}
    return sorted(set(range(1, max(numbers, default=0))) - numbers)


def _by_counts(
    wanted: Sequence[int],
    seasons: Mapping[int, _Season],
    counts: Mapping[int, int],
    at_least: int,
) -> Completeness:
    needed = {season: max(counts.get(season, 0), at_least) for season in wanted}
    have = dict.fromkeys(wanted, 0) | {
        season: _counted(seasons[season], needed[season], _before(season, counts))
        for season in wanted
        if season in seasons
    }
    if unknown := [season for season in wanted if not counts.get(season)]:
        names = ", ".join(str(season) for season in unknown)
        return Completeness(whole=False, text=f"Sonarr knows no episode of season {names}")
    if all(have[season] >= needed[season] for season in wanted):
        return Completeness(whole=True)
    there = sum(min(have[season], needed[season]) for season in wanted)
    return Completeness(whole=False, text=f"{there} of {sum(needed.values())} episodes")


def _before(season: int, counts: Mapping[int, int]) -> int:
    """The number of episodes in earlier seasons, without specials."""
    return sum(total for number, total in counts.items() if _SPECIALS < number < season)


def _counted(season: _Season, total: int, before: int) -> int:
    """How many of a season's `total` episodes are available.

    Numbers above the total do not count, unless they continue the numbering of the
    seasons before.
    """
    if season.dated:
        return len(season.available)
    numbers = {number for number in season.available if isinstance(number, int)}
    if numbers and numbers <= set(range(before + 1, before + total + 1)):
        return len(numbers)
    if numbers == set(range(total)):  # some count from 0
        return total
    return sum(1 <= number <= total for number in numbers)


def _by_what_is_known(
    wanted: Sequence[int], seasons: Mapping[int, _Season], at_least: int
) -> Completeness:
    total = there = 0
    unsure: list[str] = []
    for number in wanted:
        season = seasons.get(number)
        if season is None or not season.known:
            return Completeness(whole=False, text=f"no episode of season {number}")
        there += len(season.available)
        total += max(len(season.known), at_least)
        if not _is_gapless(season, at_least):
            unsure.append(str(number))
    if there < total:
        return Completeness(whole=False, text=f"{there} of {total} episodes")
    if unsure:
        text = (
            f"no service counts the episodes of season {', '.join(unsure)}, and numbers are missing"
        )
        return Completeness(whole=False, text=text)
    return Completeness(whole=True, text="" if at_least else _GAPLESS)


def _is_gapless(season: _Season, at_least: int) -> bool:
    """Whether the numbers are consecutive from 0 or 1, or reach the tracker's count.

    Air dates do not show gaps: only a count does.
    """
    if season.dated:
        return bool(at_least)
    numbers = {number for number in season.known if isinstance(number, int)}
    first, last = min(numbers), max(numbers)
    begins = first in {0, 1} or 0 < at_least < first
    return last - first + 1 == len(numbers) and begins


def _seasons(
    copies: Sequence[Episodes], counts: Mapping[int, int] | None, at_least: Mapping[int, int]
) -> dict[int, _Season]:
    """The union over all copies per season; `at_least` is the tracker's count."""
    numbered = {number for copy in copies for number in copy.seasons}
    numbered |= {row.season for copy in copies for row in copy.rows if row.season is not None}
    # An episode without a season counts for the first one only where there is no other.
    first = 1 if not {*numbered, *(counts or ())} - {_SPECIALS, 1} else None
    rows: defaultdict[int, list[Episode]] = defaultdict(list)
    for copy in copies:
        for row in copy.rows:
            if (season := row.season if row.season is not None else first) is not None:
                rows[season].append(row)
    return {
        season: _season(found, _ends(season, found, counts, at_least.get(season, 0)))
        for season, found in rows.items()
    }


def _ends(
    season: int, rows: Sequence[Episode], counts: Mapping[int, int] | None, at_least: int
) -> tuple[int, int]:
    """The highest number that a season can have, as far as known.

    Returns:
        One for numbering per season, and one for absolute numbering.
    """
    if counts is not None:
        total = max(counts.get(season, 0), at_least)
        return total, total + _before(season, counts)
    highest = max([at_least, *(row.number for row in rows if row.number is not None)])
    return highest, highest


def _season(rows: Sequence[Episode], ends: tuple[int, int]) -> _Season:
    own, through = ends
    season = _Season(dated=all(row.number is None for row in rows))
    for row in rows:
        numbers: set[int | str] = set()
        if season.dated:
            numbers = {row.date} if row.date else set()
        elif row.number is not None:
            numbers = set(_numbers(row.number, row.end, own if row.number <= own else through))
        season.known |= numbers
        if row.playable:
            season.available |= numbers
    return season


def _numbers(first: int, last: int | None, highest: int) -> Iterable[int]:
    """The numbers of a file; an end beyond the season was parsed wrongly."""
    if last is None or not first < last <= highest:
        return (first,)
    return range(first, last + 1)
