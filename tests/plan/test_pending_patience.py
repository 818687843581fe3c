"""When a row goes back, when a person is called, and what is believed of a service that is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from daemon.domain import RequestState
from daemon.pending import AttentionKind
from daemon.pipeline import (
    ArrPipeline,
    HistoryKind,
    Pipeline,
    SeerrReport,
    ShokoMatch,
    ShokoReport,
    Torrent,
    TorrentReport,
)
from tests.plan.lives import (
    GB,
    HASH,
    NOON,
    OTHER_HASH,
    SEERR_AWAY,
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
S: Final = seerr(film_request())
SEASONS: Final = seerr(series_request())
EMPTY: Final = an_arr()
WANTED: Final = an_arr(a_film())
NO_TORRENTS: Final = TorrentReport({})
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BLOCKED: Final = {"tracked_status": "warning", "messages": ("Sample",), "left": 0}


def world(arr: ArrPipeline = WANTED, **values: Any) -> Pipeline:
    """What is so while one film is requested and approved."""
    return Pipeline(values.pop("seerr", S), [arr], **values)


def queued(status: str = "downloading", state: str = "downloading", **values: Any) -> Pipeline:
    """The film in Radarr's queue."""
    return world(an_arr(a_film(), queue=[entry(status, state, **values)]))


def grabbed(ago: timedelta = timedelta(minutes=5), **values: Any) -> Pipeline:
    """The film grabbed, and nothing of it in the queue or among the torrents."""
    arr = an_arr(a_film(), history=[event(HistoryKind.GRABBED, ago)])
    return replace(world(replace(arr, **values)), torrents=NO_TORRENTS)


LOST: Final = grabbed()


# --- going back --------------------------------------------------------------------------------


def test_going_back_takes_two_passes() -> None:
    """One pass proves nothing, however late it comes."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(LOST)
    assert (life.state, life.calls) == (State.DOWNLOADING, set())
    life.look(LOST, 2 * MINUTE)
    assert (life.state, life.why) == (State.APPROVED, "the download is gone")
    assert life.calls == {CALL.DOWNLOAD_GONE}
    assert [(one.kind, one.details) for one in life.events[1]] == [("Failed", life.why)]


def test_going_back_takes_two_minutes() -> None:
    """Any number of passes in less time proves nothing."""
    life = Life.of(ours(State.DOWNLOADING))
    for _ in range(24):
        life.look(LOST, 5 * SECOND)
        assert life.state is State.DOWNLOADING
    life.look(LOST, 5 * SECOND)
    assert life.state is State.APPROVED


def test_a_doubt_ends_with_the_first_sign_of_the_download() -> None:
    """What was lost for a moment is not lost, and has to be missed afresh."""
    life = Life.of(ours(State.DOWNLOADING))
    for there in (False, True, False):
        life.look(queued() if there else LOST, 2 * MINUTE)
    assert life.state is State.DOWNLOADING


@pytest.mark.parametrize(
    "pipeline",
    [world(away(WANTED)), replace(LOST, torrents=TorrentReport()), grabbed(client_problems=None)],
    ids=["Radarr is away", "qBittorrent is away", "health was not asked"],
)
def test_a_pass_that_could_not_ask_neither_ends_nor_strengthens_a_doubt(
    pipeline: Pipeline,
) -> None:
    """It takes a second pass that sees it."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(LOST)
    for _ in range(3):
        life.look(pipeline, MINUTE)
        assert life.state is State.DOWNLOADING
    life.look(LOST, MINUTE)
    assert life.state is State.APPROVED


@pytest.mark.parametrize(
    "pipeline",
    cases(
        {
            "Radarr is away": (world(away(WANTED)),),
            "Seerr and Radarr are away": (world(away(WANTED), seerr=SEERR_AWAY),),
            "the torrents could not be asked": (replace(LOST, torrents=TorrentReport()),),
            "the client is away": (grabbed(client_problems=("Unable to communicate",)),),
            "health was not asked": (grabbed(client_problems=None),),
            "the start was not asked": (grabbed(started=None),),
            "just started": (grabbed(started=NOON + timedelta(minutes=19)),),
            "the queue could not be asked": (grabbed(queue=None),),
            "the queue could not be read to its end": (grabbed(queue_whole=False),),
            "the history could not be asked": (grabbed(history=None),),
        }
    ),
)
def test_nothing_goes_back_on_the_word_of_who_does_not_know(pipeline: Pipeline) -> None:
    """However long it lasts, the row stays where it was, and nobody is told of a loss."""
    life = Life.of(ours(State.DOWNLOADING))
    for _ in range(20):
        life.look(pipeline, MINUTE)
        assert life.state is State.DOWNLOADING
        assert CALL.DOWNLOAD_GONE not in life.calls


