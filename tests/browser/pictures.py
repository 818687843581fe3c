"""Take the manual's pictures: a held plan in light and in dark. `make pictures` renews them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, async_playwright

from tests.browser.support import EASY, a_site
from tests.pretend import World
from tests.pretend.catalogue import world

PICTURES: Final = Path(__file__).parents[2] / "docs"
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SIZE: Final = {"width": 1280, "height": 800}


def library() -> World:
    """The demo's, but for a title in letters that few machines have a font for."""
    made = world()
    for title in [one for one in made.series.values() if one.library == "Anime"]:
        made.remove(title.jellyfin_id)
    return made


async def take(browser: Browser, folder: Path) -> None:
    """Let the disk with all films go away, and take the status page that asks what to do."""
    async with a_site(browser, folder, library(), removal=EASY) as site:
        for scheme in SCHEMES:
            visitor = await site.visit(color_scheme=scheme, viewport=SIZE)
            await visitor.log_in()
            if scheme == SCHEMES[0]:
                await visitor.sync()
                site.world.library_offline("Movies")
                await visitor.sync()
            await visitor.sees("Held")
            await visitor.page.screenshot(path=PICTURES / f"held-{scheme}.png")


async def main() -> None:
    """Start Debian's Chromium, and take them."""
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            path = shutil.which("chromium")
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            await take(browser, Path(folder))
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
