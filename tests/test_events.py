"""The catalogue of events is true: it names what the code can say, and what a daemon does say."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import signal
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp

from daemon import domain, logs
from daemon.apply import run as runs
from daemon.domain import Outcome
from daemon.reasons import Kind, Reason
from daemon.report.result import RunStats, SyncResult
from tests.builders import rows
from tests.pretend import Fault, PretendServices
from tests.pretend.jellyfin import ADMIN
from tests.pretend.library import Movie
from tests.running import METROPOLIS, a_world, until
from tests.test_daemon import Place, Running
from tests.test_docs import NONE, ROOT, code_of, table

CATALOGUE: Final = ROOT / "systemd/EVENTS.md"
LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
}
FAILURE: Final = {"error_kind", "error", "stack"}
ALWAYS: Final = {"timestamp", "level", "event", "logger", "service", "version"}
SECRET: Final = "webhook-canary-1234"
TOKEN: Final = "admin-canary-1234"
ACTION: Final = re.compile(r"[a-z]+\.[a-z_]+")


@dataclass
class Spoken:
    """How one event is told of: at which levels, and with which fields."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@cache
def catalogue() -> dict[str, Spoken]:
    """What is documented, by event; fields may be patterns."""
    return {
        name: Spoken(set(levels.split(", ")), set(code_of(fields)))
        for [name], levels, fields in (
            (code_of(event), levels, fields)
            for event, levels, fields, _ in table(CATALOGUE, "Log events")
        )
    }


@cache
def anywhere() -> set[str]:
    """The fields that any line may have."""
    return {name for row in table(CATALOGUE, "Common fields") for name in code_of(row[0])}


def modules() -> Iterator[ast.Module]:
    """The whole program."""
    return (ast.parse(path.read_text("utf-8")) for path in (ROOT / "daemon").rglob("*.py"))


def spoken_in_code() -> dict[str, Spoken]:
    """What the code can say, by event."""
    found: dict[str, Spoken] = defaultdict(Spoken)
    for module in modules():
        spokesmen = {"_log": set(LEVELS)} | dict(_aliases(module))
        for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
            if not (methods := _methods(call, spokesmen)):
                continue
            for name in _events(call.args[0]):
                found[name].levels |= {LEVELS[method] for method in methods}
                found[name].fields |= _fields(call, methods)
    return dict(found)


def _aliases(module: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Names for one of several methods of the logger."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found = {
                one.attr
                for one in ast.walk(node.value)
                if isinstance(one, ast.Attribute) and _is_log(one.value)
            }
            if found and not isinstance(node.value, ast.Call):
                yield node.targets[0].id, found


