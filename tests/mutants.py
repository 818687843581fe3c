"""Spoils the guards one by one, in a copy of the tree, and sees that their tests notice each.

Run by `make mutants`; a number as argument spoils only that one. A text that is not found exactly
once is an error, so that the table stays true.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", "build", "dist", ".*_cache")
REMOVAL = "tests/plan/test_removal.py"
PLAN = "tests/plan/test_requests.py tests/plan/test_titles.py"
SEASONS = "tests/plan/test_seasons.py tests/plan/test_requests.py"
IDENTITY = "tests/test_identity.py tests/plan/test_titles.py tests/plan/test_requests.py"
STORE = "tests/store/test_requests.py tests/store/test_removal.py tests/store/test_titles.py"
WRITER = f"{STORE} tests/store/test_sharing.py tests/apply/test_writer.py"
AUTH = "tests/web/test_auth.py tests/web/test_sessions.py tests/web/test_rights.py"
LOGIN = "tests/web/test_login.py tests/web/test_sessions.py"
RECORDS = "tests/services/test_records.py tests/services/test_records_fuzz.py"
HTTP = "tests/services/test_http.py tests/services/test_hostile.py"
PENDING = "tests/plan/test_pending_rows.py tests/plan/test_pending_patience.py"


class Mutant(NamedTuple):
    """One change that some test must notice.

    Attributes:
        tests: that are run.
        file: below `daemon/`.
        text: what is replaced; it stands there once.
        by: what it is replaced by.
    """

    tests: str
    file: str
    text: str
    by: str


def mutants() -> Iterator[Mutant]:
    """All of them."""
    for tests, file, changes in TABLE:
        for text, by in changes:
            yield Mutant(tests, file, text, by)


TABLE: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        REMOVAL,
        "plan/removal.py",
        [
            ("absence.sightings + 1 >= policy.sightings", "absence.sightings >= policy.sightings"),
            ("sightings + 1 >= policy.sightings and", "sightings + 2 >= policy.sightings and"),
            ("policy.sightings <= 1 and not policy.grace", "policy.sightings <= 1"),
            ("row.absence.waited >= policy.grace", "row.absence.waited * 2 >= policy.grace"),
            ("if away and libraries.is_there(row) else row", "if False else row"),
            ("    if row.library is None:\n        return", "    if False:\n        return"),
            ("if row.file and row.file in names:", "if False:"),
            ("if empty or gone > limit else", "if empty else"),
            ("if empty or gone > limit else", "if empty or gone > limit + 1 else"),
            ("if empty or gone > limit else", "if gone > limit else"),
            ('why="" if listed else lost', 'why=""'),
            ("why=over if missing > limit else", "why=over if False else"),
            ("if eligible and recent + eligible > limit", "if eligible > limit"),
            ("1, why=empty)", '1, why="")'),
            ("unusable += sum(", "unusable += 0 * sum("),
            ("if row.id in tracker.replaced - tracker.approved]", "if False]"),
            ('{"mode", "listed", "share", "total", "week"}', '{"mode", "share", "total", "week"}'),
            ('{"mode", "listed", "share", "total", "week"}', '{"mode", "listed", "total", "week"}'),
            ("{leads.get(row.id, row.id): row", "{row.id: row"),
        ],
    ),
    (
        REMOVAL,
        "domain.py",
        [
            ("titles * percent // 100", "titles * percent // 50"),
            ("min(self.limit_titles, titles // 2)", "min(self.limit_titles, titles)"),
            ("max(1, titles * percent", "max(2, titles * percent"),
            ("self._limit(titles, self.limit_total_percent)", "titles"),
        ],
    ),
    (
        f"{REMOVAL} {PLAN}",
        "snapshot.py",
        [
            ("self.complete and not self.scanning", "not self.scanning"),
            ("self.complete and not self.scanning", "self.complete"),
            ("not self.nameless and not self.distrust", "not self.nameless"),
            ("if jellyfin_id in self.broken:", "if False:"),
        ],
    ),
    (
        "tests/observe/test_library.py tests/apply/test_run.py",
        "observe/library.py",
        [
            ("and not self._failed and self.only is None", "and not self._failed"),
            ("not self._failed and self.only is None", "self.only is None"),
        ],
    ),
    (
        "tests/apply/test_judgement.py",
        "observe/sources.py",
        [
            ("distrust=distrusted(server, expected) or owner", "distrust=owner"),
            (
                "distrust=distrusted(server, expected) or owner",
                "distrust=distrusted(server, expected)",
            ),
        ],
    ),
    (
        f"{REMOVAL} {PLAN}",
        "plan/reconcile.py",
        [
            ("if row.seen or row.id in self.tracker.approved:", "if True:"),
            ("if unknown or broken or", "if broken or"),
            ("if unknown or broken or", "if unknown or"),
            (
                "row.is_open and whole.whole else None",
                "row.is_open and whole.whole is not False else None",
            ),
            ("max(n, counts.get(s, 0)) for s, n", "n for s, n"),
            ("if jellyfin_id in self.ids:", "if False:"),
            ("report.titles.holds(row.arr_id, ids) is not False", "False"),
            ("if len(unlinked) <= self.policy.removal.limit(linked):", "if True:"),
            ("if not row.managed or not named:", "if not named:"),
            ("or not report.whole or not report.titles:", "or not report.titles:"),
        ],
    ),
    (
        SEASONS,
        "plan/seasons.py",
        [
            ("if all(have[season] >= needed", "if any(have[season] >= needed"),
            ("have[season] >= needed[season] for", "have[season] + 1 >= needed[season] for"),
            ("return sum(1 <= number <= total for number in numbers)", "return len(numbers)"),
            ("if last is None or not first < last <= highest:", "if last is None:"),
            ("        if row.playable:", "        if True:"),
            ("unread = any(", "unread = False and any("),
            ("begins = first in {0, 1} or", "begins = first >= 0 or"),
            ("return last - first + 1 == len(numbers) and begins", "return begins"),
            ("max(counts.get(season, 0), at_least) for season", "counts.get(season, 0) for season"),
            ("return every - {_SPECIALS} or every", "return every"),
            ("if not requested and (missing", "if False and (missing"),
            ("if any(copy.partial for copy in copies):", "if False:"),
        ],
    ),
    (
        "tests/services/test_jellyfin.py",
        "services/jellyfin.py",
        [
            ('row.IsPlaceHolder or row.LocationType == "Virtual"', 'row.LocationType == "Virtual"'),
            ('row.IsPlaceHolder or row.LocationType == "Virtual"', "row.IsPlaceHolder"),
            ('if row.LocationType == "FileSystem" else None', "if row.LocationType else None"),
            (
                'return True if row.LocationType == "FileSystem" else None',
                "return row.LocationType == 'FileSystem'",
            ),
            ("return Activity(busy or bool(odd),", "return Activity(busy,"),
        ],
    ),
    (
        IDENTITY,
        "identity.py",
        [
            ("if False in strong:", "if all(one is False for one in strong):"),
            ("_MOVIE_ORDER: Final = (0, 1, 2)", "_MOVIE_ORDER: Final = (2, 1, 0)"),
            ("return found[0] if len(found) == 1 else None", "return found[0] if found else None"),
            ("if ids[own] is not None and self._key(number, own) is not None:", "if False:"),
            ('text = text.replace("-", "").lower()', "text = text.lower()"),
            ("self._has(number) and self.holds(number, ids) is False", "self._has(number)"),
        ],
    ),
    (
        IDENTITY,
        "plan/titles.py",
        [
            ("return any(_disjoint(some, others, at) for at in strong)", "return False"),
            ("if same(row.media_type, row.ids, found[1].ids) is False:", "if False:"),
        ],
    ),
    (
        WRITER,
        "store/writing.py",
        [
            ('row["state"] == RequestState.AVAILABLE.value\n        and row', "row"),
            ('        and row["media_type"] == gone.media_type.value\n', ""),
            ('(positive(row["tmdb_id"]), positive(row["tvdb_id"])) == gone.ids[:2]', "True"),
            ('        and _same(row["jellyfin_id"], gone.jellyfin_id)\n', ""),
            ("writable = _same(old, update.relinks[name][0])", "writable = True"),
            ('row["requested_by"] == SYNC_USER and old != new', "old != new"),
            ('writable = old is None or old == ""', "writable = True"),
            ('is not None and row["state"] == update.promotes.value', "is not None"),
            ("        if self._newcomers:\n", "        if False:\n"),
            ("return _same(row[name], expected)", "return True"),
            ('right = row["media_type"] == item.media_type.value', "right = True"),
            ('row and row[0]["requested_by"] == SYNC_USER for', "row for"),
        ],
    ),
    (
        STORE,
        "store/evidence.py",
        [(' AND sync_titles.created_at = requests.created_at"', '"')],
    ),
    (
        "tests/apply/test_instances.py",
        "store/instance_ids.py",
        [(' AND requests.created_at = sync_instance_ids.created_at"', '"')],
    ),
    (
        "tests/store/test_audit.py",
        "store/audit.py",
        [
            ("values[0] == events and prev_hash == previous", "values[0] == events"),
            ("if not fits or digest != _digest(previous, tuple(values)):", "if not fits:"),
        ],
    ),
    (
        AUTH,
        "web/auth.py",
        [
            ("hmac.compare_digest(self._own, _digest(token))", "self._own == _digest(token)"),
            ("hmac.compare_digest(self._digest, _digest(one))", "self._digest == _digest(one)"),
            ("minute.failures < self._most", "minute.failures <= self._most"),
            ('.headers.get("Sec-Fetch-Site", "").lower() in _OTHER_SITES', ".headers.get('x')"),
            ("if bearer.standing is not TokenStatus.ADMINISTRATOR:", "if False:"),
            (
                "self._known[digest] = (self._now() + _MINUTE, actor)",
                "self._known[digest] = (1e99, actor)",
            ),
        ],
    ),
    (
        AUTH,
        "web/rights.py",
        [
            ("self._now() < session.confirmed + _GOOD_FOR", "True"),
            ("if status in _GONE:", "if False:"),
            (
                "        if request.method not in _SAFE:\n            return None",
                "        if False:\n            return None",
            ),
        ],
    ),
    (
        LOGIN,
        "web/sessions.py",
        [
            ('_bytes(f"{number}.{owner}")', "_bytes(number)"),
            ("        if number in self.sent:", "        if False:"),
            ("return hmac.compare_digest(_bytes(given), _bytes(value))", "return True"),
            ("session is not None and session.ends <= self._now()", "False"),
        ],
    ),
    (
        RECORDS,
        "services/records.py",
        [
            ("if self._open or is_cut(text):", "if is_cut(text):"),
            ("if any(part.required and part.name not in kept for part in parts):", "if False:"),
            ("if len(self._cursor.text) > _LARGEST:", "if False:"),
            ("self._depth == level and self._is_named()", "self._depth == level"),
            ("if self._separated or text.strip():", "if text.strip():"),
        ],
    ),
    (
        HTTP,
        "services/http.py",
        [
            ("asyncio.timeout_at(deadline)", "asyncio.timeout_at(None)"),
            ("size += len(chunk)", "size += 0"),
            ("allow_redirects=False", "allow_redirects=True"),
            ("if attempt >= attempts or not error.retryable:", "if attempt >= attempts:"),
            ("max(spread, asked or 0.0)", "max(spread, 0.0)"),
        ],
    ),
    (
        PENDING,
        "plan/pending/withdrawals.py",
        [
            ("if is_confirmed(one.timer, DOUBT)]", "]"),
            ("if len(open_) > limit or memory", "if memory"),
            (
                "if len(open_) > limit or memory.withdrawn_lately + len(confirmed) > limit:",
                "if len(open_) > limit:",
            ),
            ("in _GONE for one in left):", "in _GONE for one in ()):"),
            ("joined.listed and not seerr.distrust and", "joined.listed and"),
            ("joined.listed and not seerr.distrust and", "not seerr.distrust and"),
        ],
    ),
    (
        PENDING,
        "plan/pending/precedence.py",
        [
            ("Step(wanted) if is_confirmed(doubt, DOUBT) else Step(state, doubt)", "Step(wanted)"),
            ("timer.sightings > 1 and timer.waited >= wait", "timer.sightings > 1"),
        ],
    ),
]
"""By the tests that must notice: a file, and what in it is replaced by what."""


def spoiled(tree: Path, mutant: Mutant) -> str:
    """The file as it was; the mutant is in its place.

    Raises:
        LookupError: its text is not there, or several times.
    """
    path = tree / "daemon" / mutant.file
    sound = path.read_text("utf-8")
    if (times := sound.count(mutant.text)) != 1:
        raise LookupError(f"{mutant.file} has {times} times: {mutant.text}")
    path.write_text(sound.replace(mutant.text, mutant.by), "utf-8")
    return sound


def passes(tree: Path, tests: str) -> bool:
    """Whether tests pass in a tree.

    Raises:
        RuntimeError: they could not be run.
    """
    options = ["-xq", "--timeout=60", "-p", "no:cacheprovider"]  # some mutants wait for ever
    command = [sys.executable, "-m", "pytest", *options, *tests.split()]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(  # noqa: S603  # our own interpreter
        command, cwd=tree, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == 0


@contextmanager
def trees() -> Iterator[SimpleQueue[Path]]:
    """A copy of the tree for each core."""
    with tempfile.TemporaryDirectory() as folder:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(os.cpu_count() or 1):
            free.put(Path(shutil.copytree(ROOT, Path(folder) / str(number), ignore=NOT_COPIED)))
        yield free


def survives(free: SimpleQueue[Path], mutant: Mutant) -> bool:
    """Whether no test notices a mutant."""
    tree = free.get()
    try:
        sound = spoiled(tree, mutant)
        try:
            return passes(tree, mutant.tests)
        finally:
            (tree / "daemon" / mutant.file).write_text(sound, "utf-8")
    finally:
        free.put(tree)


def main(chosen: list[Mutant]) -> int:
    """Spoil, and tell what was not noticed; returns the exit code."""
    with trees() as free, ThreadPoolExecutor(os.cpu_count()) as pool:
        tree = free.get()
        if not passes(tree, " ".join({test for one in chosen for test in one.tests.split()})):
            print("some of their tests fail without any mutant")
            return 2
        free.put(tree)
        survivors = []
        verdicts = pool.map(lambda one: survives(free, one), chosen)
        for number, (mutant, survived) in enumerate(zip(chosen, verdicts, strict=True), 1):
            what = "SURVIVES" if survived else "noticed "
            print(f"{number:3} {what} {mutant.file}: {mutant.text!r} -> {mutant.by!r}", flush=True)
            survivors += [mutant] if survived else []
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    everything = list(mutants())
    sys.exit(main([everything[int(one) - 1] for one in sys.argv[1:]] or everything))
