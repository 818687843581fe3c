"""Passes over titles on their way, and quick looks: asked for by webhooks and by people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.apply.test_pending import later
from tests.builders import rows
from tests.pretend import Fault
from tests.pretend.library import Movie
from tests.running import METROPOLIS, a_world, until
from tests.web.support import AS_CRON, HOOK_SECRET, Stand, standing

RECORDED = Path(__file__).parents[1] / "recorded" / "hooks"
AS_SENDER = {"X-Library-Sync-Secret": HOOK_SECRET}
FILM = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"})
STATES = "SELECT state FROM requests WHERE title = ?"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A site with a Seerr, after a first full run."""
    async with standing(tmp_path, besides=("seerr", "qbittorrent")) as made:
        await made.ask("POST", "/admin/sync")
        yield made


@asynccontextmanager
async def watched(stand: Stand) -> AsyncIterator[None]:
    """With passes that are made by themselves; the next one is minutes away."""
    assert stand.parts.pending is not None
    task = asyncio.create_task(stand.parts.pending.serve())
    try:
        await until(lambda: stand.services.calls("seerr"))
        await asyncio.sleep(0.2)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def states(stand: Stand) -> list[Any]:
    """The states of the film's rows."""
    return [state for (state,) in rows(stand.file, STATES, FILM.title)]


async def passed(stand: Stand, **body: Any) -> dict[str, Any]:
    """The reply to a pass that is asked for."""
    answer = await stand.ask("POST", "/admin/sync", json={"kind": "pending", **body})
    assert answer.status == 200
    document: dict[str, Any] = answer.json
    return document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"[" * 60_000,
        b'{"notification_type":"MEDIA_PENDING","media":null}',
        b'{"notification_type":"TEST_NOTIFICATION"}',
        b'"{\\"twice\\": \\"encoded\\"}"',
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=nonsense", "x"])
async def test_whatever_seerr_sends_is_taken(stand: Stand, body: bytes, kind: str) -> None:
    """Its templates are made by people, and what it sends is never sent again."""
    headers = {"Authorization": f"Bearer {HOOK_SECRET}", "Content-Type": kind}
    answer = await stand.ask("POST", "/hooks/seerr", headers, data=body)
    assert (answer.status, answer.json) == (202, {"taken": "Seerr"})
    assert (await stand.ask("POST", "/hooks/seerr", {}, data=body)).status == 401


async def test_what_moves_a_title_is_taken_of_radarr_and_sonarr(stand: Stand) -> None:
    """Each recorded hook, under either address; one of another kind does nothing."""
    for sender in ("radarr", "sonarr"):
        hooks: dict[str, Any] = json.loads((RECORDED / f"{sender}.json").read_text())
        for name, hook in hooks.items():
            kind = hook["eventType"]
            moves = kind in {"Download", "Rename", "ManualInteractionRequired"} or "Delete" in kind
            for address in ("radarr", "sonarr"):
                answer = await stand.ask("POST", f"/hooks/{address}", AS_SENDER, json=hook)
                expected = (202, {"taken": kind}) if moves else (200, {"taken": ""})
                assert (answer.status, answer.json) == expected, name
    assert stand.parts.hints.statistics.totals["ManualInteractionRequired"] == 4


