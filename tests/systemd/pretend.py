"""Runs the pretend services where the daemon runs, and configures the daemon to use them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.triggers.heartbeat import Notifier
from tests.pretend import PretendServices
from tests.pretend.catalogue import world

CONFIG = """\
jellyfin: {{url: "{jellyfin}"}}
radarr: {{url: "{radarr}"}}
"""


async def _serve() -> None:
    async with PretendServices(world()) as services:
        config = CONFIG.format(jellyfin=services.jellyfin_url, radarr=services.radarr_url)
        Path("/etc/library-sync/config.yaml").write_text(config)
        store = Path("/etc/credstore")
        (store / "library-sync.jellyfin_api_key").write_text(services.jellyfin_key)
        (store / "library-sync.radarr_api_key").write_text(services.radarr_key)
        Notifier().ready("Pretending")
        await asyncio.Event().wait()


asyncio.run(_serve())
