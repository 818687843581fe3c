"""Writes a plan in batches, counts what was written, and logs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from daemon.domain import (
    Absent,
    Actor,
    Add,
    Decision,
    Evidence,
    Fate,
    Plan,
    Policy,
    Skip,
    SourceFailure,
    Update,
)
from daemon.errors import ServiceError
from daemon.logs import logger
from daemon.observe.sources import error_boundary
from daemon.report.result import RunStats, planned
from daemon.services.jellyfin import MAX_IDS, JellyfinClient, Page
from daemon.snapshot import Texts
from daemon.store import Store, evidence, history, instance_ids, plans, syncing
from daemon.store.database import batched
from daemon.store.syncing import ConcurrentWrites

_log = logger(__name__)
_REMOVAL_BATCH = 50


class PlanWriter:
    """Writes the plan of one run.

    Args:
        run: its number and its actor.
        stats: counts what was written.
        plan_age: after which a held plan is stale.

    Attributes:
        since: must be set before the plan's rows are read.
    """

    def __init__(
        self,
        store: Store,
        run: tuple[int, Actor],
        batch_size: int,
        stats: RunStats,
        plan_age: timedelta,
    ) -> None:
        self._store = store
        self._run = run
        self._batch_size = batch_size
        self._stats = stats
        self._count = stats.counts.update
        self._plan_age = plan_age
        self.since = ConcurrentWrites()

    async def write(self, plan: Plan, texts: Texts, wrote: Callable[[int], None]) -> None:
        """Write the plan, removals last; `wrote` gets the number of committed decisions.

        Raises:
            StoreError: a batch could not be written, or the file could not be copied before.
        """
        written = [one for one in plan.decisions if _is_written(one)]
        settled = len(plan.decisions) - len(written)
        for start in range(0, len(written), self._batch_size):
            batch = [_full(one, texts) for one in written[start : start + self._batch_size]]
            await self._store.write(syncing.apply, *self._run, batch, self.since, self._count)
            settled += len(batch)
            wrote(settled)
        for left in batched([rows for rows in plan.doubles if rows not in plan.merges]):
            await self._store.write(syncing.note_doubles, self._run[0], left)
        for rows in plan.merges:
            self._count(await self._store.write(syncing.merge, *self._run, rows))
        await self._note(plan.evidence)
        await self._remove(plan)
        if plan.guard and not any(rule.why for rule in plan.guard if rule.name in history.PROOF):
            held = await plans.hold(self._store, self._run[0], plan.held, self._plan_age)
            self._stats.waiting_plan = held

    async def _note(self, found: Evidence) -> None:
        for name in ("seen", "returned", "missed", "away"):
            for part in batched(getattr(found, name)):
                await self._store.write(evidence.note, Evidence(**{name: part}))
        for ids in batched(found.instance_ids):
            await self._store.write(instance_ids.note, ids)

    async def _remove(self, plan: Plan) -> None:
        gone = [
            one for one in plan.decisions if isinstance(one, Absent) and one.fate is Fate.REMOVE
        ]
        if gone:
            await self._store.copy_beside(".before-removal")
        for batch in batched(gone, _REMOVAL_BATCH):
            self._count(await self._store.write(syncing.remove, *self._run, batch))


def _is_written(decision: Decision) -> bool:
    if isinstance(decision, Skip):
        return decision.reason.kept
    return not isinstance(decision, Absent)


def _full(decision: Decision, texts: Texts) -> Decision:
    if not isinstance(decision, Add):
        return decision
    return replace(decision, item=texts.full(decision.item))


class DryRun:
    """Stands in for the `PlanWriter` of a dry run: counts and keeps the plan."""

    def __init__(self, stats: RunStats) -> None:
        self._stats = stats
        self.entries: list[dict[str, Any]] = []

    async def write(self, plan: Plan, _: Texts, wrote: Callable[[int], None]) -> None:
        """Keep the plan."""
        writes = (one.reason for one in plan.decisions if one.reason.meaning.audit)
        self._stats.counts.update(writes)
        self.entries.extend(planned(plan))
        wrote(len(plan.decisions))


class Pictures:
    """Asks Jellyfin which of a few new titles have a poster."""

    def __init__(self, jellyfin: JellyfinClient, policy: Policy) -> None:
        self._jellyfin = jellyfin
        self._policy = policy

    async def of(self, plan: Plan, stats: RunStats) -> Plan:
        """A plan with the posters of its additions, unless they are many."""
        adds = [one for one in plan.decisions if isinstance(one, Add) and one.item.poster is None]
        if not adds:
            return plan
        found = await self._asked(adds, stats) if len(adds) <= MAX_IDS else {}
        stats.unpictured += sum(add.item.jellyfin_id not in found for add in adds)
        decisions = [
            replace(one, poster_url=found[one.item.jellyfin_id])
            if isinstance(one, Add) and one.item.jellyfin_id in found
            else one
            for one in plan.decisions
        ]
        return replace(plan, decisions=decisions)

    async def _asked(self, adds: Sequence[Add], stats: RunStats) -> dict[str, str | None]:
        """Posters by Jellyfin id; a later run asks again for those missing in the answer."""
        try:
            with error_boundary(self._jellyfin):
                found = await self._jellyfin.look_up([add.item.jellyfin_id for add in adds], Page())
        except ServiceError as error:
            stats.gaps.append(SourceFailure(error.service, error.kind, str(error)))
            return {}
        return {item.jellyfin_id: self._policy.poster_url(item) for item in found.items}


def log_decisions(decisions: Iterable[Decision]) -> None:
    """Log each decision at debug level."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    for decision in decisions:
        item = None if isinstance(decision, Absent) else decision.item
        _log.debug(
            f"title.{type(decision).__name__.lower()}",
            jellyfin_id=item.jellyfin_id if item else None,
            title=item.title if item else None,
            reason=decision.reason.value if isinstance(decision, Skip | Update) else None,
        )
