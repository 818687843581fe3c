"""What comes in by HTTP: garbage is refused, and whatever is allowed is answered as promised."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

import pytest
from yarl import URL

from daemon.web import Limits
from tests.torture.promises import promise
from tests.web.support import ADMIN_TOKEN, HOOK_SECRET, Stand, standing
from tests.web.test_openapi import attack

REQUESTS = 2_000
AT_ONCE = 25
EXAMPLES_EACH = 50
IMPATIENT = Limits(failures=10**6, head=0.2, body=0.2)
HEADS = [
    "GET /status HTTP/1.1\r\nHost: x\r\nCookie: library-sync=0123456789\r\n\r\n",
    f"GET /admin/runs?limit=5 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n",
    (
        f"POST /admin/sync?wait=false HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}"
        '\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"dry_run": true}'
    ),
    (
        f"POST /hooks/jellyfin HTTP/1.1\r\nHost: x\r\nX-Library-Sync-Secret: {HOOK_SECRET}\r\n"
        'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    ),
    (
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 21\r\nSec-Fetch-Site: same-origin\r\n\r\nname=a&password=b&c=d"
    ),
]
JUNK = [b"\x00", b"\r\n", b"\r", b"\xff\xfe", b":", b" ", b"%00", b"/../", b"9" * 30, b"chunked"]


def garbage(dice: random.Random) -> bytes:
    """A request in which some bytes were put in, left out or changed."""
    text = dice.choice(HEADS).encode()
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(text) + 1)
        put_in = dice.choice([dice.choice(JUNK), dice.randbytes(dice.randint(0, 3)), b""])
        text = text[:at] + put_in + text[at + dice.choice([0, 1, 2, 9]) :]
    return text


async def answered(stand: Stand, sent: bytes) -> int:
    """Send it; gives the status of the answer, 0 where it is hung up upon."""
    url = URL(stand.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(sent)
        line = await reader.readuntil(b"\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0
    finally:
        writer.close()
    return int(line.split()[1])


@promise("Garbage at the HTTP door is refused, and the site serves on", f"{REQUESTS:,} requests")
async def test_garbage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No answer is an error of the server's own, nothing is logged as one, and it is healthy."""
    dice = random.Random(8)
    async with standing(tmp_path, limits=IMPATIENT) as stand:
        statuses: list[int] = []
        for _ in range(REQUESTS // AT_ONCE):
            many = (answered(stand, garbage(dice)) for _ in range(AT_ONCE))
            statuses += await asyncio.gather(*many)
        assert (await stand.ask("GET", "/healthz")).status == 200
        assert (await stand.ask("GET", "/admin/runs")).status == 200
    assert {400, 401} < {*statuses} <= {0, 200, 202, 204, 303, *range(400, 500)}
    assert [record.msg for record in caplog.records if record.levelno >= logging.ERROR] == []


@promise(
    "Whatever the API's description allows or forbids is answered as it says",
    f"each operation's corner cases and {EXAMPLES_EACH} requests at random",
)
async def test_the_api(tmp_path: Path) -> None:
    """Good requests are taken, bad ones refused, and every reply has its shape."""
    async with standing(tmp_path, limits=Limits(failures=10**6)) as stand:
        asked, found = await asyncio.to_thread(attack, stand.url, EXAMPLES_EACH)
    assert found == []
    assert asked.total() > 1_000
