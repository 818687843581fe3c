"""One download or one file, and how far it has come; what a torrent alone says of that. Pure."""

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
"""Groups of qBittorrent's words; a word that is in none of them says nothing of the progress."""

_HASH_LENGTHS: Final = frozenset({40, 64})
_SERVICE: Final = "qbittorrent"


class Alert(NamedTuple):
    """Something that a person may have to know about a unit.

    Attributes:
        at_once: one reading is enough; otherwise it takes two.
        download: the id of the one that is not imported.
    """

    kind: AttentionKind
    service: str
    sentence: str
    at_once: bool = False
    download: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One download, or one file that is there, and how far it has come.

    Attributes:
        why: what there is to say, in plain words.
        service: who says so, as the tracker's timeline writes it.
        download: its id; None where the state does not rest on a download.
        filed: the state rests on a file that the instance has.
        matched: Shoko knows all such files.
        active: its torrent downloads just now, whatever was said before.
        ignored: somebody told the instance to leave its download alone.
        progress: from 0 to 1; None where it is not known.
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
    """Whether a finished download is not imported, or not wholly, as things are."""
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
    """Whether it is a release that was found and not grabbed yet."""
    return not entry.tracked_state


def by_torrent(download: str, torrent: Torrent) -> Unit | None:
    """A download by its torrent; None where that says nothing of its progress, as in a check."""
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
