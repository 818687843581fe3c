"""Tells people and a dead man's switch how things are: people only of changes, the switch always.

Nothing waits for it: messages are queued, and one that cannot be sent is a line of the log.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import aiohttp

from daemon.domain import Outcome
from daemon.logs import logger
from daemon.reasons import Count
from daemon.report.health import ServiceHealth
from daemon.report.result import SyncResult
from daemon.settings import Notify

_log = logger(__name__)
_PATIENCE: Final = 15.0
_QUEUED: Final = 100
_FAILURES: Final = 2
_GOOD: Final = range(200, 300)


class Message(NamedTuple):
    """A notification."""

    title: str
    text: str


class _Request(NamedTuple):
    what: str
    url: str
    body: dict[str, Any] | None = None


def payload(shape: str, url: str, message: Message) -> _Request:
    """A message in the receiver's format.

    ntfy takes JSON at its root with the topic in it, which the address ends in; Gotify and Apprise
    name title and text alike otherwise; Discord has one text.
    """
    title, text = message
    if shape == "ntfy":
        root, _, topic = url.rpartition("/")
        return _Request("message", root, {"topic": topic, "title": title, "message": text})
    bodies: dict[str, dict[str, Any]] = {
        "discord": {"content": f"**{title}**\n{text}"},
        "gotify": {"title": title, "message": text, "priority": 5},
        "apprise": {"title": title, "body": text, "type": "info"},
    }
    return _Request("message", url, bodies.get(shape, {"title": title, "text": text}))


class Notifications:
    """Sends notifications.

    Args:
        page: the URL of the status page, used in messages.
    """

    def __init__(self, settings: Notify, page: str) -> None:
        self._settings = settings
        self._page = page
        self._queue: asyncio.Queue[_Request] = asyncio.Queue(_QUEUED)
        self._held: int | None = None
        self._failed = 0

    def began(self, kind: str) -> None:
        """A run has started."""
        if kind == "full":
            self._ping("/start")

    def ended(self, result: SyncResult) -> None:
        """A run has ended."""
        if result.kind != "full" or result.outcome is Outcome.INTERRUPTED:
            return
        failed = result.outcome is Outcome.FAILED
        self._ping("/fail" if failed else "")
        self._notify_failures(result, failed=failed)
        plan = result.stats.waiting_plan
        if plan is not None and plan != self._held:
            text = f"{result.stats[Count.HELD]} changes are on hold; none of them was made."
            self._notify(
                "Removals are held", f"{text} Approve or discard: {self._page}/runs/{plan}"
            )
        if not failed:
            self._held = plan

    def changed(self, service: ServiceHealth) -> None:
        """A service went down or recovered."""
        if service.up:
            self._notify(f"{service.name} is back", "Runs go on as usual.")
        else:
            self._notify(f"{service.name} is away", service.problem)

    async def serve(self) -> None:
        """Send queued messages one by one, forever."""
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await _send(session, await self._queue.get())

    def _notify_failures(self, result: SyncResult, *, failed: bool) -> None:
        if failed:
            self._failed += 1
            if self._failed == _FAILURES:
                failure = result.stats.failure
                self._notify("Runs fail", failure.detail if failure else "See the status page.")
            return
        if self._failed >= _FAILURES:
            self._notify("Runs succeed again", f"{result.stats.scanned} titles were read.")
        self._failed = 0

    def _notify(self, title: str, text: str) -> None:
        if (url := self._settings.url) is not None:
            message = Message(f"Library Sync: {title}", text)
            self._put(payload(self._settings.shape, url.get_secret_value(), message))

    def _ping(self, suffix: str) -> None:
        if (url := self._settings.ping_url) is not None:
            self._put(_Request("ping", url.get_secret_value().rstrip("/") + suffix))

    def _put(self, request: _Request) -> None:
        if self._queue.full():
            _log.warning("notify.dropped", what=request.what)
        else:
            self._queue.put_nowait(request)


async def _send(session: aiohttp.ClientSession, request: _Request) -> None:
    """Send one request; its URL may hold a token, so no error may contain it."""
    method = "GET" if request.body is None else "POST"
    try:
        async with session.request(
            method, request.url, json=request.body, allow_redirects=False
        ) as reply:
            if reply.status not in _GOOD:
                _log.warning("notify.refused", what=request.what, status=reply.status)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.warning("notify.failed", what=request.what, error_kind=type(error).__name__)
