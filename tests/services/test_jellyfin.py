"""Jellyfin: what is asked of it, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from daemon.domain import Ids, ItemError, LibraryItem, MediaType
from daemon.errors import CutShortError, NotJsonError, ServiceError
from daemon.identity import Parsed, Places, provider_ids
from daemon.opening import open_services
from daemon.services.jellyfin import (
    Counts,
    EpisodeList,
    JellyfinClient,
    ListingContext,
    Page,
    SeasonRef,
    Server,
)
from daemon.services.jellyfin_auth import JellyfinAuth
from daemon.settings import Settings
from daemon.snapshot import Activity, Episode, LibraryFolder
from tests.builders import an_item, our_request
from tests.pretend import PretendServices, World
from tests.pretend.jellyfin import ADMIN, VIEWER
from tests.pretend.library import Episode as File
from tests.pretend.library import Movie, Series, jellyfin_id
from tests.upstream import KEY, Upstream, cases, http, recorded, reply, text_of

STATE = recorded("jellyfin", "state")
EPISODES = recorded("jellyfin", "episodes")["Items"]
SERIES = recorded("jellyfin", "series")
NOTHING = b'{"Items":[],"TotalRecordCount":0,"StartIndex":0}'
SERVER_ID = "857bc384b3564c9f95d6fb4ed4ef43a8"
THRONES = "91e7018c41ef64946748fc7c3cb0f54f"

# What it is, whether it can be played, its ids at TMDB, TVDB and IMDb, and its name up to the 49th
# letter. A series that cannot be played has no episode, or only virtual ones, or a stub.
LIBRARY = """
movie yes 777001 -      -          <script>alert('x')</script> & "quotes" 🎬
movie yes -      -      -          Bad Ids
movie yes 777301 -      -          Changing A
movie yes 777302 -      -          Changing B
movie yes 777303 -      -          Changing C
movie yes 777304 -      -          Changing D
movie yes 777305 -      -          Changing E
movie yes 777306 -      -          Changing F
movie yes 550    -      tt0137523  Fight Club
movie yes -      -      -          First Thing
movie yes 777200 -      -          Folder Id Movie
movie yes -      -      -          Holiday in the Alps
movie yes -      -      -          Huge Id
movie yes -      -      tt0309987  Imdb Only
movie yes 27205  -      tt1375666  Inception
movie yes 194    -      tt0211915  Le Fabuleux Destin d'Amélie Poulain
movie yes -      -      -          Loose File
movie yes 603    -      tt0133093  The Matrix
movie yes 603    -      tt0133093  The Matrix
movie yes 777100 -      -          Mixed Movie
movie yes 424242 -      -          No Year
movie yes 98     12     -          Padded Id
movie yes 777201 -      -          Parts
movie yes 1399   -      -          Same Number Movie
movie yes -      -      -          Second Thing
movie yes 777007 -      -          Twin
movie yes 777007 -      -          Twin
movie yes 777002 -      -          Very Very Very Very Very Very Very Very Very Very
movie yes -      -      -          With
movie yes 777006 -      -          With Extras
movie yes 129    -      tt0245429  千と千尋の神隠し
movie no  777004 -      -          On The Shelf
movie yes 777003 -      -          Streamed
movie yes 777005 -      -          Zero Bytes
tv    yes -      888100 -          Mixed Show
tv    no  -      888017 -          Extras Only
tv    yes -      888015 -          Half Virtual
tv    yes 1396   81189  tt0903747  Breaking Bad
tv    yes -      888013 -          Flat Files
tv    yes 888002 -      -          Tmdb Only
tv    yes -      -      -          Nothing Known
tv    yes -      888021 -          Zero Byte Show
tv    yes -      888016 -          Strm Show
tv    yes 888020 888019 -          Folder Ids
tv    yes -      888001 -          Tvdb Only
tv    no  -      -      -          Bare Folder (2020)
tv    no  -      888014 -          Virtual Only
tv    yes -      888011 -          Only Specials
tv    no  -      888012 -          Last Episode Gone
tv    no  -      888018 -          Stub Show
tv    no  -      888010 -          Not A Video
tv    no  -      888003 -          Announced Only
tv    yes 1399   121361 tt0944947  Game of Thrones
tv    no  -      888004 -          Empty Season
tv    yes -      -      -          A Silent Voice (2016)
tv    yes -      414534 -          Bocchi the Rock!
tv    yes -      -      -          Anidb Only
"""


def written(line: str) -> tuple[MediaType, bool, Ids, str]:
    """One line of the table as values."""
    kind, playable, tmdb, tvdb, imdb, title = line.split(maxsplit=5)
    first, second = (None if text == "-" else int(text) for text in (tmdb, tvdb))
    ids = Ids(first, second, None if imdb == "-" else imdb)
    return MediaType[kind.upper()], playable == "yes", ids, title


def answer(document: Any) -> bytes:
    """A good reply with a document."""
    text = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":"))
    return reply(body=text if isinstance(text, bytes) else text.encode())


def rows(*items: dict[str, Any]) -> bytes:
    """A listing of rows, each a sound movie but for what is given; None leaves a key out."""
    sound = {"Name": "Metropolis", "Id": "a" * 32, "ProviderIds": {}, "Type": "Movie"}
    sound["LocationType"] = "FileSystem"
    made = [{key: value for key, value in (sound | item).items() if value != ...} for item in items]
    return answer({"Items": made, "TotalRecordCount": len(made), "StartIndex": 0})


async def listed(
    act: bytes, page: Page | None = None, around: ListingContext | None = None
) -> list[LibraryItem]:
    """The items that a listing gives."""
    async with Upstream([act]) as upstream, http(upstream.url, "Jellyfin") as client:
        reading = JellyfinClient(client).page(
            page or Page(), 0, 100, around or ListingContext(), pictures=False
        )
        async with aclosing(reading) as pieces:
            return [item async for items in pieces for item in items]


PLAIN = {"Recursive": "true", "CollapseBoxSetItems": "false", "EnableUserData": "false"}
LISTING = PLAIN | {"Fields": "ProviderIds,Path,Overview,DateCreated"}
LISTING |= {"ExcludeLocationTypes": "Virtual", "IncludeItemTypes": "Movie,Series"}
EPISODE = PLAIN | {"IncludeItemTypes": "Episode", "EnableImages": "false"}
EPISODE |= {"SortBy": "SeriesSortName"}
FIRST = EPISODE | {"IsMissing": "false", "IndexNumber": "1"}
SEASON = PLAIN | {"IncludeItemTypes": "Season", "EnableImages": "false"}
PICTURES = {"EnableImages": "true", "EnableImageTypes": "Primary", "ImageTypeLimit": "1"}
MOMENT = datetime(2026, 11, 23, 4, 45, 11, 5, tzinfo=timezone(timedelta(hours=2)))


ANY_TYPE = {"IncludeItemTypes": "Movie,Series,Episode"}
SAVED = PLAIN | ANY_TYPE | {"ExcludeLocationTypes": "Virtual", "EnableImages": "false"}
QUERIES: dict[str, tuple[Callable[[JellyfinClient], Any], dict[str, str]]] = {
    "library": (
        lambda jellyfin: anext(jellyfin.page(Page(), 0, 20000, ListingContext(), pictures=False)),
        LISTING | {"EnableImages": "false", "StartIndex": "0", "Limit": "20000"},
    ),
    "one library": (
        lambda jellyfin: anext(
            jellyfin.page(Page(), 0, 5, ListingContext(), pictures=False, library="c" * 32)
        ),
        LISTING | {"EnableImages": "false", "StartIndex": "0", "Limit": "5", "ParentId": "c" * 32},
    ),
    "a page with pictures": (
        lambda jellyfin: anext(jellyfin.page(Page(), 40000, 500, ListingContext(), pictures=True)),
        LISTING | PICTURES | {"StartIndex": "40000", "Limit": "500"},
    ),
    "first episodes": (lambda jellyfin: jellyfin.first_episodes(), FIRST),
    "first episodes of a library": (
        lambda jellyfin: jellyfin.first_episodes("c" * 32),
        FIRST | {"ParentId": "c" * 32},
    ),
    "all episodes": (lambda jellyfin: jellyfin.episodes({THRONES}), EPISODE),
    "all episodes of a library": (
        lambda jellyfin: jellyfin.episodes({THRONES}, "c" * 32),
        EPISODE | {"ParentId": "c" * 32},
    ),
    "episodes of a season": (
        lambda jellyfin: jellyfin.episodes_of_season("d" * 32, {THRONES}),
        EPISODE | {"ParentId": "d" * 32},
    ),
    "all seasons": (lambda jellyfin: jellyfin.seasons(), SEASON),
    "ids": (
        lambda jellyfin: jellyfin.look_up(["a" * 32, "b" * 32], Page()),
        LISTING | PICTURES | ANY_TYPE | {"Ids": f"{'a' * 32},{'b' * 32}"},
    ),
    "lately saved": (
        lambda jellyfin: jellyfin.saved_since(MOMENT, 500),
        SAVED | {"Limit": "500", "MinDateLastSavedForUser": "2026-11-23T02:45:11Z"},
    ),
}


@pytest.mark.parametrize(("ask", "query"), cases(QUERIES))
async def test_the_query_is_exactly_this(
    ask: Callable[[JellyfinClient], Any], query: dict[str, str]
) -> None:
    """A listing costs the server as little as it can, hides nothing, and names no user."""
    async with Upstream([answer(NOTHING)]) as upstream, http(upstream.url) as client:
        await ask(JellyfinClient(client))
    assert [(asked.path, asked.query) for asked in upstream.asked] == [("/Items", query)]


async def test_the_key_goes_in_the_modern_header_only() -> None:
    """The one way of proving the key that 12.0 still takes is the only one that is used."""
    async with Upstream([answer(STATE["counts"])]) as upstream:
        address = {"url": upstream.url, "api_key": KEY}
        async with open_services(Settings.model_validate({"jellyfin": address})) as services:
            await services.jellyfin.counts()
    [asked] = upstream.asked
    proofs = [name for name, value in asked.headers.items() if KEY in value]
    assert proofs == ["authorization"]
    assert asked.headers["authorization"] == f'MediaBrowser Token="{KEY}"'
    assert asked.query == {}


async def test_a_real_library_is_read_as_it_is() -> None:
    """All that a real server lists comes out with its type, title, ids and availability."""
    page = Page()
    items = await listed(answer(text_of("jellyfin", "library")), page)
    async with (
        Upstream([answer(text_of("jellyfin", "episodes"))]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        proven = (await JellyfinClient(client).episodes(())).proven
    table = [written(line) for line in LIBRARY.strip().splitlines()]
    assert [
        (item.media_type, item.available or item.jellyfin_id in proven, item.ids, item.title[:49])
        for item in items
    ] == table
    assert (page.rows, page.foreign, page.total) == (57, 0, 57)
    unusable = "its Tmdb id is unusable"
    assert [(one.ref, one.reason.rpartition(": ")[2], one.lost) for one in page.defects] == [
        ("6302077fb37d5527422f9f3118ab9acb", unusable, False),
        ("53e8888683c36d2a79be5e3e5dc63e77", unusable, False),
    ]
    assert page.defects[0].reason.startswith("Bad Ids (/media/movies/")


async def test_a_real_row_is_read_whole() -> None:
    """Every field of an item is what the server wrote, its date in UTC."""
    items = await listed(answer(text_of("jellyfin", "library")))
    assert items[8] == LibraryItem(
        jellyfin_id="bccf5a13a66ff6f74500068027d24e4b",
        media_type=MediaType.MOVIE,
        title="Fight Club",
        year=1999,
        ids=Ids(tmdb=550, imdb="tt0137523"),
        overview=items[8].overview,
        path="/media/movies/Fight Club (1999)/Fight Club (1999).mkv",
        created_at=datetime(2026, 11, 23, 2, 42, 10, 710317, tzinfo=UTC),
        available=True,
        poster=None,
    )
    assert items[8].overview == "A short clip."


THREE = ("Tmdb", "Tvdb", "Imdb")


@pytest.mark.parametrize(
    ("given", "ids", "unusable"),
    [
        ({}, Ids(), ()),
        ({"Tmdb": "603", "Tvdb": "1", "Imdb": "tt0133093"}, Ids(603, 1, "tt0133093"), ()),
        ({"TMDB": "603", "tvdb": "1", "iMdB": "TT0133093"}, Ids(603, 1, "tt0133093"), ()),
        ({"TheMovieDb": "603", "TheTVDB": "1"}, Ids(603, 1), ()),
        ({"TheMovieDB": "603", "TheTvDb": "1"}, Ids(603, 1), ()),
        ({"Tmdb": " 0098 ", "Tvdb": "12 ", "Imdb": "\ttt0133093\n"}, Ids(98, 12, "tt0133093"), ()),
        ({"Tmdb": "", "Tvdb": "", "Imdb": ""}, Ids(), ()),
        ({"Tmdb": "not-a-number", "Tvdb": "1.5", "Imdb": "0133093"}, Ids(), THREE),
        ({"Tmdb": "0", "Tvdb": "-1", "Imdb": "tt1"}, Ids(), THREE),
        ({"Tmdb": "99999999999999999999", "Tvdb": "9" * 5000}, Ids(), ("Tmdb", "Tvdb")),
        ({"Tmdb": "\uff19", "Tvdb": "\u00b2", "Imdb": "tt" + "\uff19" * 7}, Ids(), THREE),
        ({"Tmdb": "999999999999999999"}, Ids(tmdb=999_999_999_999_999_999), ()),
        ({"Tmdb": None, "Tvdb": 12, "Imdb": "tt0133093"}, Ids(imdb="tt0133093"), ("Tmdb", "Tvdb")),
        ({"Tmdb": ["603"], "Tvdb": "1"}, Ids(tvdb=1), ("Tmdb",)),
        ({"anidb": "16720", "TmdbCollection": "2344", "": "7"}, Ids(), ()),
    ],
)
def test_ids_are_read_leniently(
    given: dict[str, object], ids: Ids, unusable: tuple[str, ...]
) -> None:
    """An id that is padded or spelled oddly is used, and one that is none costs itself only."""
    assert provider_ids(given) == Parsed(ids, unusable)


@pytest.mark.parametrize(
    ("given", "contradicting"),
    [
        ({"Tmdb": "603", "tmdb": "604"}, ("tmdb",)),
        ({"Tmdb": "603", "TheMovieDb": "604"}, ("TheMovieDb",)),
        ({"Tmdb": "603", "tmdb": " 0603"}, ()),
        ({"Tmdb": "603", "tmdb": "none"}, ()),
    ],
)
async def test_two_ids_of_one_provider_contradict_each_other(
    given: dict[str, str], contradicting: tuple[str, ...]
) -> None:
    """The item is listed all the same, and says so; the same id twice is no contradiction."""
    [item] = await listed(rows({"ProviderIds": given}))
    assert (item.ids, item.contradicting) == (Ids(603), contradicting)


NOT_READY = {
    "start-up": (STATE["starting"], "starting", "still starting; nothing to do"),
    "no wizard": (STATE["new"], "rejected", "not set up yet; finish its set-up"),
    "Radarr": (recorded("radarr", "status"), "wrong_service", "this is no Jellyfin"),
    "no id": (STATE["ready"] | {"Id": None}, "wrong_service", "this is no Jellyfin"),
    "an id that is none": (
        STATE["ready"] | {"Id": {"x": 1}},
        "wrong_service",
        "this is no Jellyfin",
    ),
    "Emby": ({"Id": "x", "Version": "4.9.0.0"}, "wrong_service", "this is no Jellyfin"),
    "a list": ([], "not_json", "unexpected JSON"),
}


@pytest.mark.parametrize(("document", "kind", "words"), cases(NOT_READY))
async def test_what_is_not_ready_or_no_jellyfin_is_told(
    document: Any, kind: str, words: str
) -> None:
    """A server that starts, that nobody has set up, or that is another one, is not read."""
    async with Upstream([answer(document)]) as upstream, http(upstream.url, "Jellyfin") as client:
        with pytest.raises(ServiceError) as caught:
            await JellyfinClient(client).server()
    assert caught.value.kind == kind
    assert words in str(caught.value)
    assert f"Jellyfin at {upstream.url}/System/Info/Public: " in str(caught.value)


async def test_only_libraries_that_can_hold_titles_have_an_id() -> None:
    """Asked for a list of playlists, the server would give playlists, whatever was wanted."""
    kinds = ("movies", "tvshows", None, "playlists", "boxsets", "music")
    folder = {"Name": "x", "ItemId": "1", "RefreshStatus": "Idle"}
    folders = [{**folder, "CollectionType": kind} for kind in kinds]
    acts = [answer(STATE["tasks_idle"]), answer(folders)]
    async with Upstream([*acts]) as upstream, http(upstream.url, "Jellyfin") as client:
        activity = await JellyfinClient(client).activity()
    assert [one.id for one in activity.libraries] == ["1", "1", "1", "", "", ""]


async def test_a_ready_server_says_who_it_is() -> None:
    """Id and version are those that the server gives."""
    async with (
        Upstream([answer(STATE["ready"])]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        assert await JellyfinClient(client).server() == Server(SERVER_ID, "10.11.11")


FOLDERS = (
    LibraryFolder("Movies", ("/media/movies",), "f137a2dd21bbc1b99aa5c0f6bf02a805"),
    LibraryFolder("Movies2", ("/media/movies",), "7f09ac8d4f2f9f306712c0d21acd9863"),
    LibraryFolder("Mixed", ("/media/mixed",), "122ca211c46006b344d85950f9ed4368"),
    LibraryFolder("TV", ("/media/tv",), "4514ec850e5ad0c47b58444e17b6346c"),
    LibraryFolder("Anime", ("/media/anime",), "0c41907140d802bb58430fed7e2cd79e"),
    LibraryFolder("Movies 4K", ("/media/movies-4k",), "f53fc09464c15245f5373088e52a7f1a"),
)
OTHER = [{"Key": "OptimizeDatabase", "State": "Running"}]
CANCELLING = [{"Key": "RefreshLibrary", "State": "Cancelling"}]
RESTING = STATE["tasks_idle"]
IDLE = STATE["folders_idle"]
WORK = {
    "idle": (RESTING, IDLE, False),
    "scan": (STATE["tasks_running"], IDLE, True),
    "one library": (RESTING, STATE["folders_active"], True),
    "cancelling": (OTHER + CANCELLING, IDLE, True),
    "queued": (RESTING, [folder | {"RefreshStatus": "Queued"} for folder in IDLE], True),
    "another task": (OTHER + RESTING, IDLE, False),
}


async def activity(tasks: Any, folders: Any) -> tuple[Activity, list[str]]:
    """What a server with these tasks and folders is doing, and what it was asked."""
    acts = [answer(tasks), answer(folders)]
    async with Upstream([*acts]) as upstream, http(upstream.url, "Jellyfin") as client:
        found = await JellyfinClient(client).activity()
    return found, [asked.path for asked in upstream.asked]


@pytest.mark.parametrize(("tasks", "folders", "scanning"), cases(WORK))
async def test_work_on_the_library_is_seen(tasks: Any, folders: Any, *, scanning: bool) -> None:
    """A scan of everything shows in its task, one of a single library in that library only."""
    found, paths = await activity(tasks, folders)
    assert found == Activity(scanning, FOLDERS)
    assert paths == ["/ScheduledTasks", "/Library/VirtualFolders"]


NO_TASK = "Jellyfin names no task that scans the library"
ODD_TASK = "a scheduled task that Jellyfin does not describe as usual"
ODD_FOLDER = "a library that Jellyfin does not describe as usual"
MOVIES = IDLE[0]


def without(name: str) -> dict[str, Any]:
    """A library without one of its keys."""
    return {key: value for key, value in MOVIES.items() if key != name}


UNKNOWN = {
    "null task": ([*RESTING, None], IDLE, (ODD_TASK,)),
    "a text for a task": ([*RESTING, "x"], IDLE, (ODD_TASK,)),
    "task without state": ([*RESTING, {"Key": "x"}], IDLE, (ODD_TASK,)),
    "task with a null state": ([*RESTING, {"Key": "x", "State": None}], IDLE, (ODD_TASK,)),
    "no task of the scan": (OTHER, IDLE, (NO_TASK,)),
    "no task at all": ([], IDLE, (NO_TASK,)),
    "null folder": (RESTING, [*IDLE, None], (ODD_FOLDER,)),
    "folder without status": (RESTING, [*IDLE, without("RefreshStatus")], (ODD_FOLDER,)),
    "folder with a null status": (RESTING, [MOVIES | {"RefreshStatus": None}], (ODD_FOLDER,)),
    "folder without a name": (RESTING, [without("Name")], (ODD_FOLDER,)),
    "folder with a null id": (RESTING, [MOVIES | {"ItemId": None}], (ODD_FOLDER,)),
    "nothing as usual": ([None], [None], (ODD_TASK, NO_TASK, ODD_FOLDER)),
}


@pytest.mark.parametrize(("tasks", "folders", "odd"), cases(UNKNOWN))
async def test_what_is_not_understood_may_be_a_scan(
    tasks: Any, folders: Any, odd: tuple[str, ...]
) -> None:
    """The server is not taken for idle then, and it is said why; nothing fails by it."""
    found, _ = await activity(tasks, folders)
    assert (found.scanning, found.odd) == (True, odd)


@pytest.mark.parametrize(
    ("given", "places"),
    [
        (without("Name"), ("/media/movies",)),
        (MOVIES | {"Locations": ["/a", None, 5, "/b"]}, ("/a", "/b")),
        (MOVIES | {"Locations": None}, ()),
        (MOVIES | {"Locations": 5}, ()),
        (MOVIES | {"Locations": "/media/movies"}, ()),
        (without("Locations"), ()),
        (None, ()),
    ],
)
async def test_where_a_library_is_is_read_whatever_else_is_odd(
    given: Any, places: tuple[str, ...]
) -> None:
    """A library without a name is still a place, and what is no path is none."""
    found, _ = await activity(RESTING, [given])
    assert found.locations == places


async def test_counts_are_those_of_the_server() -> None:
    """Movies, series and episodes are counted as the server does, virtual ones left out."""
    async with Upstream([answer(STATE["counts"])]) as upstream, http(upstream.url) as client:
        counts = await JellyfinClient(client).counts()
    assert (counts, counts.titles) == (Counts(34, 23, 26), 57)


async def episodes(document: Any, *wanted: str) -> EpisodeList:
    """What a list of episodes says."""
    if isinstance(document, list):
        document = {"Items": document, "TotalRecordCount": len(document)}
    async with (
        Upstream([answer(document)]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        return await JellyfinClient(client).episodes(wanted)


PROVEN = {written(line)[3] for line in LIBRARY.strip().splitlines() if line.startswith("tv    yes")}
NUMBERED_1 = [row for row in EPISODES if row.get("IndexNumber") == 1]


@pytest.mark.parametrize(
    ("given", "names"),
    [(EPISODES, PROVEN), (NUMBERED_1, PROVEN - {"A Silent Voice (2016)"}), ([], set())],
)
async def test_episodes_prove_their_series(given: list[dict[str, Any]], names: set[str]) -> None:
    """A series is proven by an episode on disk; a stub, or a series without one, is not."""
    found = await episodes(given)
    assert found.proven == {row["SeriesId"] for row in given if row["SeriesName"] in names}
    assert (found.whole, found.unread, found.rows) == (True, 0, {})


def of_one_series(name: str) -> tuple[str, list[dict[str, Any]]]:
    """The recorded rows about a series, and its id."""
    found = SERIES[name]["Items"]
    return found[0]["SeriesId"], found


RECORDED = {
    "missing ones": (
        "of_season",
        [(number, None, True) for number in (2, 1, 3)]
        + [(number, None, False) for number in range(4, 11)],
    ),
    "several numbers": (
        "several_numbers",
        [(3, None, True), (6, 7, True), (1, 2, True), (8, None, True), (4, 5, True)],
    ),
    "two files": ("two_files", [(number, None, True) for number in (1, 2, 3, 3, 2)]),
}


@pytest.mark.parametrize(("name", "expected"), cases(RECORDED))
async def test_rows_of_episodes_are_read_as_they_are(
    name: str, expected: list[tuple[int, int | None, bool]]
) -> None:
    """Each with its numbers, and whether it is there to play; files of one number stay two."""
    series, given = of_one_series(name)
    found = await episodes(given, series)
    told = [(row.number, row.end, row.playable) for row in found.rows[series]]
    assert told == expected
    assert {row.season for row in found.rows[series]} == {1}


@pytest.mark.parametrize("name", ["halves", "copies"])
async def test_an_episode_counts_for_the_series_that_it_names(name: str) -> None:
    """Whoever was asked for: the rows of two folders are told apart by their own ids."""
    given = SERIES[name]["Items"]
    one, other = sorted({row["SeriesId"] for row in given})
    found = await episodes(given, one)
    assert found.proven == {one, other}
    assert found.rows.keys() == {one}
    assert len(found.rows[one]) == 2


SERIES_ID = "91e7018c-41ef-6494-6748-FC7C3CB0F54F"
ROW = {"SeriesId": THRONES, "ParentIndexNumber": 2, "IndexNumber": 3, "LocationType": "FileSystem"}
READ = Episode(2, 3)


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({}, READ),
        ({"SeriesId": SERIES_ID}, READ),
        ({"IndexNumberEnd": 5}, READ._replace(end=5)),
        ({"IndexNumberEnd": "5"}, READ),
        ({"ParentIndexNumber": None}, READ._replace(season=None)),
        ({"ParentIndexNumber": "2"}, READ._replace(season=None)),
        (
            {"IndexNumber": None, "PremiereDate": "2024-05-06T00:00:00.0000000Z"},
            Episode(2, date="2024-05-06"),
        ),
        ({"IndexNumber": None}, Episode(2)),
        ({"PremiereDate": 7}, READ),
        ({"LocationType": "Virtual"}, READ._replace(playable=False)),
        ({"IsPlaceHolder": True}, READ._replace(playable=False)),
        ({"LocationType": "Remote"}, READ._replace(playable=None)),
        ({"LocationType": None}, READ._replace(playable=None)),
        ({"LocationType": ""}, READ._replace(playable=None)),
    ],
)
async def test_an_episode_is_read_leniently(changes: dict[str, Any], read: Episode) -> None:
    """A value that is odd is not known, and only what is virtual or a stub is not there."""
    found = await episodes([ROW | changes], THRONES)
    assert found.rows == {THRONES: [read]}
    assert found.proven == ({THRONES} if read.playable else set())


@pytest.mark.parametrize("series", [..., None, "", 7, "not an id"])
async def test_a_row_that_names_no_series_is_counted_as_unread(series: Any) -> None:
    """It belongs to nobody yet, and proves nothing of anybody."""
    given = {key: value for key, value in {**ROW, "SeriesId": series}.items() if value != ...}
    found = await episodes([given, ROW], THRONES)
    assert (found.unread, found.whole) == (1, True)
    assert found.rows == {THRONES: [READ]}


@pytest.mark.parametrize(
    "document",
    [
        {"Items": [ROW], "TotalRecordCount": 2},
        {"Items": [ROW, 7], "TotalRecordCount": 2},
        {"Items": [ROW, None], "TotalRecordCount": 2},
    ],
    ids=["not all listed", "no record", "null"],
)
async def test_a_list_of_episodes_knows_whether_it_is_whole(document: Any) -> None:
    """What was not listed, or cannot be read, may be an episode of any series."""
    assert (await episodes(document, THRONES)).whole is False


async def test_seasons_are_read_with_their_series_and_numbers() -> None:
    """As recorded; one without a number has none, and what has no id is passed over."""
    given = [*SERIES["all_seasons"]["Items"], {"Id": "x", "SeriesId": THRONES}, {"Id": "a" * 32}]
    given.append({"Id": SERIES_ID, "SeriesId": SERIES_ID, "IndexNumber": "one"})
    async with (
        Upstream([answer({"Items": given, "TotalRecordCount": len(given)})]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        found = await JellyfinClient(client).seasons()
    recorded_ones = [
        SeasonRef(row["Id"], row["SeriesId"], row.get("IndexNumber"))
        for row in SERIES["all_seasons"]["Items"]
    ]
    assert found == [*recorded_ones, SeasonRef(THRONES, THRONES, None)]
    assert [one.number for one in recorded_ones] == [1, 1, 1, None]


NAMELESS = "a record that does not say which item it is"


@pytest.mark.parametrize(
    ("row", "ref", "reason"),
    [
        ({"Id": ...}, "", NAMELESS),
        ({"Id": None}, "", NAMELESS),
        ({"Id": ""}, "", NAMELESS),
        ({"Id": 7}, "", NAMELESS),
        ({"Id": "a" * 31}, "", NAMELESS),
        ({"Name": " "}, "a" * 32, "it has no name"),
        ({"Name": None}, "a" * 32, "it has no name"),
        ({"Name": {"a": 1}}, "a" * 32, "it has no name"),
        ({"Id": "A" * 32, "Name": ...}, "a" * 32, "it has no name"),
        ({"Type": "BoxSet"}, "a" * 32, "a BoxSet was not asked for"),
        ({"Type": None}, "a" * 32, "Expected `str`, got `null` - at `$.Type`"),
        ({"Type": ...}, "a" * 32, "Object missing required field `Type`"),
    ],
)
async def test_a_broken_row_is_a_defect(row: dict[str, Any], ref: str, reason: str) -> None:
    """A row that cannot be used is left out, named if it says which it is, and the rest is read."""
    page = Page()
    other = {"Id": "b" * 32}
    items = await listed(rows({"Id": "c" * 32}, row, other), page)
    assert [item.jellyfin_id for item in items] == ["c" * 32, "b" * 32]
    assert page.defects == [ItemError("Jellyfin", ref, reason, lost=True)]
    foreign = int(row.get("Type") == "BoxSet")
    assert (page.rows, page.foreign, page.total, page.nameless) == (3, foreign, 3, int(not ref))


NOT_UNDERSTOOD = "Metropolis: its {} is not understood"
BAD_VALUES = {
    "a year as text": ({"ProductionYear": "1999"}, [NOT_UNDERSTOOD.format("ProductionYear")]),
    "an endless year": ({"ProductionYear": 10**22}, []),
    "a fraction": ({"ProductionYear": 1999.5}, [NOT_UNDERSTOOD.format("ProductionYear")]),
    "ids that are none": ({"ProviderIds": None}, []),
    "ids as a list": ({"ProviderIds": []}, [NOT_UNDERSTOOD.format("ProviderIds")]),
    "a null id": ({"ProviderIds": {"Tmdb": None}}, ["Metropolis: its Tmdb id is unusable"]),
    "an id as a number": ({"ProviderIds": {"Tmdb": 5}}, ["Metropolis: its Tmdb id is unusable"]),
    "an overview as a number": ({"Overview": 5}, [NOT_UNDERSTOOD.format("Overview")]),
    "a path as a list": ({"Path": ["/x"]}, [NOT_UNDERSTOOD.format("Path")]),
    "a date as a number": ({"DateCreated": 5}, [NOT_UNDERSTOOD.format("DateCreated")]),
    "pictures as a text": ({"ImageTags": "x"}, [NOT_UNDERSTOOD.format("ImageTags")]),
    "half a pair": ({"Overview": "\ud83c"}, [NOT_UNDERSTOOD.format("text")]),
    "two at once": (
        {"ProductionYear": "1999", "Overview": 5},
        [NOT_UNDERSTOOD.format("ProductionYear"), NOT_UNDERSTOOD.format("Overview")],
    ),
}


@pytest.mark.parametrize(("row", "reasons"), cases(BAD_VALUES))
async def test_a_bad_value_costs_only_itself(row: dict[str, Any], reasons: list[str]) -> None:
    """The title is there all the same, and what was left out is told; a null is just unknown."""
    page = Page()
    [_, item, _] = await listed(rows({"Id": "c" * 32}, row, {"Id": "b" * 32}), page)
    assert (item.jellyfin_id, item.title, item.available) == ("a" * 32, "Metropolis", True)
    assert (item.year, item.ids) == (None, Ids())
    assert page.defects == [ItemError("Jellyfin", "a" * 32, text, lost=False) for text in reasons]


@pytest.mark.parametrize("place", ["Remote", "Cloud", "Offline", "", None, ..., 7])
async def test_a_place_that_is_not_understood_neither_proves_nor_denies(place: Any) -> None:
    """Whether such a film can be watched is unknown, and the run tells."""
    page = Page()
    [item] = await listed(rows({"LocationType": place, "Path": "/x.mkv"}), page)
    assert item.available is None
    last = page.defects[-1]
    assert (last.ref, last.lost) == ("a" * 32, False)
    assert last.reason.startswith("Metropolis (/x.mkv): its location type ")


async def test_a_title_is_held_against_what_is_around_it() -> None:
    """Its library is the place that it lies in; a text that its row has is not kept twice."""
    tracked = our_request(an_item("a", title="Metropolis", year=None, ids=Ids(19)))
    row = {"Path": "/media/movies/x.mkv", "Overview": "Long.", "ProviderIds": {"Tmdb": "19"}}
    around = ListingContext(Places(["/media/movies/", "/media"]), {"a" * 32: tracked})
    [differing] = await listed(rows(row), around=around)
    assert (differing.overview, differing.path) == ("Long.", "/media/movies/x.mkv")
    assert (differing.library, differing.unchanged) == ("/media/movies/", False)
    same = our_request(differing)
    [known] = await listed(rows(row), around=ListingContext(tracked={"a" * 32: same}))
    assert (known.overview, known.path, known.unchanged) == (None, None, True)
    assert known.library is None


FIELDS = [
    (
        "Id",
        "94F4AEEC-BF70-1C8B-3D4C-90CAEBF1F73E",
        "jellyfin_id",
        "94f4aeecbf701c8b3d4c90caebf1f73e",
    ),
    ("Overview", "", "overview", None),
    ("ProductionYear", None, "year", None),
    ("ProductionYear", 20110112, "year", None),
    ("ProductionYear", 1, "year", None),
    ("ProductionYear", -44, "year", None),
    ("ProductionYear", 1927, "year", 1927),
    ("LocationType", "Virtual", "available", False),
    ("IsPlaceHolder", True, "available", False),
    ("IsPlaceHolder", None, "available", True),
    ("Type", "Series", "available", None),
    ("ImageTags", ..., "poster", None),
    ("ImageTags", {}, "poster", False),
    ("ImageTags", {"Primary": "f00"}, "poster", True),
    ("DateCreated", "2026-11-23T02:45:11.000005Z", "created_at", MOMENT),
    ("DateCreated", "2026-11-23T02:45:11.0000059Z", "created_at", MOMENT),
    ("DateCreated", "2026-11-23T02:45:11.000005", "created_at", MOMENT),
    ("DateCreated", "2026-11-23T04:45:11.000005+02:00", "created_at", MOMENT),
    ("DateCreated", "0001-01-01T00:00:00.0000000Z", "created_at", None),
    ("DateCreated", "0001-01-01T00:00:00+14:00", "created_at", None),
    ("DateCreated", "9999-12-31T23:59:59-14:00", "created_at", None),
    ("DateCreated", "soon", "created_at", None),
    ("DateCreated", ..., "created_at", None),
]


@pytest.mark.parametrize(("key", "given", "name", "value"), FIELDS)
async def test_a_field_is_read_leniently(key: str, given: Any, name: str, value: Any) -> None:
    """An id is written in one way, a date is one in UTC, and what says nothing is unknown."""
    [item] = await listed(rows({key: given}))
    assert getattr(item, name) == value


@pytest.fixture
async def pretend() -> AsyncIterator[tuple[World, JellyfinClient]]:
    """A pretend Jellyfin with a film and a series of a stub and a file, and a client of it."""
    world = World()
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    series.episodes.extend([File(1, 1, placeholder=True), File(1, 2)])
    world.add_series(series)
    world.add_movie(Movie.named("Metropolis", 1927, {"Tmdb": "19"}))
    async with PretendServices(world) as running:
        address = {"url": running.jellyfin_url, "api_key": running.jellyfin_key}
        async with open_services(Settings.model_validate({"jellyfin": address})) as services:
            yield world, services.jellyfin


async def test_ids_of_any_kind_are_looked_up(
    pretend: tuple[World, JellyfinClient],
) -> None:
    """Titles come with their pictures, episodes prove their series, and unknown ids are absent."""
    world, jellyfin = pretend
    [movie], [series] = world.movies.values(), world.series.values()
    stub, file = (jellyfin_id("Episode", series.episode_path(one)) for one in series.episodes)
    found = await jellyfin.look_up([movie.jellyfin_id, stub, "a" * 32], Page())
    assert [(item.title, item.poster) for item in found.items] == [("Metropolis", True)]
    assert not found.proven
    assert found.series == {series.jellyfin_id}
    proof = await jellyfin.look_up([stub, file], Page())
    assert proof.items == []
    assert proof.proven == {series.jellyfin_id}


async def test_an_episode_with_an_odd_value_proves_its_series_all_the_same() -> None:
    """The value alone is lost."""
    episode = {"Id": "e" * 32, "Type": "Episode", "SeriesId": SERIES_ID, "ProductionYear": "x"}
    page = Page()
    async with (
        Upstream([rows({"Id": "c" * 32}, episode)]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        found = await JellyfinClient(client).look_up(["c" * 32, "e" * 32], page)
    assert found.proven == found.series == {THRONES}
    assert ([item.jellyfin_id for item in found.items], page.defects) == (["c" * 32], [])


@pytest.mark.parametrize("token", ["", ADMIN.token, VIEWER.token])
async def test_whose_key_it_is(token: str) -> None:
    """A real API key is nobody's; a person's token is that person's."""
    async with PretendServices() as running:
        key = token or running.jellyfin_key
        address = {"url": running.jellyfin_url, "api_key": key}
        async with open_services(Settings.model_validate({"jellyfin": address})) as services:
            owner = await services.jellyfin.owner()
    assert owner == {"": None, ADMIN.token: "admin", VIEWER.token: "viewer"}[token]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "refused_key"), (500, "broken"), (404, "wrong_service")]
)
async def test_whose_key_it_is_may_stay_unknown(status: int, kind: str) -> None:
    """Only the answer to a key says that it is one."""
    async with Upstream([reply(status)]) as upstream, http(upstream.url, "Jellyfin") as client:
        with pytest.raises(ServiceError) as caught:
            await JellyfinClient(client).owner()
    assert caught.value.kind == kind


