"""Which items and which requests are one title."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from typing import NamedTuple

import pytest

from daemon.domain import Ids, LibraryItem, MediaType, TrackedRequest
from daemon.plan.titles import Grouping, group
from tests.builders import NOW, a_request, an_item, jellyfin_id
from tests.plan.support import a_series, a_series_request

MOVIE, TV = MediaType.MOVIE, MediaType.TV
IMDB = "tt0000001"


class Found(NamedTuple):
    """One title: the names of its items, the numbers of its requests."""

    items: tuple[str, ...] = ()
    requests: tuple[int, ...] = ()
    disputed: bool = False


def film(name: str, *ids: int | str | None, **overrides: object) -> LibraryItem:
    """A film of a name, with the ids of TMDB, TVDB and IMDb."""
    return an_item(name, title=name, ids=Ids(*ids), **overrides)  # type: ignore[arg-type]


def series(name: str, *ids: int | str | None, **overrides: object) -> LibraryItem:
    """A series of a name."""
    return a_series(name, title=name, ids=Ids(*ids), **overrides)  # type: ignore[arg-type]


def wish(number: int, *ids: int | str | None, names: str | None = None) -> TrackedRequest:
    """A request of a film, and the item that it names."""
    named = jellyfin_id(names) if names else None
    return a_request(number, ids=Ids(*ids), jellyfin_id=named)  # type: ignore[arg-type]


def wish_tv(number: int, *ids: int | str | None, names: str | None = None) -> TrackedRequest:
    """A request of a series, and the item that it names."""
    named = jellyfin_id(names) if names else None
    return a_series_request(number, ids=Ids(*ids), jellyfin_id=named)  # type: ignore[arg-type]


def found(grouping: Grouping) -> set[Found]:
    """The titles, in no order."""
    titles = [
        Found(
            tuple(sorted(item.title for item in title.items)),
            tuple(row.id for row in title.requests),
            title.disputed,
        )
        for title in grouping.titles
    ]
    assert len(titles) == len(set(titles))
    return set(titles)


def titles(items: Sequence[LibraryItem], requests: Sequence[TrackedRequest] = ()) -> set[Found]:
    """The titles of some items and requests."""
    return found(group(items, requests))


# --- items ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), (1,)),
        ((1, None, IMDB), (1,)),
        ((1, None, IMDB), (None, None, IMDB)),
        ((1, None, IMDB), (1, None, "tt0000002")),
        ((1, 5), (None, 5)),
        ((1, 5), (1, 6)),
    ],
)
def test_copies_of_a_film_are_one_title(
    one: tuple[int | str | None, ...], other: tuple[int | str | None, ...]
) -> None:
    """By the strongest id that both have."""
    assert titles([film("a", *one), film("b", *other)]) == {Found(("a", "b"))}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), (2,)),
        ((1, None, IMDB), (2, None, IMDB)),
        ((1, 5), (2, 5)),
        ((1,), (None, 1)),
        ((1,), (None, None, IMDB)),
        ((), ()),
        ((1,), ()),
    ],
)
def test_other_films_are_two_titles(
    one: tuple[int | str | None, ...], other: tuple[int | str | None, ...]
) -> None:
    """A weaker id does not join what a stronger one parts, and what has no id joins nothing."""
    assert titles([film("a", *one), film("b", *other)]) == {Found(("a",)), Found(("b",))}


@pytest.mark.parametrize(
    ("one", "other"),
    [((None, 5), (None, 5)), ((1, 5), (None, 5)), ((1, 5), (1,)), ((1,), (1,)), ((1, 5), (1, 5))],
)
def test_copies_of_a_series_are_one_title(
    one: tuple[int | None, ...], other: tuple[int | None, ...]
) -> None:
    """By TVDB, else by TMDB."""
    assert titles([series("a", *one), series("b", *other)]) == {Found(("a", "b"))}


def test_two_series_of_one_tmdb_id_stay_apart() -> None:
    """TMDB takes some series for seasons of another one, and TVDB does not."""
    assert titles([series("a", 1, 5), series("b", 1, 6)]) == {Found(("a",)), Found(("b",))}


def test_two_series_of_one_imdb_id_stay_apart() -> None:
    """If either of the stronger providers knows them as two."""
    assert titles([series("a", 1, 5, IMDB), series("b", 2, None, IMDB)]) == {
        Found(("a",)),
        Found(("b",)),
    }


@pytest.mark.parametrize("ids", [Ids(tmdb=1399), Ids(tvdb=1399), Ids(imdb="tt0000001")])
def test_a_film_and_a_series_of_one_number_are_two_titles(ids: Ids) -> None:
    """Providers number them apart, in the library, in the tracker, and by the Jellyfin id."""
    items = [film("a", *ids), series("b", *ids)]
    assert titles(items) == {Found(("a",)), Found(("b",))}
    assert titles(items, [wish(1, *ids), wish_tv(2, *ids)]) == {
        Found(("a",), (1,)),
        Found(("b",), (2,)),
    }
    assert titles([film("a", *ids)], [wish_tv(2, *ids, names="a")]) == {
        Found(("a",)),
        Found((), (2,)),
    }


def test_names_never_join() -> None:
    """Two titles of one name and year are two titles."""
    twins = [an_item(n, title="Twin", ids=Ids(tmdb=n), path=f"/m/Twin {n}") for n in (1, 2)]
    assert len([*group(twins, ()).titles]) == 2


def test_the_oldest_copy_is_canonical() -> None:
    """It comes first; one whose age is unknown comes last, and among equals the id decides."""
    day = timedelta(days=1)
    copies = [
        film("new", 1),
        film("old", 1, created_at=NOW - day),
        film("unknown", 1, created_at=None),
        film("oldest", 1, created_at=NOW - 2 * day),
    ]
    twins = sorted((film(name, 2) for name in ("x", "y", "z")), key=lambda item: item.jellyfin_id)
    for order in permutations(copies):
        one, other = sorted(
            group([*order, *twins], ()).titles, key=lambda title: title.items[0].ids
        )
        assert [item.title for item in one.items] == ["oldest", "old", "new", "unknown"]
        assert [*other.items] == twins


def test_a_copy_joins_through_another_one() -> None:
    """What two copies do not share they may share with a third."""
    items = [film("a", 1), film("b", 1, None, IMDB), film("c", None, None, IMDB)]
    assert titles(items) == {Found(("a", "b", "c"))}


# --- requests ------------------------------------------------------------------------------------


def test_all_requests_of_a_title_are_its_requests() -> None:
    """Of several people, with more ids or fewer, with the Jellyfin id and without."""
    item = film("a", 603, None, "tt0133093")
    requests = [
        wish(1, 603),
        wish(2, 603, None, "tt0133093"),
        wish(3, None, None, "tt0133093"),
        wish(4, names="a"),
        wish(5, None, 99, names="a"),
        wish(6, 603, names="gone"),
    ]
    for order in permutations(requests, 6):
        assert titles([item], order) == {Found(("a",), (1, 2, 3, 4, 5, 6))}


def test_requests_without_an_item_are_one_title_too() -> None:
    """Two people asked for what is not there yet."""
    assert titles([], [wish(2, 1), wish(1, 1), wish(3, 2)]) == {Found((), (1, 2)), Found((), (3,))}


def test_a_request_without_ids_belongs_to_the_item_that_it_names() -> None:
    """And to none if it names none that is there."""
    items = [film("a", 1), film("b")]
    requests = [wish(1, names="a"), wish(2, names="b"), wish(3, names="gone"), wish(4)]
    assert titles(items, requests) == {
        Found(("a",), (1,)),
        Found(("b",), (2,)),
        Found((), (3,)),
        Found((), (4,)),
    }


def test_a_request_whose_ids_do_not_meet_those_of_its_item_goes_by_the_jellyfin_id() -> None:
    """One knows TMDB, the other IMDb, and nothing is contradicted."""
    assert titles([film("a", None, None, IMDB)], [wish(1, 1, names="a")]) == {Found(("a",), (1,))}


def test_a_series_is_told_by_what_tells_it_from_others() -> None:
    """Each request goes to the series of its TVDB id, though TMDB has one number for both."""
    items = [series("a", 30984, 74796), series("b", 30984, 434557)]
    requests = [wish_tv(1, 30984, 434557), wish_tv(2, None, 74796)]
    assert titles(items, requests) == {Found(("a",), (2,)), Found(("b",), (1,))}


def test_an_id_that_two_series_share_does_not_say_which_is_meant() -> None:
    """The request is for a person; the series stay what they are."""
    items = [series("a", 30984, 74796), series("b", 30984, 434557)]
    assert titles(items, [wish_tv(1, 30984)]) == {
        Found(("a",)),
        Found(("b",)),
        Found((), (1,), disputed=True),
    }


def test_the_jellyfin_id_says_which_of_two_series_is_meant() -> None:
    """What the providers leave open the tracker's own row has told."""
    items = [series("a", 30984, 74796), series("b", 30984, 434557)]
    assert titles(items, [wish_tv(1, 30984, names="b")]) == {
        Found(("a",)),
        Found(("b",), (1,)),
    }


