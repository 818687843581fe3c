"""The pages without a script: what they show to whom, and what their forms do."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon import __version__
from daemon.domain import Absent, Add, Fate, Held, Ids, Outcome, Scope, SourceFailure, Trigger
from daemon.report import audited
from daemon.store import history, plans, syncing
from tests.answer import Answer
from tests.builders import ACTOR, an_item, change, rows
from tests.pretend import Fault, Service
from tests.running import METROPOLIS, until
from tests.web.people import Person, somebody, synced, words
from tests.web.support import ADMIN_TOKEN, SLOWLY, Stand, standing

WEEK = timedelta(days=7)
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }} {% raw %}",
    "\u202eevil\u202c שלום",
    "x" * 500,
    '=HYPERLINK("http://evil.test")',
]
TITLES = "SELECT title FROM requests ORDER BY title"
ENDLESS = Fault(SLOWLY, stall=60)
PAGES = [
    "/status",
    "/status/runs",
    "/status/runs/1",
    "/status/runs/1/approve",
    "/status/runs/1/undo",
    "/status/titles?q=x",
    "/status/titles/1",
    "/status/attention",
    "/status/audit",
]


async def held(stand: Stand) -> int:
    """The run that holds the film for an admin."""
    await synced(stand)
    number = await synced(stand)
    [film] = [row for row in (await stand.parts.store.read(syncing.tracked)).rows if row.id == 1]
    await plans.hold(stand.parts.store, number, [Held(film, "its disk is away")], WEEK)
    await stand.parts.store.write(history.finish, number, Outcome.HELD, {"held": 1})
    return number


async def removed(stand: Stand) -> int:
    """The run that removed the film, which the library does not have any more."""
    await synced(stand)
    number = await synced(stand)
    stand.services.world.remove(METROPOLIS.jellyfin_id)
    [film] = [row for row in (await stand.parts.store.read(syncing.tracked)).rows if row.id == 1]
    await stand.parts.store.write(syncing.remove, number, ACTOR, [Absent(film, Fate.REMOVE)])
    await stand.parts.store.write(history.finish, number, Outcome.OK, {"removed": 1})
    return number


def led(answer: Answer) -> tuple[int, str]:
    """Where a form led."""
    return answer.status, answer.headers.get("Location", "")


# --- who sees what ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/", "/status/nothing/here"])
async def test_nobody_who_is_not_logged_in_sees_a_page(stand: Stand, path: str) -> None:
    """The login comes instead, and leads on to the page."""
    async with somebody(stand) as person:
        status, where = led(await person.get(path))
        assert (status, where[:11]) == (303, "/login?next")


@pytest.mark.parametrize("path", ["/status/attention", "/status/audit", "/status/runs/1/undo"])
async def test_a_plain_user_sees_no_page_of_administrators(bob: Person, path: str) -> None:
    """And is told why."""
    answer = await bob.get(path)
    assert (answer.status, "Only administrators" in words(answer)) == (403, True)


@pytest.mark.parametrize(
    "path",
    [
        "/status/sync",
        "/status/pause",
        "/status/resume",
        "/status/runs/1/approve",
        "/status/runs/1/undo",
        "/status/hooks/test",
    ],
)
async def test_a_plain_user_starts_nothing(stand: Stand, bob: Person, path: str) -> None:
    """Not with a form of their own either."""
    answer = await bob.post(path, await bob.token("/status", "/logout"))
    assert (answer.status, (await stand.parts.store.read(history.runs, None, 1)).rows) == (403, [])


async def test_a_plain_user_sees_the_verdict_counts_and_titles_only(
    stand: Stand, bob: Person
) -> None:
    """No address, no error, no button."""
    number = await held(stand)
    stand.parts.health.bad(
        SourceFailure("Jellyfin", "unreachable", "Jellyfin at http://nas:8096 is off")
    )
    for path in ("/status", f"/status/runs/{number}", "/status/runs/1", "/status/titles/1"):
        answer = await bob.get(path)
        assert "Metropolis" in words(answer)
        assert (
            re.findall(
                "nas:8096|disk is away|Sync now|/approve|as JSON|journalctl|/undo", answer.text
            )
            == []
        )
        assert re.findall("<button[^>]*>([^<]*)", answer.text) in (
            ["Log out"],
            ["Log out", "Find"],
            ["Log out", "Search"],
        )


# --- the status ------------------------------------------------------------------------------


async def test_before_the_first_run_there_is_something_to_do(alice: Person) -> None:
    """The empty state says what, and that it changes nothing."""
    said = words(await alice.get())
    for text in ("Never synced", "nothing is changed", "No run yet", "No open issues"):
        assert text in said


async def test_the_status_tells_how_things_stand(stand: Stand, alice: Person) -> None:
    """Verdict, last and next, runs, sources, webhooks, what was added."""
    await synced(stand)
    answer = await alice.get()
    said = words(answer)
    expected = (
        "In sync: 2 titles",
        "Full sync every 6 h ok just now",
        "Quick check every 5 min not since startup",
        "Webhooks on arrival never",
        "+2 ~0 \N{MINUS SIGN}0",
        "in 6 h Pause the full sync",
        "Run 1, ok, 2 added",
        "Jellyfin 10.11.11 Answers",
        "2 titles in the last sync",
        "None since startup",
        "Metropolis film",
    )
    assert [text for text in expected if text not in said] == []
    assert "ok.svg" in answer.text
    assert re.findall("<title>([^<]*)", answer.text) == ["In sync: 2 titles · Library Sync"]


async def test_the_status_is_there_while_every_service_is_down(stand: Stand, alice: Person) -> None:
    """It is made of the file alone, and says who is away, in plain words."""
    await synced(stand)
    services: tuple[Service, ...] = ("jellyfin", "radarr", "sonarr")
    for service in services:
        stand.services.fault(service, Fault(drop=True, times=None))
    await synced(stand)
    before = len(stand.services.calls("jellyfin"))
    said = words(await alice.get())
    assert "The last sync failed" in said
    assert "it hung up without an answer" in said
    assert before == len(stand.services.calls("jellyfin"))


async def test_a_disk_that_radarr_cannot_reach_is_said(stand: Stand, alice: Person) -> None:
    """The run is well all the same: nothing that it needs is missing."""
    stand.services.world.library_offline("Movies")
    await synced(stand)
    answer = words(await alice.get())
    assert "Radarr 6.0.3.10276" in answer
    assert "It cannot reach /media/movies; check whether that disk is mounted." in answer


async def test_folders_that_cannot_be_asked_for_are_no_gap(stand: Stand, alice: Person) -> None:
    """Ids were read, and that is all that counts."""
    stand.services.fault("radarr", Fault("/api/v3/rootfolder", status=500, times=None))
    await synced(stand)
    assert ("In sync" in words(await alice.get()), "cannot reach" in words(await alice.get())) == (
        True,
        False,
    )


async def test_a_file_that_cannot_be_read_is_said_to_be(stand: Stand, alice: Person) -> None:
    """A page says so, not a document for machines."""
    stand.spoil()
    answer = await alice.get()
    assert (answer.status, answer.headers["Content-Type"][:9]) == (503, "text/html")
    assert "no such table" in words(answer)


async def test_the_secrets_are_on_no_page(stand: Stand, alice: Person) -> None:
    """Neither the keys nor the tokens, which the set-up only names."""
    await held(stand)
    settings = stand.parts.settings
    assert settings.webhook.secret is not None
    secrets = [ADMIN_TOKEN, settings.webhook.secret.get_secret_value()]
    secrets += [stand.services.jellyfin_key, stand.services.radarr_key]
    text = "".join([(await alice.get(path)).text for path in PAGES])
    assert "X-Library-Sync-Secret" in text
    assert [secret for secret in secrets if secret in text] == []


async def test_every_page_has_the_strict_headers(stand: Stand, alice: Person) -> None:
    """Nothing inline, nothing from elsewhere, in no frame, and kept by no cache."""
    await held(stand)
    policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    policy += "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    for path in PAGES:
        answer = await alice.get(path)
        assert answer.headers["Content-Security-Policy"] == policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert re.findall(r"<script(?! src)|<style|\son\w+=|\sstyle=", answer.text) == []
        assert re.findall('(?:src|action)="(?:https?:)?//', answer.text) == []


async def test_what_is_loaded_may_be_kept_for_ever(alice: Person) -> None:
    """Its address changes with its content; there is an icon for each state."""
    text = (await alice.get()).text
    found = re.findall('"(/status/static/[^"]+)"', text)
    assert len(found) == 3
    for path in found:
        answer = await alice.get(path)
        assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True)
    colours = {
        re.findall("fill=.(#[0-9a-f]+)", (await alice.get(f"/status/static/{state}.svg")).text)[0]
        for state in ("ok", "running", "partial", "held", "failed", "never")
    }
    assert len(colours) == 6
    assert (await alice.get("/status/static/login.html")).status == 404


async def test_everything_is_below_the_base_path(tmp_path: Path) -> None:
    """Links, forms, redirects and files; the path alone leads to the status."""
    async with standing(tmp_path, base_path="/sync") as stand, somebody(stand) as person:
        bare = Person(person.session, stand.url.removesuffix("/sync"))
        token = await bare.token("/sync/login")
        filled = {"user": "admin", "password": "admin-password"}
        assert led(await bare.post("/sync/login", token, **filled)) == (303, "/sync/status")
        assert led(await bare.get("/sync")) == (303, "/sync/status")
        assert led(await bare.get("/sync/")) == (303, "/sync/status")
        text = (await bare.get("/sync/status")).text
        addresses = re.findall('(?:href|src|action|data-events)="([^"#]+)"', text)
        assert [one for one in addresses if not one.startswith("/sync/")] == []
        asked = await bare.send("/sync/status", "/sync/status/sync", what="full")
        assert led(asked) == (303, "/sync/status?said=asked&run=1")


# --- what forms do ---------------------------------------------------------------------------


async def test_sync_now_starts_a_run_once(stand: Stand, alice: Person) -> None:
    """A form that is sent twice, by two clicks or by the way back, does nothing the second time."""
    token = await alice.token("/status", "/status/sync")
    first = await alice.post("/status/sync", token, what="full")
    again = await alice.post("/status/sync", token, what="full")
    assert (led(first), led(again)) == (
        (303, "/status?said=asked&run=1"),
        (303, "/status?said=already"),
    )
    await until(lambda: stand.parts.worker.last)
    assert len((await stand.parts.store.read(history.runs, None, 9)).rows) == 1
    assert "Nothing was done twice" in words(await alice.get("/status?said=already"))
    [event] = await stand.audited("sync.asked")
    assert (event["actor_name"], event["run_id"]) == ("admin", 1)


async def test_a_quick_look_says_what_it_came_to(stand: Stand, alice: Person) -> None:
    """And so does the row of the quick look, from then on."""

    async def look() -> str:
        sent = await alice.send("/status", "/status/sync", what="quick")
        assert led(sent) == (303, "/status?said=looked")
        return words(await alice.get("/status?said=looked"))

    assert "Quick check: nothing to compare with until a full sync" in await look()
    await synced(stand)
    assert "Quick check: nothing has changed." in await look()
    stand.services.world.remove(METROPOLIS.jellyfin_id)
    assert "Quick check: a full sync is needed: run 2." in await look()
    await until(lambda: not stand.parts.worker.running)
    stand.services.fault("jellyfin", Fault(status=404, times=None))
    said = await look()
    assert "Quick check: Jellyfin at http" in said
    assert "Quick check every 5 min failed just now Jellyfin at http" in said
    assert len(await stand.audited("quick.asked")) == 4


async def test_one_library_can_be_synced(stand: Stand, alice: Person) -> None:
    """Of those that Jellyfin had when it was last read; before, none is offered."""
    assert "One library" not in words(await alice.get())
    await synced(stand)
    text = (await alice.get()).text
    offered = dict(re.findall('<option value="(\\w+)">([^<]+)', text))
    assert [*offered.values()] == ["Movies", "TV", "Anime"]
    movies = next(one for one, name in offered.items() if name == "Movies")
    sent = await alice.send("/status", "/status/sync", what="library", library=movies)
    assert led(sent) == (303, "/status?said=asked&run=2")
    await until(lambda: stand.parts.worker.last and stand.parts.worker.last.run_id == 2)
    assert stand.parts.worker.last is not None
    assert (stand.parts.worker.last.kind, stand.parts.worker.last.stats.scanned) == ("library", 1)


@pytest.mark.parametrize("library", ["", "x" * 32])
async def test_a_library_that_is_not_there_is_not_synced(
    stand: Stand, alice: Person, library: str
) -> None:
    """No run of everything is made of it."""
    await synced(stand)
    sent = await alice.send("/status", "/status/sync", what="library", library=library)
    assert (sent.status, len((await stand.parts.store.read(history.runs, None, 9)).rows)) == (
        400,
        1,
    )


async def test_what_a_quick_look_came_to_is_for_admins(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """Where it failed it names addresses."""
    await synced(stand)
    stand.services.fault("jellyfin", Fault(status=404, times=None))
    await alice.send("/status", "/status/sync", what="quick")
    said = words(await bob.get("/status?said=looked"))
    assert ("failed" in said, "http://" in said) == (True, False)


async def test_a_look_that_takes_long_is_not_waited_for(stand: Stand, alice: Person) -> None:
    """The page says that Jellyfin has not answered, and is there."""
    await synced(stand)
    stand.services.fault("jellyfin", Fault("/Items?", stall=60))
    await alice.send("/status", "/status/sync", what="quick")
    assert "Jellyfin has not answered yet" in words(await alice.get("/status?said=looked"))


async def test_a_job_is_paused_and_resumed(stand: Stand, alice: Person) -> None:
    """The verdict says that the full sync is paused, so that nobody forgets."""
    await synced(stand)
    sent = await alice.send("/status", "/status/pause", job="full")
    assert led(sent) == (303, "/status?said=paused")
    said = words(await alice.get("/status?said=paused"))
    for text in ("2 titles. The full sync is paused", "paused Resume the full sync", "restarts."):
        assert text in said
    assert (await stand.ask("GET", "/admin/sync")).json["next_run"] is None
    sent = await alice.send("/status", "/status/resume", job="full")
    assert led(sent) == (303, "/status?said=resumed")
    assert "is paused" not in words(await alice.get())
    events = await stand.audited("job.paused", "job.resumed")
    assert [(one["action"], one["target"], one["actor_name"]) for one in events] == [
        ("job.paused", "full", "admin"),
        ("job.resumed", "full", "admin"),
    ]


@pytest.mark.parametrize("job", ["housekeeping", "retry", ""])
async def test_other_jobs_cannot_be_paused(stand: Stand, alice: Person, job: str) -> None:
    """Neither what webhooks begin nor the housekeeping."""
    answer = await alice.post("/status/pause", await alice.token(), job=job)
    assert (answer.status, await stand.audited("job.paused")) == (400, [])


async def test_what_went_wrong_so_far_is_told_while_a_run_goes(stand: Stand, alice: Person) -> None:
    """Sonarr refused its list, and the library is still being read."""
    stand.services.fault("sonarr", Fault(status=401, times=None))
    stand.services.fault(
        "jellyfin", Fault("/Items?", query="IncludeItemTypes=Movie,Series", stall=60)
    )
    await alice.send("/status", "/status/sync", what="full")
    await until(lambda: (run := stand.parts.worker.running) and run.progress.errors)
    assert "1 problem so far" in words(await alice.get())


async def test_a_run_that_goes_is_shown_and_can_be_cancelled(stand: Stand, alice: Person) -> None:
    """With its steps, who asked for it, and what waits behind it."""
    stand.services.fault("jellyfin", ENDLESS)
    await alice.send("/status", "/status/sync", what="full")
    await until(stand.readings)
    behind = await alice.send("/status", "/status/sync", what="full")
    assert led(behind) == (303, "/status?said=queued&run=2")
    answer = await alice.get()
    for text in (
        *("Running: full sync", "by admin", "Run 2 is queued", "asking the services"),
        "Jellyfin waiting, 1 call so far",
    ):
        assert text in words(answer)
    assert "has not started" in words(await alice.get("/status/runs/2"))
    for number in (2, 1):
        cancelled = await alice.post(f"/status/runs/{number}/cancel", await alice.token())
        assert led(cancelled) == (303, f"/status?said=cancelled&run={number}")
    await until(lambda: not stand.parts.worker.running)
    late = await alice.post("/status/runs/1/cancel", await alice.token())
    assert (late.status, "Nothing was done" in words(late)) == (409, True)


async def test_a_preview_shows_the_plan_and_writes_nothing(stand: Stand, alice: Person) -> None:
    """While it is made a page waits, and goes on by itself."""
    assert led(await alice.get("/status/preview")) == (303, "/status")
    stand.services.fault("jellyfin", Fault(SLOWLY, stall=2.2))
    begun = await alice.send("/status", "/status/sync", what="dry")
    assert led(begun) == (303, "/status/preview")
    waiting = await alice.get("/status/preview")
    assert 'http-equiv="refresh"' in waiting.text
    said = words(await alice.get("/status/preview"))
    assert "What a sync would do added 2" in said
    assert "add Metropolis film" in said
    assert (rows(stand.file, TITLES), len(await stand.audited("sync.previewed"))) == ([], 1)


async def test_a_preview_that_failed_says_nothing_of_titles(stand: Stand, alice: Person) -> None:
    """Where the library could not be read, nobody knows what would change."""
    stand.services.fault("jellyfin", Fault(status=401, times=None))
    await alice.send("/status", "/status/sync", what="dry")
    said = words(await alice.get("/status/preview"))
    assert "could not be read, so there is nothing to preview" in said
    assert ("a sync would do" in said, "Nothing would change" in said) == (False, False)


async def test_an_address_that_is_nearly_right_is_helped(alice: Person) -> None:
    """One slash more leads on, and a filter that fits nothing is named."""
    assert led(await alice.get("/status/")) == (303, "/status")
    answer = await alice.get("/status/audit?run_id=abc")
    assert (answer.status, "run_id is not valid" in words(answer)) == (400, True)


async def test_a_way_to_sync_that_there_is_not_begins_nothing(stand: Stand, alice: Person) -> None:
    """A form that somebody made up is no full sync."""
    answer = await alice.send("/status", "/status/sync", what="everything")
    assert answer.status == 400
    assert await stand.audited("sync.asked") == []


async def test_a_plan_is_approved_behind_one_page_that_says_what_will_go(
    stand: Stand, alice: Person
) -> None:
    """In numbers; the second time there is nothing to approve."""
    number = await held(stand)
    review = await alice.get(f"/status/runs/{number}?show=held")
    assert "1 title on hold" in words(review)
    path = f"/status/runs/{number}/approve"
    assert "1 title will be removed" in words(await alice.get(path))
    token = await alice.token(path)
    approved = await alice.post(path, token)
    led_to = re.fullmatch("/status/runs/([0-9]+)[?]said=approved&run=([0-9]+)", led(approved)[1])
    assert led_to, "the run that does it"
    assert int(led_to[1]) == int(led_to[2]) > number
    assert led(await alice.post(path, token)) == (303, f"/status/runs/{number}?said=already")
    stale = await alice.get(path)
    assert (stale.status, "was approved by admin" in words(stale)) == (409, True)
    again = await alice.post(path, await alice.token())
    assert (again.status, "is no longer open" in words(again)) == (409, True)
    assert len(await stand.audited("plan.approved")) == 1


async def test_a_plan_is_discarded_the_same_way(stand: Stand, alice: Person) -> None:
    """Nothing goes."""
    number = await held(stand)
    path = f"/status/runs/{number}/discard"
    assert "1 title will stay tracked" in words(await alice.get(path))
    assert led(await alice.post(path, await alice.token(path)))[0] == 303
    assert rows(stand.file, TITLES) == [("Metropolis",), ("The Show",)]
    assert "Kept by admin" in words(await alice.get(f"/status/runs/{number}"))


async def test_a_run_is_undone_title_by_title(stand: Stand, alice: Person) -> None:
    """The page says how many; afterwards which, and there is nothing left to undo."""
    number = await removed(stand)
    path = f"/status/runs/{number}/undo"
    assert "1 removed title will be restored" in words(await alice.get(path))
    done = await alice.post(path, await alice.token(path))
    assert (done.status, "1 title of 1 undone" in words(done)) == (200, True)
    assert rows(stand.file, TITLES) == [("Metropolis",), ("The Show",)]
    nothing = await alice.get(path)
    assert (nothing.status, "nothing to undo" in words(nothing)) == (409, True)


@pytest.mark.parametrize("verb", ["approve", "discard", "undo"])
async def test_what_cannot_be_done_is_said_before(stand: Stand, alice: Person, verb: str) -> None:
    """A run without a plan, and one that changed nothing."""
    await synced(stand)
    answer = await alice.get(f"/status/runs/1/{verb}")
    assert (answer.status, f"nothing to {verb}" in words(answer)) == (409, True)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, "token=", 403),
        ({}, "", 415),
        ({"Content-Type": "application/json"}, "{}", 415),
        ({}, "&".join(f"a{at}=" for at in range(99)), 400),
        ({}, f"a={'x' * 70_000}", 413),
    ],
)
async def test_a_form_that_is_none_does_nothing(
    stand: Stand, alice: Person, headers: dict[str, str], body: str, status: int
) -> None:
    """A page says so."""
    sent = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    url = f"{stand.url}/status/sync"
    async with alice.session.post(url, data=body, headers={**sent, **headers}) as reply:
        text = await reply.text()
        assert (reply.status, "Nothing was done" in text) == (status, True)
    assert (await stand.parts.store.read(history.runs, None, 1)).rows == []


async def test_a_test_webhook_is_sent_from_the_page(tmp_path: Path) -> None:
    """To the address that senders use; what came of it is told."""
    async with standing(tmp_path, public_url="http://127.0.0.1:9") as stand, somebody(stand) as one:
        await one.log_in()
        answer = await one.send("/status", "/status/hooks/test")
        assert "The test did not arrive" in words(answer)
        assert "http://127.0.0.1:9/hooks/jellyfin" in words(answer)


# --- runs, titles, audit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/status/runs/99",
        "/status/runs/0",
        "/status/runs/9999999999999999999999",
        "/status/runs/x",
        "/status/runs/-1/approve",
        "/status/runs/99/undo",
        "/status/runs/1/burn",
        "/status/titles/99",
        "/status/titles/é",
        "/status/nowhere",
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(
    stand: Stand, alice: Person, path: str
) -> None:
    """With a way back."""
    await synced(stand)
    answer = await alice.get(path)
    assert (
        answer.status,
        "Not found To the status" in re.sub("There[^.]*. ", "", words(answer)),
    ) == (
        404,
        True,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/status/runs?outcome=great",
        "/status/runs?before=x",
        "/status/runs?trigger=boredom",
        "/status/runs?since=yesterday",
        "/status/runs?until=9999-12-31",
        "/status/runs/1?after=-1",
        "/status/audit?run_id=x",
        "/status/audit?since=yesterday",
    ],
)
async def test_an_address_that_is_not_understood_says_so(
    stand: Stand, alice: Person, path: str
) -> None:
    """No page is made of a guess."""
    await synced(stand)
    answer = await alice.get(path)
    assert (answer.status, "Not understood" in words(answer)) == (400, True)


async def test_runs_are_listed_in_pages(stand: Stand, alice: Person) -> None:
    """Thirty, then more; by their outcome, too, and an empty choice can be reset."""
    assert "No run yet" in words(await alice.get("/status/runs"))
    for _ in range(31):
        number = await stand.parts.store.write(history.begin, Trigger.CLI, ACTOR)
        await stand.parts.store.write(history.finish, number, Outcome.OK, {"added": number})
    first = await alice.get("/status/runs")
    assert "31 added" in words(first)
    [more] = re.findall('href="(/status/runs[?]before[^"]+)"', first.text)
    assert re.findall("(\\d+) added", words(await alice.get(more.replace("&amp;", "&")))) == ["1"]


async def test_runs_are_narrowed_by_result_trigger_and_day(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """The days are those of UTC, both included; what fits nothing is said again, with a way out."""
    store = stand.parts.store
    for trigger, outcome in ((Trigger.CLI, Outcome.OK), (Trigger.QUICK, Outcome.FAILED)):
        number = await store.write(history.begin, trigger, ACTOR)
        await store.write(history.finish, number, outcome, {"added": number})
    late = "2026-11-18T23:59:59.999+00:00"
    change(stand.file, "UPDATE sync_runs SET started_at = ? WHERE id = 1", late)
    for query, found in (
        ("outcome=failed", ["2"]),
        ("trigger=cli", ["1"]),
        ("since=2026-11-19", ["2"]),
        ("since=2026-11-18&until=2026-11-18", ["1"]),
        ("outcome=&trigger=&since=&until=2026-11-20", ["2", "1"]),
    ):
        page = await alice.get(f"/status/runs?{query}")
        assert re.findall("(\\d+) added", words(page)) == found
        [same] = re.findall('href="(/admin/runs[^"]+)"', page.text)
        document = (await stand.ask("GET", same.replace("&amp;", "&"))).json
        assert [str(run["id"]) for run in document["runs"]] == found
    query = "outcome=failed&trigger=cli&since=2026-11-01&until=2026-11-02"
    said = words(await bob.get(f"/status/runs?{query}"))
    expected = "No matching run: ended failed, started by the command line, from 2026-11-01, "
    expected += "to 2026-11-02. Reset"
    assert (expected in said, "JSON" in said) == (True, False)


async def test_a_run_tells_what_it_did(stand: Stand, alice: Person) -> None:
    """What was added, changed from what to what, left out and why; and how often it asked."""
    await synced(stand)
    first = words(await alice.get("/status/runs/1"))
    for text in ("added 2", "Metropolis film", "The Show series", "Jellyfin 10.11.11"):
        assert text in first
    change(stand.file, "UPDATE requests SET tmdb_id = NULL, year = 1900 WHERE id = 1")
    await synced(stand)
    second = words(await alice.get("/status/runs/2"))
    for text in ("changed 1", "tmdb_id nothing → 19", "Left as it is: 1 title already right 1"):
        assert text in second


async def test_a_run_tells_under_what_it_ran_and_where_its_time_went(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """The daemon's version, its configuration for administrators, and the phases."""
    await synced(stand)
    said = words(await alice.get("/status/runs/1"))
    assert f"Library Sync {__version__}, configuration {stand.parts.settings.fingerprint}" in said
    assert re.search(r"asking the services \S+ m?s reading the library \S+ m?s finishing \S", said)
    plain = words(await bob.get("/status/runs/1"))
    assert (stand.parts.settings.fingerprint in plain, "asking the services" in plain) == (
        (False,) * 2
    )


