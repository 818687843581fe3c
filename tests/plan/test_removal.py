"""What it takes to remove the request of a title that is not in the library any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from daemon.domain import (
    Absent,
    Fate,
    HeldKind,
    Ids,
    Plan,
    Policy,
    RemovalMode,
    RemovalPolicy,
    RequestState,
    Rule,
    Skip,
    TrackedRequest,
    Tracker,
    value_hash,
)
from daemon.observe.library import Library
from daemon.observe.sources import Problems
from daemon.opening import open_services
from daemon.plan import plan
from daemon.plan.removal import proof
from daemon.reasons import Reason
from daemon.services.jellyfin import JellyfinClient, ListingContext
from daemon.settings import Settings
from daemon.snapshot import Reading, Snapshot
from tests.builders import (
    COMPLETE,
    QUICK,
    SCANNING,
    a_request,
    a_snapshot,
    an_item,
    jellyfin_id,
    planned,
)
from tests.plan.support import (
    DISK,
    about,
    fates,
    film,
    held,
    missed,
    missing_for,
    only,
    removed,
    row,
    swept,
    watched,
)
from tests.pretend import PretendServices, World

HALF = Reading(complete=False, scanning=False, titles=1)
GENEROUS = RemovalPolicy(limit_total_percent=100)
"""Leaves it to the shares of the libraries."""


def rows_of(count: int, library: str | None = DISK, first: int = 1) -> list[TrackedRequest]:
    """Requests of films that are there."""
    return [row(n, library) for n in range(first, first + count)]


def lost(count: int, library: str | None = DISK, first: int = 9001) -> list[TrackedRequest]:
    """Requests of films that two complete readings a day apart have not shown."""
    return [missed(n, library) for n in range(first, first + count)]


def rules(plan: Plan, name: str) -> list[Rule]:
    """What one rule of the guard found."""
    return [rule for rule in plan.guard if rule.name == name]


def whys(plan: Plan) -> dict[int, str]:
    """By request, what is said against its removal."""
    return {one.request.id: one.why for one in only(Absent, plan)}


# --- what proves an absence ----------------------------------------------------------------------


def test_a_title_that_was_missing_often_and_long_enough_goes() -> None:
    """With all the evidence there is no reason to keep it."""
    plan = swept(rows_of(20), [missed(99)])
    assert fates(plan) == {Fate.REMOVE: [99]}
    assert whys(plan) == {99: ""}
    assert not plan.held


def test_a_title_with_many_requests_is_one_title_for_the_limits() -> None:
    """Whoever asked for it: one film went, which is no reason to wait for an admin."""
    gone = [missed(n, ids=Ids(tmdb=9999)) for n in range(91, 99)]
    plan = swept(rows_of(40), gone)
    assert (removed(plan), held(plan)) == ([*range(91, 99)], [])


@pytest.mark.parametrize(
    "reading",
    [
        replace(COMPLETE, complete=False),
        replace(COMPLETE, scanning=True),
        replace(COMPLETE, nameless=1),
        replace(COMPLETE, broken=frozenset({jellyfin_id("of no row")})),
        replace(COMPLETE, broken=frozenset({jellyfin_id(99), jellyfin_id("of no row")})),
        replace(COMPLETE, distrust="another server answers"),
    ],
)
def test_a_reading_that_proves_nothing_removes_and_notes_nothing(reading: Reading) -> None:
    """It was cut, Jellyfin was at work, a record may be any title, or it is not to be trusted."""
    plan = swept(rows_of(20), [missed(98)], reading=reading)
    [skip] = about(plan, 98)
    assert skip == Skip(None, Reason.AVAILABILITY_UNKNOWN, 98)
    assert not plan.evidence.missed
    assert not plan.held


@pytest.mark.parametrize(
    "reading",
    [SCANNING, HALF, replace(COMPLETE, nameless=1), replace(COMPLETE, distrust="another server")],
)
def test_an_admins_word_is_no_proof(reading: Reading) -> None:
    """What was approved goes if it is still absent, which such a reading cannot tell."""
    assert not removed(swept(rows_of(20), [missed(99)], reading=reading, approved=frozenset({99})))


def test_an_empty_library_proves_nothing() -> None:
    """A Jellyfin that lists nothing at all is one that lost its library."""
    plan = swept([], [missed(1)], locations=[DISK])
    assert not only(Absent, plan)
    assert not plan.evidence.missed


def test_an_item_is_gone_if_everything_was_read_or_it_was_asked_for() -> None:
    """And its record was not a broken one, and the server is to be trusted."""
    one, other = jellyfin_id("one"), jellyfin_id("other")
    hinted = Reading(complete=False, scanning=True, asked=frozenset({one}))
    assert COMPLETE.proves_gone(one)
    assert hinted.proves_gone(one)
    assert not hinted.proves_gone(other)
    for reading in (COMPLETE, hinted):
        assert not replace(reading, broken=frozenset({one})).proves_gone(one)
        assert not replace(reading, distrust="another server").proves_gone(one)
    for reading in (SCANNING, HALF, replace(COMPLETE, nameless=1)):
        assert not reading.proves_gone(one)
    for reading in (hinted, replace(COMPLETE, asked=frozenset({one}))):
        assert not reading.proves_absence


@pytest.mark.parametrize(
    ("reading", "names"),
    [
        (Reading(complete=True, scanning=False, titles=1), []),
        (Reading(complete=False, scanning=False, titles=1), ["complete"]),
        (Reading(complete=True, scanning=True, titles=1), ["idle"]),
        (Reading(complete=True, scanning=False), ["titles"]),
        (Reading(complete=True, scanning=False, titles=1, nameless=2), ["unusable"]),
        (
            Reading(complete=True, scanning=False, titles=1, broken=frozenset({jellyfin_id(7)})),
            ["unusable"],
        ),
        (
            Reading(complete=True, scanning=False, titles=1, broken=frozenset({jellyfin_id(1)})),
            [],
        ),
        (
            Reading(complete=True, scanning=False, titles=1, distrust="a person's token"),
            ["trusted"],
        ),
        (Reading(complete=False, scanning=True), ["complete", "idle", "titles"]),
    ],
)
def test_only_a_whole_reading_of_an_idle_server_proves_anything(
    reading: Reading, names: list[str]
) -> None:
    """What stands in the way of that is named."""
    assert [rule.name for rule in proof(reading, [row(1)]) if rule.why] == names


def test_a_broken_record_of_a_tracked_title_keeps_that_one() -> None:
    """It is there; the others are as absent as before."""
    reading = replace(COMPLETE, broken=frozenset({jellyfin_id(98)}))
    plan = swept(rows_of(40), [missed(98), missed(99)], reading=reading)
    assert fates(plan) == {Fate.REMOVE: [99]}
    assert about(plan, 98) == [Skip(None, Reason.AVAILABILITY_UNKNOWN, 98)]
    assert [one.request.id for one in plan.evidence.missed] == [99]


@pytest.mark.parametrize("state", [one for one in RequestState if one.value != "AVAILABLE"])
def test_a_request_that_is_not_available_yet_is_never_removed(state: RequestState) -> None:
    """It waits for its title."""
    plan = swept(rows_of(20), [missed(99, state=state)])
    assert about(plan, 99) == [Skip(None, Reason.NOT_IN_LIBRARY, 99)]


def test_a_request_that_we_never_saw_is_listed_and_not_removed() -> None:
    """It was stale before we came, and goes only by an admin's word."""
    stale = a_request(99, ids=Ids(99), jellyfin_id=None)
    plan = swept(rows_of(20), [stale])
    assert about(plan, 99) == [Skip(None, Reason.NEVER_SEEN, 99)]
    assert not plan.evidence.missed
    assert removed(swept(rows_of(20), [stale], approved=frozenset({99}))) == [99]
    plan = swept(rows_of(20), [stale], reading=SCANNING)
    assert about(plan, 99) == [Skip(None, Reason.AVAILABILITY_UNKNOWN, 99)]


