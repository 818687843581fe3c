"""Lets `python -m daemon` do what the command does."""

import sys

from daemon.cli import main

sys.exit(main())
