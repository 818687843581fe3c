"""The pages in a real browser: what an admin does, sees and cannot break."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.conftest import missing
from tests.browser.support import EASY, Site, Visitor, a_site
from tests.builders import rows
from tests.pretend import Fault, World
from tests.pretend.catalogue import world
from tests.pretend.jellyfin import VIEWER
from tests.pretend.library import Movie

pytestmark = pytest.mark.asyncio(loop_scope="session")

TITLES = "SELECT COUNT(*) FROM requests"
PHONE = {"width": 390, "height": 844}
SMALL = {"width": 320, "height": 568}
DESKTOP = {"width": 1280, "height": 800}
HOSTILE = [
    "<script>window.taken = 1</script>",
    '"\'><img src=x onerror="window.taken=1">',
    "\u202eesrever\u202c עברית عربى",
    "W" * 500,
    "two words" * 50,
]
PAGES = (
    *("/status", "/status/runs", "/status/runs/1", "/status/runs/2?show=held"),
    "/status/runs/2?show=error",
    *("/status/runs/2/approve", "/status/runs/2/discard", "/status/titles?q=the"),
    *("/status/titles/1", "/status/attention", "/status/audit", "/status/nowhere"),
    *("/status/titles?sort=title&kind=MOVIE", "/status/pending"),
)
MAIN = (
    *("/status", "/status/runs/2?show=held"),
    *("/status/runs/2/approve", "/status/nowhere"),
)


def named(*titles: str) -> World:
    """A library of films with these names."""
    made = World()
    for at, title in enumerate(titles):
        movie = Movie.named(title, 1900 + at, {"Tmdb": str(1 + at)})
        made.movies[movie.jellyfin_id] = movie
    return made


def slowly(site: Site, seconds: float) -> None:
    """Let each page of the library take its time."""
    site.services.fault(
        "jellyfin", Fault("/Items?", query="StartIndex=", stall=seconds, times=None)
    )


async def is_whole(page: Page) -> bool:
    """Whether the page fits the screen's width."""
    script = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    return bool(await page.evaluate(script))


async def watched(alice: Visitor) -> list[int]:
    """Where the bar stood, over and over until the run has ended."""
    seen: list[int] = []
    bar = alice.page.get_by_role("progressbar")
    await expect(bar).to_have_attribute("max", "2000")
    while not await alice.page.get_by_text("In sync").count():
        script = "() => document.getElementById('bar')?.value ?? 2000"
        seen.append(int(await alice.page.evaluate(script)))
        await asyncio.sleep(0.1)
    return seen


async def test_from_the_first_visit_to_the_first_rows(browser: Browser, tmp_path: Path) -> None:
    """Log in, sync, watch the bar, and find the titles."""
    pages = {"page_size": 400, "batch_size": 100}
    async with a_site(browser, tmp_path, World.of_size(movies=2000), sync=pages) as site:
        alice = await site.visit()
        await alice.go()
        await expect(alice.page).to_have_url(re.compile("/login"))
        await alice.shot("login")
        await alice.log_in()
        await alice.sees("Never synced")
        slowly(site, 0.25)
        await alice.page.get_by_role("button", name="Sync now").click()
        await alice.sees("Running: full sync")
        await alice.shot("running")
        seen = await watched(alice)
        falls = sum(later < earlier for earlier, later in pairwise(seen))
        assert falls <= 1  # what was read is then written, counted anew
        assert len({*seen}) >= 3
        await expect(alice.page).to_have_title(re.compile("In sync: 2,000 titles"))
        await expect(alice.page.locator("#icon")).to_have_attribute("href", re.compile("/ok.svg"))
        await alice.page.get_by_role("link", name="just now").click()
        await alice.sees("added 2,000")
        assert rows(site.file, TITLES) == [(2000,)]


async def test_what_would_come_is_shown_first(browser: Browser, tmp_path: Path) -> None:
    """A preview writes nothing, and a sync can begin from it."""
    async with a_site(browser, tmp_path, world()) as site:
        alice = await site.visit()
        await alice.log_in()
        await alice.shot("never-synced")
        await alice.page.get_by_role("button", name="Preview").click()
        await alice.sees("Metropolis")
        await alice.shot("preview")
        assert rows(site.file, TITLES) == [(0,)]
        await alice.sync()
        await alice.sees("In sync: 41 titles")


