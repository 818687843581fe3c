"""What holds for the planner whatever it is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain import (
    FILLABLE,
    Add,
    ArrIndex,
    Decision,
    Ids,
    LibraryItem,
    MediaType,
    RequestState,
    Sources,
    TrackedRequest,
    Update,
    fingerprint,
)
from daemon.reconcile import Planner
from tests.builders import COMPLETE, NOW, POLICY, jellyfin_id

numbers = st.none() | st.integers(1, 4)
ids = st.builds(
    Ids, numbers, numbers, st.none() | st.sampled_from(["tt0000001", "tt0000002", "tt0000003"])
)
sources = st.builds(
    Sources,
    st.none() | st.builds(ArrIndex, st.dictionaries(st.integers(1, 4), st.integers(1, 99))),
    st.none() | st.builds(ArrIndex, st.dictionaries(st.integers(1, 4), st.integers(1, 99))),
)

Row = dict[str, Any]


@st.composite
def parts(draw: st.DrawFn) -> Ids:
    """Some of the ids of one of four titles; no id belongs to two of them."""
    number = draw(st.integers(1, 4))
    known = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    whole = f"tt000000{number}"
    tmdb, tvdb, imdb = known
    return Ids(number if tmdb else None, number + 10 if tvdb else None, whole if imdb else None)


@st.composite
def libraries(draw: st.DrawFn, ids: st.SearchStrategy[Ids] = ids) -> list[LibraryItem]:
    """A small library full of copies, and of ids that contradict each other if not told else."""
    count = draw(st.integers(0, 8))
    return [
        LibraryItem(
            jellyfin_id=jellyfin_id(number),
            media_type=draw(st.sampled_from(MediaType)),
            title=draw(st.sampled_from(["A", "B"])),
            year=draw(numbers),
            ids=draw(ids),
            overview=draw(st.sampled_from([None, "text"])),
            created_at=draw(st.sampled_from([None, NOW, NOW - timedelta(days=1)])),
            available=draw(st.integers(0, 9)) > 0,
            poster=draw(st.sampled_from([None, True, False])),
        )
        for number in range(count)
    ]


@st.composite
def trackers(
    draw: st.DrawFn, ids: st.SearchStrategy[Ids] = ids, named: tuple[int, int] = (0, 9)
) -> dict[int, Row]:
    """Rows of somebody else, some of which name an item of the library."""
    count = draw(st.integers(0, 4))
    return {
        number: {
            "media_type": draw(st.sampled_from(MediaType)),
            "state": draw(st.sampled_from(["AVAILABLE", "APPROVED"])),
            "title": "theirs",
            "ours": False,
            **dict.fromkeys(FILLABLE),
            **_columns(draw(ids)),
            "jellyfin_id": draw(st.none() | st.integers(*named).map(jellyfin_id)),
        }
        for number in range(1, count + 1)
    }


def _columns(found: Ids) -> Row:
    return {"tmdb_id": found.tmdb, "tvdb_id": found.tvdb, "imdb_id": found.imdb}


def _tracked(table: dict[int, Row]) -> list[TrackedRequest]:
    return [
        TrackedRequest(
            id=number,
            media_type=MediaType(row["media_type"]),
            state=RequestState(row["state"]),
            ids=Ids(row["tmdb_id"], row["tvdb_id"], row["imdb_id"]),
            jellyfin_id=row["jellyfin_id"],
            arr_id=row["radarr_id"] or row["sonarr_id"],
            missing=frozenset(
                name
                for name in FILLABLE
                if row[name] is None and name != _other(MediaType(row["media_type"]))
            ),
            ours=bool(row["ours"]),
            face=fingerprint(row["title"], row["year"], row["overview"]),
            poster=_poster(row),
        )
        for number, row in table.items()
    ]


def _poster(row: Row) -> bool | None:
    """Whether Jellyfin's own address of the poster stands there."""
    if not row["ours"] or row["poster_url"] is None:
        return False
    return True if row["poster_url"] == POLICY.address(row["jellyfin_id"]) else None


def _other(media_type: MediaType) -> str:
    return "sonarr_id" if media_type is MediaType.MOVIE else "radarr_id"


def _apply(table: dict[int, Row], decisions: list[Decision]) -> dict[int, Row]:
    """What the store does, on plain dictionaries; conflicts and skips write nothing."""
    table = {number: dict(row) for number, row in table.items()}
    for one in decisions:
        if isinstance(one, Add):
            table[max(table, default=0) + 1] = _new_row(one)
        elif isinstance(one, Update):
            row = table[one.request_id] if one.request_id else _added_as(table, one)
            row.update({name: v for name, v in one.fills.items() if row[name] is None})
            row.update({name: v for name, v in one.replaces.items() if name in row})
            row.update({name: new for name, (_, new) in one.relinks.items()})
            if one.promotes:
                row["state"] = "AVAILABLE"
    return table


def _new_row(add: Add) -> Row:
    item = add.item
    return {
        "media_type": item.media_type,
        "state": "AVAILABLE",
        "title": item.title,
        "year": item.year,
        "overview": item.overview,
        "ours": True,
        **_columns(item.ids),
        "jellyfin_id": item.jellyfin_id,
        "radarr_id": add.radarr_id,
        "sonarr_id": add.sonarr_id,
        "poster_url": add.poster_url,
    }


