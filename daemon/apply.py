"""Hands decisions to the store in batches, counts what became of them, and tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from daemon.clients.jellyfin import MOST_IDS, JellyfinClient, Page
from daemon.domain import Actor, Add, Decision, Evidence, Gap, Policy, Skip, Update
from daemon.errors import ServiceError
from daemon.logs import logger
from daemon.removal import Verdict
from daemon.result import Tally, planned
from daemon.store import ATTENTION, Applied, Link, Store

_log = logger(__name__)
_REMOVED_AT_ONCE = 50


class Applier:
    """Writes the decisions of one run.

    Args:
        store: the tracker's file.
        run: its number, and who asked for it.
        batch_size: titles a transaction.
        pictures: finds out which of the given titles have a poster.
        tally: counts what was decided and written.
        plan_age: after which a held plan is stale.
    """

    def __init__(
        self,
        store: Store,
        run: tuple[int, Actor],
        batch_size: int,
        pictures: Pictures,
        tally: Tally,
        plan_age: timedelta,
    ) -> None:
        self._store = store
        self._run = run
        self._batch_size = batch_size
        self._pictures = pictures
        self._tally = tally
        self._plan_age = plan_age
        self._pending: list[Decision] = []
        self._unpictured: list[Add] = []

    @property
    def waiting(self) -> int:
        """How many decisions were taken but not written yet."""
        return len(self._pending) + len(self._unpictured)

    async def take(self, decisions: Iterable[Decision]) -> None:
        """Count decisions, and write them once they make a batch.

        Raises:
            StoreError: a batch could not be written.
        """
        for decision in decisions:
            self._tally.count(decision)
            _tell(decision)
            if isinstance(decision, Add) and decision.item.poster is None:
                self._put_aside(decision)
            elif not isinstance(decision, Skip) or decision.reason in ATTENTION:
                self._pending.append(decision)
            if len(self._pending) >= self._batch_size:
                await self._write()

    async def finish(self) -> None:
        """Write what is left.

        Raises:
            StoreError: it could not be written.
        """
        waiting, self._unpictured = self._unpictured, []
        self._pending.extend(await self._pictures.of(waiting, self._tally) if waiting else ())
        while self._pending:
            await self._write()

    async def note(self, evidence: Evidence) -> None:
        """Keep the evidence.

        Raises:
            StoreError: it could not be written.
        """
        await self._store.note_evidence(evidence)

    async def settle(self, verdict: Verdict) -> None:
        """Remove what may go, hold what has to be approved.

        Raises:
            StoreError: it could not be written, or the file could not be copied before.
        """
        if verdict.remove:
            await self._store.copy_before_removal()
        for start in range(0, len(verdict.remove), _REMOVED_AT_ONCE):
            rows = verdict.remove[start : start + _REMOVED_AT_ONCE]
            applied = await self._store.remove(*self._run, rows)
            self._tally.removed += applied.removed
            tell_audit(applied.links)
        waiting = await self._store.hold(self._run[0], verdict.held, self._plan_age)
        self._tally.waiting_plan = waiting

    def _put_aside(self, add: Add) -> None:
        """A few new titles wait for their pictures; many are written without."""
        self._unpictured.append(add)
        if self._tally.unpictured or len(self._unpictured) > MOST_IDS:
            self._tally.unpictured += len(self._unpictured)
            self._pending.extend(self._unpictured)
            self._unpictured.clear()

    async def _write(self) -> None:
        batch = self._pending[: self._batch_size]
        self._pending = self._pending[self._batch_size :]
        await self._store.apply(*self._run, batch, self._count)

    def _count(self, applied: Applied) -> None:
        self._tally.added += applied.added
        self._tally.filled += applied.filled
        self._tally.refreshed += applied.refreshed
        self._tally.relinked += applied.relinked
        self._tally.promoted += applied.promoted
        self._tally.overtaken(len(applied.passed))
        tell_audit(applied.links)


class Plan:
    """Collects what would be written, for a run that writes nothing."""

    waiting = 0
    """Nothing waits to be written where nothing is."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.entries: list[dict[str, Any]] = []

    async def take(self, decisions: Iterable[Decision]) -> None:
        """Count decisions, and note those that would write."""
        for decision in decisions:
            self._tally.count(decision)
            self._tally.would_write(decision)
            self.entries.extend(planned(decision))

    async def finish(self) -> None:
        """Nothing is left to do."""

    async def note(self, _: Evidence) -> None:
        """What was seen counts in a run that writes."""

    async def settle(self, verdict: Verdict) -> None:
        """Note what would be removed or held."""
        self._tally.removed += len(verdict.remove)
        rows = [("remove", row, "") for row in verdict.remove]
        rows += [("hold", held.row, held.why) for held in verdict.held]
        self.entries.extend(
            {"decision": kind, "request_id": row.id, "library": row.library, "why": why}
            for kind, row, why in rows
        )


class Pictures:
    """Asks Jellyfin which of a few titles have a poster."""

    def __init__(self, jellyfin: JellyfinClient, policy: Policy) -> None:
        self._jellyfin = jellyfin
        self._policy = policy

    async def of(self, adds: list[Add], tally: Tally) -> list[Add]:
        """The same additions, with their posters; without, where Jellyfin cannot be asked."""
        try:
            found = await self._jellyfin.look_up([add.item.jellyfin_id for add in adds], Page())
        except ServiceError as error:
            tally.unpictured += len(adds)
            tally.gaps.append(Gap(error.service, error.kind, str(error)))
            return adds
        posters = {item.jellyfin_id: self._policy.poster_url(item) for item in found.items}
        return [replace(add, poster_url=posters.get(add.item.jellyfin_id)) for add in adds]


def _tell(decision: Decision) -> None:
    reason = decision.reason.value if isinstance(decision, Skip | Update) else None
    _log.debug(
        f"title.{type(decision).__name__.lower()}",
        jellyfin_id=decision.item.jellyfin_id,
        title=decision.item.title,
        reason=reason,
    )


def tell_audit(links: Iterable[Link]) -> None:
    """Put the audit's new events into the log, where a cut tail of the table shows."""
    for link in links:
        _log.info(
            "audit.recorded", seq=link.seq, action=link.action, target=link.target, hash=link.hash
        )
