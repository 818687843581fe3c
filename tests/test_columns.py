"""A column of the tracker is one entry, from which it is read, written, filled and shown."""

from __future__ import annotations

import pytest

from daemon.columns import COLUMNS, FILLABLE, REFRESHED, Column
from daemon.domain import Add, value_hash
from daemon.store import requests, titles
from tests.builders import an_item

ADD = Add(
    an_item("film", year=1927, overview="A city.", path="/films/Metropolis.mkv", shoko=9),
    radarr_id=7,
    sonarr_id=8,
    poster_url="http://jellyfin/poster",
)


def test_a_column_is_named_once() -> None:
    """Two entries would write it twice."""
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_a_column_reads_what_is_known(column: Column) -> None:
    """Also by the title's page, if it is not too long for that."""
    if column.name not in {"tvdb_id", "imdb_id"}:
        assert column.read(ADD) is not None
    assert (column.name in titles._TITLE) is not column.long
    assert (column.name in requests._NEEDED["requests"]) is not column.optional


def test_a_row_and_an_item_are_compared_by_the_same_texts() -> None:
    """Or every row of ours would be written again in each run."""
    assert value_hash(*(column.read(ADD) for column in REFRESHED)) == ADD.item.metadata_hash


def test_what_identifies_a_title_and_its_place_is_never_overwritten() -> None:
    """Ids, type and picture follow rules of their own."""
    assert {column.name for column in REFRESHED} == {"title", "year", "overview", "final_path"}
    assert {column.name for column in COLUMNS} - FILLABLE.keys() == {"title", "media_type"}
