"""Rows of the result files of forecasts, made from arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.bootstrap import intervals_of
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import (
    AGGREGATIONS,
    exceedance,
    persistence,
    pooled_mae,
    pooled_rmse,
    pooled_skill,
    skill,
    step_errors,
    step_sums,
)
from harness.tasks.numbers import shortest

Array = NDArray[Any]
Rows = Iterable[Sequence[Any]]

#: The forecast that what was seen last stays, among those who forecast.
PERSISTENCE = "persistence"

#: Columns of ``forecast.csv`` and ``exceedance.csv``.
_ERROR_COLUMNS = (
    *("who", "aggregation", "step", "minutes", "samples", "pixels", "rmse", "mae", "bias"),
    *("rmse_physical", "mae_physical", "bias_physical", "unit", "skill"),
)


_EVENT_COLUMNS = (
    *("who", "threshold", "unit", "step", "minutes", "hits", "misses", "false_alarms", "correct_negatives"),
    *("csi", "pod", "far"),
)


#: Columns of ``forecast_intervals.csv``: pooled errors in the physical unit, with bootstrap intervals over samples.
INTERVAL_COLUMNS = ("who", "metric", "step", "minutes", "value", "low", "high", "samples", "pixels", "unit")


def forecast_tables(
    forecast: Forecast, inputs: Array, truth: Array, mask: Array, outputs: Iterable[tuple[str, Array]]
) -> dict[str, Rows]:
    """``forecast.csv``, ``exceedance.csv`` and ``forecast_intervals.csv``, of each runtime and of persistence, by step.

    ``inputs``: what was seen, (sample, band, time, row, column); ``truth`` and ``mask``: what followed, and where it was
    measured, (sample, band, step, row, column), scaled; ``outputs``: name and forecast of each.
    """
    errors: list[Sequence[str]] = [_ERROR_COLUMNS]
    events: list[Sequence[str]] = [_EVENT_COLUMNS]
    intervals: list[Sequence[str]] = [INTERVAL_COLUMNS]
    last = persistence(inputs, forecast.horizon)
    for name, array in itertools.chain([(PERSISTENCE, last)], outputs):
        if array.shape == truth.shape:
            errors += _error_rows(name, forecast, array, last, truth, mask)
            events += _event_rows(name, forecast, array, truth, mask)
            intervals += _interval_rows(name, forecast, array, last, truth, mask)
    return {"forecast.csv": errors, "exceedance.csv": events, "forecast_intervals.csv": intervals}


def _error_rows(
    runner: str, forecast: Forecast, array: Array, last: Array, truth: Array, mask: Array
) -> Iterator[Sequence[str]]:
    for aggregation in AGGREGATIONS:
        found = step_errors(array, truth, mask, aggregation)
        gained = skill(found, step_errors(last, truth, mask, aggregation))
        physical = found.times(forecast.top - forecast.bottom)
        for step in range(forecast.horizon):
            values = [getattr(part, name)[step] for part in (found, physical) for name in ("rmse", "mae", "bias")]
            counts = [str(found.samples[step]), str(found.pixels[step])]
            numbers = [shortest(value) for value in values]
            place = [runner, aggregation, str(step + 1), _minutes(forecast, step)]
            yield [*place, *counts, *numbers, forecast.unit, shortest(gained[step])]


def _interval_rows(
    runner: str, forecast: Forecast, array: Array, last: Array, truth: Array, mask: Array
) -> Iterator[Sequence[str]]:
    sums, scale = step_sums(array, truth, mask, last), forecast.top - forecast.bottom
    pixels = sums[:, 0].sum(axis=0).astype(np.int64)
    for key, metric, factor, unit in (
        ("rmse", pooled_rmse, scale, forecast.unit),
        ("mae", pooled_mae, scale, forecast.unit),
        ("skill", pooled_skill, 1.0, ""),
    ):
        for step, found in enumerate(intervals_of(sums, metric, pixels)):
            numbers = [shortest(factor * value) for value in (found.value, found.low, found.high)]
            counts = [str(len(sums)), str(found.samples)]
            yield [runner, key, str(step + 1), _minutes(forecast, step), *numbers, *counts, unit]


def _event_rows(runner: str, forecast: Forecast, array: Array, truth: Array, mask: Array) -> Iterator[Sequence[str]]:
    by_step = exceedance(array, truth, mask, forecast.scaled_thresholds)
    for index, threshold in enumerate(forecast.thresholds):
        places = [("all", "", by_step.over_steps(), 0)]
        places += [(str(step + 1), _minutes(forecast, step), by_step, step) for step in range(forecast.horizon)]
        for name, minutes, part, place in places:
            cases = (part.hits, part.misses, part.false_alarms, part.correct_negatives)
            counts = [str(case[index, place]) for case in cases]
            shares = [shortest(share[index, place]) for share in (part.csi, part.pod, part.far)]
            yield [runner, f"{threshold:g}", forecast.unit, name, minutes, *counts, *shares]


def _minutes(forecast: Forecast, step: int) -> str:
    """How long after the last frame seen a step lies."""
    return f"{(step + 1) * forecast.interval / 60:g}"
