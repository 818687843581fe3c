"""qBittorrent: its torrents and its ways in, as 4.5, 5.1 and 5.3 have them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.errors import NotJsonError, RefusedKeyError, ServiceError, WrongServiceError
from daemon.pipeline import Torrent
from daemon.services.http import ServiceHttp
from daemon.services.qbittorrent import QbittorrentClient
from tests.upstream import JSON, QUICK, Act, Asked, Upstream, exchanged, recorded, reply

VERSIONS = ["4.5.2", "5.3.0"]
MOVING = "8A5187366B92960C760CDA4351B33C617149D8B1"
DELETED = "782328EFC6EC4D1FCF81AC9A03EAA18D0A18346B"
LOGIN = "/api/v2/auth/login"
MAIN = "/api/v2/sync/maindata"


def play(name: str) -> bytes:
    """A recorded reply of qBittorrent."""
    return exchanged("qbittorrent", name)


def main(**values: Any) -> bytes:
    """A reply to the question for torrents."""
    return reply(body=json.dumps({"rid": 1, **values}).encode())


@dataclass
class Server:
    """A qBittorrent of some version, which answers as that one was recorded.

    Attributes:
        mains: what it says of its torrents, one a call.
        opens: whether the password is the right one.
        sessions: cookies that it accepts.
    """

    version: str
    mains: list[bytes] = field(default_factory=list)
    opens: bool = True
    sessions: set[str] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Act:
        """Answer a request."""
        if asked.path == LOGIN:
            if not self.opens:
                return play(f"{self.version} wrong password")
            said = recorded("qbittorrent", "exchanges")[f"{self.version} login"]
            self.sessions.add(said["headers"]["Set-Cookie"].partition(";")[0])
            return play(f"{self.version} login")
        if asked.headers.get("cookie") not in self.sessions:
            return play(f"{self.version} not logged in")
        return self.mains.pop(0) if asked.path == MAIN else play(f"{self.version} version")


def asking(url: str, key: str = "") -> ServiceHttp:
    """A client's way to a server, with an API key or without."""
    return ServiceHttp("qBittorrent", url, {"Authorization": f"Bearer {key}"} if key else {}, QUICK)


async def failed(client: QbittorrentClient) -> ServiceError:
    """What asking for the torrents raises."""
    with pytest.raises(ServiceError) as caught:
        await client.torrents()
    assert "hunter2" not in str(caught.value)
    return caught.value


def logins(upstream: Upstream) -> int:
    """How often a password was sent."""
    return sum(asked.path == LOGIN for asked in upstream.asked)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_torrents_of_a_real_qbittorrent(version: str) -> None:
    """After a login, each by its hash as Radarr and Sonarr write it; then what has changed."""
    stopped = "pausedDL" if version == "4.5.2" else "stoppedDL"
    mains = [play(f"{version} {name}") for name in ("full", "delta", "removed")]
    async with Upstream(Server(version, mains)) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "adminadmin")
        full, changed, fewer = [await client.torrents() for _ in range(3)]
    assert full.torrents
    assert changed.torrents
    assert fewer.torrents
    assert {one.state for one in full.torrents.values()} >= {
        *("error", "stalledUP", "stalledDL", "downloading", "forcedDL", "metaDL", stopped)
    }
    assert full.torrents[DELETED] == Torrent(stopped, 0.0, 0, None, 200000)
    before, after = full.torrents[MOVING], changed.torrents[MOVING]
    assert (before.state, after.state, after.size) == ("downloading", "downloading", 24000000)
    assert (before.eta != after.eta, before.speed != after.speed) == (True, True)
    assert 0 < before.progress <= after.progress < fewer.torrents[MOVING].progress < 1
    assert (len(full.torrents), len(changed.torrents), len(fewer.torrents)) == (9, 9, 8)
    assert DELETED not in fewer.torrents
    assert full.connected
    asked = [one.query["rid"] for one in upstream.asked if one.path == MAIN]
    rids = {"4.5.2": ["0", "1", "2"], "5.3.0": ["0", "3", "4"]}
    assert (asked, logins(upstream)) == (rids[version], 1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_that_has_ended_is_begun_anew(version: str) -> None:
    """After a restart of the server everything is sent again; what was known before is dropped."""
    mains = [play(f"{version} {name}") for name in ("full", "after restart")]
    server = Server(version, mains)
    async with Upstream(server) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "adminadmin")
        await client.torrents()
        server.sessions.clear()
        again = await client.torrents()
    assert again.torrents is not None
    assert DELETED not in again.torrents
    assert "missingFiles" in {one.state for one in again.torrents.values()}
    assert [one.query["rid"] for one in upstream.asked if one.path == MAIN][-1] == "0"
    assert logins(upstream) == 2


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
async def test_a_wrong_password_is_sent_once(version: str) -> None:
    """Five of them ban the address, which Radarr and Sonarr may share."""
    async with Upstream(Server(version, opens=False)) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "hunter2")
        errors = [await failed(client) for _ in range(9)]
    assert {(type(error), str(error)) for error in errors} == {(RefusedKeyError, str(errors[0]))}
    assert "the user name or the password is wrong; correct it" in str(errors[0])
    assert logins(upstream) == 1


