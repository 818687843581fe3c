"""What the planner decides, case by case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.domain import (
    Add,
    ArrIndex,
    Column,
    Conflict,
    Ids,
    MediaType,
    Reading,
    RequestState,
    Seasons,
    Skip,
    SkipReason,
    Sources,
    TrackedRequest,
    Update,
    UpdateReason,
)
from daemon.reconcile import Planner
from tests.builders import (
    COMPLETE,
    NOW,
    POLICY,
    SCANNING,
    a_request,
    added,
    an_item,
    decide,
    jellyfin_id,
    our_request,
)

TV = MediaType.TV


def test_an_available_title_that_is_not_tracked_is_added() -> None:
    """An untracked film gets a row with the id that Radarr keeps it under, and its poster."""
    item = an_item(poster=True)
    sources = Sources(radarr=ArrIndex(by_tmdb={603: 7}))
    poster = f"http://media.test/Items/{item.jellyfin_id}/Images/Primary"
    assert [Add(item, radarr_id=7, poster_url=poster)] == decide([item], sources=sources)


def test_a_poster_is_never_invented() -> None:
    """A title without a picture in Jellyfin, or whose picture is unknown, gets no poster."""
    for poster in (False, None):
        [decision] = decide([an_item(poster=poster)])
        assert isinstance(decision, Add)
        assert decision.poster_url is None


def test_a_series_takes_its_id_from_sonarr_by_any_provider() -> None:
    """Sonarr's id is found by the TVDB id where Sonarr does not know the TMDB one."""
    item = an_item(media_type=TV, ids=Ids(tmdb=1, tvdb=81189))
    [decision] = decide([item], sources=Sources(sonarr=ArrIndex(by_tvdb={81189: 4})))
    assert decision == Add(item, sonarr_id=4)


@pytest.mark.parametrize("ids", [Ids(tmdb=1399), Ids(tvdb=1399), Ids(imdb="tt0000001")])
def test_a_film_and_a_series_with_one_number_are_two_titles(ids: Ids) -> None:
    """Providers number films and series apart, so equal ids of different types never meet."""
    film, series = an_item("film", ids=ids), an_item("series", media_type=TV, ids=ids)
    assert [film.title, series.title] == sorted(added(decide([film, series])))
    tracked = [a_request(media_type=TV, ids=ids)]
    assert film.title in added(decide([film], tracked))


def test_titles_never_match() -> None:
    """Two titles of one name and year are two titles."""
    one, other = (
        an_item(1, title="Twin", ids=Ids(tmdb=1)),
        an_item(2, title="Twin", ids=Ids(tmdb=2)),
    )
    assert added(decide([one, other])) == ["Twin", "Twin"]


def test_a_tracked_title_that_lacks_nothing_is_left_alone() -> None:
    """The second run changes nothing."""
    item = an_item()
    assert [Skip(item, SkipReason.ALREADY_RIGHT, 1)] == decide([item], [our_request(item)])


def test_what_is_missing_is_filled_and_nothing_else() -> None:
    """Columns that are NULL are filled where the value is known; the others are not touched."""
    item = an_item(ids=Ids(tmdb=603, imdb="tt0133093"), title="Another title")
    row = a_request(missing=frozenset({"imdb_id", "tvdb_id", "radarr_id", "year"}))
    [decision] = decide([item], [row], Sources(radarr=ArrIndex(by_tmdb={603: 7})))
    fills: dict[str, Column] = {"imdb_id": "tt0133093", "radarr_id": 7, "year": 1999}
    assert decision == Update(item, UpdateReason.FILL, 1, fills)


def test_an_unknown_source_fills_nothing() -> None:
    """Radarr being away is not Radarr being empty: its id stays missing and nothing is written."""
    item = an_item()
    row = our_request(item, missing=frozenset({"radarr_id"}))
    assert [Skip(item, SkipReason.ALREADY_RIGHT, 1)] == decide([item], [row])


def test_a_row_of_ours_follows_what_jellyfin_shows() -> None:
    """A row that was added early under a file name gets the title once Jellyfin knows it."""
    early = an_item(title="movie.2160p.x265", overview=None)
    now = an_item(title="The Matrix")
    [decision] = decide([now], [our_request(early)])
    face: dict[str, Column] = {"title": "The Matrix", "year": 1999, "overview": "What it is about."}
    assert decision == Update(now, UpdateReason.REFRESH, 1, {}, face)


def test_somebody_elses_row_keeps_its_title() -> None:
    """What people or the tracker wrote is theirs."""
    [decision] = decide([an_item(title="Jellyfin's title")], [a_request()])
    assert isinstance(decision, Skip)


