"""The command line, with real services behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daemon import logs
from daemon.cli import main
from daemon.store.file import held
from tests.builders import change, files, rows
from tests.pretend import Fault, PretendServices
from tests.pretend.catalogue import world
from tests.pretend.library import Movie
from tests.running import until

ROOT = Path(__file__).parents[1]
LISTING = "IncludeItemTypes=Movie,Series"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """A directory with a configuration, in which commands are given."""

    def __init__(self, capture: pytest.CaptureFixture[str], directory: Path) -> None:
        self._capture = capture
        self.directory = directory
        self.database = directory / "data" / "tracker.db"

    async def __call__(self, *arguments: str) -> Said:
        """Give one command, in this process."""
        self._capture.readouterr()
        try:
            code = await asyncio.to_thread(main, arguments)
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = self._capture.readouterr()
        return Said(code, out, err)

    async def start(self, *arguments: str, stdout: int = asyncio.subprocess.PIPE) -> Any:
        """Give one command to a process of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = (sys.executable, "-m", "daemon", *arguments)
        return await asyncio.create_subprocess_exec(
            *command, stdout=stdout, stderr=asyncio.subprocess.PIPE, env=environment
        )


@pytest.fixture
async def services() -> AsyncIterator[PretendServices]:
    """The three services with a small library."""
    async with PretendServices(world()) as running:
        yield running