async def test_a_held_plan_is_reviewed_approved_and_undone(
    browser: Browser, tmp_path: Path
) -> None:
    """Nothing goes until somebody has seen in numbers what; and what went comes back."""
    async with a_site(browser, tmp_path, world(), removal=EASY) as site:
        alice = await site.visit(color_scheme="dark")
        await alice.log_in()
        await alice.sync()
        site.world.library_offline("Movies")
        await alice.sync()
        await alice.sees("31 removals on hold; nothing was removed")
        await alice.shot("held-dark")
        await alice.page.get_by_role("link", name="Review").click()
        await alice.sees("31 films in /media/movies are missing. Radarr cannot reach that folder")
        await alice.page.get_by_role("link", name="Remove 31…").click()
        await alice.sees("31 titles will be removed")
        await alice.shot("approve-dark")
        assert rows(site.file, TITLES) == [(40,)]
        await alice.page.get_by_role("button", name="Remove 31 titles").click()
        await alice.sees("31 removed, 9 unchanged, 1 left out,")
        assert rows(site.file, TITLES) == [(9,)]
        await alice.go()
        await alice.sees("In sync: 10 titles")
        await alice.go("/status/runs/3")
        await alice.page.get_by_role("link", name="Undo this run").click()
        await alice.sees("31 removed titles will be restored")
        await alice.page.get_by_role("button", name="Undo run 3").click()
        await alice.sees("31 titles of 31 undone")
        assert rows(site.file, TITLES) == [(40,)]
        await alice.page.go_back()
        await alice.page.reload()
        await alice.sees("There is nothing to undo")
        alice.forgive("409")


async def test_a_lost_stream_is_said_and_made_up_for(browser: Browser, tmp_path: Path) -> None:
    """The page asks every ten seconds instead, and listens again as soon as it can."""
    async with a_site(browser, tmp_path, named("A", "B")) as site:
        alice = await site.visit()
        await alice.page.clock.install()
        cut = True

        async def maybe(route: Route) -> None:
            await (route.abort() if cut else route.continue_())

        await alice.page.route("**/admin/sync/events", maybe)
        await alice.log_in()
        await alice.sees("Live updates are paused")
        await alice.shot("lost")
        other = await site.visit()
        await other.log_in()
        await other.sync()
        await expect(alice.page.get_by_role("heading", name="Never synced")).to_be_visible()
        await alice.page.clock.fast_forward(10_500)
        await alice.sees("In sync: 2 titles")
        cut = False
        await alice.page.clock.fast_forward(10_500)
        await expect(alice.page.get_by_text("Live updates are paused")).to_be_hidden()
        site.world.add_movie(Movie.named("C", 1999, {"Tmdb": "77"}))
        await other.sync()
        await alice.sees("In sync: 3 titles")
        alice.forgive("ERR_FAILED")


async def test_all_of_it_works_without_a_script(browser: Browser, tmp_path: Path) -> None:
    """Log in, preview, sync, cancel, read; waiting pages go on by themselves."""
    async with a_site(browser, tmp_path, named("A", "B"), removal=EASY) as site:
        alice = await site.visit(java_script_enabled=False)
        await alice.log_in()
        slowly(site, 2.2)
        await alice.page.get_by_role("button", name="Preview").click()
        await alice.sees("refreshes by itself")
        await alice.sees("What a sync would do")
        await alice.page.get_by_role("button", name="Sync now").click()
        await alice.sees("Running: full sync")
        await alice.page.get_by_role("button", name="Cancel").click()
        await alice.sees("Cancelling run")
        site.services.mend("jellyfin")
        await alice.page.get_by_role("button", name="Sync now").click()
        await alice.sees("Run 2 is starting")
        while not await alice.page.get_by_text("In sync: 2 titles").count():
            await alice.go()
        await alice.page.get_by_role("link", name="All runs").click()
        await expect(alice.page.locator("main .rows > li")).to_have_count(2)
        await alice.page.get_by_role("button", name="Log out").click()
        await expect(alice.page).to_have_url(re.compile("/login"))


