"""The settings of a node as the standard means them, and how those of two nodes differ, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.compare.graph import Graph, Node

#: What an attribute is where a node leaves it out, by operator. Lists run over the spatial axes.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Conv": {"strides": 1, "dilations": 1, "pads": 0, "group": 1},
    "ConvTranspose": {"strides": 1, "dilations": 1, "pads": 0, "group": 1},
    "MaxPool": {"strides": 1, "dilations": 1, "pads": 0, "ceil_mode": 0},
    "LpPool": {"strides": 1, "dilations": 1, "pads": 0, "ceil_mode": 0},
    "AveragePool": {"strides": 1, "dilations": 1, "pads": 0, "ceil_mode": 0, "count_include_pad": 0},
    "BatchNormalization": {"epsilon": 1e-5, "training_mode": 0},
    "InstanceNormalization": {"epsilon": 1e-5},
    "LayerNormalization": {"epsilon": 1e-5, "axis": -1},
    "GroupNormalization": {"epsilon": 1e-5},
    "LeakyRelu": {"alpha": 0.01},
    "Elu": {"alpha": 1.0},
    "Celu": {"alpha": 1.0},
    "Selu": {"alpha": 1.6732632, "gamma": 1.050701},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Gelu": {"approximate": "none"},
    "Gemm": {"alpha": 1.0, "beta": 1.0},
    "Softmax": {"axis": -1},
    "LogSoftmax": {"axis": -1},
    "Concat": {},
    "Resize": {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.75,
        "exclude_outside": 0,
        "nearest_mode": "round_prefer_floor",
        "antialias": 0,
    },
    "Gather": {"axis": 0},
    "ReduceMean": {"keepdims": 1},
    "Pad": {"mode": "constant"},
}
#: Attributes that no value depends on, or that the graph's constants already tell of.
_SILENT = frozenset(
    {
        "momentum",
        "kernel_shape",
        "storage_order",
        "transA",
        "transB",
        "spatial",
        "is_test",
        "consumed_inputs",
        "allowzero",
    }
)
#: Operators whose kernel has no weights: its size is a setting.
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
_AXES = frozenset({"axis", "axes"})

_WORDS = {
    "pads": "padding",
    "strides": "stride",
    "dilations": "dilation",
    "kernel_shape": "kernel",
    "group": "groups",
    "alpha": "alpha",
}


def settings_of(graph: Graph, node: Node, axes: int | None) -> dict[str, Any]:
    """Attributes with their defaults; axes counted from 0 where the number of ``axes`` of its input is known."""
    held = {name: value for name, value in node.attributes.items() if name not in _SILENT or _is_pool(node, name)}
    if node.operator == "Upsample":
        held.pop("width_scale", None)
    if held.get("auto_pad") == "NOTSET":
        held.pop("auto_pad")
    defaults = dict(_DEFAULTS.get(node.operator, {}))
    spatial = _spatial(graph, node, axes)
    for name, value in defaults.items():
        if name in ("strides", "dilations", "pads"):
            if spatial is None or name in held:
                continue
            held[name] = [value] * (2 * spatial if name == "pads" else spatial)
        else:
            held.setdefault(name, value)
    if axes is not None:
        for name in _AXES & held.keys():
            held[name] = _from_zero(held[name], axes)
    return {name: value for name, value in held.items() if not isinstance(value, Mapping)}


def _is_pool(node: Node, name: str) -> bool:
    return name == "kernel_shape" and node.operator in _POOLS


def _spatial(graph: Graph, node: Node, axes: int | None) -> int | None:
    """Number of spatial axes of a convolution or a pooling."""
    for name in ("kernel_shape", "strides", "dilations"):
        if isinstance(sizes := node.attributes.get(name), Sequence):
            return len(sizes)
    weight = graph.constant(node.input(1))
    if weight is not None:
        return int(weight.value.ndim) - 2
    return None if axes is None else axes - 2


def _from_zero(value: Any, axes: int) -> Any:
    if isinstance(value, Sequence):
        return [_from_zero(one, axes) for one in value]
    return value + axes if value < 0 else value


def differing_settings(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between the settings of a node in the file and in the source, in words."""
    said = []
    for name in sorted({*own, *other}):
        if "auto_pad" in {*own, *other} and name == "pads":
            continue
        one, two = own.get(name), other.get(name)
        if _equal(one, two):
            continue
        word = _WORDS.get(name, name)
        if one is None or two is None:
            # What a default is, is not known for every operator: a setting that one side leaves out may be that.
            continue
        said.append(f"{word} {in_words(one)}, the source has {in_words(two)}")
    return said


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, int | float) and isinstance(two, int | float):
        # ONNX stores them in single precision.
        return abs(one - two) <= 1e-6 * max(abs(one), abs(two))
    if isinstance(one, Sequence) and isinstance(two, Sequence) and not isinstance(one, str):
        return len(one) == len(two) and all(_equal(first, second) for first, second in zip(one, two, strict=True))
    return bool(one == two)


def in_words(value: Any) -> str:
    """A setting as text: ``1e-3``, ``2 and 4``, ``1, 1, 1, 1``."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [in_words(one) for one in value]
        if len(parts) > 1 and len(set(parts)) == 1 and len(parts) > 2:
            return f"{parts[0]} throughout"
        return " and ".join(parts) if len(parts) == 2 else ", ".join(parts)
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """A number in few digits: ``0.3``, ``1e-3``, ``1.5``."""
    text = f"{value:.6g}"
    if value and abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.5e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text
