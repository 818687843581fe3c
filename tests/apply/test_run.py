"""One run, from real services over HTTP to the tracker's file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon import __version__
from daemon.apply.run import Options, SyncService
from daemon.domain import Trigger
from daemon.opening import open_services
from daemon.report.progress import Phase, Progress
from daemon.settings import Settings
from daemon.store import open_store
from tests.builders import ACTOR, POLICY, QUICK, a_sync, change, configured, rows, synced
from tests.pretend import Fault, PretendServices, World
from tests.pretend.catalogue import world as catalogue
from tests.pretend.library import ABSENT, Episode, Movie, Series

RECORDED = Path(__file__).parents[1] / "recorded"
LISTING = "IncludeItemTypes=Movie,Series"
GOOD = {"Id": "a" * 32, "Type": "Movie", "Name": "Good", "ProviderIds": {"Tmdb": "5"}}
BAD = {**GOOD, "Id": "b" * 32, "Name": "Bad", "ProviderIds": {"Tmdb": "6"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is; it is not there yet."""
    return tmp_path / "tracker.db"


@pytest.fixture
def world() -> World:
    """A few films and series."""
    return catalogue()


@pytest.fixture
async def services(world: World) -> AsyncIterator[PretendServices]:
    """The three services with it."""
    async with PretendServices(world) as running:
        yield running


def film(number: int, **ids: str) -> Movie:
    """One of many films."""
    return Movie.named(f"Film {number}", 2000, ids or {"Tmdb": str(9000 + number)})


def with_films(count: int) -> World:
    """A library of so many films and nothing else."""
    made = World()
    for number in range(count):
        made.add_movie(film(number))
    return made


def body(*items: dict[str, Any], total: int | None = None) -> bytes:
    """A reply of Jellyfin."""
    listed = [{"LocationType": "FileSystem", **item} for item in items]
    total = len(items) if total is None else total
    document = {"Items": listed, "TotalRecordCount": total, "StartIndex": 0}
    return json.dumps(document, separators=(",", ":")).encode()


def snapshot(path: Path) -> list[Any]:
    """Everything that the tracker has."""
    tables = ("requests", "timeline_events", "episodes", "deletion_logs")
    return [rows(path, f"SELECT * FROM {table}") for table in tables]


async def test_the_second_run_finds_everything_right(path: Path, services: PretendServices) -> None:
    """The first run adds what can be watched, with all ids; the second writes nothing."""
    first = await synced(services, path)
    before = snapshot(path)
    second = await synced(services, path)
    assert (first["outcome"], first["added"], first["errors"]) == ("ok", 40, 0)
    assert first["skip_reasons"] == {"not_available": 1}
    assert (second["added"], second["updated"], second["skipped"]) == (0, 0, 41)
    assert second["skip_reasons"] == {"already_right": 40, "not_available": 1}
    assert snapshot(path) == before
    linked = "SELECT COUNT(*), COUNT(radarr_id), COUNT(sonarr_id), COUNT(poster_url) FROM requests"
    assert rows(path, linked) == [(40, 28, 4, 40)]


async def test_the_result_begins_with_what_the_trackers_page_shows(
    path: Path, services: PretendServices
) -> None:
    """The first five keys and their order are a contract; the number of calls is told."""
    result = await synced(services, path)
    first = ["total_scanned", "added", "skipped", "errors", "error_details"]
    assert [*result][:5] == first
    assert result["total_scanned"] == 41
    calls = {name: meter["calls"] for name, meter in result["calls"].items()}
    assert (calls["Radarr"], calls["Sonarr"]) == (3, 3)
    assert result["listed"] == {
        "Radarr": len(services.world.radarr),
        "Sonarr": len(services.world.sonarr),
    }
    assert calls["Jellyfin"] <= 1 + 8 + 1  # a page, the constant ones, one series to probe


