"""Log lines: their shape in each format, and what never gets into them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import pytest
from aiohttp.http_exceptions import BadStatusLine
from structlog.contextvars import bind_contextvars, bound_contextvars

from daemon import logs
from daemon.domain import MediaType
from daemon.errors import UnreachableError

Format = Literal["auto", "json", "ecs", "console"]
Start = Callable[..., io.StringIO]
FORMATS: tuple[Format, ...] = ("json", "ecs", "console")
PLAIN = "canary-5ecret"
AWKWARD = 'canary"quo\\te/pl+us ü'
HOSTILE = 'a\r\n{"level":"error"}\x1b[31m\u2028\u2029\x85\x9b\x7f\x00\u202eb'

log = logs.logger("daemon.tested")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


class Broken(io.StringIO):
    """A stream that nothing can be written to."""

    def write(self, text: str, /) -> int:
        """Refuse, as a closed pipe does."""
        raise BrokenPipeError(text)


class Shown:
    """A value with a text of its own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        if not self.text:
            raise ZeroDivisionError
        return self.text


@pytest.fixture
def start() -> Iterator[Start]:
    """Configure logging into a stream, and undo it afterwards."""

    def configure(
        form: Format = "json", level: str = "info", stream: io.StringIO | None = None
    ) -> io.StringIO:
        stream = stream or io.StringIO()
        secrets = ["", PLAIN, AWKWARD, f"{PLAIN}-and-more"]
        logs.configure(format=form, level=level, secrets=secrets, version="1.2.3", stream=stream)
        return stream

    yield configure
    logs.reset()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Parse what was written; every line must be one JSON object."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def only(stream: io.StringIO) -> dict[str, Any]:
    """Parse the one line that was written."""
    (line,) = lines(stream)
    return line


def test_a_line_is_one_flat_object(start: Start) -> None:
    """The frame comes first, then what the call says, then what is bound."""
    stream = start()
    with bound_contextvars(run_id="r1", trigger="webhook"):
        log.bind(batch=7).info("run.done", added=3, share=0.5, dry=False, note=None)
    line = only(stream)
    when = line.pop("timestamp")
    assert line == {
        "level": "info",
        "event": "run.done",
        "logger": "daemon.tested",
        "service": "library-sync",
        "version": "1.2.3",
        "batch": 7,
        "added": 3,
        "share": 0.5,
        "dry": False,
        "note": None,
        "run_id": "r1",
        "trigger": "webhook",
    }
    assert (len("2026-01-01T00:00:00.000000Z"), "Z") == (len(when), when[-1])
    assert abs(datetime.now().astimezone() - datetime.fromisoformat(when)) < timedelta(minutes=1)


def test_values_that_json_does_not_know_become_text(start: Start) -> None:
    """Paths, bytes, sets, tuples, other objects and endless numbers have a plain form."""
    stream = start()
    log.info(
        "x",
        path=Path("/a"),
        raw=b"\xffz",
        some=({1}, (2, "b")),
        inner={3: Shown("c")},
        endless=float("inf"),
        lone="\udcff",
    )
    line = only(stream)
    keys = ("path", "raw", "some", "inner", "endless", "lone")
    expected = ["/a", "\\xffz", [[1], [2, "b"]], {"3": "c"}, "inf", "\\udcff"]
    assert expected == [line[key] for key in keys]


def test_a_field_with_the_name_of_one_of_ours_is_kept_beside_it(start: Start) -> None:
    """The version of another program neither replaces ours nor gets lost."""
    stream = start()
    log.info("service.seen", version="10.11.11", level="high")
    line = only(stream)
    assert (line["version"], line["version_"]) == ("1.2.3", "10.11.11")
    assert (line["level"], line["level_"]) == ("info", "high")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_only_lines_of_the_level_and_above_are_written(start: Start, level: str) -> None:
    """The level is the least that is written."""
    stream = start(level=level)
    log.debug("debug")
    log.info("info")
    log.warning("warning")
    log.error("error")
    written = ["debug", "info", "warning", "error", "critical"]
    assert [e for e in written[written.index(level) :] if e != "critical"] == [
        line["event"] for line in lines(stream)
    ]


