"""Seerr: which requests are open, as a real one lists them, and what is made of odd ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.domain import Ids, ItemError, MediaType
from daemon.errors import (
    BrokenServiceError,
    CutShortError,
    NotJsonError,
    RefusedKeyError,
    ServiceError,
    StartingError,
    WrongServiceError,
)
from daemon.pipeline import SeerrMedia, SeerrRequest, SeerrStatus, SeerrTitle
from daemon.services.seerr import OpenRequests, SeerrClient
from tests.upstream import JSON, Act, Asked, Upstream, exchanged, http, recorded, reply

NOTHING = exchanged("seerr", "empty list")


def play(name: str) -> bytes:
    """A recorded reply of Seerr."""
    return exchanged("seerr", name)


def rows(name: str) -> list[dict[str, Any]]:
    """The records of a recorded list."""
    found: list[dict[str, Any]] = json.loads(recorded("seerr", "exchanges")[name]["body"])[
        "results"
    ]
    return found


def page(records: list[Any], total: int | None = None, tag: str = "") -> bytes:
    """A page of a list."""
    info = {"pages": 1, "pageSize": 200, "results": len(records) if total is None else total}
    body = json.dumps({"pageInfo": info, "results": records, "serviceErrors": {}}).encode()
    return reply(body=body, headers={**JSON, "ETag": tag} if tag else JSON)


def lists(**pages: bytes) -> Callable[[Asked], Act]:
    """Answers each list with a page, or with nothing."""
    return lambda asked: pages.get(asked.query["filter"], NOTHING)


async def opened(acts: list[Act] | Callable[[Asked], Act]) -> OpenRequests:
    """What a client makes of a Seerr's lists."""
    async with Upstream(acts) as upstream, http(upstream.url, "Seerr") as asking:
        return await SeerrClient(asking).open_requests()


async def test_the_open_requests_of_a_real_seerr() -> None:
    """All of them, each with what it is about and how far Seerr has come with it."""
    found = await opened(lambda asked: play(asked.query["filter"]))
    assert (len(found.requests), found.defects, found.whole) == (7 + 7 + 23, [], True)
    by_id = {request.id: request for request in found.requests}
    assert by_id[44] == SeerrRequest(
        id=44,
        media_type=MediaType.TV,
        ids=by_id[44].ids,
        status=SeerrStatus.PENDING,
        media=SeerrMedia.PROCESSING,
        created_at=datetime.fromisoformat(rows("pending")[3]["createdAt"]).astimezone(UTC),
        requested_by="bob",
        seasons=frozenset({2}),
        sent=True,
    )
    assert by_id[56].ids == Ids(tmdb=121)
    assert by_id[44].ids.tvdb is not None
    assert (by_id[46].status, by_id[46].sent) == (SeerrStatus.FAILED, False)
    assert by_id[49].seasons == {1, 2}
    assert (by_id[41].status, by_id[41].media) == (SeerrStatus.APPROVED, SeerrMedia.AVAILABLE)


async def test_a_request_in_4k_is_told_by_its_own_numbers() -> None:
    """The status and the server of its 4K version count, not those of the other one."""
    found = await opened(lambda asked: play(asked.query["filter"]))
    by_id = {request.id: request for request in found.requests if request.is_4k}
    assert {number: (one.media, one.sent) for number, one in by_id.items()} == {
        31: (SeerrMedia.PENDING, False),
        34: (SeerrMedia.PROCESSING, True),
        32: (SeerrMedia.PROCESSING, False),
    }


async def test_the_lists_are_read_in_an_order_that_misses_nothing() -> None:
    """What is approved between two lists is in both, and counts as it was seen last."""
    [waiting] = rows("pending")[:1]
    approved = {**waiting, "status": 2}
    acts: list[Act] = [page([waiting]), NOTHING, page([approved])]
    async with Upstream(acts) as upstream, http(upstream.url, "Seerr") as asking:
        found = await SeerrClient(asking).open_requests()
    assert [(one.id, one.status) for one in found.requests] == [(56, SeerrStatus.APPROVED)]
    assert [asked.query["filter"] for asked in upstream.asked] == ["pending", "failed", "approved"]
    assert {(asked.path, asked.query["take"], asked.query["skip"]) for asked in upstream.asked} == {
        ("/api/v1/request", "200", "0")
    }
    assert "x-api-user" not in upstream.asked[0].headers


