"""Which open requests get a row, what is written of it, and when a row goes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from daemon.domain import Deletion, Fate, Ids, MediaType, RemovalMode, RemovalPolicy, RequestState
from daemon.pending import (
    AttentionKind,
    Gauges,
    PassReason,
    PendingMemory,
    PendingPolicy,
    PendingRow,
    Questions,
)
from daemon.pipeline import (
    ArrPipeline,
    HistoryKind,
    Holding,
    Pipeline,
    SeerrReport,
    SeerrRequest,
    SeerrStatus,
    Torrent,
    TorrentReport,
)
from daemon.plan.pending import questions
from daemon.plan.pending.gauges import eta_text, speed_text
from tests.plan.lives import (
    FILM,
    GB,
    HASH,
    NOON,
    SEERR_AWAY,
    SERIES,
    Life,
    a_film,
    a_series,
    an_arr,
    away,
    entry,
    episodes,
    event,
    film_request,
    our_series,
    ours,
    seerr,
    series_request,
    torrents,
)
from tests.upstream import cases

State = RequestState
CALL = AttentionKind
EMPTY: Final = an_arr()
WANTED: Final = an_arr(a_film())
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def looked(*requests: SeerrRequest, arrs: Sequence[ArrPipeline] = (WANTED,), **values: Any) -> Life:
    """A life of one pass over some requests."""
    life = Life(**values.pop("life", {}))
    life.look(Pipeline(seerr(*requests), arrs, **values))
    return life


def passed(life: Life) -> dict[int, PassReason]:
    """Which requests got no row, and why."""
    return dict(life.last.passed_over)


# --- a new row ---------------------------------------------------------------------------------


def test_a_new_row_holds_what_is_known_of_its_title() -> None:
    """From the Radarr that knows the film, and of its request no more than the person's name."""
    known = FILM._replace(imdb="tt0133093")
    picture = "https://image.tmdb.org/t/p/1.jpg"
    film = a_film(ids=known, year=1999, overview="A hacker.", poster_url=picture)
    grab = event(
        HistoryKind.GRABBED,
        quality="Bluray-1080p",
        indexer="Indexer",
        size=12 * 1024**3,
        release_group="GRP",
    )
    arr = an_arr(film, queue=[entry(left=GB // 4)], history=[grab])
    request = film_request(requested_by="bob")
    [row] = looked(request, arrs=[arr]).last.adds
    assert (row.title, row.year, row.overview) == ("The Matrix", 1999, "A hacker.")
    assert (row.ids, row.seerr_id, row.arr_id) == (known, 9, 1)
    assert (row.requested_by, row.created_at) == ("bob", request.created_at)
    assert row.columns == {
        "qbit_hash": HASH,
        "quality": "Bluray-1080p",
        "indexer": "Indexer",
        "file_size": 12 * 1024**3,
        "release_group": "GRP",
    }
    assert row.gauges == Gauges(0.75)
    assert [(one.kind, one.service, one.at) for one in row.events] == [
        ("Requested", "jellyseerr", request.created_at),
        ("Grab", "radarr", grab.date),
        ("Started", "library_sync", None),
    ]
    assert row.events[1].details == "Bluray-1080p from Indexer, 12.0 GB"


def test_a_row_that_waits_has_one_event() -> None:
    """Its present state says nothing that the first event does not say."""
    [row] = looked(film_request(1)).last.adds
    assert [one.kind for one in row.events] == ["Requested"]
    assert row.gauges == Gauges()


def test_a_usenet_download_is_no_torrent() -> None:
    """Its id never stands in the column for a torrent's hash."""
    queue = [entry(download_id="SABnzbd_nzo_x", torrent=False)]
    [row] = looked(film_request(), arrs=[an_arr(a_film(), queue=queue)]).last.adds
    assert row.columns == {"qbit_hash": None}


def test_a_title_without_a_name_waits_until_somebody_says_it() -> None:
    """Neither a Radarr nor Seerr has been asked for it yet."""
    life = Life()
    nameless = replace(seerr(film_request()), titles={})
    life.look(Pipeline(nameless, [EMPTY]))
    assert passed(life) == {9: PassReason.TITLE_UNKNOWN}
    assert questions(Pipeline(nameless, [EMPTY]), [], NOON).titles == {(MediaType.MOVIE, 603)}
    life.look(Pipeline(seerr(film_request()), [EMPTY]))
    assert life.row.title == "The Matrix"


@pytest.mark.parametrize(
    ("request_", "reason"),
    cases(
        {
            "no TMDB id": (film_request(ids=Ids()), PassReason.NOT_UNDERSTOOD),
            "an unknown status": (film_request(0), PassReason.NOT_UNDERSTOOD),
            "a series without seasons": (series_request(seasons=()), PassReason.NOT_UNDERSTOOD),
        }
    ),
)
def test_a_request_that_is_not_understood_gets_no_row(
    request_: SeerrRequest, reason: PassReason
) -> None:
    """And harms no other one."""
    other = film_request(id=10, ids=Ids(tmdb=604))
    life = looked(request_, other, arrs=[EMPTY])
    assert passed(life) == {9: reason}
    assert life.row.seerr_id == 10


@pytest.mark.parametrize(
    "report", [SEERR_AWAY, replace(seerr(film_request()), whole=False)], ids=["away", "half"]
)
def test_no_row_is_made_of_half_a_list(report: SeerrReport) -> None:
    """The request that speaks for a title may be in the other half."""
    life = Life()
    life.look(Pipeline(report, [WANTED]))
    assert life.rows == {}


def test_no_row_is_made_before_the_library_was_read() -> None:
    """Jellyfin may have it all."""
    life = looked(film_request(), life={"memory": PendingMemory(ready=False)})
    assert passed(life) == {9: PassReason.LIBRARY_UNKNOWN}


@pytest.mark.parametrize(
    ("minutes", "overruled", "reason"),
    [
        (5, False, PassReason.DELETED_IN_TRACKER),
        (5, True, None),
        (90, False, None),
    ],
)
def test_what_was_deleted_in_the_dashboard_stays_deleted(
    minutes: int, overruled: bool, reason: PassReason | None
) -> None:
    """Until it is requested anew, or an admin says otherwise."""
    age = minutes * MINUTE
    gone = Deletion(1, MediaType.MOVIE, "The Matrix", FILM, None, age, True, overruled)  # noqa: FBT003
    life = looked(film_request(), life={"memory": PendingMemory(deletions=[gone])})
    assert passed(life).get(9) is reason


def test_two_people_who_ask_for_two_seasons_get_one_row() -> None:
    """The older request speaks for it."""
    arr = an_arr(a_series((0, 3, 3), (0, 3, 3)))
    early = series_request(seasons=[1], id=5, created_at=NOON - 5 * HOUR, requested_by="ann")
    late = series_request(seasons=[2], id=9, created_at=NOON - HOUR, requested_by="bob")
    life = looked(late, early, arrs=[arr])
    [row] = life.last.adds
    assert (row.seerr_id, row.seasons, row.requested_by) == (5, (1, 2), "ann")
    assert row.followed.requests == {5, 9}


def test_a_season_that_is_asked_for_later_joins_the_row() -> None:
    """The seasons grow, and never shrink while one of the requests is open."""
    arr = an_arr(a_series((0, 3, 3), (0, 3, 3)))
    life = looked(series_request(seasons=[2]), arrs=[arr])
    both = seerr(series_request(seasons=[2]), series_request(seasons=[1], id=12))
    life.look(Pipeline(both, [arr]), MINUTE)
    assert life.last.changes[0].columns == {"requested_seasons": "1,2", "season": 1}
    assert life.last.changes[0].event is None
    life.look(Pipeline(seerr(series_request(seasons=[1], id=12)), [arr]), MINUTE)
    assert life.row.seasons == frozenset({1, 2})


def test_only_the_primary_s_number_stands_in_a_row() -> None:
    """And only where the request is for it: the tracker's delete button deletes by that number."""
    fourk = an_arr(a_film(arr_id=7), instance="radarr_4k", primary=False, is_4k=True)
    for in_4k, arrs, number in (
        (False, [WANTED, fourk], 1),
        (True, [WANTED, fourk], None),
        (False, [EMPTY, fourk], None),
        (True, [WANTED, replace(EMPTY, instance="radarr_4k", is_4k=True)], None),
        (True, [WANTED], 1),
    ):
        [row] = looked(film_request(is_4k=in_4k), arrs=arrs).last.adds
        assert row.arr_id == number


def test_the_number_of_the_primary_is_filled_in_when_it_is_known() -> None:
    """The film was not in Radarr when it was requested."""
    life = looked(film_request(1), arrs=[EMPTY])
    life.look(Pipeline(seerr(film_request()), [WANTED]), MINUTE)
    assert life.last.changes[0].columns == {"radarr_id": 1}


def test_the_number_of_the_primary_is_filled_in_only_for_a_request_that_is_open() -> None:
    """One in 4K that is completed by now must not get the number of another film."""
    life = looked(film_request(is_4k=True), arrs=[EMPTY, replace(EMPTY, instance="4k", is_4k=True)])
    life.look(Pipeline(seerr(asked={5: SeerrStatus.COMPLETED}), [WANTED, EMPTY]), MINUTE)
    assert [column for change in life.last.changes for column in change.columns] == []


def test_a_plain_request_speaks_for_a_title_before_one_in_4k() -> None:
    """Whichever came first."""
    early = film_request(id=3, is_4k=True, created_at=NOON - 9 * HOUR)
    [row] = looked(early, film_request()).last.adds
    assert (row.seerr_id, row.followed.requests) == (9, frozenset({3, 9}))


def test_a_film_and_a_series_with_one_number_are_two_titles() -> None:
    """TMDB counts them apart."""
    film = film_request(ids=Ids(tmdb=1399), id=1)
    life = looked(film, series_request(id=2), arrs=[EMPTY, an_arr(a_series((0, 3, 3)))])
    assert {row.media_type for row in life.rows.values()} == set(MediaType)


def test_series_that_share_a_tmdb_number_are_told_apart() -> None:
    """By TVDB's, which is Sonarr's own key; where Seerr has none, the shared one says nothing."""
    one = a_series((0, 3, 3))
    other = a_series((0, 3, 3), arr_id=2, ids=replace_tvdb(5))
    arr = an_arr(one, other, queue=[entry(arr_id=2, season=1, episode_id=1)])
    assert looked(series_request(), arrs=[arr]).state is State.APPROVED
    vague = replace(series_request(), ids=Ids(tmdb=SERIES.tmdb))
    life = looked(vague, arrs=[arr])
    assert (life.state, life.why) == (State.APPROVED, "approved")


def replace_tvdb(tvdb: int) -> Ids:
    """The series' ids with another number of TVDB."""
    return SERIES._replace(tvdb=tvdb)


@pytest.mark.parametrize(
    ("there", "files", "reason"),
    [
        (frozenset({1, 2}), 0, PassReason.IN_LIBRARY),
        (frozenset({1}), 0, None),
        (frozenset({1}), 3, None),
        (None, 0, None),
        (None, 3, PassReason.LIBRARY_UNKNOWN),
    ],
)
def test_a_season_that_the_library_may_have_waits_to_be_known(
    there: frozenset[int] | None, files: int, reason: PassReason | None
) -> None:
    """Where Sonarr has all files, Jellyfin may have them; where it has not, it waits."""
    arr = an_arr(a_series((3, 3, 3), (files, 3, 3)))
    held = Holding(MediaType.TV, SERIES, there)
    life = looked(series_request(seasons=[2]), arrs=[arr], library=[held])
    assert passed(life).get(9) is reason


def test_the_newest_requests_get_the_rows_that_there_is_room_for() -> None:
    """The tracker's page shows every one of them; the rest is one line."""
    requests = [
        film_request(id=number, ids=Ids(tmdb=number), created_at=NOON - number * HOUR)
        for number in range(1, 8)
    ]
    life = Life(policy=PendingPolicy(limit=5))
    life.look(Pipeline(seerr(*requests), [EMPTY]))
    assert {row.seerr_id for row in life.rows.values()} == {1, 2, 3, 4, 5}
    assert passed(life) == {6: PassReason.LIMIT, 7: PassReason.LIMIT}
    assert CALL.TOO_MANY in life.calls
    life.look(Pipeline(seerr(*requests), [EMPTY]), MINUTE)
    assert len(life.rows) == 5


def test_a_second_pass_over_the_same_world_writes_nothing() -> None:
    """And the plan is the same in whatever order the rows and the requests come."""
    requests = [film_request(id=number, ids=Ids(tmdb=number)) for number in range(1, 9)]
    life = looked(*requests, arrs=[EMPTY])
    writes = life.writes
    for order in (requests, requests[::-1]):
        life.look(Pipeline(seerr(*order), [EMPTY]), MINUTE)
        assert (life.writes, life.last.adds, life.last.changes) == (writes, [], [])


# --- rows that are there -----------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in State if state is not State.AVAILABLE])
def test_ours_gives_way_to_a_row_of_the_tracker_s_own(state: State) -> None:
    """Two rows of one title on its way break every webhook for it."""
    theirs = PendingRow(8, MediaType.MOVIE, FILM, "The Matrix", state)
    life = Life.of(ours(State.DOWNLOADING), theirs)
    life.look(Pipeline(seerr(film_request()), [WANTED]))
    assert life.rows == {8: theirs}


def test_of_two_rows_of_ours_the_younger_one_goes() -> None:
    """They may have been made by two daemons."""
    life = Life.of(ours(State.APPROVED), ours(State.APPROVED, id=4))
    life.look(Pipeline(seerr(film_request()), [WANTED]))
    assert set(life.rows) == {1}


def test_an_available_row_is_no_double() -> None:
    """A series has one for what is there, and one for what is asked for."""
    there = replace(our_series(State.AVAILABLE, [1], id=7), followed=None)
    life = Life.of(our_series(State.APPROVED, [2]), there)
    life.look(
        Pipeline(seerr(series_request(seasons=[2])), [an_arr(a_series((3, 3, 3), (0, 3, 3)))])
    )
    assert set(life.rows) == {1, 7}
    assert life.last.gives_way == []


def test_a_row_that_became_available_is_followed_no_more() -> None:
    """Whatever is downloaded for it then is no affair of the row's."""
    row = ours(State.AVAILABLE)
    life = Life.of(row)
    life.look(Pipeline(seerr(film_request()), [an_arr(a_film(), queue=[entry()])]))
    assert (life.rows, life.last.kept) == ({1: row}, {})


@pytest.mark.parametrize(
    "arr",
    cases(
        {
            "a film's file": (an_arr(a_film(has_file=True)),),
            "an import a minute ago": (
                an_arr(
                    a_series((1, 3, 3)),
                    history=[event(HistoryKind.IMPORTED, MINUTE, season=1, episode_id=1)],
                ),
            ),
        }
    ),
)
def test_what_is_imported_is_handed_on(arr: ArrPipeline) -> None:
    """Jellyfin is looked at, which alone makes a title available."""
    film = arr.media_type is MediaType.MOVIE
    life = looked(film_request() if film else series_request(), arrs=[arr])
    life.look(Pipeline(seerr(film_request() if film else series_request()), [arr]), MINUTE)
    told = [(one.media_type, one.ids) for one in life.last.imported]
    assert told == [(arr.media_type, FILM if film else SERIES)]


# --- withdrawing -------------------------------------------------------------------------------

GONE: Final = seerr(asked={9: None})
ASKED: Final = dict.fromkeys(range(1, 31))


def gone(**values: Any) -> Pipeline:
    """The film's request is gone, and no instance has anything of it."""
    return Pipeline(values.pop("seerr", GONE), [values.pop("arr", EMPTY)], **values)


@pytest.mark.parametrize(
    "report", [GONE, seerr(asked={9: SeerrStatus.DECLINED})], ids=["deleted", "declined"]
)
@pytest.mark.parametrize("state", [State.REQUESTED, State.APPROVED, State.FAILED])
def test_a_request_that_is_gone_takes_its_row_with_it(report: SeerrReport, state: State) -> None:
    """After two passes that are two minutes apart."""
    life = Life.of(ours(state))
    life.look(gone(seerr=report))
    assert (life.state, life.last.withdrawals[0].fate) == (state, Fate.WATCH)
    life.look(gone(seerr=report), MINUTE)
    assert life.rows
    life.look(gone(seerr=report), MINUTE)
    assert (life.rows, life.last.withdrawals[0].fate) == ({}, Fate.REMOVE)


@pytest.mark.parametrize(
    "pipeline",
    cases(
        {
            "Seerr is away": (gone(seerr=SEERR_AWAY),),
            "half a list": (gone(seerr=replace(GONE, whole=False)),),
            "it could not be asked for by its number": (gone(seerr=seerr()),),
            "Seerr has it in no list, and still has it": (
                gone(seerr=seerr(asked={9: SeerrStatus.APPROVED})),
            ),
            "it is completed": (gone(seerr=seerr(asked={9: SeerrStatus.COMPLETED})),),
            "a status that is not understood": (
                gone(seerr=seerr(asked={9: SeerrStatus.NOT_UNDERSTOOD})),
            ),
            "another Seerr": (gone(seerr=replace(GONE, distrust="another Seerr")),),
            "Radarr is away": (gone(arr=away(EMPTY)),),
            "it downloads": (gone(arr=an_arr(a_film(), queue=[entry()])),),
            "it was grabbed": (gone(arr=an_arr(a_film(), history=[event(HistoryKind.GRABBED)])),),
            "Radarr has its file": (gone(arr=an_arr(a_film(has_file=True))),),
        }
    ),
)
def test_a_row_is_not_withdrawn_without_proof(pipeline: Pipeline) -> None:
    """However often it is looked at."""
    life = Life.of(ours(State.APPROVED))
    for _ in range(4):
        life.look(pipeline, HOUR)
        assert life.rows


def test_what_was_seen_again_has_to_be_missed_afresh() -> None:
    """A request that was gone for one pass is not gone."""
    life = Life.of(ours(State.APPROVED))
    life.look(gone())
    life.look(Pipeline(seerr(film_request()), [EMPTY]), HOUR)
    life.look(gone(), HOUR)
    assert life.rows


def test_a_title_that_somebody_else_asks_for_stays() -> None:
    """Another request of it is open."""
    life = Life.of(ours(State.APPROVED))
    other = seerr(film_request(id=12), asked={9: None})
    for _ in range(3):
        life.look(gone(seerr=other), HOUR)
    assert life.row.followed is not None
    assert 12 in life.row.followed.requests


def test_what_a_radarr_still_searches_for_is_said_with_the_withdrawal() -> None:
    """Nobody waits for it any more, so that the row goes all the same."""
    life = Life.of(ours(State.APPROVED))
    for _ in range(2):
        life.look(gone(arr=WANTED), HOUR)
    assert life.last.withdrawals[0].why.endswith("Radarr is still searching")
    assert life.rows == {}


def test_what_an_admin_took_back_stays() -> None:
    """For good, though its request is gone."""
    life = Life.of(ours(State.APPROVED, kept={"restored": True}))
    for _ in range(5):
        life.look(gone(), HOUR)
    assert life.state is State.APPROVED
    assert life.last.withdrawals == []


def many(number: int) -> list[PendingRow]:
    """So many rows of ours, each of a film of its own."""
    return [
        ours(
            State.APPROVED,
            id=one,
            ids=Ids(tmdb=one),
            seerr_id=one,
            kept={"requests": frozenset({one})},
        )
        for one in range(1, number + 1)
    ]


def test_a_seerr_that_was_set_up_anew_withdraws_nothing() -> None:
    """Every request is gone, and an admin is asked."""
    life = Life.of(*many(30))
    for _ in range(4):
        life.look(gone(seerr=seerr(asked=ASKED)), HOUR)
    assert len(life.rows) == 30
    assert {one.fate for one in life.last.withdrawals} == {Fate.HOLD}
    assert life.calls == {CALL.WITHDRAWAL_HELD}
    assert "30 of 30 requests are gone at once" in life.sentences[0]


def test_those_that_were_missed_first_are_held_with_the_others() -> None:
    """So many are gone at once, though only two of them for long enough."""
    life = Life.of(*many(30))
    still = [film_request(id=one, ids=Ids(tmdb=one)) for one in range(3, 31)]
    life.look(gone(seerr=seerr(*still, asked={1: None, 2: None})))
    life.look(gone(seerr=seerr(asked=ASKED)), HOUR)
    assert len(life.rows) == 30
    assert {one.row_id for one in life.last.withdrawals if one.fate is Fate.HOLD} == {1, 2}


def test_what_an_admin_approves_goes_at_once() -> None:
    """It was held for that."""
    life = Life.of(*many(30), memory=PendingMemory(approved=frozenset({3, 4})))
    life.look(gone(seerr=seerr(asked=ASKED)))
    assert set(range(1, 31)) - life.rows.keys() == {3, 4}


@pytest.mark.parametrize(
    ("policy", "recently_removed", "fate"),
    [
        (RemovalPolicy(), 0, Fate.REMOVE),
        (RemovalPolicy(), 5, Fate.HOLD),
        (RemovalPolicy(RemovalMode.ASK), 0, Fate.HOLD),
        (RemovalPolicy(RemovalMode.OFF), 0, Fate.WATCH),
        (RemovalPolicy(limit_percent=0, limit_titles=0, limit_total_percent=0), 0, Fate.HOLD),
    ],
)
def test_withdrawing_is_removing(policy: RemovalPolicy, recently_removed: int, fate: Fate) -> None:
    """The same settings hold, and the same share of all rows, also within a week."""
    life = Life.of(*many(30), policy=PendingPolicy(policy))
    life.memory = PendingMemory(withdrawn_lately=recently_removed)
    still = [film_request(id=one, ids=Ids(tmdb=one)) for one in range(2, 31)]
    for _ in range(2):
        life.look(gone(seerr=seerr(*still, asked={1: None})), HOUR)
    assert [one.fate for one in life.last.withdrawals] == [fate]


def test_a_completed_request_that_nobody_has_is_said() -> None:
    """Seerr counts it as done, and the row stays as it is."""
    life = Life.of(ours(State.APPROVED))
    life.look(gone(seerr=seerr(asked={9: SeerrStatus.COMPLETED})))
    assert (life.state, life.calls) == (State.APPROVED, {CALL.SEERR_AVAILABLE})


# --- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0, "0.0 B/s"),
        (900, "900.0 B/s"),
        (1536, "1.5 KB/s"),
        (5_033_165, "4.8 MB/s"),
        (3 * 1024**3, "3.0 GB/s"),
        (1024**6, "1048576.0 TB/s"),
    ],
)
def test_a_speed_is_written_as_the_tracker_writes_it(speed: int, text: str) -> None:
    """In steps of 1024."""
    assert speed_text(speed) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (140, "2m 20s"),
        (3900, "1h 5m"),
        (183_600, "2d 3h"),
        (8_640_000, None),
        (-1, None),
    ],
)
def test_a_remaining_time_is_written_as_the_tracker_writes_it(
    seconds: int, text: str | None
) -> None:
    """Nothing where it is not known."""
    assert eta_text(seconds) == text