@pytest.mark.parametrize(
    ("ago", "state"), [(timedelta(seconds=80), State.GRABBING), (2 * MINUTE, State.APPROVED)]
)
def test_a_grab_has_a_minute_and_a_half_to_show_up(ago: timedelta, state: State) -> None:
    """History has it at once, the queue and the client some seconds later."""
    life = Life()
    life.look(grabbed(ago))
    assert life.state is state


def test_a_server_that_has_just_started_has_lost_nothing() -> None:
    """Its queue is empty at first, which ends after a minute and a half."""
    life = Life.of(ours(State.DOWNLOADING))
    pipeline = grabbed(started=NOON)
    for _ in range(8):
        life.look(pipeline, 10 * SECOND)
    assert "doubt" not in life.row.followed.timers  # type: ignore[union-attr]
    for _ in range(13):
        life.look(pipeline, 10 * SECOND)
    assert life.state is State.APPROVED


def test_what_is_gone_stays_gone_while_health_cannot_be_asked() -> None:
    """An unknown queue does not bring a lost download back."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(LOST)
    life.look(LOST, 2 * MINUTE)
    for pipeline in (grabbed(client_problems=None), LOST, grabbed(started=None)):
        life.look(pipeline, MINUTE)
        assert (life.state, life.writes) == (State.APPROVED, 1)


def test_what_was_gone_is_seen_when_it_comes_back() -> None:
    """The same torrent, added again."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(LOST)
    life.look(LOST, 2 * MINUTE)
    again = torrents(HASH=Torrent("downloading", 0.2, 9, 9, GB))
    life.look(replace(LOST, torrents=again), MINUTE)
    assert life.state is State.DOWNLOADING


def test_searched_again_is_said_only_of_a_search_after_the_loss() -> None:
    """The search that found the lost release is none."""
    for ago, words in ((4 * MINUTE, "the download is gone"), (-MINUTE, "searched again")):
        life = Life.of(ours(State.DOWNLOADING))
        film = a_film(searched=NOON - ago)
        arr = an_arr(film, history=[event(HistoryKind.GRABBED)])
        pipeline = replace(world(arr), torrents=NO_TORRENTS)
        life.look(pipeline)
        life.look(pipeline, 3 * MINUTE)
        assert life.why.endswith(words)


@pytest.mark.parametrize(
    "less",
    cases(
        {
            "the queue says that it is queued": (queued("queued", left=GB),),
            "paused": (queued("paused", left=GB),),
            "checked": (
                replace(
                    queued("queued", left=GB),
                    torrents=torrents(HASH=Torrent("checkingUP", 0.1, size=GB)),
                ),
            ),
            "moved to another folder": (
                replace(queued(), torrents=torrents(HASH=Torrent("moving", 1.0, size=GB))),
            ),
            "a word that is not known": (queued("resting", "dreaming", left=GB),),
        }
    ),
)
@pytest.mark.parametrize("state", [State.DOWNLOADING, State.DOWNLOADED, State.IMPORTING])
def test_one_download_never_says_less_than_it_did(less: Pipeline, state: State) -> None:
    """Queues and clients do, after each restart and each refresh."""
    life = Life.of(ours(state))
    for _ in range(10):
        life.look(less, 5 * MINUTE)
        rank = [State.DOWNLOADING, State.DOWNLOADED, State.IMPORTING]
        assert rank.index(life.state) >= rank.index(state)  # type: ignore[arg-type]


def test_a_torrent_that_downloads_again_takes_its_row_back() -> None:
    """Its files were gone, and it fetches them anew; after two looks, that is so."""
    life = Life.of(ours(State.DOWNLOADED))
    again = torrents(HASH=Torrent("downloading", 0.3, 9, 9, GB))
    for expected in (State.DOWNLOADED, State.DOWNLOADING):
        life.look(replace(queued(), torrents=again), 2 * MINUTE)
        assert life.state is expected


FAILURE: Final = (event(HistoryKind.GRABBED), event(HistoryKind.FAILED, timedelta(0)))


