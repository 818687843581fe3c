"""Radarr and Sonarr: which of their ids belongs to which title, and who answers at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aioresponses import aioresponses

from daemon.domain import Ids, ItemError
from daemon.errors import CutShortError, NotJsonError, ServiceError
from daemon.opening import open_services
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import ServiceHttp
from daemon.settings import Settings
from daemon.snapshot import Report
from tests.upstream import KEY, OfflineReply, Upstream, http, recorded, reply, text_of

Client = Callable[[ServiceHttp], ArrClient]


def radarr(http: ServiceHttp) -> ArrClient:
    """A client of Radarr."""
    return ArrClient(http, APPLICATIONS["radarr"])


def sonarr(http: ServiceHttp) -> ArrClient:
    """A client of Sonarr."""
    return ArrClient(http, APPLICATIONS["sonarr"])


ARRS = [("Radarr", radarr, "movie"), ("Sonarr", sonarr, "series")]

# The service's own id, then those of TMDB, TVDB and IMDb, when the lists were recorded.
MOVIES = """
1 603 - tt0133093, 2 604 - tt0234215, 3 194 - tt0211915, 4 129 - tt0245429, 5 693134 - tt15239678,
6 1693134 - tt15239679, 7 27205 - tt1375666, 8 10681 - tt0910970, 9 424 - tt0108052,
10 496243 - tt6751668, 11 1003596 - tt21357150, 12 806704 - tt18689424, 13 1234567 - -,
14 1234568 - -, 15 1234569 - tt7654321, 16 1234570 - tt7654322, 17 1234571 - tt7654323,
18 1234572 - tt7654324, 19 238 - tt0068646, 20 680 - tt0110912, 21 278 - tt0111161,
22 13 - tt0109830, 23 550 - tt0137523, 24 155 - tt0468569, 25 769 - tt0099685, 26 122 - tt0167260
"""
SERIES = """
1 1396 81189 tt0903747, 2 100088 392256 tt3581920, 3 37854 81797 tt0388629, 4 2224 71256 tt0115147,
5 95396 371980 tt11280740, 6 209867 424536 -, 7 - 275274 -, 8 240001 455001 tt30000001,
9 - 455002 -, 10 240003 455003 tt30000003, 11 240004 455004 tt30000004, 12 240005 455005 tt30000005,
13 240006 455006 tt30000006, 14 240007 455007 tt30000007, 15 240008 455008 tt30000008,
16 240009 455009 tt30000009, 17 240010 455010 tt30000010, 18 240011 455011 tt30000011,
19 1399 121361 tt0944947
"""


def written(table: str) -> dict[int, Ids]:
    """What a service keeps under each of its own numbers, from a table."""
    titles: dict[int, Ids] = {}
    for entry in table.split(","):
        own, *numbers, imdb = entry.split()
        tmdb, tvdb = (None if text == "-" else int(text) for text in numbers)
        titles[int(own)] = Ids(tmdb, tvdb, None if imdb == "-" else imdb)
    return titles


def each_alone(ids: Ids) -> list[Ids]:
    """Every id of a title by itself."""
    return [
        Ids()._replace(**{name: value})
        for name, value in ids._asdict().items()
        if value is not None
    ]


def assert_keeps(found: Report, titles: dict[int, Ids]) -> None:
    """A listing holds these titles, each found by any of its ids, and nothing else."""
    assert found.titles is not None
    assert found.titles.size == len(titles)
    for number, ids in titles.items():
        assert [found.titles.find(one) for one in each_alone(ids)] == [number] * len(
            each_alone(ids)
        )
        assert found.titles.holds(number, ids)


async def listing(body: bytes, service: str = "Radarr", client: Client = radarr) -> Report:
    """What a client makes of a list."""
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, service) as asking:
        return await client(asking).listing()


@pytest.mark.parametrize(
    ("service", "client", "table"), [("Radarr", radarr, MOVIES), ("Sonarr", sonarr, SERIES)]
)
async def test_a_real_list_becomes_an_index(service: str, client: Client, table: str) -> None:
    """Every id that a real server knows leads to its own, and 0 or an empty text is no id."""
    found = await listing(text_of(service.lower(), "list"), service, client)
    titles = written(table)
    assert_keeps(found, titles)
    assert (found.defects, found.listed, found.whole) == ([], len(titles), True)


@pytest.mark.parametrize(
    ("ids", "number"),
    [
        (Ids(tmdb=1399, tvdb=81189), 1),
        (Ids(tmdb=7, tvdb=81189), 1),
        (Ids(tmdb=1399), 19),
        (Ids(imdb="tt0944947"), 19),
        (Ids(tmdb=1399, tvdb=999_999), None),
        (Ids(tmdb=0, imdb=""), None),
        (Ids(), None),
    ],
)
async def test_a_series_is_found_by_sonarrs_own_key_first(ids: Ids, number: int | None) -> None:
    """TVDB decides; another id finds only what has no other TVDB id."""
    titles = (await listing(text_of("sonarr", "list"), "Sonarr", sonarr)).titles
    assert titles is not None
    assert titles.find(ids) == number


SEASONS = [
    {"seasonNumber": 0},
    {"seasonNumber": 1, "statistics": {"totalEpisodeCount": 10, "episodeCount": 3}},
    {"seasonNumber": 2, "statistics": None},
]


async def test_all_episodes_of_a_season_are_counted() -> None:
    """Aired or not, monitored or not; a season without statistics is not counted."""
    records = [{"id": 7, "tvdbId": 77, "seasons": SEASONS}, {"id": 8, "tvdbId": 78}]
    found = await listing(json.dumps(records).encode(), "Sonarr", sonarr)
    assert (found.counts, found.defects) == ({7: {1: 10}}, [])


@pytest.mark.parametrize(("service", "client", "noun"), ARRS)
async def test_a_list_is_asked_for_in_one_piece(service: str, client: Client, noun: str) -> None:
    """The list's path is asked for once, without a query that could carry or cost something."""
    async with Upstream([reply(body=b"[]")]) as upstream, http(upstream.url, service) as asking:
        found = await client(asking).listing()
    assert (found.listed, found.defects, found.whole) == (0, [], True)
    assert_keeps(found, {})
    assert [(asked.path, asked.query) for asked in upstream.asked] == [(f"/api/v3/{noun}", {})]


