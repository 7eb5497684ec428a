"""From the artifacts of one cell to its judgement, and from all of them to result files."""
