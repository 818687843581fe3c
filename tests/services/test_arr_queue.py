"""Radarr and Sonarr: queue, history, episodes, single titles and health of real servers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from daemon.domain import Ids, ItemError, MediaType
from daemon.errors import CutShortError, NotJsonError, ServiceError, WrongServiceError
from daemon.pipeline import ArrEpisode, ArrSeason, HistoryEvent, HistoryKind, QueueEntry
from daemon.services.arr_queue import ArrQueueClient
from daemon.services.listing import Found
from tests.upstream import Asked, Upstream, http, recorded, reply, text_of

SINCE = datetime(2026, 11, 20, tzinfo=UTC)
HASH = "C12FE1C06BBA254A9DC9F519B335AA7C1367A88A"
ADDED = datetime(2026, 11, 22, 20, 15, 30, tzinfo=UTC)


def client(asking: Any) -> ArrQueueClient:
    """A client of the kind that the service's name tells."""
    films = asking.service == "Radarr"
    return ArrQueueClient(asking, MediaType.MOVIE if films else MediaType.TV)


async def queue(body: bytes, service: str = "Radarr") -> Found[QueueEntry]:
    """What a client makes of a queue."""
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, service) as asking:
        return await client(asking).queue()


async def history(body: bytes, service: str = "Radarr") -> Found[HistoryEvent]:
    """What a client makes of a history."""
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, service) as asking:
        return await client(asking).history(SINCE)


def changed(name: str, **values: Any) -> bytes:
    """Radarr's recorded list with other values in its first record; None takes one away."""
    first, *others = recorded("radarr", name)
    record = {**first, **values}
    return json.dumps([{k: v for k, v in record.items() if v is not None}, *others]).encode()


async def test_the_queue_of_a_real_radarr() -> None:
    """With what is paused, stalled, held back by a delay, and with what fits no film."""
    found = await queue(text_of("radarr", "queue"))
    assert found.defects == []
    assert found.values[0] == QueueEntry(
        arr_id=26,
        status="paused",
        tracked_state="downloading",
        tracked_status="ok",
        size=6291456,
        left=6291456,
        download_id="990AFD8417EFB6EA6494F6168C78A1181CC76A0E",
        torrent=True,
        added=ADDED,
        quality="Bluray-1080p",
        indexer="Example Indexer",
        title="The.Lord.of.the.Rings.The.Return.of.the.King.2003.1080p.BluRay.x264-GRP",
        client="qBittorrent",
    )
    told = [(entry.arr_id, entry.status, entry.tracked_state) for entry in found.values]
    assert told == [
        (26, "paused", "downloading"),
        (None, "queued", "downloading"),
        (23, "warning", "downloading"),
        (24, "warning", "downloading"),
        (25, "queued", "downloading"),
        (11, "delay", ""),
    ]
    assert found.values[1].added is None
    assert found.values[2].messages == ("The download is stalled with no connections",)
    assert (found.values[5].download_id, found.values[5].client) == (None, None)


async def test_the_queue_of_a_real_sonarr() -> None:
    """One entry for each episode of a pack, with its season, and the reasons of a blocked one."""
    found = await queue(text_of("sonarr", "queue"), "Sonarr")
    assert found.defects == []
    places = [(entry.arr_id, entry.season, entry.episode_id) for entry in found.values]
    assert places == [(2, 2, 90), (None, None, None), (3, 21, 174)] + [
        (19, 8, number) for number in range(519, 525)
    ]
    assert len({entry.download_id for entry in found.values[3:]}) == 1
    blocked = found.values[2]
    assert (blocked.status, blocked.tracked_state) == ("completed", "importPending")
    assert blocked.messages == ("Invalid video file, unsupported extension: '.h264-GRP'",)


async def test_downloads_are_known_in_upper_case() -> None:
    """So the two lists and qBittorrent agree, whichever way a version writes it."""
    for name, read in (("queue", queue), ("grabs", history)):
        found = await read(changed(name, downloadId="ab12"))
        assert found.values[0].download_id == "AB12"


async def test_the_queue_is_asked_for_in_one_piece_and_by_key_only() -> None:
    """The paged queue repeats its last page past the end; this one has no pages."""
    async with Upstream([reply(body=b"[]")]) as upstream, http(upstream.url) as asking:
        assert await client(asking).queue() == Found()
    [asked] = upstream.asked
    assert (asked.path, asked.query) == ("/api/v3/queue/details", {})