def test_a_poster_that_jellyfin_got_or_lost_is_refreshed_only_when_it_was_asked_for() -> None:
    """Not having asked for pictures says nothing about them."""
    row = our_request(an_item(poster=True))
    assert isinstance(decide([an_item(poster=None)], [row])[0], Skip)
    [decision] = decide([an_item(poster=False)], [row])
    assert isinstance(decision, Update)
    assert decision.replaces == {"poster_url": None}


@pytest.mark.parametrize("state", [s for s in RequestState if s is not RequestState.AVAILABLE])
def test_a_requested_film_that_is_there_is_promoted(state: RequestState) -> None:
    """From whatever state, also a failed one, and with what it lacks filled in."""
    item = an_item()
    row = a_request(state=state, jellyfin_id=None, missing=frozenset({"jellyfin_id"}))
    [decision] = decide([item], [row])
    fills: dict[str, Column] = {"jellyfin_id": item.jellyfin_id}
    assert decision == Update(item, UpdateReason.PROMOTE, 1, fills, promotes=state)


def a_series_request(**overrides: Any) -> TrackedRequest:
    """A series that was requested and is not available yet."""
    values = {"media_type": TV, "ids": Ids(tvdb=81189), "state": RequestState.APPROVED}
    return a_request(**{**values, **overrides})


@pytest.mark.parametrize(
    ("requested", "there", "shortfall"),
    [
        ({1}, {1: 10}, ""),
        ({1}, {1: 9}, "9 of 10 episodes"),
        ({1, 2}, {1: 10}, "10 of 18 episodes"),
        ({1, 2}, {1: 10, 2: 8}, ""),
        ({2}, {1: 10, 2: 2}, "2 of 8 episodes"),
        (set(), {1: 10}, "10 of 18 episodes"),
        (set(), {1: 10, 2: 8}, ""),
        ({3}, {1: 10}, "no episode of the requested seasons"),
        ({1, 3}, {1: 10}, "10 of 10 episodes"),
        ({1}, {1: 11}, ""),
        ({2}, {1: 20}, "0 of 8 episodes"),
    ],
)
def test_a_requested_series_is_promoted_once_all_its_seasons_are_whole(
    requested: set[int], there: dict[int, int], shortfall: str
) -> None:
    """Every season that was asked for counts by Sonarr's number of episodes; specials do not."""
    item = an_item("item", media_type=TV, ids=Ids(tvdb=81189))
    row = a_series_request(seasons=frozenset(requested))
    sonarr = ArrIndex(by_tvdb={81189: 4}, seasons={4: {0: 5, 1: 10, 2: 8}}, whole=True)
    planner = Planner([row], Sources(sonarr=sonarr, counts_by_sonarr=True), POLICY)
    assert planner.decide([item]) == []
    assert planner.unfinished_series() == [item.jellyfin_id]
    seasons = {item.jellyfin_id: Seasons(there, there)}
    [decision] = planner.finish(COMPLETE, seasons)
    if shortfall:
        assert decision == Skip(item, SkipReason.SEASONS_INCOMPLETE, 1, shortfall)
    else:
        assert isinstance(decision, Update)
        assert decision.promotes is RequestState.APPROVED


def test_without_sonarr_the_episodes_that_jellyfin_knows_of_count() -> None:
    """What Jellyfin itself shows as missing keeps a series from being promoted."""
    item = an_item(media_type=TV, ids=Ids(tvdb=81189))
    for known, promoted in (({1: 3}, True), ({1: 4}, False)):
        planner = Planner([a_series_request()], Sources(), POLICY)
        planner.decide([item])
        [decision] = planner.finish(COMPLETE, {item.jellyfin_id: Seasons({1: 3}, known)})
        assert isinstance(decision, Update) is promoted


@pytest.mark.parametrize(
    "sonarr",
    [
        None,
        ArrIndex(by_tvdb={81189: 4}, seasons={4: {1: 3}}),
        ArrIndex(by_tvdb={81189: 4}, whole=True),
    ],
    ids=["away", "not read now", "counts nothing"],
)
def test_a_sonarr_that_cannot_tell_promotes_nothing(sonarr: ArrIndex | None) -> None:
    """What Jellyfin counts is no stand-in for it: it may not know of the missing episodes."""
    item = an_item(media_type=TV, ids=Ids(tvdb=81189))
    sources = Sources(sonarr=sonarr, counts_by_sonarr=True)
    planner = Planner([a_series_request()], sources, POLICY)
    planner.decide([item])
    whole = {item.jellyfin_id: Seasons({1: 3}, {1: 3})}
    [decision] = planner.finish(COMPLETE, whole)
    assert decision == Skip(item, SkipReason.EARLIER_STATE, 1)


def test_a_series_whose_seasons_are_unknown_keeps_its_state() -> None:
    """Not having been able to count is no reason to promote."""
    item = an_item(media_type=TV, ids=Ids(tvdb=81189))
    assert decide([item], [a_series_request()]) == [Skip(item, SkipReason.EARLIER_STATE, 1)]


