"""Logging in with Jellyfin's own name and password, by Quick Connect, and out again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from daemon.errors import NotJsonError, ServiceError
from daemon.services.jellyfin_auth import JellyfinAuth, QuickConnect, TokenOwner, TokenStatus
from daemon.store import history
from daemon.web import Limits
from tests.builders import change
from tests.pretend import Fault
from tests.pretend.jellyfin import ADMIN, VIEWER
from tests.upstream import Upstream, http, reply
from tests.web.people import Person, somebody, words
from tests.web.support import ADMIN_TOKEN, AS_ADMIN, Stand, standing

ACCOUNT = {
    "Id": "a11ce",
    "Name": "alice",
    "Policy": {"IsAdministrator": True, "IsDisabled": False},
}
ALICE = {"AccessToken": "t0ken", "User": ACCOUNT}
CODE = {"Authenticated": False, "Secret": "5EC2E7", "Code": "457137"}
DEVICE = "d" * 32


@pytest.fixture
async def person(stand: Stand) -> AsyncIterator[Person]:
    """Give somebody who was never here."""
    async with somebody(stand) as one:
        yield one


def answered(value: object) -> bytes:
    """A good reply."""
    return reply(body=json.dumps(value).encode())


def quick(stand: Stand, **connect: Any) -> None:
    """Let Jellyfin do Quick Connect: a code, its state, and the login."""
    state, login = {**CODE, **connect}, {**ALICE}
    for path, value in (
        ("/QuickConnect/Initiate", state),
        ("/QuickConnect/Connect", state),
        ("/Users/AuthenticateWithQuickConnect", login),
    ):
        stand.services.fault("jellyfin", Fault(path, body=json.dumps(value).encode(), times=None))


async def test_an_administrator_gets_in_and_to_where_they_wanted(person: Person) -> None:
    """The first visit leads to the login, and that on to the page."""
    turned = await person.get("/status/runs")
    assert (turned.status, turned.headers["Location"]) == (303, "/login?next=%2Fstatus%2Fruns")
    token = await person.token("/login?next=/status/runs")
    entered = await person.post(
        "/login?next=/status/runs", token, user=ADMIN.name, password=ADMIN.password
    )
    assert (entered.status, entered.headers["Location"]) == (303, "/status/runs")
    assert (await person.get("/status/runs")).status == 200
    assert (await person.get("/login")).headers["Location"] == "/status"


async def test_whoever_logs_out_is_out(stand: Stand, person: Person) -> None:
    """By a form, as everything that changes something."""
    await person.log_in()
    left = await person.send("/status", "/logout")
    assert (left.status, left.headers["Location"]) == (303, "/login")
    assert (await person.get()).status == 303
    names = ("actor_kind", "actor_name", "reason", "after")
    events = await stand.audited("session.opened", "session.closed")
    assert [tuple(event[name] for name in names) for event in events] == [
        ("user", "admin", "administrator", {"address": "127.0.0.1"}),
        ("user", "admin", None, {"address": "127.0.0.1"}),
    ]


async def test_a_wrong_password_is_told_and_audited_once_a_minute(
    stand: Stand, person: Person
) -> None:
    """What was typed is in no audit event: it may be a password in the wrong field."""
    for _ in range(3):
        answer = await person.log_in(password="wr0ng")
        assert (answer.status, "does not know this name" in words(answer)) == (401, True)
    [event] = await stand.audited("session.refused")
    assert (event["actor_kind"], event["after"]) == ("stranger", {"address": "127.0.0.1"})
    assert (await person.get()).status == 303


async def test_wrong_passwords_are_limited(tmp_path: Path) -> None:
    """Even the right one is not looked at then, or guessing would go on; a minute later it is."""
    async with standing(tmp_path, limits=Limits(failures=2)) as stand, somebody(stand) as person:
        await stand.ask("GET", "/admin/runs", {"X-Jellyfin-Token": "0" * 32})
        await person.log_in(password="wr0ng")
        await person.log_in(password="wr0ng")
        limited = await person.log_in()
        assert (limited.status, "Too many" in words(limited)) == (429, True)
        assert len(await stand.audited("access.limited")) == 1
        stand.clock.seconds += 61
        assert (await person.log_in()).status == 303


async def test_the_admin_token_lets_in_while_jellyfin_is_away(stand: Stand, person: Person) -> None:
    """As an administrator who is asked about nowhere, and who is named in the audit."""
    stand.services.fault("jellyfin", Fault(status=503, times=None))
    assert (await person.log_in()).status == 503
    action = "/login/token?next=%2Fstatus"
    entered = await person.send("/login", action, secret=ADMIN_TOKEN)
    assert (entered.status, entered.headers["Location"]) == (303, "/status")
    stand.clock.seconds += 120
    answer = await person.send("/status", "/status/pause", job="full")
    assert answer.status == 303
    [event] = await stand.audited("session.opened")
    assert (event["actor_kind"], event["actor_name"]) == ("token", "admin token")


async def test_a_wrong_admin_token_is_refused_and_limited(tmp_path: Path) -> None:
    """And without a configured one there is no such form."""
    async with standing(tmp_path, limits=Limits(failures=2)) as stand, somebody(stand) as person:
        action = "/login/token?next=%2Fstatus"
        for status in (401, 401, 429):
            answer = await person.send("/login", action, secret="guess")
            assert answer.status == status
        assert (await person.send("/login", action, secret=ADMIN_TOKEN)).status == 303
    (tmp_path / "other").mkdir()
    async with standing(tmp_path / "other", admin_token=None) as stand, somebody(stand) as person:
        assert "admin token" not in words(await person.get("/login"))


async def test_the_password_goes_to_jellyfin_and_nowhere_else(
    stand: Stand, person: Person, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    """It is in no file, no log line and no page."""
    await person.log_in(password="an0ther-5ecret")
    await person.log_in()
    told = json.dumps([lines("http.request"), lines("audit.recorded")])
    for secret in (ADMIN.password, "an0ther-5ecret", ADMIN.token):
        for file in stand.file.parent.glob("tracker.db*"):
            assert secret.encode() not in file.read_bytes()
        assert secret not in told
        assert secret not in (await person.get()).text


PAGE = {"Content-Type": "text/html"}
PROXY = Fault("/Users/Auth", status=401, headers=PAGE, times=None)


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (Fault("/Users/Auth", status=403, times=None), 401, "does not let this user in"),
        (Fault("/Users/Auth", status=500, times=None), 503, "cannot be asked at present"),
        (Fault("/Users/Auth", drop=True, times=None), 503, "cannot be asked at present"),
        (Fault("/Users/Auth", body=b"<html>", times=None), 503, "does not answer as it should"),
        (Fault("/Users/Auth", status=302, times=None), 503, "does not answer as it should"),
        (PROXY, 503, "does not answer as it should"),
    ],
)
async def test_what_jellyfin_says_is_told_in_plain_words(
    stand: Stand, person: Person, fault: Fault, status: int, said: str
) -> None:
    """A user whom it keeps out is not let in; where it is away, nobody is called a liar."""
    stand.services.fault("jellyfin", fault)
    answer = await person.log_in()
    assert (answer.status, said in words(answer)) == (status, True)
    assert (await person.get()).status == 303


async def test_a_login_that_cannot_be_noted_is_refused(
    stand: Stand, person: Person, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Who is a stranger still reads no path; that is in the log."""
    change(stand.file, "DROP TABLE sync_audit")
    answer = await person.log_in()
    assert (answer.status, "nobody can log in. See the log." in words(answer)) == (503, True)
    assert stand.file.name not in answer.text
    [line] = lines("audit.write_failed")
    assert str(stand.file) in line["error"]