async def test_what_has_not_changed_is_not_sent_again() -> None:
    """The tag of each list goes with the next question, and 304 means the same as before."""
    tag = recorded("seerr", "exchanges")["tagged"]["headers"]["ETag"]

    def act(asked: Asked) -> Act:
        if asked.query["filter"] != "pending":
            return NOTHING
        return play("unchanged" if asked.headers.get("if-none-match") == tag else "tagged")

    async with Upstream(act) as upstream, http(upstream.url, "Seerr") as asking:
        client = SeerrClient(asking)
        first = await client.open_requests()
        again = await client.open_requests()
        upstream.acts = lists(pending=play("changed"))
        later = await client.open_requests()
    assert first.whole
    assert again == first
    assert (len(first.requests), len(later.requests)) == (4, 3)
    tags = [asked.headers.get("if-none-match") for asked in upstream.asked]
    assert (tags[0], tags[3], tags[6]) == (None, tag, tag)


async def test_many_requests_are_read_page_by_page() -> None:
    """Up to the total that Seerr gives."""
    many = [{**rows("pending")[0], "id": number} for number in range(1, 451)]

    def act(asked: Asked) -> Act:
        if asked.query["filter"] != "pending":
            return NOTHING
        skip = int(asked.query["skip"])
        return page(many[skip : skip + 200], total=450)

    found = await opened(act)
    assert (len(found.requests), found.whole) == (450, True)


def moving(settled: bool) -> Callable[[Asked], Act]:
    """A list of 300 whose rows move down by one while it is read: once, or each time."""
    many = [{**rows("pending")[0], "id": number} for number in range(300, 0, -1)]
    news = 0

    def act(asked: Asked) -> Act:
        nonlocal news
        skip = int(asked.query["skip"])
        if asked.query["filter"] != "pending":
            return NOTHING
        if skip and not (settled and news):
            news += 1
            many.insert(0, {**many[0], "id": 300 + news})
        return page(many[skip : skip + 200], total=len(many))

    return act


async def test_rows_that_move_while_they_are_read_cost_a_second_reading() -> None:
    """What comes again on the next page shows that something was missed."""
    found = await opened(moving(settled=True))
    assert (len(found.requests), found.whole) == (301, True)


async def test_a_list_that_never_agrees_with_its_count_is_not_whole() -> None:
    """What was read counts, and nothing is called gone by it; nobody reads for ever."""
    asking = moving(settled=False)
    found = await opened(asking)
    assert (len(found.requests) >= 300, found.whole) == (True, False)


async def test_a_request_that_is_deleted_between_two_pages_is_noticed() -> None:
    """Another one moves onto the page that was read already, and the numbers agree by chance."""
    many = [{**rows("pending")[0], "id": number} for number in range(300, 0, -1)]

    def act(asked: Asked) -> Act:
        skip = int(asked.query["skip"])
        if asked.query["filter"] != "pending":
            return NOTHING
        if skip and len(many) == 300:
            del many[0]
        return page(many[skip : skip + 200], total=len(many))

    found = await opened(act)
    assert (sorted(one.id for one in found.requests), found.whole) == ([*range(1, 300)], True)


async def test_recorded_pages_between_which_a_request_was_made_do_not_agree() -> None:
    """The last row of the first page came again as the first of the second."""
    first, second = (rows(name) for name in ("page 1", "page 2 after a new request"))
    assert first[-1]["id"] == second[0]["id"]
    found = await opened(lists(pending=page(first + second, total=12)))
    assert (len(found.requests), found.whole) == (9, False)


@pytest.mark.parametrize(
    ("number", "status"), [(0, 0), (8, 0), (99, 0), (-1, 0), ("2", 0), (None, 0), (True, 0), (4, 4)]
)
async def test_a_status_that_nobody_knows_is_not_understood(number: Any, status: int) -> None:
    """It is never taken for another one, neither of the request nor of its title."""
    row = rows("pending")[0]
    odd = {**row, "status": number, "media": {**row["media"], "status": number}}
    found = await opened(lists(pending=page([odd])))
    [request] = found.requests
    assert (request.status, request.media) == (SeerrStatus(status), SeerrMedia(status))
    assert (found.defects, found.whole) == ([], True)


