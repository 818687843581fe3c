"""The pretend Jellyfin's routes: who may ask, and replies as recorded."""

from __future__ import annotations

import pytest

from tests.pretend import PretendServices, World
from tests.pretend.jellyfin import ADMIN, VIEWER, Account
from tests.pretend.library import ABSENT
from tests.test_pretend.support import ask, lasting, recorded, shape

CLIENT = 'MediaBrowser Client="sync", Device="daemon", DeviceId="d1", Version="1.0"'


def token(value: str) -> dict[str, str]:
    """Give the header that carries a token."""
    return {"Authorization": f'MediaBrowser Token="{value}"'}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/System/Info/Public", "public_info"),
        ("/System/Info", "info"),
        ("/Items/Counts", "counts"),
        ("/Items?Recursive=true&IncludeItemTypes=Movie&Limit=0", "limit_0"),
        ("/Items?Ids=deadbeefdeadbeefdeadbeefdeadbeef", "unknown_ids"),
        ("/Users/Me", "me_key"),
    ],
)
async def test_replies_are_as_recorded(services: PretendServices, path: str, name: str) -> None:
    """Status, headers and the keys of the body are the recorded ones."""
    answer = await ask(services, "jellyfin", path)
    expected = recorded("jellyfin", name)

    assert answer.status == expected["status"]
    assert lasting(answer.headers) == expected["headers"] | {"Content-Encoding": "gzip"}
    assert shape(answer.json) == shape(expected["json"])


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/Users/Me", token("0" * 32), "me_wrong"),
        ("/Users/Me", {}, "me_wrong"),
        ("/Items", {"X-Emby-Token": ADMIN.token}, "me_wrong"),
        ("/ScheduledTasks", token(VIEWER.token), "tasks_as_user"),
        ("/Library/VirtualFolders", token(VIEWER.token), "tasks_as_user"),
        ("/Item", {}, "unknown_path"),
        ("/Items?Recursive=true", token(ADMIN.token), "no_type"),
        ("/health", {}, "health"),
    ],
)
async def test_refusals_are_as_recorded(
    services: PretendServices, path: str, headers: dict[str, str], name: str
) -> None:
    """A refusal has the recorded status, headers and text."""
    sent = {"Accept-Encoding": "identity", **headers}
    answer = await ask(services, "jellyfin", path, sent)
    expected = recorded("jellyfin", name)

    assert (answer.status, answer.text) == (expected["status"], expected["text"])
    assert lasting(answer.headers) == expected["headers"]


@pytest.mark.parametrize(("account", "name"), [(ADMIN, "me_admin"), (VIEWER, "me_user")])
async def test_a_user_is_told_who_he_is(
    services: PretendServices, account: Account, name: str
) -> None:
    """A user's token gets that user, with the policy that says whether he administers."""
    answer = await ask(services, "jellyfin", "/Users/Me", token(account.token))
    expected = recorded("jellyfin", name)["json"]

    assert shape(answer.json) == shape(expected)
    assert answer.json["Name"] == expected["Name"]
    assert answer.json["Policy"]["IsAdministrator"] == expected["Policy"]["IsAdministrator"]


async def test_the_scan_task(services: PretendServices, world: World) -> None:
    """The scan's state and progress are those of the world; it is found by its key only."""
    idle = await ask(services, "jellyfin", "/ScheduledTasks")
    world.scanning = True
    running = await ask(services, "jellyfin", "/ScheduledTasks")

    assert shape(idle.json[-1]) == shape(recorded("jellyfin", "task_idle")["json"][0])
    assert shape(running.json[-1]) == shape(recorded("jellyfin", "task_running")["json"][0])
    assert [task["Key"] for task in idle.json] == ["OptimizeDatabaseTask", "RefreshLibrary"]
    assert [answer.json[-1]["State"] for answer in (idle, running)] == ["Idle", "Running"]


async def test_the_libraries(services: PretendServices, world: World) -> None:
    """An active library says how far it is, an idle one does not."""
    world.folders["Anime"].refresh_status = "Active"
    answer = await ask(services, "jellyfin", "/Library/VirtualFolders")
    idle, active = recorded("jellyfin", "folders")["json"]

    assert list(answer.json[0]) == list(idle)
    assert list(answer.json[-1]) == list(active)
    assert [row["RefreshStatus"] for row in answer.json] == ["Idle", "Idle", "Active"]


