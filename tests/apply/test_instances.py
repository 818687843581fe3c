"""Several Radarrs and several Sonarrs: the numbers of one never touch those of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.apply.run import SyncService
from daemon.domain import Outcome, Scope, Trigger
from daemon.opening import open_services, options
from daemon.reasons import Count
from daemon.settings import Settings
from daemon.store import syncing
from tests.builders import QUICK, configured
from tests.pretend import Fault, PretendServices, World
from tests.pretend.library import Episode, Movie, Series
from tests.worlds import ADMIN, Place, a_place

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Kind:
    """A primary instance and a further one, and three titles, which both may know."""

    primary: str
    further: str
    label: str
    column: str
    titles: tuple[Movie | Series, ...]


def a_series(title: str, number: int) -> Series:
    """A series of one episode."""
    series = Series.named(title, 1960, {"Tvdb": str(number), "Tmdb": str(number + 1)})
    series.episodes.append(Episode(1, 1))
    return series


KINDS = (
    Kind(
        "radarr",
        "radarr_4k",
        "Radarr 4k",
        "radarr_id",
        tuple(
            Movie.named(title, 1925, {"Tmdb": number})
            for title, number in (("Faust", "10728"), ("Metropolis", "19"), ("Sunrise", "631"))
        ),
    ),
    Kind(
        "sonarr",
        "sonarr_anime",
        "Sonarr anime",
        "sonarr_id",
        (a_series("Faust", 71471), a_series("Metropolis", 71472), a_series("Sunrise", 71473)),
    ),
)


@dataclass
class Stand:
    """A place with two instances of one kind, in which all three titles are in the library."""

    place: Place
    kind: Kind

    def knows(self, title: int, number: int, *, further: bool = False) -> None:
        """Let an instance keep a title under a number."""
        instance = self.kind.further if further else self.kind.primary
        one = self.kind.titles[title]
        if isinstance(one, Movie):
            self.place.world.radarr_knows(one, number=number, instance=instance)
        else:
            self.place.world.sonarr_knows(one, number=number, instance=instance)

    def forgets(self, number: int, *, further: bool = False) -> None:
        """Let an instance delete what it has under a number."""
        instance = self.kind.further if further else self.kind.primary
        del self.place.world.known_to(instance)[number]

    async def told(self) -> dict[str, tuple[int | None, int | None]]:
        """By title, the number in the row and the one that is kept beside it, after a run."""
        await self.place.sync()
        return self.kept()

    def kept(self) -> dict[str, tuple[int | None, int | None]]:
        """The same, without a run."""
        beside = dict(self.place.rows("request_id, number", "sync_instance_ids"))
        assert {*self.place.rows("instance", "sync_instance_ids")} <= {self.kind.label}
        rows = self.place.rows(f"title, id, {self.kind.column}")
        return {title: (number, beside.get(row)) for title, row, number in rows}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.primary)
async def stand(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    """The primary has Faust and Metropolis; the further one the same two numbers, turned round."""
    kind: Kind = request.param
    world = World(further={kind.further: {}})
    for title in kind.titles:
        if isinstance(title, Movie):
            world.add_movie(title)
        else:
            world.add_series(title)
    async with a_place(tmp_path, world) as place:
        made = Stand(place, kind)
        made.knows(0, 1)
        made.knows(1, 2)
        made.knows(0, 2, further=True)
        made.knows(1, 1, further=True)
        yield made


FIRST = {"Faust": (1, 2), "Metropolis": (2, 1), "Sunrise": (None, None)}


async def test_added_titles_have_the_numbers_of_both_each_in_its_place(stand: Stand) -> None:
    """One number is another title in each; a second run finds nothing to do."""
    assert await stand.told() == FIRST
    assert await stand.told() == FIRST
    assert not stand.place.results[-1].stats.wrote_any


async def test_what_only_the_further_one_knows_gets_no_number_in_its_row(stand: Stand) -> None:
    """Neither when it is added nor later, until the primary knows it."""
    stand.knows(2, 7, further=True)
    assert (await stand.told())["Sunrise"] == (None, 7)
    assert (await stand.told())["Sunrise"] == (None, 7)
    stand.knows(2, 3)
    assert (await stand.told())["Sunrise"] == (3, 7)
    assert stand.place.results[-1].stats[Count.FILLED] == 1


async def test_a_request_of_somebody_is_filled_from_the_primary_alone(stand: Stand) -> None:
    """Its row was there before; the other number stands beside it."""
    await stand.told()
    stand.place.execute(f"UPDATE requests SET requested_by = 'carol', {stand.kind.column} = NULL")
    assert await stand.told() == FIRST


async def test_a_number_follows_in_its_own_instance_alone(stand: Stand) -> None:
    """Deleted and added again, a title has a new number there, and the same one elsewhere."""
    await stand.told()
    stand.forgets(1)
    stand.knows(0, 5)
    assert await stand.told() == {**FIRST, "Faust": (5, 2)}
    assert stand.place.results[-1].stats[Count.RELINKED] == 1
    stand.forgets(2, further=True)
    stand.knows(0, 6, further=True)
    assert await stand.told() == {**FIRST, "Faust": (5, 6)}
    assert not stand.place.results[-1].stats.wrote_any


async def test_a_number_goes_by_the_whole_list_of_its_own_instance_alone(stand: Stand) -> None:
    """What the primary has deleted is unlinked though the other one has it, and the other way."""
    await stand.told()
    stand.forgets(1)
    assert await stand.told() == {**FIRST, "Faust": (None, 2)}
    stand.forgets(1, further=True)
    assert await stand.told() == {**FIRST, "Faust": (None, 2), "Metropolis": (2, None)}


async def test_numbers_that_are_another_titles_by_now_are_put_right(stand: Stand) -> None:
    """Both instances were set up anew and have counted from 1 again."""
    await stand.told()
    for further in (False, True):
        stand.forgets(1, further=further)
        stand.forgets(2, further=further)
        stand.knows(2, 1, further=further)
        stand.knows(1, 3, further=further)
        stand.knows(0, 4, further=further)
    assert await stand.told() == {"Faust": (4, 4), "Metropolis": (3, 3), "Sunrise": (1, 1)}


@pytest.mark.parametrize("away", ["primary", "further"])
async def test_one_that_is_away_makes_the_other_no_less_whole(stand: Stand, away: str) -> None:
    """Its own numbers stay, what the other one says holds, and the run tells who is missing."""
    await stand.told()
    stand.forgets(1)
    stand.forgets(1, further=True)
    kind = stand.kind
    section = kind.primary if away == "primary" else kind.further
    stand.place.services.fault(section, Fault(times=None, drop=True))
    told = await stand.told()
    gone = {"Metropolis": (2, None)} if away == "primary" else {"Faust": (None, 2)}
    assert told == {**FIRST, **gone}
    result = stand.place.results[-1]
    label = kind.label if away == "further" else kind.primary.capitalize()
    assert [(gap.service, gap.kind) for gap in result.stats.gaps] == [(label, "unreachable")]
    assert result.outcome is Outcome.PARTIAL


async def test_an_incomplete_list_proves_nothing_of_its_own(stand: Stand) -> None:
    """A record that cannot be read may be any title."""
    await stand.told()
    body = b'[{"title": "x", "id": "7"}]'
    stand.place.services.fault(stand.kind.further, Fault(f"/api/v3/{_noun(stand)}", body=body))
    assert await stand.told() == FIRST
    assert await stand.told() == FIRST


def _noun(stand: Stand) -> str:
    return "movie" if stand.kind.primary == "radarr" else "series"


async def test_a_title_that_is_removed_and_returns_has_its_numbers_again(stand: Stand) -> None:
    """Its new row may have another row's old number; what was kept beside that goes with it."""
    await stand.told()
    lost = stand.kind.titles[2]
    stand.knows(2, 9, further=True)
    assert (await stand.told())["Sunrise"] == (None, 9)
    stand.place.world.remove(lost.jellyfin_id)
    for _ in range(2):
        await stand.place.sync()
        stand.place.clock.pass_by(2 * DAY)
    assert stand.kept() == {name: FIRST[name] for name in ("Faust", "Metropolis")}
    assert len(stand.place.rows("*", "sync_instance_ids")) == 2
    if isinstance(lost, Movie):
        stand.place.world.add_movie(lost)
    else:
        stand.place.world.add_series(lost)
    stand.forgets(9, further=True)
    stand.knows(2, 10, further=True)
    assert (await stand.told())["Sunrise"] == (None, 10)


