"""What a run came to: its counts while it goes, its result when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.domain import (
    Add,
    Conflict,
    Decision,
    Defect,
    Gap,
    Outcome,
    Skip,
    SkipReason,
    Update,
    UpdateReason,
)

SCANNING: Final = "scanning"
"""The kind of the gap that a library being scanned leaves; it is no error."""

_MOST_DETAILS: Final = 100


@dataclass(slots=True)
class Tally:
    """The counts of one run."""

    scanned: int = 0
    added: int = 0
    filled: int = 0
    refreshed: int = 0
    without_ids: int = 0
    unpictured: int = 0
    conflicts: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    defects: list[Defect] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    failure: Gap | None = None

    def count(self, decisions: Iterable[Decision]) -> None:
        """Count decisions as they are made; what was written is counted with `wrote`."""
        for one in decisions:
            if isinstance(one, Skip):
                self.skipped[one.reason] += 1
            elif isinstance(one, Conflict):
                self.conflicts += 1
            elif isinstance(one, Add):
                self.without_ids += not one.item.ids.known

    def plan(self, decisions: Iterable[Decision]) -> None:
        """Count what would be written, where nothing is."""
        for one in decisions:
            if isinstance(one, Add):
                self.added += 1
            elif isinstance(one, Update):
                self.filled += one.reason is UpdateReason.FILL
                self.refreshed += one.reason is UpdateReason.REFRESH

    def wrote(self, added: int, filled: int, refreshed: int, overtaken: int) -> None:
        """Count what a transaction wrote, and the items that somebody else was quicker with."""
        self.added += added
        self.filled += filled
        self.refreshed += refreshed
        self.skipped[SkipReason.TRACKED_MEANWHILE] += overtaken

    @property
    def outcome(self) -> Outcome:
        """Partial as soon as anything could not be read, or an item had to be left out."""
        if self.failure is not None:
            return Outcome.FAILED
        lost = any(defect.lost for defect in self.defects)
        return Outcome.PARTIAL if self.gaps or lost else Outcome.OK

    def problems(self) -> list[str]:
        """Everything that went wrong, in sentences."""
        failure = [self.failure] if self.failure else []
        gaps = [gap.detail for gap in (*failure, *self.gaps) if gap.kind != SCANNING]
        return [*gaps, *(str(defect) for defect in self.defects)]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How a run ended.

    Attributes:
        run_id: its number; None for a dry run, which leaves no trace.
        calls: by service, the exchanges, the bytes after decompression and the seconds of waiting.
        plan: what a dry run would write.
    """

    outcome: Outcome
    tally: Tally
    run_id: int | None
    duration_ms: int
    calls: dict[str, dict[str, float]]
    versions: dict[str, str] = field(default_factory=dict)
    plan: list[dict[str, Any]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The result as it is told to people and machines; the first five keys are a contract."""
        tally, problems = self.tally, self.tally.problems()
        document: dict[str, Any] = {
            "total_scanned": tally.scanned,
            "added": tally.added,
            "skipped": tally.skipped.total(),
            "errors": len(problems),
            "error_details": _capped(problems),
            "updated": tally.filled + tally.refreshed,
            "promoted": 0,
            "removed": 0,
            "held": 0,
            "conflicts": tally.conflicts,
            "run_id": self.run_id,
            "outcome": self.outcome.value,
            "dry_run": self.plan is not None,
            "duration_ms": self.duration_ms,
            "filled": tally.filled,
            "refreshed": tally.refreshed,
            "without_ids": tally.without_ids,
            "unpictured": tally.unpictured,
            "skip_reasons": {reason.value: n for reason, n in sorted(tally.skipped.items()) if n},
            "gaps": [gap._asdict() for gap in tally.gaps],
            "calls": self.calls,
            "versions": self.versions,
        }
        return document if self.plan is None else {**document, "plan": self.plan}


def _capped(problems: list[str]) -> list[str]:
    more = len(problems) - _MOST_DETAILS
    return problems if more <= 0 else [*problems[:_MOST_DETAILS], f"and {more} more"]


def planned(decisions: Iterable[Decision]) -> Iterable[dict[str, Any]]:
    """Decisions worth telling, for a dry run."""
    for one in decisions:
        entry = {
            "media_type": one.item.media_type.value,
            "title": one.item.title,
            "jellyfin_id": one.item.jellyfin_id,
        }
        if isinstance(one, Add):
            yield {"decision": "add", **entry}
        elif isinstance(one, Update):
            columns = sorted({*one.fills, *one.replaces})
            yield {"decision": one.reason.value, **entry, "columns": columns}
        elif isinstance(one, Conflict):
            yield {"decision": "conflict", **entry, "request_ids": list(one.request_ids)}
