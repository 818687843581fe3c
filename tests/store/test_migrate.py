"""Our own tables, beside those of whoever owns the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import SchemaMismatchError
from daemon.store import open_store
from daemon.store.migrate import migrations
from tests.builders import change, files, rows


def test_the_steps_are_numbered_without_a_hole() -> None:
    """Every installation takes the same steps in the same order."""
    assert [step.number for step in migrations()] == [*range(1, len(migrations()) + 1)]


async def test_the_files_own_version_is_not_touched(path: Path) -> None:
    """The number in a file's header belongs to whoever made the file."""
    change(path, "PRAGMA user_version = 42")
    async with open_store(path):
        pass
    assert rows(path, "PRAGMA user_version") == [(42,)]
    assert rows(path, "SELECT number FROM sync_migrations") == [
        (step.number,) for step in migrations()
    ]


async def test_migrating_twice_is_nothing(path: Path) -> None:
    """A second start changes no byte of the file."""
    async with open_store(path):
        pass
    before = files(path.parent)
    async with open_store(path):
        pass
    assert files(path.parent) == before


async def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    """What a newer program wrote is not understood, so nothing is written to it."""
    async with open_store(path):
        pass
    change(path, "INSERT INTO sync_migrations (number) VALUES (999)")
    before = files(path.parent)
    with pytest.raises(SchemaMismatchError, match="newer"):
        async with open_store(path):
            pass
    assert files(path.parent) == before
