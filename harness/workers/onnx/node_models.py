"""Nodes of a graph as model files of their own, with inputs that somebody else computed.

Unlike :mod:`harness.workers.onnx.cut`, nothing is computed here: a graph can so be taken apart that this runtime cannot run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from harness.workers.engine import BadInput
from harness.workers.onnx.evaluator import reads
from harness.workers.onnx.structure import node_record
from harness.workers.requests import output_file, write_json
from harness.workers.tensors import read_tensors

#: NumPy has no bfloat16: its values travel as float32 or float64.
_UNKNOWN = int(TensorProto.UNDEFINED)


class NodeModels:
    """Answers ``nodes`` and ``node``; keeps the file that was read last."""

    def __init__(self, read: Callable[[Path], ModelProto]) -> None:
        self._read = read
        self._path = ""
        self._model = ModelProto()
        self._kinds: dict[str, int] = {}
        self._stated: dict[str, NodeProto] = {}
        self._stored: dict[str, TensorProto] = {}
        self._flowing: set[str] = set()

    def nodes(self, path: str, outputs: str) -> dict[str, Any]:
        """Write every node that computes something as JSON, in the order of the file: ``index``, ``reads`` (what it must be given,
        each name once) and what a structure says of it."""
        self._open(path)
        found = []
        for index, node in enumerate(self._model.graph.node):
            if node.op_type == "Constant":
                continue
            record = {name: value for name, value in node_record(node).items() if name != "inputs"}
            given = [name for name in reads(node) if name not in self._stored and name not in self._stated]
            found.append({**record, "index": index, "reads": given})
        write_json(output_file(outputs), found)
        return {"nodes": len(found)}

    def node(self, path: str, index: int, inputs: str, out: str) -> dict[str, Any]:
        """Write a node as the model ``out``; its inputs are the tensors of the file ``inputs``, in dtypes of the file or double.

        Tensors that do not depend on the graph's inputs are stored in it. Returns the ``inputs`` that it must be given.
        """
        self._open(path)
        if not isinstance(index, int) or not 0 <= index < len(self._model.graph.node):
            raise BadInput(f"the graph has no node {index!r}")
        if not Path(inputs).is_file():
            raise BadInput(f"{inputs}: no such file")
        values = read_tensors(Path(inputs))
        node = self._model.graph.node[index]
        graph = GraphProto(name=self._model.graph.name or "graph")
        names = [*values]
        # A model needs an input: a node of constants alone gets the first of them as one.
        fed = [name for name in names if name in self._flowing] or names[:1]
        for name in reads(node):
            if name in self._stored:
                graph.initializer.append(self._stored[name])
            elif name in self._stated:
                graph.node.append(self._stated[name])
            elif name not in values:
                raise BadInput(f"the value of '{name}' is not given")
        for name in names:
            if name in fed:
                graph.input.append(_typed(name, self._kind(name, values), list(values[name].shape)))
            else:
                held = values[name].astype(onnx.helper.tensor_dtype_to_np_dtype(self._kind(name, values)))
                graph.initializer.append(onnx.numpy_helper.from_array(held, name))
        graph.node.append(node)
        graph.output.extend(_typed(name, self._kinds.get(name, _UNKNOWN), None) for name in node.output if name)
        # Before IR 4 initializers had to be inputs too.
        model = ModelProto(ir_version=max(self._model.ir_version, 4), graph=graph)
        model.opset_import.extend(self._model.opset_import)
        model.functions.extend(self._model.functions)
        Path(out).write_bytes(model.SerializeToString())
        return {"inputs": fed}

    def _kind(self, name: str, values: Mapping[str, Any]) -> int:
        """The element type that the file has for a tensor; where it is not known, a double is what became of single precision."""
        found = self._kinds.get(name, _UNKNOWN)
        if found != _UNKNOWN:
            return int(found)
        dtype = values[name].dtype
        return int(TensorProto.FLOAT if dtype == np.float64 else onnx.helper.np_dtype_to_tensor_dtype(dtype))

    def _open(self, path: str) -> None:
        if path == self._path:
            return
        if not isinstance(path, str) or not Path(path).is_file():
            raise BadInput(f"{path}: no such file")
        self._model, self._path = self._read(Path(path)), path
        graph = self._model.graph
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._stated = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
        self._kinds = _kinds(self._model)
        self._flowing = {info.name for info in graph.input if info.name not in self._stored}
        for node in graph.node:
            if any(name in self._flowing for name in reads(node)):
                self._flowing.update(node.output)


def _kinds(model: ModelProto) -> dict[str, int]:
    """Element types by name, as far as the file states them or they can be inferred."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        graph = model.graph
    return {info.name: info.type.tensor_type.elem_type for info in (*graph.input, *graph.value_info, *graph.output)}


def _typed(name: str, kind: int, shape: list[int] | None) -> ValueInfoProto:
    if kind == _UNKNOWN:
        return ValueInfoProto(name=name)
    return onnx.helper.make_tensor_value_info(name, kind, shape)
