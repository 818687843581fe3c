"""What these tests share: asking the pretend services, and comparing with recorded replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.answer import Answer
from tests.pretend import PretendServices, Service

RECORDED = Path(__file__).parents[1] / "recorded" / "pretend"

# They differ from reply to reply, or are the client's doing.
_PASSING = frozenset({"Date", "Connection"})


async def ask(
    services: PretendServices,
    service: Service,
    path: str,
    headers: Mapping[str, str] | None = None,
    **request: Any,
) -> Answer:
    """Ask once, as a client with the right key does unless other headers are given."""
    url = getattr(services, f"{service}_url")
    sent = key_headers(services, service) if headers is None else headers
    method = request.pop("method", "GET")
    async with (
        ClientSession() as session,
        session.request(
            method, url + path, headers=sent, allow_redirects=False, **request
        ) as reply,
    ):
        return await Answer.of(reply)


def key_headers(services: PretendServices, service: Service) -> dict[str, str]:
    """Give the header that a service wants to see."""
    if service == "jellyfin":
        return {"Authorization": f'MediaBrowser Token="{services.jellyfin_key}"'}
    return {"X-Api-Key": getattr(services, f"{service}_key")}


def recorded(service: Service, name: str) -> Any:
    """Read one exchange with a real server: status, headers, and json or text."""
    return json.loads((RECORDED / f"{service}.json").read_text("utf-8"))[name]


def lasting(headers: Mapping[str, str]) -> dict[str, str]:
    """Leave out the headers that differ from reply to reply."""
    return {name: value for name, value in headers.items() if name not in _PASSING}


def shape(value: Any) -> Any:
    """Reduce JSON to its keys in order and the kinds of its values; of a list the first item."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
