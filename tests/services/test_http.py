"""One service over HTTP: what is waited for, what is tried again, and what every failure means."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import pytest
from aioresponses import aioresponses

from daemon.errors import DaemonError, ServiceError, TimedOutError, TooLargeError
from daemon.services.http import RetryPolicy, ServiceHttp
from tests.pretend import PretendServices
from tests.upstream import (
    JSON,
    KEY,
    QUICK,
    Act,
    OfflineReply,
    Upstream,
    cases,
    chunked,
    http,
    recorded,
    reply,
    slept,
)

MIB = 1024 * 1024
CLOSED = "http://127.0.0.1:1"
QUERY = {"secret": "in-the-query"}
PATIENT = replace(QUICK, attempts=3, silence=1)
GZIP = {**JSON, "Content-Encoding": "gzip"}
PAGE = {"Content-Type": "text/html; charset=utf-8"}
GOOD = reply(body=b"[1]")
MOMENT = datetime(2026, 11, 23, 2, 44, 22, tzinfo=UTC)


async def fetch(client: ServiceHttp) -> list[int]:
    """Ask for a small reply."""
    return await client.get("/path", list[int], QUERY)


async def drain(client: ServiceHttp) -> int:
    """Read a large reply to its end and give its size."""
    async with client.stream("/path", QUERY) as chunks:
        return sum([len(chunk) async for chunk in chunks])


async def failure(client: ServiceHttp, ask: Callable[[ServiceHttp], Any] = fetch) -> ServiceError:
    """What asking raises; its words name service and place, end in advice, and keep secrets."""
    with pytest.raises(ServiceError) as caught:
        await ask(client)
    begin, _, advice = str(caught.value).rpartition("; ")
    assert begin.startswith(f"Radarr at {client.url}/path: ")
    assert advice != ""
    words = (KEY, "secret", "in-the-query", "in-the-body")
    assert [word for word in words if word in str(caught.value)] == []
    return caught.value


async def drip(writer: asyncio.StreamWriter) -> None:
    """Keep a reply going for ever, without any silence."""
    writer.write(chunked(b"[", whole=False))
    while True:
        writer.write(b"1\r\n \r\n")
        await asyncio.sleep(0.01)


async def stall(writer: asyncio.StreamWriter) -> None:
    """Begin a reply and leave it at that."""
    writer.write(chunked(b"[1", whole=False))
    await asyncio.sleep(60)


async def hush(_: asyncio.StreamWriter) -> None:
    """Leave a request without an answer."""
    await asyncio.sleep(60)


async def reset(writer: asyncio.StreamWriter) -> None:
    """Begin a reply and reset the connection."""
    writer.write(chunked(b"[1", whole=False))
    await asyncio.sleep(0.05)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def bomb(mebibytes: int) -> bytes:
    """A gzip body of a few kilobytes that becomes as large as asked."""
    press = zlib.compressobj(9, wbits=31)
    return b"".join(press.compress(bytes(MIB)) for _ in range(mebibytes)) + press.flush()


@pytest.mark.parametrize("ask", [fetch, drain])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, ask: Callable[[ServiceHttp], Any]) -> None:
    """Where a service redirects to, nobody asks, so no other server ever gets the key."""
    async with Upstream([GOOD]) as other:
        moved = reply(status, headers={"Location": f"{other.url}/path"})
        async with Upstream([moved]) as upstream, http(upstream.url) as client:
            assert (await failure(client, ask)).kind == "wrong_service"
        assert other.asked == []


async def test_the_key_the_base_and_gzip_go_with_a_request_and_cookies_do_not() -> None:
    """A request carries our headers to the path under the URL base, and no cookie of before."""
    act = reply(body=b"[1]", headers={**JSON, "Set-Cookie": "SID=1; path=/"})
    async with Upstream([act]) as upstream, http(f"{upstream.url}/base") as client:
        assert [await fetch(client), await fetch(client)] == [[1], [1]]
    assert [(asked.path, asked.query) for asked in upstream.asked] == [("/base/path", QUERY)] * 2
    names = ("x-api-key", "accept", "accept-encoding", "cookie")
    sent = [upstream.asked[1].headers.get(name) for name in names]
    assert sent == [KEY, "application/json", "gzip", None]


async def test_a_status_that_is_an_answer_is_no_failure() -> None:
    """304 is a good reply to a conditional question, and a failure of any other one."""
    fresh = reply(body=b"[1]", headers={**JSON, "ETag": 'W/"a"'})
    async with Upstream([fresh, reply(304, headers={})]) as upstream, http(upstream.url) as client:
        first = await client.read("/path", QUERY)
        known = {"If-None-Match": first.headers["etag"]}
        again = await client.read("/path", QUERY, known, also=(304,))
        assert (await failure(client)).kind == "wrong_service"
    assert [(said.status, said.body) for said in (first, again)] == [(200, b"[1]"), (304, b"")]
    tags = [asked.headers.get("if-none-match") for asked in upstream.asked]
    assert tags == [None, 'W/"a"', None]


async def test_a_stream_may_have_a_deadline_of_its_own() -> None:
    """What must be had quickly waits less long than a listing."""
    async with Upstream([drip]) as upstream, http(upstream.url) as client:
        with pytest.raises(TimedOutError):
            async with client.stream("/path", seconds=0.1) as chunks:
                assert [chunk async for chunk in chunks] == []


async def test_a_form_is_sent_once_and_may_be_answered_in_plain_text() -> None:
    """Whatever is sent may have been done, so that a failure is not tried again."""
    plain = {"Content-Type": "text/plain; charset=UTF-8", "Set-Cookie": "SID=1; path=/"}
    acts: list[Act] = [reply(body=b"Ok.", headers=plain), reply(500)]
    async with Upstream(acts) as upstream, http(upstream.url, patience=PATIENT) as client:
        said = await client.submit("/path", {"name": "a b"})
        assert (said.status, said.body, said.headers["set-cookie"]) == (
            200,
            b"Ok.",
            "SID=1; path=/",
        )
        assert (
            await failure(client, lambda asking: asking.submit("/path", QUERY))
        ).kind == "broken"
    assert [asked.body for asked in upstream.asked] == ["name=a+b", "secret=in-the-query"]


@pytest.mark.parametrize(
    ("ask", "patience"), [(fetch, RetryPolicy(reply=0.2)), (drain, RetryPolicy(listing=0.2))]
)
async def test_a_slow_drip_is_stopped(
    ask: Callable[[ServiceHttp], Any], patience: RetryPolicy
) -> None:
    """The deadline holds for a whole exchange, also where no single wait is long."""
    async with Upstream([drip]) as upstream, http(upstream.url, patience=patience) as client:
        started = time.monotonic()
        assert (await failure(client, ask)).kind == "timed_out"
        assert time.monotonic() - started >= 0.2


async def test_the_deadline_holds_over_all_attempts() -> None:
    """A service that only ever asks for patience gets no more than the exchange's time."""
    patience = replace(QUICK, attempts=1000, reply=0.2)
    async with Upstream([reply(503)]) as upstream, http(upstream.url, patience=patience) as client:
        client.sleep = asyncio.sleep
        with pytest.raises(TimedOutError):
            await fetch(client)


