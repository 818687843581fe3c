"""The listing of the pretend Jellyfin: rows as recorded, filters, pages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.pretend import PretendServices, World
from tests.pretend.items import Ask, encode, select
from tests.pretend.jellyfin import ADMIN
from tests.pretend.library import ABSENT, Episode, Movie
from tests.test_pretend.support import ask, recorded, shape

LISTING = (
    "/Items?Recursive=true&IncludeItemTypes=Movie,Series&Fields=ProviderIds,Path,Overview,DateCreated"
    "&CollapseBoxSetItems=false&ExcludeLocationTypes=Virtual&EnableImages=false&EnableUserData=false"
)
EPISODES = "/Items?Recursive=true&IncludeItemTypes=Episode&EnableImages=false"


def row(body: dict[str, list[dict[str, object]]], name: str) -> dict[str, object]:
    """Find a row by the beginning of its name."""
    return next(row for row in body["Items"] if str(row["Name"]).startswith(name))


async def test_title_rows_are_as_recorded(services: PretendServices) -> None:
    """A film, a stub, a series and a series without ids have the recorded keys in order."""
    answer = await ask(services, "jellyfin", LISTING)
    whole, stub, series, bare = recorded("jellyfin", "items")["json"]["Items"]

    assert shape(row(answer.json, "Metropolis")) == shape(whole)
    assert shape(row(answer.json, "On The Shelf")) == shape(stub)
    assert shape(row(answer.json, "The Beverly Hillbillies")) == shape(series)
    assert shape(row(answer.json, "Bare Folder")) == [
        (key, kind) for key, kind in shape(bare) if key != "Overview"
    ]
    assert list(answer.json) == ["Items", "TotalRecordCount", "StartIndex"]


async def test_values_of_a_film(services: PretendServices, world: World) -> None:
    """A row says what the world says."""
    answer = await ask(services, "jellyfin", LISTING)
    movie = next(iter(world.movies.values()))
    metropolis = row(answer.json, "Metropolis")

    assert metropolis["Id"] == movie.jellyfin_id
    assert metropolis["ProviderIds"] == {"Imdb": "tt0017136", "Tmdb": "19"}
    assert metropolis["Path"] == "/media/movies/Metropolis (1927)/Metropolis (1927).mkv"
    assert metropolis["DateCreated"] == "2024-01-01T12:00:00.0000000Z"
    assert row(answer.json, "On The Shelf")["IsPlaceHolder"] is True


async def test_episode_rows_are_as_recorded(services: PretendServices) -> None:
    """An episode and a stub have the recorded keys in order."""
    answer = await ask(services, "jellyfin", EPISODES + "&IsMissing=false")
    whole, stub = recorded("jellyfin", "episodes")["json"]["Items"]

    assert shape(row(answer.json, "The Beverly Hillbillies")) == shape(whole)
    assert shape(row(answer.json, "Stub Show")) == shape(stub)


async def test_pictures_are_listed_only_when_asked_for(services: PretendServices) -> None:
    """Image tags come by default, with a primary one if there is a poster, and can be left out."""
    path = "/Items?Recursive=true&IncludeItemTypes=Movie,Series&Fields=ProviderIds,Path"
    answer = await ask(services, "jellyfin", path)
    film, series = recorded("jellyfin", "images")["json"]["Items"]
    metropolis, stub = row(answer.json, "Metropolis"), row(answer.json, "On The Shelf")

    assert [key for key, _ in shape(metropolis)] == list(film)
    assert list(row(answer.json, "Virtual Only")) == list(series)
    assert metropolis["ImageTags"] == {"Primary": metropolis["Id"]}
    assert stub["ImageTags"] == {}


async def test_fields_are_left_out_unless_asked_for(services: PretendServices) -> None:
    """Without Fields a row has neither ids nor path nor text nor date."""
    answer = await ask(services, "jellyfin", "/Items?recursive=TRUE&includeitemtypes=movie")

    assert not {"ProviderIds", "Path", "Overview", "DateCreated"} & set(answer.json["Items"][0])


async def test_types_choose_the_rows(services: PretendServices) -> None:
    """Only the types asked for are listed; one unknown type among known ones is dropped."""
    movies = await ask(services, "jellyfin", "/Items?Recursive=true&IncludeItemTypes=Movie,Serie")
    series = await ask(services, "jellyfin", "/Items?Recursive=true&IncludeItemTypes=Series")

    assert movies.names == ["Metropolis", "On The Shelf"]
    assert series.names == ["Bare Folder", "Stub Show", "The Beverly Hillbillies", "Virtual Only"]


async def test_every_type_at_once_breaks_the_server(services: PretendServices) -> None:
    """A recursive query without a type is answered with 500, as recorded."""
    answer = await ask(services, "jellyfin", "/Items?Recursive=true&IncludeItemTypes=Movies")
    expected = recorded("jellyfin", "no_type")

    assert (answer.status, answer.text) == (expected["status"], expected["text"])


async def test_without_recursive_nothing_is_found(services: PretendServices) -> None:
    """A query that is not recursive gets an honest-looking zero."""
    answer = await ask(services, "jellyfin", "/Items?IncludeItemTypes=Movie,Series")

    assert answer.json == recorded("jellyfin", "not_recursive")["json"]


async def test_pages_cover_the_listing_once(services: PretendServices) -> None:
    """StartIndex and Limit cut pages; the total is that of all, also for none and past the end."""
    whole = await ask(services, "jellyfin", LISTING)
    first = await ask(services, "jellyfin", LISTING + "&StartIndex=0&Limit=4")
    second = await ask(services, "jellyfin", LISTING + "&StartIndex=4&Limit=4")
    beyond = await ask(services, "jellyfin", LISTING + "&StartIndex=100000&Limit=4")
    none = await ask(services, "jellyfin", LISTING + "&Limit=0")

    assert first.names + second.names == whole.names
    assert [page.json["TotalRecordCount"] for page in (whole, first, second)] == [6, 6, 6]
    assert beyond.text == '{"Items":[],"TotalRecordCount":6,"StartIndex":100000}'
    assert none.text == '{"Items":[],"TotalRecordCount":6,"StartIndex":0}'


async def test_a_negative_limit_is_none(services: PretendServices) -> None:
    """Limit=-1 lists everything."""
    answer = await ask(services, "jellyfin", LISTING + "&Limit=-1")

    assert len(answer.json["Items"]) == 6


async def test_a_limit_that_is_no_number_is_refused(services: PretendServices) -> None:
    """An unparsable number is a 400 with a problem document."""
    answer = await ask(services, "jellyfin", LISTING + "&Limit=abc")

    assert answer.status == recorded("jellyfin", "limit_abc")["status"]
    assert answer.json["status"] == 400


async def test_virtual_episodes_are_left_out_when_asked(services: PretendServices) -> None:
    """IsMissing=false and ExcludeLocationTypes=Virtual both leave the virtual ones out."""
    everything = await ask(services, "jellyfin", EPISODES)
    present = await ask(services, "jellyfin", EPISODES + "&IsMissing=false")
    excluded = await ask(services, "jellyfin", EPISODES + "&ExcludeLocationTypes=Virtual")
    missing = await ask(services, "jellyfin", EPISODES + "&IsMissing=true")

    assert everything.json["TotalRecordCount"] == 7
    assert present.json == excluded.json
    assert present.json["TotalRecordCount"] == 5
    assert {row["LocationType"] for row in missing.json["Items"]} == {"Virtual"}
    assert missing.json["TotalRecordCount"] == 2


async def test_first_episodes_only(services: PretendServices) -> None:
    """IndexNumber=1 lists the first episode of each season, specials too."""
    answer = await ask(services, "jellyfin", EPISODES + "&IsMissing=false&IndexNumber=1")

    assert [(row["SeriesName"], row["ParentIndexNumber"]) for row in answer.json["Items"]] == [
        ("Stub Show", 1),
        ("The Beverly Hillbillies", 0),
        ("The Beverly Hillbillies", 1),
    ]


async def test_one_series_probe(services: PretendServices, world: World) -> None:
    """ParentId narrows to one series; the total counts all its episodes, the page is limited."""
    ids = {series.title: series.jellyfin_id for series in world.series.values()}
    probe = EPISODES + "&IsMissing=false&Limit=1&ParentId="
    whole = await ask(services, "jellyfin", probe + ids["The Beverly Hillbillies"])
    virtual = await ask(services, "jellyfin", probe + ids["Virtual Only"])

    assert (len(whole.json["Items"]), whole.json["TotalRecordCount"]) == (1, 4)
    assert virtual.json == {"Items": [], "TotalRecordCount": 0, "StartIndex": 0}


async def test_a_library_as_parent(services: PretendServices, world: World) -> None:
    """ParentId of a library lists what is in it."""
    parent = world.folders["Movies"].jellyfin_id
    answer = await ask(services, "jellyfin", f"{LISTING}&ParentId={parent}")

    assert answer.names == ["Metropolis", "On The Shelf"]


async def test_ids_in_any_writing(services: PretendServices, world: World) -> None:
    """Dashed and upper-case ids are found, unknown and unparsable ones are simply absent."""
    movie = world.radarr[1].movie
    guid = movie.jellyfin_id.upper()
    dashed = "-".join((guid[:8], guid[8:12], guid[12:16], guid[16:20], guid[20:]))
    answer = await ask(services, "jellyfin", f"/Items?Ids=zzz,{dashed},{'dead' * 8}")

    assert answer.names == ["Metropolis"]
    assert answer.json["TotalRecordCount"] == 1


async def test_no_id_that_can_be_read_is_no_filter(services: PretendServices) -> None:
    """When no id can be read the libraries themselves are listed."""
    answer = await ask(services, "jellyfin", "/Items?Ids=zzz&Fields=ProviderIds")

    assert shape(answer.json["Items"]) == shape(
        recorded("jellyfin", "malformed_ids")["json"]["Items"]
    )
    assert answer.names == ["Movies", "TV", "Anime"]


async def test_an_episode_by_its_id(services: PretendServices) -> None:
    """An episode is found by its id if its type is asked for."""
    episode = (await ask(services, "jellyfin", EPISODES)).json["Items"][0]
    answer = await ask(services, "jellyfin", f"/Items?IncludeItemTypes=Episode&Ids={episode['Id']}")

    assert answer.names == [episode["Name"]]


async def test_a_request_line_over_8_kib_is_refused(services: PretendServices) -> None:
    """As many ids as fit into 8 KiB are answered, more are a 414 without a body."""
    fits = await ask(services, "jellyfin", "/Items?Ids=" + ",".join(["dead" * 8] * 245))
    over = await ask(services, "jellyfin", "/Items?Ids=" + ",".join(["dead" * 8] * 500))

    assert fits.status == 200
    assert (over.status, over.text) == (recorded("jellyfin", "too_long")["status"], "")


async def test_saved_since(services: PretendServices, world: World) -> None:
    """Only what was saved since a moment is listed; an added episode does not show its series."""
    moment = datetime.now(UTC) - timedelta(seconds=1)
    world.add_movie(Movie.named("Faust", 1926, {"Tmdb": "10728"}))
    world.add_episode(next(iter(world.series)), Episode(2, 1))
    query = (
        "/Items?Recursive=true&IncludeItemTypes=Movie,Series,Episode&MinDateLastSavedForUser="
        f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    )
    answer = await ask(services, "jellyfin", query)

    assert answer.names == ["Faust", "The Beverly Hillbillies S02E01"]


async def test_an_offline_library_is_not_listed(services: PretendServices, world: World) -> None:
    """The titles of a library whose disk is away are gone from the listing."""
    world.library_offline("TV")
    answer = await ask(services, "jellyfin", LISTING)

    assert answer.names == ["Metropolis", "On The Shelf"]


async def test_odd_rows(services: PretendServices, world: World) -> None:
    """Values of a row can be replaced by any others, by null or by nothing."""
    odd = {"Id": "DASHED-0001", "ProductionYear": "1999", "Name": None}
    raw: dict[str, object] = {**odd, "ProviderIds": {"Tmdb": None}, "Type": ABSENT}
    world.add_movie(replace(Movie.named("A", 1999, {"Tmdb": "1"}), raw=raw))
    first = (await ask(services, "jellyfin", LISTING)).json["Items"][0]
    bare = await ask(services, "jellyfin", LISTING.replace("ProviderIds,", ""))

    assert {key: first.get(key, ABSENT) for key in raw} == raw
    assert "ProviderIds" not in bare.json["Items"][0]


async def test_where_a_title_is_said_to_be(services: PretendServices, world: World) -> None:
    """LocationType may be another one, or not be there at all."""
    for title, location in (("A Remote", "Remote"), ("An Unknown", None)):
        world.add_movie(replace(Movie.named(title, 1999, {}), location=location))
    rows = (await ask(services, "jellyfin", LISTING)).json["Items"]

    assert [row.get("LocationType", "absent") for row in rows[:3]] == [
        "Remote",
        "absent",
        "FileSystem",
    ]


async def test_rows_name_another_server(services: PretendServices, world: World) -> None:
    """Every row has the server's id, whichever that is."""
    world.server_id = "ab" * 16
    types = "Movie,Series,Season,Episode"
    answer = await ask(services, "jellyfin", f"/Items?Recursive=true&IncludeItemTypes={types}")
    libraries = await ask(services, "jellyfin", "/Items")
    rows = [*answer.json["Items"], *libraries.json["Items"]]

    assert {row["ServerId"] for row in rows} == {"ab" * 16}


