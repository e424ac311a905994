"""The service's only SQL. Never commits."""
