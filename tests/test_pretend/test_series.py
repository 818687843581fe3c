"""What the pretend Jellyfin says of seasons and episodes, next to what a real one said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.answer import Answer
from tests.pretend import PretendServices, World
from tests.pretend.jellyfin import ADMIN
from tests.pretend.library import Episode, Folder, Series, jellyfin_id
from tests.test_pretend.support import RECORDED, ask, shape

REAL = json.loads((RECORDED.parent / "jellyfin" / "series.json").read_text("utf-8"))
BULK = "/Items?Recursive=true&EnableImages=false&Fields=Path&IncludeItemTypes="
NUMBERS = ("ParentIndexNumber", "IndexNumber", "LocationType")
PERSON = {"Authorization": f'MediaBrowser Token="{ADMIN.token}"'}


def series(title: str, *episodes: Episode, **changes: Any) -> Series:
    """Make a series with a TVDB id and these episodes."""
    made = Series.named(title, 2008, {"Tvdb": "988001"})
    made.episodes.extend(episodes)
    return replace(made, **changes)


def in_other_folder(one: Series, suffix: str, *episodes: Episode, **changes: Any) -> Series:
    """Make the same series in another folder."""
    path = f"{one.path} {suffix}"
    identity = jellyfin_id("Series", path)
    return replace(one, jellyfin_id=identity, path=path, episodes=list(episodes), **changes)


def told(body: Any, *keys: str) -> list[list[Any]]:
    """Reduce rows to some of their values, in an order of their own."""
    rows = [[row.get(key) for key in keys] for row in body["Items"]]
    return sorted(rows, key=repr)


async def asked(world: World, query: str, headers: dict[str, str] | None = None) -> Answer:
    """Ask a pretend Jellyfin that has this world."""
    async with PretendServices(world) as services:
        return await ask(services, "jellyfin", BULK + query, headers)


def ten_wanted() -> Series:
    """Make a series with three episodes on disk and seven missing ones."""
    there = [Episode(1, number) for number in range(1, 4)]
    missing = [Episode(1, number, virtual=True) for number in range(4, 11)]
    return series("Ten Wanted", *there, *missing)


@pytest.mark.parametrize(
    ("query", "name"), [("", "of_series"), ("&IsMissing=false", "of_series_not_missing")]
)
async def test_a_series_never_tells_its_missing_episodes(query: str, name: str) -> None:
    """Its own parent id answers what is on disk, whatever is said of missing ones."""
    show = ten_wanted()
    answer = await asked(World.holding(show), f"Episode&ParentId={show.jellyfin_id}{query}")
    also = await asked(World.holding(show), f"Episode&ParentId={show.jellyfin_id}&IsMissing=true")

    assert told(answer.json, *NUMBERS) == told(REAL[name], *NUMBERS)
    assert answer.json == also.json


async def test_a_season_tells_its_missing_episodes() -> None:
    """A season's parent id answers all that is known of it, unless it is asked for less."""
    show = ten_wanted()
    query = f"Episode&ParentId={show.season_id(1)}"
    answer = await asked(World.holding(show), query)
    there = await asked(World.holding(show), f"{query}&IsMissing=false")
    missing = await asked(World.holding(show), f"{query}&IsMissing=true")

    assert told(answer.json, *NUMBERS) == told(REAL["of_season"], *NUMBERS)
    assert told(there.json, *NUMBERS) == told(REAL["of_series"], *NUMBERS)
    assert told(missing.json, *NUMBERS) == told(REAL["missing"], *NUMBERS)


async def test_a_season_is_not_another_one() -> None:
    """A season's parent id answers neither another season nor another series."""
    first = series("First", Episode(1, 1), Episode(2, 1))
    other = series("Other", Episode(1, 1))
    answer = await asked(World.holding(first, other), f"Episode&ParentId={first.season_id(1)}")

    assert answer.names == ["First S01E01"]


async def test_seasons_are_as_recorded() -> None:
    """A season has the recorded keys in order, and the id that its episodes name."""
    show = series("Only Specials", Episode(0, 1), Episode(0, 2), Episode(1, 1))
    seasons = await asked(World.holding(show), "Season")
    episodes = await asked(World.holding(show), "Episode")

    assert shape(seasons.json["Items"][0]) == shape(REAL["seasons"]["Items"][0])
    assert told(seasons.json, "Name", "IndexNumber") == [["Season 1", 1], ["Specials", 0]]
    assert {row["Id"] for row in seasons.json["Items"]} == {
        row["SeasonId"] for row in episodes.json["Items"]
    }