async def test_by_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    """Skip link, login, sync, and the strip with its arrows."""
    async with a_site(browser, tmp_path, named("A", "B")) as site:
        alice = await site.visit()
        page, press = alice.page, alice.page.keyboard.press
        await alice.go("/login")
        await press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await press("Enter")
        for text in ("admin", "admin-password"):
            await press("Tab")
            await page.keyboard.type(text)
        await press("Enter")
        await alice.sees("Never synced")
        for number in (1, 2, 3):
            await press("r")
            await expect(page.get_by_role("button", name="Sync now")).to_be_focused()
            await press("Enter")
            await expect(page.locator(".strip a")).to_have_count(number)
            await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        inside = page.locator('.strip a[tabindex="0"]')
        await expect(inside).to_have_count(1)
        await inside.focus()
        await press("ArrowLeft")
        await press("Enter")
        await alice.sees("Run 2")


async def test_keys_can_be_looked_up_and_switched_off(browser: Browser, tmp_path: Path) -> None:
    """A single letter may be in the way of whoever speaks to their browser."""
    async with a_site(browser, tmp_path, named("A")) as site:
        alice = await site.visit()
        page, press = alice.page, alice.page.keyboard.press
        await alice.log_in()
        await alice.go("/status/titles")
        await press("/")
        await page.keyboard.type("B?")
        await press("Enter")
        await expect(page).to_have_url(re.compile("q=B%3F"))
        await press("g")
        await press("r")
        await expect(page).to_have_url(re.compile("/status/runs$"))
        await alice.go()
        for letter, name in (("r", "Sync now"), ("d", "Preview")):
            await press(letter)
            await expect(page.get_by_role("button", name=name)).to_be_focused()
        await press("?")
        await press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await alice.go("/status/titles")
        await press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        await alice.shot("keys")
        await page.get_by_role("button", name="Switch keys off").press("Enter")
        await press("/")
        await expect(page.get_by_role("searchbox")).not_to_be_focused()


async def test_the_address_for_senders_is_copied(browser: Browser, tmp_path: Path) -> None:
    """By a button that is there only where a script can do it."""
    async with a_site(browser, tmp_path, named("A"), webhook={"secret": "a-secret"}) as site:
        alice = await site.visit(permissions=["clipboard-read", "clipboard-write"])
        await alice.log_in()
        await alice.page.get_by_text("None received yet").click()
        await alice.page.get_by_role("button", name="Copy").first.click()
        await alice.sees("Copied")
        copied = await alice.page.evaluate("navigator.clipboard.readText()")
        assert re.fullmatch("http://127.0.0.1:[0-9]+/hooks/jellyfin", copied)
        bare = await site.visit(java_script_enabled=False)
        await bare.log_in()
        await bare.page.get_by_text("None received yet").click()
        await expect(bare.page.locator("code.copy").first).to_be_visible()
        await expect(bare.page.get_by_role("button", name="Copy")).to_have_count(0)


