"""The pretend world as plain data: a media library, and what Radarr and Sonarr know of it."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar

LONG_AGO = datetime(2024, 1, 1, 12, tzinfo=UTC)
"""When titles came into the library, unless they say otherwise."""

EpisodeKey = tuple[str, int, int]
"""Series id, season and number."""

_CLASSES = {
    "Movie": "MediaBrowser.Controller.Entities.Movies.Movie",
    "Series": "MediaBrowser.Controller.Entities.TV.Series",
    "Season": "MediaBrowser.Controller.Entities.TV.Season",
    "Episode": "MediaBrowser.Controller.Entities.TV.Episode",
    "CollectionFolder": "MediaBrowser.Controller.Entities.CollectionFolder",
}
_WORDS = ("amber", "crooked", "distant", "early", "faded", "hidden", "iron", "quiet", "river")
_KNOWN_SHARE = 0.9


def jellyfin_id(kind: str, path: str) -> str:
    """Derive an item's id as Jellyfin does: the MD5 of class name and path, written as a GUID.

    Args:
        kind: "Movie", "Series", "Season", "Episode" or "CollectionFolder".
        path: of the file or folder; so a renamed file is a new item.

    Returns:
        32 lower-case hex digits.
    """
    text = (_CLASSES[kind] + path).encode("utf-16-le")
    return uuid.UUID(bytes_le=hashlib.md5(text, usedforsecurity=False).digest()).hex


@dataclass(frozen=True, slots=True)
class Title:
    """What Jellyfin lists of a film or a series.

    Attributes:
        provider_ids: by Jellyfin's names, e.g. {"Tmdb": "19"}; the values are unchecked text.
        path: a film's file, a series' folder.
        created_at: aware UTC.
        placeholder: a `.disc` stub stands for the film: listed, but nothing to play.
        library: the name of its folder.
    """

    jellyfin_id: str
    title: str
    year: int | None
    provider_ids: dict[str, str]
    overview: str
    path: str
    created_at: datetime
    placeholder: bool = False
    has_poster: bool = True
    library: str = "Movies"


@dataclass(frozen=True, slots=True)
class Movie(Title):
    """One film."""

    @classmethod
    def named(
        cls,
        title: str,
        year: int,
        provider_ids: dict[str, str],
        overview: str = "",
        created_at: datetime = LONG_AGO,
    ) -> Self:
        """Make a film in a folder of its own; path and id follow from title and year."""
        path = f"/media/movies/{title} ({year})/{title} ({year}).mkv"
        identity = jellyfin_id("Movie", path)
        return cls(identity, title, year, provider_ids, overview, path, created_at)


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode; a virtual one is known but has no file, a placeholder is a `.disc` stub."""

    season: int
    number: int
    placeholder: bool = False
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class Series(Title):
    """One series: a folder, whatever is in it; the list of episodes may be changed."""

    library: str = "TV"
    episodes: list[Episode] = field(default_factory=list)

    @classmethod
    def named(
        cls,
        title: str,
        year: int,
        provider_ids: dict[str, str],
        overview: str = "",
        created_at: datetime = LONG_AGO,
    ) -> Self:
        """Make a series without episodes; path and id follow from title and year."""
        path = f"/media/tv/{title} ({year})"
        identity = jellyfin_id("Series", path)
        return cls(identity, title, year, provider_ids, overview, path, created_at)

    def key(self, episode: Episode) -> EpisodeKey:
        """Name an episode among all episodes of the world."""
        return (self.jellyfin_id, episode.season, episode.number)

    def season_path(self, season: int) -> str:
        """Say where a season's folder is."""
        return f"{self.path}/Season {season:02}"

    def episode_path(self, episode: Episode) -> str:
        """Say where an episode's file is, or would be."""
        name = f"{self.title} S{episode.season:02}E{episode.number:02}.mkv"
        return f"{self.season_path(episode.season)}/{name}"


@dataclass(frozen=True, slots=True)
class RadarrMovie:
    """A film as Radarr knows it, under Radarr's own number; it must have a TMDB id."""

    id: int
    movie: Movie
    has_file: bool = True