async def test_odd_libraries_and_tasks(services: PretendServices, world: World) -> None:
    """A library can be at several places or told oddly, and entries of any kind can follow."""
    world.folders["TV"].paths = ("/media/tv", "D:\\")
    world.folders["TV"].merges_series = True
    world.folders["Anime"].raw = {"ItemId": None, "Locations": ABSENT}
    world.folders_extra, world.tasks_extra = [None, {"Name": "Odd"}], [None]
    *_, tv, anime, null, odd = (await ask(services, "jellyfin", "/Library/VirtualFolders")).json
    tasks = (await ask(services, "jellyfin", "/ScheduledTasks")).json

    assert tv["Locations"] == ["/media/tv", "D:\\"]
    assert tv["LibraryOptions"]["PathInfos"] == [{"Path": "/media/tv"}, {"Path": "D:\\"}]
    assert tv["LibraryOptions"]["EnableAutomaticSeriesGrouping"] is True
    assert (anime["ItemId"], "Locations" in anime) == (None, False)
    assert (null, odd) == (None, {"Name": "Odd"})
    assert (len(tasks), tasks[-1]) == (3, None)


async def test_another_server(services: PretendServices, world: World) -> None:
    """The server's id can be another one, and is the same wherever it is told."""
    world.server_id = "ab" * 16
    public = await ask(services, "jellyfin", "/System/Info/Public", {})
    info = await ask(services, "jellyfin", "/System/Info")
    me = await ask(services, "jellyfin", "/Users/Me", token(ADMIN.token))

    assert {public.json["Id"], info.json["Id"], me.json["ServerId"]} == {"ab" * 16}
    assert shape(public.json) == shape(recorded("jellyfin", "public_info")["json"])


@pytest.mark.parametrize(
    "path",
    [
        "/System/Info",
        "/Items?Recursive=true&IncludeItemTypes=Movie",
        "/Items/Counts",
        "/ScheduledTasks",
        "/Library/VirtualFolders",
    ],
)
async def test_an_administrator_passes_for_a_key(services: PretendServices, path: str) -> None:
    """An administrator's own token gets what the key gets; only asking who one is tells them."""
    answers = [
        await ask(services, "jellyfin", path, token(value))
        for value in (services.jellyfin_key, ADMIN.token)
    ]
    who = [
        await ask(services, "jellyfin", "/Users/Me", token(value))
        for value in (services.jellyfin_key, ADMIN.token)
    ]

    assert answers[0].json == answers[1].json
    assert [answer.status for answer in who] == [400, 200]


async def test_counts_leave_virtual_episodes_out(services: PretendServices) -> None:
    """Films count with stubs, series with empty ones, episodes without virtual ones."""
    answer = await ask(services, "jellyfin", "/Items/Counts")

    assert [answer.json[f"{kind}Count"] for kind in ("Movie", "Series", "Episode")] == [2, 4, 5]


async def test_a_login(services: PretendServices) -> None:
    """Name and password get a token that is good for asking who one is."""
    body = {"Username": ADMIN.name, "Pw": ADMIN.password}
    answer = await ask(
        services,
        "jellyfin",
        "/Users/AuthenticateByName",
        {"Authorization": CLIENT},
        method="POST",
        json=body,
    )
    me = await ask(services, "jellyfin", "/Users/Me", token(answer.json["AccessToken"]))

    assert shape(answer.json) == shape(recorded("jellyfin", "login")["json"])
    assert answer.json["SessionInfo"]["DeviceId"] == "d1"
    assert me.json["Name"] == ADMIN.name


@pytest.mark.parametrize(
    ("headers", "request_body", "name"),
    [
        ({"Authorization": CLIENT}, {"json": {"Username": "admin", "Pw": "x"}}, "login_wrong"),
        ({"Authorization": CLIENT}, {"json": {"Username": "nobody", "Pw": ""}}, "login_wrong"),
        ({}, {"json": {"Username": "admin", "Pw": ADMIN.password}}, "login_without_device"),
        ({"Authorization": CLIENT}, {"data": b"Username=admin"}, "login_not_json"),
    ],
)
async def test_refused_logins(
    services: PretendServices, headers: dict[str, str], request_body: dict[str, object], name: str
) -> None:
    """A wrong password, an unnamed device and a body that is no JSON get the recorded status."""
    answer = await ask(
        services, "jellyfin", "/Users/AuthenticateByName", headers, method="POST", **request_body
    )
    expected = recorded("jellyfin", name)

    assert answer.status == expected["status"]
    assert answer.headers["Content-Type"] == expected["headers"]["Content-Type"]


async def test_gzip_when_asked(services: PretendServices) -> None:
    """A client that takes gzip gets it, another gets the same text plain."""
    path = "/Items?Recursive=true&IncludeItemTypes=Movie"
    key = token(services.jellyfin_key)
    packed = await ask(services, "jellyfin", path, {**key, "Accept-Encoding": "gzip"})
    plain = await ask(services, "jellyfin", path, {**key, "Accept-Encoding": "identity"})

    assert lasting(packed.headers) == recorded("jellyfin", "gzip")["headers"]
    assert "Content-Encoding" not in plain.headers
    assert packed.text == plain.text


async def test_head_is_not_allowed(services: PretendServices) -> None:
    """The listing cannot be probed with HEAD."""
    answer = await ask(services, "jellyfin", "/Items", method="HEAD")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
