"""What goes wrong with any service that is asked for titles on their way, and what it is called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from daemon.domain import MediaType
from daemon.errors import ServiceError
from daemon.services import qbittorrent, seerr, shoko
from daemon.services.arr_queue import ArrQueueClient
from daemon.services.http import RetryPolicy, ServiceHttp
from daemon.services.qbittorrent import QbittorrentClient
from daemon.services.seerr import SeerrClient
from daemon.services.shoko import ShokoClient
from tests.upstream import KEY, QUICK, Act, Upstream, chunked, reply

SINCE = datetime(2026, 11, 20, tzinfo=UTC)
HASTY = replace(QUICK, reply=0.2, listing=0.2, silence=0.2)
CLOSED = "http://127.0.0.1:1"


class Case(NamedTuple):
    """One question to a service, and the statuses by which it refuses a key."""

    service: str
    header: str
    ask: Callable[[ServiceHttp], Awaitable[Any]]
    refusals: tuple[int, ...] = (401, 403)


QUESTIONS = {
    "Seerr's requests": Case("Seerr", "X-Api-Key", lambda http: SeerrClient(http).open_requests()),
    "one request": Case("Seerr", "X-Api-Key", lambda http: SeerrClient(http).status_of(7)),
    "qBittorrent's torrents": Case(
        *("qBittorrent", "Authorization"),
        lambda http: QbittorrentClient(http).torrents(),
        (403,),
    ),
    "a login": Case(
        *("qBittorrent", "X-Nothing"),
        lambda http: QbittorrentClient(http, "admin", KEY).torrents(),
        (403,),
    ),
    "Shoko's files": Case("Shoko", "apikey", lambda http: ShokoClient(http).report(["/a/b.mkv"])),
    "Radarr's queue": Case(
        *("Radarr", "X-Api-Key"), lambda http: ArrQueueClient(http, MediaType.MOVIE).queue()
    ),
    "Sonarr's history": Case(
        *("Sonarr", "X-Api-Key"), lambda http: ArrQueueClient(http, MediaType.TV).history(SINCE)
    ),
    "Sonarr's episodes": Case(
        *("Sonarr", "X-Api-Key"), lambda http: ArrQueueClient(http, MediaType.TV).episodes(7)
    ),
    "a film": Case(
        *("Radarr", "X-Api-Key"), lambda http: ArrQueueClient(http, MediaType.MOVIE).title(7)
    ),
    "health": Case(
        *("Radarr", "X-Api-Key"),
        lambda http: ArrQueueClient(http, MediaType.MOVIE).client_problems(),
    ),
}


async def hush(_: asyncio.StreamWriter) -> None:
    """Leave a question without an answer."""
    await asyncio.sleep(60)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Answer for ever, a little at a time."""
    writer.write(chunked(b'{"rid": ', whole=False))
    while True:
        writer.write(b"1\r\n \r\n")
        await asyncio.sleep(0.01)


async def failure(name: str, url: str, patience: RetryPolicy = QUICK) -> ServiceError:
    """What a question raises; it keeps the key to itself, and comes in time."""
    case = QUESTIONS[name]
    http = ServiceHttp(case.service, url, {case.header: KEY}, patience)
    started = time.monotonic()
    async with http:
        with pytest.raises(ServiceError) as caught:
            await case.ask(http)
    assert time.monotonic() - started < 30
    assert caught.value.service == case.service
    assert KEY not in str(caught.value)
    return caught.value


HTML = {"Content-Type": "text/html; charset=utf-8"}
SIGN_IN = {"Location": "https://auth.test/?rd=secret"}
FAILURES: dict[str, tuple[Act, set[str]]] = {
    "hanging": (hush, {"timed_out"}),
    "slow": (drip, {"timed_out"}),
    "broken": (reply(500), {"broken"}),
    "starting": (reply(503), {"starting"}),
    "a page": (reply(body=b"<html>", headers=HTML), {"not_json", "wrong_service"}),
    "a page that says it is JSON": (reply(body=b"<html>"), {"not_json", "wrong_service"}),
    "sign-in": (reply(302, headers=SIGN_IN), {"wrong_service"}),
    "sign-in, kept": (reply(307, headers=SIGN_IN), {"wrong_service"}),
    "not there": (reply(404, headers={}), {"wrong_service"}),
    "another service": (reply(body=b'{"message": "hello"}'), {"not_json", "wrong_service"}),
    "a word": (reply(body=b'"hello"'), {"not_json", "wrong_service"}),
    "nothing": (reply(body=b""), {"not_json", "wrong_service"}),
    "half a reply": (chunked(b'[{"id": 1', whole=False), {"cut_short"}),
    "half of it as if it were whole": (
        chunked(b'[{"id": 1'),
        {"cut_short", "not_json", "wrong_service"},
    ),
    "half an object": (chunked(b'{"id": 1'), {"cut_short", "wrong_service"}),
    "a telephone": (b"SSH-2.0-OpenSSH\r\n", {"wrong_service"}),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("trouble", FAILURES)
async def test_whatever_goes_wrong_is_an_error_with_a_name(name: str, trouble: str) -> None:
    """Never an empty answer, and never a key in its words."""
    act, kinds = FAILURES[trouble]
    patience = HASTY if kinds == {"timed_out"} else QUICK
    async with Upstream([act]) as upstream:
        assert (await failure(name, upstream.url, patience)).kind in kinds


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_service_that_is_away_is_unreachable(name: str) -> None:
    """Nothing listens there."""
    assert (await failure(name, CLOSED)).kind == "unreachable"


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_key_that_is_refused_is_named(name: str) -> None:
    """Whatever status the service has for it."""
    for status in QUESTIONS[name].refusals:
        async with Upstream([reply(status, headers={})]) as upstream:
            if QUESTIONS[name].service == "Seerr":
                known = reply(body=b'{"initialized": true}')
                upstream.acts = lambda asked, status=status, known=known: (
                    known if asked.path.endswith("public") else reply(status, headers={})
                )
            assert (await failure(name, upstream.url)).kind == "refused_key"


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_redirect_is_followed(name: str) -> None:
    """So no other server ever gets the key."""
    async with Upstream([reply(body=b"[]")]) as other:
        moved = reply(307, headers={"Location": f"{other.url}/"})
        async with Upstream([moved]) as upstream:
            await failure(name, upstream.url)
        assert other.asked == []


def test_each_service_is_waited_for_as_long_as_it_may_need() -> None:
    """Seerr asks every Sonarr and Radarr first; the others answer from memory."""
    assert seerr.PATIENCE.reply == 25.0
    assert {one.PATIENCE.reply for one in (qbittorrent, shoko)} == {15.0}
