"""Telling things apart: Jellyfin's ids, places on disks, the providers' ids, the *arr's lists."""

from __future__ import annotations

from itertools import permutations

import pytest

from daemon.domain import Ids, MediaType
from daemon.identity import (
    Catalogue,
    Parsed,
    Places,
    file_name,
    jellyfin_id,
    merged,
    place,
    provider_ids,
    same,
    shoko_series,
)

MOVIE, TV = MediaType.MOVIE, MediaType.TV
ID = "0123456789abcdef0123456789abcdef"


# --- Jellyfin's ids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        ID,
        ID.upper(),
        "01234567-89ab-cdef-0123-456789abcdef",
        "01234567-89AB-CDEF-0123-456789ABCDEF",
    ],
)
def test_an_item_has_one_id_however_it_is_written(text: str) -> None:
    """The API writes 32 digits, webhooks write dashes, other programs write capitals."""
    assert jellyfin_id(text) == ID


@pytest.mark.parametrize(
    "value", [None, 7, True, ID.encode(), [ID], "", ID[:-1], ID + "0", "g" + ID[1:], f" {ID}"]
)
def test_what_is_no_id_of_jellyfin_is_none(value: object) -> None:
    """Whatever else stands there is a defect, never a name that could be missing."""
    assert jellyfin_id(value) is None


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/media/tv", "/media/tv/"),
        ("/media/tv", "/media//tv"),
        ("/media/tv", "/media/./tv"),
        (r"D:\TV", "D:\\TV\\"),
        (r"D:\TV", r"d:\tv"),
        (r"D:\TV", "D:/TV"),
        ("D:\\", "d:/"),
        (r"\\NAS\Films", r"\\nas\films"),
        (r"\\NAS\Films", "\\\\NAS\\Films\\"),
        (r"\\nas\films", "//nas/films"),
    ],
)
def test_a_place_is_one_place_however_it_is_written(one: str, other: str) -> None:
    """Separators at the end never count, and letters' case does not on Windows and on shares."""
    assert place(one) == place(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/media/tv", "/media/TV"),
        ("/media/tv", "/media/tv2"),
        ("/media/tv", "media/tv"),
        (r"D:\TV", r"E:\TV"),
        (r"D:\TV", "/TV"),
        (r"\\nas\films", "/nas/films"),
        (r"\\nas\films", r"nas\films"),
        ("/", "D:\\"),
    ],
)
def test_two_places_are_two(one: str, other: str) -> None:
    """Case counts elsewhere, and a share is not a local folder of that name."""
    assert place(one) != place(other)


@pytest.mark.parametrize(
    ("locations", "path", "found"),
    [
        (["/media/movies"], "/media/movies/Film (1999)/film.mkv", "/media/movies"),
        (["/media/movies/"], "/media/movies/film.mkv", "/media/movies/"),
        (["/media/movies"], "/media/movies//film.mkv", "/media/movies"),
        (["/media//movies"], "/media/movies/film.mkv", "/media//movies"),
        (["/media/./movies"], "/media/movies/film.mkv", "/media/./movies"),
        (["/media/movies"], "/media/movies", "/media/movies"),
        (["/"], "/film.mkv", "/"),
        (["/"], "/media/film.mkv", "/"),
        (["/media/Movies"], "/media/movies/film.mkv", None),
        (["/media/movies"], "/media/movies-4k/film.mkv", None),
        (["/media/movies"], "/mnt/media/movies/film.mkv", None),
        (["/media/movies"], r"/media/movies/AC\DC/film.mkv", "/media/movies"),
        (["D:\\"], r"D:\film.mkv", "D:\\"),
        (["D:\\"], r"d:\Films\film.mkv", "D:\\"),
        ([r"D:\Films"], r"d:\FILMS\film.mkv", r"D:\Films"),
        (["D:/Films/"], r"D:\Films\film.mkv", "D:/Films/"),
        ([r"D:\Films"], r"D:\Films 4K\film.mkv", None),
        ([r"D:\Films"], r"E:\Films\film.mkv", None),
        ([r"\\NAS\Films"], r"\\nas\films\film.mkv", r"\\NAS\Films"),
        ([r"\\NAS\Films"], "//nas/Films/film.mkv", r"\\NAS\Films"),
        ([r"\\nas\films"], "/nas/films/film.mkv", None),
        (["/nas/films"], r"\\nas\films\film.mkv", None),
        (["/media", r"D:\Films"], r"D:\Films\film.mkv", r"D:\Films"),
        (["/media", r"D:\Films"], "/media/film.mkv", "/media"),
        (["/media"], None, None),
        (["/media"], "", None),
        ([], "/media/film.mkv", None),
        (["", " "], "/media/film.mkv", None),
    ],
)
def test_a_path_lies_in_a_library(
    locations: list[str], path: str | None, found: str | None
) -> None:
    """The location is told as Jellyfin writes it; a path that lies in none is unknown."""
    assert Places(locations).find(path) == found


