"""Answers have the names of the configuration's keys."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from daemon.errors import SettingsError
from daemon.setup.questions import Questions, read_answers
from tests.test_docs import OPERATIONS, blocks, section

ANSWERS = """
jellyfin: {url: http://a, user: admin, password: "0123"}
radarr_4k:
  url: http://b
database: off
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of answers."""
    return tmp_path / "answers.yaml"


def test_answers_are_text_as_it_is_written(file: Path) -> None:
    """YAML's own ideas of numbers and of yes and no do not count; JSON is YAML."""
    file.write_text(ANSWERS)
    questions = Questions(read_answers(file))
    assert questions.ask(("jellyfin", "password"), "?") == "0123"
    assert questions.ask(("database",), "?") == "off"
    assert questions.instances == {"radarr_4k"}
    assert questions.given(("radarr", "url")) is None
    file.write_text('{"radarr": {"url": ""}}')
    assert Questions(read_answers(file)).given(("radarr", "url")) == ""


def test_the_documented_answers_are_answers(file: Path) -> None:
    """As they stand in the manual."""
    [example] = blocks(section(OPERATIONS, "Setup"), "yaml")
    file.write_text(example)
    assert ("jellyfin", "password") in read_answers(file)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("radar: {url: x}", "did you mean radarr.url"),
        ("jellyfin: {usr: x}", "did you mean jellyfin.user"),
        ("jellyfin: http://x", "jellyfin is not asked"),
        ("- a\n", "must hold names"),
        ("a: [\n", "not valid YAML"),
        ("jellyfin: {url: {a: b}}", "jellyfin.url is not asked"),
    ],
)
def test_what_is_not_asked_is_refused(file: Path, text: str, complaint: str) -> None:
    """With the name that was meant."""
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        read_answers(file)


def test_a_question_without_an_answer(file: Path) -> None:
    """Takes the default, or is an error that names it."""
    questions = Questions({})
    assert questions.ask(("database",), "?", "t.db") == "t.db"
    with pytest.raises(SettingsError, match=r"jellyfin\.url has no answer: Jellyfin's address"):
        questions.ask(("jellyfin", "url"), "Jellyfin's address")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_answers(file)


def test_a_person_sees_the_name_and_the_default() -> None:
    """Enter takes the default; without one the question stays. What is secret is read so."""
    shown: list[str] = []
    typed = iter(["", "", " admin "])

    def read(question: str) -> str:
        shown.append(question)
        return next(typed)

    questions = Questions(None, read, lambda question: f"secret of {question}")
    assert questions.ask(("database",), "The file", "t.db") == "t.db"
    assert questions.ask(("jellyfin", "user"), "Who") == "admin"
    assert shown == [
        "The file (database) [t.db]: ",
        "Who (jellyfin.user): ",
        "Who (jellyfin.user): ",
    ]
    assert questions.ask(("radarr", "api_key"), "Key", secret=True).startswith("secret of Key")


def test_ctrl_d_is_no_answer() -> None:
    """It ends in a sentence."""

    def read(_: str) -> str:
        raise EOFError

    with pytest.raises(SettingsError, match="database has no answer"):
        Questions(None, read).ask(("database",), "?", "t.db")


def test_ctrl_c_ends_a_question_at_once() -> None:
    """Whatever handles it otherwise."""
    before = signal.signal(signal.SIGINT, lambda *_: None)

    def read(_: str) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "typed"

    try:
        with pytest.raises(KeyboardInterrupt):
            Questions(None, read).ask(("database",), "?")
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
