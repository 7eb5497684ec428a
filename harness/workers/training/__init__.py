"""Training and the import of weights, the same for every framework."""
