"""Held plans, undo, titles and what needs attention, over HTTP."""

from __future__ import annotations

from datetime import timedelta

from daemon.domain import Absent, Actor, Evidence, Fate, Held, MediaType, Missed
from daemon.reasons import Count
from daemon.store import evidence, plans, syncing
from tests.pretend import Fault
from tests.web.support import AS_CRON, Stand

WEEK = timedelta(days=7)


async def held_plan(stand: Stand) -> int:
    """A first run, and a plan that holds two of its titles."""
    result = (await stand.ask("POST", "/admin/sync")).json
    tracked = await stand.parts.store.read(syncing.tracked)
    films = [row for row in tracked.rows if row.media_type is MediaType.MOVIE][:2]
    assert films
    waiting = await plans.hold(
        stand.parts.store,
        result["run_id"],
        [Held(film, "30 of 30 titles are missing") for film in films],
        WEEK,
    )
    assert waiting is not None
    assert waiting == result["run_id"]
    return waiting


async def test_a_held_plan_is_shown_with_its_run(stand: Stand) -> None:
    """Every title with why it is held."""
    number = await held_plan(stand)
    plan = (await stand.ask("GET", f"/admin/runs/{number}")).json["plan"]
    assert plan["state"] == "open"
    assert plan["titles"][0]["why"] == "30 of 30 titles are missing"


async def test_an_approved_plan_starts_a_run_that_looks_again(stand: Stand) -> None:
    """The titles are there after all, so nothing is removed; a second approval is refused."""
    number = await held_plan(stand)
    before = await stand.parts.store.read(syncing.tracked)
    answer = await stand.ask("POST", f"/admin/runs/{number}/approve")
    assert answer.status == 202
    ticket = stand.parts.worker.waiting or stand.parts.worker.running
    assert ticket is not None
    result = await ticket.result
    assert result is not None
    assert result.stats[Count.REMOVED] == 0
    assert len((await stand.parts.store.read(syncing.tracked)).rows) == len(before.rows)
    assert (await stand.ask("POST", f"/admin/runs/{number}/approve")).status == 409
    [event] = await stand.audited("plan.approved")
    known = (event["actor_name"], event["run_id"], event["after"])
    assert known == ("admin", number, {"address": "127.0.0.1"})


async def test_a_discarded_plan_is_forgotten(stand: Stand) -> None:
    """The actor is kept in the audit."""
    number = await held_plan(stand)
    answer = await stand.ask("POST", f"/admin/runs/{number}/discard", AS_CRON)
    assert answer.json == {"run_id": number, "state": "discarded"}
    assert (await stand.ask("POST", f"/admin/runs/{number}/approve")).status == 409
    assert [event["actor_name"] for event in await stand.audited("plan.discarded")] == [
        "admin token"
    ]


async def test_a_plan_that_is_not_there_is_not_found(stand: Stand) -> None:
    """Neither of an unknown run nor of one that held nothing."""
    await stand.ask("POST", "/admin/sync")
    for verb in ("approve", "discard"):
        for number in (1, 99):
            assert (await stand.ask("POST", f"/admin/runs/{number}/{verb}")).status == 404


async def test_a_removal_is_undone_by_one_call(stand: Stand) -> None:
    """Title by title, each with what became of it."""
    result = (await stand.ask("POST", "/admin/sync")).json
    tracked = await stand.parts.store.read(syncing.tracked)
    row = tracked.rows[0]
    await stand.parts.store.write(
        syncing.remove, result["run_id"], Actor("admin", "alice"), [Absent(row, Fate.REMOVE)]
    )
    answer = await stand.ask("POST", f"/admin/runs/{result['run_id']}/undo")
    [title] = answer.json["titles"]
    assert (title["target"], title["done"]) == (f"request {row.id}", True)
    assert len((await stand.parts.store.read(syncing.tracked)).rows) == len(tracked.rows)
    assert (await stand.ask("POST", "/admin/runs/99/undo")).status == 404


async def test_a_title_is_explained(stand: Stand) -> None:
    """What is so, why, and what would change it."""
    await stand.ask("POST", "/admin/sync")
    told = (await stand.ask("GET", "/admin/titles/1")).json
    assert told["because"][0].endswith("is AVAILABLE as request 1.")
    assert "so added" in told["because"][1]
    assert told["because"][-1].startswith("It is removed after being missing from 2 more")
    assert (await stand.ask("GET", "/admin/titles/99999")).status == 404


async def test_what_needs_attention_is_listed_with_what_to_do(stand: Stand) -> None:
    """A title on its way out, and one that no provider knows."""
    await stand.ask("POST", "/admin/sync")
    store = stand.parts.store
    row = (await store.read(syncing.tracked)).rows[0]
    await store.write(evidence.note, Evidence([], [], [Missed(row, library_away=False)]))
    found = (await stand.ask("GET", "/admin/attention")).json["findings"]
    assert found[0]["kind"] == "leaving"
    assert found[0]["what"].startswith("nothing to play of it in 1 complete listing since")
    assert found[0]["what"].endswith("UTC; removed after 1 more, 24 h from now at the earliest")
    assert found[0]["todo"]


async def test_what_the_latest_full_run_could_not_read_needs_attention(stand: Stand) -> None:
    """Until one comes that could."""
    stand.services.fault("radarr", Fault(times=None, status=500))
    await stand.ask("POST", "/admin/sync")
    [found, *_] = (await stand.ask("GET", "/admin/attention")).json["findings"]
    assert (found["kind"], found["title"]) == ("problem", "run 1")
    assert found["what"].startswith("Radarr")
    stand.services.mend("radarr")
    await stand.ask("POST", "/admin/sync")
    findings = (await stand.ask("GET", "/admin/attention")).json["findings"]
    assert "problem" not in {one["kind"] for one in findings}