async def test_words_that_nobody_knows_are_kept() -> None:
    """A newer version's words are handed on as they are, and judged elsewhere."""
    found = await queue(changed("queue", status="teleporting", trackedDownloadState="beamed"))
    assert (found.values[0].status, found.values[0].tracked_state) == ("teleporting", "beamed")
    assert found.defects == []


@pytest.mark.parametrize(
    ("values", "lost", "whole"),
    [
        ({"size": "large"}, "size", True),
        ({"statusMessages": [7]}, "statusMessages", True),
        ({"added": "yesterday"}, "added", True),
        ({"quality": 7}, "quality", True),
        ({"movieId": "26"}, "movieId", False),
        ({"downloadId": 7}, "downloadId", False),
    ],
)
async def test_an_odd_value_costs_itself_or_what_it_places(
    values: dict[str, Any], lost: str, whole: bool
) -> None:
    """Without its film or its download an entry could be anybody's: the queue is not whole."""
    found = await queue(changed("queue", **values))
    said = f"its {lost} is not understood"
    assert found.defects == [ItemError("Radarr", "2109694644", said, lost=not whole)]
    assert (len(found.values), found.whole) == (6 if whole else 5, whole)


@pytest.mark.parametrize("record", [7, {"id": 7}, {"status": 7}])
async def test_a_broken_entry_is_missed(record: Any) -> None:
    """The others are read, and the queue is not whole."""
    found = await queue(json.dumps([record, *recorded("radarr", "queue")]).encode())
    assert (len(found.values), found.whole, len(found.defects)) == (6, False, 1)


async def test_grabs_of_a_real_history() -> None:
    """Everything that a row shows of a grab, and which kind of client it went to."""
    found = await history(text_of("radarr", "grabs"))
    assert found.defects == []
    assert found.values[0] == HistoryEvent(
        kind=HistoryKind.GRABBED,
        arr_id=1,
        date=datetime(2026, 11, 20, 10, tzinfo=UTC),
        download_id=HASH,
        quality="Bluray-1080p",
        indexer="Example Indexer",
        release_group="GRP",
        size=10356789012,
        torrent=True,
        client="qBittorrent",
    )


async def test_a_real_history_tells_imports_upgrades_and_lost_files() -> None:
    """Each event in its order with the reason of a deletion; others are kept as others."""
    found = await history(text_of("radarr", "history"))
    gone, kept = HistoryKind.FILE_DELETED, HistoryKind.IMPORTED
    assert [(event.kind, event.reason) for event in found.values] == [
        *[(gone, "MissingFromDisk")] * 3,
        (gone, "Manual"),
        (kept, None),
        (gone, "Upgrade"),
        (kept, None),
        (HistoryKind.OTHER, None),
    ]
    assert [bool(event.download_id) for event in found.values if event.kind is kept] == [
        True,
        False,
    ]


async def test_a_series_history_tells_episodes_and_seasons() -> None:
    """Sonarr tells the season only where the episode is asked for along with the event."""
    grabs = [
        {**event, "episode": {"seasonNumber": 2}} for event in recorded("sonarr", "history")[:7]
    ]
    body = json.dumps([*grabs, *recorded("sonarr", "history")[7:]]).encode()
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, "Sonarr") as asking:
        found = await client(asking).history(SINCE)
    assert {(event.arr_id, event.season) for event in found.values[:7]} == {(2, 2)}
    assert len({event.episode_id for event in found.values[:7]}) == 7
    assert [event.kind for event in found.values].count(HistoryKind.FAILED) == 1
    [asked] = upstream.asked
    assert asked.query == {"date": "2026-11-20T00:00:00Z", "includeEpisode": "true"}


async def test_the_history_is_asked_for_in_utc() -> None:
    """A time without a zone would be read in the server's own."""
    there = SINCE.astimezone(timezone(timedelta(hours=5)))
    async with Upstream([reply(body=b"[]")]) as upstream, http(upstream.url) as asking:
        await client(asking).history(there)
    [asked] = upstream.asked
    assert (asked.path, asked.query) == ("/api/v3/history/since", {"date": "2026-11-20T00:00:00Z"})