async def test_without_a_seerr_a_grab_is_nothing(tmp_path: Path) -> None:
    """Nobody has said that titles on their way are wanted."""
    async with standing(tmp_path) as stand:
        for path, reply in (("radarr", (200, {"taken": ""})), ("seerr", (202, {"taken": ""}))):
            answer = await stand.ask(
                "POST", f"/hooks/{path}", AS_SENDER, json={"eventType": "Grab"}
            )
            assert (answer.status, answer.json) == reply
        answer = await stand.ask("POST", "/admin/sync", json={"kind": "pending"})
        assert answer.status == 409
        assert "seerr is not configured" in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("seerr", {"notification_type": "MEDIA_PENDING"}),
        ("radarr", {"eventType": "Grab", "movie": {"id": 1, "tmdbId": 2760}}),
        ("radarr/4k", {"eventType": "MovieAdded", "movie": {"id": 1, "tmdbId": 2760}}),
        ("sonarr", {"eventType": "ManualInteractionRequired"}),
    ],
)
async def test_a_webhook_leads_to_a_pass_at_once(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    """Of Seerr, and of every Radarr and Sonarr."""
    world = a_world()
    world.further = {"radarr_4k": {}}
    async with standing(tmp_path, world=world, besides=("seerr",)) as stand:
        await stand.ask("POST", "/admin/sync")
        async with watched(stand):
            stand.services.pipeline.request(FILM)
            await stand.ask("POST", f"/hooks/{path}", AS_SENDER, json=body)
            await until(lambda: states(stand) == ["REQUESTED"])


async def test_a_pass_is_had_on_demand(stand: Stand) -> None:
    """It has a number only where it changed something; the history and its page tell of that."""
    stand.services.pipeline.request(FILM)
    first = await passed(stand)
    assert (first["awaited"], first["outcome"], first["kind"]) == (1, "ok", "pending")
    again = await passed(stand)
    assert (again["run_id"], again["awaited"], again["moved"]) == (None, 0, 0)
    run = (await stand.ask("GET", f"/admin/runs/{first['run_id']}")).json
    assert (run["trigger"], run["result"]["kind"]) == ("admin", "pending")
    assert [one["reason"] for one in run["decisions"]] == ["requested_and_not_tracked"]
    listed = (await stand.ask("GET", "/admin/runs")).json["runs"]
    assert [one["result"]["kind"] for one in listed] == ["pending", "full"]
    [asked, nothing] = (await stand.audited("sync.asked"))[1:]
    assert (asked["run_id"], nothing["run_id"]) == (first["run_id"], None)
    figures = (await stand.ask("GET", "/metrics", {})).text
    for kind in ("full", "pending"):
        ended = f'library_sync_runs_total{{kind="{kind}",outcome="ok",trigger="admin"}} 1.0'
        assert ended in figures
    assert "library_sync_run_duration_seconds_count 1.0" in figures
    wrong = {"kind": "pending", "dry_run": True}
    assert (await stand.ask("POST", "/admin/sync", json=wrong)).status == 409
    assert (await stand.ask("POST", "/admin/sync", json={"kind": "other"})).status == 400


async def test_a_pass_says_which_source_was_away(stand: Stand) -> None:
    """Then it is partial, and takes nothing back."""
    stand.services.pipeline.request(FILM)
    await passed(stand)
    stand.services.fault("seerr", Fault(status=503, times=None))
    away = await passed(stand)
    assert (away["outcome"], away["run_id"], states(stand)) == ("partial", None, ["REQUESTED"])
    assert "Seerr" in away["error_details"][0]


async def test_a_pass_never_waits_behind_a_full_run(stand: Stand) -> None:
    """Nor does it end that run in the history; and the run goes on beside it."""
    stand.services.fault("jellyfin", Fault("/Items", stall=5, times=1))
    running = asyncio.create_task(stand.ask("POST", "/admin/sync", AS_CRON))
    await until(lambda: stand.parts.worker.running)
    number = stand.parts.worker.running
    assert number is not None
    stand.services.pipeline.request(FILM)
    done = await passed(stand)
    assert (done["awaited"], states(stand)) == (1, ["REQUESTED"])
    assert stand.parts.worker.running is number
    open_now = rows(stand.file, "SELECT id, outcome FROM sync_runs WHERE outcome <> 'ok'")
    assert open_now == [(number.number, "running")]
    assert done["run_id"] > number.number
    assert (await running).json["outcome"] == "ok"


async def test_a_quick_look_is_had_on_demand(stand: Stand) -> None:
    """Where Jellyfin has saved nothing, no run follows; else its result is the reply."""
    answer = await stand.ask("POST", "/admin/sync", json={"kind": "quick"})
    while answer.json["run_id"]:  # what was saved just before the first full run is looked at
        await asyncio.sleep(0.1)
        answer = await stand.ask("POST", "/admin/sync", json={"kind": "quick"})
    assert (answer.status, answer.json["outcome"], answer.json["kind"]) == (200, "ok", "quick")
    stand.services.world.add_movie(FILM)
    answer = await stand.ask("POST", "/admin/sync", json={"kind": "quick"})
    assert (answer.json["kind"], answer.json["added"]) == ("hinted", 1)
    stand.services.fault("jellyfin", Fault(status=503, times=None))
    answer = await stand.ask("POST", "/admin/sync", json={"kind": "quick"})
    assert answer.status == 502


async def test_a_webhook_tells_that_a_file_makes_way_for_a_better_one(stand: Stand) -> None:
    """As Radarr sends it, before the copy begins; the title does not count as missing then."""
    hooks: dict[str, Any] = json.loads((RECORDED / "radarr.json").read_text())
    hook = hooks["12_MovieFileDelete_upgrade"]
    hook["movie"]["tmdbId"] = int(METROPOLIS.provider_ids["Tmdb"])
    stand.services.world.remove(METROPOLIS.jellyfin_id)
    assert (await stand.ask("POST", "/hooks/radarr", AS_SENDER, json=hook)).status == 202
    await stand.ask("POST", "/admin/sync")
    assert rows(stand.file, "SELECT * FROM sync_absences") == []
    assert rows(stand.file, STATES, METROPOLIS.title) == [("AVAILABLE",)]


async def test_a_withdrawal_that_is_held_is_approved_by_the_api(stand: Stand) -> None:
    """A pass follows at once, and carries it out; no run has to."""
    pipeline = stand.services.pipeline
    films = [Movie.named(f"Film {at}", 1930 + at, {"Tmdb": f"{9000 + at}"}) for at in range(8)]
    wishes = [pipeline.request(film) for film in films]
    await passed(stand)
    for wish in wishes:
        pipeline.withdraw(wish)
    for _ in range(2):
        await passed(stand)
        later(stand.file, 300)
    await passed(stand)
    found = (await stand.ask("GET", "/admin/attention")).json["findings"]
    held = [one for one in found if one["action"] == "withdraw"]
    assert len(held) == 8
    async with watched(stand):
        named = {name: held[0][name] for name in ("kind", "target")}
        wrong = {"do": "remove", **named}
        assert (await stand.ask("POST", "/admin/attention", json=wrong)).status == 409
        answer = await stand.ask("POST", "/admin/attention", json={"do": "withdraw", **named})
        assert (answer.status, answer.json["run_id"]) == (200, None)
        left = "SELECT COUNT(*) FROM requests WHERE jellyseerr_id NOT NULL"
        await until(lambda: rows(stand.file, left) == [(7,)])
    [event] = await stand.audited("withdrawal.approved")
    assert (event["target"], event["after"]) == (named["target"], {"address": "127.0.0.1"})
