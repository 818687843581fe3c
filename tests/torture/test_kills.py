"""A process that is killed at any moment leaves a sound file and work that the next one ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.builders import configured, rows, synced
from tests.pretend import PretendServices, World
from tests.running import until
from tests.test_daemon import CONSISTENT
from tests.test_e2e import FIRST, a_house, kill
from tests.torture.promises import promise
from tests.worlds import films

TITLES = 3000
RUNS_KILLED = 10
DAEMONS_KILLED = 30
ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, os, signal, sys, threading
from daemon.opening import open_sync
from daemon.domain import Actor, Trigger
from daemon.settings import Settings
after, delay = int(sys.argv[1]), float(sys.argv[2])
settings = Settings.model_validate_json(sys.stdin.readline())
death = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL))
def publish(progress):
    if progress.done >= after and not death.ident:
        death.start()
async def main():
    async with open_sync(settings) as service:
        await service.run(Trigger.CLI, Actor("cli", "victim"), publish=publish)
asyncio.run(main())
"""
"""A run that kills itself, so that the moment hangs on its own pace and not on the test's."""


async def killed(services: PretendServices, path: Path, after: int, delay: float) -> bool:
    """Have a run killed soon after it has done so many titles; returns whether it was at work."""
    settings = configured(services, path, sync={"batch_size": 40})
    document = settings.model_dump(mode="json")
    for name in ("jellyfin", "radarr", "sonarr"):
        document[name]["api_key"] = getattr(services, f"{name}_key")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, str(after), str(delay)),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    await process.communicate(json.dumps(document).encode() + b"\n")
    assert process.returncode == -signal.SIGKILL
    return at_work(path)


def at_work(path: Path) -> bool:
    """Whether the last run never came to say how it ended."""
    return ("running",) in rows(path, "SELECT outcome FROM sync_runs ORDER BY id")[-1:]


def tracked(path: Path) -> int:
    """How many titles are tracked."""
    return len(rows(path, "SELECT id FROM requests"))


def sound(path: Path) -> None:
    """The file is whole, and what is in it agrees."""
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    [(requests,)] = rows(path, "SELECT COUNT(*) FROM requests")
    distinct = "SELECT COUNT(DISTINCT jellyfin_id), COUNT(DISTINCT media_type || tmdb_id)"
    assert rows(path, f"{distinct} FROM requests") == [(requests, requests)]
    assert rows(path, "SELECT COUNT(DISTINCT request_id) FROM timeline_events") == [(requests,)]
    told = "SELECT COUNT(*) FROM sync_audit, json_each(after, '$.request_ids')"
    assert rows(path, f"{told} WHERE action = 'titles.added'") == [(requests,)]


@promise(
    "A run that is killed at any moment loses nothing and doubles nothing; the next one does the"
    " rest",
    f"{RUNS_KILLED} kills",
)
async def test_kills_of_a_run(tmp_path: Path) -> None:
    """Rows, events and audit agree after each; one run more than the next changes nothing."""
    dice = random.Random(3)
    interrupted, path = 0, tmp_path
    async with PretendServices(World.of_size(movies=TITLES - 300, series=300)) as services:
        for trial in range(RUNS_KILLED):
            path = tmp_path / f"{trial // 2}.db"
            after = dice.randrange(1, TITLES * (1 + trial % 2) // 2)
            interrupted += await killed(services, path, after, dice.uniform(0, 0.03))
            sound(path)
        assert interrupted >= RUNS_KILLED // 2
        result = await synced(services, path)
        again = await synced(services, path)
    sound(path)
    assert rows(path, "SELECT COUNT(*) FROM requests") == [(TITLES,)]
    assert (result["outcome"], again["outcome"]) == ("ok", "ok")
    assert (again["added"], again["updated"], again["skipped"]) == (0, 0, TITLES)
    outcomes = [outcome for (outcome,) in rows(path, "SELECT outcome FROM sync_runs ORDER BY id")]
    assert outcomes[-2:] == ["ok", "ok"]
    assert "running" not in outcomes


@promise(
    "A daemon that is killed in the middle of a run goes on where it was at the next start",
    f"{DAEMONS_KILLED} kills",
)
@pytest.mark.asyncio(loop_scope="module")
async def test_kills_of_a_daemon(tmp_path: Path) -> None:
    """The file is sound after each, the next start does the rest, and nothing is there twice."""
    dice, coming, kills = random.Random(5), iter(films(TITLES * 10)), 0
    async with a_house(tmp_path, World(), sync={"quick": 0, "batch_size": 5}) as house:
        path = house.place.database
        while kills < DAEMONS_KILLED:
            await kill(house)
            kills += at_work(path)
            sound(path)
            target = tracked(path) + dice.randrange(80)
            for film in itertools.islice(coming, 100):
                house.world.add_movie(film)
            await house.start()
            await until(lambda: tracked(path) > target)  # noqa: B023
        await until(lambda: house.runs()[-1] == FIRST)
        assert rows(path, CONSISTENT) == [(len(house.world.movies),) * 5]
        again = await house.ask("POST", "/admin/sync")
        assert (again["outcome"], again["added"], again["updated"]) == ("ok", 0, 0)
        sound(path)
