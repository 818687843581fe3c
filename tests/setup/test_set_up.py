"""Setting up, from nothing to a synced title; again; and back."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon import app, opening
from daemon.domain import Trigger
from daemon.errors import (
    NotJsonError,
    RefusedKeyError,
    SettingsError,
    StorePermissionError,
    UnreachableError,
    WrongServiceError,
)
from daemon.settings import load
from daemon.setup import Place
from daemon.setup.finding import own_address
from daemon.setup.listen import Arrivals
from tests.builders import ACTOR, rows
from tests.pretend import Fault
from tests.running import a_world, until
from tests.setup.support import (
    ADMIN,
    Newcomer,
    field_of,
    free_port,
    newcomer,
    plugin_configuration,
    tree,
)

THEIRS = {"id": 1, "name": "Library Sync", "implementation": "Webhook", "fields": []}


def their_webhook(url: str, **values: Any) -> dict[str, Any]:
    """A webhook that somebody else has set up."""
    fields = [{"name": "url", "value": url}, {"name": "password", "value": "their-secret"}]
    return {**THEIRS, "fields": fields, "unknown": [1.50, None], **values}


def text(value: object) -> str:
    """What would show any difference."""
    return json.dumps(value)


@asynccontextmanager
async def another_machine() -> AsyncIterator[str]:
    """A machine that answers every webhook."""

    async def take(_: web.Request) -> web.Response:
        return web.json_response({})

    application, port = web.Application(), free_port()
    application.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_from_nothing_to_a_synced_title(tmp_path: Path) -> None:
    """One file of answers, and the first run has what it needs."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        settings = load(me.config, {})
        async with opening.open_sync(settings) as service:
            await service.run(Trigger.CLI, ACTOR)
    assert rows(tmp_path / "tracker.db", "SELECT count(*) FROM requests") == [(2,)]
    assert settings.http.address == me.answers["http"]["public_url"]
    assert settings.http.host == "127.0.0.1"
    assert "         2  added" in me.said
    assert f"The page: {settings.http.address}/status" in me.said
    assert re.fullmatch(f"Next: .*(library-sync|python.*) --config {me.config} run", me.said[-1])


async def test_webhooks_carry_the_secret_and_arrive(tmp_path: Path) -> None:
    """Radarr's and Sonarr's are tested as they are saved; the plugin is told what to send."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        [radarr], [sonarr] = me.entries("radarr"), me.entries("sonarr")
        secret = me.place.secret(("webhook", "secret")).read_text().strip()
        plugin = me.services.connections.plugin
    assert plugin is not None
    ours = plugin["GenericOptions"][-1]
    assert field_of(radarr, "url") == me.hook("radarr")
    assert (field_of(sonarr, "password"), field_of(sonarr, "method")) == (secret, 1)
    assert radarr["onDownload"]
    assert radarr["onMovieAdded"]
    assert not radarr["onHealthIssue"]
    assert sonarr["onImportComplete"]
    assert sonarr["onSeriesAdd"]
    assert ours["WebhookUri"] == me.hook("jellyfin")
    assert ours["Headers"] == [{"Key": "X-Library-Sync-Secret", "Value": secret}]
    assert ours["NotificationTypes"] == ["ItemAdded", "ItemDeleted"]
    assert ours["SendAllProperties"]
    assert ours["EnableSeasons"]
    assert not ours["EnableSongs"]


async def test_secrets_are_files_of_their_owner(tmp_path: Path) -> None:
    """Nothing secret stands in the configuration or in the record."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in me.place.secrets.iterdir()}
        others = me.config.read_text() + (tmp_path / "setup.json").read_text()
        assert [one for one in me.secrets() if one in others] == []
    names = {"jellyfin_api_key", "radarr_api_key", "sonarr_api_key", "admin_token"}
    assert modes == dict.fromkeys(names | {"webhook_secret"}, 0o600)
    assert stat.S_IMODE(me.place.secrets.stat().st_mode) == 0o700


