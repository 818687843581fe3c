"""What people see on a terminal."""

from __future__ import annotations

import io
from collections import Counter

import pytest

from daemon.domain import Outcome, SourceFailure
from daemon.reasons import Kind, Reason
from daemon.report import words
from daemon.report.progress import Phase, Progress
from daemon.report.result import RunStats, SyncResult


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def lines(stats: RunStats, outcome: Outcome = Outcome.OK) -> list[str]:
    """A result as it is shown."""
    calls = {"Jellyfin": {"calls": 8.0}, "Radarr": {"calls": 2.0}}
    return [*words.result(SyncResult(outcome, stats, 1, 1234, calls).as_dict())]


def test_a_result_is_a_headline_its_counts_and_its_calls() -> None:
    """Counts of nothing are not shown."""
    stats = RunStats(Counter({Reason.ADD: 1_234, Reason.FILL: 2}), scanned=12_345)
    stats.counts[Reason.DUPLICATE] = 3
    assert lines(stats) == [
        "In sync: 12,345 titles in the library, 1.2 s",
        "     1,234  added",
        "         2  filled in",
        "         3  further copies of a title",
        "Calls: Jellyfin 8, Radarr 2",
    ]


def test_what_went_wrong_is_told_but_not_endlessly() -> None:
    """The first ten, and how many there are beyond."""
    gaps = [SourceFailure("Radarr", "unreachable", f"problem {number}") for number in range(13)]
    shown = lines(RunStats(gaps=gaps), Outcome.PARTIAL)
    assert shown[0].startswith("Partly done: ")
    assert shown[1:3] == ["Needs attention:", "  - problem 0"]
    assert shown[11:13] == ["  - problem 9", "  - and 3 more"]


def test_every_outcome_and_every_reason_has_its_words() -> None:
    """Nobody has to read the program's own names."""
    ended = [outcome for outcome in Outcome if outcome is not Outcome.RUNNING]
    headlines = {lines(RunStats(), outcome)[0].split(":")[0] for outcome in ended}
    assert len(headlines) == len(ended)
    stats = RunStats()
    skips = [reason for reason in Reason if reason.meaning.kind is Kind.SKIP]
    stats.counts.update(skips)
    assert len(lines(stats)) == len(skips) + 2


def test_a_preview_that_failed_would_not_do_anything() -> None:
    """Only one that came to an end tells what would be done."""
    previews = {
        outcome: SyncResult(outcome, RunStats(), None, 1, {}).as_dict() | {"dry_run": True}
        for outcome in (Outcome.OK, Outcome.PARTIAL, Outcome.FAILED)
    }
    headlines = [next(words.result(one)).split(":")[0] for one in previews.values()]
    assert headlines == ["Would do", "Would do", "Failed"]


def test_a_result_of_an_earlier_version_has_fewer_counts() -> None:
    """The page of a title also shows what such a run found."""
    old = SyncResult(Outcome.OK, RunStats(Counter({Reason.FILL: 1}), 1), 1, 0, {}).as_dict()
    del old["merged"], old["without_ids"]
    assert [*words.looked(old)] == ["1 filled in"]


def test_a_table_is_as_wide_as_what_is_in_it() -> None:
    """Nothing is NULL's cell, and no line ends in blanks."""
    rows = [(1, "A Trip to the Moon"), (22, None)]
    assert [*words.table(("id", "title"), rows)] == [
        "id  title",
        "1   A Trip to the Moon",
        "22",
    ]


def test_nothing_from_outside_steers_the_terminal() -> None:
    """Escapes, line ends and turned writing in a title are shown as what they are not."""
    assert words.plain("a\x1b[2Jb\nc\u202ed\ud800千🎬") == "a?[2Jb?c?d?千🎬"


@pytest.mark.parametrize("total", [None, 1000])
def test_progress_is_one_line_that_is_left_empty(total: int | None) -> None:
    """On a terminal the phase, how many and of how many; then nothing of it stays."""
    stream = Terminal()
    line = words.ProgressLine(stream)
    line(Progress(Phase.ASKING))
    line(Progress(Phase.READING, 500, total))
    line.clear()
    of = " of 1,000" if total else ""
    shown = ["", "asking the services", f"reading the library: 500{of}", ""]
    assert stream.getvalue().split("\r\x1b[K") == shown


def test_a_pipe_gets_no_progress() -> None:
    """What is not watched is not written to."""
    stream = io.StringIO()
    line = words.ProgressLine(stream)
    line(Progress(Phase.READING, 500, 1000))
    line.clear()
    assert stream.getvalue() == ""


def test_a_pass_tells_what_needs_attention_beside_what_went_wrong() -> None:
    """Each with its title and the service that says so; a service as a whole has no title."""
    gap = SourceFailure("Seerr", "unreachable", "Seerr does not answer")
    document = SyncResult(
        Outcome.PARTIAL, RunStats(gaps=[gap], scanned=3), None, 500, {}, "pending"
    )
    said = [
        {"title": "The Lodger", "sentence": "it is a sample", "service": "Radarr"},
        {"title": "", "sentence": "it has no connection", "service": "qBittorrent"},
    ]
    assert [*words.passed({**document.as_dict(), "attention": said})] == [
        "Partly done: 3 titles on their way, 0.5 s",
        "Needs attention:",
        "  - Seerr does not answer",
        "  - The Lodger: it is a sample (Radarr)",
        "  - it has no connection (qBittorrent)",
        "Calls: ",
    ]
