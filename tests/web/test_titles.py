"""The pages of single titles: what needs somebody, and what is known of one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from daemon.domain import Evidence, Held, Missed, Trigger
from daemon.store import evidence, history, plans, syncing
from tests.answer import Answer
from tests.builders import ACTOR, change
from tests.pretend import Fault
from tests.pretend.library import Movie
from tests.running import METROPOLIS, a_world, until
from tests.web.people import Person, somebody, synced, words
from tests.web.support import Stand, standing

ATTENTION = "/status/attention"
TITLE = "/status/titles/1"


async def without_ids(stand: Stand) -> None:
    """The film is tracked, and no provider knows it."""
    await synced(stand)
    change(stand.file, "UPDATE requests SET tmdb_id = NULL, tvdb_id = NULL WHERE id = 1")


async def counted(stand: Stand, query: str = "") -> list[str]:
    """What the API finds, by kind."""
    findings = (await stand.ask("GET", f"/admin/attention{query}")).json["findings"]
    return [one["kind"] for one in findings]


def listings(stand: Stand) -> int:
    """How often the whole list of films and series was asked for."""
    calls = stand.services.calls("jellyfin")
    return sum("Movie,Series" in call.query and "ids=" not in call.query.lower() for call in calls)


async def pressed(person: Person, what: str, query: str = "") -> Answer:
    """Press one of the buttons."""
    path = ATTENTION + query
    return await person.post(path, await person.token(path), do=what)


async def does(person: Person, what: str, query: str = "") -> str:
    """The same; what the next page says."""
    answer = await pressed(person, what, query)
    assert answer.status == 303
    return words(await person.get(answer.headers["Location"]))


async def test_what_is_ignored_counts_nowhere_until_it_is_restored(
    stand: Stand, alice: Person
) -> None:
    """Not on the pages, not in the API; both steps are in the audit, with who and from where."""
    await without_ids(stand)
    assert "without ids" in words(await alice.get())
    assert "Ignored until its reason changes" in await does(alice, "ignore without_ids request 1")
    assert (await counted(stand), await counted(stand, "?ignored=true")) == ([], ["without_ids"])
    assert "No open issues" in words(await alice.get())
    said = words(await alice.get(ATTENTION))
    assert ("No open issues" in said, "ignored 1" in said) == (True, True)
    assert "Metropolis" in words(await alice.get(f"{ATTENTION}?kind=ignored"))
    assert "of this kind. Reset" in words(await alice.get(f"{ATTENTION}?kind=without_ids"))
    assert (
        f'action="{ATTENTION}?kind=ignored"' in (await alice.get(f"{ATTENTION}?kind=ignored")).text
    )
    await does(alice, "restore without_ids request 1", "?kind=ignored")
    assert (await counted(stand), await counted(stand, "?ignored=true")) == (["without_ids"], [])
    events = await stand.audited("finding.ignored", "finding.restored")
    assert [(one["actor_name"], one["target"], one["after"]) for one in events] == [
        ("admin", "request 1", {"address": "127.0.0.1"})
    ] * 2


async def test_what_is_ignored_comes_back_with_another_reason(stand: Stand, alice: Person) -> None:
    """And is ignored anew only for that one."""
    copies = [Movie.named(f"Copy {at}", 1927, {"Tmdb": "19"}) for at in range(2)]
    stand.services.world.add_movie(copies[0])
    await synced(stand)
    await does(alice, "ignore duplicates library")
    await synced(stand)
    assert await counted(stand) == []
    stand.services.world.add_movie(copies[1])
    await synced(stand)
    assert "further copies of tracked titles: 2" in words(await alice.get(ATTENTION))
    await does(alice, "ignore duplicates library")
    assert await counted(stand) == []


async def test_what_may_be_lost_cannot_be_ignored(stand: Stand, alice: Person) -> None:
    """Neither a plan that is held nor a title on its way out; no button offers it."""
    await synced(stand)
    store = stand.parts.store
    [film, show] = (await store.read(syncing.tracked)).rows
    await store.write(evidence.note, Evidence([], [], [Missed(show, library_away=False)]))
    await plans.hold(store, 1, [Held(film, "its disk is away")], timedelta(days=7))
    text = (await alice.get(ATTENTION)).text
    assert re.findall('value="(.*?) ', text) == ["recheck"]
    for named in ("held request 1", "leaving request 2"):
        refused = await pressed(alice, f"ignore {named}")
        assert (refused.status, "cannot be ignored" in words(refused)) == (409, True)
    assert await counted(stand) == ["held", "leaving"]


async def test_a_finding_that_is_gone_is_said_to_be(stand: Stand, alice: Person) -> None:
    """A form that was left open for long does nothing."""
    await without_ids(stand)
    for what in ("ignore without_ids request 9", "forget without_ids request 1", "ignore", ""):
        gone = await pressed(alice, what)
        assert (gone.status, "Nothing was done" in words(gone)) == (409, True)
    assert await counted(stand) == ["without_ids"]


async def test_a_recheck_is_a_look_at_that_title_alone(stand: Stand, alice: Person) -> None:
    """The run is named, asked for in the admin's name, and audited."""
    await without_ids(stand)
    before = listings(stand)
    assert "Run 2 is rechecking this title" in await does(alice, "recheck without_ids request 1")
    await until(lambda: stand.parts.worker.last and stand.parts.worker.last.run_id == 2)
    assert listings(stand) == before
    assert await counted(stand) == []
    [event] = await stand.audited("title.rechecked")
    known = (event["actor_name"], event["target"], event["run_id"], event["after"])
    assert known == ("admin", "request 1", 2, {"address": "127.0.0.1"})


