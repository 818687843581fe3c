"""The container's recipe and its compose example: linted, and true to the program."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from daemon.settings import Settings, credentials
from tests.systemd.machine import ROOT, SYSTEMD, call

_HERE = SYSTEMD / "container"
_RECIPE = _HERE / "Containerfile"
_KNOWN = {
    *("ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "VOLUME", "USER", "EXPOSE", "HEALTHCHECK"),
    *("ENTRYPOINT", "CMD"),
}
_SERVICE_KEYS = {
    *("build", "image", "restart", "environment", "secrets", "volumes", "ports", "healthcheck"),
    *("user", "read_only", "tmpfs", "cap_drop", "security_opt", "pids_limit", "mem_limit"),
}


def _instructions() -> list[tuple[str, str]]:
    """Every instruction of the recipe, continued lines joined."""
    lines = [line for line in _RECIPE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, re.sub(r"\s+", " ", rest)) for name, _, rest in words]


def _last_stage() -> dict[str, str]:
    instructions = _instructions()
    start = max(at for at, (name, _) in enumerate(instructions) if name == "FROM")
    return dict(instructions[start:])


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((_HERE / "compose.yaml").read_text())
    return loaded


def test_hadolint() -> None:
    """A linter for such recipes has nothing to say."""
    done = call(Path(sys.executable).with_name("hadolint"), _RECIPE)
    assert (done.returncode, done.stdout) == (0, "")


def test_recipe() -> None:
    """It is made of instructions that every builder knows, and does not end as root."""
    instructions = _instructions()
    assert {name for name, _ in instructions} <= _KNOWN
    last = _last_stage()
    assert last["USER"] == "10001:10001"
    assert json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"]) == ["library-sync", "run"]
    assert last["HEALTHCHECK"].endswith('CMD ["library-sync", "healthcheck"]')
    assert last["EXPOSE"] == str(Settings.model_fields["http"].default.port)


def test_context() -> None:
    """What the builder gets to see is there, and is what the wheel needs; never an environment."""
    patterns = (_HERE / "Containerfile.dockerignore").read_text().splitlines()
    wanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    assert [name for name in wanted if not list(ROOT.glob(name))] == []
    assert patterns[1] == "*"
    assert "pyproject.toml" in wanted


def test_compose() -> None:
    """The example has only keys of the compose specification, and keeps the sandbox closed."""
    compose = _compose()
    service = compose["services"]["library-sync"]
    assert set(service) <= _SERVICE_KEYS
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges"]
    assert re.sub(r"\$\{P[UG]ID:-(\d+)\}", r"\1", service["user"]) == _last_stage()["USER"]
    assert (_HERE / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]) == _RECIPE
    assert service["healthcheck"]["test"] == ["CMD", "library-sync", "healthcheck"]
    assert service["volumes"] == [f"{next(iter(compose['volumes']))}:{_last_stage()['VOLUME']}"]


def test_settings() -> None:
    """Each variable is a key of the configuration, each secret one that the program takes."""
    compose = _compose()
    service = compose["services"]["library-sync"]
    variables = {*service["environment"], *re.findall(r"LIBRARY_SYNC__\w+", _last_stage()["ENV"])}
    for variable in variables:
        _, section, key = variable.lower().split("__")
        assert key in _fields(section), variable
    assert service["secrets"] == list(compose["secrets"])
    assert set(service["secrets"]) <= set(credentials().values())


def _fields(section: str) -> set[str]:
    schema = Settings.model_json_schema()
    reference = schema["properties"][section]["$ref"].rpartition("/")[2]
    return set(schema["$defs"][reference]["properties"])