@pytest.mark.parametrize(
    ("copies", "fate"),
    [
        ([True], None),
        ([True, False], None),
        ([True, None], None),
        ([None], None),
        ([False, None], None),
        ([False], Fate.REMOVE),
        ([False, False], Fate.REMOVE),
        ([], Fate.REMOVE),
    ],
)
def test_a_title_is_absent_only_if_every_copy_certainly_is(
    copies: list[bool | None], fate: Fate | None
) -> None:
    """One that can be played is there, and one that is not understood may be."""
    extra = [
        film(f"copy {n}", ids=Ids(99), available=available)  # type: ignore[arg-type]
        for n, available in enumerate(copies)
    ]
    plan = swept(rows_of(20), [missed(99)], extra=extra)
    assert [one.fate for one in only(Absent, plan)] == ([fate] if fate else [])


def test_every_request_of_an_absent_title_is_judged_by_itself() -> None:
    """One was seen a year ago, one a day ago, one never, and one waits for it."""
    ids = Ids(9999)
    gone = [
        missed(901, ids=ids),
        missed(902, ids=ids, absence=missing_for(hours=1)),
        row(903, ids=ids),
        a_request(904, ids=ids, jellyfin_id=None),
        missed(905, ids=ids, state=RequestState.APPROVED),
        missed(906, ids=ids),
    ]
    plan = swept(rows_of(100), gone)
    assert (removed(plan), watched(plan)) == ([901, 906], [902, 903])
    assert sorted(one.request.id for one in plan.evidence.missed) == [901, 902, 903, 906]
    assert about(plan, 904) == [Skip(None, Reason.NEVER_SEEN, 904)]
    assert about(plan, 905) == [Skip(None, Reason.NOT_IN_LIBRARY, 905)]


