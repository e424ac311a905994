"""What people read of tickets and customers, as the fold of the log; and what is found by which words. Pure."""
