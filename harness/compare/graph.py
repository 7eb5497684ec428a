"""A graph (the ``structure`` answer of the worker contract) that can be walked, with the values of its constants."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError

Array = NDArray[Any]

#: Operators that hand their first input on, at most in another layout or dtype.
LAYOUT_OPERATORS = frozenset({"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})

#: Operators by which constants are computed from constants.
_ARITHMETIC: dict[str, Callable[..., Array]] = {
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide},
    **{"Neg": np.negative, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal},
}

#: Most operations one behind the other by which a constant is computed; a batch normalisation takes ten.
_LARGEST_CONSTANT_EXPRESSION = 16


@dataclass(frozen=True)
class Node:
    """One operation: names of its inputs ("" where one is left out) and outputs, and its attributes by name."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    def input(self, index: int) -> str:
        """Name of an input; "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    @property
    def label(self) -> str:
        """The node's name, or its operator where it has none."""
        return self.name or self.operator


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the graph's inputs: its value and the name it is stored under in the file.

    ``computed_from``: names of the stored tensors where the graph computes it from them whenever it runs.
    """

    name: str
    value: Array
    computed_from: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stored tensors that it is made of."""
        return self.computed_from or (self.name,)


class Graph:
    """Nodes in the order of the flow of data, and the values of initializers where the target reports them.

    ``structure`` as in the worker contract; ``values`` by the file's own names. Raises ModelError where the structure
    lacks a part or its nodes form a circle.
    """

    def __init__(self, structure: Mapping[str, Any], values: Mapping[str, Array]) -> None:
        try:
            raw = [
                Node(
                    name=str(node.get("name") or ""),
                    operator=str(node["operator"]),
                    inputs=tuple(node["inputs"]),
                    outputs=tuple(node["outputs"]),
                    attributes=node.get("attributes") or {},
                    domain=str(node.get("domain") or ""),
                )
                for node in structure["nodes"]
            ]
            initializers = {str(entry["name"]) for entry in structure["initializers"]}
            self.inputs = tuple(
                str(entry["name"]) for entry in structure["inputs"] if entry["name"] not in initializers
            )
            self.outputs = tuple(str(entry["name"]) for entry in structure["outputs"])
        except (KeyError, TypeError) as error:
            raise ModelError(f"a graph structure lacks {error}", hint="see docs/worker-contract.md") from error
        self.values = dict(values)
        self.producer = {name: node for node in raw for name in node.outputs if name}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for node in raw:
            for name in node.inputs:
                if name and node not in self.consumers[name]:
                    self.consumers[name].append(node)
        self.nodes = tuple(_in_order_of_flow(raw, self.producer))
        self._computed: dict[str, Constant | None] = {}
        self._flowing = set(self.inputs)
        for node in self.nodes:
            if any(name in self._flowing for name in node.inputs):
                self._flowing.update(name for name in node.outputs if name)

    def flows(self, name: str) -> bool:
        """Whether a tensor depends on the graph's inputs."""
        return name in self._flowing

    def constant(self, name: str) -> Constant | None:
        """The value of a tensor that does not flow, followed through Identity, Transpose, Reshape, Split and their like.

        None where it flows, where it is left out, or where the target does not report the value it comes from.
        """
        if not name or self.flows(name):
            return None
        if name in self.values:
            return Constant(name, self.values[name])
        node = self.producer.get(name)
        if node is None or node.operator not in (*LAYOUT_OPERATORS, "Split"):
            return None
        origin = self.constant(node.input(0))
        if origin is None:
            return None
        try:
            if node.operator == "Split":
                return Constant(origin.name, self._part(node, origin.value, node.outputs.index(name)))
            return Constant(origin.name, self._laid_out(node, origin.value))
        except ValueError:
            return None

    def computed(self, name: str, operations: int = 0) -> Constant | None:
        """As :meth:`constant`, and of what the graph computes from constants: that in float64.

        Exporters that fold no constants write batch normalisation so, from the four tensors of the layer. ``operations`` stand
        behind it.
        """
        found = self.constant(name)
        if found is not None or not name or self.flows(name) or operations > _LARGEST_CONSTANT_EXPRESSION:
            return found
        if name not in self._computed:
            self._computed[name] = self._from_constants(name, operations)
        return self._computed[name]

    def _from_constants(self, name: str, operations: int) -> Constant | None:
        node = self.producer.get(name)
        if node is None or node.operator not in (*LAYOUT_OPERATORS, *_ARITHMETIC):
            return None
        taken = node.inputs[:1] if node.operator in LAYOUT_OPERATORS else node.inputs
        parts = [
            part for other in taken if (part := self.computed(other, operations + 1)) and part.value.dtype.kind == "f"
        ]
        if len(parts) != len(taken):
            return None
        values = [part.value.astype(np.float64) for part in parts]
        try:
            with np.errstate(all="ignore"):
                value = (
                    _ARITHMETIC[node.operator](*values)
                    if node.operator in _ARITHMETIC
                    else self._laid_out(node, *values)
                )
        except (ValueError, TypeError):
            return None
        names = tuple(dict.fromkeys(stored for part in parts for stored in part.names))
        return Constant(", ".join(names), value, names)

    def stored_name(self, name: str) -> str:
        """The name under which a constant is stored: that at the root of its Identity, Transpose, ... chain."""
        while name not in self.values and name in self.producer:
            node = self.producer[name]
            if node.operator not in (*LAYOUT_OPERATORS, "Split") or not node.input(0):
                break
            name = node.input(0)
        return name

    def _part(self, node: Node, value: Array, index: int) -> Array:
        """One of the parts that Split makes. Raises ValueError where their sizes are not known."""
        axis = int(node.attributes.get("axis", 0))
        sizes = node.attributes.get("split")
        if sizes is None and node.input(1):
            stated = self.constant(node.input(1))
            if stated is None:
                raise ValueError("the sizes of a split are not known")
            sizes = [int(size) for size in stated.value.ravel()]
        # Parts of like size, the last of which may be smaller.
        size = -(-value.shape[axis] // len(node.outputs))
        ends = np.cumsum(sizes) if sizes is not None else size * np.arange(1, len(node.outputs) + 1)
        return np.split(value, [int(end) for end in ends[:-1]], axis=axis)[index]

    def _laid_out(self, node: Node, value: Array) -> Array:
        if node.operator == "Transpose":
            return value.transpose(node.attributes.get("perm") or None)
        if node.operator in ("Reshape", "Squeeze", "Unsqueeze"):
            wanted = self.constant(node.input(1))
            if node.operator == "Reshape":
                if wanted is None:
                    return value
                sizes = [int(size) for size in wanted.value.ravel()]
                if not node.attributes.get("allowzero"):
                    sizes = [value.shape[i] if size == 0 and i < value.ndim else size for i, size in enumerate(sizes)]
                return value.reshape(sizes)
            axes = node.attributes.get("axes")
            if axes is None and wanted is not None:
                axes = [int(axis) for axis in wanted.value.ravel()]
            if node.operator == "Squeeze":
                return value.squeeze() if axes is None else value.squeeze(tuple(axes))
            return value if axes is None else np.expand_dims(value, tuple(axes))
        if node.operator == "Flatten":
            axis = int(node.attributes.get("axis", 1))
            return value.reshape(math.prod(value.shape[:axis]), -1)
        return value


def _in_order_of_flow(nodes: list[Node], producer: Mapping[str, Node]) -> Iterator[Node]:
    """Every node after those whose outputs it takes; otherwise in the order of the file."""
    place = {id(node): index for index, node in enumerate(nodes)}
    state = [0] * len(nodes)
    for root in range(len(nodes)):
        stack = [root]
        while stack:
            index = stack[-1]
            if state[index] == 0:
                state[index] = 1
                for name in reversed(nodes[index].inputs):
                    if name in producer:
                        before = place[id(producer[name])]
                        if state[before] == 1 and before != index:
                            raise ModelError(f"the graph runs in a circle through node '{nodes[index].label}'")
                        if state[before] == 0:
                            stack.append(before)
            else:
                stack.pop()
                if state[index] == 1:
                    state[index] = 2
                    yield nodes[index]
