"""The configuration is edited, not written anew; secrets and the record are files of their own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from daemon.errors import SettingsError
from daemon.settings import Key, load
from daemon.setup.files import Place, edited
from tests.hosts import STRANGER

VALUES: dict[Key, str] = {("jellyfin", "url"): "http://a:1", ("database",): "/x/t.db"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment alone\n",
        "jellyfin:\n  url: http://b   # where\n  api_key: k\ndatabase: b.db\n",
        "jellyfin:\n    # nothing yet\n    api_key: k\nsync: {every: 1h}",
        "jellyfin: {api_key: k}   # short\ndatabase: 'b.db'\n",
        "jellyfin: {}\ndatabase:\n",
        "jellyfin:\n  # url: http://b\n\nsync:\n  every: 1h\n",
        '{"sync": {"every": "1h"}, "jellyfin": {"api_key": "k"}}\n',
        "jellyfin:\r\n  url: http://b\r\n",
    ],
)
def test_values_are_set_and_all_else_stays(text: str) -> None:
    """Comments too, whatever the style; and a second time changes nothing."""
    after = edited(text, VALUES)
    assert after is not None
    wanted = yaml.safe_load(text) or {}
    wanted["jellyfin"] = {**(wanted.get("jellyfin") or {}), "url": "http://a:1"}
    assert yaml.safe_load(after) == {**wanted, "database": "/x/t.db"}
    assert edited(after, VALUES) == after
    comments = [line for line in text.splitlines() if "#" in line]
    assert all(one.partition("#")[2] in after for one in comments)


def test_the_installed_file_is_edited_as_well(tmp_path: Path) -> None:
    """All that it explains stays, and the daemon takes it."""
    shipped = (Path(__file__).parents[2] / "config.yaml").read_text("utf-8")
    more: dict[Key, str] = {("radarr", "url"): "http://r", ("http", "host"): "0.0.0.0"}  # noqa: S104
    text = edited(shipped, {**VALUES, **more})
    assert text is not None
    comments = [line.partition("#")[2] for line in shipped.splitlines() if "#" in line]
    assert [one for one in comments if one not in text] == []
    (tmp_path / "config.yaml").write_text(text)
    keys = {f"LIBRARY_SYNC__{name}__API_KEY": "k" for name in ("JELLYFIN", "RADARR")}
    settings = load(tmp_path / "config.yaml", keys)
    assert (settings.jellyfin.url, settings.http.host) == ("http://a:1", "0.0.0.0")  # noqa: S104


@pytest.mark.parametrize("value", ["a b", "it's", "8765", "x: y", "#x", "é", "off", "C:"])
def test_whatever_a_value_holds_it_is_read_again(value: str) -> None:
    """With quotes where it needs them."""
    text = edited("", {("database",): value})
    assert text is not None
    read = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # text alone
    assert read == {"database": value}


def test_what_cannot_be_edited_is_said(tmp_path: Path) -> None:
    """Instead of a file that says something else."""
    place = Place.of(tmp_path / "config.yaml")
    place.config.write_text("sync: {every: 1h}\n...\n")
    with pytest.raises(SettingsError, match="cannot be edited"):
        place.write_config(VALUES)
    assert place.config.read_text() == "sync: {every: 1h}\n...\n"


def test_files_have_the_owner_of_their_directory(tmp_path: Path) -> None:
    """Root may set it up for somebody else; nobody else reads a secret."""
    place = Place.of(tmp_path / "config.yaml")
    try:
        os.chown(tmp_path, STRANGER, STRANGER)
    except PermissionError:
        pytest.skip("this needs root")
    place.write_config(VALUES)
    place.write_secret(("jellyfin", "api_key"), "k")
    secret = place.secret(("jellyfin", "api_key"))
    owners = {path: path.stat().st_uid for path in (place.config, place.secrets, secret)}
    assert set(owners.values()) == {STRANGER}
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_secret_that_everybody_could_read_is_closed(tmp_path: Path) -> None:
    """When it is written again."""
    place = Place.of(tmp_path / "config.yaml")
    place.write_secret(("webhook", "secret"), "a")
    place.secret(("webhook", "secret")).chmod(0o644)
    place.write_secret(("webhook", "secret"), "b")
    assert stat.S_IMODE(place.secret(("webhook", "secret")).stat().st_mode) == 0o600
    assert place.secret(("webhook", "secret")).read_text() == "b\n"


def test_a_damaged_record_is_no_record_that_nothing_was_done(tmp_path: Path) -> None:
    """Else undo would leave what is there."""
    place = Place.of(tmp_path / "config.yaml")
    (tmp_path / "setup.json").write_text("{")
    with pytest.raises(SettingsError, match=r"setup\.json is damaged"):
        place.record()


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """And nothing beside it."""
    place = Place.of(tmp_path / "config.yaml")
    key = ("webhook", "secret")
    place.write_secret(key, "before")
    with pytest.raises(UnicodeEncodeError):
        place.write_secret(key, "\ud800")
    assert place.secret(key).read_text() == "before\n"
    assert len([*place.secrets.iterdir()]) == 1
