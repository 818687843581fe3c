"""Passes over titles on their way, on pretend services and a real file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.apply import decisions
from daemon.apply.pending import PassResult, PendingService
from daemon.apply.run import Options, SyncService
from daemon.domain import RemovalPolicy, Trigger
from daemon.observe.hints import ArrCache
from daemon.opening import open_services, open_sync
from daemon.pending import PendingPolicy
from daemon.report.health import Health
from daemon.store import (
    Store,
    attention,
    on_the_way,
    open_store,
    open_store_readonly,
    titles,
    undo,
)
from daemon.store.audit import AuditEvent
from tests.builders import ACTOR, QUICK, change, configured, rows, synced
from tests.pretend import Fault, PretendServices
from tests.pretend.library import Movie, Series
from tests.pretend.pipeline import Wish
from tests.running import a_world

FILM = Movie.named("The Lodger", 1927, {"Tmdb": "2760", "Imdb": "tt0017075"})
STATE = "SELECT state FROM requests WHERE title = ?"


@dataclass
class Stand:
    """A tracker's file, the services around it, and what makes passes."""

    path: Path
    services: PretendServices
    store: Store
    service: PendingService

    async def look(self) -> PassResult:
        """One pass."""
        return await self.service.run(Trigger.ADMIN, ACTOR)

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[SyncService]:
        """What makes full runs, each with a pass at its end."""
        async with open_services(configured(self.services, self.path), QUICK) as clients:
            service = SyncService(clients, self.store, Options(""))
            service.passes = self.service
            yield service

    def state(self) -> str | None:
        """The state of the film's row; None if it has none."""
        found = rows(self.path, STATE, FILM.title)
        return found[0][0] if found else None


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Stand]:
    """After a first full run, with a Seerr and a qBittorrent."""
    path = folder / "tracker.db"
    async with PretendServices(a_world(), besides=("seerr", "qbittorrent")) as services:
        await synced(services, path)
        async with (
            open_store(path) as store,
            open_services(configured(services, path), QUICK) as clients,
        ):
            health = Health(clients.meters)
            yield Stand(
                path,
                services,
                store,
                PendingService(clients, store, ArrCache(clients), PendingPolicy(), health),
            )


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Give it."""
    async with standing(tmp_path) as made:
        yield made


async def test_a_request_takes_its_way(stand: Stand) -> None:
    """From the request to the import, each state as it is; Jellyfin alone makes it available."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    states = []

    async def looked() -> None:
        assert (await stand.look()).result.outcome.value == "ok"
        states.append(stand.state())

    await looked()
    pipeline.approve(wish)
    await looked()
    download = pipeline.grab(wish)
    await looked()
    pipeline.advance(download, 0.6)
    await looked()
    shown = "SELECT download_progress, qbit_hash FROM requests WHERE title = ?"
    assert rows(stand.path, shown, FILM.title) == [(pytest.approx(0.6), download.hash.upper())]
    pipeline.advance(download, 1)
    await looked()
    pipeline.take_in(download)
    last = await stand.look()
    states.append(stand.state())
    assert states == [
        *("REQUESTED", "APPROVED", "GRABBING", "DOWNLOADING", "DOWNLOADED", "IMPORTING"),
    ]
    assert [one.tmdb for _, one, _ in last.imported] == [2760]
    told = "SELECT timeline_events.state FROM timeline_events, requests"
    told += " WHERE request_id = requests.id AND title = ? ORDER BY timeline_events.id"
    assert rows(stand.path, told, FILM.title) == [(one,) for one in states]
    assert rows(
        stand.path, "SELECT requested_by, jellyseerr_id FROM requests WHERE title = ?", FILM.title
    ) == [("reader", wish.number)]


