"""Runs, dry runs, the history and the audit, as an administrator asks for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout

from daemon.domain import Actor
from daemon.store import audit, history
from daemon.store.audit import AuditEvent
from tests.builders import rows
from tests.pretend import Fault
from tests.running import until
from tests.web.support import AS_CRON, SLOWLY, Stand, standing

ENDLESS = Fault(SLOWLY, stall=60)
A_MOMENT = Fault(SLOWLY, stall=0.2)
FIRST_FIVE = ["total_scanned", "added", "skipped", "errors", "error_details"]
TITLES = "SELECT title FROM requests ORDER BY title"


async def running(stand: Stand, fault: Fault = ENDLESS) -> int:
    """Start a run that waits for Jellyfin; gives its number."""
    before = stand.readings()
    stand.services.fault("jellyfin", fault)
    answer = await stand.ask("POST", "/admin/sync?wait=false")
    await until(lambda: stand.readings() > before)
    return int(answer.json["run_id"])


@pytest.mark.parametrize("path", ["/admin/sync", "/api/admin/sync/library"])
async def test_a_sync_answers_when_the_run_has_ended(stand: Stand, path: str) -> None:
    """With the five keys that the tracker's front end reads, first and in their order."""
    answer = await stand.ask("POST", path)
    assert (answer.status, [*answer.json][:5]) == (200, FIRST_FIVE)
    assert tuple(answer.json[name] for name in ("total_scanned", "added", "outcome", "run_id")) == (
        2,
        2,
        "ok",
        1,
    )
    assert rows(stand.file, TITLES) == [("Metropolis",), ("The Show",)]
    [event] = await stand.audited("sync.asked")
    assert tuple(
        event[name] for name in ("actor_kind", "actor_name", "run_id", "target", "after")
    ) == ("user", "admin", 1, "run 1", {"address": "127.0.0.1"})


async def test_a_sync_that_is_not_waited_for_answers_with_the_runs_address(tmp_path: Path) -> None:
    """202 and a Location, under the base path, where the run can be watched."""
    async with standing(tmp_path, base_path="/library-sync") as stand:
        answer = await stand.ask("POST", "/admin/sync?wait=false", json={})
        assert (answer.status, answer.headers["Location"]) == (202, "/library-sync/admin/runs/1")
        assert tuple(answer.json[name] for name in ("run_id", "trigger", "kind")) == (
            1,
            "admin",
            "full",
        )
        await until(lambda: stand.parts.worker.last)
        assert (await stand.ask("GET", "/admin/runs/1")).json["outcome"] == "ok"


async def test_a_dry_run_answers_with_the_plan_and_writes_nothing(stand: Stand) -> None:
    """No row and no run; but that somebody asked is in the audit."""
    answer = await stand.ask("POST", "/admin/sync", AS_CRON, json={"dry_run": True})
    assert (
        answer.status,
        *(answer.json[name] for name in ("dry_run", "run_id", "added")),
    ) == (200, True, None, 2)
    assert [entry["decision"] for entry in answer.json["plan"]] == ["add", "add"]
    assert (
        rows(stand.file, TITLES),
        (await stand.parts.store.read(history.runs, None, 1)).rows,
    ) == ([], [])
    [event] = await stand.audited("sync.previewed")
    assert (event["actor_kind"], event["actor_name"]) == ("token", "admin token")


async def test_a_hundred_calls_during_a_run_are_one_more_run(busy: Stand) -> None:
    """Whoever calls during a run gets the next one, which is shared."""
    await running(busy, A_MOMENT)
    answers = await asyncio.gather(*(busy.ask("POST", "/admin/sync") for _ in range(100)))
    assert {(200, 2)} == {(answer.status, answer.json["run_id"]) for answer in answers}
    assert [run.id for run in (await busy.parts.store.read(history.runs, None, 9)).rows] == [
        2,
        1,
    ]


