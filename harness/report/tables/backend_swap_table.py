"""A ``.keras`` file that one backend wrote, opened on the others: sources down, one row for every backend."""

from __future__ import annotations

from collections.abc import Iterable

from harness.compare.records import ParameterComparison
from harness.report.document import Column, Table
from harness.report.read import Results

ROUTE = "keras-backend-swap"


def swap_table(found: Iterable[Results]) -> Table:
    """One row per source and backend; no rows where nothing was swapped."""
    rows = [
        {
            "source": cell.source,
            "backend": cell.target.partition("/")[2],
            "parameters": None if cell.parameters is None else _bits(cell.parameters),
            "rms_ratio": cell.end_to_end.rms_ratio if cell.end_to_end is not None else None,
            "max_ratio": cell.end_to_end.max_ratio if cell.end_to_end is not None else None,
            "verdict": cell.verdict,
            "error": cell.error,
        }
        for results in found
        for cell in results.cells
        if cell.route == ROUTE
    ]
    columns = (
        Column("source", "Written by"),
        Column("backend", "Opened by"),
        Column("parameters", "Parameters"),
        Column("rms_ratio", "End-to-end error / floor (RMS)", "ratio"),
        Column("max_ratio", "End-to-end error / floor (max)", "ratio"),
        Column("verdict", "Verdict", "verdict"),
        Column("error", "Reason"),
    )
    return Table(
        "backend_swap",
        "A .keras file, written by one backend of Keras and opened by the others in safe mode: what they hold, and their "
        "float32 outputs against the source in float64.",
        columns,
        tuple(rows),
    )


def _bits(comparison: ParameterComparison) -> str:
    differing = sum(row.relation != "equal" for row in comparison.rows)
    return "equal bit for bit" if not differing else f"{differing} of {len(comparison.rows)} differ"
