"""Nodes behind those that make what they read, as ONNX asks for: some exporters and many scripts write them in another order."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto


def sort_nodes(model: ModelProto) -> list[str]:
    """Bring the nodes of every graph into an order in which they can be run; returns the names of those that stood too early.

    The order of the file is kept where it is one, and where nodes read each other in a circle, which is for the checker to say.
    """
    moved: list[str] = []
    _sort(model.graph, moved)
    return moved


def _sort(graph: GraphProto, moved: list[str]) -> None:
    for node in graph.node:
        for inner in _inside(node):
            _sort(inner, moved)
    made = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needs = [sorted({made[name] for name in _read(node) if name in made}) for node in graph.node]
    early = [place for place, before in enumerate(needs) if before and before[-1] >= place]
    if not early or (order := _order(needs)) is None:
        return
    moved += [graph.node[place].name or graph.node[place].op_type for place in early]
    nodes = [NodeProto.FromString(graph.node[place].SerializeToString()) for place in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _inside(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _read(node: NodeProto) -> Iterator[str]:
    """The names that a node reads, and those that graphs inside of it do, their own among them."""
    yield from node.input
    for graph in _inside(node):
        yield from (info.name for info in graph.output)
        for inner in graph.node:
            yield from _read(inner)


def _order(needs: list[list[int]]) -> list[int] | None:
    """Places in an order in which each comes after what it needs, as near to their own as that allows; None: a circle."""
    order: list[int] = []
    state = [0] * len(needs)
    for start in range(len(needs)):
        stack = [start]
        while stack:
            place = stack[-1]
            waiting = next((before for before in needs[place] if state[before] < 2), None)
            if state[place] < 2 and waiting is None:
                state[place] = 2
                order.append(place)
            if state[place] == 2:
                stack.pop()
                continue
            state[place] = 1
            if waiting is None or state[waiting] == 1:
                return None
            stack.append(waiting)
    return order
