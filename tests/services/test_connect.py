"""What real servers have said when something was set up in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.errors import RefusedKeyError, RejectedError
from daemon.services.connect import ArrConnect, JellyfinConnect
from tests.upstream import Upstream, http, recorded, reply

ENTRY = {"name": "Library Sync", "fields": []}


def said(name: str) -> bytes:
    """A recorded reply, whole."""
    one = recorded("setup", "exchanges")[name]
    body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
    return reply(one["status"], body.encode(), {"Content-Type": one["content_type"]})


async def save(answer: bytes, **entry: Any) -> Upstream:
    """Save an entry, and be answered so."""
    async with Upstream([answer]) as server, http(server.url) as client:
        await ArrConnect(client).save({**ENTRY, **entry})
    return server


@pytest.mark.parametrize("name", ["radarr", "sonarr"])
async def test_an_entry_is_added_and_changed(name: str) -> None:
    """One with an id is there already."""
    assert (await save(said(f"{name}_added"))).asked[0].path == "/api/v3/notification"
    server = await save(said(f"{name}_changed"), id=3)
    assert server.asked[0].path == "/api/v3/notification/3"
    assert json.loads(server.asked[0].body) == {**ENTRY, "id": 3}


@pytest.mark.parametrize("name", ["radarr", "sonarr"])
async def test_nobody_listens(name: str) -> None:
    """The application's own words, and what to do; never its stack trace."""
    with pytest.raises(RejectedError) as caught:
        await save(said(f"{name}_nobody_listens"))
    assert "Connection refused (127.0.0.1:8765); Radarr must reach this machine" in str(
        caught.value
    )
    assert "System.Net" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("radarr_same_name", "Name: Should be unique; see the service's own log"),
        ("sonarr_without_url", "Url: Invalid Url: '{url}'; Radarr must reach this machine"),
    ],
)
async def test_what_the_application_does_not_take(name: str, words: str) -> None:
    """Its own complaint."""
    with pytest.raises(RejectedError) as caught:
        await save(said(name))
    assert words in str(caught.value)


async def test_a_failure_without_words() -> None:
    """Has at least its number."""
    with pytest.raises(RejectedError, match="HTTP 500; Radarr must"):
        await save(reply(500, b"<html>"))


async def test_a_wrong_key() -> None:
    """As everywhere."""
    with pytest.raises(RefusedKeyError):
        await save(said("radarr_wrong_key"))


async def test_a_test_and_a_removal_that_work() -> None:
    """Both are answered with an empty document, the one as text."""
    answers = [said("radarr_tested"), said("radarr_removed"), said("radarr_schema")]
    async with Upstream([*answers]) as server, http(server.url) as client:
        await ArrConnect(client).test(ENTRY)
        await ArrConnect(client).remove(3)
        assert (await ArrConnect(client).template())["implementation"] == "Webhook"
    assert server.asked[1].path == "/api/v3/notification/3"


async def test_a_new_key_is_the_newest_of_our_name() -> None:
    """Making it is answered with nothing."""
    async with (
        Upstream([said("key_made"), said("keys_after")]) as server,
        http(server.url) as client,
    ):
        assert await JellyfinConnect(client).make_key() == "<token>"
    assert server.asked[0].query == {"app": "Library Sync"}
    async with Upstream([said("keys")]) as server, http(server.url) as client:
        assert await JellyfinConnect(client).key() is None


async def test_of_several_keys_of_our_name_the_newest_counts() -> None:
    """In whatever order they are listed; others' are none of ours."""
    [key] = recorded("setup", "exchanges")["keys"]["body"]["Items"]
    listed = [
        ("c", "Other", "2027"),
        ("b", "Library Sync", "2026-11"),
        ("a", "Library Sync", "2025"),
    ]
    names = ("AccessToken", "AppName", "DateCreated")
    items = [{**key, **dict(zip(names, one, strict=True))} for one in listed]
    answer = reply(200, json.dumps({"Items": items}).encode())
    async with Upstream([answer]) as server, http(server.url) as client:
        assert await JellyfinConnect(client).key() == "b"


async def test_the_plugin_is_known_by_its_id() -> None:
    """With dashes or without; a server without it has none of its status."""
    dashed = json.dumps([{"Id": "71552A5A-5C5C-4350-A2AE-EBE451A30173", "Status": "Restart"}])
    answers = [said("plugins"), reply(200, dashed.encode()), reply(200, b"[]")]
    async with Upstream([*answers]) as server, http(server.url) as client:
        found = [await JellyfinConnect(client).plugin() for _ in answers]
    assert found == ["Active", "Restart", ""]


async def test_a_person_may_not_set_up_anything() -> None:
    """Only administrators may."""
    async with Upstream([said("viewer")]) as server, http(server.url) as client:
        with pytest.raises(RefusedKeyError):
            await JellyfinConnect(client).plugin()


async def test_tasks_that_ran_are_left_alone() -> None:
    """The plugin sends already."""
    async with Upstream([said("tasks")]) as server, http(server.url) as client:
        assert await JellyfinConnect(client).armed()
    assert len(server.asked) == 1
