"""What becomes of each item and each request of a title."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from daemon.domain import (
    Absent,
    Add,
    Conflict,
    Deletion,
    Held,
    HeldKind,
    Ids,
    LibraryItem,
    MediaType,
    Plan,
    RequestState,
    Skip,
    TrackedRequest,
    Update,
    Value,
)
from daemon.plan import open_series, watched_series
from daemon.reasons import Reason
from daemon.snapshot import Episode, Episodes, Reading, Report
from tests.builders import (
    COMPLETE,
    NOW,
    SCANNING,
    a_report,
    a_request,
    added,
    an_item,
    decide,
    jellyfin_id,
    our_request,
    planned,
)
from tests.plan.support import (
    APPROVED,
    a_series,
    a_series_request,
    a_sonarr,
    about,
    files,
    missing_for,
    only,
    sees,
    together,
)

MOVIE, TV = MediaType.MOVIE, MediaType.TV
AVAILABLE = RequestState.AVAILABLE
EARLIER = [state for state in RequestState if state is not AVAILABLE]
HALF = Reading(complete=False, scanning=False, titles=1)
HALF_HINTED = Reading(complete=False, scanning=True, titles=1, asked=frozenset())
DISTRUSTED = Reading(complete=True, scanning=False, titles=1, distrust="another server answers")


def hinted(*asked: str, **overrides: Any) -> Reading:
    """A reading of some items by their ids."""
    return Reading(complete=False, scanning=True, asked=frozenset(asked), **overrides)


def update_of(plan: Plan, number: int = 1) -> Update:
    """What is written to a request, and that nothing else is decided about it."""
    [decision] = about(plan, number)
    assert isinstance(decision, Update), decision
    return decision


def relinks_of(plan: Plan, number: int = 1) -> dict[str, tuple[Value, Value]]:
    """The ids of a request that are replaced; none where nothing is written."""
    return {
        name: pair
        for one in about(plan, number)
        if isinstance(one, Update)
        for name, pair in one.relinks.items()
    }


def skip_of(plan: Plan, number: int = 1) -> Skip:
    """Why nothing is written to a request."""
    [decision] = about(plan, number)
    assert isinstance(decision, Skip), decision
    return decision


# --- titles that have no request -----------------------------------------------------------------


def test_an_available_title_that_is_not_tracked_is_added() -> None:
    """An untracked film gets a row with the id that Radarr keeps it under, and its poster."""
    item = an_item(poster=True)
    poster = f"http://media.test/Items/{item.jellyfin_id}/Images/Primary"
    assert decide([item], reports=[a_report({7: Ids(603)})]) == [
        Add(item, radarr_id=7, poster_url=poster)
    ]


def test_a_poster_is_never_invented() -> None:
    """A title without a picture in Jellyfin, or whose picture is unknown, gets no poster."""
    for poster in (False, None):
        [decision] = only(Add, decide([an_item(poster=poster)]))
        assert decision.poster_url is None


def test_a_series_takes_its_id_from_sonarr_by_any_provider() -> None:
    """Sonarr's id is found by the TVDB id where Sonarr does not know the TMDB one."""
    item = an_item(media_type=TV, ids=Ids(tmdb=1, tvdb=81189))
    assert decide([item], reports=[a_sonarr({4: Ids(tvdb=81189)})]) == [Add(item, sonarr_id=4)]


def test_what_cannot_be_played_is_not_available() -> None:
    """A stub, or a series folder without an episode, is no title to watch."""
    item = an_item(available=False)
    assert decide([item]) == [Skip(item, Reason.NOT_AVAILABLE)]


def test_what_is_not_understood_is_not_added() -> None:
    """Whether there is something to play is not known, and said so."""
    item = an_item(available=None)
    assert decide([item]) == [Skip(item, Reason.AVAILABILITY_UNKNOWN)]


def test_further_copies_of_a_title_are_duplicates() -> None:
    """Two libraries holding one film make one row, named after the elder copy in either order."""
    elder = an_item("elder", created_at=NOW - timedelta(days=1))
    newer = an_item("newer")
    for items in permutations([elder, newer]):
        decisions = decide(items)
        assert only(Add, decisions) == [Add(elder)]
        assert only(Skip, decisions) == [Skip(newer, Reason.DUPLICATE)]


def test_a_new_row_knows_what_any_of_its_copies_knows() -> None:
    """One copy has the TMDB id, the other that of IMDb, a third both."""
    one = an_item("one", ids=Ids(603), created_at=NOW - timedelta(days=2))
    two = an_item("two", ids=Ids(None, None, "tt0133093"), created_at=NOW - timedelta(days=1))
    both = an_item("both", ids=Ids(603, None, "tt0133093"))
    for items in permutations([one, two, both]):
        [add] = only(Add, decide(items))
        assert (add.item.jellyfin_id, add.item.ids) == (one.jellyfin_id, both.ids)


def test_a_copy_that_cannot_be_played_never_stands_in_for_one_that_can() -> None:
    """The title is there by the other one."""
    stub = an_item("stub", available=False, created_at=NOW - timedelta(days=9))
    unknown = an_item("unknown", available=None, created_at=NOW - timedelta(days=8))
    item = an_item()
    for items in permutations([stub, unknown, item]):
        assert only(Add, decide(items)) == [Add(item)]


def test_a_title_without_any_id_is_added_under_its_jellyfin_id() -> None:
    """Missing ids are no error; the title is there to watch."""
    item = an_item(ids=Ids())
    assert decide([item]) == [Add(item)]
    row = a_request(ids=Ids(), jellyfin_id=item.jellyfin_id)
    assert decide([item], [row]) == [Skip(item, Reason.ALREADY_RIGHT, 1)]


def test_a_title_without_any_id_waits_while_jellyfin_scans() -> None:
    """In a scan new rows stand for minutes without ids and under the names of their files."""
    bare, known = an_item("bare", ids=Ids()), an_item("known")
    decisions = decide([bare, known], reading=SCANNING)
    assert only(Add, decisions) == [Add(known)]
    assert only(Skip, decisions) == [Skip(bare, Reason.SCAN_IN_PROGRESS)]


@pytest.mark.parametrize("reading", [SCANNING, HALF, DISTRUSTED, hinted(jellyfin_id("item"))])
def test_what_is_there_is_added_however_the_reading_went(reading: Reading) -> None:
    """What was seen is certain; only what was not seen needs a whole reading."""
    assert added(decide([an_item()], reading=reading)) == [an_item().title]


# --- filling and refreshing ----------------------------------------------------------------------


def test_a_tracked_title_that_lacks_nothing_is_left_alone() -> None:
    """The second run changes nothing."""
    item = an_item()
    assert decide([item], [our_request(item)]) == [Skip(item, Reason.ALREADY_RIGHT, 1)]


def test_what_is_missing_is_filled_and_nothing_else() -> None:
    """Columns that are NULL are filled where the value is known; the others are not touched."""
    item = an_item(ids=Ids(tmdb=603, imdb="tt0133093"), title="Another title")
    row = a_request(missing=frozenset({"imdb_id", "tvdb_id", "radarr_id", "year"}))
    [decision] = decide([item], [row], [a_report({7: Ids(603)})])
    fills: dict[str, Value] = {"imdb_id": "tt0133093", "radarr_id": 7, "year": 1999}
    assert decision == Update(item, Reason.FILL, 1, fills)


def test_every_request_of_a_title_is_filled() -> None:
    """Each with what it lacks itself, whoever made it."""
    item = an_item(ids=Ids(603, None, "tt0133093"), poster=True)
    requests = [
        a_request(1, missing=frozenset({"imdb_id"})),
        a_request(2, jellyfin_id=None, missing=frozenset({"jellyfin_id", "year"})),
        a_request(3, ids=Ids(), missing=frozenset({"tmdb_id", "radarr_id"})),
        our_request(item, 4, missing=frozenset({"overview"})),
    ]
    for order in permutations(requests):
        plan = planned([item], order, [a_report({7: Ids(603)})])
        assert update_of(plan, 1).fills == {"imdb_id": "tt0133093"}
        assert update_of(plan, 2).fills == {"jellyfin_id": item.jellyfin_id, "year": 1999}
        assert update_of(plan, 3).fills == {"tmdb_id": 603, "radarr_id": 7}
        assert update_of(plan, 4).fills == {"overview": "What it is about."}


def test_a_request_that_is_not_available_yet_is_filled_too() -> None:
    """A series whose seasons are not whole gets what is known of it."""
    item = a_series(ids=Ids(1, 81189))
    row = a_series_request(1, 1, missing=frozenset({"tmdb_id", "jellyfin_id"}), jellyfin_id=None)
    sonarr = a_sonarr({4: item.ids}, counts={4: {1: 3}})
    update = update_of(sees([item], [row], [sonarr], {item: files([1])}))
    assert update.fills == {"tmdb_id": 1, "jellyfin_id": item.jellyfin_id}
    assert update.promotes is None


