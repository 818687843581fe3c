"""Observing: what is known of the services before a run decides, and how well it is known."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from daemon.domain import Ids, LibraryItem, MediaType, RequestState, TrackedRequest
from daemon.errors import ServiceError
from daemon.observe.episodes import EpisodeQuestions, EpisodeReport
from daemon.observe.library import CountMismatch, Library
from daemon.observe.sources import Problems, Services, Sources, collect_sources
from daemon.opening import open_services
from daemon.services.http import RetryPolicy
from daemon.services.jellyfin import Counts, JellyfinClient, ListingContext
from daemon.settings import Settings
from daemon.snapshot import Episode, Reading
from tests.builders import a_request
from tests.pretend import Fault, PretendServices, Service, World
from tests.pretend.items import Ask, encode, listing
from tests.pretend.jellyfin import ADMIN
from tests.pretend.library import Episode as File
from tests.pretend.library import Series, jellyfin_id
from tests.upstream import QUICK, Upstream, chunked, http

PATIENCE = replace(QUICK, silence=1)
LISTING = "IncludeItemTypes=Movie,Series"
FIRST = "IndexNumber=1"
SEASONS = "IncludeItemTypes=Season"
BULK = "SortBy=SeriesSortName"
MOVIES, SERIES = 17, 5
TITLES = MOVIES + SERIES


@asynccontextmanager
async def connected(
    pretend: PretendServices, patience: RetryPolicy = PATIENCE
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

    seen: Sources
    library: Library
    looked: EpisodeReport
    problems: Problems

    @property
    def items(self) -> list[LibraryItem]:
        """All movies and series."""
        return self.looked.items

    @property
    def reading(self) -> Reading:
        """How the reading of the library went."""
        return self.library.reading(scanning=False, distrust=self.seen.distrust)

    @property
    def kinds(self) -> list[str]:
        """The kinds of all gaps."""
        return [gap.kind for gap in self.problems.gaps]

    @property
    def titles(self) -> set[str]:
        """The distinct items."""
        return {item.jellyfin_id for item in self.items}

    @property
    def available(self) -> dict[str, bool | None]:
        """Of every series whether it is available."""
        shows = (item for item in self.items if item.media_type is MediaType.TV)
        return {item.title: item.available for item in shows}


async def observe(
    pretend: PretendServices,
    page_size: int = 20_000,
    between: Callable[[], None] = lambda: None,
    requests: Sequence[TrackedRequest] = (),
    known: CountMismatch | None = None,
) -> Observed:
    """Ask all services and read the library; `between` happens as soon as items have come."""
    problems = Problems()
    async with connected(pretend) as services:
        seen = await collect_sources(services, problems)
        library = Library(
            services.jellyfin,
            ListingContext(),
            page_size,
            problems,
            known=known,
            progress=lambda _: between(),
        )
        items = await library.read()
        counted = seen.counts.episodes if seen.counts else 0
        questions = EpisodeQuestions(services.jellyfin, problems, counted)
        looked = await questions.look(items, requests, seen.first.proven if seen.first else ())
    return Observed(seen, library, looked, problems)


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
    """Jellyfin is asked six times and once a page, the others three times, and all is known."""
    observed = await observe(pretend, page_size)
    assert (observed.reading.complete, observed.reading.titles) == (True, TITLES)
    assert observed.kinds == []
    assert len(observed.items) == TITLES
    assert observed.titles == {*pretend.world.movies, *pretend.world.series}
    assert all(item.available for item in observed.items)
    assert asked(pretend, "jellyfin") == [
        *("/System/Info/Public", "/Users/Me", "/ScheduledTasks", "/Library/VirtualFolders"),
        "/Items/Counts",
        *["/Items"] * (1 + pages),
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
    """Server, versions, counts, proven series and both lists are those of the services."""
    world, problems = pretend.world, Problems()
    async with connected(pretend) as services:
        seen = await collect_sources(services, problems)
    assert seen.versions == {
        "Jellyfin": "10.11.11",
        "Radarr": "6.0.3.10276",
        "Sonarr": "4.0.19.2979",
    }
    assert (seen.server.version, seen.activity.scanning) == ("10.11.11", False)
    assert [folder.name for folder in seen.activity.libraries] == ["Movies", "TV", "Anime"]
    assert seen.counts == Counts(MOVIES, SERIES, 2 * SERIES)
    assert seen.first is not None
    assert seen.first.proven == set(world.series)
    radarr, sonarr = seen.reports
    assert radarr.titles is not None
    assert sonarr.titles is not None
    assert [radarr.titles.find(tmdb(one.movie)) for one in world.radarr.values()] == [*world.radarr]
    assert [sonarr.titles.find(tvdb(one.series)) for one in world.sonarr.values()] == [
        *world.sonarr
    ]
    assert {one.instance: one.listed for one in seen.reports} == {
        "Radarr": len(world.radarr),
        "Sonarr": len(world.sonarr),
    }
    assert sonarr.counts == {number: {1: 2} for number in world.sonarr}
    assert (radarr.whole, sonarr.whole, seen.distrust) == (True, True, "")
    assert (problems.gaps, problems.defects) == ([], [])


def tmdb(title: Any) -> Ids:
    """What Radarr knows a film by."""
    return Ids(tmdb=int(title.provider_ids["Tmdb"]))


def tvdb(title: Any) -> Ids:
    """What Sonarr knows a series by."""
    return Ids(tvdb=int(title.provider_ids["Tvdb"]))


FAILURES = {
    "refused key": (Fault(status=401), "refused_key"),
    "wrong address": (Fault(status=404), "wrong_service"),
    "starting": (Fault(status=503), "starting"),
    "broken": (Fault(status=500), "broken"),
    "a page": (Fault(body=b"<html>", headers={"Content-Type": "text/html"}), "not_json"),
    "another shape": (Fault(body=b'{"message":"x"}'), "wrong_service"),
    "cut": (Fault(cut=20), "cut_short"),
    "cut cleanly": (Fault(cut=20, clean=True), "cut_short"),
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
    problems = Problems()
    async with connected(pretend) as services:
        seen = await collect_sources(services, problems)
    known = {report.instance.lower(): report for report in seen.reports}
    gone = known.pop(name)
    assert (gone.titles, gone.whole) == (None, False)
    assert [report.titles is not None for report in known.values()] == [True]
    assert [(gap.service, gap.kind) for gap in problems.gaps] == [(name.title(), kind)]
    where = f"{name.title()} at {getattr(pretend, f'{name}_url')}{where}: "
    assert where in problems.gaps[0].detail
    assert sorted(seen.versions) == sorted({"Jellyfin", "Radarr", "Sonarr"} - {name.title()})


async def test_what_is_not_configured_is_unknown_without_a_gap(pretend: PretendServices) -> None:
    """Nobody is told of a Radarr or Sonarr that was never there."""
    problems = Problems()
    async with connected(pretend) as services:
        seen = await collect_sources(Services(services.jellyfin), problems)
    assert (seen.reports, problems.gaps) == ((), [])
    assert (asked(pretend, "radarr"), asked(pretend, "sonarr")) == ([], [])


async def test_broken_records_are_passed_on(pretend: PretendServices) -> None:
    """A record of Radarr's that cannot be used is a defect of the run, not a gap."""
    body = b'[{"title":"x","tmdbId":5}]'
    pretend.fault("radarr", Fault("/api/v3/movie", body=body))
    observed = await observe(pretend)
    assert [(one.service, one.ref) for one in observed.problems.defects] == [("Radarr", "")]
    assert observed.problems.gaps == []
    radarr, _ = observed.seen.reports
    assert radarr.whole is False


