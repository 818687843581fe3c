-- Rows of titles on their way that this program made, and what is kept of them from pass to pass.
-- A row's number may be given to another title once it is deleted; its age tells the two apart.
CREATE TABLE sync_pending (
  request_id INTEGER PRIMARY KEY,
  created_at TEXT NOT NULL,
  followed TEXT NOT NULL,
  boot TEXT NOT NULL,
  monotonic REAL NOT NULL,
  wall REAL NOT NULL
) STRICT;
