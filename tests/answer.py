"""One reply of a server, as the tests of servers look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import ClientResponse


@dataclass(frozen=True)
class Answer:
    """One reply, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    @classmethod
    async def of(cls, reply: ClientResponse) -> Self:
        """Read a reply to its end."""
        return cls(reply.status, reply.headers, await reply.text())

    @property
    def json(self) -> Any:
        """The body as JSON; the order of its keys is kept."""
        return json.loads(self.text)

    @property
    def names(self) -> list[str]:
        """The names of the items that Jellyfin lists, in order."""
        return [row["Name"] for row in self.json["Items"]]

    @property
    def detail(self) -> str:
        """What a problem document says, after it was seen to be one."""
        assert self.headers["Content-Type"].startswith("application/problem+json")
        assert self.status == self.json["status"]
        assert self.headers["X-Request-Id"] == self.json["request_id"]
        return str(self.json["detail"])
