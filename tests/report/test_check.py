"""What `check` says of a stack in which something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.opening import open_services
from daemon.report.check import CheckResult, probe, run_checks
from daemon.store import open_store
from tests.builders import QUICK, change, configured, files
from tests.pretend import Fault, PretendServices
from tests.pretend.catalogue import world
from tests.pretend.jellyfin import ADMIN
from tests.upstream import Upstream, reply

Break = Callable[[PretendServices], dict[str, Any]]


async def found(
    services: PretendServices, database: Path, **others: Any
) -> dict[str, tuple[bool, str]]:
    """Everything that is found, by the thing it is about."""
    settings = configured(services, database, **others)
    async with open_services(settings, QUICK) as clients:
        answers = [finding async for finding in run_checks(clients, settings.database)]
    assert all(type(one) is CheckResult for one in answers)
    return {one.thing: (one.good, one.text) for one in answers}


async def test_a_sound_stack_is_told_in_order(tmp_path: Path) -> None:
    """Versions, what the library holds, the clock, and the file; and looking makes no file."""
    database = tmp_path / "tracker.db"
    async with PretendServices(world()) as services:
        answers = await found(services, database, radarr=None)
        assert files(tmp_path) == {}
        async with open_store(database):
            pass
        before = files(tmp_path)
        later = await found(services, database)
    assert [*answers] == ["Jellyfin", "Sonarr", "Radarr", "clock", "file"]
    assert [*later] == ["Jellyfin", "Radarr", "Sonarr", "clock", "file"]
    assert all(good for good, _ in (*answers.values(), *later.values()))
    assert answers["Jellyfin"][1].startswith("10.11.11, idle; 31 movies and 10 series in Movies")
    assert answers["Radarr"][1] == "not configured; its ids stay empty"
    assert answers["clock"][1] == "agrees with Jellyfin's"
    assert "the first run makes it" in answers["file"][1]
    assert later["file"][1].endswith("0 requests, quick check: ok")
    assert files(tmp_path) == before


def at(name: str, place: str) -> Break:
    """A service that is looked for where another one is, with a key that nobody knows."""
    return lambda services: {name: {"url": getattr(services, f"{place}_url"), "api_key": "x"}}


def swapped(services: PretendServices) -> dict[str, Any]:
    """Radarr's place holds Sonarr, and the other way round."""
    radarr = {"url": services.radarr_url, "api_key": services.radarr_key}
    sonarr = {"url": services.sonarr_url, "api_key": services.sonarr_key}
    return {"radarr": sonarr, "sonarr": radarr}


@pytest.mark.parametrize(
    ("name", "others", "words"),
    [
        ("Jellyfin", at("jellyfin", "jellyfin"), "make a new"),
        (
            "Jellyfin",
            at("jellyfin", "radarr"),
            "check the add",
        ),
        (
            "Radarr",
            at("radarr", "radarr"),
            "make a new API key",
        ),
        ("Radarr", swapped, "this is Sonarr"),
        ("Sonarr", swapped, "this is Radarr"),
        ("Sonarr", lambda _: {"sonarr": {"url": "http://127.0.0.1:1", "api_key": "x"}}, "it runs"),
        ("file", lambda _: {"database": "/nowhere/tracker.db"}, "is no directory; make it"),
    ],
)
async def test_what_is_wrong_is_named_with_what_to_do(
    tmp_path: Path, name: str, others: Break, words: str
) -> None:
    """Only the thing that is wrong is called bad, unless the others hang on it."""
    async with PretendServices(world()) as services:
        settings = {"database": tmp_path / "tracker.db", **others(services)}
        answers = await found(services, **settings)
    good, text = answers[name]
    assert not good
    assert words in text
    bad = {thing for thing, (fine, _) in answers.items() if not fine}
    assert bad == ({"Radarr", "Sonarr"} if others is swapped else {name})


