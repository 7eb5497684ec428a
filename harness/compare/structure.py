"""What a file says of itself, and what its graph shows: classes, bands, axes, normalisation, head, training mode."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.graph import LAYOUT_OPERATORS, Graph, Node
from harness.compare.loops import loops_of
from harness.compare.records import Finding, Verdict
from harness.compare.subgraphs import all_nodes, flattened, stated, stored
from harness.models.spec import Head, ModelSpec, TensorSpec

#: Heads by the operator that a graph ends in; a logarithm after a softmax is a log-softmax.
_HEAD_OPERATORS: dict[str, Head] = {"LogSoftmax": "log-softmax", "Softmax": "softmax", "Sigmoid": "sigmoid"}
#: Operators that a head is written in where it is taken apart.
_HEAD_PARTS = frozenset({"Exp", "ReduceLogSumExp", "Softmax", "LogSoftmax"})


def summarise(structure: Mapping[str, Any]) -> dict[str, Any]:
    """The graph in brief, for tables: plain numbers and names, sorted.

    ``operators`` (name to count), ``nodes``, ``opsets``, ``ir_version``, ``exporter``, ``bytes``, ``initializers``,
    ``parameters`` (floating-point scalars in initializers and in Constant nodes), ``inputs`` and ``outputs`` (name, dtype, shape,
    and the names of their axes where the file's metadata has them), ``dynamic`` (tensor name to its dynamic dimensions), and what
    `harness.compare.loops.loops_of` tells. ``operators`` and ``parameters`` include graphs inside of nodes, ``nodes`` does not.
    """
    axes = _json(structure.get("metadata", {}), "harness.axes")
    axes = axes if isinstance(axes, dict) else {}
    tensors = {
        side: [
            {
                "name": entry["name"],
                "dtype": entry.get("dtype"),
                "shape": list(entry.get("shape") or []),
                "axes": axes.get(entry["name"]),
            }
            for entry in structure[side]
        ]
        for side in ("inputs", "outputs")
    }
    dynamic = {
        entry["name"]: [str(size) if size is not None else "?" for size in entry["shape"] if not isinstance(size, int)]
        for entry in [*tensors["inputs"], *tensors["outputs"]]
    }
    return {
        "operators": dict(sorted(Counter(_operator(node) for node in all_nodes(structure)).items())),
        "nodes": len(structure["nodes"]),
        "opsets": dict(sorted(structure.get("opsets", {}).items())),
        "ir_version": structure.get("ir_version"),
        "exporter": structure.get("producer"),
        "bytes": structure.get("bytes"),
        "initializers": sum(1 for _ in stored(structure)),
        "parameters": sum(
            int(np.prod(entry["shape"], dtype=np.int64))
            for entry in (*stored(structure), *stated(structure))
            if "float" in str(entry["dtype"])
        ),
        **loops_of(structure),
        **tensors,
        "dynamic": {name: sizes for name, sizes in sorted(dynamic.items()) if sizes},
    }


def compare_structure(
    spec: ModelSpec,
    metadata: Mapping[str, str],
    expected_metadata: Mapping[str, str],
    structure: Mapping[str, Any] | None,
    values: Mapping[str, NDArray[Any]] | None = None,
) -> list[Finding]:
    """What the file's metadata and graph contradict of the source's.

    ``metadata``: the file's own; ``expected_metadata``: that of the source (keys of the worker contract, both string to
    string). ``structure``: the graph, None for a table of weights. ``values``: initializers by name, where known, to
    tell whether a Dropout is on. A contradiction calls for ``divergent``; what is merely missing, or renamed, is told
    with ``equivalent``.
    """
    findings = list(_compare_metadata(metadata, expected_metadata))
    if structure is not None:
        graph = Graph(flattened(structure), values or {})
        findings += _compare_tensors(spec, structure, expected_metadata)
        findings += _compare_head(spec, graph)
        findings += _training_mode(structure, graph)
    return findings


def _compare_metadata(metadata: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Finding]:
    words = {
        "harness.classes": "class names",
        "harness.class_base": "the index of the first class",
        "harness.bands": "band names",
        "harness.axes": "axis names",
        "harness.normalisation": "the normalisation",
        "harness.head": "the head",
        "harness.model": "the model's name",
    }
    for key, word in words.items():
        if key not in expected:
            continue
        if key not in metadata:
            yield _note(f"the file does not carry {word} (metadata key '{key}')")
            continue
        found, wanted = _json(metadata, key), _json(expected, key)
        if found == wanted:
            continue
        if isinstance(found, list) and isinstance(wanted, list):
            yield _contradiction(f"{word} in the file are not the source's: {_difference(found, wanted)}")
        elif key == "harness.normalisation" and isinstance(found, dict) and isinstance(wanted, dict):
            parts = sorted(part for part in {*found, *wanted} if found.get(part) != wanted.get(part))
            yield _contradiction(f"the normalisation in the file is not the source's: {', '.join(parts)} differ")
        elif isinstance(found, dict) and isinstance(wanted, dict):
            for name in sorted({*found, *wanted}):
                if found.get(name) != wanted.get(name):
                    yield _contradiction(
                        f"axes of '{name}' in the file are {found.get(name)}, the source's are {wanted.get(name)}"
                    )
        else:
            yield _contradiction(f"{word} in the file is {_short(found)}, the source's is {_short(wanted)}")


def _difference(found: list[Any], wanted: list[Any]) -> str:
    """How two lists of names differ, in words."""
    if len(found) != len(wanted):
        return f"{len(found)} instead of {len(wanted)}"
    moved = [index for index, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1]]
    if Counter(map(str, found)) != Counter(map(str, wanted)):
        first = moved[0]
        return f"number {first} is {_short(found[first])}, not {_short(wanted[first])}"
    if len(moved) == 2:
        return f"{_short(wanted[moved[0]])} and {_short(wanted[moved[1]])} are exchanged"
    return f"{len(moved)} are in another order"


def _compare_tensors(
    spec: ModelSpec, structure: Mapping[str, Any], expected_metadata: Mapping[str, str]
) -> Iterator[Finding]:
    graph_inputs = {entry["name"] for entry in structure["initializers"]}
    inputs = [entry for entry in structure["inputs"] if entry["name"] not in graph_inputs]
    for side, wanted, found in (("input", spec.inputs, inputs), ("output", spec.outputs, structure["outputs"])):
        if len(wanted) != len(found):
            yield _contradiction(f"the graph has {len(found)} {side}s, the model {len(wanted)}")
            continue
        by_name = {entry["name"]: entry for entry in found}
        named = all(tensor.name in by_name for tensor in wanted)
        for index, tensor in enumerate(wanted):
            entry = by_name[tensor.name] if named else found[index]
            if not named and entry["name"] != tensor.name:
                yield _note(f"the {side} '{tensor.name}' is called '{entry['name']}' in the graph")
            yield from _compare_shape(side, tensor, entry)
    classes = _json(expected_metadata, "harness.classes")
    if isinstance(classes, list) and structure["outputs"]:
        shape = structure["outputs"][0].get("shape") or []
        place = [axis.name for axis in spec.outputs[0].axes].index("class") if _has_classes(spec) else -1
        if place >= 0 and place < len(shape) and isinstance(shape[place], int) and shape[place] != len(classes):
            yield _contradiction(f"the graph has {shape[place]} outputs for {len(classes)} class names")


def _compare_shape(side: str, tensor: TensorSpec, entry: Mapping[str, Any]) -> Iterator[Finding]:
    name, shape = entry["name"], list(entry.get("shape") or [])
    if entry.get("dtype") and entry["dtype"] != tensor.dtype:
        yield _contradiction(f"{side} '{name}' is {entry['dtype']} in the graph, {tensor.dtype} in the model")
    if len(shape) != len(tensor.axes):
        yield _contradiction(f"{side} '{name}' has {len(shape)} axes in the graph, {len(tensor.axes)} in the model")
        return
    for axis, size in zip(tensor.axes, shape, strict=True):
        if isinstance(size, int) and axis.size is not None and size != axis.size:
            yield _contradiction(
                f"axis {axis.name} of {side} '{name}' is {size} in the graph, {axis.size} in the model"
            )
        elif isinstance(size, int) and axis.size is None:
            yield _note(f"axis {axis.name} of {side} '{name}' is fixed to {size} in the graph, free in the model")


def head_of(structure: Mapping[str, Any]) -> Head:
    """The head that the first output of a graph comes from, as far as its last operators tell."""
    graph = Graph(structure, {})
    return _head(graph, graph.outputs[0])[0]


def heads_of(structure: Mapping[str, Any]) -> tuple[Head, ...]:
    """The heads that stand at the end of a graph one behind the other, the last first; ``logits`` where none is left."""
    graph = Graph(structure, {})
    found: list[Head] = []
    name = graph.outputs[0]
    while (head := _head(graph, name)[0]) != "logits":
        found.append(head)
        name = _before_head(graph, name)
    return (*found, "logits")


def _before_head(graph: Graph, name: str) -> str:
    """The tensor that the head at the end of a graph takes."""
    while name in graph.producer:
        node = graph.producer[name]
        name = node.input(0)
        if node.operator in _HEAD_OPERATORS:
            break
    return name


def _has_classes(spec: ModelSpec) -> bool:
    return any(axis.name == "class" for axis in spec.outputs[0].axes)


def _compare_head(spec: ModelSpec, graph: Graph) -> Iterator[Finding]:
    for name in graph.outputs[:1]:
        head, parts = _head(graph, name)
        # Both end in no function of their own.
        if head == spec.head or (head, spec.head) == ("logits", "linear"):
            continue
        if head != "logits":
            yield _contradiction(f"the graph ends in {head}, the model declares {spec.head}")
        elif not parts:
            yield _contradiction(f"the graph ends without {spec.head}, which the model declares")


def _head(graph: Graph, name: str) -> tuple[Head, bool]:
    """The head that an output comes from, and whether one may be hidden in other operators."""
    logarithm = False
    while name in graph.producer:
        node = graph.producer[name]
        if node.operator in LAYOUT_OPERATORS:
            name = node.input(0)
        elif node.operator == "Log" and not logarithm:
            logarithm, name = True, node.input(0)
        elif node.operator in _HEAD_OPERATORS:
            head = _HEAD_OPERATORS[node.operator]
            return ("log-softmax" if logarithm and head == "softmax" else head), True
        else:
            break
    return "logits", any(node.operator in _HEAD_PARTS for node in graph.nodes)


def _training_mode(structure: Mapping[str, Any], graph: Graph) -> Iterator[Finding]:
    on: list[str] = []
    unknown: list[str] = []
    for node in graph.nodes:
        if node.operator == "BatchNormalization" and node.attributes.get("training_mode"):
            yield _contradiction(f"batch normalisation '{node.label}' is in training mode: it normalises by the batch")
        if node.operator == "Dropout":
            state = _dropout_is_on(structure, graph, node)
            if state is None:
                unknown.append(node.label)
            elif state:
                on.append(node.label)
    if on:
        yield _contradiction(f"dropout is left on in {_count(on)}")
    if unknown:
        yield _note(f"whether dropout is on in {_count(unknown)} cannot be told from the graph alone")


def _dropout_is_on(structure: Mapping[str, Any], graph: Graph, node: Node) -> bool | None:
    """From opset 12 the third input says so, off where it is left out; before, there was no training mode to set."""
    name = node.input(2)
    if not name:
        return False
    constant = graph.constant(name)
    if constant is not None:
        return bool(np.any(constant.value))
    producer = graph.producer.get(graph.stored_name(name))
    if producer is not None and producer.operator == "Constant":
        value = producer.attributes.get("value")
        tensor = value.get("tensor", {}) if isinstance(value, Mapping) else {}
        if isinstance(tensor, Mapping) and "values" in tensor:
            return bool(np.any(tensor["values"]))
    return None


def _json(metadata: Mapping[str, str], key: str) -> Any:
    """A metadata entry as the JSON it holds, or as the text it is."""
    text = metadata.get(key)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _operator(node: Mapping[str, Any]) -> str:
    domain = node.get("domain") or ""
    return f"{domain}.{node['operator']}" if domain not in ("", "ai.onnx") else str(node["operator"])


def _count(labels: Sequence[str]) -> str:
    return f"node '{labels[0]}'" + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _contradiction(message: str) -> Finding:
    return Finding(comparison="structure", verdict=Verdict.DIVERGENT, message=message)


def _note(message: str) -> Finding:
    return Finding(comparison="structure", verdict=Verdict.EQUIVALENT, message=message)
