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


def place(cases: Sequence[Case], folder: Path) -> list[list[str]]:
    """Write ``model.onnx`` and ``inputs.safetensors``; returns the names of every case's outputs, in order."""
    inputs, outputs, nodes, stored = [], [], [], []
    feeds: dict[str, Array] = {}
    names: list[list[str]] = []
    opset = cases[0].opset
    for k, case in enumerate(cases):
        given = []
        types = {}
        for j, value in enumerate(case.drawn.inputs):
            name = "" if value is None else f"x{k}_{j}"
            given.append(name)
            if value is None:
                continue
            if value.dtype == np.float64 or j in case.drawn.fed:
                kind = TensorProto.FLOAT if value.dtype == np.float64 else helper.np_dtype_to_tensor_dtype(value.dtype)
                feeds[name] = value
                inputs.append(helper.make_tensor_value_info(name, kind, value.shape))
            else:
                kind = helper.np_dtype_to_tensor_dtype(value.dtype)
                stored.append(numpy_helper.from_array(value, name))
            types[name] = helper.make_tensor_type_proto(kind, value.shape)
        made = [f"y{k}_{j}" for j in range(case.drawn.outputs)]
        node = helper.make_node(case.operator, given, made, name=f"n{k}", **case.drawn.attributes)
        found = _types(node, opset, types, {tensor.name: tensor for tensor in stored if tensor.name in types})
        for name in made:
            # Sizes that depend on values are told by names.
            kind = found[name].tensor_type.elem_type
            told = found[name].tensor_type
            # Where onnx finds no shape it is that of the inputs, which broadcast.
            known = [told] if told.HasField("shape") else [entry.tensor_type for entry in types.values()]
            rank = max(len(entry.shape.dim) for entry in known)
            outputs.append(helper.make_tensor_value_info(name, kind, [f"{name}_{axis}" for axis in range(rank)]))
        nodes.append(node)
        names.append(made)
    graph = helper.make_graph(nodes, "cases", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR)
    if not _deprecated(cases[0].operator, opset):
        onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_tensors(folder / "inputs.safetensors", feeds)
    return names


def _deprecated(operator: str, opset: int) -> bool:
    return bool(onnx.defs.get_schema(operator, opset, "").deprecated)


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
