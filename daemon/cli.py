"""The command line: reads arguments, and only then imports what carries them out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from daemon import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    from daemon import commands  # noqa: PLC0415 - it takes twenty times as long as the arguments

    return commands.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="library-sync", description="Keeps a media status tracker true to Jellyfin."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: config.yaml in this directory"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words)

    setup = command("setup", "set everything up: the configuration, a key, webhooks")
    _add_setup_options(setup)
    command("run", "run the daemon: look on an interval and when asked")
    sync = command("sync", "reconcile once, now")
    _add_sync_options(sync)
    check = command("check", "look at every service, the file and the clock")
    runs = command("runs", "the latest runs, or one of them with what it decided")
    runs.add_argument("id", nargs="?", type=_count, metavar="ID")
    audit = command("audit", "the latest audit events, or a check of their chain")
    audit.add_argument("what", nargs="?", choices=["verify"])
    audit.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    for lists in (runs, audit):
        lists.add_argument("--last", type=_count, default=20, metavar="N", help="default: 20")
    explain = command("explain", "why a title is tracked as it is, or is not")
    explain.add_argument("title", metavar="TITLE|ID", help="a title, a request's number or any id")
    attention = command("attention", "issues that need attention, and what to do about them")
    _add_attention_options(attention)
    numbered = (
        command("approve", "carry out the plan that a run put on hold"),
        command("discard", "forget the plan that a run put on hold"),
        command("undo", "undo what a run removed, merged, relinked or promoted"),
    )
    for one in numbered:
        one.add_argument("id", type=_count, metavar="ID")
    backup = command("backup", "copy the tracker's file, also while it is in use")
    backup.add_argument("file", type=Path, metavar="FILE")
    command("healthcheck", "check the health of a running daemon")
    command("config", "the merged configuration, secrets masked")
    for answers in (sync, check, runs, audit, explain, attention, *numbered):
        answers.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _add_sync_options(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="show the plan, write nothing")
    way.add_argument("--quick", action="store_true", help="only what Jellyfin has saved recently")
    way.add_argument("--pending", action="store_true", help="only titles on their way")


def _add_attention_options(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--ignored", action="store_true", help="what is ignored instead")
    way.add_argument(
        "--do",
        nargs=3,
        metavar=("ACTION", "KIND", "TARGET"),
        help="the action of one of them; or ignore, restore, recheck",
    )


def _add_setup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", type=Path, metavar="FILE", help="ask nobody: YAML or JSON")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--undo", action="store_true", help="remove what it added to the services")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number < 2**63:  # what SQLite can count to
        raise ValueError
    return number
