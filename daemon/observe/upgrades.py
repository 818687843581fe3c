"""Titles whose file is being upgraded: Radarr and Sonarr delete the old file first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain import Ids, MediaType, TrackedRequest
from daemon.identity import same
from daemon.observe.sources import Problems, Services
from daemon.pipeline import HistoryKind
from daemon.services.arr import ArrClient
from daemon.services.arr_queue import ArrQueueClient

_BELIEVED: Final = timedelta(hours=6)
"""How long an upgrade is believed: a copy takes minutes, and Jellyfin needs time."""
_MAX_NOTED: Final = 2_000
_UPGRADE: Final = "upgrade"


class Upgrades:
    """Upgrades in progress, known from webhooks and histories.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._noted: dict[tuple[MediaType, Ids], float] = {}

    def note(self, media_type: MediaType, ids: Ids) -> None:
        """A webhook reported that a title's file was deleted for an upgrade."""
        self._forget()
        if len(self._noted) < _MAX_NOTED:
            self._noted[media_type, ids] = self._clock()

    async def of(
        self,
        missing: Iterable[TrackedRequest],
        instance_ids: Mapping[str, Mapping[int, int]],
        problems: Problems,
    ) -> frozenset[int]:
        """The missing rows that may be missing only because of an upgrade.

        Args:
            instance_ids: by instance beside the primary ones, each row's number there.
        """
        self._forget()
        rows = list(missing)
        found = {
            row.id
            for row in rows
            if any(
                row.media_type is media_type and same(media_type, row.ids, ids) is True
                for media_type, ids in self._noted
            )
        }
        for arr in self._services.of(ArrClient):
            mine = [row for row in rows if row.media_type is arr.media_type]
            numbers = await self._numbers(arr, problems) if mine else frozenset()
            others = instance_ids.get(arr.http.service, {})
            found |= {
                row.id
                for row in mine
                if (row.arr_id if arr.primary else others.get(row.id)) in numbers
            }
        return frozenset(found)

    async def _numbers(self, arr: ArrClient, problems: Problems) -> frozenset[int]:
        """An instance's ids of titles with a recent upgrade."""
        since = (arr.http.date or datetime.now(UTC)) - _BELIEVED
        client = ArrQueueClient(arr.http, arr.media_type)
        history = await problems.optional(client.history(since))
        return frozenset(
            event.arr_id
            for event in (history.values if history else ())
            if event.kind is HistoryKind.FILE_DELETED and (event.reason or "").lower() == _UPGRADE
        )

    def _forget(self) -> None:
        begin = self._clock() - _BELIEVED.total_seconds()
        self._noted = {title: at for title, at in self._noted.items() if at >= begin}
