"""Asks all services about titles on their way, in an order that misses nothing.

Seerr first, then of each Radarr and Sonarr its queue before its history before its titles, then the
torrents: what moves in between is seen twice, never missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain import Ids, MediaType, RequestState
from daemon.errors import ServiceError
from daemon.identity import Catalogue
from daemon.observe.hints import ArrCache
from daemon.observe.sources import Problems, Services
from daemon.pending import PendingRow, Questions
from daemon.pipeline import (
    OTHER_SEERR,
    ArrPipeline,
    ArrTitle,
    HistoryEvent,
    HistoryKind,
    Holding,
    Pipeline,
    SeerrReport,
    SeerrTitle,
    ShokoReport,
    TorrentReport,
)
from daemon.plan.pending import questions
from daemon.services.arr import ArrClient
from daemon.services.arr_queue import ArrQueueClient
from daemon.services.qbittorrent import QbittorrentClient
from daemon.services.seerr import SeerrClient
from daemon.services.shoko import ShokoClient

_REMEMBERED: Final = timedelta(days=30)
_OVERLAP: Final = timedelta(minutes=5)
_READ_AGAIN: Final = timedelta(minutes=15)
"""For idle titles, and Sonarr's list, which costs a large Sonarr 18 s of CPU."""

_MAX_REQUESTS: Final = 20
_MAX_TITLES: Final = 20
_MAX_SERIES: Final = 10
_MAX_FILES: Final = 20

_IMPORTED: Final = {
    RequestState.DOWNLOADED,
    RequestState.IMPORTING,
    RequestState.ANIME_MATCHING,
}


@dataclass(slots=True)
class _Memory:
    """The cached answers of one instance.

    Attributes:
        titles: by the instance's own ids.
        absent: when a title was not found, by its ids and whether Seerr had sent it.
        listed: when the list was read for a series that was not in it.
        episodes: when a series' episodes were read.
    """

    history: dict[HistoryEvent, None] = field(default_factory=dict)
    titles: dict[int, ArrTitle] = field(default_factory=dict)
    absent: dict[tuple[Ids, bool], datetime] = field(default_factory=dict)
    listed: dict[Ids, datetime] = field(default_factory=dict)
    episodes: dict[int, datetime] = field(default_factory=dict)

    def number(self, ids: Ids, listing: Catalogue) -> int | None:
        """The instance's id of a title, from the list or, for films, a later answer."""
        if (number := listing.find(ids)) is not None or ids.tmdb is None:
            return number
        if listing.media_type is MediaType.TV:
            return None
        found = (title.arr_id for title in self.titles.values() if title.ids.tmdb == ids.tmdb)
        return next(found, None)

    def read_at(self, listing: Catalogue, ids: Ids, sent: bool) -> datetime | None:
        """When a title was read, or found not to be there; None if neither is so."""
        number = self.number(ids, listing)
        known = self.titles.get(number) if number is not None else None
        return known.read_at if known else self.absent.get((ids, sent))

    def read_now(self, number: int | None) -> ArrTitle | None:
        """Cache a title that was just read."""
        title = self.titles.get(number) if number is not None else None
        return replace(title, read_at=None) if title else None


