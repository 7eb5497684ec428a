"""Quantised operators: whole numbers equal in every place."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, between, normal


def _whole(rng: np.random.Generator, shape: tuple[int, ...], kind: Any) -> Array:
    limits = np.iinfo(kind)
    return rng.integers(max(limits.min, -99), min(limits.max, 99), shape).astype(kind)


def _quantize(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    kind, way = pick["kind"], pick["way"]
    if (kind in (np.int16, np.uint16) and opset < 21) or (way == "axis" and opset < 13):
        return None
    count = (4,) if way == "axis" else ()
    zero = [_whole(rng, count, kind)] if pick["zero"] else []
    if kind != np.uint8 and not zero:
        return None
    x = pick["size"] * normal(rng, (3, 4))
    return Drawn([x, between(0.01, 1)(rng, count), *zero], {"axis": pick["axis"]} if way == "axis" else {})


def _dynamic(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"]) + pick["shift"]], {}, 3)


def _matmul_integer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one, other = pick["shapes"]
    a, b = _whole(rng, one, pick["kind"]), _whole(rng, other, pick["other"])
    zeros = [_whole(rng, (), pick["kind"]), _whole(rng, (), pick["other"])] if pick["zero"] else []
    return Drawn([a, b, *zeros], fed=frozenset({0, 1}))


def _conv_integer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    spatial = pick["spatial"]
    x = _whole(rng, (2, 2, *spatial), np.uint8)
    w = _whole(rng, (3, 2, *(2,) * len(spatial)), np.uint8)
    zeros = [_whole(rng, (), np.uint8), _whole(rng, (3,) if pick["by"] == "filter" else (), np.uint8)]
    attributes = {"strides": [pick["stride"]] * len(spatial), "pads": [pick["pad"]] * 2 * len(spatial)}
    return Drawn([x, w, *zeros[: 2 if pick["zero"] else 0]], attributes, fed=frozenset({0, 1}))


def _qlinear_conv(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    spatial, kind = pick["spatial"], pick["kind"]
    count = (3,) if pick["by"] == "filter" else ()
    scale = between(0.01, 0.1)
    inputs = [
        _whole(rng, (2, 2, *spatial), kind),
        scale(rng, ()),
        _whole(rng, (), kind),
        _whole(rng, (3, 2, *(2,) * len(spatial)), np.int8),
        scale(rng, count),
        np.zeros(count, np.int8),
        between(0.5, 2)(rng, ()),
        _whole(rng, (), kind),
    ]
    bias = [rng.integers(-500, 500, 3).astype(np.int32)] if pick["bias"] else []
    attributes = {"strides": [pick["stride"]] * len(spatial), "pads": [pick["pad"]] * 2 * len(spatial)}
    return Drawn(inputs + bias, attributes, fed=frozenset({0}))


def _qlinear_matmul(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one, other = pick["shapes"]
    kind = pick["kind"]
    scale = between(0.01, 0.1)
    inputs = [
        *(_whole(rng, one, kind), scale(rng, ()), _whole(rng, (), kind)),
        *(_whole(rng, other, kind), scale(rng, ()), _whole(rng, (), kind)),
        *(between(0.5, 2)(rng, ()), _whole(rng, (), kind)),
    ]
    return Drawn(inputs, fed=frozenset({0, 3}))


_SHAPES = [((2, 3), (3, 4)), ((1, 2), (2, 1)), ((2, 2, 3), (2, 3, 2)), ((2, 3), (2, 3, 1))]
_PLACES: dict[str, list[Any]] = {"spatial": [(6,), (5, 4)], "stride": [1, 2], "pad": [0, 1], "by": ["all", "filter"]}

RECIPES = [
    Recipe(
        "QuantizeLinear",
        {
            "kind": [np.uint8, np.int8, np.uint16, np.int16],
            "way": ["all", "axis"],
            "axis": [1, -1],
            "zero": [False, True],
            "size": [1.0, 1000.0],
        },
        _quantize,
    ),
    Recipe("DynamicQuantizeLinear", {"shape": [(1,), (5,), (2, 3)], "shift": [0.0, 2.0, -2.0]}, _dynamic),
    Recipe(
        "MatMulInteger",
        {"shapes": _SHAPES, "kind": [np.uint8, np.int8], "other": [np.uint8, np.int8], "zero": [False, True]},
        _matmul_integer,
    ),
    Recipe("ConvInteger", {**_PLACES, "zero": [False, True]}, _conv_integer),
    Recipe("QLinearConv", {**_PLACES, "kind": [np.uint8, np.int8], "bias": [0, 1]}, _qlinear_conv),
    Recipe("QLinearMatMul", {"shapes": _SHAPES, "kind": [np.uint8, np.int8]}, _qlinear_matmul),
]