def test_an_unknown_source_fills_nothing() -> None:
    """Radarr being away is not Radarr being empty: its id stays missing and nothing is written."""
    item = an_item()
    row = our_request(item, missing=frozenset({"radarr_id"}))
    for reports in ([], [a_report(None)], [a_report({})], [a_sonarr({7: Ids(603)})]):
        assert decide([item], [row], reports) == [Skip(item, Reason.ALREADY_RIGHT, 1)]


def test_an_id_that_two_series_share_fills_nothing() -> None:
    """Ambiguous is not proof."""
    item = a_series(ids=Ids(tmdb=30984))
    row = our_request(item, missing=frozenset({"sonarr_id"}))
    sonarr = a_sonarr({1: Ids(30984, 74796), 2: Ids(30984, 434557)})
    assert decide([item], [row], [sonarr]) == [Skip(item, Reason.ALREADY_RIGHT, 1)]
    assert only(Add, decide([item], [], [sonarr])) == [Add(item)]


def test_a_number_that_the_requests_own_key_denies_is_not_filled() -> None:
    """It would be proven wrong by the next run, and filled again by the one after."""
    item = a_series(ids=Ids(1, None, "tt0000001"))
    row = a_series_request(
        state=AVAILABLE, ids=Ids(1, 5, "tt0000001"), missing=frozenset({"sonarr_id"})
    )
    sonarr = a_sonarr({7: Ids(None, 6, "tt0000001")})
    assert decide([item], [row], [sonarr]) == [Skip(item, Reason.ALREADY_RIGHT, 1)]


def test_a_row_of_ours_that_names_no_item_is_filled_and_refreshed_at_once() -> None:
    """The second run finds nothing to do."""
    item = an_item()
    row = our_request(item, metadata_hash=0, jellyfin_id=None, missing=frozenset({"jellyfin_id"}))
    update = update_of(planned([item], [row]))
    assert update.fills == {"jellyfin_id": item.jellyfin_id}
    assert update.replaces["title"] == item.title


def test_a_row_of_ours_follows_what_jellyfin_shows() -> None:
    """A row that was added early under a file name gets the title once Jellyfin knows it."""
    early = an_item(title="movie.2160p.x265", overview=None, path="/m/movie.mkv")
    now = an_item(title="The Matrix", path="/m/The Matrix (1999).mkv")
    [decision] = decide([now], [our_request(early)])
    assert isinstance(decision, Update)
    assert decision.reason is Reason.REFRESH
    assert decision.replaces == {
        "title": "The Matrix",
        "year": 1999,
        "overview": "What it is about.",
        "final_path": "/m/The Matrix (1999).mkv",
    }


def test_all_rows_of_ours_follow() -> None:
    """Two that are one title read alike in the end."""
    early, now = an_item(title="movie.2160p"), an_item(title="The Matrix")
    plan = planned([now], [our_request(early, 1), our_request(early, 2), our_request(now, 3)])
    assert update_of(plan, 1).replaces == update_of(plan, 2).replaces
    assert skip_of(plan, 3).reason is Reason.ALREADY_RIGHT


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


def test_the_copy_that_a_row_names_speaks_for_it() -> None:
    """An elder copy does not take a tracked row over from the copy that the row names."""
    named = an_item("named", overview="named")
    elder = an_item("elder", overview="elder", created_at=NOW - timedelta(days=9))
    row = our_request(named, missing=frozenset({"overview"}), metadata_hash=0)
    for items in permutations([named, elder]):
        decisions = decide(items, [row])
        [update] = only(Update, decisions)
        assert (update.item, update.relinks) == (named, {})
        assert only(Skip, decisions) == [Skip(elder, Reason.DUPLICATE, 1)]


def test_each_request_goes_by_the_copy_that_it_names() -> None:
    """Two people asked for one film, and each row names its own copy."""
    hd, uhd = an_item("hd"), an_item("uhd", created_at=NOW - timedelta(days=1))
    rows = [our_request(hd, 1), our_request(uhd, 2), a_request(3, jellyfin_id=None)]
    decisions = decide([hd, uhd], rows)
    items = {one.request_id: one.item for one in only(Skip, decisions)}
    assert items == {1: hd, 2: uhd, 3: uhd}


def test_a_row_that_is_not_understood_is_left_alone_and_hides_its_title() -> None:
    """A state or type of a newer tracker is no reason to add the title again."""
    item = an_item()
    row = a_request(state=None, missing=frozenset({"year"}), arr_id=99)
    assert decide([item], [row], [a_report({7: Ids(603)})]) == [
        Skip(item, Reason.NOT_UNDERSTOOD, 1)
    ]
    assert decide([], [row]) == [Skip(None, Reason.NOT_UNDERSTOOD, 1)]


def test_doubles_of_ours_are_told() -> None:
    """Those that are both ours could be one row, and become one only by an admin's word."""
    item, other = an_item("item"), an_item("other", ids=Ids(604))
    rows = [
        our_request(item, 1),
        our_request(item, 2),
        a_request(3),
        our_request(other, 4),
        a_request(5, ids=Ids(604), jellyfin_id=other.jellyfin_id),
    ]
    plan = planned([item, other], rows)
    assert ([*plan.doubles], [*plan.merges]) == ([(1, 2)], [])
    assert planned([item, other], rows, merges=frozenset({1, 2})).merges == [(1, 2)]
    assert planned([item, other], rows, merges=frozenset({1, 9})).merges == []


# --- films that were requested -------------------------------------------------------------------


@pytest.mark.parametrize("state", EARLIER)
def test_a_requested_film_that_is_there_is_promoted(state: RequestState) -> None:
    """From whatever state, also a failed one, and with what it lacks filled in."""
    item = an_item()
    row = a_request(state=state, jellyfin_id=None, missing=frozenset({"jellyfin_id"}))
    fills: dict[str, Value] = {"jellyfin_id": item.jellyfin_id}
    assert decide([item], [row]) == [Update(item, Reason.PROMOTE, 1, fills, promotes=state)]


@pytest.mark.parametrize("available", [False, None])
@pytest.mark.parametrize("state", EARLIER)
def test_a_requested_film_that_cannot_be_played_waits(
    state: RequestState, available: bool | None
) -> None:
    """Radarr's having a file makes nothing available; Jellyfin alone does."""
    radarr = a_report({7: Ids(603)})
    plan = planned([an_item(available=available)], [a_request(state=state)], [radarr])
    assert not only(Update, plan)
    plan = planned([], [a_request(state=state)], [radarr])
    assert skip_of(plan) == Skip(None, Reason.NOT_IN_LIBRARY, 1)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_film_that_several_people_requested_is_promoted_for_all_at_once(count: int) -> None:
    """Whatever state each is in, and whatever ids each has."""
    item = an_item(ids=Ids(603, None, "tt0133093"))
    ids = [Ids(603), Ids(None, None, "tt0133093"), Ids(603, None, "tt0133093"), Ids(603)]
    rows = [
        a_request(n, ids=ids[n - 1], state=EARLIER[n], jellyfin_id=None)
        for n in range(1, count + 1)
    ]
    # Two of them share no id: it is the third, or the Jellyfin id, that tells that they are one.
    rows[1] = rows[1]._replace(jellyfin_id=item.jellyfin_id)
    for order in permutations(rows):
        plan = planned([item], order)
        for row in rows:
            assert update_of(plan, row.id).promotes is row.state


def test_a_film_that_is_tracked_is_promoted_for_whoever_requests_it_again() -> None:
    """The new request has a TMDB id only, its item and the other row have more."""
    item = an_item(ids=Ids(603, None, "tt0133093"))
    tracked = our_request(item, 1)
    again = a_request(2, ids=Ids(603), state=APPROVED, jellyfin_id=None)
    for order in permutations([tracked, again]):
        plan = planned([item], order)
        assert update_of(plan, 2).promotes is APPROVED
        assert skip_of(plan, 1).reason is Reason.ALREADY_RIGHT


@pytest.mark.parametrize("reading", [SCANNING, HALF, DISTRUSTED, hinted(jellyfin_id("item"))])
def test_a_request_is_promoted_however_the_reading_went(reading: Reading) -> None:
    """What it asked for was seen."""
    assert update_of(planned([an_item()], [a_request(state=APPROVED)], (), reading)).promotes


# --- series that were requested ------------------------------------------------------------------

COUNTS = {4: {0: 5, 1: 10, 2: 8}}


@pytest.mark.parametrize(
    ("requested", "there", "shortfall"),
    [
        ((1,), {1: 10}, ""),
        ((1,), {1: 9}, "9 of 10 episodes"),
        ((1, 2), {1: 10}, "10 of 18 episodes"),
        ((1, 2), {1: 10, 2: 8}, ""),
        ((2,), {1: 10, 2: 2}, "2 of 8 episodes"),
        ((), {1: 10}, "10 of 18 episodes"),
        ((), {1: 10, 2: 8}, ""),
        ((2,), {1: 10}, "0 of 8 episodes"),
    ],
)
@pytest.mark.parametrize("state", [APPROVED, RequestState.IMPORTING, RequestState.FAILED])
def test_a_requested_series_is_promoted_once_all_its_seasons_are_whole(
    state: RequestState, requested: tuple[int, ...], there: dict[int, int], shortfall: str
) -> None:
    """Every season that was asked for counts by Sonarr's number of episodes; specials do not."""
    item = a_series()
    row = a_series_request(1, *requested, state=state)
    found = together(*(files(range(1, n + 1), season) for season, n in there.items()))
    plan = sees([item], [row], [a_sonarr({4: item.ids}, counts=COUNTS)], {item: found})
    if shortfall:
        assert skip_of(plan) == Skip(item, Reason.SEASONS_INCOMPLETE, 1, shortfall)
    else:
        assert update_of(plan).promotes is state


