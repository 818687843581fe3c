"""Hard cases, from the library over HTTP to the tracker's file: nothing false, nothing lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain import Outcome, Scope
from daemon.reasons import Count
from daemon.store import attention, plans, undo
from daemon.store.audit import AuditEvent
from tests.builders import configured
from tests.pretend import PretendServices
from tests.pretend.jellyfin import ADMIN as ADMINISTRATOR
from tests.pretend.library import (
    ABSENT,
    LONG_AGO,
    Episode,
    Folder,
    Movie,
    Series,
    SonarrSeason,
    World,
    jellyfin_id,
)
from tests.worlds import ADMIN, Place, a_place, another_process, with_films

DAY = timedelta(hours=25)
AT = "2026-11-20 12:00:00.000000"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Thirty films that are tracked, all known to Radarr, so that a few may go."""
    async with with_films(tmp_path, 30) as place:
        yield place


def request(place: Place, **columns: Any) -> int:
    """Somebody requests something in the tracker."""
    values = {"title": "Wanted", "state": "APPROVED", "requested_by": "somebody", **columns}
    values |= dict.fromkeys(("created_at", "updated_at", "state_changed_at"), AT)
    marks = ", ".join("?" * len(values))
    place.execute(f"INSERT INTO requests ({', '.join(values)}) VALUES ({marks})", *values.values())
    return int(place.rows("MAX(id)")[0])


def wish(place: Place, series: Series, seasons: str | None = "1", **columns: Any) -> int:
    """Somebody requests seasons of a series."""
    ids = {"tmdb_id": "Tmdb", "tvdb_id": "Tvdb"}
    known = {
        name: int(series.provider_ids[key])
        for name, key in ids.items()
        if key in series.provider_ids
    }
    return request(place, media_type="TV", requested_seasons=seasons, **known, **columns)


def state(place: Place, number: int) -> str:
    """How a request stands."""
    return str(place.rows("state", where=f"id = {number}")[0])


def a_series(title: str = "Show", tvdb: int = 81189, *episodes: Episode, **ids: str) -> Series:
    """A series with some episodes."""
    series = Series.named(title, 2008, {"Tvdb": str(tvdb), **ids})
    series.episodes.extend(episodes)
    return series


def season(number: int, *numbers: int, **values: Any) -> list[Episode]:
    """Some episodes of a season."""
    return [Episode(number, one, **values) for one in numbers]


def counts(**totals: int) -> tuple[SonarrSeason, ...]:
    """Sonarr's numbers by season, as s1=10; nothing of it is monitored or has a file."""
    return tuple(SonarrSeason(int(name[1:]), 0, 0, n) for name, n in totals.items())


async def days(place: Place, count: int = 2) -> None:
    """A run a day."""
    for _ in range(count):
        await place.sync()
        place.clock.pass_by(DAY)


# --- distinct things are counted, not rows --------------------------------------------------------


async def test_a_second_file_is_no_second_episode(place: Place) -> None:
    """Nine of ten and one of them twice are nine of ten."""
    series = a_series("Show", 81189, *season(1, *range(1, 10)), Episode(1, 3, version="WEB"))
    place.world.add_series(series)
    place.world.sonarr_knows(series, seasons=counts(s1=10))
    number = wish(place, series)
    await days(place, 2)
    assert state(place, number) == "APPROVED"
    [details] = place.rows("details", "sync_decisions", "reason = 'requested_seasons_incomplete'")
    assert details == "9 of 10 episodes"


async def test_two_copies_in_a_library_that_merges_are_not_added_up(place: Place) -> None:
    """Two of three episodes in HD and the same two in 4K are two of three."""
    place.world.folders["TV"].merges_series = True
    copies = [a_series(f"Show {one}", 81189, *season(1, 1, 2)) for one in ("HD", "4K")]
    for one in copies:
        place.world.add_series(replace(one, title="Show"))
    place.world.sonarr_knows(copies[0], seasons=counts(s1=3))
    number = wish(place, copies[0])
    for _ in range(2):
        await place.sync()
        place.world.scan()
    assert state(place, number) == "APPROVED"


