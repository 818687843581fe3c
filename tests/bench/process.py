"""Measures the daemon as a process: how soon it acts, what it bears, and what it takes when idle.

It is driven over HTTP and watched from outside: its rows in the tracker's file, its CPU time and
memory in the kernel's books, its event loop by the watchdog messages that it sends from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import yaml

from tests.bench.load import Seen, hook, share
from tests.bench.measure import KEY, python
from tests.bench.run import serving
from tests.bench.serve import library

_SECRET = "s" * 32
_SMALL = 2_000
_CALLS, _HINTS, _FLOOD, _LISTENERS = 200, 120, 10_000, 1_000
_STARTS, _FLOODS = 5, 3
_QUIET = 0.05
_BEAT = 0.005
_POLL = 0.0005
_PATIENCE = 900.0  # a gigabyte is rendered first, on any machine
_SO_TIMESTAMP = 29
_ROOT = Path(__file__).parents[2]


class _Figure(NamedTuple):
    """One line of the table.

    Attributes:
        goal: the most that it may be, e.g. "<=50", or the least, e.g. ">=3000"; "" is none.
        digits: shown behind the point.
    """

    name: str
    reached: float
    goal: str = ""
    digits: int = 0

    def __str__(self) -> str:
        reached = f"{self.reached:,.{self.digits}f}"
        return f"{self.name:58}{reached:>10}{self.goal:>9}  {self._verdict}".rstrip()

    @property
    def _verdict(self) -> str:
        if not self.goal:
            return ""
        limit = float(self.goal[2:])
        if self.goal.startswith("<="):
            return "ok" if self.reached <= limit else "OVER"
        return "ok" if self.reached >= limit else "UNDER"


class _Ear:
    """Hears what systemd would hear, each message with the kernel's time of it.

    Attributes:
        ready: when the daemon said that it is.
        lag: by how many milliseconds a beat was late at worst.
        own: the same as far as the daemon was computing meanwhile, on any thread: what other
            processes took of the machine is not in it.
    """

    def __init__(self, path: Path) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(path))
        self._channel.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
        self.ready = threading.Event()
        self.ready_at = 0.0
        self.forget()

    def forget(self) -> None:
        """Begin anew with what is late."""
        self._beat: tuple[float, float] | None = None
        self.lag = self.own = 0.0

    def listen(self, clock: int) -> None:
        """Hear, in a thread of its own, until the daemon says that it stops.

        Args:
            clock: the kernel's number for the daemon's CPU time.
        """
        threading.Thread(target=self._hear, args=(clock,), daemon=True).start()

    def _hear(self, clock: int) -> None:
        with self._channel:
            while b"STOPPING=1" not in (heard := self._channel.recvmsg(512, 64))[0]:
                seconds, micros = struct.unpack("ll", heard[1][0][2])
                if b"READY=1" in heard[0]:
                    self.ready_at = seconds + micros / 1e6
                    self.ready.set()
                elif heard[0] == b"WATCHDOG=1":
                    self._heard_beat(seconds + micros / 1e6, time.clock_gettime(clock))

    def _heard_beat(self, at: float, cpu: float) -> None:
        if self._beat is not None:
            late = (at - self._beat[0] - _BEAT) * 1000
            self.lag = max(self.lag, late)
            self.own = max(self.own, min(late, (cpu - self._beat[1]) * 1000))
        self._beat = (at, cpu)


class _Daemon:
    """A daemon with a fresh tracker's file, from entering to leaving.

    Args:
        urls: of the services, as JSON.
        folder: to be made, and all that it writes is in it.
        watchdog: seconds within which systemd wants to hear from its event loop; it tells four
            times as often, at least twice a second.
        sections: of its configuration.
    """

    def __init__(
        self, urls: str, folder: Path, *, watchdog: float = 4 * _BEAT, **sections: Any
    ) -> None:
        self._folder = folder
        self._watchdog = watchdog
        self._folder.mkdir()
        self.database = folder / "tracker.db"
        services = {name: {"url": url, "api_key": KEY} for name, url in json.loads(urls).items()}
        http = {"port": 0, "admin_token": _SECRET}
        webhook = {"secret": _SECRET, **sections.pop("webhook", {})}
        document = {**services, "database": str(self.database), "http": http, "webhook": webhook}
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump({**document, **sections}), encoding="utf-8")

    def __enter__(self) -> Self:
        self.ear = _Ear(self._folder / "notify")
        environ = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "NOTIFY_SOCKET": str(self._folder / "notify"),
            "WATCHDOG_USEC": f"{self._watchdog * 1e6:.0f}",
        }
        command = [sys.executable, "-m", "daemon", "--config", "config.yaml", "run"]
        with (self._folder / "log").open("wb") as log:
            self._started_at = time.time()
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command, cwd=self._folder, env=environ, stdout=log, stdin=subprocess.DEVNULL
            )
        self.clock = _clock_of(self._process.pid)
        self.ear.listen(self.clock)
        if not self.ear.ready.wait(_PATIENCE):
            raise RuntimeError("the daemon did not start")
        while not (told := re.search(r'"url":"([^"]+)"', self.log)):
            time.sleep(_POLL)  # it tells systemd first
        self.url = told[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(_PATIENCE):
            raise RuntimeError(f"the daemon ended with {self._process.returncode}")

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._folder / "log").read_text(encoding="utf-8")

    @property
    def start_ms(self) -> float:
        """From its start to READY, in milliseconds."""
        return (self.ear.ready_at - self._started_at) * 1000

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used so far."""
        return time.clock_gettime(self.clock)

    def memory(self, which: str = "VmRSS") -> float:
        """Its resident set, in MB; `RssAnon` is what of it is in no file."""
        text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(text.partition(f"{which}:")[2].split()[0]) * 1024 / 1e6

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What another program reads of the tracker's file."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, values).fetchall()

    def forget(self, ids: list[str]) -> None:
        """Delete the requests of these titles, as the tracker does when somebody wants it."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            for table, column in (("timeline_events", "request_id"), ("requests", "id")):
                marks = ",".join("?" * len(ids))
                which = f"SELECT id FROM requests WHERE jellyfin_id IN ({marks})"
                connection.execute(f"DELETE FROM {table} WHERE {column} IN ({which})", ids)

    def post(self, path: str, body: bytes = b"") -> Any:
        """Send one request and give its reply."""
        headers = {"Authorization": f"Bearer {_SECRET}", "Content-Type": "text/plain"}
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310  # loopback
        with urllib.request.urlopen(request) as reply:  # noqa: S310  # the same
            return json.loads(reply.read())

    def until(self, query: str, *values: object, ended: object = 1) -> None:
        """Wait until a query of the tracker's file gives this."""
        deadline = time.monotonic() + _PATIENCE
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            while connection.execute(query, values).fetchone() != (ended,):
                time.sleep(_POLL)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"never true: {query} {values}")

    def until_idle(self, runs: int) -> None:
        """Wait until so many runs have ended, and none is going."""
        self.until("SELECT count(*) FROM sync_runs WHERE outcome = 'running'", ended=0)
        self.until("SELECT count(*) >= ? FROM sync_runs WHERE outcome != 'running'", runs)