def test_a_second_file_makes_nothing_available() -> None:
    """Nine of ten episodes with one of them twice; the tracker's own row of the last one waits."""
    item = a_series()
    found = {item: files([1, 2, 3, 3, 4, 5, 6, 7, 8, 9])}
    sonarr = a_sonarr({4: item.ids}, counts={4: {1: 10}})
    plan = sees([item], [a_series_request(1, 1), a_series_request(2)], [sonarr], found)
    for number in (1, 2):
        assert skip_of(plan, number).reason is Reason.SEASONS_INCOMPLETE
        assert skip_of(plan, number).details == "9 of 10 episodes"


def test_each_request_is_judged_by_what_it_asked_for() -> None:
    """Of one series: the first season is there, the second is not, and nor is the whole."""
    item = a_series()
    rows = [
        a_series_request(1, 1),
        a_series_request(2, 2),
        a_series_request(3, 1, 2),
        a_series_request(4),
        a_series_request(5, 1, state=RequestState.DOWNLOADING),
        a_series_request(6, 1, state=AVAILABLE),
    ]
    sonarr = a_sonarr({4: item.ids}, counts=COUNTS)
    found = {item: together(files(range(1, 11)), files([1, 2], 2))}
    for order in (rows, rows[::-1], rows[3:] + rows[:3]):
        plan = sees([item], order, [sonarr], found)
        promoted = {one.request_id for one in only(Update, plan) if one.promotes}
        assert promoted == {1, 5}
        assert skip_of(plan, 2).details == "2 of 8 episodes"
        assert skip_of(plan, 3).details == skip_of(plan, 4).details == "12 of 18 episodes"
        assert skip_of(plan, 6).reason is Reason.ALREADY_RIGHT


@pytest.mark.parametrize("ours", [True, False])
def test_a_later_season_of_a_series_that_is_tracked_is_promoted(*, ours: bool) -> None:
    """The row of the first season, or of ours, does not hide the request of the second."""
    item = a_series()
    first = our_request(item, 1) if ours else a_series_request(1, 1, state=AVAILABLE)
    second = a_series_request(2, 2, jellyfin_id=None)
    assert open_series([item], [first, second]) == {item.jellyfin_id: frozenset({2})}
    found = {item: together(files(range(1, 11)), files(range(1, 9), 2))}
    sonarr = a_sonarr({4: item.ids}, counts=COUNTS)
    plan = sees([item], [first, second], [sonarr], found)
    assert update_of(plan, 2).promotes is APPROVED
    assert skip_of(plan, 1).reason is Reason.ALREADY_RIGHT


def test_a_series_of_two_folders_is_what_both_have() -> None:
    """Season 1 is in the one and season 2 in the other, and both were requested."""
    one, two = a_series("one"), a_series("two", created_at=NOW - timedelta(days=1))
    row = a_series_request(1, 1, 2, jellyfin_id=None)
    sonarr = a_sonarr({4: one.ids}, counts=COUNTS)
    found = {one: files(range(1, 11)), two: files(range(1, 9), 2)}
    for items in permutations([one, two]):
        assert update_of(sees(items, [row], [sonarr], found)).promotes is APPROVED
        assert open_series(items, [row]) == {
            one.jellyfin_id: frozenset({1, 2}),
            two.jellyfin_id: frozenset({1, 2}),
        }
    short = {one: files(range(1, 11)), two: files(range(1, 8), 2)}
    plan = sees([one, two], [row], [sonarr], short)
    assert skip_of(plan).details == "17 of 18 episodes"


def test_two_copies_of_the_same_episodes_make_nothing_available() -> None:
    """A merging library shows HD and 4K: E01 and E02 of three in each."""
    hd, uhd = a_series("hd"), a_series("uhd")
    sonarr = a_sonarr({4: hd.ids}, counts={4: {1: 3}})
    found = {hd: files([1, 2]), uhd: files([1, 2])}
    plan = sees([hd, uhd], [a_series_request(1, 1, jellyfin_id=None)], [sonarr], found)
    assert skip_of(plan).details == "2 of 3 episodes"


def test_an_episode_counts_for_the_series_that_it_names_itself() -> None:
    """Of two series of one name the first is an empty folder."""
    empty = a_series("empty", title="Twin", ids=Ids(1))
    full = a_series("full", title="Twin", ids=Ids(2))
    rows = [
        a_series_request(1, 1, ids=Ids(1), jellyfin_id=empty.jellyfin_id),
        a_series_request(2, 1, ids=Ids(2), jellyfin_id=full.jellyfin_id),
    ]
    found = {empty: Episodes(()), full: files([1, 2])}
    for available in (False, None, True):
        items = [empty._replace(available=available), full]
        plan = sees(items, rows, (), found)
        promoted = {one.request_id for one in only(Update, plan) if one.promotes}
        assert promoted == {2}


def test_a_copy_whose_episodes_were_not_looked_at_leaves_it_open() -> None:
    """What is not known of one copy may be what is lacking; nothing is promoted by half."""
    one, two = a_series("one"), a_series("two")
    row = a_series_request(1, 1, jellyfin_id=None)
    plan = sees([one, two], [row], (), {one: files([1, 2])})
    assert skip_of(plan).reason is Reason.EARLIER_STATE
    assert skip_of(sees([one], [row])).reason is Reason.EARLIER_STATE


def test_requested_seasons_that_are_not_understood_promote_nothing() -> None:
    """Nobody can say what was asked for."""
    item = a_series()
    plan = sees([item], [a_series_request(1, seasons=None)], (), {item: files([1])})
    assert skip_of(plan).reason is Reason.EARLIER_STATE


def test_the_seasons_of_all_open_requests_are_asked_for() -> None:
    """Those of a request for all are all; what is available needs no counting."""
    item, other, known = a_series(), a_series("other", ids=Ids(1)), a_series("known", ids=Ids(2))
    rows = [
        a_series_request(1, 1),
        a_series_request(2, 3, state=RequestState.FAILED),
        a_series_request(3, 5, state=AVAILABLE),
        a_series_request(4, 1, ids=Ids(1)),
        a_series_request(5, ids=Ids(1)),
        a_series_request(6, ids=Ids(2), state=AVAILABLE),
        a_series_request(7, ids=Ids(2), seasons=None),
    ]
    assert open_series([item, other, known], rows) == {
        item.jellyfin_id: frozenset({1, 3}),
        other.jellyfin_id: frozenset(),
    }


def test_the_series_that_may_be_gone_are_watched() -> None:
    """Those that are tracked as available while no copy is known to have anything to play."""
    gone, copy = a_series("gone", available=None), a_series("copy", available=False)
    there = a_series("there", ids=Ids(1))
    stub = a_series("stub", ids=Ids(1), available=None)
    asked = a_series("asked", ids=Ids(2), available=None)
    rows = [
        a_series_request(1, state=AVAILABLE),
        a_series_request(2, ids=Ids(1), state=AVAILABLE),
        a_series_request(3, ids=Ids(2)),
    ]
    watched = watched_series([gone, copy, there, stub, asked], rows)
    assert watched == {gone.jellyfin_id, copy.jellyfin_id}


def test_a_remembered_count_is_good_enough_to_promote() -> None:
    """The last episode comes with its webhook, and Sonarr's list is of the last full run."""
    item = a_series()
    sonarr = a_sonarr({4: item.ids}, counts={4: {1: 3}}, whole=False)
    reading = hinted(item.jellyfin_id)
    for numbers, whole in (([1, 2, 3], True), ([1, 2], False)):
        plan = sees([item], [a_series_request(1, 1)], [sonarr], {item: files(numbers)}, reading)
        assert bool(only(Update, plan)) is whole


# --- who counts the episodes ---------------------------------------------------------------------


def judged(*reports: Report, row: TrackedRequest | None = None) -> str:
    """What becomes of a request of season 1 of which Jellyfin has, and knows, E01 to E03."""
    item = a_series()
    plan = sees([item], [row or a_series_request(1, 1)], reports, {item: files([1, 2, 3])})
    [decision] = about(plan, 1)
    assert isinstance(decision, Update | Skip)
    return decision.reason.value


IDS = Ids(tvdb=81189)
INCOMPLETE = Reason.SEASONS_INCOMPLETE.value
UNKNOWN = Reason.EARLIER_STATE.value
PROMOTED = Reason.PROMOTE.value


def sonarr_4k(titles: dict[int, Ids] | None, **overrides: Any) -> Report:
    """A second Sonarr."""
    return a_sonarr(titles, **{"instance": "Sonarr 4K", "primary": False, **overrides})