@pytest.mark.parametrize("order", [*permutations(["/", "/media", "/media/tv", "/media/tv/anime"])])
def test_of_nested_locations_the_inner_one_is_found(order: tuple[str, ...]) -> None:
    """Whatever order they are listed in."""
    places = Places(order)
    paths = ["/media/tv/anime/a/1.mkv", "/media/tv/b/1.mkv", "/media/c.mkv", "/srv/d.mkv"]
    assert [places.find(path) for path in paths] == ["/media/tv/anime", "/media/tv", "/media", "/"]


def test_nested_locations_of_windows_are_told_apart_too() -> None:
    """A drive that is a library holds the libraries below it."""
    places = Places(["D:\\", r"D:\TV"])
    assert places.find(r"D:\tv\Series") == r"D:\TV"
    assert places.find(r"D:\Films\film.mkv") == "D:\\"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/media/movies/film.mkv", "film.mkv"),
        ("/media/tv/Series/", "Series"),
        (r"D:\Films\film.mkv", "film.mkv"),
        ("D:\\Films\\", "Films"),
        (r"\\nas\films\film.mkv", "film.mkv"),
        ("film.mkv", "film.mkv"),
        ("/", ""),
        ("", ""),
    ],
)
def test_a_file_has_the_last_part_of_its_path_for_a_name(path: str, name: str) -> None:
    """Of the paths of any system."""
    assert file_name(path) == name


# --- the providers' ids --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({"Tmdb": "603"}, Ids(tmdb=603)),
        ({"tmdb": "603"}, Ids(tmdb=603)),
        ({"TMDB": "603"}, Ids(tmdb=603)),
        ({"TheMovieDb": "603"}, Ids(tmdb=603)),
        ({"TheMovieDB": "603"}, Ids(tmdb=603)),
        ({"Tvdb": "81189"}, Ids(tvdb=81189)),
        ({"TheTVDB": "81189"}, Ids(tvdb=81189)),
        ({"Imdb": "tt0133093"}, Ids(imdb="tt0133093")),
        ({"IMDB": "TT0133093"}, Ids(imdb="tt0133093")),
        ({"Imdb": " tt0133093\n"}, Ids(imdb="tt0133093")),
        ({"Tmdb": " 603 "}, Ids(tmdb=603)),
        ({"Tmdb": "0603"}, Ids(tmdb=603)),
        ({"Tmdb": "9" * 18}, Ids(tmdb=int("9" * 18))),
        ({"Tmdb": "603", "Tvdb": "4", "Imdb": "tt0133093"}, Ids(603, 4, "tt0133093")),
        ({"Tmdb": "603", "TmdbCollection": "2344", "Zap2It": "SH1"}, Ids(tmdb=603)),
        ({"Tmdb": ""}, Ids()),
        ({}, Ids()),
    ],
)
def test_the_providers_ids_are_read_whatever_their_names_are_written_like(
    given: dict[str, object], ids: Ids
) -> None:
    """Older and newer spellings, padded values, ids in capitals; an empty value is none."""
    assert provider_ids(given) == Parsed(ids)