@pytest.mark.parametrize(
    ("row", "history", "more"),
    cases(
        {
            "the torrents, for a usenet download": (
                ours(State.DOWNLOADING, kept={"download": "SABnzbd_nzo_x"}),
                [replace(one, download_id="SABnzbd_nzo_x") for one in FAILURE],
                {"torrents": TorrentReport()},
            ),
            "Shoko, for a film that is no anime": (
                ours(State.DOWNLOADING),
                FAILURE,
                {"shoko": ShokoReport()},
            ),
            "Seerr, for a download": (ours(State.DOWNLOADING), FAILURE, {"seerr": SEERR_AWAY}),
        }
    ),
)
def test_who_has_nothing_to_say_holds_nothing_up(
    row: Any, history: Sequence[Any], more: dict[str, Any]
) -> None:
    """A service that is away keeps only what rests on its word."""
    life = Life.of(row)
    for _ in range(2):
        life.look(world(an_arr(a_film(), history=history), **more), 3 * MINUTE)
    assert life.state is State.APPROVED


def test_a_failed_release_that_is_grabbed_again_is_not_gone() -> None:
    """No client of torrents is known that could have lost it."""
    life = Life.of(ours(State.DOWNLOADING))
    for _ in range(2):
        life.look(world(an_arr(a_film(), history=FAILURE)), 3 * MINUTE)
    assert life.state is State.APPROVED
    again = event(HistoryKind.GRABBED, timedelta(minutes=-8))
    life.look(world(an_arr(a_film(), history=[*FAILURE, again])), 9 * MINUTE)
    assert (life.state, life.why) == (State.GRABBING, "grabbed")


# --- generations -------------------------------------------------------------------------------


def test_a_new_download_begins_anew_at_once() -> None:
    """Radarr grabbed another release in its place."""
    life = Life.of(ours(State.DOWNLOADED))
    life.look(queued("queued", left=GB, download_id=OTHER_HASH))
    assert life.state is State.GRABBING
    change = life.last.changes[0]
    assert change.columns["qbit_hash"] == OTHER_HASH


