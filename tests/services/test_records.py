"""Reading a long JSON array in pieces gives what reading it whole would, or says that it cannot."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from daemon.services.records import (
    Broken,
    CutError,
    Int32,
    MalformedError,
    RecordReader,
    Taken,
    salvaged,
)
from tests.upstream import cases, text_of

MIB = 1024 * 1024


class Envelope(msgspec.Struct):
    """ListingContext Jellyfin's lists."""

    Items: Taken
    TotalRecordCount: int


class Row(msgspec.Struct):
    """A strict shape, to have records that do not fit it."""

    Id: str
    ProviderIds: dict[str, str] = {}
    Year: Int32 | None = None


MINIFIED = {"separators": (",", ":")}
LAYOUTS: dict[str, dict[str, Any]] = {
    "minified": MINIFIED,
    "raw text": MINIFIED | {"ensure_ascii": False},
    "two blanks": {"indent": 2},
    "four blanks": {"indent": 4},
    "tabs": {"indent": "\t"},
    "windows": {"indent": 2},
}
BODIES = {
    "jellyfin": text_of("jellyfin", "library"),
    "jellyfin episodes": text_of("jellyfin", "episodes"),
    "radarr": text_of("radarr", "list"),
    "sonarr": text_of("sonarr", "list"),
}


def written(document: Any, style: str) -> bytes:
    """A document as text in one of the layouts."""
    text = json.dumps(document, **LAYOUTS[style])
    return (text.replace("\n", "\r\n") if style == "windows" else text).encode()


def reader(row: Any, *, envelope: bool) -> RecordReader[Any]:
    """A reader of a bare list, or of Jellyfin's envelope."""
    return RecordReader(row, "Items" if envelope else None)


def closed(reading: RecordReader[Any], *, envelope: bool) -> tuple[list[Any], Any]:
    """The last rows, and what stands around the list."""
    return reading.close(Envelope if envelope else list)


def read(
    body: bytes, sizes: Iterator[int], row: Any = dict[str, Any], *, envelope: bool
) -> list[Any]:
    """All rows of a body that arrives in pieces of these sizes."""
    reading = reader(row, envelope=envelope)
    rows, at = [], 0
    while at < len(body):
        size = next(sizes)
        rows += reading.feed(body[at : at + size])
        at += size
    return rows + closed(reading, envelope=envelope)[0]


def rows_of(document: Any) -> Any:
    """The records of a document that is read whole."""
    return document["Items"] if isinstance(document, dict) else document


def enveloped(records: list[Any]) -> dict[str, Any]:
    """A document as Jellyfin sends it."""
    return {"Items": records, "TotalRecordCount": len(records), "StartIndex": 0}


sizes = st.lists(st.integers(1, 9000) | st.integers(1, 9), min_size=1).map(itertools.cycle)


@pytest.mark.parametrize("style", ["as sent", *LAYOUTS])
@pytest.mark.parametrize("name", BODIES)
@given(sizes=sizes)
@budget(max_examples=6, deadline=None)
def test_any_chunking_of_recorded_replies_gives_the_same(
    name: str, style: str, sizes: Iterator[int]
) -> None:
    """However a real reply is cut and laid out, its rows are those of the standard decoder."""
    document = json.loads(BODIES[name])
    body = BODIES[name] if style == "as sent" else written(document, style)
    assert read(body, sizes, envelope=name.startswith("jellyfin")) == rows_of(document)


words = st.sampled_from(["},{", '"Name":', '},{"Name":', '"}', "[", "]}", "\\", "é🎬\u2028", "\n"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Name", "Id"]), inner)
        | st.lists(st.fixed_dictionaries({"Name": inner}), min_size=2, max_size=3)
    ),
    max_leaves=8,
)
records = st.fixed_dictionaries({"Name": values}, optional={"Id": values, "Items": values})


