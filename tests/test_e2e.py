"""The whole daemon from outside: a real process, real webhooks, and services that come and go."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web

from tests.builders import change, jellyfin_id, rows
from tests.pretend import Fault, PretendServices, World, jellyfin
from tests.pretend.library import Episode, Movie, RadarrMovie, Series, SonarrSeries
from tests.pretend.wire import template
from tests.running import METROPOLIS, SHOW, a_world, until
from tests.test_daemon import RUNS, Place, Running

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
SECRET = "a-hook-5ecret"
TOKEN = "an-admin-t0ken"
AS_SENDER = {"X-Library-Sync-Secret": SECRET, "Content-Type": "text/plain; charset=utf-8"}
AS_ADMIN = {"Authorization": f"Bearer {TOKEN}"}
KEY = "0123456789abcdef0123456789abcdef"
QUIET = 0.1
NEVER = 3600
FIRST, HINTED = ("start", "ok"), ("webhook", "ok")
Row = tuple[Any, ...]

RECORDED = Path(__file__).parent / "recorded" / "hooks"
HOOKS: dict[str, dict[str, Any]] = {
    name: json.loads((RECORDED / f"{name}.json").read_text())
    for name in ("jellyfin", "radarr", "sonarr")
}
THEIRS, OURS = "857bc384b3564c9f95d6fb4ed4ef43a8", template("jellyfin_info")["Id"]

MATRIX = ("MOVIE", "The Matrix", 603, None, "tt0133093", 7)
QUOTES = ("MOVIE", 'Say "Hi" & <b>go</b> \\ back', 888102, None, None, None)
HOOK_SHOW = ("TV", "Hook Show", 888104, 888103, None, None)
THRONES = ("TV", "Game of Thrones", 1399, 121361, "tt0944947", 7)
IDENTITIES = {
    MATRIX: "899669bd28fec2d0632c45030a62991d",
    QUOTES: "f192046dd2040d751a09bd1114136d55",
    HOOK_SHOW: "8700a75f2670bbf271f4f002ab13f3b1",
    THRONES: "91e7018c41ef64946748fc7c3cb0f54f",
}
"""The rows that the recorded webhooks of Jellyfin are about, by the ids that they name."""

COLUMNS = "media_type, title, tmdb_id, tvdb_id, imdb_id, COALESCE(radarr_id, sonarr_id)"
BODIES_OF_ONES_OWN = [name for name in HOOKS["jellyfin"] if "_template_" in name]
NOT_OF_THE_LIBRARY = [
    name
    for name in HOOKS["jellyfin"]
    if any(f"_json_{kind}" in name for kind in ("session", "auth", "user", "playback"))
]

EMPTY = ("TV", "Last Episode Gone", None, None, None, None)
EMPTY_ID = "7e621f9328afab83ab976d548cccd4f8"

ROWS_OF: dict[str, tuple[int, set[Row]]] = {
    "01_all_json_itemadded_episode": (202, {HOOK_SHOW}),
    "02_all_json_itemadded_movie_with_quotes": (202, {QUOTES}),
    "03_all_json_itemadded_series": (202, {HOOK_SHOW}),
    "19_all_json_itemdeleted_season": (202, {THRONES}),
    "20_all_json_itemadded_movie": (202, {MATRIX}),
    "21_all_json_itemdeleted_movie": (202, {MATRIX}),
    "22_all_json_itemdeleted_series": (202, {THRONES}),
    "23_all_json_itemadded_season": (202, {THRONES}),
    "35_all_default_type_itemadded_movie_with_quotes": (202, {QUOTES}),
    "36_all_default_type_itemadded_movie": (202, {MATRIX}),
    "04_all_json_itemdeleted_episode": (202, set()),  # the last one, so the series is empty now
    **dict.fromkeys(NOT_OF_THE_LIBRARY, (204, set())),
    **dict.fromkeys(BODIES_OF_ONES_OWN, (400, set())),
}
"""By recorded webhook: what is answered, and the rows that come of it on an empty tracker. What
was deleted is still in this library: a webhook is a reason to look, and the library has the say."""

IN_4K = Movie.named("Faust", 1926, {"Tmdb": "10728"})
"""A film that only `radarr_4k` has, under a number of another film's in the primary Radarr."""

COMING = {"Download", "Rename"}
IMPORTED = {
    "11_Download": ("MOVIE", "Parasite", 496243, None, "tt6751668", 10),
    "13_Download_upgrade": ("MOVIE", "The Dark Knight", 155, None, "tt0468569", 24),
    "14_Rename": ("MOVIE", "Schindler's List", 424, None, "tt0108052", 9),
    "20_Download": ("TV", "The Last of Us", 100088, 392256, "tt3581920", 2),
    "21_Download_importComplete": ("TV", "The Last of Us", 100088, 392256, "tt3581920", 2),
    "23_Download_upgrade": ("TV", "The Last of Us", 100088, 392256, "tt3581920", 2),
    "24_Download_importComplete": ("TV", "The Last of Us", 100088, 392256, "tt3581920", 2),
    "25_Rename": ("TV", "Severance", 95396, 371980, "tt11280740", 5),
}
"""By recorded webhook of Radarr and Sonarr: the row that comes of it. All others bring none."""


def put(world: World, row: Row, identity: str = "") -> None:
    """Let a title arrive in Jellyfin that becomes such a row; Radarr or Sonarr may have it, too."""
    know(world, row)
    match a_title(row, identity):
        case Movie() as movie:
            world.add_movie(movie)
        case Series() as series:
            world.add_series(series)


def know(world: World, row: Row) -> None:
    """Let Radarr or Sonarr have a title, if it shall; that comes before any import of it."""
    title, number = a_title(row), row[5]
    if number and isinstance(title, Movie):
        world.radarr[number] = RadarrMovie(number, title)
    elif number and isinstance(title, Series):
        world.sonarr[number] = SonarrSeries(number, title)


def a_title(row: Row, identity: str = "") -> Movie | Series:
    """The film, or the series of one episode, that becomes such a row."""
    named = zip(("Tmdb", "Tvdb", "Imdb"), row[2:5], strict=True)
    ids = {name: str(value) for name, value in named if value}
    title: Movie | Series
    if row[0] == "MOVIE":
        title = Movie.named(row[1], 1999, ids)
    else:
        title = Series.named(row[1], 2004, ids)
        title.episodes.append(Episode(1, 1))
    return replace(title, jellyfin_id=identity or title.jellyfin_id)


@asynccontextmanager
async def a_jellyfin(world: World, port: int) -> AsyncIterator[None]:
    """A Jellyfin on a port of its own."""
    runner = web.AppRunner(jellyfin.application(world, api_key=KEY), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def kill(house: House) -> None:
    """Kill the daemon, which can do nothing about it."""
    assert house.daemon is not None
    assert (await house.daemon.end(signal.SIGKILL))[0] == -signal.SIGKILL


@dataclass
class House:
    """A place with a daemon in it, which is driven over HTTP."""

    place: Place
    session: ClientSession
    daemon: Running | None = None
    url: str = ""

    @property
    def world(self) -> World:
        """What the services answer from."""
        return self.place.services.world

    async def start(self) -> None:
        """Start a daemon, and wait until it serves."""
        self.daemon = daemon = await (await self.place.started()).ready()
        await until(lambda: daemon.logged("daemon.ready"))
        self.url = daemon.logged("daemon.ready")[0]["url"]

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the daemon has logged."""
        assert self.daemon is not None
        return self.daemon.log

    async def send(self, path: str, body: str | bytes) -> int:
        """Send a webhook; gives the status of the answer."""
        async with self.session.post(self.url + path, data=body, headers=AS_SENDER) as reply:
            return reply.status

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Ask as an administrator, and give the document of the answer."""
        headers = more.pop("headers", AS_ADMIN)
        async with self.session.request(method, self.url + path, headers=headers, **more) as reply:
            document = await reply.json(content_type=None)
            assert reply.status == status, document
            return document

    def rows(self) -> set[Row]:
        """What is tracked."""
        return {*rows(self.place.database, f"SELECT {COLUMNS} FROM requests")}

    def runs(self) -> list[tuple[str, str]]:
        """The runs, by trigger and outcome."""
        return rows(self.place.database, RUNS)

    async def ran(self, *runs: tuple[str, str]) -> None:
        """Wait until so many runs have ended; they must be these."""
        ended = "SELECT count(*) FROM sync_runs WHERE outcome != 'running'"
        await until(lambda: rows(self.place.database, ended) >= [(len(runs),)])
        assert self.runs() == [*runs]

    def forget(self) -> None:
        """Empty the tracker, as somebody may do by hand."""
        for table in ("timeline_events", "requests"):
            change(self.place.database, f"DELETE FROM {table}")


@asynccontextmanager
async def a_house(folder: Path, world: World, **sections: Any) -> AsyncIterator[House]:
    """A place with such a world, and a daemon that has just started."""
    standard = {
        "sync": {"quick": 0},
        "webhook": {"secret": SECRET, "quiet": QUIET},
        "http": {"port": 0, "admin_token": TOKEN},
    }
    async with (
        PretendServices(world) as services,
        AsyncExitStack() as stack,
        ClientSession() as session,
    ):
        place = Place(folder, services, stack)
        place.configure(**{**standard, **sections})
        house = House(place, session)
        await house.start()
        yield house


@dataclass
class Importing:
    """A house whose daemon was sent all of Radarr's and Sonarr's webhooks, and what it answered."""

    house: House
    statuses: dict[str, int]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def importing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Importing]:
    """It looks for what was imported only half a minute later; the other tests go on meanwhile."""
    folder, world = tmp_path_factory.mktemp("importing"), a_world()
    for row in {*IMPORTED.values()}:
        know(world, row)
    world.further["radarr_4k"] = {}
    world.radarr_knows(IN_4K, number=5, instance="radarr_4k")
    async with a_house(folder, world) as house:
        await house.ran(FIRST)
        hook = dict(HOOKS["radarr"]["11_Download"])
        hook["movie"] = {**hook["movie"], "tmdbId": 10728, "imdbId": "", "id": 5}
        assert await house.send("/hooks/radarr/4k", json.dumps(hook)) == 202
        assert await house.send("/hooks/radarr/uhd", json.dumps(hook)) == 404
        statuses = {
            f"{service}/{name}": await house.send(f"/hooks/{service}", json.dumps(hook))
            for service in ("radarr", "sonarr")
            for name, hook in HOOKS[service].items()
        }
        for row in {*IMPORTED.values()}:
            put(house.world, row)
        house.world.add_movie(IN_4K)
        yield Importing(house, statuses)


