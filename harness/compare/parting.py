"""Where two graphs of one model part: the first nodes of both behind which no tensor is found in the other again.

Both were run in float64 on the same samples. Tensors are paired by their values (`harness.compare.alike`), so that the graphs
may be written by different exporters; nodes whose results come back later (a batch normalisation as a product and a sum, a GELU
taken apart) do not part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Literal

from numpy.typing import NDArray

from harness.compare.alike import Alike, Known
from harness.compare.graph import LAYOUT_OPERATORS, Graph, Node
from harness.compare.relation import reordered

Array = NDArray[Any]

#: Nodes behind the place where graphs part that are put side by side.
_WINDOW = 80
#: So many nodes in a row that are alike in both graphs end what differs.
_ANCHOR = 3
#: Operators with weights: their shapes tell one from another.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
#: What changes nothing but the layout, or nothing at all when a model is run.
_NEUTRAL = (LAYOUT_OPERATORS - {"Cast"}) | {"Dropout", "Concat", "Split", "Slice"}
#: What may put the places along an axis in another order.
_MOVING = frozenset({"Gather", "Slice", "ReverseSequence", "Concat", "GatherElements", "GatherND"})
_LOW_PRECISION = frozenset({"10", "16", "FLOAT16", "BFLOAT16"})

#: How the first difference looks: the same node with other settings or values; nodes that only the file has, or only the
#: reference; other nodes in the place of the reference's; the same nodes in another order.
Shape = Literal["same-node", "inserted", "missing", "exchanged", "other-order"]


@dataclass(frozen=True)
class Side:
    """A graph and its tensors of floating-point numbers by name, float64; inputs too."""

    graph: Graph
    values: Mapping[str, Array]


@dataclass(frozen=True)
class Parting:
    """The first difference: the nodes concerned on either side, in order.

    ``before``: the tensor of the file that the difference begins at, as the reference has it; None where none is known.
    ``links``: tensors of the file with those of the reference whose values they should have if the difference were not there;
    ``reader``: only for that node of the file, where the tensor itself is as it should be.
    """

    shape: Shape
    given: tuple[Node, ...]
    reference: tuple[Node, ...]
    before: tuple[str, Alike] | None
    links: tuple[tuple[str, str], ...] = ()
    reader: Node | None = None


def paired(given: Side, reference: Side, limit: float) -> dict[str, list[Alike]]:
    """For each tensor of the file those of the reference that it holds the values of, where there are any."""
    known = Known(reference.values)
    found = {name: known.find(given.values[name], limit) for name in given.values}
    return {name: alike for name, alike in found.items() if alike}


def first_parting(given: Side, reference: Side, pairs: Mapping[str, Sequence[Alike]], limit: float) -> Parting | None:
    """The first difference between two graphs; None where every output of both is found in the other."""
    there = {alike.name for some in pairs.values() for alike in some}
    moved = _moved(given, pairs, limit)
    left = _behind(given, set(pairs), moved)
    right = _behind(reference, there, set())
    if not left and not right:
        return None
    first = left[0] if left else None
    start = _start(right, pairs, first)
    lefts = [] if first is None else _from(given.graph, left, first)
    rights = [] if start is None else _from(reference.graph, right, start)
    # Exporters cut and join in their own ways; what only does that is not what differs, unless it moves values.
    if lefts and rights and is_neutral(rights[0]):
        rights = rights[1:]
    if len(lefts) > 1 and rights and is_neutral(lefts[0]) and not moved & set(lefts[0].outputs):
        lefts = lefts[1:]
    before = _before(lefts[0] if lefts else None, rights[0] if rights else None, pairs)
    shape, own, others = _first_difference(given.graph, reference.graph, lefts, rights)
    following = lefts[len(own)] if len(own) < len(lefts) else None
    return _with_resume(Parting(shape, tuple(own), tuple(others), before), given, following)


def _moved(side: Side, pairs: Mapping[str, Sequence[Alike]], limit: float) -> set[str]:
    """Tensors that are found nowhere and hold what one that is found holds, along one axis in another order."""
    found = set()
    for node in side.graph.nodes:
        for name in node.outputs:
            if node.operator not in _MOVING or name in pairs or name not in side.values:
                continue
            read = [before for before in node.inputs if before in pairs]
            if any(reordered(side.values[name], side.values[before], limit) is not None for before in read):
                found.add(name)
    return found


def _behind(side: Side, found: set[str], moved: set[str]) -> list[Node]:
    """Nodes of floating-point results that are not found and that do not lead to tensors that are alone, in order.

    A tensor is accounted for where it is found, or where everything that reads it is: then it is part of what the other graph
    writes in another way. One reader that is accounted for is not enough: a series is joined from its steps and cut again, and
    its first step may be right where the second is wrong. ``moved`` tensors never are: each of their parts may be found.
    """
    outputs, settled = set(side.graph.outputs), set[str]()
    for node in reversed(side.graph.nodes):
        for name in node.outputs:
            readers = side.graph.consumers.get(name, [])
            if name in found:
                settled.add(name)
            elif name in moved:
                continue
            elif readers and name not in outputs:
                # What only tells of shapes, or is no tensor, says nothing of values; nor do outputs that nothing reads.
                telling = [
                    one
                    for reader in readers
                    for one in reader.outputs
                    if one in side.values and (side.graph.consumers.get(one) or one in outputs or one in found)
                ]
                if telling and all(one in settled for one in telling):
                    settled.add(name)
    return [
        node
        for node in side.graph.nodes
        if any(name in side.values for name in node.outputs) and not any(name in settled for name in node.outputs)
    ]


def _before(first: Node | None, start: Node | None, pairs: Mapping[str, Sequence[Alike]]) -> tuple[str, Alike] | None:
    """A tensor that both sides read, where there is one: by the file's name, and as the reference has it."""
    wanted = set(start.inputs) if start is not None else set()
    read = [] if first is None else [(name, alike) for name in first.inputs for alike in pairs.get(name, ())]
    shared = [(name, alike) for name, alike in read if alike.name in wanted]
    if shared or read:
        return (shared or read)[-1 if not shared else 0]
    # The file ends there: the last of its tensors that the reference goes on from.
    all_read = [(name, alike) for name, some in pairs.items() for alike in some if alike.name in wanted]
    return all_read[-1] if all_read and first is None else None


