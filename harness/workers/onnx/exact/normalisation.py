"""Normalisations.

Statistics are taken in the dtype of the input, which is float64 in an oracle: ``stash_type`` names the type in which a runtime
keeps them, and onnx.reference rounds GroupNormalization's to it (2e-7 off) and refuses any but float32 elsewhere.
"""

from __future__ import annotations

import math

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def batch_normalization(
    node: Node, x: Array, scale: Array, shift: Array, mean: Array, variance: Array
) -> Array | tuple[Array | None, ...]:
    """``scale (x - mean) / sqrt(variance + epsilon) + shift``, over axis 1.

    onnx.reference takes the statistics of the batch for opsets 9 to 13, where the given ones are meant unless the file asks for
    more than one output. In training the statistics are those of the batch, their variance being that of the population; the
    running ones are returned as ``momentum`` weighs them, and before opset 14 the batch's as well. ``spatial`` 0 (before opset 9)
    has statistics for every place and not only for every channel.
    """
    every_place = node["spatial"] == 0
    axes = (0,) if every_place or x.ndim < 2 else (0, *range(2, x.ndim))
    shape = (1, *x.shape[1:]) if every_place else (1, -1) + (1,) * (x.ndim - 2)
    if x.ndim < 2:
        # A tensor of rank 1 holds samples of one channel.
        shape = (1,)
    training = _in_training(node)
    used = (x.mean(axes), x.var(axes)) if training else (mean, variance)
    given, spread = (values.reshape(shape).astype(x.dtype, copy=False) for values in used)
    y = scale.reshape(shape) * (x - given) / np.sqrt(spread + node["epsilon"]) + shift.reshape(shape)
    y = np.asarray(y, x.dtype)
    if not training:
        return y
    momentum = node["momentum"]
    statistics = [values.reshape(mean.shape).astype(mean.dtype) for values in used]
    running = [old * momentum + new * (1 - momentum) for old, new in zip((mean, variance), statistics, strict=True)]
    return (y, *running, *statistics) if node.opset < 14 else (y, *running)


def _in_training(node: Node) -> bool:
    if node.opset >= 14:
        return bool(node["training_mode"])
    if node.opset >= 7:
        return node.asked(1)
    return not node["is_test"]


def layer_normalization(node: Node, x: Array, scale: Array, shift: Array | None = None) -> tuple[Array, Array, Array]:
    """``scale (x - mean) / sqrt(variance + epsilon) + shift`` over the axes from ``axis`` on; mean and 1 / deviation beside it."""
    axes = tuple(range(node["axis"] % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(axes, keepdims=True) + node["epsilon"])
    y = centred * inverse * scale
    return (y if shift is None else y + shift).astype(x.dtype, copy=False), x.mean(axes, keepdims=True), inverse


def rms_normalization(node: Node, x: Array, scale: Array) -> Array:
    """``scale x / sqrt(mean of x^2 + epsilon)`` over the axes from ``axis`` on (Zhang and Sennrich, 2019)."""
    axes = tuple(range(node["axis"] % x.ndim, x.ndim))
    return np.asarray(x / np.sqrt((x**2).mean(axes, keepdims=True) + node["epsilon"]) * scale, x.dtype)


def group_normalization(node: Node, x: Array, scale: Array, shift: Array) -> Array:
    """Every group of channels of every sample by itself (Wu and He, 2018).

    ``scale`` and ``shift`` hold a value per group at opset 18, and one per channel since 21.
    """
    groups = node["num_groups"]
    grouped = x.reshape(x.shape[0], groups, -1)
    centred = grouped - grouped.mean(-1, keepdims=True)
    y = (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + node["epsilon"])).reshape(x.shape)
    if node.opset < 21:
        scale, shift = (np.repeat(values, x.shape[1] // groups) for values in (scale, shift))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return np.asarray(y * scale.reshape(shape) + shift.reshape(shape), x.dtype)


def mean_variance_normalization(node: Node, x: Array) -> Array:
    """``(x - mean) / (deviation + 1e-9)`` over ``axes``.

    onnx.reference runs the standard's function for it, whose 1e-9 is float32, and breaks on float64.
    """
    axes = tuple(node["axes"])
    centred = x - x.mean(axes, keepdims=True)
    # The mean of the squares less the square of the mean, as the function has it, would cancel.
    return np.asarray(centred / (np.sqrt((centred**2).mean(axes, keepdims=True)) + 1e-9), x.dtype)


def lp_normalization(node: Node, x: Array) -> Array:
    """``x`` over its norm along ``axis``; 0 where that is 0. onnx.reference leaves out the absolute values for ``p`` 1."""
    p = node["p"]
    norm = (np.abs(x) ** p).sum(node["axis"], keepdims=True) ** (1.0 / p)
    return np.asarray(x / np.where(norm == 0, 1, norm), x.dtype)


def local_response_normalization(node: Node, x: Array) -> Array:
    """``x / (bias + alpha / size * sum of squares of the channels around)^beta`` (Krizhevsky et al., 2012).

    onnx.reference counts samples for channels, so that all channels beyond the number of samples have the sum 0 (1.5e-3 off)
    and it fails where there are more samples than channels.
    """
    size = node["size"]
    before, after = math.floor((size - 1) / 2), math.ceil((size - 1) / 2)
    squares = np.pad(x**2, [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
    total = sum(squares[:, k : k + x.shape[1]] for k in range(size))
    return np.asarray(x / (node["bias"] + node["alpha"] / size * total) ** node["beta"], x.dtype)