async def test_what_jellyfin_has_no_id_for_waits_for_the_next_full_sync(
    stand: Stand, alice: Person
) -> None:
    """A look at one title goes by Jellyfin's id."""
    await without_ids(stand)
    change(stand.file, "UPDATE requests SET jellyfin_id = NULL WHERE id = 1")
    refused = await pressed(alice, "recheck without_ids request 1")
    assert (refused.status, "next full sync" in words(refused)) == (409, True)


# --- one title -------------------------------------------------------------------------------


async def rechecked(person: Person, number: int) -> str:
    """Press the button; what the page says then."""
    path = f"/status/titles/{number}"
    answer = await person.send(path, f"{path}/recheck")
    assert answer.status == 303
    return words(await person.get(answer.headers["Location"]))


async def test_a_title_tells_where_it_is_and_who_gave_its_ids(stand: Stand, alice: Person) -> None:
    """By the file alone: each source with its id, whether it is there, and since when."""
    await synced(stand)
    change(stand.file, "UPDATE requests SET tvdb_id = NULL WHERE id = 2")
    await synced(stand)
    calls = len(stand.services.calls("jellyfin"))
    film, show = [words(await alice.get(f"/status/titles/{number}")) for number in (1, 2)]
    expected = (
        "Tracker available",
        "in the library /media/movies just now",
        "Radarr linked just now 1",
        "TMDB 19 from Jellyfin, run 1",
        "Radarr 1 from Radarr, run 1",
        "Import available library_sync: Synced from library",
    )
    assert [text for text in expected if text not in film] == []
    assert "TVDB 71471 from Jellyfin, run 2" in show
    assert len(stand.services.calls("jellyfin")) == calls


