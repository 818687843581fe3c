"""Parses a list of a service: good records become values, broken ones are reported."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

import msgspec

from daemon.domain import Defects, ItemError
from daemon.errors import CutShortError
from daemon.services.http import ServiceHttp
from daemon.services.records import Broken, CutError, MalformedError, RecordReader, is_cut, salvaged

_Row = TypeVar("_Row")
_Value = TypeVar("_Value")


class UnusableError(ValueError):
    """An unusable record, and why."""


@dataclass(frozen=True, slots=True)
class Found(Generic[_Value]):
    """A parsed list.

    Attributes:
        defects: what was broken; a record that is `lost` is not among the values.
    """

    values: list[_Value] = field(default_factory=list)
    defects: Defects = field(default_factory=Defects)

    @property
    def whole(self) -> bool:
        """Whether every record could be used."""
        return not any(defect.lost for defect in self.defects)


@contextlib.contextmanager
def reading(http: ServiceHttp, path: str) -> Iterator[None]:
    """Turn malformed JSON into an error of the service."""
    try:
        yield
    except CutError as error:
        raise CutShortError(http.service, http.url + path, str(error)) from None
    except MalformedError as error:
        raise http.not_json(path, f"the list is malformed: {error}") from None


async def listed(
    http: ServiceHttp,
    path: str,
    query: Mapping[str, str],
    shape: type[_Row],
    make: Callable[[_Row], _Value],
    vital: Collection[str] = (),
) -> Found[_Value]:
    """The values of a JSON array, in order, within the deadline of a small reply.

    A record needs a numeric `id` and the fields named by `vital`.

    Raises:
        ServiceError: one of its kinds, also where the list is not closed.
    """
    reader = RecordReader(shape)
    rows: list[_Row | Broken] = []
    async with http.stream(path, query, http.patience.reply) as chunks:
        with reading(http, path):
            async for chunk in chunks:
                rows += reader.feed(chunk)
            rows += reader.close(list)[0]
    return kept(http.service, rows, shape, make, vital)


def kept(
    service: str,
    rows: Iterable[_Row | Broken],
    shape: type[_Row],
    make: Callable[[_Row], _Value],
    vital: Collection[str] = (),
) -> Found[_Value]:
    """The values of records; a broken field loses as little as possible."""
    found: Found[_Value] = Found()
    for each in rows:
        row, lost = salvaged(each, shape) if isinstance(each, Broken) else (each, [])
        if row is None:
            reason = each.reason if isinstance(each, Broken) else ""
            found.defects.note(ItemError(service, "", reason))
            continue
        ref, missed = str(getattr(row, "id", "")), sorted(set(vital) & set(lost))
        for name in lost:
            what = f"its {name} is not understood"
            found.defects.note(ItemError(service, ref, what, lost=name in vital))
        if missed:
            continue
        try:
            found.values.append(make(row))
        except UnusableError as error:
            found.defects.note(ItemError(service, ref, str(error)))
    return found


def decoded(
    http: ServiceHttp, path: str, body: bytes, shape: type[_Row], vital: Collection[str] = ()
) -> _Row:
    """One object, without its malformed fields.

    Raises:
        CutShortError: it is truncated.
        NotJsonError: it is not such an object, or a vital field is malformed.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        if is_cut(body):
            raise CutShortError(http.service, http.url + path, "the reply ends too early") from None
        row, lost = salvaged(Broken(body, str(error)), shape)
        if row is None or set(vital) & set(lost):
            raise http.not_json(path, f"unexpected JSON: {error}") from None
        return row


def moment(given: datetime | None) -> datetime | None:
    """A time in UTC; None if absent, which Radarr and Sonarr write as the year 1."""
    if given is None or given.year == 1:
        return None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
