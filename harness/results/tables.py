"""The rows of result tables, made from arrays."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.spec import Head
from harness.report.read import PERSISTENCE
from harness.tasks.class_metrics import predict, probabilities
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import AGGREGATIONS, exceedance, persistence, skill, step_errors

Array = NDArray[Any]


Rows = Iterable[Sequence[Any]]


def as_csv(rows: Rows) -> str:
    """Rows as CSV with plain line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def prediction_rows(
    regions: Sequence[str],
    ids: Sequence[int],
    truth: Sequence[str],
    class_names: Sequence[str],
    head: Head,
    outputs: Iterable[tuple[str, Array]],
) -> Iterator[list[str]]:
    """Per sample: region, id, truth, and the prediction of each runtime. ``outputs``: name and array (sample, class)."""
    header = ["region", "id", "truth"]
    columns: list[Sequence[str]] = [regions, [str(number) for number in ids], truth]
    for name, array in outputs:
        if array.shape != (len(truth), len(class_names)):
            continue
        header += [f"{name}.prediction", f"{name}.confidence", f"{name}.margin"]
        header += [f"{name}.p.{class_name}" for class_name in class_names]
        columns += _prediction_columns(array, class_names, head)
    yield header
    for row in zip(*columns, strict=True):
        yield list(row)


def _prediction_columns(outputs: Array, class_names: Sequence[str], head: Head) -> list[list[str]]:
    usable = np.asarray(np.isfinite(outputs).all(axis=1))
    # A row that is not finite has no decision; it is left empty rather than given the first class.
    found = predict(np.where(usable[:, None], outputs, 0.0), head)
    shares = probabilities(np.where(usable[:, None], outputs, 0.0), head)

    def shown(values: NDArray[np.float64]) -> list[str]:
        return [f"{value:.6g}" if good else "nan" for value, good in zip(values, usable, strict=True)]

    prediction = [class_names[index] if good else "" for index, good in zip(found.label, usable, strict=True)]
    return [prediction, shown(found.confidence), shown(found.margin), *(shown(column) for column in shares.T)]


def probe_rows(
    cells: Iterable[tuple[str, Array, Array, Array]], ids: Sequence[int], class_names: Sequence[str]
) -> Iterator[list[str]]:
    """Per cell, probe sample and class: target, route oracle and source oracle, each (sample, class)."""
    yield ["cell", "sample", "id", "class", "target", "route_oracle", "source_oracle"]
    for cell, target, route, source in cells:
        if not target.shape == route.shape == source.shape == (len(ids), len(class_names)):
            continue
        for sample, identity in enumerate(ids):
            for index, name in enumerate(class_names):
                values = (target[sample, index], route[sample, index], source[sample, index])
                yield [cell, str(sample), str(identity), name, *(_number(value) for value in values)]


#: Columns of ``forecast.csv`` and ``exceedance.csv``.
_ERROR_COLUMNS = (
    *("who", "aggregation", "step", "minutes", "samples", "pixels", "rmse", "mae", "bias"),
    *("rmse_physical", "mae_physical", "bias_physical", "unit", "skill"),
)


_EVENT_COLUMNS = (
    *("who", "threshold", "unit", "step", "minutes", "hits", "misses", "false_alarms", "correct_negatives"),
    *("csi", "pod", "far"),
)


def forecast_tables(
    forecast: Forecast, inputs: Array, truth: Array, mask: Array, outputs: Iterable[tuple[str, Array]]
) -> dict[str, Rows]:
    """``forecast.csv`` and ``exceedance.csv``: errors and hits of each runtime and of persistence, by step.

    ``inputs``: what was seen, (sample, band, time, row, column); ``truth`` and ``mask``: what followed, and where it was
    measured, (sample, band, step, row, column), scaled; ``outputs``: name and forecast of each.
    """
    errors: list[Sequence[str]] = [_ERROR_COLUMNS]
    events: list[Sequence[str]] = [_EVENT_COLUMNS]
    last = persistence(inputs, forecast.horizon)
    for name, array in itertools.chain([(PERSISTENCE, last)], outputs):
        if array.shape == truth.shape:
            errors += _error_rows(name, forecast, array, last, truth, mask)
            events += _event_rows(name, forecast, array, truth, mask)
    return {"forecast.csv": errors, "exceedance.csv": events}


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
            numbers = [_number(value) for value in values]
            place = [runner, aggregation, str(step + 1), _minutes(forecast, step)]
            yield [*place, *counts, *numbers, forecast.unit, _number(gained[step])]


def _event_rows(runner: str, forecast: Forecast, array: Array, truth: Array, mask: Array) -> Iterator[Sequence[str]]:
    by_step = exceedance(array, truth, mask, forecast.scaled_thresholds)
    for index, threshold in enumerate(forecast.thresholds):
        places = [("all", "", by_step.over_steps(), 0)]
        places += [(str(step + 1), _minutes(forecast, step), by_step, step) for step in range(forecast.horizon)]
        for name, minutes, part, place in places:
            cases = (part.hits, part.misses, part.false_alarms, part.correct_negatives)
            counts = [str(case[index, place]) for case in cases]
            shares = [_number(share[index, place]) for share in (part.csi, part.pod, part.far)]
            yield [runner, f"{threshold:g}", forecast.unit, name, minutes, *counts, *shares]


def _minutes(forecast: Forecast, step: int) -> str:
    """How long after the last frame seen a step lies."""
    return f"{(step + 1) * forecast.interval / 60:g}"


def _number(value: Any) -> str:
    """Shortest decimal that gives the float32 or float64 back."""
    return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else str(value)
