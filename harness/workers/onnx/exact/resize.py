"""Resize and Upsample: one axis after the other, each a weighted sum of its values.

onnx.reference takes ``cubic_coeff_a`` as a float32 scalar, so that all cubic weights are single precision (3e-6 off); it has
neither Resize 10 nor the mode ``tf_half_pixel_for_nn`` of opsets 11 and 12, and of Upsample only nearest with whole scales;
it gives the place -1/2 where ``pytorch_half_pixel`` makes one value of many, for which the standard says 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.workers.engine import Array, BadInput
from harness.workers.onnx.exact.operator import Node

#: What a Resize of opset 10 and an Upsample do, in the attributes of later opsets.
_OLDER = {
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
    "keep_aspect_ratio_policy": "stretch",
    "cubic_coeff_a": -0.75,
    "exclude_outside": 0,
    "antialias": 0,
}


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized: its number, the new size, the scale, and the part of the input that is kept."""

    number: int
    size: int
    scale: float
    region: tuple[float, float]


def resize(
    node: Node, x: Array, second: Array | None = None, scales: Array | None = None, sizes: Array | None = None
) -> Array:
    """Resize; the inputs are (x, scales) at opset 10 and (x, region, scales, sizes) since."""
    if node.opset < 11:
        return _resized(
            x, [_scaled(x, k, scale) for k, scale in enumerate(_given(second))], {**node.attributes, **_OLDER}
        )
    attributes = {**_OLDER, **{name: value for name, value in node.attributes.items() if value is not None}}
    axes = [axis % x.ndim for axis in node["axes"] or range(x.ndim)]
    return _resized(x, _axes(x, axes, _given(second), _given(scales), _given(sizes), attributes), attributes)


def upsample(node: Node, x: Array, scales: Array | None = None) -> Array:
    """Upsample; the scales are an attribute before opset 9."""
    mode = "nearest" if node["mode"] == "nearest" else "linear"
    factors = node["scales"] if scales is None else _given(scales)
    return _resized(x, [_scaled(x, k, scale) for k, scale in enumerate(factors)], {**_OLDER, "mode": mode})


def _given(values: Array | None) -> list[float]:
    return [] if values is None else [float(value) for value in values]


def _scaled(x: Array, axis: int, scale: float, region: tuple[float, float] = (0.0, 1.0)) -> _Axis:
    # The product is one of float32 numbers, as exporters and runtimes take it: 17 times 1.9411764 is 33.
    return _Axis(axis, int(np.floor(np.float32(x.shape[axis]) * np.float32(scale))), scale, region)


def _axes(
    x: Array,
    axes: list[int],
    region: list[float],
    scales: list[float],
    sizes: list[float],
    attributes: Mapping[str, Any],
) -> list[_Axis]:
    if bool(scales) == bool(sizes):
        raise BadInput("Resize takes either scales or sizes")
    ends = region[len(axes) :] if region else [1.0] * len(axes)
    kept = list(zip(region[: len(axes)] or [0.0] * len(axes), ends, strict=True))
    if scales:
        return [_scaled(x, axis, scale, part) for axis, scale, part in zip(axes, scales, kept, strict=True)]
    factors = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    policy = attributes["keep_aspect_ratio_policy"]
    if policy != "stretch":
        factors = [min(factors) if policy == "not_larger" else max(factors)] * len(axes)
        sizes = [float(np.floor(factor * x.shape[axis] + 0.5)) for axis, factor in zip(axes, factors, strict=True)]
    return [
        _Axis(axis, int(size), factor, part)
        for axis, size, factor, part in zip(axes, sizes, factors, kept, strict=True)
    ]


