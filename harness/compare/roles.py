"""Which tensor of a graph plays which part: weights and biases of linear operations, what normalises them, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.compare.graph import LAYOUT_OPERATORS, Constant, Graph, Node

Array = NDArray[Any]

_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

#: Inputs of operators that take floating-point constants which are not parameters of a layer: rates, bounds, pad
#: values.
_SETTINGS: dict[str, frozenset[int]] = {
    "Dropout": frozenset({1, 2}),
    "Clip": frozenset({1, 2}),
    "Pad": frozenset({1, 2, 3}),
    "Resize": frozenset({1, 2, 3}),
    "Upsample": frozenset({1}),
    "OneHot": frozenset({1, 2}),
    "Range": frozenset({0, 1, 2}),
    "Reshape": frozenset({1}),
}


@dataclass(frozen=True)
class StoredTensor:
    """One parameter as the target holds it: its name in the file and its value in the canonical layout.

    ``value`` is None where the target does not report it. ``stored``: the names of the tensors it was joined from, where there
    is more than one.
    """

    name: str
    value: Array | None
    note: str = ""
    stored: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stored tensors that it is made of."""
        return self.stored or (self.name,)


@dataclass
class Normaliser:
    """A BatchNormalization node: scale, shift, mean and variance, each (channel,)."""

    node: Node
    scale: StoredTensor
    shift: StoredTensor
    mean: StoredTensor
    variance: StoredTensor
    epsilon: float

    @property
    def parameters(self) -> dict[str, StoredTensor]:
        """The four by role of the model specification."""
        return {"scale": self.scale, "shift": self.shift, "mean": self.mean, "variance": self.variance}


