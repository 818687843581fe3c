"""Reads one long JSON list of records in pieces, sans I/O, never holding the whole of it.

A record ends where its braces balance outside strings, whatever it looks like. Counting them costs
ten times as much as decoding, so the end of the last whole record of a piece is guessed first, by
what stood between the latest two that were counted. The decoder decides: a text that begins with a
record can be a list of whole records in one way only. Where it refuses, records are counted and
decoded one by one. So every byte is looked at a fixed number of times.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

import msgspec

_Row = TypeVar("_Row")
_Envelope = TypeVar("_Envelope")
_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_REFUSED: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_LARGEST: Final = 4 * 1024 * 1024
_UNSOUND: Final = "half a surrogate pair or a bare control character in its text"
_NULL: Final = msgspec.Raw(b"null")

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A number as all these services keep it; a larger one would not fit into a column."""

Taken = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
"""The list in an envelope, whose records were taken out; a second one of that key is refused."""


class Broken(NamedTuple):
    """A record that is not of the shape asked for, or no JSON.

    Attributes:
        raw: its text.
    """

    raw: bytes
    reason: str


class MalformedError(ValueError):
    """The text is not the JSON that was expected."""


class CutError(MalformedError):
    """The text ends before its list does."""


def salvaged(broken: Broken, shape: type[_Row]) -> tuple[_Row | None, list[str]]:
    """A broken record without the values that are not of their shape, and the names of those.

    A null stands for a value that is absent, and is not named.

    Returns:
        None if a value is lost that the record cannot be without.
    """
    try:
        given = msgspec.json.decode(broken.raw, type=dict[str, msgspec.Raw])
    except _REFUSED:
        return None, []
    kept: dict[str, object] = {}
    lost = ["text"] if broken.reason == _UNSOUND else []
    parts = msgspec.structs.fields(shape)  # type: ignore[arg-type]
    for part in parts:
        text = given.get(part.encode_name, _NULL)
        if text == _NULL:
            continue
        try:
            kept[part.name] = msgspec.json.decode(text, type=part.type)
        except _REFUSED:
            lost.append(part.encode_name)
    if any(part.required and part.name not in kept for part in parts):
        return None, lost
    return shape(**kept), lost


def is_cut(text: bytes) -> bool:
    """Whether it begins as an object and does not end as one."""
    return text.lstrip().startswith(b"{") and not text.rstrip().endswith(b"}")


def _mended(text: bytes, reason: str) -> Broken:
    """A record that msgspec refuses, as far as the standard decoder reads it.

    Half a surrogate pair is no text, and msgspec refuses all of what holds one, so that it would
    cost a title where it may cost a letter.
    """
    try:
        value = json.loads(text.decode(), strict=False)
        sound = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return Broken(text, reason)
    return Broken(sound, _UNSOUND)


def _leap(stops: bytes) -> re.Pattern[bytes]:
    """Matches up to one of these characters outside strings, or up to a string that has no end."""
    plain = rb'[^"%b]*+' % re.escape(stops)
    return re.compile(rb'%b(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"%b)*+' % (plain, plain), re.DOTALL)


_IN_A_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BEFORE_THE_LIST: Final = _leap(b"{}[]")
_BETWEEN_RECORDS: Final = _leap(b",{[]")
_IN_A_RECORD: Final = {ord("{"): _leap(b"{}"), ord("["): _leap(b"[]")}
_QUOTE, _COMMA, _LIST = b'",['
_BETWEEN: Final = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"\s*:')


class _Cursor:
    """Goes through a text that grows at its end, from one structural character to the next.

    Attributes:
        text: what was not taken yet.
        at: how far it was looked at, so that nothing is looked at twice.
        since: where the latest step began.
    """

    def __init__(self) -> None:
        self.text = bytearray()
        self.at = self.since = self._stopped = 0
        self._quoted = False

    def next(self, leap: re.Pattern[bytes]) -> int | None:
        """The next structural character outside strings; None if it has not come yet."""
        while True:
            if self._quoted:
                self._go(_IN_A_STRING)
                if self.text[self.at : self.at + 1] != b'"':
                    return None
                self._quoted = False
                self.at += 1
            self._go(leap)
            if self.at == len(self.text):
                return None
            code = self.text[self.at]
            self.at += 1
            if code != _QUOTE:
                self.since, self._stopped = self._stopped, self.at
                return code
            self._quoted = True

    def _go(self, leap: re.Pattern[bytes]) -> None:
        if match := leap.match(self.text, self.at):
            self.at = match.end()

    def take(self) -> bytes:
        """Cut off all that was looked at."""
        taken = bytes(self.text[: self.at])
        self.drop(self.at)
        return taken

    def drop(self, size: int) -> None:
        """Cut off the beginning; what follows is looked at from its own beginning."""
        del self.text[:size]
        self.at = self.since = self._stopped = 0