NEEDED = ["/System/Info/Public", "/ScheduledTasks", "/Library/VirtualFolders", LISTING]


def failing(where: str, failure: str) -> Fault:
    """A fault of one of Jellyfin's answers, which are told by their path or by their query."""
    path, query = ("/Items?", where) if "=" in where else (where, "")
    return replace(FAILURES[failure][0], path=path, query=query, times=None)


@pytest.mark.parametrize("where", NEEDED)
@pytest.mark.parametrize("failure", ["refused key", "cut", "silent"])
async def test_a_failing_jellyfin_fails_the_run(
    pretend: PretendServices, where: str, failure: str
) -> None:
    """Without Jellyfin nothing can be said, nobody waits for the others, and nothing is empty."""
    pretend.fault("jellyfin", failing(where, failure))
    pretend.fault("radarr", Fault(stall=60))
    with pytest.raises(ServiceError) as caught:
        await asyncio.wait_for(observe(pretend), 30)
    assert caught.value.kind == FAILURES[failure][1]


HELPING = ["/Items/Counts", FIRST, "/Users/Me"]
WAYS = ["refused key", "broken", "silent", "wrong address"]


@pytest.mark.parametrize(
    ("where", "failure"),
    [*itertools.product(HELPING, WAYS), ("/Items/Counts", "cut"), (FIRST, "cut")],
)
async def test_a_helping_answer_that_fails_leaves_a_gap(
    pretend: PretendServices, where: str, failure: str
) -> None:
    """The library is read all the same, every series is proven, and the rest is known."""
    pretend.fault("jellyfin", failing(where, failure))
    observed = await observe(pretend)
    assert observed.kinds == [FAILURES[failure][1]]
    assert (observed.reading.complete, observed.reading.titles) == (True, TITLES)
    assert all(item.available for item in observed.items)
    assert (observed.seen.counts is None) == (where == "/Items/Counts")
    assert (observed.seen.first is None) == (where == FIRST)
    assert bool(observed.seen.distrust) == (where == "/Users/Me")
    assert all(report.whole for report in observed.seen.reports)