async def test_a_password_that_is_wrong_by_now_is_not_sent_again_either() -> None:
    """It was changed while the server was away: one try, then none."""
    server = Server("5.3.0", [play("5.3.0 full")])
    async with Upstream(server) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "hunter2")
        await client.torrents()
        server.sessions.clear()
        server.opens = False
        for _ in range(5):
            assert (await failed(client)).kind == "refused_key"
    assert logins(upstream) == 2


async def test_a_ban_is_waited_for() -> None:
    """It lasts an hour, and the password may be the right one."""
    now = 0.0
    banned = True

    def act(asked: Asked) -> Act:
        return play("5.3.0 banned") if banned else server(asked)

    server = Server("5.3.0", [play("5.3.0 full")])
    async with Upstream(act) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "hunter2", clock=lambda: now)
        assert "it has banned this address for an hour" in str(await failed(client))
        now, banned = 3599.0, False
        assert "it has banned this address for an hour" in str(await failed(client))
        assert len(upstream.asked) == 1
        now = 3600.0
        assert (await client.torrents()).torrents


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
async def test_a_refused_host_name_is_told_from_a_wrong_password(version: str) -> None:
    """Both are 401 since 5.2; only the former meets every question."""
    async with Upstream([play(f"{version} wrong host")]) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http, "admin", "hunter2")
        error = await failed(client)
        assert isinstance(error, WrongServiceError)
        assert "refuses this host name or port" in str(error)
        upstream.acts = Server(version, [play("5.3.0 full")])
        assert (await client.torrents()).torrents


async def test_an_api_key_needs_no_login() -> None:
    """Since 5.2; it goes in its header and nowhere else."""

    def act(asked: Asked) -> Act:
        right = asked.headers.get("authorization") == "Bearer qbt_right"
        return play("5.3.0 key") if right else play("5.3.0 wrong key")

    async with Upstream(act) as upstream, asking(upstream.url, "qbt_right") as http:
        assert (await QbittorrentClient(http).torrents()).torrents
    [asked] = upstream.asked
    assert (asked.path, asked.query) == (MAIN, {"rid": "0"})
    assert "cookie" not in asked.headers


@pytest.mark.parametrize(
    ("key", "version", "words"),
    [("qbt_wrong", "5.3.0", "API keys exist since 5.2"), ("", "4.5.2", "set up a login for it")],
)
async def test_who_is_not_let_in_does_not_insist(key: str, version: str, words: str) -> None:
    """A wrong key, or no login where one is needed, is tried again in an hour."""
    now = 0.0
    refusal = "wrong key" if key else "not logged in"
    async with Upstream([play(f"{version} {refusal}")]) as up, asking(up.url, key) as http:
        client = QbittorrentClient(http, clock=lambda: now)
        for _ in range(5):
            assert words in str(await failed(client))
        assert len(up.asked) == 1
        now = 3600.0
        await failed(client)
        assert len(up.asked) == 2


async def test_where_nobody_has_to_log_in_one_session_is_kept() -> None:
    """Each question without a cookie would make another one."""
    first = reply(
        body=json.dumps({"rid": 1, "full_update": True, "torrents": {}}).encode(),
        headers={**JSON, "Set-Cookie": "QBT_SID_8080=abc/+; HttpOnly; SameSite=Lax; path=/"},
    )
    async with Upstream([first, main()]) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http)
        assert [(await client.torrents()).torrents for _ in range(2)] == [{}, {}]
    cookies = [asked.headers.get("cookie") for asked in upstream.asked]
    assert cookies == [None, "QBT_SID_8080=abc/+"]
    assert logins(upstream) == 0


async def torrents(*replies: bytes) -> list[Any]:
    """What a client makes of several replies of a server without a login."""
    async with Upstream(list(replies)) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http)
        return [await client.torrents() for _ in replies]


