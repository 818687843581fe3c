"""Webhooks over HTTP: who may send them, and what is answered."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import a_world
from tests.web.support import AS_ADMIN, HOOK_SECRET, Stand, standing

RECORDED = Path(__file__).parents[1] / "recorded" / "hooks"
JELLYFIN: dict[str, dict[str, str]] = json.loads((RECORDED / "jellyfin.json").read_text())
RADARR: dict[str, dict[str, Any]] = json.loads((RECORDED / "radarr.json").read_text())
ADDED = JELLYFIN["36_all_default_type_itemadded_movie"]["body"]
PLAYED = JELLYFIN["09_all_json_playbackstart_movie"]["body"]
AS_SENDER = {"X-Library-Sync-Secret": HOOK_SECRET}


def basic(password: str) -> dict[str, str]:
    """Basic authentication as Radarr's and Sonarr's form makes it."""
    return {"Authorization": "Basic " + base64.b64encode(f"any:{password}".encode()).decode()}


async def test_a_hint_is_taken_at_once(stand: Stand) -> None:
    """The plugin sends text/plain unless told otherwise, and never tries again."""
    headers = {**AS_SENDER, "Content-Type": "text/plain; charset=utf-8"}
    answer = await stand.ask("POST", "/hooks/jellyfin", headers, data=ADDED)
    assert (answer.status, answer.json) == (202, {"taken": "ItemAdded"})
    assert stand.parts.hints.statistics.last_kind == "ItemAdded"


async def test_what_is_not_about_the_library_is_nothing(stand: Stand) -> None:
    """Somebody pressed play."""
    assert (await stand.ask("POST", "/hooks/jellyfin", AS_SENDER, data=PLAYED)).status == 204


@pytest.mark.parametrize("service", ["radarr", "sonarr"])
async def test_an_import_is_taken_and_a_test_does_nothing(stand: Stand, service: str) -> None:
    """Their test has to succeed, or their form refuses the settings."""
    hooks: dict[str, Any] = json.loads((RECORDED / f"{service}.json").read_text())
    [download, *_] = [hook for hook in hooks.values() if hook["eventType"] == "Download"]
    answer = await stand.ask("POST", f"/hooks/{service}", basic(HOOK_SECRET), json=download)
    assert (answer.status, answer.json) == (202, {"taken": "Download"})
    answer = await stand.ask("POST", f"/hooks/{service}", basic(HOOK_SECRET), json=hooks["01_Test"])
    assert (answer.status, answer.json) == (200, {"taken": ""})


async def test_further_instances_have_addresses_of_their_own(tmp_path: Path) -> None:
    """A name that is not configured is told so, with those that are, and takes nothing."""
    [download] = [hook for name, hook in RADARR.items() if name == "11_Download"]
    world = a_world()
    world.further = {"radarr_4k": {}, "radarr_for_kids": {}}
    async with standing(tmp_path, world=world, base_path="/sync") as stand:
        for name in ("4k", "for_kids"):
            path = f"/hooks/radarr/{name}"
            answer = await stand.ask("POST", path, AS_SENDER, json=download)
            assert (answer.status, answer.json) == (202, {"taken": "Download"})
        taken = dict(stand.parts.hints.statistics.totals)
        for path in ("/hooks/radarr/uhd", "/hooks/sonarr/4k", "/hooks/radarr/x%2Fhooks%2Fradarr"):
            answer = await stand.ask("POST", path, AS_SENDER, json=download)
            assert answer.status == 404
            assert "no instance of this name is configured" in answer.text
            assert "/sync/hooks/radarr/4k" in answer.text
        assert dict(stand.parts.hints.statistics.totals) == taken
        assert (await stand.ask("POST", "/hooks/radarr/4k", {}, json=download)).status == 401
        setup = await stand.ask("GET", "/openapi.json")
        [name] = setup.json["paths"]["/hooks/radarr/{name}"]["post"]["parameters"]
        assert (name["in"], "radarr_NAME" in name["description"]) == ("path", True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (AS_SENDER, 202),
        ({"Authorization": f"Bearer {HOOK_SECRET}"}, 202),
        (basic(HOOK_SECRET), 202),
        ({}, 401),
        ({"X-Library-Sync-Secret": HOOK_SECRET + "x"}, 401),
        ({"Authorization": "Basic ÿÿ"}, 401),
        (basic("wrong"), 401),
        (AS_ADMIN, 401),
    ],
)
async def test_only_who_knows_the_secret_may_send(
    stand: Stand, headers: dict[str, str], status: int
) -> None:
    """In its own header, as a bearer or as a password; never in the address."""
    answer = await stand.ask("POST", "/hooks/jellyfin", headers, data=ADDED)
    assert answer.status == status
    in_address = f"/hooks/jellyfin?secret={HOOK_SECRET}"
    assert (await stand.ask("POST", in_address, {}, data=ADDED)).status in {400, 401}


async def test_guessing_the_secret_is_slow(stand: Stand) -> None:
    """After ten wrong ones in a minute the address has to wait."""
    statuses = [
        (await stand.ask("POST", "/hooks/jellyfin", basic(str(n)), data=ADDED)).status
        for n in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    assert statuses == [401] * 10 + [429] * 2
    assert (await stand.ask("GET", "/admin/hooks")).status == 200


async def test_without_a_secret_nothing_is_accepted(tmp_path: Path) -> None:
    """An open door would let anybody make the server work."""
    async with standing(tmp_path, hook_secret=None) as stand:
        answer = await stand.ask("POST", "/hooks/jellyfin", {}, data=ADDED)
        assert answer.status == 403
        assert "webhook.secret" in answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"\x00", b"[" * 60_000, b'{"a":1}'])
async def test_what_cannot_be_understood_is_refused_with_what_to_do(
    stand: Stand, body: bytes
) -> None:
    """It is counted, too, so that a wrong set-up shows."""
    answer = await stand.ask("POST", "/hooks/jellyfin", AS_SENDER, data=body)
    assert answer.status == 400
    assert "Send All Properties" in answer.json["detail"]
    assert stand.parts.hints.statistics.totals["unreadable"] == 1


async def test_a_body_that_is_too_large_is_refused(stand: Stand) -> None:
    """No webhook has more than 64 KiB."""
    answer = await stand.ask("POST", "/hooks/jellyfin", AS_SENDER, data=b"x" * 70_000)
    assert answer.status == 413


async def test_an_admin_sees_how_the_webhooks_fare(stand: Stand) -> None:
    """Before the first one it says that none was received."""
    assert (await stand.ask("GET", "/admin/hooks")).json["state"] == "never received"
    await stand.ask("POST", "/hooks/jellyfin", AS_SENDER, data=ADDED)
    told = (await stand.ask("GET", "/admin/hooks")).json
    assert (told["state"], told["last_24h"]) == ("receiving", {"ItemAdded": 1})


async def test_a_test_is_sent_through_the_public_address(tmp_path: Path) -> None:
    """It tells whether the address that senders use leads here."""
    async with standing(tmp_path, public_url="http://127.0.0.1:9") as stand:
        told = (await stand.ask("POST", "/admin/hooks/test")).json
        assert told == {
            "url": "http://127.0.0.1:9/hooks/jellyfin",
            "good": False,
            "detail": "it did not arrive: ClientConnectorError",
        }