async def test_what_jellyfin_knows_to_be_missing_is_missing(place: Place) -> None:
    """Three of ten, without a Sonarr that knows the series."""
    series = a_series("Show", 81189, *season(1, 1, 2, 3), *season(1, *range(4, 11), virtual=True))
    place.world.add_series(series)
    number = wish(place, series)
    await place.sync()
    assert state(place, number) == "APPROVED"
    series.episodes[3:] = season(1, *range(4, 11))
    await place.sync()
    assert state(place, number) == "AVAILABLE"


async def test_a_range_that_runs_over_the_end_of_its_season_is_one_episode(place: Place) -> None:
    """E01-E45 of a season of five was read wrongly; E01-E05 was not."""
    series = a_series("Show", 81189, Episode(1, 1, end=45))
    place.world.add_series(series)
    place.world.sonarr_knows(series, seasons=counts(s1=5))
    number = wish(place, series)
    await place.sync()
    assert state(place, number) == "APPROVED"
    series.episodes[:] = [Episode(1, 1, end=5)]
    await place.sync()
    assert state(place, number) == "AVAILABLE"


async def test_a_series_that_has_only_specials_is_whole_with_them(place: Place) -> None:
    """Requested without seasons; with another season the specials do not count."""
    series = a_series("Specials", 81189, *season(0, 1, 2))
    place.world.add_series(series)
    place.world.sonarr_knows(series, seasons=counts(s0=2))
    number = wish(place, series, None)
    await place.sync()
    assert state(place, number) == "AVAILABLE"


@pytest.mark.parametrize("unmonitored", [0, 1])
async def test_episodes_that_nobody_monitors_count(place: Place, unmonitored: int) -> None:
    """Sonarr's episodeCount leaves them out, its totalEpisodeCount does not."""
    series = a_series("Show", 81189, *season(1, 1))
    place.world.add_series(series)
    told = (SonarrSeason(1, files=1, aired=unmonitored, total=3, monitored=False),)
    place.world.sonarr_knows(series, seasons=told)
    number = wish(place, series)
    await place.sync()
    assert state(place, number) == "APPROVED"


async def test_the_trackers_own_count_is_the_least_that_is_asked_for(place: Place) -> None:
    """TMDB counts ten, Jellyfin shows six without a gap, and no Sonarr knows the series."""
    series = a_series("Show", 81189, *season(1, *range(1, 7)))
    place.world.add_series(series)
    number = wish(place, series, total_episodes=10)
    await place.sync()
    assert state(place, number) == "APPROVED"


# --- every copy and every request counts ----------------------------------------------------------


async def test_of_two_series_that_share_a_number_each_keeps_its_own(place: Place) -> None:
    """TMDB counts both as one; Sonarr's own key tells them apart, and each is counted by itself."""
    first = a_series("Bleach", 74796, *season(1, *range(1, 21)), Tmdb="30984")
    second = a_series("Thousand", 434557, *season(1, 1, 2), Tmdb="30984")
    place.world.sonarr_knows(first)
    known = place.world.sonarr_knows(second, seasons=counts(s1=20))
    place.world.add_series(second)
    number = wish(place, second, sonarr_id=known.id)
    await place.sync()
    assert place.rows("sonarr_id, state", where=f"id = {number}") == [(known.id, "APPROVED")]


async def test_every_row_of_a_title_is_linked_anew(place: Place) -> None:
    """Radarr is renumbered: no row keeps a number that is another film's by now."""
    [(first, tmdb)] = place.rows("id, tmdb_id", where="title = 'Film 3'")
    number = request(
        place, media_type="MOVIE", tmdb_id=tmdb, radarr_id=4, requested_by="Library Sync"
    )
    films = [known.movie for known in place.world.radarr.values()]
    place.world.radarr.clear()
    for film in reversed(films):
        place.world.radarr_knows(film)
    await place.sync()
    right = next(n for n, one in place.world.radarr.items() if one.movie.title == "Film 3")
    assert place.rows("radarr_id", where=f"id IN ({first}, {number})") == [right, right]


