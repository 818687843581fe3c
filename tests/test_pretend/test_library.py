"""The pretend world: ids, what is saved when, what Radarr and Sonarr know, large libraries."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

from tests.pretend.library import (
    LONG_AGO,
    Episode,
    Movie,
    Series,
    SonarrSeason,
    World,
    jellyfin_id,
)


def test_an_id_follows_from_kind_and_path() -> None:
    """The id is the MD5 of class name and path in UTF-16, written as a GUID without dashes."""
    path = "/media/movies/Metropolis (1927)/Metropolis (1927).mkv"

    assert jellyfin_id("Movie", path) == "c34c663f86eeb6bb8164ec8a29db0624"
    assert jellyfin_id("Movie", path.lower()) != jellyfin_id("Movie", path)
    assert jellyfin_id("Series", path) != jellyfin_id("Movie", path)


def test_what_is_added_is_saved_now() -> None:
    """A film that is added counts as saved at that moment, however old its file is."""
    world = World()
    movie = Movie.named("Metropolis", 1927, {"Tmdb": "19"})
    before = datetime.now(UTC)

    world.add_movie(movie)

    assert movie.created_at == LONG_AGO
    assert world.saved(movie.jellyfin_id, movie) >= before


def test_a_series_is_saved_with_its_episodes() -> None:
    """A series that is added counts as saved now, and so does each of its episodes."""
    world = World()
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    series.episodes.append(Episode(1, 1))

    world.add_series(series)

    assert set(world.saved_at) == {series.jellyfin_id, series.key(Episode(1, 1))}


def test_an_episode_does_not_save_its_series(world: World) -> None:
    """An added episode is saved itself, its series is not."""
    series = next(iter(world.series.values()))
    episode = Episode(2, 1)

    world.add_episode(series.jellyfin_id, episode)

    assert series.episodes[-1] == episode
    assert series.key(episode) in world.saved_at
    assert world.saved(series.jellyfin_id, series) == LONG_AGO


def test_files_of_one_number_are_saved_apart() -> None:
    """A second file that is added does not save the first one of its number."""
    world = World()
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    series.episodes.append(Episode(1, 1))
    world.series[series.jellyfin_id] = series

    world.add_episode(series.jellyfin_id, Episode(1, 1, version="1080p"))

    assert set(world.saved_at) == {series.key(series.episodes[1])}


def test_everything_is_saved_again(world: World) -> None:
    """Every film, every series and every episode counts as saved now."""
    before = datetime.now(UTC)
    world.saved_again()
    shows = world.series.values()
    episodes = {show.key(episode) for show in shows for episode in show.episodes}

    assert set(world.saved_at) == {*world.movies, *world.series, *episodes}
    assert min(world.saved_at.values()) >= before


def test_a_removed_title_stays_with_radarr(world: World) -> None:
    """Removing a film from Jellyfin tells Radarr nothing."""
    movie = world.radarr[1].movie

    world.remove(movie.jellyfin_id)

    assert movie.jellyfin_id not in world.movies
    assert world.radarr[1].movie == movie


def test_a_disk_that_comes_back_brings_the_same_ids(world: World) -> None:
    """A library whose disk is away lists nothing; afterwards the same rows are newly saved."""
    before = (world.listed_movies(), world.listed_series())

    world.library_offline("Movies")
    movies_away = (world.listed_movies(), world.listed_series())
    world.library_online("Movies")
    saved = set(world.saved_at)
    world.library_offline("TV")
    series_away = (world.listed_movies(), world.listed_series())
    world.library_online("TV")

    assert (movies_away, series_away) == (([], before[1]), (before[0], []))
    assert (world.listed_movies(), world.listed_series()) == before
    assert saved == {movie.jellyfin_id for movie in before[0]}
    assert saved < set(world.saved_at)


def test_radarr_keeps_its_number() -> None:
    """A film that Radarr knows already keeps its number, a new one gets the next."""
    world = World()
    first = Movie.named("Metropolis", 1927, {"Tmdb": "19"})
    second = Movie.named("Faust", 1926, {"Tmdb": "10728"})

    numbers = [world.radarr_knows(movie).id for movie in (first, second, first)]

    assert numbers == [1, 2, 1]


def test_radarr_takes_a_given_number() -> None:
    """A film can have a number of its own, and move to it."""
    world = World()
    first = Movie.named("Metropolis", 1927, {"Tmdb": "19"})
    second = Movie.named("Faust", 1926, {"Tmdb": "10728"})

    world.radarr_knows(first)
    world.radarr_knows(first, number=41)
    world.radarr_knows(second)

    assert {number: known.movie.title for number, known in world.radarr.items()} == {
        41: "Metropolis",
        42: "Faust",
    }


def test_sonarr_counts_files_not_rows() -> None:
    """Virtual episodes and stubs are known to Sonarr, but have no file."""
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    series.episodes.extend(
        [Episode(1, 1), Episode(1, 2, virtual=True), Episode(0, 1, placeholder=True)]
    )

    known = World().sonarr_knows(series)

    assert known.seasons == (SonarrSeason(0, 0, 1, 1), SonarrSeason(1, 1, 2, 2))


def test_sonarr_counts_episodes_not_files() -> None:
    """Two files of an episode count once, a file of two twice; a date is an episode."""
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    series.episodes.extend([Episode(1, 1, virtual=True), Episode(1, 1, version="1080p")])
    series.episodes.extend([Episode(1, 2, end=3), Episode(None, 101)])
    series.episodes.extend(Episode(2, None, premiered=date(1952, 1, day)) for day in (1, 2))

    known = World().sonarr_knows(series)

    assert known.seasons == (SonarrSeason(1, 4, 4, 4), SonarrSeason(2, 2, 2, 2))


def test_sonarr_may_know_more() -> None:
    """What Sonarr knows can be given, and need not be what Jellyfin shows."""
    series = Series.named("Dragnet", 1951, {"Tvdb": "70843"})
    world = World()

    known = world.sonarr_knows(series, seasons=(SonarrSeason(1, 1, 2, 40),))

    assert world.sonarr[1] == known
    assert known.seasons == (SonarrSeason(1, 1, 2, 40),)


def test_a_large_library_is_the_same_each_time() -> None:
    """The same arguments give the same library, another seed another one."""
    sizes = {"movies": 50, "series": 20}

    assert World.of_size(**sizes, seed=7) == World.of_size(**sizes, seed=7)
    assert World.of_size(**sizes, seed=7) != World.of_size(**sizes, seed=8)


def test_a_large_library_is_as_asked() -> None:
    """Numbers, ids, overviews and episodes are those that were asked for."""
    world = World.of_size(movies=1000, series=100, episodes_per_series=12, overview_chars=50)
    shows = list(world.series.values())

    assert (len(world.movies), len(world.series)) == (1000, 100)
    assert len({movie.provider_ids["Tmdb"] for movie in world.movies.values()}) == 1000
    assert {len(movie.overview) for movie in world.movies.values()} == {50}
    assert {len(show.episodes) for show in shows} == {12}
    assert shows[0].episodes[-1] == Episode(2, 2)
    assert shows[0].episodes is not shows[1].episodes


def test_radarr_knows_nine_in_ten_of_a_large_library() -> None:
    """About 90 % of the films are in Radarr, numbered from 1 in another order than Jellyfin's."""
    world = World.of_size(movies=1000)
    ids = [int(known.movie.provider_ids["Tmdb"]) for known in world.radarr.values()]

    assert 850 < len(world.radarr) < 950
    assert list(world.radarr) == list(range(1, len(world.radarr) + 1))
    assert any(left > right for left, right in pairwise(ids))
