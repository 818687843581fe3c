"""Explains in sentences why a title is tracked as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from daemon.domain import RemovalMode, RemovalPolicy
from daemon.reasons import Reason, words
from daemon.report.words import count
from daemon.services.arr import APPLICATIONS
from daemon.settings import Instance
from daemon.store.search import DeletedTitle, LeftOut, Untracked
from daemon.store.titles import Missing, PastDecision, PastEvent, TitleFacts

_BY_WORD: Final = "It is removed if an admin approves that plan, and it is still missing then."


def sentences(facts: TitleFacts, policy: RemovalPolicy) -> Iterator[str]:
    """The title's state, why it is so, and what would change it."""
    tracked = facts.tracked
    yield f"{tracked['title']} is {tracked['state']} as request {tracked['id']}."
    yield from _latest(facts)
    yield from (f"Now {one.what}: {one.todo}." for one in facts.needs)
    yield from _pending(facts)
    # Through a primary instance's number the tracker deletes files, so that these are worth a look.
    yield from (f"{one.name} has it as number {one.number}." for one in facts.instances)
    yield from _presence(facts)
    yield _what_would_change(facts, policy)


def linked(facts: TitleFacts, instances: Iterable[Instance]) -> TitleFacts:
    """The facts, with the URL of the title in each instance that has it."""
    urls = {
        one.label: APPLICATIONS[one.kind].link(one.public_url, facts.tracked) for one in instances
    }
    told = [replace(one, url=urls.get(one.name)) for one in facts.instances]
    return replace(facts, instances=told)


def of_untracked(known: Untracked) -> Iterator[str]:
    """Why a title has no row, if known."""
    yield f"{known.title} is not tracked."
    if (deletion := known.deletion) is not None:
        yield _deleted(deletion)
    if (decision := known.decision) is not None:
        yield _decided(decision)
        if decision.reason == Reason.DELETED_IN_TRACKER:
            yield "It stays out unless an admin has it tracked again, under “needs attention”."
    elif deletion is not None and deletion.removal is not None:
        yield "It is added again as soon as the library has it."


def _deleted(deletion: DeletedTitle) -> str:
    at, by = str(deletion.at)[:16].replace(" ", "T"), deletion.by
    if (removal := deletion.removal) is not None:
        run = removal.run_id
        why = f"{removal.reason}; undo run {run} to bring it back"
        return f"Library Sync removed it at {at}, in run {run}: {why}."
    where = "in the tracker's dashboard" if deletion.source == "DASHBOARD" else "by the tracker"
    return f"It was deleted {where} at {at}{f' by {by}' if by else ''}."


def _decided(decision: PastDecision | LeftOut) -> str:
    details = f" ({decision.details})" if decision.details else ""
    when = f"In run {decision.run_id}, {decision.started_at[:16]}"
    return f"{when}: {words(decision.reason)}{details}."


def _latest(facts: TitleFacts) -> Iterator[str]:
    """The last change, or that it was undone."""
    decision, undone = next(iter(facts.decisions), None), _undone(facts)
    if undone is None or (decision and decision.run_id != undone.run_id):
        if decision is not None:
            yield _decided(decision)
        return
    did = f" ({words(decision.reason)})" if decision else ""
    by = f"{undone.actor_name} took that back at {undone.at[:16]}"
    yield f"Run {undone.run_id} changed it{did}; {by}, so it is as before."


def _pending(facts: TitleFacts) -> Iterator[str]:
    """Where it is on its way, and what each service says of it."""
    if (pending := facts.pending) is None:
        return
    progress = "" if pending.progress is None else f", {pending.progress:.0%} downloaded"
    speed = ", ".join(filter(None, (pending.speed, pending.left and f"{pending.left} left")))
    told = f"{progress}{f' ({speed})' if speed else ''}"
    yield f"On its way since {pending.created_at[:16]}: {pending.why or pending.state}{told}."
    for one in pending.said:
        if one.silent is not None:
            last = f"; its last word was “{one.words}”" if one.words else ""
            yield f"Since {one.silent:%Y-%m-%dT%H:%M} {one.service} is not known{last}."
        else:
            yield f"{one.service}: {one.words}, since {one.since:%Y-%m-%dT%H:%M}."


def _undone(facts: TitleFacts) -> PastEvent | None:
    """The event that undid the last change; None if it was not undone."""
    latest = next(iter(facts.history), None)
    return latest if latest is not None and latest.action == "title.undone" else None


def _presence(facts: TitleFacts) -> Iterator[str]:
    if not facts.seen:
        undone = _undone(facts)
        since = f"since {undone.at[:16]}" if undone else "so far"
        if facts.pending is None:
            yield f"No complete reading of the library has shown it {since}."
    elif (missing := facts.missing) is not None:
        times = count(missing.sightings, "complete reading")
        since = (facts.missing_since or "")[:16]
        yield f"There has been nothing to play since {since}, in {times}."
        yield from _plan(facts)
    else:
        place = f", in {facts.library}" if facts.library else ""
        yield f"The library had it at the last complete reading{place}."


def _plan(facts: TitleFacts) -> Iterator[str]:
    """The plan that holds its removal, or the admin who keeps it."""
    if (plan := facts.held) is None:
        return
    if plan.kept:
        at = f" since {plan.settled_at[:16]}" if plan.settled_at else ""
        yield f"It is kept by {plan.settled_by or 'an admin'}{at}, until others are missing, too."
    else:
        yield f"Its removal is held in the plan of run {plan.run_id}, for an admin to decide."


def _what_would_change(facts: TitleFacts, policy: RemovalPolicy) -> str:
    if facts.tracked["state"] != "AVAILABLE":
        return "It becomes AVAILABLE once Jellyfin has everything that was requested."
    if facts.held is not None:
        return "Nothing is removed by itself." if facts.held.kept else _BY_WORD
    if not facts.seen:
        return "It is never removed before it was seen in the library once."
    if policy.mode is RemovalMode.OFF:
        return "It stays, whatever is missing: removals are switched off."
    missing = facts.missing or Missing(0, 0.0)
    waited = timedelta(hours=missing.waited_hours)
    more, left = policy.outstanding(missing.sightings, waited)
    hours = round(left.total_seconds() / 3600)
    ask = policy.mode is RemovalMode.ASK
    return (
        f"It is removed after being missing from {count(more, 'more complete reading')}"
        f" and for {count(hours, 'more hour')}, if"
        f" {'an admin approves' if ask else 'few others are missing too'}."
    )