def test_gauges_show_nothing_that_is_not_known() -> None:
    """A magnet link without metadata has neither size nor progress; the tracker refuses inf."""
    arr = an_arr(a_film(), queue=[entry("queued", size=0)])
    life = Life.of(ours(State.GRABBING))
    life.look(
        Pipeline(seerr(film_request()), [arr], torrents(HASH=Torrent("metaDL", 0.0, eta=None)))
    )
    assert life.shown[1] == Gauges()


def test_gauges_that_move_are_no_change() -> None:
    """They make no event, and leave the row's times alone."""
    life = Life.of(ours(State.DOWNLOADING))
    for percent in (10, 20, 30):
        running = torrents(HASH=Torrent("downloading", percent / 100, 1024, 60, GB))
        arr = an_arr(a_film(), queue=[entry()])
        life.look(Pipeline(seerr(film_request()), [arr], running), MINUTE)
        assert life.shown[1] == Gauges(percent / 100, "1.0 KB/s", "1m 0s")
    assert life.writes == 0


# --- what has to be asked ----------------------------------------------------------------------


def asked(pipeline: Pipeline, *rows: PendingRow) -> Questions:
    """What a pass has to ask beside its lists."""
    return questions(pipeline, rows, NOON)


def test_nothing_is_asked_while_all_is_said() -> None:
    """The lists are enough for nearly every pass."""
    pipeline = Pipeline(seerr(film_request()), [an_arr(a_film(), queue=[entry()])])
    assert asked(pipeline, ours(State.DOWNLOADING)) == Questions()


