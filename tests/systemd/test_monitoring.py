"""The alert rules and the dashboard: as Prometheus reads them, on figures that the daemon has."""

from __future__ import annotations

import json
import re
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from daemon.store import audit
from tests.systemd.machine import SYSTEMD, call
from tests.web.support import standing

_HERE = SYSTEMD / "monitoring"
_ALERTS = yaml.safe_load((_HERE / "alerts.yaml").read_text())["groups"][0]["rules"]
_DASHBOARD = json.loads((_HERE / "dashboard.json").read_text())
_PANELS: list[dict[str, Any]] = _DASHBOARD["panels"]


def _asked() -> list[str]:
    """Every expression that anything here asks Prometheus for."""
    panels = [target["expr"] for panel in _PANELS for target in panel["targets"]]
    return [rule["expr"] for rule in _ALERTS] + panels


def _promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool (package prometheus)")
    done = call("promtool", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules() -> None:
    """Prometheus takes the rules, and each fires and is silent when it should."""
    assert f"{len(_ALERTS)} rules found" in _promtool("check", "rules", _HERE / "alerts.yaml")
    _promtool("test", "rules", _HERE / "alerts.test.yaml")
    tested = (_HERE / "alerts.test.yaml").read_text()
    assert [rule["alert"] for rule in _ALERTS if rule["alert"] not in tested] == []


def test_expressions(tmp_path: Path) -> None:
    """Every expression, the dashboard's too, is PromQL."""
    rules = [
        {"record": f"asked_{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(_asked())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(rules)} rules found" in _promtool("check", "rules", file)


async def test_figures(tmp_path: Path) -> None:
    """Every figure that is asked for is one that the daemon gives."""
    async with standing(tmp_path) as stand:
        await stand.ask("POST", "/admin/sync")
        store = stand.parts.store
        store.audit_ok = (await store.read(audit.verify)).broken_at is None
        exposition = (await stand.ask("GET", "/metrics", {})).text
    given = set()
    for family in text_string_to_metric_families(exposition):
        given |= {sample.name for sample in family.samples}
        given |= {f"{family.name}_total"} if family.type == "counter" else set()
    asked = {name for expr in _asked() for name in re.findall(r"library_sync_\w+", expr)}
    assert sorted(asked - given) == []
    assert len(asked) > 10


def test_dashboard() -> None:
    """Panels have ids of their own, do not overlap, and ask the data source that was chosen."""
    assert len({panel["id"] for panel in _PANELS}) == len(_PANELS)
    overlapping = [
        (one["title"], other["title"])
        for one, other in combinations(_PANELS, 2)
        if _overlap(one["gridPos"], other["gridPos"])
    ]
    assert overlapping == []
    assert {panel["datasource"]["uid"] for panel in _PANELS} == {"${datasource}"}
    assert [variable["name"] for variable in _DASHBOARD["templating"]["list"]] == ["datasource"]


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )
