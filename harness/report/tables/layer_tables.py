"""Error node by node: every tensor as a row, and one line per cell for pages."""

from __future__ import annotations

from typing import Any

from harness.compare.layers import in_words, past_gate
from harness.compare.records import CellResult, LayerError, LayersComparison
from harness.report.document import Column, Table
from harness.report.read import Results, cell_label


def examined(results: Results) -> list[tuple[CellResult, LayersComparison]]:
    """Cells that were followed node by node, in order."""
    return [(cell, cell.layers) for cell in results.cells if cell.layers is not None and cell.layers.rows]


def layers_table(results: Results) -> Table:
    """One row per cell and tensor, in the order of the graph; becomes ``layers.csv``."""
    rows = []
    for cell, layers in examined(results):
        for place, row in enumerate(layers.rows):
            rows.append(
                {
                    "cell": cell_label(cell),
                    "place": place,
                    "node": row.node,
                    "operator": row.operator,
                    "tensor": row.tensor,
                    "shape": " x ".join(str(size) for size in row.shape),
                    "exact": row.exact,
                    "floor_rms": row.floor_rms,
                    "floor_max": row.floor_max,
                    **_ratios("local", row.local),
                    **_ratios("accumulated", row.accumulated),
                    "past_gate": past_gate(row.local),
                    "note": row.note,
                }
            )
    columns = (
        Column("cell", "Target and route"),
        Column("place", None, "integer"),
        Column("node", "Node", "code"),
        Column("operator", "Operator"),
        Column("tensor", "Tensor", "code"),
        Column("shape", None),
        Column("exact", None),
        Column("floor_rms", "Floor (RMS)", "number"),
        Column("floor_max", None, "number"),
        Column("local_rms_ratio", "Local error", "ratio"),
        Column("local_max_ratio", "largest", "ratio"),
        Column("local_unequal", None, "integer"),
        Column("accumulated_rms_ratio", "Accumulated error", "ratio"),
        Column("accumulated_max_ratio", None, "ratio"),
        Column("accumulated_unequal", None, "integer"),
        Column("past_gate", "Past its gate"),
        Column("note", None),
    )
    return Table("layers", "Error of every tensor of every graph in multiples of its floor.", columns, tuple(rows))


def _ratios(name: str, error: LayerError | None) -> dict[str, Any]:
    if error is None:
        return {}
    return {
        f"{name}_rms_ratio": error.rms_ratio,
        f"{name}_max_ratio": error.max_ratio,
        f"{name}_unequal": error.unequal,
    }


def layers_summary(results: Results) -> Table:
    """One row per cell: the worst node on its own, the worst tensor within the graph, and the culprit."""
    rows = [_summary(cell, layers) for cell, layers in examined(results)]
    columns = (
        Column("cell", "Target and route"),
        Column("nodes", "Tensors", "integer"),
        Column("exact", "of them exact", "integer"),
        Column("local", "Worst local error", "ratio"),
        Column("where", "at"),
        Column("accumulated", "Worst accumulated error", "ratio"),
        Column("past_gate", "Past their gate", "integer"),
        Column("culprit", "First past its gate"),
        Column("not_examined", "Nodes not examined", "integer"),
    )
    caption = "Error node by node in multiples of each node's floor; integer and boolean tensors must be equal."
    return Table("layers_summary", caption, columns, tuple(rows), _notes(results), "No graph was followed.")


def _summary(cell: CellResult, layers: LayersComparison) -> dict[str, Any]:
    local = [(row.local.rms_ratio, row) for row in layers.rows if row.local and row.local.rms_ratio is not None]
    whole = [
        row.accumulated.rms_ratio for row in layers.rows if row.accumulated and row.accumulated.rms_ratio is not None
    ]
    ratio, worst = max(local, key=lambda pair: pair[0], default=(None, None))
    first = next((row for row in layers.rows if past_gate(row.local)), None)
    return {
        "cell": cell_label(cell),
        "nodes": len(layers.rows),
        "exact": sum(row.exact for row in layers.rows),
        "local": ratio,
        "where": None if worst is None else worst.operator,
        "accumulated": max(whole, default=None),
        "past_gate": layers.past_gate,
        "culprit": "none"
        if first is None
        else f"{first.operator} {first.node or first.tensor}: {in_words(first.local)}",
        "not_examined": len(layers.not_examined),
    }


def _notes(results: Results) -> tuple[str, ...]:
    """Notes of all cells; what is said of several is said once, with the runtimes it is said of."""
    cells: dict[str, list[CellResult]] = {}
    for cell in results.cells:
        if cell.layers is not None:
            for text in (*cell.layers.notes, *cell.layers.not_examined):
                cells.setdefault(f"{text.rstrip('.')}.", []).append(cell)
    return tuple(
        f"{cell_label(found[0]) if len(found) == 1 else ', '.join(dict.fromkeys(cell.target for cell in found))}: {text}"
        for text, found in cells.items()
    )
