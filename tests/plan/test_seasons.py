"""When a series has all that was requested of it."""

from __future__ import annotations

import re
from itertools import combinations, product

import pytest

from daemon.plan.seasons import Completeness, completeness
from daemon.snapshot import Episode, Episodes
from tests.plan.support import files, together

ALL = frozenset[int]()
FIRST = frozenset({1})
WHOLE = Completeness(whole=True)
UNTOLD = Completeness(
    whole=True,
    text="no service counts its episodes; they are complete without gaps from the first one",
)


def lacking(text: str) -> Completeness:
    """What is incomplete, and why."""
    return Completeness(whole=False, text=text)


# --- against the episodes that Sonarr counts -----------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "there", "verdict"),
    [
        ({1}, {1: 10}, WHOLE),
        ({1}, {1: 9}, lacking("9 of 10 episodes")),
        ({1}, {1: 0}, lacking("0 of 10 episodes")),
        ({1}, {}, lacking("0 of 10 episodes")),
        ({1, 2}, {1: 10, 2: 8}, WHOLE),
        ({1, 2}, {1: 10}, lacking("10 of 18 episodes")),
        ({1, 2}, {1: 10, 2: 7}, lacking("17 of 18 episodes")),
        ({2}, {1: 10, 2: 8}, WHOLE),
        ({2}, {2: 8}, WHOLE),
        ({2}, {1: 10, 2: 2}, lacking("2 of 8 episodes")),
        ({2}, {1: 20}, lacking("0 of 8 episodes")),
        ({1}, {1: 10, 2: 1}, WHOLE),
        (set(), {1: 10, 2: 8}, WHOLE),
        (set(), {1: 10}, lacking("10 of 18 episodes")),
        (set(), {0: 5}, lacking("0 of 18 episodes")),
        (set(), {0: 5, 1: 10, 2: 8}, WHOLE),
        ({0}, {0: 5}, WHOLE),
        ({0}, {0: 4, 1: 10, 2: 8}, lacking("4 of 5 episodes")),
        ({0, 1}, {0: 5, 1: 10}, WHOLE),
        ({0, 1}, {1: 10}, lacking("10 of 15 episodes")),
    ],
)
def test_every_requested_season_has_all_the_episodes_that_sonarr_lists(
    requested: set[int], there: dict[int, int], verdict: Completeness
) -> None:
    """Without a request for certain seasons all count; specials only if they were asked for."""
    copy = together(*(files(range(1, count + 1), season) for season, count in there.items()))
    assert completeness(frozenset(requested), [copy], {0: 5, 1: 10, 2: 8}) == verdict


def test_a_second_file_of_an_episode_is_no_second_episode() -> None:
    """Nine of ten with one of them twice are nine."""
    twice = files([1, 2, 3, 3, 4, 5, 6, 7, 8, 9])
    assert completeness(FIRST, [twice], {1: 10}) == lacking("9 of 10 episodes")


@pytest.mark.parametrize("times", [2, 5, 30])
def test_any_number_of_files_of_one_episode_is_one(times: int) -> None:
    """Also where they alone are as many as the season has episodes."""
    assert completeness(FIRST, [files([1] * times)], {1: 2}) == lacking("1 of 2 episodes")
    assert completeness(FIRST, [files([1])] * times, {1: 2}) == lacking("1 of 2 episodes")


def test_two_copies_of_the_same_episodes_are_no_more_than_one() -> None:
    """In HD and in 4K two of three are two."""
    copies = [files([1, 2]), files([1, 2])]
    assert completeness(FIRST, copies, {1: 3}) == lacking("2 of 3 episodes")


def test_copies_complete_each_other() -> None:
    """What one lacks may be in the other: by episodes, and by seasons."""
    assert completeness(FIRST, [files([1, 2]), files([2, 3])], {1: 3}) == WHOLE
    both = [files([1, 2], 1), files([1, 2, 3], 2)]
    assert completeness(frozenset({1, 2}), both, {1: 2, 2: 3}) == WHOLE
    assert completeness(ALL, both, {1: 2, 2: 3}) == WHOLE


