"""Whose address counts, and who is one client."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from daemon.web.address import address_of, rate_limit_key

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
        ("fd00::1", [" 2001:db8::1 "], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("", ["198.51.100.1"], "unknown"),
    ],
)
def test_the_right_most_untrusted_address_counts(
    remote: str, forwarded: list[str], expected: str
) -> None:
    """A client can write into the header what it likes, but only to the left of its own address."""
    headers = CIMultiDict[str]([("X-Forwarded-For", value) for value in forwarded])
    request = make_mocked_request("GET", "/", headers).clone(remote=remote)
    assert expected == address_of(request, TRUSTED)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_one_client_has_a_whole_network_of_ipv6(address: str, expected: str) -> None:
    """Else it would have as many tries as it likes."""
    assert expected == rate_limit_key(address)
