"""One pass over everything that tells of titles on their way, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from daemon.domain import Ids, MediaType, RequestState
from daemon.observe.hints import ArrCache
from daemon.observe.pipeline import PipelineReader
from daemon.observe.sources import Problems, Service, Services
from daemon.opening import open_services
from daemon.pending import Followed, PendingMemory, PendingPlan, PendingPolicy, PendingRow
from daemon.pipeline import HistoryKind, Pipeline, SeerrStatus, ShokoMatch
from daemon.plan.pending import plan_pending
from daemon.services.arr import ArrClient
from daemon.services.qbittorrent import QbittorrentClient
from daemon.services.seerr import SeerrClient
from daemon.settings import Settings
from tests.builders import QUICK, configured
from tests.pretend import Fault, PretendServices, World
from tests.pretend.library import Movie, Series
from tests.pretend.pipeline import Wish
from tests.upstream import Asked, Upstream, exchanged

LODGER = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"}, "Fog.")
ANNIE = Series.named("Annie Oakley", 1954, {"Tmdb": "4242", "Tvdb": "71000"})
ANNIE_TOO = Series.named("Annie Too", 1955, {"Tmdb": "4243", "Tvdb": "71001"})
ALL = ("seerr", "qbittorrent")
GRABBING, IMPORTING = RequestState.GRABBING, RequestState.IMPORTING


@dataclass
class Reading:
    """A reader of pretend services, and a clock that is set by hand."""

    services: PretendServices
    clients: Services
    reader: PipelineReader
    now: list[datetime]
    problems: Problems = field(default_factory=Problems)

    async def __call__(self, *rows: PendingRow, expected: str = "") -> Pipeline:
        """One pass."""
        self.problems = Problems()
        return await self.reader.read(rows, (), self.problems, expected)

    def calls(self) -> dict[str, list[str]]:
        """The paths that each service was asked for since the last time."""
        asked = {}
        for name in ("seerr", "radarr", "sonarr", "qbittorrent"):
            calls = self.services.calls(name)
            asked[name] = [
                call.path.removeprefix("/api/v3").removeprefix("/api/v1") for call in calls
            ]
            calls.clear()
        return asked

    def later(self, minutes: float) -> None:
        """Let time pass."""
        self.now[0] += timedelta(minutes=minutes)


@asynccontextmanager
async def reading(
    tmp_path: Path, besides: Sequence[str] = ALL, **sections: Any
) -> AsyncIterator[Reading]:
    """Pretend services, and a reader of them."""
    now = [datetime.now(UTC)]
    async with PretendServices(World(), besides=besides) as services:
        settings: Settings = configured(services, tmp_path / "tracker.db", **sections)
        async with open_services(settings, QUICK) as clients:
            reader = PipelineReader(clients, ArrCache(clients), lambda: now[0])
            yield Reading(services, clients, reader, now)


def row(wish: Wish, state: RequestState = GRABBING, number: int = 1) -> PendingRow:
    """A row of ours that follows a request."""
    given = wish.title.provider_ids
    return PendingRow(
        id=number,
        media_type=MediaType.MOVIE if isinstance(wish.title, Movie) else MediaType.TV,
        ids=Ids(int(given["Tmdb"]), int(given["Tvdb"]) if "Tvdb" in given else None),
        title=wish.title.title,
        state=state,
        seasons=frozenset(wish.seasons),
        seerr_id=wish.number,
        arr_id=wish.sent,
        followed=Followed(state, frozenset({wish.number})),
    )


def of(pipeline: Pipeline, name: str) -> Any:
    """What one instance said."""
    [found] = [arr for arr in pipeline.arrs if arr.instance == name]
    return found


async def test_a_pass_reads_what_every_service_says(tmp_path: Path) -> None:
    """Requests, queues, histories, the titles that are asked for, and torrents."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        for title, seasons in ((LODGER, ()), (ANNIE, (1,))):
            wish = stack.request(title, seasons)
            stack.approve(wish)
            stack.grab(wish)
        found = await read()
    assert read.problems == Problems()
    assert [one.status for one in found.seerr.requests or ()] == [SeerrStatus.APPROVED] * 2
    assert found.seerr.whole
    radarr, sonarr = of(found, "Radarr"), of(found, "Sonarr")
    assert [len(radarr.queue), len(sonarr.queue)] == [1, 3]
    assert {event.kind for arr in found.arrs for event in arr.history or ()} == {
        HistoryKind.GRABBED
    }
    assert [title.title for title in (*radarr.titles, *sonarr.titles)] == [
        "The Lodger",
        "Annie Oakley",
    ]
    assert radarr.whole
    assert sonarr.whole
    assert sonarr.titles[0].seasons[1].total == 3
    assert found.torrents is not None
    assert len(found.torrents.torrents or {}) == 2
    assert found.shoko is None


