"""The HTTP edge of desk: parse, call, answer."""