async def test_a_film_that_is_requested_again_becomes_available_at_once(place: Place) -> None:
    """By one or by several people, though it is tracked already and its item has more ids."""
    film = place.world.movies[next(iter(place.world.movies))]
    place.world.add_movie(replace(film, provider_ids={**film.provider_ids, "Imdb": "tt0000007"}))
    await place.sync()
    tmdb = int(film.provider_ids["Tmdb"])
    numbers = [request(place, media_type="MOVIE", tmdb_id=tmdb, requested_by=by) for by in "ab"]
    first = await place.sync()
    second = await place.sync()
    assert [state(place, number) for number in numbers] == ["AVAILABLE"] * 2
    assert [one.stats[Count.PROMOTED] for one in (first, second)] == [2, 0]
    assert not second.stats.wrote_any


async def test_another_season_of_a_tracked_series_becomes_available(place: Place) -> None:
    """The row of season one does not hide the request of season two."""
    series = a_series("Show", 81189, *season(1, 1, 2), *season(2, 1, 2))
    place.world.add_series(series)
    place.world.sonarr_knows(series)
    await place.sync()
    number = wish(place, series, "2")
    await place.sync()
    assert state(place, number) == "AVAILABLE"


async def test_the_folders_of_a_series_count_together(place: Place) -> None:
    """Season one on one disk, season two on another."""
    halves = [
        replace(a_series("Split", 5, *season(n, 1, 2)), path=f"/media/tv/Split disk{n}")
        for n in (1, 2)
    ]
    for half in halves:
        place.world.add_series(replace(half, jellyfin_id=jellyfin_id("Series", half.path)))
    place.world.sonarr_knows(halves[0], seasons=counts(s1=2, s2=2))
    number = wish(place, halves[0], "1,2")
    await place.sync()
    assert state(place, number) == "AVAILABLE"


@pytest.mark.parametrize("ids", [{"Tmdb": "9999"}, {"Tmdb": "9999", "Imdb": "tt0000001"}])
async def test_an_item_that_is_identified_anew_loses_nobodys_row(
    place: Place, ids: dict[str, str]
) -> None:
    """The row names the item, so it is not absent, and no second row is made of it."""
    film = next(iter(place.world.movies.values()))
    place.execute("UPDATE requests SET requested_by = 'somebody' WHERE title = ?", film.title)
    place.world.add_movie(replace(film, provider_ids=ids))
    await days(place, 4)
    assert len(place.rows()) == 30
    assert (
        place.rows("reason", "sync_decisions", "kind = 'conflict'")[-1]
        == "identified_as_another_title"
    )
    [number] = place.rows("id", where=f"jellyfin_id = '{film.jellyfin_id}'")
    await place.sync(Scope(identified=frozenset({number})))
    assert place.rows("tmdb_id", where=f"id = {number}") == [9999]
    assert not (await place.sync()).stats.wrote_any


async def test_a_film_whose_new_record_is_broken_keeps_its_row(place: Place) -> None:
    """It was renamed on disk; a record of an unknown item may be any title."""
    film = next(iter(place.world.movies.values()))
    place.world.remove(film.jellyfin_id)
    new = replace(film, jellyfin_id="f" * 32, raw={"Name": None})
    place.world.add_movie(new)
    await days(place, 4)
    assert film.title in place.rows()