# --- disputes ------------------------------------------------------------------------------------


def test_an_item_whose_ids_are_of_two_requests_is_in_dispute() -> None:
    """It may carry a wrong id, and nothing may be concluded of either request."""
    grouping = group([film("a", 1, None, IMDB)], [wish(4, 1), wish(9, None, None, IMDB)])
    assert found(grouping) == {Found(("a",), (4, 9), disputed=True)}
    assert grouping.protected == {4, 9}


def test_a_request_that_joins_two_others_settles_that() -> None:
    """Somebody else has tracked it under both ids."""
    requests = [wish(4, 1), wish(9, None, None, IMDB), wish(5, 1, None, IMDB)]
    assert titles([film("a", 1, None, IMDB)], requests) == {Found(("a",), (4, 5, 9))}


def test_requests_that_name_the_item_are_no_dispute() -> None:
    """One of two that names it is known by that."""
    requests = [wish(4, 1, names="a"), wish(9, None, None, IMDB)]
    assert titles([film("a", 1, None, IMDB)], requests) == {Found(("a",), (4, 9))}


def test_a_copy_that_may_be_of_two_films_is_in_dispute_and_the_films_are_not() -> None:
    """Two films carry one IMDb id by mistake, and a third item has no other."""
    items = [film("a", 1, None, IMDB), film("b", 2, None, IMDB), film("c", None, None, IMDB)]
    grouping = group(items, [wish(1, 1), wish(2, 2)])
    assert found(grouping) == {
        Found(("a",), (1,)),
        Found(("b",), (2,)),
        Found(("c",), (), disputed=True),
    }
    assert grouping.protected == {1, 2}