def test_a_line_that_is_off_is_not_made(start: Start) -> None:
    """Of a debug line that nobody sees there is no record, and nothing looks at its values."""
    stream = start(level="info")
    seen: list[logging.LogRecord] = []
    factory = logging.getLogRecordFactory()

    def made(*given: Any, **more: Any) -> logging.LogRecord:
        seen.append(record := factory(*given, **more))
        return record

    logging.setLogRecordFactory(made)
    try:
        log.debug("title.decided", title=Shown(""))
    finally:
        logging.setLogRecordFactory(factory)
    assert (seen, stream.getvalue()) == ([], "")


def test_a_logger_follows_a_later_configuration(start: Start) -> None:
    """A logger is made once and never goes stale, and no line comes twice."""
    bound = log.bind(a=1)
    first = start(level="error")
    bound.info("x")
    second = start(level="info")
    bound.info("y")
    assert (first.getvalue(), only(second)["event"]) == ("", "y")


def test_reset_leaves_nothing_behind(start: Start) -> None:
    """Handlers, levels, the way of warnings and the bound context are as before."""
    before = (list(logging.getLogger().handlers), warnings.showwarning)
    stream = start(level="debug")
    bind_contextvars(run_id="old")
    logs.reset()
    log.error("unseen")
    assert before == (list(logging.getLogger().handlers), warnings.showwarning)
    levels = [logging.getLogger(name).level for name in ("", "daemon")]
    assert levels == [logging.WARNING, logging.NOTSET]
    assert stream.getvalue() == ""
    again = start()
    log.info("new")
    assert "run_id" not in only(again)


@pytest.mark.parametrize(
    ("name", "known_as"),
    [("daemon.apply.run", "daemon.apply.run"), ("daemon", "daemon"), ("daemons", "daemon.daemons")],
)
def test_every_logger_of_ours_has_our_level(start: Start, name: str, known_as: str) -> None:
    """A name that is not under the package is put there."""
    stream = start(level="debug")
    logs.logger(name).debug("x")
    assert known_as == only(stream)["logger"]


def test_libraries_are_heard_from_warning_on(start: Start) -> None:
    """Their lines have the same frame and context; their text is the message, not the event."""
    stream = start(level="debug")
    with bound_contextvars(request_id="q1"):
        for name in ("aiohttp.access", "apscheduler.scheduler", "asyncio"):
            logging.getLogger(name).info("chatter")
        logging.getLogger("apscheduler.scheduler").warning("missed by %s", "1 s")
    line = only(stream)
    assert (line["event"], line["message"]) == ("apscheduler.scheduler.message", "missed by 1 s")
    assert (line["level"], line["request_id"], line["version"]) == ("warning", "q1", "1.2.3")


def test_libraries_are_not_heard_below_our_own_level(start: Start) -> None:
    """Who asks for errors alone gets no warnings of libraries."""
    stream = start(level="error")
    logging.getLogger("aiohttp.server").warning("x")
    assert stream.getvalue() == ""


def test_warnings_are_lines(start: Start) -> None:
    """A warning of the interpreter does not go to stderr beside the log."""
    stream = start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old {PLAIN}", UserWarning, stacklevel=1)
    line = only(stream)
    assert (line["event"], line["level"]) == ("py.warnings.message", "warning")
    assert "UserWarning: old ********" in line["message"]


def test_asyncio_complaints_are_lines(start: Start) -> None:
    """What the event loop says about a lost exception has kind and text."""
    stream = start()
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": "lost", "exception": KeyError("k")})
    loop.close()
    line = only(stream)
    found = (line["event"], line["error_kind"], line["error"])
    assert found == ("asyncio.message", "KeyError", "'k'")


@pytest.mark.parametrize("level", ["info", "debug"])
def test_garbage_from_strangers_has_no_traceback(start: Start, level: str) -> None:
    """What cannot be parsed as HTTP is one short line, whatever the level."""
    stream = start(level=level)
    garbage = BadStatusLine("\x16\x03\x01")
    logging.getLogger("aiohttp.server").error("Error handling request", exc_info=garbage)
    line = only(stream)
    assert (line["message"], line["error_kind"]) == ("Error handling request", "BadStatusLine")
    assert "stack" not in line


