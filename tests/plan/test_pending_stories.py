"""Recorded lives of downloads, replayed through the clients: what the row says at each moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Final, NamedTuple

import pytest

from daemon.domain import RequestState
from daemon.pending import AttentionKind
from tests.plan.lives import Life
from tests.plan.stories import NAMES, Moment, Truth, began, told

LAG: Final = 240.0
"""Seconds that a row may go on saying what was so: two looks two minutes apart, and the grace."""

CALL: Final = AttentionKind


class Told(NamedTuple):
    """What becomes of the row of a story, and for what a person is called in it."""

    states: str
    calls: frozenset[AttentionKind] = frozenset()


WHOLE: Final = "APPR GRAB DOWN DONE IMPO"
STORIES: Final = {
    "added_by_hand_title_not_matched": Told("APPR", frozenset({CALL.UNKNOWN_DOWNLOAD})),
    "automatic_search": Told(WHOLE),
    "blocked_pack_watched_on": Told("IMPO"),
    "category_mismatch": Told(WHOLE),
    "client_disabled_download_client_unavailable": Told(WHOLE, frozenset({CALL.RELEASE_HELD})),
    "client_down": Told("APPR", frozenset({CALL.CLIENT_AWAY})),
    "client_down_in_mid_download_film": Told(WHOLE, frozenset({CALL.CLIENT_AWAY})),
    "client_hangs": Told("APPR"),
    "delay_ignored_by_a_search_by_hand": Told(WHOLE),
    "delay_profile_pending_release": Told(WHOLE),
    "failed_dangerous_file": Told(
        "APPR GRAB DOWN DONE GRAB DOWN DONE IMPO", frozenset({CALL.IMPORT})
    ),
    "fast_copy": Told("APPR DOWN DONE IMPO"),
    "found_by_id_interactive": Told(WHOLE),
    "import_blocked_then_manual": Told(WHOLE, frozenset({CALL.IMPORT})),
    "magnet_without_metadata": Told("APPR GRAB APPR", frozenset({CALL.DOWNLOAD_GONE})),
    "queue_ignored": Told("APPR GRAB DOWN APPR", frozenset({CALL.IGNORED})),
    "queue_removed": Told("APPR GRAB DOWN APPR", frozenset({CALL.DOWNLOAD_GONE})),
    "restart_in_mid_download": Told(WHOLE),
    "sample_import_pending_warning": Told("APPR GRAB DOWN DONE", frozenset({CALL.IMPORT})),
    "season_pack_part_no_upgrade": Told("APPR GRAB DOWN DONE APPR GRAB DOWN DONE IMPO"),
    "season_pack_slow_copy": Told(WHOLE),
    "season_pack_whole": Told(WHOLE),
    "season_upgrade": Told("APPR GRAB DOWN DONE APPR GRAB DOWN DONE IMPO"),
    "slow_copy": Told(WHOLE),
    "sonarr_killed_in_mid_import": Told(WHOLE),
    "stalled_and_paused": Told(WHOLE),
    "torrent_deleted_by_hand": Told("APPR GRAB DOWN APPR", frozenset({CALL.DOWNLOAD_GONE})),
    "two_radarrs_one_torrent": Told(WHOLE),
    "upgrade": Told(WHOLE),
    "usenet_failed_and_grabbed_again": Told("APPR DOWN GRAB DOWN GRAB DOWN GRAB DOWN"),
}
"""Each story as it is seen in every moment; a download that fails or is replaced begins anew."""


@dataclass
class Replay:
    """A story as one who looks now and then has seen it.

    Attributes:
        states: of the row, each with the moment from which on it was so.
        calls: for what a person was called, ever.
        lies: what the row said that was not so.
    """

    states: list[tuple[float, RequestState]] = field(default_factory=list)
    calls: set[AttentionKind] = field(default_factory=set)
    lies: list[str] = field(default_factory=list)
    life: Life = field(default_factory=Life)

    @property
    def short(self) -> str:
        """The states in words of four letters."""
        return " ".join(_short(state) for _, state in self.states)


def _short(state: RequestState) -> str:
    return "DONE" if state is RequestState.DOWNLOADED else state.name[:4]


@cache
def moments(name: str) -> Sequence[Moment]:
    """A story's moments as the clients read them, once for all tests."""
    return asyncio.run(told(name))