async def test_another_server_neither_removes_nor_links_anew(place: Place) -> None:
    """Until an admin says that it is the right one."""
    place.world.server_id = "e" * 32
    for film in list(place.world.movies.values())[:2]:
        place.world.remove(film.jellyfin_id)
    await days(place, 4)
    assert len(place.rows()) == 30
    assert place.results[-1].outcome is Outcome.PARTIAL
    event = AuditEvent("server.confirmed", ADMIN)
    await place.store.write(attention.confirm, "server", "e" * 32, event, only=True)
    await days(place, 3)
    assert len(place.rows()) == 28


async def test_a_persons_token_removes_nothing(tmp_path: Path) -> None:
    """An administrator's own token passes everything, and does not see what is hidden from them."""
    world, path = World(), tmp_path / "tracker.db"
    for number in range(10):
        world.add_movie(Movie.named(f"Film {number}", 1950, {"Tmdb": str(number + 1)}))
    async with PretendServices(world) as services:
        async with another_process(services, configured(services, path)) as place:
            assert (await place.sync()).stats[Count.ADDED] == 10
        key = {"url": services.jellyfin_url, "api_key": ADMINISTRATOR.token}
        settings = configured(services, path, jellyfin=key)
        async with another_process(services, settings, place.clock) as place:
            world.hidden = set(list(world.movies)[:2])
            world.add_movie(Movie.named("New", 1950, {"Tmdb": "99"}))
            await days(place, 4)
            assert len(place.rows()) == 11
            assert "token of a person" in " ".join(place.results[-1].stats.problems())


async def test_a_series_is_there_whatever_a_stale_key_says(place: Place) -> None:
    """In a library that merges series, from the first scan of a series to the second."""
    place.world.folders["TV"].merges_series = True
    for number in range(5):
        place.world.add_series(a_series(f"New {number}", 700 + number, *season(1, 2, 3)))
    assert place.world.stale
    await days(place, 3)
    assert len(place.rows()) == 35
    place.world.stale = set(place.world.series)
    await days(place, 3)
    assert len(place.rows()) == 35


async def test_rows_that_are_not_read_yet_make_nothing_absent(place: Place) -> None:
    """For minutes after they were added episodes name neither their series nor their numbers."""
    series = a_series("Show", 81189, *season(1, 1, 2))
    place.world.add_series(series)
    await place.sync()
    series.episodes[:] = season(1, 1, 2, unread=2)
    await days(place, 4)
    assert "Show" in place.rows()


# --- hints ----------------------------------------------------------------------------------------


async def test_the_last_episode_of_a_request_is_seen_with_its_hint(place: Place) -> None:
    """By the count that Sonarr was last seen to have; a second request is filled with it."""
    series = a_series("Show", 81189, *season(1, 1, 2))
    place.world.add_series(series)
    place.world.sonarr_knows(series, seasons=counts(s1=3, s2=4))
    first, second = wish(place, series, "1"), wish(place, series, "1,2")
    await place.sync()
    assert state(place, first) == "APPROVED"
    place.world.add_episode(series.jellyfin_id, Episode(1, 3))
    number = series.key(Episode(1, 3))
    await place.sync(Scope(frozenset({number, series.jellyfin_id})))
    assert (state(place, first), state(place, second)) == ("AVAILABLE", "APPROVED")
    assert place.rows("jellyfin_id", where=f"id = {second}") == [series.jellyfin_id]


async def test_a_replaced_file_is_linked_anew_with_its_hints(place: Place) -> None:
    """The old id was asked for and is not there while the title is; its path is the new one."""
    film = next(iter(place.world.movies.values()))
    new = replace(film, jellyfin_id="d" * 32, path="/media/movies/New.mkv")
    place.world.remove(film.jellyfin_id)
    place.world.add_movie(new)
    await place.sync(Scope(frozenset({film.jellyfin_id, "d" * 32})))
    row = place.rows("jellyfin_id, final_path", where=f"title = '{film.title}'")
    assert row == [("d" * 32, "/media/movies/New.mkv")]


# --- what is not understood -----------------------------------------------------------------------


