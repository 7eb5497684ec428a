"""What the routes from Keras to ONNX share: input signatures, and the names of the specification in the file.

``keras-export`` is Keras' own ``model.export(format="onnx")``, ``tf2onnx`` that tool called on the Keras model, and
``tf2onnx-savedmodel`` called on the SavedModel that Keras wrote.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import onnx
from onnx import GraphProto, ValueInfoProto

from harness.models.spec import ModelSpec, TensorSpec
from harness.workers.engine import Array, Failed, Unsupported
from harness.workers.keras.model import build, fill

_LOG = logging.getLogger(__name__)


def trained_model(spec: ModelSpec, arrays: dict[str, Array], where: str) -> keras.Model:
    """The model of a specification with canonical parameters."""
    built = build(spec)
    fill(built, spec, arrays, where)
    return built


def export_signature(
    spec: ModelSpec, samples: int | None = None
) -> list[keras.InputSpec] | list[list[keras.InputSpec]]:
    """The inputs of a specification as Keras' exporters take them; dynamic axes are None, or so many ``samples``."""
    inputs = [
        keras.InputSpec(
            shape=tuple(samples if axis.name == "sample" else axis.size for axis in tensor.axes),
            dtype=tensor.dtype,
            name=tensor.name,
        )
        for tensor in spec.inputs
    ]
    # Several inputs are one argument of the model, a list.
    return inputs if len(inputs) == 1 else [inputs]


def must_export_onnx(route: str) -> None:
    """Raises Unsupported where this version of Keras has no ONNX among the formats that it exports."""
    # Every version lists its formats in this docstring.
    if '"onnx"' not in (keras.Model.export.__doc__ or ""):
        raise Unsupported(f"{route}: Keras {keras.__version__} exports no ONNX")


def must_know_opset(opset: int) -> None:
    """Raises Unsupported for an opset that the installed onnx does not know: PyTorch's exporter would silently write another."""
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise Unsupported(f"opset {opset} is not known to onnx {onnx.__version__}, whose newest is {newest}")


def finish_onnx(path: Path, spec: ModelSpec) -> None:
    """Rename inputs, outputs and nodes of a converted file as the specification has them; renamed inputs and outputs are logged."""
    file = onnx.load(str(path))
    _name_interface(file.graph, spec)
    _renumber(file.graph)
    # Shapes inside the graph name axes by counters; the checker infers them anew.
    for part in _parts(file.graph):
        del part.value_info[:]
    onnx.save(file, str(path))


def _name_interface(graph: GraphProto, spec: ModelSpec) -> None:
    """Inputs, outputs and dynamic axes by the names of the specification.

    Converters of Keras call an output ``Identity:0`` or ``217``, and a dynamic axis ``unk__88``.
    """
    held = {tensor.name for tensor in graph.initializer}
    given = [info for info in graph.input if info.name not in held]
    renamed: dict[str, str] = {}
    for kind, infos, tensors in (("input", given, spec.inputs), ("output", list(graph.output), spec.outputs)):
        for info, tensor in _paired(infos, tensors):
            if info.name != tensor.name:
                _LOG.warning("%s '%s' was renamed '%s'", kind, info.name, tensor.name)
                renamed[info.name] = tensor.name
            for dimension, axis in zip(info.type.tensor_type.shape.dim, tensor.axes, strict=False):
                if axis.size is None and not dimension.HasField("dim_value"):
                    dimension.dim_param = axis.name
    taken = held | {name for node in graph.node for name in (*node.input, *node.output)}
    for name in sorted((set(renamed.values()) & taken) - set(renamed)):
        raise Failed(f"the graph has a tensor '{name}' already, which is the name of an input or output")
    _rename(graph, renamed)
    places = {tensor.name: place for place, tensor in enumerate(spec.inputs)}
    if {info.name for info in given} == set(places):
        # A SavedModel sorts its inputs by name.
        ordered = sorted(given, key=lambda info: places[info.name])
        copies = [ValueInfoProto.FromString(info.SerializeToString()) for info in ordered]
        constants = [ValueInfoProto.FromString(info.SerializeToString()) for info in graph.input if info.name in held]
        del graph.input[:]
        graph.input.extend([*copies, *constants])


def _paired(
    infos: Sequence[ValueInfoProto], tensors: Sequence[TensorSpec]
) -> Iterator[tuple[ValueInfoProto, TensorSpec]]:
    """Inputs or outputs with those of the specification: by name, which a SavedModel sorts them by, and the others in order.

    Another number of them is an error when the interface is checked.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    known = {info.name: by_name[_own_name(info.name)] for info in infos if _own_name(info.name) in by_name}
    taken = {tensor.name for tensor in known.values()}
    rest = iter([tensor for tensor in tensors if tensor.name not in taken])
    for info in infos:
        if (tensor := known.get(info.name) or next(rest, None)) is not None:
            yield info, tensor


def _own_name(name: str) -> str:
    """The name that a tensor was given, in what a SavedModel or a graph of TensorFlow makes of it."""
    return name.removeprefix("serving_default_").partition(":")[0]


#: tf2onnx ends the names that it makes up in a number that is counted per process.
_NUMBERED = re.compile(r"(__\d+)+(?=:\d+$|$)")


def _renumber(graph: GraphProto) -> None:
    """Numbers of made-up names, and the order of initializers, by their first place in the graph.

    tf2onnx iterates over sets of nodes, so that numbers differ between runs, and so does which of two equal constants is
    kept.
    """
    constants = {tensor.name for part in _parts(graph) for tensor in part.initializer}
    places: dict[str, int] = {}
    new: dict[str, str] = {}
    for part in _parts(graph):
        for node in part.node:
            for name in (*node.input, *node.output, node.name):
                places.setdefault(name, len(places))
                if name not in new and _NUMBERED.search(name):
                    stem = "constant" if name in constants else _NUMBERED.sub("", name)
                    new[name] = f"{stem}__{len(new)}"
    for part in _parts(graph):
        # What no node uses comes last.
        kept = sorted(part.initializer, key=lambda tensor: (places.get(tensor.name, len(places)), tensor.name))
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del part.initializer[:]
        part.initializer.extend(copies)
    _rename(graph, new)


def _parts(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _parts(inner)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Rename tensors and nodes everywhere in a graph."""
    for part in _parts(graph):
        for entry in (*part.input, *part.output, *part.initializer, *part.node):
            entry.name = names.get(entry.name, entry.name)
        for node in part.node:
            for listed in (node.input, node.output):
                for index, name in enumerate(listed):
                    listed[index] = names.get(name, name)
