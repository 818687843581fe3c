"""Health of the services: one log line when one goes down, one when it recovers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from daemon.domain import SourceFailure
from daemon.logs import logger

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The health of one service.

    Attributes:
        up: whether its latest answer was good; None before the first.
        since: when it last changed.
        last_ok: when it last answered well.
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
        changed: called when a service goes down or recovers.
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
        version = version or before.version
        good = replace(before, up=True, last_ok=now, version=version, problem="", kind="")
        self._keep(before, good, now)

    def bad(self, gap: SourceFailure) -> None:
        """The service failed."""
        before = self.services[gap.service]
        if before.up is not False:
            _log.warning("service.down", source=gap.service, error_kind=gap.kind, error=gap.detail)
        bad = replace(before, up=False, problem=gap.detail, kind=gap.kind)
        self._keep(before, bad, self._clock())

    def _keep(self, before: ServiceHealth, after: ServiceHealth, now: datetime) -> None:
        """Store it and notify of a change; a first good answer is not a change."""
        turned = after.up is not before.up
        self.services[after.name] = replace(after, since=now) if turned else after
        if turned and not (before.up is None and after.up):
            for listener in self.changed:
                listener(self.services[after.name])
