CREATE INDEX sync_runs_of_kind ON sync_runs (kind, id);

CREATE INDEX sync_runs_of_trigger ON sync_runs (trigger, id);
