"""One run of library-sync in this process, with a watch on its event loop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from pathlib import Path

from daemon import __version__, logs
from daemon.domain import Actor, Trigger
from daemon.opening import open_sync
from daemon.settings import Settings
from tests.bench.measure import KEY, peak_memory
from tests.bench.profiler import profiled

_TICK = 0.002


class _Watch:
    """Looks for the worst, in milliseconds.

    Attributes:
        lag: how long the loop kept a task waiting that wanted to run.
        own: the same as far as this process was computing meanwhile, on any thread: what other
            processes took of the machine is not in it.
        collection: the longest garbage collection.
    """

    def __init__(self) -> None:
        self.lag = self.own = self.collection = self._began = 0.0
        gc.callbacks.append(self._garbage_collection)

    async def loop(self) -> None:
        """Look until cancelled."""
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(_TICK)
            late = (time.perf_counter() - wall - _TICK) * 1000
            self.lag = max(self.lag, late)
            self.own = max(self.own, min(late, (time.process_time() - cpu) * 1000))

    def _garbage_collection(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        self.collection = max(self.collection, (now - self._began) * 1000)


async def _run(settings: Settings) -> dict[str, float]:
    watch = _Watch()
    gc.freeze()  # as the daemon does when it is ready
    task = asyncio.create_task(watch.loop())
    async with open_sync(settings) as service:
        result = (await service.run(Trigger.CLI, Actor("cli", "bench"))).as_dict()
    task.cancel()
    figures = {"lag": watch.lag, "own": watch.own, "collection": watch.collection}
    figures["written"] = result["added"] + result["updated"]
    for service_name, calls in result["calls"].items():
        figures |= {f"{service_name} {name}": value for name, value in calls.items()}
    return figures


def main(urls: dict[str, str], database: Path, *, profile: bool) -> None:
    """Run once, logging as under systemd, but to nowhere."""
    services = {name: {"url": url, "api_key": KEY} for name, url in urls.items()}
    settings = Settings.model_validate({**services, "database": database})
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logs.configure(
            format="json",
            level=settings.log.level,
            secrets=settings.secrets(),
            version=__version__,
            stream=nowhere,
        )
        with profiled(sys.stderr) if profile else contextlib.nullcontext():
            figures = asyncio.run(_run(settings))
        logs.reset()
    print(json.dumps({**figures, "peak": peak_memory()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", type=json.loads)
    parser.add_argument("database", type=Path)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    main(given.urls, given.database, profile=given.profile)
