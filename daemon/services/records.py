"""Parses one long JSON list of records incrementally, sans I/O.

A record ends where its braces balance outside strings, even if malformed. Counting them costs
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
"""An integer as all these services store it; larger ones would not fit a column."""

Taken = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
"""The emptied list inside an envelope; a second key of that name is rejected."""


class Broken(NamedTuple):
    """A record of the wrong shape, or malformed JSON.

    Attributes:
        raw: its text.
    """

    raw: bytes
    reason: str


class MalformedError(ValueError):
    """The text is not the JSON that was expected."""


class CutError(MalformedError):
    """The text is truncated inside the list."""


def salvaged(broken: Broken, shape: type[_Row]) -> tuple[_Row | None, list[str]]:
    """A broken record without its malformed fields, and their names.

    A null means an absent value and is not reported.

    Returns:
        None if a required field is malformed.
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
    """Whether the text is a truncated object."""
    return text.lstrip().startswith(b"{") and not text.rstrip().endswith(b"}")


def _mended(text: bytes, reason: str) -> Broken:
    """A record that msgspec rejects, decoded by the standard library.

    msgspec rejects a record that contains an unpaired surrogate, which would
    lose a title instead of a letter.
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
    """A cursor over a growing text, from one structural character to the next.

    Attributes:
        text: the rest that was not consumed.
        at: the scan position; nothing is scanned twice.
        since: where the latest step started.
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
        """Consume everything scanned."""
        taken = bytes(self.text[: self.at])
        self.drop(self.at)
        return taken

    def drop(self, size: int) -> None:
        """Consume a prefix and rescan the rest."""
        del self.text[:size]
        self.at = self.since = self._stopped = 0


class RecordReader(Generic[_Row]):
    """Decodes the chunks of a reply into rows.

    Args:
        row: the shape of a record; unknown keys are skipped.
        key: of the list in an object; None if the reply itself is the list.
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
        """Add a chunk; returns the records that are now complete.

        Raises:
            MalformedError: one record exceeds 4 MiB, or no list comes.
        """
        self._cursor.text += piece
        rows = self._read(guess=True) if self._head or self._found() else []
        if len(self._cursor.text) > _LARGEST:
            raise MalformedError("a record of over 4 MiB" if self._open else "no list of records")
        return rows

    def close(self, envelope: type[_Envelope]) -> tuple[list[_Row | Broken], _Envelope]:
        """Finish; returns the last records and the envelope around the list.

        Args:
            envelope: the shape of the reply, with `Taken` for its list.

        Raises:
            MalformedError: the reply is truncated, or has another shape.
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
        """Whether the list has started; the text before it is set aside."""
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
        """The complete records, with one guess at a record's start."""
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
        """The records up to the guessed end of the last one, if the decoder agrees."""
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
