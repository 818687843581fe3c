"""Typed configuration from environment, credential files and YAML; errors never show a value."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PlainSerializer,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from daemon.domain import RemovalMode, RemovalPolicy
from daemon.errors import SettingsError

PREFIX = "LIBRARY_SYNC__"
# What begins like a key is that key with `.` mistyped, never the name of an instance.
_FURTHER = re.compile("(radarr|sonarr)_(?!api_key|url|public_url)[a-z0-9]+(?:_[a-z0-9]+)*")
_SECONDS = {"h": 3600, "m": 60, "s": 1, "d": 86400, "": 1}
_METADATA = socket.inet_aton("169.254.169.254")


def _duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([smhd]?)", str(value).strip())
    if match is None and not isinstance(value, timedelta):
        raise ValueError("must be a time like 90s, 5m, 6h or 1d, or a number of seconds")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]]) if match else value


def _at_least(least: timedelta) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value < least:
            raise ValueError(f"must be at least {_written(least)}")
        return value

    return AfterValidator(check)


def _written(value: timedelta) -> str:
    seconds = value.total_seconds()
    unit = next(unit for unit in "hms" if seconds % _SECONDS[unit] == 0 or unit == "s")
    return f"{seconds / _SECONDS[unit]:.12g}{unit}" if seconds else "0"


def _secret(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            "is empty; fill it in or leave it out" if isinstance(text, str) else "must be text"
        )
    if " " in text.strip() or not text.strip().isprintable():
        raise ValueError("has blanks or control characters in it; it must be the secret alone")
    return text.strip()


def _password(value: object) -> str:
    """A password, which may contain blanks; a trailing newline of a file is removed."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = text.strip("\r\n") if isinstance(text, str) else ""
    if not text or not text.isprintable():
        raise ValueError("is empty, or has control characters in it")
    return text


def _is_metadata(host: str) -> bool:
    """Whether a host is a cloud metadata address, in any spelling (SSRF)."""
    try:
        packed = socket.inet_aton(host.rstrip("."))
    except OSError:
        mapped = IPv6Address(host).ipv4_mapped if ":" in host else None
        packed = mapped.packed if mapped else b""
    return packed == _METADATA


def _reachable(secret: SecretStr) -> SecretStr:
    """A valid URL; a query and a user name are allowed, since they may hold a token."""
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and have a host")
    return secret


def _address(text: str) -> str:
    text = text.strip()
    if not text.isprintable() or re.search(r"[\s\\]", text):
        raise ValueError("has blanks, backslashes or control characters in it")
    if not re.match("https?://", text, re.IGNORECASE):
        raise ValueError("must begin with http:// or https://")
    if re.search("[?#]", text) or "@" in text.split("/")[2]:
        raise ValueError("must not have a user name, a password, a query or a fragment")
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "%").encode("idna").decode()
        refused = "%" in host or parts.port == 0 or _is_metadata(host)
    except ValueError:
        refused = True
    if refused:
        raise ValueError("has no host, one that is not allowed, or no valid port")
    return re.sub("^[^/]+//[^/]+", lambda origin: origin[0].lower(), text).rstrip("/")


def _entries(value: object) -> object:
    return re.findall(r"[^\s,]+", value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_written)]