def test_a_missing_episode_of_one_copy_is_there_in_the_other() -> None:
    """That a copy lacks it is not said of the series."""
    one = Episodes([Episode(1, 1), Episode(1, 2, playable=False)])
    other = Episodes([Episode(1, 1, playable=False), Episode(1, 2)])
    assert completeness(FIRST, [one, other], {1: 2}) == WHOLE
    assert completeness(FIRST, [one, other], None) == UNTOLD


@pytest.mark.parametrize("there", [False, None])
def test_an_episode_that_cannot_be_played_or_is_not_understood_is_not_there(
    there: bool | None,
) -> None:
    """Unknown is not empty, and it is not there either."""
    copy = together(files([1, 2]), files([3], playable=there))
    assert completeness(FIRST, [copy], {1: 3}) == lacking("2 of 3 episodes")
    assert completeness(FIRST, [copy], None) == lacking("2 of 3 episodes")


def test_unmonitored_and_unaired_episodes_count() -> None:
    """Sonarr's whole number is what a season has; one that still airs waits until it is whole."""
    aired = files(range(1, 7))
    assert completeness(FIRST, [aired], {1: 10}) == lacking("6 of 10 episodes")


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ([*range(1, 10), 11], lacking("9 of 10 episodes")),
        ([*range(1, 10), 99], lacking("9 of 10 episodes")),
        ([*range(1, 12)], WHOLE),
        ([*range(10)], WHOLE),
        ([*range(11)], WHOLE),
        ([1, 3, *range(20, 40)], lacking("2 of 10 episodes")),
    ],
)
def test_a_number_beyond_a_gap_is_no_episode_of_the_season(
    numbers: list[int], verdict: Completeness
) -> None:
    """What was misread does not stand in for what is missing; some count from 0."""
    assert completeness(FIRST, [files(numbers)], {1: 10}) == verdict


def test_too_many_of_one_season_do_not_make_up_for_another() -> None:
    """Each season counts as far as it goes, and no text says that all are there."""
    copy = together(files(range(1, 12), 1), files(range(1, 8), 2))
    assert completeness(ALL, [copy], {1: 10, 2: 8}) == lacking("17 of 18 episodes")


def test_too_many_days_of_one_season_do_not_make_up_for_another() -> None:
    """Sonarr lists two of each year, and three of one year and one of the other are there."""
    days = [(2025, "2025-01-01"), (2025, "2025-01-02"), (2025, "2025-01-03"), (2026, "2026-01-01")]
    copy = Episodes([Episode(year, date=day) for year, day in days])
    assert completeness(ALL, [copy], {2025: 2, 2026: 2}) == lacking("3 of 4 episodes")


def test_numbers_may_run_on_through_all_seasons() -> None:
    """The second season of such a series begins where the first one ends."""
    second = frozenset({2})
    counts = {1: 13, 2: 13}
    through = together(files(range(1, 14), 1), files(range(14, 27), 2))
    assert completeness(ALL, [through], counts) == WHOLE
    assert completeness(second, [through], counts) == WHOLE
    short = files(range(14, 26), 2)
    assert completeness(second, [short], counts) == lacking("12 of 13 episodes")


def test_a_gap_in_numbers_that_run_on_is_a_gap() -> None:
    """One of them is missing, and the one after the season does not stand in for it."""
    gap = files([*range(14, 20), *range(21, 28)], 2)
    verdict = completeness(frozenset({2}), [gap], {1: 13, 2: 13})
    assert verdict.whole is False


@pytest.mark.parametrize(
    ("season", "numbers"), [(1, [2, 3, 4]), (1, [4, 5, 6]), (2, [2, 3, 4]), (2, [12, 13, 14])]
)
def test_numbers_run_on_only_from_where_the_season_before_ends(
    season: int, numbers: list[int]
) -> None:
    """Otherwise one that Sonarr does not list would stand in for the first one."""
    requested = frozenset({season})
    counts = {1: 3} if season == 1 else {1: 10, 2: 3}
    assert completeness(requested, [files(numbers, season)], counts).whole is False