def test_a_second_failure_of_another_download_is_doubted_too() -> None:
    """The row kept its state through the first, and got to know the second download."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(queued(download_id=OTHER_HASH))
    failed = [
        event(HistoryKind.GRABBED, download_id=OTHER_HASH),
        event(HistoryKind.FAILED, timedelta(seconds=5), download_id=OTHER_HASH),
    ]
    life.look(world(an_arr(a_film(), history=failed)), 5 * SECOND)
    assert life.state is State.DOWNLOADING
    assert life.row.followed is not None
    assert {HASH, OTHER_HASH} <= life.row.followed.known


def test_a_failure_and_the_next_grab_are_no_way_back() -> None:
    """The grab follows within seconds; the row begins anew, and is never waiting."""
    life = Life.of(ours(State.DOWNLOADING))
    history = [event(HistoryKind.GRABBED), event(HistoryKind.FAILED, timedelta(0))]
    life.look(world(an_arr(a_film(), history=history)))
    grab = event(HistoryKind.GRABBED, timedelta(seconds=-3), download_id=OTHER_HASH)
    life.look(world(an_arr(a_film(), history=[*history, grab])), 3 * SECOND)
    assert life.state is State.GRABBING
    assert [one.state for one in life.events[1]] == [State.GRABBING]


def test_a_failure_that_nothing_follows_ends_in_failed() -> None:
    """After ten minutes; until then it waits for another release."""
    life = Life.of(ours(State.DOWNLOADING))
    history = [event(HistoryKind.GRABBED), event(HistoryKind.FAILED, timedelta(0))]
    pipeline = world(an_arr(a_film(), history=history))
    seen = []
    for _ in range(14):
        life.look(pipeline, MINUTE)
        seen.append(life.state)
    assert seen == [State.DOWNLOADING] * 2 + [State.APPROVED] * 7 + [State.FAILED] * 5
    assert life.calls == {CALL.FAILED}


def test_a_queue_that_still_shows_a_failed_download_is_not_believed() -> None:
    """The history knows better; the queue is a copy that is up to a minute old."""
    life = Life.of(ours(State.DOWNLOADING))
    history = [event(HistoryKind.GRABBED), event(HistoryKind.FAILED, timedelta(0))]
    arr = an_arr(a_film(), history=history, queue=[entry()])
    for _ in range(4):
        life.look(world(arr), MINUTE)
    assert life.state is State.APPROVED


def test_a_lost_release_that_is_grabbed_again_is_not_lost() -> None:
    """Its old loss says nothing of the new grab."""
    life = Life.of(ours(State.DOWNLOADING))
    life.look(LOST)
    life.look(LOST, 2 * MINUTE)
    history = [event(HistoryKind.GRABBED), event(HistoryKind.GRABBED, -4 * MINUTE)]
    arr = an_arr(a_film(), history=history)
    life.look(replace(world(arr), torrents=NO_TORRENTS), 3 * MINUTE)
    assert (life.state, life.why) == (State.GRABBING, "grabbed")


def test_a_search_for_another_season_is_none_for_this_one() -> None:
    """What failed is searched for again only if its own episodes are."""
    failed = [
        event(kind, ago * MINUTE, episode_id=1, season=1)
        for kind, ago in ((HistoryKind.GRABBED, 9), (HistoryKind.FAILED, 5))
    ]
    for season, words in ((2, "the download failed"), (1, "searched again")):
        one = episodes("-", season=season)[0]._replace(id=season, searched=NOON)
        arr = an_arr(a_series((0, 3, 3), episodes=[one]), history=failed)
        life = Life()
        life.look(Pipeline(SEASONS, [arr]))
        assert life.why.endswith(words)


def test_the_same_release_grabbed_again_is_no_failure() -> None:
    """A later grab of one hash begins it anew."""
    life = Life.of(ours(State.DOWNLOADING))
    history = [
        event(HistoryKind.GRABBED),
        event(HistoryKind.FAILED, timedelta(minutes=4)),
        event(HistoryKind.GRABBED, timedelta(minutes=3)),
    ]
    running = torrents(HASH=Torrent("downloading", 0.1, 9, 9, GB))
    for _ in range(4):
        life.look(replace(world(an_arr(a_film(), history=history)), torrents=running), MINUTE)
        assert (life.state, life.calls) == (State.DOWNLOADING, set())


def test_a_file_of_a_title_is_not_lost_by_the_grab_of_a_better_one() -> None:
    """Nor while the better one is copied: the old file goes first."""
    life = Life.of(ours(State.IMPORTING, kept={"filed": True}))
    better: dict[str, Any] = {"download_id": OTHER_HASH, "left": 0}
    there, gone = a_film(has_file=True), a_film(has_file=False)
    deleted = event(HistoryKind.FILE_DELETED, timedelta(0), reason="Upgrade", download_id=None)
    for arr in (
        an_arr(there, queue=[entry(**{**better, "left": GB})]),
        an_arr(gone, queue=[entry("completed", "importPending", **better)]),
        an_arr(gone, queue=[entry("completed", "importPending", **better)], history=[deleted]),
        an_arr(gone, queue=[entry("completed", "importing", **better)], history=[deleted]),
        an_arr(there),
    ):
        life.look(world(arr), 3 * SECOND)
        assert (life.state, life.writes <= 1) == (State.IMPORTING, True)


def test_a_file_that_was_deleted_is_waited_for_again() -> None:
    """After two looks."""
    life = Life.of(ours(State.IMPORTING, kept={"filed": True}))
    history = [event(HistoryKind.FILE_DELETED, reason="Manual", download_id=None)]
    for expected in (State.IMPORTING, State.APPROVED):
        life.look(world(an_arr(a_film(), history=history)), 2 * MINUTE)
        assert life.state is expected


# --- imports that are refused ------------------------------------------------------------------


def test_a_refused_import_is_said_once_and_through_its_flicker() -> None:
    """The words for it change with every refresh; the row and the call for a person do not."""
    life = Life.of(ours(State.DOWNLOADED))
    words = ["importBlocked", "importPending", "importing", "importBlocked", "importPending"]
    calls = []
    for word in [*words, *words]:
        life.look(queued("completed", word, **BLOCKED), 30 * SECOND)
        calls.append(life.calls)
        assert life.state is State.DOWNLOADED
    assert calls == [set()] + [{CALL.IMPORT}] * 9
    assert life.writes == 0


def test_the_call_for_a_refused_import_outlives_one_good_reading_and_not_two() -> None:
    """A restart takes the words away for a while."""
    life = Life.of(ours(State.DOWNLOADED))
    bad, good = (
        queued("completed", "importBlocked", **BLOCKED),
        queued("completed", "importPending"),
    )
    calls = []
    for pipeline in (bad, bad, good, bad, good, good):
        life.look(pipeline, MINUTE)
        calls.append(bool(life.calls))
    assert calls == [False, True, True, True, True, False]


def test_importing_after_a_refusal_is_no_progress() -> None:
    """It is tried anew at each refresh."""
    life = Life.of(ours(State.DOWNLOADED))
    life.look(queued("completed", "importBlocked", **BLOCKED))
    life.look(queued("completed", "importing", left=0), MINUTE)
    assert life.state is State.DOWNLOADED


def test_an_import_that_is_refused_after_it_began_is_not_called_importing() -> None:
    """After two looks: nothing is being imported."""
    life = Life.of(ours(State.IMPORTING))
    blocked = queued("completed", "importBlocked", **BLOCKED)
    for expected in (State.IMPORTING, State.DOWNLOADED):
        life.look(blocked, 2 * MINUTE)
        assert life.state is expected
    assert life.sentences == ["Sample"]


def test_a_download_that_was_imported_by_hand_calls_nobody_any_more() -> None:
    """The call ends with what it was about."""
    life = Life.of(ours(State.DOWNLOADED))
    for _ in range(2):
        life.look(queued("completed", "importBlocked", **BLOCKED), MINUTE)
    life.look(world(an_arr(a_film(has_file=True))), MINUTE)
    assert (life.state, life.calls) == (State.IMPORTING, set())


# --- what is stuck -----------------------------------------------------------------------------

FILED: Final = world(an_arr(a_film(has_file=True, files=("/media/film.mkv",))))
ANIME: Final = a_film(has_file=True, anime=True, files=("/m/a.mkv",))
MATCHING: Final = replace(
    world(an_arr(ANIME)), shoko=ShokoReport({"/m/a.mkv": ShokoMatch.UNRECOGNIZED})
)
STUCK = cases(
    {
        "nothing is found": (
            world(),
            ours(State.APPROVED),
            7 * DAY,
            CALL.NOTHING_FOUND,
            "nothing found for 7 days",
        ),
        "never sent": (
            world(EMPTY, seerr=seerr(film_request(sent=False))),
            ours(State.APPROVED),
            15 * MINUTE,
            CALL.NOT_SENT,
            "approved but never sent",
        ),
        "deleted in Radarr": (
            world(EMPTY),
            ours(State.APPROVED),
            15 * MINUTE,
            CALL.NOT_IN_ARR,
            "approved and sent, but not in Radarr any more",
        ),
        "grabbed and not downloaded": (
            replace(queued("queued", left=GB), torrents=torrents(HASH=Torrent("metaDL", 0.0))),
            ours(State.GRABBING),
            HOUR,
            CALL.STALLED,
            "qBittorrent says metaDL",
        ),
        "no progress": (
            replace(queued(), torrents=torrents(HASH=Torrent("stalledDL", 0.5, size=GB))),
            ours(State.DOWNLOADING),
            6 * HOUR,
            CALL.STALLED,
            "no progress for 6 h",
        ),
        "not imported": (
            queued("completed", "importPending", left=0),
            ours(State.DOWNLOADED),
            30 * MINUTE,
            CALL.NOT_IMPORTED,
            "downloaded 30 min ago",
        ),
        "not in Jellyfin": (
            FILED,
            ours(State.IMPORTING, kept={"filed": True}),
            30 * MINUTE,
            CALL.NOT_IN_JELLYFIN,
            "Radarr has /media/film.mkv; is it in a library of Jellyfin?",
        ),
        "matched by Shoko, not in Jellyfin": (
            replace(MATCHING, shoko=ShokoReport({"/m/a.mkv": ShokoMatch.MATCHED})),
            ours(State.IMPORTING, kept={"filed": True}),
            30 * MINUTE,
            CALL.NOT_IN_JELLYFIN,
            "Shoko knows it, Jellyfin does not show it",
        ),
        "an import without an end": (
            queued("completed", "importing", left=0),
            ours(State.IMPORTING),
            30 * MINUTE,
            CALL.NOT_IN_JELLYFIN,
            "its import has been going on for 30 min",
        ),
        "not matched by Shoko": (
            MATCHING,
            ours(State.ANIME_MATCHING, kept={"filed": True}),
            HOUR,
            CALL.NOT_MATCHED,
            "AniDB does not know this file yet",
        ),
        "not matched by Shoko for weeks": (
            MATCHING,
            ours(State.ANIME_MATCHING, kept={"filed": True}),
            15 * DAY,
            CALL.NOT_MATCHED,
            "link it by hand",
        ),
        "banned by AniDB": (
            replace(
                MATCHING,
                shoko=ShokoReport({"/m/a.mkv": ShokoMatch.UNRECOGNIZED}, blocked="AniDB ban"),
            ),
            ours(State.ANIME_MATCHING, kept={"filed": True}),
            HOUR,
            CALL.NOT_MATCHED,
            "AniDB ban",
        ),
    }
)


@pytest.mark.parametrize(("pipeline", "row", "after", "kind", "sentence"), STUCK)
def test_what_is_stuck_is_said_when_its_time_has_come(
    pipeline: Pipeline, row: Any, after: timedelta, kind: AttentionKind, sentence: str
) -> None:
    """Not a minute sooner, and the state stays."""
    life = Life.of(row)
    life.look(pipeline)
    if after < 15 * DAY:
        life.look(pipeline, after - MINUTE)
        assert life.calls == set()
    life.look(pipeline, MINUTE if after < 15 * DAY else after)
    assert life.calls == {kind}
    assert sentence in life.sentences[0]
    assert life.state is row.state


@pytest.mark.parametrize(
    ("pipeline", "row"),
    cases(
        {
            "a film that is not released": (
                world(an_arr(a_film(released=False))),
                ours(State.APPROVED),
            ),
            "a season that airs": (
                world(an_arr(a_series((3, 3, 9))), seerr=SEASONS),
                our_series(State.APPROVED),
            ),
            "a release that waits for its delay": (
                queued("delay", "", download_id=None, left=GB),
                ours(State.APPROVED),
            ),
            "an instance away": (world(away(EMPTY)), ours(State.APPROVED)),
            "a list that is not whole": (world(replace(EMPTY, whole=False)), ours(State.APPROVED)),
        }
    ),
)
def test_nobody_is_called_for_what_only_takes_its_time(pipeline: Pipeline, row: Any) -> None:
    """However long it takes."""
    life = Life.of(row)
    for _ in range(10):
        life.look(pipeline, 3 * DAY)
        assert (life.calls, life.state) == (set(), State.APPROVED)


def test_a_request_that_nobody_approves_is_said_after_a_week() -> None:
    """By the date that Seerr gives."""
    for days, calls in ((6, set()), (7, {CALL.WAITS_FOR_APPROVAL})):
        life = Life()
        request = film_request(1, created_at=NOON - days * DAY)
        life.look(world(EMPTY, seerr=seerr(request)))
        assert (life.state, life.calls) == (State.REQUESTED, calls)


def test_progress_begins_the_time_anew() -> None:
    """A slow download is not stuck."""
    life = Life.of(ours(State.DOWNLOADING))
    for percent in range(50, 60):
        slow = torrents(HASH=Torrent("stalledDL", percent / 100, size=GB))
        life.look(replace(queued(), torrents=slow), 5 * HOUR)
        assert life.calls == set()


def test_an_approval_begins_the_time_anew() -> None:
    """A request that waited for days was not sent for days."""
    life = Life()
    pending = seerr(film_request(1, sent=False, created_at=NOON - 5 * DAY))
    life.look(world(EMPTY, seerr=pending))
    life.look(world(EMPTY, seerr=seerr(film_request(2, sent=False))), HOUR)
    assert (life.state, life.calls) == (State.APPROVED, set())


def test_a_client_without_a_network_is_one_finding() -> None:
    """And not one for each of its downloads."""
    life = Life.of(ours(State.DOWNLOADING))
    stalled = torrents(HASH=Torrent("stalledDL", 0.5, size=GB))
    pipeline = replace(queued(), torrents=replace(stalled, connected=False))
    for _ in range(3):
        life.look(pipeline, 6 * HOUR)
    assert life.calls == {CALL.CLIENT_AWAY}


@pytest.mark.parametrize(
    ("pipeline", "row", "kind"),
    cases(
        {
            "a refused import": (
                queued("completed", "importBlocked", **BLOCKED),
                ours(State.DOWNLOADED),
                CALL.IMPORT,
            ),
            "a film that is not monitored": (
                world(an_arr(a_film(monitored=False))),
                ours(State.APPROVED),
                CALL.NOT_MONITORED,
            ),
        }
    ),
)
def test_what_a_person_was_called_for_stands_while_nothing_is_known(
    pipeline: Pipeline, row: Any, kind: AttentionKind
) -> None:
    """A service that is away takes no finding back, and ends no waiting."""
    life = Life.of(row)
    for _ in range(2):
        life.look(pipeline, MINUTE)
    why = life.why
    for _ in range(3):
        life.look(world(away(WANTED), seerr=SEERR_AWAY), HOUR)
        assert (life.calls, life.why) == ({kind}, why)
    life.look(pipeline, MINUTE)
    assert life.calls == {kind}


def test_a_download_that_nobody_follows_is_said_through_a_gap_in_health() -> None:
    """The queue was believed once; that health cannot be asked is no sign of the download."""
    life = Life.of(ours(State.DOWNLOADED))
    done = torrents(HASH=Torrent("stalledUP", 1.0, size=GB))
    calls = []
    for problems in ((), (), None, ()):
        life.look(replace(grabbed(client_problems=problems), torrents=done), 2 * MINUTE)
        calls.append(life.calls)
    assert calls == [set(), *[{CALL.NOT_IN_QUEUE}] * 3]


def test_waiting_goes_on_while_a_service_is_away() -> None:
    """Seven days are seven days, though Radarr was restarted in their middle."""
    life = Life.of(ours(State.APPROVED))
    for arr in (WANTED, away(WANTED), WANTED, WANTED):
        life.look(world(arr), 3 * DAY)
    assert life.calls == {CALL.NOTHING_FOUND}


def test_since_when_a_service_is_not_known_is_kept() -> None:
    """For the page, which says so."""
    life = Life.of(ours(State.DOWNLOADING))
    for _ in range(3):
        life.look(world(away(WANTED), seerr=SEERR_AWAY), 10 * MINUTE)
    assert life.row.followed is not None
    timer = life.row.followed.timers["unknown"]
    assert (timer.value, timer.waited) == ("radarr, seerr", 20 * MINUTE)
    life.look(queued(), MINUTE)
    assert "unknown" not in life.row.followed.timers


# --- the tracker moves our rows, too -----------------------------------------------------------


@pytest.mark.parametrize("state", [State.TIMEOUT, State.MATCH_FAILED, State.FAILED])
def test_what_the_tracker_gave_up_stands_until_something_moves(state: State) -> None:
    """The same evidence is no reason to fight."""
    life = Life.of(ours(state, kept={"written": State.DOWNLOADING, "progress": 0.5}))
    for _ in range(5):
        life.look(queued(), MINUTE)
        assert life.state is state
    life.look(queued(left=GB // 4), MINUTE)
    assert life.state is State.DOWNLOADING


def test_a_row_that_the_tracker_moved_on_is_followed_forward_only() -> None:
    """It went from downloaded to importing by itself, as it does after two minutes."""
    life = Life.of(ours(State.IMPORTING, kept={"written": State.DOWNLOADED}))
    for _ in range(5):
        life.look(queued("completed", "importPending", left=0), MINUTE)
        assert life.state is State.IMPORTING
    life.look(world(an_arr(a_film(has_file=True))), MINUTE)
    assert (life.state, life.writes) == (State.IMPORTING, 0)


def test_a_row_that_the_tracker_marks_as_anime_never_waits_for_shoko() -> None:
    """There the tracker would delete its folder of the library and build it anew."""
    life = Life.of(ours(State.IMPORTING, is_anime=True, kept={"filed": True}))
    for _ in range(3):
        life.look(MATCHING, MINUTE)
        assert life.state is State.IMPORTING


def test_a_file_that_shoko_has_matched_does_not_wait_for_it() -> None:
    """Nothing is lost by that, so that it is said at once."""
    life = Life.of(ours(State.ANIME_MATCHING, kept={"filed": True}))
    life.look(replace(MATCHING, shoko=ShokoReport({"/m/a.mkv": ShokoMatch.MATCHED})))
    assert (life.state, life.why) == (State.IMPORTING, "Shoko knows it, Jellyfin does not show it")


def test_a_row_that_the_tracker_gave_up_is_still_looked_after() -> None:
    """Its import is refused, which a person has to know, though health was not asked."""
    life = Life.of(ours(State.TIMEOUT, kept={"written": State.DOWNLOADED, "progress": 1.0}))
    arr = an_arr(
        a_film(), queue=[entry("completed", "importBlocked", **BLOCKED)], client_problems=None
    )
    for _ in range(2):
        life.look(world(arr), MINUTE)
    assert (life.state, life.calls) == (State.TIMEOUT, {CALL.IMPORT})


# --- several downloads -------------------------------------------------------------------------


def series(queue: Sequence[Any], there: str = "---", **values: Any) -> Pipeline:
    """A season of three episodes, on its way."""
    counts = (there.count("x"), 3, 3)
    arr = an_arr(a_series(counts, episodes=episodes(there)), queue=queue, **values)
    return Pipeline(SEASONS, [arr])


def episode(number: int, status: str, state: str = "downloading", **values: Any) -> Any:
    """A record of one episode's own download."""
    values = {"download_id": f"{number:040}", **values}
    return entry(status, state, episode_id=number, season=1, **values)


