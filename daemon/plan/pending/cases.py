"""One title that somebody waits for, and how far it has come. Pure."""

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
"""How far each state is; those that only the tracker writes are in none."""

MOVES: Final = (
    RequestState.DOWNLOADING,
    RequestState.GRABBING,
    RequestState.ANIME_MATCHING,
    RequestState.IMPORTING,
    RequestState.DOWNLOADED,
    RequestState.APPROVED,
    RequestState.FAILED,
)
"""Of a series: the first of these that any of its downloads is in."""


@dataclass(frozen=True, slots=True)
class Case:
    """One title that somebody waits for.

    Attributes:
        requests: the open ones of it.
        statuses: what is known of all requests that it is waited for by, listed or asked for.
        seasons: that are waited for; empty for all, and for a film.
        followed: what is kept of the row of ours, if there is one.
        listed: Seerr's open requests are known.
    """

    media_type: MediaType
    ids: Ids
    requests: Sequence[SeerrRequest] = ()
    statuses: frozenset[SeerrStatus] = frozenset()
    seasons: frozenset[int] = frozenset()
    followed: Followed | None = None
    listed: bool = True

    @property
    def is_pending(self) -> bool:
        """Whether all that is known to wait for it waits for approval."""
        return self.statuses == {SeerrStatus.PENDING}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a title has come.

    Attributes:
        state: None where nothing tells.
        unit: what the state rests on; None where no download and no file does.
        alerts: of any of its downloads.
        known: ids of all downloads that are seen now.
        imported: ids of downloads that have been imported.
        away: services that the state may rest on and that could not be asked, or not believed.
        held: something of it is in an instance: a download, a grab, or a file.
        views: the instances that count.
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
    """The grab of the download that a state rests on, where the history has it."""
    if judged.unit is None or judged.unit.download is None:
        return None
    for view in judged.views:
        for events in view.events.values():
            for event in reversed(events):
                grabbed = event.kind is HistoryKind.GRABBED
                if grabbed and event.download_id == judged.unit.download:
                    return view, event
    return None