# --- files with several episodes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(1, 3)], WHOLE),
        ([(1, 2), (3, None)], WHOLE),
        ([(1, 2), (2, 3)], WHOLE),
        ([(1, 1), (2, 2), (3, 3)], WHOLE),
        ([(1, 2)], lacking("2 of 3 episodes")),
        ([(1, 45)], lacking("1 of 3 episodes")),
        ([(1, 45), (2, None)], lacking("2 of 3 episodes")),
        ([(2, 4), (1, None)], lacking("2 of 3 episodes")),
        ([(3, 1)], lacking("1 of 3 episodes")),
        ([(1, 0), (2, -1)], lacking("2 of 3 episodes")),
        ([(1, 1_000_000)], lacking("1 of 3 episodes")),
    ],
)
def test_a_range_counts_its_numbers_only_if_the_season_has_its_end(
    rows: list[tuple[int, int | None]], verdict: Completeness
) -> None:
    """A name that was misread says one episode, the first one."""
    copy = Episodes([Episode(1, number, end) for number, end in rows])
    assert completeness(FIRST, [copy], {1: 3}) == verdict


def test_a_range_of_one_copy_does_not_reach_further_by_another_copy() -> None:
    """Two misread files of one name are no witnesses for each other."""
    copies = [Episodes([Episode(1, 1, 45)]), Episodes([Episode(1, 1, 45)])]
    assert completeness(FIRST, copies, {1: 5}) == lacking("1 of 5 episodes")


def test_a_misread_number_does_not_make_a_misread_range_true() -> None:
    """Sonarr lists five; a file numbered 45 is none of them, and so is the end of the range."""
    copy = Episodes([Episode(1, 1, 45), Episode(1, 45)])
    assert completeness(FIRST, [copy], {1: 5}).whole is False


def test_without_sonarr_a_range_may_reach_as_far_as_jellyfin_knows_episodes() -> None:
    """The missing ones that Jellyfin knows tell how long the season is."""
    known = files(range(1, 6), playable=False)
    within = together(Episodes([Episode(1, 1, 5)]), known)
    assert completeness(FIRST, [within], None) == UNTOLD
    over = together(Episodes([Episode(1, 1, 45)]), known)
    assert completeness(FIRST, [over], None) == lacking("1 of 5 episodes")


def test_a_range_of_a_missing_episode_makes_nothing_there() -> None:
    """It is as missing as it was."""
    copy = Episodes([Episode(1, 1, 3, playable=False), Episode(1, 3)])
    assert completeness(FIRST, [copy], {1: 3}) == lacking("1 of 3 episodes")


# --- where nobody counts but Jellyfin ------------------------------------------------------------


def test_without_sonarr_the_episodes_that_jellyfin_knows_to_be_missing_count() -> None:
    """Three of ten are three of ten."""
    copy = together(files([1, 2, 3]), files(range(4, 11), playable=False))
    assert completeness(FIRST, [copy], None) == lacking("3 of 10 episodes")
    assert completeness(ALL, [copy], None) == lacking("3 of 10 episodes")


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [0, 1, 2], [0], [3, 1, 2, 2]])
def test_where_nobody_counts_a_season_without_a_gap_is_whole_and_the_reason_says_so(
    numbers: list[int],
) -> None:
    """From 1 on, or from 0."""
    assert completeness(FIRST, [files(numbers)], None) == UNTOLD


@pytest.mark.parametrize("numbers", [[2], [2, 3], [1, 3], [1, 2, 4], [14, 15, 16], [0, 2]])
def test_where_nobody_counts_a_gap_is_something_missing(numbers: list[int]) -> None:
    """An episode that is not there need not be known to be missing."""
    verdict = completeness(FIRST, [files(numbers)], None)
    assert verdict.whole is False
    assert "season 1" in verdict.text


