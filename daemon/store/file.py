"""The tracker's file on disk: where it must not lie, and its lock.

SQLite keeps what was written last in files beside it, `-wal` and `-shm`. Under another name, in
another mount or on another machine they are not found, and what they hold is lost.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from daemon.errors import (
    AlreadyRunningError,
    DiskFullError,
    FileReplacedError,
    StoreError,
    StorePermissionError,
)

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_NOWHERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_NETWORK: Final = (
    *("nfs", "cifs", "smb", "afs", "ceph", "davfs", "9p", "glusterfs", "lustre"),
    *("fuse.sshfs", "fuse.rclone", "fuse.gluster"),
)


class HeldFile:
    """A file that this process has for itself, and what belongs to it."""

    def __init__(self, path: Path, status: os.stat_result) -> None:
        self._opened = {path: _identity(status)}

    def add(self, path: Path) -> None:
        """Add a file that SQLite keeps beside it as long as it is open, if there is one."""
        if (found := _found(path)) is not None:
            self._opened[path] = found

    def check(self) -> None:
        """Check that each path still names the opened file.

        Raises:
            FileReplacedError: one names another, or none.
        """
        for path, identity in self._opened.items():
            if _found(path) != identity:
                raise FileReplacedError(f"{path} was replaced or deleted while it was open")


@contextlib.contextmanager
def held(path: Path) -> Iterator[HeldFile]:
    """Lock the file for this process, creating it if absent; the lock ends with the process.

    The file itself is locked, whatever path another process uses.
    Closing the descriptor would release SQLite's own locks, so it stays open to the end.

    Raises:
        AlreadyRunningError: another process holds it.
        StoreError: it lies where SQLite would lose data, or cannot be opened.
    """
    refuse_place(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except IsADirectoryError:
        raise StoreError(f"{path} is a directory; database must name the tracker's file") from None
    except OSError as error:
        raise of_system(path, error) from None
    try:
        _lock(descriptor, path)
        status = os.fstat(descriptor)
        _refuse_kind(path, status)
        yield HeldFile(path, status)
    finally:
        os.close(descriptor)


def resolved(path: Path) -> Path:
    """The file that a path names, through all symbolic links.

    Raises:
        StoreError: they lead in a circle.
    """
    try:
        return path.resolve()
    except RuntimeError:  # before Python 3.13
        raise of_system(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP))) from None


def _refuse_kind(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is no ordinary file; database must name the tracker's file")
    if status.st_nlink > 1:
        raise StoreError(
            f"{path} has another name (a hard link), under which a program would not find what"
            " was written last; keep one of them, and use a symbolic link for the other"
        )


def _found(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyRunningError(f"another library-sync process works on {path}") from None


def refuse_place(path: Path, mounts: str | None = None) -> None:
    """Refuse a file where SQLite would lose data.

    Args:
        path: of the file, which need not exist yet.
        mounts: the text of /proc/self/mounts; read if not given.

    Raises:
        StoreError: it lies on a network file system, or is a mount point by itself.
    """
    kinds = dict(_mounts(_text() if mounts is None else mounts))
    target = resolved(path)
    if target in kinds and not target.is_dir():
        raise StoreError(
            f"{path} is mounted by itself, without the files that SQLite keeps beside it; mount"
            " its directory instead"
        )
    around = [point for point in kinds if target.is_relative_to(point)]
    kind = kinds[max(around, key=lambda point: len(point.parts))] if around else ""
    if kind.startswith(_NETWORK):
        raise StoreError(f"{path} lies on a network file system ({kind}), where SQLite loses data")


def _mounts(text: str) -> Iterator[tuple[Path, str]]:
    """Mount points and their file system types; the last one mounted at a path counts."""
    for line in text.splitlines():
        _, point, kind, *_ = line.split()
        yield Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), point)), kind


def _text() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def of_system(path: Path, error: OSError) -> StoreError:
    """Translate an OSError about a file or its directory."""
    if error.errno in _NO_SPACE:
        return full(path, error.strerror)
    if error.errno in _NOWHERE:
        remedy = "make its directory, mount its disk, or correct the path"
        return StoreError(f"cannot open {path}: {error.strerror}; {remedy}")
    return StorePermissionError(f"cannot open or write {path}: {error.strerror}")


def full(path: Path, reason: object) -> DiskFullError:
    """The error for a full disk."""
    return DiskFullError(f"the disk of {path} is full or broken: {reason}; make room there")