def test_a_title_that_is_back_is_forgotten_to_have_been_missing() -> None:
    """By any of its ids, or by the Jellyfin id."""
    back = [
        missed(1, ids=Ids(imdb="tt0000001"), jellyfin_id=None),
        missed(2, ids=Ids(), jellyfin_id=jellyfin_id("two")),
    ]
    extra = [
        film("one", ids=Ids(1, None, "tt0000001")),  # type: ignore[arg-type]
        film("two", ids=Ids(2)),  # type: ignore[arg-type]
    ]
    plan = swept(rows_of(20, first=100), back, extra=extra)
    assert sorted(plan.evidence.returned) == [1, 2]
    assert not only(Absent, plan)


async def test_the_reading_of_one_library_says_nothing_of_the_others() -> None:
    """It may be whole, and proves nothing absent all the same."""
    async with PretendServices(World.of_size(movies=3, series=0)) as services:
        jellyfin = {"url": services.jellyfin_url, "api_key": services.jellyfin_key}
        async with open_services(Settings.model_validate({"jellyfin": jellyfin}), QUICK) as clients:
            everything = await _reading(clients.jellyfin, None)
            assert everything.proves_absence
            activity = await clients.jellyfin.activity()
            for folder in activity.libraries:
                assert not (await _reading(clients.jellyfin, folder.id)).proves_absence


async def _reading(jellyfin: JellyfinClient, only: str | None) -> Reading:
    library = Library(jellyfin, ListingContext(), page_size=100, problems=Problems(), only=only)
    await library.read()
    return library.reading(scanning=False, distrust="")


# --- how often, and for how long ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sightings", "hours", "goes"),
    [(1, 24, True), (1, 23.9, False), (1, 0, False), (0, 99, False), (5, 24, True), (5, 23, False)],
)
def test_a_title_is_watched_until_it_was_missing_often_and_long_enough(
    sightings: int, hours: float, *, goes: bool
) -> None:
    """One sighting is never enough, and neither is a short time."""
    absence = missing_for(sightings, hours) if sightings else None
    plan = swept(rows_of(20), [row(99, absence=absence)])
    assert fates(plan) == {Fate.REMOVE if goes else Fate.WATCH: [99]}
    assert [one.request.absence for one in plan.evidence.missed] == [absence]