def test_where_nobody_counts_every_season_has_to_be_there() -> None:
    """A requested season of which Jellyfin knows nothing is named."""
    copy = together(files([1, 2], 1))
    asked = frozenset({1, 2})
    assert completeness(asked, [copy], None) == lacking("no episode of season 2")
    later = together(files([1, 2], 1), files([1], 2, playable=False))
    assert completeness(ALL, [later], None) == lacking("2 of 3 episodes")
    assert completeness(FIRST, [later], None) == UNTOLD


def test_specials_count_where_they_were_asked_for_or_are_all_there_is() -> None:
    """A series that has only specials counts its specials, with Sonarr and without."""
    specials = files([1, 2], 0)
    assert completeness(ALL, [specials], {0: 2}) == WHOLE
    assert completeness(ALL, [files([1], 0)], {0: 2}) == lacking("1 of 2 episodes")
    assert completeness(ALL, [specials], None) == UNTOLD
    assert completeness(ALL, [together(specials, files([1], 1))], None) == UNTOLD
    assert completeness(frozenset({0}), [specials], None) == UNTOLD
    gone = together(specials, files([1], 1, playable=False))
    assert completeness(ALL, [gone], None) == lacking("0 of 1 episodes")


def test_a_season_of_which_sonarr_lists_no_episode_is_not_waited_for_unless_it_was_requested() -> (
    None
):
    """Announced seasons, and the first one of a series of specials, have nothing to be there."""
    first = files(range(1, 11), 1)
    assert completeness(ALL, [first], {1: 10, 2: 0}) == WHOLE
    assert completeness(ALL, [files([1, 2], 0)], {0: 2, 1: 0}) == WHOLE
    assert completeness(frozenset({2}), [first], {1: 10, 2: 0}).whole is False


def test_a_series_of_which_there_is_nothing_is_not_whole() -> None:
    """No episode, no season, no copy."""
    for copies in ([], [Episodes(())], [Episodes((), frozenset({1}))]):
        for counts in (None, {}, {1: 3}):
            for requested in (ALL, FIRST, frozenset({0, 1})):
                verdict = completeness(requested, copies, counts)
                assert verdict.whole is False
                assert verdict.text


# --- numbers that are no numbers of a season -----------------------------------------------------


def test_dated_episodes_count_by_their_days() -> None:
    """A second file of a day is no second episode."""
    days = ["2026-01-01", "2026-01-02", "2026-01-02"]
    copy = Episodes([Episode(2026, date=day) for day in days])
    asked = frozenset({2026})
    assert completeness(asked, [copy], {2026: 2}) == WHOLE
    assert completeness(asked, [copy, copy], {2026: 3}) == lacking("2 of 3 episodes")


def test_days_do_not_tell_whether_one_is_missing() -> None:
    """Where nobody counts, a dated season is not taken as whole; what is missing counts."""
    days = Episodes([Episode(1, date="2026-01-01"), Episode(1, date="2026-01-02")])
    assert completeness(FIRST, [days], None).whole is False
    gone = together(days, Episodes([Episode(1, date="2026-01-03", playable=False)]))
    assert completeness(FIRST, [gone], None) == lacking("2 of 3 episodes")


def test_days_count_only_where_no_episode_has_a_number() -> None:
    """An odd file of a numbered season is not one more of its episodes."""
    mixed = together(files([1, 2]), Episodes([Episode(1, date="2026-01-03")]))
    assert completeness(FIRST, [mixed], {1: 3}) == lacking("2 of 3 episodes")


