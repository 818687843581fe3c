"""Asks all services, and returns one `Snapshot`: of everything, or of a few titles."""