async def test_a_key_that_is_a_persons_token_is_not_trusted(pretend: PretendServices) -> None:
    """That person may not see everything; the library is read all the same."""
    pretend.jellyfin_key = ADMIN.token
    observed = await observe(pretend)
    assert "the token of a person (admin)" in observed.seen.distrust
    assert (observed.reading.complete, observed.reading.proves_absence) == (True, False)


@pytest.mark.parametrize(("expected", "trusted"), [(None, True), ("same", True), ("x", False)])
async def test_another_server_than_the_known_one_is_not_trusted(
    pretend: PretendServices, expected: str | None, *, trusted: bool
) -> None:
    """Nobody knows what it lacks; the first one is taken for the right one."""
    pretend.world.server_id = "same"
    async with connected(pretend) as services:
        seen = await collect_sources(services, Problems(), expected)
    assert (seen.distrust == "") is trusted
    assert trusted or "another Jellyfin server (same) than before (x)" in seen.distrust


async def test_an_empty_library_is_complete(pretend: PretendServices) -> None:
    """A server that counts no title and lists none has been read, whatever that may mean."""
    for name in ("Movies", "TV"):
        pretend.world.library_offline(name)
    observed = await observe(pretend)
    reading = observed.reading
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


async def spoiled(
    pretend: PretendServices, spoil: Callable[[dict[str, Any]], None], times: int | None
) -> tuple[Observed, int]:
    """What comes of a reading whose second page is spoiled, and how often it was begun."""
    document = page(WORLD, 6, 6)
    spoil(document)
    second = Fault("/Items?", "StartIndex=6", times=times, body=encode(document))
    pretend.fault("jellyfin", second)
    observed = await observe(pretend, page_size=6)
    firsts = [call for call in pretend.calls("jellyfin") if "StartIndex=0" in call.query]
    return observed, len(firsts)


@pytest.mark.parametrize("spoil", [foreign, short, moved, repeated, empty])
@pytest.mark.parametrize("times", [1, None])
async def test_a_library_that_does_not_add_up_is_read_again_once(
    pretend: PretendServices, spoil: Callable[[dict[str, Any]], None], times: int | None
) -> None:
    """Complete is only what was counted, row for row; else the second reading decides."""
    observed, readings = await spoiled(pretend, spoil, times)
    assert observed.reading.complete is (times == 1)
    gaps = [(gap.service, gap.kind) for gap in observed.problems.gaps]
    assert gaps == ([] if times == 1 else [("Jellyfin", "incomplete")])
    assert readings == 2
    if times == 1:
        assert (observed.reading.titles, observed.problems.defects) == (TITLES, [])
        assert observed.titles == {*WORLD.movies, *WORLD.series}


