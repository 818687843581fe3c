"""A place without anything, pretend services around it, and somebody who answers."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from daemon.setup import Place, Questions, read_answers, set_up, take_back
from tests.pretend import PretendServices, World
from tests.running import a_world
from tests.upstream import recorded

ADMIN = {"user": "admin", "password": "admin-password"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plugin_configuration() -> dict[str, Any]:
    """The plugin's configuration as somebody else has made it; ours is not in it."""
    document: dict[str, Any] = recorded("setup", "exchanges")["configuration"]["body"]
    theirs = [one for one in document["GenericOptions"] if "8765" not in one["WebhookUri"]]
    return {**document, "GenericOptions": theirs, "Unknown": {"kept": [1, 2.50, None]}}


@dataclass
class Newcomer:
    """Somebody who sets Library Sync up.

    Attributes:
        root: of the machine.
        said: everything that stood on the terminal, of all runs.
    """

    folder: Path
    services: PretendServices
    answers: dict[str, Any]
    root: Path = Path("/")
    said: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "config.yaml"

    @property
    def place(self) -> Place:
        """Where its files are."""
        return Place.of(self.config, self.root)

    @property
    def port(self) -> int:
        """Where we listen."""
        return int(self.answers["http"]["port"])

    def hook(self, path: str) -> str:
        """Where a webhook leads."""
        return f"http://127.0.0.1:{self.port}/hooks/{path}"

    async def sets_up(self, *, dry_run: bool = False, **answers: Any) -> bool:
        """Run setup with a file of answers; whether everything went well."""
        file = self.folder / "answers.json"
        file.write_text(json.dumps({**self.answers, **answers}))
        questions = Questions(read_answers(file))
        return await set_up(self.place, questions, self.said.append, dry_run=dry_run)

    async def is_asked(self, *lines: str) -> bool:
        """Run setup at a terminal, with these lines typed; whether everything went well."""
        typed = iter(lines)

        def read(question: str) -> str:
            self.said.append(question)
            return next(typed)

        questions = Questions(None, read, read)
        return await set_up(self.place, questions, self.said.append)

    async def takes_back(self, *, dry_run: bool = False) -> bool:
        """Undo it."""
        return await take_back(self.place, self.said.append, dry_run=dry_run)

    def entries(self, instance: str) -> list[dict[str, Any]]:
        """The connections of a Radarr or Sonarr."""
        return self.services.connections.entries[instance]

    def configured(self) -> dict[str, Any]:
        """What the configuration holds."""
        document: dict[str, Any] = yaml.safe_load(self.config.read_text())
        return document

    def lines(self, mark: str) -> list[str]:
        """The lines that begin so, without that."""
        return [one.removeprefix(mark).strip() for one in self.said if one.startswith(mark)]

    def secrets(self) -> set[str]:
        """Everything that must not stand on a terminal."""
        files = (self.folder / "secrets").glob("*")
        keys = (one["api_key"] for one in self.services.sections().values())
        return {one.read_text().strip() for one in files} | {*keys, ADMIN["password"]}


@contextlib.asynccontextmanager
async def newcomer(
    folder: Path,
    world: World | None = None,
    host: str = "127.0.0.1",
    besides: Collection[str] = (),
    **answers: Any,
) -> AsyncIterator[Newcomer]:
    """Somebody with all three services and the plugin, who has everything to answer.

    Whatever happens, no secret stands on the terminal in the end.
    """
    async with PretendServices(world or a_world(), host, besides) as services:
        services.connections.plugin = plugin_configuration()
        sections: dict[str, Any] = services.sections()
        jellyfin = {"url": services.jellyfin_url, **ADMIN}
        port = free_port()
        http = {"port": str(port), "public_url": f"http://127.0.0.1:{port}"}
        database = str(folder / "tracker.db")
        whole = {**sections, "jellyfin": jellyfin, "http": http, "database": database}
        me = Newcomer(folder, services, {**whole, **answers})
        yield me
        shown = "\n".join(me.said)
        assert [one for one in me.secrets() if one in shown] == [], "a secret was shown"


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: its mode and content."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in found
    }


def field_of(entry: dict[str, Any], name: str) -> Any:
    """The value of a field of a connection."""
    return next(one.get("value") for one in entry["fields"] if one["name"] == name)
