"""View models of a title's sources and ids. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from datetime import datetime
from typing import Final, NamedTuple

from daemon.columns import COLUMNS
from daemon.domain import SYNC_USER, MediaType
from daemon.reasons import Kind
from daemon.report import links
from daemon.report.words import count
from daemon.store.titles import Origin, TitleFacts
from daemon.web.view import moment

_IDS: Final = tuple(column.name for column in COLUMNS if column.name.endswith("_id"))
_SOURCES: Final = {"radarr_id": "Radarr", "sonarr_id": "Sonarr"}


class Source(NamedTuple):
    """What the file knows of a title at one place.

    Attributes:
        seen: whether it is there, in words.
        value: what is known of it there; "" if nothing is.
        at: when that was so, or became so; None where nobody knows.
        url: where people find it there.
        silent: since when it could not be asked; None while it answers.
    """

    name: str
    id: int | str | None
    seen: str
    value: str
    at: datetime | None
    url: str | None = None
    silent: datetime | None = None


class Id(NamedTuple):
    """An id of a title.

    Attributes:
        source: who gave it, if this program wrote it.
        run_id: the run that wrote it, if that is still known; `at` is when.
        url: the page of its provider, or of Jellyfin.
    """

    name: str
    value: int | str | None
    source: str = ""
    run_id: int | None = None
    at: str | None = None
    url: str | None = None


def sources(facts: TitleFacts, jellyfin: str = "", seerr: str | None = None) -> list[Source]:
    """What the file knows of a title at each place, and what a service says while it is on its way.

    Args:
        jellyfin: its address for people.
        seerr: the title's page there; None where there is none.
    """
    found = {one.name: one for one in _rows(facts)}
    url = links.in_jellyfin(jellyfin, facts.tracked["jellyfin_id"])
    found["Jellyfin"] = found["Jellyfin"]._replace(url=url)
    if seerr is not None:
        asked = facts.tracked.get("jellyseerr_id")
        found["Seerr"] = Source("Seerr", asked, "", "", None, seerr)
    for said in facts.pending.said if facts.pending else ():
        known = found.get(said.service, Source(said.service, None, "", "", None))
        told = known._replace(seen=said.words, at=said.since, silent=said.silent)
        found[said.service] = told
    return [*found.values()]


def _rows(facts: TitleFacts) -> Iterator[Source]:
    """The tracker, Jellyfin, Radarr for a film or Sonarr for a series, and further instances."""
    tracked = facts.tracked
    by = f"requested by {tracked['requested_by']}" if tracked["requested_by"] else ""
    state = str(tracked["state"]).lower().replace("_", " ")
    yield Source("Tracker", tracked["id"], state, by, moment(tracked["state_changed_at"]))
    yield _jellyfin(facts)
    column = "radarr_id" if tracked["media_type"] == MediaType.MOVIE else "sonarr_id"
    linked = "not linked" if tracked[column] is None else "linked"
    at = moment(_id(facts, column).at)
    instances = {one.name: one for one in facts.instances}
    primary = instances.pop(_SOURCES[column], None)
    url = primary.url if primary else None
    yield Source(_SOURCES[column], tracked[column], linked, "", at, url)
    for one in instances.values():
        yield Source(one.name, one.number, "linked", "", None, one.url)


def _jellyfin(facts: TitleFacts) -> Source:
    number, missing = facts.tracked["jellyfin_id"], facts.missing
    place = facts.library or ""
    if not facts.seen:
        return Source("Jellyfin", number, "not seen yet", "", None)
    if missing is not None:
        seen = f"missing from {count(missing.sightings, 'complete reading')}, the first"
        return Source("Jellyfin", number, seen, place, moment(facts.missing_since))
    return Source("Jellyfin", number, "in the library", place, _confirmed(facts))


def _confirmed(facts: TitleFacts) -> datetime | None:
    """When it was last known to be there: by a complete reading, or a write for it."""
    checked, came = moment(facts.checked), moment(facts.tracked["created_at"])
    times = [checked] if checked and came and came <= checked else []
    wrote = (one for one in facts.decisions if one.kind in {Kind.ADD, Kind.UPDATE})
    times += [at for one in wrote if (at := moment(one.started_at)) is not None]
    return max(times, default=None)


def ids(facts: TitleFacts, jellyfin: str = "") -> Iterator[Id]:
    """All ids, with who gave them, and where each leads.

    Args:
        jellyfin: its address for people.
    """
    for name in _IDS:
        if name in facts.tracked:
            one = _id(facts, name)
            url = links.of_id(name, one.value, facts.tracked["media_type"])
            if name == "jellyfin_id":
                url = links.in_jellyfin(jellyfin, one.value)
            yield one._replace(url=url)


def _id(facts: TitleFacts, name: str) -> Id:
    """An id; its source is known only if this program wrote it."""
    tracked, origin = facts.tracked, facts.origins.get(name)
    ours = tracked["requested_by"] == SYNC_USER
    if tracked[name] is None or not (origin or ours):
        return Id(name, tracked[name])
    adds = (one for one in facts.decisions if one.kind == Kind.ADD)
    added = next((Origin(one.run_id, one.started_at) for one in adds), Origin())
    return Id(name, tracked[name], _SOURCES.get(name, "Jellyfin"), *astuple(origin or added))
