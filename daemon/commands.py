"""Runs one command; answers with an exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from daemon import __version__, errors, logs
from daemon.apply import decisions
from daemon.domain import Actor, Outcome, RemovalPolicy, Trigger
from daemon.report import words
from daemon.report.check import probe, run_checks
from daemon.report.explain import linked, of_untracked, sentences
from daemon.report.result import SyncResult
from daemon.settings import Settings, load
from daemon.store import (
    attention,
    audit,
    history,
    open_store,
    open_store_readonly,
    plans,
    rows,
    search,
    titles,
    undo,
)
from daemon.store.audit import AuditEntry, AuditEvent
from daemon.store.history import Decision, Run
from daemon.store.plans import Plan, PlanState
from daemon.store.titles import TitleFacts

_log = logs.logger(__name__)
_EVENT: Final = ("seq", "at", "actor_name", "action", "target", "reason")
_GLANCE: Final = 1.0
_FOLLOW_BATCH: Final = 500
_EXPLAINED: Final = 5


class Exit(IntEnum):
    """Exit codes; the higher ones are those of sysexits.h."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    HELD = 4
    BUSY = 75
    NO_PERMISSION = 77
    CONFIGURATION = 78


_OF_OUTCOME = {
    Outcome.OK: Exit.DONE,
    Outcome.PARTIAL: Exit.PARTIAL,
    Outcome.HELD: Exit.HELD,
}
_Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]


def run(options: argparse.Namespace) -> int:
    """Run one command; returns its exit code."""
    with contextlib.suppress(BrokenPipeError):
        try:
            return _run(options)
        except KeyboardInterrupt:
            return 130
        except errors.DaemonError as error:
            _say(f"library-sync: {error}")
            return _code(error)
    # The reader of our output is gone; Python must not try to flush into its pipe at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED


def _run(options: argparse.Namespace) -> int:
    if options.command == "setup":
        return asyncio.run(_setup(options))
    settings = load(options.config)
    _configure_logs(settings, sys.stderr)
    return asyncio.run(_awaited(_COMMANDS[options.command](options, settings)))


async def _awaited(command: Awaitable[int]) -> int:
    return await command


def _code(error: errors.DaemonError) -> Exit:
    codes = {
        errors.SettingsError: Exit.CONFIGURATION,
        errors.StorePermissionError: Exit.NO_PERMISSION,
        errors.AlreadyRunningError: Exit.BUSY,
    }
    return codes.get(type(error), Exit.FAILED)


def _configure_logs(settings: Settings, stream: TextIO) -> None:
    """The daemon logs to stdout, a command to stderr, and sparingly on a terminal."""
    watched = stream is sys.stderr and stream.isatty() and settings.log.level == "info"
    logs.configure(
        format=settings.log.format,
        level="error" if watched else settings.log.level,
        secrets=settings.secrets(),
        version=__version__,
        stream=stream,
    )


async def _daemon(_: argparse.Namespace, settings: Settings) -> int:
    from daemon import app  # noqa: PLC0415 - other commands need not carry the server along

    _configure_logs(settings, sys.stdout)
    stop, up = asyncio.Event(), asyncio.Event()
    running = asyncio.ensure_future(app.run(settings, stop, lambda _: up.set()))

    def end() -> None:
        stop.set()
        if not up.is_set():  # it may wait long for the file, which nobody needs any more
            running.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await running
    except asyncio.CancelledError:
        _log.info("daemon.stopped")
    except ExceptionGroup:  # a part of the daemon died of a mistake of ours
        _log.exception("daemon.crashed")
        return Exit.FAILED
    return Exit.DONE


async def _setup(options: argparse.Namespace) -> int:
    from daemon import setup  # noqa: PLC0415 - as above

    def say(line: str) -> None:
        _print([line])

    place = setup.Place.of(options.config or Path("config.yaml"))
    if options.undo:
        whole = await setup.take_back(place, say, dry_run=options.dry_run)
    elif options.answers is None and not sys.stdin.isatty():
        _say("library-sync: there is no terminal; pass a file of answers: --answers FILE")
        return Exit.USAGE
    else:
        answers = options.answers and setup.read_answers(options.answers)
        questions = setup.Questions(answers)
        whole = await setup.set_up(place, questions, say, dry_run=options.dry_run)
    return Exit.DONE if whole else Exit.PARTIAL


async def _sync(options: argparse.Namespace, settings: Settings) -> int:
    from daemon import opening  # noqa: PLC0415 - as above

    line, actor = words.ProgressLine(), Actor("cli", _user())
    if options.pending:
        async with opening.open_pending(settings) as passes:
            done = await passes.run(Trigger.CLI, actor)
        _emit(options, done.as_dict(), words.passed(done.as_dict()))
        return _OF_OUTCOME.get(done.result.outcome, Exit.FAILED)
    if options.dry_run:
        async with opening.open_preview(settings) as service:
            result = await service.preview(line)
    elif options.quick:
        result = await opening.quick_look(settings, actor, line)
    else:
        async with opening.open_sync(settings) as service:
            result = await service.run(Trigger.CLI, actor, publish=line)
    line.clear()
    return _told(options, result)