async def test_what_moves_on_meanwhile_is_seen_twice_never_missed(tmp_path: Path) -> None:
    """Seerr before the others, and the queue before the history before the titles."""
    async with reading(tmp_path) as read:
        wish = read.services.pipeline.request(LODGER)
        read.services.pipeline.approve(wish)
        read.services.pipeline.grab(wish)
        await read(row(wish))
        asked = read.calls()
    assert asked["seerr"][:3] == ["/request"] * 3
    order = [path for path in asked["radarr"] if path != "/movie"]
    assert order[:3] == ["/queue/details", "/history/since", "/movie/1"]


async def test_a_pass_in_which_nothing_happens_costs_eight_calls(tmp_path: Path) -> None:
    """However many titles there are: what is known is not asked for again."""
    async with reading(tmp_path) as read:
        read.services.pipeline.request(LODGER)
        wish = read.services.pipeline.request(Movie.named("Detour", 1945, {"Tmdb": "20367"}))
        read.services.pipeline.approve(wish)
        await read(row(wish, RequestState.APPROVED))
        read.calls()
        await read(row(wish, RequestState.APPROVED))
        asked = read.calls()
        assert sum(map(len, asked.values())) == 3 + 2 + 2 + 1
        read.later(16)
        await read(row(wish, RequestState.APPROVED))
        assert "/movie" in read.calls()["radarr"]


async def test_the_history_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    """Thirty days at first, then its end; what was read before is still told."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        wish = stack.request(LODGER)
        stack.approve(wish)
        download = stack.grab(wish)
        stack.history[0] = replace(stack.history[0], date=read.now[0] - timedelta(minutes=20))
        first = of(await read(row(wish)), "Radarr")
        stack.history.append(replace(stack.history[0], date=read.now[0] - timedelta(minutes=1)))
        await read(row(wish))
        stack.history.pop(0)
        stack.advance(download, 1.0)
        stack.take_in(download)
        second = of(await read(row(wish)), "Radarr")
        calls = [call for call in read.services.calls("radarr") if call.path.endswith("since")]
    dates = [datetime.fromisoformat(call.query.partition("date=")[2]) for call in calls]
    assert read.now[0] - dates[0] >= timedelta(days=30) - timedelta(seconds=1)
    assert read.now[0] - dates[2] <= timedelta(minutes=7)
    grabbed = HistoryKind.GRABBED
    assert [event.kind for event in first.history] == [grabbed]
    assert [event.kind for event in second.history] == [grabbed, grabbed, HistoryKind.IMPORTED]
    assert second.history_since - dates[0] < timedelta(seconds=1)


async def test_a_title_that_moves_is_read_anew(tmp_path: Path) -> None:
    """So that its file is noticed at once; one that stands still is read now and then."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        wish = stack.request(LODGER)
        stack.approve(wish)
        download = stack.grab(wish)
        [title] = of(await read(row(wish)), "Radarr").titles
        assert not title.has_file
        stack.take_in(download)
        [title] = of(await read(row(wish)), "Radarr").titles
        assert (title.has_file, title.read_at) == (True, None)
        read.later(10)
        await read(row(wish))
        read.calls()
        [title] = of(await read(row(wish)), "Radarr").titles
        assert "/movie/1" not in read.calls()["radarr"]
        assert title.read_at is not None
        read.services.world.radarr.clear()
        read.later(16)
        gone = of(await read(row(wish)), "Radarr")
    assert (list(gone.titles), gone.whole) == ([], True)


