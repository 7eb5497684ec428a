"""One case on its way to another opset: its model, its arrays, and the small changes an adapter makes to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from harness.workers.onnx.published_cases import CannotTravelError

Array = NDArray[Any]


class NoVariant(CannotTravelError):
    """A case that has no legal variant in the wanted opset; the text is the reason."""


@dataclass
class Draft:
    """One case on its way to another opset; the adapters change it in place.

    Attributes:
        model: the model, a copy of the case's own.
        opset: the opset that is wanted.
        written_at: the opset of the published case.
        inputs: graph input name to array, in graph order.
        outputs: graph output name to expected array, in graph order.
        shapes: tensor name to shape, as far as shape inference and the case's arrays tell.
        notes: what was changed, in words.
    """

    model: onnx.ModelProto
    opset: int
    written_at: int
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    notes: list[str] = field(default_factory=list)

    @property
    def graph(self) -> onnx.GraphProto:
        """The graph of the model."""
        return self.model.graph

    def value(self, name: str) -> Array | None:
        """The value of a tensor that is known before the graph runs: a test input or a Constant; else None."""
        if name in self.inputs:
            return self.inputs[name]
        for node in self.graph.node:
            if name in node.output and node.op_type == "Constant":
                return constant_value(node)
        return None

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            NoVariant: the shape is known only when the graph runs.
        """
        if name not in self.shapes:
            raise NoVariant("the shape that the rewriting needs is known only when the graph runs")
        return self.shapes[name]

    def rank(self, name: str) -> int:
        """The number of axes of a tensor.

        Raises:
            NoVariant: the shape is known only when the graph runs.
        """
        return len(self.shape(name))

    def drop_unused(self, name: str) -> None:
        """Remove a graph input or Constant that no node reads any more."""
        if any(name in node.input for node in self.graph.node):
            return
        for kept in [i for i in self.graph.input if i.name == name]:
            self.graph.input.remove(kept)
            self.inputs.pop(name, None)
        for node in [n for n in self.graph.node if n.op_type == "Constant" and name in n.output]:
            self.graph.node.remove(node)

    def add_input(self, name: str, value: Array) -> None:
        """Add a graph input and its value."""
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        self.graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
        self.inputs[name] = value
        self.shapes[name] = tuple(value.shape)


def constant_value(node: onnx.NodeProto) -> Array | None:
    """The value of a Constant node, or None if it is not a dense tensor."""
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return np.asarray(numpy_helper.to_array(value))
        if attribute.name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
    return None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name to plain value."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def set_attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    """Set or replace one attribute; a list may be empty only if the attribute is a list of integers."""
    remove_attribute(node, name)
    kind = onnx.AttributeProto.INTS if isinstance(value, list) and not value else None
    node.attribute.append(helper.make_attribute(name, value, attr_type=kind))


def remove_attribute(node: onnx.NodeProto, name: str) -> None:
    """Remove one attribute if it is there."""
    for kept in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(kept)


def argument(node: onnx.NodeProto, index: int) -> str:
    """The name of an input, or the empty string where it is left out."""
    return str(node.input[index]) if index < len(node.input) else ""


def trim_inputs(node: onnx.NodeProto, keep: int) -> None:
    """Keep the first inputs only, and no trailing empty ones."""
    names = list(node.input)[:keep]
    while names and not names[-1]:
        names.pop()
    del node.input[:]
    node.input.extend(names)


def known(draft: Draft, name: str, what: str) -> Array:
    """The value of a tensor that has to become an attribute.

    Raises:
        NoVariant: the value is computed by the graph.
    """
    value = draft.value(name)
    if value is None:
        raise NoVariant(f"{what} is computed in the graph and was an attribute before")
    return value


def input_to_attribute(draft: Draft, node: onnx.NodeProto, index: int, name: str) -> Array | None:
    """Turn one known input into the attribute that carried it before; the input stays until it is trimmed."""
    source = argument(node, index)
    if not source:
        return None
    value = known(draft, source, name)
    plain = value.tolist() if value.ndim else value.item()
    set_attribute(node, name, plain)
    draft.notes.append(f"input {name} -> attribute")
    return value


def finish(draft: Draft, node: onnx.NodeProto, keep: int) -> None:
    """Trim the inputs of a node and remove what nothing reads any more."""
    gone = [name for name in list(node.input)[keep:] if name]
    trim_inputs(node, keep)
    for name in gone:
        draft.drop_unused(name)


def non_negative(draft: Draft, node: onnx.NodeProto, name: str, rank: int) -> None:
    """Count the axes of one attribute from the front, as opsets before 11 want them."""
    found = attributes(node).get(name)
    if found is None:
        return
    axes = found if isinstance(found, list) else [found]
    if all(axis >= 0 for axis in axes):
        return
    counted = [axis + rank if axis < 0 else axis for axis in axes]
    set_attribute(node, name, counted if isinstance(found, list) else counted[0])
    draft.notes.append("negative axis counted from the front")
