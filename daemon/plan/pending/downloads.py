"""How far a title has come in one Radarr or Sonarr, as a truth table. Pure.

The queue is a cache up to a minute old, and empty while a download client is down or
the server has just started. So it is trusted for imports and failures, the torrent client
for progress, and a download that is merely unlisted is not lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from daemon.domain import MediaType, RequestState
from daemon.pending import AttentionKind, Followed
from daemon.pipeline import (
    ArrPipeline,
    ArrTitle,
    HistoryEvent,
    HistoryKind,
    QueueEntry,
    ShokoMatch,
    ShokoReport,
    Torrent,
    TorrentReport,
)
from daemon.plan.pending.units import (
    DOWNLOADING,
    FETCHING,
    GRABBED,
    REPLACED,
    TO_BE_IMPORTED,
    Alert,
    Unit,
    by_torrent,
    is_blocked,
    is_hash,
    is_held,
)

GRACE: Final = timedelta(seconds=90)
"""Grace period after a grab, or a start of the instance, for unlisted downloads."""

FAILED_FOR_GOOD: Final = timedelta(minutes=10)
"""Grace period after a failure: the next grab follows within seconds."""

REPLACING: Final = timedelta(hours=6)
"""How long an upgrade is believed, after which the old file counts as gone."""

_HELD: Final = {
    "delay": "a release is waiting for its delay profile",
    "downloadClientUnavailable": "a release waits: no download client is available",
}
_LONG_AGO: Final = timedelta(hours=1)
_IMPORT: Final = frozenset({"importPending", "importBlocked", "importing"})

_Slot = int | None
"""Sonarr's id of an episode, or None for a film."""


