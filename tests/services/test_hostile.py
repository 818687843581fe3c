"""Whatever a service sends, or does not send, is one error of that service: cause, and what to do.

Each situation is played by a real local server, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
import sys
import textwrap
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ServiceError
from daemon.services.arr import APPLICATIONS, ArrClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.jellyfin import JellyfinClient
from daemon.services.verdict import failed
from tests.upstream import Act, Upstream, cases, chunked, http, reply, slept

SOON = RetryPolicy(attempts=1, reply=0.2, listing=0.2, silence=0.1)
BRIEF = RetryPolicy(attempts=1, reply=2, listing=2, silence=2)
LATER = RetryPolicy(attempts=1, reply=30, listing=30, silence=30)
OK = "HTTP/1.1 200 OK"
TYPE = "Content-Type: application/json"
MIB = 1024 * 1024

BETWEEN = "nothing to do if it happens once; else look at the proxy and the network between"
SCHEME = "check the port, and whether its address begins with http:// or https://"
SPOKEN = f"no proper HTTP is spoken there; {SCHEME}"
CUT = f"the connection ended in mid-reply; {BETWEEN}"
EARLY = f"the reply ends too early; {BETWEEN}"
LATE = "no complete reply in time; look at the load of that machine"
HUNG_UP = f"it hung up without an answer; {SCHEME}"
INTEGER = "Input should be a valid integer, unable to parse string as an integer"
MISMATCH = "Hostname mismatch, certificate is not valid for 'nas'"
OTHER_NAME = "put a name into the address that the certificate is for"
AUTHORITY = "if it is one of your own, name its authority's file in SSL_CERT_FILE"
PROXY = "check the address: a proxy or a login page may be answering"
ADDRESS = "check the address, the port and the URL base"
ODD = f"is no answer to what was asked; {ADDRESS}"
PACKED = "its compression cannot be read; look at the proxy between, if there is one"
OWN_KEY = "make a new API key in its settings and configure it, unless this is another service's"
LOGIN = "a proxy before it asks for a login: let Library Sync reach it without"
UNREACHED = "a proxy answers for it: check that it runs, and that the proxy reaches it"


def sent(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A reply as it stands on the wire, right or wrong."""
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1") + body


def good(*headers: str, body: bytes = b"[1]") -> bytes:
    """A reply that would be right but for these headers or this body."""
    return sent(OK, TYPE, f"Content-Length: {len(body)}", *headers, "Connection: close", body=body)


def status(line: str) -> bytes:
    """A good reply with another status line."""
    return good().replace(OK.encode(), line.encode("latin-1"))


def pieces(text: bytes) -> bytes:
    """A reply in chunks, as they are given."""
    return sent(OK, TYPE, "Transfer-Encoding: chunked", body=text)


def moved(where: str, number: int = 302) -> bytes:
    """A redirect."""
    return sent(f"HTTP/1.1 {number} X", f"Location: {where}", "Content-Length: 0")


def packed(body: bytes, how: str) -> bytes:
    """A reply that claims to be compressed."""
    return good(f"Content-Encoding: {how}", body=body)


def again(text: bytes, *, first: bytes = b"", pause: float = 0) -> Callable[..., Awaitable[None]]:
    """Write something, and then one thing for ever."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(pause)

    return act


def reset(text: bytes) -> Callable[..., Awaitable[None]]:
    """Write something, and reset the connection."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await asyncio.sleep(0.05)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return act


BOMB = zlib.compressobj(9, wbits=31)
BOMB_TEXT = b"".join(BOMB.compress(bytes(MIB)) for _ in range(64)) + BOMB.flush()
HEAD_ONLY = sent(OK, TYPE, "Content-Length: 3")

