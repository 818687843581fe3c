"""The daemon as a process: how it starts, says so, survives, and ends."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Self

import aiohttp
import pytest
import yaml

from daemon.app import assemble, run
from daemon.opening import open_services
from daemon.store import audit, open_store
from daemon.store.audit import AuditEvent
from daemon.triggers.heartbeat import Notifier
from tests.builders import ACTOR, change, configured, rows
from tests.hosts import restarted
from tests.pretend import Fault, PretendServices, World
from tests.running import METROPOLIS, SHOW, a_world, until
from tests.triggers.test_sdnotify import heard, listening
from tests.web.people import Person

ROOT = Path(__file__).parent.parent
SOON = 30
"""Seconds: more than a slow machine needs to stop, less than any wait that is cut short."""

RUNS = "SELECT trigger, outcome FROM sync_runs ORDER BY id"
CONSISTENT = """
SELECT (SELECT count(*) FROM requests),
       (SELECT count(DISTINCT jellyfin_id) FROM requests),
       (SELECT count(*) FROM timeline_events),
       (SELECT count(*) FROM sync_decisions WHERE kind = 'add'),
       (SELECT sum(json_array_length(after, '$.request_ids')) FROM sync_audit
        WHERE action = 'titles.added')
"""


@dataclass
class Running:
    """A daemon in a process of its own, and what it says to its log and to systemd."""

    process: Process
    systemd: socket.socket
    log: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def hear(self) -> list[str]:
        """Everything that systemd was told so far."""
        self.messages.extend(heard(self.systemd))
        return self.messages

    def told(self, text: str) -> int:
        """How often systemd was told this."""
        return sum(text in message for message in self.hear())

    async def ready(self) -> Self:
        """Wait until it serves."""
        await until(lambda: self.told("READY=1"))
        return self

    async def listen(self) -> None:
        """Collect the log."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(json.loads(line))

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of one kind."""
        return [line for line in self.log if line["event"] == event]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Tell it to end: its exit code, and how many seconds that took."""
        before = monotonic()
        self.process.send_signal(how)
        code = await self.process.wait()
        return code, monotonic() - before