_WAYS: dict[str, Fault] = {
    "500": Fault(status=500),
    "401": Fault(status=401),
    "503 while it starts": Fault(status=503, headers={"Retry-After": "005"}),
    "HTML": Fault(body=b"<html>", headers={"Content-Type": "text/html"}),
    "a redirect": Fault(status=302, headers={"Location": "http://127.0.0.1:1/Items"}),
    "cut": Fault(cut=300),
    "cut as if whole": Fault(cut=300, clean=True),
    "dropped": Fault(drop=True),
    "nothing": Fault(status=200),
    "null": Fault(body=b"null"),
    "a number": Fault(body=b"5"),
    "a list": Fault(body=b"[]"),
    "an object of another kind": Fault(body=b'{"message":"hello"}'),
    "items of the wrong type": Fault(body=b'{"Items":{},"TotalRecordCount":0}'),
    "no total": Fault(body=b'{"Items":[]}'),
    "not UTF-8": Fault(body=b'\xff{"Items":[],"TotalRecordCount":0}'),
    "nested deeply": Fault(body=b"[" * 100_000),
}


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("way", _WAYS)
async def test_a_failing_jellyfin_never_looks_like_success(
    path: Path, services: PretendServices, way: str, *, tracked: bool
) -> None:
    """The run is FAILED, says why, and not one row comes of it or is lost by it."""
    if tracked:
        await synced(services, path)
    before = snapshot(path) if tracked else [[], [], [], []]
    services.fault("jellyfin", replace(_WAYS[way], path="/Items?", query=LISTING, times=None))
    result = await synced(services, path)
    assert (result["outcome"], result["total_scanned"], result["errors"]) == ("failed", 0, 1)
    assert result["error_details"][0].startswith(f"Jellyfin at {services.jellyfin_url}/Items: ")
    assert snapshot(path) == before
    assert rows(path, "SELECT outcome FROM sync_runs ORDER BY id DESC LIMIT 1") == [("failed",)]


@pytest.mark.parametrize("path_", ["/System", "/ScheduledTasks", "/Library", "/Items?Recursive"])
async def test_what_is_needed_of_jellyfin_must_be_answered(
    path: Path, services: PretendServices, path_: str
) -> None:
    """Without any one of these answers nothing can be said."""
    services.fault("jellyfin", Fault(path=path_, body=b"null", times=None))
    assert (await synced(services, path))["outcome"] == "failed"
    assert snapshot(path) == [[], [], [], []]


HELPING = {
    "counts": Fault(path="/Items/Counts"),
    "first episodes": Fault(path="/Items?", query="IndexNumber=1"),
    "owner": Fault(path="/Users/Me"),
    "pictures": Fault(path="/Items?", query="Ids="),
}


@pytest.mark.parametrize("status", [401, 404, 500])
@pytest.mark.parametrize("name", HELPING)
async def test_a_helping_answer_that_fails_leaves_a_gap_and_the_rest_is_done(
    path: Path, services: PretendServices, world: World, name: str, status: int
) -> None:
    """All titles are tracked; the run is PARTIAL, says what was missing, and the next is good."""
    if name == "pictures":
        await synced(services, path)
        world.add_movie(film(1))
    services.fault("jellyfin", replace(HELPING[name], status=status, times=None))
    result = await synced(services, path)
    services.mend("jellyfin")
    assert (result["outcome"], result["added"]) == ("partial", 1 if name == "pictures" else 40)
    assert [gap["service"] for gap in result["gaps"]][:1] == ["Jellyfin"]
    assert (await synced(services, path))["outcome"] == "ok"


async def test_seasons_that_cannot_be_read_leave_doubtful_series_out(path: Path) -> None:
    """Whether there is anything to play of them is unknown; films and proven series are added."""
    made = with_films(2)
    doubtful = Series.named("Doubtful", 1990, {"Tvdb": "1"})
    doubtful.episodes.append(Episode(1, 7))
    sure = Series.named("Sure", 1990, {"Tvdb": "2"})
    sure.episodes.append(Episode(1, 1))
    for show in (doubtful, sure):
        made.add_series(show)
    async with PretendServices(made) as services:
        services.fault("jellyfin", Fault(query="IncludeItemTypes=Season", status=500, times=None))
        first = await synced(services, path)
        services.mend("jellyfin")
        second = await synced(services, path)
    assert (first["outcome"], first["added"]) == ("partial", 3)
    assert first["skip_reasons"] == {"availability_unknown": 1}
    assert (second["outcome"], second["added"]) == ("ok", 1)


