"""A service beside Jellyfin is a client and a line that opens it."""

from __future__ import annotations

from pathlib import Path

from daemon.apply.run import SyncService
from daemon.domain import Trigger
from daemon.opening import open_services, options
from daemon.report.check import run_checks
from daemon.store import open_store
from tests.builders import ACTOR, QUICK, configured
from tests.pretend import Fault, PretendServices
from tests.running import a_world


async def test_a_client_among_the_others_is_told_of_like_them(tmp_path: Path) -> None:
    """What is checked, measured and counted is whatever is configured, in its order."""
    world = a_world()
    world.further["radarr_4k"] = {}
    async with PretendServices(world, besides=("seerr",)) as running:
        settings = configured(running, tmp_path / "tracker.db")
        async with (
            open_services(settings, QUICK) as services,
            open_store(settings.database) as store,
        ):
            found = {one.thing: one async for one in run_checks(services, settings.database)}
            service = SyncService(services, store, options(settings))
            result = await service.run(Trigger.CLI, ACTOR)
            running.fault("seerr", Fault(times=None, status=401))
            refused = [one async for one in run_checks(services, settings.database)]
    names = ["Jellyfin", "Radarr", "Sonarr", "Radarr 4k", "Seerr"]
    assert [*found] == [*names, "clock", "file"]
    assert found["Seerr"].good
    assert "version" in found["Seerr"].text
    assert [one.thing for one in refused if not one.good] == ["Seerr"]
    assert [*service.health.services] == [*result.calls] == names
    assert (result.calls["Radarr 4k"]["calls"], result.calls["Seerr"]["calls"]) == (3, 0)
