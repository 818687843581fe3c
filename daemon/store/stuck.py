"""Findings of the latest pass over titles on their way, kept across restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from daemon.pending import ATTENTION_KINDS, Attention
from daemon.store.database import Transaction

_FIELDS: Final = ", ".join(Attention._fields)
_URGENCY: Final = {kind: at for at, kind in enumerate(ATTENTION_KINDS)}
_STILL: Final = (
    "row_id IS NULL OR EXISTS (SELECT 1 FROM sync_pending JOIN requests ON requests.id = request_id"
    " AND requests.created_at = sync_pending.created_at"
    " WHERE request_id = row_id AND state <> 'AVAILABLE')"
)
"""Rows may have gone, or become available, since that pass."""


def known(connection: sqlite3.Connection) -> list[Attention]:
    """All findings of the latest pass."""
    rows = connection.execute(f"SELECT {_FIELDS} FROM sync_attention ORDER BY seq")
    return [_call(*row) for row in rows if row[0] in ATTENTION_KINDS]


def standing(
    connection: sqlite3.Connection, request_id: int | None = None
) -> list[tuple[Attention, str]]:
    """Open findings, most urgent first, each with the time since when it holds.

    Args:
        request_id: only findings about this row; None for all.
    """
    of_row = "" if request_id is None else " AND row_id = ?"
    rows = connection.execute(
        f"SELECT {_FIELDS}, since FROM sync_attention WHERE ({_STILL}){of_row} ORDER BY seq",
        () if request_id is None else (request_id,),
    ).fetchall()
    found = [(_call(*row), str(since)) for *row, since in rows if row[0] in ATTENTION_KINDS]
    return sorted(found, key=lambda one: _URGENCY[one[0].kind])


def _call(kind: str, *rest: Any) -> Attention:
    """A finding of a kind that is known; those of a newer version are left out."""
    return Attention(ATTENTION_KINDS[kind], *rest)


def keep(transaction: Transaction, calls: Sequence[Attention]) -> None:
    """Replace the findings; those that continue keep their time, even if reworded."""
    now = transaction.clock.now().isoformat(timespec="seconds")
    rows = transaction.execute(f"SELECT {_FIELDS}, since FROM sync_attention").fetchall()
    since = {_subject(_call(*row)): at for *row, at in rows if row[0] in ATTENTION_KINDS}
    transaction.execute("DELETE FROM sync_attention")
    transaction.executemany(
        f"INSERT INTO sync_attention ({_FIELDS}, since) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((*one, since.get(_subject(one), now)) for one in calls),
    )


def _subject(one: Attention) -> tuple[object, ...]:
    return one.kind, one.service, one.title, one.row_id, one.request_id


def reasons(calls: Iterable[Attention]) -> str:
    """The reason by which a finding stays ignored: without how long it has lasted."""
    return "; ".join(one.kind if one.kind.grows else f"{one.kind}: {one.sentence}" for one in calls)
