"""The command: its exit codes, and what stands on the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon import logs
from daemon.cli import main
from tests.hosts import BOUND, why_not
from tests.setup.support import ADMIN, Newcomer, free_port, newcomer

ROOT = Path(__file__).parents[2]
Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Gives the command in this process: its exit code and all that it says."""

    async def give(me: Newcomer, *options: str) -> tuple[int, str]:
        arguments = ["--config", str(me.config), "setup", *options]
        code = await asyncio.to_thread(main, arguments)
        said = "".join(capsys.readouterr())
        me.said += said.splitlines()
        return code, said

    yield give
    logs.reset()


def answers(me: Newcomer, **values: Any) -> str:
    """A file of answers."""
    file = me.folder / "answers.json"
    file.write_text(json.dumps({**me.answers, **values}))
    return str(file)


async def test_exit_codes(tmp_path: Path, command: Command) -> None:
    """Done, partial, a wrong command line, a wrong configuration, and nobody there."""
    async with newcomer(tmp_path) as me:
        assert (await command(me, "--answers", answers(me), "--dry-run"))[0] == 0
        assert (await command(me, "--answers", answers(me, radarr={"url": "x y"})))[0] == 78
        assert (await command(me, "--answers", str(tmp_path / "none")))[0] == 78
        code, said = await command(me)
        assert (code, said.count("--answers FILE")) == (2, 1)
        http = {**me.answers["http"], "public_url": f"http://127.0.0.1:{free_port()}"}
        assert (await command(me, "--answers", answers(me, http=http)))[0] == 3
        assert (await command(me, "--answers", answers(me)))[0] == 0
        assert (await command(me, "--undo"))[0] == 0
        assert me.services.connections.keys == []


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Nothing is asked for there, and the exit code says why."""
    if reason := why_not(*BOUND, "true"):
        pytest.skip(reason)
    async with newcomer(tmp_path) as me:
        options = ("--config", str(me.config), "setup", "--answers", answers(me))
        tmp_path.chmod(0o555)
        try:
            process = await asyncio.create_subprocess_exec(
                *(*BOUND, sys.executable, "-m", "daemon", *options),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
        finally:
            tmp_path.chmod(0o755)
        assert (process.returncode, b"cannot be written" in said) == (77, True)
        assert me.services.calls("jellyfin") == []


@dataclass
class Terminal:
    """A process at a real terminal."""

    process: asyncio.subprocess.Process
    end: int
    seen: bytes = b""

    async def shows(self, text: bytes) -> None:
        """Wait until it shows something new."""
        while text not in self.seen:
            self.seen += await asyncio.to_thread(os.read, self.end, 4096)
        await asyncio.sleep(0.1)  # until what is typed is not echoed any more

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self.end, text.encode())


@contextlib.asynccontextmanager
async def terminal(me: Newcomer) -> AsyncIterator[Terminal]:
    """The command, given at a terminal; what is shown there is all that it says."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "daemon", "--config", str(me.config), "setup"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=me.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = Terminal(process, ours)
    try:
        yield shown
    finally:
        os.close(ours)
        me.said += shown.seen.decode().splitlines()


async def test_a_password_is_not_echoed(tmp_path: Path) -> None:
    """What is typed there shows, but for what is secret."""
    async with newcomer(tmp_path) as me:
        sections = {**me.services.sections(), "http": me.answers["http"]}
        sections["jellyfin"] = {"url": me.services.jellyfin_url}
        me.config.write_text(json.dumps(sections))
        async with terminal(me) as shown:
            await shown.shows(b"(database)")
            shown.type("\n")
            await shown.shows(b"(jellyfin.user)")
            shown.type(f"{ADMIN['user']}\n")
            await shown.shows(b"(jellyfin.password)")
            shown.type(f"{ADMIN['password']}\n")
            await shown.shows(b"Next: ")
            assert await shown.process.wait() == 0
    assert b"(jellyfin.user): admin" in shown.seen


async def test_ctrl_c_at_a_question(tmp_path: Path) -> None:
    """It ends at once, and without a trace of the program."""
    async with newcomer(tmp_path) as me:
        me.config.write_text(json.dumps({"jellyfin": {"url": "http://127.0.0.1:1"}}))
        async with terminal(me) as shown:
            await shown.shows(b"(jellyfin.url)")
            shown.process.send_signal(signal.SIGINT)
            assert await shown.process.wait() == 130
    assert b"Traceback" not in shown.seen


async def test_no_secret_is_in_the_log(tmp_path: Path, command: Command) -> None:
    """Whatever its level."""
    async with newcomer(tmp_path) as me:
        me.config.write_text("log: {level: debug}\n")
        assert (await command(me, "--answers", answers(me)))[0] == 0
