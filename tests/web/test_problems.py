"""What all replies share, and how every kind of bad input is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.web import Limits
from tests.running import until
from tests.web.support import ADMIN_TOKEN, AS_ADMIN, AS_CRON, Stand, standing

Logged = Callable[[str], list[dict[str, Any]]]
CRON = f"Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Type: application/json\r\n"


async def raw(stand: Stand, *sent: bytes) -> tuple[int, str, str]:
    """Send bytes as they are, piece by piece; gives the reply's status, head and body."""
    host, port = re.findall(r"http://(.*):(\d+)", stand.url)[0]
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in sent:
        writer.write(piece)
        await asyncio.sleep(0.02)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    body = (await reader.read()).decode()
    writer.close()
    return int(head.split()[1]), head, body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"nonsense", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"dry_run"', "object"),
        (b'{"dry_run": 0}', "dry_run: Input should be a valid boolean"),
        (b'{"dry_run": "true"}', "dry_run: Input should be a valid boolean"),
        (b'{"dry_run": null}', "dry_run"),
        (b'{"dry_run": true, "force": 1}', "force: Extra inputs are not permitted"),
        (b'{"dry_run": "\\ud800"}', "JSON"),
        (b'{"\x00": 1}', "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"dry_run":' * 5000, "JSON"),
        (b'{"dry_run":' + b"[" * 20_000, "JSON"),
        (b'{"' + b"x" * 60_000 + b'": 1}', "Extra inputs"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_wrong_body_is_400_and_starts_nothing(
    stand: Stand, body: bytes, words: str
) -> None:
    """It says what is wrong, shortly, and is never repeated."""
    headers = {**AS_CRON, "Content-Type": "application/json"}
    answer = await stand.ask("POST", "/admin/sync", headers, data=body)
    assert (answer.status, words in answer.detail) == (400, True)
    assert len(answer.detail) < 400
    assert await stand.audited("sync.asked", "sync.previewed") == []


async def test_a_missing_body_is_400_where_one_is_needed(stand: Stand) -> None:
    """As is an empty object."""
    answer = await stand.ask("POST", "/admin/attention", AS_CRON)
    assert (answer.status, "do: Field required" in answer.detail) == (400, True)


@pytest.mark.parametrize(
    "address",
    [
        "/admin/sync?wait=0",
        "/admin/sync?wait=yes",
        "/admin/sync?wait=",
        "/admin/sync?wait=true&wait=false",
        "/admin/sync?dry_run=true",
        "/admin/runs/1/cancel?run_id=1",
        "/admin/runs/0/cancel",
        "/admin/runs/-1/cancel",
        "/admin/runs/1.0/cancel",
        "/admin/runs/%2B1/cancel",
        "/admin/runs/1_0/cancel",
        "/admin/runs/%D9%A1/cancel",
        "/admin/runs/9223372036854775808/cancel",
        "/admin/runs/99999999999999999999999999/cancel",
        "/admin/runs/x/cancel",
        "/admin/runs/%00/cancel",
    ],
)
async def test_a_wrong_address_of_an_action_is_400(stand: Stand, address: str) -> None:
    """Whatever is not the number or the word that is meant is not guessed at."""
    answer = await stand.ask("POST", address, AS_CRON)
    assert (answer.status, bool(answer.detail)) == (400, True)


@pytest.mark.parametrize(
    "address",
    [
        "/admin/runs?before=-1",
        "/admin/runs?before=0",
        "/admin/runs?limit=0",
        "/admin/runs?limit=201",
        "/admin/runs?limit=",
        "/admin/runs?offset=3",
        "/admin/runs?before=9223372036854775808",
        "/admin/runs/1?after=-1",
        "/admin/audit?action=a%00b",
        "/admin/audit?actor=",
        f"/admin/audit?target={'x' * 201}",
        "/admin/audit?since=yesterday",
        "/admin/audit?since=2026-11-20",
        "/admin/audit?since=2026-11-20T12:00:00",
        "/admin/audit?since=2026-13-20T12:00:00Z",
        "/admin/audit?since=0001-01-01T00:00:00%2B14:00",
        "/admin/audit?until=1700000000",
        "/healthz?verbose=1",
    ],
)
async def test_a_wrong_question_is_400(stand: Stand, address: str) -> None:
    """A cursor that there cannot be is a mistake, not the first page."""
    answer = await stand.ask("GET", address, AS_CRON)
    assert (answer.status, bool(answer.detail)) == (400, True)


async def test_an_unknown_run_is_404(stand: Stand) -> None:
    """Also the highest number that there can be."""
    for number in (1, 2**63 - 1):
        answer = await stand.ask("GET", f"/admin/runs/{number}")
        assert (404, f"there is no run {number}") == (answer.status, answer.detail)


async def test_unknown_places_and_methods_are_problems_too(stand: Stand) -> None:
    """404 and 405, the latter with what is allowed; HEAD works where GET does."""
    assert (await stand.ask("GET", "/nothing")).status == 404
    assert "there is nothing" in (await stand.ask("POST", "/admin/../x")).detail
    refused = await stand.ask("DELETE", "/admin/runs")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD")
    assert refused.detail
    assert (
        (head := await stand.ask("HEAD", "/admin/runs/1/cancel")).status,
        head.text,
    ) == (405, "")
    head = await stand.ask("HEAD", "/healthz")
    assert (head.status, head.text) == (200, "")


async def test_a_body_must_be_json_and_say_so(stand: Stand) -> None:
    """415, which also keeps forms of other sites out; no body needs no type."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {**AS_CRON, "Content-Type": kind}
        answer = await stand.ask("POST", "/admin/sync", headers, data=b"{}")
        assert (answer.status, "application/json" in answer.detail) == (415, True)
    headers = {**AS_CRON, "Content-Type": "application/json; charset=utf-8"}
    assert (await stand.ask("POST", "/admin/sync", headers, data=b"")).status == 200
    head = f"POST /admin/sync HTTP/1.1\r\nHost: x\r\n{CRON}Transfer-Encoding: chunked\r\n"
    assert (await raw(stand, f"{head}Connection: close\r\n\r\n".encode(), b"0\r\n\r\n"))[0] == 200
    assert (await stand.ask("POST", "/admin/sync?wait=false", headers, data=b"{}")).status == 202


async def test_a_body_over_64_kib_is_413(stand: Stand) -> None:
    """Also one that comes in chunks and does not say how long it is."""
    lengthy = b"POST /admin/sync HTTP/1.1\r\nHost: x\r\n" + CRON.encode()
    size = 65 * 1024
    for sent in (
        lengthy + b"Content-Length: %d\r\n\r\n" % size + b" " * size,
        lengthy
        + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size
        + b" " * size
        + b"\r\n0\r\n\r\n",
    ):
        status, head, body = await raw(stand, sent)
        assert (status, "application/problem+json" in head) == (413, True)
        assert "too large" in body


async def test_a_half_sent_body_is_408(tmp_path: Path) -> None:
    """It is waited for shortly only, and the connection is closed."""
    async with standing(tmp_path, limits=Limits(body=0.05)) as stand:
        sent = f"POST /admin/sync HTTP/1.1\r\nHost: x\r\n{CRON}Content-Length: 9\r\n\r\n{{".encode()
        status, head, body = await raw(stand, sent)
    assert (status, "application/problem+json" in head) == (408, True)
    assert "in time" in body


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad\x00Header: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"POST /admin/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_400_and_one_line(
    stand: Stand, lines: Logged, sent: bytes
) -> None:
    """The reply tells nothing of the server; the log repeats nothing of the garbage."""
    status, head, body = await raw(stand, sent)
    assert (status, "application/problem+json" in head) == (400, True)
    assert "aiohttp" not in head + body
    assert "Python" not in head + body
    [line] = lines("http.malformed")
    assert (line["source_ip"], line["status"]) == ("127.0.0.1", 400)
    assert lines("aiohttp.server.message") == []


async def test_a_chunk_that_is_none_is_400(stand: Stand) -> None:
    """The body is broken, not the daemon."""
    head = f"POST /admin/sync HTTP/1.1\r\nHost: x\r\n{CRON}Transfer-Encoding: chunked\r\n\r\n"
    status, _, body = await raw(stand, head.encode() + b"zz\r\n{}\r\n0\r\n\r\n")
    assert (status, "aiohttp" in body) == (400, False)


async def test_an_expectation_that_nobody_knows_is_417(stand: Stand, lines: Logged) -> None:
    """It is refused on any path, and is no mistake of ours."""
    for path in ("/healthz", "/nothing"):
        sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nExpect: more\r\nConnection: close\r\n\r\n"
        status, head, _ = await raw(stand, sent.encode())
        assert (status, "aiohttp" in head) == (417, False)
    assert lines("aiohttp.server.message") == lines("http.failed") == []


async def test_a_client_that_hangs_up_is_one_line_and_no_mistake(
    stand: Stand, lines: Logged
) -> None:
    """In the middle of its own body, for instance."""
    host, port = re.findall(r"http://(.*):(\d+)", stand.url)[0]
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /admin/sync HTTP/1.1\r\nHost: x\r\n{CRON}Content-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    await asyncio.sleep(0.5)
    writer.transport.abort()
    await until(lambda: lines("http.request"))
    [line] = lines("http.request")
    assert (line["route"], line["status"]) == ("/admin/sync", 499)
    assert lines("http.failed") == []


async def test_a_mistake_of_ours_is_500_without_its_story(tmp_path: Path, lines: Logged) -> None:
    """The reply has an id under which the log tells more."""

    def fail() -> None:
        raise LookupError("canary")

    async with standing(tmp_path, next_run=fail) as stand:
        answer = await stand.ask("GET", "/admin/sync")
    assert (answer.status, "canary" in answer.text + str(answer.headers)) == (500, False)
    [line] = lines("http.failed")
    assert ("LookupError", answer.json["request_id"]) == (line["error_kind"], line["request_id"])


async def test_a_tracker_file_that_cannot_be_used_is_503(tmp_path: Path) -> None:
    """With a time to try again, and what is the matter."""
    async with standing(tmp_path) as stand:
        stand.spoil()
        answer = await stand.ask("GET", "/admin/runs")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "tracker" in answer.detail


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_3", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False)],
)
async def test_a_request_id_is_kept_if_it_is_harmless(
    stand: Stand, lines: Logged, given: str, kept: bool
) -> None:
    """Else there is a new one; either way the reply and the log bear it."""
    answer = await stand.ask("GET", "/admin/runs", {**AS_ADMIN, "X-Request-Id": given})
    found = answer.headers["X-Request-Id"]
    assert kept == (found == given)
    assert kept or re.fullmatch("[0-9a-f]{32}", found)
    assert [found] == [line["request_id"] for line in lines("http.request")]


async def test_each_request_is_one_line(stand: Stand, lines: Logged) -> None:
    """With the route's pattern, never the address as it was sent, which may hold anything."""
    await stand.ask("GET", "/admin/runs/77?limit=1", AS_CRON)
    await stand.ask("GET", "/canary\r\n\x1b", {})
    first, second = lines("http.request")
    assert tuple(first[name] for name in ("method", "route", "status", "actor", "source_ip")) == (
        "GET",
        "/admin/runs/{run_id}",
        404,
        "admin token",
        "127.0.0.1",
    )
    assert first["duration_ms"] >= 0
    assert (second["route"], second["status"], second["actor"]) == ("-", 404, "unknown")


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/admin/runs", "/no"])
async def test_every_reply_is_guarded(stand: Stand, path: str) -> None:
    """Nothing may be kept, embedded or guessed, and no version is told."""
    headers = (await stand.ask("GET", path, {})).headers
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert {"Server", "Access-Control-Allow-Origin", "Set-Cookie"}.isdisjoint(headers)
