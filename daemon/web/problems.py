"""What all replies share: a request id, errors as problem documents, headers, a log line."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_request import BaseRequest
from structlog.contextvars import bound_contextvars

from daemon.domain import Actor
from daemon.errors import DaemonError, NotFoundError, RefusedError, ServiceError, StoreError
from daemon.logs import logger
from daemon.web.address import Networks, address_of

ACTOR: Final = web.RequestKey("ACTOR", Actor)
ADDRESS: Final = web.RequestKey("ADDRESS", str)
PROBLEM_TYPE: Final = "application/problem+json"
ANONYMOUS: Final = Actor("stranger", "unknown")

_REQUEST_ID: Final = web.RequestKey("REQUEST_ID", str)
_GOOD_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RETRY_SECONDS: Final = 5
_GONE: Final = 499
"""Status of a request whose client disconnected; nginx calls it so."""
_ASKED_BY_MACHINES: Final = ("/healthz", "/readyz", "/metrics")
"""Every few seconds, so that their lines would bury all others."""
_BROKEN: Final = "internal error; the log has details under this request id"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_STATUSES: Final = (
    (NotFoundError, 404),
    (RefusedError, 409),
    (ServiceError, 502),
    (DaemonError, 500),
)
_log = logger(__name__)


class Problem(Exception):  # noqa: N818  # it is the name of the document
    """A request that is answered with a problem document.

    Args:
        detail: what is wrong, for a person to read.
        close: whether the connection can serve no further request.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = more or {}
        self.close = close

    def response(self, request_id: str) -> web.Response:
        """The reply."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }
        reply = web.json_response(
            document, status=self.status, headers=self.headers, content_type=PROBLEM_TYPE
        )
        if self.close:
            reply.force_close()
        return reply


def unavailable(detail: str, **more: Any) -> Problem:
    """A 503: temporarily unavailable."""
    return Problem(503, detail, headers={"Retry-After": str(_RETRY_SECONDS)}, more=more)


def request_middleware(trusted: Networks) -> Middleware:
    """The outermost middleware; `trusted` are the trusted proxies."""

    @web.middleware
    async def layer(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-Id", "")
        request[_REQUEST_ID] = given if _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
        request[ADDRESS] = address_of(request, trusted)
        request[ACTOR] = ANONYMOUS
        started = time.monotonic()
        with bound_contextvars(request_id=request[_REQUEST_ID]):
            status = _GONE
            try:
                reply = await _answered(request, handler)
                status = reply.status
            finally:
                _log_request(request, status, time.monotonic() - started)
            return reply

    return layer


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConnectionError:
        raise  # the client is gone
    except Exception as error:  # noqa: BLE001  # whatever it is, the client gets a document
        return _problem(error).response(request[_REQUEST_ID])


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "the body is too large", close=True)
        case web.HTTPException():
            allow = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return Problem(error.status, _REASONS.get(error.status, error.reason), headers=allow)
        case web.RequestPayloadError():
            return Problem(400, "the body does not match its headers", close=True)
        case StoreError():
            return unavailable(str(error))
        case DaemonError():
            status = next(one for kind, one in _STATUSES if isinstance(error, kind))
            return Problem(status, str(error))
        case _:
            _log.exception("http.failed")
            return Problem(500, _BROKEN)


_REASONS: Final = {
    404: "there is nothing at this address",
    405: "this address does not know this method",
}


def _log_request(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "-"
    level = _log.debug if route.endswith(_ASKED_BY_MACHINES) else _log.info
    level(
        "http.request",
        method=request.method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        actor=request[ACTOR].name,
        source_ip=request[ADDRESS],
    )


async def add_headers(request: web.Request, reply: web.StreamResponse) -> None:
    """Add the common headers to a reply and strip the version from `Server`."""
    for name, value in _HEADERS.items():
        reply.headers.setdefault(name, value)
    if (number := request.get(_REQUEST_ID)) is not None:  # refused by aiohttp before it came to us
        reply.headers["X-Request-Id"] = number
    del reply.headers["Server"]


class ProblemProtocol(web.RequestHandler):
    """A connection that answers malformed HTTP with a problem document."""

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what went wrong beyond the outermost layer.

        Raises:
            ConnectionError: a part of another reply was sent already, or nobody is there for one.
        """
        del message  # it repeats what was sent
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = "this is no proper HTTP"
            _log.info("http.malformed", status=status, source_ip=request.remote)
        else:
            detail = _BROKEN
            _log.error("http.failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError
        reply = Problem(status, detail, close=True).response(uuid.uuid4().hex)
        reply.headers.update({**_HEADERS, "Server": "library-sync"})
        return reply