@pytest.mark.parametrize("location", ["Remote", "Cloud", "", None])
async def test_an_unknown_location_neither_adds_nor_removes(
    place: Place, location: str | None
) -> None:
    """Only a virtual item or a placeholder has nothing to play."""
    film = next(iter(place.world.movies.values()))
    place.world.add_movie(replace(film, location=location))
    other = Movie.named("Other", 2000, {"Tmdb": "5"})
    place.world.add_movie(replace(other, location=location))
    await days(place, 4)
    assert film.title in place.rows()
    assert "Other" not in place.rows()


@pytest.mark.parametrize(
    "raw",
    [
        {"ProductionYear": "1999"},
        {"ProductionYear": 20110112},
        {"ProviderIds": {"Tmdb": "5", "Imdb": None}},
        {"ProviderIds": {"Tmdb": "5", "Tvdb": 7}},
        {"Overview": 5},
        {"ImageTags": []},
        {"DateCreated": {}},
    ],
)
async def test_a_bad_value_costs_only_itself(place: Place, raw: dict[str, object]) -> None:
    """The record, its ids and the list stay good."""
    place.world.add_movie(replace(Movie.named("Odd", 1999, {"Tmdb": "5"}), raw=raw))
    await place.sync()
    assert place.rows("tmdb_id", where="title = 'Odd'") == [5]
    film = next(iter(place.world.movies.values()))
    place.world.remove(film.jellyfin_id)
    await days(place, 3)
    assert film.title not in place.rows()


@pytest.mark.parametrize("name", ["TheMovieDb", "TheMovieDB", "themoviedb"])
async def test_newer_spellings_of_providers_count(place: Place, name: str) -> None:
    """No second row is made of a film that is tracked under the older one."""
    film = next(iter(place.world.movies.values()))
    ids = {name: film.provider_ids["Tmdb"]}
    place.world.remove(film.jellyfin_id)
    place.world.add_movie(replace(film, jellyfin_id="c" * 32, provider_ids=ids))
    await place.sync()
    assert len(place.rows()) == 30


@pytest.mark.parametrize("spelled", [str.upper, lambda text: f"{text[:8]}-{text[8:]}"])
async def test_an_id_is_the_same_however_it_is_spelled(place: Place, spelled: Any) -> None:
    """Dashed and in upper case, also in a record that is broken."""
    film = next(iter(place.world.movies.values()))
    raw: dict[str, object] = {"Id": spelled(film.jellyfin_id), "Name": ABSENT}
    place.world.add_movie(replace(film, raw=raw))
    await days(place, 4)
    assert film.title in place.rows()


@pytest.mark.parametrize(
    "odd",
    [
        {"tasks_extra": [None]},
        {"folders_extra": [None]},
        {"folders_extra": [{"Locations": ["/media/x"]}]},
        {"folders_extra": [{"Name": "No status", "Locations": []}]},
    ],
)
async def test_an_odd_library_or_task_costs_the_proof_and_not_the_run(
    place: Place, odd: dict[str, list[object]]
) -> None:
    """What may be a scan is none that can be told: titles are added, and nothing is removed."""
    for name, value in odd.items():
        setattr(place.world, name, value)
    place.world.add_movie(Movie.named("New", 2000, {"Tmdb": "5"}))
    film = next(iter(place.world.movies.values()))
    place.world.remove(film.jellyfin_id)
    await days(place, 4)
    assert {"New", film.title} <= set(place.rows())
    assert place.results[-1].outcome is Outcome.PARTIAL


async def test_an_empty_text_in_an_id_is_none(place: Place) -> None:
    """The first version of the tracker wrote it; no error is told, and it is filled."""
    place.execute("UPDATE requests SET tvdb_id = '', imdb_id = ''")
    film = next(iter(place.world.movies.values()))
    ids = {**film.provider_ids, "Imdb": "tt0000009", "Tvdb": "12"}
    place.world.add_movie(replace(film, provider_ids=ids))
    result = await place.sync()
    assert result.as_dict()["errors"] == 0
    where = f"title = '{film.title}'"
    assert place.rows("tvdb_id, imdb_id", where=where) == [(12, "tt0000009")]


