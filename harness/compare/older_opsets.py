"""What nodes of a graph mean where exporters and users trip: operators of older opsets, and normalisation as in training.

The texts follow the versions of each operator in https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.compare.records import Finding, Verdict

Node = Mapping[str, Any]


def meanings(structure: Mapping[str, Any] | None) -> list[Finding]:
    """One sentence for each kind of node that means something else than its name suggests today; they call for no verdict.

    Nodes that had to be sorted are told as well.
    """
    if structure is None:
        return []
    opset = next((version for domain, version in structure["opsets"].items() if domain in ("", "ai.onnx")), 0)
    shapes = {str(entry["name"]): entry["shape"] for entry in (*structure["inputs"], *structure["outputs"])}
    shapes |= structure.get("shapes", {})
    found: dict[tuple[str, str], list[str]] = {}
    for node in _nodes(structure["nodes"]):
        explain = _EXPLAINED.get(node["operator"])
        if explain is None or node["domain"] not in ("", "ai.onnx"):
            continue
        if text := explain(node, int(opset), shapes):
            found.setdefault((node["operator"], text), []).append(str(node["name"] or node["outputs"][0]))
    told = [f"{operator} {_named(names)}: {text}" for (operator, text), names in found.items()]
    if moved := structure.get("moved"):
        told.append(f"its nodes are out of order and were sorted: {_named(moved)} before what is read there")
    return [Finding(comparison="structure", verdict=Verdict.EQUIVALENT, message=message) for message in told]


def _nodes(nodes: list[Node]) -> Iterator[Node]:
    """Nodes and those of graphs inside of them."""
    for node in nodes:
        yield node
        for value in node["attributes"].values():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Mapping) and "graph" in part:
                    yield from _nodes(part["graph"]["nodes"])


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"'{names[0]}'{more}"


def _softmax(node: Node, opset: int, shapes: Mapping[str, Any]) -> str:
    if opset >= 13:
        return ""
    axis, shape = int(node["attributes"].get("axis", 1)), shapes.get(node["inputs"][0])
    if axis == -1 or (shape is not None and axis == len(shape) - 1):
        # Over the last axis alone both mean the same.
        return ""
    axes = f"axes {axis} to {len(shape) - 1}" if shape is not None and axis >= 0 else f"axis {axis} and all after it"
    return (
        f"at opset {opset} the input is flattened before axis {axis}, and {axes} are normalised together, as one; from opset 13 on "
        f"it is axis {axis} alone, which frameworks mean. Export with opset 13 or newer if that is meant"
    )


def _resize(node: Node, opset: int, shapes: Mapping[str, Any]) -> str:
    if opset >= 11:
        return ""
    return (
        f"at opset {opset} a place of the output lies at index / scale of the input (asymmetric) and there is no other choice: "
        f"align_corners and half-pixel centres of the framework are lost, which moves linear results. Export with opset 11 or newer"
    )


def _upsample(node: Node, opset: int, shapes: Mapping[str, Any]) -> str:
    return (
        f"an operator of opsets 7 to 9, whose output has floor(size * scale) places, each at index / scale of the input "
        f"(asymmetric): align_corners and half-pixel centres of the framework are lost, and sizes may be one less where a scale is "
        f"no whole number (opset {opset}). Export with opset 11 or newer, which writes Resize"
    )


def _batch_normalisation(node: Node, opset: int, shapes: Mapping[str, Any]) -> str:
    training = node["attributes"].get("training_mode", 0) == 1 if opset >= 14 else len(node["outputs"]) > 1
    if not training:
        return ""
    return (
        "the file normalises by the statistics of its batch, as in training: the answer to a sample depends on the others of its "
        "call. Export the model in evaluation mode (model.eval()), with running statistics, unless that is meant"
    )


_EXPLAINED: dict[str, Callable[[Node, int, Mapping[str, Any]], str]] = {
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _softmax,
    "Resize": _resize,
    "Upsample": _upsample,
    "BatchNormalization": _batch_normalisation,
}
