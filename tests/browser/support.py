"""A whole daemon on the pretend services, and somebody who looks at its pages in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page, expect

from daemon.app import run
from daemon.demo import PretendServices, World
from daemon.demo.jellyfin import ADMIN, Account
from tests.builders import configured

SHOTS = Path(__file__).parents[2] / "screenshots"
EASY = {"sightings": 1, "grace": 0}
"""What is missing once may go at once, unless too much is missing."""


@dataclass(frozen=True)
class Site:
    """A daemon that runs, and what is around it."""

    services: PretendServices
    url: str
    file: Path

    @property
    def world(self) -> World:
        """What the services answer from."""
        return self.services.world


@asynccontextmanager
async def a_site(folder: Path, world: World, **sections: Any) -> AsyncIterator[Site]:
    """The daemon itself, which has not looked at the library yet; from entering to leaving."""
    sync = {"on_start": False, "quick": 0, **sections.pop("sync", {})}
    http = {"port": 0, **sections.pop("http", {})}
    async with PretendServices(world) as services:
        file = folder / "tracker.db"
        settings = configured(services, file, sync=sync, http=http, **sections)
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        daemon = asyncio.create_task(run(settings, stop, ready.set_result))
        await asyncio.wait({daemon, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield Site(services, ready.result(), file)
        finally:
            stop.set()
            await daemon


@dataclass
class Visitor:
    """Somebody with a browser.

    Attributes:
        complaints: what the browser found wrong with the pages.
    """

    page: Page
    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note what goes wrong from now on; violations of the CSP are console errors."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    async def go(self, path: str = "/status") -> None:
        """Open a page."""
        await self.page.goto(self.url + path)

    async def log_in(self, account: Account = ADMIN) -> None:
        """Log in, and be on the status page."""
        await self.go("/login")
        await self.page.get_by_label("Name").fill(account.name)
        await self.page.get_by_label("Password").fill(account.password)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page).to_have_url(re.compile("/status"))

    async def sync(self) -> None:
        """Sync now, and see it end."""
        await self.page.get_by_role("button", name="Sync now").click()
        await self.page.get_by_role("button", name="Cancel").wait_for(state="hidden")

    async def sees(self, text: str) -> None:
        """Wait until a text is there to be seen."""
        await self.page.get_by_text(text).first.wait_for()

    async def shot(self, name: str) -> None:
        """Take a picture of the whole page."""
        SHOTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