async def test_one_film_is_asked_for_by_its_tmdb_id() -> None:
    """Radarr narrows its list to one film; not knowing it is no failure, and no whole list."""
    async with Upstream([reply(body=b"[]")]) as upstream, http(upstream.url) as asking:
        found = await radarr(asking).of_tmdb(603)
    assert found is None
    [asked] = upstream.asked
    assert (asked.path, asked.query) == ("/api/v3/movie", {"tmdbId": "603"})


async def test_the_key_goes_in_its_header_only() -> None:
    """The key is in one header and never in the address, which redirects repeat and logs keep."""
    async with Upstream([reply(body=json.dumps(recorded("radarr", "status")).encode())]) as up:
        settings = {
            name: {"url": f"{up.url}/base", "api_key": KEY} for name in ("jellyfin", "radarr")
        }
        async with open_services(Settings.model_validate(settings)) as services:
            [radarr] = services.of(ArrClient)
            assert await radarr.check() == "6.0.3.10276"
    [asked] = up.asked
    assert [name for name, value in asked.headers.items() if KEY in value] == ["x-api-key"]
    assert (asked.path, asked.query) == ("/base/api/v3/system/status", {})


@pytest.mark.parametrize(("service", "client", "_noun"), ARRS)
@pytest.mark.parametrize("document", ["radarr", "sonarr", "jellyfin"])
async def test_swapped_services_are_told(
    document: str, service: str, client: Client, _noun: str
) -> None:
    """Radarr where Sonarr should be, or the other way round, is a wrong address and named."""
    status = {"Id": "x"} if document == "jellyfin" else recorded(document, "status")
    with aioresponses() as mocked:
        mocked.get(
            "http://arr.test/api/v3/system/status",
            payload=status,
            response_class=OfflineReply,
        )
        async with http("http://arr.test", service) as asking:
            if document == service.lower():
                assert await client(asking).check() == status["version"]
                return
            with pytest.raises(ServiceError, match="check the address, the port") as caught:
                await client(asking).check()
    assert caught.value.kind == "wrong_service"
    assert f"this is {status.get('appName', 'something else')};" in str(caught.value)


@pytest.mark.parametrize(
    ("service", "client", "away"),
    [("Radarr", radarr, ("/media/offline-nas",)), ("Sonarr", sonarr, ("/media/tv-offline",))],
)
async def test_root_folders_that_are_away_are_named(
    service: str, client: Client, away: tuple[str, ...]
) -> None:
    """As real servers tell them."""
    body = text_of(service.lower(), "folders")
    async with Upstream([reply(body=body)]) as upstream, http(upstream.url, service) as asking:
        assert await client(asking).folders_away() == away
    assert [asked.path for asked in upstream.asked] == ["/api/v3/rootfolder"]


@pytest.mark.parametrize(("service", "client", "noun"), ARRS)
@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_list_that_is_refused_is_not_empty(
    status: int, service: str, client: Client, noun: str
) -> None:
    """A list that cannot be read is an error, never a list without titles."""
    with aioresponses() as mocked:
        mocked.get(
            f"http://arr.test/api/v3/{noun}",
            status=status,
            content_type="",
            response_class=OfflineReply,
        )
        async with http("http://arr.test", service) as asking:
            with pytest.raises(ServiceError, match=f"{service} at http://arr.test/api/v3/{noun}: "):
                await client(asking).listing()