@given(
    listed=st.lists(records, max_size=6),
    style=st.sampled_from(list(LAYOUTS)),
    envelope=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1).map(itertools.cycle),
)
@budget(max_examples=200, deadline=None)
def test_what_looks_like_a_cut_is_none(
    *, listed: list[Any], style: str, envelope: bool, sizes: Iterator[int]
) -> None:
    """Inner objects that begin like records, and strings that look like JSON, do not mislead."""
    body = written(enveloped(listed) if envelope else listed, style)
    assert read(body, sizes, envelope=envelope) == listed


@pytest.mark.parametrize("style", LAYOUTS)
@pytest.mark.parametrize("envelope", [True, False])
def test_a_cut_reply_is_never_whole(*, style: str, envelope: bool) -> None:
    """Wherever a reply ends early, closing it says so, whatever rows came before."""
    listed = [{"Name": "a },{ é", "Tags": [{"Name": 1}, {"Name": 2}]}, {"Name": "]}"}, {"Name": ""}]
    body = written(enveloped(listed) if envelope else listed, style)
    for end in range(len(body)):
        reading = reader(dict[str, Any], envelope=envelope)
        rows = reading.feed(body[:end])
        assert rows == listed[: len(rows)]
        with pytest.raises(MalformedError):
            closed(reading, envelope=envelope)


FINE = '{"Id":"%d"}'
UNSOUND = "half a surrogate pair or a bare control character in its text"
HALF = r'{"Id":"\ud83c"}'
HUGE = '{"Id":"2","Year":10000000000000000000000}'
NO_TEXT = "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
NULL = '{"Id":"2","ProviderIds":null}'
BROKEN = {
    "half a surrogate pair": (HALF, UNSOUND),
    "a control character": ('{"Id":"\x01"}', UNSOUND),
    "no JSON": ('{"Id":}', "JSON is malformed: invalid character (byte 6)"),
    "an open list": ('{"Id":"2","x":[}', "JSON is malformed: invalid character (byte 15)"),
    "NaN": ('{"Id":"2","Year":NaN}', "JSON is malformed: invalid character (byte 17)"),
    "nothing": ("", "Input data was truncated"),
    "10^22": (HUGE, "Expected `int` <= 2147483647 - at `$.Year`"),
    "null ids": (NULL, "Expected `object`, got `null` - at `$.ProviderIds`"),
    "a number for text": ('{"Id":7}', "Expected `str`, got `int` - at `$.Id`"),
    "no id": ('{"Name":"x"}', "Object missing required field `Id`"),
    "no UTF-8": ('{"Id":"\udcff"}', NO_TEXT),
    "null for a record": ("null", "Expected `object`, got `null`"),
    "a list for a record": ("[1]", "Expected `object`, got `array`"),
}
NESTED = '{"Id":"2","x":%s}' % ("[" * 500 + "]" * 500)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("record", "reason"), cases(BROKEN))
@pytest.mark.parametrize("envelope", [True, False])
def test_a_broken_record_breaks_itself_only(
    *, envelope: bool, record: str, reason: str, place: int, size: int
) -> None:
    """A record that cannot be used is told with its text; those around it are read."""
    texts = [FINE % number for number in range(3)]
    texts[place] = record
    body = "[" + ",".join(texts) + "]"
    if envelope:
        body = f'{{"Items":{body},"TotalRecordCount":3}}'
    raw = body.encode("utf-8", "surrogateescape")
    rows = read(raw, itertools.repeat(size), Row, envelope=envelope)
    assert [row.reason if isinstance(row, Broken) else row.Id for row in rows] == [
        reason if number == place else str(number) for number in range(3)
    ]


def test_what_nobody_asked_for_may_be_odd() -> None:
    """Keys that the shape does not name are passed over, also huge numbers and deep nesting."""
    odd = HUGE.replace("Year", "Size")
    rows = read(f"[{odd},{NESTED}]".encode(), itertools.repeat(64), Row, envelope=False)
    assert rows == [Row("2"), Row("2")]