def _resized(x: Array, axes: list[_Axis], attributes: Mapping[str, Any]) -> Array:
    cropped = attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    # Weights in the precision of the input, whole numbers in double.
    kind = np.dtype(np.float64) if x.dtype.kind in "iub" else x.dtype
    nearest = attributes["mode"] == "nearest"
    y = x if nearest else x.astype(kind, copy=False)
    outside = np.zeros((1,) * x.ndim, bool)
    for axis in axes:
        length = x.shape[axis.number]
        if axis.scale == 1 and axis.size == length and not cropped:
            continue
        at = _places(attributes, axis, length, np.dtype(np.float64))
        if cropped:
            beyond = (at < 0) | (at > length - 1)
            outside = outside | beyond.reshape([-1 if k == axis.number else 1 for k in range(x.ndim)])
        if nearest:
            y = np.take(y, _nearest(attributes["nearest_mode"], at, length), axis.number)
        else:
            y = _weighted(y, axis, _places(attributes, axis, length, kind), attributes)
    if x.dtype.kind in "iu":
        y = np.clip(np.trunc(y), np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    y = y.astype(x.dtype, copy=False)
    if cropped and outside.any():
        y = np.where(outside, np.asarray(attributes["extrapolation_value"], x.dtype), y)
    return y


def _places(attributes: Mapping[str, Any], axis: _Axis, length: int, kind: np.dtype[Any]) -> Array:
    """The place in the input, counted from 0, that every place of the output stands for."""
    out = np.arange(axis.size, dtype=kind)
    scale, full = kind.type(axis.scale), kind.type(axis.scale * length)
    match attributes["coordinate_transformation_mode"]:
        case "half_pixel":
            return np.asarray((out + 0.5) / scale - 0.5)
        case "half_pixel_symmetric":
            # Centred on what the rounding of the size cut off.
            return np.asarray(length / 2 * (1 - axis.size / full) + (out + 0.5) / scale - 0.5)
        case "pytorch_half_pixel":
            return np.asarray((out + 0.5) / scale - 0.5) if axis.size > 1 else 0 * out
        case "align_corners":
            return np.asarray(out * (length - 1) / (full - 1)) if axis.size > 1 else 0 * out
        case "asymmetric":
            return np.asarray(out / scale)
        case "tf_half_pixel_for_nn":
            return np.asarray((out + 0.5) / scale)
        case "tf_crop_and_resize":
            start, end = axis.region
            if axis.size == 1:
                return 0.5 * (start + end) * (length - 1) + 0 * out
            return np.asarray(start * (length - 1) + out * (end - start) * (length - 1) / (axis.size - 1))
        case other:
            raise BadInput(f"coordinate_transformation_mode '{other}' is not known")


def _nearest(mode: str, at: Array, length: int) -> Array:
    match mode:
        case "round_prefer_floor":
            chosen = np.ceil(at - 0.5)
        case "round_prefer_ceil":
            chosen = np.floor(at + 0.5)
        case "floor":
            chosen = np.floor(at)
        case _:
            chosen = np.ceil(at)
    return np.asarray(np.clip(chosen, 0, length - 1), np.int64)


def _weighted(y: Array, axis: _Axis, at: Array, attributes: Mapping[str, Any]) -> Array:
    length = y.shape[axis.number]
    total: Array | int = 0
    over = [-1 if k == axis.number else 1 for k in range(y.ndim)]
    for places, weights in _taps(at, length, axis.scale, attributes):
        values = np.take(y, np.clip(places, 0, length - 1), axis.number)
        total = total + values * weights.reshape(over)
    return np.asarray(total, y.dtype)


def _taps(at: Array, length: int, scale: float, attributes: Mapping[str, Any]) -> Iterator[tuple[Array, Array]]:
    """The places of the input that count, the first of every output place, then the second, ..., with their weights."""
    # With antialias a smaller picture takes in more of the larger one.
    stretch = scale if attributes["antialias"] and scale < 1 else 1.0
    cubic = attributes["mode"] == "cubic"
    reach = (2 if cubic else 1) / stretch
    first = np.floor(at - at.dtype.type(reach)).astype(np.int64)
    places = [first + k for k in range(int(np.ceil(2 * reach)) + 2)]
    weights = []
    for place in places:
        distance = np.abs(place - at).astype(at.dtype) * stretch
        weight = _cubic(distance, attributes["cubic_coeff_a"]) if cubic else np.maximum(1 - distance, 0)
        if attributes["exclude_outside"]:
            weight = np.where((place >= 0) & (place < length), weight, 0)
        weights.append(weight.astype(at.dtype))
    whole = np.sum(weights, 0)
    for place, weight in zip(places, weights, strict=True):
        if np.any(weight):
            yield place, weight / whole


def _cubic(distance: Array, a: float) -> Array:
    """The kernel of Keys (1981), as Resize states it."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