@pytest.mark.parametrize("needed", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("grace", [0, 24])
def test_this_reading_is_one_of_the_sightings_and_no_more(needed: int, grace: int) -> None:
    """The row goes with exactly as many complete readings without it as were asked for."""
    policy = RemovalPolicy(sightings=needed, grace=timedelta(hours=grace))
    for before in range(12):
        absence = missing_for(before, hours=99) if before else None
        plan = swept(rows_of(20), [row(99, absence=absence)], policy)
        enough = before + 1 >= needed and (before > 0 or not grace)
        assert fates(plan) == {Fate.REMOVE if enough else Fate.WATCH: [99]}


@pytest.mark.parametrize(
    ("before", "hours", "goes"), [(0, 0, False), (1, 23.9, False), (1, 24, True), (2, 24, True)]
)
def test_one_sighting_and_a_grace_take_two_readings(
    before: int, hours: float, *, goes: bool
) -> None:
    """The time begins with the first reading without it, so that no title goes with that one."""
    policy = RemovalPolicy(sightings=1, grace=timedelta(hours=24))
    absence = missing_for(before, hours) if before else None
    plan = swept(rows_of(20), [row(99, absence=absence)], policy)
    assert fates(plan) == {Fate.REMOVE if goes else Fate.WATCH: [99]}


def test_one_sighting_without_a_grace_is_one_reading() -> None:
    """Whoever wants it so gets it so."""
    policy = RemovalPolicy(sightings=1, grace=timedelta())
    assert removed(swept(rows_of(20), [row(99)], policy)) == [99]


def test_a_title_that_waits_says_for_what() -> None:
    """How many of the readings there were."""
    plan = swept(rows_of(20), [row(99)], RemovalPolicy(sightings=3))
    assert whys(plan) == {99: "missing from 1 of 3 complete readings"}


# --- its library ---------------------------------------------------------------------------------


def test_a_library_that_is_not_listed_any_more_is_held() -> None:
    """Its titles may be anywhere."""
    plan = swept(rows_of(40), [missed(99, "/media/old")], locations=[DISK])
    assert held(plan) == [99]
    assert "(/media/old) is not listed by Jellyfin any more" in whys(plan)[99]


def test_a_library_of_which_nothing_is_left_is_held() -> None:
    """However small it is: an empty disk looks just like that."""
    for count in (1, 2, 5):
        plan = swept(rows_of(100, "/media/tv"), lost(count))
        assert len(held(plan)) == count
        assert "nothing is left of /media/movies" in whys(plan)[9001]


def test_a_library_that_has_only_new_titles_is_held() -> None:
    """All that was tracked of it is gone, so that it is another disk."""
    plan = swept(rows_of(100, "/media/tv"), lost(2), extra=[film(777, ids=Ids(777))])
    assert held(plan) == [9001, 9002]


def test_a_library_of_which_only_stubs_are_left_is_held() -> None:
    """Something is listed there, and nothing of it can be played."""
    stub = film(777, ids=Ids(777), available=False)
    plan = swept(rows_of(100, "/media/tv"), lost(1), extra=[stub])
    assert held(plan) == [9001]
    assert "nothing is left of /media/movies" in whys(plan)[9001]


def test_where_one_library_is_held_nothing_goes_in_another() -> None:
    """One thing that looks wrong is reason enough to wait with all."""
    plan = swept(rows_of(40), [missed(98), missed(99, "/media/old")], locations=[DISK])
    assert held(plan) == [98, 99]
    assert whys(plan)[98].startswith("held with others: ")


def test_where_too_many_of_one_library_are_missing_nothing_goes_in_another() -> None:
    """Titles may have moved from there, and more of them than have been missed."""
    there = [*rows_of(40), *rows_of(40, "/media/tv", first=500)]
    plan = swept(there, [*lost(8), missed(99, "/media/tv")], GENEROUS)
    assert held(plan) == [99, *range(9001, 9009)]
    assert whys(plan)[99].startswith("held with others: 8 of ")


def test_a_title_whose_file_is_being_replaced_is_only_watched() -> None:
    """Radarr deletes the old file before it copies the better one; an admin's word counts still."""
    plan = swept(rows_of(40), [missed(99)], replaced=frozenset({99}))
    assert (watched(plan), whys(plan)) == ([99], {99: "its file is being replaced by a better one"})
    plan = swept(rows_of(40), [missed(99)], replaced=frozenset({99}), approved=frozenset({99}))
    assert removed(plan) == [99]


def test_a_library_that_was_taken_off_the_list_holds_the_others_too() -> None:
    """Though its other titles still were in the reading."""
    there = [*rows_of(40), *rows_of(40, "/media/old", first=500)]
    plan = swept(there, [missed(98), missed(99, "/media/old")], locations=[DISK])
    assert held(plan) == [98, 99]
    assert all("is not listed by Jellyfin any more" in why for why in whys(plan).values())


def test_the_title_of_an_unknown_library_is_held_by_itself() -> None:
    """Nobody can tell whether its disk is there, which says nothing of the other disks."""
    plan = swept(rows_of(60), [missed(98), missed(99, None)])
    assert (removed(plan), held(plan)) == ([98], [99])
    assert "unknown" in whys(plan)[99]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("/media/movies/", "/media/movies"),
        ("/media/movies", "/media/movies/"),
        (r"D:\Films", "d:\\films\\"),
        ("D:\\", "d:/"),
        (r"\\NAS\Films", "//nas/films"),
    ],
)
def test_a_library_is_the_same_however_its_place_is_written(before: str, now: str) -> None:
    """It is listed, it is not empty, and its titles are counted together."""
    plan = swept(rows_of(40, now), [missed(99, before)], locations=[now])
    assert removed(plan) == [99]
    assert not [rule for rule in plan.guard if rule.why]


