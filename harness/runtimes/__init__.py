"""The harness's half of a runtime: registry, worker processes and their environments."""
