"""The planner: compares the library with what is tracked and decides, without any I/O.

An item is decided at once where it can be judged alone. The others wait for `finish`: those without
the strongest id, and those that are one of several copies of a title. That is what makes the end
state the same in whatever order the items come, while a large library is never held in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from daemon.domain import (
    Add,
    Column,
    Conflict,
    Decision,
    Evidence,
    Ids,
    LibraryItem,
    MediaType,
    Policy,
    Reading,
    RequestState,
    Seasons,
    Skip,
    SkipReason,
    Sources,
    TrackedRequest,
    Update,
    UpdateReason,
    fingerprint,
)

_SAME = "same"
_ALL, _STRONGEST, _OTHERS = slice(None), slice(1), slice(1, None)
_LAST = datetime.max.replace(tzinfo=UTC)
_T = TypeVar("_T", bound="_Identified")
_Strong = tuple[MediaType, int]
"""A title by its strongest id: media type and TMDB number."""


def _rank(item: LibraryItem) -> tuple[datetime, str]:
    """Of several copies of a title the eldest speaks for it."""
    return (item.created_at or _LAST, item.jellyfin_id)


def _best_known(item: LibraryItem) -> tuple[list[bool], tuple[datetime, str]]:
    """Those with stronger ids first: what they teach a row cannot bring up a better speaker."""
    return ([value is None for value in item.ids], _rank(item))


class Planner:
    """Decides what a run writes.

    Args:
        tracked: every row of the tracker.
        sources: what Radarr and Sonarr hold.
        policy: how to decide.
    """

    def __init__(self, tracked: Iterable[TrackedRequest], sources: Sources, policy: Policy) -> None:
        self._sources = sources
        self._policy = policy
        self._rows = _Rows(tracked)
        self._seen: set[str] = set()
        self._spoken: set[int] = set()
        self._joined: dict[int, Ids] = {}
        self._added: dict[_Strong, _Title] = {}
        self._taught: list[tuple[MediaType, _Title]] = []
        self._waiting: list[LibraryItem] = []
        self._reading = Reading(complete=False, scanning=True)
        self._seasons: Mapping[str, Seasons] = {}
        self._newly_seen: list[tuple[int, str | None]] = []
        self._disputed: set[int] = set()

    def decide(self, items: Iterable[LibraryItem]) -> list[Decision]:
        """Decide the items that can be judged alone; an item seen before is passed over."""
        decisions = []
        for item in items:
            if item.jellyfin_id in self._seen:
                continue
            self._seen.add(self._rows.own_text(item))
            if (decision := self._at_once(item)) is None:
                self._waiting.append(item)
            else:
                decisions.append(decision)
        return decisions

    def unfinished_series(self) -> list[str]:
        """Jellyfin ids of series tracked in an earlier state; `finish` needs their seasons."""
        return [
            item.jellyfin_id
            for item in self._waiting
            if isinstance(row := self._rows.match(item), TrackedRequest) and _is_early_series(row)
        ]

    def finish(
        self, reading: Reading, seasons: Mapping[str, Seasons] | None = None
    ) -> Iterator[Decision]:
        """Decide what needed the whole, now that the reading has ended.

        Args:
            reading: how it went; only a complete one proves that an id is gone.
            seasons: of series tracked in an earlier state, by Jellyfin id.
        """
        self._reading, self._seasons = reading, seasons or {}
        waiting, self._waiting = self._waiting, []
        bare = [item for item in waiting if not item.ids.known]
        if reading.scanning:
            yield from (Skip(item, SkipReason.STILL_READ) for item in bare)
            waiting = [item for item in waiting if item.ids.known]
        untracked: list[LibraryItem] = []
        disputes: list[Conflict] = []
        for row, items in self._by_row(waiting, untracked, disputes):
            yield from self._copies_of_row(row, items, untracked)
        for dispute in disputes:
            self._disputed.update(dispute.request_ids)
            yield dispute
        strong: dict[_Strong, list[LibraryItem]] = defaultdict(list)
        for item in untracked:
            if item.ids.tmdb is not None:
                strong[item.media_type, item.ids.tmdb].append(item)
        yield from self._copies_of_added(strong)
        yield from self._newcomers([item for item in untracked if item.ids.tmdb is None])

    def _at_once(self, item: LibraryItem) -> Decision | None:
        if not item.available:
            return Skip(item, SkipReason.NOT_AVAILABLE)
        if item.ids.tmdb is None:
            return None
        match = self._rows.match(item)
        if isinstance(match, Conflict):
            self._disputed.update(match.request_ids)
            return match
        if match is None:
            return self._add_strong(item)
        waits = match.jellyfin_id != item.jellyfin_id or _is_early_series(match)
        return None if waits else self._speak(match, item)

    def _add_strong(self, item: LibraryItem) -> Decision | None:
        key = (item.media_type, item.ids.tmdb or 0)
        if key in self._added:
            return None
        self._added[key] = _Title.of(item)
        return self._add(item)

    def _by_row(
        self,
        waiting: list[LibraryItem],
        untracked: list[LibraryItem],
        disputes: list[Conflict],
    ) -> list[tuple[TrackedRequest, list[LibraryItem]]]:
        """The tracked rows that items wait for; the other items go where they belong."""
        tracked: dict[int, tuple[TrackedRequest, list[LibraryItem]]] = {}
        for item in waiting:
            match = self._rows.match(item)
            if isinstance(match, TrackedRequest):
                tracked.setdefault(match.id, (match, []))[1].append(item)
            elif match is None:
                untracked.append(item)
            else:
                disputes.append(match)
        return list(tracked.values())

    def _copies_of_row(
        self, row: TrackedRequest, items: list[LibraryItem], untracked: list[LibraryItem]
    ) -> Iterator[Decision]:
        """One copy speaks for a tracked row: the one that the row names, else the best known.

        With the ids that the row gets from it, another item may prove to be another title.
        """
        if row.id not in self._spoken:
            named = [item for item in items if item.jellyfin_id == row.jellyfin_id]
            speaker = min(named or items, key=_best_known)
            items.remove(speaker)
            yield self._speak(row, speaker)
        for item in items:
            if _meet(self._ids_by_now(row), item.ids):
                yield Skip(item, SkipReason.DUPLICATE, row.id)
            else:
                untracked.append(item)

    def _copies_of_added(self, copies: dict[_Strong, list[LibraryItem]]) -> Iterator[Decision]:
        """The eldest copy speaks for an added title, even if another one came first."""
        for key, items in copies.items():
            items.sort(key=_rank)
            if key not in self._added and (first := self._add_strong(items.pop(0))):
                yield first
            elif items and _rank(items[0]) < (added := self._added[key]).rank:
                elder = items.pop(0)
                self._added[key] = _Title.of(elder)
                yield self._take_over(elder, added_as=added.jellyfin_id)
            yield from (Skip(item, SkipReason.DUPLICATE) for item in items)

    def _newcomers(self, items: list[LibraryItem]) -> Iterator[Decision]:
        """Untracked items without the strongest id; those that know most come first."""
        titles = self._known_by_now() if items else _Identities[_Title]()
        for item in sorted(items, key=_best_known):
            found = _common(titles.agreeing(item.media_type, item.ids))
            if found is None:
                titles.add(item.media_type, _Title.of(item))
                yield self._add(item)
            elif len(found) == 1:
                yield Skip(item, SkipReason.DUPLICATE)
            else:
                yield Conflict(item, ())

    def _known_by_now(self) -> _Identities[_Title]:
        """Titles that this run added or learned an id of; seldom needed, and large."""
        titles = _Identities[_Title]()
        for (media_type, _), title in self._added.items():
            titles.add(media_type, title)
        for media_type, title in self._taught:
            titles.add(media_type, title)
        return titles

    def _add(self, item: LibraryItem) -> Add:
        radarr_id, sonarr_id = self._arr_ids(item)
        library = self._sources.library_of(item.path)
        return Add(item, radarr_id, sonarr_id, self._policy.poster_url(item), library)

    def _take_over(self, item: LibraryItem, *, added_as: str) -> Update:
        radarr_id, sonarr_id = self._arr_ids(item)
        replaces: dict[str, Column] = {
            **_face(item),
            "jellyfin_id": item.jellyfin_id,
            "tvdb_id": item.ids.tvdb,
            "imdb_id": item.ids.imdb,
            "radarr_id": radarr_id,
            "sonarr_id": sonarr_id,
            "poster_url": self._policy.poster_url(item),
            "final_path": item.path,
        }
        return Update(item, UpdateReason.REFRESH, None, replaces=replaces, added_as=added_as)

    def _speak(self, row: TrackedRequest, item: LibraryItem) -> Decision:
        """What the row gets from the one item that speaks for it."""
        self._spoken.add(row.id)
        joined = _joined(row.ids, item.ids)
        if joined is not row.ids:  # an item that only such an id names is no newcomer
            self._joined[row.id] = joined
            self._taught.append((row.media_type, _Title(_rank(item), joined)))
        library = self._sources.library_of(item.path)
        if not row.seen or (library is not None and library != row.library):
            self._newly_seen.append((row.id, library))
        if row.state is None:
            return Skip(item, SkipReason.NOT_UNDERSTOOD, row.id)
        return self._update(row, item, row.state) or self._left_as_it_is(row, item)

    def _update(self, row: TrackedRequest, item: LibraryItem, state: RequestState) -> Update | None:
        replaces = self._replaces(row, item)
        relinks = self._relinks(row, item, joined=self._ids_by_now(row))
        fills = self._fills(row, item, {*replaces, *relinks})
        promotes = state if self._shortfall(row, item) == "" else None
        reasons = (
            (promotes, UpdateReason.PROMOTE),
            (relinks, UpdateReason.RELINK),
            (replaces, UpdateReason.REFRESH),
            (fills, UpdateReason.FILL),
        )
        reason = next((reason for found, reason in reasons if found), None)
        if reason is None:
            return None
        return Update(item, reason, row.id, fills, replaces, relinks, promotes)

    def _ids_by_now(self, row: TrackedRequest) -> Ids:
        return self._joined.get(row.id, row.ids)

    def _left_as_it_is(self, row: TrackedRequest, item: LibraryItem) -> Skip:
        if row.state is RequestState.AVAILABLE:
            return Skip(item, SkipReason.ALREADY_RIGHT, row.id)
        if shortfall := self._shortfall(row, item):
            return Skip(item, SkipReason.SEASONS_INCOMPLETE, row.id, shortfall)
        return Skip(item, SkipReason.EARLIER_STATE, row.id)

    def _shortfall(self, row: TrackedRequest, item: LibraryItem) -> str | None:
        """What a row in an earlier state lacks to be available; "" if nothing, None if unknown."""
        if row.state is None or row.state is RequestState.AVAILABLE:
            return None
        if row.media_type is MediaType.MOVIE:
            return ""
        if (shown := self._seasons.get(item.jellyfin_id)) is None:
            return None
        episodes = self._episodes_of(row, item, shown)
        return None if episodes is None else _lacking(row.seasons, shown, episodes)

    def _episodes_of(
        self, row: TrackedRequest, item: LibraryItem, shown: Seasons
    ) -> Mapping[int, int] | None:
        """How many episodes each season has: by Sonarr, or by Jellyfin where Sonarr has no say.

        None where it is unknown: Sonarr is away, or its list is not whole, or counts nothing.
        """
        sonarr = self._sources.sonarr
        if not self._sources.counts_by_sonarr:
            return shown.known
        if sonarr is None or not sonarr.whole:
            return None
        number = sonarr.find(_joined(row.ids, item.ids))
        return shown.known if number is None else sonarr.seasons.get(number)

    def _relinks(
        self, row: TrackedRequest, item: LibraryItem, *, joined: Ids
    ) -> dict[str, tuple[Column, Column]]:
        """Ids of the row that are proven wrong by a complete listing of their own service."""
        relinks: dict[str, tuple[Column, Column]] = {}
        old = row.jellyfin_id
        if old is not None and old != item.jellyfin_id and self._is_gone(old):
            relinks["jellyfin_id"] = (old, item.jellyfin_id)
        film = row.media_type is MediaType.MOVIE
        source = self._sources.radarr if film else self._sources.sonarr
        if row.arr_id is None or source is None or not source.whole:
            return relinks
        found = source.find(joined)
        if (found is not None and found != row.arr_id) or source.has_lost(row.media_type, joined):
            relinks["radarr_id" if film else "sonarr_id"] = (row.arr_id, found)
        return relinks

    def _is_gone(self, jellyfin_id: str) -> bool:
        known = jellyfin_id in self._seen or jellyfin_id in self._reading.broken
        return self._reading.proves_absence and not known

    def evidence(self) -> Evidence:
        """What the finished reading says of the tracked rows as a whole."""
        spoken, disputed = self._spoken | self._rows.met, self._disputed
        returned = [row.id for row in self._rows.all if row.absence and row.id in spoken]
        absent = [
            row
            for row in self._rows.all
            if row.state is RequestState.AVAILABLE
            and row.seen
            and row.id not in spoken
            and row.id not in disputed
            and row.jellyfin_id not in self._reading.broken
        ]
        proven = self._reading.proves_absence
        return Evidence(self._newly_seen, returned, absent if proven else [])

    def population(self) -> Counter[str | None]:
        """How many available titles we have seen in each library, by its location."""
        return Counter(
            row.library
            for row in self._rows.all
            if row.seen and row.state is RequestState.AVAILABLE
        )

    def _replaces(self, row: TrackedRequest, item: LibraryItem) -> dict[str, Column]:
        """What reads otherwise now; only of a row of ours, and by the item that it names."""
        named = row.jellyfin_id == item.jellyfin_id or self._is_gone(row.jellyfin_id or "")
        if not row.ours or not named:
            return {}
        poster: dict[str, Column] = {}
        if (url := self._poster(row, item)) is not _SAME:
            poster = {"poster_url": url}
        if fingerprint(item.title, item.year, item.overview) == row.face:
            return poster
        return {**_face(item), **poster}

    def _poster(self, row: TrackedRequest, item: LibraryItem) -> str | None:
        """The poster's address, if it reads otherwise now; one that named a lost id moves on."""
        if item.poster is not None:
            same = row.poster is item.poster and row.jellyfin_id == item.jellyfin_id
            return _SAME if same else self._policy.poster_url(item)
        moved = row.poster is True and row.jellyfin_id != item.jellyfin_id
        return self._policy.address(item.jellyfin_id) if moved else _SAME

    def _fills(
        self, row: TrackedRequest, item: LibraryItem, taken: AbstractSet[str]
    ) -> dict[str, Column]:
        fills: dict[str, Column] = {}
        for column in row.missing:
            if column not in taken and (value := self._known(column, item)) is not None:
                fills[column] = value
        return fills

    def _known(self, column: str, item: LibraryItem) -> Column:
        if (read := _READERS.get(column)) is not None:
            return read(item)
        if column == "poster_url":
            return self._policy.poster_url(item)
        radarr_id, sonarr_id = self._arr_ids(item)
        return radarr_id if column == "radarr_id" else sonarr_id

    def _arr_ids(self, item: LibraryItem) -> tuple[int | None, int | None]:
        if item.media_type is MediaType.MOVIE:
            radarr = self._sources.radarr
            return (radarr.find(item.ids) if radarr else None, None)
        sonarr = self._sources.sonarr
        return (None, sonarr.find(item.ids) if sonarr else None)


