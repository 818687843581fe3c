"""Whose address a request comes from, also through proxies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Networks = Sequence[IPv4Network | IPv6Network]
_IPV6_PREFIX = 64


def address_of(request: web.Request, trusted: Networks) -> str:
    """The right-most address of the proxy chain that is not a trusted proxy.

    Entries further left in X-Forwarded-For come from untrusted clients.
    """
    nearest = _parsed(request.remote or "")
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed(hops):
        if nearest is None or not any(nearest in network for network in trusted):
            break
        if (further := _parsed(hop)) is None:
            break
        nearest = further
    return str(nearest or "unknown")


def rate_limit_key(address: str) -> str:
    """The key for rate limits: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = _parsed(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return str(ip_network((parsed, _IPV6_PREFIX), strict=False))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
