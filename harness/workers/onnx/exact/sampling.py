"""Values between the places of an image: GridSample, AffineGrid and RoiAlign.

onnx.reference computes the first two in float32, does not know the mode names of GridSample 16 (bilinear, bicubic), and shifts
RoiAlign before opset 16 by half a pixel.
"""

from __future__ import annotations

import itertools

import numpy as np

from harness.workers.engine import Array, BadInput
from harness.workers.onnx.exact.operator import Node

#: The cubic kernel of GridSample, which is PyTorch's.
_CUBIC = -0.75


def grid_sample(node: Node, x: Array, grid: Array) -> Array:
    """Values of ``x`` (sample, channel, place ...) at the places that ``grid`` (sample, place ..., axis) names from -1 to 1.

    ``grid`` counts axes from the last one. A place that lies outside is moved as ``padding_mode`` says, and so is every place that
    interpolation takes in. In cubic mode these alone are moved, as ONNX Runtime and PyTorch have it and onnx.reference has not.
    """
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node["mode"], node["mode"])
    if mode not in ("nearest", "linear", "cubic"):
        raise BadInput(f"GridSample mode '{mode}' is not known")
    padding, aligned = node["padding_mode"], bool(node["align_corners"])
    sizes = x.shape[2:]
    taps: list[list[tuple[Array, Array, Array]]] = []
    for axis, size in enumerate(sizes):
        at = grid[..., len(sizes) - 1 - axis]
        at = (at + 1) / 2 * (size - 1) if aligned else ((at + 1) * size - 1) / 2
        low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
        if mode == "nearest":
            at = np.rint(at)
        if mode == "cubic":
            # The places that interpolation takes in are moved alone, as ONNX Runtime and PyTorch have it.
            pass
        elif padding == "border":
            at = np.where((at < low) | (at > high), np.clip(at, 0, size - 1), at)
        elif padding == "reflection":
            at = _reflected(at, low, high)
        taps.append([_inside(place, weight, size, padding, low, high) for place, weight in _neighbours(at, mode)])
    y: Array | int = 0
    sample = np.arange(x.shape[0]).reshape(-1, *(1,) * (grid.ndim - 2))
    by_channel = np.moveaxis(x, 1, -1)
    for chosen in itertools.product(*taps):
        weight = np.prod([weight * known for _, weight, known in chosen], 0)
        y = y + by_channel[(sample, *(place for place, _, _ in chosen))] * weight[..., None]
    return np.asarray(np.moveaxis(np.asarray(y), -1, 1), x.dtype)


def _neighbours(at: Array, mode: str) -> list[tuple[Array, Array]]:
    """The places that count on one axis, with their weights."""
    if mode == "nearest":
        return [(at, np.ones_like(at))]
    first = np.floor(at)
    part = at - first
    if mode == "linear":
        return [(first, 1 - part), (first + 1, part)]
    return [(first + k, _cubic(np.abs(part - k))) for k in (-1, 0, 1, 2)]


def _cubic(distance: Array) -> Array:
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = _CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0)).astype(distance.dtype)


def _inside(
    place: Array, weight: Array, size: int, padding: str, low: float, high: float
) -> tuple[Array, Array, Array]:
    """A place within the image, its weight, and whether its value counts."""
    if padding == "reflection":
        place = _reflected(place, low, high)
    known = (place >= 0) & (place < size) if padding == "zeros" else np.ones(place.shape, bool)
    return np.clip(np.rint(place), 0, size - 1).astype(np.int64), weight, known


def _reflected(at: Array, low: float, high: float) -> Array:
    """Mirrored at both borders until it lies between them."""
    span = high - low
    if span <= 0:
        return np.zeros_like(at)
    beyond = np.abs(at - low)
    turns, rest = np.floor_divide(beyond, span), np.mod(beyond, span)
    mirrored = np.where(turns % 2 == 0, low + rest, high - rest).astype(at.dtype)
    # What lies inside keeps all its digits.
    return np.where((at >= low) & (at <= high), at, mirrored)


def affine_grid(node: Node, theta: Array, size: Array) -> Array:
    """The grid for GridSample that an affine map (sample, axis, axis + 1) makes of an image of the shape ``size``."""
    spatial = [int(length) for length in size[2:]]
    lines = []
    for length in spatial:
        if node["align_corners"]:
            line = np.linspace(-1, 1, length) if length > 1 else np.zeros(1)
        else:
            line = (2 * np.arange(length) + 1) / length - 1
        lines.append(line.astype(theta.dtype))
    places = np.meshgrid(*lines, indexing="ij")[::-1]
    known = np.stack([*places, np.ones(spatial, theta.dtype)], -1)
    return np.asarray(np.einsum("...k,nak->n...a", known, theta), theta.dtype)


def roi_align(node: Node, x: Array, rois: Array, batch: Array) -> Array:
    """Means or maxima over the cells of regions (region, 4: x, y, x, y) of ``x`` (sample, channel, row, column) (He et al., 2017).

    Places are shifted by half a pixel where ``coordinate_transformation_mode`` says so, which opset 16 brought.
    """
    shifted = node["coordinate_transformation_mode"] == "half_pixel"
    rows, columns = node["output_height"], node["output_width"]
    y = np.zeros((len(rois), x.shape[1], rows, columns), x.dtype)
    for number, (region, sample) in enumerate(zip(rois, batch, strict=True)):
        left, top, right, bottom = region * node["spatial_scale"] - (0.5 if shifted else 0.0)
        height, width = bottom - top, right - left
        if not shifted:
            height, width = max(height, 1.0), max(width, 1.0)
        down = _samples(top, height, rows, node["sampling_ratio"])
        across = _samples(left, width, columns, node["sampling_ratio"])
        parts = _corners(x[int(sample)], down.ravel(), across.ravel())
        parts = parts.reshape(4, x.shape[1], *down.shape, *across.shape)
        if node["mode"].lower() == "max":
            # The largest of the weighted corners and not of their sums, as onnx.reference and ONNX Runtime have it.
            y[number] = parts.max((0, 3, 5)) if parts.size else 0
        else:
            y[number] = parts.sum((0, 3, 5)) / max(down.shape[1] * across.shape[1], 1)
    return y


def _samples(start: float, extent: float, cells: int, ratio: int) -> Array:
    """Places along one axis: (cell, sample)."""
    size = extent / cells
    count = ratio if ratio > 0 else int(np.ceil(size))
    return np.asarray(start + size * (np.arange(cells)[:, None] + (np.arange(count) + 0.5) / max(count, 1)))


def _corners(x: Array, down: Array, across: Array) -> Array:
    """The four weighted neighbours of every place of a lattice: (corner, channel, row, column)."""
    rows, columns = x.shape[1:]
    (top, bottom, below), (left, right, beside) = _between(down, rows), _between(across, columns)
    known = ((down >= -1) & (down <= rows))[:, None] & ((across >= -1) & (across <= columns))
    found = [
        x[:, row][:, :, column] * (weight[:, None] * share * known)
        for row, weight in ((top, 1 - below), (bottom, below))
        for column, share in ((left, 1 - beside), (right, beside))
    ]
    return np.stack(found)


def _between(at: Array, size: int) -> tuple[Array, Array, Array]:
    """The places before and after, and how far on the way between them."""
    at = np.maximum(at, 0)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    return low, np.minimum(low + 1, size - 1), np.where(low >= size - 1, 0, at - low)