async def test_a_state_that_nobody_knows_is_kept_as_it_is() -> None:
    """Newer versions have new words."""
    [found] = await torrents(main(torrents={"ab": {"state": "teleporting", "progress": 0.5}}))
    assert found.torrents == {"AB": Torrent("teleporting", 0.5)}


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        ({"state": 7, "progress": 0.5, "size": 9}, Torrent("", 0.5, size=9)),
        ({"state": "metaDL", "progress": "half", "size": 9}, Torrent("", 0.0, size=9)),
        (7, Torrent("", 0.0)),
        ({}, Torrent("", 0.0)),
    ],
)
async def test_a_torrent_that_is_not_understood_says_nothing(odd: Any, shown: Torrent) -> None:
    """Its state is unknown, which is no evidence of anything; the others count."""
    good = {"state": "uploading", "progress": 1, "size": 5}
    [found] = await torrents(main(torrents={"ab": odd, "cd": good}))
    assert found.torrents == {"AB": shown, "CD": Torrent("uploading", 1.0, size=5)}


async def test_after_an_odd_reply_everything_is_asked_for() -> None:
    """So that the next one is sound again, if it can be."""
    replies = [main(rid=4, torrents={"ab": {"state": 7}}), main(rid=5, full_update=True)]
    async with Upstream(list(replies)) as upstream, asking(upstream.url) as http:
        client = QbittorrentClient(http)
        await client.torrents()
        assert (await client.torrents()).torrents == {}
    assert [asked.query["rid"] for asked in upstream.asked] == ["0", "0"]


async def test_numbers_beyond_reason_are_bounded() -> None:
    """A progress is from 0 to 1, and a speed or a size is never negative."""
    odd = {"state": "moving", "progress": 1.7, "dlspeed": -5, "eta": -1, "size": -1}
    [found] = await torrents(main(torrents={"ab": odd}))
    assert found.torrents == {"AB": Torrent("moving", 1.0)}


async def test_thousands_of_torrents_are_no_mistake() -> None:
    """They take more than other replies may."""
    [found] = await torrents(main(torrents={}, filler="x" * 9 * 1024 * 1024))
    assert found.torrents == {}


async def test_a_client_without_network_is_told() -> None:
    """Its status is sent when it changes, and stays until then."""
    replies = [
        main(server_state={"connection_status": "connected"}),
        main(server_state={"connection_status": "disconnected"}),
        main(server_state={"dl_info_speed": 7}),
        main(server_state={"connection_status": "firewalled"}),
    ]
    told = [found.connected for found in await torrents(*replies)]
    assert told == [True, False, False, True]


async def test_no_tracker_name_or_link_leaves_the_client() -> None:
    """They may bear a passkey; the hash is all that a torrent is known by."""
    said = recorded("qbittorrent", "exchanges")["5.3.0 full"]["body"]
    text = said.replace('"tracker":""', '"tracker":"https://t.test/PASSKEY/announce"')
    assert text != said
    broken = text.replace('"state":"', '"state":7,"old":"').encode()
    for body in (text.encode(), broken):
        [found] = await torrents(reply(body=body))
        words = [word for word in ("PASSKEY", "magnet", "Movie") if word in repr(found)]
        assert words == []
    with pytest.raises(NotJsonError) as caught:
        await torrents(reply(body=broken.replace(b'"rid":', b'"rid":"PASSKEY","old":')))
    assert "PASSKEY" not in str(caught.value)


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
async def test_the_check_tells_the_version(version: str) -> None:
    """Once logged in, which proves the password."""
    async with Upstream(Server(version)) as upstream, asking(upstream.url) as http:
        assert await QbittorrentClient(http, "admin", "x").check() == f"version {version}"


@pytest.mark.parametrize(
    "act",
    [
        reply(body=b"<html>Sign in</html>", headers={"Content-Type": "text/html"}),
        reply(200, b"{}"),
        play("5.3.0 wrong base"),
    ],
)
async def test_another_service_is_not_taken_for_it(act: bytes) -> None:
    """Neither by its answer to a login nor by one to a question."""
    async with Upstream([act]) as upstream, asking(upstream.url) as http:
        for client in (QbittorrentClient(http), QbittorrentClient(http, "admin", "hunter2")):
            with pytest.raises(ServiceError) as caught:
                await client.check()
            assert caught.value.kind == "wrong_service"
            assert (await failed(client)).kind in {"wrong_service", "not_json"}
    paths = [asked.path for asked in upstream.asked]
    assert paths[-2:] == [LOGIN, LOGIN]