async def test_seasons_that_are_not_understood_are_never_complete(place: Place) -> None:
    """What was asked for is not known, so that it cannot be there."""
    series = a_series("Show", 81189, *season(1, 1))
    place.world.add_series(series)
    place.world.sonarr_knows(series)
    number = wish(place, series, "1,two")
    await place.sync()
    assert state(place, number) == "APPROVED"


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", ["/media/movies/", "/media/movies//", "/", "/media/./movies"])
async def test_a_library_is_found_however_its_place_is_spelled(place: Place, location: str) -> None:
    """So that removals from it are not held for ever."""
    place.world.folders["Movies"].paths = (location,)
    await place.sync()
    film = next(iter(place.world.movies.values()))
    place.world.remove(film.jellyfin_id)
    await days(place, 3)
    assert film.title not in place.rows()


async def test_a_title_of_no_known_library_holds_only_itself(place: Place) -> None:
    """Others go all the same."""
    place.execute("UPDATE sync_titles SET library = NULL WHERE request_id = 1")
    for film in [*place.world.movies.values()][:2]:
        place.world.remove(film.jellyfin_id)
    await days(place, 3)
    assert len(place.rows()) == 29
    assert place.results[-1].outcome is Outcome.HELD


# --- thresholds -----------------------------------------------------------------------------------


async def test_a_radarr_that_was_set_up_anew_takes_no_numbers_away(place: Place) -> None:
    """Twenty-nine of thirty at once wait for an admin, who may say that it is so."""
    film = next(iter(place.world.movies.values()))
    place.world.radarr.clear()
    place.world.radarr_knows(film)
    result = await place.sync()
    assert len(place.rows("id", where="radarr_id IS NOT NULL")) == 30
    assert result.outcome is Outcome.HELD
    plan = await place.store.read(plans.one, result.stats.waiting_plan or 0)
    assert plan is not None
    held = frozenset(one.request_id for one in plan.titles if one.kind == "unlink")
    assert len(held) == 29
    await place.sync(Scope(unlinks=held))
    assert len(place.rows("id", where="radarr_id IS NOT NULL")) == 1


async def test_many_small_losses_are_held_together(tmp_path: Path) -> None:
    """Ten libraries of fifty lose five each: each little, and together a tenth of all."""
    world = World()
    for library in range(10):
        name = f"Lib{library}"
        world.folders[name] = Folder(name, "movies")
        for number in range(50):
            path = f"/media/{name.lower()}/{number}.mkv"
            ids = {"Tmdb": str(1 + library * 100 + number)}
            one = Movie(
                jellyfin_id("Movie", path), f"{name} {number}", 2000, ids, "", path, LONG_AGO
            )
            world.add_movie(replace(one, library=name))
    async with a_place(tmp_path, world) as place:
        await place.sync()
        for film in list(world.movies.values()):
            if film.title.endswith((" 0", " 1", " 2", " 3", " 4")):
                world.remove(film.jellyfin_id)
        await days(place, 4)
        assert len(place.rows()) == 500
        assert place.results[-1].outcome is Outcome.HELD


async def test_a_slow_loss_is_held_within_the_week(place: Place) -> None:
    """Three a day are few each day, and too many in seven days."""
    for _ in range(6):
        for film in [*place.world.movies.values()][:2]:
            place.world.remove(film.jellyfin_id)
        await days(place, 1)
    assert len(place.rows()) >= 25
    assert place.results[-1].outcome is Outcome.HELD


