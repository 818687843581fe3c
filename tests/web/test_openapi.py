"""The description: it is of what is there, and whatever it allows is answered as it says."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from daemon.web import ROUTES, Limits, application
from tests.web.support import AS_CRON, Stand, standing

# The stream has no end, and has its own tests; the description is what the asking begins with.
OTHERWISE = {"GET /admin/sync/events", "GET /openapi.json"}
FEW = 10
CONFIG = {
    "headers": AS_CRON,
    "request-timeout": 100,
    "cache": {"enabled": False},
}


def attack(url: str, examples: int) -> tuple[Counter[str], list[str]]:
    """Ask whatever the description allows, and what it forbids; gives the counts and findings.

    Args:
        examples: how often each operation is asked at most; its corner cases come with more than
            a few.
    """
    often = {"deterministic": True, "no-shrink": True, "max-examples": examples}
    phases = {"stateful": {"enabled": False}, "coverage": {"enabled": examples > FEW}}
    config = SchemathesisConfig.from_dict({**CONFIG, "generation": often, "phases": phases})
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    asked: Counter[str] = Counter()
    found = []
    for event in from_schema(schema.exclude(path="/admin/sync/events")).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.append(str(event))
        if isinstance(event, events.ScenarioFinished):
            asked[event.recorder.label or ""] += len(event.recorder.interactions)
            found.extend(findings(event.recorder.checks))
    return asked, found


def findings(checks: dict[str, list[Any]]) -> list[str]:
    """What is wrong with the replies of one operation."""
    failures = [
        one.failure_info.failure for case in checks.values() for one in case if one.failure_info
    ]
    return [f"{failure.operation}: {failure.title}: {failure.message}" for failure in failures]


async def test_whatever_the_description_allows_is_answered_as_it_says(tmp_path: Path) -> None:
    """Good requests are taken, bad ones refused, and every reply has the shape that is promised."""
    async with standing(tmp_path, base_path="/sync", limits=Limits(failures=10**6)) as stand:
        asked, found = await asyncio.to_thread(attack, stand.url, FEW)
    assert found == []
    assert {f"{route.method} {route.path}" for route in ROUTES} - OTHERWISE == {*asked}
    assert asked.total() > 100


async def test_the_description_is_of_the_table_that_the_router_has(stand: Stand) -> None:
    """No route is missing in it but the pages, and none is in it that is not there."""
    paths = (await stand.ask("GET", "/openapi.json", {})).json["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}
    served = {
        (route.method, route.resource.canonical)
        for route in application(stand.parts).router.routes()
        if route.method != "HEAD" and route.resource
    }
    served = {one for one in served if not re.match("/(status|login|logout)|/$", one[1])}
    assert described == served == {(route.method, route.path) for route in ROUTES}


async def test_the_description_names_who_may(stand: Stand) -> None:
    """Either proof is enough where one is needed; the machines' routes need none."""
    document = (await stand.ask("GET", "/openapi.json", {})).json
    assert {"jellyfin", "token", "secret"} == {*document["components"]["securitySchemes"]}
    security = {
        path: [scheme for way in operation["security"] for scheme in way]
        for path, item in document["paths"].items()
        for operation in item.values()
    }
    open_ = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
    expected = {
        path: []
        if path in open_
        else ["secret"]
        if "/hooks/" in path[:7]
        else ["jellyfin", "token"]
        for path in security
    }
    assert expected == security


async def test_each_operation_says_what_it_does(stand: Stand) -> None:
    """In a line, under a name that no other has."""
    paths = (await stand.ask("GET", "/openapi.json", {})).json["paths"]
    operations = [operation for item in paths.values() for operation in item.values()]
    assert all(operation["summary"].endswith(".") for operation in operations)
    assert len(operations) == len({operation["operationId"] for operation in operations})
