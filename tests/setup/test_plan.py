"""What differs between what is there and what is wanted, on what real servers have said."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from daemon.services import webhooks as webhooks_read
from daemon.setup.plan import (
    SWITCHES,
    destination,
    notification,
    starred,
    webhooks,
    without_destination,
)
from tests.setup.support import field_of
from tests.upstream import recorded

URL = "http://127.0.0.1:8765/hooks/radarr"
JELLYFIN = "http://127.0.0.1:8765/hooks/jellyfin"


def said(name: str) -> Any:
    """What a real server has answered."""
    return copy.deepcopy(recorded("setup", "exchanges")[name]["body"])


def template(name: str = "radarr") -> dict[str, Any]:
    """A webhook that nothing is filled into."""
    [found] = said(f"{name}_schema")
    return dict(found)


OURS = {"onGrab", "onDownload", "onUpgrade", "onRename", "onManualInteractionRequired"}
MOVIES = {"onMovieAdded", "onMovieDelete", "onMovieFileDelete", "onMovieFileDeleteForUpgrade"}
SERIES = {"onSeriesAdd", "onSeriesDelete", "onEpisodeFileDelete", "onEpisodeFileDeleteForUpgrade"}


@pytest.mark.parametrize(
    ("application", "switches"),
    [("radarr", OURS | MOVIES), ("sonarr", OURS | SERIES | {"onImportComplete"})],
)
def test_a_webhook_that_is_not_there_is_added(application: str, switches: set[str]) -> None:
    """From the template, with the switches that the application has; others' are not ours."""
    entries = said(f"{application}_notifications")
    change = notification(entries, template(application), URL, "", "s3cret")
    document = dict(change.document)
    on = {name for name, value in document.items() if name.startswith("on") and value}
    assert (change.verb, on) == ("add", switches)
    assert document["name"] == "Library Sync"
    assert "presets" not in document
    values = {name: field_of(document, name) for name in ("url", "method", "password")}
    assert values == {"url": URL, "method": 1, "password": "s3cret"}


def test_every_webhook_that_is_read_is_switched_on() -> None:
    """An import is sent under three switches, and a file that is replaced under a second one."""
    named = {f"on{kind}" for kind in webhooks_read._COMING | webhooks_read._MOVING}
    assert named <= {*SWITCHES}
    others = {"onUpgrade", "onImportComplete"} | {f"{name}ForUpgrade" for name in named}
    assert {*SWITCHES} <= named | others


def test_one_that_is_there_as_it_is_saved_differs_in_nothing() -> None:
    """What comes back, the password as stars, is what was sent."""
    entries = [said("radarr_changed")]
    url = field_of(entries[0], "url")
    change = notification(entries, template(), url, "", "s3cret")
    assert (change.verb, starred(change.document)) == ("same", entries[0])


@pytest.mark.parametrize("without", ["onUpgrade", "password", "url"])
def test_only_what_differs_is_changed(without: str) -> None:
    """An entry that leads to us, or did before; its other switches and its name stay."""
    entry, former = {**said("radarr_changed"), "name": "mine"}, "http://10.0.0.1/hooks/radarr"
    entry["onUpgrade"] = without != "onUpgrade"
    values = {"url": former if without == "url" else URL}
    values["password"] = "" if without == "password" else "********"
    for one in entry["fields"]:
        one["value"] = values.get(one["name"], one.get("value"))
    change = notification([entry], template(), URL, former, "s3cret")
    assert (change.verb, change.document["name"]) == ("change", "mine")
    assert {k: v for k, v in change.document.items() if k not in {"fields", "onUpgrade"}} == {
        k: v for k, v in entry.items() if k not in {"fields", "onUpgrade"}
    }


def test_names_are_unique() -> None:
    """One of ours may be another machine's."""
    entries = [{**said("radarr_changed"), "name": name} for name in ("Library Sync", "Sink")]
    change = notification(entries, template(), URL, "", "s3cret")
    assert (change.verb, change.document["name"]) == ("add", "Library Sync 2")


def test_what_is_taken_back_is_of_our_name_and_leads_to_us() -> None:
    """Not what somebody made by hand, nor what leads to another machine."""
    ours = said("radarr_changed")
    url = field_of(ours, "url")
    entries = [ours, {**ours, "id": 8, "name": "mine"}, {**ours, "id": 9, "fields": []}]
    assert [*webhooks(entries, url)] == [3]
    assert [*webhooks(entries, "http://10.0.0.1/hooks/radarr")] == []


def test_the_plugins_entry_is_added_behind_the_others() -> None:
    """All that its configuration holds is sent back as it came."""
    before = {**said("configuration"), "Unknown": [1.5, None]}
    change = destination(before, "http://10.0.0.1/hooks/jellyfin", "", "s3cret")
    *others, ours = change.document["GenericOptions"]
    rest = {**change.document, "GenericOptions": others}
    assert (change.verb, json.dumps(rest)) == ("add", json.dumps(before))
    assert ours.keys() == before["GenericOptions"][0].keys()
    assert without_destination(change.document, ours["WebhookUri"]) == before


def test_the_plugins_entry_as_it_should_be() -> None:
    """The one that the recorded server has leads to us, and nothing of it differs."""
    before = said("configuration")
    assert destination(before, JELLYFIN, "", "lab-webhook-secret").verb == "same"
    assert destination(before, JELLYFIN, "", "another").verb == "change"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EnableSeries", False),
        ("SendAllProperties", False),
        ("EnableWebhook", False),
        ("NotificationTypes", ["ItemAdded", "PlaybackStart"]),
        ("UserFilter", ["e5ec84ca3360451e91b99842559b5682"]),
    ],
)
def test_the_plugins_entry_is_put_right(name: str, value: object) -> None:
    """What else it sends is left to it."""
    before = said("configuration")
    right = before["GenericOptions"][1]
    before["GenericOptions"][1] = {**right, name: value}
    change = destination(before, "elsewhere", JELLYFIN, "lab-webhook-secret")
    ours = change.document["GenericOptions"][1]
    more = ["ItemAdded", "PlaybackStart", "ItemDeleted"]
    wanted = more if name == "NotificationTypes" else right[name]
    assert (change.verb, ours) == ("change", {**right, name: wanted, "WebhookUri": "elsewhere"})


def test_a_configuration_without_our_entry_is_left_alone() -> None:
    """There is nothing to take back."""
    assert without_destination(said("configuration"), "http://10.0.0.1/hooks/jellyfin") is None