WITHOUT_IDS = {"tmdbId": None, "tvdbId": 0, "imdbId": ""}
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "no ids": ({"media": WITHOUT_IDS}, "it is of no film and of no series, or of no time"),
    "a song": ({"type": "music"}, "it is of no film and of no series, or of no time"),
    "no season": ({"type": "tv"}, "it is of a series, and of none of its seasons"),
    "no number": (
        {"type": "tv", "seasons": [{"status": 2}, {"seasonNumber": None}]},
        "it is of a series, and of none of its seasons",
    ),
    "odd seasons": ({"type": "tv", "seasons": [{"seasonNumber": "1"}]}, "its seasons is not"),
    "odd 4K": ({"is4k": "yes"}, "its is4k is not understood"),
    "no media": ({"media": None}, "Expected `object`, got `null` - at `$.media`"),
    "no date": ({"createdAt": "yesterday"}, "Invalid RFC3339 encoded datetime"),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_request_that_cannot_be_used_is_named(name: str) -> None:
    """The others count, and the list is not whole; a second reading would not help."""
    values, reason = ODD[name]
    good, row = rows("pending")[:2]
    act = lists(pending=page([{**row, **values}, good]))
    async with Upstream(act) as upstream, http(upstream.url, "Seerr") as asking:
        found = await SeerrClient(asking).open_requests()
    assert len(upstream.asked) == 3
    assert [request.id for request in found.requests] == [good["id"]]
    [defect] = found.defects
    assert (defect.service, defect.lost, found.whole) == ("Seerr", True, False)
    assert defect.reason.startswith(reason)


async def test_an_odd_value_costs_only_itself() -> None:
    """A number that is none is not known; the rest of the request is used."""
    row = rows("pending")[0]
    media = {**row["media"], "tvdbId": "x", "imdbId": 7}
    odd = {**row, "requestedBy": {"displayName": 7}, "media": media}
    found = await opened(lists(pending=page([odd])))
    [request] = found.requests
    assert (request.ids, request.requested_by) == (Ids(121), None)
    said = ItemError("Seerr", "56", "its requestedBy is not understood", lost=False)
    assert (found.defects, found.whole) == ([said], True)


async def test_a_season_without_a_number_costs_only_itself() -> None:
    """What is asked for besides is still asked for."""
    row = next(row for row in rows("approved") if row["id"] == 49)
    found = await opened(lists(approved=page([{**row, "seasons": [*row["seasons"], {"id": 1}]}])))
    assert [request.seasons for request in found.requests] == [{1, 2}]


async def test_no_mail_address_leaves_the_client() -> None:
    """Nor does an avatar; who has no name of their own is not shown by the address either."""
    row = rows("pending")[0]
    nameless = {**row["requestedBy"], "displayName": "erin.doe@example.org"}
    broken = {**row, "id": 57, "createdAt": "erin.doe@example.org"}
    acts = lists(pending=page([{**row, "requestedBy": nameless}, broken]), failed=play("failed"))
    found = await opened(acts)
    assert found.requests[0].requested_by == "erin.doe"
    said = repr(found)
    assert [word for word in ("example.org", "gravatar", "avatar") if word in said] == []


async def test_one_request_tells_its_status_or_that_it_is_gone() -> None:
    """Gone is only what Seerr itself says is not there."""
    acts = [play(name) for name in ("declined", "completed", "unknown request")]
    async with Upstream(list(acts)) as upstream, http(upstream.url, "Seerr") as asking:
        client = SeerrClient(asking)
        told = [await client.status_of(number) for number in (6, 5, 99999)]
    assert told == [SeerrStatus.DECLINED, SeerrStatus.COMPLETED, None]
    assert [asked.path for asked in upstream.asked][:2] == [
        "/api/v1/request/6",
        "/api/v1/request/5",
    ]


@pytest.mark.parametrize(
    "act",
    [
        play("unknown path"),
        reply(404, b"<html>404</html>", {"Content-Type": "text/html"}),
        reply(404, headers={}),
        reply(404, b'{"error": "no route"}'),
    ],
)
async def test_a_404_of_another_service_withdraws_nothing(act: bytes) -> None:
    """An address that is wrong by now must not make a request look deleted."""
    async with Upstream([act]) as upstream, http(upstream.url, "Seerr") as asking:
        with pytest.raises(WrongServiceError, match="HTTP 404"):
            await SeerrClient(asking).status_of(5)


