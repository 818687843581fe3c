"""The configuration: where values come from, who wins, and how mistakes are told."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from daemon.errors import SettingsError
from daemon.settings import Instance, Settings, load

EXAMPLE = Path(__file__).parent.parent / "config.yaml"
CANARY = "canary5ecret"
KEY = {"LIBRARY_SYNC__JELLYFIN__API_KEY": CANARY}
MINIMAL = "jellyfin: {url: http://jellyfin:8096}\n"
A_TIME = "must be a time like 90s, 5m, 6h or 1d, or a number of seconds"
EMPTY = "is empty; fill it in or leave it out"
NOT_ALONE = "has blanks or control characters in it; it must be the secret alone"
READABLE = f"it must be a file that uid {os.geteuid()} can read"
A_BOOLEAN = "should be a valid boolean, unable to interpret input"
SET_IT = "set it in config.yaml or as LIBRARY_SYNC__"
AN_INTEGER = "should be a valid integer, unable to parse string as an integer"
FULL = {
    "jellyfin": {"url": "http://j", "api_key": "key-j"},
    "radarr": {"url": "http://r", "api_key": "key-r"},
    "sonarr": {"url": "http://s", "api_key": "key-s"},
    "radarr_4k": {"url": "http://r4", "api_key": "key-r4"},
    "seerr": {"url": "http://w", "api_key": "key-seerr"},
    "qbittorrent": {"url": "http://q", "username": "me", "password": "key-q"},
    "shoko": {"url": "http://a", "api_key": "key-shoko"},
    "webhook": {"secret": "key-w"},
    "http": {"admin_token": "key-a"},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the path of a configuration file that is not there yet."""
    return tmp_path / "config.yaml"


def read(config: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    """Load a file with this text, by default with a key from the environment."""
    config.write_text(text, encoding="utf-8")
    return load(config, KEY if environ is None else environ)


def complaint(config: Path, text: str, environ: dict[str, str] | None = None) -> str:
    """Load what cannot be loaded and give the message, the file's directory cut off."""
    with pytest.raises(SettingsError) as caught:
        read(config, text, environ)
    return str(caught.value).replace(f"{config.parent}/", "")


def test_the_example_holds_the_defaults() -> None:
    """The file that is shipped says what would be there without it."""
    bare = Settings.model_validate(
        {"jellyfin": {"url": "http://127.0.0.1:8096", "api_key": CANARY}}
    )
    assert bare == load(EXAMPLE, KEY)


def test_the_example_names_every_key() -> None:
    """Every key stands in the file that is shipped, be it commented out, in its own section."""
    named: dict[str, set[str]] = {}
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"(?:# )?([a-z0-9_]+):", line):
            section = found[1]
            named[section] = set()
        elif found := re.match(r"(?:  # |#   |  )([a-z0-9_]+):", line):
            named[section].add(found[1])
    dumped = Settings.model_validate(FULL).masked()
    known = {k: set(v) if isinstance(v, dict) else set() for k, v in dumped.items()}
    assert known == named


def test_nothing_but_the_address_and_the_key_is_needed() -> None:
    """Everything else has a default, and the services beside Jellyfin are optional."""
    settings = load(None, {**KEY, "LIBRARY_SYNC__JELLYFIN__URL": "http://jellyfin:8096"})
    assert (None, None, Path("tracker.db")) == (
        settings.radarr,
        settings.sonarr,
        settings.database,
    )
    assert timedelta(hours=6) == settings.sync.every


def test_the_file_of_the_working_directory_is_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, config.yaml of the working directory is read if it is there."""
    config.write_text("jellyfin: {url: http://here}", encoding="utf-8")
    monkeypatch.chdir(config.parent)
    assert load(None, KEY).jellyfin.url == "http://here"


def test_the_process_environment_is_not_looked_at(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the mapping that is passed in counts."""
    monkeypatch.setenv("LIBRARY_SYNC__SYNC__EVERY", "1h")
    monkeypatch.setenv("JELLYFIN", "{}")
    assert timedelta(hours=6) == read(config, MINIMAL).sync.every
    assert Settings.model_validate(FULL).jellyfin.url == "http://j"


