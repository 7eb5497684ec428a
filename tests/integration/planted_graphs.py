"""Faults planted in exported graphs: what exporters, hand-written conversions and well-meant edits were seen to do.

Each takes a model file apart and puts it together again with one thing changed; shapes and names of inputs and outputs stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Edit = Callable[[ModelProto], None]


@dataclass(frozen=True)
class Planted:
    """A fault by name: ``edit`` plants it; ``place`` and ``cause`` must both be in the sentence that names it."""

    name: str
    edit: Edit
    place: str
    cause: str


def nodes_of(model: ModelProto, operator: str) -> list[NodeProto]:
    """The nodes of an operator in the order of the file."""
    return [node for node in model.graph.node if node.op_type == operator]


def with_attribute(node: NodeProto, name: str, value: object) -> None:
    """Set an attribute in place of the one that is there."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def setting(operator: str, place: int, **values: object) -> Edit:
    """Attributes of the node at a place among those of its operator."""

    def edit(model: ModelProto) -> None:
        for name, value in values.items():
            with_attribute(nodes_of(model, operator)[place], name, value)

    return edit


def each(operator: str, places: Iterable[int], **values: object) -> Edit:
    """The same attributes of several nodes of an operator."""

    def edit(model: ModelProto) -> None:
        for place in places:
            setting(operator, place, **values)(model)

    return edit


def dropped(operator: str, place: int) -> Edit:
    """A node taken out: what read its output reads its first input."""

    def edit(model: ModelProto) -> None:
        node = nodes_of(model, operator)[place]
        _renamed(model, node.output[0], node.input[0], skip=node)
        model.graph.node.remove(node)

    return edit


def exchanged(operator: str, place: int, other: str, **attributes: object) -> Edit:
    """Another operator in the place of a node, on its first input."""

    def edit(model: ModelProto) -> None:
        node = nodes_of(model, operator)[place]
        new = helper.make_node(other, node.input[:1], list(node.output), name=f"{other}_{place}", **attributes)
        _put(model, node, [new])
        model.graph.node.remove(node)

    return edit


def inserted(after: str, place: int, *made: tuple[str, dict[str, object], list[np.ndarray]]) -> Edit:
    """Nodes between a node and all that reads it: (operator, attributes, further inputs) of each."""

    def edit(model: ModelProto) -> None:
        node = nodes_of(model, after)[place]
        own = node.output[0]
        inner = f"{own}.before"
        node.output[0] = inner
        _put(model, node, _chain(model, inner, own, made), behind=True)

    return edit


def at_input(*made: tuple[str, dict[str, object], list[np.ndarray]]) -> Edit:
    """Nodes between the first input and all that reads it."""

    def edit(model: ModelProto) -> None:
        name = model.graph.input[0].name
        new = f"{name}.changed"
        _renamed(model, name, new)
        for index, node in enumerate(_chain(model, name, new, made)):
            model.graph.node.insert(index, node)

    return edit


def at_output(*made: tuple[str, dict[str, object], list[np.ndarray]]) -> Edit:
    """Nodes behind the node that gives the first output."""

    def edit(model: ModelProto) -> None:
        name = model.graph.output[0].name
        (node,) = [node for node in model.graph.node if name in node.output]
        inner = f"{name}.before"
        node.output[list(node.output).index(name)] = inner
        _put(model, node, _chain(model, inner, name, made), behind=True)

    return edit


def _chain(
    model: ModelProto, first: str, last: str, made: tuple[tuple[str, dict[str, object], list[np.ndarray]], ...]
) -> list[NodeProto]:
    nodes, name = [], first
    for index, (operator, attributes, further) in enumerate(made):
        names = []
        for place, array in enumerate(further):
            names.append(f"{last}.{operator}{index}.{place}")
            model.graph.initializer.append(numpy_helper.from_array(array, names[-1]))
        output = last if index == len(made) - 1 else f"{last}.{index}"
        nodes.append(
            helper.make_node(operator, [name, *names], [output], name=f"added_{operator}_{index}", **attributes)
        )
        name = output
    return nodes


def _put(model: ModelProto, node: NodeProto, new: list[NodeProto], *, behind: bool = False) -> None:
    place = list(model.graph.node).index(node) + behind
    for index, one in enumerate(new):
        model.graph.node.insert(place + index, one)


def _renamed(model: ModelProto, old: str, new: str, skip: NodeProto | None = None) -> None:
    for node in model.graph.node:
        if node is skip:
            continue
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
    if any(info.name == old for info in model.graph.output):
        # The output keeps its name.
        for node in model.graph.node:
            for index, name in enumerate(node.output):
                if name == new and node is not skip:
                    node.output[index] = old
            for index, name in enumerate(node.input):
                if name == new:
                    node.input[index] = old


def plant(model: ModelProto, fault: Planted) -> ModelProto:
    """A copy of a model with a fault in it, valid as ONNX."""
    changed = ModelProto()
    changed.CopyFrom(model)
    fault.edit(changed)
    del changed.graph.value_info[:]
    onnx.checker.check_model(changed)
    return changed


HALF_AND_BACK = (("Cast", {"to": TensorProto.FLOAT16}, []), ("Cast", {"to": TensorProto.FLOAT}, []))
SCALE = ("Mul", {}, [np.float32(1.1)])


def swapped(size: int, axis: int, first: int, second: int) -> tuple[str, dict[str, object], list[np.ndarray]]:
    """Two places along an axis exchanged."""
    places = np.arange(size)
    places[[first, second]] = places[[second, first]]
    return "Gather", {"axis": axis}, [places]


def backwards(axis: int) -> tuple[str, dict[str, object], list[np.ndarray]]:
    """An axis from its end to its beginning."""
    return "Slice", {}, [np.array([-1]), np.array([np.iinfo(np.int64).min]), np.array([axis]), np.array([-1])]