def test_of_a_season_what_moves_is_told() -> None:
    """One episode is imported, one is downloaded, one downloads: it downloads."""
    life = Life.of(our_series(State.APPROVED))
    done = episode(2, "completed", "importPending", left=0)
    life.look(series([done, episode(3, "downloading")], "x--"))
    assert life.state is State.DOWNLOADING


def test_a_season_waits_again_when_its_only_download_is_imported() -> None:
    """That is no loss, so that it is said at once."""
    life = Life.of(our_series(State.APPROVED))
    life.look(series([episode(1, "downloading")]))
    history = [
        event(kind, ago * MINUTE, download_id=f"{1:040}", episode_id=1, season=1)
        for kind, ago in ((HistoryKind.GRABBED, 9), (HistoryKind.IMPORTED, 0))
    ]
    life.look(series([], "x--", history=history), MINUTE)
    assert (life.state, life.why) == (State.APPROVED, "wanted")
    assert [one.kind for one in life.events[1]] == ["Started", "Import"]


def test_a_pack_counts_once() -> None:
    """Each of its records tells the size of the whole."""
    life = Life.of(our_series(State.APPROVED))
    pack = [episode(one, "downloading", download_id=HASH) for one in (1, 2, 3)]
    life.look(series(pack))
    assert life.shown[1].progress == 0.5


