"""How decisions reach the file: in batches, with pictures where they are few, and into the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.apply.writer import log_decisions
from daemon.domain import Add, Outcome
from tests.builders import an_item, rows
from tests.pretend import Fault, World
from tests.pretend.library import Movie
from tests.running import Stand, working

BATCHES = "SELECT after FROM sync_audit WHERE action = 'titles.added' ORDER BY seq"
POSTERS = "SELECT count(*), count(poster_url) FROM requests"


def sizes(path: Path) -> list[int]:
    """How many titles were added by each transaction."""
    return [len(json.loads(after)["request_ids"]) for (after,) in rows(path, BATCHES)]


def some_films(count: int) -> list[Movie]:
    """Films that are not in the library yet."""
    return [Movie.named(f"Film {at}", 1930, {"Tmdb": str(1000 + at)}) for at in range(count)]


async def arrived(stand: Stand, films: list[Movie]) -> dict[str, Any]:
    """What a full run made of films that came after the first."""
    assert (await stand.run()).outcome is Outcome.OK
    for film in films:
        stand.world.add_movie(film)
    stand.asked("jellyfin")
    return (await stand.run()).as_dict()


def by_id(stand: Stand) -> list[str]:
    """The calls that asked for titles by their ids."""
    return [path for path in stand.asked("jellyfin") if "Ids=" in path]


@pytest.mark.parametrize(("size", "batches"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (500, [7])])
async def test_titles_are_written_in_batches(tmp_path: Path, size: int, batches: list[int]) -> None:
    """Each is one transaction with one audit event; the last one may be smaller."""
    async with working(tmp_path, World.of_size(movies=7), batch_size=size) as stand:
        await stand.run()
        assert batches == sizes(stand.path)


@pytest.mark.parametrize("count", [1, 150])
async def test_a_few_new_titles_get_their_pictures_by_one_call(tmp_path: Path, count: int) -> None:
    """Up to a hundred and fifty, in batches like all others."""
    async with working(tmp_path, batch_size=100) as stand:
        result = await arrived(stand, some_films(count))
        assert len(by_id(stand)) == 1
        assert (result["added"], result["unpictured"]) == (count, 0)
        assert rows(stand.path, POSTERS) == [(count + 2, count + 2)]
        assert max(sizes(stand.path)) <= 100


async def test_many_new_titles_are_written_without_pictures(tmp_path: Path) -> None:
    """The next run asks for them with the list and fills them in."""
    async with working(tmp_path, batch_size=100) as stand:
        result = await arrived(stand, some_films(151))
        assert by_id(stand) == []
        assert (result["added"], result["unpictured"]) == (151, 151)
        assert rows(stand.path, POSTERS) == [(153, 2)]
        result = (await stand.run()).as_dict()
        assert (result["added"], result["updated"], by_id(stand)) == (0, 151, [])
        assert rows(stand.path, POSTERS) == [(153, 153)]


async def test_pictures_that_cannot_be_had_do_not_hold_up_a_title(tmp_path: Path) -> None:
    """It is written without, the run is partial, and the next one fills it."""
    async with working(tmp_path) as stand:
        stand.services.fault("jellyfin", Fault("/Items?", query="Ids=", times=None, status=500))
        result = await arrived(stand, some_films(2))
        stand.services.mend("jellyfin")
        assert (result["outcome"], result["added"], result["unpictured"]) == ("partial", 2, 2)
        assert rows(stand.path, POSTERS) == [(4, 2)]
        result = (await stand.run()).as_dict()
        assert (result["outcome"], result["updated"]) == ("ok", 2)
        assert rows(stand.path, POSTERS) == [(4, 4)]


async def test_a_picture_that_the_answer_leaves_out_is_asked_for_again(tmp_path: Path) -> None:
    """An empty reply is not the same as a title without a poster."""
    body = b'{"Items":[],"TotalRecordCount":0,"StartIndex":0}'
    async with working(tmp_path) as stand:
        stand.services.fault("jellyfin", Fault("/Items?", query="Ids=", times=None, body=body))
        result = await arrived(stand, some_films(2))
        stand.services.mend("jellyfin")
        assert (result["outcome"], result["added"], result["unpictured"]) == ("ok", 2, 2)
        assert rows(stand.path, POSTERS) == [(4, 2)]
        result = (await stand.run()).as_dict()
        assert (result["outcome"], result["updated"]) == ("ok", 2)
        assert rows(stand.path, POSTERS) == [(4, 4)]


async def test_every_audit_event_is_a_log_line_with_its_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So a tail that was cut off the table shows."""
    caplog.set_level("INFO", logger="daemon")
    async with working(tmp_path, batch_size=1) as stand:
        await stand.run()
        logged = [
            (line["seq"], line["action"], line["hash"])
            for line in (record.msg for record in caplog.records)
            if isinstance(line, dict) and line["event"] == "audit.recorded"
        ]
        table = rows(stand.path, "SELECT seq, action, hash FROM sync_audit ORDER BY seq")
        assert len(table) == 4
        assert logged == table


@pytest.mark.parametrize(("level", "left"), [("INFO", 2), ("DEBUG", 0)])
def test_decisions_are_only_gone_through_if_their_lines_are_seen(
    caplog: pytest.LogCaptureFixture, level: str, left: int
) -> None:
    """A hundred thousand lines that nobody sees would cost a third of a second."""
    decisions = iter([Add(an_item(at)) for at in (1, 2)])
    with caplog.at_level(level, "daemon"):
        log_decisions(decisions)
    assert (len([*decisions]), len(caplog.records)) == (left, 2 - left)