@pytest.mark.parametrize(
    "fields", [{}, {"user": ""}, {"user": "x" * 513}, {"user": "a", "password": "x" * 513}]
)
async def test_a_half_filled_form_asks_nobody(
    stand: Stand, person: Person, fields: dict[str, str]
) -> None:
    """Neither does one that is far too long."""
    answer = await person.post("/login", await person.token("/login"), **fields)
    assert (answer.status, "Enter your Jellyfin name" in words(answer)) == (400, True)
    assert [call.path for call in stand.services.calls("jellyfin")] == []


async def test_a_form_of_another_site_logs_nobody_in(stand: Stand, person: Person) -> None:
    """It has no token of this browser."""
    filled = {"user": ADMIN.name, "password": ADMIN.password}
    for token in ("", "made.up"):
        assert (await person.post("/login", token, **filled)).status == 403
    assert [call.path for call in stand.services.calls("jellyfin")] == []


@pytest.mark.parametrize(
    "wanted", ["//evil.test", "https://evil.test/status", "/status/../x?y", "/statusx", "%0d%0aX:y"]
)
async def test_a_login_leads_to_our_own_pages_only(person: Person, wanted: str) -> None:
    """Whatever the address says."""
    token = await person.token(f"/login?next={wanted}")
    filled = {"user": ADMIN.name, "password": ADMIN.password}
    entered = await person.post(f"/login?next={wanted}", token, **filled)
    assert entered.headers["Location"] == "/status"


