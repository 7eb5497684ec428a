"""Indexing, shapes, copies, constants and casts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.conformance.differential.elementwise import SHAPES
from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, normal, spread

#: Shapes with at least one axis, one of them empty.
AXES = [(1,), (5,), (2, 3), (3, 0), (2, 1, 4), (2, 3, 2, 3)]
WHERE = ["first", "last", "negative", "middle"]


def axis_of(where: str, rank: int, opset: int, *, since: int = 11) -> int | None:
    """An axis by its place; None where the opset does not count backwards."""
    match where:
        case "first":
            return 0
        case "last":
            return rank - 1
        case "middle":
            return rank // 2
        case _:
            return -1 if opset >= since else None


def _indices(rng: np.random.Generator, size: int, shape: tuple[int, ...], negative: bool) -> Array:
    return np.asarray(rng.integers(-size if negative else 0, size, shape), np.int64)


def _slice(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset, since=10)
    if axis is None:
        return None
    start, end, step = pick["cut"]
    x = normal(rng, shape)
    if opset < 10:
        return None if step != 1 else Drawn([x], {"starts": [start], "ends": [end], "axes": [axis]})
    parts = [np.array([start]), np.array([end]), np.array([axis]), np.array([step])]
    return Drawn([x, *(parts if step != 1 else parts[:3])])


def _gather(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset)
    if axis is None or not shape[axis] or (pick["negative"] and opset < 11):
        return None
    return Drawn([normal(rng, shape), _indices(rng, shape[axis], pick["indices"], pick["negative"])], {"axis": axis})


def _gather_elements(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset)
    if axis is None or 0 in shape:
        return None
    taken = list(shape)
    taken[axis] = 4
    return Drawn([normal(rng, shape), _indices(rng, shape[axis], tuple(taken), pick["negative"])], {"axis": axis})


def _gather_nd(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    batch = pick["batch"]
    if batch and opset < 12:
        return None
    shape = (2, 3, 4)
    depth = pick["depth"]
    if batch + depth > 3:
        return None
    lead = (2, *pick["more"]) if batch else pick["more"]
    indices = np.stack([_indices(rng, shape[batch + k], lead, pick["negative"]) for k in range(depth)], -1)
    return Drawn([normal(rng, shape), indices], {"batch_dims": batch} if batch else {})


def _scatter_elements(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, reduction = pick["shape"], pick["reduction"]
    axis = axis_of(pick["where"], len(shape), opset)
    if axis is None or 0 in shape or (reduction and opset < {"add": 16, "mul": 16, "max": 18, "min": 18}[reduction]):
        return None
    # Without a reduction no place may be named twice.
    count = 2 * shape[axis] if reduction else shape[axis]
    taken = [*shape]
    taken[axis] = count
    order = np.argsort(rng.random(tuple(taken)), axis) % shape[axis]
    order = order - shape[axis] * pick["negative"]
    return Drawn(
        [normal(rng, shape), order, normal(rng, taken)],
        {"axis": axis, **({"reduction": reduction} if reduction else {})},
    )


def _scatter_nd(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    reduction, depth = pick["reduction"], pick["depth"]
    if reduction and opset < {"add": 16, "mul": 16, "max": 18, "min": 18}[reduction]:
        return None
    shape = (3, 2, 4)
    places = np.array(list(np.ndindex(*shape[:depth])))
    chosen = rng.permutation(places)[:3] if not reduction else rng.choice(places, 5)
    if pick["negative"]:
        chosen = chosen - np.array(shape[:depth])
    return Drawn(
        [normal(rng, shape), chosen.astype(np.int64), normal(rng, (len(chosen), *shape[depth:]))],
        {"reduction": reduction} if reduction else {},
    )


def _concat(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape = pick["shape"]
    axis = axis_of(pick["where"], len(shape), opset)
    if axis is None:
        return None
    parts = []
    for size in pick["sizes"]:
        part = list(shape)
        part[axis] = size
        parts.append(normal(rng, part))
    return Drawn(parts, {"axis": axis})


def _split(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    sizes = pick["sizes"]
    shape = list(pick["shape"])
    axis = axis_of(pick["where"], len(shape), opset)
    if axis is None:
        return None
    shape[axis] = sum(sizes)
    x = normal(rng, shape)
    if pick["told"]:
        if opset < 13:
            return Drawn([x], {"axis": axis, "split": list(sizes)}, len(sizes))
        return Drawn([x, np.array(sizes)], {"axis": axis}, len(sizes))
    if len(set(sizes)) > 1 and opset < 18:
        return None
    if len(set(sizes)) > 1 and not _last_smaller(sizes):
        return None
    return Drawn([x], {"axis": axis, **({"num_outputs": len(sizes)} if opset >= 18 else {})}, len(sizes))


def _last_smaller(sizes: tuple[int, ...]) -> bool:
    each = math.ceil(sum(sizes) / len(sizes))
    return all(size == each for size in sizes[:-1]) and 0 < sizes[-1] <= each


def _pad(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, mode = pick["shape"], pick["mode"]
    if mode == "wrap" and opset < 19:
        return None
    x = normal(rng, shape)
    low = -1 if pick["negative"] and mode == "constant" else 0
    room = [(int(rng.integers(low, 3)), int(rng.integers(low, 3))) for _ in shape]
    if mode in ("reflect", "edge", "wrap"):
        if 0 in shape:
            return None
        if mode != "edge":
            limit = [size - 1 if mode == "reflect" else size for size in shape]
            room = [(min(a, top), min(b, top)) for (a, b), top in zip(room, limit, strict=True)]
    if any(size + a + b < 0 or (a < 0 and -a > size) for size, (a, b) in zip(shape, room, strict=True)):
        return None
    pads = [a for a, _ in room] + [b for _, b in room]
    value = pick["value"]
    if opset < 11:
        return Drawn([x], {"mode": mode, "pads": pads, **({} if value is None else {"value": value})})
    filled = None if value is None or mode != "constant" else np.array(value)
    if pick["some"] and opset >= 18 and len(shape) > 1:
        kept = [len(shape) - 1, 0]
        pads = [room[axis][side] for side in (0, 1) for axis in kept]
        return Drawn([x, np.array(pads), filled, np.array([-1, 0])], {"mode": mode})
    return Drawn([x, np.array(pads), filled], {"mode": mode})


def _reshape(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, wanted, literal = pick["pair"]
    if literal and opset < 14:
        return None
    return Drawn([normal(rng, shape), np.array(wanted, np.int64)], {"allowzero": 1} if literal else {})


def _expand(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    shape, wanted = pick["pair"]
    return Drawn([normal(rng, shape), np.array(wanted, np.int64)])


def _tile(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"]), rng.integers(0 if pick["empty"] else 1, 4, len(pick["shape"]))])


def _transpose(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    shape = pick["shape"]
    return Drawn(
        [normal(rng, shape)], {"perm": [int(k) for k in rng.permutation(len(shape))]} if pick["given"] and shape else {}
    )


def _squeeze(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    shape, axes = pick["pair"]
    if axes and min(axes) < 0 and opset < 11:
        return None
    if opset < 13:
        return Drawn([normal(rng, shape)], {} if axes is None else {"axes": axes})
    return Drawn([normal(rng, shape)] + ([] if axes is None else [np.array(axes)]))


def _unsqueeze(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    axes = pick["axes"]
    if (min(axes) < 0 and opset < 11) or (opset < 13 and axes != sorted(axes)):
        return None
    rank = len(pick["shape"]) + len(axes)
    if len({axis % rank for axis in axes}) < len(axes) or max(axes) >= rank or min(axes) < -rank:
        return None
    x = normal(rng, pick["shape"])
    return Drawn([x], {"axes": axes}) if opset < 13 else Drawn([x, np.array(axes)])


def _flatten(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    rank = len(pick["shape"])
    axis = pick["axis"]
    if axis is not None and (axis > rank or axis < -rank or (axis < 0 and opset < 11)):
        return None
    return Drawn([normal(rng, pick["shape"])], {} if axis is None else {"axis": axis})


def _shape(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    bounds = {name: pick[name] for name in ("start", "end") if pick[name] is not None}
    if bounds and opset < 15:
        return None
    return Drawn([normal(rng, pick["shape"])], bounds)


def _any(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"])])


def _dropout(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"])], {}, 1 if opset < 10 else pick["outputs"])


def _constant(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    values = normal(rng, pick["shape"]).astype(np.float32)
    match pick["kind"]:
        case "value":
            return Drawn([], {"value": numpy_helper.from_array(values)})
        case "value_float":
            return None if opset < 12 else Drawn([], {"value_float": 0.1})
        case "value_floats":
            return None if opset < 12 or not values.ndim else Drawn([], {"value_floats": [0.1, 0.2, 0.3]})
        case "value_ints":
            return None if opset < 12 else Drawn([], {"value_ints": [3, -1]})
        case _:
            return None if opset < 12 else Drawn([], {"value_int": -7})


def _constant_of_shape(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    value = None if pick["value"] is None else numpy_helper.from_array(np.array([pick["value"]], np.float32))
    return Drawn([np.array(pick["shape"], np.int64)], {} if value is None else {"value": value})


def _range(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([np.array(value) for value in pick["bounds"]])


def _one_hot(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    rank = len(pick["shape"])
    axis = {"first": 0, "last": rank, "negative": -1, "middle": -rank - 1}[pick["where"]]
    low = -4 if pick["negative"] else 0
    return Drawn(
        [rng.integers(low, 4, pick["shape"]), np.array(4), normal(rng, (2,))], {"axis": axis}, fed=frozenset({0})
    )


def _eye_like(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"])], {"k": pick["k"], **({"dtype": pick["dtype"]} if pick["dtype"] else {})})


def _trilu(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    k = [] if pick["k"] is None else [np.array(pick["k"])]
    return Drawn([normal(rng, pick["shape"]), *k], {"upper": pick["upper"]})


def _depth_to_space(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    block = pick["block"]
    if pick["mode"] is not None and opset < 11:
        return None
    attributes = {"blocksize": block, **({} if pick["mode"] is None else {"mode": pick["mode"]})}
    return Drawn([normal(rng, (pick["samples"], 2 * block * block, *pick["spatial"]))], attributes)


def _space_to_depth(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    block = pick["block"]
    rows, columns = pick["spatial"]
    return Drawn([normal(rng, (pick["samples"], 2, rows * block, columns * block))], {"blocksize": block})


def _non_zero(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shape"]) * rng.integers(0, 2, pick["shape"])])


def _cast(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([np.clip(spread(rng, pick["shape"]), -100, 100)], {"to": pick["to"]})


def _cast_like(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    like: Any = np.zeros(1, pick["like"])
    return Drawn([np.clip(spread(rng, pick["shape"]), -100, 100), like])


_SIZES = [(2, 2), (1, 3), (3, 0, 1), (2, 2, 1), (4,)]
_CUTS = [(0, 2, 1), (1, 2**63 - 1, 1), (-2, -1, 1), (-1, -(2**63), -1), (4, 0, -2), (0, 9, 2), (3, 1, 1), (-9, 9, 1)]
_RESHAPES = [
    ((2, 3, 4), [4, -1], False),
    ((2, 3, 4), [0, -1], False),
    ((2, 3, 4), [0, 0, 4], False),
    ((6,), [2, 3], False),
    ((), [1, 1], False),
    ((1, 1), [], False),
    ((0, 3), [3, 0], True),
    ((2, 0), [0, 5], True),
]
_EXPANDS = [((3, 1), [2, 3, 4]), ((3, 1), [3, 1]), ((), [2, 2]), ((1,), [0]), ((2, 3), [1, 1]), ((4,), [2, 1])]
_SQUEEZES = [
    ((1, 3, 1), None),
    ((1, 3, 1), [0]),
    ((1, 3, 1), [0, 2]),
    ((1, 3, 1), [-1]),
    ((1,), [0]),
    ((1, 0), [0]),
    ((1, 1), None),
]

RECIPES = [
    Recipe("Slice", {"shape": AXES, "where": WHERE, "cut": _CUTS}, _slice),
    Recipe(
        "Gather",
        {"shape": AXES, "where": WHERE, "indices": [(), (3,), (2, 2), (0,)], "negative": [False, True]},
        _gather,
    ),
    Recipe("GatherElements", {"shape": AXES, "where": WHERE, "negative": [False, True]}, _gather_elements),
    Recipe(
        "GatherND", {"batch": [0, 1], "depth": [1, 2, 3], "more": [(2,), (3, 1)], "negative": [False, True]}, _gather_nd
    ),
    Recipe(
        "ScatterElements",
        {"shape": AXES, "where": WHERE, "negative": [False, True], "reduction": [None, "add", "mul", "max", "min"]},
        _scatter_elements,
    ),
    Recipe(
        "ScatterND",
        {"depth": [1, 2, 3], "negative": [False, True], "reduction": [None, "add", "mul", "max", "min"]},
        _scatter_nd,
    ),
    Recipe("Concat", {"shape": AXES, "where": WHERE, "sizes": [(1,), (2, 3), (0, 2), (1, 1, 4)]}, _concat),
    Recipe(
        "Split",
        {"shape": AXES, "where": WHERE, "sizes": _SIZES, "told": [False, True]},
        _split,
    ),
    Recipe(
        "Pad",
        {
            "shape": AXES,
            "mode": ["constant", "reflect", "edge", "wrap"],
            "negative": [False, True],
            "value": [None, 0.5],
            "some": [False, True],
        },
        _pad,
    ),
    Recipe("Reshape", {"pair": _RESHAPES}, _reshape),
    Recipe("Expand", {"pair": _EXPANDS}, _expand),
    Recipe("Tile", {"shape": AXES, "empty": [False, True]}, _tile),
    Recipe("Transpose", {"shape": SHAPES, "given": [False, True]}, _transpose),
    Recipe("Squeeze", {"pair": _SQUEEZES}, _squeeze),
    Recipe("Unsqueeze", {"shape": SHAPES[:6], "axes": [[0], [1], [-1], [0, 1], [0, 2], [-1, -2], [2, 0]]}, _unsqueeze),
    Recipe("Flatten", {"shape": SHAPES[1:], "axis": [None, 0, 1, 2, -1]}, _flatten),
    Recipe("Shape", {"shape": SHAPES, "start": [None, 1, -1], "end": [None, 1, -1, 9]}, _shape),
    Recipe("Size", {"shape": SHAPES}, _any),
    Recipe("Dropout", {"shape": SHAPES, "outputs": [1, 2]}, _dropout),
    Recipe(
        "Constant",
        {"shape": SHAPES, "kind": ["value", "value_float", "value_floats", "value_int", "value_ints"]},
        _constant,
    ),
    Recipe("ConstantOfShape", {"shape": SHAPES, "value": [None, 0.1]}, _constant_of_shape),
    Recipe(
        "Range",
        {"bounds": [(0.0, 3.0, 1.0), (1.0, 0.0, -0.3), (0.0, 1.0, 0.25), (2.0, 1.0, 1.0), (-1.0, 1.0, 0.7)]},
        _range,
    ),
    Recipe("OneHot", {"shape": [(3,), (2, 3), (0,), (2, 1, 2)], "where": WHERE, "negative": [False, True]}, _one_hot),
    Recipe(
        "EyeLike",
        {
            "shape": [(3, 3), (2, 4), (4, 2), (1, 1), (0, 2)],
            "k": [0, 1, -2],
            "dtype": [None, TensorProto.FLOAT, TensorProto.INT64],
        },
        _eye_like,
    ),
    Recipe(
        "Trilu",
        {"shape": [(3, 3), (2, 4), (2, 4, 2), (0, 3), (1, 1)], "k": [None, 0, 1, -1, 5], "upper": [0, 1]},
        _trilu,
    ),
    Recipe(
        "DepthToSpace",
        {"block": [1, 2, 3], "mode": [None, "DCR", "CRD"], "spatial": [(2, 3), (1, 1)], "samples": [1, 2]},
        _depth_to_space,
    ),
    Recipe("SpaceToDepth", {"block": [1, 2, 3], "spatial": [(2, 3), (1, 1)], "samples": [1, 2]}, _space_to_depth),
    Recipe("NonZero", {"shape": SHAPES[1:]}, _non_zero),
    Recipe(
        "Cast",
        {
            "shape": SHAPES,
            "to": [
                TensorProto.FLOAT,
                TensorProto.DOUBLE,
                TensorProto.FLOAT16,
                TensorProto.INT64,
                TensorProto.INT32,
                TensorProto.INT8,
                TensorProto.BOOL,
            ],
        },
        _cast,
    ),
    Recipe("CastLike", {"shape": SHAPES, "like": [np.int64, np.int32, np.bool_, np.float64]}, _cast_like),
]
