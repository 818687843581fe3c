"""The documentation is true: what it names exists, and what it shows is what happens."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shlex
import textwrap
import tomllib
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from daemon import __version__, domain, errors, settings
from daemon.cli import _parser
from daemon.commands import Exit
from daemon.settings import Settings, load
from daemon.setup import read_answers
from daemon.web import ROUTES, application
from tests.builders import change, rows
from tests.pretend import Fault, PretendServices
from tests.pretend.catalogue import world
from tests.pretend.library import Movie
from tests.running import a_world, until
from tests.test_daemon import Place, Running
from tests.torture.promises import promises
from tests.web.support import standing

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
ARCHITECTURE: Final = ROOT / "ARCHITECTURE.md"
API: Final = ROOT / "docs/api.md"
CONFIGURATION: Final = ROOT / "docs/configuration.md"
OPERATIONS: Final = ROOT / "docs/operations.md"
SECURITY: Final = ROOT / "docs/security.md"
TROUBLESHOOTING: Final = ROOT / "docs/troubleshooting.md"
MANUAL: Final = (README, *sorted((ROOT / "docs").glob("*.md")))
"""What users read."""

DOCUMENTS: Final = (
    *MANUAL,
    *(
        ROOT / name
        for name in ("ARCHITECTURE.md", "DECISIONS.md", "CONTRIBUTING.md", "CHANGELOG.md")
    ),
    *(ROOT / "systemd" / name for name in ("EVENTS.md", "shipping/QUERIES.md")),
)
LONGEST: Final = {
    "README.md": 120,
    "ARCHITECTURE.md": 90,
    "DECISIONS.md": 50,
    "CONTRIBUTING.md": 7,
    "docs/api.md": 150,
    "docs/configuration.md": 170,
    "docs/decisions.md": 150,
    "docs/operations.md": 220,
    "docs/security.md": 70,
    "docs/troubleshooting.md": 100,
}
"""In lines."""

KEY: Final = {"LIBRARY_SYNC__JELLYFIN__API_KEY": "k"}
MINIMAL: Final = {"url": "http://127.0.0.1:8096", "api_key": "k"}
PLACEHOLDERS: Final = {"ID": "1", "N": "5", "FILE": "f.db", "TITLE": "Metropolis", "COMMAND": "run"}
NONE: Final = "\N{EN DASH}"
"""Stands in a cell that holds nothing."""

TOKEN: Final = "admin-canary-1234"
SECRET: Final = "webhook-canary-1234"
STALE: Final = (
    "INSERT INTO requests (id, title, media_type, state, tmdb_id, created_at, updated_at,"
    " state_changed_at) VALUES (900, 'Gone', 'MOVIE', 'AVAILABLE', 900, '2026', '2026', '2026')"
)


# --- reading a document ----------------------------------------------------------------------


def section(path: Path, heading: str) -> str:
    """What stands under a heading, up to the next of any level."""
    parts = re.split(r"^#+ (.+)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    [found] = [
        text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title == heading
    ]
    return found


def tables(text: str) -> list[list[list[str]]]:
    """The rows of each table, without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    cells = [[_cells(line) for line in block.splitlines()] for block in blocks]
    return [block[2:] for block in cells]


def table(path: Path, heading: str) -> list[list[str]]:
    """The rows of the only table of the section whose heading begins so."""
    titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    [title] = [one for one in titles if one.startswith(heading)]
    [found] = tables(section(path, title))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def code_of(text: str) -> list[str]:
    """What stands in it as code."""
    return re.findall(r"`([^`]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; one in a list is indented."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def manual() -> str:
    """All that users read."""
    return "\n".join(path.read_text("utf-8") for path in MANUAL)


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def lines_of(text: str) -> Iterator[str]:
    """Every command that is shown, without the prompt, and without what is said about it."""
    for block in (*blocks(text, "sh"), *blocks(text, "console")):
        for line in block.splitlines():
            yield re.sub(r"\s{2,}# .*$|\s# .*$", "", line).removeprefix("$ ").removeprefix("sudo ")


# --- the command line ------------------------------------------------------------------------


def commands() -> list[str]:
    """The arguments of every use of the program in the manual."""
    text = manual()
    shown = [*lines_of(text), *code_of(prose(text))]
    plain = (
        re.sub(r"^(docker compose (exec library-sync|run --rm)|sudo) ", "", line) for line in shown
    )
    return [one.removeprefix("library-sync ") for one in plain if one.startswith("library-sync ")]


def test_every_command_of_the_manual_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The parser takes them all, with values in place of what stands for one."""
    for line in commands():
        words = shlex.split(line.replace("[", "").replace("]", ""))
        if words == ["…"]:
            continue
        ended = _parsed([PLACEHOLDERS.get(word, word) for word in words])
        assert ended == 0, f"{line}: {capsys.readouterr().err}"


def _parsed(arguments: list[str]) -> object:
    """What the program would end with at once; 0 too if it would not end."""
    try:
        _parser().parse_args(arguments)
    except SystemExit as error:
        return error.code
    return 0


def test_every_command_and_option_is_in_the_manual() -> None:
    """Nothing that the program can do is left out; an option stands in its command's row."""
    found = next(one for one in tables(section(OPERATIONS, "Commands")) if len(one[0]) == 2)
    told = {code_of(row[0])[0].split()[1]: " ".join(row) for row in found}
    parsers = _subparsers()
    assert set(told) == set(parsers)
    for name, parser in parsers.items():
        assert _options(parser) - {"--json"} == set(re.findall(r"--[a-z-]+", told[name])), name
    text = prose(section(OPERATIONS, "Commands"))
    assert _options(_parser()) <= {word for one in code_of(text) for word in one.split()}
    [answers] = re.findall(r"((?:`\w+`(?:, | and )?)+) take `--json`", text)
    assert {n for n, one in parsers.items() if "--json" in _options(one)} == set(code_of(answers))


def _options(parser: argparse.ArgumentParser) -> set[str]:
    options = {option for action in parser._actions for option in action.option_strings}
    return options - {"-h", "--help"}


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    [found] = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found.choices)


def test_exit_codes() -> None:
    """The table has each of them, and no other."""
    found = next(one for one in tables(section(OPERATIONS, "Commands")) if one[0][0] == "0")
    assert [str(code.value) for code in Exit] == [row[0] for row in found]


def test_make_targets() -> None:
    """What is to be made can be made, and the installer knows the options that it is given."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    installer = (ROOT / "systemd/install").read_text("utf-8")
    texts = [path.read_text("utf-8") for path in DOCUMENTS]
    code = [one for text in texts for one in (*lines_of(text), *code_of(prose(text)))]
    makes = (re.match(r"(?:sudo )?make ([a-z]+)(?: OPTIONS='?(--[a-z]+))?", one) for one in code)
    used = {found.groups("") for found in makes if found}
    assert {"demo", "test", "install"} <= {target for target, _ in used}
    for target, option in used:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        demo = (ROOT / "tests/pretend/__main__.py").read_text("utf-8")
        assert option in (installer if target == "install" else demo), option


# --- the configuration -----------------------------------------------------------------------


def documented_keys() -> dict[str, str]:
    """Every key of the manual's table, with its default as it is written there."""
    [found] = tables(section(CONFIGURATION, "Keys"))
    return {key: default for keys, default, _ in found for key in code_of(keys)}


def test_every_key_is_in_the_manual_and_the_other_way_round() -> None:
    """With its section, in the order of the settings."""
    names = ("radarr", "sonarr", "radarr_a", "sonarr_a", "seerr", "qbittorrent", "shoko")
    services = {name: {**MINIMAL, "url": f"http://{name}"} for name in names}
    whole = Settings.model_validate({"jellyfin": MINIMAL, **services}).masked()
    known = {
        name if not isinstance(part, dict) else f"{name.replace('_a', '_NAME')}.{key}"
        for name, part in whole.items()
        for key in (part if isinstance(part, dict) else (name,))
    }
    assert known == set(documented_keys())


def test_every_default_is_in_the_manual() -> None:
    """Those of the table are those that hold without it."""
    tree: dict[str, Any] = {"jellyfin": dict(MINIMAL)}
    for key, default in documented_keys().items():
        if default == NONE:
            continue
        [text] = code_of(default)
        *part, name = key.split(".")
        (tree.setdefault(part[0], {}) if part else tree)[name] = yaml.safe_load(text)
    bare = Settings.model_validate({"jellyfin": MINIMAL})
    assert bare == Settings.model_validate(tree)
    absent = {key for key, default in documented_keys().items() if default == NONE}
    told = {
        f"{name}.{key}"
        for name, part in bare.masked().items()
        for key, value in (part.items() if isinstance(part, dict) else ())
        if value is not None and name != "jellyfin"
    }
    assert absent & told == set()


def test_the_examples_of_configuration(tmp_path: Path) -> None:
    """Each can be loaded as it stands, with a key for each service from the environment."""
    examples = blocks(CONFIGURATION.read_text("utf-8"), "yaml")
    assert any("\nradarr_4k: " in text for text in examples)
    notify = blocks(section(OPERATIONS, "Monitoring"), "yaml")
    for text in (*examples, *(f"jellyfin: {{url: http://jellyfin}}\n{one}" for one in notify)):
        arrs = [name for name in yaml.safe_load(text) if name.startswith(("radarr", "sonarr"))]
        keys = {f"LIBRARY_SYNC__{name}__API_KEY".upper(): "k" for name in arrs}
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        load(tmp_path / "config.yaml", {**KEY, **keys})


def test_the_example_of_answers(tmp_path: Path) -> None:
    """Setup asks for each of them by that name."""
    [text] = blocks(section(OPERATIONS, "Setup"), "yaml")
    (tmp_path / "answers.yaml").write_text(text, encoding="utf-8")
    assert ("jellyfin", "user") in read_answers(tmp_path / "answers.yaml")


def test_environment_variables() -> None:
    """Those of the manual are heeded, and those that the program looks at are in the manual."""
    code = code_of(prose(manual()))
    ours = {one for one in code if re.fullmatch(r"LIBRARY_SYNC__[A-Z_]+[A-Z]", one)}
    assert len(ours) >= 2
    for name in ours:
        key = tuple(name.removeprefix("LIBRARY_SYNC__").lower().split("__"))
        of_file = (*key[:-1], key[-1].removesuffix("_file"))
        assert key[-1] not in of_file or not settings._is_section(key, name), name
        assert of_file == key or of_file in settings.credentials(), name
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "daemon").rglob("*.py"))
    others = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', sources))
    assert others == {
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "SUDO_USER",
        "USER",
    }
    assert others <= set(code)


@pytest.mark.parametrize(
    "place",
    [
        "docs/configuration.md",
        *("config.yaml", "systemd/install", "systemd/library-sync.service"),
    ],
)
def test_credentials(place: str) -> None:
    """Whoever names credentials names all of them."""
    text = (ROOT / place).read_text("utf-8")
    assert {name for name in settings.credentials().values() if name not in text} == set()


# --- the addresses ---------------------------------------------------------------------------


def curls() -> list[str]:
    """Every call of curl that the manual shows, as it stands."""
    return [line for line in lines_of(API.read_text("utf-8")) if line.startswith("curl ")]


async def test_addresses(tmp_path: Path) -> None:
    """Each that is called or named is served, and each page without a number is named."""
    async with standing(tmp_path) as stand:
        served = {one.canonical for one in application(stand.parts).router.resources()}
    text = manual()
    called = {found[1] for line in curls() if (found := re.search(r'\$url([^"?]*)', line))}
    called = {re.sub(r"\$(run|request)", r"{\1_id}", path) for path in called}
    called = {re.sub("/4k$", "/{name}", path) for path in called}
    first = "admin|api|hooks|status|login|logout|healthz|readyz|metrics|openapi"
    named = set(re.findall(rf"`(/(?:{first})[a-z/.]*)`", text))
    assert (called | named) - served == set()
    table_of_routes = {route.path for route in ROUTES}
    pages = {path for path in served - table_of_routes if "{" not in path}
    forms = {
        "/logout",
        "/status/sync",
        "/status/pause",
        "/status/resume",
        "/status/hooks/test",
        *("/", "/status/"),
    }
    assert pages - forms - named == set()


# --- words that must agree -------------------------------------------------------------------


