"""Measures the status page with a large file: 100,000 titles, 10,000 runs."""

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
_VISITS = 500
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


async def _visited(person: Person) -> tuple[list[float], int]:
    """Milliseconds of each visit, the client's share included, and the page's bytes."""
    times, size = [], 0
    for _ in range(_VISITS):
        started = time.perf_counter()
        size = len((await person.get()).text.encode())
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times), size


async def _measure(stand: Stand) -> None:
    _fill(stand.file)
    async with somebody(stand) as person:
        await person.log_in()
        times, size = await _visited(person)
    middle, worst = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"/status with {_TITLES:,} titles and {_RUNS:,} runs, as an administrator:")
    print(f"  median {middle:.1f} ms, p99 {worst:.1f} ms (goal 30), {size:,} bytes (goal 60,000)")


async def _main() -> None:
    logs.configure(format="json", level="error", secrets=(), version="bench", stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="library-sync-bench-") as folder:
        async with standing(Path(folder)) as stand:
            await _measure(stand)


if __name__ == "__main__":
    asyncio.run(_main())
