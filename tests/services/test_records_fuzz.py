"""Any list, in any layout and any pieces, is read as the standard decoder reads it whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.services.records import Broken, MalformedError, RecordReader, Taken

BROKEN = [
    *('{"Id":}', '{"Id":"1",}', '{"a" "b"}', '{"x":[}', '{"x":]}', "{'a':1}", '{"n":01}'),
    *('{"s":"\\x"}', "{}{}", "tru", "1 2", "-", "null", "7", '"},{"', "[{}]"),
    *("[]", "", '{"s":"\udcff"}', '{"x":{"y":[}}', "{:}", "{,}", '{"Id"}', '["]"]'),
]
LURES = ["}", "},{", '"', "\\", "]}", '"Items":[', "{", "[", "a", "é🎬\u2028", "\n", "\\u007b", ""]
KEYS = ["Name", "Id", "Items", 'a"b', "{", "é", "TotalRecordCount"]


class Envelope(msgspec.Struct):
    """ListingContext a list."""

    Items: Taken
    TotalRecordCount: int


class Case(NamedTuple):
    """A document as text, and the text of each of its records."""

    body: bytes
    records: list[bytes]
    enveloped: bool


texts = st.lists(st.sampled_from(LURES), max_size=4).map("".join)
plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(0, 1e9) | texts
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
blanks = st.lists(st.sampled_from(["", "", " ", "\n  ", "\r\n\t"]), min_size=1).map(itertools.cycle)
pieces = st.lists(st.integers(1, 12) | st.integers(1, 400), min_size=1).map(itertools.cycle)


def spelled(text: str, blank: Iterator[str]) -> str:
    """A string, with or without escapes for what needs none."""
    written = json.dumps(text, ensure_ascii=next(blank) == "")
    return written.replace("{", "\\u007b") if next(blank) == " " else written


def laid_out(value: Any, blank: Iterator[str]) -> str:
    """A value as text, with blanks wherever they may stand."""
    if isinstance(value, dict):
        pairs = (
            f"{next(blank)}{spelled(key, blank)}{next(blank)}:{laid_out(one, blank)}"
            for key, one in value.items()
        )
        text = "{" + ",".join(pairs) + next(blank) + "}"
    elif isinstance(value, list):
        text = "[" + ",".join(laid_out(one, blank) for one in value) + next(blank) + "]"
    else:
        text = spelled(value, blank) if isinstance(value, str) else json.dumps(value)
    return next(blank) + text + next(blank)


@st.composite
def documents(draw: st.DrawFn, broken: st.SearchStrategy[str]) -> Case:
    """Lists as a service might send them, bare or in an envelope."""
    blank, enveloped = draw(blanks), draw(st.booleans())
    sound = objects.map(lambda value: laid_out(value, blank))
    records = draw(st.lists(sound | broken, max_size=6))
    text = "[" + ",".join(records) + "]"
    if enveloped:
        before, after = (draw(values), draw(values))
        total = f'"TotalRecordCount":{next(blank)}{len(records)}'
        around = [f'"Meta":{laid_out(before, blank)}', f'{next(blank)}"Items"{next(blank)}:{text}']
        around += [f'"More":{laid_out(after, blank)}']
        around.insert(draw(st.sampled_from([0, 3])), total)
        text = next(blank) + "{" + ",".join(around) + "}"
    encoded = [record.encode("utf-8", "surrogateescape") for record in records]
    return Case((text + next(blank)).encode("utf-8", "surrogateescape"), encoded, enveloped)


def fed(case: Case, end: int, sizes: Iterator[int]) -> tuple[RecordReader[Any], list[Any]]:
    """A reader that was given so much of a document, and what it gave for that."""
    reading: RecordReader[Any] = RecordReader(dict[str, Any], "Items" if case.enveloped else None)
    rows, at = [], 0
    while at < end:
        rows += reading.feed(case.body[at : (at := min(end, at + next(sizes)))])
    return reading, rows


def expected(record: bytes) -> Any:
    """A record as the standard decoder reads it; its text if it is none."""
    try:
        value = json.loads(record.decode())
    except ValueError:
        value = None
    return value if isinstance(value, dict) else record.strip()


def told(row: Any) -> Any:
    """A row, or the text of a broken one."""
    return row.raw.strip() if isinstance(row, Broken) else row


NONE_BROKEN: st.SearchStrategy[str] = st.nothing()


@given(case=documents(NONE_BROKEN), sizes=pieces)
def test_a_sound_list_is_read_as_by_the_standard_decoder(case: Case, sizes: Iterator[int]) -> None:
    """Whatever its layout, its strings, its nesting and its pieces are."""
    reading, rows = fed(case, len(case.body), sizes)
    last, around = reading.close(Envelope if case.enveloped else list)
    whole = json.loads(case.body)
    assert rows + last == (whole["Items"] if case.enveloped else whole)
    if isinstance(around, Envelope):
        assert around.TotalRecordCount == len(case.records)


@given(case=documents(st.sampled_from(BROKEN)), sizes=pieces)
def test_a_broken_record_is_one_record(case: Case, sizes: Iterator[int]) -> None:
    """It is given with its own text, and its neighbours are read."""
    reading, rows = fed(case, len(case.body), sizes)
    last, _ = reading.close(Envelope if case.enveloped else list)
    alone = [record for record in case.records if record.strip()] == []
    records = [] if alone and len(case.records) == 1 else case.records
    assert [told(row) for row in rows + last] == [expected(record) for record in records]


@given(case=documents(st.sampled_from(BROKEN)), sizes=pieces, data=st.data())
def test_what_is_cut_is_never_whole(case: Case, sizes: Iterator[int], data: st.DataObject) -> None:
    """Wherever it ends, closing it says so, and what came before is true."""
    end = data.draw(st.integers(0, len(case.body.rstrip()) - 1))
    reading, rows = fed(case, end, sizes)
    assert [told(row) for row in rows] == [expected(one) for one in case.records[: len(rows)]]
    with pytest.raises(MalformedError):
        reading.close(Envelope if case.enveloped else list)
