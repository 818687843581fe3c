ALTER TABLE sync_absences ADD COLUMN library_away INTEGER NOT NULL DEFAULT 0;

ALTER TABLE sync_held ADD COLUMN kind TEXT NOT NULL DEFAULT 'remove';

CREATE TABLE sync_confirmed (
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  PRIMARY KEY (kind, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX sync_audit_action ON sync_audit (action, at);