def test_the_strongest_source_wins(config: Path, tmp_path: Path) -> None:
    """Environment over its own _FILE over a credential file over the YAML file."""
    variable = "LIBRARY_SYNC__JELLYFIN__API_KEY"
    (tmp_path / "jellyfin_api_key").write_text("credential\n", encoding="utf-8")
    (tmp_path / "mounted").write_text("mounted\r\n", encoding="utf-8")
    text = "jellyfin: {url: http://j, api_key: yaml}"
    environ: dict[str, str] = {}
    seen = []
    for name, value in (
        ("HOME", "/"),
        ("CREDENTIALS_DIRECTORY", str(tmp_path)),
        (f"{variable}_FILE", str(tmp_path / "mounted")),
        (variable, " environment "),
    ):
        environ[name] = value
        seen.append(read(config, text, environ).jellyfin.api_key.get_secret_value())
    assert seen == ["yaml", "credential", "mounted", "environment"]


def test_secrets_may_lie_beside_the_file(config: Path, tmp_path: Path) -> None:
    """Stronger than the file, and weaker than the directory that the environment names."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "jellyfin_api_key").write_text("beside\n", encoding="utf-8")
    (tmp_path / "jellyfin_api_key").write_text("named\n", encoding="utf-8")
    text = "jellyfin: {url: http://j, api_key: yaml}"
    found = [read(config, text, {}), read(config, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})]
    assert [one.jellyfin.api_key.get_secret_value() for one in found] == ["beside", "named"]


@pytest.mark.parametrize(
    ("name", "section", "key"),
    [
        ("jellyfin_api_key", "jellyfin", "api_key"),
        ("radarr_api_key", "radarr", "api_key"),
        ("sonarr_api_key", "sonarr", "api_key"),
        ("admin_token", "http", "admin_token"),
        ("webhook_secret", "webhook", "secret"),
        ("notify_url", "notify", "url"),
        ("notify_ping_url", "notify", "ping_url"),
        ("seerr_api_key", "seerr", "api_key"),
        ("shoko_api_key", "shoko", "api_key"),
        ("radarr_4k_api_key", "radarr_4k", "api_key"),
        ("sonarr_old_anime_api_key", "sonarr_old_anime", "api_key"),
    ],
)
def test_every_secret_comes_from_a_file_of_its_own(
    config: Path, tmp_path: Path, name: str, section: str, key: str
) -> None:
    """Each secret may be a systemd credential, and each may be named by a _FILE variable."""
    secret = f"https://{name}.example" if section == "notify" else name
    (tmp_path / name).write_text(f"\ufeff{secret}\n", encoding="utf-8")
    services = ("jellyfin", "radarr", "sonarr", "radarr_4k", "sonarr_old_anime", "seerr", "shoko")
    text = "".join(f"{part}: {{url: 'http://{part}'}}\n" for part in services)
    others = {
        f"LIBRARY_SYNC__{part}__API_KEY".upper(): "other" for part in services if part != section
    }
    variable = f"LIBRARY_SYNC__{section}__{key}_FILE".upper()
    for source in ({"CREDENTIALS_DIRECTORY": str(tmp_path)}, {variable: str(tmp_path / name)}):
        settings = read(config, text, {**others, **source})
        assert secret == getattr(getattr(settings, section), key).get_secret_value()


def test_qbittorrent_is_opened_by_a_key_or_a_login_or_neither(config: Path, tmp_path: Path) -> None:
    """Its secrets come from files, too; a password may have blanks in it."""
    (tmp_path / "qbittorrent_password").write_text(" correct horse \n", encoding="utf-8")
    (tmp_path / "other").write_text("qbt_key\n", encoding="utf-8")
    address = MINIMAL + "qbittorrent: {url: 'http://torrents'"
    by_login = read(
        config, f"{address}, username: me}}", {**KEY, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    )
    assert by_login.qbittorrent is not None
    assert by_login.qbittorrent.username == "me"
    assert by_login.qbittorrent.password is not None
    assert by_login.qbittorrent.password.get_secret_value() == " correct horse "
    named = {**KEY, "LIBRARY_SYNC__QBITTORRENT__API_KEY_FILE": str(tmp_path / "other")}
    by_key = read(config, f"{address}}}", named).qbittorrent
    assert by_key is not None
    assert by_key.api_key is not None
    assert by_key.api_key.get_secret_value() == "qbt_key"
    neither = read(config, f"{address}}}").qbittorrent
    assert neither is not None
    assert (neither.api_key, neither.password, neither.username) == (None, None, None)
    assert neither.public_url == "http://torrents"


@pytest.mark.parametrize(
    "values",
    [
        "username: me",
        "password: secret",
        "api_key: k, username: me",
        "api_key: k, username: me, password: secret",
    ],
)
def test_qbittorrent_has_one_way_in(config: Path, values: str) -> None:
    """Half a login is a mistake, and so are two ways."""
    text = f"{MINIMAL}qbittorrent: {{url: 'http://torrents', {values}}}"
    wanted = "qbittorrent needs an api_key, or a username and a password"
    assert complaint(config, text) == wanted


@pytest.mark.parametrize("password", ["''", '"\\n"', '"a\\tb"'])
def test_a_password_is_text(config: Path, password: str) -> None:
    """An empty one, or one with control characters, is a mistake that names no value."""
    text = f"{MINIMAL}qbittorrent: {{url: 'http://t', username: me, password: {password}}}"
    assert complaint(config, text).endswith("is empty, or has control characters in it")


def test_instances_are_told_primaries_first_then_by_name(config: Path) -> None:
    """Each has its section's name, its kind, and whether it is 4K; that is told by its name."""
    sections = (
        "sonarr_b: {url: http://sb, api_key: b, is_4k: true}",
        "radarr_uhd: {url: http://ru/, api_key: u, public_url: https://films}",
        "sonarr: {url: http://s, api_key: s, public_url: https://series}",
        "sonarr_4k_old: {url: http://s4, api_key: s4, is_4k: no}",
        "radarr: {url: http://r, api_key: r}",
        "radarr_4k: {url: http://r4, api_key: r4}",
    )
    instances = read(config, MINIMAL + "\n".join(sections)).instances
    assert instances[1] == Instance(
        name="sonarr",
        kind="sonarr",
        primary=True,
        url="http://s",
        public_url="https://series",
        api_key=SecretStr("s"),
        is_4k=False,
    )
    assert [(one.name, one.kind, one.primary, one.is_4k) for one in instances] == [
        ("radarr", "radarr", True, False),
        ("sonarr", "sonarr", True, False),
        ("radarr_4k", "radarr", False, True),
        ("radarr_uhd", "radarr", False, True),
        ("sonarr_4k_old", "sonarr", False, False),
        ("sonarr_b", "sonarr", False, True),
    ]
    assert (instances[3].url, instances[3].public_url) == ("http://ru", "https://films")
    assert read(config, MINIMAL).instances == ()


