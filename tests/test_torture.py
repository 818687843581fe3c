"""A process that is killed at any moment leaves a sound file and work that the next one ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

import pytest

from tests.builders import configured, rows, synced
from tests.pretend import PretendServices, World

TITLES = 3000
ROOT = Path(__file__).parents[1]
SCRIPT = """
import asyncio, pathlib, sys
from daemon.opening import open_sync
from daemon.domain import Actor, Trigger
from daemon.settings import Settings
settings = Settings.model_validate_json(sys.stdin.readline())
async def main():
    async with open_sync(settings) as service:
        actor = Actor("cli", "victim")
        await service.run(Trigger.CLI, actor, publish=lambda p: print(p.done, flush=True))
asyncio.run(main())
"""


async def killed(services: PretendServices, path: Path, after: int, delay: float) -> int:
    """Kill a run soon after it told that so many titles are done; returns its exit code."""
    settings = configured(services, path, sync={"batch_size": 40})
    document = settings.model_dump(mode="json")
    for name in ("jellyfin", "radarr", "sonarr"):
        document[name]["api_key"] = getattr(services, f"{name}_key")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(document).encode() + b"\n")
    while int((await process.stdout.readline()) or after) < after:
        pass
    await asyncio.sleep(delay)
    if process.returncode is None:
        process.kill()
    await process.communicate()
    return process.returncode or 0


@pytest.mark.timeout(120)
async def test_ten_kills_at_any_moment_lose_and_double_nothing(tmp_path: Path) -> None:
    """Rows, events and audit agree after each; the next run does the rest, and one more nothing."""
    dice = random.Random(3)
    interrupted, path = 0, tmp_path
    async with PretendServices(World.of_size(movies=TITLES - 300, series=300)) as services:
        for trial in range(10):
            path = tmp_path / f"{trial // 2}.db"
            after = dice.randrange(1, TITLES * (1 + trial % 2) // 2)
            code = await killed(services, path, after, dice.uniform(0, 0.03))
            interrupted += code == -9
            sound(path)
        assert interrupted >= 5
        result = await synced(services, path)
        again = await synced(services, path)
    sound(path)
    assert rows(path, "SELECT COUNT(*) FROM requests") == [(TITLES,)]
    assert (result["outcome"], again["outcome"]) == ("ok", "ok")
    assert (again["added"], again["updated"], again["skipped"]) == (0, 0, TITLES)
    outcomes = [outcome for (outcome,) in rows(path, "SELECT outcome FROM sync_runs ORDER BY id")]
    assert outcomes[-2:] == ["ok", "ok"]
    assert "running" not in outcomes


def sound(path: Path) -> None:
    """The file is whole, and what is in it agrees."""
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    [(requests,)] = rows(path, "SELECT COUNT(*) FROM requests")
    distinct = "SELECT COUNT(DISTINCT jellyfin_id), COUNT(DISTINCT media_type || tmdb_id)"
    assert rows(path, f"{distinct} FROM requests") == [(requests, requests)]
    assert rows(path, "SELECT COUNT(DISTINCT request_id) FROM timeline_events") == [(requests,)]
    told = "SELECT COUNT(*) FROM sync_audit, json_each(after, '$.request_ids')"
    assert rows(path, f"{told} WHERE action = 'titles.added'") == [(requests,)]
