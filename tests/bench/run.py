"""Measures library-sync against the limit program, in the same run, and prints one table a size.

The table shows, for a first run, one in which nothing has changed and one in which a title in a
hundred is new: the CPU of the whole process, also as a multiple of the limit's; the peak of memory;
the worst lag of the event loop, and what of it is its own; the longest hold of the write lock,
alone and beside another writer; calls, and what they brought.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from tests.bench.measure import Figures, contents, measured, python

_PROGRAMS = {"limit": "limit", "library-sync": "subject"}
_CHANGED = "1 %"
_RUNS = ("first", "no-op", _CHANGED)
_PAGE = 20_000
_COUNTED, _LARGE = 30_000, 100_000
_SIZES = {1_000: 5, 10_000: 5, 30_000: 5, _LARGE: 3}
"""By the number of titles, how many rounds the medians are of."""

_RESULT = Path(__file__).parents[2] / "build/bench.json"

_HEADS = {
    "cpu": "CPU s",
    "ratio": "x limit",
    "wall": "wall s",
    "peak": "peak MB",
    "lag": "lag ms",
    "own": "own lag",
    "collection": "gc ms",
    "lock": "lock ms",
    "beside": "beside",
    "written": "rows",
    "calls": "calls",
    "size": "MB read",
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


@contextlib.contextmanager
def _neighbour(database: Path) -> Iterator[None]:
    """With another program that writes to the file all the time."""
    pipe, program = subprocess.PIPE, python("neighbour", str(database))
    with subprocess.Popen(**program, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate()


def _round(urls: str, folder: Path, programs: Iterable[str]) -> Iterator[tuple[_Key, Figures]]:
    """Each program on a new file of its own; all must leave the same rows.

    Raises:
        RuntimeError: they did not.
    """
    states = []
    for program in programs:
        module, database = _PROGRAMS[program], folder / f"{program}.db"
        for run in _RUNS:
            if run == _CHANGED:
                _forget_some(database)
            yield (program, run), measured(database, module, urls, str(database))
            if run != _CHANGED:  # the limit asks no second time for posters
                states.append(contents(database))
    if len(set(states)) > 1:
        raise RuntimeError(f"the rows are not the same: {states}")


def _forget_some(database: Path) -> None:
    """Take the last of a hundred titles from the tracker, which the next run finds to be new."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        last = connection.execute("SELECT max(id) * 99 / 100 FROM requests").fetchone()
        connection.execute("DELETE FROM timeline_events WHERE request_id > ?", last)
        connection.execute("DELETE FROM requests WHERE id > ?", last)


def _measure(urls: str, folder: Path, rounds: int) -> dict[_Key, Figures]:
    """The median of each figure; of the ratios, those of the same round count."""
    taken: dict[_Key, list[Figures]] = defaultdict(list)
    for number in range(rounds):
        programs = [*_PROGRAMS][:: -1 if number % 2 else 1]
        with tempfile.TemporaryDirectory(dir=folder) as databases:
            found = dict(_round(urls, Path(databases), programs))
        for (program, run), figures in found.items():
            figures["ratio"] = figures["cpu"] / found["limit", run]["cpu"]
            taken[program, run].append(figures)
    middle = {
        key: {name: median(one[name] for one in all_of_them) for name in all_of_them[0]}
        for key, all_of_them in taken.items()
    }
    shared = folder / "shared.db"
    with _neighbour(shared):
        beside = measured(shared, "subject", urls, str(shared))
    middle["library-sync", "first"]["beside"] = beside["lock"]
    return middle


def _table(rows: dict[_Key, Figures]) -> Iterator[str]:
    yield " " * 20 + "".join(f"{head:>9}" for head in _HEADS.values())
    for (program, run), figures in sorted(rows.items(), key=lambda row: _RUNS.index(row[0][1])):
        told = figures | _totals(figures)
        digits = {name: 2 if name in {"cpu", "ratio", "wall"} else 0 for name in told}
        cells = (f"{told[n]:9.{digits[n]}f}" if n in told else " " * 9 for n in _HEADS)
        yield f"{program:14}{run:6}{''.join(cells)}"


def _totals(figures: Figures) -> Figures:
    """Over all services."""
    calls = [value for name, value in figures.items() if name.endswith(" calls")]
    size = [value for name, value in figures.items() if name.endswith(" bytes")]
    return {"calls": sum(calls), "size": sum(size) / 1e6} if calls else {}


def _goals(titles: int, first: Figures, again: Figures) -> Iterator[tuple[str, float, float]]:
    """What is to be reached: its name, what was measured, and the most that it may be."""
    if titles >= _COUNTED:
        yield "CPU of the first run, x limit", first["ratio"], 1.6
        yield "CPU of the no-op run, x limit", again["ratio"], 1.6
    worst = {name: max(first[name], again[name]) for name in again}
    yield "peak memory, MB", worst["peak"], 180 if titles >= _LARGE else 100
    yield "event loop lag of its own, ms", worst["own"], 50
    yield "write lock held, ms", worst["lock"], 50
    yield "write lock held beside another writer, ms", first["beside"], 50
    yield "rows written by the no-op run", again["written"], 0
    yield "calls of Jellyfin", worst["Jellyfin calls"], -(-titles // _PAGE) + 8
    yield "calls of Radarr", worst["Radarr calls"], 3
    yield "calls of Sonarr", worst["Sonarr calls"], 3


def _report(titles: int, rows: dict[_Key, Figures], rounds: int) -> None:
    first, again, _ = (rows["library-sync", run] for run in _RUNS)
    sizes = [f"{n} {first[f'{n} bytes'] / 1e6:.0f} MB" for n in ("Jellyfin", "Radarr", "Sonarr")]
    print(f"\n{titles:,} titles ({', '.join(sizes)}), median of {rounds}")
    for line in _table(rows):
        print(line)
    for goal, reached, most in _goals(titles, first, again):
        print(f"  {'ok  ' if reached <= most else 'OVER'} {goal}: {reached:.4g} of {most:g}")


def _profile(urls: str, folder: Path) -> None:
    for run in _RUNS[:2]:
        print(f"\nWhere library-sync spends its time, {run} run", flush=True)
        subject = python("subject", urls, str(folder / "profiled.db"), "--profile")
        subprocess.run(**subject, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Measure every size asked for, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("titles", type=int, nargs="*", default=[*_SIZES], help="e.g. 1000000")
    parser.add_argument("--rounds", type=int, help="default: 5, of 100,000 titles 3, beyond 1")
    parser.add_argument("--gzip", action="store_true", help="the services compress their replies")
    parser.add_argument("--profile", action="store_true", help="where the time goes, no table")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f}; trust the ratios, not the seconds")
    kept: list[dict[str, float | str]] = []
    for titles in given.titles:
        with tempfile.TemporaryDirectory(prefix="library-sync-bench-") as name:
            folder = Path(name)
            with serving(titles, folder / "replies", *["--gzip"] * given.gzip) as urls:
                if given.profile:
                    _profile(urls, folder)
                    continue
                for _ in _RUNS[:2]:  # so that every reply is rendered
                    measured(folder / "warm.db", "limit", urls, str(folder / "warm.db"))
                rounds = given.rounds or _SIZES.get(titles, 1)
                rows = _measure(urls, folder, rounds)
        _report(titles, rows, rounds)
        for (program, run), figures in rows.items():
            kept.append({"titles": titles, "program": program, "run": run, **figures})
        _RESULT.parent.mkdir(exist_ok=True)
        _RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
