"""The removal guard, rule by rule."""

from __future__ import annotations

from datetime import timedelta

import pytest

from daemon.domain import Absence, Reading, RemovalMode, RemovalPolicy, TrackedRequest
from daemon.removal import Rule, Verdict, judge, proof
from tests.builders import NOW, a_request

POLICY = RemovalPolicy()
DISK = "/media/movies"
POPULATION: dict[str | None, int] = {DISK: 100}


def gone(
    number: int, *, sightings: int = 1, hours: float = 24, library: str | None = DISK
) -> TrackedRequest:
    """A row that earlier readings have missed, too."""
    absence = Absence(sightings, timedelta(hours=hours), NOW) if sightings else None
    return a_request(number, seen=True, library=library, absence=absence)


def decide(
    *rows: TrackedRequest, policy: RemovalPolicy = POLICY, approved: frozenset[int] = frozenset()
) -> Verdict:
    """The verdict while one disk is listed."""
    return judge(rows, POPULATION, [DISK], policy, approved)


def numbers(rows: list[TrackedRequest]) -> list[int]:
    """Which rows."""
    return [row.id for row in rows]


def test_a_title_that_was_missing_often_and_long_enough_goes() -> None:
    """With all the evidence there is no reason to keep it."""
    assert numbers(decide(gone(1)).remove) == [1]


@pytest.mark.parametrize(("sightings", "hours"), [(0, 0), (1, 23.9), (0, 99)])
def test_a_title_that_was_not_is_watched(sightings: int, hours: float) -> None:
    """One sighting is never enough, and neither is a short time."""
    verdict = decide(gone(1, sightings=sightings, hours=hours))
    assert (numbers(verdict.remove), numbers(verdict.watched)) == ([], [1])


def test_too_many_at_once_are_held() -> None:
    """Ten in a hundred may go; with the eleventh none does."""
    ten = [gone(number) for number in range(1, 11)]
    assert len(decide(*ten).remove) == 10
    eleven = decide(*ten, gone(11))
    assert (eleven.remove, len(eleven.held)) == ([], 11)
    assert eleven.held[0].why == "11 of 100 titles are missing in /media/movies; is its disk there?"


def test_titles_that_are_only_watched_count_too() -> None:
    """A disk that went away today holds what would go today from the same disk."""
    verdict = decide(gone(1), *(gone(number, sightings=0) for number in range(2, 20)))
    assert (verdict.remove, numbers([held.row for held in verdict.held])) == ([], [1])


def test_a_small_library_may_lose_a_few() -> None:
    """Five may go, whatever share of the library they are."""
    few = [gone(number) for number in range(1, 6)]
    assert len(judge(few, {DISK: 6}, [DISK], POLICY).remove) == 5
    assert judge([*few, gone(6)], {DISK: 6}, [DISK], POLICY).remove == []


def test_a_library_of_which_nothing_is_left_is_held() -> None:
    """However small it is: an empty disk looks just like that."""
    verdict = judge([gone(1), gone(2)], {DISK: 2}, [DISK], POLICY)
    assert verdict.remove == []
    assert verdict.held[0].why == "nothing is left of /media/movies; is its disk there?"


@pytest.mark.parametrize("library", ["/media/old", None])
def test_a_library_that_is_not_listed_any_more_is_held(library: str | None) -> None:
    """Its titles may be anywhere."""
    verdict = decide(gone(1, library=library))
    assert verdict.remove == []
    assert "is not listed by Jellyfin any more" in verdict.held[0].why


def test_where_one_library_is_held_nothing_goes_in_another() -> None:
    """One thing that looks wrong is reason enough to wait with all."""
    verdict = decide(gone(1), gone(2, library="/media/old"))
    assert (verdict.remove, sorted(numbers([held.row for held in verdict.held]))) == ([], [1, 2])


