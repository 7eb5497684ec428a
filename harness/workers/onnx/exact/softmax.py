"""Softmax, LogSoftmax and Hardmax.

Before opset 13 the standard flattens the input into a matrix at ``axis`` and works on its rows; onnx.reference works along the
one axis in every opset, and takes the default axis of opset 13 for all. Its LogSoftmax is the logarithm of Softmax, which is
minus infinity where a share underflows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def softmax(node: Node, x: Array) -> Array:
    """Shares of ``exp(x)``."""
    return _over_rows(node, x, _softmax)


def log_softmax(node: Node, x: Array) -> Array:
    """Logarithms of the shares of ``exp(x)``."""
    return _over_rows(node, x, _log_softmax)


def hardmax(node: Node, x: Array) -> Array:
    """1 at the first largest value, 0 elsewhere."""
    return _over_rows(node, x, _hardmax)


def _over_rows(node: Node, x: Array, compute: Callable[[Array], Array]) -> Array:
    """Work on the last axis of a matrix: the flattened rest before opset 13, the one axis since."""
    if not x.size:
        return x
    axis = node["axis"] % x.ndim if x.ndim else 0
    if node.opset < 13:
        return compute(x.reshape(int(np.prod(x.shape[:axis])), -1)).reshape(x.shape)
    moved = np.moveaxis(np.atleast_1d(x), axis, -1)
    return np.moveaxis(compute(moved), -1, axis).reshape(x.shape)


def _softmax(x: Array) -> Array:
    shares = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def _hardmax(x: Array) -> Array:
    return np.asarray(np.arange(x.shape[-1]) == x.argmax(-1)[..., None], x.dtype)