@pytest.mark.parametrize(
    ("reports", "verdict"),
    [
        ([], PROMOTED),
        ([a_sonarr({4: IDS}, counts={4: {1: 3}})], PROMOTED),
        ([a_sonarr({4: IDS}, counts={4: {1: 4}})], INCOMPLETE),
        ([a_sonarr({4: Ids(tvdb=5)}, counts={4: {1: 9}})], PROMOTED),
        ([a_sonarr({}, counts={})], PROMOTED),
        ([a_sonarr(None)], UNKNOWN),
        ([a_sonarr({4: IDS})], UNKNOWN),
        ([a_sonarr({4: Ids(tvdb=5)}, whole=False)], UNKNOWN),
        ([a_sonarr({4: IDS}, counts={4: {1: 4}}, whole=False)], INCOMPLETE),
    ],
    ids=[
        "no Sonarr",
        "counts three",
        "counts four",
        "does not know it",
        "knows nothing",
        "away",
        "counts nothing of it",
        "may know it by now",
        "remembers four",
    ],
)
def test_the_sonarr_that_knows_a_series_counts_it(reports: list[Report], verdict: str) -> None:
    """What Jellyfin knows is a stand-in only where surely no Sonarr knows better."""
    assert judged(*reports) == verdict


@pytest.mark.parametrize(
    ("primary", "other", "verdict"),
    [
        ({}, {1: 3}, PROMOTED),
        ({}, {1: 4}, INCOMPLETE),
        ({1: 3}, {}, PROMOTED),
        ({1: 4}, {}, INCOMPLETE),
        ({1: 3}, {1: 3}, PROMOTED),
        ({1: 3}, {1: 4}, INCOMPLETE),
        ({1: 4}, {1: 3}, INCOMPLETE),
        ({1: 3}, None, PROMOTED),
        ({1: 4}, None, INCOMPLETE),
        (None, {1: 3}, PROMOTED),
        (None, {1: 4}, INCOMPLETE),
        (None, {}, UNKNOWN),
        ({}, None, UNKNOWN),
        (None, None, UNKNOWN),
        ({}, {}, PROMOTED),
    ],
)
def test_of_two_sonarrs_the_one_that_knows_the_series_counts_it(
    primary: dict[int, int] | None, other: dict[int, int] | None, verdict: str
) -> None:
    """None is one that is away, and one that counts nothing does not know it; the most counts."""
    first = a_sonarr(_knows(primary, 4), counts={4: primary} if primary else {})
    second = sonarr_4k(_knows(other, 9), counts={9: other} if other else {})
    assert judged(first, second) == verdict
    assert judged(second, first) == verdict


@pytest.mark.parametrize(("counts", "verdict"), [({1: 3}, PROMOTED), ({1: 4}, INCOMPLETE)])
def test_a_sonarr_that_has_not_read_a_series_yet_leaves_its_count_to_another(
    counts: dict[int, int], verdict: str
) -> None:
    """Both know the series; the one to which it was added a moment ago has no episode of it."""
    reading = a_sonarr({4: IDS})
    counting = sonarr_4k({9: IDS}, counts={9: counts})
    assert judged(reading, counting) == judged(counting, reading) == verdict


def test_the_number_that_is_kept_of_a_further_sonarr_says_which_series_is_meant() -> None:
    """As the row's own number does for the primary: two series share a TMDB id there."""
    item = a_series(ids=Ids(tmdb=30984))
    titles = {1: Ids(30984, 74796), 2: Ids(30984, 434557)}
    sonarr = sonarr_4k(titles, counts={1: {1: 2}, 2: {1: 20}})
    row = a_series_request(1, 1, ids=Ids(tmdb=30984))
    kept = {"Sonarr 4K": {1: 2}}
    plan = sees([item], [row], [sonarr], {item: files([1, 2])}, instance_ids=kept)
    assert skip_of(plan).details == "2 of 20 episodes"


def _knows(counts: dict[int, int] | None, number: int) -> dict[int, Ids] | None:
    return None if counts is None else {number: IDS} if counts else {1: Ids(tvdb=5)}


def test_a_series_is_counted_under_its_own_key() -> None:
    """Two series share a TMDB number; two of twenty episodes are there of the second."""
    item = a_series(ids=Ids(30984, 434557))
    titles = {1: Ids(30984, 74796), 2: Ids(30984, 434557)}
    sonarr = a_sonarr(titles, counts={1: {1: 2}, 2: {1: 20}})
    row = a_series_request(1, 1, ids=Ids(tmdb=30984), arr_id=2)
    plan = sees([item], [row], [sonarr], {item: files([1, 2])})
    assert skip_of(plan).details == "2 of 20 episodes"
    available = row._replace(state=AVAILABLE)
    assert skip_of(sees([item], [available], [sonarr])).reason is Reason.ALREADY_RIGHT


def test_an_ambiguous_id_is_counted_by_the_number_that_the_request_names() -> None:
    """The row says which of two series it is, and Sonarr agrees."""
    item = a_series(ids=Ids(tmdb=30984))
    titles = {1: Ids(30984, 74796), 2: Ids(30984, 434557)}
    sonarr = a_sonarr(titles, counts={1: {1: 2}, 2: {1: 20}})
    row = a_series_request(1, 1, ids=Ids(tmdb=30984), arr_id=2)
    plan = sees([item], [row], [sonarr], {item: files([1, 2])})
    assert skip_of(plan).details == "2 of 20 episodes"


def test_a_series_that_sonarr_may_know_under_two_numbers_is_not_taken_as_unknown() -> None:
    """Ambiguous is not proof that nobody counts: two of twenty are not taken as whole."""
    item = a_series(ids=Ids(tmdb=30984))
    titles = {1: Ids(30984, 74796), 2: Ids(30984, 434557)}
    sonarr = a_sonarr(titles, counts={1: {1: 20}, 2: {1: 20}})
    row = a_series_request(1, 1, ids=Ids(tmdb=30984))
    plan = sees([item], [row], [sonarr], {item: files([1, 2])})
    assert not only(Update, plan)


def test_the_number_that_a_request_names_is_the_primarys() -> None:
    """Another instance has some other series under it, of the same ambiguous id."""
    item = a_series(ids=Ids(tmdb=30984))
    titles = {4: Ids(30984, 74796), 5: Ids(30984, 434557)}
    other = sonarr_4k(titles, counts={4: {1: 2}, 5: {1: 20}})
    row = a_series_request(1, 1, ids=Ids(tmdb=30984), arr_id=4)
    found = together(files([1, 2]), files([3], playable=False))
    plan = sees([item], [row], [a_sonarr({1: Ids(tvdb=5)}), other], {item: found})
    assert not [one for one in only(Update, plan) if one.promotes]


def test_a_number_of_a_request_that_is_another_series_by_now_counts_nothing() -> None:
    """Sonarr's own key says so."""
    row = a_series_request(1, 1, arr_id=4)
    sonarr = a_sonarr({4: Ids(tvdb=5)}, counts={4: {1: 3}}, whole=False)
    assert judged(sonarr, row=row) == UNKNOWN


def test_never_fewer_than_the_tracker_counts() -> None:
    """Its number is TMDB's."""
    row = a_series_request(1, 1, episodes=4)
    assert judged(row=row) == INCOMPLETE
    assert judged(a_sonarr({4: IDS}, counts={4: {1: 3}}), row=row) == INCOMPLETE


def test_the_reason_says_where_nobody_counts() -> None:
    """A gapless season is taken as whole, and a person can see by what."""
    item = a_series()
    plan = sees([item], [a_series_request(1, 1)], (), {item: files([1, 2, 3])})
    assert "no service counts" in (update_of(plan).details or "")
    sonarr = a_sonarr({4: IDS}, counts={4: {1: 3}})
    plan = sees([item], [a_series_request(1, 1)], [sonarr], {item: files([1, 2, 3])})
    assert update_of(plan).details is None


# --- the numbers of Radarr and Sonarr ------------------------------------------------------------

FILMS = {7: Ids(603), 8: Ids(604)}


@pytest.mark.parametrize(
    ("number", "radarr", "after"),
    [
        (7, a_report(FILMS), None),
        (8, a_report(FILMS), (8, 7)),
        (99, a_report(FILMS), (99, 7)),
        (7, a_report({7: Ids(604)}), (7, None)),
        (99, a_report({7: Ids(604)}), (99, None)),
        (7, a_report({7: Ids(604)}, whole=False), None),
        (8, a_report({7: Ids(603)}, whole=False), None),
        (7, a_report({7: Ids(imdb="tt0000009")}), None),
        (7, a_report({7: Ids(imdb="tt0000009"), 9: Ids(603)}), None),
        (7, a_report({}), None),
        (7, a_report(None), None),
    ],
    ids=[
        "right",
        "another film's",
        "gone, and found elsewhere",
        "left to another film",
        "gone",
        "left, list not whole",
        "gone, list not whole",
        "cannot be told",
        "cannot be told, though found elsewhere",
        "empty",
        "away",
    ],
)
@pytest.mark.parametrize("state", [AVAILABLE, APPROVED])
def test_a_wrong_radarr_id_is_replaced_or_taken_away(
    state: RequestState, number: int, radarr: Report, after: tuple[int, int | None] | None
) -> None:
    """With a stale id the tracker deletes the wrong film; no id at all is better than that."""
    plan = planned([an_item()], [a_request(arr_id=number, state=state)], [radarr])
    assert relinks_of(plan) == ({} if after is None else {"radarr_id": after})