def test_the_tables_are_whole() -> None:
    """No recorded webhook is left out."""
    assert ROWS_OF.keys() == HOOKS["jellyfin"].keys()
    hooks = (*HOOKS["radarr"].items(), *HOOKS["sonarr"].items())
    assert IMPORTED.keys() == {name for name, hook in hooks if hook["eventType"] in COMING}


@ONE_LOOP
async def test_what_radarr_and_sonarr_send_is_answered(importing: Importing) -> None:
    """An import is taken; a test and whatever brings nothing are answered well, too."""
    expected = {
        f"{service}/{name}": 202 if hook["eventType"] in COMING else 200
        for service in ("radarr", "sonarr")
        for name, hook in HOOKS[service].items()
    }
    assert importing.statuses == expected


@ONE_LOOP
async def test_every_webhook_of_jellyfin_brings_its_rows(tmp_path: Path) -> None:
    """Each on its own, with the tracker empty before it, and the very text that was sent."""
    world = World()
    for row, identity in (*IDENTITIES.items(), (EMPTY, EMPTY_ID)):
        put(world, row, identity)
    world.series[EMPTY_ID].episodes.clear()
    async with a_house(tmp_path, world) as house:
        await house.ran(FIRST)
        assert house.rows() == {MATRIX, QUOTES, HOOK_SHOW, THRONES}
        runs, seen = [FIRST], {}
        for name in ROWS_OF:
            house.forget()
            body = HOOKS["jellyfin"][name]["body"].replace(THEIRS, OURS)
            status = await house.send("/hooks/jellyfin", body)
            runs += [HINTED] * (status == 202)
            await house.ran(*runs)
            seen[name] = (status, house.rows())
        assert seen == ROWS_OF
        theirs = HOOKS["jellyfin"]["20_all_json_itemadded_movie"]["body"]
        assert [await house.send("/hooks/jellyfin", theirs) for _ in range(2)] == [202, 202]
        assert (await house.ask("GET", "/admin/hooks"))["foreign"] == 2
        assert [line["event"] for line in house.log].count("webhook.wrong_server") == 1
        await asyncio.sleep(3 * QUIET)
        assert house.runs() == runs