def test_what_cannot_be_played_is_not_available() -> None:
    """A stub, or a series folder without an episode, is no title to watch."""
    item = an_item(available=False)
    assert [Skip(item, SkipReason.NOT_AVAILABLE)] == decide([item])


def test_further_copies_of_a_title_are_duplicates() -> None:
    """Two libraries holding one film make one row, named after the elder copy in either order."""
    elder = an_item("elder", created_at=NOW - timedelta(days=1))
    newer = an_item("newer")
    assert [Add(elder), Skip(newer, SkipReason.DUPLICATE)] == decide([elder, newer])
    [add, take_over] = decide([newer, elder])
    assert add == Add(newer)
    assert isinstance(take_over, Update)
    assert (take_over.added_as, take_over.replaces["jellyfin_id"]) == (
        newer.jellyfin_id,
        elder.jellyfin_id,
    )


def test_the_copy_that_a_row_names_speaks_for_it() -> None:
    """An elder copy does not take a tracked row over from the copy that the row names."""
    named, elder = an_item("named"), an_item("elder", created_at=NOW - timedelta(days=9))
    row = our_request(named, missing=frozenset({"overview"}), face=0)
    for items in ([named, elder], [elder, named]):
        decisions = {one.item.jellyfin_id: one for one in decide(items, [row])}
        assert isinstance(decisions[named.jellyfin_id], Update)
        assert decisions[elder.jellyfin_id] == Skip(elder, SkipReason.DUPLICATE, 1)


def test_a_title_without_any_id_is_added_under_its_jellyfin_id() -> None:
    """Missing ids are no error; the title is there to watch."""
    item = an_item(ids=Ids())
    assert [Add(item)] == decide([item])
    row = a_request(ids=Ids(), jellyfin_id=item.jellyfin_id)
    assert [Skip(item, SkipReason.ALREADY_RIGHT, 1)] == decide([item], [row])


def test_a_title_without_any_id_waits_while_jellyfin_scans() -> None:
    """In a scan new rows stand for minutes without ids and under the names of their files."""
    bare, known = an_item("bare", ids=Ids()), an_item("known")
    assert [Add(known), Skip(bare, SkipReason.STILL_READ)] == decide(
        [bare, known], reading=SCANNING
    )


def test_ids_that_point_to_two_rows_are_a_conflict() -> None:
    """Neither row is written to; a person has to look."""
    item = an_item(ids=Ids(tmdb=1, imdb="tt0000002"))
    rows = [a_request(4, ids=Ids(tmdb=1)), a_request(9, ids=Ids(imdb="tt0000002"))]
    assert [Conflict(item, (4, 9))] == decide([item], rows)


def test_a_weaker_id_does_not_join_what_a_stronger_one_parts() -> None:
    """Two films that carry one IMDb id by mistake stay two films, tracked or not."""
    one = an_item(1, ids=Ids(tmdb=1, imdb="tt0000001"))
    other = an_item(2, ids=Ids(tmdb=2, imdb="tt0000001"))
    assert [one.title, other.title] == added(decide([one, other]))
    assert [other.title] == added(decide([one, other], [our_request(one)]))


def test_of_two_rows_for_one_title_the_one_that_names_the_copy_is_meant() -> None:
    """A title that is tracked twice is no reason to add it a third time."""
    item = an_item()
    rows = [a_request(3, jellyfin_id=None), a_request(5, jellyfin_id=item.jellyfin_id)]
    assert [Skip(item, SkipReason.ALREADY_RIGHT, 5)] == decide([item], rows)


def test_a_row_that_names_the_item_but_contradicts_its_ids_is_another_title() -> None:
    """A corrected match in Jellyfin keeps the item's id and makes it another film."""
    item = an_item(ids=Ids(tmdb=6))
    row = a_request(ids=Ids(tmdb=5), jellyfin_id=item.jellyfin_id)
    assert [Add(item)] == decide([item], [row])


def test_a_row_that_is_not_understood_is_left_alone_and_hides_its_title() -> None:
    """A state or type of a newer tracker is no reason to add the title again."""
    item = an_item()
    row = a_request(state=None, missing=frozenset({"year"}))
    assert [Skip(item, SkipReason.NOT_UNDERSTOOD, 1)] == decide([item], [row])


def test_an_item_seen_before_is_not_decided_again() -> None:
    """A second reading may be fed to the same planner; what was decided stays decided."""
    item = an_item()
    planner = Planner([], Sources(), POLICY)
    assert [Add(item)] == planner.decide([item, item])
    assert planner.decide([item]) == []
    assert list(planner.finish(COMPLETE)) == []


