"""The pretend Seerr and qBittorrent, and Radarr's and Sonarr's queues: the real clients on them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.domain import Ids, MediaType
from daemon.errors import RefusedKeyError
from daemon.pipeline import HistoryKind, SeerrMedia, SeerrStatus
from daemon.services.arr_queue import ArrQueueClient
from daemon.services.http import ServiceHttp
from daemon.services.qbittorrent import QbittorrentClient
from daemon.services.seerr import SeerrClient
from tests.pretend import PretendServices, World
from tests.pretend.library import Movie, Series
from tests.pretend.qbittorrent import USERNAME
from tests.test_pretend.support import ask, shape
from tests.upstream import QUICK, recorded

LODGER = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"}, "Fog.")
ANNIE = Series.named("Annie Oakley", 1954, {"Tmdb": "4242", "Tvdb": "71000"})
LONG_SINCE = datetime.now(UTC) - timedelta(days=30)


@pytest.fixture
async def services(world: World) -> AsyncIterator[PretendServices]:
    """Start all services."""
    async with PretendServices(world, besides=("seerr", "qbittorrent")) as running:
        yield running


def http(services: PretendServices, name: str) -> ServiceHttp:
    """A client's way to one of them."""
    headers = {"X-Api-Key": getattr(services, f"{name}_key")}
    if name == "qbittorrent":
        headers = {"Authorization": f"Bearer {services.qbittorrent_key}"}
    return ServiceHttp(name, getattr(services, f"{name}_url"), headers, QUICK)


def seerr_row(name: str) -> dict[str, Any]:
    """The first request of a recorded list."""
    found: dict[str, Any] = json.loads(recorded("seerr", "exchanges")[name]["body"])["results"][0]
    return found


async def test_a_request_is_approved(services: PretendServices) -> None:
    """Seerr lists it, and sends it to Radarr."""
    pipeline = services.pipeline
    async with http(services, "seerr") as to_seerr, http(services, "radarr") as to_radarr:
        seerr, radarr = SeerrClient(to_seerr), ArrQueueClient(to_radarr, MediaType.MOVIE)
        assert await seerr.check() == "version 3.1.0"
        wish = pipeline.request(LODGER)
        [asked] = (await seerr.open_requests()).requests
        assert (asked.status, asked.sent) == (SeerrStatus.PENDING, False)
        assert (asked.ids, asked.requested_by) == (Ids(2760), "reader")
        assert (await seerr.title(MediaType.MOVIE, 2760)).title == "The Lodger"
        pipeline.approve(wish)
        [sent] = (await seerr.open_requests()).requests
        assert (sent.status, sent.media) == (SeerrStatus.APPROVED, SeerrMedia.PROCESSING)
        film = await radarr.film(2760)
    assert film is not None
    assert (sent.sent, film.has_file) == (True, False)


async def test_a_film_is_downloaded_and_imported(services: PretendServices) -> None:
    """Radarr's queue and history and qBittorrent tell it step by step."""
    pipeline = services.pipeline
    wish = pipeline.request(LODGER)
    pipeline.approve(wish)
    async with http(services, "radarr") as to_radarr, http(services, "qbittorrent") as to_torrents:
        radarr = ArrQueueClient(to_radarr, MediaType.MOVIE)
        torrents = QbittorrentClient(to_torrents)
        assert await torrents.check() == "version 5.3.0"

        async def told() -> tuple[Any, ...]:
            """The queue's words and how much is left, and the torrent's."""
            [torrent] = ((await torrents.torrents()).torrents or {}).values()
            entries = (await radarr.queue()).values
            words = [(one.status, one.tracked_state, one.left / one.size) for one in entries]
            return words, torrent.state, torrent.progress

        download = pipeline.grab(wish)
        assert await told() == ([("warning", "downloading", 1.0)], "stalledDL", 0.0)
        pipeline.advance(download, 0.5)
        assert await told() == ([("downloading", "downloading", 0.5)], "downloading", 0.5)
        pipeline.advance(download, 1.0)
        assert await told() == ([("completed", "importPending", 0.0)], "stalledUP", 1.0)
        pipeline.take_in(download)
        assert await told() == ([], "stalledUP", 1.0)
        events = (await radarr.history(LONG_SINCE)).values
        film = await radarr.film(2760)
    assert [event.kind for event in events] == [HistoryKind.GRABBED, HistoryKind.IMPORTED]
    assert {event.download_id for event in events} == {download.hash.upper()}
    assert film is not None
    assert film.has_file


async def test_a_request_ends(services: PretendServices) -> None:
    """Done in Seerr's eyes it is no longer open, and deleted it is gone."""
    pipeline = services.pipeline
    wish = pipeline.request(LODGER)
    async with http(services, "seerr") as asking:
        seerr = SeerrClient(asking)
        pipeline.complete(wish)
        assert (await seerr.open_requests()).requests == []
        assert await seerr.status_of(wish.number) is SeerrStatus.COMPLETED
        pipeline.withdraw(wish)
        assert await seerr.status_of(wish.number) is None


