"""View models: facts in, plain words and values for the templates out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

from daemon.domain import Value
from daemon.reasons import BRIEF, Count, FindingKind, Reason
from daemon.report.health import ServiceHealth
from daemon.report.progress import Phase
from daemon.report.words import count
from daemon.services.arr import APPLICATIONS
from daemon.services.http import CallStats
from daemon.services.jellyfin import SERVICE as JELLYFIN
from daemon.settings import Sync
from daemon.store.attention import Finding
from daemon.store.glance import Dashboard, PlanSummary
from daemon.store.history import Line, Run
from daemon.store.rows import extended
from daemon.triggers.queue import QueuedRun, RunStatus
from daemon.triggers.schedule import Job, JobRun

STATES: Final = ("ok", "running", "partial", "held", "failed", "never", "plain")
"""What an icon can say; the last one is that of pages which say nothing of how things stand."""

ICON_OF: Final = {
    "ok": "ok",
    "running": "running",
    "waiting": "running",
    "partial": "partial",
    "held": "held",
    "failed": "failed",
    "interrupted": "partial",
}
KINDS: Final = {
    "full": "full sync",
    "library": "sync of one library",
    "hinted": "check of single titles",
}
_TRIGGERS: Final = {
    "start": "the daemon's start",
    "interval": "the schedule",
    "quick": "the quick check",
    "retry": "a retry",
    "webhook": "a webhook",
    "cli": "the command line",
}
_NOTES: Final = {
    "asked": "Run {} is starting.",
    "queued": "Another run is in progress. Run {} is queued and starts after it.",
    "cancelled": "Cancelling run {}. What it has already written stays.",
    "approved": "Approved. Run {} checks once more and does what still applies.",
    "discarded": "Kept. Nothing was changed; you will be asked again if more are missing.",
    "paused": "Paused until it is resumed or the daemon restarts.",
    "resumed": "Resumed. It runs when it is next due.",
    "ignored": "Ignored until its reason changes. It is listed under “ignored”.",
    "restored": "No longer ignored.",
    "rechecked": "Run {} is rechecking this title.",
    "merging": "Run {} merges them into one row if they are still one title.",
    "confirmed": "Confirmed. Run {} applies it.",
    "removing": "Run {} checks once more and removes it if it is still missing.",
    "unlinking": "Run {} checks once more and removes the id if it is still gone.",
    "withdrawing": "A pass checks once more and withdraws what is still gone.",
    "tracking": "Run {} adds it again if it is still in the library.",
    "already": "This form was already sent. Nothing was done twice.",
}
_RULES: Final = {
    "complete": ("The library was read completely", "{value}", "{limit}"),
    "idle": ("Jellyfin was not scanning", "{value}", "{limit}"),
    "titles": ("Titles that Jellyfin lists", "{value}", "at least {limit}"),
    "unusable": ("Records that may be any title", "{value}", "at most {limit}"),
    "trusted": ("The server is the known one and its key sees everything", "{value}", "{limit}"),
    "mode": ("Removal mode", "{value}", "{limit}"),
    "evidence": ("Missing from {about}", "{value} of {limit} titles", "all of them"),
    "listed": ("{about} is listed by Jellyfin", "{value}", "{limit}"),
    "share": ("Missing in {about}", "{value}", "at most {limit}"),
    "total": ("Missing, of all titles", "{value}", "at most {limit}"),
    "week": ("Removed in seven days, including this run", "{value}", "at most {limit}"),
}
"""The rules of the removal guard: what each is about, what was found, and what lets titles go."""
_DOUBTS: Final = frozenset({"listed", "share", "total", "week", "unusable", "trusted"})
"""Rules that hold a removal because something looks wrong, not because it is too early."""

_STUCK: Final = 60.0
_BEST: Final = 10
_UNITS: Final = ((2 * 86_400, 86_400, "days"), (3600, 3600, "h"), (60, 60, "min"))
"""From how many seconds on a unit is used, how many it has, and its name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the overall status is derived from.

    Attributes:
        stuck: seconds since the current run made progress.
        every: the pause between two full runs.
        paused: no full run begins by schedule.
        asked: what each service was asked so far.
        calls_before: what each had been asked when the current run started.
    """

    now: datetime
    glance: Dashboard
    running: QueuedRun | None
    waiting: QueuedRun | None
    services: Mapping[str, ServiceHealth]
    stuck: float
    every: timedelta
    paused: bool = False
    asked: Mapping[str, CallStats] = field(default_factory=dict)
    calls_before: Mapping[str, CallStats] = field(default_factory=dict)


class Verdict(NamedTuple):
    """The overall status in one line.

    Attributes:
        state: one of `STATES`.
        words: the line.
        why: more of it, for administrators only: it may name addresses and folders.
    """

    state: str
    words: str
    why: str = ""


def verdict(facts: Facts) -> Verdict:
    """The most important status; it also says if the full sync is paused."""
    found = _verdict(facts)
    if not facts.paused:
        return found
    state = "partial" if found.state == "ok" else found.state
    return found._replace(state=state, words=f"{found.words.rstrip('.')}. The full sync is paused")


def _verdict(facts: Facts) -> Verdict:
    plan, full = facts.glance.plan, facts.glance.full
    if plan is not None:
        return Verdict("held", on_hold(plan))
    if facts.running is not None:
        return Verdict("running", f"Running: {KINDS[facts.running.scope.kind]}")
    if full is None:
        return Verdict("never", "Never synced")
    if full.outcome == "failed":
        return Verdict("failed", "The last sync failed", _first(_problems(full)))
    return _degraded(facts, full) or _missing(full) or Verdict("ok", f"In sync: {_titles(full)}")


def on_hold(plan: PlanSummary) -> str:
    """What a held plan keeps waiting, in one line."""
    kinds = ((plan.removals, "removal"), (plan.unlinks, "unlinked id"))
    parts = " and ".join(count(number, noun) for number, noun in kinds if number)
    return f"{parts} on hold; nothing was {'removed' if plan.removals else 'unlinked'}"


def _missing(full: Run) -> Verdict | None:
    """The status if titles are missing but no plan is held."""
    result = full.result or {}
    if not (number := result.get("watched", 0) + result.get("held", 0)):
        return None
    doubts = (rule["why"] for rule in result.get("guard", ()) if rule["name"] in _DOUBTS)
    if why := _first(filter(None, doubts)):
        words = f"{count(number, 'title')} missing, nothing removed; {_titles(full)} in sync"
        return Verdict("partial", words, why)
    return Verdict("ok", f"In sync: {_titles(full)}; {number:,} missing, waiting for more evidence")


def _degraded(facts: Facts, full: Run) -> Verdict | None:
    away = [one for one in facts.services.values() if one.up is False]
    if away:
        names = " and ".join(one.name for one in away)
        verb = "is" if len(away) == 1 else "are"
        return Verdict("partial", f"Degraded: {names} {verb} away", _first(o.problem for o in away))
    if full.outcome == "interrupted":
        return Verdict("partial", "The last sync was interrupted", "The next one will do the rest.")
    checked = moment(facts.glance.checked)
    if checked is not None and facts.now - checked > 2 * facts.every:
        late = span((facts.now - checked).total_seconds())
        why = f"A sync is expected every {span(facts.every.total_seconds())}."
        return Verdict("partial", f"Stale: the last good sync was {late} ago", why)
    if full.outcome == "partial":
        result = full.result or {}
        gaps = [gap["detail"] for gap in result.get("gaps", ())]
        words = f"Partly in sync: {_titles(full)}"
        return Verdict("partial", words, _first([*gaps, *_problems(full)]))
    return None


def _titles(full: Run) -> str:
    return count((full.result or {}).get("total_scanned", 0), "title")


def _problems(run: Run) -> list[str]:
    return list((run.result or {}).get("error_details", ()))


def _first(texts: Iterable[str]) -> str:
    return next(iter(texts), "")


class Cell(NamedTuple):
    """How far a service has got in a run, as an icon and in words."""

    name: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class CurrentRun(RunStatus):
    """The running or queued run, for people.

    Attributes:
        what: it does, and `why`.
        steps: what it does one after the other, each with its place: done, current or todo.
        stuck: what it waits for; "" while it moves.
        ends: when it will probably have ended.
        next: number of the run that waits for it.
    """

    what: str
    why: str
    steps: list[tuple[str, str]]
    cells: list[Cell]
    stuck: str
    ends: datetime | None
    next: int | None


def current_run(facts: Facts) -> CurrentRun | None:
    """The running run and the queued one; None if there is neither."""
    ticket = facts.running or facts.waiting
    if ticket is None:
        return None
    steps = [*Phase]
    at = steps.index(ticket.progress.phase) if facts.running else -1
    waiting = facts.waiting if facts.running else None
    return extended(
        CurrentRun,
        ticket.status,
        what=KINDS[ticket.scope.kind],
        why=cause(ticket.trigger.value, ticket.actor.name),
        steps=[(step.value, _place(place, at)) for place, step in enumerate(steps)],
        cells=[*_cells(facts)] if facts.running else [],
        stuck=_stuck(facts, ticket.progress.phase) if facts.running else "",
        ends=_ends(facts, ticket),
        next=waiting.number if waiting else None,
    )


def _cells(facts: Facts) -> Iterator[Cell]:
    """How far each service has got in this run."""
    asking = facts.running is not None and facts.running.progress.phase is Phase.ASKING
    for name, health in facts.services.items():
        now, before = (which.get(name, CallStats()) for which in (facts.asked, facts.calls_before))
        calls = f"{count(now.calls - before.calls, 'call')} so far"
        if asking or now.waiting:
            doing = "waiting, " if now.waiting else ""
            yield Cell(name, "running", doing + calls)
        elif health.up is False:
            yield Cell(name, "failed", "away")
        else:
            yield Cell(name, "ok", calls)
    for application in APPLICATIONS.values():
        if application.name not in facts.services:
            yield Cell(application.name, "never", "not configured")


def _stuck(facts: Facts, phase: Phase) -> str:
    """What a run without progress for a minute waits for; "" while it progresses."""
    if facts.stuck <= _STUCK:
        return ""
    slow = [name for name, meter in facts.asked.items() if meter.waiting]
    whom = " and ".join(slow) or "the tracker's file"
    return f"No progress for {span(facts.stuck)} while {phase.value}: waiting for {whom}."


def _place(place: int, at: int) -> str:
    return "done" if place < at else "current" if place == at else "todo"


def _ends(facts: Facts, ticket: QueuedRun) -> datetime | None:
    """Estimated end, from the latest run of the same kind."""
    if ticket.started_at is None:
        return None
    kind = ticket.scope.kind
    like = (line for line in facts.glance.lines if (line.kind, line.outcome) == (kind, "ok"))
    took = [seconds for line in like if (seconds := duration(line)) is not None][:_BEST]
    ends = ticket.started_at + timedelta(seconds=median(took)) if took else facts.now
    return ends if ends > facts.now else None


class Ended(NamedTuple):
    """One execution of a job; a run has a number and counts."""

    at: str | datetime | None
    outcome: str
    took: float
    words: str
    run: int | None = None
    counts: str = ""
    errors: int = 0


class JobView(NamedTuple):
    """Scheduled jobs: how it went the last times, and when it comes next.

    Attributes:
        plan: when it comes, in words.
        lasted: seconds of the last times, the newest last.
        spark: these lengths as points of a line.
    """

    name: str
    title: str
    plan: str
    last: Ended | None
    lasted: list[float]
    spark: str
    next: datetime | None
    paused: bool


def jobs(
    glance: Dashboard,
    schedule: Mapping[str, Job],
    due: Callable[[str], datetime | None],
    sync: Sync,
) -> Iterator[JobView]:
    """All jobs with their current state."""
    plans = {
        "full": ("Full sync", _every(sync.every)),
        "quick": ("Quick check", _every(sync.quick)),
        "webhook": ("Webhooks", "on arrival"),
        "housekeeping": ("Housekeeping", "nightly and at startup"),
    }
    for name, (title, plan) in plans.items():
        job = schedule.get(name)
        runs = [_of_run(line) for line in glance.jobs.get(name, ())]
        dones = [_of_done(one) for one in reversed(job.done)] if job else []
        latest = runs if name in glance.jobs else dones
        lasted = [one.took for one in reversed(latest)]
        coming, paused = due(name) if job else None, job is not None and job.paused
        last = latest[0] if latest else None
        yield JobView(name, title, plan, last, lasted, spark(lasted), coming, paused)


def _every(pause: timedelta) -> str:
    return f"every {span(pause.total_seconds())}" if pause else "switched off"


def _of_run(line: Line) -> Ended:
    counts = line.counts
    changed = counts["updated"] + counts[Count.PROMOTED]
    told = f"+{counts[Count.ADDED]:,} ~{changed:,} \N{MINUS SIGN}{counts[Count.REMOVED]:,}"
    how = (line.ended_at, line.outcome, duration(line) or 0.0, summary(line))
    return Ended(*how, run=line.id, counts=told, errors=counts["errors"])


def _of_done(done: JobRun) -> Ended:
    return Ended(done.at, "ok" if done.good else "failed", done.seconds, done.words)


def spark(seconds: Sequence[float]) -> str:
    """The points of a line through these lengths of time, on 60 by 16; "" for less than two."""
    if len(seconds) < 2:  # noqa: PLR2004  # a line has two ends
        return ""
    step, highest = 60 / (len(seconds) - 1), max(*seconds, 0.001)
    return " ".join(
        f"{at * step:.0f},{15 - 14 * one / highest:.1f}" for at, one in enumerate(seconds)
    )


class ServiceView(NamedTuple):
    """A service: its health, and what the latest full run saw of it.

    Attributes:
        latency: seconds a call.
        listed: how many titles it has.
        away: its folders that it could not reach.
    """

    health: ServiceHealth
    version: str
    latency: float | None
    listed: int | None
    away: Sequence[str]


def source(health: ServiceHealth, result: Mapping[str, Any]) -> ServiceView:
    """A service by the result of the latest full run."""
    name = health.name
    calls = result.get("calls", {}).get(name) or {"calls": 0}
    listed = {JELLYFIN: result.get("total_scanned"), **result.get("listed", {})}
    return ServiceView(
        health,
        version=health.version or result.get("versions", {}).get(name, ""),
        latency=calls["seconds"] / calls["calls"] if calls["calls"] else None,
        listed=listed.get(name),
        away=result.get("folders_away", {}).get(name, ()),
    )


_APART: Final = frozenset({Count.SKIPPED, Count.WITHOUT_IDS})


def sentence(run: Run) -> str:
    """What a run came to, in one sentence."""
    took = duration(run)
    if (result := run.result) is None:
        return "It is going on." if run.outcome == "running" else "It left no result."
    parts = [
        f"{result[one]:,} {one.words}" for one in Count if result.get(one) and one not in _APART
    ]
    if number := result.get(Count.WITHOUT_IDS):
        parts[0] += f", {number:,} of them without any id"
    same = result.get("skip_reasons", {}).get(Reason.ALREADY_RIGHT, 0)
    others = result.get("skipped", 0) - same
    parts += [f"{same:,} unchanged"] if same else []
    parts += [f"{others:,} left out"] if others > 0 else []
    parts += [count(errors, "problem")] if (errors := result.get("errors")) else []
    told = ", ".join(parts) or "nothing to do"
    return f"{told[0].upper()}{told[1:]}{f', {span(took)}' if took is not None else ''}."


def cause(trigger: str, actor: str) -> str:
    """Who or what triggered a run."""
    return actor if trigger == "admin" else _TRIGGERS.get(trigger, trigger)


def duration(run: Run | Line) -> float | None:
    """How many seconds a run took; None if it has not ended."""
    began, ended = moment(run.started_at), moment(run.ended_at)
    return (ended - began).total_seconds() if began and ended else None


def summary(line: Line) -> str:
    """A run's counts in a few words."""
    parts = [f"{line.counts[name]:,} {name}" for name in BRIEF if line.counts[name]]
    parts += [count(errors, "problem")] if (errors := line.counts["errors"]) else []
    return ", ".join(parts) or "nothing new"


