"""What all pages share: layout, access, forms, and error pages."""

from __future__ import annotations

import asyncio
import hashlib
import html
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from daemon import __version__, reasons
from daemon.errors import DaemonError, NotFoundError, RefusedError
from daemon.report import audited, words
from daemon.web import view
from daemon.web.auth import refuse_other_sites
from daemon.web.problems import ACTOR, Problem
from daemon.web.rights import Rights
from daemon.web.routes import Context
from daemon.web.sessions import Form, Session, Sessions

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 20
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_IMMUTABLE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_RELOAD_PAGE: Final = '<!doctype html><title>Library Sync</title><a href="{}">Go on</a>'
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OLD_FORM: Final = (
    "This form is too old, or does not come from this page."
    " Nothing was done; go back, reload the page, and submit it again."
)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request of a logged-in person; the form is empty unless one was submitted."""

    request: web.Request
    session: Session
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> bool:
        """Whether the person is an administrator."""
        return self.session.admin


Answer = Callable[[PageRequest], Awaitable[web.StreamResponse]]


class Renderer:
    """Renders pages for people who are logged in."""

    def __init__(self, site: Context, sessions: Sessions, rights: Rights) -> None:
        self._site = site
        self._sessions = sessions
        self._rights = rights
        self.base = site.parts.settings.http.base_path
        self._assets = {name: _read(name) for name in ("page.css", "page.js")}
        settings = site.parts.settings
        self._templates = _environment(
            base=self.base,
            asset=self._asset,
            jellyfin=settings.jellyfin.public_url,
            pending=settings.seerr is not None,
            radarr=settings.radarr and settings.radarr.public_url,
        )
        for state in view.STATES:
            drawn = self._templates.get_template("icon.svg").render(state=state)
            self._assets[f"{state}.svg"] = drawn.encode()

    def page(
        self, request: web.Request, name: str, *, status: int = 200, **values: Any
    ) -> web.Response:
        """One rendered page."""
        now = self._site.parts.clock()
        note = view.note(request.query.get("said", ""), request.query.get("run", ""))
        text = self._templates.get_template(name).render(
            me=self._sessions.find(request),
            token=partial(self._sessions.form_of, request),
            now=now,
            ago=partial(view.ago, now=now),
            status=status,
            **{"note": note, **values},
        )
        return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)

    def to(self, path: str, **query: object) -> web.Response:
        """Redirect to another page."""
        told = {name: value for name, value in query.items() if value}
        where = f"{self.base}{path}{'?' if told else ''}{urlencode(told)}"
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": where})

    def handler(self, answer: Answer, *, admin: bool) -> Handler:
        """The request handler; every known error becomes a page."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                session = await self._rights.session(request)
            except Problem as problem:
                return self.failed(request, problem.status, problem.detail)
            if session is None:
                return self._to_login(request)
            request[ACTOR] = session.actor
            try:
                return await self._answered(PageRequest(request, session), answer, admin=admin)
            except RefusedError as error:
                return self.failed(
                    request, 404 if isinstance(error, NotFoundError) else 409, str(error)
                )
            except DaemonError as error:
                return self.failed(request, 503, str(error) if session.admin else "")
            except Problem as problem:
                return self.failed(request, problem.status, problem.detail)

        return handle

    async def _answered(
        self, visit: PageRequest, answer: Answer, *, admin: bool
    ) -> web.StreamResponse:
        if admin and not visit.admin:
            raise Problem(403, "Only administrators of Jellyfin may see or do this.")
        if visit.request.method != "POST":
            return await answer(visit)
        if (form := await self.form(visit.request)) is None:
            return self.to(self.landing(visit.request), said="already")
        return await answer(replace(visit, form=form))

    async def form(self, request: web.Request) -> dict[str, str] | None:
        """A submitted form; None if it was submitted before.

        Raises:
            Problem: it is not a form, or its CSRF token is invalid.
        """
        refuse_other_sites(request)
        if request.content_type != _FORM:
            raise Problem(415, _OLD_FORM)
        try:
            async with asyncio.timeout(self._site.parts.limits.body):
                text = (await request.read()).decode("utf-8", "replace")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except (TimeoutError, ValueError):
            raise Problem(400, _OLD_FORM, close=True) from None
        except web.HTTPRequestEntityTooLarge:
            raise Problem(413, _OLD_FORM, close=True) from None
        form = dict(pairs)
        verdict = self._sessions.check_form(request, form.pop("token", ""))
        if verdict is Form.FOREIGN:
            raise Problem(403, _OLD_FORM)
        return form if verdict is Form.GOOD else None

    def landing(self, request: web.Request) -> str:
        """Where to go after a form that was already submitted."""
        for name, pages in (("run_id", "runs"), ("request_id", "titles")):
            if (number := request.match_info.get(name)) is not None:
                return f"/status/{pages}/{number}"
        here = request.path.removeprefix(self.base)
        return here if here == "/status/attention" else "/status"

    def failed(self, request: web.Request, status: int, detail: str) -> web.Response:
        """A page that says what happened."""
        phrase = HTTPStatus(status).phrase
        return self.page(request, "error.html", status=status, phrase=phrase, detail=detail)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A style sheet, a script or an icon, for everybody."""
        name = request.match_info["name"]
        if (body := self._assets.get(name)) is None:
            raise web.HTTPNotFound
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_IMMUTABLE)

    def _asset(self, name: str) -> str:
        version = hashlib.sha256(self._assets[name]).hexdigest()[:10]
        return f"{self.base}/status/static/{name}?v={version}"

    def _to_login(self, request: web.Request) -> web.Response:
        """SameSite=Strict cookies are missing on cross-site links, so the page reloads once.

        A form leads to the login too, and has to be submitted again.
        """
        here = request.path_qs.removeprefix(self.base)
        if request.method != "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            where = self.base + here
            text = _RELOAD_PAGE.format(html.escape(where))
            headers = {**_HEADERS, "Refresh": f"0; url={where}"}
            return web.Response(text=text, content_type="text/html", headers=headers)
        if request.method == "POST":
            return self.to("/login", why="ended", next=self.landing(request))
        why = "ended" if self._sessions.ended(request) else ""
        return self.to("/login", next=here, why=why)


def _environment(**values: Any) -> jinja2.Environment:
    """The template environment: escapes all values and rejects undefined names."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("daemon.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(moment=view.moment, span=view.span, count=words.count)
    made.globals.update(
        version=__version__,
        icon_of=view.ICON_OF,
        kinds=view.KINDS,
        reasons=reasons.words,
        counts=[one for one in reasons.Count if one is not reasons.Count.SKIPPED],
        actions=audited.ACTIONS,
        cause=view.cause,
        summary=view.summary,
        duration=view.duration,
        sentence=view.sentence,
        **values,
    )
    return made


def _read(name: str) -> bytes:
    return files("daemon.web").joinpath("static", name).read_bytes()