async def test_what_titles_are_called() -> None:
    """A film and a series, with the poster's address at TMDB; of a series its TVDB id, too."""
    acts: list[Act] = [play("movie"), play("tv")]
    async with Upstream(acts) as upstream, http(upstream.url, "Seerr") as asking:
        client = SeerrClient(asking)
        film = await client.title(MediaType.MOVIE, 603)
        series = await client.title(MediaType.TV, 1396)
    assert film == SeerrTitle(
        title="The Matrix",
        year=1999,
        overview="Overview of The Matrix.",
        poster_url="https://image.tmdb.org/t/p/w500/poster.jpg",
    )
    assert (series.title, series.tvdb) == ("Breaking Bad", 81189)
    assert [asked.path for asked in upstream.asked] == ["/api/v1/movie/603", "/api/v1/tv/1396"]


async def test_a_title_that_tmdb_does_not_tell_is_an_error() -> None:
    """It is never a title without a name."""
    async with Upstream([play("TMDB away")]) as upstream, http(upstream.url, "Seerr") as asking:
        with pytest.raises(BrokenServiceError):
            await SeerrClient(asking).title(MediaType.MOVIE, 680)


async def test_the_check_proves_the_key() -> None:
    """The version is told to anybody, so that a list is asked for, too."""
    acts: list[Act] = [play("status"), play("pending")]
    async with Upstream(acts) as upstream, http(upstream.url, "Seerr") as asking:
        assert await SeerrClient(asking).check() == "version 3.1.0"
    assert [asked.path for asked in upstream.asked] == ["/api/v1/status", "/api/v1/request"]


@pytest.mark.parametrize(
    ("refusal", "settings", "kind", "words"),
    [
        ("wrong key", "settings", RefusedKeyError, "HTTP 403; make a new API key"),
        ("no key", "settings", RefusedKeyError, "HTTP 401; make a new API key"),
        ("not set up", "settings before set-up", StartingError, "it is not set up yet; sign in"),
    ],
)
async def test_a_wrong_key_is_told_from_a_seerr_that_is_not_set_up(
    refusal: str, settings: str, kind: type[ServiceError], words: str
) -> None:
    """Both are 403; what Seerr tells anybody tells which."""

    def act(asked: Asked) -> Act:
        return play(settings if asked.path.endswith("/settings/public") else refusal)

    with pytest.raises(kind, match=words):
        await opened(act)


async def test_a_seerr_is_known_by_what_it_made_for_itself() -> None:
    """The key for its notifications is its own; another one, or one set up anew, has another."""
    said = recorded("seerr", "exchanges")["settings"]
    told: list[str] = []
    for key in ("BPublicKeyOne", "BPublicKeyTwo", "BPublicKeyOne", ""):
        body = said["body"].replace("<redacted>", key).encode()
        async with Upstream([reply(body=body)]) as upstream, http(upstream.url, "Seerr") as asking:
            told.append(await SeerrClient(asking).identity())
    assert told[0] == told[2] != told[1]
    assert (told[3], "BPublicKey" in told[0]) == ("", False)


async def test_the_sign_in_page_is_not_followed() -> None:
    """A wrong path of Seerr leads there; that is a wrong address, never an empty list."""
    with pytest.raises(WrongServiceError, match="HTTP 307"):
        await opened([play("root")])


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"null", b'{"results": []}', b'{"pageInfo": {}, "results": []}', b""]
)
async def test_what_is_no_list_of_requests_is_not_empty(body: bytes) -> None:
    """Another shape is an error."""
    with pytest.raises(NotJsonError):
        await opened([reply(body=body)])


async def test_half_a_page_is_no_page() -> None:
    """A page that ends cleanly in its midst gives no requests at all."""
    text = recorded("seerr", "exchanges")["approved"]["body"].encode()
    with pytest.raises(CutShortError, match="the list ends too early"):
        await opened([reply(body=text[: len(text) // 2])])


async def test_radarrs_that_seerr_cannot_reach_change_nothing() -> None:
    """It says so beside the list, which is whole all the same."""
    found = await opened(lists(pending=play("two Radarrs away")))
    assert (len(found.requests), found.whole) == (2, True)
