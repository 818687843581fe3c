"""One client for each outside service, and what its webhooks say."""
