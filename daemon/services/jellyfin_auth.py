"""Jellyfin's users: token owners, password login and Quick Connect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

import pydantic

from daemon import __version__, errors
from daemon.services.http import RetryPolicy, ServiceHttp

BRIEFLY: Final = RetryPolicy(attempts=1, reply=5.0, silence=5.0)
"""Timeouts while a person waits."""

_Token = Annotated[str, pydantic.Field(pattern="^[0-9A-Za-z]{1,128}$")]
_Label = Annotated[str, pydantic.Field(min_length=1, max_length=200)]


class _Policy(pydantic.BaseModel):
    IsAdministrator: pydantic.StrictBool
    IsDisabled: pydantic.StrictBool = False


class _User(pydantic.BaseModel):
    Name: _Label
    Policy: _Policy
    Id: _Label

    @property
    def bearer(self) -> TokenOwner:
        if self.Policy.IsDisabled:
            return TokenOwner(TokenStatus.BARRED, self.Name, self.Id)
        admin = self.Policy.IsAdministrator
        standing = TokenStatus.ADMINISTRATOR if admin else TokenStatus.USER
        return TokenOwner(standing, self.Name, self.Id)


class TokenStatus(Enum):
    """What a token is good for."""

    ADMINISTRATOR = auto()
    USER = auto()
    BARRED = auto()
    API_KEY = auto()
    UNKNOWN = auto()


_STANDINGS: Final = {400: TokenStatus.API_KEY, 401: TokenStatus.UNKNOWN, 403: TokenStatus.BARRED}


class TokenOwner(NamedTuple):
    """The owner of a token; name and id are "" if there is none."""

    standing: TokenStatus
    name: str = ""
    user_id: str = ""


class _Login(pydantic.BaseModel):
    AccessToken: _Token
    User: _User


class _Connect(pydantic.BaseModel):
    Authenticated: pydantic.StrictBool
    Secret: _Token
    Code: _Label


class QuickConnect(NamedTuple):
    """A Quick Connect login, to be approved on a device that is logged in.

    Attributes:
        code: to be typed there; six digits (seen on 10.11.11).
        secret: identifies the login in requests.
        allowed: whether it was approved.
    """

    code: str
    secret: str
    allowed: bool


class JellyfinAuth:
    """Authenticates users against a server.

    Args:
        http: how to reach the server with our key.
        use: called with an administrator's login before it is revoked.
    """

    def __init__(
        self, http: ServiceHttp, use: Callable[[ServiceHttp], Awaitable[None]] | None = None
    ) -> None:
        self._http = http
        self._use = use

    async def who_is(self, token: str) -> TokenOwner:
        """The owner of a token, asked with that token alone.

        Nothing else is sent: our key would answer for it, and a device or version would
        overwrite those of the user's own device. An API key is answered 400, a user whom the
        server keeps out for now 403, and any other token 401 (seen on 10.11.11).

        Args:
            token: as the server gives it to its users; it must not hold a quotation mark.
        """
        proof = {"Authorization": f'MediaBrowser Token="{token}"'}
        try:
            async with ServiceHttp(self._http.service, self._http.url, proof, BRIEFLY) as http:
                user = await http.get("/Users/Me", _User)
        except (errors.RefusedKeyError, errors.RejectedError) as error:
            if (standing := _STANDINGS.get(error.status or 0)) is None:
                raise
            return TokenOwner(standing)
        return user.bearer

    async def users(self) -> dict[str, TokenOwner]:
        """All users by id; an API key sees all (seen on 10.11.11)."""
        key = self._http.headers
        async with ServiceHttp(self._http.service, self._http.url, key, BRIEFLY) as http:
            listed = await http.get("/Users", list[Any])
        people = {}
        for one in listed:
            with suppress(pydantic.ValidationError):
                user = _User.model_validate(one, strict=True)
                people[user.Id] = user.bearer
        return people

    async def log_in(self, name: str, password: str, device: str) -> TokenOwner:
        """Authenticate by name and password; the password is not kept.

        The session is logged out at once. A wrong password and an unknown name
        are both 401, a user whom the server keeps out 403 (seen on 10.11.11). With another `device`
        at each login the server's list of devices would grow.
        """
        given = {"Username": name, "Pw": password}
        return await self._login("/Users/AuthenticateByName", given, device)

    async def quick_connect(self, device: str) -> QuickConnect | None:
        """Start a Quick Connect login; None if the server has it disabled (401)."""
        try:
            async with self._as_device(device) as http:
                begun = await http.post("/QuickConnect/Initiate", _Connect)
        except errors.RefusedKeyError:
            return None
        return QuickConnect(begun.Code, begun.Secret, begun.Authenticated)

    async def quick_connected(self, secret: str, device: str) -> TokenOwner | None:
        """The user who approved a Quick Connect login; None while pending.

        A secret that was never given, or over ten minutes ago, is 404; where Quick Connect was
        switched off meanwhile it is 401 (seen on 10.11.11). Neither is good any more.
        """
        try:
            async with self._as_device(device) as http:
                asked = {"secret": secret}
                state = await http.get("/QuickConnect/Connect", _Connect, asked)
        except errors.RefusedKeyError:
            return TokenOwner(TokenStatus.UNKNOWN)
        except errors.WrongServiceError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return TokenOwner(TokenStatus.UNKNOWN)
        if not state.Authenticated:
            return None
        return await self._login("/Users/AuthenticateWithQuickConnect", {"Secret": secret}, device)

    async def _login(self, path: str, given: Mapping[str, str], device: str) -> TokenOwner:
        try:
            async with self._as_device(device) as http:
                login = await http.post(path, _Login, given)
        except errors.RefusedKeyError as error:
            barred = error.status == HTTPStatus.FORBIDDEN
            return TokenOwner(TokenStatus.BARRED if barred else TokenStatus.UNKNOWN)
        proof = {"Authorization": f'MediaBrowser Token="{login.AccessToken}"'}
        owner = login.User.bearer
        async with ServiceHttp(self._http.service, self._http.url, proof, BRIEFLY) as http:
            try:
                if self._use is not None and owner.standing is TokenStatus.ADMINISTRATOR:
                    await self._use(http)
            finally:
                with suppress(errors.ServiceError):  # then it stays valid, and nobody knows it
                    await http.post("/Sessions/Logout", type(None))
        return owner

    def _as_device(self, device: str) -> ServiceHttp:
        """The header of a device without our key; all four fields are required (10.11.11)."""
        pairs = {
            "Client": "Library Sync",
            "Device": "Library Sync",
            "DeviceId": device,
            "Version": __version__,
        }
        proof = ", ".join(f'{name}="{value}"' for name, value in pairs.items())
        headers = {"Authorization": f"MediaBrowser {proof}"}
        return ServiceHttp(self._http.service, self._http.url, headers, BRIEFLY)