_READERS: dict[str, Callable[[LibraryItem], Column]] = {
    "jellyfin_id": attrgetter("jellyfin_id"),
    "tmdb_id": attrgetter("ids.tmdb"),
    "tvdb_id": attrgetter("ids.tvdb"),
    "imdb_id": attrgetter("ids.imdb"),
    "year": attrgetter("year"),
    "overview": attrgetter("overview"),
}


def _face(item: LibraryItem) -> dict[str, Column]:
    return {"title": item.title, "year": item.year, "overview": item.overview}


class _Identified(Protocol):
    @property
    def ids(self) -> Ids: ...


class _Title(NamedTuple):
    """A title that this run added, or learned an id of, after the item that speaks for it."""

    rank: tuple[datetime, str]
    ids: Ids

    @classmethod
    def of(cls, item: LibraryItem) -> Self:
        return cls(_rank(item), item.ids)

    @property
    def jellyfin_id(self) -> str:
        return self.rank[1]


class _Identities(Generic[_T]):
    """Titles by media type, provider and id; an id may belong to several titles.

    Most belong to one, which then stands there itself: a list for each would cost 20 MB at 100,000.
    """

    def __init__(self) -> None:
        self._tables: dict[MediaType, tuple[dict[int | str, _T | list[_T]], ...]] = {
            media_type: ({}, {}, {}) for media_type in MediaType
        }

    def add(self, media_type: MediaType, title: _T, places: slice = _ALL) -> None:
        """Note a title under its ids, or under those at certain places only."""
        ids: tuple[int | str | None, ...] = title.ids
        for table, value in zip(self._tables[media_type][places], ids[places], strict=True):
            if value is None:
                continue
            if (known := table.setdefault(value, title)) is title:
                continue
            table[value] = [*(known if isinstance(known, list) else [known]), title]

    def alone(self, media_type: MediaType, title: _T) -> bool:
        """Whether no other title carries any of a title's ids."""
        tables = zip(self._tables[media_type], title.ids, strict=True)
        return all(value is None or table.get(value, title) is title for table, value in tables)

    def agreeing(self, media_type: MediaType, ids: Ids) -> list[list[_T]]:
        """For each known id the titles that carry it, and that no stronger id tells apart."""
        found: list[list[_T]] = []
        for place, (table, value) in enumerate(zip(self._tables[media_type], ids, strict=True)):
            if value is None:
                continue
            known = table.get(value)
            titles = known if isinstance(known, list) else [] if known is None else [known]
            # Where only titles without the strongest id stand under this one, the others are those.
            first = found[0] if found else []
            more = (one for one in first if one.ids[place] == value and one not in titles)
            whole = (one for one in (*titles, *more) if _agree(one.ids[:place], ids[:place]))
            if agreeing := list(whole):
                found.append(agreeing)
        return found