def _is_log(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "_log"


def _methods(call: ast.Call, spokesmen: dict[str, set[str]]) -> set[str]:
    match call.func:
        case ast.Attribute(value=value, attr=name) if _is_log(value):
            return {name} & LEVELS.keys()
        case ast.Name(id=name) if name != "_log" and name in spokesmen:
            return spokesmen[name]
        case _:
            return set()


def _events(first: ast.expr) -> list[str]:
    """The names that an expression can come to; decisions are told by their class's name."""
    if isinstance(first, ast.Constant):
        return [str(first.value)]
    assert isinstance(first, ast.JoinedStr)
    kinds = (kind.__name__.lower() for kind in typing.get_args(domain.Decision))
    [prefix] = [str(one.value) for one in first.values if isinstance(one, ast.Constant)]
    return [f"{prefix}{kind}" for kind in kinds]


def _fields(call: ast.Call, methods: set[str]) -> set[str]:
    named = {keyword.arg for keyword in call.keywords}
    fields = {name for name in named if name and name != "exc_info"}
    if None in named:
        fields |= set(_of_a_run())
    return fields | FAILURE if "exc_info" in named or "exception" in methods else fields


def _of_a_run() -> dict[str, Any]:
    """The fields of a run's one line."""
    stats = RunStats()
    stats.counts.update(one for one in Reason if one.meaning.kind is Kind.SKIP)
    calls = {name: {"calls": 1.0, "bytes": 2.0, "seconds": 0.5} for name in ("Jellyfin", "Radarr")}
    return runs._flat(SyncResult(Outcome.OK, stats, 1, 0, calls).as_dict())


def unmatched(fields: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """The fields that no pattern stands for."""
    known = tuple(patterns)
    return {name for name in fields if not any(fnmatch(name, pattern) for pattern in known)}


def test_the_code_has_one_name_for_its_loggers() -> None:
    """Otherwise events would be overlooked below."""
    names = {
        target.id
        for module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and _is_a_logger(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    nodes = [node for module in modules() for node in ast.walk(module)]
    calls = sum(_is_a_logger(node) for node in nodes)
    kept = (ast.Assign, ast.AnnAssign)
    assigned = sum(
        isinstance(node, kept) and node.value is not None and _is_a_logger(node.value)
        for node in nodes
    )
    assert (names, calls) == ({"_log"}, assigned)


def _is_a_logger(value: ast.AST) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in {"logger", "logs.logger"}


def test_every_event_of_the_code_is_in_the_catalogue_and_the_other_way_round() -> None:
    """With the levels at which it is told."""
    assert len(catalogue()) == len(table(CATALOGUE, "Log events"))
    documented = {n: one.levels for n, one in catalogue().items() if one.levels != {"any"}}
    assert {n: one.levels for n, one in spoken_in_code().items()} == documented


def test_every_field_of_the_code_is_in_the_catalogue_and_the_other_way_round() -> None:
    """For each event; a pattern stands for at least one field."""
    for name, one in spoken_in_code().items():
        documented = catalogue()[name].fields
        assert unmatched(one.fields, documented) == set(), name
        idle = {p for p in documented if not any(fnmatch(f, p) for f in one.fields)}
        assert idle == set(), name


def actions_in_code() -> set[str]:
    """Every action that the code can put into the audit."""
    found: set[str] = set()
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and _called(node) in {
                "AuditEvent",
                "Decided",
                "_for_a_run",
                "event",
                "record",
                "_record",
            }:
                found |= {_text(one) for one in node.args if ACTION.fullmatch(_text(one))}
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_NOTED":
                assert isinstance(node.value, ast.Dict)
                found |= {_text(value) for value in node.value.values}
    return found | set(_composed())


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _composed() -> Iterator[str]:
    """Actions that are made of a reason, or of what an admin may make of a plan."""
    admin = ast.parse((ROOT / "daemon/web/actions.py").read_text("utf-8"))
    for node in ast.walk(admin):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "PlanState":
            yield f"plan.{node.attr.lower()}"
    yield from (reason.meaning.audit for reason in Reason if reason.meaning.audit)


def test_every_action_of_the_audit_is_in_the_catalogue_and_the_other_way_round() -> None:
    """An action is a stable word that others may search for."""
    documented = [*code_of_first(table(CATALOGUE, "Audit actions"))]
    assert len(documented) == len(set(documented))
    assert actions_in_code() == set(documented)


def code_of_first(found: Iterable[list[str]]) -> Iterator[str]:
    """What stands as code in the first cells."""
    return (name for row in found for name in code_of(row[0]))


def test_the_names_of_the_elastic_common_schema() -> None:
    """They are those that the renderer uses."""
    found = table(CATALOGUE, "Elastic Common")
    documented = {code_of(ours)[0]: code_of(theirs)[0] for ours, theirs in found}
    assert documented == logs._ECS


# --- what a daemon says ----------------------------------------------------------------------


def faults(line: dict[str, Any]) -> list[str]:
    """What of a line the catalogue does not allow."""
    entry = _entry(line["event"])
    if entry is None:
        return [f"{line['event']} is not in the catalogue"]
    needed = ALWAYS - {"version"} if line["event"] == "log.unreadable" else ALWAYS
    wrong = [f"{name} is missing" for name in sorted(needed - line.keys())]
    if line["level"] not in entry.levels and entry.levels != {"any"}:
        wrong.append(f"level {line['level']}")
    wrong += [f"unknown field {n}" for n in unmatched(line.keys() - anywhere(), entry.fields)]
    if entry.levels != {"any"}:
        plain = {name for name in entry.fields if "*" not in name} - {"stack"}
        wrong += [f"no field {name}" for name in sorted(plain - line.keys())]
    return wrong


def _entry(event: str) -> Spoken | None:
    exact = catalogue().get(event)
    return exact or (catalogue()["*.message"] if event.endswith(".message") else None)


class Unshowable:
    """A value that fails when somebody wants to see it."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


def test_lines_that_no_part_of_ours_writes() -> None:
    """What libraries say, and what could not be shown, are in the catalogue, too."""
    stream = io.StringIO()
    logs.configure(format="json", level="info", secrets=(), version="1", stream=stream)
    logging.getLogger("asyncio").warning("something")
    logging.getLogger("aiohttp.server").error("worse", exc_info=ValueError("bad"))
    logs.logger("test").info("daemon.ready", url=Unshowable())
    logs.reset()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    names = ["asyncio.message", "aiohttp.server.message", "log.unreadable"]
    assert names == [line["event"] for line in lines]
    assert [faults(line) for line in lines] == [[], [], []]


@dataclass
class Story:
    """A daemon in a process of its own, and somebody who asks it for things."""

    place: Place
    daemon: Running
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where it serves."""
        return str(self.daemon.logged("daemon.ready")[0]["url"])

    async def sync(self) -> str:
        """One run, and how it ended."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.post(f"{self.url}/admin/sync", headers=headers) as reply:
            return str((await reply.json())["outcome"])

    async def strangers(self) -> list[int]:
        """One without a token, one with a token while Jellyfin is away, and another Jellyfin."""
        self.place.services.fault("jellyfin", Fault("/Users/Me", status=500, times=None))
        tokens: list[dict[str, str]] = [{}, {"X-Jellyfin-Token": ADMIN.token}]
        statuses = []
        for headers in tokens:
            async with self.session.get(f"{self.url}/admin/sync", headers=headers) as reply:
                statuses.append(reply.status)
        hook = {"NotificationType": "ItemAdded", "ItemId": "a" * 32, "ServerId": "b" * 32}
        headers = {"X-Library-Sync-Secret": SECRET}
        async with self.session.post(
            f"{self.url}/hooks/jellyfin", json=hook, headers=headers
        ) as reply:
            statuses.append(reply.status)
        return statuses

    async def garbage(self) -> None:
        """Something that is no HTTP."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\x01 no HTTP\r\n\r\n")
        await reader.read()
        writer.close()


async def _killed_in_mid_run(place: Place) -> list[dict[str, Any]]:
    """The lines of a daemon that dies, which leaves a run open."""
    place.services.fault("jellyfin", Fault("/System/Info/Public", stall=60))
    daemon = await (await place.started()).ready()
    await until(lambda: daemon.logged("run.started"))
    await daemon.end(signal.SIGKILL)
    place.services.mend("jellyfin")
    return daemon.log


async def _told(place: Place, session: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """The lines of a daemon that sees everything happen."""
    world = place.services.world
    story = Story(place, await (await place.started()).ready(), session)
    await until(lambda: story.daemon.logged("run.done"))
    world.radarr_knows(next(one for one in world.movies.values() if one.title == "Faust"))
    place.services.fault("radarr", Fault("/api/v3/movie", cut=40, times=None))
    assert await story.sync() == "partial"
    place.services.mend("radarr")
    assert await story.sync() == "ok"
    world.remove(METROPOLIS.jellyfin_id)
    assert await story.sync() == "held"
    assert await story.strangers() == [401, 503, 202]
    await story.garbage()
    assert (await story.daemon.end())[0] == 0
    await until(lambda: story.daemon.logged("daemon.stopped"))
    return story.daemon.log


async def test_a_daemon_says_what_the_catalogue_allows(tmp_path: Path) -> None:
    """Through a whole story, line by line: known events, their levels, and only their fields."""
    world = a_world()
    faust = Movie.named("Faust", 1926, {"Tmdb": "10728"})
    world.movies[faust.jellyfin_id] = faust
    async with (
        PretendServices(world) as services,
        AsyncExitStack() as stack,
        aiohttp.ClientSession() as session,
    ):
        place = Place(tmp_path, services, stack)
        place.configure(
            sync={"quick": 0},
            removal={"mode": "ask", "sightings": 1, "grace": 0},
            webhook={"secret": SECRET},
            http={"port": 0, "admin_token": TOKEN},
            notify={"url": "http://127.0.0.1:9/nobody"},
            log={"format": "json", "level": "debug"},
        )
        lines = [*await _killed_in_mid_run(place), *await _told(place, session)]
    wrong = [f"{line['event']}: {found}" for line in lines if (found := faults(line))]
    assert wrong == []
    expected = {
        *("daemon.starting", "daemon.ready", "daemon.stopping", "daemon.stopped"),
        *("run.started", "run.done", "run.held", "run.problem", "run.abandoned"),
        *("run.retry_scheduled", "title.add", "title.update", "title.skip", "notify.failed"),
        *(
            "service.down",
            "service.up",
            "webhook.wrong_server",
            "auth.unavailable",
            "audit.recorded",
        ),
        *("http.request", "http.malformed"),
    }
    assert expected - {line["event"] for line in lines} == set()
    _check_audit(place.database, lines)


def _check_audit(database: Path, lines: list[dict[str, Any]]) -> None:
    """Every event of the audit is as documented, and stands in the log with its hash."""
    documented = {
        name: [cell == NONE for cell in cells]
        for [name], *cells in (
            (code_of(row[0]), *row[1:4]) for row in table(CATALOGUE, "Audit actions")
        )
    }
    columns = "target IS NULL, before IS NULL, after IS NULL"
    found = rows(database, f"SELECT action, hash, {columns} FROM sync_audit ORDER BY seq")
    for action, _, *absent in found:
        assert [bool(one) for one in absent] == documented[action], action
    hashes = {line["hash"] for line in lines if line["event"] == "audit.recorded"}
    assert {digest for _, digest, *_ in found} == hashes
    told = {"titles.added", "title.fill", "run.ended", "sync.asked", "access.refused"}
    assert told <= {action for action, *_ in found}