def test_every_request_of_a_title_is_relinked() -> None:
    """Radarr is renumbered; a twin that kept the old number would delete the wrong film."""
    rows = [
        a_request(1, arr_id=8),
        a_request(2, arr_id=8, jellyfin_id=None),
        our_request(an_item(), 3, arr_id=99),
        a_request(4, arr_id=8, state=APPROVED),
        a_request(5, arr_id=7),
    ]
    for order in (rows, rows[::-1], rows[2:] + rows[:2]):
        plan = planned([an_item()], order, [a_report(FILMS)])
        for number, old in ((1, 8), (2, 8), (3, 99), (4, 8)):
            assert relinks_of(plan, number) == {"radarr_id": (old, 7)}
        assert relinks_of(plan, 5) == {}


@pytest.mark.parametrize("arr_id", [1, 2])
def test_a_series_keeps_the_number_of_its_own_key(arr_id: int) -> None:
    """Two share a TMDB number: the right one stays, and the wrong one is replaced by the right."""
    item = a_series(ids=Ids(30984, 434557))
    sonarr = a_sonarr({1: Ids(30984, 74796), 2: Ids(30984, 434557)})
    rows = [
        a_series_request(1, state=AVAILABLE, ids=Ids(30984, 434557), arr_id=arr_id),
        a_series_request(2, state=AVAILABLE, ids=Ids(tmdb=30984), arr_id=arr_id),
    ]
    plan = sees([item], rows, [sonarr])
    expected = {} if arr_id == 2 else {"sonarr_id": (1, 2)}
    assert relinks_of(plan, 1) == relinks_of(plan, 2) == expected


def radarr_4k(titles: dict[int, Ids] | None, **overrides: Any) -> Report:
    """A second Radarr."""
    return a_report(titles, **{"instance": "Radarr 4K", "primary": False, **overrides})


def everywhere(primary: Report, other: Report) -> list[list[Report]]:
    """Two Radarrs and two Sonarrs that say the same of films and of series, in two orders."""
    sonarrs = [replace(one, media_type=TV) for one in (primary, other)]
    reports = [primary, other, *sonarrs]
    return [reports, reports[::-1]]


def test_only_the_number_of_the_primary_goes_into_a_row() -> None:
    """The tracker's button deletes there, so a number of another one would be another film."""
    film, series = an_item("film"), a_series("series")
    wanting = [
        a_request(1, missing=frozenset({"radarr_id"}), jellyfin_id=None),
        a_series_request(2, state=AVAILABLE, missing=frozenset({"sonarr_id"}), jellyfin_id=None),
    ]
    reports = [
        a_report({7: Ids(603)}),
        radarr_4k({70: Ids(603)}),
        a_sonarr({4: IDS}),
        sonarr_4k({40: IDS}),
    ]
    for order in permutations(reports):
        adds = only(Add, decide([film, series], [], order))
        assert {(one.radarr_id, one.sonarr_id) for one in adds} == {(7, None), (None, 4)}
        plan = planned([film, series], wanting, order)
        assert update_of(plan, 1).fills == {"radarr_id": 7}
        assert update_of(plan, 2).fills == {"sonarr_id": 4}


@pytest.mark.parametrize("primary", [{1: Ids(5, 6)}, None], ids=["does not know it", "away"])
def test_a_title_that_only_another_instance_knows_gets_no_number(
    primary: dict[int, Ids] | None,
) -> None:
    """Whether the primary has other titles or cannot be asked."""
    reports = [
        a_report(primary),
        radarr_4k({70: Ids(603)}),
        a_sonarr(primary),
        sonarr_4k({40: IDS}),
    ]
    for order in (reports, reports[::-1]):
        adds = only(Add, decide([an_item("film"), a_series("series")], [], order))
        assert [(one.radarr_id, one.sonarr_id) for one in adds] == [(None, None)] * 2


def test_a_number_is_proven_wrong_by_its_own_instance_only() -> None:
    """That another one has it, or has it for another title, says nothing."""
    film, series = an_item("film"), a_series("series")
    rows = [
        a_request(1, arr_id=7, jellyfin_id=None),
        a_series_request(2, arr_id=4, state=AVAILABLE, jellyfin_id=None),
    ]

    def relinked(titles: dict[int, Ids] | None, others: dict[int, Ids] | None) -> list[object]:
        films, series_of = (None, None) if titles is None else (_films(titles), _series(titles))
        other_films, other_series = (
            (None, None)
            if others is None
            else (
                _films(others),
                _series(others),
            )
        )
        reports = [
            a_report(films),
            radarr_4k(other_films),
            a_sonarr(series_of),
            sonarr_4k(other_series),
        ]
        plan = planned([film, series], rows, reports)
        assert relinks_of(planned([film, series], rows, reports[::-1]), 1) == relinks_of(plan, 1)
        return [relinks_of(plan, 1).get("radarr_id"), relinks_of(plan, 2).get("sonarr_id")]

    right, wrong, another = {0: Ids(603, 81189)}, {0: Ids(5, 6)}, {9: Ids(603, 81189)}
    assert relinked(right, wrong) == [None, None]
    assert relinked(right, another) == [None, None]
    assert relinked(right, None) == [None, None]
    assert relinked(wrong, right) == [(7, None), (4, None)]
    assert relinked(wrong, another) == [(7, None), (4, None)]
    assert relinked(another, right) == [(7, 9), (4, 9)]
    assert relinked(None, right) == [None, None]
    assert relinked(None, wrong) == [None, None]
    assert relinked({}, wrong) == [None, None]


def _films(titles: dict[int, Ids]) -> dict[int, Ids]:
    """Under number 7 where none is given."""
    return {number or 7: ids for number, ids in titles.items()}


def _series(titles: dict[int, Ids]) -> dict[int, Ids]:
    """Under number 4 where none is given."""
    return {number or 4: ids for number, ids in titles.items()}


def test_a_radarr_says_nothing_of_series_and_a_sonarr_nothing_of_films() -> None:
    """A number of the one is no number of the other."""
    film, series = an_item("film"), a_series("series", ids=Ids(603))
    rows = [
        a_request(1, arr_id=7, jellyfin_id=None),
        a_series_request(2, ids=Ids(603), state=AVAILABLE, arr_id=7, jellyfin_id=None),
    ]
    plan = planned([film, series], rows, [a_report({7: Ids(603)}), a_sonarr({4: Ids(603, 5)})])
    assert relinks_of(plan, 1) == {}
    assert relinks_of(plan, 2) == {"sonarr_id": (7, 4)}
    plan = planned([film, series], rows, [a_report({9: Ids(603)}), a_sonarr({7: Ids(603, 5)})])
    assert relinks_of(plan, 1) == {"radarr_id": (7, 9)}
    assert relinks_of(plan, 2) == {}


# --- numbers that vanish in numbers --------------------------------------------------------------


def thirty(**overrides: Any) -> tuple[list[LibraryItem], list[TrackedRequest]]:
    """Thirty films that Radarr knew as 1 to 30."""
    items = [an_item(n, ids=Ids(1000 + n)) for n in range(1, 31)]
    rows = [
        a_request(n, ids=item.ids, jellyfin_id=item.jellyfin_id, arr_id=n, **overrides)
        for n, item in enumerate(items, 1)
    ]
    return items, rows


def test_a_radarr_set_up_anew_takes_no_numbers_away() -> None:
    """It has one film; that 29 of 30 ids are gone at once is for an admin to see."""
    items, rows = thirty()
    plan = planned(items, rows, [a_report({1: Ids(1001)})])
    assert not only(Update, plan)
    assert [(one.request.id, one.kind) for one in plan.held] == [
        (n, HeldKind.UNLINK) for n in range(2, 31)
    ]
    assert {skip_of(plan, n).reason for n in range(2, 31)} == {Reason.UNLINK_HELD}
    assert skip_of(plan, 1).reason is Reason.ALREADY_RIGHT
    assert all("29 of 30" in one.why for one in plan.held)


def test_a_number_that_is_another_films_by_now_is_taken_away_all_the_same() -> None:
    """With it the tracker would delete that film."""
    items, rows = thirty()
    plan = planned(items, rows, [a_report({5: Ids(9999), 6: Ids(1007), 30: Ids(1030)})])
    relinked = {n: relinks_of(plan, n) for n in range(1, 31) if relinks_of(plan, n)}
    assert relinked == {
        5: {"radarr_id": (5, None)},
        6: {"radarr_id": (6, None)},
        7: {"radarr_id": (7, 6)},
    }
    assert sorted(one.request.id for one in plan.held) == [*range(1, 5), *range(8, 30)]


