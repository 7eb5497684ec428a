"""What the end of a graph tells of an output: whether it is scores or classes, and on which of its axes the classes lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.compare.graph import LAYOUT_OPERATORS, Graph, Node

#: What the last operators make of an output; "" where they do not tell.
Kind = Literal["softmax", "log-softmax", "sigmoid", "classes", ""]

#: Operators after which every axis is what it was before.
_SAME_AXES = frozenset(
    {
        *("Identity", "Cast", "Neg", "Abs", "Exp", "Log", "Sqrt", "Dropout", "QuantizeLinear", "DequantizeLinear"),
        *("Add", "Sub", "Mul", "Div", "Max", "Min", "Clip", "Pad", "Slice", "Resize", "Upsample"),
        *(
            "Relu",
            "LeakyRelu",
            "PRelu",
            "Elu",
            "Selu",
            "Celu",
            "Gelu",
            "HardSigmoid",
            "HardSwish",
            "Mish",
            "Swish",
            "Tanh",
        ),
        *("Sigmoid", "Softplus", "Softsign"),
    }
)
#: Operators whose channels are axis 1 of what they give.
_CHANNELS_FIRST = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "BatchNormalization", "InstanceNormalization"),
        *("GroupNormalization", "DepthToSpace", "AveragePool", "MaxPool", "GlobalAveragePool"),
    }
)
#: Operators whose channels are the last axis of what they give.
_CHANNELS_LAST = frozenset({"MatMul", "Gemm", "LayerNormalization"})
#: Operators that may follow a head and change nothing of what it is.
_AT_END = LAYOUT_OPERATORS | {"QuantizeLinear", "DequantizeLinear"}
_ENDS: Mapping[str, Kind] = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
    "ArgMax": "classes",
}


@dataclass(frozen=True)
class OutputEnd:
    """``class_axis``: that of the output on which its classes or channels lie; None where the graph does not tell."""

    kind: Kind = ""
    class_axis: int | None = None


def output_end(structure: Mapping[str, Any], name: str, axes: int) -> OutputEnd:
    """The end of the graph (worker contract) before the output of that name, which has so many axes.

    Operators that only rearrange are walked through, and a Transpose is followed axis by axis; after a Reshape no axis is
    known any more.
    """
    graph = Graph(structure, {})
    opset = max(
        (int(version) for domain, version in structure.get("opsets", {}).items() if domain in ("", "ai.onnx")),
        default=13,
    )
    places: Sequence[int] | None = range(axes)
    kind: Kind = ""
    logarithm, at_end = False, True
    while name in graph.producer:
        node = graph.producer[name]
        found: Kind = _ENDS.get(node.operator, "") if at_end else ""
        if found == "classes":
            return OutputEnd("classes")
        if found and not kind:
            kind = "log-softmax" if found == "softmax" and logarithm else found
        if node.operator in ("Softmax", "LogSoftmax"):
            return OutputEnd(kind, _out(places, _softmax_axis(node, opset)))
        if node.operator in _CHANNELS_FIRST:
            return OutputEnd(kind, _out(places, 1))
        if node.operator in _CHANNELS_LAST:
            return OutputEnd(kind, _out(places, -1))
        if node.operator == "Transpose":
            places = _before_transpose(places, node)
        elif node.operator in LAYOUT_OPERATORS - _SAME_AXES:
            places = None
        elif node.operator not in _SAME_AXES:
            break
        if node.operator == "Log" and at_end:
            logarithm = True
        elif node.operator not in _AT_END:
            at_end = False
        name = next((read for read in node.inputs if graph.flows(read)), "")
    return OutputEnd(kind)


def _softmax_axis(node: Node, opset: int) -> int:
    return int(node.attributes.get("axis", 1 if opset < 13 else -1))


def _out(places: Sequence[int] | None, axis: int) -> int | None:
    """Where an axis of the tensor reached lies in the output; None where it is not known, or is the first one."""
    if places is None or not -len(places) <= axis < len(places):
        return None
    return places[axis] or None


def _before_transpose(places: Sequence[int] | None, node: Node) -> list[int] | None:
    """Which axis of the output each axis of a Transpose's input is; ``places``: which each of its result's is."""
    if places is None:
        return None
    order = node.attributes.get("perm") or [*reversed(range(len(places)))]
    if sorted(order) != [*range(len(places))]:
        return None
    before = [0] * len(places)
    for place, axis in zip(places, order, strict=True):
        before[axis] = place
    return before
