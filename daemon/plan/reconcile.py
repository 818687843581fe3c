"""The planner: compares what the services say with what is tracked, and decides. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, NamedTuple

from daemon.columns import FILLABLE, REFRESHED
from daemon.domain import (
    Add,
    Conflict,
    Decision,
    Deletion,
    Evidence,
    Fate,
    Held,
    HeldKind,
    Ids,
    InstanceId,
    LibraryItem,
    MediaType,
    Plan,
    Policy,
    RequestState,
    Skip,
    TrackedRequest,
    Tracker,
    Update,
    Value,
    value_hash,
)
from daemon.identity import merged, same
from daemon.plan.removal import RemovalDecisions, away, judge, proof
from daemon.plan.seasons import Completeness, completeness
from daemon.plan.titles import Grouping, Title, group, pair, title_of
from daemon.reasons import Reason
from daemon.snapshot import Report, Snapshot

_UNCHANGED: Final = "unchanged"
_SETTLED: Final = timedelta(hours=1)
"""After this time a deleted title whose files were not removed is added again."""


def plan(snapshot: Snapshot, tracker: Tracker, policy: Policy) -> Plan:
    """Decide about every item of the library and every request of the tracker.

    The plan does not depend on the order of its input, and is idempotent: once carried out, a
    second plan of the same snapshot changes nothing.
    """
    return _Planner(snapshot, tracker, policy).plan()


def open_series(
    items: Iterable[LibraryItem], requests: Iterable[TrackedRequest]
) -> dict[str, frozenset[int]]:
    """The series whose episodes must be counted: Jellyfin id of each copy, and seasons.

    Returns:
        The requested seasons of open requests; empty if one asks for all.
    """
    series = [item for item in items if item.media_type is MediaType.TV]
    rows = [row for row in requests if row.media_type is MediaType.TV]
    found: dict[str, frozenset[int]] = {}
    if not any(row.is_open for row in rows):
        return found
    for title in group(series, rows).titles:
        asked = [row.seasons for row in title.requests if row.is_open and row.seasons is not None]
        if asked:
            whole = frozenset[int]() if not all(asked) else frozenset().union(*asked)
            found.update((item.jellyfin_id, whole) for item in title.items)
    return found


def copies_of_series(
    items: Iterable[LibraryItem], requests: Iterable[TrackedRequest]
) -> dict[str, frozenset[str]]:
    """The copies of each series that has several, by the Jellyfin id of each copy."""
    series = [item for item in items if item.media_type is MediaType.TV]
    rows = [row for row in requests if row.media_type is MediaType.TV and row.is_open]
    found: dict[str, frozenset[str]] = {}
    for title in group(series, rows).titles if rows else ():
        if title.requests and len(title.items) > 1:
            every = frozenset(item.jellyfin_id for item in title.items)
            found.update(dict.fromkeys(every, every))
    return found


def watched_series(
    items: Iterable[LibraryItem], requests: Iterable[TrackedRequest]
) -> frozenset[str]:
    """The series whose absence must be proven: Jellyfin ids of all their copies.

    They are tracked as available, and no copy is known to be playable.
    """
    series = [item for item in items if item.media_type is MediaType.TV]
    if all(item.available for item in series):
        return frozenset()
    rows = [row for row in requests if row.media_type is MediaType.TV]
    return frozenset(
        item.jellyfin_id
        for title in group(series, rows).titles
        if any(row.is_available for row in title.requests)
        and not any(item.available for item in title.items)
        for item in title.items
    )


@dataclass(slots=True)
class _Planner:
    """The state of one planning; the last fields are its results."""

    snapshot: Snapshot
    tracker: Tracker
    policy: Policy
    decisions: list[Decision] = field(default_factory=list)
    seen: list[tuple[int, str | None]] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    absent: list[TrackedRequest] = field(default_factory=list)
    instance_ids: list[InstanceId] = field(default_factory=list)
    doubles: list[tuple[int, ...]] = field(default_factory=list)
    ids: set[str] | None = None
    grouping: Grouping = field(default_factory=Grouping)
    reidentified: dict[str, list[TrackedRequest]] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    leads: dict[int, int] = field(default_factory=dict)
    primary: dict[MediaType, Report | None] = field(default_factory=dict)
    further: dict[MediaType, list[Report]] = field(default_factory=dict)

    def plan(self) -> Plan:
        for media_type in MediaType:
            reports = self.snapshot.of(media_type)
            self.primary[media_type] = next((one for one in reports if one.primary), None)
            self.further[media_type] = [one for one in reports if not one.primary]
        requests = self.tracker.requests
        if self.tracker.identified:
            requests = [self._as_identified(row) for row in requests]
        self.grouping = group(self.snapshot.items, requests)
        self.reidentified = self._reidentified()
        self.claimed = {
            item.jellyfin_id
            for title in self.grouping.joined
            if title.requests or title.disputed
            for item in title.items
        }
        self._titles()
        rules = proof(self.snapshot.reading, self.tracker.requests)
        self._forget_instances()
        evidence = Evidence(
            self.seen, self.returned, away=self._away(), instance_ids=self.instance_ids
        )
        held: list[Held] = []
        if self.snapshot.reading.proves_absence and not any(rule.why for rule in rules):
            verdict = self._judge_absent()
            rules += verdict.rules
            held.extend(verdict.held)
            evidence = evidence._replace(missed=verdict.missed, away=())
        else:
            for row in self.absent:
                if not self._relink_only(row):
                    self.decisions.append(Skip(None, Reason.AVAILABILITY_UNKNOWN, row.id))
        held = [*self._hold_unlinks(), *held]
        return Plan(self.decisions, evidence, held, rules, self.doubles, self._merges())

    def _judge_absent(self) -> RemovalDecisions:
        """Decide about absent requests; those that stay can still be relinked."""
        removal, leads = self.policy.removal, self.leads
        verdict = judge(self.absent, self._there(), self.snapshot, self.tracker, removal, leads)
        self.decisions.extend(verdict.fates)
        for one in verdict.fates:
            if one.fate is not Fate.REMOVE:
                self._relink_only(one.request)
        return verdict

    def _away(self) -> list[int]:
        """Missing rows whose library is not listed, or empty, even in an incomplete reading."""
        if self.snapshot.reading.asked is not None or not self.snapshot.reading.titles:
            return []
        return away(self.tracker.requests, self.snapshot)

    def _there(self) -> Counter[str | None]:
        """Tracked titles per library after this plan."""
        seen = dict(self.seen)
        promoted = {
            one.request_id for one in self.decisions if isinstance(one, Update) and one.promotes
        }
        there: Counter[str | None] = Counter(
            seen.get(row.id, row.library)
            for row in self.tracker.requests
            if self.leads.get(row.id, row.id) == row.id
            and (row.seen or row.id in seen)
            and (row.is_available or row.id in promoted)
        )
        there.update(one.item.library for one in self.decisions if isinstance(one, Add))
        return there

    def _merges(self) -> list[tuple[int, ...]]:
        return [one for one in self.doubles if self.tracker.merges.issuperset(one)]

    def _as_identified(self, row: TrackedRequest) -> TrackedRequest:
        """A request with the item's ids, if an admin has confirmed its new identity."""
        if row.id not in self.tracker.identified:
            return row
        named = (item for item in self.snapshot.items if item.jellyfin_id == row.jellyfin_id)
        item = next((one for one in named if one.media_type is row.media_type), None)
        return row if item is None or not item.ids.known else row._replace(ids=item.ids)

    def _titles(self) -> None:
        """Decide about every title, the plain ones by comparing where that is enough."""
        for title in self.grouping.joined:
            self._title(title)
        for members in self.grouping.taken():
            if (same_title := pair(members)) and self._is_right(*same_title):
                item, row = same_title
                self.decisions.append(Skip(item, Reason.ALREADY_RIGHT, row.id))
            else:
                self._title(title_of(members))

    def _is_right(self, item: LibraryItem, row: TrackedRequest) -> bool:
        """Whether all that `_title` could come to is that nothing is to be done.

        Nearly all titles of nearly all runs are such, and looking at this first is five times as
        fast. What it does not see to be right need not be wrong.
        """
        return (
            item.unchanged
            and item.available is True
            and item.poster is None
            and row.state is RequestState.AVAILABLE
            and row.seen
            and row.absence is None
            and item.library == row.library
            and row.id not in self.tracker.identified
            and not self.further[row.media_type]
            and not self._arr_relink(row, item.ids)
            and not self._fills(row, item, item.ids, set())
        )

    # --- one title ---------------------------------------------------------------------------

    def _title(self, title: Title) -> None:
        if len(title.requests) > 1:
            self.leads.update((row.id, self._lead(title)) for row in title.requests)
        self._note_instance_ids(title)
        if title.disputed:
            self._dispute(title)
        elif not title.requests:
            self._untracked(title)
        else:
            self._tracked(title)

    def _lead(self, title: Title) -> int:
        """The request that counts for a title: the oldest available one."""
        rows = [row for row in title.requests if row.is_available] or [*title.requests]
        return min((not row.seen, row.id) for row in rows)[1]

    def _dispute(self, title: Title) -> None:
        numbers = tuple(sorted({*(row.id for row in title.requests), *title.disputed_with}))
        self.returned.extend(row.id for row in title.requests if row.absence)
        for item in title.items:
            if item.contradicting:
                names = f"two ids of {', '.join(item.contradicting)}"
                reason = Reason.CONTRADICTING
                self.decisions.append(Conflict(item, numbers, reason, names))
            elif item.available:
                self.decisions.append(Conflict(item, numbers))
            else:
                self.decisions.append(_not_there(item))
        if title.requests and not any(item.available for item in title.items):
            self.decisions.append(Conflict(None, numbers))
        for row in title.requests:
            self._relink_only(row)

    def _untracked(self, title: Title) -> None:
        """Add an available title without a request, unless somebody deleted it."""
        there = [item for item in title.items if item.available]
        self.decisions.extend(_not_there(item) for item in title.items if not item.available)
        if not there:
            return
        first, *copies = there
        if reidentified := [
            row for item in title.items for row in self.reidentified.get(item.jellyfin_id, ())
        ]:
            details = "; ".join(_unlike(row, title.items[0]) for row in reidentified)
            numbers = tuple(row.id for row in reidentified)
            self.decisions.extend(
                Conflict(item, numbers, Reason.REIDENTIFIED, details) for item in there
            )
            return
        reason, details_of_wait = self._reason_to_wait(title)
        if reason is not None:
            self.decisions.extend(Skip(item, reason, details=details_of_wait) for item in there)
            return
        self.decisions.append(self._add(first, self._ids(title)))
        self.decisions.extend(Skip(item, Reason.DUPLICATE) for item in copies)

    def _reason_to_wait(self, title: Title) -> tuple[Reason | None, str | None]:
        if self.snapshot.reading.scanning and not any(item.ids.known for item in title.items):
            return Reason.SCAN_IN_PROGRESS, None
        for deletion in self.tracker.deletions:
            if not deletion.overruled and _was_deleted(title, deletion):
                if not deletion.files_too:
                    return Reason.DELETED_IN_TRACKER, "it was taken off the list there"
                if not (self.snapshot.reading.complete and deletion.age >= _SETTLED):
                    return Reason.DELETED_IN_TRACKER, "its files were to go"
        return None, None

    def _reidentified(self) -> dict[str, list[TrackedRequest]]:
        """By Jellyfin id, the requests that name an item with another title's ids.

        A request whose own title is in the library is relinked to it instead.
        """
        found: dict[str, list[TrackedRequest]] = {}
        for title in self.grouping.joined if self.grouping.reidentified else ():
            if any(item.available for item in title.items):
                continue
            for row in title.requests:
                if (item := self.grouping.reidentified.get(row.id)) is not None:
                    found.setdefault(item.jellyfin_id, []).append(row)
        return found

    def _tracked(self, title: Title) -> None:
        if not title.items and self.snapshot.reading.asked is not None:
            return  # it was not looked at
        there = [item for item in title.items if item.available]
        if not there:
            self._not_in_library(title)
            return
        if len(ours := tuple(row.id for row in title.requests if row.managed)) > 1:
            self.doubles.append(ours)
        ids = self._ids(title)
        spoken: set[str] = set()
        for row in title.requests:
            item = next((one for one in there if one.jellyfin_id == row.jellyfin_id), there[0])
            spoken.add(item.jellyfin_id)
            self.decisions.append(self._request(row, item, title, ids))
        for item in title.items:
            if not item.available:
                self.decisions.append(replace(_not_there(item), request_id=title.requests[0].id))
            elif item.jellyfin_id not in spoken:
                self.decisions.append(Skip(item, Reason.DUPLICATE, title.requests[0].id))

    def _not_in_library(self, title: Title) -> None:
        """Decide about a title without a playable copy; only certainty makes it absent."""
        self.decisions.extend(
            replace(_not_there(item), request_id=title.requests[0].id) for item in title.items
        )
        unknown = any(item.available is None for item in title.items)
        for row in title.requests:
            if (item := self.grouping.reidentified.get(row.id)) is not None:
                self._note_reidentified(row, item)
                self._relink_only(row)
            elif (reason := self._reason_to_stay(row, unknown=unknown)) is None:
                self.absent.append(row)
            elif not self._relink_only(row):
                self.decisions.append(Skip(None, reason, row.id))

    def _note_reidentified(self, row: TrackedRequest, item: LibraryItem) -> None:
        """Add a decision about the request, if there is none about the item."""
        if item.jellyfin_id in self.claimed or not item.available:
            reason = Reason.REIDENTIFIED
            self.decisions.append(Conflict(item, (row.id,), reason, _unlike(row, item)))
        if row.absence:
            self.returned.append(row.id)

    def _reason_to_stay(self, row: TrackedRequest, *, unknown: bool) -> Reason | None:
        """Why a request without a title in the library is not absent; None if it is."""
        if row.state is None:
            return Reason.NOT_UNDERSTOOD
        if row.is_open:
            return Reason.NOT_IN_LIBRARY
        broken = row.jellyfin_id in self.snapshot.reading.broken
        if unknown or broken or row.id in self.grouping.protected:
            return Reason.AVAILABILITY_UNKNOWN
        if row.seen or row.id in self.tracker.approved:
            return None
        proven = self.snapshot.reading.proves_absence
        return Reason.NEVER_SEEN if proven else Reason.AVAILABILITY_UNKNOWN

    def _ids(self, title: Title) -> Ids:
        """The ids of a title's items, merged, the canonical item first."""
        ids = Ids()
        for item in title.items:
            ids = merged(ids, item.ids)
        return ids

    # --- further instances of Radarr and Sonarr ----------------------------------------------

    def _note_instance_ids(self, title: Title) -> None:
        """Record the title's ids in further instances, which never go into its rows."""
        if not (title.requests and self.further[title.media_type]):
            return
        ids = Ids() if title.disputed else self._ids(title)
        for report in self.further[title.media_type]:
            for row in title.requests:
                before = self._named(report, row)
                number = _number_in(report, merged(row.ids, ids), before)
                if number != before:
                    self.instance_ids.append(InstanceId(row.id, report.instance, number))

    def _forget_instances(self) -> None:
        """Drop ids of instances that are no longer configured."""
        configured = {report.instance for report in self.snapshot.reports}
        self.instance_ids.extend(
            InstanceId(row, instance, None)
            for instance, known in self.tracker.instance_ids.items()
            if instance not in configured
            for row in known
        )

    def _named(self, report: Report, row: TrackedRequest) -> int | None:
        """A request's stored id in an instance."""
        if report.primary:
            return row.arr_id
        return self.tracker.instance_ids.get(report.instance, {}).get(row.id)

    # --- one request -------------------------------------------------------------------------

    def _request(self, row: TrackedRequest, item: LibraryItem, title: Title, ids: Ids) -> Decision:
        """Decide about a request, by the copy that it names or the canonical one."""
        if not row.seen or (item.library is not None and item.library != row.library):
            self.seen.append((row.id, item.library))
        if row.absence:
            self.returned.append(row.id)
        if row.state is None:
            return Skip(item, Reason.NOT_UNDERSTOOD, row.id)
        whole = self._completeness(row, title, ids)
        update = self._update(row, item, ids, whole)
        return update or self._left_as_it_is(row, item, whole)

    def _update(
        self, row: TrackedRequest, item: LibraryItem, ids: Ids, whole: Completeness
    ) -> Update | None:
        replaces = self._replaces(row, item)
        relinks = self._relinks(row, item, merged(row.ids, ids))
        fills = self._fills(row, item, merged(row.ids, ids), {*replaces, *relinks})
        promotes = row.state if row.is_open and whole.whole else None
        reasons = (
            (promotes, Reason.PROMOTE),
            (relinks, Reason.RELINK),
            (replaces, Reason.REFRESH),
            (fills, Reason.FILL),
        )
        reason = next((reason for found, reason in reasons if found), None)
        if reason is None:
            return None
        details = whole.text or None if row.is_open else None
        # The row may have only ids of another copy, and is told from others by all of them.
        known = item if item.ids == ids else item._replace(ids=ids)
        changes = (fills, replaces, relinks, promotes)
        return Update(known, reason, row.id, *changes, details, undecided=whole.whole is None)

    def _left_as_it_is(self, row: TrackedRequest, item: LibraryItem, whole: Completeness) -> Skip:
        if not row.is_open:
            return Skip(item, Reason.ALREADY_RIGHT, row.id)
        if whole.whole is None:
            return Skip(item, Reason.EARLIER_STATE, row.id, whole.text)
        return Skip(item, Reason.SEASONS_INCOMPLETE, row.id, whole.text)

    def _completeness(self, row: TrackedRequest, title: Title, ids: Ids) -> Completeness:
        """Whether all that a request asked for is present."""
        if not row.is_open or row.media_type is MediaType.MOVIE:
            return Completeness(whole=True)
        if row.seasons is None:
            return Completeness(None, "its requested seasons are not understood")
        episodes = self.snapshot.episodes
        if not all(item.jellyfin_id in episodes for item in title.items):
            return Completeness(None, "its episodes were not read in this run")
        counts = self._counts(row, merged(row.ids, ids))
        if isinstance(counts, str):
            return Completeness(None, counts)
        copies = [episodes[item.jellyfin_id] for item in title.items]
        return completeness(row.seasons, copies, counts, row.episodes)

    def _counts(self, row: TrackedRequest, ids: Ids) -> Mapping[int, int] | str | None:
        """All episodes of each season by the Sonarr that knows the series.

        All Sonarrs list the same provider's episodes, but some are more up to date:
        the largest count of a season wins, and
        one that has not read its episodes yet is ignored.

        Returns:
            None if no Sonarr knows it; a reason if that is unknown.
        """
        counts: dict[int, int] = {}
        away = ""
        for report in self.snapshot.of(MediaType.TV):
            if report.titles is None:
                away = f"{report.instance} cannot say how many episodes it has"
            elif (number := _known_as(report, ids, self._named(report, row))) is not None:
                if not (found := report.counts.get(number)):
                    away = f"{report.instance} counts no episodes of it"
                    continue
                counts |= {s: max(n, counts.get(s, 0)) for s, n in found.items()}
            elif report.titles.is_ambiguous(merged(row.ids, ids)):
                away = f"{report.instance} has several series that it may be"
            elif not report.whole:
                away = f"{report.instance} may know it, but was not asked"
        return counts or away or None

    # --- values ------------------------------------------------------------------------------

    def _add(self, item: LibraryItem, ids: Ids) -> Add:
        item = item if item.ids == ids else item._replace(ids=ids)
        known = _Known(self, item, ids)
        further = {one.instance: _number_in(one, ids) for one in self.further[item.media_type]}
        found = {instance: number for instance, number in further.items() if number is not None}
        return Add(item, known.radarr_id, known.sonarr_id, known.poster_url, found)

    def _relinks(
        self, row: TrackedRequest, item: LibraryItem, ids: Ids
    ) -> dict[str, tuple[Value, Value]]:
        """Ids of a row that are proven wrong by a complete list of their own service."""
        relinks: dict[str, tuple[Value, Value]] = {}
        if self.snapshot.reading.distrust:
            return relinks
        if row.id in self.tracker.identified:
            relinks |= self._new_identity(row, item)
        old = row.jellyfin_id
        if old is not None and old != item.jellyfin_id and self._is_not_its(row, old):
            relinks["jellyfin_id"] = (old, item.jellyfin_id)
        return relinks | self._arr_relink(row, ids)

    def _arr_relink(self, row: TrackedRequest, ids: Ids) -> dict[str, tuple[Value, Value]]:
        """Relink the primary's id if its complete list has another title or none under it."""
        report = self.primary[row.media_type]
        if report is None or row.arr_id is None or not report.whole or not report.titles:
            return {}
        if not report.titles.size or report.titles.holds(row.arr_id, ids) is not False:
            return {}
        return {_ARR_COLUMN[row.media_type]: (row.arr_id, report.titles.find(ids))}

    def _relink_only(self, row: TrackedRequest) -> bool:
        """Relink the primary's id of a request that gets no other update, by its own ids.

        With a wrong one the tracker's delete button would delete the files of another title.
        """
        distrusted = self.snapshot.reading.distrust or self.snapshot.reading.asked is not None
        relinks = {} if distrusted or row.state is None else self._arr_relink(row, row.ids)
        if relinks:
            stand_in = LibraryItem(row.jellyfin_id or "", row.media_type, "", ids=row.ids)
            self.decisions.append(Update(stand_in, Reason.RELINK, row.id, relinks=relinks))
        return bool(relinks)

    def _new_identity(
        self, row: TrackedRequest, item: LibraryItem
    ) -> dict[str, tuple[Value, Value]]:
        """Replace the request's ids with the item's."""
        before = next(one.ids for one in self.tracker.requests if one.id == row.id)
        pairs = zip(_ID_COLUMNS, before, item.ids, strict=True)
        return {name: (old, new) for name, old, new in pairs if old is not None and old != new}

    def _is_not_its(self, row: TrackedRequest, jellyfin_id: str) -> bool:
        """Whether the item that a row names is gone, or is now another title."""
        if self.ids is None:
            self.ids = {item.jellyfin_id for item in self.snapshot.items}
        if jellyfin_id in self.ids:
            return row.id in self.grouping.reidentified and self.snapshot.reading.proves_absence
        return self.snapshot.reading.proves_gone(jellyfin_id)

    def _replaces(self, row: TrackedRequest, item: LibraryItem) -> dict[str, Value]:
        """Changed values of a managed row, by the item that it names."""
        named = row.jellyfin_id in {None, item.jellyfin_id}
        if not named and row.jellyfin_id is not None:
            named = not self.snapshot.reading.distrust and self._is_not_its(row, row.jellyfin_id)
        if not row.managed or not named:
            return {}
        poster: dict[str, Value] = {}
        if (url := self._poster(row, item)) is not _UNCHANGED:
            poster = {"poster_url": url}
        if item.unchanged:
            return poster
        full = self.snapshot.texts.full(item)
        known, lacking = _Known(self, full, full.ids), self.tracker.lacking
        values = {one.name: one.read(known) for one in REFRESHED if one.name not in lacking}
        if value_hash(*(values.get(one.name) for one in REFRESHED)) == row.metadata_hash:
            return poster
        return values | poster

    def _poster(self, row: TrackedRequest, item: LibraryItem) -> str | None:
        """The poster's URL, if it has changed or names a lost id."""
        if item.poster is not None:
            same_item = row.poster is item.poster and row.jellyfin_id == item.jellyfin_id
            return _UNCHANGED if same_item else self.policy.poster_url(item)
        moved = row.poster is True and row.jellyfin_id != item.jellyfin_id
        return self.policy.address(item.jellyfin_id) if moved else _UNCHANGED

    def _fills(
        self, row: TrackedRequest, item: LibraryItem, ids: Ids, taken: set[str]
    ) -> dict[str, Value]:
        fills: dict[str, Value] = {}
        if not row.missing:
            return fills
        known = _Known(self, item, ids)
        for column in row.missing:
            if column not in taken and (value := FILLABLE[column].read(known)) is not None:
                fills[column] = value
        return fills

    def arr_id(self, media_type: MediaType, item: LibraryItem, ids: Ids) -> int | None:
        """A title's id at the primary instance."""
        if item.media_type is not media_type:
            return None
        report = self.primary[media_type]
        fresh = report is not None and not report.remembered
        return report.titles.find(ids) if fresh and report and report.titles else None

    # --- the plan as a whole -----------------------------------------------------------------

    def _hold_unlinks(self) -> list[Held]:
        """Hold the unlinking of Radarr or Sonarr ids if too many disappear at once.

        An id that is now another title's is always removed: with it the tracker
        would delete the wrong files.
        """
        held: list[Held] = []
        relinked = {one.request_id for one in self.decisions if isinstance(one, Update)}
        rows = {row.id: row for row in self.tracker.requests if row.id in relinked}
        for media_type, column in _ARR_COLUMN.items() if rows else ():
            linked = sum(
                row.media_type is media_type and row.arr_id is not None
                for row in self.tracker.requests
            ) + sum(isinstance(one, Update) and column in one.fills for one in self.decisions)
            unlinked = [
                (at, one, rows[one.request_id])
                for at, one in enumerate(self.decisions)
                if isinstance(one, Update)
                and one.relinks.get(column, (None, 0))[1] is None
                and not self._names_another(rows[one.request_id], one)
            ]
            if len(unlinked) <= self.policy.removal.limit(linked):
                continue
            why = (
                f"{len(unlinked)} of {linked} {column} are not in the list any more; set up again?"
            )
            for at, update, row in unlinked:
                if row.id not in self.tracker.unlinks:
                    self.decisions[at] = _without(update, column, why)
                    held.append(Held(row, why, HeldKind.UNLINK))
        return held

    def _names_another(self, row: TrackedRequest, update: Update) -> bool:
        report = self.primary[row.media_type]
        if report is None or report.titles is None or row.arr_id is None:
            return False
        return report.titles.names_another(row.arr_id, merged(row.ids, update.item.ids))