@pytest.mark.parametrize(
    "value",
    [
        *(None, 603, 603.0, True, ["603"], {"id": "603"}),
        *("abc", "tt0133093", "603.0", "-603", "+603", "0", "00", "6_0", "٦٠٣", "6 03"),
        *("9" * 19, "9" * 400),
    ],
)
@pytest.mark.parametrize("name", ["Tmdb", "TheTVDB"])
def test_a_value_that_is_no_number_costs_only_itself(name: str, value: object) -> None:
    """Null, a number of JSON, text, nought, and what no column can hold."""
    given = {"Imdb": "tt0133093", name: value}
    assert provider_ids(given) == Parsed(Ids(imdb="tt0133093"), unusable=(name,))


@pytest.mark.parametrize("value", [None, 133093, "0133093", "tt", "tt12a", "nm0000206", "tt٦٦٦٦٦"])
def test_a_value_that_is_no_id_of_imdb_costs_only_itself(value: object) -> None:
    """The film keeps the ids that are good."""
    assert provider_ids({"Tmdb": "603", "Imdb": value}) == Parsed(Ids(603), unusable=("Imdb",))


def test_one_id_under_two_names_is_one_id() -> None:
    """`Tmdb` and `tmdb` with the same value say nothing new."""
    assert provider_ids({"Tmdb": "603", "tmdb": "603"}) == Parsed(Ids(603))
    assert provider_ids({"Tvdb": "4", "TheTVDB": " 4"}) == Parsed(Ids(tvdb=4))
    assert provider_ids({"Imdb": "tt0133093", "imdb": "TT0133093"}) == Parsed(Ids(imdb="tt0133093"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"Tmdb": "603", "tmdb": "604"}, "tmdb"),
        ({"Tmdb": "603", "TheMovieDb": "604"}, "TheMovieDb"),
        ({"Tvdb": "1", "TheTVDB": "2"}, "TheTVDB"),
        ({"Imdb": "tt0000001", "IMDB": "tt0000002"}, "IMDB"),
    ],
)
def test_two_ids_of_one_provider_contradict_each_other(given: dict[str, object], name: str) -> None:
    """Nobody can say which of them is right."""
    assert provider_ids(given).contradicting == (name,)


def test_an_unusable_value_contradicts_nothing() -> None:
    """The good one of two stays."""
    given = {"Tmdb": "603", "tmdb": "none"}
    assert provider_ids(given) == Parsed(Ids(603), unusable=("tmdb",))


@pytest.mark.parametrize(
    ("media_type", "some", "others", "verdict"),
    [
        (MOVIE, Ids(tmdb=1), Ids(tmdb=1), True),
        (MOVIE, Ids(tmdb=1), Ids(tmdb=2), False),
        (MOVIE, Ids(1, None, "tt0000001"), Ids(2, None, "tt0000001"), False),
        (MOVIE, Ids(1, None, "tt0000001"), Ids(1, None, "tt0000002"), True),
        (MOVIE, Ids(1, 5), Ids(1, 6), True),
        (MOVIE, Ids(1, None, "tt0000001"), Ids(imdb="tt0000001"), True),
        (MOVIE, Ids(1, None, "tt0000001"), Ids(imdb="tt0000002"), False),
        (MOVIE, Ids(tvdb=5), Ids(1, 5), True),
        (MOVIE, Ids(tmdb=1), Ids(imdb="tt0000001"), None),
        (MOVIE, Ids(tmdb=1), Ids(), None),
        (MOVIE, Ids(), Ids(), None),
        (TV, Ids(tvdb=5), Ids(tvdb=5), True),
        (TV, Ids(tvdb=5), Ids(tvdb=6), False),
        (TV, Ids(1, 5), Ids(1, 6), False),
        (TV, Ids(1, 5), Ids(2, 5), False),
        (TV, Ids(1, 5), Ids(tmdb=1), True),
        (TV, Ids(1, 5), Ids(tvdb=5), True),
        (TV, Ids(1, 5, "tt0000001"), Ids(1, 5, "tt0000002"), True),
        (TV, Ids(1, None, "tt0000001"), Ids(None, 5, "tt0000001"), True),
        (TV, Ids(tmdb=1), Ids(tvdb=1), None),
    ],
)
def test_the_strongest_provider_that_knows_both_says_whether_they_are_one(
    media_type: MediaType, some: Ids, others: Ids, verdict: bool | None
) -> None:
    """For series TMDB and TVDB are equally strong, as TMDB takes some for seasons of others."""
    assert same(media_type, some, others) is verdict
    assert same(media_type, others, some) is verdict