@pytest.mark.parametrize("name", ["queue", "history", "grabs", "movie"])
async def test_no_passkey_leaves_the_client(name: str) -> None:
    """Addresses, guids and hashes of the history's data are in no value and no defect."""
    text = text_of("radarr", name).replace(b"(removed)", b"PASSKEY")
    if name == "queue":
        leak = b"at [http://user:PASSKEY@sab.test/api?apikey=PASSKEY] with no connections"
        text = text.replace(b"with no connections", leak)
    broken = re.sub(rb'"movieId": (\d+)', rb'"movieId": "PASSKEY\1"', text)
    acts: list[Any] = [reply(body=body) for body in (text, text, text, broken, broken)]
    async with Upstream(acts) as upstream, http(upstream.url) as asking:
        asks = client(asking)
        if name == "movie":
            said = repr(await asks.title(1))
        elif name == "queue":
            said = repr(await asks.queue())
            assert "at [http://sab.test] with no connections" in said
        else:
            said = repr([await asks.history(SINCE) for _ in range(4)])
    words = ("PASSKEY", "indexer.example", "guid", "Url", "dropped")
    assert [word for word in words if word in said] == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("could not add https://t.example:8443/dl/PASSKEY/1.torrent?a=1", "https://t.example:8443"),
        ("udp://PASSKEY@t.example/PASSKEY/announce (refused)", "udp://t.example (refused)"),
        ("bad link: magnet:?xt=urn:btih:1&tr=http://t.example/PASSKEY/announce", "a magnet link"),
        ("the indexer refused apikey=PASSKEY&t=search", "apikey=…&t=search"),
        ("torrent_pass=PASSKEY is over", "torrent_pass=… is over"),
        ("Not an upgrade for existing movie file. Existing quality: 7", "Existing quality: 7"),
    ],
)
async def test_no_passkey_leaves_with_a_message(said: str, shown: str) -> None:
    """Whether it stands in the path, in the query, in a magnet link or by itself."""
    [record, *_] = recorded("radarr", "queue")
    record |= {"errorMessage": said}
    async with Upstream([reply(body=json.dumps([record]).encode())]) as up, http(up.url) as asking:
        [entry] = (await client(asking).queue()).values
    assert "PASSKEY" not in repr(entry)
    assert shown in entry.messages[0]


async def test_episodes_of_a_real_series() -> None:
    """Each with its place, its file, and when it was aired and searched for."""
    body = text_of("sonarr", "episodes")
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, "Sonarr") as asking:
        found = await client(asking).episodes(2)
    rows = recorded("sonarr", "episodes")
    assert found.defects == []
    assert [(one.id, one.season, one.number) for one in found.values] == [
        (row["id"], row["seasonNumber"], row["episodeNumber"]) for row in rows
    ]
    assert isinstance(found.values[0], ArrEpisode)
    assert found.values[0].has_file == rows[0]["hasFile"]
    assert found.values[0].aired == datetime.fromisoformat(rows[0]["airDateUtc"])
    [asked] = upstream.asked
    assert (asked.path, asked.query) == ("/api/v3/episode", {"seriesId": "2"})


async def test_the_new_files_of_a_real_series() -> None:
    """Their paths, by which Shoko is asked for them; what was there before is not new."""
    rows = sorted(recorded("sonarr", "files"), key=lambda row: row["dateAdded"], reverse=True)
    body = text_of("sonarr", "files")
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, "Sonarr") as asking:
        every = await client(asking).files(2, datetime(2020, 1, 1, tzinfo=UTC))
        newest = await client(asking).files(2, datetime.fromisoformat(rows[0]["dateAdded"]))
    assert every == tuple(row["path"] for row in rows)
    assert newest == tuple(row["path"] for row in rows if row["dateAdded"] == rows[0]["dateAdded"])


async def test_a_real_film_by_itself() -> None:
    """What a row shows of it, and whether it is wanted and there."""
    row = recorded("radarr", "movie")
    async with Upstream([reply(body=text_of("radarr", "movie"))]) as up, http(up.url) as asking:
        film = await client(asking).title(1)
    assert film is not None
    assert (film.arr_id, film.ids) == (1, Ids(603, None, "tt0133093"))
    assert (film.title, film.year, film.overview) == (row["title"], row["year"], row["overview"])
    assert (film.monitored, film.has_file, film.released) == (True, row["hasFile"], True)
    assert film.poster_url is not None
    assert film.poster_url.startswith("https://image.tmdb.org/")
    assert film.files == (row["movieFile"]["path"],)
    assert film.seasons == {}


