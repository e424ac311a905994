"""The only SQL of routing, by what it is about. Never commits."""
