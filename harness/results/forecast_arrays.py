"""Forecasts of the test samples as arrays: what each runtime forecast, what followed, and what the report shows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.compare.port import Metric
from harness.data.sequences import inputs_of, targets_of
from harness.files.arrays import Array, load_arrays
from harness.pipeline.plan import Cell
from harness.report.result_files.frames import ExampleFrames
from harness.results.artifacts import SourceArtifacts, only_output
from harness.results.example_frames import sample_with_most_rain, visibly_different
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import AGGREGATIONS, step_errors


@dataclass(frozen=True)
class ForecastArrays:
    """The frames of the test samples, and the files that hold what each runtime forecast.

    ``inputs`` float32 and ``inputs_measured`` bool (sample, band, time, row, column); ``truth`` float32 and ``measured`` bool
    (sample, band, step, row, column); ``ids`` int64 (sample,) in seconds since 1970-01-01 UTC. ``files``: name of the runtime
    and file, the source first; ``output`` is the output of the model that is compared.
    """

    inputs: Array
    inputs_measured: Array
    truth: Array
    measured: Array
    ids: Array
    files: tuple[tuple[str, Path], ...]
    output: str
    forecast: Forecast

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Name and forecast of each runtime; one array is in memory at a time."""
        return ((name, only_output(path, self.output)) for name, path in self.files)

    def metrics_with_port(self, port: Path) -> tuple[Metric, ...]:
        """RMSE over all steps of source and port, in the physical unit, for each pair of aggregations.

        ``port``: the folder of the step; empty where its forecast has another shape than the truth.
        """
        truth, measured = _steps_joined(self.truth), _steps_joined(self.measured)
        arrays = (next(iter(self))[1], only_output(port / "test.float32.safetensors", self.output))
        if any(array.shape != self.truth.shape for array in arrays):
            return ()
        factor = self.forecast.top - self.forecast.bottom
        errors = [
            {
                name: float(step_errors(_steps_joined(array), truth, measured, name).rmse[0]) * factor
                for name in AGGREGATIONS
            }
            for array in arrays
        ]
        return tuple(
            Metric(
                source_aggregation=one,
                port_aggregation=other,
                source=errors[0][one],
                port=errors[1][other],
                unit=self.forecast.unit,
            )
            for one in AGGREGATIONS
            for other in AGGREGATIONS
        )

    def example_frames(self) -> ExampleFrames | None:
        """The sequence with the most rain, with the forecasts that differ visibly; None without sequences."""
        if not len(self.truth):
            return None
        index = sample_with_most_rain(self.truth, self.measured)
        return ExampleFrames(
            seen=self.inputs[index, 0],
            seen_measured=self.inputs_measured[index, 0],
            truth=self.truth[index, 0],
            measured=self.measured[index, 0],
            forecasts=visibly_different(
                # A copy, so that the rest of the array can be freed.
                (name, np.array(array[index, 0]))
                for name, array in self
                if array.shape == self.truth.shape
            ),
            last_seen=int(self.ids[index]),
        )


def read_forecasts(
    folders: Mapping[str, Path], source: SourceArtifacts, forecast: Forecast, cells: list[Cell]
) -> ForecastArrays:
    """The arrays of the steps of a run; ``folders`` by step, ``cells`` those whose targets were run."""
    evaluation = json.loads((folders["inputs"] / "evaluation.json").read_text())
    indices = np.asarray(evaluation["indices"])
    test = load_arrays(folders["data"] / "test.safetensors")
    starts = test["starts"][indices]
    truth, measured = targets_of(test["frames"], test["valid"], starts, forecast.history, forecast.horizon)
    runs = [("source", source.predictions), *((cell.label, folders[cell.step]) for cell in cells)]
    return ForecastArrays(
        inputs=inputs_of(test["frames"], starts, forecast.history),
        inputs_measured=inputs_of(test["valid"], starts, forecast.history),
        truth=truth,
        measured=measured,
        ids=test["ids"][indices],
        files=tuple((name, folder / "test.float32.safetensors") for name, folder in runs),
        output=source.output,
        forecast=forecast,
    )


def _steps_joined(array: Array) -> Array:
    """(sample, band, step, row, column) as (sample, band, 1, step x row, column): an error over all steps at once."""
    samples, bands, _, _, columns = array.shape
    return array.reshape(samples, bands, 1, -1, columns)
