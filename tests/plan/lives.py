"""The life of requested titles, pass by pass: what is planned is carried out on rows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.domain import Fate, Ids, MediaType, RequestState
from daemon.pending import (
    AttentionKind,
    Followed,
    Gauges,
    PendingMemory,
    PendingPlan,
    PendingPolicy,
    PendingRow,
    TimelineEvent,
    Timer,
)
from daemon.pipeline import (
    ArrEpisode,
    ArrPipeline,
    ArrSeason,
    ArrTitle,
    HistoryEvent,
    HistoryKind,
    Pipeline,
    QueueEntry,
    SeerrMedia,
    SeerrReport,
    SeerrRequest,
    SeerrStatus,
    SeerrTitle,
    Torrent,
    TorrentReport,
)
from daemon.plan.pending import plan_pending

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
FILM = Ids(tmdb=603)
SERIES = Ids(tmdb=1399, tvdb=121361)
HASH = "C39B2C311177139F5F0CEA313471EC72CD2B22D6"
OTHER_HASH = "8047BD1C60BBC7396165011D61147DB07E228B53"
GB = 1_000_000_000


def film_request(status: int = 2, media: int = 3, **values: Any) -> SeerrRequest:
    """A film's request, by default approved and being processed."""
    values = {"id": 9, "created_at": NOON - timedelta(hours=1), "sent": True, **values}
    return SeerrRequest(
        media_type=MediaType.MOVIE,
        ids=values.pop("ids", FILM),
        status=SeerrStatus(status),
        media=SeerrMedia(media),
        **values,
    )


def series_request(
    status: int = 2, media: int = 3, seasons: Sequence[int] = (1,), **values: Any
) -> SeerrRequest:
    """A series' request for some seasons."""
    request = film_request(status, media, ids=SERIES, **values)
    return replace(request, media_type=MediaType.TV, seasons=frozenset(seasons))


def entry(status: str = "downloading", state: str = "downloading", **values: Any) -> QueueEntry:
    """A record of the queue, by default of a film that downloads."""
    size = values.pop("size", GB)
    values = {
        "arr_id": 1,
        "size": size,
        "left": size // 2,
        "download_id": HASH,
        "added": NOON - timedelta(minutes=5),
        "tracked_status": "ok",
        **values,
    }
    return QueueEntry(status=status, tracked_state=state, **values)


def event(kind: HistoryKind, ago: timedelta = timedelta(minutes=5), **values: Any) -> HistoryEvent:
    """An event of the history, some time before noon."""
    values = {"arr_id": 1, "download_id": HASH, "torrent": True, **values}
    return HistoryEvent(kind, date=NOON - ago, **values)


def a_film(**values: Any) -> ArrTitle:
    """A film in a Radarr: monitored, released, without a file."""
    values = {"arr_id": 1, "ids": FILM, "title": "The Matrix", "released": True, **values}
    return ArrTitle(**values)


def a_series(*seasons: tuple[int, int, int], **values: Any) -> ArrTitle:
    """A series in a Sonarr, each season by its files, due and total episodes, from the first on."""
    counts = {
        number: ArrSeason(monitored=True, files=files, due=due, total=total)
        for number, (files, due, total) in enumerate(seasons, 1)
    }
    values = {"arr_id": 1, "ids": SERIES, "title": "Game", "seasons": counts, **values}
    return ArrTitle(**values)


def episodes(there: str, season: int = 1, aired: int | None = None) -> list[ArrEpisode]:
    """The episodes of a season, an `x` for each that has a file; so many of them have aired."""
    return [
        ArrEpisode(
            id=number,
            season=season,
            number=number,
            has_file=mark == "x",
            monitored=True,
            aired=NOON + timedelta(days=1 if aired is not None and number > aired else -9),
        )
        for number, mark in enumerate(there, 1)
    ]


def an_arr(*titles: ArrTitle, **values: Any) -> ArrPipeline:
    """A Radarr, or a Sonarr where a series is among its titles, that has been up for hours."""
    series = any(title.released is None for title in titles) or values.pop("sonarr", False)
    values = {
        "instance": "sonarr" if series else "radarr",
        "media_type": MediaType.TV if series else MediaType.MOVIE,
        "queue": (),
        "history": (),
        "titles": titles,
        "whole": True,
        "client_problems": (),
        "started": NOON - timedelta(hours=5),
        **values,
    }
    return ArrPipeline(**values)


def away(arr: ArrPipeline) -> ArrPipeline:
    """The same instance while it cannot be asked."""
    return replace(
        arr, queue=None, history=None, titles=None, whole=False, client_problems=None, started=None
    )


def torrents(**found: Torrent) -> TorrentReport:
    """A whole list of torrents, by the name of a hash in this module."""
    return TorrentReport({globals()[name]: torrent for name, torrent in found.items()})


def seerr(*requests: SeerrRequest, **values: Any) -> SeerrReport:
    """Seerr's open requests, read whole."""
    titles = {(one.media_type, one.ids.tmdb or 0): SeerrTitle("The Matrix") for one in requests}
    return SeerrReport(requests, **{"whole": True, "titles": titles, **values})


