"""Torture tries what the tests of the same promise try, only far more often."""

from __future__ import annotations

from hypothesis import settings

from tests.torture.promises import EXAMPLES

settings.register_profile("torture", settings(), max_examples=EXAMPLES)
settings.load_profile("torture")
