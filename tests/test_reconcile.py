"""What the planner decides, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from daemon.domain import (
    Add,
    ArrIndex,
    Column,
    Conflict,
    Ids,
    MediaType,
    RequestState,
    Skip,
    SkipReason,
    Sources,
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


def test_a_title_in_an_earlier_state_gets_its_ids_and_keeps_its_state() -> None:
    """A requested film that is there by now is filled, and named as what it is."""
    item = an_item()
    waiting = a_request(state=RequestState.APPROVED, jellyfin_id=None)
    without = a_request(
        state=RequestState.APPROVED, jellyfin_id=None, missing=frozenset({"jellyfin_id"})
    )
    assert [Skip(item, SkipReason.EARLIER_STATE, 1)] == decide([item], [waiting])
    [decision] = decide([item], [without])
    assert isinstance(decision, Update)
    assert decision.fills == {"jellyfin_id": item.jellyfin_id}


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


def test_a_row_that_names_a_lost_copy_is_not_taken_for_the_wrong_title() -> None:
    """A row whose copy has gone is matched by its ids; its own Jellyfin id is not overwritten."""
    item = an_item("new file")
    row = a_request(jellyfin_id=jellyfin_id("old file"), missing=frozenset({"year"}))
    [decision] = decide([item], [row])
    assert decision == Update(item, UpdateReason.FILL, 1, {"year": 1999})
