"""When runs happen: the schedule, hints, the quick check, and the queue in which they wait."""
