"""What is set up: answered, configured already, found on this machine, or asked for; all tried."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from daemon.errors import NotAnApiKeyError, RefusedKeyError, ServiceError, SettingsError
from daemon.report.check import check_file
from daemon.settings import Key, address, is_instance, netloc
from daemon.setup import finding
from daemon.setup.files import Place
from daemon.setup.questions import Questions
from daemon.setup.report import Report
from daemon.setup.services import PORTS, check, greet, kind, label
from daemon.setup.wanted import ADDRESS, DATABASE, HOST, PORT, SECRET, Wanted

_TOKENS: Final = (SECRET, ("http", "admin_token"))
_ANY: Final = "0.0.0.0"  # noqa: S104  # the pages ask who comes, and webhooks carry a secret
_LOOPBACK: Final = ("127.", "localhost", "::1")


class Asking:
    """Finds out what is wanted."""

    def __init__(self, place: Place, questions: Questions, report: Report, wanted: Wanted) -> None:
        self._place = place
        self._questions = questions
        self._report = report
        self._wanted = wanted

    async def everything(self) -> None:
        """All but what an administrator of Jellyfin has to sign in for.

        Raises:
            DaemonError: something does not work, and there is nobody who could be asked again.
        """
        named = {key[0] for key in self._wanted.known if is_instance(key[0])}
        for section in (*PORTS, *sorted(named | self._questions.instances)):
            await self._service(section)
        await self._file()
        self._reached_by()
        for key in _TOKENS:
            self._wanted.values[key] = self._wanted[key] or secrets.token_hex(24)

    def _value(self, key: Key) -> str | None:
        """What is answered, else configured; "" if the answer is that there is none."""
        given = self._questions.given(key)
        return self._wanted.known.get(key) if given is None else given

    async def _service(self, section: str) -> bool:
        if not (url := await self._address(section)):
            return self._report.ok(label(section), f"none; set {section}.url if there is one")
        self._wanted.values[section, "url"] = url
        await self._seen_by_others(section, url)
        for key, where in self._keys(section, url):
            try:
                found = await check(section, url, key)
            except (RefusedKeyError, NotAnApiKeyError) as error:
                self._wanted.known.pop((section, "api_key"), None)
                if not where:  # a key that was only found may be another instance's
                    self._retry(error, asked=section != "jellyfin")
            else:
                self._wanted.values[section, "api_key"] = key
                return self._report.ok(label(section), f"{found}, at {url}{where}")
        return self._report.ok(label(section), f"it answers at {url}")

    async def _address(self, section: str) -> str:
        given = self._value((section, "url"))
        if given is None:
            for found in self._usual(section):
                with suppress(ServiceError):
                    await greet(section, found)
                    return found
            given = self._ask_address(section)
        while given:
            try:
                url = address(given if "://" in given else f"http://{given}")
                await greet(section, url)
            except (ServiceError, SettingsError) as error:
                self._retry(error)
                given = self._ask_address(section)
            else:
                return url
        return ""

    def _usual(self, section: str) -> Iterator[str]:
        """On this machine, under its name, or beside Jellyfin; a further instance has no place."""
        if is_instance(section):
            return
        jellyfin = urlsplit(self._wanted["jellyfin", "url"]).hostname
        for host in dict.fromkeys(("127.0.0.1", jellyfin or section, section)):
            yield f"http://{netloc(host, PORTS[section])}"

    def _ask_address(self, section: str) -> str:
        if section == "jellyfin":
            return self._questions.ask((section, "url"), "Jellyfin's address, e.g. http://nas:8096")
        if section == "seerr":  # most who have one have it in its usual place
            return ""
        text = f"{label(section)}'s address, or Enter if there is none"
        return self._questions.ask((section, "url"), text, "")

    def _keys(self, section: str, url: str) -> Iterator[tuple[str, str]]:
        """Keys to be tried, and where each was found; Jellyfin's is made if none works."""
        if given := self._value((section, "api_key")):
            yield given, ""
        if section == "jellyfin":
            return
        for key, file in finding.keys(kind(section), url):
            yield key, f"; its key stands in {file}"
        while True:
            text = f"{label(section)}'s API key, from its Settings, General"
            yield self._questions.ask((section, "api_key"), text, secret=True), ""

    def _retry(self, error: ServiceError | SettingsError, *, asked: bool = True) -> None:
        """Tell what is wrong, so that it can be asked again; a file would answer the same."""
        if asked and not self._questions.interactive:
            raise error
        self._report.lines([str(error)])

    async def _seen_by_others(self, section: str, url: str) -> None:
        """What is on this machine has another address for the browsers of others."""
        key, parts = (section, "public_url"), urlsplit(url)
        if self._wanted.known.get(key) or not (parts.hostname or "").startswith(_LOOPBACK):
            return
        public = url.replace(parts.netloc, netloc(finding.own_address(), parts.port or 80), 1)
        with suppress(ServiceError):
            await greet(section, public)
            self._wanted.values[key] = public

    async def _file(self) -> None:
        """The tracker's file; one that is not there yet may be meant to be another."""
        given = self._questions.given(DATABASE) or self._wanted[DATABASE]
        default = given or str(self._place.default_database)
        if not (self._place.record() or (self._place.data / given).is_file()):
            given = ""
        text = "The status tracker's SQLite file, which is made if it is not there"
        while True:
            if not given:
                given = self._questions.ask(DATABASE, text, default)
            found = await check_file(self._place.data / given)
            if found.good:
                break
            self._retry(SettingsError(found.text))
            given = ""
        self._wanted.values[DATABASE] = given
        self._report.ok("file", found.text)

    def _reached_by(self) -> None:
        """Where others reach this machine, and that it listens there."""
        port = self._value(PORT) or self._wanted[PORT]
        if not port.isdecimal():
            raise SettingsError("http.port must be a number")
        own = f"http://{netloc(finding.own_address(), int(port))}"
        url = self._value(ADDRESS) or own + self._wanted["http", "base_path"]
        self._wanted.values[PORT] = port
        self._wanted.values[ADDRESS] = url = address(url)
        local = self._wanted[HOST].startswith(_LOOPBACK)
        if local and not (
            ADDRESS in self._wanted.known or urlsplit(url).netloc.startswith(_LOOPBACK)
        ):
            self._wanted.values[HOST] = _ANY