FIRST_TWO = [
    {
        **GOOD,
        "Id": film(n).jellyfin_id,
        "Name": f"Film {n}",
        "ProviderIds": film(n).provider_ids,
    }
    for n in (0, 1)
]


@pytest.mark.parametrize(
    ("fault", "page_size", "added"),
    [
        (Fault(cut=2500), 20_000, 4),
        (Fault(cut=2500, clean=True), 20_000, 4),
        (Fault(query="StartIndex=2", body=body(*FIRST_TWO, total=6)), 2, 2),
        (Fault(query="StartIndex=2", body=body(GOOD, BAD, total=5)), 2, 6),
        (Fault(query="StartIndex=2", body=body(total=6)), 2, 2),
        (Fault(query="StartIndex=4", status=500), 2, 4),
        (Fault(body=body(GOOD, total=6)), 20_000, 1),
        (Fault(body=body(GOOD, {**BAD, "Type": "BoxSet"})), 20_000, 1),
    ],
    ids=[
        "cut",
        "closed",
        "repeated",
        "total moves",
        "page empty",
        "page fails",
        "short",
        "foreign",
    ],
)
async def test_a_reading_that_is_not_whole_keeps_what_is_good(
    path: Path, fault: Fault, page_size: int, added: int
) -> None:
    """Titles that were read whole are added; the run is PARTIAL, and the next one heals it."""
    async with PretendServices(with_films(6)) as services:
        query = f"{LISTING}&" if not fault.query else fault.query
        fault = replace(fault, path="/Items?", query=query.rstrip("&"), times=None)
        services.fault("jellyfin", fault)
        result = await synced(services, path, page_size=page_size)
        services.mend("jellyfin")
        healed = await synced(services, path, page_size=page_size)
    assert (result["outcome"], result["added"]) == ("partial", added)
    assert result["errors"] >= 1
    assert healed["outcome"] == "ok"
    films = "SELECT COUNT(*) FROM requests WHERE title LIKE 'Film%'"
    assert rows(path, films) == [(6,)]


async def test_a_scan_that_looks_like_a_whole_library_adds_no_half_made_row(
    path: Path,
) -> None:
    """Rows without ids under the names of their files wait, and the run after puts it right."""
    made = with_films(3)
    rough = [
        replace(film(n), jellyfin_id=f"{n:032x}", title=f"film.{n}.2160p.x265-GRP", provider_ids={})
        for n in (7, 8)
    ]
    for one in rough:
        made.add_movie(one)
    made.scanning = True
    async with PretendServices(made) as services:
        during = await synced(services, path)
        assert rows(path, "SELECT title FROM requests WHERE title LIKE 'film.%x265%'") == []
        made.scanning = False
        for one in rough:
            made.add_movie(replace(one, title="Right", provider_ids={"Tmdb": one.jellyfin_id[-1]}))
        after = await synced(services, path)
    assert (during["outcome"], during["added"]) == ("partial", 3)
    assert during["skip_reasons"] == {"still_read_by_jellyfin": 2}
    assert during["errors"] == 0
    assert (after["outcome"], after["added"]) == ("ok", 2)
    right = "SELECT title, tmdb_id FROM requests WHERE tmdb_id < 9000"
    assert rows(path, right) == [("Right", 7), ("Right", 8)]


async def test_a_run_knows_how_long_its_phases_took_and_under_what_it_ran(path: Path) -> None:
    """A slow reading shows as such; version and configuration are the daemon's."""
    async with PretendServices(with_films(3)) as services:
        services.fault("jellyfin", Fault(path="/Items?", query=LISTING, stall=0.2))
        result = await synced(services, path, configuration="c0ffee")
    assert [*result["phases"]] == [*Phase]
    assert result["phases"][Phase.READING] >= 0.2
    assert (result["version"], result["configuration"]) == (__version__, "c0ffee")