@pytest.mark.parametrize(
    ("before", "now"),
    [("/media/Movies", "/media/movies"), ("/nas/films", r"\\nas\films"), ("D:\\", "/")],
)
def test_another_place_is_another_library(before: str, now: str) -> None:
    """Case counts, and a share is no folder."""
    plan = swept(rows_of(40, now), [missed(99, before)], locations=[now])
    assert held(plan) == [99]


def test_the_drive_or_the_root_may_be_a_library() -> None:
    """Its titles go like those of any other."""
    for place in ("D:\\", "/"):
        assert removed(swept(rows_of(40, place), [missed(99, place)])) == [99]


def test_titles_of_one_library_are_counted_together_though_its_place_was_written_anew() -> None:
    """Eleven of a hundred are too many, in whichever spelling each was seen."""
    gone = [*lost(6, "/media/movies/"), *lost(5, "/media/movies", first=9101)]
    plan = swept(rows_of(89), gone, GENEROUS, locations=[DISK])
    assert removed(plan) == []
    assert len(held(plan)) == 11


def test_what_a_library_missed_while_it_was_away_does_not_count() -> None:
    """Once it is back, or made again, the evidence of its titles begins anew."""
    away = missing_for(9, hours=999, away=True)
    plan = swept(rows_of(40), [missed(99, absence=away)])
    assert watched(plan) == [99]
    [note] = plan.evidence.missed
    assert (note.request.absence, note.library_away) == (None, False)


def test_a_library_that_is_away_still_has_its_evidence_marked() -> None:
    """Not listed, or empty: that is noted with each sighting."""
    for locations in ([DISK], [DISK, "/media/old"]):
        plan = swept(rows_of(40), [missed(99, "/media/old")], locations=locations)
        assert [one.library_away for one in plan.evidence.missed] == [True]


def test_a_library_that_is_away_is_noted_by_a_reading_that_proves_nothing() -> None:
    """What was missing before has to be missed afresh once the library is back."""
    gone = missed(99, "/media/old", absence=missing_for(1))
    here = missed(98, absence=missing_for(1))
    reading = Reading(complete=True, scanning=True, titles=40)
    plan = swept(rows_of(40), [gone, here], reading=reading)
    assert (list(plan.evidence.away), list(plan.evidence.missed)) == ([99], [])


def test_titles_of_a_library_that_is_still_away_wait_for_an_admin() -> None:
    """What was noted of them is kept, as long as the library does not come back."""
    gone = missed(99, "/media/old", absence=missing_for(5, away=True))
    plan = swept(rows_of(40), [gone], locations=[DISK])
    assert held(plan) == [99]
    [note] = plan.evidence.missed
    assert (note.request.absence, note.library_away) == (gone.absence, True)


def test_readings_while_a_library_was_away_are_forgotten_and_then_counted_afresh() -> None:
    """A library is made again by an admin; the first scan finds only a part of its titles."""
    there, gone = rows_of(40), [row(n, "/media/tv") for n in range(90, 96)]
    away = swept(there, gone, locations=[DISK])
    assert {one.library_away for one in away.evidence.missed} == {True}
    later = [_noted(one, away) for one in gone]
    back = swept([*there, *later[:3]], later[3:])
    assert watched(back) == [93, 94, 95]
    again = [_noted(one, back) for one in later[3:]]
    assert {one.absence.sightings for one in again if one.absence} == {1}
    assert {one.absence.library_away for one in again if one.absence} == {False}
    few = [one._replace(absence=missing_for(1, 24)) for one in again[:1]]
    assert removed(swept([*there, *later[:3]], few)) == [93]


def _noted(request: TrackedRequest, plan: Plan) -> TrackedRequest:
    """A request as it is a day after its absence was noted."""
    [note] = [one for one in plan.evidence.missed if one.request.id == request.id]
    before = note.request.absence
    away = note.library_away or (before is not None and before.library_away)
    return request._replace(
        absence=missing_for((before.sightings if before else 0) + 1, 25, away=away),
    )


