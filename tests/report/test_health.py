"""The health of the services: what is known of each, and one log line for each change."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain import SourceFailure
from daemon.report.health import Health, ServiceHealth
from tests.builders import NOW
from tests.pretend import Fault
from tests.running import working

GONE = SourceFailure(
    "Jellyfin", "unreachable", "Jellyfin at http://j: nothing answers; check that it runs"
)
WORSE = SourceFailure(
    "Jellyfin", "refused_key", "Jellyfin at http://j: HTTP 401; make a new API key"
)


class Clock:
    """A clock that moves on by a minute with each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """The time now."""
        self.now += timedelta(minutes=1)
        return self.now


def at(minute: int) -> datetime:
    """The clock's time at its n-th look."""
    return NOW + timedelta(minutes=minute)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level("INFO", logger="daemon")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines about services, without their frame."""
    fields = [record.msg for record in log.records if isinstance(record.msg, dict)]
    return [line for line in fields if line["event"].startswith("service.")]


def test_a_service_that_goes_and_comes_is_two_lines(log: pytest.LogCaptureFixture) -> None:
    """However often it is asked in between, and whatever is wrong with it then."""
    health = Health(["Jellyfin", "Radarr"], Clock())
    health.good("Jellyfin", "10.11.11")
    for gap in (GONE, GONE, WORSE, GONE):
        health.bad(gap)
    down = ServiceHealth(
        *("Jellyfin", False, at(2), at(1), "10.11.11"), problem=GONE.detail, kind=GONE.kind
    )
    assert down == health.services["Jellyfin"]
    health.good("Jellyfin")
    health.good("Jellyfin")
    up = ServiceHealth("Jellyfin", up=True, since=at(6), last_ok=at(7), version="10.11.11")
    assert up == health.services["Jellyfin"]
    assert health.services["Radarr"] == ServiceHealth("Radarr")
    gone, back = lines(log)
    told = {"source": "Jellyfin", "error_kind": "unreachable", "error": GONE.detail}
    assert gone == {"event": "service.down", **told}
    told = {"source": "Jellyfin", "was_down_since": str(at(2))}
    assert back == {"event": "service.up", **told}


async def test_runs_tell_how_the_services_are(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Three runs without Radarr are one line, and the fourth with it another."""
    async with working(tmp_path) as stand:
        stand.services.fault("radarr", Fault(times=None, status=401))
        for _ in range(3):
            await stand.run()
        stand.services.mend("radarr")
        await stand.run()
    told = [(line["event"], line["source"]) for line in lines(log)]
    assert told == [("service.down", "Radarr"), ("service.up", "Radarr")]
