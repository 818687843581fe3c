"""Who is let in, who is not, and what that leaves behind."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from pathlib import Path

import pytest

from daemon.errors import ServiceError, StartingError
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin_auth import JellyfinAuth, TokenOwner, TokenStatus
from daemon.store import history
from daemon.web import auth, login, machines, sessions
from daemon.web.auth import Credential, RateLimiter
from tests.pretend import Fault
from tests.pretend.jellyfin import ADMIN, VIEWER
from tests.upstream import JSON, Upstream, http, reply
from tests.web.support import AS_ADMIN, AS_CRON, HOOK_SECRET, Clock, Stand, standing

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recorded" / "pretend" / "jellyfin.json").read_text("utf-8")
)
WRONG = {"X-Jellyfin-Token": "0" * 32}
LATER = 61
COMPARING = [inspect.getsource(module) for module in (auth, login, machines, sessions)]


@pytest.mark.parametrize(
    "headers",
    [
        AS_ADMIN,
        AS_CRON,
        {"Authorization": f'MediaBrowser Token="{ADMIN.token}"'},
        {"Authorization": f"mediabrowser Client=x, Token={ADMIN.token}"},
        {"Authorization": f'MediaBrowser DeviceId="a b", Token="{ADMIN.token}", Version="1"'},
    ],
)
async def test_an_administrator_is_let_in(stand: Stand, headers: dict[str, str]) -> None:
    """A token counts in either header and any spelling that Jellyfin itself takes."""
    assert (await stand.ask("GET", "/admin/runs", headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 401, "X-Jellyfin-Token"),
        (WRONG, 401, "not known"),
        ({"X-Jellyfin-Token": ""}, 401, "not known"),
        ({"X-Jellyfin-Token": VIEWER.token}, 403, "no administrator"),
        ({"Authorization": f"Bearer {ADMIN.token}"}, 401, "not known"),
        ({"Authorization": "Bearer é"}, 401, "not known"),
        ({"Authorization": f'MediaBrowser token="{ADMIN.token}"'}, 401, "X-Jellyfin-Token"),
        ({"Authorization": f'Emby Token="{ADMIN.token}"'}, 401, "X-Jellyfin-Token"),
        ({"X-Emby-Token": ADMIN.token}, 401, "X-Jellyfin-Token"),
    ],
)
async def test_nobody_else_is_let_in(
    stand: Stand, headers: dict[str, str], status: int, words: str
) -> None:
    """Whoever is no administrator gets a reason, and nothing else."""
    answer = await stand.ask("POST", "/admin/sync", headers)
    assert (status, True) == (answer.status, words in answer.detail)
    assert (await stand.parts.store.read(history.runs, None, 1)).rows == []


async def test_an_api_key_is_refused_with_a_reason(stand: Stand) -> None:
    """It has all rights in Jellyfin, but belongs to nobody who could be named in the audit."""
    answer = await stand.ask(
        "GET", "/admin/runs", {"X-Jellyfin-Token": stand.services.jellyfin_key}
    )
    assert (answer.status, "API key" in answer.detail) == (403, True)


@pytest.mark.parametrize("token", ['a" Device="b', "a b", "ä", "x" * 129, "a%20b"])
async def test_a_token_of_odd_bytes_is_unknown_without_asking(stand: Stand, token: str) -> None:
    """Nothing that could say more than a token reaches Jellyfin."""
    answer = await stand.ask("GET", "/admin/runs", {"X-Jellyfin-Token": token})
    assert (answer.status, stand.asked_who()) == (401, 0)


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, times=None), Fault(status=302, times=None), Fault(body=b"[]", times=None)],
)
async def test_a_jellyfin_that_cannot_answer_is_no_verdict(stand: Stand, fault: Fault) -> None:
    """The token may be good: it is 503 with a time to try again, and counts as no failure."""
    stand.services.fault("jellyfin", fault)
    for _ in range(12):
        answer = await stand.ask("GET", "/admin/runs")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert stand.asked_who() == 1
    stand.services.mend("jellyfin")
    assert (await stand.ask("GET", "/admin/runs", AS_CRON)).status == 200
    stand.clock.seconds += 3
    assert (await stand.ask("GET", "/admin/runs")).status == 200


async def test_a_user_kept_out_for_now_is_forbidden(stand: Stand) -> None:
    """Jellyfin answers 403 outside of a user's hours."""
    stand.services.fault("jellyfin", Fault("/Users/Me", status=403))
    assert (await stand.ask("GET", "/admin/runs")).status == 403


async def test_a_good_token_is_asked_about_once_a_minute(stand: Stand) -> None:
    """So a revoked one is refused within a minute, and the others cost Jellyfin next to nothing."""
    for _ in range(5):
        assert (await stand.ask("GET", "/admin/runs")).status == 200
    assert stand.asked_who() == 1
    stand.services.fault("jellyfin", Fault("/Users/Me", status=401))
    stand.clock.seconds += LATER
    assert (await stand.ask("GET", "/admin/runs")).status == 401