@pytest.mark.parametrize(
    ("query", "name"), [("", "all_seasons"), ("&IsMissing=false", "present_seasons")]
)
async def test_seasons_without_a_folder(query: str, name: str) -> None:
    """They are virtual, but only one of missing episodes alone counts as missing."""
    world = World.holding(
        series("Half Virtual", Episode(1, 1), Episode(1, 2, virtual=True)),
        series("Flat Files", Episode(1, 1, in_season_folder=False)),
        series("Virtual Only", Episode(1, 1, virtual=True)),
        series("A Silent Voice (2016)", Episode(None, None)),
    )
    answer = await asked(world, f"Season{query}")
    keys = ("Name", "IndexNumber", "SeriesName", "LocationType")

    assert told(answer.json, *keys) == told(REAL[name], *keys)
    assert [row["SeriesName"] for row in answer.json["Items"] if "Path" in row] == ["Half Virtual"]


async def test_a_library_narrows_seasons_and_episodes() -> None:
    """Only what is in the library that is the parent is listed."""
    world = World.holding(
        series("Here", Episode(1, 1)), series("There", Episode(1, 1), library="Anime")
    )
    parent = world.folders["Anime"].jellyfin_id
    seasons = await asked(world, f"Season&ParentId={parent}")
    episodes = await asked(world, f"Episode&ParentId={parent}")

    assert [row["SeriesName"] for row in seasons.json["Items"]] == ["There"]
    assert episodes.names == ["There S01E01"]


async def test_numbers_narrow_the_rows() -> None:
    """An episode's season and number, a season's number, and never a series."""
    world = World.holding(
        series("Show", Episode(1, 1), Episode(1, 2), Episode(2, 1), Episode(2, 2))
    )
    second = await asked(world, "Episode&ParentIndexNumber=2")
    one = await asked(world, "Episode&ParentIndexNumber=2&IndexNumber=1")
    season = await asked(world, "Season&IndexNumber=2")
    none = await asked(world, "Series,Season&ParentIndexNumber=2")

    assert second.names == ["Show S02E01", "Show S02E02"]
    assert one.names == ["Show S02E01"]
    assert season.names == ["Season 2"]
    assert none.names == []


async def test_a_new_series_is_an_honest_looking_zero() -> None:
    """In a library that merges a new series has no episodes by its id until the next scan."""
    show = series("Mid Season", Episode(1, 5), Episode(1, 6))
    world = World.holding(merging=True)
    world.add_series(show)
    parent = f"&ParentId={show.jellyfin_id}"

    assert (await asked(world, f"Episode{parent}")).json == REAL["stale_episodes"]
    assert (await asked(world, f"Season{parent}")).json == REAL["stale_seasons"]
    world.scan()
    fresh = await asked(world, f"Episode{parent}")
    assert told(fresh.json, *NUMBERS) == told(REAL["fresh_episodes"], *NUMBERS)
    assert (await asked(world, f"Season{parent}")).names == ["Season 1"]


async def test_what_a_stale_series_answers_to() -> None:
    """The recorded questions about a series with two episodes get as many rows as they did."""
    show = series("Stale", Episode(1, 1), Episode(1, 2))
    world = World.holding(merging=True)
    world.add_series(show)
    library = f"&ParentId={world.folders['TV'].jellyfin_id}"
    ids = ",".join(map(show.key, show.episodes))
    questions = {
        "ParentId=series": (f"&ParentId={show.jellyfin_id}", None),
        "ParentId=series, user": (f"&ParentId={show.jellyfin_id}", PERSON),
        "ParentId=season": (f"&ParentId={show.season_id(1)}", None),
        "ParentId=season, user": (f"&ParentId={show.season_id(1)}", PERSON),
        "Ids of the episodes": (f"&Ids={ids}", None),
        "bulk, own SeriesId": ("", None),
        "bulk of the library, own SeriesId": (library, None),
        "bulk by season number and library": (f"{library}&ParentIndexNumber=1", None),
    }

    for question, (query, headers) in questions.items():
        answer = await asked(world, f"Episode{query}", headers)
        assert (question, len(answer.json["Items"])) == (
            question,
            REAL["stale_questions"][question],
        )


def test_when_a_key_is_stale() -> None:
    """What is new, has other ids or is back is stale where series are merged, nothing else is."""
    world = World(folders={"TV": Folder("TV", "tvshows", merges_series=True)})
    show = series("Show", Episode(1, 1))
    without = replace(series("Without"), provider_ids={"Tmdb": "19"})
    seen = []
    steps: list[Callable[[], None]] = [
        lambda: world.add_series(show),
        lambda: world.add_series(show),
        lambda: world.add_series(replace(show, provider_ids={"Tvdb": "1"})),
        lambda: world.add_series(without),
        lambda: world.library_online("TV"),
        lambda: world.offline.add("TV"),
        lambda: world.library_online("TV"),
    ]
    for step in steps:
        step()
        seen.append(set(world.stale))
        world.scan()

    stale = {show.jellyfin_id}
    assert seen == [stale, set(), stale, set(), set(), set(), stale]
    assert World.holding(show).stale == set()