FATAL: dict[str, tuple[Act, str, str]] = {
    # the status line
    "garbage": (b"garbage\r\n\r\n", "wrong_service", SPOKEN),
    "every byte": (bytes(range(256)) * 10, "wrong_service", SPOKEN),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x16", "wrong_service", SPOKEN),
    "ssh": (b"SSH-2.0-OpenSSH\r\n", "wrong_service", SPOKEN),
    "HTTP/0.9": (b"[1]", "wrong_service", SPOKEN),
    "HTTP/9.9": (status("HTTP/9.9 200 OK"), "wrong_service", SPOKEN),
    "status 0": (status("HTTP/1.1 0 X"), "wrong_service", SPOKEN),
    "status 99": (status("HTTP/1.1 99 X"), "wrong_service", SPOKEN),
    "status -1": (status("HTTP/1.1 -1 X"), "wrong_service", SPOKEN),
    "status abc": (status("HTTP/1.1 abc X"), "wrong_service", SPOKEN),
    "status 20000": (status("HTTP/1.1 20000 X"), "wrong_service", SPOKEN),
    "a reason of 64 KB": (status("HTTP/1.1 200 " + "x" * 65536), "wrong_service", SPOKEN),
    "status 000": (status("HTTP/1.1 000 X"), "wrong_service", f"HTTP 0 {ODD}"),
    "status 999": (status("HTTP/1.1 999 X"), "wrong_service", f"HTTP 999 {ODD}"),
    "status 206": (status("HTTP/1.1 206 X"), "wrong_service", f"HTTP 206 {ODD}"),
    "a web socket": (
        sent("HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade"),
        "wrong_service",
        f"HTTP 101 {ODD}",
    ),
    "304 unasked": (sent("HTTP/1.1 304 X"), "wrong_service", f"HTTP 304 {ODD}"),
    "204 with a body": (
        sent("HTTP/1.1 204 X", TYPE, "Content-Length: 3", body=b"[1]"),
        "wrong_service",
        SPOKEN,
    ),
    "only 100": (b"HTTP/1.1 100 Continue\r\n\r\n", "unreachable", HUNG_UP),
    "100 for ever": (again(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "timed_out", LATE),
    # headers
    "no colon": (good("NoColon"), "wrong_service", SPOKEN),
    "64 KB in a header": (good("X: " + "x" * 65536), "wrong_service", SPOKEN),
    "10,000 headers": (good(*[f"X-{n}: y" for n in range(10_000)]), "wrong_service", SPOKEN),
    "headers for ever": (
        again(b"X: y\r\n" * 100, first=f"{OK}\r\n".encode()),
        "wrong_service",
        SPOKEN,
    ),
    "NUL in a header": (good("X: a\x00b"), "wrong_service", SPOKEN),
    "no content type": (reply(headers={}), "not_json", f"nothing instead of JSON; {PROXY}"),
    "a content type of no text": (
        sent(OK, "Content-Type: \xff\xfe/\xe9", "Content-Length: 0"),
        "not_json",
        f"??/? instead of JSON; {PROXY}",
    ),
    "a long content type": (
        sent(OK, "Content-Type: " + "x" * 8000, "Content-Length: 0"),
        "not_json",
        f"{'x' * 300}…; {PROXY}",
    ),
    # length and chunks
    "longer than it says": (good().replace(b": 3", b": 2"), "wrong_service", SPOKEN),
    "shorter than it says": (good().replace(b": 3", b": 9"), "cut_short", CUT),
    "length -1": (good().replace(b": 3", b": -1"), "wrong_service", SPOKEN),
    "length abc": (good().replace(b": 3", b": abc"), "wrong_service", SPOKEN),
    "length 10^25": (good().replace(b": 3", b": 1" + b"0" * 25), "wrong_service", SPOKEN),
    "two lengths": (good("Content-Length: 4"), "wrong_service", SPOKEN),
    "length and chunks": (good("Transfer-Encoding: chunked"), "wrong_service", SPOKEN),
    "a chunk of size zz": (pieces(b"zz\r\n[1]\r\n0\r\n\r\n"), "wrong_service", SPOKEN),
    "a chunk of size -3": (pieces(b"-3\r\n[1]\r\n0\r\n\r\n"), "wrong_service", SPOKEN),
    "a chunk of size 2^84": (pieces(b"f" * 21 + b"\r\n[1]\r\n"), "wrong_service", SPOKEN),
    "a chunk without end": (pieces(b"3\r\n[1]0\r\n\r\n"), "wrong_service", SPOKEN),
    "a trailer that is none": (pieces(b"3\r\n[1]\r\n0\r\nbla\r\n\r\n"), "wrong_service", SPOKEN),
    "a chunk that is too short": (pieces(b"9\r\n[1]\r\n0\r\n\r\n"), "cut_short", CUT),
    "cut in a chunk's size": (pieces(b"3"), "cut_short", CUT),
    "cut in a chunk": (pieces(b"3\r\n[1"), "cut_short", CUT),
    "no last chunk": (pieces(b"3\r\n[1]\r\n"), "cut_short", CUT),
    "cut before the trailer": (pieces(b"3\r\n[1]\r\n0\r\n"), "cut_short", CUT),
    # compression
    "gzip that is none": (packed(b"[1]", "gzip"), "cut_short", PACKED),
    "gzip of another sum": (
        packed(gzip.compress(b"[1]")[:-8] + b"12345678", "gzip"),
        "cut_short",
        PACKED,
    ),
    "gzip and more": (packed(gzip.compress(b"[1]") + b"more", "gzip"), "cut_short", PACKED),
    "deflate that is none": (packed(b"[1]", "deflate"), "cut_short", PACKED),
    "brotli unasked": (packed(b"[1]", "br"), "cut_short", PACKED),
    "zstd unasked": (packed(b"[1]", "zstd"), "cut_short", PACKED),
    # the connection
    "nothing at all": (b"", "unreachable", HUNG_UP),
    "an empty line": (b"\r\n\r\n", "unreachable", HUNG_UP),
    "a reset at once": (
        reset(b""),
        "unreachable",
        "Connection reset by peer; check that it runs and that the address and port are right",
    ),
    "a reset in the head": (
        reset(b"HTTP/1.1 200"),
        "unreachable",
        "Connection reset by peer; check that it runs and that the address and port are right",
    ),
    "a reset after the head": (reset(HEAD_ONLY), "cut_short", CUT),
    "a reset in the body": (reset(chunked(b"[1", whole=False)), "cut_short", CUT),
    "no answer": (again(b"", pause=1), "timed_out", LATE),
    "half a head": (again(b"", first=b"HTTP/1.1 200", pause=1), "timed_out", LATE),
    "silence after the head": (again(b"", first=HEAD_ONLY, pause=1), "timed_out", LATE),
    "silence in the body": (
        again(b"", first=chunked(b"[", whole=False), pause=1),
        "timed_out",
        LATE,
    ),
    "a byte now and then": (again(b"1\r\n \r\n", first=pieces(b""), pause=0.02), "timed_out", LATE),
    "tiny chunks for ever": (again(b"1\r\n \r\n" * 500, first=pieces(b"")), "timed_out", LATE),
    # refusals
    "401": (reply(401), "refused_key", f"HTTP 401; {OWN_KEY}"),
    "403": (reply(403), "refused_key", f"HTTP 403; {OWN_KEY}"),
    "401 of a proxy": (
        sent("HTTP/1.1 401 X", "WWW-Authenticate: Basic", "Content-Length: 0"),
        "wrong_service",
        f"HTTP 401; {LOGIN}",
    ),
    "403 of a proxy": (
        sent("HTTP/1.1 403 X", "Content-Type: Text/HTML; charset=utf-8", "Content-Length: 0"),
        "wrong_service",
        f"HTTP 403; {LOGIN}",
    ),
    "404": (reply(404), "wrong_service", f"HTTP 404; {ADDRESS}"),
    "404 of no text": (status("HTTP/1.1 404 \xff\xfe"), "wrong_service", f"HTTP 404; {ADDRESS}"),
    "414": (reply(414), "rejected", "HTTP 414; see the service's own log"),
    "429": (
        reply(429),
        "broken",
        "HTTP 429; it, or a proxy before it, limits how often it may be asked",
    ),
    "500": (reply(500), "broken", "HTTP 500; see the service's own log"),
    "502": (reply(502), "broken", f"HTTP 502; {UNREACHED}"),
    "503": (reply(503), "starting", "HTTP 503; nothing to do, it will be retried soon"),
    "504": (reply(504), "broken", f"HTTP 504; {UNREACHED}"),
    # redirects
    "to https": (
        moved("https://127.0.0.1/path", 301),
        "wrong_service",
        "HTTP 301; it is at https://127.0.0.1: configure that",
    ),
    "to a sign-in": (
        moved("https://user:pass@auth.example/?rd=x"),
        "wrong_service",
        "HTTP 302; https://auth.example answers instead of it: a proxy may ask for a login there",
    ),
    "to a sign-in on another port": (
        moved("http://127.0.0.1:9091/?rd=x"),
        "wrong_service",
        "HTTP 302; http://127.0.0.1:9091 answers instead of it: a proxy may ask for a login there",
    ),
    "to no machine": (moved("javascript:x"), "wrong_service", f"HTTP 302; {ADDRESS}"),
    "to itself": (moved("/path"), "wrong_service", f"HTTP 302; {ADDRESS}"),
    "to the URL base": (
        moved("/radarr/path", 307),
        "wrong_service",
        "HTTP 307; its URL base is /radarr: the configured address must end in that",
    ),
    "to Jellyfin's URL base": (
        moved("jellyfin/web/"),
        "wrong_service",
        "HTTP 302; its URL base is /jellyfin: the configured address must end in that",
    ),
    "to no address": (moved("http://[nas]:8989/login"), "wrong_service", f"HTTP 302; {ADDRESS}"),
    "to half an address": (moved("//["), "wrong_service", f"HTTP 302; {ADDRESS}"),
    "to a port of no number": (
        moved("http://127.0.0.1:x/path"),
        "wrong_service",
        f"HTTP 302; {ADDRESS}",
    ),
    "to nowhere": (sent("HTTP/1.1 302 X"), "wrong_service", f"HTTP 302; {ADDRESS}"),
    "to no text": (
        moved("http://\xff\xfe/\xe9"),
        "wrong_service",
        "HTTP 302; http://?? answers instead of it: a proxy may ask for a login there",
    ),
    # what is no JSON
    "a page": (
        sent(OK, "Content-Type: text/html; charset=utf-8", "Content-Length: 3", body=b"<a>"),
        "not_json",
        f"text/html instead of JSON; {PROXY}",
    ),
    "another JSON": (
        sent(OK, "Content-Type: application/json-seq", "Content-Length: 3", body=b"[1]"),
        "not_json",
        f"application/json-seq instead of JSON; {PROXY}",
    ),
}

UNREAD: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "not_json", f"an empty reply; {PROXY}"),
    "blank": (b" \r\n", "not_json", f"an empty reply; {PROXY}"),
    "cut in a list": (b"[1", "cut_short", EARLY),
    "cut in a text": (b'["in-the-body', "cut_short", EARLY),
    "a page as JSON": (
        b"<html>",
        "not_json",
        f"no JSON: expected value at line 1 column 1; {PROXY}",
    ),
    "null": (b"null", "not_json", f"unexpected JSON: Input should be a valid array; {PROXY}"),
    "a number": (b"1", "not_json", f"unexpected JSON: Input should be a valid array; {PROXY}"),
    "a text": (b'"x"', "not_json", f"unexpected JSON: Input should be a valid array; {PROXY}"),
    "an object": (b"{}", "not_json", f"unexpected JSON: Input should be a valid array; {PROXY}"),
    "another element": (
        b'[1,"in-the-body"]',
        "not_json",
        f"unexpected JSON: {INTEGER} at 1; {PROXY}",
    ),
    "1e999": (
        b"[1e999]",
        "not_json",
        f"unexpected JSON: Input should be a finite number at 0; {PROXY}",
    ),
    "NaN": (
        b"[NaN]",
        "not_json",
        f"unexpected JSON: Input should be a finite number at 0; {PROXY}",
    ),
    "10^5000": (
        b"[1%s]" % (b"0" * 5000),
        "not_json",
        f"no JSON: number out of range at line 1 column 4303; {PROXY}",
    ),
    "100,000 brackets": (
        b"[" * 100_000,
        "not_json",
        f"no JSON: recursion limit exceeded at line 1 column 202; {PROXY}",
    ),
    "half a surrogate pair": (
        rb'["\ud83c"]',
        "not_json",
        f"no JSON: unexpected end of hex escape at line 1 column 9; {PROXY}",
    ),
    "a BOM": (
        b"\xef\xbb\xbf[1]",
        "not_json",
        f"no JSON: expected value at line 1 column 1; {PROXY}",
    ),
    "NUL": (b"\0[1]", "not_json", f"no JSON: expected value at line 1 column 1; {PROXY}"),
    "UTF-16": (
        "[1]".encode("utf-16"),
        "not_json",
        f"no JSON: expected value at line 1 column 1; {PROXY}",
    ),
    "Latin-1": (
        b'["\xe9"]',
        "not_json",
        f"no JSON: invalid unicode code point at line 1 column 3; {PROXY}",
    ),
    "two": (b"[1][2]", "not_json", f"no JSON: trailing characters at line 1 column 4; {PROXY}"),
}
BODIES: dict[str, tuple[Act, str, str]] = {
    name: (good(body=body), kind, words) for name, (body, kind, words) in UNREAD.items()
}
BODIES |= {
    "an endless body": (
        again(b" " * 65536, first=sent(OK, TYPE)),
        "too_large",
        "over 8 MiB; check the address",
    ),
    "a gzip bomb": (packed(BOMB_TEXT, "gzip"), "too_large", "over 8 MiB; check the address"),
    "cut gzip": (
        packed(gzip.compress(b"[1]")[:-12], "gzip"),
        "not_json",
        f"an empty reply; {PROXY}",
    ),
    "204": (sent("HTTP/1.1 204 X"), "not_json", f"an empty reply; {PROXY}"),
}

