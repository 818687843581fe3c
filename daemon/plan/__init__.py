"""Decides what a run writes: `plan(snapshot, tracker, policy)`, without any I/O."""

from __future__ import annotations

from daemon.plan.reconcile import open_series, plan, watched_series

__all__ = ["open_series", "plan", "watched_series"]
