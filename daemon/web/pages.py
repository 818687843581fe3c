"""The pages for people: rendered here, of the file alone; they work without a script."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web

from daemon import __version__
from daemon.domain import Outcome
from daemon.errors import DaemonError, StoreError
from daemon.explain import sentences
from daemon.result import SyncResult
from daemon.store import AuditFilter, RunView, Wanted
from daemon.web import admin, hooks, plans, view
from daemon.web.models import Asked, RunRef, SyncBody, SyncQuery, TitleRef
from daemon.web.problems import ACTOR, Problem
from daemon.web.routes import Call, Site, misread_as_unknown
from daemon.web.sessions import Form, Session, Sessions
