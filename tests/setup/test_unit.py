"""What the systemd service is given besides its unit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.setup.unit import drop_in, unshared


def test_nothing_is_given_that_is_not_needed() -> None:
    """The unit has the keys of the primary instances, and a directory of its own."""
    assert drop_in([], None) == ""


def test_keys_of_further_instances() -> None:
    """Under the names that the daemon looks for."""
    text = drop_in(["library-sync.radarr_4k_api_key"], None)
    assert "LoadCredential=radarr_4k_api_key:library-sync.radarr_4k_api_key" in text.splitlines()


def test_the_trackers_directory(tmp_path: Path) -> None:
    """It can be written, by its group; what SQLite makes there is the group's, too."""
    try:
        os.chown(tmp_path, -1, 65534)
    except PermissionError:
        pytest.skip("this needs root")
    tmp_path.chmod(0o2770)
    lines = drop_in([], tmp_path).splitlines()
    assert lines[1:] == [
        "[Service]",
        *(f"ReadWritePaths={tmp_path}", "SupplementaryGroups=65534", "UMask=0007"),
    ]
    assert unshared(tmp_path) == ""


def test_a_directory_below_home_is_shown_to_the_service() -> None:
    """Services see no home directories; and nobody else's files become root's group's."""
    lines = drop_in([], Path("/home")).splitlines()
    assert {"ProtectHome=tmpfs", "BindPaths=/home"} <= set(lines)
    assert [line for line in lines if line.startswith("SupplementaryGroups")] == []


def test_what_has_to_be_shared_by_hand(tmp_path: Path) -> None:
    """A directory that is not the group's, and one whose group is root's."""
    advice = unshared(tmp_path)
    assert f"chmod 2770 {tmp_path}; chmod 660 {tmp_path}/*.db*" in advice
    tmp_path.chmod(0o2770)
    if os.geteuid() == 0:
        assert f"chgrp -R library-sync {tmp_path}; " in unshared(tmp_path)
