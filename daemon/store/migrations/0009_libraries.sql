CREATE INDEX sync_titles_library ON sync_titles (library);