def test_a_request_that_may_be_of_two_films_touches_both() -> None:
    """Nothing may be concluded of it, or of those that it may be."""
    items = [film("a", 1, None, IMDB), film("b", 2, None, IMDB)]
    grouping = group(items, [wish(1, None, None, IMDB), wish(2, 2)])
    assert found(grouping) == {
        Found(("a",)),
        Found(("b",), (2,)),
        Found((), (1,), disputed=True),
    }
    assert {1, 2} <= grouping.protected


def test_an_item_with_two_ids_of_one_provider_is_in_dispute_alone() -> None:
    """It joins nothing by the id that was read first."""
    odd = film("odd", 1, contradicting=("tmdb",))
    assert titles([odd, film("a", 1)], [wish(1, 1)]) == {
        Found(("a",), (1,)),
        Found(("odd",), (), disputed=True),
    }


def test_a_request_that_names_one_item_and_has_the_ids_of_another_is_in_dispute() -> None:
    """Neither of them is certain, so that nothing is concluded of any request of both."""
    items = [film("a", 1), film("b", None, None, IMDB)]
    grouping = group(items, [wish(1, 1, names="b"), wish(2, None, None, IMDB)])
    assert Found(("a",), (1,), disputed=True) in found(grouping)
    assert grouping.protected == {1, 2}


# --- identified anew -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [(2,), (2, None, IMDB), (2, 5, IMDB)])
def test_an_item_that_has_other_ids_by_now_is_identified_anew(
    after: tuple[int | str | None, ...],
) -> None:
    """The request that names it keeps its own title, and it is known which item that is about."""
    item = film("a", *after)
    grouping = group([item], [wish(1, 1, None, IMDB, names="a")])
    assert found(grouping) == {Found(("a",)), Found((), (1,))}
    assert grouping.reidentified == {1: item}