@pytest.mark.parametrize(
    ("linked", "gone", "goes"),
    [
        (30, 5, True),
        (30, 6, False),
        (100, 10, True),
        (100, 11, False),
        (2, 1, True),
        (2, 2, False),
        (1, 1, True),
    ],
)
def test_a_few_numbers_may_go_without_a_question(linked: int, gone: int, *, goes: bool) -> None:
    """A share of all that the instance gave."""
    items = [an_item(n, ids=Ids(1000 + n)) for n in range(1, linked + 1)]
    rows = [
        a_request(n, ids=item.ids, jellyfin_id=item.jellyfin_id, arr_id=n)
        for n, item in enumerate(items, 1)
    ]
    known = {n: Ids(1000 + n) for n in range(gone + 1, linked + 1)} or {999: Ids(9)}
    plan = planned(items, rows, [a_report(known)])
    unlinked = [one.request_id for one in only(Update, plan)]
    assert unlinked == ([*range(1, gone + 1)] if goes else [])
    assert len(plan.held) == (0 if goes else gone)


def test_renumbering_is_no_loss() -> None:
    """All thirty have another number by now, and are relinked to it."""
    items, rows = thirty()
    plan = planned(items, rows, [a_report({100 + n: Ids(1000 + n) for n in range(1, 31)})])
    assert not plan.held
    for n in range(1, 31):
        assert relinks_of(plan, n) == {"radarr_id": (n, 100 + n)}


def test_films_and_series_are_counted_apart() -> None:
    """A Sonarr that is set up anew does not hold what one film lost in Radarr."""
    series = [a_series(n, ids=Ids(tvdb=n)) for n in range(1, 11)]
    items = [*series, an_item("film"), an_item("other", ids=Ids(604))]
    rows = [
        a_series_request(n, ids=one.ids, jellyfin_id=one.jellyfin_id, state=AVAILABLE, arr_id=n)
        for n, one in enumerate(series, 1)
    ]
    rows += [
        a_request(20, jellyfin_id=None, arr_id=50),
        a_request(21, ids=Ids(604), jellyfin_id=None, arr_id=51),
    ]
    plan = planned(items, rows, [a_report({51: Ids(604)}), a_sonarr({99: Ids(tvdb=99)})])
    assert relinks_of(plan, 20) == {"radarr_id": (50, None)}
    assert sorted(one.request.id for one in plan.held) == [*range(1, 11)]


def test_what_else_is_to_be_written_is_written() -> None:
    """Only the number waits; a request is filled, refreshed, and promoted without it."""
    items, rows = thirty(missing=frozenset({"year"}), state=APPROVED)
    rows[3] = rows[3]._replace(state=AVAILABLE)
    plan = planned(items, rows, [a_report({1: Ids(1001)})])
    assert update_of(plan, 3).promotes is APPROVED
    assert (update_of(plan, 4).reason, update_of(plan, 4).relinks) == (Reason.FILL, {})
    assert all(update_of(plan, n).fills == {"year": 1999} for n in range(1, 31))
    assert len(plan.held) == 29


def test_numbers_that_wait_still_wait_once_others_were_filled() -> None:
    """A second run of the same services decides as the first one did."""
    items = [an_item(n, ids=Ids(1000 + n)) for n in range(1, 5)]
    linked = [
        a_request(n, ids=one.ids, jellyfin_id=one.jellyfin_id, arr_id=900 + n)
        for n, one in enumerate(items[:2], 1)
    ]
    unlinked = [
        a_request(n, ids=one.ids, jellyfin_id=one.jellyfin_id, missing=frozenset({"radarr_id"}))
        for n, one in enumerate(items[2:], 3)
    ]
    radarr = a_report({3: Ids(1003), 4: Ids(1004)})
    first = planned(items, [*linked, *unlinked], [radarr])
    filled = [one._replace(arr_id=one.id, missing=frozenset()) for one in unlinked]
    second = planned(items, [*linked, *filled], [radarr])
    assert len(first.held) == len(second.held)


def test_an_admin_lets_numbers_go() -> None:
    """Those that were approved, and no others."""
    items, rows = thirty()
    plan = planned(items, rows, [a_report({1: Ids(1001)})], unlinks=frozenset({2, 3, 99}))
    assert relinks_of(plan, 2) == {"radarr_id": (2, None)}
    assert relinks_of(plan, 3) == {"radarr_id": (3, None)}
    assert sorted(one.request.id for one in plan.held) == [*range(4, 31)]
    assert all(isinstance(one, Held) for one in plan.held)


# --- the item that a request names ---------------------------------------------------------------


def test_a_row_that_names_a_lost_copy_is_linked_to_the_one_that_is_there() -> None:
    """An upgraded film has a new id; only a complete reading of an idle server proves it."""
    item, lost = an_item("new file"), jellyfin_id("old file")
    row = a_request(jellyfin_id=lost)
    broken = replace(COMPLETE, broken=frozenset({lost}))
    nameless = replace(COMPLETE, nameless=1)
    for reading in (SCANNING, HALF, DISTRUSTED, broken, nameless):
        assert decide([item], [row], reading=reading) == [Skip(item, Reason.ALREADY_RIGHT, 1)]
    links: dict[str, tuple[Value, Value]] = {"jellyfin_id": (lost, item.jellyfin_id)}
    assert decide([item], [row]) == [Update(item, Reason.RELINK, 1, relinks=links)]


def test_every_request_that_names_a_lost_copy_is_relinked() -> None:
    """And those that name one that is there are not."""
    item, other = an_item(), an_item("other", created_at=NOW - timedelta(days=1))
    rows = [
        a_request(1, jellyfin_id=jellyfin_id("lost")),
        a_request(2, jellyfin_id=jellyfin_id("lost"), state=APPROVED),
        our_request(an_item("gone"), 3),
        a_request(4),
    ]
    plan = planned([item, other], rows)
    new = other.jellyfin_id
    assert relinks_of(plan, 1) == {"jellyfin_id": (jellyfin_id("lost"), new)}
    assert relinks_of(plan, 2) == {"jellyfin_id": (jellyfin_id("lost"), new)}
    assert relinks_of(plan, 3) == {"jellyfin_id": (jellyfin_id("gone"), new)}
    assert relinks_of(plan, 4) == {}


def test_a_row_of_two_copies_is_not_linked_away_from_the_one_that_is_there() -> None:
    """As long as the copy that a row names is listed, the row keeps naming it."""
    other = an_item("other", created_at=NOW - timedelta(days=9))
    for available in (True, False, None):
        named = an_item("item", available=available)
        assert not only(Update, decide([other, named], [a_request()]))


def test_a_replaced_file_is_linked_by_the_hinted_run() -> None:
    """The old id was asked for and is not there any more, while the title is."""
    old, new = jellyfin_id("old file"), an_item("new file")
    row = a_request(jellyfin_id=old)
    plan = planned([new], [row], (), hinted(old, new.jellyfin_id))
    assert relinks_of(plan) == {"jellyfin_id": (old, new.jellyfin_id)}
    for reading in (
        hinted(new.jellyfin_id),
        hinted(old, new.jellyfin_id, broken=frozenset({old})),
        hinted(old, new.jellyfin_id, distrust="another server answers"),
    ):
        assert relinks_of(planned([new], [row], (), reading)) == {}


@pytest.mark.parametrize("reading", [COMPLETE, hinted(jellyfin_id("old"), jellyfin_id("new"))])
def test_a_row_of_ours_tells_where_the_file_is_after_a_relink(reading: Reading) -> None:
    """The path is as old as the id that went with it."""
    old, new = an_item("old", path="/m/old.mkv"), an_item("new", path="/m/new.mkv")
    [update] = only(Update, decide([new], [our_request(old)], (), reading))
    assert update.relinks == {"jellyfin_id": (old.jellyfin_id, new.jellyfin_id)}
    assert update.replaces["final_path"] == "/m/new.mkv"


def test_a_poster_moves_with_the_row() -> None:
    """Its address has the item's id in it."""
    old, new = an_item("old", poster=True), an_item("new", poster=None)
    [update] = only(Update, decide([new], [our_request(old)]))
    assert update.replaces["poster_url"] == (
        f"http://media.test/Items/{new.jellyfin_id}/Images/Primary"
    )


# --- a server that is not to be trusted ----------------------------------------------------------


def test_a_distrusted_reading_takes_nothing_away() -> None:
    """Another server, or a person's token: it fills, adds, promotes, and proves nothing."""
    new = an_item("new", ids=Ids(1))
    moved = an_item("moved", ids=Ids(2), path="/m/new.mkv")
    was = an_item("was", ids=Ids(2), path="/m/old.mkv")
    asked = an_item("asked", ids=Ids(3))
    rows = [
        our_request(was, 2, arr_id=7),
        a_request(3, ids=Ids(3), state=APPROVED, missing=frozenset({"year"})),
        a_request(4, ids=Ids(4), seen=True, library="/m", absence=missing_for()),
        a_request(5, ids=Ids(5), seen=True, library="/m", absence=missing_for()),
    ]
    radarr = a_report({9: Ids(2)})
    plan = planned([new, moved, asked], rows, [radarr], DISTRUSTED, approved=frozenset({5}))
    assert [one.item for one in only(Add, plan)] == [new]
    assert (update_of(plan, 3).promotes, update_of(plan, 3).fills) == (APPROVED, {"year": 1999})
    assert not [one for one in only(Update, plan) if one.relinks or one.replaces]
    assert not only(Absent, plan)
    assert not plan.evidence.missed
    assert [skip_of(plan, n).reason for n in (4, 5)] == [Reason.AVAILABILITY_UNKNOWN] * 2


