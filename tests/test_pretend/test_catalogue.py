"""The demo's shelves."""

from __future__ import annotations

import re

from tests.pretend import catalogue


def test_every_film_has_its_ids() -> None:
    """About thirty films, each with a TMDB and an IMDb id of its own, and something about it."""
    films = catalogue.films()

    assert len(films) >= 30
    for provider, form in (("Tmdb", r"\d+"), ("Imdb", r"tt\d{7}")):
        ids = [film.provider_ids[provider] for film in films]
        assert len(set(ids)) == len(ids)
        assert [one for one in ids if not re.fullmatch(form, one)] == []
    assert [film for film in films if not film.overview] == []


def test_series_of_every_kind() -> None:
    """There are series with ids, one without any, and an empty folder."""
    shows = catalogue.shows()
    without = {show.title for show in shows if not show.provider_ids}
    empty = {show.title for show in shows if not show.episodes}

    assert len(shows) == 10
    assert without == {"桃太郎 Momotarō", "Suspense"}
    assert empty == {"Suspense"}


def test_radarr_and_sonarr_know_most() -> None:
    """The newest films are not in Radarr, and Sonarr has the series with a TVDB id."""
    world = catalogue.world()

    assert len(world.movies) - len(world.radarr) == 3
    assert {known.series.title for known in world.sonarr.values()} == {
        show.title for show in catalogue.shows() if "Tvdb" in show.provider_ids
    }
    assert world.saved_at == {}
