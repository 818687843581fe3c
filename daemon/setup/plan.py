"""What differs between the webhooks that are there and those that are wanted; decided without I/O.

Only an entry that leads to our own address is ever changed, and of it only what we need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any, Final, Literal, NamedTuple

from daemon.services.connect import APP, Document

SWITCHES: Final = (
    *("onGrab", "onDownload", "onUpgrade", "onImportComplete", "onRename"),
    *("onMovieAdded", "onMovieDelete", "onMovieFileDelete", "onMovieFileDeleteForUpgrade"),
    *("onSeriesAdd", "onSeriesDelete", "onEpisodeFileDelete", "onEpisodeFileDeleteForUpgrade"),
    "onManualInteractionRequired",
)
"""Of what webhooks are read for; an application has those that it knows."""

USER: Final = "library-sync"
HEADER: Final = "X-Library-Sync-Secret"
_POST: Final = 1
_KINDS: Final = ("ItemAdded", "ItemDeleted")
_WANTED: Final = {
    "SendAllProperties": True,
    "EnableWebhook": True,
    **dict.fromkeys(("EnableMovies", "EnableEpisodes", "EnableSeries", "EnableSeasons"), True),
    "UserFilter": [],
}
_BLANK: Final = {
    "Headers": [],
    "Fields": [],
    "NotificationTypes": [],
    "WebhookName": APP,
    **dict.fromkeys(("EnableAlbums", "EnableSongs", "EnableVideos"), False),
    "TrimWhitespace": False,
    "SkipEmptyMessageBody": False,
    "Template": "",
}


class Change(NamedTuple):
    """What has to be sent so that it is as wanted; `same`: nothing has, for all that is seen."""

    verb: Literal["add", "change", "same"]
    document: Document


def notification(
    entries: Iterable[Document], template: Document, url: str, former: str, secret: str
) -> Change:
    """The webhook of a Radarr or Sonarr.

    Whether it has the right password is not to be seen; its test shows it.

    Args:
        entries: all connections that it has.
        template: of a webhook.
        url: where ours leads.
        former: where ours led before, so that it is recognised.
        secret: its password.
    """
    entries = [*entries]
    found = next((one for one in entries if _leads(one) in {url, former}), None)
    values = {"url": url, "method": _POST, "password": secret}
    if found is None:
        blank = {name: value for name, value in template.items() if name != "presets"}
        base = {**blank, "name": _free({str(one.get("name")) for one in entries})}
        return Change("add", _filled(base, {**values, "username": USER}))
    wanted = _filled(found, values)
    return Change("same" if starred(wanted) == found else "change", wanted)


def starred(entry: Document) -> Document:
    """An entry with the password that it has already, as the application shows it."""
    return _filled(entry, {"password": "********"})


def webhooks(entries: Iterable[Document], url: str) -> Iterator[int]:
    """The ids of the webhooks of our name that lead to an address."""
    ours = (one for one in entries if str(one.get("name")).startswith(APP))
    return (one["id"] for one in ours if _leads(one) == url)


def _leads(entry: Document) -> str:
    fields = {one.get("name"): one.get("value") for one in entry.get("fields", ())}
    return str(fields.get("url")) if entry.get("implementation") == "Webhook" else ""


def _filled(entry: Document, values: Mapping[str, object]) -> dict[str, Any]:
    fields = [
        {**one, "value": values[one["name"]]} if one.get("name") in values else one
        for one in entry.get("fields", ())
    ]
    return {**entry, **{name: True for name in SWITCHES if name in entry}, "fields": fields}


def _free(taken: Collection[str]) -> str:
    """Names of connections are unique, and one of ours may be another machine's."""
    names = chain([APP], (f"{APP} {number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def destination(configuration: Document, url: str, former: str, secret: str) -> Change:
    """Our entry of Jellyfin's Webhook plugin, among all that its configuration holds."""
    entries: list[dict[str, Any]] = [*(configuration.get("GenericOptions") or ())]
    at = next((at for at, one in enumerate(entries) if _uri(one) in {url, former}), len(entries))
    before: dict[str, Any] = entries[at] if at < len(entries) else {}
    base = {**_BLANK, **before}
    kinds = base["NotificationTypes"]
    ours = {
        **base,
        **_WANTED,
        "WebhookUri": url,
        "Headers": _with_secret(base["Headers"], secret),
        "NotificationTypes": [*kinds, *(one for one in _KINDS if one not in kinds)],
    }
    document = {**configuration, "GenericOptions": [*entries[:at], ours, *entries[at + 1 :]]}
    return Change(("same" if ours == before else "change") if before else "add", document)


def _with_secret(headers: list[Document], secret: str) -> list[Document]:
    ours = {"Key": HEADER, "Value": secret}
    if all(one.get("Key") != HEADER for one in headers):
        return [*headers, ours]
    return [{**one, **ours} if one.get("Key") == HEADER else one for one in headers]


def without_destination(configuration: Document, url: str) -> Document | None:
    """The configuration without the entry that was added for an address; None if it has none."""
    entries = configuration.get("GenericOptions") or ()
    rest = [one for one in entries if (_uri(one), one.get("WebhookName")) != (url, APP)]
    return {**configuration, "GenericOptions": rest} if len(rest) < len(entries) else None


def _uri(entry: Document) -> str:
    return str(entry.get("WebhookUri", ""))
