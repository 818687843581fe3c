"""Reads one long JSON array of objects in pieces, sans I/O, never holding the whole of it.

The text between two records is learned from the array's own opening: what stands from its `[` to
the colon after the first record's first key begins every record. An unescaped quote cannot stand
inside a JSON string, so where `},` and that text follow each other a record ended, unless an inner
object begins alike; such a cut is unbalanced, the decoder refuses it, and the next cut is tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec

_Row = TypeVar("_Row")
_Envelope = TypeVar("_Envelope")
_OPENING = re.compile(rb'[^\[]*\[(\s*\{\s*"[^"\\]*"\s*:)')
_Any = TypeVar("_Any")
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_LARGEST = 4 * 1024 * 1024
_TOO_DEEP = "nested too deeply"
_TORN = "half a surrogate pair in its text"
_NULL = msgspec.Raw(b"null")

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A number as all these services keep it; a larger one would not fit into a column."""


class Broken(NamedTuple):
    """A record that is JSON, but not of the shape asked for.

    Attributes:
        raw: its text.
    """

    raw: bytes
    reason: str


def salvaged(broken: Broken, shape: type[_Row]) -> tuple[_Row | None, list[str]]:
    """A broken record without the values that are not of their shape, and the names of those.

    A null stands for a value that is absent, and is not named.

    Returns:
        None if a value is lost that the record cannot be without.
    """
    try:
        given = msgspec.json.decode(broken.raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None, []
    kept: dict[str, object] = {}
    lost = ["text"] if broken.reason == _TORN else []
    parts = msgspec.structs.fields(shape)  # type: ignore[arg-type]
    for part in parts:
        text = given.get(part.encode_name, _NULL)
        if text == _NULL:
            continue
        try:
            kept[part.name] = msgspec.json.decode(text, type=part.type)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            lost.append(part.encode_name)
    if any(part.required and part.name not in kept for part in parts):
        return None, lost
    return shape(**kept), lost


class MalformedError(ValueError):
    """The text is not the JSON that was expected, or it is not closed."""


def _decoded(decoder: msgspec.json.Decoder[_Any], text: bytes) -> tuple[_Any, bool]:
    """The value of a text, and whether it is sound.

    Half a surrogate pair is no text, and msgspec refuses all of what holds one. The standard
    decoder reads it, so that it breaks its own record only.

    Raises:
        ValueError: the text is no JSON of that shape, at least not yet.
    """
    try:
        return decoder.decode(text), True
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError):
        return decoder.decode(_mended(text)), False
    except RecursionError:
        raise MalformedError(_TOO_DEEP) from None


def _mended(text: bytes) -> bytes:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError:
        raise MalformedError(_TOO_DEEP) from None


def _torn(raw: msgspec.Raw) -> Broken:
    return Broken(bytes(raw), _TORN)


class RecordReader(Generic[_Row, _Envelope]):
    """Turns the pieces of a reply into rows.

    Args:
        row: the shape of a record; keys that it does not name are passed over.
        envelope: the shape of the whole reply, with its records as `msgspec.Raw`.
        records: finds the records in the envelope.
    """

    def __init__(
        self,
        row: type[_Row],
        envelope: type[_Envelope],
        records: Callable[[_Envelope], list[msgspec.Raw]],
    ) -> None:
        self._records = records
        self._row = msgspec.json.Decoder(row)
        self._rows = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._envelope = msgspec.json.Decoder(envelope)
        self._buffer = bytearray()
        self._head: bytes | None = None
        self._between = b""

    def feed(self, piece: bytes) -> list[_Row | Broken]:
        """The records that are complete now.

        Raises:
            MalformedError: one record exceeds 4 MiB, or the text cannot be JSON.
        """
        self._buffer += piece
        if self._head is None and not self._learn():
            return []
        end = self._buffer.rfind(self._between)
        rows = self._taken(end) if end >= 0 else []
        if len(self._buffer) > _LARGEST:
            raise MalformedError("a record of over 4 MiB")
        return rows

    def close(self) -> tuple[list[_Row | Broken], _Envelope]:
        """The last records and the envelope, once the reply has ended.

        Raises:
            MalformedError: the reply is cut short, or has another shape.
        """
        try:
            envelope = self._envelope.decode(self._rest())
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._close_carefully()
        return [self._one(raw) for raw in self._records(envelope)], envelope

    def _rest(self) -> bytes:
        return (self._head or b"") + bytes(self._buffer)

    def _close_carefully(self) -> tuple[list[_Row | Broken], _Envelope]:
        end = self._buffer.rfind(self._between) if self._between else -1
        rows = self._one_by_one(bytes(self._buffer[: end + 1])) if end >= 0 else []
        try:
            envelope, sound = _decoded(self._envelope, self._rest())
        except ValueError as error:
            raise MalformedError(str(error)) from None
        last = self._records(envelope)
        return rows + [self._one(raw) if sound else _torn(raw) for raw in last], envelope

    def _learn(self) -> bool:
        if (match := _OPENING.match(self._buffer)) is None:
            if len(self._buffer) > _LARGEST:
                raise MalformedError("no list of records")
            return False
        begin = match.start(1)
        self._head, self._between = bytes(self._buffer[:begin]), b"}," + match[1]
        del self._buffer[:begin]
        return True

    def _taken(self, end: int) -> list[_Row | Broken]:
        """The records before the cut at `end`; what cannot be read yet stays in the buffer."""
        text = b"[" + bytes(self._buffer[: end + 1]) + b"]"
        try:
            rows: list[_Row | Broken] = self._rows.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._one_by_one(text[1:-1])
        del self._buffer[: end + 2]
        return rows

    def _one_by_one(self, text: bytes) -> list[_Row | Broken]:
        rows: list[_Row | Broken] = []
        pending = b""
        for part in _parts(text, self._between):
            pending = pending + b"," + part if pending else part
            try:
                raws, sound = _decoded(_RAWS, b"[" + pending + b"]")
            except MalformedError:
                raise
            except ValueError:
                continue
            rows.extend(self._one(raw) if sound else _torn(raw) for raw in raws)
            del self._buffer[: len(pending) + 1]
            pending = b""
        return rows

    def _one(self, raw: msgspec.Raw) -> _Row | Broken:
        try:
            return self._row.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return Broken(bytes(raw), str(error))


def _parts(text: bytes, between: bytes) -> list[bytes]:
    """The text cut wherever a record may have ended."""
    opening = between[2:]
    first, *others = text.split(between)
    parts = [first, *(opening + other for other in others)]
    return [part + b"}" for part in parts[:-1]] + parts[-1:]
