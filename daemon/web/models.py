"""Models of requests and replies: requests are validated, both are described."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from daemon.domain import MediaType, Outcome, RequestState, Trigger
from daemon.reasons import Action
from daemon.store.attention import Finding
from daemon.store.audit import AuditEntry
from daemon.store.history import Decision, Run
from daemon.store.plans import Plan
from daemon.store.rows import Timestamp
from daemon.store.search import Sort
from daemon.store.titles import TitleFacts
from daemon.store.undo import Undone
from daemon.triggers.queue import RunStatus

_INT64_MAX = 2**63 - 1
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)")


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(str(value), value)


def _whole(value: object) -> object:
    if re.fullmatch(r"-?(0|[1-9]\d{0,18})", str(value), re.ASCII):
        return int(str(value))
    raise ValueError("must be a whole number of at most 19 digits")


def _moment(value: object) -> object:
    text = str(value).upper()
    if not _MOMENT.fullmatch(text):
        raise ValueError("must be a time like 2026-11-20T12:00:00Z")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError("is no time that there is") from None


# What stands in an address is text: these read it as strictly as JSON would be read.
_Flag = Annotated[bool, BeforeValidator(_flag)]
_Number = Annotated[int, Field(ge=1, le=_INT64_MAX), BeforeValidator(_whole)]
_Count = Annotated[int, Field(ge=0, le=_INT64_MAX), BeforeValidator(_whole)]
_Limit = Annotated[int, Field(ge=1, le=200), BeforeValidator(_whole)]
_Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
_Day = Annotated[date, Field(strict=False, le=date(9999, 12, 30))]
_Outcome = Annotated[
    Outcome, Field(strict=False), WithJsonSchema({"type": "string", "enum": [*Outcome]})
]
_Trigger = Annotated[
    Trigger, Field(strict=False), WithJsonSchema({"type": "string", "enum": [*Trigger]})
]
_Action = Annotated[
    Action, Field(strict=False), WithJsonSchema({"type": "string", "enum": [*Action]})
]
_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class RequestModel(BaseModel):
    """What a request may hold; also the shape of one that may hold nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class SyncQuery(RequestModel):
    """How to answer."""

    wait: _Flag = Field(
        default=True, description="false: answer at once; a dry run is always waited for"
    )


class SyncBody(RequestModel):
    """What to do."""

    kind: Literal["full", "quick", "pending"] = Field(
        "full",
        description="quick: what Jellyfin has saved recently; pending: titles on their way",
    )
    dry_run: bool = Field(default=False, description="true: answer with the plan, write nothing")


class RunsQuery(RequestModel):
    """Which runs."""

    outcome: _Outcome | None = None
    trigger: _Trigger | None = None
    since: _Moment | None = Field(None, description="begun not before this")
    until: _Moment | None = Field(None, description="begun before this")
    before: _Number | None = Field(None, description="only runs with a lower number")
    limit: _Limit = 50


class RunsOfDays(RequestModel):
    """Which runs, as people say it: from one day of UTC to another, both included."""

    outcome: _Outcome | None = None
    trigger: _Trigger | None = None
    since: _Day | None = None
    until: _Day | None = None
    before: _Number | None = None


class RunRef(RequestModel):
    """One run."""

    run_id: _Number


class TitleRef(RequestModel):
    """A row of the tracker, named in the address."""

    request_id: _Number


class TitlesQuery(RequestModel):
    """Which titles a list shows, and which page of it."""

    q: Annotated[str, Field(max_length=200)] = ""
    kind: Annotated[MediaType | None, Field(strict=False)] = None
    state: Annotated[RequestState | None, Field(strict=False)] = None
    library: Annotated[str, Field(max_length=4096)] = ""
    problems: _Flag = False
    sort: Annotated[Sort, Field(strict=False)] = Sort.NEWEST
    page: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_whole)] = 1


class InstanceRef(RequestModel):
    """A further Radarr or Sonarr, named in the address."""

    name: str = Field(description="the NAME of its section, radarr_NAME or sonarr_NAME")


class AttentionQuery(RequestModel):
    """Which findings."""

    ignored: _Flag = Field(default=False, description="true: the ignored ones")


class SettleBody(RequestModel):
    """What is to be done about one finding."""

    do: _Action = Field(description="its action; or ignore, restore or recheck, which most know")
    kind: _Text
    target: _Text


class RunQuery(RunRef):
    """One run, and which of its decisions."""

    after: _Count = Field(0, description="only decisions with a higher seq")
    limit: _Limit = 200


class AuditQuery(RequestModel):
    """Which audit events."""

    action: _Text | None = None
    actor: _Text | None = Field(None, description="the actor's name")
    run_id: _Number | None = None
    target: _Text | None = None
    since: _Moment | None = Field(None, description="not before this")
    until: _Moment | None = Field(None, description="before this")
    before: _Number | None = Field(None, description="only events with a lower seq")
    limit: _Limit = 50


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class SyncResult(BaseModel):
    """How a run ended; the first five are a contract, and more may follow."""

    total_scanned: int
    added: int
    skipped: int
    errors: int
    error_details: list[str]
    updated: int
    promoted: int
    removed: int
    merged: int = Field(0, description="rows that became part of another one")
    held: int
    conflicts: int
    awaited: int = Field(0, description="requested titles that got a row")
    moved: int = Field(0, description="rows of titles that are further on their way")
    withdrawn: int = Field(0, description="rows whose request is gone")
    run_id: int | None = Field(
        description="null for a dry run, and where a look was enough and nothing changed"
    )
    outcome: Outcome
    dry_run: bool
    duration_ms: int
    server: str = Field("", description="id of the Jellyfin that answered")
    server_known: bool = Field(
        default=True, description="false: it is another one than before, and nothing is removed"
    )
    plan: list[dict[str, Any]] = Field([], description="what a dry run would write")


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs, the newest first; ask with `next_before` for more, null if there is none."""

    runs: list[Run]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class RunDetail(Run):
    """One run, and what it decided; ask with `next_after` for more, null if there is none."""

    progress: RunStatus | None
    plan: Plan | None
    decisions: list[Decision]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Audit events, the newest first; ask with `next_before` for more, null if there is none."""

    events: list[AuditEntry]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class TitleDetail(TitleFacts):
    """What is tracked of a title, and why, in sentences."""

    because: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Attention:
    """All that needs somebody, the most urgent first."""

    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Settled:
    """The state of a held plan."""

    run_id: int
    state: str


@dataclass(frozen=True, slots=True)
class UndoneRun:
    """What was taken back of a run."""

    run_id: int
    titles: list[Undone]


@dataclass(frozen=True, slots=True)
class SyncState:
    """What is, was and will be."""

    now: Timestamp
    last: Run | None
    running: RunStatus | None
    waiting: RunStatus | None
    next_run: Timestamp | None


@dataclass(frozen=True, slots=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not as it should be."""

    what: str
    kind: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether work can be done."""

    ready: bool
    reasons: list[Reason]


@dataclass(frozen=True, slots=True)
class SettledFinding:
    """What becomes of a finding, and the run that sees to it; null where none has to."""

    do: str
    kind: str
    target: str
    run_id: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """The kind of webhook that was taken; "" if nothing will come of it."""

    taken: str