def test_episodes_without_a_season_are_the_first_one_of_a_series_that_has_no_other() -> None:
    """Absolute numbering alone counts, for a request of all and for one of the first season."""
    absolute = files([1, 2, 3], None)
    for requested in (ALL, FIRST):
        assert completeness(requested, [absolute], {1: 3}) == WHOLE
        assert completeness(requested, [absolute], {1: 4}) == lacking("3 of 4 episodes")
        assert completeness(requested, [absolute], {0: 2, 1: 3}) == WHOLE
        assert completeness(requested, [absolute], None) == UNTOLD
        specials = together(absolute, files([1], 0))
        assert completeness(requested, [specials], {0: 1, 1: 3}) == WHOLE


def test_episodes_without_a_season_complete_the_first_season() -> None:
    """Where it is the only one, some files may say so and others may not."""
    mixed = together(files([1, 2], None), files([3], 1))
    assert completeness(FIRST, [mixed], {1: 3}) == WHOLE


@pytest.mark.parametrize("counts", [{1: 3}, {1: 3, 2: 3}, {0: 3, 1: 3, 2: 3}])
def test_episodes_without_a_season_count_for_none_where_there_are_several(
    counts: dict[int, int],
) -> None:
    """Whether Sonarr or Jellyfin knows of the other season, by a file or by the season alone."""
    absolute = files([1, 2, 3], None)
    another = [
        together(absolute, files([1], 2)),
        together(absolute, files([1], 2, playable=False)),
        Episodes(absolute.rows, frozenset({2})),
    ]
    copies = [*another, absolute] if 2 in counts else another
    for copy in copies:
        assert completeness(FIRST, [copy], counts) == lacking("0 of 3 episodes")


def test_a_season_that_another_copy_has_counts_as_another_one_too() -> None:
    """The union of all copies is what a series has."""
    copies = [files([1, 2, 3], None), files([1, 2, 3], 2)]
    assert completeness(FIRST, copies, {1: 3}) == lacking("0 of 3 episodes")


def test_what_jellyfin_has_not_read_yet_makes_nothing_whole() -> None:
    """A file without number and date may be any episode: the next run looks again."""
    unread = together(files([1, 2, 3]), Episodes([Episode(1)]))
    assert completeness(FIRST, [unread], None).whole is None
    assert completeness(FIRST, [unread], {1: 4}).whole is None
    assert completeness(FIRST, [unread], {1: 3}) == WHOLE


@pytest.mark.parametrize(("numbers", "end"), [([1], 12), ([1, 2], 9)])
def test_a_misread_range_of_a_later_season_is_one_episode(numbers: list[int], end: int) -> None:
    """Its end lies where numbers that run through all seasons would be, and it begins below."""
    rows = [*(Episode(2, number) for number in numbers[:-1]), Episode(2, numbers[-1], end)]
    verdict = completeness(frozenset({2}), [Episodes(rows)], {1: 10, 2: 5})
    assert verdict == lacking(f"{len(numbers)} of 5 episodes")


def test_a_range_that_runs_through_all_seasons_counts() -> None:
    """E11-E15 of the second season, after ten of the first."""
    copy = Episodes([Episode(2, 11, 15)])
    assert completeness(frozenset({2}), [copy], {1: 10, 2: 5}) == WHOLE


@pytest.mark.parametrize("numbers", [[0, *range(2, 11)], [-1, *range(2, 11)]])
def test_a_number_before_the_first_does_not_stand_in_for_it(numbers: list[int]) -> None:
    """The first episode is missing."""
    assert completeness(FIRST, [files(numbers)], {1: 10}) == lacking("9 of 10 episodes")


def test_the_first_episode_is_missed_where_only_the_tracker_counts() -> None:
    """E02 to E11 are ten numbers, and not the ten that were asked for."""
    assert completeness(FIRST, [files(range(2, 12))], None, 10).whole is False


def test_a_season_that_is_missing_is_missed_though_nobody_counts() -> None:
    """Season one and three of a whole series."""
    copy = together(files([1, 2], 1), files([1, 2], 3))
    verdict = completeness(ALL, [copy], None)
    assert (verdict.whole, "season 2" in verdict.text) == (False, True)


