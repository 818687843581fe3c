"""A whole daemon on the pretend services, and somebody who looks at its pages in a real browser."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from daemon import logs
from daemon.app import run
from tests.builders import configured
from tests.pretend import PretendServices, World
from tests.pretend.jellyfin import ADMIN, Account

SHOTS = Path(__file__).parents[2] / "screenshots"
EASY = {"sightings": 1, "grace": 0}
"""What is missing once may go at once, unless too much is missing."""


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

    def forgive(self, text: str) -> None:
        """Take back complaints about what a test meant to happen; there must have been some."""
        left = [complaint for complaint in self.complaints if text not in complaint]
        assert left != self.complaints
        self.complaints[:] = left

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


@dataclass(frozen=True)
class Site:
    """A daemon that runs, what is around it, and who visits it."""

    services: PretendServices
    url: str
    file: Path
    browser: Browser
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def world(self) -> World:
        """What the services answer from."""
        return self.services.world

    async def visit(self, **profile: Any) -> Visitor:
        """Somebody with a browser profile of their own."""
        context = await self.browser.new_context(**profile)
        context.set_default_timeout(60_000)
        visitor = Visitor(await context.new_page(), context, self.url)
        visitor.listen()
        self.visitors.append(visitor)
        return visitor


@asynccontextmanager
async def a_site(
    browser: Browser, folder: Path, world: World, **sections: Any
) -> AsyncIterator[Site]:
    """The daemon itself, which has not looked at the library yet; from entering to leaving.

    At the end no browser may have complained about a page.
    """
    sync = {"on_start": False, "quick": 0, **sections.pop("sync", {})}
    logs.configure(format="json", level="info", secrets=(), version="1", stream=io.StringIO())
    async with PretendServices(world) as services:
        file = folder / "tracker.db"
        settings = configured(services, file, sync=sync, http={"port": 0}, **sections)
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        daemon = asyncio.create_task(run(settings, stop, ready.set_result))
        await asyncio.wait({daemon, ready}, return_when=asyncio.FIRST_COMPLETED)
        site = Site(services, ready.result(), file, browser)
        try:
            yield site
        finally:
            for visitor in site.visitors:
                await visitor.context.close()
            stop.set()
            await daemon
            logs.reset()
    assert [complaint for one in site.visitors for complaint in one.complaints] == []
