"""What an administrator has done about a finding, over HTTP and by the buttons of the page."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.answer import Answer
from tests.builders import change, rows
from tests.pretend.library import Movie
from tests.running import METROPOLIS, until
from tests.web.people import Person, synced, words
from tests.web.support import AS_CRON, Stand

PATH = "/admin/attention"
COLUMNS = "title, media_type, state, tmdb_id, jellyfin_id, requested_by, created_at, updated_at"
COPY = f"INSERT INTO requests (id, {COLUMNS}, state_changed_at) SELECT ?, {COLUMNS}, created_at"
STALE = (
    "INSERT INTO requests (id, title, media_type, state, tmdb_id, requested_by, created_at,"
    " updated_at, state_changed_at) VALUES (70, 'Gone Before', 'MOVIE', 'AVAILABLE', 7, 'carol',"
    " '2026-11-01', '2026-11-01', '2026-11-01')"
)
DELETED = (
    "INSERT INTO deletion_logs (id, title, media_type, tmdb_id, jellyfin_id, is_anime, source,"
    " deleted_by_username, status, initiated_at) SELECT 9, title, media_type, tmdb_id, jellyfin_id,"
    " 0, 'DASHBOARD', 'carol', 'COMPLETE', '2026-11-19 10:00:00' FROM requests WHERE id = 1"
)
FILMS = [Movie.named(f"Film {at}", 1950 + at, {"Tmdb": f"{900 + at}"}) for at in range(12)]


async def found(stand: Stand, kind: str) -> list[dict[str, Any]]:
    """The findings of a kind, as the API tells them."""
    findings = (await stand.ask("GET", PATH)).json["findings"]
    return [one for one in findings if one["kind"] == kind]


async def settle(stand: Stand, finding: dict[str, Any], do: str = "") -> Answer:
    """Have its action done, or another one; what the run comes to is in the file afterwards."""
    named = {name: finding[name] for name in ("kind", "target")}
    answer = await stand.ask("POST", PATH, AS_CRON, json={"do": do or finding["action"], **named})
    await idle(stand)
    return answer


async def idle(stand: Stand) -> None:
    """Wait until nothing runs or waits."""
    worker = stand.parts.worker
    await until(lambda: not (worker.running or worker.waiting))


async def doubled(stand: Stand) -> dict[str, Any]:
    """The film has three rows of ours."""
    await synced(stand)
    for number in (50, 51):
        change(stand.file, f"{COPY} FROM requests WHERE id = 1", number)
    await synced(stand)
    [finding] = await found(stand, "double")
    return finding


async def test_rows_of_one_title_are_merged_into_the_first(stand: Stand) -> None:
    """By one call; the run says so, and an undo of it brings the others back."""
    finding = await doubled(stand)
    assert finding["what"].endswith("more than once (requests 1, 50, 51)")
    assert (finding["request_id"], finding["request_ids"]) == (1, [1, 50, 51])
    answer = await settle(stand, finding)
    assert (answer.status, answer.headers["Location"]) == (202, "/admin/runs/3")
    assert answer.json == {"do": "merge", "kind": "double", "target": "request 1", "run_id": 3}
    assert rows(stand.file, "SELECT id FROM requests WHERE media_type = 'MOVIE'") == [(1,)]
    assert await found(stand, "double") == []
    result = (await stand.ask("GET", "/admin/runs/3")).json["result"]
    assert (result["merged"], result["server_known"]) == (2, True)
    undone = (await stand.ask("POST", "/admin/runs/3/undo")).json["titles"]
    assert [(one["target"], one["done"]) for one in undone] == [
        ("request 51", True),
        ("request 50", True),
    ]


async def test_a_merge_is_shown_with_its_run(stand: Stand, alice: Person) -> None:
    """In a group of its own, as the doubles that were found are; its undo says how many."""
    await settle(stand, await doubled(stand))
    said = words(await alice.get("/status/runs/3?show=merged"))
    assert "merged 2" in said
    assert "merged into another row of the same title" in said
    assert "tracked more than once" in words(await alice.get("/status/runs/2?show=doubles"))
    assert "2 merged rows will be restored" in words(await alice.get("/status/runs/3/undo"))
    assert "2 merged" in words(await alice.get("/status/runs"))


async def test_an_item_that_is_another_title_by_now_is_confirmed(stand: Stand) -> None:
    """The row gets the ids of that title; nothing was added or removed meanwhile."""
    await synced(stand)
    anew = replace(METROPOLIS, title="Metropolis (2001)", provider_ids={"Tmdb": "9606"})
    stand.services.world.movies[METROPOLIS.jellyfin_id] = anew
    await synced(stand)
    [finding] = await found(stand, "identified")
    assert (finding["title"], finding["action"]) == ("Metropolis", "confirm")
    assert "(Metropolis (2001): TMDB 19 became 9606)" in finding["what"]
    assert (await settle(stand, finding)).status == 202
    assert rows(stand.file, "SELECT id, tmdb_id FROM requests WHERE media_type = 'MOVIE'") == [
        (1, 9606)
    ]
    assert await found(stand, "identified") == []
    [event] = await stand.audited("identity.confirmed")
    assert (event["actor_name"], event["target"], event["run_id"]) == (
        "admin token",
        "request 1",
        3,
    )


async def test_another_server_is_confirmed(stand: Stand, alice: Person) -> None:
    """It is told once, not as a problem, too; the run after it goes by the new one."""
    await synced(stand)
    stand.services.world.server_id = "f" * 32
    await synced(stand)
    [finding] = await found(stand, "server")
    assert (finding["target"], finding["action"]) == (f"server {'f' * 32}", "confirm")
    assert await found(stand, "problem") == []
    assert "its key sees everything no yes holds" in words(await alice.get("/status/runs/2"))
    assert (await settle(stand, finding, "ignore")).status == 409
    assert (await settle(stand, finding)).json["run_id"] == 3
    run = (await stand.ask("GET", "/admin/runs/3")).json
    assert (run["outcome"], run["result"]["server_known"]) == ("ok", True)
    assert await found(stand, "server") == []
    [event] = await stand.audited("server.confirmed")
    assert (event["target"], event["after"]) == (finding["target"], {"address": "127.0.0.1"})


async def test_a_row_that_was_stale_before_we_came_is_removed(stand: Stand) -> None:
    """By an admin's word alone; it is in the audit, and can be undone."""
    await synced(stand)
    change(stand.file, STALE)
    await synced(stand)
    [finding] = await found(stand, "never_seen")
    assert (finding["title"], finding["action"]) == ("Gone Before", "remove")
    assert (await settle(stand, finding)).status == 202
    assert rows(stand.file, "SELECT 1 FROM requests WHERE id = 70") == []
    assert await found(stand, "never_seen") == []
    assert [one["target"] for one in await stand.audited("removal.approved", "title.removed")] == [
        "request 70"
    ] * 2


