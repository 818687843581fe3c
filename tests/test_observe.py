"""Observing: what is known of the services before a run decides, and how well it is known."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from daemon.clients.http import Patience
from daemon.clients.jellyfin import Counts, JellyfinClient, Server
from daemon.demo import Fault, PretendServices, Service, World
from daemon.demo.items import Ask, encode, listing
from daemon.demo.library import Episode, Series
from daemon.domain import Activity, LibraryItem, Sources
from daemon.errors import ServiceError
from daemon.observe import Library, Services, Survey, survey
from daemon.settings import Settings
from daemon.wiring import open_services
from tests.upstream import QUICK, Upstream, chunked, http

PATIENCE = replace(QUICK, silence=0.3)
LISTING = "IncludeItemTypes=Movie,Series"
MOVIES, SERIES = 17, 5
TITLES = MOVIES + SERIES
NOTHING_KNOWN = Survey(
    server=Server("id", "10.11.11"),
    activity=Activity(scanning=False),
    counts=Counts(0, 0, 0),
    proven=frozenset(),
    sources=Sources(),
    versions={},
)


@asynccontextmanager
async def connected(
    pretend: PretendServices, patience: Patience = PATIENCE
) -> AsyncIterator[Services]:
    """The clients of pretend services that are up already."""
    names = ("jellyfin", "radarr", "sonarr")
    keys = {
        name: {"url": getattr(pretend, f"{name}_url"), "api_key": getattr(pretend, f"{name}_key")}
        for name in names
    }
    async with open_services(Settings.model_validate(keys), patience) as services:
        yield services


@pytest.fixture
async def pretend() -> AsyncIterator[PretendServices]:
    """A small stack: 17 films, 5 series of two episodes each, most known to Radarr and Sonarr."""
    world = World.of_size(movies=MOVIES, series=SERIES, episodes_per_series=2)
    async with PretendServices(world) as running:
        yield running


@dataclass
class Observed:
    """What one run sees."""

    seen: Survey
    library: Library
    items: list[LibraryItem]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all gaps."""
        return [gap.kind for gap in (*self.seen.gaps, *self.library.gaps)]

    @property
    def titles(self) -> set[str]:
        """The distinct items."""
        return {item.jellyfin_id for item in self.items}


async def observe(
    pretend: PretendServices, page_size: int = 20_000, between: Callable[[], None] = lambda: None
) -> Observed:
    """Ask all services and read the library; `between` happens when the first items have come."""
    async with connected(pretend) as services:
        seen = await survey(services)
        library = Library(services.jellyfin, seen, page_size, pictures=False)
        items: list[LibraryItem] = []
        async with aclosing(library.items()) as pieces:
            async for piece in pieces:
                items += piece
                between()
    return Observed(seen, library, items)


def asked(pretend: PretendServices, service: Service) -> list[str]:
    """The paths that were asked for."""
    return [call.path for call in pretend.calls(service)]


def page(world: World, start: int, limit: int) -> dict[str, Any]:
    """A page of the listing as the pretend Jellyfin would send it."""
    query = {"Recursive": "true", "IncludeItemTypes": "Movie,Series", "Fields": "ProviderIds"}
    ask = Ask.read(query | {"StartIndex": str(start), "Limit": str(limit)})
    made: dict[str, Any] = json.loads(b"".join(listing(world, ask)))
    return made


@pytest.mark.parametrize(("page_size", "pages"), [(20_000, 1), (22, 1), (21, 2), (5, 5), (1, 22)])
async def test_a_run_asks_as_little_as_it_can(
    pretend: PretendServices, page_size: int, pages: int
) -> None:
    """Jellyfin is asked seven times and once a page, the others three times, and all is known."""
    observed = await observe(pretend, page_size)
    reading = observed.library.reading
    assert (reading.complete, reading.scanning, reading.titles) == (True, False, TITLES)
    assert observed.kinds == []
    assert len(observed.items) == TITLES
    assert observed.titles == {*pretend.world.movies, *pretend.world.series}
    assert all(item.available for item in observed.items)
    assert asked(pretend, "jellyfin") == [
        *("/System/Info/Public", "/ScheduledTasks", "/Library/VirtualFolders", "/Items/Counts"),
        *["/Items"] * (1 + pages),
        *("/ScheduledTasks", "/Library/VirtualFolders"),
    ]
    assert asked(pretend, "radarr") == [
        "/api/v3/system/status",
        "/api/v3/movie",
        "/api/v3/rootfolder",
    ]
    assert asked(pretend, "sonarr") == [
        "/api/v3/system/status",
        "/api/v3/series",
        "/api/v3/rootfolder",
    ]


