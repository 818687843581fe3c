"""How often generated tests are tried: the same examples in every run, and no clock to fail by."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tests", max_examples=150, deadline=None, derandomize=True)
settings.load_profile("tests")
