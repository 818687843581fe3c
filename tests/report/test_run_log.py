"""The ring of log lines: what is kept of which run, for how long, and what never is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from structlog.contextvars import bound_contextvars

from daemon import logs
from daemon.report.run_log import RunLogBuffer

log = logs.logger("daemon.tested")


@pytest.fixture
def lines() -> Iterator[RunLogBuffer]:
    """A ring of four that the log is kept in."""
    kept = RunLogBuffer(4)
    logs.configure(
        format="console",
        level="debug",
        secrets=["canary-5ecret"],
        version="1",
        stream=io.StringIO(),
        keep=kept.keep,
    )
    yield kept
    logs.reset()


def texts(lines: RunLogBuffer, run_id: int, level: str = "debug") -> list[str]:
    """What is kept of a run."""
    return [line.text for line in lines.of(run_id, level, 100)]


def test_only_lines_of_runs_are_kept_each_for_its_own(lines: RunLogBuffer) -> None:
    """With the event and its fields, and without what stands in every line."""
    log.info("daemon.ready", url="x")
    for run_id in (1, 2):
        with bound_contextvars(run_id=run_id, trigger="cli"):
            log.warning("run.problem", problem=f"of {run_id}")
    assert texts(lines, 1) == ["run.problem problem=of 1"]
    assert texts(lines, 2) == ["run.problem problem=of 2"]
    assert texts(lines, 3) == []
    [line] = lines.of(1, "debug", 1)
    assert (line.level, line.at[-1]) == ("warning", "Z")


def test_a_level_leaves_out_what_is_below_it(lines: RunLogBuffer) -> None:
    """The level itself is in it."""
    with bound_contextvars(run_id=1):
        for say in (log.debug, log.info, log.warning, log.error):
            say(say.__name__)
    assert texts(lines, 1, "debug") == ["debug", "info", "warning", "error"]
    assert texts(lines, 1, "warning") == ["warning", "error"]


def test_old_lines_go_and_long_ones_are_cut(lines: RunLogBuffer) -> None:
    """So that memory is bounded; of many lines the latest are given."""
    with bound_contextvars(run_id=1):
        for at in range(6):
            log.info("event", at=at, text="x" * 5000)
    assert [text[:10] for text in texts(lines, 1)] == [f"event at={at}" for at in range(2, 6)]
    assert {len(text) for text in texts(lines, 1)} == {1000}
    assert [line.text[:10] for line in lines.of(1, "debug", 1)] == ["event at=5"]


def test_no_secret_is_kept(lines: RunLogBuffer) -> None:
    """Neither by the name of its field nor by its text."""
    with bound_contextvars(run_id=1):
        log.info("event", url="http://x/?k=canary-5ecret", api_key="other")
    assert texts(lines, 1) == ["event url=http://x/?k=******** api_key=********"]