async def test_the_survey_tells_what_is_around_the_library(pretend: PretendServices) -> None:
    """Server, versions, counts, proven series and both indexes are those of the services."""
    world = pretend.world
    async with connected(pretend) as services:
        seen = await survey(services)
    assert seen.versions == {
        "Jellyfin": "10.11.11",
        "Radarr": "6.0.3.10276",
        "Sonarr": "4.0.19.2979",
    }
    assert (seen.server.version, seen.activity.scanning) == ("10.11.11", False)
    assert [folder.name for folder in seen.activity.libraries] == ["Movies", "TV", "Anime"]
    assert seen.counts == Counts(MOVIES, SERIES, 2 * SERIES)
    assert seen.proven == set(world.series)
    assert seen.sources.radarr is not None
    assert seen.sources.sonarr is not None
    assert dict(seen.sources.radarr.by_tmdb.items()) == {
        int(known.movie.provider_ids["Tmdb"]): number for number, known in world.radarr.items()
    }
    assert dict(seen.sources.sonarr.by_tvdb.items()) == {
        int(known.series.provider_ids["Tvdb"]): number for number, known in world.sonarr.items()
    }
    assert (seen.gaps, seen.defects) == ((), ())


FAILURES = {
    "refused key": (Fault(status=401), "refused_key"),
    "wrong address": (Fault(status=404), "wrong_service"),
    "starting": (Fault(status=503), "starting"),
    "broken": (Fault(status=500), "broken"),
    "a page": (Fault(body=b"<html>", headers={"Content-Type": "text/html"}), "not_json"),
    "another shape": (Fault(body=b'{"message":"x"}'), "wrong_service"),
    "cut": (Fault(cut=20), "cut_short"),
    "cut cleanly": (Fault(cut=20, clean=True), "not_json"),
    "silent": (Fault(stall=60), "timed_out"),
    "gone": (Fault(drop=True), "unreachable"),
}