async def test_a_row_that_does_not_say_what_it_is_is_counted(pretend: PretendServices) -> None:
    """The reading is complete with it and not repeated, and proves nothing of what is absent."""
    observed, readings = await spoiled(pretend, nameless, None)
    reading = observed.reading
    assert (reading.complete, reading.nameless, reading.titles) == (True, 1, TITLES)
    assert (reading.proves_absence, readings) == (False, 1)
    assert [(one.ref, one.lost) for one in observed.problems.defects] == [("", True)]


async def test_a_row_without_a_name_is_known_to_be_there(pretend: PretendServices) -> None:
    """Its id is kept, so that nobody takes just that title for gone."""

    def unnamed(document: dict[str, Any]) -> None:
        document["Items"][0] |= {"Name": None, "Id": "A" * 32}

    observed, _ = await spoiled(pretend, unnamed, None)
    reading = observed.reading
    assert (reading.complete, reading.titles) == (True, TITLES)
    assert reading.broken == {"a" * 32}
    assert (reading.proves_gone("a" * 32), reading.proves_gone("b" * 32)) == (False, True)


@pytest.mark.parametrize(("extra", "size"), [(3, 20_000), (3, 6), (1, 22)])
async def test_a_count_that_never_agrees_is_read_twice_but_not_for_ever(
    pretend: PretendServices, extra: int, size: int
) -> None:
    """What two readings found is remembered, and met again it is not read a second time."""
    pretend.world.extra_total = extra
    first = await observe(pretend, size)
    assert first.library.count_mismatch == (TITLES, frozenset({TITLES + extra}))
    before = len(pretend.calls("jellyfin"))
    second = await observe(pretend, size, known=first.library.count_mismatch)
    listings = [call for call in pretend.calls("jellyfin") if "StartIndex=0" in call.query]
    assert len(listings) == 2 + 1
    assert len(pretend.calls("jellyfin")) - before < before
    for one, kind in ((first, "incomplete"), (second, "miscounted")):
        assert one.titles == {*WORLD.movies, *WORLD.series}
        assert (one.reading.complete, one.kinds) == (False, [kind])
    assert second.library.count_mismatch == first.library.count_mismatch


async def test_a_count_that_disagrees_otherwise_is_read_again(pretend: PretendServices) -> None:
    """Only the very same disagreement is known."""
    pretend.world.extra_total = 3
    await observe(pretend, known=(TITLES, frozenset({TITLES + 4})))
    listings = [call for call in pretend.calls("jellyfin") if "StartIndex=0" in call.query]
    assert len(listings) == 2


async def test_a_count_that_agrees_again_is_forgotten(pretend: PretendServices) -> None:
    """A complete reading leaves nothing to remember."""
    observed = await observe(pretend, known=(TITLES, frozenset({TITLES + 3})))
    assert (observed.reading.complete, observed.library.count_mismatch) == (True, None)


async def test_the_gap_says_what_was_read_and_counted(pretend: PretendServices) -> None:
    """Whoever reads of an incomplete library learns the two numbers that do not fit."""
    document = page(WORLD, 0, 100)
    short(document)
    pretend.fault("jellyfin", Fault(query=LISTING, times=None, body=encode(document)))
    observed = await observe(pretend)
    [gap] = observed.problems.gaps
    assert gap.detail.startswith("read 21 titles where Jellyfin counts 22; ")


@pytest.mark.parametrize("clean", [True, False])
async def test_a_reading_that_is_cut_once_is_made_whole(
    pretend: PretendServices, *, clean: bool
) -> None:
    """A reply that ends early is asked for again at once, and the second is as good as any."""
    pretend.fault("jellyfin", Fault("/Items?", LISTING, cut=9000, clean=clean))
    observed = await observe(pretend)
    reading = observed.reading
    assert (reading.complete, reading.titles, observed.kinds) == (True, TITLES, [])
    assert observed.titles == {*WORLD.movies, *WORLD.series}
    assert len(observed.items) == TITLES


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("page_size", [20_000, 12])
async def test_a_reading_that_is_cut_twice_is_partial(
    pretend: PretendServices, page_size: int, *, clean: bool
) -> None:
    """What came before the second cut is good, and the run knows that it is not all."""
    pretend.fault("jellyfin", Fault("/Items?", LISTING, times=None, cut=9000, clean=clean))
    observed = await observe(pretend, page_size)
    reading = observed.reading
    assert (reading.complete, observed.kinds) == (False, ["cut_short"])
    assert 0 < reading.titles < TITLES
    assert len(observed.titles) == reading.titles