def replayed(name: str, every: float = 0.0, first: float = 0.0) -> Replay:
    """A story looked at in every moment, or only so often."""
    replay, due, there = Replay(), first, 0.0
    start = began(name)
    replay.life.now = start
    for moment in moments(name):
        there = moment.at if moment.truth.listed or not moment.truth.known else there
        if moment.at < due:
            continue
        due = max(due + every, moment.at) if every else 0.0
        now = start + timedelta(seconds=moment.at)
        plan = replay.life.look(moment.pipeline, now - replay.life.now)
        replay.calls |= {one.kind for one in plan.attention}
        if not replay.life.rows:  # nobody has said yet what it is called
            continue
        state = replay.life.state
        assert state is not None
        if not replay.states or replay.states[-1][1] is not state:
            replay.states.append((moment.at, state))
        shown = replay.life.shown[replay.life.row.id].progress
        if lie := falsehood(state, shown, moment.truth, moment.at - there):
            replay.lies.append(f"{moment.at:.1f} {state}: {lie}")
    return replay


def falsehood(state: RequestState, shown: float | None, truth: Truth, lost: float) -> str:
    """What of a state is not so; "" where all is.

    Args:
        state: the row's.
        shown: the progress that it shows.
        truth: what is so.
        lost: seconds since a download was last seen anywhere.
    """
    ended = truth.last in {"downloadFailed", "downloadIgnored"}
    open_ = truth.listed and truth.last == "grabbed" and not truth.has
    lies = {
        RequestState.REQUESTED: "it is approved",
        RequestState.APPROVED: "a download is there" if open_ else "",
        RequestState.GRABBING: "it has begun" if truth.running or truth.whole else "",
        RequestState.DOWNLOADING: "it is whole" if truth.whole else "",
        RequestState.DOWNLOADED: "it is not whole" if truth.running or truth.waiting else "",
        RequestState.IMPORTING: ""
        if truth.files or truth.has or "importing" in truth.queue
        else "there is no file",
        RequestState.FAILED: "" if truth.last == "downloadFailed" else "it did not fail",
    }
    lie = lies.get(state, "no pass may say so")
    moving = {RequestState.GRABBING, RequestState.DOWNLOADING, RequestState.DOWNLOADED}
    if state in moving and (truth.has or (lost > LAG and not ended)):
        lie = "it is imported" if truth.has else "nothing is there"
    off = None not in {shown, truth.progress} and abs((shown or 0) - (truth.progress or 0))
    if state is RequestState.DOWNLOADING and truth.listed and truth.known and off > 0.02:
        lie = lie or f"it shows {shown}, and {truth.progress} is there"
    return lie


@pytest.mark.parametrize("name", NAMES)
def test_every_moment_of_a_story_is_told_truly(name: str) -> None:
    """The row says nothing that is not so, in the order in which it came to be so."""
    replay = replayed(name)
    assert replay.lies == []
    assert replay.short == STORIES[name].states


@pytest.mark.parametrize("name", NAMES)
def test_a_person_is_called_where_one_is_needed_and_nowhere_else(name: str) -> None:
    """A download that is refused, ignored or gone, and one that fits no title."""
    assert replayed(name).calls == STORIES[name].calls


@pytest.mark.parametrize(("every", "first"), [(5, 0), (30, 11), (60, 0), (60, 20), (60, 40)])
@pytest.mark.parametrize("name", NAMES)
def test_who_looks_seldom_sees_less_and_nothing_else(name: str, every: float, first: float) -> None:
    """States are passed over, not made up; the end is the same, and so is who is called last."""
    seldom, always = replayed(name, every, first), replayed(name)
    assert seldom.lies == []
    told_in_full = iter([state for _, state in always.states])
    assert all(state in told_in_full for _, state in seldom.states)
    assert seldom.states[-1][1] is always.states[-1][1]
    assert seldom.life.calls == always.life.calls
    assert seldom.calls <= always.calls
