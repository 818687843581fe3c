"""Checks everything the daemon depends on, and says what is wrong and what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import aiohttp

from daemon.errors import DaemonError, ServiceError, StorePermissionError
from daemon.observe.sources import Service, Services, error_boundary
from daemon.services.arr import APPLICATIONS
from daemon.store import database, open_store_readonly, requests, syncing
from daemon.store.database import is_there
from daemon.store.file import refuse_place

_MAX_SKEW = 60.0
_PATIENCE = 5.0
_OK = 200


class CheckResult(NamedTuple):
    """The result of one check."""

    thing: str
    good: bool
    text: str


async def run_checks(services: Services, database: Path) -> AsyncIterator[CheckResult]:
    """Check the services, the clock and the file, in this order."""
    for one in services:
        yield await _asked(one)
    for application in APPLICATIONS.values():
        if application.name not in services.meters:
            yield CheckResult(
                application.name, good=True, text="not configured; its ids stay empty"
            )
    yield _clock(services.jellyfin.http.date)
    yield await check_file(database)


async def _asked(service: Service) -> CheckResult:
    name = service.http.service
    try:
        with error_boundary(service):
            return CheckResult(name, good=True, text=await service.check())
    except ServiceError as error:
        return CheckResult(name, good=False, text=str(error))


def _clock(theirs: datetime | None) -> CheckResult:
    if theirs is None:
        return CheckResult("clock", good=True, text="not compared, Jellyfin did not answer")
    skew = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew) <= _MAX_SKEW:
        return CheckResult("clock", good=True, text="agrees with Jellyfin's")
    which = "ahead of" if skew > 0 else "behind"
    text = f"{abs(skew):.0f} s {which} Jellyfin's; let both machines keep time by NTP"
    return CheckResult("clock", good=False, text=text)


async def check_file(path: Path) -> CheckResult:
    """Run SQLite's quick check on the file, or check that it can be created."""
    where = f"{path} (SQLite {sqlite3.sqlite_version})"
    try:
        refuse_place(path)
        if not is_there(path):
            return _place(path)
        if path.is_dir():
            return CheckResult("file", good=False, text=f"{path} is a directory; name a file in it")
        _refuse_unwritable(path, path.parent)
        async with open_store_readonly(path, foreign=True) as store:
            await store.read(requests.refuse_foreign)
            held = await store.read(syncing.tracked)
            verdict = await store.read(database.quick_check)
    except DaemonError as error:
        return CheckResult("file", good=False, text=str(error))
    sound = verdict == "ok"
    return CheckResult("file", sound, f"{where}: {len(held.rows)} requests, quick check: {verdict}")


def _place(path: Path) -> CheckResult:
    if not path.parent.is_dir():
        return CheckResult("file", good=False, text=f"{path.parent} is no directory; make it")
    _refuse_unwritable(path.parent)
    return CheckResult("file", good=True, text=f"{path} is not there yet; the first run makes it")


def _refuse_unwritable(*places: Path) -> None:
    for place in places:
        if not os.access(place, os.W_OK):
            raise StorePermissionError(f"no permission to write {place.absolute()}")


async def probe(url: str) -> tuple[bool, str]:
    """Whether a running daemon is ready, and its message."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/readyz") as reply,
        ):
            document = await reply.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return False, f"nothing answers at {url}: {type(error).__name__}"
    reasons = "; ".join(
        f"{one.get('what')}: {one.get('kind')}" for one in document.get("reasons", ())
    )
    return reply.status == _OK, reasons or "ready"