@pytest.mark.parametrize(
    ("before", "after"), [((1, 5), (1, 6)), ((None, 5), (None, 6)), ((1, 5), (2, 5)), ((1,), (2,))]
)
def test_a_series_is_identified_anew_by_either_strong_id(
    before: tuple[int | None, ...], after: tuple[int | None, ...]
) -> None:
    """TMDB and TVDB each say that it is another one."""
    item = series("a", *after)
    grouping = group([item], [wish_tv(1, *before, names="a")])
    assert grouping.reidentified == {1: item}
    assert Found((), (1,)) in found(grouping)


def test_every_request_that_names_it_is_told() -> None:
    """Those of the title that it is now are not."""
    item = film("a", 2)
    requests = [wish(1, 1, names="a"), wish(2, 1, names="a"), wish(3, 2, names="a"), wish(4, 2)]
    grouping = group([item], requests)
    assert found(grouping) == {Found(("a",), (3, 4)), Found((), (1, 2))}
    assert grouping.reidentified == {1: item, 2: item}


# --- whatever order, and however many -------------------------------------------------------------


def everything(grouping: Grouping) -> object:
    """All that a grouping says; the order of the titles says nothing, that of their items does."""
    titles = [
        (
            title.media_type,
            [item.title for item in title.items],
            [row.id for row in title.requests],
            title.disputed,
            sorted(title.disputed_with),
        )
        for title in grouping.titles
    ]
    return sorted(titles), grouping.protected, grouping.reidentified


TANGLED = [
    [film("a", 1, None, IMDB), film("b", 2, None, IMDB), film("c", None, None, IMDB)],
    [film("a", 1), film("b", 1, None, IMDB), film("c", None, None, IMDB), film("d", 2, None, IMDB)],
    [film("a", 1, 5), film("b", None, 5, IMDB), film("c", 2, None, IMDB), film("d")],
    [series("a", 1, 5), series("b", 1), series("c", 1, 6), series("d", None, 6)],
    [series("a", 1, 5), series("b", None, 5, IMDB), series("c", 2, None, IMDB), film("d", 1, 5)],
    [film("a", 1, contradicting=("tmdb",)), film("b", 1), film("c", 1, None, IMDB)],
]
WISHES = [
    wish(1, 1, names="b"),
    wish(2, None, None, IMDB),
    wish_tv(3, 1, names="a"),
    wish(4, names="c"),
]


@pytest.mark.parametrize("items", TANGLED)
def test_the_titles_are_the_same_in_whatever_order_the_items_come(
    items: list[LibraryItem],
) -> None:
    """Also the order of their items, and what is in dispute."""
    expected = everything(group(items, WISHES))
    for order in permutations(items):
        assert everything(group(order, WISHES)) == expected


@pytest.mark.parametrize("items", TANGLED)
def test_the_titles_are_the_same_in_whatever_order_the_requests_come(
    items: list[LibraryItem],
) -> None:
    """A request that was made later says no less."""
    expected = everything(group(items, WISHES))
    for order in permutations(WISHES):
        assert everything(group(items, order)) == expected


@pytest.mark.parametrize("items", TANGLED)
def test_nothing_is_lost_and_nothing_is_in_two_titles(items: list[LibraryItem]) -> None:
    """Each item and each request is in exactly one."""
    grouping = group(items, WISHES)
    names = [item.jellyfin_id for title in grouping.titles for item in title.items]
    numbers = [row.id for title in grouping.titles for row in title.requests]
    assert sorted(names) == sorted(item.jellyfin_id for item in items)
    assert sorted(numbers) == [1, 2, 3, 4]


def test_an_id_that_a_whole_library_shares_joins_nothing_and_takes_no_time() -> None:
    """A script gave 30,000 films one IMDb id; compared pair by pair they would take hours."""
    items = [film(str(n), n, None, IMDB) for n in range(1, 30_001)]
    found = [*group(items, [wish(1, 7), wish(2, 8, None, IMDB)]).titles]
    assert len(found) == 30_000
    assert not any(title.disputed for title in found)
    assert sorted(len(title.requests) for title in found)[-3:] == [0, 1, 1]


def test_very_many_copies_and_requests_of_one_title_take_no_time() -> None:
    """Whether their ids are the same or complete each other."""
    items = [film(str(n), 1, None if n % 2 else 5, IMDB if n % 3 else None) for n in range(20_000)]
    requests = [wish(n, 1, None if n % 2 else 5) for n in range(1, 2001)]
    [title] = group(items, requests).titles
    assert (len(title.items), len(title.requests), title.disputed) == (20_000, 2000, False)