async def test_a_client_that_goes_away_does_not_end_the_run(stand: Stand) -> None:
    """Nor does it take the run from others who wait for it."""
    await running(stand, A_MOMENT)
    other = asyncio.create_task(stand.ask("POST", "/admin/sync"))
    with pytest.raises(TimeoutError):
        await stand.ask("POST", "/admin/sync", timeout=ClientTimeout(total=0.05))
    answer = await other
    assert (answer.status, answer.json["run_id"], answer.json["outcome"]) == (200, 2, "ok")


async def test_a_partial_run_is_no_error_of_the_call(stand: Stand) -> None:
    """200 with an outcome and the reasons: what could be done was done."""
    stand.services.fault("radarr", Fault(status=500, times=None))
    answer = await stand.ask("POST", "/admin/sync")
    assert (answer.status, answer.json["outcome"], answer.json["added"]) == (200, "partial", 2)
    assert answer.json["errors"] == 1


async def test_a_failed_run_is_a_problem_that_carries_the_result(stand: Stand) -> None:
    """502, since it is Jellyfin that did not answer as it should."""
    stand.services.fault("jellyfin", Fault("/Items", status=404, times=None))
    answer = await stand.ask("POST", "/admin/sync")
    assert (answer.status, "Jellyfin" in answer.detail) == (502, True)
    assert (
        answer.json["result"]["outcome"],
        [*answer.json["result"]][:5],
    ) == ("failed", FIRST_FIVE)


async def test_the_state_is_the_last_the_running_the_waiting_and_the_next_run(
    stand: Stand,
) -> None:
    """The last one is the last that ended, also one of before a restart."""
    await stand.ask("POST", "/admin/sync")
    number = await running(stand)
    stand.parts.worker.enqueue(stand.parts.worker.running.trigger, Actor("cli", "x"))  # type: ignore[union-attr]
    state = (await stand.ask("GET", "/admin/sync")).json
    assert (state["last"]["id"], state["last"]["outcome"]) == (1, "ok")
    assert (number, "running") == (state["running"]["run_id"], state["running"]["state"])
    assert (number + 1, "waiting") == (state["waiting"]["run_id"], state["waiting"]["state"])
    assert (
        state["now"],
        state["next_run"],
    ) == ("2026-11-20T12:00:00+00:00", "2026-11-20T18:00:00+00:00")


async def test_the_history_is_read_page_by_page(stand: Stand) -> None:
    """A cursor tells where to go on, so that a run that ends meanwhile moves nothing."""
    for _ in range(3):
        await stand.ask("POST", "/admin/sync")
    first = (await stand.ask("GET", "/admin/runs?limit=2")).json
    await stand.ask("POST", "/admin/sync")
    second = (await stand.ask("GET", f"/admin/runs?limit=2&before={first['next_before']}")).json
    assert ([run["id"] for run in first["runs"]], first["next_before"]) == ([3, 2], 2)
    assert ([run["id"] for run in second["runs"]], second["next_before"]) == ([1], None)


async def test_a_run_is_told_with_what_it_decided(stand: Stand) -> None:
    """Page by page as well: a first run decides about every title."""
    await stand.ask("POST", "/admin/sync")
    first = (await stand.ask("GET", "/admin/runs/1?limit=1")).json
    rest = (await stand.ask("GET", f"/admin/runs/1?after={first['next_after']}")).json
    assert (first["progress"], first["outcome"], first["next_after"]) == (None, "ok", 1)
    assert ({"Metropolis", "The Show"}, None) == (
        {one["title"] for page in (first, rest) for one in page["decisions"]},
        rest["next_after"],
    )


async def test_a_run_that_has_not_ended_is_told_from_its_ticket(stand: Stand) -> None:
    """One that waits has no row in the history yet."""
    number = await running(stand)
    await stand.ask("POST", "/admin/sync?wait=false")
    going = (await stand.ask("GET", f"/admin/runs/{number}")).json
    waiting = (await stand.ask("GET", f"/admin/runs/{number + 1}")).json
    assert (going["outcome"], going["progress"]["phase"]) == ("running", "asking the services")
    assert tuple(waiting[name] for name in ("outcome", "started_at", "decisions")) == (
        "waiting",
        None,
        [],
    )


