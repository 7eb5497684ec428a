"""What became of every parameter in every target."""

from __future__ import annotations

from harness.report.document import Column, Table
from harness.report.formatting import shape
from harness.report.read import Results, cell_label

_RELATIONS = ("equal", "folded", "permuted", "unequal", "missing", "extra")


def parameters_table(results: Results) -> Table:
    """One row per cell and parameter."""
    rows = [
        {
            "cell": cell_label(cell),
            "parameter": row.name,
            "layer": row.layer,
            "relation": row.relation,
            "source_shape": shape(row.source_shape),
            "target_name": row.target_name,
            "target_shape": shape(row.target_shape),
            "elements": row.elements,
            "differing": row.differing,
            "max_ulp": row.max_ulp,
            "max_abs": row.max_abs,
            "note": row.note,
        }
        for cell in results.cells
        if cell.parameters is not None
        for row in cell.parameters.rows
    ]
    columns = (
        Column("parameter", "Parameter", "code"),
        Column("cell", "Target and route"),
        Column("layer", None),
        Column("relation", "Relation"),
        Column("source_shape", "Shape"),
        Column("target_name", "Name in the target", "code"),
        Column("target_shape", "Shape in the target"),
        Column("elements", "Elements", "integer"),
        Column("differing", "Differing", "integer"),
        Column("max_ulp", "Max ULP", "integer"),
        Column("max_abs", "Max difference", "number"),
        Column("note", "Note"),
    )
    return Table(
        "parameters",
        "Every canonical parameter in every target.",
        columns,
        tuple(rows),
        empty="No target could be loaded.",
    )


def parameter_summary(results: Results) -> Table:
    """How many parameters of each cell are equal, folded, permuted, unequal, missing or extra."""
    rows = []
    for cell in results.cells:
        if (comparison := cell.parameters) is None:
            continue
        counts = {relation: sum(row.relation == relation for row in comparison.rows) for relation in _RELATIONS}
        differing = sum(row.differing for row in comparison.rows if row.relation in ("unequal", "permuted"))
        rows.append(
            {
                "cell": cell_label(cell),
                "verdict": comparison.verdict,
                "source_count": comparison.source_count,
                "target_count": comparison.target_count,
                "copies": comparison.copies,
                "differing": differing,
                **counts,
            }
        )
    columns = (
        Column("cell", "Target and route"),
        Column("verdict", "Verdict", "verdict"),
        Column("source_count", "Scalars in the source", "integer"),
        Column("target_count", "Scalars in the target", "integer"),
        Column("copies", "Copies", "integer"),
        *(Column(relation, relation.capitalize(), "integer") for relation in _RELATIONS),
        Column("differing", "Differing scalars", "integer"),
    )
    return Table(
        "parameter_summary",
        "Parameters of each target against the canonical ones: number of tensors by what became of them.",
        columns,
        tuple(rows),
        empty="No target could be loaded, so there are no parameters to compare.",
    )


def parameter_findings(results: Results) -> Table:
    """The rows that are neither equal nor folded."""
    table = parameters_table(results)
    rows = tuple(row for row in table.rows if row["relation"] not in ("equal", "folded"))
    return Table(
        "parameter_findings",
        "Parameters that are unequal, permuted, missing or extra.",
        table.columns,
        rows,
        empty="Every parameter of every target that was loaded is equal, or folded within its limits.",
    )
