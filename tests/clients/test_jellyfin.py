"""Jellyfin: what is asked of it, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from daemon.clients.jellyfin import Counts, JellyfinClient, Page, Server, provider_ids
from daemon.demo import PretendServices, World
from daemon.demo.library import Episode, Movie, Series, jellyfin_id
from daemon.domain import Activity, Defect, Ids, LibraryFolder, LibraryItem, MediaType
from daemon.errors import NotJsonError, ServiceError
from daemon.settings import Settings
from daemon.wiring import open_services
from tests.upstream import KEY, Upstream, cases, http, recorded, reply, text_of

STATE = recorded("jellyfin", "state")
EPISODES = recorded("jellyfin", "episodes")["Items"]
PROBES = recorded("jellyfin", "probes")
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


async def listed(act: bytes, page: Page | None = None) -> list[LibraryItem]:
    """The items that a listing gives."""
    async with Upstream([act]) as upstream, http(upstream.url, "Jellyfin") as client:
        reading = JellyfinClient(client).page(page or Page(), 0, 100, pictures=False)
        async with aclosing(reading) as pieces:
            return [item async for items in pieces for item in items]


PLAIN = {"Recursive": "true", "CollapseBoxSetItems": "false", "EnableUserData": "false"}
LISTING = PLAIN | {"Fields": "ProviderIds,Path,Overview,DateCreated"}
LISTING |= {"ExcludeLocationTypes": "Virtual", "IncludeItemTypes": "Movie,Series"}
EPISODE = PLAIN | {"IncludeItemTypes": "Episode", "IsMissing": "false", "EnableImages": "false"}
EPISODE |= {"SortBy": "SeriesSortName"}
PICTURES = {"EnableImages": "true", "EnableImageTypes": "Primary", "ImageTypeLimit": "1"}
MOMENT = datetime(2026, 11, 23, 4, 45, 11, 5, tzinfo=timezone(timedelta(hours=2)))


ANY_TYPE = {"IncludeItemTypes": "Movie,Series,Episode"}
SAVED = PLAIN | ANY_TYPE | {"ExcludeLocationTypes": "Virtual", "EnableImages": "false"}
QUERIES: dict[str, tuple[Callable[[JellyfinClient], Any], dict[str, str]]] = {
    "library": (
        lambda jellyfin: anext(jellyfin.page(Page(), 0, 20000, pictures=False)),
        LISTING | {"EnableImages": "false", "StartIndex": "0", "Limit": "20000"},
    ),
    "a page with pictures": (
        lambda jellyfin: anext(jellyfin.page(Page(), 40000, 500, pictures=True)),
        LISTING | PICTURES | {"StartIndex": "40000", "Limit": "500"},
    ),
    "first episodes": (
        lambda jellyfin: jellyfin.series_with_episodes(first_only=True),
        EPISODE | {"IndexNumber": "1"},
    ),
    "all episodes": (lambda jellyfin: jellyfin.series_with_episodes(first_only=False), EPISODE),
    "a probe": (
        lambda jellyfin: jellyfin.has_episode(THRONES),
        EPISODE | {"ParentId": THRONES, "Limit": "5"},
    ),
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
        proven = await JellyfinClient(client).series_with_episodes(first_only=False)
    table = [written(line) for line in LIBRARY.strip().splitlines()]
    assert [
        (item.media_type, item.available or item.jellyfin_id in proven, item.ids, item.title[:49])
        for item in items
    ] == table
    assert (page.rows, page.foreign, page.total) == (57, 0, 57)
    assert page.defects == [
        Defect(
            "Jellyfin", "6302077fb37d5527422f9f3118ab9acb", "its Tmdb id is unusable", lost=False
        ),
        Defect(
            "Jellyfin", "53e8888683c36d2a79be5e3e5dc63e77", "its Tmdb id is unusable", lost=False
        ),
    ]


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


THREE = ["Tmdb", "Tvdb", "Imdb"]


@pytest.mark.parametrize(
    ("given", "ids", "unusable"),
    [
        ({}, Ids(), []),
        ({"Tmdb": "603", "Tvdb": "1", "Imdb": "tt0133093"}, Ids(603, 1, "tt0133093"), []),
        ({"TMDB": "603", "tvdb": "1", "iMdB": "TT0133093"}, Ids(603, 1, "tt0133093"), []),
        ({"Tmdb": " 0098 ", "Tvdb": "12 ", "Imdb": "\ttt0133093\n"}, Ids(98, 12, "tt0133093"), []),
        ({"Tmdb": "", "Tvdb": "  ", "Imdb": ""}, Ids(), []),
        (
            {"Tmdb": "not-a-number", "Tvdb": "1.5", "Imdb": "0133093"},
            Ids(),
            ["Tmdb", "Tvdb", "Imdb"],
        ),
        ({"Tmdb": "0", "Tvdb": "-1", "Imdb": "tt1"}, Ids(), ["Tmdb", "Tvdb", "Imdb"]),
        ({"Tmdb": "99999999999999999999", "Tvdb": "9" * 5000}, Ids(), ["Tmdb", "Tvdb"]),
        ({"Tmdb": "\uff19", "Tvdb": "\u00b2", "Imdb": "tt" + "\uff19" * 7}, Ids(), THREE),
        ({"Tmdb": "999999999999999999"}, Ids(tmdb=999_999_999_999_999_999), []),
        ({"anidb": "16720", "TmdbCollection": "2344", "": "7"}, Ids(), []),
    ],
)
def test_ids_are_read_leniently(given: dict[str, str], ids: Ids, unusable: list[str]) -> None:
    """An id that is padded or spelled oddly is used, and one that is none costs itself only."""
    assert provider_ids(given) == (ids, unusable)


NOT_READY = {
    "start-up": (STATE["starting"], "starting", "still starting; nothing to do"),
    "no wizard": (STATE["new"], "rejected", "not set up yet; finish its set-up"),
    "Radarr": (recorded("radarr", "status"), "wrong_service", "this is no Jellyfin"),
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
    folders = [{"Name": "x", "ItemId": "1", "CollectionType": kind} for kind in kinds]
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
IDLE = STATE["folders_idle"]
WORK = {
    "idle": (STATE["tasks_idle"], IDLE, False),
    "scan": (STATE["tasks_running"], IDLE, True),
    "one library": (STATE["tasks_idle"], STATE["folders_active"], True),
    "cancelling": (OTHER + CANCELLING, IDLE, True),
    "queued": ([], [folder | {"RefreshStatus": "Queued"} for folder in IDLE], True),
    "another task": (OTHER, IDLE, False),
}


@pytest.mark.parametrize(("tasks", "folders", "scanning"), cases(WORK))
async def test_work_on_the_library_is_seen(tasks: Any, folders: Any, *, scanning: bool) -> None:
    """A scan of everything shows in its task, one of a single library in that library only."""
    acts = [answer(tasks), answer(folders)]
    async with Upstream([*acts]) as upstream, http(upstream.url, "Jellyfin") as client:
        activity = await JellyfinClient(client).activity()
    assert activity == Activity(scanning, FOLDERS)
    paths = [asked.path for asked in upstream.asked]
    assert paths == ["/ScheduledTasks", "/Library/VirtualFolders"]


async def test_counts_are_those_of_the_server() -> None:
    """Movies, series and episodes are counted as the server does, virtual ones left out."""
    async with Upstream([answer(STATE["counts"])]) as upstream, http(upstream.url) as client:
        counts = await JellyfinClient(client).counts()
    assert (counts, counts.titles) == (Counts(34, 23, 26), 57)


PROVEN = {written(line)[3] for line in LIBRARY.strip().splitlines() if line.startswith("tv    yes")}
NUMBERED_1 = [row for row in EPISODES if row.get("IndexNumber") == 1]


@pytest.mark.parametrize(
    ("episodes", "names"),
    [(EPISODES, PROVEN), (NUMBERED_1, PROVEN - {"A Silent Voice (2016)"}), ([], set())],
)
async def test_episodes_prove_their_series(episodes: list[dict[str, Any]], names: set[str]) -> None:
    """A series is proven by an episode on disk; a stub, or a series without one, is not."""
    document = answer({"Items": episodes, "TotalRecordCount": len(episodes)})
    async with Upstream([document]) as upstream, http(upstream.url, "Jellyfin") as client:
        proven = await JellyfinClient(client).series_with_episodes(first_only=True)
    assert proven == {row["SeriesId"] for row in episodes if row["SeriesName"] in names}


[STUB] = [row for row in EPISODES if row["SeriesName"] == "Stub Show"]
VIRTUAL = STUB | {"IsPlaceHolder": False, "LocationType": "Virtual"}
HALF = PROBES["half_virtual"]["Items"]
PROBED = {
    "episodes": (PROBES["game_of_thrones"]["Items"], True),
    "virtual only": (PROBES["virtual_only"]["Items"], False),
    "announced only": (PROBES["announced_only"]["Items"], False),
    "half virtual": (HALF, True),
    "a stub": ([STUB], False),
    "a stub and a file": ([STUB, *HALF], True),
    "no file": ([VIRTUAL], False),
}


@pytest.mark.parametrize(("episodes", "proven"), cases(PROBED))
async def test_a_probe_proves_one_series(episodes: list[Any], *, proven: bool) -> None:
    """One episode that can be played is enough, and anything less is not."""
    document = answer({"Items": episodes, "TotalRecordCount": len(episodes)})
    async with Upstream([document]) as upstream, http(upstream.url, "Jellyfin") as client:
        assert await JellyfinClient(client).has_episode("a" * 32) is proven


async def test_a_probe_asks_for_all_episodes_where_the_first_prove_nothing() -> None:
    """The sixth may be the only one with a file."""
    first = answer({"Items": [STUB] * 5, "TotalRecordCount": 6})
    every = answer({"Items": [STUB] * 5 + HALF[:1], "TotalRecordCount": 6})
    async with Upstream([first, every]) as upstream, http(upstream.url, "Jellyfin") as client:
        assert await JellyfinClient(client).has_episode("a" * 32)


UNREADABLE = answer({"Items": [STUB, {"SeriesId": 7}], "TotalRecordCount": 2})
CUT = answer({"Items": [STUB], "TotalRecordCount": 2})


@pytest.mark.parametrize("reply", [UNREADABLE, CUT], ids=["unreadable", "not all listed"])
async def test_episodes_that_were_not_read_prove_no_absence(reply: Any) -> None:
    """Nothing is said of a series then, rather than that there is nothing to play of it."""
    async with Upstream([reply] * 3) as upstream, http(upstream.url, "Jellyfin") as client:
        jellyfin = JellyfinClient(client)
        with pytest.raises(NotJsonError, match="not every episode"):
            await jellyfin.has_episode("a" * 32)
        with pytest.raises(NotJsonError, match="not every episode"):
            await jellyfin.series_with_episodes(first_only=False)


TOO_LARGE = "Expected `int` <= 2147483647"


@pytest.mark.parametrize(
    ("row", "ref", "reason"),
    [
        ({"Id": ...}, "", "Object missing required field `Id`"),
        ({"Id": ""}, "", "it has no id or no name"),
        ({"Name": " "}, "a" * 32, "it has no id or no name"),
        ({"Type": "BoxSet"}, "a" * 32, "a BoxSet was not asked for"),
        ({"ProviderIds": None}, "a" * 32, "Expected `object`, got `null` - at `$.ProviderIds`"),
        (
            {"ProductionYear": 10**22},
            "a" * 32,
            "Expected `int` <= 2147483647 - at `$.ProductionYear`",
        ),
        ({"Name": "\ud83c"}, "a" * 32, "half a surrogate pair in its text"),
    ],
)
async def test_a_broken_row_is_a_defect(row: dict[str, Any], ref: str, reason: str) -> None:
    """A row that cannot be used is named and left out, and the rest is read."""
    page = Page()
    other = {"Id": "b" * 32}
    items = await listed(rows({"Id": "c" * 32}, row, other), page)
    assert [item.jellyfin_id for item in items] == ["c" * 32, "b" * 32]
    assert page.defects == [Defect("Jellyfin", ref, reason, lost=True)]
    assert (page.rows, page.foreign, page.total) == (3, int(row.get("Type") == "BoxSet"), 3)


FIELDS = [
    (
        "Id",
        "94F4AEEC-BF70-1C8B-3D4C-90CAEBF1F73E",
        "jellyfin_id",
        "94f4aeecbf701c8b3d4c90caebf1f73e",
    ),
    ("Overview", "", "overview", None),
    ("ProductionYear", None, "year", None),
    ("LocationType", "Remote", "available", False),
    ("LocationType", "Virtual", "available", False),
    ("LocationType", ..., "available", False),
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
    series.episodes.extend([Episode(1, 1, placeholder=True), Episode(1, 2)])
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
    assert found.proven == frozenset()
    proof = await jellyfin.look_up([stub, file], Page())
    assert proof.items == []
    assert proof.proven == {series.jellyfin_id}


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
        pieces = JellyfinClient(client).page(page, 0, 100, pictures=False)
        with pytest.raises(NotJsonError, match="the list is not whole"):
            seen.extend([item.title async for items in pieces for item in items])
    assert (page.rows, page.total) == (27, None)