async def test_the_sign_in_leaves_a_key_and_nothing_else(tmp_path: Path) -> None:
    """The key is the configured one, and the login that made it is handed back."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        [key] = me.services.connections.keys
        paths = [call.path for call in me.services.calls("jellyfin")]
    assert key["AppName"] == "Library Sync"
    assert load(me.config, {}).jellyfin.api_key.get_secret_value() == key["AccessToken"]
    assert paths.count("/Sessions/Logout") == 1


async def test_browsers_elsewhere_have_another_address(tmp_path: Path) -> None:
    """What is on this machine is shown to them under its address in the network."""
    async with newcomer(tmp_path, host="0.0.0.0") as me:  # noqa: S104
        port = me.services.jellyfin_url.rpartition(":")[2]
        jellyfin = {**ADMIN, "url": f"http://127.0.0.1:{port}"}
        assert await me.sets_up(jellyfin=jellyfin)
        configured = me.configured()["jellyfin"]
    assert configured["url"] == f"http://127.0.0.1:{port}"
    assert configured["public_url"] == f"http://{own_address()}:{port}"


async def test_seerr_is_read_and_never_told(tmp_path: Path) -> None:
    """Its one webhook is the tracker's."""
    async with newcomer(tmp_path, besides=("seerr",)) as me:
        assert await me.sets_up()
        asked = {call.method for call in me.services.calls("seerr")}
        assert me.place.secret(("seerr", "api_key")).exists()
    assert (me.configured()["seerr"]["url"], asked) == (me.services.seerr_url, {"GET"})


async def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """Neither here nor there; it only looks, and has the webhooks tested."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        before = tree(tmp_path), text(vars(me.services.connections))
        me.said.clear()
        for service in ("jellyfin", "radarr", "sonarr"):
            me.services.calls(service).clear()
        assert await me.sets_up()
        assert (tree(tmp_path), text(vars(me.services.connections))) == before
        asked = [
            call for one in ("jellyfin", "radarr", "sonarr") for call in me.services.calls(one)
        ]
    assert {call.path for call in asked if call.method != "GET"} == {"/api/v3/notification/test"}
    assert me.lines("done") == []
    assert f"Radarr: its webhook leads to {me.hook('radarr')}" in me.lines("ok")


async def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    """A switch that was put off and a password that was mistyped are put right in place."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        [radarr], [sonarr] = me.entries("radarr"), me.entries("sonarr")
        radarr.update(onDownload=False, onHealthIssue=True)
        for one in sonarr["fields"]:
            one["value"] = "mistyped" if one["name"] == "password" else one.get("value")
        assert await me.sets_up()
        [radarr], [sonarr] = me.entries("radarr"), me.entries("sonarr")
        secret = me.place.secret(("webhook", "secret")).read_text().strip()
    assert (radarr["onDownload"], radarr["onHealthIssue"]) == (True, True)
    assert field_of(sonarr, "password") == secret
    assert f"Sonarr: change the webhook to {me.hook('sonarr')}" in me.lines("done")


