"""The HTTP edge of routing: parse, call, answer."""