TOLERATED: dict[str, tuple[Act]] = {
    "no reason": (status("HTTP/1.1 200"),),
    "an upgrade is offered": (good("Upgrade: websocket", "Connection: Upgrade"),),
    "a thousand 102": (b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + good(),),
    "a content type in capitals": (good().replace(b"application/json", b"Application/JSON"),),
    "a charset that nobody knows": (good().replace(b"json", b"json; charset=klingon"),),
    "a date in the year 10^20": (good(f"Date: Mon, 23 Nov 1{'0' * 20} 02:44:22 GMT"),),
    "a date of a zone 10^20": (good(f"Date: Mon, 23 Nov 2026 02:44:22 +1{'0' * 20}"),),
    "a date in the year 1600": (good("Date: Sat, 01 Jan 1600 00:00:00 GMT"),),
    "a date of no text": (good("Date: \xff\xfe"),),
    "a cookie of no sense": (good("Set-Cookie: \x01;;=;expires=\xff"),),
    "links of no sense": (good('Link: <http://[x>; rel="next"'),),
    "an encoding that nobody knows": (packed(b"[1]", "fancy"),),
    "an extension of a chunk": (pieces(b"3;" + b"x" * 65536 + b"\r\n[1]\r\n0\r\n\r\n"),),
}


def patience(kind: str) -> RetryPolicy:
    """Short only where it is what is tried, so that a slow machine is no hostile service."""
    return SOON if kind == "timed_out" else LATER