@pytest.mark.parametrize("when", ["before", "after", "a library", "a library after", "never"])
async def test_a_scan_before_or_after_counts(path: Path, when: str) -> None:
    """The state is asked before and after the reading, also that of a single library."""
    made = World()
    made.add_movie(film(1, Other="1"))
    made.scanning = when == "before"
    made.folders["Movies"].refresh_status = "Active" if when == "a library" else "Idle"

    def publish(progress: Progress) -> None:
        if progress.phase is Phase.READING and progress.done:
            made.scanning = when == "after"
            status = "Queued" if when == "a library after" else "Idle"
            made.folders["Movies"].refresh_status = status

    async with PretendServices(made) as services, a_sync(services, path) as service:
        result = (await service.run(Trigger.CLI, ACTOR, publish=publish)).as_dict()
        assert service.rescan_wanted is (when != "never")
    skipped = {} if when == "never" else {"still_read_by_jellyfin": 1}
    assert result["skip_reasons"] == skipped
    assert [gap["kind"] for gap in result["gaps"]] == [] if when == "never" else ["scanning"]


@pytest.mark.parametrize("path_", ["/ScheduledTasks", "/Library/VirtualFolders"])
async def test_a_state_that_cannot_be_read_afterwards_may_be_a_scan(path: Path, path_: str) -> None:
    """What was read is good, titles without ids wait, and nothing is taken for gone."""
    made = with_films(1)
    made.add_movie(film(1, Other="1"))
    running = PretendServices(made)
    broken = Fault(path_, times=None, status=500)

    def publish(progress: Progress) -> None:
        if progress.phase is Phase.READING and progress.done:
            running.fault("jellyfin", broken)

    async with running, a_sync(running, path) as service:
        result = (await service.run(Trigger.CLI, ACTOR, publish=publish)).as_dict()
    assert (result["outcome"], result["added"]) == ("partial", 1)
    assert {gap["kind"] for gap in result["gaps"]} == {"broken", "scanning"}
    assert [rule["name"] for rule in result["guard"] if rule["why"]] == ["idle"]


ODD_STATES: dict[str, Callable[[World], object]] = {
    "a null task": lambda world: world.tasks_extra.append(None),
    "a task without state": lambda world: world.tasks_extra.append({"Key": "Another"}),
    "a null library": lambda world: world.folders_extra.append(None),
    "a library without status": lambda world: world.folders["TV"].raw.update(RefreshStatus=ABSENT),
    "a library without a name": lambda world: world.folders["TV"].raw.update(Name=None),
}


@pytest.mark.parametrize("how", ODD_STATES)
async def test_a_state_that_is_not_understood_may_be_a_scan(path: Path, how: str) -> None:
    """The run goes on, says what is odd, and takes nothing for gone."""
    made = with_films(2)
    ODD_STATES[how](made)
    async with PretendServices(made) as services:
        result = await synced(services, path)
    assert (result["outcome"], result["added"]) == ("partial", 2)
    [gap] = result["gaps"]
    assert gap["kind"] == "scanning"
    assert (
        "that Jellyfin does not describe as usual, so it may be scanning its library"
        in gap["detail"]
    )


async def test_a_total_that_never_agrees_is_read_twice_once(path: Path) -> None:
    """Two readings in the first run, one in the next; titles are added in each."""
    made = with_films(4)
    made.extra_total = 3
    async with PretendServices(made) as services, a_sync(services, path) as service:
        readings = []
        for number in (4, 5, 6):
            services.calls("jellyfin").clear()
            result = (await service.run(Trigger.CLI, ACTOR)).as_dict()
            asked = [call for call in services.calls("jellyfin") if "StartIndex=0" in call.query]
            readings.append(len(asked))
            assert (result["outcome"], result["added"]) == ("partial", 4 if number == 4 else 1)
            detail = f"read {number} titles where Jellyfin counts {number + 3}; "
            assert result["error_details"][0].startswith(detail)
            if number == 4:
                again = (await service.run(Trigger.CLI, ACTOR)).as_dict()
                asked = [
                    call for call in services.calls("jellyfin") if "StartIndex=0" in call.query
                ]
                assert (len(asked), again["outcome"]) == (3, "partial")
            made.add_movie(film(number))
    assert readings == [2, 2, 2]