async def _check(options: argparse.Namespace, settings: Settings) -> int:
    from daemon import opening  # noqa: PLC0415 - as above

    found = []
    async with opening.open_services(settings) as services:
        async for finding in run_checks(services, settings.database):
            found.append(finding)
            if not options.json:
                _print([f"{'ok  ' if finding.good else 'BAD '}{finding.thing}: {finding.text}"])
    _emit(options, [finding._asdict() for finding in found])
    return Exit.DONE if all(finding.good for finding in found) else Exit.FAILED


async def _runs(options: argparse.Namespace, settings: Settings) -> int:
    async with open_store_readonly(settings.database) as store:
        if options.id is None:
            runs, _ = await store.read(history.runs, None, options.last)
            _emit(options, runs, _runs_table(runs))
            return Exit.DONE
        run = await store.read(history.run, options.id)
        kept, _ = await store.read(history.decisions, options.id, 0, -1)
        plan = await store.read(plans.one, options.id)
    if run is None:
        _say(f"library-sync: there is no run {options.id}")
        return Exit.FAILED
    document = {**asdict(run), "decisions": kept, "plan": plan}
    _emit(options, document, _run_page(run, kept, plan))
    return Exit.DONE


def _runs_table(runs: Sequence[Run]) -> Iterable[str]:
    names = ("kind", "added", "updated", "skipped", "errors")
    rows = [
        [run.id, run.started_at, run.trigger, run.outcome]
        + [(run.result or {}).get(name) for name in names]
        for run in runs
    ]
    return words.table(("run", "started", "trigger", "outcome", *names), rows)


def _run_page(run: Run, kept: Sequence[Decision], plan: Plan | None) -> Iterable[str]:
    yield from _runs_table([run])
    yield from words.problems((run.result or {}).get("error_details", []))
    if kept:
        names = ("kind", "reason", "media_type", "title", "request_id", "details")
        yield ""
        yield from words.table(names, [[getattr(one, name) for name in names] for one in kept])
    if plan:
        yield from _plan_table(plan)


def _plan_table(plan: Plan) -> Iterable[str]:
    """What a run held: rows to be removed or unlinked."""
    names = ("kind", "media_type", "title", "request_id", "why")
    yield ""
    yield f"Held ({plan.state}):"
    yield from words.table(names, [[getattr(one, name) for name in names] for one in plan.titles])


async def _audit(options: argparse.Namespace, settings: Settings) -> int:
    async with open_store_readonly(settings.database) as store:
        if options.what == "verify":
            verdict = await store.read(audit.verify)
            _emit(options, verdict._asdict(), [_verdict(verdict._asdict())])
            return Exit.DONE if verdict.broken_at is None else Exit.FAILED
        events, _ = await store.read(audit.events, None, options.last)
    if options.follow:
        await _follow(settings, events[::-1], as_json=options.json)
    rows = [[getattr(event, name) for name in _EVENT] for event in events]
    _emit(options, events, words.table(_EVENT, rows))
    return Exit.DONE


async def _follow(settings: Settings, events: list[AuditEntry], *, as_json: bool) -> NoReturn:
    """Print events one per line, oldest first, then new ones until Ctrl-C.

    The file is reopened each time: an immutable view never changes.
    """
    seq = 0
    while True:
        for event in events:
            cells = (words.plain(getattr(event, name)) for name in _EVENT)
            _print([json.dumps(event, default=rows.document) if as_json else "  ".join(cells)])
            seq = event.seq
        if not events:
            await asyncio.sleep(_GLANCE)
        async with open_store_readonly(settings.database) as store:
            events = await store.read(audit.after, seq, _FOLLOW_BATCH)


def _verdict(verdict: dict[str, Any]) -> str:
    if verdict["broken_at"] is None:
        return f"{verdict['events']} events, unbroken; head {verdict['head']}"
    return f"BROKEN at event {verdict['broken_at']}: it was changed, or one before it is missing"


async def _explain(options: argparse.Namespace, settings: Settings) -> int:
    async with open_store_readonly(settings.database) as store:
        found = await store.read(search.tracked, options.title)
        known = [
            (linked(facts, settings.instances), hit.by)
            for hit in found[:_EXPLAINED]
            if (facts := await store.read(titles.facts, hit.id))
        ]
        others = await store.read(search.untracked, options.title)
    policy = settings.removal.policy
    told = [
        {**asdict(facts), "found_by": by, "because": [*_because(facts, by, policy)]}
        for facts, by in known
    ]
    told += [{**asdict(one), "tracked": None, "because": [*of_untracked(one)]} for one in others]
    _emit(options, told, (line for one in told for line in (*one["because"], "")))
    if not told and not options.json:
        _say(f"library-sync: nothing is known of {options.title}: neither tracked nor left out")
    if (more := len(found) - len(known)) > 0 and not options.json:
        _say(f"library-sync: {more} more fit; say more of the title, or an id")
    return Exit.DONE if told else Exit.FAILED


def _because(facts: TitleFacts, by: str, policy: RemovalPolicy) -> Iterator[str]:
    if by != "title":
        yield f"Found by its {by}:"
    yield from sentences(facts, policy)


