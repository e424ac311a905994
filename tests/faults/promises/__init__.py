"""What must always hold, each promise a function of its own: from the history to what is broken, in words."""
