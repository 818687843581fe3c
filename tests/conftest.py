"""What holds for all tests: the same generated examples in each run, no clock, and a Ctrl-C."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tests",
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # which a busy machine is
)
settings.load_profile("tests")

# A shell has its background jobs ignore it, and so would the processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
