"""The exported graphs, one row per route: operators, opset, exporter, dynamic dimensions and size.

Structures come as `harness.compare.structure.summarise` tells them.
"""

from __future__ import annotations

from typing import Any

from harness.report.document import Column, Table
from harness.report.results import Results


def structure_table(results: Results) -> Table:
    """One row per route: what was asked of the exporter and what it wrote."""
    structures: dict[str, dict[str, Any]] = {}
    labels = set(results.manifest.exports)
    for cell in results.cells:
        labels.add(cell.route_label)
        if cell.structure:
            structures.setdefault(cell.route_label, cell.structure)
    rows = [_row(label, structures.get(label, {}), results.manifest.exports.get(label, {})) for label in sorted(labels)]
    columns = (
        Column("route", "Route", "code"),
        Column("exporter", "Exporter that ran"),
        Column("asked_opset", "Opset asked", "integer"),
        Column("opset", "Opset written", "integer"),
        Column("folded", "Folded"),
        Column("nodes", "Nodes", "integer"),
        Column("operators", "Operators"),
        Column("inputs", "Inputs"),
        Column("outputs", "Outputs"),
        Column("dynamic", "Dynamic dimensions"),
        Column("bytes", "Size", "size"),
        Column("producer", "Producer"),
        Column("ir_version", None, "integer"),
        Column("warnings", "Warnings", "integer"),
    )
    return Table("structure", "Structure of the file that each route wrote.", columns, tuple(rows))


def _row(label: str, structure: dict[str, Any], export: dict[str, Any]) -> dict[str, Any]:
    asked = export.get("asked")
    asked = asked if isinstance(asked, dict) else {}
    opsets = structure.get("opsets")
    operators: dict[str, int] = structure.get("operators") or {}
    return {
        "route": label,
        "exporter": export.get("exporter"),
        "asked_opset": asked.get("opset"),
        "opset": export.get("opset") or (opsets.get("") if isinstance(opsets, dict) else None),
        "folded": export.get("folded"),
        "nodes": structure.get("nodes"),
        "operators": ", ".join(f"{name} {count}" for name, count in sorted(operators.items())) or None,
        "inputs": _tensors(structure.get("inputs")),
        "outputs": _tensors(structure.get("outputs")),
        "dynamic": _dynamic(structure.get("dynamic")),
        "bytes": structure.get("bytes") or export.get("bytes"),
        "producer": structure.get("exporter"),
        "ir_version": structure.get("ir_version"),
        "warnings": len(export["warnings"]) if isinstance(export.get("warnings"), list) else None,
    }


def _tensors(tensors: Any) -> str | None:
    if not isinstance(tensors, list):
        return None
    return "; ".join(
        f"{tensor.get('name')}: {tensor.get('dtype')} ({', '.join(_length(size) for size in tensor.get('shape') or ())})"
        for tensor in tensors
    )


def _length(value: Any) -> str:
    return "?" if value is None else str(value)


def _dynamic(dimensions: Any) -> str | None:
    """Dynamic dimensions by tensor; None where there is no graph."""
    if not isinstance(dimensions, dict):
        return None
    return "; ".join(f"{name}: {', '.join(sizes)}" for name, sizes in sorted(dimensions.items())) or "none"