@contextlib.contextmanager
def _under(load: str, *arguments: str) -> Iterator[Seen]:
    """With a load at work in another process; what that saw is there at the end."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        **python("load", load, *arguments), stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    seen: Seen = json.loads(process.stdout.readline()) | {"clock": _clock_of(process.pid)}
    yield seen
    output, _ = process.communicate()  # closes stdin, which ends it
    seen.update(json.loads(output or "{}"))
    if process.returncode:
        raise RuntimeError(f"the load {load} failed")


def _loaded(load: str, *arguments: str) -> Seen:
    """What a load saw that ends by itself."""
    with _under(load, *arguments) as seen:
        return seen


def _clock_of(process: int) -> int:
    """The kernel's number for the CPU time of a process, as clock_getcpuclockid(3) makes it."""
    return (~process << 3) | 2


def _hints_a_second(url: str, clock: int) -> tuple[int, float]:
    """How many of a flood were taken, and how many that is for each second of CPU."""
    before = time.clock_gettime(clock)
    taken = _loaded("hints", url, _SECRET, str(_FLOOD))["taken"]
    return taken, taken / (time.clock_gettime(clock) - before)


def _of_starts(urls: str, folder: Path) -> Iterator[_Figure]:
    taken = []
    for number in range(_STARTS):
        with _Daemon(urls, folder / f"start{number}", sync={"on_start": False}) as daemon:
            taken.append((daemon.start_ms, daemon.cpu * 1000))
    wall, cpu = zip(*taken, strict=True)
    yield _Figure(f"start to READY, ms, median of {_STARTS}", median(wall))
    yield _Figure("  on the CPU", median(cpu))