async def test_another_address_is_a_change_of_the_same_entries(tmp_path: Path) -> None:
    """What was set up is found by the record of where it led."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        me.answers["http"] = {"port": str(free_port())}
        me.answers["http"]["public_url"] = f"http://127.0.0.1:{me.port}"
        assert await me.sets_up()
        [radarr] = me.entries("radarr")
        plugin = me.services.connections.plugin
        assert plugin is not None
        uris = [one["WebhookUri"] for one in plugin["GenericOptions"]]
        assert await me.takes_back()
        assert me.entries("radarr") == []
        assert text(me.services.connections.plugin) == text(plugin_configuration())
    assert field_of(radarr, "url") == me.hook("radarr")
    assert [one for one in uris if one.endswith("/hooks/jellyfin")] == [me.hook("jellyfin")]


async def test_what_others_have_set_up_stays_as_it_is(tmp_path: Path) -> None:
    """Byte for byte, through setup and undo; also where somebody has taken our name."""
    async with newcomer(tmp_path) as me:
        theirs = me.services.connections
        me.entries("radarr").append(their_webhook("http://10.0.0.9:8765/hooks/radarr"))
        before = text([theirs.plugin, theirs.entries, theirs.keys])
        assert await me.sets_up()
        first, second = me.entries("radarr")
        assert text(first) == text(their_webhook("http://10.0.0.9:8765/hooks/radarr"))
        assert second["name"] == "Library Sync 2"
        assert theirs.plugin is not None
        without_ours = {**theirs.plugin, "GenericOptions": theirs.plugin["GenericOptions"][:-1]}
        assert text(without_ours) == text(json.loads(before)[0])
        assert await me.takes_back()
        assert text([theirs.plugin, theirs.entries, theirs.keys]) == before


async def test_a_webhook_that_was_made_by_hand_is_completed_and_kept(tmp_path: Path) -> None:
    """One that leads to us, with a header of its own; undo takes back only what setup has added."""
    async with newcomer(tmp_path) as me:
        plugin = me.services.connections.plugin
        assert plugin is not None
        header = {"Key": "Content-Type", "Value": "application/json"}
        made = {**plugin["GenericOptions"][0], "WebhookUri": me.hook("jellyfin")}
        plugin["GenericOptions"].insert(0, {**made, "Headers": [header], "EnableSeries": False})
        assert await me.sets_up()
        assert await me.takes_back()
        plugin = me.services.connections.plugin
        assert plugin is not None
        ours = plugin["GenericOptions"][0]
    assert (ours["WebhookName"], ours["EnableSeries"]) == (made["WebhookName"], True)
    assert [one["Key"] for one in ours["Headers"]] == ["Content-Type", "X-Library-Sync-Secret"]


async def test_further_instances_have_webhooks_of_their_own(tmp_path: Path) -> None:
    """Named in the answers as in the configuration."""
    world = a_world()
    world.further["radarr_4k"] = {}
    async with newcomer(tmp_path, world) as me:
        assert await me.sets_up()
        [entry] = me.entries("radarr_4k")
        assert me.place.secret(("radarr_4k", "api_key")).exists()
        assert await me.takes_back()
        assert me.entries("radarr_4k") == []
    assert field_of(entry, "url") == me.hook("radarr/4k")


# --- what goes wrong before anything is changed --------------------------------------------------


async def refused(me: Newcomer, error: type[Exception], words: str, **answers: Any) -> None:
    """Setup ends with an error that says why, and has changed nothing."""
    with pytest.raises(error, match=words):
        await me.sets_up(**answers)
    assert {one.name for one in me.folder.iterdir()} <= {"answers.json", "setup.json"}
    theirs = me.services.connections
    assert (theirs.keys, theirs.entries["radarr"], theirs.entries["sonarr"]) == ([], [], [])


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        ("admin", "wr0ng", "does not know this name with this password"),
        ("viewer", "viewer-password", "viewer is no administrator"),
        ("", "", "Quick Connect switched off"),
    ],
)
async def test_who_may_not_sign_in(tmp_path: Path, user: str, password: str, words: str) -> None:
    """A wrong password, somebody who is no administrator, and no way in by code."""
    async with newcomer(tmp_path) as me:
        jellyfin = {**me.answers["jellyfin"], "user": user, "password": password}
        await refused(me, RefusedKeyError, words, jellyfin=jellyfin)


async def test_wrong_addresses(tmp_path: Path) -> None:
    """Each is tried at once, and its error says what is wrong and what to do."""
    async with newcomer(tmp_path) as me:
        nobody = f"http://127.0.0.1:{free_port()}"
        jellyfin, radarr = me.answers["jellyfin"], me.answers["radarr"]
        there = me.services.sonarr_url
        await refused(me, UnreachableError, "refused; check", jellyfin={**jellyfin, "url": nobody})
        await refused(me, WrongServiceError, "404", jellyfin={**jellyfin, "url": there})
        await refused(me, SettingsError, "no host", radarr={**radarr, "url": "http://"})
        key = me.services.sonarr_key
        await refused(
            me, WrongServiceError, "this is Sonarr", radarr={"url": there, "api_key": key}
        )
        await refused(me, RefusedKeyError, "401", radarr={**radarr, "api_key": "wr0ng"})


async def test_a_further_instance_without_a_primary(tmp_path: Path) -> None:
    """What the daemon would not take is refused before it is written."""
    async with newcomer(tmp_path) as me:
        fourk = {"url": me.services.sonarr_url, "api_key": me.services.sonarr_key}
        await refused(me, SettingsError, "primary sonarr", sonarr={"url": ""}, sonarr_4k=fourk)


async def test_a_page_in_place_of_an_answer(tmp_path: Path) -> None:
    """A proxy or a login page answers with HTML."""
    async with newcomer(tmp_path) as me:
        html = {"Content-Type": "text/html"}
        me.services.fault("radarr", Fault("/ping", body=b"<html>", headers=html, times=None))
        await refused(me, NotJsonError, "text/html instead of JSON")


async def test_a_port_that_is_no_number(tmp_path: Path) -> None:
    """Whatever is typed ends in a sentence."""
    async with newcomer(tmp_path) as me:
        http = {**me.answers["http"], "port": "eighty"}
        await refused(me, SettingsError, "http.port must be a number", http=http)


async def test_what_is_no_trackers_file(tmp_path: Path) -> None:
    """It is said before anything is changed."""
    other = tmp_path / "answers.json"
    async with newcomer(tmp_path) as me:
        await refused(me, SettingsError, "not a database", database=str(other))


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Nobody is asked anything in vain."""
    async with newcomer(tmp_path) as me:
        place = Place.of(tmp_path / "missing" / "config.yaml")
        with pytest.raises(StorePermissionError, match="missing cannot be written"):
            place.refuse_unwritable()
        assert me.services.calls("jellyfin") == []


