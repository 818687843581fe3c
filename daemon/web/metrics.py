"""Figures for Prometheus, made of what is known elsewhere; nothing is counted here."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.errors import StoreError
from daemon.store import Counted
from daemon.web.routes import Dependencies

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BOUNDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, math.inf)
_LAGS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, math.inf)
_OF_SERVICE: Final = ["service"]
_Values = Iterable[tuple[Sequence[str], float]]


class _Once(Collector):
    """Hands families that are ready to one reading."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def exposition(parts: Dependencies) -> bytes:
    """All figures in the text format; those of the tracker's file only if that can be read."""
    try:
        counted = await parts.store.counted(_BOUNDS)
        held = await parts.store.open_plan() is not None
    except StoreError:
        counted, held = None, False
    tracker = _gauge("tracker_up", "Whether the tracker's file can be read.", counted is not None)
    file = [] if counted is None else [*_of_file(counted), _held(held)]
    registry = CollectorRegistry(auto_describe=False)
    families = [*_of_process(parts), *_of_services(parts), *_of_hooks(parts), tracker, *file]
    registry.register(_Once(families))
    return generate_latest(registry)


def _of_process(parts: Dependencies) -> Iterator[Metric]:
    build = [((__version__,), 1.0)]
    yield _filled(GaugeMetricFamily(_name("build_info"), "This build.", labels=["version"]), build)
    yield _gauge("loop_lag_seconds", "How late the event loop is.", parts.loop_lag())
    yield _gauge("event_listeners", "Clients of the event stream.", parts.feed.listeners)
    every = parts.settings.sync.every.total_seconds()
    yield _gauge("run_interval_seconds", "Between two full runs.", every)
    if parts.store.audit_ok is not None:
        text = "Whether the latest check found the audit unbroken."
        yield _gauge("audit_ok", text, parts.store.audit_ok)
    stuck = parts.worker.stuck_seconds
    yield _gauge("run_stuck_seconds", "Since the run that is going moved.", stuck)


def _of_services(parts: Dependencies) -> Iterator[Metric]:
    up = [
        ((name,), float(one.up))
        for name, one in parts.health.services.items()
        if one.up is not None
    ]
    text = "Whether its latest answer was good."
    yield _filled(GaugeMetricFamily(_name("service_up"), text, labels=_OF_SERVICE), up)
    meters = parts.services.meters.items()
    calls = [((name,), float(meter.calls)) for name, meter in meters]
    yield _counter("service_calls", "Questions to a service.", _OF_SERVICE, calls)
    read = [((name,), float(meter.bytes)) for name, meter in meters]
    yield _counter("service_bytes", "Bytes of its replies, decompressed.", _OF_SERVICE, read)
    waited = [((name,), meter.seconds) for name, meter in meters]
    yield _counter("service_seconds", "Seconds of waiting for it.", _OF_SERVICE, waited)


def _of_hooks(parts: Dependencies) -> Iterator[Metric]:
    statistics = parts.intake.statistics
    came = [((kind,), float(number)) for kind, number in sorted(statistics.totals.items())]
    yield _counter("hooks", "Webhooks that came in.", ["kind"], came)
    lags = sorted(statistics.lags)
    buckets = [
        ("+Inf" if math.isinf(bound) else str(bound), float(bisect_right(lags, bound)))
        for bound in _LAGS
    ]
    lag = HistogramMetricFamily(
        _name("hook_lag_seconds"), "From a hint to its rows, of the latest thousand hints."
    )
    lag.add_metric([], buckets, sum(lags))
    yield lag


def _held(held: bool) -> Metric:
    return _gauge("held_plans", "Plans of removals that wait for an admin.", held)


def _of_file(counted: Counted) -> Iterator[Metric]:
    runs = counted.runs
    titles = GaugeMetricFamily(
        _name("titles"), "Rows of the tracker.", labels=["media_type", "state"]
    )
    yield _filled(titles, counted.titles.items())
    yield _counter("runs", "Runs that ended.", ["trigger", "outcome"], runs.ended.items())
    took = HistogramMetricFamily(_name("run_duration_seconds"), "How long runs took.")
    buckets = [("+Inf" if math.isinf(b) else str(b), float(n)) for b, n in runs.within.items()]
    took.add_metric([], buckets, runs.seconds)
    yield took
    if runs.last_good is not None:
        when = runs.last_good.timestamp()
        yield _gauge("last_good_run_timestamp_seconds", "When the last good run ended.", when)


def _name(name: str) -> str:
    return f"library_sync_{name}"


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_name(name), text, value=float(value))


def _counter(name: str, text: str, labels: Sequence[str], values: _Values) -> Metric:
    return _filled(CounterMetricFamily(_name(name), text, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    for labels, value in values:
        family.add_metric(labels, value)
    return family