def test_an_instance_may_come_from_the_environment_and_a_credential_alone(
    config: Path, tmp_path: Path
) -> None:
    """Without a word in the file, its environment's case aside."""
    (tmp_path / "radarr_4k_api_key").write_text("credential", encoding="utf-8")
    names = ("RADARR__URL", "RADARR__API_KEY", "RADARR_4K__URL", "RADARR_4K__IS_4K")
    values = ("http://r", "r", "http://r4", "off")
    environ = {f"LIBRARY_SYNC__{name}": value for name, value in zip(names, values, strict=True)}
    environ["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    [_, further] = read(config, MINIMAL, {**KEY, **environ}).instances
    assert (further.name, further.url, further.is_4k) == ("radarr_4k", "http://r4", False)
    assert further.api_key.get_secret_value() == "credential"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("radarr: {url: 'http://Box:80/films/', api_key: a}", "http://box/films"),
        ("radarr: {url: 'https://box', api_key: a}", "HTTPS://BOX.:443//"),
        ("radarr: {url: 'http://[::1]', api_key: a}", "http://[::1]:80"),
    ],
)
def test_a_service_is_configured_once(config: Path, first: str, second: str) -> None:
    """Two sections with one address, however it is spelt, are refused by name."""
    text = f"{MINIMAL}{first}\nradarr_4k: {{url: '{second}', api_key: b}}"
    assert complaint(config, text) == "radarr and radarr_4k have the same address"


@pytest.mark.parametrize("second", ["https://box/films", "http://box/Films", "http://box:81/films"])
def test_another_scheme_port_or_path_is_another_service(config: Path, second: str) -> None:
    """Several services of one host are told apart."""
    text = f"{MINIMAL}radarr: {{url: http://box/films, api_key: a}}\n"
    text += f"radarr_4k: {{url: '{second}', api_key: b}}"
    assert len(read(config, text).instances) == 2


def test_a_name_that_is_no_instance_is_unknown_to_the_model_too() -> None:
    """Settings that are made without a file have no other sections either."""
    wrong = {**FULL, "lidarr_4k": {"url": "http://l", "api_key": "l"}}
    with pytest.raises(ValidationError, match="lidarr_4k is not known"):
        Settings.model_validate(wrong)