async def test_a_series_that_was_just_sent_is_found(tmp_path: Path) -> None:
    """Sonarr's list is read for it once; for one that was not sent it is not."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        wish = stack.request(ANNIE, (1,))
        first = of(await read(), "Sonarr")
        assert (list(first.titles), first.whole) == ([], True)
        read.calls()
        await read()
        assert "/series" not in read.calls()["sonarr"]
        stack.approve(wish)
        [title] = of(await read(), "Sonarr").titles
        assert title.title == "Annie Oakley"
        assert read.calls()["sonarr"].count("/series") == 1
        lost = stack.request(ANNIE_TOO, (1,))
        lost.sent = 77
        for _ in range(3):
            assert len(of(await read(), "Sonarr").titles) == 1
        assert read.calls()["sonarr"].count("/series") == 1


async def test_many_new_titles_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """And until all are known the list is not whole."""
    async with reading(tmp_path) as read:
        for number in range(30):
            movie = Movie.named(f"Film {number}", 1950, {"Tmdb": str(1000 + number)})
            read.services.pipeline.approve(read.services.pipeline.request(movie))
        first = of(await read(), "Radarr")
        second = of(await read(), "Radarr")
    assert (len(first.titles), first.whole) == (20, False)
    assert (len(second.titles), second.whole) == (30, True)


async def test_ids_that_several_titles_share_leave_the_list_open(tmp_path: Path) -> None:
    """Which of them is asked for cannot be told, so that none is called unknown."""
    async with reading(tmp_path) as read:
        for number, title in enumerate(("Annie One", "Annie Two")):
            ids = {**ANNIE.provider_ids, "Tvdb": str(81_000 + number)}
            read.services.world.sonarr_knows(Series.named(title, 1954, ids), seasons=())
        wish = read.services.pipeline.request(ANNIE, (1,))
        clear = of(await read(), "Sonarr")
        wish.title = Series.named("Annie Oakley", 1954, {"Tmdb": "4242"})
        shared = of(await read(), "Sonarr")
    assert (list(clear.titles), clear.whole) == ([], True)
    assert (list(shared.titles), shared.whole) == ([], False)


async def test_of_many_series_that_move_each_has_its_turn(tmp_path: Path) -> None:
    """Ten in a pass, those first that were asked for longest ago."""
    async with reading(tmp_path) as read:
        stack, rows = read.services.pipeline, []
        for number in range(15):
            ids = {"Tmdb": str(5000 + number), "Tvdb": str(9000 + number)}
            wish = stack.request(Series.named(f"Show {number}", 1950, ids), (1,))
            stack.approve(wish)
            stack.grab(wish)
            rows.append(row(wish, number=number + 1))
        seen = set()
        for _ in range(2):
            read.later(1)
            titles = of(await read(*rows), "Sonarr").titles
            known = {title.arr_id for title in titles if title.episodes is not None}
            assert len(known) == 10
            seen |= known
    assert len(seen) == 15


async def test_episodes_are_read_of_series_that_move(tmp_path: Path) -> None:
    """And of no others."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        wish = stack.request(ANNIE, (1,))
        stack.approve(wish)
        [still] = of(await read(row(wish)), "Sonarr").titles
        stack.grab(wish)
        [moves] = of(await read(row(wish)), "Sonarr").titles
    assert still.episodes is None
    assert [one.has_file for one in moves.episodes or ()] == [False] * 3


async def test_a_request_that_is_in_no_list_is_asked_for(tmp_path: Path) -> None:
    """It may be gone, or be done."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        gone, done = stack.request(LODGER), stack.request(ANNIE, (1,))
        stack.withdraw(gone)
        stack.complete(done)
        found = await read(row(gone), row(done, number=2))
    assert found.seerr.asked == {gone.number: None, done.number: SeerrStatus.COMPLETED}
    assert (found.seerr.distrust, len(read.reader.seerr)) == ("", 32)


async def test_another_seerr_is_not_believed_to_have_lost_a_request(tmp_path: Path) -> None:
    """It never had it."""
    async with reading(tmp_path) as read:
        wish = read.services.pipeline.request(LODGER)
        read.services.pipeline.withdraw(wish)
        found = await read(row(wish), expected="another")
        assert found.seerr.distrust == "this is another Seerr than before"
        again = await read(row(wish), expected=read.reader.seerr)
    assert again.seerr.distrust == ""


async def test_a_new_request_gets_its_name_from_seerr(tmp_path: Path) -> None:
    """Where neither Radarr nor Sonarr knows the title; asked for once."""
    async with reading(tmp_path) as read:
        read.services.pipeline.request(LODGER)
        found = await read()
        read.calls()
        again = await read()
        assert "/movie/2760" not in read.calls()["seerr"]
    for one in (found, again):
        assert one.seerr.titles[MediaType.MOVIE, 2760].title == "The Lodger"


async def test_health_is_asked_for_where_a_download_is_missed(tmp_path: Path) -> None:
    """An empty queue alone proves nothing."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        wish = stack.request(LODGER)
        stack.approve(wish)
        download = stack.grab(wish)
        calm = of(await read(row(wish)), "Radarr")
        assert (calm.client_problems, calm.started) == (None, None)
        del stack.downloads[download.hash]
        read.later(5)
        missed = of(await read(row(wish)), "Radarr")
    assert missed.client_problems == ()
    assert missed.started is not None