async def test_an_empty_library_with_tracked_titles_is_not_believed(
    path: Path, services: PretendServices, world: World
) -> None:
    """Nothing is taken for gone; the run is PARTIAL and says aloud what is odd."""
    await synced(services, path)
    before = snapshot(path)
    for name in world.folders:
        world.library_offline(name)
    result = await synced(services, path)
    assert (result["outcome"], result["total_scanned"]) == ("partial", 0)
    assert "lists no title" in result["error_details"][0]
    assert snapshot(path) == before


async def test_an_empty_library_and_an_empty_tracker_are_fine(path: Path) -> None:
    """A new server has no titles, and that is all right."""
    async with PretendServices(World()) as services:
        result = await synced(services, path)
    assert (result["outcome"], result["total_scanned"], result["errors"]) == ("ok", 0, 0)


@pytest.mark.parametrize("way", [*filter("a list".__ne__, _WAYS), "the other service"])
@pytest.mark.parametrize("name", ["radarr", "sonarr"])
async def test_without_radarr_or_sonarr_titles_are_added_and_linked_later(
    path: Path, services: PretendServices, name: Any, way: str
) -> None:
    """Its ids stay NULL, the run is PARTIAL, and the next run fills them, and nothing else."""
    swapped = Fault(path="/api/v3/system", body=b'{"appName":"Lidarr","version":"1"}')
    if way == "the other service":
        services.fault(name, replace(swapped, times=None))
    else:
        services.fault(name, replace(_WAYS[way], path="/api/v3", times=None))
    first = await synced(services, path)
    column = f"{name}_id"
    unlinked = rows(path, f"SELECT COUNT(*), COUNT({column}) FROM requests")
    services.mend(name)
    second = await synced(services, path)
    assert (first["outcome"], first["added"], unlinked) == ("partial", 40, [(40, 0)])
    assert first["gaps"][0]["service"].lower() == name
    filled = {"radarr": 28, "sonarr": 4}[name]
    assert (second["outcome"], second["filled"], second["refreshed"]) == ("ok", filled, 0)


@pytest.mark.parametrize(
    ("broken", "named", "outcome", "added"),
    [
        ({"Id": None}, "item without an id", "partial", 1),
        ({"Id": ""}, "item without an id", "partial", 1),
        ({"Id": 7}, "item without an id", "partial", 1),
        ({"Id": "b" * 31}, "item without an id", "partial", 1),
        ({"Name": None}, BAD["Id"], "partial", 1),
        ({"Name": "  "}, BAD["Id"], "partial", 1),
        ({"Name": {"a": 1}}, BAD["Id"], "partial", 1),
        ({"Name": "Half \ud800"}, BAD["Id"], "ok", 2),
        ({"ProviderIds": {"Tmdb": 10**22}}, BAD["Id"], "ok", 2),
        ({"ProviderIds": {"Tmdb": str(10**22)}}, BAD["Id"], "ok", 2),
        ({"ProviderIds": {"Tmdb": "-1", "Imdb": "x"}}, BAD["Id"], "ok", 2),
        ({"ProviderIds": {"Tmdb": None}}, BAD["Id"], "ok", 2),
        ({"ProviderIds": []}, BAD["Id"], "ok", 2),
        ({"ProductionYear": "1999"}, BAD["Id"], "ok", 2),
        ({"Type": "BoxSet"}, BAD["Id"], "partial", 1),
        ({"Type": None}, BAD["Id"], "partial", 1),
        ({"LocationType": "Remote"}, BAD["Id"], "ok", 1),
        ({"LocationType": None}, BAD["Id"], "ok", 1),
    ],
)
async def test_a_broken_item_is_counted_and_named_and_the_others_are_written(
    path: Path, services: PretendServices, broken: Any, named: str, outcome: str, added: int
) -> None:
    """A value that cannot be used is left out by itself; its title is there to watch."""
    listed = body(GOOD, {**BAD, **broken}, {**GOOD, "Id": "c" * 32})
    services.fault("jellyfin", Fault(path="/Items?", query=LISTING, body=listed, times=None))
    result = await synced(services, path)
    assert (result["outcome"], result["added"]) == (outcome, added)
    assert any(named in detail for detail in result["error_details"])
    assert result["errors"] == len(result["error_details"])
    assert ("Good", 5) in rows(path, "SELECT title, tmdb_id FROM requests")


