"""Measures the pages with a large file: 100,000 titles, 10,000 runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon import logs
from tests.web.people import Person, somebody
from tests.web.support import Stand, standing

_TITLES = 100_000
_RUNS = 10_000
_VISITS = 100
_PAGES = (
    "/status",
    *("/status/titles", "/status/titles?sort=title", "/status/titles?sort=title&page=1000"),
    *(
        "/status/titles?q=title+99999",
        "/status/titles?state=FAILED",
        "/status/titles?problems=true",
    ),
    *("/status/titles/99999", "/status/pending", "/status/attention", "/status/runs"),
    *("/status/runs/9999", "/status/audit"),
)
_NAMES = ("total_scanned", "added", "updated", "promoted", "removed", "held", "errors")
_RESULT = json.dumps({**dict.fromkeys(_NAMES, 1), "error_details": ["x" * 80], "versions": {}})


def _fill(file: Path) -> None:
    """What a large installation has after some months."""
    now = datetime.now(UTC)
    ends = [(now - timedelta(minutes=_RUNS - at)).isoformat() for at in range(_RUNS)]
    runs = [("hinted" if at % 50 else "full", end, end, _RESULT) for at, end in enumerate(ends)]
    numbers = range(1, _TITLES + 1)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            "INSERT INTO requests (id, title, media_type, state, tmdb_id, created_at, updated_at,"
            " state_changed_at) VALUES (?1, 'Title ' || ?1, 'MOVIE', 'AVAILABLE', ?1, '', '', '')",
            ((number,) for number in numbers),
        )
        connection.executemany(
            "INSERT INTO sync_runs (trigger, kind, actor, started_at, ended_at, outcome, added,"
            " result) VALUES ('webhook', ?, 'webhook', ?, ?, 'ok', 1, ?)",
            runs,
        )
        connection.executemany(
            "INSERT INTO sync_decisions (run_id, seq, kind, reason, title, request_id)"
            " VALUES (?2, ?1, 'add', 'available_and_not_tracked', 'Title ' || ?1, ?1)",
            ((number, _RUNS - number % 40) for number in numbers),
        )


async def _visited(person: Person, path: str) -> tuple[list[float], int]:
    """Milliseconds of each visit, the client's share included, and the page's bytes."""
    times, size = [], 0
    for _ in range(_VISITS):
        started = time.perf_counter()
        size = len((await person.get(path)).text.encode())
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times), size


async def _measure(stand: Stand) -> None:
    _fill(stand.file)
    print(f"{_TITLES:,} titles, {_RUNS:,} runs, as an administrator (goals: 50 ms, 60,000 bytes):")
    async with somebody(stand) as person:
        await person.log_in()
        for path in _PAGES:
            times, size = await _visited(person, path)
            middle, worst = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(f"  {path:40} median {middle:5.1f} ms, p99 {worst:5.1f} ms, {size:6,} bytes")


async def _main() -> None:
    logs.configure(format="json", level="error", secrets=(), version="bench", stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="library-sync-bench-") as folder:
        async with standing(Path(folder)) as stand:
            await _measure(stand)


if __name__ == "__main__":
    asyncio.run(_main())
