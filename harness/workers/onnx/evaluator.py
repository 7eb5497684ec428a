"""onnx.reference's evaluator, with values dropped after their last use and large weights made as they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.reference import ReferenceEvaluator

from harness.workers.engine import Array
from harness.workers.onnx.file import large_weights, without_weights

#: Bytes of weights, as float32, from which on they are made anew for every use.
LARGE = 1 << 26


class Evaluator(ReferenceEvaluator):  # type: ignore[misc]
    """Gives what ReferenceEvaluator gives.

    ``weights``: tensors by name that are no initializers of its graph, but taken from the file whenever a node reads them, and
    widened to double where ``wide``.
    """

    weights: Mapping[str, TensorProto] = {}
    wide = False

    def run(
        self,
        output_names: Any,
        feed_inputs: dict[str, Any],
        attributes: Any = None,
        intermediate: bool = False,
        **more: Any,
    ) -> Any:
        """See ReferenceEvaluator; values that no node to come reads are dropped."""
        if intermediate or any(value is not None for value in more.values()):
            return super().run(output_names, feed_inputs, attributes, intermediate, **more)
        wanted = list(self.output_names if output_names is None else output_names)
        values: dict[str, Any] = {"": None, **self.rt_inits_, **feed_inputs}
        for node, last in zip(self.rt_nodes_, self._last_uses, strict=True):
            inputs = [values[name] if name in values else self._weight(name) for name in node.input]
            linked = {"linked_attributes": attributes} if node.has_linked_attribute and attributes else {}
            context = {"context": values} if node.need_context() else {}
            outputs = node.run(*inputs, **context, **linked)
            values.update(zip(node.output, outputs, strict=False))
            del inputs, outputs
            for name in last:
                if name not in wanted:
                    values.pop(name, None)
        return [values[name] if name in values else self._weight(name) for name in wanted]

    def _weight(self, name: str) -> Array:
        if name not in self.weights:
            raise RuntimeError(f"the graph has no tensor '{name}'")
        array = np.asarray(onnx.numpy_helper.to_array(self.weights[name]))
        return array.astype(np.float64) if self.wide else array

    @cached_property
    def _last_uses(self) -> list[list[str]]:
        """By node the names that it is the last to read or make; a graph's initializers stay for the next run."""
        last: dict[str, int] = {}
        for place, node in enumerate(self.rt_nodes_):
            last |= dict.fromkeys([*reads(node.onnx_node), *(name for name in node.output if name)], place)
        found: list[list[str]] = [[] for _ in self.rt_nodes_]
        for name, place in last.items():
            found[place].append(name)
        return found


def apart(model: ModelProto) -> tuple[ModelProto, dict[str, TensorProto]]:
    """A model without its large weights, and these by name; the model itself and none where they are few.

    What a graph inside of a node reads stays, and so does what a caller may give.
    """
    weights = large_weights(model)
    if sum(4 * int(np.prod(tensor.dims)) for tensor in weights.values()) < LARGE:
        return model, {}
    inner = {name for node in model.graph.node for graph in subgraphs(node) for name in _read_in(graph)}
    given = {info.name for info in (*model.graph.input, *model.graph.output)}
    kept = {name: tensor for name, tensor in weights.items() if name not in inner | given}
    return without_weights(model, kept), kept


def reads(node: NodeProto) -> list[str]:
    """Names that a node reads, each once: its inputs and what its subgraphs take from around them."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += _read_in(graph)
    return list(dict.fromkeys(names))


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside of a node."""
    for entry in node.attribute:
        if entry.type == AttributeProto.GRAPH or entry.HasField("g"):
            yield entry.g
        yield from entry.graphs


def _read_in(graph: GraphProto) -> list[str]:
    """What a graph inside of a node takes from around it."""
    inside = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names: list[str] = []
    for inner in graph.node:
        names += [name for name in reads(inner) if name not in inside]
        inside.update(inner.output)
    return names + [value.name for value in graph.output if value.name not in inside]
