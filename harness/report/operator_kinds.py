"""What an operator is for, and the attributes of a node that a reader looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from harness.compare.graph import Node

Kind = Literal["weights", "normalisation", "activation", "layout", "control", "other", "end", "left out"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum"), "weights"),
    **dict.fromkeys(
        (
            "BatchNormalization",
            "GroupNormalization",
            "InstanceNormalization",
            "LayerNormalization",
            "LpNormalization",
            "MeanVarianceNormalization",
            "RMSNormalization",
        ),
        "normalisation",
    ),
    **dict.fromkeys(
        (
            "Celu",
            "Clip",
            "Elu",
            "Erf",
            "Gelu",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "LogSoftmax",
            "Mish",
            "PRelu",
            "Relu",
            "Selu",
            "Sigmoid",
            "Softmax",
            "Softplus",
            "Softsign",
            "Swish",
            "Tanh",
        ),
        "activation",
    ),
    **dict.fromkeys(
        (
            "Cast",
            "Concat",
            "Expand",
            "Flatten",
            "Gather",
            "Identity",
            "Pad",
            "Reshape",
            "Shape",
            "Slice",
            "Split",
            "Squeeze",
            "Tile",
            "Transpose",
            "Unsqueeze",
        ),
        "layout",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "control"),
}


def kind_of(node: Node, has_weight: bool) -> Kind:
    """What a node is for; a product or sum of whatever flows is no layer."""
    kind = _KINDS.get(node.operator, "other")
    return "other" if kind == "weights" and not has_weight else kind


#: Attributes by operator, in the order in which they are told; of operators that are not here, the first two.
_TOLD: dict[str, tuple[str, ...]] = {
    "BatchNormalization": ("epsilon", "training_mode"),
    "Gemm": ("transA",),
    "Identity": (),
    "Reshape": (),
    "Shape": (),
}
_WINDOWS = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "group", "ceil_mode")
#: Values that say nothing: what ONNX takes where an attribute is left out.
_USUAL: dict[str, Any] = {"auto_pad": "NOTSET", "group": 1, "training_mode": 0, "transA": 0, "ceil_mode": 0}
_WORDS = {
    "kernel_shape": "kernel",
    "strides": "stride",
    "dilations": "dilation",
    "pads": "pad",
    "auto_pad": "pad",
    "hidden_size": "units",
    "epsilon": "eps",
    "num_scan_inputs": "scanned",
}


def attributes_in_words(node: Node) -> str:
    """The main attributes of a node: ``kernel 7, pad 3``; what is as ONNX takes it anyway is left out."""
    windowed = "kernel_shape" in node.attributes
    names: Sequence[str] = _WINDOWS if windowed else _TOLD.get(node.operator, tuple(sorted(node.attributes)))
    words = []
    for name in names:
        value = node.attributes.get(name)
        if value is None or isinstance(value, dict) or value == _USUAL.get(name):
            continue
        if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            continue
        if name in ("strides", "dilations") and set(value) == {1}:
            continue
        if name == "pads" and set(value) == {0}:
            continue
        words.append(f"{_WORDS.get(name, name)} {_value(name, value)}")
    return ", ".join(words if windowed else words[:2])


def _value(name: str, value: Any) -> str:
    if name == "pads" and isinstance(value, list) and len(value) % 2 == 0:
        half = len(value) // 2
        # ONNX lists the paddings before each axis, then those after each axis.
        value = value[:half] if value[:half] == value[half:] else value
    if isinstance(value, list):
        alike = len(set(map(str, value))) == 1 and name in _WINDOWS
        return _number(value[0]) if alike else " ".join(_number(entry) for entry in value)
    return _number(value)


def _number(value: Any) -> str:
    # ONNX stores floats in single precision: 1e-05, not 9.999999747378752e-06.
    return f"{value:.6g}" if isinstance(value, float) else str(value)
