"""Cases of operators of ours against formulas that are not: PyTorch's double kernels, scipy, or written out here.

Each case fails with onnx.reference's own operator, which is asked for, too: an operator is only replaced where it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from harness.workers.onnx.exact import OPERATORS

torch = pytest.importorskip("torch", reason="the formulas are PyTorch's: pip install torch")

Array = np.ndarray[Any, Any]
#: Largest difference of ours from the formula, in parts of the largest value; and what that of onnx.reference exceeds.
LIMIT, WRONG = 1e-14, 1e-9


@dataclass(frozen=True)
class Case:
    """One node: what it gets, and what it must give for its first outputs."""

    operator: str
    opset: int
    inputs: list[Array | None]
    expected: Callable[..., Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __str__(self) -> str:
        told = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.operator}-{self.opset}-{told}".replace(" ", "")[:90]

    def computed(self, new_ops: list[Any]) -> list[Array]:
        """The outputs in an evaluator with these operators."""
        names = ["" if value is None else f"x{k}" for k, value in enumerate(self.inputs)]
        results = [f"y{k}" for k in range(self.outputs)]
        kinds = {name: value for name, value in zip(names, self.inputs, strict=True) if name and value is not None}
        graph = helper.make_graph(
            [helper.make_node(self.operator, names, results, **self.attributes)],
            "one",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in kinds.items()
            ],
            [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in results],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        return list(ReferenceEvaluator(model, new_ops=new_ops).run(None, kinds))

    def wanted(self) -> list[Array]:
        """The outputs by the formula, which gets tensors of PyTorch."""
        given = [None if value is None else torch.from_numpy(value) for value in self.inputs]
        found = self.expected(*given)
        return [np.asarray(value) for value in (found if isinstance(found, (tuple, list)) else [found])]


def distance(found: list[Array], wanted: list[Array]) -> float:
    """Largest difference in parts of the largest value; infinite where types or shapes differ."""
    worst = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if (
            ours.shape != theirs.shape
            or ours.dtype != theirs.dtype
            or not np.isfinite(theirs).all()
            or not np.isfinite(ours).all()
        ):
            return float("inf")
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        worst = max(worst, float(np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), 1e-300)))
    return worst


def distances(case: Case) -> tuple[float, float]:
    """How far our operator and that of onnx.reference are from the formula; infinite where the latter fails."""
    wanted = case.wanted()
    ours = distance(case.computed(OPERATORS), wanted)
    try:
        theirs = case.computed([])
    except Exception:
        return ours, float("inf")
    return ours, distance(theirs, wanted)


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def f32(value: float) -> float:
    """An attribute as the file holds it."""
    return float(np.float32(value))


X1, X2 = drawn(3, 4, 11), drawn(3, 4, 9, 7)
