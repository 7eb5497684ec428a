"""How an operator of ours takes the place of one of onnx.reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.reference.op_run import OpRun

from harness.workers.onnx.file import WRITTEN_EARLY

#: Types that are computed in single precision and rounded at the end, as runtimes do it ...
_HALF = ("float16", "bfloat16")
#: ... but for these operators, whose every step is rounded in the results that the standard's own cases expect.
_ROUNDED_THROUGHOUT = ("Softmax", "LogSoftmax")


@dataclass(frozen=True)
class Node:
    """What an operator must know of the node that it computes.

    Attributes:
        opset: version of the operator set of its domain in the file.
        attributes: by name, with the defaults of that version; None where one has no default and is absent. Floats are
            Python floats that hold the float32 value of the file.
        outputs: names of the outputs; an empty name is an output that nobody asks for.
    """

    opset: int
    attributes: Mapping[str, Any]
    outputs: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        """An attribute; None where this version of the operator does not know it."""
        return self.attributes.get(name)

    def asked(self, position: int) -> bool:
        """Whether the file uses the output at a position, counted from 0."""
        return position < len(self.outputs) and bool(self.outputs[position])


#: Computes a node from its inputs; an optional input that is absent is None.
Compute = Callable[..., Any]


class _Exact(OpRun):  # type: ignore[misc]
    """An operator whose attributes have the defaults of the file's opset.

    onnx.reference takes the defaults of the newest opset for every file (Softmax at opset 11 would get axis -1, not 1), and
    hands float attributes over as NumPy's float32, whose arithmetic with a Python number is single precision.
    """

    op_domain = ""
    #: Attributes with their defaults, of an operator that the onnx package has no schema for.
    defaults: Mapping[str, Any] | None = None

    def __init__(self, onnx_node: onnx.NodeProto, run_params: dict[str, Any], schema: Any = None) -> None:
        opsets = run_params["opsets"]
        standard = int(opsets.get("", opsets.get("ai.onnx", 1)))
        self._opset = int(opsets.get(self.op_domain, 1)) if self.op_domain else standard
        if self.defaults is not None:
            super().__init__(onnx_node, run_params, None)
            return
        # An operator that onnxruntime writes into files of opsets that do not have it yet is what it became.
        known = max(self._opset, WRITTEN_EARLY.get(onnx_node.op_type, 0))
        super().__init__(onnx_node, run_params, onnx.defs.get_schema(onnx_node.op_type, known, self.op_domain))

    def _extract_attribute_value(self, att: onnx.AttributeProto, ref_att: Any = None) -> Any:
        value = super()._extract_attribute_value(att, ref_att)
        if isinstance(value, np.float32):
            return float(value)
        if isinstance(value, list):
            return [float(entry) if isinstance(entry, np.float32) else entry for entry in value]
        return value

    def _computed(self, compute: Compute, inputs: tuple[Any, ...], attributes: Mapping[str, Any]) -> tuple[Any, ...]:
        node = Node(self._opset, {**(self.defaults or {}), **attributes}, tuple(self.onnx_node.output))
        half = next((value.dtype for value in inputs if value is not None and value.dtype.name in _HALF), None)
        if self.onnx_node.op_type in _ROUNDED_THROUGHOUT:
            half = None
        if half is not None:
            inputs = tuple(
                value.astype(np.float32) if value is not None and value.dtype.name in _HALF else value
                for value in inputs
            )
        found = compute(node, *inputs)
        found = found if isinstance(found, tuple) else (found,)
        # Maps stay what they are.
        arrays = tuple(
            None if value is None else value if isinstance(value, list) else np.asarray(value) for value in found
        )
        if half is not None:
            arrays = tuple(
                value.astype(half) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value
                for value in arrays
            )
        # An output that nobody asks for may be missing; those before it keep their places.
        return tuple(np.zeros(0) if value is None else value for value in arrays[: len(self.onnx_node.output)])


def operator(name: str, compute: Compute, domain: str = "", defaults: Mapping[str, Any] | None = None) -> type[OpRun]:
    """A class for ``new_ops`` of a ReferenceEvaluator that computes the operator ``name`` of every opset by a function.

    ``defaults``: all attributes, where the onnx package has no schema for the operator.
    """

    def _run(self: _Exact, *inputs: Any, **attributes: Any) -> tuple[Any, ...]:
        return self._computed(compute, inputs, attributes)

    body = {"_run": _run, "__doc__": compute.__doc__, "op_domain": domain, "defaults": defaults}
    # Without it OpRun takes the schema of an operator of the same name in the standard.
    schema = {} if defaults is None else {"op_schema": None}
    return type(name, (_Exact,), body | schema)