async def test_titles_that_would_break_a_page(browser: Browser, tmp_path: Path) -> None:
    """Scripts, quotes, right to left, five hundred letters: text, that fits a phone."""
    async with a_site(
        browser, tmp_path, named(*HOSTILE), removal={**EASY, "limit_titles": 0}
    ) as site:
        elsewhere = replace(Movie.named("Elsewhere", 1999, {"Tmdb": "77"}), library="TV")
        site.world.add_movie(elsewhere)
        alice = await site.visit(viewport=SMALL, has_touch=True)
        await alice.log_in()
        await alice.sync()
        site.world.library_offline("Movies")
        await alice.sync()
        await alice.sees("5 removals on hold")
        paths = ["/status", "/status/runs/1", "/status/runs/2", "/status/attention"]
        paths += [f"/status/titles/{number}" for number in range(1, 6)]
        for path in (*paths, "/status/titles?q=t", "/status/audit", "/status/runs"):
            await alice.go(path)
            assert await is_whole(alice.page), path
            assert await alice.page.evaluate("window.taken") is None
        await alice.go("/status/runs/1")
        await alice.shot("hostile-phone")
        texts = [await one.text_content() for one in await alice.page.locator("bdi.title").all()]
        assert {*texts} == {*HOSTILE, "Elsewhere"}


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")])
async def test_a_title_is_rechecked_and_what_needs_attention_ignored(
    browser: Browser, tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    """By buttons that can be hit; the page fits the screen with all that is known of a title."""
    async with a_site(browser, tmp_path, world()) as site:
        alice = await site.visit(viewport=size, color_scheme=scheme)
        await alice.log_in()
        await alice.sync()
        await alice.go("/status/attention")
        await alice.shot(f"attention-{size['width']}")
        for button in await alice.page.get_by_role("button").all():
            box = await button.bounding_box()
            assert box is None or min(box["width"], box["height"]) >= 44
        await alice.page.get_by_role("button", name="Ignore").first.click()
        await alice.sees("until its reason changes")
        assert await is_whole(alice.page)
        [(show,)] = rows(site.file, "SELECT MIN(id) FROM requests WHERE media_type = 'TV'")
        await alice.go(f"/status/titles/{show}")
        await alice.page.get_by_role("button", name="Recheck now").click()
        await alice.sees("1 already right")
        assert await alice.page.locator("img.poster").evaluate("one => one.naturalWidth > 0")
        assert await is_whole(alice.page)
        await alice.shot(f"title-{size['width']}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_phones_and_desktops_in_light_and_dark(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    """One column on a phone, two on a desktop; the system says which colours; all can be hit."""
    async with a_site(browser, tmp_path, world(), webhook={"secret": "a-secret"}) as site:
        for size, columns in ((DESKTOP, 2), (PHONE, 1)):
            alice = await site.visit(viewport=size, color_scheme=scheme)
            await alice.log_in()
            await alice.sync()
            await alice.sees("In sync: 41 titles")
            boxes = [await one.bounding_box() for one in await alice.page.locator(".column").all()]
            assert len({box["x"] for box in boxes if box}) == columns
            assert await is_whole(alice.page)
            shade = await alice.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", shade))) < 200) == (scheme == "dark")
            for button in await alice.page.get_by_role("button").all():
                box = await button.bounding_box()
                assert box is None or min(box["width"], box["height"]) >= 44
            await alice.shot(f"in-sync-{size['width']}-{scheme}")


async def test_twenty_thousand_runs_in_the_history(browser: Browser, tmp_path: Path) -> None:
    """The strip has the last forty, and the list goes on in pages."""
    async with a_site(browser, tmp_path, named("A")) as site:
        alice = await site.visit()
        await alice.log_in()
        await alice.sync()
        now = datetime.now(UTC)
        outcomes = ["ok"] * 17 + ["partial", "failed", "held"]
        with closing(sqlite3.connect(site.file)) as connection, connection:
            connection.executemany(
                "INSERT INTO sync_runs (trigger, kind, actor, started_at, ended_at, outcome)"
                " VALUES ('webhook', 'hinted', 'x', ?1, ?1, ?2)",
                [
                    ((now - timedelta(minutes=20_000 - at)).isoformat(), outcomes[at % 20])
                    for at in range(20_000)
                ],
            )
        await alice.go()
        await expect(alice.page.locator(".strip a")).to_have_count(40)
        await alice.sees("In sync: 1 title")
        await alice.shot("many-runs")
        await alice.page.get_by_role("link", name="All runs").click()
        await alice.page.get_by_label("Result").select_option("failed")
        await alice.page.get_by_role("button", name="Show").click()
        await alice.page.get_by_role("link", name="Show more").click()
        await expect(alice.page.locator("main .rows > li")).to_have_count(30)


async def test_quick_connect_goes_on_by_itself(browser: Browser, tmp_path: Path) -> None:
    """The code stands on the page; once it is allowed elsewhere, the status comes."""
    code = {"Authenticated": False, "Secret": "5EC2E7", "Code": "457137"}
    user = {"Id": "a11ce", "Name": "alice", "Policy": {"IsAdministrator": True}}
    async with a_site(browser, tmp_path, named("A")) as site:
        alice = await site.visit()
        body = json.dumps(code).encode()
        site.services.fault("jellyfin", Fault("/QuickConnect", body=body, times=None))
        await alice.go()
        await alice.page.get_by_role("button", name="Use Quick Connect").click()
        await alice.sees("457137")
        await alice.shot("quick-connect")
        allowed = json.dumps({**code, "Authenticated": True}).encode()
        site.services.mend("jellyfin")
        login = json.dumps({"AccessToken": "t", "User": user}).encode()
        for path, body in (("/QuickConnect/Connect", allowed), ("/Users/Authenticate", login)):
            site.services.fault("jellyfin", Fault(path, body=body, times=None))
        await expect(alice.page).to_have_url(re.compile("/status"))
        await alice.sees("Never synced")


async def test_a_link_of_another_site_finds_whoever_is_logged_in(
    browser: Browser, tmp_path: Path
) -> None:
    """Though the browser leaves the strict cookie out of the first request."""
    async with a_site(browser, tmp_path, named("A")) as site:
        alice = await site.visit()
        await alice.log_in()
        link = f'<a href="{site.url}/status/runs">the runs</a>'
        page = f"<!doctype html><title>x</title><link rel=icon href=data:,>{link}"
        await alice.page.route(
            "http://dashboard.test/",
            lambda route: route.fulfill(body=page, content_type="text/html"),
        )
        await alice.page.goto("http://dashboard.test/")
        await alice.page.get_by_role("link", name="the runs").click()
        await alice.sees("No run yet")


async def test_two_clicks_are_one_run(browser: Browser, tmp_path: Path) -> None:
    """With a script, and without one."""
    async with a_site(browser, tmp_path, named("A")) as site:
        for scripts in (True, False):
            alice = await site.visit(java_script_enabled=scripts)
            await alice.log_in()
            await alice.page.get_by_role("button", name="Sync now").dblclick()
            await alice.page.wait_for_load_state()
            await asyncio.sleep(0.3)
        assert rows(site.file, "SELECT COUNT(*) FROM sync_runs") == [(2,)]


async def test_a_login_that_ends_leads_to_the_login(browser: Browser, tmp_path: Path) -> None:
    """Also on a page that was left open."""
    async with a_site(browser, tmp_path, named("A")) as site:
        bob = await site.visit()
        await bob.page.clock.install()
        await bob.log_in(VIEWER)
        await bob.sees("Never synced")
        await bob.context.clear_cookies()
        await bob.page.clock.fast_forward(10_500)
        await expect(bob.page).to_have_url(re.compile("/login"))


async def test_a_plain_user_sees_it_move_too(browser: Browser, tmp_path: Path) -> None:
    """Without the event stream, which is for administrators: every ten seconds."""
    async with a_site(browser, tmp_path, named("A")) as site:
        alice, bob = await site.visit(), await site.visit()
        await bob.page.clock.install()
        await bob.log_in(VIEWER)
        await bob.sees("Never synced")
        await alice.log_in()
        await alice.sync()
        await bob.page.clock.fast_forward(10_500)
        await bob.sees("In sync: 1 title")
        await bob.shot("plain-user")


class Examiner:
    """Lets axe look at pages, and keeps what it finds."""

    def __init__(self, rules: list[str]) -> None:
        if find_spec("axe_playwright_python") is None:
            missing("axe_playwright_python")
        script = files("axe_playwright_python").joinpath("axe.min.js")
        self._script = script.read_text("utf-8")
        self._ask = f"axe.run({{runOnly: {rules}}})"
        self.found: list[str] = []

    async def look(self, page: Page) -> None:
        """Look at a page as it is now."""
        await page.evaluate(self._script)
        for one in (await page.evaluate(self._ask))["violations"]:
            nodes = [node["html"][:120] for node in one["nodes"][:3]]
            self.found.append(f"{page.url}: {one['id']}: {one['help']} {nodes}")


@pytest.mark.parametrize(
    ("scheme", "size", "paths", "rules"),
    [
        (
            "light",
            DESKTOP,
            PAGES,
            ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        ),
        ("dark", PHONE, MAIN, ["color-contrast", "target-size"]),
    ],
)
async def test_axe_finds_nothing(
    browser: Browser,
    tmp_path: Path,
    scheme: str,
    size: dict[str, int],
    paths: tuple[str, ...],
    rules: list[str],
) -> None:
    """On every page, in every main state: contrast, names, order, targets."""
    examiner = Examiner(rules)
    async with a_site(
        browser, tmp_path, world(), removal=EASY, webhook={"secret": "a-secret"}
    ) as site:
        alice = await site.visit(color_scheme=scheme, viewport=size)
        await alice.go("/login")
        await examiner.look(alice.page)
        await alice.log_in()
        await examiner.look(alice.page)
        await alice.sync()
        site.world.library_offline("Movies")
        site.services.fault("sonarr", Fault(drop=True, times=None))
        await alice.sync()
        for path in paths:
            await alice.go(path)
            await examiner.look(alice.page)
        await alice.go("/status/titles/1")
        await alice.page.get_by_role("button", name="Recheck now").click()
        await alice.sees("What run 3 found")
        await examiner.look(alice.page)
        slowly(site, 5)
        await alice.go()
        await alice.page.get_by_role("button", name="Sync now").click()
        await alice.page.get_by_role("progressbar").wait_for()
        await examiner.look(alice.page)
        alice.forgive("404")
    assert examiner.found == []
