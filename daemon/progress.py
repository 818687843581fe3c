"""What a run is doing, for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The steps of a run, in their order."""

    ASKING = "asking the services"
    READING = "reading the library"
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Attributes:
        done: titles decided and, where something was to be written, written.
        total: titles that the library will bring; None while that is unknown.
    """

    phase: Phase
    done: int = 0
    total: int | None = None