@pytest.mark.parametrize("broken", [{"ProviderIds": None}, {"ProductionYear": 10**30}])
async def test_what_says_nothing_is_simply_not_known(
    path: Path, services: PretendServices, broken: Any
) -> None:
    """A null, or a year that is none, is no error."""
    listed = body(GOOD, {**BAD, **broken})
    services.fault("jellyfin", Fault(path="/Items?", query=LISTING, body=listed, times=None))
    result = await synced(services, path)
    assert (result["outcome"], result["added"], result["errors"]) == ("ok", 2, 0)


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.004, 0.01])
async def test_a_cancelled_run_is_interrupted_and_keeps_what_was_committed(
    path: Path, delay: float
) -> None:
    """The history tells the right count wherever it struck, and the next run does the rest."""
    reached = asyncio.Event()

    def publish(progress: Progress) -> None:
        if progress.phase is Phase.FINISHING and progress.done > 200:
            reached.set()

    async with PretendServices(with_films(1500)) as services:
        async with a_sync(services, path, batch_size=20) as service:
            running = asyncio.ensure_future(service.run(Trigger.CLI, ACTOR, publish=publish))
            await reached.wait()
            await asyncio.sleep(delay)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        [(kept,)] = rows(path, "SELECT COUNT(*) FROM requests")
        assert 0 < kept < 1500
        assert rows(path, "SELECT outcome, added FROM sync_runs") == [("interrupted", kept)]
        result = await synced(services, path)
    assert (result["outcome"], result["added"]) == ("ok", 1500 - kept)


async def test_progress_tells_what_is_read_and_then_what_is_committed(path: Path) -> None:
    """Whoever hears in the end that so many titles are done finds them in the file."""
    heard: list[tuple[Phase, int, int]] = []

    def publish(progress: Progress) -> None:
        there = rows(path, "SELECT COUNT(*) FROM requests")[0][0]
        heard.append((progress.phase, progress.done, there))

    async with (
        PretendServices(with_films(700)) as services,
        a_sync(services, path, batch_size=200) as service,
    ):
        await service.run(Trigger.CLI, ACTOR, publish=publish)
    phases = [phase for phase, *_ in heard]
    assert phases == sorted(phases, key=[*Phase].index)
    read = [done for phase, done, there in heard if phase is Phase.READING and there == 0]
    assert (read == sorted(read), read[-1]) == (True, 700)
    written = [told for phase, *told in heard if phase is Phase.FINISHING]
    assert [told for told in written if told[0] > told[1]] == []
    assert [done for done, _ in written] == [0, 200, 400, 600, 700]
    assert heard[-1][1:] == (700, 700)


@pytest.mark.parametrize("later", [False, True])
async def test_a_transaction_holds_no_more_titles_than_configured(
    path: Path, *, later: bool
) -> None:
    """The tracker waits for one batch at most, also where titles waited for their pictures."""
    async with PretendServices(World()) as services:
        if later:
            await synced(services, path)
        services.world.movies = with_films(500).movies
        await synced(services, path, batch_size=70)
    after = rows(path, "SELECT after FROM sync_audit WHERE action = 'titles.added' ORDER BY seq")
    sizes = [len(json.loads(text)["request_ids"]) for (text,) in after]
    assert sizes == [70] * 7 + [10]