async def test_a_total_that_is_too_high(services: PretendServices, world: World) -> None:
    """More films and series can be counted than listed; other totals stay right."""
    world.extra_total = 3
    titles = await ask(services, "jellyfin", LISTING)
    episodes = await ask(services, "jellyfin", EPISODES)

    assert (len(titles.json["Items"]), titles.json["TotalRecordCount"]) == (6, 9)
    assert len(episodes.json["Items"]) == episodes.json["TotalRecordCount"] == 7


async def test_what_a_person_does_not_see(services: PretendServices, world: World) -> None:
    """Hidden titles, seasons and episodes are there for the key, not for an administrator."""
    hidden = {one.title: one.jellyfin_id for one in world.series.values()}
    world.hidden = {hidden["The Beverly Hillbillies"], next(iter(world.movies))}
    query = "/Items?Recursive=true&IncludeItemTypes=Movie,Series,Season,Episode"
    person = {"Authorization": f'MediaBrowser Token="{ADMIN.token}"'}
    key = [await ask(services, "jellyfin", path) for path in (query, "/Items/Counts")]
    seen = [await ask(services, "jellyfin", path, person) for path in (query, "/Items/Counts")]
    counts = ("MovieCount", "SeriesCount", "EpisodeCount")

    assert {"Metropolis", "The Beverly Hillbillies S01E01"} <= set(key[0].names)
    left = ["On The Shelf", "Bare Folder", "Stub Show", "Virtual Only"]
    assert seen[0].names[:5] == [*left, "Season 1"]
    assert {row["SeriesName"] for row in seen[0].json["Items"][4:]} == {"Stub Show", "Virtual Only"}
    assert [key[1].json[name] for name in counts] == [2, 4, 5]
    assert [seen[1].json[name] for name in counts] == [1, 3, 1]


def test_the_text_is_ascii() -> None:
    """Non-ASCII characters and markup are escaped, and the text is minified."""
    value = {"Name": "<Häxan> & 'é' 🎬"}

    assert json.loads(encode(value)) == value
    assert encode({"a": "ä<&"}) == b'{"a":"\\u00e4\\u003C\\u0026"}'


def test_a_naive_date_is_taken_as_local() -> None:
    """A date without a zone is the server's local time."""
    ask_naive = Ask.read({"MinDateLastSaved": "2026-11-23T02:45:13"})

    assert ask_naive.since == datetime(2026, 11, 23, 2, 45, 13).astimezone(UTC)


def test_a_large_listing_is_found_once(world: World) -> None:
    """No row is listed twice."""
    big = World.of_size(movies=300, series=50)
    found = select(big, Ask.read({"Recursive": "true", "IncludeItemTypes": "Movie,Series"}))

    assert len(found) == len({id(item) for item in found}) == 350
    assert world is not big
