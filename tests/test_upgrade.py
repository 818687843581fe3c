"""A tracker's file that version 1.0 worked on for a while goes on under this version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.builders import rows
from tests.pretend.catalogue import world
from tests.pretend.library import Movie
from tests.running import until
from tests.test_daemon import Place, Running, a_place

RECORDED = Path(__file__).parent / "recorded" / "tracker" / "version-1.0.sql"
"""Made by version 1.0: 11 runs, an audit of 27 events, a removal that was undone, and a plan of
run 11 that holds the removal of all 31 films, whose disk is away."""

TOKEN = "the-token-of-the-admin"
PLAN = 11


def restore(path: Path) -> None:
    """Make the file from its recording."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(RECORDED.read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Where the films' disk is still away."""
    library = world()
    library.add_movie(Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"}))
    library.library_offline("Movies")
    async with a_place(tmp_path, library) as made:
        made.configure(
            http={"port": 0, "admin_token": TOKEN},
            sync={"on_start": False},
            removal={"grace": "1s"},
        )
        restore(made.database)
        yield made


async def ask(daemon: Running, method: str, path: str) -> Any:
    """What the admin API answers."""
    url = daemon.logged("daemon.ready")[0]["url"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.request(method, f"{url}{path}", headers=headers) as reply:
        assert reply.status in {200, 202}, await reply.text()
        return await reply.json()


async def started(place: Place) -> Running:
    """A daemon that has looked through its audit."""
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.logged("audit.verified") or daemon.logged("audit.broken"))
    return daemon


async def test_the_chain_of_the_audit_goes_on(place: Place) -> None:
    """The old events are whole, and new ones are linked to them."""
    daemon = await started(place)
    [verified] = daemon.logged("audit.verified")
    assert verified["events"] == 27
    await ask(daemon, "POST", "/admin/sync")
    await daemon.end()
    code, output, _ = await place.ended("audit", "verify")
    assert code == 0, output


async def test_the_history_is_told_as_before(place: Place) -> None:
    """Every run with its counts, and what was decided in it."""
    daemon = await started(place)
    runs = (await ask(daemon, "GET", "/admin/runs"))["runs"]
    assert [run["id"] for run in runs] == [*range(11, 0, -1)]
    assert {run["id"]: run["outcome"] for run in runs}[PLAN] == "held"
    removal = await ask(daemon, "GET", "/admin/runs/9")
    assert removal["result"]["removed"] == 1
    assert [(one["kind"], one["title"]) for one in removal["decisions"]] == [("remove", "Detour")]


async def test_the_plan_that_waits_can_be_approved_and_undone(place: Place) -> None:
    """Its evidence still counts: exactly those 31 films go, and come back as they were."""
    daemon = await started(place)
    before = rows(place.database, "SELECT * FROM requests ORDER BY id")
    plan = (await ask(daemon, "GET", f"/admin/runs/{PLAN}"))["plan"]
    assert (plan["state"], len(plan["titles"])) == ("open", 31)
    run = (await ask(daemon, "POST", f"/admin/runs/{PLAN}/approve"))["run_id"]
    await until(lambda: len(rows(place.database, "SELECT id FROM requests")) == 11)
    await until(lambda: _removed(place, run) == 31)
    left = {number for (number,) in rows(place.database, "SELECT id FROM requests")}
    assert left == {row[0] for row in before} - {title["request_id"] for title in plan["titles"]}
    undone = await ask(daemon, "POST", f"/admin/runs/{run}/undo")
    assert len(undone["titles"]) == 31
    assert rows(place.database, "SELECT * FROM requests ORDER BY id") == before


def _removed(place: Place, run: int) -> int | None:
    """How many titles a run removed; None until it has ended."""
    [(result,)] = rows(place.database, f"SELECT result FROM sync_runs WHERE id = {run}")
    return None if result is None else int(json.loads(result)["removed"])


async def test_what_came_back_is_seen_and_nothing_is_doubled(place: Place) -> None:
    """With its disk the films are there again, the plan is dropped, and no row is new."""
    place.services.world.library_online("Movies")
    daemon = await started(place)
    before = {row[0] for row in rows(place.database, "SELECT id FROM requests")}
    result = await ask(daemon, "POST", "/admin/sync")
    assert (result["outcome"], result["held"], result["removed"]) == ("ok", 0, 0)
    assert before <= {row[0] for row in rows(place.database, "SELECT id FROM requests")}
    plan = (await ask(daemon, "GET", f"/admin/runs/{PLAN}"))["plan"]
    assert plan["state"] != "open"