@dataclass(frozen=True)
class TitleView:
    """A title in one instance that knows it, for the requested seasons.

    Attributes:
        seasons: empty for all of them, and for a film.
        alone: it is the only instance of its kind.
        queue: the title's part of the instance's queue; `history` likewise.
    """

    arr: ArrPipeline
    title: ArrTitle
    now: datetime
    seasons: frozenset[int] = frozenset()
    alone: bool = True
    torrents: TorrentReport | None = None
    shoko: ShokoReport | None = None
    followed: Followed | None = None
    queue: Sequence[QueueEntry] = ()
    history: Sequence[HistoryEvent] = ()

    @property
    def service(self) -> str:
        """The service's display name."""
        return "Radarr" if self.arr.media_type is MediaType.MOVIE else "Sonarr"

    @property
    def tag(self) -> str:
        """The service's name in the tracker's timeline."""
        return self.service.lower()

    # --- what is there -------------------------------------------------------------------------

    @cached_property
    def _episodes(self) -> Mapping[int, tuple[int, bool, bool]]:
        """By episode: season, whether it has a file, and whether it has aired."""
        return {
            one.id: (one.season, one.has_file, one.aired is None or one.aired <= self.now)
            for one in self.title.episodes or ()
        }

    def wants(self, season: int | None) -> bool:
        """Whether a season is requested."""
        return not self.seasons or season in self.seasons

    @cached_property
    def events(self) -> Mapping[_Slot, Sequence[HistoryEvent]]:
        """The history of requested films or episodes, in order."""
        found: defaultdict[_Slot, list[HistoryEvent]] = defaultdict(list)
        for event in self.history:
            known = self._episodes.get(event.episode_id or 0)
            season = event.season if event.season is not None or known is None else known[0]
            if self.wants(season):
                found[event.episode_id].append(event)
        return found

    def _last_of_file(self, slot: _Slot) -> HistoryEvent | None:
        kinds = {HistoryKind.IMPORTED, HistoryKind.FILE_DELETED}
        return next((one for one in reversed(self.events.get(slot, ())) if one.kind in kinds), None)

    def has_file(self, slot: _Slot) -> bool:
        """Whether the instance has a file, by the latest information."""
        known = self._episodes.get(slot) if slot else None
        said = known[1] if known else self.title.has_file if slot is None else None
        last, read_at = self._last_of_file(slot), self.title.read_at
        newer = last is not None and read_at is not None and last.date > read_at
        if last is not None and (said is None or newer):
            return last.kind is HistoryKind.IMPORTED
        return bool(said)

    def _is_replaced(self, slot: _Slot) -> bool:
        """Whether its file is being upgraded."""
        last = self._last_of_file(slot)
        return (
            last is not None
            and last.kind is HistoryKind.FILE_DELETED
            and (last.reason or "").casefold() == "upgrade"
            and self.now - last.date < REPLACING
        )

    def is_wanted(self, slot: _Slot, season: int | None = None) -> bool:
        """Whether a film or episode is wanted: no file, and already aired."""
        known = self._episodes.get(slot) if slot else None
        if self.has_file(slot):
            return False
        if known is not None:
            return known[2]
        counts = self.title.seasons.get(-1 if season is None else season)
        return counts is None or not counts.total or counts.files < counts.total

    # --- the queue -----------------------------------------------------------------------------

    @cached_property
    def entries(self) -> Sequence[QueueEntry]:
        """Queue records of wanted films or episodes.

        Downloads not grabbed by this instance may be another's: they count once importing.
        """
        return [
            entry
            for entry in self.queue
            if (entry.added is not None or self.alone or entry.tracked_state in _IMPORT)
            and (self.wants(entry.season) or self._is_own(entry))
            and self.is_wanted(entry.episode_id, entry.season)
            and not self._has_ended(entry)
        ]

    def _is_own(self, entry: QueueEntry) -> bool:
        """Whether a record without an episode belongs to a download grabbed for some."""
        if entry.season is not None or entry.download_id is None:
            return False
        return any(
            event.download_id == entry.download_id
            for events in self.events.values()
            for event in events
        )

    def _has_ended(self, entry: QueueEntry) -> bool:
        """Whether its download has already failed, by the history."""
        grab, end = _last_grab(self.events.get(entry.episode_id, ()))
        ends = {HistoryKind.FAILED, HistoryKind.IGNORED}
        return (
            grab is not None
            and grab.download_id == entry.download_id
            and end is not None
            and end.kind in ends
            and entry.tracked_state not in {"failedPending", "failed"}
        )

    @cached_property
    def unreachable(self) -> tuple[str, ...] | None:
        """Health messages on unreachable download clients; None if the queue is unusable."""
        if self.arr.queue is None or not self.arr.queue_whole:
            return None
        if self.arr.client_problems is None or self.arr.started is None:
            return None
        return None if self.now - self.arr.started < GRACE else self.arr.client_problems

    def trusts_queue(self, client: str | None = None) -> bool:
        """Whether the queue proves absence for a download client's downloads."""
        problems = self.unreachable
        return problems is not None and not any(
            client is None or client.casefold() in problem.casefold() for problem in problems
        )

    def trusts_own(self) -> bool:
        """Whether the queue proves absence for the row's download."""
        own = self.followed.download if self.followed else None
        grabs = (
            event
            for events in self.events.values()
            for event in events
            if own and event.kind is HistoryKind.GRABBED and event.download_id == own
        )
        return self.trusts_queue(next((grab.client for grab in grabs), None))

    @cached_property
    def _followed_ids(self) -> frozenset[str | None]:
        """Downloads in the queue that contain something wanted."""
        return frozenset(entry.download_id for entry in self.entries)

    @property
    def misses(self) -> bool:
        """Whether the queue lacks a grabbed download."""
        queued = {entry.episode_id for entry in self.entries}
        for slot, events in self.events.items():
            grab, end = _last_grab(events)
            if grab is None or end is not None or self.was_given_up(grab.download_id):
                continue
            if grab.download_id in self._followed_ids:
                continue
            if slot not in queued and self.is_wanted(slot):
                return True
        return False

    # --- the downloads -------------------------------------------------------------------------

    @cached_property
    def imported(self) -> frozenset[str]:
        """Completely imported downloads."""
        ids = {
            event.download_id
            for events in self.events.values()
            for event in events
            if event.kind is HistoryKind.IMPORTED and event.download_id
        }
        return frozenset(ids - {unit.download for unit in self.units})

    @cached_property
    def units(self) -> Sequence[Unit]:
        """All wanted downloads, and files that Jellyfin does not show yet."""
        found = [*self._files()]
        groups: defaultdict[str | None, list[QueueEntry]] = defaultdict(list)
        for entry in self.entries:
            groups[entry.download_id].append(entry)
        for download, entries in groups.items():
            found.append(self._queued(download, entries))
        found += self._unlisted()
        return found

    def _queued(self, download: str | None, entries: Sequence[QueueEntry]) -> Unit:
        """A download in the queue; all its records agree."""
        first = next((entry for entry in entries if is_blocked(entry)), entries[0])
        if download is None or is_held(first):
            why = _HELD.get(first.status, "a release waits")
            stuck = first.status == "downloadClientUnavailable"
            alerts = (Alert(AttentionKind.RELEASE_HELD, self.service, why),) if stuck else ()
            return Unit(RequestState.APPROVED, why, self.tag, alerts=alerts)
        if first.status == "failed" or first.tracked_state in {"failedPending", "failed"}:
            return self._failing("; ".join(first.messages), just_now=True)
        replaced = any(self._is_replaced(entry.episode_id) for entry in entries)
        stage = self._import(download, first, replaced=replaced)
        return stage or self._downloading(download, first)

    def _import(self, download: str, first: QueueEntry, *, replaced: bool) -> Unit | None:
        """A finished download, by the queue."""
        marked = self.followed is not None and f"import:{download}" in self.followed.timers
        state, why = RequestState.DOWNLOADED, TO_BE_IMPORTED
        if is_blocked(first):
            sentence = "; ".join(dict.fromkeys(first.messages)) or first.tracked_state
            alerts = (Alert(AttentionKind.IMPORT, self.service, sentence, download=download),)
            why = f"downloaded, and {self.service} does not import it: {sentence}"
            return Unit(state, why, self.tag, download, progress=1.0, alerts=alerts)
        if first.tracked_state == "importing" and not marked:
            state, why = RequestState.IMPORTING, "is being imported"
        elif first.status != "completed" and first.tracked_state not in _IMPORT:
            return None
        if replaced:
            state, why = RequestState.IMPORTING, REPLACED
        return Unit(state, why, self.tag, download, progress=1.0)

    def _downloading(self, download: str, entry: QueueEntry) -> Unit:
        """An unfinished download, by the queue."""
        torrent = self._torrent(download) if entry.torrent else None
        if torrent is not None and (unit := by_torrent(download, torrent)):
            return unit
        begun = entry.left < entry.size or entry.status == "downloading"
        state = RequestState.DOWNLOADING if begun else RequestState.GRABBING
        why = DOWNLOADING if begun else GRABBED
        alerts: tuple[Alert, ...] = ()
        if entry.status == "warning":
            sentence = "; ".join(entry.messages) or "the download has a warning"
            why = f"{why}: {sentence}"
            known = torrent is not None
            alerts = () if known else (Alert(AttentionKind.QUEUE, self.service, sentence),)
        progress = 1 - entry.left / entry.size if entry.size else None
        return Unit(
            state, why, self.tag, download, progress=progress, size=entry.size, alerts=alerts
        )

    def _torrent(self, download: str) -> Torrent | None:
        return self._torrents.get(download) if self._torrents else None

    @property
    def _torrents(self) -> Mapping[str, Torrent] | None:
        return self.torrents.torrents if self.torrents else None

    # --- what is not in the queue --------------------------------------------------------------

    def _unlisted(self) -> Iterator[Unit]:
        """Downloads known only from the history, each once."""
        queued = {entry.episode_id for entry in self.entries if not is_held(entry)}
        held = {entry.episode_id for entry in self.entries} - queued
        seen: set[str | None] = set()
        for slot, events in self.events.items():
            if slot in queued or not self.is_wanted(slot, events[0].season):
                continue
            if self._is_replaced(slot):
                yield Unit(RequestState.IMPORTING, REPLACED, self.tag, filed=True)
                continue
            grab, fate = _last_grab(events)
            past = slot in held and fate is not None
            if grab is None or grab.download_id in seen | self._followed_ids or past:
                continue
            seen.add(grab.download_id)
            if unit := self._by_history(grab, fate):
                yield unit
        if not seen and not self.entries:
            yield from self._remembered()

    def _remembered(self) -> Iterator[Unit]:
        """The row's download, if it is no longer in the history."""
        download = self.followed.download if self.followed else None
        told = any(
            event.download_id == download for events in self.events.values() for event in events
        )
        if download and not told and self._waits:
            grab = HistoryEvent(HistoryKind.GRABBED, self.title.arr_id, self.now - REPLACING)
            yield self._grabbed(download, grab)

    @cached_property
    def failed(self) -> int:
        """How many wanted films or episodes had their last download fail."""
        ends = (
            _last_grab(events)[1] for slot, events in self.events.items() if self.is_wanted(slot)
        )
        return sum(end is not None and end.kind is HistoryKind.FAILED for end in ends)

    @property
    def _waits(self) -> bool:
        return self.arr.media_type is MediaType.TV or not self.has_file(None)

    def _by_history(self, grab: HistoryEvent, fate: HistoryEvent | None) -> Unit | None:
        download = grab.download_id
        if fate is None:
            return self._grabbed(download, grab) if download else None
        if fate.kind is HistoryKind.IGNORED:
            sentence = f"{self.service} is set to ignore the download"
            alert = Alert(AttentionKind.IGNORED, self.service, sentence, at_once=True)
            return Unit(RequestState.APPROVED, sentence, self.tag, ignored=True, alerts=(alert,))
        if fate.kind is HistoryKind.FAILED:
            recent = self.now - fate.date < FAILED_FOR_GOOD
            return self._failing("", just_now=recent, since=fate.date)
        return None

    def _failing(self, message: str, *, just_now: bool, since: datetime | None = None) -> Unit:
        """A failed download; the next grab usually follows at once."""
        sentence = f"the download failed: {message}" if message else "the download failed"
        alert = Alert(AttentionKind.FAILED, self.service, sentence)
        why = sentence
        if since is not None and self._searched_since(since):
            why = f"{sentence}; searched again"
        timer = self.followed.timers.get(alert.kind) if self.followed else None
        for_good = not just_now or (timer is not None and timer.waited >= FAILED_FOR_GOOD)
        state = RequestState.FAILED if for_good else RequestState.APPROVED
        return Unit(state, why, self.tag, alerts=(alert,))

    def _searched_since(self, since: datetime) -> bool:
        rows = [one for one in self.title.episodes or () if self.wants(one.season)]
        searches = [self.title.searched, *(one.searched for one in rows)]
        return any(one is not None and one > since for one in searches)

    def _grabbed(self, download: str, grab: HistoryEvent) -> Unit:
        """A grabbed download that is not in the queue."""
        is_torrent = grab.torrent is not False and is_hash(download)
        torrent = self._torrent(download) if is_torrent else None
        unit = by_torrent(download, torrent) if torrent else None
        if unit is not None:
            done = unit.state is RequestState.DOWNLOADED and self.now - grab.date >= GRACE
            said = self.followed and AttentionKind.NOT_IN_QUEUE in self.followed.timers
            believed = done and (said or self.trusts_queue())
            return replace(unit, **self._unfollowed()) if believed else unit
        loss = self._loss(download, grab) if torrent is None else None
        return (
            self._lost(loss) if loss else Unit(RequestState.GRABBING, "grabbed", self.tag, download)
        )

    def _unfollowed(self) -> dict[str, Any]:
        """A download that the instance no longer lists."""
        why = f"{self.service} does not follow the download any more"
        return {"why": why, "alerts": (Alert(AttentionKind.NOT_IN_QUEUE, self.service, why),)}

    def _lost(self, loss: AttentionKind) -> Unit:
        """A lost download without history."""
        unit = Unit(RequestState.APPROVED, "the download is gone", self.tag)
        if loss is not AttentionKind.DOWNLOAD_GONE:
            return replace(unit, **self._unfollowed())
        lost = self.followed.timers.get("doubt") if self.followed else None
        searched = lost is not None and self._searched_since(self.now - lost.waited)
        why = f"{unit.why}; searched again" if searched else unit.why
        return replace(unit, why=why, alerts=(Alert(loss, "qBittorrent", why),))

    def _loss(self, download: str, grab: HistoryEvent) -> AttentionKind | None:
        """Why a download is lost: all sources lack it; None if one may still have it.

        A trusted queue alone is enough only for old grabs.
        """
        age, torrents = self.now - grab.date, self._torrents
        if age < GRACE:
            return None
        if self.was_given_up(download):
            gone = self.followed and AttentionKind.DOWNLOAD_GONE in self.followed.timers
            return AttentionKind.DOWNLOAD_GONE if gone else AttentionKind.NOT_IN_QUEUE
        if not self.trusts_queue(grab.client):
            return None
        if grab.torrent is not False and is_hash(download) and self.torrents is not None:
            if torrents is None:
                return None
            if self._is_same_client(grab.client, torrents):
                return AttentionKind.DOWNLOAD_GONE
        return AttentionKind.NOT_IN_QUEUE if age >= _LONG_AGO else None

    def was_given_up(self, download: str | None) -> bool:
        """Whether it was lost before, which stands until it reappears."""
        kept = self.followed
        lost = {AttentionKind.DOWNLOAD_GONE, AttentionKind.NOT_IN_QUEUE}
        return kept is not None and download in kept.known and not lost.isdisjoint(kept.timers)

    def _is_same_client(self, client: str | None, torrents: Mapping[str, Torrent]) -> bool:
        """Whether a torrent list has all other active torrents of the queue."""
        live = {
            entry.download_id
            for entry in self.arr.queue or ()
            if entry.torrent and entry.download_id
            if client is None or entry.client is None or entry.client == client
        }
        return live <= torrents.keys()

    # --- files ---------------------------------------------------------------------------------

    def _files(self) -> Iterator[Unit]:
        """A film's file, or a series' files that Shoko has not matched yet."""
        unit = self.file()
        film = self.arr.media_type is MediaType.MOVIE
        if self.has_file(None) if film else unit.state is RequestState.ANIME_MATCHING:
            yield unit

    def file(self) -> Unit:
        """The state of existing files, with Shoko's report if available."""
        asked = self.shoko.files if self.shoko and self.shoko.files else {}
        matches = [asked[path] for path in self.title.files if path in asked]
        state, why, who = RequestState.IMPORTING, f"{self.service} has the file", self.tag
        blocked = self.shoko.blocked if self.shoko else ""
        if ShokoMatch.FETCHING in matches or (
            ShokoMatch.UNRECOGNIZED in matches and self.title.anime
        ):
            state, who = RequestState.ANIME_MATCHING, "shoko"
            why = blocked or "Shoko has not matched the file yet"
            if ShokoMatch.UNRECOGNIZED not in matches:
                why = FETCHING
        elif self.title.anime and ShokoMatch.UNSEEN in matches:
            why, who = "Shoko has not seen the file yet", "shoko"
        elif self.title.anime and matches and set(matches) == {ShokoMatch.MATCHED}:
            why, who = "Shoko knows it, Jellyfin does not show it", "shoko"
        matched = bool(matches) and set(matches) == {ShokoMatch.MATCHED}
        return Unit(state, why, who, filed=True, matched=matched, progress=1.0)


def _last_grab(events: Sequence[HistoryEvent]) -> tuple[HistoryEvent | None, HistoryEvent | None]:
    """The last grab of a film or episode, and its result.

    A later grab of the same download restarts it.
    """
    at = next((at for at in reversed(range(len(events))) if _is_grab(events[at])), None)
    if at is None:
        return None, None
    grab = events[at]
    ends = {HistoryKind.FAILED, HistoryKind.IGNORED}
    for event in events[at + 1 :]:
        own = event.kind in ends and event.download_id == grab.download_id
        if own or event.kind is HistoryKind.IMPORTED:
            return grab, event
    return grab, None


def _is_grab(event: HistoryEvent) -> bool:
    return event.kind is HistoryKind.GRABBED