async def test_a_row_that_gets_anothers_number_gets_nothing_that_was_kept_of_it(
    stand: Stand,
) -> None:
    """The tracker deletes the last row and gives its number to a new one."""
    stand.knows(2, 9, further=True)
    await stand.told()
    [(number, kept)] = stand.place.rows("request_id, number", "sync_instance_ids", "number = 9")
    stand.place.execute("DELETE FROM timeline_events WHERE request_id = ?", number)
    stand.place.execute(
        "UPDATE requests SET title = 'Another', tmdb_id = 5, tvdb_id = 5, jellyfin_id = NULL,"
        " state = 'REQUESTED', created_at = '2026-11-29 08:00:00' WHERE id = ?",
        number,
    )
    known = (await stand.place.store.read(syncing.tracked)).instance_ids[stand.kind.label]
    assert (kept, number in known) == (9, False)


async def test_an_instance_that_is_not_configured_any_more_is_forgotten(
    stand: Stand, tmp_path: Path
) -> None:
    """Nobody can ask it; the rows keep theirs."""
    await stand.told()
    sections = stand.place.services.sections()
    del sections[stand.kind.further]
    settings = Settings.model_validate({**sections, "database": tmp_path / "tracker.db"})
    async with open_services(settings, QUICK) as clients:
        service = SyncService(clients, stand.place.store, options(settings))
        assert (await service.run(Trigger.CLI, ADMIN)).outcome is Outcome.OK
    assert {title: row for title, (row, _) in stand.kept().items()} == {
        title: row for title, (row, _) in FIRST.items()
    }
    assert stand.place.rows("*", "sync_instance_ids") == []