def test_every_kind_of_error_is_in_the_manual_and_the_other_way_round() -> None:
    """With the advice that the error itself gives."""
    found = next(
        one for one in tables(TROUBLESHOOTING.read_text("utf-8")) if one[0][0] == "`unreachable`"
    )
    documented = {code_of(kind)[0]: todo for kind, _, todo in found}
    classes = {one.kind: one for one in _errors(errors.DaemonError)}
    gaps = {domain.SCANNING, domain.INCOMPLETE, domain.IMPLAUSIBLE, domain.DISTRUSTED}
    gaps.add(domain.MISCOUNTED)
    assert classes.keys() - {"service"} | gaps == documented.keys()
    for kind, one in classes.items():
        if kind != "service" and issubclass(one, errors.ServiceError):
            assert one.hint in documented[kind], kind


def _errors(parent: type[errors.DaemonError]) -> Iterator[type[errors.DaemonError]]:
    for one in parent.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _errors(one)


def test_links_lead_somewhere() -> None:
    """To a file or picture that there is, and to a heading that it has."""
    for path in DOCUMENTS:
        linked = r"(?:\]\(|src=\"|srcset=\")([^)\"\s]+)"
        for target in re.findall(linked, path.read_text("utf-8")):
            if re.match("https?:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name) if name else path
            assert file.exists(), f"{path.name}: {target}"
            slugs = (
                re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE) if anchor else []
            )
            assert not anchor or anchor in [slug.lower().replace(" ", "-") for slug in slugs], (
                target
            )


def test_files_that_are_named_are_there() -> None:
    """As code, by their path below the root."""
    for path in DOCUMENTS:
        for name in code_of(prose(path.read_text("utf-8"))):
            if re.fullmatch(r"(daemon|tests|systemd)/[\w./-]+", name):
                assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_the_layers_are_those_of_the_contract() -> None:
    """The architecture shows what the checks enforce, the uppermost first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one["type"] == "layers"]
    [shown] = blocks(section(ARCHITECTURE, "Layers"), "text")
    assert layers == [line.partition("  ")[0] for line in shown.splitlines()]


def test_the_layers_leave_out_no_module() -> None:
    """Every module and package of the program has a line there, and nothing else does."""
    [shown] = blocks(section(ARCHITECTURE, "Layers"), "text")
    found = {name for line in shown.splitlines() for name in line.partition("  ")[0].split(" | ")}
    there = {
        path.stem for path in (ROOT / "daemon").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    assert there - {"__init__", "__pycache__"} == found


def test_documents_stay_short() -> None:
    """A page is a page, and each page of the manual has a limit."""
    assert {str(path.relative_to(ROOT)) for path in MANUAL} <= set(LONGEST)
    lengths = {name: len((ROOT / name).read_text("utf-8").splitlines()) for name in LONGEST}
    assert {name: n for name, n in lengths.items() if n > LONGEST[name]} == {}


def test_the_promises_are_those_of_the_torture_tests() -> None:
    """Each with how often it is tried."""
    told = re.findall(
        r"^\* (.*)\.$", section(SECURITY, "What is tried, and how often"), re.MULTILINE
    )
    assert told == [f"{what}: {tried}" for what, tried in promises()]


def test_the_changelog_knows_this_version() -> None:
    """Unless what comes next is not released yet."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    [first, *_] = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first in {"Unreleased", __version__}


# --- what is shown happens -------------------------------------------------------------------


async def test_the_shown_output_is_the_real_one(tmp_path: Path) -> None:
    """Command by command, on the demo's library; only times differ."""
    [shown] = blocks(section(OPERATIONS, "Examples"), "console")
    async with PretendServices(world()) as services, AsyncExitStack() as stack:
        place = Place(tmp_path, services, stack)
        place.configure(database="tracker.db")
        real = []
        for line in (one for one in shown.splitlines() if one.startswith("$ ")):
            _, output, _ = await place.ended(*shlex.split(line)[2:])
            real.append(f"{line}\n{output.strip()}\n")
    assert _timeless(shown.strip()) == _timeless("\n".join(real).strip())


