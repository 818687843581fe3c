"""Rows of titles on their way: state kept between passes, and what a pass writes.

What a pass decides goes into one transaction, and each row is looked at there again: the tracker's
webhooks write the same rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from daemon.domain import Actor, Fate, Ids, MediaType, Outcome, RequestState, Trigger, Value
from daemon.pending import (
    Attention,
    Change,
    Followed,
    Gauges,
    GivesWay,
    NewRow,
    PendingMemory,
    PendingPlan,
    PendingRow,
    TimelineEvent,
    Withdrawal,
)
from daemon.plan.pending.withdrawals import TIMER
from daemon.reasons import Reason
from daemon.store import audit, history, requests, stuck
from daemon.store.clock import Moment
from daemon.store.database import Connection, Transaction
from daemon.store.history import Decided
from daemon.store.writing import Writer

_WEEK: Final = timedelta(days=7)
_COUNTED_ANEW: Final = 3600.0
"""Seconds after which what was waited for is written down, so that a reboot costs no more."""

_STEP: Final = 0.01
_SHOWN: Final = (
    *("id", "media_type", "state", "title", "tmdb_id", "tvdb_id", "radarr_id", "sonarr_id"),
    *(
        "created_at",
        "imdb_id",
        "requested_seasons",
        "jellyseerr_id",
        "is_anime",
        "jellyfin_id",
        *requests.GAUGES,
    ),
)


class Known(NamedTuple):
    """What the file says of titles on their way.

    Attributes:
        ages: by row, its `created_at`.
        gauges: by row, what it shows of its download.
        counted: by row that is followed, when its timers were counted.
        calls: for what the last pass called a person.
    """

    rows: list[PendingRow]
    memory: PendingMemory
    ages: Mapping[int, str]
    gauges: Mapping[int, Gauges]
    counted: Mapping[int, float]
    calls: Sequence[Attention] = ()


class PassRun(NamedTuple):
    """The run under which a pass is recorded, if it changes anything.

    Attributes:
        within: it is a run that is going, and that ends with this pass.
        result: makes its result from its number and the counts.
    """

    number: int | None
    trigger: Trigger
    actor: Actor
    result: Callable[[int, Counter[Reason]], dict[str, Any]]
    within: bool = False


def now(connection: Connection) -> datetime:
    """The time, aware and in UTC."""
    return connection.clock.now()


def known(connection: Connection, titles: Iterable[tuple[MediaType, Ids]]) -> Known:
    """The rows of these titles, and all that are followed; by indexed columns alone."""
    moment = connection.clock.moment()
    followed: dict[int, _Kept] = dict(_followed(connection, moment))
    columns = requests.columns(connection)
    names = [name if name in columns else f"NULL AS {name}" for name in _SHOWN]
    ids = [ids for _, ids in titles]
    lists = [[one for one in numbers if one] for numbers in zip(*ids, strict=True)] or [[], []]
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM requests WHERE id IN (SELECT request_id FROM sync_pending)"
        " OR tmdb_id IN (SELECT value FROM json_each(?))"
        " OR tvdb_id IN (SELECT value FROM json_each(?))",
        (json.dumps(lists[0]), json.dumps(lists[1])),
    ).fetchall()
    rows, ages, shown, counted = [], {}, {}, {}
    for values in found:
        row = dict(zip(_SHOWN, values, strict=True))
        number, age = row["id"], str(row["created_at"])
        one = followed.get(number)
        ours = one if one is not None and one.age == age else None
        rows.append(_row(row, ours.followed if ours else None))
        ages[number] = age
        shown[number] = Gauges(*(row[name] for name in requests.GAUGES))
        if ours is not None:
            counted[number] = moment.elapsed_since(ours.at)
    return Known(rows, _memory(connection), ages, shown, counted, stuck.known(connection))


class _Kept(NamedTuple):
    age: str
    followed: Followed
    at: Moment


@cache
def _adapter() -> TypeAdapter[Followed]:
    return TypeAdapter(Followed)


def followed_of(text: str) -> Followed:
    """What is kept of a row, as the file has it."""
    try:
        return _adapter().validate_json(text)
    except ValidationError:  # a newer version calls for people by other words; a pass does it anew
        return _adapter().validate_json(json.dumps({**json.loads(text), "calls": []}))


def _followed(connection: sqlite3.Connection, now: Moment) -> Iterable[tuple[int, _Kept]]:
    """By row; the time since a timer was written down counts for it."""
    found = connection.execute(
        "SELECT request_id, created_at, followed, boot, monotonic, wall FROM sync_pending"
    )
    for number, age, text, *at in found:
        moment = Moment(*at)
        one = followed_of(text)
        passed = timedelta(seconds=now.elapsed_since(moment))
        timers = {
            name: timer._replace(waited=timer.waited + passed) for name, timer in one.timers.items()
        }
        yield number, _Kept(age, replace(one, timers=timers), moment)


def _row(row: Mapping[str, Any], followed: Followed | None) -> PendingRow:
    known_type, state = requests.understood(row["media_type"], row["state"])
    media_type = known_type or MediaType.MOVIE
    arr_id = row["radarr_id" if media_type is MediaType.MOVIE else "sonarr_id"]
    imdb = row["imdb_id"]
    return PendingRow(
        id=row["id"],
        media_type=media_type,
        ids=Ids(
            requests.positive(row["tmdb_id"]),
            requests.positive(row["tvdb_id"]),
            imdb.lower() if isinstance(imdb, str) and imdb else None,
        ),
        title=str(row["title"]),
        state=state if known_type else None,
        seasons=requests.seasons(row["requested_seasons"]),
        seerr_id=requests.positive(row["jellyseerr_id"]),
        arr_id=requests.positive(arr_id),
        is_anime=bool(row["is_anime"]),
        linked=bool(row["jellyfin_id"]),
        followed=followed,
    )


def _memory(connection: Connection) -> PendingMemory:
    since = connection.clock.now() - _WEEK
    approved = connection.execute("SELECT target FROM sync_confirmed WHERE kind = 'withdrawal'")
    done = (Outcome.OK, Outcome.PARTIAL, Outcome.HELD)
    return PendingMemory(
        ready=history.latest_full(connection, *done) is not None,
        deletions=requests.deletions(connection),
        approved=frozenset(int(target) for (target,) in approved),
        withdrawn_lately=audit.taken_since(connection, since, Reason.WITHDRAW.meaning.audit),
    )


def confirmed_seerr(connection: Connection) -> str:
    """The identity of the known Seerr; "" before the first pass."""
    found = connection.execute("SELECT target FROM sync_confirmed WHERE kind = 'seerr'").fetchone()
    return "" if found is None else str(found[0])


def is_written(plan: PendingPlan) -> bool:
    """Whether a plan changes anything that people see beside a download's progress."""
    gone = any(one.fate is Fate.REMOVE for one in plan.withdrawals)
    return bool(plan.adds or plan.changes or plan.gives_way or gone)


