"""Classifies a reply's head, or a failed request, and says what to do; no I/O."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from daemon import errors

JSON: Final = "application/json"
_REFUSED: Final = frozenset({401, 403})
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NOTHING_THERE: Final = frozenset({404, 405})
_RETRYABLE: Final = frozenset({408, 429, *range(500, 600)})
_UNREACHED: Final = "a proxy answers for it: check that it runs, and that the proxy reaches it"
_HINTS: Final = {
    429: "it, or a proxy before it, limits how often it may be asked",
    502: _UNREACHED,
    504: _UNREACHED,
}
_AUTHORITY: Final = "if it is one of your own, name its authority's file in SSL_CERT_FILE"
_OTHER_NAME: Final = "put a name into the address that the certificate is for"
_CERTIFICATES: Final = {10: "renew it", 62: _OTHER_NAME, 64: _OTHER_NAME}
"""By OpenSSL's code: it has expired, or it is for another name or number."""

_SCHEME: Final = "check the port, and whether its address begins with http:// or https://"
_PORTS: Final = {"http": 80, "https": 443}
_OTHER_SCHEME: Final = {"http": "https", "https": "http"}
_EPOCH: Final = 1970
_FRONT_PAGES: Final = ("/web/index.html", "/web/", "/web", "/api-docs/swagger")
"""Jellyfin's redirects outside its URL base; the last one without its web client."""


@dataclass(frozen=True, slots=True)
class Head:
    """The needed part of a reply's status and headers.

    Attributes:
        content_type: in lower case, without its parameters: Jellyfin adds `profile` and `charset`.
        retry_after: in seconds; Jellyfin writes `005`, and a date is taken as "no number given".
        asks_login: whether it has a `WWW-Authenticate` header.
    """

    status: int
    content_type: str = ""
    retry_after: float | None = None
    location: str = ""
    asks_login: bool = False

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Self:
        """The head of a reply; header names are case-insensitive."""
        wait = headers.get("Retry-After", "")
        return cls(
            status,
            headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            float(wait) if wait.isascii() and wait.isdigit() else None,
            headers.get("Location", ""),
            "WWW-Authenticate" in headers,
        )


def verdict(service: str, url: str, head: Head, wanted: str = JSON) -> errors.ServiceError | None:
    """The error that a reply's head means; None if it is good.

    While Jellyfin starts, it answers 503 with and without Retry-After, and once a lone 500 (seen on
    10.11). Its 401 is a verdict even then. Radarr and Sonarr answer 404 without a body where the
    other one's path is asked for. None of them asks for a login by a header or a page.

    Args:
        service: its display name.
        url: the requested URL.
        head: of the reply.
        wanted: the expected content type, or a prefix of one.
    """
    status = head.status
    if status == HTTPStatus.NO_CONTENT:
        return None
    if status == HTTPStatus.OK:
        found = head.content_type
        if found == wanted or (wanted != JSON and found.startswith(wanted)):
            return None
        detail = f"{found or 'nothing'} instead of {'JSON' if wanted == JSON else wanted}"
        return errors.NotJsonError(service, url, detail, status=status)
    kind, hint, detail = _meaning(url, head)
    return kind(service, url, detail, hint=hint, status=status, retry_after=head.retry_after)


def _meaning(url: str, head: Head) -> tuple[type[errors.ServiceError], str | None, str]:
    status, detail = head.status, f"HTTP {head.status}"
    if status in _REFUSED:
        if head.asks_login or head.content_type == "text/html":
            hint = "a proxy before it asks for a login: let Library Sync reach it without"
            return errors.WrongServiceError, hint, detail
        return errors.RefusedKeyError, None, detail
    if status in _MOVED:
        return errors.WrongServiceError, _redirected(url, head.location), detail
    if status in _NOTHING_THERE:
        return errors.WrongServiceError, None, detail
    if status in _RETRYABLE:
        starting = status == HTTPStatus.SERVICE_UNAVAILABLE
        return (
            errors.StartingError if starting else errors.BrokenServiceError,
            _HINTS.get(status),
            detail,
        )
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.RejectedError, None, detail
    return errors.WrongServiceError, None, f"{detail} is no answer to what was asked"


def _redirected(url: str, location: str) -> str | None:
    """The hint for a redirect, which is never followed: the right address."""
    asked = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
        host, port = target.hostname, target.port
    except ValueError:
        return None
    place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}"
    if (host, target.scheme) == (asked.hostname, _OTHER_SCHEME.get(asked.scheme)):
        return f"it is at {place}: configure that"
    usual = _PORTS.get(asked.scheme)
    if (host, port or usual) != (asked.hostname, asked.port or usual):
        return host and f"{place} answers instead of it: a proxy may ask for a login there"
    base = _base(asked.path, target.path, signing_in="returnUrl" in parse_qs(target.query))
    return base and f"its URL base is {base}: the configured address must end in that"


def _base(asked: str, target: str, *, signing_in: bool) -> str | None:
    """The URL base implied by a redirect to the same path below it, or to its front page.

    Radarr and Sonarr redirect a wrong base to their login (seen on 6.0 and 4.0).
    """
    for end in (asked, *_FRONT_PAGES, *(["/login"] if signing_in else [])):
        if target.endswith(end) and (base := target.removesuffix(end)):
            return base
    return None


def failed(service: str, url: str, error: Exception) -> errors.ServiceError:
    """Classify a failed request.

    The text of the library's error is never used: it may hold the URL with its query.
    """
    if isinstance(error, TimeoutError):
        return errors.TimedOutError(service, url, "no complete reply in time")
    if any(isinstance(cause, ContentEncodingError) for cause in _causes(error)):
        hint = "look at the proxy between, if there is one"
        return errors.CutShortError(service, url, "its compression cannot be read", hint=hint)
    if isinstance(error, aiohttp.ClientPayloadError):
        return errors.CutShortError(service, url, "the connection ended in mid-reply")
    if isinstance(error, aiohttp.ClientResponseError):
        return errors.WrongServiceError(
            service, url, "no proper HTTP is spoken there", hint=_SCHEME
        )
    detail, advice = _unconnected(error)
    return errors.UnreachableError(service, url, detail, hint=advice)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _unconnected(error: Exception) -> tuple[str, str | None]:
    """The hint for a failed connection."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if error.os_error.errno == socket.EAI_AGAIN:
            return "no name server answers", "check the network of this machine"
        return "the name is not known", "check the name in its address"
    if isinstance(error, UnicodeError):
        return "this is not a valid host name", "check the name in its address"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = error.certificate_error
        text = getattr(why, "verify_message", "").rstrip(".") or "unknown"
        hint = _CERTIFICATES.get(getattr(why, "verify_code", 0), _AUTHORITY)
        return f"its certificate is not trusted ({text})", hint
    if isinstance(error, aiohttp.ClientSSLError):
        return "no https is spoken there", "check the port, or begin its address with http://"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it hung up without an answer", _SCHEME
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "the connection failed", None


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """The service's clock from its Date header, aware UTC; None if missing or implausible."""
    try:
        date = parsedate_to_datetime(headers.get("Date", "")).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return date if date.year >= _EPOCH else None