@dataclass
class Place:
    """Where daemons live: a folder with a configuration, and the services around it.

    Attributes:
        within: what their commands are put behind, e.g. to enter a namespace.
    """

    folder: Path
    services: PretendServices
    stack: AsyncExitStack
    within: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        """The tracker's file."""
        return self.folder / "tracker.db"

    def configure(self, **sections: Any) -> None:
        """Write the configuration anew."""
        parts = self.services.sections()
        document = {**parts, "database": str(self.database), "http": {"port": 0}, **sections}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    async def command(self, *arguments: str, **environ: str) -> Process:
        """One command, in this place."""
        return await asyncio.create_subprocess_exec(
            *(*self.within, sys.executable, "-m", "daemon", "--config", "config.yaml", *arguments),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def ended(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """One command to its end: exit code, output and complaints."""
        process = await self.command(*arguments, **environ)
        output, complaints = await process.communicate()
        return process.returncode or 0, output.decode(), complaints.decode()

    async def started(self) -> Running:
        """A daemon; what is left of it at the end of the test is killed."""
        name = f"{self.folder}/notify-{len(list(self.folder.glob('notify-*')))}"
        systemd = self.stack.enter_context(listening(name))
        process = await self.command("run", NOTIFY_SOCKET=name, WATCHDOG_USEC="400000")
        running = Running(process, systemd)
        self.stack.push_async_callback(_gone, process, asyncio.create_task(running.listen()))
        return running


async def _gone(process: Process, listening: asyncio.Task[None]) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
    await listening


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A configured place with a film and a series."""
    async with a_place(tmp_path, a_world()) as made:
        yield made


@asynccontextmanager
async def a_place(folder: Path, world: World) -> AsyncIterator[Place]:
    async with PretendServices(world) as services, AsyncExitStack() as stack:
        made = Place(folder, services, stack)
        made.configure()
        yield made


def titles(place: Place) -> set[str]:
    """What is tracked."""
    return {title for (title,) in rows(place.database, "SELECT title FROM requests")}


async def test_a_life_from_start_to_stop(place: Place) -> None:
    """It says READY once its port answers, what it does, that it lives, and that it stops."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place.configure(http={"port": port})
    daemon = await (await place.started()).ready()
    with socket.create_connection(("127.0.0.1", port)):
        pass
    await until(lambda: daemon.told("STATUS=Idle; run 1 ok, 2 titles"))
    assert titles(place) == {METROPOLIS.title, SHOW.title}
    fed = daemon.told("WATCHDOG=1")
    await until(lambda: daemon.told("WATCHDOG=1") >= fed + 3)
    assert daemon.told("STOPPING=1") == 0
    code, seconds = await daemon.end()
    assert (code, daemon.told("READY=1"), daemon.told("STOPPING=1")) == (0, 1, 1)
    assert seconds < SOON
    await until(lambda: daemon.logged("daemon.stopped"))
    lines = ["daemon.starting", "daemon.ready", "run.done", "daemon.stopping", "daemon.stopped"]
    assert lines == [line["event"] for line in daemon.log if line["event"] in lines]
    assert rows(place.database, RUNS) == [("start", "ok")]
    assert not place.database.with_name("tracker.db-wal").exists()


def as_written(line: dict[str, Any]) -> str:
    """A line of the log as the process wrote it."""
    return json.dumps(line, separators=(",", ":"))


async def test_a_runs_page_tells_how_to_find_its_log_lines(place: Place) -> None:
    """The command finds the lines of that run, and of no other, in what the process writes."""
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.logged("run.done"))
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        alice = Person(session, daemon.logged("daemon.ready")[0]["url"])
        await alice.log_in()
        told = (await alice.get("/status/runs/1")).text
    [shown] = re.findall("<code[^>]*>journalctl -u library-sync -o cat [|] grep -E ([^<]*)", told)
    [pattern] = shlex.split(html.unescape(shown))
    lines = [line for line in daemon.log if re.search(pattern, as_written(line))]
    assert {"run.started", "audit.recorded", "run.done"} <= {line["event"] for line in lines}
    assert {line["run_id"] for line in lines} == {1}
    assert not re.search(pattern, as_written({"run_id": 11}))
    assert re.search(pattern, "run_id=1 trigger=start")


async def test_a_stop_in_mid_run(tmp_path: Path) -> None:
    """What was written stays and fits together, the run is interrupted, the exit code is 0."""
    many = 8_000
    async with a_place(tmp_path, World.of_size(movies=many)) as place:
        place.configure(sync={"batch_size": 4})
        daemon = await (await place.started()).ready()
        await until(lambda: len(titles(place)) >= 100)
        code, seconds = await daemon.end()
        assert code == 0
        assert seconds < SOON
        assert rows(place.database, RUNS) == [("start", "interrupted")]
        [counts] = rows(place.database, CONSISTENT)
        assert len(set(counts)) == 1
        assert 100 <= counts[0] < many
        place.configure()
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.told("STATUS=Idle"))
        assert rows(place.database, RUNS) == [("start", "interrupted"), ("start", "ok")]
        assert rows(place.database, CONSISTENT) == [(many,) * 5]


async def test_a_stop_while_the_tracker_holds_its_file(place: Place) -> None:
    """It does not wait for the lock; the run that could not be closed is closed at the start."""
    place.services.fault("jellyfin", Fault("/System/Info/Public", stall=60))
    daemon = await (await place.started()).ready()
    await until(lambda: place.services.calls("jellyfin"))
    with closing(sqlite3.connect(place.database)) as tracker, tracker:
        tracker.execute("BEGIN IMMEDIATE")
        code, seconds = await daemon.end()
    assert code == 0
    assert seconds < SOON
    assert rows(place.database, RUNS) == [("start", "running")]
    place.services.mend("jellyfin")
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    assert rows(place.database, RUNS) == [("start", "interrupted"), ("start", "ok")]
    assert daemon.logged("run.abandoned")[0]["run"] == 1