async def test_a_verdict_in_the_midst_is_not_asked_for_again(pretend: PretendServices) -> None:
    """A page that the server refuses ends the reading, with what was read so far."""
    pretend.fault("jellyfin", Fault("/Items?", "StartIndex=12", times=None, status=401))
    observed = await observe(pretend, page_size=6)
    reading = observed.reading
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
    assert (observed.reading.complete, observed.kinds) == (True, [])
    assert observed.reading.titles == TITLES - 1


# --- episodes ------------------------------------------------------------------------------------


def doubtful(world: World, count: int) -> None:
    """Series whose first episode says nothing; every second has one that can be played."""
    for number in range(count):
        series = Series.named(f"Dated {number:03}", 2020, {})
        series.episodes.append(File(1, 10 + number, virtual=number % 2 == 1))
        world.series[series.jellyfin_id] = series


@pytest.mark.parametrize(("count", "calls"), [(1, 2), (30, 31), (31, 2), (101, 2)])
async def test_doubtful_series_are_asked_for_by_their_seasons_or_together(
    pretend: PretendServices, count: int, calls: int
) -> None:
    """Up to thirty questions are asked about seasons, else there is one list of all episodes."""
    doubtful(pretend.world, count)
    observed = await observe(pretend)
    assert observed.reading.complete is True
    assert len(pretend.calls("jellyfin")) == 7 + calls
    parents = [call for call in pretend.calls("jellyfin") if "ParentId=" in call.query]
    assert len(parents) == (0 if count > 30 else count)
    assert not any(one in call.query for call in parents for one in pretend.world.series)
    judged = {item.title: item.available for item in observed.items if "Dated" in item.title}
    assert judged == {f"Dated {number:03}": number % 2 == 0 for number in range(count)}


async def test_a_large_library_bears_more_questions_than_a_small_one(
    pretend: PretendServices,
) -> None:
    """A list of all its episodes costs it more than a hundred questions."""
    doubtful(pretend.world, 40)
    counts = {"MovieCount": MOVIES, "SeriesCount": SERIES + 40, "EpisodeCount": 12_000}
    pretend.fault("jellyfin", Fault("/Items/Counts", body=encode(counts)))
    await observe(pretend)
    assert len([call for call in pretend.calls("jellyfin") if "ParentId=" in call.query]) == 40


@pytest.mark.parametrize(
    ("count", "query"), [(3, SEASONS), (3, "ParentId="), (31, BULK), (31, SEASONS)]
)
async def test_a_series_whose_proof_fails_is_not_judged(
    pretend: PretendServices, count: int, query: str
) -> None:
    """Whether there is something to play of it is unknown, and it is never taken for empty."""
    doubtful(pretend.world, count)
    fault = Fault("/Items?", query, times=None, status=500)
    observed = await observe(pretend, between=lambda: pretend.fault("jellyfin", fault))
    assert (observed.reading.complete, observed.reading.titles) == (True, TITLES + count)
    assert observed.kinds == ["broken"]
    judged = {item.available for item in observed.items if "Dated" in item.title}
    assert judged == {None}
    assert {item.available for item in observed.items if "Dated" not in item.title} == {True}


def a_series(number: int, *files: File, **changes: Any) -> Series:
    """A series with these files or missing episodes."""
    made = replace(Series.named(f"Show {number:02}", 1990, {"Tvdb": str(number)}), **changes)
    made.episodes.extend(files)
    return made


