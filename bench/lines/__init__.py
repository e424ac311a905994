"""One file for each bench: `run` measures and returns its lines."""
