"""The pretend world as plain data: a media library, and what Radarr and Sonarr know of it."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Final, Self, TypeVar

LONG_AGO = datetime(2024, 1, 1, 12, tzinfo=UTC)
"""When titles came into the library, unless they say otherwise."""


class _Marker(Enum):
    """A value that is no value; being an enum it stays itself in every copy."""

    ABSENT = "absent"


ABSENT: Final = _Marker.ABSENT
"""As an override it means that the key is not there at all; None is written as null."""

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


def overridden(record: Mapping[str, Any], raw: Mapping[str, object]) -> dict[str, Any]:
    """Put raw values into what is sent, wherever they are wrong; leave out what is `ABSENT`."""
    return {key: value for key, value in {**record, **raw}.items() if value is not ABSENT}


@dataclass(frozen=True, slots=True)
class Title:
    """What Jellyfin lists of a film or a series.

    Attributes:
        provider_ids: by Jellyfin's names, e.g. {"Tmdb": "19"}; the values are unchecked text.
        path: a film's file, a series' folder.
        created_at: aware UTC.
        placeholder: a `.disc` stub stands for the film: listed, but nothing to play.
        library: the name of its folder.
        location: its LocationType; without one the key is absent.
        raw: overrides of its row, by Jellyfin's names, put there as they are.
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
    location: str | None = field(default="FileSystem", kw_only=True)
    raw: dict[str, object] = field(default_factory=dict, kw_only=True)

    @classmethod
    def named(
        cls,
        title: str,
        year: int,
        provider_ids: dict[str, str],
        overview: str = "",
        created_at: datetime = LONG_AGO,
    ) -> Self:
        """Make one whose path and id follow from its title and year."""
        path = cls.usual_path(f"{title} ({year})")
        identity = jellyfin_id(cls.__name__, path)
        return cls(identity, title, year, provider_ids, overview, path, created_at)

    @staticmethod
    def usual_path(name: str) -> str:
        """Where a title of that name is, if nothing else is said."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Movie(Title):
    """One film."""

    @staticmethod
    def usual_path(name: str) -> str:
        """A file in a folder of its own."""
        return f"/media/movies/{name}/{name}.mkv"


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode, or one file of it.

    Attributes:
        season: None in absolute numbering; the file is then right below the series' folder.
        number: None where only a date is known.
        placeholder: a `.disc` stub stands for it.
        virtual: it is known but has no file.
        end: the last number that the file holds, if it holds several.
        premiered: when it was first shown.
        location: its LocationType; without one the key is absent.
        version: what tells a second file of the same number from the first.
        unread: 2 in the first moments, when neither its series nor its numbers are known yet; 1
            when only the numbers are not; 0 afterwards.
        in_season_folder: whether the file is in a season's folder; if not, it belongs to no season
            until the next scan.
    """

    season: int | None
    number: int | None
    placeholder: bool = False
    virtual: bool = False
    end: int | None = None
    premiered: date | None = None
    location: str | None = "FileSystem"
    version: str = ""
    unread: int = 0
    in_season_folder: bool = True

    @property
    def in_folder(self) -> bool:
        """Whether it is in a season's folder, or would be."""
        return self.in_season_folder and self.season is not None

    @property
    def parts(self) -> list[object]:
        """Name the episodes that it holds, within its season."""
        if self.number is None:
            return [self.premiered or self.version]
        return list(range(self.number, (self.end or self.number) + 1))

    @property
    def label(self) -> str:
        """Say in a file's name what it holds: S01E02-E03, 101 or a date."""
        if self.number is None:
            return f"{self.premiered}" if self.premiered else ""
        if self.season is None:
            return f"{self.number}"
        several = f"-E{self.end:02}" if self.end else ""
        return f"S{self.season:02}E{self.number:02}{several}"