def test_many_records_without_the_usual_first_key_are_read() -> None:
    """A record that begins otherwise does not stop the reading, beside a broken one neither."""
    filler = [json.dumps({"Id": str(number), "x": "x" * 1000}) for number in range(6000)]
    odd = json.dumps({"x": "x", "Id": "odd"})
    body = f"[{','.join([FINE % 1, NULL, odd, *filler])}]".encode()
    rows = read(body, itertools.repeat(MIB // 4), Row, envelope=False)
    ids = ["broken" if isinstance(row, Broken) else row.Id for row in rows]
    assert ids == ["1", "broken", "odd", *map(str, range(6000))]


@pytest.mark.parametrize("envelope", [True, False])
@pytest.mark.parametrize("style", LAYOUTS)
def test_an_empty_list_is_whole(*, style: str, envelope: bool) -> None:
    """A list without records is a good reply, and not the same as none."""
    body = written(enveloped([]) if envelope else [], style)
    reading = reader(Row, envelope=envelope)
    assert reading.feed(body) == []
    rows, whole = closed(reading, envelope=envelope)
    assert (rows, whole) == ([], Envelope([], 0) if envelope else [])


@pytest.mark.parametrize("envelope", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>[{</html>",
        b'"text"',
        b'{"message":"database is locked"}',
        b'{"errors":[{"Id":"1"},{"Id":"2"}]}',
        b'{"Items":null,"TotalRecordCount":0}',
        b'{"Items":{"Id":"1"},"TotalRecordCount":1}',
        b'{"Items":[{"Id":"1"}]}',
        b'[{"Id":"1"}] and more',
        b'\xff[{"Id":"1"}]',
        b'{"Items":[{"Id":"1"}],"TotalRecordCount":1}}',
    ],
)
def test_another_shape_is_malformed(*, body: bytes, envelope: bool) -> None:
    """What is not the list that was asked for is an error, never an empty list."""
    with pytest.raises(MalformedError):
        read(body, itertools.repeat(100), Row, envelope=envelope)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param('{"Id":"%s"}' % ("x" * 5 * MIB), "a record of over 4 MiB", id="a record"),
        pytest.param("x" * 5 * MIB, "no list of records", id="no list"),
    ],
)
def test_memory_has_a_bound(text: str, reason: str) -> None:
    """What exceeds any real record is refused before it is kept whole."""
    body = f"[{FINE % 1},{text}".encode() if "Id" in text else text.encode()
    pieces = iter([MIB // 4] * 17)
    with pytest.raises(MalformedError, match=reason):
        read(body, pieces, Row, envelope=False)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("[" * 100_000, "]" * 100_000),
        ('{"Id":"2","x":' + '{"x":' * 100_000 + "1", "}" * 100_001),
        (r'{"Id":"\ud83c","x":' + "[" * 100_000, "]" * 100_000 + "}"),
    ],
)
def test_endless_nesting_breaks_one_record(begin: str, end: str) -> None:
    """Nesting that would exhaust the stack costs the record that has it, and no other."""
    body = f"[{FINE % 1},{begin}{end},{FINE % 3}]"
    rows = read(body.encode(), itertools.repeat(MIB), Row, envelope=False)
    assert [isinstance(row, Broken) or row.Id for row in rows] == ["1", True, "3"]
    with pytest.raises(CutError):
        read(f"[{FINE % 1},{begin}".encode(), itertools.repeat(MIB), Row, envelope=False)


def test_rows_come_as_soon_as_they_are_complete() -> None:
    """A record is given once its comma has come, so nothing waits for the end of the reply."""
    reading = reader(Row, envelope=True)
    assert reading.feed(b'{"Items":[{"Id":"1"},{"Id":"2"') == [Row("1")]
    assert reading.feed(b'},{"Id":"3"},{"Id"') == [Row("2"), Row("3")]
    assert reading.feed(b':"4"}],"TotalRecordCount":4') == [Row("4")]
    assert reading.feed(b"}") == []
    rows, whole = closed(reading, envelope=True)
    assert (rows, whole.TotalRecordCount) == ([], 4)


LURES = {
    "in a record": '{"Items":[{"Id":"1","Items":[{"Id":"x"}]}],"TotalRecordCount":1}',
    "in an object before it": '{"Meta":{"Items":[{"Id":"x"}]},"Items":[{"Id":"1"}],%s}',
    "in a list before it": '{"Meta":[{"Items":[{"Id":"x"}]}],"Items":[{"Id":"1"}],%s}',
    "in a string before it": r'{"Meta":"\"Items\":[{","Items":[{"Id":"1"}],%s}',
    "in a key before it": r'{"\"Items":[{"Id":"x"}],"Items":[{"Id":"1"}],%s}',
    "in a key that ends so": r'{"NoItems":[{"Id":"x"}],"Items":[{"Id":"1"}],%s}',
    "after it": '{"TotalRecordCount":1,"Items":[{"Id":"1"}],"Meta":{"Items":[{"Id":"x"}]}}',
}


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in LURES.items()])
def test_only_the_list_of_the_reply_itself_is_read(text: str, size: int) -> None:
    """A list of the same name elsewhere is not taken for it; the count is read on either side."""
    body = text.replace("%s", '"TotalRecordCount":1').encode()
    assert read(body, itertools.repeat(size), Row, envelope=True) == [Row("1")]