SEERR_AWAY = SeerrReport()


def ours(state: RequestState, **values: Any) -> PendingRow:
    """A row of ours of the film, in a state that we wrote; one on its way for `HASH`."""
    asked = values.get("kept", {})
    at_rest = asked.get("filed") or asked.get("written", state) in {
        RequestState.REQUESTED,
        RequestState.APPROVED,
        RequestState.FAILED,
    }
    kept: dict[str, Any] = {
        "written": state,
        "requests": frozenset({9}),
        "download": None if at_rest else HASH,
        "known": frozenset() if at_rest else frozenset({HASH}),
        **values.pop("kept", {}),
    }
    values = {
        "id": 1,
        "media_type": MediaType.MOVIE,
        "ids": FILM,
        "title": "The Matrix",
        "seerr_id": 9,
        "arr_id": 1,
        "followed": Followed(**kept),
        **values,
    }
    return PendingRow(state=state, **values)


def our_series(state: RequestState, seasons: Sequence[int] = (1,), **values: Any) -> PendingRow:
    """A row of ours of the series."""
    values = {"media_type": MediaType.TV, "ids": SERIES, "title": "Game", **values}
    return ours(state, seasons=frozenset(seasons), **values)


@dataclass
class Life:
    """Rows, and the passes over them.

    Attributes:
        events: of each row's timeline, by its number.
        writes: how often a row was changed.
    """

    rows: dict[int, PendingRow] = field(default_factory=dict)
    now: datetime = NOON
    memory: PendingMemory = field(default_factory=PendingMemory)
    policy: PendingPolicy = field(default_factory=PendingPolicy)
    events: dict[int, list[TimelineEvent]] = field(default_factory=dict)
    shown: dict[int, Gauges] = field(default_factory=dict)
    writes: int = 0
    last: PendingPlan = field(default_factory=PendingPlan)

    @classmethod
    def of(cls, *rows: PendingRow, **values: Any) -> Life:
        """A life that begins with rows that are there."""
        return cls({row.id: row for row in rows}, **values)

    def look(self, pipeline: Pipeline, after: timedelta = timedelta()) -> PendingPlan:
        """One pass, so much later than the last one, and what it plans is carried out."""
        self.now += after
        for number, row in self.rows.items():
            if row.followed is not None:
                self.rows[number] = replace(row, followed=_aged(row.followed, after))
        plan = plan_pending(pipeline, [*self.rows.values()], self.memory, self.policy, self.now)
        self._carry_out(plan)
        self.last = plan
        return plan

    def _carry_out(self, plan: PendingPlan) -> None:
        for other in plan.gives_way:
            del self.rows[other.row_id]
        for withdrawal in plan.withdrawals:
            if withdrawal.fate is Fate.REMOVE:
                del self.rows[withdrawal.row_id]
        for number, kept in plan.kept.items():
            self.rows[number] = replace(self.rows[number], followed=kept)
        for change in plan.changes:
            row = self.rows[change.row_id]
            assert row.state is change.before
            self.rows[row.id] = replace(row, state=change.state, **_read(change.columns))
            self.writes += 1
            if change.event:
                self.events.setdefault(row.id, []).append(change.event)
        self.shown |= plan.gauges
        for new in plan.adds:
            number = max(self.rows, default=0) + 1
            self.rows[number] = PendingRow(
                number,
                new.media_type,
                new.ids,
                new.title,
                new.state,
                frozenset(new.seasons),
                new.seerr_id,
                new.arr_id,
                followed=new.followed,
            )
            self.events[number] = [*new.events]
            self.shown[number] = new.gauges
            self.writes += 1

    @property
    def row(self) -> PendingRow:
        """The only row."""
        [row] = self.rows.values()
        return row

    @property
    def state(self) -> RequestState | None:
        """The only row's."""
        return self.row.state

    @property
    def why(self) -> str:
        """What there is to say about the only row."""
        assert self.row.followed is not None
        return self.row.followed.why

    @property
    def calls(self) -> set[AttentionKind]:
        """What a person is called for by the last pass."""
        return {one.kind for one in self.last.attention}

    @property
    def sentences(self) -> list[str]:
        """What a person is told by the last pass."""
        return [one.sentence for one in self.last.attention]


def _aged(kept: Followed, passed: timedelta) -> Followed:
    timers = {
        name: Timer(timer.value, timer.sightings, timer.waited + passed)
        for name, timer in kept.timers.items()
    }
    return replace(kept, timers=timers)


def _read(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What the values of columns are to the planner."""
    found: dict[str, Any] = {}
    if seasons := columns.get("requested_seasons"):
        found["seasons"] = frozenset(map(int, str(seasons).split(",")))
    for name in ("radarr_id", "sonarr_id"):
        if columns.get(name) is not None:
            found["arr_id"] = columns[name]
    return found