async def test_the_callers_own_work_is_not_interrupted() -> None:
    """What a reader does between two pieces may take longer than the deadline."""
    patience = replace(QUICK, listing=1)
    async with (
        Upstream([GOOD]) as upstream,
        http(upstream.url, patience=patience) as client,
        client.stream("/path") as chunks,
    ):
        assert await anext(chunks) == b"[1]"
        await asyncio.sleep(1.5)


def later(seconds: str, status: int = 503) -> bytes:
    """A reply that asks for time."""
    return reply(status, headers={"Retry-After": seconds})


@pytest.mark.parametrize(
    ("acts", "pauses"),
    cases(
        {
            "good at once": ([GOOD], []),
            "request timed out": ([reply(408), GOOD], [0.375]),
            "broken": ([reply(500), reply(502), GOOD], [0.375, 0.75]),
            "starting": ([reply(503), reply(504), GOOD], [0.375, 0.75]),
            "in 005 seconds": ([later("005"), GOOD], [5.0]),
            "in no time": ([later("0", 429), GOOD], [0.375]),
            "in a day": ([later("86400", 429), GOOD], [10.0]),
            "at a date": ([later("Thu, 26 Nov 2026 05:00:00 GMT"), GOOD], [0.375]),
        }
    ),
)
async def test_what_can_heal_is_asked_again(acts: list[Act], pauses: list[float]) -> None:
    """A passing failure is tried again after a growing pause, or the one that is asked for."""
    async with Upstream(acts) as upstream, http(upstream.url, patience=PATIENT) as client:
        assert await fetch(client) == [1]
    assert (len(upstream.asked), client.meter.calls) == (len(acts), len(acts))
    assert slept(client) == pauses


@pytest.mark.parametrize(("jitter", "pauses"), [(0.0, [2.0, 4.0, 6.0]), (1.0, [4.0, 6.0, 6.0])])
async def test_pauses_double_with_jitter_up_to_a_cap(jitter: float, pauses: list[float]) -> None:
    """Chance shortens a pause by up to a half, so that many clients do not ask in step."""
    client = http(CLOSED, patience=RetryPolicy(attempts=4, base=4.0, cap=6.0))
    client.jitter = lambda: jitter
    async with client:
        error = await failure(client)
    assert (error.kind, slept(client)) == ("unreachable", pauses)
    assert "Connection refused; check that it runs" in str(error)


