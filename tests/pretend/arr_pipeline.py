"""What the pretend Radarr and Sonarr say of titles on their way: queue, history, episodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.pretend.library import SonarrSeries
from tests.pretend.pipeline import Download, Event, Pipeline, episode_id, episodes
from tests.pretend.wire import reply, template

_INDEXER = "Pretend Indexer"
_AIRED = "2024-01-03T00:00:00Z"
_SPEED = 5_000_000
_COMING = "2099-01-03T00:00:00Z"
_JSON = {"Content-Type": "application/json; charset=utf-8", "Vary": "Accept-Encoding"}


def extend(made: web.Application, pipeline: Pipeline, instance: str) -> None:
    """Let a Radarr or Sonarr answer what is asked about titles on their way."""

    def add(path: str, tell: Callable[[web.Request], object]) -> None:
        async def show(request: web.Request) -> web.StreamResponse:
            text = json.dumps(tell(request), indent=2, ensure_ascii=False)
            return await reply(request, [text.encode()], _JSON)

        made.router.add_get(f"/api/v3/{path}", show, allow_head=False)

    def series(request: web.Request) -> SonarrSeries:
        known: SonarrSeries = pipeline.world.known_to(instance)[int(request.query["seriesId"])]
        return known

    add("queue/details", lambda _: queue(pipeline, instance))
    add("history/since", lambda asked: history(pipeline, instance, _since(asked.query["date"])))
    add("health", lambda _: [])
    if instance.startswith("sonarr"):
        add("episode", lambda request: episode_list(series(request)))
        add("episodefile", lambda request: files(series(request)))


def queue(pipeline: Pipeline, instance: str) -> list[dict[str, Any]]:
    """The whole queue, for each episode of a pack once."""
    waiting = (
        (number, download)
        for number, download in enumerate(pipeline.downloads.values(), 1)
        if download.instance == instance and not download.imported
    )
    return [
        _queued(download, episode, number * 100 + (episode or 0))
        for number, download in waiting
        for episode in episodes(download)
    ]


def history(pipeline: Pipeline, instance: str, since: datetime) -> list[dict[str, Any]]:
    """What happened since a time, the oldest first."""
    return [
        _event(event, number)
        for number, event in enumerate(pipeline.history, 1)
        if event.download.instance == instance and event.date >= since
    ]


def episode_list(known: SonarrSeries) -> list[dict[str, Any]]:
    """Every episode that its seasons count; the first ones have files, the last are to come."""
    return [
        {
            **template("sonarr_episode"),
            "seriesId": known.id,
            "episodeFileId": episode_id(known.id, season.number, number) * there,
            "seasonNumber": season.number,
            "episodeNumber": number,
            "title": f"Episode {number}",
            "airDate": date[:10],
            "airDateUtc": date,
            "hasFile": there,
            "monitored": season.monitored,
            "id": episode_id(known.id, season.number, number),
        }
        for season in known.seasons
        for number in range(1, season.total + 1)
        for there in [number <= season.files]
        for date in [_AIRED if number <= season.aired else _COMING]
    ]


def files(known: SonarrSeries) -> list[dict[str, Any]]:
    """The files of a series."""
    return [
        {
            "seriesId": known.id,
            "seasonNumber": season.number,
            "path": f"{known.series.season_path(season.number)}/{known.series.title} "
            f"S{season.number:02}E{number:02}.mkv",
            "dateAdded": _time(datetime.now(UTC)),
            "id": episode_id(known.id, season.number, number),
        }
        for season in known.seasons
        for number in range(1, season.files + 1)
    ]


def _since(text: str) -> datetime:
    """A time of a question; without a zone it is the server's own."""
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(download: Download, episode: int | None) -> dict[str, int]:
    if download.season is None or episode is None:
        return {"movieId": download.known}
    number = episode_id(download.known, download.season, episode)
    return {"seriesId": download.known, "episodeId": number, "seasonNumber": download.season}


def _queued(download: Download, episode: int | None, number: int) -> dict[str, Any]:
    left = int(download.size * (1 - download.progress))
    words = [{"title": download.release, "messages": list(download.messages)}]
    record = {
        **_place(download, episode),
        **template("arr_queue"),
        "size": download.size,
        "title": download.release,
        "added": _time(download.added),
        "status": _status(download),
        "trackedDownloadStatus": "warning" if download.messages else "ok",
        "trackedDownloadState": download.tracked,
        "statusMessages": words if download.messages else [],
        "downloadId": download.hash.upper(),
        "indexer": _INDEXER,
        "sizeleft": left,
        "timeleft": str(timedelta(seconds=left // _SPEED)).zfill(8),
        "id": number,
    }
    if download.state != "downloading" and download.progress < 1:  # nobody knows
        del record["timeleft"], record["estimatedCompletionTime"]
    return record


def _status(download: Download) -> str:
    if download.progress >= 1:
        return "completed"
    return {"downloading": "downloading", "stoppedDL": "paused", "stalledDL": "warning"}.get(
        download.state, "queued"
    )


def _event(event: Event, number: int) -> dict[str, Any]:
    shape = template("arr_event")
    download = event.download
    place = _place(download, event.episode)
    season = place.pop("seasonNumber", None)
    data = {**shape["data"], "indexer": _INDEXER, "size": str(download.size)}
    if event.kind != "grabbed":
        data = {key: value for key, value in data.items() if key not in {"guid", "protocol"}}
    if event.kind.endswith("FileDeleted"):
        data["reason"] = "Upgrade"
    return {
        **place,
        **shape,
        **({} if season is None else {"episode": {"seasonNumber": season}}),
        "sourceTitle": download.release,
        "date": _time(event.date),
        "downloadId": download.hash.upper(),
        "eventType": event.kind,
        "data": data,
        "id": number,
    }
