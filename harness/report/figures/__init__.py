"""The figures of a report, one module per figure; each draws from tables, never from live objects.

A figure module offers ``draw(...) -> Drawing | None``: None where there is nothing to draw.
"""
