"""The process's half of a runtime, in Python: one serve loop, one file per engine or route."""
