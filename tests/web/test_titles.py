"""The pages of single titles: what needs somebody, and what is known of one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from daemon.demo.jellyfin import VIEWER
from daemon.demo.library import Movie
from daemon.domain import Evidence, Trigger
from daemon.removal import Held
from tests.builders import ACTOR, change
from tests.running import until
from tests.web.people import Person, somebody, words
from tests.web.support import Answer, Stand

ATTENTION = "/status/attention"


@pytest.fixture
async def alice(stand: Stand) -> AsyncIterator[Person]:
    """Give an administrator who is logged in."""
    async with somebody(stand) as person:
        await person.log_in()
        yield person


@pytest.fixture
async def bob(stand: Stand) -> AsyncIterator[Person]:
    """Give a plain user who is logged in."""
    async with somebody(stand) as person:
        await person.log_in(VIEWER)
        yield person


async def synced(stand: Stand) -> None:
    """Let a run go to its end."""
    await stand.parts.worker.ask(Trigger.ADMIN, ACTOR).result


async def without_ids(stand: Stand) -> None:
    """The film is tracked, and no provider knows it."""
    await synced(stand)
    change(stand.file, "UPDATE requests SET tmdb_id = NULL, tvdb_id = NULL WHERE id = 1")


async def counted(stand: Stand, query: str = "") -> list[str]:
    """What the API finds, by kind."""
    findings = (await stand.ask("GET", f"/admin/attention{query}")).json["findings"]
    return [one["kind"] for one in findings]


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
    assert "missing ids" in words(await alice.get())
    assert "Ignored, until its reason changes" in await does(alice, "ignore without_ids request 1")
    assert (await counted(stand), await counted(stand, "?ignored=true")) == ([], ["without_ids"])
    assert "Nothing needs you" in words(await alice.get())
    said = words(await alice.get(ATTENTION))
    assert ("Nothing needs you" in said, "ignored 1" in said) == (True, True)
    assert "Metropolis" in words(await alice.get(f"{ATTENTION}?kind=ignored"))
    assert "of this kind. Reset" in words(await alice.get(f"{ATTENTION}?kind=without_ids"))
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
    [film, show] = (await store.tracked()).rows
    await store.note_evidence(Evidence([], [], [show]))
    await store.hold(1, [Held(film, "its disk is away")], timedelta(days=7))
    text = (await alice.get(ATTENTION)).text
    assert re.findall('value="(.*?) ', text) == ["recheck", "recheck"]
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
    before = stand.readings()
    assert "Run 2 looks at this title" in await does(alice, "recheck without_ids request 1")
    await until(lambda: stand.parts.worker.last and stand.parts.worker.last.run_id == 2)
    assert stand.readings() == before
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