def apply(
    transaction: Transaction, plan: PendingPlan, before: Known, run: PassRun
) -> tuple[int | None, Counter[Reason]]:
    """Write what a pass has decided; it is a run only if it changes anything.

    Returns:
        The number of the run, and how much was done, by its reason.
    """
    number, done = None, Counter[Reason]()
    if is_written(plan):
        number = run.number
        if number is None or not run.within:
            number = history.begin(
                transaction, run.trigger, run.actor, kind="pending", number=number
            )
        writer = _Writer(transaction, number, run.actor, before)
        writer.write(plan)
        done = writer.record()
        if not (run.within or done.keys() - {Reason.ADDED_CONCURRENTLY}):
            history.discard(transaction, number)
            number = None
        elif not run.within:
            result = run.result(number, done)
            history.finish(transaction, number, Outcome(result["outcome"]), result)
    _keep(transaction, plan, before)
    return number, done


def is_shown_anew(plan: PendingPlan, before: Known) -> bool:
    """Whether the progress of any download has to be written."""
    return any(_gauges(plan, before))


def needs_keeping(plan: PendingPlan, before: Known) -> bool:
    """Whether anything of what is kept, or is shown of a download, has to be written."""
    was = {row.id: row.followed for row in before.rows if row.followed is not None}
    if was.keys() != plan.kept.keys() or is_shown_anew(plan, before):
        return True
    if [*plan.attention] != [*before.calls]:
        return True
    return any(_is_news(number, one, was[number], before) for number, one in plan.kept.items())


def _is_news(number: int, now: Followed, was: Followed, before: Known) -> bool:
    """Whether a timer needs writing: a running one only once an hour."""
    if before.counted.get(number, 0.0) >= _COUNTED_ANEW:
        return True
    return _without_time(now) != _without_time(was)


def _without_time(one: Followed) -> Followed:
    timers = {
        name: timer._replace(sightings=min(timer.sightings, 2), waited=timedelta())
        for name, timer in one.timers.items()
    }
    return replace(one, timers=timers, progress=round(one.progress / _STEP) * _STEP)


