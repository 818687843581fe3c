"""What is promised, and how often torture tries it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = 1_000
"""Generated examples for each property."""


def promise(what: str, tried: str) -> pytest.MarkDecorator:
    """Mark a test with the sentence that it stands for, and with how often it tries that."""
    return pytest.mark.promise(what, tried)


def promises() -> Iterator[tuple[str, str]]:
    """All of them, in the order of their files and of their tests."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.torture.{file.stem}")
        for name, test in vars(module).items():
            for mark in getattr(test, "pytestmark", ()) * name.startswith("test_"):
                if mark.name == "promise":
                    yield mark.args
