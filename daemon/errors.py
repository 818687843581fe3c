"""The exception hierarchy; a class's docstring is its default message."""

from __future__ import annotations

import inspect
import os
from typing import ClassVar, Final

_LONGEST: Final = 300


class DaemonError(Exception):
    """Something went wrong."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class SettingsError(DaemonError):
    """The configuration cannot be used."""

    kind = "settings"


class RefusedError(DaemonError):
    """What was asked for cannot be done."""

    kind = "refused"


class NotFoundError(RefusedError):
    """What was asked for is not there."""

    kind = "not_found"


class StoreError(DaemonError):
    """The tracker's file cannot be used."""

    kind = "store"


class StoreBusyError(StoreError):
    """Another program kept the tracker's file locked for longer than the budget."""

    kind = "store_busy"


class DiskFullError(StoreError):
    """The disk of the tracker's file is full or broken."""

    kind = "disk_full"


class SchemaMismatchError(StoreError):
    """The tracker's tables are not of the known shape."""

    kind = "schema_mismatch"


class FileReplacedError(StoreError):
    """The tracker's file was replaced or deleted while it was open."""

    kind = "file_replaced"


class StorePermissionError(StoreError):
    """The tracker's file or its directory cannot be written."""

    kind = "store_permission"

    def __init__(self, detail: str) -> None:
        """Add the required permission to the message.

        Args:
            detail: which file, and what happened.
        """
        need = "must be able to read and write the file and its directory"
        super().__init__(f"{detail}; uid {os.geteuid()} {need}")


class AlreadyRunningError(DaemonError):
    """Another library-sync process is working on this file."""

    kind = "already_running"


class AddressError(DaemonError):
    """The configured address cannot be listened on."""

    kind = "address"


class ServiceError(DaemonError):
    """A service could not be read.

    Attributes:
        retryable: it is transient, so a retry makes sense.
    """

    kind = "service"
    hint: ClassVar[str] = "see the service's own log"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        service: str,
        url: str,
        detail: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Describe one failure.

        Args:
            service: its display name, e.g. "Jellyfin".
            url: the requested URL, without its query.
            detail: what happened, in plain words, free of secrets; may quote the service.
            hint: what to do, if more specific than the class's.
            status: the HTTP status, if there was a reply.
            retry_after: seconds from the service's Retry-After.
        """
        self.service = service
        self.status = status
        self.retry_after = retry_after
        super().__init__(f"{service} at {url}: {_plain(detail)}; {_plain(hint or self.hint)}")


def _plain(text: str) -> str:
    """A printable, truncated text for log lines and pages: services may send anything."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return "".join(one if one.isprintable() else "?" for one in short)


class UnreachableError(ServiceError):
    """Nothing answers at this address."""

    retryable = True
    kind = "unreachable"
    hint = "check that it runs and that the address and port are right"


class StartingError(ServiceError):
    """The service is there but not ready yet."""

    retryable = True
    kind = "starting"
    hint = "nothing to do, it will be retried soon"


class RefusedKeyError(ServiceError):
    """The service does not accept the API key."""

    kind = "refused_key"
    hint = "make a new API key in its settings and configure it, unless this is another service's"


class NotAnApiKeyError(ServiceError):
    """The key is a person's own token, which may not see everything."""

    kind = "not_an_api_key"
    hint = "make an API key in Jellyfin's dashboard, under API Keys, and configure that"


class WrongServiceError(ServiceError):
    """Something else answers at this address."""

    kind = "wrong_service"
    hint = "check the address, the port and the URL base"


class RejectedError(ServiceError):
    """The service does not understand the question."""

    kind = "rejected"


class BrokenServiceError(ServiceError):
    """The service answers with an error of its own."""

    retryable = True
    kind = "broken"


class NotJsonError(ServiceError):
    """The reply is not the JSON that this service sends."""

    kind = "not_json"
    hint = "check the address: a proxy or a login page may be answering"


class CutShortError(ServiceError):
    """The reply ended before it was complete."""

    kind = "cut_short"
    hint = "nothing to do if it happens once; else look at the proxy and the network between"


class TooLargeError(ServiceError):
    """The reply is larger than any real one."""

    kind = "too_large"
    hint = "check the address"


class UnforeseenError(ServiceError):
    """The service says something that Library Sync fails at, which is a defect of Library Sync."""

    kind = "unforeseen"
    hint = "report it, with the traceback that is in the log"


class TimedOutError(ServiceError):
    """The service took too long."""

    kind = "timed_out"
    hint = "look at the load of that machine"