def wanting(show: Series, *seasons: int, **overrides: Any) -> TrackedRequest:
    """An open request for seasons of a series; for all of it if none is given."""
    values: dict[str, Any] = {
        "media_type": MediaType.TV,
        "state": RequestState.REQUESTED,
        "ids": tvdb(show),
        "jellyfin_id": show.jellyfin_id,
        "seasons": frozenset(seasons),
        **overrides,
    }
    return a_request(int(show.provider_ids["Tvdb"]), **values)


def tracked(show: Series) -> TrackedRequest:
    """A request for a series that is there."""
    return wanting(show, state=RequestState.AVAILABLE)


async def seen_in(world: World, *requests: TrackedRequest) -> Observed:
    """What a run sees of a world."""
    async with PretendServices(world) as running:
        return await observe(running, requests=requests)


def rows(observed: Observed, show: Series) -> list[tuple[int | None, int | None, bool | None]]:
    """The episodes of a series, in order."""
    found = observed.looked.episodes[show.jellyfin_id].rows
    return sorted(
        ((one.season, one.number, one.playable) for one in found), key=lambda row: (str(row), row)
    )


async def test_missing_episodes_are_known_as_missing() -> None:
    """A season tells what of it is not there; a series never does."""
    files = [File(1, number, virtual=number > 3) for number in range(1, 11)]
    show = a_series(1, *files)
    observed = await seen_in(World.holding(show), wanting(show, 1))
    found = observed.looked.episodes[show.jellyfin_id]
    assert {one.number for one in found.rows if one.playable} == {1, 2, 3}
    assert {one.number for one in found.rows if one.playable is False} == {*range(4, 11)}
    assert found.seasons == {1}


async def test_an_episode_counts_for_the_folder_that_it_is_in() -> None:
    """Where a library merges series the folders of one series are still told apart."""
    show = a_series(1, File(1, 1), File(1, 2))
    path = f"{show.path} 4K"
    other = replace(show, path=path, jellyfin_id=jellyfin_id("Series", path), episodes=[File(1, 2)])
    world = World.holding(show, other, merging=True)
    observed = await seen_in(world, wanting(show, 1))
    assert rows(observed, show) == [(1, 1, True), (1, 2, True)]
    assert rows(observed, other) == [(1, 2, True)]


async def test_a_series_whose_key_is_stale_is_not_taken_for_empty() -> None:
    """Until the next scan a question about it finds nothing, and so none is asked."""
    show = a_series(1, File(1, 2), File(1, 3))
    world = World()
    world.folders["TV"].merges_series = True
    world.add_series(show)
    assert world.stale == {show.jellyfin_id}
    async with PretendServices(world) as running:
        observed = await observe(running, requests=[wanting(show, 1)])
        questions = [call.query for call in running.calls("jellyfin")]
    assert observed.available == {"Show 01": True}
    assert rows(observed, show) == [(1, 2, True), (1, 3, True)]
    assert not any(f"ParentId={show.jellyfin_id}" in query for query in questions)


@pytest.mark.parametrize(
    ("unread", "known"),
    [
        (2, [Episode(1, 1), Episode(None)]),
        (1, [Episode(1, 1), Episode(None)]),
        (0, [Episode(1, 1), Episode(1, 2)]),
    ],
)
async def test_an_episode_in_its_first_moments_is_known_as_unread(
    unread: int, known: list[Episode]
) -> None:
    """At first it names neither its series nor its number; it is in its season all the same."""
    show = a_series(1, File(1, 1), File(1, 2, unread=unread))
    observed = await seen_in(World.holding(show), wanting(show))
    assert [*observed.looked.episodes[show.jellyfin_id].rows] == known


async def test_an_unread_episode_does_not_speak_of_other_series() -> None:
    """Which season it was found in says whose it may be."""
    busy, other = a_series(1, File(1, 1), File(1, 2, unread=2)), a_series(2, File(1, 1))
    observed = await seen_in(World.holding(busy, other), wanting(busy), wanting(other))
    assert [*observed.looked.episodes[other.jellyfin_id].rows] == [Episode(1, 1)]