async def test_the_halves_of_a_series_answer_together() -> None:
    """Where series are merged either id answers both folders, each row with its own SeriesId."""
    first = series("Split Show", Episode(1, 1), Episode(1, 2))
    second = in_other_folder(first, "disk2", Episode(2, 1), Episode(2, 2))
    merged, apart = World.holding(first, second, merging=True), World.holding(first, second)
    answers = [
        await asked(merged, f"Episode&ParentId={one.jellyfin_id}") for one in (first, second)
    ]
    alone = await asked(apart, f"Episode&ParentId={first.jellyfin_id}")
    own = {row["ParentIndexNumber"]: row["SeriesId"] for row in answers[0].json["Items"]}

    assert answers[0].json == answers[1].json
    assert told(answers[0].json, *NUMBERS) == told(REAL["halves"], *NUMBERS)
    assert own == {1: first.jellyfin_id, 2: second.jellyfin_id}
    assert [row["ParentIndexNumber"] for row in alone.json["Items"]] == [1, 1]


async def test_copies_count_twice() -> None:
    """Two folders with the same episodes are four rows, and a folder without any has them too."""
    first = series("Gone File Show", Episode(1, 1), Episode(1, 2))
    copy, bare = in_other_folder(first, "4K", *first.episodes), in_other_folder(first, "bare")
    world = World.holding(first, copy, bare, merging=True)
    answer = await asked(world, f"Episode&ParentId={first.jellyfin_id}")
    of_bare = await asked(world, f"Episode&ParentId={bare.jellyfin_id}")

    assert told(answer.json, *NUMBERS) == told(REAL["copies"], *NUMBERS)
    assert of_bare.json == answer.json


async def test_a_stale_half_is_not_answered_by_the_other() -> None:
    """Either id answers the folder whose episodes have the key of now."""
    first = series("Split Show", Episode(1, 1))
    second = in_other_folder(first, "disk2", Episode(2, 1))
    world = World.holding(first, merging=True)
    world.add_series(second)

    for one in (first, second):
        answer = await asked(world, f"Episode&ParentId={one.jellyfin_id}")
        assert answer.names == ["Split Show S01E01"]


def test_what_is_merged() -> None:
    """The same TVDB id, without one the same IMDb id; never a TMDB id, nor two libraries."""
    world = World.holding(merging=True)
    world.folders["Anime"].merges_series = True
    pairs = [
        ({"Tvdb": "1", "Imdb": "tt1"}, {"Tvdb": "1"}, "TV"),
        ({"Imdb": "tt1", "Tmdb": "1"}, {"Imdb": "tt1"}, "TV"),
        ({"Tvdb": "1", "Imdb": "tt1"}, {"Tvdb": "2", "Imdb": "tt1"}, "TV"),
        ({"Tmdb": "1"}, {"Tmdb": "1"}, "TV"),
        ({}, {}, "TV"),
        ({"Tvdb": "1"}, {"Tvdb": "1"}, "Anime"),
    ]
    same = []
    for ids, others, library in pairs:
        one = replace(series("Show"), provider_ids=ids)
        other = in_other_folder(one, "2", provider_ids=others, library=library)
        same.append(world.presentation_key(one) == world.presentation_key(other))

    assert same == [True, True, False, False, False, False]


async def test_several_numbers_in_one_file() -> None:
    """A file of two episodes is one row with the last number, and has the recorded keys."""
    show = series(
        "Double Episode",
        Episode(1, 1, end=2),
        Episode(1, 3),
        Episode(1, 4, end=5),
        Episode(1, 6, end=7),
        Episode(1, 8),
    )
    answer = await asked(World.holding(show), "Episode")
    single, double = REAL["several_numbers"]["Items"][:2]
    keys = (*NUMBERS, "IndexNumberEnd")

    assert told(answer.json, *keys) == told(REAL["several_numbers"], *keys)
    assert shape(answer.json["Items"][0]) == shape(double)
    assert shape(answer.json["Items"][1]) == shape(single)
    assert answer.names[0] == "Double Episode S01E01-E02"


async def test_two_files_of_one_number() -> None:
    """They are two rows with the same numbers, each with its own id and path."""
    copies = [Episode(1, number, version=name) for number in (2, 3) for name in ("", "1080p")]
    answer = await asked(World.holding(series("Double File", Episode(1, 1), *copies)), "Episode")
    rows = answer.json["Items"]

    assert told(answer.json, *NUMBERS) == told(REAL["two_files"], *NUMBERS)
    assert len({row["Id"] for row in rows}) == len({row["Path"] for row in rows}) == 5
    assert rows[2]["Path"].endswith("/Season 01/Double File S01E02 - 1080p.mkv")


