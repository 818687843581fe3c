"""Decides what a run writes: `plan(snapshot, tracker, policy)`, without any I/O."""

from __future__ import annotations

from daemon.plan.reconcile import copies_of_series, open_series, plan, watched_series

__all__ = ["copies_of_series", "open_series", "plan", "watched_series"]
