"""Oracles against each other, operator by operator, on inputs drawn from a seed."""