async def test_a_run_reports_on_its_removal_guard(stand: Stand, alice: Person, bob: Person) -> None:
    """Each rule with what was found and what lets titles go, also where nothing was missing."""
    await synced(stand)
    first = words(await alice.get("/status/runs/1"))
    assert "Removal guard: Nothing was missing." in first
    assert "The library was read completely yes yes passes" in first
    assert "Removal mode guarded guarded passes" in first
    stand.services.world.remove(METROPOLIS.jellyfin_id)
    await synced(stand)
    second = words(await alice.get("/status/runs/2"))
    assert "1 title missing: 1 watched." in second
    assert "Missing in /media/movies 1 at most 1 holds nothing is left of /media/movies" in second
    assert "2 complete readings, 24 h 0 of 1 titles all of them waits" in second
    assert re.findall("guard|/media", words(await bob.get("/status/runs/2"))) == []


async def test_a_run_says_why_nothing_could_be_judged(stand: Stand, alice: Person) -> None:
    """A scan, a look at single titles, and a run that failed."""
    stand.services.world.scanning = True
    await synced(stand)
    stand.services.world.scanning = False
    await stand.parts.worker.enqueue(Trigger.WEBHOOK, ACTOR, Scope(frozenset({"a" * 32}))).result
    stand.services.fault("jellyfin", Fault("/System/Info/Public", status=500, times=None))
    await synced(stand)
    for number, text in (
        (1, "It could not be determined what is missing"),
        (1, "not scanning no yes holds Jellyfin was scanning its library"),
        (2, "Only part of the library was read, so nothing could be judged missing."),
        (3, "The run ended before it could tell what is missing."),
    ):
        assert text in words(await alice.get(f"/status/runs/{number}"))


