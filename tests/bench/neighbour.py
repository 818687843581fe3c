"""Another program that writes to the tracker's file all the time, as the tracker's own app may.

Started with the file, which it makes, and ended by the end of stdin.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import closing
from importlib import resources

_PAUSE = 0.02


def main(database: str) -> None:
    """Write a row every now and then."""
    ending = threading.Thread(target=sys.stdin.read, daemon=True)
    schema = resources.files("daemon.store") / "tracker.sql"
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(schema.read_text(encoding="utf-8"))
        print("begun", flush=True)
        ending.start()
        while ending.is_alive():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE requests SET state = state WHERE id = 1")
            connection.execute("COMMIT")
            ending.join(_PAUSE)


if __name__ == "__main__":
    main(sys.argv[1])
