"""What onnx.reference would compute wrongly, or in single precision, of a file: why operators of ours take its place.

Measured with onnx 1.23.2 in float64 against PyTorch's double kernels; the modules beside this one say more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto

from harness.workers.onnx.file import nodes


@dataclass(frozen=True)
class Fault:
    """One fault of onnx.reference: of which ``operators``, ``what`` it does ("computes Erf ..."), and for which nodes.

    ``meets`` takes a node and the file's opset.
    """

    operators: tuple[str, ...]
    what: str
    meets: Callable[[NodeProto, int], bool] = lambda node, opset: True


def _attribute(node: NodeProto, name: str, default: object) -> object:
    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def _cubic(node: NodeProto, opset: int) -> bool:
    return _attribute(node, "mode", b"nearest") == b"cubic"


def _with_options(node: NodeProto, opset: int) -> bool:
    """A recurrence with lengths of its sequences, or with functions or limits that are not the defaults."""
    given = {entry.name for entry in node.attribute}
    return bool(given & {"activations", "clip"}) or (len(node.input) > 4 and bool(node.input[4]))


#: Faults in the order in which they are told.
FAULTS = (
    Fault(("Erf",), "computes Erf in single precision (3e-8 off in float64)"),
    Fault(("Gelu", "HardSwish"), "computes {} in single precision (4e-8 off in float64)"),
    Fault(("Resize",), "computes cubic Resize in single precision (3e-6 off in float64)", _cubic),
    Fault(("LRN",), "computes LRN with errors of 1.5e-3 and fails near its edge"),
    Fault(("GroupNormalization",), "rounds GroupNormalization's statistics to single precision (2e-7 off in float64)"),
    Fault(
        ("AffineGrid", "DynamicQuantizeLinear", "GridSample"),
        "computes {} in single precision",
    ),
    Fault(("DequantizeLinear",), "has no DequantizeLinear before opset 19", lambda node, opset: opset < 19),
    Fault(("DequantizeLinear",), "computes DequantizeLinear in single precision", lambda node, opset: opset >= 19),
    Fault(
        ("BatchNormalization",),
        "computes BatchNormalization of opsets 9 to 13 with the statistics of the batch",
        lambda node, opset: 9 <= opset < 14,
    ),
    Fault(
        ("Softmax", "LogSoftmax", "Hardmax"),
        "computes {} before opset 13 along one axis, where the standard flattens the axes from there on",
        lambda node, opset: opset < 13,
    ),
    Fault(("LSTM", "GRU", "RNN"), "ignores sequence lengths, activations and clip of {}", _with_options),
    Fault(("Resize",), "cannot compute Resize of opset 10", lambda node, opset: opset < 11),
    Fault(("Upsample",), "computes Upsample in nearest mode with whole scales alone"),
    Fault(("Loop",), "joins what a Loop scans along an axis that is there already"),
)


def faults_met(model: ModelProto) -> dict[str, str]:
    """By operator of a file what onnx.reference would do wrong with it, so that an operator of ours computes it."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    standard = [node for node in nodes(model) if node.domain in ("", "ai.onnx")]
    return {
        operator: fault.what.format(operator)
        for fault in FAULTS
        for operator in fault.operators
        if _met(standard, operator, fault, opset)
    }


def _met(standard: Iterable[NodeProto], operator: str, fault: Fault, opset: int) -> bool:
    return any(node.op_type == operator and fault.meets(node, opset) for node in standard)
