"""Frames after those that were seen: errors of measured pixels, and the exceedance of physical thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import DataError
from harness.tasks.base import (
    Answers,
    Array,
    PortScore,
    Problem,
    Rows,
    Samples,
    Target,
    Task,
    Validation,
    wanted_array,
)
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.example_frames import example_frames
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import AGGREGATIONS, persistence, step_errors
from harness.tasks.frame_rows import forecast_tables
from harness.tasks.losses import LossSum

NAME = "forecast"


class ForecastTask(Task):
    """Output (sample, band, step, row, column); target ``y`` of that shape, and ``mask`` bool, where it was measured.

    Test samples have ``seen_mask`` too: bool (sample, band, time, row, column), where what is seen was measured.
    """

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("mse", "binary-cross-entropy")
    #: Errors pooled over all steps, in the physical unit, and skill against persistence.
    columns: ClassVar[tuple[str, ...]] = ("valid_loss", "rmse", "mae", "skill")
    at_once: ClassVar[int] = 8
    curves: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    decision: ClassVar[Decision] = "exceedance"
    output_axes: ClassVar[int] = 5
    #: The physical values that are exceeded are not in a file.
    decides_files: ClassVar[bool] = False
    stac_name: ClassVar[str] = "regression"
    result_files: ClassVar[tuple[str, ...]] = (
        *("forecast.csv", "exceedance.csv", "forecast_intervals.csv"),
        "frames.safetensors",
    )
    report: ClassVar[str] = "frames"
    tables: ClassVar[tuple[str, ...]] = ("forecast", "forecast_intervals", "exceedance")
    figures: ClassVar[tuple[str, ...]] = ("error_per_step", "frames")

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        shape = (None, *problem.shape[1:])
        wanted_array(target, "y", shape, "f")
        wanted_array(target, "mask", shape, "b")

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task: whether each threshold of the data is exceeded in each pixel that was measured."""
        known = forecast_of(problem)
        return DecisionRule(self.decision, known.threshold_names, ids, known.scaled_thresholds, target["mask"])

    def result_tables(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, Rows]:
        """See Task: errors and hits of each runtime and of persistence, by step."""
        (seen,) = samples.inputs().values()
        return forecast_tables(forecast_of(problem), seen, samples.target["y"], samples.target["mask"], answers)

    def curve_unit(self, record: Mapping[str, Any]) -> str | None:
        """See Task: that of the frames."""
        return str((record.get("forecast") or {}).get("unit", ""))

    def result_arrays(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, dict[str, Array]]:
        """See Task: one sequence frame by frame."""
        (seen,) = samples.inputs().values()
        found = example_frames(seen, samples.target, samples.ids, answers)
        return {} if found is None else {"frames.safetensors": found.tensors()}

    def port_scores(self, problem: Problem, samples: Samples, source: Array, port: Array) -> tuple[PortScore, ...]:
        """See Task: RMSE over all steps, in the physical unit."""
        truth, measured = samples.target["y"], samples.target["mask"]
        if source.shape != truth.shape or port.shape != truth.shape:
            return ()
        known, joined, counted = forecast_of(problem), _steps_joined(truth), _steps_joined(measured)
        errors = [
            {
                name: float(step_errors(_steps_joined(array), joined, counted, name).rmse[0])
                * (known.top - known.bottom)
                for name in AGGREGATIONS
            }
            for array in (source, port)
        ]
        return tuple(
            PortScore(one, other, errors[0][one], errors[1][other], known.unit)
            for one in AGGREGATIONS
            for other in AGGREGATIONS
        )


def forecast_of(problem: Problem) -> Forecast:
    """What the data say of their frames. Raises DataError where they say nothing, or something else."""
    try:
        return Forecast(**problem.record["forecast"])
    except KeyError as error:
        raise DataError(f"dataset.json lacks {error}") from error
    except (TypeError, ValidationError) as error:
        raise DataError(f"dataset.json: {error}") from error


class _Validation(Validation):
    """Pooled errors of all steps together; the inputs' last frame is what persistence forecasts."""

    def __init__(self, problem: Problem, loss: str) -> None:
        self.known, self.loss = forecast_of(problem), LossSum(loss, problem.head)
        self.squares = self.sizes = self.of_persistence = 0.0

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        truth, mask = target["y"], target["mask"]
        self.loss.add(output, target)
        errors = step_errors(output, truth, mask, "pooled")
        self.squares += _total(errors.rmse**2, errors.pixels)
        self.sizes += _total(errors.mae, errors.pixels)
        # Frames are the one input of such models.
        (frames,) = inputs.values()
        last = step_errors(persistence(frames, self.known.horizon), truth, mask, "pooled")
        self.of_persistence += _total(last.rmse**2, last.pixels)

    def result(self) -> dict[str, float]:
        pixels, scale = max(self.loss.count, 1), self.known.top - self.known.bottom
        return {
            "valid_loss": self.loss.mean,
            "rmse": scale * math.sqrt(self.squares / pixels),
            "mae": scale * self.sizes / pixels,
            "skill": 1 - self.squares / self.of_persistence if self.of_persistence else math.nan,
        }


def _total(means: NDArray[np.float64], pixels: NDArray[np.int64]) -> float:
    """The sum behind means by step; a step without a pixel adds nothing."""
    return float(np.where(pixels > 0, means * pixels, 0.0).sum())


def _steps_joined(array: Array) -> Array:
    """(sample, band, step, row, column) as (sample, band, 1, step x row, column): an error over all steps at once."""
    samples, bands, _, _, columns = array.shape
    return array.reshape(samples, bands, 1, -1, columns)


TASK = ForecastTask()