class _Known(NamedTuple):
    """What is known of a title; long texts and ids are looked up lazily."""

    planner: _Planner
    item: LibraryItem
    ids: Ids

    @property
    def full(self) -> LibraryItem:
        return self.planner.snapshot.texts.full(self.item)

    @property
    def radarr_id(self) -> int | None:
        return self.planner.arr_id(MediaType.MOVIE, self.item, self.ids)

    @property
    def sonarr_id(self) -> int | None:
        return self.planner.arr_id(MediaType.TV, self.item, self.ids)

    @property
    def poster_url(self) -> str | None:
        return self.planner.policy.poster_url(self.item)


_ARR_COLUMN: Final = {MediaType.MOVIE: "radarr_id", MediaType.TV: "sonarr_id"}
_ID_COLUMNS: Final = ("tmdb_id", "tvdb_id", "imdb_id")


def _not_there(item: LibraryItem) -> Skip:
    unknown = item.available is None
    return Skip(item, Reason.AVAILABILITY_UNKNOWN if unknown else Reason.NOT_AVAILABLE)


def _known_as(report: Report, ids: Ids, named: int | None) -> int | None:
    """A series' id in a Sonarr: by its provider ids, else the one in its request."""
    if report.titles is None:
        return None
    if (number := report.titles.find(ids)) is not None:
        return number
    return named if named is not None and report.titles.holds(named, ids) else None