async def test_a_title_tells_which_instances_have_it(tmp_path: Path) -> None:
    """On its page and in the API, with its number and address there; the first page has all."""
    world = a_world()
    world.further = {"radarr_4k": {}, "radarr_for_kids": {}}
    world.radarr_knows(METROPOLIS, number=70, instance="radarr_4k")
    async with standing(tmp_path, world=world) as stand, somebody(stand) as alice:
        await alice.log_in()
        await synced(stand)
        told = (await stand.ask("GET", "/admin/titles/1")).json
        page, status = (await alice.get(TITLE)).text, words(await alice.get("/status"))
        addresses = [f"{url}/movie/19" for url in radarrs(stand)]
    assert told["instances"] == [
        {"name": "Radarr", "number": 1, "url": addresses[0]},
        {"name": "Radarr 4k", "number": 70, "url": addresses[1]},
    ]
    assert "Radarr 4k has it as number 70." in told["because"]
    assert "Radarr 4k has it as number 70." in page
    for name, address in zip(("Radarr", "Radarr 4k"), addresses, strict=True):
        assert f'<a href="{address}" rel="noreferrer">{name}</a>' in page
    assert "Radarr for kids" not in page
    for name, path in (("Radarr 4k", "radarr/4k"), ("Radarr for kids", "radarr/for_kids")):
        assert name in status
        assert f"/hooks/{path} " in status


def radarrs(stand: Stand) -> list[str]:
    """Where the first two Radarrs are."""
    return [one.public_url for one in stand.parts.settings.instances if one.kind == "radarr"][:2]


async def test_of_what_others_wrote_no_source_is_invented(stand: Stand, alice: Person) -> None:
    """Nor is a moment at which it was seen; what this program wrote may have been replaced, too."""
    await synced(stand)
    change(stand.file, "UPDATE requests SET requested_by = 'carol', tmdb_id = NULL WHERE id = 1")
    await synced(stand)
    assert "TMDB 19 from Jellyfin, run 2" in words(await alice.get("/status/titles/1"))
    change(stand.file, "UPDATE requests SET tmdb_id = 20 WHERE id = 1")
    change(stand.file, "DELETE FROM sync_titles WHERE request_id = 1")
    said = words(await alice.get("/status/titles/1"))
    assert "TMDB 20 TVDB" in said
    assert re.search("Jellyfin not seen yet [0-9a-f]{9}", said), "with its id, and no time"


async def test_a_recheck_shows_what_its_run_found(stand: Stand, alice: Person) -> None:
    """A run looks at that title alone, in the admin's name, and what it wrote is on the page."""
    await synced(stand)
    before = listings(stand)
    assert "What run 2 found ok 1 already right" in await rechecked(alice, 1)
    change(stand.file, "UPDATE requests SET radarr_id = NULL WHERE id = 1")
    film = await rechecked(alice, 1)
    assert "What run 3 found ok 1 filled in" in film
    assert "Radarr 1 from Radarr, run 3" in film
    assert listings(stand) == before
    events = await stand.audited("title.rechecked")
    assert [(one["actor_name"], one["target"], one["run_id"]) for one in events] == [
        ("admin", "request 1", number) for number in (2, 3)
    ]
    assert {one["after"]["address"] for one in events} == {"127.0.0.1"}


async def test_a_recheck_is_sent_once(stand: Stand, alice: Person) -> None:
    """Two clicks, or a page that is loaded again, ask nobody twice."""
    await synced(stand)
    path = "/status/titles/1"
    token = await alice.token(path, f"{path}/recheck")
    await alice.post(f"{path}/recheck", token)
    again = await alice.post(f"{path}/recheck", token)
    assert again.headers["Location"] == f"{path}?said=already"
    assert len(await stand.audited("title.rechecked")) == 1


async def test_a_recheck_says_why_nothing_is_there(stand: Stand, alice: Person) -> None:
    """An id that Jellyfin has not, a place that is not understood, a row without any id."""
    await synced(stand)
    film = replace(METROPOLIS, location="Elsewhere")
    stand.services.world.movies[METROPOLIS.jellyfin_id] = film
    dashed = str(UUID(METROPOLIS.jellyfin_id)).upper()
    change(stand.file, "UPDATE requests SET jellyfin_id = ? WHERE id = 1", dashed)
    assert "1 unknown whether there is anything to play" in await rechecked(alice, 1)
    change(stand.file, "UPDATE requests SET jellyfin_id = ? WHERE id = 2", "f" * 32)
    assert "Jellyfin has nothing under this id." in await rechecked(alice, 2)
    change(stand.file, "UPDATE requests SET jellyfin_id = NULL WHERE id = 2")
    path = "/status/titles/2"
    refused = await alice.send(path, f"{path}/recheck")
    assert (refused.status, "next full sync" in words(refused)) == (409, True)


