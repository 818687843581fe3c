"""Typed rows, and pages of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import WithJsonSchema

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
_Row = TypeVar("_Row", bound="DataclassInstance")

Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in ISO 8601, as the file has it."""


class Page(NamedTuple, Generic[_T]):
    """A page of rows.

    Attributes:
        next: the cursor of the next page; None if this is the last.
    """

    rows: list[_T]
    next: int | None


def page(found: list[_T], limit: int, key: Callable[[_T], int]) -> Page[_T]:
    """A page of rows, from a query for one more than `limit`."""
    rows = found[:limit]
    return Page(rows, key(rows[-1]) if rows and len(found) > limit else None)


def where(terms: Mapping[str, object]) -> tuple[str, list[object]]:
    """A WHERE clause of the terms whose value is not None, and those values."""
    given = {term: value for term, value in terms.items() if value is not None}
    return " AND ".join(given) or "1", [*given.values()]


def columns(kind: type[DataclassInstance], *but: str) -> str:
    """A query's columns, one per field of a type."""
    return ", ".join(one.name for one in fields(kind) if one.name not in but)


def values(kind: type[_Row], rows: Iterable[Sequence[Any]]) -> list[_Row]:
    """A value for each row."""
    return [kind(*row) for row in rows]


def first(kind: type[_Row], rows: Iterable[Sequence[Any]]) -> _Row | None:
    """The value of the first row; None if there is none."""
    return next((kind(*row) for row in rows), None)


def extended(kind: type[_Row], value: DataclassInstance, **more: Any) -> _Row:
    """A value extended by more fields."""
    return kind(**{one.name: getattr(value, one.name) for one in fields(value)}, **more)


def document(value: object) -> object:
    """A value for JSON; the `default` of `json.dumps`."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