class RecordReader(Generic[_Row]):
    """Turns the pieces of a reply into rows.

    Args:
        row: the shape of a record; keys that it does not name are passed over.
        key: of the list, in a reply that is an object; None where the reply is the list.
    """

    def __init__(self, row: type[_Row], key: str | None = None) -> None:
        self._row = msgspec.json.Decoder(row)
        self._rows = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._key = key and re.compile(rb'(?<!\\)"%b"\s*:\s*\Z' % re.escape(key.encode()))
        self._cursor = _Cursor()
        self._head = b""
        self._open = self._separated = False
        self._depth = self._closed = 0
        self._leap = _BEFORE_THE_LIST
        self._between = b""

    def feed(self, piece: bytes) -> list[_Row | Broken]:
        """The records that are complete now.

        Raises:
            MalformedError: one record exceeds 4 MiB, or no list comes.
        """
        self._cursor.text += piece
        rows = self._read(guess=True) if self._head or self._found() else []
        if len(self._cursor.text) > _LARGEST:
            raise MalformedError("a record of over 4 MiB" if self._open else "no list of records")
        return rows

    def close(self, envelope: type[_Envelope]) -> tuple[list[_Row | Broken], _Envelope]:
        """The last records, and what stands around the list, once the reply has ended.

        Args:
            envelope: the shape of the reply, with `Taken` for its list.

        Raises:
            MalformedError: the reply is cut short, or has another shape.
        """
        rows = self._read(guess=False)
        text = (self._head and self._head + b"]") + bytes(self._cursor.text)
        if self._open or is_cut(text):
            raise CutError("the list ends too early")
        try:
            return rows, msgspec.json.decode(text, type=envelope)
        except _REFUSED as error:
            raise MalformedError(str(error)) from None

    def _found(self) -> bool:
        """Whether the list has begun; what stands before it is put aside."""
        cursor, level = self._cursor, 1 if self._key else 0
        while (code := cursor.next(self._leap)) is not None:
            if code == _LIST and self._depth == level and self._is_named():
                self._head = cursor.take()
                self._open, self._depth, self._leap = True, 0, _BETWEEN_RECORDS
                return True
            self._depth += 1 if code in _IN_A_RECORD else -1
        return False

    def _is_named(self) -> bool:
        cursor = self._cursor
        return not self._key or bool(self._key.search(cursor.text, cursor.since, cursor.at - 1))

    def _read(self, *, guess: bool) -> list[_Row | Broken]:
        """What is complete, with one guess where a record begins."""
        rows: list[_Row | Broken] = []
        while self._open:
            if guess and self._between and not self._cursor.at:
                guess = False
                if guessed := self._guessed():
                    return rows + guessed
            if (text := self._counted()) is None:
                break
            if self._separated or text.strip():
                rows.append(self._one(text))
        return rows

    def _guessed(self) -> list[_Row | Broken]:
        """The records up to where the last one seems to end, if the decoder agrees."""
        text = self._cursor.text
        if (end := text.rfind(self._between)) < 0:
            return []
        with memoryview(text) as view, view[: end + 1] as whole:
            records = b"".join((b"[", whole, b"]"))
        for decode in (self._rows.decode, self._one_by_one):
            with contextlib.suppress(*_REFUSED):
                rows = decode(records)
                self._cursor.drop(text.index(b",", end) + 1)
                self._separated = True
                return rows
        return []

    def _counted(self) -> bytes | None:
        """The text of the next record, once the comma or the bracket behind it has come."""
        cursor = self._cursor
        while (code := cursor.next(self._leap)) is not None:
            if self._depth:
                self._depth += 1 if code in _IN_A_RECORD else -1
                if not self._depth:
                    self._leap, self._closed = _BETWEEN_RECORDS, cursor.at - 1
            elif code in _IN_A_RECORD:
                self._leap, self._depth = _IN_A_RECORD[code], 1
            else:
                self._open = code == _COMMA
                self._separated |= self._open
                if match := _BETWEEN.match(cursor.text, self._closed):
                    self._between = match[0]
                return cursor.take()[:-1]
        return None

    def _one_by_one(self, records: bytes) -> list[_Row | Broken]:
        return [self._one(raw) for raw in _RAWS.decode(records)]

    def _one(self, text: bytes | msgspec.Raw) -> _Row | Broken:
        try:
            return self._row.decode(text)
        except RecursionError:
            return Broken(bytes(text), "nested too deeply")
        except msgspec.ValidationError as error:
            return Broken(bytes(text), str(error))
        except (msgspec.DecodeError, UnicodeError) as error:
            return _mended(bytes(text), str(error))
