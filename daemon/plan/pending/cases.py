"""A requested title and its judgement. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.domain import Ids, MediaType, RequestState
from daemon.pending import Followed
from daemon.pipeline import HistoryEvent, HistoryKind, SeerrRequest, SeerrStatus
from daemon.plan.pending.downloads import TitleView
from daemon.plan.pending.units import Alert, Unit

RANK: Final = {
    RequestState.REQUESTED: 0,
    RequestState.APPROVED: 1,
    RequestState.FAILED: 1,
    RequestState.GRABBING: 2,
    RequestState.DOWNLOADING: 3,
    RequestState.DOWNLOADED: 4,
    RequestState.IMPORTING: 5,
    RequestState.ANIME_MATCHING: 6,
}
"""The order of states; those only the tracker writes have no rank."""

MOVES: Final = (
    RequestState.DOWNLOADING,
    RequestState.GRABBING,
    RequestState.ANIME_MATCHING,
    RequestState.IMPORTING,
    RequestState.DOWNLOADED,
    RequestState.APPROVED,
    RequestState.FAILED,
)
"""A series is in the first of these states that any of its downloads has."""


@dataclass(frozen=True, slots=True)
class Case:
    """A requested title.

    Attributes:
        requests: its open requests.
        statuses: of all its requests, listed or looked up.
        seasons: wanted ones; empty for all, and for a film.
        followed: the kept state of its managed row, if there is one.
        listed: Seerr's list of open requests was read.
    """

    media_type: MediaType
    ids: Ids
    requests: Sequence[SeerrRequest] = ()
    statuses: frozenset[SeerrStatus] = frozenset()
    seasons: frozenset[int] = frozenset()
    followed: Followed | None = None
    listed: bool = True

    @property
    def in_4k(self) -> bool:
        """Whether everybody who waits for it asked for 4K."""
        return bool(self.requests) and all(request.is_4k for request in self.requests)

    @property
    def is_pending(self) -> bool:
        """Whether all its known requests are pending approval."""
        return self.statuses == {SeerrStatus.PENDING}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a title has come.

    Attributes:
        state: None if unknown.
        unit: the download or file on which the state is based; None if neither.
        alerts: of any of its downloads.
        known: ids of all downloads seen in this pass.
        imported: ids of imported downloads.
        away: relevant services that failed or cannot be trusted.
        held: an instance has a download, a grab or a file of it.
        views: the relevant instances.
    """

    state: RequestState | None
    why: str = ""
    service: str = "library_sync"
    unit: Unit | None = None
    alerts: tuple[Alert, ...] = ()
    known: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()
    away: tuple[str, ...] = ()
    held: bool = False
    views: Sequence[TitleView] = field(default_factory=tuple)


def grab_of(judged: Judgement) -> tuple[TitleView, HistoryEvent] | None:
    """The grab of the download on which a state is based, if the history has it."""
    if judged.unit is None or judged.unit.download is None:
        return None
    for view in judged.views:
        for events in view.events.values():
            for event in reversed(events):
                grabbed = event.kind is HistoryKind.GRABBED
                if grabbed and event.download_id == judged.unit.download:
                    return view, event
    return None