def test_every_removal_can_be_made_to_wait_for_an_admin() -> None:
    """Mode ask holds what would go."""
    verdict = decide(gone(1), policy=RemovalPolicy(mode=RemovalMode.ASK))
    assert (verdict.remove, verdict.held[0].why) == ([], "removals are to be approved")


def test_removal_can_be_off() -> None:
    """Mode off only watches."""
    verdict = decide(gone(1), policy=RemovalPolicy(mode=RemovalMode.OFF))
    assert (verdict.remove, verdict.held, numbers(verdict.watched)) == ([], [], [1])


@pytest.mark.parametrize("mode", RemovalMode)
def test_what_an_admin_approved_goes_and_nothing_more(mode: RemovalMode) -> None:
    """An approval stands for the evidence of the titles that it names."""
    rows = [gone(number, sightings=0, library="/media/old") for number in range(1, 30)]
    verdict = decide(*rows, policy=RemovalPolicy(mode=mode), approved=frozenset({3, 4, 99}))
    assert numbers(verdict.remove) == [3, 4]


def holding(rules: tuple[Rule, ...]) -> list[str]:
    """Which rules let nothing go."""
    return [rule.name for rule in rules if rule.why]


@pytest.mark.parametrize(
    ("reading", "names"),
    [
        (Reading(complete=True, scanning=False, titles=1), []),
        (Reading(complete=False, scanning=False, titles=1), ["complete"]),
        (Reading(complete=True, scanning=True, titles=1), ["idle"]),
        (Reading(complete=True, scanning=False), ["titles"]),
    ],
)
def test_only_a_whole_reading_of_an_idle_server_proves_anything(
    reading: Reading, names: list[str]
) -> None:
    """What stands in the way of that is named."""
    assert holding(proof(reading)) == names


def test_the_report_tells_each_rule_with_its_value_and_its_limit() -> None:
    """Eight may be missing of eighty; four of the six that are have waited long enough."""
    lost = [gone(number, hours=24 if number < 5 else 1) for number in range(1, 7)]
    verdict = judge(lost, {DISK: 80}, [DISK], POLICY)
    assert (len(verdict.remove), len(verdict.watched)) == (4, 2)
    assert verdict.rules == (
        Rule("mode", "guarded", "guarded"),
        Rule("evidence", 4, 6, "2 complete readings, 24 h", "2 of 6 titles wait for more evidence"),
        Rule("listed", value=True, limit=True, about=DISK),
        Rule("share", 6, 8, DISK),
    )


def test_what_is_missing_nowhere_is_reported_as_nothing() -> None:
    """The rules that do not hang on a title are told all the same."""
    assert decide().rules == (
        Rule("mode", "guarded", "guarded"),
        Rule("evidence", 0, 0, "2 complete readings, 24 h"),
    )


@pytest.mark.parametrize("lost", [*range(1, 13), 100])
@pytest.mark.parametrize("library", [DISK, "/media/old", None])
@pytest.mark.parametrize("mode", RemovalMode)
def test_the_report_holds_exactly_when_the_guard_does(
    lost: int, library: str | None, mode: RemovalMode
) -> None:
    """With all the evidence, titles go if and only if no rule holds."""
    rows = [gone(number, library=library) for number in range(1, lost + 1)]
    verdict = decide(*rows, policy=RemovalPolicy(mode=mode))
    assert bool(verdict.remove) is not bool(holding(verdict.rules))
    assert {one.why for one in verdict.held} <= {rule.why for rule in verdict.rules}


def test_a_share_that_is_reported_as_borne_is_borne() -> None:
    """The limit that is told is the last number that may go."""
    for tracked in range(1, 150):
        [share] = [
            r for r in judge([gone(1)], {DISK: tracked}, [DISK], POLICY).rules if r.name == "share"
        ]
        for lost, goes in ((share.limit, True), (int(share.limit) + 1, False)):
            rows = [gone(number) for number in range(1, int(lost) + 1)]
            verdict = judge(rows, {DISK: tracked}, [DISK], POLICY)
            assert bool(verdict.remove) is (goes and bool(rows))
