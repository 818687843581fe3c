"""A run's statistics while it runs, and its result when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from daemon import __version__, domain
from daemon.reasons import UPDATED, Count, Kind, Reason

_MAX_DETAILS: Final = 100
_MAX_RULES: Final = 50
_MAX_EARLY: Final = 20_000


@dataclass(slots=True)
class RunStats:
    """The counts of one run.

    Attributes:
        counts: decisions, and what was written, by reason.
        unpictured: titles that were added without asking whether they have a poster.
        waiting_plan: the run whose plan is open.
        listed: by service, how many titles Radarr and Sonarr have.
        folders_away: by service, the root folders that Radarr and Sonarr cannot reach.
        early: Jellyfin ids of titles that cannot be played yet, the first few.
        guard: the rules of the removal guard; empty if it was not reached.
        server: id of the Jellyfin that answered; "" where none did.
        server_known: whether it is the known one.
    """

    counts: Counter[Reason] = field(default_factory=Counter)
    scanned: int = 0
    unpictured: int = 0
    waiting_plan: int | None = None
    defects: list[domain.ItemError] = field(default_factory=list)
    gaps: list[domain.SourceFailure] = field(default_factory=list)
    early: set[str] = field(default_factory=set)
    guard: tuple[domain.Rule, ...] = ()
    failure: domain.SourceFailure | None = None
    listed: dict[str, int] = field(default_factory=dict)
    folders_away: dict[str, tuple[str, ...]] = field(default_factory=dict)
    server: str = ""
    server_known: bool = True

    def __getitem__(self, count: Count) -> int:
        of_it = (n for reason, n in self.counts.items() if count in reason.meaning.counts)
        return sum(of_it)

    def count(self, plan: domain.Plan) -> None:
        """Count a plan's decisions, apart from those counted when written."""
        self.counts.update(one.reason for one in plan.decisions if _is_settled(one))
        self.counts.update([Reason.HELD] * len(plan.held))
        self.early.update(islice(_early(plan.decisions), _MAX_EARLY))
        self.guard = plan.guard

    @property
    def wrote_any(self) -> bool:
        """Whether any row was written."""
        return any(number and reason.meaning.audit for reason, number in self.counts.items())

    @property
    def outcome(self) -> domain.Outcome:
        """The outcome: partial if anything could not be read or an item was left out."""
        if self.failure is not None:
            return domain.Outcome.FAILED
        if self.waiting_plan is not None:
            return domain.Outcome.HELD
        lost = any(defect.lost for defect in self.defects)
        return domain.Outcome.PARTIAL if self.gaps or lost else domain.Outcome.OK

    def problems(self) -> list[str]:
        """All problems, in sentences."""
        failure = [self.failure] if self.failure else []
        gaps = [gap.detail for gap in (*failure, *self.gaps) if gap.kind != domain.SCANNING]
        return [*gaps, *(str(defect) for defect in self.defects)]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How a run ended.

    Attributes:
        run_id: its number; None for a dry run.
        calls: by service, requests, bytes after decompression and seconds of waiting.
        plan: what a dry run would write.
        configuration: a fingerprint of the settings.
        phases: the seconds that each took, in order.
    """

    outcome: domain.Outcome
    stats: RunStats
    run_id: int | None
    duration_ms: int
    calls: dict[str, dict[str, float]]
    kind: str = "full"
    versions: dict[str, str] = field(default_factory=dict)
    plan: list[dict[str, Any]] | None = None
    configuration: str = ""
    phases: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON; the first five keys are a contract with the tracker."""
        stats, problems = self.stats, self.stats.problems()
        counts = {count.value: stats[count] for count in Count}
        document: dict[str, Any] = {
            "total_scanned": stats.scanned,
            "added": counts.pop(Count.ADDED),
            "skipped": counts.pop(Count.SKIPPED),
            "errors": len(problems),
            "error_details": _capped(problems),
            "updated": sum(counts[one] for one in UPDATED),
            **counts,
            "run_id": self.run_id,
            "outcome": self.outcome.value,
            "kind": self.kind,
            "dry_run": self.plan is not None,
            "duration_ms": self.duration_ms,
            "waiting_plan": stats.waiting_plan,
            "unpictured": stats.unpictured,
            "skip_reasons": {
                reason.value: number
                for reason, number in sorted(stats.counts.items())
                if number and Count.SKIPPED in reason.meaning.counts
            },
            "gaps": [gap._asdict() for gap in stats.gaps],
            "calls": self.calls,
            "versions": self.versions,
            "version": __version__,
            "configuration": self.configuration,
            "phases": self.phases,
            "guard": _capped_rules(stats.guard),
            "listed": stats.listed,
            "folders_away": stats.folders_away,
            "server": stats.server,
            "server_known": stats.server_known,
        }
        return document if self.plan is None else {**document, "plan": self.plan}


def nothing_new(seconds: float) -> SyncResult:
    """The result of a quick check that found nothing to do."""
    return SyncResult(domain.Outcome.OK, RunStats(), None, round(seconds * 1000), {}, "quick")


def _is_settled(decision: domain.Decision) -> bool:
    """Whether the decision needs neither a write nor an admin.

    Decisions about a request alone are not skipped items of the library.
    """
    if isinstance(decision, domain.Skip):
        return decision.item is not None
    return decision.reason is not Reason.HELD and not decision.reason.meaning.audit


def _early(decisions: Iterable[domain.Decision]) -> Iterator[str]:
    """Jellyfin ids of items to check again soon, since they are not complete yet."""
    for one in decisions:
        retried = one.reason.meaning.retried or (isinstance(one, domain.Update) and one.undecided)
        if retried and not isinstance(one, domain.Absent) and one.item is not None:
            yield one.item.jellyfin_id


def _capped(problems: list[str]) -> list[str]:
    more = len(problems) - _MAX_DETAILS
    return problems if more <= 0 else [*problems[:_MAX_DETAILS], f"and {more} more"]


def _capped_rules(rules: Iterable[domain.Rule]) -> list[dict[str, Any]]:
    """The rules as JSON, capped; those that hold a removal come first."""
    holding_first = sorted(rules, key=lambda rule: not rule.why)
    return [rule._asdict() for rule in holding_first[:_MAX_RULES]]


def planned(plan: domain.Plan) -> Iterator[dict[str, Any]]:
    """A dry run's plan as JSON: what would be written, held, or needs a person."""
    for one in plan.decisions:
        if isinstance(one, domain.Add):
            yield {"decision": Kind.ADD.value, **_about(one.item)}
        elif isinstance(one, domain.Update):
            columns = sorted({*one.fills, *one.replaces, *one.relinks})
            yield {"decision": one.reason.value, **_about(one.item), "columns": columns}
        elif isinstance(one, domain.Conflict):
            rows = {"request_ids": [*one.request_ids]}
            yield {"decision": Kind.CONFLICT.value, **_about(one.item), **rows}
        elif isinstance(one, domain.Absent) and one.fate is domain.Fate.REMOVE:
            yield {"decision": Kind.REMOVE.value, **_named(one.request), "why": one.why}
    for held in plan.held:
        why = {"why": held.why, "kind": held.kind.value}
        yield {"decision": "hold", **_named(held.request), **why}


def _about(item: domain.LibraryItem | None) -> dict[str, Any]:
    if item is None:
        return {}
    names = {"title": item.title, "jellyfin_id": item.jellyfin_id}
    return {"media_type": item.media_type.value, **names}


def _named(row: domain.TrackedRequest) -> dict[str, Any]:
    return {"request_id": row.id, "library": row.library}
