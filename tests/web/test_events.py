"""The event stream: what is, what changes, and who is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

from daemon.report.progress import Feed
from daemon.web import Limits
from tests.running import until
from tests.web.support import AS_ADMIN, Stand, standing


async def test_a_listener_gets_what_is_and_then_what_happens(stand: Stand) -> None:
    """A snapshot as `GET /admin/sync` gives it, then each step of the run under a rising id."""
    async with stand.listening() as listener:
        assert listener.reply.content_type == "text/event-stream"
        snapshot = await listener.next()
        assert snapshot["event"] == "snapshot"
        assert (await stand.ask("GET", "/admin/sync")).json == snapshot["data"]
        assert listener.comments == ["retry: 3000\n\n"]
        answer = await stand.ask("POST", "/admin/sync")
        events = [await listener.next()]
        while events[-1]["event"] != "done":
            events.append(await listener.next())
    assert events[0]["event"] == "started"
    assert "progress" in {event["event"] for event in events}
    assert answer.json == events[-1]["data"]
    ids = [int(event["id"].split("-")[1]) for event in events]
    assert [*range(1, len(ids) + 1)] == ids


async def test_a_snapshot_has_the_run_that_was_last(stand: Stand) -> None:
    """As the history of runs tells of it."""
    await stand.ask("POST", "/admin/sync")
    async with stand.listening() as listener:
        snapshot = await listener.next()
    assert snapshot["data"]["last"]["outcome"] == "ok"
    assert (await stand.ask("GET", "/admin/sync")).json == snapshot["data"]


async def test_a_returning_listener_gets_what_it_missed(stand: Stand) -> None:
    """No snapshot then, and no event twice."""
    async with stand.listening() as listener:
        seen = (await listener.next())["id"]
    for number in range(3):
        stand.parts.feed.publish("progress", {"done": number})
    async with stand.listening({"Last-Event-ID": seen}) as listener:
        missed = [await listener.next() for _ in range(3)]
        stand.parts.feed.publish("progress", {"done": 3})
        missed.append(await listener.next())
    assert [event["data"]["done"] for event in missed] == [0, 1, 2, 3]


async def test_a_listener_of_another_life_gets_a_snapshot(stand: Stand) -> None:
    """The ids of an earlier process, too old ones and nonsense are no way to go on."""
    async with stand.listening() as listener:
        boot = (await listener.next())["id"].split("-")[0]
    for number in range(300):
        stand.parts.feed.publish("progress", {"done": number})
    for last in (f"{boot}-1", f"{boot}-999", "00000000-299", "299", "", "x" * 5000):
        async with stand.listening({"Last-Event-ID": last}) as listener:
            first = await listener.next()
            assert ("snapshot", f"{boot}-300") == (first["event"], first["id"])


async def test_a_quiet_stream_shows_signs_of_life(tmp_path: Path) -> None:
    """So that proxies keep it open and a dead client is noticed."""
    async with standing(tmp_path, limits=Limits(heartbeat=0.02)) as stand:
        async with stand.listening() as listener:
            await listener.next()
            asyncio.get_running_loop().call_later(0.1, stand.parts.feed.publish, "progress", {})
            await listener.next()
        assert listener.comments[-1] == ": still here\n\n"
        await until(lambda: stand.parts.feed.listeners == 0)


async def test_a_listener_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    """Neither its queue nor its connection grows without end, and nobody else waits for it."""
    async with standing(tmp_path, limits=Limits(drain=1)) as stand:
        host, port = re.fullmatch(r"http://(.*):(\d+)", stand.url).groups()  # type: ignore[union-attr]
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        token = AS_ADMIN["X-Jellyfin-Token"]
        writer.write(
            f"GET /admin/sync/events HTTP/1.1\r\nHost: x\r\n"
            f"X-Jellyfin-Token: {token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"snapshot")
        await until(lambda: stand.parts.feed.listeners == 1)
        async with stand.listening() as good:
            await good.next()
            for number in range(200):
                stand.parts.feed.publish("progress", {"done": number, "pad": "x" * 50_000})
                assert number == (await good.next())["data"]["done"]
            await until(lambda: stand.parts.feed.listeners == 1)
        rest = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                rest += piece
        assert not rest.endswith(b"0\r\n\r\n")  # cut off, not waited for until it took the end
        writer.close()


async def test_a_listener_whose_queue_overflows_is_dropped(stand: Stand) -> None:
    """It gets what was in the queue, and may come back with the last id."""
    async with stand.listening() as listener:
        await listener.next()
        for number in range(300):
            stand.parts.feed.publish("progress", {"done": number})
        rest = (await listener.reply.content.read()).decode()
    assert rest.count("event: progress") == 128
    assert '{"done": 127}' in rest.split("\n\n")[-2]


async def test_what_happens_while_the_snapshot_is_taken_is_told_once(tmp_path: Path) -> None:
    """It is in the snapshot already."""
    feeds: list[Feed] = []

    def publish() -> None:
        for feed in feeds:
            feed.publish("progress", {})

    async with standing(tmp_path, next_run=publish) as stand:
        feeds.append(stand.parts.feed)
        async with stand.listening() as listener:
            snapshot = await listener.next()
            publish()
            event = await listener.next()
    assert [one["id"].split("-")[1] for one in (snapshot, event)] == ["1", "2"]


async def test_the_stream_ends_with_the_feed(stand: Stand) -> None:
    """A stopped daemon lets its listeners go at once, and no new ones in."""
    async with stand.listening() as listener:
        await listener.next()
        stand.parts.feed.close()
        assert await listener.reply.content.read() == b""
    async with stand.listening() as listener:
        assert (await listener.next())["event"] == "snapshot"
        assert await listener.reply.content.read() == b""


async def test_the_stream_has_no_head(stand: Stand) -> None:
    """A HEAD that streams would never end."""
    answer = await stand.ask("HEAD", "/admin/sync/events")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
