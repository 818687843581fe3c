"""Logins in memory: how long they last, how many there are, and what a form's token is good for."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from daemon.domain import Actor
from daemon.web.sessions import HOURS, Form, Session, Sessions
from tests.web.support import Clock

ALICE = Actor("user", "alice")


class Browser:
    """Keeps the cookie that it is given."""

    def __init__(self, sessions: Sessions, **headers: str) -> None:
        self.sessions = sessions
        self.headers = headers
        self.cookie = ""
        self.written = ""

    def request(self, method: str = "GET") -> web.Request:
        """One request with the cookie."""
        sent = {"Cookie": f"{self.sessions.cookie}={self.cookie}"} if self.cookie else {}
        return make_mocked_request(method, "/status", {**self.headers, **sent})

    def log_in(self, *, admin: bool = True) -> None:
        """Get a cookie for a login."""
        reply = web.Response()
        self.sessions.begin(self.request(), reply, ALICE, admin=admin)
        self.take(reply)

    def take(self, reply: web.Response) -> None:
        """Keep a reply's cookie."""
        morsel = reply.cookies[self.sessions.cookie]
        self.cookie, self.written = morsel.value, morsel.OutputString()

    def session(self) -> Session | None:
        """Who they are known as."""
        return self.sessions.find(self.request())


@pytest.fixture
def clock() -> Clock:
    """Give a clock that only the test moves."""
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    """Give the logins of one daemon."""
    return Sessions("d" * 32, "/sync", clock)


def test_a_login_lasts_twelve_hours(sessions: Sessions, clock: Clock) -> None:
    """Then it has ended, which can be told from never having logged in."""
    browser = Browser(sessions)
    assert (browser.session(), sessions.ended(browser.request())) == (None, False)
    browser.log_in()
    clock.seconds += HOURS * 3600 - 1
    session = browser.session()
    assert session is not None
    assert (session.actor, session.admin, HOURS) == (ALICE, True, 12)
    clock.seconds += 1
    assert (browser.session(), sessions.ended(browser.request())) == (None, True)


def test_whoever_logs_out_is_out(sessions: Sessions) -> None:
    """On the server, too: a copy of the cookie is worth nothing."""
    browser = Browser(sessions)
    browser.log_in()
    reply = web.Response()
    sessions.end(browser.request(), reply)
    assert browser.session() is None
    assert reply.cookies[sessions.cookie]["max-age"] in {0, "0"}


def test_each_login_has_a_cookie_of_its_own(sessions: Sessions) -> None:
    """A cookie from before a login is never the cookie of the login."""
    browser = Browser(sessions)
    browser.log_in()
    first = browser.cookie
    browser.log_in()
    assert browser.cookie != first
    browser.cookie = first
    assert browser.session() is None


def test_the_oldest_of_very_many_logins_ends(sessions: Sessions) -> None:
    """So that memory is bounded."""
    browsers = [Browser(sessions) for _ in range(513)]
    for browser in browsers:
        browser.log_in()
    assert [browser.session() is None for browser in (browsers[0], browsers[1], browsers[-1])] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"Origin": "http://nas"}, False),
        ({"Origin": "https://nas"}, True),
        ({"X-Forwarded-Proto": "https"}, True),
    ],
)
def test_the_cookie_is_for_this_site_alone(
    sessions: Sessions, headers: dict[str, str], *, secure: bool
) -> None:
    """No script reads it, no other site's page sends it, and what came by https stays there."""
    browser = Browser(sessions, **headers)
    browser.log_in()
    parts = {*browser.written.split("; ")[1:]}
    expected = {"HttpOnly", "SameSite=Strict", "Path=/sync", "Max-Age=86400"}
    assert parts - {part for part in parts if part.startswith("expires")} == (
        expected | ({"Secure"} if secure else set())
    )


def test_daemons_of_one_host_do_not_share_a_cookie() -> None:
    """A browser sends a host's cookies to all its ports."""
    first, second = (Sessions(device, "", Clock()) for device in ("a" * 32, "b" * 32))
    assert first.cookie != second.cookie


def test_a_form_is_taken_once(sessions: Sessions) -> None:
    """The second time it is known to have been sent before."""
    browser = Browser(sessions)
    browser.log_in()
    token = sessions.form_of(browser.request())
    judged = [sessions.check_form(browser.request("POST"), token) for _ in range(2)]
    assert judged == [Form.GOOD, Form.USED]


@pytest.mark.parametrize("token", ["", ".", "a.b", "é", "\udcff.\udcff", "x" * 10_000])
def test_a_made_up_form_is_foreign(sessions: Sessions, token: str) -> None:
    """Whatever its bytes."""
    browser = Browser(sessions)
    browser.log_in()
    assert sessions.check_form(browser.request("POST"), token) is Form.FOREIGN


def test_a_form_is_good_for_its_own_browser_only(sessions: Sessions) -> None:
    """Not for another login, not without a cookie, and not after a restart of the daemon."""
    browser, other, nobody = (Browser(sessions) for _ in range(3))
    browser.log_in()
    other.log_in()
    token = sessions.form_of(browser.request())
    for one in (other, nobody):
        assert sessions.check_form(one.request("POST"), token) is Form.FOREIGN
    later = Sessions("d" * 32, "/sync", Clock())
    assert later.check_form(browser.request("POST"), token) is Form.FOREIGN


def test_a_visitor_has_forms_before_the_login(sessions: Sessions) -> None:
    """Bound to a cookie that says nothing, and that whoever is logged in does not have."""
    browser, reply = Browser(sessions), web.Response()
    visitor = sessions.anonymous_id(browser.request())
    sessions.set_anonymous_cookie(browser.request(), reply, visitor)
    browser.take(reply)
    assert sessions.check_form(browser.request("POST"), sessions.form(visitor)) is Form.GOOD
    assert (browser.session(), sessions.anonymous_id(browser.request())) == (None, visitor)
    browser.log_in()
    assert sessions.anonymous_id(browser.request()) != browser.cookie


def test_a_form_is_taken_once_however_many_were_sent_since(sessions: Sessions) -> None:
    """What is remembered of them is bounded; a form older than that is none of ours any more."""
    browser = Browser(sessions)
    browser.log_in()
    tokens = [sessions.form_of(browser.request()) for _ in range(100)]
    untouched, *sent = tokens
    judged = [sessions.check_form(browser.request("POST"), token) for token in sent]
    assert {*judged} == {Form.GOOD}
    again = [sessions.check_form(browser.request("POST"), token) for token in tokens]
    assert Form.GOOD not in again
    session = browser.session()
    assert session is not None
    assert len(session.sent) <= 64
    assert sessions.check_form(browser.request("POST"), untouched) is Form.FOREIGN