def test_a_request_that_left_the_lists_is_asked_for() -> None:
    """By its number, once the lists were read whole."""
    assert asked(gone(), ours(State.APPROVED)).requests == {9}
    assert asked(gone(seerr=SEERR_AWAY), ours(State.APPROVED)).requests == set()


def test_health_is_asked_for_when_a_download_is_missing() -> None:
    """An empty queue proves nothing alone."""
    lost = an_arr(a_film(), history=[event(HistoryKind.GRABBED)], client_problems=None)
    pipeline = Pipeline(seerr(film_request()), [lost], TorrentReport({}))
    for state in (State.DOWNLOADING, State.APPROVED):
        assert asked(pipeline, ours(state)).health == {"radarr"}


def test_health_is_asked_for_before_a_row_is_made_of_an_old_grab() -> None:
    """Whether it is still grabbed, the queue has to tell."""
    old = an_arr(a_film(), history=[event(HistoryKind.GRABBED, 40 * HOUR)], client_problems=None)
    pipeline = Pipeline(seerr(film_request()), [old])
    assert asked(pipeline).health == {"radarr"}
    told = replace(pipeline, arrs=[replace(old, client_problems=())])
    life = Life()
    life.look(told)
    assert life.state is State.APPROVED


def test_health_is_not_asked_for_again_of_what_is_given_up() -> None:
    """A download that is gone stays so until there is a sign of it."""
    life = Life.of(ours(State.DOWNLOADING))
    lost = an_arr(a_film(), history=[event(HistoryKind.GRABBED)])
    pipeline = Pipeline(seerr(film_request()), [lost], TorrentReport({}))
    for _ in range(3):
        assert asked(pipeline, life.row).health == {"radarr"}
        life.look(pipeline, 2 * MINUTE)
        if life.state is State.APPROVED:
            break
    assert asked(pipeline, life.row).health == set()