async def test_cancelling_ends_the_run_that_is_going(stand: Stand) -> None:
    """Whoever waited for it is told so, and the audit tells by whom."""
    number = await running(stand)
    other = asyncio.create_task(stand.ask("POST", "/admin/sync", AS_CRON))
    await until(lambda: stand.parts.worker.waiting)
    answer = await stand.ask("POST", f"/admin/runs/{number}/cancel")
    assert (202, number) == (answer.status, answer.json["run_id"])
    assert (await other).status == 200
    assert (await stand.ask("GET", f"/admin/runs/{number}")).json["outcome"] == "interrupted"
    [event] = await stand.audited("run.cancelled")
    assert ("admin", f"run {number}") == (event["actor_name"], event["target"])


async def test_whoever_waits_for_a_cancelled_run_is_told_so(stand: Stand) -> None:
    """409 if it had begun, 503 if it had not."""
    stand.services.fault("jellyfin", ENDLESS)
    first = asyncio.create_task(stand.ask("POST", "/admin/sync"))
    await until(stand.readings)
    second = asyncio.create_task(stand.ask("POST", "/admin/sync"))
    await until(lambda: stand.parts.worker.waiting)
    for number in (2, 1):
        assert (await stand.ask("POST", f"/admin/runs/{number}/cancel")).status == 202
    answers = [await first, await second]
    assert [answer.status for answer in answers] == [409, 503]
    assert answers[0].json["result"]["outcome"] == "interrupted"


async def test_only_what_goes_or_waits_can_be_cancelled(stand: Stand) -> None:
    """An ended run is 409, an unknown one 404."""
    await stand.ask("POST", "/admin/sync")
    ended = await stand.ask("POST", "/admin/runs/1/cancel")
    unknown = await stand.ask("POST", "/admin/runs/77/cancel")
    assert (ended.status, unknown.status) == (409, 404)
    assert unknown.detail == "there is no run 77"
    assert await stand.audited("run.cancelled") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [4, 3, 2, 1]),
        ("action=title.filled", [3, 2]),
        ("actor=Åsa%20%26%20Bo", [2]),
        ("run_id=7", [4, 3]),
        ("target=request%2012", [1]),
        ("action=title.filled&run_id=7", [3]),
        ("since=2026-11-20T11:00:00%2B00:00", [4, 3, 2, 1]),
        ("since=2026-11-20T15:00:00.000001%2B03:00", []),
        ("until=2026-11-20T12:00:00Z", []),
        ("before=3", [2, 1]),
        ("action=nothing", []),
    ],
)
async def test_the_audit_is_narrowed_by_what_is_asked(
    tmp_path: Path, query: str, expected: list[int]
) -> None:
    """Each filter narrows, several together narrow more."""
    async with standing(tmp_path) as stand:
        for event in (
            AuditEvent("run.ended", Actor("cli", "a"), 6, target="request 12"),
            AuditEvent("title.filled", Actor("cli", "Åsa & Bo"), 6),
            AuditEvent("title.filled", Actor("cli", "a"), 7, after={"year": 1}),
            AuditEvent("run.ended", Actor("cli", "a"), 7),
        ):
            await stand.parts.store.write(audit.append, event)
        answer = await stand.ask("GET", f"/admin/audit?{query}")
        assert expected == [event["seq"] for event in answer.json["events"]]


async def test_the_audit_is_read_page_by_page(stand: Stand) -> None:
    """To its beginning, and then there is no cursor."""
    for number in range(5):
        await stand.parts.store.write(audit.append, AuditEvent("x", Actor("cli", "a"), number))
    seen: list[list[int]] = []
    page: dict[str, Any] = {"next_before": 2**63 - 1}
    while page["next_before"]:
        page = (await stand.ask("GET", f"/admin/audit?limit=2&before={page['next_before']}")).json
        seen.append([event["seq"] for event in page["events"]])
    assert (seen, page["next_before"]) == ([[5, 4], [3, 2], [1]], None)
