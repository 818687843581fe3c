"""What the systemd service is given besides its unit: further keys, and the tracker's directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_SHARED: Final = 0o2070
_HIDDEN: Final = ("home", "root")


def drop_in(credentials: Iterable[str], directory: Path | None) -> str:
    """The text of a drop-in; "" if nothing is needed.

    Args:
        credentials: names of files in the credential store, e.g. `library-sync.radarr_4k_api_key`.
        directory: of the tracker's file, where that is not the service's own.
    """
    lines = [f"LoadCredential={name.partition('.')[2]}:{name}" for name in credentials]
    lines += _sharing(directory) if directory else ()
    return "\n".join(("# Made by library-sync setup.", "[Service]", *lines, "")) if lines else ""


def _sharing(directory: Path) -> Iterator[str]:
    """SQLite makes files beside its own: all of them are the group's."""
    if directory.parts[1] in _HIDDEN:
        yield "ProtectHome=tmpfs"
        yield f"BindPaths={directory}"
    yield f"ReadWritePaths={directory}"
    if group := directory.stat().st_gid:
        yield f"SupplementaryGroups={group}"
    yield "UMask=0007"


def unshared(directory: Path) -> str:
    """What has to be done by hand before the service can write there; "" if nothing has."""
    status = directory.stat()
    if status.st_gid and status.st_mode & _SHARED == _SHARED:
        return ""
    group = "" if status.st_gid else f"chgrp -R library-sync {directory}; "
    share = f"chmod 2770 {directory}; chmod 660 {directory}/*.db*"
    return f"file: the service cannot write in {directory}: {group}{share}"
