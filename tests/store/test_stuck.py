"""What a pass called a person for, as the file keeps it."""

from __future__ import annotations

from daemon.domain import RemovalPolicy
from daemon.pending import Attention, AttentionKind
from daemon.store import Store, attention, stuck
from daemon.store.audit import AuditEvent
from tests.builders import ACTOR

POLICY = RemovalPolicy()
AWAY = Attention(AttentionKind.CLIENT_AWAY, "Radarr", "Unable to connect to qBittorrent")


def nothing_found(days: int) -> Attention:
    """A request that nothing is found for."""
    sentence = f"nothing found for {days} days"
    return Attention(AttentionKind.NOTHING_FOUND, "Radarr", sentence, "M", request_id=7)


async def test_what_stops_everything_comes_before_what_only_takes_long(store: Store) -> None:
    """In whatever order a pass said it; and a row that is not there needs nobody."""
    gone = Attention(AttentionKind.FAILED, "Radarr", "no", "Gone", row_id=99)
    await store.write(stuck.keep, [nothing_found(7), gone, AWAY])
    found = await store.read(attention.findings, POLICY)
    assert [(one.kind, one.title, one.target) for one in found] == [
        ("blocked", "Radarr", "Radarr"),
        ("stuck", "M", "request 7 of Seerr"),
    ]


async def test_all_that_is_said_of_one_title_is_one_finding(store: Store) -> None:
    """So that one answer settles it."""
    other = Attention(AttentionKind.UNKNOWN_DOWNLOAD, "Radarr", "it fits no title", "x")
    await store.write(stuck.keep, [AWAY, AWAY._replace(sentence="Another is away"), other])
    first, second = await store.read(attention.findings, POLICY)
    assert first.what.startswith("Radarr: Unable to connect to qBittorrent; Radarr: Another is")
    assert second.title == "x"


async def test_what_only_goes_on_stays_ignored(store: Store) -> None:
    """A sentence that counts the days is still the same one, and its time is that of the first."""
    await store.write(stuck.keep, [nothing_found(7)])
    [before] = await store.read(attention.findings, POLICY)
    event = AuditEvent("finding.ignored", ACTOR, target=before.target)
    await store.write(attention.ignore, before, event)
    await store.write(stuck.keep, [nothing_found(8)])
    assert await store.read(attention.findings, POLICY) == []
    [after] = await store.read(attention.findings, POLICY, ignored=True)
    assert after.what == before.what.replace("7 days", "8 days")


async def test_another_sentence_of_a_service_counts_again(store: Store) -> None:
    """It may be another trouble."""
    await store.write(stuck.keep, [AWAY])
    [before] = await store.read(attention.findings, POLICY)
    event = AuditEvent("finding.ignored", ACTOR, target=before.target)
    await store.write(attention.ignore, before, event)
    await store.write(stuck.keep, [AWAY._replace(sentence="It refuses the password")])
    assert len(await store.read(attention.findings, POLICY)) == 1