async def said(act: Act, kind: str, ask: Callable[[ServiceHttp], Awaitable[Any]]) -> ServiceError:
    """What asking such a server raises; any other exception than a service's error fails."""
    async with Upstream([act]) as upstream, http(upstream.url, patience=patience(kind)) as client:
        with pytest.raises(ServiceError) as caught:
            await ask(client)
        begin = f"Radarr at {upstream.url}/path: "
    assert str(caught.value).startswith(begin)
    caught.value.args = (str(caught.value).removeprefix(begin),)
    return caught.value


async def whole(client: ServiceHttp) -> list[int]:
    """Ask for a small reply."""
    return await client.get("/path", list[int])


async def streamed(client: ServiceHttp) -> bytes:
    """Ask for a large one."""
    async with client.stream("/path") as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize(("act", "kind", "words"), cases(FATAL | BODIES))
async def test_every_situation_has_its_sentence(act: Act, kind: str, words: str) -> None:
    """It names the cause and what to do, and nothing else than a service's error comes of it."""
    error = await said(act, kind, whole)
    assert (error.kind, str(error)) == (kind, words)


@pytest.mark.parametrize(("act", "kind", "words"), cases(FATAL))
async def test_a_long_reply_fails_with_the_same_sentence(act: Act, kind: str, words: str) -> None:
    """How a reply is read makes no difference to what is wrong with it."""
    error = await said(act, kind, streamed)
    assert (error.kind, str(error)) == (kind, words)