async def test_numbers_that_are_not_there() -> None:
    """A dated episode has its date and season, an absolute one its number, another one nothing."""
    show = series(
        "Odd",
        Episode(2008, None, premiered=date(2008, 3, 1)),
        Episode(None, 101),
        Episode(None, None),
    )
    world = World(series={show.jellyfin_id: show})
    dated, absolute, neither = (await asked(world, "Episode")).json["Items"]
    keys = {"IndexNumber", "ParentIndexNumber", "PremiereDate"}

    assert {key: dated[key] for key in keys & set(dated)} == {
        "ParentIndexNumber": 2008,
        "PremiereDate": REAL["missing"]["Items"][0]["PremiereDate"],
    }
    assert {key: absolute[key] for key in keys & set(absolute)} == {"IndexNumber": 101}
    expected = [("Path", str), *shape(REAL["season_unknown"]["Items"][0])]
    assert sorted(shape(neither), key=repr) == sorted(expected, key=repr)
    assert neither["SeasonName"] == "Season Unknown"


async def test_a_loose_file_has_no_season_until_the_next_scan() -> None:
    """Its SeasonId is null and no season is there; after a scan both are."""
    show = series("Flat", Episode(1, 1, in_season_folder=False), Episode(None, 101))
    world = World(series={show.jellyfin_id: show})
    before = await asked(world, "Episode")
    no_seasons = await asked(world, "Season")
    world.scan()
    after = await asked(world, "Episode")
    of_season = await asked(world, f"Episode&ParentId={show.season_id(1)}")

    assert [row["SeasonId"] for row in before.json["Items"]] == [None, None]
    assert before.json["Items"][0]["Path"] == f"{show.path}/Flat S01E01.mkv"
    assert no_seasons.names == []
    seasons = [show.season_id(1), show.season_id(None)]
    assert [row["SeasonId"] for row in after.json["Items"]] == seasons
    assert of_season.names == ["Flat S01E01"]


@pytest.mark.parametrize("in_season_folder", [True, False])
async def test_the_first_moments_of_an_episode(*, in_season_folder: bool) -> None:
    """First it knows nothing but null, then its series, then its numbers, as recorded."""
    keys = ("SeriesId", "SeasonId", "ParentIndexNumber", "IndexNumber", "SeriesName")
    name = "/Season 01/Fresh Cc (2022) S01E02.mkv" if in_season_folder else "S01E05.mkv"
    real = [row for row in REAL["first_moments"] if row["path"].endswith(name)]
    for moment, unread in zip(real, (2, 1, 0), strict=True):
        episode = Episode(1, 2, unread=unread, in_season_folder=in_season_folder)
        show = series("Fresh", episode)
        [row] = (await asked(World(series={show.jellyfin_id: show}), "Episode")).json["Items"]
        known = [moment[key] is not None for key in keys]

        assert [row.get(key) is not None for key in keys] == known
        assert {"SeriesId", "SeasonId"} <= set(row)
        assert not {key for key in keys[2:] if row.get(key, 0) is None}


async def test_an_unread_episode_is_found_by_its_place_alone() -> None:
    """In its first moments neither a number nor its series leads to it, its folders do."""
    show = series("Fresh", Episode(1, 1, unread=2))
    world = World.holding(show)
    parents = (world.folders["TV"].jellyfin_id, show.season_id(1), show.jellyfin_id)
    totals = [len((await asked(world, f"Episode&ParentId={one}")).names) for one in parents]

    assert totals == [1, 1, 0]
    assert (await asked(world, "Episode&IndexNumber=1")).names == []


async def test_where_an_episode_is_said_to_be() -> None:
    """LocationType may be another one, or not be there at all."""
    show = series(
        "Elsewhere",
        Episode(1, 1, location="Remote"),
        Episode(1, 2, location=None),
        Episode(1, 3, virtual=True),
    )
    answer = await asked(World.holding(show), "Episode")
    present = await asked(World.holding(show), "Episode&IsMissing=false")

    locations = [row.get("LocationType", "absent") for row in answer.json["Items"]]
    assert locations == ["Remote", "absent", "Virtual"]
    assert len(present.names) == 2


async def test_a_season_by_its_id() -> None:
    """A season is found by its id if its type is asked for."""
    show = series("Show", Episode(1, 1), Episode(2, 1))
    answer = await asked(World.holding(show), f"Season&Ids={show.season_id(2)}")

    assert answer.names == ["Season 2"]
