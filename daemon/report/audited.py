"""The audit in sentences: who did what to which title. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from daemon.reasons import UNDONE
from daemon.report.words import count
from daemon.store.audit import AuditEntry, RowName

ACTIONS: Final = {
    "titles.added": "added",
    "title.fill": "filled in",
    "title.refresh": "refreshed",
    "title.relink": "relinked",
    "title.promote": "made available",
    "title.removed": "removed",
    "title.merged": "merged",
    "title.awaited": "added the request for",
    "title.state": "moved",
    "title.withdrawn": "withdrew",
    "title.gave_way": "removed the second row of",
    "title.undone": "undid a change of",
    "undo.refused": "could not undo a change of",
    "title.rechecked": "rechecked",
    "server.known": "recorded the Jellyfin",
    "seerr.known": "recorded",
    "server.confirmed": "confirmed the Jellyfin",
    "seerr.confirmed": "confirmed",
    "run.ended": "finished the run",
    "run.cancelled": "cancelled",
    "run.undone": "undid",
    "sync.asked": "requested",
    "sync.previewed": "requested a dry run of the",
    "quick.asked": "requested a quick check of the",
    "job.paused": "paused the job",
    "job.resumed": "resumed the job",
    "hook.tested": "tested the webhook",
    "plan.approved": "approved",
    "plan.discarded": "discarded",
    "finding.ignored": "ignored a finding about",
    "finding.restored": "stopped ignoring a finding about",
    "merge.approved": "approved merging",
    "identity.confirmed": "confirmed the identity of",
    "removal.approved": "approved the removal of",
    "unlink.approved": "approved unlinking",
    "withdrawal.approved": "approved the withdrawal of",
    "tracking.resumed": "resumed tracking of",
    "session.opened": "logged in to the",
    "session.closed": "logged out of the",
    "session.refused": "was refused a login to the",
    "access.refused": "was refused access to",
    "access.limited": "was refused for a minute access to",
}
"""What each action is called behind the name of its actor."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One event for people: `actor did what`, with the title as a link where its row is there.

    Attributes:
        request_id: of the row; None where there is none any more.
        undoable: it can be undone with its run.
        raw: what stood there before and after, as JSON.
    """

    seq: int
    at: str
    actor: str
    did: str
    what: str
    year: int | None
    request_id: int | None
    run_id: int | None
    reason: str
    undoable: bool
    raw: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditGroup:
    """Events in a row that belong to one run, or to none."""

    run_id: int | None
    lines: list[AuditLine]


def grouped(events: Iterable[AuditEntry], names: Mapping[str, RowName]) -> list[AuditGroup]:
    """The events in their order, those of a run together."""
    lines = [_line(one, names.get(one.target or "")) for one in events]
    return [AuditGroup(run, [*found]) for run, found in groupby(lines, lambda one: one.run_id)]


def _line(one: AuditEntry, name: RowName | None) -> AuditLine:
    added = (one.after or {}).get("request_ids")
    what = name.title if name else one.target or ""
    if one.action == "titles.added" and isinstance(added, list):
        what = count(len(added), "title")
    changed = {"before": one.before, "after": one.after}
    return AuditLine(
        one.seq,
        one.at,
        one.actor_name,
        ACTIONS.get(one.action, one.action.replace(".", " ")),
        what,
        name.year if name else None,
        name.request_id if name else None,
        one.run_id,
        one.reason or "",
        one.action in UNDONE and one.run_id is not None,
        json.dumps({key: value for key, value in changed.items() if value}, ensure_ascii=False),
        one.hash,
    )
