"""Shoko: how far it has come with a file, as a real one tells it, and why it goes no further."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from daemon.errors import (
    BrokenServiceError,
    CutShortError,
    NotJsonError,
    RefusedKeyError,
    ServiceError,
    StartingError,
    WrongServiceError,
)
from daemon.pipeline import ShokoMatch, ShokoReport
from daemon.services.http import ServiceHttp
from daemon.services.shoko import ShokoClient
from tests.upstream import KEY, QUICK, Act, Asked, Upstream, exchanged, recorded, reply

PATH = "/tv/New Show/Season 01/New Show - 01.mkv"
FILES = "/api/v3/File/PathEndsWith"
STATUS = "/api/v3/Init/Status"


def play(name: str) -> bytes:
    """A recorded reply of Shoko."""
    return exchanged("shoko", name)


def asking(url: str) -> ServiceHttp:
    """A client's way to a server."""
    return ServiceHttp("Shoko", url, {"apikey": KEY}, QUICK)


def server(files: bytes | Callable[[Asked], Act], **others: str) -> Callable[[Asked], Act]:
    """Answers a question for a file by `files`, and any other one by a recorded reply."""
    said = {"status": "started", "connectivity": "online", **others}

    def act(asked: Asked) -> Act:
        if asked.path == FILES:
            return files(asked) if callable(files) else files
        return play(said[asked.path.rpartition("/")[2].lower()])

    return act


async def reported(act: Callable[[Asked], Act], *paths: str) -> ShokoReport:
    """What a client makes of a Shoko's answers."""
    async with Upstream(act) as upstream, asking(upstream.url) as http:
        return await ShokoClient(http).report(paths or (PATH,))


def changed(name: str, **values: Any) -> bytes:
    """A recorded list of files with other values in its first one."""
    first, *others = json.loads(recorded("shoko", "exchanges")[name]["body"])
    return reply(body=json.dumps([{**first, **values}, *others]).encode())


MATCHES = {
    "unseen": ShokoMatch.UNSEEN,
    "unrecognized": ShokoMatch.UNRECOGNIZED,
    "limbo": ShokoMatch.FETCHING,
    "matched": ShokoMatch.MATCHED,
    "matched, renamed": ShokoMatch.MATCHED,
    "folder away": ShokoMatch.MATCHED,
    "several": ShokoMatch.UNKNOWN,
    "without series": ShokoMatch.UNKNOWN,
}


@pytest.mark.parametrize(("name", "match"), MATCHES.items())
async def test_a_files_way_through_a_real_shoko(name: str, match: ShokoMatch) -> None:
    """From not seen to matched; what could be another file's answer says nothing."""
    assert (await reported(server(play(name)))).files == {PATH: match}


@pytest.mark.parametrize("values", [{"IsIgnored": True}, {"SeriesIDs": 7}, {"SeriesIDs": [7]}])
async def test_what_is_ignored_or_not_understood_says_nothing(values: dict[str, Any]) -> None:
    """It neither waits for a match nor has one."""
    found = await reported(server(changed("matched", **values)))
    assert found.files == {PATH: ShokoMatch.UNKNOWN}