@pytest.mark.parametrize("address", ["ntfy.sh/topic", "nonsense", "ftp://x/y", "https:///topic"])
def test_an_address_for_messages_must_be_one(config: Path, address: str) -> None:
    """It is found out at the start, not when there is something to tell."""
    given = {**KEY, "LIBRARY_SYNC__NOTIFY__URL": address}
    with pytest.raises(SettingsError, match=r"notify\.url must begin with http"):
        read(config, MINIMAL, given)


@pytest.mark.parametrize(
    ("written", "seconds", "shown"),
    [
        ("6h", 21600, "6h"),
        ("90s", 90, "90s"),
        ("5m", 300, "5m"),
        ("1d", 86400, "24h"),
        ("120", 120, "2m"),
        ("0", 0, "0"),
        ("0.25s", 0.25, "0.25s"),
        (" 10 m ", 600, "10m"),
    ],
)
def test_times(config: Path, written: str, seconds: float, shown: str) -> None:
    """A time is a number with a unit, or a number of seconds, and is shown in the same notation."""
    settings = read(config, f"{MINIMAL}webhook: {{quiet: '{written}'}}")
    assert timedelta(seconds=seconds) == settings.webhook.quiet
    assert shown == settings.masked()["webhook"]["quiet"]


def test_every_minute_is_the_most_often(config: Path) -> None:
    """A forgotten unit does not make the daemon read the whole library without a pause."""
    settings = read(config, f"{MINIMAL}sync: {{every: 1m, quick: 0.5}}")
    assert (settings.sync.every, settings.sync.quick) == (
        timedelta(minutes=1),
        timedelta(seconds=0.5),
    )
    assert "must be at least 1m" in complaint(config, f"{MINIMAL}sync: {{every: 6}}")


def test_yaml_1_1_guesses_nothing(config: Path) -> None:
    """What stands there is what is meant: off is a word, 010 is ten, a numeric key is text."""
    settings = read(
        config,
        "jellyfin: {url: http://j, api_key: 0123456789}\n"
        "removal: {mode: off, sightings: 010}\n"
        "sync: {on_start: off, quick: 0}\n"
        "radarr:\n"
        "http: {trusted_proxies: [10.0.0.0/8, '::1'], admin_token: }\n",
        {},
    )
    assert settings.jellyfin.api_key.get_secret_value() == "0123456789"
    assert (settings.removal.mode, settings.removal.sightings) == ("off", 10)
    assert (settings.sync.on_start, settings.sync.quick) == (False, timedelta(0))
    assert (settings.radarr, settings.http.admin_token) == (None, None)
    assert [str(n) for n in settings.http.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_a_list_in_the_environment_is_parted_by_commas(config: Path) -> None:
    """Several proxies fit into one variable."""
    variable = {"LIBRARY_SYNC__HTTP__TRUSTED_PROXIES": "10.0.0.1, 192.168.0.0/16"}
    settings = read(config, MINIMAL, KEY | variable)
    assert [str(n) for n in settings.http.trusted_proxies] == ["10.0.0.1/32", "192.168.0.0/16"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://jellyfin:8096/", "http://jellyfin:8096"),
        ("HTTPS://Media.Example.org/Jellyfin//", "https://media.example.org/Jellyfin"),
        (" http://[::1]:8096 ", "http://[::1]:8096"),
        ("http://my_server", "http://my_server"),
    ],
)
def test_addresses(config: Path, written: str, kept: str) -> None:
    """A URL base is kept, a slash at the end is not; browsers use the same address."""
    settings = read(config, f"jellyfin: {{url: '{written}'}}")
    assert (kept, kept) == (settings.jellyfin.url, settings.jellyfin.public_url)