async def test_a_login_that_ended_is_said_to_have(stand: Stand, person: Person) -> None:
    """On the next page, and where a form is sent, which does nothing then."""
    await person.log_in()
    token = await person.token("/status", "/status/sync")
    stand.clock.seconds += 12 * 3600
    for turned in (await person.get(), await person.post("/status/sync", token, what="full")):
        assert (turned.status, turned.headers["Location"][:6]) == (303, "/login")
        assert "has expired" in words(await person.get(turned.headers["Location"]))
    assert (await stand.parts.store.read(history.runs, None, 1)).rows == []


async def test_a_link_of_another_site_needs_one_more_step(person: Person) -> None:
    """The browser leaves the strict cookie out of it, and brings it with the next request."""
    answer = await person.get("/status/runs?outcome=ok", **{"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.headers["Refresh"]) == (200, "0; url=/status/runs?outcome=ok")


async def test_the_cookie_opens_the_event_stream_but_starts_nothing(
    stand: Stand, person: Person
) -> None:
    """At the API it only reads, and only for administrators."""
    await person.log_in()
    assert (await person.get("/admin/sync")).status == 200
    assert (await person.post("/admin/sync", "")).status == 401
    async with somebody(stand) as user:
        await user.log_in(VIEWER)
        for _ in range(12):
            assert (await user.get("/admin/sync")).status == 403
    assert (await person.get("/admin/sync")).status == 200


async def test_pages_whose_login_has_ended_are_no_attack(stand: Stand, person: Person) -> None:
    """They are told so as often as they ask; nothing is counted, and the audit is silent."""
    await person.log_in()
    stand.clock.seconds += 12 * 3600
    for _ in range(12):
        assert (await person.get("/admin/sync")).status == 401
    assert await stand.audited("access.refused", "access.limited") == []
    await person.log_in()
    assert (await person.get("/admin/sync")).status == 200


async def test_a_login_leads_back_with_all_that_was_asked(person: Person) -> None:
    """The filters of a page are a part of its address."""
    wanted = "%2Fstatus%2Fruns%3Foutcome%3Dok%26trigger%3Dcli"
    token = await person.token(f"/login?next={wanted}")
    filled = {"user": ADMIN.name, "password": ADMIN.password}
    entered = await person.post(f"/login?next={wanted}", token, **filled)
    assert entered.headers["Location"] == "/status/runs?outcome=ok&trigger=cli"


async def begun(person: Person, page: str = "/login") -> str:
    """Begin a login by code; gives the address of the page that waits."""
    action = re.findall(r'action="(/login/quick[^"]*)"', (await person.get(page)).text)[0]
    answer = await person.send(page, action)
    assert answer.status == 303, words(answer)
    return answer.headers["Location"]


async def test_quick_connect_shows_a_code_until_somebody_allows_it(
    stand: Stand, person: Person
) -> None:
    """Then the page that was wanted comes by itself."""
    quick(stand)
    page = await begun(person, "/login?next=/status/runs")
    waiting = await person.get(page)
    assert (waiting.status, "457137" in words(waiting), "5EC2E7" in waiting.text) == (
        200,
        True,
        False,
    )
    stand.services.fault("jellyfin", Fault("/QuickConnect/Connect", status=503, times=None))
    stand.clock.seconds += 1
    assert "457137" in words(await person.get(page))  # it is still good when Jellyfin is back
    stand.services.mend("jellyfin")
    quick(stand, Authenticated=True)
    stand.clock.seconds += 1
    entered = await person.get(page)
    assert (entered.status, entered.headers["Location"]) == (303, "/status/runs")
    assert "alice" in words(await person.get("/status/runs"))


@pytest.mark.parametrize("fault", [Fault(status=302), Fault(status=401, headers=PAGE)])
async def test_a_proxy_does_not_end_a_code(stand: Stand, person: Person, fault: Fault) -> None:
    """What asks for a login in Jellyfin's place knows nothing of its codes."""
    quick(stand)
    page = await begun(person)
    stand.services.mend("jellyfin")
    stand.services.fault("jellyfin", replace(fault, path="/QuickConnect/Connect", times=None))
    stand.clock.seconds += 1
    assert "457137" in words(await person.get(page))


@pytest.mark.parametrize("status", [401, 404])
async def test_a_code_that_is_not_good_any_more_is_told(
    stand: Stand, person: Person, status: int
) -> None:
    """Its ten minutes are over, Jellyfin was restarted, or Quick Connect was switched off."""
    quick(stand)
    page = await begun(person)
    stand.services.mend("jellyfin")
    ended = Fault("/QuickConnect/Connect", status=status, times=None)
    stand.services.fault("jellyfin", ended)
    stand.clock.seconds += 1
    for _ in range(2):
        answer = await person.get(page)
        assert (answer.status, "not valid any more" in words(answer)) == (410, True)


async def test_quick_connect_that_is_off_is_told(stand: Stand, person: Person) -> None:
    """The name and password do it then."""
    stand.services.fault("jellyfin", Fault("/QuickConnect/Initiate", status=401))
    off = await person.send("/login", "/login/quick?next=%2Fstatus")
    assert (off.status, "switched off" in words(off)) == (409, True)


async def test_jellyfin_is_asked_about_a_code_once_a_second(stand: Stand, person: Person) -> None:
    """However often and in however many tabs its page is loaded."""
    quick(stand)
    page = await begun(person)
    for _ in range(3):
        stand.clock.seconds += 1
        await asyncio.gather(*(person.get(page) for _ in range(20)))
    assert stand.calls("/QuickConnect/Connect") == 3


async def test_each_tab_has_its_own_code(stand: Stand, person: Person) -> None:
    """The second does not spoil the first."""
    quick(stand)
    first = await begun(person)
    stand.services.mend("jellyfin")
    quick(stand, Code="999999")
    second = await begun(person)
    assert first != second
    assert "457137" in words(await person.get(first))


async def test_a_code_belongs_to_the_browser_that_began_it(stand: Stand, person: Person) -> None:
    """Nobody else is let in by it, whatever cookies they planted there before."""
    quick(stand, Authenticated=True)
    async with somebody(stand) as other:
        await other.get("/login")
        [planted] = [*other.session.cookie_jar]
        person.session.cookie_jar.update_cookies({planted.key: planted.value}, URL(person.url))
        page = await begun(person)
        stand.clock.seconds += 1
        assert (await other.get(page)).status == 410
        assert (await person.get(page)).status == 303


async def test_codes_are_limited(tmp_path: Path) -> None:
    """Each costs Jellyfin something."""
    async with standing(tmp_path, limits=Limits(failures=2)) as stand, somebody(stand) as person:
        quick(stand)
        for status in (303, 303, 429):
            answer = await person.send("/login", "/login/quick?next=%2Fstatus")
            assert answer.status == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_that_another_site_sends_is_refused(
    stand: Stand, person: Person, site: str
) -> None:
    """Browsers say where a form comes from, whatever cookie and token it has."""
    await person.log_in()
    token = await person.token("/status")
    async with person.session.post(
        f"{stand.url}/logout", data={"token": token}, headers={"Sec-Fetch-Site": site}
    ) as reply:
        assert reply.status == 403
    assert (await person.get("/status")).status == 200


async def test_jellyfin_gets_its_token_back_at_once() -> None:
    """It is asked as a device of ours, never with our key, and the login leaves nothing behind."""
    acts = [answered(ALICE), reply(204)]
    async with Upstream([*acts]) as upstream, http(upstream.url, "Jellyfin") as ours:
        assert await JellyfinAuth(ours).log_in("alice", "pw", DEVICE) == TokenOwner(
            TokenStatus.ADMINISTRATOR, "alice", "a11ce"
        )
        asked = [(one.path, one.headers["authorization"]) for one in upstream.asked]
        pairs = f'Client="Library Sync", Device="Library Sync", DeviceId="{DEVICE}", Version='
        assert [path for path, _ in asked] == ["/Users/AuthenticateByName", "/Sessions/Logout"]
        assert asked[0][1].startswith(f"MediaBrowser {pairs}")
        assert asked[1][1] == 'MediaBrowser Token="t0ken"'


async def test_quick_connect_as_jellyfin_speaks_it() -> None:
    """A code and a secret; nobody yet; then whoever allowed it."""
    allowed = {**CODE, "Authenticated": True}
    acts = [answered(one) for one in (CODE, CODE, allowed, ALICE)]
    async with Upstream([*acts, reply(204)]) as upstream, http(upstream.url, "Jellyfin") as ours:
        client = JellyfinAuth(ours)
        assert await client.quick_connect(DEVICE) == QuickConnect("457137", "5EC2E7", allowed=False)
        assert await client.quick_connected("5EC2E7", DEVICE) is None
        bearer = await client.quick_connected("5EC2E7", DEVICE)
        assert bearer == TokenOwner(TokenStatus.ADMINISTRATOR, "alice", "a11ce")
        assert upstream.asked[1].query == {"secret": "5EC2E7"}
        assert [one.path for one in upstream.asked][2:] == [
            "/QuickConnect/Connect",
            "/Users/AuthenticateWithQuickConnect",
            "/Sessions/Logout",
        ]


@pytest.mark.parametrize("value", [{}, {"AccessToken": 1}, {**ALICE, "User": {"Name": "x"}}])
async def test_a_login_that_is_none_is_no_login(value: object) -> None:
    """Whatever else answers there; it is asked once."""
    async with Upstream([answered(value)]) as upstream, http(upstream.url, "Jellyfin") as ours:
        with pytest.raises(NotJsonError):
            await JellyfinAuth(ours).log_in("alice", "pw", DEVICE)
        assert len(upstream.asked) == 1


async def test_what_was_sent_is_never_sent_again() -> None:
    """A server that did not answer may have done it all the same."""
    async with Upstream([reply(503)]) as upstream, http(upstream.url) as ours:
        with pytest.raises(ServiceError):
            await ours.post("/anything", dict[str, str], {"a": "b"})
        assert len(upstream.asked) == 1


async def test_the_api_needs_no_cookie(stand: Stand) -> None:
    """Tokens go on as they did."""
    assert (await stand.ask("GET", "/admin/runs", AS_ADMIN)).status == 200
