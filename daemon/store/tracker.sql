-- The tracker's own tables, as the tracker itself declares them; used only where they are absent.
CREATE TABLE requests (
  id INTEGER NOT NULL PRIMARY KEY,
  title VARCHAR(500) NOT NULL,
  media_type VARCHAR(5) NOT NULL,
  state VARCHAR(14) NOT NULL,
  jellyseerr_id INTEGER,
  tmdb_id INTEGER,
  tvdb_id INTEGER,
  imdb_id VARCHAR(20),
  qbit_hash VARCHAR(100),
  sonarr_id INTEGER,
  radarr_id INTEGER,
  shoko_series_id INTEGER,
  is_anime BOOLEAN,
  alternate_titles TEXT,
  match_failure_reason VARCHAR(500),
  download_progress FLOAT,
  download_speed VARCHAR(50),
  download_eta VARCHAR(50),
  quality VARCHAR(100),
  indexer VARCHAR(100),
  file_size INTEGER,
  release_group VARCHAR(100),
  download_path VARCHAR(1000),
  final_path VARCHAR(1000),
  jellyfin_id VARCHAR(100),
  requested_by VARCHAR(100),
  poster_url VARCHAR(500),
  year INTEGER,
  overview TEXT,
  season INTEGER,
  episode INTEGER,
  requested_seasons VARCHAR(50),
  total_episodes INTEGER,
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL,
  state_changed_at DATETIME NOT NULL,
  available_at DATETIME,
  vfs_rebuild_at DATETIME
);

CREATE INDEX ix_requests_tmdb_id ON requests (tmdb_id);
CREATE INDEX ix_requests_tvdb_id ON requests (tvdb_id);
CREATE INDEX ix_requests_qbit_hash ON requests (qbit_hash);

CREATE TABLE timeline_events (
  id INTEGER NOT NULL PRIMARY KEY,
  request_id INTEGER NOT NULL REFERENCES requests (id),
  service VARCHAR(50) NOT NULL,
  event_type VARCHAR(100) NOT NULL,
  state VARCHAR(14) NOT NULL,
  details TEXT,
  raw_data TEXT,
  timestamp DATETIME NOT NULL
);

CREATE INDEX ix_timeline_events_request_id ON timeline_events (request_id);

CREATE TABLE episodes (
  id INTEGER NOT NULL PRIMARY KEY,
  request_id INTEGER NOT NULL REFERENCES requests (id),
  season_number INTEGER NOT NULL,
  episode_number INTEGER NOT NULL,
  episode_title VARCHAR(500),
  sonarr_episode_id INTEGER,
  episode_tvdb_id INTEGER,
  state VARCHAR(14) NOT NULL,
  qbit_hash VARCHAR(100),
  final_path VARCHAR(1000),
  shoko_file_id VARCHAR(100),
  jellyfin_id VARCHAR(100),
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL
);

CREATE INDEX ix_episodes_request_id ON episodes (request_id);
CREATE INDEX ix_episodes_qbit_hash ON episodes (qbit_hash);

CREATE TABLE deletion_logs (
  id INTEGER NOT NULL PRIMARY KEY,
  title VARCHAR(500) NOT NULL,
  media_type VARCHAR(5) NOT NULL,
  tmdb_id INTEGER,
  tvdb_id INTEGER,
  jellyfin_id VARCHAR(100),
  sonarr_id INTEGER,
  radarr_id INTEGER,
  shoko_series_id INTEGER,
  jellyseerr_id INTEGER,
  qbit_hash VARCHAR(100),
  poster_url VARCHAR(500),
  year INTEGER,
  is_anime BOOLEAN NOT NULL,
  source VARCHAR(9) NOT NULL,
  deleted_by_user_id VARCHAR(100),
  deleted_by_username VARCHAR(100),
  status VARCHAR(11) NOT NULL,
  initiated_at DATETIME NOT NULL,
  completed_at DATETIME
);

CREATE TABLE deletion_sync_events (
  id INTEGER NOT NULL PRIMARY KEY,
  deletion_log_id INTEGER NOT NULL REFERENCES deletion_logs (id),
  service VARCHAR(50) NOT NULL,
  status VARCHAR(14) NOT NULL,
  details TEXT,
  error_message TEXT,
  api_response TEXT,
  timestamp DATETIME NOT NULL
);

CREATE INDEX ix_deletion_sync_events_deletion_log_id
  ON deletion_sync_events (deletion_log_id);