def test_health_is_asked_for_before_a_row_goes_back() -> None:
    """A download that was never grabbed here is in no history."""
    pipeline = Pipeline(seerr(film_request()), [replace(WANTED, client_problems=None)])
    row = ours(State.DOWNLOADED, kept={"download": None})
    assert asked(pipeline, row).health == {"radarr"}
    assert asked(pipeline, ours(State.APPROVED)).health == set()


def test_episodes_are_asked_for_of_series_that_move() -> None:
    """Which of them have a file is in no queue."""
    for queue, numbers in (([], set()), ([entry(season=1, episode_id=1)], {("sonarr", 1)})):
        arr = an_arr(a_series((0, 3, 3)), queue=queue)
        pipeline = Pipeline(seerr(series_request()), [arr])
        assert asked(pipeline, our_series(State.APPROVED)).episodes == numbers


def test_a_title_that_was_remembered_is_read_again() -> None:
    """Somebody may be called by it."""
    old = an_arr(a_film(read_at=NOON - HOUR))
    pipeline = Pipeline(seerr(film_request()), [old])
    assert asked(pipeline, ours(State.APPROVED)).arr_titles == {("radarr", 1)}


@pytest.mark.parametrize(("age", "calls"), [(MINUTE, {CALL.NOT_MONITORED}), (HOUR, set())])
def test_nobody_is_called_by_what_a_service_said_long_ago(
    age: timedelta, calls: set[AttentionKind]
) -> None:
    """Seerr may have had it monitored since."""
    film = a_film(monitored=False, read_at=NOON - age)
    assert looked(film_request(), arrs=[an_arr(film)]).calls == calls