async def test_a_season_takes_its_way(services: PretendServices) -> None:
    """One torrent, an entry and an event for each of its episodes, and files in the end."""
    pipeline = services.pipeline
    wish = pipeline.request(ANNIE, seasons=(2,))
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    async with http(services, "sonarr") as to_sonarr, http(services, "seerr") as to_seerr:
        sonarr = ArrQueueClient(to_sonarr, MediaType.TV)
        [request] = (await SeerrClient(to_seerr).open_requests()).requests
        assert (sorted(request.seasons), request.ids) == ([2], Ids(4242, 71000))
        entries = (await sonarr.queue()).values
        assert {(entry.season, entry.download_id) for entry in entries} == {
            (2, download.hash.upper())
        }
        assert len({entry.episode_id for entry in entries}) == 3
        events = (await sonarr.history(LONG_SINCE)).values
        assert [event.season for event in events] == [2, 2, 2]
        series = wish.sent or 0
        assert [one.has_file for one in (await sonarr.episodes(series)).values] == [False] * 3
        pipeline.advance(download, 1.0)
        pipeline.take_in(download)
        episodes = (await sonarr.episodes(series)).values
        assert {one.id for one in episodes} == {entry.episode_id for entry in entries}
        assert [one.has_file for one in episodes] == [True] * 3
        assert len(await sonarr.files(series, LONG_SINCE)) == 3


async def test_an_import_that_is_blocked_says_why(services: PretendServices) -> None:
    """As a warning beside the word for its state."""
    pipeline = services.pipeline
    wish = pipeline.request(LODGER)
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    pipeline.advance(download, 1.0)
    download.tracked, download.messages = "importBlocked", ("Sample",)
    async with http(services, "radarr") as asking:
        [entry] = (await ArrQueueClient(asking, MediaType.MOVIE).queue()).values
    assert (entry.tracked_state, entry.tracked_status) == ("importBlocked", "warning")
    assert entry.messages == ("Sample",)


async def test_nothing_is_sent_twice(services: PretendServices) -> None:
    """Seerr answers 304, and qBittorrent sends what has changed."""
    pipeline = services.pipeline
    wish = pipeline.request(LODGER)
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    async with http(services, "seerr") as to_seerr, http(services, "qbittorrent") as to_torrents:
        seerr, torrents = SeerrClient(to_seerr), QbittorrentClient(to_torrents)
        first = (await seerr.open_requests()).requests
        await torrents.torrents()
        before = (to_seerr.meter.bytes, to_torrents.meter.bytes)
        assert (await seerr.open_requests()).requests == first
        assert to_seerr.meter.bytes == before[0]
        pipeline.advance(download, 0.1)
        await torrents.torrents()
        assert 0 < to_torrents.meter.bytes - before[1] < 2000
        del pipeline.downloads[download.hash]
        assert (await torrents.torrents()).torrents == {}


async def test_a_login_and_a_ban(services: PretendServices) -> None:
    """The right password opens, and five wrong ones close."""
    url = services.qbittorrent_url
    async with ServiceHttp("qBittorrent", url, {}, QUICK) as asking:
        right = QbittorrentClient(asking, USERNAME, services.qbittorrent_key)
        assert (await right.torrents()).torrents == {}
        for _ in range(5):
            with pytest.raises(RefusedKeyError, match="password is wrong"):
                await QbittorrentClient(asking, USERNAME, "wrong").torrents()
        fresh = QbittorrentClient(asking, USERNAME, services.qbittorrent_key)
        with pytest.raises(RefusedKeyError, match="banned"):
            await fresh.torrents()
    assert (await ask(services, "qbittorrent", "/api/v2/app/version", {})).status == 403


async def test_a_wrong_key_of_seerr(services: PretendServices) -> None:
    """403, as a page's address is a redirect to the sign-in."""
    answer = await ask(services, "seerr", "/api/v1/request", {"X-Api-Key": "wrong"})
    said = recorded("seerr", "exchanges")["wrong key"]
    assert (answer.status, answer.json) == (said["status"], json.loads(said["body"]))
    page = await ask(services, "seerr", "/", {})
    assert (page.status, page.headers["Location"]) == (307, "/login")


async def test_answers_are_of_the_recorded_shape(services: PretendServices) -> None:
    """So that what the clients make of these holds for real servers, too."""
    pipeline = services.pipeline
    wishes = [pipeline.request(LODGER), pipeline.request(ANNIE, (1,))]
    listed = (await ask(services, "seerr", "/api/v1/request?take=9&filter=pending")).json
    assert shape(listed["results"][1]) == shape(seerr_row("pending"))
    for wish in wishes:
        pipeline.approve(wish)
        pipeline.advance(pipeline.grab(wish), 1.0)
    queue = (await ask(services, "radarr", "/api/v3/queue/details")).json
    known = set(recorded("radarr", "queue")[0])
    assert known - set(queue[0]) <= {"seriesId"}
    episodes = (await ask(services, "sonarr", "/api/v3/queue/details")).json
    assert {"seriesId", "episodeId", "seasonNumber"} <= set(episodes[0])
    key = {"Authorization": f"Bearer {services.qbittorrent_key}"}
    main = (await ask(services, "qbittorrent", "/api/v2/sync/maindata?rid=0", key)).json
    said = json.loads(recorded("qbittorrent", "exchanges")["5.3.0 full"]["body"])
    assert shape(list(main["torrents"].values())) == shape(list(said["torrents"].values()))
    assert shape(main["server_state"]) == shape(said["server_state"])
