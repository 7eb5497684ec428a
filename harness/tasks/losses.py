"""Losses of outputs in float64, the same for every framework; a framework's own are what it trains with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

#: Names that are accepted for a standard name.
OTHER_NAMES = {"bce": "binary-cross-entropy"}


def losses_of(name: str, head: str, output: Array, target: Mapping[str, Array]) -> Float64:
    """The loss of everything that counts, (value,): of each label, or of each value; under the mask where there is one.

    ``name``: ``cross-entropy`` (classes along axis 1 of the output), ``binary-cross-entropy`` or ``mse``. Raises KeyError on
    another name.
    """
    if name == "cross-entropy":
        found = cross_entropy(output, target["y"], head)
    else:
        found = {"mse": squared_errors, "binary-cross-entropy": binary_cross_entropy}[name](output, target["y"], head)
    return found[target["mask"]] if "mask" in target else found.reshape(-1)


def cross_entropy(output: Array, labels: NDArray[np.int64], head: str) -> Float64:
    """Cross-entropy (sample, *place) of what a head puts out, (sample, class, *place), for labels (sample, *place)."""
    values = output.astype(np.float64)
    if head == "logits":
        values = values - values.max(axis=1, keepdims=True)
        values = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    elif head == "softmax":
        # Bounded, since a probability may be rounded to zero.
        values = np.log(np.maximum(values, np.finfo(output.dtype).tiny))
    return -np.take_along_axis(values, np.expand_dims(labels, 1), axis=1)[:, 0]


def binary_cross_entropy(output: Array, truth: Array, head: str) -> Float64:
    """Cross-entropy of every value from 0 to 1, of the shape of the output."""
    found, wanted = output.astype(np.float64), truth.astype(np.float64)
    if head == "logits":
        # log(1 + exp(x)) - y x, without overflow.
        return np.logaddexp(0.0, found) - wanted * found
    # Bounded as in PyTorch, since a probability may be rounded to zero.
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(found), -100.0), np.maximum(np.log1p(-found), -100.0)
    return np.asarray(-(wanted * yes + (1.0 - wanted) * no))


def squared_errors(output: Array, truth: Array, head: str) -> Float64:
    """Squared error of every value, of the shape of the output."""
    return (output.astype(np.float64) - truth.astype(np.float64)) ** 2


@dataclass
class LossSum:
    """A loss summed over batches."""

    name: str
    head: str
    total: float = 0.0
    count: int = 0

    def add(self, output: Array, target: Mapping[str, Array]) -> None:
        """Take in a batch."""
        values = losses_of(self.name, self.head, output, target)
        self.total += float(values.sum())
        self.count += values.size

    @property
    def mean(self) -> float:
        """The mean over everything that counts; 0 where nothing does."""
        return self.total / max(self.count, 1)
