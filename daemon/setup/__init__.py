"""Sets everything up, from nothing to a synced title with working webhooks; and takes it back."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from daemon import __version__, logs, opening
from daemon.domain import Outcome
from daemon.report import words
from daemon.settings import PREFIX, Key, Settings, address, collected, is_instance, load
from daemon.setup import unit
from daemon.setup.asking import Asking
from daemon.setup.files import Place
from daemon.setup.listen import Arrivals, listening
from daemon.setup.questions import Questions, read_answers
from daemon.setup.report import Report
from daemon.setup.telling import Telling
from daemon.setup.wanted import (
    ADDRESS,
    DATABASE,
    HOST,
    JELLYFIN_KEY,
    PORT,
    SECRET,
    Wanted,
    is_secret,
)

__all__ = ["Place", "Questions", "read_answers", "set_up", "take_back"]

Say = Callable[[str], None]


async def set_up(place: Place, questions: Questions, say: Say, *, dry_run: bool = False) -> bool:
    """Ask, try, write, tell the services, and show what the first run would do.

    Returns:
        Whether everything could be done.

    Raises:
        DaemonError: something without which nothing can be set up.
    """
    place.refuse_unwritable()
    wanted, report = Wanted(_known(place)), Report(say, dry_run=dry_run)
    telling = Telling(place, report, wanted)
    await Asking(place, questions, report, wanted).everything()
    _settings(place, wanted)
    async with _listening(wanted, report) as arrivals:
        if not wanted[JELLYFIN_KEY]:
            await telling.sign_in(questions)
        await _write(place, report, wanted)
        await _give_to_service(place, report, wanted)
        while not await telling.webhooks(arrivals) and questions.interactive:
            if not await _elsewhere(place, questions, report, wanted):
                break
    if wanted[JELLYFIN_KEY]:
        await telling.plugin()
        await _preview(place, report, wanted)
    last = [] if dry_run else _last_words(place, wanted, running=arrivals.daemon)
    report.lines(last or ["Nothing was changed."])
    return report.whole


async def take_back(place: Place, say: Say, *, dry_run: bool = False) -> bool:
    """Remove from the services what was added to them; files of this machine stay.

    Returns:
        Whether nothing is left there.

    Raises:
        DaemonError: it is not known how they are reached.
    """
    known = _known(place)
    wanted, report = Wanted(known, known), Report(say, dry_run=dry_run)
    await Telling(place, report, wanted).take_back()
    report.lines([f"{place.config} stays, and what is stored beside it."])
    return report.whole


def _known(place: Place) -> dict[Key, str]:
    """What is configured, wherever."""
    given = collected(place.config, {**place.environment(), **os.environ})
    return {key: value.strip() for key, (value, _) in given.items() if isinstance(value, str)}


async def _write(place: Place, report: Report, wanted: Wanted) -> None:
    """Whatever differs from what is configured."""
    differs = wanted.differs
    plain = {key: value for key, value in differs.items() if not is_secret(key)}

    async def configure() -> None:
        if copy := place.write_config(plain):
            report.lines([f"      the file as it was is kept as {copy}"])

    async def store() -> None:
        for key in differs.keys() - plain.keys():
            place.write_secret(key, differs[key])

    if names := ", ".join(".".join(key) for key in plain):
        await report.step(str(place.config), f"set {names}", configure)
    if names := ", ".join(sorted(place.secret(key).name for key in differs.keys() - plain.keys())):
        await report.step(str(place.secrets), f"store {names}", store)
    wanted.known.update(differs)


async def _give_to_service(place: Place, report: Report, wanted: Wanted) -> None:
    """What the systemd service needs besides its unit, where that is what is set up."""
    if (file := place.unit) is None:
        return
    keys = [key for key in wanted.values if is_instance(key[0]) and is_secret(key)]
    directory = (place.data / wanted[DATABASE]).parent
    foreign = None if directory.is_relative_to(place.data) else directory
    text = unit.drop_in([place.secret(key).name for key in keys], foreign)

    async def write() -> None:
        file.parent.mkdir(exist_ok=True)
        place.write(file, text, 0o644)

    if text and not (file.exists() and file.read_text("utf-8") == text):
        await report.step(str(file), "give the service what it needs", write)
    if foreign and (advice := unit.unshared(foreign)):
        report.bad(advice)


async def _elsewhere(place: Place, questions: Questions, report: Report, wanted: Wanted) -> bool:
    """Whether this machine has another address for those who did not reach it."""
    text = "Another address of this machine, or Enter to go on without these"
    if not (other := questions.ask(ADDRESS, text, "")):
        return False
    report.whole = True
    wanted.values[ADDRESS] = address(other)
    await _write(place, report, wanted)
    return True


def _listening(wanted: Wanted, report: Report) -> AbstractAsyncContextManager[Arrivals]:
    if report.dry_run:
        return nullcontext(Arrivals())
    host, port = wanted[HOST], int(wanted[PORT])
    return listening(host, port, wanted["http", "base_path"], wanted[SECRET])


def _settings(place: Place, wanted: Wanted) -> Settings:
    """What the daemon will make of all this; Jellyfin's key may be still to come.

    Raises:
        SettingsError: nothing.
    """
    values = {JELLYFIN_KEY: "to-be-made", **wanted.known, **wanted.values}
    values[DATABASE] = str(place.data / wanted[DATABASE])
    environ = {PREFIX + "__".join(key).upper(): value for key, value in values.items()}
    config = place.config if place.config.exists() else Path(os.devnull)
    return load(config, {**os.environ, **environ})


async def _preview(place: Place, report: Report, wanted: Wanted) -> None:
    """What the first run would do."""
    settings = _settings(place, wanted)
    logs.configure(
        format=settings.log.format,
        level="error",
        secrets=settings.secrets(),
        version=__version__,
        stream=sys.stderr,
    )
    line = words.ProgressLine()
    async with opening.open_preview(settings) as service:
        result = await service.preview(line)
    line.clear()
    report.lines(["", *words.result(result.as_dict()), ""])
    report.whole = report.whole and result.outcome is Outcome.OK


def _last_words(place: Place, wanted: Wanted, *, running: bool) -> Iterator[str]:
    yield f"The page: {wanted[ADDRESS]}/status"
    if place.unit is not None:
        how = "restart" if running else "enable --now"
        yield f"Next: systemctl daemon-reload && systemctl {how} library-sync"
    elif running:
        yield "Next: end the Library Sync that runs, and start it again"
    else:
        program = "library-sync" if shutil.which("library-sync") else f"{sys.executable} -m daemon"
        option = "" if place.config == Path("config.yaml") else f"--config {place.config} "
        yield f"Next: {program} {option}run"
