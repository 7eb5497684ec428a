"""Outputs of quantised graphs: whole numbers times a scale, which are equal or off by whole steps of it.

The standard rounds a quotient to the nearest whole number. A quotient that lies between two of them may fall to either side where
it was computed in another order or in single precision: one step of the scale is then nobody's fault, and how many values are
off by one is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.graph import LAYOUT_OPERATORS, Graph
from harness.compare.records import Finding, RuntimeComparison, Verdict
from harness.errors import ModelError

Array = NDArray[Any]

#: Operators whose output is quantised.
_QUANTISING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
#: Operators that hand on values of their first input as they are, and no others.
_HANDING_ON = (LAYOUT_OPERATORS - {"Cast"}) | {"MaxPool", "GlobalMaxPool", "Slice", "Gather", "Split", "Relu", "Concat"}


def step_of(structure: Mapping[str, Any] | None, values: Mapping[str, Array], output: str) -> float | None:
    """One step of the scale of a graph's output: 1 where it is quantised, the largest scale where it was just dequantised.

    ``values``: stored tensors by name. None where the output is no such thing, or the scale is not known before the graph runs.
    """
    if structure is None:
        return None
    try:
        graph = Graph(structure, values)
    except ModelError:
        return None
    node = graph.producer.get(output)
    while node is not None and node.operator in _HANDING_ON:
        node = graph.producer.get(node.input(0))
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.operator in _QUANTISING:
        return 1.0
    if node.operator != "DequantizeLinear":
        return None
    scale = graph.constant(node.input(1))
    largest = float(np.abs(scale.value.astype(np.float64)).max(initial=0.0)) if scale is not None else 0.0
    return largest or None


def compare_steps(
    found: RuntimeComparison,
    target: Array,
    oracle: Array,
    step: float,
    comparison: Literal["runtime", "end-to-end"] = "runtime",
) -> RuntimeComparison:
    """A comparison whose gate is one step of the scale.

    Values may be off by one step where rounding falls either way; their share is told. More than a step, or a share of over
    :data:`harness.compare.gates.OFF_BY_ONE_STEP`, is ``drifted``. Other shapes and values that are not finite stay what they are.
    """
    if target.shape != oracle.shape or not target.size or target.dtype.kind not in "iuf":
        return found
    apart = np.abs(np.subtract(target, oracle, dtype=np.float64)) / step
    if not np.isfinite(apart).all():
        return found
    steps = np.rint(apart)
    one, more = int((steps == 1).sum()), int((steps > 1).sum())
    scale = f"the scale ({step:.6g})" if step != 1 else "the scale"
    told = f"{one} of {steps.size} values ({one / steps.size:.2%}) are off by one step of {scale}"
    verdict = Verdict.EQUIVALENT
    if more:
        verdict = Verdict.DRIFTED
        told += f" and {more} by more, up to {int(steps.max())} steps"
    elif one > gates.OFF_BY_ONE_STEP * steps.size:
        verdict = Verdict.DRIFTED
        told += f", the limit is {gates.OFF_BY_ONE_STEP:.0%}"
    finding = Finding(comparison=comparison, verdict=verdict, message=told)
    clean = Verdict.IDENTICAL if found.bit_equal_to_source else Verdict.EQUIVALENT
    return found.model_copy(
        update={
            "findings": [finding],
            "verdict": verdict if verdict is Verdict.DRIFTED else clean,
            "off_by_one_step": one / steps.size,
        }
    )
