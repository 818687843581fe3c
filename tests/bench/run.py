"""Measures library-sync against the limit program, in the same run, and prints one table a size."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.measure import Figures, contents, measured, python

_PROGRAMS = {"limit": "limit", "library-sync": "subject"}
_RUNS = ("first", "no-op")
_PAGE = 20_000
_LARGE = 100_000
_ENOUGH = 120
"""Seconds for the rounds at one size; beyond that the median is taken of fewer."""

_HEADS = {
    "cpu": "CPU s",
    "ratio": "x limit",
    "wall": "wall s",
    "peak": "peak MB",
    "lag": "lag ms",
    "own": "own lag",
    "collection": "gc ms",
    "lock": "lock ms",
    "written": "rows",
}
_Key = tuple[str, str]


@contextlib.contextmanager
def serving(titles: int, folder: Path, *options: str) -> Iterator[str]:
    """The services in a process of their own; gives their addresses as JSON."""
    folder.mkdir()
    serve = python("serve", str(titles), str(folder), *options)
    pipe = subprocess.PIPE
    with subprocess.Popen(**serve, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline()
        server.communicate()  # closes stdin, which ends it


def _round(urls: str, folder: Path) -> Iterator[tuple[_Key, Figures]]:
    """Each program twice on a new file of its own; all must leave the same rows.

    Raises:
        RuntimeError: they did not.
    """
    states = []
    for program, module in _PROGRAMS.items():
        database = folder / f"{program}.db"
        for run in _RUNS:
            yield (program, run), measured(database, module, urls, str(database))
            states.append(contents(database))
    if len(set(states)) > 1:
        raise RuntimeError(f"the rows are not the same: {states}")


def _measure(urls: str, folder: Path, rounds: int) -> tuple[dict[_Key, Figures], int]:
    """The median of each figure, and of how many rounds."""
    taken: dict[_Key, list[Figures]] = defaultdict(list)
    started, done = time.monotonic(), 0
    while done < rounds and (time.monotonic() - started) * (done + 1) <= _ENOUGH * max(done, 1):
        with tempfile.TemporaryDirectory(dir=folder) as databases:
            for key, figures in _round(urls, Path(databases)):
                taken[key].append(figures)
        done += 1
    middle = {
        key: {name: median(one[name] for one in all_of_them) for name in all_of_them[0]}
        for key, all_of_them in taken.items()
    }
    for (_, run), figures in middle.items():
        figures["ratio"] = figures["cpu"] / middle["limit", run]["cpu"]
    return middle, done


def _table(rows: dict[_Key, Figures]) -> Iterator[str]:
    yield " " * 20 + "".join(f"{head:>9}" for head in _HEADS.values())
    for (program, run), figures in sorted(rows.items(), key=lambda row: row[0][1]):
        digits = {name: 2 if name in {"cpu", "ratio", "wall"} else 0 for name in figures}
        cells = (f"{figures[n]:9.{digits[n]}f}" if n in figures else " " * 9 for n in _HEADS)
        yield f"{program:14}{run:6}{''.join(cells)}"


def _goals(titles: int, first: Figures, again: Figures) -> Iterator[tuple[str, float, float]]:
    """What is to be reached: its name, what was measured, and the most that it may be."""
    if titles >= _LARGE:
        yield "CPU of the first run, x limit", first["ratio"], 1.6
        yield "CPU of the no-op run, x limit", again["ratio"], 1.6
    worst = {name: max(first[name], again[name]) for name in first}
    yield "peak memory, MB", worst["peak"], 180 if titles >= _LARGE else 100
    yield "event loop lag of its own, ms", worst["own"], 50
    yield "write lock held, ms", worst["lock"], 50
    yield "rows written by the no-op run", again["written"], 0
    yield "calls of Jellyfin", worst["Jellyfin calls"], -(-titles // _PAGE) + 8
    yield "calls of Radarr", worst["Radarr calls"], 3
    yield "calls of Sonarr", worst["Sonarr calls"], 3


def _report(titles: int, rows: dict[_Key, Figures], rounds: int) -> None:
    first, again = (rows["library-sync", run] for run in _RUNS)
    sizes = [f"{n} {first[f'{n} bytes'] / 1e6:.0f} MB" for n in ("Jellyfin", "Radarr", "Sonarr")]
    print(f"\n{titles:,} titles ({', '.join(sizes)}), median of {rounds}")
    for line in _table(rows):
        print(line)
    for goal, reached, most in _goals(titles, first, again):
        print(f"  {'ok  ' if reached <= most else 'OVER'} {goal}: {reached:.4g} of {most:g}")


def _profile(urls: str, folder: Path) -> None:
    for run in _RUNS:
        print(f"\nWhere library-sync spends its time, {run} run", flush=True)
        subject = python("subject", urls, str(folder / "profiled.db"), "--profile")
        subprocess.run(**subject, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Measure every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("titles", type=int, nargs="*", default=[10_000, _LARGE])
    parser.add_argument("--rounds", type=int, default=3, help="default: 3, the median counts")
    parser.add_argument("--gzip", action="store_true", help="the services compress their replies")
    parser.add_argument("--profile", action="store_true", help="where the time goes, no table")
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; trust the ratios, not the seconds"
    )
    for titles in given.titles:
        with tempfile.TemporaryDirectory(prefix="library-sync-bench-") as name:
            folder = Path(name)
            with serving(titles, folder / "replies", *["--gzip"] * given.gzip) as urls:
                if given.profile:
                    _profile(urls, folder)
                    continue
                for _ in _RUNS:  # so that every reply is rendered
                    measured(folder / "warm.db", "limit", urls, str(folder / "warm.db"))
                _report(titles, *_measure(urls, folder, given.rounds))


if __name__ == "__main__":
    main()
