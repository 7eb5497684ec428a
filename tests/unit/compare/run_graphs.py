"""Graphs of a few nodes, run in NumPy: what two of them are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.compare.differences import describe
from harness.compare.layer_names import LayerNames
from harness.compare.parting import Parting, Side, first_parting, paired
from harness.compare.placement import PlacedDifference
from tests.unit.compare.small_graphs import Written, graph

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(11)
#: Samples, bands and dates.
INPUT = RANDOM.normal(size=(8, 3, 5))
WEIGHTS: dict[str, Array] = {
    "dense1.weight": RANDOM.normal(size=(5, 6)),
    "dense1.bias": RANDOM.normal(size=6),
    "dense2.weight": RANDOM.normal(size=(6, 4)),
    "dense2.bias": RANDOM.normal(size=4),
}
LIMIT = 1e-8

_RUN: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Mul": np.multiply,
    "MatMul": np.matmul,
    "Relu": lambda x: np.maximum(x, 0),
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "Tanh": np.tanh,
    "Sin": np.sin,
    "Identity": lambda x: x,
    "Transpose": lambda x, perm: x.transpose(perm),
    "Reshape": lambda x, shape: x.reshape([int(size) for size in shape]),
    "Gather": lambda x, places, axis=0: np.take(x, np.asarray(places, int), axis),
    "Softmax": lambda x, axis=-1: np.exp(x) / np.exp(x).sum(axis, keepdims=True),
    "ReduceMean": lambda x, axes: x.mean(tuple(axes)),
    "Cast": lambda x, to: x.astype(np.float16).astype(float) if to == 10 else x,
    "Concat": lambda *parts, axis: np.concatenate(parts, axis),
    "Slice": lambda x, start, end, axis: np.take(x, range(int(start), int(end)), int(axis)),
    "Loop": lambda x, body: x * 2,
}


def run(nodes: Sequence[Written], held: Mapping[str, Array] | None = None, **changed: Array) -> Side:
    """A graph from ``x`` to ``y`` and its tensors; ``changed``: inputs, or results in place of those that were computed."""
    held = WEIGHTS | dict(held or {})
    made: dict[str, Array] = {"x": INPUT} | changed
    for operator, given, output, *attributes in nodes:
        arguments = [made[name] if name in made else held[name] for name in given.split()]
        made.setdefault(output, _RUN[operator](*arguments, **dict(*attributes)))
    return Side(graph(*nodes, values=held), made)


#: What files are compared with: two dense layers with an activation behind each.
PLAIN: tuple[Written, ...] = (
    ("MatMul", "x dense1.weight", "a"),
    ("Add", "a dense1.bias", "b"),
    ("Relu", "b", "c"),
    ("MatMul", "c dense2.weight", "d"),
    ("Add", "d dense2.bias", "e"),
    ("Tanh", "e", "y"),
)
AXES = {"x": ("sample", "band", "date")}
LAYERS = ("dense1", "dense2")


def parting_of(given: Side, reference: Side) -> Parting | None:
    return first_parting(given, reference, paired(given, reference, LIMIT), LIMIT)


def difference(given: Side, reference: Side, axis_names: Mapping[str, Sequence[str]] = AXES) -> PlacedDifference:
    """The first difference of two graphs, in words."""
    pairs = paired(given, reference, LIMIT)
    parting = first_parting(given, reference, pairs, LIMIT)
    assert parting is not None
    names = LayerNames(reference.graph, LAYERS)
    return describe(parting, given, reference, pairs, names, axis_names, LIMIT)
