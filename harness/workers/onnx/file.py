"""An ONNX file from anyone: parsed, limited in size and checked before a runtime loads it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from harness.workers.engine import BadInput, TensorInfo, Unsupported
from harness.workers.onnx.node_order import sort_nodes

#: Protobuf's own limit on one message.
MAX_BYTES = 2**31 - 1
#: Largest tensor that an operator may make out of a constant shape, in elements.
MAX_ELEMENTS = 2**32
#: Operators that onnxruntime's optimiser writes whatever the opset of the file, with the opset that brought them.
WRITTEN_EARLY = {"LayerNormalization": 17}

_STANDARD = ("", "ai.onnx")
#: A domain that nobody has, of which the checker takes every node.
_UNCHECKED = "plain.unchecked"
_FLOATING = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)

#: Elements from which on a weight is large: no check or inference of shapes reads its values.
LARGE_WEIGHT = 1 << 18


def read_model(path: Path, runtime: str) -> ModelProto:
    """Parse and check a model file, external data included, see :func:`read_sorted`."""
    return read_sorted(path, runtime)[0]


def read_sorted(path: Path, runtime: str) -> tuple[ModelProto, list[str]]:
    """Parse and check a model file, external data included; with the names of nodes that stood before what they read.

    Raises BadInput on a file that is truncated, corrupt or invalid, or whose external data is missing, too short or
    outside of its folder; Unsupported on an IR version, opset or standard operator that onnx does not know.
    ``runtime`` is named in the messages.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise Unsupported(f"{path}: {size} bytes are more than a protobuf message may have ({MAX_BYTES})")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise BadInput(f"{path}: not an ONNX file, or a truncated one ({size} bytes): {error}") from error
    if not model.HasField("graph") or not model.ir_version:
        raise BadInput(f"{path}: not an ONNX file: it holds no graph ({size} bytes)")
    _check_versions(model, path)
    moved = sort_nodes(model)
    for tensor in tensors(model):
        _check_tensor(tensor, path)
    _check_operators(model, runtime)
    for tensor in tensors(model):
        if uses_external_data(tensor):
            load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    # Runtimes take inputs and outputs whose shape is not stated, ONNX's checker does not.
    unstated = [info.type.tensor_type for info in (*model.graph.input, *model.graph.output) if _has_no_shape(info)]
    for kind in unstated:
        kind.shape.SetInParent()
    try:
        # The checker would copy the weights twice.
        onnx.checker.check_model(_with_late_operators(without_weights(model, large_weights(model))))
    except (onnx.checker.ValidationError, ValueError) as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        raise BadInput(f"{path}: not a valid ONNX model: {line}") from error
    for kind in unstated:
        kind.ClearField("shape")
    return model, moved


def _has_no_shape(info: ValueInfoProto) -> bool:
    return info.type.WhichOneof("value") == "tensor_type" and not info.type.tensor_type.HasField("shape")


def large_weights(model: ModelProto) -> dict[str, TensorProto]:
    """Initializers of floating point of the main graph, by name, that are large."""
    return {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type in _FLOATING and math.prod(tensor.dims) >= LARGE_WEIGHT
    }


