"""What the services are told, and what is taken back of it: a key, and webhooks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from daemon.errors import RefusedKeyError, ServiceError, WrongServiceError
from daemon.services.connect import APP, ArrConnect, Document, JellyfinConnect
from daemon.services.http import ServiceHttp
from daemon.services.jellyfin_auth import JellyfinAuth, TokenOwner, TokenStatus
from daemon.setup import plan
from daemon.setup.files import Place
from daemon.setup.listen import Arrivals
from daemon.setup.questions import Questions
from daemon.setup.report import Report
from daemon.setup.services import client, label
from daemon.setup.wanted import ADDRESS, JELLYFIN_KEY, SECRET, Wanted

_ACTIVE: Final = "Active"
_Remove = Callable[[ServiceHttp, str], Awaitable[None]]
_ASLEEP: Final = "      its webhooks begin within the hour, or at once when Jellyfin is restarted"
_DEVICE: Final = "library-sync-setup"
_MADE: Final = "jellyfin_key"
"""In the record: the newest key of our name before one is made, then the one that was made."""

_STEPS: Final = """\
      Jellyfin has no Webhook plugin. Without it the quick look finds new titles; for it:
      1. Dashboard, Plugins, Catalogue: install Webhook, and restart Jellyfin
      2. run setup again, which does the rest; or in Dashboard, Plugins, Webhook:
      3. Add Generic Destination; Webhook Url: {url}
      4. Notification Type: Item Added and Item Deleted
      5. Item Type: Movies, Episodes, Series, Seasons
      6. tick Send All Properties
      7. Add Request Header: {header}, with what stands in {file}; Save"""


class Telling:
    """Tells the services, and keeps in the record of the place what they were told."""

    def __init__(self, place: Place, report: Report, wanted: Wanted) -> None:
        self._place = place
        self._report = report
        self._wanted = wanted

    # --- Jellyfin's key ----------------------------------------------------------------------

    async def sign_in(self, questions: Questions) -> None:
        """Have a key made by an administrator, whose login is forgotten.

        Raises:
            ServiceError: Jellyfin does not let them, and nobody can be asked again.
        """
        if self._report.dry_run:
            what = f"make the API key “{APP}”, once an administrator has signed in"
            await self._report.step("Jellyfin", what, partial(asyncio.sleep, 0))
            return
        async with client("jellyfin", self._wanted["jellyfin", "url"]) as http:
            while True:
                owner = await self._signed_in(JellyfinAuth(http, self._make_key), questions)
                if self._wanted[JELLYFIN_KEY]:
                    return
                if not questions.interactive:
                    raise _refused(http, owner)
                self._report.lines([str(_refused(http, owner))])

    async def _signed_in(self, jellyfin: JellyfinAuth, questions: Questions) -> TokenOwner:
        text = "Name of an administrator of Jellyfin, or Enter for a Quick Connect code"
        if name := questions.ask(("jellyfin", "user"), text, ""):
            password = questions.ask(("jellyfin", "password"), f"Password of {name}", secret=True)
            return await jellyfin.log_in(name, password, _DEVICE)
        if (begun := await jellyfin.quick_connect(_DEVICE)) is None:
            return TokenOwner(TokenStatus.BARRED)
        where = "In Jellyfin, where you are signed in as an administrator: Quick Connect, code"
        self._report.lines([f"{where} {begun.code}"])
        while True:
            owner = await jellyfin.quick_connected(begun.secret, _DEVICE)
            if owner is not None:
                return owner
            await asyncio.sleep(1)

    async def _make_key(self, http: ServiceHttp) -> None:
        """Make one; if that was broken off before it was stored, take the one that was made."""
        jellyfin = JellyfinConnect(http)
        key, begun = await jellyfin.key(), self._place.record().get(_MADE, {})
        if key is None or begun.get("before", _digest(key)) == _digest(key):
            self._place.note(_MADE, {"before": _digest(key or "")})
            key = await jellyfin.make_key()
        self._place.write_secret(JELLYFIN_KEY, key)
        self._place.note(_MADE, {"made": _digest(key)})
        self._wanted.known[JELLYFIN_KEY] = self._wanted.values[JELLYFIN_KEY] = key
        self._report.done("Jellyfin", f"make the API key “{APP}”, and sign out")

    # --- webhooks ----------------------------------------------------------------------------

    async def webhooks(self, arrivals: Arrivals) -> bool:
        """Have every Radarr and Sonarr tell us; whether all of them reach us."""
        return all([await self._arr(section, arrivals) for section in self._wanted.arrs])

    async def _arr(self, section: str, arrivals: Arrivals) -> bool:
        url, name = self._hook(section), label(section)
        async with client(*self._wanted.service(section)) as http:
            arr = ArrConnect(http)
            try:
                entries, template = await arr.entries(), await arr.template()
            except ServiceError as error:
                return self._report.bad(error)
            former = self._place.record().get(section, "")
            change = plan.notification(entries, template, url, former, self._wanted[SECRET])
            if change.verb == "same" and await self._works(arr, change.document, url, arrivals):
                return self._report.ok(name, f"its webhook leads to {url}")
            what = f"{'add' if change.verb == 'add' else 'change'} the webhook to {url}"
            save = partial(self._save, arr, section, change, arrivals)
            return await self._report.step(name, what, save)

    async def _works(self, arr: ArrConnect, entry: Document, url: str, arrivals: Arrivals) -> bool:
        """Whether a test of the entry as it is arrives, which also shows its password."""
        if self._report.dry_run:
            return True
        try:
            await arr.test(plan.starred(entry))
        except ServiceError:
            return False
        return arrivals.take(url)

    async def _save(
        self, arr: ArrConnect, section: str, change: plan.Change, arrivals: Arrivals
    ) -> None:
        url = self._hook(section)
        if change.verb == "add":  # noted first: what is broken off afterwards can be taken back
            self._place.note(section, url)
        await arr.save(change.document)
        if not arrivals.take(url):
            if change.verb == "add":
                await self._without_webhook(arr.http, url)
            what = "the test of its webhook arrived at another machine"
            hint = "check that this is the address of this machine"
            raise WrongServiceError(arr.http.service, url, what, hint=hint)
        if section in self._place.record():
            self._place.note(section, url)

    async def plugin(self) -> None:
        """Have Jellyfin's Webhook plugin tell us, or say how."""
        url = self._hook("jellyfin")
        async with client(*self._wanted.service("jellyfin")) as http:
            jellyfin = JellyfinConnect(http)
            try:
                status = await jellyfin.plugin()
                before = await jellyfin.configuration() if status == _ACTIVE else {}
            except ServiceError as error:
                self._report.bad(error)
                return
            if not status:
                steps = _STEPS.format(url=url, header=plan.HEADER, file=self._place.secret(SECRET))
                self._report.lines(steps.splitlines())
            elif status != _ACTIVE:
                what = f"the status of its Webhook plugin is {status}"
                self._report.bad(f"Jellyfin: {what}; restart it, then run setup again")
            else:
                await self._destination(jellyfin, before, url)

    async def _destination(self, jellyfin: JellyfinConnect, before: Document, url: str) -> None:
        former = self._place.record().get("jellyfin", "")
        change = plan.destination(before, url, former, self._wanted[SECRET])
        if change.verb == "same":
            self._report.ok("Jellyfin", f"its Webhook plugin leads to {url}")
            return
        what = f"{change.verb} the entry of its Webhook plugin that leads to {url}"
        configure = partial(self._configure, jellyfin, change, url)
        await self._report.step("Jellyfin", what, configure)

    async def _configure(self, jellyfin: JellyfinConnect, change: plan.Change, url: str) -> None:
        if change.verb == "add":
            self._place.note("jellyfin", url)
        await jellyfin.configure(change.document)
        if "jellyfin" in self._place.record():
            self._place.note("jellyfin", url)
        if not await jellyfin.armed():
            self._report.lines([_ASLEEP])

    def _hook(self, section: str) -> str:
        return f"{self._wanted[ADDRESS]}/hooks/{section.replace('_', '/', 1)}"

    # --- taking it back ----------------------------------------------------------------------

    async def take_back(self) -> None:
        """Remove what the record says was added; the key comes last, since it is what may."""
        record = self._place.record()
        for section in self._wanted.arrs:
            if section in record:
                await self._taken_back(section, self._without_webhook, record[section])
        if "jellyfin" in record:
            await self._taken_back("jellyfin", self._without_destination, record["jellyfin"])
        if _MADE in record and record[_MADE].get("made") == _digest(self._wanted[JELLYFIN_KEY]):
            await self._taken_back(_MADE, self._without_key, "")

    async def _taken_back(self, noted: str, remove: _Remove, url: str) -> None:
        section = "jellyfin" if noted == _MADE else noted

        async def take() -> None:
            async with client(*self._wanted.service(section)) as http:
                await remove(http, url)
            self._place.note(noted, None)

        what = f"remove the webhook to {url}" if url else f"remove the API key “{APP}”"
        await self._report.step(label(section), what, take)

    async def _without_webhook(self, http: ServiceHttp, url: str) -> None:
        arr = ArrConnect(http)
        for number in plan.webhooks(await arr.entries(), url):
            await arr.remove(number)

    async def _without_destination(self, http: ServiceHttp, url: str) -> None:
        jellyfin = JellyfinConnect(http)
        if await jellyfin.plugin() == _ACTIVE:
            document = plan.without_destination(await jellyfin.configuration(), url)
            if document is not None:
                await jellyfin.configure(document)

    async def _without_key(self, http: ServiceHttp, _: str) -> None:
        await JellyfinConnect(http).remove_key(self._wanted[JELLYFIN_KEY])
        self._place.secret(JELLYFIN_KEY).unlink(missing_ok=True)


def _refused(http: ServiceHttp, owner: TokenOwner) -> RefusedKeyError:
    what = {
        TokenStatus.UNKNOWN: "it does not know this name with this password, or this code",
        TokenStatus.USER: f"{owner.name} is no administrator",
    }.get(owner.standing, "it does not let this user in, or has Quick Connect switched off")
    return RefusedKeyError(http.service, http.url, what, hint="sign in as an administrator")


def _digest(text: str) -> str:
    """What tells a key again, and is none."""
    return hashlib.sha256(text.encode()).hexdigest()