async def left_out(stand: Stand) -> dict[str, Any]:
    """Somebody took the film off the tracker's list in its dashboard, and Jellyfin has it."""
    await synced(stand)
    change(stand.file, DELETED)
    change(stand.file, "DELETE FROM requests WHERE id = 1")
    await synced(stand)
    [finding] = await found(stand, "left_out")
    return finding


async def test_what_was_deleted_in_the_dashboard_is_tracked_again(stand: Stand) -> None:
    """Once an admin says so, and not before."""
    finding = await left_out(stand)
    assert (finding["title"], finding["action"]) == ("Metropolis", "track_again")
    await synced(stand)
    assert rows(stand.file, "SELECT 1 FROM requests WHERE media_type = 'MOVIE'") == []
    assert (await settle(stand, finding)).status == 202
    assert rows(stand.file, "SELECT tmdb_id FROM requests WHERE media_type = 'MOVIE'") == [(19,)]
    assert await found(stand, "left_out") == []
    assert len(await stand.audited("tracking.resumed")) == 1


@pytest.mark.parametrize(
    "other", ["jellyfin_id = NULL", "title = 'METRÓPOLIS', jellyfin_id = NULL"]
)
async def test_a_deletion_is_found_by_its_title_where_it_names_no_item(
    stand: Stand, other: str
) -> None:
    """Case and accents do not matter."""
    finding = await left_out(stand)
    change(stand.file, f"UPDATE deletion_logs SET {other}")
    assert (await settle(stand, finding)).status == 202
    assert len(await stand.audited("tracking.resumed")) == 1


async def test_a_deletion_that_cannot_be_found_is_not_overruled(stand: Stand) -> None:
    """Nothing is done, and that is said."""
    finding = await left_out(stand)
    change(stand.file, "UPDATE deletion_logs SET title = 'Other', jellyfin_id = NULL")
    answer = await settle(stand, finding)
    assert (answer.status, "no such deletion" in answer.detail) == (409, True)
    assert await stand.audited("tracking.resumed") == []


async def unlinked(stand: Stand) -> int:
    """Radarr was set up anew; the run that holds what would be unlinked."""
    for film in FILMS:
        stand.services.world.add_movie(film)
        stand.services.world.radarr_knows(film)
    await synced(stand)
    stand.services.world.radarr.clear()
    stand.services.world.radarr_knows(METROPOLIS)
    await synced(stand)
    return 2


LINKED = "SELECT COUNT(*) FROM requests WHERE radarr_id NOT NULL"


