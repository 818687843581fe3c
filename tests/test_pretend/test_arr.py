"""The pretend Radarr and Sonarr: the text of their lists to the blank, and their refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.pretend import PretendServices, Service, World
from tests.pretend.library import Movie, Series, SonarrSeason
from tests.test_pretend.support import RECORDED, ask, lasting, recorded, shape

LISTS: dict[Service, str] = {"radarr": "/api/v3/movie", "sonarr": "/api/v3/series"}
GZIP = {"Content-Encoding": "gzip"}
BOTH = pytest.mark.parametrize("service", list(LISTS))


def laid_out(text: str) -> bool:
    """Say whether a text is JSON with two blanks a level, raw non-ASCII and no blank at its end."""
    return text == json.dumps(json.loads(text), indent=2, ensure_ascii=False)


@BOTH
async def test_status_is_as_recorded(services: PretendServices, service: Service) -> None:
    """Status, headers and body are the recorded ones, save times."""
    answer = await ask(services, service, "/api/v3/system/status")
    expected = recorded(service, "status")

    assert lasting(answer.headers) == expected["headers"] | GZIP
    assert list(answer.json) == list(expected["json"])
    assert answer.json["version"] == expected["json"]["version"]
    assert answer.text.startswith('{\n  "appName": "')


@BOTH
async def test_ping_needs_no_key(services: PretendServices, service: Service) -> None:
    """The ping is answered to anybody, and may be cached."""
    answer = await ask(services, service, "/ping", {"Accept-Encoding": "identity"})
    expected = recorded(service, "ping")

    assert answer.text == '{\n  "status": "OK"\n}'
    assert answer.headers.keys() - {"Date"} == expected["headers"].keys()
    assert answer.headers["Cache-Control"] == expected["headers"]["Cache-Control"]


@BOTH
@pytest.mark.parametrize("path", ["/api/v3/system/status", "/api/v3/nope"])
async def test_no_key_no_answer(services: PretendServices, service: Service, path: str) -> None:
    """Without the right key every API path is a 401 without a body and without a version."""
    for headers in ({}, {"X-Api-Key": "f" * 32}, {"Authorization": services.radarr_key}):
        answer = await ask(services, service, path, headers)
        expected = recorded(service, "wrong_key")

        assert (answer.status, answer.text) == (401, expected["text"])
        assert lasting(answer.headers) == expected["headers"]


@BOTH
async def test_one_is_as_in_the_list(services: PretendServices, service: Service) -> None:
    """The same object without the list's indent; an unknown number is a 404 with a body."""
    [first, *_] = (await ask(services, service, LISTS[service])).json
    answer = await ask(services, service, f"{LISTS[service]}/{first['id']}")
    assert (answer.json, laid_out(answer.text)) == (first, True)
    unknown = await ask(services, service, f"{LISTS[service]}/99999")
    assert (unknown.status, unknown.json["status"]) == (404, 404)


@BOTH
async def test_the_other_ones_list_is_unknown(services: PretendServices, service: Service) -> None:
    """Radarr has no series and Sonarr no movies: 404, empty, with the version."""
    other = {"radarr": "/api/v3/series", "sonarr": "/api/v3/movie"}[service]
    answer = await ask(services, service, other)
    expected = recorded(service, "other_application")

    assert (answer.status, answer.text) == (expected["status"], "")
    assert lasting(answer.headers) == expected["headers"]


async def test_head_is_not_allowed(services: PretendServices) -> None:
    """A list cannot be probed with HEAD."""
    answer = await ask(services, "radarr", "/api/v3/movie", method="HEAD")

    assert (answer.status, answer.headers["X-Application-Version"]) == (405, "6.0.3.10276")


@BOTH
async def test_a_list_is_laid_out_as_recorded(services: PretendServices, service: Service) -> None:
    """Headers, layout and key order, in the record and all that is in it, are the real ones."""
    answer = await ask(services, service, LISTS[service])
    real = (RECORDED / f"{service}_list.txt").read_text("utf-8")

    assert lasting(answer.headers) == recorded(service, "list")["headers"] | GZIP
    assert shape(answer.json) == shape(json.loads(real))
    assert [laid_out(real), laid_out(answer.text)] == [True, True]


@BOTH
async def test_root_folders_are_as_recorded(services: PretendServices, service: Service) -> None:
    """One that is there, and one whose disk is away."""
    real = json.loads((RECORDED.parent / service / "folders.json").read_text("utf-8"))
    there = (await ask(services, service, "/api/v3/rootfolder")).json
    services.world.offline.update(services.world.folders)
    away = (await ask(services, service, "/api/v3/rootfolder")).json
    assert (shape(there[0]), shape(away[0])) == (shape(real[0]), shape(real[-1]))


async def test_a_movie_without_a_file(services: PretendServices, world: World) -> None:
    """A film that Radarr still looks for has no movieFile, no size and no release groups."""
    faust = Movie.named("Faust", 1926, {"Tmdb": "10728", "Imdb": "tt0016847"})
    world.radarr_knows(faust, has_file=False)
    answer = await ask(services, "radarr", "/api/v3/movie")
    real = json.loads((RECORDED / "radarr_list.txt").read_text("utf-8"))
    absent = answer.json[1]

    assert list(absent) == list(real[1])
    assert absent["statistics"] == real[1]["statistics"]
    assert (absent["hasFile"], absent["movieFileId"]) == (False, 0)
    assert laid_out(answer.text)