@dataclass(frozen=True, slots=True)
class Series(Title):
    """One series: a folder, whatever is in it; the list of episodes may be changed."""

    library: str = "TV"
    episodes: list[Episode] = field(default_factory=list)

    @staticmethod
    def usual_path(name: str) -> str:
        """A folder, still without episodes."""
        return f"/media/tv/{name}"

    def key(self, episode: Episode) -> str:
        """Give an episode's id, which follows from its path."""
        return jellyfin_id("Episode", self.episode_path(episode))

    def season_id(self, season: int | None) -> str:
        """Give a season's id; the season without a number holds what has none."""
        return jellyfin_id("Season", self.season_path(season))

    def season_path(self, season: int | None) -> str:
        """Say where a season's folder is, or would be."""
        return f"{self.path}/Season {'Unknown' if season is None else f'{season:02}'}"

    def episode_path(self, episode: Episode) -> str:
        """Say where an episode's file is, or would be."""
        folder = self.season_path(episode.season) if episode.in_folder else self.path
        name = " ".join(filter(None, (self.title, episode.label)))
        version = f" - {episode.version}" if episode.version else ""
        return f"{folder}/{name}{version}.mkv"


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
    """One library of Jellyfin.

    Attributes:
        name: its path and its id follow from it.
        collection_type: "movies" or "tvshows".
        refresh_status: Idle, Active or Queued.
        merges_series: it takes folders of series with the same id for one series.
        paths: where it is said to be, if that is not `path`.
        raw: overrides of what is told of it, by Jellyfin's names, put there as they are.
    """

    name: str
    collection_type: str
    refresh_status: str = "Idle"
    merges_series: bool = False
    paths: tuple[str, ...] = ()
    raw: dict[str, object] = field(default_factory=dict)

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
        further: what other instances than the primary ones know, by their own ids, by the name of
            their section, e.g. `radarr_4k`; those that are here when the services start are served.
        folders: Jellyfin's libraries by name.
        saved_at: when Jellyfin last saved an item, by Jellyfin id; what is not in it was saved
            when its title was created.
        scanning: whether Jellyfin's library scan is running.
        offline: names of the libraries whose disk is away.
        stale: ids of series whose episodes still carry the key of before, so that questions about
            the series do not find them.
        placed: ids of episodes without a season's folder that a scan has put into a season.
        hidden: ids of titles that a person does not see, but an API key does.
        server_id: the server's own id, if it is another one.
        extra_total: so many more films and series are counted than listed.
        tasks_extra: raw entries after the scheduled tasks.
        folders_extra: raw entries after the libraries.
    """

    movies: dict[str, Movie] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    radarr: dict[int, RadarrMovie] = field(default_factory=dict)
    sonarr: dict[int, SonarrSeries] = field(default_factory=dict)
    further: dict[str, dict[int, Any]] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=_folders)
    saved_at: dict[str, datetime] = field(default_factory=dict)
    scanning: bool = False
    offline: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    placed: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    server_id: str | None = None
    extra_total: int = 0
    tasks_extra: list[object] = field(default_factory=list)
    folders_extra: list[object] = field(default_factory=list)

    def add_movie(self, movie: Movie) -> None:
        """Let a film appear in Jellyfin, or its metadata change."""
        self.movies[movie.jellyfin_id] = movie
        self._save(movie.jellyfin_id)

    def add_series(self, series: Series) -> None:
        """Let a series appear with its episodes, or its metadata change.

        Where series are merged its episodes carry a stale key until the next scan, because they
        are read before the series gets its ids.
        """
        before = self.series.get(series.jellyfin_id)
        read_as = series.jellyfin_id
        if before and before.library not in self.offline:
            read_as = self.presentation_key(before)
        if self.presentation_key(series) != read_as:
            self.stale.add(series.jellyfin_id)
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
        for movie in [movie for movie in self.movies.values() if movie.library == name]:
            self.add_movie(movie)
        for series in [series for series in self.series.values() if series.library == name]:
            self.add_series(series)
        self.offline.discard(name)

    def scan(self) -> None:
        """Let a whole scan end: keys are right again, and every file belongs to a season."""
        self.stale.clear()
        for series in self.series.values():
            loose = (episode for episode in series.episodes if not episode.in_folder)
            self.placed.update(map(series.key, loose))

    def saved_again(self) -> None:
        """Let Jellyfin save everything anew, as in a scan while a metadata provider fails."""
        self._save(*self.movies)
        for series in self.series.values():
            self._save(series.jellyfin_id, *map(series.key, series.episodes))

    def known_to(self, instance: str) -> dict[int, Any]:
        """What an instance of Radarr or Sonarr has, by its own ids."""
        primaries: dict[str, dict[int, Any]] = {"radarr": self.radarr, "sonarr": self.sonarr}
        return {**primaries, **self.further}[instance]

    def radarr_knows(
        self,
        movie: Movie,
        *,
        has_file: bool = True,
        number: int | None = None,
        instance: str = "radarr",
    ) -> RadarrMovie:
        """Let a Radarr have a film, under this number, or its old one, or else the next."""
        films = self.known_to(instance)
        ids = {known.movie.jellyfin_id: number for number, known in films.items()}
        if number is not None:
            films.pop(ids.get(movie.jellyfin_id, number), None)
        known = RadarrMovie(_number(ids, movie) if number is None else number, movie, has_file)
        films[known.id] = known
        return known

    def sonarr_knows(
        self,
        series: Series,
        *,
        seasons: tuple[SonarrSeason, ...] | None = None,
        number: int | None = None,
        instance: str = "sonarr",
    ) -> SonarrSeries:
        """Let a Sonarr have a series, under this number, or its old one, or else the next.

        Args:
            series: what it is.
            seasons: what that Sonarr knows of it; else that is as its episodes are now.
            number: its own one of the series.
            instance: which Sonarr.
        """
        shows = self.known_to(instance)
        ids = {known.series.jellyfin_id: number for number, known in shows.items()}
        if number is not None:
            shows.pop(ids.get(series.jellyfin_id, number), None)
        told = _seasons(series.episodes) if seasons is None else seasons
        known = SonarrSeries(_number(ids, series) if number is None else number, series, told)
        shows[known.id] = known
        return known

    def listed_movies(self, *, person: bool = False) -> list[Movie]:
        """List what Jellyfin has of films now, by name, or what of them a person sees."""
        return _on_shelf(self.movies.values(), self.offline, self.hidden if person else ())

    def listed_series(self, *, person: bool = False) -> list[Series]:
        """List what Jellyfin has of series now, by name, or what of them a person sees."""
        return _on_shelf(self.series.values(), self.offline, self.hidden if person else ())

    def presentation_key(self, series: Series) -> str:
        """Name what Jellyfin takes for one series: a series' own id, unless its library merges.

        Then it is the TVDB id, or else the IMDb id, together with the library: series of two
        libraries are never merged, nor are those that have neither id.
        """
        folder = self.folders.get(series.library)
        known = series.provider_ids.get("Tvdb") or series.provider_ids.get("Imdb")
        if folder and folder.merges_series and known:
            return f"{known}-{folder.jellyfin_id}"
        return series.jellyfin_id

    def in_season(self, series: Series, episode: Episode) -> bool:
        """Say whether Jellyfin has found an episode's season already."""
        return episode.in_folder or series.key(episode) in self.placed

    def saved(self, key: str, title: Title) -> datetime:
        """Say when a title, or an episode of it, was last saved."""
        return self.saved_at.get(key, title.created_at)

    def _save(self, *keys: str) -> None:
        self.saved_at.update(dict.fromkeys(keys, datetime.now(UTC)))

    @classmethod
    def holding(cls, *shows: Series, merging: bool = False) -> Self:
        """Make a world with these series, scanned and read."""
        world = cls()
        world.folders["TV"].merges_series = merging
        for show in shows:
            world.add_series(show)
        world.scan()
        return world

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


def _on_shelf(titles: Iterable[_T], offline: Collection[str], hidden: Collection[str]) -> list[_T]:
    there = (title for title in titles if title.library not in offline)
    seen = (title for title in there if title.jellyfin_id not in hidden)
    return sorted(seen, key=lambda title: title.title.lower())


def _number(numbers: Mapping[str, int], title: Title) -> int:
    return numbers.get(title.jellyfin_id) or max(numbers.values(), default=0) + 1


def _seasons(episodes: Iterable[Episode]) -> tuple[SonarrSeason, ...]:
    """Count each episode once, however many files it has; what has no season is in the first."""
    by_number: defaultdict[int, dict[object, bool]] = defaultdict(dict)
    for episode in episodes:
        there = not (episode.virtual or episode.placeholder)
        season = by_number[1 if episode.season is None else episode.season]
        season.update({part: there or season.get(part, False) for part in episode.parts})
    return tuple(
        SonarrSeason(number, sum(files.values()), len(files), len(files))
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