def _of_hints(daemon: _Daemon) -> Iterator[_Figure]:
    """One after the other, every fifth a series."""
    world = library(_SMALL)
    movies, series = list(world.movies), list(world.series)
    items = [series[n] if n % 5 == 0 else movies[n] for n in range(_HINTS)]
    daemon.forget(items)
    waits = []
    for item in items:
        sent = time.perf_counter()
        daemon.post("/hooks/jellyfin", hook(item))
        daemon.until("SELECT count(*) FROM requests WHERE jellyfin_id = ?", item)
        waits.append((time.perf_counter() - sent - _QUIET) * 1000)
    yield _Figure(f"hint to row beyond quiet, ms, p50 of {_HINTS}", median(waits), digits=1)
    yield _Figure("  p99", share(waits, 0.99), "<=250", digits=1)


def _of_calls_upstream(daemon: _Daemon) -> Iterator[_Figure]:
    movies = list(library(_SMALL).movies)
    for number, of_radarr in ((5, "<=5"), (150, "<=1")):
        [(before,)] = daemon.rows("SELECT max(id) FROM sync_runs")
        for item in movies[:number]:
            daemon.post("/hooks/jellyfin", hook(item))
        daemon.until_idle(before + 1)
        [(run, result)] = daemon.rows("SELECT id, result FROM sync_runs ORDER BY id DESC LIMIT 1")
        calls = json.loads(result)["calls"]
        yield _Figure(f"{number} hints: runs", run - before, "<=1")
        yield _Figure("  calls of Jellyfin", calls["Jellyfin"]["calls"], "<=1")
        yield _Figure("  calls of Radarr", calls["Radarr"]["calls"], of_radarr)


def _of_admins(daemon: _Daemon) -> Iterator[_Figure]:
    seen = _loaded("calls", daemon.url, _SECRET, str(_CALLS))
    yield _Figure(f"{_CALLS} admin calls at once: runs", seen["runs"], "<=2")
    yield _Figure("  calls that got its result", seen["good"], f">={_CALLS}")


def _of_listeners(daemon: _Daemon) -> Iterator[_Figure]:
    alone = daemon.cpu
    daemon.post("/admin/sync")
    alone, memory = daemon.cpu - alone, daemon.memory()
    with _under("listeners", daemon.url, _SECRET, str(_LISTENERS)) as seen:
        memory = daemon.memory() - memory
        daemon.ear.forget()
        heard = daemon.cpu
        daemon.post("/admin/sync")
        heard = daemon.cpu - heard
        time.sleep(1)
    goal = f">={_LISTENERS}"
    yield _Figure(f"{_LISTENERS:,} event streams: told the end of a run", seen["told"], goal)
    yield _Figure("  memory for each, KB", memory * 1e3 / _LISTENERS, digits=1)
    yield _Figure("  CPU of the run, x without them", heard / alone, digits=1)
    yield _Figure("  loop lag of its own, ms, worst", daemon.ear.own, digits=1)


def _of_idling(daemon: _Daemon, seconds: float) -> Iterator[_Figure]:
    time.sleep(1)  # what comes after a run is no idling
    before = daemon.cpu
    time.sleep(seconds)
    cpu = (daemon.cpu - before) / seconds * 100
    yield _Figure(f"idle for {seconds:g} s: CPU, %", cpu, "<=1", digits=2)
    yield _Figure("  memory, MB", daemon.memory(), "<=60", digits=1)
    yield _Figure("  of that in no file", daemon.memory("RssAnon"), digits=1)


