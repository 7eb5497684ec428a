"""Losses over classes."""

from __future__ import annotations

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def negative_log_likelihood(node: Node, x: Array, labels: Array, weights: Array | None = None) -> Array:
    """Minus the value of ``x`` (sample, class, ...) at the class that ``labels`` (sample, ...) name, weighted by class.

    onnx.reference counts labels to be left out for the mean where ``ignore_index`` is -1 and there are no weights.
    """
    ignored = node["ignore_index"]
    known = np.ones(labels.shape, bool) if ignored is None else labels != ignored
    classes = np.where(known, labels, 0).astype(np.int64)
    share = np.where(known, 1 if weights is None else weights[classes], 0).astype(x.dtype)
    loss = -np.take_along_axis(x, classes[:, None], 1)[:, 0] * share
    match node["reduction"]:
        case "none":
            return np.asarray(loss)
        case "sum":
            return np.asarray(loss.sum())
        case _:
            return np.asarray(loss.sum() / share.sum())
