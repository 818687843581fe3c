"""Runs one program in a fresh process and measures it from outside.

How long the tracker's write lock is held is seen in the kernel's table of file locks: SQLite holds
the write lock of a WAL file as an exclusive lock on byte 120 of its `-shm` file, and F_GETLK tells
whether somebody holds it without taking it. A second connection that tried BEGIN IMMEDIATE would
disturb what it measures; a clock inside would miss the commit or count the checkpoint after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KEY = "b" * 32
"""The API key of all services."""

_ROOT = Path(__file__).parents[2]
_FLOCK = "hhqqi"  # struct flock of 64-bit Linux: type, whence, start, length, pid
_WRITE_LOCK = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 120, 1, 0)
_POLL = 0.0005

Figures = dict[str, float]
"""What a run took: `cpu` and `wall` in seconds, the interpreter's start and end included; `lock`,
the longest hold of the tracker's write lock, in milliseconds; and what the program says itself."""


def peak_memory() -> float:
    """The largest resident set of this process so far, in MB.

    A parent's view of it (`ru_maxrss`) would begin with the parent's own size.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [size] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(size) * 1024 / 1e6


def python(module: str, *arguments: str) -> dict[str, Any]:
    """What `subprocess` needs to run a module of the bench."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    return {"args": command, "cwd": _ROOT}


def measured(database: Path, module: str, *arguments: str) -> Figures:
    """Run a module that prints one JSON object of numbers.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(**python(module, *arguments), stdout=subprocess.PIPE)
    lock = _LockWatch(database.with_name(database.name + "-shm"))
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        lock.look(process.pid)
        time.sleep(_POLL)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    output = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    said: Figures = json.loads(output)
    cpu = used.ru_utime + used.ru_stime
    return {"cpu": cpu, "wall": wall, "lock": lock.longest * 1000, **said}


class _LockWatch:
    """Asks over and over whether the write lock of a file is held."""

    def __init__(self, shared_memory: Path) -> None:
        self._path = shared_memory
        self._descriptor: int | None = None
        self._free_at = 0.0
        self.longest = 0.0

    def look(self, holder: int) -> None:
        """Look once at the lock of one process, whoever else takes it meanwhile.

        A hold lasts from the last look before it to the last one that saw it.
        """
        if self._descriptor is None:
            with contextlib.suppress(FileNotFoundError):
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            self._free_at = time.perf_counter()
            return
        answer = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, _WRITE_LOCK)
        now = time.perf_counter()
        kind, *_, process = struct.unpack(_FLOCK, answer)
        if kind == fcntl.F_UNLCK or process != holder:
            self._free_at = now
        self.longest = max(self.longest, now - self._free_at)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def contents(database: Path) -> tuple[Any, ...]:
    """What is in the tracker's tables, in a few numbers that differ if any row does."""
    numbers = ("id", "tmdb_id", "tvdb_id", "radarr_id", "sonarr_id", "year")
    texts = ["title", "media_type", "imdb_id", "jellyfin_id", "poster_url", "overview", "state"]
    texts += ["final_path", "requested_by", "created_at", "available_at"]
    columns = [f"sum({name})" for name in numbers]
    columns += [f"count(DISTINCT {name}), sum(length({name}))" for name in texts]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        requests = connection.execute(f"SELECT count(*), {', '.join(columns)} FROM requests")
        events = connection.execute("SELECT count(*), sum(request_id) FROM timeline_events")
        return (*requests.fetchone(), *events.fetchone())
