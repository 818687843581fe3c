"""What needs somebody, and what is ignored of it."""

from __future__ import annotations

from daemon.domain import Add, Ids, RemovalPolicy
from daemon.store import AuditEvent, Store
from tests.builders import ACTOR, an_item, begun

POLICY = RemovalPolicy()


async def test_what_is_ignored_hides_nothing_else(store: Store) -> None:
    """Only so many of a kind are listed, and those that are ignored do not take up the room."""
    number = await begun(store)
    await store.tracked(to_write=True)
    adds = [Add(an_item(at, ids=Ids())) for at in range(120)]
    await store.apply(number, ACTOR, adds)
    first = await store.attention(POLICY)
    for finding in first:
        event = AuditEvent("finding.ignored", ACTOR, target=finding.target)
        await store.ignore(finding, event, ignored=True)
    left = await store.attention(POLICY)
    assert (len(first), len(left)) == (100, 20)
    assert {one.target for one in (*first, *left)} == {f"request {at}" for at in range(1, 121)}
    assert len(await store.attention(POLICY, ignored=True)) == 100
    assert len(await store.latest_audit(200)) == 101