def test_a_call_stands_until_the_service_says_otherwise() -> None:
    """What called a person is not read again with every pass."""
    life = looked(film_request(), arrs=[an_arr(a_film(monitored=False))])
    report = seerr(film_request())
    for minutes in (1, 6, 14):
        film = a_film(monitored=False, read_at=life.now - minutes * MINUTE)
        life.look(Pipeline(report, [an_arr(film)]), MINUTE)
        assert life.calls == {CALL.NOT_MONITORED}
    life.look(Pipeline(report, [WANTED]), MINUTE)
    assert life.calls == set()


def test_what_a_new_row_called_for_stands_while_nothing_is_known() -> None:
    """By then it has a number."""
    life = looked(film_request(), arrs=[an_arr(a_film(monitored=False))])
    assert [(one.row_id, one.request_id) for one in life.last.attention] == [(None, 9)]
    life.look(Pipeline(SEERR_AWAY, [away(WANTED)]), MINUTE)
    assert [(one.kind, one.row_id) for one in life.last.attention] == [(CALL.NOT_MONITORED, 1)]


# --- whole lives, as the timeline tells them ---------------------------------------------------


def told(life: Life, number: int = 1) -> list[tuple[str, State]]:
    """The timeline of a row."""
    return [(one.kind, one.state) for one in life.events[number]]


