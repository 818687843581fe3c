"""What is asked: of a person at a terminal, or of a file of answers."""

from __future__ import annotations

import difflib
import getpass
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from daemon.errors import SettingsError
from daemon.settings import Key, credentials, is_instance

_PERSON: Final = ("user", "password")
_PLAIN: Final = (("database",), ("http", "public_url"), ("http", "port"))


class Questions:
    """Answers by their names, which are those of the configuration.

    Args:
        answers: of a file; None where a person is asked.
        read: asks for a line, which is seen as it is typed.
        read_secret: asks for one that is not.
    """

    def __init__(
        self,
        answers: Mapping[Key, str] | None,
        read: Callable[[str], str] = input,
        read_secret: Callable[[str], str] = getpass.getpass,
    ) -> None:
        self.interactive = answers is None
        self._answers = answers or {}
        self._read = read
        self._read_secret = read_secret

    @property
    def instances(self) -> set[str]:
        """The further instances that the answers name."""
        return {key[0] for key in self._answers if is_instance(key[0])}

    def given(self, key: Key) -> str | None:
        """What the file answers; "" if it says that there is none."""
        return self._answers.get(key)

    def ask(self, key: Key, text: str, default: str | None = None, *, secret: bool = False) -> str:
        """An answer; whoever gives none takes the default.

        Raises:
            SettingsError: the file has no answer, and there is no default.
        """
        name = ".".join(key)
        if not self.interactive:
            if (answer := self._answers.get(key, default)) is None:
                raise SettingsError(f"{name} has no answer: {text}")
            return answer
        shown = f" [{default}]" if default else ""
        read = self._read_secret if secret else self._read
        while True:
            try:
                with _interruptible():
                    answer = read(f"{text} ({name}){shown}: ").strip()
            except EOFError:
                raise SettingsError(f"{name} has no answer") from None
            if answer or default is not None:
                return answer or default or ""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the waiting for a line at once; the event loop's own handler would not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def read_answers(file: Path) -> dict[Key, str]:
    """A file of answers, in YAML or JSON.

    Raises:
        SettingsError: it cannot be read, or answers what is not asked.
    """
    try:
        document = yaml.load(file.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506  # text alone
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        raise SettingsError(f"{file} is not valid YAML or JSON") from None
    return dict(_flat(document or {}, file))


def _flat(document: Any, file: Path) -> Iterator[tuple[Key, str]]:
    if not isinstance(document, dict):
        raise SettingsError(f"{file} must hold names with answers")
    for section, value in document.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        for name, answer in pairs:
            key = (section, name) if name else (section,)
            known = {".".join(one): one for one in _known(section)}
            if (told := ".".join(key)) not in known or not isinstance(answer, str):
                near = difflib.get_close_matches(told, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise SettingsError(f"{file}: {told} is not asked; {hint}")
            yield known[told], answer


def _known(section: str) -> Iterator[Key]:
    """Every question that there can be."""
    yield from _PLAIN
    yield from (("jellyfin", name) for name in _PERSON)
    for service, name in credentials(section):
        if name == "api_key":
            yield from ((service, "url"), (service, name))
