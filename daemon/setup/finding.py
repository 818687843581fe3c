"""What can be found on this machine: keys in the other programs' own files, and its own address."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_ANYWHERE: Final = ("192.0.2.1", 9)
"""Set aside for documentation: nothing is sent to it, it only chooses a way out."""

_KEY: Final = re.compile("<ApiKey>([0-9A-Za-z]+)</ApiKey>")
_SEERRS: Final = ("seerr", "jellyseerr", "overseerr")
_DATA: Final = re.compile(r"[-/]data=(.+)")
_LONGEST: Final = 1024 * 1024


def keys(name: str, url: str, root: Path = Path("/")) -> Iterator[tuple[str, Path]]:
    """The keys of programs on this machine, each with its file, as far as that may be read.

    Args:
        name: of the program, e.g. "radarr".
        url: where it is meant to be; no key of this machine's goes to another one.
        root: where to look.
    """
    if not is_here(url):
        return
    for file in dict.fromkeys((*_usual(name, root), *_of_processes(name, root))):
        with suppress(OSError, ValueError, LookupError, TypeError):
            if file.is_file() and file.stat().st_size <= _LONGEST:
                yield _key(file), file


def _key(file: Path) -> str:
    text = file.read_text("utf-8")
    if file.suffix == ".json":
        return str(json.loads(text)["main"]["apiKey"])
    return str(_KEY.findall(text)[0])


def _usual(name: str, root: Path) -> Iterator[Path]:
    if name == "seerr":
        for one in _SEERRS:
            yield root / "var/lib" / one / "settings.json"
            yield root / "opt" / one / "config/settings.json"
    else:
        home = root / Path.home().relative_to("/")
        yield root / "var/lib" / name / "config.xml"
        yield home / ".config" / name.capitalize() / "config.xml"


def _of_processes(name: str, root: Path) -> Iterator[Path]:
    """A running program names its directory itself; one in a container has a root of its own."""
    for process in (root / "proc").glob("[0-9]*"):
        with suppress(OSError):
            program, *words = (process / "cmdline").read_text(errors="replace").split("\0")
            if Path(program).name.lower() == name:
                found = (match[1] for word in words if (match := _DATA.fullmatch(word)))
                yield from (process / "root" / one.lstrip("/") / "config.xml" for one in found)


def is_here(url: str) -> bool:
    """Whether an address is this machine's own."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, 0, type=socket.SOCK_DGRAM)
        return all(_binds(family, address) for family, _, _, _, address in found)
    except OSError:
        return False


def _binds(family: int, address: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def own_address() -> str:
    """The address that other machines reach this one by; where it has none, its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