@pytest.mark.parametrize(("act", "tries"), [(reply(500), 3), (b"", 3), (reply(401), 1), (stall, 1)])
async def test_only_what_can_heal_is_tried_again(act: Act, tries: int) -> None:
    """A server's own error and a lost connection may pass; a refusal and a deadline are final."""
    async with Upstream([act]) as upstream, http(upstream.url, patience=PATIENT) as client:
        await failure(client)
    assert (client.meter.calls, slept(client)) == (tries, [0.375, 0.75][: tries - 1])
    assert client.meter.seconds < 30


async def test_a_service_without_https_is_told_as_such() -> None:
    """Where https is asked of a plain port, nobody is sent to look for a certificate."""
    async with PretendServices() as services, http(services.radarr_url) as client:
        client.url = client.url.replace("http", "https")
        error = await failure(client)
    assert error.kind == "unreachable"
    assert "no https is spoken there; " in str(error)


RECORDED = {"jellyfin": "http://127.0.0.1:18096"}
RECORDED |= {"radarr": "http://127.0.0.1:17878", "sonarr": "http://127.0.0.1:18989"}
STATUSES = {200: "not_json", 302: "wrong_service", 307: "wrong_service", 404: "wrong_service"}
STATUSES |= {401: "refused_key", 403: "refused_key", 500: "broken", 503: "starting"}
STATUSES |= dict.fromkeys((400, 406, 414, 431), "rejected")


@pytest.mark.parametrize(
    ("service", "exchange"),
    [
        pytest.param(service, exchange, id=f"{service} {name}")
        for service in ("jellyfin", "radarr", "sonarr")
        for name, exchange in recorded(service, "errors").items()
    ],
)
async def test_recorded_failures_get_the_right_verdict(
    service: str, exchange: dict[str, Any]
) -> None:
    """What real servers answered when they refused, failed, moved or started means just that."""
    headers = {"Content-Type": "", **exchange["headers"]}
    said = {"status": exchange["status"], "body": exchange["body"], "headers": headers}
    with aioresponses() as mocked:
        mocked.get(re.compile(".*"), **said, response_class=OfflineReply)
        async with http(RECORDED[service]) as client:
            with pytest.raises(ServiceError) as caught:
                await client.get(exchange["path"].partition("?")[0], object)
    error = caught.value
    assert (error.kind, error.status) == (STATUSES[exchange["status"]], exchange["status"])
    assert error.retry_after == (5.0 if "Retry-After" in headers else None)
    target = urljoin(RECORDED[service] + exchange["path"], headers.get("Location", "/"))
    below = target.startswith(f"{RECORDED[service]}/{service}/")
    hint = f"its URL base is /{service}: the configured address must end in that"
    assert str(error).endswith(hint) == below


async def test_a_bomb_does_not_grow_memory() -> None:
    """A reply is measured after decompression, piece by piece, so a bomb costs only the cap."""
    act = reply(body=bomb(64), headers=GZIP)
    async with Upstream([act]) as upstream, http(upstream.url) as client:
        tracemalloc.start()
        try:
            assert await drain(client) == 64 * MIB
            streaming = tracemalloc.get_traced_memory()[1]
            with pytest.raises(TooLargeError):
                await fetch(client)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert streaming < 4 * MIB
    assert peak < 12 * MIB


async def test_the_meter_and_the_date_tell_what_was_asked() -> None:
    """Calls, decompressed bytes and time are counted, and the service's own clock is kept."""
    headers = {**GZIP, "Date": "Mon, 23 Nov 2026 02:44:22 GMT"}
    acts: list[Act] = [reply(500), reply(body=gzip.compress(b"[1]" + b" " * 97), headers=headers)]
    async with Upstream(acts) as upstream, http(upstream.url, patience=PATIENT) as client:
        before = replace(client.meter)
        assert (await fetch(client), await drain(client)) == ([1], 100)
    said = client.meter.since(before)
    assert (said["calls"], said["bytes"]) == (3, 200)
    assert 0 < said["seconds"] < 5
    assert client.date == MOMENT


@pytest.mark.parametrize(
    ("date", "moment"), [("yesterday", None), ("Mon, 23 Nov 2026 02:44:22 -0000", MOMENT)]
)
async def test_an_odd_date_does_not_spoil_a_reply(date: str, moment: datetime | None) -> None:
    """A clock that cannot be read is unknown, and any other is in UTC."""
    act = reply(body=b"[1]", headers={**JSON, "Date": date})
    async with Upstream([act]) as upstream, http(upstream.url) as client:
        assert await fetch(client) == [1]
    assert client.date == moment


async def test_a_client_has_to_be_entered() -> None:
    """Asking before the session is open is a mistake in this program, not of the service."""
    with pytest.raises(RuntimeError, match="not entered") as caught:
        await fetch(http(CLOSED))
    assert not isinstance(caught.value, DaemonError)