@dataclass(frozen=True, slots=True)
class SonarrSeason:
    """One season's numbers: episodes with a file, aired, and all that are known."""

    number: int
    files: int
    aired: int
    total: int
    monitored: bool = True


@dataclass(frozen=True, slots=True)
class SonarrSeries:
    """A series as Sonarr knows it, under Sonarr's own number; it must have a TVDB id."""

    id: int
    series: Series
    seasons: tuple[SonarrSeason, ...] = ()


@dataclass(slots=True)
class Folder:
    """One library of Jellyfin; `refresh_status` is Idle, Active or Queued."""

    name: str
    collection_type: str
    refresh_status: str = "Idle"

    @property
    def path(self) -> str:
        """Where it is on disk."""
        return f"/media/{self.name.lower()}"

    @property
    def jellyfin_id(self) -> str:
        """The library's own id."""
        return jellyfin_id("CollectionFolder", self.path)


_T = TypeVar("_T", Movie, Series)


def _folders() -> dict[str, Folder]:
    kinds = {"Movies": "movies", "TV": "tvshows", "Anime": "tvshows"}
    return {name: Folder(name, kind) for name, kind in kinds.items()}


@dataclass(slots=True)
class World:
    """All that the pretend services answer from; what is changed here shows in the next reply.

    Attributes:
        movies: by Jellyfin id.
        series: by Jellyfin id.
        radarr: by Radarr's id.
        sonarr: by Sonarr's id.
        folders: Jellyfin's libraries by name.
        saved_at: when Jellyfin last saved an item, by Jellyfin id or `EpisodeKey`; what is not in
            it was saved when its title was created.
        scanning: whether Jellyfin's library scan is running.
        offline: names of the libraries whose disk is away.
    """

    movies: dict[str, Movie] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    radarr: dict[int, RadarrMovie] = field(default_factory=dict)
    sonarr: dict[int, SonarrSeries] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=_folders)
    saved_at: dict[str | EpisodeKey, datetime] = field(default_factory=dict)
    scanning: bool = False
    offline: set[str] = field(default_factory=set)

    def add_movie(self, movie: Movie) -> None:
        """Let a film appear in Jellyfin, or its metadata change."""
        self.movies[movie.jellyfin_id] = movie
        self._save(movie.jellyfin_id)

    def add_series(self, series: Series) -> None:
        """Let a series appear with its episodes, or its metadata change."""
        self.series[series.jellyfin_id] = series
        self._save(series.jellyfin_id, *map(series.key, series.episodes))

    def add_episode(self, series_id: str, episode: Episode) -> None:
        """Let an episode appear; the series itself is not saved by that, as on 10.11.11."""
        series = self.series[series_id]
        series.episodes.append(episode)
        self._save(series.key(episode))

    def remove(self, item_id: str) -> None:
        """Let a film or a series go from Jellyfin; Radarr and Sonarr are not told."""
        self.movies.pop(item_id, None)
        self.series.pop(item_id, None)

    def library_offline(self, name: str) -> None:
        """Take a library's disk away in the way that makes Jellyfin lose all its rows."""
        self.offline.add(name)

    def library_online(self, name: str) -> None:
        """Bring the disk back: the rows return with their ids, newly saved."""
        self.offline.discard(name)
        for movie in [movie for movie in self.movies.values() if movie.library == name]:
            self.add_movie(movie)
        for series in [series for series in self.series.values() if series.library == name]:
            self.add_series(series)

    def radarr_knows(self, movie: Movie, *, has_file: bool = True) -> RadarrMovie:
        """Let Radarr have a film, under its old number or else the next."""
        ids = {known.movie.jellyfin_id: number for number, known in self.radarr.items()}
        known = RadarrMovie(_number(ids, movie), movie, has_file)
        self.radarr[known.id] = known
        return known

    def sonarr_knows(self, series: Series) -> SonarrSeries:
        """Let Sonarr have a series as its episodes are now, under its old number or the next."""
        ids = {known.series.jellyfin_id: number for number, known in self.sonarr.items()}
        known = SonarrSeries(_number(ids, series), series, _seasons(series.episodes))
        self.sonarr[known.id] = known
        return known

    def listed_movies(self) -> list[Movie]:
        """List what Jellyfin has of films now, by name."""
        return _on_shelf(self.movies.values(), self.offline)

    def listed_series(self) -> list[Series]:
        """List what Jellyfin has of series now, by name."""
        return _on_shelf(self.series.values(), self.offline)

    def saved(self, key: str | EpisodeKey, title: Title) -> datetime:
        """Say when a title, or an episode of it, was last saved."""
        return self.saved_at.get(key, title.created_at)

    def _save(self, *keys: str | EpisodeKey) -> None:
        self.saved_at.update(dict.fromkeys(keys, datetime.now(UTC)))

    @classmethod
    def of_size(
        cls,
        *,
        movies: int,
        series: int = 0,
        episodes_per_series: int = 10,
        overview_chars: int = 300,
        seed: int = 1,
    ) -> Self:
        """Build a large library, the same for the same arguments.

        Every title has a TMDB id (films and series share numbers, as they do there), nine in ten
        an IMDb id, every series a TVDB id. Radarr and Sonarr know nine in ten, in their own order.
        """
        dice = random.Random(seed)
        world = cls()
        for number, overview in enumerate(_overviews(dice, movies, overview_chars)):
            movie = Movie.named(*_bulk_title(dice, number), overview, _bulk_date(number))
            world.movies[movie.jellyfin_id] = movie
        episodes = [Episode(1 + at // 10, 1 + at % 10) for at in range(episodes_per_series)]
        for number, overview in enumerate(_overviews(dice, series, overview_chars)):
            show = Series.named(*_bulk_title(dice, number), overview, _bulk_date(number))
            show.provider_ids["Tvdb"] = str(300_000 + number)
            show.episodes.extend(episodes)
            world.series[show.jellyfin_id] = show
        for number, movie in enumerate(_nine_in_ten(dice, world.movies), 1):
            world.radarr[number] = RadarrMovie(number, movie)
        seasons = _seasons(episodes)
        for number, show in enumerate(_nine_in_ten(dice, world.series), 1):
            world.sonarr[number] = SonarrSeries(number, show, seasons)
        return world


def _on_shelf(titles: Iterable[_T], offline: set[str]) -> list[_T]:
    there = (title for title in titles if title.library not in offline)
    return sorted(there, key=lambda title: title.title.lower())


def _number(numbers: Mapping[str, int], title: Title) -> int:
    return numbers.get(title.jellyfin_id) or max(numbers.values(), default=0) + 1


def _seasons(episodes: Iterable[Episode]) -> tuple[SonarrSeason, ...]:
    by_number: defaultdict[int, list[bool]] = defaultdict(list)
    for episode in episodes:
        by_number[episode.season].append(not (episode.virtual or episode.placeholder))
    return tuple(
        SonarrSeason(number, sum(files), len(files), len(files))
        for number, files in sorted(by_number.items())
    )


def _overviews(dice: random.Random, count: int, chars: int) -> Iterator[str]:
    text = " ".join(dice.choices(_WORDS, k=20_000 + chars))
    return (text[at : at + chars] for at in (dice.randrange(80_000) for _ in range(count)))


def _bulk_title(dice: random.Random, number: int) -> tuple[str, int, dict[str, str]]:
    ids = {"Tmdb": str(100_000 + number)}
    if dice.random() < _KNOWN_SHARE:
        ids = {"Imdb": f"tt{1_000_000 + number}", **ids}
    title = f"The {dice.choice(_WORDS)} {dice.choice(_WORDS)} {number}".title()
    return title, 1920 + number % 100, ids


def _bulk_date(number: int) -> datetime:
    return LONG_AGO + timedelta(seconds=10 * number)


def _nine_in_ten(dice: random.Random, titles: Mapping[str, _T]) -> list[_T]:
    known = [title for title in titles.values() if dice.random() < _KNOWN_SHARE]
    dice.shuffle(known)
    return known