async def test_pictures_are_asked_for_once_and_then_for_new_titles_only(path: Path) -> None:
    """The dear question is asked by the first run, and after a run that brought too many."""
    made = with_films(3)

    def asked(services: PretendServices) -> list[str]:
        calls = [call.query for call in services.calls("jellyfin") if "Movie,Series" in call.query]
        services.calls("jellyfin").clear()
        return ["pictures" * ("EnableImages=true" in q) + " by id" * ("Ids=" in q) for q in calls]

    unpictured = "SELECT COUNT(*) FROM requests WHERE poster_url IS NULL"
    async with PretendServices(made) as services:
        for count, expected, missing in [
            (0, ["pictures"], 0),
            (0, [""], 0),
            (150, ["", "pictures by id"], 0),
            (151, [""], 151),
            (0, ["pictures"], 0),
            (0, [""], 0),
        ]:
            first = len(made.movies)
            for number in range(first, first + count):
                made.add_movie(film(number))
            await synced(services, path)
            assert (asked(services), rows(path, unpictured)) == (expected, [(missing,)])


async def test_a_title_without_a_picture_gets_no_poster(path: Path) -> None:
    """Posters are never invented, and their address is the one that browsers use."""
    made = with_films(1)
    made.add_movie(replace(film(5), has_poster=False))
    async with PretendServices(made) as services:
        await synced(services, path)
    poster = f"{POLICY.public_url}/Items/{film(0).jellyfin_id}/Images/Primary"
    assert rows(path, "SELECT poster_url FROM requests ORDER BY id") == [(poster,), (None,)]


