"""The exported graphs, one row per route: operators, opset, exporter, dynamic dimensions and size.

Structures come as `harness.compare.structure.summarise` tells them.
"""

from __future__ import annotations

from typing import Any

from harness.compare.loops import in_words
from harness.models.spec import ModelSpec
from harness.report.document import Column, Table
from harness.report.formatting import integer
from harness.report.read import Results


def structure_table(results: Results) -> Table:
    """One row per route: what was asked of the exporter and what it wrote."""
    structures: dict[str, dict[str, Any]] = {}
    labels = set(results.manifest.exports)
    for cell in results.cells:
        labels.add(cell.route_label)
        if cell.structure:
            structures.setdefault(cell.route_label, cell.structure)
    model = results.manifest.model
    rows = [
        _row(label, structures.get(label, {}), results.manifest.exports.get(label, {}), model)
        for label in sorted(labels)
    ]
    columns = (
        Column("route", "Route", "code"),
        Column("exporter", "Exporter that ran"),
        Column("asked_opset", "Opset asked", "integer"),
        Column("opset", "Opset written", "integer"),
        Column("folded", "Folded"),
        Column("nodes", "Nodes", "integer"),
        Column("nodes_inside", "Nodes inside of nodes", "integer"),
        Column("time", "Loops"),
        Column("frozen", "Frozen dimensions"),
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


def _row(label: str, structure: dict[str, Any], export: dict[str, Any], model: ModelSpec | None) -> dict[str, Any]:
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
        "nodes_inside": structure.get("nodes_inside"),
        "time": time_kept(structure),
        "frozen": _frozen(structure, model),
        "operators": ", ".join(f"{name} {count}" for name, count in sorted(operators.items())) or None,
        "inputs": _tensors(structure.get("inputs")),
        "outputs": _tensors(structure.get("outputs")),
        "dynamic": _dynamic(structure.get("dynamic")),
        "bytes": structure.get("bytes") or export.get("bytes"),
        "producer": structure.get("exporter"),
        "ir_version": structure.get("ir_version"),
        "warnings": len(export["warnings"]) if isinstance(export.get("warnings"), list) else None,
    }


def time_kept(structure: dict[str, Any]) -> str | None:
    """What became of loops: ``4 × Scan``, ``unrolled, 18 steps``, ``none``; None where there is no graph."""
    if "loops" not in structure:
        return None
    return in_words(structure["loops"], structure["steps"]) or "none"


def _frozen(structure: dict[str, Any], model: ModelSpec | None) -> str | None:
    """Axes that the model leaves open and the file fixes; None where either is not known."""
    if model is None or not structure:
        return None
    found = []
    for side, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        for entry, tensor in zip(structure.get(side) or (), tensors, strict=False):
            for axis, size in zip(tensor.axes, entry.get("shape") or (), strict=False):
                if axis.size is None and isinstance(size, int):
                    found.append(f"{axis.name} of {entry.get('name')} at {size}")
    return ", ".join(found) or "none"


def copies_note(results: Results) -> str:
    """A sentence on parameters that are stored more than once, by target and route; empty where there are none."""
    said = {
        f"{cell.route_label} in {cell.target}": cell.parameters
        for cell in results.cells
        if cell.parameters is not None and cell.parameters.copies > 1
    }
    parts = [
        f"{label} has {integer(found.target_count - found.copied_count)} parameters in {found.copies} copies, "
        f"{integer(found.target_count)} scalars in all"
        for label, found in sorted(said.items())
    ]
    if not parts:
        return ""
    return f"Weights are stored once for every step of an unrolled loop: {'; '.join(parts)}. Copies are told by their bits."


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