@pytest.mark.parametrize(("act", "kind", "words"), cases(FATAL | BODIES))
async def test_no_situation_ends_more_than_its_service(act: Act, kind: str, words: str) -> None:
    """A Radarr that does such a thing is a gap of Radarr, and a Jellyfin an error of Jellyfin."""
    del words
    async with Upstream([act]) as upstream, http(upstream.url, "4k", patience(kind)) as client:
        report = await ArrClient(client, APPLICATIONS["radarr"]).report()
        assert ([gap.service for gap in report.gaps], report.titles) == (["4k"], None)
    async with (
        Upstream([act]) as upstream,
        http(upstream.url, "Jellyfin", patience(kind)) as client,
    ):
        jellyfin = JellyfinClient(client)
        for question in (jellyfin.server, jellyfin.counts, jellyfin.seasons):
            with pytest.raises(ServiceError) as caught:
                await question()
            assert caught.value.service == "Jellyfin"


@pytest.mark.parametrize("act", [pytest.param(*act, id=name) for name, act in TOLERATED.items()])
async def test_what_does_no_harm_is_passed_over(act: Act) -> None:
    """Odd headers do not cost the reply that they come with."""
    async with Upstream([act]) as upstream, http(upstream.url, patience=LATER) as client:
        assert await whole(client) == [1]
    assert client.date is None


