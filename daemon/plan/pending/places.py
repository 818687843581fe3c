"""Finds titles by id in each Radarr and Sonarr. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from daemon.domain import Ids, MediaType
from daemon.pipeline import ArrPipeline, ArrTitle, HistoryEvent, Pipeline, QueueEntry

_T = TypeVar("_T")


class ByIds(Generic[_T]):
    """An index by title ids, searched by Radarr's or Sonarr's primary key first.

    TMDB ids of series are shared, so they match only if unambiguous.
    """

    def __init__(self, members: Iterable[tuple[MediaType, Ids, _T]]) -> None:
        self._own: defaultdict[Hashable, list[_T]] = defaultdict(list)
        self._other: defaultdict[Hashable, list[tuple[Ids, _T]]] = defaultdict(list)
        for media_type, ids, member in members:
            own, other = _keys(media_type, ids)
            if own is not None:
                self._own[media_type, own].append(member)
            if other is not None:
                self._other[media_type, other].append((ids, member))

    def find(self, media_type: MediaType, ids: Ids) -> list[_T]:
        """All members of a title."""
        own, other = _keys(media_type, ids)
        if own is not None and (found := self._own.get((media_type, own))):
            return list(found)
        rest = self._other.get((media_type, other), []) if other is not None else []
        if own is not None:  # those that have an own key have another one
            rest = [one for one in rest if _keys(media_type, one[0])[0] is None]
        titles = {_keys(media_type, one[0])[0] for one in rest}
        return [member for _, member in rest] if len(titles) == 1 else []


def _keys(media_type: MediaType, ids: Ids) -> tuple[int | None, int | None]:
    if media_type is MediaType.MOVIE:
        return ids.tmdb, ids.tvdb
    return ids.tvdb, ids.tmdb


class Place(NamedTuple):
    """A title in an instance, with its part of queue and history."""

    arr: ArrPipeline
    title: ArrTitle
    queue: Sequence[QueueEntry]
    history: Sequence[HistoryEvent]


class Places:
    """Finds requested titles in all instances.

    Attributes:
        away: by media type, instances that failed or were incomplete.
        whole: media types for which every instance gave its complete list.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.away: dict[MediaType, tuple[str, ...]] = {}
        self.whole: set[MediaType] = set()
        self._instances: dict[MediaType, list[ArrPipeline]] = {}
        found: list[tuple[MediaType, Ids, Place]] = []
        for media_type in MediaType:
            arrs = self._instances[media_type] = pipeline.of(media_type)
            self.away[media_type] = tuple(
                arr.instance for arr in arrs if None in (arr.queue, arr.history, arr.titles)
            )
            if arrs and all(arr.whole and arr.titles is not None for arr in arrs):
                self.whole.add(media_type)
            for arr in arrs:
                queue, history = _by_title(arr.queue), _by_title(arr.history)
                for title in arr.titles or ():
                    number = title.arr_id
                    place = Place(arr, title, queue.get(number, ()), history.get(number, ()))
                    found.append((media_type, title.ids, place))
        self._found = ByIds(found)

    def find(self, media_type: MediaType, ids: Ids) -> list[Place]:
        """The instances that know a title, the primary first."""
        return self._found.find(media_type, ids)

    def silent(self, media_type: MediaType, ids: Ids) -> tuple[str, ...]:
        """Instances of which it is not known whether they have a title."""
        arrs = self._instances[media_type]
        return (*self.away[media_type], *(arr.instance for arr in arrs if ids in arr.unread))

    def offers(self, media_type: MediaType, *, in_4k: bool) -> bool:
        """Whether there is an instance for 4K, or one for anything else."""
        return any(arr.is_4k == in_4k for arr in self._instances[media_type])

    def is_unread(self, media_type: MediaType, ids: Ids) -> bool:
        """Whether an instance that answers may have a title that was not read yet."""
        return any(ids in arr.unread for arr in self._instances[media_type])

    def is_alone(self, arr: ArrPipeline) -> bool:
        """Whether there is no other instance of its kind."""
        return len(self._instances[arr.media_type]) == 1


_Record = TypeVar("_Record", QueueEntry, HistoryEvent)


def _by_title(records: Sequence[_Record] | None) -> Mapping[int | None, Sequence[_Record]]:
    found: defaultdict[int | None, list[_Record]] = defaultdict(list)
    for record in records or ():
        found[record.arr_id].append(record)
    return found