def fail() -> None:
    """Raise one of our own errors from a foreign one."""
    try:
        int(PLAIN)
    except ValueError as error:
        raise UnreachableError("Radarr", "http://radarr", f"no {AWKWARD!r}") from error


def test_an_exception_is_two_fields(start: Start) -> None:
    """Kind and text, the kind of ours by its own name; no stack at info."""
    stream = start()
    try:
        fail()
    except UnreachableError as error:
        log.warning("service.away", exc_info=error)
        log.warning("service.away", exc_info=True)
        log.exception("service.away", error="said better")
    one, two, three = lines(stream)
    assert (one["error_kind"], one["level"]) == ("unreachable", "warning")
    assert one["error"].startswith("Radarr at http://radarr: no '********'; check that")
    assert (one["error"], "said better") == (two["error"], three["error"])
    assert (three["level"], three["error_kind"]) == ("error", "unreachable")
    assert not any("stack" in line or "exc_info" in line for line in (one, two, three))


def test_an_exception_outside_of_any_is_no_exception(start: Start) -> None:
    """Asking for the current exception when there is none adds nothing."""
    stream = start()
    wanted = True
    log.warning("x", exc_info=wanted)
    assert "error_kind" not in only(stream)


def test_a_stack_is_written_at_debug(start: Start) -> None:
    """Who searches a fault gets the traceback with its causes, as one field."""
    stream = start(level="debug")
    try:
        fail()
    except UnreachableError:
        log.exception("x")
    stack = only(stream)["stack"]
    expected = ["Traceback", "UnreachableError", "ValueError", "in fail"]
    assert expected == [word for word in expected if word in stack]


def test_a_group_tells_what_is_in_it(start: Start) -> None:
    """What a task group raises is told by its leaves."""
    stream = start()
    inner = ExceptionGroup("inner", [TimeoutError()])
    log.error("x", exc_info=ExceptionGroup("outer", [inner, ValueError("b")]))
    line = only(stream)
    assert (line["error_kind"], line["error"]) == ("TimeoutError", "TimeoutError(); b")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", ["info", "debug"])
@pytest.mark.parametrize("secret", [PLAIN, AWKWARD])
def test_no_secret_gets_out(start: Start, form: Format, level: str, secret: str) -> None:
    """A canary is in no line, wherever and however it was put in."""
    stream = start(form, level)
    bind_contextvars(context=f"a {secret} b")
    log.bind(bound=secret).info(
        f"event.{secret}",
        text=f"<{secret}>",
        twice=secret * 2,
        shown=Shown(secret),
        raw=secret.encode(),
        deep=[{"x": (secret,), secret: 1}],
        quoted=repr([secret]),
        encoded=json.dumps(secret),
        url=f"http://x/?k={quote(secret, safe='')}&k={quote_plus(secret)}",
        path=Path(secret),
        error_=ValueError(secret),
    )
    group = ExceptionGroup(secret, [OSError(2, secret)])
    group.__cause__ = KeyError(secret)
    log.error("x", exc_info=group)
    logging.getLogger("aiohttp.server").error("%s and %r", secret, secret, exc_info=group)
    log.info("long", text=("x" * 2040 + secret) * 9)
    written = stream.getvalue()
    spelled = {secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    assert not [spelling for spelling in spelled if spelling in written]
    assert "canary" not in written
    assert "********" in written


def test_a_secret_that_begins_like_another_is_masked_whole(start: Start) -> None:
    """No tail of the longer one is left over."""
    stream = start()
    log.info("x", text=f"<{PLAIN}-and-more>")
    assert only(stream)["text"] == "<********>"


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apikey",
        "ApiKey",
        "X-Api-Key",
        "token",
        "X-Emby-Token",
        "AccessToken",
        "admin_token",
        "secret",
        "Password",
        "Pw",
        "authorization",
        "X-Emby-Authorization",
        "Cookie",
        "Set-Cookie",
    ],
)
def test_some_keys_never_show_their_value(start: Start, key: str) -> None:
    """Whatever stands under such a name is masked, nested too; that there is nothing is shown."""
    stream = start()
    log.info("x", **{key: "unknown"}, headers={key: ["unknown"]}, none={key: None})
    line = only(stream)
    assert ("********", {key: "********"}, {key: None}) == (
        line[key],
        line["headers"],
        line["none"],
    )