async def test_a_wrong_service_behind_an_instances_address_is_told_under_its_name(
    stand: Stand, tmp_path: Path
) -> None:
    """What an instance is called is ours to choose; the service must own up to its own name."""
    assert (await stand.told()) == FIRST
    other = "sonarr_anime" if stand.kind.primary == "radarr" else "radarr_4k"
    async with PretendServices(World(further={other: {}})) as elsewhere:
        wrong = {stand.kind.further: elsewhere.sections()[other]}
        settings = configured(stand.place.services, tmp_path / "tracker.db", **wrong)
        async with open_services(settings, QUICK) as clients:
            service = SyncService(clients, stand.place.store, options(settings))
            result = await service.run(Trigger.CLI, ADMIN)
    [gap] = result.stats.gaps
    assert (gap.service, gap.kind) == (stand.kind.label, "wrong_service")
    assert f"this is {other.partition('_')[0].capitalize()};" in gap.detail
    assert stand.kept() == FIRST


async def test_a_hinted_run_keeps_numbers_too(stand: Stand) -> None:
    """Each instance is asked by a process that does not know yet what they have."""
    await stand.told()
    stand.knows(2, 3)
    stand.knows(2, 7, further=True)
    settings = configured(stand.place.services, stand.place.path)
    service = SyncService(stand.place.client, stand.place.store, options(settings))
    scope = Scope(frozenset({stand.kind.titles[2].jellyfin_id}))
    assert (await service.run(Trigger.WEBHOOK, ADMIN, scope)).kind == "hinted"
    assert stand.kept() == {**FIRST, "Sunrise": (3, 7)}


async def test_a_run_tells_of_each_instance_under_its_own_name(stand: Stand) -> None:
    """Versions, calls, lists, and how each is doing."""
    await stand.place.sync()
    told = stand.place.results[-1].as_dict()
    names = {"Jellyfin", "Radarr", "Sonarr", stand.kind.label}
    assert set(told["versions"]) == set(told["calls"]) == names
    assert told["calls"][stand.kind.label]["calls"] == 3
    assert told["listed"][stand.kind.label] == 2
    health = stand.place.service.health.services
    assert {name for name, one in health.items() if one.up} == names