def stages() -> dict[str, ArrPipeline]:
    """Radarr in each stage of a film's way."""
    grab, imported = event(HistoryKind.GRABBED, MINUTE), event(HistoryKind.IMPORTED, -MINUTE)
    return {
        "wanted": WANTED,
        "grabbed": an_arr(a_film(), queue=[entry("queued", left=GB)], history=[grab]),
        "downloading": an_arr(a_film(), queue=[entry()], history=[grab]),
        "done": an_arr(a_film(), queue=[entry("completed", "importPending", left=0)]),
        "importing": an_arr(a_film(), queue=[entry("completed", "importing", left=0)]),
        "there": an_arr(a_film(has_file=True), history=[grab, imported]),
    }


def test_a_whole_way_is_one_event_for_each_stage() -> None:
    """However often each is looked at."""
    life = looked(film_request(1), arrs=[EMPTY])
    for arr in stages().values():
        for _ in range(5):
            life.look(Pipeline(seerr(film_request()), [arr]), MINUTE)
    assert told(life) == [
        ("Requested", State.REQUESTED),
        ("Approved", State.APPROVED),
        ("Grab", State.GRABBING),
        ("Started", State.DOWNLOADING),
        ("Complete", State.DOWNLOADED),
        ("Import", State.IMPORTING),
    ]


