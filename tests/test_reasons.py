"""A reason is one member, from which all follows that file, pages, terminal and API need."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from daemon import reasons
from daemon.apply import decisions
from daemon.reasons import UNDONE, Action, Count, FindingKind, Group, Kind, Reason
from daemon.report.result import RunStats, SyncResult
from daemon.report.words import result
from daemon.store import attention, glance

DECISIONS = Path(reasons.__file__).parents[1] / "docs/decisions.md"
KEPT = [reason for reason in Reason if reason.kept]


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_words_and_no_other_has_them(reason: Reason) -> None:
    """Nobody has to read the program's own names, or to guess which of two is meant."""
    assert reasons.words(reason.value) == reason.meaning.words
    assert [one for one in Reason if one.meaning.words == reason.meaning.words] == [reason]


def test_a_code_of_another_version_speaks_for_itself() -> None:
    """A file may have been written by a later one."""
    assert reasons.words("beamed_up") == "beamed up"


@pytest.mark.parametrize("reason", KEPT)
def test_what_the_history_keeps_is_shown_on_a_runs_page(reason: Reason) -> None:
    """In a tab of its own kind, which comes from the same table."""
    assert reason.meaning.groups
    for group in reason.meaning.groups:
        assert reason in glance._DECIDED[group]


def test_every_tab_has_something_to_show() -> None:
    """A reason, or one of the three that are not decisions of the run."""
    empty = {group for group in Group if not glance._DECIDED[group]}
    assert empty == {Group.HELD, Group.RESTORED, Group.ERROR}


@pytest.mark.parametrize("reason", Reason)
def test_what_needs_a_person_says_what_is_so_and_what_to_do(reason: Reason) -> None:
    """Conflicts and doubles always do; what was written never does."""
    meaning = reason.meaning
    needs = meaning.finding is not None
    assert bool(meaning.what) is bool(meaning.todo) is needs
    assert needs or not meaning.action
    if meaning.kind in {Kind.CONFLICT, Kind.DOUBLE}:
        assert needs
    if meaning.kind not in {Kind.CONFLICT, Kind.DOUBLE, Kind.SKIP}:
        assert not needs
    assert needs is (f"'{meaning.kind}'" in attention._OPEN and reason.kept)


def test_every_finding_of_a_decision_belongs_to_a_reason() -> None:
    """The others are of the file as a whole."""
    of_reasons = {reason.meaning.finding for reason in Reason} - {None}
    others = {FindingKind.HELD, FindingKind.SERVER, FindingKind.PROBLEM, FindingKind.LEAVING}
    others |= {FindingKind.BLOCKED, FindingKind.STUCK, FindingKind.KEPT}
    others |= {FindingKind.WITHOUT_IDS, FindingKind.DUPLICATES, FindingKind.OTHER}
    assert {*FindingKind} - others == of_reasons


def test_every_action_can_be_done() -> None:
    """By one function for each, whoever asks for it; the manual tells what for."""
    assert {*Action} == {*decisions._VERBS}
    lines = [line for line in DECISIONS.read_text("utf-8").splitlines() if line.startswith("| `")]
    for meaning in (reason.meaning for reason in Reason if reason.meaning.action):
        [line] = [line for line in lines if f"`{meaning.finding}`" in line.split("|")[1]]
        assert f"`{meaning.action}`" in line


@pytest.mark.parametrize("reason", Reason)
def test_what_is_written_is_in_the_audit(reason: Reason) -> None:
    """And only that; what can be taken back has a noun for the question before it."""
    writes = reason.meaning.kind in {Kind.ADD, Kind.UPDATE, Kind.REMOVE, Kind.MERGE}
    assert bool(reason.meaning.audit) is writes
    assert bool(reason.meaning.undone) is (reason.meaning.audit in UNDONE)


def test_every_count_counts_a_reason() -> None:
    """A run's result, its page and its preview tell one number for each."""
    assert {*Count} == {count for reason in Reason for count in reason.meaning.counts}
    stats = RunStats(Counter([*Reason]))
    document = SyncResult(stats.outcome, stats, 1, 0, {}).as_dict()
    assert all(document[count] for count in Count)
    said = "\n".join(result(document))
    assert all(count.words in said for count in Count if count is not Count.SKIPPED)


def test_no_other_module_spells_a_code() -> None:
    """Whoever needs one of them takes it from the table."""
    codes = [reason.value for reason in Reason if "_" in reason.value]
    spelled = re.compile(rf"[\"']({'|'.join(codes)})[\"']")
    found = {
        path.name
        for path in Path(reasons.__file__).parent.rglob("*.py")
        if spelled.search(path.read_text(encoding="utf-8"))
    }
    # One of the reasons to pass over a request of Seerr has the same word.
    assert found - {"pending.py"} == {"reasons.py"}