@pytest.mark.parametrize("name", ["seerr", "radarr", "sonarr", "qbittorrent"])
async def test_a_service_that_is_away_is_a_gap(tmp_path: Path, name: str) -> None:
    """The others are told all the same, and of this one nothing is."""
    async with reading(tmp_path) as read:
        wish = read.services.pipeline.request(LODGER)
        read.services.pipeline.approve(wish)
        await read(row(wish))
        read.services.fault(name, Fault(times=None, status=500))
        found = await read(row(wish))
        read.services.mend(name)
        back = await read(row(wish))
        assert read.problems.gaps == []
    parts = {
        "seerr": found.seerr.requests,
        "radarr": of(found, "Radarr").queue,
        "sonarr": of(found, "Sonarr").queue,
        "qbittorrent": found.torrents and found.torrents.torrents,
    }
    assert [key for key, part in parts.items() if part is None] == [name]
    assert back.seerr.requests is not None


@pytest.mark.parametrize(
    ("kind", "name"),
    [(SeerrClient, "open_requests"), (QbittorrentClient, "torrents"), (ArrClient, "listing")],
)
async def test_a_defect_that_one_service_brings_to_light_is_its_gap(
    tmp_path: Path, kind: type[Service], name: str
) -> None:
    """Nothing of the others is lost, and the pass goes on."""

    async def fail(*_: object) -> NoReturn:
        raise LookupError("nobody foresaw this")

    async with reading(tmp_path) as read:
        read.services.pipeline.approve(read.services.pipeline.request(LODGER))
        defective = type("Defective", (kind,), {name: fail})
        [first, *_] = read.clients.of(kind)
        broken = copy(first)
        broken.__class__ = defective
        others = (broken if one is first else one for one in read.clients.others)
        services = Services(read.clients.jellyfin, tuple(others))
        problems = Problems()
        reader = PipelineReader(services, ArrCache(services), lambda: read.now[0])
        found = await reader.read((), (), problems)
    assert [gap.kind for gap in problems.gaps] == ["unforeseen"]
    parts = (
        found.seerr.requests,
        *(arr.queue for arr in found.arrs),
        found.torrents and found.torrents.torrents,
    )
    assert [part is None for part in parts].count(True) == 1


async def test_a_title_that_cannot_be_read_is_not_taken_for_unknown(tmp_path: Path) -> None:
    """What it is not known to have it may have."""
    async with reading(tmp_path) as read:
        read.services.pipeline.approve(read.services.pipeline.request(LODGER))
        read.services.fault("radarr", Fault("/api/v3/movie/", times=None, status=500))
        found = of(await read(), "Radarr")
        assert (list(found.titles), found.whole) == ([], False)
        assert [gap.service for gap in read.problems.gaps] == ["Radarr"]
        read.services.mend("radarr")
        assert of(await read(), "Radarr").whole


