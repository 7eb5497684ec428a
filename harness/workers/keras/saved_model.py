"""python/tensorflow: a SavedModel run by TensorFlow without Keras.

A SavedModel is a program. The harness loads those that its own route wrote, and only operations that compute are allowed:
one that accesses files, the network or Python is refused before anything is loaded. The operations by which TensorFlow
itself restores variables are the one exception, and read nothing but the SavedModel's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

# TensorFlow reads these when it is imported: the CPU, a quiet log.
os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}

import numpy as np
import tensorflow
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from harness.errors import ModelError
from harness.models.keras_layout import from_keras
from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Stopwatch,
    Unsupported,
    environment_threads,
)
from harness.workers.keras import tensorflow_threads
from harness.workers.model_files import read_metadata, read_spec, tensor_infos

#: Operations with a state that nevertheless do no more than call, loop, and hold and restore variables.
_STATEFUL = {
    "AssignVariableOp",
    "DisableCopyOnRead",
    "If",
    "MergeV2Checkpoints",
    "PartitionedCall",
    "Placeholder",
    "ReadVariableOp",
    "RestoreV2",
    "SaveV2",
    "StatefulPartitionedCall",
    "VarHandleOp",
    "VarIsInitializedOp",
    "While",
}
#: Operations without a state that read files.
_READING = {"MatchingFiles", "ReadFile"}
#: Those that name files: TensorFlow calls them with the SavedModel's own, and a model has no use for them.
_RESTORING = {"MergeV2Checkpoints", "RestoreV2", "SaveV2"}

_FLOAT, _DOUBLE = types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE


class SavedModel(LoadedModel):
    """The endpoint ``serving_default`` of a SavedModel; its interface is that of the specification beside it."""

    def __init__(self, path: Path, precision: Precision) -> None:
        folder = path.parent
        self.spec = read_spec(folder.with_name("model.json"))
        _check(path)
        try:
            self._held = tensorflow.saved_model.load(str(folder))
            endpoint = self._held.signatures["serving_default"]
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path}: not a SavedModel that can be served: {_line(error)}") from error
        self.inputs, self.outputs = tensor_infos(self.spec)
        self.metadata = read_metadata(folder.with_name("metadata.json"))
        self.widened = precision == "float64"
        given = sorted(endpoint.structured_input_signature[1])
        made = sorted(endpoint.structured_outputs)
        if given != sorted(info.name for info in self.inputs) or len(made) != len(self.outputs):
            raise BadInput(f"{path}: takes {', '.join(given)} and gives {len(made)} tensors, unlike its specification")
        self._made = made
        self._call = in_double(endpoint) if self.widened else endpoint

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        call = self.prepared(feeds)
        with watch:
            found: Any = call()
        # Keras numbers the outputs of an endpoint in their order.
        return {info.name: found[name].numpy() for info, name in zip(self.outputs, self._made, strict=True)}

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        tensors = {name: tensorflow.constant(array) for name, array in feeds.items()}
        return lambda: self._call(**tensors)

    def parameters(self) -> dict[str, Array]:
        """The variables under canonical names, in canonical layout; the layer is the beginning of a variable's path."""
        held: dict[str, list[Array]] = {}
        for variable in self._held.variables:
            held.setdefault(variable.name.partition("/")[0], []).append(variable.numpy())
        try:
            return from_keras(self.spec, held)
        except ModelError as error:
            raise Unsupported(f"variables of the SavedModel: {error.what}") from error


def _check(path: Path) -> None:
    """Raises BadInput where it is no SavedModel, Unsupported where an operation does more than compute."""
    program = saved_model_pb2.SavedModel()
    try:
        program.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise BadInput(f"{path}: not a SavedModel: {error}") from error
    if not program.meta_graphs:
        raise BadInput(f"{path}: not a SavedModel: it holds no graph")
    for graph in program.meta_graphs:
        called = _called_by_endpoints(graph)
        for function, node in _nodes(graph.graph_def):
            definition = op_def_registry.get(node.op)
            refused = (
                definition is None
                or node.op in _READING
                or (definition.is_stateful and node.op not in _STATEFUL)
                or (node.op in _RESTORING and function in called)
            )
            if refused:
                raise Unsupported(
                    f"operation {node.op} (node '{node.name}') is not supported by python/tensorflow: "
                    "it does more than compute"
                )


def _nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """Every operation of a graph and its functions, with the function's name; that of the graph itself is empty."""
    for node in graph.node:
        yield "", node
    for function in graph.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _called_by_endpoints(graph: Any) -> set[str]:
    """Names of the functions that endpoints call, and those call."""
    calls: dict[str, set[str]] = {}
    for function, node in _nodes(graph.graph_def):
        for value in node.attr.values():
            calls.setdefault(function, set()).update(
                entry.name for entry in (value.func, *value.list.func) if entry.name
            )
    inside = {name for name in calls if name.startswith("__inference_signature_wrapper")}
    waiting = list(inside)
    while waiting:
        for name in calls.get(waiting.pop(), ()):
            if name not in inside:
                inside.add(name)
                waiting.append(name)
    return inside


def in_double(endpoint: Any) -> Callable[..., dict[str, Any]]:
    """The endpoint with its variables as constants, and every float32 of its graph and functions as float64."""
    frozen = convert_variables_to_constants_v2(endpoint, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    # Names of functions are unique in a process, and those of the file are taken.
    names = {function.signature.name: f"{function.signature.name}_in_double" for function in graph.library.function}
    for node in graph.node:
        _widen(node, names)
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type == _FLOAT:
                argument.type = _DOUBLE
        for node in function.node_def:
            _widen(node, names)
    inputs = [tensor.name for tensor in frozen.inputs]
    outputs = [tensor.name for tensor in frozen.outputs]
    keys = sorted(endpoint.structured_outputs)

    wrapped = tensorflow.compat.v1.wrap_function(lambda: tensorflow.graph_util.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune(inputs, outputs)

    def call(**feeds: Any) -> dict[str, Any]:
        given = [feeds[name.partition(":")[0]] for name in inputs]
        found = pruned(*given)
        return dict(zip(keys, found if isinstance(found, list | tuple) else [found], strict=True))

    return call


def _widen(node: Any, names: dict[str, str]) -> None:
    """A node with float64 for float32, which calls functions by their new names."""
    node.op = names.get(node.op, node.op)
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "type" and value.type == _FLOAT:
            value.type = _DOUBLE
        elif kind == "list" and value.list.type:
            value.list.type[:] = [_DOUBLE if entry == _FLOAT else entry for entry in value.list.type]
        elif kind == "tensor" and value.tensor.dtype == _FLOAT:
            wide = tensorflow.make_ndarray(value.tensor).astype(np.float64)
            value.tensor.CopyFrom(tensorflow.make_tensor_proto(wide))
        for function in (*([value.func] if kind == "func" else ()), *value.list.func):
            function.name = names.get(function.name, function.name)


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


class Tensorflow(Engine):
    """TensorFlow behind the worker contract."""

    runtime: ClassVar[str] = "python/tensorflow"

    def __init__(self) -> None:
        tensorflow_threads.pin()
        tensorflow.config.experimental.enable_op_determinism()

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"tensorflow": tensorflow.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return tensorflow_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> SavedModel:
        """See Engine; ``path`` is ``saved_model.pb``, and ``model.json`` lies beside its folder."""
        return SavedModel(path, precision)


ENGINE = Tensorflow
