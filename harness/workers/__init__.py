"""The worker's side of a runtime, in Python: one serve loop, one module per engine."""
