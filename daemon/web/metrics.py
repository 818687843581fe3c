"""Prometheus metrics, collected from the other modules; nothing is counted here."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from daemon.store import Store, plans
from daemon.store.figures import Counter, Figures
from daemon.web.routes import Dependencies

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_LAGS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, math.inf)
_OF_METER: Final = {
    "calls": "Questions to a service.",
    "bytes": "Bytes of its replies, decompressed.",
    "seconds": "Seconds of waiting for it.",
}
_OF_RUNS: Final = ("trigger", "outcome", "kind")
_PREFIX: Final = "library_sync_"
_Values = Iterable[tuple[Sequence[str], float]]
"""Figures, each with the values of its labels."""


class _Once(Collector):
    """A collector of metric families that are already built."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def exposition(parts: Dependencies) -> bytes:
    """All metrics in the text format; those of the tracker's file only if it is readable."""
    registry = CollectorRegistry(auto_describe=False)
    families = [*_of_process(parts), *_of_services(parts), *_of_hooks(parts)]
    registry.register(_Once([*families, *await _of_file(parts.store, parts.counter)]))
    return generate_latest(registry)


def _of_process(parts: Dependencies) -> Iterator[Metric]:
    yield _gauge("build_info", "This build.", [((__version__,), 1)], "version")
    yield _gauge("loop_lag_seconds", "How late the event loop is.", [((), parts.heartbeat.lag)])
    yield _gauge("event_listeners", "Clients of the event stream.", [((), parts.feed.listeners)])
    every = parts.settings.sync.every.total_seconds()
    yield _gauge("run_interval_seconds", "Between two full runs.", [((), every)])
    if parts.store.audit_ok is not None:
        text = "Whether the latest check found the audit unbroken."
        yield _gauge("audit_ok", text, [((), parts.store.audit_ok)])
    stuck = parts.worker.stuck_seconds
    yield _gauge("run_stuck_seconds", "Seconds since the current run made progress.", [((), stuck)])


def _of_services(parts: Dependencies) -> Iterator[Metric]:
    healths = parts.health.services.items()
    up = [((name,), one.up) for name, one in healths if one.up is not None]
    yield _gauge("service_up", "Whether its latest answer was good.", up, "service")
    for attribute, text in _OF_METER.items():
        asked = [((name,), getattr(one, attribute)) for name, one in parts.services.meters.items()]
        yield _counter(f"service_{attribute}", text, asked, "service")


def _of_hooks(parts: Dependencies) -> Iterator[Metric]:
    statistics = parts.hints.statistics
    came = [((kind,), number) for kind, number in sorted(statistics.totals.items())]
    yield _counter("hooks", "Webhooks that came in.", came, "kind")
    lags, text = sorted(statistics.lags), "From a hint to its rows, of the latest thousand hints."
    within = {bound: bisect_right(lags, bound) for bound in _LAGS}
    yield _histogram("hook_lag_seconds", text, within, sum(lags))


async def _of_file(store: Store, counter: Counter) -> list[Metric]:
    text = "Whether the tracker's file can be read."
    try:
        counted = await store.read(counter.count)
        held = await store.read(plans.open_plan) is not None
    except StoreError:
        return [_gauge("tracker_up", text, [((), 0)])]
    return [
        _gauge("tracker_up", text, [((), 1)]),
        *_of_rows(counted),
        _gauge("held_plans", "Held plans that wait for an admin.", [((), held)]),
    ]


def _of_rows(counted: Figures) -> Iterator[Metric]:
    yield _gauge("titles", "Rows of the tracker.", counted.titles.items(), "media_type", "state")
    yield _counter("runs", "Runs that ended.", counted.ended.items(), *_OF_RUNS)
    yield _histogram("run_duration_seconds", "How long runs took.", counted.within, counted.seconds)
    if counted.last_good is not None:
        when, text = counted.last_good.timestamp(), "When the last good run ended."
        yield _gauge("last_good_run_timestamp_seconds", text, [((), when)])


def _gauge(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(_PREFIX + name, text, labels=labels), values)


def _counter(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(_PREFIX + name, text, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    for labels, value in values:
        family.add_metric(labels, float(value))
    return family


def _histogram(name: str, text: str, within: Mapping[float, int], seconds: float) -> Metric:
    buckets = [
        ("+Inf" if math.isinf(bound) else str(bound), float(number))
        for bound, number in within.items()
    ]
    return HistogramMetricFamily(_PREFIX + name, text, buckets=buckets, sum_value=seconds)