async def test_what_was_saved_is_found_by_the_servers_clock(
    pretend: tuple[World, JellyfinClient],
) -> None:
    """What was saved since a moment is counted by kind, with the series of its episodes."""
    world, jellyfin = pretend
    await jellyfin.counts()
    assert jellyfin.http.date is not None
    [movie], [series] = world.movies.values(), world.series.values()
    files = {jellyfin_id("Episode", series.episode_path(one)) for one in series.episodes}
    saved = await jellyfin.saved_since(jellyfin.http.date - timedelta(minutes=1), 500)
    assert saved.ids == {movie.jellyfin_id, series.jellyfin_id, *files}
    assert (saved.counts, saved.total) == (Counts(1, 1, 2), 4)
    one = await jellyfin.saved_since(jellyfin.http.date - timedelta(minutes=1), 1)
    assert (one.counts, one.total) == (Counts(1, 0, 0), 4)
    later = await jellyfin.saved_since(jellyfin.http.date + timedelta(minutes=1), 500)
    assert (later.ids, later.total) == (frozenset(), 0)


async def test_a_list_that_ends_early_is_no_list() -> None:
    """What came before a clean cut is given, but the page has no total and the reading fails."""
    whole = text_of("jellyfin", "library")
    page = Page()
    seen: list[str] = []
    async with (
        Upstream([reply(body=whole[:20000])]) as upstream,
        http(upstream.url, "Jellyfin") as client,
    ):
        pieces = JellyfinClient(client).page(page, 0, 100, ListingContext(), pictures=False)
        with pytest.raises(CutShortError, match="the list ends too early"):
            seen.extend([item.title async for items in pieces for item in items])
    assert (page.rows, page.total) == (27, None)


