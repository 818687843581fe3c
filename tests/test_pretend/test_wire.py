"""Counted calls and faults on demand."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientSession, ClientTimeout

from tests.answer import Answer
from tests.pretend import Call, Fault, PretendServices, Service, World
from tests.test_pretend.support import ask, key_headers

MOVIES = "/Items?Recursive=true&IncludeItemTypes=Movie"


async def collect(reply: ClientResponse, seen: bytearray) -> None:
    """Read a body piece by piece, keeping what came before an error."""
    while piece := await reply.content.readany():
        seen += piece


async def test_calls_are_counted(services: PretendServices) -> None:
    """Every request is noted with method, path and query, refused ones too, per service."""
    await ask(services, "jellyfin", MOVIES)
    await ask(services, "radarr", "/api/v3/nope?a=%C3%A9", {})

    assert services.calls("jellyfin") == [Call("GET", "/Items", MOVIES.partition("?")[2])]
    assert services.calls("radarr") == [Call("GET", "/api/v3/nope", "a=é")]
    assert services.calls("sonarr") == []


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault(status=500), 500, ""),
        (Fault(status=401), 401, ""),
        (Fault(status=503, body=b"loading", headers={"Retry-After": "005"}), 503, "loading"),
        (Fault(body=b"<html>", headers={"Content-Type": "text/html"}), 200, "<html>"),
        (Fault(body=b"null"), 200, "null"),
        (Fault(status=302, headers={"Location": "/login"}), 302, ""),
        (Fault(status=200), 200, ""),
        (Fault(body=b""), 200, ""),
    ],
)
async def test_another_answer(
    services: PretendServices, fault: Fault, status: int, text: str
) -> None:
    """A fault can put status, headers and body in the place of the real answer, once."""
    services.fault("jellyfin", fault)
    wrong = await ask(services, "jellyfin", MOVIES)
    right = await ask(services, "jellyfin", MOVIES)

    assert (wrong.status, wrong.text) == (status, text)
    assert fault.headers.items() <= wrong.headers.items()
    assert right.names == ["Metropolis", "On The Shelf"]


async def test_an_empty_answer_has_no_type(services: PretendServices) -> None:
    """An answer without a body says length 0 and no content type, as the real ones do."""
    services.fault("radarr", Fault(status=200))
    answer = await ask(services, "radarr", "/api/v3/movie")

    assert answer.headers["Content-Length"] == "0"
    assert "Content-Type" not in answer.headers


async def test_a_fault_meets_its_path_and_query_only(services: PretendServices) -> None:
    """A fault waits for the call it is meant for."""
    services.fault("jellyfin", Fault("/Items?", query="StartIndex=1", status=500))
    others = [
        await ask(services, "jellyfin", path) for path in ("/Items/Counts", MOVIES, "/health")
    ]
    meant = await ask(services, "jellyfin", MOVIES + "&StartIndex=1")

    assert [answer.status for answer in others] == [200, 200, 200]
    assert meant.status == 500


@pytest.mark.parametrize(("times", "statuses"), [(2, [500, 500, 200]), (None, [500, 500, 500])])
async def test_a_fault_lasts_as_long_as_it_says(
    services: PretendServices, times: int | None, statuses: list[int]
) -> None:
    """A fault meets so many calls, or all until it is mended."""
    services.fault("sonarr", Fault(times=times, status=500))
    seen = [(await ask(services, "sonarr", "/ping")).status for _ in range(3)]
    services.mend("sonarr")

    assert seen == statuses
    assert (await ask(services, "sonarr", "/ping")).status == 200


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_cut_body_drops_the_connection(services: PretendServices, encoding: str) -> None:
    """So many bytes of the body arrive, plain or unpacked, and then the connection breaks."""
    whole = await ask(services, "jellyfin", MOVIES)
    services.fault("jellyfin", Fault("/Items", cut=100))
    headers = {**key_headers(services, "jellyfin"), "Accept-Encoding": encoding}
    seen = bytearray()
    async with (
        ClientSession() as session,
        session.get(services.jellyfin_url + MOVIES, headers=headers) as reply,
    ):
        with pytest.raises(ClientPayloadError):
            await collect(reply, seen)

    assert seen.decode() == whole.text[:100]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_cleanly_cut_body_looks_whole(services: PretendServices, encoding: str) -> None:
    """A clean cut ends the body properly: only its text shows that something is missing."""
    whole = await ask(services, "jellyfin", MOVIES)
    services.fault("jellyfin", Fault("/Items", cut=100, clean=True))
    headers = {**key_headers(services, "jellyfin"), "Accept-Encoding": encoding}
    cut = await ask(services, "jellyfin", MOVIES, headers)

    assert (cut.status, cut.text) == (200, whole.text[:100])


async def test_a_stalled_answer_comes_late(services: PretendServices) -> None:
    """A stall delays the real answer, and nobody else's."""
    services.fault("jellyfin", Fault("/Items", stall=1))
    started = time.monotonic()
    late = asyncio.create_task(ask(services, "jellyfin", MOVIES))
    await ask(services, "jellyfin", "/health")

    assert not late.done()
    assert (await late).status == 200
    assert time.monotonic() - started >= 1


async def test_a_body_can_stall_in_the_middle(services: PretendServices) -> None:
    """A stall together with a cut comes after the bytes that are let through."""
    services.fault("jellyfin", Fault("/Items", cut=20, stall=30))
    async with (
        ClientSession(timeout=ClientTimeout(sock_read=1)) as session,
        session.get(
            services.jellyfin_url + MOVIES, headers=key_headers(services, "jellyfin")
        ) as reply,
    ):
        assert len(await reply.content.readexactly(20)) == 20
        with pytest.raises(TimeoutError):
            await reply.content.readany()


async def test_a_dropped_connection(services: PretendServices) -> None:
    """A dropped connection is closed without an answer."""
    services.fault("radarr", Fault(drop=True, times=None))

    with pytest.raises(ClientError):
        await ask(services, "radarr", "/ping")


async def test_others_are_answered_during_a_long_list(
    services: PretendServices, world: World
) -> None:
    """While a long list is being sent, another request does not wait for its end."""
    world.radarr.update(World.of_size(movies=5000).radarr)

    async def answer(service: Service, path: str) -> tuple[Answer, float]:
        return await ask(services, service, path), time.monotonic()

    long, short = await asyncio.gather(
        answer("radarr", "/api/v3/movie"), answer("radarr", "/api/v3/system/status")
    )

    assert len(long[0].json) == len(world.radarr)
    assert short[1] < long[1]


async def test_a_client_that_leaves_is_forgotten(
    services: PretendServices, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that hangs up in the middle of a list leaves no error behind."""
    world.radarr.update(World.of_size(movies=3000).radarr)
    async with ClientSession() as session:
        url = services.radarr_url + "/api/v3/movie"
        async with session.get(url, headers=key_headers(services, "radarr")) as reply:
            await reply.content.readany()
            reply.close()
    after = await ask(services, "radarr", "/api/v3/system/status")

    assert after.status == 200
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []
