"""python/onnx-reference: ONNX's own reference implementation in NumPy, in single and in double precision."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import ModelProto

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    Failed,
    LoadedModel,
    Precision,
    Progress,
    Refusal,
    Stopwatch,
    Unsupported,
    environment_threads,
)
from harness.workers.onnx.cut import Cutter
from harness.workers.onnx.cut_inputs import replacer
from harness.workers.onnx.evaluator import Evaluator, apart
from harness.workers.onnx.exact import OPERATORS
from harness.workers.onnx.exact.faults import faults_met
from harness.workers.onnx.file import (
    by_name,
    inputs_of,
    metadata_of,
    nodes,
    outputs_of,
    plain_value,
    read_model,
    read_sorted,
    scopes,
    stored,
)
from harness.workers.onnx.node_models import NodeModels
from harness.workers.onnx.structure import structure
from harness.workers.onnx.widen import widen
from harness.workers.requests import existing_file

#: Operators that the reference implementation always computes in float32: no oracle can use them.
_SINGLE_ONLY = (
    "CausalConvWithState",
    "LinearAttention",
)


#: How onnx.reference says that it does not know an operator: by its name and domain.
_UNKNOWN = re.compile(r"Node type '(?P<name>[^']*)' from domain '(?P<domain>[^']*)' is unknown")


def _in_words(message: str) -> str:
    """A message of onnx.reference without the Python in it."""
    unknown = _UNKNOWN.match(message)
    if unknown is None:
        return f"onnx.reference: {message}"
    domain, name = unknown["domain"], unknown["name"]
    return f"operator {f'{domain}.' if domain else ''}{name} is not supported by python/onnx-reference"


class ReferenceModel(LoadedModel):
    """A model in a ReferenceEvaluator."""

    def __init__(self, model: ModelProto, precision: Precision) -> None:
        self._dtypes = {
            name: onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type) for name, tensor in stored(model).items()
        }
        light, self._weights = apart(model)
        held = widen(light) if precision == "float64" else _inlined(light)
        _check(held, precision)
        self._held = held
        self._tensor_names = {value for node in held.graph.node for value in node.output if value}
        self.widened = precision == "float64"
        self.inputs = inputs_of(model)
        self.outputs = outputs_of(model)
        self.metadata = metadata_of(model)
        try:
            self._evaluator = Evaluator(held, new_ops=OPERATORS)
        except RuntimeError as error:
            # An operator or a version of it without an implementation, which the message names.
            raise Unsupported(_in_words(str(error))) from error
        self._evaluator.weights, self._evaluator.wide = self._weights, self.widened

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        names = [info.name for info in self.outputs]
        with watch:
            found = self._computed(names, feeds)
        plain = (plain_value(info, value, self.widened) for info, value in zip(self.outputs, found, strict=True))
        return {name: np.asarray(array) for name, array in zip(names, plain, strict=True)}

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        names = [info.name for info in self.outputs]
        return functools.partial(self._evaluator.run, names, feeds)

    def parameters(self) -> dict[str, Array]:
        """The file's parameters in the evaluator; those widened for an oracle are narrowed again, which is exact."""
        held = {
            names[name]: np.asarray(array).astype(self._dtypes[names[name]], copy=False)
            for evaluator, (_, names) in zip(_evaluators(self._evaluator), scopes(self._held), strict=True)
            for name, array in _held_by(evaluator)
            if names.get(name) in self._dtypes
        }
        return held | {name: np.asarray(onnx.numpy_helper.to_array(tensor)) for name, tensor in self._weights.items()}

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """See LoadedModel."""
        known = {*self._tensor_names, *self._dtypes, *(info.name for info in self.inputs)}
        for name in names:
            if name not in known:
                raise BadInput(f"the graph has no tensor '{name}'")
        found = self._computed(names, feeds)
        known_outputs = {info.name: info for info in self.outputs}
        return {
            name: np.asarray(plain_value(known_outputs[name], value, self.widened) if name in known_outputs else value)
            for name, value in zip(names, found, strict=True)
        }

    def _computed(self, names: list[str], feeds: dict[str, Array]) -> list[Any]:
        """Run the evaluator; whatever an operator raises is told with the node at which it did."""
        try:
            found: list[Any] = self._evaluator.run(names, feeds)
        except (Refusal, MemoryError):
            raise
        except Exception as error:
            raise Failed(_broken(error)) from error
        return found


def _broken(error: Exception) -> str:
    """The node at which an evaluator broke, and the first line of what was raised there."""
    broken = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        broken = getattr(frame.f_locals.get("node"), "onnx_node", broken)
    first = next((line for line in str(error).splitlines() if line.strip()), "no reason is given")
    where = "the graph" if broken is None else f"operator {broken.op_type} (node '{broken.name}')"
    return f"{where} cannot be computed by python/onnx-reference: {first}"


def _evaluators(evaluator: Evaluator) -> Iterator[Evaluator]:
    """An evaluator and those of the graphs inside of its nodes, in the order of the file."""
    yield evaluator
    for node in evaluator.rt_nodes_:
        for attribute in by_name(node.onnx_node):
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _evaluators(getattr(node, attribute.name))


def _held_by(evaluator: Evaluator) -> Iterator[tuple[str, Any]]:
    """Initializers of one graph, and what its Constant nodes state."""
    yield from evaluator.rt_inits_.items()
    for node in evaluator.rt_nodes_:
        if node.onnx_node.op_type == "Constant":
            yield node.onnx_node.output[0], node.cst


def run_model(model: ModelProto, precision: Precision, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Every output of a model by name, for feeds in the dtypes of that precision. Raises Unsupported by name."""
    held = widen(model) if precision == "float64" else _inlined(model)
    _check(held, precision)
    names = [info.name for info in held.graph.output]
    found = Evaluator(held, new_ops=OPERATORS).run(names, dict(feeds))
    # NumPy scalars become tensors without axes; sequences and empty optionals are unchanged.
    values = (np.asarray(value) if isinstance(value, np.generic) else value for value in found)
    return dict(zip(names, values, strict=True))


def _inlined(model: ModelProto) -> ModelProto:
    """Without local functions: ReferenceEvaluator does not pass its own operators down into them."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _check(model: ModelProto, precision: Precision) -> None:
    """Raises Unsupported for what would be computed wrongly."""
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 0)
    for node in nodes(model):
        if node.domain not in ("", "ai.onnx"):
            continue
        if precision == "float64" and node.op_type in _SINGLE_ONLY:
            raise Unsupported(
                f"operator {node.op_type} (opset {version}, node '{node.name}') is not supported by "
                f"python/onnx-reference in float64: it computes in float32"
            )


class OnnxReference(Engine):
    """onnx.reference behind the worker contract."""

    runtime: ClassVar[str] = "python/onnx-reference"

    def __init__(self) -> None:
        self._cutter = Cutter(lambda path: read_model(path, self.runtime), run_model)
        self._node_models = NodeModels(lambda path: read_model(path, self.runtime))

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"onnx": onnx.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine: NumPy's pools are pinned by the environment."""
        return environment_threads()

    def load(self, path: Path, precision: Precision) -> ReferenceModel:
        """See Engine."""
        return ReferenceModel(read_model(path, self.runtime), precision)

    def structure(self, path: Path) -> dict[str, Any]:
        """See Engine."""
        model, moved = read_sorted(path, self.runtime)
        return structure(model, path, moved)

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``cut``: a graph node by node, for runtimes to be asked for single nodes; ``replace``: with inner tensors as inputs;
        ``nodes`` and ``node``: single nodes without computing them; ``faults``: what onnx.reference's operators would do wrong."""
        return {
            "cut": self._cutter.cut,
            "replace": replacer(lambda path: read_model(path, self.runtime)),
            "nodes": self._node_models.nodes,
            "node": self._node_models.node,
            "faults": self._faults,
        }

    def _faults(self, path: str) -> dict[str, Any]:
        return {"faults": faults_met(read_model(existing_file(path), self.runtime))}


ENGINE = OnnxReference
