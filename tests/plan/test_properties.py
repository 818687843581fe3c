"""What holds for the planner whatever it is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.columns import COLUMNS, FILLABLE
from daemon.domain import (
    Absence,
    Absent,
    Add,
    Conflict,
    Deletion,
    Fate,
    Ids,
    LibraryItem,
    MediaType,
    Plan,
    Policy,
    RemovalPolicy,
    RequestState,
    Skip,
    TrackedRequest,
    Tracker,
    Update,
    value_hash,
)
from daemon.identity import Catalogue, merged
from daemon.plan import plan
from daemon.snapshot import Episode, Episodes, Reading, Report, Snapshot
from tests.builders import NOW, POLICY, a_report, jellyfin_id
from tests.plan.support import numbers_of, only

MOVIE, TV = MediaType.MOVIE, MediaType.TV
DAY = timedelta(days=1)
LIBRARIES = ("/media/a", "/media/b")
NUMBERS = {MOVIE: "radarr_id", TV: "sonarr_id"}

Row = dict[str, Any]


# --- worlds --------------------------------------------------------------------------------------


@dataclass
class World:
    """What one run is given, and the table that it writes to."""

    items: list[LibraryItem]
    table: dict[int, Row]
    reports: list[Report]
    reading: Reading
    episodes: dict[str, Episodes]
    deletions: list[Deletion]
    policy: Policy
    approved: frozenset[int] = frozenset()
    recently_removed: int = 0
    kept: dict[tuple[int, str], int] = field(default_factory=dict)
    locations: tuple[str, ...] = LIBRARIES

    def tracker(self) -> Tracker:
        """The tracker's file."""
        rows = [_tracked(number, row) for number, row in self.table.items()]
        kept: dict[str, dict[int, int]] = {}
        for (row, instance), number in self.kept.items():
            if row in self.table:
                kept.setdefault(instance, {})[row] = number
        return Tracker(
            rows, self.deletions, self.recently_removed, self.approved, instance_ids=kept
        )

    def snapshot(self) -> Snapshot:
        """What the services said."""
        return Snapshot(self.items, self.reading, self.reports, self.locations, self.episodes)

    def plan(self) -> Plan:
        """The plan of one run."""
        return plan(self.snapshot(), self.tracker(), self.policy)

    def after(self, planned: Plan) -> World:
        """The same library, once a plan was carried out."""
        gone = {one.request.id for one in only(Absent, planned) if one.fate is Fate.REMOVE}
        left = self.table.keys() - gone
        kept = {known: number for known, number in self.kept.items() if known[0] in left}
        for row, instance, number in planned.evidence.instance_ids:
            kept.pop((row, instance), None)
            if number is not None and row in left:
                kept[row, instance] = number
        table = _apply(self.table, planned)
        for number, add in zip(sorted(table.keys() - left), only(Add, planned), strict=True):
            kept |= {(number, instance): one for instance, one in add.instance_ids.items()}
        return replace(self, table=table, kept=kept)


numbers = st.none() | st.integers(1, 4)
imdb = st.none() | st.sampled_from(["tt0000001", "tt0000002", "tt0000003"])
tangled = st.builds(Ids, numbers, numbers, imdb)
"""Ids that contradict each other."""


def whole(number: int) -> Ids:
    """All ids of one of four titles; no id belongs to two of them."""
    return Ids(number, number + 10, f"tt000000{number}")


def title_of(ids: Ids) -> int | None:
    """Which of the four it is."""
    known = [one for one in range(1, 5) if set(ids) & set(whole(one))]
    return known[0] if known else None


@st.composite
def sound(draw: st.DrawFn) -> Ids:
    """Some of the ids of one of four titles."""
    tmdb, tvdb, imdb_id = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    ids = whole(draw(st.integers(1, 4)))
    return Ids(
        ids.tmdb if tmdb else None, ids.tvdb if tvdb else None, ids.imdb if imdb_id else None
    )


@st.composite
def items(draw: st.DrawFn, ids: st.SearchStrategy[Ids]) -> list[LibraryItem]:
    """A small library full of copies."""
    return [
        LibraryItem(
            jellyfin_id=jellyfin_id(number),
            media_type=draw(st.sampled_from(MediaType)),
            title=draw(st.sampled_from(["A", "B"])),
            year=draw(numbers),
            ids=draw(ids),
            overview=draw(st.sampled_from([None, "text"])),
            path=draw(st.sampled_from([None, f"/media/a/{number}.mkv"])),
            library=draw(st.sampled_from([None, *LIBRARIES])),
            created_at=draw(st.sampled_from([None, NOW, NOW - DAY])),
            available=draw(st.sampled_from([True, True, True, True, False, None])),
            poster=draw(st.sampled_from([None, True, False])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


absences = st.none() | st.builds(
    Absence,
    st.integers(1, 2),
    st.sampled_from([timedelta(), DAY]),
    st.just(NOW),
    st.booleans(),
)


@st.composite
def tables(
    draw: st.DrawFn, ids: st.SearchStrategy[Ids], names: st.SearchStrategy[int | None]
) -> dict[int, Row]:
    """Rows of anybody, some of which name an item of the library."""
    table: dict[int, Row] = {}
    for number in range(1, draw(st.integers(0, 5)) + 1):
        media_type = draw(st.sampled_from(MediaType))
        named = draw(names)
        table[number] = {
            "media_type": media_type,
            "state": draw(st.sampled_from(["AVAILABLE", "AVAILABLE", "APPROVED", "FAILED", None])),
            "title": "theirs",
            "final_path": None,
            "ours": draw(st.integers(0, 3)) == 0,
            **dict.fromkeys(FILLABLE),
            **_columns(draw(ids)),
            "jellyfin_id": None if named is None else jellyfin_id(named),
            NUMBERS[media_type]: draw(st.none() | st.integers(101, 106)),
            "seasons": draw(
                st.sampled_from([frozenset(), frozenset({1}), frozenset({1, 2}), None])
            ),
            "episodes": draw(st.sampled_from([None, None, 2])),
            "seen": draw(st.booleans()),
            "library": draw(st.sampled_from([None, *LIBRARIES])),
            "absence": draw(absences),
        }
    return table


@st.composite
def lists(draw: st.DrawFn, ids: st.SearchStrategy[Ids]) -> list[Report]:
    """Up to two instances of each kind; the second is no primary."""
    reports = []
    for media_type in MediaType:
        for primary in draw(st.sampled_from([(), (True,), (True, False), (False, True)])):
            name = f"{media_type} {'first' if primary else 'second'}"
            catalogue = Catalogue(media_type)
            known = draw(st.dictionaries(st.integers(101, 106), ids, max_size=4))
            for number, one in known.items():
                catalogue.add(number, one)
            counted = st.dictionaries(st.integers(0, 2), st.integers(0, 3), max_size=3)
            counts = {number: draw(counted) for number in known}
            away = draw(st.integers(0, 4)) == 0
            reports.append(
                Report(
                    name,
                    media_type,
                    primary,
                    None if away else catalogue,
                    not away and draw(st.booleans()),
                    {} if away else counts,
                )
            )
    return reports


FURTHER = st.sampled_from([f"{MOVIE} second", f"{TV} second", "not configured any more"])

rows_of_episodes = st.lists(
    st.builds(
        Episode,
        st.sampled_from([None, 0, 1, 1, 1, 2]),
        st.sampled_from([None, 0, 1, 2, 3, 4]),
        st.sampled_from([None, None, None, 2, 3, 45]),
        st.sampled_from([None, "2026-01-01"]),
        st.sampled_from([True, True, True, False, None]),
    ),
    max_size=6,
)

deletions = st.lists(
    st.builds(
        Deletion,
        st.integers(1, 9),
        st.sampled_from(MediaType),
        st.just("A"),
        sound(),
        st.none() | st.integers(0, 6).map(jellyfin_id),
        st.sampled_from([timedelta(), DAY]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=1,
)


@st.composite
def readings(draw: st.DrawFn, library: Sequence[LibraryItem]) -> Reading:
    """Mostly whole ones."""
    names = [item.jellyfin_id for item in library] + [jellyfin_id(90)]
    kind = draw(st.integers(0, 9))
    odd: dict[int, dict[str, Any]] = {
        0: {"complete": False},
        1: {"scanning": True},
        2: {"nameless": 1},
        3: {"distrust": "another server"},
        4: {"broken": frozenset({jellyfin_id(90)})},
        5: {"complete": False, "scanning": True, "asked": frozenset(names)},
    }
    whole: dict[str, Any] = {"complete": True, "scanning": False, "titles": len(library)}
    return Reading(**{**whole, **odd.get(kind, {})})


@st.composite
def worlds(
    draw: st.DrawFn,
    ids: st.SearchStrategy[Ids] = tangled,
    names: st.SearchStrategy[int | None] = st.none() | st.integers(0, 9),  # noqa: B008
) -> World:
    """Anything that may be found."""
    library = draw(items(ids))
    table = draw(tables(ids, names))
    series = [item for item in library if item.media_type is TV and draw(st.integers(0, 5)) > 0]
    percent = draw(st.sampled_from([5, 100]))
    limits = RemovalPolicy(limit_percent=percent, limit_total_percent=percent)
    return World(
        library,
        table,
        draw(lists(ids)),
        draw(readings(library)),
        {item.jellyfin_id: Episodes(draw(rows_of_episodes)) for item in series},
        draw(deletions),
        Policy(POLICY.public_url, limits),
        frozenset(draw(st.sets(st.integers(1, 5), max_size=1))),
        draw(st.sampled_from([0, 0, 5])),
        draw(st.dictionaries(st.tuples(st.integers(1, 5), FURTHER), st.integers(101, 106))),
    )


sound_worlds = worlds(sound(), st.none() | st.integers(20, 29))
"""Rows may name items that are gone, but none names the item of another title."""


# --- a model of the store ------------------------------------------------------------------------


def _columns(found: Ids) -> Row:
    return {"tmdb_id": found.tmdb, "tvdb_id": found.tvdb, "imdb_id": found.imdb}


def _ids(row: Row) -> Ids:
    return Ids(row["tmdb_id"], row["tvdb_id"], row["imdb_id"])


def _tracked(number: int, row: Row) -> TrackedRequest:
    number_of = NUMBERS[row["media_type"]]
    texts = (row["title"], row["year"], row["overview"], row["final_path"])
    return TrackedRequest(
        id=number,
        media_type=row["media_type"],
        state=None if row["state"] is None else RequestState(row["state"]),
        ids=_ids(row),
        jellyfin_id=row["jellyfin_id"],
        arr_id=row[number_of],
        missing=frozenset(
            name
            for name in FILLABLE
            if row[name] is None and (name == number_of or name not in NUMBERS.values())
        ),
        managed=row["ours"],
        metadata_hash=value_hash(*texts) if row["ours"] else 0,
        poster=_poster(row),
        seasons=row["seasons"],
        episodes=row["episodes"],
        seen=row["seen"],
        library=row["library"],
        absence=row["absence"],
    )


def _poster(row: Row) -> bool | None:
    """Whether Jellyfin's own address of the poster stands there."""
    if not row["ours"] or row["poster_url"] is None:
        return False
    return True if row["poster_url"] == POLICY.address(row["jellyfin_id"]) else None


def _apply(table: dict[int, Row], planned: Plan) -> dict[int, Row]:
    """What the store does, on plain dictionaries; conflicts and skips write nothing."""
    table = {number: dict(row) for number, row in table.items()}
    for number, library in planned.evidence.seen:
        table[number].update(seen=True, library=library, absence=None)
    for number in planned.evidence.returned:
        table[number]["absence"] = None
    for request, away in planned.evidence.missed:
        before = request.absence or Absence(0, timedelta(), NOW)
        absence = before._replace(
            sightings=before.sightings + 1, library_away=away or before.library_away
        )
        table[request.id]["absence"] = absence
    for one in planned.decisions:
        if isinstance(one, Add):
            table[max(table, default=0) + 1] = _new_row(one)
        elif isinstance(one, Update):
            _write(table[one.request_id], one)
        elif isinstance(one, Absent) and one.fate is Fate.REMOVE:
            del table[one.request.id]
    return table


def _write(row: Row, update: Update) -> None:
    row.update({name: value for name, value in update.fills.items() if row[name] is None})
    row.update({name: value for name, value in update.replaces.items() if name in row})
    for name, (old, new) in update.relinks.items():
        if row[name] == old:
            row[name] = new
    if update.promotes is not None and row["state"] == update.promotes.value:
        row["state"] = "AVAILABLE"


def _new_row(add: Add) -> Row:
    item = add.item
    return {
        **{column.name: column.read(add) for column in COLUMNS},
        "media_type": item.media_type,
        "state": "AVAILABLE",
        "title": item.title,
        "year": item.year,
        "overview": item.overview,
        "final_path": item.path,
        "ours": True,
        **_columns(item.ids),
        "jellyfin_id": item.jellyfin_id,
        "radarr_id": add.radarr_id,
        "sonarr_id": add.sonarr_id,
        "poster_url": add.poster_url,
        "seasons": frozenset[int](),
        "episodes": None,
        "seen": True,
        "library": item.library,
        "absence": None,
    }


def _writes(planned: Plan) -> list[object]:
    """What a plan would change in the tracker's own table."""
    gone = [one for one in only(Absent, planned) if one.fate is Fate.REMOVE]
    return [*only(Add, planned), *only(Update, planned), *gone, *planned.evidence.instance_ids]


# --- an oracle -----------------------------------------------------------------------------------


@dataclass
class Oracle:
    """What may be made available, told as simply as can be: by what surely must be so."""

    world: World
    rows: dict[int, TrackedRequest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = {row.id: row for row in self.world.tracker().requests}

    def copies(self, row: TrackedRequest) -> list[LibraryItem]:
        """Every item that may be of a request's title, by any chain of what they share."""
        members: list[LibraryItem | TrackedRequest] = [*self.world.items, *self.rows.values()]
        found: list[LibraryItem | TrackedRequest] = [row]
        for one in found:
            found += [other for other in members if other not in found and _share(one, other)]
        return [one for one in found if isinstance(one, LibraryItem) and not _contradict(one, row)]

    def may_promote(self, row: TrackedRequest) -> bool:
        """Whether what a request asked for may be there."""
        copies = self.copies(row)
        if not any(item.available for item in copies):
            return False
        return row.media_type is MOVIE or self._has_its_seasons(row, copies)

    def _has_its_seasons(self, row: TrackedRequest, copies: list[LibraryItem]) -> bool:
        if row.seasons is None:
            return False
        rows = [
            one
            for item in copies
            if item.jellyfin_id in self.world.episodes
            for one in self.world.episodes[item.jellyfin_id].rows
        ]
        counts = self._counts(row, copies)
        seasons = row.seasons or {one.season or 1 for one in rows} | set(counts)
        regular = seasons if row.seasons else seasons - {0} or seasons
        for season in regular:
            numbers = _numbers(rows, season, playable=True)
            if len(numbers) < max(counts.get(season, 0), 1 if row.seasons else 0):
                return False
            if not counts and numbers < _numbers(rows, season, playable=False, ranges=False):
                return False
        asked_for_one = len(row.seasons) == 1
        if asked_for_one and row.episodes is not None:
            return len(_numbers(rows, *row.seasons, playable=True)) >= row.episodes
        return bool(rows)

    def _counts(self, row: TrackedRequest, copies: list[LibraryItem]) -> dict[int, int]:
        """By the Sonarrs that surely know the series: by its own key, which stands there once."""
        keys = {row.ids.tvdb, *(item.ids.tvdb for item in copies)} - {None}
        counts: dict[int, int] = {}
        for report in self.world.reports:
            if report.media_type is TV and report.titles is not None and len(keys) == 1:
                number = report.titles.find(Ids(tvdb=min(one for one in keys if one)))
                for season, count in report.counts.get(number or 0, {}).items():
                    counts[season] = max(count, counts.get(season, 0))
        return counts


def _share(one: LibraryItem | TrackedRequest, other: LibraryItem | TrackedRequest) -> bool:
    if one.media_type is not other.media_type:
        return False
    if one.jellyfin_id is not None and one.jellyfin_id == other.jellyfin_id:
        return True
    return any(a is not None and a == b for a, b in zip(one.ids, other.ids, strict=True))


def _contradict(item: LibraryItem, row: TrackedRequest) -> bool:
    """Whether the own key of Radarr, or of Sonarr, says that they are two titles."""
    own = 0 if row.media_type is MOVIE else 1
    one, other = item.ids[own], row.ids[own]
    return one is not None and other is not None and one != other


def _numbers(
    rows: Iterable[Episode], season: int, *, playable: bool, ranges: bool = True
) -> set[int | str]:
    """The distinct episodes of a season, those without a season among the first."""
    found: set[int | str] = set()
    for one in rows:
        if (1 if one.season is None else one.season) != season or (playable and not one.playable):
            continue
        if one.number is not None:
            last = one.end if ranges and one.end is not None else one.number
            found |= {one.number, *range(one.number, last + 1)}
        elif one.date is not None:
            found.add(one.date)
    return found


# --- what holds ----------------------------------------------------------------------------------


def _told(value: object) -> object:
    """A value that compares without the order of what has none."""
    if isinstance(value, LibraryItem):
        return value.jellyfin_id, tuple(value.ids)
    if isinstance(value, TrackedRequest):
        return value.id, value.absence
    if is_dataclass(value):
        return type(value).__name__, *(_told(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, dict):
        return sorted((name, _told(one)) for name, one in value.items())
    return value


def everything(planned: Plan) -> object:
    """All that a plan says."""
    return (
        sorted(repr(_told(one)) for one in planned.decisions),
        sorted(repr(one) for one in planned.evidence.seen),
        sorted(planned.evidence.returned),
        sorted((one.request.id, one.library_away) for one in planned.evidence.missed),
        sorted((one.request.id, one.why, one.kind) for one in planned.held),
        sorted(repr(rule) for rule in planned.guard),
        sorted(planned.doubles),
        sorted(planned.merges),
        sorted(repr(one) for one in planned.evidence.instance_ids),
    )


@given(worlds(), st.data())
def test_the_plan_is_the_same_in_whatever_order_everything_comes(
    world: World, data: st.DataObject
) -> None:
    """Items, requests, reports and their episodes have no order."""

    def shuffled(values: Iterable[Any]) -> list[Any]:
        return data.draw(st.permutations(list(values)))

    episodes = {one: Episodes(shuffled(rows.rows)) for one, rows in world.episodes.items()}
    other = replace(
        world,
        items=shuffled(world.items),
        table=dict(shuffled(world.table.items())),
        reports=shuffled(world.reports),
        episodes=episodes,
    )
    assert everything(other.plan()) == everything(world.plan())


FLAWS: dict[str, st.SearchStrategy[Any]] = {
    "state": st.sampled_from(["APPROVED", None]),
    "seen": st.just(value=False),
    "library": st.sampled_from([None, LIBRARIES[1]]),
    "absence": st.just(Absence(1, DAY, NOW)),
    "jellyfin_id": st.sampled_from([None, jellyfin_id(1), jellyfin_id(90)]),
    "title": st.just("another"),
    "year": st.none(),
    "tvdb_id": st.none(),
    "imdb_id": st.just("tt0000009"),
    "ours": st.just(value=False),
    "radarr_id": st.none() | st.integers(101, 106),
    "sonarr_id": st.none() | st.integers(101, 106),
}


@st.composite
def settled_worlds(draw: st.DrawFn) -> World:
    """Rows of ours that say what their items say, but for a flaw here and there."""
    world = draw(worlds())
    library = [
        LibraryItem(
            jellyfin_id=jellyfin_id(number),
            media_type=draw(st.sampled_from(MediaType)),
            title="A",
            year=2000,
            ids=whole(number),
            overview="text",
            path="/media/a/A.mkv",
            library=LIBRARIES[0],
            available=draw(st.sampled_from([True, True, True, False, None])),
            poster=draw(st.sampled_from([None, None, None, True])),
        )
        for number in range(1, draw(st.integers(2, 5)))
    ]
    table: dict[int, Row] = {
        number: {
            **dict.fromkeys(FILLABLE),
            **_columns(item.ids),
            "media_type": item.media_type,
            "state": "AVAILABLE",
            "ours": True,
            "title": "A",
            "year": 2000,
            "overview": "text",
            "final_path": item.path,
            "jellyfin_id": item.jellyfin_id,
            NUMBERS[item.media_type]: draw(st.sampled_from([100 + number, 100 + number, None])),
            "seasons": frozenset(),
            "episodes": None,
            "seen": True,
            "library": LIBRARIES[0],
            "absence": None,
        }
        for number, item in enumerate(library, 1)
    }
    for row in table.values():
        for name in draw(st.sets(st.sampled_from([*FLAWS]), max_size=1)):
            row[name] = draw(FLAWS[name])
    known = {100 + number: item.ids for number, item in enumerate(library, 1)}
    knowing = [a_report(known, media_type=media_type) for media_type in MediaType]
    reports = draw(st.sampled_from([[], knowing, world.reports]))
    return replace(world, items=library, table=table, reports=reports)


def _as_read(item: LibraryItem, rows: Iterable[TrackedRequest]) -> LibraryItem:
    """An item whose texts were held against those of the row of ours that names it."""
    named = [row for row in rows if row.managed and row.jellyfin_id == item.jellyfin_id]
    same = len(named) == 1 and named[0].metadata_hash == item.metadata_hash
    return item._replace(unchanged=same)


@given(settled_worlds())
def test_a_title_that_is_right_is_decided_by_comparing_as_by_looking_at_it_whole(
    world: World,
) -> None:
    """What reads as its row may be settled at once, and comes to the same."""
    rows = world.tracker().requests
    read = replace(world, items=[_as_read(item, rows) for item in world.items])
    assert everything(read.plan()) == everything(world.plan())


@given(worlds())
def test_every_item_and_every_request_is_decided(world: World) -> None:
    """Nothing is passed over in silence; a request is written once at most."""
    planned = world.plan()
    spoken = {
        one.item.jellyfin_id
        for one in planned.decisions
        if not isinstance(one, Absent) and one.item is not None
    }
    assert spoken >= {item.jellyfin_id for item in world.items}
    decided = [number for one in planned.decisions for number in numbers_of(one)]
    if world.reading.asked is None:
        assert set(decided) == set(world.table)
    written = [
        number
        for one in planned.decisions
        if isinstance(one, Update) or (isinstance(one, Absent) and one.fate is Fate.REMOVE)
        for number in numbers_of(one)
    ]
    assert len(written) == len(set(written))
    skipped = {
        one.request_id
        for one in only(Skip, planned)
        if one.item is None or one.reason.value == "already_right"
    }
    assert not skipped & set(written)


@given(sound_worlds)
def test_a_second_run_changes_nothing(world: World) -> None:
    """After a run the same library brings no row and no value any more, and removes nothing."""
    after = world.after(world.plan())
    assert _writes(after.plan()) == []


@given(worlds())
def test_runs_settle(world: World) -> None:
    """Even where ids contradict each other, the runs come to rest."""
    for _ in range(4):
        world = world.after(world.plan())
    assert _writes(world.plan()) == []


@given(worlds())
def test_nothing_is_promoted_that_may_not_be_there(world: World) -> None:
    """A film by an item that agrees with it or is named; a series by all its seasons."""
    oracle = Oracle(world)
    for one in only(Update, world.plan()):
        if one.promotes is not None:
            row = oracle.rows[one.request_id]
            assert one.promotes is row.state
            assert oracle.may_promote(row)


@given(sound_worlds)
def test_nothing_is_promoted_but_by_an_item_of_the_same_title(world: World) -> None:
    """Where no id belongs to two titles, each says which one it is."""
    rows = {row.id: row for row in world.tracker().requests}
    for one in only(Update, world.plan()):
        row = rows[one.request_id]
        if one.promotes is not None and row.ids.known:
            assert one.item.available
            assert title_of(one.item.ids) == title_of(row.ids)


@given(sound_worlds)
def test_every_request_of_a_film_that_is_there_is_promoted(world: World) -> None:
    """None waits for another one, unless a person has to say which title it is."""
    there = {
        (item.ids.tmdb, item.media_type)
        for item in world.items
        if item.available and item.ids.tmdb is not None
    }
    planned = world.plan()
    promoted = {one.request_id for one in only(Update, planned) if one.promotes}
    promoted |= {number for one in only(Conflict, planned) for number in one.request_ids}
    for row in world.tracker().requests:
        if row.is_open and row.media_type is MOVIE and (row.ids.tmdb, MOVIE) in there:
            assert row.id in promoted


@given(worlds())
def test_only_what_is_there_and_has_no_request_is_added(world: World) -> None:
    """No row without something to play, none of an item that has one, and no title twice."""
    adds = [one.item for one in only(Add, world.plan())]
    there = {item.jellyfin_id for item in world.items if item.available}
    rows = world.tracker().requests
    for item in adds:
        assert item.jellyfin_id in there
        for row in rows:
            same_type = row.media_type is item.media_type
            assert not (same_type and row.ids.known and row.ids == item.ids)
            if same_type and row.jellyfin_id == item.jellyfin_id:
                assert _contradict_at_all(item, row)
        strong = [_own_keys(one) for one in adds if one.media_type is item.media_type]
        assert None in _own_keys(item) or strong.count(_own_keys(item)) == 1


def _own_keys(item: LibraryItem) -> tuple[int | None, ...]:
    """The ids of which each can keep two titles apart."""
    return item.ids[:1] if item.media_type is MOVIE else item.ids[:2]


def _contradict_at_all(item: LibraryItem, row: TrackedRequest) -> bool:
    return any(None not in {a, b} and a != b for a, b in zip(item.ids, row.ids, strict=True))


@given(worlds())
def test_nothing_that_was_tracked_is_lost(world: World) -> None:
    """A row keeps its values but an id that is proven wrong, a state that moves up, its texts."""
    planned = world.plan()
    after = _apply(world.table, planned)
    there = {item.jellyfin_id for item in world.items}
    gone = {one.request.id for one in only(Absent, planned) if one.fate is Fate.REMOVE}
    primaries = {one.media_type: one for one in world.reports if one.primary}
    for number, row in world.table.items():
        if number in gone:
            continue
        new = after[number]
        for name in ("tmdb_id", "tvdb_id", "imdb_id"):
            assert row[name] in {None, new[name]}
        if new["jellyfin_id"] != row["jellyfin_id"] is not None:
            assert not world.reading.distrust
            assert new["jellyfin_id"] in there
            assert row["jellyfin_id"] not in there or world.reading.proves_absence
        assert new["state"] in {row["state"], "AVAILABLE"}
        name = NUMBERS[row["media_type"]]
        if row[name] is not None and new[name] != row[name]:
            report = primaries[row["media_type"]]
            assert report.whole
            assert not world.reading.distrust
        if not row["ours"]:
            for name in ("title", "year", "overview", "poster_url", "final_path"):
                assert row[name] in {None, new[name]} or name not in FILLABLE


@given(worlds())
def test_nothing_is_removed_that_may_be_there(world: World) -> None:
    """Only what was seen or approved, is named by no item, and was missing for long enough."""
    planned = world.plan()
    rows = {row.id: row for row in world.tracker().requests}
    maybe = [item for item in world.items if item.available is not False]
    for one in only(Absent, planned):
        row = rows[one.request.id]
        assert world.reading.proves_absence
        assert not world.reading.broken
        assert row.is_available
        for item in maybe:
            same_type = item.media_type is row.media_type
            assert not (same_type and item.jellyfin_id == row.jellyfin_id)
            assert not (same_type and row.ids.known and item.ids == row.ids)
        if one.fate is Fate.REMOVE and row.id not in world.approved:
            assert row.seen
            assert row.library is not None
            assert row.absence is not None
            assert row.absence.waited >= DAY
            assert not row.absence.library_away
            assert any(item.library == row.library for item in world.items)
        if one.fate is Fate.REMOVE and world.recently_removed >= 5:
            assert row.id in world.approved


@given(worlds())
def test_a_number_comes_from_the_primary_and_is_of_the_title(world: World) -> None:
    """What is filled, relinked or added stands in that very list, and under no other own key."""
    primaries = {one.media_type: one for one in world.reports if one.primary}
    rows = {row.id: row for row in world.tracker().requests}
    for one in world.plan().decisions:
        if not isinstance(one, Add | Update):
            continue
        known = rows[one.request_id].ids if isinstance(one, Update) else Ids()
        media_type = one.item.media_type
        name = NUMBERS[media_type]
        number = getattr(one, name) if isinstance(one, Add) else _number(one, name)
        if number is None:
            continue
        report = primaries[media_type]
        assert report.titles is not None
        assert report.titles.holds(number, merged(known, one.item.ids)) is not False


@given(worlds())
def test_what_is_kept_of_an_instance_comes_from_its_own_list(world: World) -> None:
    """A number stands in that very list; only all of that list takes one away."""
    further = {one.instance: one for one in world.reports if not one.primary}
    planned = world.plan()
    kept = [(one.instance, one.number) for one in planned.evidence.instance_ids]
    kept += [pair for one in only(Add, planned) for pair in one.instance_ids.items()]
    for instance, number in kept:
        if (report := further.get(instance)) is None:
            assert number is None
        elif number is None:
            assert report.whole
        else:
            assert report.titles is not None
            assert report.titles.holds(number, Ids()) is not False


def _number(update: Update, name: str) -> Any:
    return update.fills.get(name) or update.relinks.get(name, (None, None))[1]


@given(worlds())
def test_what_is_in_dispute_is_not_written(world: World) -> None:
    """A conflict names its requests, and none of them is removed."""
    planned = world.plan()
    touched = {number for one in only(Conflict, planned) for number in one.request_ids}
    gone = {one.request.id for one in only(Absent, planned)}
    assert not touched & gone
    adds = {one.item.jellyfin_id for one in only(Add, planned)}
    conflicts = {one.item.jellyfin_id for one in only(Conflict, planned) if one.item}
    assert not adds & conflicts


@given(worlds())
def test_what_cannot_be_played_never_stands_in_for_a_copy(world: World) -> None:
    """Items that certainly have nothing to play change nothing about what is added."""
    empty = replace(world, table={}, deletions=[])
    items = [one._replace(ids=_strong(one)) for one in world.items]
    playable = [item for item in items if item.available]
    with_stubs = replace(empty, items=items).plan()
    without = replace(empty, items=playable).plan()
    assert {one.item.jellyfin_id for one in only(Add, with_stubs)} == {
        one.item.jellyfin_id for one in only(Add, without)
    }


def _strong(item: LibraryItem) -> Ids:
    """The own key alone, so that no copy joins two others."""
    return Ids(tmdb=item.ids.tmdb) if item.media_type is MOVIE else Ids(tvdb=item.ids.tvdb)
