"""A graph in brief: its nodes in the order of the flow of data, one line each, and what repeats told once.

Nodes that depend on stored tensors alone (constants, weights that are transposed) are left out: they belong to the nodes
that read them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.compare.graph import Graph, Node
from harness.report.formatting import counted
from harness.report.operator_kinds import Kind, attributes_in_words, kind_of
from harness.report.repeats import Repeat, repeats
from harness.report.result_files.structures import Shape, Structure, TensorPart

#: Stored tensors of fewer elements are switches, axes and shapes, and not weights.
_WEIGHT_ELEMENTS = 17


@dataclass(frozen=True)
class Line:
    """One node, or an input or output of the graph.

    ``attributes`` in words; ``weight`` is the first stored tensor that it reads, by the name in the file. ``folded``: the
    batch normalisations that were folded into that weight. ``readers``: how many nodes read the same weight, equal copies
    of it included. ``shape`` is that of its first output.
    """

    operator: str
    kind: Kind
    attributes: str = ""
    weight: str = ""
    weight_shape: Shape = None
    folded: tuple[str, ...] = ()
    readers: int = 1
    shape: Shape = None
    reads: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    #: Operators with their counts, where one line stands for several nodes.
    nodes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Block:
    """Lines that belong together: a block that comes ``times`` over (told by its first), or the body of a loop."""

    items: tuple[Line | Block, ...]
    times: int = 1
    kind: Literal["repeat", "body"] = "repeat"


Item = Line | Block


@dataclass(frozen=True)
class Outline:
    """A graph in brief. ``nodes``: all of them; ``stored``: those that depend on stored tensors alone, and have no line.

    ``short``: whether something is told once for several, or left out, so that lines are not connected as nodes are.
    """

    items: tuple[Item, ...]
    nodes: int
    stored: int
    short: bool = False

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, those inside of blocks included."""
        return tuple(_lines(self.items))


def outline(structure: Structure, folds: Mapping[str, Sequence[str]], *, limit: int) -> Outline:
    """A graph in at most ``limit`` lines, as far as its repetitions allow, and cut in its middle beyond that.

    ``folds``: names of batch normalisations by the stored tensor that they were folded into.
    """
    whole = _all_lines(structure, folds)
    if len(whole.lines) <= limit:
        return whole
    items = _collapsed(whole.items)
    while _length(items) > limit and (longest := _longest(items)) is not None:
        items = _replaced(items, longest, _shortened(longest))
    if _length(items) > limit:
        items = _cut(items, limit)
    return replace(whole, items=items, short=True)


@dataclass
class _Scope:
    """What nodes of a graph may read: stored tensors by name, also of the graphs around it."""

    stored: dict[str, TensorPart]
    origin: dict[str, str] = field(default_factory=dict)

    def is_stored(self, name: str) -> bool:
        return name in self.origin

    def tensor(self, name: str) -> TensorPart | None:
        """The stored tensor that a name comes from, where it has a shape."""
        return self.stored.get(self.origin.get(name, ""))


def _all_lines(structure: Structure, folds: Mapping[str, Sequence[str]]) -> Outline:
    items, stored = _graph(structure, folds, None)
    given = [
        tensor for tensor in structure.inputs if tensor.name not in {stored.name for stored in structure.initializers}
    ]
    ends = tuple(
        Line("output", "end", tensor.name, shape=tensor.shape, reads=(tensor.name,)) for tensor in structure.outputs
    )
    starts = tuple(Line("input", "end", tensor.name, shape=tensor.shape, gives=(tensor.name,)) for tensor in given)
    return Outline((*starts, *items, *ends), len(structure.nodes), stored)


