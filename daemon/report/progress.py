"""Publishes progress events; a slow subscriber is dropped, never waited for."""

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
    """The progress of a run.

    Attributes:
        done: titles read, or decisions written.
        total: how many there will be; None while unknown.
        errors: problems so far.
    """

    phase: Phase
    done: int = 0
    total: int | None = None
    errors: int = 0


class Event(NamedTuple):
    """One event.

    Attributes:
        id: a sequence number.
        kind: "progress", "started", "done" and the like.
        data: the payload: a dictionary for JSON, or a dataclass.
    """

    id: int
    kind: str
    data: Any


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscriber; `dropped` once it was too slow or the feed was closed."""

    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(_QUEUED))
    dropped: bool = False

    async def events(self, heartbeat: float) -> AsyncIterator[Event | None]:
        """Events until the subscriber is dropped; None as a heartbeat after so many seconds."""
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
    """Publishes events to all subscribers; keeps the latest for replay after a reconnect."""

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
        """The number of subscribers."""
        return len(self._listeners)

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Publish an event without waiting."""
        self._id += 1
        event = Event(self._id, kind, data)
        self._latest.append(event)
        for listener in [*self._listeners]:
            self._give(listener, event)

    def since(self, last_id: int) -> list[Event] | None:
        """The events after an id; None if they are no longer all kept."""
        missed = [event for event in self._latest if event.id > last_id]
        whole = 0 <= last_id <= self._id and len(missed) == self._id - last_id
        return missed if whole else None

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """Subscribe from now on."""
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