def without_weights(model: ModelProto, names: Collection[str]) -> ModelProto:
    """The model with the initializers of those names as inputs of known shape; the model itself where there are none."""
    if not names:
        return model
    light = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.metadata_props.extend(model.metadata_props)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    given = {info.name for info in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in names:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return light


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The main graph and, recursively, every subgraph of it and of the local functions."""
    yield from _with_subgraphs(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _subgraphs(node)


def nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node of a model: subgraphs and local functions included."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def scopes(model: ModelProto) -> Iterator[tuple[GraphProto, dict[str, str]]]:
    """The main graph and every graph inside of its nodes, with what each of their own tensors is called among all.

    They keep their names. Where several graphs use one and the same, which ONNX allows beside each other, the second and those
    after it become ``<name>#2``, and so on.
    """
    taken: set[str] = set()
    for graph in _with_subgraphs(model.graph):
        names: dict[str, str] = {}
        own = [entry.name for entry in (*graph.input, *graph.initializer)]
        own += [name for node in graph.node for name in node.output if name]
        for name in dict.fromkeys(own):
            unique, number = name, 1
            while unique in taken:
                number += 1
                unique = f"{name}#{number}"
            taken.add(unique)
            names[name] = unique
        yield graph, names


def stored(model: ModelProto) -> dict[str, TensorProto]:
    """Tensors that a model holds by name, those of graphs inside of its nodes included; see :func:`scopes` for equal names.

    Its initializers, and the weights that it has in Constant nodes, which are called as the node's output.
    """
    found: dict[str, TensorProto] = {}
    for graph, names in scopes(model):
        found |= {names[tensor.name]: tensor for tensor in graph.initializer}
        for node in graph.node:
            if (weight := stated_weight(node)) is not None:
                found[names[node.output[0]]] = weight
    return found


def stated_weight(node: NodeProto) -> TensorProto | None:
    """What a Constant node holds, if that is a tensor of floating point with an axis at least: a number alone is no weight."""
    if node.op_type != "Constant" or node.domain not in _STANDARD:
        return None
    value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
    return value if value is not None and value.dims and value.data_type in _FLOATING else None


def known_before(graph: GraphProto) -> dict[str, TensorProto]:
    """Tensors of a graph by name that nothing a caller gives can change: initializers and the values of Constant nodes."""
    given = {info.name for info in graph.input}
    known = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in _STANDARD and node.attribute[0].name == "value":
            known[node.output[0]] = node.attribute[0].t
    return known


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor stored in a model: initializers and tensor attributes, sparse ones by their parts."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            sparse_tensors = list(attribute.sparse_tensors)
            if attribute.type == AttributeProto.SPARSE_TENSOR:
                sparse_tensors.append(attribute.sparse_tensor)
            for sparse in sparse_tensors:
                yield from (sparse.values, sparse.indices)


def _with_subgraphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        yield from _subgraphs(node)


def by_name(node: NodeProto) -> list[AttributeProto]:
    """The attributes of a node sorted by name: their order in a file has no meaning, and runtimes do not keep it."""
    return sorted(node.attribute, key=lambda attribute: attribute.name)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in by_name(node):
        if attribute.type == AttributeProto.GRAPH:
            yield from _with_subgraphs(attribute.g)
        for graph in attribute.graphs:
            yield from _with_subgraphs(graph)


def _check_versions(model: ModelProto, path: Path) -> None:
    if model.ir_version > onnx.IR_VERSION:
        raise Unsupported(
            f"{path}: IR version {model.ir_version} is newer than what onnx {onnx.__version__} knows "
            f"({onnx.IR_VERSION}); export the model again with an older exporter, or install a newer onnx"
        )
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in _STANDARD and opset.version > newest:
            raise Unsupported(
                f"{path}: opset {opset.version} is newer than what onnx {onnx.__version__} knows ({newest}); export the model "
                f"again with opset {newest} or older, or install a newer onnx"
            )


def _check_tensor(tensor: TensorProto, path: Path) -> None:
    """Sizes of one stored tensor, so that no later step allocates what the file does not hold."""
    where = f"{path}: tensor '{tensor.name}'"
    count = 1
    for size in tensor.dims:
        if size < 0:
            raise BadInput(f"{where} has a negative size {list(tensor.dims)}")
        count *= size
    try:
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError) as error:
        raise BadInput(f"{where} has an unknown data type {tensor.data_type}") from error
    packed = {TensorProto.INT4: 2, TensorProto.UINT4: 2}.get(tensor.data_type)
    # Types smaller than a byte are packed; the parser checks the rarer ones.
    expected: int | None = count * item.itemsize if item.kind in "biufc" else None
    if packed:
        expected = -(-count // packed)
    elif item.name == "bfloat16" or item.name.startswith("float8"):
        expected = count * item.itemsize
    if uses_external_data(tensor):
        _check_external(tensor, expected, path, where)
    elif tensor.HasField("raw_data") and expected is not None and len(tensor.raw_data) != expected:
        raise BadInput(f"{where} of shape {list(tensor.dims)} needs {expected} bytes but holds {len(tensor.raw_data)}")


def _check_external(tensor: TensorProto, expected: int | None, path: Path, where: str) -> None:
    try:
        info = ExternalDataInfo(tensor)
        offset, length = int(info.offset or 0), None if info.length is None else int(info.length)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where} has broken external data: {error}") from error
    folder = path.resolve().parent
    location = Path(info.location)
    target = (folder / location).resolve()
    if not info.location or location.is_absolute() or not target.is_relative_to(folder):
        raise BadInput(f"{where} points outside of the model's folder: '{info.location}'")
    if not target.is_file():
        raise BadInput(f"{where} lies in '{info.location}', which is missing beside the model")
    size = target.stat().st_size
    end = offset + (length if length is not None else expected or 0)
    if offset < 0 or (length is not None and length < 0) or end > size:
        raise BadInput(f"{where} ends at byte {end} of '{info.location}', which has {size}")
    if expected is not None and (length if length is not None else size - offset) != expected:
        raise BadInput(f"{where} of shape {list(tensor.dims)} needs {expected} bytes, not those of '{info.location}'")


def _with_late_operators(model: ModelProto) -> ModelProto:
    """The model, or a copy whose operators of WRITTEN_EARLY the checker of ONNX passes over: it knows them in later opsets only."""
    version = max((opset.version for opset in model.opset_import if opset.domain in _STANDARD), default=0)
    if not any(_is_early(node, version) for node in model.graph.node):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if _is_early(node, version):
            node.domain = _UNCHECKED
    copy.opset_import.append(onnx.helper.make_opsetid(_UNCHECKED, 1))
    return copy


def _is_early(node: NodeProto, version: int) -> bool:
    return node.domain in _STANDARD and version < WRITTEN_EARLY.get(node.op_type, 0)


def _check_operators(model: ModelProto, runtime: str) -> None:
    functions = {(function.domain, function.name) for function in model.functions}
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    for graph in graphs(model):
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            _check_operator(node, opsets, functions, runtime)
            if node.op_type == "ConstantOfShape" and node.domain in _STANDARD and node.input:
                _check_constant_shape(node, constants.get(node.input[0]))
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                constants[node.output[0]] = node.attribute[0].t
    for function in model.functions:
        own = {opset.domain: opset.version for opset in function.opset_import}
        for node in function.node:
            _check_operator(node, own, functions, runtime)


def _check_operator(node: NodeProto, opsets: dict[str, int], functions: set[tuple[str, str]], runtime: str) -> None:
    if node.domain not in _STANDARD or (node.domain, node.op_type) in functions:
        return
    version = opsets.get("", opsets.get("ai.onnx"))
    if version is None:
        raise BadInput(f"operator {node.op_type} (node '{node.name}') is used, but the model imports no opset")
    if not onnx.defs.has(node.op_type, max(version, WRITTEN_EARLY.get(node.op_type, 0)), ""):
        raise Unsupported(
            f"operator {node.op_type} (opset {version}, node '{node.name}') is not supported by {runtime}"
        )


def _check_constant_shape(node: NodeProto, shape: TensorProto | None) -> None:
    if shape is None:
        return
    count = 1
    for size in onnx.numpy_helper.to_array(shape).reshape(-1).tolist():
        count *= int(size)
    if count > MAX_ELEMENTS:
        raise BadInput(
            f"operator ConstantOfShape (node '{node.name}') asks for {count} elements; at most {MAX_ELEMENTS}"
        )


def dtype_name(element_type: int) -> str:
    """The NumPy name of an ONNX element type: ``float32``, ``bfloat16``, ``bool``, ``string``."""
    if element_type == TensorProto.STRING:
        return "string"
    return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_type)).name)


def shape_of(info: ValueInfoProto) -> tuple[int | str | None, ...] | None:
    """Sizes, names of dynamic dimensions, or None; None in all where no rank is stated."""
    if not info.type.tensor_type.HasField("shape"):
        return None
    shape: list[int | str | None] = []
    for dimension in info.type.tensor_type.shape.dim:
        if dimension.HasField("dim_value"):
            shape.append(int(dimension.dim_value))
        else:
            shape.append(dimension.dim_param or None)
    return tuple(shape)


def tensor_info(info: ValueInfoProto) -> TensorInfo:
    """A graph input or output. Raises Unsupported where it is neither an ordinary tensor nor a sequence of maps.

    Maps are known as the array (sample, key) of their values that they travel as, see :func:`plain_value`.
    """
    values = info.type.sequence_type.elem_type.map_type.value_type
    if values.HasField("tensor_type"):
        return TensorInfo(info.name, dtype_name(values.tensor_type.elem_type), (None, None))
    if info.type.WhichOneof("value") != "tensor_type":
        kind = (info.type.WhichOneof("value") or "untyped").removesuffix("_type")
        raise Unsupported(f"'{info.name}' is a {kind}, not a tensor")
    return TensorInfo(info.name, dtype_name(info.type.tensor_type.elem_type), shape_of(info))


def plain_value(info: TensorInfo, value: Any, widened: bool = False) -> Any:
    """What a runtime gives for an output as the array that travels: of maps their values, in the order of their keys.

    Raises Unsupported where maps differ in their keys.
    """
    if not isinstance(value, list):
        return value
    if not all(isinstance(one, dict) for one in value):
        raise Unsupported(f"'{info.name}' is a sequence, not a tensor")
    keys = sorted(value[0]) if value else []
    if any(sorted(one) != keys for one in value):
        raise Unsupported(f"'{info.name}' holds maps of different keys")
    rows = [[one[key] for key in keys] for one in value]
    floating = widened and info.dtype.startswith(("float", "bfloat"))
    return np.asarray(rows, "float64" if floating else info.dtype).reshape(len(value), len(keys))


def inputs_of(model: ModelProto) -> list[TensorInfo]:
    """The inputs that a caller must give: initializers, listed as inputs before IR 4, are not among them."""
    held = {tensor.name for tensor in model.graph.initializer}
    given = [info for info in model.graph.input if info.name not in held]
    for info in given:
        if info.type.HasField("sequence_type"):
            raise Unsupported(f"'{info.name}' is a sequence, not a tensor")
    return [tensor_info(info) for info in given]


def outputs_of(model: ModelProto) -> list[TensorInfo]:
    """The outputs of the graph. Raises Unsupported where one is neither a tensor nor a sequence of maps."""
    return [tensor_info(info) for info in model.graph.output]


def metadata_of(model: ModelProto) -> dict[str, str]:
    """The file's ``metadata_props``."""
    return {entry.key: entry.value for entry in model.metadata_props}
