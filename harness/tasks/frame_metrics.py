"""Metrics of forecasts of frames: error per step, exceedance of thresholds, and persistence to be beaten.

Arrays have the axes (sample, band, step, row, column); ``mask``, bool of the same shape, is True where the truth was
measured, and nothing else counts. Everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: ``pooled``: over all pixels of all samples at once. ``mean-of-samples``: per sample first, then the mean over samples. For
#: the RMSE the second is never larger, and figures of the two do not compare.
Aggregation = Literal["pooled", "mean-of-samples"]
AGGREGATIONS: tuple[Aggregation, ...] = ("pooled", "mean-of-samples")

_AXES = 5


@dataclass(frozen=True)
class StepErrors:
    """Errors by step, each (step,); NaN where nothing was measured.

    ``samples`` and ``pixels`` count what the step rests on: samples with a measurement, and measured pixels of all of them.
    """

    aggregation: Aggregation
    rmse: Float64
    mae: Float64
    bias: Float64
    samples: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def times(self, factor: float) -> StepErrors:
        """The same errors in a unit in which 1 is ``factor``: from 0..1 to mm/h or dBZ."""
        return StepErrors(
            self.aggregation, self.rmse * factor, self.mae * factor, self.bias * factor, self.samples, self.pixels
        )


def step_errors(forecast: Array, truth: Array, mask: Mask, aggregation: Aggregation) -> StepErrors:
    """RMSE, MAE and bias (forecast minus truth) by step. Raises DataError where shapes do not fit."""
    _check(forecast, truth, mask)
    difference = np.where(mask, np.asarray(forecast, np.float64) - np.asarray(truth, np.float64), 0.0)
    # (sample, step)
    counts = mask.sum(axis=(1, 3, 4))
    squares, sizes, signed = (
        part.sum(axis=(1, 3, 4)) for part in (difference * difference, np.abs(difference), difference)
    )
    if aggregation == "pooled":
        total = counts.sum(axis=0)
        rmse, mae, bias = np.sqrt(_over(squares.sum(0), total)), _over(sizes.sum(0), total), _over(signed.sum(0), total)
    else:
        present = (counts > 0).sum(axis=0)
        each = (np.sqrt(_over(squares, counts)), _over(sizes, counts), _over(signed, counts))
        # Not nansum: a forecast that is not finite must show.
        rmse, mae, bias = (_over(np.where(counts > 0, values, 0.0).sum(axis=0), present) for values in each)
    return StepErrors(
        aggregation, rmse, mae, bias, (counts > 0).sum(axis=0).astype(np.int64), counts.sum(axis=0).astype(np.int64)
    )


def step_sums(forecast: Array, truth: Array, mask: Mask, reference: Array) -> Float64:
    """What each sample adds to pooled errors, float64 (sample, sum, step): pixels, squared errors, sizes of errors, and
    squared errors of a ``reference`` forecast. Raises DataError where shapes do not fit.
    """
    _check(forecast, truth, mask)
    _check(reference, truth, mask)
    true = np.asarray(truth, np.float64)
    error, other = (np.where(mask, np.asarray(one, np.float64) - true, 0.0) for one in (forecast, reference))
    parts = (mask, error * error, np.abs(error), other * other)
    return np.stack([part.sum(axis=(1, 3, 4), dtype=np.float64) for part in parts], axis=1)


def pooled_rmse(sums: Array) -> Float64:
    """RMSE over all pixels, (..., step), of sums (..., sum, step) over samples."""
    return np.sqrt(_over(sums[..., 1, :], sums[..., 0, :]))


def pooled_mae(sums: Array) -> Float64:
    """MAE over all pixels, (..., step), of sums (..., sum, step) over samples."""
    return _over(sums[..., 2, :], sums[..., 0, :])


def pooled_skill(sums: Array) -> Float64:
    """1 - MSE / MSE of the reference, (..., step), of sums (..., sum, step) over samples."""
    return np.asarray(1.0 - _over(sums[..., 1, :], sums[..., 3, :]))


@dataclass(frozen=True)
class Exceedance:
    """Counts of pixels by threshold and step, each int64 (threshold, step), and what follows from them.

    An event is a value at or above the threshold. Indices as in Wilks (2011), Statistical Methods in the Atmospheric
    Sciences, section 8.2; NaN where a denominator is 0.
    """

    thresholds: tuple[float, ...]
    hits: NDArray[np.int64]
    misses: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    correct_negatives: NDArray[np.int64]

    @property
    def csi(self) -> Float64:
        """Critical success index (threat score): hits / (hits + misses + false alarms)."""
        return _over(self.hits, self.hits + self.misses + self.false_alarms)

    @property
    def pod(self) -> Float64:
        """Probability of detection: hits / (hits + misses)."""
        return _over(self.hits, self.hits + self.misses)

    @property
    def far(self) -> Float64:
        """False alarm ratio: false alarms / (hits + false alarms)."""
        return _over(self.false_alarms, self.hits + self.false_alarms)

    def over_steps(self) -> Exceedance:
        """The counts of all steps together, as if they were one."""
        return Exceedance(
            self.thresholds,
            *(
                part.sum(axis=1, keepdims=True)
                for part in (self.hits, self.misses, self.false_alarms, self.correct_negatives)
            ),
        )


def exceedance(forecast: Array, truth: Array, mask: Mask, thresholds: Sequence[float]) -> Exceedance:
    """How a forecast hits the exceedance of thresholds, which are in the unit of the arrays.

    A forecast that is not finite is no event. Raises DataError where shapes do not fit.
    """
    _check(forecast, truth, mask)
    counts = np.zeros((4, len(thresholds), forecast.shape[2]), dtype=np.int64)
    values = np.where(np.isfinite(forecast), forecast, -np.inf)
    for index, threshold in enumerate(thresholds):
        foreseen, happened = values >= threshold, np.asarray(truth) >= threshold
        cases = (foreseen & happened, ~foreseen & happened, foreseen & ~happened, ~foreseen & ~happened)
        for case, found in enumerate(cases):
            counts[case, index] = (found & mask).sum(axis=(0, 1, 3, 4))
    return Exceedance(tuple(float(value) for value in thresholds), *counts)


def persistence(inputs: Array, horizon: int) -> Array:
    """The forecast that nothing changes: the last frame of ``inputs`` (sample, band, time, row, column), ``horizon`` times.

    What a nowcast must beat. Of the same dtype as the inputs.
    """
    if inputs.ndim != _AXES or not inputs.shape[2]:
        raise DataError(f"inputs must be (sample, band, time, row, column), not of shape {inputs.shape}")
    return np.repeat(inputs[:, :, -1:], horizon, axis=2)


def skill(errors: StepErrors, reference: StepErrors) -> Float64:
    """1 - MSE / MSE of the reference, (step,): 1 is perfect, 0 no better than the reference; NaN where that has no error.

    Raises DataError where the two are aggregated differently.
    """
    if errors.aggregation != reference.aggregation:
        raise DataError(
            f"errors that are {errors.aggregation} do not compare with those that are {reference.aggregation}"
        )
    return np.asarray(1.0 - _over(errors.rmse**2, reference.rmse**2))


def _check(forecast: Array, truth: Array, mask: Mask) -> None:
    if not forecast.shape == truth.shape == mask.shape:
        raise DataError(
            f"forecast, truth and mask must be of one shape, not {forecast.shape}, {truth.shape} and {mask.shape}"
        )
    if forecast.ndim != _AXES:
        raise DataError(f"forecasts must be (sample, band, step, row, column), not of shape {forecast.shape}")
    if mask.dtype != np.bool_:
        raise DataError(f"the mask must be bool, not {mask.dtype}")
    if not np.isfinite(np.where(mask, truth, 0.0)).all():
        raise DataError("the truth holds a value that is not finite where it was measured")


def _over(numerator: Any, denominator: Any) -> Float64:
    """Quotient in float64; NaN where the denominator is 0."""
    over, under = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.asarray(np.divide(over, under, out=np.full(over.shape, np.nan), where=under != 0))