@pytest.fixture
def shell(
    services: PretendServices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A directory that is configured for the services; the keys come from the environment."""
    lines = [f"{name}: {{url: {getattr(services, f'{name}_url')}}}" for name in KEYS]
    (tmp_path / "config.yaml").write_text("\n".join([*lines, "database: data/tracker.db"]))
    (tmp_path / "data").mkdir()
    for name in KEYS:
        monkeypatch.setenv(
            f"LIBRARY_SYNC__{name.upper()}__API_KEY", getattr(services, f"{name}_key")
        )
    monkeypatch.chdir(tmp_path)
    yield Shell(capsys, tmp_path)
    logs.reset()


KEYS = ("jellyfin", "radarr", "sonarr")


async def test_a_run_is_told_to_people(shell: Shell) -> None:
    """What was done stands on stdout, the log on stderr, and the next command shows the run."""
    first = await shell("sync")
    assert first.code == 0
    assert first.out.splitlines()[0].startswith("In sync: 41 titles in the library, ")
    assert "        40  added" in first.out.splitlines()
    logged = [json.loads(line) for line in first.err.splitlines()]
    assert logged[-1]["event"] == "run.done"
    listed = (await shell("runs")).out.splitlines()
    assert [line.split()[0] for line in listed] == ["run", "1"]
    assert listed[1].split()[2:] == ["cli", "ok", "full", "40", "0", "1", "0"]
    explained = (await shell("runs", "1")).out.splitlines()
    assert sum(line.startswith("add ") for line in explained) == 40
    titles = (await shell("audit")).out
    assert "titles.added" in titles
    head = [line["hash"] for line in logged if line["event"] == "audit.recorded"][-1]
    assert (await shell("audit", "verify")).out == f"3 events, unbroken; head {head}\n"


async def test_what_is_ignored_is_listed_when_asked_for(shell: Shell) -> None:
    """And otherwise counts no more."""
    await shell("sync")
    assert "without_ids" in (await shell("attention")).out
    bare = "FROM requests WHERE tmdb_id IS NULL AND tvdb_id IS NULL AND imdb_id IS NULL"
    values = "'without_ids', 'request ' || id, 'no provider knows it', '2026', 'alice'"
    change(shell.database, f"INSERT INTO sync_ignored SELECT {values} {bare}")
    assert "without_ids" not in (await shell("attention")).out
    assert "no provider knows it" in (await shell("attention", "--ignored")).out


@pytest.mark.parametrize(
    "command",
    ["sync", "sync --dry-run", "check", "runs", "runs 1", "runs --last 1", "audit", "audit verify"],
)
async def test_json_is_one_document_and_nothing_else(shell: Shell, command: str) -> None:
    """A program can read stdout as it is, whatever is logged meanwhile."""
    await shell("sync")
    said = await shell(*command.split(), "--json")
    assert said.code == 0
    assert json.loads(said.out)


async def test_a_dry_run_tells_the_plan_and_leaves_no_trace(shell: Shell) -> None:
    """No file is made, and not a byte of one that is there changes, at rest or in use."""
    first = await shell("sync", "--dry-run", "--json")
    assert (first.code, len(json.loads(first.out)["plan"])) == (0, 40)
    assert files(shell.database.parent) == {}
    await shell("sync")
    before = files(shell.database.parent)
    again = await shell("sync", "--dry-run")
    assert again.out.splitlines()[0].startswith("Would do: 41 titles")
    assert files(shell.database.parent) == before
    with held(shell.database):
        assert (await shell("sync", "--dry-run")).code == 0
    assert files(shell.database.parent) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("sync --fast", 2, "unrecognized arguments: --fast"),
        ("", 2, "the following arguments are required: COMMAND"),
        ("runs --last 0", 2, "invalid"),
        ("runs 1", 1, "there is no file"),
        ("--config nowhere.yaml sync", 78, "nowhere.yaml cannot be read"),
    ],
)
async def test_what_cannot_be_done_is_one_line(
    shell: Shell, arguments: str, code: int, words: str
) -> None:
    """The exit code says of which kind it is, and nothing stands on stdout."""
    said = await shell(*arguments.split())
    assert (said.code, said.out) == (code, "")
    assert words in said.err.splitlines()[-1]
    assert len(said.err.splitlines()) == 1 or code == 2


async def test_the_exit_code_tells_how_a_run_ended(
    shell: Shell, services: PretendServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 done, 1 failed or the disk is not mounted, 3 partial, 75 busy, 78 configuration."""
    services.fault("radarr", Fault(status=401, times=None))
    assert (await shell("sync")).code == 3
    services.mend("radarr")
    assert (await shell("sync")).code == 0
    services.fault("jellyfin", Fault(path="/Items?", query=LISTING, status=401))
    failed = await shell("sync")
    assert failed.code == 1
    assert "make a new API key" in failed.out
    with held(shell.database):
        busy = await shell("sync")
    assert (busy.code, len(busy.err.splitlines())) == (75, 1)
    monkeypatch.setenv("LIBRARY_SYNC__DATABASE", "nowhere/tracker.db")
    assert (await shell("sync")).code == 1
    monkeypatch.setenv("LIBRARY_SYNC__DATABAZE", "x")
    unknown = await shell("sync")
    assert (unknown.code, len(unknown.err.splitlines())) == (78, 1)
    assert "did you mean database?" in unknown.err


async def test_a_pass_needs_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads, writes and says what somebody has to do; 3 when a source was away."""
    async with PretendServices(world(), besides=("seerr",)) as services:
        sections = {**services.sections(), "database": "tracker.db"}
        (tmp_path / "config.yaml").write_text(json.dumps(sections))
        monkeypatch.chdir(tmp_path)
        shell = Shell(capsys, tmp_path)
        film = Movie.named("The Lodger", 1927, {"Tmdb": "2760"})
        services.pipeline.request(film)
        first = json.loads((await shell("sync", "--json")).out)
        assert (first["run_id"], first["awaited"]) == (1, 1)
        services.pipeline.approve(services.pipeline.wishes[1])
        moved = await shell("sync", "--pending")
        assert moved.code == 0
        assert moved.out.splitlines()[0].startswith("In sync: 1 titles on their way, ")
        assert "         1  moved on" in moved.out.splitlines()
        again = await shell("sync", "--pending", "--json")
        assert (again.code, json.loads(again.out)["run_id"]) == (0, None)
        listed = (await shell("runs")).out.splitlines()[1:]
        assert [line.split()[:1] + line.split()[2:3] for line in listed] == [
            ["2", "cli"],
            ["1", "cli"],
        ]
        services.fault("seerr", Fault(status=503, times=None))
        assert (await shell("sync", "--pending")).code == 3
        with held(tmp_path / "tracker.db"):
            assert (await shell("sync", "--pending")).code == 75


async def test_a_pass_needs_a_seerr(shell: Shell) -> None:
    """Nothing else tells what is requested, and no file is made."""
    said = await shell("sync", "--pending")
    assert (said.code, files(shell.database.parent)) == (78, {})
    assert "seerr is not configured" in said.err


async def test_a_quick_look_needs_no_daemon(shell: Shell, services: PretendServices) -> None:
    """It looks at what was saved since the full run; without one it is that run."""
    first = json.loads((await shell("sync", "--quick", "--json")).out)
    assert (first["kind"], first["added"]) == ("full", 40)
    services.world.add_movie(Movie.named("The Lodger", 1927, {"Tmdb": "2760"}))
    found = json.loads((await shell("sync", "--quick", "--json")).out)
    assert (found["kind"], found["added"]) == ("hinted", 1)
    services.fault("jellyfin", Fault(status=503, times=None))
    assert (await shell("sync", "--quick")).code == 1
    assert (await shell("sync", "--quick", "--pending")).code == 2


async def test_check_answers_line_by_line(shell: Shell, services: PretendServices) -> None:
    """What is bad stands out, and makes the command fail."""
    good = await shell("check")
    assert good.code == 0
    assert [line[:4] for line in good.out.splitlines()] == ["ok  "] * 5
    services.fault("sonarr", Fault(status=401, times=None))
    bad = await shell("check")
    assert bad.code == 1
    assert [line.split()[1] for line in bad.out.splitlines() if line[:4] == "BAD "] == ["Sonarr:"]


async def test_the_configuration_is_shown_with_its_secrets_masked(
    shell: Shell, services: PretendServices
) -> None:
    """What is merged from everywhere is one document."""
    said = await shell("config")
    shown = json.loads(said.out)
    url = services.radarr_url
    masked = {"url": url, "api_key": "********", "public_url": url}
    assert (said.code, shown["radarr"], shown["database"]) == (0, masked, "data/tracker.db")
    assert services.radarr_key not in said.out + said.err


async def test_a_touched_audit_is_told(shell: Shell) -> None:
    """The command fails and says at which event."""
    await shell("sync")
    change(shell.database, "DROP TRIGGER sync_audit_no_update")
    change(shell.database, "UPDATE sync_audit SET actor_name = 'nobody' WHERE seq = 2")
    said = await shell("audit", "verify")
    assert said.code == 1
    assert said.out.startswith("BROKEN at event 2: ")


async def test_a_backup_is_a_whole_copy_and_never_replaces_anything(shell: Shell) -> None:
    """Also of a file that is in use; what is there already stays."""
    await shell("sync")
    copy = shell.directory / "copy.db"
    with held(shell.database):
        assert (await shell("backup", str(copy))).code == 0
    assert rows(copy, "SELECT COUNT(*) FROM requests") == [(40,)]
    before = copy.read_bytes()
    again = await shell("backup", str(copy))
    assert (again.code, copy.read_bytes()) == (1, before)
    assert "is there already" in again.err


async def test_ctrl_c_ends_a_run_quickly_and_quietly(
    shell: Shell, services: PretendServices
) -> None:
    """The run is noted as interrupted, and nobody gets to see a traceback."""
    services.fault("jellyfin", Fault(path="/Items?", query=LISTING, stall=200))
    process = await shell.start("sync")
    calls = services.calls("jellyfin")
    await until(lambda: any(LISTING in call.query for call in calls))
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert rows(shell.database, "SELECT outcome FROM sync_runs") == [("interrupted",)]


async def test_a_reader_that_is_gone_is_no_drama(shell: Shell) -> None:
    """A command whose output goes to nowhere ends without complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    process = await shell.start("config", stdout=writing)
    os.close(writing)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")


async def test_nothing_from_outside_steers_the_terminal(
    shell: Shell, services: PretendServices
) -> None:
    """Neither a title nor what a wrong service calls itself."""
    services.world.add_movie(Movie.named("\x1b[2JBoo", 2000, {"Tmdb": "9000"}))
    name = json.dumps({"appName": "\x1b]0;Boo\x07", "version": "1"}).encode()
    services.fault("radarr", Fault(path="/api/v3/system", body=name, times=None))
    said = [await shell(*words.split()) for words in ("sync", "runs 1", "check", "audit")]
    assert all("\x1b" not in one.out for one in said)
    assert all("?]0;Boo?" in one.out for one in (said[0], said[2]))


@pytest.mark.parametrize("style", ["json", "ecs", "console"])
async def test_no_secret_is_told_anywhere(
    shell: Shell, services: PretendServices, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    """Not by a good run nor by a bad one, not on a stream, nor in a file."""
    monkeypatch.setenv("LIBRARY_SYNC__LOG__FORMAT", style)
    monkeypatch.setenv("LIBRARY_SYNC__LOG__LEVEL", "debug")
    said = [await shell(command) for command in ("sync", "check", "config", "runs", "audit")]
    elsewhere = f"http://127.0.0.1:1/api/v3?apikey={services.radarr_key}"
    services.fault("radarr", Fault(status=302, headers={"Location": elsewhere}, times=None))
    services.fault("sonarr", Fault(body=services.sonarr_key.encode(), times=None))
    services.fault("jellyfin", Fault(path="/Items/Counts", status=401))
    said += [await shell(command) for command in ("sync", "check", "runs")]
    everything = "".join(one.out + one.err for one in said)
    stored = b"".join(files(shell.database.parent).values())
    for key in (services.jellyfin_key, services.radarr_key, services.sonarr_key):
        assert key.encode() not in stored
        assert key not in everything
    assert len(everything) > 10_000


async def test_the_audit_is_followed_until_somebody_ends_it(shell: Shell) -> None:
    """A line an event, the oldest first, and the new ones as they come."""
    await shell("sync")
    following = await shell.start("audit", "--follow", "--json")
    told = [json.loads(await following.stdout.readline()) for _ in range(3)]
    change(shell.database, "DELETE FROM requests WHERE id = 1")
    await shell("sync")
    told += [json.loads(await following.stdout.readline()) for _ in range(2)]
    following.send_signal(signal.SIGINT)
    _, complaints = await following.communicate()
    assert [(one["seq"], one["action"]) for one in told] == [
        (1, "titles.added"),
        (2, "server.known"),
        (3, "run.ended"),
        (4, "titles.added"),
        (5, "run.ended"),
    ]
    assert (following.returncode, complaints) == (130, b"")


async def test_a_title_is_explained_by_any_id(shell: Shell) -> None:
    """And it is said which one it was; of many that fit only some are told."""
    await shell("sync")
    known = "FROM requests WHERE tmdb_id > 1000 AND imdb_id NOT NULL AND title NOT LIKE 'The %'"
    [(title, tmdb, imdb)] = rows(
        shell.database, f"SELECT title, tmdb_id, imdb_id {known} ORDER BY title LIMIT 1"
    )
    for text, by in ((str(tmdb), "TMDB id"), (imdb, "IMDb id")):
        first, second, *_ = (await shell("explain", text)).out.splitlines()
        assert (first, second.partition(" is ")[0]) == (f"Found by its {by}:", title)
    [told] = json.loads((await shell("explain", imdb, "--json")).out)
    assert (told["found_by"], told["tracked"]["title"]) == ("IMDb id", title)
    many = await shell("explain", "the")
    assert (many.code, " more fit; say more" in many.err) == (0, True)
    assert "nothing is known of zzz" in (await shell("explain", "zzz")).err


async def test_a_title_that_is_not_tracked_is_explained(shell: Shell) -> None:
    """What was deleted in the dashboard, and is left out since then."""
    await shell("sync")
    change(
        shell.database,
        "INSERT INTO deletion_logs (title, media_type, tmdb_id, is_anime, source,"
        " deleted_by_username, status, initiated_at) SELECT title, media_type, tmdb_id, 0,"
        " 'DASHBOARD', 'carol', 'COMPLETE', '2026-11-19 10:00:00' FROM requests"
        " WHERE title = 'Metropolis'",
    )
    change(shell.database, "DELETE FROM requests WHERE title = 'Metropolis'")
    await shell("sync")
    said = await shell("explain", "metrópolis")
    assert said.code == 0
    assert said.out.splitlines()[:2] == [
        "Metropolis is not tracked.",
        "It was deleted in the tracker's dashboard at 2026-11-19T10:00 by carol.",
    ]
    assert "so left out" in said.out
    [known] = json.loads((await shell("explain", "metropolis", "--json")).out)
    assert (known["tracked"], known["decision"]["run_id"]) == (None, 2)
    assert "left_out" in (await shell("attention")).out


async def test_a_held_plan_is_shown_with_its_run(shell: Shell, services: PretendServices) -> None:
    """What would be removed, and what would only lose an id."""
    await shell("sync")
    services.world.radarr.clear()
    services.world.radarr_knows(Movie.named("Other", 2000, {"Tmdb": "9000"}))
    held = await shell("sync")
    assert held.code == 4
    assert "on hold until an admin approves" in held.out
    said = (await shell("runs", "2")).out.splitlines()
    at = said.index("Held (open):")
    assert said[at + 1].split() == ["kind", "media_type", "title", "request_id", "why"]
    assert said[at + 2].startswith("unlink")
    document = json.loads((await shell("runs", "2", "--json")).out)
    assert {one["kind"] for one in document["plan"]["titles"]} == {"unlink"}
    assert json.loads((await shell("runs", "1", "--json")).out)["plan"] is None


async def test_a_held_plan_is_approved_or_discarded_without_a_daemon(
    shell: Shell, services: PretendServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same rules as on the page, and with its audit event."""
    await shell("sync")
    services.world.radarr.clear()
    services.world.radarr_knows(Movie.named("Other", 2000, {"Tmdb": "9000"}))
    assert (await shell("sync")).code == 4
    unknown = await shell("approve", "1")
    assert (unknown.code, unknown.out) == (1, "")
    assert "run 1 holds no plan" in unknown.err
    approved = json.loads((await shell("approve", "2", "--json")).out)
    assert (approved["run_id"], approved["outcome"]) == (3, "ok")
    assert approved["relinked"] > 5
    again = await shell("discard", "2")
    assert (again.code, "is no longer open" in again.err) == (1, True)
    films = sorted(services.world.movies)[:15]
    for film in films:
        services.world.remove(film)
    monkeypatch.setenv("LIBRARY_SYNC__REMOVAL__GRACE", "0")
    await shell("sync")
    stopped = json.loads((await shell("sync", "--json")).out)
    assert stopped["outcome"] == "held"
    assert (await shell("discard", str(stopped["run_id"]))).out == "Discarded.\n"
    told = rows(shell.database, "SELECT action, target, actor_kind FROM sync_audit")
    assert ("plan.approved", "plan 2", "cli") in told
    with held(shell.database):
        assert (await shell("approve", "2")).code == 75


async def test_something_is_done_about_a_finding_without_a_daemon(shell: Shell) -> None:
    """Whatever the page offers, under the same words, and with its audit event."""
    await shell("sync")

    async def listed(*more: str) -> list[tuple[str, str]]:
        found = json.loads((await shell("attention", "--json", *more)).out)
        return [(one["kind"], one["target"]) for one in found]

    [target] = [target for kind, target in await listed() if kind == "without_ids"]
    ignored = await shell("attention", "--do", "ignore", "without_ids", target)
    assert (ignored.code, ignored.out) == (0, "Done.\n")
    assert ("without_ids", target) not in await listed()
    assert await listed("--ignored") == [("without_ids", target)]
    assert (await shell("attention", "--do", "restore", "without_ids", target)).code == 0
    looked = json.loads(
        (await shell("attention", "--do", "recheck", "without_ids", target, "--json")).out
    )
    assert (looked["run_id"], looked["kind"]) == (2, "hinted")
    for wrong in (("merge", "without_ids", target), ("ignore", "nothing", "request 1")):
        refused = await shell("attention", "--do", *wrong)
        assert (refused.code, refused.out) == (1, "")
        assert "Nothing was done." in refused.err
    told = rows(shell.database, "SELECT action, target, run_id FROM sync_audit ORDER BY seq")
    assert [one for one in told if one[1] == target][-3:] == [
        ("finding.ignored", target, None),
        ("finding.restored", target, None),
        ("title.rechecked", target, 2),
    ]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sync", "--help"]])
def test_what_arguments_alone_can_answer_imports_nothing_else(arguments: list[str]) -> None:
    """A version is told before anything is loaded that a run needs."""
    code = (
        "import sys, contextlib; from daemon.cli import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    asked = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout
    heavy = {"aiohttp", "aiosqlite", "asyncio", "msgspec", "pydantic", "sqlite3", "structlog"}
    assert not heavy & {*done.stderr.split()}