async def test_a_full_run_ends_with_a_pass_and_its_undo_takes_both_back(stand: Stand) -> None:
    """Under one number: what it promoted, and what has moved on."""
    pipeline = stand.services.pipeline
    other = Movie.named("Safety Last!", 1923, {"Tmdb": "22596"})
    first, second = pipeline.request(FILM), pipeline.request(other)
    await stand.look()
    pipeline.approve(first)
    pipeline.approve(second)
    stand.services.world.add_movie(other)
    async with stand.runs() as service:
        result = await service.run(Trigger.ADMIN, ACTOR)
    assert (result.as_dict()["promoted"], result.as_dict()["moved"]) == (1, 1)
    assert stand.state() == "APPROVED"
    kinds = rows(stand.path, "SELECT kind, outcome FROM sync_runs ORDER BY id DESC LIMIT 1")
    assert kinds == [("full", "ok")]
    assert result.run_id is not None
    undone = await undo.undo_run(stand.store, result.run_id, ACTOR)
    assert [one.done for one in undone] == [True, True]
    states = "SELECT title, state FROM requests WHERE jellyseerr_id NOT NULL ORDER BY title"
    assert rows(stand.path, states) == [(other.title, "REQUESTED"), (FILM.title, "REQUESTED")]


async def test_a_promoted_title_shows_no_download_any_more(stand: Stand) -> None:
    """Undoing it brings back what was shown."""
    stand.services.pipeline.request(FILM)
    await stand.look()
    shown = "download_progress, download_speed, download_eta"
    change(
        stand.path,
        f"UPDATE requests SET ({shown}) = (0.5, '1.0 MB/s', '2m 20s') WHERE title = ?",
        FILM.title,
    )
    stand.services.world.add_movie(FILM)
    async with stand.runs() as service:
        result = await service.run(Trigger.ADMIN, ACTOR)
    gauges = f"SELECT state, {shown} FROM requests WHERE title = ?"
    assert rows(stand.path, gauges, FILM.title) == [("AVAILABLE", None, None, None)]
    assert result.run_id is not None
    await undo.undo_run(stand.store, result.run_id, ACTOR)
    assert rows(stand.path, gauges, FILM.title) == [("REQUESTED", 0.5, "1.0 MB/s", "2m 20s")]


async def test_a_title_whose_promotion_is_undone_is_on_its_way_again(stand: Stand) -> None:
    """It moves with its request, and goes with it: it is not a row that nobody looks after."""
    pipeline, world = stand.services.pipeline, stand.services.world
    wish = pipeline.request(FILM)
    await stand.look()
    world.add_movie(FILM)
    async with stand.runs() as service:
        result = await service.run(Trigger.ADMIN, ACTOR)
    assert (stand.state(), result.run_id is not None) == ("AVAILABLE", True)
    assert rows(stand.path, "SELECT * FROM sync_pending") == []
    assert result.run_id is not None
    [undone] = await undo.undo_run(stand.store, result.run_id, ACTOR)
    assert (undone.done, stand.state()) == (True, "REQUESTED")
    pipeline.approve(wish)
    await stand.look()
    assert stand.state() == "APPROVED"
    pipeline.withdraw(wish)
    await stand.look()
    later(stand.path, 300)
    await stand.look()
    assert stand.state() is None


async def test_the_very_first_full_run_tells_what_is_requested(tmp_path: Path) -> None:
    """By its end the library is known; a run that could not read it makes no pass."""
    path = tmp_path / "tracker.db"
    async with PretendServices(a_world(), besides=("seerr",)) as services:
        services.pipeline.request(FILM)
        settings = configured(services, path)
        services.fault("jellyfin", Fault("/Items", status=500, times=None))
        async with open_sync(settings) as service:
            assert (await service.run(Trigger.CLI, ACTOR)).outcome.value == "failed"
        assert services.calls("seerr") == []
        services.mend("jellyfin")
        async with open_sync(settings) as service:
            result = (await service.run(Trigger.CLI, ACTOR)).as_dict()
        assert (result["outcome"], result["added"], result["awaited"]) == ("ok", 2, 1)
        assert result["calls"]["Seerr"]["calls"] > 0


async def test_a_full_run_says_that_seerr_was_away(stand: Stand) -> None:
    """It has done its own part all the same."""
    stand.services.fault("seerr", Fault(status=503, times=None))
    async with stand.runs() as service:
        result = await service.run(Trigger.ADMIN, ACTOR)
    assert result.outcome.value == "partial"
    assert [gap.service for gap in result.stats.gaps] == ["Seerr"]