async def test_many_calls_at_once_ask_jellyfin_only_a_few_times(busy: Stand) -> None:
    """A page that opens with forty calls is no burden."""
    answers = await asyncio.gather(*(busy.ask("GET", "/admin/runs") for _ in range(40)))
    assert {200} == {answer.status for answer in answers}
    assert busy.asked_who() <= 4


async def test_without_a_configured_token_no_bearer_is_let_in(tmp_path: Path) -> None:
    """Not even an empty one."""
    async with standing(tmp_path, admin_token=None) as stand:
        for bearer in ("Bearer ", "Bearer None"):
            answer = await stand.ask("GET", "/admin/runs", {"Authorization": bearer})
            assert answer.status == 401


async def test_after_ten_failures_in_a_minute_an_address_has_to_wait(stand: Stand) -> None:
    """Jellyfin is not asked about further tokens then."""
    first = [(await stand.ask("GET", "/admin/runs", WRONG)).status for _ in range(10)]
    assert first == [401] * 10
    stand.clock.seconds += 20
    answer = await stand.ask("GET", "/admin/runs", WRONG)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "40")
    assert stand.asked_who() == 10
    stand.clock.seconds += 40
    assert (await stand.ask("GET", "/admin/runs", WRONG)).status == 401


@pytest.mark.parametrize("wrong", [WRONG, {"Authorization": "Bearer wr0ng"}])
async def test_a_right_secret_is_let_in_whoever_guesses_beside_it(
    stand: Stand, wrong: dict[str, str]
) -> None:
    """Behind one proxy everybody has the same address; what is right costs nothing to check."""
    assert (await stand.ask("GET", "/admin/runs", AS_ADMIN)).status == 200
    statuses = [(await stand.ask("GET", "/admin/runs", wrong)).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    for right in (AS_CRON, AS_ADMIN):
        assert (await stand.ask("GET", "/admin/runs", right)).status == 200
    hook = {"X-Library-Sync-Secret": HOOK_SECRET}
    assert (await stand.ask("POST", "/hooks/jellyfin", hook, data=b"{}")).status != 429


async def test_a_token_that_was_right_is_asked_about_beside_guesses(stand: Stand) -> None:
    """Its minute may end while others guess; once it is wrong, it is a guess like theirs."""
    assert (await stand.ask("GET", "/admin/runs", AS_ADMIN)).status == 200
    stand.clock.seconds += LATER
    for _ in range(10):
        await stand.ask("GET", "/admin/runs", WRONG)
    assert (await stand.ask("GET", "/admin/runs", AS_ADMIN)).status == 200
    stand.services.fault("jellyfin", Fault("/Users/Me", status=401, times=None))
    stand.clock.seconds += LATER
    for _ in range(9):
        await stand.ask("GET", "/admin/runs", WRONG)
    refused = [(await stand.ask("GET", "/admin/runs", AS_ADMIN)).status for _ in range(2)]
    assert refused == [401, 429]


async def test_nobody_fails_by_sending_no_secret(stand: Stand) -> None:
    """There is nothing to guess by that."""
    statuses = [(await stand.ask("GET", "/admin/runs", {})).status for _ in range(12)]
    assert statuses == [401] * 12


async def test_guesses_at_once_are_bounded_too(busy: Stand) -> None:
    """Fifty guesses that arrive together do not all get an answer from Jellyfin."""
    guesses = [{"X-Jellyfin-Token": f"{n:032}"} for n in range(50)]
    answers = await asyncio.gather(*(busy.ask("GET", "/admin/runs", one) for one in guesses))
    assert {401, 429} == {answer.status for answer in answers}
    assert busy.asked_who() <= 13


async def test_one_address_failures_are_not_anothers(tmp_path: Path) -> None:
    """Behind a trusted proxy each client has its own ten."""
    async with standing(tmp_path, trusted_proxies=["127.0.0.0/8"]) as stand:
        one = {**WRONG, "X-Forwarded-For": "192.0.2.1"}
        statuses = [(await stand.ask("GET", "/admin/runs", one)).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        for other in ("192.0.2.2", "192.0.2.1, 192.0.2.3"):
            headers = {**WRONG, "X-Forwarded-For": other}
            assert (await stand.ask("GET", "/admin/runs", headers)).status == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
async def test_a_page_of_another_site_is_refused(stand: Stand, site: str) -> None:
    """Even with a good token; and a victim's browser cannot use up the victim's tries."""
    for _ in range(12):
        answer = await stand.ask("POST", "/admin/sync", {**AS_CRON, "Sec-Fetch-Site": site})
        assert answer.status == 403
    assert None is stand.parts.worker.waiting
    headers = {**AS_CRON, "Sec-Fetch-Site": "same-origin"}
    answer = await stand.ask("POST", "/admin/sync", headers)
    assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (200, None)


async def test_refusals_leave_one_audit_event_a_minute(stand: Stand) -> None:
    """With address and reason; a stranger cannot make the audit grow by insisting."""
    for _ in range(3):
        for _ in range(12):
            await stand.ask("GET", "/admin/runs/canary?token=canary", WRONG)
        stand.clock.seconds += LATER
    events = await stand.audited("access.refused", "access.limited")
    assert [event["action"] for event in events] == ["access.refused", "access.limited"] * 3
    assert (tuple(events[0][name] for name in ("actor_kind", "target", "reason", "after"))) == (
        "stranger",
        "GET /admin/runs/{run_id}",
        "this token is not known",
        {"address": "127.0.0.1"},
    )


async def test_a_refused_user_is_named_in_the_audit(stand: Stand) -> None:
    """Somebody who is known but may not is not a stranger."""
    await stand.ask("GET", "/admin/runs", {"X-Jellyfin-Token": VIEWER.token})
    [event] = await stand.audited("access.refused")
    assert (event["actor_kind"], event["actor_name"]) == ("user", "viewer")


def test_a_flood_from_many_addresses_is_noted_in_part_only() -> None:
    """A whole botnet leaves sixty events a minute."""
    clock = Clock()
    failures = RateLimiter(10, clock)
    noted = [failures.worth_noting(f"10.0.{n // 256}.{n % 256}", "refused") for n in range(5000)]
    assert sum(noted) == 60
    clock.seconds += LATER
    assert failures.worth_noting("10.0.0.1", "refused")


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    """The oldest first, so that memory is bounded and the latest culprits are known."""
    failures, kind = RateLimiter(1, Clock()), Credential.PASSWORD
    for n in range(5000):
        failures.count(f"10.0.{n // 256}.{n % 256}", kind)
    assert (failures.wait("10.0.0.0", kind), failures.wait("10.0.19.135", kind)) == (0, 60)


@pytest.mark.parametrize(
    ("exchange", "standing"),
    [
        ("me_admin", TokenStatus.ADMINISTRATOR),
        ("me_user", TokenStatus.USER),
        ("me_key", TokenStatus.API_KEY),
        ("me_wrong", TokenStatus.UNKNOWN),
    ],
)
async def test_jellyfin_is_asked_with_the_token_alone(exchange: str, standing: TokenStatus) -> None:
    """Our key would speak for it, and a device or version would overwrite the user's own."""
    seen = RECORDED[exchange]
    body = json.dumps(seen["json"]).encode() if seen.get("json") else b""
    async with Upstream([reply(seen["status"], body, JSON if body else {})]) as upstream:
        ours = {"Authorization": 'MediaBrowser Token="our-own-key"'}
        client = JellyfinAuth(ServiceHttp("Jellyfin", upstream.url, ours))
        found = await client.who_is("ab12")
    assert standing is found.standing
    [asked] = upstream.asked
    assert asked.path == "/Users/Me"
    assert asked.headers["authorization"] == 'MediaBrowser Token="ab12"'
    assert {"host", "accept", "accept-encoding", "user-agent", "authorization"} == {*asked.headers}


async def test_a_disabled_administrator_is_none() -> None:
    """Jellyfin says both of the account."""
    policy = {"IsAdministrator": True, "IsDisabled": True}
    body = json.dumps({"Id": "1d", "Name": "x", "Policy": policy}).encode()
    async with Upstream([reply(200, body)]) as upstream:
        found = await JellyfinAuth(ServiceHttp("Jellyfin", upstream.url, {})).who_is("ab12")
    assert TokenOwner(TokenStatus.BARRED, "x", "1d") == found
    body = body.replace(b"true", b'"true"')
    async with Upstream([reply(200, body)]) as upstream:
        with pytest.raises(ServiceError):
            await JellyfinAuth(ServiceHttp("Jellyfin", upstream.url, {})).who_is("ab12")


def test_secrets_are_compared_in_constant_time() -> None:
    """Nothing that is or was made of one meets `==`, whose time tells how much of it is right."""
    compared = [
        ast.unparse(node)
        for source in COMPARING
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)
    ]
    assert [one for one in compared if re.search("digest|sign|secret|token|_own", one)] == []


async def test_a_jellyfin_that_fails_is_asked_for_its_people_once() -> None:
    """Somebody waits for their page meanwhile."""
    async with (
        Upstream([reply(503)]) as upstream,
        http(upstream.url, "Jellyfin", RetryPolicy()) as client,
    ):
        with pytest.raises(StartingError):
            await JellyfinAuth(client).users()
    assert len(upstream.asked) == 1
