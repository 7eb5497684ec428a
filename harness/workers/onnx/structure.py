"""The graph of an ONNX file as the JSON of the worker contract."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto

from harness.workers.onnx.file import dtype_name, metadata_of, shape_of, without_weights


def structure(model: ModelProto, path: Path, moved: Sequence[str] = ()) -> dict[str, Any]:
    """Nodes, initializers, inputs, outputs and versions of a model read from ``path``; ``moved``: nodes that had to be sorted."""
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return {
        "format": "onnx",
        "ir_version": model.ir_version,
        "producer": producer,
        "opsets": {opset.domain: opset.version for opset in model.opset_import},
        "bytes": path.stat().st_size,
        **_graph(model.graph),
        "shapes": _shapes(model),
        "functions": [
            {
                "name": function.name,
                "domain": function.domain,
                "inputs": list(function.input),
                "outputs": list(function.output),
                "nodes": [node_record(node) for node in function.node],
            }
            for function in model.functions
        ],
        "metadata": metadata_of(model),
        **({"moved": list(moved)} if moved else {}),
    }


def _graph(graph: GraphProto) -> dict[str, Any]:
    held = {tensor.name for tensor in graph.initializer}
    return {
        "inputs": [_value(info) for info in graph.input if info.name not in held],
        "outputs": [_value(info) for info in graph.output],
        "nodes": [node_record(node) for node in graph.node],
        "initializers": [_initializer(tensor) for tensor in graph.initializer],
    }


def _shapes(model: ModelProto) -> dict[str, list[int | str | None]]:
    """Shapes of the tensors between nodes, as far as the file states them or ONNX can infer them from it."""
    try:
        # Inference copies the whole file twice.
        large = [tensor.name for tensor in model.graph.initializer if math.prod(tensor.dims) > _SMALL]
        inferred = onnx.shape_inference.infer_shapes(without_weights(model, large))
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        # The file is over protobuf's limit, or inference fails on it; shapes are then left out.
        inferred = model
    made = {name for node in model.graph.node for name in node.output}
    stated = {info.name: shape_of(info) for info in inferred.graph.value_info if info.name in made}
    return {name: list(shape) for name, shape in sorted(stated.items()) if shape is not None}


def _value(info: ValueInfoProto) -> dict[str, Any]:
    if info.type.WhichOneof("value") != "tensor_type":
        return {"name": info.name, "dtype": info.type.WhichOneof("value"), "shape": None}
    shape = shape_of(info)
    return {
        "name": info.name,
        "dtype": dtype_name(info.type.tensor_type.elem_type),
        "shape": None if shape is None else list(shape),
    }


#: What exporters store of where a node comes from.
_ORIGIN = ("namespace", "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.stack_trace", "stack_trace")


def node_record(node: onnx.NodeProto) -> dict[str, Any]:
    """What a structure says of a node."""
    # Versions of ONNX before 1.16 know none.
    stored = {entry.key: entry.value for entry in getattr(node, "metadata_props", ()) if entry.key in _ORIGIN}
    return {
        "name": node.name,
        "operator": node.op_type,
        "domain": node.domain,
        "inputs": list(node.input),
        "outputs": list(node.output),
        "attributes": {attribute.name: _attribute(attribute) for attribute in node.attribute},
        **({"metadata": stored} if stored else {}),
    }


def _initializer(tensor: TensorProto) -> dict[str, Any]:
    return {"name": tensor.name, **_tensor(tensor), "sha256": _sha256(tensor)}


def _tensor(tensor: TensorProto) -> dict[str, Any]:
    return {"dtype": dtype_name(tensor.data_type), "shape": [int(size) for size in tensor.dims]}


#: Constants of at most so many elements are written with their values: switches, axes, shapes.
_SMALL = 16


def _small_values(tensor: TensorProto) -> dict[str, Any]:
    if tensor.data_type in (TensorProto.STRING, TensorProto.BFLOAT16) or math.prod(tensor.dims) > _SMALL:
        return {}
    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        return {}
    return {"values": array.ravel().tolist()}


def _sha256(tensor: TensorProto) -> str:
    if tensor.data_type == TensorProto.STRING:
        data = b"\0".join(tensor.string_data)
    else:
        array = onnx.numpy_helper.to_array(tensor)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        data = np.ascontiguousarray(little).tobytes()
    return hashlib.sha256(data).hexdigest()


def _attribute(attribute: AttributeProto) -> Any:
    if attribute.ref_attr_name:
        return {"attribute": attribute.ref_attr_name}
    match attribute.type:
        case AttributeProto.TENSOR:
            return {"tensor": {**_tensor(attribute.t), **_small_values(attribute.t)}}
        case AttributeProto.SPARSE_TENSOR:
            return {"tensor": _tensor(attribute.sparse_tensor.values)}
        case AttributeProto.GRAPH:
            return {"graph": _graph(attribute.g)}
        case AttributeProto.GRAPHS:
            return [{"graph": _graph(graph)} for graph in attribute.graphs]
        case AttributeProto.TENSORS:
            return [{"tensor": _tensor(tensor)} for tensor in attribute.tensors]
        case AttributeProto.TYPE_PROTO | AttributeProto.TYPE_PROTOS | AttributeProto.SPARSE_TENSORS:
            return str(attribute).strip()
        case _:
            return _plain(onnx.helper.get_attribute_value(attribute))


def _plain(value: Any) -> Any:
    """A value as finite JSON: text for bytes and for numbers that are not finite."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int | str):
        return value
    return [_plain(entry) for entry in value]
