"""When runs happen: schedule, debounced hints, quick check, and the run queue."""