def test_harmless_keys_show_their_value(start: Start) -> None:
    """The deny-list does not take more than it should."""
    stream = start()
    log.info("x", keys=3, powered="on", provider="tmdb")
    assert only(stream).items() >= {"keys": 3, "powered": "on", "provider": "tmdb"}.items()


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_stays_in_its_line(start: Start, form: Format) -> None:
    """Line breaks, terminal codes and odd separators of a title do not reach the output."""
    stream = start(form)
    log.info(HOSTILE, title=HOSTILE, **{HOSTILE: [HOSTILE]}, inner={HOSTILE: HOSTILE})
    logging.getLogger("aiohttp.server").error("%s", HOSTILE)
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert not [c for c in written if not c.isprintable() and c not in "\n\x7f"]
    assert "title" in written


def test_json_keeps_hostile_text_as_it_was(start: Start) -> None:
    """Escaping loses nothing."""
    stream = start()
    log.info("x", title=HOSTILE)
    assert only(stream)["title"] == HOSTILE
    assert stream.getvalue().isascii()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 100_000},
        {"text": "\U0001f600" * 50_000},
        {"rows": [{"title": "t" * 50}] * 5_000},
        {"map": {str(n): "v" * 20 for n in range(5_000)}},
        {f"key{n}": "v" * 100 for n in range(500)},
        {"tree": [[[[["leaf" * 9] * 9] * 9] * 9] * 9]},
        {"x" * 20_000: 1},
    ],
)
def test_a_line_has_at_most_8_kib(start: Start, form: Format, fields: dict[str, Any]) -> None:
    """Long values are cut, whatever their shape; the frame and the run stay."""
    stream = start(form)
    with bound_contextvars(run_id="r1"):
        log.info("long.line", **fields)
    written = stream.getvalue()
    assert len(written.encode()) <= 8192
    assert len(written.splitlines()) == 1
    assert all(part in written for part in ("long.line", "daemon.tested", "r1"))


def test_a_cut_value_says_how_much_is_gone(start: Start) -> None:
    """What fits is kept whole, what does not is cut visibly."""
    stream = start()
    log.info("fits", text="x" * 7_000)
    log.info("cut", text="x" * 10_000, rows=list(range(5_000)), short="s")
    fits, cut = lines(stream)
    assert fits["text"] == "x" * 7_000
    assert (cut["text"], cut["short"]) == ("x" * 2048 + "...(+7952)", "s")
    assert [*range(256), "...(+4744)"] == cut["rows"]


def test_ecs_names(start: Start) -> None:
    """The Elastic Common Schema's own names, and one name space for the rest."""
    stream = start("ecs")
    log.warning(
        "http.answered",
        outcome="failed",
        duration_ms=1.5,
        actor="ann",
        source_ip="10.0.0.1",
        request_id="q1",
        run_id="r1",
        error_kind="timed_out",
        error="too slow",
    )
    line = only(stream)
    assert line.pop("@timestamp").endswith("Z")
    assert line == {
        "ecs.version": "8.17.0",
        "log.level": "warning",
        "log.logger": "daemon.tested",
        "message": "http.answered",
        "event.action": "http.answered",
        "event.outcome": "failure",
        "event.duration": 1_500_000,
        "service.name": "library-sync",
        "service.version": "1.2.3",
        "user.name": "ann",
        "source.ip": "10.0.0.1",
        "http.request.id": "q1",
        "error.type": "timed_out",
        "error.message": "too slow",
        "library_sync.outcome": "failed",
        "library_sync.run_id": "r1",
    }


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("ok", "success"), ("failed", "failure"), ("partial", "unknown"), ([], "unknown")],
)
def test_ecs_outcomes(start: Start, outcome: object, expected: str) -> None:
    """The schema knows three outcomes."""
    stream = start("ecs")
    log.info("run.done", outcome=outcome)
    assert expected == only(stream)["event.outcome"]


