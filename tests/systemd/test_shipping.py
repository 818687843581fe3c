"""The examples for log shippers and the queries: well-formed, and about lines that are written."""

from __future__ import annotations

import ast
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from daemon import logs
from daemon.apply import run as runs
from daemon.domain import Outcome
from daemon.report.result import RunStats, SyncResult
from tests.systemd.machine import ROOT, SYSTEMD

_HERE = SYSTEMD / "shipping"
_QUERIES = (_HERE / "QUERIES.md").read_text()
_UNIT = "library-sync.service"
_LEVELS = frozenset({"debug", "info", "warning", "error", "exception"})


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", _QUERIES, re.DOTALL)


@cache
def _calls() -> list[ast.Call]:
    """Every call in the daemon that writes a line or adds to those that follow."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "daemon").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if _called(call) in {*_LEVELS, "level", "bound_contextvars"}]


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _fields() -> set[str]:
    """Every field that a line may have."""
    result = SyncResult(Outcome.OK, RunStats(), 1, 0, {})
    named = {keyword.arg for call in _calls() for keyword in call.keywords if keyword.arg}
    return {*logs._ALWAYS, *named, *runs._flat(result.as_dict())}


def _events() -> set[str]:
    """Every event that a line may tell of; those made of a decision's name as a pattern."""
    firsts = [call.args[0] for call in _calls() if call.args]
    plain = {str(first.value) for first in firsts if isinstance(first, ast.Constant)}
    return plain | {"title.add"} if any(isinstance(f, ast.JoinedStr) for f in firsts) else plain


def _as_ecs(fields: dict[str, Any]) -> dict[str, Any]:
    stream = io.StringIO()
    logs.configure(format="ecs", level="info", secrets=(), version="1", stream=stream)
    logs.logger("test").info("run.done", **fields)
    logs.reset()
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_five_questions() -> None:
    """Each question has an answer in Loki, in Kibana, and on the machine itself."""
    answers = _QUERIES.split("\n## ")[1:]
    assert len(answers) == 5
    for answer in answers:
        assert "```logql" in answer
        assert "```kql" in answer
        assert "On the machine: `library-sync " in answer


def test_loki_queries() -> None:
    """A query in LogQL names only fields and events that there are."""
    stages = re.compile(r'\| (\w+) ?(?:=~|=|>) ?["\d]|unwrap (\w+)|\{\{\.(\w+)\}\}')
    for query in _blocks("logql"):
        named = {name for groups in stages.findall(query) for name in groups if name}
        assert named - _fields() == set(), query
        assert set(re.findall(r'event="([\w.]+)"', query)) <= _events(), query


def test_kibana_queries() -> None:
    """A query in KQL names only fields that a line in the Elastic Common Schema has."""
    line = _as_ecs(dict.fromkeys(_fields() - {"event"}, "x"))
    for query in _blocks("kql"):
        named = set(re.findall(r"([\w.@]+) (?::|>)", query))
        assert named - set(line) == set(), query
        actions = re.findall(r'event\.action : \(?"([\w.]+)"(?: or "([\w.]+)")?', query)
        assert {name for pair in actions for name in pair if name} <= _events(), query


def test_commands() -> None:
    """What is to be run on the machine are commands that there are."""
    commands = set(re.findall(r"`library-sync (\w+)", _QUERIES))
    source = (ROOT / "daemon/cli.py").read_text()
    assert {name for name in commands if f'command("{name}"' not in source} == set()


def test_alloy() -> None:
    """Blocks and quotes are closed, and every component that is referred to is there."""
    text = re.sub(r"^\s*//.*$", "", (_HERE / "alloy.alloy").read_text(), flags=re.MULTILINE)
    bare = re.sub(r'"[^"\n]*"', '""', text)
    assert bare.count('"') % 2 == 0
    for opening, closing in ("{}", "[]", "()"):
        depth = 0
        for character in bare:
            depth += (character == opening) - (character == closing)
            assert depth >= 0
        assert depth == 0
    components = {
        ".".join(pair) for pair in re.findall(r'^([\w.]+) "(\w+)" \{', text, re.MULTILINE)
    }
    referred = set(re.findall(r"(loki\.\w+\.\w+)\.(?:receiver|rules)", text))
    assert referred <= components
    assert f"_SYSTEMD_UNIT={_UNIT}" in text


def test_vector() -> None:
    """Every part is of a kind that Vector has, and takes from a part that is there."""
    config = _yaml("vector.yaml")
    assert set(config) == {"data_dir", "sources", "sinks"}
    source, sink = config["sources"]["library_sync"], config["sinks"]["loki"]
    assert source == {
        "type": "journald",
        "include_units": [_UNIT],
        "current_boot_only": False,
    }
    assert sink["inputs"] == list(config["sources"])
    assert set(sink) == {"type", "inputs", "endpoint", "labels", "encoding", "buffer"}


def test_fluent_bit() -> None:
    """Every part matches what comes in, and the parser reads our time stamps."""
    config = _yaml("fluent-bit.yaml")
    pipeline = config["pipeline"]
    (source,) = pipeline["inputs"]
    assert source["systemd_filter"] == f"_SYSTEMD_UNIT={_UNIT}"
    parts = pipeline["filters"] + pipeline["outputs"]
    assert [part["name"] for part in parts] == ["parser", "sysinfo", "es"]
    assert {part["match"] for part in parts} == {source["tag"]}
    (parser,) = config["parsers"]
    assert parser["name"] == parts[0]["parser"]
    stamp = str(_as_ecs({})[parser["time_key"]])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", stamp)
    assert parser["time_format"] == "%Y-%m-%dT%H:%M:%S.%LZ"


class _Strict(yaml.SafeLoader):
    """Refuses what the shippers' own readers would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice."""
        made = super().construct_mapping(node, deep=deep)
        assert len(made) == len(node.value), f"a key is there twice near {node.start_mark}"
        return made


def _yaml(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(Path(_HERE / name).read_text(), _Strict)  # noqa: S506
    return loaded