def _graph(structure: Structure, folds: Mapping[str, Sequence[str]], around: _Scope | None) -> tuple[list[Item], int]:
    """The items of a graph's nodes, and how many nodes have none; ``around``: the scope of the graph it is part of."""
    graph = Graph(structure.model_dump(), {})
    scope = _Scope(dict(around.stored) if around else {}, dict(around.origin) if around else {})
    for tensor in structure.initializers:
        scope.stored[tensor.name] = tensor
        scope.origin[tensor.name] = tensor.name
    flowing, stored = [], 0
    for node in graph.nodes:
        if _has_body(node) or not all(scope.is_stored(name) for name in node.inputs if name):
            flowing.append(node)
            continue
        stored += 1
        first = next((name for name in node.inputs if name), "")
        for name in node.outputs:
            scope.origin[name] = scope.origin.get(first, "")
    readers = _readers(flowing, scope)
    shapes = {**structure.shapes, **{tensor.name: tensor.shape for tensor in structure.outputs}}
    items: list[Item] = []
    for node in flowing:
        items.append(_line(node, scope, folds, readers, shapes))
        for body in _bodies(node):
            inner, _ = _graph(body, folds, scope)
            if inner:
                items.append(Block(tuple(inner), kind="body"))
    return items, stored


def _bodies(node: Node) -> Iterator[Structure]:
    for value in node.attributes.values():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, Mapping) and isinstance(entry.get("graph"), Mapping):
                yield Structure.model_validate(entry["graph"])


def _has_body(node: Node) -> bool:
    return next(_bodies(node), None) is not None


def _weight(node: Node, scope: _Scope) -> TensorPart | None:
    """The first stored tensor of some size that a node reads."""
    for name in node.inputs:
        tensor = scope.tensor(name)
        if tensor is not None and _elements(tensor.shape) >= _WEIGHT_ELEMENTS:
            return tensor
    return None


def _elements(shape: Shape) -> int:
    return math.prod(size for size in shape or () if isinstance(size, int))


def _readers(nodes: Sequence[Node], scope: _Scope) -> Counter[str]:
    """How many nodes read each weight, by its bytes where they are known: copies count as one."""
    return Counter(_identity(tensor) for node in nodes if (tensor := _weight(node, scope)) is not None)


def _identity(tensor: TensorPart) -> str:
    """Equal vectors (ones, zeros) are no sharing: only tensors of two axes and more go by their bytes."""
    return tensor.sha256 if tensor.sha256 and len(tensor.shape or ()) > 1 else f"name {tensor.name}"


def _line(
    node: Node, scope: _Scope, folds: Mapping[str, Sequence[str]], readers: Counter[str], shapes: Mapping[str, Shape]
) -> Line:
    weight = _weight(node, scope)
    outputs = [name for name in node.outputs if name]
    return Line(
        operator=node.operator if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.operator}",
        kind=kind_of(node, weight is not None),
        attributes=attributes_in_words(node),
        weight=weight.name if weight else "",
        weight_shape=weight.shape if weight else None,
        folded=tuple(folds.get(weight.name, ())) if weight else (),
        readers=readers[_identity(weight)] if weight else 1,
        shape=shapes.get(outputs[0]) if outputs else None,
        reads=tuple(name for name in node.inputs if name and not scope.is_stored(name)),
        gives=tuple(outputs),
    )


def _lines(items: Sequence[Item]) -> Iterator[Line]:
    for item in items:
        if isinstance(item, Line):
            yield item
        else:
            yield from _lines(item.items)


def _length(items: Sequence[Item]) -> int:
    return sum(1 for _ in _lines(items))


def _collapsed(items: Sequence[Item]) -> tuple[Item, ...]:
    """Items with every block that comes several times over told once, inside of bodies too."""
    inside = [
        replace(item, items=_collapsed(item.items)) if isinstance(item, Block) and item.kind == "body" else item
        for item in items
    ]
    return tuple(_told_once(inside, found) for found in repeats([_token(item) for item in inside]))


def _told_once(items: Sequence[Item], found: Repeat) -> Item:
    if found.times == 1 and not found.parts:
        return items[found.start]
    inner = tuple(_told_once(items, part) for part in found.parts)
    copies = [
        items[found.start + found.period * place : found.start + found.period * (place + 1)]
        for place in range(found.times)
    ]
    return Block(_with_all_names(inner, copies), found.times)


