"""Where the configuration, the secrets and the record of what was set up are, and their writing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from daemon.errors import SettingsError, StorePermissionError
from daemon.settings import PREFIX, Key, credentials

_HEAD: Final = "# Library Sync; docs/configuration.md lists every key that can stand here.\n"
_UNIT: Final = "etc/systemd/system/library-sync.service"
_PRIVATE: Final = 0o600
_PLAIN: Final = re.compile(r"[\w/.][\w/.:-]*(?<!:)", re.ASCII)
"""What needs no quotes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one Library Sync has its files.

    Attributes:
        config: the configuration.
        secrets: the directory of its credential files.
        prefix: of their names.
        data: what a relative path of the tracker's file begins with.
        unit: the drop-in for the systemd service, where that is what is set up.
    """

    config: Path
    secrets: Path
    prefix: str
    data: Path
    unit: Path | None = None

    @classmethod
    def of(cls, config: Path, root: Path = Path("/")) -> Place:
        """The service's own, if it is installed and this is its configuration; else beside it."""
        unit = root / _UNIT
        if config.absolute() == root / "etc/library-sync/config.yaml" and unit.exists():
            credstore, data = root / "etc/credstore", root / "var/lib/library-sync"
            drop_in = unit.with_name(f"{unit.name}.d") / "setup.conf"
            return cls(config, credstore, "library-sync.", data, drop_in)
        return cls(config, config.absolute().parent / "secrets", "", Path.cwd())

    @property
    def default_database(self) -> Path:
        """Where the tracker's file is made if nobody names one."""
        return (self.data if self.unit else self.config.absolute().parent) / "tracker.db"

    def refuse_unwritable(self) -> None:
        """See that everything can be written, before anything is changed elsewhere.

        Raises:
            StorePermissionError: it cannot.
        """
        for directory in {self.config.absolute().parent, self.secrets.parent}:
            if not os.access(directory, os.W_OK):
                raise StorePermissionError(f"{directory} cannot be written")

    def environment(self) -> dict[str, str]:
        """The secrets of the service, as the variables that mean the same."""
        found = {}
        for file in self.secrets.glob(f"{self.prefix}*") if self.unit else ():
            names = credentials(file.name.removeprefix(self.prefix).removesuffix("_api_key"))
            for key, name in names.items():
                if f"{self.prefix}{name}" == file.name:
                    found[PREFIX + "__".join(key).upper()] = file.read_text("utf-8")
        return found

    def secret(self, key: Key) -> Path:
        """The file of a secret."""
        return self.secrets / (self.prefix + credentials(key[0])[key])

    def write_secret(self, key: Key, value: str) -> None:
        """Store a secret where only its owner reads it."""
        if not self.secrets.exists():
            self.secrets.mkdir(mode=0o700)
            self._give(self.secrets)
        self.write(self.secret(key), f"{value}\n", _PRIVATE)

    def write_config(self, values: Mapping[Key, str]) -> Path | None:
        """Set values in the configuration, whose other lines stay as they are.

        Returns:
            The copy of a file that was somebody else's work.
        """
        before = self.config.read_text("utf-8") if self.config.exists() else ""
        if (text := edited(before or _HEAD, values)) is None:
            names = ", ".join(".".join(key) for key in values)
            raise SettingsError(f"{self.config} cannot be edited; set {names} there yourself")
        copy = None
        if before and self.record().get("config") != _digest(before):
            copy = self.config.with_name(f"{self.config.name}.before-setup")
            shutil.copy2(self.config, copy)
        mode = stat.S_IMODE(self.config.stat().st_mode) if before else 0o640
        self.write(self.config, text, mode)
        self.note("config", _digest(text))
        return copy

    def record(self) -> dict[str, Any]:
        """What was set up, by section; no secret is in it."""
        try:
            record: dict[str, Any] = json.loads(self._record.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise SettingsError(f"{self._record} is damaged; remove it, and undo by hand") from None
        return record

    def note(self, section: str, value: object) -> None:
        """Keep in the record what was set up, before that is done; None takes it out."""
        record = {**self.record(), section: value}
        if value is None:
            del record[section]
        self.write(self._record, json.dumps(record, indent=2) + "\n", 0o644)

    @property
    def _record(self) -> Path:
        return self.config.absolute().with_name("setup.json")

    def write(self, path: Path, text: str, mode: int) -> None:
        """Whole or not at all; who owns the directory owns the file."""
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                os.fsync(descriptor)
                os.fchmod(descriptor, mode)
            self._give(Path(name))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def edited(text: str, values: Mapping[Key, str]) -> str | None:
    """A YAML file with some values set; all else in it, comments too, stays as it is.

    Args:
        text: a file that can be read as configuration.
        values: by section and name, or by name alone.

    Returns:
        None where it is written in a way that this cannot edit.
    """
    try:
        for key, value in values.items():
            plain = _PLAIN.fullmatch(value)
            text = _set(text, key, value if plain else json.dumps(value, ensure_ascii=False))
        root = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # text alone
    except yaml.YAMLError:
        return None
    found = ((root if len(key) == 1 else root[key[0]])[key[-1]] for key in values)
    return text if [*found] == [*values.values()] else None


def _set(text: str, key: Key, value: str) -> str:
    root = yaml.compose(text, yaml.SafeLoader)
    found = dict(_children(root))
    if len(key) == 1:
        return (
            _put(text, found[key[0]], value) if key[0] in found else _add(text, root, key[0], value)
        )
    section, name = key
    if (node := found.get(section)) is None:
        return _add(text, root, section, f"{{{name}: {value}}}")
    if (inner := dict(_children(node)).get(name)) is not None:
        return _put(text, inner, value)
    if isinstance(node, yaml.MappingNode):
        return _add(text, node, name, value)
    return _put(text, node, f"{{{name}: {value}}}")  # a section of comments alone


def _children(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return ((name.value, value) for name, value in pairs)


def _put(text: str, node: yaml.Node, value: str) -> str:
    """In place of a node; one that is empty may stand directly behind its colon."""
    start, end = node.start_mark.index, node.end_mark.index
    return f"{text[:start]}{' ' if start == end else ''}{value}{text[end:]}"


def _add(text: str, node: yaml.Node | None, name: str, value: str) -> str:
    """Before the first value of a mapping; at the end of a file that is written in lines."""
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        at = node.start_mark.index + 1
        return f"{text[:at]}{name}: {value}{', ' if node.value else ''}{text[at:]}"
    if node is None or not node.start_mark.column:
        return f"{text.rstrip(chr(10))}\n{name}: {value}\n".lstrip("\n")
    at, column = node.start_mark.index, node.start_mark.column
    return f"{text[:at]}{name}: {value}\n{' ' * column}{text[at:]}"
