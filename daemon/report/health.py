"""How each service is doing: one log line when it goes, one when it is back, none in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from daemon.domain import SourceFailure
from daemon.logs import logger

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """What is known of one service.

    Attributes:
        up: whether its latest answer was good; None before the first.
        since: when that began.
        last_ok: when it answered well last.
        problem: the latest failure in plain words, with what to do; "" while it is up.
    """

    name: str
    up: bool | None = None
    since: datetime | None = None
    last_ok: datetime | None = None
    version: str = ""
    problem: str = ""
    kind: str = ""


class Health:
    """The health of all configured services.

    Attributes:
        changed: called when a service goes, and when it is back.
    """

    def __init__(
        self, names: Iterable[str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self.services = {name: ServiceHealth(name) for name in names}
        self.changed: list[Callable[[ServiceHealth], None]] = []

    def good(self, name: str, version: str = "") -> None:
        """The service answered well."""
        before, now = self.services[name], self._clock()
        if before.up is False:
            _log.info("service.up", source=name, was_down_since=str(before.since))
        self.services[name] = replace(
            before,
            up=True,
            since=before.since if before.up else now,
            last_ok=now,
            version=version or before.version,
            problem="",
            kind="",
        )
        if before.up is False:
            self._tell(name)

    def bad(self, gap: SourceFailure) -> None:
        """The service failed."""
        before, now = self.services[gap.service], self._clock()
        if before.up is not False:
            _log.warning("service.down", source=gap.service, error_kind=gap.kind, error=gap.detail)
        self.services[gap.service] = replace(
            before,
            up=False,
            since=now if before.up is not False else before.since,
            problem=gap.detail,
            kind=gap.kind,
        )
        if before.up is not False:
            self._tell(gap.service)

    def _tell(self, name: str) -> None:
        for listener in self.changed:
            listener(self.services[name])