@pytest.mark.parametrize(
    ("asked_for", "seasons"), [((), [1, 2]), ((2,), [2]), ((0,), [0]), ((7,), [])]
)
async def test_only_the_seasons_that_matter_are_asked_for(
    asked_for: tuple[int, ...], seasons: list[int]
) -> None:
    """Those that are requested; all but the specials where no season is named."""
    show = a_series(1, *(File(season, 1) for season in range(3)))
    async with PretendServices(World.holding(show)) as running:
        observed = await observe(running, requests=[wanting(show, *asked_for)])
        queries = [call.query for call in running.calls("jellyfin") if "ParentId=" in call.query]
    asked_ids = {show.season_id(season) for season in seasons}
    assert {query.rpartition("ParentId=")[2] for query in queries} == asked_ids
    found = observed.looked.episodes[show.jellyfin_id]
    assert {row.season for row in found.rows} == {*seasons}
    assert found.seasons == {0, 1, 2}


@pytest.mark.parametrize(("count", "calls"), [(30, 31), (31, 2), (40, 2), (150, 2)])
async def test_many_open_series_cost_one_list(count: int, calls: int) -> None:
    """All of them are judged, with two calls however many there are."""
    shows = [a_series(number, File(1, 1), File(1, 2)) for number in range(1, count + 1)]
    async with PretendServices(World.holding(*shows)) as running:
        observed = await observe(running, requests=[wanting(show, 1) for show in shows])
        assert len(running.calls("jellyfin")) == 7 + calls
    assert observed.looked.episodes.keys() == {show.jellyfin_id for show in shows}
    assert all(len(one.rows) == 2 for one in observed.looked.episodes.values())


async def test_series_without_open_requests_are_not_counted() -> None:
    """A request that is available asks for nothing more."""
    show = a_series(1, File(1, 1))
    async with PretendServices(World.holding(show)) as running:
        observed = await observe(running, requests=[tracked(show)])
        assert len(running.calls("jellyfin")) == 7
    assert observed.looked.episodes == {}


@pytest.mark.parametrize("query", [SEASONS, "ParentId="])
async def test_episodes_that_cannot_be_asked_for_are_not_counted(query: str) -> None:
    """Nothing is said of them then, which is not the same as that there are none."""
    show = a_series(1, File(1, 1))
    async with PretendServices(World.holding(show)) as running:
        running.fault("jellyfin", Fault("/Items?", query, times=None, status=500))
        observed = await observe(running, requests=[wanting(show, 1)])
    assert all(one.partial for one in observed.looked.episodes.values())
    assert not any(one.rows for one in observed.looked.episodes.values())
    assert observed.kinds == ["broken"]
    assert observed.available == {"Show 01": True}


async def test_a_season_that_is_not_listed_whole_counts_nothing() -> None:
    """What is missing from the answer may be any episode."""
    show = a_series(1, File(1, 1))
    body = b'{"Items":[],"TotalRecordCount":1,"StartIndex":0}'
    async with PretendServices(World.holding(show)) as running:
        running.fault("jellyfin", Fault("/Items?", "ParentId=", times=None, body=body))
        observed = await observe(running, requests=[wanting(show, 1)])
    assert observed.looked.episodes[show.jellyfin_id].partial


async def test_a_season_that_cannot_be_asked_for_says_nothing_of_another_series() -> None:
    """Only its own series is in doubt; the others are counted as ever."""
    broken, other = a_series(1, File(1, 1)), a_series(2, File(1, 1))
    world = World.holding(broken, other)
    async with PretendServices(world) as running:
        season = f"ParentId={broken.season_id(1)}"
        running.fault("jellyfin", Fault("/Items?", season, times=None, status=500))
        observed = await observe(running, requests=[wanting(broken, 1), wanting(other, 1)])
    found = observed.looked.episodes
    assert found[broken.jellyfin_id].partial
    assert not found[other.jellyfin_id].partial
    assert len(found[other.jellyfin_id].rows) == 1


EMPTY_BUT_COUNTED = b'{"Items":[],"TotalRecordCount":2,"StartIndex":0}'