def test_a_daemon_that_was_down_tells_what_it_finds() -> None:
    """And makes up nothing of what it missed."""
    life = looked(film_request(), arrs=[WANTED])
    life.look(Pipeline(seerr(film_request()), [stages()["there"]]), 3 * HOUR)
    assert told(life)[2:] == [("Import", State.IMPORTING)]


def test_a_weekly_series_goes_its_way_again_and_again() -> None:
    """Each episode is grabbed, downloaded and imported; then the next one is waited for."""
    life = Life()
    report, history = seerr(series_request()), []
    for number in (1, 2, 3):
        download = f"{number:040}"
        slot: dict[str, Any] = {"season": 1, "episode_id": number, "download_id": download}
        rows = episodes("x" * (number - 1) + "-" * (4 - number), aired=number)
        before = a_series((number - 1, number, 3), episodes=rows)
        history.append(event(HistoryKind.GRABBED, (9 - number) * MINUTE, **slot))
        running = an_arr(before, queue=[entry(**slot)], history=[*history])
        done = entry("completed", "importing", left=0, **slot)
        importing = an_arr(before, queue=[done], history=[*history])
        history.append(event(HistoryKind.IMPORTED, (8 - number) * MINUTE, **slot))
        rows = episodes("x" * number + "-" * (3 - number), aired=number)
        there = an_arr(a_series((number, number, 3), episodes=rows), history=[*history])
        for arr in (running, importing, there):
            life.look(Pipeline(report, [arr]), MINUTE)
    assert [state for _, state in told(life)] == [
        State.REQUESTED,
        State.GRABBING,
        *[State.DOWNLOADING, State.IMPORTING, State.APPROVED] * 2,
        *[State.DOWNLOADING, State.IMPORTING],
    ]
    assert life.writes == 8


@pytest.mark.parametrize(("ago", "state"), [(HOUR * 2, State.APPROVED), (MINUTE, State.IMPORTING)])
def test_the_history_is_newer_than_what_was_remembered(ago: timedelta, state: State) -> None:
    """A film was read an hour ago, without a file."""
    film = a_film(read_at=NOON - HOUR)
    arr = an_arr(film, history=[event(HistoryKind.IMPORTED, ago)])
    assert looked(film_request(), arrs=[arr]).state is state