# --- what goes wrong on the way ------------------------------------------------------------------


async def test_who_cannot_reach_us_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The rest is done; nothing of the application's stack trace is shown."""
    async with newcomer(tmp_path) as me:
        me.answers["http"]["public_url"] = f"http://127.0.0.1:{free_port()}"
        assert not await me.sets_up()
        assert me.entries("radarr") == []
        bad = me.lines("BAD")
        assert len(me.services.connections.keys) == 1
    assert re.search(
        r"Radarr at \S+ Connection refused \(127.0.0.1:\d+\); Radarr must reach", bad[0]
    )
    assert not re.search("System.Net|Socket.Connect", "\n".join(me.said))
    assert me.config.exists()


async def test_a_test_that_arrives_elsewhere_is_no_proof(tmp_path: Path) -> None:
    """Some other machine may answer at the address."""
    async with newcomer(tmp_path) as me, another_machine() as url:
        me.answers["http"]["public_url"] = url
        assert not await me.sets_up()
        assert me.entries("radarr") == [], "it would go on telling that machine"
    assert "arrived at another machine" in me.lines("BAD")[0]


def test_a_proxy_may_take_a_part_of_the_path_away() -> None:
    """What arrives is what is left of the address."""
    arrivals = Arrivals({"/hooks/radarr"})
    assert not arrivals.take("https://nas/library-sync/hooks/sonarr")
    assert arrivals.take("https://nas/library-sync/hooks/radarr")
    assert not arrivals.take("https://nas/library-sync/hooks/radarr")


async def test_without_the_plugin_the_steps_are_shown(tmp_path: Path) -> None:
    """With this machine's address, and where the secret is."""
    async with newcomer(tmp_path) as me:
        me.services.connections.plugin = None
        assert await me.sets_up()
    said = "\n".join(me.said)
    assert all(f"      {number}. " in said for number in range(1, 8))
    assert me.hook("jellyfin") in said
    assert str(me.place.secret(("webhook", "secret"))) in said


async def test_a_plugin_that_waits_for_a_restart(tmp_path: Path) -> None:
    """It cannot be configured before."""
    async with newcomer(tmp_path) as me:
        me.services.connections.plugin_status = "Restart"
        assert not await me.sets_up()
    assert "status of its Webhook plugin is Restart; restart it" in me.lines("BAD")[0]