def test_several_downloads_are_weighed_by_their_sizes() -> None:
    """The large one counts for more; speeds are added, and the last one tells the end."""
    life = Life.of(our_series(State.APPROVED))
    queue = [episode(1, "downloading", size=3 * GB), episode(2, "downloading", size=GB)]
    found = {
        f"{1:040}": Torrent("downloading", 0.2, 3 * 1024 * 1024, 140, 3 * GB),
        f"{2:040}": Torrent("downloading", 0.6, 2 * 1024 * 1024, 20, GB),
    }
    life.look(replace(series(queue), torrents=TorrentReport(found)))
    gauges = life.shown[1]
    assert gauges.progress == pytest.approx(0.3)
    assert (gauges.speed, gauges.eta) == ("5.0 MB/s", "2m 20s")


def test_one_torrent_of_two_instances_counts_once() -> None:
    """Both follow it; its speed is not twice as high."""
    running = torrents(HASH=Torrent("downloading", 0.5, 1024, 60, GB))
    arrs = [
        an_arr(a_film(), queue=[entry()]),
        an_arr(a_film(), queue=[entry()], instance="radarr_2", primary=False),
    ]
    life = Life.of(ours(State.DOWNLOADING))
    life.look(Pipeline(S, arrs, running))
    assert life.shown[1].speed == "1.0 KB/s"