# --- files of the same name ----------------------------------------------------------------------


def test_a_file_of_the_same_name_without_ids_holds_the_removal() -> None:
    """A disk was mounted elsewhere while the metadata provider was down."""
    name = value_hash("The Matrix (1999).mkv")
    path = "/mnt/new/The Matrix (1999).mkv"
    bare = an_item("bare", ids=Ids(), path=path, library=DISK)
    plan = swept(rows_of(60), [missed(98), missed(99, file=name)], extra=[bare])
    assert (removed(plan), held(plan)) == ([98], [99])
    assert "same name" in whys(plan)[99]


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("/m/Another.mkv", Ids()),
        ("/m/The Matrix.mkv", Ids(tmdb=5)),
        (None, Ids()),
    ],
)
def test_another_file_holds_nothing(path: str | None, ids: Ids) -> None:
    """Of another name, or one whose ids say that it is another title."""
    other = an_item("other", ids=ids, path=path, library=DISK)
    gone = missed(99, file=value_hash("The Matrix.mkv"))
    assert removed(swept(rows_of(40), [gone], extra=[other])) == [99]
    assert removed(swept(rows_of(40), [missed(99)], extra=[other])) == [99]


# --- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("titles", [2, 3, 4, 5, 6, 9, 10, 11, 12, 49, 50, 59, 60, 99, 100, 237])
def test_a_library_may_lose_a_share_of_its_titles_or_a_few(titles: int) -> None:
    """One, or a tenth, or five, but never over half of it: the last that may go, and one more."""
    most = max(1, titles // 10, min(5, titles // 2))
    bulk = rows_of(3000, "/media/tv", first=10_000)
    for count in (most, most + 1):
        plan = swept([*bulk, *rows_of(titles - count)], lost(count), GENEROUS)
        assert len(removed(plan)) == (count if count == most else 0)
        assert len(held(plan)) == (0 if count == most else count)


def test_too_many_at_once_are_held_and_the_reason_says_how_many() -> None:
    """Eleven of a hundred."""
    plan = swept(rows_of(89), lost(11), GENEROUS)
    assert {*whys(plan).values()} == {
        "11 of 100 titles are missing in /media/movies; is its disk there?"
    }
    assert [one.kind for one in plan.held] == [HeldKind.REMOVE] * 11
    assert [one.why for one in plan.held] == [*whys(plan).values()]


def test_titles_that_are_only_watched_count_too() -> None:
    """A disk that went away today holds what would go today from the same disk."""
    gone = [missed(9001), *(row(n) for n in range(9002, 9020))]
    plan = swept(rows_of(81), gone, GENEROUS)
    assert (removed(plan), held(plan)) == ([], [9001])
    assert len(watched(plan)) == 18


@pytest.mark.parametrize("titles", [10, 40, 99, 100, 199, 200, 500, 1000])
def test_all_libraries_together_may_lose_less(titles: int) -> None:
    """A twentieth of all, or five, in one run."""
    most = max(1, titles // 20, min(5, titles // 2))
    parts = [f"/media/{n}" for n in range(10)]
    for count in (most, most + 1):
        gone = [missed(9000 + n, parts[n % 10]) for n in range(count)]
        there = [row(n + 1, parts[n % 10]) for n in range(titles - count)]
        plan = swept(there, gone, RemovalPolicy(limit_percent=100))
        assert len(removed(plan)) == (count if count == most else 0)
        [total] = rules(plan, "total")
        assert (total.value, total.limit) == (count, most)


def test_ten_libraries_of_fifty_that_lose_five_each_are_held() -> None:
    """Each could, and all of them together are a tenth of everything."""
    parts = [f"/media/{n}" for n in range(10)]
    there = [one for n, part in enumerate(parts) for one in rows_of(45, part, first=n * 50 + 1)]
    gone = [one for n, part in enumerate(parts) for one in lost(5, part, first=9000 + n * 50)]
    plan = swept(there, gone)
    assert removed(plan) == []
    assert len(held(plan)) == 50
    assert "50 of all 500 titles are missing at once" in whys(plan)[9000]


@pytest.mark.parametrize(("count", "goes"), [(1, True), (3, True), (4, False), (5, False)])
def test_a_library_of_six_may_lose_three(count: int, *, goes: bool) -> None:
    """Half of it; five of six are held."""
    bulk = rows_of(300, "/media/tv", first=1000)
    plan = swept([*bulk, *rows_of(6 - count)], lost(count))
    assert len(removed(plan)) == (count if goes else 0)


def test_nine_of_a_hundred_are_held() -> None:
    """A disk of a pool is away for 26 hours: under the share, and over the total."""
    plan = swept(rows_of(91), lost(9))
    assert removed(plan) == []
    assert len(held(plan)) == 9


def test_a_few_each_day_are_held_within_the_week() -> None:
    """Three of a hundred a day would be all of them in a month."""
    there, lately, taken = rows_of(100), [0] * 7, []
    for day in range(30):
        gone = [one._replace(absence=missing_for()) for one in there[:3]]
        plan = swept(there[3:], gone, removed_lately=sum(lately[-7:]))
        taken.append(len(removed(plan)))
        if not taken[-1]:
            assert len(held(plan)) == 3
            break
        there = there[3:]
        lately.append(taken[-1])
        assert day < 7
    assert sum(taken) == 3


@pytest.mark.parametrize(
    ("recently_removed", "goes"), [(0, True), (4, True), (5, False), (50, False)]
)
def test_what_went_in_the_last_seven_days_counts(recently_removed: int, *, goes: bool) -> None:
    """Five of a hundred in a week."""
    plan = swept(rows_of(99), lost(1), removed_lately=recently_removed)
    assert bool(removed(plan)) is goes
    [week] = rules(plan, "week")
    assert (week.value, week.limit, bool(week.why)) == (recently_removed + 1, 5, not goes)


def test_a_week_that_is_full_holds_nothing_where_nothing_would_go() -> None:
    """A title that waits for evidence waits for that."""
    plan = swept(rows_of(99), [row(9001)], removed_lately=50)
    assert (watched(plan), held(plan)) == ([9001], [])
    assert not rules(plan, "week")[0].why


def test_limits_of_nought_ask_about_everything() -> None:
    """Not one title goes without a question."""
    policy = RemovalPolicy(limit_percent=0, limit_titles=0)
    assert held(swept(rows_of(1000), lost(1), policy)) == [9001]
    policy = RemovalPolicy(limit_total_percent=0, limit_titles=0)
    assert held(swept(rows_of(1000), lost(1), policy)) == [9001]


def test_only_what_is_tracked_as_available_makes_up_a_library() -> None:
    """Requests that still wait for their titles are not what may be lost of it."""
    waiting = [row(n, state=RequestState.APPROVED) for n in range(100, 300)]
    plan = swept(rows_of(10), [*lost(6), *waiting], GENEROUS)
    assert len(held(plan)) == 6
    assert "6 of 16 titles" in whys(plan)[9001]


def test_only_what_was_seen_makes_up_the_whole() -> None:
    """Rows that nobody ever saw do not make room for others to go."""
    stale = [a_request(n, ids=Ids(n), jellyfin_id=None) for n in range(1000, 2000)]
    plan = swept(rows_of(60), [*lost(6), *stale], RemovalPolicy(limit_percent=100))
    assert len(held(plan)) == 6
    assert rules(plan, "total")[0].limit == 5


def test_what_is_held_is_held_still_once_new_titles_have_rows() -> None:
    """A second run of the same library decides as the first one did."""
    new = [film(n, ids=Ids(n)) for n in range(500, 520)]
    bulk = rows_of(300, "/media/tv", first=1000)
    first = swept(bulk, lost(1), extra=new)
    second = swept([*bulk, *(row(n) for n in range(500, 520))], lost(1))
    assert held(first) == held(second)


# --- what an admin says --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", RemovalMode)
@pytest.mark.parametrize("library", [DISK, "/media/old", None])
def test_what_an_admin_approved_goes_and_nothing_more(
    mode: RemovalMode, library: str | None
) -> None:
    """An approval stands for the evidence of the titles that it names."""
    gone = [row(n, library) for n in range(901, 930)]
    approved = frozenset({903, 904, 9999})
    plan = swept(rows_of(40), gone, RemovalPolicy(mode=mode), locations=[DISK], approved=approved)
    assert removed(plan) == [903, 904]


def test_what_an_admin_approved_stays_if_it_is_there_again() -> None:
    """The approval was for an absence."""
    plan = swept(rows_of(40), lost(1), approved=frozenset({1, 2}))
    assert removed(plan) == [9001]


def test_an_approval_does_not_let_others_pass_with_it() -> None:
    """Those that were not approved are held as long as they are too many."""
    plan = swept(rows_of(80), lost(20), GENEROUS, approved=frozenset(range(9001, 9006)))
    assert removed(plan) == [*range(9001, 9006)]
    assert held(plan) == [*range(9006, 9021)]


def test_what_was_approved_is_not_counted_against_the_rest() -> None:
    """An admin knows of those; two more are few."""
    plan = swept(rows_of(80), lost(20), GENEROUS, approved=frozenset(range(9001, 9019)))
    assert len(removed(plan)) == 20


def test_every_removal_can_be_made_to_wait_for_an_admin() -> None:
    """Mode ask holds what would go, and watches what would wait."""
    plan = swept(rows_of(40), [missed(98), row(99)], RemovalPolicy(mode=RemovalMode.ASK))
    assert fates(plan) == {Fate.HOLD: [98], Fate.WATCH: [99]}
    assert "removals are to be approved" in whys(plan)[98]


def test_removal_can_be_off() -> None:
    """Mode off only watches."""
    plan = swept(rows_of(40), [missed(98), row(99)], RemovalPolicy(mode=RemovalMode.OFF))
    assert fates(plan) == {Fate.WATCH: [98, 99]}
    assert not plan.held
    assert len(plan.evidence.missed) == 2


# --- what the guard tells ------------------------------------------------------------------------


def test_the_report_tells_each_rule_with_its_value_and_its_limit() -> None:
    """Four of the six that are missing have waited long enough."""
    gone = [*lost(4), row(9005), row(9006)]
    plan = swept(rows_of(194), gone)
    assert (len(removed(plan)), len(watched(plan))) == (4, 2)
    assert plan.guard == (
        *proof(replace(COMPLETE, titles=194), []),
        Rule("mode", "guarded", "guarded"),
        Rule("evidence", 4, 6, "2 complete readings, 24 h", "2 of 6 titles wait for more evidence"),
        Rule("listed", value=True, limit=True, about=DISK),
        Rule("share", 6, 20, DISK),
        Rule("total", 6, 10),
        Rule("week", 4, 10),
    )


def test_what_is_missing_nowhere_is_reported_as_nothing() -> None:
    """The rules that do not hang on a title are told all the same."""
    plan = swept(rows_of(40), [], removed_lately=1)
    assert plan.guard[5:] == (
        Rule("mode", "guarded", "guarded"),
        Rule("evidence", 0, 0, "2 complete readings, 24 h"),
        Rule("total", 0, 5),
        Rule("week", 1, 5),
    )


@pytest.mark.parametrize("count", [*range(1, 13), 100])
@pytest.mark.parametrize("library", [DISK, "/media/old"])
@pytest.mark.parametrize("mode", RemovalMode)
def test_the_report_holds_exactly_when_the_guard_does(
    count: int, library: str, mode: RemovalMode
) -> None:
    """With all the evidence, titles go if and only if no rule says no."""
    there: Sequence[TrackedRequest] = rows_of(100)
    plan = swept(there, lost(count, library), RemovalPolicy(mode=mode), locations=[DISK])
    assert bool(removed(plan)) is not any(rule.why for rule in plan.guard)
    said = {rule.why for rule in plan.guard}
    assert {one.why.removeprefix("held with others: ") for one in plan.held} <= said


def test_a_plan_without_an_absence_removes_nothing() -> None:
    """Nor does one without any request, or of nothing at all."""
    assert not only(Absent, planned([an_item()], []))
    assert not only(Absent, planned([], []))
    assert not planned([], [], reading=Snapshot().reading).held


@pytest.mark.parametrize(
    ("grace", "words"),
    [
        (timedelta(hours=24), "2 complete readings, 24 h"),
        (timedelta(minutes=90), "2 complete readings, 1.5 h"),
        (timedelta(minutes=10), "2 complete readings, 10 min"),
        (timedelta(seconds=2), "2 complete readings, 2 s"),
    ],
)
def test_the_evidence_that_it_takes_is_told_in_words(grace: timedelta, words: str) -> None:
    """In a unit that people would use."""
    policy = Policy("", RemovalPolicy(grace=grace))
    made = plan(a_snapshot(an_item()), Tracker(), policy)
    [rule] = [rule for rule in made.guard if rule.name == "evidence"]
    assert rule.about == words