@pytest.mark.parametrize("record", [{}, {"Id": "x"}, {"Id": None, "Name": "x"}, None])
async def test_a_list_that_is_broken_throughout_costs_little(record: Any) -> None:
    """Every record is counted, and the first thousand are told."""
    text = answer({"Items": [record] * 3000, "TotalRecordCount": 3000})
    page = Page()
    assert await listed(text, page) == []
    assert (page.nameless, page.rows, page.total) == (3000, 3000, 3000)
    assert len(page.defects) == 1000


async def test_what_is_lost_is_told_beside_any_number_of_oddities() -> None:
    """A thousand odd values do not hide that a record was lost."""
    odd = [{"Id": f"{number:032x}", "Overview": 7} for number in range(1500)]
    page = Page()
    assert len(await listed(rows(*odd, {"Id": "b" * 32, "Name": 7}), page)) == 1500
    assert page.broken == {"b" * 32}
    assert [defect.ref for defect in page.defects if defect.lost] == ["b" * 32]


@pytest.mark.parametrize("count", [10**400, 2**31, -1, 1.5, "many", None])
async def test_a_count_that_is_none_is_an_error(count: object) -> None:
    """What would fit into no column is not taken for a number of titles."""
    counts = STATE["counts"] | {"MovieCount": count}
    async with Upstream([answer(counts)]) as upstream, http(upstream.url, "Jellyfin") as client:
        with pytest.raises(NotJsonError):
            await JellyfinClient(client).counts()


@pytest.mark.parametrize("token", ["", 'a" b', "a\r\nX-Evil: 1", "\x00", "é", "a" * 200, None])
async def test_a_token_that_is_none_goes_into_no_header(token: object) -> None:
    """What the server gives for a password is looked at before it is sent back to it."""
    user = {"Name": "alice", "Id": "1", "Policy": {"IsAdministrator": True}}
    given = answer({"AccessToken": token, "User": user})
    async with Upstream([given]) as upstream, http(upstream.url, "Jellyfin") as client:
        with pytest.raises(NotJsonError):
            await JellyfinAuth(client).log_in("alice", "pw", "device")
    assert len(upstream.asked) == 1