@pytest.mark.parametrize(
    ("path", "end"),
    [
        (PATH, "/Season 01/New Show - 01.mkv"),
        (r"D:\tv\Steins;Gate & 100% #1\a+b.mkv", "/Steins;Gate & 100% #1/a+b.mkv"),
        ("name.mkv", "/name.mkv"),
        ("/name.mkv", "/name.mkv"),
        ("/tv//Show///a.mkv", "/Show/a.mkv"),
    ],
)
async def test_a_file_is_asked_for_by_its_folder_and_name(path: str, end: str) -> None:
    """After a slash, since a plain end of a name would find others' files, too."""
    async with Upstream(server(play("matched"))) as upstream, asking(upstream.url) as http:
        await ShokoClient(http).report([path])
    [asked] = upstream.asked
    query = {"path": end, "includeXRefs": "true", "include": "XRefs", "limit": "2"}
    assert (asked.path, asked.query) == (FILES, query)
    assert [name for name, value in asked.headers.items() if KEY in value] == ["apikey"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_name_with_accents_is_found_in_either_form(form: Any) -> None:
    """Shoko compares letter by letter, and file systems differ in how they write them."""
    path = unicodedata.normalize(form, "/tv/Pokémon Évolutions/Pokémon Évolutions - 01.mkv")

    def files(asked: Asked) -> Act:
        composed = asked.query["path"] == unicodedata.normalize("NFC", asked.query["path"])
        return play("composed" if composed else "decomposed")

    assert (await reported(server(files), path)).files == {path: ShokoMatch.UNRECOGNIZED}


async def test_why_shoko_cannot_ask_is_told_while_a_file_waits() -> None:
    """A ban is not a title's fault, nor is a network that is away."""
    told = {}
    for connectivity in ("online", "banned", "offline"):
        act = server(play("unrecognized"), connectivity=connectivity)
        told[connectivity] = (await reported(act)).blocked
    assert told == {
        "online": "",
        "banned": "AniDB has banned Shoko for some hours",
        "offline": "Shoko does not reach the internet",
    }


async def test_nobody_asks_why_while_no_file_waits() -> None:
    """One question a file is all."""
    act = server(play("matched"), connectivity="banned")
    async with Upstream(act) as upstream, asking(upstream.url) as http:
        assert (await ShokoClient(http).report([PATH, "/a/b.mkv"])).blocked == ""
    assert [asked.path for asked in upstream.asked] == [FILES, FILES]


@pytest.mark.parametrize("word", ["Quantum", ""])
async def test_a_word_for_the_network_that_nobody_knows_blocks_nothing(word: str) -> None:
    """Nor does a server that does not tell."""

    def act(asked: Asked) -> Act:
        if asked.path == FILES:
            return play("unrecognized")
        return (
            reply(body=json.dumps({"NetworkAvailability": word}).encode()) if word else reply(500)
        )

    found = await reported(act)
    assert (found.blocked, found.files) == ("", {PATH: ShokoMatch.UNRECOGNIZED})


async def test_a_path_that_shoko_cannot_answer_is_left_out() -> None:
    """The others are told."""

    def files(asked: Asked) -> Act:
        return play("unknown word") if "odd" in asked.query["path"] else play("matched")

    found = await reported(server(files), "/tv/a/odd.mkv", PATH)
    assert found.files == {PATH: ShokoMatch.MATCHED}
    with pytest.raises(BrokenServiceError):
        await reported(server(files), "/tv/a/odd.mkv")


NOT_STARTED = {
    "waiting": (StartingError, "it is not set up yet; open its page in a browser"),
    "starting": (StartingError, r"it is starting: Initializing\.\.\.; nothing to do"),
    "failed": (BrokenServiceError, "it failed to start: The Database Version is bigger"),
}


@pytest.mark.parametrize("state", NOT_STARTED)
async def test_a_shoko_that_has_not_started_tells_why(state: str) -> None:
    """It answers 503 to every question, and tells in another place what it is about."""
    kind, words = NOT_STARTED[state]
    act = server(play(f"{state} files"), status=state)
    with pytest.raises(kind, match=words):
        await reported(act)
    async with Upstream(act) as upstream, asking(upstream.url) as http:
        with pytest.raises(kind, match=words):
            await ShokoClient(http).check()
        assert [asked.path for asked in upstream.asked] == [STATUS]


async def test_a_503_of_a_started_shoko_is_what_it_is() -> None:
    """It is not explained by a start that is over."""
    with pytest.raises(StartingError, match="HTTP 503"):
        await reported(server(play("waiting files")))


async def test_a_wrong_key_is_a_wrong_key() -> None:
    """One question finds it out; the other files are not asked for."""
    act = server(play("files wrong key"))
    async with Upstream(act) as upstream, asking(upstream.url) as http:
        with pytest.raises(RefusedKeyError):
            await ShokoClient(http).report([PATH, "/a/b.mkv"])
    assert len(upstream.asked) == 1


async def test_the_check_proves_the_key() -> None:
    """Where it has started, which is told to anybody, as the version is."""
    good = server(b"", version="version", current="user")
    async with Upstream(good) as upstream, asking(upstream.url) as http:
        assert await ShokoClient(http).check() == "version 5.3.3.0"
        upstream.acts = server(b"", version="version", current="wrong key")
        with pytest.raises(RefusedKeyError):
            await ShokoClient(http).check()


@pytest.mark.parametrize("version", ["4.2.2.0", "unknown"])
async def test_an_old_version_is_named(version: str) -> None:
    """It has other answers."""

    def act(asked: Asked) -> Act:
        if asked.path == STATUS:
            return play("started")
        return reply(body=json.dumps({"Server": {"Version": version}}).encode())

    async with Upstream(act) as upstream, asking(upstream.url) as http:
        with pytest.raises(WrongServiceError, match=f"version {version} is older than 5; update"):
            await ShokoClient(http).check()


@pytest.mark.parametrize("name", ["page", "unknown route", "root"])
async def test_another_service_is_not_taken_for_it(name: str) -> None:
    """A page, a path that is not there, and a redirect are no answers."""
    async with Upstream([play(name)]) as upstream, asking(upstream.url) as http:
        for ask in (ShokoClient(http).check(), ShokoClient(http).report([PATH])):
            with pytest.raises(ServiceError) as caught:
                await ask
            assert isinstance(caught.value, (WrongServiceError, NotJsonError))


async def test_half_an_answer_is_no_answer() -> None:
    """It would look like a file that Shoko has not seen."""
    body = recorded("shoko", "exchanges")["matched"]["body"].encode()
    for text in (body[:200], b"{}", b"null"):
        with pytest.raises((CutShortError, NotJsonError)):
            await reported(server(reply(body=text)))
