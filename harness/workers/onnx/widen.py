"""A graph rewritten to double precision, for oracles.

Initializers, tensor attributes, constants, defaults that are float32 and the targets of casts become double, in
subgraphs and local functions (which are inlined first) too. Two things keep the rounding of the file, because they are
part of the model and not of its arithmetic: float attributes such as ``epsilon`` and ``alpha``, which ONNX stores as
float32, and casts to float16 and bfloat16. What a graph computes in half precision is computed in double and not rounded, at
a cast from half precision neither: so do r/base and julia/base.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from harness.workers.engine import Unsupported
from harness.workers.onnx.file import graphs

_DOUBLE = TensorProto.DOUBLE
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WIDENED = (TensorProto.FLOAT, *_HALF)

#: Operators whose output is float32 where an attribute does not say otherwise, and that attribute.
_TYPE_ATTRIBUTES = {
    "BlackmanWindow": "output_datatype",
    "EyeLike": "dtype",
    "HammingWindow": "output_datatype",
    "HannWindow": "output_datatype",
    "MelWeightMatrix": "output_datatype",
    "Multinomial": "dtype",
    "RandomNormal": "dtype",
    "RandomNormalLike": "dtype",
    "RandomUniform": "dtype",
    "RandomUniformLike": "dtype",
    "SequenceEmpty": "dtype",
    "Bernoulli": "dtype",
}
#: Those of them that take over the type of an input (which is widened already) where the attribute is absent.
_FOLLOWS_INPUT = ("EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def widen(model: ModelProto) -> ModelProto:
    """A copy of ``model`` that computes in double; inputs and outputs that were floating point are float64."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    types = _element_types(model)
    wide = ModelProto()
    wide.CopyFrom(model)
    for graph in graphs(wide):
        _widen_graph(graph, types)
    return wide


def _element_types(model: ModelProto) -> dict[str, int]:
    """Element types by tensor name, as far as shape inference finds them; names are unique over all scopes."""
    inferred = onnx.shape_inference.infer_shapes(model)
    types: dict[str, int] = {}
    for graph in graphs(inferred):
        for info in (*graph.input, *graph.value_info, *graph.output):
            types[info.name] = info.type.tensor_type.elem_type
        for tensor in graph.initializer:
            types[tensor.name] = tensor.data_type
    return types


def _widen_graph(graph: GraphProto, types: dict[str, int]) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for sparse in graph.sparse_initializer:
        _widen_tensor(sparse.values)
    for info in (*graph.input, *graph.output):
        _widen_type(info.type)
    # The types of inner tensors may be wrong after the rewriting, and no runtime needs them.
    del graph.value_info[:]
    nodes = [made for node in graph.node for made in _widen_node(node, types)]
    del graph.node[:]
    graph.node.extend(nodes)


def _widen_type(kind: TypeProto) -> None:
    match kind.WhichOneof("value"):
        case "tensor_type":
            if kind.tensor_type.elem_type in _WIDENED:
                kind.tensor_type.elem_type = _DOUBLE
        case "sparse_tensor_type":
            if kind.sparse_tensor_type.elem_type in _WIDENED:
                kind.sparse_tensor_type.elem_type = _DOUBLE
        case "sequence_type":
            _widen_type(kind.sequence_type.elem_type)
        case "map_type":
            _widen_type(kind.map_type.value_type)
        case "optional_type":
            _widen_type(kind.optional_type.elem_type)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in _WIDENED:
        wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))


def _attribute(node: NodeProto, name: str) -> AttributeProto | None:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


def _widen_node(node: NodeProto, types: dict[str, int]) -> Iterator[NodeProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            _widen_tensor(attribute.t)
        for tensor in attribute.tensors:
            _widen_tensor(tensor)
        if attribute.type == AttributeProto.SPARSE_TENSOR:
            _widen_tensor(attribute.sparse_tensor.values)
    if node.domain not in ("", "ai.onnx"):
        yield node
        return
    match node.op_type:
        case "Cast" | "CastLike":
            yield from _widen_cast(node, types)
            return
        case "Constant":
            _widen_constant(node)
        case "ConstantOfShape" if _attribute(node, "value") is None:
            node.attribute.append(onnx.helper.make_attribute("value", _scalar(np.zeros(1))))
        case _ if node.op_type in _TYPE_ATTRIBUTES:
            _widen_type_attribute(node, _TYPE_ATTRIBUTES[node.op_type])
    yield node


def _scalar(values: np.ndarray) -> TensorProto:  # type: ignore[type-arg]
    return onnx.numpy_helper.from_array(values.astype(np.float64))


def _widen_constant(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name == "value_float":
            attribute.CopyFrom(onnx.helper.make_attribute("value", _scalar(np.array(attribute.f))))
        elif attribute.name == "value_floats":
            attribute.CopyFrom(onnx.helper.make_attribute("value", _scalar(np.array(list(attribute.floats)))))


def _widen_type_attribute(node: NodeProto, name: str) -> None:
    attribute = _attribute(node, name)
    if attribute is None and node.op_type not in _FOLLOWS_INPUT:
        node.attribute.append(onnx.helper.make_attribute(name, _DOUBLE))
    elif attribute is not None and attribute.i in _WIDENED:
        attribute.i = _DOUBLE


def _widen_cast(node: NodeProto, types: dict[str, int]) -> Iterator[NodeProto]:
    """A cast whose floating-point target is double, with the roundings to half precision that the file asks for."""
    source = node.input[0]
    if node.op_type == "CastLike":
        target = types.get(node.input[1], TensorProto.UNDEFINED)
        if target == TensorProto.UNDEFINED:
            raise Unsupported(
                f"operator CastLike (node '{node.name}') cannot be widened: the type of '{node.input[1]}' is unknown"
            )
    else:
        attribute = _attribute(node, "to")
        target = attribute.i if attribute is not None else TensorProto.UNDEFINED
    keep = [entry for entry in node.attribute if entry.name != "to"]
    if target in _HALF:
        yield from _rounded(source, node.output[0], target, keep)
        return
    made = _cast(source, node.output[0], _DOUBLE if target in _WIDENED else target, keep)
    made.name = node.name
    yield made


def _rounded(source: str, output: str, kind: int, keep: list[AttributeProto]) -> Iterator[NodeProto]:
    """``source`` rounded to ``kind`` and widened again."""
    yield _cast(source, f"{output}/rounded", kind, keep)
    yield _cast(f"{output}/rounded", output, _DOUBLE, [])


def _cast(source: str, output: str, kind: int, keep: list[AttributeProto]) -> NodeProto:
    node = onnx.helper.make_node("Cast", [source], [output], to=kind)
    node.attribute.extend(keep)
    return node