def test_browsers_may_have_an_address_of_their_own(config: Path) -> None:
    """What is given as public address is taken."""
    text = "jellyfin: {url: http://jellyfin, public_url: https://example.org/media/}"
    assert read(config, text).jellyfin.public_url == "https://example.org/media"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://j", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("jellyfin:8096", "must begin with http:// or https://"),
        ("", "must begin with http:// or https://"),
        ("http://u:canary5ecret@j", "must not have a user name"),
        ("http://j?api_key=canary5ecret", "must not have a user name"),
        ("http://j/#canary5ecret", "must not have a user name"),
        ("http://j/\x1b[31m", "has blanks, backslashes or control characters"),
        ("http://j\\@k", "has blanks, backslashes or control characters"),
        ("http://j k", "has blanks, backslashes or control characters"),
        ("http://", "has no host"),
        ("http:///path", "has no host"),
        ("http://j:99999", "has no host"),
        ("http://j:0", "has no host"),
        ("http://[::1", "has no host"),
        ("http://169.254.169.254/latest", "has no host, one that is not allowed"),
        ("http://169.254.169.254.:80", "has no host, one that is not allowed"),
        ("http://2852039166", "has no host, one that is not allowed"),
        ("http://0xa9.0376.0xa9fe", "has no host, one that is not allowed"),
        ("http://[::ffff:169.254.169.254]", "has no host, one that is not allowed"),
        ("http://\uff11\uff16\uff19.254.169.254", "has no host, one that is not allowed"),
        ("http://%31%36%39.254.169.254", "has no host, one that is not allowed"),
    ],
)
def test_bad_addresses(config: Path, url: str, why: str) -> None:
    """Only plain http(s) addresses are taken, never that of a cloud's metadata."""
    message = complaint(config, "", {**KEY, "LIBRARY_SYNC__JELLYFIN__URL": url})
    origin = "environment variable LIBRARY_SYNC__JELLYFIN__URL: jellyfin.url "
    assert message.startswith(origin + why)
    assert "canary" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "jellyfin:\n  url: http://j\n  api_kye: canary5ecret\n",
            "config.yaml line 3: jellyfin.api_kye is not known; did you mean jellyfin.api_key?",
        ),
        ("jelyfin: {}", "config.yaml line 1: jelyfin is not known; did you mean jellyfin?"),
        ("zebra: 1", "config.yaml line 1: zebra is not known"),
        (
            "jellyfin: {api_key:canary5ecret}",
            "config.yaml line 1: jellyfin.… is not known; did you mean jellyfin.api_key?",
        ),
        ("? [canary5ecret]\n: 1", "config.yaml line 1: … is not known"),
        ("<<: {database: canary5ecret}", "config.yaml line 1: … is not known"),
        (
            "jellyfin:\n  api_key: canary5ecret\n  api_key: other\n",
            "config.yaml line 3: jellyfin.api_key is there twice",
        ),
        ("database: a\nlog: {}\ndatabase:\n", "config.yaml line 3: database is there twice"),
        ("- canary5ecret", "config.yaml must hold keys with values, not a list or a single value"),
        ("canary5ecret", "config.yaml must hold keys with values, not a list or a single value"),
        ("a: *canary5ecret", "config.yaml line 1 is not valid YAML: found undefined alias …"),
        (
            "log: {}\n a: canary5ecret",
            "config.yaml line 2 is not valid YAML: expected <block end>, but found …",
        ),
        ("a: \x00", "config.yaml is not valid YAML: unreadable"),
        ('a: "\\UFFFFFFFF"', "config.yaml is not valid YAML: unreadable"),
        ("[" * 5000, "config.yaml is not valid YAML: unreadable"),
        (
            "radarr: canary5ecret",
            "config.yaml line 1: radarr must be a section with keys of its own",
        ),
        ("database: {a: canary5ecret}", "config.yaml line 1: database must be a plain value"),
        ("database: !env canary5ecret", "config.yaml line 1: database must be a plain value"),
        (
            f"{MINIMAL}http: {{admin_token: [canary5ecret]}}",
            "config.yaml line 2: http.admin_token must be text",
        ),
        (f"{MINIMAL}http: {{admin_token: ' '}}", f"config.yaml line 2: http.admin_token {EMPTY}"),
        (
            f"{MINIMAL}http: {{admin_token: canary5ecret b}}",
            f"config.yaml line 2: http.admin_token {NOT_ALONE}",
        ),
        (
            f'{MINIMAL}http: {{admin_token: "canary\\u0085ecret"}}',
            f"config.yaml line 2: http.admin_token {NOT_ALONE}",
        ),
        (f"{MINIMAL}sync: {{every: 59s}}", "config.yaml line 2: sync.every must be at least 1m"),
        (
            f"{MINIMAL}webhook: {{quiet: -5s}}",
            f"config.yaml line 2: webhook.quiet {A_TIME}",
        ),
        (
            f"{MINIMAL}removal: {{mode: canary5ecret}}",
            "config.yaml line 2: removal.mode should be 'guarded', 'ask' or 'off'",
        ),
        (
            f"{MINIMAL}http: {{port: canary5ecret}}",
            f"config.yaml line 2: http.port {AN_INTEGER}",
        ),
        (
            f"{MINIMAL}http: {{trusted_proxies: [10.0.0.1, canary5ecret]}}",
            "config.yaml line 2: http.trusted_proxies is not a valid IPv4 or IPv6 network",
        ),
        (
            "jellyfin:",
            f"jellyfin.url is missing: {SET_IT}JELLYFIN__URL",
        ),
        (
            f"{MINIMAL}sonarr_4k: {{url: http://s, api_key: canary5ecret}}",
            "sonarr_4k is a further instance; configure the primary sonarr",
        ),
        (
            "radarr_4k: {api_kye: canary5ecret}",
            "config.yaml line 1: radarr_4k.api_kye is not known; did you mean radarr_4k.api_key?",
        ),
        (
            "radarr_4K: {api_key: canary5ecret}",
            "config.yaml line 1: … is not known; did you mean radarr?",
        ),
        (
            "radarr_a__b: {api_key: canary5ecret}",
            "config.yaml line 1: radarr_a__b is not known; did you mean radarr?",
        ),
        (
            "radarr_4k: canary5ecret",
            "config.yaml line 1: radarr_4k must be a section with keys of its own",
        ),
        (
            f"{MINIMAL}radarr_4k:\n  url: http://r\n",
            f"radarr_4k.api_key is missing: {SET_IT}RADARR_4K__API_KEY",
        ),
        (
            f"{MINIMAL}radarr_4k: {{url: http://r, api_key: a, is_4k: canary5ecret}}",
            f"config.yaml line 2: radarr_4k.is_4k {A_BOOLEAN}",
        ),
        (
            f"{MINIMAL}radarr: {{url: http://r}}",
            f"radarr.api_key is missing: {SET_IT}RADARR__API_KEY",
        ),
    ],
)
def test_mistakes_in_the_file(config: Path, text: str, message: str) -> None:
    """A mistake is one line that names file, line and key, never the value."""
    assert message == complaint(config, text)