async def test_a_stop_while_a_run_waits_to_begin(place: Place) -> None:
    """Neither the run nor those who ask for more of them keep the process from its end."""
    token = "t" * 32
    place.configure(http={"port": 0, "admin_token": token})
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    url = daemon.logged("daemon.ready")[0]["url"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        with closing(sqlite3.connect(place.database)) as tracker, tracker:
            tracker.execute("BEGIN IMMEDIATE")
            asks = [
                asyncio.create_task(session.post(f"{url}/admin/sync?wait=false")) for _ in range(5)
            ]
            await asyncio.sleep(1)
            code, seconds = await daemon.end()
        await asyncio.gather(*asks, return_exceptions=True)
    assert code == 0
    assert seconds < SOON


async def test_only_one_works_on_a_file_through_whatever_name(place: Place) -> None:
    """A link to the file is the file."""
    daemon = await (await place.started()).ready()
    (place.folder / "link.db").symlink_to(place.database)
    place.configure(database=str(place.folder / "link.db"))
    assert (await place.ended("run"))[0] == 75
    assert (await daemon.end())[0] == 0


async def test_what_is_told_is_of_this_daemon(place: Place) -> None:
    """When it works next, and how late its own loop is."""
    place.configure(http={"port": 0, "admin_token": "t" * 32})
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    url = daemon.logged("daemon.ready")[0]["url"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {'t' * 32}"}) as session:
        state = await (await session.get(f"{url}/admin/sync")).json()
        metrics = await (await session.get(f"{url}/metrics")).text()
    hours = datetime.fromisoformat(state["next_run"]) - datetime.fromisoformat(state["now"])
    assert timedelta(hours=5.9) < hours < timedelta(hours=6.1)
    [lag] = re.findall(r"^library_sync_loop_lag_seconds (\S+)$", metrics, re.MULTILINE)
    assert 0 < float(lag) < 10


async def test_a_pause_is_survived(place: Place) -> None:
    """A process that was stopped and goes on feeds the watchdog again, works, and ends well."""
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    daemon.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.3)
    fed = daemon.told("WATCHDOG=1")
    await asyncio.sleep(1)
    assert daemon.told("WATCHDOG=1") == fed
    daemon.process.send_signal(signal.SIGCONT)
    await until(lambda: daemon.told("WATCHDOG=1") > fed)
    assert (await daemon.end(signal.SIGINT))[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_every_signal_to_end_is_heeded(place: Place, number: signal.Signals) -> None:
    """Also that of a terminal which was closed: it ends in order, and says so."""
    daemon = await (await place.started()).ready()
    assert (await daemon.end(number))[0] == 0
    await until(lambda: daemon.logged("daemon.stopped"))


async def test_a_file_that_was_replaced_ends_the_daemon(place: Place) -> None:
    """It is not ready, the next run is none, and a new start opens the file that is there now."""
    place.configure(http={"port": 0, "admin_token": "t0ken"})
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.told("STATUS=Idle"))
    url, proof = daemon.logged("daemon.ready")[0]["url"], {"Authorization": "Bearer t0ken"}
    place.database.unlink()
    async with aiohttp.ClientSession(headers=proof) as session:
        async with session.get(f"{url}/readyz") as reply:
            reasons = (await reply.json())["reasons"]
        assert (reply.status, reasons) == (503, [{"what": "tracker", "kind": "file_replaced"}])
        with suppress(aiohttp.ClientError):
            await session.post(f"{url}/admin/sync")
    assert await daemon.process.wait() == 1
    assert restarted(1)
    again = await (await place.started()).ready()
    await until(lambda: again.told("STATUS=Idle"))
    assert titles(place) == {METROPOLIS.title, SHOW.title}


async def test_only_one_works_on_a_file(place: Place) -> None:
    """A second daemon and a run by hand both end with 75 and say why; the first goes on."""
    daemon = await (await place.started()).ready()
    for command in ("run", "sync"):
        code, output, complaints = await place.ended(command)
        assert code == 75
        assert complaints.splitlines()[-1] == (
            f"library-sync: another library-sync process works on {place.database}"
        )
        assert "Traceback" not in output + complaints
    fed = daemon.told("WATCHDOG=1")
    await until(lambda: daemon.told("WATCHDOG=1") > fed)
    assert (await daemon.end())[0] == 0


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        ({"jellyfin": {"url": "http://j"}}, 78, "jellyfin.api_key is missing"),
        (
            {"database": "/nowhere/tracker.db"},
            1,
            "/nowhere/tracker.db: No such file or directory; m",
        ),
        (
            {"database": "/dev/null/tracker.db"},
            1,
            "/dev/null/tracker.db: Not a directory; make its",
        ),
        ({"database": "/dev/null"}, 1, "/dev/null is no ordinary file; database must name the tr"),
    ],
)
async def test_what_cannot_be_started(
    place: Place, sections: dict[str, Any], code: int, words: str
) -> None:
    """The exit code says whether starting again can help, and one line says what to do."""
    place.configure(**sections)
    ended, output, complaints = await place.ended("run")
    assert code == ended
    assert words in complaints
    assert "Traceback" not in output + complaints
    assert len(complaints.splitlines()) == 1