def test_ids_complete_each_other() -> None:
    """The first ones win, and the same object comes back where nothing is added."""
    ids = Ids(1, None, "tt0000001")
    assert merged(ids, Ids(2, 5, "tt0000002")) == Ids(1, 5, "tt0000001")
    assert merged(ids, Ids(tmdb=2)) is ids


# --- the lists of Radarr and Sonarr --------------------------------------------------------------


def a_list(media_type: MediaType, titles: dict[int, Ids]) -> Catalogue:
    """What one instance keeps, by its own numbers."""
    catalogue = Catalogue(media_type)
    for number, ids in titles.items():
        catalogue.add(number, ids)
    return catalogue


TWO_OF_ONE_TMDB = a_list(TV, {1: Ids(30984, 74796), 2: Ids(30984, 434557)})


def test_a_series_is_found_by_its_tvdb_id_first() -> None:
    """Two series that share a TMDB number are told apart by Sonarr's own key."""
    assert TWO_OF_ONE_TMDB.find(Ids(30984, 434557)) == 2
    assert TWO_OF_ONE_TMDB.find(Ids(30984, 74796)) == 1
    assert TWO_OF_ONE_TMDB.find(Ids(tvdb=434557)) == 2


def test_an_id_that_two_records_share_finds_neither() -> None:
    """Ambiguous is not proof; nor is a TVDB id that the list does not have."""
    assert TWO_OF_ONE_TMDB.find(Ids(tmdb=30984)) is None
    assert TWO_OF_ONE_TMDB.find(Ids(30984, 999)) is None


def test_a_film_is_found_by_its_tmdb_id_first() -> None:
    """An IMDb id that stands at another film does not lead there."""
    radarr = a_list(MOVIE, {7: Ids(603, None, "tt0000001"), 8: Ids(604, None, "tt0133093")})
    assert radarr.find(Ids(603, None, "tt0133093")) == 7
    assert radarr.find(Ids(imdb="tt0133093")) == 8
    assert radarr.find(Ids(605, None, "tt0133093")) is None


def test_another_id_finds_a_record_that_lacks_the_own_key() -> None:
    """Where the own keys cannot be compared, the next one that is known speaks."""
    assert a_list(TV, {4: Ids(tmdb=1)}).find(Ids(1, 5)) == 4
    assert a_list(TV, {4: Ids(1, 5)}).find(Ids(tmdb=1)) == 4
    assert a_list(TV, {4: Ids(None, 5, "tt0000001")}).find(Ids(imdb="tt0000001")) == 4
    assert a_list(MOVIE, {4: Ids(imdb="tt0000001")}).find(Ids(1, None, "tt0000001")) == 4


def test_two_records_of_one_own_key_are_ambiguous() -> None:
    """Then no weaker id decides between them."""
    sonarr = a_list(TV, {4: Ids(1, 5), 6: Ids(2, 5)})
    assert sonarr.find(Ids(tvdb=5)) is None
    assert sonarr.find(Ids(1, 5)) is None


def test_without_ids_nothing_is_found() -> None:
    """A record without ids is not what a title without ids is."""
    assert a_list(MOVIE, {4: Ids()}).find(Ids()) is None
    assert a_list(MOVIE, {}).find(Ids(603)) is None