async def _approve(options: argparse.Namespace, settings: Settings) -> int:
    from daemon import opening  # noqa: PLC0415 - as above

    event, age = _of_plan(options, PlanState.APPROVED), settings.removal.hold_for
    async with opening.open_both(settings) as (store, service):
        scope = await decisions.approve(store, options.id, event, age)
        line = words.ProgressLine()
        result = await service.run(Trigger.CLI, event.actor, scope, publish=line)
    line.clear()
    return _told(options, result)


async def _discard(options: argparse.Namespace, settings: Settings) -> int:
    event, age = _of_plan(options, PlanState.DISCARDED), settings.removal.hold_for
    async with open_store(settings.database) as store:
        await decisions.close(store, options.id, PlanState.DISCARDED, event, age)
    _emit(options, {"run_id": options.id, "state": PlanState.DISCARDED}, ["Discarded."])
    return Exit.DONE


def _of_plan(options: argparse.Namespace, state: PlanState) -> AuditEvent:
    actor = Actor("cli", _user())
    return AuditEvent(f"plan.{state.value}", actor, options.id, f"plan {options.id}")


async def _settle(options: argparse.Namespace, settings: Settings) -> int:
    """Have something done about one finding, and a run or a pass see to it."""
    from daemon import opening  # noqa: PLC0415 - as above

    actor, result = Actor("cli", _user()), None
    async with opening.open_both(settings) as (store, service):
        found = await decisions.settle(store, service.removal, *options.do)
        number = await store.read(history.next_number) if found.scope else None
        event = AuditEvent(found.action, actor, number, found.target, found.reason or None)
        await store.write(found.write, event)
        if found.scope is not None:
            result = await service.run(Trigger.CLI, actor, found.scope, number)
        elif found.passes and service.passes is not None:
            result = (await service.passes.run(Trigger.CLI, actor)).result
    if result is not None:
        return _told(options, result)
    _emit(options, dict(zip(("do", "kind", "target"), options.do, strict=True)), ["Done."])
    return Exit.DONE


def _told(options: argparse.Namespace, result: SyncResult) -> int:
    document = result.as_dict()
    _emit(options, document, words.result(document))
    return _OF_OUTCOME.get(result.outcome, Exit.FAILED)


async def _attention(options: argparse.Namespace, settings: Settings) -> int:
    if options.do:
        return await _settle(options, settings)
    async with open_store_readonly(settings.database) as store:
        found = await store.read(
            attention.findings, settings.removal.policy, ignored=options.ignored
        )
    names = ("kind", "title", "target", "what", "what to do", "action")
    lines = [(one.kind, one.title, one.target, one.what, one.todo, one.action) for one in found]
    nothing = "Nothing is ignored." if options.ignored else "No open issues."
    _emit(options, found, words.table(names, lines) if lines else [nothing])
    return Exit.DONE


async def _undo(options: argparse.Namespace, settings: Settings) -> int:
    async with open_store(settings.database) as store:
        done = await undo.undo_run(store, options.id, Actor("cli", _user()))
    ends = ("as it was before" if one.done else "left as it is" for one in done)
    lines = (
        f"{one.title} ({one.action}): {end}{f': {one.why}' if one.why else ''}"
        for one, end in zip(done, ends, strict=True)
    )
    _emit(options, done, lines)
    if not done:
        _say(f"library-sync: run {options.id} did nothing that can be undone")
    return Exit.DONE if done and all(one.done for one in done) else Exit.FAILED


async def _backup(options: argparse.Namespace, settings: Settings) -> int:
    async with open_store_readonly(settings.database, immutable=False, foreign=True) as store:
        await store.backup(options.file)
    _say(f"copied {settings.database} to {options.file}")
    return Exit.DONE


async def _healthcheck(_: argparse.Namespace, settings: Settings) -> int:
    good, detail = await probe(settings.http.local)
    _say(f"library-sync: {detail}")
    return Exit.DONE if good else Exit.FAILED


async def _config(_: argparse.Namespace, settings: Settings) -> int:
    _print([_json(settings.masked())])
    return Exit.DONE


def _user() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def _emit(options: argparse.Namespace, document: object, lines: Iterable[str] = ()) -> None:
    """Print a JSON document with `--json`, else lines."""
    _print([_json(document)] if options.json else lines)


def _json(document: object) -> str:
    return json.dumps(document, indent=2, default=rows.document)


def _print(lines: Iterable[str]) -> None:
    for line in _lines(lines):
        print(line, flush=True)


def _say(text: str) -> None:
    for line in _lines([text]):
        print(line, file=sys.stderr)


def _lines(texts: Iterable[str]) -> Iterable[str]:
    return (words.plain(line) for text in texts for line in text.split("\n"))


_COMMANDS: Final[dict[str, _Command]] = {
    "run": _daemon,
    "sync": _sync,
    "check": _check,
    "runs": _runs,
    "audit": _audit,
    "explain": _explain,
    "attention": _attention,
    "approve": _approve,
    "discard": _discard,
    "undo": _undo,
    "backup": _backup,
    "healthcheck": _healthcheck,
    "config": _config,
}