async def test_services_of_titles_on_their_way_are_looked_at(tmp_path: Path) -> None:
    """Where they are configured: each by its version once its key is proven, or by its fault."""
    besides = ("seerr", "qbittorrent")
    async with PretendServices(world(), besides=besides) as services:
        good = await found(services, tmp_path / "tracker.db")
        wrong = {
            name: {"url": getattr(services, f"{name}_url"), "api_key": "x"} for name in besides
        }
        wrong["shoko"] = {"url": f"{services.seerr_url}/shoko", "api_key": "x"}
        bad = await found(services, tmp_path / "tracker.db", **wrong)
        login = {"url": services.qbittorrent_url, "username": "admin"}
        login["password"] = services.qbittorrent_key
        by_login = await found(services, tmp_path / "tracker.db", qbittorrent=login)
    assert [*good][3:5] == ["Seerr", "qBittorrent"]
    assert (good["Seerr"], good["qBittorrent"]) == (
        (True, "version 3.1.0"),
        (True, "version 5.3.0"),
    )
    assert by_login["qBittorrent"] == (True, "version 5.3.0")
    assert [bad[name][0] for name in ("Seerr", "qBittorrent", "Shoko")] == [False, False, False]
    assert "make a new API key" in bad["Seerr"][1]
    assert "it rejects this login" in bad["qBittorrent"][1]
    assert "check the address" in bad["Shoko"][1]


async def test_a_library_at_work_and_a_wrong_clock_are_told(tmp_path: Path) -> None:
    """A scan is no fault; a clock that is off by more than a minute is."""
    then = format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)
    counts = json.dumps({"MovieCount": 1, "SeriesCount": 2, "EpisodeCount": 3}).encode()
    async with PretendServices(world()) as services:
        services.world.scanning = True
        late = Fault(path="/Items/Counts", body=counts, headers={"Date": then})
        services.fault("jellyfin", late)
        answers = await found(services, tmp_path / "tracker.db")
    assert answers["Jellyfin"][0]
    assert "scanning its library now; 1 movies and 2 series" in answers["Jellyfin"][1]
    assert not answers["clock"][0]
    assert "ahead of Jellyfin's; let both machines keep time by NTP" in answers["clock"][1]


async def test_a_key_that_is_a_persons_token_is_bad(tmp_path: Path) -> None:
    """It passes every call, and may not see everything; who it is is said, and what to do."""
    async with PretendServices(world()) as services:
        services.jellyfin_key = ADMIN.token
        answers = await found(services, tmp_path / "tracker.db")
    good, text = answers["Jellyfin"]
    assert not good
    assert "the key is the token of admin" in text
    assert [thing for thing, (fine, _) in answers.items() if not fine] == ["Jellyfin"]


async def test_a_library_that_is_described_oddly_is_no_fault(tmp_path: Path) -> None:
    """Whether it is at work is not known then, which is not the same as a wrong address."""
    async with PretendServices(world()) as services:
        services.world.folders_extra.append(None)
        services.world.tasks_extra.append(None)
        good, text = (await found(services, tmp_path / "tracker.db"))["Jellyfin"]
    assert (good, "31 movies and 10 series" in text) == (True, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database at all" * 100, "damaged"), (None, "requests lacks")],
)
async def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """What is no tracker's file is told before a run stumbles over it."""
    database = tmp_path / "tracker.db"
    if content is None:
        change(database, "CREATE TABLE requests (id INTEGER PRIMARY KEY)")
    else:
        database.write_bytes(content)
    async with PretendServices(world()) as services:
        good, text = (await found(services, database))["file"]
    assert (good, words in text) == (False, True)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(200, b'{"ready": true, "reasons": []}'), (True, "ready")),
        (
            reply(503, b'{"reasons": [{"what": "jellyfin", "kind": "unreachable"}]}'),
            (False, "jellyfin: unreachable"),
        ),
    ],
    ids=["ready", "not ready"],
)
async def test_a_daemon_that_is_not_ready_says_why(answer: bytes, told: tuple[bool, str]) -> None:
    """Whoever asks for its health reads the reasons, not only that there are some."""
    async with Upstream([answer]) as daemon:
        assert await probe(daemon.url) == told
