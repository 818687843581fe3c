"""One client per outside service, and the parsing of webhooks."""