Secret = Annotated[SecretStr, BeforeValidator(_secret), PlainSerializer(lambda _: "********")]
Password = Annotated[SecretStr, BeforeValidator(_password), PlainSerializer(lambda _: "********")]
Address = Annotated[str, AfterValidator(_address)]
SecretAddress = Annotated[Secret, AfterValidator(_reachable)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Service(_Part):
    """The URLs of a service, for the daemon and for browsers, and its key."""

    url: Address
    api_key: Secret
    public_url: Address = Field(default_factory=lambda given: str(given["url"]))


class FurtherService(Service):
    """A further Radarr or Sonarr; by default its name says whether it is for 4K."""

    is_4k: bool | None = None


class Qbittorrent(_Part):
    """qBittorrent: its URL, and an API key, a login, or neither."""

    url: Address
    api_key: Secret | None = None
    username: str | None = None
    password: Password | None = None
    public_url: Address = Field(default_factory=lambda given: str(given["url"]))


@dataclass(frozen=True)
class Instance:
    """One configured Radarr or Sonarr; the primary of its kind is the one the tracker uses."""

    name: str
    """The section's name: `radarr`, `radarr_4k`."""
    kind: Literal["radarr", "sonarr"]
    primary: bool
    url: str
    public_url: str
    api_key: SecretStr
    is_4k: bool

    @property
    def label(self) -> str:
        """The name for people, the log and the metrics: `Radarr`, `Radarr 4k`."""
        return self.name.replace("_", " ").capitalize()

    @property
    def hook(self) -> str:
        """The path of its webhooks: `/hooks/radarr`, `/hooks/radarr/4k`."""
        return f"/hooks/{self.name.replace('_', '/', 1)}"


class Sync(_Part):
    """Intervals (`quick` 0: no quick checks) and batch sizes."""

    every: Annotated[Duration, _at_least(timedelta(minutes=1))] = timedelta(hours=6)
    quick: Duration = timedelta(minutes=5)
    on_start: bool = True
    page_size: int = Field(20_000, ge=1)
    batch_size: int = Field(500, ge=1)


class Pending(_Part):
    """Intervals of passes over titles on their way; only with a `seerr`.

    `every` applies while something is moving, `sync.quick` otherwise; `progress` is for a
    download. `limit` is the maximum number of rows on their way: those that have one keep
    it, and the newest requests get what is left.
    """

    every: Annotated[Duration, _at_least(timedelta(seconds=5))] = timedelta(seconds=60)
    progress: Annotated[Duration, _at_least(timedelta(seconds=5))] = timedelta(seconds=30)
    limit: int = Field(500, ge=1)


class Removal(_Part):
    """What it takes to remove a title that the library no longer has."""

    mode: RemovalMode = RemovalMode.GUARDED
    sightings: int = Field(2, ge=1)
    grace: Duration = timedelta(hours=24)
    limit_percent: int = Field(10, ge=0, le=100)
    limit_titles: int = Field(5, ge=0)
    limit_total_percent: int = Field(5, ge=0, le=100)
    hold_for: Duration = timedelta(days=7)

    @property
    def policy(self) -> RemovalPolicy:
        """This section as the planner's policy."""
        return RemovalPolicy(
            mode=self.mode,
            sightings=self.sightings,
            grace=self.grace,
            limit_percent=self.limit_percent,
            limit_titles=self.limit_titles,
            limit_total_percent=self.limit_total_percent,
        )


class Webhook(_Part):
    """The secret of webhook senders, and the debounce delays."""

    secret: Secret | None = None
    quiet: Duration = timedelta(seconds=10)
    at_most: Duration = timedelta(minutes=2)


def netloc(host: str, port: int) -> str:
    """Host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Http(_Part):
    """The daemon's own address; port 0 takes a free one."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8765, ge=0, le=65535)
    base_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    public_url: Address | None = None
    admin_token: Secret | None = None
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_entries)] = ()

    @property
    def local(self) -> str:
        """The daemon's URL for programs on this machine, base path included."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{netloc(host, self.port)}{self.base_path}"

    @property
    def address(self) -> str:
        """The daemon's public URL, base path included."""
        return self.public_url or self.local


class Notify(_Part):
    """Notification receivers; the URLs may contain a token and are secrets."""

    url: SecretAddress | None = None
    shape: Literal["json", "ntfy", "gotify", "discord", "apprise"] = "json"
    ping_url: SecretAddress | None = None


