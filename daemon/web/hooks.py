"""Webhooks: taken at once, acted on later; and how they fare."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
from aiohttp import web

from daemon.services.webhooks import HookError, arr_note, jellyfin_note
from daemon.settings import Webhook
from daemon.web.auth import Credential, RateLimiter
from daemon.web.models import RequestModel
from daemon.web.problems import ADDRESS, Problem

if TYPE_CHECKING:
    from daemon.web.routes import ApiRequest

_Note = TypeVar("_Note")
_SECONDS: Final = 10.0
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="library-sync"'}
_NOTHING_TO_DO: Final = 204
_TEST: Final = b'{"NotificationType":"Generic"}'


class WebhookAuth:
    """Lets senders of webhooks in, who carry the secret in a header and never in the address.

    Args:
        webhook: holds the secret; without one nobody is let in.
        failures: of the addresses.
    """

    def __init__(self, webhook: Webhook, failures: RateLimiter) -> None:
        secret = webhook.secret
        self._digest = None if secret is None else _digest(secret.get_secret_value())
        self._failures = failures

    def authenticate(self, request: web.Request) -> None:
        """Let a sender in: the secret is its own header, a bearer, or the password of Basic.

        Raises:
            Problem: 401, 403 where no secret is configured, and 429.
        """
        if self._digest is None:
            raise Problem(403, "set webhook.secret in the configuration first")
        given = (request.headers.get("X-Library-Sync-Secret", ""), _of_authorization(request))
        if not any(hmac.compare_digest(self._digest, _digest(one)) for one in given):
            self._failures.limit(request, Credential.WEBHOOK_SECRET)
            self._failures.count(request[ADDRESS], Credential.WEBHOOK_SECRET)
            raise Problem(401, "the secret is missing or wrong", headers=_CHALLENGE)


def _of_authorization(request: web.Request) -> str:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


async def jellyfin(call: ApiRequest[RequestModel, RequestModel]) -> web.StreamResponse:
    """Take a hint of Jellyfin's webhook plugin; any content type will do."""
    if (note := _read(call, jellyfin_note)) is None:
        return web.Response(status=204)
    call.site.parts.intake.take(note)
    return web.json_response({"taken": note.kind}, status=202)


async def arr(call: ApiRequest[RequestModel, RequestModel]) -> web.StreamResponse:
    """Take news of Radarr's or Sonarr's Connect: Jellyfin will have the title soon."""
    if (coming := _read(call, arr_note)) is None:
        return web.json_response({"taken": ""})
    call.site.parts.intake.expect(coming)
    return web.json_response({"taken": coming.kind}, status=202)


def _read(
    call: ApiRequest[RequestModel, RequestModel], understand: Callable[[bytes], _Note]
) -> _Note:
    try:
        return understand(call.raw)
    except HookError as error:
        call.site.parts.intake.statistics.count("unreadable")
        raise Problem(400, str(error)) from None


async def state(call: ApiRequest[RequestModel, RequestModel]) -> web.StreamResponse:
    """What came in lately, and how long it took from a hint to its row."""
    return web.json_response(call.site.parts.intake.statistics.as_dict())


async def test(call: ApiRequest[RequestModel, RequestModel]) -> web.StreamResponse:
    """Send a webhook to ourselves through the address of senders, and tell what came of it."""
    return web.json_response(await tested(call))


async def tested(call: ApiRequest[RequestModel, RequestModel]) -> dict[str, object]:
    """The same, shared by the API and the page.

    Raises:
        Problem: 409, webhooks are not set up.
    """
    settings = call.site.parts.settings
    if settings.webhook.secret is None:
        raise Problem(409, "webhook.secret is not set, so no webhook is accepted")
    url = f"{settings.http.address}/hooks/jellyfin"
    headers = {"X-Library-Sync-Secret": settings.webhook.secret.get_secret_value()}
    await call.record("hook.tested", url)
    outcome = await _sent(url, headers)
    return {"url": url, **outcome}


async def _sent(url: str, headers: dict[str, str]) -> dict[str, object]:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=_TEST, headers=headers, allow_redirects=False) as reply,
        ):
            good = reply.status == _NOTHING_TO_DO
            detail = "it arrived" if good else f"HTTP {reply.status} came back"
    except (aiohttp.ClientError, TimeoutError) as error:
        good, detail = False, f"it did not arrive: {type(error).__name__}"
    return {"good": good, "detail": detail}