async def test_what_jellyfin_has_is_promoted_and_not_followed_any_more(stand: Stand) -> None:
    """By a full run; the pass at its end leaves the row alone."""
    pipeline = stand.services.pipeline
    pipeline.approve(pipeline.request(FILM))
    await stand.look()
    stand.services.world.add_movie(FILM)
    async with stand.runs() as service:
        await service.run(Trigger.ADMIN, ACTOR)
    assert stand.state() == "AVAILABLE"
    assert rows(stand.path, "SELECT * FROM sync_pending") == []


async def test_a_pass_that_changes_nothing_leaves_no_trace(stand: Stand) -> None:
    """No run, no event, no audit, no byte of what is kept."""
    stand.services.pipeline.request(FILM)
    first = await stand.look()
    assert first.run_id is not None
    tables = ("sync_runs", "sync_audit", "timeline_events", "sync_pending", "requests")
    before = {table: rows(stand.path, f"SELECT * FROM {table}") for table in tables}
    again = [(await stand.look()).run_id for _ in range(3)]
    assert again == [None] * 3
    later = {table: rows(stand.path, f"SELECT * FROM {table}") for table in tables}
    doubtless = {table: later[table] for table in tables if table != "sync_pending"}
    assert doubtless == {table: before[table] for table in doubtless}


async def test_a_service_that_is_away_takes_nothing_back(stand: Stand) -> None:
    """The row says what was true last, and the pass says what is missing."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    pipeline.approve(wish)
    pipeline.advance(pipeline.grab(wish), 0.5)
    first = await stand.look()
    assert (stand.state(), first.moving, first.downloading) == ("DOWNLOADING", True, True)
    for name in ("seerr", "radarr", "qbittorrent"):
        stand.services.fault(name, Fault("", status=503, times=None))
        for _ in range(2):
            result = (await stand.look()).result
            assert (result.outcome.value, stand.state()) == ("partial", "DOWNLOADING")
        stand.services.mend(name)


async def test_calls_do_not_grow_with_the_library_or_the_requests(stand: Stand) -> None:
    """Three lists of Seerr, the queue and history of each instance, and the torrents."""
    pipeline = stand.services.pipeline
    for number in range(10):
        film = Movie.named(f"Film {number}", 1930 + number, {"Tmdb": f"{9000 + number}"})
        pipeline.approve(pipeline.request(film))
    await stand.look()
    calls = (await stand.look()).result.calls
    assert {name: made["calls"] for name, made in calls.items()} == {
        "Seerr": 3,
        "Radarr": 2,
        "Sonarr": 2,
        "qBittorrent": 1,
    }


async def test_a_request_that_is_gone_is_withdrawn_after_two_looks_and_comes_back_by_undo(
    stand: Stand,
) -> None:
    """With a deletion log; what an admin took back then stays for good."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    await stand.look()
    before = rows(stand.path, "SELECT * FROM requests WHERE title = ?", FILM.title)
    pipeline.withdraw(wish)
    await stand.look()
    assert stand.state() == "REQUESTED"
    later(stand.path, 300)
    last = await stand.look()
    assert (stand.state(), last.run_id is not None) == (None, True)
    assert rows(stand.path, "SELECT title, source FROM deletion_logs") == [(FILM.title, "EXTERNAL")]
    assert last.run_id is not None
    [undone] = await undo.undo_run(stand.store, last.run_id, ACTOR)
    assert (undone.done, undone.why) == (True, "")
    assert rows(stand.path, "SELECT * FROM requests WHERE title = ?", FILM.title) == before
    for _ in range(3):
        later(stand.path, 300)
        await stand.look()
    assert stand.state() == "REQUESTED"