def _start(nodes: Sequence[Node], pairs: Mapping[str, Sequence[Alike]], first: Node | None) -> Node | None:
    """The node of the reference that reads what the file's first node reads; else its first one."""
    read = {alike.name for name in (first.inputs if first else ()) for alike in pairs.get(name, ())}
    return next((node for node in nodes if read & set(node.inputs)), nodes[0] if nodes else None)


def _from(graph: Graph, nodes: Sequence[Node], first: Node) -> list[Node]:
    """Those of the nodes that the first one leads to, itself included; neutral ones only where they come first."""
    wanted, reached, kept = {id(node) for node in nodes}, set(first.outputs), [first]
    for node in graph.nodes:
        if node is first or not reached & set(node.inputs):
            continue
        reached.update(node.outputs)
        if id(node) in wanted and not is_neutral(node):
            kept.append(node)
    return kept[:_WINDOW]


def is_neutral(node: Node) -> bool:
    """Whether a node changes no value when a model is run, at most their layout."""
    if node.operator == "Cast":
        return str(node.attributes.get("to")) not in _LOW_PRECISION
    return node.operator in _NEUTRAL


def _key(graph: Graph, node: Node) -> tuple[Any, ...]:
    if node.operator not in _WEIGHTED:
        return (node.operator,)
    constant = graph.constant(node.input(1))
    return (node.operator, () if constant is None else tuple(sorted(constant.value.shape)))


def _first_difference(
    graph: Graph, reference: Graph, lefts: Sequence[Node], rights: Sequence[Node]
) -> tuple[Shape, Sequence[Node], Sequence[Node]]:
    """Both sequences side by side, up to where they agree again."""
    keys = [_key(graph, node) for node in lefts], [_key(reference, node) for node in rights]
    if keys[0] and keys[1] and keys[0][0] == keys[1][0]:
        return "same-node", lefts[:1], rights[:1]
    i, j = _agreeing_again(*keys)
    own, others = lefts[:i], rights[:j]
    if not others:
        return "inserted", own, others
    if not own:
        return "missing", own, others
    if len(own) > 1 and Counter(keys[0][:i]) == Counter(keys[1][:j]):
        return "other-order", own, others
    return "exchanged", own, others


def _agreeing_again(first: Sequence[Any], second: Sequence[Any]) -> tuple[int, int]:
    """How many of either sequence come before the first run of nodes that are alike."""
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    for block in blocks:
        to_the_end = block.a + block.size == len(first) and block.b + block.size == len(second)
        if block.size >= _ANCHOR or (block.size and to_the_end):
            return block.a, block.b
    return len(first), len(second)


def _with_resume(found: Parting, given: Side, following: Node | None) -> Parting:
    """Where the file would go on as the reference does; ``following``: its first node behind what differs."""
    before = found.before
    if found.shape == "missing":
        if before is None or following is None:
            return found
        return replace(found, links=((before[0], found.reference[-1].outputs[0]),), reader=following)
    lasts = found.given[-1].outputs
    if found.shape == "inserted":
        if before is None:
            return found
        return replace(found, links=((_whole_again(given, found.given[-1], before[0]), before[1].name),))
    rights = found.reference[-1].outputs
    links = zip(lasts, rights, strict=False) if len(lasts) == len(rights) else [(lasts[0], rights[0])]
    return replace(found, links=tuple((left, right) for left, right in links if left and right))


def _whole_again(given: Side, last: Node, before: str) -> str:
    """The output of the last inserted node; where it only gives parts, what they are joined to."""
    size = given.values[before].size
    behind = set(last.outputs)
    if last.outputs[0] in given.values and given.values[last.outputs[0]].size == size:
        return last.outputs[0]
    for node in given.graph.nodes:
        if behind & set(node.inputs) and is_neutral(node):
            behind.update(node.outputs)
            if node.outputs[0] in given.values and given.values[node.outputs[0]].size == size:
                return node.outputs[0]
    return last.outputs[0]


def ancestors(graph: Graph, names: Iterable[str]) -> set[str]:
    """Tensors that some tensors are computed from, themselves included."""
    seen: set[str] = set()
    stack = [name for name in names if name]
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        node = graph.producer.get(name)
        if node is not None:
            stack += [before for before in node.inputs if before and before not in seen]
    return seen