async def test_a_start_that_waits_for_the_file_is_ended_at_once(place: Place) -> None:
    """The tracker may hold its lock for longer than systemd waits for an end."""
    with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        daemon = await place.started()
        await until(lambda: daemon.logged("daemon.starting"))
        code, _ = await daemon.end()
    assert code == 0
    assert (await daemon.process.wait(), daemon.told("READY=1")) == (0, 0)
    await until(lambda: daemon.logged("daemon.stopped"))


async def test_a_port_that_is_taken(place: Place) -> None:
    """One line says so and what to do, and systemd may try again later."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.configure(http={"port": port})
        code, output, complaints = await place.ended("run")
    assert code == 1
    [line] = complaints.splitlines()
    assert line.startswith(f"library-sync: cannot listen on 127.0.0.1:{port}: Address already in")
    assert line.endswith("; stop the program that uses it, or set another http.port")
    assert restarted(code)
    assert "Traceback" not in output + complaints


class BrokenNotifier(Notifier):
    """Fails once the daemon is ready."""

    def alive(self) -> None:
        """Die as a part with a defect does."""
        raise ZeroDivisionError


async def test_the_night_verifies_the_audit(tmp_path: Path) -> None:
    """What comes of it is told to the log and kept for the page."""
    async with (
        PretendServices(a_world()) as services,
        open_store(tmp_path / "tracker.db") as store,
        open_services(settings := configured(services, tmp_path / "tracker.db")) as clients,
    ):
        parts, background = assemble(settings, store, clients, 1, Notifier({}))
        assert parts.schedule in background  # which watches the clock
        good = await parts.schedule.run_job("housekeeping")
        assert (store.audit_ok, good.words.endswith("the audit is intact")) == (True, True)
        await store.write(audit.append, AuditEvent("access.denied", ACTOR))
        await store.write(audit.append, AuditEvent("access.denied", ACTOR))
        change(tmp_path / "tracker.db", "DROP TRIGGER IF EXISTS sync_audit_no_update")
        change(tmp_path / "tracker.db", "UPDATE sync_audit SET actor_name = 'x' WHERE seq = 1")
        bad = await parts.schedule.run_job("housekeeping")
        assert (store.audit_ok, bad.words.endswith("the audit is broken")) == (False, True)


async def test_a_part_that_dies_ends_everything(tmp_path: Path) -> None:
    """Nothing goes on without it: the error gets out, and the process ends with it."""
    async with PretendServices(a_world()) as services:
        settings = configured(services, tmp_path / "tracker.db", http={"port": 0})
        with pytest.raises(ExceptionGroup) as caught:
            await run(settings, asyncio.Event(), notifier=BrokenNotifier({}))
    assert [ZeroDivisionError] == [type(error) for error in caught.value.exceptions]
