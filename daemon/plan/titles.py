"""Grouping of items and requests into titles. Pure, and independent of their order.

Two sets of ids are one title if the strongest provider known to both has the same id. That is
not transitive: a set can agree with two others that contradict each other. It is then ambiguous,
a dispute for a person to settle; the others stay separate titles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, pairwise
from operator import attrgetter

from daemon.domain import Ids, LibraryItem, MediaType, TrackedRequest
from daemon.identity import same

_LEVELS = {MediaType.MOVIE: (0, 1, 2), MediaType.TV: (1, 0, 2)}
"""Providers in the order in which ids join titles; the primary key of the *arr first."""

_MAX_COMPARED = 200
"""Maximum sets sharing one id that are compared pairwise; beyond, the id is useless."""

_UNKNOWN = Ids()
_LAST = datetime.max.replace(tzinfo=UTC)
_Member = LibraryItem | TrackedRequest
_Members = tuple[_Member, ...]


@dataclass(slots=True)
class Title:
    """One work: all its items, canonical one first, and all its requests in order.

    Attributes:
        disputed_with: other requests that its ids point to; empty if not in dispute.
        disputed: only a person can decide which title it is.
    """

    media_type: MediaType
    items: Sequence[LibraryItem] = ()
    requests: Sequence[TrackedRequest] = ()
    disputed: bool = False
    disputed_with: frozenset[int] = frozenset()


@dataclass(slots=True)
class Grouping:
    """All titles, and the conflicts between them.

    Attributes:
        joined: titles joined by more than equal ids.
        plain: members of all other titles, the vast majority.
        reidentified: requests whose item now has another title's ids.
        protected: requests involved in a dispute, which are never absent.
    """

    joined: list[Title] = field(default_factory=list)
    plain: list[_Members] = field(default_factory=list)
    reidentified: dict[int, LibraryItem] = field(default_factory=dict)
    protected: set[int] = field(default_factory=set)

    @property
    def titles(self) -> Iterator[Title]:
        """Iterate over all titles; they are created lazily."""
        yield from self.joined
        yield from map(title_of, self.plain)

    def taken(self) -> Iterator[_Members]:
        """Iterate over the plain ones and release them, which saves 7 MB for 100,000 titles."""
        self.plain.reverse()
        while self.plain:
            yield self.plain.pop()


def rank(item: LibraryItem) -> tuple[datetime, str]:
    """The sort key of copies: the oldest is canonical."""
    return (item.created_at or _LAST, item.jellyfin_id)


def group(items: Collection[LibraryItem], requests: Collection[TrackedRequest]) -> Grouping:
    """Join items and requests by provider ids, then requests by Jellyfin ids."""
    grouping = Grouping()
    plain: list[_Members] = [(item,) for item in items if item.contradicting]
    every: dict[MediaType, dict[Ids, _Members]] = {media_type: {} for media_type in MediaType}
    sound = [item for item in items if not item.contradicting]
    members: Iterable[_Member] = chain(sound, requests)
    for member in members:
        by_ids, ids = every[member.media_type], member.ids
        if ids == _UNKNOWN:
            plain.append((member,))
        else:  # a list for each would be 10 MB at 100,000: most have one item and one request
            by_ids[ids] = (*by_ids[ids], member) if ids in by_ids else (member,)
    for media_type, by_ids in every.items():
        entangled = _entangled(by_ids)
        grouping.joined += _entangled_titles(media_type, by_ids, entangled)
        plain += (members for ids, members in by_ids.items() if ids not in entangled)
    _join_by_jellyfin_id(grouping, plain)
    for title in grouping.joined:
        _dispute_what_only_items_join(title)
        if title.disputed:
            grouping.protected.update(row.id for row in title.requests)
            grouping.protected |= title.disputed_with
    return grouping


def pair(members: _Members) -> tuple[LibraryItem, TrackedRequest] | None:
    """An item and the one request of the same ids, if it names that item; else None."""
    if len(members) != 2:  # noqa: PLR2004 - a pair
        return None
    item, row = members
    if row.jellyfin_id != item.jellyfin_id or not isinstance(item, LibraryItem):
        return None
    return (item, row) if isinstance(row, TrackedRequest) else None


def title_of(members: Iterable[_Member]) -> Title:
    """All that a title is, in the order in which it is decided about."""
    items: list[LibraryItem] = []
    requests: list[TrackedRequest] = []
    media_type = MediaType.MOVIE
    for member in members:
        media_type = member.media_type
        if isinstance(member, LibraryItem):
            items.append(member)
        else:
            requests.append(member)
    disputed = any(item.contradicting for item in items)
    items.sort(key=rank)
    requests.sort(key=attrgetter("id"))
    return Title(media_type, items, requests, disputed)


# --- by the providers' ids -----------------------------------------------------------------------


def _entangled_titles(
    media_type: MediaType, by_ids: Mapping[Ids, _Members], entangled: Collection[Ids]
) -> Iterable[Title]:
    """Titles of sets of ids that share an id with others."""
    if not entangled:
        return ()
    clusters = _Clusters(media_type, sorted(entangled, key=_sort_key))
    for level in _LEVELS[media_type]:
        clusters.join(level)
    titles = {
        root: title_of(member for ids in found for member in by_ids[ids])
        for root, found in clusters.members().items()
    }
    for some, others in clusters.disputes():
        one, two = titles[some], titles[others]
        one.disputed = True
        one.disputed_with |= {row.id for row in two.requests}
    for root in clusters.inconsistent():
        titles[root].disputed = True
    return titles.values()


def _sort_key(ids: Ids) -> tuple[str, ...]:
    return tuple(str(value) for value in ids)


def _entangled(every: Collection[Ids]) -> set[Ids]:
    """The sets of ids that share an id with another set."""
    found: set[Ids] = set()
    for at in range(len(Ids._fields)):
        # Sorted, equal ids stand side by side; a set of all would take ten times the memory.
        values = sorted([ids[at] for ids in every if ids[at] is not None])  # type: ignore[type-var]
        if shared := {one for one, other in pairwise(values) if one == other}:
            found.update(ids for ids in every if ids[at] in shared)
    return found


class _Clusters:
    """Union-find over sets of ids; each cluster is identified by its root."""

    def __init__(self, media_type: MediaType, every: Sequence[Ids]) -> None:
        self._media_type = media_type
        self._every = every
        self._parent = {ids: ids for ids in every}
        self._disputes: list[tuple[Ids, Ids]] = []

    def join(self, level: int) -> None:
        """Join the clusters that share an id of one provider and do not contradict each other.

        All are compared in their previous state, which makes it independent of order.
        """
        buckets: defaultdict[int | str, set[Ids]] = defaultdict(set)
        for ids in self._every:
            if (value := ids[level]) is not None:
                buckets[value].add(self._root(ids))
        members = self.members()
        pairs = [
            pair
            for roots in buckets.values()
            if len(roots) > 1
            for pair in self._agreeing(sorted(roots, key=_sort_key), members)
        ]
        for one, other in pairs:
            self._unite(one, other)

    def members(self) -> dict[Ids, list[Ids]]:
        """The clusters by their roots."""
        found: defaultdict[Ids, list[Ids]] = defaultdict(list)
        for ids in self._every:
            found[self._root(ids)].append(ids)
        return found

    def disputes(self) -> Iterator[tuple[Ids, Ids]]:
        """Roots of ambiguous clusters, with all clusters they agree with."""
        for one, other in self._disputes:
            if (some := self._root(one)) != (others := self._root(other)):
                yield some, others

    def inconsistent(self) -> Iterator[Ids]:
        """Roots of clusters whose members contradict each other."""
        for root, found in self.members().items():
            if len(found) > 1 and self._contradict(found, found):
                yield root

    def _agreeing(
        self, roots: Sequence[Ids], members: Mapping[Ids, list[Ids]]
    ) -> Iterator[tuple[Ids, Ids]]:
        """The pairs of one bucket to join; ambiguous clusters become disputes."""
        if len(roots) > _MAX_COMPARED:
            return
        friends = {
            one: [
                other
                for other in roots
                if other != one and not self._contradict(members[one], members[other])
            ]
            for one in roots
        }
        ambiguous = {
            one
            for one, found in friends.items()
            if any(other not in friends[some] for some in found for other in found if other != some)
        }
        for one, found in friends.items():
            if one in ambiguous:
                self._disputes.extend((one, other) for other in found)
            else:
                yield from ((one, other) for other in found if other not in ambiguous)

    def _contradict(self, some: Sequence[Ids], others: Sequence[Ids]) -> bool:
        """Whether a strong id of the first cluster contradicts the second."""
        strong = _LEVELS[self._media_type][:2]
        if self._media_type is MediaType.TV:
            return any(_disjoint(some, others, at) for at in strong)
        tmdb, tvdb = strong
        if all(any(ids[tmdb] is not None for ids in side) for side in (some, others)):
            return _disjoint(some, others, tmdb)
        return _disjoint(some, others, tvdb)

    def _root(self, ids: Ids) -> Ids:
        while (parent := self._parent[ids]) != ids:
            ids = parent
        return ids

    def _unite(self, one: Ids, other: Ids) -> None:
        first, second = sorted((self._root(one), self._root(other)), key=_sort_key)
        self._parent[second] = first


def _disjoint(some: Iterable[Ids], others: Iterable[Ids], at: int) -> bool:
    """Whether both have ids of a provider, with none in common."""
    first = {ids[at] for ids in some} - {None}
    second = {ids[at] for ids in others} - {None}
    return bool(first and second and len(first | second) > 1)


# --- by the Jellyfin id --------------------------------------------------------------------------


def _join_by_jellyfin_id(grouping: Grouping, plain: Sequence[_Members]) -> None:
    """Join requests to the item that they name, unless their ids contradict it.

    Titles without links to or from other titles are plain.
    """
    wanted = {
        row.jellyfin_id
        for members in chain(plain, map(_members, grouping.joined))
        if not pair(members)
        for row in _astray(members)
    }
    for members in plain:
        if wanted and (_astray(members) or _is_named(members, wanted)):
            grouping.joined.append(title_of(members))
        else:
            grouping.plain.append(members)
    where = {
        (title.media_type, item.jellyfin_id): (title, item)
        for title in grouping.joined
        for item in title.items
        if item.jellyfin_id in wanted
    }
    for title in list(grouping.joined):
        named: dict[int, Title] = {}  # by the request
        for row in _astray(_members(title)):
            found = where.get((row.media_type, row.jellyfin_id or ""))
            if found is None:
                continue
            if same(row.media_type, row.ids, found[1].ids) is False:
                grouping.reidentified[row.id] = found[1]
            else:
                named[row.id] = found[0]
        _follow(title, named)
    grouping.joined = [one for one in grouping.joined if one.items or one.requests]


def _members(title: Title) -> _Members:
    members: list[_Member] = [*title.items]
    return (*members, *title.requests)


def _astray(members: Iterable[_Member]) -> list[TrackedRequest]:
    """The requests that name an item of another title."""
    rows = [one for one in members if isinstance(one, TrackedRequest) and one.jellyfin_id]
    if not rows:
        return rows
    here = {one.jellyfin_id for one in members if isinstance(one, LibraryItem)}
    return [row for row in rows if row.jellyfin_id not in here]


def _is_named(members: Iterable[_Member], wanted: Collection[str | None]) -> bool:
    return any(isinstance(one, LibraryItem) and one.jellyfin_id in wanted for one in members)


def _follow(title: Title, named: Mapping[int, Title]) -> None:
    """Join requests to the only title that they name; naming a second one is a dispute.

    Args:
        title: of the requests by their ids.
        named: the titles that they name, by request.
    """
    others = {id(other): other for other in named.values()}
    for other in list(others.values()):
        if title.items and not title.disputed and _is_nameless(other):
            # An item that has lost its ids is what its request still calls it.
            title.items = sorted([*title.items, *other.items], key=rank)
            other.items = ()
            del others[id(other)]
    if not title.items and len(others) == 1:
        [other] = others.values()
        # What the ids leave open only the requests themselves can tell.
        told = [row for row in title.requests if row.id in named or not title.disputed]
        if all(
            same(title.media_type, row.ids, ids) is not False
            for row in told
            for ids in _all_ids(other)
        ):
            other.requests = sorted([*other.requests, *told], key=attrgetter("id"))
            title.requests = [row for row in title.requests if row not in told]
            return
    for other in others.values():
        for one, two in ((title, other), (other, title)):
            one.disputed = True
            one.disputed_with |= {row.id for row in two.requests}


def _is_nameless(title: Title) -> bool:
    """Whether a title has only items without provider ids."""
    known = any(item.ids.known or item.contradicting for item in title.items)
    return not (known or title.requests)


def _all_ids(title: Title) -> set[Ids]:
    return {item.ids for item in title.items} | {row.ids for row in title.requests}


# --- what only items join -------------------------------------------------------------------------


def _dispute_what_only_items_join(title: Title) -> None:
    """Dispute items whose ids belong to different requests: one id may be wrong.

    Requests that name one of the items are identified by it and do not count.
    """
    if len(title.requests) < 2 or not title.items:  # noqa: PLR2004 - one cannot disagree
        return
    present = {item.jellyfin_id for item in title.items}
    sides: list[list[TrackedRequest]] = []
    for row in title.requests:
        near = [side for side in sides if any(_one_title(row, other) for other in side)]
        sides = [side for side in sides if side not in near]
        sides.append([row, *(other for side in near for other in side)])
    known = [side for side in sides if not any(row.jellyfin_id in present for row in side)]
    if len(known) > 1 and any(not _agrees_strongly(side, title) for side in known):
        title.disputed = True


def _agrees_strongly(side: Iterable[TrackedRequest], title: Title) -> bool:
    """Whether an item shares a TMDB or TVDB id with one of the requests."""
    return any(
        row.ids[at] is not None and row.ids[at] == item.ids[at]
        for row in side
        for item in title.items
        for at in (0, 1)
    )


def _one_title(one: TrackedRequest, other: TrackedRequest) -> bool:
    return same(one.media_type, one.ids, other.ids) is True or (
        one.jellyfin_id is not None and one.jellyfin_id == other.jellyfin_id
    )
