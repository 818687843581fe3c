"""Dry runs: one at a time, never begun beside a run, and shared by all who ask during one."""

from __future__ import annotations

import asyncio

from daemon.apply.run import SyncService
from daemon.report.result import SyncResult
from daemon.triggers.queue import Worker
from daemon.web.problems import unavailable


class Previews:
    """Does the dry runs that are asked for.

    Args:
        service: does one.
        worker: whose runs they wait for.
    """

    def __init__(self, service: SyncService, worker: Worker) -> None:
        self._service = service
        self._worker = worker
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Future[SyncResult] | None = None

    async def ask(self) -> SyncResult:
        """The plan of a dry run that begins after this call.

        Raises:
            Problem: whoever asked for it first was stopped.
        """
        if self._next is not None:
            return await asyncio.shield(self._next)
        shared = self._next = asyncio.get_running_loop().create_future()
        try:
            result = await self._preview(shared)
            shared.set_result(result)
        finally:
            self._leave(shared)
            if not shared.done():
                shared.set_exception(unavailable("the dry run was not finished"))
                shared.exception()  # whoever shares it sees it; nobody has to
        return result

    async def _preview(self, shared: asyncio.Future[SyncResult]) -> SyncResult:
        async with self._one_at_a_time:
            while (running := self._worker.running) is not None:
                await asyncio.wait({running.result})
            self._leave(shared)
            return await self._service.preview()

    def _leave(self, shared: asyncio.Future[SyncResult]) -> None:
        """Let nobody else share it."""
        if self._next is shared:
            self._next = None