@pytest.mark.parametrize("name", ["radarr", "sonarr"])
@pytest.mark.parametrize("path", ["/api/v3/system/status", "/api/v3/"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failing_radarr_or_sonarr_leaves_a_gap(
    pretend: PretendServices, name: Service, path: str, failure: str
) -> None:
    """Whatever goes wrong there, its ids are unknown and not empty, and the rest is known."""
    fault, kind = FAILURES[failure]
    noun = {"radarr": "movie", "sonarr": "series"}[name]
    where = path if path.endswith("status") else path + noun
    pretend.fault(name, replace(fault, path=where, times=None))
    if failure == "another shape" and where != path:
        kind = "not_json"
    async with connected(pretend) as services:
        seen = await survey(services)
    known = {"radarr": seen.sources.radarr, "sonarr": seen.sources.sonarr}
    assert known.pop(name) is None
    assert [source is not None for source in known.values()] == [True]
    assert [(gap.service, gap.kind) for gap in seen.gaps] == [(name.title(), kind)]
    assert f"{name.title()} at {getattr(pretend, f'{name}_url')}{where}: " in seen.gaps[0].detail
    assert sorted(seen.versions) == sorted({"Jellyfin", "Radarr", "Sonarr"} - {name.title()})


async def test_what_is_not_configured_is_unknown_without_a_gap(pretend: PretendServices) -> None:
    """Nobody is told of a Radarr or Sonarr that was never there."""
    async with connected(pretend) as services:
        seen = await survey(Services(services.jellyfin))
    assert (seen.sources.radarr, seen.sources.sonarr, seen.gaps) == (None, None, ())
    assert (asked(pretend, "radarr"), asked(pretend, "sonarr")) == ([], [])


async def test_broken_records_are_passed_on(pretend: PretendServices) -> None:
    """A record of Radarr's that cannot be used is a defect of the run, not a gap."""
    body = b'[{"title":"x","tmdbId":5}]'
    pretend.fault("radarr", Fault("/api/v3/movie", body=body))
    seen = (await observe(pretend)).seen
    assert [(defect.service, defect.ref) for defect in seen.defects] == [("Radarr", "")]
    assert seen.gaps == ()


STATE = ["/System/Info/Public", "/ScheduledTasks", "/Library/VirtualFolders", "/Items/Counts"]


@pytest.mark.parametrize("where", [*STATE, "IndexNumber=1", LISTING])
@pytest.mark.parametrize("failure", ["refused key", "cut", "silent"])
async def test_a_failing_jellyfin_fails_the_run(
    pretend: PretendServices, where: str, failure: str
) -> None:
    """Without Jellyfin nothing can be said, nobody waits for the others, and nothing is empty."""
    fault, kind = FAILURES[failure]
    path, query = ("/Items?", where) if "=" in where else (where, "")
    pretend.fault("jellyfin", replace(fault, path=path, query=query, times=None))
    pretend.fault("radarr", Fault(stall=60))
    with pytest.raises(ServiceError) as caught:
        await asyncio.wait_for(observe(pretend), 3)
    assert caught.value.kind == kind


async def test_an_empty_library_is_complete(pretend: PretendServices) -> None:
    """A server that counts no title and lists none has been read, whatever that may mean."""
    for name in ("Movies", "TV"):
        pretend.world.library_offline(name)
    observed = await observe(pretend)
    reading = observed.library.reading
    assert (reading.complete, reading.titles, observed.items) == (True, 0, [])


def foreign(document: dict[str, Any]) -> None:
    """A collection stands where its titles were."""
    document["Items"][0]["Type"] = "BoxSet"


def nameless(document: dict[str, Any]) -> None:
    """A row has no id."""
    del document["Items"][0]["Id"]


def short(document: dict[str, Any]) -> None:
    """A row is missing."""
    del document["Items"][0]


def moved(document: dict[str, Any]) -> None:
    """The library has grown meanwhile."""
    document["TotalRecordCount"] += 1


def repeated(document: dict[str, Any]) -> None:
    """The page is the one before, whatever was asked for."""
    document["Items"] = page(WORLD, 0, 6)["Items"]


def empty(document: dict[str, Any]) -> None:
    """There is nothing on the page."""
    document["Items"].clear()


WORLD = World.of_size(movies=MOVIES, series=SERIES, episodes_per_series=2)


@pytest.mark.parametrize("spoil", [foreign, nameless, short, moved, repeated, empty])
@pytest.mark.parametrize("times", [1, None])
async def test_a_library_that_does_not_add_up_is_read_again_once(
    pretend: PretendServices, spoil: Callable[[dict[str, Any]], None], times: int | None
) -> None:
    """Complete is only what was counted, row for row; else the second reading decides."""
    document = page(WORLD, 6, 6)
    spoil(document)
    second = Fault("/Items?", "StartIndex=6", times=times, body=encode(document))
    pretend.fault("jellyfin", second)
    observed = await observe(pretend, page_size=6)
    reading, gaps = observed.library.reading, observed.library.gaps
    assert reading.complete is (times == 1)
    assert [gap.kind for gap in gaps] == ([] if times == 1 else ["incomplete"])
    assert [gap.service for gap in gaps] == ["Jellyfin"] * len(gaps)
    firsts = [call for call in pretend.calls("jellyfin") if "StartIndex=0" in call.query]
    assert len(firsts) == 2
    if times == 1:
        assert (reading.titles, observed.library.defects) == (TITLES, [])
        assert observed.titles == {*WORLD.movies, *WORLD.series}


async def test_the_gap_says_what_was_read_and_counted(pretend: PretendServices) -> None:
    """Whoever reads of an incomplete library learns the two numbers that do not fit."""
    document = page(WORLD, 0, 100)
    short(document)
    pretend.fault("jellyfin", Fault(query=LISTING, times=None, body=encode(document)))
    observed = await observe(pretend)
    [gap] = observed.library.gaps
    assert gap.detail.startswith("read 21 titles where Jellyfin counts 22; ")


@pytest.mark.parametrize("clean", [True, False])
async def test_a_reading_that_is_cut_once_is_made_whole(
    pretend: PretendServices, *, clean: bool
) -> None:
    """A reply that ends early is asked for again at once, and the second is as good as any."""
    pretend.fault("jellyfin", Fault("/Items?", LISTING, cut=9000, clean=clean))
    observed = await observe(pretend)
    reading = observed.library.reading
    assert (reading.complete, reading.titles, observed.kinds) == (True, TITLES, [])
    assert observed.titles == {*WORLD.movies, *WORLD.series}
    assert len(observed.items) > TITLES


@pytest.mark.parametrize(("clean", "kind"), [(True, "not_json"), (False, "cut_short")])
@pytest.mark.parametrize("page_size", [20_000, 12])
async def test_a_reading_that_is_cut_twice_is_partial(
    pretend: PretendServices, page_size: int, kind: str, *, clean: bool
) -> None:
    """What came before the second cut is good, and the run knows that it is not all."""
    pretend.fault("jellyfin", Fault("/Items?", LISTING, times=None, cut=9000, clean=clean))
    observed = await observe(pretend, page_size)
    reading = observed.library.reading
    assert (reading.complete, observed.kinds) == (False, [kind])
    assert 0 < reading.titles < TITLES
    assert len(observed.titles) == reading.titles


async def test_a_verdict_in_the_midst_is_not_asked_for_again(pretend: PretendServices) -> None:
    """A page that the server refuses ends the reading, with what was read so far."""
    pretend.fault("jellyfin", Fault("/Items?", "StartIndex=12", times=None, status=401))
    observed = await observe(pretend, page_size=6)
    reading = observed.library.reading
    assert (reading.complete, reading.titles, observed.kinds) == (False, 12, ["refused_key"])
    assert len([call for call in pretend.calls("jellyfin") if "StartIndex=0" in call.query]) == 1


async def test_a_library_that_shrinks_between_two_pages_is_read_anew(
    pretend: PretendServices,
) -> None:
    """A title that goes while pages are read shifts the others, so the whole is asked for again."""
    going = [next(iter(pretend.world.movies))]

    def go() -> None:
        if going:
            pretend.world.remove(going.pop())

    observed = await observe(pretend, page_size=6, between=go)
    assert (observed.library.reading.complete, observed.kinds) == (True, [])
    assert observed.library.reading.titles == TITLES - 1


@pytest.mark.parametrize("when", ["before", "after", "a library", "never"])
async def test_a_scan_before_or_after_is_noted(pretend: PretendServices, when: str) -> None:
    """A listing beside which the server was at work may hold half-made rows, and says so."""
    world = pretend.world
    world.scanning = when == "before"
    if when == "a library":
        world.folders["TV"].refresh_status = "Active"

    def change() -> None:
        world.scanning = when == "after"
        world.folders["TV"].refresh_status = "Idle"

    observed = await observe(pretend, between=change)
    reading = observed.library.reading
    assert (reading.scanning, reading.complete) == (when != "never", True)
    assert observed.kinds == []


async def test_a_state_that_cannot_be_read_afterwards_is_a_gap(pretend: PretendServices) -> None:
    """Without the second look at the server's work no reading counts as complete."""
    broken = Fault("/Library/VirtualFolders", times=None, status=500)
    observed = await observe(pretend, between=lambda: pretend.fault("jellyfin", broken))
    reading = observed.library.reading
    assert (reading.complete, reading.titles, observed.kinds) == (False, TITLES, ["broken"])


def doubtful(world: World, count: int) -> None:
    """Series whose first episode says nothing; every second has one that can be played."""
    for number in range(count):
        series = Series.named(f"Dated {number:03}", 2020, {})
        series.episodes.append(Episode(1, 10 + number, virtual=number % 2 == 1))
        world.series[series.jellyfin_id] = series


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (100, 100), (101, 1)])
async def test_doubtful_series_are_probed_or_proven_together(
    pretend: PretendServices, count: int, calls: int
) -> None:
    """Up to 100 series are asked for one by one, more of them by one listing of all episodes."""
    doubtful(pretend.world, count)
    observed = await observe(pretend)
    assert observed.library.reading.complete is True
    assert len(pretend.calls("jellyfin")) == 8 + calls
    probes = [call for call in pretend.calls("jellyfin") if "ParentId=" in call.query]
    assert len(probes) == (0 if count > 100 else count)
    judged = {item.title: item.available for item in observed.items if "Dated" in item.title}
    assert judged == {f"Dated {number:03}": number % 2 == 0 for number in range(count)}


