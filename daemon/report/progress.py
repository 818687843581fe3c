"""What is going on, told to whoever listens; a slow listener is dropped, never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

_REPLAYED: Final = 256
_QUEUED: Final = 128


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
        errors: what is known so far to have gone wrong.
    """

    phase: Phase
    done: int = 0
    total: int | None = None
    errors: int = 0


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        id: grows by one with each event.
        kind: "progress", "started", "done" and the like.
        data: what is to be told: a dictionary for JSON, or a dataclass.
    """

    id: int
    kind: str
    data: Any


@dataclass(eq=False, slots=True)
class Subscription:
    """One listener's place; `dropped` once it was too slow or the feed was closed."""

    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(_QUEUED))
    dropped: bool = False

    async def events(self, heartbeat: float) -> AsyncIterator[Event | None]:
        """Events until the listener is dropped; None where none has come for so many seconds."""
        while not (self.dropped and self.queue.empty()):
            try:
                async with asyncio.timeout(heartbeat):
                    event = await self.queue.get()
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            yield event


class Feed:
    """Hands events to all listeners; remembers the latest for those that were away shortly."""

    def __init__(self) -> None:
        self._latest: deque[Event] = deque(maxlen=_REPLAYED)
        self._listeners: set[Subscription] = set()
        self._id = 0
        self._closed = False

    @property
    def last_id(self) -> int:
        """The id of the latest event."""
        return self._id

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell everybody; returns at once."""
        self._id += 1
        event = Event(self._id, kind, data)
        self._latest.append(event)
        for listener in [*self._listeners]:
            self._give(listener, event)

    def since(self, last_id: int) -> list[Event] | None:
        """The events after one that was seen; None if they are not all remembered."""
        missed = [event for event in self._latest if event.id > last_id]
        whole = 0 <= last_id <= self._id and len(missed) == self._id - last_id
        return missed if whole else None

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """A subscription, from now on."""
        listener = Subscription()
        if self._closed:
            self._drop(listener)
        else:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Disconnect all subscribers."""
        self._closed = True
        for listener in [*self._listeners]:
            self._drop(listener)

    def _give(self, listener: Subscription, event: Event) -> None:
        try:
            listener.queue.put_nowait(event)
        except asyncio.QueueFull:
            self._drop(listener)

    def _drop(self, listener: Subscription) -> None:
        self._listeners.discard(listener)
        listener.dropped = True
        if not listener.queue.full():
            listener.queue.put_nowait(None)