def test_several_wrong_values_are_told_at_once(config: Path) -> None:
    """One line for each."""
    message = complaint(config, f"{MINIMAL}http:\n  port: x\nsync:\n  page_size: 0\n")
    assert [line.split(" should")[0] for line in message.splitlines()] == [
        "config.yaml line 5: sync.page_size",
        "config.yaml line 3: http.port",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("JELLYFIN__API_KYE", "jellyfin.api_kye is not known; did you mean jellyfin.api_key?"),
        ("DATABASE_FILE", "database_file is not known; did you mean database?"),
        ("JELLYFIN__URL__X", "jellyfin.url.x is not known; did you mean jellyfin.url?"),
        ("RADARR_API_KEY", "radarr_api_key is not known; did you mean radarr.api_key?"),
        ("RADARR_4K", "radarr_4k is a section, set its keys one by one"),
        ("RADARR", "radarr is a section, set its keys one by one"),
        ("", "… is not known"),
        ("WEBHOOK__SECRET", f"webhook.secret {EMPTY}"),
        ("SYNC__QUICK", f"sync.quick {A_TIME}"),
        ("HTTP__ADMIN_TOKEN_FILE", f"the file it names cannot be read: Is a directory; {READABLE}"),
    ],
)
def test_mistakes_in_the_environment(config: Path, name: str, message: str) -> None:
    """A variable with our prefix that is not known or wrong is named, its value is not."""
    variable = f"LIBRARY_SYNC__{name}"
    assert f"environment variable {variable}: {message}" == complaint(
        config, MINIMAL, {**KEY, variable: ""}
    )


def test_a_missing_file_that_was_named_is_a_mistake(config: Path) -> None:
    """A missing file is not an empty one."""
    with pytest.raises(SettingsError) as caught:
        load(config, KEY)
    assert f"{config} cannot be read: No such file or directory; {READABLE}" == str(caught.value)


def test_a_complaint_is_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    """A line break or a terminal code in a name does not get through."""
    with pytest.raises(SettingsError, match=r"a\?b\?\.yaml cannot be read"):
        load(tmp_path / "a\nb\x1b.yaml", KEY)


