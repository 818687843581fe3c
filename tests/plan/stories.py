"""Recorded lives of downloads: what real servers said, every 250 ms, served again to the clients.

A story is a file of JSON lines (`tests/recorded/arr-stories`): what was said, and what changed.
Each moment in which anything changed is served by a local server, and read by the real clients.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from daemon.domain import Ids, MediaType
from daemon.pipeline import (
    ArrPipeline,
    Pipeline,
    SeerrMedia,
    SeerrReport,
    SeerrRequest,
    SeerrStatus,
    TorrentReport,
)
from daemon.services.arr_queue import ArrQueueClient
from daemon.services.qbittorrent import QbittorrentClient
from tests.upstream import Asked, Upstream, http, reply

FOLDER: Final = Path(__file__).parents[1] / "recorded" / "arr-stories"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
AFTERWARDS: Final = 420
"""Seconds for which the last moment of a story is looked at, so that doubts come to their end."""

_PASS: Final = 0.2
_QUIET: Final = 10.0
_TMDB: Final = 77
_PATHS: Final = {
    "/api/v3/queue/details": "queue",
    "/api/v3/history/since": "history",
    "/api/v3/episode": "episodes",
    "/api/v3/health": "health",
}


@dataclass
class World:
    """What all servers said at one moment, as raw records.

    Attributes:
        known: by server and kind, the records by their keys.
        down: servers that do not answer, and `qbittorrent`.
        started: seconds of the last start of a server that was started in the story.
        about: by server, what the story says of its title at its begin.
    """

    began: datetime
    known: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    down: set[str] = field(default_factory=set)
    started: dict[str, float] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def of(self, server: str, kind: str) -> list[dict[str, Any]]:
        """All records of a kind, in the order in which they came."""
        return [*self.known[server, kind].values()]

    @property
    def torrents(self) -> dict[str, dict[str, Any]]:
        """By hash in upper case; all servers see the same ones."""
        found = {
            key.upper(): record
            for (_, kind), records in self.known.items()
            if kind == "torrents"
            for key, record in records.items()
        }
        return {} if "qbittorrent" in self.down else found


class Moment(NamedTuple):
    """What the clients made of one moment, beside the truth of it."""

    at: float
    pipeline: Pipeline
    truth: Truth


@dataclass(frozen=True)
class Truth:
    """What is so at one moment, told from the disk, the torrents and the library alone.

    Attributes:
        running: the last download is a torrent that has begun and is not whole.
        waiting: it has not begun.
        whole: it is whole.
        listed: it is there at all, among the torrents or in a queue.
        files: files in the title's folder, half ones included.
        has: all that is asked for has a file, as the library says; half ones count as files.
        queue: the words for the import of what has no file yet; "" for a held release.
        last: the word of the last event in the history.
        progress: of the download, from 0 to 1.
        known: everything could be asked.
    """

    running: bool
    waiting: bool
    whole: bool
    listed: bool
    files: int
    has: bool
    queue: frozenset[str]
    last: str
    progress: float | None
    known: bool


def began(name: str) -> datetime:
    """When a story began, by its servers' clocks."""
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as file:
        return datetime.fromisoformat(json.loads(file.readline())["began"])


async def told(name: str) -> list[Moment]:
    """Every moment of a story in which anything changed, and some afterwards."""
    lines = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    head, rest = lines[0], lines[1:]
    world = World(began(name))
    found: list[Moment] = []
    async with _Servers(world, head["servers"]) as servers:
        for at, changes in _moments(rest):
            for line in changes:
                _apply(world, line, head["servers"][0])
            if len(world.about) == len(head["servers"]):
                found.append(Moment(at, await servers.pipeline(at), _truth(world)))
    last = found[-1]
    return found + [last._replace(at=last.at + more) for more in range(20, AFTERWARDS, 20)]


def _moments(lines: list[dict[str, Any]]) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """The lines of each pass of the recording, and a moment at least every ten seconds."""
    passes: list[list[dict[str, Any]]] = []
    for line in lines:
        if not passes or line["t"] - passes[-1][0]["t"] > _PASS:
            passes.append([])
        passes[-1].append(line)
    at = 0.0
    for found in passes:
        while found[0]["t"] - at > _QUIET:
            at += _QUIET
            yield at, []
        at = found[-1]["t"]
        yield at, found


def _apply(world: World, line: dict[str, Any], default: str) -> None:
    server, kind, key = line.get("server", default), line["src"], line.get("key", "")
    if kind == "step":
        _step(world, server, key, line)
    elif "rec" in line:
        world.known[server, kind][key] = line["rec"]
    elif "chg" in line:
        world.known[server, kind][key] = {**world.known[server, kind].get(key, {}), **line["chg"]}
    elif "gone" in line:
        world.known[server, kind].pop(key, None)


def _step(world: World, server: str, key: str, line: dict[str, Any]) -> None:
    world.steps.append(key)
    if key == "begin":
        world.about[server] = line["more"]
    name = "qbittorrent" if key.startswith("qBittorrent") else server
    if "stopped" in key or "killed" in key or "hangs (" in key:
        world.down.add(name)
    elif "answers" in key or key == "qBittorrent started":
        world.down.discard(name)
    if key in {"Radarr started", "Sonarr started"}:
        world.started[server] = line["t"]