async def test_a_run_of_an_older_version_has_no_report(stand: Stand, alice: Person) -> None:
    """Nothing is made up for it."""
    await ended(stand, {"added": 0, "error_details": []})
    said = words(await alice.get("/status/runs/1"))
    assert ("Removal guard" in said, "configuration" in said) == (False, False)


async def test_the_errors_of_a_run_are_for_administrators(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """All of them, in a group of their own that can be searched."""
    told = [f"http://nas:8096 is off, {at}" for at in range(5)]
    await ended(stand, {"errors": 5, "error_details": told})
    assert words(await alice.get("/status/runs/1?show=error&q=OFF,%203")).count("nas:8096") == 4
    for path in ("/status/runs/1", "/status/runs/1?show=error"):
        assert re.findall("nas:8096|error", words(await bob.get(path))) == []


async def test_a_run_can_be_done_again(stand: Stand, alice: Person) -> None:
    """A full sync begins, and the status page shows it."""
    await synced(stand)
    again = await alice.send("/status/runs/1", "/status/sync", what="full")
    assert led(again) == (303, "/status?said=asked&run=2")
    await until(lambda: not stand.parts.worker.running)
    assert [event["run_id"] for event in await stand.audited("sync.asked")] == [2]


async def test_titles_lead_administrators_on_to_the_services(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """To Jellyfin, and to Radarr where it has the film; to neither for what is gone."""
    await synced(stand)
    jellyfin, radarr = stand.services.jellyfin_url, stand.services.radarr_url
    told = (await alice.get("/status/runs/1")).text
    assert f'"{jellyfin}/web/#/details?id={METROPOLIS.jellyfin_id}"' in told
    assert re.findall(f'"{radarr}/movie/([^"]+)"', told) == ["19"]
    for answer in (await bob.get("/status/runs/1"), await alice.get(await gone(stand))):
        assert re.findall(f"{jellyfin}|{radarr}", answer.text) == []


async def gone(stand: Stand) -> str:
    """Where the run is shown that removed the film."""
    return f"/status/runs/{await removed(stand)}?show=gone"


async def test_what_was_taken_back_of_a_run_is_in_it(stand: Stand, alice: Person) -> None:
    """With when and by whom."""
    number = await removed(stand)
    path = f"/status/runs/{number}"
    await alice.post(f"{path}/undo", await alice.token(f"{path}/undo"))
    said = words(await alice.get(f"{path}?show=restored"))
    assert "undone 1" in said
    assert re.search("Metropolis film undone .{1,20} by admin", said)


async def ended(stand: Stand, result: dict[str, Any]) -> None:
    """Let the first run have ended so."""
    number = await stand.parts.store.write(history.begin, Trigger.CLI, ACTOR)
    await stand.parts.store.write(history.finish, number, Outcome.FAILED, result)


async def test_a_run_can_be_searched(stand: Stand, alice: Person) -> None:
    """An empty result repeats what was looked for, and can be reset."""
    await synced(stand)
    found = words(await alice.get("/status/runs/1?show=added&q=METRO"))
    assert ("Metropolis" in found, "The Show" in found) == (True, False)
    assert "Nothing under added matches “ zz ”. Reset" in words(
        await alice.get("/status/runs/1?q=zz")
    )


async def test_hostile_titles_are_text_everywhere(stand: Stand, alice: Person) -> None:
    """Whatever Jellyfin has in its names."""
    store = stand.parts.store
    number = await store.write(history.begin, Trigger.CLI, ACTOR)
    since = await store.write(syncing.concurrent_writes)
    items = [an_item(name, title=name, ids=Ids(at)) for at, name in enumerate(HOSTILE, 1)]
    await store.write(syncing.apply, number, ACTOR, [Add(item) for item in items], since)
    tracked = (await store.read(syncing.tracked)).rows
    await plans.hold(store, number, [Held(row, "<why>") for row in tracked], WEEK)
    await store.write(history.finish, number, Outcome.HELD, {"added": 6, "error_details": HOSTILE})
    paths = ["/status", "/status/runs/1", "/status/runs/1?show=held", "/status/attention"]
    paths += ["/status/titles?q=a", "/status/runs/1/approve"]
    paths += [f"/status/titles/{at}" for at in range(1, 7)]
    paths += [f"/status/runs/1?q={HOSTILE[0]}", f"/status/titles?q={HOSTILE[1]}"]
    for path in paths:
        answer = await alice.get(path)
        assert answer.status == 200
        assert re.findall("<script>|<img|<why>|: 49|>49", answer.text) == []
    assert HOSTILE[0] in words(await alice.get("/status"))


async def test_a_run_links_to_itself_as_json(stand: Stand, alice: Person) -> None:
    """The API takes the login of the page; what is held is in it, too."""
    number = await held(stand)
    page = (await alice.get(f"/status/runs/{number}")).text
    [link] = re.findall('href="([^"]*)">View as JSON<', page)
    document = json.loads((await alice.get(link)).text)
    assert document["id"] == number
    assert [one["title"] for one in document["plan"]["titles"]] == ["Metropolis"]


async def test_a_title_explains_itself(stand: Stand, alice: Person, bob: Person) -> None:
    """Why it is so, its ids with a way to Jellyfin, and what was done to it."""
    await synced(stand)
    said = words(await alice.get("/status/titles/1"))
    for text in ("Metropolis is AVAILABLE", "TMDB 19", "so added", "Run 1"):
        assert text in said
    assert "TMDB" not in words(await bob.get("/status/titles/1"))


async def test_titles_are_found(stand: Stand, alice: Person) -> None:
    """By a piece of the title, or a number."""
    await synced(stand)
    assert "Metropolis 1927 film" in words(await alice.get("/status/titles?q=polis"))
    assert "The Show" in words(await alice.get("/status/titles?q=2"))
    assert "No title matches “ zz ”. Reset" in words(await alice.get("/status/titles?q=zz"))
    assert "1927 by its title and year film" in words(
        await alice.get("/status/titles?q=metro+1927")
    )
    for query, by in (("19", "TMDB id"), (METROPOLIS.jellyfin_id, "Jellyfin id")):
        assert f"by its {by}" in words(await alice.get(f"/status/titles?q={query}"))


async def test_titles_are_a_list_that_is_filtered_sorted_and_paged(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """Without a search, too; folders and problems are for administrators."""
    await synced(stand)

    async def shown(query: str, person: Person = alice) -> list[str]:
        text = (await person.get(f"/status/titles?{query}")).text
        return re.findall('/titles/[0-9]+"><bdi class="title">([^<]+)<', text)

    assert await shown("sort=title") == ["Metropolis", "The Show"]
    assert await shown("") == ["The Show", "Metropolis"]
    assert await shown("kind=MOVIE") == ["Metropolis"]
    assert await shown("state=FAILED") == []
    assert await shown("library=/media/movies") == ["Metropolis"]
    assert await shown("library=/media/movies", bob) == ["The Show", "Metropolis"]
    assert await shown("problems=true") == []
    change(stand.file, "UPDATE requests SET id = id + 1000")
    copied = "INSERT INTO requests (id, title, media_type, state, created_at, updated_at,"
    copied += " state_changed_at) SELECT value, 'Film ' || value, 'MOVIE', 'APPROVED', '', '', ''"
    change(stand.file, f"{copied} FROM json_each('{json.dumps([*range(1, 61)])}')")
    first = await alice.get("/status/titles")
    [more] = re.findall('rel="next" href="([^"]+)"', first.text)
    second = await alice.get(f"/status/titles{more}")
    assert "Film 1<" in second.text
    assert "Film 1<" not in first.text
    assert 'rel="prev"' in second.text
    assert (await alice.get("/status/titles?sort=odd")).status == 400


async def test_a_title_that_is_not_tracked_is_explained(
    stand: Stand, alice: Person, bob: Person
) -> None:
    """Who deleted it is for administrators."""
    number = await removed(stand)
    said = words(await alice.get("/status/titles?q=métropolis"))
    assert "Not tracked Metropolis film Metropolis is not tracked." in said
    assert f"in run {number}: nothing to play of it" in said
    change(stand.file, "UPDATE deletion_logs SET source = 'DASHBOARD', deleted_by_username = 'eve'")
    change(stand.file, "UPDATE deletion_logs SET id = id + 1")
    assert "by eve." in words(await alice.get("/status/titles?q=metropolis"))
    plain = words(await bob.get("/status/titles?q=metropolis"))
    assert ("deleted in the tracker's dashboard" in plain, "eve" in plain) == (True, False)


async def test_the_audit_is_read_in_pages_and_narrowed(stand: Stand, alice: Person) -> None:
    """Who, what, when, before and after; an address of an attacker is in it as text."""
    await synced(stand)
    said = words(await alice.get("/status/audit"))
    for text in (
        "admin logged in to the page",
        "somebody added 2 titles",
        '"address": "127.0.0.1"',
    ):
        assert text in said
    narrowed = words(await alice.get("/status/audit?action=session.opened"))
    assert ("admin logged in" in narrowed, "somebody added" in narrowed) == (True, False)
    assert "No matching event. Reset" in words(await alice.get("/status/audit?target=request+99"))
    paged = await alice.get("/status/audit?limit=2")
    [more] = re.findall('href="(/status/audit[?][^"]*before[^"]*)"', paged.text)
    assert "admin logged in" in words(await alice.get(more.replace("&amp;", "&")))


async def test_the_audit_names_titles_and_offers_to_undo(stand: Stand, alice: Person) -> None:
    """Also one that is gone; with a way back, and what it was for machines behind a fold."""
    number = await removed(stand)
    answer = await alice.get(f"/status/audit?run_id={number}")
    assert "somebody removed Metropolis (1927)" in words(answer)
    assert f'href="/status/runs/{number}/undo"' in answer.text
    assert "all of it as JSON" in words(answer)


def test_each_action_has_words() -> None:
    """Those that the manual of events lists, and no other."""
    text = (Path(__file__).parents[2] / "systemd/EVENTS.md").read_text("utf-8")
    table = text[text.index("## Audit actions") : text.index("## Elastic Common")]
    listed = re.findall("^[|] `([a-z]+[.][a-z_]+)` [|]", table, re.MULTILINE)
    assert set(listed) == set(audited.ACTIONS)


async def test_what_needs_somebody_is_listed_by_kind(stand: Stand, alice: Person) -> None:
    """With what to do; a kind that has nothing says so."""
    assert "No open issues" in words(await alice.get("/status/attention"))
    number = await held(stand)
    said = words(await alice.get("/status/attention?kind=held"))
    assert "1 film in /media/movies is missing. Nothing was removed." in said
    assert f"/status/runs/{number}/approve" in (await alice.get("/status/attention")).text
    assert "Nothing of this kind" in words(await alice.get("/status/attention?kind=odd"))


async def test_the_status_is_a_small_page(stand: Stand, alice: Person) -> None:
    """Less than 60 KB, however many runs there were and however much needs somebody."""
    await held(stand)
    result: dict[str, Any] = {"added": 1, "error_details": ["x" * 200] * 100}
    for _ in range(60):
        number = await stand.parts.store.write(history.begin, Trigger.CLI, ACTOR)
        await stand.parts.store.write(history.finish, number, Outcome.PARTIAL, result)
    answers = await asyncio.gather(*(alice.get() for _ in range(5)))
    assert max(len(answer.text.encode()) for answer in answers) < 60_000