async def test_a_fresh_plugin_is_armed(tmp_path: Path) -> None:
    """Its tasks are run once, and it is said when webhooks begin."""
    async with newcomer(tmp_path) as me:
        me.services.connections.tasks_ran = False
        assert await me.sets_up()
        paths = [call.path for call in me.services.calls("jellyfin")]
    assert sum(path.startswith("/ScheduledTasks/Running/") for path in paths) == 2
    assert any("within the hour" in line for line in me.said)


@pytest.mark.parametrize(
    ("service", "path", "nth"),
    [
        ("radarr", "/api/v3/notification", 3),
        ("sonarr", "/api/v3/notification", 3),
        ("jellyfin", "/Auth/Keys", 2),
        ("jellyfin", "/Auth/Keys", 3),
        ("jellyfin", "/Plugins", 1),
    ],
)
async def test_broken_off_and_run_again(tmp_path: Path, service: str, path: str, nth: int) -> None:
    """What was done by then is found again: one key, one webhook each; and all is taken back."""
    async with newcomer(tmp_path) as me:
        for _ in range(nth - 1):
            me.services.fault(service, Fault(path, stall=0))
        me.services.fault(service, Fault(path, stall=60))
        running = asyncio.create_task(me.sets_up())
        calls = me.services.calls(service)
        await until(lambda: sum(call.path.startswith(path) for call in calls) == nth)
        running.cancel()
        await asyncio.wait({running})
        me.services.mend(service)
        assert await me.sets_up()
        theirs = me.services.connections
        counts = (len(theirs.keys), len(me.entries("radarr")), len(me.entries("sonarr")))
        assert counts == (1, 1, 1)
        assert await me.takes_back()
        assert (theirs.keys, theirs.entries) == ([], {"radarr": [], "sonarr": []})


# --- without doing it ----------------------------------------------------------------------------


async def test_a_dry_run_only_says_what_it_would_do(tmp_path: Path) -> None:
    """Nothing is written, nothing is asked for but by reading, nobody has to sign in."""
    async with newcomer(tmp_path) as me:
        before = text(vars(me.services.connections))
        assert await me.sets_up(dry_run=True)
        assert text(vars(me.services.connections)) == before
        asked = [
            call for one in ("jellyfin", "radarr", "sonarr") for call in me.services.calls(one)
        ]
    assert {call.method for call in asked} == {"GET"}
    assert tree(tmp_path).keys() == {"answers.json"}
    would = me.lines("would")
    assert would[0].startswith("Jellyfin: make the API key")
    assert f"Radarr: add the webhook to {me.hook('radarr')}" in would
    assert me.lines("done") == []
    assert me.said[-1] == "Nothing was changed."


async def test_a_dry_run_of_what_is_set_up_shows_the_first_run(tmp_path: Path) -> None:
    """And nothing that would be done."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        me.said.clear()
        assert await me.sets_up(dry_run=True)
    assert me.lines("would") == []
    assert "         2  added" in me.said


async def test_after_undo_it_begins_anew(tmp_path: Path) -> None:
    """The key that is no key any more is forgotten."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        assert await me.takes_back()
        assert not me.place.secret(("jellyfin", "api_key")).exists()
        assert await me.sets_up()
        assert len(me.services.connections.keys) == 1


async def test_a_key_that_somebody_has_deleted_is_made_again(tmp_path: Path) -> None:
    """With the sign-in that the answers have."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        me.services.connections.keys.clear()
        assert await me.sets_up()
        [key] = me.services.connections.keys
        assert me.place.secret(("jellyfin", "api_key")).read_text().strip() == key["AccessToken"]


async def test_undo_is_tried_without_doing_it(tmp_path: Path) -> None:
    """It tells each step."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        before = tree(tmp_path), text(vars(me.services.connections))
        assert await me.takes_back(dry_run=True)
        assert (tree(tmp_path), text(vars(me.services.connections))) == before
    assert len(me.lines("would")) == 4


