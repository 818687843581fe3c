"""Values for tests: defaults that say nothing, and overrides that say what a test is about."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from daemon.domain import (
    Add,
    Decision,
    Ids,
    LibraryItem,
    MediaType,
    Policy,
    Reading,
    RequestState,
    Sources,
    TrackedRequest,
    fingerprint,
)
from daemon.reconcile import Planner

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = Policy(public_url="http://media.test")
COMPLETE = Reading(complete=True, scanning=False)
SCANNING = Reading(complete=True, scanning=True)


def jellyfin_id(name: object) -> str:
    """An id of Jellyfin's shape."""
    return hashlib.md5(str(name).encode(), usedforsecurity=False).hexdigest()


def an_item(name: object = "item", **overrides: Any) -> LibraryItem:
    """An available film that TMDB knows."""
    values: dict[str, Any] = {
        "jellyfin_id": jellyfin_id(name),
        "media_type": MediaType.MOVIE,
        "title": f"Title of {name}",
        "year": 1999,
        "ids": Ids(tmdb=603),
        "overview": "What it is about.",
        "created_at": NOW,
    }
    return LibraryItem(**{**values, **overrides})


def a_request(number: int = 1, **overrides: Any) -> TrackedRequest:
    """An available film that somebody requested, with nothing missing."""
    values: dict[str, Any] = {
        "id": number,
        "media_type": MediaType.MOVIE,
        "state": RequestState.AVAILABLE,
        "ids": Ids(tmdb=603),
        "jellyfin_id": jellyfin_id("item"),
    }
    return TrackedRequest(**{**values, **overrides})


def our_request(item: LibraryItem, number: int = 1, **overrides: Any) -> TrackedRequest:
    """The row that this program would have made of an item."""
    values: dict[str, Any] = {
        "media_type": item.media_type,
        "ids": item.ids,
        "jellyfin_id": item.jellyfin_id,
        "ours": True,
        "face": fingerprint(item.title, item.year, item.overview),
        "poster_url": POLICY.poster_url(item),
    }
    return a_request(number, **{**values, **overrides})


def decide(
    items: list[LibraryItem],
    tracked: list[TrackedRequest] | None = None,
    sources: Sources | None = None,
    reading: Reading = COMPLETE,
) -> list[Decision]:
    """All decisions of one run."""
    planner = Planner(tracked or [], sources or Sources(), POLICY)
    return [*planner.decide(items), *planner.finish(reading)]


def added(decisions: list[Decision]) -> list[str]:
    """The titles that get a row."""
    return [one.item.title for one in decisions if isinstance(one, Add)]