async def test_a_recheck_tells_of_a_service_that_is_away(stand: Stand, alice: Person) -> None:
    """What could not be asked is no absence."""
    await synced(stand)
    stand.services.fault("jellyfin", Fault(drop=True, times=None))
    said = await rechecked(alice, 2)
    assert "What run 2 found failed" in said
    assert "check the port" in said
    assert "nothing under this id" not in said


async def test_a_recheck_that_waits_is_a_link_to_its_run(stand: Stand, alice: Person) -> None:
    """Nothing is told of a run that has not ended."""
    await synced(stand)
    number = await stand.parts.store.write(history.begin, Trigger.ADMIN, ACTOR)
    for waiting in (number, number + 1):
        said = words(await alice.get(f"{TITLE}?said=rechecked&run={waiting}"))
        assert f"Run {waiting} is rechecking this title" in said
        assert f"What run {waiting} found" not in said


async def test_the_trackers_own_episodes_are_counted_by_season(stand: Stand, bob: Person) -> None:
    """Nobody has to be asked for them, and everybody may see them."""
    await synced(stand)
    into = "INSERT INTO episodes (request_id, season_number, episode_number, state, created_at,"
    states = {(0, 1): "REQUESTED", (1, 1): "AVAILABLE", (2, 1): "AVAILABLE", (2, 2): "GRABBING"}
    for (season, episode), state in states.items():
        values = f"(2, {season}, {episode}, '{state}', '2026', '2026')"
        change(stand.file, f"{into} updated_at) VALUES {values}")
    page = await bob.get("/status/titles/2")
    assert "Specials 0 of 1 Season 1 1 of 1 Season 2 1 of 2" in words(page)
    assert re.findall('badge is-([a-z]+)">. of', page.text) == ["never", "ok", "partial"]


async def test_a_plain_user_rechecks_nothing_and_sees_no_folder(stand: Stand, bob: Person) -> None:
    """There is no button, and no form of their own does it."""
    await synced(stand)
    answer = await bob.get("/status/titles/1")
    assert re.findall("/media|Recheck|Where it is|timeline", answer.text) == []
    assert "What run 1 found" not in words(await bob.get(f"{TITLE}?said=rechecked&run=1"))
    refused = await bob.post("/status/titles/1/recheck", await bob.token())
    assert (refused.status, await stand.audited("title.rechecked")) == (403, [])


async def test_a_picture_is_jellyfins_own(stand: Stand, bob: Person) -> None:
    """Anybody who is logged in gets it from here, and their browser may keep it for a day."""
    await synced(stand)
    path = "/status/titles/1/poster"
    assert f'<img class="poster" src="{path}" alt=""' in (await bob.get("/status/titles/1")).text
    answer = await bob.get(path)
    assert (answer.status, answer.headers["Content-Type"][:6]) == (200, "image/")
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    [call] = [call for call in stand.services.calls("jellyfin") if "/Images/" in call.path]
    assert call.query == "maxHeight=360"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/Items/", status=404),
        Fault("/Items/", drop=True, times=None),
        Fault("/Items/", body=b"<html>", headers={"Content-Type": "text/html"}),
        Fault("/Items/", body=b"x" * 1_100_000, headers={"Content-Type": "image/png"}),
    ],
)
async def test_what_is_no_small_picture_is_not_handed_on(
    stand: Stand, alice: Person, fault: Fault
) -> None:
    """None, an unreachable Jellyfin, another kind of file, more than a megabyte."""
    await synced(stand)
    stand.services.fault("jellyfin", fault)
    answer = await alice.get("/status/titles/1/poster")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.text == '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 3"/>'
    change(stand.file, "UPDATE requests SET poster_url = NULL WHERE id = 1")
    assert "<img" not in (await alice.get("/status/titles/1")).text