async def test_a_row_that_the_tracker_makes_meanwhile_stays_the_only_one(stand: Stand) -> None:
    """Two of one title would break every webhook for it, so ours gives way."""
    stand.services.pipeline.request(FILM)
    await stand.look()
    at = "2026-11-20 12:00:00.000000"
    change(
        stand.path,
        "INSERT INTO requests (title, media_type, state, tmdb_id, requested_by, created_at,"
        f" updated_at, state_changed_at) VALUES (?, 'MOVIE', 'APPROVED', 2760, 'bob', '{at}',"
        f" '{at}', '{at}')",
        FILM.title,
    )
    for _ in range(2):
        await stand.look()
    assert rows(
        stand.path, "SELECT requested_by, state FROM requests WHERE title = ?", FILM.title
    ) == [("bob", "APPROVED")]
    assert rows(stand.path, "SELECT * FROM deletion_logs") == []


async def test_a_restart_between_two_looks_changes_nothing(stand: Stand) -> None:
    """What was seen before is in the file, and its time goes on."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    await stand.look()
    pipeline.withdraw(wish)
    await stand.look()
    later(stand.path, 300)
    clients = configured(stand.services, stand.path)
    async with open_services(clients, QUICK) as services:
        arrs, health = ArrCache(services), Health(services.meters)
        again = PendingService(services, stand.store, arrs, PendingPolicy(), health)
        await again.run(Trigger.ADMIN, ACTOR)
    assert stand.state() is None


async def test_a_restart_takes_nothing_back_of_more_titles_than_one_pass_reads(
    stand: Stand,
) -> None:
    """What was not read yet is not known; it is neither approved only, nor withdrawn."""
    pipeline = stand.services.pipeline
    for number in range(30):
        film = Movie.named(f"Film {number}", 1930, {"Tmdb": f"{9000 + number}"})
        wish = pipeline.request(film)
        pipeline.approve(wish)
        pipeline.advance(pipeline.grab(wish), 0.5)
    states = "SELECT state, COUNT(*) FROM requests WHERE jellyseerr_id NOT NULL GROUP BY state"
    for seen in (20, 30):
        await stand.look()
        assert rows(stand.path, states) == [("DOWNLOADING", seen)]
    pipeline.withdraw(pipeline.wishes[1])
    pipeline.withdraw(pipeline.wishes[30])
    async with open_services(configured(stand.services, stand.path), QUICK) as services:
        health = Health(services.meters)
        for _ in range(2):
            arrs = ArrCache(services)
            again = PendingService(services, stand.store, arrs, PendingPolicy(), health)
            await again.run(Trigger.ADMIN, ACTOR)
            later(stand.path, 300)
    assert rows(stand.path, states) == [("DOWNLOADING", 30)]


FILMS = [Movie.named(f"Film {at}", 1930 + at, {"Tmdb": f"{9000 + at}"}) for at in range(10)]
GUARDED = RemovalPolicy()


async def findings(stand: Stand) -> list[tuple[str, str, str]]:
    """What needs somebody of titles on their way: kind, target, action."""
    found = await stand.store.read(attention.findings, GUARDED)
    return [(one.kind, one.target, one.action) for one in found if one.kind == "blocked"]


async def decided(stand: Stand, verb: str, kind: str, target: str) -> str:
    """Have something done about a finding; gives the action of its audit event."""
    found = await decisions.settle(stand.store, GUARDED, verb, kind, target)
    await stand.store.write(found.write, AuditEvent(found.action, ACTOR, target=found.target))
    assert found.passes
    return found.action


async def lost(stand: Stand, *wishes: Wish) -> None:
    """Requests that are gone for as long as it takes."""
    for wish in wishes:
        stand.services.pipeline.withdraw(wish)
    for _ in range(2):
        await stand.look()
        later(stand.path, 300)


async def test_many_requests_that_are_gone_at_once_wait_for_an_admin(stand: Stand) -> None:
    """Seerr may have lost them; each is withdrawn by a word of its own, and by nothing else."""
    wishes = [stand.services.pipeline.request(film) for film in FILMS]
    await stand.look()
    await lost(stand, *wishes)
    assert (await stand.look()).run_id is None
    held = await findings(stand)
    assert [(kind, action) for kind, _, action in held] == [("blocked", "withdraw")] * 10
    kind, target, action = held[0]
    assert await decided(stand, action, kind, target) == "withdrawal.approved"
    assert (await stand.look()).result.as_dict()["withdrawn"] == 1
    left = "SELECT COUNT(*) FROM requests WHERE jellyseerr_id NOT NULL"
    assert rows(stand.path, left) == [(9,)]
    assert rows(stand.path, "SELECT COUNT(*) FROM deletion_logs") == [(1,)]
    assert rows(stand.path, "SELECT * FROM sync_confirmed WHERE kind = 'withdrawal'") == []
    assert len(await findings(stand)) == 9


async def test_an_approval_is_over_once_the_request_is_back(stand: Stand) -> None:
    """What is lost another time is another decision."""
    pipeline = stand.services.pipeline
    wishes = [pipeline.request(film) for film in FILMS]
    await stand.look()
    await lost(stand, *wishes)
    kind, target, action = (await findings(stand))[0]
    await decided(stand, action, kind, target)
    pipeline.wishes.update({wish.number: wish for wish in wishes})
    await stand.look()
    assert await findings(stand) == []
    await lost(stand, *wishes)
    await stand.look()
    assert len(await findings(stand)) == 10
    assert rows(stand.path, "SELECT * FROM deletion_logs") == []


async def test_an_approval_outlives_a_seerr_that_is_away(stand: Stand) -> None:
    """It is carried out once Seerr says again that the request is gone."""
    wishes = [stand.services.pipeline.request(film) for film in FILMS]
    await stand.look()
    await lost(stand, *wishes)
    kind, target, action = (await findings(stand))[0]
    await decided(stand, action, kind, target)
    stand.services.fault("seerr", Fault(status=503, times=None))
    await stand.look()
    stand.services.mend("seerr")
    for _ in range(2):
        await stand.look()
        later(stand.path, 300)
    assert rows(stand.path, "SELECT COUNT(*) FROM deletion_logs") == [(1,)]


async def test_another_seerr_withdraws_nothing_until_an_admin_says_that_it_is_right(
    stand: Stand,
) -> None:
    """It knows none of the requests, and was perhaps only set up anew by mistake."""
    wish = stand.services.pipeline.request(FILM)
    await stand.look()
    public = json.dumps({"vapidPublic": "another", "initialized": True}).encode()
    stand.services.fault("seerr", Fault("/api/v1/settings/public", body=public, times=None))
    await lost(stand, wish)
    assert (await stand.look()).run_id is None
    [(kind, target, action)] = await findings(stand)
    assert (target, action, stand.state()) == ("Seerr", "confirm", "REQUESTED")
    assert await decided(stand, action, kind, target) == "seerr.confirmed"
    for _ in range(3):
        await stand.look()
        later(stand.path, 300)
    assert (await findings(stand), stand.state()) == ([], None)
    assert len(rows(stand.path, "SELECT * FROM sync_confirmed WHERE kind = 'seerr'")) == 1


async def test_what_somebody_deleted_in_the_dashboard_stays_deleted(stand: Stand) -> None:
    """Its request is still open; one that is made later is a new wish."""
    wish = stand.services.pipeline.request(FILM)
    wish.created_at -= timedelta(hours=2)
    await stand.look()
    change(
        stand.path,
        "INSERT INTO deletion_logs (title, media_type, tmdb_id, jellyseerr_id, is_anime, source,"
        " deleted_by_username, status, initiated_at) VALUES (?, 'MOVIE', 2760, ?, 0, 'DASHBOARD',"
        " 'carol', 'COMPLETE', ?)",
        FILM.title,
        wish.number,
        (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S"),
    )
    change(stand.path, "DELETE FROM requests WHERE title = ?", FILM.title)
    for _ in range(2):
        await stand.look()
    assert stand.state() is None
    stand.services.pipeline.withdraw(wish)
    stand.services.pipeline.request(FILM)
    await stand.look()
    assert stand.state() == "REQUESTED"


def later(path: Path, seconds: float) -> None:
    """Let time pass for what is kept: as if it had been written down that long ago."""
    change(
        path, "UPDATE sync_pending SET monotonic = monotonic - ?, wall = wall - ?", seconds, seconds
    )


async def test_what_blocks_a_title_stands_under_needs_attention(stand: Stand) -> None:
    """In the service's own words and with the title, kept in the file, until it is settled."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    pipeline.advance(download, 1)
    download.messages = ("Not an upgrade for existing movie file",)
    await stand.look()
    await stand.look()
    async with open_store_readonly(stand.path) as file:
        [one] = await file.read(attention.findings, RemovalPolicy())
    assert (one.kind, one.title, one.ignorable) == ("blocked", FILM.title, True)
    assert one.what.startswith("Radarr: Not an upgrade for existing movie file (since 20")
    assert one.todo == "import the download by hand, or remove it"
    event = AuditEvent("finding.ignored", ACTOR, target=one.target)
    await stand.store.write(attention.ignore, one, event)
    assert await stand.store.read(attention.findings, RemovalPolicy()) == []
    pipeline.take_in(download)
    stand.services.world.add_movie(FILM)
    async with open_services(configured(stand.services, stand.path), QUICK) as clients:
        await SyncService(clients, stand.store, Options("")).run(Trigger.ADMIN, ACTOR)
    assert await stand.store.read(attention.findings, RemovalPolicy(), ignored=True) == []


