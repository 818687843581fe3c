"""Reads the list of movies and series, a second time if the first was incomplete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.domain import INCOMPLETE, MISCOUNTED, Defects, LibraryItem, SourceFailure
from daemon.errors import ServiceError
from daemon.observe.sources import Problems
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.services.jellyfin import JellyfinClient, ListingContext, Page
from daemon.snapshot import Reading


@dataclass(slots=True)
class _Attempt:
    """One reading of the whole listing.

    Attributes:
        broken: ids of unusable records.
        sound: nothing but the requested types was listed.
    """

    items: dict[str, LibraryItem] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    nameless: int = 0
    totals: set[int] = field(default_factory=set)
    sound: bool = True
    defects: Defects = field(default_factory=Defects)

    def add(self, page: Page) -> None:
        """Add a page."""
        self.broken |= page.broken - self.items.keys()
        self.nameless += page.nameless
        self.sound &= not page.foreign
        for defect in page.defects:
            self.defects.note(defect)
        if page.total is not None:
            self.totals.add(page.total)

    @property
    def titles(self) -> int:
        """The number of distinct titles."""
        return len(self.items) + len(self.broken) + self.nameless

    @property
    def complete(self) -> bool:
        """Whether every title was read, and the server's count was stable."""
        return self.sound and self.totals == {self.titles}

    @property
    def count(self) -> tuple[int, frozenset[int]]:
        """What was read, and what the server counted."""
        return self.titles, frozenset(self.totals)


CountMismatch = tuple[int, frozenset[int]]
"""How many titles Jellyfin lists, and the different number that it counts."""


@dataclass(slots=True)
class Library:
    """Reads the library.

    Args:
        around: what the items are compared with.
        page_size: titles per reply; each reply costs the server a sort of everything.
        pictures: ask which titles have a poster.
        only: id of the one library to read; None means all.
        known: a mismatch seen by earlier runs, which a second reading would not change.
        progress: called with the number of titles read so far.

    Attributes:
        count_mismatch: a mismatch confirmed by two readings.
    """

    jellyfin: JellyfinClient
    around: ListingContext
    page_size: int
    problems: Problems
    pictures: bool = False
    only: str | None = None
    known: CountMismatch | None = None
    progress: Callable[[int], None] = lambda _: None
    count_mismatch: CountMismatch | None = None
    _attempt: _Attempt = field(default_factory=_Attempt)
    _failed: bool = False

    async def read(self) -> list[LibraryItem]:
        """All movies and series, each once.

        Raises:
            ServiceError: not one title could be read.
        """
        first = await self._read(final=False)
        if first.complete or self._failed or first.count == self.known:
            self._attempt = first
            self.count_mismatch = None if first.complete else first.count
        else:
            self._attempt = second = await self._read(final=True)
            self.count_mismatch = second.count if second.count == first.count else None
            if not second.complete:
                second.items = first.items | second.items
        self._note_what_is_missing()
        self.problems.defects.extend(self._attempt.defects)
        return list(self._attempt.items.values())

    def reading(self, *, scanning: bool, distrust: str) -> Reading:
        """The result of the reading."""
        return Reading(
            complete=self._attempt.complete and not self._failed and self.only is None,
            scanning=scanning,
            titles=self._attempt.titles,
            broken=frozenset(self._attempt.broken),
            nameless=self._attempt.nameless,
            distrust=distrust,
        )

    async def _read(self, *, final: bool) -> _Attempt:
        """Read all pages; a transient failure of the first reading is only kept."""
        attempt = _Attempt()
        try:
            start, known = 0, -1
            while attempt.titles > known:
                known = attempt.titles
                page = await self._page(attempt, start)
                start += page.rows
                if start >= (page.total or 0):
                    break
        except ServiceError as error:
            if error.status is None and not final:
                return attempt
            if not attempt.items:
                raise
            self._failed = True
            self.problems.miss(error)
        return attempt

    async def _page(self, attempt: _Attempt, start: int) -> Page:
        page = Page()
        reply = self.jellyfin.page(
            page, start, self.page_size, self.around, pictures=self.pictures, library=self.only
        )
        async with contextlib.aclosing(reply) as pieces:
            async for items in pieces:
                attempt.items |= {item.jellyfin_id: item for item in items}
                self.progress(len(attempt.items))
                await asyncio.sleep(0)  # whoever else wants the loop gets it between two pieces
        attempt.add(page)
        return page

    def _note_what_is_missing(self) -> None:
        if self._attempt.complete or self._failed:
            return
        counted = ", then ".join(str(total) for total in sorted(self._attempt.totals)) or "none"
        detail = f"read {self._attempt.titles} titles where Jellyfin counts {counted}"
        if self._attempt.count == self.known:
            self._gap(MISCOUNTED, f"{detail}; this repeats, so nothing is removed until it stops")
        else:
            self._gap(INCOMPLETE, f"{detail}; the next run reads it again")

    def _gap(self, kind: str, detail: str) -> None:
        self.problems.gaps.append(SourceFailure(JELLYFIN, kind, detail))