@dataclass
class Affine:
    """Arithmetic with constants after a linear operation: outputs are multiplied by ``scale``, ``offset`` is added.

    Both float64 (channel,) or scalars, composed of the constants named ``names``.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    names: list[str]


@dataclass
class Linear:
    """A convolution or dense layer of the graph, and what comes straight after it."""

    node: Node
    kind: Literal["convolution", "dense"]
    weight: StoredTensor
    bias: StoredTensor | None
    normaliser: Normaliser | None = None
    affine: Affine | None = None
    notes: list[str] = field(default_factory=list)
    #: Tensors of the file that hold the weight: one for every step where a recurrence is unrolled to copies.
    copies: int = 1


@dataclass
class Roles:
    """Everything of a graph that has a part to play, in the order of the flow of data.

    ``normalisers``: those that follow no linear operation; ``affines``: products and sums with one constant per channel that
    do not either. ``others``: stored names of floating-point constants that the graph uses (or carries) in no known role.
    """

    linears: list[Linear]
    normalisers: list[Normaliser]
    affines: list[Affine]
    others: list[str]


def find_roles(graph: Graph) -> Roles:
    """Walk a graph and tell what each floating-point constant is for; names play no part in it."""
    linears: list[Linear] = []
    taken: set[str] = set()
    followed: set[int] = set()
    for node in graph.nodes:
        linear = _linear(graph, node)
        if linear is not None:
            linears.append(linear)
            followed |= _follow(graph, linear, taken)
    normalisers = [
        _normaliser(graph, node)
        for node in graph.nodes
        if node.operator == "BatchNormalization" and id(node) not in followed
    ]
    for normaliser in [*normalisers, *(linear.normaliser for linear in linears if linear.normaliser)]:
        taken.update(stored.name for stored in normaliser.parameters.values())
    for linear in linears:
        taken.add(linear.weight.name)
        if linear.bias is not None:
            taken.add(linear.bias.name)
    affines = _standing(graph, followed)
    taken.update(name for affine in affines for name in affine.names)
    return Roles(linears, normalisers, affines, _others(graph, taken))


def _standing(graph: Graph, followed: set[int]) -> list[Affine]:
    """Products and sums with constants per channel, one after the other, where no linear operation stands before."""
    found: list[Affine] = []
    done = set(followed)
    for node in graph.nodes:
        flowing = [name for name in node.inputs if graph.flows(name)]
        if id(node) in done or len(flowing) != 1:
            continue
        affine, name = None, flowing[0]
        while (constant := _operand(graph, node, name)) is not None and _per_channel(constant):
            further = _compose(affine, node, name, constant)
            if further is None:
                break
            affine = further
            done.add(id(node))
            name = node.outputs[0]
            consumers = graph.consumers.get(name, [])
            if len(consumers) != 1:
                break
            node = consumers[0]
        # Without a scale it is no more than a bias.
        if affine is not None and affine.scale.size > 1:
            found.append(affine)
    return found


def _per_channel(constant: Constant) -> bool:
    """Whether a constant has a value for every channel and none for anything else."""
    value = constant.value
    return value.dtype.kind == "f" and value.size > 1 and max(value.shape) == value.size


def _linear(graph: Graph, node: Node) -> Linear | None:
    if node.operator not in _LINEAR:
        return None
    data = [graph.flows(node.input(index)) for index in (0, 1)]
    if not data[0] or data[1]:
        return None
    weight = _stored(graph, node.input(1))
    bias = _stored(graph, node.input(2)) if node.input(2) and node.operator != "MatMul" else None
    if node.operator == "Conv":
        return Linear(node, "convolution", weight, bias)
    if node.operator == "ConvTranspose":
        return Linear(node, "convolution", weight, bias)
    notes = []
    transposed = node.operator == "Gemm" and bool(node.attributes.get("transB", 0))
    if weight.value is not None and weight.value.ndim == 2 and not transposed:
        weight = StoredTensor(weight.name, weight.value.T, "stored as (in, out)")
    for attribute, stored in (("alpha", weight), ("beta", bias)):
        factor = float(node.attributes.get(attribute, 1.0)) if node.operator == "Gemm" else 1.0
        if factor != 1.0 and stored is not None and stored.value is not None:
            scaled = StoredTensor(
                stored.name, stored.value * stored.value.dtype.type(factor), f"times {attribute} = {factor:g}"
            )
            weight, bias = (scaled, bias) if attribute == "alpha" else (weight, scaled)
    if weight.value is not None:
        weight, note = _channel_major(graph, node, weight)
        notes += [note] if note else []
    if bias is not None and bias.value is not None:
        bias = StoredTensor(bias.name, bias.value.reshape(-1), bias.note)
    return Linear(node, "dense", weight, bias, notes=notes)


def _follow(graph: Graph, linear: Linear, taken: set[str]) -> set[int]:
    """Collect what comes straight after a linear operation: bias, batch normalisation, arithmetic. Returns node ids."""
    followed: set[int] = set()
    channels = _channels(linear)
    name = linear.node.outputs[0]
    affine: Affine | None = None
    while True:
        consumers = graph.consumers.get(name, [])
        if len(consumers) != 1 or name in graph.outputs:
            break
        node = consumers[0]
        if node.operator in LAYOUT_OPERATORS and node.input(0) == name:
            name = node.outputs[0]
            continue
        if node.operator == "BatchNormalization" and node.input(0) == name and affine is None:
            linear.normaliser = _normaliser(graph, node)
            followed.add(id(node))
            break
        constant = _operand(graph, node, name)
        if constant is None or constant.value.size not in (1, channels) or constant.value.dtype.kind != "f":
            break
        is_bias = linear.bias is None and affine is None and constant.value.size == channels
        if node.operator == "Add" and is_bias and not constant.computed_from:
            linear.bias = StoredTensor(constant.name, constant.value.reshape(-1), f"added by node '{node.label}'")
        else:
            affine = _compose(affine, node, name, constant)
            if affine is None:
                break
            linear.affine = affine
            taken.update(constant.names)
        followed.add(id(node))
        name = node.outputs[0]
    return followed


def _compose(affine: Affine | None, node: Node, name: str, constant: Constant) -> Affine | None:
    """The arithmetic so far and one more operation; None where the operation is not of the form a * x + c."""
    value = constant.value.reshape(-1).astype(np.float64)
    first = node.input(0) == name
    scale, offset = (affine.scale, affine.offset) if affine else (np.ones(1), np.zeros(1))
    names = list(dict.fromkeys([*(affine.names if affine else []), *constant.names]))
    if node.operator == "Add":
        return Affine(scale, offset + value, names)
    if node.operator == "Sub":
        return Affine(scale, offset - value, names) if first else Affine(-scale, value - offset, names)
    if node.operator == "Mul":
        return Affine(scale * value, offset * value, names)
    return Affine(scale / value, offset / value, names) if first else None


def _operand(graph: Graph, node: Node, name: str) -> Constant | None:
    """The constant that an arithmetic node combines a flowing tensor with."""
    if node.operator not in _ARITHMETIC:
        return None
    others = [other for other in node.inputs if other != name]
    return graph.computed(others[0]) if len(others) == 1 else None


def _normaliser(graph: Graph, node: Node) -> Normaliser:
    scale, shift, mean, variance = (_stored(graph, node.input(index)) for index in range(1, 5))
    return Normaliser(node, scale, shift, mean, variance, float(node.attributes.get("epsilon", 1e-5)))


def _stored(graph: Graph, name: str) -> StoredTensor:
    constant = graph.constant(name)
    if constant is None:
        return StoredTensor(graph.stored_name(name), None)
    return StoredTensor(constant.name, constant.value)


def _channels(linear: Linear) -> int:
    value = linear.weight.value
    if value is None:
        return linear.bias.value.size if linear.bias is not None and linear.bias.value is not None else -1
    if linear.node.operator == "ConvTranspose" and value.ndim > 1:
        return int(value.shape[1]) * int(linear.node.attributes.get("group", 1))
    return int(value.shape[0]) if value.ndim else 1


def _channel_major(graph: Graph, node: Node, weight: StoredTensor) -> tuple[StoredTensor, str]:
    """A dense kernel after a flattening of (sample, time, channel), reordered to that of (sample, channel, time).

    The graph itself tells: between the last convolution and the flattening, its Transpose nodes put the channels last.
    """
    name, flattened, permutation, channels = node.input(0), False, None, 0
    while name in graph.producer:
        before = graph.producer[name]
        if before.operator in _LINEAR and not (flattened and before.operator.startswith("Conv")):
            return weight, ""
        if before.operator.startswith("Conv"):
            kernel = graph.constant(before.input(1))
            channels = int(kernel.value.shape[0]) if kernel is not None else 0
            break
        if before.operator in ("Flatten", "Reshape") and permutation is None:
            flattened = True
        elif before.operator == "Transpose" and flattened:
            perm = [int(axis) for axis in before.attributes.get("perm") or []]
            permutation = perm if permutation is None else [perm[axis] for axis in permutation]
        # A node that gives a flowing tensor takes one.
        name = next((other for other in before.inputs if graph.flows(other)), "")
    rank = len(permutation) if permutation else 0
    value = weight.value
    if value is None or rank < 3 or permutation != [0, *range(2, rank), 1] or not channels or value.shape[1] % channels:
        return weight, ""
    ordered = value.reshape(value.shape[0], -1, channels).transpose(0, 2, 1).reshape(value.shape)
    note = "the graph flattens time-major; the kernel was reordered to channel-major"
    return StoredTensor(weight.name, ordered, weight.note), note


def _others(graph: Graph, taken: set[str]) -> list[str]:
    used_as_setting: set[str] = set()
    for node in graph.nodes:
        for index in _SETTINGS.get(node.operator, frozenset()):
            if node.input(index):
                used_as_setting.add(graph.stored_name(node.input(index)))
    return sorted(
        name
        for name, value in graph.values.items()
        if value.dtype.kind == "f" and value.size > 1 and name not in taken and name not in used_as_setting
    )
