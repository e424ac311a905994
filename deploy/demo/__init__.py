"""The demonstration: customers, agents and receivers around a running Patchbay, and the story of what happens."""