def test_one_failed_episode_of_many_wanted_ones_is_a_call_and_no_failure() -> None:
    """Failed is said when nothing else is left."""
    failed = [
        event(kind, ago * MINUTE, episode_id=1, season=1)
        for kind, ago in ((HistoryKind.GRABBED, 60), (HistoryKind.FAILED, 50))
    ]
    for there, state in (("---", State.APPROVED), ("-xx", State.FAILED)):
        life = Life.of(our_series(State.APPROVED))
        for _ in range(2):
            life.look(series([], there, history=failed), 3 * MINUTE)
        assert (life.state, life.calls) == (state, {CALL.FAILED})


def test_equal_downloads_of_a_film_do_not_take_turns() -> None:
    """The row's own counts, whatever order they come in."""
    one, other = entry(), entry(download_id=OTHER_HASH)
    life = Life.of(ours(State.DOWNLOADING))
    for queue in ([one, other], [other, one], [one, other]):
        life.look(world(an_arr(a_film(), queue=queue)), MINUTE)
        assert life.row.followed is not None
        assert (life.row.followed.download, life.writes) == (HASH, 0)


# --- Seerr alone -------------------------------------------------------------------------------


def test_a_failed_request_is_no_failure_while_a_radarr_is_away() -> None:
    """It may have it all the same."""
    life = Life.of(ours(State.APPROVED))
    failed = seerr(film_request(4))
    for _ in range(3):
        life.look(Pipeline(failed, [EMPTY, away(replace(EMPTY, instance="radarr_4k"))]), MINUTE)
        assert (life.state, life.calls) == (State.APPROVED, set())


def test_an_approval_is_seen_while_radarr_is_away() -> None:
    """That is Seerr's own word."""
    life = Life.of(ours(State.REQUESTED))
    life.look(world(away(EMPTY)))
    assert life.state is State.APPROVED


def test_a_request_number_that_is_not_understood_changes_nothing() -> None:
    """A newer Seerr may have a sixth status."""
    life = Life.of(ours(State.APPROVED))
    strange: SeerrReport = seerr(film_request(0))
    for _ in range(4):
        life.look(world(EMPTY, seerr=strange), MINUTE)
    assert (life.state, life.writes, life.last.withdrawals) == (State.APPROVED, 0, [])
