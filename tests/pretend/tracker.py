"""The original tracker beside us: it writes the same file, by its own rules and clock.

What is told here of status-tracker (commit 717c654): how its correlator finds a row, which steps of
a request it takes and refuses, its 5-minute checker, its fallback that asks Jellyfin, and its poll
of qBittorrent. What would be an HTTP 500 there is a `BrokenTrackerError` here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.pretend.library import Movie, Series
from tests.pretend.pipeline import Download, Pipeline, Wish

Title = Movie | Series

_STEPS: Final = {
    "REQUESTED": {"APPROVED", "FAILED"},
    "APPROVED": {"GRABBING", "AVAILABLE", "FAILED"},
    "GRABBING": {"DOWNLOADING", "IMPORTING", "FAILED"},
    "DOWNLOADING": {"DOWNLOADED", "FAILED", "TIMEOUT"},
    "DOWNLOADED": {"IMPORTING", "ANIME_MATCHING", "AVAILABLE", "FAILED"},
    "IMPORTING": {"AVAILABLE", "ANIME_MATCHING", "FAILED", "TIMEOUT"},
    "ANIME_MATCHING": {"AVAILABLE", "MATCH_FAILED", "FAILED"},
    "FAILED": {"APPROVED"},
    "TIMEOUT": {"APPROVED", "AVAILABLE"},
    "AVAILABLE": set[str](),
    "MATCH_FAILED": set[str](),
}
_INVISIBLE: Final = ("AVAILABLE", "FAILED", "TIMEOUT", "MATCH_FAILED")
_STUCK: Final = {"DOWNLOADING": timedelta(hours=24), "IMPORTING": timedelta(minutes=60)}
_ASKED: Final = ("DOWNLOADED", "IMPORTING", "ANIME_MATCHING")
_LOADING: Final = frozenset({"downloading", "stalledDL", "forcedDL", "metaDL", "queuedDL"})
_LOADED: Final = frozenset({"uploading", "stalledUP", "forcedUP", "pausedUP"})


class BrokenTrackerError(Exception):
    """The tracker would answer with HTTP 500; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A request as the tracker's models read it."""

    id: int
    title: str
    state: str
    media_type: str
    is_anime: bool
    qbit_hash: str | None
    updated_at: datetime
    state_changed_at: datetime