def test_an_item_that_only_a_weak_id_names_joins_the_title_that_carries_it() -> None:
    """A copy that only IMDb knows is a copy of the film that carries the same IMDb id."""
    film = an_item("film", ids=Ids(tmdb=1, imdb="tt0000001"))
    copy = an_item("copy", ids=Ids(imdb="tt0000001"), created_at=NOW - timedelta(days=1))
    for items in ([film, copy], [copy, film]):
        assert [Add(film), Skip(copy, SkipReason.DUPLICATE)] == decide(items)


def test_a_row_that_names_a_lost_copy_is_linked_to_the_one_that_is_there() -> None:
    """An upgraded film has a new id; only a complete reading of an idle server proves it."""
    item, lost = an_item("new file"), jellyfin_id("old file")
    row = a_request(jellyfin_id=lost)
    for reading in (SCANNING, Reading(complete=False, scanning=False)):
        assert decide([item], [row], reading=reading) == [Skip(item, SkipReason.ALREADY_RIGHT, 1)]
    broken = Reading(complete=True, scanning=False, broken=frozenset({lost}))
    assert decide([item], [row], reading=broken) == [Skip(item, SkipReason.ALREADY_RIGHT, 1)]
    [decision] = decide([item], [row])
    links: dict[str, tuple[Column, Column]] = {"jellyfin_id": (lost, item.jellyfin_id)}
    assert decision == Update(item, UpdateReason.RELINK, 1, relinks=links)


def test_a_row_of_two_copies_is_not_linked_away_from_the_one_that_is_there() -> None:
    """As long as the copy that a row names is listed, the row keeps naming it."""
    named, other = an_item("item"), an_item("other", created_at=NOW - timedelta(days=9))
    assert not [one for one in decide([other, named], [a_request()]) if isinstance(one, Update)]


RADARR = ArrIndex(by_tmdb={603: 7, 604: 8}, whole=True)


@pytest.mark.parametrize(
    ("arr_id", "radarr", "after"),
    [
        (7, RADARR, None),
        (8, RADARR, (8, 7)),
        (99, RADARR, (99, 7)),
        (7, ArrIndex(by_tmdb={604: 7}, whole=True), (7, None)),
        (7, ArrIndex(by_tmdb={604: 7}), None),
        (8, ArrIndex(by_tmdb={603: 7}), None),
        (7, ArrIndex(whole=True), None),
        (7, None, None),
    ],
    ids=[
        "right",
        "another film's",
        "gone",
        "left",
        "left, list not whole",
        "another, list not whole",
        "empty",
        "away",
    ],
)
def test_a_wrong_radarr_id_is_replaced_or_taken_away(
    arr_id: int, radarr: ArrIndex | None, after: tuple[int, int | None] | None
) -> None:
    """With a stale id the tracker deletes the wrong film; no id at all is better than that."""
    [decision] = decide([an_item()], [a_request(arr_id=arr_id)], Sources(radarr=radarr))
    if after is None:
        assert isinstance(decision, Skip)
    else:
        assert isinstance(decision, Update)
        assert decision.relinks == {"radarr_id": after}


def test_only_a_reading_that_proves_it_shows_what_is_absent() -> None:
    """A title that was seen and is missing counts; one of a broken row or in dispute does not."""
    rows = [
        a_request(1, ids=Ids(tmdb=1), seen=True, library="/m", jellyfin_id=jellyfin_id(1)),
        a_request(2, ids=Ids(tmdb=2), seen=False, jellyfin_id=jellyfin_id(2)),
        a_request(3, ids=Ids(tmdb=3), seen=True, state=RequestState.IMPORTING),
        a_request(4, ids=Ids(tmdb=4), seen=True, jellyfin_id=jellyfin_id(4)),
        a_request(5, ids=Ids(tmdb=5), seen=True, jellyfin_id=jellyfin_id(5)),
    ]
    for reading, absent in (
        (Reading(complete=True, scanning=False, broken=frozenset({jellyfin_id(4)})), [1]),
        (SCANNING, []),
        (Reading(complete=False, scanning=False), []),
    ):
        planner = Planner(rows, Sources(), POLICY)
        planner.decide([an_item(5, ids=Ids(tmdb=5))])
        list(planner.finish(reading))
        assert [row.id for row in planner.evidence().absent] == absent


def test_an_item_that_only_a_weak_id_names_belongs_to_the_row_that_carries_it() -> None:
    """Also where that row is told by its strongest id from all other items."""
    film = an_item("film", ids=Ids(tmdb=1, imdb="tt0000001"))
    copy = an_item("copy", ids=Ids(imdb="tt0000001"))
    for items in ([film, copy], [copy, film]):
        reasons = {one.item.jellyfin_id: one for one in decide(items, [our_request(film)])}
        assert reasons[copy.jellyfin_id] == Skip(copy, SkipReason.DUPLICATE, 1)