@ONE_LOOP
async def test_a_kill_between_the_answer_and_the_row(tmp_path: Path) -> None:
    """The hint is lost with the process, and what it meant is found at the next start."""
    async with a_house(tmp_path, a_world(), webhook={"secret": SECRET, "quiet": NEVER}) as house:
        await house.ran(FIRST)
        put(house.world, MATRIX, IDENTITIES[MATRIX])
        body = HOOKS["jellyfin"]["20_all_json_itemadded_movie"]["body"].replace(THEIRS, OURS)
        assert await house.send("/hooks/jellyfin", body) == 202
        await kill(house)
        assert MATRIX not in house.rows()
        await house.start()
        await house.ran(FIRST, FIRST)
        assert MATRIX in house.rows()


@ONE_LOOP
async def test_a_season_pack_is_one_run_and_one_row(tmp_path: Path) -> None:
    """Twenty-four episodes arrive one after the other, each with a webhook of its own."""
    hook = json.loads(HOOKS["jellyfin"]["01_all_json_itemadded_episode"]["body"])
    async with a_house(tmp_path, a_world(), webhook={"secret": SECRET, "quiet": 1}) as house:
        await house.ran(FIRST)
        put(house.world, HOOK_SHOW, IDENTITIES[HOOK_SHOW])
        for number in range(24):
            hook |= {"ItemId": jellyfin_id(number), "EpisodeNumber": 1 + number, "ServerId": OURS}
            assert await house.send("/hooks/jellyfin", json.dumps(hook)) == 202
        await house.ran(FIRST, HINTED)
        await asyncio.sleep(1)
        assert house.runs() == [FIRST, HINTED]
        titles = rows(house.place.database, "SELECT title FROM requests WHERE media_type = 'TV'")
        assert sorted(titles) == [("Hook Show",), (SHOW.title,)]


@ONE_LOOP
async def test_a_webhook_in_a_pause_is_answered_after_it(tmp_path: Path) -> None:
    """A machine that slept takes up what waited at its door."""
    async with a_house(tmp_path, a_world()) as house:
        await house.ran(FIRST)
        assert house.daemon is not None
        put(house.world, MATRIX, IDENTITIES[MATRIX])
        house.daemon.process.send_signal(signal.SIGSTOP)
        body = HOOKS["jellyfin"]["20_all_json_itemadded_movie"]["body"].replace(THEIRS, OURS)
        answer = asyncio.create_task(house.send("/hooks/jellyfin", body))
        await asyncio.sleep(1)
        assert not answer.done()
        house.daemon.process.send_signal(signal.SIGCONT)
        assert await answer == 202
        await house.ran(FIRST, HINTED)
        assert MATRIX in house.rows()


