"""The pretend services with a small world, started for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.pretend import PretendServices, World
from tests.pretend.library import Episode, Movie, Series


@pytest.fixture
def world() -> World:
    """Make a world with one of each: whole, stub, without ids, virtual, empty."""
    made = World()
    metropolis = Movie.named("Metropolis", 1927, {"Tmdb": "19", "Imdb": "tt0017136"}, "A city.")
    stub = replace(Movie.named("On The Shelf", 1995, {"Tmdb": "777004"}), placeholder=True)
    stub = replace(stub, path=stub.path.replace(".mkv", ".disc"), has_poster=False)
    for movie in (metropolis, stub):
        made.movies[movie.jellyfin_id] = movie
    made.radarr_knows(metropolis)
    ids = {"Imdb": "tt0055662", "Tmdb": "1930", "Tvdb": "71471"}
    hillbillies = Series.named("The Beverly Hillbillies", 1962, ids, "Oil.")
    hillbillies.episodes.extend([Episode(0, 1), Episode(1, 1), Episode(1, 2), Episode(1, 3)])
    hillbillies.episodes.append(Episode(1, 4, virtual=True))
    stubs = Series.named("Stub Show", 2022, {"Tvdb": "888018"})
    stubs.episodes.append(Episode(1, 1, placeholder=True))
    virtual = Series.named("Virtual Only", 2017, {"Tvdb": "888014"})
    virtual.episodes.append(Episode(1, 1, virtual=True))
    for series in (hillbillies, stubs, virtual, Series.named("Bare Folder", 2020, {})):
        made.series[series.jellyfin_id] = series
    made.sonarr_knows(hillbillies)
    return made


@pytest.fixture
async def services(world: World) -> AsyncIterator[PretendServices]:
    """Start the three services."""
    async with PretendServices(world) as running:
        yield running
