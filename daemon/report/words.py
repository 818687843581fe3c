"""Results formatted for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from daemon import reasons
from daemon.domain import Outcome
from daemon.reasons import Count
from daemon.report.progress import Progress

_HEADLINES = {
    "ok": "In sync",
    "partial": "Partly done",
    "held": "Held",
    "failed": "Failed",
    "interrupted": "Interrupted",
}

_MAX_PROBLEMS = 10


def result(document: Mapping[str, Any]) -> Iterator[str]:
    """A run's result, line by line."""
    seconds = document["duration_ms"] / 1000
    ended = document["outcome"] not in {Outcome.FAILED, Outcome.INTERRUPTED}
    verb = "Would do" if document["dry_run"] and ended else _HEADLINES[document["outcome"]]
    where = "on their way" if document["kind"] == "pending" else "in the library"
    yield f"{verb}: {document['total_scanned']:,} titles {where}, {seconds:.1f} s"
    yield from (f"  {number:>8,}  {words}" for number, words in _counts(document))
    yield from problems(document["error_details"])
    asked = (f"{name} {calls['calls']:.0f}" for name, calls in document["calls"].items())
    yield f"Calls: {', '.join(asked)}"


def passed(document: Mapping[str, Any]) -> Iterator[str]:
    """A pass's result and what needs attention, line by line."""
    told = [
        f"{one['title']}: {one['sentence']} ({one['service']})".removeprefix(": ")
        for one in document["attention"]
    ]
    yield from result({**document, "error_details": [*document["error_details"], *told]})


def _counts(document: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    shown = (one for one in Count if document.get(one) and one is not Count.SKIPPED)
    yield from ((document[one], one.words) for one in shown)
    yield from ((number, reasons.words(one)) for one, number in document["skip_reasons"].items())


def looked(document: Mapping[str, Any]) -> Iterator[str]:
    """What a recheck of one title and its copies found."""
    if not document["total_scanned"] and document["outcome"] == Outcome.OK:
        yield "Jellyfin has nothing under this id."
    yield from (f"{number:,} {words}" for number, words in _counts(document))
    yield from document["error_details"]


def problems(details: Sequence[str]) -> Iterator[str]:
    """The first few problems."""
    if details:
        yield "Needs attention:"
    yield from (f"  - {detail}" for detail in details[:_MAX_PROBLEMS])
    if len(details) > _MAX_PROBLEMS:
        yield f"  - and {len(details) - _MAX_PROBLEMS} more"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table with columns as wide as their cells."""
    cells = [[plain(value) for value in row] for row in (headings, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(headings))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def plain(value: object) -> str:
    """A value as one printable line: titles must not contain terminal control codes."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class ProgressLine:
    """A progress line that overwrites itself; silent without a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()

    def __call__(self, progress: Progress) -> None:
        """Show the progress."""
        if self._shown:
            of = f" of {progress.total:,}" if progress.total is not None else ""
            count = f": {progress.done:,}{of}" if progress.done else ""
            self._stream.write(f"\r\x1b[K{progress.phase.value}{count}")
            self._stream.flush()

    def clear(self) -> None:
        """Clear the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def count(number: int, noun: str) -> str:
    """A number with its noun, in singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
