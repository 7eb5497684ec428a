"""Recurrent layers of a graph: gates that a converter took apart, and steps of which each has weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.compare.copies import bits_of
from harness.compare.graph import LAYOUT_OPERATORS, Graph, Node
from harness.compare.roles import Affine, Linear, StoredTensor

#: What a sum of convolutions goes through on its way to the product that it gates.
_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Max", "Min", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)


def unrolled(linears: list[Linear]) -> tuple[list[Linear], list[str]]:
    """Linear operations of a graph whose recurrence is unrolled: each weight with its bias once, noted how often.

    Every step uses the same tensors, or copies of them: what has the same bits is one. Returns the operations in the order
    of their first use, and the stored names of the copies that were left out.
    """
    once: dict[tuple[Any, ...], Linear] = {}
    uses: dict[tuple[Any, ...], int] = {}
    names: dict[tuple[Any, ...], set[str]] = {}
    left_out: set[str] = set()
    for number, linear in enumerate(linears):
        key = (_bits(linear.weight, number), _bits(linear.bias, number), linear.kind)
        first = once.setdefault(key, linear)
        uses[key] = uses.get(key, 0) + 1
        names.setdefault(key, set()).add(linear.weight.name)
        if first is not linear:
            left_out |= {name for stored in (linear.weight, linear.bias) if stored is not None for name in stored.names}
    for key, linear in once.items():
        if uses[key] > 1:
            copies = f" in {len(names[key])} copies" if len(names[key]) > 1 else ""
            linear.notes.append(f"used by {uses[key]} nodes{copies}")
            linear.copies = len(names[key])
    kept = {
        name
        for linear in once.values()
        for stored in (linear.weight, linear.bias)
        if stored is not None
        for name in stored.names
    }
    return list(once.values()), sorted(left_out - kept)


def _bits(stored: StoredTensor | None, number: int) -> tuple[Any, ...] | None:
    """What tells two stored tensors apart; one that is not reported is like no other but its namesake."""
    if stored is None:
        return None
    if stored.value is None:
        return (stored.name or number,)
    return bits_of(stored.value)


def join_gates(graph: Graph, linears: list[Linear], order: str) -> list[Linear]:
    """Cells of a convolutional LSTM whose gates are convolutions of their own, each as the one convolution it stands for.

    Keras convolves frame and hidden state apart, for every gate: eight convolutions. Which of them is which gate is told by
    the part that it plays: input gate and candidate are multiplied with each other, the product of the forget gate is added
    to theirs, and the candidate goes through another activation than the gates. ``order``: of the gates in the joined
    weight (4 filters, channels + filters, kernel, kernel), some of ``ifog``. What is no such cell is left as it is.
    """
    sums: dict[str, list[Linear]] = {}
    for linear in linears:
        if linear.kind == "convolution" and linear.weight.value is not None:
            sums.setdefault(_sum(graph, linear), []).append(linear)
    cells: dict[str, dict[str, tuple[Linear, Linear]]] = {}
    for name, parts in sums.items():
        pair = _frame_and_state(graph, parts)
        if pair is not None:
            cells.setdefault(pair[1].node.input(0), {})[name] = pair
    joined: dict[int, Linear] = {}
    gone: set[int] = set()
    for gates in cells.values():
        roles = _gates(graph, list(gates)) if len(gates) == 4 else None
        if roles is None or not _of_one_shape(list(gates.values())):
            continue
        cell = _joined([gates[roles[gate]] for gate in order], order)
        members = [id(one) for pair in gates.values() for one in pair]
        first = next(linear for linear in linears if id(linear) in members)
        joined[id(first)] = cell
        gone.update(members)
    parts_of = [
        _bits(one.weight, 0) for gates in cells.values() for pair in gates.values() for one in pair if id(one) in gone
    ]
    found = [joined.get(id(linear), linear) for linear in linears if id(linear) not in gone or id(linear) in joined]
    # The first step of an unrolled loop has no hidden state yet, and so only half a cell.
    return [one for one in found if one in joined.values() or not gone or _bits(one.weight, 0) not in parts_of]


def _through_layout(graph: Graph, name: str) -> str:
    """The tensor that another one is a layout of."""
    while (node := graph.producer.get(name)) is not None and node.operator in LAYOUT_OPERATORS and node.input(0):
        name = node.input(0)
    return name


def _next(graph: Graph, name: str, operators: frozenset[str]) -> Node | None:
    """The one node of some operators that a tensor goes into, through layouts at most."""
    found = [node for node in graph.consumers.get(name, []) if node.operator in operators | LAYOUT_OPERATORS]
    if len(found) != 1 or name in graph.outputs:
        return None
    node = found[0]
    return _next(graph, node.outputs[0], operators) if node.operator in LAYOUT_OPERATORS else node


def _sum(graph: Graph, linear: Linear) -> str:
    """The end of the sums that a convolution goes into: what all convolutions of one gate have in common."""
    name = linear.node.outputs[0]
    while (node := _next(graph, name, frozenset({"Add"}))) is not None:
        name = node.outputs[0]
    return name


def _frame_and_state(graph: Graph, parts: Sequence[Linear]) -> tuple[Linear, Linear] | None:
    """The convolution of the frame and that of the hidden state, of which the latter keeps the number of channels."""
    if len(parts) != 2:
        return None
    shapes = [part.weight.value.shape if part.weight.value is not None else () for part in parts]
    states = [
        part
        for part, shape in zip(parts, shapes, strict=True)
        if shape[:1] == shape[1:2] and _is_state(graph, _through_layout(graph, part.node.input(0)))
    ]
    if len(states) != 1 or shapes[0][:1] != shapes[1][:1] or shapes[0][2:] != shapes[1][2:]:
        return None
    return next(part for part in parts if part is not states[0]), states[0]


def _of_one_shape(pairs: Sequence[tuple[Linear, Linear]]) -> bool:
    """Whether the convolutions of the frame have one shape in all gates, and those of the hidden state have one."""
    shapes = {tuple(np.shape(part.weight.value) for part in pair) for pair in pairs}  # type: ignore[arg-type]
    return len(shapes) == 1


def _is_state(graph: Graph, name: str) -> bool:
    """Whether a tensor comes from the step before: by a loop, or, unrolled, as the product with the output gate."""
    node = graph.producer.get(name)
    return node is not None and node.operator in ("Carried", "Mul")


def _gates(graph: Graph, sums: list[str]) -> dict[str, str] | None:
    """Which of four sums is the gate i, f, o and the candidate g, by what becomes of them."""
    products, chains = {}, {}
    for name in sums:
        node, chain = _product(graph, name)
        if node is None:
            return None
        products[name], chains[name] = node, chain
    pairs = [(a, b) for i, a in enumerate(sums) for b in sums[i + 1 :] if products[a] is products[b]]
    if len(pairs) != 1:
        return None
    others = [name for name in sums if name not in pairs[0]]
    total = _next(graph, products[pairs[0][0]].outputs[0], frozenset({"Add"}))
    if total is None:
        return None
    terms = {_through_layout(graph, name) for name in total.inputs}
    forget = [name for name in others if products[name].outputs[0] in terms]
    if len(forget) != 1:
        return None
    gate = next((name for name in pairs[0] if chains[name] == chains[forget[0]]), None)
    candidate = next((name for name in pairs[0] if name != gate), None)
    if gate is None or candidate is None or chains[candidate] == chains[gate]:
        return None
    output = next(name for name in others if name != forget[0])
    return {"i": gate, "f": forget[0], "o": output, "g": candidate}


def _product(graph: Graph, name: str) -> tuple[Node | None, list[str]]:
    """The product of two flowing tensors that a sum ends in, and the operators on the way to it."""
    chain: list[str] = []
    while (node := _next(graph, name, _ELEMENTWISE)) is not None:
        flowing = [one for one in node.inputs if graph.flows(one)]
        if len(flowing) > 1:
            return (node if node.operator == "Mul" else None), chain
        chain.append(node.operator)
        name = node.outputs[0]
    return None, chain


def _joined(gates: list[tuple[Linear, Linear]], order: str) -> Linear:
    """One convolution of frame and hidden state together for all gates."""
    weights = [np.concatenate([part.weight.value for part in pair], axis=1) for pair in gates]  # type: ignore[misc]
    biases = [next((part.bias for part in pair if part.bias is not None), None) for pair in gates]
    stored = [part.weight for pair in gates for part in pair]
    weight = StoredTensor(
        _names(stored),
        np.concatenate(weights),
        f"convolved gate by gate, frame and hidden state apart; joined in the order {order}",
        tuple(name for one in stored for name in one.names),
    )
    bias = None
    if all(one is not None and one.value is not None for one in biases):
        found = [one for one in biases if one is not None]
        values = [one.value for one in found if one.value is not None]
        bias = StoredTensor(
            _names(found), np.concatenate(values), "", tuple(name for one in found for name in one.names)
        )
    first = gates[0][0]
    affine: Affine | None = next((part.affine for pair in gates for part in pair if part.affine is not None), None)
    return replace(first, weight=weight, bias=bias, normaliser=None, affine=affine, notes=[])


def _names(stored: list[StoredTensor]) -> str:
    return ", ".join(dict.fromkeys(one.name for one in stored))