TEMPLATES = [
    good(),
    good("Date: Mon, 23 Nov 2026 02:44:22 GMT", "Set-Cookie: a=b; path=/", "Vary: *"),
    chunked(b"[", b"1]"),
    packed(gzip.compress(b"[1]"), "gzip"),
    moved("https://user@media.test:8989/radarr/path?x=1#y", 301),
    sent("HTTP/1.1 503 Starting", "Retry-After: 005", "Content-Type: text/html; charset=utf-8"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + good(),
]
changes = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=3)), min_size=1, max_size=4
)


def spoiled(text: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """A reply with some bytes put in, left out or changed."""
    for where, left_out, put_in in changes:
        at = int(where * len(text))
        text = text[:at] + put_in + text[at + left_out :]
    return text


@given(template=st.sampled_from(TEMPLATES), changes=changes)
def test_a_spoiled_reply_is_read_or_refused(
    template: bytes, changes: list[tuple[float, int, bytes]]
) -> None:
    """Whichever bytes of a reply are wrong, nothing but a service's error comes of it."""

    async def ask() -> None:
        act = spoiled(template, changes)
        async with Upstream([act]) as upstream, http(upstream.url, patience=BRIEF) as client:
            for question in (whole, streamed):
                with contextlib.suppress(ServiceError):
                    await question(client)

    asyncio.run(ask())


@pytest.mark.parametrize("wait", ["9" * 4000, "-5", "nan", "\xff", "\xb2", "", "1e9", "0x10"])
async def test_a_wait_of_no_sense_is_none(wait: str) -> None:
    """A service that asks for too long a pause is asked again all the same."""
    act = sent("HTTP/1.1 503 X", f"Retry-After: {wait}", "Content-Length: 0")
    patience = RetryPolicy(attempts=2, cap=7.0)
    async with Upstream([act, good()]) as upstream, http(upstream.url, patience=patience) as client:
        assert await whole(client) == [1]
        assert slept(client) == ([7.0] if wait.startswith("9") else [0.375])


def certificate(code: int, why: str) -> Exception:
    """What aiohttp raises of a certificate that nobody vouches for."""
    error = ssl.SSLCertVerificationError(1, "http://media.test/?secret")
    error.verify_code, error.verify_message = code, why
    return aiohttp.ClientConnectorCertificateError(None, error)  # type: ignore[arg-type]


def nameless(number: int) -> Exception:
    """What aiohttp raises of a name that leads nowhere."""
    error = OSError(number, "http://media.test/?secret")
    return aiohttp.ClientConnectorDNSError(None, error)  # type: ignore[arg-type]


UNCONNECTED = {
    "name": (nameless(socket.EAI_NONAME), "the name is not known; check the name in its address"),
    "network": (
        nameless(socket.EAI_AGAIN),
        "no name server answers; check the network of this machine",
    ),
    "no name": (
        UnicodeError("label too long"),
        "this is not a valid host name; check the name in its address",
    ),
    "an old certificate": (
        certificate(10, "certificate has expired"),
        "its certificate is not trusted (certificate has expired); renew it",
    ),
    "another's certificate": (
        certificate(62, f"{MISMATCH}."),
        f"its certificate is not trusted ({MISMATCH}); {OTHER_NAME}",
    ),
    "a certificate of one's own": (
        certificate(18, "self-signed certificate"),
        f"its certificate is not trusted (self-signed certificate); {AUTHORITY}",
    ),
}


@pytest.mark.parametrize(("error", "words"), cases(UNCONNECTED))
def test_a_connection_that_fails_early_has_its_sentence(error: Exception, words: str) -> None:
    """A name that leads nowhere and a certificate that nobody vouches for are told as such."""
    said = failed("Radarr", "http://media.test", error)
    assert (said.kind, str(said)) == ("unreachable", f"Radarr at http://media.test: {words}")


@pytest.mark.parametrize("url", ["http://a..b", f"http://{'a' * 70}.test"])
async def test_an_address_that_no_machine_can_have_is_told_as_such(url: str) -> None:
    """What the name's encoding refuses is an error of that service, too."""
    async with http(url) as client:
        with pytest.raises(ServiceError, match="this is not a valid host name"):
            await whole(client)


async def test_nothing_listens() -> None:
    """The commonest failure says what to check."""
    async with http("http://127.0.0.1:1") as client:
        with pytest.raises(ServiceError, match="Connection refused; check that it runs and that"):
            await whole(client)


async def test_a_million_wrong_elements_cost_no_more_than_one() -> None:
    """Of a list whose every element is wrong, one error is kept, not four million."""
    text = """
        import resource
        from daemon.errors import ServiceError
        from daemon.services.http import ServiceHttp
        client = ServiceHttp("Radarr", "http://radarr", {})
        try:
            client._parsed("/path", list[dict], b"[" + b"1," * (4 * 1024 * 1024 - 2) + b"1]")
        except ServiceError as error:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, error)
    """
    command = (sys.executable, "-c", textwrap.dedent(text))
    root = Path(__file__).parents[2]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=pipe)
    output, _ = await process.communicate()
    peak, _, words = output.decode().partition(" ")
    assert "Input should be an object at 0" in words
    assert int(peak) < 400