async def test_a_real_series_by_itself() -> None:
    """Its seasons with their counts, and what it is called elsewhere."""
    row = recorded("sonarr", "series")
    act = reply(body=text_of("sonarr", "series"))
    async with Upstream([act]) as upstream, http(upstream.url, "Sonarr") as asking:
        series = await client(asking).title(1)
    assert series is not None
    assert series.ids == Ids(1396, 81189, "tt0903747")
    counts = row["seasons"][1]["statistics"]
    season = (counts["episodeFileCount"], counts["episodeCount"], counts["totalEpisodeCount"])
    assert series.seasons[1] == ArrSeason(row["seasons"][1]["monitored"], *season)
    assert (series.anime, series.released) == (False, None)
    [asked] = upstream.asked
    assert asked.path == "/api/v3/series/1"


@pytest.mark.parametrize("value", [{"seasons": {}}, {"monitored": "yes"}, {"tmdbId": "x"}])
async def test_a_title_without_what_matters_is_not_understood(value: dict[str, Any]) -> None:
    """A season that is not understood must not look like one that is not monitored."""
    body = json.dumps({**recorded("sonarr", "series"), **value}).encode()
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, "Sonarr") as asking:
        with pytest.raises(NotJsonError):
            await client(asking).title(1)


async def test_a_title_that_is_not_there_is_told_from_another_service() -> None:
    """Both are 404, but an application that does not know the path has nothing to say."""
    errors = recorded("radarr", "errors")
    for name, known in (("one_unknown", True), ("other_app_path", False)):
        act = reply(404, errors[name]["body"].encode(), errors[name]["headers"])
        async with Upstream([act]) as upstream, http(upstream.url) as asking:
            if known:
                assert await client(asking).title(99999) is None
                continue
            with pytest.raises(WrongServiceError):
                await client(asking).title(99999)


async def test_a_film_is_found_by_its_tmdb_id() -> None:
    """Or is not there; a broken record is neither."""

    def act(asked: Asked) -> bytes:
        known = asked.query == {"tmdbId": "603"}
        return reply(body=b"[" + (text_of("radarr", "movie") if known else b"") + b"]")

    async with Upstream(act) as upstream, http(upstream.url) as asking:
        found = await client(asking).film(603)
        assert found is not None
        assert found.arr_id == 1
        assert await client(asking).film(7) is None
    async with Upstream([reply(body=b'[{"id": "x"}]')]) as upstream, http(upstream.url) as asking:
        with pytest.raises(NotJsonError):
            await client(asking).film(603)


async def test_health_tells_which_download_client_is_away() -> None:
    """Of all complaints only those of download clients count, and without a key in an address."""
    async with Upstream([reply(body=text_of("radarr", "health"))]) as up, http(up.url) as asking:
        problems = await client(asking).client_problems()
    assert problems == (
        "Unable to communicate with qBittorrent. Connection refused (127.0.0.1:18081)",
    )


async def test_the_start_of_an_instance_is_told() -> None:
    """In the first half minute after it the queue is empty."""
    async with Upstream([reply(body=text_of("radarr", "status"))]) as up, http(up.url) as asking:
        assert await client(asking).started() == datetime(2026, 11, 23, 3, 24, 34, tzinfo=UTC)


async def test_a_queue_that_is_cut_is_no_queue() -> None:
    """A list that ends cleanly in its midst would look like downloads that are gone."""
    with pytest.raises(CutShortError, match="the list ends too early"):
        await queue(text_of("radarr", "queue")[:3000])


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"records": []}'])
async def test_what_is_no_list_is_no_empty_queue(body: bytes) -> None:
    """Another shape is an error."""
    with pytest.raises(ServiceError):
        await queue(body)


async def test_events_of_no_title_or_time_are_missed() -> None:
    """They are named; the others count."""
    acts = [changed("grabs", movieId=None), changed("grabs", date="0001-01-01T00:00:00Z")]
    for body in acts:
        found = await history(body)
        assert [defect.reason for defect in found.defects] == ["it is of no title, or of no time"]
        assert (len(found.values), found.whole) == (6, False)