def _gauges(plan: PendingPlan, before: Known) -> Iterable[tuple[int, Gauges]]:
    """Progress that people would see to have changed."""
    for number, new in plan.gauges.items():
        old = before.gauges.get(number, Gauges())
        moved = abs((new.progress or 0.0) - (old.progress or 0.0)) >= _STEP
        if moved or (new.progress is None) != (old.progress is None) or new.speed != old.speed:
            yield number, new


def _keep(transaction: Transaction, plan: PendingPlan, before: Known) -> None:
    at = transaction.clock.moment()
    gone = "DELETE FROM sync_pending WHERE request_id NOT IN (SELECT id FROM requests)"
    transaction.execute(gone)
    left = [(row.id,) for row in before.rows if row.followed and row.id not in plan.kept]
    transaction.executemany("DELETE FROM sync_pending WHERE request_id = ?", left)
    for number, one in plan.kept.items():
        _follow(transaction, number, before.ages[number], one, at)
    _forget_approvals(transaction, plan)
    if [*plan.attention] != [*before.calls]:
        stuck.keep(transaction, plan.attention)
    show(transaction, plan, before)


def _forget_approvals(transaction: Transaction, plan: PendingPlan) -> None:
    """An approval holds for this loss of a request: not for a later one, nor for another row."""
    found = [
        (str(number),)
        for number, one in plan.kept.items()
        if not one.timers.keys() & {TIMER, "unknown"}
    ]
    of_rows = "DELETE FROM sync_confirmed WHERE kind = 'withdrawal' AND"
    transaction.executemany(f"{of_rows} target = ?", found)
    transaction.execute(f"{of_rows} CAST(target AS INTEGER) NOT IN (SELECT id FROM requests)")


def show(transaction: Transaction, plan: PendingPlan, before: Known) -> None:
    """Write the progress of downloads, without an event or an audit entry."""
    columns = requests.columns(transaction)
    names = [name for name in requests.GAUGES if name in columns]
    for number, gauges in _gauges(plan, before) if len(names) == len(requests.GAUGES) else ():
        transaction.execute(
            f"UPDATE requests SET {', '.join(f'{name} = ?' for name in names)}"
            " WHERE id = ? AND created_at = ? AND state <> 'AVAILABLE'",
            (*gauges, number, before.ages[number]),
        )


def _follow(
    transaction: Transaction, number: int, age: str, followed: Followed, at: Moment
) -> None:
    transaction.execute(
        "INSERT OR REPLACE INTO sync_pending VALUES (?, ?, ?, ?, ?, ?)",
        (number, age, _adapter().dump_json(followed).decode(), *at),
    )


def follow_again(
    transaction: Transaction, number: int, kept: Mapping[str, str], *, restored: bool = False
) -> None:
    """Follow a row as before what was undone.

    Args:
        kept: its row of `sync_pending`.
        restored: its withdrawal was undone, so it is never withdrawn again.
    """
    followed = followed_of(kept["followed"])
    followed = replace(followed, restored=restored or followed.restored)
    _follow(transaction, number, kept["created_at"], followed, transaction.clock.moment())