def _common(found: list[list[_T]]) -> list[_T] | None:
    """The titles that carry all of the ids that are found; None if none is found."""
    if not found:
        return None
    first, *others = found
    return [title for title in first if all(title in other for other in others)]


class _Rows:
    """The tracked rows, and which of them an item belongs to."""

    def __init__(self, tracked: Iterable[TrackedRequest]) -> None:
        self.all = list(tracked)
        self._by_id = _Identities[TrackedRequest]()
        self._by_jellyfin_id: dict[MediaType, dict[str, TrackedRequest]] = {
            media_type: {} for media_type in MediaType
        }
        self._weak_too = False
        self.met: set[int] = set()
        for row in self.all:
            self._by_id.add(row.media_type, row, _ALL if row.ids.tmdb is None else _STRONGEST)
            if row.jellyfin_id is not None:
                self._by_jellyfin_id[row.media_type].setdefault(row.jellyfin_id, row)

    def own_text(self, item: LibraryItem) -> str:
        """The item's id; where a row has the same it is the row's, so that it stands there once."""
        row = self._by_jellyfin_id[item.media_type].get(item.jellyfin_id)
        return item.jellyfin_id if row is None or row.jellyfin_id is None else row.jellyfin_id

    def match(self, item: LibraryItem) -> TrackedRequest | Conflict | None:
        """The row of an item by its providers' ids, then by its Jellyfin id; never by its title."""
        known = self._by_jellyfin_id[item.media_type].get(item.jellyfin_id)
        if (
            known is not None
            and known.ids == item.ids
            and self._by_id.alone(item.media_type, known)
        ):
            return known  # what the rest would find, too, for nearly all titles in every later run
        if item.ids.tmdb is None and not self._weak_too:
            self._index_weak()
        found = self._by_id.agreeing(item.media_type, item.ids)
        self.met.update(row.id for rows in found for row in rows)
        if (rows := _common(found)) is None:
            return self._named(item)
        return self._one_of(rows, item) or Conflict(item, _ids_of(found))

    def _index_weak(self) -> None:
        """Index all rows by their weaker ids, too.

        Only an item without the strongest id needs that: another one is told from every row that
        has it by that id alone. It is a lot of memory, so it waits until there is such an item.
        """
        self._weak_too = True
        for row in self.all:
            if row.ids.tmdb is not None:
                self._by_id.add(row.media_type, row, _OTHERS)

    def _named(self, item: LibraryItem) -> TrackedRequest | None:
        row = self._by_jellyfin_id[item.media_type].get(item.jellyfin_id)
        return row if row is not None and _agree(row.ids, item.ids) else None

    @staticmethod
    def _one_of(rows: list[TrackedRequest], item: LibraryItem) -> TrackedRequest | None:
        """Of several rows, the one that names the item, else the oldest if they are one title.

        A film that was requested anew while it is tracked comes first: it is to be promoted.
        """
        early = [row for row in rows if row.state not in {None, RequestState.AVAILABLE}]
        if early and len(rows) > 1 and item.media_type is MediaType.MOVIE:
            rows = early
        named = [row for row in rows if row.jellyfin_id == item.jellyfin_id]
        if not named and any(not _agree(rows[0].ids, row.ids) for row in rows[1:]):
            return None
        return min(named or rows, key=attrgetter("id"), default=None)


