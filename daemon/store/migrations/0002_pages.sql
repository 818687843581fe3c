CREATE INDEX sync_runs_kind ON sync_runs (kind, outcome, id);

CREATE INDEX sync_absences_since ON sync_absences (since);
