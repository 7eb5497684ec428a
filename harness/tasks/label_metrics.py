"""Metrics of several labels per sample. Conventions are scikit-learn's; a quotient 0 / 0 is 0 (``zero_division=0``).

Counts are (..., case, label) with the cases hit, false alarm, miss, correct rejection, in this order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.numbers import Float64, ratio


def label_counts(
    truth: NDArray[Any], predicted: NDArray[Any], known: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Counts (sample, case, label) of truth and prediction (sample, label, place, ...), each 0 or 1, summed over places.

    ``known``, of the same shape: where the truth is known; elsewhere nothing is counted.
    """
    true, found = np.asarray(truth) != 0, np.asarray(predicted) != 0
    counted = np.ones(true.shape, np.bool_) if known is None else known
    cases = (true & found, ~true & found, true & ~found, ~true & ~found)
    places = tuple(range(2, true.ndim))
    return np.stack([(case & counted).sum(axis=places, dtype=np.int64) for case in cases], axis=1)


def precision(counts: NDArray[Any]) -> Float64:
    """Hits among what was predicted, (..., label)."""
    return ratio(counts[..., 0, :], counts[..., 0, :] + counts[..., 1, :])


def recall(counts: NDArray[Any]) -> Float64:
    """Hits among what is true, (..., label)."""
    return ratio(counts[..., 0, :], counts[..., 0, :] + counts[..., 2, :])


def f_score(counts: NDArray[Any], beta: float = 1.0) -> Float64:
    """F-measure that weighs recall ``beta`` times as much as precision (van Rijsbergen 1979), (..., label)."""
    hit, wrong, missed = (np.asarray(counts[..., case, :], np.float64) for case in range(3))
    weight = beta * beta
    return ratio((1 + weight) * hit, (1 + weight) * hit + weight * missed + wrong)


def hamming_loss(counts: NDArray[Any]) -> Float64:
    """Share of wrong decisions among all, over samples and labels, (...,)."""
    return ratio((counts[..., 1, :] + counts[..., 2, :]).sum(axis=-1), counts.sum(axis=(-2, -1)))


def pooled(counts: NDArray[Any]) -> NDArray[Any]:
    """The counts of all labels together, (..., case, 1): what ``micro`` averages are of."""
    return np.asarray(counts.sum(axis=-1, keepdims=True))


def support(counts: NDArray[Any]) -> NDArray[Any]:
    """Number of samples that have a label, (..., label)."""
    return np.asarray(counts[..., 0, :] + counts[..., 2, :])


def weighted(values: Float64, counts: NDArray[Any]) -> Float64:
    """The mean over labels weighted by their support, (...,)."""
    weights = support(counts)
    return ratio((values * weights).sum(axis=-1), weights.sum(axis=-1))


def overall(counts: NDArray[Any]) -> dict[str, Float64]:
    """All metrics over labels, each (...,): means over labels (``macro``), of pooled counts (``micro``), by support."""
    f1, together = f_score(counts), pooled(counts)
    return {
        "f1_micro": f_score(together)[..., 0],
        "f1_macro": f1.mean(axis=-1),
        "f1_weighted": weighted(f1, counts),
        "f2_micro": f_score(together, 2.0)[..., 0],
        "f2_macro": f_score(counts, 2.0).mean(axis=-1),
        "precision_micro": precision(together)[..., 0],
        "precision_macro": precision(counts).mean(axis=-1),
        "recall_micro": recall(together)[..., 0],
        "recall_macro": recall(counts).mean(axis=-1),
        "hamming": hamming_loss(counts),
    }