async def test_undo_keeps_in_mind_what_it_could_not_take_back(tmp_path: Path) -> None:
    """Until it could; what is done already is not tried again."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        me.services.fault("radarr", Fault("/api/v3/notification", status=500, times=None))
        assert not await me.takes_back()
        assert (len(me.entries("radarr")), me.entries("sonarr")) == (1, [])
        assert me.services.connections.keys == []
        me.services.mend("radarr")
        me.said.clear()
        assert await me.takes_back()
        assert me.entries("radarr") == []
    assert [one.partition(":")[0] for one in me.lines("done")] == ["Radarr"]


async def test_a_key_that_was_given_is_not_taken_back(tmp_path: Path) -> None:
    """It is somebody's own."""
    async with newcomer(tmp_path) as me:
        key = me.services.jellyfin_key
        assert await me.sets_up(jellyfin={"url": me.services.jellyfin_url, "api_key": key})
        assert await me.takes_back()
        paths = [call.path for call in me.services.calls("jellyfin")]
    assert [path for path in paths if path.startswith(("/Auth", "/Users/Auth"))] == []


# --- a person at a terminal ----------------------------------------------------------------------


def keep_key(home: Path, name: str, key: str, port: int) -> None:
    """Let a program have its own file in a home directory."""
    file = home / ".config" / name / "config.xml"
    file.parent.mkdir(parents=True)
    file.write_text(f"<Config><Port>{port}</Port><ApiKey>{key}</ApiKey></Config>")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of one's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


async def test_a_key_that_was_found_may_be_anothers(tmp_path: Path, home: Path) -> None:
    """Then the right one is asked for; nobody has given it."""
    async with newcomer(tmp_path) as me:
        keep_key(home, "Radarr", "0123456789abcdef", 1)
        with pytest.raises(SettingsError, match=r"radarr\.api_key has no answer"):
            await me.sets_up(radarr={"url": me.services.radarr_url})


async def test_six_answers(tmp_path: Path, home: Path) -> None:
    """Addresses, the file, a name and a password; keys are found in the programs' own files."""
    async with newcomer(tmp_path) as me:
        me.config.write_text(f"http: {{port: {free_port()}}}\n")
        for name in ("radarr", "sonarr"):
            keep_key(home, name.capitalize(), getattr(me.services, f"{name}_key"), 1)
        urls = (me.services.jellyfin_url, me.services.radarr_url, me.services.sonarr_url)
        file = str(tmp_path / "tracker.db")
        assert await me.is_asked(*urls, file, ADMIN["user"], ADMIN["password"])
        assert len(me.entries("radarr")) == 1
    assert me.configured()["http"]["host"] == "0.0.0.0"  # noqa: S104
    assert any("; its key stands in " in line for line in me.lines("ok"))


async def test_whoever_errs_is_asked_again(tmp_path: Path, home: Path) -> None:
    """With what was wrong above the question."""
    async with newcomer(tmp_path) as me:
        me.config.write_text(f"http: {{port: {free_port()}}}\n")
        typed = [
            *(f"http://127.0.0.1:{free_port()}", me.services.jellyfin_url),
            *(me.services.radarr_url, "wr0ng", me.services.radarr_key, ""),
            *("", "viewer", "viewer-password", ADMIN["user"], "wr0ng", *ADMIN.values()),
        ]
        assert await me.is_asked(*typed)
    said = "\n".join(me.said)
    assert "Connection refused; check that it runs" in said
    assert "Radarr at " in said
    assert "HTTP 401" in said
    assert "viewer is no administrator" in said
    assert "does not know this name with this password" in said
    assert "Sonarr: none; set sonarr.url if there is one" in said
    assert not home.exists()