def _of_flood(daemon: _Daemon) -> Iterator[_Figure]:
    _loaded("hints", daemon.url, _SECRET, "100")  # so that all that is made once is there
    daemon.until_idle(1)
    memory, seen, limits = daemon.memory(), [], []
    daemon.ear.forget()
    with _under("bare") as bare:
        for number in range(_FLOODS):
            seen.append(_hints_a_second(daemon.url, daemon.clock))
            daemon.until_idle(2 + number)
            limits.append(_hints_a_second(bare["url"], bare["clock"])[1])
    taken, rate = sum(taken for taken, _ in seen), median(rate for _, rate in seen)
    all_of_them = _FLOODS * _FLOOD
    yield _Figure(f"{_FLOODS} times {_FLOOD:,} hints at once: taken", taken, f">={all_of_them}")
    yield _Figure("  a second of one core, median", rate, ">=3000")
    yield _Figure("  a bare server that only answers, x", median(limits) / rate, digits=1)
    yield _Figure("  loop lag of its own, ms, worst", daemon.ear.own, "<=50", digits=1)
    yield _Figure("  loop lag with what others took, ms, worst", daemon.ear.lag, digits=1)
    yield _Figure("  memory gained, MB", daemon.memory() - memory, digits=1)
    [(runs,)] = daemon.rows("SELECT count(*) - 1 FROM sync_runs")
    yield _Figure("  runs that came of them", runs, f"<={2 * _FLOODS}")


def _of_reconcile(daemon: _Daemon, titles: int) -> Iterator[_Figure]:
    with _under("probe", daemon.url) as seen:
        daemon.ear.forget()
        asked = time.perf_counter()
        daemon.post("/admin/sync?wait=false")
        daemon.until("SELECT count(*) > 0 FROM requests")
        first = time.perf_counter() - asked
        daemon.until_idle(1)
        whole = time.perf_counter() - asked
    yield _Figure(f"button to first row of {titles:,} titles, s", first, digits=2)
    yield _Figure("  share of the whole run", first / whole, digits=2)
    yield _Figure("  /healthz meanwhile, ms, p99", seen["p99"], "<=50", digits=1)
    yield _Figure("  /healthz meanwhile, ms, worst", seen["worst"], digits=1)
    yield _Figure("  loop lag of its own, ms, worst", daemon.ear.own, "<=50", digits=1)
    yield _Figure("  memory afterwards, MB", daemon.memory(), digits=1)


def _of_small(urls: str, folder: Path, idle: float) -> Iterator[_Figure]:
    yield from _of_starts(urls, folder)
    quick, by_hand = {"quick": 0}, {"quick": 0, "on_start": False}
    hook_soon, hook_later = {"quiet": _QUIET}, {"quiet": 1}
    with _Daemon(urls, folder / "hinted", sync=quick, webhook=hook_soon) as daemon:
        daemon.until_idle(1)
        yield from _of_hints(daemon)
        yield from _of_calls_upstream(daemon)
        yield from _of_admins(daemon)
        yield from _of_listeners(daemon)
    with _Daemon(urls, folder / "flooded", sync=by_hand, webhook=hook_later) as daemon:
        yield from _of_flood(daemon)
    with _Daemon(urls, folder / "idle", watchdog=60) as daemon:
        daemon.until_idle(1)
        yield from _of_idling(daemon, idle)


def _of_large(urls: str, folder: Path, titles: int) -> Iterator[_Figure]:
    with _Daemon(urls, folder / "first", sync={"quick": 0}) as daemon:
        daemon.until_idle(1)  # so that every reply is rendered
    with _Daemon(urls, folder / "again", sync={"quick": 0, "on_start": False}) as daemon:
        yield from _of_reconcile(daemon, titles)


def main(titles: int, idle: float) -> None:
    """Measure everything, and print it as it comes."""
    print(f"\nThe daemon, {_SMALL:,} titles where nothing else is said")
    print(f"{'':58}{'reached':>10}{'goal':>9}")
    with tempfile.TemporaryDirectory(prefix="library-sync-bench-") as name:
        folder = Path(name)
        with serving(_SMALL, folder / "small") as urls:
            for figure in _of_small(urls, folder, idle):
                print(figure, flush=True)
        with serving(titles, folder / "large") as urls:
            for figure in _of_large(urls, folder, titles):
                print(figure, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("titles", type=int, nargs="?", default=100_000, help="of a large library")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds; default: 60")
    given = parser.parse_args()
    main(given.titles, given.idle)