async def test_a_tracker_that_cannot_be_written_fails_the_run(
    path: Path, services: PretendServices
) -> None:
    """What the file says is told, and the run's own row says that it failed."""
    async with a_sync(services, path) as service:
        change(
            path, "CREATE TRIGGER t BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
        result = (await service.run(Trigger.CLI, ACTOR)).as_dict()
    assert (result["outcome"], result["added"]) == ("failed", 0)
    assert rows(path, "SELECT outcome FROM sync_runs") == [("failed",)]


async def test_a_preview_tells_the_plan(
    path: Path, services: PretendServices, world: World
) -> None:
    """What would be written is listed; with a file that is not there, all of it is new."""
    async with open_services(configured(services, path), QUICK) as clients:
        service = SyncService(clients, None, Options(POLICY.public_url))
        empty = (await service.preview()).as_dict()
    await synced(services, path)
    world.add_movie(film(1))
    async with a_sync(services, path) as service:
        result = (await service.preview()).as_dict()
    plan = {"decision": "add", "media_type": "MOVIE", "title": "Film 1"}
    assert (len(empty["plan"]), empty["dry_run"], empty["run_id"]) == (40, True, None)
    assert result["plan"] == [{**plan, "jellyfin_id": film(1).jellyfin_id}]
    assert (result["added"], rows(path, "SELECT COUNT(*) FROM sync_runs")) == (1, [(1,)])


# --- the recorded library --------------------------------------------------------------------


@asynccontextmanager
async def recorded_services() -> AsyncIterator[Settings]:
    """Servers that answer with what real ones answered for one library of odd titles."""
    items, episodes = (
        json.loads((RECORDED / "jellyfin" / name).read_text())["Items"]
        for name in ("library.json", "episodes.json")
    )

    unknown = json.loads((RECORDED / "jellyfin" / "series.json").read_text())["all_seasons"]
    nameless = {row["SeriesId"]: row["Id"] for row in unknown["Items"]}
    seasons: dict[str, dict[str, Any]] = {}
    for row in episodes:
        row["SeasonId"] = number = row["SeasonId"] or nameless[row["SeriesId"]]
        index = row.get("ParentIndexNumber")
        seasons[number] = {"Id": number, "SeriesId": row["SeriesId"], "IndexNumber": index}

    async def listing(request: web.Request) -> web.Response:
        query = request.query
        lists = {"Episode": episodes, "Season": [*seasons.values()]}
        found = lists.get(query["IncludeItemTypes"], items)
        wanted = query.get("Ids", "").split(",") if "Ids" in query else None
        kept = [
            row
            for row in found
            if (wanted is None or row["Id"] in wanted)
            and query.get("ParentId") in {None, row.get("SeasonId")}
            and query.get("IndexNumber") in {None, str(row.get("IndexNumber"))}
        ]
        return web.json_response({"Items": kept, "TotalRecordCount": len(kept), "StartIndex": 0})

    def answers(document: object) -> Callable[[web.Request], Any]:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response(document)

        return answer

    async def answers_a_key(_: web.Request) -> web.Response:
        return web.Response(status=400)

    info = {"ProductName": "Jellyfin Server", "StartupWizardCompleted": True, "Version": "10.11.11"}
    counts = {"MovieCount": 34, "SeriesCount": 23, "EpisodeCount": 25}
    routes: dict[str, Callable[[web.Request], Any]] = {
        "/Items": listing,
        "/System/Info/Public": answers({**info, "Id": "1"}),
        "/Users/Me": answers_a_key,
        "/ScheduledTasks": answers([{"Key": "RefreshLibrary", "State": "Idle"}]),
        "/Library/VirtualFolders": answers([]),
        "/Items/Counts": answers(counts),
    }
    for name, noun in (("radarr", "movie"), ("sonarr", "series")):
        folder = RECORDED / name
        routes[f"/{name}/api/v3/system/status"] = answers(
            json.loads((folder / "status.json").read_text())
        )
        routes[f"/{name}/api/v3/{noun}"] = answers(json.loads((folder / "list.json").read_text()))
    application = web.Application()
    application.add_routes([web.get(path, handler) for path, handler in routes.items()])
    async with TestServer(application) as server:
        url = str(server.make_url("/")).rstrip("/")
        urls = {"jellyfin": url, "radarr": f"{url}/radarr", "sonarr": f"{url}/sonarr"}
        yield Settings.model_validate(
            {name: {"url": where, "api_key": "key"} for name, where in urls.items()}
        )


async def test_the_recorded_library_comes_out_as_written_by_hand(path: Path) -> None:
    """Every title of a real library, however odd, is tracked as somebody wrote it down."""
    lines = (RECORDED / "whole" / "expected.txt").read_text("utf-8").splitlines()
    expected = sorted(tuple(line.split(" | ")) for line in lines if not line.startswith("#"))
    async with (
        recorded_services() as settings,
        open_services(settings, QUICK) as clients,
        open_store(path) as store,
    ):
        service = SyncService(clients, store, Options(POLICY.public_url))
        first, second = [(await service.run(Trigger.CLI, ACTOR)).as_dict() for _ in range(2)]
    columns = "year, tmdb_id, tvdb_id, imdb_id, radarr_id, sonarr_id"
    found = rows(
        path,
        f"SELECT media_type, jellyfin_id, trim(substr(title, 1, 40)), {columns} FROM requests",
    )
    tracked = sorted(tuple("-" if value is None else str(value) for value in row) for row in found)
    assert tracked == expected
    assert (first["total_scanned"], first["added"], first["outcome"]) == (57, 46, "ok")
    assert first["skip_reasons"] == {"duplicate": 2, "not_available": 9}
    unusable = sorted(detail.split(": ")[0] for detail in first["error_details"])
    assert unusable == [
        "Jellyfin 53e8888683c36d2a79be5e3e5dc63e77",
        "Jellyfin 6302077fb37d5527422f9f3118ab9acb",
    ]
    assert (second["added"], second["updated"], second["skipped"]) == (0, 0, 57)
    moments = "SELECT DISTINCT created_at, available_at FROM requests WHERE title = 'Twin'"
    assert rows(path, moments) == [("2026-11-23 02:42:10.710317",) * 2]
