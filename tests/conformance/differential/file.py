"""Cases as one model file: every case a node of its own, so that a worker is asked once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.workers.tensors import write_tensors
from tests.conformance.differential.recipe import Array, Case

#: IR version of the files: the lowest that every opset from 7 may have.
_IR = 8
#: The standard's opset in a file of another domain.
_STANDARD = 17


def place(cases: Sequence[Case], folder: Path) -> list[list[str]]:
    """Write ``model.onnx`` and ``inputs.safetensors``; returns the names of every case's outputs, in order."""
    inputs, outputs, nodes, stored = [], [], [], []
    feeds: dict[str, Array] = {}
    names: list[list[str]] = []
    domain, _, operator = cases[0].operator.rpartition(".")
    # The opset of the case is that of its domain.
    opset = _STANDARD if domain else cases[0].opset
    for k, case in enumerate(cases):
        given = []
        types = {}
        for j, value in enumerate(case.drawn.inputs):
            name = "" if value is None else f"x{k}_{j}"
            given.append(name)
            if value is None:
                continue
            if value.dtype == np.float64 or j in case.drawn.fed:
                kind = _kind_of(value)
                feeds[name] = value
                inputs.append(helper.make_tensor_value_info(name, kind, value.shape))
            else:
                kind = helper.np_dtype_to_tensor_dtype(value.dtype)
                stored.append(numpy_helper.from_array(value, name))
            types[name] = helper.make_tensor_type_proto(kind, value.shape)
        made = [f"y{k}_{j}" for j in range(case.drawn.outputs)]
        node = helper.make_node(operator, given, made, name=f"n{k}", domain=domain, **case.drawn.attributes)
        nodes.append(node)
        names.append(made)
        if case.drawn.types:
            told_types = zip(made, case.drawn.types, strict=True)
            outputs += [helper.make_value_info(name, told_type) for name, told_type in told_types]
            continue
        found = _types(node, opset, types, {tensor.name: tensor for tensor in stored if tensor.name in types})
        for name in made:
            # Sizes that depend on values are told by names.
            kind = found[name].tensor_type.elem_type
            told = found[name].tensor_type
            # Where onnx finds no shape it is that of the inputs, which broadcast.
            known = [told] if told.HasField("shape") else [entry.tensor_type for entry in types.values()]
            rank = max(len(entry.shape.dim) for entry in known)
            outputs.append(helper.make_tensor_value_info(name, kind, [f"{name}_{axis}" for axis in range(rank)]))
    graph = helper.make_graph(nodes, "cases", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, cases[0].opset)] if domain else []
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
    if not _deprecated(operator, cases[0].opset, domain):
        onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_tensors(folder / "inputs.safetensors", feeds)
    return names


def _kind_of(value: Array) -> int:
    """The element type of an input as declared: float32 for a float64, as a model for an oracle has it."""
    if value.dtype.kind == "U":
        return int(TensorProto.STRING)
    return int(TensorProto.FLOAT if value.dtype == np.float64 else helper.np_dtype_to_tensor_dtype(value.dtype))


def _deprecated(operator: str, opset: int, domain: str = "") -> bool:
    return bool(onnx.defs.get_schema(operator, opset, domain).deprecated)


def _types(
    node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto], stored: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TypeProto]:
    """The types of a node's outputs; of one that the standard takes back (GroupNormalization 18) those of its first input."""
    if _deprecated(node.op_type, opset):
        return dict.fromkeys(node.output, types[node.input[0]])
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    imports = [helper.make_opsetid("", opset)]
    found: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
        schema, node, types, stored, opset_imports=imports, ir_version=_IR
    )
    return found
