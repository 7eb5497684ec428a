"""Losses in Keras by their standard names, on any backend: what a model is trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from harness.workers.engine import Array, BadInput


def packed(target: Mapping[str, Array]) -> Array:
    """A target as the one array that Keras takes: ``y`` alone, or float32 (*y, 2) of it and of its mask as 0 or 1."""
    if "mask" not in target:
        return target["y"]
    return np.stack([target["y"].astype(np.float32), target["mask"].astype(np.float32)], axis=-1)


def loss_of(name: str, head: str, *, masked: bool) -> Callable[[Any, Any], Any]:
    """A loss of Keras by name, of targets as `packed` gives them, ``masked`` where they have a mask.

    ``cross-entropy``: output (sample, class, *place), labels (sample, *place). ``binary-cross-entropy`` and ``mse``: of every
    value. Where nothing counts the loss is 0. Raises BadInput on another name.
    """
    values = {
        "cross-entropy": cross_entropy(head),
        "binary-cross-entropy": binary_cross_entropy(head),
        "mse": squared_error,
    }.get(name)
    if values is None:
        raise BadInput(f"loss '{name}' cannot be trained with Keras")
    each: Callable[[Any, Any], Any] = values
    if not masked:
        return each

    def loss(target: Any, output: Any) -> Any:
        """Mean loss of everything that counts."""
        truth, mask = target[..., 0], target[..., 1]
        counted = ops.where(ops.cast(mask, "bool"), each(truth, output), 0.0)
        return ops.divide(ops.sum(counted), ops.maximum(ops.sum(mask), 1.0))

    return loss


def squared_error(truth: Any, output: Any) -> Any:
    """Squared error of every value."""
    return ops.square(ops.subtract(output, truth))


def binary_cross_entropy(head: str) -> Callable[[Any, Any], Any]:
    """Cross-entropy of every value from 0 to 1, for what a head puts out."""

    def loss(truth: Any, output: Any) -> Any:
        truth = ops.cast(truth, output.dtype)
        if head == "logits":
            return ops.subtract(ops.softplus(output), ops.multiply(truth, output))
        # PyTorch bounds the logarithm itself, at -100; either way a certainty that was wrong does not cost everything.
        yes, no = (ops.log(ops.maximum(chance, np.finfo(np.float32).tiny)) for chance in (output, 1.0 - output))
        return ops.negative(ops.add(ops.multiply(truth, yes), ops.multiply(1.0 - truth, no)))

    return loss


def cross_entropy(head: str) -> Callable[[Any, Any], Any]:
    """Cross-entropy (sample, *place) of labels, for what a head puts out, (sample, class, *place)."""

    def loss(labels: Any, output: Any) -> Any:
        if head == "logits":
            output = ops.log_softmax(output, axis=1)
        elif head == "softmax":
            output = ops.log(ops.maximum(output, np.finfo(np.float32).tiny))
        whole = ops.reshape(ops.cast(labels, "int32"), (-1, *output.shape[2:]))
        chosen = ops.one_hot(whole, output.shape[1], axis=1, dtype=output.dtype)
        return ops.negative(ops.sum(ops.multiply(chosen, output), axis=1))

    return loss
