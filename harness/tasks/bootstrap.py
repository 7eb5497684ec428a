"""Bootstrap intervals of metrics that follow from sums over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.class_metrics import FEW_SAMPLES, Interval

Float64 = NDArray[np.float64]

_RESAMPLES = 1000
#: Resamples that are drawn at once: bounds the table of how often each sample was drawn.
_AT_ONCE = 50


def intervals_of(
    statistics: NDArray[Any],
    metric: Callable[[NDArray[Any]], Float64],
    support: NDArray[np.int64] | int,
    *,
    seed: int = 0,
) -> list[Interval]:
    """Percentile bootstrap intervals of 95 % over samples (Efron and Tibshirani 1993, chapter 13), one for each number.

    ``statistics`` (sample, *shape) are what the metric is made of: it takes their sum over samples, (..., *shape), and gives
    (..., number). ``support``: what each number rests on, samples or parts of them such as pixels; it is ``few`` where that is, or
    where there are few samples to draw from. Equal seeds give equal intervals.
    """
    values = np.atleast_1d(metric(statistics.sum(axis=0)))
    supports = np.broadcast_to(support, values.shape)
    samples = len(statistics)
    if not samples:
        return [Interval(float(value), float(value), float(value), 0, True) for value in values]
    flat = statistics.reshape(samples, -1).astype(np.float64)
    generator, parts = np.random.default_rng(seed), []
    for start in range(0, _RESAMPLES, _AT_ONCE):
        size = min(_AT_ONCE, _RESAMPLES - start)
        drawn = generator.multinomial(samples, np.full(samples, 1 / samples), size=size).astype(np.float64)
        # A sum may hold what is not finite: a model may answer so.
        with np.errstate(invalid="ignore"):
            parts.append(np.asarray(metric((drawn @ flat).reshape(size, *statistics.shape[1:]))).reshape(size, -1))
    low, high = np.quantile(np.concatenate(parts), [0.025, 0.975], axis=0)
    return [
        Interval(float(value), float(least), float(most), int(count), min(int(count), samples) < FEW_SAMPLES)
        for value, least, most, count in zip(values, low, high, supports, strict=True)
    ]