# --- an item that is another title by now --------------------------------------------------------

IDENTIFIED = [
    (an_item(ids=Ids(tmdb=6)), a_request(ids=Ids(tmdb=5))),
    (
        an_item(ids=Ids(6, None, "tt0000001")),
        a_request(ids=Ids(5, None, "tt0000001")),
    ),
    (a_series(ids=Ids(tvdb=6)), a_series_request(ids=Ids(tvdb=5), state=AVAILABLE)),
    (a_series(ids=Ids(1, 6)), a_series_request(ids=Ids(1, 5), state=AVAILABLE)),
]


@pytest.mark.parametrize(("item", "row"), IDENTIFIED)
@pytest.mark.parametrize("state", [AVAILABLE, APPROVED])
@pytest.mark.parametrize("reading", [COMPLETE, SCANNING, HALF])
def test_an_item_identified_anew_is_a_conflict_and_no_second_row(
    item: LibraryItem, row: TrackedRequest, state: RequestState, reading: Reading
) -> None:
    """The request's item is there, so it is not absent; a person says which title it is."""
    row = row._replace(state=state, seen=True, library="/m", absence=missing_for())
    plan = planned([item], [row], (), reading)
    conflicts = only(Conflict, plan)
    assert {one.reason for one in conflicts} == {Reason.REIDENTIFIED}
    assert {one.request_ids for one in conflicts} == {(1,)}
    assert len(conflicts) == len(plan.decisions)
    assert [*plan.evidence.returned] == [1]
    assert not plan.evidence.missed
    assert all("5 became 6" in (one.details or "") for one in conflicts)


def test_ids_that_flip_to_and_fro_make_no_row() -> None:
    """An .nfo and a provider disagree; once the old ones are back all is as it was."""
    before, after = an_item(ids=Ids(5)), an_item(ids=Ids(6))
    row = our_request(before, seen=True)
    assert not only(Add, decide([after], [row]))
    assert decide([before], [row]) == [Skip(before, Reason.ALREADY_RIGHT, 1)]


def test_every_request_that_names_the_item_is_in_conflict() -> None:
    """And one of the title that it is now is not."""
    item = an_item(ids=Ids(6))
    rows = [
        a_request(1, ids=Ids(5), seen=True),
        a_request(2, ids=Ids(5), state=APPROVED),
        a_request(3, ids=Ids(6), state=APPROVED, jellyfin_id=None),
    ]
    plan = planned([item], rows)
    for number in (1, 2):
        [conflict] = about(plan, number)
        assert isinstance(conflict, Conflict)
    assert update_of(plan, 3).promotes is APPROVED
    assert not only(Add, plan)
    assert not only(Absent, plan)


def test_an_admin_confirms_what_an_item_is() -> None:
    """Then the request has the item's ids, and is judged by them."""
    item = an_item(ids=Ids(6, None, "tt0000006"))
    row = a_request(ids=Ids(5, None, "tt0000005"), seen=True)
    plan = planned([item], [row], identified=frozenset({1}))
    assert update_of(plan).relinks == {"tmdb_id": (5, 6), "imdb_id": ("tt0000005", "tt0000006")}
    assert not only(Add, plan)
    assert not only(Conflict, plan)


def test_a_confirmed_request_that_was_open_is_promoted() -> None:
    """It is a request of that title by then; a wrong number of Radarr goes as well."""
    item = an_item(ids=Ids(6))
    row = a_request(ids=Ids(5), state=APPROVED, arr_id=50)
    radarr = a_report({50: Ids(5), 60: Ids(6)})
    update = update_of(planned([item], [row], [radarr], identified=frozenset({1})))
    assert update.promotes is APPROVED
    assert update.relinks == {"tmdb_id": (5, 6), "radarr_id": (50, 60)}


def test_a_confirmed_series_loses_an_id_that_was_the_other_ones() -> None:
    """An id that the item does not have was the old title's."""
    item = a_series(ids=Ids(tvdb=6))
    row = a_series_request(ids=Ids(1, 5), state=AVAILABLE)
    plan = planned([item], [row], identified=frozenset({1}))
    assert update_of(plan).relinks == {"tmdb_id": (1, None), "tvdb_id": (5, 6)}


def test_only_the_confirmed_request_is_changed() -> None:
    """An admin's word for one is no word for another, nor for one whose item is gone."""
    item = an_item(ids=Ids(6))
    rows = [
        a_request(1, ids=Ids(5)),
        a_request(2, ids=Ids(5)),
        a_request(3, ids=Ids(7), jellyfin_id=None),
    ]
    plan = planned([item], rows, identified=frozenset({1, 3}))
    assert update_of(plan, 1).relinks == {"tmdb_id": (5, 6)}
    assert isinstance(about(plan, 2)[0], Conflict)
    assert relinks_of(plan, 3) == {}


def test_a_request_whose_own_title_is_elsewhere_is_linked_to_it() -> None:
    """The old item became another film, and a new item is the film that was asked for."""
    item, right = an_item(ids=Ids(6)), an_item("right", ids=Ids(5))
    row = a_request(ids=Ids(5))
    plan = planned([item, right], [row])
    assert relinks_of(plan) == {"jellyfin_id": (item.jellyfin_id, right.jellyfin_id)}
    assert [one.item for one in only(Add, plan)] == [item]
    for reading in (SCANNING, HALF, DISTRUSTED):
        assert relinks_of(planned([item, right], [row], (), reading)) == {}


def test_an_item_identified_anew_gets_no_row_while_a_stub_has_the_old_ids() -> None:
    """What cannot be played is nothing that the request could be linked to instead."""
    item = an_item(ids=Ids(6))
    stub = an_item("stub", ids=Ids(5), available=False)
    plan = planned([item, stub], [a_request(ids=Ids(5))])
    assert not only(Add, plan)
    assert [one.item for one in only(Conflict, plan)] == [item]


# --- disputes ------------------------------------------------------------------------------------


def test_ids_that_point_to_two_rows_are_a_conflict() -> None:
    """Neither row is written to, and nothing is concluded of either; a person has to look."""
    item = an_item(ids=Ids(tmdb=1, imdb="tt0000002"))
    rows = [
        a_request(4, ids=Ids(tmdb=1), jellyfin_id=None, state=APPROVED),
        a_request(9, ids=Ids(imdb="tt0000002"), jellyfin_id=None, seen=True),
    ]
    for order in permutations(rows):
        assert decide([item], order) == [Conflict(item, (4, 9))]


@pytest.mark.parametrize("available", [False, None])
def test_requests_in_dispute_are_told_though_their_item_cannot_be_played(
    available: bool | None,
) -> None:
    """No request is passed over in silence."""
    item = an_item(ids=Ids(tmdb=1, imdb="tt0000002"), available=available)
    rows = [
        a_request(4, ids=Ids(tmdb=1), jellyfin_id=None),
        a_request(9, ids=Ids(imdb="tt0000002"), jellyfin_id=None),
    ]
    plan = planned([item], rows)
    assert about(plan, 4)
    assert about(plan, 9)
    assert not only(Absent, plan)


def test_nothing_of_disputed_titles_is_removed() -> None:
    """A request that an ambiguous item may belong to is not absent."""
    items = [an_item("c", ids=Ids(None, None, "tt0000001"))]
    rows = [
        a_request(n, ids=Ids(n, None, "tt0000001"), seen=True, library="/m", absence=missing_for())
        for n in (1, 2)
    ]
    plan = planned(items, rows)
    assert not only(Absent, plan)
    assert not plan.evidence.missed
    assert [one.reason for one in only(Conflict, plan)] == [Reason.DIFFERENT_TITLES]


def test_an_item_that_contradicts_itself_is_a_conflict_of_its_own() -> None:
    """It is not added, promotes nothing, and says which provider gave two ids."""
    item = an_item(contradicting=("tmdb",))
    plan = planned([item], [a_request(state=APPROVED, jellyfin_id=None)])
    [conflict] = only(Conflict, plan)
    assert (conflict.item, conflict.reason) == (item, Reason.CONTRADICTING)
    assert "tmdb" in (conflict.details or "")
    assert skip_of(plan).reason is Reason.NOT_IN_LIBRARY


def test_the_row_of_an_item_that_contradicts_itself_is_not_absent() -> None:
    """Its Jellyfin id is in the library, whatever its ids say."""
    item = an_item(contradicting=("tmdb",))
    plan = planned([item], [a_request(seen=True, library="/m", absence=missing_for())])
    assert not only(Absent, plan)
    assert not plan.evidence.missed


