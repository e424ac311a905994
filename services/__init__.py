"""The services: each its own process, its own schema, and nothing of the others."""
