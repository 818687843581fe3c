"""Ids of titles in further instances of Radarr and Sonarr, kept outside the tracker's rows.

A row holds the number of the primary instance alone, since the tracker deletes files by it. A row's
age goes with its number: the tracker gives numbers of rows again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from daemon.domain import InstanceId
from daemon.store.database import Transaction
from daemon.store.requests import has_table

_FITTING: Final = (
    "SELECT request_id, instance, number FROM sync_instance_ids"
    " JOIN requests ON requests.id = request_id"
    " AND requests.created_at = sync_instance_ids.created_at"
)


def known(
    connection: sqlite3.Connection, rows: Collection[int] | None = None
) -> dict[str, dict[int, int]]:
    """By instance, the number of each row's title; of all rows, or of some."""
    found: dict[str, dict[int, int]] = {}
    if not has_table(connection, "sync_instance_ids"):
        return found
    some = "" if rows is None else " WHERE request_id IN (SELECT value FROM json_each(?))"
    values = () if rows is None else (json.dumps([*rows]),)
    for row, instance, number in connection.execute(f"{_FITTING}{some} ORDER BY instance", values):
        found.setdefault(instance, {})[row] = number
    return found


def note(transaction: Transaction, ids: Iterable[InstanceId]) -> None:
    """Store ids, and drop those that are gone."""
    for one in ids:
        if one.number is None:
            transaction.execute(
                "DELETE FROM sync_instance_ids WHERE request_id = ? AND instance = ?", one[:2]
            )
        else:
            transaction.execute(
                "INSERT OR REPLACE INTO sync_instance_ids"
                " (request_id, instance, number, created_at)"
                " SELECT ?1, ?2, ?3, created_at FROM requests WHERE id = ?1",
                one,
            )
