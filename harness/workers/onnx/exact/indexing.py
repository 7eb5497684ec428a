"""Indexing, padding, and what occurs in a tensor."""

from __future__ import annotations

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def gather_elements(node: Node, x: Array, indices: Array) -> Array:
    """``x`` at places that ``indices`` names along ``axis``; onnx.reference takes -1 for none of the axes and refuses the sizes."""
    axis = node["axis"] % x.ndim
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = np.where(indices < 0, indices + x.shape[axis], indices)
    return np.asarray(x[tuple(places)])


def pad(
    node: Node, x: Array, pads: Array | None = None, value: Array | None = None, axes: Array | None = None
) -> Array:
    """Values around ``x``; a negative number takes some away, with which onnx.reference breaks.

    Before opset 11 ``pads`` and ``value`` are attributes.
    """
    given = node["pads"] if pads is None else [int(number) for number in pads]
    over = list(range(x.ndim)) if axes is None else [int(axis) % x.ndim for axis in axes]
    room = [(0, 0)] * x.ndim
    for place, axis in enumerate(over):
        room[axis] = (given[place], given[len(over) + place])
    more = [(max(0, head), max(0, tail)) for head, tail in room]
    if node["mode"] == "constant":
        filled = node["value"] if node.opset < 11 else (0 if value is None else value.reshape(-1)[0])
        padded = np.asarray(np.pad(x, more, constant_values=filled), x.dtype)
    else:
        padded = np.pad(x, more, mode=node["mode"])
    kept = [slice(max(0, -head), size + min(0, tail)) for (head, tail), size in zip(room, padded.shape, strict=True)]
    return padded[tuple(kept)]


def flatten(node: Node, x: Array) -> Array:
    """A matrix whose rows are the axes before ``axis``; onnx.reference breaks where one of them is empty."""
    axis = node["axis"] + (x.ndim if node["axis"] < 0 else 0)
    return x.reshape(int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:])))


def unique(node: Node, x: Array) -> tuple[Array, Array, Array, Array]:
    """The values of ``x``, or its slices along ``axis``, without repetition; first places, places of each, and counts.

    In the order of their first places where ``sorted`` is 0, with which onnx.reference breaks unless ``x`` has one axis.
    """
    axis = node["axis"]
    found, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(-1)
    if not node["sorted"]:
        order = np.argsort(first)
        found, first, counts = np.take(found, order, axis or 0), first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return found, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)