async def test_a_series_without_episodes(services: PretendServices, world: World) -> None:
    """A series that has no episode rows has no statistics; without an IMDb id there is no key."""
    world.sonarr_knows(Series.named("Announced Only", 2026, {"Tvdb": "455002"}))
    answer = await ask(services, "sonarr", "/api/v3/series")

    assert answer.json[1]["seasons"] == []
    assert not {"statistics", "imdbId"} & set(answer.json[1])
    assert answer.json[1]["tmdbId"] == 0
    assert laid_out(answer.text)


async def test_sonarr_counts_seasons(services: PretendServices, world: World) -> None:
    """A series' statistics include the specials, its number of seasons does not."""
    seasons = (SonarrSeason(0, 0, 1, 1, monitored=False), SonarrSeason(1, 2, 3, 6))
    world.sonarr[1] = replace(world.sonarr[1], seasons=seasons)
    answer = await ask(services, "sonarr", "/api/v3/series")
    series = answer.json[0]
    whole = {"seasonCount": 1, "episodeFileCount": 2, "episodeCount": 4, "totalEpisodeCount": 7}

    assert series["statistics"].items() >= (whole | {"percentOfEpisodes": 50}).items()
    assert [season["seasonNumber"] for season in series["seasons"]] == [0, 1]
    assert [season["monitored"] for season in series["seasons"]] == [False, True]
    assert series["seasons"][1]["statistics"]["percentOfEpisodes"] == pytest.approx(200 / 3)


async def test_one_film_by_its_id(services: PretendServices) -> None:
    """A lookup by TMDB id gives a list of one or none."""
    known = await ask(services, "radarr", "/api/v3/movie?tmdbId=19")
    unknown = await ask(services, "radarr", "/api/v3/movie?tmdbId=99999999")

    assert [movie["title"] for movie in known.json] == ["Metropolis"]
    assert unknown.text == "[]"
    assert json.loads(unknown.text) == recorded("radarr", "nothing_found")["json"]


async def test_one_series_by_its_id(services: PretendServices) -> None:
    """A lookup by TVDB id gives a list of one or none."""
    known = await ask(services, "sonarr", "/api/v3/series?tvdbId=71471")
    unknown = await ask(services, "sonarr", "/api/v3/series?tvdbId=99999999")

    assert [series["title"] for series in known.json] == ["The Beverly Hillbillies"]
    assert unknown.text == "[]"


async def test_ids_are_the_services_own(services: PretendServices, world: World) -> None:
    """A record ends with the service's own number and holds the provider's ids as numbers."""
    world.radarr[77] = replace(world.radarr.pop(1), id=77)
    movie = (await ask(services, "radarr", "/api/v3/movie")).json[0]

    assert list(movie)[-1] == "id"
    assert (movie["id"], movie["tmdbId"], movie["imdbId"]) == (77, 19, "tt0017136")


async def test_odd_texts_are_escaped(services: PretendServices, world: World) -> None:
    """Quotes, line ends and controls are escaped, non-ASCII is raw, emoji are surrogate pairs."""
    title = 'He said "},\n  {" & left\x01 Häxan 🎬'
    world.radarr_knows(Movie.named(title, 1922, {"Tmdb": "57283"}, "tab\t back\\slash"))
    answer = await ask(services, "radarr", "/api/v3/movie")

    assert (answer.json[1]["title"], answer.json[1]["overview"]) == (title, "tab\t back\\slash")
    assert '& left\\u0001 Häxan \\uD83C\\uDFAC"' in answer.text


async def test_a_long_list_is_whole(services: PretendServices, world: World) -> None:
    """A list of several batches holds every record once, and is of a real one's size."""
    big = World.of_size(movies=300)
    world.radarr.update(big.radarr)
    answer = await ask(services, "radarr", "/api/v3/movie")

    assert [movie["id"] for movie in answer.json] == list(world.radarr)
    assert laid_out(answer.text)
    assert 4_000 < len(answer.text) / len(world.radarr) < 6_000


async def test_two_series_of_one_tmdb_id(services: PretendServices, world: World) -> None:
    """TMDB holds as one series what TVDB holds as two."""
    for title, tvdb in (("Part One", "455003"), ("Part Two", "455004")):
        world.sonarr_knows(Series.named(title, 2020, {"Tvdb": tvdb, "Tmdb": "1930"}))
    answer = await ask(services, "sonarr", "/api/v3/series")

    assert [series["tmdbId"] for series in answer.json] == [1930, 1930, 1930]
    assert len({series["id"] for series in answer.json}) == 3


async def test_a_season_with_more_than_is_shown(services: PretendServices, world: World) -> None:
    """Sonarr's own count is told, whatever Jellyfin has."""
    world.sonarr_knows(world.sonarr[1].series, seasons=(SonarrSeason(1, 3, 4, 36),))
    [series] = (await ask(services, "sonarr", "/api/v3/series")).json

    assert series["statistics"]["totalEpisodeCount"] == 36