class PipelineReader:
    """Reads what all services say in one pass, with a cache between passes.

    Args:
        services: the configured ones.
        known: the cached contents of Radarr and Sonarr.
        clock: aware UTC.

    Attributes:
        seerr: the identity of the Seerr that answered last; "" if unknown.
    """

    def __init__(
        self,
        services: Services,
        known: ArrCache,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._services = services
        self._known = known
        self._clock = clock
        self._memories = {arr.name: _Memory() for arr in services.of(ArrClient)}
        self._names: dict[tuple[MediaType, int], SeerrTitle] = {}
        self._asked: dict[int, datetime] = {}
        self.seerr = ""

    async def read(
        self,
        rows: Sequence[PendingRow],
        library: Sequence[Holding],
        problems: Problems,
        expected: str = "",
    ) -> Pipeline:
        """Read everything that a pass needs; failures leave gaps and are problems.

        Args:
            rows: of the tracker that are on their way, and those of requested titles.
            library: what Jellyfin is known to have.
            problems: collects failures.
            expected: the identity of the known Seerr; "" before the first.
        """
        seerr = SeerrReport()
        for client in self._services.of(SeerrClient):
            seerr = await problems.part(client, self._seerr(client, problems), seerr)
        arrs = await self._arrs(seerr, rows, problems)
        pipeline = Pipeline(seerr, arrs, await self.torrents(problems), None, library)
        asked = questions(pipeline, rows, self._clock())
        if asked.requests:
            pipeline = replace(pipeline, seerr=await self._proven(pipeline.seerr, expected))
        pipeline = await self._answer(pipeline, asked, problems)
        for shoko in self._services.of(ShokoClient):
            said = self._with_shoko(shoko, pipeline, rows, problems)
            silent = replace(pipeline, shoko=ShokoReport())
            pipeline = await problems.part(shoko, said, silent)
        return pipeline

    async def _seerr(self, client: SeerrClient, problems: Problems) -> SeerrReport:
        if (found := await problems.optional(client.open_requests())) is None:
            return SeerrReport()
        problems.defects.extend(found.defects)
        self.seerr = self.seerr or await problems.optional(client.identity()) or ""
        return SeerrReport(found.requests, whole=found.whole, read_at=self._clock())

    async def _proven(self, seerr: SeerrReport, expected: str) -> SeerrReport:
        """The report, marked as distrusted if another Seerr answered."""
        for client in self._services.of(SeerrClient):
            try:
                self.seerr = await client.identity()
            except ServiceError as error:
                return replace(seerr, distrust=str(error))
        if expected and self.seerr != expected:
            return replace(seerr, distrust=OTHER_SEERR)
        return seerr

    async def torrents(self, problems: Problems) -> TorrentReport | None:
        """All torrents; None if no torrent client is configured."""
        for client in self._services.of(QbittorrentClient):
            asked = problems.optional(client.torrents())
            found = await problems.part(client, asked, None)
            return replace(found, read_at=self._clock()) if found else TorrentReport()
        return None

    async def _arrs(
        self, seerr: SeerrReport, rows: Sequence[PendingRow], problems: Problems
    ) -> list[ArrPipeline]:
        wanted: dict[MediaType, dict[Ids, bool]] = {kind: {} for kind in MediaType}
        for row in rows:
            wanted[row.media_type].setdefault(row.ids, False)
        for one in seerr.requests or ():
            wanted[one.media_type][one.ids] = wanted[one.media_type].get(one.ids) or one.sent
        async with asyncio.TaskGroup() as group:
            answers = [
                group.create_task(
                    problems.part(
                        arr, self._arr(arr, wanted[arr.media_type], problems), self._silent(arr)
                    )
                )
                for arr in self._services.of(ArrClient)
            ]
        return [answer.result() for answer in answers]

    def _silent(self, arr: ArrClient) -> ArrPipeline:
        """The pipeline of an instance that did not answer."""
        return ArrPipeline(arr.name, arr.media_type, arr.primary, arr.is_4k, read_at=self._clock())

    async def _arr(
        self, arr: ArrClient, wanted: dict[Ids, bool], problems: Problems
    ) -> ArrPipeline:
        client, memory, said = _client(arr), self._memories[arr.name], self._silent(arr)
        if (queue := await problems.optional(client.queue())) is None:
            return said
        problems.defects.extend(queue.defects)
        since, history = await self._history(client, memory, problems)
        said = replace(
            said,
            queue=queue.values,
            queue_whole=queue.whole,
            history=history,
            history_since=since,
        )
        return await self._with_titles(arr, said, wanted, problems)

    async def _history(
        self, client: ArrQueueClient, memory: _Memory, problems: Problems
    ) -> tuple[datetime, list[HistoryEvent] | None]:
        """Recent history; only what is new is requested again."""
        begin = self._clock() - _REMEMBERED
        latest = max((event.date for event in memory.history), default=begin)
        found = await problems.optional(client.history(max(begin, latest - _OVERLAP)))
        if found is None:
            return begin, None
        problems.defects.extend(found.defects)
        known = dict.fromkeys([*memory.history, *found.values])
        memory.history = {event: None for event in known if event.date >= begin}
        return begin, list(memory.history)

    async def _with_titles(
        self, arr: ArrClient, said: ArrPipeline, wanted: dict[Ids, bool], problems: Problems
    ) -> ArrPipeline:
        """Add the wanted titles, as last read, and whether they are complete.

        Only a few are read per pass, to spread the load: first those that were never read, and of
        them those that are being downloaded.
        """
        memory = self._memories[arr.name]
        listing = await self._listing(arr, memory, wanted, problems)
        if listing is None:
            return said
        queued = {entry.arr_id for entry in said.queue or ()}
        due = [one for one in wanted.items() if self._is_due(arr, memory, listing, *one)]
        due.sort(key=lambda one: memory.number(one[0], listing) not in queued)
        due.sort(key=lambda one: str(memory.read_at(listing, *one) or ""))
        answered = {
            one
            for one in due[:_MAX_TITLES]
            if await self._read(arr, one[0], memory.number(one[0], listing), problems)
        }
        memory.absent.update(dict.fromkeys(answered, self._clock()))
        found: dict[int, ArrTitle] = {}
        for one in wanted.items():
            number = memory.number(one[0], listing)
            if number is not None and (title := memory.titles.get(number)) is not None:
                found[number] = replace(title, read_at=None) if one in answered else title
        missed = {one for one in due if one not in answered}
        lost = [one for one in missed if memory.number(one[0], listing) not in found]
        never = frozenset(ids for ids, sent in lost if memory.read_at(listing, ids, sent) is None)
        whole = not lost and not any(map(listing.is_ambiguous, wanted))
        return replace(said, titles=list(found.values()), whole=whole, unread=never)

    def _is_due(
        self, arr: ArrClient, memory: _Memory, listing: Catalogue, ids: Ids, sent: bool
    ) -> bool:
        """Whether a title must be read; Sonarr is not asked for one missing in its list."""
        number = memory.number(ids, listing)
        if number is None and (arr.media_type is MediaType.TV or ids.tmdb is None):
            return False
        read = memory.read_at(listing, ids, sent)
        return read is None or self._clock() - read >= _READ_AGAIN

    async def _read(self, arr: ArrClient, ids: Ids, number: int | None, problems: Problems) -> bool:
        """Read one title, or its absence; False if the request failed."""
        client, memory = _client(arr), self._memories[arr.name]
        try:
            if number is not None:
                title = await client.title(number)
            else:
                title = await client.film(ids.tmdb or 0)
        except ServiceError as error:
            problems.miss(error)
            return False
        if title is not None:
            memory.titles[title.arr_id] = replace(title, read_at=self._clock())
        elif number is not None:
            memory.titles.pop(number, None)
        return True

    async def _listing(
        self,
        arr: ArrClient,
        memory: _Memory,
        wanted: dict[Ids, bool],
        problems: Problems,
    ) -> Catalogue | None:
        """The cached list, read again if Sonarr lacks a title that was sent to it."""
        [report] = self._known.instead([arr.unknown])
        titles, now = report.titles, self._clock()
        due = titles is None
        if titles is not None and arr.media_type is MediaType.TV:
            missing = [ids for ids, sent in wanted.items() if sent and titles.find(ids) is None]
            ages = [
                now - memory.listed.get(ids, datetime.min.replace(tzinfo=UTC)) for ids in missing
            ]
            due = any(age >= _READ_AGAIN for age in ages)
            memory.listed.update(dict.fromkeys(missing, now) if due else {})
        if not due or (listing := await problems.optional(arr.listing())) is None:
            return titles
        self._known.remember([listing])
        return listing.titles

    async def _answer(self, pipeline: Pipeline, asked: Questions, problems: Problems) -> Pipeline:
        """The pipeline, with answers to the additional questions."""
        seerr = pipeline.seerr
        for client in self._services.of(SeerrClient):
            answers = self._seerr_answers(client, seerr, asked, problems)
            seerr = await problems.part(client, answers, seerr)
        arrs = []
        for arr, said in zip(self._services.of(ArrClient), pipeline.arrs, strict=True):
            answered = self._arr_answers(arr, said, asked, problems)
            arrs.append(await problems.part(arr, answered, self._silent(arr)))
        return replace(pipeline, seerr=seerr, arrs=arrs)

    async def _seerr_answers(
        self, client: SeerrClient, seerr: SeerrReport, asked: Questions, problems: Problems
    ) -> SeerrReport:
        told = dict(seerr.asked)
        longest_ago = sorted(asked.requests, key=lambda one: str(self._asked.get(one, "")))
        for number in longest_ago[:_MAX_REQUESTS]:
            self._asked[number] = self._clock()
            try:
                told[number] = await client.status_of(number)
            except ServiceError as error:
                problems.miss(error)
        unknown = sorted(one for one in asked.titles if one not in self._names)
        for media_type, tmdb in unknown[:_MAX_TITLES]:
            title = await problems.optional(client.title(media_type, tmdb))
            if title is not None:
                self._names[media_type, tmdb] = title
        return replace(seerr, asked=told, titles=dict(self._names))

    async def _arr_answers(
        self, arr: ArrClient, said: ArrPipeline, asked: Questions, problems: Problems
    ) -> ArrPipeline:
        client, memory = _client(arr), self._memories[arr.name]
        titles = {title.arr_id: title for title in said.titles or ()}
        again = [
            number
            for name, number in asked.arr_titles
            if name == arr.name and self._moves(said, titles[number])
        ]
        again.sort(key=lambda number: str(titles[number].read_at))
        for number in again[:_MAX_TITLES]:
            if await self._read(arr, titles[number].ids, number, problems):
                titles.pop(number)
                if (title := memory.read_now(number)) is not None:
                    titles[number] = title
        moving = [number for name, number in asked.episodes if name == arr.name]
        moving.sort(key=lambda number: str(memory.episodes.get(number, "")))
        for number in filter(titles.__contains__, moving[:_MAX_SERIES]):
            memory.episodes[number] = self._clock()
            found = await problems.optional(client.episodes(number))
            if found is not None and found.whole:
                titles[number] = replace(titles[number], episodes=found.values)
        said = replace(said, titles=list(titles.values()) if said.titles is not None else None)
        if arr.name not in asked.health:
            return said
        return replace(
            said,
            client_problems=await problems.optional(client.client_problems()),
            started=await problems.optional(client.started()),
        )

    def _moves(self, said: ArrPipeline, title: ArrTitle) -> bool:
        """Whether a title may have changed since it was read."""
        if title.read_at is None or self._clock() - title.read_at >= _READ_AGAIN:
            return True
        since = title.read_at - _OVERLAP  # its clock is not ours
        return any(entry.arr_id == title.arr_id for entry in said.queue or ()) or any(
            event.arr_id == title.arr_id and event.date >= since for event in said.history or ()
        )

    async def _with_shoko(
        self,
        shoko: ShokoClient,
        pipeline: Pipeline,
        rows: Iterable[PendingRow],
        problems: Problems,
    ) -> Pipeline:
        """The pipeline, with Shoko's report on new anime files."""
        waiting = {row.ids for row in rows if row.followed and row.state in _IMPORTED}
        if not waiting:
            return pipeline
        arrs = [await self._with_files(arr, waiting, problems) for arr in pipeline.arrs]
        paths = [path for arr in arrs for title in arr.titles or () for path in _anime(title)]
        if not paths:
            return replace(pipeline, arrs=arrs)
        report = await problems.optional(shoko.report(paths[:_MAX_FILES]))
        said = replace(report, read_at=self._clock()) if report else ShokoReport()
        return replace(pipeline, arrs=arrs, shoko=said)

    async def _with_files(
        self, said: ArrPipeline, waiting: Collection[Ids], problems: Problems
    ) -> ArrPipeline:
        [arr] = [one for one in self._services.of(ArrClient) if one.name == said.instance]
        imported: dict[int, datetime] = {}
        for event in said.history or ():
            if event.kind is HistoryKind.IMPORTED:
                imported.setdefault(event.arr_id, event.date)
        titles = list(said.titles or ())
        for at, title in enumerate(titles):
            begin = imported.get(title.arr_id)
            if title.anime and begin is not None and any(_share(title.ids, one) for one in waiting):
                files = await problems.optional(_client(arr).files(title.arr_id, begin - _OVERLAP))
                titles[at] = replace(title, files=files or ())
        return replace(said, titles=titles if said.titles is not None else None)


def _client(arr: ArrClient) -> ArrQueueClient:
    return ArrQueueClient(arr.http, arr.media_type)


def _share(one: Ids, other: Ids) -> bool:
    return any(a is not None and a == b for a, b in zip(one, other, strict=True))


def _anime(title: ArrTitle) -> tuple[str, ...]:
    return title.files if title.anime else ()
