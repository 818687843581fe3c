"""Somebody at the pages, with a cookie jar and no script: what they get, and what they can send."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, CookieJar

from daemon.domain import Trigger
from tests.answer import Answer
from tests.builders import ACTOR
from tests.pretend.jellyfin import ADMIN, Account
from tests.web.support import Stand

_TOKEN = re.compile('name="token" value="([^"]+)"')
_TAGS = re.compile("<[^>]+>")


@dataclass
class Person:
    """One browser; it does not follow redirects by itself."""

    session: ClientSession
    url: str

    async def get(self, path: str = "/status", **headers: str) -> Answer:
        """Open a page."""
        return await self._ask("GET", path, headers=headers)

    async def post(self, path: str, token: str, **fields: str) -> Answer:
        """Send a form."""
        return await self._ask("POST", path, data={"token": token, **fields})

    async def token(self, page: str = "/status", action: str = "") -> str:
        """The token of a form: the one that leads to `action`, else the page's last."""
        text = (await self.get(page)).text
        _, _, after = text.partition(f'action="{action}"')
        return str(_TOKEN.findall(after)[0] if action else _TOKEN.findall(text)[-1])

    async def send(self, page: str, action: str, **fields: str) -> Answer:
        """Open a page and send one of its forms."""
        return await self.post(action, await self.token(page, action), **fields)

    async def log_in(self, account: Account = ADMIN, password: str | None = None) -> Answer:
        """Log in with name and password."""
        secret = account.password if password is None else password
        token = await self.token("/login")
        return await self.post("/login", token, user=account.name, password=secret)

    async def _ask(self, method: str, path: str, **request: Any) -> Answer:
        async with self.session.request(
            method, self.url + path, allow_redirects=False, **request
        ) as reply:
            return await Answer.of(reply)


@asynccontextmanager
async def somebody(stand: Stand) -> AsyncIterator[Person]:
    """A browser that was never here."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Person(session, stand.url)


def words(answer: Answer) -> str:
    """What a page says, without its tags; blanks are single."""
    return " ".join(html.unescape(_TAGS.sub(" ", answer.text)).split())


async def synced(stand: Stand) -> int:
    """Let a run go to its end; gives its number."""
    ticket = stand.parts.worker.enqueue(Trigger.ADMIN, ACTOR)
    await ticket.result
    return ticket.number