def test_unreadable_files_are_named(config: Path, tmp_path: Path) -> None:
    """A directory in the place of a credential, and bytes that are no text, say where they are."""
    (tmp_path / "admin_token").mkdir()
    directory = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    message = complaint(config, MINIMAL, {**KEY, **directory})
    assert message == f"credential file admin_token cannot be read: Is a directory; {READABLE}"
    config.write_bytes(b"database: \xff")
    with pytest.raises(SettingsError, match=r"config.yaml is not UTF-8 text; save it as UTF-8$"):
        load(config, KEY)


def test_a_wrong_credential_is_named(config: Path, tmp_path: Path) -> None:
    """The credential file is the source, whatever the YAML file says."""
    (tmp_path / "webhook_secret").write_text("canary5ecret\nsecond line\n", encoding="utf-8")
    message = complaint(config, MINIMAL, {**KEY, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert f"credential file webhook_secret: webhook.secret {NOT_ALONE}" == message


def test_an_error_carries_no_value_behind_it(config: Path) -> None:
    """Not even the chain of exceptions under the message knows what was written."""
    config.write_text(f"{MINIMAL}http: {{admin_token: canary5ecret b}}", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(config, KEY)
    assert caught.value.__suppress_context__
    assert "canary" not in str(caught.value.__context__)


def test_masked_shows_everything_but_the_secrets() -> None:
    """Each secret is eight stars where there is one and None where there is none."""
    masked = Settings.model_validate(FULL).masked()
    assert masked["jellyfin"] == {
        "url": "http://j",
        "public_url": "http://j",
        "api_key": "********",
    }
    assert masked["removal"] == {
        "mode": "guarded",
        "sightings": 2,
        "grace": "24h",
        "limit_percent": 10,
        "limit_titles": 5,
        "limit_total_percent": 5,
        "hold_for": "168h",
    }
    assert masked["radarr_4k"]["is_4k"] is True
    assert "key-" not in str(masked)
    without: dict[str, Any] = {"jellyfin": FULL["jellyfin"]}
    masked = Settings.model_validate(without).masked()
    assert (masked["radarr"], masked["webhook"]["secret"]) == (None, None)


def test_the_same_settings_have_the_same_fingerprint() -> None:
    """Another value makes another one; another secret does not, as none goes into it."""
    fingerprint = Settings.model_validate(FULL).fingerprint
    assert re.fullmatch("[0-9a-f]{12}", fingerprint)
    assert Settings.model_validate(FULL).fingerprint == fingerprint
    with_another_key = {**FULL, "jellyfin": {**FULL["jellyfin"], "api_key": "another"}}
    assert Settings.model_validate(with_another_key).fingerprint == fingerprint
    less = {**FULL, "sync": {"every": "7h"}}
    assert Settings.model_validate(less).fingerprint != fingerprint


def test_masked_loads_again() -> None:
    """What is shown has the notation of what is read."""
    masked = Settings.model_validate(FULL).masked()
    assert masked == Settings.model_validate(masked).masked()


def test_secrets_are_all_secrets() -> None:
    """The log filter gets every one, in clear."""
    secrets = Settings.model_validate(FULL).secrets()
    keys = {"key-j", "key-r", "key-s", "key-r4", "key-w", "key-a"}
    assert keys | {"key-seerr", "key-q", "key-shoko"} == secrets


def test_no_secret_in_a_repr() -> None:
    """Printing the settings by accident shows nothing."""
    assert "key-" not in repr(Settings.model_validate(FULL))


def test_settings_are_frozen() -> None:
    """Nobody changes the configuration of a running daemon."""
    settings = Settings.model_validate(FULL)
    with pytest.raises(ValidationError):
        settings.sync.every = timedelta(0)  # type: ignore[misc]


@budget(max_examples=150, deadline=None)
@given(
    text=st.text(
        alphabet="jellyfinradarr url:api_key{}[]\"'&*!?|>-#%@`\n\t0x~<,\x00\x85\ud800", max_size=60
    )
    | st.text(max_size=40)
)
def test_any_text_is_settings_or_a_plain_complaint(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Whatever stands in the file, nothing but a SettingsError comes out."""
    config = tmp_path_factory.mktemp("fuzz") / "config.yaml"
    config.write_bytes((MINIMAL + text).encode("utf-8", "surrogatepass"))
    try:
        settings = load(config, KEY)
    except SettingsError as error:
        assert str(error).isprintable()  # noqa: PT017  # either outcome is right
    else:
        assert settings.jellyfin.url == "http://jellyfin:8096"
