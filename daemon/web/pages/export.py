"""A run as a file: JSON whole, or its decisions as CSV; streamed, at any size."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiohttp import web

from daemon.store import Store

_PORTION: Final = 2000
_COLUMNS: Final = ("kind", "reason", "media_type", "title", "request_id", "jellyfin_id", "details")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
TYPES: Final = {"json": "application/json", "csv": "text/csv"}


async def sent(
    request: web.Request, store: Store, run: Mapping[str, Any], kind: str
) -> web.StreamResponse:
    """The reply, when all of it was sent.

    Args:
        request: who gets it.
        store: has the decisions.
        run: as the history has it.
        kind: one of `TYPES`.
    """
    name = f"library-sync-run-{run['id']}.{kind}"
    reply = web.StreamResponse(
        headers={
            "Content-Type": f"{TYPES[kind]}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    await reply.prepare(request)
    pieces = _as_csv if kind == "csv" else _as_json
    async for text in pieces(run, _entries(store, run["id"])):
        await reply.write(text.encode())
    return reply


async def _entries(store: Store, number: int) -> AsyncIterator[list[dict[str, Any]]]:
    """All decisions of a run in portions, then the titles that it held."""
    after = 0
    while found := await store.run_page(number, after, _PORTION):
        if not (decisions := found["decisions"]):
            break
        yield decisions
        after = decisions[-1]["seq"]
    plan = await store.plan(number) or {"titles": []}
    held = {"kind": "held"}
    yield [{**one, **held, "reason": one["why"], "details": one["kind"]} for one in plan["titles"]]


async def _as_json(
    run: Mapping[str, Any], portions: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[str]:
    yield f'{{"run": {json.dumps(run)}, "decisions": ['
    comma = ""
    async for portion in portions:
        for one in portion:
            yield f"{comma}\n{json.dumps(one)}"
            comma = ","
    yield "\n]}\n"


async def _as_csv(
    _: Mapping[str, Any], portions: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[str]:
    yield ",".join(_COLUMNS) + "\r\n"
    async for portion in portions:
        text = io.StringIO()
        rows = ([_cell(one.get(name)) for name in _COLUMNS] for one in portion)
        csv.writer(text).writerows(rows)
        yield text.getvalue()


def _cell(value: object) -> object:
    """A title may look like a formula, which a spreadsheet would carry out."""
    formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if formula else value