def _with_all_names(inner: tuple[Item, ...], copies: Sequence[Sequence[Item]]) -> tuple[Item, ...]:
    """The lines of the first copy; a weight that is another in other copies gets dots behind its name, or none there."""
    names: dict[str, set[str]] = defaultdict(set)
    for place, first in enumerate(copies[0]):
        if isinstance(first, Line) and first.weight:
            names[first.weight] |= {item.weight for copy in copies if isinstance(item := copy[place], Line)}

    def told(item: Item) -> Item:
        if isinstance(item, Block):
            return replace(item, items=tuple(told(part) for part in item.items))
        others = names.get(item.weight, set())
        if "" in others:
            return replace(item, weight="", weight_shape=None, readers=1)
        return replace(item, weight=f"{item.weight}, …") if len(others) > 1 else item

    return tuple(told(item) for item in inner)


def _token(item: Item) -> tuple[object, ...]:
    """What two items have in common that do the same: neither names nor the tensors they are connected by."""
    if isinstance(item, Block):
        return (item.kind, item.times, *(_token(part) for part in item.items))
    # A sum with a stored tensor is still a sum: the first step of a recurrence adds to stored zeros.
    weight = item.weight_shape if item.kind in ("weights", "normalisation") else None
    return (item.operator, item.attributes, weight, item.kind)


def _longest(items: Sequence[Item]) -> Block | None:
    """The block of most lines among those that can be shortened; inner ones before those around them."""
    found: Block | None = None
    for item in items:
        if not isinstance(item, Block):
            continue
        for candidate in (_longest(item.items), item):
            if candidate is None or len(_shortened(candidate).items) >= _length(candidate.items):
                continue
            if found is None or _length(candidate.items) > _length(found.items):
                found = candidate
            break
    return found


def _replaced(items: Sequence[Item], old: Block, new: Block) -> tuple[Item, ...]:
    return tuple(
        new
        if item is old
        else replace(item, items=_replaced(item.items, old, new))
        if isinstance(item, Block)
        else item
        for item in items
    )


#: Lines with weights that a shortened block keeps.
_KEPT = 2


def _shortened(block: Block) -> Block:
    """A block in a few lines: the first of those with weights, and one for all other nodes."""
    kept = [line for line in _lines(block.items) if line.kind == "weights"][:_KEPT]
    rest = _summary([item for item in block.items if not any(item is line for line in kept)], kept)
    return replace(block, items=(*kept, rest))


def _summary(items: Sequence[Item], apart: Sequence[Line] = ()) -> Line:
    """One line for all nodes of some items but those ``apart``: their operators with their counts."""
    counts: Counter[str] = Counter()

    def count(inner: Sequence[Item], times: int) -> None:
        for item in inner:
            if isinstance(item, Block):
                count(item.items, times * item.times)
            elif item.nodes:
                for operator, number in item.nodes:
                    counts[operator] += times * number
            elif item.kind != "end" and not any(item is line for line in apart):
                counts[item.operator] += times

    count(items, 1)
    ordered = tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    words = ", ".join(f"{name} {number}" for name, number in ordered)
    shape = list(_lines(items))[-1].shape if items else None
    return Line(counted(counts.total(), "other node" if apart else "node"), "other", words, shape=shape, nodes=ordered)


def _cut(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """The beginning and the end of too many lines, and how many nodes lie between them."""
    head: list[Item] = []
    tail: list[Item] = []
    for kept, source in ((head, list(items)), (tail, list(reversed(items)))):
        for item in source:
            if _length([*kept, item]) > (limit - 1) // 2:
                break
            kept.append(item)
    between = items[len(head) : len(items) - len(tail)]
    return (*head, replace(_summary(between), kind="left out"), *reversed(tail))
