"""Comparisons and verdicts: pure functions on arrays and tables; they know no worker."""
