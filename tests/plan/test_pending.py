"""What becomes of open requests and of our rows for them, by what the services say in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import pytest

from daemon.domain import MediaType, RequestState
from daemon.pending import AttentionKind, PassReason, PendingRow
from daemon.pipeline import (
    ArrPipeline,
    ArrSeason,
    HistoryKind,
    Holding,
    Pipeline,
    SeerrReport,
    ShokoMatch,
    ShokoReport,
    Torrent,
    TorrentReport,
)
from tests.plan.lives import (
    FILM,
    GB,
    OTHER_HASH,
    SEERR_AWAY,
    SERIES,
    Life,
    a_film,
    a_series,
    an_arr,
    away,
    entry,
    episodes,
    event,
    film_request,
    our_series,
    ours,
    seerr,
    series_request,
    torrents,
)

REQUESTED, APPROVED = RequestState.REQUESTED, RequestState.APPROVED
GRABBING, DOWNLOADING = RequestState.GRABBING, RequestState.DOWNLOADING
DOWNLOADED, IMPORTING = RequestState.DOWNLOADED, RequestState.IMPORTING
ANIME_MATCHING, FAILED = RequestState.ANIME_MATCHING, RequestState.FAILED
AVAILABLE, TIMEOUT = RequestState.AVAILABLE, RequestState.TIMEOUT

GRABBED, IMPORTED = HistoryKind.GRABBED, HistoryKind.IMPORTED
MINUTES: Final = timedelta(minutes=2)
WANTED: Final = an_arr(a_film())
EMPTY: Final = an_arr()
NO_SERIES: Final = an_arr(sonarr=True)
NO_TORRENTS: Final = TorrentReport({})
STALLED: Final = "The download is stalled with no connections"


def queued(
    status: str = "downloading", state: str = "downloading", **values: object
) -> ArrPipeline:
    """A Radarr with the film in its queue."""
    return an_arr(a_film(), queue=[entry(status, state, **values)])


def done(state: str = "importPending", **values: object) -> ArrPipeline:
    """A Radarr whose download of the film is finished."""
    return queued("completed", state, left=0, **values)


def told(*history: object, **values: object) -> ArrPipeline:
    """A Radarr with the film in its history."""
    return an_arr(a_film(), history=history, **values)


@dataclass(frozen=True)
class Scene:
    """One pass: what is so, the row that is there, and what becomes of it.

    Attributes:
        said: some of the words that are kept for people.
        calls: for what a person is called, exactly.
        passed: why there is no row.
        looks: passes two minutes apart, all with the same words of the services.
    """

    name: str
    seerr: SeerrReport
    arrs: Sequence[ArrPipeline]
    row: PendingRow | None = None
    state: RequestState | None = None
    said: str = ""
    calls: set[AttentionKind] = field(default_factory=set)
    passed: PassReason | None = None
    torrents: TorrentReport | None = None
    shoko: ShokoReport | None = None
    library: Sequence[Holding] = ()
    looks: int = 1


CALL = AttentionKind
S = seerr(film_request())
SCENES = [
    Scene("a pending request", seerr(film_request(1, 2)), [EMPTY], None, REQUESTED, "approval"),
    Scene("approved and wanted", S, [WANTED], None, APPROVED, "wanted"),
    Scene(
        "approved and not released yet",
        S,
        [an_arr(a_film(released=False))],
        None,
        APPROVED,
        "not released yet",
    ),
    Scene(
        "a request that failed, of which Radarr has nothing",
        seerr(film_request(4)),
        [EMPTY],
        None,
        FAILED,
        "could not send",
        {CALL.SEERR_FAILED},
    ),
    Scene(
        "a request that failed, though Radarr downloads it",
        seerr(film_request(4)),
        [queued()],
        None,
        DOWNLOADING,
        "downloading",
    ),
    Scene("a declined request", seerr(film_request(3, 1)), [EMPTY], passed=PassReason.NOT_OPEN),
    Scene(
        "a completed request of a deleted film",
        seerr(film_request(5, 7)),
        [EMPTY],
        passed=PassReason.NOT_OPEN,
    ),
    Scene("a blocklisted film", seerr(film_request(1, 6)), [EMPTY], passed=PassReason.NOT_OPEN),
    Scene("a deleted film asked for again", seerr(film_request(1, 7)), [EMPTY], None, REQUESTED),
    Scene(
        "a film that Jellyfin has",
        seerr(film_request(1, 5)),
        [an_arr(a_film(has_file=True))],
        library=[Holding(MediaType.MOVIE, FILM)],
        passed=PassReason.IN_LIBRARY,
    ),
    Scene(
        "a film that only Seerr counts as available",
        seerr(film_request(2, 5)),
        [EMPTY],
        calls={CALL.SEERR_AVAILABLE},
        passed=PassReason.SEERR_AVAILABLE,
    ),
    Scene(
        "Seerr is away, and our row goes on by Radarr alone",
        SEERR_AWAY,
        [done()],
        ours(DOWNLOADING),
        DOWNLOADED,
        "to be imported",
    ),
    Scene("Seerr is away, and the row waits", SEERR_AWAY, [WANTED], ours(REQUESTED), REQUESTED),
    Scene(
        "a release waits for its delay",
        S,
        [queued("delay", "", download_id=None, tracked_status="", left=GB)],
        ours(APPROVED),
        APPROVED,
        "delay",
    ),
    Scene(
        "no download client is available",
        S,
        [queued("downloadClientUnavailable", "", download_id=None, left=GB)],
        ours(APPROVED),
        APPROVED,
        "no download client",
        {CALL.RELEASE_HELD},
        looks=2,
    ),
    Scene("queued in the client", S, [queued("queued", left=GB)], ours(APPROVED), GRABBING),
    Scene(
        "a magnet link without metadata",
        S,
        [queued("queued", size=0)],
        ours(APPROVED),
        GRABBING,
        "metaDL",
        torrents=torrents(HASH=Torrent("metaDL", 0.0)),
    ),
    Scene(
        "downloading",
        S,
        [queued(left=GB // 2)],
        ours(GRABBING),
        DOWNLOADING,
        torrents=torrents(HASH=Torrent("downloading", 0.6, 5_000_000, 80, GB)),
    ),
    Scene(
        "stalled before it began, and no torrent is known",
        S,
        [queued("warning", left=GB, messages=(STALLED,))],
        ours(GRABBING),
        GRABBING,
        STALLED,
        {CALL.QUEUE},
        looks=2,
    ),
    Scene(
        "stalled in its middle",
        S,
        [queued("warning", messages=(STALLED,))],
        ours(DOWNLOADING),
        DOWNLOADING,
        STALLED,
        {CALL.QUEUE},
        looks=2,
    ),
    Scene("paused after it began", S, [queued("paused", left=GB)], ours(DOWNLOADING), DOWNLOADING),
    Scene(
        "qBittorrent restarts and checks",
        S,
        [queued("queued", left=GB)],
        ours(DOWNLOADED),
        DOWNLOADED,
        torrents=torrents(HASH=Torrent("checkingResumeData", 0.0, size=GB)),
        looks=4,
    ),
    Scene(
        "the torrent is done, and the queue a minute old",
        S,
        [queued()],
        ours(DOWNLOADING),
        DOWNLOADED,
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
    ),
    Scene("waiting for its import", S, [done()], ours(DOWNLOADING), DOWNLOADED, "to be imported"),
    Scene(
        "an import that needs a person",
        S,
        [done("importBlocked", tracked_status="warning", messages=("Sample",))],
        ours(DOWNLOADED),
        DOWNLOADED,
        "Sample",
        {CALL.IMPORT},
        looks=2,
    ),
    Scene(
        "one reading of a blocked import calls nobody",
        S,
        [done("importBlocked", tracked_status="warning", messages=("Sample",))],
        ours(DOWNLOADED),
        DOWNLOADED,
    ),
    Scene(
        "finished, and tracked as downloading with a warning",
        S,
        [done("downloading", tracked_status="warning", messages=("matched by ID",))],
        ours(DOWNLOADING),
        DOWNLOADED,
        "matched by ID",
        {CALL.IMPORT},
        looks=2,
    ),
    Scene("being imported", S, [done("importing")], ours(DOWNLOADED), IMPORTING, "imported"),
    Scene(
        "imported, and Jellyfin does not show it yet",
        S,
        [an_arr(a_film(has_file=True), history=[event(GRABBED), event(IMPORTED)])],
        ours(DOWNLOADED),
        IMPORTING,
        "Radarr has the file",
    ),
    Scene(
        "usenet is told by the queue alone",
        S,
        [queued(torrent=False, download_id="SABnzbd_nzo_x", left=GB * 3 // 10)],
        ours(GRABBING),
        DOWNLOADING,
        torrents=NO_TORRENTS,
    ),
    Scene(
        "the download client is away, so that the queue is empty",
        S,
        [told(event(GRABBED), client_problems=("Unable to communicate with qBittorrent",))],
        ours(DOWNLOADING),
        DOWNLOADING,
        calls={CALL.CLIENT_AWAY},
        torrents=NO_TORRENTS,
        looks=4,
    ),
    Scene(
        "an entry of the queue that cannot be read may be this download",
        S,
        [told(event(GRABBED), queue_whole=False)],
        ours(DOWNLOADING),
        DOWNLOADING,
        torrents=NO_TORRENTS,
        looks=4,
    ),
    Scene(
        "a torrent that was deleted by hand is doubted first",
        S,
        [told(event(GRABBED))],
        ours(DOWNLOADING),
        DOWNLOADING,
        torrents=NO_TORRENTS,
    ),
    Scene(
        "a torrent that was deleted by hand",
        S,
        [told(event(GRABBED))],
        ours(DOWNLOADING),
        APPROVED,
        "the download is gone",
        {CALL.DOWNLOAD_GONE},
        torrents=NO_TORRENTS,
        looks=2,
    ),
    Scene(
        "a finished torrent that Radarr does not follow",
        S,
        [told(event(GRABBED))],
        ours(DOWNLOADING),
        DOWNLOADED,
        "does not follow",
        {CALL.NOT_IN_QUEUE},
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
        looks=2,
    ),
    Scene(
        "a download that failed a minute ago",
        S,
        [told(event(GRABBED), event(HistoryKind.FAILED, timedelta(minutes=1)))],
        ours(DOWNLOADING),
        DOWNLOADING,
    ),
    Scene(
        "a download that failed an hour ago, and nothing since",
        S,
        [told(event(GRABBED), event(HistoryKind.FAILED, timedelta(hours=1)))],
        ours(APPROVED),
        FAILED,
        "failed",
        {CALL.FAILED},
        looks=2,
    ),
    Scene(
        "grabbed anew after the failure",
        S,
        [queued("queued", left=GB, download_id=OTHER_HASH)],
        ours(FAILED),
        GRABBING,
    ),
    Scene(
        "a better release is grabbed in place of the one that downloads",
        S,
        [queued("queued", left=GB, download_id=OTHER_HASH)],
        ours(DOWNLOADING),
        GRABBING,
    ),
    Scene(
        "a download of another instance in the same category",
        S,
        [
            queued(added=None),
            replace(WANTED, instance="radarr_4k", primary=False, is_4k=True),
        ],
        ours(APPROVED),
        APPROVED,
        "wanted",
    ),
    Scene(
        "a film that is not monitored any more",
        S,
        [an_arr(a_film(monitored=False))],
        ours(APPROVED),
        APPROVED,
        "not monitored",
        {CALL.NOT_MONITORED},
    ),
    Scene(
        "a film that one of two Radarrs looks for",
        S,
        [
            an_arr(a_film(monitored=False)),
            replace(WANTED, instance="radarr_2", primary=False),
        ],
        ours(APPROVED),
        APPROVED,
        "wanted",
    ),
    Scene(
        "a download of which Sonarr cannot tell the episodes",
        seerr(series_request()),
        [
            an_arr(
                a_series((0, 3, 3)),
                queue=[
                    entry(
                        "completed",
                        "importBlocked",
                        left=0,
                        tracked_status="warning",
                        messages=("Unable to parse file",),
                    )
                ],
                history=[event(GRABBED, season=1, episode_id=1)],
            )
        ],
        our_series(DOWNLOADING),
        DOWNLOADED,
        "Unable to parse file",
        {CALL.IMPORT},
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
        looks=4,
    ),
    Scene(
        "another season downloads than the requested one",
        seerr(series_request(seasons=[2])),
        [an_arr(a_series((0, 3, 3), (0, 3, 3)), queue=[entry(season=1, episode_id=1)])],
        our_series(APPROVED, [2]),
        APPROVED,
        "wanted",
    ),
    Scene(
        "one episode is imported, two download",
        seerr(series_request()),
        [
            an_arr(
                a_series((1, 3, 3), episodes=episodes("x--")),
                queue=[entry(season=1, episode_id=number) for number in (2, 3)],
            )
        ],
        our_series(DOWNLOADING),
        DOWNLOADING,
    ),
    Scene(
        "a pack is imported in part, one episode is refused",
        seerr(series_request()),
        [
            an_arr(
                a_series((2, 3, 3), episodes=episodes("xx-")),
                queue=[
                    entry(
                        "completed",
                        "importBlocked",
                        season=1,
                        episode_id=number,
                        left=0,
                        tracked_status="warning",
                        messages=("Not an upgrade for existing episode file(s)",),
                    )
                    for number in (1, 2, 3)
                ],
            )
        ],
        our_series(DOWNLOADING),
        DOWNLOADED,
        "Not an upgrade",
        {CALL.IMPORT},
        looks=2,
    ),
    Scene(
        "all that has aired is there, and more is to come",
        seerr(series_request()),
        [an_arr(a_series((3, 3, 10)))],
        our_series(APPROVED),
        APPROVED,
        "has aired is available",
    ),
    Scene(
        "a new season of a series that is available is requested",
        seerr(series_request(1, 4, [2])),
        [an_arr(a_series((3, 3, 3)))],
        replace(our_series(AVAILABLE, [1]), seerr_id=1, followed=None),
        REQUESTED,
        "waits for approval",
    ),
    Scene(
        "its request is tracked",
        seerr(series_request(1, 4, [2])),
        [an_arr(a_series((3, 3, 3), (0, 3, 3)))],
        replace(our_series(AVAILABLE, [1]), followed=None),
        AVAILABLE,
        passed=PassReason.TRACKED,
    ),
    Scene(
        "a request in 4K is followed in the Radarr for 4K",
        seerr(film_request(is_4k=True)),
        [
            WANTED,
            replace(
                queued(arr_id=7),
                instance="radarr_4k",
                primary=False,
                is_4k=True,
                titles=[a_film(arr_id=7)],
            ),
        ],
        None,
        DOWNLOADING,
    ),
    Scene(
        "one of two instances is away",
        S,
        [WANTED, away(replace(WANTED, instance="radarr_4k", is_4k=True))],
        ours(DOWNLOADING),
        DOWNLOADING,
        looks=4,
    ),
    Scene(
        "a withdrawn request whose film downloads",
        seerr(asked={9: None}),
        [queued()],
        ours(DOWNLOADING),
        DOWNLOADING,
        looks=4,
    ),
    Scene(
        "a row of the tracker's own",
        S,
        [queued()],
        replace(ours(APPROVED), followed=None),
        APPROVED,
        passed=PassReason.TRACKED,
    ),
    Scene(
        "the tracker moved our row on, and the import is blocked",
        S,
        [done("importBlocked", tracked_status="warning", messages=("Sample",))],
        ours(IMPORTING, kept={"written": DOWNLOADED}),
        IMPORTING,
        calls={CALL.IMPORT},
        looks=4,
    ),
    Scene(
        "the tracker gave up, and nothing has moved",
        S,
        [queued("warning", messages=(STALLED,))],
        ours(TIMEOUT, kept={"written": DOWNLOADING, "progress": 0.5}),
        TIMEOUT,
    ),
    Scene(
        "the tracker gave up, but the download goes on",
        S,
        [queued(left=GB * 3 // 10)],
        ours(TIMEOUT, kept={"written": DOWNLOADING, "progress": 0.5}),
        DOWNLOADING,
    ),
    Scene(
        "an imported film that waits for Shoko",
        S,
        [an_arr(a_film(has_file=True, anime=True, files=("/m/a.mkv",)))],
        ours(IMPORTING, kept={"filed": True}),
        ANIME_MATCHING,
        "Shoko has not matched",
        shoko=ShokoReport({"/m/a.mkv": ShokoMatch.UNRECOGNIZED}),
    ),
    Scene(
        "grabbed three seconds ago, neither in the queue nor among the torrents",
        S,
        [told(event(GRABBED, timedelta(seconds=3)))],
        ours(APPROVED),
        GRABBING,
        torrents=NO_TORRENTS,
    ),
    Scene(
        "a usenet download that left the queue",
        S,
        [told(event(GRABBED, download_id="SABnzbd_nzo_x", torrent=False))],
        ours(GRABBING, kept={"download": "SABnzbd_nzo_x", "known": frozenset({"SABnzbd_nzo_x"})}),
        GRABBING,
        torrents=NO_TORRENTS,
        looks=4,
    ),
    Scene(
        "a usenet download that left the queue an hour ago",
        S,
        [told(event(GRABBED, timedelta(hours=2), download_id="SABnzbd_nzo_x", torrent=False))],
        ours(GRABBING, kept={"download": "SABnzbd_nzo_x", "known": frozenset({"SABnzbd_nzo_x"})}),
        APPROVED,
        "Radarr does not follow the download any more",
        {CALL.NOT_IN_QUEUE},
        torrents=NO_TORRENTS,
        looks=6,
    ),
    Scene(
        "a torrent that left the queue an hour ago, and no list of torrents is to be had",
        S,
        [told(event(GRABBED, timedelta(hours=2)))],
        None,
        APPROVED,
        "Radarr does not follow the download any more",
        {CALL.NOT_IN_QUEUE},
        looks=6,
    ),
    Scene(
        "a request of which something was grabbed, while the download client is away",
        S,
        [told(event(GRABBED), client_problems=("Unable to communicate",))],
        None,
        GRABBING,
        "grabbed",
        torrents=NO_TORRENTS,
    ),
    Scene(
        "a better file of a whole season is grabbed, and not in the queue yet",
        seerr(series_request()),
        [
            an_arr(
                a_series((3, 3, 3)),
                history=[event(GRABBED, timedelta(seconds=3), episode_id=1, season=1)],
            )
        ],
        our_series(IMPORTING, kept={"filed": True}),
        IMPORTING,
        "has the file",
    ),
    Scene(
        "a torrent of another client that left the queue an hour ago",
        S,
        [
            told(
                event(GRABBED, timedelta(hours=2)),
                queue=[entry(arr_id=2, download_id=OTHER_HASH)],
            )
        ],
        ours(DOWNLOADING),
        APPROVED,
        "Radarr does not follow the download any more",
        {CALL.NOT_IN_QUEUE},
        torrents=NO_TORRENTS,
        looks=2,
    ),
    Scene(
        "a torrent that left the queue an hour ago, while qBittorrent is away",
        S,
        [told(event(GRABBED, timedelta(hours=2)))],
        ours(DOWNLOADING),
        DOWNLOADING,
        torrents=TorrentReport(),
        looks=6,
    ),
    Scene(
        "the torrents are those of another client",
        S,
        [told(event(GRABBED), queue=[entry(arr_id=2, download_id=OTHER_HASH)])],
        ours(DOWNLOADING),
        DOWNLOADING,
        torrents=NO_TORRENTS,
        looks=4,
    ),
    Scene(
        "Radarr was started half a minute ago",
        S,
        [told(event(GRABBED), started=event(GRABBED, timedelta(seconds=30)).date)],
        ours(DOWNLOADED),
        DOWNLOADED,
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
    ),
    Scene(
        "a pack of a season that airs, wholly imported as far as it goes",
        seerr(series_request()),
        [
            an_arr(
                a_series((3, 3, 6), episodes=episodes("xxx---", aired=3)),
                queue=[
                    entry(
                        "completed",
                        "importBlocked",
                        season=1,
                        episode_id=number,
                        left=0,
                        tracked_status="warning",
                        messages=("Episode file already imported",),
                    )
                    for number in range(1, 7)
                ],
                history=[
                    one
                    for number in (1, 2, 3)
                    for one in (
                        event(GRABBED, episode_id=number, season=1),
                        event(IMPORTED, episode_id=number, season=1),
                    )
                ],
            )
        ],
        our_series(IMPORTING),
        APPROVED,
        "has aired is available",
    ),
    Scene(
        "a file that is being replaced before its season is whole",
        seerr(series_request()),
        [
            an_arr(
                a_series((2, 3, 3), episodes=episodes("-xx")),
                queue=[entry("completed", "importing", season=1, episode_id=1, left=0)],
                history=[
                    event(GRABBED, episode_id=1, season=1),
                    event(
                        HistoryKind.FILE_DELETED,
                        timedelta(seconds=9),
                        episode_id=1,
                        season=1,
                        reason="Upgrade",
                        download_id=None,
                    ),
                ],
            )
        ],
        our_series(IMPORTING),
        IMPORTING,
        "replaced",
    ),
    Scene(
        "a film is imported that this Radarr never grabbed",
        S,
        [
            WANTED,
            replace(done(added=None), instance="radarr_2", primary=False),
        ],
        ours(APPROVED),
        DOWNLOADED,
    ),
    Scene(
        "a pending season of a series that Sonarr has",
        seerr(series_request(1, 3, [2])),
        [an_arr(a_series((3, 3, 3)))],
        None,
        REQUESTED,
        "waits for approval",
    ),
    Scene(
        "a pending film that Radarr monitors",
        seerr(film_request(1)),
        [WANTED],
        None,
        REQUESTED,
        "Radarr searches already",
    ),
    Scene(
        "an approved season that is not monitored",
        seerr(series_request(2, 1, [3])),
        [an_arr(a_series(seasons={3: ArrSeason(monitored=False, files=0, due=0, total=8)}))],
        None,
        APPROVED,
        "season 3 is not monitored",
        {CALL.NOT_MONITORED},
    ),
    Scene(
        "a new season of an available series that Seerr never sent",
        seerr(series_request(2, 5, [2])),
        [
            an_arr(
                a_series(
                    seasons={
                        1: ArrSeason(monitored=True, files=3, due=3, total=3),
                        2: ArrSeason(monitored=False, files=0, due=0, total=3),
                    }
                )
            )
        ],
        replace(our_series(AVAILABLE, [1]), seerr_id=1, followed=None),
        APPROVED,
        "Seerr counts the series as available and sent nothing",
        {CALL.NOT_MONITORED},
    ),
    Scene(
        "a plain request that only the Radarr for 4K knows",
        S,
        [EMPTY, replace(queued(), instance="radarr_4k", primary=False, is_4k=True)],
        None,
        DOWNLOADING,
    ),
    Scene(
        "a request in no list that Seerr still has",
        seerr(asked={9: film_request().status}),
        [EMPTY],
        ours(APPROVED),
        APPROVED,
        looks=4,
    ),
    Scene(
        "a request that Seerr completed by Radarr's file",
        seerr(asked={9: film_request(5).status}),
        [an_arr(a_film(has_file=True))],
        ours(DOWNLOADED),
        IMPORTING,
    ),
    Scene(
        "a mapping error of another client stands in health",
        S,
        [told(event(GRABBED, client="qBittorrent"), client_problems=("SABnzbd is away",))],
        ours(DOWNLOADING),
        APPROVED,
        "the download is gone",
        {CALL.DOWNLOAD_GONE, CALL.CLIENT_AWAY},
        torrents=NO_TORRENTS,
        looks=2,
    ),
    Scene(
        "one episode is refused, another downloads",
        seerr(series_request()),
        [
            an_arr(
                a_series((0, 2, 2), episodes=episodes("--")),
                queue=[
                    entry(
                        "completed",
                        "importBlocked",
                        season=1,
                        episode_id=1,
                        left=0,
                        download_id=OTHER_HASH,
                        tracked_status="warning",
                        messages=("Sample",),
                    ),
                    entry(season=1, episode_id=2),
                ],
            )
        ],
        our_series(DOWNLOADING),
        DOWNLOADING,
        "downloading",
        {CALL.IMPORT},
        looks=2,
    ),
    Scene(
        "Shoko is away while a row waits for it",
        S,
        [an_arr(a_film(has_file=True, anime=True, files=("/m/a.mkv",)))],
        ours(ANIME_MATCHING, kept={"filed": True}),
        ANIME_MATCHING,
        shoko=ShokoReport(None),
        looks=4,
    ),
    Scene(
        "a magnet link that nobody resolves",
        S,
        [queued("warning", size=0, messages=("cannot resolve magnet link",))],
        ours(GRABBING),
        GRABBING,
        torrents=torrents(HASH=Torrent("metaDL", 0.0)),
        looks=2,
    ),
    Scene(
        "a word that nobody knows says nothing",
        S,
        [queued("someday", "somehow", left=GB)],
        ours(DOWNLOADING),
        DOWNLOADING,
        torrents=torrents(HASH=Torrent("shining", 0.0)),
        looks=4,
    ),
    Scene(
        "a season of which Sonarr was not told, since Seerr could not send it",
        seerr(series_request(4, 4, [2])),
        [an_arr(a_series((3, 3, 3)))],
        None,
        FAILED,
        "could not send",
        {CALL.SEERR_FAILED},
    ),
    Scene(
        "a failed request while one Radarr is away",
        seerr(film_request(4)),
        [EMPTY, away(replace(EMPTY, instance="radarr_4k"))],
        passed=PassReason.UNCERTAIN,
    ),
    Scene(
        "two seasons are asked for, and Sonarr knows one of them",
        seerr(series_request(seasons=[1, 2])),
        [an_arr(a_series((3, 3, 3)))],
        None,
        APPROVED,
        "aired is available",
        {CALL.NOT_MONITORED},
    ),
    Scene(
        "a season that Jellyfin has is not waited for",
        seerr(series_request(seasons=[1, 2])),
        [
            an_arr(
                a_series(
                    seasons={
                        1: ArrSeason(monitored=False, files=0, due=0, total=3),
                        2: ArrSeason(monitored=True, files=0, due=3, total=3),
                    }
                )
            )
        ],
        our_series(APPROVED, [1, 2]),
        APPROVED,
        "wanted",
        library=[Holding(MediaType.TV, SERIES, frozenset({1}))],
    ),
    Scene(
        "a season that is whole is not downloading, whatever better file is fetched",
        seerr(series_request()),
        [an_arr(a_series((3, 3, 3)), queue=[entry(season=1, episode_id=1)])],
        our_series(IMPORTING, kept={"filed": True}),
        IMPORTING,
        "has the file",
    ),
    Scene(
        "a pending request of a film of which a release waits",
        seerr(film_request(1)),
        [queued("delay", "", download_id=None, tracked_status="", left=GB)],
        None,
        REQUESTED,
        "delay",
    ),
    Scene(
        "a release waits after another one failed",
        S,
        [
            told(
                event(GRABBED),
                event(HistoryKind.FAILED, timedelta(hours=1)),
                queue=[entry("delay", "", download_id=None, left=GB)],
            )
        ],
        ours(APPROVED),
        APPROVED,
        "delay",
        looks=3,
    ),
    Scene(
        "one look at a missing download client calls nobody",
        S,
        [queued("downloadClientUnavailable", "", download_id=None, left=GB)],
        ours(APPROVED),
        APPROVED,
        "no download client",
    ),
    Scene(
        "somebody told Radarr to ignore the download",
        S,
        [told(event(GRABBED), event(HistoryKind.IGNORED, timedelta(0)))],
        ours(DOWNLOADING),
        APPROVED,
        "set to ignore",
        {CALL.IGNORED},
        torrents=torrents(HASH=Torrent("downloading", 0.6, 9, 9, GB)),
    ),
    Scene(
        "a finished torrent is missing from a queue of which nothing else is known",
        S,
        [told(event(GRABBED), started=None)],
        ours(DOWNLOADING),
        DOWNLOADED,
        "to be imported",
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
        looks=6,
    ),
    Scene(
        "a torrent that was finished as soon as it was grabbed",
        S,
        [told(event(GRABBED, timedelta(seconds=3)))],
        ours(APPROVED),
        DOWNLOADED,
        "to be imported",
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
    ),
    Scene(
        "a finished torrent is moved to another folder",
        S,
        [queued()],
        ours(GRABBING),
        DOWNLOADED,
        torrents=torrents(HASH=Torrent("moving", 1.0, size=GB)),
    ),
    Scene(
        "a file is being replaced, and neither a queue nor a row tells of it",
        S,
        [told(event(HistoryKind.FILE_DELETED, reason="Upgrade", download_id=None))],
        None,
        IMPORTING,
        "replaced by a better file",
    ),
    Scene(
        "a file was to be replaced seven hours ago, and nothing came",
        S,
        [
            told(
                event(
                    HistoryKind.FILE_DELETED,
                    timedelta(hours=7),
                    reason="Upgrade",
                    download_id=None,
                )
            )
        ],
        None,
        APPROVED,
        "wanted",
    ),
    Scene(
        "the history does not reach back to the grab of a torrent that is done",
        S,
        [WANTED],
        ours(DOWNLOADING),
        DOWNLOADED,
        "does not follow",
        {CALL.NOT_IN_QUEUE},
        torrents=torrents(HASH=Torrent("stalledUP", 1.0, size=GB)),
        looks=2,
    ),
    Scene(
        "a film that is no anime lies in a folder of Shoko's",
        S,
        [an_arr(a_film(has_file=True, files=("/m/a.mkv",)))],
        ours(IMPORTING, kept={"filed": True}),
        IMPORTING,
        "has the file",
        shoko=ShokoReport({"/m/a.mkv": ShokoMatch.UNRECOGNIZED}),
    ),
    Scene(
        "a download fails in a Radarr that leaves it at that",
        S,
        [queued("failed", "failedPending", messages=("needs a password",))],
        ours(APPROVED),
        FAILED,
        "the download failed: needs a password",
        {CALL.FAILED},
        looks=7,
    ),
    Scene(
        "a download that fits no title of its own Radarr is known to another",
        S,
        [
            queued(),
            an_arr(
                instance="radarr_2",
                primary=False,
                queue=[entry("completed", "importBlocked", arr_id=None, added=None)],
            ),
        ],
        ours(DOWNLOADING),
        DOWNLOADING,
    ),
    Scene(
        "an import that was never grabbed, and a client that cannot be reached",
        S,
        [an_arr(a_film(), client_problems=("Unable to communicate",))],
        ours(DOWNLOADED, kept={"download": None}),
        DOWNLOADED,
        calls={CALL.CLIENT_AWAY},
        looks=4,
    ),
    Scene(
        "half a list has only the request of two that is not approved",
        replace(seerr(film_request(1)), whole=False),
        [WANTED],
        ours(APPROVED, kept={"requests": frozenset({9, 12})}),
        APPROVED,
        looks=4,
    ),
    Scene(
        "an imported film whose file was deleted at once",
        S,
        [
            told(
                event(GRABBED),
                event(IMPORTED, timedelta(minutes=1)),
                event(HistoryKind.FILE_DELETED, timedelta(0), download_id=None),
            )
        ],
        ours(DOWNLOADED),
        DOWNLOADED,
    ),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_row_says_what_is_so(scene: Scene) -> None:
    """Its state, the words for it, and whether a person is called."""
    life = Life.of(*[scene.row] if scene.row else [])
    pipeline = Pipeline(scene.seerr, scene.arrs, scene.torrents, scene.shoko, scene.library)
    for number in range(scene.looks):
        life.look(pipeline, MINUTES if number else timedelta())
    newest = max(life.rows, default=0)
    assert (life.rows[newest].state if newest else None) is scene.state
    assert life.calls == scene.calls
    if scene.passed:
        assert {one.reason for one in life.last.passed_over} == {scene.passed}
    kept = life.rows[newest].followed if newest else None
    assert scene.said in (kept.why if kept else "")
    assert all(row.state is not AVAILABLE or row is scene.row for row in life.rows.values())
