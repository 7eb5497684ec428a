"""Order, places in images, contractions, bits, losses, and what is quantised."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.elementwise import PAIRS, SHAPES, halves
from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, between, normal
from tests.conformance.differential.structural import AXES, WHERE, axis_of


def _top_k(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset, since=11)
    if axis is None or min(shape) == 0 or (opset < 11 and not pick["largest"]):
        return None
    k = min(pick["k"], shape[axis])
    order = {} if opset < 11 else {"largest": pick["largest"]}
    x = halves(rng, shape) if pick["equal"] else normal(rng, shape)
    if opset < 10:
        return Drawn([x], {"axis": axis, "k": max(k, 1)}, 2)
    return Drawn([x, np.array([max(k, 1)])], {"axis": axis, **order}, 2)


def _compress(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset) if pick["along"] else None
    if min(shape) == 0 or (pick["along"] and axis is None):
        return None
    size = int(np.prod(shape)) if axis is None else shape[axis]
    condition = rng.random(max(1, size - pick["shorter"])) < 0.5
    return Drawn([normal(rng, shape), condition], {} if axis is None else {"axis": axis}, fed=frozenset({1}))


def _unique(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset) if pick["along"] else None
    if min(shape) == 0:
        return None
    return Drawn([halves(rng, shape)], {**({} if axis is None else {"axis": axis}), "sorted": pick["sorted"]}, 4)


def _center_crop_pad(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    x = normal(rng, (4, 5, 6))
    sizes = rng.integers(1, 9, 3)
    if pick["axes"] is None:
        return Drawn([x, sizes])
    return Drawn([x, sizes[: len(pick["axes"])]], {"axes": pick["axes"]})


def _einsum(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    equation, *shapes = pick["equation"]
    return Drawn([normal(rng, shape) for shape in shapes], {"equation": equation})


def _grid_sample(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    spatial = pick["spatial"]
    modes = {"linear": "bilinear", "cubic": "bicubic"} if opset < 20 else {}
    if (len(spatial) == 3 and pick["mode"] == "cubic") or (len(spatial) != 2 and opset < 20):
        return None
    x = normal(rng, (2, 2, *spatial))
    grid = pick["reach"] * rng.uniform(-1, 1, (2, *(3,) * len(spatial), len(spatial)))
    return Drawn(
        [x, grid],
        {
            "mode": modes.get(pick["mode"], pick["mode"]),
            "padding_mode": pick["padding"],
            "align_corners": pick["aligned"],
        },
    )


def _affine_grid(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    spatial = pick["spatial"]
    theta = normal(rng, (2, len(spatial), len(spatial) + 1))
    return Drawn([theta, np.array([2, 3, *spatial])], {"align_corners": pick["aligned"]})


def _col2im(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    image, block = pick["image"], pick["block"]
    stride, dilation, pad = pick["stride"], pick["dilation"], pick["pad"]
    counts = [
        (size + 2 * pad - dilation * (width - 1) - 1) // stride + 1 for size, width in zip(image, block, strict=True)
    ]
    if min(counts) < 1:
        return None
    rank = len(image)
    x = normal(rng, (pick["samples"], 2 * int(np.prod(block)), int(np.prod(counts))))
    attributes = {"strides": [stride] * rank, "dilations": [dilation] * rank, "pads": [pad] * 2 * rank}
    return Drawn([x, np.array(image), np.array(block)], attributes)


def _bits(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    kind = pick["kind"]
    inputs = [rng.integers(0, 100, shape).astype(kind) for shape in pick["shapes"]]
    return Drawn(inputs, fed=frozenset({0, 1}))


def _bit_not(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([rng.integers(0, 100, pick["shape"]).astype(pick["kind"])], fed=frozenset({0}))


def _bit_shift(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one, other = pick["shapes"]
    inputs: list[Array | None] = [
        rng.integers(0, 100, one).astype(pick["kind"]),
        rng.integers(0, 7, other).astype(pick["kind"]),
    ]
    return Drawn(inputs, {"direction": pick["direction"]}, fed=frozenset({0, 1}))


def _loss(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    classes = 4
    shape = (3, classes, *pick["more"])
    labels = rng.integers(0, classes, (3, *pick["more"]))
    attributes: dict[str, Any] = {"reduction": pick["reduction"]}
    if pick["ignored"] is not None:
        attributes["ignore_index"] = pick["ignored"]
        labels = np.where(rng.random(labels.shape) < 0.3, pick["ignored"], labels)
        labels.flat[0] = 1
    weights = [between(0.2, 2)(rng, (classes,))] if pick["weighted"] else []
    outputs = 2 if pick["operator"] == "SoftmaxCrossEntropyLoss" and pick["shares"] else 1
    return Drawn([normal(rng, shape), labels, *weights], attributes, outputs, fed=frozenset({1}))


def loss(operator: str) -> Recipe:
    """A loss over classes."""
    choices: dict[str, list[Any]] = {
        "more": [(), (2,), (2, 3)],
        "reduction": ["mean", "sum", "none"],
        "ignored": [None, 0, -1],
        "weighted": [False, True],
        "shares": [False, True],
        "operator": [operator],
    }
    return Recipe(operator, choices, _loss)


def _swiglu(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    inputs = [normal(rng, pick["shape"]), normal(rng, pick["shape"])]
    return Drawn(inputs, {} if pick["alpha"] is None else {"alpha": pick["alpha"]})


def _dequantize(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    kind, way = pick["kind"], pick["way"]
    if (kind in (np.int16, np.uint16) and opset < 21) or (way == "axis" and opset < 13):
        return None
    x = rng.integers(0, 100, (3, 4)).astype(kind)
    count = (4,) if way == "axis" else ()
    zero = [rng.integers(0, 50, count).astype(kind)] if pick["zero"] and kind != np.int32 else []
    return Drawn(
        [x, between(0.01, 1)(rng, count), *zero], {"axis": pick["axis"]} if way == "axis" else {}, fed=frozenset({0})
    )


_EQUATIONS: list[tuple[Any, ...]] = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 1)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 2)),
    ("i,j->ij", (3,), (4,)),
    ("ii->i", (3, 3)),
    ("bhqd,bhkd->bhqk", (1, 2, 3, 4), (1, 2, 5, 4)),
    ("ij,ij->i", (3, 4), (3, 4)),
]
_KINDS = [np.uint8, np.uint32]

RECIPES = [
    Recipe(
        "TopK",
        {"shape": AXES, "where": WHERE, "k": [1, 2, 9], "largest": [1, 0], "equal": [False, True]},
        _top_k,
    ),
    Recipe("Compress", {"shape": AXES, "where": WHERE, "along": [False, True], "shorter": [0, 1]}, _compress),
    Recipe("Unique", {"shape": AXES, "where": WHERE, "along": [False, True], "sorted": [0, 1]}, _unique),
    Recipe("CenterCropPad", {"axes": [None, [0], [-1], [1, 2], [2, 0]]}, _center_crop_pad),
    Recipe("Einsum", {"equation": _EQUATIONS}, _einsum),
    Recipe(
        "GridSample",
        {
            "spatial": [(5, 4), (1, 3), (3, 4, 2)],
            "mode": ["linear", "nearest", "cubic"],
            "padding": ["zeros", "border", "reflection"],
            "aligned": [0, 1],
            "reach": [1.0, 1.7],
        },
        _grid_sample,
    ),
    Recipe("AffineGrid", {"spatial": [(4, 3), (1, 5), (2, 3, 4)], "aligned": [0, 1]}, _affine_grid),
    Recipe(
        "Col2Im",
        {
            "image": [(5, 6), (4, 4)],
            "block": [(2, 3), (1, 1)],
            "stride": [1, 2],
            "dilation": [1, 2],
            "pad": [0, 1],
            "samples": [1, 2],
        },
        _col2im,
    ),
    *(Recipe(f"Bitwise{name}", {"shapes": PAIRS, "kind": _KINDS}, _bits) for name in ("And", "Or", "Xor")),
    Recipe("BitwiseNot", {"shape": SHAPES, "kind": _KINDS}, _bit_not),
    Recipe("BitShift", {"shapes": PAIRS, "kind": _KINDS, "direction": ["LEFT", "RIGHT"]}, _bit_shift),
    loss("NegativeLogLikelihoodLoss"),
    loss("SoftmaxCrossEntropyLoss"),
    Recipe("SwiGLU", {"shape": SHAPES, "alpha": [None, 0.5]}, _swiglu),
    Recipe(
        "DequantizeLinear",
        {
            "kind": [np.uint8, np.int8, np.int32, np.uint16],
            "way": ["all", "axis"],
            "axis": [1, -1],
            "zero": [False, True],
        },
        _dequantize,
    ),
]