def _added_as(table: dict[int, Row], update: Update) -> Row:
    [row] = [row for row in table.values() if row["jellyfin_id"] == update.added_as and row["ours"]]
    return row


def _run(table: dict[int, Row], chunks: list[list[LibraryItem]], around: Sources) -> list[Decision]:
    planner = Planner(_tracked(table), around, POLICY)
    decisions = [one for chunk in chunks for one in planner.decide(chunk)]
    return [*decisions, *planner.finish(COMPLETE)]


def _rows(table: dict[int, Row]) -> list[list[tuple[str, str]]]:
    """The rows without their numbers, which depend on the order of arrival."""
    return sorted(sorted((name, str(v)) for name, v in row.items()) for row in table.values())


@given(libraries(), trackers(), sources)
def test_every_item_is_decided_exactly_once(
    library: list[LibraryItem], table: dict[int, Row], around: Sources
) -> None:
    """One decision an item, no more and no fewer."""
    decisions = _run(table, [library], around)
    assert sorted(item.jellyfin_id for item in library) == sorted(
        one.item.jellyfin_id for one in decisions
    )


@given(libraries(), trackers(), sources, st.data())
@settings(max_examples=400)
def test_the_end_state_does_not_depend_on_order_chunks_or_repetition(
    library: list[LibraryItem], table: dict[int, Row], around: Sources, data: st.DataObject
) -> None:
    """Any order, any chunking and any repetition of the items leads to the same rows."""
    shuffled = data.draw(st.permutations(library + library[:2]))
    cut = data.draw(st.integers(0, len(shuffled)))
    straight = _apply(table, _run(table, [library], around))
    crooked = _apply(table, _run(table, [shuffled[:cut], shuffled[cut:]], around))
    assert _rows(straight) == _rows(crooked)


@given(libraries(parts()), trackers(parts(), named=(20, 29)), sources)
@settings(max_examples=400)
def test_a_second_run_changes_nothing(
    library: list[LibraryItem], table: dict[int, Row], around: Sources
) -> None:
    """After a run the same library brings no row and no value any more.

    Rows may name files that are gone, but none names the file of another title.
    """
    after = _apply(table, _run(table, [library], around))
    again = _run(after, [library], around)
    assert [one for one in again if isinstance(one, Add | Update)] == []


@given(libraries(), trackers(), sources)
def test_runs_settle(library: list[LibraryItem], table: dict[int, Row], around: Sources) -> None:
    """Even where ids contradict each other, the runs come to rest."""
    for _ in range(4):
        table = _apply(table, _run(table, [library], around))
    again = _run(table, [library], around)
    assert [one for one in again if isinstance(one, Add | Update)] == []


@given(libraries(), trackers(), sources)
def test_nothing_that_was_tracked_is_lost(
    library: list[LibraryItem], table: dict[int, Row], around: Sources
) -> None:
    """Every row stays, and so does every value but an id that is proven wrong, and the state."""
    after = _apply(table, _run(table, [library], around))
    there = {item.jellyfin_id for item in library}
    for number, row in table.items():
        kept = {name: value for name, value in row.items() if value is not None}
        if row["jellyfin_id"] not in there:
            kept.pop("jellyfin_id", None)
        if row["state"] != "AVAILABLE":
            del kept["state"]
        assert kept.items() <= after[number].items()


@given(libraries(), trackers(), sources)
def test_nothing_is_ever_demoted(
    library: list[LibraryItem], table: dict[int, Row], around: Sources
) -> None:
    """A state only ever becomes AVAILABLE, and only for a title that is there to watch."""
    decisions = _run(table, [library], around)
    promoted = {one.request_id for one in decisions if isinstance(one, Update) and one.promotes}
    after = _apply(table, decisions)
    changed = {number for number, row in table.items() if after[number]["state"] != row["state"]}
    assert changed == promoted
    assert all(one.item.available for one in decisions if isinstance(one, Update))


@given(libraries(), trackers(), sources)
def test_only_what_is_available_gets_a_row_and_no_title_two(
    library: list[LibraryItem], table: dict[int, Row], around: Sources
) -> None:
    """No row without something to play, and no two new rows for one strong id."""
    adds = [one.item for one in _run(table, [library], around) if isinstance(one, Add)]
    assert all(item.available for item in adds)
    strong = [(item.media_type, item.ids.tmdb) for item in adds if item.ids.tmdb is not None]
    assert len(strong) == len(set(strong))


@given(libraries(), sources)
def test_an_unavailable_title_never_stands_in_for_a_copy(
    library: list[LibraryItem], around: Sources
) -> None:
    """Items with nothing to play change nothing about what happens to the others."""
    playable = [item for item in library if item.available]
    stubs = [replace(item, available=False) for item in library if not item.available]
    with_stubs = _apply({}, _run({}, [[*stubs, *playable]], around))
    assert _rows(with_stubs) == _rows(_apply({}, _run({}, [playable], around)))
