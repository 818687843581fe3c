"""The examples of reverse proxies, each in its own program before the real daemon."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from aiohttp import ClientResponse, ClientSession, TCPConnector

from tests.pretend import Fault, PretendServices
from tests.running import a_world, until
from tests.systemd.machine import SYSTEMD, call
from tests.test_daemon import Running, a_place

_BASE: Final = "/library-sync"
_TOKEN: Final = "an-admin-t0ken"
_CLIENT: Final = "127.0.0.2"
"""Where the client is; the proxy is at 127.0.0.1."""

_NGINX: Final = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        include {folder}/example;
    }}
}}
"""


def _nginx(folder: Path, example: str, port: int) -> tuple[list[str | Path], list[str | Path]]:
    """The commands that check and run nginx with an example in its server block."""
    (folder / "example").write_text(example)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
    run: list[str | Path] = ["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    return [*run, "-t"], run


def _caddy(folder: Path, example: str, port: int) -> tuple[list[str | Path], list[str | Path]]:
    """The commands that check and run Caddy with an example, without a certificate."""
    site = example.replace("media.example.org {", f"http://127.0.0.1:{port} {{")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    home = f"HOME={folder}"
    config = ("--config", folder / "Caddyfile", "--adapter", "caddyfile")
    return ["env", home, "caddy", "validate", *config], ["env", home, "caddy", "run", *config]


_PROXIES: Final = {"nginx": ("nginx.conf", _nginx), "caddy": ("Caddyfile", _caddy)}


@dataclass
class Site:
    """A proxy before a daemon, and a client that is elsewhere."""

    url: str
    daemon: Running
    client: ClientSession
    services: PretendServices

    async def get(self, path: str) -> tuple[int, str]:
        """The status, and where it leads to if it leads on."""
        async with self.client.get(self.url + path, allow_redirects=False) as reply:
            return reply.status, reply.headers.get("Location", "")


@pytest.fixture(params=_PROXIES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """The example as it is shipped, but for its site's address and the daemon's port."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    name, commands = _PROXIES[request.param]
    example = (SYSTEMD / "proxy" / name).read_text("utf-8")
    async with a_place(tmp_path, a_world()) as place, _client() as client:
        place.configure(http=_told(example) | {"port": 0, "admin_token": _TOKEN})
        daemon = await (await place.started()).ready()
        await until(lambda: daemon.told("STATUS=Idle"))
        port = _free_port()
        check, run = commands(tmp_path, _pointed(example, daemon), port)
        assert (done := call(*check)).returncode == 0, done.stderr
        async with _running(run):
            await until(lambda: _listens(port))
            yield Site(f"http://127.0.0.1:{port}", daemon, client, place.services)


def _told(example: str) -> dict[str, Any]:
    """The section of the daemon's configuration that the example asks for."""
    [line] = re.findall("^#   (http: .*)$", example, re.MULTILINE)
    section: dict[str, Any] = yaml.safe_load(line)["http"]
    return section


def _pointed(example: str, daemon: Running) -> str:
    """The example with the daemon's real port."""
    address = urlsplit(daemon.logged("daemon.ready")[0]["url"]).netloc
    assert example.count("127.0.0.1:8765") == 1
    return example.replace("127.0.0.1:8765", address)


def _client() -> ClientSession:
    bearer = {"Authorization": f"Bearer {_TOKEN}"}
    return ClientSession(connector=TCPConnector(local_addr=(_CLIENT, 0)), headers=bearer)


@asynccontextmanager
async def _running(command: list[str | Path]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_everything_is_below_the_base_path(site: Site) -> None:
    """Also what leads on from one address to another."""
    assert await site.get(f"{_BASE}/healthz") == (200, "")
    for path, end in (("", "/"), ("/", "/login"), ("/status", "/login")):
        status, target = await site.get(_BASE + path)
        assert status in range(300, 400)
        assert urlsplit(target).path == _BASE + end
        assert urlsplit(target).netloc in ("", urlsplit(site.url).netloc)


async def test_progress_arrives_while_it_happens(site: Site) -> None:
    """A run that goes on is told of before it ends."""
    site.services.fault("jellyfin", Fault("/System/Info", stall=60))
    async with (
        asyncio.timeout(45),
        site.client.get(f"{site.url}{_BASE}/admin/sync/events") as reply,
    ):
        await _told_of(reply, "snapshot")
        async with site.client.post(f"{site.url}{_BASE}/admin/sync?wait=false") as asked:
            assert asked.status == 202
        await _told_of(reply, "started")


async def _told_of(reply: ClientResponse, event: str) -> None:
    async for line in reply.content:
        if line == f"event: {event}\n".encode():
            return
    pytest.fail(f"the stream ended before {event}")


async def test_the_clients_own_address_is_known(site: Site) -> None:
    """It is in the log, whatever the client claims to be."""
    claim = {"X-Forwarded-For": "203.0.113.9"}
    async with site.client.post(f"{site.url}{_BASE}/admin/sync", headers=claim) as reply:
        assert reply.status == 200
    await until(lambda: site.daemon.logged("http.request"))
    assert site.daemon.logged("http.request")[-1]["source_ip"] == _CLIENT