@ONE_LOOP
async def test_jellyfin_goes_and_comes_back_without_anybody_doing_anything(tmp_path: Path) -> None:
    """One line when it went, one when it is back; what arrived is tracked, what failed retried."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world = a_world()
    place = {"url": f"http://127.0.0.1:{port}", "api_key": KEY}
    async with AsyncExitStack() as there:
        await there.enter_async_context(a_jellyfin(world, port))
        async with a_house(tmp_path, world, jellyfin=place, sync={"quick": 1}) as house:
            await house.ran(FIRST)
            await there.aclose()
            await noticed_and_left_alone(house)
            put(world, MATRIX, IDENTITIES[MATRIX])
            async with a_jellyfin(world, port):
                await until(lambda: MATRIX in house.rows())
                await house.ran(FIRST, ("admin", "failed"), ("quick", "ok"), ("retry", "ok"))
                assert (await house.ask("GET", "/readyz"))["ready"]
            lines = [line["event"] for line in house.log if line["event"].startswith("service.")]
            assert lines == ["service.down", "service.up"]


async def noticed_and_left_alone(house: House) -> None:
    """It is noticed that Jellyfin went, and said to whoever asks, but not again in the log."""
    await until(lambda: any(line["event"] == "service.down" for line in house.log))
    refused = await house.ask("POST", "/admin/sync", 502)
    assert "check that it runs" in refused["detail"]
    assert (await house.ask("GET", "/readyz", 503))["reasons"][0]["what"] == "jellyfin"


@ONE_LOOP
async def test_what_an_administrator_does_with_curl(tmp_path: Path) -> None:
    """Force a run, and see what it did, why, who asked for it, and what needs somebody."""
    async with a_house(tmp_path, a_world(episodes=0)) as house:
        await house.ran(FIRST)
        await house.ask("POST", "/admin/sync", 401, headers={})
        put(house.world, MATRIX, IDENTITIES[MATRIX])
        plan = await house.ask("POST", "/admin/sync", json={"dry_run": True})
        assert [entry["title"] for entry in plan["plan"]] == [MATRIX[1]]
        assert MATRIX not in house.rows()
        result = await house.ask("POST", "/admin/sync")
        told = ("total_scanned", "added", "skipped", "errors", "error_details", "outcome")
        assert [result[name] for name in told] == [3, 1, 2, 0, [], "ok"]
        assert MATRIX in house.rows()
        history = await house.ask("GET", "/admin/runs")
        assert [run["trigger"] for run in history["runs"]] == ["admin", "start"]
        run = await house.ask("GET", f"/admin/runs/{result['run_id']}")
        [added] = [one for one in run["decisions"] if one["kind"] == "add"]
        assert (added["title"], added["jellyfin_id"]) == (MATRIX[1], IDENTITIES[MATRIX])
        asked = await house.ask("GET", "/admin/audit?action=sync.asked")
        [event] = asked["events"]
        assert (event["actor_name"], event["run_id"]) == ("admin token", result["run_id"])
        assert event["after"] == {"address": "127.0.0.1"}
        found = (await house.ask("GET", "/admin/attention"))["findings"]
        assert [(one["kind"], one["title"]) for one in found] == [("nothing_to_play", SHOW.title)]
        title = await house.ask("GET", f"/admin/titles/{added['request_id']}")
        assert title["tracked"]["title"] == MATRIX[1]
        assert title["because"]


@ONE_LOOP
async def test_an_import_is_tracked_once_jellyfin_has_it(importing: Importing) -> None:
    """Half a minute after the webhook Jellyfin is looked at, and all that came is there."""
    house = importing.house
    await until(lambda: {*IMPORTED.values()} <= house.rows())
    await house.ran(FIRST, ("quick", "ok"))
    known = {(METROPOLIS.title,), (SHOW.title,), (IN_4K.title,)}
    titles = rows(house.place.database, "SELECT title FROM requests")
    assert sorted(titles) == sorted([*known, *{(row[1],) for row in IMPORTED.values()}])


@ONE_LOOP
async def test_an_import_of_a_further_radarr_is_tracked_under_no_number_of_the_primary(
    importing: Importing,
) -> None:
    """Its own number is kept beside the row; the log and the metrics know it by its name."""
    house = importing.house
    await until(lambda: (IN_4K.title,) in rows(house.place.database, _TITLES))
    [found] = json.loads((await house.place.ended("explain", "Faust", "--json"))[1])
    assert found["tracked"]["radarr_id"] is None
    url = f"{house.place.services.radarr_4k_url}/movie/10728"  # type: ignore[attr-defined]
    assert found["instances"] == [{"name": "Radarr 4k", "number": 5, "url": url}]
    assert "Radarr 4k has it as number 5." in found["because"]
    done = [line for line in house.log if line["event"] == "run.done"]
    assert [line["radarr_4k_calls"] for line in done] == [line["radarr_calls"] for line in done]
    async with house.session.get(f"{house.url}/metrics") as reply:
        assert 'library_sync_service_up{service="Radarr 4k"} 1.0' in await reply.text()


_TITLES = "SELECT title FROM requests"


@ONE_LOOP
async def test_what_is_wrong_with_an_instance_is_told_by_its_name(tmp_path: Path) -> None:
    """By `check`, by the run that meets it, and once in the log; the others are whole."""
    world = a_world()
    world.further = {"radarr_4k": {}, "sonarr_anime": {}}
    async with a_house(tmp_path, world) as house:
        await house.ran(FIRST)
        house.place.services.fault("radarr_4k", Fault("/api", times=None, status=401))
        code, output, _ = await house.place.ended("check", "--json")
        findings = {one["thing"]: one["good"] for one in json.loads(output)}
        names = ("Jellyfin", "Radarr", "Sonarr", "Radarr 4k", "Sonarr anime", "clock", "file")
        assert (code, findings) == (1, {name: name != "Radarr 4k" for name in names})
        results = [await house.ask("POST", "/admin/sync") for _ in range(2)]
        gaps = [(gap["service"], gap["kind"]) for result in results for gap in result["gaps"]]
        assert gaps == [("Radarr 4k", "refused_key")] * 2
        assert set(results[1]["versions"]) == {"Jellyfin", "Radarr", "Sonarr", "Sonarr anime"}
        down = [line["source"] for line in house.log if line["event"] == "service.down"]
        assert down == ["Radarr 4k"]
