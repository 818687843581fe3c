"""Logging: one flat object per line, ours and the libraries', with secrets redacted."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus

from structlog.contextvars import clear_contextvars, merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.stdlib import BoundLogger, ProcessorFormatter, filter_by_level
from structlog.typing import Processor

from daemon.errors import DaemonError

Fields = dict[str, Any]
_Render = Callable[[Fields], str]

SERVICE = "library-sync"
MAX_LINE = 8 * 1024
"""Maximum bytes of a line; journald splits lines at 48 KiB by default."""

_OURS = "daemon"
_STARS = "********"
_DENIED = re.compile(
    r"api[-_]?key|token|secret|passw|passphrase|authorization|cookie|credential|^pw$", re.IGNORECASE
)
_ALWAYS = ("timestamp", "level", "event", "logger", "service", "version", "run_id", "request_id")
_ECS = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "event": "event.action",
    "message": "message",
    "service": "service.name",
    "version": "service.version",
    "actor": "user.name",
    "source_ip": "source.ip",
    "request_id": "http.request.id",
    "error_kind": "error.type",
    "error": "error.message",
    "stack": "error.stack_trace",
}
_ECS_OUTCOMES = {"ok": "success", "failed": "failure"}


def logger(name: str) -> BoundLogger:
    """A module's logger; `configure` may be called later."""
    full = name if f"{name}.".startswith(f"{_OURS}.") else f"{_OURS}.{name}"
    processors: list[Processor] = [filter_by_level, ProcessorFormatter.wrap_for_formatter]
    return BoundLogger(logging.getLogger(full), processors, {})


def configure(
    *,
    format: Literal["auto", "json", "ecs", "console"],  # noqa: A002  # the key's name
    level: str,
    secrets: Collection[str],
    version: str,
    stream: TextIO,
) -> None:
    """Log everything to one stream; a second call replaces the first.

    Libraries are logged from warning on, whatever the level.

    Args:
        format: `auto` is `console` on a terminal and `json` elsewhere.
        level: the minimum level of our own lines, e.g. "info".
        secrets: literal values that must not appear anywhere.
        version: this program's version.
        stream: the output, one `write` per line.
    """
    _detach()
    number = logging.getLevelNamesMapping()[level.upper()]
    console = format == "console" or (format == "auto" and stream.isatty())
    render = _console(stream) if console else _ecs if format == "ecs" else _json
    pipe = _Pipe(render, version, _spellings(secrets), number <= logging.DEBUG)
    handler = _Handler(stream)
    handler.setFormatter(ProcessorFormatter(processors=[merge_contextvars, pipe]))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger(_OURS).setLevel(number)
    logging.captureWarnings(capture=True)


def reset() -> None:
    """Undo `configure` and clear the bound context, for tests."""
    _detach()
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    clear_contextvars()


def _detach() -> None:
    for handler in [h for h in logging.getLogger().handlers if isinstance(h, _Handler)]:
        logging.getLogger().removeHandler(handler)
        handler.close()


