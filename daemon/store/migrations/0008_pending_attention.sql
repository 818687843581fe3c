-- What the latest pass over titles on their way called a person for, and since when it is so.
CREATE TABLE sync_attention (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  service TEXT NOT NULL,
  sentence TEXT NOT NULL,
  title TEXT NOT NULL,
  row_id INTEGER,
  request_id INTEGER,
  since TEXT NOT NULL
) STRICT;
