"""One download or file and its state; the mapping of torrent states. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from daemon.domain import RequestState
from daemon.pending import AttentionKind
from daemon.pipeline import QueueEntry, Torrent

TO_BE_IMPORTED: Final = "downloaded, to be imported"
DOWNLOADING: Final = "downloading"
GRABBED: Final = "grabbed, not downloading yet"
REPLACED: Final = "is being replaced by a better file"
FETCHING: Final = "AniDB knows the file, and Shoko fetches its data"

_RUNNING: Final = frozenset({"downloading", "forcedDL"})
_ACTIVE: Final = _RUNNING | {"stalledDL", "metaDL", "forcedMetaDL", "allocating"}
_WAITING: Final = frozenset({"queuedDL", "pausedDL", "stoppedDL", "moving"})
_DONE: Final = frozenset(
    {"uploading", "stalledUP", "queuedUP", "forcedUP", "pausedUP", "stoppedUP"}
)
_BROKEN: Final = frozenset({"error", "missingFiles"})
"""Groups of qBittorrent's states; others say nothing about progress."""

_HASH_LENGTHS: Final = frozenset({40, 64})
_SERVICE: Final = "qbittorrent"


class Alert(NamedTuple):
    """A possible finding about a unit.

    Attributes:
        at_once: one pass is enough; otherwise two.
        download: id of the download with a blocked import.
    """

    kind: AttentionKind
    service: str
    sentence: str
    at_once: bool = False
    download: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One download, or one existing file, and its state.

    Attributes:
        why: a note, in plain words.
        service: the source, as in the tracker's timeline.
        download: its id; None if the state is not based on a download.
        filed: the state is based on a file that the instance has.
        matched: Shoko knows all such files.
        active: its torrent is downloading right now.
        ignored: somebody had the instance ignore the download.
        progress: from 0 to 1; None if unknown.
        speed: bytes per second.
        eta: seconds.
        size: bytes.
    """

    state: RequestState
    why: str
    service: str
    download: str | None = None
    filed: bool = False
    matched: bool = False
    active: bool = False
    ignored: bool = False
    progress: float | None = None
    speed: int | None = None
    eta: int | None = None
    size: int = 0
    alerts: tuple[Alert, ...] = ()


def is_blocked(entry: QueueEntry) -> bool:
    """Whether the import of a finished download is blocked, at least in part."""
    warned = entry.tracked_status in {"warning", "error"}
    if entry.tracked_state == "importing":
        return warned or bool(entry.messages)
    if entry.tracked_state == "downloading":  # before Radarr 5.8 and Sonarr 4.0.5 (and Sonarr#6873)
        return warned and entry.status == "completed"
    return entry.tracked_state == "importBlocked" or (
        warned and entry.tracked_state == "importPending"
    )


def is_hash(download: str) -> bool:
    """Whether a download's id is a torrent's hash."""
    return len(download) in _HASH_LENGTHS


def is_held(entry: QueueEntry) -> bool:
    """Whether it is a delayed release that is not grabbed yet."""
    return not entry.tracked_state


def by_torrent(download: str, torrent: Torrent) -> Unit | None:
    """A download's state by its torrent; None if that says nothing, as while checking."""
    state, progress = torrent.state, torrent.progress
    if state in _DONE or (state == "moving" and progress >= 1):
        return Unit(RequestState.DOWNLOADED, TO_BE_IMPORTED, _SERVICE, download, progress=1.0)
    if state not in _ACTIVE | _WAITING | _BROKEN:
        return None
    running = state in _RUNNING
    begun = progress > 0 or running
    said = f"qBittorrent says {state}"
    why = DOWNLOADING if begun else GRABBED
    broken = Alert(AttentionKind.TORRENT, "qBittorrent", said)
    return Unit(
        RequestState.DOWNLOADING if begun else RequestState.GRABBING,
        why if running else f"{why}: {said}",
        _SERVICE,
        download,
        active=state in _ACTIVE,
        progress=progress,
        speed=torrent.speed if running else None,
        eta=torrent.eta if running else None,
        size=torrent.size,
        alerts=(broken,) if state in _BROKEN else (),
    )