class Log(_Part):
    """The log format and level."""

    format: Literal["auto", "json", "ecs", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"


class Settings(_Part):
    """The whole configuration, checked and frozen; `radarr_NAME` and `sonarr_NAME` are extras."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FurtherService]

    jellyfin: Service
    radarr: Service | None = None
    sonarr: Service | None = None
    seerr: Service | None = None
    qbittorrent: Qbittorrent | None = None
    shoko: Service | None = None
    database: Path = Path("tracker.db")
    sync: Sync = Sync()
    pending: Pending = Pending()
    removal: Removal = Removal()
    webhook: Webhook = Webhook()
    http: Http = Http()
    notify: Notify = Notify()
    log: Log = Log()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.__pydantic_extra__:
            if not (known := _FURTHER.fullmatch(name)):
                raise ValueError(f"{name} is not known")
            if getattr(self, known[1]) is None:
                raise ValueError(f"{name} is a further instance; configure the primary {known[1]}")
        sections = defaultdict(list)
        for name, part in self:
            if name != "jellyfin" and isinstance(part, Service | Qbittorrent):
                sections[_canonical(part.url)].append(name)
        for names in sections.values():
            if len(names) > 1:
                raise ValueError(f"{' and '.join(names)} have the same address")
        return self

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (torrents := self.qbittorrent) is not None:
            login = (bool(torrents.username), torrents.password is not None)
            if any(login) if torrents.api_key else login[0] != login[1]:
                raise ValueError("qbittorrent needs an api_key, or a username and a password")
        return self

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every Radarr and Sonarr: the primaries first, then the others by name."""
        primaries = (("radarr", self.radarr), ("sonarr", self.sonarr))
        parts = (*primaries, *sorted(self.__pydantic_extra__.items()))
        return tuple(_instance(name, part) for name, part in parts if part is not None)

    def masked(self) -> dict[str, Any]:
        """Return the merged configuration as plain values, secrets masked."""
        values = self.model_dump(mode="json")
        for one in self.instances:
            if not one.primary:
                values[one.name]["is_4k"] = one.is_4k
        return values

    @property
    def fingerprint(self) -> str:
        """A fingerprint of the settings, without secrets."""
        text = json.dumps(self.masked(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def secrets(self) -> frozenset[str]:
        """Return every secret in clear, for the log's redaction filter."""
        values = [value for _, part in self if isinstance(part, _Part) for _, value in part]
        return frozenset(v.get_secret_value() for v in values if isinstance(v, SecretStr))


def is_instance(section: str) -> bool:
    """Whether a section can be a further Radarr or Sonarr."""
    return _FURTHER.fullmatch(section) is not None


def address(text: str) -> str:
    """A configured URL.

    Raises:
        SettingsError: it is not a valid URL.
    """
    try:
        return TypeAdapter(Address).validate_python(text)
    except ValidationError as error:
        what = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise _fault(f"the address {what}") from None


def _canonical(url: str) -> tuple[str, str, int | None, str]:
    """A canonical form, equal for two spellings of one URL."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, (parts.hostname or "").rstrip("."), port, parts.path


def _instance(name: str, part: Service) -> Instance:
    is_4k = part.is_4k if isinstance(part, FurtherService) else False
    return Instance(
        name=name,
        kind="radarr" if name.startswith("radarr") else "sonarr",
        primary=not isinstance(part, FurtherService),
        url=part.url,
        public_url=part.public_url,
        api_key=part.api_key,
        is_4k=bool(re.search("4k|uhd", name)) if is_4k is None else is_4k,
    )


Key = tuple[str, ...]
Origin = tuple[str | list[str], str]  # a value, and where it was found
_Source = Iterator[tuple[Key, Origin]]
_FILE = Path("config.yaml")


def load(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Merge all sources by precedence, and validate the result.

    Args:
        config: the YAML file; None means `config.yaml` in the working directory, if present.
        environ: the environment, which also names the directory of credential files.

    Raises:
        SettingsError: one line for each mistake, naming the source and the key, never a value.
    """
    given = collected(config or _FILE, environ, optional=config is None)
    tree: dict[str, Any] = {"jellyfin": {}}
    for (*section, name), (value, _) in given.items():
        (tree.setdefault(section[0], {}) if section else tree)[name] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        origins = {key: origin for key, (_, origin) in given.items()}
        raise _fault(*_explained(error, origins, config or _FILE)) from None


def collected(
    file: Path, environ: Mapping[str, str] = os.environ, *, optional: bool = True
) -> dict[Key, Origin]:
    """The value and the source of each key, not validated yet.

    Args:
        file: the YAML file.
        environ: the environment.
        optional: the file may be absent.

    Raises:
        SettingsError: a source cannot be read, or a key is unknown.
    """
    given = dict(_from_file(file, optional=optional))
    given.update(_from_credentials(file.parent / "secrets"))
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        given.update(_from_credentials(Path(directory)))
    given.update(_from_environment(environ))
    return given


def _fault(*lines: str) -> SettingsError:
    plain = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return SettingsError("\n".join(plain))


def _read(path: Path, origin: str, *, optional: bool = False) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError | NotADirectoryError):
            return None
        need = f"it must be a file that uid {os.geteuid()} can read"
        raise _fault(f"{origin} cannot be read: {error.strerror}; {need}") from None
    except ValueError:
        raise _fault(f"{origin} is not UTF-8 text; save it as UTF-8") from None


def _from_file(file: Path, *, optional: bool) -> _Source:
    try:
        root = yaml.compose(_read(file, str(file), optional=optional) or "", yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        # What PyYAML quotes may be a piece of a value.
        what = re.sub(r"(?s)'..+'|\"..+\"", "…", getattr(error, "problem", None) or "unreadable")
        raise _fault(f"{file}{line} is not valid YAML: {what}") from None
    if not isinstance(root, yaml.MappingNode | None):
        raise _fault(f"{file} must hold keys with values, not a list or a single value")
    return _walk(root, (), file) if root else iter(())


def _walk(node: yaml.MappingNode, prefix: Key, file: Path) -> _Source:
    """Read scalars as text: YAML 1.1 takes `off` for false, `010` for 8, some keys for numbers."""
    seen: set[Key] = set()
    for name, value in node.value:
        key = (*prefix, name.value if isinstance(name, yaml.ScalarNode) else "")
        origin = f"{file} line {name.start_mark.line + 1}: "
        section = _is_section(key, origin)
        leaves = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if key in seen:
            raise _fault(f"{origin}{'.'.join(key)} is there twice")
        seen.add(key)
        if section and isinstance(value, yaml.MappingNode):
            yield from _walk(value, key, file)
        elif value.tag.endswith(":null"):
            continue
        elif section or not all(isinstance(n, yaml.ScalarNode) and ":" in n.tag for n in leaves):
            shape = "a section with keys of its own" if section else "a plain value"
            raise _fault(f"{origin}{'.'.join(key)} must be {shape}")
        else:
            yield key, (value.value if leaves == [value] else [n.value for n in leaves], origin)


def _from_credentials(directory: Path) -> _Source:
    instances = (file.name.removesuffix("_api_key") for file in directory.glob("*_api_key"))
    for key, name in credentials(*instances).items():
        origin = f"credential file {name}"
        text = _read(directory / name, origin, optional=True)
        if text is not None:
            yield key, (text, f"{origin}: ")


def _from_environment(environ: Mapping[str, str]) -> _Source:
    # In this order a variable comes after its own _FILE and so wins over it.
    for name in sorted((name for name in environ if name.startswith(PREFIX)), reverse=True):
        origin, value = f"environment variable {name}: ", environ[name]
        key = tuple(name.removeprefix(PREFIX).lower().split("__"))
        of_file = (*key[:-1], key[-1].removesuffix("_file"))
        if of_file != key and of_file in credentials(key[0]):
            yield of_file, (_read(Path(value), f"{origin}the file it names") or "", origin)
        elif _is_section(key, origin):
            raise _fault(f"{origin}{'.'.join(key)} is a section, set its keys one by one")
        else:
            yield key, (value, origin)


def _is_section(key: Key, origin: str) -> bool:
    known = _keys(key[0])
    if key not in known:
        near = difflib.get_close_matches(".".join(key), map(".".join, known), 1, 0.7)
        hint = f"; did you mean {near[0]}?" if near else ""
        # A blank left out after a colon makes a value part of its key.
        plain = ((part,) in known or re.fullmatch("[A-Za-z_-]{1,24}", part) for part in key)
        shown = ".".join(
            part if is_plain else "…" for part, is_plain in zip(key, plain, strict=True)
        )
        raise _fault(f"{origin}{shown} is not known{hint}")
    return known[key] == "section"


def _keys(*instances: str) -> dict[Key, str]:
    """Classify each key as a "section", a "secret" or a plain "value".

    Args:
        instances: names; those that can be further instances count as sections.
    """
    parts: dict[str, Any] = dict.fromkeys(filter(_FURTHER.fullmatch, instances), FurtherService)
    keys: dict[Key, str] = {}
    for name, field in Settings.model_fields.items():
        kinds = _types(field.annotation)
        parts[name] = next((k for k in kinds if isinstance(k, type) and issubclass(k, _Part)), None)
    for name, part in parts.items():
        keys[name,] = "section" if part else "value"
        for inner, field in part.model_fields.items() if part else ():
            keys[name, inner] = "secret" if SecretStr in _types(field.annotation) else "value"
    return keys


def _types(annotation: Any) -> Iterator[Any]:
    """Walk through the parts of a union or an annotated type."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def credentials(*instances: str) -> dict[Key, str]:
    """Map each secret to its credential file's name; `admin_token` has no prefix."""
    secrets = (key for key, kind in _keys(*instances).items() if kind == "secret")
    return {key: "_".join(key).removeprefix("http_") for key in secrets}


def _explained(error: ValidationError, origins: Mapping[Key, str], file: Path) -> Iterator[str]:
    for flaw in error.errors(include_url=False, include_context=False, include_input=False):
        key = tuple(str(part) for part in flaw["loc"][:2])
        what = re.sub(r"^(Value error,|Input|String|value) ", "", flaw["msg"])
        if not key:
            yield what  # of several sections, each of which may come from anywhere
        elif flaw["type"] == "missing":
            variable = f"{PREFIX}{'__'.join(key).upper()}"
            yield f"{'.'.join(key)} is missing: set it in {file} or as {variable}"
        elif flaw["type"] != "default_factory_not_called":
            yield f"{origins[key]}{'.'.join(key)} {what}"
