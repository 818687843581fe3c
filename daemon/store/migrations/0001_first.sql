CREATE TABLE sync_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  trigger TEXT NOT NULL,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  started_at TEXT NOT NULL,
  ended_at TEXT,
  outcome TEXT NOT NULL,
  added INTEGER NOT NULL DEFAULT 0,
  updated INTEGER NOT NULL DEFAULT 0,
  pictures INTEGER NOT NULL DEFAULT 0,
  unpictured INTEGER NOT NULL DEFAULT 0,
  result TEXT
) STRICT;

CREATE INDEX sync_runs_outcome ON sync_runs (outcome, id);

CREATE TABLE sync_decisions (
  run_id INTEGER NOT NULL REFERENCES sync_runs (id),
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  media_type TEXT,
  title TEXT,
  jellyfin_id TEXT,
  request_id INTEGER,
  details TEXT,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX sync_decisions_request ON sync_decisions (request_id);

CREATE TABLE sync_audit (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  action TEXT NOT NULL,
  run_id INTEGER,
  target TEXT,
  reason TEXT,
  before TEXT,
  after TEXT,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE INDEX sync_audit_target ON sync_audit (target);
CREATE INDEX sync_audit_run ON sync_audit (run_id);

CREATE TRIGGER sync_audit_no_update BEFORE UPDATE ON sync_audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TRIGGER sync_audit_no_delete BEFORE DELETE ON sync_audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TABLE sync_titles (
  request_id INTEGER PRIMARY KEY,
  created_at TEXT NOT NULL,
  library TEXT
) STRICT;

CREATE TABLE sync_absences (
  request_id INTEGER PRIMARY KEY,
  since TEXT NOT NULL,
  sightings INTEGER NOT NULL,
  waited REAL NOT NULL,
  boot TEXT NOT NULL,
  monotonic REAL NOT NULL,
  wall REAL NOT NULL
) STRICT;

CREATE TABLE sync_plans (
  run_id INTEGER PRIMARY KEY,
  state TEXT NOT NULL,
  at TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  settled_by TEXT,
  settled_at TEXT
) STRICT;

CREATE TABLE sync_held (
  run_id INTEGER NOT NULL REFERENCES sync_plans (run_id),
  request_id INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  title TEXT NOT NULL,
  library TEXT,
  why TEXT NOT NULL,
  since TEXT NOT NULL,
  sightings INTEGER NOT NULL,
  PRIMARY KEY (run_id, request_id)
) STRICT, WITHOUT ROWID;
