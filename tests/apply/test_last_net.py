"""A defect that one service's answers bring to light is that service's failure, and no other's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from daemon.apply.run import Options, SyncService
from daemon.domain import Scope, Trigger
from daemon.errors import UnforeseenError
from daemon.observe.sources import Services
from daemon.opening import open_services
from daemon.report.check import run_checks
from daemon.report.progress import Feed
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.jellyfin import JellyfinClient
from daemon.store import open_store
from daemon.triggers.queue import Worker
from daemon.triggers.quick import QuickCheck
from tests.builders import ACTOR, POLICY, QUICK, configured
from tests.pretend import PretendServices
from tests.pretend.catalogue import world

GAP = "LookupError; report it, with the traceback that is in the log"


def fail(*_: object, **__: object) -> NoReturn:
    """A defect."""
    raise LookupError("nobody foresaw this")


@pytest.fixture
async def pretend() -> AsyncIterator[PretendServices]:
    """The three services with a few films and series."""
    async with PretendServices(world()) as running:
        yield running


def defective(kind: type, *names: str) -> Any:
    """A client that fails at these questions in a way that it should not."""
    return type(f"Defective{kind.__name__}", (kind,), dict.fromkeys(names, fail))


@asynccontextmanager
async def serving(
    pretend: PretendServices, path: Path, *, radarr: str = "", jellyfin: str = ""
) -> AsyncIterator[tuple[SyncService, Services]]:
    """What runs, with clients that fail at a question each."""
    async with (
        open_services(configured(pretend, path), QUICK) as sound,
        open_store(path) as store,
    ):
        first, *others = sound.of(ArrClient)
        services = Services(
            defective(JellyfinClient, jellyfin)(sound.jellyfin.http),
            (defective(ArrClient, radarr)(first.http, APPLICATIONS["radarr"]), *others),
        )
        yield SyncService(services, store, Options(POLICY.public_url)), services


async def test_radarrs_is_a_gap_and_the_others_are_used(
    pretend: PretendServices, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is partial, has Sonarr's ids, and the log has one line with the traceback."""
    async with serving(pretend, tmp_path / "x.db", radarr="report") as (service, services):
        result = await service.run(Trigger.CLI, ACTOR)
        url = services.of(ArrClient)[0].http.url
    assert (result.outcome.value, result.as_dict()["added"]) == ("partial", 40)
    assert result.as_dict()["error_details"] == [f"Radarr at {url}: {GAP}"]
    assert result.stats.listed.keys() == {"Sonarr"}
    lines = [one.msg for one in caplog.records if isinstance(one.msg, dict)]
    [line] = [one for one in lines if one["event"] == "service.unexpected_error"]
    assert (line["source"], line["error_kind"]) == ("Radarr", "LookupError")
    assert 'raise LookupError("nobody foresaw this")' in line["stack"]


@pytest.mark.parametrize("name", ["server", "activity", "counts", "page", "seasons"])
async def test_jellyfins_fails_the_run_and_the_next_one_is_good(
    pretend: PretendServices, tmp_path: Path, name: str
) -> None:
    """Nothing is written, and the process goes on."""
    path = tmp_path / "x.db"
    async with serving(pretend, path, jellyfin=name) as (service, _):
        failed = await service.run(Trigger.CLI, ACTOR)
        again = await service.run(Trigger.CLI, ACTOR)
    assert [failed.outcome.value, again.outcome.value, failed.as_dict()["added"]] == [
        "failed",
        "failed",
        0,
    ]
    assert failed.stats.failure is not None
    assert (failed.stats.failure.service, failed.stats.failure.kind) == ("Jellyfin", "unforeseen")
    async with serving(pretend, path) as (service, _):
        assert (await service.run(Trigger.CLI, ACTOR)).outcome.value == "ok"


async def test_a_hinted_run_is_caught_as_well(pretend: PretendServices, tmp_path: Path) -> None:
    """Of Radarr a gap, of Jellyfin a failure."""
    number = next(iter(pretend.world.movies))
    scope = Scope(frozenset({number}))
    async with serving(pretend, tmp_path / "x.db", radarr="of_tmdb") as (service, _):
        partial = await service.run(Trigger.WEBHOOK, ACTOR, scope)
    async with serving(pretend, tmp_path / "x.db", jellyfin="look_up") as (service, _):
        failed = await service.run(Trigger.WEBHOOK, ACTOR, scope)
    assert [gap.kind for gap in partial.stats.gaps] == ["unforeseen"]
    assert (partial.as_dict()["added"], failed.outcome.value) == (1, "failed")


async def test_a_quick_check_is_caught_as_well(pretend: PretendServices, tmp_path: Path) -> None:
    """Also before the library was read: whoever asked for it goes on."""
    async with serving(pretend, tmp_path / "x.db", jellyfin="server") as (service, services):
        quick = QuickCheck(services.jellyfin, service, Worker(service, Feed(), 1))
        with pytest.raises(UnforeseenError):
            await quick.check()


async def test_check_names_it(pretend: PretendServices, tmp_path: Path) -> None:
    """What is asked after it is told all the same."""
    async with serving(pretend, tmp_path / "x.db", radarr="check") as (_, services):
        found = {one.thing: one async for one in run_checks(services, tmp_path / "x.db")}
    assert (found["Radarr"].good, found["Sonarr"].good) == (False, True)
    assert found["Radarr"].text.endswith(GAP)