def test_a_weaker_id_does_not_join_what_a_stronger_one_parts() -> None:
    """Two films that carry one IMDb id by mistake stay two films, tracked or not."""
    one = an_item(1, ids=Ids(tmdb=1, imdb="tt0000001"))
    other = an_item(2, ids=Ids(tmdb=2, imdb="tt0000001"))
    assert sorted(added(decide([one, other]))) == [one.title, other.title]
    assert added(decide([one, other], [our_request(one)])) == [other.title]


def test_a_request_of_one_of_two_series_that_share_an_id_makes_no_second_row_of_its_item() -> None:
    """It has TMDB's number for both, and names the item that it means."""
    one, other = a_series("one", ids=Ids(30984, 74796)), a_series("other", ids=Ids(30984, 434557))
    row = a_series_request(1, ids=Ids(tmdb=30984), jellyfin_id=other.jellyfin_id, state=AVAILABLE)
    assert [add.item for add in only(Add, decide([one, other], [row]))] == [one]


def test_a_copy_that_lost_its_ids_is_still_what_its_row_calls_it() -> None:
    """It gets no second row, disputes nothing, and whoever else asked for the title gets it."""
    other, named = an_item("other", ids=Ids(1)), an_item("named", ids=Ids())
    rows = [
        a_request(1, ids=Ids(1), jellyfin_id=named.jellyfin_id),
        a_request(2, ids=Ids(1), jellyfin_id=None, state=APPROVED),
    ]
    plan = planned([other, named], rows)
    assert not only(Add, plan)
    assert not only(Conflict, plan)
    assert update_of(plan, 2).promotes is APPROVED


@pytest.mark.parametrize("state", [APPROVED, AVAILABLE])
@pytest.mark.parametrize("items", [[], [an_item("bare", ids=Ids())]])
def test_a_number_is_put_right_of_a_request_whose_title_is_not_there(
    state: RequestState, items: list[LibraryItem]
) -> None:
    """With it the tracker's delete button would delete another film."""
    row = a_request(1, ids=Ids(555), state=state, arr_id=31, jellyfin_id=None, seen=True)
    radarr = a_report({31: Ids(603), 36: Ids(555)})
    plan = planned(items, [row], [radarr])
    [update] = only(Update, plan)
    assert update.relinks == {"radarr_id": (31, 36)}
    assert not only(Update, planned(items, [row], [radarr], HALF_HINTED))


def test_two_requests_of_one_series_by_its_two_strong_ids_do_not_block_each_other() -> None:
    """One came from Seerr, with TMDB's number, the other from Sonarr, with TVDB's."""
    item = a_series(ids=Ids(1, 5))
    rows = [
        a_series_request(1, 1, ids=Ids(tmdb=1)),
        a_series_request(2, 1, ids=Ids(tvdb=5)),
    ]
    plan = sees([item], rows, (), {item: files([1, 2])})
    assert [update_of(plan, number).promotes for number in (1, 2)] == [APPROVED] * 2


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_is_told_by_all_ids_of_its_title(order: int) -> None:
    """It has the id of the newer copy alone, and its texts come from the older."""
    older = an_item("older", ids=Ids(5), created_at=NOW - timedelta(days=1))
    newer = an_item("newer", ids=Ids(5, 7))
    row = a_request(1, ids=Ids(tvdb=7), jellyfin_id=None, state=APPROVED)
    update = update_of(planned([older, newer][::order], [row]), 1)
    assert (update.item.jellyfin_id, update.item.ids) == (older.jellyfin_id, Ids(5, 7))


# --- what somebody deleted in the dashboard ------------------------------------------------------


def deleted(**overrides: Any) -> Deletion:
    """A film that was deleted with its files two hours ago."""
    values: dict[str, Any] = {
        "id": 1,
        "media_type": MOVIE,
        "title": "Gone",
        "ids": Ids(603),
        "jellyfin_id": None,
        "age": timedelta(hours=2),
        "files_too": True,
        **overrides,
    }
    return Deletion(**values)


YOUNG = timedelta(minutes=59)


@pytest.mark.parametrize(
    ("deletions", "reading", "is_added"),
    [
        ([], COMPLETE, True),
        ([deleted()], COMPLETE, True),
        ([deleted(age=timedelta(hours=1))], COMPLETE, True),
        ([deleted(age=YOUNG)], COMPLETE, False),
        ([deleted(age=timedelta())], COMPLETE, False),
        ([deleted()], HALF, False),
        ([deleted()], hinted(jellyfin_id("item")), False),
        ([deleted(files_too=False)], COMPLETE, False),
        ([deleted(files_too=False, age=timedelta(days=999))], COMPLETE, False),
        ([deleted(files_too=False, overruled=True)], COMPLETE, True),
        ([deleted(age=YOUNG, overruled=True)], COMPLETE, True),
        ([deleted(overruled=True)], HALF, True),
        ([deleted(), deleted(id=2, files_too=False)], COMPLETE, False),
        ([deleted(overruled=True), deleted(id=2, age=YOUNG)], COMPLETE, False),
    ],
)
def test_what_was_deleted_in_the_dashboard_is_not_added_again(
    deletions: list[Deletion], reading: Reading, *, is_added: bool
) -> None:
    """With its files: until a complete reading an hour later still shows it; else until told."""
    for order in permutations(deletions):
        decisions = decide([an_item()], [], (), reading, deletions=order)
        assert bool(only(Add, decisions)) is is_added
        if not is_added:
            [skip] = decisions
            assert isinstance(skip, Skip)
            assert skip.reason is Reason.DELETED_IN_TRACKER
            assert skip.details


@pytest.mark.parametrize(
    ("deletion", "is_added"),
    [
        (deleted(), False),
        (deleted(ids=Ids(), jellyfin_id=jellyfin_id("item")), False),
        (deleted(ids=Ids(None, None, "tt0133093")), False),
        (deleted(ids=Ids(604, None, "tt0133093")), True),
        (deleted(ids=Ids(604)), True),
        (deleted(ids=Ids()), True),
        (deleted(media_type=TV), True),
        (deleted(media_type=TV, ids=Ids(), jellyfin_id=jellyfin_id("item")), True),
    ],
)
def test_a_deletion_is_of_a_title_by_its_ids_or_its_item(
    deletion: Deletion, *, is_added: bool
) -> None:
    """A series of the same number is another title."""
    item = an_item(ids=Ids(603, None, "tt0133093"))
    decisions = decide([item], deletions=[deletion._replace(files_too=False)])
    assert bool(only(Add, decisions)) is is_added


def test_every_copy_of_a_deleted_title_stays_off_the_list() -> None:
    """Whichever of them the deletion names."""
    one, two = an_item("one", ids=Ids(603)), an_item("two", ids=Ids(603))
    deletion = deleted(ids=Ids(), jellyfin_id=two.jellyfin_id, files_too=False)
    decisions = decide([one, two], deletions=[deletion])
    assert {one.reason for one in only(Skip, decisions)} == {Reason.DELETED_IN_TRACKER}
    assert len(decisions) == 2


def test_a_deletion_says_nothing_of_what_was_requested_since() -> None:
    """A new request of the title is promoted as any other."""
    plan = planned([an_item()], [a_request(state=APPROVED)], deletions=[deleted(files_too=False)])
    assert update_of(plan).promotes is APPROVED


# --- what is noted -------------------------------------------------------------------------------


def test_what_is_there_is_noted_once() -> None:
    """A request is seen when it first is, or in another library; one that was missing is back."""
    item = an_item(library="/m")
    rows = [
        a_request(1),
        a_request(2, seen=True, library="/m"),
        a_request(3, seen=True, library="/old"),
        a_request(4, seen=True, library="/m", absence=missing_for()),
        a_request(5, state=APPROVED),
    ]
    evidence = planned([item], rows).evidence
    assert sorted(evidence.seen) == [(1, "/m"), (3, "/m"), (5, "/m")]
    assert [*evidence.returned] == [4]
    assert not evidence.missed


def test_a_library_that_cannot_be_told_does_not_overwrite_one_that_was() -> None:
    """Unknown is not elsewhere."""
    evidence = planned([an_item(library=None)], [a_request(seen=True, library="/m")]).evidence
    assert not evidence.seen


def test_a_hinted_run_says_nothing_of_what_it_did_not_look_at() -> None:
    """Requests of other titles are not in it at all."""
    item = an_item()
    rows = [our_request(item, 1), a_request(2, ids=Ids(2), seen=True, absence=missing_for())]
    plan = planned([item], rows, (), hinted(item.jellyfin_id))
    assert about(plan, 2) == []
    assert not plan.evidence.missed
    assert not plan.held


def test_a_file_of_an_episode_says_nothing_where_the_series_is_unknown() -> None:
    """A series of which it is not known whether it is there is neither added nor absent."""
    item = a_series(available=None)
    row = a_series_request(state=AVAILABLE, seen=True, library="/m", absence=missing_for())
    plan = sees([item], [row], (), {item: Episodes([Episode(1, 1, playable=None)])})
    assert not only(Absent, plan)
    assert not plan.evidence.missed
    assert {one.reason for one in only(Skip, plan)} == {Reason.AVAILABILITY_UNKNOWN}
