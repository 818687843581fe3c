"""What somebody who is logged in may do follows what Jellyfin says of them, a minute later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pretend import Fault
from tests.pretend.jellyfin import ADMIN
from tests.web.people import Person, somebody, words
from tests.web.support import SLOWLY, Stand

_MINUTE = 61.0


@pytest.fixture
async def person(stand: Stand) -> AsyncIterator[Person]:
    """Give an administrator who is logged in to the pages."""
    async with somebody(stand) as one:
        assert (await one.log_in()).status == 303
        yield one


def account(**policy: bool) -> dict[str, Any]:
    """The administrator as Jellyfin describes them by now."""
    return {
        "Name": ADMIN.name,
        "Id": ADMIN.id,
        "Policy": {"IsAdministrator": True, "IsDisabled": False, **policy},
    }


def now_there_are(stand: Stand, *accounts: Any) -> None:
    """Let Jellyfin have these accounts only."""
    stand.services.fault("jellyfin", Fault("/Users", body=json.dumps(accounts).encode()))


async def test_a_demoted_administrator_may_look_and_not_act(stand: Stand, person: Person) -> None:
    """Neither by a form of theirs that is open still."""
    token = await person.token("/status")
    now_there_are(stand, account(IsAdministrator=False))
    stand.clock.seconds += _MINUTE
    refused = await person.post("/status/sync", token, what="full")
    assert (refused.status, "Only administrators" in words(refused)) == (403, True)
    assert stand.calls(SLOWLY) == 0
    assert (await person.get("/status")).status == 200
    assert (await person.get("/admin/runs")).status == 403


async def test_a_cookie_is_enough_to_read_and_not_to_act(stand: Stand, person: Person) -> None:
    """A browser sends it unasked; whoever acts by the API has to prove who they are."""
    assert (await person.get("/admin/runs")).status == 200
    for path in ("/admin/sync", "/admin/attention"):
        async with person.session.post(f"{stand.url}{path}") as reply:
            assert reply.status == 401
    assert stand.calls(SLOWLY) == 0


@pytest.mark.parametrize("accounts", [[], [account(IsDisabled=True)], [account(), {"Name": 1}][1:]])
async def test_whoever_has_no_account_any_more_is_logged_out(
    stand: Stand, person: Person, accounts: list[Any]
) -> None:
    """Deleted, disabled, or described in a way that is not understood."""
    now_there_are(stand, *accounts)
    stand.clock.seconds += _MINUTE
    answer = await person.get("/status")
    assert (answer.status, answer.headers["Location"]) == (
        303,
        "/login?next=%2Fstatus&why=ended",
    )
    assert (await person.get("/admin/runs")).status == 401


async def test_jellyfin_is_asked_once_a_minute_for_everybody(stand: Stand, person: Person) -> None:
    """However many people are logged in, and however many pages they load."""
    async with somebody(stand) as other:
        await other.log_in()
        for _ in range(3):
            stand.clock.seconds += _MINUTE
            pages = (one.get("/status") for one in (person, other) for _ in range(10))
            assert {answer.status for answer in await asyncio.gather(*pages)} == {200}
    assert stand.calls("/Users") == 3


async def test_while_jellyfin_is_away_people_can_look_and_not_act(
    stand: Stand, person: Person
) -> None:
    """Pages are of the file alone; an action waits until it is known who may."""
    token = await person.token("/status")
    stand.services.fault("jellyfin", Fault("/Users", status=503, times=None))
    stand.clock.seconds += _MINUTE
    assert (await person.get("/status")).status == 200
    refused = await person.post("/status/sync", token, what="full")
    assert (refused.status, "cannot be asked" in words(refused)) == (503, True)
    stand.services.mend("jellyfin")
    stand.clock.seconds += 2
    assert (await person.post("/status/sync", token, what="full")).status == 303


async def test_the_events_end_with_the_right_to_see_them(stand: Stand, person: Person) -> None:
    """A stream that was opened by an administrator is none of whoever logged out."""
    async with person.session.get(f"{stand.url}/admin/sync/events") as stream:
        await stream.content.readuntil(b"\n\n")
        await person.send("/status", "/logout")
        stand.parts.feed.publish("progress", {})
        assert b"event: progress" not in await stream.content.read()


async def test_a_stream_learns_of_a_demotion_as_soon_as_a_page(
    stand: Stand, person: Person
) -> None:
    """What counts is when Jellyfin was asked last, not when the stream was opened."""
    stand.clock.seconds += _MINUTE / 2
    async with person.session.get(f"{stand.url}/admin/sync/events") as stream:
        await stream.content.readuntil(b"\n\n")
        now_there_are(stand, account(IsAdministrator=False))
        stand.clock.seconds += _MINUTE / 2
        stand.parts.feed.publish("progress", {})
        assert b"event: progress" not in await stream.content.read()


async def test_readers_seldom_wait_for_a_jellyfin_that_is_away(
    stand: Stand, person: Person
) -> None:
    """It may hang instead of refusing, and then each question takes seconds."""
    stand.services.fault("jellyfin", Fault("/Users", status=503, times=None))
    stand.clock.seconds += _MINUTE
    for _ in range(10):
        assert (await person.get("/status")).status == 200
        stand.clock.seconds += 2
    assert stand.calls("/Users") == 1
    stand.clock.seconds += 10
    assert (await person.get("/status")).status == 200
    assert stand.calls("/Users") == 2
