"""Networks that the daemon may start in: without IPv4, and without anything yet."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.hosts import Host, a_host, restarted, why_not
from tests.running import a_world, until
from tests.test_daemon import ROOT, Place, a_place

_SERVICES: Final = """
import asyncio, json, sys
from tests.pretend import PretendServices
from tests.running import a_world
async def main():
    async with PretendServices(a_world(), sys.argv[1]) as services:
        names = ("jellyfin", "radarr", "sonarr")
        told = {n: [getattr(services, f"{n}_{what}") for what in ("url", "key")] for n in names}
        print(json.dumps(told), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
_ASK: Final = """
import http.client, sys
daemon = http.client.HTTPConnection("127.0.0.1", 8765)
daemon.request("POST", "/admin/sync", headers={"Authorization": f"Bearer {sys.argv[1]}"})
print(daemon.getresponse().status)
"""
TOKEN: Final = "an-admin-t0ken"
_UP: Final = ("ip", "link", "set", "lo", "up")
_WITHOUT_IPV4: Final = ("ip", "address", "del", "127.0.0.1/8", "dev", "lo")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with nothing but a loopback that is down."""
    if reason := why_not("unshare", "--net", "--mount", "ip", "link"):
        pytest.skip(reason)
    with a_host("--net", "--mount") as made:
        yield made


@pytest.fixture
async def place(tmp_path: Path, host: Host) -> AsyncIterator[Place]:
    """A configured place on that host; its services are those of another one."""
    async with a_place(tmp_path, a_world()) as made:
        made.within = host.within
        yield made


@asynccontextmanager
async def services(host: Host, address: str) -> AsyncIterator[dict[str, dict[str, str]]]:
    """The three services at an address of a host; gives their sections of the configuration."""
    command = (*host.within, sys.executable, "-c", _SERVICES, address)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        told = json.loads(await process.stdout.readline())
        yield {name: {"url": url, "api_key": key} for name, (url, key) in told.items()}
    finally:
        process.kill()
        await process.wait()


async def asked_for_a_run(host: Host) -> int:
    """The status that an admin gets who asks for a run on that host."""
    return int(await asyncio.to_thread(host.say, sys.executable, "-c", _ASK, TOKEN))


@pytest.mark.parametrize("address", ["::1", "::"])
async def test_a_host_without_ipv4(place: Place, host: Host, address: str) -> None:
    """Everything works over IPv6 alone: the services, the page's address, the health check."""
    host.say(*_UP)
    host.say(*_WITHOUT_IPV4)
    async with services(host, "::1") as sections:
        place.configure(**sections, http={"host": address, "port": 8765})
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.told("STATUS=Idle; run 1 ok, 2 titles"))
        assert daemon.logged("daemon.ready")[0]["url"] == f"http://[{address}]:8765"
        assert sections["jellyfin"]["url"].startswith("http://[::1]:")
        assert await place.ended("healthcheck") == (0, "", "library-sync: ready\n")
        assert (await daemon.end())[0] == 0


async def test_a_host_without_ipv4_that_is_not_configured_for_it(place: Place, host: Host) -> None:
    """The default address cannot be had: one line says what to set, and systemd tries again."""
    host.say(*_UP)
    host.say(*_WITHOUT_IPV4)
    place.configure(http={})
    code, _, complaints = await place.ended("run")
    assert complaints == (
        "library-sync: cannot listen on 127.0.0.1:8765: Cannot assign requested address;"
        " set http.host to an address that this machine has, e.g. 127.0.0.1 or ::1\n"
    )
    assert (code, restarted(code)) == (1, True)


async def test_a_port_for_root_alone(place: Place, host: Host) -> None:
    """Without the power for it one line says which ports can be had."""
    powers = "-net_bind_service"
    bound = ("setpriv", f"--inh-caps={powers}", f"--bounding-set={powers}")
    place.within = (*host.within, *bound)
    place.configure(http={"port": 80})
    code, _, complaints = await place.ended("run")
    reason, remedy = "Permission denied", "set an http.port above 1023"
    assert complaints == f"library-sync: cannot listen on 127.0.0.1:80: {reason}; {remedy}\n"
    assert code == 1


async def test_no_network_at_boot(place: Place, host: Host, tmp_path: Path) -> None:
    """It is ready at once, says in one line that Jellyfin is away, and tries again by its rule.

    Once the network and the names are there, the next run is good, without a restart.
    """
    names = tmp_path / "hosts"
    names.touch()
    host.say("mount", "--bind", names, "/etc/hosts")
    async with services(host, "127.0.0.1") as sections:
        named = {
            name: {**one, "url": one["url"].replace("127.0.0.1", f"{name}.test")}
            for name, one in sections.items()
        }
        place.configure(**named, log={"level": "debug"}, http={"port": 8765, "admin_token": TOKEN})
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.logged("run.retry_scheduled"))
        assert daemon.logged("run.retry_scheduled")[0]["seconds"] == 60
        host.say(*_UP)
        assert await asked_for_a_run(host) == 502
        names.write_text("".join(f"127.0.0.1 {name}.test\n" for name in sections))
        assert await asked_for_a_run(host) == 200
        [away] = [one for one in daemon.logged("service.down") if one["source"] == "Jellyfin"]
        assert away["error_kind"] == "unreachable"
        assert away["error"].startswith(f"Jellyfin at {named['jellyfin']['url']}/")
        assert "check the network of this machine" in away["error"]
        await until(lambda: daemon.logged("service.up"))
        await until(lambda: daemon.told("ok, 2 titles"))
        assert (await daemon.end())[0] == 0