async def test_each_service_is_told_with_its_words_and_since_when(stand: Stand) -> None:
    """One that is away keeps its last word, and the file says since when nothing is known of it."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    pipeline.advance(download, 0.5)
    await stand.look()
    await stand.look()
    [one] = await stand.store.read(on_the_way.listed)
    assert (one.title, one.state, one.progress) == (FILM.title, "DOWNLOADING", 0.5)
    assert [(said.service, said.words, said.silent) for said in one.said] == [
        ("Seerr", f"request {wish.number} by reader: approved", None),
        ("Radarr", "downloading", None),
        ("qBittorrent", "downloading", None),
        ("Jellyfin", "does not have it", None),
    ]
    began = one.said[1].since
    stand.services.fault("radarr", Fault(status=503, times=None))
    await stand.look()
    await stand.look()
    facts = await stand.store.read(titles.facts, one.id)
    assert facts is not None
    assert facts.pending is not None
    [radarr] = [said for said in facts.pending.said if said.service == "Radarr"]
    assert (radarr.words, radarr.since) == ("downloading", began)
    assert radarr.silent is not None
    assert radarr.silent >= began


async def test_jellyfin_is_not_said_to_lack_a_series_that_it_has_a_part_of(stand: Stand) -> None:
    """The season that is asked for is missing, not the whole series."""
    [show] = stand.services.world.series.values()
    stand.services.pipeline.request(show, (2,))
    await stand.look()
    [one] = await stand.store.read(on_the_way.listed)
    assert [said.words for said in one.said if said.service == "Jellyfin"] == ["has some of it"]
    change(stand.path, "DELETE FROM requests WHERE state = 'AVAILABLE'")
    change(stand.path, "UPDATE requests SET jellyfin_id = ? WHERE id = ?", "a" * 32, one.id)
    await stand.look()
    [one] = await stand.store.read(on_the_way.listed)
    assert [said.words for said in one.said if said.service == "Jellyfin"] == ["has some of it"]


async def test_the_progress_of_a_download_is_shown_between_passes(stand: Stand) -> None:
    """Only where it has changed; the writer is not held for nothing."""
    pipeline, told = stand.services.pipeline, list[str]()
    wish = pipeline.request(FILM)
    pipeline.approve(wish)
    download = pipeline.grab(wish)
    pipeline.advance(download, 0.3)
    await stand.look()
    await stand.look()
    stand.service.on_change = lambda: told.append("changed")
    await stand.service.progress()
    assert told == []
    pipeline.advance(download, 0.6)
    await stand.service.progress()
    assert told == ["changed"]
    shown = "SELECT download_progress FROM requests WHERE title = ?"
    assert rows(stand.path, shown, FILM.title) == [(pytest.approx(0.6),)]


async def test_a_row_in_a_state_that_is_not_understood_is_left_alone_and_still_ours(
    stand: Stand,
) -> None:
    """As of another version of the tracker; once it has one that is, it is followed on."""
    wish = stand.services.pipeline.request(FILM)
    await stand.look()
    change(stand.path, "UPDATE requests SET state = 'PONDERING' WHERE title = ?", FILM.title)
    stand.services.pipeline.approve(wish)
    assert [(await stand.look()).run_id for _ in range(2)] == [None] * 2
    assert stand.state() == "PONDERING"
    change(stand.path, "UPDATE requests SET state = 'REQUESTED' WHERE title = ?", FILM.title)
    await stand.look()
    assert stand.state() == "APPROVED"


async def test_a_word_of_a_newer_version_stops_no_pass(stand: Stand) -> None:
    """For what a person was called then is decided anew; all else that is kept stays."""
    wish = stand.services.pipeline.request(FILM)
    await stand.look()
    call = json.dumps([["new_kind", "Seerr", "words", FILM.title, None, None]])
    kept = "UPDATE sync_pending SET followed = json_set(followed, '$.calls', json(?))"
    change(stand.path, kept, call)
    told = "INSERT INTO sync_attention (kind, service, sentence, title, since)"
    change(stand.path, f"{told} VALUES ('new_kind', 'Seerr', 'words', '', '{AT}')")
    assert await findings(stand) == []
    stand.services.pipeline.approve(wish)
    await stand.look()
    assert stand.state() == "APPROVED"


OTHER = Movie.named("Safety Last!", 1923, {"Tmdb": "22596"})
AT = "2026-11-20 12:00:00.000000"


def made_by_the_tracker(path: Path, **values: object) -> None:
    """A row that is on its way, and that the tracker has made itself."""
    times = dict.fromkeys(("created_at", "updated_at", "state_changed_at"), AT)
    values = {"title": "X", "state": "APPROVED", "requested_by": "bob", **times, **values}
    marks = ", ".join("?" * len(values))
    change(path, f"INSERT INTO requests ({', '.join(values)}) VALUES ({marks})", *values.values())


async def test_no_two_rows_on_their_way_bear_one_number_of_seerr(stand: Stand) -> None:
    """As after Seerr was set up anew; the tracker would fail at each webhook of either."""
    wish = stand.services.pipeline.request(FILM)
    made_by_the_tracker(stand.path, media_type="MOVIE", tmdb_id=77, jellyseerr_id=wish.number)
    await stand.look()
    told = "SELECT title, jellyseerr_id FROM requests WHERE state <> 'AVAILABLE' ORDER BY id"
    assert rows(stand.path, told) == [("X", wish.number), (FILM.title, None)]
    stand.services.pipeline.withdraw(wish)
    await lost(stand)
    assert rows(stand.path, told) == [("X", wish.number)]


async def test_a_number_that_is_another_title_by_now_speaks_for_that_alone(stand: Stand) -> None:
    """The other request gets its row, and the one that had the number before is withdrawn."""
    pipeline = stand.services.pipeline
    wish = pipeline.request(FILM)
    await stand.look()
    pipeline.withdraw(wish)
    assert pipeline.request(OTHER).number == wish.number
    await lost(stand)
    told = "SELECT title FROM requests WHERE state <> 'AVAILABLE'"
    assert rows(stand.path, told) == [(OTHER.title,)]


async def test_a_series_that_shares_a_number_with_a_row_on_its_way_gets_none(stand: Stand) -> None:
    """Two would break the tracker's webhooks; and nothing done leaves no run."""
    made_by_the_tracker(stand.path, media_type="TV", tmdb_id=500, tvdb_id=600)
    series = Series.named("X", 1960, {"Tmdb": "500", "Tvdb": "601"})
    stand.services.pipeline.request(series, (1,))
    assert [(await stand.look()).run_id for _ in range(3)] == [None] * 3
    assert rows(stand.path, "SELECT requested_by FROM requests WHERE title = 'X'") == [("bob",)]