class RuleView(NamedTuple):
    """A rule of the removal guard: what was found, what lets titles go, and what it says."""

    what: str
    value: str
    limit: str
    says: str
    why: str


class Guarded(NamedTuple):
    """The removal guard's report of a run, and its rules."""

    words: str
    rules: list[RuleView]


def guarded(run: Run) -> Guarded | None:
    """The guard's report; None for a run that has not ended, or is older than these reports."""
    result = run.result or {}
    if (found := result.get("guard")) is None:
        return None
    words = _guarded(result, {rule["name"]: rule for rule in found})
    return Guarded(words, [*map(_rule, found)] if result["kind"] == "full" else [])


def _guarded(result: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> str:
    if result["kind"] != "full":
        return "Only part of the library was read, so nothing could be judged missing."
    if not rules:
        return "The run ended before it could tell what is missing. Nothing was removed."
    if "evidence" not in rules:
        return "It could not be determined what is missing, so nothing could be removed."
    if not (missing := rules["evidence"]["limit"]):
        return "Nothing was missing."
    parts = [f"{result[name]:,} {name}" for name in ("removed", "held", "watched") if result[name]]
    return f"{count(missing, 'title')} missing: {', '.join(parts) or 'left as they are'}."


def _rule(rule: Mapping[str, Any]) -> RuleView:
    plain = {**rule, "value": _plain(rule["value"]), "limit": _plain(rule["limit"])}
    what, value, limit = (text.format(**plain) for text in _RULES[rule["name"]])
    says = "passes" if not rule["why"] else "waits" if rule["name"] == "evidence" else "holds"
    return RuleView(what, value, limit, says, rule["why"])


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def note(code: str, run: str) -> str:
    """The note for a code in the URL; "" for an unknown code."""
    number = run if run.isascii() and run.isdigit() and len(run) < len(str(2**63)) else ""
    return _NOTES.get(code, "").format(number)


class FindingGroup(NamedTuple):
    """Findings of one kind: how many, and the first few."""

    kind: str
    name: str
    number: int
    rows: list[Finding]


def grouped(findings: Iterable[Finding], most: int) -> Iterator[FindingGroup]:
    """Findings by kind: how many, and the first few."""
    kinds: dict[FindingKind, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    for kind, rows in kinds.items():
        yield FindingGroup(kind, kind.words, len(rows), rows[:most])


def moment(text: Value | datetime) -> datetime | None:
    """A time as stored in the file, UTC unless it has a zone; None if it is not a time."""
    try:
        found = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits, e.g. 3 min."""
    for least, size, name in _UNITS:
        if seconds >= least:
            return f"{seconds // size:,.0f} {name}"
    return f"{int(seconds)} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def ago(then: datetime, now: datetime) -> str:
    """How long ago a moment is, or how far ahead."""
    seconds = (now - then).total_seconds()
    if abs(seconds) < 10:  # noqa: PLR2004  # seconds that nobody cares about
        return "just now" if seconds >= 0 else "in a moment"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"