@pytest.mark.parametrize(
    ("number", "ids", "verdict"),
    [
        (7, Ids(tmdb=603), True),
        (7, Ids(603, None, "tt0000009"), True),
        (7, Ids(tmdb=604), False),
        (7, Ids(604, None, "tt0133093"), False),
        (7, Ids(imdb="tt0133093"), True),
        (7, Ids(imdb="tt0000009"), False),
        (7, Ids(), None),
        (8, Ids(603, None, "tt0000002"), True),
        (8, Ids(tmdb=603), None),
        (9, Ids(tmdb=603), None),
        (10, Ids(tmdb=603), False),
        (0, Ids(tmdb=603), False),
        (-7, Ids(tmdb=603), False),
    ],
)
def test_a_number_holds_a_title_or_not_or_nobody_can_tell(
    number: int, ids: Ids, verdict: bool | None
) -> None:
    """Only a number that is not there, or has another own key, is surely not the title's."""
    titles = {7: Ids(603, None, "tt0133093"), 8: Ids(imdb="tt0000002"), 9: Ids()}
    assert a_list(MOVIE, titles).holds(number, ids) is verdict


def test_a_series_of_the_same_tmdb_id_is_another_one_by_its_tvdb_id() -> None:
    """The number of the right one stays, that of the other is proven wrong."""
    assert TWO_OF_ONE_TMDB.holds(2, Ids(30984, 434557)) is True
    assert TWO_OF_ONE_TMDB.holds(1, Ids(30984, 434557)) is False
    assert TWO_OF_ONE_TMDB.holds(1, Ids(tmdb=30984)) is True


@pytest.mark.parametrize(
    ("number", "ids", "verdict"),
    [
        (7, Ids(tmdb=604), True),
        (7, Ids(tmdb=603), False),
        (7, Ids(imdb="tt0000009"), True),
        (8, Ids(tmdb=603), False),
        (9, Ids(tmdb=603), False),
        (10, Ids(tmdb=603), False),
    ],
)
def test_a_number_names_another_title_if_no_id_agrees(number: int, ids: Ids, verdict: bool) -> None:
    """A number that is not there names nothing."""
    titles = {7: Ids(603, None, "tt0133093"), 8: Ids(imdb="tt0000002"), 9: Ids()}
    assert a_list(MOVIE, titles).names_another(number, ids) is verdict


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63])
def test_a_number_that_is_none_is_left_out(number: int) -> None:
    """Nought and below are no numbers of an *arr, and neither is what no column holds."""
    catalogue = a_list(MOVIE, {number: Ids(tmdb=603)})
    assert (catalogue.size, catalogue.find(Ids(tmdb=603))) == (0, None)


def test_an_id_too_large_to_be_one_costs_only_itself() -> None:
    """The record is there, and is found by its other ids."""
    catalogue = a_list(MOVIE, {7: Ids(10**17, None, "tt0133093"), 8: Ids(tmdb=10**17)})
    assert catalogue.size == 2
    assert catalogue.find(Ids(imdb="tt0133093")) == 7
    assert catalogue.find(Ids(tmdb=10**17)) is None
    assert catalogue.holds(8, Ids(tmdb=603)) is None


def test_a_long_list_answers_for_each_of_its_titles() -> None:
    """In whatever order they were added."""
    numbers = [(one * 7919) % 5003 + 1 for one in range(5000)]
    catalogue = a_list(TV, {n: Ids(n + 10_000, n + 20_000, f"tt{n:07}") for n in numbers})
    assert catalogue.size == 5000
    for n in numbers[::50]:
        assert catalogue.find(Ids(tvdb=n + 20_000)) == n
        assert catalogue.find(Ids(imdb=f"tt{n:07}")) == n
        assert catalogue.holds(n, Ids(tmdb=n + 10_000)) is True


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({"Shoko Series": "41", "AniDB": "7", "Shoko File": "9", "Shoko Group": "3"}, 41),
        ({"shoko series": " 41 "}, 41),
        ({"Shoko Series": "41", "SHOKO SERIES": "42"}, None),
        *(({"Shoko Series": odd}, None) for odd in ("", "0", "-1", "a", "9" * 20, 41, None)),
        ({"Shoko File": "9"}, None),
    ],
)
def test_shokos_number_is_that_of_its_series(given: dict[str, object], number: int | None) -> None:
    """Never that of a file, a group or AniDB."""
    assert shoko_series(given) == number