async def test_a_plan_tells_what_it_would_take_away(stand: Stand, alice: Person) -> None:
    """Its titles stay; everywhere the two kinds are told apart."""
    number = await unlinked(stand)
    plan = (await stand.ask("GET", f"/admin/runs/{number}")).json["plan"]
    assert {one["kind"] for one in plan["titles"]} == {"unlink"}
    assert await found(stand, "unlink_held") == []
    [card] = await found(stand, "held")
    assert card["title"] == "The ids of 12 films in /media/movies"
    assert card["what"].startswith("are gone from Radarr's or Sonarr's list.")
    assert card["request_id"] is None
    said = words(await alice.get(f"/status/runs/{number}?show=held"))
    assert "list. Nothing was unlinked." in said
    held = "12 unlinked ids on hold; nothing was unlinked"
    assert held in words(await alice.get())
    asked = words(await alice.get(f"/status/runs/{number}/approve"))
    assert "12 ids of Radarr or Sonarr will be unlinked" in asked
    assert ("will be removed" in asked, "Approve 12 changes" in asked) == (False, True)


async def test_an_approved_plan_takes_ids_away_and_removes_nothing(stand: Stand) -> None:
    """Each kind goes into its own part of the run's scope."""
    number = await unlinked(stand)
    before = rows(stand.file, "SELECT COUNT(*) FROM requests")
    assert rows(stand.file, LINKED) == [(13,)]
    assert (await stand.ask("POST", f"/admin/runs/{number}/approve")).status == 202
    await idle(stand)
    assert rows(stand.file, LINKED) == [(1,)]
    assert rows(stand.file, "SELECT COUNT(*) FROM requests") == before


async def test_an_id_that_was_kept_can_be_taken_away_alone(stand: Stand) -> None:
    """After the plan was discarded, each is a finding of its own."""
    number = await unlinked(stand)
    await stand.ask("POST", f"/admin/runs/{number}/discard")
    findings = await found(stand, "unlink_held")
    assert len(findings) == 12
    assert (await settle(stand, findings[0])).status == 202
    assert rows(stand.file, LINKED) == [(12,)]


async def test_the_buttons_of_the_page_do_the_same(stand: Stand, alice: Person) -> None:
    """Each finding has that of its action; who pressed it is in the audit."""
    await doubled(stand)
    text = (await alice.get("/status/attention")).text
    assert re.findall('value="(merge[^"]*)"', text) == ["merge double request 1"]
    path = "/status/attention"
    sent = await alice.post(path, await alice.token(path), do="merge double request 1")
    assert "Run 3 merges them into one row" in words(await alice.get(sent.headers["Location"]))
    await idle(stand)
    assert rows(stand.file, "SELECT id FROM requests WHERE media_type = 'MOVIE'") == [(1,)]
    [event] = await stand.audited("merge.approved")
    known = (event["actor_name"], event["target"], event["run_id"], event["after"])
    assert known == ("admin", "request 1", 3, {"address": "127.0.0.1"})


async def test_what_cannot_be_done_is_refused(stand: Stand) -> None:
    """An action of another kind of finding, and one that nobody knows."""
    finding = await doubled(stand)
    for do in ("remove", "confirm", "track_again", "unlink"):
        answer = await settle(stand, finding, do)
        assert (answer.status, "does not apply here" in answer.detail) == (409, True)
    unknown = await settle(stand, {**finding, "target": "request 9"})
    assert (unknown.status, "no longer exists" in unknown.detail) == (409, True)
    assert (await settle(stand, finding, "burn")).status == 400
    assert len(rows(stand.file, "SELECT 1 FROM sync_runs")) == 2


async def test_a_finding_is_ignored_restored_and_looked_at_by_calls(stand: Stand) -> None:
    """A reply that begins no run is a 200; one that does names it."""
    finding = await doubled(stand)
    assert (await settle(stand, finding, "ignore")).json["run_id"] is None
    assert await found(stand, "double") == []
    assert (await settle(stand, finding, "recheck")).status == 202
    assert (await settle(stand, finding, "restore")).status == 200
    assert len(await found(stand, "double")) == 1


async def test_what_somebody_ignored_in_version_one_stays_ignored(stand: Stand) -> None:
    """There a finding with an item went by that; it can still be restored."""
    finding = await doubled(stand)
    values = "VALUES ('double', ?, ?, '2026', 'alice')"
    item = f"item {METROPOLIS.jellyfin_id}"
    change(stand.file, f"INSERT INTO sync_ignored {values}", item, finding["what"])
    assert await found(stand, "double") == []
    await settle(stand, finding, "restore")
    assert len(await found(stand, "double")) == 1


async def test_a_plain_user_settles_nothing(stand: Stand, bob: Person) -> None:
    """Not with a form of their own either."""
    await doubled(stand)
    answer = await bob.post("/status/attention", await bob.token(), do="merge double request 1")
    assert (answer.status, await stand.audited("merge.approved")) == (403, [])
