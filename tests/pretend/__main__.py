"""The demo: the real daemon on a pretend media library."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from daemon import __version__, logs
from tests.pretend.story import tell


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError
    return number


def main() -> None:
    """Tell the story, then go on until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end with the story")
    parser.add_argument("--port", type=_port, default=8765, metavar="N", help="default: 8765")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the tracker's file there")
    options = parser.parse_args()
    logs.configure(format="auto", level="error", secrets=(), version=__version__, stream=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(tell(options.keep, options.port, sys.stdout, once=options.once))


if __name__ == "__main__":
    main()