@dataclass(slots=True)
class Tracker:
    """Takes webhooks and looks around, as often as somebody has it do so.

    Args:
        clock: naive UTC.
        library: what its Jellyfin has of a title's name.

    Attributes:
        refused: steps that it did not take, as "FROM->TO".
        timed_out: rows that its checker gave up, with how long they were in their state.
        rebuilt: how often it deleted the folder of Shokofin.
        session: a transaction that somebody else has begun; None for one for each act.
    """

    path: Path
    pipeline: Pipeline
    clock: Callable[[], datetime]
    library: Callable[[str], bool]
    refused: list[str] = field(default_factory=list)
    timed_out: list[tuple[int, timedelta]] = field(default_factory=list)
    rebuilt: int = 0
    session: sqlite3.Connection | None = None

    def seerr_webhook(self, wish: Wish, *, approved: bool) -> None:
        """MEDIA_PENDING, or MEDIA_APPROVED; a title that it does not see gets a row."""
        with self._session() as session:
            row = self._find(session, wish.title, wish.number)
            if row is None:
                self._create(session, wish, "APPROVED" if approved else "REQUESTED")
            elif approved:
                self._step(session, row, "APPROVED", "jellyseerr", "Approved")

    def arr_webhook(self, kind: str, title: Title, download: Download) -> None:
        """Grab or Download of Radarr or Sonarr; the former is noted even where it is refused."""
        with self._session() as session:
            if (row := self._find(session, title)) is None:
                return
            if kind == "Grab":
                session.execute(
                    "UPDATE requests SET qbit_hash = ?, quality = 'Bluray-1080p' WHERE id = ?",
                    (download.hash.upper(), row.id),
                )
            state = {"Grab": "GRABBING", "Download": "IMPORTING"}[kind]
            self._step(session, row, state, download.instance, "Grab")

    def poll_torrents(self) -> None:
        """Each 3 s while anything is grabbed or downloads; of films alone, by their hash."""
        for row in self.rows():
            download = self.pipeline.downloads.get((row.qbit_hash or "").lower())
            if row.media_type != "MOVIE" or download is None or download.imported:
                continue
            whole = download.state in _LOADED or download.progress >= 1
            with self._session() as session:
                if row.state == "GRABBING" and download.state in _LOADING:
                    self._step(session, row, "DOWNLOADING", "qbittorrent", "Started")
                elif row.state == "DOWNLOADING" and whole:
                    self._step(session, row, "DOWNLOADED", "qbittorrent", "Complete")

    def check_stuck(self) -> None:
        """Each 5 minutes, by `state_changed_at`."""
        for row in self.rows():
            waited = self.clock() - row.state_changed_at
            if row.state in _STUCK and waited > _STUCK[row.state]:
                self.timed_out.append((row.id, waited))
                with self._session() as session:
                    self._step(session, row, "TIMEOUT", "system", "Timeout")

    def fall_back(self) -> None:
        """Each 30 s: asks Jellyfin for what was not touched for two minutes."""
        for row in self.rows():
            if row.state not in _ASKED or self.clock() - row.updated_at <= timedelta(minutes=2):
                continue
            with self._session() as session:
                if self.library(row.title):
                    self._step(session, row, "AVAILABLE", "jellyfin", "Available")
                elif row.state == "DOWNLOADED":
                    self._step(session, row, "IMPORTING", "system", "Import")
                elif row.is_anime and row.state == "IMPORTING":
                    self._step(session, row, "ANIME_MATCHING", "shoko", "Matching")
                elif row.is_anime:
                    self.rebuilt += 1

    def rows(self) -> list[Row]:
        """All requests, as a page would read them; one that it cannot read breaks the page."""
        with self._session() as session:
            found = [self._read(row) for row in session.execute("SELECT * FROM requests")]
            for event in session.execute("SELECT state, timestamp FROM timeline_events"):
                _state(event["state"]), _moment(event["timestamp"])
        return found

    def within(self, session: sqlite3.Connection, webhook: Callable[[], None]) -> None:
        """Take a webhook within a transaction that has begun already, and that its caller ends."""
        session.row_factory = sqlite3.Row
        self.session = session
        webhook()
        self.session = None

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        if self.session is not None:
            yield self.session
            return
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def _find(
        self, session: sqlite3.Connection, title: Title, seerr: int | None = None
    ) -> Row | None:
        """Its correlator: by Seerr's number, TMDB, TVDB, in this order, whatever the media type."""
        ids = title.provider_ids
        for name, value in (
            ("jellyseerr_id", seerr),
            ("tmdb_id", ids.get("Tmdb")),
            ("tvdb_id", ids.get("Tvdb")),
        ):
            if value is None:
                continue
            marks = ", ".join("?" * len(_INVISIBLE))
            found = session.execute(
                f"SELECT * FROM requests WHERE {name} = ? AND state NOT IN ({marks})",
                (value, *_INVISIBLE),
            ).fetchall()
            if len(found) > 1:
                numbers = [row["id"] for row in found]
                raise BrokenTrackerError(f"several active rows for {name} {value}: {numbers}")
            if found:
                return self._read(found[0])
        return None

    def _read(self, row: sqlite3.Row) -> Row:
        for name in ("created_at", "available_at"):
            if row[name] is not None:
                _moment(row[name])
        if row["media_type"] not in {"MOVIE", "TV"}:
            raise BrokenTrackerError(f"no media type: {row['media_type']!r}")
        return Row(
            row["id"],
            row["title"],
            _state(row["state"]),
            row["media_type"],
            bool(row["is_anime"]),
            row["qbit_hash"],
            _moment(row["updated_at"]),
            _moment(row["state_changed_at"]),
        )

    def _step(
        self, session: sqlite3.Connection, row: Row, state: str, service: str, kind: str
    ) -> None:
        """Take a step, if the state machine has it; else only a line in its log."""
        [now_there] = session.execute("SELECT state FROM requests WHERE id = ?", (row.id,))
        before = now_there["state"]
        if state not in _STEPS[before]:
            self.refused.append(f"{before}->{state}")
            return
        at = _text(self.clock())
        session.execute(
            "UPDATE requests SET state = ?, state_changed_at = ?, updated_at = ? WHERE id = ?",
            (state, at, at, row.id),
        )
        self._tell(session, row.id, service, kind, state)

    def _create(self, session: sqlite3.Connection, wish: Wish, state: str) -> None:
        film, at, ids = isinstance(wish.title, Movie), _text(self.clock()), wish.title.provider_ids
        values: dict[str, Any] = {
            "title": wish.title.title,
            "media_type": "MOVIE" if film else "TV",
            "state": state,
            "jellyseerr_id": wish.number,
            "tmdb_id": ids.get("Tmdb"),
            "tvdb_id": ids.get("Tvdb"),
            "requested_by": wish.requested_by,
            "requested_seasons": ",".join(map(str, wish.seasons)) or None,
            **dict.fromkeys(("created_at", "updated_at", "state_changed_at"), at),
        }
        marks = ", ".join("?" * len(values))
        made = session.execute(
            f"INSERT INTO requests ({', '.join(values)}) VALUES ({marks})", [*values.values()]
        )
        self._tell(session, made.lastrowid or 0, "jellyseerr", "Requested", state)

    def _tell(
        self, session: sqlite3.Connection, row: int, service: str, kind: str, state: str
    ) -> None:
        session.execute(
            "INSERT INTO timeline_events (request_id, service, event_type, state, timestamp)"
            " VALUES (?, ?, ?, ?, ?)",
            (row, service, kind, state, _text(self.clock())),
        )


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def _state(text: object) -> str:
    if text not in _STEPS:
        raise BrokenTrackerError(f"no state: {text!r}")
    return str(text)


def _moment(text: object) -> datetime:
    """A time without a zone; it compares with its own ones, which have none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise BrokenTrackerError(f"no time: {text!r}") from None
    if moment.tzinfo is not None:
        raise BrokenTrackerError(f"a time with a zone: {text!r}")
    return moment