def _number_in(report: Report, ids: Ids, before: int | None = None) -> int | None:
    """A title's id in an instance; only a complete current list can remove it."""
    if report.titles is None or report.remembered:
        return before
    if (number := report.titles.find(ids)) is not None or before is None:
        return number
    return None if report.whole and report.titles.holds(before, ids) is False else before


def _was_deleted(title: Title, deletion: Deletion) -> bool:
    if deletion.media_type is not title.media_type:
        return False
    return any(
        item.jellyfin_id == deletion.jellyfin_id
        or same(title.media_type, item.ids, deletion.ids) is True
        for item in title.items
    )


def _unlike(row: TrackedRequest, item: LibraryItem) -> str:
    pairs = zip(("TMDB", "TVDB", "IMDb"), row.ids, item.ids, strict=True)
    unlike = [
        f"{name} {old} became {new}" for name, old, new in pairs if old and new and old != new
    ]
    return ", ".join(unlike)


def _without(update: Update, column: str, why: str) -> Decision:
    """An update without one relink; a skip if nothing is left."""
    relinks = {name: pair for name, pair in update.relinks.items() if name != column}
    if not (relinks or update.fills or update.replaces or update.promotes):
        return Skip(update.item, Reason.UNLINK_HELD, update.request_id, why)
    reason = update.reason
    if reason is Reason.RELINK and not relinks:
        reason = Reason.REFRESH if update.replaces else Reason.FILL
    return replace(update, relinks=relinks, reason=reason)