def _timeless(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d|\b\d+\.\d s\b", "TIME", text)


@dataclass
class Admin:
    """A daemon in a process of its own, and an admin who types what the manual shows."""

    place: Place
    daemon: Running
    values: dict[str, str]

    async def type(self, line: str) -> tuple[int, str, str]:
        """One line in a shell: exit code, output, complaints."""
        process = await self._shell(line)
        output, complaints = await process.communicate()
        return process.returncode or 0, output.decode(), complaints.decode()

    async def listen(self, line: str) -> str:
        """The beginning of what goes on until Ctrl-C."""
        process = await self._shell(f"exec {line}")
        assert process.stdout is not None
        try:
            beginning = [await process.stdout.readline() for _ in range(4)]
        finally:
            process.kill()
            await process.wait()
        return b"".join(beginning).decode()

    async def _shell(self, line: str) -> Process:
        environ = {**os.environ, **self.values}
        command = ("bash", "-c", line)
        return await asyncio.create_subprocess_exec(
            *command, env=environ, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )

    async def prepare(self, line: str) -> None:
        """See to it that there is something to do for a line."""
        services = self.place.services
        if "/cancel" in line:
            services.fault("jellyfin", Fault("/System/Info/Public", stall=60))
            await self._ask("/admin/sync?wait=false")
            await until(lambda: self._runs("running"))
        elif "/approve" in line or "/discard" in line:
            title = next(iter(services.world.movies))
            services.world.remove(title)
            await self._ask("/admin/sync")
        elif "never_seen" in line:
            change(self.place.database, STALE)
            await self._ask("/admin/sync")
            self.values["request"] = "900"
        elif "/undo" in line:
            await until(lambda: self._runs("ok")[-1] > int(self.values["run"]))
        self.values["run"] = str(self._runs("%")[-1])

    def _runs(self, outcome: str) -> list[int]:
        query = "SELECT id FROM sync_runs WHERE outcome LIKE ? ORDER BY id"
        return [number for (number,) in rows(self.place.database, query, outcome)]

    async def _ask(self, path: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.values["url"] + path, headers=headers) as reply,
        ):
            assert reply.status in {200, 202}, await reply.text()


@asynccontextmanager
async def an_admin(folder: Path) -> AsyncIterator[Admin]:
    """A running daemon that holds every removal, and the values that the lines need."""
    films = [Movie.named(name, 1920 + at, {"Tmdb": f"{at + 1}"}) for at, name in enumerate("ABCDE")]
    made = a_world(*films)
    made.further = {"radarr_4k": {}, "sonarr_4k": {}}
    async with PretendServices(made, besides=("seerr",)) as services, AsyncExitStack() as stack:
        place = Place(folder, services, stack)
        place.configure(
            sync={"quick": 0},
            removal={"mode": "ask", "sightings": 1, "grace": 0},
            webhook={"secret": SECRET, "quiet": 0},
            http={"port": 0, "admin_token": TOKEN},
            log={"level": "debug"},
        )
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.logged("run.done"))
        values = {
            "url": daemon.logged("daemon.ready")[0]["url"],
            "auth": f"Authorization: Bearer {TOKEN}",
            "secret": SECRET,
            "request": "1",
        }
        yield Admin(place, daemon, values)
        assert (await daemon.end())[0] == 0


async def test_the_lines_with_curl_work(tmp_path: Path) -> None:
    """Each as it stands, in its order; together they call every route that there is."""
    async with an_admin(tmp_path) as admin:
        metrics = ""
        for line in curls():
            await admin.prepare(line)
            if " -fsSN " in line:
                assert "event: snapshot" in await admin.listen(line)
                continue
            code, output, complaints = await admin.type(line)
            assert (code, complaints) == (0, ""), line
            metrics = output if line.endswith('/metrics"') else metrics
    asked = {(line["method"], line["route"]) for line in admin.daemon.logged("http.request")}
    assert {(route.method, route.path) for route in ROUTES} == asked
    audit = dict(rows(admin.place.database, "SELECT hash, action FROM sync_audit"))
    done = {"run.cancelled", "plan.approved", "title.removed", "title.undone", "plan.discarded"}
    done |= {"removal.approved"}
    assert done <= set(audit.values())
    assert audit.keys() == {line["hash"] for line in admin.daemon.logged("audit.recorded")}
    _check_metrics(metrics)


def _check_metrics(exposition: str) -> None:
    """The manual names each metric."""
    names = set(re.findall(r"^# TYPE library_sync_(\w+)", exposition, re.MULTILINE))
    later = {"audit_ok"}  # after the first check of the night
    told = [code_of(row[0])[0] for row in table(OPERATIONS, "Metrics")]
    assert len(names) > 10
    assert sorted(names | later) == sorted(told)