class _Writer(Writer):
    """Writes what a pass has decided.

    Args:
        before: the rows as they were when that was decided.
    """

    def __init__(self, transaction: Transaction, run_id: int, actor: Actor, before: Known) -> None:
        super().__init__(transaction, run_id, actor)
        self._before = before
        self._states = {row.id: row.state for row in before.rows}
        self._moment = transaction.clock.moment()
        self._transaction = transaction

    def write(self, plan: PendingPlan) -> None:
        """Write the plan, removals first: a title has one row on its way at a time."""
        for one in plan.gives_way:
            self._give_way(one)
        for withdrawal in plan.withdrawals:
            if withdrawal.fate is Fate.REMOVE:
                self._withdraw(withdrawal)
        for change in plan.changes:
            self._move(change)
        for new in plan.adds:
            self._begin(new)

    def _now_there(self, number: int) -> dict[str, Any] | None:
        """The row, if unchanged; the tracker may have moved it or reused its number."""
        rows = self._whole("requests", "id", number)
        state = self._states.get(number)
        if not rows or state is None:
            return None
        [row] = rows
        same = str(row["created_at"]) == self._before.ages[number] and row["state"] == state.value
        return row if same else None

    def _give_way(self, one: GivesWay) -> None:
        if (row := self._now_there(one.row_id)) is not None:
            before = self._taken_out(Reason.GIVE_WAY, row)
            why = f"the same title is on its way as request {one.to}"
            self._audit(Reason.GIVE_WAY, one.row_id, why, before, {"gave_way_to": one.to})

    def _withdraw(self, one: Withdrawal) -> None:
        if (row := self._now_there(one.row_id)) is None:
            return
        kept = self._whole("sync_pending", "request_id", one.row_id)
        before = self._taken_out(Reason.WITHDRAW, row) | {"sync_pending": kept}
        self._connection.execute("DELETE FROM sync_pending WHERE request_id = ?", (one.row_id,))
        log = self._log_deletion(row, one.why, "EXTERNAL", "jellyseerr")
        self._audit(Reason.WITHDRAW, one.row_id, one.why, before, {"deletion_log_id": log})

    def _move(self, change: Change) -> None:
        if (row := self._now_there(change.row_id)) is None:
            self._overtaken += 1
            return
        now = requests.moment(self._now)
        values: dict[str, Value] = dict(change.columns)
        if change.state is not change.before:
            values |= {"state": change.state.value, "state_changed_at": now, "updated_at": now}
        elif "qbit_hash" in values:
            values["updated_at"] = now
        values = {name: new for name, new in values.items() if name in row and row[name] != new}
        if not values:
            return
        self._set(change.row_id, values)
        before = {name: row[name] for name in values}
        after: dict[str, Any] = dict(values)
        if change.event is not None:
            after["event_id"] = self._tell(change.row_id, change.event)
            before["episodes"] = []
        details = change.event.details if change.event else ", ".join(sorted(change.columns))
        about = (row["media_type"], row["title"], row["jellyfin_id"], change.row_id, details)
        self._decided.append(Decided(Reason.MOVE, *about))
        self._audit(Reason.MOVE, change.row_id, details, before, after)

    def _begin(self, new: NewRow) -> None:
        """Insert a row for a request, unless somebody else has in the meantime."""
        if self._is_tracked(new):
            self._overtaken += 1
            return
        number, now = self._next_id(), requests.moment(self._now)
        age = requests.moment(new.created_at)
        values: dict[str, object] = {
            "id": number,
            "title": new.title,
            "media_type": new.media_type.value,
            "state": new.state.value,
            "tmdb_id": new.ids.tmdb,
            "tvdb_id": new.ids.tvdb,
            "imdb_id": new.ids.imdb,
            "year": new.year,
            "overview": new.overview,
            "poster_url": new.poster_url,
            "requested_by": new.requested_by,
            "jellyseerr_id": None if self._is_taken(new.seerr_id) else new.seerr_id,
            _ARR[new.media_type]: new.arr_id,
            "requested_seasons": ",".join(map(str, new.seasons)) or None,
            "season": new.seasons[0] if new.seasons else None,
            **new.columns,
            **dict(zip(requests.GAUGES, new.gauges, strict=True)),
            "created_at": age,
            "updated_at": now,
            "state_changed_at": now,
        }
        values = {name: value for name, value in values.items() if name in self._columns}
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO requests ({names}) VALUES ({marks})", values)
        for event in new.events:
            self._tell(number, event)
        _follow(self._transaction, number, age, new.followed, self._moment)
        self._transaction.passes += 1
        about = (new.media_type.value, new.title, None, number, new.followed.why)
        self._decided.append(Decided(Reason.AWAIT, *about))
        after = {"request_ids": [number], "seerr_id": new.seerr_id, "state": new.state.value}
        self._audit(Reason.AWAIT, number, new.followed.why, {}, after)

    def _is_tracked(self, new: NewRow) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM requests WHERE media_type = ? AND (tmdb_id = ? OR tvdb_id = ?)"
            " AND (state <> ? OR jellyseerr_id = ? OR media_type = 'MOVIE') LIMIT 1",
            (
                new.media_type.value,
                new.ids.tmdb,
                new.ids.tvdb,
                RequestState.AVAILABLE.value,
                new.seerr_id,
            ),
        )
        return found.fetchone() is not None

    def _is_taken(self, seerr_id: int) -> bool:
        """Whether a row on its way bears a request's number: two break the tracker's webhooks."""
        found = self._connection.execute(
            "SELECT 1 FROM requests WHERE jellyseerr_id = ? AND state <> ? LIMIT 1",
            (seerr_id, RequestState.AVAILABLE.value),
        )
        return found.fetchone() is not None

    def _tell(self, number: int, event: TimelineEvent) -> int:
        cursor = self._connection.execute(
            "INSERT INTO timeline_events"
            " (request_id, service, event_type, state, details, timestamp)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                number,
                event.service,
                event.kind,
                event.state.value,
                event.details,
                requests.moment(event.at or self._now),
            ),
        )
        return int(cursor.lastrowid or 0)


_ARR: Final = {MediaType.MOVIE: "radarr_id", MediaType.TV: "sonarr_id"}