async def test_a_library_that_was_away_begins_its_evidence_anew(place: Place) -> None:
    """Made again by an admin it shows only some of its titles at first."""
    other = replace(
        Movie.named("Elsewhere", 1960, {"Tmdb": "5"}), library="Anime", path="/media/anime/e.mkv"
    )
    place.world.add_movie(other)
    lost = [*place.world.movies.values()][:2]
    await place.sync()
    place.world.library_offline("Movies")
    await days(place, 3)
    place.world.library_online("Movies")
    for film in lost:
        place.world.remove(film.jellyfin_id)
    await place.sync()
    assert len(place.rows()) == 31


# --- the dashboard --------------------------------------------------------------------------------


def delete_in_the_dashboard(place: Place, film: Movie, *, files: bool, hours_ago: float) -> None:
    """Somebody deletes a title there, and the app writes its log."""
    at = (place.clock.now - timedelta(hours=hours_ago)).replace(tzinfo=None).isoformat(" ")
    place.execute("DELETE FROM requests WHERE jellyfin_id = ?", film.jellyfin_id)
    place.execute(
        "INSERT INTO deletion_logs (title, media_type, tmdb_id, jellyfin_id, is_anime, source,"
        " status, initiated_at) VALUES (?, 'MOVIE', ?, ?, 0, 'DASHBOARD', 'COMPLETE', ?)",
        film.title,
        int(film.provider_ids["Tmdb"]),
        film.jellyfin_id,
        at,
    )
    status = "CONFIRMED" if files else "SKIPPED"
    place.execute(
        "INSERT INTO deletion_sync_events (deletion_log_id, service, status, timestamp)"
        " VALUES ((SELECT MAX(id) FROM deletion_logs), 'radarr', ?, ?)",
        status,
        at,
    )


async def test_what_was_deleted_with_its_files_comes_back_only_if_they_stay(place: Place) -> None:
    """A complete reading an hour later still shows it."""
    film = next(iter(place.world.movies.values()))
    delete_in_the_dashboard(place, film, files=True, hours_ago=0.1)
    await place.sync()
    assert film.title not in place.rows()
    place.clock.pass_by(timedelta(hours=1))
    await place.sync()
    assert film.title in place.rows()


async def test_what_was_taken_off_the_list_stays_off(place: Place) -> None:
    """Until an admin says otherwise."""
    film = next(iter(place.world.movies.values()))
    delete_in_the_dashboard(place, film, files=False, hours_ago=100)
    await days(place, 2)
    assert film.title not in place.rows()
    [log] = place.rows("id", "deletion_logs")
    await place.store.write(
        attention.confirm, "track_again", str(log), AuditEvent("title.track_again", ADMIN)
    )
    await place.sync()
    assert film.title in place.rows()


# --- rows of ours and of others -------------------------------------------------------------------


async def test_doubles_of_ours_are_merged_when_an_admin_says_so(place: Place) -> None:
    """The older row stays; one call brings the other back."""
    film = next(iter(place.world.movies.values()))
    double = request(
        place,
        title=film.title,
        media_type="MOVIE",
        state="AVAILABLE",
        tmdb_id=int(film.provider_ids["Tmdb"]),
        requested_by="Library Sync",
    )
    await place.sync()
    [(first, also)] = place.rows("request_id, details", "sync_decisions", "kind = 'double'")
    assert also == str(double)
    result = await place.sync(Scope(merges=frozenset({first, double})))
    assert (result.stats[Count.MERGED], len(place.rows())) == (1, 30)
    await undo.undo_run(place.store, result.run_id or 0, ADMIN)
    assert len(place.rows()) == 31


async def test_rows_that_were_stale_before_us_are_only_listed(place: Place) -> None:
    """We never saw the title, so that nothing is known of its going."""
    number = request(place, media_type="MOVIE", state="AVAILABLE", tmdb_id=77, title="Stale")
    await days(place, 4)
    assert "Stale" in place.rows()
    reasons = place.rows("reason", "sync_decisions", f"request_id = {number}")
    assert set(reasons) == {"available_but_never_seen"}
    await place.sync(Scope(approved=frozenset({number})))
    assert "Stale" not in place.rows()