def _is_early_series(row: TrackedRequest) -> bool:
    early = row.state is not None and row.state is not RequestState.AVAILABLE
    return early and row.media_type is MediaType.TV


def _lacking(requested: frozenset[int], shown: Seasons, known: Mapping[int, int]) -> str:
    """How many episodes of the requested seasons are there; "" if all are, and there are any.

    Without a request for certain seasons all but the specials count.
    """
    seasons = requested or {season for season in known if season > 0}
    total = sum(known.get(season, 0) for season in seasons)
    there = sum(min(shown.there.get(season, 0), known.get(season, 0)) for season in seasons)
    unknown = [season for season in seasons if not known.get(season)]
    if total and there >= total and not unknown:
        return ""
    return f"{there} of {total} episodes" if total else "no episode of the requested seasons"


def _joined(ids: Ids, others: Ids) -> Ids:
    """The first ids, completed by the others; the same object where nothing is missing."""
    if ids == others:
        return ids
    joined = Ids(*(a if a is not None else b for a, b in zip(ids, others, strict=True)))  # type: ignore[arg-type]
    return ids if joined == ids else joined


def _meet(ids: Ids, others: Ids) -> bool:
    """Whether an id joins the two that no stronger one parts; always where one has none."""
    for a, b in zip(ids, others, strict=True):
        if a is not None and b is not None:
            return a == b
    return not (ids.known and others.known)


def _agree(some: Sequence[Column], others: Sequence[Column]) -> bool:
    """Whether no provider knows the two by different ids."""
    return all(a is None or b is None or a == b for a, b in zip(some, others, strict=True))


def _ids_of(found: list[list[TrackedRequest]]) -> tuple[int, ...]:
    return tuple(sorted({row.id for rows in found for row in rows}))
