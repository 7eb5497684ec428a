"""Outlines beside each other: which lines of several graphs stand in one row, because they do the same."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.outline import Line

#: Lines by the number of their graph.
Row = dict[int, Line]


def align(graphs: Sequence[Sequence[Line]]) -> list[Row]:
    """Rows in which lines of several graphs stand that match, in the order of every graph.

    The second graph is aligned with the first, the third with the rows of both, and so on, each time with the greatest sum
    of matches (Needleman and Wunsch 1970, https://doi.org/10.1016/0022-2836(70)90057-4, without a price for gaps).
    """
    rows: list[Row] = [{0: line} for line in graphs[0]] if graphs else []
    for number, lines in enumerate(graphs[1:], 1):
        rows = _merged(rows, lines, number)
    return rows


def _merged(rows: list[Row], lines: Sequence[Line], number: int) -> list[Row]:
    # best[i][j]: the greatest sum for the rows from i on and the lines from j on.
    best = [[0.0] * (len(lines) + 1) for _ in range(len(rows) + 1)]
    for i in reversed(range(len(rows))):
        for j in reversed(range(len(lines))):
            match = _match(rows[i], lines[j])
            together = match + best[i + 1][j + 1] if match else 0.0
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    merged: list[Row] = []
    i = j = 0
    while i < len(rows) or j < len(lines):
        if i < len(rows) and j < len(lines):
            match = _match(rows[i], lines[j])
            if match and best[i][j] == match + best[i + 1][j + 1]:
                merged.append({**rows[i], number: lines[j]})
                i, j = i + 1, j + 1
                continue
        if j == len(lines) or (i < len(rows) and best[i][j] == best[i + 1][j]):
            merged.append(rows[i])
            i += 1
        else:
            merged.append({number: lines[j]})
            j += 1
    return merged


def _match(row: Row, line: Line) -> float:
    return max(_alike(other, line) for other in row.values())


def _alike(one: Line, other: Line) -> float:
    """How much two lines do the same: most with one operator on one shape, least with another operator for the same end."""
    if one.operator == other.operator:
        return 2.0 + (one.shape == other.shape) + (one.weight_shape == other.weight_shape)
    return 1.0 if one.kind == other.kind == "layout" and one.shape == other.shape and one.shape else 0.0
