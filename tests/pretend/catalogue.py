"""What is in the demo's library: old films and series, most of them in the public domain."""

from __future__ import annotations

from datetime import timedelta

from tests.pretend.library import LONG_AGO, Episode, Movie, Series, World, jellyfin_id

# Year, title, TMDB id, IMDb id, what it is about.
_FILMS = """
1902 | A Trip to the Moon | 775 | tt0000417 | Astronomers are shot to the moon and meet its people.
1903 | The Great Train Robbery | 5698 | tt0000439 | Outlaws hold up a train; a posse follows.
1916 | Intolerance | 3059 | tt0006864 | Four ages, four stories of how people wrong each other.
1920 | The Cabinet of Dr. Caligari | 234 | tt0010323 | A showman's sleepwalker foretells murders.
1920 | The Golem | 2972 | tt0011237 | A rabbi in Prague brings a giant of clay to life.
1921 | The Kid | 10098 | tt0012349 | A tramp finds a baby and brings it up as his own.
1922 | Dr. Mabuse, the Gambler | 5998 | tt0013086 | A master of disguise plays with a whole city.
1922 | Häxan | 57283 | tt0013257 | A history of witchcraft, half lecture and half nightmare.
1922 | Nanook of the North | 669 | tt0013427 | A year with a hunter and his family in the Arctic.
1922 | Nosferatu | 653 | tt0013442 | A count from the Carpathians moves into a quiet town.
1923 | Safety Last! | 22596 | tt0014429 | A salesman climbs a tower and meets its clock.
1924 | Sherlock Jr. | 992 | tt0015324 | A projectionist dreams himself into the film.
1924 | The Thief of Bagdad | 28963 | tt0015400 | A thief seeks a treasure to win a princess.
1925 | Battleship Potemkin | 643 | tt0015648 | Sailors refuse rotten meat, and a port rises.
1925 | The Gold Rush | 962 | tt0015864 | A lone prospector finds hunger, love and a dancing roll.
1925 | The Lost World | 2981 | tt0016039 | A professor proves that dinosaurs are alive.
1925 | The Phantom of the Opera | 964 | tt0016220 | A masked man haunts the cellars of the Opera.
1926 | Faust | 10728 | tt0016847 | An old scholar sells his soul for youth.
1926 | The General | 961 | tt0017925 | An engine driver goes after his stolen locomotive.
1927 | Metropolis | 19 | tt0017136 | A city's planner and its workers need somebody between them.
1927 | Sunrise | 631 | tt0018455 | A farmer, his wife, and a day in the city.
1928 | Steamboat Bill, Jr. | 25768 | tt0019421 | A student, a steamboat and a cyclone.
1928 | The Circus | 28978 | tt0018773 | A tramp is funniest when he does not know it.
1928 | The Passion of Joan of Arc | 780 | tt0019254 | A trial, told in faces.
1929 | Man with a Movie Camera | 26317 | tt0019760 | A day of a city and of the man who films it.
1936 | My Man Godfrey | 13562 | tt0028010 | A butler is found on a rubbish tip, and is no butler.
1940 | His Girl Friday | 3085 | tt0032599 | An editor will not let his best reporter marry away.
1945 | Detour | 20367 | tt0037638 | A pianist hitch-hikes west and should not have.
1946 | The Stranger | 20246 | tt0038991 | A war criminal has become a small town's teacher.
1963 | Charade | 4808 | tt0056923 | A widow in Paris, a fortune, and four men who want it.
1968 | Night of the Living Dead | 10331 | tt0063350 | Strangers in a farmhouse, the dead outside.
"""

# Year, title, ids, how many episodes, what it is about. An id that is not sure is left out.
_SERIES = """
1949 | The Lone Ranger | Imdb=tt0041038 | 12 | A masked rider and his friend keep the peace.
1951 | Dragnet | Imdb=tt0043194 Tvdb=70843 | 14 | Police work, told as it is written down.
1954 | Sherlock Holmes | Imdb=tt0046642 Tmdb=6560 | 39 | Half-hour cases for Holmes and Watson.
1955 | The Adventures of Robin Hood | Imdb=tt0047706 | 20 | An outlaw robs the rich of Sherwood.
1959 | Bonanza | Imdb=tt0052451 | 15 | A father and his three sons run a ranch.
1960 | The Andy Griffith Show | Imdb=tt0053479 Tvdb=77754 | 16 | A sheriff without a gun.
1962 | The Beverly Hillbillies | Imdb=tt0055662 Tmdb=1930 Tvdb=71471 | 36 | Oil makes a family rich.
1962 | The Lucy Show | Imdb=tt0055686 Tvdb=70695 | 18 | A widow, her friend and their schemes.
"""
_PER_SEASON = 20


def films() -> list[Movie]:
    """Make the films, oldest first, each some days later in the library than the one before."""
    made = []
    for at, line in enumerate(_FILMS.strip().splitlines()):
        year, title, tmdb, imdb, overview = line.split(" | ")
        ids = {"Imdb": imdb, "Tmdb": tmdb}
        created = LONG_AGO + timedelta(days=9 * at)
        made.append(Movie.named(title, int(year), ids, overview, created))
    return made


def shows() -> list[Series]:
    """Make the series, then one whose files only a local database knows, then an empty folder."""
    made = []
    for at, line in enumerate(_SERIES.strip().splitlines()):
        year, title, ids, count, overview = line.split(" | ")
        named = dict(pair.split("=") for pair in ids.split())
        created = LONG_AGO + timedelta(days=30 * at)
        show = Series.named(title, int(year), named, overview, created)
        show.episodes.extend(_episodes(int(count)))
        made.append(show)
    path = "/media/anime/桃太郎 Momotarō"
    anime = Series(
        jellyfin_id("Series", path),
        "桃太郎 Momotarō",
        1931,
        {},
        "",
        path,
        LONG_AGO,
        library="Anime",
    )
    anime.episodes.extend(_episodes(4))
    return [*made, anime, Series.named("Suspense", 1949, {})]


def world() -> World:
    """Put everything on the shelves; Radarr knows all but the newest films, Sonarr what it can."""
    made = World()
    for movie in films():
        made.movies[movie.jellyfin_id] = movie
    for show in shows():
        made.series[show.jellyfin_id] = show
    for movie in films()[:-3]:
        made.radarr_knows(movie)
    for show in shows():
        if "Tvdb" in show.provider_ids:
            made.sonarr_knows(show)
    return made


def _episodes(count: int) -> list[Episode]:
    return [Episode(1 + at // _PER_SEASON, 1 + at % _PER_SEASON) for at in range(count)]