AROUND = [{"title": "a", "tmdbId": 1, "id": 11}, {"title": "b", "tmdbId": 2, "id": 12}]


def between(record: Any) -> bytes:
    """A list in which a record stands between two sound ones."""
    return json.dumps([AROUND[0], record, AROUND[1]], indent=2).encode()


@pytest.mark.parametrize(
    ("record", "ref", "reason"),
    [
        ({"title": "x", "tmdbId": 5}, "", "Object missing required field `id`"),
        ({"title": "x", "tmdbId": 5, "id": 10**22}, "", "Expected `int` <= 2147483647 - at `$.id`"),
        ({"title": "x", "tmdbId": 5, "id": "7"}, "", "Expected `int`, got `str` - at `$.id`"),
        ({"title": "x", "tmdbId": 5, "id": 0}, "0", "its number is none"),
        ({"title": "x", "tmdbId": 5, "id": -3}, "-3", "its number is none"),
        (7, "", "Expected `object`, got `int`"),
    ],
)
async def test_a_record_without_a_number_is_a_defect(record: Any, ref: str, reason: str) -> None:
    """It is named as far as it can be, the rest is read, and the list is not whole."""
    found = await listing(between(record))
    assert_keeps(found, {11: Ids(1), 12: Ids(2)})
    assert found.defects == [ItemError("Radarr", ref, reason)]
    assert (found.listed, found.whole) == (3, False)


@pytest.mark.parametrize(
    ("record", "ids", "lost"),
    [
        ({"tmdbId": "5", "imdbId": "tt0000009"}, Ids(imdb="tt0000009"), ["tmdbId"]),
        ({"tmdbId": 10**22, "tvdbId": 9}, Ids(tvdb=9), ["tmdbId"]),
        ({"tmdbId": 5, "imdbId": 9}, Ids(5), ["imdbId"]),
        ({"tmdbId": 5, "seasons": {}}, Ids(5), ["seasons"]),
        ({"tmdbId": 5, "seasons": [{"seasonNumber": "1"}]}, Ids(5), ["seasons"]),
        ({"tmdbId": [], "imdbId": {}, "tvdbId": 9}, Ids(tvdb=9), ["tmdbId", "imdbId"]),
        ({"tmdbId": 5, "imdbId": None}, Ids(5), []),
        ({"tmdbId": 5, "seasons": None, "tvdbId": None}, Ids(5), []),
        ({"tmdbId": None, "tvdbId": 9}, Ids(tvdb=9), []),
        ({"title": "\ud83c", "tmdbId": 5}, Ids(5), ["text"]),
    ],
)
async def test_a_bad_value_costs_only_itself(
    record: dict[str, Any], ids: Ids, lost: list[str]
) -> None:
    """The record counts without it; what is null is simply not known."""
    found = await listing(between({**record, "id": 7}))
    assert_keeps(found, {11: Ids(1), 7: ids, 12: Ids(2)})
    told = [ItemError("Radarr", "7", f"its {name} is not understood", lost=False) for name in lost]
    assert (found.defects, found.whole) == (told, True)


async def test_an_id_that_several_records_share_leads_to_none_of_them() -> None:
    """Their own other ids still tell them apart, in whatever order they come."""
    records = [{"id": 1, "tmdbId": 5, "imdbId": "tt1"}, {"id": 2, "tmdbId": 5, "imdbId": "tt2"}]
    for listed in (records, records[::-1]):
        titles = (await listing(json.dumps(listed).encode())).titles
        assert titles is not None
        found = [titles.find(ids) for ids in (Ids(5), Ids(imdb="tt1"), Ids(imdb="tt2"))]
        assert found == [None, 1, 2]


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"message": "database is locked"}'])
async def test_what_is_no_list_is_not_empty(body: bytes) -> None:
    """Another shape than a list, or nothing at all, is an error."""
    with pytest.raises(NotJsonError, match="the list is malformed"):
        await listing(body)


async def test_a_list_that_ends_early_is_no_list() -> None:
    """A list that ends cleanly in its midst gives no index at all."""
    with pytest.raises(CutShortError, match="the list ends too early"):
        await listing(text_of("radarr", "list")[:50_000])


async def test_a_list_that_is_broken_throughout_costs_little() -> None:
    """Every record is counted, and the first thousand are told."""
    found = await listing(b"[" + b",".join([b"{}"] * 3000) + b"]")
    assert (found.listed, len(found.defects), found.whole) == (3000, 1000, False)