async def test_shoko_is_asked_for_new_files_of_anime_that_rows_wait_for(tmp_path: Path) -> None:
    """By their paths; of nothing else."""

    def act(asked: Asked) -> bytes:
        if asked.path.endswith("Connectivity"):
            return exchanged("shoko", "banned")
        return exchanged("shoko", "limbo" if "E03" in asked.query["path"] else "matched")

    async with Upstream(act) as shoko:
        section = {"url": shoko.url, "api_key": "x"}
        async with reading(tmp_path, shoko=section) as read:
            stack = read.services.pipeline
            shows = [replace(ANNIE, library="Anime"), ANNIE_TOO]
            wishes = [stack.request(show, (1,)) for show in shows]
            for wish in wishes:
                stack.approve(wish)
                stack.take_in(stack.grab(wish))
            rows = [row(wish, IMPORTING, number) for number, wish in enumerate(wishes, 1)]
            found = await read(*rows)
            assert read.problems == Problems()
            waiting = len(shoko.asked)
            assert read.calls()["sonarr"].count("/episodefile") == 1
            await read(*(row(wish, GRABBING, at) for at, wish in enumerate(wishes, 1)))
    assert found.shoko is not None
    assert found.shoko.blocked.startswith("AniDB has banned")
    told = {path[-7:-4]: match for path, match in (found.shoko.files or {}).items()}
    matched, fetching = ShokoMatch.MATCHED, ShokoMatch.FETCHING
    assert told == {"E01": matched, "E02": matched, "E03": fetching}
    [title] = [one for one in of(found, "Sonarr").titles if one.anime]
    assert set(title.files) == set(found.shoko.files or {})
    assert len(shoko.asked) == waiting == 4


async def test_without_seerr_or_torrents_they_say_nothing(tmp_path: Path) -> None:
    """Nothing is not empty."""
    async with reading(tmp_path, besides=()) as read:
        found = await read()
    assert (found.seerr.requests, found.torrents, found.shoko) == (None, None, None)
    assert read.problems == Problems()


def followed(rows: dict[int, PendingRow], plan: PendingPlan) -> None:
    """Carry a plan out on rows, as far as the next pass can see it."""
    for number, new in enumerate(plan.adds, len(rows) + 1):
        rows[number] = PendingRow(
            id=number,
            media_type=new.media_type,
            ids=new.ids,
            title=new.title,
            state=new.state,
            seasons=frozenset(new.seasons),
            seerr_id=new.seerr_id,
            arr_id=new.arr_id,
            followed=new.followed,
        )
    for change in plan.changes:
        rows[change.row_id] = replace(rows[change.row_id], state=change.state)
    for number, kept in plan.kept.items():
        rows[number] = replace(rows[number], followed=kept)


@pytest.mark.parametrize(("title", "seasons"), [(LODGER, ()), (ANNIE, (1,))])
async def test_what_is_read_is_what_the_planner_needs(
    tmp_path: Path, title: Movie | Series, seasons: tuple[int, ...]
) -> None:
    """A request takes its way: each state as soon as it is so, and nobody is called."""
    rows: dict[int, PendingRow] = {}
    async with reading(tmp_path) as read:
        stack = read.services.pipeline

        async def state() -> RequestState | None:
            """The row's state after one more pass."""
            found = await read(*rows.values())
            assert read.problems == Problems()
            plan = plan_pending(
                found, list(rows.values()), PendingMemory(), PendingPolicy(), read.now[0]
            )
            assert list(plan.attention) == []
            followed(rows, plan)
            read.later(1)
            return rows[1].state

        wish = stack.request(title, seasons)
        assert await state() is RequestState.REQUESTED
        stack.approve(wish)
        assert await state() is RequestState.APPROVED
        download = stack.grab(wish)
        assert await state() is RequestState.GRABBING
        stack.advance(download, 0.4)
        assert await state() is RequestState.DOWNLOADING
        stack.advance(download, 1.0)
        assert await state() is RequestState.DOWNLOADED
        stack.take_in(download)
        assert await state() is RequestState.IMPORTING
        stack.complete(wish)
        assert await state() is RequestState.IMPORTING
    assert (rows[1].title, rows[1].seerr_id) == (title.title, wish.number)


async def test_of_many_titles_those_that_were_read_longest_ago_are_read_next(
    tmp_path: Path,
) -> None:
    """So each has its turn, however many there are; what downloads comes first."""
    async with reading(tmp_path) as read:
        stack = read.services.pipeline
        films = [Movie.named(f"Film {at}", 1930, {"Tmdb": f"{9000 + at}"}) for at in range(90)]
        wishes = [stack.request(film) for film in films]
        for wish in wishes:
            stack.approve(wish)
        stack.grab(wishes[0])
        stack.grab(wishes[89])
        found = []
        for _ in range(5):
            found.append(of(await read(), "Radarr"))
            read.later(5)
    assert {title.title for title in found[0].titles} >= {"Film 0", "Film 89"}
    assert [len(one.unread) for one in found] == [70, 50, 30, 10, 0]
    assert (found[-1].whole, len(found[-1].titles)) == (True, 90)