@pytest.mark.parametrize("second", ['"Items":[{"Id":"2"}]', r'"\u0049tems":[{"Id":"2"}]'])
def test_a_second_list_is_not_passed_over(second: str) -> None:
    """A reply that has its list twice is malformed, since either one may be the right one."""
    body = '{"Items":[{"Id":"1"}],"TotalRecordCount":1,' + second + "}"
    with pytest.raises(MalformedError):
        read(body.encode(), itertools.repeat(100), Row, envelope=True)


def test_a_broken_record_does_not_cost_its_neighbours_a_second_look() -> None:
    """What the decoder has refused once is not handed to it again from each record on."""
    texts = [FINE % number for number in range(80_000)]
    texts[-3] = '{"Id":}'
    started = time.process_time()
    rows = read(f"[{','.join(texts)}]".encode(), itertools.repeat(2 * MIB), Row, envelope=False)
    assert [isinstance(row, Broken) for row in rows].count(True) == 1
    assert time.process_time() - started < 5


@pytest.mark.parametrize("size", [1, 1000, MIB])
def test_the_time_does_not_grow_with_the_square(size: int) -> None:
    """Minified records full of what looks like their ends take as long as any other text.

    Read again at each of them, this takes minutes.
    """
    titles = ",".join(FINE % number for number in range(3000))
    record = '{"Id":"1","titles":[' + titles + '],"more":"' + "},{" * 20_000 + '"}'
    body = f"[{','.join([record] * (3 if size == 1 else 30))}]".encode()
    started = time.process_time()
    assert len(read(body, itertools.repeat(size), Row, envelope=False)) == body.count(b"more")
    assert time.process_time() - started < 5


ENDLESS = "1" + "0" * 5000


@pytest.mark.parametrize(
    ("record", "row", "lost"),
    [
        ('{"Id":"1","Year":"1999"}', Row("1"), ["Year"]),
        ('{"Id":"1","Year":1e400,"ProviderIds":{"a":"b"}}', Row("1", {"a": "b"}), ["Year"]),
        ('{"Id":"1","Year":' + ENDLESS + "}", Row("1"), ["Year"]),
        ('{"Id":"1","ProviderIds":[],"Year":"x"}', Row("1"), ["ProviderIds", "Year"]),
        ('{"Id":"1","ProviderIds":null,"Year":7}', Row("1", Year=7), []),
        ('{"Id":7,"Year":1}', None, ["Id"]),
        ('{"Id":null}', None, []),
        ("{}", None, []),
        ("[]", None, []),
        ("7", None, []),
        ("{", None, []),
    ],
)
def test_a_broken_record_is_used_without_its_bad_values(
    record: str, row: Row | None, lost: list[str]
) -> None:
    """They are named; only without a value that it cannot be without is the record lost."""
    assert salvaged(Broken(record.encode(), "x"), Row) == (row, lost)