def test_rows_that_could_not_be_read_matter_only_where_nobody_counts() -> None:
    """Fewer rows can only make a count lower."""
    partial = Episodes([Episode(1, 1), Episode(1, 2)], frozenset({1}), partial=True)
    assert completeness(FIRST, [partial], None).whole is None
    assert completeness(FIRST, [partial], {1: 2}) == WHOLE


def test_what_is_not_read_of_one_copy_matters_for_all() -> None:
    """Nobody can say which season it will belong to."""
    copies = [files([1, 2, 3]), Episodes([Episode(None)])]
    assert completeness(FIRST, copies, None).whole is None


# --- what the tracker counts itself --------------------------------------------------------------


def test_never_fewer_than_the_tracker_counts_of_one_season() -> None:
    """TMDB may know of episodes that Sonarr and Jellyfin do not."""
    ten = files(range(1, 11))
    assert completeness(FIRST, [ten], {1: 10}, 12) == lacking("10 of 12 episodes")
    assert completeness(FIRST, [ten], None, 12) == lacking("10 of 12 episodes")
    twelve = files(range(1, 13))
    assert completeness(FIRST, [twelve], {1: 10}, 12) == WHOLE
    assert completeness(FIRST, [twelve], None, 12) == WHOLE


def test_never_fewer_than_others_count_where_the_tracker_counts_less() -> None:
    """The larger number holds."""
    nine = files(range(1, 10))
    assert completeness(FIRST, [nine], {1: 10}, 9) == lacking("9 of 10 episodes")
    known = together(nine, files([10], playable=False))
    assert completeness(FIRST, [known], None, 9) == lacking("9 of 10 episodes")


def test_the_trackers_count_says_nothing_of_several_seasons() -> None:
    """It has one number for a request, and nobody can tell how it is shared out."""
    copy = together(files([1, 2], 1), files([1, 2], 2))
    assert completeness(frozenset({1, 2}), [copy], {1: 2, 2: 2}, 2) == WHOLE
    assert completeness(frozenset({1, 2}), [copy], {1: 2, 2: 2}, 99) == WHOLE


def test_numbers_that_run_on_are_enough_where_the_tracker_counts() -> None:
    """Then it is told how many there are, and only a gap would be one too few."""
    second = frozenset({2})
    assert completeness(second, [files(range(14, 27), 2)], None, 13) == WHOLE
    gap = files([*range(14, 20), *range(21, 28)], 2)
    assert completeness(second, [gap], None, 13).whole is False


# --- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "names"),
    [({3}, ["3"]), ({1, 3}, ["3"]), ({1, 3, 4}, ["3", "4"]), ({0, 1}, ["0"])],
)
def test_a_season_that_sonarr_does_not_know_is_named(requested: set[int], names: list[str]) -> None:
    """Whether the other requested ones are there or not."""
    for there in (range(1, 11), range(1, 4), ()):
        verdict = completeness(frozenset(requested), [files(there)], {1: 10})
        assert verdict.whole is False
        assert re.findall(r"\d+", verdict.text) == names


def test_no_text_says_that_all_are_there_of_what_is_incomplete() -> None:
    """Whatever is requested, there and counted: never "2 of 2 episodes" for a lack."""
    sets = [set(), {1}, {1, 2}, {2, 3}, {1, 3}]
    copies = [together(files(a, 1), files(b, 2)) for a, b in product(sets, sets)]
    counts = [None, {1: 2}, {1: 2, 2: 2}, {0: 1, 1: 1, 2: 3}, {2: 2}]
    seasons = [frozenset(one) for n in range(4) for one in combinations([0, 1, 2], n)]
    for copy, counted, requested, least in product(copies, counts, seasons, [None, 3]):
        verdict = completeness(requested, [copy], counted, least)
        if verdict.whole:
            continue
        assert verdict.text
        if match := re.match(r"(\d+) of (\d+) episodes", verdict.text):
            assert int(match[1]) < int(match[2])
