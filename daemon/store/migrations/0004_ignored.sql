CREATE TABLE sync_ignored (
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  reason TEXT NOT NULL,
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  PRIMARY KEY (kind, target)
) STRICT, WITHOUT ROWID;
