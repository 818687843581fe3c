"""A real browser for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright


def missing(what: str) -> NoReturn:
    """Skip on somebody's own machine; where nothing may be left out, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"there is no {what} here")
    pytest.skip(f"there is no {what} here")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Start Debian's Chromium once."""
    if (path := shutil.which("chromium")) is None:
        missing("chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        await started.close()