@pytest.mark.parametrize(
    ("action", "category", "kind"),
    [
        ("title.removed", "database", "change"),
        ("session.refused", "authentication", "info"),
        ("access.refused", "authentication", "info"),
    ],
)
def test_ecs_audit_lines_are_events(start: Start, action: str, category: str, kind: str) -> None:
    """An audit line carries the schema's classification; its category and type are lists."""
    stream = start("ecs")
    log.info("audit.recorded", action=action)
    line = only(stream)
    found = (line["event.kind"], line["event.category"], line["event.type"])
    assert found == ("event", [category], [kind])


def test_ecs_keeps_the_message_of_a_library_and_a_stack(start: Start) -> None:
    """A library's text is the message; a traceback has its own name."""
    stream = start("ecs", "debug")
    logging.getLogger("asyncio").error("lost", exc_info=ValueError("v"))
    line = only(stream)
    assert (line["message"], line["event.action"]) == ("lost", "asyncio.message")
    assert "ValueError: v" in line["error.stack_trace"]


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_auto_is_made_for_who_reads(
    start: Start, form: Format, stream: io.StringIO, *, is_json: bool
) -> None:
    """People at a terminal get plain lines, everybody else JSON."""
    start(form, stream=stream)
    log.info("run.done", added=3)
    assert is_json == stream.getvalue().startswith("{")
    assert "run.done" in stream.getvalue()


def test_console_shows_the_values_of_enumerations(start: Start) -> None:
    """A name out of the vocabulary reads like any other text."""
    stream = start("console")
    log.info("x", kind=MediaType.TV)
    assert stream.getvalue().endswith("kind='TV'\n")


def test_console_colours_only_a_terminal(start: Start) -> None:
    """A file gets no terminal codes."""
    file, terminal = start("console"), Terminal()
    log.info("run.done", added=3)
    start("console", stream=terminal)
    log.info("run.done", added=3)
    assert (file.getvalue().split()[-1], "\x1b" in file.getvalue()) == ("added=3", False)
    assert "\x1b" in terminal.getvalue()


def test_console_indents_a_stack(start: Start) -> None:
    """A traceback is readable, and none of its lines looks like a line of ours."""
    stream = start("console", "debug")
    log.error("x", exc_info=ValueError(HOSTILE))
    first, *rest = stream.getvalue().splitlines()
    assert "error_kind='ValueError'" in first
    assert {"  "} == {line[:2] for line in rest}
    assert "\x1b" not in stream.getvalue()


def test_console_writes_what_the_terminal_can_show(tmp_path: Path, start: Start) -> None:
    """A title outside of the terminal's alphabet does not cost the line."""
    with (tmp_path / "out").open("w+", encoding="latin-1") as stream:
        start("console", stream=stream)
        log.info("x", title="Amélie 千と千尋")
        stream.seek(0)
        assert "title='Amélie \\u5343\\u3068\\u5343\\u5c0b'" in stream.read()


@pytest.mark.parametrize("form", FORMATS)
def test_a_value_that_cannot_be_shown_stops_nothing(start: Start, form: Format) -> None:
    """The program goes on, and one line says that something is missing."""
    endless: list[object] = []
    endless.append(endless)
    stream = start(form)
    log.info("x", value=Shown(""))
    log.info("y", value=endless)
    one, two = lines(stream)
    expected = ("log.unreadable", "daemon.tested")
    assert expected == (one["event"], one["logger"]) == (two["event"], two["logger"])
    assert (one["error_kind"], two["error_kind"]) == ("ZeroDivisionError", "RecursionError")


def test_a_broken_stream_stops_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed pipe neither raises nor prints the record elsewhere."""
    start(stream=Broken())
    log.info("x", text=PLAIN)
    assert capsys.readouterr().err == ""
