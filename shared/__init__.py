"""What the services share: the event contract, the pure folds over it, and the plumbing that carries it. Imports no service."""