@pytest.mark.parametrize(("count", "query"), [(3, "ParentId="), (101, "Types=Episode&IsMissing")])
async def test_a_series_whose_proof_fails_is_not_judged(
    pretend: PretendServices, count: int, query: str
) -> None:
    """A series that could not be asked for is left out, and never taken for empty."""
    doubtful(pretend.world, count)
    fault = Fault("/Items?", query, times=None, status=500)
    observed = await observe(pretend, between=lambda: pretend.fault("jellyfin", fault))
    assert observed.titles == {*WORLD.movies, *WORLD.series}
    reading = observed.library.reading
    assert (reading.complete, reading.titles) == (False, TITLES + count)
    assert observed.kinds == ["broken"]


async def test_progress_and_pictures_are_passed_through(pretend: PretendServices) -> None:
    """Whoever watches sees the number of titles grow; who asks for posters learns of them."""
    told: list[int] = []
    async with connected(pretend) as services:
        seen = await survey(services)
        library = Library(services.jellyfin, seen, 6, pictures=True, progress=told.append)
        items = [item async for items in library.items() for item in items]
    assert told == sorted(told)
    assert told[-1] == TITLES
    assert {item.poster for item in items} == {True}


async def stall(writer: asyncio.StreamWriter) -> None:
    """Send half of a listing and wait."""
    writer.write(chunked(encode(page(WORLD, 0, 100))[:9000], whole=False))
    await asyncio.sleep(60)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_reading_that_is_given_up_leaves_nothing_open(how: str) -> None:
    """Cancelling or closing in mid-stream closes the connection at once, without a warning."""
    came = asyncio.Event()
    async with Upstream([stall]) as upstream, http(upstream.url, "Jellyfin") as client:
        library = Library(JellyfinClient(client), NOTHING_KNOWN, 100, pictures=False)

        async def read() -> None:
            async with aclosing(library.items()) as pieces:
                async for _ in pieces:
                    came.set()
                    if how == "closed":
                        break

        reading = asyncio.create_task(read())
        await asyncio.wait_for(came.wait(), 3)
        reading.cancel() if how == "cancelled" else await reading
        await asyncio.wait([reading])
        await asyncio.wait_for(upstream.idle.wait(), 3)
    gc.collect()
    assert reading.cancelled() is (how == "cancelled")
    assert library.reading.complete is False


async def test_a_survey_that_is_given_up_leaves_nothing_open() -> None:
    """Cancelling while services are asked lets go of every connection."""
    async with Upstream([stall]) as upstream, http(upstream.url, "Jellyfin") as client:
        asking = asyncio.create_task(survey(Services(JellyfinClient(client))))
        await asyncio.wait_for(upstream.called.wait(), 3)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(upstream.idle.wait(), 3)
    gc.collect()
    assert asking.cancelled()
