"""What is told of operators of onnx.reference that ours take the place of."""

from __future__ import annotations

from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="the files are written with the onnx package: pip install onnx")
pytest.importorskip("scipy", reason="the exact operators need scipy: pip install scipy")

from harness.workers.onnx.exact import OPERATORS  # noqa: E402
from harness.workers.onnx.exact.faults import FAULTS, faults_met  # noqa: E402


def met(operator: str, opset: int, *, inputs: int = 1, domain: str = "", **attributes: Any) -> dict[str, str]:
    node = onnx.helper.make_node(operator, [f"x{k}" for k in range(inputs)], ["y"], domain=domain, **attributes)
    graph = onnx.helper.make_graph([node], "g", [], [])
    return faults_met(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]))


def test_every_fault_is_of_an_operator_that_was_replaced() -> None:
    assert {operator for fault in FAULTS for operator in fault.operators} <= {cls.__name__ for cls in OPERATORS}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (met("Erf", 17), "computes Erf in single precision (3e-8 off in float64)"),
        (met("HardSwish", 14), "computes HardSwish in single precision (4e-8 off in float64)"),
        (met("Resize", 13, mode="cubic"), "computes cubic Resize in single precision (3e-6 off in float64)"),
        (met("Resize", 13, mode="linear"), None),
        (met("Resize", 10), "cannot compute Resize of opset 10"),
        (
            met("BatchNormalization", 13),
            "computes BatchNormalization of opsets 9 to 13 with the statistics of the batch",
        ),
        (met("BatchNormalization", 14), None),
        (met("BatchNormalization", 8), None),
        (met("Softmax", 13), None),
        (met("DequantizeLinear", 13), "has no DequantizeLinear before opset 19"),
        (met("DequantizeLinear", 21), "computes DequantizeLinear in single precision"),
        (met("LSTM", 17, inputs=4), None),
        (met("LSTM", 17, inputs=5), "ignores sequence lengths, activations and clip of LSTM"),
        (met("GRU", 17, clip=1.0), "ignores sequence lengths, activations and clip of GRU"),
        (met("Relu", 17), None),
        (met("Erf", 17, domain="other"), None),
    ],
)
def test_a_fault_is_told_where_the_file_meets_it(found: dict[str, str], told: str | None) -> None:
    assert [*found.values()] == ([] if told is None else [told])
