"""Pools over sliding windows.

onnx.reference counts the padding of a dilated or strided ``auto_pad`` wrongly (see :func:`windows`), divides LpPool's sum by the
places that are no padding and multiplies by the size of the kernel, and shifts a last window that ``ceil_mode`` adds.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node
from harness.workers.onnx.exact.windows import Windows, taps, windows


def _windows(node: Node, x: Array) -> Windows:
    return windows(node, x.shape[2:], tuple(node["kernel_shape"]))


def max_pool(node: Node, x: Array) -> Array | tuple[Array, Array]:
    """The largest value of each window, and where it lies in the whole input; NaN where a window holds one."""
    over = _windows(node, x)
    lowest = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    values = taps(x, over, lowest)
    largest: Array = values.max(-1)
    if not node.asked(1):
        return largest
    order = np.arange(int(np.prod(x.shape[2:])))
    # With storage_order 1 places are counted along the first spatial axis first.
    places = order.reshape(x.shape[2:][::-1]).T if node["storage_order"] else order.reshape(x.shape[2:])
    where = taps(places[None, None].astype(np.float64), over, -1)
    # The padding is no place, though it may equal the lowest value.
    chosen = np.where(where >= 0, values, lowest).argmax(-1)
    inside = np.take_along_axis(np.broadcast_to(where, values.shape), chosen[..., None], -1)[..., 0].astype(np.int64)
    channels = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
    return largest, inside + channels * order.size


def average_pool(node: Node, x: Array) -> Array:
    """The mean of each window, without the padding unless ``count_include_pad``, and never with what lies beyond it."""
    over = _windows(node, x)
    counted = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if node["count_include_pad"]:
        room = [(0, 0), (0, 0), *zip(over.before, over.after, strict=True)]
        counted = np.pad(counted, room, constant_values=1)
        bare = dataclasses.replace(over, before=(0,) * len(over.kernel), after=(0,) * len(over.kernel))
        return np.asarray(taps(x, over, 0).sum(-1) / taps(counted, bare, 0).sum(-1), x.dtype)
    return np.asarray(taps(x, over, 0).sum(-1) / taps(counted, over, 0).sum(-1), x.dtype)


def lp_pool(node: Node, x: Array) -> Array:
    """The p-norm of each window."""
    p = node["p"]
    return np.asarray((np.abs(taps(x, _windows(node, x), 0)) ** p).sum(-1) ** (1.0 / p), x.dtype)


def global_max_pool(_: Node, x: Array) -> Array:
    """The largest value of each channel; onnx.reference takes channels for an image's axis unless there are two spatial axes."""
    return np.asarray(x.max(tuple(range(2, x.ndim)), keepdims=True))


def global_lp_pool(node: Node, x: Array) -> Array:
    """The p-norm of each channel; onnx.reference does not have it."""
    p = node["p"]
    axes = tuple(range(2, x.ndim))
    return np.asarray((np.abs(x) ** p).sum(axes, keepdims=True) ** (1.0 / p), x.dtype)
