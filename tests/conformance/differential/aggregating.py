"""Products, normalisations, reductions and the softmax family."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.elementwise import halves
from tests.conformance.differential.recipe import Drawn, Pick, Recipe, between, normal
from tests.conformance.differential.structural import WHERE, axis_of

_FULL = [(1,), (5,), (2, 3), (2, 1, 4), (2, 3, 4), (2, 3, 2, 3)]
_IMAGES = [(2, 4), (1, 4, 5), (2, 4, 3, 2), (2, 4, 1, 1), (1, 4, 2, 3, 2)]


def _reduce(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, operator = pick["shape"], pick["operator"]
    rank = len(shape)
    axes = {"all": list(range(rank)), "absent": None, "first": [0], "last": [-1], "two": [0, rank - 1]}[pick["axes"]]
    if axes is not None:
        if min(axes) < 0 and opset < 11:
            return None
        axes = sorted({axis % rank for axis in axes}) if pick["axes"] != "last" else axes
    draw = between(0.2, 3) if operator == "ReduceLogSum" else normal
    x = draw(rng, shape)
    attributes: dict[str, Any] = {} if pick["keepdims"] is None else {"keepdims": pick["keepdims"]}
    moved = 13 if operator == "ReduceSum" else 18
    if opset < moved:
        return Drawn([x], attributes if axes is None else {**attributes, "axes": axes})
    if pick["noop"]:
        attributes["noop_with_empty_axes"] = 1
    if axes is None:
        return Drawn([x, np.zeros(0, np.int64)] if pick["empty"] else [x], attributes)
    return Drawn([x, np.array(axes)], attributes)


def reduction(operator: str) -> Recipe:
    """A reduction over axes."""
    choices = {
        "shape": _FULL,
        "axes": ["all", "absent", "first", "last", "two"],
        "keepdims": [None, 0, 1],
        "noop": [0, 1],
        "empty": [0, 1],
        "operator": [operator],
    }
    return Recipe(operator, choices, _reduce)


def _arg(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    axis = axis_of(pick["where"], len(pick["shape"]), opset)
    if axis is None or (pick["last"] and opset < 12):
        return None
    attributes = {"axis": axis, **({} if pick["keepdims"] is None else {"keepdims": pick["keepdims"]})}
    return Drawn([halves(rng, pick["shape"])], {**attributes, **({"select_last_index": 1} if pick["last"] else {})})


def _cumulative(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    axis = axis_of(pick["where"], len(pick["shape"]), 11)
    return Drawn(
        [normal(rng, pick["shape"]), np.array(axis)], {k: pick[k] for k in ("reverse", "exclusive") if pick[k]}
    )


def _softmax(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    axis = axis_of(pick["where"], len(pick["shape"]), opset) if pick["given"] else 1
    if axis is None or axis >= len(pick["shape"]):
        return None
    return Drawn([pick["size"] * normal(rng, pick["shape"])], {"axis": axis} if pick["given"] else {})


def _gemm(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    rows, inner, columns = pick["sizes"]
    a = normal(rng, (inner, rows) if pick["transA"] else (rows, inner))
    b = normal(rng, (columns, inner) if pick["transB"] else (inner, columns))
    shape = {
        "none": None,
        "full": (rows, columns),
        "row": (columns,),
        "column": (rows, 1),
        "one": (1, 1),
        "scalar": (),
    }[pick["c"]]
    if shape is None and opset < 11:
        return None
    inputs = [a, b] + ([] if shape is None else [normal(rng, shape)])
    return Drawn(inputs, {k: pick[k] for k in ("alpha", "beta", "transA", "transB") if pick[k] is not None})


def _matmul(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, shape) for shape in pick["shapes"]])


def _batch_normalization(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    channels = (shape[1],)
    attributes: dict[str, Any] = {k: pick[k] for k in ("epsilon", "momentum") if pick[k] is not None}
    outputs = 1
    if pick["training"]:
        if opset < 14:
            return None
        attributes["training_mode"] = 1
        outputs = 3
    inputs = [normal(rng, shape), *(normal(rng, channels) for _ in range(3)), between(0.3, 2)(rng, channels)]
    return Drawn(inputs, attributes, outputs)


def _by_channel(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, operator = pick["shape"], pick["operator"]
    if len(shape) < 3:
        return None
    attributes = {} if pick["epsilon"] is None else {"epsilon": pick["epsilon"]}
    count = shape[1]
    if operator == "GroupNormalization":
        attributes["num_groups"] = pick["groups"]
        count = pick["groups"] if opset < 21 else shape[1]
    return Drawn([normal(rng, shape), normal(rng, (count,)), normal(rng, (count,))], attributes)


def _over_trailing(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), 11)
    if axis is None:
        return None
    trailing = shape[axis % len(shape) :]
    attributes = {"axis": axis, **({} if pick["epsilon"] is None else {"epsilon": pick["epsilon"]})}
    if pick["operator"] == "RMSNormalization":
        return Drawn([normal(rng, shape), normal(rng, trailing)], attributes)
    shift = [normal(rng, trailing)] if pick["shift"] else []
    return Drawn([normal(rng, shape), normal(rng, trailing), *shift], attributes, pick["outputs"])


def _lp_normalization(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    axis = axis_of(pick["where"], len(pick["shape"]), 11)
    return Drawn([normal(rng, pick["shape"])], {"axis": axis, **({} if pick["p"] is None else {"p": pick["p"]})})


def _mean_variance(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    shape, axes = pick["shape"], pick["axes"]
    if axes is None and len(shape) != 4:
        return None
    if axes is not None and max(axes) >= len(shape):
        return None
    return Drawn([normal(rng, shape)], {} if axes is None else {"axes": axes})


_AXIS: dict[str, list[Any]] = {"shape": _FULL, "where": WHERE}
_EPSILON = [None, 1e-3, 0.5]

RECIPES = [
    *(
        reduction(f"Reduce{name}")
        for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    ),
    *(Recipe(name, {**_AXIS, "keepdims": [None, 0, 1], "last": [0, 1]}, _arg) for name in ("ArgMax", "ArgMin")),
    *(Recipe(name, {**_AXIS, "reverse": [0, 1], "exclusive": [0, 1]}, _cumulative) for name in ("CumSum", "CumProd")),
    *(
        Recipe(name, {**_AXIS, "given": [False, True], "size": [1.0, 40.0]}, _softmax)
        for name in ("Softmax", "LogSoftmax", "Hardmax")
    ),
    Recipe(
        "Gemm",
        {
            "sizes": [(2, 3, 4), (1, 1, 1), (5, 1, 2), (1, 4, 3)],
            "transA": [0, 1],
            "transB": [0, 1],
            "alpha": [None, 0.3],
            "beta": [None, 0.7],
            "c": ["none", "full", "row", "column", "one", "scalar"],
        },
        _gemm,
    ),
    Recipe(
        "MatMul",
        {
            "shapes": [
                ((3,), (3,)),
                ((3,), (3, 2)),
                ((2, 3), (3,)),
                ((2, 3), (3, 4)),
                ((2, 2, 3), (3, 4)),
                ((2, 1, 2, 3), (4, 3, 1)),
                ((1, 2, 3), (5, 3, 2)),
                ((3,), (2, 3, 4)),
                ((2, 2, 3), (3,)),
                ((0, 3), (3, 2)),
                ((2, 0), (0, 3)),
            ]
        },
        _matmul,
    ),
    Recipe(
        "BatchNormalization",
        {"shape": _IMAGES, "epsilon": _EPSILON, "momentum": [None, 0.4], "training": [0, 0, 1]},
        _batch_normalization,
    ),
    Recipe(
        "InstanceNormalization",
        {"shape": _IMAGES, "epsilon": _EPSILON, "operator": ["InstanceNormalization"]},
        _by_channel,
    ),
    Recipe(
        "GroupNormalization",
        {"shape": _IMAGES, "epsilon": _EPSILON, "groups": [1, 2, 4], "operator": ["GroupNormalization"]},
        _by_channel,
    ),
    Recipe(
        "LayerNormalization",
        {**_AXIS, "epsilon": _EPSILON, "shift": [False, True], "outputs": [1, 3], "operator": ["LayerNormalization"]},
        _over_trailing,
    ),
    Recipe("RMSNormalization", {**_AXIS, "epsilon": _EPSILON, "operator": ["RMSNormalization"]}, _over_trailing),
    Recipe("LpNormalization", {**_AXIS, "p": [None, 1, 2]}, _lp_normalization),
    Recipe("MeanVarianceNormalization", {"shape": _FULL, "axes": [None, [0], [0, 2], [1]]}, _mean_variance),
]
