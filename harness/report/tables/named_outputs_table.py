"""Each output of targets that have several: its shape, its error and its verdict."""

from __future__ import annotations

from typing import Any

from harness.compare.records import OutputResult
from harness.report.document import Column, Table
from harness.report.read import Results, cell_label


def named_outputs_table(results: Results) -> Table:
    """One row for each output of each target; without rows where no target has more than one."""
    cells = [cell for cell in results.cells if len(cell.outputs) > 1]
    rows = tuple({"cell": cell_label(cell), **_row(output)} for cell in cells for output in cell.outputs)
    return Table(
        "named_outputs",
        "Every output of a target; the verdict of the target is that of the worst. Shapes are those of the file. Whole numbers, "
        "truth values and texts have no error: the values that differ are counted.",
        (
            Column("cell", "Target and route"),
            Column("output", "Output"),
            Column("shape", "Shape"),
            Column("dtype", "Type"),
            Column("sample", "Sample axis"),
            Column("decided", "Decided on"),
            Column("verdict", "Verdict"),
            Column("rms_ratio", "RMSE / floor", "ratio"),
            Column("max_ratio", "Max / floor", "ratio"),
            Column("differing", "Values that differ", "integer"),
        ),
        rows,
    )


def _row(output: OutputResult) -> dict[str, Any]:
    return {
        "output": output.name,
        "shape": output.shape_text,
        "dtype": output.dtype,
        "sample": "none" if output.sample_axis is None else str(output.sample_axis),
        "decided": "yes" if output.decided else "no",
        "verdict": output.verdict.value,
        "rms_ratio": output.rms_ratio,
        "max_ratio": output.max_ratio,
        "differing": output.differing,
    }