class _Servers:
    """The servers of a story, and a client for each."""

    def __init__(self, world: World, names: list[str]) -> None:
        self.world, self.names = world, names
        self.asking = names[0]

    async def __aenter__(self) -> Self:
        self._upstream = await Upstream(self._answer).__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._upstream.__aexit__(*error)

    def _answer(self, asked: Asked) -> bytes:
        return reply(body=json.dumps(self._document(asked.path)).encode())

    def _document(self, path: str) -> Any:
        world, server = self.world, self.asking
        if path in _PATHS:
            return world.of(server, _PATHS[path])
        if path == "/api/v3/system/status":
            seconds = world.started.get(server, -36_000.0)
            return {"startTime": (world.began + timedelta(seconds=seconds)).isoformat()}
        if path == "/api/v2/sync/maindata":
            found = {key.lower(): record for key, record in world.torrents.items()}
            return {"rid": 1, "full_update": True, "torrents": found}
        return (world.of(server, "movie") or world.of(server, "series"))[0]

    async def pipeline(self, at: float) -> Pipeline:
        """What the clients say now."""
        first = self.names[0]
        arrs = [await self._arr(name, primary=name == first) for name in self.names]
        report = TorrentReport()
        if "qbittorrent" not in self.world.down:
            async with http(self._upstream.url, "qBittorrent") as asking:
                report = await QbittorrentClient(asking).torrents()
        return Pipeline(SeerrReport([self._request(at)], whole=True), arrs, report)

    async def _arr(self, name: str, *, primary: bool) -> ArrPipeline:
        self.asking = name
        about = self.world.about[name]
        media_type = MediaType.TV if "seriesId" in about else MediaType.MOVIE
        unknown = ArrPipeline(name, media_type, primary)
        if name in self.world.down or not self.world.of(name, self._kind(media_type)):
            return unknown
        async with http(self._upstream.url, "Radarr") as asking:
            client = ArrQueueClient(asking, media_type)
            queue = await client.queue()
            history = await client.history(self.world.began - timedelta(days=30))
            title = await client.title(about.get("seriesId") or about["movieId"])
            assert title is not None
            if media_type is MediaType.TV:
                episodes = await client.episodes(title.arr_id)
                title = replace(title, episodes=episodes.values)
            return replace(
                unknown,
                queue=queue.values,
                history=history.values,
                titles=[title],
                whole=True,
                client_problems=await client.client_problems(),
                started=await client.started(),
            )

    @staticmethod
    def _kind(media_type: MediaType) -> str:
        return "movie" if media_type is MediaType.MOVIE else "series"

    def _request(self, _: float) -> SeerrRequest:
        about = self.world.about[self.names[0]]
        film = "movieId" in about
        return SeerrRequest(
            9,
            MediaType.MOVIE if film else MediaType.TV,
            Ids(tmdb=about["tmdbId"]) if film else Ids(_TMDB, about["tvdbId"]),
            SeerrStatus.APPROVED,
            SeerrMedia.PROCESSING,
            self.world.began - timedelta(hours=1),
            seasons=frozenset() if film else frozenset({1}),
            sent=True,
        )


_CHECKING: Final = ("checkingResumeData", "checkingDL", "checkingUP", "moving")


def _truth(world: World) -> Truth:
    """What is so, from the raw records and none of the planner's words."""
    events = [one for server in world.about for one in world.of(server, "history")]
    grabs = [one for one in events if one["eventType"] == "grabbed"]
    last = max(grabs, key=lambda one: str(one["date"]), default={})
    torrent = world.torrents.get(last.get("downloadId", ""))
    records = [record for server in world.about for record in _open_records(world, server)]
    sure = torrent is not None and torrent["state"] not in _CHECKING
    done = torrent["progress"] if torrent else None
    sizes = [one for one in records if one.get("size") and one.get("trackedDownloadState")]
    if done is None and sizes:
        done = 1 - sizes[0]["sizeleft"] / sizes[0]["size"]
    return Truth(
        running=sure and 0 < torrent["progress"] < 1 if torrent else False,
        waiting=sure and torrent["progress"] == 0 if torrent else False,
        whole=sure and torrent["progress"] == 1 if torrent else False,
        listed=torrent is not None or any("trackedDownloadState" in one for one in records),
        files=sum(one["size"] > 0 for server in world.about for one in world.of(server, "disk")),
        has=any(_has_all(world, server) for server in world.about),
        queue=frozenset(one.get("trackedDownloadState", "") for one in records),
        last=str(max(events, key=lambda one: (one["date"], one["id"]))["eventType"])
        if events
        else "",
        progress=done,
        known=not world.down,
    )


def _open_records(world: World, server: str) -> list[dict[str, Any]]:
    """Records of the queue for what has no file."""
    there = {one["id"] for one in world.of(server, "episodes") if one["hasFile"]}
    film = any(one["hasFile"] for one in world.of(server, "movie"))
    return [
        record
        for record in world.of(server, "queue")
        if record.get("movieId") or record.get("seriesId")
        if not film and record.get("episodeId") not in there
    ]


def _has_all(world: World, server: str) -> bool:
    if films := world.of(server, "movie"):
        return bool(films[0]["hasFile"])
    rows = [one for one in world.of(server, "episodes") if one["seasonNumber"] == 1]
    return bool(rows) and all(one["hasFile"] for one in rows)