@pytest.mark.parametrize(
    ("other", "fault", "available"),
    [
        (File(1, 1), None, False),
        (File(1, 1, unread=2), None, None),
        (File(1, 1, unread=1), None, False),
        (File(1, 1), Fault("/Items?", BULK, times=None, status=500), None),
        (File(1, 1), Fault("/Items?", BULK, times=None, body=EMPTY_BUT_COUNTED), None),
    ],
    ids=["certain", "an unread row", "a row without its number", "not asked", "not whole"],
)
async def test_a_tracked_series_is_only_absent_by_the_list_of_all_episodes(
    other: File, fault: Fault | None, available: bool | None
) -> None:
    """It must be whole, and each of its rows must name its series."""
    show, neighbour = a_series(1), a_series(2, File(1, 1), other)
    async with PretendServices(World.holding(show, neighbour)) as running:

        def between() -> None:
            if fault and not running.calls("sonarr")[3:]:
                running.fault("jellyfin", fault)

        observed = await observe(running, between=between, requests=[tracked(show)])
        bulk = [call for call in running.calls("jellyfin") if call.query.endswith(BULK)]
    assert observed.available == {"Show 01": available, "Show 02": True}
    assert len(bulk) == 1


@pytest.mark.parametrize(
    ("file", "available"),
    [
        (File(1, 4), True),
        (File(1, 4, virtual=True), False),
        (File(1, 4, placeholder=True), False),
        (File(1, 4, location="Remote"), None),
        (File(1, 4, location=None), None),
    ],
)
async def test_only_what_is_virtual_or_a_stub_is_not_there(
    file: File, available: bool | None
) -> None:
    """A place that is not understood proves neither that a series is there nor that it is gone."""
    show = a_series(1, file)
    observed = await seen_in(World.holding(show), tracked(show))
    assert observed.available == {"Show 01": available}


async def test_a_copy_that_is_there_spares_the_proof_of_the_other() -> None:
    """A title is not absent while any of its items can be played."""
    show = a_series(1, File(1, 1))
    empty = replace(show, jellyfin_id="b" * 32, path="/media/tv/other", episodes=[])
    async with PretendServices(World.holding(show, empty)) as running:
        observed = await observe(running, requests=[tracked(show)])
        bulk = [call for call in running.calls("jellyfin") if call.query.endswith(BULK)]
    assert bulk == []
    judged = {item.jellyfin_id: item.available for item in observed.items}
    assert judged == {show.jellyfin_id: True, "b" * 32: False}


# --- giving up -----------------------------------------------------------------------------------


async def test_progress_and_pictures_are_passed_through(pretend: PretendServices) -> None:
    """Whoever watches sees the number of titles grow; who asks for posters learns of them."""
    told: list[int] = []
    async with connected(pretend) as services:
        jellyfin, problems = services.jellyfin, Problems()
        library = Library(
            jellyfin, ListingContext(), 6, problems, pictures=True, progress=told.append
        )
        items = await library.read()
    assert told == sorted(told)
    assert told[-1] == TITLES
    assert {item.poster for item in items} == {True}


async def stall(writer: asyncio.StreamWriter) -> None:
    """Send half of a listing and wait."""
    writer.write(chunked(encode(page(WORLD, 0, 100))[:9000], whole=False))
    await asyncio.sleep(60)


async def test_a_reading_that_is_given_up_leaves_nothing_open() -> None:
    """Cancelling in mid-stream closes the connection at once, without a warning."""
    came = asyncio.Event()
    async with Upstream([stall]) as upstream, http(upstream.url, "Jellyfin") as client:
        library = Library(
            JellyfinClient(client), ListingContext(), 100, Problems(), progress=lambda _: came.set()
        )
        reading = asyncio.create_task(library.read())
        await came.wait()
        reading.cancel()
        await asyncio.wait([reading])
        await upstream.idle.wait()
    gc.collect()
    assert reading.cancelled()
    assert library.reading(scanning=False, distrust="").complete is False


async def test_a_survey_that_is_given_up_leaves_nothing_open() -> None:
    """Cancelling while services are asked lets go of every connection."""
    async with Upstream([stall]) as upstream, http(upstream.url, "Jellyfin") as client:
        asking = asyncio.create_task(collect_sources(Services(JellyfinClient(client)), Problems()))
        await upstream.called.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await upstream.idle.wait()
    gc.collect()
    assert asking.cancelled()
