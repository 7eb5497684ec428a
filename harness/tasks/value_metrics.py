"""Errors of physical values, one or several variables per sample, each in its own unit.

Sums are (..., sum, variable) over samples: of their number, the error (predicted minus true), its size, its square, the truth's
distance from its mean over all samples, and the square of that, in this order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.numbers import Float64


def value_sums(truth: NDArray[Any], predicted: NDArray[Any]) -> Float64:
    """What each sample adds, float64 (sample, sum, variable), of arrays (sample, variable)."""
    true, error = np.asarray(truth, np.float64), np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    # By its distance from its mean, so that no digits are lost in the spread of a large value.
    centred = true - true.mean(axis=0) if len(true) else true
    return np.stack([np.ones_like(true), error, np.abs(error), error**2, centred, centred**2], axis=1)


def bias(sums: NDArray[Any]) -> Float64:
    """Mean error, (..., variable)."""
    return _over(sums[..., 1, :], sums[..., 0, :])


def mae(sums: NDArray[Any]) -> Float64:
    """Mean size of the error, (..., variable)."""
    return _over(sums[..., 2, :], sums[..., 0, :])


def rmse(sums: NDArray[Any]) -> Float64:
    """Root of the mean squared error, (..., variable)."""
    return np.sqrt(_over(sums[..., 3, :], sums[..., 0, :]))


def r2(sums: NDArray[Any]) -> Float64:
    """Coefficient of determination, 1 - SSE / SST, (..., variable); NaN where the truth does not vary."""
    total = sums[..., 5, :] - _over(sums[..., 4, :] ** 2, sums[..., 0, :])
    return np.asarray(1.0 - _over(sums[..., 3, :], np.where(total > 0, total, 0.0)))


def _over(numerator: Any, denominator: Any) -> Float64:
    """Quotient in float64; NaN where the denominator is 0."""
    over, under = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.asarray(np.divide(over, under, out=np.full(over.shape, np.nan), where=under != 0))