class _Handler(logging.StreamHandler[TextIO]):
    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001  # a value that cannot be shown must not stop a run
            kind = type(error).__name__
            return _json(_head(record, "log.unreadable") | {"error_kind": kind})

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Swallow the error: the base class would print the record with its secrets."""


@dataclass(frozen=True, slots=True)
class _Pipe:
    """The processor that renders one record."""

    render: _Render
    version: str
    spellings: tuple[str, ...]
    stack: bool

    def __call__(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
        record = fields.pop("_record")
        if not fields.pop("_from_structlog"):
            fields.update(message=fields["event"], event=f"{record.name}.message")
        error = _exception(fields.pop("exc_info", None))
        about = _explained(error, stack=self.stack) if error else {}
        clean = self._clean({**about, **fields})
        head = _head(record, clean.pop("event")) | {"version": self.version}
        # A field may bear the name of one of ours; neither may get lost.
        rest = {f"{key}_" if key in head else key: value for key, value in clean.items()}
        line = head | rest
        first = {key: line[key] for key in _ALWAYS if key in line}
        return _fitting(first | line, self.render)

    def _clean(self, value: Any) -> Any:
        """Reduce a value to JSON types, with secrets redacted."""
        match value:
            case None | bool() | int():
                return value
            case str():
                return self._mask(str(value))
            case bytes():
                return self._mask(value.decode("utf-8", "backslashreplace"))
            case Mapping():
                return {
                    self._mask(str(key)): _STARS
                    if inner is not None and _is_denied(str(key))
                    else self._clean(inner)
                    for key, inner in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._clean(inner) for inner in value]
            case float() if math.isfinite(value):
                return value
            case _:
                return self._mask(str(value))

    def _mask(self, text: str) -> str:
        for spelling in self.spellings:
            if spelling in text:
                text = text.replace(spelling, _STARS)
        # A lone surrogate, as in some file names, is no JSON to a strict reader.
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _spellings(secrets: Collection[str]) -> tuple[str, ...]:
    """All spellings of secrets: plain, URL-encoded, and escaped in a quoted string."""
    found: set[str] = set()
    for secret in filter(None, secrets):
        quoted = repr(secret)[1:-1], json.dumps(secret)[1:-1]
        found |= {secret, quote(secret, safe=""), quote_plus(secret), *quoted}
    return tuple(sorted(found, key=len, reverse=True))


@lru_cache(maxsize=1024)
def _is_denied(key: str) -> bool:
    return _DENIED.search(key) is not None


def _head(record: logging.LogRecord, event: str) -> Fields:
    when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
    return {
        "timestamp": when.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": event,
        "logger": record.name,
        "service": SERVICE,
    }


def _exception(exc_info: Any) -> BaseException | None:
    found = sys.exc_info() if exc_info is True else exc_info
    error = found[1] if isinstance(found, tuple) else found
    return error if isinstance(error, BaseException) else None


def _explained(error: BaseException, *, stack: bool) -> Fields:
    leaves = _leaves(error)
    kinds = [e.kind if isinstance(e, DaemonError) else type(e).__name__ for e in leaves]
    fields: Fields = {"error_kind": kinds[0], "error": "; ".join(str(e) or repr(e) for e in leaves)}
    # What strangers send to the server is told by aiohttp's own exceptions: not worth a stack.
    if stack and not type(error).__module__.startswith("aiohttp"):
        fields["stack"] = "".join(traceback.format_exception(error, limit=-16))
    return fields


def _leaves(error: BaseException) -> list[BaseException]:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [leaf for each in inner for leaf in _leaves(each)] or [error]


def _fitting(fields: Fields, render: _Render) -> str:
    """Render a line, truncating long values until it fits."""
    shorter = (_shortened(fields, limit) for limit in (2048, 512, 128, 32))
    for candidate in chain([fields], shorter):
        line = render(candidate)
        if len(line.encode()) < MAX_LINE:
            return line
    kept = {key: fields[key] for key in _ALWAYS if key in fields}
    return render(_shortened(kept, 64) | {"truncated": True})


def _shortened(value: Any, limit: int) -> Any:
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]}...(+{len(value) - limit})"
    few = max(limit // 8, len(_ALWAYS))
    if isinstance(value, dict):
        return {_shortened(key, limit): _shortened(value[key], limit) for key in list(value)[:few]}
    if isinstance(value, list):
        more = [f"...(+{len(value) - few})"] if len(value) > few else []
        return [_shortened(inner, limit) for inner in value[:few]] + more
    return value


_json: _Render = json.JSONEncoder(separators=(",", ":")).encode


def _ecs(fields: Fields) -> str:
    """Map to the Elastic Common Schema; other fields go under our own namespace."""
    rest = {"timestamp": "", "level": "", "message": fields["event"], **fields}
    named: Fields = {"ecs.version": "8.17.0"}
    if isinstance(rest.get("duration_ms"), int | float):
        named["event.duration"] = round(rest.pop("duration_ms") * 1_000_000)
    if "outcome" in rest:
        named["event.outcome"] = _ECS_OUTCOMES.get(str(rest["outcome"]), "unknown")
    if fields["event"].startswith("audit."):
        login = str(fields.get("action")).startswith(("access.", "session."))
        named["event.kind"] = "event"
        named["event.category"] = ["authentication" if login else "database"]
        named["event.type"] = ["info" if login else "change"]
    renamed = {_ECS.get(key, f"library_sync.{key}"): value for key, value in rest.items()}
    return _json(renamed | named)


def _console(stream: TextIO) -> _Render:
    colors, encoding = stream.isatty(), stream.encoding or "utf-8"
    renderer = ConsoleRenderer(colors=colors, repr_native_str=True, sort_keys=False)

    def render(fields: Fields) -> str:
        shown = {_visible(key): value for key, value in fields.items()}
        del shown["service"], shown["version"]
        shown["event"] = _visible(shown["event"])
        if "stack" in shown:
            shown["stack"] = "\n".join(f"  {_visible(s)}" for s in shown["stack"].splitlines())
        line = renderer(None, "", shown)
        return line.encode(encoding, "backslashreplace").decode(encoding)

    return render


def _visible(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
