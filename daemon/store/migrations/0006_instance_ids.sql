CREATE TABLE sync_instance_ids (
  request_id INTEGER NOT NULL,
  instance TEXT NOT NULL,
  number INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (request_id, instance)
) STRICT, WITHOUT ROWID;