async def test_what_was_answered_once_is_not_asked_again(tmp_path: Path) -> None:
    """The second time nobody needs to be there, though the first run is still to come."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        assert await me.is_asked()


async def test_a_machine_with_another_address_for_some(tmp_path: Path) -> None:
    """Whoever cannot be reached by may be given the right one at once."""
    async with newcomer(tmp_path) as me:
        wrong, right = (f"http://127.0.0.1:{port}" for port in (free_port(), me.port))
        sections = {n: {"url": one["url"]} for n, one in me.services.sections().items()}
        http = {"port": me.port, "public_url": wrong}
        me.config.write_text(json.dumps({**sections, "http": http, "database": "t.db"}))
        typed = [me.services.radarr_key, me.services.sonarr_key, "", *ADMIN.values(), right]
        assert await me.is_asked(*typed)
        [radarr] = me.entries("radarr")
    assert field_of(radarr, "url") == f"{right}/hooks/radarr"
    assert me.configured()["http"]["public_url"] == right


async def test_quick_connect(tmp_path: Path) -> None:
    """The code is shown, and waited for."""
    async with newcomer(tmp_path, jellyfin={}) as me:
        me.services.connections.code_allowed_by = ""
        running = asyncio.create_task(me.sets_up(jellyfin={"url": me.services.jellyfin_url}))
        await until(lambda: any(line.endswith("code 123456") for line in me.said))
        assert me.services.connections.keys == []
        me.services.connections.code_allowed_by = "admin"
        assert await running
        assert len(me.services.connections.keys) == 1


# --- a daemon that runs already ------------------------------------------------------------------


@asynccontextmanager
async def running_daemon(me: Newcomer) -> AsyncIterator[None]:
    """The daemon as it is configured."""
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.run(load(me.config, {}), stop, lambda _: ready.set()))
    try:
        await ready.wait()
        yield
    finally:
        stop.set()
        await running


async def test_a_daemon_that_runs_takes_the_tests(tmp_path: Path) -> None:
    """Setup need not listen then; the daemon has to be started again with what is new."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        me.entries("radarr").clear()
        async with running_daemon(me):
            assert await me.sets_up()
        assert len(me.entries("radarr")) == 1
    assert me.said[-1] == "Next: end the Library Sync that runs, and start it again"


async def test_a_daemon_with_another_secret_has_to_be_restarted_first(tmp_path: Path) -> None:
    """Its webhooks would be refused."""
    async with newcomer(tmp_path) as me:
        assert await me.sets_up()
        async with running_daemon(me):
            me.place.secret(("webhook", "secret")).unlink()
            with pytest.raises(SettingsError, match="former configuration; restart it"):
                await me.sets_up()


async def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    """It is not taken for the daemon."""
    async with newcomer(tmp_path) as me, another_machine() as url:
        me.answers["http"]["port"] = url.rpartition(":")[2]
        with pytest.raises(SettingsError, match="cannot be listened on: Address already in use"):
            await me.sets_up()


# --- the configuration ---------------------------------------------------------------------------


async def test_a_configuration_of_somebody_else_is_kept_as_a_copy(tmp_path: Path) -> None:
    """Once, and it is said; its comments and other keys stay."""
    async with newcomer(tmp_path) as me:
        theirs = "# mine\nsync:\n  every: 1h   # often\nnotify: {shape: ntfy}\n"
        me.config.write_text(theirs)
        assert await me.sets_up()
        copied = tmp_path / "config.yaml.before-setup"
        assert copied.read_text() == theirs
        assert me.config.read_text().startswith(theirs)
        assert any(str(copied) in line for line in me.said)
        copied.unlink()
        me.answers["http"] = {"port": me.answers["http"]["port"], "public_url": "http://127.0.0.2"}
        await me.sets_up()
        assert not copied.exists()


async def test_under_systemd(tmp_path: Path) -> None:
    """Where the unit is installed secrets go to its credentials, and its needs into a drop-in."""
    config = tmp_path / "etc/library-sync/config.yaml"
    unit = tmp_path / "etc/systemd/system/library-sync.service"
    tracker = tmp_path / "srv/tracker"
    for directory in (config.parent, unit.parent, tmp_path / "etc/credstore", tracker):
        directory.mkdir(parents=True)
    unit.touch()
    async with newcomer(tmp_path, database=str(tracker / "tracker.db")) as me:
        me.folder, me.root = config.parent, tmp_path
        assert not await me.sets_up()
        assert me.place.unit is not None
        given = me.place.unit.read_text()
        stored = {one.name for one in (tmp_path / "etc/credstore").iterdir()}
    assert "library-sync.jellyfin_api_key" in stored
    assert f"ReadWritePaths={tracker}" in given
    assert "chmod 2770" in me.lines("BAD")[0]
    assert me.said[-1] == "Next: systemctl daemon-reload && systemctl enable --now library-sync"
