"""What the bodies of webhooks mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain import Ids, MediaType
from daemon.services.webhooks import HookError, ImportEvent, LibraryEvent, arr_note, jellyfin_note

RECORDED = Path(__file__).parents[1] / "recorded" / "hooks"
JELLYFIN: dict[str, dict[str, str]] = json.loads((RECORDED / "jellyfin.json").read_text())
SERVER = "857bc384b3564c9f95d6fb4ed4ef43a8"
SHOW = "8700a75f2670bbf271f4f002ab13f3b1"
MOVIE = "f192046dd2040d751a09bd1114136d55"


def arr(service: str) -> dict[str, dict[str, Any]]:
    """The recorded webhooks of Radarr or Sonarr."""
    found: dict[str, dict[str, Any]] = json.loads((RECORDED / f"{service}.json").read_text())
    return found


def note_of(name: str) -> LibraryEvent | None:
    """What a recorded webhook of Jellyfin means."""
    return jellyfin_note(JELLYFIN[name]["body"].encode())


def test_an_episode_stands_for_itself_and_its_series() -> None:
    """Its own provider ids are the episode's and are not looked at."""
    note = note_of("01_all_json_itemadded_episode")
    assert note is not None
    assert (note.kind, note.server) == ("ItemAdded", SERVER)
    assert SHOW in note.ids
    assert len(note.ids) == 2


@pytest.mark.parametrize("name", ["19_all_json_itemdeleted_season", "23_all_json_itemadded_season"])
def test_a_season_stands_for_its_series_only(name: str) -> None:
    """A season is nothing that is tracked."""
    note = note_of(name)
    assert note is not None
    assert note.ids == {json.loads(JELLYFIN[name]["body"])["SeriesId"]}


@pytest.mark.parametrize(
    "name",
    [
        "02_all_json_itemadded_movie_with_quotes",
        "35_all_default_type_itemadded_movie_with_quotes",
        "36_all_default_type_itemadded_movie",
        "03_all_json_itemadded_series",
        "22_all_json_itemdeleted_series",
        "21_all_json_itemdeleted_movie",
    ],
)
def test_a_film_or_a_series_stands_for_itself(name: str) -> None:
    """Whatever its title, and whatever content type it came with."""
    note = note_of(name)
    assert note is not None
    assert len(note.ids) == 1


LIBRARY = {"ItemAdded", "ItemDeleted"}


@pytest.mark.parametrize("name", [name for name in JELLYFIN if "_all_" in name])
def test_only_news_of_the_library_are_taken(name: str) -> None:
    """Playback, sessions, users and logins say nothing about it."""
    kind = json.loads(JELLYFIN[name]["body"])["NotificationType"]
    note = note_of(name)
    assert (note is not None) == (kind in LIBRARY)


@pytest.mark.parametrize("name", [name for name in JELLYFIN if "_template_" in name])
def test_a_body_of_ones_own_making_is_refused_with_what_to_do(name: str) -> None:
    """A template that lacks the plugin's own names, or breaks the JSON, cannot be understood."""
    with pytest.raises(HookError, match="Send All Properties"):
        note_of(name)


def test_ids_are_taken_with_and_without_dashes_and_nothing_else_is() -> None:
    """An id that is none would make Jellyfin list everything."""
    body = {"NotificationType": "ItemAdded", "ItemType": "Movie"}
    dashed = {**body, "ItemId": "F192046D-d204-0d75-1a09-bd1114136d55"}
    note = jellyfin_note(json.dumps(dashed).encode())
    assert note == LibraryEvent("ItemAdded", frozenset({MOVIE}), "")
    for wrong in ("", "1", "x" * 32, "../../etc", "f192046dd2040d751a09bd1114136d5\u0000"):
        with pytest.raises(HookError):
            jellyfin_note(json.dumps({**body, "ItemId": wrong}).encode())


@pytest.mark.parametrize("service", ["radarr", "sonarr"])
def test_an_import_says_what_is_to_come(service: str) -> None:
    """Downloads and renames name a title; everything else is nothing to wait for."""
    for name, hook in arr(service).items():
        coming = arr_note(json.dumps(hook).encode()).coming
        expected = hook["eventType"] in {"Download", "Rename"}
        assert (coming is not None) == expected, name


@pytest.mark.parametrize("service", ["radarr", "sonarr"])
def test_what_moves_a_title_on_its_way_is_told_apart(service: str) -> None:
    """A grab, an import, what a person has to see to, and whatever is deleted."""
    moving = {"Download", "ManualInteractionRequired"}
    for name, hook in arr(service).items():
        kind = hook["eventType"]
        event = arr_note(json.dumps(hook).encode())
        assert event.moves == (kind in moving or "Delete" in kind), name
        assert event.upgrade == (hook.get("deleteReason") == "upgrade"), name
    for kind in ("Grab", "MovieAdded", "SeriesAdd"):
        assert arr_note(json.dumps({"eventType": kind}).encode()).moves
    odd: object
    for odd in (["upgrade"], {}, 1, "UPGRADE"):
        hook = {"eventType": "MovieFileDelete", "deleteReason": odd, "movie": {"tmdbId": 1}}
        assert not arr_note(json.dumps(hook).encode()).upgrade


def test_what_is_to_come_is_named_by_its_ids() -> None:
    """By all ids that the sender has, under the right media type."""
    film = arr_note(json.dumps(arr("radarr")["11_Download"]).encode()).coming
    series = arr_note(json.dumps(arr("sonarr")["21_Download_importComplete"]).encode()).coming
    assert series == ImportEvent("Download", MediaType.TV, Ids(100088, 392256, "tt3581920"))
    assert film is not None
    assert film.media_type is MediaType.MOVIE
    assert film.ids.tmdb


@pytest.mark.parametrize("wrong", [10**400, 2**31, 0, -1, None, "603", 1.5, [603], {"a": 1}])
def test_an_id_that_is_none_costs_itself(wrong: object) -> None:
    """What no service has as a number is asked nobody for; the other ids are."""
    title = {"tmdbId": wrong, "tvdbId": 392256, "imdbId": wrong}
    hook = arr("sonarr")["21_Download_importComplete"] | {"series": title}
    found = arr_note(json.dumps(hook).encode()).coming
    assert found == ImportEvent("Download", MediaType.TV, Ids(tvdb=392256))


def test_a_test_event_with_ids_that_look_real_is_dropped() -> None:
    """Both services' tests carry a made-up title."""
    for service in ("radarr", "sonarr"):
        event = arr_note(json.dumps(arr(service)["01_Test"]).encode())
        assert (event.kind, event.moves, event.coming) == ("Test", False, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
hooks = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("NotificationType", "ItemType", "ItemId", "SeriesId", "ServerId", "eventType", "movie"),
        json_values | st.sampled_from(["ItemAdded", "ItemDeleted", "Download", MOVIE]),
    ),
)


@given(st.binary(max_size=64) | hooks.map(lambda hook: json.dumps(hook).encode()))
def test_any_body_is_understood_or_refused(body: bytes) -> None:
    """Nothing that is sent raises anything else, and every id that is taken is one."""
    for decode in (jellyfin_note, arr_note):
        try:
            found = decode(body)
        except HookError:
            continue
        if isinstance(found, LibraryEvent):
            assert all(len(one) == 32 and one.isalnum() for one in found.ids)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\x00", b"\xff"]
)
def test_what_is_no_such_object_is_refused(body: bytes) -> None:
    """Empty, another type, cut, or nested without end."""
    for decode in (jellyfin_note, arr_note):
        with pytest.raises(HookError):
            decode(body)
